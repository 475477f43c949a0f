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
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::{Either, select};
use futures::{AsyncReadExt, AsyncWriteExt};

use super::flow::Tap;
use super::rt::{self, TcpStream};
use super::send;
pub use super::send::read_at;
use crate::wire::head::{Headers, RawHead};
use crate::wire::http::{HEAD_LIMIT, Request, Response};

/// After the last answer we take what the client still sends, up to this and for [`LINGER_TIME`]: closing on
/// unread bytes would make the kernel throw our answer away.
const LINGER: usize = 64 * 1024;
const LINGER_TIME: Duration = Duration::from_secs(1);

/// Bytes that the first read of a head takes, and each further one.
const FIRST_READ: usize = 512;
const NEXT_READ: usize = 4096;
/// Threads that may wait for the next requests of clients.
const SEATS: usize = 8;
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
    /// Decides what to send. It is called where it may block: it may open and read a file.
    fn answer(&self, request: &Request, from: SocketAddr) -> Answer;

    /// A connection has ended: what was kept for it is not needed any more.
    fn gone(&self, from: SocketAddr) {
        let _ = from;
    }

    /// What a connection takes the bytes of its bodies from: their speed.
    fn tap(&self, from: SocketAddr) -> Tap {
        let _ = from;
        Tap::default()
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
    /// What is made while it is sent.
    Pieces(Box<dyn Pieces>),
}

/// A body that is made while it is sent.
pub trait Pieces: Send {
    /// Appends the next piece to `out`; when it appends nothing, all is said. Called where it may block.
    fn next(&mut self, out: &mut Vec<u8>);
}

/// Since when a connection waits for its next request: the one that does so longest is closed first.
#[derive(Debug, Default)]
pub struct Rest {
    since: Mutex<Option<Instant>>,
    seats: Arc<Seats>,
}

/// How many threads wait for the next request of a client that has just been served.
#[derive(Debug, Default)]
pub struct Seats(AtomicUsize);

impl Rest {
    /// A connection that shares its seats with others.
    pub fn among(seats: &Arc<Seats>) -> Self {
        Self { since: Mutex::default(), seats: Arc::clone(seats) }
    }

    /// Since when; `None` while a request is under way.
    pub fn since(&self) -> Option<Instant> {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self) {
        self.since.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(Instant::now);
    }

    fn end(&self) {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Seats {
    /// Does `wait` in a seat; `None` if they are all taken.
    fn sit<T>(&self, wait: impl FnOnce() -> T) -> Option<T> {
        let result = (self.0.fetch_add(1, Ordering::Relaxed) < SEATS).then(wait);
        self.0.fetch_sub(1, Ordering::Relaxed);
        result
    }
}

/// Serves a connection until either side has had enough. `already` are bytes that were read from it to tell
/// what it is.
pub(super) async fn serve(
    stream: TcpStream,
    already: Vec<u8>,
    from: SocketAddr,
    shelf: Arc<dyn Shelf>,
    rest: Arc<Rest>,
) {
    serve_noting(ServeConfig::default(), stream, already, from, shelf, rest).await;
}

/// ... with other patience than usual.
pub async fn serve_with(
    config: ServeConfig,
    stream: TcpStream,
    already: Vec<u8>,
    from: SocketAddr,
    shelf: Arc<dyn Shelf>,
) {
    serve_noting(config, stream, already, from, shelf, Arc::default()).await;
}

async fn serve_noting(
    config: ServeConfig,
    stream: TcpStream,
    already: Vec<u8>,
    from: SocketAddr,
    shelf: Arc<dyn Shelf>,
    rest: Arc<Rest>,
) {
    let _ = stream.set_nodelay(true);
    // Told also when the connection is cut from our side.
    let _ended = Ended { shelf: Arc::clone(&shelf), from };
    let client = Client {
        stream,
        from,
        tap: shelf.tap(from),
        shelf,
        rest,
        ahead: already,
        out: Vec::new(),
        gone: 0,
        body: None,
        granted: 0,
        last: false,
    };
    if let Err(error) = client.serve(&config).await {
        log::debug!("upload to {from}: {error}");
    }
}

struct Ended {
    shelf: Arc<dyn Shelf>,
    from: SocketAddr,
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.shelf.gone(self.from);
    }
}

/// A connection. It goes back and forth between a thread that may block, which answers and sends, and the
/// executor, which waits for the client.
struct Client {
    stream: TcpStream,
    from: SocketAddr,
    shelf: Arc<dyn Shelf>,
    rest: Arc<Rest>,
    /// Bytes that the client has sent and we have not looked at.
    ahead: Vec<u8>,
    /// Bytes to send next, of which so many are gone.
    out: Vec<u8>,
    gone: usize,
    /// What follows them.
    body: Option<Sending>,
    /// Where the bytes of bodies are taken from, and how many of them may go now.
    tap: Tap,
    granted: u64,
    /// The answer under way is the last one.
    last: bool,
}

/// An answer under way.
struct Sending {
    /// The bytes of the body that are in `out` behind the head, counted when they are gone.
    with_head: u64,
    /// What is left of the file.
    file: Option<(Arc<File>, Range<u64>)>,
    /// What makes the rest.
    pieces: Option<Box<dyn Pieces>>,
    sent: Arc<AtomicU64>,
    pace: Pace,
    /// Given back when this is dropped.
    _slot: Option<Box<dyn Any + Send>>,
}

impl Sending {
    fn done(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

/// What the work on a thread that may block has come to.
enum Wants {
    /// More of it, after others had their turn.
    Work,
    /// The client is to send a request.
    Request,
    /// The client is to take what is in `out`.
    Room,
    /// More of the body may go only later.
    Leave,
    /// All is said.
    Goodbye,
    /// The client has left.
    Nothing,
}

impl Client {
    async fn serve(mut self, config: &ServeConfig) -> io::Result<()> {
        loop {
            let (client, wants) = rt::spawn_blocking(move || {
                let wants = self.work();
                (self, wants)
            })
            .await;
            self = client;
            match wants? {
                Wants::Work => {}
                Wants::Request => {
                    self.rest.begin();
                    let came = self.request(config).await?;
                    self.rest.end();
                    if !came {
                        return Ok(());
                    }
                }
                Wants::Room => self.make_room(config).await?,
                Wants::Leave => self.wait_for_leave().await?,
                Wants::Goodbye => return self.linger().await,
                Wants::Nothing => return Ok(()),
            }
        }
    }

    /// Answers and sends as long as it need not wait for the client. Blocks on files, and on the client for a
    /// moment only.
    fn work(&mut self) -> io::Result<Wants> {
        let begun = Instant::now();
        loop {
            if let Some(wants) = self.send()? {
                return Ok(wants);
            }
            if self.last {
                return Ok(Wants::Goodbye);
            }
            if begun.elapsed() > send::TURN {
                return Ok(Wants::Work);
            }
            match RawHead::decode(&self.ahead, HEAD_LIMIT) {
                Ok(Some((raw, taken))) => {
                    self.ahead.drain(..taken);
                    match Request::parse(raw) {
                        Ok(request) => self.answer(&request),
                        Err(error) => self.refuse(&error.to_string()),
                    }
                }
                Ok(None) if !self.ahead.is_empty() => return Ok(Wants::Request),
                Ok(None) => {
                    self.ahead.resize(FIRST_READ, 0);
                    let came = self.receive();
                    self.ahead.truncate(*came.as_ref().ok().and_then(Option::as_ref).unwrap_or(&0));
                    match came? {
                        Some(0) => return Ok(Wants::Nothing),
                        Some(_) => {}
                        None => return Ok(Wants::Request),
                    }
                }
                Err(error) => self.refuse(&error.to_string()),
            }
        }
    }

    /// Reads what the client sends next, if it does so within a moment: who has just been served often asks
    /// again at once, and waking threads for each small file would cost more than sending it.
    fn receive(&mut self) -> io::Result<Option<usize>> {
        let came = send::try_receive(&self.stream, &mut self.ahead)?;
        if came.is_some() {
            return Ok(came);
        }
        self.rest.begin();
        if !self.rest.seats.sit(|| send::wait_for_bytes(&self.stream)).unwrap_or(Ok(false))? {
            return Ok(None);
        }
        self.rest.end();
        send::try_receive(&self.stream, &mut self.ahead)
    }

    fn answer(&mut self, request: &Request) {
        let answer = self.shelf.answer(request, self.from);
        // We read no bodies, so what follows one could not be told from it.
        let has_body = request.headers.get("Content-Length").is_some_and(|length| length.trim() != "0")
            || request.headers.get("Transfer-Encoding").is_some();
        self.last = has_body || !request.keep_alive() || !answer.head.keep_alive();
        self.out = answer.head.encode();
        let (with_head, file, pieces) = match answer.body {
            Body::Empty => (0, None, None),
            Body::Bytes(bytes) => {
                self.out.extend_from_slice(&bytes);
                (bytes.len() as u64, None, None)
            }
            Body::File(file, range) => (0, Some((file, range)), None),
            Body::Pieces(pieces) => (0, None, Some(pieces)),
        };
        let (sent, pace) = (answer.sent, Pace::default());
        self.body = Some(Sending { with_head, file, pieces, sent, pace, _slot: answer.slot });
    }

    fn refuse(&mut self, why: &str) {
        log::debug!("{} sent no request: {why}", self.from);
        self.out = bad_request().encode();
        self.last = true;
    }

    /// Sends what the client takes; `None` when all of the answer is gone.
    fn send(&mut self) -> io::Result<Option<Wants>> {
        let begun = Instant::now();
        let more = self.body.as_ref().is_some_and(|body| body.file.is_some());
        loop {
            if self.gone < self.out.len() {
                let may = self.may_go();
                let sent = send::try_send(&self.stream, &self.out[self.gone..][..may], more)?;
                self.went(sent);
                if self.gone < self.out.len() {
                    return Ok(Some(if self.may_go() == 0 { Wants::Leave } else { Wants::Room }));
                }
            }
            self.out_is_gone();
            if !self.next_piece() {
                break;
            }
            if begun.elapsed() > send::TURN {
                return Ok(Some(Wants::Work));
            }
        }
        let Some(Sending { file: Some((file, left)), sent, .. }) = &mut self.body else {
            self.body = None;
            return Ok(None);
        };
        let may = if self.tap.is_limited() { self.granted } else { u64::MAX };
        let part = left.start..left.end.min(left.start.saturating_add(may));
        if part.is_empty() && !left.is_empty() {
            return Ok(Some(Wants::Leave));
        }
        let turn = send::turn(file, &self.stream, part, sent)?;
        self.granted = self.granted.saturating_sub(turn.left.start - left.start);
        left.start = turn.left.start + turn.next.len() as u64;
        if !turn.next.is_empty() {
            self.out = turn.next;
            if let Some(body) = &mut self.body {
                body.with_head = self.out.len() as u64;
            }
            return Ok(Some(Wants::Room));
        }
        if !left.is_empty() {
            return Ok(Some(if self.tap.is_limited() && self.granted == 0 { Wants::Leave } else { Wants::Work }));
        }
        self.body = None;
        Ok(None)
    }

    /// How many of the next bytes in `out` may go now: heads always, of a body those that were granted.
    fn may_go(&self) -> usize {
        let waiting = self.out.len() - self.gone;
        let of_body = self.body.as_ref().map_or(0, |body| body.with_head);
        if of_body == 0 || !self.tap.is_limited() {
            return waiting;
        }
        let head = waiting.saturating_sub(usize::try_from(of_body).unwrap_or(usize::MAX));
        waiting.min(head.saturating_add(usize::try_from(self.granted).unwrap_or(usize::MAX)))
    }

    /// So many of the bytes in `out` are gone.
    fn went(&mut self, sent: usize) {
        let of_body = self.body.as_ref().map_or(0, |body| body.with_head);
        let head = (self.out.len() - self.gone).saturating_sub(usize::try_from(of_body).unwrap_or(usize::MAX));
        self.gone += sent;
        self.granted = self.granted.saturating_sub(sent.saturating_sub(head) as u64);
    }

    /// Waits until more of the body may go; an error when the client leaves meanwhile, as it holds a slot.
    async fn wait_for_leave(&mut self) -> io::Result<()> {
        let file = self.body.as_ref().and_then(|body| body.file.as_ref());
        let left = file.map_or(0, |(_, left)| left.end - left.start) + (self.out.len() - self.gone) as u64;
        let begun = Instant::now();
        let (tap, stream) = (&self.tap, &self.stream);
        let left_us = async {
            let mut one = [0];
            match stream.peek(&mut one).await {
                Ok(0) => io::ErrorKind::ConnectionAborted.into(),
                Err(error) => error,
                // It asks for the next one already: of its leaving we hear when that is read.
                Ok(_) => std::future::pending().await,
            }
        };
        let granted = match select(std::pin::pin!(tap.take(left)), std::pin::pin!(left_us)).await {
            Either::Left((granted, _)) => granted,
            Either::Right((error, _)) => return Err(error),
        };
        // Without a limit all that was wanted is granted, which is not to outlast the next limit.
        self.granted = if self.tap.is_limited() { self.granted + granted } else { 0 };
        if let Some(body) = &mut self.body {
            body.pace.forgive(begun.elapsed());
        }
        Ok(())
    }

    /// Takes the next piece of a body that is made while it is sent; `false` when there is none.
    fn next_piece(&mut self) -> bool {
        let Some(Sending { pieces: Some(pieces), with_head, .. }) = &mut self.body else { return false };
        pieces.next(&mut self.out);
        *with_head = self.out.len() as u64;
        !self.out.is_empty()
    }

    fn out_is_gone(&mut self) {
        (self.out, self.gone) = (Vec::new(), 0);
        if let Some(body) = &mut self.body {
            body.sent.fetch_add(std::mem::take(&mut body.with_head), Ordering::Relaxed);
        }
    }

    /// Waits until the client has sent a whole head, or what will never be one; `false` when it has left.
    async fn request(&mut self, config: &ServeConfig) -> io::Result<bool> {
        let mut begun = (!self.ahead.is_empty()).then(Instant::now);
        while let Ok(None) = RawHead::decode(&self.ahead, HEAD_LIMIT) {
            if !self.ahead.is_empty() && begun.is_none() {
                begun = Some(Instant::now());
            }
            let patience = begun.map_or(config.idle, |begun| config.head.saturating_sub(begun.elapsed()));
            let had = self.ahead.len();
            // Most connections wait here most of the time: what waits is small.
            if had == 0 {
                self.ahead = Vec::new();
            }
            self.ahead.resize(had + if had == 0 { FIRST_READ } else { NEXT_READ }, 0);
            let read = rt::timeout(patience, self.stream.read(&mut self.ahead[had..])).await;
            let read = read.unwrap_or_else(|late| Err(late.into()));
            self.ahead.truncate(had + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) => return Ok(false),
                Ok(_) => {}
                Err(_) if had == 0 => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Waits until the client has taken what is in `out`. It may take its time, but not for ever: a reader that
    /// takes nothing, or less than [`PIECE`] in the time it has for that, is cut.
    async fn make_room(&mut self, config: &ServeConfig) -> io::Result<()> {
        while self.gone < self.out.len() {
            let may = self.may_go();
            if may == 0 {
                self.wait_for_leave().await?;
                continue;
            }
            let left = self.body.as_ref().map_or(config.stall, |body| body.pace.left(config.piece));
            let patience = left.min(config.stall);
            let write = rt::timeout(patience, self.stream.write(&self.out[self.gone..][..may])).await;
            let written = write.unwrap_or_else(|late| Err(late.into()))?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.went(written);
            if let Some(body) = &mut self.body {
                body.pace.keep(body.done() + self.gone as u64, config.piece)?;
            }
        }
        self.out_is_gone();
        Ok(())
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
#[derive(Default)]
struct Pace {
    /// How far it was ...
    at: u64,
    /// ... at that time, when it was first waited for or had taken [`PIECE`] more.
    since: Option<Instant>,
}

impl Pace {
    /// How long it may take until then.
    fn left(&self, patience: Duration) -> Duration {
        self.since.map_or(patience, |since| patience.saturating_sub(since.elapsed()))
    }

    /// So long it was we who kept it waiting.
    fn forgive(&mut self, waited: Duration) {
        self.since = self.since.and_then(|since| since.checked_add(waited));
    }

    fn keep(&mut self, at: u64, patience: Duration) -> io::Result<()> {
        match self.since {
            Some(since) if at.saturating_sub(self.at) < PIECE => {
                if since.elapsed() > patience {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "reads too slowly"));
                }
            }
            _ => (self.at, self.since) = (at, Some(Instant::now())),
        }
        Ok(())
    }
}

fn bad_request() -> Response {
    let headers = Headers::default().with("Connection", "close").with("Content-Length", "0");
    Response { code: 400, reason: "Bad Request".into(), version: (1, 1), headers }
}
