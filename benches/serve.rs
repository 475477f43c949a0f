//! Ways of sending a file to a client on loopback, against each other: rate, and CPU of the sending thread.
//!
//! `cargo bench --bench serve [-- MEGABYTES ROUNDS]`. The file is in the page cache, the client reads 256 KiB at a time
//! and throws them away. The ways take turns; figures are medians. It measures the mechanism alone, on one blocking
//! thread; `scripts/bench-serve` measures the servent.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

#[cfg(target_os = "linux")]
fn main() {
    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::fs::sendfile;
    use rustix::io::Errno;
    use std::os::unix::fs::FileExt;

    let mut numbers = std::env::args().skip(1).filter_map(|arg| arg.parse::<u64>().ok());
    let size = numbers.next().unwrap_or(500) * 1_000_000;
    let rounds = numbers.next().unwrap_or(7);
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("file");
    let mut file = File::create(&path).expect("a file");
    let piece: Vec<u8> = (0..1_000_000_u32).map(|i| (i >> 7) as u8).collect();
    (0..size / 1_000_000).for_each(|_| file.write_all(&piece).expect("written"));
    let file = File::open(&path).expect("opened");

    let wait = |stream: &TcpStream| {
        poll(&mut [PollFd::new(stream, PollFlags::OUT)], None).expect("polled");
    };
    let by_sendfile = |stream: &TcpStream, chunk: u64| {
        stream.set_nonblocking(true).expect("set");
        let mut at = 0;
        while at < size {
            let count = chunk.min(size - at) as usize;
            match sendfile(stream, &file, Some(&mut at), count) {
                Ok(_) => {}
                Err(Errno::AGAIN) => wait(stream),
                Err(error) => panic!("{error}"),
            }
        }
    };
    let by_copy = |mut stream: &TcpStream, buffer: usize| {
        let (mut bytes, mut at) = (vec![0; buffer], 0);
        while at < size {
            let part = &mut bytes[..buffer.min((size - at) as usize)];
            file.read_exact_at(part, at).expect("read");
            stream.write_all(part).expect("sent");
            at += part.len() as u64;
        }
    };
    type Way<'a> = (&'a str, Box<dyn Fn(&TcpStream) + 'a>);
    let ways: [Way<'_>; 8] = [
        ("sendfile, 256 KiB at a time", Box::new(|to| by_sendfile(to, 256 << 10))),
        ("sendfile, 2 MiB at a time", Box::new(|to| by_sendfile(to, 2 << 20))),
        ("sendfile, all at a time", Box::new(|to| by_sendfile(to, u64::from(u32::MAX) / 4))),
        ("read and write, 16 KiB", Box::new(|to| by_copy(to, 16 << 10))),
        ("read and write, 64 KiB", Box::new(|to| by_copy(to, 64 << 10))),
        ("read and write, 256 KiB", Box::new(|to| by_copy(to, 256 << 10))),
        ("read and write, 1 MiB", Box::new(|to| by_copy(to, 1 << 20))),
        ("read and write, 4 MiB", Box::new(|to| by_copy(to, 4 << 20))),
    ];
    let mut figures = vec![Vec::new(); ways.len()];
    for round in 0..=rounds {
        for (turn, _) in ways.iter().enumerate() {
            let at = (turn + round as usize) % ways.len();
            let (stream, client) = connected();
            let (began, cpu) = (Instant::now(), thread_cpu());
            ways[at].1(&stream);
            let cpu = thread_cpu() - cpu;
            drop(stream);
            assert_eq!(client.join().expect("the client"), size);
            // The first round warms up.
            if round > 0 {
                figures[at]
                    .push((size as f64 / began.elapsed().as_secs_f64() / 1e9, cpu.as_secs_f64() / size as f64 * 1e9));
            }
        }
    }
    println!("{} MB, {rounds} rounds\n\n| way | GB/s | CPU s of the sender per GB |\n|---|---|---|", size / 1_000_000);
    for ((name, _), figures) in ways.iter().zip(figures) {
        let median = |pick: fn(&(f64, f64)) -> f64| {
            let mut all: Vec<f64> = figures.iter().map(pick).collect();
            all.sort_by(f64::total_cmp);
            all[all.len() / 2]
        };
        println!("| {name} | {:.2} | {:.3} |", median(|it| it.0), median(|it| it.1));
    }
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("there is only one way here");
}

/// A connection, and the client at its other end, which tells how much it read.
fn connected() -> (TcpStream, std::thread::JoinHandle<u64>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("an address");
    let client = std::thread::spawn(move || {
        let mut stream = TcpStream::connect(addr).expect("connected");
        let (mut bytes, mut all) = (vec![0; 256 << 10], 0);
        while let Ok(read @ 1..) = stream.read(&mut bytes) {
            all += read as u64;
        }
        all
    });
    (listener.accept().expect("accepted").0, client)
}

/// What this thread has used of the processor.
#[cfg(target_os = "linux")]
fn thread_cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("schedstat");
    let nanos = text.split_whitespace().next().and_then(|first| first.parse().ok()).expect("a number");
    Duration::from_nanos(nanos)
}
