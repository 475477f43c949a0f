//! What changes in a folder, as the kernel tells it.
//!
//! Each folder is watched on its own and before it is read, so that nothing slips between, and so that when the
//! limit of watches is reached it is known exactly which folders are not watched. A watch goes with its folder
//! wherever that moves. When more happens than can be queued, that is noticed too, with the folders that it
//! happened in.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod other;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};

#[cfg(target_os = "linux")]
pub(super) use linux::{Watch, mounts_below};
#[cfg(not(target_os = "linux"))]
pub(super) use other::{Watch, mounts_below};

/// A watched folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct WatchId(i32);

/// Something happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Happened {
    /// In a watched folder, to what has this name; without a name, to the folder itself.
    In(WatchId, OsString, What),
    /// The folder is not watched any more: it is gone, or what it was mounted from is.
    Ended(WatchId),
    /// Something was mounted or unmounted somewhere.
    Mounts,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// It is new.
    Created,
    /// Somebody writes into it.
    Written,
    /// Who wrote into it closed it.
    Closed,
    /// Its rights or times are others.
    Touched,
    /// It is gone.
    Gone,
    /// It moved somewhere, perhaps out of what we watch.
    MovedAway(u32),
    /// It came from somewhere; the same number tells from where, if that is watched.
    MovedHere(u32),
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

/// What happened and could not be queued.
#[derive(Debug, Default)]
pub(super) struct Missed {
    any: AtomicBool,
    what: Mutex<Lost>,
}

/// Where something happened that nobody was told of.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Lost {
    /// Anywhere.
    pub(super) anywhere: bool,
    /// In these.
    pub(super) folders: BTreeSet<WatchId>,
    /// Something was mounted or unmounted.
    pub(super) mounts: bool,
}

impl Missed {
    /// What was missed since the last call, if anything.
    pub(super) fn take(&self) -> Option<Lost> {
        self.any.swap(false, Ordering::Relaxed).then(|| std::mem::take(&mut *self.lock()))
    }

    fn add(&self, change: impl FnOnce(&mut Lost)) {
        change(&mut self.lock());
        self.any.store(true, Ordering::Relaxed);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Lost> {
        self.what.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hands something over, or remembers that and where it was missed.
fn hand_over<T: From<Happened>>(sender: &SyncSender<T>, missed: &Arc<Missed>, happened: Happened) {
    let folder = match &happened {
        Happened::In(folder, ..) | Happened::Ended(folder) => Some(*folder),
        Happened::Mounts => None,
    };
    if let Err(TrySendError::Full(_)) = sender.try_send(happened.into()) {
        missed.add(|lost| match folder {
            Some(folder) => {
                lost.folders.insert(folder);
            }
            None => lost.mounts = true,
        });
    }
}

/// How many folders the kernel lets a user watch; `None` where it does not say.
pub fn kernel_limit() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/sys/fs/inotify/max_user_watches").ok()?;
    text.trim().parse().ok()
}
