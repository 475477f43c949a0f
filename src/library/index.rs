//! Terms to files. A term is kept as its keyed 64-bit hash alone, not as text: names are in the files already,
//! and two terms of one hash (one chance in 37 million for a million terms) would only show a wrong hit.
//!
//! The index is several smaller ones, each for a part of all hashes, so that its tables grow one after the other.

use super::criteria::Phrase;
use super::lists::{self, Lists};
use super::many::Many;
use super::seek::View;
use crate::base::{HashSeed, Rng};
use crate::wire::words;

/// Numbers of files have so many bits.
pub(super) const NUMBER_BITS: u32 = 26;
const SHARDS: usize = 16;

/// The terms of all names, and which files have them. [`super::Library`] keeps one; alone it is for those who keep the names,
/// and the numbers of files (from 1 up to 2^26), themselves.
#[derive(Debug)]
pub struct Index {
    seed: HashSeed,
    shards: Vec<Shard>,
    /// Reused between names.
    scratch: String,
    hashes: Vec<u64>,
}

/// The terms of a part of all hashes.
#[derive(Debug)]
pub(super) struct Shard {
    slots: Box<[Slot]>,
    used: usize,
    lists: Lists,
    many: Vec<Many>,
    many_free: Vec<u32>,
}

/// A term: its hash in two halves, and its files.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    low: u32,
    high: u32,
    /// 0 in a slot that is free.
    files: u32,
}

/// Where the files of a term are: one number stands for itself, others in lists or larger sets.
enum Files {
    One(u32),
    Few(lists::At),
    Many(u32),
}

const MANY: u32 = 63;
/// Longer words are not looked up before a search is made of them.
const PLAIN_WORD: usize = 64;

impl Index {
    /// No files. `rng` keys it.
    pub fn new(rng: &mut Rng) -> Self {
        let shards = (0..SHARDS).map(|_| Shard::new()).collect();
        Self { seed: HashSeed::new(rng), shards, scratch: String::new(), hashes: Vec::new() }
    }

    /// A file has that name.
    pub fn insert(&mut self, file: u32, name: &str) {
        let Self { seed, shards, scratch, hashes } = self;
        hashes.clear();
        each_hash(*seed, name, scratch, |hash| hashes.push(hash));
        // A word that a name has twice is visited twice; lists are sets.
        for hash in hashes {
            shards[shard_of(*hash)].insert(*hash, file);
        }
    }

    /// A file has that name no more.
    pub fn remove(&mut self, file: u32, name: &str) {
        let Self { seed, shards, scratch, .. } = self;
        each_hash(*seed, name, scratch, |hash| shards[shard_of(hash)].remove(hash, file));
    }

    /// Takes all files out of which `stays` does not hold: cheaper than one by one when they are many.
    pub(super) fn retain(&mut self, stays: impl Fn(u32) -> bool) {
        for shard in &mut self.shards {
            shard.retain(&stays);
        }
    }

    /// The files of all terms of a phrase; `None` when a term is in no name.
    pub(super) fn views_of(&self, phrase: &Phrase) -> Option<Vec<View<'_>>> {
        let (mut views, mut known) = (Vec::new(), true);
        for token in phrase.tokens() {
            words::each_wanted_term(token, |term| {
                let hash = self.seed.hash(term.as_bytes());
                match self.shards[shard_of(hash)].find(hash) {
                    Some(view) => views.push(view),
                    None => known = false,
                }
            });
        }
        known.then_some(views)
    }

    /// Whether each word of a text may be in some name. It says "perhaps" of text that is not ASCII and of long words.
    pub(super) fn may_have(&self, text: &str) -> bool {
        let mut words = text.as_bytes().split(|byte| !byte.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        let is_known = |word: &[u8]| {
            let mut folded = [0; PLAIN_WORD];
            let Some(folded) = folded.get_mut(..word.len()) else { return true };
            folded.copy_from_slice(word);
            folded.make_ascii_lowercase();
            let hash = self.seed.hash(folded);
            self.shards[shard_of(hash)].find(hash).is_some()
        };
        !text.is_ascii() || words.all(is_known)
    }

    /// How many terms there are.
    pub(super) fn terms(&self) -> usize {
        self.shards.iter().map(|shard| shard.used).sum()
    }

    /// Bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        let of = |shard: &Shard| {
            shard.slots.len() * size_of::<Slot>()
                + shard.lists.bytes()
                + shard.many.iter().map(|many| size_of::<Many>() + many.bytes()).sum::<usize>()
        };
        size_of::<Self>() + self.shards.iter().map(|shard| size_of::<Shard>() + of(shard)).sum::<usize>()
    }
}

impl Shard {
    fn new() -> Self {
        Self { slots: Box::default(), used: 0, lists: Lists::new(), many: Vec::new(), many_free: Vec::new() }
    }

    fn find(&self, hash: u64) -> Option<View<'_>> {
        let slot = self.slots.get(self.place(hash))?;
        match unpack(slot.files)? {
            Files::One(file) => Some(View::One(file)),
            Files::Few(at) => Some(View::Few(self.lists.get(at))),
            Files::Many(at) => Some(View::Many(&self.many[at as usize])),
        }
    }

    fn insert(&mut self, hash: u64, file: u32) {
        if (self.used + 1) * 25 > self.slots.len() * 22 {
            self.resize();
        }
        let place = self.place(hash);
        let slot = &mut self.slots[place];
        slot.files = match unpack(slot.files) {
            None => {
                self.used += 1;
                *slot = Slot { low: hash as u32, high: (hash >> 32) as u32, files: 0 };
                pack(Files::One(file))
            }
            Some(Files::One(known)) if known == file => return,
            Some(Files::One(known)) => pack(Files::Few(self.lists.put(&[known.min(file), known.max(file)]))),
            Some(Files::Few(at)) => match self.lists.insert(at, file) {
                Ok(at) => pack(Files::Few(at)),
                Err(()) => {
                    let mut many = Many::from_sorted(self.lists.get(at));
                    many.insert(file);
                    self.lists.free(at);
                    match self.many_free.pop() {
                        Some(free) => {
                            self.many[free as usize] = many;
                            pack(Files::Many(free))
                        }
                        None => {
                            self.many.push(many);
                            pack(Files::Many(self.many.len() as u32 - 1))
                        }
                    }
                }
            },
            Some(Files::Many(at)) => return self.many[at as usize].insert(file),
        };
    }

    fn remove(&mut self, hash: u64, file: u32) {
        let place = self.place(hash);
        let Some(files) = self.slots.get(place).and_then(|slot| unpack(slot.files)) else { return };
        match files {
            Files::One(known) => {
                if known == file {
                    self.forget(place);
                }
            }
            Files::Few(at) => {
                self.slots[place].files = match self.lists.remove(at, file) {
                    Ok(at) => pack(Files::Few(at)),
                    Err(last) => pack(Files::One(last)),
                };
            }
            Files::Many(at) => {
                let many = &mut self.many[at as usize];
                many.remove(file);
                if many.len() as usize <= lists::LONGEST / 2 {
                    self.slots[place].files = self.shorten(at);
                }
            }
        }
    }

    fn retain(&mut self, stays: &impl Fn(u32) -> bool) {
        for place in 0..self.slots.len() {
            let files = match unpack(self.slots[place].files) {
                None => continue,
                Some(Files::One(file)) => {
                    if stays(file) {
                        continue;
                    } else {
                        0
                    }
                }
                Some(Files::Few(at)) => {
                    let list = self.lists.get(at);
                    let left: Vec<u32> = list.iter().copied().filter(|file| stays(*file)).collect();
                    if left.len() == list.len() {
                        continue;
                    }
                    self.lists.free(at);
                    match left[..] {
                        [] => 0,
                        [one] => pack(Files::One(one)),
                        _ => pack(Files::Few(self.lists.put(&left))),
                    }
                }
                Some(Files::Many(at)) => {
                    let many = &mut self.many[at as usize];
                    many.retain(stays);
                    if many.len() as usize > lists::LONGEST / 2 { continue } else { self.shorten(at) }
                }
            };
            self.slots[place].files = files;
        }
        // Those without files left are left out when the slots are laid out anew.
        self.used = self.slots.iter().filter(|slot| slot.files != 0).count();
        self.resize();
    }

    /// A large set of few files becomes a list again, or nothing.
    fn shorten(&mut self, at: u32) -> u32 {
        let left: Vec<u32> = std::mem::take(&mut self.many[at as usize]).iter().collect();
        self.many_free.push(at);
        if self.many_free.len() == self.many.len() {
            (self.many, self.many_free) = (Vec::new(), Vec::new());
        }
        match left[..] {
            [] => 0,
            [one] => pack(Files::One(one)),
            _ => pack(Files::Few(self.lists.put(&left))),
        }
    }

    /// The slot of a term, or the one where it would be.
    fn place(&self, hash: u64) -> usize {
        let (low, high) = (hash as u32, (hash >> 32) as u32);
        let mut place = home(low, self.slots.len());
        while let Some(slot) = self.slots.get(place)
            && slot.files != 0
            && (slot.low, slot.high) != (low, high)
        {
            place = if place + 1 == self.slots.len() { 0 } else { place + 1 };
        }
        place
    }

    /// Frees a slot, and closes the gap.
    fn forget(&mut self, place: usize) {
        self.used -= 1;
        if self.used == 0 {
            *self = Self::new();
            return;
        }
        let slots = &mut self.slots;
        let after = |place: usize| if place + 1 == slots.len() { 0 } else { place + 1 };
        let (mut gap, mut at) = (place, after(place));
        while slots[at].files != 0 {
            // What lies behind the gap, and belongs before it or into it, moves there.
            let from_home = (at + slots.len() - home(slots[at].low, slots.len())) % slots.len();
            let from_gap = (at + slots.len() - gap) % slots.len();
            if from_home >= from_gap {
                slots[gap] = slots[at];
                gap = at;
            }
            at = if at + 1 == slots.len() { 0 } else { at + 1 };
        }
        slots[gap] = Slot::default();
        if self.used * 3 < self.slots.len() && self.slots.len() > 64 {
            self.resize();
        }
    }

    /// Lays the slots out anew, with a little room.
    fn resize(&mut self) {
        if self.used == 0 && !self.slots.is_empty() {
            *self = Self::new();
            return;
        }
        let room = self.used + self.used * 3 / 10 + 8;
        let old = std::mem::replace(&mut self.slots, vec![Slot::default(); room].into_boxed_slice());
        for slot in old.iter().filter(|slot| slot.files != 0) {
            let place = self.place(u64::from(slot.high) << 32 | u64::from(slot.low));
            self.slots[place] = *slot;
        }
    }
}

fn shard_of(hash: u64) -> usize {
    (hash >> 60) as usize
}

fn home(low: u32, places: usize) -> usize {
    ((u64::from(low) * places as u64) >> 32) as usize
}

fn pack(files: Files) -> u32 {
    match files {
        Files::One(file) => file,
        Files::Few((class, place)) => (class as u32 + 1) << NUMBER_BITS | place,
        Files::Many(at) => MANY << NUMBER_BITS | at,
    }
}

fn unpack(files: u32) -> Option<Files> {
    let rest = files & ((1 << NUMBER_BITS) - 1);
    match files >> NUMBER_BITS {
        0 if rest == 0 => None,
        0 => Some(Files::One(rest)),
        MANY => Some(Files::Many(rest)),
        class => Some(Files::Few((class as usize - 1, rest))),
    }
}

fn each_hash(seed: HashSeed, name: &str, scratch: &mut String, mut visit: impl FnMut(u64)) {
    scratch.clear();
    words::fold_into(name, scratch);
    if scratch.is_ascii() {
        let words = scratch.as_bytes().split(|byte| !byte.is_ascii_alphanumeric());
        words.filter(|word| !word.is_empty()).for_each(|word| visit(seed.hash(word)));
        return;
    }
    for token in words::tokens(scratch) {
        words::each_term(token, |term| visit(seed.hash(term.as_bytes())));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    fn files(shard: &Shard, hash: u64) -> Vec<u32> {
        match shard.find(hash) {
            None => Vec::new(),
            Some(View::One(file)) => vec![file],
            Some(View::Few(files)) => files.to_vec(),
            Some(View::Many(files)) => files.iter().collect(),
        }
    }

    #[test]
    fn a_shard_holds_what_a_map_of_sets_would() {
        let (mut shard, mut rng) = (Shard::new(), Rng::from_number(5));
        let mut model: BTreeMap<u64, BTreeSet<u32>> = BTreeMap::new();
        let term = |number: usize| (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for round in 0..100_000_usize {
            // A few terms of very many files, many of few.
            let hash = term(if rng.below(2) == 0 { rng.below(3) } else { rng.below(2_000) });
            let file = 1 + rng.below(40_000) as u32;
            let known = model.entry(hash).or_default();
            if rng.below(10) < if round < 60_000 { 9 } else { 1 } {
                shard.insert(hash, file);
                known.insert(file);
            } else {
                let file = known.range(file..).next().copied().unwrap_or(file);
                shard.remove(hash, file);
                known.remove(&file);
            }
            if round % 10_000 == 0 {
                assert!(model.iter().all(|(hash, model)| model.iter().copied().eq(files(&shard, *hash))));
                model.retain(|_, files| !files.is_empty());
                assert_eq!(shard.used, model.len());
            }
        }
        shard.retain(&|file| file % 5 == 0);
        for (hash, model) in &mut model {
            model.retain(|file| file % 5 == 0);
            assert!(model.iter().copied().eq(files(&shard, *hash)));
        }
        shard.retain(&|_| false);
        assert_eq!((shard.used, shard.slots.len(), shard.lists.bytes(), shard.many.len()), (0, 0, 0, 0));
    }
}
