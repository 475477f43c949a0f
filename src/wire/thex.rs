//! THEX: a file's Tiger tree for others, so that they can check parts of it (draft-jchapweske-thex-02).
//!
//! The answer to `GET /uri-res/N2X?urn:...` is a DIME message of two records: an XML description, and the tree
//! "breadth first": the root, then each level below it, each from left to right. A node without a partner is
//! repeated in the level above. The answer is in the shape that gtk-gnutella serves and takes.
//!
//! What strangers send is bounded by [`LIMIT`], must fit the file's size, and must hash to the root that is
//! asked for: a tree that passes is the file's.

use std::borrow::Cow;

use super::dime::{self, Record, TypeFormat};
use super::row::{full_depth, nodes_at};
use super::text::strip;
use super::{Cause, DecodeError, LEAF, TreeRow, Tth};

/// `Content-Type` of the answer.
pub const MEDIA_TYPE: &str = "application/dime";
/// A longer answer is refused. It holds a row of 4096 nodes, twice what we serve.
pub const LIMIT: usize = 260 << 10;
/// A longer description is refused.
pub const MAX_XML: usize = 8 << 10;

const DOCTYPE: &str = "http://open-content.net/spec/thex/thex.dtd";
const TREE_TYPE: &str = "http://open-content.net/spec/thex/breadthfirst";
const TIGER: &str = "http://open-content.net/spec/digest/tiger";
const NODE: usize = 24;

/// The answer with this row and all levels above it.
pub fn encode(row: &TreeRow) -> Vec<u8> {
    let levels = row.levels();
    let nodes: Vec<u8> = levels.iter().flatten().flat_map(|node| node.0).collect();
    let id = uuid(&levels[0][0]);
    let xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n\
         <!DOCTYPE hashtree SYSTEM \"{DOCTYPE}\">\r\n\
         <hashtree>\r\n\
         <file size=\"{}\" segmentsize=\"{LEAF}\"/>\r\n\
         <digest algorithm=\"{TIGER}\" outputsize=\"{NODE}\"/>\r\n\
         <serializedtree depth=\"{}\" type=\"{TREE_TYPE}\" uri=\"{id}\"/>\r\n\
         </hashtree>\r\n",
        row.size(),
        row.depth(),
    );
    dime::encode(&[
        Record {
            format: TypeFormat::Media,
            kind: Cow::Borrowed(b"text/xml"),
            id: Cow::Borrowed(b""),
            data: Cow::Owned(xml.into_bytes()),
        },
        Record {
            format: TypeFormat::Uri,
            kind: Cow::Borrowed(TREE_TYPE.as_bytes()),
            id: Cow::Owned(id.into_bytes()),
            data: Cow::Owned(nodes),
        },
    ])
}

/// The deepest row of an answer about a file of `size` bytes whose tree has this `root`.
pub fn decode(bytes: &[u8], size: u64, root: &Tth) -> Result<TreeRow, DecodeError> {
    if bytes.len() > LIMIT {
        return Err(bad("length", Cause::TooLong { length: bytes.len(), limit: LIMIT }));
    }
    let records = dime::decode(bytes)?;
    let find = |kind: &str| records.iter().find(|record| record.kind.eq_ignore_ascii_case(kind.as_bytes()));
    let xml = find("text/xml").ok_or_else(|| bad("description", Cause::Invalid("is missing")))?;
    let depth = describe(&xml.data, size)?;
    // By its type alone: clients are known that garble the name.
    let nodes = find(TREE_TYPE).ok_or_else(|| bad("tree", Cause::Invalid("is missing")))?;
    row(&nodes.data, size, depth, root)
}

/// Checks the description against what is known of the file, and returns how deep the tree claims to be.
fn describe(xml: &[u8], size: u64) -> Result<u32, DecodeError> {
    let invalid = |field, rule| bad(field, Cause::Invalid(rule));
    if xml.len() > MAX_XML {
        return Err(bad("description", Cause::TooLong { length: xml.len(), limit: MAX_XML }));
    }
    let xml = std::str::from_utf8(xml).map_err(|_| invalid("description", "is not UTF-8"))?;
    let number = |element, name| attribute(xml, element, name).and_then(|text| text.parse::<u64>().ok());
    if number("file", "size") != Some(size) {
        return Err(invalid("file size", "is not the file's"));
    }
    if number("file", "segmentsize") != Some(LEAF as u64) {
        return Err(invalid("segment size", "is not 1024"));
    }
    let algorithm = attribute(xml, "digest", "algorithm");
    if algorithm.is_none_or(|uri| !uri.trim_end_matches('/').eq_ignore_ascii_case(TIGER)) {
        return Err(invalid("digest algorithm", "is not Tiger"));
    }
    if number("digest", "outputsize").is_some_and(|bytes| bytes != NODE as u64) {
        return Err(invalid("digest size", "is not 24"));
    }
    if attribute(xml, "serializedtree", "type").is_none_or(|uri| !uri.eq_ignore_ascii_case(TREE_TYPE)) {
        return Err(invalid("tree type", "is not breadth first"));
    }
    let depth = number("serializedtree", "depth").and_then(|depth| u32::try_from(depth).ok());
    depth
        .filter(|depth| *depth <= full_depth(size))
        .ok_or_else(|| invalid("depth", "is not a depth of this file's tree"))
}

/// The deepest level, `depth` at most, that is wholly there. (Some claim more depth than they send.)
fn row(nodes: &[u8], size: u64, depth: u32, root: &Tth) -> Result<TreeRow, DecodeError> {
    let invalid = |rule| bad("tree", Cause::Invalid(rule));
    let (nodes, rest) = nodes.as_chunks::<NODE>();
    if !rest.is_empty() {
        return Err(invalid("is not made of 24-byte nodes"));
    }
    if nodes.first() != Some(&root.0) {
        return Err(invalid("has another root"));
    }
    let (mut start, mut level) = (0, 0..1);
    for depth in 1..=depth {
        start += nodes_at(size, depth - 1);
        let end = start + nodes_at(size, depth);
        if end > nodes.len() as u64 {
            break;
        }
        level = start as usize..end as usize;
    }
    let row = TreeRow::new(size, nodes[level].iter().copied().map(Tth).collect());
    let row = row.ok_or_else(|| invalid("does not fit the file's size"))?;
    if row.root() == *root { Ok(row) } else { Err(invalid("does not hash to its root")) }
}

/// The value of an attribute of the first element of that name. This is no XML parser: it finds what THEX
/// descriptions hold, and what it does not find counts as missing.
fn attribute<'a>(xml: &'a str, element: &str, name: &str) -> Option<&'a str> {
    let is_name = |text: &str| text.starts_with(|c: char| c.is_ascii_whitespace());
    let tag = xml.split('<').skip(1).find_map(|tag| strip(tag, element).filter(|rest| is_name(rest)))?;
    let mut rest = tag;
    loop {
        let (key, value) = rest.split_once('=')?;
        let value = value.trim_start();
        let quote = value.chars().next().filter(|c| *c == '"' || *c == '\'')?;
        let (value, later) = value[1..].split_once(quote)?;
        if key.trim().eq_ignore_ascii_case(name) {
            return Some(value.trim());
        }
        rest = later;
    }
}

/// A name for the tree in the message: the first 16 bytes of the root as a UUID whose parts are little-endian,
/// so that the same file gives the same bytes, here and at gtk-gnutella.
fn uuid(root: &Tth) -> String {
    let hex = |bytes: &[u8]| bytes.iter().rev().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    let [a, b, c, d, e, f] = [0..4, 4..6, 6..8, 8..10, 10..14, 14..16].map(|part| hex(&root.0[part]));
    format!("uuid:{a}-{b}-{c}-{d}-{e}{f}")
}

const fn bad(field: &'static str, cause: Cause) -> DecodeError {
    DecodeError::new("THEX answer", field, 0, cause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::TigerTree;

    fn row_of(bytes: &[u8]) -> TreeRow {
        let mut tree = TigerTree::new();
        tree.update(bytes);
        tree.finish_row()
    }

    fn noise(length: u32) -> Vec<u8> {
        (0..length).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
    }

    #[test]
    fn a_tree_comes_back_as_it_went() {
        for length in [0, 1, 1024, 1025, 200_000, 262_144, 598_929, 3_000_000] {
            let row = row_of(&noise(length));
            let bytes = encode(&row);
            assert!(bytes.len() < LIMIT);
            assert_eq!(decode(&bytes, u64::from(length), &row.root()), Ok(row));
        }
    }

    #[test]
    fn what_does_not_fit_the_file_is_refused() {
        let row = row_of(&noise(1 << 20));
        let (bytes, root) = (encode(&row), row.root());
        let field = |result: Result<TreeRow, DecodeError>| result.expect_err("refused").field;
        assert_eq!(field(decode(&bytes, (1 << 20) + 1, &root)), "file size");
        assert_eq!(field(decode(&bytes, 1 << 20, &Tth([0; 24]))), "tree");
        assert_eq!(field(decode(&vec![0; LIMIT + 1], 1 << 20, &root)), "length");
        assert_eq!(field(decode(b"HTTP", 1 << 20, &root)), "header");
        let changed = |from: &str, to: &str| {
            // Of the same length, so that the message stays whole.
            assert_eq!(from.len(), to.len());
            let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).expect("it is there");
            let mut bytes = bytes.clone();
            bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
            decode(&bytes, 1 << 20, &root)
        };
        assert_eq!(field(changed("segmentsize=\"1024\"", "segmentsize=\"2048\"")), "segment size");
        assert_eq!(field(changed("digest/tiger", "digest/sha-1")), "digest algorithm");
        assert_eq!(field(changed("outputsize=\"24\"", "outputsize=\"20\"")), "digest size");
        assert_eq!(field(changed("breadthfirst", "depthfirst__")), "tree type");
        assert_eq!(field(changed("depth=\"3\"", "depth=\"x\"")), "depth");
        assert_eq!(field(changed("text/xml", "text/htm")), "description");
        assert_eq!(changed("depth=\"3\"", "depth=\"2\"").map(|row| row.depth()), Ok(2), "we take what is claimed");
        assert_eq!(changed("depth=\"3\"", "depth=\"9\"").map(|row| row.depth()), Ok(3), "... and is there");
        // One bit of any node of the row.
        for at in bytes.len() - row.nodes().len() * NODE..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            assert_eq!(field(decode(&bytes, 1 << 20, &root)), "tree");
        }
    }

    #[test]
    fn descriptions_are_read_as_others_write_them() {
        let xml = "<?xml version='1.0'?><!-- size=\"9\" --><hashtree><files size=\"1\"/>\
                   <file size = '1048576'\n segmentsize=\"1024\" ></file>\
                   <DIGEST outputsize=\"24\" algorithm=\"http://open-content.net/spec/digest/tiger/\"/>\
                   <serializedtree uri='a>b' type=\"http://open-content.net/spec/thex/breadthfirst\" depth=\"10\"/>";
        assert_eq!(describe(xml.as_bytes(), 1 << 20), Ok(10));
        assert_eq!(describe(xml.replace("10\"", "11\"").as_bytes(), 1 << 20).expect_err("too deep").field, "depth");
        assert_eq!(attribute("<file size=12>", "file", "size"), None);
        assert_eq!(attribute("<file size=\"12>", "file", "size"), None);
        assert_eq!(attribute("<file size", "file", "size"), None);
        assert_eq!(attribute("<file size=\"1\" size=\"2\"/>", "file", "size"), Some("1"));
        assert_eq!(attribute("<file/><file a=\"2\"/>", "file", "a"), Some("2"));
        let long = " ".repeat(MAX_XML + 1);
        assert!(matches!(describe(long.as_bytes(), 1).expect_err("long").cause, Cause::TooLong { limit: MAX_XML, .. }));
    }
}
