//! Blocks under way: their bytes are written and hashed while nothing else of the download waits.
//!
//! Each has a lock of its own, so that what several sources send is written and hashed beside each other. Whoever wants both
//! takes the block's lock before that of the partial file.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Partial;
use super::bytes::write_at;
use crate::transfer::{Block, Proof};
use crate::wire::{AnyRow, Part, PartTree, TreeSlice};

/// A block, as far as its bytes came from its start on.
#[derive(Debug)]
pub(super) struct Filling {
    block: Range<u64>,
    taken: u64,
    /// Until it is whole.
    hash: Option<PartTree>,
    /// What the Tiger tree says of these bytes; nothing when there was none before the first of them.
    slices: Option<Slices>,
    /// Which tree of the download that is.
    tree: u32,
}

/// A block that has just become whole.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) part: Part,
    /// The slices that are not what the Tiger tree says.
    pub(super) wrong: Option<Vec<Range<u64>>>,
    /// Which tree that was.
    pub(super) tree: u32,
}

/// The slices of a block, one after the other.
#[derive(Debug)]
struct Slices {
    /// Those that have not begun.
    next: std::vec::IntoIter<(Range<u64>, TreeSlice)>,
    /// The one under way, and how many of its bytes are missing.
    now: Option<(Range<u64>, TreeSlice, u64)>,
    /// Those that are not what they should be.
    wrong: Vec<Range<u64>>,
}

/// Where bytes of one block go.
#[derive(Clone, Debug)]
pub(super) struct Place {
    file: Arc<File>,
    pub(super) index: usize,
    filling: Arc<Mutex<Filling>>,
}

impl Partial {
    /// Where bytes from there on go; nothing, if all of the block is there.
    pub(super) fn place_at(&mut self, at: u64) -> Option<Place> {
        let index = self.map.index_at(at);
        if let Block::Stored(_) = self.map.block(index) {
            return None;
        }
        let (block, size, tree) = (self.map.range(index), self.map.size(), self.trees);
        let proof = self.proof.as_ref();
        let fresh = || Arc::new(Mutex::new(Filling::of(index, block, size, proof, tree)));
        let filling = Arc::clone(self.filling.entry(index).or_insert_with(fresh));
        Some(Place { file: Arc::clone(&self.file), index, filling })
    }
}

impl Place {
    /// When nobody else writes to the block.
    pub(super) fn lock(&self) -> MutexGuard<'_, Filling> {
        self.filling.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many know of it.
    #[cfg(test)]
    pub(super) fn users(&self) -> usize {
        Arc::strong_count(&self.filling)
    }

    /// Writes bytes of the block, but for those that are there already: two sources may have sent them, and what the first
    /// one sent was hashed. Returns where the others are, and the whole block if it is that now.
    pub(super) fn write(
        &self,
        filling: &mut Filling,
        at: u64,
        bytes: &[u8],
    ) -> io::Result<(Range<u64>, Option<Whole>)> {
        let there = (filling.block.start + filling.taken).saturating_sub(at).min(bytes.len() as u64);
        let (fresh, begins) = (&bytes[there as usize..], at + there);
        write_at(&self.file, fresh, begins)?;
        Ok((begins..begins + fresh.len() as u64, filling.take(begins, fresh)))
    }
}

impl Filling {
    /// Nothing of it is there yet.
    fn of(index: usize, block: Range<u64>, size: u64, proof: Option<&Proof>, tree: u32) -> Self {
        // Where a slice is greater than a block, the block alone proves nothing.
        let proof = proof.filter(|proof| proof.blocks(proof.unit_of(index)) == (index..index + 1));
        let slices = proof.and_then(|proof| {
            let AnyRow::Tiger(row) = proof.row() else { return None };
            let next = proof.tiger_slices(proof.unit_of(index), row).collect::<Vec<_>>().into_iter();
            Some(Slices { next, now: None, wrong: Vec::new() })
        });
        Self { taken: 0, hash: Some(PartTree::new(&block, size)), slices, block, tree }
    }

    /// All of it is there: nobody writes here any more.
    pub(super) fn is_whole(&self) -> bool {
        self.hash.is_none()
    }

    /// Behind a hole they do not count.
    fn take(&mut self, at: u64, bytes: &[u8]) -> Option<Whole> {
        if at != self.block.start + self.taken || bytes.is_empty() {
            return None;
        }
        self.hash.as_mut()?.update(bytes);
        if let Some(slices) = &mut self.slices {
            slices.take(bytes);
        }
        self.taken += bytes.len() as u64;
        if self.taken < self.block.end - self.block.start {
            return None;
        }
        let wrong = self.slices.take().map(|slices| slices.wrong);
        Some(Whole { part: self.hash.take()?.finish(), wrong, tree: self.tree })
    }
}

impl Slices {
    fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let begun = self.now.take().or_else(|| {
                let (range, check) = self.next.next()?;
                let missing = range.end - range.start;
                Some((range, check, missing))
            });
            let Some((range, mut check, missing)) = begun else { return };
            let (these, later) = bytes.split_at((bytes.len() as u64).min(missing) as usize);
            check.update(these);
            let missing = missing - these.len() as u64;
            if missing > 0 {
                self.now = Some((range, check, missing));
            } else if !check.holds() {
                self.wrong.push(range);
            }
            bytes = later;
        }
    }
}
