//! Ping: who is there? (`doc/gnutella/GGEP`, "Ping Message")
//!
//! ```text
//! nothing, or an extension block
//! ```
//! Bounds: those of [`ggep`](super::ggep::Ggep).

use bytes::Bytes;

use super::DecodeError;
use super::ggep::{self, Ggep};

/// A Ping's payload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ping {
    /// Extensions (SCP and others): the first block.
    pub ggep: Ggep,
    /// What follows that is no GGEP, or a second block.
    pub rest: Vec<u8>,
}

/// Hosts that are wanted in the Pong: GGEP `SCP` ("supports cached pongs").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wants {
    /// Ultrapeers with slots for ultrapeers; else those with slots for leaves.
    pub ultrapeers: bool,
    /// Hosts with IPv4 addresses (GGEP `IPP`).
    pub v4: bool,
    /// Hosts with IPv6 addresses (GGEP `IPP6`).
    pub v6: bool,
}

/// Bits of `SCP` (gtk-gnutella's `pcache.h`; `IPv6-Ready`, section 5.4). 0x02 says that its sender speaks TLS.
const ULTRAPEERS: u8 = 0x01;
const IPV6: u8 = 0x04;
const NO_IPV4: u8 = 0x08;

impl Ping {
    /// A Ping that asks for hosts.
    pub fn asking(wants: Wants) -> Self {
        let bit = |is, bit| if is { bit } else { 0 };
        let bits = bit(wants.ultrapeers, ULTRAPEERS) | bit(wants.v6, IPV6) | bit(!wants.v4, NO_IPV4);
        let mut ping = Self::default();
        ping.ggep.push("SCP", &[bits]);
        ping
    }

    /// Which hosts it asks for, if it does. Without a value any will do, with IPv4 addresses, as before there were others.
    /// "When 0x8 is set, nodes should act as if 0x4 was set."
    pub fn wants(&self) -> Option<Wants> {
        let bits = self.ggep.get("SCP")?.ok()?.first().copied().unwrap_or(0);
        let v4 = bits & NO_IPV4 == 0;
        Some(Wants { ultrapeers: bits & ULTRAPEERS != 0, v4, v6: bits & IPV6 != 0 || !v4 })
    }

    /// Reads a payload of any length; none is wrong.
    pub fn decode(payload: &Bytes) -> Result<Self, DecodeError> {
        let (ggep, rest) = ggep::split(payload);
        Ok(Self { ggep, rest })
    }

    /// The payload.
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::new();
        self.ggep.encode(&mut out);
        out.extend_from_slice(&self.rest);
        out.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ping_may_be_empty_extended_or_strange() {
        for payload in [&b""[..], b"\xc3\x83SCP\x41\x03", b"\xc3", b"\0", b"\xc3\x83SCP\x41\x03\xc3\x81X\x40", b"hello"]
        {
            let payload = Bytes::from_static(payload);
            assert_eq!(Ping::decode(&payload).expect("a ping").encode(), payload);
        }
        let ping = Ping::decode(&Bytes::from_static(b"\xc3\x83SCP\x41\x03")).expect("a ping");
        assert_eq!(ping.ggep.get("SCP"), Some(Ok(vec![3])));
    }

    #[test]
    fn scp_says_which_hosts_are_wanted() {
        let wants = |ultrapeers, v4, v6| Some(Wants { ultrapeers, v4, v6 });
        for (scp, want) in [
            (&b"\xc3\x83SCP\x40"[..], wants(false, true, false)),
            (b"\xc3\x83SCP\x41\x02", wants(false, true, false)),
            (b"\xc3\x83SCP\x41\x01", wants(true, true, false)),
            (b"\xc3\x83SCP\x41\x05", wants(true, true, true)),
            (b"\xc3\x83SCP\x41\x0c", wants(false, false, true)),
            (b"\xc3\x83SCP\x41\x08", wants(false, false, true)),
            (b"", None),
        ] {
            let ping = Ping::decode(&Bytes::copy_from_slice(scp)).expect("a ping");
            assert_eq!(ping.wants(), want, "{scp:02x?}");
            if let Some(wants) = want {
                let back = Ping::decode(&Ping::asking(wants).encode()).expect("ours");
                assert_eq!(back.wants(), want);
            }
        }
    }
}
