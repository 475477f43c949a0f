//! Our own searches: which GUIDs are ours, and whose hits they bring.

use std::collections::VecDeque;

use crate::wire::Guid;

use super::SearchId;

/// The searches that still take hits, oldest first. A handful: it is walked, not hashed.
#[derive(Debug)]
pub(super) struct Searches {
    live: VecDeque<(Guid, SearchId)>,
    bound: usize,
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
        self.live.push_back((guid, id));
    }

    /// The search takes no more hits.
    pub(super) fn end(&mut self, id: SearchId) {
        self.live.retain(|&(_, live)| live != id);
    }

    /// The search that went out under `guid`, if it still takes hits.
    pub(super) fn of(&self, guid: &Guid) -> Option<SearchId> {
        self.live.iter().rev().find(|(live, _)| live == guid).map(|&(_, id)| id)
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
        searches.end(SearchId(2));
        assert_eq!(searches.of(&b), None);
    }
}
