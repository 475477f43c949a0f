//! Numbers found by a hash of what they stand for. The table keeps the numbers alone, four bytes each: what has a
//! number is kept elsewhere, and whoever asks compares it there.
//!
//! A place holds the number in its low bits and, in those that numbers do not need yet, a piece of the hash, so that
//! hardly ever a wrong one is compared. The table is many small ones, each of which grows by a fifth at a time: no
//! moment needs twice the memory, and none takes long.

const SHARDS: usize = 64;
const FREE: u32 = 0;
/// A number was here; look further.
const GONE: u32 = u32::MAX;

/// Numbers (never 0) by hash.
#[derive(Debug)]
pub(super) struct Ids {
    shards: Vec<Shard>,
}

#[derive(Clone, Debug, Default)]
struct Shard {
    slots: Box<[u32]>,
    /// So many low bits are the number.
    bits: u32,
    live: usize,
    gone: usize,
}

impl Ids {
    pub(super) fn new() -> Self {
        Self { shards: vec![Shard::default(); SHARDS] }
    }

    /// The first number of that hash of which `is` holds.
    pub(super) fn find(&self, hash: u64, is: impl FnMut(u32) -> bool) -> Option<u32> {
        self.shards[shard_of(hash)].places(hash).map(|(_, id)| id).find({
            let mut is = is;
            move |id| is(*id)
        })
    }

    /// All numbers that may have that hash: compare what they stand for.
    pub(super) fn all(&self, hash: u64) -> impl Iterator<Item = u32> {
        self.shards[shard_of(hash)].places(hash).map(|(_, id)| id)
    }

    /// Adds a number that is not there yet. `hash_of` tells the hash of any number that is there.
    pub(super) fn insert(&mut self, hash: u64, id: u32, hash_of: impl Fn(u32) -> u64) {
        let shard = &mut self.shards[shard_of(hash)];
        // The highest number of so many bits is left out, so that no place looks like GONE.
        if u64::from(id) + 1 >= 1 << shard.bits {
            shard.widen((64 - (u64::from(id) + 1).leading_zeros()).max(12));
        }
        if (shard.live + shard.gone + 1) * 25 > shard.slots.len() * 23 {
            shard.rebuild(shard.live + 1, hash_of);
        }
        shard.push(hash, id);
    }

    /// Takes a number out.
    pub(super) fn remove(&mut self, hash: u64, id: u32, hash_of: impl Fn(u32) -> u64) {
        let shard = &mut self.shards[shard_of(hash)];
        let Some(place) = shard.places(hash).find(|(_, known)| *known == id).map(|(place, _)| place) else { return };
        shard.slots[place] = GONE;
        shard.live -= 1;
        shard.gone += 1;
        if shard.live == 0 {
            *shard = Shard::default();
        } else if shard.live * 3 < shard.slots.len() && shard.slots.len() > 32 {
            shard.rebuild(shard.live, hash_of);
        }
    }

    /// Takes out all numbers but those of which `stays` holds.
    pub(super) fn retain(&mut self, stays: impl Fn(u32) -> bool, hash_of: impl Fn(u32) -> u64) {
        for shard in &mut self.shards {
            let mask = low_bits(shard.bits);
            for slot in shard.slots.iter_mut().filter(|slot| **slot != FREE && **slot != GONE) {
                if !stays(*slot & mask) {
                    *slot = GONE;
                    shard.live -= 1;
                    shard.gone += 1;
                }
            }
            if shard.live == 0 {
                *shard = Shard::default();
            } else if shard.gone > 0 {
                shard.rebuild(shard.live, &hash_of);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.live).sum()
    }
}

impl Shard {
    /// The places, and numbers in them, of that hash.
    fn places(&self, hash: u64) -> impl Iterator<Item = (usize, u32)> {
        let (mask, tag) = (low_bits(self.bits), self.tag(hash));
        let mut place = home(hash, self.slots.len());
        let mut left = self.slots.len();
        std::iter::from_fn(move || {
            while left > 0 {
                let (here, slot) = (place, self.slots[place]);
                if slot == FREE {
                    return None;
                }
                left -= 1;
                place = if place + 1 == self.slots.len() { 0 } else { place + 1 };
                if slot != GONE && slot & !mask == tag {
                    return Some((here, slot & mask));
                }
            }
            None
        })
    }

    fn push(&mut self, hash: u64, id: u32) {
        let mut place = home(hash, self.slots.len());
        while self.slots[place] != FREE {
            place = if place + 1 == self.slots.len() { 0 } else { place + 1 };
        }
        self.slots[place] = self.tag(hash) | id;
        self.live += 1;
    }

    fn rebuild(&mut self, room: usize, hash_of: impl Fn(u32) -> u64) {
        let mask = low_bits(self.bits);
        let old = std::mem::replace(&mut self.slots, vec![FREE; room + room * 3 / 10 + 4].into_boxed_slice());
        (self.live, self.gone) = (0, 0);
        for slot in old.iter().filter(|slot| **slot != FREE && **slot != GONE) {
            self.push(hash_of(slot & mask), slot & mask);
        }
    }

    /// Numbers need more bits: the pieces of hashes get shorter at their upper end.
    fn widen(&mut self, bits: u32) {
        let (old, new) = (low_bits(self.bits), low_bits(bits));
        let by = bits - self.bits;
        for slot in self.slots.iter_mut().filter(|slot| **slot != FREE && **slot != GONE) {
            *slot = (u64::from(*slot & !old) << by) as u32 & !new | *slot & old;
        }
        self.bits = bits;
    }

    /// The low bits of the hash in the bits above the number.
    fn tag(&self, hash: u64) -> u32 {
        (hash << self.bits) as u32
    }
}

fn shard_of(hash: u64) -> usize {
    (hash >> 58) as usize
}

/// Where a hash belongs among `places`: by bits that neither the shard nor the tag is made of.
fn home(hash: u64, places: usize) -> usize {
    ((u64::from((hash >> 26) as u32) * places as u64) >> 32) as usize
}

fn low_bits(bits: u32) -> u32 {
    ((1_u64 << bits) - 1) as u32
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::base::Rng;

    fn hash_of(id: u32) -> u64 {
        // Few different ones, so that numbers share hashes.
        u64::from(id / 3).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    #[test]
    fn it_holds_what_a_set_would_while_numbers_come_and_go() {
        let (mut ids, mut model, mut rng) = (Ids::new(), BTreeSet::new(), Rng::from_number(4));
        for round in 0..60_000_usize {
            // The numbers grow, so that their bits do.
            let id = 1 + rng.below(100 + round * if round > 50_000 { 40_000 } else { 1 }) as u32;
            let adds = rng.below(10) < if round % 20_000 < 12_000 { 8 } else { 2 };
            if adds && model.insert(id) {
                ids.insert(hash_of(id), id, hash_of);
            } else if !adds && let Some(&id) = model.range(id..).next() {
                model.remove(&id);
                ids.remove(hash_of(id), id, hash_of);
            }
            if round % 1_000 == 0 {
                assert_eq!(ids.len(), model.len());
                assert!(model.iter().all(|id| ids.find(hash_of(*id), |known| known == *id) == Some(*id)));
            }
        }
        let odd: BTreeSet<u32> = model.iter().copied().filter(|id| id % 2 == 1).collect();
        ids.retain(|id| id % 2 == 1, hash_of);
        assert_eq!(ids.len(), odd.len());
        let found = model.iter().filter(|id| ids.all(hash_of(**id)).any(|known| known == **id)).copied();
        assert_eq!(found.collect::<BTreeSet<u32>>(), odd);
        ids.retain(|_| false, hash_of);
        assert!(ids.shards.iter().all(|shard| shard.slots.is_empty()), "what is empty keeps no memory");
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        let ids = Ids::new();
        assert_eq!(ids.find(17, |_| true), None);
    }
}
