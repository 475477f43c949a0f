//! Which files have a word: a word of few files is a sorted list, of many a compressed bitmap.

use std::ops::ControlFlow;

use roaring::RoaringBitmap;

/// Up to so many files a list is smaller and quicker than a bitmap.
const FEW: usize = 256;

/// The files, by number, that have one term.
#[derive(Clone, Debug)]
pub(super) enum Postings {
    One(u32),
    Few(Vec<u32>),
    Many(Box<RoaringBitmap>),
}

impl Postings {
    pub(super) fn insert(&mut self, file: u32) {
        match self {
            Self::One(known) if *known == file => {}
            Self::One(known) => *self = Self::Few(vec![(*known).min(file), (*known).max(file)]),
            Self::Few(files) => {
                let Err(at) = files.binary_search(&file) else { return };
                if files.len() < FEW {
                    files.insert(at, file);
                } else {
                    let mut many: RoaringBitmap = files.iter().copied().collect();
                    many.insert(file);
                    *self = Self::Many(Box::new(many));
                }
            }
            Self::Many(files) => {
                files.insert(file);
            }
        }
    }

    /// Takes a file out; `true` when none is left, and the term can be forgotten.
    pub(super) fn remove(&mut self, file: u32) -> bool {
        match self {
            Self::One(known) => *known == file,
            Self::Few(files) => {
                if let Ok(at) = files.binary_search(&file) {
                    files.remove(at);
                }
                if let [last] = files[..] {
                    *self = Self::One(last);
                }
                false
            }
            Self::Many(files) => {
                files.remove(file);
                if files.len() <= FEW as u64 / 2 {
                    *self = Self::Few(files.iter().collect());
                }
                false
            }
        }
    }

    pub(super) fn contains(&self, file: u32) -> bool {
        match self {
            Self::One(known) => *known == file,
            Self::Few(files) => files.binary_search(&file).is_ok(),
            Self::Many(files) => files.contains(file),
        }
    }

    pub(super) fn len(&self) -> u64 {
        match self {
            Self::One(_) => 1,
            Self::Few(files) => files.len() as u64,
            Self::Many(files) => files.len(),
        }
    }

    /// Both: the files of either.
    pub(super) fn union(&self, other: &Self) -> Self {
        let ((Self::Many(large), small) | (small, Self::Many(large))) = (self, other) else {
            let mut all: Vec<u32> = self.list();
            all.extend(other.list());
            all.sort_unstable();
            all.dedup();
            return match all[..] {
                [only] => Self::One(only),
                _ if all.len() <= FEW => Self::Few(all),
                _ => Self::Many(Box::new(all.into_iter().collect())),
            };
        };
        Self::Many(Box::new(match small {
            Self::Many(small) => &**large | &**small,
            _ => {
                let mut large = (**large).clone();
                large.extend(small.list());
                large
            }
        }))
    }

    /// Two bitmaps: the files of both. `None` when one is a list, which is walked instead.
    pub(super) fn intersection(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (Self::Many(a), Self::Many(b)) => Some(Self::Many(Box::new(&**a & &**b))),
            _ => None,
        }
    }

    /// Walks through the files in order, beginning at the `start`th and once around.
    pub(super) fn walk_from(&self, start: u64, mut visit: impl FnMut(u32) -> ControlFlow<()>) {
        let _ended_early = match self {
            Self::One(file) => visit(*file),
            Self::Few(files) => {
                let (before, after) = files.split_at((start as usize).min(files.len()));
                after.iter().chain(before).try_for_each(|file| visit(*file))
            }
            Self::Many(files) => {
                let first = files.select(start as u32).unwrap_or(0);
                files.range(first..).chain(files.range(..first)).try_for_each(visit)
            }
        };
    }

    fn list(&self) -> Vec<u32> {
        match self {
            Self::One(file) => vec![*file],
            Self::Few(files) => files.clone(),
            Self::Many(files) => files.iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn all(postings: &Postings, start: u64) -> Vec<u32> {
        let mut seen = Vec::new();
        postings.walk_from(start, |file| {
            seen.push(file);
            ControlFlow::Continue(())
        });
        seen
    }

    #[test]
    fn a_list_that_grows_and_shrinks_holds_what_a_set_would() {
        let mut rng = crate::base::Rng::from_number(7);
        let mut postings = Postings::One(500);
        let mut model = BTreeSet::from([500]);
        for round in 0..6_000 {
            let file = rng.below(1_000) as u32;
            // Mostly inserts, then mostly removes, so that each form is entered from both sides.
            if rng.below(10) < if round < 3_000 { 8 } else { 1 } {
                postings.insert(file);
                model.insert(file);
            } else if model.len() > 1 {
                assert!(!postings.remove(file));
                model.remove(&file);
            }
            assert_eq!(postings.len(), model.len() as u64);
            assert_eq!(postings.contains(file), model.contains(&file));
        }
        assert_eq!(all(&postings, 0), model.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn a_walk_begins_where_it_is_told_and_goes_once_around() {
        for count in [1, 3, 700] {
            let mut postings = Postings::One(0);
            (1..count).for_each(|file| postings.insert(file * 2));
            let half = u64::from(count / 2);
            let walked = all(&postings, half);
            assert_eq!(walked[0], count / 2 * 2);
            let mut sorted = walked;
            sorted.sort_unstable();
            assert_eq!(sorted, (0..count).map(|file| file * 2).collect::<Vec<_>>());
        }
    }

    #[test]
    fn unions_and_intersections_are_those_of_sets() {
        let build = |range: std::ops::Range<u32>| {
            let mut postings = Postings::One(range.start);
            range.skip(1).for_each(|file| postings.insert(file));
            postings
        };
        for (a, b) in [(0..1, 5..6), (0..10, 5..400), (0..900, 300..310), (0..900, 500..2_000)] {
            let union: BTreeSet<u32> = a.clone().chain(b.clone()).collect();
            assert_eq!(all(&build(a.clone()).union(&build(b.clone())), 0), union.into_iter().collect::<Vec<_>>());
            if let Some(both) = build(a.clone()).intersection(&build(b.clone())) {
                assert_eq!(all(&both, 0), (b.start..a.end).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn the_last_file_of_a_term_forgets_the_term() {
        let mut postings = Postings::One(3);
        postings.insert(9);
        assert!(!postings.remove(3));
        assert!(!postings.remove(3));
        assert!(postings.remove(9));
    }
}
