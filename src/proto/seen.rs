//! Duplicate suppression: which GUIDs came by already.
//!
//! The Gnutella 0.6 draft asks a servent to drop what it has seen before. The first copy wins, whatever TTL a
//! later one brings: see `docs/adr/0001-first-copy-wins.md`.

use std::time::Duration;

use crate::base::{HashSeed, Instant, Lru};
use crate::wire::Guid;

/// An entry is fresh enough for one such part of the age.
const REFRESHED: u32 = 10;

/// The GUIDs of late, with the time of their latest copy (to the minute); the one heard of longest ago leaves first.
///
/// It starts empty, holds `normal` entries in quiet times, doubles up to `max` while they would otherwise
/// leave before they are `age` old, and shrinks again.
#[derive(Debug)]
pub(super) struct Seen {
    table: Lru<Guid, Instant>,
    normal: usize,
    max: usize,
    age: Duration,
}

impl Seen {
    pub(super) fn new(normal: usize, max: usize, age: Duration, seed: HashSeed) -> Self {
        Self { table: Lru::new(normal, seed), normal: normal.max(1), max: max.max(normal), age }
    }

    /// Whether this is the first copy. From now on there is one.
    pub(super) fn is_first(&mut self, guid: Guid, now: Instant) -> bool {
        if let Some(&at) = self.table.peek(&guid) {
            let old = now.since(at);
            // Copies come within seconds of each other. To move the entry to the front for each of them costs more
            // than to find it, so it moves once in a while.
            if old > self.age / REFRESHED {
                self.table.put(guid, now);
            }
            return old > self.age;
        }
        self.make_room(now);
        self.table.put(guid, now);
        true
    }

    /// Forgets a GUID: its copy turned out not to count.
    pub(super) fn forget(&mut self, guid: &Guid) {
        self.table.remove(guid);
    }

    /// How many are remembered.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    fn make_room(&mut self, now: Instant) {
        // Two leave for one that comes, so that the table shrinks without ever being walked.
        for _ in 0..2 {
            let Some((_, &at)) = self.table.oldest() else { break };
            if now.since(at) <= self.age {
                break;
            }
            self.table.pop_oldest();
        }
        let (len, bound) = (self.table.len(), self.table.bound());
        if len >= bound && bound < self.max {
            self.table.set_bound((bound * 2).min(self.max));
        } else if bound > self.normal && len < bound / 4 {
            self.table.set_bound((bound / 2).max(self.normal));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;

    fn seen(normal: usize, max: usize) -> Seen {
        Seen::new(normal, max, Duration::from_secs(600), HashSeed::new(&mut Rng::from_number(1)))
    }

    fn guid(n: u32) -> Guid {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&n.to_be_bytes());
        Guid(bytes)
    }

    #[test]
    fn only_the_first_copy_is_first() {
        let mut seen = seen(10, 10);
        assert!(seen.is_first(guid(1), Instant::ZERO));
        assert!(!seen.is_first(guid(1), Instant::from_secs(600)));
        assert!(!seen.is_first(guid(1), Instant::from_secs(1200)), "each copy keeps the memory fresh");
        assert!(seen.is_first(guid(1), Instant::from_secs(1801)), "ten minutes without a copy: forgotten");
        seen.forget(&guid(1));
        assert!(seen.is_first(guid(1), Instant::from_secs(1801)));
    }

    #[test]
    fn it_grows_under_load_up_to_its_bound_and_shrinks_when_guids_age() {
        let mut seen = seen(4, 16);
        for n in 0..40 {
            assert!(seen.is_first(guid(n), Instant::from_secs(1)));
            assert!(seen.len() <= 16);
        }
        assert!(!seen.is_first(guid(24), Instant::from_secs(1)), "the youngest 16 are there");
        assert!(seen.is_first(guid(23), Instant::from_secs(1)), "the one before them is not");
        for n in 100..160 {
            seen.is_first(guid(n), Instant::from_secs(1000 + u64::from(n) * 300));
        }
        assert!(seen.len() <= 4, "{} left of sixteen", seen.len());
    }
}
