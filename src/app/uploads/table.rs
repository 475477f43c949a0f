//! Rows and slots: what is given, what waits, and what of it is news.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::meter::Meter;
use super::super::view::TransferView;
use super::TICK;
use super::browse::Browsers;
use super::row::{Row, Waiting, Waits};
use super::trees::Trees;
use crate::base;
use crate::base::Rng;
use crate::library::SharedFile;
use crate::transfer::queue::{Place, Queue, QueueConfig};

/// Rows of uploads that ended are kept up to this many.
const KEPT: usize = 50;
/// When nothing is sent, what waits is looked at this often at most.
const IDLE_TICK: Duration = Duration::from_secs(1);

pub(super) struct Table {
    pub(super) queue: Queue,
    pub(super) rows: BTreeMap<u64, Row>,
    pub(super) meter: Meter,
    pub(super) trees: Trees,
    pub(super) browsers: Browsers,
    pub(super) ticking: bool,
    /// Nothing is sent for now: its limit is 0.
    pub(super) held: bool,
    /// The queue's time begins here.
    began: Instant,
    /// Rows that others have not heard of as they are now.
    news: BTreeSet<u64>,
    /// What others were told.
    busy: bool,
    /// Bytes sent by rows that are forgotten.
    forgotten: u64,
}

impl Table {
    pub(super) fn new(config: QueueConfig, mut rng: Rng) -> Self {
        Self {
            browsers: Browsers::new(rng.fork()),
            queue: Queue::new(config, rng),
            rows: BTreeMap::new(),
            meter: Meter::default(),
            trees: Trees::new(),
            ticking: false,
            held: false,
            began: Instant::now(),
            news: BTreeSet::new(),
            busy: false,
            forgotten: 0,
        }
    }

    /// A moment on the queue's clock.
    pub(super) fn clock(&self, now: Instant) -> base::Instant {
        base::Instant::ZERO + now.saturating_duration_since(self.began)
    }

    pub(super) fn sent(&self) -> u64 {
        self.forgotten + self.rows.values().map(Row::done).sum::<u64>()
    }

    /// The row of that file to that address, which begins now if there is none that goes on.
    pub(super) fn row(
        &mut self,
        file: &Arc<SharedFile>,
        peer: SocketAddr,
        now: Instant,
        next_id: impl FnOnce() -> u64,
    ) -> (u64, &mut Row) {
        let same = |row: &Row| {
            row.file.index == file.index && row.peer.ip() == peer.ip() && !row.reached_end && row.is_fresh(now)
        };
        let id = self.rows.iter().rfind(|(_, row)| same(row)).map(|(id, _)| *id).unwrap_or_else(next_id);
        self.news.insert(id);
        let row = self.rows.entry(id).or_insert_with(|| Row::new(file, peer, now));
        (row.last, row.peer) = (now, peer);
        (id, row)
    }

    /// That row waits at that place from now on, and no other does.
    pub(super) fn wait(&mut self, id: u64, place: &Place, now: Instant) {
        let Place { id: name, position, length, retry, own_cap, .. } = *place;
        for (other, row) in self.rows.iter_mut().filter(|(_, row)| row.place() == Some(name)) {
            row.waits = Waits::No;
            self.news.insert(*other);
        }
        if let Some(row) = self.rows.get_mut(&id) {
            row.waits = Waits::At(Waiting { id: name, position, length, due: now + retry, own_cap });
            self.news.insert(id);
        }
    }

    /// Gives no slots from now on, or as ever; who waits or sends is told why.
    pub(super) fn hold(&mut self, held: bool) {
        self.queue.close(held);
        self.held = held;
        self.news.extend(self.rows.iter().filter(|(_, row)| !row.is_over()).map(|(id, _)| *id));
    }

    /// A connection has ended.
    pub(super) fn gone(&mut self, from: SocketAddr, now: Instant) {
        self.queue.gone(from);
        self.expire(now);
    }

    /// Lets go of places that nobody came back for, and moves the others up.
    pub(super) fn expire(&mut self, now: Instant) {
        let clock = self.clock(now);
        self.queue.expire(clock);
        for (id, row) in &mut self.rows {
            let Waits::At(waiting) = &mut row.waits else { continue };
            match self.queue.position(waiting.id) {
                Some(place) if place == (waiting.position, waiting.length) => continue,
                Some(place) => (waiting.position, waiting.length) = place,
                None => (row.waits, row.last) = (Waits::NoMore, now),
            }
            self.news.insert(*id);
        }
    }

    /// Looks at what runs and waits; the pause until the next look, if there is to be one.
    pub(super) fn look(&mut self, now: Instant) -> Option<Duration> {
        let total = self.sent();
        self.meter.sample(now, total);
        self.expire(now);
        let mut running = false;
        for (id, row) in self.rows.iter_mut().filter(|(_, row)| !row.running.is_empty()) {
            let done = row.done();
            row.meter.sample(now, done);
            row.last = now;
            self.news.insert(*id);
            running = true;
        }
        let waiting = self.queue.next_timeout().is_some();
        self.ticking = running || waiting;
        match (running, waiting) {
            (true, _) => Some(TICK),
            (false, true) => Some(IDLE_TICK),
            (false, false) => None,
        }
    }

    /// What others have not heard of: rows that changed, and whether we are busy, if that changed.
    pub(super) fn news(&mut self, now: Instant) -> (Vec<TransferView>, Option<bool>) {
        let ids = std::mem::take(&mut self.news);
        let views = ids.into_iter().filter_map(|id| Some(self.rows.get(&id)?.view(id, now, self.held))).collect();
        let busy = self.queue.is_busy(self.clock(now));
        let told = std::mem::replace(&mut self.busy, busy);
        (views, (told != busy).then_some(busy))
    }

    pub(super) fn changed(&mut self, id: u64) {
        self.news.insert(id);
    }

    pub(super) fn forget_old(&mut self) {
        let over = self.rows.iter().filter(|(_, row)| row.is_over()).map(|(id, _)| *id);
        let mut over: Vec<u64> = over.collect();
        let too_many = over.len().saturating_sub(KEPT);
        over.truncate(too_many);
        for id in over {
            self.forgotten += self.rows.remove(&id).map_or(0, |row| row.done());
        }
    }
}
