//! Who may ask: the checks that every request passes before anything looks at its path.
//!
//! A page on the web can make a browser send requests to loopback, and DNS rebinding can make it believe
//! that loopback is its own host. So `Host` must name this server, an `Origin` must be our own, and every
//! `/api` call must carry the token.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use data_encoding::HEXLOWER;
use hyper::Method;
use hyper::header::{AUTHORIZATION, COOKIE, HOST, HeaderMap, HeaderValue, ORIGIN};
use hyper::http::uri::Authority;

/// Bytes of a key: 128 bits.
const KEY: usize = 16;

/// The secret that every call carries: 256 bits, as 64 hex digits.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A fresh one from 256 random bits.
    pub fn from_random(bits: [u8; 32]) -> Self {
        Self(HEXLOWER.encode(&bits))
    }

    /// Reads one that was stored; `None` if it cannot be one of ours.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        (text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())).then(|| Self(text.to_owned()))
    }

    /// The digits, for the token file and the `Authorization` header.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Compares in constant time: equality of BLAKE3 hashes is, and tells nothing about the bytes.
    fn is(&self, other: &[u8]) -> bool {
        blake3::hash(self.0.as_bytes()) == blake3::hash(other)
    }
}

impl Token {
    /// What opens one file for a player that can send no header: part of the address, worthless for all else. The same
    /// as long as the token is.
    pub fn key_of(&self, id: u64) -> String {
        let secret = blake3::derive_key("filbert 2026 the address of a file that is played", self.0.as_bytes());
        HEXLOWER.encode(&blake3::keyed_hash(&secret, &id.to_be_bytes()).as_bytes()[..KEY])
    }

    /// Whether that is it; compares in constant time, as [`Token::is`] does.
    fn opens(&self, id: u64, key: &str) -> bool {
        blake3::hash(self.key_of(id).as_bytes()) == blake3::hash(key.as_bytes())
    }
}

/// A token is not shown, so that none ends in a log.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Why a request is turned away: status, code, message, hint.
pub type Refusal = (u16, &'static str, &'static str, &'static str);

const NO_HOST: Refusal =
    (400, "bad_host", "the request names no host", "Send one Host header with this server's address.");
const FOREIGN_HOST: Refusal =
    (421, "foreign_host", "this server does not answer for that host", "Use the address that `filbert up` printed.");
const FOREIGN_ORIGIN: Refusal =
    (403, "foreign_origin", "pages of other origins may not call this API", "Open the page of this servent itself.");
const NO_TOKEN: Refusal = (
    401,
    "no_token",
    "the token is missing or wrong",
    "Send `Authorization: Bearer TOKEN`; the token is in the file that `filbert up` names.",
);

const NO_KEY: Refusal = (
    401,
    "no_key",
    "this is not the address of a file that is played here",
    "Ask again: `filbert get WHAT --play` prints the address.",
);

/// Checks `Host` and `Origin`: for every request, open ones too.
pub fn check_source(own: SocketAddr, authority: Option<&Authority>, headers: &HeaderMap) -> Result<(), Refusal> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next().ok_or(NO_HOST)?.to_str().map_err(|_| FOREIGN_HOST)?;
    if hosts.next().is_some() || host.is_empty() {
        return Err(NO_HOST);
    }
    if !names_us(own, host) || authority.is_some_and(|a| !names_us(own, a.as_str())) {
        return Err(FOREIGN_HOST);
    }
    for origin in headers.get_all(ORIGIN) {
        let host = origin.to_str().ok().and_then(|o| o.strip_prefix("http://")).ok_or(FOREIGN_ORIGIN)?;
        if !names_us(own, host) {
            return Err(FOREIGN_ORIGIN);
        }
    }
    Ok(())
}

/// Checks the token, or the cookie that a browser got for it: for every request but the open ones.
///
/// A browser sends a cookie along with whatever it asks of us, also for pages of other ports of this machine, which
/// are the same site. So who has nothing but a cookie must come from our own page.
pub fn check_token(token: &Token, port: u16, method: &Method, headers: &HeaderMap) -> Result<(), Refusal> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let value = match (given.next(), given.next()) {
        (Some(value), None) => value,
        (None, _) => return check_cookie(token, port, method, headers),
        _ => return Err(NO_TOKEN),
    };
    let (scheme, secret) = value.as_bytes().split_at_checked(7).ok_or(NO_TOKEN)?;
    if scheme.eq_ignore_ascii_case(b"bearer ") && token.is(secret) { Ok(()) } else { Err(NO_TOKEN) }
}

/// Checks the key of a file: for its address.
pub fn check_key(token: &Token, path: &[String]) -> Result<(), Refusal> {
    let id = path.first().and_then(|id| id.parse().ok());
    let opens = id.zip(path.get(1)).is_some_and(|(id, key)| token.opens(id, key));
    if opens { Ok(()) } else { Err(NO_KEY) }
}

fn check_cookie(token: &Token, port: u16, method: &Method, headers: &HeaderMap) -> Result<(), Refusal> {
    let name = cookie_name(port);
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut ours = cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    if !ours.any(|(key, value)| key == name && Token(cookie_value(token)).is(value.as_bytes())) {
        return Err(NO_TOKEN);
    }
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    let foreign = site.is_some_and(|site| site != b"same-origin" && !(site == b"none" && method.is_safe()));
    // `check_source` has seen to it that an Origin is our own; browsers send one with all that changes anything.
    if foreign || (!method.is_safe() && !headers.contains_key(ORIGIN)) { Err(FOREIGN_ORIGIN) } else { Ok(()) }
}

/// Cookies ignore ports, so the name holds it.
fn cookie_name(port: u16) -> String {
    format!("filbert-{port}")
}

/// Not the token itself, but what nobody can make without it.
fn cookie_value(token: &Token) -> String {
    HEXLOWER.encode(&blake3::derive_key("filbert 2026 cookie of the page", token.0.as_bytes()))
}

/// The `Set-Cookie` that a browser gets in exchange for the token. It lasts a month.
pub fn set_cookie(port: u16, token: &Token) -> String {
    let (name, value) = (cookie_name(port), cookie_value(token));
    format!("{name}={value}; Path=/; Max-Age=2592000; HttpOnly; SameSite=Strict")
}

/// ... and the one that takes it back.
pub fn clear_cookie(port: u16) -> String {
    format!("{}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict", cookie_name(port))
}

/// Is `host` (with its port) an address of this server? Names other than `localhost` never are.
fn names_us(own: SocketAddr, host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, port.parse().ok()),
        _ => (host, Some(80)),
    };
    if port != Some(own.port()) {
        return false;
    }
    let literal = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')).unwrap_or(name);
    match literal.parse::<IpAddr>() {
        Ok(ip) => ip == own.ip() || (own.ip().is_loopback() && ip.is_loopback()),
        Err(_) => own.ip().is_loopback() && name.eq_ignore_ascii_case("localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(*name, value.parse().expect("a header value"));
        }
        map
    }

    #[test]
    fn only_our_own_host_and_origin_pass() {
        let own = "127.0.0.1:7346".parse().expect("an address");
        const OURS: (&str, &str) = ("host", "127.0.0.1:7346");
        type Lines = &'static [(&'static str, &'static str)];
        let table: &[(Lines, Option<u16>)] = &[
            (&[OURS], None),
            (&[("host", "localhost:7346")], None),
            (&[("host", "LocalHost:7346")], None),
            (&[("host", "[::1]:7346")], None),
            (&[], Some(400)),
            (&[("host", "")], Some(400)),
            (&[OURS, OURS], Some(400)),
            (&[("host", "127.0.0.1")], Some(421)),
            (&[("host", "127.0.0.1:80")], Some(421)),
            (&[("host", "evil.example:7346")], Some(421)),
            (&[("host", "localhost.evil.example:7346")], Some(421)),
            (&[("host", "127.0.0.1.evil.example:7346")], Some(421)),
            (&[("host", "10.0.0.1:7346")], Some(421)),
            (&[("host", ":7346")], Some(421)),
            (&[("host", "[::1:7346")], Some(421)),
            (&[OURS, ("origin", "http://127.0.0.1:7346")], None),
            (&[OURS, ("origin", "http://localhost:7346")], None),
            (&[OURS, ("origin", "http://evil.example")], Some(403)),
            (&[OURS, ("origin", "http://127.0.0.1:7347")], Some(403)),
            (&[OURS, ("origin", "https://127.0.0.1:7346")], Some(403)),
            (&[OURS, ("origin", "null")], Some(403)),
            (&[OURS, ("origin", "http://127.0.0.1:7346"), ("origin", "http://evil.example")], Some(403)),
        ];
        for (lines, refused) in table {
            let got = check_source(own, None, &headers(lines)).err().map(|refusal| refusal.0);
            assert_eq!(got, *refused, "{lines:?}");
        }
        let foreign = Authority::from_static("evil.example");
        assert!(check_source(own, Some(&foreign), &headers(&[OURS])).is_err(), "the request line names another host");
    }

    #[test]
    fn a_key_opens_one_file() {
        let token = Token::from_random([7; 32]);
        let key = token.key_of(3);
        let path = |parts: &[&str]| parts.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>();
        assert_eq!((key.len(), token.key_of(3)), (32, key.clone()));
        assert!(check_key(&token, &path(&["3", &key, "a.mkv"])).is_ok());
        let (part, of_another) = (&key[..31], Token::from_random([8; 32]).key_of(3));
        for bad in [&["4", &key][..], &["3", part], &["3", ""], &["3"], &[], &["x", &key], &["3", &of_another]] {
            assert!(check_key(&token, &path(bad)).is_err(), "{bad:?}");
        }
        assert!(!key.contains(&token.as_str()[..8]), "it says nothing of the token");
    }

    #[test]
    fn only_the_whole_token_opens() {
        let token = Token::from_random([7; 32]);
        let digits = token.as_str().to_owned();
        let longer = format!("Bearer {digits}0");
        let right = format!("Bearer {digits}");
        let lower = format!("bearer {digits}");
        for good in [right.as_str(), lower.as_str()] {
            assert!(check_token(&token, 7346, &Method::GET, &headers(&[("authorization", good)])).is_ok(), "{good}");
        }
        for bad in ["", "Bearer", "Bearer ", "Basic abc", digits.as_str(), &right[..40], &longer] {
            assert!(check_token(&token, 7346, &Method::GET, &headers(&[("authorization", bad)])).is_err(), "{bad}");
        }
        assert!(
            check_token(&token, 7346, &Method::GET, &headers(&[("authorization", &right), ("authorization", &right)]))
                .is_err()
        );
        assert!(check_token(&token, 7346, &Method::GET, &HeaderMap::new()).is_err());
        assert_eq!(Token::parse(&format!("{digits}\n")), Some(token));
        assert_eq!(Token::parse("0123"), None);
    }

    #[test]
    fn a_cookie_opens_for_our_own_page_alone() {
        let token = Token::from_random([7; 32]);
        let set = set_cookie(7346, &token);
        let pair = set.split(';').next().expect("a pair").to_owned();
        assert!(!set.contains(token.as_str()) && set.contains("HttpOnly; SameSite=Strict"), "{set}");
        let among = format!("a=b; {pair}; c=d");
        const OURS: (&str, &str) = ("origin", "http://127.0.0.1:7346");
        let site = |value| ("sec-fetch-site", value);
        let other = set_cookie(7346, &Token::from_random([8; 32]));
        let as_token = format!("filbert-7346={}", token.as_str());
        type Case<'a> = (Method, &'a [(&'static str, &'a str)], Option<u16>);
        let table: &[Case<'_>] = &[
            (Method::GET, &[("cookie", &pair)], None),
            (Method::GET, &[("cookie", &among)], None),
            (Method::GET, &[("cookie", &pair), site("same-origin")], None),
            (Method::GET, &[("cookie", &pair), site("none")], None),
            (Method::GET, &[("cookie", &pair), site("same-site")], Some(403)),
            (Method::GET, &[("cookie", &pair), site("cross-site")], Some(403)),
            (Method::POST, &[("cookie", &pair), OURS, site("same-origin")], None),
            (Method::POST, &[("cookie", &pair), OURS], None),
            (Method::POST, &[("cookie", &pair)], Some(403)),
            (Method::DELETE, &[("cookie", &pair), OURS, site("same-site")], Some(403)),
            (Method::POST, &[("cookie", &pair), site("none"), OURS], Some(403)),
            (Method::GET, &[("cookie", "filbert-7346=")], Some(401)),
            (Method::GET, &[("cookie", &other)], Some(401)),
            (Method::GET, &[("cookie", &as_token)], Some(401)),
            (Method::GET, &[("cookie", &pair), ("authorization", "Bearer 00")], Some(401)),
        ];
        for (method, lines, refused) in table {
            let got = check_token(&token, 7346, method, &headers(lines)).err().map(|refusal| refusal.0);
            assert_eq!(got, *refused, "{method} {lines:?}");
        }
        assert!(check_token(&token, 7347, &Method::GET, &headers(&[("cookie", &pair)])).is_err(), "another port's");
    }
}
