//! Query: who has this?
use super::{DecodeError, Text, Urn, ggep::Ggep};
use bytes::Bytes;

/// A Query's payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The old "minimum speed" field, as flags.
    pub flags: Flags,
    /// The search words.
    pub text: Text,
    /// URNs asked for by content (HUGE).
    pub urns: Vec<Urn>,
    /// Extensions.
    pub ggep: Ggep,
    /// Everything after the text's NUL, as it came; `encode` writes this, the fields above were read from it.
    pub extension: Bytes,
    /// Whether the text was ended by a NUL (some clients leave it out).
    pub ended: bool,
}

/// The sixteen bits of the old "minimum speed" field, big endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(pub u16);

impl Flags {
    /// The field holds flags, not a speed.
    pub const MARK: u16 = 0x8000;
    /// The asker cannot be connected to.
    pub const FIREWALLED: u16 = 0x4000;
    /// GGEP `H` is understood in hits.
    pub const GGEP_H: u16 = 0x0800;
    /// Is this bit set, in a field that holds flags at all?
    pub fn has(self, bit: u16) -> bool {
        self.0 & Self::MARK != 0 && self.0 & bit != 0
    }
}

impl Query {
    /// A query of ours: flags MARK and GGEP_H; a query by URN has the text `\`.
    pub fn new(_text: &str, _urns: &[Urn]) -> Self {
        todo!()
    }
    /// Reads a payload.
    pub fn decode(_: &Bytes) -> Result<Self, DecodeError> {
        todo!()
    }
    /// The payload.
    pub fn encode(&self) -> Bytes {
        todo!()
    }
}
