//! The library of a million files.
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use filbert::base::Rng;
use filbert::library::{Criteria, Library, RootId, Stamp};
use filbert::wire::{Blake3, Digests, Sha1, Tth};

mod names;

fn rss() -> usize {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or(0) * 1024
}

fn main() {
    let n = 1_000_000;
    let names = names::names(1, n);
    let bytes: usize = names.iter().map(|n| n.name.len()).sum();
    println!("avg name {}", bytes as f64 / n as f64);
    for i in [0, 1, 2, 300, 1000, 5555, 77777, 99999, 123456] {
        println!("{}/{}", names[i].folder, names[i].name);
    }
    let paths: Vec<String> = names.iter().map(|n| format!("{}/{}", n.folder, n.name)).collect();
    let before = rss();
    let mut library = Library::default();
    let began = Instant::now();
    for (i, path) in paths.iter().enumerate() {
        library.put(
            RootId(1),
            Path::new(path),
            Stamp {
                dev: 2049,
                inode: 1000 + i as u64,
                size: i as u64 * 3331 % 10_000_000,
                mtime_ns: 1_700_000_000_000_000_000 + i as i64,
                ctime_ns: 1_700_000_000_000_100_000 + i as i64,
            },
        );
    }
    println!("put {:?}", began.elapsed());
    println!(
        "terms {} index {} MB, rss {} MB, files {}",
        library.terms(),
        library.index_bytes() as f64 / 1e6,
        (rss() - before) as f64 / 1e6,
        library.files()
    );
    let mut rng = Rng::from_number(9);
    let began = Instant::now();
    for (i, path) in paths.iter().enumerate() {
        let mut d = Digests { sha1: Sha1([0; 20]), tth: Tth([0; 24]), blake3: Blake3([0; 32]) };
        rng.fill(&mut d.sha1.0);
        rng.fill(&mut d.tth.0);
        rng.fill(&mut d.blake3.0);
        library.set_digests(
            RootId(1),
            Path::new(path),
            Stamp {
                dev: 2049,
                inode: 1000 + i as u64,
                size: i as u64 * 3331 % 10_000_000,
                mtime_ns: 1_700_000_000_000_000_000 + i as i64,
                ctime_ns: 1_700_000_000_000_100_000 + i as i64,
            },
            d,
        );
    }
    println!("digests {:?} rss {} MB, hashed {}", began.elapsed(), (rss() - before) as f64 / 1e6, library.hashed());

    let mut rng = Rng::from_number(2);
    let mut queries = Vec::new();
    while queries.len() < 20_000 {
        let name = &names[rng.below(n)].name;
        let stem = name.rsplit_once('.').map_or(&**name, |x| x.0);
        let words = filbert::library::words(stem);
        if words.len() < 2 {
            continue;
        }
        let a = rng.below(words.len());
        let b = rng.below(words.len());
        if words[a] == words[b] {
            continue;
        }
        queries.push(format!("{} {}", words[a], words[b]));
    }
    for round in 0..3 {
        let mut times: Vec<(u64, usize, usize)> = Vec::new();
        for (i, q) in queries.iter().enumerate() {
            let began = Instant::now();
            let c = Criteria::from_wire(q, &[]);
            let found = black_box(library.find(&c, 250)).len();
            times.push((began.elapsed().as_nanos() as u64, i, found));
        }
        times.sort();
        println!(
            "round {round} median {} p95 {} p99 {} max {} mean found {}",
            times[times.len() / 2].0,
            times[times.len() * 95 / 100].0,
            times[times.len() * 99 / 100].0,
            times[times.len() - 1].0,
            times.iter().map(|t| t.2).sum::<usize>() / times.len()
        );
        for t in times.iter().rev().take(5) {
            println!("   {} {} {}", t.0, queries[t.1], t.2);
        }
        let t = &times[times.len() * 95 / 100];
        println!("   p95 {} {}", queries[t.1], t.2);
        let t = &times[times.len() / 2];
        println!("   p50 {} {}", queries[t.1], t.2);
    }
    let began = Instant::now();
    for path in paths.iter().step_by(10) {
        assert!(library.remove(RootId(1), Path::new(path)));
    }
    println!("remove 100k {:?}", began.elapsed());
    let began = Instant::now();
    for path in paths.iter().step_by(10) {
        library.put(RootId(1), Path::new(path), Stamp::default());
    }
    println!("put 100k {:?}", began.elapsed());
    let began = Instant::now();
    for path in paths.iter().step_by(10) {
        library.rename(RootId(1), Path::new(path), Path::new(&format!("{path}.bak")));
    }
    println!("rename 100k {:?} rss {}", began.elapsed(), (rss() - before) as f64 / 1e6);
    let began = Instant::now();
    library.remove_root(RootId(1));
    println!("remove root {:?} rss {} MB", began.elapsed(), (rss() - before) as f64 / 1e6);
}
