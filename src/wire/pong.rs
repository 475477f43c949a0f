//! Pong: I am, and this is what I share.
//!
//! ```text
//! offset  0     2     6      10    14
//!         port  IPv4  files  KiB   extension block
//!         2     4     4      4 bytes; numbers little endian, the address as it is read
//! ```
//! Gnutella 0.6 draft, section 2.2.3; the extension block is GGEP's. Bounds: those of [`ggep`](super::ggep::Ggep).

use std::net::{Ipv6Addr, SocketAddr, SocketAddrV4};

use bytes::Bytes;

use super::ggep::{self, Ggep};
use super::{Cause, DecodeError, addr, packed};

/// Vectors of other hosts.
const OTHERS: packed::Ids = ["IPP", "IPP6"];
/// The first byte of `UP`: what we say in `X-Query-Routing`.
const UP_VERSION: u8 = 1;
/// Seconds of a day.
const DAY: u64 = 24 * 60 * 60;

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

    /// The same, telling of free slots as [`Self::slots`] reads them; of an ultrapeer only.
    #[must_use]
    pub fn with_slots(mut self, leaves: u8, ultrapeers: u8) -> Self {
        self.ggep.push("UP", &[UP_VERSION, leaves, ultrapeers]);
        self
    }

    /// The sender's vendor code, and its version: four bits major, four bits minor. GGEP `VC`.
    pub fn vendor(&self) -> Option<([u8; 4], Option<u8>)> {
        let value = self.ggep.get("VC")?.ok()?;
        let (&code, rest) = value.split_first_chunk::<4>()?;
        Some((code, rest.first().copied()))
    }

    /// The same, with what [`Self::vendor`] reads.
    #[must_use]
    pub fn with_vendor(mut self, code: [u8; 4], version: u8) -> Self {
        let [a, b, c, d] = code;
        self.ggep.push("VC", &[a, b, c, d, version]);
        self
    }

    /// Seconds of a day that its sender is up, as it says. GGEP `DU`: up to four bytes, little endian, without those that are
    /// zero at the end.
    pub fn uptime(&self) -> Option<u32> {
        let value = self.ggep.get("DU")?.ok()?;
        let mut bytes = [0; 4];
        bytes.get_mut(..value.len())?.copy_from_slice(&value);
        Some(u32::from_le_bytes(bytes))
    }

    /// The same, with what [`Self::uptime`] reads: a day at most.
    #[must_use]
    pub fn with_uptime(mut self, seconds: u64) -> Self {
        let bytes = seconds.min(DAY).to_le_bytes();
        let len = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        self.ggep.push("DU", &bytes[..len]);
        self
    }

    /// The IPv6 address of a host that can be reached by either: GGEP `6` beside an IPv4 address (`IPv6-Ready`, section 5).
    pub fn also_at(&self) -> Option<SocketAddr> {
        addr::beside(self.addr, &self.ggep)
    }

    /// The same, with what [`Self::also_at`] reads.
    #[must_use]
    pub fn with_also_at(mut self, ip: Ipv6Addr) -> Self {
        addr::push_beside(&mut self.ggep, ip);
        self
    }

    /// Other hosts that it names, `most` of them: GGEP `IPP` and `IPP6`.
    pub fn others(&self, most: usize) -> Vec<SocketAddr> {
        packed::read(&self.ggep, OTHERS, most)
    }

    /// The same, with what [`Self::others`] reads.
    #[must_use]
    pub fn with_others(mut self, hosts: &[SocketAddr]) -> Self {
        packed::push(&mut self.ggep, OTHERS, hosts, hosts.len());
        self
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
        assert_eq!((pong.vendor(), pong.uptime()), (Some((*b"GTKG", Some(0x83))), Some(2)));
        assert_eq!((pong.also_at(), pong.others(64)), (None, vec![]));
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
    fn what_it_tells_besides_is_read_as_it_was_written_and_nonsense_is_nothing() {
        let bare = || Pong::new("10.0.0.1:6346".parse().expect("an address"), 1, 2);
        let back = |pong: Pong| Pong::decode(&pong.encode()).expect("ours");
        for (leaves, ultrapeers) in [(0, 0), (255, 3)] {
            assert_eq!(back(bare().with_slots(leaves, ultrapeers)).slots(), Some((leaves, ultrapeers)));
        }
        assert_eq!(back(bare().with_vendor(*b"FLBT", 0x01)).vendor(), Some((*b"FLBT", Some(1))));
        for (seconds, len, read) in [(0, 0, 0), (18, 1, 18), (256, 2, 256), (86_400, 3, 86_400), (u64::MAX, 3, 86_400)]
        {
            let pong = back(bare().with_uptime(seconds));
            assert_eq!(pong.ggep.get("DU").map(|value| value.expect("ours").len()), Some(len));
            assert_eq!(pong.uptime(), Some(read));
        }
        let ip: Ipv6Addr = "2001:db8::7".parse().expect("an address");
        let pong = back(bare().with_also_at(ip));
        assert_eq!(pong.also_at(), Some(SocketAddr::new(ip.into(), 6346)));
        assert_eq!(pong.host(), "10.0.0.1:6346".parse().expect("an address"), "the IPv4 address is the first");
        let six: SocketAddr = "[2001:db8::7]:6346".parse().expect("an address");
        assert_eq!(back(Pong::new(six, 1, 2)).also_at(), None, "that is where it is");
        let others = ["8.8.8.8:6346", "[2001:db8::9]:7"].map(|text| text.parse().expect("an address"));
        assert_eq!(back(bare().with_others(&others)).others(64), others);
        for (id, value) in
            [("UP", &b"\x01\x02"[..]), ("VC", b"GTK"), ("DU", b"12345"), ("6", &[7; 15]), ("IPP6", &[7; 17])]
        {
            let mut pong = bare();
            pong.ggep.push(id, value);
            let pong = back(pong);
            assert_eq!((pong.slots(), pong.vendor(), pong.uptime()), (None, None, None), "{id}");
            assert_eq!((pong.also_at(), pong.others(64)), (None, vec![]), "{id}");
        }
    }

    #[test]
    fn thirteen_bytes_are_no_pong_and_fourteen_are() {
        let error = Pong::decode(&Bytes::from_static(&[0; 13])).expect_err("13 bytes");
        assert_eq!(error.to_string(), "bad pong: fixed part at byte 0 needs 14 bytes, 13 are left");
        assert!(Pong::decode(&Bytes::from_static(&[0; 14])).is_ok());
    }
}
