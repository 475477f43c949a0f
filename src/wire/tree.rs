//! The Tiger tree: a hash of 1024-byte leaves, so that parts of a file can be checked alone.
//!
//! THEX draft, section 2: a leaf is hashed behind a byte 0x00, a pair of nodes behind a byte 0x01; a node
//! without a partner goes up unchanged. The hash is Tiger with its original padding; Tiger2 gives other roots.
//!
//! Level 0 are the leaves; each node of level k stands for 2^k leaves. A [`TreeRow`] is one level, which is what
//! is kept of a file and what others are given: see [`super::thex`].

use std::ops::Range;

use super::{Tth, tiger};

/// Bytes in a leaf.
pub const LEAF: usize = 1024;
/// The most nodes in a row that we keep and serve.
pub const MAX_ROW: usize = 2048;
/// The lowest level that is kept: nodes of 128 KiB.
const LOWEST: u32 = 7;
/// Leaves in such a node. They are hashed together.
const GROUP: usize = 1 << LOWEST;

/// Takes bytes in pieces of any length and yields the root, and a row of the tree. It keeps one node per level
/// and at most [`MAX_ROW`] of one level.
#[derive(Clone)]
pub struct TigerTree {
    /// The leaf that is not whole yet.
    leaf: [u8; LEAF],
    /// Bytes in `leaf`.
    filled: usize,
    /// Leaves finished. Level k of `waiting` is in use exactly when bit k of this is set.
    leaves: u64,
    /// A finished left sibling at each level, which waits for its partner.
    waiting: Vec<Tth>,
    /// All nodes of `level` so far. When they become too many, they are joined and the level goes up.
    row: Vec<Tth>,
    level: u32,
    /// Bytes taken.
    size: u64,
}

impl Default for TigerTree {
    fn default() -> Self {
        Self::new()
    }
}

impl TigerTree {
    /// Nothing hashed yet.
    pub fn new() -> Self {
        Self { leaf: [0; LEAF], filled: 0, leaves: 0, waiting: Vec::new(), row: Vec::new(), level: LOWEST, size: 0 }
    }

    /// Takes the next bytes. Pieces of 256 KiB and more are hashed at full speed.
    pub fn update(&mut self, mut bytes: &[u8]) {
        self.size += bytes.len() as u64;
        if self.filled > 0 {
            let (now, later) = bytes.split_at(bytes.len().min(LEAF - self.filled));
            self.leaf[self.filled..][..now.len()].copy_from_slice(now);
            self.filled += now.len();
            bytes = later;
            if self.filled < LEAF {
                return;
            }
            self.finish_leaf();
        }
        let (mut leaves, rest) = bytes.as_chunks::<LEAF>();
        while !leaves.is_empty() {
            let until_next = GROUP - self.leaves as usize % GROUP;
            let (now, later) = leaves.split_at(leaves.len().min(until_next));
            let nodes = tiger::leaves(now);
            if now.len() == GROUP {
                self.push(LOWEST, root_of(nodes));
            } else {
                nodes.into_iter().for_each(|hash| self.push(0, hash));
            }
            leaves = later;
        }
        self.leaf[..rest.len()].copy_from_slice(rest);
        self.filled = rest.len();
    }

    /// The root of all bytes taken. No bytes are one empty leaf.
    pub fn finish(self) -> Tth {
        self.finish_row().root()
    }

    /// The row that is kept of a file of this size: the one of [`good_depth`].
    pub fn finish_row(mut self) -> TreeRow {
        if self.filled > 0 || self.leaves == 0 {
            self.finish_leaf();
        }
        // What waits below the row's level lacks right partners: it goes up unchanged until it meets a left one.
        let unfinished = (self.leaves & ((1 << self.level) - 1)).count_ones() as usize;
        let last = self.waiting.split_off(self.waiting.len() - unfinished).into_iter();
        self.row.extend(last.rev().reduce(|right, left| node(&left, &right)));
        let depth = good_depth(self.size);
        while self.row.len() > 1 << depth {
            self.row = parents(&self.row);
        }
        TreeRow { size: self.size, nodes: self.row }
    }

    fn finish_leaf(&mut self) {
        let hash = tiger::leaf(&self.leaf[..self.filled]);
        self.filled = 0;
        self.push(0, hash);
    }

    /// Takes in a finished node of `level`; the leaves so far are a multiple of what it stands for.
    fn push(&mut self, level: u32, mut hash: Tth) {
        // As in a binary counter: every carry joins two nodes of one level.
        let carries = (self.leaves >> level).trailing_ones();
        self.leaves += 1 << level;
        for level in level..level + carries {
            self.keep(level, hash);
            if let Some(left) = self.waiting.pop() {
                hash = node(&left, &hash);
            }
        }
        self.keep(level + carries, hash);
        self.waiting.push(hash);
    }

    /// Keeps a node if it is of the row's level. When the row is full the level goes up: the node and its
    /// partner then come as one.
    fn keep(&mut self, level: u32, hash: Tth) {
        if level == self.level {
            if self.row.len() == MAX_ROW {
                self.row = parents(&self.row);
                self.level += 1;
            } else {
                self.row.push(hash);
            }
        }
    }
}

/// One level of a file's Tiger tree: the hashes of its slices. The number of nodes always fits the file's size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeRow {
    size: u64,
    nodes: Vec<Tth>,
}

impl TreeRow {
    /// The row of these nodes. `None` when a file of `size` bytes has no level of so many nodes.
    pub fn new(size: u64, nodes: Vec<Tth>) -> Option<Self> {
        let count = nodes.len() as u64;
        (0..=full_depth(size)).any(|depth| nodes_at(size, depth) == count).then_some(Self { size, nodes })
    }

    /// The row with the root alone: what there is of a small file.
    pub fn of_root(size: u64, root: Tth) -> Self {
        Self { size, nodes: vec![root] }
    }

    /// Bytes in the file.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The hashes of its slices, from first to last.
    pub fn nodes(&self) -> &[Tth] {
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

    /// Whether `bytes` are slice number `index` of the file.
    pub fn holds(&self, index: usize, bytes: &[u8]) -> bool {
        let range = self.range(index);
        let mut tree = TigerTree::new();
        tree.update(bytes);
        range.end - range.start == bytes.len() as u64 && self.nodes.get(index) == Some(&tree.finish())
    }

    /// The root, computed from the nodes.
    pub fn root(&self) -> Tth {
        root_of(self.nodes.clone())
    }

    /// All levels from the root down to this one.
    pub(super) fn levels(&self) -> Vec<Vec<Tth>> {
        let mut levels = vec![self.nodes.clone()];
        while levels[levels.len() - 1].len() > 1 {
            levels.push(parents(&levels[levels.len() - 1]));
        }
        levels.reverse();
        levels
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

/// The root above a level, which is not empty.
fn root_of(mut nodes: Vec<Tth>) -> Tth {
    while nodes.len() > 1 {
        nodes = parents(&nodes);
    }
    nodes[0]
}

/// The next level up.
fn parents(nodes: &[Tth]) -> Vec<Tth> {
    let (pairs, odd) = nodes.as_chunks::<2>();
    let mut up = tiger::pairs(pairs);
    up.extend(odd);
    up
}

fn node(left: &Tth, right: &Tth) -> Tth {
    tiger::pairs(&[[*left, *right]])[0]
}

#[cfg(test)]
mod tests {
    use ::tiger::{Digest, Tiger};

    use super::*;

    fn root(bytes: &[u8]) -> String {
        tree(bytes).finish().to_string()
    }

    fn tree(bytes: &[u8]) -> TigerTree {
        let mut tree = TigerTree::new();
        tree.update(bytes);
        tree
    }

    /// The definition, straight: all leaves, then level by level, root last.
    fn reference(bytes: &[u8]) -> Vec<Vec<Tth>> {
        let hash = |chunk: &[u8]| Tth(Tiger::new_with_prefix([0]).chain_update(chunk).finalize().into());
        let node = |left: &Tth, right: &Tth| {
            Tth(Tiger::new_with_prefix([1]).chain_update(left.0).chain_update(right.0).finalize().into())
        };
        let mut level: Vec<Tth> = match bytes.is_empty() {
            true => vec![hash(b"")],
            false => bytes.chunks(LEAF).map(hash).collect(),
        };
        let mut levels = vec![level.clone()];
        while level.len() > 1 {
            level = level.chunks(2).map(|pair| if let [l, r] = pair { node(l, r) } else { pair[0] }).collect();
            levels.push(level.clone());
        }
        levels
    }

    fn noise(length: usize) -> Vec<u8> {
        (0..length as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
    }

    #[test]
    fn the_thex_test_vectors_hold() {
        assert_eq!(root(b""), "LWPNACQDBZRYXW3VHJVCJ64QBZNGHOHHHZWCLNQ");
        assert_eq!(root(b"\0"), "VK54ZIEEVTWNAUI5D5RDFIL37LX2IQNSTAXFKSA");
        assert_eq!(root(&[b'A'; 1024]), "L66Q4YVNAFWVS23X2HJIRA5ZJ7WXR3F26RSASFA");
        assert_eq!(root(&[b'A'; 1025]), "PZMRYHGY6LTBEH63ZWAHDORHSYTLO4LEFUIKHWY");
    }

    #[test]
    fn any_number_of_leaves_in_any_pieces_gives_the_defined_root() {
        let bytes = noise(300 * LEAF + 1);
        for leaves in (0..=40).chain(125..=131).chain([255, 256, 257, 300]) {
            for length in [leaves * LEAF, leaves * LEAF + 1] {
                let expected = reference(&bytes[..length]).pop().expect("a root")[0];
                for piece in [1023, 1024, 1025, 5000, 40_000, 200_000, 262_144] {
                    let mut tree = TigerTree::new();
                    bytes[..length].chunks(piece).for_each(|chunk| tree.update(chunk));
                    assert_eq!(tree.finish(), expected, "{length} bytes in pieces of {piece}");
                }
            }
        }
    }

    #[test]
    fn the_row_is_a_level_of_the_tree() {
        const KIB: usize = 1024;
        let bytes = noise(2600 * KIB);
        for length in [0, 1, 200 * KIB, 256 * KIB - 1, 256 * KIB, 256 * KIB + 1, 300 * KIB, 896 * KIB, 2600 * KIB] {
            let bytes = &bytes[..length];
            let row = tree(bytes).finish_row();
            let levels = reference(bytes);
            assert_eq!(Some(&row.nodes), levels.iter().rev().nth(good_depth(length as u64) as usize), "{length}");
            assert_eq!(row.root(), levels[levels.len() - 1][0]);
            let upwards: Vec<Vec<Tth>> = row.levels().into_iter().rev().collect();
            assert!(levels.ends_with(&upwards));
            // A slice is known by itself, and only in its place.
            for index in 0..row.nodes().len() {
                let range = row.range(index);
                let slice = &bytes[range.start as usize..range.end as usize];
                assert!(row.holds(index, slice), "{range:?} of {length}");
                assert!(
                    !row.holds(index + 1, slice) && !row.holds(index, &slice[..slice.len().saturating_sub(1)])
                        || length == 0
                );
            }
            assert_eq!(row.range(row.nodes().len() - 1).end, length as u64);
            assert_eq!(TreeRow::new(length as u64, row.nodes.clone()), Some(row));
        }
    }

    #[test]
    fn a_row_that_becomes_too_long_goes_up_a_level() {
        // Nodes of the row's level instead of bytes: the file would have gigabytes.
        for nodes in
            [MAX_ROW as u64 - 1, MAX_ROW as u64, MAX_ROW as u64 + 1, 3 * MAX_ROW as u64 + 1, 5 * MAX_ROW as u64]
        {
            let all: Vec<Tth> = (0..nodes).map(|i| node(&Tth([i as u8; 24]), &Tth([(i >> 8) as u8; 24]))).collect();
            let mut tree = TigerTree { size: nodes << 17, ..TigerTree::new() };
            all.iter().for_each(|hash| tree.push(LOWEST, *hash));
            assert!(tree.row.len() <= MAX_ROW);
            let row = tree.finish_row();
            let mut expected = all;
            while expected.len() > 1 << good_depth(nodes << 17) {
                expected = parents(&expected);
            }
            assert_eq!(row, TreeRow { size: nodes << 17, nodes: expected }, "{nodes} nodes");
        }
    }

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
            let row = TreeRow { size, nodes: vec![Tth([0; 24]); nodes_at(size, depth) as usize] };
            assert_eq!((row.depth(), row.slice()), (depth, slice), "{size}");
            assert!(row.nodes().len() <= MAX_ROW);
        }
    }

    #[test]
    fn a_row_must_fit_the_size() {
        let row = |size, count| TreeRow::new(size, vec![Tth([1; 24]); count]);
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
}
