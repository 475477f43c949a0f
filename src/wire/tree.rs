//! The Tiger tree: a hash of 1024-byte leaves, so that parts of a file can be checked alone.
//!
//! THEX draft, section 2: a leaf is hashed behind a byte 0x00, a pair of nodes behind a byte 0x01; a node
//! without a partner goes up unchanged. The hash is Tiger with its original padding; Tiger2 gives other roots.

use tiger::{Digest, Tiger};

use super::Tth;

/// Bytes in a leaf.
pub const LEAF: usize = 1024;

type Node = [u8; 24];

/// Takes bytes in pieces of any length and yields the root. It keeps one node per level: O(log n).
#[derive(Clone)]
pub struct TigerTree {
    leaf: Tiger,
    /// Bytes in `leaf`.
    filled: usize,
    /// Leaves finished. Level k of `waiting` is in use exactly when bit k of this is set.
    leaves: u64,
    /// A finished left sibling at each level, which waits for its partner.
    waiting: Vec<Node>,
}

impl Default for TigerTree {
    fn default() -> Self {
        Self::new()
    }
}

impl TigerTree {
    /// Nothing hashed yet.
    pub fn new() -> Self {
        Self { leaf: leaf(), filled: 0, leaves: 0, waiting: Vec::new() }
    }

    /// Takes the next bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(LEAF - self.filled));
            self.leaf.update(now);
            self.filled += now.len();
            bytes = later;
            if self.filled == LEAF {
                self.finish_leaf();
            }
        }
    }

    /// The root of all bytes taken. No bytes are one empty leaf.
    pub fn finish(mut self) -> Tth {
        if self.filled > 0 || self.leaves == 0 {
            self.finish_leaf();
        }
        // What still waits lacks a right partner: it goes up unchanged until it meets a left one.
        let mut root = self.waiting.pop().unwrap_or_default();
        while let Some(left) = self.waiting.pop() {
            root = node(&left, &root);
        }
        Tth(root)
    }

    fn finish_leaf(&mut self) {
        let mut hash: Node = std::mem::replace(&mut self.leaf, leaf()).finalize().into();
        self.filled = 0;
        // As in a binary counter: every carry joins two nodes of one level.
        for _ in 0..self.leaves.trailing_ones() {
            if let Some(left) = self.waiting.pop() {
                hash = node(&left, &hash);
            }
        }
        self.waiting.push(hash);
        self.leaves += 1;
    }
}

fn leaf() -> Tiger {
    Tiger::new_with_prefix([0x00])
}

fn node(left: &Node, right: &Node) -> Node {
    Tiger::new_with_prefix([0x01]).chain_update(left).chain_update(right).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(bytes: &[u8]) -> String {
        let mut tree = TigerTree::new();
        tree.update(bytes);
        tree.finish().to_string()
    }

    /// The definition, straight: all leaves, then level by level.
    fn reference(bytes: &[u8]) -> Tth {
        let mut level: Vec<Node> = match bytes.is_empty() {
            true => vec![leaf().finalize().into()],
            false => bytes.chunks(LEAF).map(|chunk| leaf().chain_update(chunk).finalize().into()).collect(),
        };
        while level.len() > 1 {
            level = level.chunks(2).map(|pair| if let [l, r] = pair { node(l, r) } else { pair[0] }).collect();
        }
        Tth(level[0])
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
        let bytes: Vec<u8> = (0..20 * LEAF as u32 + 1).map(|i| ((i * 31) >> 3) as u8).collect();
        for leaves in 0..=20 {
            for length in [leaves * LEAF, leaves * LEAF + 1] {
                let expected = reference(&bytes[..length]);
                for piece in [1023, 1024, 1025, 40_000] {
                    let mut tree = TigerTree::new();
                    bytes[..length].chunks(piece).for_each(|chunk| tree.update(chunk));
                    assert_eq!(tree.finish(), expected, "{length} bytes in pieces of {piece}");
                }
            }
        }
    }
}
