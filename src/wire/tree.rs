//! The Tiger tree: a hash of 1024-byte leaves, so that parts of a file can be checked alone.
//!
//! THEX draft, section 2: a leaf is hashed behind a byte 0x00, a pair of nodes behind a byte 0x01; a node
//! without a partner goes up unchanged. The hash is Tiger with its original padding; Tiger2 gives other roots.
//! Others are given a [`Row`] of it: see [`super::thex`].

use super::row::{LOWEST, RowBuilder};
use super::{LEAF, Node, Row, Tth, tiger};

/// Leaves in the smallest node that is kept. They are hashed together.
const GROUP: usize = 1 << LOWEST;

/// One level of a file's Tiger tree.
pub type TreeRow = Row<Tth>;

impl Node for Tth {
    const LEN: usize = 24;

    fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    fn join(pairs: &[[Self; 2]]) -> Vec<Self> {
        tiger::pairs(pairs)
    }

    fn top(pair: &[Self; 2]) -> Self {
        tiger::pairs(&[*pair])[0]
    }
}

/// Takes bytes in pieces of any length and yields the root, and a row of the tree.
#[derive(Clone)]
pub struct TigerTree {
    /// The leaf that is not whole yet.
    leaf: [u8; LEAF],
    /// Bytes in `leaf`.
    filled: usize,
    row: RowBuilder<Tth>,
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
        Self { leaf: [0; LEAF], filled: 0, row: RowBuilder::new(), size: 0 }
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
            let until_next = GROUP - self.row.leaves() as usize % GROUP;
            let (now, later) = leaves.split_at(leaves.len().min(until_next));
            let nodes = tiger::leaves(now);
            if now.len() == GROUP {
                self.row.push(LOWEST, root_of(nodes));
            } else {
                nodes.into_iter().for_each(|hash| self.row.push(0, hash));
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

    /// The row that is kept of a file of this size: the one of [`super::good_depth`].
    pub fn finish_row(mut self) -> TreeRow {
        if self.filled > 0 || self.row.leaves() == 0 {
            self.finish_leaf();
        }
        self.row.finish(self.size)
    }

    fn finish_leaf(&mut self) {
        let hash = tiger::leaf(&self.leaf[..self.filled]);
        self.filled = 0;
        self.row.push(0, hash);
    }
}

/// The node above as many as a power of two.
fn root_of(mut nodes: Vec<Tth>) -> Tth {
    while nodes.len() > 1 {
        nodes = tiger::pairs(nodes.as_chunks::<2>().0);
    }
    nodes[0]
}

/// Takes the bytes of a slice, all of them, from first to last.
#[derive(Clone)]
pub struct TreeSlice {
    tree: TigerTree,
    must: Tth,
}

impl std::fmt::Debug for TreeSlice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TreeSlice({})", self.must)
    }
}

impl TreeSlice {
    /// The next bytes, in pieces of any length.
    pub fn update(&mut self, bytes: &[u8]) {
        self.tree.update(bytes);
    }

    /// Whether all bytes that were taken are the slice.
    pub fn holds(self) -> bool {
        self.tree.finish() == self.must
    }
}

impl TreeRow {
    /// To hold slice number `index` against it; `None` when there is no such slice.
    pub fn slice_at(&self, index: usize) -> Option<TreeSlice> {
        Some(TreeSlice { tree: TigerTree::new(), must: *self.nodes().get(index)? })
    }
}

#[cfg(test)]
mod tests {
    use ::tiger::{Digest, Tiger};

    use super::*;
    use crate::wire::good_depth;

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
            assert_eq!(
                Some(row.nodes()),
                levels.iter().rev().nth(good_depth(length as u64) as usize).map(Vec::as_slice),
                "{length}"
            );
            assert_eq!(row.root(), levels[levels.len() - 1][0]);
            let upwards: Vec<Vec<Tth>> = row.levels().into_iter().rev().collect();
            assert!(levels.ends_with(&upwards));
            // A slice is known by itself, and only in its place.
            let holds = |index, bytes: &[u8]| {
                row.slice_at(index).is_some_and(|mut slice| {
                    bytes.chunks(100_001).for_each(|piece| slice.update(piece));
                    slice.holds()
                })
            };
            for index in 0..row.nodes().len() {
                let range = row.range(index);
                let slice = &bytes[range.start as usize..range.end as usize];
                assert!(holds(index, slice), "{range:?} of {length}");
                assert!(!holds(index + 1, slice), "in another place");
                assert!(length == 0 || !holds(index, &slice[..slice.len() - 1]), "one byte is missing");
            }
            assert_eq!(row.range(row.nodes().len() - 1).end, length as u64);
            assert_eq!(TreeRow::new(length as u64, row.nodes().to_vec()), Some(row));
        }
    }
}
