//! The files that we share, each under an index, a name and, once hashed, its content names.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use unicode_normalization::UnicodeNormalization;

use super::Criteria;
use super::index::Index;
use crate::base::{HashSeed, Rng};
use crate::wire::{Digests, Urn};

/// The most candidates that one search looks at, when their terms alone do not tell (phrases, filters): a
/// query of common words with a filter that hardly any passes finds what is among these.
const MAX_EXAMINED: usize = 50_000;

/// Which shared folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RootId(pub u32);

/// What tells whether a file is still the one that was hashed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Stamp {
    /// Device.
    pub dev: u64,
    /// Inode.
    pub inode: u64,
    /// Bytes.
    pub size: u64,
    /// Modified, in nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Changed, in nanoseconds since 1970.
    pub ctime_ns: i64,
}

/// A file that we share.
#[derive(Clone, Debug, PartialEq)]
pub struct SharedFile {
    /// Our number for it: stable while it is shared, not used again in this run.
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

/// All files that we share.
///
/// A file can be found as soon as it is put; its content names follow when it is hashed.
#[derive(Debug)]
pub struct Library {
    seed: HashSeed,
    files: Slots,
    /// (hash of root and path, file)
    paths: BTreeSet<(u32, u32)>,
    /// (first bytes of the digest, file), for each kind of digest
    sha1: BTreeSet<(u32, u32)>,
    tth: BTreeSet<(u32, u32)>,
    blake3: BTreeSet<(u32, u32)>,
    index: Index,
    totals: BTreeMap<RootId, Totals>,
    next: u32,
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
            files: Slots::default(),
            paths: BTreeSet::new(),
            sha1: BTreeSet::new(),
            tth: BTreeSet::new(),
            blake3: BTreeSet::new(),
            index: Index::new(rng),
            totals: BTreeMap::new(),
            next: 1,
            turn: AtomicU64::new(0),
        }
    }

    /// A file appeared or changed: same path, same entry; digests are forgotten when the stamp differs.
    pub fn put(&mut self, root: RootId, path: PathBuf, stamp: Stamp) -> Arc<SharedFile> {
        if let Some(known) = self.by_path(root, &path) {
            let digests = known.digests.filter(|_| known.stamp == stamp);
            return self.replace(&known, SharedFile { stamp, digests, ..(*known).clone() });
        }
        let index = self.fresh_index();
        let name = name_of(&path);
        self.index.insert(index, &name);
        self.paths.insert((self.path_key(root, &path), index));
        let file = Arc::new(SharedFile { index, root, path, name, stamp, digests: None });
        self.count(&file);
        self.files.set(index, Some(Arc::clone(&file)));
        file
    }

    /// A file was renamed; index and digests stay. A file that was in the way is gone. `false` when there was
    /// no such file. (A rename changes the ctime: tell the new stamp by [`Library::restamp`].)
    pub fn rename(&mut self, root: RootId, from: &Path, to: PathBuf) -> bool {
        let Some(known) = self.by_path(root, from) else { return false };
        if from == to {
            return true;
        }
        self.remove(root, &to);
        self.paths.remove(&(self.path_key(root, from), known.index));
        self.paths.insert((self.path_key(root, &to), known.index));
        let name = name_of(&to);
        if name != known.name {
            self.index.remove(known.index, &known.name);
            self.index.insert(known.index, &name);
        }
        self.replace(&known, SharedFile { path: to, name, ..(*known).clone() });
        true
    }

    /// A folder was renamed or moved within its root, and what is in it came along: indices, stamps and digests stay.
    /// What was at the new place is gone. `false` when nothing was in it.
    pub fn rename_folder(&mut self, root: RootId, from: &Path, to: &Path) -> bool {
        let below = |folder: &Path| -> Vec<PathBuf> {
            let files = self.iter().filter(|file| file.root == root && file.path.starts_with(folder));
            files.map(|file| file.path.clone()).collect()
        };
        let (moving, in_the_way) = (below(from), below(to));
        in_the_way.iter().filter(|path| !path.starts_with(from)).for_each(|path| {
            self.remove(root, path);
        });
        for path in &moving {
            if let Ok(rest) = path.strip_prefix(from) {
                self.rename(root, path, to.join(rest));
            }
        }
        !moving.is_empty()
    }

    /// The file has the same content as before but another stamp: digests stay. `false` when there is none.
    pub fn restamp(&mut self, root: RootId, path: &Path, stamp: Stamp) -> bool {
        let Some(known) = self.by_path(root, path) else { return false };
        self.replace(&known, SharedFile { stamp, ..(*known).clone() });
        true
    }

    /// A file is gone.
    pub fn remove(&mut self, root: RootId, path: &Path) -> bool {
        let Some(known) = self.by_path(root, path) else { return false };
        self.paths.remove(&(self.path_key(root, path), known.index));
        self.index.remove(known.index, &known.name);
        self.uncount(&known);
        self.files.set(known.index, None);
        true
    }

    /// A whole folder is not shared any more.
    pub fn remove_root(&mut self, root: RootId) {
        let paths: Vec<PathBuf> = self.iter().filter(|file| file.root == root).map(|file| file.path.clone()).collect();
        for path in paths {
            self.remove(root, &path);
        }
        self.totals.remove(&root);
    }

    /// A file is hashed; ignored when it has changed since.
    pub fn set_digests(&mut self, root: RootId, path: &Path, stamp: Stamp, digests: Digests) -> bool {
        let Some(known) = self.by_path(root, path).filter(|file| file.stamp == stamp) else { return false };
        self.replace(&known, SharedFile { digests: Some(digests), ..(*known).clone() });
        true
    }

    /// At most `limit` files that match. Where more do, each search begins at another place among them, so that
    /// over many searches all are found.
    pub fn search(&self, criteria: &Criteria, limit: usize) -> Vec<Arc<SharedFile>> {
        let mut found: Vec<Arc<SharedFile>> = Vec::new();
        if limit == 0 {
            return found;
        }
        if !criteria.urns.is_empty() {
            for urn in &criteria.urns {
                let more = self.all_by_urn(urn);
                for file in more {
                    if found.len() < limit && !found.iter().any(|known| known.index == file.index) {
                        found.push(file);
                    }
                }
            }
            return found;
        }
        let surely = criteria.terms_suffice();
        let mut examined = 0;
        // Multiples of the golden ratio are spread evenly however many are taken, and however many files there are.
        let turn = self.turn.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.index.candidates(criteria, turn, |index| {
            let Some(file) = self.files.get(index) else { return ControlFlow::Continue(()) };
            let size = file.stamp.size;
            if if surely { criteria.fits(size) } else { criteria.matches(&file.name, size) } {
                found.push(Arc::clone(file));
            }
            examined += 1;
            if found.len() >= limit || examined >= MAX_EXAMINED {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        found
    }

    /// The file of that number.
    pub fn by_index(&self, index: u32) -> Option<Arc<SharedFile>> {
        self.files.get(index).cloned()
    }

    /// A file of that content (a bitprint's two names must both be right).
    pub fn by_urn(&self, urn: &Urn) -> Option<Arc<SharedFile>> {
        self.all_by_urn(urn).next()
    }

    /// The file at that place.
    pub fn by_path(&self, root: RootId, path: &Path) -> Option<Arc<SharedFile>> {
        let key = self.path_key(root, path);
        let mut candidates = self.paths.range((key, 0)..=(key, u32::MAX));
        candidates.find_map(|(_, index)| {
            self.files.get(*index).filter(|file| file.root == root && file.path == path).cloned()
        })
    }

    /// All files, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<SharedFile>> {
        self.files.iter()
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

    fn all_by_urn(&self, urn: &Urn) -> impl Iterator<Item = Arc<SharedFile>> {
        let (table, key) = match urn {
            Urn::Sha1(sha1) | Urn::Bitprint(sha1, _) => (&self.sha1, first_bytes(&sha1.0)),
            Urn::Tth(tth) => (&self.tth, first_bytes(&tth.0)),
            Urn::Blake3(blake3) => (&self.blake3, first_bytes(&blake3.0)),
        };
        let candidates = table.range((key, 0)..=(key, u32::MAX));
        let files = candidates.filter_map(|(_, index)| self.files.get(*index));
        files.filter(move |file| file.digests.is_some_and(|digests| names(urn, &digests))).cloned()
    }

    /// Puts another value for a file in its place; the number stays.
    fn replace(&mut self, old: &SharedFile, new: SharedFile) -> Arc<SharedFile> {
        self.uncount(old);
        let new = Arc::new(new);
        self.count(&new);
        self.files.set(new.index, Some(Arc::clone(&new)));
        new
    }

    fn count(&mut self, file: &SharedFile) {
        let totals = self.totals.entry(file.root).or_default();
        totals.files += 1;
        totals.bytes += file.stamp.size;
        if let Some(digests) = &file.digests {
            totals.hashed += 1;
            self.sha1.insert((first_bytes(&digests.sha1.0), file.index));
            self.tth.insert((first_bytes(&digests.tth.0), file.index));
            self.blake3.insert((first_bytes(&digests.blake3.0), file.index));
        }
    }

    fn uncount(&mut self, file: &SharedFile) {
        let totals = self.totals.entry(file.root).or_default();
        totals.files -= 1;
        totals.bytes -= file.stamp.size;
        if let Some(digests) = &file.digests {
            totals.hashed -= 1;
            self.sha1.remove(&(first_bytes(&digests.sha1.0), file.index));
            self.tth.remove(&(first_bytes(&digests.tth.0), file.index));
            self.blake3.remove(&(first_bytes(&digests.blake3.0), file.index));
        }
    }

    fn path_key(&self, root: RootId, path: &Path) -> u32 {
        self.seed.hash_one((root, path.as_os_str())) as u32
    }

    /// Numbers count up; after four thousand million files they begin again and skip those in use.
    fn fresh_index(&mut self) -> u32 {
        loop {
            let index = self.next;
            self.next = self.next.wrapping_add(1).max(1);
            if self.files.get(index).is_none() {
                return index;
            }
        }
    }
}

fn names(urn: &Urn, digests: &Digests) -> bool {
    match urn {
        Urn::Sha1(sha1) => digests.sha1 == *sha1,
        Urn::Bitprint(sha1, tth) => digests.sha1 == *sha1 && digests.tth == *tth,
        Urn::Tth(tth) => digests.tth == *tth,
        Urn::Blake3(blake3) => digests.blake3 == *blake3,
    }
}

fn first_bytes(digest: &[u8]) -> u32 {
    digest.iter().take(4).fold(0, |key, byte| key << 8 | u32::from(*byte))
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().nfc().collect()
}

/// Files by number. Pages whose files are all gone are given back, so that numbers can go on counting up.
#[derive(Debug, Default)]
struct Slots {
    pages: Vec<Option<Box<Page>>>,
}

const PAGE: usize = 1024;

#[derive(Debug)]
struct Page {
    used: usize,
    files: [Option<Arc<SharedFile>>; PAGE],
}

impl Slots {
    fn get(&self, index: u32) -> Option<&Arc<SharedFile>> {
        let page = self.pages.get(index as usize / PAGE)?.as_ref()?;
        page.files[index as usize % PAGE].as_ref()
    }

    fn set(&mut self, index: u32, file: Option<Arc<SharedFile>>) {
        let at = index as usize / PAGE;
        if at >= self.pages.len() {
            self.pages.resize_with(at + 1, || None);
        }
        let slot = &mut self.pages[at];
        let page = slot.get_or_insert_with(|| Box::new(Page { used: 0, files: [const { None }; PAGE] }));
        page.used += usize::from(file.is_some());
        let old = std::mem::replace(&mut page.files[index as usize % PAGE], file);
        page.used -= usize::from(old.is_some());
        if page.used == 0 {
            *slot = None;
        }
    }

    fn iter(&self) -> impl Iterator<Item = &Arc<SharedFile>> {
        self.pages.iter().flatten().flat_map(|page| page.files.iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_moves_takes_its_files_along_and_replaces_what_was_there() {
        let mut library = Library::default();
        let stamp = Stamp { size: 5, ..Stamp::default() };
        for path in ["a/b/one", "a/b/c/two", "a/bc", "x/one"] {
            library.put(RootId(1), path.into(), stamp);
        }
        library.put(RootId(2), "a/b/one".into(), stamp);
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
            library.put(RootId(number % 2), path.clone(), Stamp::default());
            library.set_digests(RootId(number % 2), &path, Stamp::default(), digests);
        }
        assert_eq!(library.by_index(3000).map(|file| file.index), Some(3000));
        library.remove_root(RootId(0));
        library.remove_root(RootId(1));
        assert_eq!(library.index.terms(), 0);
        assert!(library.paths.is_empty() && library.sha1.is_empty() && library.tth.is_empty());
        assert!(library.blake3.is_empty() && library.totals.is_empty());
        assert!(library.files.pages.iter().all(Option::is_none), "pages are given back");
        let next = library.put(RootId(0), "new".into(), Stamp::default());
        assert_eq!(next.index, 3001, "numbers are not used again");
    }
}
