//! DIME: records of bytes, each with a type and a name, in one message (draft-nielsen-dime-02).
//!
//! Version 1. A record in chunks is put together. Options are skipped. What is read borrows from the message,
//! but for records in chunks, so it never takes more memory than came in.

use std::borrow::Cow;

use super::{Cause, DecodeError};

/// A message of more records than this is refused.
pub const MAX_RECORDS: usize = 16;
/// Bytes before the variable parts of a record.
const HEADER: usize = 12;
const VERSION: u8 = 1;

/// "Message begin", "message end", "chunk flag".
const MB: u8 = 0b100;
const ME: u8 = 0b010;
const CF: u8 = 0b001;

/// How a record's type is to be understood (section 3.2.4, TYPE_T).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypeFormat {
    /// A media type: `text/xml`.
    Media,
    /// An absolute URI.
    Uri,
    /// Not known, not given, or one that we do not know.
    Other(u8),
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// What `kind` is.
    pub format: TypeFormat,
    /// The type of its data.
    pub kind: Cow<'a, [u8]>,
    /// Its name in the message; empty when it has none.
    pub id: Cow<'a, [u8]>,
    /// What it carries.
    pub data: Cow<'a, [u8]>,
}

/// The message of these records. Types and names are below 64 KiB, data below 4 GiB.
pub fn encode(records: &[Record<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    for (i, record) in records.iter().enumerate() {
        let first = if i == 0 { MB } else { 0 };
        let last = if i + 1 == records.len() { ME } else { 0 };
        out.push(VERSION << 3 | first | last);
        out.push(u8::from(record.format) << 4);
        for length in [0, record.id.len(), record.kind.len()] {
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        out.extend_from_slice(&(record.data.len() as u32).to_be_bytes());
        for part in [&record.id, &record.kind, &record.data] {
            out.extend_from_slice(part);
            out.resize(out.len().next_multiple_of(4), 0);
        }
    }
    out
}

/// The records of a message. Bytes behind its end are ignored.
pub fn decode(bytes: &[u8]) -> Result<Vec<Record<'_>>, DecodeError> {
    let mut records: Vec<Record<'_>> = Vec::new();
    let (mut at, mut is_open) = (0, false);
    loop {
        let header = part(bytes, &mut at, "header", HEADER)?;
        let (start, flags) = (at - HEADER, header[0] & 7);
        if header[0] >> 3 != VERSION {
            return Err(bad("version", start, Cause::Invalid("is not 1")));
        }
        if (flags & MB != 0) != (start == 0) {
            return Err(bad("flags", start, Cause::Invalid("begin the message elsewhere than at its first record")));
        }
        let short = |i: usize| usize::from(u16::from_be_bytes([header[i], header[i + 1]]));
        let data = u32::from_be_bytes([header[8], header[9], header[10], header[11]]);
        let data = usize::try_from(data).unwrap_or(usize::MAX);
        part(bytes, &mut at, "options", short(2))?;
        let id = part(bytes, &mut at, "id", short(4))?;
        let kind = part(bytes, &mut at, "type", short(6))?;
        let data = part(bytes, &mut at, "data", data)?;
        let count = records.len();
        match records.last_mut().filter(|_| is_open) {
            // "All subsequent chunks [have] TYPE_T 0x00 UNCHANGED and no type and no id."
            Some(record) if header[1] >> 4 == 0 => record.data.to_mut().extend_from_slice(data),
            Some(_) => return Err(bad("type", start, Cause::Invalid("is given again in a later chunk"))),
            None if count == MAX_RECORDS => {
                let cause = Cause::TooMany { count: MAX_RECORDS + 1, limit: MAX_RECORDS };
                return Err(bad("records", start, cause));
            }
            None => records.push(Record {
                format: TypeFormat::from(header[1] >> 4),
                kind: Cow::Borrowed(kind),
                id: Cow::Borrowed(id),
                data: Cow::Borrowed(data),
            }),
        }
        is_open = flags & CF != 0;
        if flags & ME != 0 {
            return if is_open {
                Err(bad("flags", start, Cause::Invalid("end the message within a record")))
            } else {
                Ok(records)
            };
        }
    }
}

impl From<TypeFormat> for u8 {
    fn from(format: TypeFormat) -> Self {
        match format {
            TypeFormat::Media => 1,
            TypeFormat::Uri => 2,
            TypeFormat::Other(number) => number & 0xf,
        }
    }
}

impl From<u8> for TypeFormat {
    fn from(number: u8) -> Self {
        match number {
            1 => Self::Media,
            2 => Self::Uri,
            other => Self::Other(other),
        }
    }
}

/// The next `length` bytes; what fills them up to a multiple of four is skipped, and may be missing at the end.
fn part<'a>(bytes: &'a [u8], at: &mut usize, field: &'static str, length: usize) -> Result<&'a [u8], DecodeError> {
    let rest = &bytes[*at..];
    let part = rest.get(..length);
    let part = part.ok_or_else(|| bad(field, *at, Cause::Truncated { needed: length, had: rest.len() }))?;
    *at = bytes.len().min(*at + length.next_multiple_of(4));
    Ok(part)
}

const fn bad(field: &'static str, offset: usize, cause: Cause) -> DecodeError {
    DecodeError::new("DIME message", field, offset, cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record<'a>(format: TypeFormat, kind: &'a str, id: &'a str, data: &'a [u8]) -> Record<'a> {
        Record { format, kind: kind.as_bytes().into(), id: id.as_bytes().into(), data: data.into() }
    }

    #[test]
    fn records_come_back_as_they_went() {
        let records = [
            record(TypeFormat::Media, "text/xml", "", b"<a/>"),
            record(TypeFormat::Uri, "http://example.org/x", "uuid:1", b"12345"),
            record(TypeFormat::Other(4), "", "", b""),
        ];
        for count in 1..=records.len() {
            let bytes = encode(&records[..count]);
            assert_eq!(bytes.len() % 4, 0);
            assert_eq!(decode(&bytes), Ok(records[..count].to_vec()));
        }
        assert_eq!(
            encode(&records[..1]),
            b"\x0e\x10\0\0\0\0\0\x08\0\0\0\x04text/xml<a/>",
            "version, MB and ME; media type; no options, no id, 8 bytes of type, 4 of data"
        );
    }

    #[test]
    fn a_record_in_chunks_is_put_together() {
        let whole = b"\x0d\x20\0\0\0\x02\0\x03\0\0\0\x05id\0\0uri\x00hello\0\0\0\
                      \x09\0\0\0\0\0\0\0\0\0\0\x01,\0\0\0\
                      \x0a\0\0\0\0\0\0\0\0\0\0\x06 world";
        assert_eq!(decode(whole), Ok(vec![record(TypeFormat::Uri, "uri", "id", b"hello, world")]));
        let mut other = whole.to_vec();
        other[29] = 0x10;
        assert_eq!(decode(&other).expect_err("a type again").field, "type");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let good = encode(&[record(TypeFormat::Media, "a/b", "i", b"data"), record(TypeFormat::Media, "a/b", "", b"")]);
        let with = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            decode(&bytes).map(|records| records.len()).map_err(|error| (error.field, error.offset))
        };
        assert_eq!(with(0, 0x0c), Ok(2));
        assert_eq!(with(0, 0x14), Err(("version", 0)), "version 2");
        assert_eq!(with(0, 0x08), Err(("flags", 0)), "no message begin");
        assert_eq!(with(24, 0x0e), Err(("flags", 24)), "a second begin");
        assert_eq!(with(24, 0x0b), Err(("flags", 24)), "an end within a record");
        assert_eq!(with(24, 0x08), Err(("header", 40)), "no end");
        assert_eq!(with(8, 0xff), Err(("data", 20)), "4 GiB of data");
        assert_eq!(with(2, 0xff), Err(("options", 12)));
        for length in 0..good.len() - 1 {
            assert!(decode(&good[..length]).is_err(), "cut at {length}");
        }
        assert!(decode(&good[..good.len() - 1]).is_ok(), "the last byte only fills up");
        let many = vec![record(TypeFormat::Media, "a/b", "", b""); MAX_RECORDS + 1];
        assert!(decode(&encode(&many[1..])).is_ok());
        assert!(matches!(decode(&encode(&many)).expect_err("many").cause, Cause::TooMany { limit: MAX_RECORDS, .. }));
    }
}
