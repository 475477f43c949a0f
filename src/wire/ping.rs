//! Ping: who is there?
use super::{DecodeError, ggep::Ggep};
use bytes::Bytes;

/// A Ping's payload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ping {
    /// Extensions (SCP and others).
    pub ggep: Ggep,
    /// What follows that is no GGEP.
    pub rest: Vec<u8>,
}

impl Ping {
    /// Reads a payload of any length.
    pub fn decode(_: &Bytes) -> Result<Self, DecodeError> {
        todo!()
    }
    /// The payload.
    pub fn encode(&self) -> Bytes {
        todo!()
    }
}
