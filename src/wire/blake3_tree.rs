//! The tree inside BLAKE3, for others: what proves the parts of a file against its BLAKE3.
//!
//! BLAKE3 is itself the root of a tree over chunks of 1024 bytes (section 2.1 of its paper), so that a level of it proves
//! parts without any other hash: a node is what the paper calls a chaining value. The answer to
//! `GET /uri-res/N2B?urn:...` is the row that [`Row`] keeps, its nodes one behind the other, 32 bytes each. Our own:
//! no other client asks for it. It is made several times faster than a Tiger tree, and checks more.
//!
//! What strangers send is bounded by [`LIMIT`], must have as many nodes as the file has slices at some depth, and must
//! hash to the BLAKE3 that is asked for.

use std::ops::Range;

use blake3::hazmat::{HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};

use super::row::{LOWEST, RowBuilder, node_above, raised};
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

/// Cuts the bytes of a file into groups, and hashes each to its node.
#[derive(Clone)]
struct Groups {
    /// The bytes of the group under way.
    group: blake3::Hasher,
    /// How many.
    filled: usize,
    /// Where it begins in the file.
    start: u64,
}

impl Groups {
    /// From there on, which is the start of a group.
    fn from(start: u64) -> Self {
        let mut group = blake3::Hasher::new();
        // The library takes no other place for the start of anything.
        let start = start - start % GROUP as u64;
        group.set_input_offset(start);
        Self { group, filled: 0, start }
    }

    /// The next bytes; hands over the node of each group before them that is whole.
    fn update(&mut self, mut bytes: &[u8], mut take: impl FnMut(Blake3)) {
        while !bytes.is_empty() {
            // Only now is it known that it is not all there is: the root of a small file is made in another way.
            if self.filled == GROUP {
                take(self.node());
                *self = Self::from(self.start + GROUP as u64);
            }
            let (now, later) = bytes.split_at(bytes.len().min(GROUP - self.filled));
            self.group.update(now);
            self.filled += now.len();
            bytes = later;
        }
    }

    /// The node of the group under way, of which there is a byte at least.
    fn node(&self) -> Blake3 {
        Blake3(self.group.finalize_non_root())
    }

    /// The BLAKE3 of these bytes, if they are all there is.
    fn root(&self) -> Blake3 {
        Blake3(self.group.finalize().into())
    }
}

/// Takes the bytes of a file in pieces of any length and yields its BLAKE3, and a row of its tree.
#[derive(Clone)]
pub struct Blake3Tree {
    groups: Groups,
    row: RowBuilder<Blake3>,
}

impl Default for Blake3Tree {
    fn default() -> Self {
        Self::new()
    }
}

impl Blake3Tree {
    /// Nothing hashed yet.
    pub fn new() -> Self {
        Self { groups: Groups::from(0), row: RowBuilder::new() }
    }

    /// Takes the next bytes. Pieces of 128 KiB and more are hashed at full speed.
    pub fn update(&mut self, bytes: &[u8]) {
        self.groups.update(bytes, |node| self.row.push(LOWEST, node));
    }

    /// The row that is kept of a file of this size: the one of [`super::good_depth`].
    pub fn finish_row(mut self) -> Blake3Row {
        let size = self.groups.start + self.groups.filled as u64;
        if self.groups.start == 0 {
            return Row::of_root(size, self.groups.root());
        }
        self.row.push(LOWEST, self.groups.node());
        self.row.finish(size)
    }
}

/// Takes the bytes of a part of a file in pieces of any length and yields its node.
///
/// A part begins at a multiple of its length, rounded up to 128 KiB times a power of two; the last of a file may be shorter.
#[derive(Clone)]
pub struct PartTree {
    groups: Groups,
    below: Vec<Blake3>,
    is_all: bool,
}

/// What a part of a file hashes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its node in the tree in the file's BLAKE3; that BLAKE3, if the part is the whole file.
    pub node: Blake3,
    /// The nodes below it of 128 KiB each; the node itself, if there is not more than one.
    pub below: Vec<Blake3>,
}

impl std::fmt::Debug for PartTree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PartTree(at {} of the file)", self.groups.start + self.groups.filled as u64)
    }
}

impl PartTree {
    /// For this part of a file of `size` bytes.
    pub fn new(part: &Range<u64>, size: u64) -> Self {
        Self { groups: Groups::from(part.start), below: Vec::new(), is_all: part.start == 0 && part.end >= size }
    }

    /// Takes the next bytes. Pieces of 128 KiB and more are hashed at full speed.
    pub fn update(&mut self, bytes: &[u8]) {
        self.groups.update(bytes, |node| self.below.push(node));
    }

    /// Of all bytes taken.
    pub fn finish(mut self) -> Part {
        let last = match (self.below.is_empty(), self.groups.filled) {
            (true, _) if self.is_all => self.groups.root(),
            // Nothing has no node but as a file of its own.
            (_, 0) => Groups::from(0).root(),
            _ => self.groups.node(),
        };
        self.below.push(last);
        let node = node_above(&self.below, self.is_all).unwrap_or(last);
        Part { node, below: self.below }
    }
}

impl Blake3Row {
    /// What a part of the file that has one slice or more must hash to; `None` when it has less.
    pub fn node_of(&self, part: &Range<u64>) -> Option<Blake3> {
        let slices = self.slices_in(part)?;
        let is_all = slices.len() == self.nodes().len();
        node_above(&self.nodes()[slices], is_all)
    }

    /// The slices in a part that are not what they must be, by what was found: a slice is not smaller than 128 KiB
    /// ([`decode`] sees to it), nor greater than the part.
    pub fn differing(&self, part: &Range<u64>, found: &Part) -> Vec<Range<u64>> {
        let Some(slices) = self.slices_in(part) else { return Vec::new() };
        let nodes = match slices.len() {
            1 => vec![found.node],
            _ => raised(&found.below, (self.slice() / GROUP as u64).max(1).ilog2()),
        };
        let found = nodes.into_iter().map(Some).chain(std::iter::repeat(None));
        let pairs = slices.zip(found);
        pairs
            .filter(|(slice, node)| self.nodes().get(*slice) != node.as_ref())
            .map(|(slice, _)| self.range(slice))
            .collect()
    }

    fn slices_in(&self, part: &Range<u64>) -> Option<Range<usize>> {
        let slice = self.slice();
        let whole = part.start.is_multiple_of(slice) && (part.end.is_multiple_of(slice) || part.end == self.size());
        let slices = (part.start / slice) as usize..part.end.div_ceil(slice) as usize;
        (whole && !slices.is_empty() && slices.end <= self.nodes().len()).then_some(slices)
    }
}

/// The answer with this row.
pub fn encode(row: &Blake3Row) -> Vec<u8> {
    row.nodes().iter().flat_map(|node| node.0).collect()
}

/// The row of an answer about a file of `size` bytes with this `root`; of a deeper one than we keep, the row that we do.
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
    Ok(row.no_finer_than_ours())
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

    fn part_of(bytes: &[u8], range: &Range<u64>, size: u64, piece: usize) -> Part {
        let mut tree = PartTree::new(range, size);
        bytes.chunks(piece).for_each(|piece| tree.update(piece));
        tree.finish()
    }

    #[test]
    fn a_part_is_known_by_itself_and_only_in_its_place() {
        const MIB: usize = 1024 * KIB;
        for length in [1, 128 * KIB, 128 * KIB + 1, 300_000, MIB, MIB + 1, 3 * MIB - 7, 4 * MIB] {
            let bytes = noise(length);
            let (size, row) = (length as u64, row_of(&bytes, 262_144));
            for part in [MIB, 2 * MIB, 4 * MIB] {
                let ranges = (0..length.div_ceil(part)).map(|n| (n * part) as u64..((n + 1) * part).min(length) as u64);
                let ranges: Vec<Range<u64>> = ranges.collect();
                let mut nodes = Vec::new();
                for range in &ranges {
                    let of = &bytes[range.start as usize..range.end as usize];
                    let found = part_of(of, range, size, 262_144);
                    assert_eq!(found, part_of(of, range, size, 99_999), "in pieces of any length");
                    assert_eq!(row.node_of(range), Some(found.node), "{range:?} of {length}");
                    assert_eq!(row.differing(range, &found), []);
                    for other in ranges.iter().filter(|other| *other != range) {
                        assert_ne!(
                            row.node_of(range),
                            Some(part_of(of, other, size, 262_144).node),
                            "in another place"
                        );
                    }
                    let short = part_of(&of[..of.len() - 1], range, size, 262_144);
                    assert_eq!(row.differing(range, &short).last().map(|slice| slice.end), Some(range.end));
                    assert!(!row.differing(range, &part_of(&[], range, size, 1)).is_empty(), "nothing at all");
                    nodes.push(found.node);
                }
                assert_eq!(node_above(&nodes, true), Some(row.root()), "{part} of {length}");
            }
        }
    }

    #[test]
    fn a_wrong_byte_is_in_its_slice() {
        let mut bytes = noise(3 * 1024 * KIB + 5);
        let (size, row) = (bytes.len() as u64, row_of(&bytes, 262_144));
        let part = 1024 * KIB..2048 * KIB;
        for at in [part.start, part.start + 300_000, part.end - 1] {
            bytes[at] ^= 1;
            let found = part_of(&bytes[part.clone()], &(part.start as u64..part.end as u64), size, 100_000);
            let slice = row.range(at / row.slice() as usize);
            assert_eq!(row.differing(&(part.start as u64..part.end as u64), &found), [slice], "{at}");
            bytes[at] ^= 1;
        }
        assert_eq!(row.node_of(&(1..2)), None, "no whole slice");
        assert_eq!(row.differing(&(8 << 30..9 << 30), &part_of(&[], &(0..1), 1, 1)), [], "beyond the end");
    }

    #[test]
    fn of_a_deeper_row_than_ours_ours_is_kept() {
        let bytes = noise(1024 * KIB + 3);
        let fine: Vec<Blake3> = (0..1025_usize)
            .map(|n| {
                let mut hasher = blake3::Hasher::new();
                hasher.set_input_offset((n * KIB) as u64);
                hasher.update(&bytes[n * KIB..bytes.len().min((n + 1) * KIB)]);
                Blake3(hasher.finalize_non_root())
            })
            .collect();
        let ours = row_of(&bytes, 262_144);
        let deeper = Row::new(bytes.len() as u64, fine).expect("a row of leaves");
        assert_eq!(decode(&encode(&deeper), bytes.len() as u64, &ours.root()), Ok(ours));
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
