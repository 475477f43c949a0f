//! A row of either tree, Tiger or BLAKE3.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::{Blake3, Blake3Row, TreeRow, Tth};

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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Digester;

    #[test]
    fn both_trees_of_a_file_are_cut_alike() {
        for length in [0, 1, 200_000, 262_143, 262_144, 300_000, 1_000_000] {
            let mut digester = Digester::new();
            digester.update(&vec![7; length]);
            let (digests, tiger, blake3) = digester.finish_with_rows();
            let rows = [AnyRow::Tiger(tiger.into()), AnyRow::Blake3(blake3.into())];
            assert_eq!(rows[0].root(), AnyRoot::Tiger(digests.tth));
            assert_eq!(rows[1].root(), AnyRoot::Blake3(digests.blake3));
            assert_eq!((rows[0].slice(), rows[0].size()), (rows[1].slice(), rows[1].size()), "{length}");
            assert_eq!(rows[0].range(1), rows[1].range(1), "{length}");
        }
    }
}
