//! The router in memory: one servent with 31 ultrapeer links, fed with bytes.
//!
//! ```text
//! bytes -> FrameReader -> Servent::handle -> Output::Send          "deliveries": copies in the sets of Send
//!                                         -> bytes of each link    "written": the same, encoded for each link
//! ```
//!
//! Every message is a query with a GUID drawn by chance. The table of seen GUIDs is full before anything is
//! measured: it has grown to its greatest bound, and each new GUID pushes an old one out. A fresh query leaves by
//! the 30 links that it did not come by. The runs for duplicates feed copies of what is in the table, in random
//! order, by another link than the first copy came by: of the latest sixteenth of it, as copies come in life, and of
//! all of it. Rate limits are off. Making the input is not measured.
//!
//! `cargo bench --bench router` runs it; `benches/RESULTS.md` keeps what was measured. Time is CPU time of the
//! one thread, from Linux's `/proc/thread-self/schedstat`, and wall time where there is none.

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use filbert::base::{Instant, Rng};
use filbert::proto::{Config, ConnId, Input, Output, Rate, Servent, Verdict};
use filbert::wire::handshake::Head;
use filbert::wire::head::Headers;
use filbert::wire::query::Query;
use filbert::wire::stream::{FrameReader, PAYLOAD_LIMIT};
use filbert::wire::{Frame, Guid, Kind};

const LINKS: usize = 31;
/// What `net` reads at once.
const READ: usize = 16 * 1024;
/// What is written to a link at once.
const BATCH: usize = 64 * 1024;

/// How much is run.
struct Size {
    runs: usize,
    messages: usize,
    seen: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Sends {
    /// Count the copies.
    Count,
    /// Encode each copy into the batch of its link.
    Encode,
}

/// A servent with its links, and the driver's part of each.
struct Bench {
    servent: Servent,
    readers: Vec<FrameReader>,
    batches: Batches,
    now: Instant,
    rng: Rng,
}

#[derive(Default)]
struct Tally {
    messages: u64,
    deliveries: u64,
    bytes: u64,
    seconds: f64,
}

fn main() {
    // `cargo bench` says --bench. Without it (`cargo test --benches`) a short run shows that the program still works;
    // the kernel's clock for CPU time is too coarse for its rates.
    let measure = std::env::args().any(|arg| arg == "--bench");
    let size = match measure {
        true => Size { runs: 7, messages: 500_000, seen: 1024 * 1024 },
        false => Size { runs: 1, messages: 2_000, seen: 1024 },
    };
    println!("{LINKS} links, {} GUIDs seen, {} messages in a run, {} runs", size.seen, size.messages, size.runs);
    println!("rates are per CPU second; median (least .. most)\n");

    let (mut counted, mut encoded, mut recent, mut any) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut bench = Bench::new(size.seen);
    bench.fill_seen(size.seen);
    for _ in 0..size.runs {
        counted.push(bench.run_fresh(size.messages, Sends::Count));
        encoded.push(bench.run_fresh(size.messages, Sends::Encode));
    }
    let mut bench = Bench::new(size.seen);
    bench.fill_seen(size.seen);
    for _ in 0..size.runs {
        recent.push(bench.run_duplicates(size.messages, size.seen - size.seen / 16..size.seen));
        any.push(bench.run_duplicates(size.messages, 0..size.seen));
    }
    if !measure {
        return println!("works; `cargo bench --bench router` measures");
    }

    line("messages in, deliveries counted", &counted, |tally| tally.messages);
    line("  deliveries", &counted, |tally| tally.deliveries);
    line("messages in, deliveries written", &encoded, |tally| tally.messages);
    line("  deliveries", &encoded, |tally| tally.deliveries);
    line("  bytes written", &encoded, |tally| tally.bytes);
    line("duplicates dropped, of the latest", &recent, |tally| tally.messages);
    line("duplicates dropped, of any", &any, |tally| tally.messages);
}

impl Bench {
    fn new(seen: usize) -> Self {
        let mut rng = Rng::from_number(1);
        let mut config = Config::new(Guid::random(&mut rng));
        config.only_listed = true;
        config.accept = Some(LINKS);
        config.limits.seen_max = seen;
        config.limits.seen = config.limits.seen.min(seen);
        config.limits.queries = Rate::OFF;
        let now = Instant::from_secs(1);
        let mut servent = Servent::new(config, rng.fork(), now);
        (0..LINKS).for_each(|n| link(&mut servent, n, now, &mut rng));
        assert_eq!(servent.peers().len(), LINKS, "all links are up");
        let readers = (0..LINKS).map(|_| FrameReader::new(PAYLOAD_LIMIT)).collect();
        Self { servent, readers, batches: Batches::new(), now, rng }
    }

    /// Fills the table of seen GUIDs with those of number 0 and up.
    fn fill_seen(&mut self, seen: usize) {
        for first in (0..seen).step_by(10_000) {
            let input = self.input((first..seen.min(first + 10_000)).map(|n| (numbered(n), n % LINKS)));
            self.feed(&input, Sends::Count);
        }
        let counters = self.servent.counters();
        assert_eq!((counters.queries_received, counters.duplicates), (seen as u64, 0), "all were fresh");
    }

    fn run_fresh(&mut self, messages: usize, sends: Sends) -> Tally {
        let before = *self.servent.counters();
        let mut rng = self.rng.fork();
        let input = self.input((0..messages).map(|n| (Guid::random(&mut rng), n % LINKS)));
        let tally = self.feed(&input, sends);
        let after = self.servent.counters();
        assert_eq!(after.duplicates, before.duplicates, "no GUID came twice");
        assert_eq!(tally.deliveries, tally.messages * (LINKS as u64 - 1), "each left by 30 links");
        tally
    }

    fn run_duplicates(&mut self, messages: usize, known: std::ops::Range<usize>) -> Tally {
        let before = self.servent.counters().duplicates;
        let mut rng = self.rng.fork();
        let input = self.input((0..messages).map(|_| {
            let n = known.start + rng.below(known.len());
            (numbered(n), (n + 1 + rng.below(LINKS - 1)) % LINKS)
        }));
        let tally = self.feed(&input, Sends::Count);
        assert_eq!(self.servent.counters().duplicates - before, tally.messages, "each was a duplicate");
        assert_eq!(tally.deliveries, 0, "and went nowhere");
        tally
    }

    /// The bytes that come in by each link.
    fn input(&self, queries: impl Iterator<Item = (Guid, usize)>) -> Vec<BytesMut> {
        let payload = Query::new("coltrane blue train", &[]).encode();
        let mut streams = vec![BytesMut::new(); LINKS];
        for (guid, link) in queries {
            let mut frame = Frame::new(guid, Kind::Query, 3, payload.clone());
            frame.header.hops = 1;
            frame.encode(&mut streams[link]);
        }
        streams
    }

    /// What is measured: reads the streams, read by read and link by link, and does what the servent says.
    fn feed(&mut self, streams: &[BytesMut], sends: Sends) -> Tally {
        let mut tally = Tally::default();
        let mut outbox = Vec::new();
        let began = cpu();
        let longest = streams.iter().map(|stream| stream.len()).max().unwrap_or(0);
        for at in (0..longest).step_by(READ) {
            for (n, stream) in streams.iter().enumerate().filter(|(_, stream)| at < stream.len()) {
                let reader = &mut self.readers[n];
                reader.push(&stream[at..stream.len().min(at + READ)]);
                let batch = reader.next_batch().expect("our own bytes can be read");
                tally.messages += batch.len() as u64;
                self.now += Duration::from_micros(batch.len() as u64);
                self.servent.handle(self.now, Input::Frames { conn: conn(n), batch }, &mut outbox);
                for output in outbox.drain(..) {
                    match output {
                        Output::Send { to, frame } => {
                            tally.deliveries += to.len() as u64;
                            if sends == Sends::Encode {
                                tally.bytes += self.batches.write(&to, &frame);
                            }
                        }
                        other => drop(black_box(other)),
                    }
                }
            }
        }
        tally.seconds = cpu() - began;
        tally
    }
}

/// What waits to be written, by link.
struct Batches(Vec<(ConnId, BytesMut)>);

impl Batches {
    fn new() -> Self {
        Self((0..LINKS).map(|n| (conn(n), BytesMut::with_capacity(2 * BATCH))).collect())
    }

    /// Appends a frame to the batch of each link; a full batch is taken away, as a write would.
    fn write(&mut self, to: &[ConnId], frame: &Frame) -> u64 {
        for to in to {
            let place = self.0.binary_search_by_key(to, |(conn, _)| *conn).expect("the servent names its links");
            let batch = &mut self.0[place].1;
            frame.encode(batch);
            if batch.len() >= BATCH {
                black_box(&batch[..]);
                batch.clear();
            }
        }
        (to.len() * frame.wire_len()) as u64
    }
}

/// Brings one link up: a servent like ours dials, and the handshake goes through the core.
fn link(servent: &mut Servent, n: usize, now: Instant, rng: &mut Rng) {
    let from = SocketAddr::from(([10, 0, 0, n as u8 + 1], 40_000));
    let conn = conn(n);
    let headers = Headers::default()
        .with("User-Agent", "bench/1")
        .with("X-Ultrapeer", "True")
        .with("Listen-IP", format!("10.0.0.{}:6346", n + 1))
        .with("GUID", Guid::random(rng).to_string());
    let mut outbox = Vec::new();
    let head = Head::Connect { version: (0, 6), headers };
    servent.handle(now, Input::Handshake { conn, from, head }, &mut outbox);
    let accepted = outbox.iter().any(|out| matches!(out, Output::Handshake { verdict: Verdict::Accept, .. }));
    assert!(accepted, "a slot is free for link {n}: {outbox:?}");
    let head = Head::Status { code: 200, reason: "OK".to_owned(), headers: Headers::default() };
    servent.handle(now, Input::Handshake { conn, from, head }, &mut outbox);
    servent.handle(now, Input::Connected { conn, room: usize::MAX }, &mut outbox);
}

fn conn(n: usize) -> ConnId {
    ConnId::accepted(n as u64)
}

/// A GUID that looks random and can be made again.
fn numbered(n: usize) -> Guid {
    let mut rng = Rng::from_number(n as u64);
    Guid::random(&mut rng)
}

/// CPU seconds of this thread so far.
fn cpu() -> f64 {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    let nanos = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = nanos.and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
    match nanos {
        Some(nanos) => nanos as f64 / 1e9,
        None => START.get_or_init(std::time::Instant::now).elapsed().as_secs_f64(),
    }
}

fn line(what: &str, runs: &[Tally], of: fn(&Tally) -> u64) {
    let mut rates: Vec<f64> = runs.iter().map(|run| of(run) as f64 / run.seconds.max(1e-9)).collect();
    rates.sort_by(f64::total_cmp);
    let (least, median, most) = (rates[0], rates[rates.len() / 2], rates[rates.len() - 1]);
    println!("{what:<34} {median:>13.0}  ({least:.0} .. {most:.0})");
}
