//! The facade: one running servent.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;

use super::downloads::{OnExists, Player, Priority, Wanted};
use super::events::lock;
use super::import::{self, Import};
use super::inner::Inner;
use super::magnets::MagnetRequest;
use super::portmap::{PortMapping, Standing};
use super::proxies::Wall;
use super::resolve::HostPort;
use super::session::LONGEST;
use super::shelf::{Consent, Lasting, Totals};
use super::speeds::{SpeedLimits, SpeedsRequest};
use super::view::{
    BlocksView, EventView, FoldersView, HitView, HostView, ImportView, MagnetView, PeerView, SearchLine, SearchView,
    ShareView, SpeedsView, StatusView, TransferView, WatchView,
};
use super::watches::{WatchPace, WatchRequest};
use super::{Error, ErrorCode, Limits, browses, folders, words};
use crate::app::events::BoxStream;
use crate::base::Instant;
use crate::disk::lock::Lock;
use crate::library::Criteria;
use crate::net::rt;
use crate::proto::{Command, Counters, Deflate, Encrypt, HostSource, OutOfBand, Reachable, Role, RoleChoice, Servent};

/// How to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where config, state, cache and downloads live.
    pub home: crate::disk::Home,
    /// Folders shared for this run.
    pub share: Vec<PathBuf>,
    /// Patterns of what is not shared of any folder.
    pub exclude: Vec<String>,
    /// Where to listen; port 0 is any free one.
    pub listen: SocketAddr,
    /// Whether the user said where to listen: if not, a port in use is replaced by the next free one.
    pub listen_given: bool,
    /// Hosts to be linked to: `HOST[:PORT]`.
    pub connect: Vec<String>,
    /// Host caches to ask while no peer is found: `udp:HOST:PORT`, `http://HOST/PATH`.
    pub bootstrap: Vec<String>,
    /// Dial only those.
    pub only_listed: bool,
    /// Look for peers on this network.
    pub lan: bool,
    /// Size of the neighbour set.
    pub neighbours: usize,
    /// TTL of our queries.
    pub ttl: u8,
    /// What it is in a network of ultrapeers and leaves.
    pub role: RoleChoice,
    /// Whether the router is asked to let others in.
    pub portmap: PortMapping,
    /// Whether others may have the list of all that is shared.
    pub browse: bool,
    /// Whether those who fetch the same file as we are given what is there of it.
    pub give_downloads: bool,
    /// Which directions of links are deflated.
    pub deflate: Deflate,
    /// Whether links are encrypted.
    pub encrypt: Encrypt,
    /// Whether hits go by UDP.
    pub out_of_band: OutOfBand,
    /// Where finished files go, used as is; `None` is the home's own.
    pub download_dir: Option<PathBuf>,
    /// Bounds on what strangers can make us do.
    pub limits: Limits,
    /// How fast files may come and go.
    pub speeds: SpeedLimits,
    /// How often saved searches are asked.
    pub watch_pace: WatchPace,
    /// In-process for one command: shares nothing, takes no lock, resumes nothing.
    pub private: bool,
}

/// What to search.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct SearchRequest {
    /// In the query language; words as typed, joined by spaces with quotes where they were needed.
    pub query: String,
    /// TTL for this one.
    #[serde(default)]
    pub ttl: Option<u8>,
    /// Exactly that long, in milliseconds; `None`: until 2 s after the last hit and 5 s at most.
    #[serde(default)]
    pub wait_ms: Option<u64>,
    /// Stop at that many hits.
    #[serde(default)]
    pub max: Option<u64>,
}

/// What to download.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct GetRequest {
    /// What.
    pub what: String,
    /// Where the finished file goes.
    #[serde(default)]
    pub dir: Option<PathBuf>,
    /// Under which name.
    #[serde(default)]
    pub name: Option<String>,
    /// `skip`, `rename` or `overwrite`; `None`: skip when the content is the same, else rename.
    #[serde(default)]
    pub on_exists: Option<String>,
    /// `high`, `normal` or `low`: who goes first among those that wait for their turn.
    #[serde(default)]
    pub priority: Option<String>,
    /// Where it goes below `dir`: `{peer}/{name}`; there are `{peer}`, `{dir}`, `{name}` and `{ext}`.
    #[serde(default)]
    pub template: Option<String>,
    /// The search that the hit's number is of; `None`: the latest.
    #[serde(default)]
    pub search: Option<u64>,
}

/// Whose list to ask for.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct BrowseRequest {
    /// `HOST[:PORT]`.
    pub host: String,
    /// Whether hit numbers go on to mean the search before.
    #[serde(default)]
    pub keep_numbers: bool,
}

impl From<String> for BrowseRequest {
    fn from(host: String) -> Self {
        Self { host, keep_numbers: false }
    }
}

/// A folder to share.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct ShareRequest {
    /// Which.
    pub path: PathBuf,
    /// Share even `/`, the home directory and their like.
    #[serde(default)]
    pub i_mean_it: bool,
    /// Patterns of what is not shared of it, besides those for all folders: `*.iso`, `drafts/**`.
    #[serde(default)]
    pub exclude: Vec<String>,
}

/// A running servent. Dropping it stops it without a word; [`Node::shutdown`] says Bye.
pub struct Node {
    inner: Arc<Inner>,
    /// Ends when the servent has said Bye.
    driver: Mutex<Option<rt::Task<()>>>,
    listener: Mutex<Option<rt::Task<()>>>,
    tasks: Mutex<Vec<rt::Task<()>>>,
    lock: Mutex<Option<Lock>>,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Node({} at {})", self.inner.servent, self.inner.listen)
    }
}

/// The largest neighbour set that can be asked for.
const MAX_NEIGHBOURS: usize = 1000;
/// Names of an imported list that are looked up at a time.
const LOOK_UPS: usize = 8;
/// How often it is looked whether uploads have come to their end.
const DRAIN_LOOK: Duration = Duration::from_millis(50);

impl Node {
    /// Opens the port, takes up neighbours, shares and unfinished downloads. Waits for neither scan nor hashing.
    pub async fn start(options: Options) -> Result<Node, Error> {
        super::start::start(options).await
    }

    pub(super) fn new(
        inner: Arc<Inner>,
        driver: rt::Task<()>,
        listener: rt::Task<()>,
        tasks: Vec<rt::Task<()>>,
        lock: Option<Lock>,
    ) -> Self {
        Self {
            inner,
            driver: Mutex::new(Some(driver)),
            listener: Mutex::new(Some(listener)),
            tasks: Mutex::new(tasks),
            lock: Mutex::new(lock),
        }
    }

    /// Where it listens.
    pub fn listen_addr(&self) -> SocketAddr {
        self.inner.listen
    }

    /// How it is.
    pub async fn status(&self) -> StatusView {
        let inner = &self.inner;
        let look =
            |servent: &Servent, now| (servent.degree(), servent.leaves(), servent.role(), *servent.counters(), now);
        let gone = || (0, 0, Role::Ultrapeer, Counters::default(), inner.clock.now());
        let (degree, leaves, role, counters, now) = inner.handle.inspect(look).await.unwrap_or_else(gone);
        let Totals { files, bytes, hashed } = inner.shelf.totals();
        let mut totals = words::counters(&counters);
        totals.insert("queries_late".to_owned(), inner.queries_late.load(SeqCst));
        totals.insert("bytes_downloaded".to_owned(), inner.speeds.down().moved());
        totals.insert("bytes_uploaded".to_owned(), inner.uploads.sent());
        totals.insert("verify_fails".to_owned(), inner.downloads.verify_fails());
        totals.extend(inner.pushes.counters().map(|(name, count)| (name.to_owned(), count)));
        StatusView {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            listen: inner.listen.to_string(),
            servent: inner.servent.to_string(),
            key: inner.key.as_ref().map(words::key),
            files,
            hashed,
            bytes,
            neighbours: degree as u64,
            leaves: leaves as u64,
            role: words::role(role).to_owned(),
            reachable: inner.proxies.wall().reachable.word().to_owned(),
            down_bps: inner.downloads.rate(),
            up_bps: inner.uploads.rate(),
            limits: inner.speeds.limits().view(),
            uptime_s: now.since(Instant::ZERO).as_secs(),
            counters: totals,
            warnings: {
                let alone = inner.alone().await.map(|why| format!("{why}. Next: `filbert connect HOST`"));
                let alone = alone.map(|words| self.home().typed(&words));
                let now = inner.downloads.unsaved().into_iter().chain(alone);
                inner.warnings.all().into_iter().chain(now).collect()
            },
        }
    }

    /// How fast files may come and go.
    pub fn limits(&self) -> SpeedsView {
        self.inner.speeds.limits().view()
    }

    /// Changes that, at once, for this run and for later ones: until a flag, the environment or `config.toml` says
    /// otherwise.
    pub async fn keep_limits(&self, change: &SpeedsRequest) -> Result<SpeedsView, Error> {
        let view = self.set_limits(change)?;
        let (file, change) = (self.inner.kept.speeds.clone(), change.normal()?);
        let kept = rt::spawn_blocking(move || file.update(|kept: &mut SpeedsRequest| kept.take(change))).await;
        kept.map_err(|error| {
            let file = self.inner.kept.speeds.path().display();
            Error::new(ErrorCode::Failed, format!("the limits hold now, but cannot be kept in {file}: {error}"))
                .hint("Make room on that disk, or let it be written to; then set them again")
        })?;
        Ok(view)
    }

    /// What was so kept, by the names of the settings.
    pub async fn kept_limits(&self) -> Vec<(&'static str, String)> {
        let file = self.inner.kept.speeds.clone();
        rt::spawn_blocking(move || file.load::<SpeedsRequest>().or_log().unwrap_or_default().settings()).await
    }

    /// Changes that, at once and for this run.
    pub fn set_limits(&self, change: &SpeedsRequest) -> Result<SpeedsView, Error> {
        let inner = &self.inner;
        let limits = inner.speeds.change(change)?;
        inner.downloads.hold(limits.down_now().is_pause());
        inner.uploads.hold(limits.up_now().min(limits.peer_up).is_pause());
        Ok(limits.view())
    }

    /// How others see it.
    pub(super) fn wall(&self) -> Wall {
        self.inner.proxies.wall()
    }

    /// What came of asking the router.
    pub(super) fn mapping(&self) -> Standing {
        self.inner.portmap.standing()
    }

    /// Whether datagrams of strangers reach us; `None` after the end.
    pub(super) async fn reach_by_udp(&self) -> Option<Reachable> {
        self.inner.handle.inspect(|servent, now| servent.reach_by_udp(now)).await
    }

    /// How peers on this network are looked for, and what keeps that from working; `None` when nobody is.
    pub(super) fn lan_ways(&self) -> Option<[(&'static str, Result<(), String>); 2]> {
        let looks = self.inner.lan.is_some() || self.inner.mdns.is_some();
        looks.then(|| self.inner.ways())
    }

    /// Where finished files go.
    pub(super) fn download_dir(&self) -> &Path {
        self.inner.downloads.dir()
    }

    /// Why nobody is found on this network; nothing while somebody is linked.
    pub(super) async fn alone(&self) -> Option<String> {
        self.inner.alone().await
    }

    /// Where our things are.
    pub(crate) fn home(&self) -> &crate::disk::Home {
        self.inner.shelf.home()
    }

    /// The shared folders.
    pub async fn shares(&self) -> Vec<ShareView> {
        self.inner.shelf.views()
    }

    /// Shares a folder from now on (kept in the state). Policy refusals (`/`, home, ~/.ssh ...) are `Refused`.
    pub async fn share(&self, request: ShareRequest) -> Result<ShareView, Error> {
        let mean_it = if request.i_mean_it { Consent::Meant } else { Consent::Asked };
        let view = self.inner.shelf.share(request.path, request.exclude, mean_it, Lasting::Kept).await?;
        self.keep_shares().await?;
        Ok(view)
    }

    /// What sharing this folder would share; nothing is shared by it. Walks through all of it.
    pub async fn preview(&self, request: ShareRequest) -> Result<ShareView, Error> {
        self.inner.shelf.preview(request).await
    }

    /// The folders in a folder of this machine; in the user's own without a path.
    pub async fn folders(&self, path: Option<PathBuf>) -> Result<FoldersView, Error> {
        rt::spawn_blocking(move || folders::list(path)).await
    }

    /// Shares a folder no more.
    pub async fn unshare(&self, path: PathBuf) -> Result<(), Error> {
        self.inner.shelf.unshare(&path).await?;
        self.keep_shares().await
    }

    async fn keep_shares(&self) -> Result<(), Error> {
        let (kept, shares) = (self.inner.kept.clone(), self.inner.shelf.lasting());
        rt::spawn_blocking(move || kept.keep_shares(&shares)).await
    }

    /// The connected peers.
    pub async fn peers(&self) -> Vec<PeerView> {
        let seen = self.inner.handle.inspect(|servent, now| (servent.peers(), now)).await;
        let (peers, now) = seen.unwrap_or_default();
        peers.iter().map(|peer| words::peer(peer, now)).collect()
    }

    /// `HOST[:PORT]`; resolves names. Waits until it is linked, refused or failed.
    pub async fn connect(&self, host: String) -> Result<PeerView, Error> {
        self.inner.connect(&HostPort::parse(&host)?).await
    }

    /// Closes the link to that address and does not dial it again unless it is named anew.
    pub async fn disconnect(&self, addr: String) -> Result<(), Error> {
        let addrs = HostPort::parse(&addr)?.resolve().await?;
        let mut linked = false;
        for at in addrs {
            linked |= self.inner.peer_at(at).await.is_some();
            self.inner.handle.command(Command::Disconnect(at));
        }
        // The command is done when the servent answers the next question.
        self.inner.is_linked().await;
        if linked {
            return Ok(());
        }
        Err(Error::new(ErrorCode::NotFound, format!("{addr} is not connected"))
            .hint("It will not be dialled; `filbert peers` lists who is connected"))
    }

    /// The size of the random neighbour set, live.
    pub async fn set_neighbours(&self, n: usize) -> Result<(), Error> {
        if n > MAX_NEIGHBOURS {
            let message = format!("{n} neighbours are too many");
            return Err(Error::new(ErrorCode::Usage, message).hint(format!("At most {MAX_NEIGHBOURS}; 8 is usual")));
        }
        self.inner.handle.command(Command::SetNeighbours(n));
        Ok(())
    }

    /// How many links our queries travel, live.
    pub fn set_ttl(&self, ttl: u8) {
        self.inner.handle.command(Command::SetTtl(ttl));
    }

    /// What is not shared of any folder, live: the folders are read anew.
    pub async fn set_exclude(&self, patterns: Vec<String>) -> Result<(), Error> {
        self.inner.shelf.set_exclude(patterns).await
    }

    /// Whether the servent answers.
    pub async fn is_alive(&self) -> bool {
        self.inner.handle.inspect(|_, _| ()).await.is_some()
    }

    /// The host cache.
    pub async fn hosts(&self) -> Vec<HostView> {
        let seen = self.inner.handle.inspect(|servent, now| (servent.hosts(), servent.peers(), now)).await;
        let (hosts, peers, now) = seen.unwrap_or_default();
        let linked: BTreeSet<SocketAddr> = peers.iter().flat_map(|peer| [peer.addr, peer.remote]).collect();
        hosts.iter().map(|host| words::host(host, linked.contains(&host.addr), now)).collect()
    }

    /// Adds the hosts that a list names to the cache: a host a line, see [`super::import`]. What a line has wrong is in the
    /// report.
    pub async fn import_hosts(&self, lines: Vec<String>) -> ImportView {
        let lines = lines.into_iter().zip(1..).map(|(line, number)| (number, import::bare(&line).to_owned()));
        let named = lines.filter(|(_, line)| !line.is_empty()).map(|(number, line)| async move {
            let addrs = match import::host(&line) {
                Ok(host) => host.resolve().await.map_err(|error| error.message),
                Err(what) => Err(what.to_owned()),
            };
            (number, line, addrs)
        });
        let found: Vec<_> = futures::stream::iter(named).buffered(LOOK_UPS).collect().await;

        let look = |servent: &Servent, _| (servent.hosts(), servent.config().limits.hosts, servent.own_addr());
        let (hosts, most, us) = self.inner.handle.inspect(look).await.unwrap_or_default();
        let users = hosts.iter().filter(|host| host.source == HostSource::User).count();
        let mut import = Import::new(hosts.iter().map(|host| host.addr).collect(), users, most);
        for (number, line, addrs) in found {
            let own = |addr: &SocketAddr| us == Some(*addr) || import::is_own(*addr, self.inner.listen);
            let addrs = match addrs {
                Ok(addrs) if addrs.iter().any(own) => Err("is this servent itself".to_owned()),
                addrs => addrs,
            };
            import.line(number, &line, addrs);
        }
        let named = import.fresh.into_iter().chain(import.again).map(|addr| (addr, HostSource::User)).collect();
        self.inner.handle.command(Command::AddHosts(named));
        import.report
    }

    /// Starts a search. Waits for a first neighbour for as long as the search would take; without one: `NotConnected`.
    pub async fn search(&self, request: SearchRequest) -> Result<SearchView, Error> {
        let criteria = Criteria::parse(&request.query).map_err(|error| {
            Error::new(ErrorCode::Usage, error.to_string()).hint("Try: `filbert search blue train ext:flac -live`")
        })?;
        if request.ttl == Some(0) {
            return Err(
                Error::new(ErrorCode::Usage, "a TTL of 0 reaches nobody").hint("A TTL of 1 asks the neighbours alone")
            );
        }
        let patience = request.wait_ms.map_or(LONGEST, Duration::from_millis);
        if rt::timeout(patience, self.linked()).await.is_err() {
            let why = self.inner.alone().await.map(|why| format!("; {why}")).unwrap_or_default();
            return Err(Error::new(ErrorCode::NotConnected, format!("No peers yet{why}")).hint(
                "Same network: run filbert there. Elsewhere: `filbert connect HOST`. Public hosts: `filbert hosts import FILE`",
            ));
        }
        Ok(self.inner.searches.begin(request, criteria))
    }

    /// Asks a host, `HOST[:PORT]` or the number of a hit of its, for the list of all that it shares. Waits until the list
    /// begins; its files come as the hits of a search do. One that cannot be connected to is asked to connect to us, if a hit
    /// of its is known.
    pub async fn browse(&self, request: impl Into<BrowseRequest>) -> Result<SearchView, Error> {
        let BrowseRequest { host, keep_numbers } = request.into();
        let (host, searches) = (host.trim(), &self.inner.searches);
        let failed = |error| Error { code: ErrorCode::Failed, ..error };
        let (addrs, known) = match host.parse::<u32>() {
            Ok(number) => {
                let no_hit = || {
                    Error::new(ErrorCode::NotFound, format!("the latest search has no hit {number}"))
                        .hint("Search first; a host is HOST or HOST:PORT")
                };
                let (hit, _) = searches.hit(number).ok_or_else(no_hit)?;
                let addr = hit.source.addr.parse().map_err(|_| no_hit())?;
                (vec![addr], Some(hit))
            }
            Err(_) => {
                // Code `NotFound` would say that nothing is shared there.
                let addrs = HostPort::parse(host)?.resolve().await.map_err(failed)?;
                let known = searches.hit_from(&addrs);
                (addrs, known)
            }
        };
        let opened = browses::open(host, &addrs, known.as_ref(), &self.inner.pushes).await?;
        Ok(self.inner.searches.browse(opened, keep_numbers))
    }

    /// Waits for a first neighbour.
    async fn linked(&self) {
        loop {
            let rings = self.inner.linked.rings();
            if self.inner.is_linked().await {
                return;
            }
            self.inner.linked.after(rings).await;
        }
    }

    /// The searches that are remembered, oldest first.
    pub async fn searches(&self) -> Vec<SearchView> {
        self.inner.searches.views()
    }

    /// All hits of a search so far, then those to come, then `Done`.
    pub async fn hits(&self, search: u64) -> Result<BoxStream<SearchLine>, Error> {
        self.inner.searches.hits(search)
    }

    /// Ends a search before its time; its hits stay.
    pub async fn end_search(&self, search: u64) -> Result<(), Error> {
        self.inner.searches.end(search)
    }

    /// The saved searches.
    pub async fn watches(&self) -> Vec<WatchView> {
        self.inner.watches.views()
    }

    /// Saves a search: it is asked again and again until it is removed.
    pub async fn watch(&self, request: WatchRequest) -> Result<WatchView, Error> {
        self.inner.watches.add(request).await
    }

    /// Removes a saved search.
    pub async fn unwatch(&self, id: u64) -> Result<(), Error> {
        self.inner.watches.remove(id).await
    }

    /// Lets a saved search ask no more, or again.
    pub async fn pause_watch(&self, id: u64, paused: bool) -> Result<WatchView, Error> {
        self.inner.watches.set_paused(id, paused).await
    }

    /// The latest hits of a saved search, oldest first.
    pub async fn watch_hits(&self, id: u64) -> Result<Vec<HitView>, Error> {
        self.inner.watches.hits(id)
    }

    /// Its hits were looked at: they are not new any more.
    pub async fn watch_looked_at(&self, id: u64) -> Result<WatchView, Error> {
        self.inner.watches.looked_at(id).await
    }

    /// Starts (or joins) a download.
    pub async fn get(&self, request: GetRequest) -> Result<TransferView, Error> {
        let on_exists = OnExists::parse(request.on_exists.as_deref())?;
        let priority = request.priority.as_deref().map_or(Ok(Priority::default()), read_priority)?;
        let mut wanted = match request.what.trim().parse::<u32>() {
            Ok(number) => {
                let found = match request.search {
                    Some(search) => self.inner.searches.hit_of(search, number),
                    None => self.inner.searches.hit(number),
                };
                let (hit, same) = found.ok_or_else(|| {
                    let which = request.search.map_or("the latest search".to_owned(), |id| format!("search {id}"));
                    Error::new(ErrorCode::NotFound, format!("{which} has no hit {number}"))
                        .hint("Search again: hit numbers belong to the latest search")
                })?;
                Wanted::hit(&hit, &same)?
            }
            Err(_) => Wanted::parse(&request.what).await?,
        };
        if let Some(name) = request.name {
            wanted.name = name;
        }
        wanted.dir = request.dir;
        if let Some(template) = request.template.filter(|template| !template.is_empty()) {
            wanted.place(&template, self.inner.downloads.dir())?;
        }
        wanted.on_exists = on_exists;
        wanted.priority = priority;
        self.inner.downloads.get(wanted).await
    }

    /// The numbers of the latest search's, or list's, hits in a folder of their hosts, or below it.
    pub fn in_folder(&self, folder: &str) -> Result<Vec<u32>, Error> {
        let found = self.inner.searches.in_folder(folder);
        if found.is_empty() {
            let message = format!("the latest list has nothing in a folder {folder:?}");
            return Err(Error::new(ErrorCode::NotFound, message).hint(
                "Say a folder as `filbert browse HOST` shows it, or . for all; not every host tells its folders",
            ));
        }
        Ok(found)
    }

    /// Somebody is going to play a download: its front comes first from now on.
    pub async fn expect_player(&self, id: u64) -> Result<TransferView, Error> {
        self.inner.downloads.expect_player(id)?;
        self.inner.downloads.view(id).ok_or_else(|| Error::new(ErrorCode::NotFound, "it is gone"))
    }

    /// Somebody plays a download. The reader counts as one until it is dropped.
    pub fn player(&self, id: u64) -> Result<Player, Error> {
        self.inner.downloads.player(id)
    }

    /// A magnet link of a hit, a download, a shared file or a urn.
    pub fn magnet(&self, request: &MagnetRequest) -> Result<MagnetView, Error> {
        self.inner.magnet(request)
    }

    /// Downloads and uploads, in the order of their ids.
    pub async fn transfers(&self) -> Vec<TransferView> {
        let mut views = self.inner.downloads.views();
        views.extend(self.inner.uploads.views());
        views.sort_by_key(|view| view.id);
        views
    }

    /// Those downloads and uploads of these numbers that there are.
    pub fn transfers_of(&self, ids: &[RangeInclusive<u64>]) -> Vec<TransferView> {
        let mut views = self.inner.downloads.views_of(ids);
        let uploads = self.inner.uploads.views().into_iter();
        views.extend(uploads.filter(|view| ids.iter().any(|ids| ids.contains(&view.id))));
        views.sort_by_key(|view| view.id);
        views
    }

    /// A download or an upload.
    pub async fn transfer(&self, id: u64) -> Option<TransferView> {
        let download = self.inner.downloads.view(id);
        download.or_else(|| self.inner.uploads.views().into_iter().find(|view| view.id == id))
    }

    /// Its state now, then each change (at most ten a second), ends after `done`, `failed` or `cancelled`.
    pub async fn watch_transfer(&self, id: u64) -> Result<BoxStream<TransferView>, Error> {
        self.inner.downloads.watch(id).ok_or_else(|| {
            Error::new(ErrorCode::NotFound, format!("there is no download {id}")).hint("`filbert transfers` lists them")
        })
    }

    /// Which parts of a download are there, and what its sources do.
    pub async fn blocks(&self, id: u64) -> Result<BlocksView, Error> {
        self.inner.downloads.blocks(id)
    }

    /// Stops a download until it is resumed.
    pub async fn pause(&self, id: u64) -> Result<TransferView, Error> {
        self.inner.downloads.pause(id)
    }

    /// Lets a paused download go on.
    pub async fn resume(&self, id: u64) -> Result<TransferView, Error> {
        self.inner.downloads.resume(id)
    }

    /// `high`, `normal` or `low`: which download goes first among those that wait for their turn.
    pub async fn prioritise(&self, id: u64, priority: &str) -> Result<TransferView, Error> {
        self.inner.downloads.prioritise(id, read_priority(priority)?)
    }

    /// Cancels and removes the partial file.
    pub async fn cancel(&self, id: u64) -> Result<TransferView, Error> {
        self.inner.downloads.cancel(id).await
    }

    /// Tries at once instead of waiting; a failed or cancelled download starts again.
    pub async fn retry(&self, id: u64) -> Result<TransferView, Error> {
        self.inner.downloads.retry(id)
    }

    /// What happens from now on. A slow reader misses events and is told how many.
    pub fn events(&self) -> BoxStream<EventView> {
        self.inner.events.listen()
    }

    /// Gives no file to anybody who comes from now on; waits until what is sent now is sent, for `limit` at most.
    pub async fn drain(&self, limit: Duration) {
        let uploads = &self.inner.uploads;
        uploads.hold(true);
        let _ = rt::timeout(limit, async {
            while uploads.running() > 0 {
                rt::sleep(DRAIN_LOOK).await;
            }
        })
        .await;
    }

    /// How many files are sent now.
    pub fn uploads_running(&self) -> usize {
        self.inner.uploads.running()
    }

    /// Says Bye, keeps the state, closes everything. Returns when nothing of it runs any more.
    pub async fn shutdown(&self) {
        let inner = &self.inner;
        let (driver, listener) = (lock(&self.driver).take(), lock(&self.listener).take());
        if let Some(listener) = listener {
            listener.cancel().await;
        }
        if let Some(driver) = driver {
            inner.downloads.shutdown().await;
            inner.keep_hosts().await;
            if let Err(error) = inner.watches.save().await {
                inner.warn(error.to_string());
            }
            inner.handle.stop();
            driver.await;
        }
        let tasks = std::mem::take(&mut *lock(&self.tasks));
        for task in tasks {
            task.cancel().await;
        }
        inner.portmap.end().await;
        inner.searches.shutdown();
        inner.shelf.shutdown().await;
        lock(&inner.dials).clear();
        inner.events.end();
        lock(&self.lock).take();
    }
}

fn read_priority(word: &str) -> Result<Priority, Error> {
    let words = Priority::WORDS.join(", ");
    Priority::parse(word)
        .ok_or_else(|| Error::new(ErrorCode::Usage, format!("{word:?} is no priority: there are {words}")))
}

impl Drop for Node {
    fn drop(&mut self) {
        self.inner.searches.shutdown();
        self.inner.events.end();
    }
}
