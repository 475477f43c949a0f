//! Hash tables whose key comes from our own chance.
//!
//! Strangers choose the GUIDs, names and addresses that we look up, so the hash is keyed (SipHash-1-3) and
//! the key is secret; it is drawn from [`Rng`] and not from the operating system, so that a simulated run
//! repeats exactly.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;

use siphasher::sip::SipHasher13;

use super::Rng;

/// A look-up table with our hash. What is walked through uses an ordered container instead.
pub type Map<K, V> = HashMap<K, V, HashSeed>;
/// A set with our hash.
pub type Set<K> = HashSet<K, HashSeed>;

/// The secret key of a hash table.
#[derive(Clone, Copy, Debug)]
pub struct HashSeed(u64, u64);

impl HashSeed {
    /// A key drawn from `rng`.
    pub fn new(rng: &mut Rng) -> Self {
        Self(rng.next_u64(), rng.next_u64())
    }

    /// The hash of some bytes under this key, for tables that do their own addressing.
    #[inline]
    pub fn hash(self, bytes: &[u8]) -> u64 {
        self.build_hasher().hash(bytes)
    }
}

impl BuildHasher for HashSeed {
    type Hasher = SipHasher13;
    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.0, self.1)
    }
}
