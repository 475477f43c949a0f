//! The sixteen bytes that name a message or a servent.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER_PERMISSIVE;

use super::{Cause, DecodeError};
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

impl FromStr for Guid {
    type Err = DecodeError;
    /// 32 hex digits in any case.
    fn from_str(text: &str) -> Result<Self, DecodeError> {
        let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or(DecodeError::new("GUID", "digits", 0, Cause::Invalid("are not 32 hex digits")))
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Guid({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_read_in_any_case_and_nothing_else_is() {
        let guid = Guid::random(&mut Rng::from_number(1));
        assert_eq!(guid.to_string().parse(), Ok(guid));
        assert_eq!(guid.to_string().to_uppercase().parse(), Ok(guid));
        let digits = guid.to_string();
        for wrong in ["", &digits[1..], &digits[2..], &format!("{digits}00"), &format!("g{}", &digits[1..]), "é"] {
            assert!(wrong.parse::<Guid>().is_err(), "{wrong}");
        }
    }
}
