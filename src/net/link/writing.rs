//! The writing half of a link: what the driver gives, in few system calls, deflated if that was agreed.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures::channel::mpsc;
use futures::future::{Either, select};
use futures::{AsyncWriteExt, FutureExt, SinkExt, StreamExt};

use super::packing::Packing;
use super::{Gauge, ToLink};
use crate::net::driver::Message;
use crate::net::rt::{self, TcpStream};
use crate::net::secret::Sealer;
use crate::proto::CloseReason;

/// A write carries about this much: enough for few system calls, little enough to stay near the queue's order.
pub(in crate::net) const WRITE_BATCH: usize = 64 * 1024;
/// Pieces of memory that one write gathers at most.
const WRITE_PIECES: usize = 32;
/// A peer that takes nothing for so long is gone.
const WRITE_LIMIT: Duration = Duration::from_secs(60);

/// What becomes of the bytes that we send.
pub(super) struct Outgoing {
    /// They are deflated.
    pub(super) packing: Option<Packing>,
    /// They are encrypted, after that.
    pub(super) sealer: Option<Sealer>,
}

impl Outgoing {
    fn code(&mut self, mut pieces: VecDeque<Bytes>) -> Result<VecDeque<Bytes>, CloseReason> {
        if pieces.is_empty() {
            return Ok(pieces);
        }
        if let Some(packing) = &mut self.packing {
            pieces = VecDeque::from([packing.code(pieces).into()]);
        }
        if let Some(sealer) = &mut self.sealer {
            pieces = VecDeque::from([sealer.seal(&Vec::from(pieces).concat())?.into()]);
        }
        Ok(pieces)
    }
}

/// Writes until the link is closed.
pub(super) async fn write(
    stream: &TcpStream,
    mut outgoing: Outgoing,
    mut from_driver: mpsc::UnboundedReceiver<ToLink>,
    mut driver: mpsc::Sender<Message>,
    gauge: Arc<Gauge>,
) -> CloseReason {
    while let Some(first) = next(&mut from_driver, &mut outgoing.packing).await {
        let batch = gather(first, &mut from_driver);
        let bytes = batch.bytes;
        let pieces = match outgoing.code(batch.pieces) {
            Ok(pieces) => pieces,
            Err(reason) => return reason,
        };
        // What a write in pieces needs is not held while none is under way.
        match Box::pin(rt::timeout(WRITE_LIMIT, write_pieces(stream, pieces))).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return batch.close.unwrap_or(CloseReason::Broken),
            Err(rt::TimedOut) => return CloseReason::Silent,
        }
        if let Some(reason) = batch.close {
            return reason;
        }
        gauge.waiting.fetch_sub(bytes, SeqCst);
        if gauge.asked.swap(false, SeqCst) {
            let _ = driver.send(Message::Wrote).await;
        }
    }
    CloseReason::Shutdown
}

/// The next order. Meanwhile a compressor is let go when its time is over.
async fn next(from_driver: &mut mpsc::UnboundedReceiver<ToLink>, packing: &mut Option<Packing>) -> Option<ToLink> {
    loop {
        let rest_at = packing.as_ref().and_then(Packing::rest_at);
        if rest_at.is_none() {
            return from_driver.next().await;
        }
        // Dropped with the compressor: nothing wakes an idle link.
        let mut timer = Box::new(rt::Timer::never());
        timer.set(rest_at);
        match select(from_driver.next(), timer).await {
            Either::Left((order, _)) => return order,
            Either::Right(_) => packing.iter_mut().for_each(Packing::rest_if_quiet),
        }
    }
}

/// What one write carries.
struct Batch {
    pieces: VecDeque<Bytes>,
    bytes: usize,
    close: Option<CloseReason>,
}

fn gather(first: ToLink, from_driver: &mut mpsc::UnboundedReceiver<ToLink>) -> Batch {
    let mut batch = Batch { pieces: VecDeque::new(), bytes: 0, close: None };
    let mut next = Some(first);
    while let Some(order) = next {
        match order {
            ToLink::Frames(frames) => {
                batch.bytes += frames.len();
                batch.pieces.push_back(frames);
            }
            ToLink::Leg(..) => {}
            ToLink::Close(reason) => {
                batch.close = Some(reason);
                break;
            }
        }
        let more = batch.bytes < WRITE_BATCH && batch.pieces.len() < WRITE_PIECES;
        next = more.then(|| from_driver.next().now_or_never().flatten()).flatten();
    }
    batch
}

/// Writes all of them, as many as the socket takes with each system call.
async fn write_pieces(mut stream: &TcpStream, mut pieces: VecDeque<Bytes>) -> io::Result<()> {
    while !pieces.is_empty() {
        let mut slices = [IoSlice::new(&[]); WRITE_PIECES];
        let filled = pieces.iter().zip(&mut slices).map(|(piece, slice)| *slice = IoSlice::new(piece)).count();
        let mut written = stream.write_vectored(&slices[..filled]).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        while let Some(piece) = pieces.front_mut() {
            let taken = written.min(piece.len());
            piece.advance(taken);
            written -= taken;
            if !piece.is_empty() {
                break;
            }
            pieces.pop_front();
        }
    }
    Ok(())
}
