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

    /// What is in a folder and in those in it, and its bytes.
    pub fn in_folder(&self, folder: &str) -> (Vec<String>, u64) {
        let is_in = |hit: &HitView| {
            hit.folder.strip_prefix(folder).is_some_and(|rest| matches!(rest.chars().next(), None | Some('/')))
        };
        let inside = self.rows.iter().map(|row| &row.first).filter(|hit| is_in(hit));
        let (files, sizes): (Vec<String>, Vec<u64>) =
            inside.map(|hit| (self.what(hit), hit.size)).filter(|(what, _)| !what.is_empty()).unzip();
        (files, sizes.into_iter().fold(0, u64::saturating_add))
    }

    /// What it is got by.
    fn what(&self, hit: &HitView) -> String {
        match self.kept {
            true => hit.urn.clone().unwrap_or_default(),
            false => hit.hit.to_string(),
        }
    }

    /// The numbers to get: of those chosen, or else of the row at the cursor. They are chosen no more.
    pub fn take_chosen(&mut self, cursor: usize) -> Vec<String> {
        let of = |row: &Row| (row.first.hit, self.what(&row.first));
        let mut chosen: BTreeMap<u32, String> = self.rows.iter().filter(|row| row.chosen).map(of).collect();
        if chosen.is_empty() {
            chosen.extend(self.rows.get(cursor).map(of));
        }
        self.rows.iter_mut().for_each(|row| row.chosen = false);
        chosen.into_values().filter(|what| !what.is_empty()).collect()
    }
}
