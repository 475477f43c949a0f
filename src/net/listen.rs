//! The one port that everything comes in by: dialects are told apart by their first bytes.
//!
//! ```text
//! GNUTELLA CONNECT/   a peer that wants a link: its head is read here, then the driver has it
//! GET  HEAD           a peer that wants a file
//! GIV                 a peer that answers a Push of ours
//! 16 03 ..            a TLS hello: never offered, closed
//! ```
//! Who has not said what it wants within [`HEAD_TIME`] is cut; so is, when too many are undecided, the one that
//! has been so longest: holding connections open keeps nobody else out.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{AbortHandle, Aborted, abortable};
use futures::stream::FuturesUnordered;
use futures::{AsyncReadExt, FutureExt, StreamExt};

use super::driver::Gate;
use super::rt::{self, TcpListener, TcpStream};
use super::serve::{Shelf, serve};
use crate::wire::addr::{canonical, is_public, subnet};
use crate::wire::handshake::{HEAD_LIMIT, Head};
use crate::wire::head::RawHead;

/// A peer says what it wants, and sends the whole first leg of a handshake, within this time.
pub const HEAD_TIME: Duration = Duration::from_secs(10);
/// Connections that may be undecided at the same time; above it the oldest is cut.
const UNDECIDED: usize = 256;
/// The same from one public address (or /64): those above it are closed at once.
const UNDECIDED_PER_ADDRESS: usize = 16;
/// Connections for files at the same time; those above it are closed at once.
const SERVED: usize = 512;
/// The same from one public address (or /64).
const SERVED_PER_ADDRESS: usize = 16;
/// The first pause after a failed accept (out of descriptors, say); it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Opens the port.
pub async fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(addr).await
}

/// What the first bytes of a connection say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// A Gnutella link.
    Gnutella,
    /// A request for a file.
    Http,
    /// The answer to a Push.
    Giv,
    /// A TLS hello.
    Tls,
    /// None that we speak.
    Unknown,
}

impl Dialect {
    /// Reads the first bytes; `None` while they may still become more than one.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        const WORDS: [(&[u8], Dialect); 5] = [
            (b"GNUTELLA CONNECT/", Dialect::Gnutella),
            (b"GET ", Dialect::Http),
            (b"HEAD ", Dialect::Http),
            (b"GIV ", Dialect::Giv),
            (b"\x16\x03", Dialect::Tls),
        ];
        if let Some(&(_, dialect)) = WORDS.iter().find(|(word, _)| bytes.starts_with(word)) {
            return Some(dialect);
        }
        let may_become = WORDS.iter().any(|(word, _)| word.starts_with(bytes));
        (!may_become).then_some(Self::Unknown)
    }
}

/// An undecided connection.
struct Undecided {
    /// Where it comes from, as a [`subnet`].
    ip: IpAddr,
    cut: AbortHandle,
}

/// What an undecided connection turned out to be.
enum Decided {
    Link(TcpStream, SocketAddr, Head, Vec<u8>),
    Http(TcpStream, SocketAddr, Vec<u8>),
    Gone,
}

/// Accepts until it is dropped; what it accepted for files ends with it.
pub async fn listen(listener: TcpListener, mut gate: Gate, shelf: Arc<dyn Shelf>) {
    let mut undecided: BTreeMap<u64, Undecided> = BTreeMap::new();
    let mut deciding = FuturesUnordered::new();
    let mut served: HashMap<IpAddr, usize> = HashMap::new();
    let mut serving = FuturesUnordered::new();
    let mut next = 0;
    let mut pause = FIRST_PAUSE;
    let mut accepting = Box::pin(accept_after(Duration::ZERO, &listener).fuse());
    loop {
        futures::select! {
            accepted = accepting => match accepted {
                Ok((stream, from)) => {
                    pause = FIRST_PAUSE;
                    accepting.set(accept_after(Duration::ZERO, &listener).fuse());
                    let from = canonical(from);
                    let ip = subnet(from.ip());
                    if is_public(ip) && undecided.values().filter(|one| one.ip == ip).count() >= UNDECIDED_PER_ADDRESS {
                        log::debug!(target: "filbert::net", "{from}: too many connections from there that say nothing");
                        continue;
                    }
                    if undecided.len() >= UNDECIDED && let Some((_, oldest)) = undecided.pop_first() {
                        oldest.cut.abort();
                    }
                    let (decide, cut) = abortable(decide(stream, from));
                    let number = next;
                    next += 1;
                    undecided.insert(number, Undecided { ip, cut });
                    deciding.push(decide.map(move |decided| (number, decided)));
                }
                Err(error) => {
                    log::warn!(target: "filbert::net", "cannot accept: {error}; pausing {} ms", pause.as_millis());
                    accepting.set(accept_after(pause, &listener).fuse());
                    pause = (2 * pause).min(LONGEST_PAUSE);
                }
            },
            (number, decided) = deciding.select_next_some() => {
                undecided.remove(&number);
                match decided {
                    Ok(Decided::Link(stream, from, head, rest)) => gate.enter(stream, from, head, rest).await,
                    Ok(Decided::Http(stream, from, read)) => {
                        let ip = subnet(from.ip());
                        let here = served.entry(ip).or_default();
                        if serving.len() >= SERVED || (is_public(ip) && *here >= SERVED_PER_ADDRESS) {
                            log::debug!(target: "filbert::net", "{from}: too many requests at once");
                            continue;
                        }
                        *here += 1;
                        // Whatever goes wrong with one connection goes wrong with that one alone.
                        let serve = AssertUnwindSafe(serve(stream, read, from, Arc::clone(&shelf))).catch_unwind();
                        serving.push(rt::spawn(serve).map(move |_| ip));
                    }
                    Ok(Decided::Gone) | Err(Aborted) => {}
                }
            },
            ip = serving.select_next_some() => {
                if let Some(here) = served.get_mut(&ip) {
                    *here -= 1;
                    if *here == 0 {
                        served.remove(&ip);
                    }
                }
            },
        }
    }
}

async fn accept_after(pause: Duration, listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    if !pause.is_zero() {
        rt::sleep(pause).await;
    }
    listener.accept().await
}

/// Reads until it is clear what the peer wants, and the whole head if it wants a link.
async fn decide(mut stream: TcpStream, from: SocketAddr) -> Decided {
    let mut read = Vec::new();
    let decided = rt::timeout(HEAD_TIME, first_words(&mut stream, &mut read)).await;
    match decided {
        Ok(Ok(First::Link(head, rest))) => Decided::Link(stream, from, head, rest),
        Ok(Ok(First::Http)) => Decided::Http(stream, from, read),
        Ok(Ok(First::Not(why))) => gone(from, why),
        Ok(Err(error)) => gone(from, &error.to_string()),
        Err(rt::TimedOut) => gone(from, "it did not say in time what it wants"),
    }
}

fn gone(from: SocketAddr, why: &str) -> Decided {
    log::debug!(target: "filbert::net", "{from}: closed: {why}");
    Decided::Gone
}

enum First {
    Link(Head, Vec<u8>),
    Http,
    Not(&'static str),
}

async fn first_words(stream: &mut TcpStream, read: &mut Vec<u8>) -> io::Result<First> {
    let mut buffer = [0; 1024];
    loop {
        match Dialect::of(read) {
            None => {}
            Some(Dialect::Http) => return Ok(First::Http),
            Some(Dialect::Gnutella) => {
                let bad = |error: crate::wire::DecodeError| io::Error::new(io::ErrorKind::InvalidData, error);
                if let Some((raw, taken)) = RawHead::decode(read, HEAD_LIMIT).map_err(bad)? {
                    return Ok(First::Link(Head::parse(raw).map_err(bad)?, read.split_off(taken)));
                }
            }
            Some(Dialect::Giv) => return Ok(First::Not("it answers a Push that we did not send")),
            Some(Dialect::Tls) => return Ok(First::Not("it speaks TLS, which we do not offer")),
            Some(Dialect::Unknown) => return Ok(First::Not("it speaks no dialect of ours")),
        }
        match stream.read(&mut buffer).await? {
            0 => return Ok(First::Not("it left without saying what it wants")),
            n => read.extend_from_slice(&buffer[..n]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_name_the_dialect_as_soon_as_they_can() {
        let cases: [(&[u8], Option<Dialect>); 14] = [
            (b"", None),
            (b"G", None),
            (b"GE", None),
            (b"GET ", Some(Dialect::Http)),
            (b"GETX", Some(Dialect::Unknown)),
            (b"HEAD /", Some(Dialect::Http)),
            (b"GIV 1:", Some(Dialect::Giv)),
            (b"GNUTELLA CONNECT", None),
            (b"GNUTELLA CONNECT/0.6\r\n", Some(Dialect::Gnutella)),
            (b"GNUTELLA/0.6 200 OK", Some(Dialect::Unknown)),
            (b"\x16", None),
            (b"\x16\x03\x01", Some(Dialect::Tls)),
            (b"\x00", Some(Dialect::Unknown)),
            (b"POST / HTTP/1.1", Some(Dialect::Unknown)),
        ];
        for (bytes, dialect) in cases {
            assert_eq!(Dialect::of(bytes), dialect, "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn caps_per_address_hold_for_public_addresses_alone() {
        for (ip, public) in [
            ("127.3.4.5", false),
            ("10.1.1.1", false),
            ("172.31.0.1", false),
            ("172.32.0.1", true),
            ("100.127.0.1", false),
            ("100.128.0.1", true),
            ("169.254.1.1", false),
            ("8.8.8.8", true),
            ("::1", false),
            ("fd00::1", false),
            ("fe80::1", false),
            ("2001:db8::1", true),
        ] {
            assert_eq!(is_public(ip.parse().expect("an address")), public, "{ip}");
        }
    }
}
