//! What is to be hashed, handed to the hashers in portions: the tree itself is the queue, so that a million files to
//! hash take no memory of their own and a restart goes on where the last run was.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::names::{Entry, Kind};
use super::tree::{FolderId, Spot};
use super::{Hold, Keeper};
use crate::disk::hash::{Job, Outcome, Turn};
use crate::disk::policy::SkipReason;
use crate::disk::scan;
use crate::disk::stamp::Print;
use crate::library::Change;

/// The most files of one share with the hashers.
const OUT: usize = 1024;
/// They are given more when there are so few.
const LOW: usize = OUT / 2;
/// So many files that were just dropped go before all others; if there are more they wait their turn.
const NEWEST: usize = 1024;

#[derive(Default)]
pub(super) struct Feed {
    /// Files with the hashers.
    out: usize,
    /// Files that go first.
    newest: VecDeque<Spot>,
    /// Folders with files in them that wait,
    folders: VecDeque<FolderId>,
    /// and the place in the first of them.
    place: usize,
}

impl Feed {
    pub(super) fn clear(&mut self) {
        self.newest.clear();
        self.folders.clear();
        self.place = 0;
    }
}

impl Keeper {
    /// A file waits to be hashed; it is in the tree as [`Kind::Waiting`].
    pub(super) fn wait_for_hash(&mut self, folder: FolderId, name: &OsStr, turn: Turn) {
        if turn == Turn::Next && self.feed.newest.len() < NEWEST {
            self.feed.newest.push_back(Spot::new(folder, name));
        } else if self.feed.folders.back() != Some(&folder) {
            self.feed.folders.push_back(folder);
        }
    }

    /// Gives the hashers more to do.
    pub(super) fn feed(&mut self) {
        if self.feed.out >= LOW {
            return;
        }
        let mut jobs = Vec::new();
        while self.feed.out + jobs.len() < OUT
            && let Some(spot) = self.feed.newest.pop_front()
        {
            jobs.extend(self.job(spot));
        }
        self.feed.out += jobs.len();
        self.common.hashers.push(jobs, Turn::Next);
        let mut jobs = Vec::new();
        while self.feed.out + jobs.len() < OUT
            && let Some(spot) = self.next_waiting()
        {
            jobs.extend(self.job(spot));
        }
        self.feed.out += jobs.len();
        self.common.hashers.push(jobs, Turn::Last);
    }

    /// The next file that waits, in the order of folders.
    fn next_waiting(&mut self) -> Option<Spot> {
        loop {
            let folder = *self.feed.folders.front()?;
            if !self.tree.has_waiting(folder) {
                self.feed.folders.pop_front();
                self.feed.place = 0;
                continue;
            }
            while let Some((name, entry)) = self.tree.name_at(folder, self.feed.place) {
                self.feed.place += 1;
                if entry.kind == Kind::Waiting {
                    return Some(Spot::new(folder, name));
                }
            }
            // Places change when something is taken out: what waits may be before this one.
            self.feed.place = 0;
        }
    }

    fn job(&mut self, spot: Spot) -> Option<Job> {
        let entry = self.tree.at(&spot).filter(|entry| entry.kind == Kind::Waiting)?;
        let path = self.tree.path_at(&spot)?;
        self.set_kind(&spot, entry, Kind::Hashing);
        Some(Job { folder: Arc::clone(&self.root), path, spot, print: entry.print, desk: Arc::clone(&self.desk) })
    }

    fn set_kind(&mut self, spot: &Spot, entry: Entry, kind: Kind) {
        self.tree.put(spot.folder, &spot.name, Entry { kind, ..entry });
    }

    /// Takes in what the hashers have done.
    pub(super) fn tend(&mut self) {
        let done = self.desk.finished();
        if done.is_empty() {
            return;
        }
        self.feed.out -= done.len().min(self.feed.out);
        for (job, outcome) in done {
            self.hashed(job, outcome);
            self.flush_if_full();
        }
        self.changes.push(Change::State { root: self.id });
    }

    /// What is hashed is known in the next run.
    pub(super) fn keep(&self, outcome: &Outcome) {
        if let Outcome::Hashed(stamp, digests) = outcome {
            self.common.cache.put(*stamp, *digests);
        }
    }

    fn hashed(&mut self, job: Job, outcome: Outcome) {
        self.keep(&outcome);
        let spot = job.spot;
        // It may be gone, moved within its folder, or not be the same any more.
        let Some(entry) = self.tree.at(&spot).filter(|entry| entry.kind == Kind::Hashing && entry.print == job.print)
        else {
            return;
        };
        let Some(path) = self.tree.path_at(&spot) else { return };
        match outcome {
            Outcome::Hashed(stamp, digests) if Print::of(&stamp) == entry.print => {
                self.set_kind(&spot, entry, Kind::Hashed);
                self.changes.push(Change::Hashed { root: self.id, path, stamp, digests });
            }
            Outcome::Failed(error) if error.kind() != io::ErrorKind::NotFound => {
                log::debug!("{} cannot be hashed: {error}", path.display());
                self.skip(&spot, SkipReason::Unreadable, Some(scan::reason(&error)));
            }
            // A folder above it moved.
            Outcome::Failed(_) if path != job.path => self.wait_again(&spot, entry),
            Outcome::Failed(_) | Outcome::Changed | Outcome::Hashed(..) => {
                self.wait_again(&spot, entry);
                self.check(&spot, Hold::IfFresh);
            }
            Outcome::Unwanted => self.wait_again(&spot, entry),
        }
    }

    fn wait_again(&mut self, spot: &Spot, entry: Entry) {
        self.set_kind(spot, entry, Kind::Waiting);
        if self.desk.wanted.load(Ordering::Relaxed) {
            self.wait_for_hash(spot.folder, &spot.name, Turn::Last);
        }
    }
}
