//! A flood over loopback sockets, beside a message broker: one sender, thirty sinks.
//!
//! The servent is the program itself, started as a process of its own: nothing shared, its rate limits off. Its thirty-one
//! neighbours are in this process: they shake hands and then one of them sends queries with GUIDs that never
//! came before, 80 bytes each with their headers, and the servent floods each to the thirty others. `nats-server` gets
//! the same: one publisher, thirty subscribers of the subject, 80 bytes of payload. Runs take turns. What is
//! measured is the server's CPU time (user and system, from `/proc`) for what arrived at the sinks, all of it; the sender
//! keeps at most [`WINDOW`] messages ahead of the slowest sink, so that neither side has to drop any.
//!
//! `cargo bench --bench sockets` runs it (`scripts/bench-sockets` looks for the broker first). Linux only.

#![allow(clippy::disallowed_methods)] // the loads have threads of their own, which end with the process

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use filbert::wire::query::Query;
use filbert::wire::{Frame, Guid, HEADER_LEN, Kind};

const SINKS: usize = 30;
const MESSAGE: usize = 80;
/// Messages that the sender is ahead of the slowest sink at most, when it begins to write more: far less than the
/// servent lets wait for a neighbour (384 KiB) before it drops the oldest query.
const WINDOW: u64 = 2048;
/// Messages in one write of the sender.
const WRITE: u64 = 512;
/// The kernel counts CPU time for `/proc` in hundredths of a second.
const TICKS: f64 = 100.0;
/// A run that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, PartialEq)]
enum Contender {
    Filbert,
    Nats { threads: Option<u32> },
}

/// A server that runs; it ends with this.
struct Server {
    child: Child,
    addr: SocketAddr,
    _home: tempfile::TempDir,
}

/// What one run took.
struct Run {
    deliveries: u64,
    user: f64,
    system: f64,
    wall: f64,
}

fn main() {
    // `cargo bench` says --bench. Without it (`cargo test --benches`) a short run shows that the program still works.
    let measure = std::env::args().any(|arg| arg == "--bench");
    let (runs, messages) = if measure { (5, 600_000) } else { (1, 2_000) };
    let mut contenders = vec![Contender::Filbert];
    match version_of_nats() {
        Some(version) if measure => {
            println!("Beside filbert {}: {version}.", env!("CARGO_PKG_VERSION"));
            contenders.extend([Contender::Nats { threads: None }, Contender::Nats { threads: Some(1) }]);
        }
        Some(_) => {}
        None => println!("No nats-server here (Debian package nats-server): filbert alone."),
    }
    println!(
        "One sender, {SINKS} sinks, {MESSAGE}-byte messages, {messages} in a run, {runs} runs by turns; medians.\n"
    );

    let mut results: Vec<Vec<Run>> = contenders.iter().map(|_| Vec::new()).collect();
    for _ in 0..runs {
        for (contender, results) in contenders.iter().zip(&mut results) {
            results.push(run(*contender, messages));
        }
    }
    if !measure {
        return println!("works; `cargo bench --bench sockets` measures");
    }
    println!("| server | deliveries per CPU second | least .. most | user / system CPU | deliveries per second |");
    println!("|---|---|---|---|---|");
    for (contender, runs) in contenders.iter().zip(&results) {
        let (least, rate, most) = spread(runs, |run| run.deliveries as f64 / (run.user + run.system));
        let (_, wall, _) = spread(runs, |run| run.deliveries as f64 / run.wall);
        let (_, user, _) = spread(runs, |run| run.user);
        let (_, system, _) = spread(runs, |run| run.system);
        println!(
            "| {} | {rate:.0} | {least:.0} .. {most:.0} | {user:.2} s / {system:.2} s | {wall:.0} |",
            contender.name()
        );
    }
}

fn spread(runs: &[Run], of: impl Fn(&Run) -> f64) -> (f64, f64, f64) {
    let mut values: Vec<f64> = runs.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    (values[0], values[values.len() / 2], values[values.len() - 1])
}

fn version_of_nats() -> Option<String> {
    let out = Command::new("nats-server").arg("--version").output().ok()?;
    Some(String::from_utf8_lossy(&out.stdout).trim().to_owned())
}

/// One server from start to end: it warms up, then `messages` are sent and counted as they arrive.
fn run(contender: Contender, messages: u64) -> Run {
    let server = contender.start();
    let mut sinks: Vec<Sink> = (0..SINKS).map(|_| Sink(contender.sink(server.addr))).collect();
    let sender = contender.sender(server.addr);
    let base = std::process::id().to_le_bytes();
    let warm = messages / 10;
    deliver(contender, &mut sinks, &sender, base, 0..warm);
    let (user, system) = server.cpu();
    let began = Instant::now();
    deliver(contender, &mut sinks, &sender, base, warm..warm + messages);
    let wall = began.elapsed().as_secs_f64();
    let after = server.cpu();
    Run { deliveries: messages * SINKS as u64, user: after.0 - user, system: after.1 - system, wall }
}

/// Sends messages of these numbers and waits until every sink has them all.
fn deliver(contender: Contender, sinks: &mut [Sink], sender: &TcpStream, base: [u8; 4], numbers: std::ops::Range<u64>) {
    let all = numbers.end - numbers.start;
    let length = contender.delivered().len() as u64;
    let arrived = Arc::new(AtomicU64::new(0));
    let over = Arc::new(AtomicBool::new(false));
    let sending = {
        let (arrived, over) = (Arc::clone(&arrived), Arc::clone(&over));
        let mut sender = sender.try_clone().expect("a socket");
        std::thread::spawn(move || {
            let one = contender.sent();
            let mut buffer = one.repeat(WRITE as usize);
            let mut sent = 0;
            while sent < all && !over.load(SeqCst) {
                if sent >= arrived.load(SeqCst) + WINDOW {
                    std::thread::sleep(Duration::from_micros(50));
                    continue;
                }
                let some = WRITE.min(all - sent);
                for n in 0..some {
                    // A GUID that never came before; to the broker it is payload.
                    let guid = &mut buffer[n as usize * one.len() + contender.guid_at()..][..12];
                    guid[..4].copy_from_slice(&base);
                    guid[4..].copy_from_slice(&(numbers.start + sent + n).to_le_bytes());
                }
                sender.write_all(&buffer[..some as usize * one.len()]).expect("the server reads");
                sent += some;
            }
        })
    };
    let began = Instant::now();
    let mut bytes = [0; SINKS];
    let mut buffer = vec![0; 256 * 1024];
    while bytes.iter().any(|&bytes| bytes < all * length) {
        assert!(began.elapsed() < PATIENCE, "{}: only {bytes:?} of {} bytes each came", contender.name(), all * length);
        let before: u64 = bytes.iter().sum();
        for (sink, bytes) in sinks.iter_mut().zip(&mut bytes) {
            *bytes += sink.read(&mut buffer);
        }
        arrived.store(bytes.iter().min().copied().unwrap_or(0) / length, SeqCst);
        if bytes.iter().sum::<u64>() == before {
            std::thread::sleep(Duration::from_micros(100));
        }
    }
    over.store(true, SeqCst);
    sending.join().expect("the sender ends");
    // A keep-alive of the servent may be among them.
    let most = all * length + 4 * (HEADER_LEN + 14) as u64;
    assert!(bytes.iter().all(|&bytes| bytes <= most), "more came than was sent: {bytes:?}");
}

/// Reads and counts.
struct Sink(TcpStream);

impl Sink {
    /// What is there now, in bytes.
    fn read(&mut self, buffer: &mut [u8]) -> u64 {
        match self.0.read(buffer) {
            Ok(0) => panic!("the server closed a sink"),
            Ok(n) => n as u64,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => panic!("a sink cannot read: {error}"),
        }
    }
}

impl Contender {
    fn name(self) -> String {
        match self {
            Self::Filbert => "filbert".to_owned(),
            Self::Nats { threads: None } => "nats-server".to_owned(),
            Self::Nats { threads: Some(n) } => format!("nats-server, GOMAXPROCS={n}"),
        }
    }

    fn start(self) -> Server {
        let home = tempfile::tempdir().expect("a directory");
        let (mut command, mut addr) = match self {
            Self::Filbert => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_filbert"));
                command.arg("--home").arg(home.path()).args(["--json", "up", "--only-listed", "--no-lan"]);
                command.args(["--listen", "127.0.0.1:0", "--api", "127.0.0.1:0"]);
                command.env("FILBERT_LIMITS_QUERIES", "off").env("FILBERT_LIMITS_PEERS", "64");
                (command, None)
            }
            Self::Nats { threads } => {
                let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
                let free = free.expect("a free port");
                let mut command = Command::new("nats-server");
                command.args(["-a", "127.0.0.1", "-p", &free.port().to_string()]);
                if let Some(threads) = threads {
                    command.env("GOMAXPROCS", threads.to_string());
                }
                (command, Some(free))
            }
        };
        let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{} does not start: {error}", self.name()));
        let out = child.stdout.take().expect("a pipe");
        if addr.is_none() {
            let mut ready = String::new();
            BufReader::new(out).read_line(&mut ready).expect("a line");
            let listen = ready.split("\"listen\":\"").nth(1).and_then(|rest| rest.split('"').next());
            addr = listen.and_then(|listen| listen.parse().ok());
        }
        Server { child, addr: addr.expect("an address"), _home: home }
    }

    fn sink(self, addr: SocketAddr) -> TcpStream {
        let mut stream = self.connect(addr);
        match self {
            // The servent pings whom it is linked to, once the link is up.
            Self::Filbert => stream.read_exact(&mut [0; HEADER_LEN]).expect("a ping"),
            Self::Nats { .. } => {
                stream.write_all(b"SUB s 1\r\nPING\r\n").expect("written");
                read_until(&mut stream, b"PONG\r\n");
            }
        }
        stream.set_nonblocking(true).expect("a socket");
        stream
    }

    fn sender(self, addr: SocketAddr) -> TcpStream {
        self.connect(addr)
    }

    fn connect(self, addr: SocketAddr) -> TcpStream {
        let began = Instant::now();
        let mut stream = loop {
            match TcpStream::connect(addr) {
                Ok(stream) => break stream,
                Err(error) => assert!(began.elapsed() < Duration::from_secs(5), "{}: {error}", self.name()),
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        stream.set_nodelay(true).expect("a socket");
        match self {
            Self::Filbert => {
                let offer = b"GNUTELLA CONNECT/0.6\r\nUser-Agent: bench/1\r\nX-Ultrapeer: True\r\n\r\n";
                stream.write_all(offer).expect("written");
                let answer = read_until(&mut stream, b"\r\n\r\n");
                assert!(answer.starts_with(b"GNUTELLA/0.6 200"), "{}", String::from_utf8_lossy(&answer));
                stream.write_all(b"GNUTELLA/0.6 200 OK\r\n\r\n").expect("written");
            }
            Self::Nats { .. } => {
                read_until(&mut stream, b"\r\n");
                stream.write_all(b"CONNECT {\"verbose\":false,\"pedantic\":false}\r\nPING\r\n").expect("written");
                read_until(&mut stream, b"PONG\r\n");
            }
        }
        stream
    }

    /// One message as it is sent.
    fn sent(self) -> Vec<u8> {
        match self {
            Self::Filbert => query(4, 0),
            Self::Nats { .. } => [b"PUB s 80\r\n", &[b'x'; MESSAGE][..], b"\r\n"].concat(),
        }
    }

    /// One message as it arrives.
    fn delivered(self) -> Vec<u8> {
        match self {
            Self::Filbert => query(3, 1),
            Self::Nats { .. } => [b"MSG s 1 80\r\n", &[b'x'; MESSAGE][..], b"\r\n"].concat(),
        }
    }

    /// Where its GUID, or what stands for one, is in a message as it is sent.
    fn guid_at(self) -> usize {
        match self {
            Self::Filbert => 0,
            Self::Nats { .. } => b"PUB s 80\r\n".len(),
        }
    }
}

/// A query of [`MESSAGE`] bytes.
fn query(ttl: u8, hops: u8) -> Vec<u8> {
    let text = "coltrane blue train live at the village vanguard!";
    let mut frame = Frame::new(Guid([0; 16]), Kind::Query, ttl, Query::new(text, &[]).encode());
    frame.header.hops = hops;
    let mut bytes = BytesMut::new();
    frame.encode(&mut bytes);
    assert_eq!(bytes.len(), MESSAGE);
    bytes.to_vec()
}

fn read_until(stream: &mut TcpStream, end: &[u8]) -> Vec<u8> {
    let mut read = Vec::new();
    let mut byte = [0];
    while !read.ends_with(end) {
        stream.read_exact(&mut byte).expect("the server answers");
        read.extend_from_slice(&byte);
    }
    read
}

impl Server {
    /// User and system CPU seconds so far.
    fn cpu(&self) -> (f64, f64) {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("a Linux system");
        // The name of the program stands in brackets before the numbers.
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).expect("a number");
        (ticks(11) / TICKS, ticks(12) / TICKS)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
