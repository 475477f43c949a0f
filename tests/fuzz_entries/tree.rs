//! DIME messages, THEX trees, and rows of the trees in BLAKE3s.

use filbert::wire::{Blake3Row, Digester, TreeRow, blake3_tree, dime, thex};

use super::choices::Choices;

/// Bytes as a message; and the tree of a file, spoilt by the bytes.
pub fn tree(data: &[u8]) {
    if let Ok(records) = dime::decode(data) {
        assert!(!records.is_empty() && records.len() <= dime::MAX_RECORDS);
        assert!(records.iter().map(|record| record.data.len()).sum::<usize>() <= data.len());
        let again = dime::encode(&records);
        assert_eq!(dime::decode(&again).as_ref(), Ok(&records));
    }
    let mut choices = Choices::new(data);
    // Few sizes, around those where a level begins.
    const SIZES: [usize; 6] = [0, 1024, 1025, 262_144, 262_145, 400_000];
    let size = choices.of(&SIZES);
    let (row, blake3) = rows_of(size);
    let mut message = thex::encode(&row);
    let mut nodes = blake3_tree::encode(&blake3);
    while !choices.is_over() {
        spoil(&mut message, &mut choices);
        spoil(&mut nodes, &mut choices);
    }
    // Whoever has seen the root takes no other tree than the file's.
    if let Ok(found) = thex::decode(&message, size as u64, &row.root()) {
        assert_eq!((found.root(), found.size()), (row.root(), size as u64));
        assert!(found.depth() <= row.depth());
        assert!(found.depth() < row.depth() || found == row, "other nodes with the same root");
    }
    let _ = thex::decode(data, size as u64, &row.root());
    for nodes in [nodes.as_slice(), data] {
        if let Ok(found) = blake3_tree::decode(nodes, size as u64, &blake3.root()) {
            assert_eq!((found.root(), found.size()), (blake3.root(), size as u64));
            assert!(found.depth() != blake3.depth() || found == blake3, "other nodes with the same root");
        }
    }
}

/// One change: a byte, a cut, an insertion.
fn spoil(message: &mut Vec<u8>, choices: &mut Choices<'_>) {
    let how = choices.byte();
    let at = choices.below(message.len().max(1));
    match how % 4 {
        0 if at < message.len() => message[at] = choices.byte(),
        1 => message.truncate(at),
        2 => {
            let more = choices.bytes(40);
            message.splice(at.min(message.len())..at.min(message.len()), more.iter().copied());
        }
        _ => {
            let end = (at + usize::from(choices.byte())).min(message.len());
            message.drain(at.min(end)..end);
        }
    }
}

/// The rows of some file, made once for each size.
fn rows_of(size: usize) -> (TreeRow, Blake3Row) {
    use std::collections::BTreeMap;
    use std::sync::Mutex;
    static ROWS: Mutex<BTreeMap<usize, (TreeRow, Blake3Row)>> = Mutex::new(BTreeMap::new());
    let mut rows = ROWS.lock().expect("no panic while it is held");
    rows.entry(size)
        .or_insert_with(|| {
            let mut digester = Digester::new();
            let bytes: Vec<u8> = (0..size as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
            digester.update(&bytes);
            let (_, tiger, blake3) = digester.finish_with_rows();
            (tiger, blake3)
        })
        .clone()
}
