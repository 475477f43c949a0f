//! What files contain, by its names. Files of one content share one entry, however many they are.

use std::collections::BTreeSet;

use super::table::Ids;
use crate::base::HashSeed;
use crate::wire::{Digests, Urn};

/// Entries of a page.
const PAGE: usize = 256;
/// In place of its file: the content is in several, listed elsewhere.
const SEVERAL: u32 = u32::MAX;

/// The contents of all hashed files, by number (never 0).
#[derive(Debug)]
pub(super) struct Contents {
    seed: HashSeed,
    pages: Vec<Vec<Content>>,
    free: Vec<u32>,
    live: usize,
    /// (content, file) of those that are in several files.
    several: BTreeSet<(u32, u32)>,
    tables: [Ids; 3],
}

#[derive(Clone, Debug)]
struct Content {
    digests: Digests,
    file: u32,
}

/// Under which of its names a content is looked up.
#[derive(Clone, Copy)]
enum By {
    Sha1,
    Tth,
    Blake3,
}

impl Contents {
    pub(super) fn new(seed: HashSeed) -> Self {
        let tables = [Ids::new(), Ids::new(), Ids::new()];
        Self { seed, pages: Vec::new(), free: Vec::new(), live: 0, several: BTreeSet::new(), tables }
    }

    pub(super) fn get(&self, content: u32) -> Digests {
        self.at(content).digests
    }

    /// A file has that content. Returns its number.
    pub(super) fn add(&mut self, digests: &Digests, file: u32) -> u32 {
        let hash = hash(self.seed, By::Sha1, digests);
        if let Some(content) = self.tables[0].find(hash, |content| self.at(content).digests == *digests) {
            let known = self.at(content).file;
            if known != SEVERAL {
                self.several.insert((content, known));
                self.at_mut(content).file = SEVERAL;
            }
            self.several.insert((content, file));
            return content;
        }
        let content = self.free.pop().unwrap_or(self.live as u32 + 1);
        self.live += 1;
        let entry = Content { digests: *digests, file };
        let at = content as usize - 1;
        if at / PAGE == self.pages.len() {
            self.pages.push(Vec::with_capacity(PAGE));
        }
        let page = &mut self.pages[at / PAGE];
        match page.get_mut(at % PAGE) {
            Some(place) => *place = entry,
            None => page.push(entry),
        }
        let Self { seed, pages, tables, .. } = self;
        for (table, by) in tables.iter_mut().zip([By::Sha1, By::Tth, By::Blake3]) {
            let hash_of = |content: u32| hash_in(*seed, pages, by, content);
            table.insert(hash_of(content), content, hash_of);
        }
        content
    }

    /// A file has that content no more.
    pub(super) fn remove(&mut self, content: u32, file: u32) {
        if self.at(content).file == SEVERAL {
            self.several.remove(&(content, file));
            let mut left = self.several.range((content, 0)..=(content, u32::MAX));
            if let (Some(&last), None) = (left.next(), left.next()) {
                self.several.remove(&last);
                self.at_mut(content).file = last.1;
            }
            return;
        }
        let Self { seed, pages, tables, .. } = self;
        for (table, by) in tables.iter_mut().zip([By::Sha1, By::Tth, By::Blake3]) {
            table.remove(hash_in(*seed, pages, by, content), content);
        }
        self.live -= 1;
        self.free.push(content);
        if self.live == 0 {
            *self = Self::new(self.seed);
        }
    }

    /// The files of that content.
    pub(super) fn files(&self, urn: &Urn) -> impl Iterator<Item = u32> {
        let (table, prefix) = match urn {
            Urn::Sha1(sha1) | Urn::Bitprint(sha1, _) => (By::Sha1, prefix(&sha1.0)),
            Urn::Tth(tth) => (By::Tth, prefix(&tth.0)),
            Urn::Blake3(blake3) => (By::Blake3, prefix(&blake3.0)),
        };
        let contents = self.tables[table as usize].all(self.seed.hash(&prefix));
        let contents = contents.filter(|content| names(urn, &self.at(*content).digests));
        contents.flat_map(|content| {
            let file = self.at(content).file;
            let several = self.several.range((content, 0)..=(content, u32::MAX)).map(|(_, file)| *file);
            (file != SEVERAL).then_some(file).into_iter().chain(several)
        })
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.live == 0 && self.pages.is_empty() && self.several.is_empty()
    }

    fn at(&self, content: u32) -> &Content {
        let at = content as usize - 1;
        &self.pages[at / PAGE][at % PAGE]
    }

    fn at_mut(&mut self, content: u32) -> &mut Content {
        let at = content as usize - 1;
        &mut self.pages[at / PAGE][at % PAGE]
    }
}

fn hash_in(seed: HashSeed, pages: &[Vec<Content>], by: By, content: u32) -> u64 {
    let at = content as usize - 1;
    hash(seed, by, &pages[at / PAGE][at % PAGE].digests)
}

fn hash(seed: HashSeed, by: By, digests: &Digests) -> u64 {
    seed.hash(&match by {
        By::Sha1 => prefix(&digests.sha1.0),
        By::Tth => prefix(&digests.tth.0),
        By::Blake3 => prefix(&digests.blake3.0),
    })
}

fn prefix(digest: &[u8]) -> [u8; 8] {
    digest.first_chunk().copied().unwrap_or_default()
}

fn names(urn: &Urn, digests: &Digests) -> bool {
    match urn {
        Urn::Sha1(sha1) => digests.sha1 == *sha1,
        Urn::Bitprint(sha1, tth) => digests.sha1 == *sha1 && digests.tth == *tth,
        Urn::Tth(tth) => digests.tth == *tth,
        Urn::Blake3(blake3) => digests.blake3 == *blake3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(contents: &Contents, urn: &Urn) -> Vec<u32> {
        contents.files(urn).collect()
    }

    #[test]
    fn files_of_one_content_come_and_go_and_all_are_found() {
        let mut contents = Contents::new(HashSeed::new(&mut crate::base::Rng::from_number(1)));
        let (one, other) = (Digests::of(b"one"), Digests::of(b"other"));
        // Somebody calls two contents by one SHA-1.
        let liar = Digests { sha1: one.sha1, ..other };
        let number = contents.add(&one, 7);
        assert_eq!((contents.add(&one, 9), contents.add(&one, 8)), (number, number));
        let liars = contents.add(&liar, 5);
        let mut both = files(&contents, &Urn::Sha1(one.sha1));
        both.sort_unstable();
        assert_eq!(both, [5, 7, 8, 9]);
        assert_eq!(files(&contents, &Urn::Bitprint(one.sha1, one.tth)), [7, 8, 9]);
        assert_eq!(files(&contents, &Urn::Tth(other.tth)), [5]);
        contents.remove(number, 7);
        contents.remove(number, 9);
        assert_eq!((files(&contents, &Urn::Blake3(one.blake3)), contents.several.len()), (vec![8], 0));
        contents.remove(number, 8);
        assert_eq!((contents.add(&other, 3), contents.get(number)), (number, other), "places are used again");
        contents.remove(number, 3);
        contents.remove(liars, 5);
        assert!(contents.is_empty());
    }
}
