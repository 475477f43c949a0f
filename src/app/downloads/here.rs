//! What need not be fetched, as it is here already.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::record::Standing;
use super::{Inner, OnExists, TransferView, Wanted};
use crate::net::rt;
use crate::transfer::check::Checker;
use crate::transfer::{Check, Expected, name};

/// A file that is here already.
pub(super) struct Here {
    pub(super) path: PathBuf,
    pub(super) size: u64,
    pub(super) verified: Check,
    pub(super) reason: String,
}

impl Inner {
    /// A download of the same content that is done, if its file still lies there.
    pub(super) fn had_before(&self, expected: &Expected) -> Option<TransferView> {
        let done = |live: &Arc<super::Live>| {
            let live = live.lock();
            let (record, machine) = (&live.record, live.machine());
            let over =
                machine.map_or(record.standing == Standing::Done, |it| it.state() == crate::transfer::State::Done);
            let size = machine.map_or(record.size, |it| it.size());
            let path = record.path.clone()?;
            (over && record.expected().same_content(expected)).then_some((path, size))
        };
        let all = self.all();
        let mut kept = all.iter().rev().filter_map(|live| done(live).map(|found| (live, found)));
        let (live, _) = kept.find(|(_, (path, size))| size_of(path).is_some_and(|there| Some(there) == *size))?;
        Some(live.view())
    }

    /// A shared file of that content, or one in the place where it would go.
    pub(super) async fn is_here(&self, wanted: &Wanted, dir: &Path) -> Option<Here> {
        let expected = wanted.expected;
        if let Some(path) = expected.urn().and_then(|urn| (self.hooks.owned)(&urn))
            && let Some(size) = size_of(&path).filter(|size| wanted.size.is_none_or(|wanted| wanted == *size))
        {
            let reason = "you have it already".to_owned();
            return Some(Here { path, size, verified: expected.strongest(), reason });
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
                let there = path.clone();
                let found = rt::spawn_blocking(move || digests(&there, &expected)).await.ok()?;
                let reason = "the same file is there already".to_owned();
                expected.matches(&found).then(|| Here { path, size, verified: expected.strongest(), reason })
            }
            OnExists::SkipSame | OnExists::Rename | OnExists::Overwrite => None,
        }
    }
}

/// Of a regular file; a link to one does not count.
fn size_of(path: &Path) -> Option<u64> {
    std::fs::symlink_metadata(path).ok().filter(std::fs::Metadata::is_file).map(|meta| meta.len())
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
