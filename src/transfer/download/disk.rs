//! What the partial file says: what is in it, what was written to it, and that it is gone.

use std::ops::Range;

use super::{Block, Download, Failure, Output, Partial, Phase, SourceId};
use crate::base::Instant;
use crate::wire::Blake3;

/// A partial file that is removed more often than this, while it is fetched, is not begun again.
const VANISHES: u32 = 3;

impl Download {
    pub(super) fn on_opened(&mut self, now: Instant, stored: Vec<(usize, Blake3)>, out: &mut Vec<Output>) {
        if self.partial != Partial::Opening {
            return;
        }
        self.partial = Partial::Open;
        self.map.clear();
        self.inherited |= !stored.is_empty();
        stored.into_iter().for_each(|(index, hash)| self.map.store(index, hash));
        self.tree.forget_blocks();
        if self.map.len() > self.config.swarm && self.has_peers() {
            self.origin = self.rng.below(self.map.len());
        }
        self.hold_tree(out);
        if let Some((source, head)) = self.pending.take() {
            self.on_head(now, source, head, out);
        }
    }

    pub(super) fn on_wrote(&mut self, now: Instant, source: SourceId, range: Range<u64>, stored: Vec<(usize, Blake3)>) {
        // Bytes that were on their way to a partial file which is gone since do not count.
        if self.partial != Partial::Open {
            return;
        }
        let bytes = range.end.saturating_sub(range.start);
        self.received += bytes;
        if let Some(known) = self.sources.get_mut(source) {
            known.progress += bytes;
            known.bytes += bytes;
            known.contributed = true;
            known.touched = now;
        }
        self.remember_sender(source, &range);
        self.map.fill(range.clone());
        for (index, hash) in stored {
            if let Block::Missing | Block::Filling(_) = self.map.block(index) {
                self.map.store(index, hash);
            }
        }
        // A block that is whole but was not named with its hash would be waited for in vain: fetch it again.
        self.map.forget_unnamed(range);
    }

    /// Of blocks that are not proven yet it may turn out that they are wrong. What was there before counts as sent by whoever
    /// sent it first: that is what was kept.
    fn remember_sender(&mut self, source: SourceId, bytes: &Range<u64>) {
        let bytes = bytes.start..bytes.end.min(self.map.size());
        if bytes.is_empty() {
            return;
        }
        for index in self.map.index_at(bytes.start)..=self.map.index_at(bytes.end - 1) {
            let Some(missing) = self.map.missing_in(index) else { continue };
            let fresh = bytes.start.max(missing.start)..bytes.end.min(missing.end);
            if !fresh.is_empty() {
                self.tree.sent(index, fresh, source);
            }
        }
    }

    /// The whole was there, but is not any more what it was: the rest of it stays, and who sent it is not to blame. It may have
    /// been paused while it was read: the partial file has these blocks no more, so that they are to be fetched then.
    pub(super) fn on_changed(&mut self, blocks: &[usize], words: String) {
        if !matches!(self.phase, Phase::Fetching | Phase::Verifying | Phase::Paused) {
            return;
        }
        for index in blocks {
            self.map.forget(*index);
            self.tree.forget(*index);
        }
        self.note = Some(words);
        self.fetch_again();
    }

    /// Not all is there, as it turned out.
    pub(super) fn fetch_again(&mut self) {
        if self.phase == Phase::Verifying {
            self.phase = Phase::Fetching;
        }
    }

    /// Without a word from us: what is fetched from now on goes to a new partial file.
    pub(super) fn on_gone(&mut self, words: String, out: &mut Vec<Output>) {
        if self.state().is_over() {
            return self.forget_partial();
        }
        self.vanished += 1;
        if self.vanished > VANISHES {
            return self.on_disk_failed(format!("{words}; this happened {} times", self.vanished), out);
        }
        self.sources.drop_all(out);
        self.sources.forget_contributions();
        self.map.clear();
        self.tree.forget_blocks();
        self.partial = Partial::Closed;
        (self.inherited, self.pending) = (false, None);
        self.note = Some(words);
        if let Phase::Verifying | Phase::Finishing = self.phase {
            self.phase = Phase::Fetching;
        }
    }

    pub(super) fn on_disk_failed(&mut self, words: String, out: &mut Vec<Output>) {
        let was_over = self.state().is_over();
        self.forget_partial();
        if !was_over {
            self.fail(Failure::Disk, words, out);
        }
    }

    /// It is opened again, and what is in it is read, before anything is asked for; also when one that had failed
    /// for another reason is tried again.
    fn forget_partial(&mut self) {
        if self.phase != Phase::Done {
            self.partial = Partial::Closed;
            self.map.clear();
        }
    }
}
