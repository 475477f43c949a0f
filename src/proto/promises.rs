//! Hits that we have for somebody and told him of by UDP: until he claims them, and until they are sent.
//!
//! Nothing here is sent or encoded.
//!
//! Bounds: [`PROMISES`] at a time with [`PROMISED`] files together, each for [`KEPT`]; there are as many at a time that are being
//! sent. What finds no room goes back over links instead.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use crate::base::Instant;
use crate::wire::hit::Entry;
use crate::wire::{Frame, Guid};

/// Promises at a time, and answers that are being sent.
const PROMISES: usize = 128;
/// Files in all promises together.
const PROMISED: usize = 4096;
/// A promise is kept for so long.
const KEPT: Duration = Duration::from_secs(60);
/// Who claims hits has so long to show that he is where he says.
const DOUBT: Duration = Duration::from_secs(5);
/// The pause between two datagrams of hits to one address.
const PACE: Duration = Duration::from_millis(100);

/// What we have for somebody.
#[derive(Debug)]
pub(super) struct Promise {
    pub(super) query: Guid,
    /// Whom we told.
    to: SocketAddr,
    pub(super) entries: Vec<Entry>,
    until: Instant,
    /// It was claimed, and we asked the claimant for a sign of life.
    doubt: Option<Doubt>,
}

#[derive(Debug)]
struct Doubt {
    claimant: SocketAddr,
    /// The GUID of our Ping.
    ping: Guid,
    token: Option<Vec<u8>>,
}

/// What is on its way to somebody.
#[derive(Debug)]
struct Going {
    to: SocketAddr,
    frames: VecDeque<Frame>,
    next: Instant,
}

/// All of them, oldest first.
#[derive(Debug, Default)]
pub(super) struct Promises {
    kept: Vec<Promise>,
    going: Vec<Going>,
}

impl Promises {
    /// Whether so many more files can be promised for that query.
    pub(super) fn has_room(&self, query: &Guid, files: usize) -> bool {
        let promised: usize = self.kept.iter().map(|promise| promise.entries.len()).sum();
        let known = self.kept.iter().any(|promise| promise.query == *query);
        !known && self.kept.len() + self.going.len() < PROMISES && promised + files <= PROMISED
    }

    /// Remembers what we told `to`. When to call [`Self::expire`].
    pub(super) fn make(&mut self, now: Instant, query: Guid, to: SocketAddr, entries: Vec<Entry>) -> Instant {
        let until = now + KEPT;
        self.kept.push(Promise { query, to, entries, until, doubt: None });
        until
    }

    /// Somebody claims up to so many files (255: all). Whether it is he whom we told; then either [`Self::take`] or
    /// [`Self::doubt`] comes next.
    pub(super) fn claimed(&mut self, query: &Guid, from: SocketAddr, files: u8) -> bool {
        let told = |promise: &&mut Promise| promise.query == *query && promise.to.ip() == from.ip();
        let Some(promise) = self.kept.iter_mut().find(told).filter(|promise| promise.doubt.is_none()) else {
            return false;
        };
        if files < u8::MAX {
            promise.entries.truncate(files.into());
        }
        true
    }

    /// Takes out what was promised.
    pub(super) fn take(&mut self, query: &Guid) -> Option<Promise> {
        let at = self.kept.iter().position(|promise| promise.query == *query)?;
        Some(self.kept.remove(at))
    }

    /// A Ping with that GUID went to the claimant. When to call [`Self::expire`].
    pub(super) fn doubt(
        &mut self,
        now: Instant,
        query: &Guid,
        claimant: SocketAddr,
        ping: Guid,
        token: Option<Vec<u8>>,
    ) -> Instant {
        let until = now + DOUBT;
        if let Some(promise) = self.kept.iter_mut().find(|promise| promise.query == *query) {
            (promise.doubt, promise.until) = (Some(Doubt { claimant, ping, token }), until);
        }
        until
    }

    /// A Pong came: if it is the sign of life that we waited for, what was claimed, and the token for it.
    pub(super) fn dispel(&mut self, ping: &Guid, from: SocketAddr) -> Option<(Promise, Option<Vec<u8>>)> {
        let its = |promise: &Promise| promise.doubt.as_ref().is_some_and(|d| d.ping == *ping && d.claimant == from);
        let at = self.kept.iter().position(its)?;
        let mut promise = self.kept.remove(at);
        let token = promise.doubt.take().and_then(|doubt| doubt.token);
        Some((promise, token))
    }

    /// These go there, one after the other, beginning now.
    pub(super) fn send(&mut self, now: Instant, to: SocketAddr, frames: VecDeque<Frame>) {
        let before = self.going.iter_mut().find(|going| going.to == to);
        match before {
            Some(going) => going.frames.extend(frames),
            None => self.going.push(Going { to, frames, next: now }),
        }
    }

    /// When to call [`Self::expire`] and [`Self::go_on`].
    pub(super) fn due(&self) -> Option<Instant> {
        let kept = self.kept.iter().map(|promise| promise.until);
        kept.chain(self.going.iter().map(|going| going.next)).min()
    }

    /// Forgets what nobody claimed in time. What was claimed by somebody who did not show that he is there is returned.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<Promise> {
        let (kept, late) = std::mem::take(&mut self.kept).into_iter().partition(|promise| promise.until > now);
        self.kept = kept;
        let late: Vec<Promise> = late;
        late.into_iter().filter(|promise| promise.doubt.is_some()).collect()
    }

    /// The datagrams whose moment has come.
    pub(super) fn go_on(&mut self, now: Instant) -> Vec<(SocketAddr, Frame)> {
        let mut out = Vec::new();
        for going in &mut self.going {
            if going.next <= now
                && let Some(frame) = going.frames.pop_front()
            {
                going.next = now + PACE;
                out.push((going.to, frame));
            }
        }
        self.going.retain(|going| !going.frames.is_empty());
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Kind;

    fn guid(n: u8) -> Guid {
        Guid([n; 16])
    }

    fn host(n: u8, port: u16) -> SocketAddr {
        SocketAddr::from(([8, 8, n, 8], port))
    }

    fn files(n: usize) -> Vec<Entry> {
        (0..n).map(|n| Entry::new(n as u32, 1, "blue train", &[])).collect()
    }

    #[test]
    fn what_is_promised_is_kept_for_whom_it_was_promised_to() {
        let mut promises = Promises::default();
        let until = promises.make(Instant::ZERO, guid(1), host(1, 6346), files(9));
        assert_eq!((until, promises.due()), (Instant::from_secs(60), Some(until)));
        assert!(!promises.claimed(&guid(2), host(1, 6346), 9), "another query");
        assert!(!promises.claimed(&guid(1), host(2, 6346), 9), "another host");
        assert!(promises.claimed(&guid(1), host(1, 9999), 5), "a router may change its port");
        assert_eq!(promises.take(&guid(1)).map(|promise| promise.entries.len()), Some(5));
        assert!(!promises.claimed(&guid(1), host(1, 6346), 5), "once");
    }

    #[test]
    fn a_claimant_shows_that_he_is_there_or_is_told_another_way() {
        let mut promises = Promises::default();
        promises.make(Instant::ZERO, guid(1), host(1, 6346), files(3));
        promises.make(Instant::ZERO, guid(2), host(2, 6346), files(3));
        assert!(promises.claimed(&guid(1), host(1, 6346), 255));
        let until = promises.doubt(Instant::ZERO, &guid(1), host(1, 6346), guid(9), Some(vec![7]));
        assert!(!promises.claimed(&guid(1), host(1, 6346), 255), "he is asked once");
        assert!(promises.dispel(&guid(8), host(1, 6346)).is_none());
        assert!(promises.dispel(&guid(9), host(2, 6346)).is_none());
        assert_eq!(promises.expire(until).len(), 1, "claimed, and nobody there");
        assert_eq!(promises.expire(Instant::from_secs(60)).len(), 0, "nobody claimed the other");
        assert_eq!(promises.due(), None);
        promises.make(Instant::ZERO, guid(1), host(1, 6346), files(3));
        assert!(promises.claimed(&guid(1), host(1, 6346), 255));
        promises.doubt(Instant::ZERO, &guid(1), host(1, 6346), guid(9), Some(vec![7]));
        let (promise, token) = promises.dispel(&guid(9), host(1, 6346)).expect("he is there");
        assert_eq!((promise.entries.len(), token), (3, Some(vec![7])));
    }

    #[test]
    fn there_is_a_bound_to_promises_and_to_what_is_in_them() {
        let mut promises = Promises::default();
        assert!(!promises.has_room(&guid(1), PROMISED + 1));
        let mut made = 0;
        for n in 0..=255 {
            if promises.has_room(&guid(n), 1) {
                promises.make(Instant::ZERO, guid(n), host(n, 6346), files(1));
                made += 1;
            }
        }
        assert_eq!(made, PROMISES);
        assert!(!promises.has_room(&guid(0), 0), "that query has one");
    }

    #[test]
    fn datagrams_to_one_address_leave_one_after_the_other() {
        let mut promises = Promises::default();
        let frames = |n: u8| (0..n).map(|n| Frame::new(guid(n), Kind::QueryHit, 1, Default::default())).collect();
        promises.send(Instant::ZERO, host(1, 1), frames(2));
        promises.send(Instant::ZERO, host(2, 1), frames(1));
        promises.send(Instant::ZERO, host(1, 1), frames(1));
        let mut left = Vec::new();
        while let Some(at) = promises.due() {
            left.push((at.as_micros() / 1000, promises.go_on(at).len()));
        }
        assert_eq!(left, [(0, 2), (100, 1), (200, 1)]);
    }
}
