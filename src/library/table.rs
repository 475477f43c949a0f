//! Numbers found by a hash of what they stand for. The table keeps the numbers alone, four bytes each: what has a
//! number is kept elsewhere, and whoever asks compares it there.
//!
//! A place holds the number in its low bits and, in those that numbers do not need yet, a piece of the hash, so that
//! hardly ever a wrong one is compared. The table is many small shards, in which the piece of the hash alone tells where
//! a number belongs, so that a shard grows without looking anything up. When they are full on average, one of them is
//! split in two (linear hashing), which looks its thousand numbers up: no moment needs twice the memory, and none takes
//! long.

/// Numbers in a shard, on average, when the next one is split.
const FULL: usize = 1024;
const FREE: u32 = 0;
/// A number was here; look further.
const GONE: u32 = u32::MAX;

/// Numbers (never 0) by hash.
#[derive(Debug)]
pub(super) struct Ids {
    /// The first ones are split already, when their number is no power of two.
    shards: Vec<Shard>,
    live: usize,
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
        Self { shards: vec![Shard::default()], live: 0 }
    }

    /// The first number of that hash of which `is` holds.
    pub(super) fn find(&self, hash: u64, mut is: impl FnMut(u32) -> bool) -> Option<u32> {
        self.all(hash).find(|id| is(*id))
    }

    /// All numbers that may have that hash: compare what they stand for.
    pub(super) fn all(&self, hash: u64) -> impl Iterator<Item = u32> {
        self.shards[self.shard_of(hash)].places(hash).map(|(_, id)| id)
    }

    /// Adds a number that is not there yet. `hash_of` tells the hash of any number that is there.
    pub(super) fn insert(&mut self, hash: u64, id: u32, hash_of: impl Fn(u32) -> u64) {
        if self.live >= self.shards.len() * FULL {
            self.split(hash_of);
        }
        let shard = self.shard_of(hash);
        self.shards[shard].insert(hash, id);
        self.live += 1;
    }

    /// Takes a number out.
    pub(super) fn remove(&mut self, hash: u64, id: u32) {
        let at = self.shard_of(hash);
        let shard = &mut self.shards[at];
        let Some(place) = shard.places(hash).find(|(_, known)| *known == id).map(|(place, _)| place) else { return };
        shard.slots[place] = GONE;
        shard.live -= 1;
        shard.gone += 1;
        shard.tidy();
        self.live -= 1;
        if self.live == 0 {
            *self = Self::new();
        }
    }

    /// Takes out all numbers but those of which `stays` holds.
    pub(super) fn retain(&mut self, stays: impl Fn(u32) -> bool) {
        for shard in &mut self.shards {
            let mask = low_bits(shard.bits);
            let before = shard.live;
            for slot in shard.slots.iter_mut().filter(|slot| **slot != FREE && **slot != GONE) {
                if !stays(*slot & mask) {
                    *slot = GONE;
                    shard.live -= 1;
                    shard.gone += 1;
                }
            }
            self.live -= before - shard.live;
            shard.tidy();
        }
        if self.live == 0 {
            *self = Self::new();
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.live
    }

    fn shard_of(&self, hash: u64) -> usize {
        let count = self.shards.len();
        let whole = count.next_power_of_two();
        let shard = (hash >> 32) as usize & (whole - 1);
        if shard < count { shard } else { shard - whole / 2 }
    }

    /// Makes two of the shard whose turn it is.
    fn split(&mut self, hash_of: impl Fn(u32) -> u64) {
        let count = self.shards.len();
        let from = count - (count + 1).next_power_of_two() / 2;
        let old = std::mem::take(&mut self.shards[from]);
        self.shards.push(Shard::default());
        for id in old.ids() {
            let hash = hash_of(id);
            let shard = self.shard_of(hash);
            self.shards[shard].insert(hash, id);
        }
    }
}

impl Shard {
    /// All numbers.
    fn ids(&self) -> impl Iterator<Item = u32> {
        let slots = self.slots.iter().filter(|slot| **slot != FREE && **slot != GONE);
        slots.map(|slot| slot & low_bits(self.bits))
    }

    /// The places, and numbers in them, of that hash.
    fn places(&self, hash: u64) -> impl Iterator<Item = (usize, u32)> {
        let (mask, tag) = (low_bits(self.bits), self.tag(hash));
        let (mut place, mut left) = (self.home(tag), self.slots.len());
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

    fn insert(&mut self, hash: u64, id: u32) {
        // The highest number of so many bits is left out, so that no place looks like GONE.
        if u64::from(id) + 1 >= 1 << self.bits {
            self.widen((64 - (u64::from(id) + 1).leading_zeros()).max(12));
        }
        if (self.live + self.gone + 1) * 25 > self.slots.len() * 23 {
            self.rebuild(self.live + 1);
        }
        self.push(self.tag(hash) | id);
    }

    fn push(&mut self, slot: u32) {
        let mut place = self.home(slot & !low_bits(self.bits));
        while self.slots[place] != FREE {
            place = if place + 1 == self.slots.len() { 0 } else { place + 1 };
        }
        self.slots[place] = slot;
        self.live += 1;
    }

    /// Gives memory back when there is much too much of it.
    fn tidy(&mut self) {
        if self.live == 0 {
            *self = Self::default();
        } else if self.live * 3 < self.slots.len() && self.slots.len() > 32 {
            self.rebuild(self.live);
        }
    }

    /// Lays everything out anew, with a fifth to a third more places than numbers.
    fn rebuild(&mut self, room: usize) {
        let old = std::mem::replace(&mut self.slots, vec![FREE; room + room * 3 / 10 + 4].into_boxed_slice());
        (self.live, self.gone) = (0, 0);
        old.iter().filter(|slot| **slot != FREE && **slot != GONE).for_each(|slot| self.push(*slot));
    }

    /// Numbers need more bits: the pieces of hashes get shorter at their upper end.
    fn widen(&mut self, bits: u32) {
        let (old, new) = (low_bits(self.bits), low_bits(bits));
        let by = bits - self.bits;
        for slot in self.slots.iter_mut().filter(|slot| **slot != FREE && **slot != GONE) {
            *slot = (u64::from(*slot & !old) << by) as u32 & !new | *slot & old;
        }
        self.bits = bits;
        if self.live > 0 {
            self.rebuild(self.live);
        }
    }

    /// The low bits of the hash in the bits above the number.
    fn tag(&self, hash: u64) -> u32 {
        (hash << self.bits) as u32
    }

    /// Where what has that tag belongs.
    fn home(&self, tag: u32) -> usize {
        ((u64::from(tag) * self.slots.len() as u64) >> 32) as usize
    }
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
                ids.remove(hash_of(id), id);
            }
            if round % 1_000 == 0 {
                assert_eq!(ids.len(), model.len());
                assert!(model.iter().all(|id| ids.find(hash_of(*id), |known| known == *id) == Some(*id)));
            }
        }
        let odd: BTreeSet<u32> = model.iter().copied().filter(|id| id % 2 == 1).collect();
        ids.retain(|id| id % 2 == 1);
        assert_eq!(ids.len(), odd.len());
        let found = model.iter().filter(|id| ids.all(hash_of(**id)).any(|known| known == **id)).copied();
        assert_eq!(found.collect::<BTreeSet<u32>>(), odd);
        ids.retain(|_| false);
        assert!(ids.shards.len() == 1 && ids.shards[0].slots.is_empty(), "what is empty keeps no memory");
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        let ids = Ids::new();
        assert_eq!(ids.find(17, |_| true), None);
    }
}
