//! From what a query asks for to the files that may have it, by walking through the sets of its terms.
//!
//! The walk begins at another place each time and goes once around, so that where there are more matches than can
//! be told, each has its turn. It never takes longer than in proportion to the rarest word's files and, where all words
//! are common, to one 64th of the number of all files for each word.

use std::ops::ControlFlow;

use super::Criteria;
use super::criteria::Phrase;
use super::index::Index;
use super::lists::LONGEST;
use super::many::{CHUNK, Chunk, Many, bits_of};

/// The files of a term, wherever they are kept.
#[derive(Clone, Copy)]
pub(super) enum View<'a> {
    One(u32),
    /// Ascending.
    Few(&'a [u32]),
    Many(&'a Many),
}

/// Files that a set was made of for this query.
enum Made {
    Few(Vec<u32>),
    Many(Many),
}

impl View<'_> {
    fn len(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Few(files) => files.len(),
            Self::Many(files) => files.len() as usize,
        }
    }

    fn contains(&self, file: u32) -> bool {
        match self {
            Self::One(known) => *known == file,
            Self::Few(files) => files.binary_search(&file).is_ok(),
            Self::Many(files) => files.contains(file),
        }
    }
}

impl Made {
    fn view(&self) -> View<'_> {
        match self {
            Self::Few(files) => View::Few(files),
            Self::Many(files) => View::Many(files),
        }
    }

    /// The files of any of these.
    fn union(views: &[View<'_>]) -> Self {
        if views.iter().map(View::len).sum::<usize>() <= LONGEST {
            let mut files: Vec<u32> = Vec::new();
            for view in views {
                match view {
                    View::One(file) => files.push(*file),
                    View::Few(some) => files.extend_from_slice(some),
                    View::Many(many) => files.extend(many.iter()),
                }
            }
            files.sort_unstable();
            files.dedup();
            return Self::Few(files);
        }
        let mut all = Many::default();
        for view in views {
            match view {
                View::One(file) => all.insert(*file),
                View::Few(files) => files.iter().for_each(|file| all.insert(*file)),
                View::Many(many) => all.extend(many),
            }
        }
        Self::Many(all)
    }
}

/// Walks through the files that have all wanted terms and no unwanted word, beginning at a fraction of them (`turn` in
/// 2^64). Phrases, kinds and sizes are for whoever is told to check.
pub(super) fn candidates(
    index: &Index,
    criteria: &Criteria,
    turn: u64,
    visit: impl FnMut(u32) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let mut made: Vec<Made> = Vec::new();
    let mut wanted: Vec<View<'_>> = Vec::new();
    let ends: Vec<Phrase> = criteria.extensions.iter().filter_map(|end| Phrase::new(end)).collect();
    // An extension without a word in it (`ext:!!`) says nothing about words.
    let ends = (ends.len() == criteria.extensions.len() && !ends.is_empty()).then_some(&*ends);
    for choice in criteria.wanted.iter().map(Vec::as_slice).chain(ends) {
        match choice {
            [phrase] => match index.views_of(phrase) {
                Some(views) => wanted.extend(views),
                None => return ControlFlow::Continue(()),
            },
            _ => made.push(either(index, choice)),
        }
    }
    wanted.extend(made.iter().map(Made::view));
    let unwanted = criteria.unwanted.iter().filter(|phrase| phrase.is_a_word());
    let unwanted: Vec<View<'_>> = unwanted.filter_map(|phrase| index.views_of(phrase)).flatten().collect();
    walk(&mut wanted, &unwanted, turn, visit)
}

/// The files that have all terms of one of these phrases.
fn either(index: &Index, choice: &[Phrase]) -> Made {
    let mut made: Vec<Made> = Vec::new();
    let mut views: Vec<View<'_>> = Vec::new();
    for phrase in choice {
        match index.views_of(phrase) {
            None => {}
            Some(terms) if terms.len() == 1 => views.extend(terms),
            Some(mut terms) => {
                let mut files = Vec::new();
                let _never_ended = walk(&mut terms, &[], 0, |file| {
                    files.push(file);
                    ControlFlow::Continue(())
                });
                made.push(if files.len() <= LONGEST {
                    Made::Few(files)
                } else {
                    Made::Many(Many::from_sorted(&files))
                });
            }
        }
    }
    views.extend(made.iter().map(Made::view));
    Made::union(&views)
}

/// Walks through what is in all of `wanted` and in none of `unwanted`. In ascending order, if `turn` is 0.
fn walk(
    wanted: &mut [View<'_>],
    unwanted: &[View<'_>],
    turn: u64,
    mut visit: impl FnMut(u32) -> ControlFlow<()>,
) -> ControlFlow<()> {
    wanted.sort_by_key(View::len);
    let mut check = |file: u32| match unwanted.iter().any(|view| view.contains(file)) {
        true => ControlFlow::Continue(()),
        false => visit(file),
    };
    let Some((rarest, others)) = wanted.split_first() else { return ControlFlow::Continue(()) };
    let mut walk_list = |files: &[u32]| {
        let (before, after) = files.split_at(fraction(turn, files.len()));
        [after, before].into_iter().try_for_each(|files| {
            let mut others: Vec<Cursor<'_>> =
                others.iter().map(|view| Cursor { view: *view, chunk: 0, at: 0 }).collect();
            files.iter().try_for_each(|file| match others.iter_mut().all(|other| other.has(*file)) {
                true => check(*file),
                false => ControlFlow::Continue(()),
            })
        })
    };
    match rarest {
        View::One(file) => walk_list(&[*file]),
        View::Few(files) => walk_list(files),
        View::Many(_) => {
            let all: Vec<&Many> =
                wanted.iter().filter_map(|view| if let View::Many(many) = view { Some(*many) } else { None }).collect();
            walk_chunks(&all, turn, check)
        }
    }
}

/// Walks through what is in all of these: the smallest is the first.
fn walk_chunks(all: &[&Many], turn: u64, mut visit: impl FnMut(u32) -> ControlFlow<()>) -> ControlFlow<()> {
    let chunks = all.iter().map(|many| many.chunks()).min().unwrap_or(0);
    let start = all.first().and_then(|rarest| rarest.nth(fraction(turn, rarest.len() as usize))).unwrap_or(0);
    let (first, offset) = ((start / CHUNK) as usize, start % CHUNK);
    let mut here: Vec<&Chunk> = Vec::with_capacity(all.len());
    // The first chunk is walked through twice: from the start on, and at last up to there.
    for round in 0..=chunks {
        let at = (first + round) % chunks.max(1);
        let range = match round {
            0 => offset..CHUNK,
            _ if round == chunks => 0..offset,
            _ => 0..CHUNK,
        };
        here.clear();
        here.extend(all.iter().filter_map(|many| many.chunk(at)).filter(|chunk| chunk.len() > 0));
        if here.len() == all.len() && !range.is_empty() {
            here.sort_by_key(|chunk| chunk.len());
            let base = at as u32 * CHUNK;
            walk_chunk(&here, range, |low| visit(base + u32::from(low)))?;
        }
    }
    ControlFlow::Continue(())
}

/// Walks through what is in all of these (the smallest is the first) and in the range.
fn walk_chunk(
    all: &[&Chunk],
    range: std::ops::Range<u32>,
    mut visit: impl FnMut(u16) -> ControlFlow<()>,
) -> ControlFlow<()> {
    match all {
        [Chunk::List(rarest), others @ ..] => {
            let from = rarest.partition_point(|low| u32::from(*low) < range.start);
            let to = rarest.partition_point(|low| u32::from(*low) < range.end);
            match others {
                [Chunk::List(other)] => meet(&rarest[from..to], other, visit),
                _ => {
                    rarest[from..to].iter().try_for_each(|low| match others.iter().all(|other| other.contains(*low)) {
                        true => visit(*low),
                        false => ControlFlow::Continue(()),
                    })
                }
            }
        }
        [Chunk::Bits(_, rarest), others @ ..] => {
            for at in range.start / 64..range.end.div_ceil(64) {
                let mut word = rarest[at as usize];
                for other in others {
                    if let Chunk::Bits(_, words) = other {
                        word &= words[at as usize];
                    }
                }
                if at == range.start / 64 {
                    word &= u64::MAX << (range.start % 64);
                }
                if at == range.end / 64 {
                    word &= (1 << (range.end % 64)) - 1;
                }
                for bit in bits_of(word) {
                    visit(at as u16 * 64 + bit)?;
                }
            }
            ControlFlow::Continue(())
        }
        [] => ControlFlow::Continue(()),
    }
}

/// A set that is asked for ascending numbers, and goes on from where the last one was.
struct Cursor<'a> {
    view: View<'a>,
    chunk: usize,
    at: usize,
}

impl Cursor<'_> {
    fn has(&mut self, file: u32) -> bool {
        match self.view {
            View::One(known) => known == file,
            View::Few(files) => {
                self.at += ahead(&files[self.at..], file);
                files.get(self.at) == Some(&file)
            }
            View::Many(many) => {
                let (chunk, low) = ((file / CHUNK) as usize, file as u16);
                if chunk != self.chunk {
                    (self.chunk, self.at) = (chunk, 0);
                }
                match many.chunk(chunk) {
                    Some(Chunk::List(list)) => {
                        self.at += ahead(&list[self.at..], low);
                        list.get(self.at) == Some(&low)
                    }
                    Some(bits) => bits.contains(low),
                    None => false,
                }
            }
        }
    }
}

/// How many of an ascending list are less: in steps that double, and then back by halves.
fn ahead<N: Ord>(list: &[N], than: N) -> usize {
    let mut step = 1;
    while step < list.len() && list[step] < than {
        step *= 2;
    }
    let window = &list[step / 2..list.len().min(step + 1)];
    step / 2 + window.partition_point(|known| *known < than)
}

/// Walks through what is in both of two lists.
fn meet(short: &[u16], long: &[u16], mut visit: impl FnMut(u16) -> ControlFlow<()>) -> ControlFlow<()> {
    let mut rest = long;
    for low in short {
        rest = &rest[ahead(rest, *low)..];
        match rest.first() {
            None => break,
            Some(known) if known == low => visit(*low)?,
            Some(_) => {}
        }
    }
    ControlFlow::Continue(())
}

/// The place in so many that `turn` in 2^64 is.
fn fraction(turn: u64, len: usize) -> usize {
    ((u128::from(turn) * len as u128) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::base::Rng;

    fn some(rng: &mut Rng, count: usize, below: usize) -> Vec<u32> {
        let numbers: BTreeSet<u32> = (0..count).map(|_| 1 + rng.below(below) as u32).collect();
        numbers.into_iter().collect()
    }

    #[test]
    fn a_walk_finds_the_intersection_wherever_it_begins() {
        let mut rng = Rng::from_number(11);
        let sizes = [0, 1, 5, 900, 3_000, 9_000, 60_000, 150_000];
        for round in 0..60 {
            let mut drawn = |sizes: &[usize]| {
                let count = sizes[rng.below(sizes.len())];
                some(&mut rng, count, 200_000)
            };
            let sets: Vec<Vec<u32>> = (0..1 + round / 3 % 3).map(|_| drawn(&sizes[round % 3..][..6])).collect();
            let unwanted = drawn(&sizes);
            let made = |set: &Vec<u32>| match set.len() <= LONGEST {
                true => Made::Few(set.clone()),
                false => Made::Many(Many::from_sorted(set)),
            };
            let (kept, against): (Vec<Made>, Made) = (sets.iter().map(made).collect(), made(&unwanted));
            let mut views: Vec<View<'_>> = kept.iter().map(Made::view).collect();
            let mut found = Vec::new();
            let turn = if round % 4 == 0 { 0 } else { rng.next_u64() };
            let _never_ended = walk(&mut views, &[against.view()], turn, |file| {
                found.push(file);
                ControlFlow::Continue(())
            });
            if turn != 0 {
                found.sort_unstable();
            }
            let others: Vec<BTreeSet<u32>> = sets[1..].iter().map(|set| set.iter().copied().collect()).collect();
            let expected: Vec<u32> = sets[0]
                .iter()
                .copied()
                .filter(|file| others.iter().all(|set| set.contains(file)) && unwanted.binary_search(file).is_err())
                .collect();
            assert!(found == expected, "round {round}: {} and {}", found.len(), expected.len());
        }
    }

    #[test]
    fn a_union_has_the_files_of_each() {
        let mut rng = Rng::from_number(12);
        for counts in [[1, 1], [5, 900], [900, 900], [3, 70_000], [50_000, 70_000]] {
            let sets = counts.map(|count| some(&mut rng, count, 150_000));
            let model: BTreeSet<u32> = sets.iter().flatten().copied().collect();
            let union = Made::union(&[View::Few(&sets[0]), View::Many(&Many::from_sorted(&sets[1]))]);
            assert_eq!(union.view().len(), model.len());
            assert!(model.iter().all(|file| union.view().contains(*file)));
        }
    }
}
