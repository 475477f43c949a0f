//! Addresses: in messages (IPv4 in the fixed part, IPv6 beside it in GGEP `6`), in headers, and how far they
//! reach.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};

use super::ggep::Ggep;

/// "... and is set to 127.0.0.0 if the servent does not have a valid IPv4 address" (`doc/gnutella/IPv6-Ready`).
pub(super) const NO_IPV4: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 0);

/// The port that a host listens on when its address names none.
pub const DEFAULT_PORT: u16 = 6346;

/// How far an address reaches. Ordered: the wider, the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Loopback: this machine.
    Machine,
    /// Link-local, private and carrier-grade addresses: the same site.
    Site,
    /// Everybody.
    World,
}

/// How far `ip` reaches.
pub fn scope(ip: IpAddr) -> Scope {
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

/// Whether caps, diversity and the budget for strangers' hosts apply (docs/LIMITS.md).
pub fn is_public(ip: IpAddr) -> bool {
    scope(ip) == Scope::World
}

/// What stands for all addresses that one host can easily have: of IPv6 its /64 (RFC 6177 gives no site less), of IPv4 the
/// address. What is bounded for each address is counted by this.
pub fn subnet(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
        ip => ip,
    }
}

/// IPv4 in IPv6 clothes becomes IPv4, so that one host has one address.
pub fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

/// Reads one address as handshake headers have it: `1.2.3.4:6346`, `[::1]:6346`, or without a port; what
/// follows a space (a time stamp, in old `X-Try` headers) is skipped.
pub fn parse(text: &str) -> Option<SocketAddr> {
    let word = text.split_whitespace().next()?;
    let addr = word.parse().ok().or_else(|| word.parse().ok().map(|ip| SocketAddr::new(ip, DEFAULT_PORT)))?;
    Some(canonical(addr))
}

/// "The '6' extension holds a full IPv6 address, in raw binary big-endian format, that is 16 bytes."
const SIX: &str = "6";

/// The IPv6 address of a host that can be reached by either: GGEP `6` beside a true IPv4 address.
pub(super) fn beside(fixed: SocketAddrV4, ggep: &Ggep) -> Option<SocketAddr> {
    let value = ggep.get(SIX).filter(|_| *fixed.ip() != NO_IPV4)?.ok()?;
    let octets: [u8; 16] = value.try_into().ok()?;
    Some(SocketAddr::new(Ipv6Addr::from(octets).into(), fixed.port()))
}

/// What [`beside`] reads.
pub(super) fn push_beside(ggep: &mut Ggep, ip: Ipv6Addr) {
    ggep.push(SIX, &ip.octets());
}

/// Puts `addr` into a fixed part, and into GGEP `6` where it does not fit.
pub(super) fn pack(addr: SocketAddr, ggep: &mut Ggep) -> SocketAddrV4 {
    match addr.ip().to_canonical() {
        IpAddr::V4(ip) => SocketAddrV4::new(ip, addr.port()),
        IpAddr::V6(ip) => {
            push_beside(ggep, ip);
            SocketAddrV4::new(NO_IPV4, addr.port())
        }
    }
}

/// The address meant. `6` beside a true IPv4 address says that both work; then it is the IPv4 one.
pub(super) fn unpack(fixed: SocketAddrV4, ggep: &Ggep) -> SocketAddr {
    if *fixed.ip() == NO_IPV4
        && let Some(Ok(value)) = ggep.get(SIX)
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
            assert_eq!(scope(text.parse().expect(text)), want, "{text}");
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
    fn one_ipv6_host_is_its_64_and_one_ipv4_host_its_address() {
        let subnet = |text: &str| subnet(text.parse().expect("an address")).to_string();
        for (ip, stands_for) in [
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("2001:db8:1:2::", "2001:db8:1:2::"),
            ("2001:db8:1:3::1", "2001:db8:1:3::"),
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
        ] {
            assert_eq!(subnet(ip), stands_for, "{ip}");
        }
    }
}
