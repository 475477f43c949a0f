//! What is in one folder, by name, in few bytes: twenty for each entry, its name, and five to ten to find it.
//!
//! A share of a million files has a million of these, so there is no allocation for each and no whole stamp.

use std::ffi::OsStr;
use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

use crate::disk::policy::SkipReason;
use crate::disk::stamp::Print;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A folder that is read.
    Folder,
    /// A file whose content names are known,
    Hashed,
    /// one that is to be hashed,
    Waiting,
    /// and one that is being hashed.
    Hashing,
    /// Something that is not shared.
    Skipped(SkipReason),
}

impl Kind {
    /// Is it a file that is shared?
    pub(super) fn is_file(self) -> bool {
        matches!(self, Self::Hashed | Self::Waiting | Self::Hashing)
    }

    /// Is it a file still to be hashed?
    pub(super) fn is_unhashed(self) -> bool {
        matches!(self, Self::Waiting | Self::Hashing)
    }
}

/// Something in a folder.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    /// Met while the folder is read, this time.
    pub(super) seen: bool,
    /// How a file was when it was looked at last; a folder's number.
    pub(super) print: Print,
    /// A file's bytes; beyond 16 MiB to within a ten-millionth.
    pub(super) bytes: f32,
}

impl Entry {
    pub(super) fn new(kind: Kind, print: Print, size: u64) -> Self {
        Self { kind, seen: true, print, bytes: size as f32 }
    }

    pub(super) fn size(&self) -> u64 {
        self.bytes as u64
    }
}

/// An entry and where its name is: flat, so that there is no room between the fields.
#[derive(Clone, Copy, Debug)]
struct Slot {
    at: u32,
    length: u16,
    kind: Kind,
    seen: bool,
    print: Print,
    bytes: f32,
}

impl Slot {
    fn entry(&self) -> Entry {
        let Self { kind, seen, print, bytes, .. } = *self;
        Entry { kind, seen, print, bytes }
    }
}

/// The entries of a folder.
#[derive(Debug, Default)]
pub(super) struct Names {
    slots: Vec<Slot>,
    /// All names, one behind the other.
    text: Vec<u8>,
    /// Bytes in it that are no entry's any more.
    gone: usize,
    table: HashTable<u32>,
}

/// Text is put together when so much of it is nobody's.
const MIN_GONE: usize = 4096;

impl Names {
    pub(super) fn get(&self, name: &OsStr, state: &RandomState) -> Option<Entry> {
        self.find(name.as_encoded_bytes(), state).map(|at| self.slots[at].entry())
    }

    /// It is met.
    pub(super) fn see(&mut self, name: &OsStr, state: &RandomState) {
        if let Some(at) = self.find(name.as_encoded_bytes(), state) {
            self.slots[at].seen = true;
        }
    }

    /// Puts an entry; tells the one that it replaces.
    pub(super) fn insert(&mut self, name: &OsStr, entry: Entry, state: &RandomState) -> Option<Entry> {
        let name = name.as_encoded_bytes();
        let Entry { kind, seen, print, bytes } = entry;
        if let Some(at) = self.find(name, state) {
            let slot = &mut self.slots[at];
            let old = slot.entry();
            *slot = Slot { kind, seen, print, bytes, ..*slot };
            return Some(old);
        }
        let at = u32::try_from(self.text.len()).expect("the names in one folder fill less than four gigabytes");
        let length = u16::try_from(name.len()).expect("a name is shorter than 64 KiB");
        self.text.extend_from_slice(name);
        self.slots.push(Slot { at, length, kind, seen, print, bytes });
        let number = (self.slots.len() - 1) as u32;
        let Self { slots, text, table, .. } = self;
        table.insert_unique(state.hash_one(name), number, |at| state.hash_one(name_at(slots, text, *at as usize)));
        None
    }

    pub(super) fn remove(&mut self, name: &OsStr, state: &RandomState) -> Option<Entry> {
        let name = name.as_encoded_bytes();
        let Self { slots, text, table, .. } = self;
        let found = table.find_entry(state.hash_one(name), |at| name_at(slots, text, *at as usize) == name);
        let (at, _) = found.ok()?.remove();
        let last = self.slots.len() - 1;
        if at as usize != last {
            // The last one takes the place that is free.
            let hash = state.hash_one(name_at(&self.slots, &self.text, last));
            if let Some(number) = self.table.find_mut(hash, |number| *number as usize == last) {
                *number = at;
            }
        }
        let slot = self.slots.swap_remove(at as usize);
        self.gone += usize::from(slot.length);
        if self.gone >= MIN_GONE && self.gone > self.text.len() / 2 {
            self.put_together();
        }
        Some(slot.entry())
    }

    /// The entry at a place, counted from 0; places change when something is removed.
    pub(super) fn at(&self, place: usize) -> Option<(&OsStr, Entry)> {
        let slot = self.slots.get(place)?;
        Some((os_name(name_at(&self.slots, &self.text, place)), slot.entry()))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&OsStr, Entry)> {
        (0..self.slots.len()).filter_map(|place| self.at(place))
    }

    /// Nothing is met yet.
    pub(super) fn unsee(&mut self) {
        self.slots.iter_mut().for_each(|slot| slot.seen = false);
    }

    /// Gives back what is allocated beyond need.
    pub(super) fn shrink(&mut self, state: &RandomState) {
        self.slots.shrink_to_fit();
        self.text.shrink_to_fit();
        let Self { slots, text, table, .. } = self;
        table.shrink_to_fit(|at| state.hash_one(name_at(slots, text, *at as usize)));
    }

    fn find(&self, name: &[u8], state: &RandomState) -> Option<usize> {
        let is = |at: &u32| name_at(&self.slots, &self.text, *at as usize) == name;
        self.table.find(state.hash_one(name), is).map(|at| *at as usize)
    }

    fn put_together(&mut self) {
        let mut text = Vec::with_capacity(self.text.len() - self.gone);
        for slot in &mut self.slots {
            let at = slot.at as usize;
            slot.at = text.len() as u32;
            text.extend_from_slice(&self.text[at..at + usize::from(slot.length)]);
        }
        self.text = text;
        self.gone = 0;
    }
}

fn name_at<'a>(slots: &[Slot], text: &'a [u8], place: usize) -> &'a [u8] {
    let slot = &slots[place];
    &text[slot.at as usize..][..usize::from(slot.length)]
}

#[cfg(unix)]
fn os_name(bytes: &[u8]) -> &OsStr {
    std::os::unix::ffi::OsStrExt::from_bytes(bytes)
}

/// Elsewhere a name that is no Unicode is left out: it could not be told apart.
#[cfg(not(unix))]
fn os_name(bytes: &[u8]) -> &OsStr {
    OsStr::new(std::str::from_utf8(bytes).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::ffi::OsString;

    use super::*;
    use crate::base::Rng;

    #[test]
    fn an_entry_is_small() {
        assert_eq!(std::mem::size_of::<Slot>(), 20);
    }

    #[test]
    fn names_come_and_go_as_in_a_map() {
        let (mut names, mut model, state) = (Names::default(), BTreeMap::new(), RandomState::new());
        let mut rng = Rng::from_number(1);
        for step in 0..20_000_u32 {
            let name = OsString::from(format!("{}{}", "n".repeat(rng.below(40)), rng.below(50)));
            if rng.below(3) == 0 {
                assert_eq!(names.remove(&name, &state), model.remove(&name));
            } else {
                let print = Print { body: step, ctime: 7 };
                let entry = Entry::new(Kind::Skipped(SkipReason::Hidden), print, u64::from(step));
                assert_eq!(names.insert(&name, entry, &state), model.insert(name, entry));
            }
            if step % 1000 == 0 {
                names.shrink(&state);
                let mut held: Vec<_> = names.iter().map(|(name, entry)| (name.to_owned(), entry)).collect();
                held.sort_by(|a, b| a.0.cmp(&b.0));
                assert_eq!(held, model.clone().into_iter().collect::<Vec<_>>());
                assert!(model.iter().all(|(name, entry)| names.get(name, &state) == Some(*entry)));
            }
        }
        assert!(names.text.len() < 50 * 42 * 50, "text of names that are gone is given back");
    }
}
