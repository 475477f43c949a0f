//! How the value of a GGEP extension is packed: deflate, and COBS around it (`doc/gnutella/GGEP`).
//!
//! Bounds: what is deflated must not inflate above [`MAX_INFLATED`] bytes nor by more than [`MAX_RATIO`].

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::{Cause, DecodeError};

/// A value that inflates to more bytes than this is refused.
pub const MAX_INFLATED: usize = 64 * 1024;
/// A value that inflates to more than this many times its size is refused...
pub const MAX_RATIO: usize = 100;
/// ...when it inflates to more than this many bytes: a row of zeros may be short.
const RATIO_FROM: usize = 4 * 1024;

const fn bad(field: &'static str, offset: usize, cause: Cause) -> DecodeError {
    DecodeError::new("GGEP", field, offset, cause)
}

/// COBS (Cheshire and Baker, SIGCOMM 1997): no byte of the result is zero. Each group is a count and count - 1
/// bytes; a zero follows each group but one of 255 and the last.
pub(super) fn cobs_encode(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() + value.len() / 254 + 1);
    let mut groups = value.split(|&byte| byte == 0).peekable();
    while let Some(group) = groups.next() {
        let mut rest = group;
        while rest.len() >= 254 {
            out.push(255);
            out.extend_from_slice(&rest[..254]);
            rest = &rest[254..];
            // A full group at the very end needs no empty one behind it.
            if rest.is_empty() && groups.peek().is_none() {
                return out;
            }
        }
        out.push(rest.len() as u8 + 1);
        out.extend_from_slice(rest);
    }
    out
}

pub(super) fn cobs_decode(raw: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let mut out = Vec::with_capacity(raw.len());
    let mut at = 0;
    while let Some(&count) = raw.get(at) {
        let count = usize::from(count);
        if count == 0 {
            return Err(bad("COBS count", at, Cause::Invalid("is zero")));
        }
        let Some(group) = raw.get(at + 1..at + count) else {
            return Err(bad("COBS group", at + 1, Cause::Truncated { needed: count - 1, had: raw.len() - at - 1 }));
        };
        out.extend_from_slice(group);
        at += count;
        if count < 255 && at < raw.len() {
            out.push(0);
        }
    }
    Ok(out)
}

/// `value` as a zlib stream.
pub(super) fn deflate(value: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(value.len() + 64);
    let status = Compress::new(Compression::best(), true).compress_vec(value, &mut out, FlushCompress::Finish).ok()?;
    (status == Status::StreamEnd).then_some(out)
}

/// "The deflate algorithm" is a zlib stream in practice; a bare one is read as well.
pub(super) fn inflate(data: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let limit = MAX_INFLATED.min(RATIO_FROM.max(data.len().saturating_mul(MAX_RATIO)));
    let mut cause = Cause::Invalid("is no deflate stream");
    for zlib in [true, false] {
        let mut decompress = Decompress::new(zlib);
        let mut out = Vec::new();
        loop {
            let (before, taken) = (out.len(), decompress.total_in() as usize);
            // One byte above the limit, so that a value of exactly that size is seen to end.
            out.reserve_exact((limit + 1).min(before * 2 + 512) - before);
            match decompress.decompress_vec(&data[taken..], &mut out, FlushDecompress::None) {
                _ if out.len() > limit => {
                    return Err(bad("deflated value", 0, Cause::TooLong { length: out.len(), limit }));
                }
                Ok(Status::StreamEnd) => return Ok(out),
                Ok(_) if out.len() > before => {}
                Ok(_) => {
                    cause = Cause::Invalid("is a deflate stream without an end");
                    break;
                }
                Err(_) => break,
            }
        }
    }
    Err(bad("deflated value", 0, cause))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cobs_hides_every_zero_and_gives_it_back() {
        for value in [
            vec![],
            vec![0],
            vec![0, 0],
            vec![1],
            vec![1, 0],
            vec![0, 1],
            vec![7; 253],
            vec![7; 254],
            vec![7; 255],
            vec![7; 508],
            [vec![7; 254], vec![0]].concat(),
            [vec![7; 253], vec![0, 0], vec![8; 300], vec![0]].concat(),
        ] {
            let raw = cobs_encode(&value);
            assert!(!raw.contains(&0));
            assert!(raw.len() <= value.len() + value.len() / 254 + 1);
            assert_eq!(cobs_decode(&raw), Ok(value));
        }
        assert_eq!(cobs_encode(b"\0"), b"\x01\x01");
        assert_eq!(cobs_encode(b"ab\0c"), b"\x03ab\x02c");
        assert_eq!(cobs_decode(b"\0").expect_err("a zero").field, "COBS count");
        assert_eq!(cobs_decode(b"\x05ab").expect_err("cut").cause, Cause::Truncated { needed: 4, had: 2 });
    }

    #[test]
    fn a_bare_deflate_stream_is_read_too() {
        let mut out = Vec::with_capacity(64);
        let mut bare = Compress::new(Compression::fast(), false);
        bare.compress_vec(b"hello hello hello", &mut out, FlushCompress::Finish).expect("deflates");
        assert_eq!(inflate(&out), Ok(b"hello hello hello".to_vec()));
    }

    #[test]
    fn inflation_is_bounded_in_output_and_in_ratio() {
        let zeros = |length: usize| inflate(&deflate(&vec![0; length]).expect("deflates"));
        assert_eq!(zeros(RATIO_FROM), Ok(vec![0; RATIO_FROM]));
        let cause = |result: Result<Vec<u8>, DecodeError>| result.expect_err("a bomb").cause;
        assert!(matches!(cause(zeros(RATIO_FROM * 2)), Cause::TooLong { limit: RATIO_FROM, .. }));
        assert!(matches!(cause(zeros(100 << 20)), Cause::TooLong { limit: MAX_INFLATED, .. }));
        // Noise of exactly the limit passes; one byte more does not.
        let noise = |length: u32| {
            let noise: Vec<u8> = (0..length).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
            inflate(&deflate(&noise).expect("deflates"))
        };
        assert!(noise(MAX_INFLATED as u32).is_ok());
        assert!(matches!(cause(noise(MAX_INFLATED as u32 + 1)), Cause::TooLong { .. }));
    }

    #[test]
    fn what_is_no_deflate_stream_is_an_error() {
        let whole = deflate(b"hello hello hello").expect("deflates");
        for raw in [&b""[..], b"no", &[0xff; 40], &whole[..whole.len() - 5]] {
            assert_eq!(inflate(raw).expect_err("not deflated").field, "deflated value");
        }
    }
}
