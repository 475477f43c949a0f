//! The files that we share, each under an index, a name and, once hashed, its content names.

use std::path::PathBuf;
use std::sync::Arc;

use super::Criteria;
use crate::wire::{Digests, Urn};

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
#[derive(Debug, Default)]
pub struct Library {}

#[allow(unused_variables, clippy::todo)]
impl Library {
    /// Nothing shared. `seed` keys its tables.
    pub fn new(rng: &mut crate::base::Rng) -> Self {
        todo!()
    }
    /// A file appeared or changed: same path, same entry; digests are forgotten when the stamp differs.
    pub fn put(&mut self, root: RootId, path: PathBuf, stamp: Stamp) -> Arc<SharedFile> {
        todo!()
    }
    /// A file was renamed; index and digests stay.
    pub fn rename(&mut self, root: RootId, from: &std::path::Path, to: PathBuf) -> bool {
        todo!()
    }
    /// A file is gone.
    pub fn remove(&mut self, root: RootId, path: &std::path::Path) -> bool {
        todo!()
    }
    /// A whole folder is not shared any more.
    pub fn remove_root(&mut self, root: RootId) {
        todo!()
    }
    /// A file is hashed; ignored when it has changed since.
    pub fn set_digests(&mut self, root: RootId, path: &std::path::Path, stamp: Stamp, digests: Digests) -> bool {
        todo!()
    }
    /// At most `limit` files that match.
    pub fn search(&self, criteria: &Criteria, limit: usize) -> Vec<Arc<SharedFile>> {
        todo!()
    }
    /// The file of that number.
    pub fn by_index(&self, index: u32) -> Option<Arc<SharedFile>> {
        todo!()
    }
    /// A file of that content.
    pub fn by_urn(&self, urn: &Urn) -> Option<Arc<SharedFile>> {
        todo!()
    }
    /// Files that can be found.
    pub fn files(&self) -> u64 {
        todo!()
    }
    /// Their bytes.
    pub fn bytes(&self) -> u64 {
        todo!()
    }
    /// Files hashed.
    pub fn hashed(&self) -> u64 {
        todo!()
    }
    /// Files, bytes and hashed files of one folder.
    pub fn totals(&self, root: RootId) -> (u64, u64, u64) {
        todo!()
    }
}
