//! One shared folder, kept up to date: a thread that scans it once, then follows what the watch tells.
//!
//! The truth is on the disk: whatever an event says, the path is looked at, and the difference to what is known
//! becomes a [`Change`]. Only a rename is believed, since it carries a file's hashes to its new name. A file
//! that is being written is held back until its writer closes it or has been quiet for a while.

mod look;
mod paths;
mod root;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use self::paths::{Skips, is_root};
use crate::disk::cache::Cache;
use crate::disk::hash::{Hashers, Job, Turn};
use crate::disk::policy::SkipReason;
use crate::disk::share::{Options, Phase, Status};
use crate::disk::stamp::stamp_of;
use crate::disk::watch::{Happened, Watch};
use crate::library::{Change, RootId, Stamp};

/// Changes are handed over in batches of so many.
const BATCH: usize = 1024;
/// A file that is created but not written to yet is held back for so long,
const EMPTY: Duration = Duration::from_secs(2);
/// and the other half of a rename is waited for so long.
const RENAME: Duration = Duration::from_millis(50);
/// A known file that is being written for longer is taken off the shelf until it is quiet.
const STALE: Duration = Duration::from_secs(2);
/// The most warnings kept for the state of a share.
const MAX_WARNINGS: usize = 20;

/// Something for the keeper to do.
#[derive(Debug)]
pub(in crate::disk) enum Errand {
    /// The watch tells of something.
    Happened(Happened),
    /// Look at a file again: it changed while it was hashed.
    Check(PathBuf),
    /// A file turned out not to be readable.
    Unreadable(PathBuf),
    /// Look at everything again.
    Rescan,
    /// Wake up: it may be time to stop.
    Wake,
}

impl From<Happened> for Errand {
    fn from(happened: Happened) -> Self {
        Self::Happened(happened)
    }
}

/// What a keeper shares with the others.
#[derive(Clone)]
pub(in crate::disk) struct Common {
    pub options: Arc<Options>,
    pub sink: Arc<dyn Fn(Vec<Change>) + Send + Sync>,
    pub cache: Arc<Mutex<Cache>>,
    pub hashers: Arc<Hashers>,
}

struct Known {
    stamp: Stamp,
    /// The scan that saw it last.
    scan: u32,
}

struct Pending {
    due: Instant,
    since: Instant,
    /// As it was when it was last looked at, where no event tells of writes.
    seen: Option<Stamp>,
}

/// How sure it is that a file is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    /// It is.
    Complete,
    /// It may be growing when it was modified just now.
    IfFresh,
}

pub(in crate::disk) struct Keeper {
    id: RootId,
    root: Arc<Path>,
    common: Common,
    status: Arc<Mutex<Status>>,
    /// Cleared to stop.
    wanted: Arc<AtomicBool>,
    missed: Arc<AtomicBool>,
    sender: SyncSender<Errand>,
    errands: Receiver<Errand>,
    watch: Option<Watch>,
    known: BTreeMap<PathBuf, Known>,
    /// Folders, and whether each is watched.
    folders: BTreeMap<PathBuf, bool>,
    skipped: Skips,
    pending: BTreeMap<PathBuf, Pending>,
    due: BTreeSet<(Instant, PathBuf)>,
    scan: u32,
    /// Device and inode of the root while it is there.
    present: Option<(u64, u64)>,
    changes: Vec<Change>,
    jobs: Vec<(Job, Turn)>,
    limit_told: bool,
    next_missed_warning: Instant,
    next_probe: Instant,
    next_poll: Instant,
}

impl Keeper {
    pub(in crate::disk) fn new(
        id: RootId,
        root: Arc<Path>,
        common: Common,
        status: Arc<Mutex<Status>>,
        wanted: Arc<AtomicBool>,
        (sender, errands): (SyncSender<Errand>, Receiver<Errand>),
    ) -> Self {
        let now = Instant::now();
        Self {
            id,
            root,
            common,
            status,
            wanted,
            missed: Arc::new(AtomicBool::new(false)),
            sender,
            errands,
            watch: None,
            known: BTreeMap::new(),
            folders: BTreeMap::new(),
            skipped: Skips::default(),
            pending: BTreeMap::new(),
            due: BTreeSet::new(),
            scan: 0,
            present: None,
            changes: Vec::new(),
            jobs: Vec::new(),
            limit_told: false,
            next_missed_warning: now,
            next_probe: now,
            next_poll: now,
        }
    }

    /// Runs until nobody wants it any more.
    pub(in crate::disk) fn run(mut self) {
        self.probe();
        self.flush();
        while self.wanted() {
            let wait = self.next_deadline().saturating_duration_since(Instant::now());
            match self.errands.recv_timeout(wait) {
                Ok(errand) => {
                    self.take(errand);
                    for _ in 0..BATCH {
                        let Ok(errand) = self.errands.try_recv() else { break };
                        self.take(errand);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.missed.swap(false, Ordering::Relaxed) && self.present.is_some() {
                self.catch_up();
            }
            self.settle();
            let now = Instant::now();
            if now >= self.next_probe {
                self.probe();
            }
            if now >= self.next_poll {
                self.poll();
            }
            self.flush();
        }
    }

    fn wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }

    fn next_deadline(&self) -> Instant {
        let settle = self.due.first().map(|(due, _)| *due);
        let poll = self.polls().then_some(self.next_poll);
        [settle, poll].into_iter().flatten().fold(self.next_probe, Instant::min)
    }

    // What the watch tells.

    fn take(&mut self, errand: Errand) {
        match errand {
            Errand::Happened(happened) => self.take_happened(happened),
            Errand::Check(path) => self.check(&path, Hold::IfFresh),
            Errand::Unreadable(path) => {
                self.forget(&path);
                self.skipped.insert(path, SkipReason::Unreadable);
            }
            Errand::Rescan => self.rescan(),
            Errand::Wake => {}
        }
    }

    fn take_happened(&mut self, happened: Happened) {
        let beneath = |path: &Path| path.strip_prefix(&*self.root).ok().map(Path::to_owned);
        match happened {
            Happened::Renamed(from, to) => match (beneath(&from), beneath(&to)) {
                (Some(from), Some(to)) if !is_root(&from) && !is_root(&to) => self.renamed(&from, &to),
                _ => self.probe(),
            },
            Happened::Created(path) => self.at(beneath(&path), |keeper, path| keeper.created(path)),
            Happened::Written(path) => self.at(beneath(&path), Self::written),
            Happened::Closed(path) => self.at(beneath(&path), |keeper, path| keeper.check(path, Hold::Complete)),
            Happened::Gone(path) => self.at(beneath(&path), |keeper, path| {
                keeper.unwatch(path);
                keeper.check(path, Hold::IfFresh);
            }),
            Happened::Touched(path) => self.at(beneath(&path), |keeper, path| {
                // A file that is held back already waits for its own event.
                if !keeper.pending.contains_key(path) {
                    keeper.hold(path, RENAME);
                }
            }),
            Happened::MovedAway(path) | Happened::MovedHere(path) => {
                self.at(beneath(&path), |keeper, path| {
                    keeper.unwatch(path);
                    keeper.hold(path, RENAME);
                });
            }
        }
    }

    /// Does something with a path beneath the root; an event of the root itself asks whether it is still there.
    fn at(&mut self, path: Option<PathBuf>, act: impl FnOnce(&mut Self, &Path)) {
        match path {
            Some(path) if is_root(&path) => self.probe(),
            Some(path) => act(self, &path),
            None => {}
        }
    }

    fn created(&mut self, path: &Path) {
        self.unwatch(path);
        let Ok(meta) = std::fs::symlink_metadata(self.root.join(path)) else { return self.check(path, Hold::IfFresh) };
        if meta.is_file() {
            // Its writer will close it. A hard link has no writer.
            self.hold(path, if meta.len() == 0 { EMPTY } else { self.common.options.quiet });
        } else {
            self.check(path, Hold::IfFresh);
        }
    }

    /// Looks at the path later, unless something else happens to it. Tells for how long it is held back already.
    fn hold(&mut self, path: &Path, time: Duration) -> Duration {
        let now = Instant::now();
        let since = match self.pending.get(path) {
            Some(pending) => {
                self.due.remove(&(pending.due, path.to_owned()));
                pending.since
            }
            None => now,
        };
        let due = now + time;
        self.pending.insert(path.to_owned(), Pending { due, since, seen: None });
        self.due.insert((due, path.to_owned()));
        now - since
    }

    /// Looks at the path soon, and again for as long as it grows: for when no event may tell.
    fn hold_and_compare(&mut self, path: &Path) {
        self.hold(path, self.common.options.quiet);
        let meta = std::fs::symlink_metadata(self.root.join(path)).ok();
        if let Some(pending) = self.pending.get_mut(path) {
            pending.seen = meta.map(|meta| stamp_of(&meta));
        }
    }

    fn written(&mut self, path: &Path) {
        if self.hold(path, self.common.options.writer_quiet) > STALE {
            self.forget_file(path);
        }
    }

    fn release(&mut self, path: &Path) -> Option<Pending> {
        let pending = self.pending.remove(path)?;
        self.due.remove(&(pending.due, path.to_owned()));
        Some(pending)
    }

    /// Looks at what has been quiet for long enough.
    fn settle(&mut self) {
        let now = Instant::now();
        while let Some((due, path)) = self.due.first()
            && *due <= now
        {
            let path = path.clone();
            let pending = self.release(&path);
            let stamp = std::fs::symlink_metadata(self.root.join(&path)).ok().filter(|meta| meta.is_file());
            let stamp = stamp.map(|meta| stamp_of(&meta));
            match pending {
                Some(Pending { seen: Some(seen), since, .. }) if stamp.is_some_and(|stamp| stamp != seen) => {
                    // Nobody told, but it grows.
                    let due = now + self.common.options.quiet;
                    self.pending.insert(path.clone(), Pending { due, since, seen: stamp });
                    self.due.insert((due, path));
                }
                _ => self.check(&path, Hold::Complete),
            }
        }
    }

    // What others are told.

    fn phase(&self) -> Phase {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).phase
    }

    fn set_phase(&mut self, phase: Phase) {
        self.status(|status| status.phase = phase);
        self.changes.push(Change::State { root: self.id });
    }

    fn warn(&self, message: String) {
        log::warn!("{message}");
        self.status(|status| {
            if status.warnings.len() < MAX_WARNINGS && !status.warnings.contains(&message) {
                status.warnings.push(message.clone());
            }
        });
        (self.common.sink)(vec![Change::Warning(message)]);
    }

    fn status(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn cache<R>(&self, ask: impl FnOnce(&mut Cache) -> R) -> R {
        ask(&mut self.common.cache.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn flush_if_full(&mut self) {
        if self.changes.len() >= BATCH {
            self.flush();
        }
    }

    /// Hands over what has changed, and only then has it hashed: a file is put before it is hashed.
    fn flush(&mut self) {
        let skipped = &self.skipped.counts;
        self.status(|status| status.skipped.clone_from(skipped));
        let jobs = std::mem::take(&mut self.jobs);
        let (next, last): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|(_, turn)| *turn == Turn::Next);
        let changes = std::mem::take(&mut self.changes);
        if !changes.is_empty() && self.wanted() {
            (self.common.sink)(changes);
        }
        for (jobs, turn) in [(next, Turn::Next), (last, Turn::Last)] {
            if !jobs.is_empty() {
                self.common.hashers.push(jobs.into_iter().map(|(job, _)| job), turn);
            }
        }
    }
}
