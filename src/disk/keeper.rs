//! One shared folder, kept up to date: a thread that scans it once, then follows what the watch tells.
//!
//! The truth is on the disk: whatever an event says, the path is looked at, and the difference to what is known
//! becomes a [`Change`]. Only a rename is believed, since it carries a file's hashes to its new name. A file
//! that is being written is held back until its writer closes it or has been quiet for a while.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::{Bound, ControlFlow};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::cache::Cache;
use super::hash::{Hashers, Job, Turn};
use super::policy::{self, SkipReason};
use super::scan::{self, Depth, Seen};
use super::share::{Options, Phase, Status};
use super::stamp::stamp_of;
use super::watch::{self, Happened, Unwatched, Watch};
use crate::library::{Change, RootId, Stamp};

/// Changes are handed over in batches of so many.
const BATCH: usize = 1024;
/// A file that is created but not written to yet is held back for so long,
const EMPTY: Duration = Duration::from_secs(2);
/// and the other half of a rename is waited for so long.
const RENAME: Duration = Duration::from_millis(50);
/// A file modified so recently may still be growing.
const FRESH: Duration = Duration::from_millis(500);
/// A known file that is being written for longer is taken off the shelf until it is quiet.
const STALE: Duration = Duration::from_secs(2);
/// Lost events are spoken of once in this time.
const MISSED_WARNING: Duration = Duration::from_secs(60);
/// So many names that look private are told.
const TOLD: usize = 20;

/// Something for the keeper to do.
#[derive(Debug)]
pub(super) enum Errand {
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
pub(super) struct Common {
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

pub(super) struct Keeper {
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
    pub(super) fn new(
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
    pub(super) fn run(mut self) {
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

    // What is on the disk.

    /// Looks at a path and takes in what is there now.
    fn check(&mut self, path: &Path, hold: Hold) {
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

    fn take_file(&mut self, path: &Path, stamp: Stamp, hold: Hold, turn: Turn) {
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

    fn hash(&mut self, path: &Path, stamp: Stamp, turn: Turn) {
        let job = Job {
            root: self.id,
            folder: Arc::clone(&self.root),
            path: path.to_owned(),
            stamp,
            wanted: Arc::clone(&self.wanted),
        };
        self.jobs.push((job, turn));
    }

    fn renamed(&mut self, from: &Path, to: &Path) {
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

    fn renamed_file(&mut self, from: &Path, to: &Path, meta: &std::fs::Metadata) {
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
    fn carry(&mut self, from: &Path, to: &Path, old: Stamp, stamp: Stamp) {
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

    fn renamed_folder(&mut self, from: &Path, to: &Path) {
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
    fn forget(&mut self, path: &Path) {
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
    fn unwatch(&mut self, path: &Path) {
        for (folder, watched) in take_below(&mut self.folders, path) {
            if watched && let Some(watch) = &mut self.watch {
                watch.forget(&self.root.join(folder));
            }
        }
    }

    /// A file is not shared for now.
    fn forget_file(&mut self, path: &Path) {
        if self.known.remove(path).is_some() {
            self.changes.push(Change::Removed { root: self.id, path: path.to_owned() });
        }
    }

    fn skip(&mut self, path: &Path, reason: SkipReason) {
        self.forget(path);
        self.skipped.insert(path.to_owned(), reason);
    }

    /// Reads a folder, takes in what is there and forgets what is not.
    fn scan(&mut self, below: &Path, depth: Depth, hold: Hold) {
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

    /// Watches a folder that is about to be read.
    fn enter(&mut self, folder: &Path) {
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

    fn tell_limit(&mut self) {
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
    fn catch_up(&mut self) {
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
    fn rescan(&mut self) {
        self.set_phase(Phase::Scanning);
        self.scan(Path::new(""), Depth::All, Hold::IfFresh);
        self.flush();
        if self.present.is_some() {
            self.set_phase(Phase::Ready);
        }
    }

    fn polls(&self) -> bool {
        self.present.is_some() && (self.watch.is_none() || self.limit_told)
    }

    /// Reads the folders that are not watched.
    fn poll(&mut self) {
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

    // The root itself.

    /// Is the root still there, and the same? Asks for its stamp only.
    fn probe(&mut self) {
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

    fn probe_if_empty(&mut self) {
        if self.known.is_empty() {
            self.probe();
        }
    }

    /// The root is there, for the first time, again, or as another folder.
    fn begin(&mut self, identity: (u64, u64)) {
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

    fn watch_anew(&mut self) {
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
    fn lost(&mut self, error: &io::Error) {
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

    fn forget_all(&mut self) {
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
            if status.warnings.len() < TOLD && !status.warnings.contains(&message) {
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

/// What is left out, and how much of it for each reason.
#[derive(Default)]
struct Skips {
    paths: BTreeMap<PathBuf, SkipReason>,
    counts: BTreeMap<SkipReason, u64>,
}

impl Skips {
    fn insert(&mut self, path: PathBuf, reason: SkipReason) {
        self.remove(&path);
        self.paths.insert(path, reason);
        *self.counts.entry(reason).or_default() += 1;
    }

    fn remove(&mut self, path: &Path) {
        if let Some(reason) = self.paths.remove(path) {
            self.uncount(reason);
        }
    }

    fn remove_below(&mut self, path: &Path, depth: Depth) {
        let here = |below: &Path| depth == Depth::All || below.parent() == Some(path);
        let gone: Vec<PathBuf> = range_below(&self.paths, path).map(|(below, _)| below.clone()).collect();
        gone.iter().filter(|below| here(below)).for_each(|below| self.remove(below));
    }

    fn uncount(&mut self, reason: SkipReason) {
        if let Some(count) = self.counts.get_mut(&reason) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&reason);
            }
        }
    }
}

fn is_root(path: &Path) -> bool {
    path.as_os_str().is_empty()
}

/// Was it modified just now?
fn is_fresh(stamp: &Stamp) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i64);
    (0..FRESH.as_nanos() as i64).contains(&now.saturating_sub(stamp.mtime_ns))
}

/// `path` and everything below it, in a map by paths (which sorts a folder's content right behind the folder).
fn range_below<'a, V>(map: &'a BTreeMap<PathBuf, V>, path: &'a Path) -> impl Iterator<Item = (&'a PathBuf, &'a V)> {
    let from = (Bound::Included(path.to_owned()), Bound::Unbounded);
    map.range::<PathBuf, _>(from).take_while(move |(below, _)| below.starts_with(path))
}

/// Takes `path` and everything below it out of the map.
fn take_below<V>(map: &mut BTreeMap<PathBuf, V>, path: &Path) -> Vec<(PathBuf, V)> {
    let paths: Vec<PathBuf> = range_below(map, path).map(|(below, _)| below.clone()).collect();
    paths.into_iter().filter_map(|path| map.remove_entry(&path)).collect()
}
