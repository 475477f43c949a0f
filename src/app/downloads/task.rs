//! The task behind one download: does what the machine wants done, in order, until it is over.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant as Clock};

use futures::StreamExt;
use futures::channel::{mpsc, oneshot};

use super::contact::{Contact, Decision, Links, disk_failed, tell_judged};
use super::lane::{Placed, SMALL};
use super::live::{AT_MOST, Live};
use super::tree;
use super::{Inner, RESTING};
use crate::disk::{Checked, DiskError, Fault, Finishing, Partial, PartialSpec, Slot};
use crate::net::fetch::Link;
use crate::net::rt::{self, Task};
use crate::transfer::{Download, Input, Output, Reach, Source, SourceId, State};

/// Of so few bytes nothing is lost by a crash that is worth writing down where they lie: it is one block.
const UNNAMED: u64 = 1 << 20;

/// What runs for one download.
pub(super) struct Runner {
    inner: Arc<Inner>,
    live: Arc<Live>,
    bell: mpsc::Receiver<()>,
    /// Shared with the partial file's writers.
    slot: Slot,
    /// It is a small file: see [`super::lane`].
    small: bool,
    contacts: BTreeMap<SourceId, Running>,
    /// Open connections that no request is under way on.
    links: Links,
    /// Fetches the tree.
    tree: Option<Task<()>>,
    told: Option<Clock>,
    /// Something changed since.
    untold: bool,
    /// It has waited, and something of it is there: see [`RESTING`].
    rests: Option<Arc<()>>,
    /// Which run of the download this is.
    run: u32,
}

/// A contact under way.
struct Running {
    _task: Task<()>,
    /// Where it connects to, if it does.
    to: Option<SocketAddr>,
    decide: Option<oneshot::Sender<Decision>>,
    /// Nothing is read from there on.
    stop: Arc<AtomicU64>,
}

impl Runner {
    pub(super) fn new(inner: Arc<Inner>, live: Arc<Live>, bell: mpsc::Receiver<()>) -> Self {
        Self {
            run: live.run(),
            inner,
            live,
            bell,
            slot: Slot::default(),
            small: false,
            contacts: BTreeMap::new(),
            links: Arc::default(),
            tree: None,
            told: None,
            untold: true,
            rests: None,
        }
    }

    /// Runs until the download is over.
    pub(super) async fn run(mut self) {
        log::info!("download {} begins", self.live.id);
        loop {
            // It was begun again, and somebody else runs it.
            let Some(outputs) = self.live.take_outputs(self.run) else { return };
            for output in outputs {
                self.perform(output).await;
            }
            self.live.done_outputs();
            self.inner.note(&self.live);
            if self.live.is_through() {
                break;
            }
            if !self.live.has_outputs() {
                self.rest();
                self.wait().await;
            }
        }
        self.inner.give_up_turn(self.live.id);
        let view = self.live.view();
        // By its number: who helps reads the log, and names of files are not for him.
        log::info!("download {} is {}, {} bytes are here: {}", view.id, view.state, view.done, view.reason);
        (self.inner.hooks.changed)(view);
    }

    /// Until something is to be done; tells of changes meanwhile, but not all the time.
    async fn wait(&mut self) {
        let early = self.told.map_or(Duration::ZERO, |told| AT_MOST.saturating_sub(told.elapsed()));
        if self.untold && early.is_zero() {
            (self.inner.hooks.changed)(self.live.view());
            (self.told, self.untold) = (Some(Clock::now()), false);
        }
        let due = self.live.patience();
        // What could not be told now is told when it may be, also when nothing more happens.
        let patience = if self.untold { Some(due.map_or(early, |due| due.min(early))) } else { due };
        match patience {
            Some(patience) => match rt::timeout(patience, self.bell.next()).await {
                Ok(_) => self.untold = true,
                Err(_) if due == Some(patience) => {
                    self.live.tell_time();
                    self.untold = true;
                }
                Err(_) => {}
            },
            None => {
                self.bell.next().await;
                self.untold = true;
            }
        }
    }

    async fn perform(&mut self, output: Output) {
        match output {
            Output::WantTurn => self.inner.want_turn(self.live.id),
            Output::EndTurn => self.inner.end_turn(self.live.id),
            Output::YieldTurn => self.inner.give_up_turn(self.live.id),
            Output::Open { size } => self.open(size).await,
            Output::Fetch { source, from, first, end, ticket } => self.fetch(source, from, first, end, ticket),
            Output::Shorten { source, end } => {
                if let Some(running) = self.contacts.get(&source) {
                    running.stop.fetch_min(end, Ordering::SeqCst);
                }
            }
            Output::Receive { source, first, keep } => {
                if let Some(decide) = self.contacts.get_mut(&source).and_then(|running| running.decide.take()) {
                    // A contact that is gone has told the machine so.
                    let block = self.live.lock().machine().map_or(1, |machine| machine.map().block_size());
                    let _ = decide.send(Decision { first, keep, block, slot: self.slot.clone(), small: self.small });
                }
            }
            Output::FetchTree { source, from, target, size, root } => {
                let (inner, live) = (Arc::clone(&self.inner), Arc::clone(&self.live));
                self.tree = Some(rt::spawn(async move {
                    live.tell(tree::fetch(&inner, source, &from, target, size, root).await);
                }));
            }
            Output::HoldTree(row) => {
                self.with_partial(|slot| {
                    if let Some(partial) = slot {
                        partial.hold_tree(row);
                    }
                })
                .await;
            }
            Output::Drop { source } => {
                let to = self.contacts.remove(&source).and_then(|running| running.to);
                let link = self.links().remove(&source);
                // All is there: what the source has besides may be wanted next.
                let complete = self.live.lock().machine().is_some_and(|it| it.state() == State::Verifying);
                if let (Some(to), Some(link), true) = (to, link, complete) {
                    self.inner.lay_by(to, link);
                }
            }
            Output::Requery => {
                let urn = self.live.lock().machine().and_then(|machine| machine.expected().urn());
                if let Some(urn) = urn {
                    (self.inner.hooks.requery)(&urn);
                }
            }
            Output::Verify => self.verify().await,
            Output::Finish => self.finish().await,
            Output::Discard => self.discard().await,
        }
    }

    fn links(&self) -> std::sync::MutexGuard<'_, BTreeMap<SourceId, Link>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Thousands of small files may wait, for one source even: they need no connection each for that, and no open file.
    fn rest(&mut self) {
        let waiting =
            |machine: &Download| matches!(machine.state(), State::Waiting | State::Queued).then(|| machine.is_open());
        let is_open = if self.small { self.live.lock().machine().and_then(waiting) } else { None };
        match (is_open, &self.rests) {
            (None, _) => return,
            (Some(false), _) => self.rests = None,
            (Some(true), None) if Arc::strong_count(&self.inner.resting) > RESTING => self.live.tell(Input::LetGo),
            // Until it is done: what came of it is not given up for another.
            (Some(true), None) => self.rests = Some(Arc::clone(&self.inner.resting)),
            (Some(true), Some(_)) => {}
        }
        self.lend_links();
    }

    fn lend_links(&self) {
        let to = |id: &SourceId| self.contacts.get(id).and_then(|running| running.to);
        let lent: Vec<_> = self.links().extract_if(.., |id, _| to(id).is_some()).collect();
        for (id, link) in lent {
            if let Some(to) = to(&id) {
                self.inner.lay_by(to, link);
            }
        }
    }

    fn fetch(&mut self, id: SourceId, source: Source, first: u64, end: Option<u64>, ticket: Option<String>) {
        let stop = Arc::new(AtomicU64::new(u64::MAX));
        let (decide, decided) = oneshot::channel();
        let to = (source.reach == Reach::Direct && !source.is_nowhere()).then_some(source.addr);
        let link = self.links().remove(&id).or_else(|| self.inner.spare.take(to?));
        let contact = Contact {
            live: Arc::clone(&self.live),
            id,
            source,
            first,
            end,
            ticket,
            inner: Arc::clone(&self.inner),
            link,
            links: Arc::clone(&self.links),
            decided,
            stop: Arc::clone(&stop),
        };
        let task = rt::spawn(contact.run());
        self.contacts.insert(id, Running { _task: task, to, decide: Some(decide), stop });
    }

    async fn open(&mut self, size: u64) {
        let spec = {
            let record = &self.live.lock().record;
            PartialSpec {
                dir: self.inner.config.dir.join("incomplete"),
                name: record.name.clone(),
                size,
                expected: record.expected(),
                own: record.part.clone(),
            }
        };
        self.small = size <= SMALL;
        match self.on_disk(move || Partial::open(spec)).await {
            Ok(partial) => {
                let stored = partial.stored();
                let news = {
                    let mut live = self.live.lock();
                    let found = size <= UNNAMED && live.record.size.is_some() && live.record.expected().urn().is_some();
                    let news = live.record.part.is_none() && !found;
                    live.record.part = Some(partial.file_name());
                    live.record.size = Some(size);
                    live.dirty = true;
                    news
                };
                if news {
                    // Without its name the partial file is found again only by its hash, if there is one, and nobody can
                    // say that it was removed; without the size a restart would ask for everything again to learn it.
                    // Nothing is stored before.
                    self.inner.save_it(&self.live).await;
                }
                if let Some(note) = partial.note() {
                    self.live.tell(Input::Noted(note.to_owned()));
                }
                self.live.reads(Some(partial.reader()));
                self.slot = Slot::new(partial);
                self.live.tell(Input::Opened { stored });
            }
            Err(error) => self.live.tell(disk_failed(error)),
        }
    }

    async fn verify(&mut self) {
        let (inner, live, slot) = (Arc::clone(&self.inner), Arc::clone(&self.live), self.slot.clone());
        let tell = move |found, judged| {
            tell_judged(&inner, &live, judged);
            match found {
                Ok(Checked::Wrong) => {}
                Ok(Checked::Digests(found)) => {
                    let wrong = live.lock().machine().is_some_and(|machine| !machine.expected().matches(&found));
                    inner.verify_fails.fetch_add(u64::from(wrong), SeqCst);
                    live.tell(Input::Verified(found));
                }
                Ok(Checked::Changed(blocks, words)) => live.tell(Input::Changed { blocks, words }),
                Err(error) => return Some(error),
            }
            None
        };
        if let Some(error) = self.on_disk(move || slot.check(tell)).await.flatten() {
            self.disk_failed(error);
        }
    }

    async fn finish(&mut self) {
        let finishing = {
            let record = &self.live.lock().record;
            let (dir, name, on_exists) = (record.dir.clone(), record.name.clone(), record.on_exists());
            Finishing { slot: self.slot.clone(), dir, name, on_exists }
        };
        match self.inner.lane.finish(finishing, self.small).await {
            Some(Ok(Placed { path, file, stamp })) => {
                self.slot = Slot::default();
                self.give_on(file);
                {
                    let mut live = self.live.lock();
                    if let Some(name) = path.file_name() {
                        live.record.name = name.to_string_lossy().into_owned();
                    }
                    live.record.path = Some(path);
                    live.record.mtime_ns = stamp.map(|(_, mtime_ns)| mtime_ns);
                    live.record.part = None;
                    live.dirty = true;
                }
                self.live.tell(Input::Finished);
            }
            Some(Err(error)) => self.disk_failed(error),
            None => {}
        }
    }

    /// The finished file is given to others for a while.
    fn give_on(&self, file: Option<std::fs::File>) {
        self.live.reads(None);
        if let Some(file) = file {
            self.live.reads_finished(file);
            self.inner.gives(self.live.id);
        }
    }

    /// Whatever writes to it comes to its end first; what comes later finds no file.
    async fn discard(&mut self) {
        self.live.reads(None);
        let discarded = self.with_partial(|slot| slot.take().map(Partial::discard)).await;
        let left = {
            let mut live = self.live.lock();
            live.dirty = true;
            live.record.part.take()
        };
        match (discarded, left) {
            // One that was never opened in this run lies where it was left.
            (None, Some(left)) => self.remove_left(left).await,
            (Some(Err(error)), _) => log::warn!("{error}"),
            _ => {}
        }
    }

    async fn remove_left(&self, file_name: String) {
        let dir = self.inner.config.dir.join("incomplete");
        rt::spawn_blocking(move || {
            // The name is our own, from the state; but the state is a file that anybody may have edited.
            if file_name == crate::transfer::name::sanitise(&file_name) && file_name.ends_with(".part") {
                for name in [file_name.clone(), format!("{file_name}.map")] {
                    let _ = std::fs::remove_file(dir.join(name));
                }
                let _ = std::fs::remove_dir(dir);
            }
        })
        .await;
    }

    fn disk_failed(&mut self, error: DiskError) {
        if error.fault != Fault::Altered {
            self.live.reads(None);
            self.slot = Slot::default();
        }
        self.live.tell(disk_failed(error));
    }

    /// When no writer has it.
    async fn with_partial<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Option<Partial>) -> T + Send + 'static,
    ) -> T {
        let slot = self.slot.clone();
        self.on_disk(move || slot.with(work)).await
    }

    /// On a thread that may block.
    async fn on_disk<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        self.inner.lane.run_if(self.small, work).await
    }
}
