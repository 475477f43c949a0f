//! The taking end of peer HTTP: connect to a source, send a request, take its answer and its body.
//!
//! A source is a stranger: its head is bounded by [`HEAD_LIMIT`], its body is read into the caller's buffer and
//! into one of `BUFFER` bytes, and every wait has an end. What an answer means is not decided here.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use futures::{AsyncReadExt, AsyncWriteExt, FutureExt};

use super::giv::Caller;
use super::rt::{self, TcpStream};
use super::zone;
use crate::transfer::Lost;
use crate::transfer::framing::{Framing, Step};
use crate::wire::head::RawHead;
use crate::wire::http::{HEAD_LIMIT, Request, Response};

/// What a link holds of what was read too far.
const BUFFER: usize = 64 * 1024;
/// What is read at a time while a head, or the length of a piece, is looked for: the body behind it goes to its place at once.
const AHEAD: usize = 4 * 1024;
/// A source that takes longer than [`FetchConfig::piece`] for so many bytes is too slow to wait for.
const PIECE: u64 = 64 * 1024;
/// Interim answers (100, 102) that are passed over before the true one.
const INTERIM: usize = 4;

/// How long a source may take.
#[derive(Clone, Copy, Debug)]
pub struct FetchConfig {
    /// To accept a connection.
    pub connect: Duration,
    /// To send the whole head of an answer.
    pub head: Duration,
    /// To send any byte of a body.
    pub stall: Duration,
    /// To send 64 KiB of it, our own waits not counted: a drip now and then does not hold a download.
    pub piece: Duration,
}

impl Default for FetchConfig {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            head: Duration::from_secs(20),
            stall: Duration::from_secs(30),
            piece: Duration::from_secs(120),
        }
    }
}

/// A connection to a source, between two requests or within an answer.
#[derive(Debug)]
pub struct Link {
    stream: TcpStream,
    config: FetchConfig,
    /// Read, but not yet looked at.
    ahead: Vec<u8>,
    framing: Framing,
    keep_alive: bool,
    /// Bytes of the current piece of a body, and how long we waited for them.
    piece: (u64, Duration),
}

impl Link {
    /// Connects.
    pub async fn connect(addr: SocketAddr, config: FetchConfig) -> Result<Self, Lost> {
        let connected = rt::timeout(config.connect, zone::connect(addr)).await;
        let stream = connected.map_err(|_| Lost::NoAnswer)?.map_err(|error| match error.kind() {
            io::ErrorKind::ConnectionRefused => Lost::Refused,
            io::ErrorKind::TimedOut => Lost::NoAnswer,
            io::ErrorKind::ConnectionReset => Lost::Closed,
            _ => Lost::Unreachable(error.to_string()),
        })?;
        Ok(Self::over(stream, Vec::new(), config))
    }

    /// Over a connection that the source opened because it was asked to.
    pub fn called(caller: Caller, config: FetchConfig) -> Self {
        Self::over(caller.stream, caller.ahead, config)
    }

    fn over(stream: TcpStream, ahead: Vec<u8>, config: FetchConfig) -> Self {
        // A request is one write: nothing is gained by waiting for more.
        let _ = stream.set_nodelay(true);
        Self { stream, config, ahead, framing: Framing::Over, keep_alive: true, piece: (0, Duration::ZERO) }
    }

    /// The address of our end.
    pub fn local_ip(&self) -> Option<IpAddr> {
        self.stream.local_addr().ok().map(|addr| addr.ip().to_canonical())
    }

    /// The address of the other end.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.stream.peer_addr().ok().map(|addr| SocketAddr::new(addr.ip().to_canonical(), addr.port()))
    }

    /// Whether another request may be sent on it: nothing is left of the answer before.
    pub fn is_reusable(&self) -> bool {
        self.keep_alive && self.framing == Framing::Over && self.ahead.is_empty()
    }

    /// Whether the other end has neither closed it nor said anything since; what it says unasked is no answer to what is
    /// asked next.
    pub fn is_quiet(&mut self) -> bool {
        self.is_reusable() && self.stream.read(&mut [0]).now_or_never().is_none()
    }

    /// Sends a request and reads the head of the answer. The body is to be read next.
    pub async fn ask(&mut self, request: &Request) -> Result<Response, Lost> {
        self.ask_with(request, b"").await
    }

    /// The same with a body, which the request's head has to tell of.
    pub async fn ask_with(&mut self, request: &Request, body: &[u8]) -> Result<Response, Lost> {
        let mut bytes = request.encode();
        bytes.extend_from_slice(body);
        let sent = rt::timeout(self.config.head, self.stream.write_all(&bytes)).await;
        sent.map_err(|_| Lost::Silent(self.config.head))?.map_err(broken)?;
        let head = rt::timeout(self.config.head, self.head()).await;
        let head = head.map_err(|_| Lost::Silent(self.config.head))??;
        self.keep_alive = head.keep_alive();
        self.framing = Framing::of(request, &head);
        self.piece = (0, Duration::ZERO);
        if self.framing == Framing::UntilClosed {
            self.keep_alive = false;
        }
        Ok(head)
    }

    async fn head(&mut self) -> Result<Response, Lost> {
        for _ in 0..INTERIM {
            let raw = loop {
                match RawHead::decode(&self.ahead, HEAD_LIMIT) {
                    Ok(Some((raw, taken))) => {
                        self.ahead.drain(..taken);
                        break raw;
                    }
                    Ok(None) => self.read_ahead().await?,
                    Err(error) => return Err(Lost::Garbage(error.to_string())),
                }
            };
            let head = Response::parse(raw).map_err(|error| Lost::Garbage(error.to_string()))?;
            if !(100..200).contains(&head.code) {
                return Ok(head);
            }
        }
        Err(Lost::Garbage("one interim answer after the other".into()))
    }

    /// Reads some of the body, as much as is there, into `into`; 0 is its end. An error when the connection
    /// ends before the body does.
    pub async fn read(&mut self, into: &mut [u8]) -> Result<usize, Lost> {
        let begun = Instant::now();
        let read = self.read_some(into).await?;
        let (bytes, waited) = (self.piece.0 + read as u64, self.piece.1 + begun.elapsed());
        if bytes < PIECE && waited > self.config.piece {
            return Err(Lost::Slow(waited));
        }
        self.piece = if bytes < PIECE { (bytes, waited) } else { (0, Duration::ZERO) };
        Ok(read)
    }

    async fn read_some(&mut self, into: &mut [u8]) -> Result<usize, Lost> {
        loop {
            match self.framing.step(&mut self.ahead)? {
                Step::Over => return Ok(0),
                Step::NeedMore => self.stalling(Self::read_ahead).await?,
                Step::Bytes(most) if into.is_empty() || most == 0 => return Ok(0),
                Step::Bytes(most) => {
                    let most = usize::try_from(most).unwrap_or(usize::MAX).min(into.len());
                    let read = self.fill(&mut into[..most]).await?;
                    self.framing.took(read as u64);
                    return Ok(read);
                }
            }
        }
    }

    /// What was read ahead first, then from the socket: waits for the first bytes, and takes along what is
    /// there besides, so that few large pieces go to the disk instead of many small ones.
    async fn fill(&mut self, into: &mut [u8]) -> Result<usize, Lost> {
        let mut read = into.len().min(self.ahead.len());
        into[..read].copy_from_slice(&self.ahead[..read]);
        self.ahead.drain(..read);
        if read == 0 {
            let first = rt::timeout(self.config.stall, self.stream.read(into)).await;
            read = first.map_err(|_| Lost::Silent(self.config.stall))?.map_err(broken)?;
        }
        if read == 0 {
            return match self.framing {
                Framing::UntilClosed => {
                    self.framing = Framing::Over;
                    Ok(0)
                }
                _ => Err(Lost::Closed),
            };
        }
        while read < into.len() {
            // An end or an error shows again at the next read.
            match self.stream.read(&mut into[read..]).now_or_never() {
                Some(Ok(more)) if more > 0 => read += more,
                _ => break,
            }
        }
        Ok(read)
    }

    async fn stalling<'a, F, T>(&'a mut self, wait: impl FnOnce(&'a mut Self) -> F) -> Result<T, Lost>
    where
        F: Future<Output = Result<T, Lost>> + 'a,
    {
        let stall = self.config.stall;
        rt::timeout(stall, wait(self)).await.map_err(|_| Lost::Silent(stall))?
    }

    async fn read_ahead(&mut self) -> Result<(), Lost> {
        let had = self.ahead.len();
        let room = AHEAD.min(BUFFER.saturating_sub(had)).max(1);
        self.ahead.resize(had + room, 0);
        let read = self.stream.read(&mut self.ahead[had..]).await;
        self.ahead.truncate(had + *read.as_ref().unwrap_or(&0));
        match read.map_err(broken)? {
            0 => Err(Lost::Closed),
            _ => Ok(()),
        }
    }
}

fn broken(error: io::Error) -> Lost {
    match error.kind() {
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof
        | io::ErrorKind::NotConnected => Lost::Closed,
        _ => Lost::Unreachable(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn a_source_that_drips_is_too_slow_though_never_silent() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = listener.local_addr().expect("an address");
        let source = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
            // Ends when the other side closes.
            while stream.write_all(b"x").is_ok() {
                std::thread::park_timeout(Duration::from_millis(20));
            }
        });
        let lost = rt::block_on(async {
            let config = FetchConfig { piece: Duration::from_millis(300), ..FetchConfig::default() };
            let mut link = Link::connect(addr, config).await.expect("a link");
            let request =
                Request { method: "GET".into(), target: "/".into(), version: (1, 1), headers: Default::default() };
            link.ask(&request).await.expect("a head");
            loop {
                if let Err(lost) = link.read(&mut [0; 1000]).await {
                    break lost;
                }
            }
        });
        assert!(matches!(lost, Lost::Slow(_)), "{lost:?}");
        source.join().expect("it ends");
    }
}
