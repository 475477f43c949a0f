//! Hits by UDP, straight from who has them to who asked (`out-of-band`, `out-of-band-v3`).
//!
//! ```text
//! asker                                      sharer
//! Query, flag 0x0400, its address in the GUID --> over links
//!                                            <-- LIME/12: so many files are here
//! LIME/11: send so many, with this token     -->
//!                                            <-- Ping, unless he was there of late
//! Pong                                       -->
//!                                            <-- QueryHits with the token
//! ```
//!
//! **As sharer** we promise hits when the query crossed two links at least ("if the hops value is 1, there probably exists a TCP
//! connection that is better used"), names an address that its bringer may name to us, and datagrams of strangers reach us.
//! Everything else goes back over links as ever: what is too long for a datagram, what finds no room among
//! [`promises`](super::promises), what the rates of `datagrams` do not let go.
//!
//! **The Ping is ours.** The specification sends hits to whoever sends an acknowledgement; but who forged the address in a
//! query can forge that too, and a stranger would get hundreds of times what was spent on him. A GUID that we drew comes back only
//! from where it went. Whoever does not answer in five seconds gets his hits over links; and so do those who have got
//! [`GIVEN`] bytes, since a servent that is there answers Pings in whose name somebody else claims. Until then a query counts as if it had
//! come from the address that it names, and three times its bytes bound what goes there.
//!
//! **As asker** we allow hits by UDP where much is to be spared: on a large network ([`OutOfBand::Auto`]), and when it is
//! proven that datagrams of strangers reach us (`ping_back`); never among hosts that the user lists. What we claim and take is
//! in [`claims`](super::claims).
//!
//! **For leaves** nothing is done: their queries go on as they are, and they say themselves how many hits they have (BEAR/12).
//! We are no proxy.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::base::{Instant, TokenBucket};
use crate::wire::hit::{Entry, QueryHit};
use crate::wire::ping::Ping;
use crate::wire::query::{Flags, Query};
use crate::wire::vendor::{MAX_TOKEN, Said, Vendor};
use crate::wire::{Frame, Guid, Kind};

use super::address::{canonical, is_dialable, is_public, is_strangers_port, may_name, subnet};
use super::claims::{Claims, Token};
use super::config::{Config, OutOfBand};
use super::ping_back::{ASKED, PingBack};
use super::promises::Promises;
use super::reach::Reachable;
use super::servent::Servent;
use super::{DropReason, Event, Outbox, Strategy};

/// Queries that asked for hits by UDP and may still be answered.
const ASKING: usize = 256;
/// Addresses that are known to be there; for how long.
const THERE: usize = 256;
const THERE_FOR: Duration = Duration::from_secs(600);
/// Bytes of a datagram of hits: with what is around it, it fits into one packet everywhere (RFC 8200: 1,280 bytes).
const DATAGRAM: usize = 1200;
/// Bytes of hits that go to one address (IPv6: /64): so many at once, and so many a second after that. A Pong shows that
/// somebody is there, not that it was he who asked.
const GIVEN: u32 = 64 * 1024;
const GIVEN_A_SECOND: u32 = 100;
/// Addresses of which that is remembered.
const GIVEN_TO: usize = 256;
/// Files that a search takes by UDP when it asks one neighbour after the other, and when it asks all at once.
const WANTED: u32 = 150;
const WANTED_OF_ALL: u32 = 1000;

/// What we remember of hits by UDP.
#[derive(Debug)]
pub(super) struct Oob {
    /// Oldest first; so few are walked, not hashed.
    asking: VecDeque<Asking>,
    promises: Promises,
    claims: Claims,
    there: VecDeque<(SocketAddr, Instant)>,
    given: VecDeque<(IpAddr, TokenBucket)>,
    pub(super) ping_back: PingBack,
}

/// A query of somebody who takes hits by UDP.
#[derive(Clone, Copy, Debug)]
struct Asking {
    query: Guid,
    at: SocketAddr,
    secure: bool,
}

impl Oob {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            asking: VecDeque::new(),
            promises: Promises::default(),
            claims: Claims::new(config.limits.searches),
            there: VecDeque::new(),
            given: VecDeque::new(),
            ping_back: PingBack::default(),
        }
    }

    /// The next thing to do by time.
    pub(super) fn due(&self) -> Option<Instant> {
        self.promises.due().into_iter().chain(self.ping_back.due()).min()
    }

    /// Somebody is there, as his Pong shows.
    fn was_there(&mut self, now: Instant, addr: SocketAddr) {
        self.there.retain(|(known, at)| *known != addr && now.since(*at) < THERE_FOR);
        if self.there.len() >= THERE {
            self.there.pop_front();
        }
        self.there.push_back((addr, now));
    }

    fn is_there(&self, now: Instant, addr: SocketAddr) -> bool {
        self.there.iter().any(|(known, at)| *known == addr && now.since(*at) < THERE_FOR)
    }

    /// Whether so many bytes of hits may go there.
    fn may_give(&mut self, now: Instant, to: IpAddr, bytes: usize) -> bool {
        let (to, bytes) = (subnet(to), u32::try_from(bytes).unwrap_or(u32::MAX));
        if let Some((_, bucket)) = self.given.iter_mut().find(|(known, _)| *known == to) {
            return bucket.take(bytes, now);
        }
        if self.given.len() >= GIVEN_TO {
            self.given.pop_front();
        }
        let mut bucket = TokenBucket::new(GIVEN_A_SECOND, GIVEN, now);
        let may = bucket.take(bytes, now);
        self.given.push_back((to, bucket));
        may
    }

    fn asks(&mut self, asking: Asking) {
        if self.asking.len() >= ASKING {
            self.asking.pop_front();
        }
        self.asking.push_back(asking);
    }

    /// Who asked that, if he takes hits by UDP; once.
    fn asker(&mut self, query: &Guid) -> Option<Asking> {
        let at = self.asking.iter().position(|asking| asking.query == *query)?;
        self.asking.remove(at)
    }
}

impl Servent {
    /// A query came from somebody at `bringer`; if it allows hits by UDP, that is remembered until it is answered.
    pub(super) fn note_asking(&mut self, now: Instant, bringer: IpAddr, frame: &Frame, query: &Query) {
        let guid = frame.header.guid;
        // One link that it has crossed is not in its hops yet.
        if !query.flags.has(Flags::OUT_OF_BAND) || frame.header.hops == 0 || !self.takes_datagrams(now) {
            return;
        }
        let at = canonical(query.asker(guid));
        let proper = !is_public(at.ip()) || is_strangers_port(at.port());
        if proper && self.sends_to(at.ip()) && is_dialable(at) && may_name(bringer, at.ip()) && !self.is_ourselves(at) {
            self.datagrams.came(now, at.ip(), frame.wire_len());
            self.oob.asks(Asking { query: guid, at, secure: query.is_secure() });
        }
    }

    /// Whether what we send by UDP gets there, as far as the family tells. Who asks at an IPv4 address is answered from one.
    fn sends_to(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(_) => self.own_addr().is_some_and(|us| us.is_ipv4()),
            IpAddr::V6(_) => self.speaks_ipv6(),
        }
    }

    /// We have these files for a query: if its asker takes hits by UDP he is told so. What is left for the way back.
    pub(super) fn promise(&mut self, now: Instant, query: Guid, entries: Vec<Entry>, out: &mut Outbox) -> Vec<Entry> {
        let Some(Asking { at, secure, .. }) = self.oob.asker(&query) else { return entries };
        let room = DATAGRAM.saturating_sub(self.hit_overhead(&[1; MAX_TOKEN]));
        let (fitting, longer): (Vec<_>, Vec<_>) = entries.into_iter().partition(|entry| entry.wire_len() <= room);
        let count = u8::try_from(fitting.len()).unwrap_or(u8::MAX);
        let here = Frame::new(query, Kind::Vendor, 1, Vendor::hits_here(count, secure).encode());
        let goes = count > 0
            && self.takes_datagrams(now)
            && self.oob.promises.has_room(&query, fitting.len())
            && self.datagrams.may_go(now, at.ip(), here.wire_len());
        if !goes {
            return fitting.into_iter().chain(longer).collect();
        }
        let until = self.oob.promises.make(now, query, at, fitting);
        self.wake_by(until);
        self.counters.hits_promised += 1;
        self.send_datagram(at, here, out);
        longer
    }

    /// LIME/12 or LIME/11 came.
    pub(super) fn on_vendor_datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        frame: &Frame,
        out: &mut Outbox,
    ) -> Option<DropReason> {
        let Ok(said) = Vendor::decode(&frame.payload).and_then(|message| message.said()) else {
            return Some(DropReason::Malformed);
        };
        let query = frame.header.guid;
        match said {
            Said::HitsHere { entries, secure } => self.on_hits_here(now, from, query, entries, secure, out),
            Said::HitsPlease { entries, token } => self.on_hits_please(now, from, query, entries, token, out),
            _ => Some(DropReason::Unknown),
        }
    }

    /// A Pong came by UDP: whether it shows that somebody is there who claimed hits.
    pub(super) fn dispels_doubt(&mut self, now: Instant, from: SocketAddr, ping: &Guid, out: &mut Outbox) -> bool {
        let Some((promise, token)) = self.oob.promises.dispel(ping, from) else { return false };
        self.counters.pongs_received += 1;
        self.oob.was_there(now, from);
        self.deliver(now, from, promise.query, promise.entries, token, out);
        true
    }

    /// A hit came by UDP.
    pub(super) fn on_hit_datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        frame: &Frame,
        out: &mut Outbox,
    ) -> Option<DropReason> {
        let query = frame.header.guid;
        let Some(search) = self.router.search_of(&query) else { return Some(DropReason::NoRoute) };
        let Ok(hit) = QueryHit::decode(&frame.payload) else { return Some(DropReason::Malformed) };
        let token = hit.qhd.as_ref().and_then(|qhd| qhd.token());
        let files = u8::try_from(hit.entries.len()).unwrap_or(u8::MAX);
        if !self.oob.claims.takes(now, &query, from, token.as_deref(), files.into()) {
            return Some(DropReason::NoRoute);
        }
        self.dynamic.found_outside(&query, files);
        self.router.found(&query, files);
        self.counters.hits_received += 1;
        self.counters.hits_received_udp += 1;
        let hit = self.as_we_reach(hit);
        out.push(super::Output::Event(Event::HitReceived { search, hit, hops: 0, from: None }));
        None
    }

    /// The GUID of a query of ours that goes out now, and the query with what it says of the addresses that we take; where
    /// hits may come by UDP both say so.
    pub(super) fn with_addresses(
        &mut self,
        now: Instant,
        guid: Guid,
        query: &Query,
        strategy: Strategy,
    ) -> (Guid, Query) {
        let worth = match self.config.out_of_band {
            OutOfBand::Off => false,
            OutOfBand::Auto => self.is_network_large() && !self.config.only_listed,
            OutOfBand::On => true,
        };
        let us = self.own_addr().filter(|_| worth && self.takes_datagrams(now));
        // A real client sends hits to an IPv6 address only if it hears that there is no other.
        let query = match self.speaks_ipv6() {
            true => query.clone().taking_ipv6(us.is_some_and(|us| us.is_ipv6())),
            false => query.clone(),
        };
        let Some(us) = us else { return (guid, query) };
        let (guid, query) = query.out_of_band(guid, us);
        let most = match strategy {
            Strategy::Dynamic => WANTED,
            Strategy::Flood => WANTED_OF_ALL,
        };
        self.oob.claims.begin(guid, most);
        (guid, query)
    }

    /// Queries of ours are over.
    pub(super) fn end_claims(&mut self, queries: &[Guid]) {
        for query in queries {
            self.oob.claims.end(query);
        }
    }

    /// What there is to do by time: hits go out, promises lapse.
    pub(super) fn keep_promises(&mut self, now: Instant, out: &mut Outbox) {
        for promise in self.oob.promises.expire(now) {
            self.send_back(now, promise.query, promise.entries, out);
        }
        for (to, frame) in self.oob.promises.go_on(now) {
            self.counters.hits_sent += 1;
            self.counters.hits_sent_udp += 1;
            self.send_datagram(to, frame, out);
        }
    }

    /// Asks neighbours for a Ping by UDP when it is time to.
    pub(super) fn tend_ping_back(&mut self, now: Instant, out: &mut Outbox) {
        let asks = self.config.out_of_band != OutOfBand::Off;
        let mut peers: Vec<_> = self.links.iter().filter(|l| asks && l.talk.pings_back).map(|l| l.conn).collect();
        self.oob.ping_back.is_at(now, self.own_addr(), !peers.is_empty());
        if self.oob.ping_back.look(now) {
            let guid = Guid::random(&mut self.rng);
            let port = self.own_addr().map_or(0, |addr| addr.port());
            self.rng.shuffle(&mut peers);
            peers.truncate(ASKED);
            self.oob.ping_back.asks(now, guid);
            for conn in peers {
                self.send_vendor(now, conn, None, &Vendor::ping_back(port, guid), out);
            }
        }
        if let Some(due) = self.oob.ping_back.due() {
            self.wake_by(due);
        }
    }

    /// Do datagrams of strangers reach us? Neighbours are asked, unless hits by UDP are turned off.
    pub fn reach_by_udp(&self, now: Instant) -> Reachable {
        self.oob.ping_back.known(now)
    }

    /// Whether datagrams of strangers reach us, and are wanted.
    pub(super) fn takes_datagrams(&self, now: Instant) -> bool {
        self.config.out_of_band != OutOfBand::Off && self.oob.ping_back.is_proven(now)
    }

    fn on_hits_here(
        &mut self,
        now: Instant,
        from: SocketAddr,
        query: Guid,
        files: u8,
        secure: bool,
        out: &mut Outbox,
    ) -> Option<DropReason> {
        let Some(found) = self.router.files_of(&query) else { return Some(DropReason::NoRoute) };
        let token = secure.then(|| self.draw_token());
        let Some(wanted) = self.oob.claims.claim(now, query, from, files, found.into(), token) else {
            return Some(DropReason::RateLimited);
        };
        let please = Vendor::hits_please(wanted, token.as_ref().map(|token| &token[..]));
        let please = Frame::new(query, Kind::Vendor, 1, please.encode());
        if !self.datagrams.may_go(now, from.ip(), please.wire_len()) {
            return Some(DropReason::RateLimited);
        }
        self.counters.hits_claimed += 1;
        self.send_datagram(from, please, out);
        None
    }

    fn on_hits_please(
        &mut self,
        now: Instant,
        from: SocketAddr,
        query: Guid,
        files: u8,
        token: Option<Vec<u8>>,
        out: &mut Outbox,
    ) -> Option<DropReason> {
        if !self.oob.promises.claimed(&query, from, files) {
            return Some(DropReason::NoRoute);
        }
        if self.oob.is_there(now, from) {
            let promise = self.oob.promises.take(&query)?;
            self.deliver(now, from, query, promise.entries, token, out);
            return None;
        }
        let guid = Guid::random(&mut self.rng);
        let ping = Frame::new(guid, Kind::Ping, 1, Ping::default().encode());
        if !self.datagrams.may_go(now, from.ip(), ping.wire_len()) {
            return Some(DropReason::RateLimited);
        }
        let until = self.oob.promises.doubt(now, &query, from, guid, token);
        self.wake_by(until);
        self.counters.pings_sent += 1;
        self.send_datagram(from, ping, out);
        None
    }

    /// Hits go to somebody who is there and wants them.
    fn deliver(
        &mut self,
        now: Instant,
        to: SocketAddr,
        query: Guid,
        entries: Vec<Entry>,
        token: Option<Vec<u8>>,
        out: &mut Outbox,
    ) {
        let token = token.as_deref();
        let overhead = self.hit_overhead(token.unwrap_or_default());
        let room = DATAGRAM.saturating_sub(overhead);
        let (mut frames, mut rest) = (VecDeque::new(), Vec::new());
        let mut entries = entries.into_iter().peekable();
        while let Some(first) = entries.next() {
            let mut bytes = first.wire_len();
            let mut some = vec![first];
            while let Some(next) = entries.next_if(|next| bytes + next.wire_len() <= room) {
                bytes += next.wire_len();
                some.push(next);
            }
            if !self.oob.may_give(now, to.ip(), overhead + bytes) {
                rest.extend(some.into_iter().chain(entries));
                break;
            }
            frames.push_back(Frame::new(query, Kind::QueryHit, 1, self.own_hit(some, token).encode()));
        }
        if !rest.is_empty() {
            self.send_back(now, query, rest, out);
        }
        self.oob.promises.send(now, to, frames);
        self.keep_promises(now, out);
        if let Some(due) = self.oob.promises.due() {
            self.wake_by(due);
        }
    }

    /// Bytes of a datagram of hits besides its entries.
    fn hit_overhead(&self, token: &[u8]) -> usize {
        crate::wire::HEADER_LEN + self.own_hit(Vec::new(), Some(token)).encode().len()
    }

    fn draw_token(&mut self) -> Token {
        let mut token = Token::default();
        self.rng.fill(&mut token);
        token.map(|byte| byte | 1)
    }
}
