//! Terms to files. A term is kept as its keyed 64-bit hash alone, not as text: names are in the files already,
//! and two terms of one hash (one chance in a million million for a million terms) would only show a wrong hit.

use std::hash::BuildHasher;
use std::ops::ControlFlow;

use super::criteria::Phrase;
use super::postings::Postings;
use super::{Criteria, words};
use crate::base::{HashSeed, Map, Rng};

/// The terms of all names.
#[derive(Debug)]
pub(super) struct Index {
    seed: HashSeed,
    terms: Map<u64, Postings>,
    /// Reused between names.
    scratch: String,
}

impl Index {
    pub(super) fn new(rng: &mut Rng) -> Self {
        Self { seed: HashSeed::new(rng), terms: Map::with_hasher(HashSeed::new(rng)), scratch: String::new() }
    }

    pub(super) fn insert(&mut self, file: u32, name: &str) {
        let Self { seed, terms, scratch } = self;
        each_hash(*seed, name, scratch, |hash| {
            terms.entry(hash).and_modify(|postings| postings.insert(file)).or_insert(Postings::One(file));
        });
    }

    pub(super) fn remove(&mut self, file: u32, name: &str) {
        let Self { seed, terms, scratch } = self;
        each_hash(*seed, name, scratch, |hash| {
            if let Some(postings) = terms.get_mut(&hash)
                && postings.remove(file)
            {
                terms.remove(&hash);
            }
        });
    }

    /// Walks through the files that have all wanted terms, beginning at a fraction of them (`turn` in 2^64) and once
    /// around, so that where there are more than can be told, each has its turn.
    pub(super) fn candidates(&self, criteria: &Criteria, turn: u64, mut visit: impl FnMut(u32) -> ControlFlow<()>) {
        let mut lists: Vec<Found<'_>> = Vec::new();
        for choice in &criteria.wanted {
            match choice.as_slice() {
                [phrase] => {
                    let Some(found) = self.lists_of(phrase) else { return };
                    lists.extend(found.into_iter().map(Found::Kept));
                }
                _ => {
                    let either = choice.iter().filter_map(|phrase| self.files_of(phrase));
                    let Some(union) = either.reduce(|a, b| a.union(&b)) else { return };
                    lists.push(Found::Made(union));
                }
            }
        }
        lists.sort_by_key(|list| list.get().len());
        let mut lists = lists.into_iter();
        let Some(mut rarest) = lists.next() else { return };
        let mut others = Vec::new();
        for list in lists {
            match rarest.get().intersection(list.get()) {
                Some(both) => rarest = Found::Made(both),
                None => others.push(list),
            }
        }
        let start = (u128::from(turn) * u128::from(rarest.get().len())) >> 64;
        rarest.get().walk_from(start as u64, |file| {
            if others.iter().all(|list| list.get().contains(file)) { visit(file) } else { ControlFlow::Continue(()) }
        });
    }

    /// The lists of all terms of a phrase; `None` when a term is in no name.
    fn lists_of(&self, phrase: &Phrase) -> Option<Vec<&Postings>> {
        let (mut lists, mut known) = (Vec::new(), true);
        for token in phrase.tokens() {
            words::each_wanted_term(token, |term| match self.terms.get(&self.seed.hash_one(term)) {
                Some(postings) => lists.push(postings),
                None => known = false,
            });
        }
        known.then_some(lists)
    }

    /// The files that have all terms of a phrase.
    fn files_of(&self, phrase: &Phrase) -> Option<Postings> {
        let mut lists = self.lists_of(phrase)?;
        lists.sort_by_key(|list| list.len());
        let (rarest, others) = lists.split_first()?;
        if others.is_empty() {
            return Some((*rarest).clone());
        }
        let mut all: Option<Postings> = None;
        rarest.walk_from(0, |file| {
            if others.iter().all(|list| list.contains(file)) {
                match &mut all {
                    Some(all) => all.insert(file),
                    None => all = Some(Postings::One(file)),
                }
            }
            ControlFlow::Continue(())
        });
        all
    }

    #[cfg(test)]
    pub(super) fn terms(&self) -> usize {
        self.terms.len()
    }
}

enum Found<'a> {
    Kept(&'a Postings),
    Made(Postings),
}

impl Found<'_> {
    fn get(&self) -> &Postings {
        match self {
            Self::Kept(postings) => postings,
            Self::Made(postings) => postings,
        }
    }
}

fn each_hash(seed: HashSeed, name: &str, scratch: &mut String, mut visit: impl FnMut(u64)) {
    scratch.clear();
    words::fold_into(name, scratch);
    // A word that a name has twice is visited twice; postings are sets.
    for token in words::tokens(scratch) {
        words::each_term(token, |term| visit(seed.hash_one(term)));
    }
}
