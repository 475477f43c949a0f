//! What comes next: whom to ask for what, when to ask the network, and when to look again.

use std::time::Duration;

use super::sources::Contact;
use super::{BlockMap, Download, Failure, Output, Partial, Phase, SizeFrom, SourceId, Turn, share};
use crate::base::{Instant, backoff};

impl Download {
    /// When to call [`Download::handle_timeout`] next, if nothing happens before.
    pub fn next_timeout(&self) -> Option<Instant> {
        if self.phase != Phase::Fetching || self.partial == Partial::Opening || self.turn == Turn::Wanted {
            return None;
        }
        if self.sources.active() > 0 {
            return [self.next_look(), self.tree_timeout()].into_iter().flatten().min();
        }
        [self.tree_timeout(), self.next_ask(), self.can_requery().then_some(self.requery_at)]
            .into_iter()
            .flatten()
            .min()
    }

    /// Decides what comes next. Everything that changes what could be done ends here.
    pub(super) fn advance(&mut self, now: Instant, out: &mut Vec<Output>) {
        self.looked = now;
        if self.phase != Phase::Fetching || self.partial == Partial::Opening {
            return;
        }
        if let (Some(size), Partial::Closed | Partial::Shut) = (self.size, self.partial) {
            let in_turn = self.is_small() && self.turn != Turn::Held;
            if self.partial == Partial::Closed && in_turn && self.sources.next_due().is_some() {
                return self.want_turn(out);
            }
            if self.partial == Partial::Closed || !in_turn {
                self.partial = Partial::Opening;
                out.push(Output::Open { size });
                return;
            }
        }
        if self.partial == Partial::Open && self.map.is_complete() {
            self.sources.drop_all(out);
            if self.turn == Turn::Held {
                self.turn = Turn::Ending;
                out.push(Output::EndTurn);
            }
            self.phase = Phase::Verifying;
            out.push(Output::Verify);
            return;
        }
        if let Some(size) = self.better_size() {
            self.size = Some(size);
            self.forget_tree();
            self.sources.side_with(size);
            self.start_anew(out);
            self.map = BlockMap::new(size);
            return self.advance(now, out);
        }
        if self.must_begin_anew(now) {
            self.start_anew(out);
            return self.advance(now, out);
        }
        self.want_tree(now, out);
        while let Some(assignment) = self.assign(now) {
            if self.turn != Turn::Held {
                self.want_turn(out);
                return;
            }
            self.take_away(now, &assignment, out);
            let share::Assignment { source, first, end, .. } = assignment;
            let Some(known) = self.sources.get_mut(source) else { break };
            known.contact = Contact::Asked(first..end.unwrap_or(u64::MAX));
            (known.progress, known.open, known.pushing) = (0, true, false);
            (known.since, known.touched) = (now, now);
            let ticket = known.queued.as_ref().and_then(|queued| queued.ticket.clone());
            out.push(Output::Fetch { source, from: known.source.clone(), first, end, ticket });
            if self.is_swarm() {
                // What follows the blocks that another one has is what he is fetching now.
                self.origin = self.rng.below(self.map.len());
            }
        }
        self.renew(now);
        if self.sources.active() == 0 {
            self.spare(now);
            self.rest(now, out);
        } else {
            self.make_way(now, out);
        }
    }

    /// A small one has nothing to give before it is whole: of thousands of them not all need be open.
    fn is_small(&self) -> bool {
        self.size.is_some_and(|size| size <= self.config.opened_in_turn)
    }

    /// A small one is not open any more. What there is of it is fetched again.
    pub(super) fn let_go(&mut self, out: &mut Vec<Output>) {
        if self.partial == Partial::Open && self.is_small() {
            self.start_anew(out);
            self.partial = Partial::Shut;
        }
    }

    fn want_turn(&mut self, out: &mut Vec<Output>) {
        if matches!(self.turn, Turn::None | Turn::Ending) {
            self.turn = Turn::Wanted;
            out.push(Output::WantTurn);
        }
    }

    pub(super) fn yield_turn(&mut self, out: &mut Vec<Output>) {
        if self.turn != Turn::None {
            self.turn = Turn::None;
            out.push(Output::YieldTurn);
        }
    }

    /// Nobody can be asked now: others may have our turn, and the network may know somebody.
    fn rest(&mut self, now: Instant, out: &mut Vec<Output>) {
        self.yield_turn(out);
        if self.map.done() == 0 {
            self.let_go(out);
        }
        let next = self.next_ask();
        if next.is_none() && self.believe_another(now, out) {
            return self.advance(now, out);
        }
        if next.is_none() && self.expected.urn().is_none() {
            let (failure, words) = match self.sources.spokesman() {
                Some(known) if known.contact == Contact::Banned => (Failure::Verification, known.blame()),
                Some(known) if known.refused => (Failure::Refused, known.blame()),
                Some(known) => (Failure::NotFound, known.blame()),
                None => {
                    (Failure::NotFound, "no source is known, and the file has no hash to ask the network for".into())
                }
            };
            self.fail(failure, words, out);
            return;
        }
        if !self.can_requery() || now < self.requery_at {
            return;
        }
        // A source that is tried again in a moment needs no query before that.
        if let Some(due) = next.filter(|due| *due > now && *due <= now + self.config.retry_lost * 2) {
            self.requery_at = due;
        } else {
            out.push(Output::Requery);
            self.requeried_at = Some(now);
            self.requery_at = now + self.pause(self.config.requery_first, self.config.requery_max, self.requeries);
            self.requeries += 1;
            if next.is_none() && self.ask_the_gone(now) {
                self.advance(now, out);
            }
        }
    }

    /// Nobody has it, as far as we know: then those peers are asked once more that said so before. One that fetches the file
    /// itself may have some of it by now, or give of it by now. Whether there is such a one.
    fn ask_the_gone(&mut self, now: Instant) -> bool {
        let (first, max) = (self.config.retry_busy, self.config.retry_max);
        self.sources.come_back(now, |known| known.touched + backoff(first, max, known.failures))
    }

    pub(super) fn can_requery(&self) -> bool {
        self.expected.urn().is_some()
    }

    /// When the next source may be asked.
    pub(super) fn next_ask(&self) -> Option<Instant> {
        match self.soloist() {
            Some(one) => self.sources.due(one),
            None => self.sources.next_due(),
        }
    }

    /// To know who sends wrong bytes, all of them must come from one source: the one that has begun, as long as
    /// it is worth waiting for.
    pub(super) fn soloist(&self) -> Option<SourceId> {
        let contributors = self.sources.contributors();
        match contributors.as_slice() {
            [one] if self.alone && self.sources.is_promising(*one) => Some(*one),
            _ => None,
        }
    }

    /// The size to believe in from now on, when sources say different ones and the first to speak was not right.
    pub(super) fn better_size(&self) -> Option<u64> {
        let size = self.size.filter(|_| self.size_from == SizeFrom::Source && self.sources.active() == 0)?;
        self.sources.rival_size(size)
    }

    /// Whether another source should take over from one that has begun alone: then it begins anew.
    fn must_begin_anew(&self, now: Instant) -> bool {
        self.alone
            && self.sources.active() == 0
            && self.soloist().is_none()
            && !self.sources.contributors().is_empty()
            && !self.sources.ready(now).is_empty()
    }

    /// `first` doubled with each of `times`, at most `max`, and up to a quarter more by chance, so that those
    /// who lost one source together do not come back together.
    pub(super) fn pause(&mut self, first: Duration, max: Duration, times: u32) -> Duration {
        let pause = backoff(first, max, times.saturating_add(1));
        pause + pause.mul_f64(self.rng.below(250) as f64 / 1000.0)
    }

    /// New neighbours may know what the old ones did not; but a network that comes and goes is no reason to
    /// ask all the time.
    pub(super) fn on_network_changed(&mut self, now: Instant) {
        let earliest = self.requeried_at.map_or(now, |at| at + self.config.requery_first);
        self.requery_at = self.requery_at.min(earliest.max(now + Duration::from_millis(500)));
    }
}
