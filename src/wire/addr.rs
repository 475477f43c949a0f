//! Addresses in messages: IPv4 in the fixed part, IPv6 beside it in GGEP `6`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};

use super::ggep::Ggep;

/// "... and is set to 127.0.0.0 if the servent does not have a valid IPv4 address" (`doc/gnutella/IPv6-Ready`).
const NO_IPV4: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 0);

/// Puts `addr` into a fixed part, and into GGEP `6` where it does not fit.
pub(super) fn pack(addr: SocketAddr, ggep: &mut Ggep) -> SocketAddrV4 {
    match addr.ip().to_canonical() {
        IpAddr::V4(ip) => SocketAddrV4::new(ip, addr.port()),
        IpAddr::V6(ip) => {
            ggep.push("6", &ip.octets());
            SocketAddrV4::new(NO_IPV4, addr.port())
        }
    }
}

/// The address meant. `6` beside a true IPv4 address says that both work; then it is the IPv4 one.
pub(super) fn unpack(fixed: SocketAddrV4, ggep: &Ggep) -> SocketAddr {
    if *fixed.ip() == NO_IPV4
        && let Some(Ok(value)) = ggep.get("6")
        && let Some(octets) = value.first_chunk::<16>()
    {
        return SocketAddr::new(Ipv6Addr::from(*octets).into(), fixed.port());
    }
    fixed.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_comes_back_and_mapped_ones_are_ipv4() {
        for (given, back) in [
            ("10.1.2.3:6346", "10.1.2.3:6346"),
            ("[2001:db8::1]:6346", "[2001:db8::1]:6346"),
            ("[::ffff:10.1.2.3]:6346", "10.1.2.3:6346"),
        ] {
            let mut ggep = Ggep::default();
            let fixed = pack(given.parse().expect(given), &mut ggep);
            assert_eq!(unpack(fixed, &ggep), back.parse().expect(back));
        }
    }

    #[test]
    fn an_ipv4_address_wins_over_the_ipv6_address_beside_it() {
        let mut ggep = Ggep::default();
        ggep.push("6", &Ipv6Addr::LOCALHOST.octets());
        let fixed = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), 1);
        assert_eq!(unpack(fixed, &ggep), fixed.into());
    }
}
