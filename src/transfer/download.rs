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
mod disk;
mod end;
mod io;
mod next;
mod order;
mod picture;
mod play;
mod share;
mod sources;
mod tree;
mod words;

use std::net::SocketAddr;

use super::{Block, BlockMap, Check, Expected, Source};
use crate::base::{Instant, Rng};
use crate::wire::http::Response;

pub use io::{DownloadConfig, Failure, Input, Lost, Output, State};
pub use picture::{Picture, Run, Shade, SourceNow};
pub use play::{MAX_PREFERRED, Shows};
pub use sources::SourceId;
use sources::{Contact, Sources};
use tree::Tree;
pub use tree::Wrong;
pub use words::SourceReport;

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
    /// All bytes are there: what is left to do needs no connection.
    Ending,
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
    /// It was looked at, and nothing is there: it is opened when there is somebody to ask.
    Shut,
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
    /// Where others who fetch the file reach us, as we tell them.
    us: Option<SocketAddr>,
}

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
            us: None,
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
            Input::LetGo if self.phase == Phase::Fetching && self.sources.active() == 0 => self.let_go(out),
            Input::LetGo => {}
            Input::NetworkChanged => self.on_network_changed(now),
            Input::Pause if matches!(self.phase, Phase::Fetching | Phase::Verifying) => self.end(Phase::Paused, out),
            Input::Resume if self.phase == Phase::Paused => self.phase = Phase::Fetching,
            Input::Pause | Input::Resume => {}
            Input::Cancel => self.on_cancel(out),
            Input::Retry => self.on_retry(now),
            Input::Prefer(from) => self.prefer(from),
            Input::Us(addr) => self.us = Some(addr),
        }
        self.advance(now, out);
    }

    /// The moment that [`Download::next_timeout`] named has come; also once at the start.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Vec<Output>) {
        self.advance(now, out);
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

    /// Where others who fetch the file reach us, as far as it was told.
    pub fn us(&self) -> Option<SocketAddr> {
        self.us
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

    /// Those that it is asking or receiving from.
    pub fn active(&self) -> impl Iterator<Item = &Source> {
        self.sources.iter().filter(|known| known.is_active()).map(|known| &known.source)
    }
}

#[cfg(test)]
mod tests;
