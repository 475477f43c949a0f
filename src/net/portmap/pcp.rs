//! PCP, the Port Control Protocol (RFC 6887): the MAP request for one port.
//!
//! ```text
//! asked     2  1  0(2)  lifetime(4)  our address(16)
//! answered  2  129  0  result(1)  lifetime(4)  epoch(4)  0(12)
//! both then nonce(12)  protocol(1)  0(3)  internal(2)  external(2)  external address(16)
//! ```
//! Addresses are IPv6; IPv4 ones are mapped (`::ffff:a.b.c.d`). Lifetime 0 removes a mapping.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::time::Duration;

use super::{Dialect, Mapping, Refused, Router, Transport, ask, be16, be32, towards};

const VERSION: u8 = 2;
const MAP: u8 = 1;
const ANSWER: u8 = 0x80;
const LENGTH: usize = 60;

pub(super) async fn map(
    router: &Router,
    of: (Transport, u16),
    wanted: u16,
    lifetime: u32,
    nonce: [u8; 12],
) -> Result<Mapping, Refused> {
    let (socket, us) = towards(router).await?;
    let request = request(us, of, wanted, lifetime, &nonce);
    let (external, granted) = ask(&socket, &request, |answer| read(answer, of, &nonce)).await?;
    if lifetime > 0 && (granted == 0 || external.port() == 0 || external.ip().is_unspecified()) {
        return Err(Refused::Garbage("a mapping to nothing"));
    }
    Ok(Mapping::new(Dialect::Pcp(nonce), of.1, external, Duration::from_secs(granted.into())))
}

fn request(
    us: Ipv4Addr,
    (transport, port): (Transport, u16),
    wanted: u16,
    lifetime: u32,
    nonce: &[u8; 12],
) -> [u8; LENGTH] {
    let mut out = [0; LENGTH];
    (out[0], out[1]) = (VERSION, MAP);
    out[4..8].copy_from_slice(&lifetime.to_be_bytes());
    out[8..24].copy_from_slice(&us.to_ipv6_mapped().octets());
    out[24..36].copy_from_slice(nonce);
    out[36] = transport.number();
    out[40..42].copy_from_slice(&port.to_be_bytes());
    out[42..44].copy_from_slice(&wanted.to_be_bytes());
    out[44..60].copy_from_slice(&Ipv4Addr::UNSPECIFIED.to_ipv6_mapped().octets());
    out
}

fn read(
    answer: &[u8],
    (transport, port): (Transport, u16),
    nonce: &[u8; 12],
) -> Option<Result<(SocketAddrV4, u32), Refused>> {
    // Who speaks only NAT-PMP says so in its own version: UNSUPP_VERSION.
    if *answer.first()? == 0 && *answer.get(1)? & ANSWER != 0 {
        return Some(Err(Refused::Code(be16(answer, 2)?)));
    }
    if *answer.first()? != VERSION || *answer.get(1)? != MAP | ANSWER {
        return None;
    }
    if let code @ 1.. = *answer.get(3)? {
        return Some(Err(Refused::Code(code.into())));
    }
    // An answer to another request of somebody's.
    if answer.get(24..36)? != nonce || *answer.get(36)? != transport.number() || be16(answer, 40)? != port {
        return None;
    }
    let octets: [u8; 16] = answer.get(44..60)?.try_into().ok()?;
    let IpAddr::V4(ip) = IpAddr::V6(Ipv6Addr::from(octets)).to_canonical() else {
        return Some(Err(Refused::Garbage("no IPv4 address")));
    };
    Some(Ok((SocketAddrV4::new(ip, be16(answer, 42)?), be32(answer, 4)?)))
}

#[cfg(test)]
mod tests {
    use super::super::tests::fake;
    use super::super::{Outcome, remove};
    use super::*;
    use crate::base::Rng;
    use crate::net::rt;

    const PORT: (Transport, u16) = (Transport::Tcp, 6346);

    /// What a router that grants everything says.
    fn grant(asked: &[u8], external: [u8; 4]) -> Vec<u8> {
        let mut answer = asked.to_vec();
        answer[1] |= ANSWER;
        answer[8..24].fill(0);
        answer[44..60].copy_from_slice(&Ipv4Addr::from(external).to_ipv6_mapped().octets());
        answer
    }

    #[test]
    fn a_router_maps_renews_and_takes_back_under_the_same_nonce() {
        let (tell, told) = std::sync::mpsc::channel();
        let router = fake(move |asked| {
            let _ = tell.send(asked.to_vec());
            Some(grant(asked, [198, 51, 100, 7]))
        });
        let mut rng = Rng::from_number(1);
        let Outcome::Mapped(first) = rt::block_on(super::super::map(&router, 6346, None, &mut rng)) else {
            panic!("a mapping")
        };
        assert_eq!((first.external.to_string(), first.dialect.name()), ("198.51.100.7:6346".into(), "PCP"));
        assert!(first.udp);
        let again = rt::block_on(super::super::map(&router, 6346, Some(&first), &mut rng));
        assert_eq!(again, Outcome::Mapped(first.clone()));
        rt::block_on(remove(&router, &first));
        let told: Vec<_> = told.try_iter().collect();
        let lifetimes: Vec<_> = told.iter().map(|asked| be32(asked, 4).expect("60 bytes")).collect();
        assert_eq!(lifetimes, [3600, 3600, 3600, 3600, 0, 0]);
        let transports: Vec<_> = told.iter().map(|asked| asked[36]).collect();
        assert_eq!(transports, [6, 17, 6, 17, 6, 17]);
        assert!(told.iter().all(|asked| asked.len() == LENGTH && asked[24..36] == told[0][24..36]));
        assert_eq!(told[0][8..24], Ipv4Addr::LOCALHOST.to_ipv6_mapped().octets(), "our address towards the router");
    }

    #[test]
    fn only_the_answer_to_our_request_counts() {
        let nonce = [7; 12];
        let asked = request(Ipv4Addr::LOCALHOST, PORT, 6346, 3600, &nonce);
        let good = grant(&asked, [198, 51, 100, 7]);
        assert!(matches!(read(&good, PORT, &nonce), Some(Ok((at, 3600))) if at.port() == 6346));
        assert!(read(&good, (Transport::Tcp, 6347), &nonce).is_none(), "another port");
        assert!(read(&good, (Transport::Udp, 6346), &nonce).is_none(), "another transport");
        assert!(read(&good, PORT, &[8; 12]).is_none(), "another's nonce");
        assert!((0..LENGTH).all(|length| read(&good[..length], PORT, &nonce).is_none()), "cut short");
        let refused = [&[2, 0x81, 0, 8][..], &[0; 56]].concat();
        assert!(matches!(read(&refused, PORT, &nonce), Some(Err(Refused::Code(8)))));
        assert!(matches!(read(b"\0\x81\0\x01\0\0\0\0", PORT, &nonce), Some(Err(Refused::Code(1)))), "NAT-PMP alone");
        let six = grant(&asked, [0; 4]);
        let mut six = six;
        six[44..60].copy_from_slice(&Ipv6Addr::LOCALHOST.octets());
        assert!(matches!(read(&six, PORT, &nonce), Some(Err(Refused::Garbage(_)))));
    }
}
