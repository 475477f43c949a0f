//! How a question travelled, put together from the servents' own counters and events.
//!
//! Every servent says how many hops a question had crossed when it first heard it. Every link counts, at each
//! of its ends, the questions that left and arrived, and how many of them had been heard before. A copy that
//! leaves a servent at hop h arrives at hop h + 1: that is all it takes.

use std::collections::BTreeMap;

use crate::app::view::PeerView;

/// What one servent counted on the link to another: (questions sent, received, duplicates among those).
pub type Counts = BTreeMap<(usize, usize), (u64, u64, u64)>;

/// The counters of all links; `owner` knows whose address it is.
pub fn counts(peers: &[Vec<PeerView>], owner: impl Fn(&str) -> Option<usize>) -> Counts {
    let mut counts = Counts::new();
    for (node, peers) in peers.iter().enumerate() {
        for peer in peers {
            if let Some(other) = owner(&peer.addr) {
                counts.insert((node, other), (peer.queries_out, peer.queries_in, peer.duplicates));
            }
        }
    }
    counts
}

/// One step of a flood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Copies that travelled.
    pub copies: u64,
    /// Servents that heard the question for the first time.
    pub first: Vec<usize>,
    /// Copies that came to somebody who had heard it.
    pub suppressed: u64,
}

/// A flood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flood {
    /// Step by step, beginning with hop 1.
    pub hops: Vec<Hop>,
    /// Whether both ends of every link counted the same.
    pub ends_agree: bool,
}

impl Flood {
    /// From the counters before and after, and the hop at which each servent heard the question (the one that
    /// asked: 0).
    pub fn between(before: &Counts, after: &Counts, heard: &BTreeMap<usize, u8>) -> Self {
        let change = |from: usize, to: usize| {
            let (old, new) = (before.get(&(from, to)), after.get(&(from, to)));
            let (old, new) = (old.copied().unwrap_or_default(), new.copied().unwrap_or_default());
            (new.0.saturating_sub(old.0), new.1.saturating_sub(old.1), new.2.saturating_sub(old.2))
        };
        let last = heard.values().copied().max().unwrap_or(0);
        let mut hops = Vec::new();
        for hop in 1..=last + 1 {
            let mut step = Hop { copies: 0, first: Vec::new(), suppressed: 0 };
            step.first.extend(heard.iter().filter(|(_, at)| **at == hop).map(|(node, _)| *node));
            for &(from, to) in after.keys() {
                if heard.get(&from) == Some(&(hop - 1)) {
                    step.copies += change(from, to).0;
                    step.suppressed += change(to, from).2;
                }
            }
            if step.copies > 0 {
                hops.push(step);
            }
        }
        let ends_agree = after.keys().all(|&(a, b)| change(a, b).0 == change(b, a).1);
        Self { hops, ends_agree }
    }

    /// Copies in all.
    pub fn copies(&self) -> u64 {
        self.hops.iter().map(|hop| hop.copies).sum()
    }

    /// Servents that heard it, without the one that asked.
    pub fn reached(&self) -> usize {
        self.hops.iter().map(|hop| hop.first.len()).sum()
    }

    /// Duplicates in all.
    pub fn suppressed(&self) -> u64 {
        self.hops.iter().map(|hop| hop.suppressed).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_triangle_with_a_tail_is_told_step_by_step() {
        // 0 asks 1 and 2; those ask each other, in vain, and 2 asks 3. There was traffic before.
        let before = Counts::from([((0, 1), (5, 0, 0)), ((1, 0), (0, 5, 2))]);
        let after = Counts::from([
            ((0, 1), (6, 0, 0)),
            ((0, 2), (1, 0, 0)),
            ((1, 0), (0, 6, 2)),
            ((1, 2), (1, 1, 1)),
            ((2, 0), (0, 1, 0)),
            ((2, 1), (1, 1, 1)),
            ((2, 3), (1, 0, 0)),
            ((3, 2), (0, 1, 0)),
        ]);
        let heard = BTreeMap::from([(0, 0), (1, 1), (2, 1), (3, 2)]);
        let flood = Flood::between(&before, &after, &heard);
        assert_eq!(
            flood.hops,
            [Hop { copies: 2, first: vec![1, 2], suppressed: 0 }, Hop { copies: 3, first: vec![3], suppressed: 2 },]
        );
        assert!(flood.ends_agree);
        assert_eq!((flood.copies(), flood.reached(), flood.suppressed()), (5, 3, 2));
        let mut lost = after.clone();
        lost.insert((3, 2), (0, 0, 0));
        assert!(!Flood::between(&before, &lost, &heard).ends_agree);
    }
}
