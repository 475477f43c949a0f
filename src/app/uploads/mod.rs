//! The uploads: what peers fetch from us, decided by [`crate::transfer::upload`], in the order that
//! [`crate::transfer::queue`] gives, opened beneath the shares by the closure that `disk` stands behind, sent by
//! `net::serve`.
//!
//! A request is a look-up by content or by number; nothing of it ever becomes a path. One row of `transfers` is
//! one file to one address, however many requests it takes.

mod browse;
mod part;
mod row;
mod slot;
mod table;
mod trees;

use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use self::browse::{BrowseHooks, ListFiles};
use self::slot::Slot;
use self::table::Table;
use super::downloads::Downloads;
use super::view::TransferView;
use crate::base::Rng;
use crate::library::{RootId, SharedFile, Stamp};
use crate::net::serve::{Answer, Body, Shelf, read_at};
use crate::net::{Outflow, Tap, rt};
use crate::transfer::given::Given;
use crate::transfer::queue::{Asker, Place, QueueConfig};
use crate::transfer::upload::{self, Found, Offer, Speaks, Tree, Wait};
use crate::wire::features::{Family, Features};
use crate::wire::head::Headers;
use crate::wire::http::{Request, Response, Target};
use crate::wire::{Guid, TreeKind};

/// How often running uploads are looked at.
const TICK: Duration = Duration::from_millis(500);
/// A client whose tree is not ready or that finds too many who want theirs comes back after so many seconds.
pub const TREE_LATER: u32 = 5;
/// Up to so many bytes are read where the file is opened, and sent with the head.
const AT_ONCE: u64 = 64 * 1024;

/// How much is given away at a time.
#[derive(Clone, Debug)]
pub struct UploadsConfig {
    /// Files sent at a time; who asks for more waits in the queue. A quarter of it, at least one, is there for
    /// files up to 1 MiB beside it.
    pub slots: usize,
    /// ... to one public address. Loopback, link-local and private addresses are exempt.
    pub slots_per_address: usize,
    /// Places in the queue.
    pub places: usize,
    /// `Server` of our answers.
    pub agent: String,
}

impl Default for UploadsConfig {
    fn default() -> Self {
        let queue = QueueConfig::default();
        Self {
            slots: queue.slots,
            slots_per_address: queue.per_address,
            places: queue.places,
            agent: concat!("filbert/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

impl UploadsConfig {
    fn queue(&self) -> QueueConfig {
        QueueConfig {
            slots: self.slots,
            per_address: self.slots_per_address,
            express: (self.slots / 4).max(1),
            places: self.places,
            ..QueueConfig::default()
        }
    }
}

/// Looks up what a request means.
pub type Find = dyn Fn(&Target) -> Option<Arc<SharedFile>> + Send + Sync;
/// Opens a shared file beneath its folder, and tells how it is now.
pub type Open = dyn Fn(RootId, &Path) -> io::Result<(File, Stamp)> + Send + Sync;

/// The row of one of a file's trees.
pub type TreeOf = dyn Fn(&Arc<SharedFile>, TreeKind) -> Tree + Send + Sync;

/// Answers who asks us to pass a Push on.
pub type PassOn = dyn Fn(&Request, Option<Guid>, SocketAddr) -> Response + Send + Sync;

/// Adds to the answer to somebody who has use of such addresses.
pub type Describe = dyn Fn(&mut Headers, Family) + Send + Sync;

/// What the uploads need of the rest of the servent.
pub struct UploadHooks {
    /// The shared file that a request means: a look-up, never a path.
    pub find: Box<Find>,
    /// Opens a shared file beneath its folder's handle. Called where it may block.
    pub open: Box<Open>,
    /// The row of one of a shared file's trees. Called where it may block.
    pub tree: Box<TreeOf>,
    /// Pass a Push on to that servent, and what to answer.
    pub pass_on: Box<PassOn>,
    /// The list of all that is shared; `None` when nobody may have it.
    pub browse: Option<BrowseHooks>,
    /// Whether IPv6 addresses are of use to us, as far as we know while we talk to somebody there.
    pub uses_ipv6: Box<dyn Fn(IpAddr) -> bool + Send + Sync>,
    /// What the answer to a request says of us besides.
    pub describe: Box<Describe>,
    /// A fresh number for a transfer. Called where it may block.
    pub next_id: Box<dyn Fn() -> u64 + Send + Sync>,
    /// An upload has changed: at most twice a second each, and when it ends.
    pub changed: Box<dyn Fn(TransferView) + Send + Sync>,
    /// A newcomer would have to wait, or not any more.
    pub busy: Box<dyn Fn(bool) + Send + Sync>,
    /// The speeds that they share.
    pub speed: Outflow,
    /// The downloads, which are given to others while they are under way.
    pub downloads: Option<Downloads>,
}

/// All uploads of a servent; a clone is a handle to the same set. It is the shelf that `net::serve` asks.
#[derive(Clone)]
pub struct Uploads(Arc<Inner>);

struct Inner {
    config: UploadsConfig,
    hooks: UploadHooks,
    table: Mutex<Table>,
    began: Instant,
    given: Mutex<Given>,
}

impl Uploads {
    /// No uploads yet. `rng` names the places in the queue.
    pub fn new(config: UploadsConfig, hooks: UploadHooks, mut rng: Rng) -> Self {
        let given = Mutex::new(Given::new(&mut rng));
        let table = Mutex::new(Table::new(config.queue(), rng));
        Self(Arc::new(Inner { config, hooks, table, began: Instant::now(), given }))
    }

    /// Those that run or wait and those that ended lately (the last 50), in the order of their ids.
    pub fn views(&self) -> Vec<TransferView> {
        self.0.changing(|table, now| {
            table.expire(now);
            table.rows.iter().map(|(id, row)| row.view(*id, now, table.held)).collect()
        })
    }

    /// Nobody gets a slot from now on (`true`), or as ever.
    pub fn hold(&self, held: bool) {
        self.0.changing(|table, _| table.hold(held));
    }

    /// How many files are sent now.
    pub fn running(&self) -> usize {
        self.0.table().rows.values().filter(|row| !row.running.is_empty()).count()
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
    fn answer(&self, request: &Request, from: SocketAddr) -> Answer {
        let mut answer = self.0.answer(request, from);
        let alternates = self.0.hooks.downloads.as_ref().map(Downloads::alternates);
        alternates.iter().for_each(|it| it.meet(from, &request.headers));
        self.0.tell_others(request, from, &mut answer);
        let family = alternates.map_or_else(|| Family::of(from.ip()), |it| it.family(from));
        let headers = &mut answer.head.headers;
        // Who says that it queues and then does not is complained of: only who is queued is told.
        let (browse, queue) = (self.0.hooks.browse.is_some(), headers.get("X-Queued").is_some());
        Features { browse, queue, ipv6: (self.0.hooks.uses_ipv6)(from.ip()) }.tell(headers);
        (self.0.hooks.describe)(headers, family);
        answer
    }

    fn gone(&self, from: SocketAddr) {
        if let Some(downloads) = &self.0.hooks.downloads {
            downloads.alternates().part(from);
        }
        self.0.changing(|table, now| table.gone(from, now));
    }

    fn tap(&self, from: SocketAddr) -> Tap {
        self.0.hooks.speed.tap(from.ip())
    }
}

/// A shared file as it was opened for a request.
struct Opened {
    shared: Arc<SharedFile>,
    file: File,
    /// The bytes asked for, if they are few.
    bytes: Option<Vec<u8>>,
}

impl Inner {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the table, and tells others what has come of it.
    fn changing<T>(&self, change: impl FnOnce(&mut Table, Instant) -> T) -> T {
        let mut table = self.table();
        let now = Instant::now();
        let result = change(&mut table, now);
        let (changed, busy) = table.news(now);
        drop(table);
        changed.into_iter().for_each(|view| (self.hooks.changed)(view));
        if let Some(busy) = busy {
            (self.hooks.busy)(busy);
        }
        result
    }

    fn answer(self: &Arc<Self>, request: &Request, from: SocketAddr) -> Answer {
        let agent = &self.config.agent;
        let nothing = || plain(upload::plan(request, Found::Nothing, agent));
        let target = request.target();
        if let Target::PushProxy(servent) = target {
            return plain_head((self.hooks.pass_on)(request, servent, from));
        }
        if target == Target::Browse {
            return self.browse(request, from);
        }
        if let Target::Tree(kind, urn) = target {
            return self.tree(request, kind, urn);
        }
        let Some(shared) = self.look_up(&target) else {
            return match &target {
                Target::ByUrn(urn) => self.part(request, urn, from).unwrap_or_else(nothing),
                _ => nothing(),
            };
        };
        let offer = Offer { name: shared.name.clone(), size: shared.stamp.size, digests: shared.digests, part: None };
        let plan = upload::plan(request, Found::Offer(&offer), agent);
        let few = plan.body.clone().filter(|body| body.end - body.start <= AT_ONCE);
        let Some(Opened { shared, file, bytes }) = self.open(shared, few) else { return nothing() };
        let Some(body) = plan.body.clone() else { return plain(plan) };
        let asker = Asker {
            from,
            file: shared.index,
            size: offer.size,
            bytes: body.end - body.start,
            id: upload::place_named(request),
            stays: Speaks::of(request).stays(),
        };
        let slot = match Slot::take(self, &shared, &asker, body.end == offer.size, plan.head.keep_alive()) {
            Ok(slot) => slot,
            Err(wait) => return plain(upload::plan(request, Found::Busy(&offer, &wait), agent)),
        };
        let sent = slot.counter();
        let body = match bytes {
            Some(bytes) => Body::Bytes(bytes),
            None => Body::File(Arc::new(file), body),
        };
        Answer { head: plan.head, body, sent, slot: Some(Box::new(slot)) }
    }

    fn look_up(&self, target: &Target) -> Option<Arc<SharedFile>> {
        match target {
            Target::ByUrn(_) => (self.hooks.find)(target),
            // Numbers are given anew at each start: the name has to agree.
            Target::ByIndex(_, name) => {
                (self.hooks.find)(target).filter(|shared| upload::same_name(&shared.name, name))
            }
            Target::Tree(..) | Target::PushProxy(_) | Target::Browse | Target::Unknown => None,
        }
    }

    /// The file, open, if it still is what we know it as, and the range of it that is read at once.
    fn open(&self, shared: Arc<SharedFile>, few: Option<std::ops::Range<u64>>) -> Option<Opened> {
        let name = shared.path.display();
        let (file, stamp) = (self.hooks.open)(shared.root, &shared.path)
            .inspect_err(|error| log::debug!("cannot open {name}: {error}"))
            .ok()?;
        if !is_same_content(&stamp, &shared.stamp) {
            log::debug!("{name} has changed since it was last looked at; not given");
            return None;
        }
        let bytes = few.map(|range| {
            let mut bytes = vec![0; (range.end - range.start) as usize];
            read_at(&file, &mut bytes, range.start).map(|()| bytes)
        });
        let bytes = bytes.transpose().inspect_err(|error| log::debug!("cannot read {name}: {error}")).ok()?;
        Some(Opened { shared, file, bytes })
    }

    /// While anything is sent or waits: rates, events, places that nobody came back for. Nothing wakes up when
    /// there is nothing.
    fn tick(self: &Arc<Self>) {
        if std::mem::replace(&mut self.table().ticking, true) {
            return;
        }
        let inner = Arc::clone(self);
        rt::spawn(async move {
            let mut pause = Some(TICK);
            while let Some(time) = pause {
                rt::sleep(time).await;
                pause = inner.changing(Table::look);
            }
        })
        .detach();
    }
}

impl Wait {
    fn at(place: Option<Place>, limit: usize, rate: u64) -> Self {
        let eta = place.as_ref().filter(|_| rate > 0).map(|place| place.bytes_ahead / rate);
        Self { place, limit, eta }
    }
}

/// The same file with the same bytes; a change of its mode alone moves only `ctime`.
fn is_same_content(now: &Stamp, then: &Stamp) -> bool {
    (now.dev, now.inode, now.size, now.mtime_ns) == (then.dev, then.inode, then.size, then.mtime_ns)
}

fn plain(plan: upload::Plan) -> Answer {
    plain_head(plan.head)
}

fn plain_head(head: Response) -> Answer {
    Answer { head, body: Body::Empty, sent: Arc::default(), slot: None }
}
