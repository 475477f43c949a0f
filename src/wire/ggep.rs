//! GGEP: named extensions in a block (`doc/gnutella/GGEP`, document revision 0.51).
//!
//! ```text
//! block       0xC3, then extensions until one has the "last" bit
//! extension   flags(1)  id(1-15)  length(1-3)  data
//! flags       bit 7 last | bit 6 COBS | bit 5 deflate | bit 4 reserved, 0 | bits 3-0 length of the id
//! length      six bits a byte, most significant first: 10xxxxxx more follow, 01xxxxxx the last one
//! ```
//! Bounds: [`MAX_EXTENSIONS`] extensions in a block, 2^18 - 1 bytes of data in an extension, and what is
//! deflated must not inflate above [`MAX_INFLATED`] bytes nor by more than [`MAX_RATIO`].

use super::coding::{cobs_decode, cobs_encode, deflate, inflate};
use super::{Cause, DecodeError};

pub use super::coding::{MAX_INFLATED, MAX_RATIO};

/// The byte that begins a block.
pub const MAGIC: u8 = 0xc3;
/// A block with more extensions than this is refused.
pub const MAX_EXTENSIONS: usize = 255;
const MAX_DATA: usize = (1 << 18) - 1;
const LAST: u8 = 0x80;
const COBS: u8 = 0x40;
const DEFLATE: u8 = 0x20;
const RESERVED: u8 = 0x10;
const ID_LEN: u8 = 0x0f;
const WHAT: &str = "GGEP";

/// The extensions of one block, or of several that stood side by side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ggep {
    /// The extensions, in order; unknown ones too.
    pub extensions: Vec<Extension>,
}

/// One extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// 1 to 15 bytes, none of them zero.
    pub id: Vec<u8>,
    /// The value as it stood on the wire (COBS and deflate still on), so that it re-encodes byte for byte.
    pub raw: Vec<u8>,
    /// The value is COBS-encoded on the wire.
    pub cobs: bool,
    /// The value is deflated on the wire (before COBS).
    pub deflated: bool,
}

impl Ggep {
    /// Adds an extension; `value` is COBS-encoded when it holds a zero byte, so that a block may stand
    /// between the NULs of a hit.
    ///
    /// # Panics
    /// When `id` is not 1 to 15 bytes without a zero, or `value` takes more than 2^18 - 1 bytes: both are ours.
    pub fn push(&mut self, id: &str, value: &[u8]) {
        self.push_raw(id, value.to_vec(), false);
    }

    /// Adds an extension whose value is deflated. "One should only compress data if doing so will make a
    /// material difference": where it does not get smaller this is [`push`](Self::push), panics included.
    pub fn push_deflated(&mut self, id: &str, value: &[u8]) {
        match deflate(value) {
            Some(smaller) if smaller.len() < value.len() => self.push_raw(id, smaller, true),
            _ => self.push_raw(id, value.to_vec(), false),
        }
    }

    fn push_raw(&mut self, id: &str, value: Vec<u8>, deflated: bool) {
        assert!((1..=15).contains(&id.len()) && !id.contains('\0'), "GGEP ids are 1 to 15 bytes without a zero");
        let cobs = value.contains(&0);
        let raw = if cobs { cobs_encode(&value) } else { value };
        assert!(raw.len() <= MAX_DATA, "GGEP values are at most 2^18 - 1 bytes");
        self.extensions.push(Extension { id: id.as_bytes().to_vec(), raw, cobs, deflated });
    }

    /// The decoded value of the first extension called `id`; an error where COBS or deflate do not decode
    /// within the bounds.
    pub fn get(&self, id: &str) -> Option<Result<Vec<u8>, DecodeError>> {
        self.find(id).map(Extension::value)
    }

    /// Whether there is an extension called `id`.
    pub fn has(&self, id: &str) -> bool {
        self.find(id).is_some()
    }

    /// Whether there is none at all.
    pub fn is_empty(&self) -> bool {
        self.extensions.is_empty()
    }

    fn find(&self, id: &str) -> Option<&Extension> {
        self.extensions.iter().find(|extension| extension.id == id.as_bytes())
    }

    /// Reads the block at the start of `bytes` and says how many bytes it took. A length that takes more
    /// bytes than it need is read, but [`encode`](Self::encode) would write it shorter: who promises to give
    /// back what came keeps the bytes.
    pub fn decode(bytes: &[u8]) -> Result<(Self, usize), DecodeError> {
        if bytes.first() != Some(&MAGIC) {
            return Err(bad("magic", 0, Cause::Invalid("is not 0xC3")));
        }
        let mut at = 1;
        let mut extensions = Vec::new();
        loop {
            if extensions.len() == MAX_EXTENSIONS {
                let cause = Cause::TooMany { count: MAX_EXTENSIONS + 1, limit: MAX_EXTENSIONS };
                return Err(bad("list of extensions", at, cause));
            }
            let (extension, flags) = Extension::decode(bytes, &mut at)?;
            extensions.push(extension);
            if flags & LAST != 0 {
                return Ok((Self { extensions }, at));
            }
        }
    }

    /// Appends the block to `out`; nothing when there are no extensions.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let Some(last) = self.extensions.len().checked_sub(1) else { return };
        out.push(MAGIC);
        for (i, extension) in self.extensions.iter().enumerate() {
            let mut flags = extension.id.len() as u8 & ID_LEN;
            flags |= if i == last { LAST } else { 0 };
            flags |= if extension.cobs { COBS } else { 0 };
            flags |= if extension.deflated { DEFLATE } else { 0 };
            out.push(flags);
            out.extend_from_slice(&extension.id);
            encode_length(extension.raw.len(), out);
            out.extend_from_slice(&extension.raw);
        }
    }
}

impl Extension {
    /// The value, with COBS and deflate taken off.
    pub fn value(&self) -> Result<Vec<u8>, DecodeError> {
        let plain = if self.cobs { cobs_decode(&self.raw)? } else { self.raw.clone() };
        if self.deflated { inflate(&plain) } else { Ok(plain) }
    }

    fn decode(bytes: &[u8], at: &mut usize) -> Result<(Self, u8), DecodeError> {
        let start = *at;
        let &flags = bytes.get(start).ok_or_else(|| bad("flags", start, short(1, 0)))?;
        if flags & RESERVED != 0 {
            return Err(bad("flags", start, Cause::Invalid("have the reserved bit set")));
        }
        let id_len = usize::from(flags & ID_LEN);
        let id_at = start + 1;
        let id =
            bytes.get(id_at..id_at + id_len).ok_or_else(|| bad("id", id_at, short(id_len, bytes.len() - id_at)))?;
        if id.is_empty() || id.contains(&0) {
            return Err(bad("id", id_at, Cause::Invalid("is empty or holds a zero byte")));
        }
        let length_at = id_at + id_len;
        let (length, taken) = decode_length(&bytes[length_at..]).map_err(|cause| bad("length", length_at, cause))?;
        let data_at = length_at + taken;
        let raw = bytes
            .get(data_at..data_at + length)
            .ok_or_else(|| bad("data", data_at, short(length, bytes.len() - data_at)))?;
        *at = data_at + length;
        let extension =
            Self { id: id.to_vec(), raw: raw.to_vec(), cobs: flags & COBS != 0, deflated: flags & DEFLATE != 0 };
        Ok((extension, flags))
    }
}

/// Reads the extension space of a Ping, Pong or Push: one block, and what follows it. Bytes that are no block,
/// or one that we would write otherwise, are all left over: none is lost.
pub(super) fn split(bytes: &[u8]) -> (Ggep, Vec<u8>) {
    if let Ok((ggep, taken)) = Ggep::decode(bytes) {
        let mut again = Vec::with_capacity(taken);
        ggep.encode(&mut again);
        if again == bytes[..taken] {
            return (ggep, bytes[taken..].to_vec());
        }
    }
    (Ggep::default(), bytes.to_vec())
}

const fn bad(field: &'static str, offset: usize, cause: Cause) -> DecodeError {
    DecodeError::new(WHAT, field, offset, cause)
}

const fn short(needed: usize, had: usize) -> Cause {
    Cause::Truncated { needed, had }
}

fn encode_length(length: usize, out: &mut Vec<u8>) {
    let chunk = |shift: u32| (length >> shift) as u8 & 0x3f;
    if length > 0o7777 {
        out.push(0x80 | chunk(12));
    }
    if length > 0o77 {
        out.push(0x80 | chunk(6));
    }
    out.push(0x40 | chunk(0));
}

fn decode_length(bytes: &[u8]) -> Result<(usize, usize), Cause> {
    let mut length = 0;
    for taken in 1..=3 {
        let Some(&byte) = bytes.get(taken - 1) else { return Err(short(taken, taken - 1)) };
        length = length << 6 | usize::from(byte & 0x3f);
        match byte & 0xc0 {
            0x80 => {}
            0x40 => return Ok((length, taken)),
            _ => return Err(Cause::Invalid("has neither or both of the bits 'more' and 'last'")),
        }
    }
    Err(Cause::Invalid("takes more than three bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(ggep: &Ggep) -> Vec<u8> {
        let mut out = Vec::new();
        ggep.encode(&mut out);
        out
    }

    #[test]
    fn lengths_are_written_as_the_boundary_cases_say() {
        for (length, bytes) in [
            (0, &b"\x40"[..]),
            (63, b"\x7f"),
            (64, b"\x81\x40"),
            (4095, b"\xbf\x7f"),
            (4096, b"\x81\x80\x40"),
            (262_143, b"\xbf\xbf\x7f"),
        ] {
            let mut out = Vec::new();
            encode_length(length, &mut out);
            assert_eq!(out, bytes);
            assert_eq!(decode_length(bytes), Ok((length, bytes.len())));
            assert_eq!(decode_length(&bytes[..bytes.len() - 1]), Err(short(bytes.len(), bytes.len() - 1)));
        }
        for wrong in [&b"\0"[..], b"\xc0", b"\x80\x80\x80\x40"] {
            assert!(decode_length(wrong).is_err());
        }
        assert_eq!(decode_length(b"\x80\x80\x41"), Ok((1, 3)));
    }

    #[test]
    fn a_value_with_a_zero_is_cobs_encoded_and_others_are_not() {
        let mut ggep = Ggep::default();
        ggep.push("A", b"x");
        ggep.push("FIFTEEN-BYTE-ID", b"\0");
        ggep.push("C", b"");
        let bytes = encode(&ggep);
        assert_eq!(bytes, b"\xc3\x01A\x41x\x4fFIFTEEN-BYTE-ID\x42\x01\x01\x81C\x40");
        assert_eq!(Ggep::decode(&bytes), Ok((ggep.clone(), bytes.len())));
        assert_eq!(Ggep::decode(&[&bytes[..], b"more"].concat()), Ok((ggep.clone(), bytes.len())));
        assert_eq!(ggep.get("FIFTEEN-BYTE-ID"), Some(Ok(vec![0])));
        assert_eq!((ggep.get("D"), ggep.has("A"), ggep.has("a")), (None, true, false));
    }

    #[test]
    fn the_first_of_two_extensions_with_one_name_counts() {
        let mut ggep = Ggep::default();
        ggep.push("A", b"1");
        ggep.push("A", b"2");
        assert_eq!(ggep.get("A"), Some(Ok(b"1".to_vec())));
    }

    #[test]
    fn no_extension_is_no_block() {
        assert_eq!(encode(&Ggep::default()), b"");
    }

    #[test]
    fn deflate_is_used_where_it_pays_and_is_undone() {
        let mut ggep = Ggep::default();
        let text = "all work and no play ".repeat(20);
        ggep.push_deflated("T", text.as_bytes());
        ggep.push_deflated("U", b"short");
        let (back, _) = Ggep::decode(&encode(&ggep)).expect("a block");
        assert_eq!(back, ggep);
        assert!(back.extensions[0].deflated && back.extensions[0].raw.len() < 60);
        assert!(!back.extensions[1].deflated);
        assert_eq!(back.get("T"), Some(Ok(text.into_bytes())));
        assert_eq!(back.get("U"), Some(Ok(b"short".to_vec())));
    }

    #[test]
    fn every_wrong_field_is_named_with_its_offset() {
        for (bytes, field, offset) in [
            (&b""[..], "magic", 0),
            (b"\xc4", "magic", 0),
            (b"\xc3", "flags", 1),
            (b"\xc3\x91A\x40", "flags", 1),
            (b"\xc3\x80\x40", "id", 2),
            (b"\xc3\x82A", "id", 2),
            (b"\xc3\x82A\0\x40", "id", 2),
            (b"\xc3\x81A", "length", 3),
            (b"\xc3\x81A\0", "length", 3),
            (b"\xc3\x81A\x42x", "data", 4),
            (b"\xc3\x01A\x41x", "flags", 5),
        ] {
            let error = Ggep::decode(bytes).expect_err(field);
            assert_eq!((error.what, error.field, error.offset), ("GGEP", field, offset), "{bytes:x?}");
        }
        let many = |n: usize| [&b"\xc3"[..], &b"\x01A\x40".repeat(n - 1), b"\x81A\x40"].concat();
        assert!(Ggep::decode(&many(MAX_EXTENSIONS)).is_ok());
        let error = Ggep::decode(&many(MAX_EXTENSIONS + 1)).expect_err("too many");
        assert_eq!(error.cause, Cause::TooMany { count: 256, limit: 255 });
    }

    #[test]
    fn a_block_that_we_would_write_otherwise_is_kept_as_it_came() {
        let overlong = b"\xc3\x81A\x80\x41x";
        assert_eq!(Ggep::decode(overlong).expect("readable").0.get("A"), Some(Ok(b"x".to_vec())));
        assert_eq!(split(overlong), (Ggep::default(), overlong.to_vec()));
        let (ggep, rest) = split(b"\xc3\x81A\x41xmore");
        assert_eq!((ggep.has("A"), &rest[..]), (true, &b"more"[..]));
    }
}
