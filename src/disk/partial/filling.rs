//! Blocks under way: hashed while their bytes pass by, and held against the tree in the same go where there is one.

use std::ops::Range;

use super::Partial;
use crate::transfer::{Block, Proof};
use crate::wire::{Blake3, SliceCheck};

/// A block, as far as its bytes came from its start on.
#[derive(Debug, Default)]
pub(super) struct Filling {
    taken: u64,
    hasher: blake3::Hasher,
    /// What the tree says of these bytes; nothing when it came later than the first of them.
    slices: Option<Slices>,
}

/// The slices of a block, one after the other.
#[derive(Debug)]
struct Slices {
    /// Those that have not begun.
    next: std::vec::IntoIter<(Range<u64>, SliceCheck)>,
    /// The one under way, and how many of its bytes are missing.
    now: Option<(Range<u64>, SliceCheck, u64)>,
    /// Those that are not what they should be.
    wrong: Vec<Range<u64>>,
}

impl Partial {
    /// How many bytes from there on are in a block already.
    pub(super) fn there_of(&self, index: usize, at: u64) -> u64 {
        let block = self.map.range(index);
        match (self.map.block(index), self.filling.get(&index)) {
            (Block::Stored(_), _) => block.end.saturating_sub(at),
            (_, Some(filling)) => (block.start + filling.taken).saturating_sub(at),
            (_, None) => 0,
        }
    }

    /// Bytes of one block were written; its hash, if it is whole now.
    pub(super) fn fill(&mut self, index: usize, at: u64, bytes: &[u8]) -> Option<Blake3> {
        if let Block::Stored(_) = self.map.block(index) {
            return None;
        }
        let block = self.map.range(index);
        let end = at + bytes.len() as u64;
        let proof = self.proof.as_ref();
        let filling = self.filling.entry(index).or_insert_with(|| Filling::of(index, proof));
        // Behind a hole they do not count; what came before is not hashed twice.
        let seen = (block.start + filling.taken).checked_sub(at).filter(|seen| *seen < bytes.len() as u64);
        if let Some(seen) = seen {
            filling.take(&bytes[seen as usize..]);
            filling.taken = end - block.start;
        }
        self.map.fill(at..end);
        if filling.taken < block.end - block.start {
            return None;
        }
        let filling = self.filling.remove(&index)?;
        if let Some(slices) = filling.slices {
            self.seen.insert(index, slices.wrong);
        }
        let hash = Blake3(filling.hasher.finalize().into());
        self.map.store(index, hash);
        Some(hash)
    }
}

impl Filling {
    /// Nothing of it is there yet.
    fn of(index: usize, proof: Option<&Proof>) -> Self {
        // Where a slice is greater than a block, the block alone proves nothing.
        let proof = proof.filter(|proof| proof.blocks(proof.unit_of(index)) == (index..index + 1));
        let slices = proof.map(|proof| {
            let next = proof.slices(proof.unit_of(index)).collect::<Vec<_>>().into_iter();
            Slices { next, now: None, wrong: Vec::new() }
        });
        Self { slices, ..Self::default() }
    }

    /// The tree is another one.
    pub(super) fn forget_tree(&mut self) {
        self.slices = None;
    }

    fn take(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        if let Some(slices) = &mut self.slices {
            slices.take(bytes);
        }
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
