//! Links: what we keep for each peer that we are connected to, and how messages leave.
//!
//! Sending takes the room that the driver granted; what finds none waits in the link's queue. The flood is
//! one walk over the links and one [`Output::Send`] to all that have room; the others keep a copy of their own.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use crate::base::{Instant, TokenBucket};
use crate::wire::{Frame, Guid, Kind};

use super::config::{Config, Rate};
use super::counters::{Counters, Drops};
use super::queue::Queue;
use super::tables::LinkTables;
use super::vendor::Talk;
use super::{ConnId, DropReason, Outbox, Output, PeerInfo, Role, Traffic};

/// Who is at the other end: told in the handshake, does not change.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    /// Its listening address if we believe what it told, else its transport address.
    pub(super) addr: SocketAddr,
    /// Whether `addr` is one to dial.
    pub(super) listens: bool,
    /// Its transport address.
    pub(super) remote: SocketAddr,
    /// `User-Agent`.
    pub(super) agent: Box<str>,
    /// Its servent GUID, if it told.
    pub(super) servent: Option<Guid>,
    /// The key that it proved to own: the link is encrypted.
    pub(super) key: Option<[u8; 32]>,
    /// It speaks vendor messages.
    pub(super) vendor_messages: bool,
    /// What it is.
    pub(super) role: Role,
    /// It takes our table of words.
    pub(super) takes_table: bool,
    /// How many ultrapeers it is linked to when it has all it takes, as it told.
    pub(super) degree: u8,
    /// The longest TTL that it wants to see on a fresh query.
    pub(super) max_ttl: u8,
}

impl Identity {
    /// Whether we talk to the machine at [`Self::addr`].
    pub(super) fn is_seen_at_addr(&self) -> bool {
        self.addr.ip() == self.remote.ip()
    }
}

/// Who pinged last, and so pings next, unless silence lasts too long: the other's pong is its own keep-alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lead {
    /// We did.
    Ours,
    /// The peer did.
    Theirs,
}

/// How it came to its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// One was free.
    Free,
    /// Another peer was cut for it.
    Replacing,
}

/// What a neighbour may send us.
#[derive(Debug)]
pub(super) struct Buckets {
    pub(super) queries: TokenBucket,
    pub(super) pings: TokenBucket,
    pub(super) hits: TokenBucket,
    pub(super) pushes: TokenBucket,
}

impl Buckets {
    fn new(config: &Config, now: Instant) -> Self {
        let bucket = |rate: Rate| TokenBucket::new(rate.per_second, rate.burst, now);
        let limits = &config.limits;
        Self {
            queries: bucket(limits.queries),
            pings: bucket(limits.pings),
            hits: bucket(limits.hits),
            pushes: bucket(limits.pushes),
        }
    }
}

/// One link that is up.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) conn: ConnId,
    /// Bytes that the driver takes now.
    room: usize,
    /// The most that it ever took: so much is free when nothing is under way.
    capacity: usize,
    sent: Traffic,
    queries_out: u64,
    sent_at: Instant,
    queue: Queue,
    /// Since when frames wait and none has left.
    blocked_since: Option<Instant>,
    pub(super) slot: Slot,
    /// What the peer is.
    pub(super) role: Role,
    pub(super) identity: Box<Identity>,
    /// What it told us of its words, and we told it of ours.
    pub(super) tables: Option<Box<LinkTables>>,
    /// Queries that its table kept from it.
    pub(super) kept_back: u64,
    pub(super) since: Instant,
    /// When we heard something last.
    pub(super) heard: Instant,
    /// The GUID of our last ping on it.
    pub(super) pinged: Option<Guid>,
    pub(super) pinged_at: Instant,
    pub(super) lead: Lead,
    pub(super) received: Traffic,
    pub(super) queries_in: u64,
    pub(super) duplicates_in: u64,
    /// Sum and number of the links crossed by queries, hits and pushes that it sent.
    pub(super) hops: (u64, u64),
    /// What it brought that nobody had brought before, weighed; see `neighbours`.
    pub(super) merit: u64,
    pub(super) drops: Drops,
    /// How far its own malformed messages outweigh the others; see `messages`.
    pub(super) faults: u32,
    pub(super) buckets: Buckets,
    /// Files and KiB that it says it shares.
    pub(super) shares: Option<(u32, u32)>,
    pub(super) talk: Talk,
}

impl Link {
    pub(super) fn new(
        conn: ConnId,
        identity: Identity,
        slot: Slot,
        room: usize,
        config: &Config,
        now: Instant,
    ) -> Self {
        Self {
            conn,
            room,
            capacity: room,
            sent: Traffic::default(),
            queries_out: 0,
            sent_at: now,
            queue: Queue::default(),
            blocked_since: None,
            slot,
            role: identity.role,
            identity: Box::new(identity),
            tables: None,
            kept_back: 0,
            since: now,
            heard: now,
            pinged: None,
            pinged_at: now,
            lead: Lead::Ours,
            received: Traffic::default(),
            queries_in: 0,
            duplicates_in: 0,
            hops: (0, 0),
            merit: 0,
            drops: Drops::default(),
            faults: 0,
            buckets: Buckets::new(config, now),
            shares: None,
            talk: Talk::default(),
        }
    }

    /// Whether the peer is at `addr`, by what it told or by its transport.
    pub(super) fn is_at(&self, addr: SocketAddr) -> bool {
        self.identity.addr == addr || self.identity.remote == addr
    }

    /// When we last sent something, or tried to.
    pub(super) fn spoke_at(&self) -> Instant {
        self.sent_at.max(self.pinged_at)
    }

    /// Since when frames wait and none has left.
    pub(super) fn blocked_since(&self) -> Option<Instant> {
        self.blocked_since
    }

    /// A snapshot.
    pub(super) fn info(&self) -> PeerInfo {
        let (hops, messages) = self.hops;
        PeerInfo {
            conn: self.conn,
            addr: self.identity.addr,
            remote: self.identity.remote,
            agent: self.identity.agent.to_string(),
            role: self.role,
            direction: self.conn.direction(),
            hops_avg_milli: (hops * 1000).checked_div(messages).unwrap_or(0),
            received: self.received,
            sent: self.sent,
            duplicates_in: self.duplicates_in,
            queries_out: self.queries_out,
            queries_in: self.queries_in,
            key: self.identity.key,
            drops: self.drops.by_reason(),
            table: self.tables.as_ref().and_then(|tables| tables.theirs()).map(|table| (table.len(), table.taken())),
            kept_back: self.kept_back,
            queued: self.queue.bytes(),
            since: self.since,
        }
    }

    /// Whether nothing waits for it.
    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether `len` bytes may leave now. A frame longer than the link ever takes leaves when all is free.
    fn has_room(&self, len: usize) -> bool {
        len <= self.room || (self.room > 0 && self.room == self.capacity)
    }

    fn leave(&mut self, now: Instant, len: usize, kind: Kind, counters: &mut Counters) {
        self.room = self.room.saturating_sub(len);
        self.sent.count(len);
        self.sent_at = now;
        counters.sent.count(len);
        match kind {
            Kind::Query => {
                self.queries_out += 1;
                counters.query_copies += 1;
            }
            Kind::Ping => counters.pings_sent += 1,
            Kind::Pong => counters.pongs_sent += 1,
            _ => {}
        }
    }

    /// Takes `frame` if it may leave now; else it waits, with the payload in `own` if there is one.
    fn offer(
        &mut self,
        now: Instant,
        frame: &Frame,
        own: &mut Option<Bytes>,
        limit: usize,
        counters: &mut Counters,
    ) -> bool {
        let len = frame.wire_len();
        if self.queue.is_empty() && self.has_room(len) {
            self.leave(now, len, frame.header.kind, counters);
            return true;
        }
        self.blocked_since.get_or_insert(now);
        // It may wait long: with a payload of its own, or a few bytes would hold the memory of a whole read. All links that
        // it waits for share that.
        let payload = own.get_or_insert_with(|| Bytes::copy_from_slice(&frame.payload)).clone();
        for _ in 0..self.queue.push(Frame { header: frame.header, payload }, limit) {
            self.drops.count(DropReason::QueueFull);
            counters.drops.count(DropReason::QueueFull);
        }
        false
    }
}

impl Traffic {
    pub(super) fn count(&mut self, len: usize) {
        self.msgs += 1;
        self.bytes += len as u64;
    }
}

/// All links, in the order of their numbers.
#[derive(Debug, Default)]
pub(super) struct Links(Vec<Link>);

impl Links {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many of the peers are of that role.
    pub(super) fn count(&self, role: Role) -> usize {
        self.0.iter().filter(|link| link.role == role).count()
    }

    /// Those that are neighbours: not our leaves.
    pub(super) fn ultrapeers(&self) -> impl Iterator<Item = &Link> {
        self.0.iter().filter(|link| link.role == Role::Ultrapeer)
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Link> {
        self.0.iter()
    }

    pub(super) fn get(&self, conn: ConnId) -> Option<&Link> {
        self.0.get(self.find(conn).ok()?)
    }

    /// For so long nobody could be heard: it counts for no silence.
    pub(super) fn forgive(&mut self, now: Instant, slept: Duration) {
        for link in &mut self.0 {
            link.heard = (link.heard + slept).min(now);
            link.blocked_since = link.blocked_since.map(|since| (since + slept).min(now));
        }
    }

    pub(super) fn get_mut(&mut self, conn: ConnId) -> Option<&mut Link> {
        let at = self.find(conn).ok()?;
        self.0.get_mut(at)
    }

    /// The peer of that name, if it told its name.
    pub(super) fn of_servent(&self, servent: Guid) -> Option<&Link> {
        self.0.iter().find(|link| link.identity.servent == Some(servent))
    }

    /// Who the peer of that name is.
    pub(super) fn identity_of(&mut self, servent: Guid) -> Option<&mut Identity> {
        let link = self.0.iter_mut().find(|link| link.identity.servent == Some(servent))?;
        Some(&mut link.identity)
    }

    pub(super) fn insert(&mut self, link: Link) {
        match self.find(link.conn) {
            Ok(at) => self.0[at] = link,
            Err(at) => self.0.insert(at, link),
        }
    }

    pub(super) fn remove(&mut self, conn: ConnId) -> Option<Link> {
        let at = self.find(conn).ok()?;
        Some(self.0.remove(at))
    }

    /// Sends `frame` to one link. Whether there is such a link; the frame may wait there.
    pub(super) fn send(
        &mut self,
        now: Instant,
        to: ConnId,
        frame: Frame,
        limit: usize,
        counters: &mut Counters,
        out: &mut Outbox,
    ) -> bool {
        let Some(link) = self.get_mut(to) else { return false };
        if link.offer(now, &frame, &mut None, limit, counters) {
            out.push(Output::Send { to: vec![to], frame });
        }
        true
    }

    /// Sends `frame` to one link as the last word on it: before all that waits there, and if there is no room for it.
    pub(super) fn send_last(
        &mut self,
        now: Instant,
        to: ConnId,
        frame: Frame,
        counters: &mut Counters,
        out: &mut Outbox,
    ) {
        let Some(link) = self.get_mut(to) else { return };
        link.leave(now, frame.wire_len(), frame.header.kind, counters);
        out.push(Output::Send { to: vec![to], frame });
    }

    /// Sends `frame` to all links that want it. Returns to how many; with some of them it may wait.
    pub(super) fn flood(
        &mut self,
        now: Instant,
        mut wants: impl FnMut(&mut Link) -> bool,
        frame: Frame,
        limit: usize,
        counters: &mut Counters,
        out: &mut Outbox,
    ) -> usize {
        let mut to = Vec::with_capacity(self.0.len());
        let (mut reached, mut own) = (0, None);
        for link in &mut self.0 {
            if !wants(link) {
                continue;
            }
            reached += 1;
            if link.offer(now, &frame, &mut own, limit, counters) {
                to.push(link.conn);
            }
        }
        if !to.is_empty() {
            out.push(Output::Send { to, frame });
        }
        reached
    }

    /// The driver takes `bytes` on that link now: what waits there leaves as far as they go.
    pub(super) fn room(&mut self, now: Instant, conn: ConnId, bytes: usize, counters: &mut Counters, out: &mut Outbox) {
        let Some(link) = self.get_mut(conn) else { return };
        link.room = bytes;
        link.capacity = link.capacity.max(bytes);
        loop {
            let (room, capacity) = (link.room, link.capacity);
            let fits = |len| len <= room || (room > 0 && room == capacity);
            let Some(frame) = link.queue.pop(fits) else { break };
            link.leave(now, frame.wire_len(), frame.header.kind, counters);
            link.blocked_since = Some(now);
            out.push(Output::Send { to: vec![conn], frame });
        }
        if link.queue.is_empty() {
            link.blocked_since = None;
        }
    }

    fn find(&self, conn: ConnId) -> Result<usize, usize> {
        self.0.binary_search_by_key(&conn, |link| link.conn)
    }
}
