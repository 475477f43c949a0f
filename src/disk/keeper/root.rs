//! The shared folder as a whole: is it there, is it watched, was anything missed?

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Depth, Hold, Keeper};
use crate::disk::share::{About, Phase};
use crate::disk::stamp::stamp_of;
use crate::disk::watch::{self, Lost, Watch};
use crate::library::Change;

/// Lost events are spoken of once in this time.
const MISSED_WARNING: Duration = Duration::from_secs(60);

impl Keeper {
    pub(super) fn tell_limit(&mut self) {
        if std::mem::replace(&mut self.limit_told, true) {
            return;
        }
        let limit = watch::kernel_limit().map_or(String::new(), |limit| format!(" ({limit})"));
        let message = format!(
            "{}: the limit of watched folders{limit} is reached; the others are read every {} s. To watch all of \
             them: `sysctl fs.inotify.max_user_watches=524288`",
            self.root.display(),
            self.common.options.poll_every.as_secs()
        );
        self.warn(About::Watch, message);
    }

    /// Warnings whose causes are over are taken back.
    pub(super) fn take_back(&mut self) {
        if self.present.is_some() && !self.polls() {
            self.limit_told = false;
            self.is_over(About::Watch);
        }
        // It was caught up with at once; but who looks from time to time is to see it.
        if Instant::now() >= self.next_missed_warning {
            self.is_over(About::Missed);
        }
    }

    /// Events were lost. Where it is known in which folders, these are read again, else all of them.
    pub(super) fn catch_up(&mut self, lost: Lost) {
        let now = Instant::now();
        if now >= self.next_missed_warning {
            self.next_missed_warning = now + MISSED_WARNING;
            let what = match lost.anywhere {
                true => "it is read again".to_owned(),
                false => format!("what is in {} of its folders is read again", lost.folders.len().max(1)),
            };
            let root = self.root.display();
            self.warn(About::Missed, format!("{root}: more happened at once than could be followed; {what}"));
        }
        if lost.mounts {
            self.look_at_mounts();
        }
        // The event that would have released a file may be among the lost.
        if lost.anywhere {
            for spot in self.held.spots() {
                self.hold_and_compare(&spot);
            }
            return self.rescan();
        }
        self.set_phase(Phase::Scanning);
        for watch in lost.folders {
            let Some(folder) = self.tree.watched(watch) else { continue };
            for spot in self.held.spots_in(folder) {
                self.hold_and_compare(&spot);
            }
            self.scan(folder, Depth::One, Hold::IfFresh);
        }
        self.end_scan();
    }

    /// Reads the whole share again. Watches stay.
    pub(super) fn rescan(&mut self) {
        if self.present.is_none() {
            return self.probe();
        }
        self.set_phase(Phase::Scanning);
        self.scan(self.tree.root(), Depth::All, Hold::IfFresh);
        self.end_scan();
    }

    fn end_scan(&mut self) {
        self.flush();
        if self.present.is_some() {
            self.set_phase(Phase::Ready);
        }
    }

    pub(super) fn polls(&self) -> bool {
        self.present.is_some() && (self.watch.is_none() || !self.tree.is_all_watched())
    }

    /// Reads the folders that are not watched. Perhaps they can be by now.
    pub(super) fn poll(&mut self) {
        self.next_poll = Instant::now() + self.common.options.poll_every;
        if !self.polls() {
            return;
        }
        if self.watch.is_none() {
            self.watch = self.new_watch().ok().map(Arc::new);
            if self.watch.is_some() {
                log::info!("{}: it can be watched now", self.root.display());
            }
            return self.scan(self.tree.root(), Depth::All, Hold::IfFresh);
        }
        for folder in self.tree.unwatched() {
            self.scan(folder, Depth::One, Hold::IfFresh);
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
        if self.tree.files() == 0 {
            self.probe();
        }
    }

    /// The root's own watch has ended: it is gone, or another folder lies over it.
    pub(super) fn root_changed(&mut self) {
        self.probe();
        if self.present.is_some() && self.tree.watch_of(self.tree.root()).is_none() {
            self.rescan();
        }
    }

    /// The root is there, for the first time, again, or as another folder.
    fn begin(&mut self, identity: (u64, u64)) {
        let replaced = self.present.replace(identity).is_some();
        self.is_over(About::Missing);
        self.is_over(About::Watch);
        if replaced {
            self.forget_all();
        }
        self.watch = self
            .new_watch()
            .inspect_err(|error| {
                let every = self.common.options.poll_every.as_secs();
                let root = self.root.display();
                let message = format!("{root}: cannot be watched ({error}); it is read every {every} s instead");
                self.warn(About::Watch, message);
            })
            .ok()
            .map(Arc::new);
        self.limit_told = false;
        self.next_poll = Instant::now() + self.common.options.poll_every;
        self.mounts = watch::mounts_below(&self.root);
        self.set_phase(Phase::Scanning);
        // Files of before are complete, as far as anyone can tell; those that are not tell so when they grow.
        self.scan(self.tree.root(), Depth::All, Hold::Complete);
        self.end_scan();
    }

    fn new_watch(&self) -> io::Result<Watch> {
        Watch::new(self.sender.clone(), Arc::clone(&self.missed), self.common.options.max_watches)
    }

    /// The root is not there.
    pub(super) fn lost(&mut self, error: &io::Error) {
        if self.phase() == Phase::Missing {
            return;
        }
        if self.present.take().is_some() {
            self.forget_all();
        }
        let root = self.root.display();
        self.warn(About::Missing, format!("{root} is missing ({error}); its files are shared again when it is back"));
        self.set_phase(Phase::Missing);
        self.flush();
    }

    fn forget_all(&mut self) {
        self.watch = None;
        self.tree.clear();
        self.skips.clear();
        self.held.clear();
        self.moving.clear();
        self.retry.clear();
        self.feed.clear();
        self.changes.push(Change::RemovedRoot { root: self.id });
        self.status(|status| status.looks_private.clear());
    }
}
