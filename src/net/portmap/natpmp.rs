//! NAT-PMP (RFC 6886).
//!
//! ```text
//! asked     0  0                                          external address?
//! answered  0  128  result(2)  seconds(4)  IPv4(4)
//! asked     0  2  0(2)  internal(2)  external(2)  lifetime(4)      TCP, operation 2; UDP, 1
//!                                                                  lifetime 0 and external 0: remove
//! answered  0  operation + 128  result(2)  seconds(4)  internal(2)  external(2)  lifetime(4)
//! ```

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use super::{Dialect, Mapping, Refused, Router, Transport, ask, be16, be32, towards};

const ANSWER: u8 = 128;

pub(super) async fn map(router: &Router, of: (Transport, u16), wanted: u16, lifetime: u32) -> Result<Mapping, Refused> {
    let (socket, _) = towards(router).await?;
    let external = ask(&socket, &[0, 0], |answer| Some(check(answer, 0, 12)?.and_then(read_address))).await?;
    let (external_port, lifetime) =
        ask(&socket, &request(of, wanted, lifetime), |answer| read_mapping(answer, of)).await?;
    if external_port == 0 || lifetime == 0 {
        return Err(Refused::Garbage("a mapping to nothing"));
    }
    let external = SocketAddrV4::new(external, external_port);
    Ok(Mapping::new(Dialect::NatPmp, of.1, external, Duration::from_secs(lifetime.into())))
}

pub(super) async fn remove(router: &Router, of: (Transport, u16)) -> Result<(), Refused> {
    let (socket, _) = towards(router).await?;
    ask(&socket, &request(of, 0, 0), |answer| read_mapping(answer, of)).await.map(|_| ())
}

fn request((transport, port): (Transport, u16), wanted: u16, lifetime: u32) -> [u8; 12] {
    let mut out = [0; 12];
    out[1] = operation(transport);
    out[4..6].copy_from_slice(&port.to_be_bytes());
    out[6..8].copy_from_slice(&wanted.to_be_bytes());
    out[8..].copy_from_slice(&lifetime.to_be_bytes());
    out
}

const fn operation(transport: Transport) -> u8 {
    match transport {
        Transport::Udp => 1,
        Transport::Tcp => 2,
    }
}

/// Whether that answers `operation`, and what it says of it.
fn check(answer: &[u8], operation: u8, length: usize) -> Option<Result<&[u8], Refused>> {
    let (0, true) = (*answer.first()?, *answer.get(1)? == operation | ANSWER) else { return None };
    match be16(answer, 2)? {
        0 if answer.len() < length => Some(Err(Refused::Garbage("short"))),
        0 => Some(Ok(answer)),
        code => Some(Err(Refused::Code(code))),
    }
}

fn read_address(answer: &[u8]) -> Result<Ipv4Addr, Refused> {
    let ip = be32(answer, 8).map(Ipv4Addr::from).filter(|ip| !ip.is_unspecified());
    ip.ok_or(Refused::Garbage("no external address"))
}

fn read_mapping(answer: &[u8], (transport, port): (Transport, u16)) -> Option<Result<(u16, u32), Refused>> {
    let answer = match check(answer, operation(transport), 16)? {
        Ok(answer) => answer,
        Err(refused) => return Some(Err(refused)),
    };
    // One for another port of ours is not meant.
    (be16(answer, 8)? == port).then_some(Ok((be16(answer, 10)?, be32(answer, 12)?)))
}

#[cfg(test)]
mod tests {
    use super::super::tests::fake;
    use super::*;
    use crate::net::rt;

    #[test]
    fn a_router_maps_and_takes_back() {
        let router = fake(|asked| match asked {
            [0, 0] => Some(vec![0, 128, 0, 0, 0, 0, 0, 9, 198, 51, 100, 7]),
            // Another port than the one that was asked for, and half the time.
            [0, 2, 0, 0, 0x18, 0xca, wanted @ .., _, _, _, _] if wanted != [0, 0] => {
                let mut answer = vec![0, 130, 0, 0, 0, 0, 0, 9, 0x18, 0xca, 0x20, 0x00];
                answer.extend(1800_u32.to_be_bytes());
                Some(answer)
            }
            [0, 2, 0, 0, 0x18, 0xca, 0, 0, 0, 0, 0, 0] => {
                Some([&[0, 130, 0, 0, 0, 0, 0, 9, 0x18, 0xca, 0, 0][..], &[0; 4]].concat())
            }
            _ => None,
        });
        let mapping = rt::block_on(map(&router, (Transport::Tcp, 6346), 6346, 3600)).expect("a mapping");
        assert_eq!(mapping.external.to_string(), "198.51.100.7:8192");
        assert_eq!(mapping.lifetime, Duration::from_secs(1800));
        rt::block_on(remove(&router, (Transport::Tcp, 6346))).expect("removed");
    }

    #[test]
    fn what_it_says_instead_is_an_error_or_no_answer_at_all() {
        for (answer, what) in [
            (&b"\0\x82\0\x02\0\0\0\0\x18\xca\0\0\0\0\0\0"[..], Some("refused with code 2")),
            (b"\0\x82\0\0\0\0\0\0\x18\xca\0", Some("an answer that makes no sense (short)")),
            (b"\0\x82\0\0\0\0\0\0\x18\xcb\x18\xca\0\0\0\x01", None),
            (b"\x02\x82\0\0\0\0\0\0\x18\xca\x18\xca\0\0\0\x01", None),
            (b"\0\x80\0\0", None),
            (b"", None),
        ] {
            let said =
                read_mapping(answer, (Transport::Tcp, 6346)).map(|said| said.expect_err("no mapping").to_string());
            assert_eq!(said.as_deref(), what, "{answer:?}");
        }
        assert!(read_address(b"\0\x80\0\0\0\0\0\0\0\0\0\0").is_err());
    }
}
