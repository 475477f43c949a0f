//! One pass over a file for its three names. Where a processor has nothing else to do, the Tiger tree is made by
//! a thread of its own, beside SHA-1 and BLAKE3: the two halves take about the same time.

use std::fs::File;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use sha1::Digest;

use super::hash::lower_priority;
use crate::wire::{Blake3Row, Blake3Tree, Digester, Digests, Sha1, TigerTree, TreeRow};

/// Bytes to read at a time: what suits a disk, BLAKE3, the tree and a processor's cache.
pub const BUFFER: usize = 256 << 10;
/// Pieces that wait for the thread beside.
const AHEAD: usize = 4;

/// How many threads make the names of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// This one.
    One,
    /// This one, and one at low priority that lives as long as the pass and makes the tree.
    Two,
}

/// Reads a file to its end, into `buffer`, and makes its names and the rows of its trees. `piece` is told how many bytes were read before
/// they are hashed, and may end the pass: then there are no names.
pub fn pass(
    file: &mut File,
    threads: Threads,
    buffer: &mut [u8],
    piece: impl FnMut(usize) -> ControlFlow<()>,
) -> io::Result<Option<(Digests, TreeRow, Blake3Row)>> {
    if threads == Threads::One {
        return alone(file, buffer, piece);
    }
    thread::scope(|scope| {
        let (to_tree, pieces) = sync_channel(AHEAD);
        let (give_back, used) = sync_channel(AHEAD + 1);
        let beside = thread::Builder::new().name("hash-tree".to_owned());
        let Ok(beside) = beside.spawn_scoped(scope, move || tree(&pieces, &give_back)) else {
            return alone(file, buffer, piece);
        };
        let names = without_tree(file, &to_tree, &used, piece);
        // It ends when there are no more pieces.
        drop(to_tree);
        let tiger = beside.join().map_err(|_| io::Error::other("the thread for the tree panicked"))?;
        let Some((sha1, blake3)) = names? else { return Ok(None) };
        Ok(Some((Digests { sha1, tth: tiger.root(), blake3: blake3.root() }, tiger, blake3)))
    })
}

fn alone(
    file: &mut File,
    buffer: &mut [u8],
    mut piece: impl FnMut(usize) -> ControlFlow<()>,
) -> io::Result<Option<(Digests, TreeRow, Blake3Row)>> {
    let mut digester = Digester::new();
    loop {
        let bytes = fill(file, buffer)?;
        if bytes.is_empty() {
            return Ok(Some(digester.finish_with_rows()));
        }
        if piece(bytes.len()).is_break() {
            return Ok(None);
        }
        digester.update(bytes);
    }
}

/// SHA-1 and BLAKE3. Each piece is handed on when it has been through both; buffers come back.
fn without_tree(
    file: &mut File,
    to_tree: &SyncSender<(Vec<u8>, usize)>,
    used: &Receiver<Vec<u8>>,
    mut piece: impl FnMut(usize) -> ControlFlow<()>,
) -> io::Result<Option<(Sha1, Blake3Row)>> {
    let (mut sha1, mut blake3) = (sha1::Sha1::new(), Blake3Tree::new());
    loop {
        let mut buffer = used.try_recv().unwrap_or_else(|_| vec![0; BUFFER]);
        let bytes = fill(file, &mut buffer)?;
        let count = bytes.len();
        if count == 0 {
            return Ok(Some((Sha1(sha1.finalize().into()), blake3.finish_row())));
        }
        if piece(count).is_break() {
            return Ok(None);
        }
        sha1.update(bytes);
        blake3.update(bytes);
        if to_tree.send((buffer, count)).is_err() {
            // It has panicked; whoever joins it will tell.
            return Ok(None);
        }
    }
}

fn tree(pieces: &Receiver<(Vec<u8>, usize)>, give_back: &SyncSender<Vec<u8>>) -> TreeRow {
    lower_priority();
    let mut tree = TigerTree::new();
    for (buffer, count) in pieces {
        tree.update(&buffer[..count]);
        // At the end nobody takes it.
        let _unused = give_back.try_send(buffer);
    }
    tree.finish_row()
}

/// The next bytes: none at the end.
fn fill<'a>(file: &mut File, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
    loop {
        match file.read(buffer) {
            Ok(count) => return Ok(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, SeekFrom, Write};

    use super::*;

    #[test]
    fn one_thread_and_two_make_the_same_names_and_both_can_be_ended() {
        for length in [0, 1, BUFFER - 1, BUFFER, 20 * BUFFER + 1025] {
            let bytes: Vec<u8> = (0..length as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
            let mut file = tempfile::tempfile().expect("a file");
            file.write_all(&bytes).expect("written");
            let mut expected = Digester::new();
            expected.update(&bytes);
            let expected = expected.finish_with_rows();
            for threads in [Threads::One, Threads::Two] {
                let mut run = |end: usize| {
                    let mut read = 0;
                    file.seek(SeekFrom::Start(0)).expect("rewound");
                    let piece = |count| {
                        read += count;
                        if read > end { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                    };
                    pass(&mut file, threads, &mut vec![0; BUFFER], piece).expect("read")
                };
                assert_eq!(run(length).as_ref(), Some(&expected), "{length} bytes, {threads:?}");
                if length > 0 {
                    assert_eq!(run(length - 1), None, "{length} bytes, {threads:?}");
                }
            }
        }
    }
}
