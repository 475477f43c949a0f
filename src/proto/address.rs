//! Addresses: how far they reach, who may name them, and which nets they share.
//!
//! A stranger on the public network who names `127.0.0.1` or `192.168.1.1` wants us to knock at a door that
//! it cannot reach itself. So an address is taken (and told) only when it reaches at least as far as the one
//! who names (or hears) it: see [`may_name`].

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The port that a host listens on when its address names none.
pub(super) const DEFAULT_PORT: u16 = 6346;

/// How far an address reaches. Ordered: the wider, the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scope {
    /// Loopback: this machine.
    Machine,
    /// Link-local, private and carrier-grade addresses: the same site.
    Site,
    /// Everybody.
    World,
}

/// How far `ip` reaches.
pub(super) fn scope(ip: IpAddr) -> Scope {
    match ip.to_canonical() {
        ip if ip.is_loopback() => Scope::Machine,
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            // 100.64/10 is shared address space (RFC 6598): never anybody's public address.
            let shared = a == 100 && (64..128).contains(&b);
            if ip.is_private() || ip.is_link_local() || shared { Scope::Site } else { Scope::World }
        }
        IpAddr::V6(ip) if ip.is_unique_local() || ip.is_unicast_link_local() => Scope::Site,
        IpAddr::V6(_) => Scope::World,
    }
}

/// Whether caps, diversity and the budget for strangers' hosts apply (DESIGN section 6).
pub(super) fn is_public(ip: IpAddr) -> bool {
    scope(ip) == Scope::World
}

/// Whether somebody at `who` may name `named` to us, and whether we tell `named` to somebody at `who`.
pub(super) fn may_name(who: IpAddr, named: IpAddr) -> bool {
    scope(named) >= scope(who)
}

/// Whether a host could listen there at all.
pub(super) fn is_dialable(addr: SocketAddr) -> bool {
    let ip = addr.ip();
    let nobody = ip.is_unspecified() || ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST);
    let this_net = matches!(ip, IpAddr::V4(ip) if ip.octets()[0] == 0);
    !nobody && !this_net && addr.port() != 0
}

/// "Never to ports below 1024 except 80 and 443": a swarm must not be turned against mail servers.
pub(super) fn is_strangers_port(port: u16) -> bool {
    port >= 1024 || port == 80 || port == 443
}

/// IPv4 in IPv6 clothes becomes IPv4, so that one host has one address.
pub(super) fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

/// The wide net of an address (its /16, or /48): one operator, often one customer.
pub(super) fn wide_net(ip: IpAddr) -> u64 {
    match ip.to_canonical() {
        IpAddr::V4(ip) => u64::from(u32::from(ip) >> 16),
        IpAddr::V6(ip) => 1 << 48 | (u128::from(ip) >> 80) as u64,
    }
}

/// The narrow net of an address (its /24, or /48).
pub(super) fn narrow_net(ip: IpAddr) -> u64 {
    match ip.to_canonical() {
        IpAddr::V4(ip) => u64::from(u32::from(ip) >> 8),
        IpAddr::V6(_) => wide_net(ip),
    }
}

/// Reads one address as handshake headers have it: `1.2.3.4:6346`, `[::1]:6346`, or without a port; what
/// follows a space (a time stamp, in old `X-Try` headers) is skipped.
pub(super) fn parse(text: &str) -> Option<SocketAddr> {
    let word = text.split_whitespace().next()?;
    let addr = word.parse().ok().or_else(|| word.parse().ok().map(|ip| SocketAddr::new(ip, DEFAULT_PORT)))?;
    Some(canonical(addr))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn exempt_ranges_are_those_of_the_design_and_no_others() {
        let rows = [
            ("127.0.0.1", Scope::Machine),
            ("127.200.3.4", Scope::Machine),
            ("::1", Scope::Machine),
            ("::ffff:127.0.0.1", Scope::Machine),
            ("10.255.0.1", Scope::Site),
            ("172.16.0.1", Scope::Site),
            ("172.31.255.255", Scope::Site),
            ("172.32.0.1", Scope::World),
            ("192.168.7.7", Scope::Site),
            ("169.254.1.1", Scope::Site),
            ("100.63.255.255", Scope::World),
            ("100.64.0.1", Scope::Site),
            ("100.127.255.255", Scope::Site),
            ("100.128.0.0", Scope::World),
            ("fc00::1", Scope::Site),
            ("fdff::1", Scope::Site),
            ("fe80::1", Scope::Site),
            ("2001:db8::1", Scope::World),
            ("8.8.8.8", Scope::World),
        ];
        for (text, want) in rows {
            assert_eq!(scope(ip(text)), want, "{text}");
        }
    }

    #[test]
    fn nobody_names_an_address_that_reaches_less_far_than_himself() {
        let rows = [
            ("127.0.0.1", "127.0.0.2", true),
            ("127.0.0.1", "8.8.8.8", true),
            ("192.168.0.2", "127.0.0.1", false),
            ("192.168.0.2", "10.0.0.1", true),
            ("8.8.8.8", "192.168.0.1", false),
            ("8.8.8.8", "9.9.9.9", true),
        ];
        for (who, named, want) in rows {
            assert_eq!(may_name(ip(who), ip(named)), want, "{who} names {named}");
        }
    }

    #[test]
    fn addresses_are_read_as_headers_have_them() {
        let rows = [
            ("1.2.3.4:99", Some("1.2.3.4:99")),
            (" 1.2.3.4 ", Some("1.2.3.4:6346")),
            ("1.2.3.4:99 2003-04-05T06:07Z", Some("1.2.3.4:99")),
            ("[::1]:5", Some("[::1]:5")),
            ("[::ffff:1.2.3.4]:5", Some("1.2.3.4:5")),
            ("::1", Some("[::1]:6346")),
            ("host.example:6346", None),
            ("1.2.3.4:99999", None),
            ("", None),
        ];
        for (text, want) in rows {
            assert_eq!(parse(text).map(|addr| addr.to_string()).as_deref(), want, "{text}");
        }
    }

    #[test]
    fn nobody_listens_at_port_zero_or_at_a_broadcast_address() {
        for text in ["1.2.3.4:0", "0.0.0.0:6346", "0.1.2.3:6346", "255.255.255.255:6346", "224.0.0.1:6346", "[::]:1"] {
            assert!(!is_dialable(text.parse().expect("an address")), "{text}");
        }
        assert!(is_dialable("127.0.0.1:1".parse().expect("an address")));
    }

    #[test]
    fn nets_of_both_families_never_mix() {
        assert_eq!(wide_net(ip("1.2.3.4")), wide_net(ip("1.2.200.4")));
        assert_ne!(narrow_net(ip("1.2.3.4")), narrow_net(ip("1.2.200.4")));
        assert_eq!(narrow_net(ip("2001:db8:1:2::1")), narrow_net(ip("2001:db8:1:ffff::1")));
        assert_ne!(wide_net(ip("::2")), wide_net(ip("0.0.0.2")));
    }
}
