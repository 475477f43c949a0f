//! The downloads: each is a task that runs a [`crate::transfer`] machine over `net::fetch` and `disk::Partial`.
//!
//! The set is kept in the state, so that after a crash every unfinished download goes on from its stored
//! sources without being asked. Ids are never used again.

mod blocks;
mod contact;
mod here;
mod live;
mod play;
mod record;
mod swarm;
mod task;
mod tree;
mod turns;
mod wanted;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant as Clock};

use futures::StreamExt;
use futures::channel::mpsc;
use futures::future::BoxFuture;

use super::alternates::Alternates;
use super::view::{BlocksView, TransferView};
use super::{Error, ErrorCode};
use crate::app::events::BoxStream;
use crate::base::Rng;
use crate::disk::{Claim, StateFile};
use crate::net::Flow;
use crate::net::fetch::Link;
use crate::net::rt::{self, Task};
use crate::transfer::{Download, DownloadConfig, Expected, Input, Lost, SizeFrom, Source, name};
use crate::wire::Urn;
use here::stamp_of;
use live::{Live, Whose};
use record::{Record, Saved, SourceRecord, Standing};
use task::Runner;
use turns::Turns;

pub use play::{MAX_READERS, Player};
pub use swarm::Giving;
pub use turns::Priority;
pub use wanted::{OnExists, Wanted};

/// Whether another process still fetches a download is looked at so often.
const ELSEWHERE: Duration = Duration::from_secs(1);
/// The state is written at most so often, but for what must not be lost.
const SAVE_EVERY: Duration = Duration::from_millis(500);
/// Downloads that are over are remembered up to this many.
const KEPT: usize = 500;
/// ... of this run in memory: who asked for a folder of as many still hears how each of them ended.
const KEPT_HERE: usize = 10_000;
/// Numbers that are used up before the state has to be written again.
const IDS_AHEAD: u64 = 64;

/// Where downloads go and how many run.
#[derive(Clone, Debug)]
pub struct DownloadsConfig {
    /// Finished files; partial ones are in `incomplete/` below it.
    pub dir: PathBuf,
    /// The state directory: `transfers.json` lies there.
    pub state: PathBuf,
    /// Downloads that connect or receive at a time; the others are queued.
    pub active: usize,
    /// Whether unfinished downloads of earlier runs go on (a private servent leaves them alone).
    pub resume: bool,
    /// `User-Agent` of our requests.
    pub agent: String,
    /// The speed that all of them share.
    pub speed: Flow,
}

/// The path of a shared file with that content, if there is one.
pub type Owned = dyn Fn(&Urn) -> Option<PathBuf> + Send + Sync;

/// Has a source, which cannot be connected to, connect to us.
pub type Push = dyn Fn(Source) -> BoxFuture<'static, Result<Link, Lost>> + Send + Sync;

/// Our own address for others.
pub type Us = dyn Fn(Option<IpAddr>) -> Option<SocketAddr> + Send + Sync;

/// What the downloads need of the rest of the servent. All are called from tasks; none may block.
pub struct Hooks {
    /// Ask the network who has this content; what is found is to come back by [`Downloads::add_source`].
    pub requery: Box<dyn Fn(&Urn) + Send + Sync>,
    /// The path of a shared file with this content.
    pub owned: Box<Owned>,
    /// Have a source connect to us.
    pub push: Box<Push>,
    /// Where others connect to us, if they can, as seen by who is at the other end of a connection whose end here has
    /// that address.
    pub us: Box<Us>,
    /// A download has changed: at most ten times a second each.
    pub changed: Box<dyn Fn(TransferView) + Send + Sync>,
}

/// All downloads of a servent. Clones are handles to the same set; when the last one is dropped, everything
/// stops where it is, as after a crash. [`Downloads::shutdown`] does it in order.
#[derive(Clone)]
pub struct Downloads(Arc<Owner>);

struct Owner {
    inner: Arc<Inner>,
    saver: Mutex<Option<Task<()>>>,
}

/// What the tasks share.
struct Inner {
    config: DownloadsConfig,
    hooks: Hooks,
    rng: Mutex<Rng>,
    alternates: Arc<Alternates>,
    start: Clock,
    table: Mutex<Table>,
    turns: Mutex<Turns>,
    state: StateFile,
    save_bell: Mutex<mpsc::Sender<()>>,
    saving: futures::lock::Mutex<()>,
    /// How often a save was asked for, and of how many of these the last one that was written knew.
    saves: (AtomicU64, AtomicU64),
    /// Nothing is fetched for now: its limit is 0.
    holding: AtomicBool,
    /// One `get` after the other: two of the same content become one download.
    getting: futures::lock::Mutex<()>,
}

#[derive(Default)]
struct Table {
    downloads: BTreeMap<u64, Arc<Live>>,
    tasks: BTreeMap<u64, Task<()>>,
    next_id: u64,
    /// What the state says is the next number.
    saved_id: u64,
    closed: bool,
}

impl Downloads {
    /// Reads the state and lets unfinished downloads go on.
    pub async fn open(config: DownloadsConfig, hooks: Hooks, rng: Rng) -> Result<Self, Error> {
        let state = StateFile::new(config.state.join("transfers.json"), "transfers", 1);
        let (save_bell, mut heard) = mpsc::channel(1);
        let mut rng = rng;
        let alternates = Arc::new(Alternates::new(rng.fork()));
        let inner = Arc::new(Inner {
            alternates,
            turns: Mutex::new(Turns::new(config.active)),
            config,
            hooks,
            rng: Mutex::new(rng),
            start: Clock::now(),
            table: Mutex::default(),
            state,
            save_bell: Mutex::new(save_bell),
            saving: futures::lock::Mutex::new(()),
            saves: (AtomicU64::new(0), AtomicU64::new(0)),
            holding: AtomicBool::new(false),
            getting: futures::lock::Mutex::new(()),
        });
        inner.load().await;
        let saver = Arc::clone(&inner);
        let saver = rt::spawn(async move {
            while heard.next().await.is_some() {
                saver.save().await;
                rt::sleep(SAVE_EVERY).await;
            }
        });
        Ok(Self(Arc::new(Owner { inner, saver: Mutex::new(Some(saver)) })))
    }

    /// Starts a download, joins the one of the same content, or finds that the file is here already.
    pub async fn get(&self, wanted: Wanted) -> Result<TransferView, Error> {
        self.inner().get(wanted).await
    }

    /// A source for content was found: every unfinished download of that content takes it.
    pub fn add_source(&self, content: &Expected, source: Source) {
        for live in self.inner().all() {
            let wants = {
                let guard = live.lock();
                guard.machine().is_some_and(|machine| machine.expected().same_content(content))
            };
            if wants && !live.standing().is_over() {
                live.add_source(source.clone());
            }
        }
    }

    /// There are new neighbours: downloads without a source ask the network soon.
    pub fn network_changed(&self) {
        self.inner().all().iter().for_each(|live| live.tell(Input::NetworkChanged));
    }

    /// What a download is of, and who is known to have it.
    pub fn wanted(&self, id: u64) -> Result<Wanted, Error> {
        Ok(self.inner().find(id)?.wanted())
    }

    /// The same of the newest download of that content.
    pub fn wanted_by(&self, content: &Expected) -> Option<Wanted> {
        let all = self.inner().all();
        let same = all.iter().rev().find(|live| live.lock().record.expected().same_content(content));
        same.map(|live| live.wanted())
    }

    /// Where finished files go.
    pub fn dir(&self) -> &Path {
        &self.inner().config.dir
    }

    /// All downloads, in the order of their ids.
    pub fn views(&self) -> Vec<TransferView> {
        self.inner().all().iter().map(|live| live.view()).collect()
    }

    /// One download.
    pub fn view(&self, id: u64) -> Option<TransferView> {
        self.inner().find(id).ok().map(|live| live.view())
    }

    /// Its state now, then each change (at most ten a second); ends after `done`, `failed` or `cancelled`.
    pub fn watch(&self, id: u64) -> Option<BoxStream<TransferView>> {
        self.inner().find(id).ok().map(|live| live.watch())
    }

    /// Which parts of it are there, and what its sources do.
    pub fn blocks(&self, id: u64) -> Result<BlocksView, Error> {
        Ok(self.inner().find(id)?.blocks())
    }

    /// Stops it until [`Downloads::resume`].
    pub fn pause(&self, id: u64) -> Result<TransferView, Error> {
        let live = self.inner().find(id)?;
        refuse_if_over(&live, "pause")?;
        live.pause();
        Ok(live.view())
    }

    /// Lets it go on.
    pub fn resume(&self, id: u64) -> Result<TransferView, Error> {
        let live = self.inner().find(id)?;
        refuse_if_over(&live, "resume")?;
        self.inner().go_on(&live, Input::Resume);
        Ok(live.view())
    }

    /// Stops them all for as long as nothing may be fetched (`true`), or lets those go on that were stopped so.
    pub fn hold(&self, held: bool) {
        self.inner().holding.store(held, Ordering::SeqCst);
        self.inner().all().iter().for_each(|live| live.hold(held));
    }

    /// Who goes first among those that wait for their turn; who has one keeps it.
    pub fn prioritise(&self, id: u64, priority: Priority) -> Result<TransferView, Error> {
        let live = self.inner().find(id)?;
        refuse_if_over(&live, "prioritise")?;
        {
            let mut guard = live.lock();
            guard.record.priority = priority;
            guard.dirty = true;
        }
        self.inner().turns.lock().unwrap_or_else(PoisonError::into_inner).prioritise(id, priority);
        self.inner().note(&live);
        let view = live.view();
        (self.inner().hooks.changed)(view.clone());
        Ok(view)
    }

    /// Ends it and removes the partial file. Returns when that is gone.
    pub async fn cancel(&self, id: u64) -> Result<TransferView, Error> {
        let live = self.inner().find(id)?;
        match live.standing() {
            _ if live.is_elsewhere() => refuse_if_over(&live, "cancel")?,
            Standing::Done => refuse_if_over(&live, "cancel")?,
            Standing::Failed => self.inner().begin_again(&live),
            Standing::Unfinished | Standing::Paused | Standing::Cancelled => {}
        }
        live.tell(Input::Cancel);
        let task = self.inner().table().tasks.remove(&id);
        if let Some(task) = task {
            task.await;
        }
        self.inner().save().await;
        Ok(live.view())
    }

    /// Tries at once instead of waiting; a failed or cancelled one starts again.
    pub fn retry(&self, id: u64) -> Result<TransferView, Error> {
        let live = self.inner().find(id)?;
        match live.standing() {
            _ if live.is_elsewhere() => refuse_if_over(&live, "retry")?,
            Standing::Done => refuse_if_over(&live, "retry")?,
            Standing::Failed | Standing::Cancelled => self.inner().begin_again(&live),
            Standing::Unfinished | Standing::Paused => self.inner().go_on(&live, Input::Retry),
        }
        Ok(live.view())
    }

    /// Bytes a second that all of them receive now.
    pub fn rate(&self) -> u64 {
        self.inner().all().iter().map(|live| live.view().rate_bps).sum()
    }

    /// A fresh number for a transfer; uploads are numbered from here too.
    pub fn next_id(&self) -> u64 {
        self.inner().next_id()
    }

    /// Closes all connections, keeps the state. Returns when nothing of it runs any more.
    pub async fn shutdown(&self) {
        let tasks = {
            let mut table = self.inner().table();
            table.closed = true;
            std::mem::take(&mut table.tasks)
        };
        futures::future::join_all(tasks.into_values().map(Task::cancel)).await;
        let saver = self.0.saver.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(saver) = saver {
            saver.cancel().await;
        }
        self.inner().save().await;
    }

    fn inner(&self) -> &Arc<Inner> {
        &self.0.inner
    }
}

impl Drop for Owner {
    /// The tasks hold what they share, so they have to be stopped first.
    fn drop(&mut self) {
        let mut table = self.inner.table();
        table.closed = true;
        let tasks = std::mem::take(&mut table.tasks);
        drop(table);
        drop(tasks);
    }
}

fn refuse_if_over(live: &Live, what: &str) -> Result<(), Error> {
    if live.is_elsewhere() {
        let message = format!("cannot {what} download {}: a `get` without this servent fetches it", live.id);
        return Err(
            Error::new(ErrorCode::Usage, message).hint("Ctrl-C ends that `get`; then the servent goes on with it")
        );
    }
    let state = live.view().state;
    if live.standing().is_over() {
        let message = format!("cannot {what} download {}: it is {state}", live.id);
        return Err(Error::new(ErrorCode::Usage, message).hint("`filbert transfers` lists them"));
    }
    Ok(())
}

impl Inner {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn all(&self) -> Vec<Arc<Live>> {
        self.table().downloads.values().cloned().collect()
    }

    fn find(&self, id: u64) -> Result<Arc<Live>, Error> {
        self.table().downloads.get(&id).cloned().ok_or_else(|| {
            Error::new(ErrorCode::NotFound, format!("there is no download {id}")).hint("`filbert transfers` lists them")
        })
    }

    fn next_id(&self) -> u64 {
        let mut table = self.table();
        let id = table.next_id.max(1);
        table.next_id = id + 1;
        if table.next_id + IDS_AHEAD / 4 > table.saved_id {
            self.ring_saver();
        }
        id
    }

    /// For a new download. Private servents share the state with others: they take their numbers out of it.
    async fn new_id(self: &Arc<Self>) -> Result<u64, Error> {
        if self.config.resume {
            return Ok(self.next_id());
        }
        let state = self.state.clone();
        let taken = rt::spawn_blocking(move || {
            state.update(|saved: &mut Saved| {
                let id = saved.next_id.max(1);
                saved.next_id = id + 1;
                id
            })
        });
        taken.await.map_err(|error| {
            let place = self.state.path().display();
            Error::new(ErrorCode::Failed, format!("cannot write {place}: {error}")).hint("Say another --home DIR")
        })
    }

    async fn load(self: &Arc<Self>) {
        let state = self.state.clone();
        let saved: Saved = rt::spawn_blocking(move || state.load().or_log()).await.unwrap_or_default();
        self.table().next_id = saved.next_id.max(1);
        if !self.config.resume {
            return;
        }
        // A number that the state forgot to count must not be used again either.
        let highest = saved.downloads.iter().map(|record| record.id).max().unwrap_or(0);
        self.table().next_id = saved.next_id.max(highest.saturating_add(1)).max(1);
        for mut record in saved.downloads {
            record.name = name::sanitise(&record.name);
            let over = record.standing.is_over();
            let live = Live::new(record, self.start);
            self.table().downloads.insert(live.id, Arc::clone(&live));
            if !over && self.is_claimed(live.id).await {
                live.belongs(Whose::Elsewhere);
                self.wait_for_heritage(live);
            } else if !over {
                self.begin(&live);
            }
        }
    }

    /// Whether another process fetches it.
    async fn is_claimed(&self, id: u64) -> bool {
        let state = self.config.state.clone();
        rt::spawn_blocking(move || Claim::is_held(&state, id)).await
    }

    /// A `get` that found no servent fetches it in its own process: what that leaves is ours when it has ended.
    fn wait_for_heritage(self: &Arc<Self>, live: Arc<Live>) {
        let (inner, id) = (Arc::clone(self), live.id);
        let waiting = rt::spawn(async move {
            while inner.is_claimed(id).await {
                rt::sleep(ELSEWHERE).await;
            }
            let state = inner.state.clone();
            let saved: Saved = rt::spawn_blocking(move || state.load().or_log()).await.unwrap_or_default();
            let Some(mut record) = saved.downloads.into_iter().find(|record| record.id == id) else { return };
            record.name = name::sanitise(&record.name);
            let over = record.standing.is_over();
            live.inherit(record);
            (inner.hooks.changed)(live.view());
            if !over {
                inner.begin(&live);
            }
        });
        self.table().tasks.insert(id, waiting);
    }

    /// Writes the state, unless somebody does just now; then after that. One save does for all who wait for their turn.
    async fn save(self: &Arc<Self>) {
        let (asked, written) = &self.saves;
        let wanted = asked.fetch_add(1, Ordering::SeqCst) + 1;
        let _turn = self.saving.lock().await;
        if written.load(Ordering::SeqCst) >= wanted {
            return;
        }
        let known = asked.load(Ordering::SeqCst);
        self.forget_over();
        let inner = Arc::clone(self);
        let saved = rt::spawn_blocking(move || {
            inner.state.update(|saved: &mut Saved| {
                // What is written last is what was seen last: a save that was given up may still come to its end.
                let (records, next_id) = inner.snapshot();
                // Private servents write beside us: theirs stay as they are.
                let own: BTreeSet<u64> = records.iter().map(|record| record.id).collect();
                saved.downloads.retain(|other| !own.contains(&other.id));
                saved.downloads.extend(records);
                saved.downloads.sort_by_key(|record| record.id);
                forget_old(&mut saved.downloads);
                saved.next_id = if inner.config.resume { saved.next_id.max(1).max(next_id) } else { saved.next_id };
            })
        });
        match saved.await {
            Ok(_) => written.store(known, Ordering::SeqCst),
            Err(error) => {
                let path = self.state.path().display();
                log::warn!("cannot write {path}: {error}; downloads may be forgotten at a crash");
            }
        }
    }

    /// What is to be written down now.
    fn snapshot(&self) -> (Vec<Record>, u64) {
        // What another process fetches it writes down itself.
        let ours = self.all().into_iter().filter(|live| !live.is_elsewhere());
        let records: Vec<Record> = ours.map(|live| live.record()).collect();
        let mut table = self.table();
        let ahead = if self.config.resume && !table.closed { IDS_AHEAD } else { 0 };
        table.saved_id = table.next_id + ahead;
        (records, table.saved_id)
    }

    /// Of those that are over, the oldest go: from memory as from the state.
    fn forget_over(&self) {
        let over: Vec<u64> = self.all().iter().filter(|live| live.standing().is_over()).map(|live| live.id).collect();
        let mut table = self.table();
        let old = over[..over.len().saturating_sub(KEPT_HERE)].iter();
        let gone: Vec<_> = old.map(|id| (table.downloads.remove(id), table.tasks.remove(id))).collect();
        // A task that is dropped may want the table.
        drop(table);
        drop(gone);
    }

    fn ring_saver(&self) {
        // It is rung already when it is full.
        let _ = self.save_bell.lock().unwrap_or_else(PoisonError::into_inner).try_send(());
    }

    /// Something about a download may have to be written down.
    fn note(&self, live: &Live) {
        if live.lock().dirty {
            self.ring_saver();
        }
    }

    /// Gives a download its machine and its task.
    fn begin(self: &Arc<Self>, live: &Arc<Live>) {
        let machine = self.machine(&live.lock().record);
        let bell = live.begin(machine);
        self.run(live, bell);
        self.hold_new(live);
    }

    /// The user wants it to go on; it does when something may be fetched.
    fn go_on(&self, live: &Live, input: Input) {
        live.tell(input);
        self.hold_new(live);
    }

    fn hold_new(&self, live: &Live) {
        if self.holding.load(Ordering::SeqCst) {
            live.hold(true);
        }
    }

    /// ... to one that is over.
    fn begin_again(self: &Arc<Self>, live: &Arc<Live>) {
        let bell = live.begin_again(|record| self.machine(record));
        self.run(live, bell);
        self.hold_new(live);
    }

    fn machine(&self, record: &Record) -> Download {
        let rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner).fork();
        let from = if record.size_heard { SizeFrom::Source } else { SizeFrom::User };
        Download::new(DownloadConfig::default(), record.expected(), record.size, rng).with_size_from(from)
    }

    fn run(self: &Arc<Self>, live: &Arc<Live>, bell: mpsc::Receiver<()>) {
        let mut table = self.table();
        if !table.closed {
            let runner = Runner::new(Arc::clone(self), Arc::clone(live), bell);
            let old = table.tasks.insert(live.id, rt::spawn(runner.run()));
            drop(table);
            drop(old);
        }
    }

    fn want_turn(&self, id: u64) {
        let priority = self.find(id).map(|live| live.lock().record.priority).unwrap_or_default();
        self.turns.lock().unwrap_or_else(PoisonError::into_inner).want(id, priority);
        self.give_turns();
    }

    fn give_up_turn(&self, id: u64) {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner).give_up(id);
        self.give_turns();
    }

    fn give_turns(&self) {
        loop {
            let Some(id) = self.turns.lock().unwrap_or_else(PoisonError::into_inner).next() else { return };
            match self.find(id) {
                Ok(live) => live.tell(Input::Turn),
                Err(_) => self.turns.lock().unwrap_or_else(PoisonError::into_inner).give_up(id),
            }
        }
    }

    async fn get(self: &Arc<Self>, mut wanted: Wanted) -> Result<TransferView, Error> {
        let turn = self.getting.lock().await;
        if let Some(view) = self.known(&mut wanted)? {
            return Ok(view);
        }
        if wanted.sources.is_empty() && wanted.expected.urn().is_none() {
            let message = "neither a source nor a hash of the file is known";
            return Err(Error::new(ErrorCode::Usage, message).hint("Say a hit's number, urn:sha1:... or a link"));
        }
        drop(turn);
        let dir = wanted.dir.take().unwrap_or_else(|| self.config.dir.clone());
        let dir = std::path::absolute(&dir).unwrap_or(dir);
        // To read what lies there may take long: nobody else waits for that.
        let here = self.is_here(&wanted, &dir).await;
        let turn = self.getting.lock().await;
        if let Some(view) = self.known(&mut wanted)? {
            return Ok(view);
        }
        let id = self.new_id().await?;
        let record = self.new_record(id, &wanted, dir, here);
        let over = record.standing.is_over();
        let live = Live::new(record, self.start);
        if !over && !self.config.resume {
            self.claim(&live).await;
        }
        self.table().downloads.insert(live.id, Arc::clone(&live));
        // Now the next one sees it; they are written down together.
        drop(turn);
        if !over {
            // From here on it survives a crash.
            self.save().await;
            self.begin(&live);
        } else {
            self.ring_saver();
        }
        Ok(live.view())
    }

    /// A servent that starts beside us is not to take it up while we fetch it.
    async fn claim(&self, live: &Live) {
        let (state, id) = (self.config.state.clone(), live.id);
        match rt::spawn_blocking(move || Claim::take(&state, id)).await {
            Ok(claim) => live.belongs(Whose::Claimed(claim)),
            Err(error) => log::warn!("cannot claim download {id}: {error}; a servent started now may fetch it too"),
        }
    }

    /// What is fetched already, or was.
    fn known(&self, wanted: &mut Wanted) -> Result<Option<TransferView>, Error> {
        if self.table().closed {
            return Err(Error::new(ErrorCode::Failed, "the servent is going down"));
        }
        if let Some(live) = self.same_download(wanted) {
            wanted.sources.drain(..).for_each(|source| live.add_source(source));
            self.go_on(&live, Input::Resume);
            return Ok(Some(live.view()));
        }
        Ok(self.had_before(&wanted.expected))
    }

    fn new_record(&self, id: u64, wanted: &Wanted, dir: PathBuf, here: Option<here::Here>) -> Record {
        let name = match (wanted.name.is_empty(), wanted.expected.urn()) {
            (true, Some(urn)) => urn.to_string(),
            _ => wanted.name.clone(),
        };
        let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let mut record = Record {
            id,
            name: name::sanitise(&name),
            named: !wanted.name.is_empty(),
            sha1: None,
            tth: None,
            blake3: None,
            size: wanted.size,
            size_heard: false,
            dir,
            on_exists: wanted.on_exists.word().map(str::to_owned),
            priority: wanted.priority,
            part: None,
            standing: Standing::Unfinished,
            done: 0,
            reason: String::new(),
            error: None,
            sources: wanted.sources.iter().map(SourceRecord::from).collect(),
            created_ms: u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX),
            elapsed_ms: 0,
            path: None,
            mtime_ns: None,
            verified: None,
        };
        record.set_expected(&wanted.expected);
        if let Some(here) = here {
            record.standing = Standing::Done;
            record.size = Some(here.size);
            record.done = here.size;
            record.reason = here.reason;
            record.verified = Some(here.verified.word().to_owned());
            record.name = here.path.file_name().map_or(record.name, |name| name.to_string_lossy().into_owned());
            record.mtime_ns = stamp_of(&here.path).map(|(_, mtime_ns)| mtime_ns);
            record.path = Some(here.path);
        }
        record
    }

    /// An unfinished download of the same content; without a hash, of the same file at the same source.
    fn same_download(&self, wanted: &Wanted) -> Option<Arc<Live>> {
        self.all().into_iter().find(|live| {
            let elsewhere = live.is_elsewhere();
            let live = live.lock();
            if elsewhere && live.record.expected().same_content(&wanted.expected) {
                return true;
            }
            let Some(machine) = live.machine().filter(|machine| !machine.state().is_over()) else { return false };
            let same_source = |source: &Source| {
                wanted.sources.iter().any(|wanted| wanted.is_same(source) && wanted.ask == source.ask)
            };
            machine.expected().same_content(&wanted.expected)
                || (wanted.expected.urn().is_none()
                    && machine.expected().urn().is_none()
                    && machine.sources().any(same_source))
        })
    }
}

/// Of those that are over, the oldest go.
fn forget_old(downloads: &mut Vec<Record>) {
    let over = downloads.iter().filter(|record| record.standing.is_over()).count();
    let mut too_many = over.saturating_sub(KEPT);
    downloads.retain(|record| {
        let goes = too_many > 0 && record.standing.is_over();
        too_many -= usize::from(goes);
        !goes
    });
}
