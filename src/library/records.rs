//! What is kept of each file, by number: twelve bytes, the rest is in cells, folders and contents.
//!
//! Numbers count up. The place of a file that is gone is used again once there are [`REST`] such places, and then under
//! a number that has not been used: a number's upper bits say how often its place was used before. So a number comes
//! again only after its place was used 64 times.

use std::collections::VecDeque;

use super::index::NUMBER_BITS;

/// Records of a page.
const PAGE: usize = 1024;
/// So many places stay free before the one that is free for the longest time is used again.
const REST: usize = 1024;
const PLACES: u32 = (1 << NUMBER_BITS) - 1;
const TURNS: u32 = 1 << (32 - NUMBER_BITS);

/// The most files at a time.
pub(super) const MOST: u32 = PLACES - REST as u32;

/// What is kept of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    /// The folder that it is in.
    pub(super) folder: u32,
    /// Its name, with its stamp.
    pub(super) cell: u32,
    /// 0: not hashed yet.
    pub(super) content: u32,
}

/// A place: 0 in `folder` when it is free, and how often it was used before in the upper bits of `folder`.
type Place = Record;

/// All files, by place (never 0).
#[derive(Debug)]
pub(super) struct Records {
    pages: Vec<Vec<Place>>,
    free: VecDeque<u32>,
    live: usize,
    /// How often the places were used that are not there yet: more often than any that was there.
    turn: u32,
}

impl Records {
    pub(super) fn new() -> Self {
        Self { pages: Vec::new(), free: VecDeque::new(), live: 0, turn: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.live
    }

    /// Keeps a record, and tells its place; `None` when there are [`MOST`].
    pub(super) fn add(&mut self, record: Record) -> Option<u32> {
        if self.live >= MOST as usize {
            return None;
        }
        self.live += 1;
        if self.free.len() > REST
            && let Some(at) = self.free.pop_front()
        {
            let place = self.place_mut(at);
            let turn = (place.folder >> NUMBER_BITS) + 1;
            *place = Record { folder: turn << NUMBER_BITS | record.folder, ..record };
            return Some(at);
        }
        if self.pages.last().is_none_or(|page| page.len() == PAGE) {
            self.pages.push(Vec::with_capacity(PAGE));
        }
        let place = Record { folder: self.turn << NUMBER_BITS | record.folder, ..record };
        let last = self.pages.len() - 1;
        self.pages[last].push(place);
        Some((last * PAGE + self.pages[last].len()) as u32)
    }

    /// Forgets the record of a place that is taken.
    pub(super) fn remove(&mut self, at: u32) {
        let place = self.place_mut(at);
        place.folder &= !PLACES;
        self.live -= 1;
        self.free.push_back(at);
        if self.live == 0 {
            let used = self.pages.iter().flatten().map(|place| place.folder >> NUMBER_BITS).max();
            let turn = (used.unwrap_or(0) + 1) % TURNS;
            *self = Self { turn, ..Self::new() };
        }
    }

    /// The record of a place, if it is taken.
    pub(super) fn get(&self, at: u32) -> Option<Record> {
        let at = (at as usize).wrapping_sub(1);
        let place = self.pages.get(at / PAGE)?.get(at % PAGE)?;
        let record = Record { folder: place.folder & PLACES, ..*place };
        (record.folder != 0).then_some(record)
    }

    /// Changes the record of a place that is taken.
    pub(super) fn set(&mut self, at: u32, record: Record) {
        let place = self.place_mut(at);
        *place = Record { folder: place.folder & !PLACES | record.folder, ..record };
    }

    /// The number that the outside knows a place by.
    pub(super) fn number(&self, at: u32) -> u32 {
        let index = at as usize - 1;
        self.pages[index / PAGE][index % PAGE].folder & !PLACES | at
    }

    /// The place of a number that the outside knows, if it is still taken by the same file.
    pub(super) fn at_number(&self, number: u32) -> Option<u32> {
        let at = number & PLACES;
        (self.get(at).is_some() && self.number(at) == number).then_some(at)
    }

    /// All places that are taken, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, Record)> {
        self.iter_from(1)
    }

    /// Those from `first` on.
    pub(super) fn iter_from(&self, first: u32) -> impl Iterator<Item = (u32, Record)> {
        (first.max(1)..=(self.pages.len() * PAGE) as u32).filter_map(|at| Some((at, self.get(at)?)))
    }

    fn place_mut(&mut self, at: u32) -> &mut Place {
        let at = at as usize - 1;
        &mut self.pages[at / PAGE][at % PAGE]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::base::Rng;

    fn record(folder: u32) -> Record {
        Record { folder, cell: folder + 1, content: folder + 2 }
    }

    #[test]
    fn places_are_used_again_under_numbers_that_were_not() {
        let (mut records, mut rng) = (Records::new(), Rng::from_number(2));
        let (mut held, mut used): (Vec<(u32, u32)>, BTreeSet<u32>) = (Vec::new(), BTreeSet::new());
        for round in 1..20_000 {
            if held.len() < 500 || rng.below(2) == 0 {
                let at = records.add(record(round)).expect("there is room");
                let number = records.number(at);
                assert!(used.insert(number), "{number:x} comes again");
                held.push((number, round));
            } else {
                let (number, folder) = held.swap_remove(rng.below(held.len()));
                let at = records.at_number(number).expect("there");
                assert_eq!(records.get(at).map(|record| record.folder), Some(folder));
                records.remove(at);
                assert_eq!(records.at_number(number), None);
            }
            assert_eq!(records.len(), held.len());
        }
        assert!(records.pages.len() < 5, "{} pages for {} files", records.pages.len(), held.len());
        assert_eq!(records.iter().count(), held.len());
        for (number, _) in held {
            records.remove(number & PLACES);
        }
        assert!(records.pages.is_empty() && records.free.is_empty());
        let at = records.add(record(1)).expect("there is room");
        assert!(used.insert(records.number(at)), "numbers go on when all were gone");
    }

    #[test]
    fn what_is_no_number_of_a_file_finds_none() {
        let mut records = Records::new();
        records.add(record(5));
        for number in [0, 2, PAGE as u32 + 1, 1 << NUMBER_BITS | 1, u32::MAX] {
            assert_eq!(records.at_number(number), None, "{number}");
        }
        assert_eq!(records.at_number(1), Some(1));
    }
}
