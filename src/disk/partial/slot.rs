//! A partial file that many write to, and that may go at any time.
//!
//! What takes long, writing and hashing, is done without the others waiting; what is told of it is told in the order in
//! which it counts.

use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};

use super::{Checked, DiskError, Judged, Partial};
use crate::wire::Blake3;

/// The partial file of a download, for all that work on it. Empty once that is finished, removed, or broken.
#[derive(Clone, Debug, Default)]
pub struct Slot(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    partial: Mutex<Option<Partial>>,
    /// The hash of the whole has come back.
    hash_is_back: Condvar,
}

/// What became of bytes.
#[derive(Debug)]
pub struct Wrote {
    /// Which, all of one block.
    pub range: Range<u64>,
    /// Blocks that became whole by them.
    pub stored: Vec<(usize, Blake3)>,
    /// What the tree said meanwhile.
    pub judged: Judged,
}

/// What brings the hash of the whole up to the blocks that are there.
#[derive(Debug)]
pub struct Behind {
    slot: Weak<Shared>,
    /// Bytes that it has to read at least.
    pub bytes: u64,
}

impl Slot {
    /// With this one in it.
    pub fn new(partial: Partial) -> Self {
        Self(Arc::new(Shared { partial: Mutex::new(Some(partial)), hash_is_back: Condvar::new() }))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Partial>> {
        self.0.partial.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something to it while nobody else does.
    pub fn with<T>(&self, work: impl FnOnce(&mut Option<Partial>) -> T) -> T {
        work(&mut self.lock())
    }

    /// Writes bytes of the file. `tell` hears of them while they alone count, of the bytes of each block by
    /// itself, or of what the disk said: then the slot is empty. `None` then, and when it had been.
    pub fn write(&self, offset: u64, bytes: &[u8], mut tell: impl FnMut(Result<Wrote, DiskError>)) -> Option<()> {
        let (mut at, mut rest) = (offset, bytes);
        while !rest.is_empty() {
            let mut slot = self.lock();
            let partial = slot.as_mut()?;
            let block = partial.block_at(at);
            if at >= block.end {
                // Behind the end of the file.
                break;
            }
            let (now, later) = rest.split_at(rest.len().min((block.end - at) as usize));
            let range = at..at + now.len() as u64;
            let Some(place) = partial.place_at(at) else {
                tell(Ok(Wrote { range, stored: Vec::new(), judged: partial.judged() }));
                (at, rest) = (block.end, later);
                continue;
            };
            drop(slot);
            let mut filling = place.lock();
            if filling.is_whole() {
                // Another source was faster. It counts, or it was wrong and all of it is missing again: what is told now
                // must be one of both.
                continue;
            }
            let written = place.write(&mut filling, at, now);
            let mut slot = self.lock();
            let partial = slot.as_mut()?;
            let taken = match written {
                Ok((fresh, whole)) => partial.take(place.index, fresh, whole),
                Err(error) => Err(DiskError::new("write", partial.path(), &error)),
            };
            match taken {
                Ok(stored) => tell(Ok(Wrote { range, stored, judged: partial.judged() })),
                Err(error) => {
                    *slot = None;
                    tell(Err(error));
                    return None;
                }
            }
            (at, rest) = (block.end, later);
        }
        Some(())
    }

    /// Whether the whole is what was written: see [`Partial::check`]. `tell` hears of it while nobody writes, as of bytes:
    /// of a block that does not count any more before it is written again. `None` when the slot is empty.
    pub fn check<T>(&self, tell: impl FnOnce(Result<Checked, DiskError>, Judged) -> T) -> Option<T> {
        let lent = |partial: &mut Option<Partial>| partial.as_ref().is_some_and(Partial::is_hash_lent);
        let back = self.0.hash_is_back.wait_while(self.lock(), lent);
        let mut slot = back.unwrap_or_else(PoisonError::into_inner);
        let partial = slot.as_mut()?;
        let checked = partial.check();
        Some(tell(checked, partial.judged()))
    }

    /// What there is to do for the hash of the whole, if anything: on a thread that has time for it.
    pub fn behind(&self) -> Option<Behind> {
        let next = self.with(|partial| partial.as_ref()?.next_to_hash())?;
        Some(Behind { slot: Arc::downgrade(&self.0), bytes: next.end - next.start })
    }
}

impl Behind {
    /// Does it, block by block, until the hash is up to date, or the slot empty.
    pub fn catch_up(self) {
        let mut piece = Vec::new();
        while let Some(shared) = self.slot.upgrade() {
            let slot = Slot(shared);
            let Some(mut lent) = slot.with(|partial| partial.as_mut()?.lend_hash()) else { return };
            let read = lent.run(&mut piece);
            slot.with(|partial| {
                if let Some(partial) = partial {
                    partial.take_hash_back(lent, &read);
                }
            });
            slot.0.hash_is_back.notify_all();
        }
    }
}
