//! What the watch tells, and what is done about it.

use std::ffi::OsStr;
use std::time::{Duration, Instant};

use super::names::Kind;
use super::tree::{FolderId, Spot};
use super::{Depth, Hold, Keeper};
use crate::disk::watch::{Happened, What};

/// A file that is created but not written to yet is held back for so long,
const EMPTY: Duration = Duration::from_secs(2);
/// and the other half of a rename is waited for so long.
pub(super) const RENAME: Duration = Duration::from_millis(50);
/// A known file that is being written for longer is taken off the shelf until it is quiet.
const STALE: Duration = Duration::from_secs(2);

/// Something moved away, and perhaps to somewhere that is told of next.
pub(super) struct Moving {
    from: Spot,
    until: Instant,
}

impl Keeper {
    pub(super) fn take_happened(&mut self, happened: Happened) {
        match happened {
            Happened::In(watch, name, what) => match self.tree.watched(watch) {
                Some(folder) if name.is_empty() => self.happened_to(folder, what),
                Some(folder) => self.happened_in(folder, &name, what),
                // The folder is forgotten already. What came out of it can still be found where it is now.
                None => {}
            },
            Happened::Ended(watch) => {
                let Some(folder) = self.tree.watched(watch) else { return };
                self.tree.unwatch(folder);
                match self.tree.spot_of_folder(folder) {
                    Some(spot) => self.check(&spot, Hold::IfFresh),
                    None => self.root_changed(),
                }
            }
            Happened::Mounts => self.look_at_mounts(),
        }
    }

    /// Of those in it the folder above tells.
    fn happened_to(&mut self, folder: FolderId, what: What) {
        if folder == self.tree.root() && what != What::Touched {
            self.probe();
        }
    }

    fn happened_in(&mut self, folder: FolderId, name: &OsStr, what: What) {
        let spot = Spot::new(folder, name);
        match what {
            What::Created => self.created(&spot),
            What::Written => self.written(&spot),
            What::Closed => self.check(&spot, Hold::Complete),
            What::Gone => self.check(&spot, Hold::IfFresh),
            // A file that is held back already waits for its own event.
            What::Touched if self.held.contains(&spot) => {}
            What::Touched => {
                self.hold(&spot, RENAME);
            }
            What::MovedAway(number) => {
                self.moving.insert(number, Moving { from: spot, until: Instant::now() + RENAME });
            }
            What::MovedHere(number) => match self.moving.remove(&number) {
                Some(Moving { from, .. }) => self.renamed(&from, &spot),
                None => self.check(&spot, Hold::Complete),
            },
        }
    }

    pub(super) fn next_move_ends(&self) -> Option<Instant> {
        self.moving.values().map(|moving| moving.until).min()
    }

    /// What moved away and came nowhere is gone.
    pub(super) fn end_moves(&mut self) {
        let now = Instant::now();
        let over = |moving: &Moving| moving.until <= now;
        let numbers: Vec<u32> =
            self.moving.iter().filter(|(_, moving)| over(moving)).map(|(number, _)| *number).collect();
        for number in numbers {
            if let Some(Moving { from, .. }) = self.moving.remove(&number) {
                self.check(&from, Hold::IfFresh);
            }
        }
    }

    fn created(&mut self, spot: &Spot) {
        let Some(path) = self.tree.path_at(spot) else { return };
        match std::fs::symlink_metadata(self.root.join(path)) {
            // Its writer will close it. A hard link has no writer.
            Ok(meta) if meta.is_file() => {
                self.hold(spot, if meta.len() == 0 { EMPTY } else { self.common.options.quiet });
            }
            _ => self.check(spot, Hold::IfFresh),
        }
    }

    fn written(&mut self, spot: &Spot) {
        let shared = self.tree.at(spot).is_some_and(|entry| entry.kind.is_file());
        if self.hold(spot, self.common.options.writer_quiet) > STALE && shared {
            self.take_off(spot);
        }
    }

    /// Something is mounted or unmounted. Where it is in the share, that is looked at.
    pub(super) fn look_at_mounts(&mut self) {
        if self.present.is_none() {
            return;
        }
        let mounts = crate::disk::watch::mounts_below(&self.root);
        let before = std::mem::replace(&mut self.mounts, mounts);
        let mut changed: Vec<_> = before.symmetric_difference(&self.mounts).map(|(path, _)| path.clone()).collect();
        changed.dedup();
        for path in changed {
            let Some(spot) = self.tree.spot_of(&path) else { continue };
            log::info!("{}: something is mounted or unmounted there", self.root.join(&path).display());
            match self.tree.at(&spot) {
                Some(entry) if entry.kind == Kind::Folder => {
                    if let Some(folder) = self.tree.child(spot.folder, &spot.name) {
                        self.scan(folder, Depth::All, Hold::IfFresh);
                    }
                }
                _ => self.check(&spot, Hold::IfFresh),
            }
        }
        self.probe();
    }
}
