//! Datagrams: what is said by UDP, to whom no link leads.
//!
//! | datagram | what becomes of it |
//! |---|---|
//! | Ping | a Pong, with hosts in GGEP `IPP` if it asks for them with `SCP` |
//! | Pong | taken if it answers a Ping of ours: that of an announcement names a host on this network, that of a host cache hosts anywhere |
//! | Push | the same as by a link: somebody who knows our address, but no way to us over links, asks us to connect |
//! | QueryHit, LIME/11 and LIME/12 | hits past the links, `oob` |
//! | others | dropped |
//!
//! **Announcements.** While neighbours are missing a Ping goes to all on this network, at once, after a second, and ever
//! more rarely. Who hears it answers after a random moment, to its sender alone, so that a crowd does not answer at
//! once; those who answer are hosts to be dialled. Nobody is asked who did not join the group:
//! no network is scanned.
//!
//! **Never an amplifier.** A datagram's sender address may be forged. Whatever is answered, an address is sent at most
//! [`ANSWER_FACTOR`] times the bytes that came from it ("three times the amount of data received", RFC 9000 section 8), and all
//! addresses together are answered at the rate of [`super::Limits::pings`], each at [`PER_ADDRESS`]. All bytes are counted.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::base::{HashSeed, Instant, Lru, Rng, TokenBucket};
use crate::wire::ping::{Ping, Wants};
use crate::wire::pong::Pong;
use crate::wire::push::Push;
use crate::wire::{Frame, Guid, Header, Kind};

use super::address::{Scope, canonical, is_dialable, may_name, scope, subnet};
use super::config::Limits;
use super::servent::Servent;
use super::{DropReason, Event, HostSource, Outbox, Output, Teller, Word};

/// Bits of a TTL by UDP: its sender inflates answers; it is deflated itself (`deflated_udp`).
const INFLATES: u8 = 0x08;
const DEFLATED: u8 = 0x80;
/// An address is sent at most this many times what came from it.
const ANSWER_FACTOR: usize = 3;
/// Addresses whose bytes are remembered; and what one may have saved up.
const REMEMBERED: usize = 1024;
const MOST_CREDIT: usize = 4096;
/// Datagrams of one address that are answered in a second, and at once after silence.
const PER_ADDRESS: u32 = 2;
const PER_ADDRESS_BURST: u32 = 10;
/// Who hears an announcement answers within this time; so many answers may wait.
const JITTER: Duration = Duration::from_millis(250);
const WAITING: usize = 64;
/// Hosts in one `IPP`, told and read.
const HOSTS_TOLD: usize = 8;
const HOSTS_READ: usize = 64;
/// Pushes by UDP in a minute that make us dial: whoever saw a hit of ours can send them, and dials for strangers are few.
const PUSHES: usize = 3;
/// Pongs are taken so long after our Ping.
const ANSWER_TIME: Duration = Duration::from_secs(60);
/// Answers to one Ping of ours that are taken.
const MOST_ANSWERS: usize = 64;
/// The pause after an announcement, at first and at last.
const ANNOUNCE_FIRST: Duration = Duration::from_secs(1);
const ANNOUNCE_LAST: Duration = Duration::from_secs(300);

/// A Ping of ours that may be answered.
#[derive(Clone, Copy, Debug)]
struct Asked {
    guid: Guid,
    at: Instant,
    answers: usize,
}

impl Asked {
    /// Whether one more answer to it is taken.
    fn takes(asked: &mut Option<Self>, guid: Guid, now: Instant) -> bool {
        let Some(asked) = asked.as_mut().filter(|asked| asked.guid == guid) else { return false };
        asked.answers += 1;
        now.since(asked.at) < ANSWER_TIME && asked.answers <= MOST_ANSWERS
    }
}

/// What an address may still be sent.
#[derive(Debug)]
struct Credit {
    bytes: usize,
    answers: TokenBucket,
}

/// What we remember of datagrams.
#[derive(Debug)]
pub(super) struct Datagrams {
    /// Answers, to all together.
    answers: TokenBucket,
    /// What each address may still be sent.
    credit: Lru<IpAddr, Credit>,
    /// Answers to announcements that wait for their moment.
    later: Vec<(Instant, SocketAddr, Frame)>,
    announced: Option<Asked>,
    caches_asked: Option<Asked>,
    /// When pushes came that were followed.
    pushes: VecDeque<Instant>,
    /// When the next announcement is due, and how long to wait after it.
    announce_at: Option<(Instant, Duration)>,
}

impl Datagrams {
    pub(super) fn new(limits: &Limits, now: Instant, rng: &mut Rng) -> Self {
        let pings = limits.pings;
        Self {
            answers: TokenBucket::new(pings.per_second, pings.burst, now),
            credit: Lru::new(REMEMBERED, HashSeed::new(rng)),
            later: Vec::new(),
            announced: None,
            caches_asked: None,
            pushes: VecDeque::new(),
            announce_at: None,
        }
    }

    /// The next answer that waits.
    pub(super) fn due(&self) -> Option<Instant> {
        self.later.iter().map(|(at, ..)| *at).min()
    }

    /// So many bytes came from there.
    pub(super) fn came(&mut self, now: Instant, from: IpAddr, bytes: usize) {
        let fresh = || Credit { bytes: 0, answers: TokenBucket::new(PER_ADDRESS, PER_ADDRESS_BURST, now) };
        let credit = self.credit.get_or_put(subnet(from), fresh);
        credit.bytes = (credit.bytes + ANSWER_FACTOR * bytes).min(MOST_CREDIT);
    }

    /// Whether something may be done for an address: its rate and that of all are spent.
    fn may_answer(&mut self, now: Instant, to: IpAddr) -> bool {
        let Some(credit) = self.credit.get(&subnet(to)) else { return false };
        credit.answers.take(1, now) && self.answers.take(1, now)
    }

    /// Whether an answer of so many bytes may go there; they are taken from what may.
    pub(super) fn may_go(&mut self, now: Instant, to: IpAddr, bytes: usize) -> bool {
        self.credit_of(to) >= bytes && self.may_answer(now, to) && self.pay(to, bytes)
    }

    /// Whether so many bytes may go there, whatever the rate; they are taken from what may.
    fn pay(&mut self, to: IpAddr, bytes: usize) -> bool {
        let Some(credit) = self.credit.get(&subnet(to)) else { return false };
        let left = credit.bytes.checked_sub(bytes);
        credit.bytes = left.unwrap_or(credit.bytes);
        left.is_some()
    }

    fn credit_of(&mut self, to: IpAddr) -> usize {
        self.credit.get(&subnet(to)).map_or(0, |credit| credit.bytes)
    }

    /// Whether that ping is one of ours.
    fn is_ours(&self, frame: &Frame) -> bool {
        let ours = [self.announced, self.caches_asked];
        frame.header.kind == Kind::Ping && ours.into_iter().flatten().any(|asked| asked.guid == frame.header.guid)
    }
}

impl Servent {
    /// A message came by UDP.
    pub(super) fn on_datagram(&mut self, now: Instant, from: SocketAddr, frame: &Frame, out: &mut Outbox) {
        let from = canonical(from);
        self.counters.udp_received.count(frame.wire_len());
        if self.datagrams.is_ours(frame) {
            return; // Our own, as it came back.
        }
        let header = frame.header;
        if header.ttl & DEFLATED != 0 {
            return self.counters.drops.count(DropReason::Malformed); // We never say that we inflate.
        }
        let header = Header { ttl: header.ttl & !INFLATES, ..header };
        if header.ttl == 0 || header.ttl.saturating_add(header.hops) > self.config.max_ttl {
            return self.counters.drops.count(DropReason::BadHops);
        }
        if !is_dialable(from) {
            return self.counters.drops.count(DropReason::Malformed);
        }
        self.datagrams.came(now, from.ip(), frame.wire_len());
        let dropped = match header.kind {
            Kind::Ping if self.oob.ping_back.on_ping(now, &header.guid, from.ip()) => None,
            Kind::Ping => self.answer_datagram(now, from, frame, out),
            Kind::Pong if self.dispels_doubt(now, from, &header.guid, out) => None,
            Kind::Pong => self.on_pong_datagram(now, from, frame),
            Kind::Vendor => self.on_vendor_datagram(now, from, frame, out),
            Kind::QueryHit => self.on_hit_datagram(now, from, frame, out),
            Kind::Push => self.on_push_datagram(now, from, frame, out),
            _ => Some(DropReason::Unknown),
        };
        if let Some(reason) = dropped {
            self.counters.drops.count(reason);
        }
    }

    /// An announcement came, by the group of this network; there our own address is `at`.
    pub(super) fn on_announced(&mut self, now: Instant, from: SocketAddr, at: IpAddr, frame: &Frame) {
        let from = canonical(from);
        self.counters.udp_received.count(frame.wire_len());
        let Some(port) = self.us.listening.map(|us| us.port()) else { return };
        let us = SocketAddr::new(at, port);
        if !self.config.lan || frame.header.kind != Kind::Ping || frame.header.ttl == 0 || !is_dialable(from) {
            return self.counters.drops.count(DropReason::Unknown);
        }
        if self.datagrams.is_ours(frame) || from == us {
            return; // Our own announcement, as all on this machine hear it.
        }
        self.counters.pings_received += 1;
        self.datagrams.came(now, from.ip(), frame.wire_len());
        let pong = Pong::new(us, self.us.files, self.us.kib).encode();
        let answer = Frame::new(frame.header.guid, Kind::Pong, 1, pong);
        if self.datagrams.later.len() >= WAITING || !self.datagrams.may_go(now, from.ip(), answer.wire_len()) {
            return self.counters.drops.count(DropReason::RateLimited);
        }
        let moment = now + Duration::from_micros(self.rng.below(JITTER.as_micros() as usize) as u64);
        self.datagrams.later.push((moment, from, answer));
        self.wake_by(moment);
    }

    /// Answers whose moment has come go out.
    pub(super) fn answer_announcements(&mut self, now: Instant, out: &mut Outbox) {
        for (at, to, frame) in std::mem::take(&mut self.datagrams.later) {
            if at > now {
                self.datagrams.later.push((at, to, frame));
            } else {
                self.counters.pongs_sent += 1;
                self.send_datagram(to, frame, out);
            }
        }
    }

    /// Asks these host caches for hosts (UDP host caches: a Ping with GGEP `SCP`).
    pub(super) fn ask_caches(&mut self, now: Instant, caches: Vec<SocketAddr>, out: &mut Outbox) {
        let guid = Guid::random(&mut self.rng);
        self.datagrams.caches_asked = Some(Asked { guid, at: now, answers: 0 });
        let speaks_ipv6 = self.speaks_ipv6();
        for addr in caches.into_iter().map(canonical) {
            if is_dialable(addr) && !self.is_ourselves(addr) {
                let wants = Wants { ultrapeers: true, v4: true, v6: speaks_ipv6 || addr.is_ipv6() };
                let frame = Frame::new(guid, Kind::Ping, 1, Ping::asking(wants).encode());
                self.send_datagram(addr, frame, out);
            }
        }
    }

    /// Announces us on this network while neighbours are missing, ever more rarely; notes when to do so again.
    pub(super) fn announce(&mut self, now: Instant, due: &mut Option<Instant>, out: &mut Outbox) {
        let reaches_others = self.us.listening.is_some_and(|addr| !addr.ip().is_loopback());
        if !self.config.lan || !reaches_others || !self.wants_more() {
            return;
        }
        let (mut at, mut wait) = self.datagrams.announce_at.unwrap_or((now, ANNOUNCE_FIRST));
        if at <= now {
            // On one network who is there answers for itself: no hosts are wanted beside it.
            let ping = Ping::asking(Wants { ultrapeers: true, v4: true, v6: false });
            let frame = Frame::new(Guid::random(&mut self.rng), Kind::Ping, 1, ping.encode());
            self.datagrams.announced = Some(Asked { guid: frame.header.guid, at: now, answers: 0 });
            self.counters.announcements += 1;
            out.push(Output::Announce(frame));
            // Not all at the same time, that began at the same time.
            at = now + wait + wait * self.rng.below(256) as u32 / 1024;
            wait = (2 * wait).min(ANNOUNCE_LAST);
        }
        self.datagrams.announce_at = Some((at, wait));
        *due = Some(due.map_or(at, |due| due.min(at)));
    }

    /// Something changed: we listen elsewhere, or have lost a neighbour. Announcements begin anew, soon.
    pub(super) fn announce_anew(&mut self, now: Instant) {
        self.datagrams.announce_at = Some((now, ANNOUNCE_FIRST));
    }

    pub(super) fn send_datagram(&mut self, addr: SocketAddr, frame: Frame, out: &mut Outbox) {
        self.counters.udp_sent.count(frame.wire_len());
        out.push(Output::SendTo { addr, frame });
    }

    /// A Pong for a Ping, with as many hosts as it asks for and its sender's own bytes allow.
    fn answer_datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        frame: &Frame,
        out: &mut Outbox,
    ) -> Option<DropReason> {
        self.counters.pings_received += 1;
        // Before all work: who asks too often costs nothing.
        if !self.datagrams.may_answer(now, from.ip()) {
            return Some(DropReason::RateLimited);
        }
        let credit = self.datagrams.credit_of(from.ip());
        let answer = |pong: Pong| Frame::new(frame.header.guid, Kind::Pong, 1, pong.encode());
        let fits = |frame: &Frame| frame.wire_len() <= credit;
        let (bare, full) = (self.own_pong(), self.own_pong_in_full(now, from.ip()));
        let mut hosts = Vec::new();
        if let Some(wants) = Ping::decode(&frame.payload).ok().and_then(|ping| ping.wants()) {
            let family = |addr: SocketAddr| if addr.is_ipv4() { wants.v4 } else { wants.v6 };
            let tell = |addr: SocketAddr| family(addr) && addr != from && may_name(from.ip(), addr.ip());
            let linked = self.links.ultrapeers().filter(|link| link.identity.listens).map(|link| link.identity.addr);
            hosts = linked.filter(|addr| tell(*addr)).collect();
            self.rng.shuffle(&mut hosts);
            hosts.truncate(HOSTS_TOLD);
            let more = HOSTS_TOLD - hosts.len();
            hosts.extend(self.hosts.proven(more, &mut self.rng, |addr| tell(addr) && !hosts.contains(&addr)));
            // They are what was asked for: what else there is to tell of us comes after them.
            while !hosts.is_empty() && !fits(&answer(bare.clone().with_others(&hosts))) {
                hosts.pop();
            }
        }
        let answer = Some(answer(full.with_others(&hosts))).filter(fits).unwrap_or(answer(bare.with_others(&hosts)));
        if !self.datagrams.pay(from.ip(), answer.wire_len()) {
            return Some(DropReason::RateLimited);
        }
        self.counters.pongs_sent += 1;
        self.send_datagram(from, answer, out);
        None
    }

    fn on_pong_datagram(&mut self, now: Instant, from: SocketAddr, frame: &Frame) -> Option<DropReason> {
        let guid = frame.header.guid;
        let announced = Asked::takes(&mut self.datagrams.announced, guid, now);
        let by_cache = !announced && Asked::takes(&mut self.datagrams.caches_asked, guid, now);
        if !announced && !by_cache {
            return Some(DropReason::NoRoute);
        }
        let Ok(pong) = Pong::decode(&frame.payload) else { return Some(DropReason::Malformed) };
        self.counters.pongs_received += 1;
        let host = canonical(pong.host());
        // Who does not know its own address is where its datagram came from.
        let host = if host.ip().is_unspecified() { SocketAddr::new(from.ip(), host.port()) } else { host };
        if announced && host.ip() == from.ip() && scope(from.ip()) < Scope::World {
            self.counters.lan_answers += 1;
            self.learn_named(now, host, HostSource::Lan);
        }
        if by_cache {
            for host in pong.others(HOSTS_READ) {
                if host.is_ipv4() || from.is_ipv6() || self.speaks_ipv6() {
                    self.learn_host(now, from.ip(), host, HostSource::Stranger, Teller::HostCache);
                }
            }
        }
        None
    }

    fn on_push_datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        frame: &Frame,
        out: &mut Outbox,
    ) -> Option<DropReason> {
        let Ok(push) = Push::decode(&frame.payload) else { return Some(DropReason::Malformed) };
        if push.servent != self.config.servent {
            return Some(DropReason::NoRoute);
        }
        let addr = canonical(push.host());
        if !is_dialable(addr) || !may_name(from.ip(), addr.ip()) || self.is_ourselves(addr) {
            return Some(DropReason::Malformed);
        }
        let pushes = &mut self.datagrams.pushes;
        while pushes.front().is_some_and(|&at| now.since(at) >= Duration::from_secs(60)) {
            pushes.pop_front();
        }
        let full = pushes.len() >= PUSHES;
        if full || !self.datagrams.may_answer(now, from.ip()) || !self.may_dial_asked(now, addr, Word::Stranger) {
            return Some(DropReason::RateLimited);
        }
        self.datagrams.pushes.push_back(now);
        self.counters.pushes_received += 1;
        out.push(Output::Event(Event::PushRequested { addr, index: push.index, word: Word::Stranger }));
        None
    }
}
