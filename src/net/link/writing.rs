//! The writing half of a link: what the driver gives, in few system calls, deflated if that was agreed.

use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, IoSlice};
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures::AsyncWriteExt;
use futures::future::{Either, select};

use super::Common;
use super::desk::{Desk, ToLink};
use super::packing::Packing;
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
    pub(super) packing: Option<Box<Packing>>,
    /// They are encrypted, after that.
    pub(super) sealer: Option<Box<Sealer>>,
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
#[allow(clippy::manual_async_fn)] // those hold their arguments twice
pub(super) fn write<'a>(
    stream: &'a TcpStream,
    mut outgoing: Outgoing,
    desk: &'a Desk,
    common: &'a Common,
) -> impl Future<Output = CloseReason> + Send + 'a {
    async move {
        loop {
            let first = match outgoing.packing.as_mut().filter(|packing| packing.packs()) {
                None => desk.next().await,
                // Dropped with the compressor: nothing wakes an idle link.
                Some(packing) => match Box::pin(next_or_rest(desk, packing)).await {
                    Some(order) => order,
                    None => continue,
                },
            };
            // What a write needs is not held while none is under way.
            if let Some(reason) = Box::pin(carry(stream, first, &mut outgoing, desk, common)).await {
                return reason;
            }
        }
    }
}

/// The next order; `None` when the time of a compressor is over before there is one.
async fn next_or_rest(desk: &Desk, packing: &mut Packing) -> Option<ToLink> {
    let mut timer = rt::Timer::never();
    timer.set(packing.rest_at());
    match select(desk.next(), timer).await {
        Either::Left((order, _)) => Some(order),
        Either::Right(_) => {
            packing.rest_if_quiet();
            None
        }
    }
}

/// Writes what there is, from `first` on. Why the link ends after that, if it does.
async fn carry(
    stream: &TcpStream,
    first: ToLink,
    outgoing: &mut Outgoing,
    desk: &Desk,
    common: &Common,
) -> Option<CloseReason> {
    let batch = gather(first, desk);
    let pieces = match outgoing.code(batch.pieces) {
        Ok(pieces) => pieces,
        Err(reason) => return Some(reason),
    };
    match rt::timeout(WRITE_LIMIT, write_pieces(stream, pieces)).await {
        Ok(Ok(())) => {}
        Ok(Err(_)) => return Some(batch.close.unwrap_or(CloseReason::Broken)),
        Err(rt::TimedOut) => return Some(CloseReason::Silent),
    }
    if batch.close.is_none() && desk.wrote(batch.bytes) {
        common.tell(Message::Wrote).await;
    }
    batch.close
}

/// What one write carries.
struct Batch {
    pieces: VecDeque<Bytes>,
    bytes: usize,
    close: Option<CloseReason>,
}

fn gather(first: ToLink, desk: &Desk) -> Batch {
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
        next = more.then(|| desk.take()).flatten();
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
