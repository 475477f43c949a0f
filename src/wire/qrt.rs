//! Query routing tables: which words somebody shares, as a set of hashes (`doc/gnutella/QRP`, `ultrapeer_qrp`).
//!
//! ```text
//! word -> 32-bit hash ([`hash`]) -> its upper bits are a slot; a table is the set of slots that are taken
//! ```
//! A query may match where the slots of all its words are taken, or the slot of one of its URNs ([`Qrt::may_match`]).
//! A table says "no" or "perhaps", never "yes". A table that came is one value that is never changed, so that many links
//! share it; one with few words, as most leaves have, keeps the numbers of its slots, others a bit for each slot.
//!
//! [`Keys`] says which hashes a query and a name have, [`patch`] turns the difference of two tables into messages and
//! back. Bounds: [`super::qrp::MAX_SLOTS`].
//!
//! Departures: the specification counts hops in a slot; as everybody does we only tell "here" from "not here". Others add
//! the beginnings of words to a table, for whom a part of a word matches; ours match whole words, so we do not.

mod keys;
mod patch;

pub use keys::{Keys, each_hash, hash, urn_hashes};
pub use patch::{BadPatch, Receiver, updates};

/// A table that we make ourselves has so many slots at least: the table of an ultrapeer in the wild.
pub const USUAL_BITS: u32 = 17;
/// ... and at most; above half a million hashes it says "perhaps" more often.
pub const MOST_BITS: u32 = 20;

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Qrt {
    /// It has two to the power of this many slots.
    bits: u32,
    taken: usize,
    slots: Slots,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Slots {
    /// The numbers of those that are taken, in order.
    Few(Box<[u32]>),
    /// A bit for each.
    All(Box<[u64]>),
}

impl Qrt {
    /// A table with two to the power of `bits` slots in which none is taken.
    pub fn empty(bits: u32) -> Self {
        Self { bits, taken: 0, slots: Slots::Few(Box::default()) }
    }

    /// How many slots it has.
    pub fn len(&self) -> usize {
        1 << self.bits
    }

    /// Whether no slot is taken.
    pub fn is_empty(&self) -> bool {
        self.taken == 0
    }

    /// How many slots are taken.
    pub fn taken(&self) -> usize {
        self.taken
    }

    /// Bytes of memory that its slots take.
    pub fn bytes(&self) -> usize {
        match &self.slots {
            Slots::Few(slots) => size_of_val::<[u32]>(slots),
            Slots::All(words) => size_of_val::<[u64]>(words),
        }
    }

    /// Whether a word or URN with this hash is there, perhaps.
    pub fn has(&self, hash: u32) -> bool {
        let slot = slot_of(hash, self.bits);
        match &self.slots {
            Slots::Few(slots) => slots.binary_search(&slot).is_ok(),
            Slots::All(words) => words[slot as usize / 64] >> (slot % 64) & 1 == 1,
        }
    }

    /// Whether its owner may have an answer. A query that says nothing by which it could be told goes to everyone who has
    /// anything.
    pub fn may_match(&self, keys: &Keys) -> bool {
        !self.is_empty() && keys.are_in(|hash| self.has(hash))
    }

    /// The numbers of the slots that are taken, in order.
    fn each(&self) -> Box<dyn Iterator<Item = u32> + '_> {
        match &self.slots {
            Slots::Few(slots) => Box::new(slots.iter().copied()),
            Slots::All(words) => {
                let each = |(first, &word)| bits_of(word).map(move |bit| first + bit);
                Box::new((0u32..).step_by(64).zip(words).flat_map(each))
            }
        }
    }

    fn to_draft(&self) -> Draft {
        if let Slots::All(words) = &self.slots {
            return Draft { bits: self.bits, words: words.clone() };
        }
        let mut draft = Draft::new(self.bits);
        self.each().for_each(|slot| draft.set(slot as usize, true));
        draft
    }
}

/// A table that is being made.
#[derive(Clone, Debug)]
pub struct Draft {
    bits: u32,
    words: Box<[u64]>,
}

impl Draft {
    /// One with two to the power of `bits` slots, none of them taken.
    pub fn new(bits: u32) -> Self {
        Self { bits, words: vec![0; (1usize << bits).div_ceil(64)].into() }
    }

    /// One in which so many hashes leave half of the slots free, within what is usual.
    pub fn for_hashes(count: usize) -> Self {
        let bits = usize::BITS - count.saturating_mul(2).leading_zeros();
        Self::new(bits.clamp(USUAL_BITS, MOST_BITS))
    }

    /// One with as many slots as `table`, none of them taken.
    pub fn of_size(table: &Qrt) -> Self {
        Self::new(table.bits)
    }

    /// As [`Qrt::may_match`] of the table as it is now; an empty one may match too.
    pub fn may_match(&self, keys: &Keys) -> bool {
        keys.are_in(|hash| {
            let slot = slot_of(hash, self.bits);
            self.words[slot as usize / 64] >> (slot % 64) & 1 == 1
        })
    }

    /// A word or URN with this hash is there.
    pub fn add(&mut self, hash: u32) {
        self.set(slot_of(hash, self.bits) as usize, true);
    }

    /// All that `table` has is there too. Where it has fewer slots, each of its slots stands for several here.
    ///
    /// Word by word where it can: an ultrapeer merges the tables of all its leaves whenever one changes.
    pub fn merge(&mut self, table: &Qrt) {
        match (&table.slots, table.bits.checked_sub(self.bits)) {
            (Slots::All(words), Some(0)) => self.words.iter_mut().zip(words).for_each(|(ours, theirs)| *ours |= theirs),
            // Some words of it are one slot here.
            (Slots::All(words), Some(shift @ 6..)) => {
                let taken = words.iter().enumerate().filter(|(_, word)| **word != 0);
                taken.for_each(|(at, _)| self.set(at >> (shift - 6), true));
            }
            // A part of a word is.
            (Slots::All(words), Some(shift)) => {
                let (parts, part) = (64 >> shift, (1 << (1 << shift)) - 1);
                for (at, word) in words.iter().enumerate().filter(|(_, word)| **word != 0) {
                    let taken = (0..parts).filter(|n| word >> (n << shift) & part != 0);
                    taken.for_each(|n| self.set(at * parts + n, true));
                }
            }
            (Slots::Few(slots), Some(shift)) => slots.iter().for_each(|slot| self.set((slot >> shift) as usize, true)),
            (_, None) => table.each().for_each(|slot| self.fill(slot as usize, self.bits - table.bits)),
        }
    }

    /// The table.
    pub fn finish(self) -> Qrt {
        let Self { bits, words } = self;
        let taken = words.iter().map(|word| word.count_ones() as usize).sum();
        let dense = Qrt { bits, taken, slots: Slots::All(words) };
        // Four bytes for each that is taken against an eighth of a byte for each slot.
        if taken * 32 >= dense.len() {
            return dense;
        }
        let few: Box<[u32]> = dense.each().collect();
        Qrt { bits, taken, slots: Slots::Few(few) }
    }

    fn set(&mut self, slot: usize, taken: bool) {
        let (word, bit) = (&mut self.words[slot / 64], 1 << (slot % 64));
        if taken {
            *word |= bit;
        } else {
            *word &= !bit;
        }
    }

    /// All slots are taken that one of a table with fewer by so many bits stands for.
    fn fill(&mut self, slot: usize, bits: u32) {
        let (first, count) = (slot << bits, 1usize << bits);
        if count >= 64 {
            self.words[first / 64..][..count / 64].fill(u64::MAX);
        } else {
            self.words[first / 64] |= ((1 << count) - 1) << (first % 64);
        }
    }

    fn flip(&mut self, slot: usize) {
        self.words[slot / 64] ^= 1 << (slot % 64);
    }
}

/// The numbers of the bits that are set.
fn bits_of(mut word: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let bit = (word != 0).then(|| word.trailing_zeros());
        word &= word.wrapping_sub(1);
        bit
    })
}

fn slot_of(hash: u32, bits: u32) -> u32 {
    (u64::from(hash) >> (32 - bits)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(bits: u32, names: &[&str]) -> Qrt {
        let mut draft = Draft::new(bits);
        names.iter().for_each(|name| each_hash(name, |hash| draft.add(hash)));
        draft.finish()
    }

    #[test]
    fn a_query_may_match_where_all_its_words_are() {
        let table = table(16, &["Blue Train.ogg", "Night_Song (Live).flac"]);
        for (text, may) in [
            ("blue", true),
            ("BLUE train", true),
            ("train blue night", true),
            ("blue trains", false),
            ("green train", false),
            ("song-live", true),
            ("", true),
            ("a", true), // too short to be told by
            ("東京", true),
        ] {
            assert_eq!(table.may_match(&Keys::of(text, &[])), may, "{text}");
        }
        assert!(!Qrt::empty(16).may_match(&Keys::of("", &[])), "who has nothing has no answer");
    }

    #[test]
    fn a_urn_decides_alone_where_there_are_no_words() {
        let urns: Vec<crate::wire::Urn> =
            ["urn:sha1:GKECXDEZDWGCRBZWKYBJD5GGT4KAUE5V"].iter().map(|u| u.parse().expect("a urn")).collect();
        let mut draft = Draft::new(16);
        draft.add(hash("other"));
        assert!(!draft.clone().finish().may_match(&Keys::of("\\", &urns)));
        assert!(draft.clone().finish().may_match(&Keys::of("other", &urns)));
        draft.add(urn_hashes(&urns[0]).expect("hashes")[1]);
        assert!(draft.finish().may_match(&Keys::of("\\", &urns)));
    }

    #[test]
    fn few_and_many_slots_answer_alike() {
        let mut draft = Draft::new(10);
        let mut slots = Vec::new();
        for n in 0..1024u32 {
            let before = draft.clone().finish();
            let slot = n * 397 % 1024;
            assert!(!before.has(slot << 22));
            draft.add(slot << 22);
            slots.push(slot);
            let after = draft.clone().finish();
            assert_eq!(after.taken(), slots.len());
            assert!(slots.iter().all(|slot| after.has(slot << 22)));
            assert_eq!(after.to_draft().finish(), after);
            assert!(after.bytes() <= 1024 / 8);
        }
    }

    #[test]
    fn a_merged_table_has_all_that_its_parts_have() {
        let (small, large) = (table(10, &["blue train"]), table(20, &["green song"]));
        let mut draft = Draft::new(16);
        draft.merge(&small);
        draft.merge(&large);
        let merged = draft.finish();
        assert!(merged.may_match(&Keys::of("blue train green song", &[])));
        assert_eq!(merged.taken(), 2 * 64 + 2);
        assert!(!merged.may_match(&Keys::of("unheard", &[])));
    }

    #[test]
    fn tables_of_all_sizes_are_merged_slot_by_slot() {
        for (from, to) in (0..=13u32).flat_map(|from| (0..=13u32).map(move |to| (from, to))) {
            for every in [1, 2, 3, 40, 97] {
                let mut table = Draft::new(from);
                (0..1usize << from).filter(|slot| slot * slot % every == 0).for_each(|slot| table.set(slot, true));
                let table = table.finish();
                let mut merged = Draft::new(to);
                merged.set((1 << to) - 1, true);
                merged.merge(&table);
                let merged = merged.finish();
                for slot in 0..1u32 << from.max(to) {
                    let (theirs, ours) = (slot >> (from.max(to) - from), slot >> (from.max(to) - to));
                    let is_there = table.has(hash_in(theirs, from));
                    assert!(!is_there || merged.has(hash_in(ours, to)), "{slot}: {from} to {to}");
                }
                let group = |slot: u32| match from.checked_sub(to) {
                    Some(more) => (slot << more..=(slot << more | ((1 << more) - 1))).collect(),
                    None => vec![slot >> (to - from)],
                };
                let taken = |slot: &u32| group(*slot).iter().any(|&theirs| table.has(hash_in(theirs, from)));
                let want = (0..1u32 << to).filter(|slot| *slot == (1 << to) - 1 || taken(slot)).count();
                assert_eq!(merged.taken(), want, "{from} to {to}, one in {every}");
            }
        }
    }

    /// A hash whose slot that is.
    fn hash_in(slot: u32, bits: u32) -> u32 {
        (u64::from(slot) << (32 - bits)) as u32
    }

    #[test]
    fn a_table_grows_with_what_is_in_it() {
        let bits = |count| Draft::for_hashes(count).bits;
        assert_eq!([0, 1000, 65_536, 65_537, 200_000, 10_000_000].map(bits), [17, 17, 18, 18, 19, 20]);
    }
}
