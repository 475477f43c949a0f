//! Sorted lists of numbers, up to a thousand each, by the hundred thousand: lists of about one length lie in one
//! array, one after the other, so that a list costs hardly more than its numbers.

/// The longest list.
pub(super) const LONGEST: usize = 1024;
/// What a place of a list that is not taken holds: more than any number.
const NONE: u32 = u32::MAX;
/// How many lengths there are: 2 to 8, and from there on four for each doubling.
const CLASSES: usize = 7 + 4 * 7;

/// All lists. A list is named by its class and its place there.
#[derive(Debug)]
pub(super) struct Lists {
    classes: [Class; CLASSES],
}

/// Lists of one length.
#[derive(Debug)]
struct Class {
    length: usize,
    places: Vec<u32>,
    /// The latest list that is free, which names the one before; [`NONE`] at the end.
    free: u32,
    live: u32,
}

/// A list: its class and its place.
pub(super) type At = (usize, u32);

impl Lists {
    pub(super) fn new() -> Self {
        let classes = std::array::from_fn(|class| Class {
            length: if class < 7 { class + 2 } else { (5 + (class - 7) % 4) << ((class - 7) / 4 + 1) },
            places: Vec::new(),
            free: NONE,
            live: 0,
        });
        Self { classes }
    }

    /// Keeps a list of two numbers or more, which ascend.
    pub(super) fn put(&mut self, numbers: &[u32]) -> At {
        let class = self.classes.partition_point(|class| class.length < numbers.len());
        let place = self.classes[class].take();
        let list = self.classes[class].list(place);
        list[..numbers.len()].copy_from_slice(numbers);
        list[numbers.len()..].fill(NONE);
        (class, place)
    }

    /// The numbers of a list.
    pub(super) fn get(&self, (class, place): At) -> &[u32] {
        let Class { length, places, .. } = &self.classes[class];
        let list = &places[place as usize * length..][..*length];
        let taken = list.iter().rposition(|number| *number != NONE).map_or(0, |last| last + 1);
        &list[..taken]
    }

    /// Adds a number; the list may then be elsewhere. `Err` when the list is full at [`LONGEST`].
    pub(super) fn insert(&mut self, at: At, number: u32) -> Result<At, ()> {
        let (class, place) = at;
        let list = self.classes[class].list(place);
        let taken = list.iter().rposition(|number| *number != NONE).map_or(0, |last| last + 1);
        let here = if list[taken - 1] < number { taken } else { list.partition_point(|known| *known < number) };
        if list.get(here) == Some(&number) {
            return Ok(at);
        }
        if taken < list.len() {
            list.copy_within(here..taken, here + 1);
            list[here] = number;
            return Ok(at);
        }
        if taken == LONGEST {
            return Err(());
        }
        let mut longer = [NONE; LONGEST];
        longer[..here].copy_from_slice(&list[..here]);
        longer[here] = number;
        longer[here + 1..=taken].copy_from_slice(&list[here..]);
        self.free(at);
        Ok(self.put(&longer[..=taken]))
    }

    /// Takes a number out; the list may then be elsewhere. `Err` with the last number when one is left, and the list
    /// is no more.
    pub(super) fn remove(&mut self, at: At, number: u32) -> Result<At, u32> {
        let mut rest = [NONE; LONGEST];
        let list = self.get(at);
        let Ok(here) = list.binary_search(&number) else { return Ok(at) };
        let taken = list.len() - 1;
        rest[..here].copy_from_slice(&list[..here]);
        rest[here..taken].copy_from_slice(&list[here + 1..]);
        if taken == 1 {
            self.free(at);
            return Err(rest[0]);
        }
        // A list moves when it would fit into one of two lengths less, so that it does not move to and fro.
        if at.0 < 2 || taken > self.classes[at.0 - 2].length {
            self.classes[at.0].list(at.1)[..=taken].copy_from_slice(&rest[..=taken]);
            return Ok(at);
        }
        self.free(at);
        Ok(self.put(&rest[..taken]))
    }

    /// Forgets a list.
    pub(super) fn free(&mut self, (class, place): At) {
        let class = &mut self.classes[class];
        class.live -= 1;
        if class.live == 0 {
            (class.places, class.free) = (Vec::new(), NONE);
        } else {
            class.list(place)[0] = class.free;
            class.free = place;
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.classes.iter().map(|class| class.places.capacity() * 4).sum()
    }
}

impl Class {
    fn list(&mut self, place: u32) -> &mut [u32] {
        &mut self.places[place as usize * self.length..][..self.length]
    }

    fn take(&mut self) -> u32 {
        self.live += 1;
        if self.free != NONE {
            let place = self.free;
            self.free = self.list(place)[0];
            return place;
        }
        let end = self.places.len();
        if end == self.places.capacity() {
            let lists = end / self.length;
            self.places.reserve_exact((lists / 8 + 2) * self.length);
        }
        self.places.resize(end + self.length, NONE);
        (end / self.length) as u32
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::base::Rng;

    #[test]
    fn lengths_grow_by_a_quarter_at_most_from_two_to_the_longest() {
        let lengths: Vec<usize> = Lists::new().classes.iter().map(|class| class.length).collect();
        assert_eq!(lengths[..15], [2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32]);
        assert_eq!(lengths[lengths.len() - 1], LONGEST);
    }

    #[test]
    fn lists_hold_what_sets_would_and_leave_nothing_behind() {
        let (mut lists, mut rng) = (Lists::new(), Rng::from_number(3));
        let mut held: Vec<(At, BTreeSet<u32>)> = Vec::new();
        for round in 0..60_000_usize {
            let which = rng.below(40);
            let number = rng.below(if which < 3 { 2_000 } else { 60 }) as u32;
            if which >= held.len() {
                let first = BTreeSet::from([number, number + 1]);
                held.push((lists.put(&[number, number + 1]), first));
            } else if rng.below(10) < if round < 35_000 { 8 } else { 1 } {
                let (at, model) = &mut held[which];
                match lists.insert(*at, number) {
                    Ok(now) => *at = now,
                    Err(()) => {
                        assert_eq!(model.len(), LONGEST);
                        continue;
                    }
                }
                model.insert(number);
            } else {
                let (at, model) = &mut held[which];
                model.remove(&number);
                match lists.remove(*at, number) {
                    Ok(now) => *at = now,
                    Err(last) => {
                        assert_eq!(model.iter().copied().collect::<Vec<_>>(), [last]);
                        held.swap_remove(which);
                        continue;
                    }
                }
            }
            if let Some((at, model)) = held.get(which) {
                assert!(model.iter().eq(lists.get(*at)), "round {round}");
            }
        }
        for (at, _) in held {
            lists.free(at);
        }
        assert_eq!(lists.bytes(), 0);
    }
}
