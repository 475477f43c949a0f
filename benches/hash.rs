//! How fast a file's three names are made: one pass, on one core and on two, beside each hash alone and beside the
//! crates in sequence. `scripts/bench-hash` runs it and compares with `sha1sum` and `b3sum`.
//!
//! `cargo bench --bench hash -- FILE [ROUNDS]` prints lines of a name, MB a second and MB a CPU second: medians of
//! interleaved rounds. The file should be in the page cache; every line reads it anew, in pieces of 256 KiB.

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

fn one_pass(path: &Path) -> f64 {
    let mut digester = Digester::new();
    read(path, |piece| digester.update(piece));
    let names = digester.finish();
    assert_ne!(names.tth.0, [0; 24]);
    0.0
}

fn two_files(path: &Path) -> f64 {
    thread::scope(|scope| {
        let threads = [(); 2].map(|()| scope.spawn(|| one_pass(path) + cpu()));
        threads.map(|thread| thread.join().expect("hashed")).iter().sum()
    })
}

/// A file of its own on two threads: the tree on one, the rest on the other.
#[cfg(feature = "node")]
fn one_file_two_threads(path: &Path) -> f64 {
    use filbert::disk::{Threads, pass};
    let (mut file, mut bytes) = (File::open(path).expect("the file"), 0);
    let names = pass(&mut file, Threads::Two, &mut [], |count| {
        bytes += count as u64;
        std::ops::ControlFlow::Continue(())
    });
    assert!(names.expect("reads").is_some_and(|(_, row, _)| row.size() == bytes));
    // The CPU time of the other thread is not known here.
    f64::NAN
}

/// What the crates give: SHA-1, Tiger leaf by leaf and BLAKE3, one after the other over each piece.
fn crates(path: &Path) -> f64 {
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
    0.0
}

fn sha1_alone(path: &Path) -> f64 {
    let mut sha1 = sha1::Sha1::new();
    read(path, |piece| sha1.update(piece));
    assert_ne!(sha1.finalize()[..], [0; 20]);
    0.0
}

fn tree_alone(path: &Path) -> f64 {
    let mut tree = TigerTree::new();
    read(path, |piece| tree.update(piece));
    assert_ne!(tree.finish().0, [0; 24]);
    0.0
}

fn blake3_alone(path: &Path) -> f64 {
    let mut blake3 = blake3::Hasher::new();
    read(path, |piece| {
        blake3.update(piece);
    });
    assert_ne!(blake3.finalize().as_bytes(), &[0; 32]);
    0.0
}

fn only_read(path: &Path) -> f64 {
    let mut sum = 0_u64;
    read(path, |piece| sum += u64::from(piece[0]));
    assert_ne!(sum, u64::MAX);
    0.0
}

/// A name, how many times the file is hashed by it, and how; that returns the CPU time of other threads.
type Line = (&'static str, u64, fn(&Path) -> f64);

const LINES: &[Line] = &[
    ("one_pass", 1, one_pass),
    ("two_files_two_threads", 2, two_files),
    #[cfg(feature = "node")]
    ("one_file_two_threads", 1, one_file_two_threads),
    ("crates_in_sequence", 1, crates),
    ("sha1_alone", 1, sha1_alone),
    ("tiger_tree_alone", 1, tree_alone),
    ("blake3_alone", 1, blake3_alone),
    ("read_alone", 1, only_read),
];

/// Seconds that this thread has run. (Linux; elsewhere it is not told.)
fn cpu() -> f64 {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split(' ').next().and_then(|nanos| nanos.parse::<f64>().ok()).unwrap_or_default() / 1e9
}

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
        for (rates, (_, times, line)) in rates.iter_mut().zip(LINES) {
            let (began, before) = (Instant::now(), cpu());
            let others = line(path);
            let (wall, cpu) = (began.elapsed().as_secs_f64(), cpu() - before + others);
            let megabytes = (bytes * times) as f64 / 1e6;
            rates.push((megabytes / wall, megabytes / cpu));
        }
    }
    let median = |rates: &[(f64, f64)], of: fn(&(f64, f64)) -> f64| {
        let mut rates: Vec<f64> = rates.iter().map(of).collect();
        rates.sort_by(f64::total_cmp);
        rates[rates.len() / 2]
    };
    for (rates, (name, ..)) in rates.iter().zip(LINES) {
        println!("{name} {:.0} {:.0}", median(rates, |rate| rate.0), median(rates, |rate| rate.1));
    }
}
