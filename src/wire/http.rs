//! HTTP heads between peers: requests, answers, ranges (RFC 9110, RFC 9112, HUGE section 6).
//!
//! Read leniently, as peers write: raw spaces in a target, a missing version or reason, `HTTP 200 OK`.
//! Bounds: [`HEAD_LIMIT`] and those of [`head`](super::head).

use std::fmt;

use super::head::{Headers, RawHead};
use super::{Cause, DecodeError, Urn, handshake};

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
    /// `/uri-res/N2X?urn:...`: its tree (THEX).
    Tree(Urn),
    /// `/get/INDEX/NAME` (the name percent-decoded).
    ByIndex(u32, String),
    /// `/`: the list of what is shared.
    Browse,
    /// Anything else.
    Unknown,
}

/// What a `Range:` header asks for. HTTP/1.1, RFC 9110 section 14.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteRange {
    /// `bytes=A-B`, both included.
    Between(u64, u64),
    /// `bytes=A-`
    From(u64),
    /// `bytes=-N`: the last N.
    Last(u64),
}

/// `Content-Range: bytes FIRST-LAST/TOTAL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentRange {
    /// First byte.
    pub first: u64,
    /// Last byte, included.
    pub last: u64,
    /// Size of the whole, if it is said.
    pub total: Option<u64>,
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

/// Digits alone: `parse` would also take a sign.
fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

impl Target {
    /// What `target`, a path or an absolute URL, asks for.
    pub fn of(target: &str) -> Self {
        let path = match target.strip_prefix("http://") {
            Some(rest) => rest.find('/').map_or("/", |slash| &rest[slash..]),
            None => target,
        };
        let by = |prefix: &str| {
            let head = path.get(..prefix.len())?;
            head.eq_ignore_ascii_case(prefix).then(|| &path[prefix.len()..])
        };
        let urn = |text: &str| String::from_utf8_lossy(&percent_decode(text)).trim().parse().ok();
        if path == "/" {
            return Self::Browse;
        }
        if let Some(text) = by("/uri-res/N2R?") {
            return urn(text).map_or(Self::Unknown, Self::ByUrn);
        }
        if let Some(text) = by("/uri-res/N2X?") {
            // gtk-gnutella puts the root behind a semicolon.
            return urn(text.split(';').next().unwrap_or_default()).map_or(Self::Unknown, Self::Tree);
        }
        let Some((index, name)) = by("/get/").and_then(|rest| rest.split_once('/')) else { return Self::Unknown };
        match number(index).map(u32::try_from) {
            Some(Ok(index)) => Self::ByIndex(index, String::from_utf8_lossy(&percent_decode(name)).into_owned()),
            _ => Self::Unknown,
        }
    }
}

/// The target that asks for this.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByUrn(urn) => write!(f, "/uri-res/N2R?{urn}"),
            Self::Tree(urn) => write!(f, "/uri-res/N2X?{urn}"),
            Self::ByIndex(index, name) => write!(f, "/get/{index}/{}", percent_encode(name.as_bytes())),
            Self::Browse | Self::Unknown => f.write_str("/"),
        }
    }
}

impl ByteRange {
    /// Reads a `Range` value: `bytes=A-B`, `bytes=A-`, `bytes=-N`; old clients write a space for the `=`.
    pub fn parse(value: &str) -> Result<Self, DecodeError> {
        let bad = |rule| DecodeError::new("http request", "Range", 0, Cause::Invalid(rule));
        let set = value.get(..5).filter(|unit| unit.eq_ignore_ascii_case("bytes")).map(|_| value[5..].trim_start());
        let set = set.ok_or_else(|| bad("is not in bytes"))?;
        let set = set.strip_prefix('=').unwrap_or(set).trim();
        if set.contains(',') {
            return Err(bad("asks for several ranges"));
        }
        let (first, last) = set.split_once('-').ok_or_else(|| bad("has no hyphen"))?;
        let (first, last) = (first.trim(), last.trim());
        let read = |text| number(text).ok_or_else(|| bad("has something else than a number"));
        match (first.is_empty(), last.is_empty()) {
            (true, true) => Err(bad("has no number")),
            (true, false) => Ok(Self::Last(read(last)?)),
            (false, true) => Ok(Self::From(read(first)?)),
            (false, false) => {
                let (first, last) = (read(first)?, read(last)?);
                if first > last { Err(bad("ends before it begins")) } else { Ok(Self::Between(first, last)) }
            }
        }
    }

    /// The bytes of a file of `size` that are meant, as first..end; `None` if there are none (416).
    pub fn resolve(self, size: u64) -> Option<std::ops::Range<u64>> {
        let range = match self {
            Self::Between(first, last) => first..last.saturating_add(1).min(size),
            Self::From(first) => first..size,
            Self::Last(count) => size.saturating_sub(count)..size,
        };
        (!range.is_empty()).then_some(range)
    }
}

/// As the value of a `Range` header.
impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Between(first, last) => write!(f, "bytes={first}-{last}"),
            Self::From(first) => write!(f, "bytes={first}-"),
            Self::Last(count) => write!(f, "bytes=-{count}"),
        }
    }
}

impl ContentRange {
    /// Reads a `Content-Range` value: `bytes FIRST-LAST/TOTAL`, where TOTAL may be `*`; old clients write
    /// `bytes=`. A range that ends before it begins, or beyond its total, is an error, and so is `bytes */TOTAL`.
    pub fn parse(value: &str) -> Result<Self, DecodeError> {
        let bad = |rule| DecodeError::new("http answer", "Content-Range", 0, Cause::Invalid(rule));
        let rest = value.get(..5).filter(|unit| unit.eq_ignore_ascii_case("bytes")).map(|_| value[5..].trim_start());
        let rest = rest.ok_or_else(|| bad("is not in bytes"))?;
        let rest = rest.strip_prefix('=').unwrap_or(rest);
        let (range, total) = rest.split_once('/').ok_or_else(|| bad("has no slash"))?;
        let (first, last) = range.split_once('-').ok_or_else(|| bad("has no hyphen"))?;
        let read = |text| number(text).ok_or_else(|| bad("has something else than a number"));
        let (first, last) = (read(first)?, read(last)?);
        let total = if total.trim() == "*" { None } else { Some(read(total)?) };
        if first > last || total.is_some_and(|total| last >= total) {
            return Err(bad("ends before it begins, or beyond its total"));
        }
        Ok(Self { first, last, total })
    }

    /// How many bytes there are; saturating, for a range that spans all 64 bits.
    pub fn length(&self) -> u64 {
        (self.last - self.first).saturating_add(1)
    }
}

/// As the value of a `Content-Range` header.
impl fmt::Display for ContentRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bytes {}-{}/", self.first, self.last)?;
        match self.total {
            Some(total) => write!(f, "{total}"),
            None => f.write_str("*"),
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
            (format!("/uri-res/N2X?{URN};2LDDDXTUNCRQ5KVRZ6TYAFRULGG3VCPLURTXP2A"), Target::Tree(urn)),
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
    fn ranges_are_read_and_resolved() {
        for (value, range, resolved) in [
            ("bytes=0-0", ByteRange::Between(0, 0), Some(0..1)),
            ("bytes=2-18446744073709551615", ByteRange::Between(2, u64::MAX), Some(2..10)),
            ("Bytes 0-9", ByteRange::Between(0, 9), Some(0..10)),
            ("bytes=9-", ByteRange::From(9), Some(9..10)),
            ("bytes=10-", ByteRange::From(10), None),
            ("bytes = -3", ByteRange::Last(3), Some(7..10)),
            ("bytes=-11", ByteRange::Last(11), Some(0..10)),
            ("bytes=-0", ByteRange::Last(0), None),
            ("bytes=10-12", ByteRange::Between(10, 12), None),
        ] {
            assert_eq!(ByteRange::parse(value), Ok(range), "{value}");
            assert_eq!(range.resolve(10), resolved, "{value}");
            assert_eq!(ByteRange::parse(&range.to_string()), Ok(range));
            assert_eq!(range.resolve(0), None);
        }
        for value in
            ["", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=3-2", "bytes=0-1,3-4", "lines=0-1", "bytes=+1-"]
        {
            assert!(ByteRange::parse(value).is_err(), "{value}");
        }
    }

    #[test]
    fn content_ranges_are_read_and_must_make_sense() {
        for (value, first, last, total) in [
            ("bytes 0-524287/600000", 0, 524_287, Some(600_000)),
            ("bytes=5-5/*", 5, 5, None),
            ("BYTES 0-18446744073709551615/*", 0, u64::MAX, None),
        ] {
            let range = ContentRange { first, last, total };
            assert_eq!(ContentRange::parse(value), Ok(range), "{value}");
            assert_eq!(ContentRange::parse(&range.to_string()), Ok(range));
        }
        assert_eq!(ContentRange { first: 0, last: u64::MAX, total: None }.length(), u64::MAX);
        for value in ["", "bytes 0-1", "bytes */5", "bytes 3-2/9", "bytes 0-9/9", "bytes 0--1/9"] {
            assert!(ContentRange::parse(value).is_err(), "{value}");
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
