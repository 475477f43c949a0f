//! The files that we share, each under an index, a name and, once hashed, its content names.
//!
//! A million files must not take more memory than they are worth, so a file is not an object here. Its parts are
//! kept where parts of that sort are cheapest ([`Records`], [`Folders`], [`Cells`], [`Contents`], [`Index`]), and put
//! together to a [`SharedFile`] for whoever asks.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use unicode_normalization::UnicodeNormalization;

use super::cells::{Cells, os_name};
use super::contents::Contents;
use super::criteria::MAX_TEXT;
use super::folders::{self, Folders};
use super::index::Index;
use super::records::{Record, Records};
use super::table::Ids;
use super::{Criteria, Stamp, seek};
use crate::base::{HashSeed, Rng};
use crate::wire::{Digests, Urn};

/// The most candidates that one search looks at, when their terms alone do not tell (phrases, filters): a
/// query of common words with a filter that hardly any passes finds what is among these.
const MAX_EXAMINED: usize = 10_000;
/// When more than one file in so many goes at once, tables are gone through once instead of once for each.
const SWEEP: usize = 16;

/// Which shared folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RootId(pub u32);

/// A file that we share.
#[derive(Clone, Debug, PartialEq)]
pub struct SharedFile {
    /// Our number for it: stable while it is shared, and then for long not used again in this run.
    pub index: u32,
    /// The folder that it is in.
    pub root: RootId,
    /// Its path in that folder.
    pub path: PathBuf,
    /// Its name for the network: the last part of the path, NFC, never changed on disk.
    pub name: String,
    /// What tells whether it has changed.
    pub stamp: Stamp,
    /// Its content names, once hashed.
    pub digests: Option<Digests>,
}

/// What a list of all files says of one, see [`Library::list`].
#[derive(Clone, Copy, Debug)]
pub struct Listed<'a> {
    /// Our number for it.
    pub index: u32,
    /// Its name for the network.
    pub name: &'a str,
    /// Its bytes.
    pub size: u64,
    /// Its content names, once hashed.
    pub digests: Option<&'a Digests>,
    library: &'a Library,
    folder: u32,
}

impl Listed<'_> {
    /// The folder that it is in, in its share, for the network: NFC, with `/` between its parts. Empty at the top.
    pub fn folder(&self) -> String {
        let path = self.library.folders.path(self.folder, &self.library.cells);
        let parts: Vec<_> = path.iter().map(|part| name_of(part.as_encoded_bytes())).collect();
        parts.join("/")
    }
}

/// All files that we share.
///
/// A file can be found as soon as it is put; its content names follow when it is hashed.
#[derive(Debug)]
pub struct Library {
    seed: HashSeed,
    records: Records,
    folders: Folders,
    /// Names of files, with their stamps, and of folders.
    cells: Cells,
    contents: Contents,
    /// Files by folder and name.
    paths: Ids,
    index: Index,
    totals: BTreeMap<RootId, Totals>,
    /// Counts searches: where there are too many matches, each search begins elsewhere.
    turn: AtomicU64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Totals {
    files: u64,
    bytes: u64,
    hashed: u64,
}

impl Default for Library {
    /// An empty library whose tables have a key that anyone knows: for tests.
    fn default() -> Self {
        Self::new(&mut Rng::from_number(0))
    }
}

impl Library {
    /// Nothing shared. `rng` keys its tables.
    pub fn new(rng: &mut Rng) -> Self {
        Self {
            seed: HashSeed::new(rng),
            records: Records::new(),
            folders: Folders::new(HashSeed::new(rng)),
            cells: Cells::default(),
            contents: Contents::new(HashSeed::new(rng)),
            paths: Ids::new(),
            index: Index::new(rng),
            totals: BTreeMap::new(),
            turn: AtomicU64::new(0),
        }
    }

    /// A file appeared or changed: same path, same entry; digests are forgotten when the stamp differs. Returns its
    /// index, or `None` when there are too many files.
    pub fn put(&mut self, root: RootId, path: &Path, stamp: Stamp) -> Option<u32> {
        if let Some((at, known)) = self.at_path(root, path) {
            if self.stamp(known) != stamp {
                self.drop_digests(at);
                self.set_stamp(at, stamp);
            }
            return Some(self.records.number(at));
        }
        let (parent, name) = folders::split(path);
        let folder = self.folders.make(root, parent, &mut self.cells);
        let cell = self.cells.put(name, stamp.pack().bytes());
        self.folders.hold(folder);
        let Some(at) = self.records.add(Record { folder, cell, content: 0 }) else {
            self.cells.remove(cell, stamp.pack().bytes().len());
            self.folders.let_go(folder, &mut self.cells);
            return None;
        };
        self.index.insert(at, &name_of(name));
        self.link(at);
        let totals = self.totals.entry(root).or_default();
        totals.files += 1;
        totals.bytes += stamp.size;
        Some(self.records.number(at))
    }

    /// A file was renamed; index and digests stay. A file that was in the way is gone. `false` when there was
    /// no such file. (A rename changes the ctime: tell the new stamp by [`Library::restamp`].)
    pub fn rename(&mut self, root: RootId, from: &Path, to: &Path) -> bool {
        let Some((at, known)) = self.at_path(root, from) else { return false };
        if self.at_path(root, to).is_some_and(|(there, _)| there == at) {
            return true;
        }
        self.remove(root, to);
        self.unlink(at);
        let old = name_of(self.cells.name(known.cell)).into_owned();
        let packed = self.stamp(known).pack();
        let (parent, name) = folders::split(to);
        let folder = self.folders.make(root, parent, &mut self.cells);
        self.folders.hold(folder);
        let cell = self.cells.put(name, packed.bytes());
        self.records.set(at, Record { folder, cell, ..known });
        self.cells.remove(known.cell, packed.bytes().len());
        self.folders.let_go(known.folder, &mut self.cells);
        self.link(at);
        let new = name_of(name);
        if new != old {
            self.index.remove(at, &old);
            self.index.insert(at, &new);
        }
        true
    }

    /// A folder was renamed or moved within its root, and what is in it came along: indices, stamps and digests stay.
    /// What was at the new place is gone. `false` when nothing was in it, or the new place is inside of it. Costs the
    /// same however much is in it, unless there is something at the new place.
    pub fn rename_folder(&mut self, root: RootId, from: &Path, to: &Path) -> bool {
        let Some(folder) = self.folders.find(root, from, &self.cells) else { return false };
        if to.starts_with(from) {
            return from == to;
        }
        self.remove(root, to);
        if let Some(there) = self.folders.find(root, to, &self.cells) {
            let in_the_way = self.within(there, |at| !self.folders.is_within(at, folder));
            self.remove_all(&in_the_way);
        }
        if !from.starts_with(to) {
            self.folders.move_to(folder, to, &mut self.cells);
            return true;
        }
        // A folder takes the place of one that it is in, which stays then.
        for at in self.within(folder, |_| true) {
            let path = self.file(at).map(|file| file.path).unwrap_or_default();
            if let Ok(rest) = path.strip_prefix(from) {
                self.rename(root, &path, &to.join(rest));
            }
        }
        true
    }

    /// A folder is gone, with all that is in it. `false` when there was nothing in it.
    pub fn remove_folder(&mut self, root: RootId, path: &Path) -> bool {
        let Some(top) = self.folders.find(root, path, &self.cells) else { return false };
        let gone = self.within(top, |_| true);
        self.remove_all(&gone);
        true
    }

    /// The file has the same content as before but another stamp: digests stay. `false` when there is none.
    pub fn restamp(&mut self, root: RootId, path: &Path, stamp: Stamp) -> bool {
        let Some((at, _)) = self.at_path(root, path) else { return false };
        self.set_stamp(at, stamp);
        true
    }

    /// A file is gone.
    pub fn remove(&mut self, root: RootId, path: &Path) -> bool {
        let Some((at, known)) = self.at_path(root, path) else { return false };
        self.index.remove(at, &name_of(self.cells.name(known.cell)));
        self.unlink(at);
        self.forget(at);
        true
    }

    /// A whole folder is not shared any more.
    pub fn remove_root(&mut self, root: RootId) {
        self.remove_folder(root, Path::new(""));
        self.totals.remove(&root);
    }

    /// A file is hashed; ignored when it has changed since.
    pub fn set_digests(&mut self, root: RootId, path: &Path, stamp: Stamp, digests: Digests) -> bool {
        let Some((at, known)) = self.at_path(root, path).filter(|(_, file)| self.stamp(*file) == stamp) else {
            return false;
        };
        if known.content == 0 || self.contents.get(known.content) != digests {
            self.drop_digests(at);
            let content = self.contents.add(&digests, at);
            self.records.set(at, Record { content, ..known });
            self.totals.entry(root).or_default().hashed += 1;
        }
        true
    }

    /// Whether a query may match any file: not if it has a word that no name has. Nothing is allocated for that, so that
    /// of queries that find nothing, which are most, there may be many.
    pub fn may_match(&self, text: &str, urns: &[Urn]) -> bool {
        !urns.is_empty() || (text.len() <= MAX_TEXT && self.index.may_have(text))
    }

    /// At most `limit` files that match. Where more do, each search begins at another place among them, so that
    /// over many searches all are found.
    pub fn search(&self, criteria: &Criteria, limit: usize) -> Vec<SharedFile> {
        let found = self.find(criteria, limit).into_iter();
        found.filter_map(|index| self.by_index(index)).collect()
    }

    /// [`Library::search`] for the indices of the files alone, which is what the search itself costs.
    pub fn find(&self, criteria: &Criteria, limit: usize) -> Vec<u32> {
        let mut found: Vec<u32> = Vec::new();
        if limit == 0 {
            return found;
        }
        if !criteria.urns.is_empty() {
            for at in criteria.urns.iter().flat_map(|urn| self.contents.files(urn)) {
                if found.len() == limit {
                    break;
                }
                let number = self.records.number(at);
                if !found.contains(&number) {
                    found.push(number);
                }
            }
            return found;
        }
        let (surely, any_size) = (criteria.terms_suffice(), criteria.any_size());
        let mut sieve = criteria.sieve();
        let mut examined = 0;
        // Multiples of the golden ratio are spread evenly however many are taken, and however many files there are.
        let turn = self.turn.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let _ended_early = seek::candidates(&self.index, criteria, turn, |at| {
            let matches = (surely && any_size)
                || self.records.get(at).is_some_and(|record| {
                    examined += 1;
                    let size = Stamp::unpack_size(self.cells.more(record.cell));
                    match surely {
                        true => criteria.fits(size),
                        false => sieve.passes(&name_of(self.cells.name(record.cell)), size),
                    }
                });
            if matches {
                found.push(self.records.number(at));
            }
            match found.len() >= limit || examined >= MAX_EXAMINED {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
        found
    }

    /// The file of that number.
    pub fn by_index(&self, index: u32) -> Option<SharedFile> {
        self.records.at_number(index).and_then(|at| self.file(at))
    }

    /// A file of that content.
    pub fn by_urn(&self, urn: &Urn) -> Option<SharedFile> {
        let at = self.contents.files(urn).next()?;
        self.file(at)
    }

    /// The file at that path.
    pub fn by_path(&self, root: RootId, path: &Path) -> Option<SharedFile> {
        self.at_path(root, path).and_then(|(at, _)| self.file(at))
    }

    /// All files, in the order of their places.
    pub fn iter(&self) -> impl Iterator<Item = SharedFile> {
        self.records.iter().filter_map(|(at, _)| self.file(at))
    }

    /// Hands out names and digests as [`Library::list`] does.
    pub fn names(&self, from: u32, count: usize, mut each: impl FnMut(&str, Option<&Digests>)) -> Option<u32> {
        self.list(from, count, |file| each(file.name, file.digests))
    }

    /// Hands out `count` files from place `from` (0 at first) on; returns where to go on, `None` at the end. Files that
    /// come and go between two calls may be missed or not.
    pub fn list(&self, from: u32, count: usize, mut each: impl FnMut(Listed<'_>)) -> Option<u32> {
        let mut next = from;
        for (at, record) in self.records.iter_from(from).take(count) {
            let digests = (record.content != 0).then(|| self.contents.get(record.content));
            each(Listed {
                index: self.records.number(at),
                name: &name_of(self.cells.name(record.cell)),
                size: Stamp::unpack_size(self.cells.more(record.cell)),
                digests: digests.as_ref(),
                library: self,
                folder: record.folder,
            });
            next = at + 1;
        }
        (next > from && self.records.iter_from(next).next().is_some()).then_some(next)
    }

    /// Files that can be found.
    pub fn files(&self) -> u64 {
        self.totals.values().map(|totals| totals.files).sum()
    }

    /// Their bytes.
    pub fn bytes(&self) -> u64 {
        self.totals.values().map(|totals| totals.bytes).sum()
    }

    /// Files hashed.
    pub fn hashed(&self) -> u64 {
        self.totals.values().map(|totals| totals.hashed).sum()
    }

    /// Files, bytes and hashed files of one folder.
    pub fn totals(&self, root: RootId) -> (u64, u64, u64) {
        let totals = self.totals.get(&root).copied().unwrap_or_default();
        (totals.files, totals.bytes, totals.hashed)
    }

    /// Different words (and pairs of letters, in scripts without spaces) in all names.
    pub fn terms(&self) -> usize {
        self.index.terms()
    }

    /// Bytes that the index of the words takes, without the names.
    pub fn index_bytes(&self) -> usize {
        self.index.bytes()
    }

    fn file(&self, at: u32) -> Option<SharedFile> {
        let record = self.records.get(at)?;
        let name = self.cells.name(record.cell);
        let mut path = self.folders.path(record.folder, &self.cells);
        if !name.is_empty() {
            path.push(os_name(name));
        }
        Some(SharedFile {
            index: self.records.number(at),
            root: self.folders.root(record.folder),
            path,
            name: name_of(name).into_owned(),
            stamp: self.stamp(record),
            digests: (record.content != 0).then(|| self.contents.get(record.content)),
        })
    }

    fn at_path(&self, root: RootId, path: &Path) -> Option<(u32, Record)> {
        let (parent, name) = folders::split(path);
        let folder = self.folders.find(root, parent, &self.cells)?;
        let is = |at: u32| {
            let record = self.records.get(at).filter(|record| record.folder == folder)?;
            (self.cells.name(record.cell) == name).then_some((at, record))
        };
        self.paths.all(folders::hash(self.seed, folder, name)).find_map(is)
    }

    /// The files in a folder and in those below it, as far as `counts` holds of their folders.
    fn within(&self, top: u32, counts: impl Fn(u32) -> bool) -> Vec<u32> {
        let is = |folder: u32| self.folders.is_within(folder, top) && counts(folder);
        self.records.iter().filter_map(|(at, record)| is(record.folder).then_some(at)).collect()
    }

    fn stamp(&self, record: Record) -> Stamp {
        Stamp::unpack(self.cells.more(record.cell)).0
    }

    /// Puts another stamp in place of the one that a file has.
    fn set_stamp(&mut self, at: u32, stamp: Stamp) {
        let Some(record) = self.records.get(at) else { return };
        let (old, length) = Stamp::unpack(self.cells.more(record.cell));
        let packed = stamp.pack();
        if packed.bytes().len() == length {
            self.cells.overwrite(record.cell, packed.bytes());
        } else {
            let name = self.cells.name(record.cell).to_owned();
            self.cells.remove(record.cell, length);
            let cell = self.cells.put(&name, packed.bytes());
            self.records.set(at, Record { cell, ..record });
        }
        let totals = self.totals.entry(self.folders.root(record.folder)).or_default();
        totals.bytes = totals.bytes - old.size + stamp.size;
    }

    fn drop_digests(&mut self, at: u32) {
        if let Some(record) = self.records.get(at)
            && record.content != 0
        {
            self.contents.remove(record.content, at);
            self.records.set(at, Record { content: 0, ..record });
            self.totals.entry(self.folders.root(record.folder)).or_default().hashed -= 1;
        }
    }

    fn link(&mut self, at: u32) {
        let Self { seed, records, cells, paths, .. } = self;
        let hash_of = |at: u32| hash_of(*seed, records, cells, at);
        paths.insert(hash_of(at), at, hash_of);
    }

    fn unlink(&mut self, at: u32) {
        let Self { seed, records, cells, paths, .. } = self;
        paths.remove(hash_of(*seed, records, cells, at), at);
    }

    /// Forgets files, which need not be many.
    fn remove_all(&mut self, gone: &[u32]) {
        if gone.len() * SWEEP > self.records.len() {
            let mut bits = vec![0_u64; gone.last().map_or(0, |last| *last as usize / 64 + 1)];
            gone.iter().for_each(|at| bits[*at as usize / 64] |= 1 << (at % 64));
            let stays = |at: u32| bits.get(at as usize / 64).is_none_or(|word| word >> (at % 64) & 1 == 0);
            self.index.retain(stays);
            self.paths.retain(stays);
        } else {
            for &at in gone {
                if let Some(record) = self.records.get(at) {
                    self.index.remove(at, &name_of(self.cells.name(record.cell)));
                    self.unlink(at);
                }
            }
        }
        gone.iter().for_each(|at| self.forget(*at));
    }

    /// Forgets a file that cannot be found any more.
    fn forget(&mut self, at: u32) {
        self.drop_digests(at);
        let Some(record) = self.records.get(at) else { return };
        let (stamp, length) = Stamp::unpack(self.cells.more(record.cell));
        let totals = self.totals.entry(self.folders.root(record.folder)).or_default();
        totals.files -= 1;
        totals.bytes -= stamp.size;
        self.records.remove(at);
        self.cells.remove(record.cell, length);
        self.folders.let_go(record.folder, &mut self.cells);
    }
}

/// What a file is found by: folder and name. 0 for what is no file, which nobody looks for.
fn hash_of(seed: HashSeed, records: &Records, cells: &Cells, at: u32) -> u64 {
    records.get(at).map_or(0, |record| folders::hash(seed, record.folder, cells.name(record.cell)))
}

/// The name for the network of a file that the disk calls so.
fn name_of(bytes: &[u8]) -> Cow<'_, str> {
    if bytes.is_ascii() {
        return String::from_utf8_lossy(bytes);
    }
    String::from_utf8_lossy(bytes).nfc().collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_moves_takes_its_files_along_and_replaces_what_was_there() {
        let mut library = Library::default();
        let stamp = Stamp { size: 5, ..Stamp::default() };
        for path in ["a/b/one", "a/b/c/two", "a/bc", "x/one"] {
            library.put(RootId(1), Path::new(path), stamp);
        }
        library.put(RootId(2), Path::new("a/b/one"), stamp);
        let digests = Digests::of(b"12345");
        library.set_digests(RootId(1), Path::new("a/b/c/two"), stamp, digests);
        let index = library.by_path(RootId(1), Path::new("a/b/c/two")).expect("there").index;
        assert!(library.rename_folder(RootId(1), Path::new("a/b"), Path::new("x")));
        let mut paths: Vec<_> = library.iter().map(|file| (file.root.0, file.path.clone())).collect();
        paths.sort();
        let expected = [(1, "a/bc"), (1, "x/c/two"), (1, "x/one"), (2, "a/b/one")];
        assert_eq!(paths, expected.map(|(root, path)| (root, PathBuf::from(path))));
        let moved = library.by_path(RootId(1), Path::new("x/c/two")).expect("moved");
        assert_eq!((moved.index, moved.digests, moved.stamp), (index, Some(digests), stamp));
        assert!(!library.rename_folder(RootId(1), Path::new("a/b"), Path::new("y")), "nothing is there any more");
    }

    #[test]
    fn what_is_gone_leaves_nothing_behind() {
        let mut library = Library::default();
        let digests = Digests::of(b"x");
        for number in 0..3000_u32 {
            let path = PathBuf::from(format!("dir/東京 track {number}.ogg"));
            library.put(RootId(number % 2), &path, Stamp::default());
            library.set_digests(RootId(number % 2), &path, Stamp::default(), digests);
        }
        assert_eq!(library.by_index(3000).map(|file| file.index), Some(3000));
        library.remove_root(RootId(0));
        library.remove_root(RootId(1));
        assert_eq!(library.index.terms(), 0);
        assert!(library.paths.len() == 0 && library.contents.is_empty() && library.totals.is_empty());
        assert!(library.cells.is_empty() && library.folders.is_empty() && library.records.len() == 0);
        assert!((1..=3000).all(|index| library.by_index(index).is_none()));
        let next = library.put(RootId(0), Path::new("new"), Stamp::default());
        assert!(next.is_some_and(|index| index > 3000), "numbers are not used again");
    }
}
