//! A least-recently-used table that grows on demand up to a bound.

use std::hash::Hash;

use lru::LruCache;

use super::HashSeed;

/// A map that forgets the entry used longest ago when it is full.
///
/// `lru::LruCache::new(cap)` allocates its whole capacity at once; a hundred thousand simulated servents
/// could not live in one process that way. This one starts empty and evicts at its own bound.
#[derive(Debug)]
pub struct Lru<K: Hash + Eq, V> {
    entries: LruCache<K, V, HashSeed>,
    bound: usize,
}

impl<K: Hash + Eq, V> Lru<K, V> {
    /// An empty table of at most `bound` entries (at least one).
    pub fn new(bound: usize, seed: HashSeed) -> Self {
        Self { entries: LruCache::unbounded_with_hasher(seed), bound: bound.max(1) }
    }

    /// The value under `key`, which becomes the most recently used.
    pub fn get(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key)
    }

    /// The value under `key`; its age does not change.
    pub fn peek(&self, key: &K) -> Option<&V> {
        self.entries.peek(key)
    }

    /// Stores `value`; returns the entry that had to leave: the one replaced, or the least recently used.
    pub fn put(&mut self, key: K, value: V) -> Option<(K, V)> {
        if self.entries.len() >= self.bound && !self.entries.contains(&key) {
            let evicted = self.entries.pop_lru();
            self.entries.put(key, value);
            return evicted;
        }
        self.entries.push(key, value)
    }

    /// Removes the entry under `key`.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.entries.pop(key)
    }

    /// The entry used longest ago; its age does not change.
    pub fn oldest(&self) -> Option<(&K, &V)> {
        self.entries.peek_lru()
    }

    /// Removes and returns the entry used longest ago.
    pub fn pop_oldest(&mut self) -> Option<(K, V)> {
        self.entries.pop_lru()
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
        self.bound
    }

    /// Moves the bound; entries above it stay until they are evicted by the next `put`s.
    pub fn set_bound(&mut self, bound: usize) {
        self.bound = bound.max(1);
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
        assert_eq!(lru.oldest(), Some((&'a', &1)));
        assert_eq!(lru.len(), 2);
    }

    #[test]
    fn an_empty_table_takes_no_room_for_its_bound() {
        let lru: Lru<u64, u64> = Lru::new(usize::MAX, HashSeed::new(&mut Rng::from_number(1)));
        assert_eq!((lru.len(), lru.bound()), (0, usize::MAX));
    }
}
