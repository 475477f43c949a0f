//! The folders that shared files lie in, each kept once: a folder that moves is one change, however much is in it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::hash::{BuildHasher, Hasher};
use std::path::{Path, PathBuf};

use super::RootId;
use super::cells::{Cells, os_name};
use super::table::Ids;
use crate::base::HashSeed;

/// All folders with something in them, by number (never 0).
#[derive(Debug)]
pub(super) struct Folders {
    seed: HashSeed,
    /// The first is nobody's.
    slab: Vec<Folder>,
    free: Vec<u32>,
    roots: BTreeMap<RootId, u32>,
    /// Those that are no roots, by parent and name.
    by_name: Ids,
    /// The one that was looked up last: files come folder by folder.
    last: Option<(RootId, OsString, u32)>,
}

#[derive(Clone, Debug)]
struct Folder {
    root: RootId,
    /// 0 for a root.
    parent: u32,
    name: u32,
    /// Files and folders in it.
    held: u32,
}

impl Folders {
    pub(super) fn new(seed: HashSeed) -> Self {
        let nobody = Folder { root: RootId(0), parent: 0, name: 0, held: 0 };
        Self { seed, slab: vec![nobody], free: Vec::new(), roots: BTreeMap::new(), by_name: Ids::new(), last: None }
    }

    /// The folder at that path, if it is known.
    pub(super) fn find(&self, root: RootId, path: &Path, cells: &Cells) -> Option<u32> {
        if let Some((known_root, known, folder)) = &self.last
            && *known_root == root
            && known == path.as_os_str()
        {
            return Some(*folder);
        }
        let top = *self.roots.get(&root)?;
        path.components().try_fold(top, |at, part| self.child(at, part.as_os_str().as_encoded_bytes(), cells))
    }

    /// The folder at that path, made known if it is not. It must get something to hold: see [`Folders::hold`].
    pub(super) fn make(&mut self, root: RootId, path: &Path, cells: &mut Cells) -> u32 {
        if let Some(folder) = self.find(root, path, cells) {
            if self.last.as_ref().is_none_or(|(_, _, last)| *last != folder) {
                self.last = Some((root, path.as_os_str().to_owned(), folder));
            }
            return folder;
        }
        let mut at = match self.roots.get(&root) {
            Some(top) => *top,
            None => {
                let top = self.add(Folder { root, parent: 0, name: 0, held: 0 });
                self.roots.insert(root, top);
                top
            }
        };
        for part in path.components() {
            let name = part.as_os_str().as_encoded_bytes();
            at = match self.child(at, name, cells) {
                Some(child) => child,
                None => {
                    let child = self.add(Folder { root, parent: at, name: cells.put(name, &[]), held: 0 });
                    self.slab[at as usize].held += 1;
                    self.link(child, cells);
                    child
                }
            };
        }
        self.last = Some((root, path.as_os_str().to_owned(), at));
        at
    }

    /// Something is in a folder.
    pub(super) fn hold(&mut self, folder: u32) {
        self.slab[folder as usize].held += 1;
    }

    /// Something is not in a folder any more. A folder that holds nothing is forgotten.
    pub(super) fn let_go(&mut self, mut folder: u32, cells: &mut Cells) {
        loop {
            let Folder { root, parent, name, held } = &mut self.slab[folder as usize];
            *held -= 1;
            if *held > 0 {
                return;
            }
            let (root, parent, name) = (*root, *parent, *name);
            if parent == 0 {
                self.roots.remove(&root);
            } else {
                self.unlink(folder, cells);
                cells.remove(name, 0);
            }
            self.last = None;
            self.free.push(folder);
            if self.roots.is_empty() {
                *self = Self::new(self.seed);
                return;
            }
            if parent == 0 {
                return;
            }
            folder = parent;
        }
    }

    /// Gives a folder another place and name. Nothing may be there yet; see [`Folders::find`].
    pub(super) fn move_to(&mut self, folder: u32, to: &Path, cells: &mut Cells) {
        let (parent, name) = split(to);
        let (root, old_parent) = (self.root(folder), self.slab[folder as usize].parent);
        let new_parent = self.make(root, parent, cells);
        self.unlink(folder, cells);
        cells.remove(self.slab[folder as usize].name, 0);
        let name = cells.put(name, &[]);
        self.hold(new_parent);
        let moved = &mut self.slab[folder as usize];
        (moved.parent, moved.name) = (new_parent, name);
        self.link(folder, cells);
        self.last = None;
        self.let_go(old_parent, cells);
    }

    /// Is a folder the same as `top`, or somewhere in it?
    pub(super) fn is_within(&self, mut folder: u32, top: u32) -> bool {
        while folder != 0 && folder != top {
            folder = self.slab[folder as usize].parent;
        }
        folder == top
    }

    /// The shared folder that it is in.
    pub(super) fn root(&self, folder: u32) -> RootId {
        self.slab[folder as usize].root
    }

    /// Where it is in its root.
    pub(super) fn path(&self, folder: u32, cells: &Cells) -> PathBuf {
        let mut parts = Vec::new();
        let mut at = folder;
        while self.slab[at as usize].parent != 0 {
            parts.push(self.slab[at as usize].name);
            at = self.slab[at as usize].parent;
        }
        parts.iter().rev().map(|name| os_name(cells.name(*name))).collect()
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.roots.is_empty() && self.by_name.len() == 0 && self.slab.len() == 1
    }

    fn child(&self, parent: u32, name: &[u8], cells: &Cells) -> Option<u32> {
        self.by_name.find(hash(self.seed, parent, name), |child| {
            let child = &self.slab[child as usize];
            child.parent == parent && cells.name(child.name) == name
        })
    }

    fn add(&mut self, folder: Folder) -> u32 {
        if let Some(number) = self.free.pop() {
            self.slab[number as usize] = folder;
            return number;
        }
        self.slab.push(folder);
        (self.slab.len() - 1) as u32
    }

    fn link(&mut self, folder: u32, cells: &Cells) {
        let Self { seed, slab, by_name, .. } = self;
        let hash_of = |number: u32| hash_of(*seed, slab, cells, number);
        by_name.insert(hash_of(folder), folder, hash_of);
    }

    fn unlink(&mut self, folder: u32, cells: &Cells) {
        let Self { seed, slab, by_name, .. } = self;
        let hash_of = |number: u32| hash_of(*seed, slab, cells, number);
        by_name.remove(hash_of(folder), folder);
    }
}

fn hash_of(seed: HashSeed, slab: &[Folder], cells: &Cells, folder: u32) -> u64 {
    let Folder { parent, name, .. } = slab[folder as usize];
    hash(seed, parent, cells.name(name))
}

/// The hash of something with a name in a folder.
pub(super) fn hash(seed: HashSeed, folder: u32, name: &[u8]) -> u64 {
    let mut hasher = seed.build_hasher();
    hasher.write_u32(folder);
    hasher.write(name);
    hasher.finish()
}

/// The folder of a path, and its last part (empty when there is none).
pub(super) fn split(path: &Path) -> (&Path, &[u8]) {
    let mut parts = path.components();
    let last = parts.next_back().map_or(&[][..], |last| last.as_os_str().as_encoded_bytes());
    (parts.as_path(), last)
}
