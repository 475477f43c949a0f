//! A small HTTP source of the tests' own that can be slow, lie, and count what it sends; and what a servent says of its
//! only transfer.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use filbert::wire::{Digester, Digests};
use serde_json::Value;

use super::Servent;

/// A file behind HTTP/1.1 with ranges.
pub struct Source {
    pub addr: SocketAddr,
    pub digests: Digests,
    pub size: u64,
    pub state: Arc<State>,
}

pub struct State {
    pub bytes: Vec<u8>,
    /// Bytes a second; 0 is no limit.
    pub rate: AtomicU64,
    /// Whether a byte in the middle is sent wrong.
    pub lies: AtomicBool,
    /// Bytes of bodies that were sent.
    pub sent: AtomicU64,
    /// First byte of each range that was asked for.
    pub ranges: Mutex<Vec<u64>>,
}

impl Source {
    pub fn new(bytes: Vec<u8>, rate: u64) -> Self {
        let mut digester = Digester::new();
        digester.update(&bytes);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = listener.local_addr().expect("an address");
        let size = bytes.len() as u64;
        let state = Arc::new(State {
            bytes,
            rate: AtomicU64::new(rate),
            lies: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            ranges: Mutex::new(Vec::new()),
        });
        let serving = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let state = Arc::clone(&serving);
                std::thread::spawn(move || state.serve(stream));
            }
        });
        Self { addr, digests: digester.finish(), size, state }
    }

    pub fn urn(&self) -> String {
        format!("urn:sha1:{}", self.digests.sha1)
    }

    pub fn url(&self) -> String {
        format!("http://{}/uri-res/N2R?{}", self.addr, self.urn())
    }

    pub fn magnet(&self) -> String {
        let name = "dn=from%20a%20magnet.bin";
        format!("magnet:?xt={}&{name}&xl={}&xs={}", self.urn(), self.size, filbert::web::uri::escape(&self.url()))
    }

    pub fn at_rate(&self, rate: u64) {
        self.state.rate.store(rate, SeqCst);
    }
}

impl State {
    fn serve(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().expect("a clone"));
        let mut stream = stream;
        loop {
            let mut first = String::new();
            if reader.read_line(&mut first).unwrap_or(0) == 0 {
                return;
            }
            let mut range = None;
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) == 0 {
                    return;
                }
                if let Some(value) = line.to_lowercase().strip_prefix("range: bytes=") {
                    range = Some(value.trim().to_owned());
                }
                if line.trim().is_empty() {
                    break;
                }
            }
            if self.answer(&mut stream, &first, range).is_err() {
                return;
            }
        }
    }

    fn answer(&self, stream: &mut TcpStream, first: &str, range: Option<String>) -> std::io::Result<()> {
        if first.contains("/missing") {
            return stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
        }
        if first.contains("/forbidden") {
            return stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
        }
        let len = self.bytes.len();
        let bound = |text: Option<&str>| text.and_then(|text| text.parse::<usize>().ok());
        let (from, to) = match &range {
            Some(range) => {
                let (from, to) = range.split_once('-').unwrap_or((range, ""));
                (bound(Some(from)).unwrap_or(0), bound(Some(to)).map_or(len, |last| (last + 1).min(len)))
            }
            None => (0, len),
        };
        self.ranges.lock().expect("unbroken").push(from as u64);
        let status = if range.is_some() { "206 Partial Content" } else { "200 OK" };
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\n\
             Content-Range: bytes {from}-{}/{len}\r\n\r\n",
            to - from,
            to.max(1) - 1
        )?;
        if first.starts_with("HEAD") {
            return Ok(());
        }
        let mut at = from;
        while at < to {
            let end = (at + 64 * 1024).min(to);
            let mut chunk = self.bytes[at..end].to_vec();
            let middle = len / 2;
            if self.lies.load(SeqCst) && (at..end).contains(&middle) {
                chunk[middle - at] ^= 1;
            }
            stream.write_all(&chunk)?;
            self.sent.fetch_add(chunk.len() as u64, SeqCst);
            let rate = self.rate.load(SeqCst);
            if rate > 0 {
                std::thread::park_timeout(Duration::from_secs_f64(chunk.len() as f64 / rate as f64));
            }
            at = end;
        }
        Ok(())
    }
}

/// The only transfer that there is.
pub fn transfer(servent: &Servent) -> Option<Value> {
    servent.get("/api/v1/transfers").as_array()?.first().cloned()
}

pub fn state(servent: &Servent) -> String {
    transfer(servent).and_then(|transfer| Some(transfer["state"].as_str()?.to_owned())).unwrap_or_default()
}
