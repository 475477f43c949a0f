//! Looking at what is on the disk, and taking in how it differs from what is known.

use std::fs::Metadata;
use std::io;
use std::path::Path;

use super::events::RENAME;
use super::held::is_fresh;
use super::names::{Entry, Kind};
use super::tree::{FolderId, Spot};
use super::{Depth, Hold, Keeper};
use crate::disk::hash::Turn;
use crate::disk::policy::SkipReason;
use crate::disk::scan::{self, Looks, What};
use crate::disk::stamp::Print;
use crate::library::{Change, Stamp};

/// So many names that look private are told.
const TOLD: usize = 20;

impl Keeper {
    /// Looks at a spot and takes in what is there now. If its folder is elsewhere by now, as an event still to come
    /// will tell, it is looked at later.
    pub(super) fn check(&mut self, spot: &Spot, hold: Hold) {
        let Some(below) = self.tree.path_of(spot.folder) else {
            self.held.release(spot);
            return;
        };
        let meta = std::fs::symlink_metadata(self.root.join(&below).join(&spot.name));
        if self.is_elsewhere(spot.folder, &below) {
            self.hold(spot, RENAME);
            return;
        }
        self.take_in(spot, &below, meta, hold);
    }

    /// Looks at a spot after a while. If its folder is still elsewhere, that is looked for first.
    pub(super) fn check_at_last(&mut self, spot: &Spot) {
        if let Some(below) = self.tree.path_of(spot.folder)
            && self.is_elsewhere(spot.folder, &below)
            && let Some(above) = self.tree.spot_of_folder(spot.folder)
        {
            self.check_at_last(&above);
        }
        if let Some(below) = self.tree.path_of(spot.folder) {
            let meta = std::fs::symlink_metadata(self.root.join(&below).join(&spot.name));
            self.take_in(spot, &below, meta, Hold::Complete);
        }
    }

    fn take_in(&mut self, spot: &Spot, below: &Path, meta: io::Result<Metadata>, hold: Hold) {
        let what = match meta {
            Ok(meta) => scan::judge(&self.root, below, &spot.name, &meta, &self.rules),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.forget(spot);
                return self.probe_if_empty();
            }
            Err(error) => What::Skipped(SkipReason::Unreadable, Some(scan::reason(&error))),
        };
        match what {
            What::Folder => {
                self.held.release(spot);
                let depth = if self.tree.child(spot.folder, &spot.name).is_some() { Depth::One } else { Depth::All };
                if let Some(folder) = self.enter(spot) {
                    self.scan(folder, depth, Hold::IfFresh);
                }
            }
            What::File(stamp, looks) => self.take_file(below, spot, stamp, looks, (hold, Turn::Next)),
            What::Skipped(reason, why) => self.skip(spot, reason, why),
        }
    }

    /// The folder at that spot, made known if it is not.
    pub(super) fn enter(&mut self, spot: &Spot) -> Option<FolderId> {
        if self.tree.child(spot.folder, &spot.name).is_none() {
            self.forget(spot);
            if !self.tree.has_folder(spot.folder) {
                return None;
            }
        }
        Some(self.tree.make_folder(spot.folder, &spot.name))
    }

    /// A file is there; `below` is the path of its folder.
    pub(super) fn take_file(
        &mut self,
        below: &Path,
        spot: &Spot,
        stamp: Stamp,
        looks: Looks,
        (hold, turn): (Hold, Turn),
    ) {
        let print = Print::of(&stamp);
        let known = self.tree.at(spot);
        match known {
            Some(entry) if entry.kind.is_file() => {
                self.tree.see(spot.folder, &spot.name);
                if entry.print == print {
                    self.held.release(spot);
                    return;
                }
            }
            // A folder or something that was left out made room.
            Some(_) => self.forget_but_hold(spot),
            None => {}
        }
        if hold == Hold::IfFresh && is_fresh(&stamp) {
            if !self.held.contains(spot) {
                self.hold_and_compare(spot);
            }
            return;
        }
        self.held.release(spot);
        let path = below.join(&spot.name);
        if looks == Looks::Private {
            self.note_private(&path);
        }
        let digests = self.common.cache.get(&stamp);
        let kind = if digests.is_some() { Kind::Hashed } else { Kind::Waiting };
        self.tree.put(spot.folder, &spot.name, Entry::new(kind, print, stamp.size));
        self.changes.push(Change::Put { root: self.id, path, stamp, digests });
        if digests.is_none() {
            self.wait_for_hash(spot.folder, &spot.name, turn);
        }
        self.flush_if_full();
    }

    fn note_private(&self, path: &Path) {
        self.status(|status| {
            let name = path.to_string_lossy().into_owned();
            if status.looks_private.len() < TOLD && !status.looks_private.contains(&name) {
                status.looks_private.push(name);
            }
        });
    }

    /// Something has another name, as the watch tells.
    pub(super) fn renamed(&mut self, from: &Spot, to: &Spot) {
        self.held.release(from);
        self.held.release(to);
        let (Some(old), Some(new)) = (self.tree.path_at(from), self.tree.path_at(to)) else {
            self.check(to, Hold::Complete);
            return self.check(from, Hold::IfFresh);
        };
        let Ok(meta) = std::fs::symlink_metadata(self.root.join(&new)) else {
            self.check(from, Hold::IfFresh);
            return self.check(to, Hold::IfFresh);
        };
        // Something else may have taken the old name meanwhile, or a folder above has moved on: then nothing is to be
        // believed.
        let parent = |path: &Path| path.parent().map(Path::to_owned).unwrap_or_default();
        if std::fs::symlink_metadata(self.root.join(&old)).is_ok()
            || self.is_elsewhere(to.folder, &parent(&new))
            || self.is_elsewhere(from.folder, &parent(&old))
        {
            self.check(to, Hold::Complete);
            return self.check(from, Hold::IfFresh);
        }
        let below = new.parent().unwrap_or(Path::new(""));
        match scan::judge(&self.root, below, &to.name, &meta, &self.rules) {
            What::Folder => self.renamed_folder((from, &old), (to, &new)),
            What::File(stamp, looks) => self.renamed_file((from, &old), (to, &new), stamp, looks),
            What::Skipped(reason, why) => {
                self.forget(from);
                self.skip(to, reason, why);
            }
        }
    }

    fn renamed_file(&mut self, (from, old): (&Spot, &Path), (to, new): (&Spot, &Path), stamp: Stamp, looks: Looks) {
        let print = Print::of(&stamp);
        let known = self.tree.at(from).filter(|known| known.kind.is_file() && known.print.body == print.body);
        let Some(known) = known else {
            self.forget(from);
            return self.take_file(
                new.parent().unwrap_or(Path::new("")),
                to,
                stamp,
                looks,
                (Hold::Complete, Turn::Next),
            );
        };
        // Whatever was in the way is gone: the change tells of it.
        match self.tree.at(to) {
            Some(entry) if entry.kind.is_file() => {
                self.tree.take(to);
            }
            _ => self.forget(to),
        }
        self.tree.take(from);
        if looks == Looks::Private {
            self.note_private(new);
        }
        let digests = match known.kind {
            Kind::Hashed => self.common.cache.moved(known.print, &stamp),
            _ => None,
        };
        let kind = if digests.is_some() { Kind::Hashed } else { Kind::Waiting };
        self.tree.put(to.folder, &to.name, Entry::new(kind, print, stamp.size));
        let (root, path) = (self.id, new.to_owned());
        self.changes.push(Change::Renamed { root, from: old.to_owned(), to: path.clone(), stamp });
        match digests {
            Some(digests) => self.changes.push(Change::Hashed { root, path, stamp, digests }),
            None => self.wait_for_hash(to.folder, &to.name, Turn::Next),
        }
        self.flush_if_full();
    }

    /// All that is in the folder comes along: its files' own stamps, and the watches, stay.
    fn renamed_folder(&mut self, (from, old): (&Spot, &Path), (to, new): (&Spot, &Path)) {
        let Some(folder) = self.tree.child(from.folder, &from.name) else {
            self.forget(from);
            return self.check(to, Hold::IfFresh);
        };
        // A folder cannot move into itself: what we know is out of date.
        if self.tree.is_within(to.folder, folder) || self.rules.depend_on_path() {
            self.forget(from);
            return self.check(to, Hold::IfFresh);
        }
        self.forget(to);
        if !self.tree.has_folder(to.folder) || !self.tree.has_folder(folder) {
            return self.check(to, Hold::IfFresh);
        }
        self.tree.move_folder(folder, to);
        self.skips.renamed(old, new);
        self.changes.push(Change::RenamedFolder { root: self.id, from: old.to_owned(), to: new.to_owned() });
        self.flush_if_full();
        // Its own name, and a mount on it, are looked at by the folder's new watch only if that is another one.
        if self.is_replaced(folder, new) {
            self.scan(folder, Depth::All, Hold::IfFresh);
        }
    }

    /// Nothing is there any more, neither file nor folder.
    pub(super) fn forget(&mut self, spot: &Spot) {
        self.held.release(spot);
        self.forget_but_hold(spot);
    }

    fn forget_but_hold(&mut self, spot: &Spot) {
        if let Some(folder) = self.tree.child(spot.folder, &spot.name) {
            return self.forget_folder(folder);
        }
        let Some(entry) = self.tree.take(spot) else { return };
        let Some(path) = self.tree.path_at(spot) else { return };
        self.gone(path, entry);
    }

    fn gone(&mut self, path: std::path::PathBuf, entry: Entry) {
        match entry.kind {
            Kind::Skipped(reason) => self.skips.remove(&path, reason),
            Kind::Folder => {}
            _ => self.changes.push(Change::Removed { root: self.id, path }),
        }
        self.flush_if_full();
    }

    fn forget_folder(&mut self, top: FolderId) {
        let Some(path) = self.tree.path_of(top) else { return };
        let mut folders = vec![(top, path)];
        while let Some((folder, path)) = folders.pop() {
            for spot in self.held.spots_in(folder) {
                self.held.release(&spot);
            }
            let Some(taken) = self.tree.take_folder(folder) else { continue };
            if let (Some(watch), Some(id)) = (&self.watch, taken.watch) {
                watch.forget(id);
            }
            for (name, entry) in taken.names.iter() {
                match taken.child(entry) {
                    Some(child) => folders.push((child, path.join(name))),
                    None => self.gone(path.join(name), entry),
                }
            }
        }
    }

    /// A file is not shared for now; it is still held back.
    pub(super) fn take_off(&mut self, spot: &Spot) {
        if let Some(path) = self.tree.path_at(spot)
            && self.tree.take(spot).is_some()
        {
            self.changes.push(Change::Removed { root: self.id, path });
        }
    }

    /// Something is there that is not shared.
    pub(super) fn skip(&mut self, spot: &Spot, reason: SkipReason, why: Option<String>) {
        if let Some(entry) = self.tree.at(spot)
            && entry.kind == Kind::Skipped(reason)
        {
            self.held.release(spot);
            return self.tree.see(spot.folder, &spot.name);
        }
        self.forget(spot);
        let Some(path) = self.tree.path_at(spot) else { return };
        self.tree.put(spot.folder, &spot.name, Entry::new(Kind::Skipped(reason), Print::default(), 0));
        self.skips.add(path, reason, why);
    }

    /// Has a folder moved on without our having been told yet?
    fn is_elsewhere(&self, folder: FolderId, path: &Path) -> bool {
        folder != self.tree.root() && self.tree.watch_of(folder).is_some() && self.is_replaced(folder, path)
    }

    /// Is a folder other than the one that is watched by its name?
    pub(super) fn is_replaced(&self, folder: FolderId, path: &Path) -> bool {
        let Some(watch) = &self.watch else { return true };
        match watch.folder(&self.root.join(path)) {
            Ok(id) => {
                let same = self.tree.watch_of(folder) == Some(id);
                if !same && self.tree.watched(id).is_none() {
                    // It is set when the folder is read.
                    watch.forget(id);
                }
                !same
            }
            Err(_) => true,
        }
    }
}
