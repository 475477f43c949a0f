//! Looking at what is on the disk, and taking in how it differs from what is known.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::paths::{is_fresh, is_root, range_below, take_below};
use super::{Hold, Keeper, Known};
use crate::disk::hash::{Job, Turn};
use crate::disk::policy::{self, SkipReason};
use crate::disk::scan::{self, Depth, Seen};
use crate::disk::share::Phase;
use crate::library::{Change, Stamp};

/// So many names that look private are told.
const TOLD: usize = 20;

impl Keeper {
    /// Looks at a path and takes in what is there now.
    pub(super) fn check(&mut self, path: &Path, hold: Hold) {
        match std::fs::symlink_metadata(self.root.join(path)) {
            Ok(meta) if meta.is_dir() => {
                self.release(path);
                self.forget_file(path);
                let own = self.common.options.own.iter().any(|own| *own == self.root.join(path));
                let skip = path.file_name().and_then(|name| policy::skip_name(name, true));
                match skip.or(own.then_some(SkipReason::Own)) {
                    Some(reason) => self.skip(path, reason),
                    None => self.scan(path, Depth::All, Hold::IfFresh),
                }
            }
            Ok(meta) => match scan::judge(&self.root, path, &meta) {
                Seen::File(stamp) => self.take_file(path, stamp, hold, Turn::Next),
                Seen::Skipped(reason) => self.skip(path, reason),
                Seen::Folder | Seen::Failed(_) => {}
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.forget(path);
                self.probe_if_empty();
            }
            Err(_) => self.skip(path, SkipReason::Unreadable),
        }
    }

    pub(super) fn take_file(&mut self, path: &Path, stamp: Stamp, hold: Hold, turn: Turn) {
        self.skipped.remove(path);
        if self.folders.contains_key(path) {
            self.forget(path);
        }
        if let Some(known) = self.known.get_mut(path) {
            known.scan = self.scan;
            if known.stamp == stamp {
                self.release(path);
                return;
            }
        }
        if hold == Hold::IfFresh && is_fresh(&stamp) {
            if !self.pending.contains_key(path) {
                self.hold_and_compare(path);
            }
            return;
        }
        self.release(path);
        if let Some(name) = path.file_name()
            && policy::looks_private(name)
        {
            self.status(|status| {
                let name = path.to_string_lossy().into_owned();
                if status.looks_private.len() < TOLD && !status.looks_private.contains(&name) {
                    status.looks_private.push(name);
                }
            });
        }
        let digests = self.cache(|cache| cache.get(&stamp));
        self.known.insert(path.to_owned(), Known { stamp, scan: self.scan });
        self.changes.push(Change::Put { root: self.id, path: path.to_owned(), stamp, digests });
        if digests.is_none() {
            self.hash(path, stamp, turn);
        }
        self.flush_if_full();
    }

    pub(super) fn hash(&mut self, path: &Path, stamp: Stamp, turn: Turn) {
        let job = Job {
            root: self.id,
            folder: Arc::clone(&self.root),
            path: path.to_owned(),
            stamp,
            wanted: Arc::clone(&self.wanted),
        };
        self.jobs.push((job, turn));
    }

    pub(super) fn renamed(&mut self, from: &Path, to: &Path) {
        self.release(from);
        self.release(to);
        self.unwatch(from);
        self.unwatch(to);
        self.skipped.remove(from);
        let Ok(meta) = std::fs::symlink_metadata(self.root.join(to)) else {
            self.check(from, Hold::IfFresh);
            return self.check(to, Hold::IfFresh);
        };
        // Something else may have taken the old name meanwhile; then nothing is to be believed.
        if std::fs::symlink_metadata(self.root.join(from)).is_ok() {
            self.check(to, Hold::Complete);
            return self.check(from, Hold::IfFresh);
        }
        if meta.is_dir() {
            self.renamed_folder(from, to);
        } else {
            self.renamed_file(from, to, &meta);
        }
    }

    pub(super) fn renamed_file(&mut self, from: &Path, to: &Path, meta: &std::fs::Metadata) {
        let Seen::File(stamp) = scan::judge(&self.root, to, meta) else {
            self.forget(from);
            return self.check(to, Hold::Complete);
        };
        let same = |known: &Known| Stamp { ctime_ns: stamp.ctime_ns, ..known.stamp } == stamp;
        match self.known.remove(from) {
            Some(known) if same(&known) => self.carry(from, to, known.stamp, stamp),
            Some(_) => {
                self.changes.push(Change::Removed { root: self.id, path: from.to_owned() });
                self.take_file(to, stamp, Hold::Complete, Turn::Next);
            }
            None => self.take_file(to, stamp, Hold::Complete, Turn::Next),
        }
        self.flush_if_full();
    }

    /// A file has another name, and its hashes come along.
    pub(super) fn carry(&mut self, from: &Path, to: &Path, old: Stamp, stamp: Stamp) {
        let digests = self.cache(|cache| cache.moved(&old, stamp));
        self.skipped.remove(to);
        self.known.insert(to.to_owned(), Known { stamp, scan: self.scan });
        let (root, from, path) = (self.id, from.to_owned(), to.to_owned());
        self.changes.push(Change::Renamed { root, from, to: path.clone(), stamp });
        match digests {
            Some(digests) => self.changes.push(Change::Hashed { root, path, stamp, digests }),
            None => self.hash(to, stamp, Turn::Next),
        }
    }

    pub(super) fn renamed_folder(&mut self, from: &Path, to: &Path) {
        let own = self.common.options.own.iter().any(|own| *own == self.root.join(to));
        if own || to.file_name().and_then(|name| policy::skip_name(name, true)).is_some() {
            self.forget(from);
            return self.check(to, Hold::IfFresh);
        }
        for (path, known) in take_below(&mut self.known, from) {
            let Ok(rest) = path.strip_prefix(from) else { continue };
            // The files' own ctimes stay when a folder above them moves.
            self.carry(&path, &to.join(rest), known.stamp, known.stamp);
            self.flush_if_full();
        }
        self.forget(from);
        // Its watches went by the old paths, and it may have changed meanwhile.
        self.scan(to, Depth::All, Hold::IfFresh);
    }

    /// Nothing is at this path any more, neither file nor folder.
    pub(super) fn forget(&mut self, path: &Path) {
        self.release(path);
        for (path, _) in take_below(&mut self.known, path) {
            self.changes.push(Change::Removed { root: self.id, path });
            self.flush_if_full();
        }
        self.unwatch(path);
        self.skipped.remove_below(path, Depth::All);
        for (path, pending) in take_below(&mut self.pending, path) {
            self.due.remove(&(pending.due, path));
        }
    }

    /// What was at this path is not there, or not the same: a watch by this path may be one of the old folder, or
    /// be dropped any moment. Whoever finds a folder here watches it anew.
    pub(super) fn unwatch(&mut self, path: &Path) {
        for (folder, watched) in take_below(&mut self.folders, path) {
            if watched && let Some(watch) = &mut self.watch {
                watch.forget(&self.root.join(folder));
            }
        }
    }

    /// A file is not shared for now.
    pub(super) fn forget_file(&mut self, path: &Path) {
        if self.known.remove(path).is_some() {
            self.changes.push(Change::Removed { root: self.id, path: path.to_owned() });
        }
    }

    pub(super) fn skip(&mut self, path: &Path, reason: SkipReason) {
        self.forget(path);
        self.skipped.insert(path.to_owned(), reason);
    }

    /// Reads a folder, takes in what is there and forgets what is not.
    pub(super) fn scan(&mut self, below: &Path, depth: Depth, hold: Hold) {
        self.scan = self.scan.wrapping_add(1);
        let (root, common) = (Arc::clone(&self.root), self.common.clone());
        let mut failed = None;
        let turn = if self.phase() == Phase::Scanning { Turn::Last } else { Turn::Next };
        self.skipped.remove_below(below, depth);
        let mut fresh_folders = Vec::new();
        scan::walk(&root, below, &common.options.own, depth, |path, seen| {
            match seen {
                Seen::Folder if depth == Depth::One && path != below => {
                    if !self.folders.contains_key(path) {
                        fresh_folders.push(path.to_owned());
                    }
                }
                Seen::Folder => self.enter(path),
                Seen::File(stamp) => self.take_file(path, stamp, hold, turn),
                Seen::Skipped(reason) => {
                    self.skipped.insert(path.to_owned(), reason);
                }
                Seen::Failed(error) => failed = Some(error),
            }
            if self.wanted() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        if !self.wanted() {
            return;
        }
        if let Some(error) = failed {
            if is_root(below) {
                return self.lost(&error);
            }
            let gone = error.kind() == io::ErrorKind::NotFound;
            return if gone { self.forget(below) } else { self.skip(below, SkipReason::Unreadable) };
        }
        let scan = self.scan;
        let here = |path: &Path| depth == Depth::All || path.parent() == Some(below);
        let vanished: Vec<PathBuf> = range_below(&self.known, below)
            .filter(|(path, known)| known.scan != scan && here(path))
            .map(|(path, _)| path.clone())
            .collect();
        for path in vanished {
            if !self.pending.contains_key(&path) {
                self.check(&path, Hold::IfFresh);
            }
        }
        let folders: Vec<PathBuf> = range_below(&self.folders, below).map(|(path, _)| path.clone()).collect();
        for folder in folders.into_iter().filter(|folder| !is_root(folder) && here(folder)) {
            if !self.root.join(&folder).is_dir() {
                self.forget(&folder);
            }
        }
        for folder in fresh_folders {
            self.scan(&folder, Depth::All, Hold::IfFresh);
        }
    }
}
