//! Push: please connect to this host and give it a file.
//!
//! ```text
//! offset  0        16     20    24    26
//!         servent  index  IPv4  port  extension block
//!         16       4      4     2 bytes; numbers little endian, the address as it is read
//! ```
//! Gnutella 0.6 draft, section 2.2.6; the extension block is GGEP's, and real clients send one (`TLS`).
//! The answer is a connection that begins with a [`Giv`]. Bounds: those of [`ggep`](super::ggep::Ggep).

use std::net::{SocketAddr, SocketAddrV4};

use bytes::Bytes;

use super::ggep::{self, Ggep};
use super::{Cause, DecodeError, Guid, addr};

/// A Push's payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push {
    /// Whom it is for.
    pub servent: Guid,
    /// Its number for the file; may be 0 when the asker knows it by SHA-1 only.
    pub index: u32,
    /// The address in the fixed part (IPv4 only).
    pub addr: SocketAddrV4,
    /// Extensions: the first block.
    pub ggep: Ggep,
    /// What follows that is no GGEP, or a second block.
    pub rest: Vec<u8>,
}

impl Push {
    /// Length of the fixed part.
    pub const FIXED: usize = 26;

    /// A push that asks `servent` to connect to `addr`.
    pub fn new(servent: Guid, index: u32, addr: SocketAddr) -> Self {
        let mut ggep = Ggep::default();
        Self { servent, index, addr: addr::pack(addr, &mut ggep), ggep, rest: Vec::new() }
    }

    /// Whom to connect to: the address in GGEP `6` if the fixed part says that there is no IPv4 address.
    pub fn host(&self) -> SocketAddr {
        addr::unpack(self.addr, &self.ggep)
    }

    /// Whom it is for, alone: the first 16 bytes. The router reads nothing else of a push it forwards.
    pub fn servent_of(payload: &[u8]) -> Option<Guid> {
        if payload.len() < Self::FIXED {
            return None;
        }
        payload.first_chunk().copied().map(Guid)
    }

    /// Reads a payload.
    pub fn decode(payload: &Bytes) -> Result<Self, DecodeError> {
        let Some((fixed, rest)) = payload.split_first_chunk::<{ Self::FIXED }>() else {
            let cause = Cause::Truncated { needed: Self::FIXED, had: payload.len() };
            return Err(DecodeError::new("push", "fixed part", 0, cause));
        };
        let mut servent = Guid::default();
        servent.0.copy_from_slice(&fixed[..16]);
        let [i0, i1, i2, i3, a, b, c, d, p0, p1] = fixed[16..] else {
            return Err(DecodeError::new("push", "fixed part", 16, Cause::Invalid("is short")));
        };
        let (ggep, rest) = ggep::split(rest);
        Ok(Self {
            servent,
            index: u32::from_le_bytes([i0, i1, i2, i3]),
            addr: SocketAddrV4::new([a, b, c, d].into(), u16::from_le_bytes([p0, p1])),
            ggep,
            rest,
        })
    }

    /// The payload.
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(Self::FIXED);
        out.extend_from_slice(&self.servent.0);
        out.extend_from_slice(&self.index.to_le_bytes());
        out.extend_from_slice(&self.addr.ip().octets());
        out.extend_from_slice(&self.addr.port().to_le_bytes());
        self.ggep.encode(&mut out);
        out.extend_from_slice(&self.rest);
        out.into()
    }
}

/// How a servent that was pushed opens its connection: `GIV INDEX:SERVENT/NAME`, an empty line, and then it
/// awaits an HTTP request. Gnutella 0.6 draft, section 3.2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Giv {
    /// The file's number, from the push.
    pub index: u32,
    /// Who it is that opens the connection.
    pub servent: Guid,
    /// The file's name; some clients say `file` whatever it is called.
    pub name: String,
}

impl Giv {
    /// Reads the first line of a head (see [`RawHead`](super::head::RawHead)).
    pub fn parse(line: &str) -> Result<Self, DecodeError> {
        let bad = |field, offset, rule| DecodeError::new("giv", field, offset, Cause::Invalid(rule));
        let rest = line.strip_prefix("GIV ").ok_or_else(|| bad("method", 0, "is not GIV"))?;
        let (index, rest) = rest.split_once(':').ok_or_else(|| bad("index", 4, "is not ended by a colon"))?;
        let index_value = index.trim().parse().map_err(|_| bad("index", 4, "is no number of 32 bits"))?;
        let servent_at = 4 + index.len() + 1;
        let (servent, name) = rest.split_once('/').unwrap_or((rest, ""));
        let servent = servent.trim().parse().map_err(|_| bad("servent", servent_at, "is not 32 hex digits"))?;
        Ok(Self { index: index_value, servent, name: name.trim_end().to_owned() })
    }

    /// The bytes, with both line ends: the draft has them as bare LF, and clients look for that.
    pub fn encode(&self) -> Vec<u8> {
        let name = self.name.replace(['\r', '\n', '\0'], "_");
        format!("GIV {}:{}/{name}\n\n", self.index, self.servent).into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_push_is_laid_out_as_the_draft_says() {
        let push = Push::new(Guid([9; 16]), 155, "100.64.6.151:6515".parse().expect("an address"));
        let payload = push.encode();
        assert_eq!(payload.len(), Push::FIXED);
        assert_eq!(payload[16..], *b"\x9b\0\0\0\x64\x40\x06\x97\x73\x19");
        assert_eq!(Push::decode(&payload), Ok(push));
        assert_eq!(Push::servent_of(&payload), Some(Guid([9; 16])));
    }

    #[test]
    fn a_push_may_carry_extensions_and_must_not_be_short() {
        let mut push = Push::new(Guid([9; 16]), 0, "[2001:db8::1]:1".parse().expect("an address"));
        push.ggep.push("TLS", b"");
        let payload = push.encode();
        let back = Push::decode(&payload).expect("a push");
        assert_eq!(back.host().to_string(), "[2001:db8::1]:1");
        assert!(back.ggep.has("TLS"));
        let error = Push::decode(&payload.slice(..25)).expect_err("25 bytes");
        assert_eq!((error.field, Push::servent_of(&payload[..25])), ("fixed part", None));
    }

    #[test]
    fn a_giv_is_read_with_and_without_a_name() {
        let line = "GIV 155:187631028a66e97570c63d9bc9a0b9bf/file";
        let giv = Giv::parse(line).expect("a giv");
        assert_eq!((giv.index, giv.name.as_str()), (155, "file"));
        assert_eq!(giv.encode(), format!("{line}\n\n").into_bytes());
        assert!(Giv::parse("GIV 0:187631028A66E97570C63D9BC9A0B9BF").is_ok());
        for (line, field) in [("GIV", "method"), ("GIV x:00/", "index"), ("GIV 1", "index"), ("GIV 1:00/a", "servent")]
        {
            assert_eq!(Giv::parse(line).expect_err(line).field, field);
        }
    }
}
