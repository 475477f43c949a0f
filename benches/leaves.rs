//! What an idle link costs an ultrapeer: memory, CPU and bytes, with a thousand links from this one process.
//!
//! The servent is the program itself, started as a process of its own. The links are dialled from addresses 127.1.x.y, shake
//! hands, say what their kind says at first, answer pings, and are silent otherwise. Memory is what the kernel calls private and
//! dirty (`/proc/PID/smaps_rollup`), after the links less before them: the servent's own, on both floors, sockets and proto
//! together; the kernel's buffers are not in it.
//!
//! `cargo bench --bench leaves` runs it; `-- --links N --seconds S --only WORD` changes it. Linux only.

#![allow(clippy::disallowed_methods)] // the load is a process of its own, with one thread

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use filbert::wire::deflated::{Deflater, Inflater};
use filbert::wire::stream::{FrameReader, PAYLOAD_LIMIT};
use filbert::wire::{Frame, Guid, Kind};
use flate2::{Compress, Compression, FlushCompress};
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

/// The kernel counts CPU time for `/proc` in hundredths of a second.
const TICKS: f64 = 100.0;
/// How often the load looks for pings.
const LOOK: Duration = Duration::from_millis(200);
/// Words in a leaf's table, of 64 Ki slots.
const WORDS: u16 = 100;

/// What the links of one run are.
#[derive(Clone, Copy)]
struct Plan {
    name: &'static str,
    leaf: bool,
    table: bool,
    /// What they send is deflated; what they are sent.
    deflated: (bool, bool),
    /// Each is sent a burst of queries first.
    busy_before: bool,
}

const PLANS: [Plan; 6] = [
    Plan { name: "ultrapeers, plain", leaf: false, table: false, deflated: (false, false), busy_before: false },
    Plan { name: "leaves, plain", leaf: true, table: false, deflated: (false, false), busy_before: false },
    Plan { name: "leaves, plain, with a table", leaf: true, table: true, deflated: (false, false), busy_before: false },
    Plan { name: "ultrapeers, we deflate", leaf: false, table: false, deflated: (false, true), busy_before: true },
    Plan { name: "leaves, they deflate", leaf: true, table: false, deflated: (true, false), busy_before: false },
    Plan {
        name: "leaves, both deflate, with a table",
        leaf: true,
        table: true,
        deflated: (true, true),
        busy_before: false,
    },
];

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let option = |name: &str| args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1)).cloned();
    let number = |name: &str, usual: u64| option(name).and_then(|text| text.parse().ok()).unwrap_or(usual);
    // `cargo bench` says --bench. Without it (`cargo test --benches`) a short run shows that the program still works.
    let measure = args.iter().any(|arg| arg == "--bench");
    let links = number("--links", if measure { 1000 } else { 5 }) as usize;
    let seconds = number("--seconds", if measure { 30 } else { 1 });
    let only = option("--only").unwrap_or_default();
    println!(
        "| {links} idle links | bytes a link | CPU over {seconds} s | bytes a second and link, in / out | a query reaches |"
    );
    println!("|---|---|---|---|---|");
    let short = |plan: &&Plan| measure || plan.name == "leaves, plain, with a table";
    for plan in PLANS.iter().filter(|plan| plan.name.contains(&only)).filter(short) {
        run(plan, links, Duration::from_secs(seconds));
    }
}

fn run(plan: &Plan, count: usize, idle: Duration) {
    let server = Server::start(count, plan.deflated.1);
    // What the first links cause to be made belongs to no link.
    let mut links: Vec<Link> = (0..8).map(|n| Link::dial(server.addr, n, plan)).collect();
    settle(&mut links, Duration::from_secs(2));
    let before = server.memory();
    for n in 0..count {
        links.push(Link::dial(server.addr, 8 + n, plan));
        if n % 50 == 49 {
            links.iter_mut().for_each(Link::look);
        }
    }
    settle(&mut links, Duration::from_secs(2));
    if plan.busy_before {
        // One tells queries enough that each link gets a compressor, or would.
        let (head, others) = links.split_at_mut(1);
        for n in 0..100 {
            head[0].send(&query(n, "coltrane blue train live at the village vanguard"));
            if n % 10 == 9 {
                others.iter_mut().for_each(Link::look);
            }
        }
        settle(&mut links, Duration::from_secs(12));
    }
    let (cpu, bytes) = (server.cpu(), totals(&links));
    settle(&mut links, idle);
    let (in_out, after) = (totals(&links), server.memory());
    let reached = if plan.table { reached(&mut links) } else { String::new() };
    let a_second = |bytes: u64| bytes as f64 / idle.as_secs_f64() / links.len() as f64;
    println!(
        "| {} | {:.0} | {:.2} % of a core | {:.1} / {:.1} | {reached} |",
        plan.name,
        (after as f64 - before as f64) / count as f64,
        100.0 * (server.cpu() - cpu) / idle.as_secs_f64(),
        a_second(in_out.0 - bytes.0),
        a_second(in_out.1 - bytes.1),
    );
}

/// One leaf asks for what another has alone: how many the question comes to, of whom only those are to hear it whose tables
/// have both words.
fn reached(links: &mut [Link]) -> String {
    let wanted = own_words(links.len() / 2);
    let has = |n: &usize| wanted.iter().all(|word| slots_of(*n).contains(&slot(word)));
    let should: Vec<usize> = (1..links.len()).filter(has).collect();
    links.iter_mut().for_each(|link| link.queries = 0);
    links[0].send(&query(1_000_000, &wanted.join(" ")));
    settle(links, Duration::from_secs(3));
    let heard: Vec<usize> = (1..links.len()).filter(|n| links[*n].queries > 0).collect();
    assert_eq!(heard, should, "the leaves that it came to, and those whose tables match");
    format!("{} of {} leaves", heard.len(), links.len())
}

/// Bytes that the servent got and sent on all links.
fn totals(links: &[Link]) -> (u64, u64) {
    links.iter().fold((0, 0), |(got, sent), link| (got + link.sent, sent + link.got))
}

/// Answers pings for a while.
fn settle(links: &mut [Link], time: Duration) {
    let began = Instant::now();
    while began.elapsed() < time {
        links.iter_mut().for_each(Link::look);
        std::thread::sleep(LOOK.min(time));
    }
}

fn query(n: u32, words: &str) -> Vec<u8> {
    let mut guid = [7; 16];
    guid[..4].copy_from_slice(&n.to_le_bytes());
    let text = format!("{words}\0");
    encoded(&Frame::new(Guid(guid), Kind::Query, 3, [&b"\x88\0"[..], text.as_bytes()].concat().into()))
}

fn encoded(frame: &Frame) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    frame.encode(&mut bytes);
    bytes.to_vec()
}

/// One link of the load.
struct Link {
    stream: TcpStream,
    frames: FrameReader,
    inflater: Option<Inflater>,
    deflater: Option<Deflater>,
    sent: u64,
    got: u64,
    /// Queries that came.
    queries: usize,
}

impl Link {
    fn dial(to: SocketAddr, n: usize, plan: &Plan) -> Self {
        let mut stream = dial_from(Ipv4Addr::new(127, 1, (n / 250) as u8, (1 + n % 250) as u8), to);
        let role = if plan.leaf { "False" } else { "True" };
        let takes = if plan.deflated.1 { "Accept-Encoding: deflate\r\n" } else { "" };
        let offer = format!("GNUTELLA CONNECT/0.6\r\nUser-Agent: bench/1\r\nX-Ultrapeer: {role}\r\n{takes}\r\n");
        stream.write_all(offer.as_bytes()).expect("written");
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("an answer");
            answer.push(byte[0]);
        }
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("GNUTELLA/0.6 200"), "{answer}");
        assert_eq!(answer.contains("Content-Encoding: deflate"), plan.deflated.1, "{answer}");
        let sends = if plan.deflated.0 { "Content-Encoding: deflate\r\n" } else { "" };
        stream.write_all(format!("GNUTELLA/0.6 200 OK\r\n{sends}\r\n").as_bytes()).expect("written");
        stream.set_nonblocking(true).expect("a socket");
        let mut link = Self {
            stream,
            frames: FrameReader::new(PAYLOAD_LIMIT),
            inflater: plan.deflated.1.then(Inflater::default),
            deflater: plan.deflated.0.then(Deflater::default),
            sent: 0,
            got: 0,
            queries: 0,
        };
        if plan.table {
            link.send(&table(n));
        } else if plan.deflated.0 {
            link.send(&encoded(&Frame::new(Guid([3; 16]), Kind::Ping, 1, Vec::new().into())));
        }
        link
    }

    fn send(&mut self, bytes: &[u8]) {
        let mut coded = Vec::new();
        match &mut self.deflater {
            Some(deflater) => deflater.store(bytes, &mut coded),
            None => coded.extend_from_slice(bytes),
        }
        self.stream.write_all(&coded).expect("the servent reads");
        self.sent += coded.len() as u64;
    }

    /// Reads what is there and answers pings.
    fn look(&mut self) {
        let (mut buffer, mut piece) = ([0; 16 * 1024], [0; 16 * 1024]);
        loop {
            let got = match self.stream.read(&mut buffer) {
                Ok(0) => panic!("the servent closed a link"),
                Ok(n) => n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("a link cannot read: {error}"),
            };
            self.got += got as u64;
            let mut bytes = &buffer[..got];
            match &mut self.inflater {
                None => self.frames.push(bytes),
                Some(inflater) => loop {
                    match inflater.fill(&mut bytes, &mut piece).expect("one zlib stream") {
                        0 => break,
                        n => self.frames.push(&piece[..n]),
                    }
                },
            }
        }
        while let Some(frame) = self.frames.next_frame().expect("messages") {
            self.queries += usize::from(frame.header.kind == Kind::Query);
            if frame.header.kind == Kind::Ping {
                let pong = Frame::new(frame.header.guid, Kind::Pong, 1, vec![0; 14].into());
                self.send(&encoded(&pong));
            }
        }
    }
}

/// The slots of link `n` that are in use: by many words, and by the two of the file that it has alone.
fn slots_of(n: usize) -> Vec<usize> {
    let many = (0..WORDS).map(|word| usize::from(word.wrapping_mul(40_503) ^ (n as u16).wrapping_mul(25_033)));
    many.chain(own_words(n).iter().map(|word| slot(word))).collect()
}

fn own_words(n: usize) -> [String; 2] {
    [format!("file{n}"), format!("of{n}alone")]
}

fn slot(word: &str) -> usize {
    // "the product's upper bits": section 2.3 of the specification of query routing.
    (filbert::wire::qrt::hash(word) >> 16) as usize
}

/// A table of 64 Ki slots with a hundred words in it, as a leaf tells it: a reset and a patch.
fn table(n: usize) -> Vec<u8> {
    let mut slots = vec![0; 32 * 1024];
    for at in slots_of(n) {
        // A slot that goes from infinity, 7, to 1: minus six in four bits.
        slots[at / 2] |= if at % 2 == 0 { 0xa0 } else { 0x0a };
    }
    let mut patch = vec![1, 1, 1, 1, 4];
    patch.reserve(64 * 1024);
    Compress::new(Compression::best(), true).compress_vec(&slots, &mut patch, FlushCompress::Finish).expect("deflates");
    let reset = [&[0][..], &65_536u32.to_le_bytes(), &[7]].concat();
    let message = |payload: Vec<u8>| encoded(&Frame::new(Guid([2; 16]), Kind::RouteTableUpdate, 1, payload.into()));
    [message(reset), message(patch)].concat()
}

fn dial_from(from: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let made = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    bind(&made, &SocketAddrV4::new(from, 0)).expect("an address of loopback");
    connect(&made, &to).expect("it listens");
    TcpStream::from(made)
}

struct Server {
    child: Child,
    addr: SocketAddr,
    _home: tempfile::TempDir,
}

impl Server {
    fn start(links: usize, deflates: bool) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let mut command = Command::new(env!("CARGO_BIN_EXE_filbert"));
        command.arg("--home").arg(home.path()).args([
            "--json",
            "up",
            "--only-listed",
            "--no-lan",
            "--role",
            "ultrapeer",
        ]);
        command.args(["--listen", "127.0.0.1:0", "--api", "127.0.0.1:0"]);
        let room = (links + 16).to_string();
        command.env("FILBERT_LIMITS_PEERS", &room).env("FILBERT_LIMITS_LEAVES", &room);
        command.env("FILBERT_DEFLATE", if deflates { "both" } else { "receive" });
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("filbert starts");
        let mut ready = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut ready).expect("a line");
        let listen = ready.split("\"listen\":\"").nth(1).and_then(|rest| rest.split('"').next());
        let addr = listen.and_then(|listen| listen.parse().ok()).expect("an address");
        Self { child, addr, _home: home }
    }

    /// Bytes of memory that are its own.
    fn memory(&self) -> u64 {
        let rollup =
            std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.child.id())).expect("a Linux system");
        let line = rollup.lines().find_map(|line| line.strip_prefix("Private_Dirty:")).expect("a line");
        1024 * line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number")
    }

    /// CPU seconds so far.
    fn cpu(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("a Linux system");
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).expect("a number");
        (ticks(11) + ticks(12)) / TICKS
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
