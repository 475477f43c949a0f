//! The tree inside BLAKE3, for others: what proves the parts of a file against its BLAKE3.
//!
//! BLAKE3 is itself the root of a tree over chunks of 1024 bytes (section 2.1 of its paper), so that a level of it proves
//! parts without any other hash: a node is what the paper calls a chaining value. The answer to
//! `GET /uri-res/N2B?urn:...` is the row that [`Row`] keeps, its nodes one behind the other, 32 bytes each. Our own:
//! no other client asks for it. It is made several times faster than a Tiger tree, and checks more.
//!
//! What strangers send is bounded by [`LIMIT`], must have as many nodes as the file has slices at some depth, and must
//! hash to the BLAKE3 that is asked for.

use blake3::hazmat::{HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};

use super::row::{LOWEST, RowBuilder};
use super::{Blake3, Cause, DecodeError, LEAF, Node, Row};

/// `Content-Type` of the answer.
pub const MEDIA_TYPE: &str = "application/x-filbert-blake3-row";
/// A longer answer is refused. It holds a row of 4096 nodes, twice what we serve.
pub const LIMIT: usize = 4096 * <Blake3 as Node>::LEN;

/// Bytes under the smallest node that is kept.
const GROUP: usize = LEAF << LOWEST;

/// One level of the tree in a file's BLAKE3. A row of one node is the BLAKE3 itself.
pub type Blake3Row = Row<Blake3>;

impl Node for Blake3 {
    const LEN: usize = 32;

    fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    fn join(pairs: &[[Self; 2]]) -> Vec<Self> {
        pairs.iter().map(|[left, right]| Self(merge_subtrees_non_root(&left.0, &right.0, Mode::Hash))).collect()
    }

    fn top([left, right]: &[Self; 2]) -> Self {
        Self(merge_subtrees_root(&left.0, &right.0, Mode::Hash).into())
    }
}

/// Takes bytes in pieces of any length and yields the BLAKE3, and a row of its tree.
#[derive(Clone)]
pub struct Blake3Tree {
    /// The bytes since the last node.
    group: blake3::Hasher,
    /// How many.
    filled: usize,
    row: RowBuilder<Blake3>,
    /// Bytes under the nodes.
    size: u64,
}

impl Default for Blake3Tree {
    fn default() -> Self {
        Self::new()
    }
}

impl Blake3Tree {
    /// Nothing hashed yet.
    pub fn new() -> Self {
        Self { group: blake3::Hasher::new(), filled: 0, row: RowBuilder::new(), size: 0 }
    }

    /// Takes the next bytes. Pieces of 128 KiB and more are hashed at full speed.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            // Only now is it known that it is not all there is: the root of a small file is made in another way.
            if self.filled == GROUP {
                self.push_group();
                self.group = hasher_at(self.size);
            }
            let (now, later) = bytes.split_at(bytes.len().min(GROUP - self.filled));
            self.group.update(now);
            self.filled += now.len();
            bytes = later;
        }
    }

    /// The row that is kept of a file of this size: the one of [`super::good_depth`].
    pub fn finish_row(mut self) -> Blake3Row {
        if self.size == 0 {
            return Row::of_root(self.filled as u64, Blake3(self.group.finalize().into()));
        }
        self.push_group();
        self.row.finish(self.size)
    }

    fn push_group(&mut self) {
        self.row.push(LOWEST, Blake3(self.group.finalize_non_root()));
        self.size += self.filled as u64;
        self.filled = 0;
    }
}

/// Hashes a part of a file that begins at `start`, which is a multiple of the part's length rounded up to a power of two
/// of leaves.
pub(super) fn hasher_at(start: u64) -> blake3::Hasher {
    let mut hasher = blake3::Hasher::new();
    hasher.set_input_offset(start);
    hasher
}

/// The answer with this row.
pub fn encode(row: &Blake3Row) -> Vec<u8> {
    row.nodes().iter().flat_map(|node| node.0).collect()
}

/// The row of an answer about a file of `size` bytes with this `root`.
pub fn decode(bytes: &[u8], size: u64, root: &Blake3) -> Result<Blake3Row, DecodeError> {
    let invalid = |rule| bad("nodes", Cause::Invalid(rule));
    if bytes.len() > LIMIT {
        return Err(bad("length", Cause::TooLong { length: bytes.len(), limit: LIMIT }));
    }
    let (nodes, rest) = bytes.as_chunks();
    if !rest.is_empty() {
        return Err(invalid("are not 32 bytes each"));
    }
    let row = Row::new(size, nodes.iter().copied().map(Blake3).collect());
    let row = row.ok_or_else(|| invalid("are not as many as the file has slices at any depth"))?;
    if row.root() != *root {
        return Err(invalid("do not hash to the BLAKE3 that was asked for"));
    }
    Ok(row)
}

const fn bad(field: &'static str, cause: Cause) -> DecodeError {
    DecodeError::new("BLAKE3 row", field, 0, cause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::row_len;

    const KIB: usize = 1024;

    fn noise(length: usize) -> Vec<u8> {
        (0..length as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
    }

    fn row_of(bytes: &[u8], piece: usize) -> Blake3Row {
        let mut tree = Blake3Tree::new();
        bytes.chunks(piece).for_each(|piece| tree.update(piece));
        tree.finish_row()
    }

    #[test]
    fn any_bytes_in_any_pieces_have_the_blake3_that_everybody_computes() {
        let bytes = noise(5 * 128 * KIB + 3);
        for groups in 0..=5 {
            for more in [0, 1, 1023, 1024, 1025, 100 * KIB] {
                let bytes = &bytes[..(groups * 128 * KIB + more).min(bytes.len())];
                for piece in [1000, 128 * KIB, 200_000, 262_144] {
                    let row = row_of(bytes, piece);
                    assert_eq!(row.root().0, *blake3::hash(bytes).as_bytes(), "{} bytes by {piece}", bytes.len());
                    assert_eq!((row.size(), row.nodes().len()), (bytes.len() as u64, row_len(bytes.len() as u64)));
                }
            }
        }
    }

    #[test]
    fn a_row_of_gigabytes_hashes_to_the_root_too() {
        // Of nodes alone: three gigabytes and a bit would take long.
        let nodes: Vec<Blake3> = (0..24_577_u32).map(|i| Blake3(blake3::hash(&i.to_be_bytes()).into())).collect();
        let size = 24_577 << 17;
        let mut tree = RowBuilder::new();
        nodes.iter().for_each(|node| tree.push(LOWEST, *node));
        assert_eq!(tree.finish(size).root(), Row::new(size, nodes).expect("a row").root());
    }

    #[test]
    fn an_answer_is_taken_only_for_its_file() {
        for length in [0, 1, 200 * KIB, 256 * KIB, 256 * KIB + 1, 2600 * KIB] {
            let row = row_of(&noise(length), 262_144);
            let (bytes, root, size) = (encode(&row), row.root(), length as u64);
            assert_eq!(decode(&bytes, size, &root), Ok(row.clone()), "{length}");
            for at in 0..bytes.len() {
                let mut spoilt = bytes.clone();
                spoilt[at] ^= 1;
                assert!(decode(&spoilt, size, &root).is_err(), "byte {at} of {length}");
            }
            assert!(decode(&bytes[1..], size, &root).is_err());
            assert!(decode(&[], size, &root).is_err());
            assert!(decode(&bytes, size, &Blake3([0; 32])).is_err());
            assert!(decode(&[root.0, root.0].concat(), size, &root).is_err(), "{length}");
        }
        let row = row_of(&noise(2600 * KIB), 262_144);
        assert!(decode(&encode(&row), 300, &row.root()).is_err());
        assert_eq!(decode(&vec![0; LIMIT + 32], 300, &row.root()).map_err(|error| error.field), Err("length"));
    }
}
