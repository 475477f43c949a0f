//! One direction of a link, deflated: "Content-Encoding: deflate" in its sender's handshake
//! (`doc/gnutella/compressed-gnet` of the 0.6 draft: one zlib stream as long as the link, cut anywhere, flushed so
//! that a message does not wait for the next).
//!
//! Bounds: [`Inflater`] makes output in pieces of the caller's size, so that a few bytes that inflate to many never
//! are in memory at once, and a stream that inflates by more than [`MAX_RATIO`] ends with an error.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::{Cause, DecodeError};

/// A link that inflates to more than this many times what came is refused...
pub const MAX_RATIO: u64 = 200;
/// ...once it has inflated to more than this many bytes: a first patch of zeros may be short.
const RATIO_FROM: u64 = 256 * 1024;
/// Room that is made for deflated bytes at a time.
const STEP: usize = 4 * 1024;

const fn bad(cause: Cause) -> DecodeError {
    DecodeError::new("link", "deflated stream", 0, cause)
}

/// The receiving end. It holds a window of 32 KiB and what one symbol of the stream left over.
#[derive(Debug)]
pub struct Inflater {
    stream: Decompress,
    ended: bool,
}

impl Default for Inflater {
    fn default() -> Self {
        Self { stream: Decompress::new(true), ended: false }
    }
}

impl Inflater {
    /// Inflates from the front of `bytes`, which is shortened by what was used, into `out`; says how much of `out` it
    /// filled. Call it until it fills nothing: then all of `bytes` was used.
    pub fn fill(&mut self, bytes: &mut &[u8], out: &mut [u8]) -> Result<usize, DecodeError> {
        if self.ended {
            // A link has one stream: nothing may follow its end.
            return if bytes.is_empty() { Ok(0) } else { Err(bad(Cause::Invalid("goes on behind its end"))) };
        }
        let (taken, made) = (self.stream.total_in(), self.stream.total_out());
        let status = self.stream.decompress(bytes, out, FlushDecompress::Sync);
        *bytes = &bytes[(self.stream.total_in() - taken) as usize..];
        let filled = (self.stream.total_out() - made) as usize;
        match status {
            Ok(Status::Ok | Status::BufError) if filled == 0 && !bytes.is_empty() => {
                Err(bad(Cause::Invalid("stands still")))
            }
            Ok(Status::StreamEnd) => {
                self.ended = true;
                Ok(filled)
            }
            Ok(_) => self.within_ratio().map(|()| filled),
            Err(_) => Err(bad(Cause::Invalid("is no zlib stream"))),
        }
    }

    fn within_ratio(&self) -> Result<(), DecodeError> {
        let (came, made) = (self.stream.total_in(), self.stream.total_out());
        let limit = RATIO_FROM.max(came.saturating_mul(MAX_RATIO));
        if made <= limit {
            return Ok(());
        }
        Err(bad(Cause::TooLong { length: made as usize, limit: limit as usize }))
    }
}

/// The sending end. It costs some 270 KB, most of them the window of its search for repetitions.
#[derive(Debug)]
pub struct Deflater(Compress);

impl Default for Deflater {
    fn default() -> Self {
        Self(Compress::new(Compression::fast(), true))
    }
}

impl Deflater {
    /// Appends `bytes`, deflated, to `out`, flushed: the receiver can inflate all of them.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let begun = self.0.total_in();
        loop {
            let rest = &bytes[(self.0.total_in() - begun) as usize..];
            out.reserve(STEP);
            let room = out.capacity() - out.len();
            let made = self.0.total_out();
            // With memory to write to, deflating cannot fail.
            let flushed = self.0.compress_vec(rest, out, FlushCompress::Sync).is_err()
                || ((self.0.total_out() - made) as usize) < room;
            if flushed && (self.0.total_in() - begun) as usize == bytes.len() {
                return;
            }
        }
    }

    /// Bytes in and out so far.
    pub fn totals(&self) -> (u64, u64) {
        (self.0.total_in(), self.0.total_out())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn inflated(inflater: &mut Inflater, mut bytes: &[u8], piece: usize) -> Result<Vec<u8>, DecodeError> {
        let (mut all, mut out) = (Vec::new(), vec![0; piece]);
        loop {
            match inflater.fill(&mut bytes, &mut out)? {
                0 => return Ok(all),
                n => all.extend_from_slice(&out[..n]),
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_pushed_comes_out_whole_at_each_flush_however_it_is_cut(
            pushes in prop::collection::vec(prop::collection::vec(0u8..8, 0..3000), 1..6),
            cut in 1usize..500,
            piece in 1usize..700,
        ) {
            let (mut deflater, mut inflater) = (Deflater::default(), Inflater::default());
            for bytes in pushes {
                let mut wire = Vec::new();
                deflater.push(&bytes, &mut wire);
                let mut got = Vec::new();
                for chunk in wire.chunks(cut) {
                    got.extend(inflated(&mut inflater, chunk, piece).expect("our own stream"));
                }
                prop_assert_eq!(got, bytes);
            }
        }

        #[test]
        fn anything_else_is_an_error_or_bytes_within_the_ratio(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            let mut with_head = vec![0x78, 0x9c];
            with_head.extend(&bytes);
            for bytes in [&bytes, &with_head] {
                if let Ok(got) = inflated(&mut Inflater::default(), bytes, 512) {
                    prop_assert!(got.len() as u64 <= RATIO_FROM.max(bytes.len() as u64 * MAX_RATIO) + 512);
                }
            }
        }
    }

    #[test]
    fn large_pushes_grow_the_output_as_needed() {
        let noise: Vec<u8> = (0..300_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let mut wire = Vec::new();
        let mut deflater = Deflater::default();
        deflater.push(&noise, &mut wire);
        assert_eq!(deflater.totals(), (300_000, wire.len() as u64));
        assert_eq!(inflated(&mut Inflater::default(), &wire, 16 * 1024), Ok(noise));
    }

    #[test]
    fn a_bomb_is_refused_when_it_passes_the_ratio() {
        let (mut deflater, mut wire) = (Deflater::default(), Vec::new());
        deflater.push(&vec![0; 50 << 20], &mut wire);
        let error = inflated(&mut Inflater::default(), &wire, 16 * 1024).expect_err("a bomb");
        assert!(matches!(error.cause, Cause::TooLong { .. }), "{error}");
    }

    #[test]
    fn windows_of_any_size_are_read() {
        let text = b"blue train, blue train, blue train".repeat(5);
        let (mut deflater, mut wire) = (Deflater::default(), Vec::new());
        deflater.push(&text, &mut wire);
        // RFC 1950 section 2.2: the window is 2^(CINFO + 8); the head is a multiple of 31. Such short a text needs no more.
        for info in 0..=7u8 {
            wire[0] = info << 4 | 8;
            wire[1] = 31 - (u16::from(wire[0]) << 8).rem_euclid(31) as u8;
            assert_eq!(inflated(&mut Inflater::default(), &wire, 1024), Ok(text.clone()), "2^{}", info + 8);
        }
    }

    #[test]
    fn nothing_follows_the_end_of_the_stream() {
        let mut wire = Vec::with_capacity(128);
        let mut stream = Compress::new(Compression::fast(), true);
        stream.compress_vec(b"bye", &mut wire, FlushCompress::Finish).expect("deflates");
        let mut inflater = Inflater::default();
        assert_eq!(inflated(&mut inflater, &wire, 64), Ok(b"bye".to_vec()));
        assert_eq!(inflated(&mut inflater, b"", 64), Ok(Vec::new()));
        assert!(inflated(&mut inflater, b"more", 64).is_err());
    }
}
