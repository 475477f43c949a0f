//! Files that are held back: looked at when they have been quiet for a while.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::Keeper;
use super::tree::{FolderId, Spot};
use crate::disk::stamp::stamp_of;
use crate::library::Stamp;

/// A file modified so recently may still be growing.
const FRESH: Duration = Duration::from_millis(500);

pub(super) struct Pending {
    due: Instant,
    since: Instant,
    /// As it was when it was last looked at, where no event tells of writes.
    seen: Option<Stamp>,
}

/// What is held back, and until when.
#[derive(Default)]
pub(super) struct Held {
    pending: BTreeMap<Spot, Pending>,
    due: BTreeSet<(Instant, Spot)>,
}

impl Held {
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }

    pub(super) fn contains(&self, spot: &Spot) -> bool {
        self.pending.contains_key(spot)
    }

    pub(super) fn spots(&self) -> Vec<Spot> {
        self.pending.keys().cloned().collect()
    }

    pub(super) fn spots_in(&self, folder: FolderId) -> Vec<Spot> {
        let first = Spot { folder, name: Default::default() };
        self.pending.range(first..).map(|(spot, _)| spot).take_while(|spot| spot.folder == folder).cloned().collect()
    }

    fn put(&mut self, spot: Spot, pending: Pending) {
        self.release(&spot);
        self.due.insert((pending.due, spot.clone()));
        self.pending.insert(spot, pending);
    }

    /// It is held back no more.
    pub(super) fn release(&mut self, spot: &Spot) -> Option<Pending> {
        let (spot, pending) = self.pending.remove_entry(spot)?;
        self.due.remove(&(pending.due, spot));
        Some(pending)
    }

    pub(super) fn clear(&mut self) {
        self.pending.clear();
        self.due.clear();
    }
}

impl Keeper {
    /// Looks at it later, unless something else happens to it. Tells for how long it is held back already.
    pub(super) fn hold(&mut self, spot: &Spot, time: Duration) -> Duration {
        let now = Instant::now();
        let since = self.held.pending.get(spot).map_or(now, |pending| pending.since);
        self.held.put(spot.clone(), Pending { due: now + time, since, seen: None });
        now - since
    }

    /// Looks at it soon, and again for as long as it grows: for when no event may tell.
    pub(super) fn hold_and_compare(&mut self, spot: &Spot) {
        self.hold(spot, self.common.options.quiet);
        let seen = self.stamp_at(spot);
        if let Some(pending) = self.held.pending.get_mut(spot) {
            pending.seen = seen;
        }
    }

    /// Looks at what has been quiet for long enough.
    pub(super) fn settle(&mut self) {
        let now = Instant::now();
        while let Some((due, spot)) = self.held.due.first()
            && *due <= now
            && self.wanted()
        {
            let spot = spot.clone();
            let pending = self.held.release(&spot);
            match pending {
                Some(Pending { seen: Some(seen), since, .. }) => {
                    let stamp = self.stamp_at(&spot);
                    if stamp.is_some_and(|stamp| stamp != seen) {
                        // Nobody told, but it grows.
                        let due = now + self.common.options.quiet;
                        self.held.put(spot, Pending { due, since, seen: stamp });
                    } else {
                        self.check_at_last(&spot);
                    }
                }
                _ => self.check_at_last(&spot),
            }
        }
    }

    fn stamp_at(&self, spot: &Spot) -> Option<Stamp> {
        let path = self.tree.path_at(spot)?;
        let meta = std::fs::symlink_metadata(self.root.join(path)).ok().filter(|meta| meta.is_file())?;
        Some(stamp_of(&meta))
    }
}

/// Was it modified just now?
pub(super) fn is_fresh(stamp: &Stamp) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i64);
    (0..FRESH.as_nanos() as i64).contains(&now.saturating_sub(stamp.mtime_ns))
}
