//! The giving end of peer HTTP: one connection, one request after the other.
//!
//! A client is a stranger: its heads are bounded, a request may be slow to come and an answer slow to be read
//! only within [`ServeConfig`], and it never names a path: the [`Shelf`] looks up what it names. Requests that
//! come before the answer to the last one is through wait for it, in a buffer that is bounded too.

use std::any::Any;
use std::fs::File;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use futures::{AsyncReadExt, AsyncWriteExt};

use super::rt::{self, TcpStream};
use super::send;
pub use super::send::read_at;
use crate::wire::head::{Headers, RawHead};
use crate::wire::http::{HEAD_LIMIT, Request, Response};

/// After the last answer we take what the client still sends, up to this and for [`LINGER_TIME`]: closing on
/// unread bytes would make the kernel throw our answer away.
const LINGER: usize = 64 * 1024;
const LINGER_TIME: Duration = Duration::from_secs(1);

/// The measure of slow readers, see [`ServeConfig::piece`].
const PIECE: u64 = 256 * 1024;

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
pub struct ServeConfig {
    /// To begin the next request.
    pub idle: Duration,
    /// To finish a head that it has begun.
    pub head: Duration,
    /// To take any byte of an answer. The kernel frees room in large steps, so this is generous.
    pub stall: Duration,
    /// To take [`PIECE`] bytes of it: a reader slower than that holds a slot for nothing.
    pub piece: Duration,
}

impl Default for ServeConfig {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(60),
            head: Duration::from_secs(20),
            stall: Duration::from_secs(60),
            piece: Duration::from_secs(120),
        }
    }
}

/// What answers requests: the application's shelf of shared files.
pub trait Shelf: Send + Sync + 'static {
    /// Decides what to send. The future may open a file; it must not run for long.
    fn answer<'a>(&'a self, request: &'a Request, from: SocketAddr) -> BoxFuture<'a, Answer>;

    /// A connection has ended: what was kept for it is not needed any more.
    fn gone(&self, from: SocketAddr) {
        let _ = from;
    }
}

/// What to send.
pub struct Answer {
    /// The head.
    pub head: Response,
    /// The body.
    pub body: Body,
    /// Counts the bytes of the body as they are sent.
    pub sent: Arc<AtomicU64>,
    /// Held until the body is sent: an upload slot.
    pub slot: Option<Box<dyn Any + Send>>,
}

/// A body.
pub enum Body {
    /// None (also for `HEAD`).
    Empty,
    /// Bytes in memory.
    Bytes(Vec<u8>),
    /// A part of an open file.
    File(Arc<File>, Range<u64>),
}

/// Serves a connection until either side has had enough. `already` are bytes that were read from it to tell
/// what it is.
pub async fn serve(stream: TcpStream, already: Vec<u8>, from: SocketAddr, shelf: Arc<dyn Shelf>) {
    serve_with(ServeConfig::default(), stream, already, from, shelf).await;
}

/// ... with other patience than usual.
pub async fn serve_with(
    config: ServeConfig,
    stream: TcpStream,
    already: Vec<u8>,
    from: SocketAddr,
    shelf: Arc<dyn Shelf>,
) {
    let _ = stream.set_nodelay(true);
    let mut client = Client { config, stream, ahead: already };
    // Told also when the connection is cut from our side.
    let _ended = Ended { shelf: &*shelf, from };
    if let Err(error) = client.serve(from, &*shelf).await {
        log::debug!("upload to {from}: {error}");
    }
}

struct Ended<'a> {
    shelf: &'a dyn Shelf,
    from: SocketAddr,
}

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.shelf.gone(self.from);
    }
}

struct Client {
    config: ServeConfig,
    stream: TcpStream,
    ahead: Vec<u8>,
}

impl Client {
    async fn serve(&mut self, from: SocketAddr, shelf: &dyn Shelf) -> io::Result<()> {
        loop {
            let request = match self.request().await? {
                Some(Ok(request)) => request,
                Some(Err(why)) => {
                    log::debug!("{from} sent no request: {why}");
                    self.write_all(&bad_request().encode()).await?;
                    return self.linger().await;
                }
                None => return Ok(()),
            };
            let answer = shelf.answer(&request, from).await;
            // We read no bodies, so what follows one could not be told from it.
            let has_body = request.headers.get("Content-Length").is_some_and(|length| length.trim() != "0")
                || request.headers.get("Transfer-Encoding").is_some();
            let last = has_body || !request.keep_alive() || !answer.head.keep_alive();
            self.send(answer).await?;
            if last {
                return self.linger().await;
            }
        }
    }

    /// The next request; `None` when the client has had enough.
    async fn request(&mut self) -> io::Result<Option<Result<Request, String>>> {
        let mut begun: Option<Instant> = None;
        loop {
            match RawHead::decode(&self.ahead, HEAD_LIMIT) {
                Ok(Some((raw, taken))) => {
                    self.ahead.drain(..taken);
                    return Ok(Some(Request::parse(raw).map_err(|error| error.to_string())));
                }
                Ok(None) => {}
                Err(error) => return Ok(Some(Err(error.to_string()))),
            }
            if !self.ahead.is_empty() && begun.is_none() {
                begun = Some(Instant::now());
            }
            let patience = begun.map_or(self.config.idle, |begun| self.config.head.saturating_sub(begun.elapsed()));
            let had = self.ahead.len();
            self.ahead.resize(had + 4096, 0);
            let read = rt::timeout(patience, self.stream.read(&mut self.ahead[had..])).await;
            let read = read.unwrap_or_else(|late| Err(late.into()));
            self.ahead.truncate(had + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(_) if had == 0 => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    async fn send(&mut self, answer: Answer) -> io::Result<()> {
        let head = answer.head.encode();
        match answer.body {
            Body::Empty => self.write_all(&head).await,
            Body::Bytes(bytes) => {
                self.write_all(&[head, bytes].concat()).await?;
                answer.sent.fetch_add(answer.head.content_length().unwrap_or(0), Ordering::Relaxed);
                Ok(())
            }
            Body::File(file, range) => {
                let gone = send::send_head(&self.stream, &head);
                self.write_all(&head[gone..]).await?;
                self.send_file(&file, range, &answer.sent).await
            }
        }
    }

    /// Quick readers are served on the pool of threads that may block, slow ones are waited for here, where
    /// waiting costs no thread. A file that was cut short meanwhile ends the connection, since what the head
    /// promised cannot be kept.
    async fn send_file(&mut self, file: &Arc<File>, range: Range<u64>, sent: &Arc<AtomicU64>) -> io::Result<()> {
        let mut left = range;
        let mut pace = Pace { at: left.start, since: Instant::now(), patience: self.config.piece };
        while !left.is_empty() {
            let (file, stream, count) = (Arc::clone(file), self.stream.clone(), Arc::clone(sent));
            let turn = rt::spawn_blocking(move || send::turn(&file, &stream, left, &count)).await?;
            left = turn.left;
            pace.keep(left.start)?;
            let mut next = turn.next.as_slice();
            while !next.is_empty() {
                let written = self.write_some(next, sent).await?;
                next = &next[written..];
                left.start += written as u64;
                pace.keep(left.start)?;
            }
        }
        Ok(())
    }

    async fn write_some(&mut self, bytes: &[u8], sent: &AtomicU64) -> io::Result<usize> {
        let written =
            rt::timeout(self.config.stall, self.stream.write(bytes)).await.unwrap_or_else(|late| Err(late.into()))?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        sent.fetch_add(written as u64, Ordering::Relaxed);
        Ok(written)
    }

    async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = rt::timeout(self.config.stall, self.stream.write_all(bytes)).await;
        written.unwrap_or_else(|late| Err(late.into()))
    }

    async fn linger(&mut self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)?;
        let drain = async {
            let (mut sink, mut left) = ([0; 4096], LINGER);
            while let Ok(read @ 1..) = self.stream.read(&mut sink).await {
                left = left.saturating_sub(read);
                if left == 0 {
                    break;
                }
            }
        };
        let _ = rt::timeout(LINGER_TIME, drain).await;
        Ok(())
    }
}

/// Whether a reader keeps up the least pace that is asked of it.
struct Pace {
    /// Where it was ...
    at: u64,
    /// ... at that time.
    since: Instant,
    patience: Duration,
}

impl Pace {
    fn keep(&mut self, at: u64) -> io::Result<()> {
        if at - self.at >= PIECE {
            (self.at, self.since) = (at, Instant::now());
        } else if self.since.elapsed() > self.patience {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "reads too slowly"));
        }
        Ok(())
    }
}

fn bad_request() -> Response {
    let headers = Headers::default().with("Connection", "close").with("Content-Length", "0");
    Response { code: 400, reason: "Bad Request".into(), version: (1, 1), headers }
}
