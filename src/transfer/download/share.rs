//! Who is asked for what: the blocks of the file, shared among its sources.
//!
//! Each source is asked for the first bytes that are missing, that it has, and that nobody else is asked for. When
//! there are none left, one that is idle takes over the second part of what the slowest is to send; and one that
//! sends nothing, or would take much longer, is left altogether.

use std::ops::Range;
use std::time::Duration;

use super::sources::{Contact, Known};
use super::{Download, Lost, Output, SourceId};
use crate::base::Instant;

/// Another source takes part of what one has still to send if that would take longer than this.
const WORTH_SHARING: Duration = Duration::from_secs(4);
/// ... and all of it, when it cannot be shared, if it would take longer than this.
const TOO_SLOW: Duration = Duration::from_secs(15);
/// A request is for so many blocks at least, if they are missing.
const FEWEST: u64 = 2;
/// While sources are active and others idle, it looks again after this.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A request to send.
pub(super) struct Assignment {
    pub(super) source: SourceId,
    pub(super) first: u64,
    pub(super) end: Option<u64>,
    pub(super) from: Taken,
}

/// Who was asked for these bytes before.
pub(super) enum Taken {
    /// Nobody.
    Free,
    /// That one; it is to send those before them only.
    PartOf(SourceId),
    /// That one; it is left.
    AllOf(SourceId, Lost),
}

impl Download {
    /// The next request that makes sense now.
    pub(super) fn assign(&self, now: Instant) -> Option<Assignment> {
        let has_room = self.sources.active() < self.config.active_sources.max(1);
        let ready = self.candidates(now);
        if self.size.is_none() && self.sources.active() == 0 {
            return ready.first().map(|source| Assignment { source: *source, first: 0, end: None, from: Taken::Free });
        }
        let taken: Vec<Range<u64>> = self.sources.ranges().collect();
        if has_room && self.size.is_some() {
            for source in &ready {
                if let Some(range) = self.missing_at(*source, &taken) {
                    let (first, end) = (range.start, Some(range.end));
                    return Some(Assignment { source: *source, first, end, from: Taken::Free });
                }
            }
        }
        if self.alone {
            return None;
        }
        let thief = ready.into_iter().filter_map(|id| self.sources.get(id)).find(|known| known.available.is_none())?;
        if has_room && let Some(part) = self.part_of_the_slowest(now, thief) {
            return Some(part);
        }
        self.all_of_a_straggler(now, thief)
    }

    /// Those that may be asked now, the best first.
    fn candidates(&self, now: Instant) -> Vec<SourceId> {
        match self.soloist() {
            Some(one) => self.sources.due(one).filter(|due| *due <= now).map(|_| one).into_iter().collect(),
            None if self.alone && self.sources.active() > 0 => Vec::new(),
            None => self.sources.ready(now),
        }
    }

    /// Whether a source has something that is missing.
    pub(super) fn has_missing(&self, source: SourceId) -> bool {
        self.size.is_none() || self.missing_at(source, &[]).is_some()
    }

    /// The first bytes that are missing, that a source has, and that are not in `taken`.
    fn missing_at(&self, source: SourceId, taken: &[Range<u64>]) -> Option<Range<u64>> {
        let known = self.sources.get(source)?;
        let most = self.most();
        let cut = |range: Range<u64>| range.start..range.end.min(range.start.saturating_add(most));
        let Some(available) = &known.available else { return self.map.gap(taken).map(cut) };
        for part in available {
            let mut from = part.start;
            while let Some(gap) = self.map.gap_from(from, taken).filter(|gap| gap.start < part.end) {
                if gap.start >= part.start {
                    return Some(cut(gap.start..gap.end.min(part.end)));
                }
                // The start of that block is not there, and a block grows from its start.
                from = self.map.range(self.map.index_at(gap.start)).end;
                if from >= part.end {
                    break;
                }
            }
        }
        None
    }

    /// Bytes that one request is for at most.
    fn most(&self) -> u64 {
        let sources = self.sources.iter().filter(|known| known.is_active() || known.can_be_asked()).count() as u64;
        if self.config.active_sources <= 1 || self.alone || sources <= 1 {
            return u64::MAX;
        }
        let block = self.map.block_size();
        let fair = (self.map.size() - self.map.done()).div_ceil(2 * sources).div_ceil(block).saturating_mul(block);
        fair.max(FEWEST * block).min(self.config.request.max(1))
    }

    fn part_of_the_slowest(&self, now: Instant, thief: &Known) -> Option<Assignment> {
        let block = self.map.block_size();
        let receiving = self.sources.iter().filter(|known| matches!(known.contact, Contact::Receiving(_)));
        let slowest = receiving.filter_map(|known| Some((known, time_left(known, now)?)));
        let (victim, time) = slowest.max_by_key(|(_, time)| *time)?;
        let left = victim.left();
        if time < WORTH_SHARING {
            return None;
        }
        let theirs = victim.rate_at(now)?;
        let stays = theirs / (theirs + thief.rate.unwrap_or(theirs));
        let from = left.start + ((left.end - left.start) as f64 * stays) as u64;
        let from = from.div_ceil(block).saturating_mul(block).max(left.start.saturating_add(block));
        (from < left.end).then_some(Assignment {
            source: thief.id,
            first: from,
            end: Some(left.end),
            from: Taken::PartOf(victim.id),
        })
    }

    fn all_of_a_straggler(&self, now: Instant, thief: &Known) -> Option<Assignment> {
        let has_room = self.sources.active() < self.config.active_sources.max(1);
        // Of one who has sent all that it was asked for, only the word is missing that this was all.
        let mut sending = self.sources.iter().filter(|known| known.is_active() && !known.left().is_empty());
        let straggler = sending.find_map(|known| {
            if now.since(known.touched) >= self.config.stalled {
                return Some((known, Lost::Silent(now.since(known.touched))));
            }
            let (time, far) = (time_left(known, now)?, now.since(known.since) >= self.config.stalled);
            // A fast one that merely has much to send is not slow.
            let quicker = thief.rate.is_none_or(|rate| known.rate_at(now).is_some_and(|theirs| theirs * 2.0 < rate));
            let short = known.left().end - known.left().start <= self.map.block_size();
            (far && quicker && short && has_room && time > TOO_SLOW)
                .then(|| (known, Lost::Slow(now.since(known.since))))
        });
        let (victim, how) = straggler?;
        let left = victim.left();
        let (first, end) = (left.start, Some(left.end).filter(|end| *end <= self.map.size()));
        Some(Assignment { source: thief.id, first, end, from: Taken::AllOf(victim.id, how) })
    }

    /// Takes bytes away from whom they were asked of before.
    pub(super) fn take_away(&mut self, now: Instant, assignment: &Assignment, out: &mut Vec<Output>) {
        match &assignment.from {
            Taken::Free => {}
            Taken::PartOf(victim) => {
                let Some(known) = self.sources.get_mut(*victim) else { return };
                if let Contact::Receiving(range) = &mut known.contact {
                    range.end = assignment.first;
                    known.hoped = known.hoped.min(range.end - range.start);
                    out.push(Output::Shorten { source: *victim, end: assignment.first });
                }
            }
            Taken::AllOf(victim, how) => self.on_lost(now, *victim, how, out),
        }
    }

    /// When to look again while sources are active: others may be asked then, or take over.
    pub(super) fn next_look(&self) -> Option<Instant> {
        let idle = self.next_ask()?;
        (!self.alone).then(|| idle.max(self.looked + LOOK_AGAIN))
    }
}

/// How long a source will take for the rest, at its rate so far; `None` when it has brought nothing yet.
fn time_left(known: &Known, now: Instant) -> Option<Duration> {
    let left = known.left();
    let seconds = (left.end - left.start) as f64 / known.rate_at(now).filter(|_| known.progress > 0)?;
    Some(Duration::from_secs_f64(seconds.min(1e9)))
}
