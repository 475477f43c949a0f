//! Bye: the sender leaves, and says why.
use super::{DecodeError, Text};
use bytes::Bytes;

/// A Bye's payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bye {
    /// As in HTTP: 2xx normal, 4xx the receiver's fault, 5xx the sender's.
    pub code: u16,
    /// In words, and what follows them.
    pub text: Text,
}

impl Bye {
    /// Reads a payload.
    pub fn decode(_: &Bytes) -> Result<Self, DecodeError> {
        todo!()
    }
    /// The payload.
    pub fn encode(&self) -> Bytes {
        todo!()
    }
}
