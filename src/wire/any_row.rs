//! A row of either tree, Tiger or BLAKE3, and what a slice is held against.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use blake3::hazmat::HasherExt;

use super::blake3_tree::hasher_at;
use super::{Blake3, Blake3Row, TigerTree, TreeRow, Tth};

/// Which of the trees of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TreeKind {
    /// Its Tiger tree, which every client asks for (THEX).
    Tiger,
    /// The tree in its BLAKE3: our own.
    Blake3,
}

/// A row that proves the parts of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnyRow {
    /// Of its Tiger tree.
    Tiger(Arc<TreeRow>),
    /// Of the tree in its BLAKE3.
    Blake3(Arc<Blake3Row>),
}

/// What a row hashes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnyRoot {
    /// The root of a Tiger tree.
    Tiger(Tth),
    /// A BLAKE3.
    Blake3(Blake3),
}

impl fmt::Display for AnyRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tiger(root) => root.fmt(f),
            Self::Blake3(root) => root.fmt(f),
        }
    }
}

impl AnyRow {
    /// Of which tree it is.
    pub fn kind(&self) -> TreeKind {
        match self {
            Self::Tiger(_) => TreeKind::Tiger,
            Self::Blake3(_) => TreeKind::Blake3,
        }
    }

    /// What it hashes to.
    pub fn root(&self) -> AnyRoot {
        match self {
            Self::Tiger(row) => AnyRoot::Tiger(row.root()),
            Self::Blake3(row) => AnyRoot::Blake3(row.root()),
        }
    }

    /// Bytes in the file.
    pub fn size(&self) -> u64 {
        match self {
            Self::Tiger(row) => row.size(),
            Self::Blake3(row) => row.size(),
        }
    }

    /// Bytes in a slice; the last may have fewer.
    pub fn slice(&self) -> u64 {
        match self {
            Self::Tiger(row) => row.slice(),
            Self::Blake3(row) => row.slice(),
        }
    }

    /// Where slice number `index` lies in the file.
    pub fn range(&self, index: usize) -> Range<u64> {
        match self {
            Self::Tiger(row) => row.range(index),
            Self::Blake3(row) => row.range(index),
        }
    }

    /// To hold slice number `index` against it; `None` when there is no such slice.
    pub fn check(&self, index: usize) -> Option<SliceCheck> {
        Some(match self {
            Self::Tiger(row) => SliceCheck::Tiger { must: *row.nodes().get(index)?, tree: Box::default() },
            Self::Blake3(row) => SliceCheck::Blake3 {
                must: *row.nodes().get(index)?,
                // The start of a slice that is there is one of a leaf.
                hasher: Box::new(hasher_at(row.range(index).start)),
                is_all: row.nodes().len() == 1,
            },
        })
    }
}

/// Takes the bytes of a slice, all of them, from first to last.
#[derive(Clone)]
pub enum SliceCheck {
    /// It must be this node of a Tiger tree.
    Tiger {
        /// Over the bytes so far.
        tree: Box<TigerTree>,
        /// The node.
        must: Tth,
    },
    /// It must be this node of the tree in a BLAKE3.
    Blake3 {
        /// Over the bytes so far.
        hasher: Box<blake3::Hasher>,
        /// The node.
        must: Blake3,
        /// The slice is the whole file, and the node its root.
        is_all: bool,
    },
}

impl fmt::Debug for SliceCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tiger { must, .. } => write!(f, "SliceCheck({must})"),
            Self::Blake3 { must, .. } => write!(f, "SliceCheck({must})"),
        }
    }
}

impl SliceCheck {
    /// The next bytes, in pieces of any length; of 128 KiB and more at full speed.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Tiger { tree, .. } => tree.update(bytes),
            Self::Blake3 { hasher, .. } => {
                hasher.update(bytes);
            }
        }
    }

    /// Whether all bytes that were taken are the slice.
    pub fn holds(self) -> bool {
        match self {
            Self::Tiger { tree, must } => tree.finish() == must,
            Self::Blake3 { hasher, must, is_all: true } => hasher.finalize() == must.0,
            // Of nothing there is no node.
            Self::Blake3 { hasher, must, is_all: false } => hasher.count() > 0 && hasher.finalize_non_root() == must.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Digester;

    #[test]
    fn a_slice_is_known_by_itself_and_only_in_its_place() {
        for length in [0, 1, 200_000, 262_143, 262_144, 300_000, 1_000_000] {
            let bytes: Vec<u8> = (0..length as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
            let mut digester = Digester::new();
            digester.update(&bytes);
            let (digests, tiger, blake3) = digester.finish_with_rows();
            let rows = [AnyRow::Tiger(tiger.into()), AnyRow::Blake3(blake3.into())];
            assert_eq!(rows[0].root(), AnyRoot::Tiger(digests.tth));
            assert_eq!(rows[1].root(), AnyRoot::Blake3(digests.blake3));
            assert_eq!(rows[0].slice(), rows[1].slice(), "they are cut alike");
            let holds = |row: &AnyRow, index, bytes: &[u8]| {
                row.check(index).is_some_and(|mut check| {
                    bytes.chunks(100_001).for_each(|piece| check.update(piece));
                    check.holds()
                })
            };
            for row in rows {
                let slices = (row.size().div_ceil(row.slice()) as usize).max(1);
                for index in 0..slices {
                    let range = row.range(index);
                    let slice = &bytes[range.start as usize..range.end as usize];
                    assert!(holds(&row, index, slice), "{range:?} of {length}");
                    if length > 0 {
                        assert!(!holds(&row, index, &slice[..slice.len() - 1]), "one byte is missing");
                        assert!(!holds(&row, index, &[]), "all are missing");
                    }
                    for other in (0..slices).filter(|other| *other != index) {
                        assert!(!holds(&row, other, slice), "{index} is not {other}");
                    }
                }
                assert!(row.check(slices).is_none());
            }
        }
    }
}
