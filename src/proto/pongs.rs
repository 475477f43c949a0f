//! The pong cache: who is out there, so that a ping is answered here instead of being flooded.
//!
//! This is the pong caching scheme that the 0.6 draft recommends and that we advertise as `Pong-Caching: 0.1`: a ping
//! is answered with about ten pongs that passed by of late. They are kept as they came; their payload goes on
//! untouched.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use crate::base::{Instant, Rng};

use super::ConnId;

/// Pongs that answer one ping, our own included.
pub(super) const PONGS_PER_PING: usize = 10;
/// Pongs that are kept.
const KEPT: usize = 60;
/// A pong older than this says nothing any more.
const FRESH: Duration = Duration::from_secs(300);

/// A pong that passed by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CachedPong {
    /// The host it speaks of.
    pub(super) addr: SocketAddr,
    /// As it came.
    pub(super) payload: Bytes,
    /// Links that it had crossed when it reached us.
    pub(super) hops: u8,
    /// By which link.
    pub(super) from: ConnId,
    at: Instant,
}

/// The pongs of late, one for each host, oldest first.
#[derive(Debug, Default)]
pub(super) struct Pongs {
    cached: VecDeque<CachedPong>,
}

impl Pongs {
    /// A pong passed by; `hops` counts the link to us.
    pub(super) fn remember(&mut self, now: Instant, from: ConnId, addr: SocketAddr, hops: u8, payload: Bytes) {
        self.cached.retain(|pong| pong.addr != addr);
        if self.cached.len() >= KEPT {
            self.cached.pop_front();
        }
        self.cached.push_back(CachedPong { addr, payload, hops, from, at: now });
    }

    /// Up to `n` fresh pongs at random for the peer at `to`, none that came from there.
    pub(super) fn some(
        &mut self,
        now: Instant,
        to: ConnId,
        n: usize,
        rng: &mut Rng,
        wanted: impl Fn(SocketAddr) -> bool,
    ) -> Vec<CachedPong> {
        while self.cached.front().is_some_and(|pong| now.since(pong.at) > FRESH) {
            self.cached.pop_front();
        }
        let mut some: Vec<_> =
            self.cached.iter().filter(|pong| pong.from != to && wanted(pong.addr)).cloned().collect();
        rng.shuffle(&mut some);
        some.truncate(n);
        some
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(n: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], n))
    }

    #[test]
    fn it_keeps_the_latest_pong_of_each_host_and_gives_none_back_to_its_bringer() {
        let (a, b) = (ConnId::dialled(1), ConnId::dialled(2));
        let (mut pongs, mut rng) = (Pongs::default(), Rng::from_number(1));
        for n in 1..=100 {
            pongs.remember(Instant::ZERO, a, addr(n), 1, Bytes::new());
        }
        pongs.remember(Instant::from_secs(250), b, addr(100), 2, Bytes::from_static(b"x"));
        assert_eq!(pongs.cached.len(), KEPT);
        let to_b = pongs.some(Instant::from_secs(300), b, PONGS_PER_PING, &mut rng, |_| true);
        assert_eq!(to_b.len(), PONGS_PER_PING);
        assert!(to_b.iter().all(|pong| pong.from == a));
        let to_a = pongs.some(Instant::from_secs(300), a, PONGS_PER_PING, &mut rng, |_| true);
        assert_eq!(to_a.iter().map(|p| (p.addr, p.hops)).collect::<Vec<_>>(), [(addr(100), 2)]);
        assert_eq!(pongs.some(Instant::from_secs(301), b, 9, &mut rng, |_| true), [], "the others are stale");
        assert_eq!(pongs.some(Instant::from_secs(301), a, 9, &mut rng, |a| a != addr(100)), []);
    }
}
