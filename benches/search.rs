//! The library of a million files: how long it takes to build, how much memory, and what a search costs.
//!
//! Names come from `names`, by a fixed seed; queries from `queries.txt`, which was made of the same names: two different
//! words of a random name, its extension not among them. A search is timed from the text of the query to the numbers
//! of up to 250 files. A single search is timed by the wall clock; building and changing in CPU time of the one thread (Linux's
//! `/proc/thread-self/schedstat`, wall time where there is none). Memory is the growth of the resident set. Library and
//! index are built file by file, as the disk tells them, by one thread.
//!
//! `cargo bench --bench search` prints the report, `-- --plain` the same as keys and values for `scripts/bench-search`,
//! `-- --names FILE` writes the names, and `-- --queries FILE` the queries.

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use filbert::base::Rng;
use filbert::library::{Criteria, Index, Library, RootId, Stamp};
use filbert::wire::{Blake3, Digests, Sha1, Tth, Urn};

#[path = "search/names.rs"]
mod names;

const SEED: u64 = 1;
const NAMES: usize = 1_000_000;
const QUERIES: usize = 10_000;
/// The most files that a search tells.
const MOST: usize = 250;
const ROUNDS: usize = 5;
const ROOT: RootId = RootId(1);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let file_after = |flag: &str| arguments.iter().skip_while(|argument| *argument != flag).nth(1);
    // `cargo bench` says --bench. Without it (`cargo test --benches`) a short run shows that the program still works.
    let measure = arguments.iter().any(|argument| argument == "--bench");
    let plain = arguments.iter().any(|argument| argument == "--plain");
    let names = names::names(SEED, if measure { NAMES } else { 20_000 });
    if let Some(file) = file_after("--names") {
        let lines: String = names.iter().map(|name| format!("{}\n", name.name)).collect();
        return fs::write(file, lines).expect("the file of names can be written");
    }
    if let Some(file) = file_after("--queries") {
        return fs::write(file, queries(&names)).expect("the file of queries can be written");
    }
    let mut report = Report { plain };
    let paths: Vec<String> = names.iter().map(|name| format!("{}/{}", name.folder, name.name)).collect();
    let text: usize = names.iter().map(|name| name.name.len()).sum();
    report.tell("names", paths.len() as f64, "");
    report.tell("bytes of a name", text as f64 / paths.len() as f64, "");

    let before = resident();
    let mut library = Library::default();
    let cpu = cpu_seconds();
    for (number, path) in (0..).zip(&paths) {
        library.put(ROOT, Path::new(path), stamp(number));
    }
    report.tell("library built, one thread", (cpu_seconds() - cpu) * 1e3, "ms");
    report.tell("terms", library.terms() as f64, "");
    report.tell("index without names", library.index_bytes() as f64 / 1e6, "MB");
    report.tell("library, nothing hashed", grown(before), "MB");

    let mut rng = Rng::from_number(2);
    let cpu = cpu_seconds();
    let mut urns = Vec::new();
    for (number, path) in (0..).zip(&paths) {
        let digests = digests(&mut rng);
        if number % 100 == 0 {
            urns.push(Urn::Sha1(digests.sha1));
        }
        library.set_digests(ROOT, Path::new(path), stamp(number), digests);
    }
    report.tell("digests taken in", (cpu_seconds() - cpu) * 1e3, "ms");
    report.tell("library, all hashed", grown(before), "MB");
    assert_eq!((library.files(), library.hashed()), (paths_of(&library), library.files()));

    let two_words: Vec<&str> = include_str!("search/queries.txt").lines().collect();
    let commonest = ["mp3", "1080p", "jpg", "x264", "the", "of", "v1"];
    let ask = |query: &&str| library.find(&Criteria::from_wire(query, &[]), MOST).len();
    report.search("two words", &two_words, ask);
    report.search("one common word", &commonest.repeat(200), ask);
    let typed = |query: &&str| Criteria::parse(query).map_or(0, |criteria| library.find(&criteria, MOST).len());
    report.search("a phrase", &["\"of the\"", "\"love you\"", "\"in the\" ext:mp3"].repeat(20), typed);
    report.search(
        "a word and a filter",
        &["the type:audio size:>9M", "mp3 -love -the", "me ext:pdf"].repeat(20),
        typed,
    );
    report.search("words that are nowhere together", &["1080p jpg", "x264 mp3", "img epub"].repeat(200), ask);
    report.search("a urn", &urns, |urn| usize::from(library.by_urn(urn).is_some()));
    report.search("two words, files put together", &two_words, |query| {
        library.search(&Criteria::from_wire(query, &[]), MOST).len()
    });

    let some: Vec<&String> = paths.iter().step_by(10).collect();
    report.change("a tenth renamed", &mut library, |library| {
        some.iter().for_each(|path| {
            library.rename(ROOT, Path::new(path), Path::new(&format!("{path}.bak")));
        });
    });
    report.change("a tenth removed", &mut library, |library| {
        some.iter().for_each(|path| {
            library.remove(ROOT, Path::new(&format!("{path}.bak")));
        });
    });
    report.change("a tenth put", &mut library, |library| {
        (0..).zip(&some).for_each(|(number, path)| {
            library.put(ROOT, Path::new(path), stamp(number));
        });
    });
    report.tell("library after that", grown(before), "MB");
    report.change("all removed", &mut library, |library| library.remove_root(ROOT));
    report.tell("library when all is removed", grown(before), "MB");

    let cpu = cpu_seconds();
    let mut index = Index::new(&mut rng);
    (1..).zip(&names).for_each(|(number, name)| index.insert(number, &name.name));
    report.tell("index built from names, one thread", (cpu_seconds() - cpu) * 1e3, "ms");
}

/// What is told, as a table row or as a key and a value.
struct Report {
    plain: bool,
}

impl Report {
    fn tell(&mut self, what: &str, value: f64, unit: &str) {
        let digits = if value.fract() == 0.0 || value >= 1_000.0 { 0 } else { 1 };
        match self.plain {
            true => println!("{} {value:.digits$}", what.replace([' ', ','], "_")),
            false => println!("{what:<40} {value:>12.digits$} {unit}"),
        }
    }

    /// The least median of some rounds, and what that round has besides.
    fn search<Q>(&mut self, what: &str, queries: &[Q], ask: impl Fn(&Q) -> usize) {
        let mut rounds: Vec<[f64; 4]> = Vec::new();
        for _ in 0..ROUNDS {
            let (mut times, mut found): (Vec<u128>, usize) = (Vec::with_capacity(queries.len()), 0);
            for query in queries {
                let began = Instant::now();
                found += black_box(ask(black_box(query)));
                times.push(began.elapsed().as_nanos());
            }
            times.sort_unstable();
            let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)] as f64 / 1e3;
            rounds.push([at(50), at(95), at(99), found as f64 / queries.len() as f64]);
        }
        rounds.sort_by(|a, b| a[0].total_cmp(&b[0]));
        let [median, p95, p99, found] = rounds[0];
        self.tell(&format!("{what}, median"), median, "us");
        self.tell(&format!("{what}, p95"), p95, "us");
        self.tell(&format!("{what}, p99"), p99, "us");
        self.tell(&format!("{what}, files found"), found, "");
    }

    fn change(&mut self, what: &str, library: &mut Library, act: impl FnOnce(&mut Library)) {
        let cpu = cpu_seconds();
        act(library);
        self.tell(what, (cpu_seconds() - cpu) * 1e3, "ms");
    }
}

/// Two different words of a random name each, its extension not among them.
fn queries(names: &[names::Name]) -> String {
    let mut rng = Rng::from_number(SEED + 1);
    let mut lines = String::new();
    let mut count = 0;
    while count < QUERIES {
        let name = &names[rng.below(names.len())].name;
        let stem = name.rsplit_once('.').map_or(&**name, |(stem, _)| stem);
        let words = filbert::library::words(stem);
        let (one, other) = (rng.below(words.len().max(1)), rng.below(words.len().max(1)));
        if words.len() > 1 && words[one] != words[other] {
            lines += &format!("{} {}\n", words[one], words[other]);
            count += 1;
        }
    }
    lines
}

fn stamp(number: u32) -> Stamp {
    let mtime_ns = 1_600_000_000_123_456_789 + i64::from(number) * 77_777_777_777;
    let size = u64::from(number) * 7_919 % 20_000_000;
    Stamp { dev: 0xfd01, inode: 10_000_000 + u64::from(number), size, mtime_ns, ctime_ns: mtime_ns + 1_234_567 }
}

fn digests(rng: &mut Rng) -> Digests {
    let mut digests = Digests { sha1: Sha1([0; 20]), tth: Tth([0; 24]), blake3: Blake3([0; 32]) };
    rng.fill(&mut digests.sha1.0);
    rng.fill(&mut digests.tth.0);
    rng.fill(&mut digests.blake3.0);
    digests
}

fn paths_of(library: &Library) -> u64 {
    library.iter().count() as u64
}

/// Bytes in memory.
fn resident() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(0.0) * 1024.0
}

/// Megabytes more than before.
fn grown(before: f64) -> f64 {
    (resident() - before) / 1e6
}

fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = stat.split_whitespace().next().and_then(|ns| ns.parse::<f64>().ok());
    nanoseconds.map_or_else(|| WALL.with(|began| began.elapsed().as_secs_f64()), |ns| ns / 1e9)
}

thread_local! {
    static WALL: Instant = Instant::now();
}
