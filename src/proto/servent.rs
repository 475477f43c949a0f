//! The servent itself: the conversation with the driver, dispatch only.
//!
//! What each input means is in the module that its topic names: `handshake`, `neighbours`, `messages`. What is
//! here is the order of things, time, and what the servent knows of itself.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::base::{HashSeed, Instant, Rng};

use super::address::{canonical, is_public, may_name};
use super::datagrams::Datagrams;
use super::dynamic::Dynamic;
use super::handshake::{Pending, Stage};
use super::hosts::Hosts;
use super::link::{Lead, Link, Links};
use super::neighbours::Neighbourhood;
use super::oob::Oob;
use super::pongs::Pongs;
use super::push::PushDials;
use super::reach::Reach;
use super::role::Standing;
use super::router::Router;
use super::sight::Sight;
use super::tables::Tables;
use super::{
    CloseReason, Command, Config, ConnId, Counters, Direction, Event, HostInfo, HostSource, Input, Outbox, Output,
    PeerInfo, Role, Teller,
};

/// One node of the network as a state machine.
///
/// Call [`handle`](Self::handle) with each thing that happens, in the order in which it happens, and do what
/// is in the outbox, in its order. Then ask [`next_timeout`](Self::next_timeout) and call
/// [`handle_timeout`](Self::handle_timeout) when that time has come. Time never goes back. Inputs that name a
/// connection that the servent has closed meanwhile are ignored.
#[derive(Debug)]
pub struct Servent {
    pub(super) config: Config,
    pub(super) counters: Counters,
    pub(super) rng: Rng,
    pub(super) router: Router,
    pub(super) links: Links,
    pub(super) pending: BTreeMap<ConnId, Pending>,
    pub(super) hosts: Hosts,
    pub(super) pongs: Pongs,
    pub(super) neighbourhood: Neighbourhood,
    pub(super) push_dials: PushDials,
    pub(super) reach: Reach,
    pub(super) us: Ourselves,
    pub(super) standing: Standing,
    pub(super) tables: Tables,
    pub(super) dynamic: Dynamic,
    pub(super) datagrams: Box<Datagrams>,
    pub(super) oob: Box<Oob>,
    /// Never later than the next thing to do by time.
    wake: Option<Instant>,
    dials: u64,
    /// Hosts learnt since the application was told last.
    learnt: usize,
    mood: Mood,
}

/// What we know of ourselves.
#[derive(Debug, Default)]
pub(super) struct Ourselves {
    /// Where we listen, if we do.
    pub(super) listening: Option<SocketAddr>,
    /// Where the router lets others in to us.
    pub(super) mapped: Option<SocketAddr>,
    /// Our addresses as peers see them: the IPv4 one, which everybody can use, and the IPv6 one.
    pub(super) seen_as: [Sight; 2],
    /// The application knows that we have an IPv6 one.
    pub(super) told_ipv6: bool,
    pub(super) files: u32,
    pub(super) kib: u32,
    pub(super) uploads_busy: bool,
}

impl Ourselves {
    /// The place for an address of that family.
    pub(super) fn seen_as(&mut self, family: IpAddr) -> &mut Sight {
        &mut self.seen_as[usize::from(family.is_ipv6())]
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    /// Nothing changed that the connection manager should look at.
    Content,
    /// Something did.
    Restless,
    /// We said Bye: nothing happens any more.
    Gone,
}

/// Who wakes so much later than it was to was asleep itself (a suspended process, a computer that slept): what its peers
/// said meanwhile is still to be read, and none of them has been silent for that time.
const OVERSLEPT: Duration = Duration::from_secs(5);
/// The shortest wait that makes sense; settings of zero must not make us spin.
const TICK: Duration = Duration::from_millis(1);
/// How much earlier each further link lets us send keep-alives, as a part of [`Config::keep_alive`]: longer than a
/// ping is under way, so that the other side hears ours before it sends its own.
const HEAD_START: u32 = 100;
/// So many links count for that.
const HEAD_STARTS: u32 = 4;

impl Servent {
    /// A servent without neighbours. It does nothing until it is told of hosts or of connections.
    pub fn new(config: Config, mut rng: Rng, now: Instant) -> Self {
        Self {
            router: Router::new(&config, &mut rng),
            hosts: Hosts::new(&config.limits, HashSeed::new(&mut rng)),
            datagrams: Box::new(Datagrams::new(&config.limits, now, &mut rng)),
            oob: Box::new(Oob::new(&config)),
            standing: Standing::new(config.role),
            tables: Tables::default(),
            dynamic: Dynamic::default(),
            config,
            counters: Counters::default(),
            rng,
            links: Links::default(),
            pending: BTreeMap::new(),
            pongs: Pongs::default(),
            neighbourhood: Neighbourhood::default(),
            push_dials: PushDials::default(),
            reach: Reach::default(),
            us: Ourselves::default(),
            wake: None,
            dials: 0,
            learnt: 0,
            mood: Mood::Content,
        }
    }

    /// Something happened.
    pub fn handle(&mut self, now: Instant, input: Input, out: &mut Outbox) {
        if self.mood == Mood::Gone {
            return;
        }
        match input {
            Input::Dialled { conn } => self.on_dialled(now, conn, out),
            Input::DialFailed { conn, reason } => self.forget_pending(now, conn, CloseReason::Dial(reason), out),
            Input::Handshake { conn, from, head } => self.on_handshake(now, conn, from, head, out),
            Input::Garbled { conn, what } => {
                self.drop_link(now, conn, 400, &what, CloseReason::Garbage(what.clone()), out);
            }
            Input::Secured { conn, key } => self.on_secured(conn, key),
            Input::Connected { conn, room } => self.on_connected(now, conn, room, out),
            Input::Frames { conn, batch } => {
                let prints = self.router.expect(&batch);
                for (frame, print) in batch.iter().zip(prints) {
                    self.on_frame(now, conn, frame, print, out);
                }
            }
            Input::Datagram { from, frame } => self.on_datagram(now, from, &frame, out),
            Input::Announced { from, at, frame } => self.on_announced(now, from, at, &frame),
            Input::Room { conn, bytes } => self.links.room(now, conn, bytes, &mut self.counters, out),
            Input::Disconnected { conn, reason } => {
                if let Some(link) = self.links.remove(conn) {
                    self.on_link_lost(now, &link, reason, out);
                } else {
                    self.forget_pending(now, conn, reason, out);
                }
            }
            Input::Reached { from } => self.on_incoming(now, from, out),
            Input::Command(command) => self.on_command(now, command, out),
        }
        self.settle(now, out);
    }

    /// The deadline of [`Self::next_timeout`] came. Calling it early is harmless.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Outbox) {
        if self.mood == Mood::Gone {
            return;
        }
        if let Some(slept) = self.wake.map(|wake| now.since(wake)).filter(|slept| *slept >= OVERSLEPT) {
            self.links.forgive(now, slept);
        }
        self.expire_handshakes(now, out);
        self.expire_links(now, out);
        self.tell_tables(now, out);
        self.go_on_asking(now, out);
        self.answer_announcements(now, out);
        self.keep_promises(now, out);
        if self.neighbourhood.due.is_some_and(|due| due <= now) {
            self.restless();
        }
        if self.reach.due().is_some_and(|due| due <= now) {
            self.tend_reach(now, out);
        }
        if self.oob.ping_back.look(now) {
            self.tend_ping_back(now, out);
        }
        self.wake = None;
        self.settle(now, out);
        self.wake = self.earliest(now);
    }

    /// When to call [`Self::handle_timeout`]; ask again after each call of it or of [`Self::handle`].
    pub fn next_timeout(&self) -> Option<Instant> {
        self.wake
    }

    /// The peers that we are linked to, in the order of their connections.
    pub fn peers(&self) -> Vec<PeerInfo> {
        self.links.iter().map(|link| link.info()).collect()
    }

    /// How many peers we are linked to that are not our leaves.
    pub fn degree(&self) -> usize {
        self.links.count(Role::Ultrapeer)
    }

    /// How many leaves we have.
    pub fn leaves(&self) -> usize {
        self.links.count(Role::Leaf)
    }

    /// The hosts in the cache, the most promising first. Keep them and give them back with
    /// [`super::Command::AddHosts`] as [`super::HostSource::Cache`] in the next run.
    pub fn hosts(&self) -> Vec<HostInfo> {
        self.hosts.snapshot()
    }

    /// Totals since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The settings in force; commands may have changed them.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Our own address as we tell it to peers: where we listen, at the address by which peers see us if we
    /// listen on all. Where that is the address at which the router forwards to us, its port is the one.
    pub fn own_addr(&self) -> Option<SocketAddr> {
        self.own_addr_as(self.us.seen_as.iter().find_map(Sight::us))
    }

    /// The same towards a peer there: of its family, if we know one.
    pub(super) fn own_addr_for(&self, peer: IpAddr) -> Option<SocketAddr> {
        let [v4, v6] = self.us.seen_as.each_ref().map(Sight::us);
        self.own_addr_as(if peer.is_ipv4() { v4.or(v6) } else { v6.or(v4) })
    }

    /// Our IPv6 address, if we listen there and peers see us there.
    pub(super) fn own_ipv6(&self) -> Option<Ipv6Addr> {
        let six = |ip: IpAddr| match ip {
            IpAddr::V6(ip) => Some(ip),
            IpAddr::V4(_) => None,
        };
        let listening = six(self.us.listening?.ip())?;
        if !listening.is_unspecified() {
            return Some(listening);
        }
        let [_, seen] = self.us.seen_as.each_ref().map(Sight::us);
        seen.and_then(six)
    }

    /// Whether hosts with IPv6 addresses are of use to us.
    pub(super) fn speaks_ipv6(&self) -> bool {
        self.own_ipv6().is_some()
    }

    fn own_addr_as(&self, seen_as: Option<IpAddr>) -> Option<SocketAddr> {
        let listening = self.us.listening?;
        let mapped = self.us.mapped.filter(|mapped| seen_as.is_none_or(|ip| ip == mapped.ip()));
        // A router between two routers forwards from an address that is nobody's out there.
        if let Some(mapped) = mapped.filter(|mapped| seen_as.is_some() || is_public(mapped.ip())) {
            return Some(mapped);
        }
        if !listening.ip().is_unspecified() {
            return Some(listening);
        }
        seen_as.map(|ip| SocketAddr::new(ip, listening.port()))
    }

    fn on_command(&mut self, now: Instant, command: Command, out: &mut Outbox) {
        match command {
            Command::Listening(addr) => {
                let addr = canonical(addr);
                if self.us.listening.replace(addr) != Some(addr) {
                    self.hosts.forget(&addr);
                    self.announce_anew(now);
                    self.restless();
                }
            }
            Command::Mapped(external) => {
                self.us.mapped = external;
                self.restless();
            }
            Command::Sharing { files, kib } => (self.us.files, self.us.kib) = (files, kib),
            Command::Table(table) => self.on_table_command(now, table),
            Command::UploadsBusy(busy) => self.us.uploads_busy = busy,
            Command::Search { id, query, ttl, strategy } => self.search(now, id, &query, ttl, strategy, out),
            Command::AskCaches(caches) => self.ask_caches(now, caches, out),
            Command::EndSearch(id) => {
                let queries = self.router.end_search(id);
                self.dynamic.end(id);
                self.end_claims(&queries);
                self.tell_over(now, &queries, out);
            }
            Command::AnswerQuery(answer) => self.answer_query(now, answer, out),
            Command::Connect(addr) if self.is_ourselves(canonical(addr)) => {
                out.push(Output::Event(Event::ConnectFailed(canonical(addr), CloseReason::Ourselves)));
            }
            Command::Connect(addr) => self.on_connect_command(now, canonical(addr)),
            Command::Disconnect(addr) => self.on_disconnect_command(now, canonical(addr), out),
            Command::SetNeighbours(n) => self.on_set_neighbours(now, n, out),
            Command::SetTtl(ttl) => self.config.ttl = ttl.clamp(1, self.config.max_ttl.max(1)),
            Command::AddHosts(hosts) => {
                for (addr, source) in hosts {
                    self.learn_named(now, canonical(addr), source);
                }
            }
            Command::Recall(hosts) => {
                for host in hosts {
                    let host = HostInfo { addr: canonical(host.addr), ..host };
                    if !self.is_ourselves(host.addr) && self.hosts.recall(now, &host) {
                        self.learnt += 1;
                        self.restless();
                    }
                }
            }
            Command::SendPush { servent, index, by } => self.send_push(now, servent, index, by, out),
            Command::PushFor { servent, index, to } => self.push_for(now, servent, index, canonical(to), out),
            Command::Shutdown => self.shut_down(now, out),
        }
    }

    fn shut_down(&mut self, now: Instant, out: &mut Outbox) {
        let conns: Vec<_> = self.links.iter().map(|link| link.conn).collect();
        for conn in conns {
            self.drop_link(now, conn, 200, "Shutting down", CloseReason::Shutdown, out);
        }
        for (conn, pending) in std::mem::take(&mut self.pending) {
            self.close_at(conn, pending.stage, CloseReason::Shutdown, out);
        }
        self.wake = None;
        self.mood = Mood::Gone;
    }

    /// The connection manager shall look around before the call ends.
    pub(super) fn restless(&mut self) {
        self.mood = Mood::Restless;
    }

    /// `handle_timeout` is to be called at that time at the latest.
    pub(super) fn wake_by(&mut self, at: Instant) {
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
    }

    /// The number of the next connection that we dial.
    pub(super) fn next_conn(&mut self) -> ConnId {
        self.dials += 1;
        ConnId::dialled(self.dials)
    }

    /// Somebody at `teller` named a host. Its word is taken only for addresses that reach as far as its own.
    pub(super) fn learn_host(
        &mut self,
        now: Instant,
        teller: IpAddr,
        addr: SocketAddr,
        source: HostSource,
        kind: Teller,
    ) {
        let new = may_name(teller, addr.ip())
            && !self.is_ourselves(addr)
            && self.hosts.learn_from(now, addr, source, kind, Some(teller));
        if new {
            self.learnt += 1;
            self.restless();
        }
    }

    /// The application, or somebody whose word we take, named a host.
    pub(super) fn learn_named(&mut self, now: Instant, addr: SocketAddr, source: HostSource) {
        if source == HostSource::User {
            self.is_wanted_again(addr);
        }
        if !self.is_ourselves(addr) && self.hosts.learn(now, addr, source) {
            self.learnt += 1;
            self.restless();
        }
    }

    /// The address that hits and pongs carry; all zero if we have none.
    pub(super) fn told_addr(&self) -> SocketAddr {
        self.own_addr().unwrap_or(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0))
    }

    /// Gives up a connection that is no link yet.
    pub(super) fn close_pending(&mut self, now: Instant, conn: ConnId, reason: CloseReason, out: &mut Outbox) {
        let stage = self.pending.get(&conn).map_or(Stage::Dialling, |pending| pending.stage);
        self.close_at(conn, stage, reason.clone(), out);
        self.forget_pending(now, conn, reason, out);
    }

    /// With a Bye if both sides have agreed.
    fn close_at(&mut self, conn: ConnId, stage: Stage, reason: CloseReason, out: &mut Outbox) {
        match stage {
            Stage::Agreed => self.part(conn, reason, out),
            _ => out.push(Output::Close { conn, reason }),
        }
    }

    fn forget_pending(&mut self, now: Instant, conn: ConnId, reason: CloseReason, out: &mut Outbox) {
        let Some(pending) = self.pending.remove(&conn) else { return };
        self.restless();
        if let CloseReason::Dial(_) = reason {
            self.counters.dials_failed += 1;
        }
        if conn.direction() == Direction::Out {
            self.on_dial_over(now, pending.remote, reason, out);
        }
    }

    fn settle(&mut self, now: Instant, out: &mut Outbox) {
        if self.mood == Mood::Restless {
            self.mood = Mood::Content;
            self.tend(now, out);
            self.tend_reach(now, out);
            self.tend_ping_back(now, out);
            // Deadlines of what is gone shall not wake us.
            self.wake = self.earliest(now);
        }
        if self.learnt > 0 {
            out.push(Output::Event(Event::HostsLearned(std::mem::take(&mut self.learnt))));
        }
    }

    fn expire_handshakes(&mut self, now: Instant, out: &mut Outbox) {
        let late: Vec<_> = self.pending.iter().filter(|(_, p)| p.deadline <= now).map(|(&conn, _)| conn).collect();
        for conn in late {
            self.counters.handshakes_timed_out += 1;
            self.close_pending(now, conn, CloseReason::HandshakeTimeout, out);
        }
    }

    /// Dead links are closed, silent ones pinged.
    fn expire_links(&mut self, now: Instant, out: &mut Outbox) {
        let (mut dead, mut ping) = (Vec::new(), Vec::new());
        for link in self.links.iter() {
            let dead_after = self.dead_after(link);
            let stuck = link.blocked_since().is_some_and(|since| now.since(since) >= dead_after);
            let silent = now.since(link.heard);
            if stuck || silent >= dead_after {
                dead.push(link.conn);
                continue;
            }
            // We are awake already: those that we would ping a little later are pinged now. Any two links are due
            // within half a period of each other, so that soon all that we lead share one wake-up. Those that
            // the peer leads it has in its own round.
            let patience = match link.lead {
                Lead::Ours => self.patience(link) / 2,
                Lead::Theirs => self.patience(link),
            };
            let quiet = now.since(link.spoke_at()) >= patience;
            let unasked = silent >= dead_after / 2 && link.pinged_at < link.heard + dead_after / 2;
            if quiet || unasked {
                ping.push(link.conn);
            }
        }
        for conn in dead {
            self.drop_link(now, conn, 406, "No sign of life", CloseReason::Silent, out);
        }
        for conn in ping {
            self.send_ping(now, conn, 1, out);
        }
    }

    /// Whether that is a link between an ultrapeer and its leaf.
    fn is_leafs(&self, link: &Link) -> bool {
        self.role() == Role::Leaf || link.role == Role::Leaf
    }

    /// A peer that says nothing for so long is gone.
    fn dead_after(&self, link: &Link) -> Duration {
        let longer = if self.is_leafs(link) { self.config.keep_alive_leaf } else { Duration::ZERO };
        self.config.dead_after + longer
    }

    /// How long a link may be silent before we speak; never longer than [`Config::keep_alive`] says.
    ///
    /// Ping and pong are a sign of life in both directions, so one side's ping is enough. With equal patience both
    /// would ping at the same time, for ever. The side with more links goes first, since it serves all of them
    /// with one wake-up; among equals the one who dialled.
    fn patience(&self, link: &Link) -> Duration {
        let more = u32::try_from(self.links.len()).unwrap_or(u32::MAX).saturating_sub(1).min(HEAD_STARTS);
        let halves = 2 * more + u32::from(link.conn.direction() == Direction::Out);
        let keep_alive = if self.is_leafs(link) { self.config.keep_alive_leaf } else { self.config.keep_alive };
        keep_alive - keep_alive / (2 * HEAD_START) * halves
    }

    /// The next thing to do by time, always ahead of `now`.
    fn earliest(&self, now: Instant) -> Option<Instant> {
        let handshakes = self.pending.values().map(|pending| pending.deadline);
        let links = self.links.iter().map(|link| {
            let dead_after = self.dead_after(link);
            let (half, dead) = (link.heard + dead_after / 2, link.heard + dead_after);
            let silent = if link.pinged_at < half { half } else { dead };
            let stuck = link.blocked_since().map_or(dead, |since| since + dead_after);
            silent.min(stuck).min(link.spoke_at() + self.patience(link))
        });
        let soonest = handshakes
            .chain(links)
            .chain(self.neighbourhood.due)
            .chain(self.tables.due)
            .chain(self.reach.due())
            .chain(self.dynamic.due())
            .chain(self.datagrams.due())
            .chain(self.oob.due())
            .min()?;
        Some(soonest.max(now + TICK))
    }
}
