//! What lies between the driver and one link: orders for it, how many bytes of messages they are, and its end.
//!
//! One piece of memory for all of that, since an ultrapeer has many links and most are idle.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::task::AtomicWaker;

use super::{LONGEST, ROOM};
use crate::proto::{CloseReason, Verdict};
use crate::wire::handshake::Head;

/// What the driver tells a link.
#[derive(Debug)]
pub(super) enum ToLink {
    /// Write a leg of the handshake.
    Leg(Verdict, Box<Head>),
    /// Write messages. The bytes are shared by all links that they go to.
    Frames(Bytes),
    /// End, after what was said before is written.
    Close(CloseReason),
}

/// The driver lays orders down, the link takes them up.
///
/// Bytes are counted by both without a lock. The link tells the driver of what it wrote only if that asked for it: an
/// idle link that writes its keep-alive costs the driver no wake-up.
#[derive(Debug, Default)]
pub(super) struct Desk {
    waiting: AtomicUsize,
    asked: AtomicBool,
    orders: Mutex<Orders>,
    /// The link's task, if it waits for an order or its end.
    link: AtomicWaker,
}

#[derive(Debug, Default)]
struct Orders {
    queue: VecDeque<ToLink>,
    /// Why the link shall end, whatever it is doing.
    closing: Option<Box<CloseReason>>,
}

impl Desk {
    pub(super) fn leg(&self, verdict: Verdict, head: Head) {
        self.lay(ToLink::Leg(verdict, Box::new(head)));
    }

    pub(super) fn send(&self, frames: Bytes) {
        self.waiting.fetch_add(frames.len(), SeqCst);
        self.lay(ToLink::Frames(frames));
    }

    /// Ends the link once what was sent before is written; only the first reason counts.
    pub(super) fn close(&self, reason: CloseReason) {
        let mut orders = self.orders();
        if orders.closing.is_none() {
            orders.closing = Some(Box::new(reason.clone()));
            orders.queue.push_back(ToLink::Close(reason));
            drop(orders);
            self.link.wake();
        }
    }

    /// How many bytes it takes now, if the longest message fits. If it does not, the link says so after its next write
    /// ([`Self::wrote`]).
    pub(super) fn room(&self) -> Option<usize> {
        self.asked.store(true, SeqCst);
        // The link may have written everything before it saw that it was asked.
        let room = ROOM.saturating_sub(self.waiting.load(SeqCst));
        if room < LONGEST {
            return None;
        }
        self.asked.store(false, SeqCst);
        Some(room)
    }

    /// The next order, when there is one.
    pub(super) fn next(&self) -> impl Future<Output = ToLink> + Unpin + Send + '_ {
        poll_fn(|cx| self.poll(cx, Self::take))
    }

    /// The next order, if there is one now.
    pub(super) fn take(&self) -> Option<ToLink> {
        let queue = &mut self.orders().queue;
        let order = queue.pop_front();
        if queue.is_empty() {
            *queue = VecDeque::new();
        }
        order
    }

    /// The link wrote so many bytes of messages. Whether the driver asked to be told.
    pub(super) fn wrote(&self, bytes: usize) -> bool {
        self.waiting.fetch_sub(bytes, SeqCst);
        self.asked.swap(false, SeqCst)
    }

    /// Why the link is closed, when it is.
    pub(super) fn closed(&self) -> impl Future<Output = CloseReason> + Unpin + Send + '_ {
        poll_fn(|cx| self.poll(cx, |desk| desk.orders().closing.as_deref().cloned()))
    }

    fn lay(&self, order: ToLink) {
        self.orders().queue.push_back(order);
        self.link.wake();
    }

    fn poll<T>(&self, cx: &mut Context<'_>, look: impl Fn(&Self) -> Option<T>) -> Poll<T> {
        if let Some(found) = look(self) {
            return Poll::Ready(found);
        }
        // One waker is enough: all who wait are parts of the same task.
        self.link.register(cx.waker());
        look(self).map_or(Poll::Pending, Poll::Ready)
    }

    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
