//! Maps by paths: a folder's content sorts right behind the folder.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::disk::policy::SkipReason;
use crate::disk::scan::Depth;
use crate::library::Stamp;

/// A file modified so recently may still be growing.
const FRESH: Duration = Duration::from_millis(500);

/// What is left out, and how much of it for each reason.
#[derive(Default)]
pub(super) struct Skips {
    paths: BTreeMap<PathBuf, SkipReason>,
    pub(super) counts: BTreeMap<SkipReason, u64>,
}

impl Skips {
    pub(super) fn insert(&mut self, path: PathBuf, reason: SkipReason) {
        self.remove(&path);
        self.paths.insert(path, reason);
        *self.counts.entry(reason).or_default() += 1;
    }

    pub(super) fn remove(&mut self, path: &Path) {
        if let Some(reason) = self.paths.remove(path) {
            self.uncount(reason);
        }
    }

    pub(super) fn remove_below(&mut self, path: &Path, depth: Depth) {
        let here = |below: &Path| depth == Depth::All || below.parent() == Some(path);
        let gone: Vec<PathBuf> = range_below(&self.paths, path).map(|(below, _)| below.clone()).collect();
        gone.iter().filter(|below| here(below)).for_each(|below| self.remove(below));
    }

    fn uncount(&mut self, reason: SkipReason) {
        if let Some(count) = self.counts.get_mut(&reason) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&reason);
            }
        }
    }
}

pub(super) fn is_root(path: &Path) -> bool {
    path.as_os_str().is_empty()
}

/// Was it modified just now?
pub(super) fn is_fresh(stamp: &Stamp) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i64);
    (0..FRESH.as_nanos() as i64).contains(&now.saturating_sub(stamp.mtime_ns))
}

/// `path` and everything below it, in a map by paths (which sorts a folder's content right behind the folder).
pub(super) fn range_below<'a, V>(
    map: &'a BTreeMap<PathBuf, V>,
    path: &'a Path,
) -> impl Iterator<Item = (&'a PathBuf, &'a V)> {
    let from = (Bound::Included(path.to_owned()), Bound::Unbounded);
    map.range::<PathBuf, _>(from).take_while(move |(below, _)| below.starts_with(path))
}

/// Takes `path` and everything below it out of the map.
pub(super) fn take_below<V>(map: &mut BTreeMap<PathBuf, V>, path: &Path) -> Vec<(PathBuf, V)> {
    let paths: Vec<PathBuf> = range_below(map, path).map(|(below, _)| below.clone()).collect();
    paths.into_iter().filter_map(|path| map.remove_entry(&path)).collect()
}
