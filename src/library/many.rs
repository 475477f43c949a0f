//! The files of a common word: for each 65,536 numbers a sorted list of their lower halves, or where that would be
//! longer than it is worth, a bit for each.

/// Numbers of a chunk.
pub(super) const CHUNK: u32 = 1 << 16;
/// Words of the bits of a chunk.
const WORDS: usize = CHUNK as usize / 64;
/// A list of more is kept as bits (8 KiB, what a list of twice as many takes: bits are the quicker by far) ...
const LISTED: usize = 2048;
/// ... until it has so few.
const UNLISTED: u32 = 1024;

/// A large set of numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Many {
    chunks: Vec<Chunk>,
    len: u32,
}

/// The numbers of one chunk, by their lower halves.
#[derive(Clone, Debug)]
pub(super) enum Chunk {
    /// Ascending.
    List(Vec<u16>),
    /// How many, and which.
    Bits(u32, Box<[u64; WORDS]>),
}

impl Many {
    /// The numbers, which ascend.
    pub(super) fn from_sorted(numbers: &[u32]) -> Self {
        let mut many = Self::default();
        let mut rest = numbers;
        while let Some(first) = rest.first() {
            let at = first / CHUNK;
            let (here, further) = rest.split_at(rest.partition_point(|number| number / CHUNK == at));
            many.chunks.resize_with(at as usize, Chunk::default);
            many.chunks.push(Chunk::from_sorted(here));
            rest = further;
        }
        many.len = numbers.len() as u32;
        many
    }

    pub(super) fn len(&self) -> u32 {
        self.len
    }

    pub(super) fn chunks(&self) -> usize {
        self.chunks.len()
    }

    /// The numbers from `at` x 65,536 on; nothing when there is no such chunk.
    pub(super) fn chunk(&self, at: usize) -> Option<&Chunk> {
        self.chunks.get(at)
    }

    pub(super) fn insert(&mut self, number: u32) {
        let at = (number / CHUNK) as usize;
        if at >= self.chunks.len() {
            self.chunks.reserve_exact(at + 1 - self.chunks.len());
            self.chunks.resize_with(at + 1, Chunk::default);
        }
        self.len += u32::from(self.chunks[at].insert(number as u16));
    }

    pub(super) fn remove(&mut self, number: u32) {
        if let Some(chunk) = self.chunks.get_mut((number / CHUNK) as usize) {
            self.len -= u32::from(chunk.remove(number as u16));
        }
    }

    pub(super) fn contains(&self, number: u32) -> bool {
        self.chunk((number / CHUNK) as usize).is_some_and(|chunk| chunk.contains(number as u16))
    }

    /// The number that so many others are less than.
    pub(super) fn nth(&self, mut before: usize) -> Option<u32> {
        for (chunk, base) in self.chunks.iter().zip((0..).step_by(CHUNK as usize)) {
            let len = chunk.len() as usize;
            if before < len {
                return chunk.nth(before).map(|low| base + u32::from(low));
            }
            before -= len;
        }
        None
    }

    /// Keeps only those of which `stays` holds.
    pub(super) fn retain(&mut self, stays: impl Fn(u32) -> bool) {
        let left: Vec<u32> = self.iter().filter(|number| stays(*number)).collect();
        *self = Self::from_sorted(&left);
    }

    /// All numbers, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> {
        let chunks = self.chunks.iter().zip((0..).step_by(CHUNK as usize));
        chunks.flat_map(|(chunk, base): (_, u32)| chunk.iter().map(move |low| base + u32::from(low)))
    }

    /// Adds all numbers of another set.
    pub(super) fn extend(&mut self, other: &Self) {
        if self.chunks.len() < other.chunks.len() {
            self.chunks.resize_with(other.chunks.len(), Chunk::default);
        }
        for (mine, theirs) in self.chunks.iter_mut().zip(&other.chunks) {
            let before = mine.len();
            mine.extend(theirs);
            self.len += mine.len() - before;
        }
    }

    /// Its bytes, apart from itself.
    pub(super) fn bytes(&self) -> usize {
        let of = |chunk: &Chunk| match chunk {
            Chunk::List(list) => list.capacity() * 2,
            Chunk::Bits(..) => WORDS * 8,
        };
        self.chunks.capacity() * size_of::<Chunk>() + self.chunks.iter().map(of).sum::<usize>()
    }
}

impl Default for Chunk {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

impl Chunk {
    fn from_sorted(numbers: &[u32]) -> Self {
        let list = Self::List(numbers.iter().map(|number| *number as u16).collect());
        if numbers.len() > LISTED { list.with_bits() } else { list }
    }

    pub(super) fn len(&self) -> u32 {
        match self {
            Self::List(list) => list.len() as u32,
            Self::Bits(count, _) => *count,
        }
    }

    pub(super) fn contains(&self, low: u16) -> bool {
        match self {
            Self::List(list) => list.binary_search(&low).is_ok(),
            Self::Bits(_, words) => words[usize::from(low) / 64] >> (low % 64) & 1 == 1,
        }
    }

    fn nth(&self, mut before: usize) -> Option<u16> {
        match self {
            Self::List(list) => list.get(before).copied(),
            Self::Bits(_, words) => words.iter().zip(0_u16..).find_map(|(word, at)| {
                let here = word.count_ones() as usize;
                if before < here {
                    return bits_of(*word).nth(before).map(|bit| at * 64 + bit);
                }
                before -= here;
                None
            }),
        }
    }

    /// All, ascending.
    fn iter(&self) -> impl Iterator<Item = u16> {
        let (list, words) = match self {
            Self::List(list) => (&list[..], &[][..]),
            Self::Bits(_, words) => (&[][..], &words[..]),
        };
        let bits = words.iter().zip(0_u16..).flat_map(|(word, at)| bits_of(*word).map(move |bit| at * 64 + bit));
        list.iter().copied().chain(bits)
    }

    /// `true` when it was not there.
    fn insert(&mut self, low: u16) -> bool {
        match self {
            Self::List(list) => {
                // Most come in ascending order.
                let at = match list.last() {
                    Some(last) if *last >= low => match list.binary_search(&low) {
                        Ok(_) => return false,
                        Err(at) => at,
                    },
                    _ => list.len(),
                };
                if list.len() >= LISTED {
                    *self = std::mem::take(self).with_bits();
                    return self.insert(low);
                }
                if list.len() == list.capacity() {
                    list.reserve_exact(list.len() / 4 + 4);
                }
                list.insert(at, low);
                true
            }
            Self::Bits(count, words) => {
                let word = &mut words[usize::from(low) / 64];
                let fresh = *word >> (low % 64) & 1 == 0;
                *word |= 1 << (low % 64);
                *count += u32::from(fresh);
                fresh
            }
        }
    }

    /// `true` when it was there.
    fn remove(&mut self, low: u16) -> bool {
        match self {
            Self::List(list) => {
                let Ok(at) = list.binary_search(&low) else { return false };
                list.remove(at);
                if list.len() < list.capacity() / 2 {
                    list.shrink_to(list.len() + list.len() / 4);
                }
                true
            }
            Self::Bits(count, words) => {
                let word = &mut words[usize::from(low) / 64];
                let there = *word >> (low % 64) & 1 == 1;
                *word &= !(1 << (low % 64));
                *count -= u32::from(there);
                if *count < UNLISTED {
                    *self = Self::List(self.iter().collect());
                }
                there
            }
        }
    }

    fn extend(&mut self, other: &Self) {
        if let (Self::Bits(count, mine), Self::Bits(_, theirs)) = (&mut *self, other) {
            mine.iter_mut().zip(theirs.iter()).for_each(|(mine, theirs)| *mine |= theirs);
            *count = mine.iter().map(|word| word.count_ones()).sum();
        } else if matches!(other, Self::Bits(..)) {
            let mine = std::mem::replace(self, other.clone());
            self.extend(&mine);
        } else {
            other.iter().for_each(|low| {
                self.insert(low);
            });
        }
    }

    fn with_bits(self) -> Self {
        let mut words = Box::new([0; WORDS]);
        self.iter().for_each(|low| words[usize::from(low) / 64] |= 1 << (low % 64));
        Self::Bits(self.len(), words)
    }
}

/// The bits that are set, from the lowest.
pub(super) fn bits_of(mut word: u64) -> impl Iterator<Item = u16> {
    std::iter::from_fn(move || {
        let bit = word.trailing_zeros();
        word &= word.wrapping_sub(1);
        (bit < 64).then_some(bit as u16)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::base::Rng;

    #[test]
    fn it_holds_what_a_set_would_in_each_of_its_forms() {
        let (mut many, mut model, mut rng) = (Many::default(), BTreeSet::new(), Rng::from_number(9));
        for round in 0..60_000 {
            let number = rng.below(6_000) as u32 + if rng.below(8) == 0 { 3 * CHUNK - 500 } else { 0 };
            // Mostly inserts, then mostly removes, so that each form is entered from both sides.
            if rng.below(10) < if round < 30_000 { 9 } else { 1 } {
                many.insert(number);
                model.insert(number);
            } else {
                many.remove(number);
                model.remove(&number);
            }
            assert_eq!(many.len(), model.len() as u32);
            assert_eq!(many.contains(number), model.contains(&number));
            if round % 5_000 == 0 {
                assert!(many.iter().eq(model.iter().copied()));
                let at = rng.below(model.len() + 1);
                assert_eq!(many.nth(at), model.iter().copied().nth(at));
            }
        }
        many.retain(|number| number % 3 == 0);
        assert!(many.iter().eq(model.iter().copied().filter(|number| number % 3 == 0)));
    }

    #[test]
    fn unions_are_those_of_sets() {
        let build = |numbers: &[u32]| Many::from_sorted(numbers);
        let (few, lots): (Vec<u32>, Vec<u32>) = ((0..9_000).step_by(70).collect(), (5_000..200_000).collect());
        let odd: Vec<u32> = (1..300_000).step_by(2).collect();
        for (a, b) in [(&few, &lots), (&lots, &few), (&lots, &odd), (&few, &few), (&odd, &few)] {
            let mut union = build(a);
            union.extend(&build(b));
            let model: BTreeSet<u32> = a.iter().chain(b).copied().collect();
            assert_eq!(union.len(), model.len() as u32);
            assert!(union.iter().eq(model));
        }
    }
}
