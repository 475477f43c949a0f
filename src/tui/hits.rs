//! The hits of the latest search: one row for each content, however many have it. Bounded: what comes above
//! [`HITS`] is only counted.

use std::collections::{BTreeSet, HashMap};

use crate::app::view::{HitView, SearchDone};

/// Hits that are kept.
pub const HITS: usize = 10_000;

/// A content, and how many have it.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its first hit.
    pub first: HitView,
    /// Its hits.
    pub sources: usize,
    /// Whether it was chosen with the space bar.
    pub chosen: bool,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Hits {
    /// What was asked, in words.
    pub title: String,
    /// Our number of the search; what comes for another is of yesterday.
    pub serial: u64,
    /// In the order in which their first hits came.
    pub rows: Vec<Row>,
    /// Hits that were taken, all sources counted.
    pub taken: usize,
    /// Hits that came when there was no room.
    pub beyond: usize,
    /// Whether more may come.
    pub running: bool,
    /// How it ended.
    pub done: Option<SearchDone>,
    by_urn: HashMap<String, usize>,
}

impl Hits {
    /// Forgets all that was found and begins anew.
    pub fn begin(&mut self, title: String) -> u64 {
        *self = Self { title, serial: self.serial + 1, running: true, ..Self::default() };
        self.serial
    }

    /// Takes a hit; one of a content that is known adds a source.
    pub fn take(&mut self, hit: HitView) {
        if self.taken >= HITS {
            self.beyond += 1;
            return;
        }
        self.taken += 1;
        if let Some(&at) = hit.urn.as_ref().and_then(|urn| self.by_urn.get(urn)) {
            self.rows[at].sources += 1;
            return;
        }
        if let Some(urn) = &hit.urn {
            self.by_urn.insert(urn.clone(), self.rows.len());
        }
        self.rows.push(Row { first: hit, sources: 1, chosen: false });
    }

    /// The numbers to get: of those chosen, or else of the row at the cursor. They are chosen no more.
    pub fn take_chosen(&mut self, cursor: usize) -> Vec<String> {
        let mut numbers: BTreeSet<u32> = BTreeSet::new();
        for row in self.rows.iter_mut().filter(|row| row.chosen) {
            row.chosen = false;
            numbers.insert(row.first.hit);
        }
        if numbers.is_empty() {
            numbers.extend(self.rows.get(cursor).map(|row| row.first.hit));
        }
        numbers.into_iter().map(|number| number.to_string()).collect()
    }
}
