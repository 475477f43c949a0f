//! The tree of the file: who is asked for it, what it proves, and whom it makes a liar.
//!
//! There are two kinds: the tree in the file's BLAKE3, which filberts give each other (`X-Blake3-URI`), and the Tiger tree,
//! which every client has. The first is asked for where the BLAKE3 is among what the file must be and a source has it: then
//! its root is known beforehand and no voices are counted. All else is for the Tiger tree.
//!
//! A tree counts when it hashes to its root. The root is the one that was asked for, or else the one that most sources
//! name (`X-Thex-URI`); who names another one has other content, or lies, and is kept apart: nothing is asked of
//! it as long as the others can give the file. A root that was only heard is a lie itself when all of the file matches
//! it, but not the SHA-1: then everybody who named it is dropped, and those kept apart have their turn.
//!
//! Until a block is proven it is remembered who sent which bytes of it. A wrong one is fetched again, alone; its sender
//! is banned. Where two sent bytes of one wrong slice, both are suspects; who is a suspect often is banned too.

use std::collections::BTreeMap;
use std::ops::Range;
use std::str::FromStr;
use std::time::Duration;

use super::sources::{Contact, Known};
use super::{Download, Failure, Output, Phase, SourceId};
use crate::base::Instant;
use crate::wire::http::Response;
use crate::wire::{AnyRoot, AnyRow, Blake3, Tth, Urn};

/// Times that one source is asked for the tree.
const TRIES: u32 = 2;
/// The pause after nobody gave it.
const PAUSE: Duration = Duration::from_secs(5);
/// Suspicions that make a liar.
const SUSPICIONS: u32 = 3;
/// Parts of one block of which it is remembered who sent them; of further ones it is not known.
const MAX_PARTS: usize = 64;
/// A tree with fewer slices, if those are greater than blocks, is not worth having.
const FEWEST_SLICES: u64 = 16;
/// A longer `X-Thex-URI` or `X-Blake3-URI` is passed over.
const MAX_URI: usize = 256;

/// A block that does not match the tree, and which bytes of the file in it do not.
pub type Wrong = (usize, Vec<Range<u64>>);

/// What is known of the tree, and what it has proven.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// The root of the Tiger tree that is believed in.
    root: Option<Tth>,
    row: Option<AnyRow>,
    /// Who is asked for which now.
    asked: Option<(SourceId, AnyRoot)>,
    due: Instant,
    right: Vec<bool>,
    /// The whole was checked once more since the tree came, to hear what it says of each block.
    heard: bool,
    sent: BTreeMap<usize, Vec<(Range<u64>, SourceId)>>,
    /// Roots that came to nothing.
    passed: Vec<Tth>,
}

impl Tree {
    pub(super) fn new(asked_for: Option<Tth>) -> Self {
        Self { root: asked_for, ..Self::default() }
    }

    /// Nothing of the file is there any more.
    pub(super) fn forget_blocks(&mut self) {
        self.right.clear();
        self.sent.clear();
    }

    /// These bytes come from there.
    pub(super) fn sent(&mut self, index: usize, bytes: Range<u64>, from: SourceId) {
        let parts = self.sent.entry(index).or_default();
        let joins = |(part, source): &(Range<u64>, SourceId)| *source == from && part.end == bytes.start;
        match parts.iter().position(joins) {
            Some(at) => parts[at].0.end = bytes.end,
            None if parts.len() < MAX_PARTS => parts.push((bytes, from)),
            None => {}
        }
    }

    pub(super) fn is_right(&self, index: usize) -> bool {
        self.right.get(index).copied().unwrap_or(false)
    }

    /// The block is not there any more.
    pub(super) fn forget(&mut self, index: usize) {
        if let Some(right) = self.right.get_mut(index) {
            *right = false;
        }
        self.sent.remove(&index);
    }

    fn prove(&mut self, index: usize) {
        if self.right.len() <= index {
            self.right.resize(index + 1, false);
        }
        self.right[index] = true;
        self.sent.remove(&index);
    }

    pub(super) fn row(&self) -> Option<&AnyRow> {
        self.row.as_ref()
    }

    /// What it says of a file of so many blocks whose whole is wrong.
    pub(super) fn verdict(&mut self, blocks: usize) -> Verdict {
        match self.row {
            None => Verdict::None,
            Some(_) if (0..blocks).all(|index| self.is_right(index)) => Verdict::AllRight,
            Some(_) if !std::mem::replace(&mut self.heard, true) => Verdict::Unheard,
            Some(_) => Verdict::None,
        }
    }
}

/// What the tree says of a file whose whole is wrong.
pub(super) enum Verdict {
    /// There is none, or it is of no use.
    None,
    /// Every block is right: it is the tree of something else.
    AllRight,
    /// It came while the whole was read, and was not asked yet.
    Unheard,
}

impl Download {
    /// The tree, once it is there.
    pub fn tree(&self) -> Option<&AnyRow> {
        self.tree.row()
    }

    /// The root of the Tiger tree that is believed in.
    pub fn root(&self) -> Option<Tth> {
        self.tree.root
    }

    /// What may be given to others: what the tree has proven. Where no source has a tree, the blocks that are whole:
    /// nobody could check them alone.
    pub fn offered(&self) -> Vec<Range<u64>> {
        if self.expected.urn().is_none() || self.state().is_over() {
            return Vec::new();
        }
        let proven = self.tree.row.is_some() || self.tree_may_come();
        let mut parts: Vec<Range<u64>> = Vec::new();
        for (index, _) in self.map.stored().filter(|(index, _)| !proven || self.tree.is_right(*index)) {
            let block = self.map.range(index);
            match parts.last_mut() {
                Some(last) if last.end == block.start => last.end = block.end,
                _ => parts.push(block),
            }
        }
        parts
    }

    /// Whether somebody is asked for it, or will be.
    pub(super) fn tree_may_come(&self) -> bool {
        self.tree.asked.is_some() || self.tree_source().is_some()
    }

    /// What a head says of the tree. `false` when its source is kept apart for it.
    pub(super) fn hear_of_tree(&mut self, now: Instant, id: SourceId, head: &Response, out: &mut Vec<Output>) -> bool {
        let (tiger, blake3) = (tree_of(head, "X-Thex-URI"), tree_of::<Blake3>(head, "X-Blake3-URI"));
        let Some(known) = self.sources.get_mut(id) else { return true };
        match (blake3, self.expected.blake3) {
            (Some((_, named)), Some(must)) if named != must => {
                known.contact = Contact::Apart;
                known.say(format!("names another BLAKE3 ({named})"));
                self.sources.drop_one(id, out);
                return false;
            }
            (Some((target, _)), Some(_)) => known.blake3_at = target,
            _ => {}
        }
        let Some((target, root)) = tiger else { return true };
        if let Some(before) = known.root.filter(|before| *before != root) {
            // Else it would have us begin anew with each answer.
            self.ban(id, format!("names another tree than before ({root}, not {before})"), out);
            self.fail_if_all_lied(out);
            return false;
        }
        (known.tree_at, known.root) = (target, Some(root));
        self.settle_roots(now, out);
        self.sources.get(id).is_some_and(super::sources::Known::is_active)
    }

    /// Whose root is believed in, and who is kept apart for naming another one.
    fn settle_roots(&mut self, now: Instant, out: &mut Vec<Output>) {
        if let Some(AnyRow::Blake3(_)) = self.tree.row {
            // It proves each block, whatever is named.
            return;
        }
        if self.expected.tth.is_none() {
            let voices = |root: &Tth| self.sources.voices_for(root);
            let named = self.sources.roots().into_iter().filter(|root| !self.tree.passed.contains(root));
            // Of equals the one that is believed in stays, else the first that was named.
            let best = named.rev().max_by_key(|root| (voices(root), self.tree.root == Some(*root)));
            match (self.tree.root, best) {
                (None, Some(best)) => self.tree.root = Some(best),
                (Some(root), Some(best)) if root != best && voices(&best) > voices(&root) => {
                    self.believe(best, out);
                }
                _ => {}
            }
        }
        let Some(root) = self.tree.root else { return };
        let apart: Vec<SourceId> = self.sources.part_by_root(now, &root);
        apart.into_iter().for_each(|id| self.sources.drop_one(id, out));
    }

    /// Another root from now on: what was fetched from others counts no more.
    fn believe(&mut self, root: Tth, out: &mut Vec<Output>) {
        self.forget_tree();
        self.tree.root = Some(root);
        if self.map.done() > 0 || self.partial == super::Partial::Open {
            self.sources.drop_all(out);
            self.start_anew(out);
        }
    }

    /// The tree is of another file than the one that is fetched now.
    pub(super) fn forget_tree(&mut self) {
        self.tree.row = None;
        self.tree.asked = None;
        self.sources.forget_tree_tries();
    }

    /// When all who name the root that is believed in came to nothing, the next root has its turn; `false` when there
    /// is none.
    pub(super) fn believe_another(&mut self, now: Instant, out: &mut Vec<Output>) -> bool {
        if self.expected.tth.is_some() || !self.sources.any(|contact| *contact == Contact::Apart) {
            return false;
        }
        self.tree.passed.extend(self.tree.root);
        let passed = &self.tree.passed;
        let Some(next) = self.sources.roots().into_iter().find(|root| !passed.contains(root)) else { return false };
        self.believe(next, out);
        self.settle_roots(now, out);
        true
    }

    /// Asks for the tree, if it is worth it and somebody has it.
    pub(super) fn want_tree(&mut self, now: Instant, out: &mut Vec<Output>) {
        if self.tree.asked.is_some() || now < self.tree.due {
            return;
        }
        let (Some(size), Some((id, root))) = (self.size, self.tree_source()) else { return };
        let urn = self.expected.urn();
        let Some(known) = self.sources.get_mut(id) else { return };
        let target = match root {
            AnyRoot::Blake3(_) => known.blake3_at.clone(),
            AnyRoot::Tiger(_) => known.tree_at.clone(),
        };
        let target = target.unwrap_or_else(|| {
            let sha1 = urn.as_ref().and_then(Urn::sha1).map(Urn::Sha1);
            match root {
                AnyRoot::Blake3(root) => format!("/uri-res/N2B?{}", Urn::Blake3(root)),
                AnyRoot::Tiger(root) => format!("/uri-res/N2X?{}", sha1.unwrap_or(Urn::Tth(root))),
            }
        });
        match root {
            AnyRoot::Blake3(_) => known.blake3_tries += 1,
            AnyRoot::Tiger(_) => known.tree_tries += 1,
        }
        let from = known.source.clone();
        self.tree.asked = Some((id, root));
        out.push(Output::FetchTree { source: id, from, target, size, root });
    }

    /// Who is to be asked for it next, and for which.
    fn tree_source(&self) -> Option<(SourceId, AnyRoot)> {
        let worth = self.tree.row.is_none() && self.map.len() > 1 && self.expected.urn().is_some();
        if !worth {
            return None;
        }
        let first = |has: &dyn Fn(&Known) -> bool, tries: &dyn Fn(&Known) -> u32| {
            let may = |contact: &Contact| matches!(contact, Contact::Idle | Contact::Asked(_) | Contact::Receiving(_));
            let asked = self.sources.iter().filter(|known| may(&known.contact) && has(known) && tries(known) < TRIES);
            asked.min_by_key(|known| (tries(known), known.id)).map(|known| known.id)
        };
        let blake3 = self.expected.blake3.and_then(|root| {
            let id = first(&|known| known.blake3_at.is_some(), &|known| known.blake3_tries)?;
            Some((id, AnyRoot::Blake3(root)))
        });
        blake3.or_else(|| {
            let root = self.tree.root?;
            let id = first(&|known| known.root == Some(root), &|known| known.tree_tries)?;
            Some((id, AnyRoot::Tiger(root)))
        })
    }

    /// When to ask for it.
    pub(super) fn tree_timeout(&self) -> Option<Instant> {
        (self.tree.asked.is_none() && self.phase == Phase::Fetching)
            .then(|| self.tree_source())
            .flatten()
            .map(|_| self.tree.due)
    }

    pub(super) fn on_tree(&mut self, now: Instant, id: SourceId, row: AnyRow, out: &mut Vec<Output>) {
        let Some((_, root)) = self.tree.asked.filter(|(asked, _)| *asked == id) else { return };
        // One that hardly tells parts apart is of no use, true as it is.
        if row.slice() > self.map.block_size().max(row.size() / FEWEST_SLICES) {
            return self.on_no_tree(now, id, None, out);
        }
        self.tree.asked = None;
        if Some(row.size()) == self.size && row.root() == root {
            self.tree.row = Some(row);
            self.tree.heard = false;
            // It tells who sends wrong bytes, however many send.
            self.alone = false;
            self.hold_tree(out);
        }
    }

    /// The partial file is to be held against the tree.
    pub(super) fn hold_tree(&self, out: &mut Vec<Output>) {
        if let (Some(row), super::Partial::Open) = (&self.tree.row, self.partial) {
            out.push(Output::HoldTree(row.clone()));
        }
    }

    pub(super) fn on_no_tree(&mut self, now: Instant, id: SourceId, lie: Option<String>, out: &mut Vec<Output>) {
        if self.tree.asked.is_none_or(|(asked, _)| asked != id) {
            return;
        }
        self.tree.asked = None;
        if let Some(lie) = lie {
            self.ban(id, format!("gave a tree that is none of its root ({lie})"), out);
            return self.fail_if_all_lied(out);
        }
        let next = self.tree_source().and_then(|(next, root)| Some((self.sources.get(next)?, root)));
        let is_fresh = next.is_some_and(|(next, root)| match root {
            AnyRoot::Blake3(_) => next.blake3_tries == 0,
            AnyRoot::Tiger(_) => next.tree_tries == 0,
        });
        if !is_fresh {
            self.tree.due = now + PAUSE;
        }
    }

    /// What the tree says of blocks.
    pub(super) fn on_judged(&mut self, right: &[usize], wrong: &[Wrong], out: &mut Vec<Output>) {
        if self.tree.row.is_none() || !matches!(self.phase, Phase::Fetching | Phase::Verifying | Phase::Paused) {
            return;
        }
        let there = right.iter().filter(|index| matches!(self.map.block(**index), super::Block::Stored(_)));
        there.for_each(|index| self.tree.prove(*index));
        for (index, slices) in wrong {
            self.blame(*index, slices, out);
            self.map.forget(*index);
            self.tree.forget(*index);
        }
        if !wrong.is_empty() {
            self.fetch_again();
            self.fail_if_all_lied(out);
        }
    }

    /// Who sent those bytes of a wrong block.
    fn blame(&mut self, index: usize, slices: &[Range<u64>], out: &mut Vec<Output>) {
        let Some(parts) = self.tree.sent.get(&index) else { return };
        let touches = |part: &Range<u64>, slice: &Range<u64>| part.start < slice.end && slice.start < part.end;
        let mut liars: Vec<(SourceId, Range<u64>)> = Vec::new();
        let mut suspects: Vec<(SourceId, Range<u64>)> = Vec::new();
        for slice in slices {
            let mut senders: Vec<SourceId> =
                parts.iter().filter(|(part, _)| touches(part, slice)).map(|(_, id)| *id).collect();
            senders.sort();
            senders.dedup();
            match senders.as_slice() {
                [one] => liars.push((*one, slice.clone())),
                several => suspects.extend(several.iter().map(|id| (*id, slice.clone()))),
            }
        }
        // Where one of several is known to lie, the others are no suspects.
        if liars.is_empty() {
            for (id, slice) in suspects {
                let Some(known) = self.sources.get_mut(id) else { continue };
                known.suspicions += 1;
                if known.suspicions >= SUSPICIONS {
                    liars.push((id, slice));
                }
            }
        }
        for (id, slice) in liars {
            let heard = self.is_tree_heard();
            let Some(known) = self.sources.get_mut(id) else { continue };
            let named = known.root.is_some();
            let words = format!("sent wrong bytes at {}-{}", slice.start, slice.end.saturating_sub(1));
            if heard && !named {
                // Perhaps it is the tree that lies.
                known.contact = Contact::Apart;
                known.say(format!("{words}, as the tree has it that others name"));
                self.sources.drop_one(id, out);
            } else if known.contact != Contact::Banned {
                self.ban(id, format!("{words}: they are not in the tree of the file"), out);
            }
        }
    }

    /// Whether the root of the tree is only what sources say, so that it may be the tree that lies.
    fn is_tree_heard(&self) -> bool {
        !matches!(self.tree.row, Some(AnyRow::Blake3(_))) && self.expected.tth.is_none()
    }

    pub(super) fn ban(&mut self, id: SourceId, words: String, out: &mut Vec<Output>) {
        self.sources.ban(id, words);
        self.sources.drop_one(id, out);
    }

    /// All of the file matches the tree, but not the hash that was asked for.
    pub(super) fn on_false_tree(&mut self, now: Instant, out: &mut Vec<Output>) {
        let what = self.expected.urn().map(|urn| urn.to_string()).unwrap_or_default();
        self.start_anew(out);
        let Some(root) = self.tree.root.filter(|_| self.is_tree_heard()) else {
            let words = format!("the tree that was asked for is not that of {what}: whoever named both lied");
            return self.fail(Failure::Verification, words, out);
        };
        self.phase = Phase::Fetching;
        self.sources.ban_root(&root, &format!("named the tree of other bytes than {what}"));
        self.sources.drop_all(out);
        self.forget_tree();
        self.tree.passed.push(root);
        self.tree.root = None;
        self.sources.release_apart(now);
        self.settle_roots(now, out);
        self.fail_if_all_lied(out);
    }

    /// When nobody is left who may be asked, ever.
    pub(super) fn fail_if_all_lied(&mut self, out: &mut Vec<Output>) {
        if self.phase == Phase::Fetching && self.sources.are_all_banned() {
            let words = self.sources.blames();
            if self.tree.row.is_none() {
                // What a tree has proven is worth something to the next try.
                self.start_anew(out);
            }
            self.fail(Failure::Verification, words, out);
        }
    }
}

/// `X-Thex-URI: /uri-res/N2X?urn:sha1:...;ROOT` and the like: where the tree is, if that is a path, and its root.
fn tree_of<Root: FromStr>(head: &Response, name: &str) -> Option<(Option<String>, Root)> {
    let value = head.headers.get(name).filter(|value| value.len() <= MAX_URI)?.trim();
    let (target, root) = value.rsplit_once(';')?;
    let root = root.trim().parse().ok()?;
    let target = target.trim();
    let plain = target.starts_with('/') && target.bytes().all(|byte| byte.is_ascii_graphic());
    Some((plain.then(|| target.to_owned()), root))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::head::Headers;

    #[test]
    fn where_the_tree_is_and_what_its_root_is() {
        let root = "LWPNACQDBZRYXW3VHJVCJ64QBZNGHOHHHZWCLNQ";
        let read = |value: &str| {
            let headers = Headers::default().with("X-Thex-URI", value);
            let found =
                tree_of::<Tth>(&Response { code: 206, reason: String::new(), version: (1, 1), headers }, "X-Thex-URI");
            found.map(|(target, root)| (target, root.to_string()))
        };
        let path = Some("/uri-res/N2X?urn:sha1:X".to_owned());
        assert_eq!(read(&format!("/uri-res/N2X?urn:sha1:X;{root}")), Some((path, root.to_owned())));
        assert_eq!(read(&format!("http://elsewhere/x;{root}")), Some((None, root.to_owned())));
        assert_eq!(read(&format!("/a b;{root}")), Some((None, root.to_owned())));
        assert_eq!(read("/uri-res/N2X?urn:sha1:X"), None);
        assert_eq!(read("/x;short"), None);
        assert_eq!(read(&format!("/{};{root}", "x".repeat(MAX_URI))), None);
    }
}
