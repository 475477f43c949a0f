//! The connection manager: whom we dial, whom we keep, whom we let go.
//!
//! * Hosts that the user named are dialled first and again when they are lost ([`Servent::dial_listed`]).
//! * Until there are [`super::Config::neighbours`] links, hosts drawn at random from the cache are dialled.
//! * While hosts are missing, neighbours are asked for some with a ping of TTL 2, ever more rarely.
//! * A peer's merit is what it brought that nobody had brought before: a first copy of a query counts one,
//!   a hit four, a hit for us eight, over the time that the link is up. The least useful peer leaves when
//!   the set shrinks, when all slots are taken and a newcomer's turn has come, or when it brings nothing
//!   while others do.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::base::{Instant, backoff};
use crate::wire::Guid;

use super::address::{is_public, narrow_net, subnet, wide_net};
use super::handshake::{Pending, Stage};
use super::hosts::Pick;
use super::link::{Link, Slot};
use super::servent::Servent;
use super::{CloseReason, ConnId, DialFailure, Direction, Event, HostSource, Outbox, Outcome, Output, Purpose, Role};

/// Of the public hosts that we dial, so many may be in one /16 (or /48), and in one /24.
const DIALLED_PER_WIDE_NET: usize = 2;
const DIALLED_PER_NARROW_NET: usize = 1;
/// Of the public peers that dial us, so many may be in one /16 (or /48), in one /24, and at one address (or /64).
const ACCEPTED_PER_WIDE_NET: usize = 8;
const ACCEPTED_PER_NARROW_NET: usize = 4;
const ACCEPTED_PER_ADDRESS: usize = 2;
/// A peer is cut for a newcomer at most this often, and only if it was linked this long.
const REPLACE_EVERY: Duration = Duration::from_secs(600);
/// Of so many slots one at most may be held by a peer for whom another was cut.
const SLOTS_PER_REPLACEMENT: usize = 8;
/// The first wait before a listed host is dialled again, and the longest.
const LISTED_BACKOFF: Duration = Duration::from_secs(1);
const LISTED_BACKOFF_MAX: Duration = Duration::from_secs(60);
/// The same where the host refused: it is there and has no slot. A widely used client bans for five minutes
/// whom it sees more than twice a minute.
const REFUSED_BACKOFF: Duration = Duration::from_secs(40);
const REFUSED_BACKOFF_MAX: Duration = Duration::from_secs(600);
/// A link that ended sooner than this counts as a failed dial, or we would come back every second. The second
/// in a row with a public host counts as a refusal: some close without a word when they prefer others (a widely
/// used client does so with who does not compress, once it has peers enough).
const SETTLED: Duration = Duration::from_secs(60);
/// How soon neighbours are asked for more hosts, and how rarely at last.
const DISCOVER_FIRST: Duration = Duration::from_secs(2);
const DISCOVER_LAST: Duration = Duration::from_secs(300);
/// Neighbours that are asked at a time.
const DISCOVER_PEERS: usize = 3;
/// Addresses that the user does not want, and addresses that turned out to be our own: at most so many of each.
const REMEMBERED: usize = 256;

/// What the manager remembers beside links and hosts.
#[derive(Debug, Default)]
pub(super) struct Neighbourhood {
    /// Hosts that the user named to be linked to.
    listed: BTreeMap<SocketAddr, Listed>,
    /// Addresses that the user disconnected.
    unwanted: BTreeSet<SocketAddr>,
    /// Addresses that led back to us.
    ourselves: BTreeSet<SocketAddr>,
    /// When a peer was cut for another last.
    replaced_at: Option<Instant>,
    /// When to ask for hosts next, and how long to wait after that.
    discover: Option<(Instant, Duration)>,
    /// When to look again without being asked.
    pub(super) due: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Listed {
    not_before: Instant,
    failures: u32,
    /// Links that ended before they had settled, in a row, with the host up all the time.
    cut_short: u32,
}

impl Servent {
    /// Dials whom there is to dial, asks for hosts if there are none, lets a useless peer go, and notes when
    /// to look again. Called when something changed and when the time noted has come.
    pub(super) fn tend(&mut self, now: Instant, out: &mut Outbox) {
        let mut due = None;
        self.consider_role(now, &mut due, out);
        self.replace_useless(now, &mut due, out);
        self.dial_listed(now, &mut due, out);
        if self.wants_more() && !self.fill(now, &mut due, out) {
            self.discover(now, &mut due, out);
        }
        self.announce(now, &mut due, out);
        self.neighbourhood.due = due;
        if let Some(due) = due {
            self.wake_by(due);
        }
    }

    /// A link is up: what is missed of the peer is asked.
    pub(super) fn on_link_up(&mut self, now: Instant, conn: ConnId, out: &mut Outbox) {
        self.neighbourhood.discover = None;
        // TTL 2 asks for the peer and its neighbours; we do if we want to know more hosts.
        let ttl = if self.wants_more() { 2 } else { 1 };
        self.send_ping(now, conn, ttl, out);
        self.greet_vendor(now, conn, out);
        self.table_to(now, conn, out);
    }

    /// A link is gone, already out of the table: tell the application, and mind when to dial again.
    pub(super) fn on_link_lost(&mut self, now: Instant, link: &Link, reason: CloseReason, out: &mut Outbox) {
        self.restless();
        self.counters.links_lost += 1;
        self.table_lost(now, link);
        if self.links.is_empty() {
            self.announce_anew(now);
        }
        self.neighbourhood.discover = None;
        let addr = link.identity.addr;
        self.hosts.cool_down(now, addr, &mut self.rng);
        for addr in BTreeSet::from([addr, link.identity.remote]) {
            if let Some(listed) = self.neighbourhood.listed.get_mut(&addr) {
                let settled = now.since(link.since) >= SETTLED;
                listed.failures = if settled { 1 } else { listed.failures.saturating_add(1) };
                listed.cut_short = if settled { 0 } else { listed.cut_short.saturating_add(1) };
                let wait = match listed.cut_short {
                    turned_away @ 2.. if is_public(addr.ip()) => {
                        backoff(REFUSED_BACKOFF, REFUSED_BACKOFF_MAX, turned_away)
                    }
                    _ => backoff(LISTED_BACKOFF, LISTED_BACKOFF_MAX, listed.failures),
                };
                listed.not_before = now + wait;
            }
        }
        self.on_talk_over(&link.talk, link.identity.servent, out);
        out.push(Output::Event(Event::NeighbourDown(link.conn, addr, reason)));
    }

    /// A dial, or the handshake after it, did not lead to a link.
    pub(super) fn on_dial_over(&mut self, now: Instant, addr: SocketAddr, reason: CloseReason, out: &mut Outbox) {
        self.restless();
        self.hosts.tried(now, addr, outcome(&reason));
        match &reason {
            CloseReason::Ourselves => {
                remember(&mut self.neighbourhood.ourselves, addr);
                self.hosts.forget(&addr);
            }
            // It has a slot, and we sit in it: the address is another name of a peer.
            CloseReason::Refused(409, _) | CloseReason::WeRefused(409, _) => {
                self.hosts.failed(now, addr, &mut self.rng);
            }
            CloseReason::Refused(..) | CloseReason::WeRefused(..) | CloseReason::Duplicate | CloseReason::User => {
                self.hosts.cool_down(now, addr, &mut self.rng);
            }
            _ => self.hosts.failed(now, addr, &mut self.rng),
        }
        let met = self.links.iter().any(|link| link.is_at(addr)) || self.pending.values().any(|p| p.is_at(addr));
        let Some(listed) = self.neighbourhood.listed.get_mut(&addr) else { return };
        listed.failures = listed.failures.saturating_add(1);
        if matches!(reason, CloseReason::Dial(_)) {
            listed.cut_short = 0;
        }
        let (first, longest) = match reason {
            CloseReason::Refused(..) => (REFUSED_BACKOFF, REFUSED_BACKOFF_MAX),
            _ => (LISTED_BACKOFF, LISTED_BACKOFF_MAX),
        };
        listed.not_before = now + backoff(first, longest, listed.failures);
        if reason == CloseReason::Ourselves {
            self.neighbourhood.listed.remove(&addr);
        }
        // Where they dialled us at the same moment, one of two connections had to fail.
        if !met {
            out.push(Output::Event(Event::ConnectFailed(addr, reason)));
        }
    }

    /// The user wants a link to `addr`.
    pub(super) fn on_connect_command(&mut self, now: Instant, addr: SocketAddr) {
        self.restless();
        self.neighbourhood.ourselves.remove(&addr);
        self.neighbourhood.listed.insert(addr, Listed { not_before: now, failures: 0, cut_short: 0 });
        self.learn_named(now, addr, HostSource::User);
    }

    /// The user names a host: what he said against it before is forgotten.
    pub(super) fn is_wanted_again(&mut self, addr: SocketAddr) {
        if self.neighbourhood.unwanted.remove(&addr) {
            self.restless();
        }
    }

    /// The user wants no link to `addr`.
    pub(super) fn on_disconnect_command(&mut self, now: Instant, addr: SocketAddr, out: &mut Outbox) {
        self.restless();
        self.neighbourhood.listed.remove(&addr);
        remember(&mut self.neighbourhood.unwanted, addr);
        let links: Vec<_> =
            self.links.iter().filter(|link| link.is_at(addr)).map(|link| (link.conn, link.identity.addr)).collect();
        for (conn, listens_at) in links {
            self.neighbourhood.listed.remove(&listens_at);
            remember(&mut self.neighbourhood.unwanted, listens_at);
            self.drop_link(now, conn, 200, "Closed by the user", CloseReason::User, out);
        }
        let pending: Vec<_> = self.pending.iter().filter(|(_, p)| p.is_at(addr)).map(|(&conn, _)| conn).collect();
        for conn in pending {
            self.close_pending(now, conn, CloseReason::User, out);
        }
    }

    /// The user wants `n` neighbours: too many are let go, the least useful first, never a listed one.
    pub(super) fn on_set_neighbours(&mut self, now: Instant, n: usize, out: &mut Outbox) {
        self.restless();
        self.config.neighbours = n;
        while self.degree() > n {
            let Some(conn) = self.least_useful(now, |_| true) else { break };
            self.drop_link(now, conn, 200, "Fewer neighbours wanted", CloseReason::User, out);
        }
    }

    /// `addr` leads to a peer that we have. Where we did not know a listening address of it, or the user calls
    /// it by this one, it is the peer's address from now on: nobody dials it again.
    pub(super) fn is_also_at(&mut self, servent: Guid, addr: SocketAddr) {
        let listed = self.is_listed(addr);
        if let Some(identity) = self.links.identity_of(servent)
            && (listed || !identity.listens)
        {
            identity.addr = addr;
            identity.listens = true;
        }
    }

    /// Whether the user named that host.
    pub(super) fn is_listed(&self, addr: SocketAddr) -> bool {
        self.neighbourhood.listed.contains_key(&addr)
    }

    /// Whether that is ourselves, as far as we know.
    pub(super) fn is_ourselves(&self, addr: SocketAddr) -> bool {
        self.own_addr() == Some(addr) || self.neighbourhood.ourselves.contains(&addr)
    }

    /// Whether one more peer from `ip` leaves the set of those that dialled us diverse.
    pub(super) fn is_diverse_incoming(&self, ip: IpAddr) -> bool {
        if !is_public(ip) {
            return true;
        }
        let links = self.links.iter().filter(|l| l.conn.direction() == Direction::In).map(|l| l.identity.remote.ip());
        let pending = self.pending.iter().filter(|(c, _)| c.direction() == Direction::In).map(|(_, p)| p.remote.ip());
        let (mut wide, mut narrow, mut same) = (0, 0, 0);
        for other in links.chain(pending) {
            wide += usize::from(wide_net(other) == wide_net(ip));
            narrow += usize::from(narrow_net(other) == narrow_net(ip));
            same += usize::from(subnet(other) == subnet(ip));
        }
        wide < ACCEPTED_PER_WIDE_NET && narrow < ACCEPTED_PER_NARROW_NET && same < ACCEPTED_PER_ADDRESS
    }

    /// Whether a peer may be cut for a newcomer now: at most one peer in ten minutes, connected for ten
    /// minutes or more, and never more than one incoming slot in eight (docs/LIMITS.md).
    pub(super) fn may_replace(&self, now: Instant) -> bool {
        let rested = self.neighbourhood.replaced_at.is_none_or(|at| now.since(at) >= REPLACE_EVERY);
        let under_way = self.pending.values().any(|p| p.slot == Slot::Replacing);
        let replaced = self.links.iter().filter(|link| link.slot == Slot::Replacing).count();
        rested
            && !under_way
            && self.role() == Role::Ultrapeer
            && (replaced + 1) * SLOTS_PER_REPLACEMENT <= self.config.accept_limit()
            && self.least_useful(now, |link| now.since(link.since) >= REPLACE_EVERY).is_some()
    }

    /// Cuts the least useful peer for a newcomer. Whether there was one to cut.
    pub(super) fn cut_least_useful(&mut self, now: Instant, out: &mut Outbox) -> bool {
        let Some(conn) = self.least_useful(now, |link| now.since(link.since) >= REPLACE_EVERY) else { return false };
        self.neighbourhood.replaced_at = Some(now);
        self.drop_link(now, conn, 200, "A newcomer's turn", CloseReason::Replaced, out);
        true
    }

    /// How many neighbours we dial for: no more than we have slots.
    fn wanted(&self) -> usize {
        match self.role() {
            Role::Ultrapeer => self.config.neighbours.min(self.config.accept_limit()),
            Role::Leaf => self.config.shields,
        }
    }

    /// Whether a peer of that role that dials us finds a free slot.
    pub(super) fn has_slot_for(&self, role: Role) -> bool {
        let taken = |pending: &Pending| {
            let agreed = matches!(pending.stage, Stage::Answered | Stage::Agreed);
            agreed && pending.identity.as_ref().is_some_and(|identity| identity.role == role)
        };
        let taken = self.pending.values().filter(|pending| taken(pending)).count();
        self.links.count(role) + taken < self.slots_for(role)
    }

    /// How many peers of that role we take in all.
    pub(super) fn slots_for(&self, role: Role) -> usize {
        match (self.role(), role) {
            (Role::Ultrapeer, Role::Ultrapeer) => self.config.accept_limit(),
            (Role::Ultrapeer, Role::Leaf) => self.config.leaves,
            (Role::Leaf, Role::Ultrapeer) => self.config.shields,
            (Role::Leaf, Role::Leaf) => 0,
        }
    }

    /// Whether random neighbours are missing.
    pub(super) fn wants_more(&self) -> bool {
        !self.config.only_listed && self.degree() < self.wanted()
    }

    /// Dials listed hosts to which there is no link.
    fn dial_listed(&mut self, now: Instant, due: &mut Option<Instant>, out: &mut Outbox) {
        let mut ready = Vec::new();
        for (&addr, listed) in &self.neighbourhood.listed {
            let linked = self.links.iter().any(|link| link.is_at(addr));
            if linked || self.pending.values().any(|pending| pending.is_at(addr)) {
                continue;
            }
            if listed.not_before <= now {
                ready.push(addr);
            } else {
                sooner(due, listed.not_before);
            }
        }
        for addr in ready {
            // The next handshake that ends makes us look again.
            if self.pending.len() >= self.config.limits.handshakes {
                break;
            }
            self.dial(now, addr, Purpose::Listed, out);
        }
    }

    /// Dials hosts until enough links are there or under way. Whether nobody more is needed for now.
    fn fill(&mut self, now: Instant, due: &mut Option<Instant>, out: &mut Outbox) -> bool {
        let under_way = self.pending.keys().filter(|conn| conn.direction() == Direction::Out).count();
        let mut missing = self.wanted().saturating_sub(self.degree() + under_way);
        if missing == 0 {
            return true;
        }
        let (mut met, mut nets) = (BTreeSet::new(), Nets::default());
        for link in self.links.iter() {
            met.extend([link.identity.addr, link.identity.remote]);
            if link.conn.direction() == Direction::Out {
                nets.add(link.identity.addr.ip());
            }
        }
        for (conn, pending) in &self.pending {
            met.insert(pending.remote);
            met.extend(pending.identity.as_ref().map(|identity| identity.addr));
            if conn.direction() == Direction::Out {
                nets.add(pending.remote.ip());
            }
        }
        met.extend(self.own_addr());
        while missing > 0 && self.pending.len() < self.config.limits.handshakes {
            let around = &self.neighbourhood;
            let excluded = |addr: SocketAddr, source| {
                met.contains(&addr)
                    || around.listed.contains_key(&addr)
                    || around.unwanted.contains(&addr)
                    || around.ourselves.contains(&addr)
                    || (source != HostSource::User && !nets.have_room_for(addr.ip()))
            };
            match self.hosts.pick(now, &mut self.rng, excluded) {
                Pick::Dial(addr) => {
                    met.insert(addr);
                    nets.add(addr.ip());
                    self.dial(now, addr, Purpose::Fill, out);
                    missing -= 1;
                }
                Pick::Wait(at) => {
                    sooner(due, at);
                    return false;
                }
                Pick::Nobody => return false,
            }
        }
        true
    }

    /// Asks neighbours for hosts, at first soon, then ever more rarely.
    fn discover(&mut self, now: Instant, due: &mut Option<Instant>, out: &mut Outbox) {
        if self.degree() == 0 {
            return;
        }
        let (mut at, mut wait) = self.neighbourhood.discover.unwrap_or((now + DISCOVER_FIRST, DISCOVER_FIRST));
        if at <= now {
            let mut conns: Vec<_> = self.links.ultrapeers().map(|link| link.conn).collect();
            self.rng.shuffle(&mut conns);
            for conn in conns.into_iter().take(DISCOVER_PEERS) {
                self.send_ping(now, conn, 2, out);
            }
            wait = (wait * 2).min(DISCOVER_LAST);
            at = now + wait;
        }
        self.neighbourhood.discover = Some((at, wait));
        sooner(due, at);
    }

    /// Lets a peer go that brought nothing in ten minutes while most others did, at most one in ten minutes:
    /// somebody else may bring more. In a quiet network nobody is useless.
    fn replace_useless(&mut self, now: Instant, due: &mut Option<Instant>, out: &mut Outbox) {
        if self.config.only_listed || self.degree() < self.wanted().max(2) {
            return;
        }
        let next = self.neighbourhood.replaced_at.map_or(now, |at| at + REPLACE_EVERY);
        if next > now {
            return sooner(due, next);
        }
        let old = |link: &Link| now.since(link.since) >= REPLACE_EVERY;
        sooner(due, now + REPLACE_EVERY);
        if let Some(at) = self.links.ultrapeers().filter(|link| !old(link)).map(|link| link.since + REPLACE_EVERY).min()
        {
            sooner(due, at);
        }
        let useful = self.links.ultrapeers().filter(|link| link.merit > 0).count();
        let dialled = |link: &Link| link.conn.direction() == Direction::Out;
        let Some(conn) = self.least_useful(now, |link| old(link) && dialled(link) && link.merit == 0) else { return };
        if useful * 2 > self.degree() {
            self.neighbourhood.replaced_at = Some(now);
            self.drop_link(now, conn, 200, "Nothing new came this way", CloseReason::Replaced, out);
        }
    }

    /// The peer with the least merit for its time among the random ones; the youngest of equals.
    fn least_useful(&self, now: Instant, among: impl Fn(&Link) -> bool) -> Option<ConnId> {
        let listed = |link: &Link| self.is_listed(link.identity.addr) || self.is_listed(link.identity.remote);
        let worth = |link: &Link| {
            let minutes = now.since(link.since).as_secs() / 60 + 1;
            (link.merit * 1000 / minutes, link.since, link.conn)
        };
        let random = self.links.ultrapeers().filter(|link| !listed(link) && among(link));
        random
            .min_by(|a, b| {
                let ((merit_a, since_a, conn_a), (merit_b, since_b, conn_b)) = (worth(a), worth(b));
                merit_a.cmp(&merit_b).then(since_b.cmp(&since_a)).then(conn_b.cmp(&conn_a))
            })
            .map(|link| link.conn)
    }
}

/// How many dialled public hosts are in which net.
#[derive(Default)]
struct Nets {
    wide: BTreeMap<u64, usize>,
    narrow: BTreeMap<u64, usize>,
}

impl Nets {
    fn add(&mut self, ip: IpAddr) {
        if is_public(ip) {
            *self.wide.entry(wide_net(ip)).or_default() += 1;
            *self.narrow.entry(narrow_net(ip)).or_default() += 1;
        }
    }

    fn have_room_for(&self, ip: IpAddr) -> bool {
        let count = |nets: &BTreeMap<u64, usize>, net| nets.get(&net).copied().unwrap_or(0);
        !is_public(ip)
            || (count(&self.wide, wide_net(ip)) < DIALLED_PER_WIDE_NET
                && count(&self.narrow, narrow_net(ip)) < DIALLED_PER_NARROW_NET)
    }
}

fn sooner(due: &mut Option<Instant>, at: Instant) {
    *due = Some(due.map_or(at, |due| due.min(at)));
}

/// What that reason says of a host.
fn outcome(reason: &CloseReason) -> Outcome {
    match reason {
        CloseReason::Dial(DialFailure::TimedOut) | CloseReason::HandshakeTimeout | CloseReason::Silent => {
            Outcome::TimedOut
        }
        CloseReason::Refused(503, _) => Outcome::Busy,
        // It is linked already, under another address.
        CloseReason::Refused(409, _) | CloseReason::WeRefused(409, _) | CloseReason::Duplicate => Outcome::Connected,
        CloseReason::Dial(DialFailure::Refused) | CloseReason::Refused(..) => Outcome::Refused,
        _ => Outcome::Failed,
    }
}

fn remember(addrs: &mut BTreeSet<SocketAddr>, addr: SocketAddr) {
    if addrs.len() >= REMEMBERED {
        addrs.pop_first();
    }
    addrs.insert(addr);
}
