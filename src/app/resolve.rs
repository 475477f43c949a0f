//! `HOST[:PORT]`, as people type it, to addresses.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use super::{Error, ErrorCode};
use crate::net::rt;
use crate::wire::addr::DEFAULT_PORT;

/// Bytes of the longest name (RFC 1035, as text).
const NAME: usize = 253;

/// A host and a port, not looked up yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HostPort {
    host: String,
    port: u16,
}

impl HostPort {
    /// Reads `1.2.3.4`, `name:6346`, `[::1]:6346` or `::1`.
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        Self::read(text).map_err(|what| {
            Error::new(ErrorCode::Usage, format!("{text:?} {what}")).hint("A host is HOST or HOST:PORT")
        })
    }

    /// The same, or what is wrong.
    pub(super) fn read(text: &str) -> Result<Self, &'static str> {
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (host, rest) = rest.split_once(']').ok_or("has a [ without a ]")?;
            host.parse::<Ipv6Addr>().map_err(|_| "has no IPv6 address in its brackets")?;
            (host, rest.strip_prefix(':').or(rest.is_empty().then_some("")).ok_or("is no host")?)
        } else if text.parse::<Ipv6Addr>().is_ok() {
            (text, "")
        } else {
            text.rsplit_once(':').unwrap_or((text, ""))
        };
        let no_host = host.is_empty() || host.len() > NAME || host.contains(no_name);
        if no_host || (host.contains(':') && host.parse::<Ipv6Addr>().is_err()) {
            return Err("is no host");
        }
        let port = match port {
            "" => DEFAULT_PORT,
            port => port.parse().ok().filter(|&port| port > 0).ok_or("has no port from 1 to 65535")?,
        };
        Ok(Self { host: host.to_owned(), port })
    }

    /// The address, if it is no name.
    pub(super) fn addr(&self) -> Option<SocketAddr> {
        self.host.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip.to_canonical(), self.port))
    }

    /// Its addresses, at least one.
    pub(super) async fn resolve(&self) -> Result<Vec<SocketAddr>, Error> {
        if let Some(addr) = self.addr() {
            return Ok(vec![addr]);
        }
        let (host, port) = (self.host.clone(), self.port);
        let found = rt::spawn_blocking(move || (host.as_str(), port).to_socket_addrs().map(Vec::from_iter)).await;
        let unknown = |why: &str| {
            Error::new(ErrorCode::NotFound, format!("cannot look up {}: {why}", self.host))
                .hint("Check the name, or give an address")
        };
        match found {
            Ok(found) if found.is_empty() => Err(unknown("it has no address")),
            Ok(found) => Ok(found),
            Err(error) => Err(unknown(&error.to_string())),
        }
    }
}

/// What no name of a host holds.
fn no_name(c: char) -> bool {
    c.is_whitespace() || c.is_control() || "/@<>|\"".contains(c)
}

impl std::fmt::Display for HostPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            return write!(f, "[{}]:{}", self.host, self.port);
        }
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_as_people_type_them() {
        let good = [
            ("1.2.3.4", "1.2.3.4", 6346),
            (" attic.local:7000 ", "attic.local", 7000),
            ("[::1]:80", "::1", 80),
            ("[::1]", "::1", 6346),
            ("fe80::1", "fe80::1", 6346),
        ];
        for (text, host, port) in good {
            let parsed = HostPort::parse(text).expect(text);
            assert_eq!((parsed.host.as_str(), parsed.port), (host, port), "{text}");
        }
        for text in ["", ":6346", "a b", "a:0", "a:65536", "a:b", "[::1", "[x]:1", "[::1]x", "http://a/", "a:1:2"] {
            assert_eq!(HostPort::parse(text).map_err(|error| error.code), Err(ErrorCode::Usage), "{text:?}");
        }
    }

    #[test]
    fn an_address_needs_no_look_up() {
        let host = HostPort::parse("[::ffff:127.0.0.1]:9").expect("a host");
        assert_eq!(rt::block_on(host.resolve()).expect("it is one"), ["127.0.0.1:9".parse().expect("an address")]);
    }
}
