//! Who is asked for what: the blocks of the file, shared among its sources.
//!
//! Each source is asked for the first bytes that are missing, that it has, and that nobody else is asked for: of a large
//! file the first behind a block drawn by chance, so that those who fetch it together do not all fetch the same. In a
//! swarm, where some have only parts, it is asked for those that the fewest have, and who has all is spared what the
//! others have and asked first for what is our part of the rest ([`Order`]). When there are none left, one that is idle takes over the second part of what the slowest is to send;
//! and one that sends nothing, or would take much longer, is left altogether. A plain web server is asked for all in order.

use std::ops::Range;
use std::time::Duration;

use super::order::Order;
use super::sources::{Contact, Known};
use super::{Download, Lost, Output, SourceId};
use crate::base::Instant;

/// Another source takes part of what one has still to send if that would take longer than this.
pub(super) const WORTH_SHARING: Duration = Duration::from_secs(4);
/// ... and all of it, when it cannot be shared, if it would take longer than this.
const TOO_SLOW: Duration = Duration::from_secs(15);
/// A source that is so many times slower than the fastest gives its place to one that was not tried yet.
const MUCH_SLOWER: f64 = 16.0;
/// A request is for so many blocks at least, if they are missing.
const FEWEST: u64 = 2;
/// For what a part of the swarm has, its other parts are waited for so long before one is asked that has all.
const SPARED: Duration = Duration::from_secs(8);
/// ... unless that one is so many times quicker.
const SPARE_SLOWER: f64 = 4.0;
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
                if let Some(range) = self.missing_at(now, *source, &taken) {
                    let (first, end) = (range.start, Some(range.end));
                    return Some(Assignment { source: *source, first, end, from: Taken::Free });
                }
            }
        }
        if self.alone {
            return None;
        }
        if let Some(swap) = self.much_slower_than_others(now, &ready, &taken) {
            return Some(swap);
        }
        let thief = ready.into_iter().filter_map(|id| self.sources.get(id)).find(|known| !known.partial)?;
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
    pub(super) fn has_missing(&self, now: Instant, source: SourceId) -> bool {
        self.size.is_none() || self.missing_at(now, source, &[]).is_some()
    }

    /// The first bytes that are missing, that a source has, and that are not in `taken`.
    fn missing_at(&self, now: Instant, source: SourceId, taken: &[Range<u64>]) -> Option<Range<u64>> {
        let known = self.sources.get(source)?;
        let most = self.most(known);
        if self.is_swarm() && self.preferred.is_empty() {
            return self.rarest(now, known, taken, most);
        }
        let cut = |range: Range<u64>| range.start..range.end.min(range.start.saturating_add(most));
        if self.preferred.is_empty() && known.available.is_none() {
            let origin = self.map.range(self.start()).start;
            return self.map.gap_from(origin, taken).or_else(|| self.map.gap(taken)).map(cut);
        }
        self.preferred_first(|from| self.missing_from(from, known, taken)).map(cut)
    }

    /// ... of those in or behind the block that `start` is in.
    fn missing_from(&self, start: u64, known: &Known, taken: &[Range<u64>]) -> Option<Range<u64>> {
        let Some(available) = &known.available else { return self.map.gap_from(start, taken) };
        let start = self.map.range(self.map.index_at(start)).start;
        for part in available.iter().filter(|part| part.end > start) {
            let mut from = part.start.max(start);
            while let Some(gap) = self.map.gap_from(from, taken).filter(|gap| gap.start < part.end) {
                if gap.start >= part.start {
                    return Some(gap.start..gap.end.min(part.end));
                }
                // The start of that block is not there, and a block grows from its start.
                from = self.map.range(self.map.index_at(gap.start)).end;
                // The end of the file is in its last block: behind that nothing is missing, whatever the source says it has.
                if from >= part.end.min(self.map.size()) {
                    break;
                }
            }
        }
        None
    }

    /// Whether a source may tell of others; else the file comes in order, in one piece, and is hashed as it comes.
    pub(super) fn has_peers(&self) -> bool {
        self.sources.iter().any(|known| known.source.ask.is_of_peers())
    }

    /// Whether somebody has only a part of the file: others fetch it too.
    pub(super) fn is_swarm(&self) -> bool {
        self.map.len() > self.config.swarm && self.sources.iter().any(|known| known.partial)
    }

    /// The block where one who has all of the file begins. Those who fetch it at the same time should begin at different
    /// ones; who turns out to be alone goes on at the front, so that the whole is hashed while it comes.
    fn start(&self) -> usize {
        let others = self.sources.iter().any(|known| known.partial || !known.given.1.is_empty());
        if others || self.received == 0 { self.origin } else { 0 }
    }

    /// Those bytes that a source has, that are missing, and that the fewest others have. Who has all of the file is
    /// spared what others have who will soon give it, unless it is the quicker.
    fn rarest(&self, now: Instant, known: &Known, taken: &[Range<u64>], most: u64) -> Option<Range<u64>> {
        let (count, holders) = (self.map.len(), self.holders(|_| true));
        let spared = self.spared(now, known);
        let order = self.order().filter(|_| !known.partial);
        let before_us = |index: usize| order.as_ref().map_or(0, |order| order.before_us(index));
        let free = |index: usize| {
            let (missing, block) = (self.map.missing_in(index)?, self.map.range(index));
            let is_taken = taken.iter().any(|range| range.start < block.end && block.start < range.end);
            let missing = known.has_of(&missing)?;
            (!is_taken && !spared[index]).then_some(missing)
        };
        let from_origin = (0..count).map(|step| (self.origin + step) % count);
        let place = |index: usize| (holders[index], before_us(index));
        let first = from_origin.filter(|index| free(*index).is_some()).min_by_key(|index| place(*index))?;
        let mut range = free(first)?;
        let next = (first + 1..count).take_while(|index| place(*index) <= place(first));
        for more in next.map_while(free) {
            if more.start != range.end || range.end - range.start >= most {
                break;
            }
            range.end = more.end;
        }
        Some(range.start..range.end.min(range.start.saturating_add(most)))
    }

    /// The order of us among those who have only parts: they fetch the file as we do.
    fn order(&self) -> Option<Order> {
        let others = self.sources.iter().filter(|known| known.partial && (known.is_active() || known.can_be_asked()));
        Some(Order::new(self.us?, others.map(|known| known.source.addr)))
    }

    /// For each block, how many of those that have only parts have all of it, as far as they told.
    fn holders(&self, which: impl Fn(&Known) -> bool) -> Vec<u16> {
        let mut holders = vec![0_u16; self.map.len()];
        for part in self.sources.iter().filter(|known| known.partial && which(known)).flat_map(|known| &known.had) {
            self.whole_blocks(part).for_each(|index| holders[index] = holders[index].saturating_add(1));
        }
        holders
    }

    /// For each block, whether one who has all of the file is not asked for it: others have it, or are being given it.
    fn spared(&self, now: Instant, known: &Known) -> Vec<bool> {
        let (false, Some(rate)) = (known.partial, known.rate) else { return vec![false; self.map.len()] };
        let quick =
            |it: &Known| it.gives_by(now + SPARED) && it.rate.is_none_or(|theirs| theirs * SPARE_SLOWER >= rate);
        let mut spared: Vec<bool> = self.holders(quick).into_iter().map(|count| count > 0).collect();
        let (told, given) = &known.given;
        if now.since(*told) < SPARED && self.sources.iter().any(|it| it.partial && quick(it)) {
            given.iter().flat_map(|part| self.whole_blocks(part)).for_each(|index| spared[index] = true);
        }
        spared
    }

    /// The blocks that are wholly in these bytes.
    fn whole_blocks(&self, bytes: &Range<u64>) -> Range<usize> {
        let (block, count) = (self.map.block_size(), self.map.len() as u64);
        let end = if bytes.end >= self.map.size() { count } else { bytes.end / block };
        let first = bytes.start.div_ceil(block).min(count);
        first as usize..end.max(first) as usize
    }

    /// What some told of has come from others meanwhile: they are asked for what they have by now.
    pub(super) fn renew(&mut self, now: Instant) {
        if self.size.is_none() {
            return;
        }
        for id in self.sources.ready(now) {
            let told = self.sources.get(id).is_some_and(|known| known.available.is_some());
            if told && !self.has_missing(now, id) {
                let pause = self.pause(self.config.poll, self.config.retry_busy, 0);
                if let Some(known) = self.sources.get_mut(id) {
                    (known.available, known.due) = (None, now + pause);
                }
            }
        }
    }

    /// Nobody is asked now: those that are spared are not due before those for whose parts they are.
    pub(super) fn spare(&mut self, now: Instant) {
        if self.size.is_none() || !self.is_swarm() {
            return;
        }
        let next = self.sources.iter().filter(|known| known.partial && known.can_be_asked() && known.due > now);
        let Some(next) = next.map(|known| known.due).min() else { return };
        for id in self.sources.ready(now) {
            if let Some(known) = self.sources.get_mut(id).filter(|known| !known.partial) {
                known.due = next.min(now + SPARED);
            }
        }
    }

    /// One that may be asked takes the place of one that sends, but so slowly that it only holds the place.
    fn much_slower_than_others(&self, now: Instant, ready: &[SourceId], taken: &[Range<u64>]) -> Option<Assignment> {
        let fresh = ready.iter().filter_map(|id| self.sources.get(*id)).find(|known| known.rate.is_none())?;
        if self.sources.active() < self.config.active_sources.max(1) {
            return None;
        }
        let rate = |known: &Known| known.rate_at(now).unwrap_or(0.0);
        let active = || self.sources.iter().filter(|known| known.is_active());
        let best = active().map(rate).fold(0.0, f64::max);
        let slowest = active().filter(|known| now.since(known.since) >= self.config.stalled);
        let victim = slowest.min_by(|a, b| rate(a).total_cmp(&rate(b))).filter(|it| rate(it) * MUCH_SLOWER < best)?;
        let range = self.missing_at(now, fresh.id, taken).or_else(|| {
            let left = victim.left();
            fresh.available.is_none().then_some(left).filter(|left| left.end <= self.map.size() && !left.is_empty())
        })?;
        let how = Lost::Slow(now.since(victim.since));
        let (first, end) = (range.start, Some(range.end));
        Some(Assignment { source: fresh.id, first, end, from: Taken::AllOf(victim.id, how) })
    }

    /// Bytes that one request to that source is for at most.
    fn most(&self, known: &Known) -> u64 {
        if let Some(most) = self.most_played(known) {
            return most;
        }
        let sources = self.sources.iter().filter(|known| known.is_active() || known.can_be_asked()).count() as u64;
        if self.config.active_sources <= 1 || self.alone {
            return u64::MAX;
        }
        let block = self.map.block_size();
        let blocks = |bytes: u64| bytes.div_ceil(block).saturating_mul(block);
        let aimed = known.rate.map_or(self.config.first_blocks * block, |rate| {
            // Who was fast once may not be for long.
            let aimed = ((rate * self.config.aim.as_secs_f64()) as u64).min(known.progress.saturating_mul(2));
            blocks(aimed).max(FEWEST * block)
        });
        if sources <= 1 {
            let small = self.map.len() <= self.config.swarm || self.expected.urn().is_none();
            return if small || !self.has_peers() { u64::MAX } else { aimed };
        }
        if self.is_swarm() {
            // The longer a request, the less is known of what the others ask for meanwhile.
            return blocks(aimed / 2).min(self.config.request.max(1));
        }
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
pub(super) fn time_left(known: &Known, now: Instant) -> Option<Duration> {
    let left = known.left();
    let seconds = (left.end - left.start) as f64 / known.rate_at(now).filter(|_| known.progress > 0)?;
    Some(Duration::from_secs_f64(seconds.min(1e9)))
}
