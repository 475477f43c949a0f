//! Push: please connect to this host and give it a file.
use super::{DecodeError, Guid, ggep::Ggep};
use bytes::Bytes;
use std::net::{SocketAddr, SocketAddrV4};

/// A Push's payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push {
    /// Whom it is for.
    pub servent: Guid,
    /// Its number for the file; may be 0 when the asker knows it by SHA-1 only.
    pub index: u32,
    /// The address in the fixed part (IPv4 only).
    pub addr: SocketAddrV4,
    /// Extensions.
    pub ggep: Ggep,
    /// What follows that is no GGEP.
    pub rest: Vec<u8>,
}

impl Push {
    /// A push that asks `servent` to connect to `addr`.
    pub fn new(_servent: Guid, _index: u32, _addr: SocketAddr) -> Self {
        todo!()
    }
    /// Whom to connect to: the address in GGEP `6` if there is one.
    pub fn host(&self) -> SocketAddr {
        todo!()
    }
    /// Whom it is for, alone: the first 16 bytes.
    pub fn servent_of(_payload: &[u8]) -> Option<Guid> {
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
