//! Ranges of bytes in HTTP heads: what is asked for, and what is given (RFC 9110, section 14).
//!
//! Bounds: one range, in bytes, of numbers that fit into 64 bits.

use std::fmt;

use super::{Cause, DecodeError};

/// What a `Range:` header asks for. HTTP/1.1, RFC 9110 section 14.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteRange {
    /// `bytes=A-B`, both included.
    Between(u64, u64),
    /// `bytes=A-`
    From(u64),
    /// `bytes=-N`: the last N.
    Last(u64),
}

/// `Content-Range: bytes FIRST-LAST/TOTAL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentRange {
    /// First byte.
    pub first: u64,
    /// Last byte, included.
    pub last: u64,
    /// Size of the whole, if it is said.
    pub total: Option<u64>,
}

impl ByteRange {
    /// Reads a `Range` value: `bytes=A-B`, `bytes=A-`, `bytes=-N`; old clients write a space for the `=`.
    pub fn parse(value: &str) -> Result<Self, DecodeError> {
        let bad = |rule| DecodeError::new("http request", "Range", 0, Cause::Invalid(rule));
        let set = value.get(..5).filter(|unit| unit.eq_ignore_ascii_case("bytes")).map(|_| value[5..].trim_start());
        let set = set.ok_or_else(|| bad("is not in bytes"))?;
        let set = set.strip_prefix('=').unwrap_or(set).trim();
        if set.contains(',') {
            return Err(bad("asks for several ranges"));
        }
        let (first, last) = set.split_once('-').ok_or_else(|| bad("has no hyphen"))?;
        let (first, last) = (first.trim(), last.trim());
        let read = |text| number(text).ok_or_else(|| bad("has something else than a number"));
        match (first.is_empty(), last.is_empty()) {
            (true, true) => Err(bad("has no number")),
            (true, false) => Ok(Self::Last(read(last)?)),
            (false, true) => Ok(Self::From(read(first)?)),
            (false, false) => {
                let (first, last) = (read(first)?, read(last)?);
                if first > last { Err(bad("ends before it begins")) } else { Ok(Self::Between(first, last)) }
            }
        }
    }

    /// The bytes of a file of `size` that are meant, as first..end; `None` if there are none (416).
    pub fn resolve(self, size: u64) -> Option<std::ops::Range<u64>> {
        let range = match self {
            Self::Between(first, last) => first..last.saturating_add(1).min(size),
            Self::From(first) => first..size,
            Self::Last(count) => size.saturating_sub(count)..size,
        };
        (!range.is_empty()).then_some(range)
    }
}

/// As the value of a `Range` header.
impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Between(first, last) => write!(f, "bytes={first}-{last}"),
            Self::From(first) => write!(f, "bytes={first}-"),
            Self::Last(count) => write!(f, "bytes=-{count}"),
        }
    }
}

impl ContentRange {
    /// Reads a `Content-Range` value: `bytes FIRST-LAST/TOTAL`, where TOTAL may be `*`; old clients write
    /// `bytes=`. A range that ends before it begins, or beyond its total, is an error, and so is `bytes */TOTAL`.
    pub fn parse(value: &str) -> Result<Self, DecodeError> {
        let bad = |rule| DecodeError::new("http answer", "Content-Range", 0, Cause::Invalid(rule));
        let rest = value.get(..5).filter(|unit| unit.eq_ignore_ascii_case("bytes")).map(|_| value[5..].trim_start());
        let rest = rest.ok_or_else(|| bad("is not in bytes"))?;
        let rest = rest.strip_prefix('=').unwrap_or(rest);
        let (range, total) = rest.split_once('/').ok_or_else(|| bad("has no slash"))?;
        let (first, last) = range.split_once('-').ok_or_else(|| bad("has no hyphen"))?;
        let read = |text| number(text).ok_or_else(|| bad("has something else than a number"));
        let (first, last) = (read(first)?, read(last)?);
        let total = if total.trim() == "*" { None } else { Some(read(total)?) };
        if first > last || total.is_some_and(|total| last >= total) {
            return Err(bad("ends before it begins, or beyond its total"));
        }
        Ok(Self { first, last, total })
    }

    /// How many bytes there are; saturating, for a range that spans all 64 bits.
    pub fn length(&self) -> u64 {
        (self.last - self.first).saturating_add(1)
    }
}

/// As the value of a `Content-Range` header.
impl fmt::Display for ContentRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bytes {}-{}/", self.first, self.last)?;
        match self.total {
            Some(total) => write!(f, "{total}"),
            None => f.write_str("*"),
        }
    }
}

/// Digits alone: `parse` would also take a sign.
pub(super) fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_and_resolved() {
        for (value, range, resolved) in [
            ("bytes=0-0", ByteRange::Between(0, 0), Some(0..1)),
            ("bytes=2-18446744073709551615", ByteRange::Between(2, u64::MAX), Some(2..10)),
            ("Bytes 0-9", ByteRange::Between(0, 9), Some(0..10)),
            ("bytes=9-", ByteRange::From(9), Some(9..10)),
            ("bytes=10-", ByteRange::From(10), None),
            ("bytes = -3", ByteRange::Last(3), Some(7..10)),
            ("bytes=-11", ByteRange::Last(11), Some(0..10)),
            ("bytes=-0", ByteRange::Last(0), None),
            ("bytes=10-12", ByteRange::Between(10, 12), None),
        ] {
            assert_eq!(ByteRange::parse(value), Ok(range), "{value}");
            assert_eq!(range.resolve(10), resolved, "{value}");
            assert_eq!(ByteRange::parse(&range.to_string()), Ok(range));
            assert_eq!(range.resolve(0), None);
        }
        for value in
            ["", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=3-2", "bytes=0-1,3-4", "lines=0-1", "bytes=+1-"]
        {
            assert!(ByteRange::parse(value).is_err(), "{value}");
        }
    }

    #[test]
    fn content_ranges_are_read_and_must_make_sense() {
        for (value, first, last, total) in [
            ("bytes 0-524287/600000", 0, 524_287, Some(600_000)),
            ("bytes=5-5/*", 5, 5, None),
            ("BYTES 0-18446744073709551615/*", 0, u64::MAX, None),
        ] {
            let range = ContentRange { first, last, total };
            assert_eq!(ContentRange::parse(value), Ok(range), "{value}");
            assert_eq!(ContentRange::parse(&range.to_string()), Ok(range));
        }
        assert_eq!(ContentRange { first: 0, last: u64::MAX, total: None }.length(), u64::MAX);
        for value in ["", "bytes 0-1", "bytes */5", "bytes 3-2/9", "bytes 0-9/9", "bytes 0--1/9"] {
            assert!(ContentRange::parse(value).is_err(), "{value}");
        }
    }
}
