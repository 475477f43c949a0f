//! Reading folders: one after the other when there are few, several at a time when there are many.
//!
//! Threads read folders and look at what is in them; the keeper alone takes it in. A folder is watched before it is
//! read, so that nothing slips between.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::names::Kind;
use super::tree::{FolderId, Spot};
use super::{Depth, Hold, Keeper};
use crate::disk::hash::{Turn, is_shortage};
use crate::disk::policy::SkipReason;
use crate::disk::scan::{self, Found, Handle, Rules, What};
use crate::disk::share::Phase;
use crate::disk::watch::{Unwatched, Watch, WatchId};

/// With so many folders to read, several are read at a time.
const MANY: usize = 16;
/// Pieces of what was found that wait for the keeper.
const PIECES: usize = 64;
/// A folder that could not be read for want of something in this process is read again so much later.
const SHORTAGE: Duration = Duration::from_secs(1);

/// What a reader tells of a folder, in this order; the middle one any number of times.
enum Told {
    Begun(FolderId, Option<Result<WatchId, Unwatched>>),
    Found(FolderId, Vec<Found>),
    Done(FolderId, io::Result<()>),
}

/// A look at some folders.
struct Reading {
    top: FolderId,
    depth: Depth,
    hold: Hold,
    turn: Turn,
    todo: Vec<(FolderId, PathBuf)>,
    /// The folder that was told of last, and where it is.
    at: Option<(FolderId, PathBuf)>,
}

/// What a reader needs.
#[derive(Clone)]
struct Reader {
    root: Arc<Path>,
    rules: Arc<Rules>,
    watch: Option<Arc<Watch>>,
}

impl Keeper {
    /// Reads a folder, takes in what is there and forgets what is not.
    pub(super) fn scan(&mut self, top: FolderId, depth: Depth, hold: Hold) {
        let Some(path) = self.tree.path_of(top) else { return };
        let turn = if self.phase() == Phase::Scanning { Turn::Last } else { Turn::Next };
        let mut reading = Reading { top, depth, hold, turn, todo: vec![(top, path)], at: None };
        let (root, rules, watch) = (Arc::clone(&self.root), Arc::clone(&self.rules), self.watch.clone());
        let reader = Reader { root, rules, watch };
        while let Some((folder, path)) = reading.todo.pop() {
            if reading.todo.len() >= MANY && self.common.options.readers > 1 {
                reading.todo.push((folder, path));
                return self.scan_many(reader, reading);
            }
            reader.read(folder, &path, &mut |told| self.take_told(&mut reading, told));
            if !self.wanted() {
                return;
            }
        }
    }

    fn scan_many(&mut self, reader: Reader, mut reading: Reading) {
        let queue = Queue::new(std::mem::take(&mut reading.todo));
        let (sender, told) = sync_channel(PIECES);
        std::thread::scope(|scope| {
            for _ in 0..self.common.options.readers {
                let (queue, reader, sender) = (&queue, &reader, sender.clone());
                let spawned = std::thread::Builder::new().name("share-read".into());
                let spawned = spawned.spawn_scoped(scope, move || queue.work(reader, &sender));
                if let Err(error) = spawned {
                    log::warn!("cannot start a thread to read folders: {error}");
                }
            }
            drop(sender);
            while let Ok(told) = told.recv() {
                let done = matches!(told, Told::Done(..));
                if self.take_told(&mut reading, told).is_break() {
                    queue.close();
                }
                queue.push(&mut reading.todo);
                if done {
                    queue.done();
                }
            }
        });
        // Without a single thread nothing was read.
        reading.todo = queue.rest();
        if self.wanted() {
            while let Some((folder, path)) = reading.todo.pop() {
                reader.read(folder, &path, &mut |told| self.take_told(&mut reading, told));
            }
        }
    }

    fn take_told(&mut self, reading: &mut Reading, told: Told) -> ControlFlow<()> {
        match told {
            Told::Begun(folder, watched) => {
                self.tree.unsee(folder);
                reading.at = self.tree.path_of(folder).map(|path| (folder, path));
                self.begun(folder, watched);
            }
            Told::Found(folder, found) => {
                if reading.at.as_ref().is_none_or(|(at, _)| *at != folder) {
                    reading.at = self.tree.path_of(folder).map(|path| (folder, path));
                }
                if let Some((folder, path)) = reading.at.take() {
                    found.into_iter().for_each(|found| self.found(reading, folder, &path, found));
                    reading.at = Some((folder, path));
                }
                self.tend();
            }
            Told::Done(folder, result) => self.read(folder, result),
        }
        self.flush_if_full();
        if self.wanted() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    fn begun(&mut self, folder: FolderId, watched: Option<Result<WatchId, Unwatched>>) {
        let watch = match watched {
            Some(Ok(id)) => {
                let (before, other) = self.tree.set_watch(folder, id);
                if let (Some(watch), Some(before)) = (&self.watch, before) {
                    watch.forget(before);
                }
                // Where that one is now is looked at when it is its turn: it has no watch of its own any more.
                if let Some(spot) = other.and_then(|other| self.tree.spot_of_folder(other)) {
                    self.hold(&spot, Duration::ZERO);
                }
                return;
            }
            Some(Err(why)) => why,
            None => return,
        };
        if let (Some(watch), Some(before)) = (&self.watch, self.tree.unwatch(folder)) {
            watch.forget(before);
        }
        match watch {
            Unwatched::Gone => {}
            Unwatched::Limit => self.tell_limit(),
            Unwatched::Other(why) => {
                let path = self.tree.path_of(folder).unwrap_or_default();
                log::debug!("{}: cannot be watched ({why}); it is read from time to time", path.display());
            }
        }
    }

    fn found(&mut self, reading: &mut Reading, folder: FolderId, path: &Path, found: Found) {
        let spot = Spot { folder, name: found.name };
        match found.what {
            What::Folder => {
                let known = self.tree.child(folder, &spot.name);
                let Some(child) = self.enter(&spot) else { return };
                self.tree.see(folder, &spot.name);
                let path = path.join(&spot.name);
                let one = reading.depth == Depth::One && folder == reading.top;
                if !one || known.is_none() || self.is_replaced(child, &path) {
                    reading.todo.push((child, path));
                }
            }
            What::File(stamp, looks) => self.take_file(path, &spot, stamp, looks, (reading.hold, reading.turn)),
            What::Skipped(reason, why) => self.skip(&spot, reason, why),
        }
    }

    /// A folder is read: what was not met in it may be gone.
    fn read(&mut self, folder: FolderId, result: io::Result<()>) {
        let spot = self.tree.spot_of_folder(folder);
        match (result, spot) {
            (Ok(()), _) => {
                for name in self.tree.names(folder, |entry| !entry.seen) {
                    let spot = Spot { folder, name };
                    if !self.held.contains(&spot) {
                        self.check(&spot, Hold::IfFresh);
                    }
                }
                self.tree.shrink(folder);
            }
            (Err(error), _) if is_shortage(&error) => {
                log::debug!("{}: {error}; it is read again soon", self.root.display());
                self.retry.insert(folder, Instant::now() + SHORTAGE);
            }
            (Err(error), None) => {
                if folder == self.tree.root() {
                    self.lost(&error);
                }
            }
            (Err(error), Some(spot)) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => self.check(&spot, Hold::IfFresh),
                io::ErrorKind::PermissionDenied => {
                    let is_folder = self.tree.at(&spot).is_some_and(|entry| entry.kind == Kind::Folder);
                    if is_folder {
                        self.skip(&spot, SkipReason::Unreadable, Some(scan::reason(&error)));
                    }
                }
                // A disk or a network that may come to its senses: what was known of it stays.
                _ => {
                    let path = self.tree.path_of(folder).unwrap_or_default();
                    log::warn!("{}: {error}; it is read again", self.root.join(path).display());
                    self.retry.insert(folder, Instant::now() + self.common.options.poll_every);
                }
            },
        }
    }

    /// Reads what could not be read before.
    pub(super) fn read_again(&mut self) {
        let now = Instant::now();
        let due: Vec<FolderId> = self.retry.iter().filter(|(_, due)| **due <= now).map(|(folder, _)| *folder).collect();
        for folder in due {
            self.retry.remove(&folder);
            self.scan(folder, Depth::All, Hold::IfFresh);
        }
    }
}

impl Reader {
    fn read(&self, folder: FolderId, path: &Path, tell: &mut dyn FnMut(Told) -> ControlFlow<()>) {
        let listed = Handle::open(self.root.join(path)).and_then(|handle| {
            let watched = self.watch.as_ref().map(|watch| watch.handle(&handle));
            if tell(Told::Begun(folder, watched)).is_break() {
                return Ok(());
            }
            scan::list(&handle, &self.root, path, &self.rules, &mut |found| tell(Told::Found(folder, found)))
        });
        let _end = tell(Told::Done(folder, listed));
    }
}

/// Folders to read by several threads. The last one in is the first one out: there are never many more than one
/// folder holds, times the depth.
struct Queue {
    state: Mutex<State>,
    wake: Condvar,
}

struct State {
    todo: Vec<(FolderId, PathBuf)>,
    /// Those to be read and those being read.
    open: usize,
    closed: bool,
}

impl Queue {
    fn new(todo: Vec<(FolderId, PathBuf)>) -> Self {
        let open = todo.len();
        Self { state: Mutex::new(State { todo, open, closed: false }), wake: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, more: &mut Vec<(FolderId, PathBuf)>) {
        if !more.is_empty() {
            let mut state = self.lock();
            state.open += more.len();
            state.todo.append(more);
            drop(state);
            self.wake.notify_all();
        }
    }

    /// One is read, and what it had in it is pushed.
    fn done(&self) {
        let mut state = self.lock();
        state.open -= 1;
        if state.open == 0 {
            state.closed = true;
            drop(state);
            self.wake.notify_all();
        }
    }

    fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_all();
    }

    fn rest(self) -> Vec<(FolderId, PathBuf)> {
        self.state.into_inner().unwrap_or_else(PoisonError::into_inner).todo
    }

    fn work(&self, reader: &Reader, sender: &SyncSender<Told>) {
        loop {
            let (folder, path) = {
                let mut state = self.lock();
                loop {
                    if state.closed {
                        return;
                    }
                    if let Some(next) = state.todo.pop() {
                        break next;
                    }
                    state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            };
            reader.read(folder, &path, &mut |told| match sender.send(told) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            });
        }
    }
}
