//! Content names: `urn:sha1:`, `urn:bitprint:`, `urn:tree:tiger/:`, and our own `urn:blake3:`.

use std::fmt;
use std::str::FromStr;

use super::{Cause, DecodeError};

/// A SHA-1 digest: the network's name for content.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha1(pub [u8; 20]);
/// A Tiger tree root.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tth(pub [u8; 24]);
/// A BLAKE3 digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Blake3(pub [u8; 32]);

/// A content name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Urn {
    /// `urn:sha1:<32 base32>`
    Sha1(Sha1),
    /// `urn:bitprint:<32 base32>.<39 base32>`
    Bitprint(Sha1, Tth),
    /// `urn:tree:tiger/:<39 base32>` (also read with `tiger` and no slash, and as `urn:ttroot:`)
    Tth(Tth),
    /// `urn:blake3:<64 hex>`
    Blake3(Blake3),
}

impl Urn {
    /// The SHA-1 in it, if any.
    pub fn sha1(&self) -> Option<Sha1> {
        todo!()
    }
    /// The Tiger tree root in it, if any.
    pub fn tth(&self) -> Option<Tth> {
        todo!()
    }
    /// The BLAKE3 digest in it, if any.
    pub fn blake3(&self) -> Option<Blake3> {
        todo!()
    }
}

/// Parses any case of prefix and digits; SHA-1 also in hex.
impl FromStr for Urn {
    type Err = DecodeError;
    fn from_str(_: &str) -> Result<Self, DecodeError> {
        let _ = Cause::Invalid("");
        todo!()
    }
}
/// Upper-case base32, lower-case prefix.
impl fmt::Display for Urn {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}
/// Upper-case base32, no prefix.
impl fmt::Display for Sha1 {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}
/// Upper-case base32, no prefix.
impl fmt::Display for Tth {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}
/// Lower-case hex, no prefix.
impl fmt::Display for Blake3 {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}
impl fmt::Debug for Sha1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl fmt::Debug for Tth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl fmt::Debug for Blake3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
