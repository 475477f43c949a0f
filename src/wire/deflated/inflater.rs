//! The receiving end of a deflated link.
//!
//! What comes may refer to the last 32 KiB of what came before, so those have to be kept as long as the link lasts; beside
//! them an inflater needs tables, 11 KB. Most leaves say little in their whole life. So an inflater may [`rest`]: then it
//! keeps what may be referred to, in exactly as many bytes, and the few bits that lie between two blocks. Who flushes ends
//! a block, so after each message that came whole it can.
//!
//! Bounds: output is made in pieces of the caller's size, so that a few bytes that inflate to many never are in memory at
//! once, and a stream that inflates by more than [`MAX_RATIO`] ends with an error.
//!
//! [`rest`]: Inflater::rest

use miniz_oxide::inflate::TINFLStatus as Status;
use miniz_oxide::inflate::core::{BlockBoundaryState, DecompressorOxide, decompress_with_limit, inflate_flags};

use crate::wire::{Cause, DecodeError};

/// A link that inflates to more than this many times what came is refused...
pub const MAX_RATIO: u64 = 200;
/// ...once it has inflated to more than this many bytes: a first patch of zeros may be short.
pub(super) const RATIO_FROM: u64 = 256 * 1024;
/// How far back a stream may refer (RFC 1951 section 2).
const WINDOW: usize = 32 * 1024;
/// One zlib stream; more will come; say when a block is over.
const FLAGS: u32 = inflate_flags::TINFL_FLAG_PARSE_ZLIB_HEADER
    | inflate_flags::TINFL_FLAG_HAS_MORE_INPUT
    | inflate_flags::TINFL_FLAG_STOP_ON_BLOCK_BOUNDARY;

const fn bad(cause: Cause) -> DecodeError {
    DecodeError::new("link", "deflated stream", 0, cause)
}

/// The receiving end: 44 KB while it inflates, what came while it rests, nothing before the first byte.
#[derive(Default)]
pub struct Inflater {
    /// One of these at most.
    awake: Option<Box<Awake>>,
    resting: Option<Box<Resting>>,
    ended: bool,
    /// Bytes that came, and that they inflated to.
    came: u64,
    made: u64,
}

impl std::fmt::Debug for Inflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { came, made, ended, .. } = self;
        f.debug_struct("Inflater").field("came", came).field("made", made).field("ended", ended).finish_non_exhaustive()
    }
}

struct Awake {
    core: DecompressorOxide,
    /// A ring: the next byte goes to `at`.
    window: Box<[u8]>,
    at: usize,
    /// The stream is between two blocks, and there is nothing left to give.
    between: bool,
}

struct Resting {
    between: BlockBoundaryState,
    /// The latest bytes, the oldest first.
    window: Box<[u8]>,
}

impl Awake {
    fn new(core: DecompressorOxide, past: &[u8]) -> Box<Self> {
        let mut window = vec![0; WINDOW].into_boxed_slice();
        window[..past.len()].copy_from_slice(past);
        Box::new(Self { core, window, at: past.len() % WINDOW, between: false })
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
        if bytes.is_empty() && self.awake.as_ref().is_none_or(|awake| awake.between) {
            return Ok(0);
        }
        let awake = self.awake.get_or_insert_with(|| match self.resting.take() {
            Some(resting) => {
                Awake::new(DecompressorOxide::from_block_boundary_state(&resting.between), &resting.window)
            }
            None => Awake::new(DecompressorOxide::new(), &[]),
        });
        loop {
            let (status, taken, made) =
                decompress_with_limit(&mut awake.core, bytes, &mut awake.window, awake.at, out.len(), FLAGS);
            *bytes = &bytes[taken..];
            out[..made].copy_from_slice(&awake.window[awake.at..awake.at + made]);
            (awake.at, awake.between) = ((awake.at + made) % WINDOW, status == Status::BlockBoundary);
            (self.came, self.made) = (self.came + taken as u64, self.made + made as u64);
            match status {
                Status::Done => {
                    (self.awake, self.ended) = (None, true);
                    return Ok(made);
                }
                Status::BlockBoundary | Status::NeedsMoreInput | Status::HasMoreOutput => {}
                _ => return Err(bad(Cause::Invalid("is no zlib stream"))),
            }
            if made > 0 {
                return self.within_ratio().map(|()| made);
            } else if bytes.is_empty() {
                return Ok(0);
            } else if taken == 0 {
                return Err(bad(Cause::Invalid("stands still")));
            }
        }
    }

    /// Keeps no more than it must until more comes, if the stream is between two blocks. Waking up costs about what
    /// inflating some KiB does.
    pub fn rest(&mut self) {
        let Some(awake) = self.awake.as_ref().filter(|awake| awake.between) else { return };
        let Some(between) = awake.core.block_boundary_state() else { return };
        let (new, old) = awake.window.split_at(awake.at);
        let window = if self.made < WINDOW as u64 { new.into() } else { [old, new].concat().into() };
        (self.awake, self.resting) = (None, Some(Box::new(Resting { between, window })));
    }

    /// Whether the stream has come to its end.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    fn within_ratio(&self) -> Result<(), DecodeError> {
        let limit = RATIO_FROM.max(self.came.saturating_mul(MAX_RATIO));
        if self.made <= limit {
            return Ok(());
        }
        Err(bad(Cause::TooLong { length: self.made as usize, limit: limit as usize }))
    }

    /// Bytes that it holds of what came.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        let (awake, resting) = (self.awake.as_ref(), self.resting.as_ref());
        awake.map(|awake| awake.window.len()).or(resting.map(|resting| resting.window.len())).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compress, Compression, FlushCompress};
    use proptest::prelude::*;

    use super::*;

    /// Resting wherever it can, in the middle of `bytes` too, where `cut` says.
    fn inflated(inflater: &mut Inflater, bytes: &[u8], cut: usize, piece: usize) -> Result<Vec<u8>, DecodeError> {
        let (mut all, mut out) = (Vec::new(), vec![0; piece]);
        for mut chunk in bytes.chunks(cut) {
            loop {
                match inflater.fill(&mut chunk, &mut out)? {
                    0 => break,
                    n => all.extend_from_slice(&out[..n]),
                }
            }
            inflater.rest();
        }
        Ok(all)
    }

    /// Text that repeats what was long before, up to the whole window.
    fn text(seed: u32, len: usize) -> Vec<u8> {
        let noise = |n: u32| (n.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 24) as u8;
        let mut text: Vec<u8> = (0..len.min(WINDOW) as u32).map(noise).collect();
        while text.len() < len {
            let from = text.len() - WINDOW + (seed as usize % 200);
            let again = text[from..(from + 300).min(text.len())].to_vec();
            text.extend(again);
        }
        text.truncate(len);
        text
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn what_rests_goes_on_as_if_nothing_had_been(
            pushes in prop::collection::vec(1usize..20_000, 1..8),
            level in 0u32..=9,
            cut in 1usize..3000,
            piece in 1usize..40_000,
            seed in any::<u32>(),
        ) {
            let text = text(seed, pushes.iter().sum());
            let mut packer = Compress::new(Compression::new(level), true);
            let (mut inflater, mut at) = (Inflater::default(), 0);
            for len in pushes {
                let mut wire = Vec::with_capacity(2 * len + 1000);
                packer.compress_vec(&text[at..at + len], &mut wire, FlushCompress::Sync).expect("room");
                let got = inflated(&mut inflater, &wire, cut, piece).expect("a stream");
                prop_assert!(got == text[at..at + len]);
                at += len;
                prop_assert_eq!(inflater.held(), at.min(WINDOW), "it rests after each flush");
                prop_assert!(inflater.awake.is_none());
            }
        }
    }

    #[test]
    fn in_the_middle_of_a_block_it_cannot_rest_and_after_the_end_it_holds_nothing() {
        let mut wire = Vec::with_capacity(1000);
        let mut packer = Compress::new(Compression::best(), true);
        packer.compress_vec(b"blue train blue train", &mut wire, FlushCompress::Finish).expect("room");
        let (first, second) = wire.split_at(wire.len() / 2);
        let mut inflater = Inflater::default();
        let mut got = inflated(&mut inflater, first, 100, 100).expect("half a stream");
        assert!(inflater.awake.is_some());
        got.extend(inflated(&mut inflater, second, 100, 100).expect("the other half"));
        assert_eq!(got, b"blue train blue train");
        assert_eq!((inflater.has_ended(), inflater.held()), (true, 0));
    }
}
