//! A file that is played while it is fetched: what is fetched first, and what may be shown.
//!
//! Readers tell where they are ([`Input::Prefer`](super::Input::Prefer)). Bytes within reach of the first reader come
//! before all others, then those within reach of the next, then the rest from the first reader on, then the front. While
//! somebody reads, requests are short, so that a source is soon free for another place and its connection stays open;
//! where the rest of one takes long, and nobody else is near, it is cut off where it is. What was fetched stays.

use std::ops::Range;
use std::time::Duration;

use super::share::{WORTH_SHARING, time_left};
use super::sources::{Contact, Known};
use super::{Block, Download, Output, Phase};
use crate::base::Instant;
use crate::wire::Blake3;

/// Readers whose places count.
pub const MAX_PREFERRED: usize = 16;
/// What a reader is to have before another one has its turn, in blocks.
const REACH: u64 = 8;
/// A request is for so many blocks while somebody reads ...
const PLAYED: u64 = 2;
/// ... or for as much as its source brings in that time: so long a reader that jumps waits at most until it is free.
const PLAYED_FOR: Duration = Duration::from_millis(500);

/// When a reader is shown the bytes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shows {
    /// Each block as soon as it was held against the file's tree; or all of it, as it was checked.
    Proven,
    /// Not known yet: a tree may come, or no source has answered.
    Open,
    /// No source has a tree: when all of it is there and was checked.
    AtTheEnd,
}

impl Download {
    pub(super) fn prefer(&mut self, mut from: Vec<u64>) {
        from.truncate(MAX_PREFERRED);
        self.preferred = from;
    }

    /// The first range that `missing` finds, from the places on that are preferred, and then from the front.
    pub(super) fn preferred_first(&self, missing: impl Fn(u64) -> Option<Range<u64>>) -> Option<Range<u64>> {
        let reach = self.map.block_size().saturating_mul(REACH);
        let near = |from: &u64| missing(*from).filter(|gap| gap.start < from.saturating_add(reach));
        let ahead = || self.preferred.first().and_then(|from| missing(*from));
        self.preferred.iter().find_map(near).or_else(ahead).or_else(|| missing(0))
    }

    /// Bytes of one request at most while somebody reads.
    pub(super) fn most_played(&self, known: &Known) -> Option<u64> {
        // Who was fast once may not be for long.
        let bytes = known.rate.map_or(0, |rate| (rate * PLAYED_FOR.as_secs_f64()) as u64);
        let blocks = bytes.min(known.progress.saturating_mul(2)) / self.map.block_size();
        (!self.preferred.is_empty()).then(|| self.map.block_size().saturating_mul(blocks.max(PLAYED)))
    }

    /// When nobody will soon send what the first reader waits for, the source that is busy longest with something else
    /// is to stop there: it is asked for that next.
    pub(super) fn make_way(&mut self, now: Instant, out: &mut Vec<Output>) {
        let Some(from) = self.preferred.first().filter(|_| self.partial == super::Partial::Open) else { return };
        let reach = self.map.block_size().saturating_mul(REACH);
        let gap = self.map.gap_from(*from, &[]).filter(|gap| gap.start < from.saturating_add(reach));
        let Some(needed) = gap.map(|gap| gap.start) else { return };
        let receiving = |known: &&Known| matches!(known.contact, Contact::Receiving(_));
        let comes = |known: &Known| match &known.contact {
            Contact::Asked(range) => range.contains(&needed),
            // Whose speed is not known yet may be fast.
            Contact::Receiving(_) if known.left().contains(&needed) => known
                .rate_at(now)
                .is_none_or(|rate| (needed - known.left().start) as f64 <= rate * WORTH_SHARING.as_secs_f64()),
            // It has been cut off already.
            Contact::Receiving(range) => known.left().is_empty() && !range.is_empty(),
            _ => false,
        };
        if self.sources.iter().any(comes) {
            return;
        }
        let may_have = |known: &&Known| {
            known.available.as_ref().is_none_or(|parts| parts.iter().any(|part| part.contains(&needed)))
        };
        let busy = self.sources.iter().filter(receiving).filter(may_have);
        let longest = busy.filter_map(|known| Some((time_left(known, now)?, known.id))).max();
        let Some((_, id)) = longest.filter(|(time, _)| *time >= WORTH_SHARING) else { return };
        let Some(known) = self.sources.get_mut(id) else { return };
        let stop = known.left().start;
        if let Contact::Receiving(range) = &mut known.contact {
            range.end = stop;
            known.hoped = known.hoped.min(range.end.saturating_sub(range.start));
            out.push(Output::Shorten { source: id, end: stop });
        }
    }

    /// When a reader is shown something.
    pub fn shows(&self) -> Shows {
        if self.is_checked() || self.tree().is_some() {
            return Shows::Proven;
        }
        let answered = self.sources.iter().any(|known| known.size.is_some());
        let may_come = self.tree_may_come() || !answered;
        match may_come && !self.state().is_over() && self.expected.urn().is_some() && self.map.len() > 1 {
            true => Shows::Open,
            false => Shows::AtTheEnd,
        }
    }

    /// The BLAKE3 of a block, if it is there and known to be right: it was held against the tree, or all of the file
    /// was checked. What cannot be checked alone is not shown before.
    pub fn shown(&self, index: usize) -> Option<Blake3> {
        let Block::Stored(hash) = self.map.block(index) else { return None };
        (self.is_checked() || self.tree().is_some() && self.tree.is_right(index)).then_some(hash)
    }

    fn is_checked(&self) -> bool {
        matches!(self.phase, Phase::Done | Phase::Finishing)
    }
}
