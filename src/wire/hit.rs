//! QueryHit: I have these.
use super::{DecodeError, Guid, Text, Urn, ggep::Ggep};
use bytes::Bytes;
use std::net::{SocketAddr, SocketAddrV4};

/// A QueryHit's payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryHit {
    /// The address in the fixed part (IPv4 only).
    pub addr: SocketAddrV4,
    /// Speed in kbit/s.
    pub speed: u32,
    /// The files.
    pub entries: Vec<Entry>,
    /// The trailer between the entries and the servent GUID; `None` when there is none (old servents).
    pub qhd: Option<Qhd>,
    /// Names the servent that has the files: Pushes are addressed to it.
    pub servent: Guid,
}

/// One file in a hit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The servent's number for the file.
    pub index: u32,
    /// Size in the fixed field; `u32::MAX` with GGEP `LF` for files of 4 GiB and more.
    pub size32: u32,
    /// Name, without path.
    pub name: Text,
    /// Between the two NULs, as it came; `encode` writes this.
    pub extension: Bytes,
    /// URNs in the extension, HUGE and GGEP `H`.
    pub urns: Vec<Urn>,
    /// GGEP blocks in the extension, merged.
    pub ggep: Ggep,
}

/// The query hit descriptor: vendor and flags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Qhd {
    /// Four letters.
    pub vendor: [u8; 4],
    /// "Open data": flags (bits to set first, mask second, as the wire has them), then anything.
    pub open: Vec<u8>,
    /// Private data as it came, GGEP included.
    pub private: Bytes,
    /// GGEP found in the private data.
    pub ggep: Ggep,
}

impl Entry {
    /// An entry of ours; names go into HUGE text and GGEP `H` (and `LF` for a large file).
    pub fn new(_index: u32, _size: u64, _name: &str, _urns: &[Urn]) -> Self {
        todo!()
    }
    /// The size, 64 bit.
    pub fn size(&self) -> u64 {
        todo!()
    }
    /// How many bytes it takes in a payload.
    pub fn wire_len(&self) -> usize {
        todo!()
    }
}

impl Qhd {
    /// A trailer of ours: push needed? all upload slots busy?
    pub fn new(_vendor: [u8; 4], _push: bool, _busy: bool) -> Self {
        todo!()
    }
    /// The "push needed" flag, if it is stated.
    pub fn push(&self) -> Option<bool> {
        todo!()
    }
    /// The "all slots busy" flag, if it is stated.
    pub fn busy(&self) -> Option<bool> {
        todo!()
    }
}

impl QueryHit {
    /// Bytes of a payload besides its entries, with a trailer of ours.
    pub const OVERHEAD: usize = 11 + 16 + 64;
    /// The address it speaks of: the one in GGEP `6` if there is one.
    pub fn host(&self) -> SocketAddr {
        todo!()
    }
    /// The servent GUID alone: the last 16 bytes. The router reads nothing else of a hit it forwards.
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
