//! Other systems: what [`notify`] has for them. Renames are told as something gone and something new.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use notify::{Config, ErrorKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::{Happened, Missed, Unwatched, WatchId, What, hand_over};
use crate::disk::scan::Handle;

/// A watch over folders.
pub(in crate::disk) struct Watch {
    watcher: Mutex<RecommendedWatcher>,
    live: Arc<Mutex<Live>>,
    limit: usize,
}

#[derive(Default)]
struct Live {
    last: i32,
    ids: BTreeMap<PathBuf, WatchId>,
}

impl Watch {
    /// A watch over nothing yet. What happens is sent to `sender`; when that is full, `missed` remembers it.
    pub(in crate::disk) fn new<T: From<Happened> + Send + 'static>(
        sender: SyncSender<T>,
        missed: Arc<Missed>,
        limit: usize,
    ) -> io::Result<Self> {
        let live: Arc<Mutex<Live>> = Arc::default();
        let known = Arc::clone(&live);
        let handler = move |event: notify::Result<notify::Event>| {
            let Ok(event) = event else { return missed.add(|lost| lost.anywhere = true) };
            if event.need_rescan() {
                missed.add(|lost| lost.anywhere = true);
            }
            let Some(what) = translate(event.kind) else { return };
            let live = known.lock().unwrap_or_else(PoisonError::into_inner);
            for path in event.paths {
                let folder = path.parent().and_then(|parent| live.ids.get(parent));
                if let (Some(folder), Some(name)) = (folder, path.file_name()) {
                    hand_over(&sender, &missed, Happened::In(*folder, name.to_owned(), what));
                } else if let Some(folder) = live.ids.get(&path) {
                    hand_over(&sender, &missed, Happened::In(*folder, OsString::new(), what));
                }
            }
        };
        let watcher = RecommendedWatcher::new(handler, Config::default()).map_err(io::Error::other)?;
        Ok(Self { watcher: Mutex::new(watcher), live, limit })
    }

    /// Watches one folder, not those in it.
    pub(in crate::disk) fn folder(&self, path: &Path) -> Result<WatchId, Unwatched> {
        {
            let live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(known) = live.ids.get(path) {
                return Ok(*known);
            }
            if live.ids.len() >= self.limit {
                return Err(Unwatched::Limit);
            }
        }
        let mut watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        watcher.watch(path, RecursiveMode::NonRecursive).map_err(|error| match error.kind {
            ErrorKind::MaxFilesWatch => Unwatched::Limit,
            ErrorKind::PathNotFound => Unwatched::Gone,
            ErrorKind::Io(error) if error.kind() == io::ErrorKind::NotFound => Unwatched::Gone,
            _ => Unwatched::Other(error.to_string()),
        })?;
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.last += 1;
        let id = WatchId(live.last);
        live.ids.insert(path.to_owned(), id);
        Ok(id)
    }

    /// [`Watch::folder`], of what is open.
    pub(in crate::disk) fn handle(&self, handle: &Handle) -> Result<WatchId, Unwatched> {
        self.folder(&handle.path)
    }

    /// A watched folder is not watched any more.
    pub(in crate::disk) fn forget(&self, watch: WatchId) {
        let path = {
            let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
            let path = live.ids.iter().find(|(_, id)| **id == watch).map(|(path, _)| path.clone());
            path.inspect(|path| {
                live.ids.remove(path);
            })
        };
        let mut watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Err(error)) = path.map(|path| watcher.unwatch(&path)) {
            log::trace!("{error}");
        }
    }
}

fn translate(kind: EventKind) -> Option<What> {
    Some(match kind {
        EventKind::Create(_) => What::Created,
        EventKind::Remove(_) => What::Gone,
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => What::Closed,
        EventKind::Access(_) => return None,
        EventKind::Modify(ModifyKind::Metadata(_) | ModifyKind::Name(_)) => What::Touched,
        EventKind::Modify(_) => What::Written,
        EventKind::Any | EventKind::Other => What::Touched,
    })
}

/// Mounts are not looked for here.
pub(in crate::disk) fn mounts_below(_: &Path) -> BTreeSet<(PathBuf, u64)> {
    BTreeSet::new()
}
