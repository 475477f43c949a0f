//! Content names: `urn:sha1:`, `urn:bitprint:`, `urn:tree:tiger/:`, and our own `urn:blake3:`.
//!
//! HUGE 0.94 section 2 (`doc/gnutella/huge`): base32 of RFC 4648 without padding, case-insensitive, written in
//! upper case. "Any bitprint identifier ... can be converted to a sha1 value by truncating."

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE32_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE};

use super::text::strip;
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
        match self {
            Self::Sha1(sha1) | Self::Bitprint(sha1, _) => Some(*sha1),
            Self::Tth(_) | Self::Blake3(_) => None,
        }
    }

    /// The Tiger tree root in it, if any.
    pub fn tth(&self) -> Option<Tth> {
        match self {
            Self::Tth(tth) | Self::Bitprint(_, tth) => Some(*tth),
            Self::Sha1(_) | Self::Blake3(_) => None,
        }
    }

    /// The BLAKE3 digest in it, if any.
    pub fn blake3(&self) -> Option<Blake3> {
        match self {
            Self::Blake3(blake3) => Some(*blake3),
            _ => None,
        }
    }
}

const WHAT: &str = "urn";
/// The longest hash has 256 bits: so many digits of base32.
const MOST_DIGITS: usize = 52;

/// Decodes `digits`, which stand at `offset`, when their number is exactly the one that `N` bytes take.
fn base32<const N: usize>(digits: &str, field: &'static str, offset: usize) -> Result<[u8; N], DecodeError> {
    let bad = |cause| DecodeError::new(WHAT, field, offset, cause);
    let needed = (N * 8).div_ceil(5);
    if digits.len() < needed {
        return Err(bad(Cause::Truncated { needed, had: digits.len() }));
    }
    if digits.len() > needed {
        return Err(bad(Cause::TooLong { length: digits.len(), limit: needed }));
    }
    let mut upper = [0; MOST_DIGITS];
    let upper = &mut upper[..needed];
    upper.copy_from_slice(digits.as_bytes());
    upper.make_ascii_uppercase();
    let mut bytes = [0; N];
    let decoded = BASE32_NOPAD.decode_mut(upper, &mut bytes);
    decoded.map(|_| bytes).map_err(|_| bad(Cause::Invalid("is no base32")))
}

fn hex<const N: usize>(digits: &str, field: &'static str, offset: usize) -> Result<[u8; N], DecodeError> {
    let bad = |cause| DecodeError::new(WHAT, field, offset, cause);
    if digits.len() != 2 * N {
        return Err(bad(Cause::Invalid("has the wrong number of hex digits")));
    }
    let mut bytes = [0; N];
    let decoded = HEXLOWER_PERMISSIVE.decode_mut(digits.as_bytes(), &mut bytes);
    decoded.map(|_| bytes).map_err(|_| bad(Cause::Invalid("is no hex")))
}

impl FromStr for Sha1 {
    type Err = DecodeError;
    /// 32 base32 digits or 40 hex digits, in any case.
    fn from_str(text: &str) -> Result<Self, DecodeError> {
        sha1_at(text, 0)
    }
}

impl FromStr for Tth {
    type Err = DecodeError;
    /// 39 base32 digits in any case.
    fn from_str(text: &str) -> Result<Self, DecodeError> {
        base32(text, "tth", 0).map(Tth)
    }
}

impl FromStr for Blake3 {
    type Err = DecodeError;
    /// 64 hex digits in any case.
    fn from_str(text: &str) -> Result<Self, DecodeError> {
        hex(text, "blake3", 0).map(Blake3)
    }
}

fn sha1_at(digits: &str, offset: usize) -> Result<Sha1, DecodeError> {
    match digits.len() {
        40 => hex(digits, "sha1", offset).map(Sha1),
        _ => base32(digits, "sha1", offset).map(Sha1),
    }
}

/// Parses any case of prefix and digits; SHA-1 also in hex.
impl FromStr for Urn {
    type Err = DecodeError;
    fn from_str(text: &str) -> Result<Self, DecodeError> {
        let at = |rest: &str| text.len() - rest.len();
        if let Some(rest) = strip(text, "urn:sha1:") {
            return sha1_at(rest, at(rest)).map(Self::Sha1);
        }
        if let Some(rest) = strip(text, "urn:bitprint:") {
            let Some((sha1, tth)) = rest.split_once('.') else {
                return Err(DecodeError::new(WHAT, "bitprint", at(rest), Cause::Invalid("has no full stop in it")));
            };
            return Ok(Self::Bitprint(sha1_at(sha1, at(rest))?, base32(tth, "tth", at(tth)).map(Tth)?));
        }
        for prefix in ["urn:tree:tiger/:", "urn:tree:tiger:", "urn:ttroot:"] {
            if let Some(rest) = strip(text, prefix) {
                return base32(rest, "tth", at(rest)).map(|tth| Self::Tth(Tth(tth)));
            }
        }
        if let Some(rest) = strip(text, "urn:blake3:") {
            return hex(rest, "blake3", at(rest)).map(|blake3| Self::Blake3(Blake3(blake3)));
        }
        Err(DecodeError::new(WHAT, "namespace", 0, Cause::Invalid("is none of sha1, bitprint, tree:tiger, blake3")))
    }
}

/// Upper-case base32, lower-case prefix.
impl fmt::Display for Urn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sha1(sha1) => write!(f, "urn:sha1:{sha1}"),
            Self::Bitprint(sha1, tth) => write!(f, "urn:bitprint:{sha1}.{tth}"),
            Self::Tth(tth) => write!(f, "urn:tree:tiger/:{tth}"),
            Self::Blake3(blake3) => write!(f, "urn:blake3:{blake3}"),
        }
    }
}
/// Upper-case base32, no prefix.
impl fmt::Display for Sha1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE32_NOPAD.encode(&self.0))
    }
}
/// Upper-case base32, no prefix.
impl fmt::Display for Tth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE32_NOPAD.encode(&self.0))
    }
}
/// Lower-case hex, no prefix.
impl fmt::Display for Blake3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
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

#[cfg(test)]
mod tests {
    use super::*;

    const SHA1: &str = "GKECXDEZDWGCRBZWKYBJD5GGT4KAUE5V";
    const TTH: &str = "LWPNACQDBZRYXW3VHJVCJ64QBZNGHOHHHZWCLNQ";

    #[test]
    fn names_are_read_in_any_case_and_written_in_one() {
        let sha1 = format!("urn:sha1:{SHA1}");
        let bitprint = format!("urn:bitprint:{SHA1}.{TTH}");
        let tth = format!("urn:tree:tiger/:{TTH}");
        let blake3 = format!("urn:blake3:{}", "0aF1".repeat(16));
        for (written, canonical) in [
            (sha1.clone(), &sha1),
            (sha1.to_lowercase(), &sha1),
            (sha1.to_uppercase(), &sha1),
            ("urn:sha1:32882b8c991d8c288736560291f4c69f140a13b5".to_owned(), &sha1),
            (bitprint.to_uppercase(), &bitprint),
            (tth.clone(), &tth),
            (format!("urn:tree:tiger:{TTH}"), &tth),
            (format!("urn:ttroot:{TTH}"), &tth),
            (blake3.clone(), &blake3.to_lowercase()),
        ] {
            let urn: Urn = written.parse().expect(&written);
            assert_eq!(&urn.to_string(), canonical);
        }
    }

    #[test]
    fn a_bitprint_is_also_a_sha1_and_a_tree() {
        let urn: Urn = format!("urn:bitprint:{SHA1}.{TTH}").parse().expect("a bitprint");
        assert_eq!(urn.sha1().map(|sha1| sha1.to_string()).as_deref(), Some(SHA1));
        assert_eq!(urn.tth().map(|tth| tth.to_string()).as_deref(), Some(TTH));
        assert_eq!(urn.blake3(), None);
    }

    #[test]
    fn an_error_says_which_part_was_wrong_and_where() {
        for (text, field, offset) in [
            ("".to_owned(), "namespace", 0),
            ("urn:".to_owned(), "namespace", 0),
            ("urn:md5:00".to_owned(), "namespace", 0),
            ("urn:sha1:ABC".to_owned(), "sha1", 9),
            (format!("urn:sha1:{SHA1}A"), "sha1", 9),
            (format!("urn:sha1:{}1", &SHA1[1..]), "sha1", 9),
            (format!("urn:bitprint:{SHA1}"), "bitprint", 13),
            (format!("urn:bitprint:{SHA1}.{SHA1}"), "tth", 46),
            ("urn:blake3:zz".to_owned(), "blake3", 11),
            ("urn:sha1:\u{e9}\u{e9}".to_owned(), "sha1", 9),
        ] {
            let error = text.parse::<Urn>().expect_err(&text);
            assert_eq!((error.field, error.offset), (field, offset), "{text}");
        }
    }
}
