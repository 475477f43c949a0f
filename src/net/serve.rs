//! The giving end of peer HTTP: one connection, one request after the other.

use std::any::Any;
use std::fs::File;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use futures::future::BoxFuture;

use super::rt::TcpStream;
use crate::wire::http::{Request, Response};

/// What answers requests: the application's shelf of shared files.
pub trait Shelf: Send + Sync + 'static {
    /// Decides what to send. The future may open a file; it must not run for long.
    fn answer<'a>(&'a self, request: &'a Request, from: SocketAddr) -> BoxFuture<'a, Answer>;
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
#[allow(unused_variables, clippy::todo)]
pub async fn serve(stream: TcpStream, already: Vec<u8>, from: SocketAddr, shelf: Arc<dyn Shelf>) {
    todo!()
}
