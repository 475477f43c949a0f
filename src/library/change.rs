//! What happens to shared files, as values: the disk tells it, the library takes it in.

use std::path::PathBuf;

use super::{Library, RootId, Stamp};
use crate::wire::Digests;

/// Something that happened to what we share. Paths are below their root.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A file appeared or has new content. `digests` when they are known from an earlier run.
    Put {
        /// The shared folder.
        root: RootId,
        /// The file.
        path: PathBuf,
        /// As it is now.
        stamp: Stamp,
        /// Its content names, if known.
        digests: Option<Digests>,
    },
    /// A file has another name; its content is the same.
    Renamed {
        /// The shared folder.
        root: RootId,
        /// The old path.
        from: PathBuf,
        /// The new one.
        to: PathBuf,
        /// As it is now (a rename changes its ctime).
        stamp: Stamp,
    },
    /// A folder has another name or place in its shared folder, and everything in it came along unchanged. What was
    /// at the new place is gone.
    RenamedFolder {
        /// The shared folder.
        root: RootId,
        /// The old path.
        from: PathBuf,
        /// The new one, not inside of the old one.
        to: PathBuf,
    },
    /// A file is gone.
    Removed {
        /// The shared folder.
        root: RootId,
        /// The file.
        path: PathBuf,
    },
    /// A whole folder is not shared any more.
    RemovedRoot {
        /// The shared folder.
        root: RootId,
    },
    /// A file is hashed.
    Hashed {
        /// The shared folder.
        root: RootId,
        /// The file.
        path: PathBuf,
        /// As it was while it was hashed.
        stamp: Stamp,
        /// Its content names.
        digests: Digests,
    },
    /// The state of a shared folder is another one (scanning, hashing, ready, missing).
    State {
        /// The shared folder.
        root: RootId,
    },
    /// Something that the user should know.
    Warning(String),
    /// What that warning said is so no more.
    WarningOver(String),
}

impl Library {
    /// Takes in what happened. Returns whether anything that can be found has changed.
    pub fn apply(&mut self, change: Change) -> bool {
        match change {
            Change::Put { root, path, stamp, digests } => {
                self.put(root, &path, stamp);
                if let Some(digests) = digests {
                    self.set_digests(root, &path, stamp, digests);
                }
                true
            }
            Change::Renamed { root, from, to, stamp } => {
                let known = self.rename(root, &from, &to);
                if known {
                    self.restamp(root, &to, stamp);
                } else {
                    self.put(root, &to, stamp);
                }
                true
            }
            Change::RenamedFolder { root, from, to } => self.rename_folder(root, &from, &to),
            Change::Removed { root, path } => self.remove(root, &path),
            Change::RemovedRoot { root } => {
                let had = self.totals(root).0 > 0;
                self.remove_root(root);
                had
            }
            Change::Hashed { root, path, stamp, digests } => self.set_digests(root, &path, stamp, digests),
            Change::State { .. } | Change::Warning(_) | Change::WarningOver(_) => false,
        }
    }
}
