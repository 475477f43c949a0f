//! One direction of a link, deflated: "Content-Encoding: deflate" in its sender's handshake
//! (`doc/gnutella/compressed-gnet` of the 0.6 draft: one zlib stream as long as the link, cut anywhere, flushed so
//! that a message does not wait for the next).
//!
//! Bounds: those of [`Inflater`] for what comes; what is sent is ours.

mod inflater;

use flate2::{Compress, Compression, FlushCompress};

pub use inflater::{Inflater, MAX_RATIO};

/// Room that is made for deflated bytes at a time.
const STEP: usize = 4 * 1024;

/// The sending end: one zlib stream that costs memory only while it is packed.
///
/// A stream that is flushed ends at a byte, and what follows need not refer to what was before. So each push may go on
/// in one of two ways, and the receiver notices nothing:
/// * **stored** (RFC 1951 section 3.2.4): five bytes in front of at most 65,535, and no state at all;
/// * **packed** by a compressor, which costs some 270 KB, most of them the window of its search for repetitions, and may be
///   let go after any push: the next one begins a block of its own and refers to nothing before it.
///
/// The stream is never ended, nor is the link's.
#[derive(Debug, Default)]
pub struct Deflater {
    begun: bool,
    /// Raw: the head of the stream is ours.
    packer: Option<Box<Compress>>,
}

/// RFC 1950: deflate with a window of 32 KiB, made fast.
const ZLIB_HEAD: [u8; 2] = [0x78, 0x01];
/// The most that a stored block holds.
const STORED: usize = 0xffff;

impl Deflater {
    /// Appends `bytes` to `out` as they are: for few of them.
    ///
    /// What was packed before is flushed, so that a block may begin here; the compressor, if there is one, knows nothing of
    /// these bytes, and is let go.
    pub fn store(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        self.packer = None;
        self.begin(out);
        for block in bytes.chunks(STORED) {
            let len = block.len() as u16;
            out.push(0);
            out.extend_from_slice(&len.to_le_bytes());
            out.extend_from_slice(&(!len).to_le_bytes());
            out.extend_from_slice(block);
        }
    }

    /// Appends `bytes` to `out`, compressed and flushed: the receiver can inflate all of them.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        self.begin(out);
        let packer = self.packer.get_or_insert_with(|| Box::new(Compress::new(Compression::fast(), false)));
        let begun = packer.total_in();
        loop {
            let rest = &bytes[(packer.total_in() - begun) as usize..];
            out.reserve(STEP);
            let room = out.capacity() - out.len();
            let made = packer.total_out();
            // With memory to write to, deflating cannot fail.
            let flushed = packer.compress_vec(rest, out, FlushCompress::Sync).is_err()
                || ((packer.total_out() - made) as usize) < room;
            if flushed && (packer.total_in() - begun) as usize == bytes.len() {
                return;
            }
        }
    }

    /// Whether it holds a compressor.
    pub fn packs(&self) -> bool {
        self.packer.is_some()
    }

    /// Lets the compressor go; the stream goes on.
    pub fn rest(&mut self) {
        self.packer = None;
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.begun, true) {
            out.extend_from_slice(&ZLIB_HEAD);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::inflater::RATIO_FROM;
    use super::*;
    use crate::wire::{Cause, DecodeError};

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
        fn what_goes_in_comes_out_whole_at_each_flush_packed_or_stored_and_however_it_is_cut(
            pushes in prop::collection::vec((prop::collection::vec(0u8..8, 0..3000), 0..3), 1..8),
            cut in 1usize..500,
            piece in 1usize..700,
        ) {
            let (mut deflater, mut inflater) = (Deflater::default(), Inflater::default());
            for (bytes, way) in pushes {
                let mut wire = Vec::new();
                match way {
                    0 => deflater.store(&bytes, &mut wire),
                    1 => deflater.push(&bytes, &mut wire),
                    _ => {
                        deflater.rest();
                        deflater.push(&bytes, &mut wire);
                    }
                }
                prop_assert_eq!(deflater.packs(), way > 0);
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
    fn an_idle_end_holds_nothing_and_what_is_stored_costs_five_bytes() {
        let (mut deflater, mut inflater, mut wire) = (Deflater::default(), Inflater::default(), Vec::new());
        assert_eq!(inflated(&mut inflater, b"", 64), Ok(Vec::new()));
        assert!(inflater.held() == 0 && !deflater.packs());
        deflater.store(b"a ping", &mut wire);
        assert_eq!(wire, b"\x78\x01\x00\x06\x00\xf9\xffa ping");
        wire.clear();
        let long = vec![7; STORED + 1];
        deflater.store(&long, &mut wire);
        assert_eq!((wire.len(), deflater.packs()), (long.len() + 10, false));
        assert_eq!(inflated(&mut inflater, b"\x78\x01\x00\x06\x00\xf9\xffa ping", 64), Ok(b"a ping".to_vec()));
        assert_eq!(inflated(&mut inflater, &wire, 1000), Ok(long));
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
