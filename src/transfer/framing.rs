//! Where a body ends: by its length, by its chunks, or with the connection (RFC 9112 section 6.3).

use super::Lost;
use crate::wire::http::{Request, Response};

/// A line of a chunked body is at most this long.
pub const LINE: usize = 4096;
/// Trailers have at most so many lines.
pub const TRAILERS: usize = 100;

/// How what follows a head is framed, and how much of it is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Nothing is left.
    Over,
    /// So many bytes are left.
    Length(u64),
    /// A chunk size comes next.
    ChunkSize,
    /// So many bytes of a chunk are left.
    Chunk(u64),
    /// The line end behind a chunk comes next.
    ChunkEnd,
    /// Lines behind the last chunk; so many came already.
    Trailers(usize),
    /// All until the connection ends.
    UntilClosed,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing: the body is over.
    Over,
    /// Read more first.
    NeedMore,
    /// At most so many bytes of the body come now; say [`Framing::took`] for those that were taken.
    Bytes(u64),
}

impl Framing {
    /// What follows `head`, an answer to `request`.
    pub fn of(request: &Request, head: &Response) -> Self {
        if request.method.eq_ignore_ascii_case("HEAD") || matches!(head.code, 100..=199 | 204 | 304) {
            return Self::Over;
        }
        if head.is_chunked() {
            return Self::ChunkSize;
        }
        match head.content_length() {
            Some(0) => Self::Over,
            Some(length) => Self::Length(length),
            None => Self::UntilClosed,
        }
    }

    /// Takes what belongs to the framing from the front of `ahead` and says what to do next.
    pub fn step(&mut self, ahead: &mut Vec<u8>) -> Result<Step, Lost> {
        loop {
            match *self {
                Self::Over => return Ok(Step::Over),
                Self::Length(left) | Self::Chunk(left) => return Ok(Step::Bytes(left)),
                Self::UntilClosed => return Ok(Step::Bytes(u64::MAX)),
                Self::ChunkSize | Self::ChunkEnd | Self::Trailers(_) => {}
            }
            let Some(line) = take_line(ahead)? else { return Ok(Step::NeedMore) };
            *self = match *self {
                Self::ChunkSize => match chunk_size(&line)? {
                    0 => Self::Trailers(0),
                    size => Self::Chunk(size),
                },
                Self::ChunkEnd if line.is_empty() => Self::ChunkSize,
                Self::ChunkEnd => return Err(Lost::Garbage("a chunk is longer than it said".into())),
                Self::Trailers(_) if line.is_empty() => Self::Over,
                Self::Trailers(TRAILERS) => return Err(Lost::Garbage("trailers without end".into())),
                Self::Trailers(count) => Self::Trailers(count + 1),
                ref other => other.clone(),
            };
        }
    }

    /// So many bytes of the body were taken.
    pub fn took(&mut self, bytes: u64) {
        match self {
            Self::Length(left) => {
                *left = left.saturating_sub(bytes);
                if *left == 0 {
                    *self = Self::Over;
                }
            }
            Self::Chunk(left) => {
                *left = left.saturating_sub(bytes);
                if *left == 0 {
                    *self = Self::ChunkEnd;
                }
            }
            _ => {}
        }
    }
}

/// A line without its end (bare LF or CRLF).
fn take_line(ahead: &mut Vec<u8>) -> Result<Option<String>, Lost> {
    let Some(end) = ahead.iter().take(LINE).position(|byte| *byte == b'\n') else {
        return if ahead.len() >= LINE { Err(Lost::Garbage("a chunk line without end".into())) } else { Ok(None) };
    };
    let line: Vec<u8> = ahead.drain(..=end).collect();
    let line = String::from_utf8_lossy(&line);
    Ok(Some(line.trim_end_matches(['\r', '\n']).to_owned()))
}

/// Hexadecimal, with extensions behind a semicolon that say nothing to us.
fn chunk_size(line: &str) -> Result<u64, Lost> {
    let digits = line.split(';').next().unwrap_or_default().trim();
    let hex = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let size = if hex { u64::from_str_radix(digits, 16).ok() } else { None };
    size.ok_or_else(|| Lost::Garbage("a chunk without a size".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes out of a body that arrives in pieces of `piece` bytes.
    fn unframe(mut framing: Framing, bytes: &[u8], piece: usize) -> Result<(Vec<u8>, Vec<u8>), Lost> {
        let (mut ahead, mut out) = (Vec::new(), Vec::new());
        let mut pieces = bytes.chunks(piece);
        loop {
            match framing.step(&mut ahead)? {
                Step::Over => return Ok((out, [ahead, pieces.flatten().copied().collect()].concat())),
                Step::Bytes(most) if !ahead.is_empty() => {
                    let take = ahead.len().min(most as usize);
                    out.extend(ahead.drain(..take));
                    framing.took(take as u64);
                }
                Step::Bytes(_) | Step::NeedMore => match pieces.next() {
                    Some(more) => ahead.extend_from_slice(more),
                    None => return Err(Lost::Closed),
                },
            }
        }
    }

    #[test]
    fn chunks_in_any_pieces_are_put_together_and_what_follows_is_left() {
        let bytes = b"5\r\nhello\r\n6;name=value\n world\n0\r\nTrailer: x\r\n\r\nHTTP/1.1 200";
        for piece in 1..bytes.len() {
            let (body, rest) = unframe(Framing::ChunkSize, bytes, piece).expect("a body");
            assert_eq!((body.as_slice(), rest.as_slice()), (&b"hello world"[..], &b"HTTP/1.1 200"[..]), "by {piece}");
        }
        let (body, rest) = unframe(Framing::Length(5), b"hello world", 3).expect("a body");
        assert_eq!((body.as_slice(), rest.as_slice()), (&b"hello"[..], &b" world"[..]));
    }

    #[test]
    fn nonsense_is_found_out_and_nothing_grows() {
        for bytes in [
            &b"x\r\n"[..],
            b"\r\n",
            b"-1\r\n",
            b"+5\r\nhello\r\n",
            b"11111111111111111\r\n",
            b"2\r\nhello\r\n",
            &[b'1'; LINE + 1],
        ] {
            let got = unframe(Framing::ChunkSize, bytes, 7);
            assert!(matches!(got, Err(Lost::Garbage(_))), "{:?}: {got:?}", String::from_utf8_lossy(bytes));
        }
        let endless = [&b"0\r\n"[..], &b"a: b\r\n".repeat(TRAILERS + 1)].concat();
        assert!(matches!(unframe(Framing::ChunkSize, &endless, 100), Err(Lost::Garbage(_))));
        assert_eq!(unframe(Framing::ChunkSize, b"5\r\nhel", 2), Err(Lost::Closed));
    }
}
