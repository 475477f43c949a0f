//! Addresses: who may name them, who may be dialled there, and which nets they share.
//!
//! A stranger on the public network who names `127.0.0.1` or `192.168.1.1` wants us to knock at a door that
//! it cannot reach itself. So an address is taken (and told) only when it reaches at least as far as the one
//! who names (or hears) it: see [`may_name`].

use std::net::{IpAddr, SocketAddr};

pub(super) use crate::wire::addr::{Scope, canonical, is_public, parse, scope, subnet};

/// Whether somebody at `who` may name `named` to us, and whether we tell `named` to somebody at `who`.
pub fn may_name(who: IpAddr, named: IpAddr) -> bool {
    scope(named) >= scope(who)
}

/// Whether a host could listen there at all.
pub fn is_dialable(addr: SocketAddr) -> bool {
    let ip = addr.ip();
    let nobody = ip.is_unspecified() || ip.is_multicast();
    // 0/8 is this network, 240/4 is kept for later (RFC 6890); 127.0.0.0 stands for "no IPv4 address" (`IPv6-Ready`, section 2.1).
    let this_net = matches!(ip, IpAddr::V4(ip) if matches!(ip.octets(), [0 | 240.., ..] | [127, 0, 0, 0]));
    !nobody && !this_net && addr.port() != 0
}

/// "Never to ports below 1024 except 80 and 443": a swarm must not be turned against mail servers.
pub fn is_strangers_port(port: u16) -> bool {
    port >= 1024 || port == 80 || port == 443
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

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
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
    fn nobody_listens_at_port_zero_or_at_a_broadcast_address() {
        for text in [
            "1.2.3.4:0",
            "0.0.0.0:6346",
            "0.1.2.3:6346",
            "255.255.255.255:6346",
            "240.0.0.1:6346",
            "224.0.0.1:6346",
            "127.0.0.0:1",
            "[::]:1",
        ] {
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
