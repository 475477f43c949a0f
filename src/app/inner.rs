//! The parts of a running servent, and what it does when something happens.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::channel::{mpsc, oneshot};
use futures::{FutureExt, StreamExt};

use super::downloads::Downloads;
use super::events::{Bell, Broadcast, lock};
use super::kept::Kept;
use super::kept_hosts::{KeptHost, unix_now};
use super::portmap::PortMap;
use super::proxies::{Proxies, Wall};
use super::pushes::Pushes;
use super::searches::Searches;
use super::shelf::{Shelf, Totals};
use super::speeds::Speeds;
use super::uploads::Uploads;
use super::view::EventView;
use super::watches::Watches;
use super::words;
use crate::base::Instant;
use crate::library::{Criteria, SharedFile};
use crate::net::{Clock, Handle, LanState, Mdns, rt};
use crate::proto::{Answer, CloseReason, Command, ConnId, Event, HostSource, Servent};
use crate::wire::hit::{Entry, MAX_ALT};
use crate::wire::query::Query;
use crate::wire::{Guid, Urn};

/// Queries of others that may wait to be held against our files.
const QUERIES_WAITING: usize = 256;
/// Queries searched before we look what else has happened.
const QUERIES_AT_ONCE: usize = 16;
/// New hosts are written to the state this long after the first of them was learnt.
const KEEP_HOSTS_AFTER: Duration = Duration::from_secs(30);
/// The network and the listeners hear of changes in the shares at most this often.
const TELL_SHARES_EVERY: Duration = Duration::from_millis(200);

/// Who is on this network has answered by then.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// What the parts of a servent share.
pub(super) struct Inner {
    pub(super) servent: Guid,
    /// Our own, where links may be encrypted.
    pub(super) key: Option<[u8; 32]>,
    pub(super) listen: SocketAddr,
    pub(super) clock: Clock,
    pub(super) handle: Handle,
    pub(super) kept: Kept,
    pub(super) shelf: Shelf,
    pub(super) searches: Arc<Searches>,
    pub(super) watches: Watches,
    pub(super) downloads: Downloads,
    pub(super) uploads: Uploads,
    pub(super) speeds: Arc<Speeds>,
    pub(super) pushes: Arc<Pushes>,
    pub(super) proxies: Arc<Proxies>,
    pub(super) portmap: Arc<PortMap>,
    /// Files that answer one query at most: the servent would cut off more, so they are not looked for.
    pub(super) answers: usize,
    pub(super) events: Arc<Broadcast>,
    pub(super) warnings: Arc<Warnings>,
    /// What we share is not what neighbours were told.
    pub(super) words_changed: AtomicBool,
    pub(super) words_bell: Bell,
    /// Rings when a link came up.
    pub(super) linked: Bell,
    /// What is known of the local network; `None` when nobody is looked for there.
    pub(super) lan: Option<Arc<LanState>>,
    /// The same by Multicast DNS.
    pub(super) mdns: Option<Mdns>,
    /// Who is at the other end of which link, for hits to say by whom they came.
    pub(super) links: Mutex<BTreeMap<ConnId, SocketAddr>>,
    pub(super) dials: Mutex<Vec<(SocketAddr, oneshot::Sender<CloseReason>)>>,
    /// Queries that waited too long to be searched.
    pub(super) queries_late: AtomicU64,
    pub(super) hosts_changed: AtomicBool,
    pub(super) hosts_bell: Bell,
}

/// What works less well than it should, in words; each is told once for as long as it is so.
#[derive(Debug, Default)]
pub(super) struct Warnings(Mutex<Vec<String>>);

/// Warnings that are remembered.
const MAX_WARNINGS: usize = 50;

impl Warnings {
    pub(super) fn add(&self, message: String, events: &Broadcast) {
        let mut warnings = lock(&self.0);
        if warnings.contains(&message) {
            return;
        }
        log::warn!(target: "filbert", "{message}");
        if warnings.len() >= MAX_WARNINGS {
            warnings.remove(0);
        }
        warnings.push(message.clone());
        drop(warnings);
        events.tell(|| EventView::Warning { message });
    }

    /// It is so no more; should it be so again, it is told again.
    pub(super) fn is_over(&self, message: &str) {
        lock(&self.0).retain(|it| it != message);
    }

    pub(super) fn all(&self) -> Vec<String> {
        lock(&self.0).clone()
    }
}

impl Inner {
    /// Does what the servent's events call for, until there are none any more.
    ///
    /// Searching our files is the one thing here that takes time, so queries wait for it in a short line of
    /// their own: what else happened is not held up, and when more is asked than can be searched, it is the
    /// queries that waited longest that get no answer. Those that ask for words that no file has, which are most, do
    /// not stand in that line.
    pub(super) async fn live(self: Arc<Self>, mut events: mpsc::Receiver<Vec<Event>>) {
        let mut waiting = VecDeque::new();
        loop {
            let batch = if waiting.is_empty() { Some(events.next().await) } else { events.next().now_or_never() };
            match batch {
                Some(None) => return,
                Some(Some(mut batch)) => {
                    self.sift(&mut batch);
                    for event in batch {
                        self.on_event(event, &mut waiting);
                    }
                    let late = waiting.len().saturating_sub(QUERIES_WAITING);
                    self.queries_late.fetch_add(late as u64, SeqCst);
                    waiting.drain(..late);
                }
                None => {}
            }
            for (guid, query, hops) in waiting.drain(..waiting.len().min(QUERIES_AT_ONCE)) {
                self.on_query(guid, &query, hops);
            }
        }
    }

    /// Takes out the queries that no file of ours matches for sure.
    fn sift(&self, batch: &mut Vec<Event>) {
        let library = self.shelf.library();
        batch.retain(|event| match event {
            Event::QueryReceived { guid, query, hops } if !library.may_match(&query.text.to_str(), &query.urns) => {
                self.tell_query(*guid, query, *hops, 0);
                false
            }
            _ => true,
        });
    }

    fn on_event(&self, event: Event, waiting: &mut VecDeque<(Guid, Query, u8)>) {
        match event {
            Event::QueryReceived { guid, query, hops } => waiting.push_back((guid, query, hops)),
            Event::HitReceived { search, hit, hops, from } => {
                let via = from.and_then(|from| lock(&self.links).get(&from).copied());
                for (content, source) in self.searches.on_hit(search, &hit, hops, via) {
                    self.downloads.add_source(&content, source);
                }
                self.on_watch_hit(search, &hit, hops);
            }
            Event::SearchSent { search, guid, neighbours } => self.searches.on_sent(search, guid, neighbours),
            Event::PushRequested { addr, index, word } => self.pushes.on_requested(addr, index, word),
            Event::PushFailed { servent } => self.pushes.on_failed(servent),
            Event::AskProxies { servent, us, proxies } => self.pushes.on_ask_proxies(servent, us, proxies),
            Event::ConnectBack { addr } => self.pushes.on_connect_back(addr),
            Event::Proxied { servent, proxied } => self.proxies.on_proxied(servent, proxied),
            Event::Reach { reachable, us, ipv6, proxies } => {
                self.proxies.on_reach(Wall { reachable, us, ipv6, proxies });
            }
            Event::HostsLearned(_) => {
                self.hosts_changed.store(true, SeqCst);
                self.hosts_bell.ring();
            }
            Event::RoleChanged(role) => {
                let role = words::role(role).to_owned();
                log::info!(target: "filbert::net", "this servent is a {role} from now on");
                self.events.tell(|| EventView::RoleChanged { role });
            }
            Event::NeighbourUp(link, addr) => {
                log::info!(target: "filbert::net", "{addr} is a neighbour");
                lock(&self.links).insert(link, addr);
                self.watches.on_neighbour();
                self.linked.ring();
                self.downloads.network_changed();
                self.events.tell(|| EventView::NeighbourUp { addr: addr.to_string() });
            }
            Event::NeighbourDown(link, addr, reason) => {
                lock(&self.links).remove(&link);
                let reason = words::reason(&reason);
                log::info!(target: "filbert::net", "{addr} is no neighbour any more: {reason}");
                self.events.tell(|| EventView::NeighbourDown { addr: addr.to_string(), reason });
            }
            Event::ConnectFailed(addr, reason) => {
                log::info!(target: "filbert::net", "cannot link to {addr}: {}", words::reason(&reason));
                let waiting = std::mem::take(&mut *lock(&self.dials));
                let (here, others) = waiting.into_iter().partition(|(to, _)| *to == addr);
                *lock(&self.dials) = others;
                let here: Vec<(SocketAddr, oneshot::Sender<CloseReason>)> = here;
                for (_, waiter) in here {
                    let _ = waiter.send(reason.clone());
                }
            }
        }
    }

    fn on_query(&self, guid: Guid, query: &Query, hops: u8) {
        let criteria = Criteria::from_wire(&query.text.to_str(), &query.urns);
        let files = self.shelf.library().search(&criteria, self.answers);
        let answered = files.len() as u64;
        if !files.is_empty() {
            let entries = files.iter().map(|file| self.entry(file, query)).collect();
            self.handle.command(Command::AnswerQuery(Answer { query: guid, entries }));
        }
        self.tell_query(guid, query, hops, answered);
    }

    /// A file of ours as a hit tells it. Nobody knows how far a hit goes, but who gets it can reach us: others are named who
    /// can be reached from as far away, at addresses of which its asker has use.
    fn entry(&self, file: &SharedFile, query: &Query) -> Entry {
        let entry = entry(file);
        let (Some(digests), Some(us)) = (file.digests, self.proxies.wall().us) else { return entry };
        let of_use = |other: SocketAddr| other != us && query.takes(other);
        entry.with_alternates(&self.downloads.alternates().others(&digests.sha1, us.ip(), MAX_ALT, of_use))
    }

    fn tell_query(&self, guid: Guid, query: &Query, hops: u8, answered: u64) {
        self.events.tell(|| EventView::Query { guid: guid.to_string(), text: query_text(query), hops, answered });
    }

    /// Tells network and listeners what we share, now and when it has changed.
    pub(super) async fn tell_shares(self: Arc<Self>) {
        loop {
            self.shelf.changed().await;
            let Totals { files, bytes, hashed } = self.shelf.totals();
            let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
            self.handle.command(Command::Sharing { files: u32::try_from(files).unwrap_or(u32::MAX), kib });
            self.events.tell(|| EventView::Shares { files, hashed });
            self.words_changed.store(true, SeqCst);
            self.words_bell.ring();
            rt::sleep(TELL_SHARES_EVERY).await;
        }
    }

    /// Keeps new hosts, some time after they were learnt; sleeps while there are none.
    pub(super) async fn tend_hosts(self: Arc<Self>) {
        loop {
            self.hosts_bell.until(|| self.hosts_changed.load(SeqCst).then_some(())).await;
            rt::sleep(KEEP_HOSTS_AFTER).await;
            self.hosts_changed.store(false, SeqCst);
            self.keep_hosts().await;
        }
    }

    /// Writes the host cache to the state.
    pub(super) async fn keep_hosts(&self) {
        let Some((hosts, now)) = self.handle.inspect(|servent, now| (servent.hosts(), now)).await else { return };
        let worth = hosts.iter().filter(|host| host.failures == 0 || host.source < HostSource::Stranger);
        let unix = unix_now();
        let hosts: Vec<KeptHost> = worth.map(|host| KeptHost::of(host, now, unix)).collect();
        if hosts.is_empty() {
            return;
        }
        let kept = self.kept.clone();
        if let Err(error) = rt::spawn_blocking(move || kept.keep_hosts(&hosts)).await {
            self.warn(error.to_string());
        }
    }

    /// Whether at least one peer is linked.
    pub(super) async fn is_linked(&self) -> bool {
        self.handle.inspect(|servent, _| servent.degree() + servent.leaves() > 0).await.unwrap_or(false)
    }

    /// Why nobody is found on this network, in words; nothing while somebody is linked, or nobody is looked for.
    pub(super) async fn alone(&self) -> Option<String> {
        if self.lan.is_none() && self.mdns.is_none() {
            return None;
        }
        let look = |servent: &Servent, now: Instant| {
            let counters = servent.counters();
            let asked = counters.announcements > 0 && now.since(Instant::ZERO) >= ANSWERS_WITHIN;
            let linked = servent.degree() + servent.leaves() > 0;
            (linked, asked && counters.lan_answers == 0)
        };
        let (linked, unanswered) = self.handle.inspect(look).await?;
        if linked {
            return None;
        }
        let found = self.mdns.as_ref().is_some_and(|mdns| mdns.found() > 0);
        match self.blocked() {
            Some(trouble) => Some(trouble),
            None if unanswered && !found => Some(
                "nobody answered on this network: filbert runs nowhere else on it, or it does not pass multicast on"
                    .to_owned(),
            ),
            None => None,
        }
    }

    /// Why neither the group nor Multicast DNS can find anybody, in words.
    fn blocked(&self) -> Option<String> {
        let [lan, mdns] = self.ways().map(|(name, way)| way.err().map(|why| format!("{name}: {why}")));
        Some(format!("multicast seems to be blocked on this network: {}; {}", lan?, mdns?))
    }

    /// The ways to find peers on this network, and for each why it does not work, in words, as far as is known.
    pub(super) fn ways(&self) -> [(&'static str, Result<(), String>); 2] {
        let works = |trouble: Option<Option<String>>| match trouble {
            Some(None) => Ok(()),
            Some(Some(why)) => Err(why),
            None => Err("it could not be opened".to_owned()),
        };
        [
            ("the group", works(self.lan.as_ref().map(|lan| lan.trouble()))),
            ("mDNS", works(self.mdns.as_ref().map(Mdns::trouble))),
        ]
    }

    pub(super) fn warn(&self, message: String) {
        self.warnings.add(message, &self.events);
    }
}

/// The same without others.
fn entry(file: &SharedFile) -> Entry {
    let urns = file.digests.map(|digests| [digests.urn(), Urn::Blake3(digests.blake3)]);
    Entry::new(file.index, file.stamp.size, &file.name, urns.as_ref().map_or(&[], |urns| urns.as_slice()))
}

/// What a query asks, for people: its words, or the content it names.
fn query_text(query: &Query) -> String {
    match query.urns.first() {
        Some(urn) => urn.to_string(),
        None => query.text.to_str().chars().filter(|c| !c.is_control()).take(200).collect(),
    }
}
