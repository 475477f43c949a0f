//! All downloads: by number, and by what they are of, so that a new one need not be held against all others.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use super::live::Live;
use super::record::{Record, SourceRecord};
use crate::net::rt::Task;
use crate::transfer::{Expected, Source};
use crate::wire::{Blake3, Sha1, Tth};

/// Downloads of this run that are over are remembered up to this many: who asked for a folder of as many still hears how
/// each of them ended.
const KEPT_HERE: usize = 10_000;

/// What a download may be found by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Sha1(Sha1),
    Tth(Tth),
    Blake3(Blake3),
    /// What sources are asked for, of one without a hash.
    Target(String),
}

/// All downloads.
#[derive(Default)]
pub(super) struct Table {
    downloads: BTreeMap<u64, Arc<Live>>,
    pub(super) tasks: BTreeMap<u64, Task<()>>,
    keys: BTreeSet<(Key, u64)>,
    /// The same by number.
    keys_of: BTreeMap<u64, Vec<Key>>,
    /// Those that are over, as far as that was written down.
    over: BTreeSet<u64>,
    /// What has changed and is not written down.
    pub(super) changed: BTreeSet<u64>,
    /// Those whose finished files are given to others, the oldest first.
    pub(super) given: VecDeque<u64>,
    pub(super) next_id: u64,
    /// The end of the numbers that the state has set apart for us, of which the next one is the first that is free ...
    pub(super) saved_id: u64,
    /// ... and more of them behind those that other processes took meanwhile.
    pub(super) more: Range<u64>,
    /// Numbers given in this run.
    pub(super) given_ids: u64,
    pub(super) closed: bool,
}

impl Table {
    /// One more. `record` is its own: whoever holds the table waits for no download.
    pub(super) fn insert(&mut self, live: &Arc<Live>, record: &Record) {
        self.downloads.insert(live.id, Arc::clone(live));
        let expected = record.expected();
        keys(&expected).for_each(|key| self.is_found_by(live.id, key));
        if expected.urn().is_none() {
            let sources = record.sources.iter().filter_map(SourceRecord::read);
            sources.for_each(|source| self.may_be_asked_for(live.id, &source));
        }
        self.is_over(live.id, record.standing.is_over());
    }

    /// A download without a hash has this source too.
    pub(super) fn may_be_asked_for(&mut self, id: u64, source: &Source) {
        self.is_found_by(id, Key::Target(source.ask.target()));
    }

    fn is_found_by(&mut self, id: u64, key: Key) {
        if self.keys.insert((key.clone(), id)) {
            self.keys_of.entry(id).or_default().push(key);
        }
    }

    /// Whether it is over, as it is written down.
    pub(super) fn is_over(&mut self, id: u64, over: bool) {
        if over {
            self.over.insert(id)
        } else {
            self.over.remove(&id)
        };
    }

    pub(super) fn find(&self, id: u64) -> Option<Arc<Live>> {
        self.downloads.get(&id).cloned()
    }

    /// How many are not over, as far as that was written down.
    pub(super) fn unfinished(&self) -> usize {
        self.downloads.len().saturating_sub(self.over.len())
    }

    /// In the order of their ids.
    pub(super) fn all(&self) -> Vec<Arc<Live>> {
        self.downloads.values().cloned().collect()
    }

    /// Those of these numbers, in the order of their ids.
    pub(super) fn of(&self, ids: &[RangeInclusive<u64>]) -> Vec<Arc<Live>> {
        let ranges = ids.iter().filter(|ids| !ids.is_empty());
        let found: BTreeMap<u64, &Arc<Live>> =
            ranges.flat_map(|ids| self.downloads.range(ids.clone())).map(|(id, live)| (*id, live)).collect();
        found.into_values().cloned().collect()
    }

    /// Those that have a hash of it, in the order of their ids; they may contradict it in another.
    pub(super) fn like(&self, content: &Expected) -> Vec<Arc<Live>> {
        self.by(keys(content))
    }

    /// Those without a hash that one of the sources may be asked for.
    pub(super) fn asked_for(&self, sources: &[Source]) -> Vec<Arc<Live>> {
        self.by(sources.iter().map(|source| Key::Target(source.ask.target())))
    }

    fn by(&self, keys: impl Iterator<Item = Key>) -> Vec<Arc<Live>> {
        let ids: BTreeSet<u64> = keys.flat_map(|key| self.ids(key)).collect();
        ids.iter().filter_map(|id| self.find(*id)).collect()
    }

    fn ids(&self, key: Key) -> impl Iterator<Item = u64> {
        self.keys.range((key.clone(), 0)..=(key, u64::MAX)).map(|(_, id)| *id)
    }

    /// Takes those away that are over and more than are kept, the oldest first.
    pub(super) fn take_too_old(&mut self) -> (Vec<Arc<Live>>, Vec<Task<()>>) {
        let (mut gone, mut tasks) = (Vec::new(), Vec::new());
        while self.over.len() > KEPT_HERE
            && let Some(id) = self.over.pop_first()
        {
            self.changed.remove(&id);
            for key in self.keys_of.remove(&id).unwrap_or_default() {
                self.keys.remove(&(key, id));
            }
            gone.extend(self.downloads.remove(&id));
            tasks.extend(self.tasks.remove(&id));
        }
        (gone, tasks)
    }
}

fn keys(content: &Expected) -> impl Iterator<Item = Key> + use<> {
    let hashes = [content.sha1.map(Key::Sha1), content.tth.map(Key::Tth), content.blake3.map(Key::Blake3)];
    hashes.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::Ask;

    fn record(id: u64, sha1: u8, standing: &str) -> Record {
        let mut record: Record = serde_json::from_value(serde_json::json!({
            "id": id, "name": "a", "size": 1, "dir": "/", "standing": standing, "created_ms": 0
        }))
        .expect("a record");
        record.set_expected(&of(sha1));
        record
    }

    fn of(sha1: u8) -> Expected {
        Expected { sha1: (sha1 > 0).then_some(Sha1([sha1; 20])), ..Expected::default() }
    }

    fn ids(found: &[Arc<Live>]) -> Vec<u64> {
        found.iter().map(|live| live.id).collect()
    }

    fn insert(table: &mut Table, record: &Record) {
        table.insert(&Live::new(record.clone(), std::time::Instant::now()), record);
    }

    #[test]
    fn a_download_is_found_by_what_it_is_of() {
        let mut table = Table::default();
        [(5, 1), (3, 1), (4, 2)].iter().for_each(|(id, sha1)| insert(&mut table, &record(*id, *sha1, "unfinished")));
        assert_eq!(ids(&table.like(&of(1))), [3, 5]);
        assert_eq!(ids(&table.like(&of(2))), [4]);
        assert!(table.like(&of(3)).is_empty() && table.like(&of(0)).is_empty());
        let tree = Expected { tth: Some(Tth([1; 24])), ..of(2) };
        assert_eq!(ids(&table.like(&tree)), [4]);
    }

    #[test]
    fn numbers_may_overlap_and_be_of_none() {
        let mut table = Table::default();
        (1..=9).for_each(|id| insert(&mut table, &record(id, 1, "unfinished")));
        for (wanted, found) in [
            (vec![2..=4, 3..=3], vec![2, 3, 4]),
            (vec![8..=20, 1..=1], vec![1, 8, 9]),
            (vec![RangeInclusive::new(5, 3), 10..=u64::MAX], vec![]),
            (vec![], vec![]),
        ] {
            assert_eq!(ids(&table.of(&wanted)), found, "{wanted:?}");
        }
    }

    #[test]
    fn without_a_hash_it_is_found_by_what_its_sources_are_asked_for() {
        let source = |target: &str| Source::new("10.0.0.1:1".parse().expect("an address"), Ask::Target(target.into()));
        let mut table = Table::default();
        let mut nameless = record(7, 0, "unfinished");
        nameless.sources = vec![SourceRecord::from(&source("/a"))];
        insert(&mut table, &nameless);
        table.may_be_asked_for(7, &source("/b"));
        for (target, found) in [("/a", vec![7]), ("/b", vec![7]), ("/c", vec![])] {
            assert_eq!(ids(&table.asked_for(&[source(target)])), found, "{target}");
        }
    }

    #[test]
    fn of_those_that_are_over_the_oldest_go_and_nothing_of_them_stays() {
        let mut table = Table::default();
        let most = KEPT_HERE as u64;
        (1..=most + 2).for_each(|id| insert(&mut table, &record(id, (id % 200 + 1) as u8, "done")));
        insert(&mut table, &record(most + 3, 9, "unfinished"));
        table.is_over(2, false);
        assert_eq!(ids(&table.take_too_old().0), [1]);
        assert!(table.take_too_old().0.is_empty());
        assert!(table.find(1).is_none() && table.find(2).is_some());
        assert_eq!((table.downloads.len(), table.keys.len()), (KEPT_HERE + 2, KEPT_HERE + 2));
        assert_eq!(table.unfinished(), 2);
        assert!(!ids(&table.like(&of(2))).contains(&1));
    }
}
