//! What need not be fetched, as it is here already.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::record::Standing;
use super::{Inner, OnExists, Wanted};
use crate::disk;
use crate::net::rt;
use crate::transfer::check::Checker;
use crate::transfer::{Check, Expected, name};

/// Why it is not fetched.
const HAD: &str = "you have it already";
/// Files that were written to since they were finished and are read to see whether they are still what they were.
const READ: usize = 4;

/// A download that is done, and its file, which still has its size.
struct Had {
    live: Arc<super::Live>,
    path: PathBuf,
    size: u64,
    /// Nobody wrote to it since.
    as_it_was: bool,
}

/// A file that is here already.
pub(super) struct Here {
    pub(super) path: PathBuf,
    pub(super) size: u64,
    pub(super) verified: Check,
    pub(super) reason: String,
}

impl Inner {
    /// A download of the same content that is done, if its file still lies there as it was.
    pub(super) fn had_before(&self, expected: &Expected) -> Option<Arc<super::Live>> {
        self.had(expected).into_iter().find(|had| had.as_it_was).map(|had| had.live)
    }

    /// Such downloads whose file still lies there, the newest first.
    fn had(&self, expected: &Expected) -> Vec<Had> {
        let done = |live: Arc<super::Live>| {
            let (path, size, mtime_ns) = {
                let live = live.lock();
                let (record, machine) = (&live.record, live.machine());
                let over = live.current_standing() == Standing::Done;
                let size = machine.map_or(record.size, |it| it.size())?;
                // What was only taken for it, as it had its name, is nothing that one has.
                let checked = machine.is_some() || record.verified.as_deref() != Some(Check::None.word());
                let same = over && checked && record.expected().same_content(expected);
                same.then(|| record.path.clone().map(|path| (path, size, record.mtime_ns)))??
            };
            let there = stamp_of(&path).filter(|(there, _)| *there == size)?.1;
            Some(Had { live, path, size, as_it_was: mtime_ns == Some(there) })
        };
        self.of(expected).into_iter().rev().filter_map(done).collect()
    }

    /// Whether a file is that content: reads all of it.
    async fn holds(&self, path: &Path, expected: Expected) -> bool {
        let path = path.to_owned();
        let found = rt::spawn_blocking(move || digests(&path, &expected)).await;
        found.is_ok_and(|found| expected.matches(&found))
    }

    /// A shared file of that content, or one in the place where it would go.
    pub(super) async fn is_here(&self, wanted: &Wanted, dir: &Path) -> Option<Here> {
        let expected = wanted.expected;
        if let Some(path) = expected.urn().and_then(|urn| (self.hooks.owned)(&urn))
            && let Some(size) = size_of(&path).filter(|size| wanted.size.is_none_or(|wanted| wanted == *size))
        {
            return Some(Here { path, size, verified: expected.strongest(), reason: HAD.to_owned() });
        }
        // One that was written to may still be what it was: that is read.
        for Had { path, size, .. } in self.had(&expected).into_iter().filter(|had| !had.as_it_was).take(READ) {
            if self.holds(&path, expected).await {
                return Some(Here { path, size, verified: expected.strongest(), reason: HAD.to_owned() });
            }
        }
        if wanted.name.is_empty() {
            return None;
        }
        let path = dir.join(name::sanitise(&wanted.name));
        let size = size_of(&path)?;
        match wanted.on_exists {
            OnExists::Skip => {
                let reason = "a file of that name is there already".to_owned();
                Some(Here { path, size, verified: Check::None, reason })
            }
            OnExists::SkipSame if expected.urn().is_some() && wanted.size.is_none_or(|wanted| wanted == size) => {
                let reason = "the same file is there already".to_owned();
                let same = self.holds(&path, expected).await;
                same.then(|| Here { path, size, verified: expected.strongest(), reason })
            }
            OnExists::SkipSame | OnExists::Rename | OnExists::Overwrite => None,
        }
    }
}

/// Of a regular file; a link to one does not count.
fn size_of(path: &Path) -> Option<u64> {
    stamp_of(path).map(|(size, _)| size)
}

/// The size of a regular file, and when it was written last in nanoseconds since 1970.
pub(super) fn stamp_of(path: &Path) -> Option<(u64, i64)> {
    let meta = std::fs::symlink_metadata(path).ok().filter(std::fs::Metadata::is_file)?;
    let stamp = disk::stamp_of(&meta);
    Some((stamp.size, stamp.mtime_ns))
}

fn digests(path: &Path, expected: &Expected) -> std::io::Result<Expected> {
    let (mut file, mut checker) = (File::open(path)?, Checker::new(expected));
    let mut piece = vec![0; 1 << 20];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(checker.finish()),
            read => checker.update(&piece[..read]),
        }
    }
}
