//! The host cache: addresses at which servents may listen, and how often we may knock.
//!
//! It never dials; it says whom to dial next ([`Hosts::pick`]). Hosts that only strangers named are dialled
//! within a budget, so that nobody turns a swarm of us against a third party.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use indexmap::IndexMap;

use crate::base::{HashSeed, Instant, Rng, backoff};

use super::address::{is_dialable, is_public, is_strangers_port, narrow_net, subnet, wide_net};
use super::config::Limits;
use super::{HostInfo, HostSource, Moment, Outcome, Slots, Teller};

/// The wait after the first failed dial; it doubles with each further one.
const FIRST_BACKOFF: Duration = Duration::from_secs(15);
/// The longest wait after failed dials.
const LONGEST_BACKOFF: Duration = Duration::from_secs(3600);
/// The wait after a link to the host ended, or it had no slot: it is there, but not for us now. It doubles
/// with each further time, up to the same longest wait.
const COOL_DOWN: Duration = Duration::from_secs(30);
/// Failed dials in a row after which a host named by strangers is forgotten.
const STRANGERS_CHANCES: u32 = 3;
/// The same for others that the user did not name.
const CHANCES: u32 = 8;
/// Hosts that count as a sign of a large network though only strangers of one /16 (or /48) named them.
const BELIEVED: usize = 20;
/// Stands for the strangers of earlier runs: their words, taken together, are one's.
const EARLIER: u64 = u64::MAX;
/// Dials for strangers' words in an hour, in units of those to one address and port: to all ports of an address (IPv6: of a
/// /64), and to all addresses of a /24 (or /48).
const TO_ADDRESS: usize = 2;
const TO_NET: usize = 4;
/// Dials in a minute to hosts within our site (not public ones) that only strangers named. There are few such hosts, and they
/// are near: enough for a large site, too few to flood it or to look through it for open ports.
const NEAR_PER_MINUTE: usize = 120;

/// Free slots that were told count for so long.
const SLOTS_FRESH: Duration = Duration::from_secs(600);
/// A host of earlier runs of which nobody spoke for so long is forgotten, unless the user named it.
const LONG_DEAD: Duration = Duration::from_secs(30 * 24 * 3600);
/// One that was not heard of for so long comes after the others.
const OLD: Duration = Duration::from_secs(24 * 3600);

/// What we know of one host.
#[derive(Clone, Copy, Debug)]
struct Host {
    source: HostSource,
    teller: Teller,
    seen: Instant,
    /// The same, across runs.
    heard: Option<Moment>,
    tried: Option<Moment>,
    outcome: Option<Outcome>,
    slots: Option<(Instant, Slots)>,
    failures: u32,
    /// How often in a row it was there, but not for us.
    refusals: u32,
    /// Not to be dialled before.
    not_before: Instant,
    /// A link to it was up in this run.
    proven: bool,
    /// The wide net of the only stranger out there who named it, or [`EARLIER`].
    told_by: Option<u64>,
}

/// Whether there is somebody to dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pick {
    /// This one, now. Its dial is counted.
    Dial(SocketAddr),
    /// Nobody before then.
    Wait(Instant),
    /// Nobody.
    Nobody,
}

/// The hosts that we know of, at most [`Limits::hosts`].
#[derive(Debug)]
pub(super) struct Hosts {
    hosts: IndexMap<SocketAddr, Host, HashSeed>,
    bound: usize,
    budget: Box<Budget>,
}

impl Hosts {
    pub(super) fn new(limits: &Limits, seed: HashSeed) -> Self {
        Self { hosts: IndexMap::with_hasher(seed), bound: limits.hosts, budget: Box::new(Budget::new(limits)) }
    }

    /// Somebody whom we believe spoke of a host. Whether it is new to us.
    pub(super) fn learn(&mut self, now: Instant, addr: SocketAddr, source: HostSource) -> bool {
        self.learn_from(now, addr, source, source.into(), None)
    }

    /// The same, told by `teller`, somebody at `by` if it is no word of our own.
    pub(super) fn learn_from(
        &mut self,
        now: Instant,
        addr: SocketAddr,
        source: HostSource,
        teller: Teller,
        by: Option<IpAddr>,
    ) -> bool {
        let stranger = by.filter(|by| source == HostSource::Stranger && is_public(*by));
        let told_by = stranger.filter(|_| is_public(addr.ip())).map(wide_net);
        if !is_dialable(addr)
            || (source == HostSource::Stranger && is_public(addr.ip()) && !is_strangers_port(addr.port()))
        {
            return false;
        }
        if let Some(host) = self.hosts.get_mut(&addr) {
            (host.seen, host.heard) = (now, Some(now.into()));
            if source < host.source {
                host.teller = teller;
            }
            if source == HostSource::User {
                (host.failures, host.refusals, host.not_before) = (0, 0, now);
            }
            host.source = host.source.min(source);
            host.told_by = match host.told_by {
                Some(EARLIER) => told_by,
                before => before.filter(|_| before == told_by),
            };
            return false;
        }
        if self.hosts.len() >= self.bound && !self.evict_for(source) {
            return false;
        }
        let host = Host {
            source,
            teller,
            seen: now,
            heard: (source != HostSource::Cache).then(|| now.into()),
            tried: None,
            outcome: None,
            slots: None,
            failures: 0,
            refusals: 0,
            not_before: now,
            proven: false,
            told_by,
        };
        self.hosts.insert(addr, host);
        true
    }

    /// An earlier run knew of a host. Whether it is new to us; one that is long dead is not taken.
    pub(super) fn recall(&mut self, now: Instant, info: &HostInfo) -> bool {
        let users = info.teller == Teller::User;
        if !users && info.heard.is_some_and(|heard| heard.age(now) >= LONG_DEAD) {
            return false;
        }
        let is_new = self.learn_from(now, info.addr, HostSource::Cache, info.teller, None);
        if let Some(host) = self.hosts.get_mut(&info.addr).filter(|_| is_new) {
            (host.heard, host.tried, host.outcome) = (info.heard, info.tried, info.outcome);
            host.failures = info.failures.min(CHANCES - 1);
            let strangers = matches!(info.teller, Teller::XTry | Teller::Pong) && is_public(info.addr.ip());
            host.told_by = (strangers && info.outcome != Some(Outcome::Connected)).then_some(EARLIER);
        }
        is_new
    }

    /// What came of a try to link to it.
    pub(super) fn tried(&mut self, now: Instant, addr: SocketAddr, outcome: Outcome) {
        if let Some(host) = self.hosts.get_mut(&addr) {
            (host.tried, host.outcome) = (Some(now.into()), Some(outcome));
        }
    }

    /// A Pong told of its free slots.
    pub(super) fn told_slots(&mut self, now: Instant, addr: SocketAddr, slots: Slots) {
        if let Some(host) = self.hosts.get_mut(&addr) {
            host.slots = Some((now, slots));
        }
    }

    /// A link to it is up.
    pub(super) fn link_up(&mut self, now: Instant, addr: SocketAddr) {
        self.learn(now, addr, HostSource::Peer);
        if let Some(host) = self.hosts.get_mut(&addr) {
            (host.failures, host.refusals, host.proven, host.seen) = (0, 0, true, now);
            (host.heard, host.tried, host.outcome) = (Some(now.into()), Some(now.into()), Some(Outcome::Connected));
            host.source = host.source.min(HostSource::Peer);
        }
    }

    /// It is there, but not for us now: a link ended, or there was no slot.
    pub(super) fn cool_down(&mut self, now: Instant, addr: SocketAddr, rng: &mut Rng) {
        if let Some(host) = self.hosts.get_mut(&addr) {
            host.refusals += 1;
            host.not_before = now + jitter(backoff(COOL_DOWN, LONGEST_BACKOFF, host.refusals), rng);
        }
    }

    /// A dial to it, or the handshake after it, failed.
    pub(super) fn failed(&mut self, now: Instant, addr: SocketAddr, rng: &mut Rng) {
        let Some(host) = self.hosts.get_mut(&addr) else { return };
        host.failures += 1;
        host.proven = false;
        host.not_before = now + jitter(backoff(FIRST_BACKOFF, LONGEST_BACKOFF, host.failures), rng);
        let chances = match host.source {
            HostSource::User => u32::MAX,
            HostSource::Stranger => STRANGERS_CHANCES,
            _ => CHANCES,
        };
        if host.failures >= chances {
            self.hosts.swap_remove(&addr);
        }
    }

    /// It may be dialled again now: that the link ended was our wish alone.
    pub(super) fn at_once(&mut self, now: Instant, addr: SocketAddr) {
        if let Some(host) = self.hosts.get_mut(&addr) {
            host.not_before = now;
        }
    }

    /// How many hosts there are to which no dial failed since they were heard of. Of those that were named from one wide
    /// net alone, or by strangers of earlier runs, only [`BELIEVED`] count: nobody makes a large network out of his own words.
    pub(super) fn promising(&self) -> usize {
        let mut told: BTreeMap<u64, usize> = BTreeMap::new();
        let promising = self.hosts.values().filter(|host| host.failures == 0);
        let believed = promising.filter(|host| {
            host.told_by.is_none_or(|net| {
                let so_far = told.entry(net).or_default();
                *so_far += 1;
                *so_far <= BELIEVED
            })
        });
        believed.count()
    }

    /// It is none: ourselves, or unwanted.
    pub(super) fn forget(&mut self, addr: &SocketAddr) {
        self.hosts.swap_remove(addr);
    }

    /// Whom to dial now: somebody at random among those with the fewest failures, of these among the most promising
    /// ([`Host::promise`]), every other time only among those whom not just strangers named. The caller excludes whom it has or does not want.
    pub(super) fn pick(
        &mut self,
        now: Instant,
        rng: &mut Rng,
        excluded: impl Fn(SocketAddr, HostSource) -> bool,
    ) -> Pick {
        let trusted_only = rng.below(2) == 0;
        // Nobody whom a stranger named comes before then: to find that out one by one would be a walk for each of them.
        let closed = [true, false].map(|public| self.budget.closed_until(now, public));
        loop {
            let (mut best, mut count, mut soonest) = (None, 0, None);
            let mut fewest = (true, u32::MAX, u8::MAX);
            for (&addr, host) in &self.hosts {
                if excluded(addr, host.source) {
                    continue;
                }
                let closed = if is_public(addr.ip()) { closed[0] } else { closed[1] };
                let budget = closed.filter(|_| host.source == HostSource::Stranger);
                let not_before = budget.map_or(host.not_before, |closed| host.not_before.max(closed));
                if not_before > now {
                    soonest = Some(soonest.map_or(not_before, |at: Instant| at.min(not_before)));
                    continue;
                }
                let rank = (trusted_only && host.source == HostSource::Stranger, host.failures, host.promise(now));
                if rank < fewest {
                    (fewest, count) = (rank, 0);
                }
                if rank == fewest {
                    count += 1;
                    // Each of `count` equally likely, in one walk.
                    if rng.below(count) == 0 {
                        best = Some((addr, host.source));
                    }
                }
            }
            let Some((addr, source)) = best else {
                return soonest.map_or(Pick::Nobody, Pick::Wait);
            };
            match self.budget.spend_on(now, addr, source) {
                Ok(()) => return Pick::Dial(addr),
                Err(later) => {
                    if let Some(host) = self.hosts.get_mut(&addr) {
                        host.not_before = later;
                    }
                }
            }
        }
    }

    /// Takes a dial to an address that a stranger named from the budget, if it is there.
    pub(super) fn may_dial_for_stranger(&mut self, now: Instant, addr: SocketAddr) -> bool {
        let port = !is_public(addr.ip()) || is_strangers_port(addr.port());
        is_dialable(addr) && port && self.budget.spend_on(now, addr, HostSource::Stranger).is_ok()
    }

    /// Up to `n` hosts, at random, that were linked to us and did not fail since.
    pub(super) fn proven(&self, n: usize, rng: &mut Rng, wanted: impl Fn(SocketAddr) -> bool) -> Vec<SocketAddr> {
        let mut some: Vec<_> =
            self.hosts.iter().filter(|&(&addr, host)| host.proven && wanted(addr)).map(|(&addr, _)| addr).collect();
        rng.shuffle(&mut some);
        some.truncate(n);
        some
    }

    /// A snapshot, the most promising first.
    pub(super) fn snapshot(&self) -> Vec<HostInfo> {
        let mut all: Vec<_> = self.hosts.iter().collect();
        all.sort_by_key(|(addr, host)| {
            (host.failures, !host.proven, std::cmp::Reverse(host.seen), host.source, **addr)
        });
        let info = |(&addr, host): (&SocketAddr, &Host)| HostInfo {
            addr,
            source: host.source,
            teller: host.teller,
            heard: host.heard,
            tried: host.tried,
            outcome: host.outcome,
            failures: host.failures,
            slots: host.slots.map(|(_, slots)| slots),
        };
        all.into_iter().map(info).collect()
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.hosts.len()
    }

    /// Makes room for a host of that source: the one with the most failures leaves, then the least trusted,
    /// then the one heard of longest ago. Whom better sources named does not leave for a stranger's word.
    fn evict_for(&mut self, source: HostSource) -> bool {
        let worth = |host: &Host| (host.failures, host.source, std::cmp::Reverse(host.seen));
        let Some((&addr, worst)) = self.hosts.iter().max_by_key(|(_, host)| worth(host)) else { return false };
        if worst.source < source && worst.failures == 0 {
            return false;
        }
        self.hosts.swap_remove(&addr);
        true
    }
}

impl Host {
    /// 0 for one that should have a slot: it told so, or an earlier run was linked to it (who was a neighbour in this run is no
    /// better than others, or neighbours would no longer be random); 2 for one that had none or was not heard of for a day, 1 for others.
    fn promise(&self, now: Instant) -> u8 {
        let slots = self.slots.filter(|(at, _)| now.since(*at) < SLOTS_FRESH);
        let old = self.heard.is_some_and(|heard| heard.age(now) >= OLD);
        match (slots, self.outcome) {
            (Some((_, slots)), _) => {
                if slots.leaves > 0 || slots.ultrapeers > 0 {
                    0
                } else {
                    2
                }
            }
            (None, Some(Outcome::Busy | Outcome::Refused)) => 2,
            (None, Some(Outcome::Connected)) if !old && self.source == HostSource::Cache => 0,
            _ => {
                if old {
                    2
                } else {
                    1
                }
            }
        }
    }
}

/// Dials to hosts that only strangers named. Not bound to the cache, so that a host forgotten and named again gets no
/// more of them.
#[derive(Debug)]
struct Budget {
    /// Those of the last hour to public hosts.
    spent: VecDeque<(Instant, SocketAddr)>,
    /// Those of the last minute to others.
    near: VecDeque<Instant>,
    per_minute: usize,
    per_host_hour: usize,
}

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

impl Budget {
    fn new(limits: &Limits) -> Self {
        Self {
            spent: VecDeque::new(),
            near: VecDeque::new(),
            per_minute: limits.stranger_dials_per_minute,
            per_host_hour: limits.stranger_dials_per_host_hour,
        }
    }

    /// When there may be any further dial to public hosts, or to others, if there were as many in the last minute as there may
    /// be.
    fn closed_until(&self, now: Instant, public: bool) -> Option<Instant> {
        if !public {
            let last = self.near.iter().rev().nth(NEAR_PER_MINUTE - 1);
            return last.map(|at| *at + MINUTE).filter(|open| *open > now);
        }
        let in_minute = self.spent.iter().rev().take_while(|(at, _)| now.since(*at) < MINUTE);
        let last = in_minute.take(self.per_minute).nth(self.per_minute.saturating_sub(1));
        last.map(|(at, _)| *at + MINUTE)
    }

    /// Counts a dial, or says when it may be tried again.
    fn spend_on(&mut self, now: Instant, addr: SocketAddr, source: HostSource) -> Result<(), Instant> {
        if source != HostSource::Stranger {
            return Ok(());
        }
        if !is_public(addr.ip()) {
            return self.spend_near(now);
        }
        while self.spent.front().is_some_and(|&(at, _)| now.since(at) >= HOUR) {
            self.spent.pop_front();
        }
        if let Some(closed) = self.closed_until(now, true) {
            return Err(closed);
        }
        let (address, net) = (subnet(addr.ip()), narrow_net(addr.ip()));
        let to_host = self.full(1, |to| to == addr);
        let to_address = self.full(TO_ADDRESS, |to| subnet(to.ip()) == address);
        let to_net = self.full(TO_NET, |to| narrow_net(to.ip()) == net);
        if let Some(later) = to_host.max(to_address).max(to_net) {
            return Err(later);
        }
        if self.per_minute == 0 || self.per_host_hour == 0 {
            return Err(now + HOUR);
        }
        self.spent.push_back((now, addr));
        Ok(())
    }

    fn spend_near(&mut self, now: Instant) -> Result<(), Instant> {
        if let Some(closed) = self.closed_until(now, false) {
            return Err(closed);
        }
        while self.near.front().is_some_and(|&at| now.since(at) >= MINUTE) {
            self.near.pop_front();
        }
        self.near.push_back(now);
        Ok(())
    }

    /// When there may be a further dial to those, if there were as many in the last hour as there may be: so many times
    /// those to one host.
    fn full(&self, times: usize, concerns: impl Fn(SocketAddr) -> bool) -> Option<Instant> {
        let most = self.per_host_hour.saturating_mul(times);
        let mut to_them = self.spent.iter().rev().filter(|(_, to)| concerns(*to));
        to_them.nth(most.checked_sub(1)?).map(|(at, _)| *at + HOUR)
    }
}

/// `wait` and up to a quarter more, so that a crowd does not come back all at once.
fn jitter(wait: Duration, rng: &mut Rng) -> Duration {
    let quarter = (wait.as_micros() / 4) as usize;
    wait + Duration::from_micros(rng.below(quarter + 1) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOBODY: fn(SocketAddr, HostSource) -> bool = |_, _| false;

    fn hosts(bound: usize) -> (Hosts, Rng) {
        let mut rng = Rng::from_number(1);
        let limits = Limits { hosts: bound, ..Limits::default() };
        (Hosts::new(&limits, HashSeed::new(&mut rng)), rng)
    }

    fn public(n: u8) -> SocketAddr {
        SocketAddr::from(([8, 8, n, 1], 6346))
    }

    #[test]
    fn that_a_minutes_dials_are_spent_is_found_out_by_one_walk() {
        let (mut hosts, mut rng) = hosts(2000);
        for n in 0..500_u32 {
            let addr = SocketAddr::from((std::net::Ipv4Addr::from(0x0800_0000 + (n << 12)), 6346));
            hosts.learn(Instant::ZERO, addr, HostSource::Stranger);
        }
        let looks = std::cell::Cell::new(0);
        let now = Instant::from_secs(1);
        let wait = loop {
            looks.set(0);
            let look = |_, _| {
                looks.set(looks.get() + 1);
                false
            };
            match hosts.pick(now, &mut rng, look) {
                Pick::Dial(addr) => hosts.forget(&addr),
                other => break other,
            }
        };
        assert_eq!((wait, looks.get()), (Pick::Wait(now + MINUTE), hosts.len()));
        assert!(hosts.len() > 400, "there was a limit");
    }

    #[test]
    fn ports_that_strangers_may_not_name_are_not_even_kept() {
        let rows = [
            ("8.8.8.8:25", HostSource::Stranger, false),
            ("8.8.8.8:80", HostSource::Stranger, true),
            ("8.8.8.8:443", HostSource::Stranger, true),
            ("8.8.8.8:1023", HostSource::Stranger, false),
            ("8.8.8.8:1024", HostSource::Stranger, true),
            ("8.8.8.8:26", HostSource::User, true),
            ("127.0.0.1:25", HostSource::Stranger, true),
            ("8.8.8.8:0", HostSource::User, false),
            ("0.0.0.0:6346", HostSource::Cache, false),
        ];
        let (mut hosts, _) = hosts(100);
        for (addr, source, kept) in rows {
            let addr = addr.parse().expect("an address");
            assert_eq!(hosts.learn(Instant::ZERO, addr, source), kept, "{addr} named by {source:?}");
        }
    }

    #[test]
    fn strangers_hosts_are_dialled_ten_times_a_minute_at_most() {
        let (mut hosts, mut rng) = hosts(100);
        for n in 0..30 {
            hosts.learn(Instant::ZERO, public(n), HostSource::Stranger);
        }
        for second in 0..10 {
            let now = Instant::from_secs(second);
            let Pick::Dial(addr) = hosts.pick(now, &mut rng, NOBODY) else { panic!("dial {second}") };
            hosts.forget(&addr);
        }
        assert_eq!(hosts.pick(Instant::from_secs(10), &mut rng, NOBODY), Pick::Wait(Instant::from_secs(60)));
        assert!(matches!(hosts.pick(Instant::from_secs(60), &mut rng, NOBODY), Pick::Dial(_)));
        assert_eq!(hosts.pick(Instant::from_secs(60), &mut rng, NOBODY), Pick::Wait(Instant::from_secs(61)));
        hosts.learn(Instant::from_secs(60), public(200), HostSource::User);
        assert_eq!(hosts.pick(Instant::from_secs(60), &mut rng, NOBODY), Pick::Dial(public(200)));
    }

    #[test]
    fn one_strangers_host_is_dialled_twice_an_hour_however_often_it_is_forgotten_and_named() {
        let (mut hosts, mut rng) = hosts(100);
        let named = |hosts: &mut Hosts, secs, rng: &mut Rng| {
            let now = Instant::from_secs(secs);
            hosts.forget(&public(1));
            hosts.learn(now, public(1), HostSource::Stranger);
            hosts.pick(now, rng, NOBODY)
        };
        assert_eq!(named(&mut hosts, 0, &mut rng), Pick::Dial(public(1)));
        assert_eq!(named(&mut hosts, 100, &mut rng), Pick::Dial(public(1)));
        assert_eq!(named(&mut hosts, 200, &mut rng), Pick::Wait(Instant::from_secs(3600)));
        assert!(!hosts.may_dial_for_stranger(Instant::from_secs(300), public(1)));
        assert!(hosts.may_dial_for_stranger(Instant::from_secs(300), public(2)));
        assert!(!hosts.may_dial_for_stranger(Instant::from_secs(300), "8.8.8.8:25".parse().expect("an address")));
        assert_eq!(named(&mut hosts, 3600, &mut rng), Pick::Dial(public(1)));
        assert_eq!(named(&mut hosts, 3660, &mut rng), Pick::Wait(Instant::from_secs(3700)));
    }

    #[test]
    fn one_address_and_one_net_are_dialled_a_few_times_an_hour_whatever_the_port() {
        type Name = fn(u16) -> SocketAddr;
        let names: [(Name, usize); 4] = [
            (|n| SocketAddr::from(([8, 8, 8, 8], 6000 + n)), 4),
            (|n| SocketAddr::from(([8, 8, 8, n as u8], 6346)), 8),
            (|n| SocketAddr::from(([0x2001, 0xdb8, 1, 2, 0, 0, 0, n], 6346)), 4),
            (|n| SocketAddr::from(([0x2001, 0xdb8, 1, n, 0, 0, 0, 1], 6346)), 8),
        ];
        for (names, most) in names {
            let (mut hosts, _) = hosts(100);
            let may = (0..60).filter(|&n| hosts.may_dial_for_stranger(Instant::from_secs(u64::from(n) * 10), names(n)));
            assert_eq!(may.count(), most, "{} and its like", names(1));
            assert!(hosts.may_dial_for_stranger(Instant::from_secs(700), "9.9.9.9:6346".parse().expect("an address")));
            assert!(hosts.may_dial_for_stranger(Instant::from_secs(3700), names(70)), "an hour later");
        }
    }

    #[test]
    fn what_one_stranger_says_makes_no_large_network() {
        let tell = |hosts: &mut Hosts, host, by: [u8; 4]| {
            hosts.learn_from(Instant::ZERO, host, HostSource::Stranger, Teller::Pong, Some(by.into()));
        };
        let host = |n: u8| SocketAddr::from(([9, n, 1, 1], 6346));
        let (mut hosts, _) = hosts(1000);
        for n in 0..200 {
            tell(&mut hosts, host(n), [8, 8, 1, 1]);
        }
        assert_eq!((hosts.len(), hosts.promising()), (200, BELIEVED));
        for n in 0..50 {
            tell(&mut hosts, host(n), [8, 8, 200, 200]);
        }
        assert_eq!(hosts.promising(), BELIEVED, "his neighbour says the same");
        for n in 0..50 {
            tell(&mut hosts, host(n), [7, 7, 1, 1]);
        }
        assert_eq!(hosts.promising(), 50 + BELIEVED, "another one says the same");
        hosts.learn(Instant::ZERO, host(199), HostSource::Peer);
        assert_eq!(hosts.promising(), 51 + BELIEVED, "it was there");
        for n in 0..60 {
            let near = SocketAddr::from(([10, 0, 0, n], 6346));
            tell(&mut hosts, near, [10, 0, 0, 1]);
        }
        assert_eq!(hosts.promising(), 111 + BELIEVED, "within a site all are believed");

        // The next run knows no more than that.
        let kept = hosts.snapshot();
        let mut hosts = Hosts::new(&Limits::default(), HashSeed::new(&mut Rng::from_number(2)));
        kept.iter().for_each(|info| assert!(hosts.recall(Instant::ZERO, info)));
        assert_eq!(hosts.promising(), 1 + 60 + BELIEVED, "the one that was there, the site, and what strangers said");
        for n in 0..200 {
            tell(&mut hosts, host(n), [8, 8, 1, 1]);
        }
        assert_eq!(hosts.promising(), 1 + 60 + BELIEVED, "he says it again");
    }

    #[test]
    fn hosts_within_a_site_are_dialled_often_but_nobody_floods_it() {
        let (mut hosts, mut rng) = hosts(100);
        let host = |n: u16| SocketAddr::from(([192, 168, (n >> 8) as u8, n as u8], 22));
        let mut named = |now, n, source| {
            hosts.learn(now, host(n), source);
            let picked = hosts.pick(now, &mut rng, NOBODY);
            hosts.forget(&host(n));
            picked
        };
        for n in 1..=NEAR_PER_MINUTE as u16 {
            assert_eq!(named(Instant::ZERO, n, HostSource::Stranger), Pick::Dial(host(n)));
        }
        let open = Instant::from_secs(60);
        for n in 1000..2000 {
            assert_eq!(named(Instant::from_secs(59), n, HostSource::Stranger), Pick::Wait(open));
        }
        assert_eq!(named(Instant::from_secs(59), 1, HostSource::Lan), Pick::Dial(host(1)), "who was there counts not");
        assert_eq!(named(open, 2, HostSource::Stranger), Pick::Dial(host(2)));
        assert!(hosts.may_dial_for_stranger(open, public(1)), "these are others");
    }

    #[test]
    fn failures_double_the_wait_and_strangers_hosts_are_given_up() {
        let (mut hosts, mut rng) = hosts(100);
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        hosts.learn(Instant::ZERO, local(1), HostSource::User);
        hosts.learn(Instant::ZERO, local(2), HostSource::Stranger);
        let mut now = Instant::ZERO;
        for (failures, least) in [(1, 15), (2, 30), (3, 60), (4, 120)] {
            hosts.failed(now, local(1), &mut rng);
            hosts.failed(now, local(2), &mut rng);
            let info = hosts.snapshot().into_iter().find(|h| h.addr == local(1)).expect("the user's host stays");
            assert_eq!(info.failures, failures);
            let only_users = |addr, _| addr != local(1);
            let Pick::Wait(at) = hosts.pick(now, &mut rng, only_users) else { panic!("it must wait") };
            let wait = (at - now).as_secs_f64();
            assert!((f64::from(least)..=f64::from(least) * 1.25).contains(&wait), "{wait} s after {failures}");
            now = at;
        }
        assert_eq!(hosts.len(), 1, "three failures are enough for a stranger's host");
        hosts.failed(now, local(1), &mut rng);
        assert!(matches!(hosts.pick(now, &mut rng, NOBODY), Pick::Wait(_)));
        hosts.learn(now, local(1), HostSource::User);
        assert_eq!(hosts.pick(now, &mut rng, NOBODY), Pick::Dial(local(1)), "named anew: dialled at once");
    }

    #[test]
    fn a_full_cache_gives_up_its_worst_host_and_no_trusted_one_for_a_stranger() {
        let (mut hosts, mut rng) = hosts(3);
        hosts.learn(Instant::ZERO, public(1), HostSource::User);
        hosts.learn(Instant::from_secs(1), public(2), HostSource::Stranger);
        hosts.learn(Instant::from_secs(2), public(3), HostSource::Stranger);
        assert!(hosts.learn(Instant::from_secs(3), public(4), HostSource::Stranger));
        let kept = |hosts: &Hosts| {
            let mut all: Vec<_> = hosts.snapshot().iter().map(|h| h.addr).collect();
            all.sort();
            all
        };
        assert_eq!(kept(&hosts), [public(1), public(3), public(4)]);
        hosts.failed(Instant::from_secs(4), public(4), &mut rng);
        assert!(hosts.learn(Instant::from_secs(5), public(5), HostSource::Peer));
        assert!(hosts.learn(Instant::from_secs(5), public(6), HostSource::Peer));
        assert_eq!(kept(&hosts), [public(1), public(5), public(6)]);
        assert!(!hosts.learn(Instant::from_secs(6), public(7), HostSource::Stranger));
        assert_eq!(kept(&hosts), [public(1), public(5), public(6)]);
    }

    #[test]
    fn only_proven_hosts_are_passed_on() {
        let (mut hosts, mut rng) = hosts(100);
        hosts.learn(Instant::ZERO, public(1), HostSource::Stranger);
        hosts.link_up(Instant::ZERO, public(2));
        hosts.link_up(Instant::ZERO, public(3));
        hosts.failed(Instant::ZERO, public(3), &mut rng);
        assert_eq!(hosts.proven(10, &mut rng, |_| true), [public(2)]);
        assert_eq!(hosts.proven(10, &mut rng, |addr| addr != public(2)), []);
    }

    #[test]
    fn who_should_have_a_slot_is_dialled_first_and_who_was_full_last() {
        let (mut hosts, mut rng) = hosts(100);
        let day = Duration::from_secs(24 * 3600);
        let now = Instant::from_secs(1000);
        for n in 1..=3 {
            hosts.learn(now, public(n), HostSource::Peer);
        }
        let kept = |n, teller, days, outcome, failures| HostInfo {
            addr: public(n),
            source: HostSource::Cache,
            teller,
            heard: Some(Moment::ago(now, day * days)),
            tried: None,
            outcome,
            failures,
            slots: None,
        };
        assert!(hosts.recall(now, &kept(4, Teller::XTry, 3, Some(Outcome::Connected), 0)));
        assert!(hosts.recall(now, &kept(5, Teller::Pong, 0, None, 2)));
        assert!(!hosts.recall(now, &kept(6, Teller::Pong, 31, Some(Outcome::Connected), 0)), "long dead");
        assert!(hosts.recall(now, &kept(7, Teller::User, 40, None, 3)), "but not the user's own");
        hosts.told_slots(now, public(1), Slots { leaves: 0, ultrapeers: 0 });
        hosts.told_slots(now, public(2), Slots { leaves: 0, ultrapeers: 3 });
        let mut order = Vec::new();
        while let Pick::Dial(addr) = hosts.pick(now, &mut rng, NOBODY) {
            order.push(addr);
            hosts.forget(&addr);
        }
        assert_eq!(order[..2], [public(2), public(3)]);
        let mut full = order[2..4].to_vec();
        full.sort();
        assert_eq!(full, [public(1), public(4)], "full, and old");
        assert_eq!(order[4..], [public(5), public(7)], "those that failed");
        hosts.learn(now, public(8), HostSource::Peer);
        hosts.told_slots(now, public(8), Slots { leaves: 0, ultrapeers: 0 });
        hosts.learn(now, public(9), HostSource::Peer);
        assert_eq!(hosts.pick(now, &mut rng, |addr, _| addr == public(9)), Pick::Dial(public(8)));
        let later = now + SLOTS_FRESH;
        hosts.tried(later, public(9), Outcome::Busy);
        assert_eq!(hosts.pick(later, &mut rng, NOBODY), Pick::Dial(public(8)), "what was told has worn off");
        let info = hosts.snapshot().into_iter().find(|host| host.addr == public(9)).expect("kept");
        assert_eq!((info.outcome, info.tried.map(|at| at.age(later))), (Some(Outcome::Busy), Some(Duration::ZERO)));
    }
}
