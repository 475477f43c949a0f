//! One row of `transfers`: one file to one address, however many requests it takes, and the wait before them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::super::meter::Meter;
use super::super::view::TransferView;
use crate::library::SharedFile;
use crate::wire::Guid;

/// An upload between two requests for the same file counts as interrupted after this.
const BETWEEN: Duration = Duration::from_secs(30);

/// Why nothing is sent, when the user wants it so.
const HELD: &str = "; uploads are paused: their limit is 0 (filbert limits)";

pub(super) struct Row {
    pub(super) file: Arc<SharedFile>,
    pub(super) peer: SocketAddr,
    /// Bytes of requests that ended.
    pub(super) sent: u64,
    /// Of those under way.
    pub(super) running: Vec<Arc<AtomicU64>>,
    /// The last byte of the file was sent.
    pub(super) reached_end: bool,
    pub(super) waits: Waits,
    pub(super) begun: Instant,
    pub(super) last: Instant,
    pub(super) meter: Meter,
}

/// The wait for a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waits {
    /// For none.
    No,
    /// In the line.
    At(Waiting),
    /// It has lost its place.
    NoMore,
}

/// A place in the line, as it was last told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) id: Guid,
    pub(super) position: usize,
    pub(super) length: usize,
    /// The client was asked to come back then.
    pub(super) due: Instant,
    pub(super) own_cap: bool,
}

impl Row {
    pub(super) fn new(file: &Arc<SharedFile>, peer: SocketAddr, now: Instant) -> Self {
        Self {
            file: Arc::clone(file),
            peer,
            sent: 0,
            running: Vec::new(),
            reached_end: false,
            waits: Waits::No,
            begun: now,
            last: now,
            meter: Meter::default(),
        }
    }

    pub(super) fn done(&self) -> u64 {
        self.sent + self.running.iter().map(|sent| sent.load(Ordering::Relaxed)).sum::<u64>()
    }

    /// Whether nothing is under way and nobody waits.
    pub(super) fn is_over(&self) -> bool {
        self.running.is_empty() && !matches!(self.waits, Waits::At(_))
    }

    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        !self.is_over() || now.duration_since(self.last) < BETWEEN
    }

    pub(super) fn place(&self) -> Option<Guid> {
        match self.waits {
            Waits::At(waiting) => Some(waiting.id),
            Waits::No | Waits::NoMore => None,
        }
    }

    /// `held`: nothing is sent for now.
    pub(super) fn view(&self, id: u64, now: Instant, held: bool) -> TransferView {
        let (done, size) = (self.done(), self.file.stamp.size);
        let peer = self.peer.to_string();
        let (state, mut reason) = self.state(&peer, now);
        if held && !self.is_over() {
            reason.push_str(HELD);
        }
        let rate = if state == "uploading" { self.meter.rate(now) } else { 0 };
        let eta = (rate > 0).then(|| size.saturating_sub(done) / rate);
        let end = if self.is_over() { self.last } else { now };
        let next_try = match self.waits {
            Waits::At(waiting) if self.running.is_empty() => Some(waiting.due.saturating_duration_since(now).as_secs()),
            _ => None,
        };
        TransferView {
            id,
            direction: "up".to_owned(),
            priority: None,
            name: self.file.name.clone(),
            urn: self.file.digests.map(|digests| format!("urn:sha1:{}", digests.sha1)),
            state: state.to_owned(),
            done,
            size: Some(size),
            rate_bps: rate,
            sources: 0,
            reason,
            eta_s: eta,
            next_try_s: next_try,
            path: None,
            verified: None,
            error: None,
            elapsed_ms: u64::try_from(end.duration_since(self.begun).as_millis()).unwrap_or(u64::MAX),
            peer: Some(peer),
            received: 0,
            players: 0,
            from: Vec::new(),
        }
    }

    fn state(&self, peer: &str, now: Instant) -> (&'static str, String) {
        if !self.running.is_empty() {
            return ("uploading", format!("to {peer}"));
        }
        match self.waits {
            Waits::At(Waiting { position, length, own_cap: false, .. }) => {
                return ("queued", format!("{peer} waits for a slot: place {position} of {length}"));
            }
            Waits::At(Waiting { position, length, own_cap: true, .. }) => {
                let why = "its address gets as many files as it may";
                return ("queued", format!("{peer} waits for a slot: place {position} of {length}, and {why}"));
            }
            Waits::NoMore if !self.reached_end => {
                return ("cancelled", format!("{peer} did not come back for its place in the queue"));
            }
            Waits::NoMore | Waits::No => {}
        }
        match (self.reached_end, self.is_fresh(now)) {
            (true, _) => ("done", format!("{peer} has it to the end")),
            (false, true) => ("waiting", format!("{peer} may ask for the rest")),
            (false, false) => ("cancelled", format!("{peer} asked for no more")),
        }
    }
}
