//! The sixteen bytes that name a message or a servent.

use std::fmt;
use std::net::SocketAddrV4;
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

    /// The GUID of a query whose hits may come by UDP to `addr`: "bytes 0 to 3 of the guid are the 4 octet bytes of the IP
    /// address. Bytes 13 and 14 are the little endian representation of the port" (`out-of-band`, section B).
    #[must_use]
    pub fn with_address(mut self, addr: SocketAddrV4) -> Self {
        self.0[..4].copy_from_slice(&addr.ip().octets());
        self.0[13..15].copy_from_slice(&addr.port().to_le_bytes());
        self
    }

    /// What [`Self::with_address`] wrote; anything at all in the GUID of another message.
    pub fn address(&self) -> SocketAddrV4 {
        let [a, b, c, d, .., p0, p1, _] = self.0;
        SocketAddrV4::new([a, b, c, d].into(), u16::from_le_bytes([p0, p1]))
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
