//! Vendor messages.
use super::DecodeError;
use bytes::Bytes;

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
    pub fn decode(_: &Bytes) -> Result<Self, DecodeError> {
        todo!()
    }
    /// The payload.
    pub fn encode(&self) -> Bytes {
        todo!()
    }
}
