//! What changes in a folder, as the kernel tells it.
//!
//! Each folder is watched on its own and before it is read, so that nothing slips between, and so that when the
//! limit of watches is reached it is known exactly which folders are not watched. When more happens than can be
//! queued, that is noticed too, and the folder is read again.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind, RenameMode};
use notify::{Config, ErrorKind, RecommendedWatcher, RecursiveMode, Watcher};

/// Something happened at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Happened {
    /// It is new.
    Created(PathBuf),
    /// Somebody writes into it.
    Written(PathBuf),
    /// Who wrote into it closed it.
    Closed(PathBuf),
    /// Its rights or times are others.
    Touched(PathBuf),
    /// It is gone.
    Gone(PathBuf),
    /// It moved somewhere, perhaps out of what we watch; more may follow.
    MovedAway(PathBuf),
    /// It came from somewhere, perhaps from what we watch; more may follow.
    MovedHere(PathBuf),
    /// It has another name.
    Renamed(PathBuf, PathBuf),
}

/// Why a folder is not watched.
#[derive(Debug)]
pub(super) enum Unwatched {
    /// The kernel's limit of watches (or ours) is reached.
    Limit,
    /// The folder is not there any more.
    Gone,
    /// Something else.
    Other(String),
}

/// A watch over folders.
pub(super) struct Watch {
    watcher: RecommendedWatcher,
    count: usize,
    limit: usize,
}

impl Watch {
    /// A watch over nothing yet. What happens is sent to `sender`; when that is full, `missed` is set instead.
    pub(super) fn new<T: From<Happened> + Send + 'static>(
        sender: SyncSender<T>,
        missed: Arc<AtomicBool>,
        limit: usize,
    ) -> io::Result<Self> {
        let handler = move |event: notify::Result<notify::Event>| {
            let Ok(event) = event else { return missed.store(true, Ordering::Relaxed) };
            if event.need_rescan() {
                missed.store(true, Ordering::Relaxed);
            }
            if let Some(happened) = translate(event)
                && let Err(TrySendError::Full(_)) = sender.try_send(happened.into())
            {
                missed.store(true, Ordering::Relaxed);
            }
        };
        let watcher = RecommendedWatcher::new(handler, Config::default()).map_err(io::Error::other)?;
        Ok(Self { watcher, count: 0, limit })
    }

    /// Watches one folder, not those in it.
    pub(super) fn folder(&mut self, path: &Path) -> Result<(), Unwatched> {
        if self.count >= self.limit {
            return Err(Unwatched::Limit);
        }
        self.watcher.watch(path, RecursiveMode::NonRecursive).map_err(|error| match error.kind {
            ErrorKind::MaxFilesWatch => Unwatched::Limit,
            ErrorKind::PathNotFound => Unwatched::Gone,
            ErrorKind::Io(error) if error.kind() == io::ErrorKind::NotFound => Unwatched::Gone,
            _ => Unwatched::Other(error.to_string()),
        })?;
        self.count += 1;
        Ok(())
    }

    /// A watched folder is gone or moved; the kernel or [`notify`] may have dropped its watch already.
    pub(super) fn forget(&mut self, path: &Path) {
        self.count = self.count.saturating_sub(1);
        if let Err(error) = self.watcher.unwatch(path) {
            log::trace!("{}: {error}", path.display());
        }
    }
}

fn translate(mut event: notify::Event) -> Option<Happened> {
    if let EventKind::Modify(ModifyKind::Name(RenameMode::Both)) = event.kind {
        let to = event.paths.pop()?;
        return Some(Happened::Renamed(event.paths.pop()?, to));
    }
    let path = event.paths.pop()?;
    Some(match event.kind {
        EventKind::Create(_) => Happened::Created(path),
        EventKind::Remove(_) => Happened::Gone(path),
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => Happened::Closed(path),
        EventKind::Access(_) => return None,
        EventKind::Modify(ModifyKind::Name(RenameMode::From)) => Happened::MovedAway(path),
        EventKind::Modify(ModifyKind::Name(_)) => Happened::MovedHere(path),
        EventKind::Modify(ModifyKind::Metadata(_)) => Happened::Touched(path),
        EventKind::Modify(_) => Happened::Written(path),
        EventKind::Any | EventKind::Other => Happened::Touched(path),
    })
}

/// The kernel's limit, for messages.
pub(super) fn kernel_limit() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/sys/fs/inotify/max_user_watches").ok()?;
    text.trim().parse().ok()
}
