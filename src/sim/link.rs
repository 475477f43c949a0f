//! How long and how much a link carries.
//!
//! A link is ordered in each direction, as TCP is: what is sent later never arrives earlier. Its latency is
//! drawn once per pair of servents from the world's seed, so that two worlds of one seed differ only in what
//! is meant to differ.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::{Instant, Rng};
use crate::proto::{ConnId, Direction};

use super::ServentId;

/// One-way latencies of the links of a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Latency {
    /// The same for all: a flood spreads in rings, as in a textbook.
    Equal {
        /// One way.
        millis: u64,
    },
    /// Each link has its own, drawn evenly between two bounds.
    Uniform {
        /// At least.
        min_millis: u64,
        /// At most.
        max_millis: u64,
    },
}

impl Latency {
    /// The latency between `a` and `b` in the world of that seed; the same both ways.
    pub(super) fn between(self, seed: u64, a: ServentId, b: ServentId) -> Duration {
        match self {
            Self::Equal { millis } => Duration::from_millis(millis),
            Self::Uniform { min_millis, max_millis } => {
                let pair = ((a.min(b) as u64) << 32) | a.max(b) as u64;
                // An odd multiplier spreads the pairs; ChaCha does the rest.
                let mut rng = Rng::from_number(seed ^ pair.wrapping_mul(0x9e37_79b9_7f4a_7c15));
                let spread = max_millis.saturating_sub(min_millis).saturating_mul(1000) as usize;
                Duration::from_micros(min_millis.saturating_mul(1000) + rng.below(spread.saturating_add(1)) as u64)
            }
        }
    }
}

impl Default for Latency {
    /// From the same town to the other side of the world.
    fn default() -> Self {
        Self::Uniform { min_millis: 10, max_millis: 150 }
    }
}

/// How much a link takes in each direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capacity {
    /// Bytes a second that leave.
    pub bytes_per_second: u64,
    /// Bytes that may wait to leave: the room of an empty link.
    pub buffer: usize,
}

/// One of the two ends of a link.
#[derive(Debug)]
pub(super) struct End {
    /// Who holds it.
    pub servent: ServentId,
    /// Its name for the link.
    pub conn: ConnId,
    /// The other's address as seen from here.
    pub remote: SocketAddr,
    /// Whether its holder still has it.
    pub open: bool,
    /// Whether its holder has heard of it: an acceptor does so by the first leg.
    pub known: bool,
    /// Bytes accepted from its holder that have not left.
    pub waiting: usize,
    /// When the last of them will have left.
    leaves: Instant,
    /// When the latest parcel from here arrives.
    arrives: Instant,
}

/// A transport connection between two servents.
#[derive(Debug)]
pub(super) struct Link {
    /// The dialler's end and the acceptor's.
    pub ends: [End; 2],
    latency: Duration,
}

impl End {
    pub fn new(servent: ServentId, conn: ConnId, remote: SocketAddr) -> Self {
        let known = conn.direction() == Direction::Out;
        Self { servent, conn, remote, open: true, known, waiting: 0, leaves: Instant::ZERO, arrives: Instant::ZERO }
    }
}

impl Link {
    pub fn new(ends: [End; 2], latency: Duration) -> Self {
        Self { ends, latency }
    }

    /// Puts `bytes` on the link at `side`: when they have left, and when they arrive.
    pub fn carry(&mut self, side: usize, bytes: usize, capacity: Option<Capacity>, now: Instant) -> (Instant, Instant) {
        let end = &mut self.ends[side];
        end.leaves = end.leaves.max(now);
        if let Some(capacity) = capacity {
            let micros = (bytes as u64).saturating_mul(1_000_000).div_ceil(capacity.bytes_per_second.max(1));
            end.leaves += Duration::from_micros(micros);
        }
        end.arrives = end.arrives.max(end.leaves + self.latency);
        (end.leaves, end.arrives)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_has_one_latency_within_the_bounds_whoever_dials() {
        let latency = Latency::Uniform { min_millis: 10, max_millis: 20 };
        let mut different = 0;
        for b in 1..100 {
            let one_way = latency.between(7, 0, b);
            assert_eq!(one_way, latency.between(7, b, 0));
            assert!((10_000..=20_000).contains(&one_way.as_micros()), "{one_way:?}");
            different += usize::from(one_way != latency.between(8, 0, b));
        }
        assert!(different > 90, "{different} of 99 pairs differ between two seeds");
    }

    #[test]
    fn a_slow_link_sends_one_after_the_other() {
        let addr = SocketAddr::from(([10, 0, 0, 1], 6346));
        let end = |n| End::new(n, ConnId::dialled(n as u64), addr);
        let mut link = Link::new([end(0), end(1)], Duration::from_millis(50));
        let slow = Some(Capacity { bytes_per_second: 1000, buffer: 4096 });
        let at = Instant::from_millis;
        assert_eq!(link.carry(0, 100, slow, Instant::ZERO), (at(100), at(150)));
        assert_eq!(link.carry(0, 100, slow, at(10)), (at(200), at(250)));
        assert_eq!(link.carry(1, 100, slow, at(10)), (at(110), at(160)), "the other direction has its own queue");
        assert_eq!(link.carry(0, 100, None, at(10)), (at(200), at(250)), "order is kept");
    }
}
