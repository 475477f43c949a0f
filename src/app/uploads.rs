//! The uploads: what peers fetch from us, decided by [`crate::transfer::upload`], opened beneath the shares by
//! the closure that `disk` stands behind, sent by `net::serve`.
//!
//! A request is a look-up by content or by number; nothing of it ever becomes a path. One row of `transfers` is
//! one file to one address, however many requests it takes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;

use super::meter::Meter;
use super::view::TransferView;
use crate::library::{RootId, SharedFile, Stamp};
use crate::net::rt;
use crate::net::serve::{Answer, Body, Shelf};
use crate::transfer::upload::{self, Found, Offer, Slots};
use crate::wire::http::{Request, Target};

/// A client that found all slots taken is asked to come back after so many seconds.
const RETRY_AFTER: u32 = 20;
/// Rows of uploads that ended are kept up to this many.
const KEPT: usize = 50;
/// An upload between two requests for the same file counts as interrupted after this.
const BETWEEN: Duration = Duration::from_secs(30);
/// How often running uploads are looked at.
const TICK: Duration = Duration::from_millis(500);

/// How much is given away at a time.
#[derive(Clone, Debug)]
pub struct UploadsConfig {
    /// Files sent at a time; the next request is answered with 503 and `Retry-After`.
    pub slots: usize,
    /// ... to one public address. Loopback, link-local and private addresses are exempt.
    pub slots_per_address: usize,
    /// `Server` of our answers.
    pub agent: String,
}

impl Default for UploadsConfig {
    fn default() -> Self {
        Self { slots: 16, slots_per_address: 2, agent: concat!("filbert/", env!("CARGO_PKG_VERSION")).to_owned() }
    }
}

/// Looks up what a request means.
pub type Find = dyn Fn(&Target) -> Option<Arc<SharedFile>> + Send + Sync;
/// Opens a shared file beneath its folder, and tells how it is now.
pub type Open = dyn Fn(RootId, &Path) -> io::Result<(File, Stamp)> + Send + Sync;

/// What the uploads need of the rest of the servent.
pub struct UploadHooks {
    /// The shared file that a request means: a look-up, never a path.
    pub find: Box<Find>,
    /// Opens a shared file beneath its folder's handle. Called where it may block.
    pub open: Box<Open>,
    /// A fresh number for a transfer.
    pub next_id: Box<dyn Fn() -> u64 + Send + Sync>,
    /// An upload has changed: at most twice a second each, and when it ends.
    pub changed: Box<dyn Fn(TransferView) + Send + Sync>,
    /// All slots are taken, or are not any more.
    pub busy: Box<dyn Fn(bool) + Send + Sync>,
}

/// All uploads of a servent; a clone is a handle to the same set. It is the shelf that `net::serve` asks.
#[derive(Clone)]
pub struct Uploads(Arc<Inner>);

struct Inner {
    config: UploadsConfig,
    hooks: UploadHooks,
    table: Mutex<Table>,
}

struct Table {
    slots: Slots,
    rows: BTreeMap<u64, Row>,
    ticking: bool,
    meter: Meter,
    /// Bytes sent by rows that are forgotten.
    forgotten: u64,
}

/// One file to one address.
struct Row {
    file: Arc<SharedFile>,
    peer: SocketAddr,
    /// Bytes of requests that ended.
    sent: u64,
    /// Of those under way.
    running: Vec<Arc<AtomicU64>>,
    /// The last byte of the file was sent.
    reached_end: bool,
    begun: Instant,
    last: Instant,
    meter: Meter,
}

impl Uploads {
    /// No uploads yet.
    pub fn new(config: UploadsConfig, hooks: UploadHooks) -> Self {
        let table = Table {
            slots: Slots::new(config.slots, config.slots_per_address),
            rows: BTreeMap::new(),
            ticking: false,
            meter: Meter::default(),
            forgotten: 0,
        };
        Self(Arc::new(Inner { config, hooks, table: Mutex::new(table) }))
    }

    /// Those that run and those that ended lately (the last 50), in the order of their ids.
    pub fn views(&self) -> Vec<TransferView> {
        let now = Instant::now();
        self.0.table().rows.iter().map(|(id, row)| row.view(*id, now)).collect()
    }

    /// Bytes a second that are sent now.
    pub fn rate(&self) -> u64 {
        self.0.table().meter.rate(Instant::now())
    }

    /// Bytes sent since the start.
    pub fn sent(&self) -> u64 {
        self.0.table().sent()
    }
}

impl Shelf for Uploads {
    fn answer<'a>(&'a self, request: &'a Request, from: SocketAddr) -> BoxFuture<'a, Answer> {
        Inner::answer(Arc::clone(&self.0), request, from).boxed()
    }
}

impl Inner {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(self: Arc<Self>, request: &Request, from: SocketAddr) -> Answer {
        let agent = &self.config.agent;
        let Some((shared, file)) = self.find(request).await else {
            return plain(upload::plan(request, Found::Nothing, agent));
        };
        let offer = Offer { name: shared.name.clone(), size: shared.stamp.size, digests: shared.digests };
        let plan = upload::plan(request, Found::Offer(&offer), agent);
        let Some(body) = plan.body.clone() else { return plain(plan) };
        let Some(slot) = Slot::take(&self, &shared, from, body.end == offer.size, body.end - body.start) else {
            return plain(upload::plan(request, Found::Busy(&offer, RETRY_AFTER), agent));
        };
        let sent = Arc::clone(&slot.sent);
        Answer { head: plan.head, body: Body::File(Arc::new(file), body), sent, slot: Some(Box::new(slot)) }
    }

    /// The file that is asked for, open, if it still is what we know it as.
    async fn find(self: &Arc<Self>, request: &Request) -> Option<(Arc<SharedFile>, File)> {
        let target = request.target();
        let shared = match &target {
            Target::ByUrn(_) => (self.hooks.find)(&target),
            // Numbers are given anew at each start: the name has to agree.
            Target::ByIndex(_, name) => {
                (self.hooks.find)(&target).filter(|shared| upload::same_name(&shared.name, name))
            }
            Target::Tree(_) | Target::Browse | Target::Unknown => None,
        }?;
        let (inner, wanted) = (Arc::clone(self), Arc::clone(&shared));
        let opened = rt::spawn_blocking(move || (inner.hooks.open)(wanted.root, &wanted.path)).await;
        match opened {
            Ok((file, stamp)) if is_same_content(&stamp, &shared.stamp) => Some((shared, file)),
            Ok(_) => {
                log::debug!("{} has changed since it was last looked at; not given", shared.path.display());
                None
            }
            Err(error) => {
                log::debug!("cannot open {}: {error}", shared.path.display());
                None
            }
        }
    }

    /// While anything is sent: rates and events. Nothing wakes up when nothing is.
    fn tick(self: &Arc<Self>) {
        let inner = Arc::clone(self);
        rt::spawn(async move {
            loop {
                rt::sleep(TICK).await;
                if !inner.look() {
                    return;
                }
            }
        })
        .detach();
    }

    /// Samples what runs; `false` when nothing does.
    fn look(&self) -> bool {
        let now = Instant::now();
        let mut table = self.table();
        let total = table.sent();
        table.meter.sample(now, total);
        let mut changed = Vec::new();
        for (id, row) in table.rows.iter_mut().filter(|(_, row)| !row.running.is_empty()) {
            let done = row.done();
            row.meter.sample(now, done);
            row.last = now;
            changed.push(row.view(*id, now));
        }
        table.ticking = !changed.is_empty();
        let go_on = table.ticking;
        drop(table);
        changed.into_iter().for_each(|view| (self.hooks.changed)(view));
        go_on
    }
}

impl Table {
    fn sent(&self) -> u64 {
        self.forgotten + self.rows.values().map(Row::done).sum::<u64>()
    }

    /// The row of that file to that address, if it is not long over.
    fn row(&mut self, file: &SharedFile, from: IpAddr, now: Instant) -> Option<u64> {
        let same =
            |row: &Row| row.file.index == file.index && row.peer.ip() == from && !row.reached_end && row.is_fresh(now);
        self.rows.iter().rfind(|(_, row)| same(row)).map(|(id, _)| *id)
    }

    fn forget_old(&mut self) {
        let over = self.rows.iter().filter(|(_, row)| row.running.is_empty()).map(|(id, _)| *id);
        let mut over: Vec<u64> = over.collect();
        let too_many = over.len().saturating_sub(KEPT);
        over.truncate(too_many);
        for id in over {
            self.forgotten += self.rows.remove(&id).map_or(0, |row| row.done());
        }
    }
}

impl Row {
    fn done(&self) -> u64 {
        self.sent + self.running.iter().map(|sent| sent.load(Ordering::Relaxed)).sum::<u64>()
    }

    fn is_fresh(&self, now: Instant) -> bool {
        !self.running.is_empty() || now.duration_since(self.last) < BETWEEN
    }

    fn view(&self, id: u64, now: Instant) -> TransferView {
        let (done, size) = (self.done(), self.file.stamp.size);
        let peer = self.peer.to_string();
        let (state, reason) = match (self.running.is_empty(), self.reached_end, self.is_fresh(now)) {
            (false, ..) => ("uploading", format!("to {peer}")),
            (true, true, _) => ("done", format!("{peer} has it to the end")),
            (true, false, true) => ("waiting", format!("{peer} may ask for the rest")),
            (true, false, false) => ("cancelled", format!("{peer} asked for no more")),
        };
        let rate = if state == "uploading" { self.meter.rate(now) } else { 0 };
        let eta = (rate > 0).then(|| size.saturating_sub(done) / rate);
        let end = if self.running.is_empty() { self.last } else { now };
        TransferView {
            id,
            direction: "up".to_owned(),
            name: self.file.name.clone(),
            urn: self.file.digests.map(|digests| format!("urn:sha1:{}", digests.sha1)),
            state: state.to_owned(),
            done,
            size: Some(size),
            rate_bps: rate,
            sources: 0,
            reason,
            eta_s: eta,
            next_try_s: None,
            path: None,
            verified: None,
            error: None,
            elapsed_ms: u64::try_from(end.duration_since(self.begun).as_millis()).unwrap_or(u64::MAX),
            peer: Some(peer),
        }
    }
}

/// A slot that is taken; it is given back when the answer is through or its connection gone.
struct Slot {
    inner: Arc<Inner>,
    from: IpAddr,
    row: u64,
    sent: Arc<AtomicU64>,
    length: u64,
    to_end: bool,
}

impl Slot {
    fn take(inner: &Arc<Inner>, file: &Arc<SharedFile>, from: SocketAddr, to_end: bool, length: u64) -> Option<Self> {
        let now = Instant::now();
        let mut table = inner.table();
        if !table.slots.take(from.ip()) {
            return None;
        }
        let taken = table.slots.are_taken();
        let id = table.row(file, from.ip(), now).unwrap_or_else(|| (inner.hooks.next_id)());
        let row = table.rows.entry(id).or_insert_with(|| Row {
            file: Arc::clone(file),
            peer: from,
            sent: 0,
            running: Vec::new(),
            reached_end: false,
            begun: now,
            last: now,
            meter: Meter::default(),
        });
        let sent = Arc::new(AtomicU64::new(0));
        let done = row.done();
        row.meter.sample(now, done);
        row.running.push(Arc::clone(&sent));
        let view = row.view(id, now);
        table.forget_old();
        let start = !std::mem::replace(&mut table.ticking, true);
        drop(table);
        if start {
            inner.tick();
        }
        if taken {
            (inner.hooks.busy)(true);
        }
        (inner.hooks.changed)(view);
        Some(Self { inner: Arc::clone(inner), from: from.ip(), row: id, sent, length, to_end })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut table = self.inner.table();
        let were_taken = table.slots.are_taken();
        table.slots.give_back(self.from);
        let mut view = None;
        if let Some(row) = table.rows.get_mut(&self.row) {
            row.running.retain(|sent| !Arc::ptr_eq(sent, &self.sent));
            let sent = self.sent.load(Ordering::Relaxed);
            row.sent += sent;
            row.last = now;
            row.reached_end |= self.to_end && sent == self.length;
            view = Some(row.view(self.row, now));
        }
        drop(table);
        if were_taken {
            (self.inner.hooks.busy)(false);
        }
        if let Some(view) = view {
            (self.inner.hooks.changed)(view);
        }
    }
}

/// The same file with the same bytes; a change of its mode alone moves only `ctime`.
fn is_same_content(now: &Stamp, then: &Stamp) -> bool {
    (now.dev, now.inode, now.size, now.mtime_ns) == (then.dev, then.inode, then.size, then.mtime_ns)
}

fn plain(plan: upload::Plan) -> Answer {
    Answer { head: plan.head, body: Body::Empty, sent: Arc::default(), slot: None }
}
