//! How far the API reaches, and which hosts it answers for.
//!
//! On this machine alone it answers for loopback. Where it is opened for others it answers for any address, since no page
//! can be made to believe that an address is another's (DNS rebinding needs a name), for `localhost`, and for the names that
//! the owner gave; and with its own port, unless a name was given with another.

use std::net::{IpAddr, SocketAddr};

use super::password::Hashed;
use crate::app::view::FindingView;
use crate::app::{Error, ErrorCode};
use crate::disk::Home;

/// Names that can be given.
const NAMES: usize = 16;
/// Bytes of one: of the longest name in the DNS, and of a port.
const NAME: usize = 253 + 6;

/// How far it reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// This machine.
    Machine,
    /// Others too, by a password. These are our names for them.
    Beyond(Names),
}

/// `HOST`, which stands for our own port and for none, or `HOST:PORT`; in small letters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names(Vec<String>);

impl Names {
    /// Reads a list of them.
    pub fn parse(list: &[String]) -> Result<Self, Error> {
        let bad = |why: String| Err(Error::new(ErrorCode::Usage, why).hint("Say for example nas.lan, or nas.lan:8443"));
        if list.len() > NAMES {
            return bad(format!("{} names for the control API; {NAMES} are the most", list.len()));
        }
        match list.iter().find(|name| name.len() > NAME || !is_host(name)) {
            Some(name) => bad(format!("{name:?} is no HOST or HOST:PORT for the control API")),
            None => Ok(Self(list.iter().map(|name| name.to_ascii_lowercase()).collect())),
        }
    }

    fn have(&self, own: SocketAddr, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let name = host.strip_suffix(&format!(":{}", own.port())).unwrap_or(&host);
        self.0.iter().any(|ours| *ours == host || ours == name)
    }
}

impl Reach {
    /// Is `host` (with its port) an address of this server, which listens on `own`?
    pub fn names_us(&self, own: SocketAddr, host: &str) -> bool {
        let beyond = match self {
            Self::Machine => false,
            Self::Beyond(names) if names.have(own, host) => return true,
            Self::Beyond(_) => !own.ip().is_loopback(),
        };
        let ours = split(host).filter(|(_, port)| port.unwrap_or(80) == own.port());
        let Some((name, _)) = ours else { return false };
        match ip(name) {
            Some(_) if beyond => true,
            Some(ip) => ip == own.ip() || (own.ip().is_loopback() && ip.is_loopback()),
            None => (beyond || own.ip().is_loopback()) && name.eq_ignore_ascii_case("localhost"),
        }
    }

    /// Whether the API may be opened there: beyond this machine only with a password, by who said that he means it.
    pub fn may_open(&self, addr: SocketAddr, home: &Home) -> Result<(), Error> {
        let mut missing = Vec::new();
        match self {
            Self::Machine if addr.ip().is_loopback() => return Ok(()),
            Self::Machine => missing.push("--api-remote was not said (the setting `api_remote`)"),
            Self::Beyond(_) => {}
        }
        if Hashed::load(home).is_none() {
            missing.push("no password is set");
        }
        if missing.is_empty() {
            return Ok(());
        }
        let what = format!("cannot open the control API on {addr} for other machines: {}", missing.join(", and "));
        let hint = "Set one with `filbert password` and say `filbert up --api ADDR:PORT --api-remote`; or leave it on 127.0.0.1 \
                    and come through a tunnel, which needs neither: ssh -L 7346:127.0.0.1:7346 SERVER";
        Err(Error::new(ErrorCode::Refused, what).hint(hint))
    }

    /// What is worth knowing about an API that listens there.
    pub fn finding(&self, addr: SocketAddr, home: &Home) -> Option<FindingView> {
        let finding = |state: &str, what: String, fix: &str| {
            Some(FindingView { check: "api".to_owned(), state: state.to_owned(), what, fix: Some(fix.to_owned()) })
        };
        match self.may_open(addr, home) {
            Err(error) => finding("problem", error.message, &error.hint),
            Ok(()) if addr.ip().is_loopback() => None,
            Ok(()) => finding(
                "note",
                format!("{} ({addr})", OPEN),
                "If that is not meant: `filbert config set api 127.0.0.1:7346`",
            ),
        }
    }
}

/// What is told to who opens it.
pub const OPEN: &str = "the control API is open to other machines, and HTTP is not encrypted: who can read that network can \
    read the password. Use a network that you trust, or a reverse proxy with TLS";

/// Where programs of this machine reach who listens on `addr`.
pub fn near(addr: SocketAddr) -> SocketAddr {
    let ip = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => std::net::Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => std::net::Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, addr.port())
}

/// Name and port; `None` for a port that is none.
fn split(host: &str) -> Option<(&str, Option<u16>)> {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => {
            // `parse` would take a sign.
            let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
            Some((name, Some(port.parse().ok().filter(|_| digits)?)))
        }
        _ => Some((host, None)),
    }
}

/// An address, as it stands in a URL.
fn ip(name: &str) -> Option<IpAddr> {
    match name.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?.parse().ok().map(IpAddr::V6),
        None => name.parse().ok().map(IpAddr::V4),
    }
}

fn is_host(text: &str) -> bool {
    let letter = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    split(text).is_some_and(|(name, port)| {
        port != Some(0) && (ip(name).is_some() || (!name.is_empty() && name.bytes().all(letter)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beyond(names: &[&str]) -> Reach {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        Reach::Beyond(Names::parse(&names).expect("names"))
    }

    #[test]
    fn beyond_this_machine_addresses_with_our_port_and_given_names_are_ours() {
        let own = "0.0.0.0:7346".parse().expect("an address");
        let reach = beyond(&["nas.lan", "Proxy.Example:8443", "192.0.2.9:80", "[2001:db8::9]:443"]);
        let table = [
            ("127.0.0.1:7346", true),
            ("192.168.1.5:7346", true),
            ("[2001:db8::1]:7346", true),
            ("localhost:7346", true),
            ("nas.lan:7346", true),
            ("NAS.lan:7346", true),
            ("nas.lan", true),
            ("proxy.example:8443", true),
            ("192.0.2.9:80", true),
            ("[2001:db8::9]:443", true),
            ("nas.lan:80", false),
            ("nas.lan:8443", false),
            ("proxy.example", false),
            ("proxy.example:7346", false),
            ("192.0.2.9", false),
            ("192.168.1.5", false),
            ("192.168.1.5:80", false),
            ("192.168.1.5:7347", false),
            ("192.168.1.5:", false),
            ("192.168.1.5:+7346", false),
            ("192.168.1.5:07346", true),
            ("2001:db8::1:7346", false),
            ("[192.168.1.5]:7346", false),
            ("[2001:db8::1%25eth0]:7346", false),
            ("0x7f000001:7346", false),
            ("localhost", false),
            ("localhost.evil.example:7346", false),
            ("evil.example:7346", false),
            ("evil.nas.lan:7346", false),
            ("nas.lan.:7346", false),
            ("nas.lan.evil.example", false),
            ("192.168.1.5.evil.example:7346", false),
            ("", false),
            (":7346", false),
        ];
        for (host, ours) in table {
            assert_eq!(reach.names_us(own, host), ours, "{host}");
        }
    }

    #[test]
    fn behind_a_proxy_on_this_machine_only_loopback_and_given_names_are_ours() {
        let own = "127.0.0.1:7346".parse().expect("an address");
        let reach = beyond(&["nas.lan"]);
        for (host, ours) in [
            ("127.0.0.1:7346", true),
            ("localhost:7346", true),
            ("nas.lan", true),
            ("nas.lan:443", false),
            ("192.168.1.5:7346", false),
            ("evil.example:7346", false),
        ] {
            assert_eq!(reach.names_us(own, host), ours, "{host}");
        }
        assert!(!Reach::Machine.names_us(own, "nas.lan") && Reach::Machine.names_us(own, "[::1]:7346"));
    }

    #[test]
    fn what_is_no_host_is_no_name_of_ours() {
        let parse = |name: &str| Names::parse(&[name.to_owned()]).is_ok();
        for good in ["nas", "nas.lan:8443", "192.168.1.5", "[::1]:80", "a-b_c.example"] {
            assert!(parse(good), "{good}");
        }
        for bad in [
            "",
            "*",
            "*.lan",
            "http://nas.lan",
            "nas.lan/",
            "nas.lan:",
            "nas.lan:0",
            "nas.lan:65536",
            "::1",
            "a b",
            "ä.example",
        ] {
            assert!(!parse(bad), "{bad}");
        }
        assert!(Names::parse(&vec!["a".to_owned(); 17]).is_err() && !parse(&"a".repeat(300)));
    }

    #[test]
    fn commands_of_this_machine_come_by_loopback_where_all_addresses_are_listened_on() {
        for (addr, wanted) in [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:1", "[::1]:1"), ("10.0.0.1:1", "10.0.0.1:1")] {
            assert_eq!(near(addr.parse().expect("an address")).to_string(), wanted);
        }
    }
}
