//! The map beside a partial file: what is read of it, and the blocks in it.

use std::ops::Range;

use filbert::transfer::blocks::{BlockMap, MAX_BLOCKS, block_size};
use filbert::transfer::{Block, journal};
use filbert::wire::Blake3;

use super::choices::Choices;

/// Bytes as a journal; and operations on a map, held against one that knows each byte.
pub fn journal(data: &[u8]) {
    if let Ok(journal) = journal::read(data) {
        let map = &journal.map;
        assert!(map.len() as u64 <= MAX_BLOCKS);
        let written = journal::write(map, journal.urn.as_ref());
        let again = journal::read(written.as_bytes()).expect("what we write we can read");
        assert_eq!((&again.map, again.urn, again.untidy), (map, journal.urn, false));
        covers_the_file(map);
    }
    operations(&mut Choices::new(data));
}

fn covers_the_file(map: &BlockMap) {
    let stored: u64 = map.stored().map(|(index, _)| map.range(index)).map(|range| range.end - range.start).sum();
    assert!(stored <= map.done() && map.done() <= map.size());
    let mut end = 0;
    for index in 0..map.len() {
        let range = map.range(index);
        assert!(range.start == end && range.end > end && range.end - range.start <= map.block_size());
        end = range.end;
    }
    assert_eq!(end, map.size());
}

/// What each byte of a small file is.
#[derive(Clone, Copy, PartialEq)]
enum Byte {
    Missing,
    Filled,
    Stored,
}

fn operations(choices: &mut Choices<'_>) {
    let size = u64::from(choices.word()) % 300;
    let mut map = BlockMap::with_block_size(size, u64::from(choices.byte()) % 40);
    assert!(block_size(size) >= map.block_size());
    let mut bytes = vec![Byte::Missing; size as usize];
    let block_of = |map: &BlockMap, index: usize| {
        let range = map.range(index);
        range.start as usize..range.end as usize
    };
    while !choices.is_over() {
        match choices.byte() % 5 {
            0 | 1 => {
                let range = range(choices);
                map.fill(range.clone());
                // Bytes count where they continue the prefix of their block.
                for index in 0..map.len() {
                    let block = block_of(&map, index);
                    let prefix = bytes[block.clone()].iter().take_while(|byte| **byte != Byte::Missing).count();
                    let from = block.start + prefix;
                    if (range.start as usize) <= from {
                        let end = block.end.min(range.end as usize);
                        bytes[from..end.max(from)].fill(Byte::Filled);
                    }
                }
            }
            2 => {
                let index = choices.below(40);
                map.store(index, Blake3([choices.byte(); 32]));
                if index < map.len() {
                    bytes[block_of(&map, index)].fill(Byte::Stored);
                }
            }
            3 => {
                let index = choices.below(40);
                map.forget(index);
                if index < map.len() {
                    bytes[block_of(&map, index)].fill(Byte::Missing);
                }
            }
            _ => {
                let taken: Vec<Range<u64>> = (0..choices.below(3)).map(|_| range(choices)).collect();
                let from = u64::from(choices.word()) % 320;
                gaps(&map, &bytes, from, &taken);
            }
        }
        let done = bytes.iter().filter(|byte| **byte != Byte::Missing).count();
        assert_eq!(map.done(), done as u64);
        assert_eq!(map.is_complete(), bytes.iter().all(|byte| *byte == Byte::Stored));
        for index in 0..map.len() {
            let block = &bytes[block_of(&map, index)];
            let prefix = block.iter().take_while(|byte| **byte != Byte::Missing).count() as u64;
            match map.block(index) {
                Block::Missing => assert_eq!(prefix, 0),
                Block::Filling(filled) => assert_eq!((prefix, filled > 0), (filled, true)),
                Block::Stored(_) => assert!(block.iter().all(|byte| *byte == Byte::Stored)),
            }
        }
        covers_the_file(&map);
    }
}

/// A gap begins where the first block that lacks something, and of which nobody is asked for any, goes on; it ends
/// before the next block of which something is there or asked for.
fn gaps(map: &BlockMap, bytes: &[Byte], from: u64, taken: &[Range<u64>]) {
    let lacks = |block: &Range<u64>| bytes[block.start as usize..block.end as usize].contains(&Byte::Missing);
    let is_taken = |block: &Range<u64>| block.clone().any(|at| taken.iter().any(|range| range.contains(&at)));
    let is_void = |block: &Range<u64>| block.clone().all(|at| bytes[at as usize] == Byte::Missing);
    let mut blocks = (0..map.len()).map(|index| map.range(index)).filter(|block| block.start + map.block_size() > from);
    let expected = blocks.find(|block| lacks(block) && !is_taken(block)).map(|first| {
        let start = first.clone().find(|at| bytes[*at as usize] == Byte::Missing).expect("it lacks something");
        start..blocks.take_while(|block| is_void(block) && !is_taken(block)).last().unwrap_or(first).end
    });
    assert_eq!(map.gap_from(from, taken), expected, "from {from} beside {taken:?}");
}

fn range(choices: &mut Choices<'_>) -> Range<u64> {
    let start = u64::from(choices.word()) % 320;
    start..start + 1 + u64::from(choices.byte()) % 100
}
