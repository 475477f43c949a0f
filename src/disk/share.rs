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

use super::cache::Cache;
use super::hash::{Done, Hashers, Job, Outcome};
use super::keeper::{Common, Errand, Keeper};
use super::open::open_beneath;
use super::policy::SkipReason;
use super::trees::Trees;
use crate::library::{Change, RootId, Stamp};

/// How to share.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the hash cache lies.
    pub cache: PathBuf,
    /// Never shared (canonical paths): see [`super::Home::own`].
    pub own: Vec<PathBuf>,
    /// Threads that hash.
    pub hashers: usize,
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
    /// The most events waiting for one share; when there are more, it is scanned again.
    pub max_events: usize,
}

impl Options {
    /// The usual, with the hash cache in this folder.
    pub fn new(cache: impl Into<PathBuf>) -> Self {
        let cache = cache.into();
        Self {
            own: vec![cache.canonicalize().unwrap_or_else(|_| cache.clone())],
            cache,
            hashers: thread::available_parallelism().map_or(1, usize::from),
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

/// What a keeper tells of its share.
#[derive(Debug, Default)]
pub(super) struct Status {
    pub phase: Phase,
    pub skipped: BTreeMap<SkipReason, u64>,
    pub looks_private: Vec<String>,
    pub warnings: Vec<String>,
}

/// The state of one share.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ShareState {
    /// Where it is in its life.
    pub phase: Phase,
    /// What is left out, by reason. A folder left out counts as one.
    pub skipped: BTreeMap<SkipReason, u64>,
    /// Names that look private (some of them).
    pub looks_private: Vec<String>,
    /// Files still to be hashed.
    pub unhashed: u64,
    /// Their bytes.
    pub unhashed_bytes: u64,
    /// Seconds until hashing is done, if that can be told.
    pub eta_s: Option<u64>,
    /// What works less well than it should.
    pub warnings: Vec<String>,
}

/// The shared folders.
pub struct Shares {
    common: Common,
    roots: Arc<Mutex<BTreeMap<RootId, Root>>>,
    trees: Arc<Trees>,
}

struct Root {
    path: Arc<Path>,
    status: Arc<Mutex<Status>>,
    wanted: Arc<AtomicBool>,
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
    pub fn start(cache: &Path, sink: Box<dyn Fn(Vec<Change>) + Send + Sync>) -> Self {
        Self::start_with(Options::new(cache), sink)
    }

    /// [`Shares::start`] with other than the usual options.
    pub fn start_with(options: Options, sink: Box<dyn Fn(Vec<Change>) + Send + Sync>) -> Self {
        let sink: Arc<dyn Fn(Vec<Change>) + Send + Sync> = Arc::from(sink);
        if let Err(error) = super::home::create_private(&options.cache) {
            log::warn!("cannot make {}: {error}", options.cache.display());
        }
        let (cache, message) = Cache::open(&options.cache);
        if let Some(message) = message {
            log::warn!("{message}");
            sink(vec![Change::Warning(message)]);
        }
        let cache = Arc::new(Mutex::new(cache));
        let roots: Arc<Mutex<BTreeMap<RootId, Root>>> = Arc::default();
        let done: Arc<Done> = {
            let (sink, cache, roots) = (Arc::clone(&sink), Arc::clone(&cache), Arc::clone(&roots));
            Arc::new(move |batch| hashed(batch, &*sink, &cache, &roots))
        };
        let trees = Arc::new(Trees::new(&options.cache));
        let hashers = Arc::new(Hashers::start(options.hashers, Arc::clone(&trees), done));
        Self { common: Common { options: Arc::new(options), sink, cache, hashers }, roots, trees }
    }

    /// Shares a folder from now on. It need not be there yet. An id that is in use is replaced.
    pub fn add(&self, root: PathBuf, id: RootId) {
        self.remove(id);
        // The folder itself may be named by a link: that is the user's own choice.
        let path: Arc<Path> = Arc::from(root.canonicalize().unwrap_or(root));
        let (sender, receiver) = sync_channel(self.common.options.max_events);
        let status: Arc<Mutex<Status>> = Arc::default();
        let wanted = Arc::new(AtomicBool::new(true));
        let keeper = Keeper::new(
            id,
            Arc::clone(&path),
            self.common.clone(),
            Arc::clone(&status),
            Arc::clone(&wanted),
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
        self.lock().insert(id, Root { path, status, wanted, errands: sender, thread });
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
        let status = roots.get(&id)?.status.lock().unwrap_or_else(PoisonError::into_inner);
        let left = self.common.hashers.left(id);
        let phase = match status.phase {
            Phase::Ready if left.files > 0 => Phase::Hashing,
            phase => phase,
        };
        let eta = self.common.hashers.eta().filter(|_| left.files > 0);
        Some(ShareState {
            phase,
            skipped: status.skipped.clone(),
            looks_private: status.looks_private.clone(),
            unhashed: left.files,
            unhashed_bytes: left.bytes,
            eta_s: eta.map(|eta| eta.as_secs().max(1)),
            warnings: status.warnings.clone(),
        })
    }

    /// Where a share's folder is.
    pub fn root(&self, id: RootId) -> Option<PathBuf> {
        self.lock().get(&id).map(|root| root.path.to_path_buf())
    }

    /// Opens a shared file, beneath its folder or not at all, and tells how it is now: compare the stamp with the
    /// one that was shared. Blocks for as long as the disk takes.
    pub fn open(&self, id: RootId, path: &Path) -> io::Result<(File, Stamp)> {
        let root = self.lock().get(&id).map(|root| Arc::clone(&root.path));
        let root = root.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the folder is not shared any more"))?;
        open_beneath(&root, path)
    }

    /// The Tiger trees of what is shared, for those who ask. What it does may block.
    pub fn trees(&self) -> &Arc<Trees> {
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
            root.wanted.store(false, Ordering::Relaxed);
        }
        self.common.hashers.stop();
        self.trees.stop();
        roots.into_values().for_each(Root::end);
    }
}

impl Root {
    fn end(mut self) {
        self.wanted.store(false, Ordering::Relaxed);
        // A full queue is as good as a wake-up.
        let _full = self.errands.try_send(Errand::Wake);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the keeper of {} panicked", self.path.display());
        }
    }
}

/// Takes in what the hashers have done.
fn hashed(
    batch: Vec<(Job, Outcome)>,
    sink: &(dyn Fn(Vec<Change>) + Send + Sync),
    cache: &Mutex<Cache>,
    roots: &Mutex<BTreeMap<RootId, Root>>,
) {
    let mut changes = Vec::with_capacity(batch.len());
    let mut errands: Vec<(RootId, Errand)> = Vec::new();
    let mut touched: Vec<RootId> = Vec::new();
    {
        let mut cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
        for (Job { root, path, stamp, wanted, .. }, outcome) in batch {
            match outcome {
                Outcome::Hashed(digests) => {
                    cache.put(stamp, digests);
                    if wanted.load(Ordering::Relaxed) {
                        changes.push(Change::Hashed { root, path, stamp, digests });
                    }
                }
                Outcome::Changed => errands.push((root, Errand::Check(path))),
                Outcome::Failed(error) if error.kind() == io::ErrorKind::NotFound => {
                    errands.push((root, Errand::Check(path)));
                }
                Outcome::Failed(error) => {
                    log::debug!("{} cannot be hashed: {error}", path.display());
                    errands.push((root, Errand::Unreadable(path)));
                }
                Outcome::Unwanted => continue,
            }
            if !touched.contains(&root) {
                touched.push(root);
            }
        }
    }
    changes.extend(touched.into_iter().map(|root| Change::State { root }));
    if !changes.is_empty() {
        sink(changes);
    }
    let roots = roots.lock().unwrap_or_else(PoisonError::into_inner);
    for (root, errand) in errands {
        // When the queue is full, the folder is going to be read again anyway.
        if let Some(root) = roots.get(&root) {
            let _full = root.errands.try_send(errand);
        }
    }
}
