//! RouteTableUpdate: a query routing table, reset or patched.
use super::DecodeError;
use bytes::Bytes;

/// A RouteTableUpdate's payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteTableUpdate {
    /// Forget the table; the new one has this many slots.
    Reset {
        /// Number of slots, a power of two.
        slots: u32,
        /// The value that means "not here".
        infinity: u8,
    },
    /// A piece of the differences.
    Patch {
        /// 1-based.
        sequence: u8,
        /// How many pieces there are.
        count: u8,
        /// 0 none, 1 zlib.
        compressor: u8,
        /// Bits per slot.
        bits: u8,
        /// This piece, as it came.
        data: Bytes,
    },
    /// A variant that we do not know.
    Other {
        /// Its number.
        variant: u8,
        /// What follows.
        data: Bytes,
    },
}

impl RouteTableUpdate {
    /// Reads a payload.
    pub fn decode(_: &Bytes) -> Result<Self, DecodeError> {
        todo!()
    }
    /// The payload.
    pub fn encode(&self) -> Bytes {
        todo!()
    }
}
