//! Blocks on disk, held against the file's tree.

use std::io::ErrorKind;
use std::ops::Range;

use super::bytes::{each_piece, part_of};
use super::filling::Whole;
use super::{DiskError, Partial};
use crate::transfer::{Block, Proof, Wrong};
use crate::wire::{AnyRow, Blake3};

/// Units that were there before the tree and are read with one write.
const AT_ONCE: usize = 1;

/// What the tree said of blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// These match it.
    pub right: Vec<usize>,
    /// These do not: they do not count any more.
    pub wrong: Vec<Wrong>,
}

impl Judged {
    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.right.is_empty() && self.wrong.is_empty()
    }
}

impl Partial {
    /// From now on blocks are held against this tree, those that are there too.
    pub fn hold_tree(&mut self, row: AnyRow) {
        self.proof = Proof::new(row, &self.map);
        (self.trees, self.behind) = (self.trees + 1, true);
        if self.proof.is_some() && self.hashed == 0 {
            self.hash_anew();
        }
    }

    /// What the tree said since this was last asked.
    pub fn judged(&mut self) -> Judged {
        std::mem::take(&mut self.judged)
    }

    /// A block became whole: what the tree says of it, if it says anything of one block.
    pub(super) fn see(&mut self, index: usize, whole: &Whole) {
        let Some(proof) = &self.proof else { return };
        let by_tiger = || whole.wrong.clone().filter(|_| whole.tree == self.trees);
        if let Some(wrong) = proof.differing(proof.unit_of(index), &whole.part).or_else(by_tiger) {
            self.seen.insert(index, wrong);
        }
    }

    /// Judges the blocks that have just become whole, and takes those that are wrong out of `stored`: the map never
    /// tells of them. Then some of those that were there before.
    pub(super) fn judge_new(&mut self, stored: &mut Vec<(usize, Blake3)>) -> Result<(), DiskError> {
        let Some(proof) = &self.proof else { return Ok(()) };
        let mut units: Vec<usize> = stored.iter().map(|(index, _)| proof.unit_of(*index)).collect();
        units.dedup();
        if self.behind {
            let older: Vec<usize> = self.waiting().filter(|unit| !units.contains(unit)).take(AT_ONCE).collect();
            self.behind = !older.is_empty();
            units.extend(older);
        }
        let mut wrong = Vec::new();
        for unit in units {
            wrong.extend(self.judge(unit)?);
        }
        if wrong.is_empty() {
            return Ok(());
        }
        let told = |index: &usize| stored.iter().all(|(fresh, _)| fresh != index);
        let in_map = wrong.iter().any(told);
        stored.retain(|(index, _)| !wrong.contains(index));
        if in_map {
            // The new ones that are right are in the map then; that they are appended once more does no harm.
            return self.strike(&wrong);
        }
        for index in &wrong {
            self.map.forget(*index);
        }
        Ok(())
    }

    /// Judges what was not judged yet; whether something is wrong.
    pub(super) fn judge_all(&mut self) -> Result<bool, DiskError> {
        let units: Vec<usize> = self.waiting().collect();
        let mut wrong = Vec::new();
        for unit in units {
            wrong.extend(self.judge(unit)?);
        }
        if !wrong.is_empty() {
            self.strike(&wrong)?;
        }
        Ok(!wrong.is_empty())
    }

    /// Units that are whole and not judged.
    fn waiting(&self) -> impl Iterator<Item = usize> {
        let proof = self.proof.as_ref();
        let units = 0..proof.map_or(0, Proof::units);
        units.filter(move |unit| {
            proof.is_some_and(|proof| !proof.is_proven(*unit) && self.is_whole(proof.blocks(*unit)))
        })
    }

    fn is_whole(&self, mut blocks: Range<usize>) -> bool {
        blocks.all(|index| matches!(self.map.block(index), Block::Stored(_)))
    }

    /// The slices of a unit that are wrong: by the hashes of its blocks, or read from the file.
    fn look(&self, proof: &Proof, unit: usize) -> Result<Vec<Range<u64>>, DiskError> {
        let AnyRow::Tiger(row) = proof.row() else { return self.look_at_nodes(proof, unit) };
        let (mut bad, mut piece) = (Vec::new(), Vec::new());
        for (range, mut check) in proof.tiger_slices(unit, row) {
            let read = each_piece(&self.file, range.clone(), &mut piece, |bytes| check.update(bytes));
            match read {
                // Somebody cut it.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => bad.push(range),
                Err(error) => return Err(self.unread(&error)),
                Ok(()) if check.holds() => {}
                Ok(()) => bad.push(range),
            }
        }
        Ok(bad)
    }

    fn look_at_nodes(&self, proof: &Proof, unit: usize) -> Result<Vec<Range<u64>>, DiskError> {
        let nodes = proof.blocks(unit).filter_map(|index| match self.map.block(index) {
            Block::Stored(node) => Some(node),
            _ => None,
        });
        let nodes: Vec<Blake3> = nodes.collect();
        if proof.is_made_of(unit, &nodes) == Some(true) {
            return Ok(Vec::new());
        }
        let all = proof.range(unit);
        let bad = match part_of(&self.file, &all, self.map.size(), &mut Vec::new()) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => None,
            read => proof.differing(unit, &read.map_err(|error| self.unread(&error))?),
        };
        Ok(bad.filter(|bad| !bad.is_empty()).unwrap_or_else(|| vec![all]))
    }

    /// Judges a unit, if it is whole; returns the blocks that are wrong.
    fn judge(&mut self, unit: usize) -> Result<Vec<usize>, DiskError> {
        let Some(proof) = &self.proof else { return Ok(Vec::new()) };
        let blocks = proof.blocks(unit);
        let seen = self.seen.remove(&blocks.start);
        if proof.is_proven(unit) || !self.is_whole(blocks.clone()) {
            return Ok(Vec::new());
        }
        let bad = match seen {
            Some(bad) => bad,
            None => self.look(proof, unit)?,
        };
        if bad.is_empty() {
            self.judged.right.extend(blocks);
            if let Some(proof) = &mut self.proof {
                proof.prove(unit);
            }
            return Ok(Vec::new());
        }
        let mut wrong = Vec::new();
        for index in blocks {
            let block = self.map.range(index);
            let here = bad.iter().filter(|slice| slice.start < block.end && block.start < slice.end);
            let here: Vec<Range<u64>> = here.cloned().collect();
            if !here.is_empty() {
                self.judged.wrong.push((index, here));
                wrong.push(index);
            }
            if block.start < self.hashed {
                self.hash_anew();
            }
        }
        Ok(wrong)
    }
}
