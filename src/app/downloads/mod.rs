//! The downloads: each is a task that runs a [`crate::transfer`] machine over `net::fetch` and `disk::Partial`.
//!
//! The set is kept in the state (ADR 0011), so that after a crash every unfinished download goes on from its stored
//! sources without being asked. Ids are never used again.

mod blocks;
mod commands;
mod contact;
mod get;
mod here;
mod lane;
mod live;
mod paths;
mod play;
mod record;
mod runs;
mod saves;
mod spare;
mod swarm;
mod table;
mod task;
mod tree;
mod turns;
mod wanted;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant as Clock};

use futures::StreamExt;
use futures::channel::mpsc;
use futures::future::BoxFuture;

use super::alternates::Alternates;
use super::view::TransferView;
use super::{Error, ErrorCode};
use crate::base::Rng;
use crate::disk::{Journal, StateFile};
use crate::net::Flow;
use crate::net::fetch::Link;
use crate::net::rt::{self, Task};
use crate::transfer::{Expected, Lost, Source};
use crate::wire::Urn;
use crate::wire::features::Features;
use lane::Lane;
use live::Live;
use record::Saved;
use spare::Spare;
use table::Table;
use turns::Turns;

pub use play::{MAX_READERS, Player};
pub use swarm::Giving;
pub use turns::Priority;
pub use wanted::{OnExists, Wanted};

/// Whether another process still fetches a download is looked at so often.
const ELSEWHERE: Duration = Duration::from_secs(1);
/// The state is written at most so often, but for what must not be lost.
const SAVE_EVERY: Duration = Duration::from_millis(500);
/// Small files that stay open while they wait, as something of them is there.
const RESTING: usize = 64;
/// What could not be written is tried again after this.
const RETRY: Duration = Duration::from_secs(5);

/// Where downloads go and how many run.
#[derive(Clone, Debug)]
pub struct DownloadsConfig {
    /// Finished files; partial ones are in `incomplete/` below it.
    pub dir: PathBuf,
    /// The state directory: `transfers.json` and `transfers.log` lie there.
    pub state: PathBuf,
    /// Downloads that connect or receive at a time; the others are queued.
    pub active: usize,
    /// Whether unfinished downloads of earlier runs go on (a private servent leaves them alone).
    pub resume: bool,
    /// Whether those who fetch the same file are given what is there of it.
    pub give: bool,
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

/// What we can do, said to somebody at that address.
pub type OurFeatures = dyn Fn(IpAddr) -> Features + Send + Sync;

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
    /// What a connection's first request says of us.
    pub features: Box<OurFeatures>,
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
    spare: Spare,
    /// As often held as there are small files that have waited, and of which something is there.
    resting: Arc<()>,
    /// For the disk work of small files.
    lane: Lane,
    journal: Arc<Journal<Saved>>,
    /// Held while it is written to.
    writing: Mutex<()>,
    save_bell: Mutex<mpsc::Sender<()>>,
    saving: futures::lock::Mutex<()>,
    /// How often a save was asked for, and of how many of these the last one that was written knew.
    saves: (AtomicU64, AtomicU64),
    /// Why the last save failed, in words, if it did.
    unsaved: Mutex<Option<String>>,
    /// Blocks and whole files that were not what they should be.
    verify_fails: AtomicU64,
    /// Nothing is fetched for now: its limit is 0.
    holding: AtomicBool,
    /// One `get` after the other: two of the same content become one download.
    getting: futures::lock::Mutex<()>,
}

impl Downloads {
    /// Reads the state and lets unfinished downloads go on.
    pub async fn open(config: DownloadsConfig, hooks: Hooks, rng: Rng) -> Result<Self, Error> {
        let state = StateFile::new(config.state.join("transfers.json"), "transfers", 2).since(1);
        let (save_bell, mut heard) = mpsc::channel(1);
        let mut rng = rng;
        let alternates = Arc::new(Alternates::new(rng.fork()));
        let inner = Arc::new(Inner {
            alternates,
            turns: Mutex::new(Turns::new(config.active)),
            spare: Spare::default(),
            resting: Arc::default(),
            lane: Lane::default(),
            config,
            hooks,
            rng: Mutex::new(rng),
            start: Clock::now(),
            table: Mutex::default(),
            journal: Arc::new(Journal::new(state)),
            writing: Mutex::default(),
            save_bell: Mutex::new(save_bell),
            saving: futures::lock::Mutex::new(()),
            saves: (AtomicU64::new(0), AtomicU64::new(0)),
            unsaved: Mutex::default(),
            verify_fails: AtomicU64::new(0),
            holding: AtomicBool::new(false),
            getting: futures::lock::Mutex::new(()),
        });
        inner.load().await?;
        let saver = Arc::clone(&inner);
        let saver = rt::spawn(async move {
            while heard.next().await.is_some() {
                if saver.save().await {
                    rt::sleep(SAVE_EVERY).await;
                } else {
                    rt::sleep(RETRY).await;
                    saver.ring_saver();
                }
            }
        });
        Ok(Self(Arc::new(Owner { inner, saver: Mutex::new(Some(saver)) })))
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
        self.inner().spare.close();
        self.inner().save_all().await;
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
        self.inner.spare.close();
    }
}

impl Inner {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn all(&self) -> Vec<Arc<Live>> {
        self.table().all()
    }

    /// Those of that content, in the order of their ids.
    fn of(&self, content: &Expected) -> Vec<Arc<Live>> {
        let mut like = self.table().like(content);
        like.retain(|live| live.lock().record.expected().same_content(content));
        like
    }

    fn find(&self, id: u64) -> Result<Arc<Live>, Error> {
        self.table().find(id).ok_or_else(|| {
            Error::new(ErrorCode::NotFound, format!("there is no download {id}")).hint("`filbert transfers` lists them")
        })
    }
}
