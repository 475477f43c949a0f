//! A level of a hash tree over 1024-byte leaves: what is kept of a file and given to others, so that parts of it can be
//! checked alone.
//!
//! The Tiger tree of THEX (section 2 of the draft) and the tree inside BLAKE3 (section 2.1 of its paper) have one shape:
//! two neighbours make a node of the next level, and a node without a partner goes up unchanged. They differ in how
//! nodes are made, which is [`Node`].
//!
//! Level 0 are the leaves; each node of level k stands for 2^k leaves.

use std::fmt::{Debug, Display};
use std::ops::Range;

/// Bytes in a leaf.
pub const LEAF: usize = 1024;
/// The most nodes in a row that we keep and serve.
pub const MAX_ROW: usize = 2048;
/// The lowest level that is kept: nodes of 128 KiB.
pub(super) const LOWEST: u32 = 7;

/// A node of a tree; the root is one too.
pub trait Node: Copy + Ord + Debug + Display + Send + Sync + 'static {
    /// Bytes of a node.
    const LEN: usize;

    /// As bytes.
    fn bytes(&self) -> &[u8];

    /// From as many bytes; `None` from more or fewer.
    fn from_bytes(bytes: &[u8]) -> Option<Self>;

    /// The nodes above pairs that are not all there is.
    fn join(pairs: &[[Self; 2]]) -> Vec<Self>;

    /// The root above the last pair.
    fn top(pair: &[Self; 2]) -> Self;
}

/// One level of a file's tree: the hashes of its slices. The number of nodes always fits the file's size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row<N> {
    size: u64,
    nodes: Vec<N>,
}

impl<N: Node> Row<N> {
    /// The row of these nodes. `None` when a file of `size` bytes has no level of so many nodes.
    pub fn new(size: u64, nodes: Vec<N>) -> Option<Self> {
        let count = nodes.len() as u64;
        (0..=full_depth(size)).any(|depth| nodes_at(size, depth) == count).then_some(Self { size, nodes })
    }

    /// The row with the root alone: what there is of a small file.
    pub fn of_root(size: u64, root: N) -> Self {
        Self { size, nodes: vec![root] }
    }

    /// Bytes in the file.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The hashes of its slices, from first to last.
    pub fn nodes(&self) -> &[N] {
        &self.nodes
    }

    /// Levels between this row and the root: 0 when it is the root.
    pub fn depth(&self) -> u32 {
        depth_of(self.nodes.len() as u64)
    }

    /// Bytes in a slice; the last may have fewer.
    pub fn slice(&self) -> u64 {
        1_u64
            .checked_shl(full_depth(self.size) - self.depth())
            .and_then(|leaves| leaves.checked_mul(LEAF as u64))
            .unwrap_or(u64::MAX)
    }

    /// Where slice number `index` lies in the file.
    pub fn range(&self, index: usize) -> Range<u64> {
        let start = self.slice().saturating_mul(index as u64).min(self.size);
        start..start.saturating_add(self.slice()).min(self.size)
    }

    /// The root, computed from the nodes.
    pub fn root(&self) -> N {
        node_above(&self.nodes, true).unwrap_or(self.nodes[0])
    }

    /// This row, or the one of [`good_depth`] if that lies above it.
    pub(super) fn no_finer_than_ours(mut self) -> Self {
        while self.nodes.len() > 1 << good_depth(self.size) {
            self.nodes = above(&self.nodes);
        }
        self
    }

    /// All levels from the root down to this one.
    pub(super) fn levels(&self) -> Vec<Vec<N>> {
        let mut levels = vec![self.nodes.clone()];
        while levels[levels.len() - 1].len() > 1 {
            levels.push(above(&levels[levels.len() - 1]));
        }
        levels.reverse();
        levels
    }
}

/// Takes the nodes of a file that is read from first to last, and yields the row that is kept of it. It keeps one node
/// per level and at most [`MAX_ROW`] of one level.
#[derive(Clone, Debug)]
pub(super) struct RowBuilder<N> {
    /// Leaves taken. Level k of `waiting` is in use exactly when bit k of this is set.
    leaves: u64,
    /// A finished left sibling at each level, which waits for its partner.
    waiting: Vec<N>,
    /// All nodes of `level` so far. When they become too many, they are joined and the level goes up.
    row: Vec<N>,
    level: u32,
}

impl<N: Node> RowBuilder<N> {
    pub(super) fn new() -> Self {
        Self { leaves: 0, waiting: Vec::new(), row: Vec::new(), level: LOWEST }
    }

    /// Leaves taken.
    pub(super) fn leaves(&self) -> u64 {
        self.leaves
    }

    /// Takes in a finished node of `level`; the leaves so far are a multiple of what it stands for. What the last one
    /// of a file lacks of its leaves does not matter.
    pub(super) fn push(&mut self, level: u32, mut hash: N) {
        // As in a binary counter: every carry joins two nodes of one level.
        let carries = (self.leaves >> level).trailing_ones();
        self.leaves += 1 << level;
        for level in level..level + carries {
            self.keep(level, hash);
            if let Some(left) = self.waiting.pop() {
                hash = join(left, hash);
            }
        }
        self.keep(level + carries, hash);
        self.waiting.push(hash);
    }

    /// Keeps a node if it is of the row's level. When the row is full the level goes up: the node and its
    /// partner then come as one.
    fn keep(&mut self, level: u32, hash: N) {
        if level == self.level {
            if self.row.len() == MAX_ROW {
                self.row = parents(&self.row);
                self.level += 1;
            } else {
                self.row.push(hash);
            }
        }
    }

    /// The row that is kept of a file of this size: the one of [`good_depth`]. Some nodes were taken.
    pub(super) fn finish(mut self, size: u64) -> Row<N> {
        // What waits below the row's level lacks right partners: it goes up unchanged until it meets a left one.
        let unfinished = (self.leaves & ((1 << self.level) - 1)).count_ones() as usize;
        let last = self.waiting.split_off(self.waiting.len().saturating_sub(unfinished)).into_iter();
        self.row.extend(last.rev().reduce(|right, left| join(left, right)));
        Row { size, nodes: self.row }.no_finer_than_ours()
    }
}

/// How deep a tree others serve and ask for, by the size of the file: as deep as its slices have 128 KiB or
/// more, and at 64 MiB, 256 MiB and 1 GiB not deeper than 9, 10 and 11. (LimeWire's rule, which gtk-gnutella keeps:
/// it takes a tree of another depth, but caches only this one.)
pub fn good_depth(size: u64) -> u32 {
    let steps = u64::BITS - (size >> 18).leading_zeros();
    steps.min(match size >> 20 {
        0..256 => 9,
        256..1024 => 10,
        _ => 11,
    })
}

/// Nodes in the row that is kept of a file of `size` bytes: 1 when it is the root alone.
pub fn row_len(size: u64) -> usize {
    nodes_at(size, good_depth(size)) as usize
}

/// Depth of the leaves of a file of `size` bytes.
pub(super) fn full_depth(size: u64) -> u32 {
    depth_of(leaves(size))
}

/// Nodes of a file of `size` bytes at `depth`, which is not deeper than its leaves.
pub(super) fn nodes_at(size: u64, depth: u32) -> u64 {
    leaves(size).div_ceil(1 << full_depth(size).saturating_sub(depth))
}

fn leaves(size: u64) -> u64 {
    size.div_ceil(LEAF as u64).max(1)
}

fn depth_of(nodes: u64) -> u32 {
    u64::BITS - nodes.saturating_sub(1).leading_zeros()
}

/// The level above all nodes of one: the last pair makes the root.
fn above<N: Node>(nodes: &[N]) -> Vec<N> {
    match nodes {
        [left, right] => vec![N::top(&[*left, *right])],
        nodes => parents(nodes),
    }
}

/// The one node above neighbours of one level, which are all there is of the file or none but them lie below it.
pub fn node_above<N: Node>(nodes: &[N], is_all: bool) -> Option<N> {
    let mut level = nodes.to_vec();
    while level.len() > 1 {
        level = if is_all { above(&level) } else { parents(&level) };
    }
    level.pop()
}

/// The nodes so many levels above these, which are not all there is.
pub(super) fn raised<N: Node>(nodes: &[N], levels: u32) -> Vec<N> {
    (0..levels).fold(nodes.to_vec(), |level, _| parents(&level))
}

/// The nodes above these, which are not all there is.
fn parents<N: Node>(nodes: &[N]) -> Vec<N> {
    let (pairs, odd) = nodes.as_chunks::<2>();
    let mut up = N::join(pairs);
    up.extend(odd);
    up
}

fn join<N: Node>(left: N, right: N) -> N {
    N::join(&[[left, right]]).pop().unwrap_or(right)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Tth;

    #[test]
    fn the_depth_is_the_one_that_others_expect() {
        const KIB: u64 = 1024;
        const MIB: u64 = 1024 * KIB;
        for (size, depth, slice) in [
            (0, 0, KIB),
            (256 * KIB - 1, 0, 256 * KIB),
            (256 * KIB, 1, 128 * KIB),
            (512 * KIB - 1, 1, 256 * KIB),
            (598_929, 2, 256 * KIB),
            (MIB, 3, 128 * KIB),
            (64 * MIB - 1, 8, 256 * KIB),
            (64 * MIB, 9, 128 * KIB),
            (256 * MIB - 1, 9, 512 * KIB),
            (256 * MIB, 10, 256 * KIB),
            (1024 * MIB - 1, 10, MIB),
            (1024 * MIB, 11, 512 * KIB),
            (10 * 1024 * MIB, 11, 8 * MIB),
            (u64::MAX, 11, 1 << 53),
        ] {
            assert_eq!(good_depth(size), depth, "{size}");
            let row = Row { size, nodes: vec![Tth([0; 24]); nodes_at(size, depth) as usize] };
            assert_eq!((row.depth(), row.slice()), (depth, slice), "{size}");
            assert!(row.nodes().len() <= MAX_ROW);
        }
    }

    #[test]
    fn a_row_must_fit_the_size() {
        let row = |size, count| Row::new(size, vec![Tth([1; 24]); count]);
        // 585 leaves: levels of 1, 2, 3, 5, 10, 19 ... nodes.
        for count in [1, 2, 3, 5, 10, 19, 37, 74, 147, 293, 585] {
            assert!(row(598_929, count).is_some(), "{count}");
        }
        for count in [0, 4, 6, 9, 20, 584, 586, 1170] {
            assert_eq!(row(598_929, count), None, "{count}");
        }
        assert!(row(0, 1).is_some() && row(0, 2).is_none() && row(0, 0).is_none());
        assert!(row(u64::MAX, 2048).is_some() && row(u64::MAX, 2047).is_none());
    }

    #[test]
    fn a_row_that_becomes_too_long_goes_up_a_level() {
        // Nodes of the row's level instead of bytes: the file would have gigabytes.
        for nodes in
            [MAX_ROW as u64 - 1, MAX_ROW as u64, MAX_ROW as u64 + 1, 3 * MAX_ROW as u64 + 1, 5 * MAX_ROW as u64]
        {
            let all: Vec<Tth> = (0..nodes).map(|i| join(Tth([i as u8; 24]), Tth([(i >> 8) as u8; 24]))).collect();
            let mut tree = RowBuilder::new();
            all.iter().for_each(|hash| tree.push(LOWEST, *hash));
            assert!(tree.row.len() <= MAX_ROW);
            let row = tree.finish(nodes << 17);
            let mut expected = all;
            while expected.len() > 1 << good_depth(nodes << 17) {
                expected = parents(&expected);
            }
            assert_eq!(row, Row { size: nodes << 17, nodes: expected }, "{nodes} nodes");
        }
    }
}
