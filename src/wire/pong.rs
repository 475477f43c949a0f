//! Pong: I am, and this is what I share.
use super::{DecodeError, ggep::Ggep};
use bytes::Bytes;
use std::net::{SocketAddr, SocketAddrV4};

/// A Pong's payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pong {
    /// The address in the fixed part (IPv4 only).
    pub addr: SocketAddrV4,
    /// Files shared.
    pub files: u32,
    /// KiB shared.
    pub kib: u32,
    /// Extensions.
    pub ggep: Ggep,
    /// What follows that is no GGEP.
    pub rest: Vec<u8>,
}

impl Pong {
    /// A pong for `addr`; an IPv6 address goes into GGEP `6` beside an IPv4 address of 127.0.0.0.
    pub fn new(_addr: SocketAddr, _files: u32, _kib: u32) -> Self {
        todo!()
    }
    /// The address it speaks of: the one in GGEP `6` if there is one.
    pub fn host(&self) -> SocketAddr {
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
