//! The hits of the latest search: one row for each content, however many have it. Bounded: what comes above
//! [`HITS`] is only counted.

use std::collections::{BTreeMap, HashMap};

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
    /// Whether one of them has a slot free.
    pub free: bool,
    /// Links to the nearest of them.
    pub hops: u8,
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
    /// Whether they are kept hits, whose numbers are of other searches: they are got by their content.
    pub kept: bool,
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
            let row = &mut self.rows[at];
            row.sources += 1;
            row.free |= !hit.source.busy;
            row.hops = row.hops.min(hit.hops);
            return;
        }
        if let Some(urn) = &hit.urn {
            self.by_urn.insert(urn.clone(), self.rows.len());
        }
        let (free, hops) = (!hit.source.busy, hit.hops);
        self.rows.push(Row { first: hit, sources: 1, chosen: false, free, hops });
    }

    /// The numbers to get: of those chosen, or else of the row at the cursor. They are chosen no more.
    pub fn take_chosen(&mut self, cursor: usize) -> Vec<String> {
        let what = |hit: &HitView| match self.kept {
            true => hit.urn.clone().unwrap_or_default(),
            false => hit.hit.to_string(),
        };
        let mut chosen: BTreeMap<u32, String> = BTreeMap::new();
        for row in self.rows.iter_mut().filter(|row| row.chosen) {
            row.chosen = false;
            chosen.insert(row.first.hit, what(&row.first));
        }
        if chosen.is_empty() {
            chosen.extend(self.rows.get(cursor).map(|row| (row.first.hit, what(&row.first))));
        }
        chosen.into_values().filter(|what| !what.is_empty()).collect()
    }
}
