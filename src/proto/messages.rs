//! What the servent does with a message once the router has said where it goes.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use bytes::Bytes;

use crate::base::{Instant, TokenBucket};
use crate::wire::bye::Bye;
use crate::wire::ggep::Ggep;
use crate::wire::hit::{Entry, Qhd, QueryHit};
use crate::wire::ping::Ping;
use crate::wire::pong::Pong;
use crate::wire::query::{Flags, Query};
use crate::wire::{Frame, FrameRef, Guid, Header, Kind};

use super::address::{canonical, is_dialable, may_name};
use super::dynamic::Asker;
use super::farewell::bye;
use super::link::{Buckets, Lead, Link};
use super::pongs::PONGS_PER_PING;
use super::router::Route;
use super::seen::Print;
use super::servent::Servent;
use super::tables::Audience;
use super::{
    Answer, CloseReason, ConnId, Counters, DropReason, Event, HostSource, Outbox, Output, Role, SearchId, Slots,
    Strategy, Teller,
};

/// Bytes of entries in one hit that we send; real clients refuse payloads above 64 KiB.
const HIT_BYTES: usize = 32 * 1024;
/// A query counts as often against the rate of its neighbour as it begins so many bytes: a longer one than people type costs
/// all who search and send it as much more.
const QUERY_BYTES: usize = 512;
/// What a first copy of a query, a hit that passed by, and a hit for us add to a peer's merit.
const MERIT_QUERY: u64 = 1;
const MERIT_HIT: u64 = 4;
const MERIT_OWN_HIT: u64 = 8;

/// A neighbour is let go when so many messages of its own in a row are malformed...
const MALFORMED_IN_A_ROW: u32 = 32;
/// ...and so it is in the end when of any so many messages more than one is.
const MALFORMED_ONE_IN: u32 = 17;

impl Servent {
    /// A message came on a link; `print` is what [`Router::expect`](super::router::Router::expect) said of it.
    pub(super) fn on_frame(&mut self, now: Instant, conn: ConnId, frame: FrameRef<'_>, print: Print, out: &mut Outbox) {
        let Some(link) = self.links.get_mut(conn) else { return };
        let (kind, len) = (frame.header.kind, frame.wire_len());
        link.heard = now;
        link.received.count(len);
        self.counters.received.count(len);
        match kind {
            Kind::Query => {
                link.queries_in += 1;
                self.counters.queries_received += 1;
            }
            Kind::Ping => self.counters.pings_received += 1,
            Kind::Pong => self.counters.pongs_received += 1,
            _ => {}
        }
        if matches!(kind, Kind::Query | Kind::QueryHit | Kind::Push) {
            link.hops.0 += u64::from(frame.header.hops) + 1;
            link.hops.1 += 1;
        }
        let malformed = link.drops.get(DropReason::Malformed);
        let route = self.router.decide(now, conn, link.pinged, frame, print);
        if let Route::Drop(reason) = route {
            // Most of what comes is copies: the link is at hand, and their payloads are never touched.
            count_drop(&mut self.counters, link, reason);
            if reason != DropReason::Malformed {
                return link.faults = link.faults.saturating_sub(1);
            }
        } else {
            self.follow(now, conn, route, frame.to_frame(), out);
        }
        self.weigh(now, conn, malformed, frame.header.hops, out);
    }

    fn follow(&mut self, now: Instant, conn: ConnId, route: Route, frame: Frame, out: &mut Outbox) {
        match (route, frame.header.kind) {
            (_, Kind::Query) => self.on_query(now, conn, route, frame, out),
            (_, Kind::QueryHit) => self.on_hit(now, conn, route, frame, out),
            (_, Kind::Push) => self.on_push(now, conn, route, frame, out),
            (Route::Local(header), Kind::Ping) => self.on_ping(now, conn, header, out),
            (_, Kind::Pong) => self.on_pong(now, conn, route, frame, out),
            (_, Kind::RouteTableUpdate) => self.on_route_table(now, conn, &frame, out),
            (_, Kind::Bye) => self.on_bye(now, conn, &frame, out),
            (_, Kind::Vendor | Kind::VendorStandard) => self.on_vendor(now, conn, &frame, out),
            (..) => self.drop_message(conn, DropReason::Unknown),
        }
    }

    /// A message was seen to; before it, so many of that link had been malformed. Who sends little else is let go.
    ///
    /// Only what a neighbour made itself counts: hits, pushes and pongs are sent on as they came, so that an honest
    /// neighbour brings us what strangers behind it made.
    fn weigh(&mut self, now: Instant, conn: ConnId, malformed: u64, hops: u8, out: &mut Outbox) {
        let Some(link) = self.links.get_mut(conn) else { return };
        if link.drops.get(DropReason::Malformed) == malformed {
            link.faults = link.faults.saturating_sub(1);
            return;
        }
        if hops == 0 {
            link.faults += MALFORMED_ONE_IN - 1;
        }
        if link.faults >= MALFORMED_IN_A_ROW * (MALFORMED_ONE_IN - 1) {
            self.counters.links_malformed += 1;
            let words = "Too many malformed messages";
            self.drop_link(now, conn, 400, words, CloseReason::Garbage(words.to_lowercase()), out);
        }
    }

    /// Asks the network.
    pub(super) fn search(
        &mut self,
        now: Instant,
        id: SearchId,
        query: &Query,
        ttl: Option<u8>,
        strategy: Option<Strategy>,
        out: &mut Outbox,
    ) {
        // Who says how far wants to know what is there, all of it.
        let strategy = strategy.unwrap_or(match ttl.is_none() && self.asks_dynamically() {
            true => Strategy::Dynamic,
            false => Strategy::Flood,
        });
        let guid = Guid::random(&mut self.rng);
        let (guid, query) = &self.with_addresses(now, guid, query, strategy);
        let guid = *guid;
        self.router.originate(now, guid, id);
        self.counters.queries_originated += 1;
        let ttl = ttl.unwrap_or(self.config.ttl).clamp(1, self.config.max_ttl.max(1));
        // Whoever searches asks all neighbours, whatever their tables say.
        let mut audience = self.audience(None, query, false);
        audience.leaves_only = strategy == Strategy::Dynamic;
        let mut payload = query.encode();
        if self.role() == Role::Leaf && self.config.vendor_messages {
            // Our ultrapeers may ask how many hits we have, and we tell them when it is over.
            let guided = Query { flags: Flags(query.flags.0 | Flags::LEAF_GUIDED), ..query.clone() };
            payload = guided.encode();
        }
        let frame = Frame::new(guid, Kind::Query, ttl, payload);
        let mut neighbours = self.flood(now, &audience, frame.clone(), out);
        if strategy == Strategy::Dynamic {
            neighbours += self.begin_dynamic(now, Asker::Search(id), frame, query, out);
        }
        out.push(Output::Event(Event::SearchSent { search: id, guid, neighbours }));
    }

    /// The application found files that match a query: hits go back the way the query came.
    pub(super) fn answer_query(&mut self, now: Instant, answer: Answer, out: &mut Outbox) {
        let Answer { query, mut entries } = answer;
        entries.truncate(self.config.limits.answer_entries);
        if self.router.way_of_hit(&query).is_none() {
            return self.counters.drops.count(DropReason::NoRoute);
        }
        self.counters.queries_answered += u64::from(!entries.is_empty());
        let entries = self.promise(now, query, entries, out);
        self.send_back(now, query, entries, out);
    }

    /// Hits of ours go back the way a query came.
    pub(super) fn send_back(&mut self, now: Instant, query: Guid, entries: Vec<Entry>, out: &mut Outbox) {
        let Some(way) = self.router.way_of_hit(&query) else {
            return self.counters.drops.count(DropReason::NoRoute);
        };
        let mut entries = entries.into_iter().peekable();
        let per_hit = self.config.limits.hit_entries.min(QueryHit::MAX_ENTRIES);
        while let Some(first) = entries.next() {
            let mut bytes = first.wire_len();
            let mut some = vec![first];
            while some.len() < per_hit && entries.peek().is_some_and(|next| bytes + next.wire_len() <= HIT_BYTES) {
                bytes += entries.peek().map_or(0, Entry::wire_len);
                some.extend(entries.next());
            }
            // The way back is at most as long as the longest way here.
            let payload = self.own_hit(some, None).encode();
            let frame = Frame::new(query, Kind::QueryHit, self.config.max_ttl, payload);
            self.counters.hits_sent += u64::from(self.send(now, way, frame, out));
        }
    }

    /// Pings one peer. Its pongs are recognised by the GUID.
    pub(super) fn send_ping(&mut self, now: Instant, conn: ConnId, ttl: u8, out: &mut Outbox) {
        let guid = Guid::random(&mut self.rng);
        let Some(link) = self.links.get_mut(conn) else { return };
        link.pinged = Some(guid);
        link.pinged_at = now;
        link.lead = Lead::Ours;
        let frame = Frame::new(guid, Kind::Ping, ttl, Ping::default().encode());
        self.send(now, conn, frame, out);
    }

    /// Says Bye, closes the link and tells the application. What waits for the link is forgotten.
    pub(super) fn drop_link(
        &mut self,
        now: Instant,
        conn: ConnId,
        code: u16,
        words: &str,
        reason: CloseReason,
        out: &mut Outbox,
    ) {
        let guid = Guid::random(&mut self.rng);
        let frame = Frame::new(guid, Kind::Bye, 1, bye(code, words));
        self.links.send_last(now, conn, frame, &mut self.counters, out);
        let Some(link) = self.links.remove(conn) else { return };
        out.push(Output::Close { conn, reason: reason.clone() });
        self.on_link_lost(now, &link, reason, out);
    }

    /// Sends to one link. Whether it is there.
    pub(super) fn send(&mut self, now: Instant, to: ConnId, frame: Frame, out: &mut Outbox) -> bool {
        let limit = self.config.limits.queue_bytes;
        self.links.send(now, to, frame, limit, &mut self.counters, out)
    }

    fn flood(&mut self, now: Instant, audience: &Audience, frame: Frame, out: &mut Outbox) -> usize {
        let limit = self.config.limits.queue_bytes;
        self.links.flood(now, |link| audience.includes(link), frame, limit, &mut self.counters, out)
    }

    fn on_query(&mut self, now: Instant, conn: ConnId, route: Route, frame: Frame, out: &mut Outbox) {
        let guid = frame.header.guid;
        // Copies were sorted out before: they cost little, so only what is new counts against the rate.
        let weight = frame.payload.len().div_ceil(QUERY_BYTES).max(1) as u32;
        if !self.links.get_mut(conn).is_some_and(|link| link.buckets.queries.take(weight, now)) {
            self.router.take_back(&guid);
            return self.drop_message(conn, DropReason::RateLimited);
        }
        let Ok(query) = Query::decode(&frame.payload) else {
            self.router.take_back(&guid);
            return self.drop_message(conn, DropReason::Malformed);
        };
        self.add_merit(conn, MERIT_QUERY);
        if let Some(bringer) = self.links.get(conn).map(|link| link.identity.remote.ip()) {
            self.note_asking(now, bringer, &frame, &query);
        }
        if self.role() == Role::Ultrapeer {
            self.pass_on(now, conn, route, &query, frame.payload, out);
        }
        self.counters.queries_searched += 1;
        let hops = frame.header.hops.saturating_add(1);
        out.push(Output::Event(Event::QueryReceived { guid, query, hops }));
    }

    /// A query goes on: to the neighbours if TTL is left, and to the leaves that may have what is asked for "regardless
    /// of the query's TTL" (`ultrapeer_qrp`, section 2.4).
    fn pass_on(&mut self, now: Instant, from: ConnId, route: Route, query: &Query, payload: Bytes, out: &mut Outbox) {
        let leafs = self.links.get(from).is_some_and(|link| link.role == Role::Leaf);
        let (header, mut audience) = match route {
            Route::Flood(header) if leafs && self.asks_dynamically() => {
                let frame = Frame { header, payload: payload.clone() };
                self.begin_dynamic(now, Asker::Leaf(from), frame, query, out);
                self.counters.queries_forwarded += 1;
                let mut audience = self.audience(Some(from), query, false);
                audience.leaves_only = true;
                (header, audience)
            }
            Route::Flood(header) => (header, self.audience(Some(from), query, header.ttl == 1)),
            Route::Local(header) if self.tables.have_leaves() => {
                // A leaf takes no message that came farther than any may.
                let hops = header.hops.saturating_add(1).min(self.config.max_ttl.saturating_sub(1));
                (Header { ttl: 1, hops, ..header }, self.audience(Some(from), query, true))
            }
            _ => return,
        };
        audience.leaves_only |= matches!(route, Route::Local(_));
        let reached = self.flood(now, &audience, Frame { header, payload }, out);
        self.counters.queries_forwarded += u64::from(reached > 0);
    }

    fn on_hit(&mut self, now: Instant, conn: ConnId, route: Route, frame: Frame, out: &mut Outbox) {
        if !self.allows(now, conn, |buckets| &mut buckets.hits) {
            return self.drop_message(conn, DropReason::RateLimited);
        }
        let files = frame.payload.first().copied().unwrap_or(0);
        self.dynamic.found(&frame.header.guid, conn, files);
        self.router.found(&frame.header.guid, files);
        if let Route::Back(way, header) = route {
            if !self.send(now, way, Frame { header, payload: frame.payload }, out) {
                return self.drop_message(conn, DropReason::NoRoute);
            }
            self.counters.hits_routed += 1;
            return self.add_merit(conn, MERIT_HIT);
        }
        let Some(search) = self.router.search_of(&frame.header.guid) else { return };
        let Ok(hit) = QueryHit::decode(&frame.payload) else {
            return self.drop_message(conn, DropReason::Malformed);
        };
        self.counters.hits_received += 1;
        self.add_merit(conn, MERIT_OWN_HIT);
        let (hit, hops) = (self.as_we_reach(hit), frame.header.hops.saturating_add(1));
        out.push(Output::Event(Event::HitReceived { search, hit, hops, from: Some(conn) }));
    }

    /// A hit whose host has an address of either family names the one that leads there from here.
    pub(super) fn as_we_reach(&self, hit: QueryHit) -> QueryHit {
        match self.own_addr().is_some_and(|us| us.is_ipv6()) {
            true => hit.by_ipv6(),
            false => hit,
        }
    }

    /// Answers a ping: ourselves; for TTL 2 and more our neighbours too, as a crawler wants to know them; for
    /// more than that also who passed by of late. It is not flooded; only neighbours that never told us
    /// of themselves are asked, one link far, and their pongs go back.
    fn on_ping(&mut self, now: Instant, conn: ConnId, header: Header, out: &mut Outbox) {
        if !self.allows(now, conn, |buckets| &mut buckets.pings) {
            return self.drop_message(conn, DropReason::RateLimited);
        }
        let Some(link) = self.links.get_mut(conn) else { return };
        link.lead = Lead::Theirs;
        let (asker, asker_ip) = (link.identity.addr, link.identity.remote.ip());
        let tell = |addr: SocketAddr| addr != asker && may_name(asker_ip, addr.ip());
        // Far enough to get back; the hops say how far the host is.
        let ttl = header.hops.saturating_add(1);
        let pong = |hops, payload| Frame { header: Header { guid: header.guid, kind: Kind::Pong, ttl, hops }, payload };
        // A keep-alive asks whether we are there; who asks further wants to know who we are.
        let own = if header.ttl > 1 { self.own_pong_in_full(now, asker_ip) } else { self.own_pong() };
        let mut answers = vec![pong(0, own.encode())];
        if header.ttl > 1 {
            let listening = |link: &&Link| link.identity.listens && tell(link.identity.addr);
            let mut peers: Vec<_> = self.links.ultrapeers().filter(listening).collect();
            self.rng.shuffle(&mut peers);
            let mut named: Vec<_> = peers.iter().map(|peer| peer.identity.addr).collect();
            for peer in peers.into_iter().take(PONGS_PER_PING - 1) {
                let (files, kib) = peer.shares.unwrap_or((0, 0));
                answers.push(pong(1, Pong::new(peer.identity.addr, files, kib).encode()));
            }
            named.extend(self.own_addr());
            if header.ttl > 2 && answers.len() < PONGS_PER_PING {
                let missing = PONGS_PER_PING - answers.len();
                let wanted = |addr| tell(addr) && !named.contains(&addr);
                let cached = self.pongs.some(now, conn, missing, &mut self.rng, wanted);
                answers.extend(cached.into_iter().map(|cached| pong(cached.hops, cached.payload)));
            }
            self.ask_silent_neighbours(now, conn, header, out);
        }
        // A pong that would have too many links behind and before it would not arrive.
        answers.retain(|answer| answer.header.hops.saturating_add(answer.header.ttl) <= self.config.max_ttl);
        for answer in answers {
            self.send(now, conn, answer, out);
        }
    }

    fn ask_silent_neighbours(&mut self, now: Instant, asker: ConnId, header: Header, out: &mut Outbox) {
        let silent = self.links.ultrapeers().filter(|link| link.conn != asker && link.shares.is_none());
        let silent: Vec<_> = silent.map(|link| link.conn).take(PONGS_PER_PING).collect();
        if silent.is_empty() {
            return;
        }
        self.router.ping_went_on(header.guid, asker);
        let header = Header { ttl: 1, hops: header.hops.saturating_add(1), ..header };
        for conn in silent {
            self.send(now, conn, Frame { header, payload: Ping::default().encode() }, out);
        }
    }

    fn on_pong(&mut self, now: Instant, conn: ConnId, route: Route, frame: Frame, out: &mut Outbox) {
        if !self.allows(now, conn, |buckets| &mut buckets.hits) {
            return self.drop_message(conn, DropReason::RateLimited);
        }
        let Ok(pong) = Pong::decode(&frame.payload) else {
            return self.drop_message(conn, DropReason::Malformed);
        };
        let addr = canonical(pong.host());
        let Some(link) = self.links.get_mut(conn) else { return };
        let teller = link.identity.remote.ip();
        if frame.header.hops == 0 {
            link.shares = Some((pong.files, pong.kib));
        }
        if is_dialable(addr) && may_name(teller, addr.ip()) && !self.is_ourselves(addr) {
            self.learn_host(now, teller, addr, HostSource::Stranger, Teller::Pong);
            if let Some((leaves, ultrapeers)) = pong.slots() {
                self.hosts.told_slots(now, addr, Slots { leaves, ultrapeers });
            }
            let other = pong.also_at().map(canonical).filter(|_| teller.is_ipv6() || self.speaks_ipv6());
            if let Some(other) = other.filter(|other| is_dialable(*other)) {
                self.learn_host(now, teller, other, HostSource::Stranger, Teller::Pong);
            }
            let hops = frame.header.hops.saturating_add(1);
            let payload = Bytes::copy_from_slice(&frame.payload);
            self.pongs.remember(now, conn, addr, hops, payload);
        }
        if let Route::Back(way, header) = route
            && !self.send(now, way, Frame { header, payload: frame.payload }, out)
        {
            self.drop_message(conn, DropReason::NoRoute);
        }
    }

    fn on_bye(&mut self, now: Instant, conn: ConnId, frame: &Frame, out: &mut Outbox) {
        let (code, text) = match Bye::decode(&frame.payload) {
            Ok(bye) => (bye.code, bye.reason().chars().take(120).collect()),
            Err(_) => (0, String::new()),
        };
        let Some(link) = self.links.remove(conn) else { return };
        let reason = CloseReason::Bye(code, text);
        out.push(Output::Close { conn, reason: reason.clone() });
        self.on_link_lost(now, &link, reason, out);
    }

    pub(super) fn own_pong(&self) -> Pong {
        Pong::new(self.told_addr(), self.us.files, self.us.kib)
    }

    /// The same with all that real clients tell of themselves, for who asks from there: what we are, free slots while we are an
    /// ultrapeer, how long we are up, and our IPv6 address beside the other one.
    pub(super) fn own_pong_in_full(&self, now: Instant, asker: IpAddr) -> Pong {
        let mut pong = self.own_pong().with_vendor(self.config.vendor, version());
        if self.role() == Role::Ultrapeer {
            let free =
                |role| u8::try_from(self.slots_for(role).saturating_sub(self.links.count(role))).unwrap_or(u8::MAX);
            pong = pong.with_slots(free(Role::Leaf), free(Role::Ultrapeer));
        }
        // Earlier days are not known: what this day has seen of us.
        pong = pong.with_uptime(now.since(Instant::ZERO).as_secs());
        match self.ipv6_beside(pong.host(), asker) {
            Some(ip) => pong.with_also_at(ip),
            None => pong,
        }
    }

    /// Our IPv6 address, to be told beside `at` to somebody at `to`. A link-local one leads nowhere without its link.
    fn ipv6_beside(&self, at: SocketAddr, to: IpAddr) -> Option<Ipv6Addr> {
        let of_use = |ip: &Ipv6Addr| may_name(to, (*ip).into()) && !ip.is_unicast_link_local();
        self.own_ipv6().filter(of_use).filter(|_| at.is_ipv4())
    }

    pub(super) fn drop_message(&mut self, conn: ConnId, reason: DropReason) {
        match self.links.get_mut(conn) {
            Some(link) => count_drop(&mut self.counters, link, reason),
            None => self.counters.drops.count(reason),
        }
    }

    pub(super) fn allows(
        &mut self,
        now: Instant,
        conn: ConnId,
        bucket: impl Fn(&mut Buckets) -> &mut TokenBucket,
    ) -> bool {
        self.links.get_mut(conn).is_some_and(|link| bucket(&mut link.buckets).take(1, now))
    }

    fn add_merit(&mut self, conn: ConnId, merit: u64) {
        if let Some(Link { merit: sum, .. }) = self.links.get_mut(conn) {
            *sum += merit;
        }
    }

    /// A hit of ours; `token` is what its receiver gave out for it.
    pub(super) fn own_hit(&self, entries: Vec<Entry>, token: Option<&[u8]>) -> QueryHit {
        let walled = self.is_walled();
        let mut ggep = Ggep::default();
        if walled {
            Qhd::push_proxies(&mut ggep, &self.push_proxies());
        }
        if self.config.browse {
            Qhd::push_browse(&mut ggep);
        }
        if let Some(token) = token {
            Qhd::push_token(&mut ggep, token);
        }
        let qhd = Qhd::new(self.config.vendor, walled, self.us.uploads_busy).with_ggep(ggep);
        let at = self.told_addr();
        let hit = QueryHit::new(at, 0, entries, qhd, self.config.servent);
        // Nobody knows how far it goes: as far as our other address reaches.
        match self.ipv6_beside(at, at.ip()) {
            Some(ip) => hit.with_also_at(ip),
            None => hit,
        }
    }
}

/// Ours as `VC` has it: four bits major, four bits minor.
fn version() -> u8 {
    let part = |text: &str| text.parse::<u8>().unwrap_or(0).min(15);
    part(env!("CARGO_PKG_VERSION_MAJOR")) << 4 | part(env!("CARGO_PKG_VERSION_MINOR"))
}

fn count_drop(counters: &mut Counters, link: &mut Link, reason: DropReason) {
    counters.drops.count(reason);
    link.drops.count(reason);
    if matches!(reason, DropReason::Duplicate | DropReason::Own) {
        counters.duplicates += 1;
        link.duplicates_in += 1;
    }
}
