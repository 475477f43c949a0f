//! DNS-SD: our servent as a service of the local network, `_gnutella._tcp.local`, and others like it found there.
//!
//! A state machine over datagrams of Multicast DNS (RFC 6762) that name services (RFC 6763). It works beside the group of
//! [`super::datagrams`], for networks that pass on the one and not the other.
//!
//! **We ask** when the servent announces itself, no more often; the first two times we also tell of ourselves. **We answer**
//! after 20 to 120 ms ("delayed by a random amount", RFC 6762 section 6), to all, so that one answer serves all who ask,
//! and at most once a second on each network; who asks from another port than 5353 ("one-shot", section 5.1) is answered
//! alone. **We find** a host where its own datagram comes from, as with announcements: by IPv4 nobody names a third party. By
//! IPv6 datagrams come from link-local addresses, which say too little to be dialled from elsewhere; there the addresses in the
//! answer count, if they are on a network of ours, and the sender's own, if it is among them, when there is no other.
//!
//! Departures. Names of ours have eight digits of the GUID in them, so they are not probed for: nobody else has them. Nothing
//! is kept of what others say; a service without its port in the same datagram is not asked for it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::base::{Instant, Rng, TokenBucket};
use crate::wire::Guid;
use crate::wire::dns::{Data, Message, Name, Question, Record, kind};

use super::Role;
use super::address::{Scope, is_dialable, scope};

/// The port of Multicast DNS.
pub const PORT: u16 = 5353;
/// Answers to those who ask alone, in a second and at once.
const ANSWERS: u32 = 10;
const ANSWERS_BURST: u32 = 20;
/// Hosts that are taken in a second, and at once; services that are looked at in one datagram.
const FOUND: u32 = 1;
const FOUND_BURST: u32 = 64;
const SERVICES: usize = 8;
/// "20-120 ms".
const JITTER: (u64, usize) = (20, 100);
/// "A Multicast DNS responder MUST NOT multicast a record on a given interface until at least one second has elapsed".
const QUIET: Duration = Duration::from_secs(1);
/// How often we tell of ourselves unasked.
const TELLINGS: u32 = 2;
/// "120 seconds" for what names a host, "75 minutes" for others (RFC 6762 section 10).
const HOST_TTL: u32 = 120;
const OTHER_TTL: u32 = 4500;
/// "capped at 10 seconds" for those that are no Multicast DNS responders.
const LEGACY_TTL: u32 = 10;

/// One of our own addresses and its network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Net {
    /// The number of the interface.
    pub index: u32,
    /// Our address there.
    pub ip: IpAddr,
    /// Leading bits of it that all of that network have.
    pub prefix: u8,
}

impl Net {
    /// Whether `ip` is on that network.
    pub fn has(&self, ip: IpAddr) -> bool {
        let differ = |a: u128, b: u128, bits: u32| (a ^ b).checked_shr(bits - u32::from(self.prefix)).unwrap_or(0);
        match (self.ip, ip) {
            (IpAddr::V4(a), IpAddr::V4(b)) if self.prefix <= 32 => {
                differ(a.to_bits().into(), b.to_bits().into(), 32) == 0
            }
            (IpAddr::V6(a), IpAddr::V6(b)) if self.prefix <= 128 => differ(a.to_bits(), b.to_bits(), 128) == 0,
            _ => false,
        }
    }
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Send it to all on that interface.
    Multicast {
        /// The number of the interface.
        index: u32,
        /// The datagram.
        bytes: Vec<u8>,
    },
    /// Send it to one.
    Unicast {
        /// Whom.
        to: SocketAddr,
        /// The datagram.
        bytes: Vec<u8>,
    },
    /// A servent listens there.
    Found(SocketAddr),
}

/// What is told of us.
#[derive(Clone, Debug)]
pub struct Service {
    /// The name of this machine, for people.
    pub machine: String,
    /// Where we listen.
    pub port: u16,
    /// Our GUID: its first eight digits are told.
    pub servent: Guid,
    /// Our version.
    pub version: &'static str,
    /// What we are.
    pub role: Role,
    /// We are told of: else we only look for others.
    pub visible: bool,
}

/// The machine.
#[derive(Debug)]
pub struct DnsSd {
    us: Service,
    digits: String,
    service: Name,
    services: Name,
    instance: Name,
    host: Name,
    /// When to answer on an interface.
    pending: BTreeMap<u32, Instant>,
    /// Not before then again.
    quiet: BTreeMap<u32, Instant>,
    answers: TokenBucket,
    found: TokenBucket,
    told: u32,
    heard_ourselves: bool,
    rng: Rng,
}

impl DnsSd {
    /// A machine that tells of `us`.
    pub fn new(us: Service, now: Instant, rng: Rng) -> Self {
        let mut digits = us.servent.to_string();
        digits.truncate(8);
        let mut machine = us.machine.clone();
        machine.truncate(machine.floor_char_boundary(48));
        let instance = format!("{machine} {digits}");
        let host = format!("filbert-{digits}");
        Self {
            service: Name::new(["_gnutella", "_tcp", "local"]),
            services: Name::new(["_services", "_dns-sd", "_udp", "local"]),
            instance: Name::new([instance.trim(), "_gnutella", "_tcp", "local"]),
            host: Name::new([host.as_str(), "local"]),
            us,
            digits,
            pending: BTreeMap::new(),
            quiet: BTreeMap::new(),
            answers: TokenBucket::new(ANSWERS, ANSWERS_BURST, now),
            found: TokenBucket::new(FOUND, FOUND_BURST, now),
            told: 0,
            heard_ourselves: false,
            rng,
        }
    }

    /// From now on we are that.
    pub fn set_role(&mut self, role: Role) {
        self.us.role = role;
    }

    /// Whether something of ours came back from the network: then it passes Multicast DNS on to us.
    pub fn heard_ourselves(&self) -> bool {
        self.heard_ourselves
    }

    /// Asks who is there, on all our networks.
    pub fn ask(&mut self, now: Instant, nets: &[Net], acts: &mut Vec<Act>) {
        let question = Question { name: self.service.clone(), kind: kind::PTR, unicast: false };
        let query = Message { questions: vec![question], ..Message::default() }.encode();
        let tell = self.us.visible && self.told < TELLINGS;
        for index in indexes(nets) {
            acts.push(Act::Multicast { index, bytes: query.clone() });
            if tell {
                self.quiet.insert(index, now + QUIET);
                let bytes = self.telling(index, nets, OTHER_TTL).encode();
                acts.push(Act::Multicast { index, bytes });
            }
        }
        self.told += u32::from(tell);
    }

    /// We go: what was told of us is taken back.
    pub fn farewell(&self, nets: &[Net], acts: &mut Vec<Act>) {
        if self.us.visible {
            for index in indexes(nets) {
                acts.push(Act::Multicast { index, bytes: self.telling(index, nets, 0).encode() });
            }
        }
    }

    /// When to call [`Self::handle_timeout`].
    pub fn next_timeout(&self) -> Option<Instant> {
        self.pending.values().min().copied()
    }

    /// Answers whose moment has come go out.
    pub fn handle_timeout(&mut self, now: Instant, nets: &[Net], acts: &mut Vec<Act>) {
        let due: Vec<u32> = self.pending.iter().filter(|(_, at)| **at <= now).map(|(&index, _)| index).collect();
        self.quiet.retain(|_, until| *until > now);
        for index in due {
            self.pending.remove(&index);
            self.quiet.insert(index, now + QUIET);
            acts.push(Act::Multicast { index, bytes: self.telling(index, nets, OTHER_TTL).encode() });
        }
    }

    /// A datagram came to port 5353. Who is on no network of ours is not heard (RFC 6762 section 11).
    pub fn handle(&mut self, now: Instant, from: SocketAddr, bytes: &[u8], nets: &[Net], acts: &mut Vec<Act>) {
        let scope_id = if let SocketAddr::V6(from) = from { from.scope_id() } else { 0 };
        let here = |net: &&Net| net.has(from.ip()) && (scope_id == 0 || scope_id == net.index);
        let Some(index) = nets.iter().find(here).map(|net| net.index) else { return };
        let Ok(message) = Message::decode(bytes) else { return };
        let ours = from.port() == PORT && nets.iter().any(|net| net.ip == from.ip());
        if message.response {
            self.on_response(now, from, &message, nets, acts);
        } else {
            // Whoever on this machine asked it: it went out and came back.
            self.heard_ourselves |= ours && message.questions.iter().any(|question| question.name == self.service);
            self.on_query(now, from, index, &message, nets, acts);
        }
    }

    fn on_query(
        &mut self,
        now: Instant,
        from: SocketAddr,
        index: u32,
        query: &Message,
        nets: &[Net],
        acts: &mut Vec<Act>,
    ) {
        let concerns = |question: &Question| {
            let Question { name, kind, .. } = question;
            let kinds: &[u16] = match () {
                () if *name == self.service || *name == self.services => &[kind::PTR],
                () if *name == self.instance => &[kind::SRV, kind::TXT],
                () if *name == self.host => &[kind::A, kind::AAAA],
                () => &[],
            };
            kinds.contains(kind) || (*kind == kind::ANY && !kinds.is_empty())
        };
        if !self.us.visible || !query.questions.iter().any(concerns) {
            return;
        }
        if from.port() != PORT {
            if self.answers.take(1, now) {
                let bytes = self.answer_alone(index, nets, query).encode();
                acts.push(Act::Unicast { to: from, bytes });
            }
            return;
        }
        let only_us = query.questions.iter().all(|question| question.name == self.service);
        let knows = |record: &Record| {
            record.ttl >= OTHER_TTL / 2 && matches!(&record.data, Data::Ptr(name) if *name == self.instance)
        };
        if only_us && query.answers.iter().any(knows) {
            return;
        }
        let (least, more) = JITTER;
        let at = now + Duration::from_millis(least + self.rng.below(more + 1) as u64);
        let at = self.quiet.get(&index).map_or(at, |&until| at.max(until));
        self.pending.entry(index).or_insert(at);
    }

    fn on_response(&mut self, now: Instant, from: SocketAddr, told: &Message, nets: &[Net], acts: &mut Vec<Act>) {
        let all = || told.answers.iter().chain(&told.more);
        let named = all().filter_map(|record| match &record.data {
            Data::Ptr(name) if record.name == self.service && record.ttl > 0 => Some(name),
            _ => None,
        });
        for instance in named.take(SERVICES) {
            if *instance == self.instance {
                self.heard_ourselves |= nets.iter().any(|net| net.ip == from.ip());
                continue;
            }
            let srv = all().find_map(|record| match &record.data {
                Data::Srv { port, host } if record.name == *instance => Some((*port, host)),
                _ => None,
            });
            let Some((port, host)) = srv else { continue };
            let on_net = |ip: IpAddr| {
                let link_local = matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
                !link_local && nets.iter().any(|net| net.has(ip))
            };
            let ip = match from.ip() {
                ip @ IpAddr::V4(_) => Some(ip),
                IpAddr::V6(_) => {
                    let ips = all().filter(|record| record.name == *host).filter_map(|record| match record.data {
                        Data::A(ip) => Some(IpAddr::V4(ip)),
                        Data::Aaaa(ip) => Some(IpAddr::V6(ip)),
                        _ => None,
                    });
                    ips.clone().find(|ip| on_net(*ip)).or_else(|| ips.clone().find(|ip| *ip == from.ip()))
                }
            };
            let Some(addr) = ip.map(|ip| SocketAddr::new(ip, port)) else { continue };
            let us = port == self.us.port && nets.iter().any(|net| net.ip == addr.ip());
            if !us && is_dialable(addr) && scope(addr.ip()) == Scope::Site && self.found.take(1, now) {
                acts.push(Act::Found(addr));
            }
        }
    }

    /// All that is told of us on an interface; `ttl` 0 takes it back.
    fn telling(&self, index: u32, nets: &[Net], ttl: u32) -> Message {
        let more = self.records(index, nets, ttl.min(HOST_TTL), ttl, true);
        Message { response: true, answers: self.pointers(ttl), more, ..Message::default() }
    }

    /// The answer to one who is no responder itself: with its question, its number, and no flags that it does not know.
    fn answer_alone(&self, index: u32, nets: &[Net], query: &Message) -> Message {
        let records = self.records(index, nets, LEGACY_TTL, LEGACY_TTL, false);
        let wants_pointer = query.questions.iter().any(|q| q.name == self.service || q.name == self.services);
        let (answers, more) = if wants_pointer { (self.pointers(LEGACY_TTL), records) } else { (records, Vec::new()) };
        let questions = query.questions.iter().take(SERVICES).cloned();
        let questions = questions.map(|question| Question { unicast: false, ..question }).collect();
        Message { id: query.id, response: true, questions, answers, more }
    }

    fn pointers(&self, ttl: u32) -> Vec<Record> {
        let pointer = |name: &Name, to: &Name| {
            let (name, data) = (name.clone(), Data::Ptr(to.clone()));
            Record { name, ttl, flush: false, data }
        };
        let mut pointers = vec![pointer(&self.service, &self.instance)];
        // Others may offer that service too: it is not ours to take back.
        if ttl > 0 {
            pointers.push(pointer(&self.services, &self.service));
        }
        pointers
    }

    /// All but the pointers: they are told together always.
    fn records(&self, index: u32, nets: &[Net], host_ttl: u32, ttl: u32, flush: bool) -> Vec<Record> {
        let record = |name: &Name, ttl, data| Record { name: name.clone(), ttl, flush, data };
        let role = match self.us.role {
            Role::Ultrapeer => "ultrapeer",
            Role::Leaf => "leaf",
        };
        let texts = [
            "txtvers=1".to_owned(),
            format!("version={}", self.us.version),
            format!("role={role}"),
            format!("guid={}", self.digits),
        ];
        let texts = texts.into_iter().map(String::into_bytes).collect();
        let mut records = vec![
            record(&self.instance, host_ttl, Data::Srv { port: self.us.port, host: self.host.clone() }),
            record(&self.instance, ttl, Data::Txt(texts)),
        ];
        records.extend(nets.iter().filter(|net| net.index == index).map(|net| {
            let data = match net.ip {
                IpAddr::V4(ip) => Data::A(ip),
                IpAddr::V6(ip) => Data::Aaaa(ip),
            };
            record(&self.host, host_ttl, data)
        }));
        records
    }
}

/// The interfaces, each once.
fn indexes(nets: &[Net]) -> BTreeSet<u32> {
    nets.iter().map(|net| net.index).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nets() -> Vec<Net> {
        let net = |index, ip: &str, prefix| Net { index, ip: ip.parse().expect(ip), prefix };
        vec![net(2, "10.0.0.1", 24), net(2, "fe80::1", 64), net(2, "fd00::1", 64), net(3, "192.168.9.1", 16)]
    }

    fn machine(servent: u8, visible: bool) -> DnsSd {
        let us = Service {
            machine: "desk".to_owned(),
            port: 6346,
            servent: Guid([servent; 16]),
            version: "0.1.0",
            role: Role::Ultrapeer,
            visible,
        };
        DnsSd::new(us, Instant::ZERO, Rng::from_number(1))
    }

    fn addr(text: &str) -> SocketAddr {
        text.parse().expect(text)
    }

    fn hears(machine: &mut DnsSd, from: &str, bytes: &[u8]) -> Vec<Act> {
        let mut acts = Vec::new();
        machine.handle(Instant::from_secs(10), addr(from), bytes, &nets(), &mut acts);
        acts
    }

    fn query() -> Vec<u8> {
        let mut acts = Vec::new();
        machine(9, false).ask(Instant::ZERO, &nets(), &mut acts);
        let Act::Multicast { index: 2, bytes } = acts.remove(0) else { panic!("{acts:?}") };
        bytes
    }

    /// What another says of itself unasked, as it goes out by our interface 2.
    fn telling(servent: u8) -> Vec<u8> {
        machine(servent, true).telling(2, &nets(), OTHER_TTL).encode()
    }

    #[test]
    fn two_machines_find_each_other_by_one_question() {
        let (mut ours, mut acts) = (machine(1, true), Vec::new());
        assert_eq!(hears(&mut ours, "10.0.0.7:5353", &query()), []);
        let due = ours.next_timeout().expect("an answer is due");
        let wait = due - Instant::from_secs(10);
        assert!((20..=120).contains(&wait.as_millis()), "{wait:?}");
        ours.handle_timeout(due, &nets(), &mut acts);
        let [Act::Multicast { index: 2, bytes }] = &acts[..] else { panic!("{acts:?}") };
        assert_eq!(ours.next_timeout(), None, "nothing wakes us while nobody asks");
        let mut other = machine(2, false);
        assert_eq!(hears(&mut other, "10.0.0.3:5353", bytes), [Act::Found(addr("10.0.0.3:6346"))]);
    }

    #[test]
    fn what_is_told_is_all_that_it_takes() {
        let message = Message::decode(&telling(0xab)).expect("a message");
        let told = format!("{:?} {:?}", message.answers, message.more);
        for part in [
            "_gnutella._tcp.local.",
            "desk abababab._gnutella",
            "port: 6346, host: filbert-abababab.local.",
            "10.0.0.1",
            "fd00::1",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
        let texts = message.more.iter().find_map(|record| match &record.data {
            Data::Txt(texts) => Some(texts.iter().map(|text| String::from_utf8_lossy(text)).collect::<Vec<_>>()),
            _ => None,
        });
        assert_eq!(texts.expect("TXT"), ["txtvers=1", "version=0.1.0", "role=ultrapeer", "guid=abababab"]);
        assert!(!told.contains("192.168.9.1"), "the address on another network says nothing here");
    }

    #[test]
    fn who_is_found_is_who_speaks_and_on_a_network_of_ours() {
        let srv_elsewhere = |ip: &str, port| {
            let name = Name::new(["x", "_gnutella", "_tcp", "local"]);
            let host = Name::new(["h", "local"]);
            let record = |name: &Name, data| Record { name: name.clone(), ttl: 120, flush: false, data };
            let ip = match ip.parse().expect(ip) {
                IpAddr::V4(ip) => Data::A(ip),
                IpAddr::V6(ip) => Data::Aaaa(ip),
            };
            let more = vec![record(&name, Data::Srv { port, host: host.clone() }), record(&host, ip)];
            let service = Name::new(["_gnutella", "_tcp", "local"]);
            let answers = vec![record(&service, Data::Ptr(name))];
            Message { response: true, answers, more, ..Message::default() }.encode()
        };
        let rows = [
            ("10.0.0.7:5353", "10.0.0.7", 6346, Some("10.0.0.7:6346")),
            // Whatever address it names, it is where it speaks from.
            ("10.0.0.7:5353", "10.0.0.66", 25, Some("10.0.0.7:25")),
            ("192.168.200.7:5353", "8.8.8.8", 7000, Some("192.168.200.7:7000")),
            ("10.0.1.7:5353", "10.0.0.7", 6346, None),
            ("8.8.8.8:5353", "8.8.8.8", 6346, None),
            ("10.0.0.7:5353", "10.0.0.7", 0, None),
            ("10.0.0.1:5353", "10.0.0.1", 6346, None),
            ("10.0.0.1:5353", "10.0.0.1", 7000, Some("10.0.0.1:7000")),
            ("[fe80::7%2]:5353", "fd00::7", 6346, Some("[fd00::7]:6346")),
            ("[fe80::7%2]:5353", "10.0.0.7", 6346, Some("10.0.0.7:6346")),
            ("[fe80::7%2]:5353", "fe80::7", 6346, Some("[fe80::7]:6346")),
            ("[fe80::7%2]:5353", "fe80::8", 6346, None),
            ("[fe80::7%2]:5353", "10.0.5.7", 6346, None),
            ("[fe80::7%3]:5353", "fd00::7", 6346, None),
        ];
        for (from, ip, port, found) in rows {
            let want: Vec<Act> = found.map(|found| Act::Found(addr(found))).into_iter().collect();
            assert_eq!(hears(&mut machine(1, true), from, &srv_elsewhere(ip, port)), want, "{from} says {ip}:{port}");
        }
        assert_eq!(hears(&mut machine(1, true), "10.0.0.7:5353", &telling(1)), [], "ourselves, however it came");
    }

    #[test]
    fn no_more_hosts_are_taken_than_stated_and_no_more_answers_given() {
        let mut ours = machine(1, true);
        let found = (0..300).flat_map(|_| hears(&mut ours, "10.0.0.7:5353", &telling(2))).count();
        assert_eq!(found, FOUND_BURST as usize);
        let alone = (0..300).flat_map(|_| hears(&mut ours, "10.0.0.7:40000", &query())).count();
        assert_eq!(alone, ANSWERS_BURST as usize);
        let (mut acts, mut now) = (Vec::new(), Instant::from_secs(10));
        for _ in 0..1000 {
            ours.handle(now, addr("10.0.0.7:5353"), &query(), &nets(), &mut acts);
            ours.handle(now, addr("192.168.3.3:5353"), &query(), &nets(), &mut acts);
            ours.handle_timeout(now, &nets(), &mut acts);
            now += Duration::from_millis(10);
        }
        assert!((18..=20).contains(&acts.len()), "ten seconds, two networks: {}", acts.len());
        assert_eq!(hears(&mut machine(1, false), "10.0.0.7:40000", &query()), [], "who only looks is not seen");
        assert_eq!(hears(&mut ours, "10.0.7.7:40000", &query()), [], "no network of ours");
    }

    #[test]
    fn who_asks_alone_gets_its_question_and_number_back() {
        let question = Question { name: machine(1, true).instance, kind: kind::ANY, unicast: true };
        let query = Message { id: 77, questions: vec![question], ..Message::default() };
        let acts = hears(&mut machine(1, true), "10.0.0.7:40000", &query.encode());
        let [Act::Unicast { to, bytes }] = &acts[..] else { panic!("{acts:?}") };
        let answer = Message::decode(bytes).expect("a message");
        assert_eq!((to, answer.id, answer.questions.len()), (&addr("10.0.0.7:40000"), 77, 1));
        assert!(answer.answers.iter().all(|record| record.ttl == LEGACY_TTL && !record.flush));
        assert!(answer.answers.iter().any(|record| record.kind() == kind::SRV));
    }

    #[test]
    fn who_knows_us_already_is_not_told_again() {
        let mut ours = machine(1, true);
        let mut query = Message::decode(&query()).expect("a query");
        query.answers = ours.pointers(OTHER_TTL);
        hears(&mut ours, "10.0.0.7:5353", &query.encode());
        assert_eq!(ours.next_timeout(), None);
        query.answers = ours.pointers(OTHER_TTL / 3);
        hears(&mut ours, "10.0.0.7:5353", &query.encode());
        assert!(ours.next_timeout().is_some(), "that is about to be forgotten");
    }

    #[test]
    fn our_own_voice_is_a_good_sign_and_a_farewell_is_no_host() {
        let mut ours = machine(1, true);
        hears(&mut ours, "10.0.0.7:5353", &query());
        assert!(!ours.heard_ourselves());
        assert_eq!(hears(&mut ours, "10.0.0.1:5353", &query()), []);
        assert!(ours.heard_ourselves());
        let mut acts = Vec::new();
        machine(2, true).farewell(&nets(), &mut acts);
        for act in acts {
            let Act::Multicast { bytes, .. } = act else { panic!("{act:?}") };
            assert_eq!(hears(&mut ours, "10.0.0.7:5353", &bytes), []);
        }
    }
}
