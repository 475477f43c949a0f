//! How it ends: checked and moved into place, failed, paused or cancelled; and how it begins anew.

use super::tree::Verdict;
use super::{BlockMap, Download, Expected, Failure, Output, Partial, Phase, SizeFrom};
use crate::base::Instant;

impl Download {
    pub(super) fn on_verified(&mut self, now: Instant, found: Expected, out: &mut Vec<Output>) {
        if self.phase != Phase::Verifying {
            return;
        }
        if self.expected.matches(&found) {
            self.verified = Some(self.expected.strongest());
            self.phase = Phase::Finishing;
            out.push(Output::Finish);
            return;
        }
        match self.tree.verdict(self.map.len()) {
            Verdict::AllRight => return self.on_false_tree(now, out),
            Verdict::Unheard => return out.push(Output::Verify),
            Verdict::None => {}
        }
        let suspects = self.sources.suspects(self.inherited);
        self.start_anew(out);
        self.phase = Phase::Fetching;
        let [liar] = suspects.as_slice() else {
            self.alone = true;
            // They may have been found out meanwhile, by their trees.
            return self.fail_if_all_lied(out);
        };
        let what = self.expected.urn().map(|urn| urn.to_string()).unwrap_or_default();
        self.sources.ban(*liar, format!("sent bytes that do not match {what}"));
        if self.sources.next_due().is_none() && self.better_size().is_none() {
            let words = self.sources.blames();
            self.fail(Failure::Verification, words, out);
        }
    }

    pub(super) fn on_cancel(&mut self, out: &mut Vec<Output>) {
        // While it is moved into place it is too late: it will be done in a moment.
        if matches!(self.phase, Phase::Done | Phase::Cancelled | Phase::Finishing) {
            return;
        }
        self.end(Phase::Cancelled, out);
        self.partial = Partial::Closed;
        self.map.clear();
        out.push(Output::Discard);
    }

    pub(super) fn on_retry(&mut self, now: Instant) {
        let disk_failed = matches!(self.phase, Phase::Failed(Failure::Disk, _));
        if let Phase::Failed(..) | Phase::Cancelled | Phase::Paused = self.phase {
            self.phase = Phase::Fetching;
        }
        self.sources.forgive(now);
        if disk_failed && self.size_from == SizeFrom::Source && self.expected.urn().is_some() {
            // A source may have named a size that no disk takes: others are asked first.
            if let Some(size) = self.size.take() {
                self.sources.doubt(size);
            }
            self.map = BlockMap::new(0);
        }
        self.requery_at = now;
        self.requeries = 0;
    }

    /// Nothing of what was fetched counts any more.
    pub(super) fn start_anew(&mut self, out: &mut Vec<Output>) {
        self.map.clear();
        self.tree.forget_blocks();
        self.inherited = false;
        self.partial = Partial::Closed;
        self.sources.forget_contributions();
        out.push(Output::Discard);
    }

    pub(super) fn fail(&mut self, failure: Failure, words: String, out: &mut Vec<Output>) {
        self.end(Phase::Failed(failure, words), out);
    }

    /// Ends all contacts.
    pub(super) fn end(&mut self, phase: Phase, out: &mut Vec<Output>) {
        self.sources.drop_all(out);
        self.pending = None;
        self.phase = phase;
        self.yield_turn(out);
    }
}
