//! Hashing in the background: each file is read once, at the lowest priority, in as many threads as there are
//! processors, and thrown away when it changed meanwhile.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::both_trees::BothTrees;
use super::keeper::{Desk, Spot};
use super::open::open_beneath;
use super::pass::{BUFFER, Threads, pass};
use super::stamp::{Print, stamp_of};
use crate::library::Stamp;
use crate::wire::Digests;

/// From this size on a file is worth a second thread.
const LARGE: u64 = 16 << 20;
/// Results are handed over when there are so many ...
const BATCH: usize = 256;
/// ... or when the first has waited so long.
const BATCH_TIME: Duration = Duration::from_millis(100);
/// How long to wait for a file descriptor before asking again.
const SHORTAGE: Duration = Duration::from_millis(200);

/// A file to hash.
#[derive(Clone, Debug)]
pub(super) struct Job {
    /// The shared folder.
    pub folder: Arc<Path>,
    /// The file in it, and as its keeper knows it.
    pub path: PathBuf,
    pub spot: Spot,
    /// As it was when it was looked at.
    pub print: Print,
    /// Its keeper's desk, which tells whether the folder is still shared.
    pub desk: Arc<Desk>,
}

/// What became of it.
#[derive(Debug)]
pub(super) enum Outcome {
    Hashed(Stamp, Digests),
    /// It changed meanwhile: look at it again.
    Changed,
    /// It cannot be read.
    Failed(io::Error),
    /// Nobody wants it any more.
    Unwanted,
}

/// Where it goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Before all others: it was just dropped into the folder.
    Next,
    /// After all others.
    Last,
}

/// What is still to be hashed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Left {
    pub files: u64,
    pub bytes: u64,
}

/// The threads that hash.
pub(super) struct Hashers {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    count: usize,
}

struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    trees: BothTrees,
    stopping: AtomicBool,
    paused: AtomicBool,
    /// Threads that have a file.
    busy: AtomicUsize,
    /// Whether there is another processor.
    may_pair: bool,
    /// Bytes read, and the time that took, over all threads,
    read: AtomicU64,
    read_nanos: AtomicU64,
    /// and files opened, and the time that took.
    opened: AtomicU64,
    open_nanos: AtomicU64,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
}

/// Is handed results in batches, by the thread that hashed; called without locks held.
pub(super) type Done = dyn Fn(Vec<(Job, Outcome)>) + Send + Sync;

impl Hashers {
    pub(super) fn start(threads: usize, trees: BothTrees, done: Arc<Done>) -> Self {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            wake: Condvar::new(),
            trees,
            stopping: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            busy: AtomicUsize::new(0),
            may_pair: threads > 1,
            read: AtomicU64::new(0),
            read_nanos: AtomicU64::new(0),
            opened: AtomicU64::new(0),
            open_nanos: AtomicU64::new(0),
        });
        let threads = (0..threads.max(1)).filter_map(|number| {
            let (shared, done) = (Arc::clone(&shared), Arc::clone(&done));
            let spawned = thread::Builder::new().name(format!("hash-{number}")).spawn(move || shared.work(&*done));
            spawned.inspect_err(|error| log::warn!("cannot start a thread for hashing: {error}")).ok()
        });
        let threads: Vec<JoinHandle<()>> = threads.collect();
        let count = threads.len();
        Self { shared, threads: Mutex::new(threads), count }
    }

    pub(super) fn push(&self, jobs: impl IntoIterator<Item = Job>, turn: Turn) {
        let mut jobs = jobs.into_iter().peekable();
        // There is often nothing: then nobody is woken for it.
        if jobs.peek().is_none() {
            return;
        }
        let mut queue = self.shared.lock();
        for job in jobs {
            match turn {
                Turn::Next => queue.jobs.push_front(job),
                Turn::Last => queue.jobs.push_back(job),
            }
        }
        drop(queue);
        self.shared.wake.notify_all();
    }

    /// The time until all that is hashed, as far as the files so far tell.
    pub(super) fn eta(&self, left: Left) -> Option<Duration> {
        let per = |nanos: &AtomicU64, count: &AtomicU64| {
            let count = count.load(Ordering::Relaxed);
            (count > 0).then(|| nanos.load(Ordering::Relaxed) as f64 / 1e9 / count as f64)
        };
        let files = left.files as f64 * per(&self.shared.open_nanos, &self.shared.opened)?;
        let bytes = match left.bytes {
            0 => 0.0,
            bytes => bytes as f64 * per(&self.shared.read_nanos, &self.shared.read)?,
        };
        Duration::try_from_secs_f64((files + bytes) / self.count.max(1) as f64).ok()
    }

    pub(super) fn pause(&self, paused: bool) {
        self.shared.paused.store(paused, Ordering::Relaxed);
        // The lock is taken so that no thread is between looking and sleeping.
        drop(self.shared.lock());
        self.shared.wake.notify_all();
    }

    /// Bytes read so far.
    pub(super) fn bytes_read(&self) -> u64 {
        self.shared.read.load(Ordering::Relaxed)
    }

    /// Ends all threads; a file being read is left off.
    pub(super) fn stop(&self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        drop(self.shared.lock());
        self.shared.wake.notify_all();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            if thread.join().is_err() {
                log::error!("a hashing thread panicked");
            }
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, done: &Done) {
        lower_priority();
        let mut buffer = vec![0; BUFFER];
        let mut batch: Vec<(Job, Outcome)> = Vec::new();
        let mut since = Instant::now();
        loop {
            let next = self.next(batch.is_empty());
            let idle = next.is_none();
            if let Some(job) = next {
                if batch.is_empty() {
                    since = Instant::now();
                }
                self.busy.fetch_add(1, Ordering::Relaxed);
                let outcome = self.hash(&job, &mut buffer);
                self.busy.fetch_sub(1, Ordering::Relaxed);
                batch.push((job, outcome));
            }
            let is_time = idle || batch.len() >= BATCH || since.elapsed() >= BATCH_TIME;
            if is_time && !batch.is_empty() {
                done(std::mem::take(&mut batch));
            }
            if self.stopping.load(Ordering::Relaxed) {
                return;
            }
        }
    }

    /// The next job. Waits for one only when there is nothing to hand over.
    fn next(&self, may_wait: bool) -> Option<Job> {
        let mut queue = self.lock();
        loop {
            if self.stopping.load(Ordering::Relaxed) {
                return None;
            }
            if !self.paused.load(Ordering::Relaxed)
                && let Some(job) = queue.jobs.pop_front()
            {
                return Some(job);
            }
            if !may_wait {
                return None;
            }
            queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn hash(&self, job: &Job, buffer: &mut [u8]) -> Outcome {
        if !job.desk.wanted.load(Ordering::Relaxed) {
            return Outcome::Unwanted;
        }
        let give_up = || self.stopping.load(Ordering::Relaxed) || !job.desk.wanted.load(Ordering::Relaxed);
        let began = Instant::now();
        let opened = patiently(|| open_beneath(&job.folder, &job.path), give_up);
        let opening = began.elapsed();
        let outcome = match opened {
            Ok((_, stamp)) if Print::of(&stamp) != job.print => Outcome::Changed,
            Ok((file, stamp)) => self.read(job, file, stamp, buffer).unwrap_or_else(Outcome::Failed),
            Err(error) => Outcome::Failed(error),
        };
        self.opened.fetch_add(1, Ordering::Relaxed);
        self.open_nanos.fetch_add(opening.as_nanos() as u64, Ordering::Relaxed);
        self.read_nanos.fetch_add((began.elapsed() - opening).as_nanos() as u64, Ordering::Relaxed);
        outcome
    }

    fn read(&self, job: &Job, mut file: File, stamp: Stamp, buffer: &mut [u8]) -> io::Result<Outcome> {
        let mut length = 0;
        let names = pass(&mut file, self.threads_for(stamp.size), buffer, |count| {
            length += count as u64;
            self.read.fetch_add(count as u64, Ordering::Relaxed);
            self.wait_while_paused();
            let goes_on = !self.stopping.load(Ordering::Relaxed) && job.desk.wanted.load(Ordering::Relaxed);
            if goes_on && length <= stamp.size { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        let Some((digests, tiger, blake3)) = names else {
            return Ok(if length > stamp.size { Outcome::Changed } else { Outcome::Unwanted });
        };
        let after = stamp_of(&file.metadata()?);
        if after != stamp || length != stamp.size {
            return Ok(Outcome::Changed);
        }
        self.trees.put(&tiger, &blake3);
        Ok(Outcome::Hashed(stamp, digests))
    }

    /// A large file that is the only one takes a second processor.
    fn threads_for(&self, size: u64) -> Threads {
        let is_only = self.may_pair && self.busy.load(Ordering::Relaxed) <= 1;
        if size >= LARGE && is_only && self.lock().jobs.is_empty() { Threads::Two } else { Threads::One }
    }

    fn wait_while_paused(&self) {
        if !self.paused.load(Ordering::Relaxed) {
            return;
        }
        let mut queue = self.lock();
        while self.paused.load(Ordering::Relaxed) && !self.stopping.load(Ordering::Relaxed) {
            queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// This thread yields to all others: sharing must not be felt.
pub(super) fn lower_priority() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, 19) {
        log::debug!("hashing runs at normal priority: {error}");
    }
}

/// That this process has no file descriptor left says nothing about the file: we wait for one.
fn patiently<T>(mut open: impl FnMut() -> io::Result<T>, give_up: impl Fn() -> bool) -> io::Result<T> {
    loop {
        match open() {
            Err(error) if is_shortage(&error) && !give_up() => std::thread::park_timeout(SHORTAGE),
            result => return result,
        }
    }
}

#[cfg(unix)]
pub(super) fn is_shortage(error: &io::Error) -> bool {
    use rustix::io::Errno;
    Errno::from_io_error(error).is_some_and(|errno| errno == Errno::MFILE || errno == Errno::NFILE)
}

#[cfg(not(unix))]
pub(super) fn is_shortage(_: &io::Error) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(unix)]
    #[test]
    fn a_file_is_not_unreadable_because_we_have_too_many_open() {
        let short = || io::Error::from(rustix::io::Errno::MFILE);
        let mut answers = vec![Ok(7), Err(short()), Err(short())];
        assert_eq!(patiently(|| answers.pop().expect("asked no more than needed"), || false).expect("opened"), 7);
        assert!(patiently(|| Err::<(), _>(short()), || true).is_err(), "but not for ever");
        let denied = || Err::<(), _>(io::Error::from(io::ErrorKind::PermissionDenied));
        assert!(patiently(denied, || false).is_err(), "another error is one");
    }
}
