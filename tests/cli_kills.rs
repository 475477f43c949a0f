//! Downloader and sources are killed (`kill -9`) at random times, again and again: no file that is finished is
//! ever wrong, and what was on disk is not fetched again, but for one block of each source that was sending.
//!
//! Real processes of the binary. Between them stand relays of the test's own, which slow the bytes down, note
//! the ranges that are asked for, and count what they pass on. `FILBERT_KILLS` says how often (6), `FILBERT_SEED`
//! repeats a run; `scripts/soak kills N [SEED]` is the long form.

mod common;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{Home, Servent, noise, until, within};
use filbert::base::Rng;
use filbert::wire::{Digests, Urn};
use serde_json::{Value, json};

const SOURCES: usize = 2;
const SIZE: usize = 24 << 20;
const BLOCK: u64 = 1 << 20;
/// What is on disk is compared with the true content by pages of this size.
const PAGE: usize = 4096;
/// Bytes a second that each relay passes on.
const RATE: u64 = 5_000_000;

/// Stands before a source, under one address whatever becomes of the source.
struct Relay {
    addr: SocketAddr,
    state: Arc<RelayState>,
}

#[derive(Default)]
struct RelayState {
    target: Mutex<Option<SocketAddr>>,
    /// First byte and end of what was asked for.
    asked: Mutex<Vec<(u64, u64)>>,
    /// First byte and end of what came for each of those.
    came: Mutex<Vec<(u64, u64)>>,
    passed: AtomicU64,
    sending: AtomicUsize,
}

impl Relay {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let (addr, state) = (listener.local_addr().expect("an address"), Arc::new(RelayState::default()));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let state = Arc::clone(&shared);
                std::thread::spawn(move || state.relay(client));
            }
        });
        Self { addr, state }
    }

    fn aim(&self, source: Option<&Servent>) {
        *self.state.target.lock().expect("whole") = source.map(|it| it.listen().parse().expect("an address"));
    }
}

impl RelayState {
    fn relay(&self, client: TcpStream) {
        let Some(target) = *self.target.lock().expect("whole") else { return };
        let Ok(source) = TcpStream::connect(target) else { return };
        let (mut from, mut to) = (client.try_clone().expect("a handle"), source.try_clone().expect("a handle"));
        self.sending.fetch_add(1, SeqCst);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (mut head, mut buffer) = (Vec::new(), [0; 4096]);
                while let Ok(read @ 1..) = from.read(&mut buffer) {
                    head.extend_from_slice(&buffer[..read]);
                    self.note(&mut head);
                    if to.write_all(&buffer[..read]).is_err() {
                        break;
                    }
                }
                let _ = to.shutdown(std::net::Shutdown::Both);
            });
            let (mut source, mut client, mut buffer) = (source, client, vec![0; 64 * 1024]);
            while let Ok(read @ 1..) = source.read(&mut buffer) {
                if client.write_all(&buffer[..read]).is_err() {
                    break;
                }
                self.passed.fetch_add(read as u64, SeqCst);
                if let Some((_, end)) = self.came.lock().expect("whole").last_mut() {
                    *end += read as u64;
                }
                std::thread::park_timeout(Duration::from_secs_f64(read as f64 / RATE as f64));
            }
            let _ = client.shutdown(std::net::Shutdown::Both);
        });
        self.sending.fetch_sub(1, SeqCst);
    }

    fn note(&self, head: &mut Vec<u8>) {
        while let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") {
            let text: String = head.drain(..end + 4).map(char::from).collect();
            if text.contains("/uri-res/N2X") {
                continue; // the tree is no part of the file
            }
            let range = text.lines().find_map(|line| line.strip_prefix("Range: bytes=")).unwrap_or("0-");
            let (first, last) = range.split_once('-').expect("a hyphen");
            let end = last.parse::<u64>().map_or(SIZE as u64, |last| last + 1);
            let first = first.parse().expect("a number");
            self.asked.lock().expect("whole").push((first, end));
            self.came.lock().expect("whole").push((first, first));
        }
    }
}

/// The pages of a partial file that hold what they should.
fn right_pages(part: &Path, truth: &[u8]) -> BTreeSet<usize> {
    let there = std::fs::read(part).unwrap_or_default();
    let pages = there.chunks(PAGE).zip(truth.chunks(PAGE)).enumerate();
    pages.filter_map(|(index, (there, truth))| (there == truth).then_some(index)).collect()
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

struct Run {
    truth: Vec<u8>,
    home: Home,
    relays: Vec<Relay>,
    magnet: String,
}

impl Run {
    fn part(&self) -> std::path::PathBuf {
        self.home.join("downloads/incomplete/train.bin.part")
    }

    fn get(&self, servent: &Servent) {
        let (status, body) = servent.call("POST", "/api/v1/transfers", &json!({ "what": self.magnet }).to_string());
        assert!((200..300).contains(&status), "{body}");
    }

    /// Whatever is finished must be right.
    fn finished(&self) -> bool {
        let path = self.home.join("downloads/train.bin");
        let there = path.exists();
        if there {
            assert!(std::fs::read(&path).expect("read") == self.truth, "a wrong file was finished");
        }
        there
    }

    fn passed(&self) -> u64 {
        self.relays.iter().map(|relay| relay.state.passed.load(SeqCst)).sum()
    }

    fn sending(&self) -> u64 {
        self.relays.iter().map(|relay| relay.state.sending.load(SeqCst) as u64).sum()
    }

    fn take_asked(&self) -> Vec<(u64, u64)> {
        self.relays.iter().flat_map(|relay| std::mem::take(&mut *relay.state.asked.lock().expect("whole"))).collect()
    }
}

/// The pages of `has` that lie in what was asked for.
fn again(has: &BTreeSet<usize>, asked: &[(u64, u64)]) -> u64 {
    let within = |page: &usize| {
        let (start, end) = ((*page * PAGE) as u64, ((*page + 1) * PAGE) as u64);
        asked.iter().any(|(first, last)| *first <= start && end.min(SIZE as u64) <= *last)
    };
    (has.iter().filter(|page| within(page)).count() * PAGE) as u64
}

#[test]
fn killed_at_any_time_nothing_is_wrong_and_little_is_fetched_again() {
    let (kills, seed) = (number("FILBERT_KILLS", 6), number("FILBERT_SEED", u64::from(std::process::id())));
    println!("{kills} kills, FILBERT_SEED={seed}");
    let mut rng = Rng::from_number(seed);
    let truth = noise(SIZE, seed);
    let urn = Urn::Sha1(Digests::of(&truth).sha1);
    let homes: Vec<Home> = (0..SOURCES).map(|_| Home::new()).collect();
    let relays: Vec<Relay> = (0..SOURCES).map(|_| Relay::new()).collect();
    let shares: Vec<String> = homes
        .iter()
        .map(|home| home.folder("shared", &[("train.bin", &truth)]).to_string_lossy().into_owned())
        .collect();
    let start = |n: usize| {
        let source = homes[n].up(&["--only-listed", "--share", &shares[n]]);
        source.hashed(1);
        relays[n].aim(Some(&source));
        source
    };
    let mut sources: Vec<Servent> = (0..SOURCES).map(start).collect();
    let links: String = relays
        .iter()
        .map(|relay| {
            let url = format!("http://{}/uri-res/N2R?{urn}", relay.addr);
            format!("&xs={}", filbert::web::uri::escape(&url))
        })
        .collect();
    let magnet = format!("magnet:?xt={urn}&xl={SIZE}&dn=train.bin{links}");
    let relays_of_run = relays.iter().map(|relay| Relay { addr: relay.addr, state: Arc::clone(&relay.state) });
    let run = Run { truth, home: Home::new(), relays: relays_of_run.collect(), magnet };
    let up = || run.home.up(&["--only-listed"]);
    let mut downloader = up();
    run.get(&downloader);

    let (mut files, mut worst, mut sum, mut buffered) = (0, 0, 0, 0);
    let mut done = 0;
    // What was on disk and passed on when the run of the downloader began, and what of the former came again.
    let mut session = (0_u64, 0_u64, 0_u64);
    while done < kills {
        // Bytes must flow, else nothing is interrupted.
        let before = run.passed();
        within(Duration::from_secs(60), "bytes flow", || (run.passed() > before || run.finished()).then_some(()));
        std::thread::park_timeout(Duration::from_millis(rng.below(700) as u64));
        if run.finished() {
            settle(&downloader);
            std::fs::remove_file(run.home.join("downloads/train.bin")).expect("removed");
            files += 1;
            session = (0, run.passed(), 0);
            run.get(&downloader);
            continue;
        }
        done += 1;
        if rng.below(3) == 0 {
            let n = rng.below(SOURCES);
            relays[n].aim(None);
            sources.remove(n).kill();
            sources.insert(n, start(n));
            println!("{done:>3} source {n}");
            continue;
        }
        // Also one that was lost shortly before has left a block that is not whole.
        let active =
            run.relays.iter().filter(|it| !it.state.asked.lock().expect("whole").is_empty()).count().max(1) as u64;
        downloader.kill();
        if run.finished() {
            files += 1;
            std::fs::remove_file(run.home.join("downloads/train.bin")).expect("removed");
            downloader = up();
            session = (0, run.passed(), 0);
            run.get(&downloader);
            println!("{done:>3} downloader, just when it was through");
            continue;
        }
        let has = right_pages(&run.part(), &run.truth);
        // What it asked for before it died, and its connections, are over.
        within(Duration::from_secs(20), "the relays see it", || (run.sending() == 0).then_some(()));
        let on_disk = (has.len() * PAGE) as u64;
        // What was passed on in this run, less what it wrote of it: that was still on its way.
        let lost = (run.passed() - session.1).saturating_sub(on_disk.saturating_sub(session.0) + session.2);
        // What an earlier run had left in the middle of a block was counted then.
        let came: Vec<_> =
            run.relays.iter().flat_map(|relay| std::mem::take(&mut *relay.state.came.lock().expect("whole"))).collect();
        run.take_asked();
        session = (on_disk, run.passed(), 0);
        downloader = up();
        // Until it has asked for something, and what it has is known to it.
        let asked = || -> Vec<(u64, u64)> {
            run.relays.iter().flat_map(|relay| relay.state.asked.lock().expect("whole").clone()).collect()
        };
        let through = || run.finished() || on_disk >= SIZE as u64;
        until("it asks again", || (!asked().is_empty() || through()).then_some(()));
        // The other source is asked a moment later.
        std::thread::park_timeout(Duration::from_millis(200));
        let asked = asked();
        let of_this_run = has.iter().copied().filter(|page| again(&BTreeSet::from([*page]), &came) > 0).collect();
        let fetched = again(&of_this_run, &asked);
        session.2 = fetched;
        println!(
            "{done:>3} downloader: {} of {SIZE} bytes on disk, {fetched} of them asked for again, {active} sources, {lost} in socket buffers",
            has.len() * PAGE
        );
        assert!(fetched <= BLOCK * active, "more than a block for each source: {asked:?}");
        (worst, sum, buffered) = (worst.max(fetched), sum + fetched, buffered + lost);
    }
    let began = Instant::now();
    within(Duration::from_secs(120), "it is done", || run.finished().then_some(()));
    settle(&downloader);
    println!(
        "{kills} kills, {} files finished, all right; fetched again after a kill: {worst} bytes at most, {sum} in all; \
         in socket buffers: {buffered}; the last file took {:?} more",
        files + 1,
        began.elapsed()
    );
    assert!(!run.home.join("downloads/incomplete").exists(), "nothing is left of the parts");
}

/// Waits until the servent knows, too, that nothing is under way, and says that it was checked.
fn settle(servent: &Servent) {
    let last = until("it is told", || {
        let all = servent.get("/api/v1/transfers");
        let downs: Vec<Value> = all.as_array()?.iter().filter(|it| it["direction"] == "down").cloned().collect();
        downs.iter().all(|it| it["state"] == "done").then(|| downs.last().cloned())?
    });
    assert_eq!(last["verified"], "sha1", "{last}");
}
