//! HTTP heads between peers: requests, answers, ranges (RFC 9110, RFC 9112, HUGE section 6).
//!
//! Read leniently, as peers write: raw spaces in a target, a missing version or reason, `HTTP 200 OK`.
//! Bounds: [`HEAD_LIMIT`] and those of [`head`](super::head::RawHead).

use std::fmt;

use data_encoding::BASE32_NOPAD;

use super::head::{Headers, RawHead};
use super::range::number;
use super::text::strip;
use super::{Cause, DecodeError, Guid, TreeKind, Urn, handshake};

pub use super::range::{ByteRange, ContentRange};

/// An HTTP head between peers is at most this long (16 KiB).
pub const HEAD_LIMIT: usize = 16 * 1024;

/// A request head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `HEAD`, or what it says.
    pub method: String,
    /// The target as it came, spaces and all.
    pub target: String,
    /// (1, 1) or what it says; (1, 0) when it is missing.
    pub version: (u8, u8),
    /// The headers.
    pub headers: Headers,
}

/// An answer's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Status code.
    pub code: u16,
    /// In words.
    pub reason: String,
    /// (1, 1) or what it says.
    pub version: (u8, u8),
    /// The headers.
    pub headers: Headers,
}

/// What a request target asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `/uri-res/N2R?urn:...`: the content of that name.
    ByUrn(Urn),
    /// `/uri-res/N2X?urn:...`: its Tiger tree (THEX); `/uri-res/N2B?urn:...`: the tree in its BLAKE3 (our own).
    Tree(TreeKind, Urn),
    /// `/get/INDEX/NAME` (the name percent-decoded).
    ByIndex(u32, String),
    /// `/`: the list of what is shared.
    Browse,
    /// `/gnutella/push-proxy?ServerId=BASE32`, `/gnet/push-proxy?guid=HEX`: pass a Push on to that servent; `None` when
    /// it cannot be read which.
    PushProxy(Option<Guid>),
    /// Anything else.
    Unknown,
}

impl Request {
    /// Reads a request line: raw spaces in the target are accepted.
    pub fn parse(head: RawHead) -> Result<Self, DecodeError> {
        let RawHead { first, headers } = head;
        let bad = |field, offset, rule| DecodeError::new("http request", field, offset, Cause::Invalid(rule));
        let (method, rest) = first.split_once([' ', '\t']).unwrap_or((&first, ""));
        if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            return Err(bad("method", 0, "is not made of letters"));
        }
        let rest = rest.trim();
        let (target, version) = match rest.rsplit_once([' ', '\t']) {
            Some((target, last)) if is_version(last) => (target.trim_end(), Some(last)),
            _ => (rest, None),
        };
        if target.is_empty() || is_version(target) {
            return Err(bad("target", method.len() + 1, "is missing"));
        }
        let offset = first.len() - version.map_or(0, str::len);
        let version = match version {
            Some(text) => version_of(text).ok_or_else(|| bad("version", offset, "is not HTTP/ and two numbers"))?,
            None => (1, 0),
        };
        Ok(Self { method: method.to_owned(), target: target.to_owned(), version, headers })
    }

    /// The bytes.
    pub fn encode(&self) -> Vec<u8> {
        let (major, minor) = self.version;
        let first = format!("{} {} HTTP/{major}.{minor}", self.method, self.target);
        RawHead { first, headers: self.headers.clone() }.encode()
    }

    /// What is asked for.
    pub fn target(&self) -> Target {
        Target::of(&self.target)
    }

    /// The range asked for: `None` without a header. Several ranges, or one that makes no sense: an error.
    pub fn range(&self) -> Option<Result<ByteRange, DecodeError>> {
        self.headers.get("Range").map(ByteRange::parse)
    }

    /// Whether the connection stays open after the answer.
    pub fn keep_alive(&self) -> bool {
        keep_alive(self.version, &self.headers)
    }
}

impl Response {
    /// Reads a status line (tolerant: `HTTP 200 OK`, no reason).
    pub fn parse(head: RawHead) -> Result<Self, DecodeError> {
        let RawHead { first, headers } = head;
        let bad = |field, rule| DecodeError::new("http answer", field, 0, Cause::Invalid(rule));
        let (version, rest) = first.split_once([' ', '\t']).unwrap_or((&first, ""));
        if !is_version(version) {
            return Err(bad("version", "is not HTTP"));
        }
        let number = version_of(version).ok_or_else(|| bad("version", "is not HTTP/ and two numbers"))?;
        let (code, reason) = handshake::status("http answer", version.len() + 1, rest)?;
        Ok(Self { code, reason, version: number, headers })
    }

    /// The bytes.
    pub fn encode(&self) -> Vec<u8> {
        let (major, minor) = self.version;
        let first = format!("HTTP/{major}.{minor} {} {}", self.code, self.reason);
        RawHead { first, headers: self.headers.clone() }.encode()
    }

    /// `Content-Range`, if there is one.
    pub fn content_range(&self) -> Option<Result<ContentRange, DecodeError>> {
        self.headers.get("Content-Range").map(ContentRange::parse)
    }

    /// `Content-Length`, if there is one that is a number.
    pub fn content_length(&self) -> Option<u64> {
        self.headers.get("Content-Length").and_then(number)
    }

    /// Whether the body comes in chunks (RFC 9112 section 7.1); then `Content-Length` means nothing.
    pub fn is_chunked(&self) -> bool {
        self.headers.has_token("Transfer-Encoding", "chunked")
    }

    /// Whether the connection stays open after the body.
    pub fn keep_alive(&self) -> bool {
        keep_alive(self.version, &self.headers)
    }
}

/// `HTTP`, or `HTTP/` and anything.
fn is_version(text: &str) -> bool {
    text.get(..4).is_some_and(|word| word.eq_ignore_ascii_case("HTTP"))
        && matches!(text.as_bytes().get(4), None | Some(b'/'))
}

/// A bare `HTTP` and a missing minor number count as 1.0.
fn version_of(text: &str) -> Option<(u8, u8)> {
    let Some(numbers) = text.get(5..) else { return Some((1, 0)) };
    match numbers.split_once('.') {
        Some((major, minor)) => Some((major.parse().ok()?, minor.parse().ok()?)),
        None => Some((numbers.parse().ok()?, 0)),
    }
}

/// RFC 9112 section 9.3: "close" closes, HTTP/1.1 stays open, and HTTP/1.0 when it says so.
fn keep_alive(version: (u8, u8), headers: &Headers) -> bool {
    if headers.has_token("Connection", "close") {
        return false;
    }
    version >= (1, 1) || headers.has_token("Connection", "keep-alive")
}

impl Target {
    /// What `target`, a path or an absolute URL, asks for.
    pub fn of(target: &str) -> Self {
        let path = match target.strip_prefix("http://") {
            Some(rest) => rest.find('/').map_or("/", |slash| &rest[slash..]),
            None => target,
        };
        let by = |prefix: &str| strip(path, prefix);
        let urn = |text: &str| String::from_utf8_lossy(&percent_decode(text)).trim().parse().ok();
        if path == "/" {
            return Self::Browse;
        }
        if let Some(text) = by("/uri-res/N2R?") {
            return urn(text).map_or(Self::Unknown, Self::ByUrn);
        }
        let trees = [("/uri-res/N2X?", TreeKind::Tiger), ("/uri-res/N2B?", TreeKind::Blake3)];
        if let Some((text, kind)) = trees.into_iter().find_map(|(prefix, kind)| Some((by(prefix)?, kind))) {
            // gtk-gnutella puts the root behind a semicolon.
            let urn = urn(text.split(';').next().unwrap_or_default());
            return urn.map_or(Self::Unknown, |urn| Self::Tree(kind, urn));
        }
        if let Some(query) =
            ["/gnutella/push-proxy?", "/gnutella/pushproxy?", "/gnet/push-proxy?"].into_iter().find_map(by)
        {
            return Self::PushProxy(named_servent(query));
        }
        let Some((index, name)) = by("/get/").and_then(|rest| rest.split_once('/')) else { return Self::Unknown };
        match number(index).map(u32::try_from) {
            Some(Ok(index)) => Self::ByIndex(index, String::from_utf8_lossy(&percent_decode(name)).into_owned()),
            _ => Self::Unknown,
        }
    }
}

/// The servent in `ServerId=` (base32, with padding or without) or `guid=` (hex).
fn named_servent(query: &str) -> Option<Guid> {
    query.split('&').filter_map(|part| part.split_once('=')).find_map(|(name, value)| match name {
        "guid" => value.parse().ok(),
        "ServerId" => {
            let digits = value.trim_end_matches('=').to_ascii_uppercase();
            BASE32_NOPAD.decode(digits.as_bytes()).ok()?.try_into().ok().map(Guid)
        }
        _ => None,
    })
}

/// The target that asks for this.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByUrn(urn) => write!(f, "/uri-res/N2R?{urn}"),
            Self::Tree(TreeKind::Tiger, urn) => write!(f, "/uri-res/N2X?{urn}"),
            Self::Tree(TreeKind::Blake3, urn) => write!(f, "/uri-res/N2B?{urn}"),
            Self::ByIndex(index, name) => write!(f, "/get/{index}/{}", percent_encode(name.as_bytes())),
            Self::PushProxy(servent) => write!(f, "/gnet/push-proxy?guid={}", servent.unwrap_or_default()),
            Self::Browse | Self::Unknown => f.write_str("/"),
        }
    }
}

/// Percent-encodes all but unreserved characters (RFC 3986 section 2.3): for a path segment.
pub fn percent_encode(segment: &[u8]) -> String {
    let mut out = String::with_capacity(segment.len());
    for &byte in segment {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Decodes percent escapes; a stray `%` stays as it is.
pub fn percent_decode(text: &str) -> Vec<u8> {
    let digit = |byte: Option<&u8>| byte.and_then(|&byte| char::from(byte).to_digit(16));
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match (byte, digit(bytes.get(at + 1)), digit(bytes.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            _ => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const URN: &str = "urn:sha1:GKECXDEZDWGCRBZWKYBJD5GGT4KAUE5V";

    fn request(first: &str) -> Result<Request, DecodeError> {
        Request::parse(RawHead { first: first.to_owned(), headers: Headers::default() })
    }

    fn response(first: &str, headers: Headers) -> Result<Response, DecodeError> {
        Response::parse(RawHead { first: first.to_owned(), headers })
    }

    #[test]
    fn request_lines_are_read_as_peers_write_them() {
        for (line, method, target, version) in [
            ("GET / HTTP/1.1", "GET", "/", (1, 1)),
            ("HEAD /get/1/a b.mp3 HTTP/1.0", "HEAD", "/get/1/a b.mp3", (1, 0)),
            ("GET /get/1/a b.mp3", "GET", "/get/1/a b.mp3", (1, 0)),
            ("GET  /get/1/HTTP guide.txt  HTTP", "GET", "/get/1/HTTP guide.txt", (1, 0)),
            ("get /x http/1", "get", "/x", (1, 0)),
        ] {
            let request = request(line).expect(line);
            assert_eq!((&*request.method, &*request.target, request.version), (method, target, version), "{line}");
        }
        for (line, field) in [
            ("", "method"),
            ("G3T / HTTP/1.1", "method"),
            ("GET", "target"),
            ("GET HTTP/1.1", "target"),
            ("GET / HTTP/x.1", "version"),
        ] {
            assert_eq!(request(line).expect_err(line).field, field, "{line}");
        }
    }

    #[test]
    fn status_lines_are_read_as_peers_write_them() {
        for (line, code, reason, version) in [
            ("HTTP/1.1 206 Partial Content", 206, "Partial Content", (1, 1)),
            ("HTTP 200 OK", 200, "OK", (1, 0)),
            ("HTTP/1.1 503", 503, "", (1, 1)),
            ("HTTP/1.0  404  Not here ", 404, "Not here", (1, 0)),
        ] {
            let answer = response(line, Headers::default()).expect(line);
            assert_eq!((answer.code, &*answer.reason, answer.version), (code, reason, version), "{line}");
        }
        for (line, field) in [("ICY 200 OK", "version"), ("HTTP/1.1 20 OK", "status code"), ("HTTP", "status code")] {
            assert_eq!(response(line, Headers::default()).expect_err(line).field, field, "{line}");
        }
    }

    #[test]
    fn targets_say_what_is_asked_for() {
        let urn: Urn = URN.parse().expect("a urn");
        for (target, meaning) in [
            (format!("/uri-res/N2R?{URN}"), Target::ByUrn(urn.clone())),
            (format!("/uri-res/n2r?{}", URN.to_lowercase()), Target::ByUrn(urn.clone())),
            (format!("/uri-res/N2R?{}", URN.replace(':', "%3a")), Target::ByUrn(urn.clone())),
            (format!("http://10.0.0.1:6346/uri-res/N2R?{URN}"), Target::ByUrn(urn.clone())),
            (
                format!("/uri-res/N2X?{URN};2LDDDXTUNCRQ5KVRZ6TYAFRULGG3VCPLURTXP2A"),
                Target::Tree(TreeKind::Tiger, urn.clone()),
            ),
            (format!("/uri-res/N2B?{URN}"), Target::Tree(TreeKind::Blake3, urn)),
            ("/get/7/a%20b.mp3".to_owned(), Target::ByIndex(7, "a b.mp3".to_owned())),
            ("/get/7/a b/c".to_owned(), Target::ByIndex(7, "a b/c".to_owned())),
            ("/get/4294967296/a".to_owned(), Target::Unknown),
            ("/get/+7/a".to_owned(), Target::Unknown),
            ("/get/7".to_owned(), Target::Unknown),
            ("/".to_owned(), Target::Browse),
            ("http://10.0.0.1:6346".to_owned(), Target::Browse),
            ("/uri-res/N2R?urn:sha1:short".to_owned(), Target::Unknown),
            ("/../etc/passwd".to_owned(), Target::Unknown),
        ] {
            assert_eq!(Target::of(&target), meaning, "{target}");
            if meaning != Target::Unknown {
                assert_eq!(Target::of(&meaning.to_string()), meaning, "{meaning}");
            }
        }
    }

    #[test]
    fn who_keeps_the_connection_open() {
        for (version, connection, stays) in [
            ("HTTP/1.1", "", true),
            ("HTTP/1.1", "Upgrade, Close", false),
            ("HTTP/1.0", "", false),
            ("HTTP/1.0", "Keep-Alive", true),
        ] {
            let headers = Headers::default().with("Connection", connection);
            let answer = response(&format!("{version} 200 OK"), headers.clone()).expect("an answer");
            assert_eq!(answer.keep_alive(), stays);
            let head = RawHead { first: format!("GET / {version}"), headers };
            assert_eq!(Request::parse(head).expect("a request").keep_alive(), stays);
        }
    }

    #[test]
    fn percent_escapes_survive_a_round_trip_and_strays_stay() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(percent_decode(&percent_encode(&all)), all);
        assert_eq!(percent_encode("a b/ü".as_bytes()), "a%20b%2F%C3%BC");
        assert_eq!(percent_decode("100%"), b"100%");
        assert_eq!(percent_decode("%zz%4"), b"%zz%4");
        assert_eq!(percent_decode("%é"), "%é".as_bytes());
    }

    #[test]
    fn lengths_are_numbers_or_nothing() {
        for (value, length) in
            [("12", Some(12)), ("+12", None), ("-1", None), ("", None), ("99999999999999999999", None)]
        {
            let answer =
                response("HTTP/1.1 200 OK", Headers::default().with("Content-Length", value)).expect("an answer");
            assert_eq!(answer.content_length(), length);
        }
    }
}
