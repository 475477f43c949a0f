//! The bytes of a download, for others to read: of its partial file, or of the finished one.

use std::fs::File;
use std::sync::{Arc, Weak};
use std::time::{Instant as Clock, SystemTime};

/// A file to read from, for others.
#[derive(Clone, Debug)]
pub(in crate::app::downloads) struct Reader {
    part: Weak<File>,
    /// When it was finished, and what it looked like then.
    done: Option<(Clock, (u64, SystemTime), Arc<File>)>,
}

impl Reader {
    /// ... of a partial file, as long as that is open: whoever holds the file holds its lock, which is to end with it.
    pub(super) fn of_part(file: &Arc<File>) -> Self {
        Self { part: Arc::downgrade(file), done: None }
    }

    /// ... of a finished file, as it is now.
    pub(super) fn of_finished(file: File) -> Option<Self> {
        let stamp = stamp(&file)?;
        Some(Self { part: Weak::new(), done: Some((Clock::now(), stamp, Arc::new(file))) })
    }

    /// To read from, if it still is there, and nobody wrote to it since it was finished.
    pub(in crate::app::downloads) fn file(&self) -> Option<Arc<File>> {
        match &self.done {
            Some((_, then, file)) => (stamp(file) == Some(*then)).then(|| Arc::clone(file)),
            None => self.part.upgrade(),
        }
    }

    /// How long it has been finished.
    pub(in crate::app::downloads) fn age(&self) -> Option<std::time::Duration> {
        self.done.as_ref().map(|(at, ..)| at.elapsed())
    }
}

/// Length and time of a file that still has a name.
fn stamp(file: &File) -> Option<(u64, SystemTime)> {
    let meta = file.metadata().ok()?;
    #[cfg(unix)]
    if std::os::unix::fs::MetadataExt::nlink(&meta) == 0 {
        return None;
    }
    Some((meta.len(), meta.modified().ok()?))
}
