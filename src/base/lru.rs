//! A least-recently-used table that grows on demand up to a bound.

use std::hash::Hash;
use std::num::NonZeroUsize;

use lru::LruCache;

use super::HashSeed;

/// A map that forgets the entry used longest ago when it is full.
///
/// `lru::LruCache::new(cap)` allocates its whole capacity at once; a hundred thousand simulated servents
/// could not live in one process that way. This one starts unbounded, which allocates nothing, and gets its bound
/// then; an entry that leaves makes its memory over to the one that comes.
#[derive(Debug)]
pub struct Lru<K: Hash + Eq, V> {
    entries: LruCache<K, V, HashSeed>,
}

impl<K: Hash + Eq, V> Lru<K, V> {
    /// An empty table of at most `bound` entries (at least one).
    pub fn new(bound: usize, seed: HashSeed) -> Self {
        let mut lru = Self { entries: LruCache::unbounded_with_hasher(seed) };
        lru.set_bound(bound);
        lru
    }

    /// The value under `key`, which becomes the most recently used.
    pub fn get(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key)
    }

    /// The value under `key`, made if there is none; it becomes the most recently used.
    pub fn get_or_put(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        self.entries.get_or_insert_mut(key, make)
    }

    /// Stores `value`; returns the entry that had to leave: the one replaced, or the least recently used.
    pub fn put(&mut self, key: K, value: V) -> Option<(K, V)> {
        self.entries.push(key, value)
    }

    /// Removes the entry under `key`.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.entries.pop(key)
    }

    /// Entries from the most to the least recently used; ages do not change.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter()
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The bound.
    pub fn bound(&self) -> usize {
        self.entries.cap().get()
    }

    /// Moves the bound; the entries used longest ago that are above it leave at once.
    pub fn set_bound(&mut self, bound: usize) {
        self.entries.resize(NonZeroUsize::new(bound).unwrap_or(NonZeroUsize::MIN));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;

    #[test]
    fn the_least_recently_used_entry_leaves_first() {
        let mut lru = Lru::new(2, HashSeed::new(&mut Rng::from_number(1)));
        assert_eq!(lru.put('a', 1), None);
        assert_eq!(lru.put('b', 2), None);
        assert!(lru.get(&'a').is_some());
        assert_eq!(lru.put('c', 3), Some(('b', 2)));
        assert_eq!(lru.put('c', 4), Some(('c', 3)));
        assert_eq!(lru.iter().last(), Some((&'a', &1)), "used longest ago");
        assert_eq!(lru.len(), 2);
    }

    #[test]
    fn the_bound_moves_and_what_is_above_it_leaves() {
        let mut lru = Lru::new(1, HashSeed::new(&mut Rng::from_number(1)));
        assert_eq!((lru.put(1, ()), lru.put(2, ())), (None, Some((1, ()))));
        lru.set_bound(3);
        assert_eq!((lru.put(3, ()), lru.put(4, ()), lru.put(5, ())), (None, None, Some((2, ()))));
        lru.set_bound(1);
        assert_eq!(lru.iter().collect::<Vec<_>>(), [(&5, &())]);
        lru.set_bound(0);
        assert_eq!(lru.bound(), 1);
    }

    #[test]
    fn an_empty_table_takes_no_room_for_its_bound() {
        let lru: Lru<u64, u64> = Lru::new(usize::MAX, HashSeed::new(&mut Rng::from_number(1)));
        assert_eq!((lru.len(), lru.bound()), (0, usize::MAX));
    }
}
