//! Bytes of a file by their place in it: written, read, and held against what they should be.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::thread;

use crate::transfer::BlockMap;
use crate::wire::{Blake3, Part, PartTree};

/// Files are read back in pieces of this many bytes: they stay in the cache of the core that hashes them.
const PIECE: usize = 256 * 1024;
/// Reading back is shared among several threads from so many blocks on.
const WORTH_THREADS: usize = 8;
/// ... among so many at most.
const THREADS: usize = 4;

/// The stored blocks whose bytes are not what the map says, or not there.
pub(super) fn differing(file: &File, map: &BlockMap) -> io::Result<Vec<usize>> {
    let stored: Vec<(usize, Blake3)> = map.stored().collect();
    // To ask how many processors there are takes longer than to hash a small file.
    let threads = || thread::available_parallelism().map_or(1, usize::from).min(THREADS);
    let threads = if stored.len() < WORTH_THREADS { 1 } else { threads() };
    if threads == 1 {
        return differing_of(file, map, &stored, |_| ());
    }
    let share = stored.len().div_ceil(threads);
    thread::scope(|scope| {
        let readers: Vec<_> =
            stored.chunks(share).map(|blocks| scope.spawn(move || differing_of(file, map, blocks, |_| ()))).collect();
        let mut all = Vec::new();
        for reader in readers {
            all.extend(reader.join().map_err(|_| io::Error::other("a reader panicked"))??);
        }
        Ok(all)
    })
}

/// The same of few blocks, in one go; `take` sees the bytes of all of them as they are read, in their order.
pub(super) fn differing_while(file: &File, map: &BlockMap, take: impl FnMut(&[u8])) -> io::Result<Vec<usize>> {
    differing_of(file, map, &map.stored().collect::<Vec<_>>(), take)
}

fn differing_of(
    file: &File,
    map: &BlockMap,
    blocks: &[(usize, Blake3)],
    mut take: impl FnMut(&[u8]),
) -> io::Result<Vec<usize>> {
    let mut differing = Vec::new();
    let mut piece = Vec::new();
    for (index, hash) in blocks {
        let block = map.range(*index);
        let mut tree = PartTree::new(&block, map.size());
        let read = each_piece(file, block, &mut piece, |bytes| {
            tree.update(bytes);
            take(bytes);
        });
        match read {
            Ok(()) if tree.finish().node == *hash => {}
            Ok(()) => differing.push(*index),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => differing.push(*index),
            Err(error) => return Err(error),
        }
    }
    Ok(differing)
}

/// The node of a part of a file of `size` bytes in the tree inside its BLAKE3; an error when not all of it is there.
pub fn node_of(file: &File, part: &Range<u64>, size: u64) -> io::Result<Blake3> {
    part_of(file, part, size, &mut Vec::new()).map(|part| part.node)
}

/// Some bytes of a file, which are to fit into memory; an error when they are not all there.
pub fn read_range(file: &File, range: Range<u64>) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(range.end.saturating_sub(range.start)).map_err(io::Error::other)?];
    read_at(file, &mut bytes, range.start)?;
    Ok(bytes)
}

/// What a part of a file hashes to. `piece` is only room to read into.
pub(super) fn part_of(file: &File, part: &Range<u64>, size: u64, piece: &mut Vec<u8>) -> io::Result<Part> {
    let mut tree = PartTree::new(part, size);
    each_piece(file, part.clone(), piece, |bytes| tree.update(bytes))?;
    Ok(tree.finish())
}

/// Reads some bytes of a file, piece by piece; an error when they are not all there.
pub(super) fn each_piece(
    file: &File,
    range: Range<u64>,
    piece: &mut Vec<u8>,
    mut take: impl FnMut(&[u8]),
) -> io::Result<()> {
    let length = range.end.saturating_sub(range.start).min(PIECE as u64) as usize;
    if piece.len() < length {
        piece.resize(length, 0);
    }
    let mut at = range.start;
    while at < range.end {
        let want = (range.end - at).min(PIECE as u64) as usize;
        read_at(file, &mut piece[..want], at)?;
        take(&piece[..want]);
        at += want as u64;
    }
    Ok(())
}

#[cfg(unix)]
pub(super) fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(unix)]
fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset)
}

#[cfg(windows)]
pub(super) fn write_at(file: &File, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = std::os::windows::fs::FileExt::seek_write(file, bytes, offset)?;
        bytes = &bytes[written..];
        offset += written as u64;
    }
    Ok(())
}

#[cfg(windows)]
fn read_at(file: &File, mut bytes: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let read = std::os::windows::fs::FileExt::seek_read(file, bytes, offset)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes = &mut bytes[read..];
        offset += read as u64;
    }
    Ok(())
}
