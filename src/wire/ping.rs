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

impl Ping {
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
}
