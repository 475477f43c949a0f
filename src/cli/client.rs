//! A small client of the control API: JSON or lines of JSON, over connections that are used again.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{Stream, TryStreamExt};
use http_body_util::{BodyExt, BodyStream, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::exit::{Exit, Failure};
use crate::app::ErrorCode;
use crate::app::view::EventView;
use crate::net::rt;
use crate::web::Token;
use crate::web::io::HyperStream;

/// Bytes of one answer; a million transfers fit.
const ANSWER: usize = 512 << 20;
/// Bytes of one line of a stream.
const LINE: usize = 1 << 20;

/// Connections that rest between two calls.
const RESTING: usize = 16;
/// ... for so long: well within the time that the servent waits for a head.
const RESTS: Duration = Duration::from_secs(4);

/// Lines of a stream, each read as a value.
pub type Lines<T> = Pin<Box<dyn Stream<Item = Result<T, Failure>> + Send>>;

/// Sends requests on one connection.
type Sender = http1::SendRequest<Full<Bytes>>;

/// Talks to one servent.
#[derive(Clone, Debug)]
pub struct Client {
    addr: SocketAddr,
    token: Token,
    /// Connections on which nothing is under way, and since when.
    resting: Arc<Mutex<Vec<(Instant, Sender)>>>,
}

/// An error as the API writes it. The HTTP side has codes of its own.
#[derive(Deserialize)]
struct ErrorBody {
    error: ErrorText,
}

/// What it says.
#[derive(Debug, Deserialize)]
pub struct ErrorText {
    code: Value,
    message: String,
    #[serde(default)]
    hint: String,
}

impl From<ErrorText> for Failure {
    fn from(error: ErrorText) -> Self {
        let exit = serde_json::from_value::<ErrorCode>(error.code).map_or(Exit::Failed, Exit::from);
        Self { exit, message: error.message, hint: error.hint }
    }
}

impl Client {
    /// For the servent whose control API is there.
    pub fn new(addr: SocketAddr, token: Token) -> Self {
        Self { addr, token, resting: Arc::default() }
    }

    /// Where that servent's control API is.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its secret.
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// A value.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.call(Method::GET, path, None).await
    }

    /// A call with a body; its answer.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: Value) -> Result<T, Failure> {
        self.call(Method::POST, path, Some(body)).await
    }

    /// A call with a body; its answer.
    pub async fn put<T: DeserializeOwned>(&self, path: &str, body: Value) -> Result<T, Failure> {
        self.call(Method::PUT, path, Some(body)).await
    }

    /// A call without one.
    pub async fn delete(&self, path: &str) -> Result<(), Failure> {
        self.call::<Value>(Method::DELETE, path, None).await.map(|_| ())
    }

    async fn call<T: DeserializeOwned>(&self, method: Method, path: &str, body: Option<Value>) -> Result<T, Failure> {
        let (answer, sender) = self.send(method, path, body).await?;
        let bytes = Limited::new(answer.into_body(), ANSWER).collect().await.map_err(|_| gone())?.to_bytes();
        let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        if resting.len() < RESTING {
            resting.push((Instant::now(), sender));
        }
        drop(resting);
        read(&bytes)
    }

    /// A stream of lines, until the servent ends it. An `Err` is the last item.
    pub async fn lines<T: DeserializeOwned + Send + 'static>(&self, path: &str) -> Result<Lines<T>, Failure> {
        self.picked(path, |line| Some(line)).await
    }

    /// What happens from now on.
    pub async fn events(&self) -> Result<Lines<EventView>, Failure> {
        // Of server-sent events only the data matters: it names its event.
        self.picked("/api/v1/events", |line| line.strip_prefix(b"data: ")).await
    }

    /// The same: what `pick` finds in each line that is not empty.
    async fn picked<T: DeserializeOwned + Send + 'static>(
        &self,
        path: &str,
        pick: fn(&[u8]) -> Option<&[u8]>,
    ) -> Result<Lines<T>, Failure> {
        let (answer, _) = self.send(Method::GET, path, None).await?;
        let state = (BodyStream::new(answer.into_body()), Vec::new());
        let lines = futures::stream::try_unfold(state, move |(mut body, mut pending)| async move {
            loop {
                if let Some(end) = pending.iter().position(|&byte| byte == b'\n') {
                    let line: Vec<u8> = pending.drain(..=end).collect();
                    match pick(line.trim_ascii()) {
                        Some(line) if !line.is_empty() => return Ok(Some((read(line)?, (body, pending)))),
                        _ => continue,
                    }
                }
                if pending.len() > LINE {
                    return Err(Failure::new(Exit::Failed, "the servent sent a line without end"));
                }
                match body.try_next().await.map_err(|_| gone())? {
                    Some(frame) => pending.extend_from_slice(frame.data_ref().map_or(&[], |data| data)),
                    None => return Ok(None),
                }
            }
        });
        Ok(Box::pin(lines))
    }

    /// Whether a servent that takes our token is there. One with no seat left for us is.
    pub async fn is_there(&self) -> bool {
        let answer = self.ask(Method::GET, "/api/v1/status", None).await;
        answer
            .is_ok_and(|(answer, _)| answer.status().is_success() || answer.status() == StatusCode::SERVICE_UNAVAILABLE)
    }

    /// Sends a request and waits for the head of the answer; an error there becomes a failure here.
    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Result<Answered, Failure> {
        let (answer, sender) = self.ask(method, path, body).await?;
        if answer.status().is_success() {
            return Ok((answer, sender));
        }
        let status = answer.status();
        let bytes = Limited::new(answer.into_body(), LINE).collect().await.map_err(|_| gone())?.to_bytes();
        let Ok(ErrorBody { error }) = serde_json::from_slice::<ErrorBody>(&bytes) else {
            return Err(match status {
                StatusCode::SERVICE_UNAVAILABLE => {
                    Failure::new(Exit::Failed, "the servent has too many connections to its control API")
                        .hint("Try again in some seconds")
                }
                _ => Failure::new(Exit::Failed, format!("the servent answered {status}")),
            });
        };
        Err(error.into())
    }

    /// Sends a request and waits for the head of the answer, whatever it says.
    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Result<Answered, Failure> {
        let body = body.map_or_else(Bytes::new, |body| body.to_string().into());
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.addr.to_string())
            .header(AUTHORIZATION, format!("Bearer {}", self.token.as_str()))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| Failure::new(Exit::Failed, format!("cannot ask the servent: {error}")))?;
        let Some(mut sender) = self.rested().await else {
            return self.ask_anew(request).await;
        };
        match sender.try_send_request(request).await {
            Ok(answer) => Ok((answer, sender)),
            // It was closed before anything of it was sent.
            Err(mut error) => match error.take_message() {
                Some(request) => self.ask_anew(request).await,
                None => Err(gone()),
            },
        }
    }

    /// Over a new connection.
    async fn ask_anew(&self, request: Request<Full<Bytes>>) -> Result<Answered, Failure> {
        let stream = rt::TcpStream::connect(self.addr).await.map_err(|_| gone())?;
        let _ = stream.set_nodelay(true);
        let (mut sender, connection) = http1::handshake(HyperStream::new(stream)).await.map_err(|_| gone())?;
        // It lives as long as the answer's body is read, or rests.
        rt::spawn(async move {
            if let Err(error) = connection.await {
                log::debug!("control API: {error}");
            }
        })
        .detach();
        let answer = sender.send_request(request).await.map_err(|_| gone())?;
        Ok((answer, sender))
    }

    /// A connection that is open, the last that was used.
    async fn rested(&self) -> Option<Sender> {
        loop {
            let (since, mut sender) = self.resting.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
            if since.elapsed() < RESTS && sender.ready().await.is_ok() {
                return Some(sender);
            }
        }
    }
}

/// The head of an answer, and what it came over.
type Answered = (Response<Incoming>, Sender);

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(bytes)
        .map_err(|error| Failure::new(Exit::Failed, format!("the servent answered what we cannot read: {error}")))
}

/// The servent went away while we talked, or has no seat for us.
fn gone() -> Failure {
    Failure::new(Exit::Failed, "the servent went away, or has too many connections to its control API")
        .hint("If it is gone, start it again with `filbert up`; downloads go on by themselves")
}
