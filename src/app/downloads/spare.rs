//! Connections to sources between two downloads: who fetches many small files of one host connects to it a few times,
//! not once for each.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Inner;
use crate::net::fetch::Link;
use crate::net::rt;

/// Connections that rest.
const MOST: usize = 32;
/// ... for so long.
const RESTS: Duration = Duration::from_secs(4);

/// Connections that rest, the oldest first.
#[derive(Default)]
pub(super) struct Spare {
    resting: Mutex<VecDeque<(Instant, SocketAddr, Link)>>,
    /// Closes those that nobody wanted.
    closing: Mutex<Option<rt::Task<()>>>,
}

impl Spare {
    fn lock(&self) -> MutexGuard<'_, VecDeque<(Instant, SocketAddr, Link)>> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One to that source, if there is one: the last that came.
    pub(super) fn take(&self, addr: SocketAddr) -> Option<Link> {
        let mut resting = self.lock();
        let at = resting.iter().rposition(|(since, to, _)| *to == addr && since.elapsed() < RESTS)?;
        resting.remove(at).map(|(.., link)| link)
    }

    /// Whether it is the first that rests.
    fn put(&self, addr: SocketAddr, link: Link) -> bool {
        let mut resting = self.lock();
        resting.push_back((Instant::now(), addr, link));
        if resting.len() > MOST {
            resting.pop_front();
        }
        resting.len() == 1
    }

    /// Closes the old ones; whether others still rest.
    fn close_old(&self) -> bool {
        let mut resting = self.lock();
        resting.retain(|(since, ..)| since.elapsed() < RESTS);
        !resting.is_empty()
    }

    /// Closes all.
    pub(super) fn close(&self) {
        let closing = self.closing.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(closing);
        self.lock().clear();
    }
}

impl Inner {
    /// A download needs it no more; another one of the same source may.
    pub(super) fn lay_by(self: &Arc<Self>, addr: SocketAddr, link: Link) {
        // Who called us because it was asked to may be another one than its address says.
        if !link.is_reusable() || link.peer() != Some(addr) || self.table().closed || !self.spare.put(addr, link) {
            return;
        }
        let inner = Arc::downgrade(self);
        let closing = rt::spawn(async move {
            loop {
                rt::sleep(RESTS).await;
                if inner.upgrade().is_none_or(|inner| !inner.spare.close_old()) {
                    return;
                }
            }
        });
        let before = self.spare.closing.lock().unwrap_or_else(PoisonError::into_inner).replace(closing);
        drop(before);
    }
}
