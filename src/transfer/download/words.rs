//! What a download does, why, and what each of its sources is to it, in words.

use std::time::Duration;

use super::sources::Contact;
use super::{Check, Download, Partial, Phase, Source, State, Turn};
use crate::base::Instant;

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

impl Download {
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
}

/// `0:20`, `1:05:00`.
fn clock(time: Duration) -> String {
    let seconds = time.as_millis().div_ceil(1000);
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, minutes, seconds) => format!("{minutes}:{seconds:02}"),
        (hours, minutes, seconds) => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}
