//! Operations on one servent, sense and nonsense: the driver's part is played by the bytes. After each of them
//! what a driver, a peer and a third party rely on is held against a model that knows only what was said.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use filbert::base::{Instant, Rng};
use filbert::proto::*;
use filbert::wire::addr::{canonical, is_public, subnet};
use filbert::wire::handshake::{HEAD_LIMIT, Head};
use filbert::wire::head::{Headers, RawHead};
use filbert::wire::hit::{Entry, Qhd, QueryHit};
use filbert::wire::pong::Pong;
use filbert::wire::push::Push;
use filbert::wire::qrp::RouteTableUpdate;
use filbert::wire::qrt::Draft;
use filbert::wire::query::Query;
use filbert::wire::vendor::{Vendor, Which};
use filbert::wire::{Frame, Frames, Guid, Header, Kind, Message};

use super::choices::Choices;

/// Virtual time that one story may last.
/// Who is so late was asleep itself.
const OVERSLEPT: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(6 * 3600);
/// So many outputs answer one input at most.
const OUTPUTS_PER_INPUT: usize = 400;
const US: Guid = Guid([7; 16]);

/// Bytes as a story: the settings, then one operation after the other.
pub fn servent(data: &[u8]) {
    let mut choices = Choices::new(data);
    let mut world = World::new(&mut choices);
    while !choices.is_over() && world.now.since(Instant::ZERO) < LONGEST {
        world.act(&mut choices);
    }
    world.shut_down();
}

/// How far a connection is, as the driver sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Dialling,
    Offered,
    Answered,
    Agreed,
    Linked,
    Gone,
}

#[derive(Debug)]
struct Conn {
    stage: Stage,
    /// Where it was dialled, or from where it came.
    remote: SocketAddr,
    room: usize,
    capacity: usize,
    heard: Instant,
    spoke: Instant,
}

struct World {
    servent: Servent,
    /// Gets the same and must say the same.
    twin: Option<Servent>,
    now: Instant,
    /// Whether duplicates are remembered as long as the settings say, or the table is too small for that.
    remembers: bool,
    conns: BTreeMap<ConnId, Conn>,
    /// In the order in which they came to be.
    order: Vec<ConnId>,
    accepted: u64,
    /// Who sent the query, ping of that name.
    askers: BTreeSet<(Kind, Guid, ConnId)>,
    /// GUIDs that the servent has made, the latest last.
    made: VecDeque<Guid>,
    /// When each query was last taken for new.
    queried: BTreeMap<Guid, Instant>,
    searches: BTreeSet<SearchId>,
    /// Hosts that the user named to be linked to.
    listed: BTreeSet<SocketAddr>,
    /// Hosts that somebody else than strangers named, or that answered as servents do.
    trusted: BTreeSet<SocketAddr>,
    /// Addresses from which somebody dialled us.
    callers: BTreeSet<std::net::IpAddr>,
    /// Bytes that came by UDP from an address, and that went there.
    datagrams: BTreeMap<std::net::IpAddr, (usize, usize)>,
    /// Pings by UDP, and who answered one with its GUID.
    pinged: BTreeSet<(SocketAddr, Guid)>,
    there: BTreeSet<SocketAddr>,
    /// Host caches that we were told to ask.
    caches: BTreeSet<SocketAddr>,
    /// Dials to hosts that only strangers named, pushes too.
    strange: Vec<(Instant, SocketAddr)>,
    most_peers: usize,
    sent: u64,
    frames_in: u64,
    out: Vec<Output>,
}

/// What was done last: outputs are looked at in its light.
enum Cause {
    Frames(ConnId, Vec<Frame>),
    Dialled(ConnId),
    Connect(ConnId),
    Other,
}

impl World {
    fn new(choices: &mut Choices<'_>) -> Self {
        let (bits, seed) = (choices.byte(), choices.byte());
        let mut config = Config::new(US);
        config.neighbours = choices.below(10);
        config.only_listed = bits & 2 != 0;
        config.lan = bits & 128 != 0;
        let tiny = bits & 4 != 0;
        if tiny {
            config.accept = Some(6);
            config.limits.queue_bytes = 500;
            config.limits.handshakes = 5;
            config.limits.hosts = 6;
            config.limits.searches = 2;
            config.limits.seen = 4;
            config.limits.seen_max = 8;
            config.limits.routes = 4;
            config.limits.hit_entries = 3;
            config.limits.queries = Rate { per_second: 2, burst: 3 };
        }
        if bits & 8 != 0 {
            config.limits.stranger_dials_per_minute = choices.below(4);
            config.limits.stranger_dials_per_host_hour = choices.below(3);
        }
        config.role = [RoleChoice::Auto, RoleChoice::Leaf][usize::from(bits & 16 != 0)];
        config.leaves = if bits & 32 != 0 { 2 } else { 300 };
        let new = || Servent::new(config.clone(), Rng::from_number(seed.into()), Instant::ZERO);
        Self {
            servent: new(),
            twin: (bits & 1 != 0).then(new),
            now: Instant::ZERO,
            remembers: !tiny,
            conns: BTreeMap::new(),
            order: Vec::new(),
            accepted: 0,
            askers: BTreeSet::new(),
            made: VecDeque::new(),
            queried: BTreeMap::new(),
            searches: BTreeSet::new(),
            listed: BTreeSet::new(),
            trusted: BTreeSet::new(),
            datagrams: BTreeMap::new(),
            pinged: BTreeSet::new(),
            there: BTreeSet::new(),
            caches: BTreeSet::new(),
            callers: BTreeSet::new(),
            strange: Vec::new(),
            most_peers: config.accept_limit(),
            sent: 0,
            frames_in: 0,
            out: Vec::new(),
        }
    }

    fn act(&mut self, choices: &mut Choices<'_>) {
        match choices.byte() % 32 {
            0 => self.with_conn(choices, |conn| Input::Dialled { conn }),
            1 => {
                let reason = choices.of(&[DialFailure::Refused, DialFailure::TimedOut, DialFailure::Unreachable]);
                self.with_conn(choices, |conn| Input::DialFailed { conn, reason });
            }
            2 => {
                self.call(choices);
            }
            3 => {
                let Some(conn) = self.conn(choices) else { return };
                let head = if choices.flag() { connect(choices) } else { status(choices) };
                let from = choices.host();
                self.handle(Input::Handshake { conn, from, head });
            }
            4 => {
                let room = room(choices);
                // Now and then it is encrypted, perhaps more than once, perhaps too late.
                if room % 3 == 1 {
                    for conn in self.in_stage(Stage::Agreed) {
                        self.handle(Input::Secured { conn, key: [7; 32] });
                    }
                }
                self.with_conn(choices, |conn| Input::Connected { conn, room });
            }
            5 => {
                let Some(conn) = self.conn(choices) else { return };
                let batch = (0..1 + choices.below(4)).map(|_| self.frame(choices)).collect::<Frames>();
                self.handle(Input::Frames { conn, batch });
            }
            6..=14 => {
                let Some(conn) = self.linked(choices) else { return };
                let batch = self.frame(choices).into();
                self.handle(Input::Frames { conn, batch });
            }
            15 => {
                let bytes = room(choices);
                self.with_conn(choices, |conn| Input::Room { conn, bytes });
            }
            16 => {
                let reason = choices.of(&[0_u8, 1, 2]);
                self.with_conn(choices, |conn| Input::Disconnected {
                    conn,
                    reason: match reason {
                        0 => CloseReason::Broken,
                        1 => CloseReason::Closed,
                        _ => CloseReason::Garbage("noise".to_owned()),
                    },
                });
                if reason == 2 {
                    self.with_conn(choices, |conn| Input::Garbled { conn, what: "noise".to_owned() });
                }
            }
            17 => {
                let (from, frame) = (choices.host(), self.frame(choices));
                if choices.flag() {
                    self.handle(Input::Reached { from: from.ip() });
                }
                if choices.flag() {
                    let at = choices.host().ip();
                    self.handle(Input::Announced { from, at, frame: frame.clone() });
                }
                self.handle(Input::Datagram { from, frame });
            }
            18..=21 => {
                let command = self.command(choices);
                self.handle(Input::Command(command));
            }
            22..=23 => self.sleep(choices),
            24..=26 => {
                // A whole handshake of a caller's, if the servent lets it.
                let conn = self.call(choices);
                let from = self.conns[&conn].remote;
                let head = Head::Status { code: 200, reason: "OK".into(), headers: Headers::default() };
                self.handle(Input::Handshake { conn, from, head });
                self.handle(Input::Connected { conn, room: room(choices) });
            }
            27..=29 => self.reach(choices),
            // Everybody says something, or nobody would live long.
            30 => {
                for conn in self.in_stage(Stage::Linked) {
                    let guid = Guid([choices.byte(); 16]);
                    let batch = Frame::new(guid, Kind::Ping, choices.byte() % 4, Bytes::new()).into();
                    self.handle(Input::Frames { conn, batch });
                }
            }
            _ => {
                for conn in self.in_stage(Stage::Linked) {
                    self.handle(Input::Room { conn, bytes: 100_000 });
                }
            }
        }
    }

    /// Somebody dials us.
    fn call(&mut self, choices: &mut Choices<'_>) -> ConnId {
        self.accepted += 1;
        let conn = ConnId::accepted(self.accepted);
        let (from, head) = (choices.host(), connect(choices));
        self.open(conn, Stage::Gone, from);
        self.handle(Input::Handshake { conn, from, head });
        conn
    }

    /// A dial of the servent's gets through as far as the servent lets it.
    fn reach(&mut self, choices: &mut Choices<'_>) {
        let dialling = self.in_stage(Stage::Dialling);
        if dialling.is_empty() {
            return;
        }
        let conn = choices.of(&dialling);
        self.handle(Input::Dialled { conn });
        let from = self.conns[&conn].remote;
        let mut head = status(choices);
        if let (Head::Status { code, .. }, true) = (&mut head, choices.flag()) {
            *code = 200;
        }
        self.handle(Input::Handshake { conn, from, head });
        self.handle(Input::Connected { conn, room: room(choices) });
    }

    fn sleep(&mut self, choices: &mut Choices<'_>) {
        let unit = choices.of(&[1_u64, 10, 100, 1000, 1000, 5000, 60_000, 600_000]);
        let millis = unit * u64::from(choices.byte() % 8);
        let until = self.now + Duration::from_millis(millis);
        if choices.byte() > 200 {
            // A driver that is late: once, and for all that was due.
            let slept = self.servent.next_timeout().map_or(Duration::ZERO, |due| until.since(due));
            self.now = until;
            if slept >= OVERSLEPT {
                // Nobody could be heard meanwhile.
                self.conns.values_mut().for_each(|conn| conn.heard = (conn.heard + slept).min(until));
            }
            return self.wake();
        }
        let mut wakes = 0;
        while let Some(at) = self.servent.next_timeout().filter(|&at| at <= until) {
            self.now = self.now.max(at);
            self.wake();
            wakes += 1;
            assert!(wakes <= 100 + millis / 100, "{wakes} wake-ups in {millis} ms");
        }
        self.now = until;
    }

    fn wake(&mut self) {
        let now = self.now;
        self.servent.handle_timeout(now, &mut self.out);
        assert!(self.servent.next_timeout().is_none_or(|next| next > now), "it spins");
        if let Some(twin) = &mut self.twin {
            let mut out = Vec::new();
            twin.handle_timeout(now, &mut out);
            assert_eq!(out, self.out, "the same inputs, other outputs");
        }
        self.observe(&Cause::Other);
        // The links of leaves are quieter.
        let dead_after = self.servent.config().dead_after + self.servent.config().keep_alive_leaf;
        for (id, conn) in self.conns.iter().filter(|(_, conn)| conn.stage == Stage::Linked) {
            assert!(now.since(conn.heard) < dead_after, "{id:?} is silent since {:?}", conn.heard);
        }
        let leaf = self.servent.role() == Role::Leaf;
        for peer in self.servent.peers() {
            let config = self.servent.config();
            let of_leaf = leaf || peer.role == Role::Leaf;
            let keep_alive = if of_leaf { config.keep_alive_leaf } else { config.keep_alive };
            let spoke = self.conns[&peer.conn].spoke;
            assert!(peer.queued > 0 || now.since(spoke) < keep_alive, "{peer:?} heard from us at {spoke:?}");
        }
    }

    /// Feeds the servent and looks at what it does.
    fn handle(&mut self, input: Input) {
        let now = self.now;
        let cause = self.note(&input);
        self.servent.handle(now, input.clone(), &mut self.out);
        if let Some(twin) = &mut self.twin {
            let mut out = Vec::new();
            twin.handle(now, input, &mut out);
            assert_eq!(out, self.out, "the same inputs, other outputs");
        }
        self.observe(&cause);
    }

    /// What an input changes by itself.
    fn note(&mut self, input: &Input) -> Cause {
        match input {
            Input::Dialled { conn } => return Cause::Dialled(*conn),
            Input::DialFailed { conn, .. } => {
                if let Some(conn) = self.conns.get_mut(conn)
                    && conn.stage != Stage::Linked
                {
                    conn.stage = Stage::Gone;
                }
            }
            Input::Handshake { conn, from, head } => {
                self.callers.insert(canonical(*from).ip());
                if matches!(head, Head::Connect { .. }) {
                    return Cause::Connect(*conn);
                }
                let Some(known) = self.conns.get_mut(conn) else { return Cause::Other };
                if known.stage == Stage::Offered {
                    // Whoever told of it, it is a servent.
                    self.trusted.insert(known.remote);
                }
                if known.stage == Stage::Answered
                    && let Head::Status { code: 200..300, .. } = head
                {
                    known.stage = Stage::Agreed;
                }
            }
            Input::Secured { .. } | Input::Garbled { .. } => {}
            Input::Connected { conn, room } => {
                let now = self.now;
                if let Some(conn) = self.conns.get_mut(conn)
                    && conn.stage != Stage::Linked
                {
                    (conn.room, conn.capacity, conn.heard, conn.spoke) = (*room, *room, now, now);
                }
            }
            Input::Frames { conn, batch } => {
                if let Some(known) = self.conns.get_mut(conn).filter(|conn| conn.stage == Stage::Linked) {
                    known.heard = self.now;
                    // A Bye is the last word.
                    let heard = batch.iter().position(|frame| frame.header.kind == Kind::Bye);
                    self.frames_in += heard.map_or(batch.len(), |bye| bye + 1) as u64;
                    for frame in batch.iter() {
                        // What asks for datagrams counts as if it had come from where they go.
                        let to = match frame.header.kind {
                            Kind::Vendor => known.remote.ip(),
                            Kind::Query => match Query::decode(&Bytes::copy_from_slice(frame.payload)) {
                                Ok(query) => query.asker(frame.header.guid).ip(),
                                Err(_) => continue,
                            },
                            _ => continue,
                        };
                        self.datagrams.entry(subnet(to)).or_default().0 += frame.wire_len();
                    }
                    self.askers.extend(batch.iter().map(|frame| (frame.header.kind, frame.header.guid, *conn)));
                }
                return Cause::Frames(*conn, batch.iter().map(|frame| frame.to_frame()).collect());
            }
            Input::Reached { .. } => {}
            Input::Datagram { from, frame } | Input::Announced { from, frame, .. } => {
                self.datagrams.entry(subnet(from.ip())).or_default().0 += frame.wire_len();
                let from = canonical(*from);
                if frame.header.kind == Kind::Pong && self.pinged.contains(&(from, frame.header.guid)) {
                    self.there.insert(from);
                }
                return Cause::Other;
            }
            Input::Room { conn, bytes } => {
                if let Some(conn) = self.conns.get_mut(conn) {
                    conn.room = *bytes;
                    conn.capacity = conn.capacity.max(*bytes);
                }
            }
            Input::Disconnected { conn, .. } => {
                if let Some(known) = self.conns.get_mut(conn) {
                    known.stage = Stage::Gone;
                }
            }
            Input::Command(command) => match command {
                Command::Connect(addr) => {
                    self.listed.insert(canonical(*addr));
                    self.trusted.insert(canonical(*addr));
                }
                Command::AddHosts(hosts) => {
                    let named = hosts.iter().filter(|(_, source)| *source != HostSource::Stranger);
                    self.trusted.extend(named.map(|(addr, _)| canonical(*addr)));
                }
                Command::AskCaches(caches) => self.caches.extend(caches.iter().copied().map(canonical)),
                Command::EndSearch(id) => {
                    self.searches.remove(id);
                }
                Command::Search { id, .. } => {
                    self.searches.insert(*id);
                }
                _ => {}
            },
        }
        Cause::Other
    }

    /// Looks at each output in turn, and at the servent after all of them.
    fn observe(&mut self, cause: &Cause) {
        let out = std::mem::take(&mut self.out);
        assert!(out.len() <= OUTPUTS_PER_INPUT, "{} outputs at once", out.len());
        for output in &out {
            match output {
                Output::Dial { conn, addr, purpose } => self.on_dial(*conn, *addr, *purpose),
                Output::Handshake { conn, verdict, head } => self.on_handshake(*conn, *verdict, head, cause),
                Output::Send { to, frame } => self.on_send(to, frame, cause),
                Output::SendTo { addr, frame } => {
                    whole(frame);
                    if self.caches.contains(addr) && frame.header.kind == Kind::Ping {
                        continue;
                    }
                    if frame.header.kind == Kind::QueryHit {
                        assert!(self.there.contains(addr), "{addr} gets hits and never showed that it is there");
                        continue;
                    }
                    if frame.header.kind == Kind::Ping {
                        self.pinged.insert((*addr, frame.header.guid));
                    }
                    let (received, sent) = self.datagrams.get_mut(&subnet(addr.ip())).expect("it spoke first");
                    *sent += frame.wire_len();
                    assert!(*sent <= 3 * *received, "{addr} sent {received} bytes and gets {sent}");
                }
                Output::Announce(frame) => whole(frame),
                Output::Close { conn, .. } => {
                    let known = self.conns.get_mut(conn).expect("a connection that the driver knows");
                    assert_ne!(known.stage, Stage::Gone, "{conn:?} is closed twice");
                    known.stage = Stage::Gone;
                }
                Output::Event(event) => self.on_event(event, cause),
            }
        }
        self.check();
        self.out = out;
        self.out.clear();
    }

    fn on_dial(&mut self, conn: ConnId, addr: SocketAddr, purpose: Purpose) {
        assert_eq!(conn.direction(), Direction::Out);
        assert!(!self.conns.contains_key(&conn), "{conn:?} was dialled before");
        assert_eq!(addr, canonical(addr));
        match purpose {
            Purpose::Listed => assert!(self.listed.contains(&addr), "{addr} was not named"),
            Purpose::Fill => {
                assert!(!self.servent.config().only_listed, "{addr} is not listed");
                assert!(
                    addr.port() != 0 && !addr.ip().is_unspecified() && !addr.ip().is_multicast(),
                    "{addr} is nowhere"
                );
                self.spend(addr);
            }
        }
        self.open(conn, Stage::Dialling, addr);
    }

    /// "Dials to hosts named by strangers at most 10 a minute in all and two an hour to one IP:port, never to ports
    /// below 1024 except 80 and 443".
    fn spend(&mut self, addr: SocketAddr) {
        let known = self.trusted.contains(&addr) || self.callers.contains(&addr.ip());
        if known || !is_public(addr.ip()) {
            return;
        }
        assert!(addr.port() >= 1024 || [80, 443].contains(&addr.port()), "{addr} is nobody's business");
        let limits = &self.servent.config().limits;
        let since = |wait: u64| {
            let now = self.now;
            self.strange.iter().filter(move |(at, _)| now.since(*at) < Duration::from_secs(wait))
        };
        assert!(since(60).count() < limits.stranger_dials_per_minute, "{:?}", self.strange);
        let same = since(3600).filter(|(_, to)| *to == addr).count();
        assert!(same < limits.stranger_dials_per_host_hour, "{addr} at {:?}: {:?}", self.now, self.strange);
        self.strange.push((self.now, addr));
    }

    fn on_handshake(&mut self, conn: ConnId, verdict: Verdict, head: &Head, cause: &Cause) {
        let bytes = head.encode();
        let (raw, taken) = RawHead::decode(&bytes, HEAD_LIMIT).expect("a possible head").expect("a whole head");
        assert_eq!((Head::parse(raw).as_ref(), taken), (Ok(head), bytes.len()));
        let known = self.conns.get_mut(&conn).expect("a connection that the driver knows");
        let first = matches!(cause, Cause::Connect(on) if *on == conn) && known.stage == Stage::Gone;
        known.stage = match (verdict, conn.direction(), known.stage) {
            (Verdict::Offer, Direction::Out, Stage::Dialling) => {
                assert!(matches!(cause, Cause::Dialled(on) if *on == conn));
                Stage::Offered
            }
            (Verdict::Accept, Direction::In, Stage::Gone) if first => Stage::Answered,
            (Verdict::Refuse, Direction::In, Stage::Gone) if first => Stage::Gone,
            (Verdict::Accept, Direction::Out, Stage::Offered) => Stage::Agreed,
            (Verdict::Refuse, Direction::Out, Stage::Offered) => Stage::Gone,
            (_, _, stage) => panic!("{conn:?} is {stage:?}: {verdict:?}"),
        };
    }

    fn on_send(&mut self, to: &[ConnId], frame: &Frame, cause: &Cause) {
        assert!(!to.is_empty() && to.windows(2).all(|pair| pair[0] < pair[1]), "{to:?}");
        let (header, len) = (frame.header, frame.wire_len());
        let max_ttl = self.servent.config().max_ttl;
        assert!(header.ttl > 0 && u16::from(header.ttl) + u16::from(header.hops) <= max_ttl.into(), "{header:?}");
        for id in to {
            let conn = self.conns.get_mut(id).expect("a connection that the driver knows");
            // Who is turned away after the handshake hears why.
            let farewell = header.kind == Kind::Bye && conn.stage == Stage::Agreed;
            assert!(conn.stage == Stage::Linked || farewell, "{id:?} is {:?} and gets {header:?}", conn.stage);
            // A Bye is the last word: it is not kept waiting.
            let fits = len <= conn.room || (conn.room > 0 && conn.room == conn.capacity);
            assert!(fits || header.kind == Kind::Bye, "{len} bytes, {conn:?}");
            conn.room = conn.room.saturating_sub(len);
            conn.spoke = self.now;
        }
        self.sent += to.len() as u64;
        // Hits and pushes of others go on unread; all else is what a peer can read.
        if !matches!(header.kind, Kind::QueryHit | Kind::Push) {
            whole(frame);
        }
        let asked = |kind, conn| self.askers.contains(&(kind, header.guid, conn));
        match header.kind {
            Kind::QueryHit => assert!(to.len() == 1 && asked(Kind::Query, to[0]), "{to:?} did not ask"),
            Kind::Pong => assert!(to.len() == 1 && asked(Kind::Ping, to[0]), "{to:?} did not ping"),
            Kind::Vendor => assert!(to.len() == 1 && (header.ttl, header.hops) == (1, 0), "for one link"),
            Kind::Query | Kind::Push | Kind::Ping | Kind::Bye | Kind::RouteTableUpdate => {}
            kind => panic!("we send no {kind:?}"),
        }
        if let (Cause::Frames(from, batch), Kind::Query | Kind::QueryHit | Kind::Push) = (cause, header.kind) {
            assert!(!to.contains(from), "{header:?} goes back to where it came from");
            let source = batch.iter().find(|source| {
                source.header.guid == header.guid
                    && source.header.kind == header.kind
                    && source.payload == frame.payload
                    && source.header.hops + 1 == header.hops
                    && (source.header.ttl > header.ttl || header.ttl == 1)
            });
            assert!(source.is_some(), "{header:?} is not what came: {batch:?}");
        }
        if !self.made.contains(&header.guid) {
            if self.made.len() >= 8 {
                self.made.pop_front();
            }
            self.made.push_back(header.guid);
        }
    }

    fn on_event(&mut self, event: &Event, cause: &Cause) {
        match event {
            Event::NeighbourUp(conn, _) => {
                let known = self.conns.get_mut(conn).expect("a connection that the driver knows");
                assert_eq!(known.stage, Stage::Agreed, "{conn:?} is up");
                known.stage = Stage::Linked;
            }
            Event::NeighbourDown(conn, ..) => assert_eq!(self.conns[conn].stage, Stage::Gone, "{conn:?} is down"),
            Event::QueryReceived { guid, query, hops } => {
                assert!(*hops >= 1);
                let Cause::Frames(_, batch) = cause else { panic!("{event:?} out of the blue") };
                assert!(batch.iter().any(|frame| frame.header.guid == *guid && frame.payload == query.encode()));
                let age = self.servent.config().limits.seen_age;
                if let Some(before) = self.queried.insert(*guid, self.now)
                    && self.remembers
                {
                    assert!(self.now.since(before) >= age, "{guid} was new at {before:?} and is again");
                }
            }
            Event::HitReceived { search, from, .. } => {
                assert!(self.searches.contains(search), "{search:?} takes no hits");
                assert!(from.is_none() || matches!(cause, Cause::Frames(conn, _) if Some(*conn) == *from));
            }
            Event::SearchSent { search, guid, neighbours } => {
                assert!(self.searches.contains(search));
                // Leaves are asked if their tables match, neighbours always.
                let leaves = self.servent.leaves();
                let linked = self.in_stage(Stage::Linked).len();
                assert!((linked - leaves..=linked).contains(neighbours), "{neighbours} of {linked}");
                self.queried.insert(*guid, self.now);
                self.made.push_back(*guid);
            }
            Event::PushRequested { addr, .. } => {
                assert!(addr.port() != 0 && !addr.ip().is_unspecified() && !addr.ip().is_multicast());
                self.spend(*addr);
            }
            Event::AskProxies { proxies, .. } => proxies.iter().for_each(|addr| self.spend(*addr)),
            Event::ConnectBack { addr } => self.spend(*addr),
            Event::PushFailed { .. } | Event::Proxied { .. } | Event::Reach { .. } => {}
            Event::HostsLearned(_) | Event::RoleChanged(_) => {}
            Event::ConnectFailed(addr, _) => assert!(self.listed.contains(addr), "nobody named {addr}"),
        }
    }

    /// What holds between any two inputs.
    fn check(&mut self) {
        let config = self.servent.config();
        let peers = self.servent.peers();
        self.most_peers = self.most_peers.max(config.accept_limit());
        let linked: Vec<_> = peers.iter().map(|peer| peer.conn).collect();
        assert_eq!(linked, self.in_stage(Stage::Linked));
        let leaves = self.servent.leaves();
        assert!(peers.len() - leaves <= self.most_peers + self.listed.len(), "slots, and hosts that the user named");
        assert!(leaves <= config.leaves + self.listed.len(), "slots for leaves, and hosts that the user named");
        assert!(peers.iter().all(|peer| peer.queued <= config.limits.queue_bytes));
        assert!(self.servent.hosts().len() <= config.limits.hosts);
        let count = |stages: &[Stage]| self.conns.values().filter(|conn| stages.contains(&conn.stage)).count();
        let pending = count(&[Stage::Dialling, Stage::Offered, Stage::Answered, Stage::Agreed]);
        assert!(pending <= config.limits.handshakes, "{pending} handshakes");
        let counters = self.servent.counters();
        assert_eq!(counters.sent.msgs, self.sent);
        // Of one who talks nonsense the rest is not heard.
        assert!(counters.received.msgs <= self.frames_in);
        let latest = match (pending > 0, peers.is_empty()) {
            (true, _) => Some(config.handshake_timeout),
            (false, false) => Some(config.keep_alive_leaf),
            (false, true) => None,
        };
        if let Some(latest) = latest {
            let next = self.servent.next_timeout().expect("a deadline");
            assert!(next <= self.now + latest, "{next:?} is late at {:?}", self.now);
        }
    }

    /// Says Bye to everybody; nothing happens any more.
    fn shut_down(&mut self) {
        self.handle(Input::Command(Command::Shutdown));
        assert!(self.conns.values().all(|conn| conn.stage == Stage::Gone));
        assert_eq!(self.servent.next_timeout(), None);
        for conn in self.order.clone() {
            self.servent.handle(self.now, Input::Dialled { conn }, &mut self.out);
            self.servent.handle(self.now, Input::Connected { conn, room: 1 }, &mut self.out);
        }
        self.servent.handle_timeout(self.now + LONGEST, &mut self.out);
        assert_eq!(self.out, []);
    }

    fn open(&mut self, id: ConnId, stage: Stage, remote: SocketAddr) {
        let conn = Conn { stage, remote, room: 0, capacity: 0, heard: self.now, spoke: self.now };
        self.conns.insert(id, conn);
        self.order.push(id);
    }

    fn in_stage(&self, stage: Stage) -> Vec<ConnId> {
        self.conns.iter().filter(|(_, conn)| conn.stage == stage).map(|(&id, _)| id).collect()
    }

    /// One of the latest connections, over or not, and now and then one that never was.
    fn conn(&self, choices: &mut Choices<'_>) -> Option<ConnId> {
        let n = choices.below(24);
        match self.order.len().checked_sub(1 + n) {
            Some(at) => self.order.get(at).copied(),
            None => Some(ConnId::dialled(1000 + n as u64)),
        }
    }

    fn linked(&self, choices: &mut Choices<'_>) -> Option<ConnId> {
        let linked = self.in_stage(Stage::Linked);
        (!linked.is_empty()).then(|| choices.of(&linked))
    }

    fn with_conn(&mut self, choices: &mut Choices<'_>, input: impl FnOnce(ConnId) -> Input) {
        if let Some(conn) = self.conn(choices) {
            self.handle(input(conn));
        }
    }

    /// A message: most are well made and name what others name.
    fn frame(&self, choices: &mut Choices<'_>) -> Frame {
        const KINDS: [Kind; 13] = [
            Kind::RouteTableUpdate,
            Kind::RouteTableUpdate,
            Kind::Query,
            Kind::Query,
            Kind::Query,
            Kind::QueryHit,
            Kind::QueryHit,
            Kind::Push,
            Kind::Ping,
            Kind::Pong,
            Kind::Pong,
            Kind::Vendor,
            Kind::Bye,
        ];
        let n = choices.byte();
        let mut kind = KINDS[usize::from(n) % KINDS.len()];
        if n > 250 || (kind == Kind::Bye && !n.is_multiple_of(4)) {
            kind = Kind::from(choices.byte());
        }
        let guid = self.guid(choices);
        let n = choices.byte();
        let (ttl, hops) = if n > 240 { (choices.byte(), choices.byte()) } else { (n % 8, n / 8 % 8) };
        let style = choices.byte();
        let mut payload = match (kind, style % 16) {
            (_, 15) => choices.bytes(255).to_vec(),
            (Kind::RouteTableUpdate, n @ 0..5) => {
                RouteTableUpdate::Reset { slots: 1 << (n + 1), infinity: choices.byte() }.encode().to_vec()
            }
            (Kind::RouteTableUpdate, n) => {
                let (bits, data) = (choices.of(&[1, 2, 4, 8]), Bytes::copy_from_slice(choices.bytes(8)));
                let (count, compressor) = (1 + n % 2, n % 3 / 2);
                RouteTableUpdate::Patch { sequence: 1 + n % 2, count, compressor, bits, data }.encode().to_vec()
            }
            (Kind::Pong, _) => Pong::new(choices.host(), 1, 2).encode().to_vec(),
            (Kind::Query, n) => Query::new(["", "blue", "blue train", "x"][usize::from(n % 4)], &[]).encode().to_vec(),
            (Kind::QueryHit, n) => {
                let entries = (0..n).map(|i| Entry::new(i.into(), 2, "blue train", &[])).collect();
                let servent = Guid([choices.byte() % 8; 16]);
                QueryHit::new(choices.host(), 0, entries, Qhd::new(*b"FLBT", false, false), servent).encode().to_vec()
            }
            (Kind::Vendor, n) => vendor(n, choices).encode().to_vec(),
            (Kind::Push, _) => Push::new(Guid([choices.byte() % 8; 16]), 1, choices.host()).encode().to_vec(),
            _ => Vec::new(),
        };
        if style % 16 == 14 && !payload.is_empty() {
            let at = choices.below(payload.len());
            payload[at] = choices.byte();
        }
        Frame { header: Header { guid, kind, ttl, hops }, payload: Bytes::from(payload) }
    }

    /// A name of few, or one that the servent made.
    fn guid(&self, choices: &mut Choices<'_>) -> Guid {
        match choices.byte() {
            n @ 0..160 => Guid([n % 32; 16]),
            n => self.made.get(usize::from(n) % 8).copied().unwrap_or(Guid([n; 16])),
        }
    }

    fn command(&mut self, choices: &mut Choices<'_>) -> Command {
        match choices.byte() % 21 {
            0 => Command::Listening(choices.host()),
            1 => Command::Mapped(choices.flag().then(|| choices.host())),
            2 => Command::Sharing { files: choices.byte().into(), kib: 1 },
            3 => Command::UploadsBusy(choices.flag()),
            4..=6 => {
                let ttl = [None, Some(choices.byte())][choices.below(2)];
                let query = Query::new(["blue", ""][choices.below(2)], &[]);
                Command::Search { id: SearchId(choices.below(4) as u64), query, ttl, strategy: Some(Strategy::Flood) }
            }
            7 => Command::EndSearch(SearchId(choices.below(4) as u64)),
            8 | 9 => {
                let entries = (0..choices.byte().into()).map(|i| Entry::new(i, 1, "blue train", &[])).collect();
                Command::AnswerQuery(Answer { query: self.guid(choices), entries })
            }
            10..=12 => Command::Connect(choices.host()),
            13 => Command::Disconnect(choices.host()),
            19 => Command::AskCaches((0..choices.below(4)).map(|_| choices.host()).collect()),
            18 => {
                let mut draft = Draft::new(4);
                (0..choices.below(4)).for_each(|_| draft.add(u32::from(choices.byte()) << 24));
                Command::Table(Arc::new(draft.finish()))
            }
            14 => Command::SetNeighbours(choices.below(12)),
            15 => Command::SetTtl(choices.byte()),
            16 => {
                let servent = Guid([choices.byte() % 8; 16]);
                let proxies = (0..choices.below(5)).map(|_| choices.host()).collect();
                let by = if choices.flag() { PushBy::Proxies(proxies) } else { PushBy::Way };
                Command::SendPush { servent, index: 1, by }
            }
            17 => {
                let servent = Guid([choices.byte() % 8; 16]);
                Command::PushFor { servent, index: 0, to: choices.host() }
            }
            _ => {
                const SOURCES: [HostSource; 5] =
                    [HostSource::Stranger, HostSource::Stranger, HostSource::Cache, HostSource::Lan, HostSource::User];
                let hosts = (0..choices.below(8)).map(|_| (choices.host(), choices.of(&SOURCES))).collect();
                Command::AddHosts(hosts)
            }
        }
    }
}

/// What we make of it is what was sent.
fn whole(frame: &Frame) {
    let message = Message::decode(frame.header.kind, &frame.payload).expect("what we send can be read");
    assert_eq!(message.encode(), frame.payload);
}

fn vendor(n: u8, choices: &mut Choices<'_>) -> Vendor {
    match n % 9 {
        0 | 1 => Vendor::supported(&[Which::CONNECT_BACK, Which::PROXY_PLEASE, Which::PROXY_YES, Which::PING_BACK]),
        2 => Vendor::connect_back(choices.host().port()),
        3 => Vendor::proxy_please(),
        5 => Vendor::ping_back(choices.host().port(), Guid([choices.byte() % 12; 16])),
        6 => Vendor::hits_here(choices.byte(), choices.flag()),
        7 => Vendor::hits_please(choices.byte(), choices.flag().then_some(&[7; 8])),
        8 => Vendor { vendor: *b"GTKG", selector: 9, version: 1, data: Bytes::new() },
        _ => Vendor::proxy_yes(choices.host()),
    }
}

fn room(choices: &mut Choices<'_>) -> usize {
    choices.of(&[100_000, 100_000, 0, 1, 100, 500, 50])
}

fn connect(choices: &mut Choices<'_>) -> Head {
    let version = choices.of(&[(0, 6), (0, 6), (0, 7), (1, 0), (0, 4)]);
    Head::Connect { version, headers: headers(choices) }
}

fn status(choices: &mut Choices<'_>) -> Head {
    let code = choices.of(&[200, 200, 299, 503, 409, 0, 65_535]);
    let reason = ["OK", "Not today", "", "a\r\nb", "\u{202e}x"][choices.below(5)].to_owned();
    Head::Status { code, reason, headers: headers(choices) }
}

/// What a peer says of itself and of others, odd or not.
fn headers(choices: &mut Choices<'_>) -> Headers {
    let mut headers = Headers::default();
    let bits = choices.byte();
    if bits & 1 != 0 {
        headers.push("GUID", Guid([choices.byte() % 12; 16]).to_string());
    }
    if bits & 2 != 0 {
        headers.push("Listen-IP", choices.host().to_string());
    }
    if bits & 4 != 0 {
        headers.push("X-Ultrapeer", ["True", "False", "true ", "yes"][choices.below(4)]);
    }
    if bits & 8 != 0 {
        let hosts: Vec<_> = (0..choices.below(30)).map(|_| choices.host().to_string()).collect();
        headers.push(["X-Try-Ultrapeers", "X-Try"][choices.below(2)], hosts.join(","));
    }
    if bits & 16 != 0 {
        headers.push("Remote-IP", choices.host().ip().to_string());
    }
    if bits & 32 != 0 {
        headers.push("User-Agent", choices.text(40));
    }
    if bits & 64 != 0 {
        headers.push("Node", choices.text(40));
    }
    if bits & 128 != 0 {
        let name = ["X-Query-Routing", "Upgrade", "Accept-Encoding", "Content-Encoding", "X-Degree", "Vendor-Message"]
            [choices.below(6)];
        headers.push(name, ["0.1", "TLS/1.0", "deflate", "99999999999999999999", ""][choices.below(5)]);
    }
    headers
}
