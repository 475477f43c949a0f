//! Bytes to content names: SHA-1, Tiger tree and BLAKE3 in one pass over the bytes.

use super::{Blake3, Sha1, Tth, Urn};

/// The three names of one content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digests {
    /// SHA-1: what the network asks for.
    pub sha1: Sha1,
    /// Tiger tree root (THEX, 1024-byte leaves).
    pub tth: Tth,
    /// BLAKE3: our own.
    pub blake3: Blake3,
}

impl Digests {
    /// `urn:bitprint:`, which names SHA-1 and tree together.
    pub fn urn(&self) -> Urn {
        Urn::Bitprint(self.sha1, self.tth)
    }
}

/// Takes bytes in pieces of any length and yields the three names at the end.
#[derive(Clone)]
pub struct Digester {}

impl Digester {
    /// Nothing hashed yet.
    pub fn new() -> Self {
        todo!()
    }
    /// Takes the next bytes.
    pub fn update(&mut self, _bytes: &[u8]) {
        todo!()
    }
    /// The three names of all bytes taken.
    pub fn finish(self) -> Digests {
        todo!()
    }
}
