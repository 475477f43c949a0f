//! Queries routed, beside another servent: the same generator and the same sinks for each, in turns.
//!
//! The servents run already; each is named as `NAME=ADDRESS=PID`. This program is their ultrapeers: one that sends queries and
//! others that count what arrives, each at an address of its own of 127/8 or of those that `--from` names. A query is
//! 40 bytes with its header: two words of random letters, TTL 4, a GUID by chance. Measured is the CPU time of the
//! servent's process (user and system, from `/proc`) over a run, for each query that was sent:
//!
//! * *distinct*: each query is new; the sender keeps at most [`WINDOW`] queries ahead of the slowest sink. With
//!   "a second" the sender writes them one by one, so many a second.
//! * *the same again*: one query over and over, from whom it came first.
//! * *copies*: the latest [`COPIES`] queries, again and again, from another neighbour.
//!
//! With `--rss N` it sends N distinct queries, as fast as they are taken, and shows how the process grows. `scripts/bench-route` prepares all that;
//! with no servent named (`cargo test --benches`) a short run on loopback shows that the program works. Linux only.

#![allow(clippy::disallowed_methods)] // the loads have threads of their own, which end with the process

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use filbert::base::Rng;
use filbert::wire::{Frame, Guid, HEADER_LEN, Kind};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

/// Queries that the sender is ahead of the slowest sink at most: far less than either servent lets wait for a neighbour.
const WINDOW: u64 = 6000;
/// Queries in one write.
const WRITE: u64 = 128;
/// Queries that are sent again as copies.
const COPIES: usize = 10_000;
/// A query as it is sent.
const QUERY: usize = 40;
/// What has not come after this long will not.
const PATIENCE: Duration = Duration::from_secs(2);
/// Nobody shall think that we are gone.
const PING_EVERY: Duration = Duration::from_secs(5);
/// The kernel counts CPU time for `/proc` in hundredths of a second.
const TICKS: f64 = 100.0;

#[derive(Clone, Copy, PartialEq)]
enum Load {
    Distinct,
    /// The same, as fast as they are taken.
    Flood,
    /// One by one, so many a second.
    Paced(u64),
    Again,
    Copies,
}

struct Row {
    load: Load,
    fan_out: usize,
    deflated: bool,
    queries: u64,
}

/// A servent that is measured.
struct Peer {
    name: String,
    addr: SocketAddr,
    pid: u32,
}

/// What one run took.
struct Run {
    sent: u64,
    arrived: u64,
    cpu: f64,
    wall: f64,
}

struct Options {
    peers: Vec<Peer>,
    from: Ipv4Addr,
    runs: usize,
    scale: u64,
    rss: u64,
    only: String,
}

fn main() {
    let options = options();
    if options.peers.is_empty() {
        return try_out();
    }
    match options.rss {
        0 => route(&options),
        queries => grow(&options, queries),
    }
}

fn options() -> Options {
    let mut options = Options {
        peers: Vec::new(),
        from: Ipv4Addr::new(127, 9, 0, 1),
        runs: 5,
        scale: 1,
        rss: 0,
        only: String::new(),
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().expect("an option has a value");
        match arg.as_str() {
            "--bench" => {}
            "--from" => options.from = value().parse().expect("an IPv4 address"),
            "--runs" => options.runs = value().parse().expect("a number"),
            "--scale" => options.scale = value().parse().expect("a number"),
            "--only" => options.only = value(),
            "--rss" => options.rss = value().parse().expect("a number"),
            peer => {
                let parts: Vec<_> = peer.split('=').collect();
                let [name, addr, pid] = parts[..] else { panic!("{peer} is not NAME=ADDRESS=PID") };
                let (addr, pid) = (addr.parse().expect("an address"), pid.parse().expect("a process"));
                options.peers.push(Peer { name: name.to_owned(), addr, pid });
            }
        }
    }
    options
}

/// The table: each load for each servent, in turns.
fn route(options: &Options) {
    let row = |load, fan_out, deflated, queries| Row { load, fan_out, deflated, queries: queries / options.scale };
    let rows = [
        row(Load::Distinct, 1, false, 300_000),
        row(Load::Distinct, 8, false, 200_000),
        row(Load::Distinct, 1, true, 200_000),
        row(Load::Paced(2000), 1, false, 20_000),
        row(Load::Again, 1, false, 3_000_000),
        row(Load::Copies, 1, false, 3_000_000),
    ];
    println!(
        "| load, fan-out | servent | us of CPU a query | least .. most | queries a CPU second | arrived | queries a second |"
    );
    println!("|---|---|---|---|---|---|---|");
    for (n, row) in rows.iter().enumerate().filter(|(_, row)| row.name().contains(&options.only)) {
        // Addresses that were not used before: nobody is held against whom it was a moment ago.
        let from = |peer: usize| u32::from(options.from) + (10 * (n * options.peers.len() + peer)) as u32;
        let mut rigs: Vec<_> =
            options.peers.iter().enumerate().map(|(at, peer)| Rig::new(peer, row, from(at).into())).collect();
        let mut results: Vec<Vec<Run>> = options.peers.iter().map(|_| Vec::new()).collect();
        for _ in 0..options.runs {
            for (at, peer) in options.peers.iter().enumerate() {
                // Who waits for its turn is not to be lost.
                rigs.iter_mut().for_each(Rig::ping);
                results[at].push(rigs[at].run(peer, row.load, row.queries));
            }
        }
        for (peer, runs) in options.peers.iter().zip(&results) {
            let (least, each, most) = spread(runs.iter().map(|run| run.cpu * 1e6 / run.sent as f64));
            let (_, wall, _) = spread(runs.iter().map(|run| run.sent as f64 / run.wall));
            let arrived = runs.iter().map(|run| run.arrived).sum::<u64>() as f64
                / (runs.iter().map(|run| run.sent).sum::<u64>() as f64 * row.fan_out as f64);
            let arrived =
                if row.is_of_copies() { "none, as it should".to_owned() } else { format!("{:.2} %", 100.0 * arrived) };
            let (name, load) = (&peer.name, row.name());
            println!(
                "| {load} | {name} | {each:.3} | {least:.3} .. {most:.3} | {:.0} | {arrived} | {wall:.0} |",
                1e6 / each
            );
        }
        if let [first, others @ ..] = &results[..] {
            for (peer, runs) in options.peers[1..].iter().zip(others) {
                let pairs = first.iter().zip(runs);
                let (least, ratio, most) = spread(pairs.map(|(ours, theirs)| theirs.each() / ours.each()));
                println!(
                    "| | {} : {} | **{ratio:.1}** | {least:.1} .. {most:.1} | | | |",
                    peer.name, options.peers[0].name
                );
            }
        }
    }
}

/// How each process grows with queries that never came before.
fn grow(options: &Options, queries: u64) {
    const STEPS: u64 = 5;
    println!(
        "| servent | before | {} |",
        (1..=STEPS).map(|n| format!("{} queries", n * queries / STEPS)).collect::<Vec<_>>().join(" | ")
    );
    println!("|---|{}", "---|".repeat(STEPS as usize + 1));
    for (at, peer) in options.peers.iter().enumerate() {
        let row = Row { load: Load::Flood, fan_out: 1, deflated: false, queries };
        let mut rig = Rig::new(peer, &row, (u32::from(options.from) + 200 + 4 * at as u32).into());
        let mut line = format!("| {} | {} |", peer.name, peer.memory());
        for _ in 0..STEPS {
            rig.run(peer, row.load, queries / STEPS);
            line += &format!(" {} |", peer.memory());
        }
        println!("{line}");
    }
}

/// A short run on loopback.
fn try_out() {
    let home = tempfile::tempdir().expect("a directory");
    let mut command = Command::new(env!("CARGO_BIN_EXE_filbert"));
    command.arg("--home").arg(home.path()).args(["--json", "up", "--only-listed", "--no-lan", "--role", "ultrapeer"]);
    command.args(["--listen", "127.0.0.1:0", "--api", "127.0.0.1:0"]);
    let child = command.env("FILBERT_LIMITS_QUERIES", "off").stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut child = Started(child.expect("filbert starts"));
    let mut ready = String::new();
    BufReader::new(child.0.stdout.take().expect("a pipe")).read_line(&mut ready).expect("a line");
    let listen = ready.split("\"listen\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("an address");
    let peer = Peer { name: "filbert".to_owned(), addr: listen.parse().expect("an address"), pid: child.0.id() };
    let loads = [Load::Distinct, Load::Paced(2000), Load::Again, Load::Copies];
    for (n, load) in loads.into_iter().enumerate() {
        for deflated in [false, true] {
            let row = Row { load, fan_out: 2, deflated, queries: 1000 };
            let from = Ipv4Addr::new(127, 9, 1 + n as u8, if deflated { 100 } else { 1 });
            let run = Rig::new(&peer, &row, from).run(&peer, load, row.queries);
            let expected = if row.is_of_copies() { 0 } else { 2 * row.queries };
            assert_eq!((run.sent, run.arrived), (row.queries, expected), "{}", row.name());
        }
    }
    println!("works; scripts/bench-route measures");
}

struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Row {
    fn is_of_copies(&self) -> bool {
        matches!(self.load, Load::Again | Load::Copies)
    }

    fn name(&self) -> String {
        let load = match self.load {
            Load::Distinct => "distinct".to_owned(),
            Load::Flood => "a flood".to_owned(),
            Load::Paced(rate) => format!("distinct, {rate} a second"),
            Load::Again => "the same again".to_owned(),
            Load::Copies => "copies".to_owned(),
        };
        format!("{load}, {}{}", self.fan_out, if self.deflated { ", deflated" } else { "" })
    }
}

impl Run {
    fn each(&self) -> f64 {
        self.cpu / self.sent as f64
    }
}

fn spread(values: impl Iterator<Item = f64>) -> (f64, f64, f64) {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    (values[0], values[values.len() / 2], values[values.len() - 1])
}

impl Peer {
    /// CPU seconds so far.
    fn cpu(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).expect("the servent runs");
        // The name of the program stands in brackets before the numbers.
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).expect("a number");
        (ticks(11) + ticks(12)) / TICKS
    }

    /// Resident memory, and how much of that is its own.
    fn memory(&self) -> String {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).expect("the servent runs");
        let kib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a Linux system");
            line.split_whitespace().next().and_then(|kib| kib.parse::<f64>().ok()).expect("a number")
        };
        format!("{:.1} MiB ({:.1})", kib("VmRSS:") / 1024.0, kib("RssAnon:") / 1024.0)
    }
}

/// Our ends of the links of one servent: the first sends, the others are the sinks.
struct Rig {
    links: Vec<Link>,
    rng: Rng,
    latest: Vec<[u8; QUERY]>,
}

impl Rig {
    fn new(peer: &Peer, row: &Row, from: Ipv4Addr) -> Self {
        let at = |n: usize| Ipv4Addr::from(u32::from(from) + n as u32);
        let links = (0..=row.fan_out).map(|n| Link::dial(peer, at(n), row.deflated)).collect();
        let seed = u64::from(std::process::id()) << 32 | u64::from(u32::from(from));
        Self { links, rng: Rng::from_number(seed), latest: Vec::new() }
    }

    fn ping(&mut self) {
        self.links.iter_mut().for_each(Link::ping);
    }

    /// Sends, and waits until all has arrived that will.
    fn run(&mut self, peer: &Peer, load: Load, queries: u64) -> Run {
        // What is sent again has to come by a first time.
        match load {
            Load::Again => drop(self.pass(Load::Distinct, 1)),
            Load::Copies => drop(self.pass(Load::Distinct, COPIES as u64)),
            Load::Distinct | Load::Flood | Load::Paced(_) => {}
        }
        let (cpu, began) = (peer.cpu(), Instant::now());
        let arrived = self.pass(load, queries);
        Run { sent: queries, arrived, wall: began.elapsed().as_secs_f64(), cpu: peer.cpu() - cpu }
    }

    /// Sends so many queries. How many arrived at all sinks together.
    fn pass(&mut self, load: Load, queries: u64) -> u64 {
        let sinks = self.links.len() as u64 - 1;
        let (arrived, over) = (AtomicU64::new(0), AtomicBool::new(false));
        let copies = matches!(load, Load::Again | Load::Copies);
        // Behind copies one goes that is new: where it arrives, they have been seen to.
        let (mut rng, latest) = (self.rng.fork(), std::mem::take(&mut self.latest));
        let sender = if load == Load::Copies { 1 } else { 0 };
        let mut out = self.links[sender].sender();
        let (mut counts, mut kept) = (vec![0; self.links.len()], Vec::new());
        std::thread::scope(|scope| {
            let (arrived, over) = (&arrived, &over);
            let sending = scope.spawn(move || {
                let latest = send(&mut out, load, queries, &mut rng, latest, arrived);
                over.store(true, SeqCst);
                (out, latest)
            });
            let mut moved = Instant::now();
            loop {
                let mut came = 0;
                for (link, count) in self.links.iter_mut().zip(&mut counts) {
                    let some = link.read();
                    *count += some;
                    came += some;
                }
                // Only sinks that are no sender get everything.
                let slowest = counts.iter().skip(1 + sender).min().copied().unwrap_or(0);
                arrived.store(slowest, SeqCst);
                if came > 0 || !over.load(SeqCst) {
                    moved = Instant::now();
                }
                let complete = match copies {
                    true => counts.iter().sum::<u64>() >= sinks,
                    false => counts[1..].iter().sum::<u64>() >= queries * sinks,
                };
                if over.load(SeqCst) && (complete || moved.elapsed() > PATIENCE) {
                    break;
                }
                if came == 0 {
                    std::thread::sleep(Duration::from_micros(100));
                }
            }
            let (out, latest) = sending.join().expect("the sender ends");
            kept = latest;
            self.links[sender].give_back(out);
        });
        self.latest = kept;
        let all = counts.iter().sum::<u64>();
        if copies { all.saturating_sub(sinks) } else { all }
    }
}

/// Writes the queries; gives back the latest.
fn send(
    out: &mut Sender,
    load: Load,
    queries: u64,
    rng: &mut Rng,
    mut latest: Vec<[u8; QUERY]>,
    arrived: &AtomicU64,
) -> Vec<[u8; QUERY]> {
    let (mut sent, mut lost) = (0, 0);
    let (began, mut moved, mut seen) = (Instant::now(), Instant::now(), 0);
    let mut buffer = Vec::with_capacity(WRITE as usize * QUERY);
    while sent < queries {
        buffer.clear();
        let some = match load {
            Load::Paced(rate) => {
                let due = began + Duration::from_micros(sent * 1_000_000 / rate);
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                1
            }
            _ => WRITE.min(queries - sent),
        };
        if let Load::Distinct | Load::Paced(_) = load {
            let now = arrived.load(SeqCst);
            if now != seen {
                (seen, moved) = (now, Instant::now());
            }
            if sent + some > now + lost + WINDOW {
                if moved.elapsed() > Duration::from_millis(500) {
                    // They were dropped on the way.
                    lost = sent - now;
                }
                std::thread::sleep(Duration::from_micros(50));
                continue;
            }
        }
        for n in 0..some {
            let query = match load {
                Load::Again | Load::Copies => latest[(sent + n) as usize % latest.len()],
                Load::Distinct | Load::Flood | Load::Paced(_) => query(rng),
            };
            if let Load::Distinct = load {
                match (sent + n) as usize {
                    0 => latest = vec![query],
                    at if at >= COPIES => latest[at % COPIES] = query,
                    _ => latest.push(query),
                }
            }
            buffer.extend_from_slice(&query);
        }
        out.write(&buffer);
        sent += some;
    }
    if let Load::Again | Load::Copies = load {
        out.write(&query(rng));
    }
    latest
}

/// A query that never came before.
fn query(rng: &mut Rng) -> [u8; QUERY] {
    let mut letters = [0; 14];
    rng.fill(&mut letters);
    let mut words = letters.map(|byte| b'a' + byte % 26);
    words[6] = b' ';
    let mut query = [0; QUERY];
    query[..16].copy_from_slice(&Guid::random(rng).0);
    query[16..19].copy_from_slice(&[0x80, 4, 0]);
    query[19] = (QUERY - HEADER_LEN) as u8;
    // The flags of our own queries; behind the words their NUL.
    query[HEADER_LEN..][..2].copy_from_slice(&[0x88, 0]);
    query[HEADER_LEN + 2..][..14].copy_from_slice(&words);
    query
}

/// One of our links.
struct Link {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// What came and is no whole message yet.
    rest: Vec<u8>,
    inflate: Option<Decompress>,
    deflate: Option<Compress>,
    pinged: Instant,
    ping: Vec<u8>,
    /// Another thread writes to it.
    lent: bool,
}

/// What writes to a link.
struct Sender {
    stream: TcpStream,
    deflate: Option<Compress>,
}

impl Link {
    /// Dials and shakes hands, both ways compressed or both plain. A servent that starts is waited for.
    fn dial(peer: &Peer, from: Ipv4Addr, deflated: bool) -> Self {
        let fd = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
        bind(&fd, &SocketAddr::from((from, 0))).expect("an address of ours");
        connect(&fd, &peer.addr).unwrap_or_else(|error| panic!("{} is not there: {error}", peer.name));
        let mut stream = TcpStream::from(fd);
        stream.set_nodelay(true).expect("a socket");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
        let (offer, taken) = match deflated {
            true => ("Accept-Encoding: deflate\r\n", "Content-Encoding: deflate\r\n"),
            false => ("", ""),
        };
        let hello = format!("GNUTELLA CONNECT/0.6\r\nUser-Agent: bench/1\r\nX-Ultrapeer: True\r\n{offer}\r\n");
        stream.write_all(hello.as_bytes()).expect("written");
        let mut answer = Vec::new();
        let mut byte = [0];
        while !answer.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).expect("the servent answers");
            answer.extend_from_slice(&byte);
        }
        let answer = String::from_utf8_lossy(&answer).to_ascii_lowercase();
        assert!(answer.starts_with("gnutella/0.6 200"), "{} says {answer}", peer.name);
        let compresses = answer.contains("content-encoding: deflate");
        assert_eq!(compresses, deflated, "{} says {answer}", peer.name);
        stream.write_all(format!("GNUTELLA/0.6 200 OK\r\n{taken}\r\n").as_bytes()).expect("written");
        stream.set_nonblocking(true).expect("a socket");
        let mut ping = BytesMut::new();
        Frame::new(Guid([7; 16]), Kind::Ping, 1, Vec::new().into()).encode(&mut ping);
        let mut link = Self {
            stream,
            buffer: vec![0; 128 * 1024],
            rest: Vec::new(),
            inflate: deflated.then(|| Decompress::new(true)),
            deflate: deflated.then(|| Compress::new(Compression::fast(), true)),
            pinged: Instant::now(),
            ping: ping.to_vec(),
            lent: false,
        };
        link.ping();
        // Its first words: tables, lists.
        std::thread::sleep(Duration::from_millis(300));
        link.read();
        link
    }

    fn sender(&mut self) -> Sender {
        self.lent = true;
        Sender { stream: self.stream.try_clone().expect("a socket"), deflate: self.deflate.take() }
    }

    fn ping(&mut self) {
        self.pinged = Instant::now();
        let mut sender = self.sender();
        sender.write(&self.ping);
        self.give_back(sender);
    }

    fn give_back(&mut self, sender: Sender) {
        self.deflate = sender.deflate;
        self.lent = false;
    }

    /// Reads what is there. How many queries are in it.
    fn read(&mut self) -> u64 {
        if self.pinged.elapsed() > PING_EVERY && !self.lent {
            self.ping();
        }
        match self.stream.read(&mut self.buffer) {
            Ok(0) => panic!("the servent closed a link"),
            Ok(n) => match &mut self.inflate {
                None => self.rest.extend_from_slice(&self.buffer[..n]),
                Some(inflate) => {
                    let mut input = &self.buffer[..n];
                    loop {
                        self.rest.reserve(64 * 1024);
                        let before = inflate.total_in();
                        let status = inflate.decompress_vec(input, &mut self.rest, FlushDecompress::Sync);
                        assert_eq!(status.expect("a deflated stream"), Status::Ok);
                        input = &input[(inflate.total_in() - before) as usize..];
                        if input.is_empty() && self.rest.len() < self.rest.capacity() {
                            break;
                        }
                    }
                }
            },
            Err(error) if error.kind() == ErrorKind::WouldBlock => return 0,
            Err(error) => panic!("a link cannot be read: {error}"),
        }
        let (mut at, mut queries) = (0, 0);
        while let Some(header) = self.rest.get(at..at + HEADER_LEN) {
            let length = u32::from_le_bytes([header[19], header[20], header[21], header[22]]) as usize;
            assert!(length <= 65_536, "out of step: {header:?}");
            if self.rest.len() < at + HEADER_LEN + length {
                break;
            }
            match header[16] {
                0x80 => queries += 1,
                0x02 => panic!("the servent says bye: {}", String::from_utf8_lossy(&self.rest[at + HEADER_LEN..])),
                _ => {}
            }
            at += HEADER_LEN + length;
        }
        self.rest.drain(..at);
        queries
    }
}

impl Sender {
    fn write(&mut self, bytes: &[u8]) {
        let mut packed = Vec::new();
        let mut bytes = match &mut self.deflate {
            None => bytes,
            Some(deflate) => {
                packed.reserve(2 * bytes.len() + 256);
                deflate.compress_vec(bytes, &mut packed, FlushCompress::Sync).expect("compressed");
                &packed[..]
            }
        };
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(n) => bytes = &bytes[n..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(Duration::from_micros(50)),
                Err(error) => panic!("a link cannot be written: {error}"),
            }
        }
    }
}
