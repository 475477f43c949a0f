//! A shared folder as it is known: folders by number, each with the names in it. A folder that moves keeps its
//! number, and all that is in it comes along.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::hash::RandomState;
use std::path::{Path, PathBuf};

use super::names::{Entry, Kind, Names};
use crate::disk::hash::Left;
use crate::disk::stamp::Print;
use crate::disk::watch::WatchId;

/// A folder's number: its place, and how often that was used before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::disk) struct FolderId(u64);

/// A name in a folder, whether something is there or not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::disk) struct Spot {
    pub(super) folder: FolderId,
    pub(super) name: OsString,
}

impl Spot {
    pub(super) fn new(folder: FolderId, name: &OsStr) -> Self {
        Self { folder, name: name.to_owned() }
    }
}

#[derive(Debug)]
pub(super) struct Folder {
    parent: Option<FolderId>,
    name: Box<OsStr>,
    names: Names,
    watch: Option<WatchId>,
    /// Files in it with [`Kind::Waiting`].
    waiting: u32,
}

#[derive(Debug, Default)]
struct Place {
    used: u32,
    folder: Option<Box<Folder>>,
}

/// What is known of a shared folder.
#[derive(Debug)]
pub(super) struct Tree {
    places: Vec<Place>,
    free: Vec<u32>,
    root: FolderId,
    watched: HashMap<WatchId, FolderId>,
    folders: usize,
    files: u64,
    left: Left,
    state: RandomState,
}

impl FolderId {
    fn place(self) -> usize {
        (self.0 & u64::from(u32::MAX)) as usize
    }

    fn print(self) -> Print {
        Print { body: (self.0 >> 32) as u32, ctime: self.0 as u32 }
    }

    fn of(entry: Entry) -> Option<Self> {
        let number = u64::from(entry.print.body) << 32 | u64::from(entry.print.ctime);
        (entry.kind == Kind::Folder).then_some(Self(number))
    }
}

impl Tree {
    pub(super) fn new() -> Self {
        let mut tree = Self {
            places: Vec::new(),
            free: Vec::new(),
            root: FolderId(0),
            watched: HashMap::new(),
            folders: 0,
            files: 0,
            left: Left::default(),
            state: RandomState::new(),
        };
        tree.root = tree.add_folder(None, OsStr::new(""));
        tree
    }

    /// The shared folder itself.
    pub(super) fn root(&self) -> FolderId {
        self.root
    }

    /// Forgets everything; numbers handed out so far mean nothing any more. Tells the watches that there were.
    pub(super) fn clear(&mut self) -> Vec<WatchId> {
        let watches = self.watched.drain().map(|(watch, _)| watch).collect();
        for (number, place) in self.places.iter_mut().enumerate() {
            if place.folder.take().is_some() {
                self.free.push(number as u32);
            }
        }
        (self.folders, self.files, self.left) = (0, 0, Left::default());
        self.root = self.add_folder(None, OsStr::new(""));
        watches
    }

    /// Files that are shared.
    pub(super) fn files(&self) -> u64 {
        self.files
    }

    /// Files still to be hashed.
    pub(super) fn left(&self) -> Left {
        self.left
    }

    /// Is every folder watched?
    pub(super) fn is_all_watched(&self) -> bool {
        self.watched.len() == self.folders
    }

    pub(super) fn has_folder(&self, folder: FolderId) -> bool {
        self.folder(folder).is_some()
    }

    /// Where a folder is, beneath the root; `None` when it is not known any more.
    pub(super) fn path_of(&self, folder: FolderId) -> Option<PathBuf> {
        let (mut parts, mut at) = (Vec::new(), folder);
        while let Some(parent) = self.folder(at)?.parent {
            parts.push(at);
            at = parent;
        }
        Some(parts.into_iter().rev().filter_map(|part| Some(&*self.folder(part)?.name)).collect())
    }

    pub(super) fn path_at(&self, spot: &Spot) -> Option<PathBuf> {
        let mut path = self.path_of(spot.folder)?;
        path.push(&spot.name);
        Some(path)
    }

    /// The spot of a path beneath the root, if its folder is known.
    pub(super) fn spot_of(&self, path: &Path) -> Option<Spot> {
        let name = path.file_name()?;
        let mut folder = self.root;
        for part in path.parent()?.components() {
            folder = self.child(folder, part.as_os_str())?;
        }
        Some(Spot::new(folder, name))
    }

    /// Where a folder lies in the one above it; `None` for the root and for what is not known any more.
    pub(super) fn spot_of_folder(&self, folder: FolderId) -> Option<Spot> {
        let Folder { parent, name, .. } = self.folder(folder)?;
        Some(Spot { folder: (*parent)?, name: name.to_os_string() })
    }

    /// The folder of that name.
    pub(super) fn child(&self, folder: FolderId, name: &OsStr) -> Option<FolderId> {
        self.entry(folder, name).and_then(FolderId::of)
    }

    pub(super) fn entry(&self, folder: FolderId, name: &OsStr) -> Option<Entry> {
        self.folder(folder)?.names.get(name, &self.state)
    }

    pub(super) fn at(&self, spot: &Spot) -> Option<Entry> {
        self.entry(spot.folder, &spot.name)
    }

    /// Puts a file or something that is skipped; not in place of a folder. Tells what was there.
    pub(super) fn put(&mut self, folder: FolderId, name: &OsStr, entry: Entry) -> Option<Entry> {
        let Self { places, state, .. } = self;
        let held = held_at(places, folder)?;
        let old = held.names.insert(name, entry, state);
        debug_assert!(old.is_none_or(|old| old.kind != Kind::Folder), "a folder is taken out with all that is in it");
        self.count(folder, old, Some(entry));
        old
    }

    /// The folder of that name, made known if it is not; anything else there must have been taken out.
    pub(super) fn make_folder(&mut self, parent: FolderId, name: &OsStr) -> FolderId {
        if let Some(folder) = self.child(parent, name) {
            return folder;
        }
        let folder = self.add_folder(Some(parent), name);
        self.put(parent, name, Entry::new(Kind::Folder, folder.print(), 0));
        folder
    }

    /// Takes out a file or something that is skipped.
    pub(super) fn take(&mut self, spot: &Spot) -> Option<Entry> {
        let Self { places, state, .. } = self;
        let held = held_at(places, spot.folder)?;
        let old = held.names.remove(&spot.name, state)?;
        self.count(spot.folder, Some(old), None);
        Some(old)
    }

    /// Takes out a folder with all that is in it, except the folders in it, which are told: they are to be taken
    /// out next. Tells the entries too, and the watch.
    pub(super) fn take_folder(&mut self, folder: FolderId) -> Option<Taken> {
        let spot = self.spot_of_folder(folder);
        if let Some(spot) = &spot
            && self.child(spot.folder, &spot.name) == Some(folder)
        {
            self.take(spot);
        }
        self.folder(folder)?;
        let watch = self.unwatch(folder);
        let held = self.places.get_mut(folder.place())?.folder.take()?;
        self.free.push(folder.place() as u32);
        self.folders -= 1;
        for (_, entry) in held.names.iter() {
            self.files -= u64::from(entry.kind.is_file());
            if entry.kind.is_unhashed() {
                self.left.files -= 1;
                self.left.bytes -= entry.size();
            }
        }
        Some(Taken { names: held.names, watch })
    }

    /// A folder has another place or name. Nothing may be there; not to be called with a place inside of it.
    pub(super) fn move_folder(&mut self, folder: FolderId, to: &Spot) {
        if let Some(from) = self.spot_of_folder(folder) {
            self.take(&from);
        }
        if let Some(moved) = self.folder_mut(folder) {
            moved.parent = Some(to.folder);
            moved.name = to.name.clone().into_boxed_os_str();
        }
        self.put(to.folder, &to.name, Entry::new(Kind::Folder, folder.print(), 0));
    }

    /// Is `folder` the same as `top`, or somewhere in it?
    pub(super) fn is_within(&self, folder: FolderId, top: FolderId) -> bool {
        let mut at = Some(folder);
        while let Some(here) = at {
            if here == top {
                return true;
            }
            at = self.folder(here).and_then(|folder| folder.parent);
        }
        false
    }

    /// What is in a folder: its places are `0..`, until something is taken out.
    pub(super) fn name_at(&self, folder: FolderId, place: usize) -> Option<(&OsStr, Entry)> {
        self.folder(folder)?.names.at(place)
    }

    /// The names in a folder of which something holds.
    pub(super) fn names(&self, folder: FolderId, holds: impl Fn(Entry) -> bool) -> Vec<OsString> {
        let names = self.folder(folder).into_iter().flat_map(|folder| folder.names.iter());
        names.filter(|(_, entry)| holds(*entry)).map(|(name, _)| name.to_owned()).collect()
    }

    /// All folders that are not watched.
    pub(super) fn unwatched(&self) -> Vec<FolderId> {
        let places = self.places.iter().enumerate();
        let unwatched = places.filter(|(_, place)| place.folder.as_ref().is_some_and(|folder| folder.watch.is_none()));
        unwatched.map(|(number, place)| FolderId(u64::from(place.used) << 32 | number as u64)).collect()
    }

    /// A folder is about to be read: nothing of it is met yet.
    pub(super) fn unsee(&mut self, folder: FolderId) {
        if let Some(folder) = self.folder_mut(folder) {
            folder.names.unsee();
        }
    }

    pub(super) fn see(&mut self, folder: FolderId, name: &OsStr) {
        let Self { places, state, .. } = self;
        if let Some(folder) = held_at(places, folder) {
            folder.names.see(name, state);
        }
    }

    /// A folder is read: what is allocated beyond need is given back.
    pub(super) fn shrink(&mut self, folder: FolderId) {
        let Self { places, state, .. } = self;
        if let Some(folder) = held_at(places, folder) {
            folder.names.shrink(state);
        }
    }

    pub(super) fn has_waiting(&self, folder: FolderId) -> bool {
        self.folder(folder).is_some_and(|folder| folder.waiting > 0)
    }

    /// The folder that a watch is of.
    pub(super) fn watched(&self, watch: WatchId) -> Option<FolderId> {
        self.watched.get(&watch).copied()
    }

    pub(super) fn watch_of(&self, folder: FolderId) -> Option<WatchId> {
        self.folder(folder)?.watch
    }

    /// A folder is watched. Tells the watch that it had before, when that is another, and the folder whose watch
    /// this was.
    pub(super) fn set_watch(&mut self, folder: FolderId, watch: WatchId) -> (Option<WatchId>, Option<FolderId>) {
        let Some(held) = self.folder_mut(folder) else { return (Some(watch), None) };
        let before = held.watch.replace(watch).filter(|before| *before != watch);
        if let Some(before) = before {
            self.watched.remove(&before);
        }
        let other = self.watched.insert(watch, folder).filter(|other| *other != folder);
        if let Some(other) = other.and_then(|other| self.folder_mut(other)) {
            other.watch = None;
        }
        (before, other)
    }

    /// A folder is not watched any more; tells the watch that it had.
    pub(super) fn unwatch(&mut self, folder: FolderId) -> Option<WatchId> {
        let watch = self.folder_mut(folder)?.watch.take()?;
        self.watched.remove(&watch);
        Some(watch)
    }

    fn count(&mut self, folder: FolderId, old: Option<Entry>, new: Option<Entry>) {
        let waits = |entry: Option<Entry>| u32::from(entry.is_some_and(|entry| entry.kind == Kind::Waiting));
        if let Some(held) = self.folder_mut(folder) {
            held.waiting = held.waiting + waits(new) - waits(old);
        }
        if let Some(new) = new {
            self.files += u64::from(new.kind.is_file());
            self.left.files += u64::from(new.kind.is_unhashed());
            self.left.bytes += if new.kind.is_unhashed() { new.size() } else { 0 };
        }
        if let Some(old) = old {
            self.files -= u64::from(old.kind.is_file());
            self.left.files -= u64::from(old.kind.is_unhashed());
            self.left.bytes -= if old.kind.is_unhashed() { old.size() } else { 0 };
        }
    }

    fn add_folder(&mut self, parent: Option<FolderId>, name: &OsStr) -> FolderId {
        let number = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place::default());
            (self.places.len() - 1) as u32
        });
        let place = &mut self.places[number as usize];
        place.used = place.used.wrapping_add(1);
        place.folder =
            Some(Box::new(Folder { parent, name: name.into(), names: Names::default(), watch: None, waiting: 0 }));
        self.folders += 1;
        FolderId(u64::from(place.used) << 32 | u64::from(number))
    }

    fn folder(&self, folder: FolderId) -> Option<&Folder> {
        let place = self.places.get(folder.place())?;
        place.folder.as_deref().filter(|_| u64::from(place.used) == folder.0 >> 32)
    }

    fn folder_mut(&mut self, folder: FolderId) -> Option<&mut Folder> {
        held_at(&mut self.places, folder)
    }
}

fn held_at(places: &mut [Place], folder: FolderId) -> Option<&mut Folder> {
    let place = places.get_mut(folder.place())?;
    let used = u64::from(place.used);
    place.folder.as_deref_mut().filter(|_| used == folder.0 >> 32)
}

/// A folder that was taken out.
pub(super) struct Taken {
    pub(super) names: Names,
    pub(super) watch: Option<WatchId>,
}

impl Taken {
    /// The folder that an entry stands for.
    pub(super) fn child(&self, entry: Entry) -> Option<FolderId> {
        FolderId::of(entry)
    }
}
