//! Which parts of a file are there.
//!
//! A file is cut into blocks of 1 MiB, "doubled until there are at most 16 Ki of them", so that the map of any
//! file is small. Within a block bytes count from its start: a block that is under way has a prefix. A block is
//! stored when all of it is on disk and its node in the tree inside the file's BLAKE3 is known; that is what is checked after
//! a restart, and what the nodes of all blocks make is the BLAKE3 of the file.

use std::ops::Range;

use crate::wire::{Blake3, PartTree, node_above};

/// The smallest size of a block.
pub const BLOCK: u64 = 1 << 20;
/// No file has more blocks than this.
pub const MAX_BLOCKS: u64 = 16 * 1024;

/// The size of the blocks of a file of `size` bytes.
pub fn block_size(size: u64) -> u64 {
    let mut block = BLOCK;
    while size.div_ceil(block) > MAX_BLOCKS {
        block *= 2;
    }
    block
}

/// What is there of a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Block {
    /// Nothing.
    #[default]
    Missing,
    /// That many bytes from its start on. All of them, when it waits for its hash.
    Filling(u64),
    /// All of it.
    Stored(Blake3),
}

/// The blocks of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockMap {
    size: u64,
    block_size: u64,
    blocks: Vec<Block>,
    /// Bytes that count.
    done: u64,
    /// Blocks that are stored.
    stored: usize,
}

impl BlockMap {
    /// A file of `size` bytes of which nothing is there.
    pub fn new(size: u64) -> Self {
        Self::with_block_size(size, block_size(size))
    }

    /// ... with blocks of another size than the usual one; smaller ones than a file of that size may have are
    /// made as large as they must be.
    pub fn with_block_size(size: u64, block: u64) -> Self {
        let block = block.max(size.div_ceil(MAX_BLOCKS)).max(1);
        let count = size.div_ceil(block) as usize;
        Self { size, block_size: block, blocks: vec![Block::Missing; count], done: 0, stored: 0 }
    }

    /// Bytes of the file.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Bytes of a block; the last one may have fewer.
    pub fn block_size(&self) -> u64 {
        self.block_size
    }

    /// Blocks of the file.
    pub fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Whether the file is empty.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// What is there of a block; `Missing` for one that does not exist.
    pub fn block(&self, index: usize) -> Block {
        self.blocks.get(index).copied().unwrap_or_default()
    }

    /// The block that `offset` is in.
    pub fn index_at(&self, offset: u64) -> usize {
        (offset / self.block_size) as usize
    }

    /// The bytes of a block.
    pub fn range(&self, index: usize) -> Range<u64> {
        let start = (index as u64).saturating_mul(self.block_size).min(self.size);
        start..start.saturating_add(self.block_size).min(self.size)
    }

    /// Bytes that count.
    pub fn done(&self) -> u64 {
        self.done
    }

    /// Whether every block is stored.
    pub fn is_complete(&self) -> bool {
        self.stored == self.blocks.len()
    }

    /// The stored blocks and their hashes.
    pub fn stored(&self) -> impl Iterator<Item = (usize, Blake3)> {
        self.blocks.iter().enumerate().filter_map(|(index, block)| match block {
            Block::Stored(hash) => Some((index, *hash)),
            _ => None,
        })
    }

    /// The BLAKE3 of the file, if every block is stored and they are of the usual size.
    pub fn blake3(&self) -> Option<Blake3> {
        if self.is_empty() {
            return Some(PartTree::new(&(0..0), 0).finish().node);
        }
        let nodes: Vec<Blake3> = self.stored().map(|(_, node)| node).collect();
        let usual = self.is_complete() && self.block_size == block_size(self.size);
        node_above(&nodes, true).filter(|_| usual)
    }

    /// Bytes were written. They count where they continue the prefix of their block; behind a hole they do
    /// not, and will be fetched again. Stored blocks stay as they are.
    pub fn fill(&mut self, bytes: Range<u64>) {
        let bytes = bytes.start..bytes.end.min(self.size);
        if bytes.is_empty() {
            return;
        }
        for index in self.index_at(bytes.start)..=self.index_at(bytes.end - 1) {
            let block = self.range(index);
            let filled = match self.blocks[index] {
                Block::Missing => 0,
                Block::Filling(filled) => filled,
                Block::Stored(_) => continue,
            };
            let end = bytes.end.min(block.end) - block.start;
            if bytes.start <= block.start + filled && end > filled {
                self.blocks[index] = Block::Filling(end);
                self.done += end - filled;
            }
        }
    }

    /// All of a block is on disk, and this is its hash.
    pub fn store(&mut self, index: usize, hash: Blake3) {
        if index < self.blocks.len() {
            self.forget(index);
            let range = self.range(index);
            self.blocks[index] = Block::Stored(hash);
            self.stored += 1;
            self.done += range.end - range.start;
        }
    }

    /// What is there of a block does not count any more.
    pub fn forget(&mut self, index: usize) {
        let Some(block) = self.blocks.get(index) else { return };
        let range = self.range(index);
        self.stored -= usize::from(matches!(block, Block::Stored(_)));
        self.done -= match block {
            Block::Missing => 0,
            Block::Filling(filled) => *filled,
            Block::Stored(_) => range.end - range.start,
        };
        self.blocks[index] = Block::Missing;
    }

    /// Blocks touched by `bytes` that are whole, yet have no hash, do not count any more.
    pub fn forget_unnamed(&mut self, bytes: Range<u64>) {
        let bytes = bytes.start..bytes.end.min(self.size);
        if bytes.is_empty() {
            return;
        }
        for index in self.index_at(bytes.start)..=self.index_at(bytes.end - 1) {
            let block = self.range(index);
            if self.block(index) == Block::Filling(block.end - block.start) {
                self.forget(index);
            }
        }
    }

    /// Nothing counts any more.
    pub fn clear(&mut self) {
        self.blocks.fill(Block::Missing);
        (self.done, self.stored) = (0, 0);
    }

    /// What is missing of a block: from the end of its prefix on.
    pub fn missing_in(&self, index: usize) -> Option<Range<u64>> {
        let block = self.range(index);
        let start = match self.blocks.get(index)? {
            Block::Missing => block.start,
            Block::Filling(filled) => block.start + filled,
            Block::Stored(_) => return None,
        };
        (start < block.end).then_some(start..block.end)
    }

    /// The first bytes that are missing and lie in no block of `taken`: from the end of a block's prefix to the
    /// next block of which something is there, that is taken, or to the end of the file.
    pub fn gap(&self, taken: &[Range<u64>]) -> Option<Range<u64>> {
        self.gap_from(0, taken)
    }

    /// ... of those in or behind the block that `from` is in.
    pub fn gap_from(&self, from: u64, taken: &[Range<u64>]) -> Option<Range<u64>> {
        let is_taken = |block: &Range<u64>| taken.iter().any(|t| t.start < block.end && block.start < t.end);
        let first = (self.index_at(from)..self.len()).find(|&index| {
            let block = self.range(index);
            let missing = match self.blocks[index] {
                Block::Missing => true,
                Block::Filling(filled) => filled < block.end - block.start,
                Block::Stored(_) => false,
            };
            missing && !is_taken(&block)
        })?;
        let block = self.range(first);
        let start = match self.blocks[first] {
            Block::Filling(filled) => block.start + filled,
            _ => block.start,
        };
        let next = (first + 1..self.len())
            .find(|&index| self.blocks[index] != Block::Missing || is_taken(&self.range(index)))
            .unwrap_or(self.len());
        Some(start..self.range(next - 1).end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HASH: Blake3 = Blake3([7; 32]);

    #[test]
    fn the_nodes_of_all_blocks_make_the_blake3_of_the_file() {
        for size in [0, 1, BLOCK, BLOCK + 1, 3 * BLOCK - 9, 4 * BLOCK] {
            let bytes: Vec<u8> = (0..size).map(|at| (at * 31 + at / 255) as u8).collect();
            let mut map = BlockMap::new(size);
            for index in 0..map.len() {
                assert_eq!(map.blake3(), None, "not all are stored");
                let range = map.range(index);
                let mut tree = PartTree::new(&range, size);
                tree.update(&bytes[range.start as usize..range.end as usize]);
                map.store(index, tree.finish().node);
            }
            assert_eq!(map.blake3(), Some(Blake3(blake3::hash(&bytes).into())), "{size} bytes");
        }
        let mut odd = BlockMap::with_block_size(30, 20);
        (0..2).for_each(|index| odd.store(index, HASH));
        assert_eq!(odd.blake3(), None, "their nodes are no nodes of the tree");
    }

    #[test]
    fn a_whole_block_without_a_hash_is_fetched_again() {
        let mut map = BlockMap::new(4 * BLOCK);
        map.store(0, HASH);
        map.fill(0..2 * BLOCK + 5);
        map.forget_unnamed(BLOCK..2 * BLOCK + 5);
        assert_eq!(map.block(0), Block::Stored(HASH), "its hash is known");
        assert_eq!(map.block(1), Block::Missing, "whole, but nobody told its hash");
        assert_eq!(map.block(2), Block::Filling(5), "not whole yet");
    }

    #[test]
    fn a_block_is_a_mebibyte_doubled_until_there_are_at_most_16_ki() {
        const GIB: u64 = 1 << 30;
        for (size, block, count) in [
            (0, BLOCK, 0),
            (1, BLOCK, 1),
            (BLOCK, BLOCK, 1),
            (BLOCK + 1, BLOCK, 2),
            (16 * GIB, BLOCK, 16 * 1024),
            (16 * GIB + 1, 2 * BLOCK, 8 * 1024 + 1),
            (64 * GIB, 4 * BLOCK, 16 * 1024),
            (u64::MAX, 1 << 50, 16 * 1024),
        ] {
            let map = BlockMap::new(size);
            assert_eq!((map.block_size(), map.len()), (block, count), "{size} bytes");
        }
    }

    #[test]
    fn a_gap_begins_behind_a_prefix_and_ends_where_something_is() {
        let mut map = BlockMap::with_block_size(95, 10);
        assert_eq!(map.gap(&[]), Some(0..95));
        map.fill(0..4);
        assert_eq!(map.gap(&[]), Some(4..95));
        map.fill(50..52);
        assert_eq!(map.gap(&[]), Some(4..50));
        assert_eq!(map.gap(std::slice::from_ref(&(0..10))), Some(10..50));
        assert_eq!(map.gap(std::slice::from_ref(&(0..50))), Some(52..95));
        map.fill(4..50);
        assert_eq!(map.gap(&[]), Some(52..95), "filled blocks wait for their hash, not for bytes");
        (0..5).for_each(|index| map.store(index, HASH));
        assert_eq!((map.gap(&[]), map.done()), (Some(52..95), 52));
        (5..10).for_each(|index| map.store(index, HASH));
        assert_eq!((map.gap(&[]), map.done(), map.is_complete()), (None, 95, true));
    }

    /// The rule, byte by byte: a byte counts when it is written while the one before it in its block counts.
    struct Model {
        size: usize,
        block: usize,
        counts: Vec<bool>,
        stored: Vec<bool>,
    }

    impl Model {
        fn write(&mut self, from: usize, to: usize) {
            for at in from..to.min(self.size) {
                if at % self.block == 0 || self.counts[at - 1] {
                    self.counts[at] = true;
                }
            }
        }
        fn set(&mut self, index: usize, there: bool) {
            let end = ((index + 1) * self.block).min(self.size);
            self.counts[index * self.block..end].fill(there);
            self.stored[index] = there;
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Fill(u64, u64),
        Store(usize),
        Forget(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            3 => (0u64..130, 0u64..60).prop_map(|(from, len)| Step::Fill(from, from + len)),
            1 => (0usize..12).prop_map(Step::Store),
            1 => (0usize..12).prop_map(Step::Forget),
        ];
        proptest::collection::vec(step, 0..40)
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_map_of_single_bytes(size in 0usize..120, block in 1usize..20, steps in steps()) {
            let mut map = BlockMap::with_block_size(size as u64, block as u64);
            let count = size.div_ceil(block);
            let mut model = Model { size, block, counts: vec![false; size], stored: vec![false; count] };
            for step in steps {
                match step {
                    Step::Fill(from, to) => {
                        map.fill(from..to);
                        model.write(from as usize, to as usize);
                    }
                    Step::Store(index) => {
                        map.store(index, HASH);
                        if index < count { model.set(index, true); }
                    }
                    Step::Forget(index) => {
                        map.forget(index);
                        if index < count { model.set(index, false); }
                    }
                }
                prop_assert_eq!(map.done(), model.counts.iter().filter(|counts| **counts).count() as u64);
                prop_assert_eq!(map.is_complete(), model.stored.iter().all(|stored| *stored));
                let missing = (0..size).find(|at| !model.counts[*at]).map(|at| at as u64);
                let gap = map.gap(&[]);
                prop_assert_eq!(gap.clone().map(|gap| gap.start), missing);
                if let Some(gap) = gap {
                    prop_assert!((gap.start..gap.end).all(|at| !model.counts[at as usize]));
                    prop_assert!(gap.end == size as u64 || model.counts[gap.end as usize]);
                }
            }
        }
    }
}
