//! How fast a file's three names are made: one pass, on one core and on two, beside each hash alone and beside the
//! crates in sequence. `scripts/bench-hash` runs it and compares with `sha1sum` and `b3sum`.
//!
//! `cargo bench --bench hash -- FILE [ROUNDS]` prints `name MB/s` lines: medians of interleaved rounds, of the time
//! that passed. The file should be in the page cache; every line reads it anew, in pieces of 256 KiB.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Instant;
use std::{env, fs, thread};

use filbert::wire::{Digester, TigerTree};
use sha1::Digest;

const PIECE: usize = 256 << 10;
const LEAF: usize = 1024;

/// Reads the whole file piece by piece.
fn read(path: &Path, mut take: impl FnMut(&[u8])) {
    let (mut file, mut buffer) = (File::open(path).expect("the file"), vec![0; PIECE]);
    loop {
        let mut filled = 0;
        while filled < PIECE {
            match file.read(&mut buffer[filled..]).expect("reads") {
                0 => break,
                count => filled += count,
            }
        }
        if filled == 0 {
            return;
        }
        take(&buffer[..filled]);
    }
}

fn one_pass(path: &Path) -> u64 {
    let mut digester = Digester::new();
    read(path, |piece| digester.update(piece));
    let names = digester.finish();
    assert_ne!(names.tth.0, [0; 24]);
    1
}

fn two_files(path: &Path) -> u64 {
    thread::scope(|scope| {
        let threads = [(); 2].map(|()| scope.spawn(|| one_pass(path)));
        threads.map(|thread| thread.join().expect("hashed")).iter().sum()
    })
}

/// What the crates give: SHA-1, Tiger leaf by leaf and BLAKE3, one after the other over each piece.
fn crates(path: &Path) -> u64 {
    use tiger::Tiger;
    let (mut sha1, mut blake3) = (sha1::Sha1::new(), blake3::Hasher::new());
    // One node each level, as in a binary counter.
    let (mut leaves, mut waiting) = (0_u64, Vec::new());
    read(path, |piece| {
        sha1.update(piece);
        for leaf in piece.chunks(LEAF) {
            let mut hash = Tiger::new_with_prefix([0]).chain_update(leaf).finalize();
            for _ in 0..leaves.trailing_ones() {
                let left = waiting.pop().expect("a sibling");
                hash = Tiger::new_with_prefix([1]).chain_update(left).chain_update(hash).finalize();
            }
            waiting.push(hash);
            leaves += 1;
        }
        blake3.update(piece);
    });
    assert_ne!(sha1.finalize()[..], blake3.finalize().as_bytes()[..20]);
    1
}

fn sha1_alone(path: &Path) -> u64 {
    let mut sha1 = sha1::Sha1::new();
    read(path, |piece| sha1.update(piece));
    assert_ne!(sha1.finalize()[..], [0; 20]);
    1
}

fn tree_alone(path: &Path) -> u64 {
    let mut tree = TigerTree::new();
    read(path, |piece| tree.update(piece));
    assert_ne!(tree.finish().0, [0; 24]);
    1
}

fn blake3_alone(path: &Path) -> u64 {
    let mut blake3 = blake3::Hasher::new();
    read(path, |piece| {
        blake3.update(piece);
    });
    assert_ne!(blake3.finalize().as_bytes(), &[0; 32]);
    1
}

fn only_read(path: &Path) -> u64 {
    let mut sum = 0_u64;
    read(path, |piece| sum += u64::from(piece[0]));
    assert_ne!(sum, u64::MAX);
    1
}

/// A name and how many times the file is hashed by it.
type Line = (&'static str, fn(&Path) -> u64);

const LINES: [Line; 7] = [
    ("one_pass", one_pass),
    ("two_files_two_threads", two_files),
    ("crates_in_sequence", crates),
    ("sha1_alone", sha1_alone),
    ("tiger_tree_alone", tree_alone),
    ("blake3_alone", blake3_alone),
    ("read_alone", only_read),
];

fn main() {
    let mut words = env::args().skip(1).filter(|word| word != "--bench");
    let Some(path) = words.next() else {
        println!("usage: cargo bench --bench hash -- FILE [ROUNDS]");
        return;
    };
    let rounds = words.next().and_then(|word| word.parse().ok()).unwrap_or(5_usize);
    let path = Path::new(&path);
    let bytes = fs::metadata(path).expect("the file").len();
    let mut rates = vec![Vec::new(); LINES.len()];
    for _ in 0..rounds.max(1) {
        for (rates, (_, line)) in rates.iter_mut().zip(LINES) {
            let began = Instant::now();
            let times = line(path);
            rates.push((bytes * times) as f64 / began.elapsed().as_secs_f64() / 1e6);
        }
    }
    for (rates, (name, _)) in rates.iter_mut().zip(LINES) {
        rates.sort_by(f64::total_cmp);
        println!("{name} {:.0}", rates[rates.len() / 2]);
    }
}
