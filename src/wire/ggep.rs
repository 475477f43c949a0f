//! GGEP: named extension blocks (`doc/gnutella/GGEP`).

use super::DecodeError;

/// One block of extensions: magic 0xC3, then extensions in the order they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ggep {
    /// The extensions, in order; unknown ones too.
    pub extensions: Vec<Extension>,
}

/// One extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// 1 to 15 bytes, none of them zero.
    pub id: Vec<u8>,
    /// The value as it stood on the wire (COBS and deflate still on), so that it re-encodes byte for byte.
    pub raw: Vec<u8>,
    /// The value is COBS-encoded on the wire.
    pub cobs: bool,
    /// The value is deflated on the wire (before COBS).
    pub deflated: bool,
}

impl Ggep {
    /// Adds an extension; `value` is COBS-encoded when it holds a zero byte.
    pub fn push(&mut self, _id: &str, _value: &[u8]) {
        todo!()
    }
    /// The decoded value of the first extension called `id` (bounded in output).
    pub fn get(&self, _id: &str) -> Option<Result<Vec<u8>, DecodeError>> {
        todo!()
    }
    /// Whether there is an extension called `id`.
    pub fn has(&self, _id: &str) -> bool {
        todo!()
    }
    /// Whether there is none at all.
    pub fn is_empty(&self) -> bool {
        self.extensions.is_empty()
    }
}
