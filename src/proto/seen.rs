//! Duplicate suppression: which GUIDs came by already.
//!
//! The Gnutella 0.6 draft asks a servent to drop what it has seen before. The first copy wins, whatever TTL a
//! later one brings: see `docs/adr/0001-first-copy-wins.md`. Most of what a servent reads are copies, so this is the
//! table that must answer fastest; why it is made as it is: `docs/adr/0002-two-generations-of-fingerprints.md`.
//!
//! Bounds: two generations of `max` fingerprints of 8 bytes, in tables at most three quarters full.

use std::time::Duration;

use crate::base::{HashSeed, Instant};
use crate::wire::Guid;

/// The fingerprint of a GUID under the servent's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Print(u64);

/// The GUIDs of late, by fingerprint, in two generations.
///
/// A GUID goes into the young generation, and so does one whose copy is found in the old. When the young one
/// is full or has lasted its time it becomes the old one, and what only the old one knew is forgotten. So the
/// latest `max` GUIDs are always known, and of those above that each is known for `age` after its latest copy at
/// the least, and for twice as long at the most.
///
/// It starts empty and grows with what comes. A table that is forgotten is filled anew if it has no more room than
/// the generation that just ended needed, or than `normal` GUIDs need; else it is given back.
#[derive(Debug)]
pub(super) struct Seen {
    young: Generation,
    old: Generation,
    /// How long the young generation is the young one.
    until: Instant,
    normal: usize,
    max: usize,
    age: Duration,
    seed: HashSeed,
}

impl Seen {
    pub(super) fn new(normal: usize, max: usize, age: Duration, seed: HashSeed) -> Self {
        let max = max.max(normal).max(1);
        let (young, old) = (Generation::default(), Generation::default());
        Self { young, old, until: Instant::ZERO + age, normal, max, age, seed }
    }

    /// Whether this is the first copy. From now on there is one.
    pub(super) fn is_first(&mut self, Print(print): Print, now: Instant) -> bool {
        if now > self.until {
            self.turn_by_time(now);
        }
        if self.young.has(print) {
            return false;
        }
        let first = !self.old.has(print);
        if self.young.len >= self.max {
            self.turn();
            // It will fill too: if it grew step by step, each step would leave a hole in memory.
            self.young.make_room(self.old.len);
            self.until = now + self.age;
        }
        self.young.insert(print);
        first
    }

    /// What a GUID is known by here.
    pub(super) fn print(&self, guid: &Guid) -> Print {
        Print(self.seed.hash(&guid.0).max(EMPTY + 1))
    }

    /// These GUIDs are about to be asked for, by these prints: has the memory that holds them fetched, all at once.
    ///
    /// A large table is not in the processor's caches. Asked one by one, with a message handled in between, each GUID waits
    /// for memory; the loads here do not depend on each other and wait together.
    pub(super) fn expect(&self, guids: impl Iterator<Item = Guid>) -> Vec<Print> {
        // Hashes first and then nothing but loads, so that as many as can be are under way together.
        let prints: Vec<_> = guids.map(|guid| self.print(&guid)).collect();
        if self.young.places.len() > CACHED {
            let loads = prints.iter().map(|&Print(print)| self.young.home(print));
            std::hint::black_box(loads.fold(0, std::ops::BitXor::bitxor));
        }
        prints
    }

    /// Forgets a GUID: its copy turned out not to count.
    pub(super) fn forget(&mut self, Print(print): Print) {
        self.young.remove(print);
        self.old.remove(print);
    }

    /// How many are remembered; those in both generations count twice.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.young.len + self.old.len
    }

    #[cold]
    fn turn_by_time(&mut self, now: Instant) {
        self.turn();
        self.until += self.age;
        if now > self.until {
            // Even the latest are older than that.
            self.turn();
            self.until = now + self.age;
        }
    }

    fn turn(&mut self) {
        std::mem::swap(&mut self.young, &mut self.old);
        let kept = Generation::room_for(self.normal.max(self.old.len));
        self.young.clear(kept);
    }
}

/// Tables of no more places than this (256 KiB) are in the caches anyway.
const CACHED: usize = 32 * 1024;
/// A place where nothing is; no fingerprint is this.
const EMPTY: u64 = 0;

/// A set of fingerprints: open addressing, linear probing. The keyed hash spreads them, so that no stranger can
/// make them crowd.
#[derive(Debug, Default)]
struct Generation {
    /// None, or a power of two.
    places: Box<[u64]>,
    len: usize,
}

impl Generation {
    /// The places of the smallest table; it fills one cache line.
    const LEAST: usize = 8;

    /// How many places a table has that takes `len` fingerprints.
    fn room_for(len: usize) -> usize {
        let places = len.saturating_mul(4).div_ceil(3);
        places.checked_next_power_of_two().unwrap_or(usize::MAX).max(Self::LEAST)
    }

    /// An empty one gets room for `len` fingerprints.
    fn make_room(&mut self, len: usize) {
        let room = Self::room_for(len);
        if self.len == 0 && self.places.len() < room {
            self.places = vec![EMPTY; room].into_boxed_slice();
        }
    }

    fn has(&self, print: u64) -> bool {
        self.find(print).is_ok()
    }

    fn insert(&mut self, print: u64) {
        if self.len >= self.places.len() / 4 * 3 {
            self.grow();
        }
        if let Err(place) = self.find(print) {
            self.places[place] = print;
            self.len += 1;
        }
    }

    /// Removes a fingerprint, and moves those up that had to make way for it.
    fn remove(&mut self, print: u64) {
        let Ok(mut hole) = self.find(print) else { return };
        let mask = self.places.len() - 1;
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let next = self.places[at];
            if next == EMPTY {
                break;
            }
            // It may move to the hole if the hole is on the way from where it belongs to where it is.
            let way = at.wrapping_sub(next as usize) & mask;
            if way >= at.wrapping_sub(hole) & mask {
                self.places[hole] = next;
                hole = at;
            }
        }
        self.places[hole] = EMPTY;
        self.len -= 1;
    }

    /// Forgets all. A table of more than `kept` places is given back.
    fn clear(&mut self, kept: usize) {
        self.len = 0;
        if self.places.len() > kept {
            self.places = Box::default();
        } else {
            self.places.fill(EMPTY);
        }
    }

    /// What is in the place where the fingerprint belongs.
    fn home(&self, print: u64) -> u64 {
        let mask = self.places.len().wrapping_sub(1);
        self.places.get(print as usize & mask).copied().unwrap_or(EMPTY)
    }

    /// Where the fingerprint is, or else where it would go; without any places the latter is none.
    fn find(&self, print: u64) -> Result<usize, usize> {
        let mask = self.places.len().wrapping_sub(1);
        let mut at = print as usize & mask;
        while let Some(&there) = self.places.get(at) {
            if there == print {
                return Ok(at);
            }
            if there == EMPTY {
                break;
            }
            at = (at + 1) & mask;
        }
        Err(at)
    }

    #[cold]
    fn grow(&mut self) {
        let room = (self.places.len() * 2).max(Self::LEAST);
        let before = std::mem::replace(&mut self.places, vec![EMPTY; room].into_boxed_slice());
        for print in before.into_iter().filter(|&print| print != EMPTY) {
            let (Ok(place) | Err(place)) = self.find(print);
            self.places[place] = print;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::base::Rng;

    const AGE: Duration = Duration::from_secs(600);

    fn seen(normal: usize, max: usize) -> Seen {
        Seen::new(normal, max, AGE, HashSeed::new(&mut Rng::from_number(1)))
    }

    fn guid(n: u32) -> Guid {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&n.to_be_bytes());
        Guid(bytes)
    }

    impl Seen {
        fn first(&mut self, n: u32, now: Instant) -> bool {
            self.is_first(self.print(&guid(n)), now)
        }

        fn forgets(&mut self, n: u32) {
            self.forget(self.print(&guid(n)));
        }
    }

    fn places(seen: &Seen) -> usize {
        seen.young.places.len() + seen.old.places.len()
    }

    #[test]
    fn only_the_first_copy_is_first() {
        let mut seen = seen(10, 10);
        assert!(seen.first(1, Instant::ZERO));
        assert!(!seen.first(1, Instant::from_secs(600)));
        assert!(!seen.first(1, Instant::from_secs(1200)), "each copy keeps the memory fresh");
        assert!(seen.first(1, Instant::from_secs(2401)), "twenty minutes without a copy: forgotten");
        seen.forgets(1);
        assert!(seen.first(1, Instant::from_secs(2401)));
    }

    #[test]
    fn what_is_forgotten_is_forgotten_in_both_generations() {
        let mut seen = seen(10, 10);
        assert!(seen.first(1, Instant::from_secs(1)));
        assert!(!seen.first(1, Instant::from_secs(700)));
        assert_eq!(seen.len(), 2, "known to both");
        seen.forgets(1);
        assert_eq!(seen.len(), 0);
        assert!(seen.first(1, Instant::from_secs(700)));
    }

    #[test]
    fn it_takes_nothing_at_first_and_grows_under_load_up_to_its_bound() {
        let mut seen = seen(4, 16);
        assert_eq!(places(&seen), 0);
        for n in 0..40 {
            assert!(seen.first(n, Instant::from_secs(1)));
            assert!(seen.len() <= 32);
            assert!(places(&seen) <= 2 * 32);
        }
        for n in 24..40 {
            assert!(!seen.first(n, Instant::from_secs(1)), "the youngest 16 are there");
        }
        assert!(seen.first(0, Instant::from_secs(1)), "the oldest are not");
    }

    #[test]
    fn in_quiet_times_it_gives_back_what_it_took_under_load() {
        let mut seen = seen(4, 1024);
        (0..1024).for_each(|n| assert!(seen.first(n, Instant::from_secs(1))));
        assert_eq!(places(&seen), 2048);
        for n in 0..10 {
            seen.first(n, Instant::from_secs(1000 + u64::from(n) * 300));
        }
        assert!(places(&seen) <= 16, "{} places for {}", places(&seen), seen.len());
    }

    #[test]
    fn after_a_full_generation_the_next_has_its_room_at_once() {
        let mut seen = seen(8, 3000);
        for n in 0..3000 {
            seen.first(n, Instant::ZERO);
        }
        assert_eq!((seen.young.places.len(), seen.old.places.len()), (4096, 0), "it grew");
        seen.first(3000, Instant::ZERO);
        assert_eq!((seen.young.places.len(), seen.old.places.len()), (4096, 4096));
    }

    #[test]
    fn a_full_table_answers_and_removes_whatever_wraps_around_its_end() {
        for seed in 1..200 {
            let mut rng = Rng::from_number(seed);
            let mut prints: Vec<_> = (0..6).map(|_| rng.next_u64().max(1) | 6).collect();
            prints.dedup();
            let mut set = Generation::default();
            prints.iter().for_each(|&print| set.insert(print));
            assert_eq!(set.places.len(), 8, "all belong at the end of it");
            while let Some(print) = prints.pop() {
                set.remove(print);
                assert!(!set.has(print));
                assert!(prints.iter().all(|&print| set.has(print)), "{print:x} of {prints:x?} tore a hole");
            }
            assert!(set.len == 0 && set.places.iter().all(|&place| place == EMPTY));
        }
    }

    /// The order and time of the latest copy of each GUID: the plainest memory there is.
    #[derive(Default)]
    struct Model {
        copies: BTreeMap<u32, (usize, Instant)>,
        came: usize,
    }

    proptest! {
        #[test]
        fn the_latest_are_always_known_and_the_long_gone_never(
            normal in 0..20usize,
            more in 0..40usize,
            steps in proptest::collection::vec((0..120u32, 0..60u64, 0..12u8), 1..600),
        ) {
            let max = (normal + more).max(1);
            let mut seen = seen(normal, max);
            let mut model = Model::default();
            let mut now = Instant::from_secs(5);
            for (n, wait, what) in steps {
                now += Duration::from_secs(wait);
                if what == 0 {
                    seen.forgets(n);
                    model.copies.remove(&n);
                    continue;
                }
                let first = seen.first(n, now);
                let known = model.copies.get(&n).copied();
                match known {
                    None => prop_assert!(first, "{} never came", n),
                    Some((order, at)) => {
                        let later = model.copies.values().filter(|(other, _)| *other > order).count();
                        if later < max && now.since(at) <= AGE {
                            prop_assert!(!first, "{} came {:?} ago, {} since", n, now.since(at), later);
                        }
                        if now.since(at) > 2 * AGE {
                            prop_assert!(first, "{} came {:?} ago", n, now.since(at));
                        }
                    }
                }
                model.came += 1;
                model.copies.insert(n, (model.came, now));
                prop_assert!(seen.len() <= 2 * max);
                prop_assert!(places(&seen) <= 2 * Generation::room_for(max));
            }
        }
    }
}
