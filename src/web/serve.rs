//! The server: accepts, guards, dispatches, stops.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::channel::{mpsc, oneshot};
use futures::future::{self, Either, Shared, select};
use futures::{AsyncReadExt, AsyncWriteExt, Future, FutureExt, StreamExt};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request};
use serde::{Deserialize, Serialize};

use super::answer::{self, Answer};
use super::guard::{self, By, Keys, Refusal, Token};
use super::io::{HyperStream, HyperTimer};
use super::login::{self, Login};
use super::page;
use super::reach::{Reach, near};
use super::routes::{Access, Call, Found, find};
use super::seats::Seats;
use super::uri;
use crate::app::{Error, ErrorCode, Node};
use crate::net::rt;

/// What bounds the callers.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at a time. For one more the oldest leaves that has not shown the token; where all have, the new one
    /// is told 503 and closed.
    pub connections: usize,
    /// Bytes of a body; a longer one is told 413.
    pub body: usize,
    /// Time for the head of a request, also on a connection that is kept open.
    pub head: Duration,
    /// Time for its body; then 408.
    pub body_time: Duration,
    /// Time for what is under way when the server stops.
    pub farewell: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 64,
            body: 64 * 1024,
            head: Duration::from_secs(10),
            body_time: Duration::from_secs(10),
            farewell: Duration::from_secs(1),
        }
    }
}

/// A setting that the servent runs with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Setting {
    /// Its name in `config.toml`.
    pub key: String,
    /// Its value.
    pub value: serde_json::Value,
    /// Which place won: `flag`, `env`, `file` or `default`.
    pub origin: String,
}

/// What every call may use.
pub struct Context {
    pub(super) node: Arc<Node>,
    pub(super) settings: Vec<Setting>,
    pub(super) own: SocketAddr,
    pub(super) reach: Reach,
    pub(super) token: Token,
    /// Where others than this machine may come in.
    pub(super) login: Option<Login>,
    limits: Limits,
    seats: Mutex<Seats>,
    stopped: Shared<oneshot::Receiver<()>>,
    ask_to_stop: Mutex<Option<oneshot::Sender<()>>>,
}

/// A running control API. Dropping it closes the port and lets what is under way run out.
pub struct Server {
    context: Arc<Context>,
    accepting: rt::Task<()>,
    stop: oneshot::Sender<()>,
    asked_to_stop: Shared<oneshot::Receiver<()>>,
    gone: mpsc::Receiver<Infallible>,
    farewell: Duration,
}

/// Opens the control API of `node` on `addr` (port 0 is any free one). Beyond loopback only if it is to reach beyond this
/// machine, and then only if its home has a password.
pub async fn serve(
    node: Arc<Node>,
    addr: SocketAddr,
    reach: Reach,
    token: Token,
    settings: Vec<Setting>,
    limits: Limits,
) -> Result<Server, Error> {
    reach.may_open(addr, node.home())?;
    let in_use = |error: std::io::Error| {
        let code = if error.kind() == std::io::ErrorKind::AddrInUse { ErrorCode::InUse } else { ErrorCode::Failed };
        Error::new(code, format!("cannot open the control API on {addr}: {error}")).hint("Try --api 127.0.0.1:0")
    };
    let listener = rt::TcpListener::bind(addr).await.map_err(in_use)?;
    let addr = listener.local_addr().map_err(in_use)?;
    let (stop, stopped) = oneshot::channel();
    let (ask, asked) = oneshot::channel();
    let login = matches!(reach, Reach::Beyond(_)).then(|| Login::new(node.home(), &token));
    let context = Arc::new(Context {
        node,
        settings,
        own: addr,
        reach,
        token,
        login,
        limits,
        seats: Mutex::default(),
        stopped: stopped.shared(),
        ask_to_stop: Mutex::new(Some(ask)),
    });
    // Each connection holds a sender; the channel ends when the last one is gone.
    let (alive, gone) = mpsc::channel(0);
    let accepting = rt::spawn(accept(listener, Arc::clone(&context), alive));
    Ok(Server { context, accepting, stop, asked_to_stop: asked.shared(), gone, farewell: limits.farewell })
}

impl Server {
    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.context.own
    }

    /// Where programs of this machine reach it.
    pub fn near(&self) -> SocketAddr {
        near(self.context.own)
    }

    /// Reads the password of this home again; whether it is another one now.
    pub async fn read_password(&self) -> bool {
        Arc::clone(&self.context).read_password().await
    }

    /// Ready when somebody called `POST /api/v1/shutdown`.
    pub fn asked_to_stop(&self) -> impl Future<Output = ()> + Send + use<> {
        self.asked_to_stop.clone().map(|_| ())
    }

    /// Closes the port, ends the streams, and gives the calls under way a moment to finish.
    pub async fn stop(mut self) {
        self.accepting.cancel().await;
        drop(self.stop);
        let _ = rt::timeout(self.farewell, async { while self.gone.next().await.is_some() {} }).await;
    }
}

impl Context {
    /// Ready when the server stops: streams end then.
    pub(super) fn stopped(&self) -> impl Future<Output = ()> + Send + use<> {
        self.stopped.clone().map(|_| ())
    }

    fn seats(&self) -> std::sync::MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What opens now is given to that.
    pub(super) fn with_keys<T>(&self, act: impl FnOnce(&Keys<'_>) -> T) -> T {
        let login = self.login.as_ref().and_then(Login::key);
        act(&Keys { token: &self.token, login: login.as_ref() })
    }

    /// Reads the password again. Where it is another one, who came in by the old one is sent away, streams and all.
    pub(super) async fn read_password(self: Arc<Self>) -> bool {
        rt::spawn_blocking(move || {
            let changed = self.login.as_ref().is_some_and(Login::read);
            if changed {
                self.seats().dismiss_logins();
            }
            changed
        })
        .await
    }

    pub(super) fn ask_to_stop(&self) {
        let sender = self.ask_to_stop.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(sender) = sender {
            let _ = sender.send(());
        }
    }
}

async fn accept(listener: rt::TcpListener, context: Arc<Context>, alive: mpsc::Sender<Infallible>) {
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                let alive = alive.clone();
                let from = from.ip().to_canonical();
                // In the order of arrival, whichever task runs first.
                let seat = Seat::take(&context, from);
                let context = Arc::clone(&context);
                rt::spawn(async move {
                    match seat {
                        Some(seat) => connection(stream, from, context, seat).await,
                        None => refuse(stream, context.limits.farewell).await,
                    }
                    drop(alive);
                })
                .detach();
            }
            Err(error) => {
                // Out of file descriptors, most likely: a moment later there may be some.
                log::warn!("the control API cannot accept: {error}");
                rt::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Says that there is no seat. What was sent to us is read before we close: closing on unread bytes would take
/// the answer along.
async fn refuse(mut stream: rt::TcpStream, patience: Duration) {
    let _ = stream.write_all(NO_SEAT).await;
    let mut unread = [0; 1024];
    let reading = async { while matches!(stream.read(&mut unread).await, Ok(n) if n == unread.len()) {} };
    let _ = rt::timeout(patience, reading).await;
}

async fn connection(stream: rt::TcpStream, from: IpAddr, context: Arc<Context>, seat: Seat) {
    let _ = stream.set_nodelay(true);
    let number = seat.number;
    let service = service_fn(|request| {
        let context = Arc::clone(&context);
        async move { Ok::<_, Infallible>(handle(context, (number, from), request).await) }
    });
    let serving = http1::Builder::new()
        .timer(HyperTimer)
        .header_read_timeout(context.limits.head)
        .max_buf_size(32 * 1024)
        .serve_connection(HyperStream::new(stream), service);
    let mut serving = pin!(serving);
    let leave = pin!(seat.taken_away());
    let ended = match select(serving.as_mut(), select(context.stopped(), leave)).await {
        Either::Left((ended, _)) => ended,
        Either::Right((Either::Right(_), _)) => Ok(()),
        Either::Right((Either::Left(_), _)) => {
            serving.as_mut().graceful_shutdown();
            rt::timeout(context.limits.farewell, serving).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        log::debug!("control API: {error}");
    }
}

const NO_SEAT: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// One of the seats for connections, given back when dropped.
struct Seat {
    context: Arc<Context>,
    number: u64,
    /// Told when a newcomer needs it, or the password that kept it is another one.
    leave: Shared<oneshot::Receiver<()>>,
}

impl Seat {
    fn take(context: &Arc<Context>, from: IpAddr) -> Option<Self> {
        let (number, leave) = context.seats().take(from, context.limits.connections)?;
        Some(Self { context: Arc::clone(context), number, leave: leave.shared() })
    }

    /// Ready when the seat has to be left.
    async fn taken_away(&self) {
        if self.leave.clone().await.is_err() {
            future::pending::<()>().await;
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.context.seats().leave(self.number);
    }
}

/// One request, from the guards to the answer. The order is the promise: who asks, then what.
async fn handle(context: Arc<Context>, (seat, from): (u64, IpAddr), request: Request<Incoming>) -> Answer {
    let (head, body) = request.into_parts();
    if let Err(refusal) = guard::check_source(context.own, &context.reach, head.uri.authority(), &head.headers) {
        return answer::refusal(refusal);
    }
    if let Some(file) = page::find(head.uri.path()) {
        return match head.method {
            Method::GET | Method::HEAD => answer::page(file, file.is_known(&head.headers)),
            _ => answer::refusal(WRONG_METHOD),
        };
    }
    let found = find(&head.method, head.uri.path());
    let access = if let Found::Route(route, _) = &found { route.access } else { Access::Token };
    let may = || {
        context.with_keys(|keys| match (access, &found) {
            (Access::Open, _) => Ok(None),
            (Access::Login, _) if keys.login.is_some() => Ok(None),
            (Access::Login, _) => Err(NO_LOGIN),
            (Access::Key, Found::Route(_, path)) => guard::check_key(keys, path).map(Some),
            _ => guard::check_token(keys, context.own.port(), &head.method, &head.headers).map(Some),
        })
    };
    let kept = may().and_then(|by| match by {
        Some(by) => {
            context.seats().keep(seat, by);
            // A password that is another one since we looked sent away only those whom it knew.
            if by == By::Login { may() } else { Ok(Some(by)) }
        }
        None => Ok(None),
    });
    let by = match kept {
        Ok(by) => by.unwrap_or(By::Token),
        Err(refusal) => {
            log::debug!("{}: refused: {}", head.method, refusal.1);
            return answer::refusal(refusal);
        }
    };
    let (route, path) = match found {
        Found::Route(route, path) => (route, path),
        Found::WrongMethod => return answer::refusal(WRONG_METHOD),
        Found::Nothing => return answer::refusal(NO_ROUTE),
    };
    let Some(query) = uri::query(head.uri.query().unwrap_or_default()) else { return answer::refusal(BAD_QUERY) };
    let limits = match access {
        Access::Login => Limits { body: login::BODY, ..context.limits },
        _ => context.limits,
    };
    let body = match read(body, limits).await {
        Ok(body) => body,
        Err(refusal) => return answer::refusal(refusal),
    };
    let node = Arc::clone(&context.node);
    let answer = match route.call(Call { context, path, query, headers: head.headers, body, from, by }).await {
        Ok(answer) => answer,
        Err(error) => answer::error(&error, node.home()),
    };
    // The route, not the path: a player's path has its key in it.
    log::debug!("{} {}: {}", head.method, route.path, answer.status());
    answer
}

const WRONG_METHOD: Refusal =
    (405, "wrong_method", "this path does not take that method", "GET /api/v1 lists the routes.");
const NO_ROUTE: Refusal = (404, "no_route", "there is no such path", "GET /api/v1 lists the routes.");
const BAD_QUERY: Refusal =
    (400, "usage", "the query string cannot be read", "Write %XX for what is not a letter or digit.");
pub(super) const NO_LOGIN: Refusal = (
    404,
    "no_login",
    "no password opens this servent from here",
    "Use the token: `filbert web`. Other machines: docs/GUIDE.md, \"The page from another machine\".",
);
const TOO_LONG: Refusal = (413, "too_long", "the body is longer than it may be", "");
const TOO_SLOW: Refusal = (408, "timed_out", "the body took too long to arrive", "");
const BROKEN: Refusal = (400, "usage", "the body broke off", "");

async fn read(body: Incoming, limits: Limits) -> Result<Bytes, Refusal> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    match rt::timeout(limits.body_time, Limited::new(body, limits.body).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(TOO_LONG),
        Ok(Err(_)) => Err(BROKEN),
        Err(rt::TimedOut) => Err(TOO_SLOW),
    }
}
