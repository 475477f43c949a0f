//! Who may ask: the checks that every request passes before anything looks at its path.
//!
//! A page on the web can make a browser send requests to loopback, and DNS rebinding can make it believe
//! that loopback is its own host. So `Host` must name this server ([`Reach`]), an `Origin` must be our own, and every
//! `/api` call must carry the token, or a cookie that was got for it or for the password.

use std::fmt;
use std::net::SocketAddr;

use data_encoding::HEXLOWER;
use hyper::Method;
use hyper::header::{AUTHORIZATION, COOKIE, HOST, HeaderMap, HeaderValue, ORIGIN};
use hyper::http::uri::Authority;

use super::password::Hashed;
use super::reach::Reach;

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
    /// What a password stands for: another token, which is never told and opens by what is made of it alone, cookies and
    /// addresses of files. With the password it changes.
    pub(super) fn of_login(&self, password: &Hashed) -> Self {
        let bytes = [self.0.as_bytes(), b"\0", password.as_str().as_bytes()].concat();
        Self::from_random(blake3::derive_key("filbert 2026 who came in by the password", &bytes))
    }

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

/// What opens.
pub struct Keys<'a> {
    /// The token.
    pub token: &'a Token,
    /// ... and what the password stands for, where one opens.
    pub login: Option<&'a Token>,
}

/// By which of them somebody came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The token, or what was got for it.
    Token,
    /// What was got for the password.
    Login,
}

impl<'a> Keys<'a> {
    /// That one.
    pub fn of(&self, by: By) -> &'a Token {
        match by {
            By::Token => self.token,
            By::Login => self.login.unwrap_or(self.token),
        }
    }

    /// The one that opens, if one does.
    fn find(&self, opens: impl Fn(&Token) -> bool) -> Option<By> {
        if opens(self.token) { Some(By::Token) } else { self.login.is_some_and(opens).then_some(By::Login) }
    }

    /// Why nobody came in.
    fn missing(&self) -> Refusal {
        if self.login.is_some() { LOG_IN } else { NO_TOKEN }
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
const FOREIGN_NAME: Refusal = (
    421,
    "foreign_host",
    "this server does not answer for that host",
    "Use its address with its own port, or name the host where it is started: --api-host HOST[:PORT].",
);
const FOREIGN_ORIGIN: Refusal =
    (403, "foreign_origin", "pages of other origins may not call this API", "Open the page of this servent itself.");
const NO_TOKEN: Refusal = (
    401,
    "no_token",
    "the token is missing or wrong",
    "Send `Authorization: Bearer TOKEN`; the token is in the file that `filbert up` names.",
);
const LOG_IN: Refusal = (
    401,
    "log_in",
    "the password is wanted, or the token",
    "POST /api/v1/login takes the password; else send `Authorization: Bearer TOKEN`.",
);

const NO_KEY: Refusal = (
    401,
    "no_key",
    "this is not the address of a file that is played here",
    "Ask again: `filbert get WHAT --play` prints the address.",
);

/// Checks `Host` and `Origin`: for every request, open ones too.
pub fn check_source(
    own: SocketAddr,
    reach: &Reach,
    authority: Option<&Authority>,
    headers: &HeaderMap,
) -> Result<(), Refusal> {
    let foreign = if *reach == Reach::Machine { FOREIGN_HOST } else { FOREIGN_NAME };
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next().ok_or(NO_HOST)?.to_str().map_err(|_| foreign)?;
    if hosts.next().is_some() || host.is_empty() {
        return Err(NO_HOST);
    }
    // Beyond this machine all addresses are ours: there only what the browser took for our host is our own page.
    let same = |other: &str| match reach {
        Reach::Machine => reach.names_us(own, other),
        Reach::Beyond(_) => other.eq_ignore_ascii_case(host),
    };
    if !reach.names_us(own, host) || authority.is_some_and(|a| !same(a.as_str())) {
        return Err(foreign);
    }
    for origin in headers.get_all(ORIGIN) {
        let origin = origin.to_str().map_err(|_| FOREIGN_ORIGIN)?;
        // A proxy before us may speak TLS.
        let https = origin.strip_prefix("https://").filter(|_| *reach != Reach::Machine);
        if !origin.strip_prefix("http://").or(https).is_some_and(same) {
            return Err(FOREIGN_ORIGIN);
        }
    }
    Ok(())
}

/// Checks the token, or the cookie that a browser got for it or the password: for every request but the open ones.
///
/// A browser sends a cookie along with whatever it asks of us, also for pages of other ports of this machine, which
/// are the same site. So who has nothing but a cookie must come from our own page.
pub fn check_token(keys: &Keys<'_>, port: u16, method: &Method, headers: &HeaderMap) -> Result<By, Refusal> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let value = match (given.next(), given.next()) {
        (Some(value), None) => value,
        (None, _) => return check_cookie(keys, port, method, headers),
        _ => return Err(keys.missing()),
    };
    let (scheme, secret) = value.as_bytes().split_at_checked(7).ok_or(keys.missing())?;
    let opens = scheme.eq_ignore_ascii_case(b"bearer ") && keys.token.is(secret);
    if opens { Ok(By::Token) } else { Err(keys.missing()) }
}

/// Checks the key of a file: for its address.
pub fn check_key(keys: &Keys<'_>, path: &[String]) -> Result<By, Refusal> {
    let id = path.first().and_then(|id| id.parse().ok());
    let (id, key) = id.zip(path.get(1)).ok_or(NO_KEY)?;
    keys.find(|token| token.opens(id, key)).ok_or(NO_KEY)
}

fn check_cookie(keys: &Keys<'_>, port: u16, method: &Method, headers: &HeaderMap) -> Result<By, Refusal> {
    let name = cookie_name(port);
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut ours = pairs.filter(|(key, _)| *key == name);
    let by = ours.find_map(|(_, value)| keys.find(|token| Token(cookie_value(token)).is(value.as_bytes())));
    let by = by.ok_or(keys.missing())?;
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    let foreign = site.is_some_and(|site| site != b"same-origin" && !(site == b"none" && method.is_safe()));
    // `check_source` has seen to it that an Origin is our own; browsers send one with all that changes anything.
    if foreign || (!method.is_safe() && !headers.contains_key(ORIGIN)) { Err(FOREIGN_ORIGIN) } else { Ok(by) }
}

/// Where the page is that asks, as its browser sees it: behind a proxy that may be another scheme.
pub fn seen_at(headers: &HeaderMap) -> Option<String> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    text(ORIGIN).or_else(|| text(HOST).map(|host| format!("http://{host}")))
}

/// Cookies ignore ports, so the name holds it.
fn cookie_name(port: u16) -> String {
    format!("filbert-{port}")
}

/// Not the token itself, but what nobody can make without it.
fn cookie_value(token: &Token) -> String {
    HEXLOWER.encode(&blake3::derive_key("filbert 2026 cookie of the page", token.0.as_bytes()))
}

/// The `Set-Cookie` that a browser gets in exchange for the token, or for the password: made of what opens. It lasts a
/// month. One that came by TLS is sent by nothing else.
pub fn set_cookie(port: u16, token: &Token, headers: &HeaderMap) -> String {
    let (name, value) = (cookie_name(port), cookie_value(token));
    let secure = if seen_at(headers).is_some_and(|at| at.starts_with("https://")) { "; Secure" } else { "" };
    format!("{name}={value}; Path=/; Max-Age=2592000; HttpOnly; SameSite=Strict{secure}")
}

/// ... and the one that takes it back.
pub fn clear_cookie(port: u16) -> String {
    format!("{}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict", cookie_name(port))
}

#[cfg(test)]
mod tests {
    use super::super::reach::Names;
    use super::*;

    fn keys(token: &Token) -> Keys<'_> {
        Keys { token, login: None }
    }

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
            (&[("host", "192.168.1.5:7346")], Some(421)),
            (&[("host", "nas.lan:7346")], Some(421)),
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
            let got = check_source(own, &Reach::Machine, None, &headers(lines)).err().map(|refusal| refusal.0);
            assert_eq!(got, *refused, "{lines:?}");
        }
        let foreign = Authority::from_static("evil.example");
        assert!(check_source(own, &Reach::Machine, Some(&foreign), &headers(&[OURS])).is_err());
    }

    #[test]
    fn beyond_this_machine_an_origin_is_ours_only_where_it_is_the_host_itself() {
        let own = "0.0.0.0:7346".parse().expect("an address");
        let reach = Reach::Beyond(Names::parse(&["nas.lan".to_owned()]).expect("a name"));
        const ADDRESS: (&str, &str) = ("host", "192.168.1.5:7346");
        const NAME: (&str, &str) = ("host", "nas.lan");
        type Lines = &'static [(&'static str, &'static str)];
        let table: &[(Lines, Option<u16>)] = &[
            (&[ADDRESS], None),
            (&[ADDRESS, ("origin", "http://192.168.1.5:7346")], None),
            (&[ADDRESS, ("origin", "http://192.168.1.6:7346")], Some(403)),
            (&[ADDRESS, ("origin", "http://127.0.0.1:7346")], Some(403)),
            (&[ADDRESS, ("origin", "http://localhost:7346")], Some(403)),
            (&[ADDRESS, ("origin", "http://nas.lan:7346")], Some(403)),
            (&[ADDRESS, ("origin", "http://192.168.1.5")], Some(403)),
            (&[ADDRESS, ("origin", "http://192.168.1.5:7346.evil.example")], Some(403)),
            (&[ADDRESS, ("origin", "null")], Some(403)),
            (&[ADDRESS, ("origin", "ftp://192.168.1.5:7346")], Some(403)),
            (&[ADDRESS, ("origin", "http://192.168.1.5:7346"), ("origin", "http://evil.example")], Some(403)),
            (&[NAME, ("origin", "https://nas.lan")], None),
            (&[NAME, ("origin", "http://NAS.lan")], None),
            (&[NAME, ("origin", "https://nas.lan:7346")], Some(403)),
            (&[NAME, ("origin", "https://evil.example")], Some(403)),
            (&[("host", "nas.lan:8443"), ("origin", "https://nas.lan:8443")], Some(421)),
            (&[("host", "evil.example:7346"), ("origin", "http://evil.example:7346")], Some(421)),
            (&[("host", "192.168.1.5:80")], Some(421)),
            (&[("host", "192.168.1.5")], Some(421)),
            (&[ADDRESS, ADDRESS], Some(400)),
            (&[("host", "")], Some(400)),
            (&[], Some(400)),
        ];
        for (lines, refused) in table {
            let got = check_source(own, &reach, None, &headers(lines)).err().map(|refusal| refusal.0);
            assert_eq!(got, *refused, "{lines:?}");
        }
        for (named, refused) in [("192.168.1.5:7346", false), ("192.168.1.6:7346", true), ("evil.example", true)] {
            let named = Authority::from_static(named);
            assert_eq!(check_source(own, &reach, Some(&named), &headers(&[ADDRESS])).is_err(), refused, "{named}");
        }
    }

    #[test]
    fn what_was_got_for_a_password_opens_until_the_password_changes() {
        let token = Token::from_random([7; 32]);
        let of = |password: &str| token.of_login(&Hashed::of(password, [1; 16]).expect("hashed"));
        let (old, new) = (of("correct horse"), of("battery staple"));
        let set = set_cookie(7346, &old, &HeaderMap::new());
        let lines = [("cookie", set.split(';').next().expect("a pair"))];
        let opens = |login: Option<&Token>| {
            check_token(&Keys { token: &token, login }, 7346, &Method::GET, &headers(&lines)).map_err(|it| it.1)
        };
        assert_eq!(opens(Some(&old)), Ok(By::Login));
        assert_eq!(opens(Some(&new)), Err("log_in"));
        assert_eq!(opens(None), Err("no_token"));
        let path = ["3".to_owned(), old.key_of(3)];
        assert_eq!(check_key(&Keys { token: &token, login: Some(&old) }, &path), Ok(By::Login));
        assert!(check_key(&Keys { token: &token, login: Some(&new) }, &path).is_err());
        let bearer = format!("Bearer {}", old.as_str());
        let as_token = headers(&[("authorization", bearer.as_str())]);
        assert!(check_token(&Keys { token: &token, login: Some(&old) }, 7346, &Method::GET, &as_token).is_err());
        let tls = set_cookie(7346, &old, &headers(&[("host", "nas.lan"), ("origin", "https://nas.lan")]));
        assert!(tls.ends_with("; Secure") && !set.contains("Secure"), "{tls} {set}");
    }

    #[test]
    fn a_key_opens_one_file() {
        let token = Token::from_random([7; 32]);
        let key = token.key_of(3);
        let path = |parts: &[&str]| parts.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>();
        assert_eq!((key.len(), token.key_of(3)), (32, key.clone()));
        assert!(check_key(&keys(&token), &path(&["3", &key, "a.mkv"])).is_ok());
        let (part, of_another) = (&key[..31], Token::from_random([8; 32]).key_of(3));
        for bad in [&["4", &key][..], &["3", part], &["3", ""], &["3"], &[], &["x", &key], &["3", &of_another]] {
            assert!(check_key(&keys(&token), &path(bad)).is_err(), "{bad:?}");
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
            assert!(
                check_token(&keys(&token), 7346, &Method::GET, &headers(&[("authorization", good)])).is_ok(),
                "{good}"
            );
        }
        for bad in ["", "Bearer", "Bearer ", "Basic abc", digits.as_str(), &right[..40], &longer] {
            assert!(
                check_token(&keys(&token), 7346, &Method::GET, &headers(&[("authorization", bad)])).is_err(),
                "{bad}"
            );
        }
        assert!(
            check_token(
                &keys(&token),
                7346,
                &Method::GET,
                &headers(&[("authorization", &right), ("authorization", &right)])
            )
            .is_err()
        );
        assert!(check_token(&keys(&token), 7346, &Method::GET, &HeaderMap::new()).is_err());
        assert_eq!(Token::parse(&format!("{digits}\n")), Some(token));
        assert_eq!(Token::parse("0123"), None);
    }

    #[test]
    fn a_cookie_opens_for_our_own_page_alone() {
        let token = Token::from_random([7; 32]);
        let set = set_cookie(7346, &token, &HeaderMap::new());
        let pair = set.split(';').next().expect("a pair").to_owned();
        assert!(!set.contains(token.as_str()) && set.contains("HttpOnly; SameSite=Strict"), "{set}");
        let among = format!("a=b; {pair}; c=d");
        const OURS: (&str, &str) = ("origin", "http://127.0.0.1:7346");
        let site = |value| ("sec-fetch-site", value);
        let other = set_cookie(7346, &Token::from_random([8; 32]), &HeaderMap::new());
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
            let got = check_token(&keys(&token), 7346, method, &headers(lines)).err().map(|refusal| refusal.0);
            assert_eq!(got, *refused, "{method} {lines:?}");
        }
        assert!(
            check_token(&keys(&token), 7347, &Method::GET, &headers(&[("cookie", &pair)])).is_err(),
            "another port's"
        );
    }
}
