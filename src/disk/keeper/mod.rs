//! One shared folder, kept up to date: a thread that scans it once, then follows what the watch tells.
//!
//! The truth is on the disk: whatever an event says, the path is looked at, and the difference to what is known
//! becomes a [`Change`]. Only a rename is believed, since it carries a file's hashes to its new name. A file
//! that is being written is held back until its writer closes it or has been quiet for a while.

mod events;
mod feed;
mod held;
mod look;
mod names;
mod read;
mod root;
mod skips;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use self::events::Moving;
use self::feed::Feed;
use self::held::Held;
use self::skips::Skips;
pub(in crate::disk) use self::tree::Spot;
use self::tree::{FolderId, Tree};
use crate::disk::cache::Cache;
use crate::disk::hash::{Hashers, Job, Outcome};
use crate::disk::scan::Rules;
use crate::disk::share::{About, Options, Phase, Status};
use crate::disk::watch::{Happened, Missed, Watch};
use crate::library::{Change, RootId};

/// Changes are handed over in batches of so many.
const BATCH: usize = 1024;
/// The most warnings kept for the state of a share.
const MAX_WARNINGS: usize = 20;

/// Something for the keeper to do.
#[derive(Debug)]
pub(in crate::disk) enum Errand {
    /// The watch tells of something.
    Happened(Happened),
    /// Look at everything again.
    Rescan,
    /// Wake up: something is hashed, or it may be time to stop.
    Wake,
}

impl From<Happened> for Errand {
    fn from(happened: Happened) -> Self {
        Self::Happened(happened)
    }
}

/// What keepers share with each other.
#[derive(Clone)]
pub(in crate::disk) struct Common {
    pub options: Arc<Options>,
    pub sink: Arc<dyn Fn(Vec<Change>) + Send + Sync>,
    pub cache: Cache,
    pub hashers: Arc<Hashers>,
}

/// What a keeper shares with those who ask of its folder, and with those who hash for it.
#[derive(Debug)]
pub(in crate::disk) struct Desk {
    pub status: Mutex<Status>,
    /// Cleared to stop.
    pub wanted: AtomicBool,
    /// What the hashers have done; never more than was given to them.
    done: Mutex<Vec<(Job, Outcome)>>,
    wake: SyncSender<Errand>,
}

impl Desk {
    pub(in crate::disk) fn new(wake: SyncSender<Errand>) -> Self {
        let wanted = AtomicBool::new(true);
        Self { status: Mutex::default(), wanted, done: Mutex::default(), wake }
    }

    /// Hands over something that is hashed.
    pub(in crate::disk) fn finish(&self, job: Job, outcome: Outcome) {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).push((job, outcome));
    }

    /// Has the keeper look at what there is to do. When it has much to do, it looks anyway.
    pub(in crate::disk) fn wake(&self) {
        let _full = self.wake.try_send(Errand::Wake);
    }

    fn finished(&self) -> Vec<(Job, Outcome)> {
        std::mem::take(&mut *self.done.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// How sure it is that a file is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    /// It is.
    Complete,
    /// It may be growing when it was modified just now.
    IfFresh,
}

/// How far to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Depth {
    /// The whole tree.
    All,
    /// One folder, and those in it that are new or have been replaced.
    One,
}

pub(in crate::disk) struct Keeper {
    id: RootId,
    root: Arc<Path>,
    rules: Arc<Rules>,
    common: Common,
    desk: Arc<Desk>,
    missed: Arc<Missed>,
    sender: SyncSender<Errand>,
    errands: Receiver<Errand>,
    watch: Option<Arc<Watch>>,
    tree: Tree,
    skips: Skips,
    held: Held,
    moving: BTreeMap<u32, Moving>,
    /// Folders that could not be read, and when to try again.
    retry: BTreeMap<FolderId, Instant>,
    feed: Feed,
    /// What is mounted in it.
    mounts: BTreeSet<(PathBuf, u64)>,
    /// Device and inode of the root while it is there.
    present: Option<(u64, u64)>,
    changes: Vec<Change>,
    limit_told: bool,
    next_missed_warning: Instant,
    next_probe: Instant,
    next_poll: Instant,
}

impl Keeper {
    pub(in crate::disk) fn new(
        id: RootId,
        root: Arc<Path>,
        rules: Rules,
        common: Common,
        desk: Arc<Desk>,
        (sender, errands): (SyncSender<Errand>, Receiver<Errand>),
    ) -> Self {
        let now = Instant::now();
        Self {
            id,
            root,
            rules: Arc::new(rules),
            common,
            desk,
            missed: Arc::default(),
            sender,
            errands,
            watch: None,
            tree: Tree::new(),
            skips: Skips::default(),
            held: Held::default(),
            moving: BTreeMap::new(),
            retry: BTreeMap::new(),
            feed: Feed::default(),
            mounts: BTreeSet::new(),
            present: None,
            changes: Vec::new(),
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
            self.end_moves();
            if self.present.is_some()
                && let Some(lost) = self.missed.take()
            {
                self.catch_up(lost);
            }
            self.settle();
            self.read_again();
            let now = Instant::now();
            if now >= self.next_probe {
                self.probe();
            }
            if now >= self.next_poll {
                self.poll();
            }
            self.tend();
            self.take_back();
            self.flush();
        }
        self.desk.finished().into_iter().for_each(|(_, outcome)| self.keep(&outcome));
    }

    fn take(&mut self, errand: Errand) {
        match errand {
            Errand::Happened(happened) => self.take_happened(happened),
            Errand::Rescan => self.rescan(),
            Errand::Wake => {}
        }
    }

    fn wanted(&self) -> bool {
        self.desk.wanted.load(Ordering::Relaxed)
    }

    fn next_deadline(&self) -> Instant {
        let poll = self.polls().then_some(self.next_poll);
        let retry = self.retry.values().min().copied();
        [self.held.next_due(), self.next_move_ends(), poll, retry]
            .into_iter()
            .flatten()
            .fold(self.next_probe, Instant::min)
    }

    // What others are told.

    fn phase(&self) -> Phase {
        self.desk.status.lock().unwrap_or_else(PoisonError::into_inner).phase
    }

    fn set_phase(&mut self, phase: Phase) {
        self.status(|status| status.phase = phase);
        self.changes.push(Change::State { root: self.id });
    }

    fn warn(&self, about: About, message: String) {
        log::warn!("{message}");
        let warning = (about, message.clone());
        self.status(|status| {
            if !status.warnings.contains(&warning) {
                if status.warnings.len() >= MAX_WARNINGS {
                    status.warnings.remove(0);
                }
                status.warnings.push(warning);
            }
        });
        (self.common.sink)(vec![Change::Warning(message)]);
    }

    /// What was said about that is so no more.
    fn is_over(&self, about: About) {
        let mut over = Vec::new();
        self.status(|status| over.extend(status.warnings.extract_if(.., |(it, _)| *it == about)));
        for (_, message) in over {
            log::info!("so no more: {message}");
            (self.common.sink)(vec![Change::WarningOver(message)]);
        }
    }

    fn status(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.desk.status.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn flush_if_full(&mut self) {
        if self.changes.len() >= BATCH {
            self.flush();
        }
    }

    /// Hands over what has changed, and only then has it hashed: a file is put before it is hashed.
    fn flush(&mut self) {
        let (left, skips) = (self.tree.left(), &mut self.skips);
        let told = skips.told();
        self.status(|status| {
            status.left = left;
            if let Some((counts, left_out)) = told {
                status.skipped = counts;
                status.left_out = left_out;
            }
        });
        let changes = std::mem::take(&mut self.changes);
        if !changes.is_empty() && self.wanted() {
            (self.common.sink)(changes);
        }
        self.feed();
    }
}
