//! The router in memory: queries with random GUIDs through one servent with thirty neighbours.
//!
//! `cargo bench --bench router [-- MESSAGES]`. It measures what one CPU second does once the table of seen GUIDs is full:
//! messages in (decoded from bytes, as a link brings them), deliveries out, duplicates dropped. Time is CPU time
//! of this process, so that a busy machine does not blur it.

use std::time::{Duration, Instant as Wall};

use bytes::{Bytes, BytesMut};

use filbert::base::{Instant, Rng};
use filbert::proto::{Config, ConnId, Input, Output, Rate, Servent};
use filbert::wire::handshake::Head;
use filbert::wire::head::Headers;
use filbert::wire::query::Query;
use filbert::wire::stream::FrameReader;
use filbert::wire::{Frame, Guid, Kind};

/// One link that queries come from and thirty that they go to.
const FAN_OUT: u64 = 30;
/// Messages in one read from a link: 16 KiB or so.
const BATCH: usize = 400;
/// Copies are of the latest so many queries.
const LATEST: usize = 64 * 1024;
/// Reads between two looks at the clock.
const READS: usize = 62;

fn main() {
    let messages = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(2_000_000);
    let mut bench = Bench::new();
    // Twice the largest table: from now on each GUID that comes makes another leave.
    let warm = 2 * 1024 * 1024;
    bench.run(warm, Mode::Fresh);
    let fresh = bench.run(messages, Mode::Fresh);
    let copies = bench.run(messages, Mode::Copies);
    println!(
        "fan-out {FAN_OUT}, {} GUIDs seen, {messages} queries of {} bytes",
        warm + messages,
        bench.query.len() + 23
    );
    println!("fresh       {:>12.0} messages in per CPU second", fresh.per_second(fresh.messages));
    println!("            {:>12.0} deliveries out per CPU second", fresh.per_second(fresh.deliveries));
    println!("duplicates  {:>12.0} dropped per CPU second", copies.per_second(copies.duplicates));
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    /// Each GUID is new.
    Fresh,
    /// Each GUID is one of the latest.
    Copies,
}

struct Result {
    messages: u64,
    deliveries: u64,
    duplicates: u64,
    time: Duration,
}

impl Result {
    fn per_second(&self, count: u64) -> f64 {
        count as f64 / self.time.as_secs_f64()
    }
}

struct Bench {
    servent: Servent,
    links: Vec<ConnId>,
    rng: Rng,
    now: Instant,
    query: Bytes,
    latest: Vec<Guid>,
    drawn: usize,
}

impl Bench {
    fn new() -> Self {
        let mut rng = Rng::from_number(1);
        let mut config = Config::new(Guid::random(&mut rng));
        config.limits.queries = Rate::OFF;
        config.only_listed = true;
        let servent = Servent::new(config, rng.fork(), Instant::ZERO);
        let query = Query::new("some blue train", &[]).encode();
        let mut bench =
            Self { servent, links: Vec::new(), rng, now: Instant::ZERO, query, latest: Vec::new(), drawn: 0 };
        for n in 0..=FAN_OUT {
            bench.link(n);
        }
        bench
    }

    fn link(&mut self, n: u64) {
        let conn = ConnId::accepted(n);
        let from = std::net::SocketAddr::from(([10, 0, 0, n as u8], 6346));
        let first = Head::Connect { version: (0, 6), headers: Headers::default() };
        let third = Head::Status { code: 200, reason: "OK".to_owned(), headers: Headers::default() };
        for input in [
            Input::Handshake { conn, from, head: first },
            Input::Handshake { conn, from, head: third },
            Input::Connected { conn, room: usize::MAX },
        ] {
            self.handle(input);
        }
        self.links.push(conn);
    }

    fn handle(&mut self, input: Input) -> u64 {
        let mut out = Vec::new();
        self.servent.handle(self.now, input, &mut out);
        deliveries(&out)
    }

    fn run(&mut self, messages: u64, mode: Mode) -> Result {
        let before = *self.servent.counters();
        let (mut done, mut sent, mut time) = (0, 0, Duration::ZERO);
        let mut out = Vec::new();
        let mut reader = FrameReader::new(64 * 1024);
        while done < messages {
            // What the links bring is made beforehand; only the servent's part is measured.
            let reads: Vec<_> = (0..READS)
                .map(|_| {
                    let mut bytes = BytesMut::new();
                    for _ in 0..BATCH {
                        Frame::new(self.guid(mode), Kind::Query, 4, self.query.clone()).encode(&mut bytes);
                        done += 1;
                    }
                    bytes
                })
                .collect();
            let start = cpu_time();
            for (n, bytes) in reads.iter().enumerate() {
                // A hundred thousand queries take a second of the servent's time: nothing seen grows old.
                self.now = Instant::from_micros(self.now.as_micros() + 10 * BATCH as u64);
                reader.push(bytes);
                let mut batch = Vec::with_capacity(BATCH);
                while let Ok(Some(frame)) = reader.next_frame() {
                    batch.push(frame);
                }
                let conn = self.links[n % self.links.len()];
                self.servent.handle(self.now, Input::Frames { conn, batch }, &mut out);
                sent += deliveries(&out);
                out.clear();
            }
            time += cpu_time().saturating_sub(start);
            self.keep_alive();
        }
        let after = self.servent.counters();
        Result { messages: done, deliveries: sent, duplicates: after.duplicates - before.duplicates, time }
    }

    /// A new GUID, or one of the latest at random.
    fn guid(&mut self, mode: Mode) -> Guid {
        if mode == Mode::Copies && !self.latest.is_empty() {
            return self.latest[self.rng.below(self.latest.len())];
        }
        let guid = Guid::random(&mut self.rng);
        if self.latest.len() < LATEST {
            self.latest.push(guid);
        } else {
            self.latest[self.drawn % LATEST] = guid;
        }
        self.drawn += 1;
        guid
    }

    /// Every neighbour gives a sign of life, as real ones do.
    fn keep_alive(&mut self) {
        for conn in self.links.clone() {
            let pong = Frame::new(Guid::random(&mut self.rng), Kind::Pong, 1, Bytes::new());
            self.handle(Input::Frames { conn, batch: vec![pong] });
        }
        if self.servent.next_timeout().is_some_and(|at| at <= self.now) {
            self.servent.handle_timeout(self.now, &mut Vec::new());
        }
    }
}

fn deliveries(out: &[Output]) -> u64 {
    out.iter().map(|output| if let Output::Send { to, .. } = output { to.len() as u64 } else { 0 }).sum()
}

/// CPU time of this thread where the system tells it, else the time on the wall.
fn cpu_time() -> Duration {
    thread_local!(static START: Wall = Wall::now());
    std::fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|text| text.split_whitespace().next()?.parse().ok())
        .map_or_else(|| START.with(Wall::elapsed), Duration::from_nanos)
}
