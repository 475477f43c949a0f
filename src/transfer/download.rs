//! A download: a machine over sources and blocks. It decides whom to ask for which bytes, what an answer means,
//! when to try again, and when the file is done; it touches no socket and no file.
//!
//! The driver calls [`Download::handle`] with what happened and [`Download::handle_timeout`] when
//! [`Download::next_timeout`] has come, and does what the outputs say, in order. No input can make it panic or
//! loop: between two requests to one source lies either progress or a growing pause.
//!
//! "Some clients take a short 206 for the end of the file": we do not. The first answer of gtk-gnutella is cut
//! at 512 KiB; what is still missing is asked for on the same connection.

mod answer;
mod io;
mod picture;
mod play;
mod share;
mod sources;
mod tree;

use std::ops::Range;
use std::time::Duration;

use super::{Block, BlockMap, Check, Expected, Source};
use crate::base::{Instant, Rng, backoff};
use crate::wire::Blake3;
use crate::wire::http::Response;

pub use io::{DownloadConfig, Failure, Input, Lost, Output, State};
pub use picture::{Picture, Run, Shade, SourceNow};
pub use play::{MAX_PREFERRED, Shows};
pub use sources::SourceId;
use sources::{Contact, Sources};
pub use tree::Wrong;
use tree::{Tree, Verdict};

/// What of a download is decided by the user or by its end. What lies between is derived from its sources.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    Fetching,
    Verifying,
    Finishing,
    Done,
    Paused,
    Failed(Failure, String),
    Cancelled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    None,
    Wanted,
    Held,
}

/// Who said how big the file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SizeFrom {
    /// Whoever asked for it: a file of another size is another file.
    User,
    /// A source, and others may know better.
    Source,
}

/// The partial file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Partial {
    Closed,
    Opening,
    Open,
}

/// The machine behind one download.
#[derive(Debug)]
pub struct Download {
    config: DownloadConfig,
    rng: Rng,
    expected: Expected,
    size: Option<u64>,
    size_from: SizeFrom,
    map: BlockMap,
    partial: Partial,
    phase: Phase,
    turn: Turn,
    sources: Sources,
    /// The source whose answer told the size: it waits for the partial file to be opened.
    pending: Option<(SourceId, Response)>,
    /// Blocks of an earlier run are in the file: we do not know who sent them.
    inherited: bool,
    /// Several sources together sent wrong bytes: until it is known who it was, one at a time sends them all.
    alone: bool,
    requery_at: Instant,
    requeried_at: Option<Instant>,
    requeries: u32,
    verified: Option<Check>,
    /// What happened to the partial file that nobody expects, in words.
    note: Option<String>,
    tree: Tree,
    /// The block from which on blocks are looked for.
    origin: usize,
    /// Bytes that were written in this run, those that came to nothing among them.
    received: u64,
    /// When it was last decided what comes next.
    looked: Instant,
    /// How often it vanished while it was open.
    vanished: u32,
    /// Where somebody reads, the first of them first.
    preferred: Vec<u64>,
}

/// What a source is to a download.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceReport<'a> {
    /// Which.
    pub source: &'a Source,
    /// `asked`, `sends`, `waits`, `gone`, `apart` (it has other content, or names another tree), `banned`.
    pub state: &'static str,
    /// Bytes that came from it in this run.
    pub bytes: u64,
    /// What it did last.
    pub words: &'a str,
}

/// A partial file that is removed more often than this, while it is fetched, is not begun again.
const VANISHES: u32 = 3;

impl Download {
    /// A new download, or one that goes on. Call [`Download::handle_timeout`] once to start it.
    pub fn new(config: DownloadConfig, expected: Expected, size: Option<u64>, rng: Rng) -> Self {
        Self {
            sources: Sources::new(config.max_sources),
            tree: Tree::new(expected.tth),
            origin: 0,
            received: 0,
            config,
            rng,
            expected,
            size,
            size_from: SizeFrom::User,
            map: BlockMap::new(size.unwrap_or(0)),
            partial: Partial::Closed,
            phase: Phase::Fetching,
            turn: Turn::None,
            pending: None,
            inherited: false,
            alone: false,
            requery_at: Instant::ZERO,
            requeried_at: None,
            requeries: 0,
            verified: None,
            note: None,
            looked: Instant::ZERO,
            vanished: 0,
            preferred: Vec::new(),
        }
    }

    /// ... whose size is not what was asked for, but what a source said in an earlier run.
    pub fn with_size_from(mut self, from: SizeFrom) -> Self {
        self.size_from = from;
        self
    }

    /// Something happened.
    pub fn handle(&mut self, now: Instant, input: Input, out: &mut Vec<Output>) {
        match input {
            Input::Turn if self.turn == Turn::Wanted => self.turn = Turn::Held,
            Input::Turn => out.push(Output::YieldTurn),
            Input::Opened { stored } => self.on_opened(now, stored, out),
            // What we saw ourselves says more than what it looks like afterwards.
            Input::Noted(words) => self.note = self.note.take().or(Some(words)),
            Input::AddSource(source) => self.sources.add(now, source),
            Input::Pushing { source } => {
                if let Some(known) = self.sources.get_mut(source) {
                    known.pushing = true;
                }
            }
            Input::Head { source, head } => {
                if let Some(known) = self.sources.get_mut(source) {
                    known.pushing = false;
                }
                self.on_head(now, source, head, out);
            }
            Input::Wrote { source, range, stored } => self.on_wrote(now, source, range, stored),
            Input::BodyEnd { source } => self.on_body_end(now, source, out),
            Input::Lost { source, how } => {
                self.sources.closed(source);
                self.on_lost(now, source, &how, out);
            }
            Input::Judged { right, wrong } => self.on_judged(&right, &wrong, out),
            Input::Tree { source, row } => self.on_tree(now, source, row, out),
            Input::NoTree { source, lie } => self.on_no_tree(now, source, lie, out),
            Input::Verified(found) => self.on_verified(now, found, out),
            Input::Changed { blocks, words } => self.on_changed(&blocks, words),
            Input::Finished if self.phase == Phase::Finishing => self.end(Phase::Done, out),
            Input::Altered if self.phase == Phase::Finishing => {
                self.phase = Phase::Verifying;
                out.push(Output::Verify);
            }
            Input::Finished | Input::Altered => {}
            Input::Gone(words) => self.on_gone(words, out),
            Input::DiskFailed(words) => self.on_disk_failed(words, out),
            Input::NetworkChanged => self.on_network_changed(now),
            Input::Pause if matches!(self.phase, Phase::Fetching | Phase::Verifying) => self.end(Phase::Paused, out),
            Input::Resume if self.phase == Phase::Paused => self.phase = Phase::Fetching,
            Input::Pause | Input::Resume => {}
            Input::Cancel => self.on_cancel(out),
            Input::Retry => self.on_retry(now),
            Input::Prefer(from) => self.prefer(from),
        }
        self.advance(now, out);
    }

    /// The moment that [`Download::next_timeout`] named has come; also once at the start.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Vec<Output>) {
        self.advance(now, out);
    }

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

    /// What it does.
    pub fn state(&self) -> State {
        match &self.phase {
            Phase::Verifying | Phase::Finishing => State::Verifying,
            Phase::Done => State::Done,
            Phase::Paused => State::Paused,
            Phase::Failed(..) => State::Failed,
            Phase::Cancelled => State::Cancelled,
            Phase::Fetching if self.sources.any(|contact| matches!(contact, Contact::Receiving(_))) => {
                State::Downloading
            }
            Phase::Fetching if self.sources.active() > 0 => State::Connecting,
            Phase::Fetching if self.turn == Turn::Wanted || self.partial == Partial::Opening => State::Queued,
            Phase::Fetching => State::Waiting,
        }
    }

    /// Why it is in this state; and what happened to its partial file, if that is worth a word.
    pub fn reason(&self, now: Instant) -> String {
        match (&self.note, self.why(now)) {
            (Some(note), why) if !matches!(self.phase, Phase::Failed(..) | Phase::Cancelled) => {
                format!("{why} ({note})")
            }
            (_, why) => why,
        }
    }

    fn why(&self, now: Instant) -> String {
        match (&self.phase, self.state()) {
            (Phase::Failed(_, words), _) => words.clone(),
            (Phase::Finishing, _) => "moving it into place".to_owned(),
            (Phase::Verifying, _) => match self.expected.urn() {
                Some(urn) => format!("checking that it is {urn}"),
                None => "checking its size".to_owned(),
            },
            (_, State::Done) => match self.verified {
                None | Some(Check::None) => "only its size could be checked".to_owned(),
                Some(check) => format!("checked by {}", check.word()),
            },
            (_, State::Paused) => "paused by you".to_owned(),
            (_, State::Cancelled) => "cancelled by you".to_owned(),
            (_, State::Queued) if self.partial == Partial::Opening => "checking what is on disk already".to_owned(),
            (_, State::Queued) => "waiting for its turn".to_owned(),
            (_, State::Connecting) => self.why_connecting(),
            (_, State::Downloading) => format!("from {}", self.peers()),
            _ => self.why_waiting(now),
        }
    }

    /// When it tries again by itself, while it waits.
    pub fn next_try(&self) -> Option<Instant> {
        if self.state() == State::Waiting { self.next_timeout() } else { None }
    }

    /// Why it failed.
    pub fn failure(&self) -> Option<Failure> {
        match self.phase {
            Phase::Failed(failure, _) => Some(failure),
            _ => None,
        }
    }

    /// The check that it passed, once it did.
    pub fn verified(&self) -> Option<Check> {
        self.verified
    }

    /// What it must be.
    pub fn expected(&self) -> &Expected {
        &self.expected
    }

    /// Its size, once known.
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// Whether its partial file is open: before that it does not know what is there.
    pub fn is_open(&self) -> bool {
        self.partial == Partial::Open
    }

    /// Who said so.
    pub fn size_from(&self) -> SizeFrom {
        self.size_from
    }

    /// Bytes that count.
    pub fn done(&self) -> u64 {
        self.map.done()
    }

    /// Bytes that were written in this run: what is more than [`Download::done`] was fetched in vain, or before.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// What is there.
    pub fn map(&self) -> &BlockMap {
        &self.map
    }

    /// Its sources, but for those that lied.
    pub fn sources(&self) -> impl Iterator<Item = &Source> {
        self.sources.usable()
    }

    /// Those that lied, and how. They are never asked again, in later runs neither: see [`Download::remember_liar`].
    pub fn liars(&self) -> impl Iterator<Item = (&Source, &str)> {
        let banned = self.sources.iter().filter(|known| known.contact == Contact::Banned);
        banned.map(|known| (&known.source, known.words()))
    }

    /// In an earlier run that source lied.
    pub fn remember_liar(&mut self, now: Instant, source: Source, words: String) {
        self.sources.add(now, source.clone());
        let id = self.sources.iter().find(|known| known.source.is_same(&source)).map(|known| known.id);
        if let Some(id) = id {
            self.sources.ban(id, words);
        }
    }

    /// All sources: what each is to us now, the bytes that came from it, and what it did last.
    pub fn report(&self) -> impl Iterator<Item = SourceReport<'_>> {
        self.sources.iter().map(|known| SourceReport {
            source: &known.source,
            state: match known.contact {
                Contact::Asked(_) => "asked",
                Contact::Receiving(_) => "sends",
                Contact::Idle => "waits",
                Contact::Gone => "gone",
                Contact::Differs | Contact::Apart => "apart",
                Contact::Banned => "banned",
            },
            bytes: known.bytes,
            words: known.words(),
        })
    }

    /// Those that it is asking or receiving from.
    pub fn active(&self) -> impl Iterator<Item = &Source> {
        self.sources.iter().filter(|known| known.is_active()).map(|known| &known.source)
    }

    fn why_connecting(&self) -> String {
        match self.sources.iter().filter(|known| known.is_active()).all(|known| known.pushing) {
            true => format!("waiting for a connection back from {}, which cannot be connected to", self.peers()),
            false => format!("asking {}", self.peers()),
        }
    }

    fn peers(&self) -> String {
        self.active().map(Source::to_string).collect::<Vec<_>>().join(", ")
    }

    fn why_waiting(&self, now: Instant) -> String {
        let again = |at: Instant| clock(at.since(now));
        let asking = self.can_requery().then(|| format!("asking the network again in {}", again(self.requery_at)));
        let words = match self.sources.spokesman() {
            Some(known) if known.can_be_asked() => {
                format!("{}, next try {}", known.situation(), again(known.due))
            }
            Some(known) => known.situation(),
            None => "waiting for source: none known".to_owned(),
        };
        // With a source that will be tried sooner, the network is only the second hope.
        match (asking, self.next_ask()) {
            (Some(asking), due) if due.is_none_or(|due| self.requery_at <= due) => format!("{words}; {asking}"),
            _ => words,
        }
    }

    /// Decides what comes next. Everything that changes what could be done ends here.
    fn advance(&mut self, now: Instant, out: &mut Vec<Output>) {
        self.looked = now;
        if self.phase != Phase::Fetching || self.partial == Partial::Opening {
            return;
        }
        if let (Some(size), Partial::Closed) = (self.size, self.partial) {
            self.partial = Partial::Opening;
            out.push(Output::Open { size });
            return;
        }
        if self.partial == Partial::Open && self.map.is_complete() {
            self.sources.drop_all(out);
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

    fn want_turn(&mut self, out: &mut Vec<Output>) {
        if self.turn == Turn::None {
            self.turn = Turn::Wanted;
            out.push(Output::WantTurn);
        }
    }

    fn yield_turn(&mut self, out: &mut Vec<Output>) {
        if self.turn != Turn::None {
            self.turn = Turn::None;
            out.push(Output::YieldTurn);
        }
    }

    /// Nobody can be asked now: others may have our turn, and the network may know somebody.
    fn rest(&mut self, now: Instant, out: &mut Vec<Output>) {
        self.yield_turn(out);
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
        }
    }

    fn can_requery(&self) -> bool {
        self.expected.urn().is_some()
    }

    /// When the next source may be asked.
    fn next_ask(&self) -> Option<Instant> {
        match self.soloist() {
            Some(one) => self.sources.due(one),
            None => self.sources.next_due(),
        }
    }

    /// To know who sends wrong bytes, all of them must come from one source: the one that has begun, as long as
    /// it is worth waiting for.
    fn soloist(&self) -> Option<SourceId> {
        let contributors = self.sources.contributors();
        match contributors.as_slice() {
            [one] if self.alone && self.sources.is_promising(*one) => Some(*one),
            _ => None,
        }
    }

    /// The size to believe in from now on, when sources say different ones and the first to speak was not right.
    fn better_size(&self) -> Option<u64> {
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
    fn pause(&mut self, first: Duration, max: Duration, times: u32) -> Duration {
        let pause = backoff(first, max, times.saturating_add(1));
        pause + pause.mul_f64(self.rng.below(250) as f64 / 1000.0)
    }

    fn on_opened(&mut self, now: Instant, stored: Vec<(usize, Blake3)>, out: &mut Vec<Output>) {
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

    fn on_wrote(&mut self, now: Instant, source: SourceId, range: Range<u64>, stored: Vec<(usize, Blake3)>) {
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

    /// Of blocks that are not proven yet it may turn out that they are wrong.
    fn remember_sender(&mut self, source: SourceId, bytes: &Range<u64>) {
        let bytes = bytes.start..bytes.end.min(self.map.size());
        if bytes.is_empty() {
            return;
        }
        for index in self.map.index_at(bytes.start)..=self.map.index_at(bytes.end - 1) {
            let block = self.map.range(index);
            if !matches!(self.map.block(index), Block::Stored(_)) {
                self.tree.sent(index, bytes.start.max(block.start)..bytes.end.min(block.end), source);
            }
        }
    }

    /// The whole was there, but is not any more what it was: the rest of it stays, and who sent it is not to blame.
    fn on_changed(&mut self, blocks: &[usize], words: String) {
        if self.phase == Phase::Verifying {
            for index in blocks {
                self.map.forget(*index);
                self.tree.forget(*index);
            }
            self.note = Some(words);
            self.phase = Phase::Fetching;
        }
    }

    /// Without a word from us: what is fetched from now on goes to a new partial file.
    fn on_gone(&mut self, words: String, out: &mut Vec<Output>) {
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

    fn on_disk_failed(&mut self, words: String, out: &mut Vec<Output>) {
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

    /// New neighbours may know what the old ones did not; but a network that comes and goes is no reason to
    /// ask all the time.
    fn on_network_changed(&mut self, now: Instant) {
        let earliest = self.requeried_at.map_or(now, |at| at + self.config.requery_first);
        self.requery_at = self.requery_at.min(earliest.max(now + Duration::from_millis(500)));
    }

    fn on_cancel(&mut self, out: &mut Vec<Output>) {
        // While it is moved into place it is too late: it will be done in a moment.
        if matches!(self.phase, Phase::Done | Phase::Cancelled | Phase::Finishing) {
            return;
        }
        self.end(Phase::Cancelled, out);
        self.partial = Partial::Closed;
        self.map.clear();
        out.push(Output::Discard);
    }

    fn on_retry(&mut self, now: Instant) {
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

    fn on_verified(&mut self, now: Instant, found: Expected, out: &mut Vec<Output>) {
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

    /// Nothing of what was fetched counts any more.
    fn start_anew(&mut self, out: &mut Vec<Output>) {
        self.map.clear();
        self.tree.forget_blocks();
        self.inherited = false;
        self.partial = Partial::Closed;
        self.sources.forget_contributions();
        out.push(Output::Discard);
    }

    fn fail(&mut self, failure: Failure, words: String, out: &mut Vec<Output>) {
        self.end(Phase::Failed(failure, words), out);
    }

    /// Ends all contacts.
    fn end(&mut self, phase: Phase, out: &mut Vec<Output>) {
        self.sources.drop_all(out);
        self.pending = None;
        self.phase = phase;
        self.yield_turn(out);
    }
}

/// `0:20`, `1:05:00`.
fn clock(time: Duration) -> String {
    let seconds = time.as_millis().div_ceil(1000);
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, minutes, seconds) => format!("{minutes}:{seconds:02}"),
        (hours, minutes, seconds) => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

#[cfg(test)]
mod tests;
