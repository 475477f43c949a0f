//! Links that a person types or pastes: magnets, and addresses of files at peers.
//!
//! As gtk-gnutella writes them: `xt xs as dn xl`, also with suffixes (`xt.1`), also `sz` for `xl`; unknown keys
//! are passed over, and so are content names of other networks. What cannot be a link says why.

use std::fmt;
use std::net::SocketAddr;

use super::source::NOWHERE;
use super::{Ask, Expected, MAX_PROXIES, Reach, Source};
use crate::wire::http::{Target, percent_decode, percent_encode};
use crate::wire::text::strip;
use crate::wire::{Guid, Urn};

/// A magnet is at most this long.
pub const MAX_MAGNET: usize = 16 * 1024;
/// More sources than these in one magnet are passed over.
pub const MAX_LINKS: usize = 32;

/// A file at a peer: `http://HOST[:PORT]/...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Name or address; without the brackets of IPv6.
    pub host: String,
    /// 80 if none is said.
    pub port: u16,
    /// The rest, as it came.
    pub target: String,
}

/// `magnet:?...`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Magnet {
    /// What the content must be.
    pub expected: Expected,
    /// What to call it.
    pub name: Option<String>,
    /// Its size.
    pub size: Option<u64>,
    /// Who has it.
    pub links: Vec<Link>,
    /// Who has it and must be asked to connect to us.
    pub pushes: Vec<PushLink>,
}

/// `push://GUID[:IP:PORT]*/...`: a file at a servent that cannot be connected to, and who passes Pushes on to it
/// (gtk-gnutella's `push_url`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushLink {
    /// Whose.
    pub servent: Guid,
    /// Who passes a Push on to it.
    pub proxies: Vec<SocketAddr>,
    /// The rest, as in a [`Link`].
    pub target: String,
}

/// Why text is no link: what is wrong, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkError(pub String);

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for LinkError {}

impl Link {
    /// Reads `http://HOST[:PORT]/...`.
    pub fn parse(text: &str) -> Result<Self, LinkError> {
        let bad = |why: &str| LinkError(format!("{text:?} {why}; a link is http://HOST:PORT/..."));
        let rest = strip(text, "http://").ok_or_else(|| bad("does not begin with http://"))?;
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, target) = match rest.find(['/', '?']) {
            Some(at) if rest.as_bytes()[at] == b'/' => rest.split_at(at),
            _ => return Err(bad("names no file")),
        };
        if authority.contains('@') {
            return Err(bad("has a user name in it"));
        }
        let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, port)) => (host, port.strip_prefix(':')),
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let port = port.map_or(Ok(80), str::parse).map_err(|_| bad("has no port that is a number"))?;
        if host.is_empty() || port == 0 || host.contains(|c: char| c.is_control() || c.is_whitespace()) {
            return Err(bad("names no host"));
        }
        if target.contains(|c: char| c.is_control()) {
            return Err(bad("has a control character in it"));
        }
        Ok(Self { host: host.to_owned(), port, target: target.to_owned() })
    }

    /// How its host is asked.
    pub fn ask(&self) -> Ask {
        Ask::Target(self.target.clone())
    }

    /// What the link itself says about the content.
    pub fn expected(&self) -> Expected {
        match Target::of(&self.target) {
            Target::ByUrn(urn) => Expected::of_urn(&urn),
            _ => Expected::default(),
        }
    }

    /// What the link calls the file.
    pub fn name(&self) -> Option<String> {
        match Target::of(&self.target) {
            Target::ByIndex(_, name) => Some(name),
            Target::Unknown => {
                let path = self.target.split('?').next().unwrap_or_default();
                let last = path.rsplit('/').next().filter(|last| !last.is_empty())?;
                Some(String::from_utf8_lossy(&percent_decode(last)).into_owned())
            }
            _ => None,
        }
    }
}

impl PushLink {
    /// Reads `push://GUID[:IP:PORT]*/...`. Proxies that are named otherwise than by an address are passed over, and those
    /// above [`MAX_PROXIES`].
    pub fn parse(text: &str) -> Result<Self, LinkError> {
        let bad = |why: &str| LinkError(format!("{text:?} {why}; such a link is push://GUID:IP:PORT/..."));
        let rest = strip(text, "push://").ok_or_else(|| bad("does not begin with push://"))?;
        let rest = rest.split('#').next().unwrap_or_default();
        let (head, target) = rest.find('/').map(|at| rest.split_at(at)).ok_or_else(|| bad("names no file"))?;
        if target.contains(|c: char| c.is_control()) {
            return Err(bad("has a control character in it"));
        }
        let (guid, mut rest) = head.split_once(':').unwrap_or((head, ""));
        let servent = guid.parse().map_err(|_| bad("has no GUID of 32 hexadecimal digits"))?;
        let mut proxies = Vec::new();
        while !rest.is_empty() {
            // An address of IPv6 stands in brackets: its colons separate nothing.
            let host = rest.find(']').filter(|_| rest.starts_with('[')).unwrap_or(0);
            let host =
                rest[host..].find(':').map(|colon| host + colon).ok_or_else(|| bad("has a proxy without a port"))?;
            let port = rest[host + 1..].find(':').map_or(rest.len(), |colon| host + 1 + colon);
            if let (Ok(proxy), true) = (rest[..port].parse(), proxies.len() < MAX_PROXIES) {
                proxies.push(proxy);
            }
            rest = rest[port..].trim_start_matches(':');
        }
        Ok(Self { servent, proxies, target: target.to_owned() })
    }

    /// Its file, as any link names it: the host of that says nothing.
    fn link(&self) -> Link {
        Link { host: String::new(), port: 0, target: self.target.clone() }
    }

    /// What the link itself says about the content.
    pub fn expected(&self) -> Expected {
        self.link().expected()
    }

    /// What the link calls the file.
    pub fn name(&self) -> Option<String> {
        self.link().name()
    }

    /// As a source, which has no address: [`Source::is_nowhere`].
    pub fn source(&self) -> Source {
        let index = if let Target::ByIndex(index, _) = Target::of(&self.target) { index } else { 0 };
        Source {
            servent: Some(self.servent),
            reach: Reach::Push,
            index,
            proxies: self.proxies.clone(),
            ..Source::new(NOWHERE, Ask::Target(self.target.clone()))
        }
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, target } = self;
        match host.contains(':') {
            true => write!(f, "http://[{host}]:{port}{target}"),
            false => write!(f, "http://{host}:{port}{target}"),
        }
    }
}

impl fmt::Display for PushLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "push://{}", self.servent)?;
        self.proxies.iter().try_for_each(|proxy| write!(f, ":{proxy}"))?;
        f.write_str(&self.target)
    }
}

/// As gtk-gnutella writes it, and every client reads it: `dn`, `xl`, one `xt`, an `xs` for each source; the values
/// percent-encoded but for the `xt`.
impl fmt::Display for Magnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut items = Vec::new();
        if let Some(name) = self.name.as_ref().filter(|name| !name.is_empty()) {
            items.push(format!("dn={}", percent_encode(name.as_bytes())));
        }
        items.extend(self.size.map(|size| format!("xl={size}")));
        let urn = match (self.expected.sha1, self.expected.tth) {
            (Some(sha1), Some(tth)) => Some(Urn::Bitprint(sha1, tth)),
            _ => self.expected.urn(),
        };
        items.extend(urn.map(|urn| format!("xt={urn}")));
        let links = self.links.iter().map(Link::to_string).chain(self.pushes.iter().map(PushLink::to_string));
        items.extend(links.take(MAX_LINKS).map(|link| format!("xs={}", percent_encode(link.as_bytes()))));
        write!(f, "magnet:?{}", items.join("&"))
    }
}

impl Magnet {
    /// Of content, and of those that are known to have it: as many as [`MAX_LINKS`] and [`MAX_MAGNET`] allow.
    pub fn of(expected: &Expected, name: &str, size: Option<u64>, sources: &[Source]) -> Self {
        let name = (!name.is_empty()).then(|| name.to_owned());
        let mut magnet = Self { expected: *expected, name, size, ..Self::default() };
        for source in sources.iter().take(MAX_LINKS) {
            let mut more = magnet.clone();
            let target = source.ask.target();
            match (source.reach, source.servent) {
                (Reach::Direct, _) => {
                    let (host, port) = (source.addr.ip().to_string(), source.addr.port());
                    more.links.push(Link { host, port, target });
                }
                (Reach::Push, Some(servent)) => {
                    more.pushes.push(PushLink { servent, proxies: source.proxies.clone(), target });
                }
                (Reach::Push, None) => {}
            }
            if more.to_string().len() > MAX_MAGNET {
                break;
            }
            magnet = more;
        }
        magnet
    }

    /// Reads `magnet:?...`.
    pub fn parse(text: &str) -> Result<Self, LinkError> {
        let query =
            strip(text, "magnet:?").ok_or_else(|| LinkError(format!("{text:?} does not begin with magnet:?")))?;
        if text.len() > MAX_MAGNET {
            return Err(LinkError(format!("a magnet of {} bytes is too long; {MAX_MAGNET} are read", text.len())));
        }
        let mut magnet = Self::default();
        for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            let value = String::from_utf8_lossy(&percent_decode(&value.replace('+', " "))).trim().to_owned();
            match key.split('.').next().unwrap_or_default().to_ascii_lowercase().as_str() {
                "xt" => magnet.take_content(&value)?,
                "xs" | "as" if magnet.links.len() + magnet.pushes.len() < MAX_LINKS => {
                    magnet.links.extend(Link::parse(&value).ok());
                    magnet.pushes.extend(PushLink::parse(&value).ok());
                }
                "dn" if magnet.name.is_none() && !value.is_empty() => magnet.name = Some(value),
                "xl" | "sz" => magnet.size = magnet.size.or(value.parse().ok()),
                _ => {}
            }
        }
        let links = magnet.links.iter().map(|link| (&link.target, link.expected()));
        let pushes = magnet.pushes.iter().map(|link| (&link.target, link.expected()));
        for (target, expected) in links.chain(pushes) {
            if magnet.expected.and(expected).is_none() {
                return Err(LinkError(format!("the magnet's source {target} names other content than its xt")));
            }
        }
        if magnet.expected.urn().is_none() && magnet.links.is_empty() && magnet.pushes.is_empty() {
            return Err(LinkError("the magnet names no content that Gnutella knows (xt=urn:sha1:...)".into()));
        }
        Ok(magnet)
    }

    /// Names of other networks (`urn:btih:` and so on) say nothing to us, but do not spoil the rest.
    fn take_content(&mut self, value: &str) -> Result<(), LinkError> {
        let Ok(urn) = value.parse::<Urn>() else { return Ok(()) };
        match self.expected.and(Expected::of_urn(&urn)) {
            Some(both) => {
                self.expected = both;
                Ok(())
            }
            None => Err(LinkError(format!("the magnet contradicts itself: {urn} is not its other xt"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA1: &str = "GKECXDEZDWGCRBZWKYBJD5GGT4KAUE5V";
    const TTH: &str = "LWPNACQDBZRYXW3VHJVCJ64QBZNGHOHHHZWCLNQ";

    #[test]
    fn links_name_a_host_and_a_target() {
        let n2r = format!("/uri-res/N2R?urn:sha1:{SHA1}");
        for (text, host, port, target, name) in [
            (
                "http://10.0.0.1:6346/get/7/blue%20train.flac",
                "10.0.0.1",
                6346,
                "/get/7/blue%20train.flac",
                Some("blue train.flac"),
            ),
            ("HTTP://attic/a/b.txt#top", "attic", 80, "/a/b.txt", Some("b.txt")),
            ("http://[::1]:7000/x?y", "::1", 7000, "/x?y", Some("x")),
            (&format!("http://h:1{n2r}"), "h", 1, &n2r, None),
            ("http://h:1/", "h", 1, "/", None),
        ] {
            let link = Link::parse(text).expect(text);
            let expected = Link { host: host.into(), port, target: target.into() };
            assert_eq!((link.name(), link), (name.map(str::to_owned), expected), "{text}");
        }
        for text in [
            "",
            "http://",
            "https://h/x",
            "ftp://h/x",
            "http://h",
            "http://:80/x",
            "http://h:x/y",
            "http://h:0/y",
            "http://h:99999/y",
            "http://user@h/x",
            "http://h?x/y",
            "http://h\r\nHost: x/y",
            "http://h/a\r\nb",
        ] {
            assert!(Link::parse(text).is_err(), "{text:?} was read");
        }
    }

    #[test]
    fn links_to_who_must_be_asked_to_connect_name_a_servent_and_its_proxies() {
        let guid = "0123456789abcdef0123456789ABCDEF";
        let v6 = "[::1]:6347";
        for (text, proxies, target, index) in [
            (format!("push://{guid}/uri-res/N2R?urn:sha1:{SHA1}"), vec![], format!("/uri-res/N2R?urn:sha1:{SHA1}"), 0),
            (format!("PUSH://{guid}:127.0.0.1:80/path/file#x"), vec!["127.0.0.1:80"], "/path/file".to_owned(), 0),
            (format!("push://{guid}:{v6}/get/7/something.txt"), vec![v6], "/get/7/something.txt".to_owned(), 7),
            // As a specification has it; a name would have to be looked up, and is passed over.
            (
                format!("push://{guid}:gnutella.example.com:6348:5.6.7.8:61234:{v6}/x"),
                vec!["5.6.7.8:61234", v6],
                "/x".to_owned(),
                0,
            ),
        ] {
            let link = PushLink::parse(&text).expect(&text);
            let read: Vec<String> = link.proxies.iter().map(ToString::to_string).collect();
            assert_eq!((read.iter().map(String::as_str).collect(), &link.target), (proxies, &target), "{text}");
            let source = link.source();
            assert_eq!((source.index, source.reach, source.is_nowhere()), (index, Reach::Push, true), "{text}");
            assert_eq!(PushLink::parse(&link.to_string()), Ok(link));
        }
        let many: String = (1..50).map(|n| format!(":10.0.0.{n}:1")).collect();
        assert_eq!(PushLink::parse(&format!("push://{guid}{many}/x")).expect("read").proxies.len(), MAX_PROXIES);
        for text in [
            "push://",
            "push:///x",
            "push://abc/x",
            &format!("push://{guid}"),
            &format!("push://{guid}:1.2.3.4/x"),
            &format!("push://{guid}/a\r\nb"),
            &format!("http://{guid}/x"),
        ] {
            assert!(PushLink::parse(text).is_err(), "{text:?}");
        }
        // Alone it is enough for a magnet; and it must not name other content.
        let magnet = Magnet::parse(&format!("magnet:?as=push%3A%2F%2F{guid}%3A1.2.3.4%3A5%2Fget%2F7%2Fa.txt"));
        assert_eq!(magnet.expect("a source").pushes[0].name().as_deref(), Some("a.txt"));
        let other = format!("magnet:?xt=urn:sha1:{SHA1}&xs=push://{guid}/uri-res/N2R?urn:sha1:{}", "A".repeat(32));
        assert!(Magnet::parse(&other).is_err());
        let many = format!("&xs=push://{guid}/x").repeat(MAX_LINKS + 9);
        assert_eq!(Magnet::parse(&format!("magnet:?xt=urn:sha1:{SHA1}{many}")).expect("read").pushes.len(), MAX_LINKS);
    }

    #[test]
    fn magnets_of_other_clients_are_read() {
        let text = format!(
            "magnet:?dn=Autumn+glacier%20%26%20pine.mp3&xl=598929&xt=urn:bitprint:{SHA1}.{TTH}\
             &xs=http://100.64.1.1:6346/uri-res/N2R?urn:sha1:{SHA1}&xs.2=push://abc/uri-res/N2R?x&x.guid=7"
        );
        let magnet = Magnet::parse(&text).expect("a magnet");
        assert_eq!(magnet.name.as_deref(), Some("Autumn glacier & pine.mp3"));
        assert_eq!(magnet.size, Some(598_929));
        assert_eq!(magnet.expected.urn().map(|urn| urn.to_string()), Some(format!("urn:sha1:{SHA1}")));
        assert!(magnet.expected.tth.is_some());
        let [link] = magnet.links.as_slice() else { panic!("one source that can be connected to: {magnet:?}") };
        assert_eq!((link.host.as_str(), link.port), ("100.64.1.1", 6346));

        let lower = Magnet::parse(&format!("MAGNET:?xt.1=urn:btih:00ff&xt.2=urn%3Asha1%3A{}", SHA1.to_lowercase()));
        assert!(lower.expect("a magnet").expected.sha1.is_some());
    }

    #[test]
    fn magnets_are_written_as_other_clients_write_them_and_read_back() {
        // As gtk-gnutella writes it for a file of that name, but for what it says of itself (`x.`).
        let bitprint = format!("urn:bitprint:{SHA1}.{TTH}");
        let n2r = format!("%2Furi-res%2FN2R%3Furn%3Asha1%3A{SHA1}");
        let expected = Expected::of_urn(&bitprint.parse().expect("a urn"));
        let ask = || Ask::Urn(format!("urn:sha1:{SHA1}").parse().expect("a urn"));
        let source = |addr: &str| Source::new(addr.parse().expect("an address"), ask());
        let walled = Source {
            servent: "0f".repeat(16).parse().ok(),
            reach: Reach::Push,
            proxies: vec!["1.2.3.4:6346".parse().expect("v4"), "[2001:db8::1]:7".parse().expect("v6")],
            ..source("10.0.0.9:1")
        };
        let sources = [source("100.64.1.1:6346"), source("[::1]:7000"), walled];
        let magnet = Magnet::of(&expected, "Autumn glacier & pine.mp3", Some(598_929), &sources);
        let text = magnet.to_string();
        let guid = "0f".repeat(16);
        let push = format!("push%3A%2F%2F{guid}%3A1.2.3.4%3A6346%3A%5B2001%3Adb8%3A%3A1%5D%3A7");
        let links =
            format!("xs=http%3A%2F%2F100.64.1.1%3A6346{n2r}&xs=http%3A%2F%2F%5B%3A%3A1%5D%3A7000{n2r}&xs={push}{n2r}");
        let head = "magnet:?dn=Autumn%20glacier%20%26%20pine.mp3&xl=598929";
        assert_eq!(text, format!("{head}&xt={bitprint}&{links}"));
        assert_eq!(Magnet::parse(&text), Ok(magnet.clone()));
        let again = magnet.pushes[0].source();
        assert_eq!(
            (again.servent, again.reach, &again.proxies),
            (sources[2].servent, Reach::Push, &sources[2].proxies)
        );

        let bare = Magnet::of(&Expected::of_urn(&format!("urn:sha1:{SHA1}").parse().expect("a urn")), "", None, &[]);
        assert_eq!(bare.to_string(), format!("magnet:?xt=urn:sha1:{SHA1}"));
        let unhashed = Source::new("10.0.0.1:1".parse().expect("v4"), Ask::Index(7, "a b".into()));
        let unhashed = Magnet::of(&Expected::default(), "a b", Some(3), &[unhashed]);
        assert_eq!(unhashed.to_string(), "magnet:?dn=a%20b&xl=3&xs=http%3A%2F%2F10.0.0.1%3A1%2Fget%2F7%2Fa%2520b");
        assert_eq!(Magnet::parse(&unhashed.to_string()), Ok(unhashed));
    }

    #[test]
    fn a_magnet_is_never_longer_than_one_that_is_read() {
        let long = Source::new("10.0.0.1:1".parse().expect("v4"), Ask::Target(format!("/{}", "x".repeat(700))));
        let magnet = Magnet::of(&Expected::default(), "x", None, &vec![long; 100]);
        let text = magnet.to_string();
        assert!(text.len() <= MAX_MAGNET && !magnet.links.is_empty(), "{} bytes", text.len());
        assert_eq!(Magnet::parse(&text), Ok(magnet));
    }

    #[test]
    fn a_magnet_that_names_nothing_or_two_things_is_refused() {
        let other = "A".repeat(32);
        for text in [
            "magnet:",
            "magnet:?",
            "magnet:?dn=x",
            "magnet:?xt=urn:btih:00ff",
            &format!("magnet:?xt=urn:sha1:{SHA1}&xt=urn:sha1:{other}"),
            &format!("magnet:?xt=urn:sha1:{SHA1}&xs=http://h:1/uri-res/N2R?urn:sha1:{other}"),
            &format!("magnet:?xt=urn:sha1:{SHA1}&dn={}", "x".repeat(MAX_MAGNET)),
        ] {
            assert!(Magnet::parse(text).is_err(), "{text:.80}");
        }
    }
}
