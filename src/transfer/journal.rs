//! The map beside a partial file (`NAME.part.map`), as text: what was fetched, said in lines that are only
//! ever appended.
//!
//! ```text
//! filbert part map 2 <size> <block size> <urn, or ->
//! <block> <node of the block in the tree inside the file's BLAKE3, hex>
//! ```
//!
//! The last line may be torn by a crash, and any line may have been damaged: a line that does not read is
//! passed over, as its block will then be fetched again, and a hash that is wrong is found out when it is held
//! against the bytes. So nothing in here needs to be trusted.

use std::fmt;

use super::BlockMap;
use super::blocks::MAX_BLOCKS;
use crate::wire::{Blake3, Urn};

/// A journal is never longer than this; a longer one is not ours, and is not read.
pub const MAX_JOURNAL: u64 = 4 * MAX_BLOCKS * 80;

const MAGIC: &str = "filbert part map ";
/// In the first version a block had a BLAKE3 of its own.
const VERSION: &str = "2";

/// What a journal says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journal {
    /// The content that was asked for.
    pub urn: Option<Urn>,
    /// What is said to be stored.
    pub map: BlockMap,
    /// Whether it holds more than what it says now: torn, damaged or repeated lines.
    pub untidy: bool,
}

/// Why a journal says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoJournal {
    /// It does not begin as one does.
    Foreign,
    /// It is of another version.
    Version,
}

impl fmt::Display for NoJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Foreign => "is no map of a partial file",
            Self::Version => "was written by another version of filbert",
        })
    }
}

/// The first line.
pub fn header(map: &BlockMap, urn: Option<&Urn>) -> String {
    let urn = urn.map_or("-".to_owned(), Urn::to_string);
    format!("{MAGIC}{VERSION} {} {} {urn}\n", map.size(), map.block_size())
}

/// The line for a stored block.
pub fn record(index: usize, hash: Blake3) -> String {
    format!("{index} {hash}\n")
}

/// All of it, with no line too many.
pub fn write(map: &BlockMap, urn: Option<&Urn>) -> String {
    let mut text = header(map, urn);
    map.stored().for_each(|(index, hash)| text.push_str(&record(index, hash)));
    text
}

/// Reads what a crash may have left.
pub fn read(bytes: &[u8]) -> Result<Journal, NoJournal> {
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n').map(std::str::from_utf8);
    let Some(Ok(first)) = lines.next() else { return Err(NoJournal::Foreign) };
    let rest = first.strip_prefix(MAGIC).and_then(|rest| rest.strip_suffix('\n')).ok_or(NoJournal::Foreign)?;
    let (version, rest) = rest.split_once(' ').ok_or(NoJournal::Foreign)?;
    if version != VERSION {
        return Err(NoJournal::Version);
    }
    let mut fields = rest.splitn(3, ' ');
    let mut number = || fields.next()?.parse::<u64>().ok();
    let (Some(size), Some(block)) = (number(), number()) else { return Err(NoJournal::Foreign) };
    let urn = fields.next().unwrap_or("-");
    let mut map = BlockMap::with_block_size(size, block);
    if map.block_size() != block {
        return Err(NoJournal::Foreign);
    }
    let mut untidy = false;
    for line in lines {
        match line.ok().and_then(|line| entry(line, map.len())) {
            Some((index, hash)) => {
                untidy |= map.block(index) != super::Block::Missing;
                map.store(index, hash);
            }
            None => untidy = true,
        }
    }
    Ok(Journal { urn: urn.parse().ok(), map, untidy })
}

fn entry(line: &str, blocks: usize) -> Option<(usize, Blake3)> {
    let (index, hash) = line.strip_suffix('\n')?.split_once(' ')?;
    let index = index.parse().ok().filter(|index| *index < blocks)?;
    Some((index, hash.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (BlockMap, Option<Urn>) {
        let mut map = BlockMap::with_block_size(95, 10);
        map.store(3, Blake3([3; 32]));
        map.store(9, Blake3([9; 32]));
        (map, "urn:sha1:GKECXDEZDWGCRBZWKYBJD5GGT4KAUE5V".parse().ok())
    }

    #[test]
    fn it_reads_what_it_wrote() {
        let (map, urn) = sample();
        assert_eq!(read(write(&map, urn.as_ref()).as_bytes()), Ok(Journal { urn, map: map.clone(), untidy: false }));
        assert_eq!(read(write(&map, None).as_bytes()), Ok(Journal { urn: None, map, untidy: false }));
    }

    #[test]
    fn cut_anywhere_it_loses_only_the_blocks_that_were_cut_off() {
        let (map, urn) = sample();
        let whole = write(&map, urn.as_ref());
        let header = header(&map, urn.as_ref()).len();
        for cut in 0..whole.len() {
            let blocks: Vec<_> = match read(&whole.as_bytes()[..cut]) {
                Ok(journal) => journal.map.stored().collect(),
                Err(why) => {
                    assert_eq!((why, cut < header), (NoJournal::Foreign, true), "cut at {cut}");
                    continue;
                }
            };
            let lines = whole[header..cut].matches('\n').count();
            assert_eq!(blocks, map.stored().take(lines).collect::<Vec<_>>(), "cut at {cut}");
        }
    }

    #[test]
    fn damage_costs_blocks_and_nothing_else() {
        let (map, urn) = sample();
        let good = write(&map, urn.as_ref());
        let read = |text: &str| read(text.as_bytes());
        let noisy = format!("{good}garbage\n10 {}\n4 12\n\n3 {}\n", Blake3([1; 32]), Blake3([5; 32]));
        let journal = read(&noisy).expect("a journal");
        let stored: Vec<_> = journal.map.stored().collect();
        assert_eq!(stored, [(3, Blake3([5; 32])), (9, Blake3([9; 32]))], "the later line counts");
        assert!(journal.untidy);
        assert_eq!(read(&good.replacen("map 2", "map 3", 1)), Err(NoJournal::Version));
        assert_eq!(read(&good.replacen("95 10", "95 x", 1)), Err(NoJournal::Foreign));
        let many = format!("{MAGIC}{VERSION} {} 1 -\n", u64::MAX);
        assert_eq!(read(&many), Err(NoJournal::Foreign), "no stranger makes us keep 2^64 blocks");
        assert_eq!(read(""), Err(NoJournal::Foreign));
    }
}
