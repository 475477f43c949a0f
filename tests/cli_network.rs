//! A network of real processes, ultrapeers and leaves, each on a loopback address of its own, that know one address and
//! nothing else: they become one network, every file is found from everywhere, and a third of them may die.
//!
//! `FILBERT_NETWORK` says how many (20), a fifth of them ultrapeers; `FILBERT_SEED` repeats a run; `scripts/soak network N
//! SEED` is the long form, which prints what it measured.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use common::{Home, Servent, within};
use filbert::base::Rng;
use serde_json::{Value, json};

/// So long they have to become one network, and so long the rest has when a third has died.
const FORMED: Duration = Duration::from_secs(60);
const MENDED: Duration = Duration::from_secs(30);
/// Places from which each file is searched.
const PLACES: usize = 10;
/// Searches that run at the same time.
const AT_ONCE: usize = 8;
/// What a person waits for a search.
const WAIT_MS: u64 = 5000;

fn env(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

struct Member {
    servent: Servent,
    /// Kept for its folder.
    _home: Home,
    ultrapeer: bool,
    /// The number of the one file that it shares.
    file: Option<usize>,
}

/// Starts the `n`th; `first` is the address that all know.
fn start(n: usize, ultrapeer: bool, file: Option<usize>, first: Option<&str>) -> Member {
    let home = Home::new();
    let listen = format!("127.1.{}.{}:0", n / 250, n % 250 + 1);
    let role = if ultrapeer { "ultrapeer" } else { "leaf" };
    let mut args = vec!["--listen", &listen, "--no-lan", "--yes", "--role", role];
    let share = file.map(|file| {
        let name = format!("tune{file} by singer{}.ogg", file % 7);
        home.folder("share", &[(&name, format!("song {file}").as_bytes())]).to_string_lossy().into_owned()
    });
    if let Some(share) = &share {
        args.extend(["--share", share]);
    }
    if let Some(first) = first {
        args.extend(["--connect", first]);
    }
    Member { servent: home.up(&args), _home: home, ultrapeer, file }
}

/// Whether all are linked with each other over some way.
fn is_connected(members: &BTreeMap<usize, Member>) -> bool {
    let addr_of: BTreeMap<String, usize> = members.iter().map(|(&n, member)| (member.servent.listen(), n)).collect();
    let mut links: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for (&n, member) in members {
        let peers = member.servent.get("/api/v1/peers");
        for addr in peers.as_array().into_iter().flatten().filter_map(|peer| peer["addr"].as_str()) {
            if let Some(&other) = addr_of.get(addr) {
                links.entry(n).or_default().insert(other);
                links.entry(other).or_default().insert(n);
            }
        }
    }
    let (mut seen, mut next) = (BTreeSet::new(), members.keys().copied().take(1).collect::<Vec<_>>());
    while let Some(n) = next.pop() {
        if seen.insert(n) {
            next.extend(links.get(&n).into_iter().flatten());
        }
    }
    seen.len() == members.len()
}

/// Whether a search by that servent finds the file, and within how many milliseconds.
fn finds(by: &Servent, file: usize) -> Option<u64> {
    let query = json!({"query": format!("tune{file} singer{}", file % 7), "wait_ms": WAIT_MS, "max": 1});
    let (status, search) = by.call("POST", "/api/v1/searches", &query.to_string());
    assert!((200..300).contains(&status), "{search}");
    let id = search["id"].as_u64().expect("an id");
    let began = Instant::now();
    loop {
        let mine = by.get(&format!("/api/v1/searches/{id}"));
        if mine["ended"] == true || began.elapsed() > Duration::from_millis(2 * WAIT_MS) {
            return (mine["hits"] != 0).then(|| mine["elapsed_ms"].as_u64().unwrap_or(0));
        }
        common::pause();
    }
}

/// Queries that left for a link, in all the network.
fn copies(members: &BTreeMap<usize, Member>) -> u64 {
    let copies = |member: &Member| member.servent.get("/api/v1/status")["counters"]["query_copies"].as_u64();
    members.values().filter_map(copies).sum()
}

struct Recall {
    asked: usize,
    found: usize,
    millis: Vec<u64>,
    missed: Vec<(usize, usize)>,
}

/// Each file that is still there is searched from ten places.
fn recall(members: &BTreeMap<usize, Member>, rng: &mut Rng) -> Recall {
    let alive: Vec<usize> = members.keys().copied().collect();
    let mut jobs = Vec::new();
    for (&owner, file) in members.iter().filter_map(|(n, member)| Some((n, member.file?))) {
        let mut places: Vec<usize> = alive.iter().copied().filter(|&n| n != owner).collect();
        rng.shuffle(&mut places);
        jobs.extend(places.into_iter().take(PLACES).map(|by| (by, file)));
    }
    rng.shuffle(&mut jobs);
    let next = AtomicUsize::new(0);
    let results = Mutex::new((Vec::new(), Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(&(by, file)) = jobs.get(next.fetch_add(1, SeqCst)) {
                    let found = finds(&members[&by].servent, file);
                    let mut results = results.lock().expect("no panic");
                    match found {
                        Some(millis) => results.0.push(millis),
                        None => results.1.push((by, file)),
                    }
                }
            });
        }
    });
    let (mut millis, missed) = results.into_inner().expect("no panic");
    millis.sort_unstable();
    Recall { asked: jobs.len(), found: millis.len(), millis, missed }
}

/// Memory of its own that a process holds, in KiB.
fn memory_kib(pid: u64) -> u64 {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let field = |name: &str| {
        rollup.lines().find_map(|line| line.strip_prefix(name)?.trim().split(' ').next()?.parse::<u64>().ok())
    };
    field("Private_Dirty:").unwrap_or(0)
}

fn median(numbers: &mut [u64]) -> u64 {
    numbers.sort_unstable();
    numbers.get(numbers.len() / 2).copied().unwrap_or(0)
}

#[test]
fn a_network_forms_from_one_address_finds_everything_and_survives_the_loss_of_a_third() {
    let (count, seed) = (env("FILBERT_NETWORK", 20) as usize, env("FILBERT_SEED", 42));
    let mut rng = Rng::from_number(seed);
    let ultrapeers = count / 5;
    // Half of them share one file each, which nobody else has.
    let mut sharers: Vec<usize> = (0..count).collect();
    rng.shuffle(&mut sharers);
    sharers.truncate(count / 2);

    let began = Instant::now();
    let mut members = BTreeMap::new();
    let mut first: Option<String> = None;
    for n in 0..count {
        let file = sharers.iter().position(|&sharer| sharer == n);
        let member = start(n, n < ultrapeers, file, first.as_deref());
        first.get_or_insert_with(|| member.servent.listen());
        members.insert(n, member);
    }
    let started = began.elapsed();
    within(FORMED, "one network", || is_connected(&members).then_some(()));
    let formed = began.elapsed();
    // Every leaf has told its words: their tables have come, and gone on to the neighbours.
    within(FORMED, "tables", || {
        let ready = members.values().all(|member| {
            let peers = member.servent.get("/api/v1/peers");
            let all = peers.as_array().into_iter().flatten();
            let leaf_told = |peer: &Value| peer["role"] == "ultrapeer" || !peer["table_slots"].is_null();
            all.clone().all(leaf_told) && all.count() > 0
        });
        ready.then_some(())
    });
    let before = copies(&members);
    let Recall { asked, found, millis, missed } = recall(&members, &mut rng);
    let messages = (copies(&members) - before) as f64 / asked as f64;
    let kib = |ultrapeer: bool| -> Vec<u64> {
        let these = members.values().filter(|member| member.ultrapeer == ultrapeer);
        these.map(|member| memory_kib(member.servent.ready["pid"].as_u64().unwrap_or(0))).collect()
    };
    let (mut of_ultrapeers, mut of_leaves) = (kib(true), kib(false));
    println!("{count} servents, {ultrapeers} of them ultrapeers; seed {seed}");
    println!(
        "started in {:.1} s, one network {:.1} s after the first start",
        started.as_secs_f64(),
        formed.as_secs_f64()
    );
    println!("{found} of {asked} searches found their one file; {messages:.1} queries on links for each search");
    println!(
        "a hit after {} ms in the median, {} ms in 19 of 20",
        millis[millis.len() / 2],
        millis[millis.len() * 19 / 20]
    );
    println!(
        "memory of its own: ultrapeer {} KiB, leaf {} KiB (medians)",
        median(&mut of_ultrapeers),
        median(&mut of_leaves)
    );
    assert_eq!(missed, []);

    // A third dies without a word, the one among them that all knew first.
    let mut third: Vec<usize> = (1..count).collect();
    rng.shuffle(&mut third);
    third.truncate(count / 3);
    third.push(0);
    for n in third {
        members.remove(&n).expect("it lived").servent.kill();
    }
    let killed = Instant::now();
    within(MENDED, "the rest is one network", || is_connected(&members).then_some(()));
    println!("a third killed: the rest is one network after {:.1} s", killed.elapsed().as_secs_f64());
    // Leaves that lost their ultrapeers tell others their words, and those tell their neighbours.
    within(MENDED, "the rest finds all that is left", || {
        let since = killed.elapsed();
        let Recall { asked, found, missed, .. } = recall(&members, &mut rng);
        println!("{found} of {asked} searches for what is left found it, {:.1} s after the kill", since.as_secs_f64());
        missed.is_empty().then_some(())
    });
}
