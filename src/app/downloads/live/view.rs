//! A download as the outside sees it.

use std::path::PathBuf;
use std::time::Instant as Clock;

use super::{Inner, Whose};
use crate::app::ErrorCode;
use crate::app::downloads::record::Standing;
use crate::app::view::{FromView, TransferView};
use crate::base::Instant;
use crate::transfer::{Download, Failure, Shows, Source, SourceReport, State};

/// Why it rests then.
const HELD: &str = "downloads are paused: their limit is 0 (filbert limits)";

/// What a player is told to whom nothing can be shown yet.
const PLAYED_LATER: &str = "it can be played when all of it is checked: no source has its tree";

impl Inner {
    /// Wrong bytes are removed before anybody is told of the failure: who hears of it finds nothing left.
    fn is_removing(&self) -> bool {
        let failure = self.machine.as_ref().and_then(Download::failure);
        failure == Some(Failure::Verification) && (self.at_work || !self.outbox.is_empty())
    }

    /// Where its machine stands, if it has one.
    fn state(&self) -> Option<State> {
        let machine = self.machine.as_ref()?;
        Some(if self.is_removing() { State::Verifying } else { machine.state() })
    }

    /// Bytes a second that it receives now.
    pub(super) fn rate(&self) -> u64 {
        if self.state() == Some(State::Downloading) { self.meter.rate(Clock::now()) } else { 0 }
    }

    pub(super) fn view(&self, now: Instant) -> TransferView {
        let record = &self.record;
        let machine = self.machine.as_ref();
        let state = self.state().map_or_else(|| word(record.standing), State::word);
        let rate = self.rate();
        let (done, size) = (self.done(), machine.map_or(record.size, Download::size));
        let left = size.map(|size| size.saturating_sub(done));
        let next_try = machine.and_then(Download::next_try).map(|at| at.since(now).as_millis().div_ceil(1000) as u64);
        TransferView {
            id: record.id,
            direction: "down".to_owned(),
            priority: Some(record.priority.word().to_owned()),
            name: record.name.clone(),
            urn: record.urn(),
            state: state.to_owned(),
            done,
            size,
            rate_bps: rate,
            sources: machine.map_or(record.sources.len(), |machine| machine.sources().count()) as u64,
            reason: self.reason(now),
            eta_s: left.filter(|_| rate > 0).map(|left| left.div_ceil(rate)),
            next_try_s: next_try,
            path: Some(self.path()),
            verified: machine.map_or_else(|| record.verified.clone(), verified),
            error: machine.map_or(record.error, |machine| machine.failure().map(error_code)),
            elapsed_ms: self.elapsed_ms(),
            peer: machine.and_then(|machine| machine.active().next()).map(Source::to_string),
            received: machine.map_or(0, Download::received),
            players: self.readers.count(),
            from: machine.map_or_else(Vec::new, |machine| machine.report().map(FromView::of).collect()),
        }
    }

    fn reason(&self, now: Instant) -> String {
        let reason = match (&self.machine, &self.whose) {
            (Some(machine), _) if self.held && machine.state() == State::Paused => HELD.to_owned(),
            (Some(machine), _) if self.readers.is_played() && machine.shows() == Shows::AtTheEnd => {
                format!("{}; {PLAYED_LATER}", machine.reason(now))
            }
            (Some(machine), _) => machine.reason(now),
            (None, Whose::Elsewhere) => "a `get` without the servent fetches it".to_owned(),
            (None, _) => self.record.reason.clone(),
        };
        match &self.unkept {
            Some(why) if !self.current_standing().is_over() => format!("{reason}; a crash now would lose it: {why}"),
            _ => reason,
        }
    }

    /// The finished file, or the folder that it will lie in.
    fn path(&self) -> PathBuf {
        self.record.path.clone().unwrap_or_else(|| self.record.dir.clone())
    }
}

/// The clock alone is no change.
pub(super) fn differs(a: &TransferView, b: &TransferView) -> bool {
    let facts = |view: &TransferView| {
        let TransferView { state, done, size, rate_bps, sources, reason, name, priority, .. } = view;
        (state.clone(), *done, *size, *rate_bps, *sources, reason.clone(), name.clone(), priority.clone())
    };
    facts(a) != facts(b)
}

impl FromView {
    fn of(report: SourceReport<'_>) -> Self {
        let SourceReport { source, state, bytes, words } = report;
        Self { addr: source.to_string(), state: state.to_owned(), bytes, words: words.to_owned() }
    }
}

pub(super) fn verified(machine: &Download) -> Option<String> {
    machine.verified().filter(|_| machine.state() == State::Done).map(|check| check.word().to_owned())
}

fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::Unfinished => State::Queued.word(),
        Standing::Paused => State::Paused.word(),
        Standing::Done => State::Done.word(),
        Standing::Failed => State::Failed.word(),
        Standing::Cancelled => State::Cancelled.word(),
    }
}

pub(super) fn error_code(failure: Failure) -> ErrorCode {
    match failure {
        Failure::Verification => ErrorCode::VerificationFailed,
        Failure::NotFound => ErrorCode::NotFound,
        Failure::Refused => ErrorCode::Refused,
        Failure::Disk => ErrorCode::Failed,
    }
}
