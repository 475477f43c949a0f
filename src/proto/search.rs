//! Our own searches: which GUIDs are ours, and whose hits they bring.

use std::collections::VecDeque;

use crate::wire::Guid;

use super::SearchId;

/// The searches that still take hits, oldest first. A handful: it is walked, not hashed.
#[derive(Debug)]
pub(super) struct Searches {
    live: VecDeque<Live>,
    bound: usize,
}

#[derive(Debug)]
struct Live {
    guid: Guid,
    id: SearchId,
    /// Files in the hits for it.
    found: u16,
}

impl Searches {
    pub(super) fn new(bound: usize) -> Self {
        Self { live: VecDeque::new(), bound: bound.max(1) }
    }

    /// A search went out under `guid`. When there are too many the oldest takes no more hits.
    pub(super) fn begin(&mut self, guid: Guid, id: SearchId) {
        while self.live.len() >= self.bound {
            self.live.pop_front();
        }
        self.live.push_back(Live { guid, id, found: 0 });
    }

    /// The search takes no more hits. The GUIDs under which it went out.
    pub(super) fn end(&mut self, id: SearchId) -> Vec<Guid> {
        let ended = self.live.iter().filter(|live| live.id == id).map(|live| live.guid).collect();
        self.live.retain(|live| live.id != id);
        ended
    }

    /// A hit with so many files came for the query of that GUID.
    pub(super) fn found(&mut self, guid: &Guid, files: u8) {
        if let Some(live) = self.live.iter_mut().rev().find(|live| live.guid == *guid) {
            live.found = live.found.saturating_add(files.into());
        }
    }

    /// How many files the hits for the query of that GUID had, if it still takes some.
    pub(super) fn files_of(&self, guid: &Guid) -> Option<u16> {
        self.live.iter().rev().find(|live| live.guid == *guid).map(|live| live.found)
    }

    /// The search that went out under `guid`, if it still takes hits.
    pub(super) fn of(&self, guid: &Guid) -> Option<SearchId> {
        self.live.iter().rev().find(|live| live.guid == *guid).map(|live| live.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_search_is_forgotten_and_an_ended_one_takes_no_hits() {
        let [a, b, c] = [1, 2, 3].map(|n| Guid([n; 16]));
        let mut searches = Searches::new(2);
        searches.begin(a, SearchId(1));
        searches.begin(b, SearchId(2));
        assert_eq!(searches.of(&a), Some(SearchId(1)));
        searches.begin(c, SearchId(3));
        assert_eq!([a, b, c].map(|g| searches.of(&g)), [None, Some(SearchId(2)), Some(SearchId(3))]);
        searches.found(&b, 200);
        searches.found(&b, 100);
        assert_eq!([a, b, c].map(|g| searches.files_of(&g)), [None, Some(300), Some(0)]);
        assert_eq!(searches.end(SearchId(2)), [b]);
        assert_eq!(searches.of(&b), None);
    }
}
