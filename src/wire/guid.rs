//! The sixteen bytes that name a message or a servent.

use std::fmt;

use crate::base::Rng;

/// A message's or a servent's name: sixteen bytes.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guid(pub [u8; 16]);

impl Guid {
    /// A fresh GUID. "Byte 8 must be all 1s ... byte 15 all 0s" marks a modern servent (Gnutella 0.6
    /// draft, section 2.2.1); the other 112 bits are chance.
    pub fn random(rng: &mut Rng) -> Self {
        let mut bytes = [0; 16];
        rng.fill(&mut bytes);
        bytes[8] = 0xff;
        bytes[15] = 0x00;
        Self(bytes)
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Guid({self})")
    }
}
