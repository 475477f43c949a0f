//! The one port that everything comes in by: dialects are told apart by their first bytes.
//!
//! ```text
//! GNUTELLA CONNECT/   a peer that wants a link: its head is read here, then the driver has it
//! GET  HEAD           a peer that wants a file
//! GIV                 a peer that answers a Push of ours: whoever waits for it gets the connection
//! 16 03 ..            a TLS hello: never offered; told so in its own words, then closed
//! ```
//! Who has not said what it wants within [`HEAD_TIME`] is cut; so is, when too many are undecided, the one that
//! has been so longest: holding connections open keeps nobody else out.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr};
use std::os::fd::OwnedFd;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::channel::mpsc;
use futures::future::{AbortHandle, Aborted, abortable};
use futures::stream::FuturesUnordered;
use futures::{AsyncReadExt, AsyncWriteExt, FutureExt, StreamExt};
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use super::descriptors::Descriptors;
use super::driver::Gate;
use super::giv::Callers;
use super::link::FirstLeg;
use super::rt::{self, TcpListener, TcpStream};
use super::serve::{Rest, Seats, Shelf, serve};
use crate::wire::addr::{canonical, is_public, scope, subnet};
use crate::wire::handshake::{HEAD_LIMIT, Head};
use crate::wire::head::RawHead;
use crate::wire::push::Giv;

/// A peer says what it wants, and sends the whole first leg of a handshake, within this time.
pub const HEAD_TIME: Duration = Duration::from_secs(10);
/// Connections that may be undecided at the same time; above it the oldest is cut.
const UNDECIDED: usize = 256;
/// The same from one public address (or /64): those above it are closed at once.
const UNDECIDED_PER_ADDRESS: usize = 16;
/// Connections for files at the same time, kept ones that rest among them; above it the one that has rested
/// longest is closed, and when none rests, the newest is told to come back.
const SERVED: usize = 4096;
/// The same from one public address (or /64); those above it are closed at once.
const SERVED_PER_ADDRESS: usize = 16;
/// Connections that the system holds for us until we accept them.
const BACKLOG: i32 = 1024;
/// The servent is told so often at most that somebody connected to us.
const TELL_REACHED: Duration = Duration::from_secs(10);
/// The first pause after a failed accept (out of descriptors, say); it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What a TLS hello is answered (RFC 8446 section 6): fatal, handshake_failure.
const TLS_ALERT: &[u8] = b"\x15\x03\x01\x00\x02\x02\x28";
/// So long, and so much, of what is still said after an answer like that is read, so that the answer arrives.
const LAST_WORDS: Duration = Duration::from_millis(800);
const LAST_BYTES: usize = 64 * 1024;

/// What a connection is told for which there is no room.
const NO_ROOM: &[u8] = b"HTTP/1.1 503 Busy: too many connections\r\nRetry-After: 60\r\nConnection: close\r\n\
    Content-Length: 0\r\n\r\n";

/// How many connections there may be. The system's limit on open files makes it fewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenConfig {
    /// Those that have not said what they want.
    pub undecided: usize,
    /// Those for files.
    pub served: usize,
}

impl ListenConfig {
    /// As many as that leaves room for.
    pub fn within(descriptors: Descriptors) -> Self {
        let all = descriptors.connections();
        let undecided = (all / 4).clamp(1, UNDECIDED);
        Self { undecided, served: all.saturating_sub(undecided).clamp(1, SERVED) }
    }
}

/// Opens the port.
pub fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    let family = if addr.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    open(family, addr, |_| Ok(()))
}

/// Opens the port on every address, IPv4 and IPv6; on IPv4 alone where the machine has no other.
pub fn bind_everywhere(port: u16) -> io::Result<TcpListener> {
    // Whatever the system's default is.
    let both = |socket: &OwnedFd| Ok(sockopt::set_ipv6_v6only(socket, false)?);
    match open(AddressFamily::INET6, (Ipv6Addr::UNSPECIFIED, port).into(), both) {
        Err(error) if error.kind() != io::ErrorKind::AddrInUse => bind((Ipv4Addr::UNSPECIFIED, port).into()),
        both => both,
    }
}

fn open(
    family: AddressFamily,
    addr: SocketAddr,
    prepare: impl FnOnce(&OwnedFd) -> io::Result<()>,
) -> io::Result<TcpListener> {
    let socket = rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_reuseaddr(&socket, cfg!(unix))?;
    prepare(&socket)?;
    rustix::net::bind(&socket, &addr)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(std::net::TcpListener::from(socket).into())
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

/// A connection for files.
struct Served {
    ip: IpAddr,
    rest: Arc<Rest>,
    cut: AbortHandle,
}

/// What an undecided connection turned out to be.
enum Decided {
    Link(TcpStream, SocketAddr, FirstLeg),
    Http(TcpStream, SocketAddr, Vec<u8>, Opening),
    Giv(TcpStream, SocketAddr, Giv, Vec<u8>),
    Gone(SocketAddr),
}

/// Where what comes in by the port goes.
pub struct Ends {
    /// Peers that want a link.
    pub gate: Gate,
    /// Requests.
    pub shelf: Arc<dyn Shelf>,
    /// Those who call because we asked them to.
    pub callers: Arc<Callers>,
    /// Connections that we opened because we were asked to: they are served like those that were opened to us.
    pub called: mpsc::Receiver<(TcpStream, SocketAddr)>,
}

/// What a connection begins with.
enum Opening {
    /// The other side's first words.
    Theirs,
    /// We called, and have said so: a request comes next.
    Ours,
}

impl Decided {
    /// Where somebody is who connected to us by himself. Links are told of anyway.
    fn proof(&self) -> Option<IpAddr> {
        match self {
            Self::Http(_, from, _, Opening::Theirs) | Self::Gone(from) => Some(from.ip()),
            Self::Http(_, _, _, Opening::Ours) | Self::Link(..) | Self::Giv(..) => None,
        }
    }
}

/// When the servent was told last that somebody connected to us, from how far.
#[derive(Default)]
struct Reached([Option<Instant>; 3]);

impl Reached {
    fn is_news(&mut self, from: IpAddr) -> bool {
        let last = &mut self.0[scope(from) as usize];
        let told = last.is_some_and(|at| at.elapsed() < TELL_REACHED);
        if !told {
            *last = Some(Instant::now());
        }
        !told
    }
}

/// Accepts until it is dropped; what it accepted for files ends with it.
pub async fn listen(config: ListenConfig, listener: TcpListener, ends: Ends) {
    let Ends { mut gate, shelf, callers, mut called } = ends;
    let mut undecided: BTreeMap<u64, Undecided> = BTreeMap::new();
    let mut deciding = FuturesUnordered::new();
    let mut served: BTreeMap<u64, Served> = BTreeMap::new();
    let mut from_address: HashMap<IpAddr, usize> = HashMap::new();
    let mut serving = FuturesUnordered::new();
    let seats = Arc::new(Seats::default());
    let mut news = Reached::default();
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
                    if undecided.len() >= config.undecided && let Some((_, oldest)) = undecided.pop_first() {
                        oldest.cut.abort();
                    }
                    let (decide, cut) = abortable(decide(stream, from, Opening::Theirs));
                    let number = next;
                    next += 1;
                    undecided.insert(number, Undecided { ip, cut });
                    deciding.push(numbered(number, decide));
                }
                Err(error) => {
                    log::warn!(target: "filbert::net", "cannot accept: {error}; pausing {} ms", pause.as_millis());
                    accepting.set(accept_after(pause, &listener).fuse());
                    pause = (2 * pause).min(LONGEST_PAUSE);
                }
            },
            (stream, to) = called.select_next_some() => {
                let (decide, _) = abortable(decide(stream, to, Opening::Ours));
                let number = next;
                next += 1;
                deciding.push(numbered(number, decide));
            },
            (number, decided) = deciding.select_next_some() => {
                undecided.remove(&number);
                if let Ok(Some(from)) = decided.as_ref().map(Decided::proof)
                    && news.is_news(from)
                {
                    gate.reached(from).await;
                }
                match decided {
                    Ok(Decided::Link(stream, from, first)) => gate.enter(stream, from, first).await,
                    Ok(Decided::Http(stream, from, read, _)) => {
                        let ip = subnet(from.ip());
                        let here = from_address.get(&ip).copied().unwrap_or_default();
                        if is_public(ip) && here >= SERVED_PER_ADDRESS {
                            log::debug!(target: "filbert::net", "{from}: too many requests at once");
                            continue;
                        }
                        if served.len() >= config.served && !close_one_that_rests(&mut served, &mut from_address) {
                            log::debug!(target: "filbert::net", "{from}: no room for another request");
                            rt::spawn(no_room(stream)).detach();
                            continue;
                        }
                        *from_address.entry(ip).or_default() += 1;
                        let rest = Arc::new(Rest::among(&seats));
                        // Whatever goes wrong with one connection goes wrong with that one alone.
                        let serve = serve(stream, read, from, Arc::clone(&shelf), Arc::clone(&rest));
                        let (serve, cut) = abortable(AssertUnwindSafe(serve).catch_unwind());
                        served.insert(number, Served { ip, rest, cut });
                        serving.push(rt::spawn(serve).map(move |_| number));
                    }
                    Ok(Decided::Giv(stream, from, giv, rest)) => {
                        if !callers.take(&giv, from.ip(), stream, rest) {
                            log::debug!(target: "filbert::net", "{from}: it answers a Push that we did not send");
                        }
                    }
                    Ok(Decided::Gone(_)) | Err(Aborted) => {}
                }
            },
            number = serving.select_next_some() => {
                if let Some(over) = served.remove(&number) {
                    leave(&mut from_address, over.ip);
                }
            },
        }
    }
}

/// Closes the connection that has waited longest for its next request; `false` if none does.
fn close_one_that_rests(served: &mut BTreeMap<u64, Served>, from_address: &mut HashMap<IpAddr, usize>) -> bool {
    let resting = served.iter().filter_map(|(number, one)| Some((one.rest.since()?, *number)));
    let Some(closed) = resting.min().and_then(|(_, number)| served.remove(&number)) else { return false };
    log::debug!(target: "filbert::net", "a resting connection of {} is closed for a new one", closed.ip);
    closed.cut.abort();
    leave(from_address, closed.ip);
    true
}

fn numbered<F: Future>(number: u64, deciding: F) -> impl Future<Output = (u64, F::Output)> {
    deciding.map(move |decided| (number, decided))
}

fn leave(from_address: &mut HashMap<IpAddr, usize>, ip: IpAddr) {
    if let Some(here) = from_address.get_mut(&ip) {
        *here -= 1;
        if *here == 0 {
            from_address.remove(&ip);
        }
    }
}

/// An empty socket takes these few bytes at once.
async fn no_room(mut stream: TcpStream) {
    let _ = rt::timeout(FIRST_PAUSE, stream.write_all(NO_ROOM)).await;
}

async fn accept_after(pause: Duration, listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    if !pause.is_zero() {
        rt::sleep(pause).await;
    }
    listener.accept().await
}

/// Reads until it is clear what the peer wants, and the whole head if it wants a link.
async fn decide(mut stream: TcpStream, from: SocketAddr, opening: Opening) -> Decided {
    let mut read = Vec::new();
    if let Opening::Ours = opening {
        return Decided::Http(stream, from, read, opening);
    }
    let decided = rt::timeout(HEAD_TIME, first_words(&mut stream, &mut read)).await;
    match decided {
        Ok(Ok(First::Link(first))) => Decided::Link(stream, from, first),
        Ok(Ok(First::Http)) => Decided::Http(stream, from, read, opening),
        Ok(Ok(First::Giv(giv, rest))) => Decided::Giv(stream, from, giv, rest),
        Ok(Ok(First::Tls)) => {
            answer_tls(stream).await;
            gone(from, "it speaks TLS, which we do not offer")
        }
        Ok(Ok(First::Not(why))) => gone(from, why),
        Ok(Err(error)) => gone(from, &error.to_string()),
        Err(rt::TimedOut) => gone(from, "it did not say in time what it wants"),
    }
}

/// Says no, and closes without a reset: unread bytes would make the system send one, which takes the answer away.
async fn answer_tls(mut stream: TcpStream) {
    let talk = async {
        stream.write_all(TLS_ALERT).await?;
        stream.shutdown(Shutdown::Write)?;
        let (mut left, mut buffer) = (LAST_BYTES, [0; 1024]);
        while left > 0 {
            match stream.read(&mut buffer).await? {
                0 => break,
                n => left = left.saturating_sub(n),
            }
        }
        io::Result::Ok(())
    };
    let _ = rt::timeout(LAST_WORDS, talk).await;
}

fn gone(from: SocketAddr, why: &str) -> Decided {
    log::debug!(target: "filbert::net", "{from}: closed: {why}");
    Decided::Gone(from)
}

enum First {
    Link(FirstLeg),
    Http,
    Giv(Giv, Vec<u8>),
    Tls,
    Not(&'static str),
}

async fn first_words(stream: &mut TcpStream, read: &mut Vec<u8>) -> io::Result<First> {
    let mut buffer = [0; 1024];
    let bad = |error: crate::wire::DecodeError| io::Error::new(io::ErrorKind::InvalidData, error);
    loop {
        match Dialect::of(read) {
            None => {}
            Some(Dialect::Http) => return Ok(First::Http),
            Some(Dialect::Gnutella) => {
                if let Some((raw, taken)) = RawHead::decode(read, HEAD_LIMIT).map_err(bad)? {
                    let rest = read.split_off(taken);
                    return Ok(First::Link(FirstLeg::new(Head::parse(raw).map_err(bad)?, read, rest)));
                }
            }
            Some(Dialect::Giv) => {
                if let Some((raw, taken)) = RawHead::decode(read, HEAD_LIMIT).map_err(bad)? {
                    return Ok(First::Giv(Giv::parse(&raw.first).map_err(bad)?, read.split_off(taken)));
                }
            }
            Some(Dialect::Tls) => return Ok(First::Tls),
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
    fn a_crowd_that_connects_at_once_is_let_in_at_once() {
        let listener = bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
        let addr = listener.local_addr().expect("bound");
        // Nobody accepts yet: the system holds them, or it lets them try again after a second.
        let dial = || std::net::TcpStream::connect_timeout(&addr, Duration::from_millis(900));
        let crowd: Vec<_> = (0..300).map_while(|_| dial().ok()).collect();
        assert_eq!(crowd.len(), 300);
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
