//! The shared folders: scanned, watched, hashed; what changes in them is told as it happens.
//!
//! Each folder has a thread of its own, hashing has a few for all, and the one who shares is told of changes in
//! batches, in an order in which they can be applied (a file is put before it is hashed). An idle share reads no
//! folder; it looks once in [`Options::probe_every`] whether its root is still there.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::both_trees::BothTrees;
use super::cache::Cache;
use super::hash::{Hashers, Job, Left, Outcome};
use super::keeper::{Common, Desk, Errand, Keeper};
use super::open::open_beneath;
use super::policy::{Pattern, SkipReason};
use super::scan::Rules;
use crate::library::{Change, RootId, Stamp};

/// More threads that read folders are of no use: one takes in what they find.
const MAX_READERS: usize = 4;

/// How to share.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the hash cache lies.
    pub cache: PathBuf,
    /// Never shared (canonical paths): see [`super::Home::own`].
    pub own: Vec<PathBuf>,
    /// What else is never shared, in any folder.
    pub excludes: Vec<Pattern>,
    /// Threads that hash.
    pub hashers: usize,
    /// Threads that read folders, where there are many to read.
    pub readers: usize,
    /// A file that nobody seems to write to is complete after so long without a change.
    pub quiet: Duration,
    /// One that somebody writes to without closing it, after so long without a write.
    pub writer_quiet: Duration,
    /// How often it is asked whether a root is still there.
    pub probe_every: Duration,
    /// How often folders that cannot be watched are read.
    pub poll_every: Duration,
    /// The most folders watched in one share; further ones are polled. (The kernel has a limit of its own.)
    pub max_watches: usize,
    /// The most events waiting for one share; when there are more, the folders they happened in are read again.
    pub max_events: usize,
}

impl Options {
    /// The usual, with the hash cache in this folder.
    pub fn new(cache: impl Into<PathBuf>) -> Self {
        let cache = cache.into();
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Self {
            own: vec![cache.canonicalize().unwrap_or_else(|_| cache.clone())],
            cache,
            excludes: Vec::new(),
            hashers: processors,
            readers: processors.min(MAX_READERS),
            quiet: Duration::from_millis(400),
            writer_quiet: Duration::from_secs(5),
            probe_every: Duration::from_secs(5),
            poll_every: Duration::from_secs(10),
            max_watches: usize::MAX,
            max_events: 65_536,
        }
    }
}

/// Where a share is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Its files are being listed.
    #[default]
    Scanning,
    /// All its files can be found; some are not hashed yet.
    Hashing,
    /// All its files can be found by name and by content.
    Ready,
    /// Its folder is not there.
    Missing,
}

impl Phase {
    /// `scanning`, `hashing`, `ready`, `missing`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scanning => "scanning",
            Self::Hashing => "hashing",
            Self::Ready => "ready",
            Self::Missing => "missing",
        }
    }
}

/// Something that is not shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Where it is beneath the shared folder.
    pub path: PathBuf,
    /// Why.
    pub reason: SkipReason,
    /// Why, in the system's words, where it was the system.
    pub why: Option<String>,
}

/// What a warning of a share is about. It is taken back when that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// Not all of it is watched.
    Watch,
    /// Something happened that nobody was told of.
    Missed,
    /// It is not there.
    Missing,
}

/// What a keeper tells of its share.
#[derive(Debug, Default)]
pub(super) struct Status {
    pub phase: Phase,
    pub left: Left,
    pub skipped: BTreeMap<SkipReason, u64>,
    pub left_out: Vec<LeftOut>,
    pub looks_private: Vec<String>,
    pub warnings: Vec<(About, String)>,
}

/// The state of one share.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ShareState {
    /// Where it is in its life.
    pub phase: Phase,
    /// What is left out, by reason. A folder left out counts as one.
    pub skipped: BTreeMap<SkipReason, u64>,
    /// Some of it by name, a hundred for each reason; what cannot be read comes first.
    pub left_out: Vec<LeftOut>,
    /// Names that look private (some of them).
    pub looks_private: Vec<String>,
    /// Files still to be hashed.
    pub unhashed: u64,
    /// Their bytes.
    pub unhashed_bytes: u64,
    /// Seconds until hashing is done, if that can be told.
    pub eta_s: Option<u64>,
    /// What works less well than it should now.
    pub warnings: Vec<String>,
}

/// The shared folders.
pub struct Shares {
    common: Common,
    roots: Mutex<BTreeMap<RootId, Root>>,
    stopping: Arc<AtomicBool>,
    cache_thread: Option<JoinHandle<()>>,
    trees: BothTrees,
}

struct Root {
    path: Arc<Path>,
    desk: Arc<Desk>,
    errands: SyncSender<Errand>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Shares {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shares").field("roots", &self.lock().len()).finish_non_exhaustive()
    }
}

impl Shares {
    /// Shares nothing yet. `sink` is told of changes, by several threads, and should not take long.
    pub fn start_with(options: Options, sink: Box<dyn Fn(Vec<Change>) + Send + Sync>) -> Self {
        let sink: Arc<dyn Fn(Vec<Change>) + Send + Sync> = Arc::from(sink);
        if let Err(error) = super::home::create_private(&options.cache) {
            log::warn!("cannot make {}: {error}", options.cache.display());
        }
        let stopping = Arc::new(AtomicBool::new(false));
        let tell = Arc::clone(&sink);
        let (cache, cache_thread) = Cache::open_in_background(&options.cache, Arc::clone(&stopping), move |message| {
            log::warn!("{message}");
            tell(vec![Change::Warning(message)]);
        });
        let trees = BothTrees::new(&options.cache);
        let hashers = Arc::new(Hashers::start(options.hashers, trees.clone(), Arc::new(hand_back)));
        let common = Common { options: Arc::new(options), sink, cache, hashers };
        Self { common, roots: Mutex::default(), stopping, cache_thread, trees }
    }

    /// Shares a folder from now on. It need not be there yet. An id that is in use is replaced.
    pub fn add(&self, root: PathBuf, id: RootId) {
        self.add_without(root, id, &[]);
    }

    /// [`Shares::add`], without what matches `excludes`.
    pub fn add_without(&self, root: PathBuf, id: RootId, excludes: &[Pattern]) {
        self.remove(id);
        // The folder itself may be named by a link: that is the user's own choice.
        let path: Arc<Path> = Arc::from(root.canonicalize().unwrap_or(root));
        let (sender, receiver) = sync_channel(self.common.options.max_events);
        let desk = Arc::new(Desk::new(sender.clone()));
        let options = &self.common.options;
        let rules = Rules { own: options.own.clone(), excludes: [&options.excludes, excludes].concat() };
        let keeper = Keeper::new(
            id,
            Arc::clone(&path),
            rules,
            self.common.clone(),
            Arc::clone(&desk),
            (sender.clone(), receiver),
        );
        let thread = thread::Builder::new().name(format!("share-{}", id.0)).spawn(move || keeper.run());
        let thread = thread
            .inspect_err(|error| {
                let message = format!("{} is not shared: cannot start a thread ({error})", path.display());
                log::warn!("{message}");
                (self.common.sink)(vec![Change::Warning(message)]);
            })
            .ok();
        self.lock().insert(id, Root { path, desk, errands: sender, thread });
    }

    /// Shares a folder no longer. Tells [`Change::RemovedRoot`] as the last of it.
    pub fn remove(&self, id: RootId) {
        let Some(root) = self.lock().remove(&id) else { return };
        root.end();
        (self.common.sink)(vec![Change::RemovedRoot { root: id }]);
    }

    /// Reads a folder again, whatever the watch told.
    pub fn rescan(&self, id: RootId) {
        if let Some(root) = self.lock().get(&id)
            && root.errands.try_send(Errand::Rescan).is_err()
        {
            log::debug!("{} is being read already", root.path.display());
        }
    }

    /// How a share is doing; `None` when there is no such share.
    pub fn state(&self, id: RootId) -> Option<ShareState> {
        let roots = self.lock();
        let status = roots.get(&id)?.desk.status.lock().unwrap_or_else(PoisonError::into_inner);
        let left = status.left;
        let phase = match status.phase {
            Phase::Ready if left.files > 0 => Phase::Hashing,
            phase => phase,
        };
        let eta = self.common.hashers.eta(left).filter(|_| left.files > 0);
        Some(ShareState {
            phase,
            skipped: status.skipped.clone(),
            left_out: status.left_out.clone(),
            looks_private: status.looks_private.clone(),
            unhashed: left.files,
            unhashed_bytes: left.bytes,
            eta_s: eta.map(|eta| eta.as_secs().max(1)),
            warnings: status.warnings.iter().map(|(_, message)| message.clone()).collect(),
        })
    }

    /// Opens a shared file, beneath its folder or not at all, and tells how it is now: compare the stamp with the
    /// one that was shared. Blocks for as long as the disk takes.
    pub fn open(&self, id: RootId, path: &Path) -> io::Result<(File, Stamp)> {
        let root = self.lock().get(&id).map(|root| Arc::clone(&root.path));
        let root = root.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the folder is not shared any more"))?;
        open_beneath(&root, path)
    }

    /// The trees of what is shared, for those who ask. What it does may block.
    pub fn trees(&self) -> &BothTrees {
        &self.trees
    }

    /// Hashing waits, or goes on.
    pub fn pause_hashing(&self, paused: bool) {
        self.common.hashers.pause(paused);
    }

    /// Bytes read for hashing since the start.
    pub fn bytes_hashed(&self) -> u64 {
        self.common.hashers.bytes_read()
    }

    /// Ends every thread, promptly; tells nothing more. The same as dropping it.
    pub fn stop(self) {
        drop(self);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<RootId, Root>> {
        self.roots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shares {
    fn drop(&mut self) {
        let roots = std::mem::take(&mut *self.lock());
        for root in roots.values() {
            root.desk.wanted.store(false, Ordering::Relaxed);
        }
        self.stopping.store(true, Ordering::Relaxed);
        self.common.hashers.stop();
        self.trees.stop();
        roots.into_values().for_each(Root::end);
        if let Some(Err(_)) = self.cache_thread.take().map(JoinHandle::join) {
            log::error!("reading the hash cache panicked");
        }
    }
}

impl Root {
    fn end(mut self) {
        self.desk.wanted.store(false, Ordering::Relaxed);
        // A full queue is as good as a wake-up.
        let _full = self.errands.try_send(Errand::Wake);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the keeper of {} panicked", self.path.display());
        }
    }
}

/// Hands what is hashed to the keepers that asked for it.
fn hand_back(batch: Vec<(Job, Outcome)>) {
    let mut desks: Vec<Arc<Desk>> = Vec::new();
    for (job, outcome) in batch {
        if !desks.iter().any(|desk| Arc::ptr_eq(desk, &job.desk)) {
            desks.push(Arc::clone(&job.desk));
        }
        let desk = Arc::clone(&job.desk);
        desk.finish(job, outcome);
    }
    desks.iter().for_each(|desk| desk.wake());
}
