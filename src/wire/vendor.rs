//! Vendor messages: what servents of one make, or of several, say beyond the protocol (`doc/gnutella/vendor_msg`).
//!
//! ```text
//! offset  0       4         6        8
//!         vendor  selector  version  what that message needs
//!         4       2         2 bytes; numbers little endian
//! ```
//! Bounds: none of its own.

use bytes::{BufMut, Bytes, BytesMut};

use super::{Cause, DecodeError};

/// A vendor message's payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vendor {
    /// Four letters, or four zero bytes for the standard ones.
    pub vendor: [u8; 4],
    /// Which message of that vendor's.
    pub selector: u16,
    /// Which version of it.
    pub version: u16,
    /// The rest.
    pub data: Bytes,
}

impl Vendor {
    /// Reads a payload.
    pub fn decode(payload: &Bytes) -> Result<Self, DecodeError> {
        let Some([v0, v1, v2, v3, s0, s1, n0, n1]) = payload.first_chunk::<8>().copied() else {
            let cause = Cause::Truncated { needed: 8, had: payload.len() };
            return Err(DecodeError::new("vendor message", "vendor, selector and version", 0, cause));
        };
        Ok(Self {
            vendor: [v0, v1, v2, v3],
            selector: u16::from_le_bytes([s0, s1]),
            version: u16::from_le_bytes([n0, n1]),
            data: payload.slice(8..),
        })
    }

    /// The payload.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(8 + self.data.len());
        out.put_slice(&self.vendor);
        out.put_u16_le(self.selector);
        out.put_u16_le(self.version);
        out.put_slice(&self.data);
        out.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vendor_selector_and_version_stand_before_the_data() {
        let payload = Bytes::from_static(b"GTKG\x09\0\x01\0\0");
        let message = Vendor::decode(&payload).expect("a vendor message");
        assert_eq!((&message.vendor, message.selector, message.version), (b"GTKG", 9, 1));
        assert_eq!((&message.data[..], message.encode()), (&b"\0"[..], payload.clone()));
        assert!(Vendor::decode(&payload.slice(..8)).is_ok());
        assert_eq!(Vendor::decode(&payload.slice(..7)).expect_err("7 bytes").offset, 0);
    }
}
