//! Pong: I am, and this is what I share.
//!
//! ```text
//! offset  0     2     6      10    14
//!         port  IPv4  files  KiB   extension block
//!         2     4     4      4 bytes; numbers little endian, the address as it is read
//! ```
//! Gnutella 0.6 draft, section 2.2.3; the extension block is GGEP's. Bounds: those of [`ggep`](super::ggep::Ggep).

use std::net::{SocketAddr, SocketAddrV4};

use bytes::Bytes;

use super::ggep::{self, Ggep};
use super::{Cause, DecodeError, addr};

/// A Pong's payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pong {
    /// The address in the fixed part (IPv4 only).
    pub addr: SocketAddrV4,
    /// Files shared.
    pub files: u32,
    /// KiB shared.
    pub kib: u32,
    /// Extensions: the first block.
    pub ggep: Ggep,
    /// What follows that is no GGEP, or a second block.
    pub rest: Vec<u8>,
}

impl Pong {
    /// Length of the fixed part.
    pub const FIXED: usize = 14;

    /// A pong for `addr`; an IPv6 address goes into GGEP `6` beside an IPv4 address of 127.0.0.0.
    pub fn new(addr: SocketAddr, files: u32, kib: u32) -> Self {
        let mut ggep = Ggep::default();
        Self { addr: addr::pack(addr, &mut ggep), files, kib, ggep, rest: Vec::new() }
    }

    /// The address it speaks of: the one in GGEP `6` if the fixed part says that there is no IPv4 address.
    pub fn host(&self) -> SocketAddr {
        addr::unpack(self.addr, &self.ggep)
    }

    /// Free slots of an ultrapeer, for leaves and for ultrapeers: GGEP `UP`, a byte of version and one for each
    /// (gtk-gnutella's `pcache.c`).
    pub fn slots(&self) -> Option<(u8, u8)> {
        match self.ggep.get("UP")?.ok()?[..] {
            [_, leaves, ultrapeers, ..] => Some((leaves, ultrapeers)),
            _ => None,
        }
    }

    /// Reads a payload.
    pub fn decode(payload: &Bytes) -> Result<Self, DecodeError> {
        let Some((fixed, rest)) = payload.split_first_chunk::<{ Self::FIXED }>() else {
            let cause = Cause::Truncated { needed: Self::FIXED, had: payload.len() };
            return Err(DecodeError::new("pong", "fixed part", 0, cause));
        };
        let [p0, p1, a, b, c, d, f0, f1, f2, f3, k0, k1, k2, k3] = *fixed;
        let (ggep, rest) = ggep::split(rest);
        Ok(Self {
            addr: SocketAddrV4::new([a, b, c, d].into(), u16::from_le_bytes([p0, p1])),
            files: u32::from_le_bytes([f0, f1, f2, f3]),
            kib: u32::from_le_bytes([k0, k1, k2, k3]),
            ggep,
            rest,
        })
    }

    /// The payload.
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(Self::FIXED);
        out.extend_from_slice(&self.addr.port().to_le_bytes());
        out.extend_from_slice(&self.addr.ip().octets());
        out.extend_from_slice(&self.files.to_le_bytes());
        out.extend_from_slice(&self.kib.to_le_bytes());
        self.ggep.encode(&mut out);
        out.extend_from_slice(&self.rest);
        out.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_pong_is_taken_apart_and_put_together() {
        // gtk-gnutella's: port 6346, 100.64.1.1, 201 files, 1 GiB; GGEP VC (client and version), UP, DU (uptime), TLS.
        let payload = Bytes::from_static(
            b"\xca\x18\x64\x40\x01\x01\xc9\0\0\0\0\0\x10\0\xc3\x02VC\x45GTKG\x83\x02UP\x43\x02\xff\x31\x02DU\x41\x02\x83TLS\x40",
        );
        let pong = Pong::decode(&payload).expect("a pong");
        assert_eq!(pong.host().to_string(), "100.64.1.1:6346");
        assert_eq!((pong.files, pong.kib), (201, 1 << 20));
        assert_eq!(pong.ggep.get("VC"), Some(Ok(b"GTKG\x83".to_vec())));
        assert_eq!(pong.slots(), Some((255, 0x31)));
        assert_eq!(pong.encode(), payload);
    }

    #[test]
    fn an_ipv6_pong_tells_older_servents_127_0_0_0() {
        let addr: SocketAddr = "[2001:db8::7]:6346".parse().expect("an address");
        let pong = Pong::new(addr, 1, 2);
        assert_eq!(pong.addr.to_string(), "127.0.0.0:6346");
        let back = Pong::decode(&pong.encode()).expect("a pong");
        assert_eq!((back.host(), &back), (addr, &pong));
    }

    #[test]
    fn thirteen_bytes_are_no_pong_and_fourteen_are() {
        let error = Pong::decode(&Bytes::from_static(&[0; 13])).expect_err("13 bytes");
        assert_eq!(error.to_string(), "bad pong: fixed part at byte 0 needs 14 bytes, 13 are left");
        assert!(Pong::decode(&Bytes::from_static(&[0; 14])).is_ok());
    }
}
