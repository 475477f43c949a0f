//! The shared folder as a whole: is it there, is it watched, was anything missed?

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::paths::Skips;
use super::{Hold, Keeper};
use crate::disk::scan::Depth;
use crate::disk::share::Phase;
use crate::disk::stamp::stamp_of;
use crate::disk::watch::{self, Unwatched, Watch};
use crate::library::Change;

/// Lost events are spoken of once in this time.
const MISSED_WARNING: Duration = Duration::from_secs(60);

impl Keeper {
    /// Watches a folder that is about to be read.
    pub(super) fn enter(&mut self, folder: &Path) {
        self.forget_file(folder);
        self.skipped.remove(folder);
        if self.folders.get(folder) == Some(&true) {
            return;
        }
        let watched = match self.watch.as_mut().map(|watch| watch.folder(&self.root.join(folder))) {
            Some(Ok(())) => true,
            Some(Err(Unwatched::Gone)) => return,
            Some(Err(Unwatched::Limit)) => {
                self.tell_limit();
                false
            }
            Some(Err(Unwatched::Other(why))) => {
                log::warn!(
                    "{}: cannot be watched ({why}); it is read from time to time",
                    self.root.join(folder).display()
                );
                false
            }
            None => false,
        };
        self.folders.insert(folder.to_owned(), watched);
    }

    pub(super) fn tell_limit(&mut self) {
        if std::mem::replace(&mut self.limit_told, true) {
            return;
        }
        let limit = watch::kernel_limit().map_or(String::new(), |limit| format!(" ({limit})"));
        self.warn(format!(
            "{}: the limit of watched folders{limit} is reached; the others are read every {} s. To watch all of \
             them raise fs.inotify.max_user_watches",
            self.root.display(),
            self.common.options.poll_every.as_secs()
        ));
    }

    /// Events were lost.
    pub(super) fn catch_up(&mut self) {
        let now = Instant::now();
        if now >= self.next_missed_warning {
            self.next_missed_warning = now + MISSED_WARNING;
            self.warn(format!(
                "{}: more happened at once than could be followed; the folder is read again",
                self.root.display()
            ));
        }
        // The event that would have released a file may be among the lost.
        let held: Vec<PathBuf> = self.pending.keys().cloned().collect();
        for path in held {
            self.hold_and_compare(&path);
        }
        // What folders were replaced meanwhile is not known either: all are watched anew.
        self.folders.clear();
        self.watch_anew();
        self.rescan();
    }

    /// Reads the whole share again. Watches stay.
    pub(super) fn rescan(&mut self) {
        self.set_phase(Phase::Scanning);
        self.scan(Path::new(""), Depth::All, Hold::IfFresh);
        self.flush();
        if self.present.is_some() {
            self.set_phase(Phase::Ready);
        }
    }

    pub(super) fn polls(&self) -> bool {
        self.present.is_some() && (self.watch.is_none() || self.limit_told)
    }

    /// Reads the folders that are not watched.
    pub(super) fn poll(&mut self) {
        self.next_poll = Instant::now() + self.common.options.poll_every;
        if !self.polls() {
            return;
        }
        let unwatched: Vec<PathBuf> =
            self.folders.iter().filter(|(_, watched)| !**watched).map(|(folder, _)| folder.clone()).collect();
        for folder in unwatched {
            self.scan(&folder, Depth::One, Hold::IfFresh);
        }
    }

    /// Is the root still there, and the same? Asks for its stamp only.
    pub(super) fn probe(&mut self) {
        self.next_probe = Instant::now() + self.common.options.probe_every;
        let meta = std::fs::metadata(&*self.root).and_then(|meta| match meta.is_dir() {
            true => Ok(meta),
            false => Err(io::Error::new(io::ErrorKind::NotADirectory, "it is no folder any more")),
        });
        match meta {
            Ok(meta) => {
                let stamp = stamp_of(&meta);
                let identity = (stamp.dev, stamp.inode);
                if self.present != Some(identity) {
                    self.begin(identity);
                }
            }
            Err(error) => self.lost(&error),
        }
    }

    pub(super) fn probe_if_empty(&mut self) {
        if self.known.is_empty() {
            self.probe();
        }
    }

    /// The root is there, for the first time, again, or as another folder.
    pub(super) fn begin(&mut self, identity: (u64, u64)) {
        let replaced = self.present.replace(identity).is_some();
        if replaced {
            self.forget_all();
        }
        self.watch_anew();
        self.limit_told = false;
        self.next_poll = Instant::now() + self.common.options.poll_every;
        self.set_phase(Phase::Scanning);
        // Files of before are complete, as far as anyone can tell; those that are not tell so when they grow.
        self.scan(Path::new(""), Depth::All, Hold::Complete);
        self.flush();
        if self.present.is_some() {
            self.set_phase(Phase::Ready);
        }
    }

    pub(super) fn watch_anew(&mut self) {
        let watch = Watch::new(self.sender.clone(), Arc::clone(&self.missed), self.common.options.max_watches);
        self.watch = watch
            .inspect_err(|error| {
                self.warn(format!(
                    "{}: cannot be watched ({error}); it is read every {} s instead",
                    self.root.display(),
                    self.common.options.poll_every.as_secs()
                ));
            })
            .ok();
    }

    /// The root is not there.
    pub(super) fn lost(&mut self, error: &io::Error) {
        if self.phase() == Phase::Missing {
            return;
        }
        if self.present.take().is_some() {
            self.forget_all();
        }
        self.warn(format!("{} is missing ({error}); its files are shared again when it is back", self.root.display()));
        self.set_phase(Phase::Missing);
        self.flush();
    }

    pub(super) fn forget_all(&mut self) {
        self.watch = None;
        self.known.clear();
        self.folders.clear();
        self.skipped = Skips::default();
        self.pending.clear();
        self.due.clear();
        self.jobs.clear();
        self.changes.push(Change::RemovedRoot { root: self.id });
        self.status(|status| status.looks_private.clear());
    }
}
