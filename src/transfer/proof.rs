//! A file's tree beside its blocks: what of the one proves which of the other.
//!
//! Both are cut at powers of two, so that a slice of the tree holds whole blocks, or a block whole slices. What is proven
//! at a time is the greater of the two: a unit.

use std::ops::Range;

use super::BlockMap;
use crate::wire::{AnyRoot, AnyRow, Blake3, Part, TreeRow, TreeSlice, node_above};

/// A tree, and the units that it has proven.
#[derive(Clone, Debug)]
pub struct Proof {
    row: AnyRow,
    block: u64,
    size: u64,
    right: Vec<bool>,
}

impl Proof {
    /// For the blocks of `map`; `None` when the tree is of a file of another size, or does not fit its blocks.
    pub fn new(row: AnyRow, map: &BlockMap) -> Option<Self> {
        let (slice, block) = (row.slice(), map.block_size());
        let unit = slice.max(block);
        let fits = row.size() == map.size() && unit.is_multiple_of(slice) && unit.is_multiple_of(block);
        let units = map.size().div_ceil(unit.max(1)) as usize;
        fits.then(|| Self { row, block, size: map.size(), right: vec![false; units] })
    }

    /// The tree.
    pub fn row(&self) -> &AnyRow {
        &self.row
    }

    /// What the whole must hash to.
    pub fn root(&self) -> AnyRoot {
        self.row.root()
    }

    /// Units of the file.
    pub fn units(&self) -> usize {
        self.right.len()
    }

    /// The unit that a block is in.
    pub fn unit_of(&self, block: usize) -> usize {
        (block as u64 * self.block / self.unit()) as usize
    }

    /// The blocks of a unit.
    pub fn blocks(&self, unit: usize) -> Range<usize> {
        let bytes = self.range(unit);
        (bytes.start / self.block) as usize..bytes.end.div_ceil(self.block) as usize
    }

    /// The slices of a unit in a Tiger tree: where each lies in the file, and what it is held against.
    pub fn tiger_slices<'a>(
        &self,
        unit: usize,
        row: &'a TreeRow,
    ) -> impl Iterator<Item = (Range<u64>, TreeSlice)> + use<'a> {
        let (bytes, slice) = (self.range(unit), row.slice());
        let first = (bytes.start / slice) as usize;
        let count = (bytes.end - bytes.start).div_ceil(slice) as usize;
        (first..first + count).filter_map(|index| Some((row.range(index), row.slice_at(index)?)))
    }

    /// Whether a unit whose blocks have these hashes is what it must be; `None` if a BLAKE3 says nothing of that.
    pub fn is_made_of(&self, unit: usize, blocks: &[Blake3]) -> Option<bool> {
        let AnyRow::Blake3(row) = &self.row else { return None };
        Some(node_above(blocks, self.units() == 1) == row.node_of(&self.range(unit)))
    }

    /// The slices of a unit that are wrong, by what one block, which is all of the unit, hashes to; `None` if a BLAKE3 says
    /// nothing of that, or the unit has other blocks too.
    pub fn differing(&self, unit: usize, block: &Part) -> Option<Vec<Range<u64>>> {
        let AnyRow::Blake3(row) = &self.row else { return None };
        (self.blocks(unit).len() == 1).then(|| row.differing(&self.range(unit), block))
    }

    /// It is what it must be.
    pub fn prove(&mut self, unit: usize) {
        if let Some(right) = self.right.get_mut(unit) {
            *right = true;
        }
    }

    /// A block, and with it its unit, is to be looked at again.
    pub fn forget(&mut self, block: usize) {
        let unit = self.unit_of(block);
        if let Some(right) = self.right.get_mut(unit) {
            *right = false;
        }
    }

    /// Whether a unit was proven.
    pub fn is_proven(&self, unit: usize) -> bool {
        self.right.get(unit).copied().unwrap_or(false)
    }

    /// Whether the unit of a block was proven.
    pub fn is_right(&self, block: usize) -> bool {
        self.is_proven(self.unit_of(block))
    }

    fn unit(&self) -> u64 {
        self.row.slice().max(self.block).max(1)
    }

    /// The bytes of a unit.
    pub fn range(&self, unit: usize) -> Range<u64> {
        let start = self.unit().saturating_mul(unit as u64).min(self.size);
        start..start.saturating_add(self.unit()).min(self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{TreeRow, Tth};

    const MIB: u64 = 1 << 20;

    fn proof(size: u64, block: u64, nodes: usize) -> Proof {
        let row = TreeRow::new(size, vec![Tth([0; 24]); nodes]).expect("a row of that file");
        Proof::new(AnyRow::Tiger(row.into()), &BlockMap::with_block_size(size, block)).expect("it fits")
    }

    #[test]
    fn small_slices_lie_in_blocks_and_great_ones_hold_them() {
        // Slices of 512 KiB: three blocks, the last one short.
        let fine = proof(2 * MIB + 5, MIB, 5);
        assert_eq!((fine.units(), fine.unit_of(2), fine.blocks(2)), (3, 2, 2..3));
        let slices = |proof: &Proof, unit| {
            let AnyRow::Tiger(row) = proof.row() else { panic!("it is a Tiger tree") };
            proof.tiger_slices(unit, row).map(|(range, _)| range).collect::<Vec<_>>()
        };
        assert_eq!(slices(&fine, 1), [MIB..MIB + MIB / 2, MIB + MIB / 2..2 * MIB]);
        assert_eq!(slices(&fine, 2), std::slice::from_ref(&(2 * MIB..2 * MIB + 5)));
        // Slices of 2 MiB.
        let mut coarse = proof(3 * MIB + 1, MIB, 2);
        assert_eq!((coarse.units(), coarse.unit_of(1), coarse.unit_of(3), coarse.blocks(1)), (2, 0, 1, 2..4));
        assert_eq!(slices(&coarse, 1), std::slice::from_ref(&(2 * MIB..3 * MIB + 1)));
        coarse.prove(1);
        assert!(coarse.is_right(2) && coarse.is_right(3) && !coarse.is_right(0));
        coarse.forget(3);
        assert!(!coarse.is_right(2));
    }

    #[test]
    fn a_tree_of_another_size_proves_nothing() {
        let row = TreeRow::new(MIB, vec![Tth([0; 24]); 2]).expect("a row");
        assert!(Proof::new(AnyRow::Tiger(row.into()), &BlockMap::new(MIB + 1)).is_none());
    }
}
