//! The world: many servents, the links between them, and virtual time.
//!
//! It does what `net` does with sockets: it tells the servents what happened ([`Input`]) and does what they
//! say ([`Output`]), in one match. It decides nothing about messages, and it never looks at a clock.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use indexmap::IndexMap;

use crate::base::{HashSeed, Instant, Rng};
use crate::proto::{
    Answer, CloseReason, Command, Config, ConnId, DialFailure, Direction, Event, HostSource, Input, Output, SearchId,
    Servent, Strategy, Verdict,
};
use crate::wire::handshake::{HEAD_LIMIT, Head};
use crate::wire::head::RawHead;
use crate::wire::hit::{Entry, QueryHit};
use crate::wire::query::Query;
use crate::wire::stream::FrameReader;
use crate::wire::{Frame, Guid, Kind};

use super::flood::{Flood, Step};
use super::link::{Capacity, End, Latency, Link};
use super::topology::Graph;
use super::workload::SharedFile;

/// A servent's number in its world. Numbers are never given twice.
pub type ServentId = usize;

/// Payloads above this are refused on encoded hops, as `net` refuses them.
const PAYLOAD_LIMIT: usize = 64 * 1024;

/// A servent that asks to be woken this often without time moving on is broken.
const WAKES_AT_ONCE: u32 = 1000;

/// How a world is.
#[derive(Clone, Debug)]
pub struct WorldOptions {
    /// All chance comes from it.
    pub seed: u64,
    /// What the servents are made from; each gets its own servent GUID.
    pub config: Config,
    /// One-way latencies of links.
    pub latency: Latency,
    /// How much a link takes in each direction; `None` is as much as is sent.
    pub capacity: Option<Capacity>,
    /// How messages travel.
    pub hop: Hop,
    /// Who hears [`Output::Announce`].
    pub lan: Lan,
    /// How long a dial to a host that gives no sign takes to fail.
    pub dial_timeout: Duration,
    /// Whether each [`Flood`] keeps every copy that arrived.
    pub steps: bool,
}

/// How messages and handshakes travel over a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hop {
    /// As values; payloads are shared by all.
    Shared,
    /// As bytes: encoded, cut, read and decoded on every hop, query and hit payloads too.
    Encoded,
}

/// Who hears an announcement on the local network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lan {
    /// Nobody: each is on a network of its own.
    Apart,
    /// All are on one.
    Shared,
}

/// A hit that came back to one who asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// When it came.
    pub at: Instant,
    /// Who asked.
    pub by: ServentId,
    /// The query's GUID.
    pub query: Guid,
    /// Who has it.
    pub source: SocketAddr,
    /// Links to the source.
    pub hops: u8,
    /// Names in the hit.
    pub names: Vec<String>,
}

/// The links that were to be are not all up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotSettled {
    /// How long we waited, in virtual time.
    pub waited: Duration,
    /// Links that are missing, by the numbers of their servents.
    pub missing: Vec<(ServentId, ServentId)>,
}

impl fmt::Display for NotSettled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, secs) = (self.missing.len(), self.waited.as_secs());
        write!(f, "{count} links are not up after {secs} virtual seconds, the first is {:?}", self.missing.first())
    }
}

impl std::error::Error for NotSettled {}

/// Servents, links and virtual time.
pub struct World {
    pub(super) options: WorldOptions,
    pub(super) now: Instant,
    pub(super) nodes: Vec<Node>,
    pub(super) links: Vec<Link>,
    /// What was asked, in order.
    pub(super) floods: IndexMap<Guid, Flood, HashSeed>,
    pub(super) found: Vec<Found>,
    agenda: BinaryHeap<Reverse<Appointment>>,
    /// Appointments are kept in the order in which they were made when they fall on the same moment.
    made: u64,
    /// Queries and hits on links.
    under_way: u64,
    /// Messages of every kind on links.
    frames: u64,
    latencies: BTreeMap<(ServentId, ServentId), Duration>,
    wall: Option<usize>,
    pub(super) searches: u64,
    rng: Rng,
}

/// A servent in its place.
pub(super) struct Node {
    pub addr: SocketAddr,
    /// `None` when it is dead.
    pub servent: Option<Servent>,
    pub files: Vec<SharedFile>,
    /// Its connections: the link and which end of it, or `None` while it dials.
    pub conns: BTreeMap<ConnId, Option<(usize, usize)>>,
    asked: BTreeMap<SearchId, Guid>,
    accepted: u64,
    /// When it is to be woken next.
    wake: Option<Instant>,
    wakes_at_once: u32,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Appointment {
    at: Instant,
    number: u64,
    what: What,
}

/// What can happen. Appointments are ordered by time and number, which are unique; this is never compared.
enum What {
    Wake(ServentId),
    /// The driver's own word to a servent.
    Tell(ServentId, Input),
    /// A dial comes to its target.
    Knock {
        by: ServentId,
        conn: ConnId,
        addr: SocketAddr,
    },
    /// Something comes out of a link at that end.
    Arrive {
        link: usize,
        side: usize,
        parcel: Parcel,
    },
    /// Bytes have left the buffer of that end.
    Left {
        link: usize,
        side: usize,
        bytes: usize,
    },
    Datagram {
        from: ServentId,
        to: SocketAddr,
        frame: Frame,
    },
}

enum Parcel {
    Leg(Head),
    Frame(Frame),
    End(CloseReason),
}

impl PartialEq for What {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
impl Eq for What {}
impl PartialOrd for What {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for What {
    fn cmp(&self, _: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}

impl WorldOptions {
    /// The defaults for a seed: default servents, default latencies, links without limit.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            config: Config::new(Guid::default()),
            latency: Latency::default(),
            capacity: None,
            hop: Hop::Shared,
            lan: Lan::Apart,
            dial_timeout: Duration::from_secs(5),
            steps: false,
        }
    }
}

impl World {
    /// A world without servents.
    pub fn new(options: WorldOptions) -> Self {
        let mut rng = Rng::from_number(options.seed);
        Self {
            now: Instant::ZERO,
            nodes: Vec::new(),
            links: Vec::new(),
            floods: IndexMap::with_hasher(HashSeed::new(&mut rng)),
            found: Vec::new(),
            agenda: BinaryHeap::new(),
            made: 0,
            under_way: 0,
            frames: 0,
            latencies: BTreeMap::new(),
            wall: None,
            searches: 0,
            rng,
            options,
        }
    }

    /// A world whose links are the edges of `graph` and no others: each servent opens the links to its higher
    /// neighbours, as `--only-listed --connect` does, and the world runs until all are up.
    pub fn of_graph(options: WorldOptions, graph: &Graph) -> Result<Self, NotSettled> {
        Self::of_graph_with(options, graph, |_, _| {})
    }

    /// The same, with servents that differ: `tune` sees the configuration of each before it is built.
    pub fn of_graph_with(
        options: WorldOptions,
        graph: &Graph,
        mut tune: impl FnMut(ServentId, &mut Config),
    ) -> Result<Self, NotSettled> {
        let mut world = Self::new(options);
        for id in 0..graph.len() {
            let mut config = world.options.config.clone();
            config.only_listed = true;
            config.neighbours = config.neighbours.max(graph.degree(id));
            tune(id, &mut config);
            world.add_with(config);
        }
        for (a, b) in graph.edges() {
            world.connect(a, b);
        }
        world.settle(graph, Duration::from_secs(60))?;
        Ok(world)
    }

    /// A new servent of the world's configuration.
    pub fn add(&mut self) -> ServentId {
        self.add_with(self.options.config.clone())
    }

    /// A new servent of that configuration, but for its servent GUID, which is drawn.
    pub fn add_with(&mut self, mut config: Config) -> ServentId {
        let id = self.nodes.len();
        config.servent = Guid::random(&mut self.rng);
        let [_, x, y, z] = (id as u32 + 1).to_be_bytes();
        let addr = SocketAddr::from(([10, x, y, z], 6346));
        self.nodes.push(Node {
            addr,
            servent: Some(Servent::new(config, self.rng.fork(), self.now)),
            files: Vec::new(),
            conns: BTreeMap::new(),
            asked: BTreeMap::new(),
            accepted: 0,
            wake: None,
            wakes_at_once: 0,
        });
        self.command(id, Command::Listening(addr));
        id
    }

    /// Lets a servent share a file.
    pub fn share(&mut self, id: ServentId, file: SharedFile) {
        self.nodes[id].files.push(file);
        let files = &self.nodes[id].files;
        let kib = files.iter().map(|file| file.size / 1024).sum::<u64>();
        let command = Command::Sharing { files: files.len() as u32, kib: u32::try_from(kib).unwrap_or(u32::MAX) };
        self.command(id, command);
    }

    /// Gives a servent a command, now.
    pub fn command(&mut self, id: ServentId, command: Command) {
        self.tell(id, Input::Command(command));
    }

    /// Lets `a` connect to `b`, as `--connect` does.
    pub fn connect(&mut self, a: ServentId, b: ServentId) {
        let addr = self.nodes[b].addr;
        self.command(a, Command::Connect(addr));
    }

    /// Lets a servent ask for `text`. The GUID finds the [`Flood`]; `None` when the servent did not ask,
    /// because it is dead or has no neighbour.
    pub fn search(&mut self, id: ServentId, text: &str, ttl: Option<u8>) -> Option<Guid> {
        self.searches += 1;
        let search = SearchId(self.searches);
        let query = Query::new(text, &[]);
        self.command(id, Command::Search { id: search, query, ttl, strategy: Strategy::Flood });
        self.nodes[id].asked.get(&search).copied()
    }

    /// Puts a message on the link from `a` to `b` as if `a` had sent it: what strangers might send. `false` if
    /// there is no such link.
    pub fn inject(&mut self, a: ServentId, b: ServentId, frame: Frame) -> bool {
        let conn = self.conn_between(a, b);
        if let Some(conn) = conn {
            self.carry(a, conn, Parcel::Frame(frame));
        }
        conn.is_some()
    }

    /// Ends a servent as `kill -9` does: its machine closes its connections, nobody says Bye.
    pub fn kill(&mut self, id: ServentId) {
        for conn in self.vanish_conns(id) {
            self.carry(id, conn, Parcel::End(CloseReason::Broken));
        }
        self.nodes[id].conns.clear();
    }

    /// Ends a servent as a pulled plug does: nobody is told anything.
    pub fn vanish(&mut self, id: ServentId) {
        self.vanish_conns(id);
        self.nodes[id].conns.clear();
    }

    /// Lets a servent say goodbye, and ends it when its connections are closed.
    pub fn stop(&mut self, id: ServentId) {
        self.command(id, Command::Shutdown);
        self.kill(id);
    }

    /// Lets nothing pass between the servents below `first` and the others, until [`Self::heal`].
    pub fn partition(&mut self, first: ServentId) {
        self.wall = Some(first);
    }

    /// Takes the partition away. What was lost stays lost.
    pub fn heal(&mut self) {
        self.wall = None;
    }

    /// Sets the latency between two servents, for links that come to be after this.
    pub fn set_latency(&mut self, a: ServentId, b: ServentId, latency: Duration) {
        self.latencies.insert((a.min(b), a.max(b)), latency);
    }

    /// Runs until `deadline` or until `done` says so, whatever comes first; returns whether it was `done`.
    /// `done` is asked before each thing that happens.
    pub fn run_until(&mut self, deadline: Instant, mut done: impl FnMut(&World) -> bool) -> bool {
        loop {
            if done(self) {
                return true;
            }
            match self.agenda.peek() {
                Some(Reverse(next)) if next.at <= deadline => self.step(),
                _ => {
                    self.now = self.now.max(deadline);
                    return false;
                }
            }
        }
    }

    /// Runs for that long.
    pub fn run_for(&mut self, time: Duration) {
        self.run_until(self.now + time, |_| false);
    }

    /// Runs until no query and no hit is on any link, or for `limit`; returns whether it became quiet. On
    /// links with a capacity, messages may wait inside servents while none is under way.
    pub fn run_until_quiet(&mut self, limit: Duration) -> bool {
        self.run_until(self.now + limit, |world| world.under_way == 0)
    }

    /// Runs until no message of any kind is on any link, or for `limit`; returns whether it became still.
    pub fn run_until_still(&mut self, limit: Duration) -> bool {
        self.run_until(self.now + limit, |world| world.frames == 0)
    }

    /// Runs until exactly the edges of `graph` are links, for `limit` at most.
    pub fn settle(&mut self, graph: &Graph, limit: Duration) -> Result<(), NotSettled> {
        let began = self.now;
        while self.now - began < limit {
            self.run_for(Duration::from_millis(250));
            if self.graph() == *graph {
                return Ok(());
            }
        }
        let up = self.graph();
        let missing = graph.edges().filter(|&(a, b)| !up.has_edge(a, b)).collect();
        Err(NotSettled { waited: limit, missing })
    }

    /// Lets the next thing happen. Does nothing when nothing will ever happen.
    pub fn step(&mut self) {
        let Some(Reverse(next)) = self.agenda.pop() else { return };
        self.now = next.at;
        match next.what {
            What::Wake(id) => self.wake(id),
            What::Tell(id, Input::Dialled { conn } | Input::Connected { conn, .. })
                if !self.nodes[id].conns.contains_key(&conn) => {} // closed since
            What::Tell(id, input) => self.tell(id, input),
            What::Knock { by, conn, addr } => self.on_knock(by, conn, addr),
            What::Arrive { link, side, parcel } => self.on_arrival(link, side, parcel),
            What::Left { link, side, bytes } => self.on_left(link, side, bytes),
            What::Datagram { from, to, frame } => self.on_datagram(from, to, frame),
        }
    }

    /// Does what a servent says: the whole driver.
    fn perform(&mut self, id: ServentId, output: Output) {
        match output {
            Output::Dial { conn, addr, purpose: _ } => self.dial(id, conn, addr),
            Output::Handshake { conn, verdict, head } => {
                self.carry(id, conn, Parcel::Leg(head));
                match (verdict, conn.direction()) {
                    (Verdict::Offer, _) | (Verdict::Accept, Direction::In) => {}
                    // The third leg is written: messages may flow.
                    (Verdict::Accept, Direction::Out) => {
                        let connected = Input::Connected { conn, room: self.room() };
                        self.make(self.now, What::Tell(id, connected));
                    }
                    (Verdict::Refuse, _) => self.close(id, conn, CloseReason::Closed),
                }
            }
            Output::Send { to, frame } => {
                for conn in to {
                    self.carry(id, conn, Parcel::Frame(frame.clone()));
                }
            }
            Output::SendTo { addr, frame } => {
                let latency = self.at(addr).map_or(Duration::ZERO, |to| self.latency(id, to));
                self.make(self.now + latency, What::Datagram { from: id, to: addr, frame });
            }
            Output::Announce => self.announce(id),
            Output::Close { conn, reason } => self.close(id, conn, reason),
            Output::Event(event) => self.on_event(id, event),
        }
    }

    /// Tells a servent what happened, and does what it says.
    fn tell(&mut self, id: ServentId, input: Input) {
        let mut outbox = Vec::new();
        let now = self.now;
        let Some(servent) = &mut self.nodes[id].servent else { return };
        servent.handle(now, input, &mut outbox);
        self.nodes[id].wakes_at_once = 0;
        self.follow(id, outbox);
    }

    fn wake(&mut self, id: ServentId) {
        let now = self.now;
        let node = &mut self.nodes[id];
        if node.wake != Some(now) {
            return;
        }
        node.wake = None;
        let Some(servent) = &mut node.servent else { return };
        let mut outbox = Vec::new();
        if servent.next_timeout().is_some_and(|deadline| deadline <= now) {
            servent.handle_timeout(now, &mut outbox);
            let again = servent.next_timeout().is_some_and(|deadline| deadline <= now);
            node.wakes_at_once = if again { node.wakes_at_once + 1 } else { 0 };
            assert!(node.wakes_at_once < WAKES_AT_ONCE, "servent {id} asks to be woken at {now} again and again");
        }
        self.follow(id, outbox);
    }

    /// Performs an outbox in order, and asks when to wake the servent next.
    fn follow(&mut self, id: ServentId, outbox: Vec<Output>) {
        for output in outbox {
            self.perform(id, output);
        }
        let node = &mut self.nodes[id];
        let Some(deadline) = node.servent.as_ref().and_then(Servent::next_timeout) else { return };
        let deadline = deadline.max(self.now);
        if node.wake.is_none_or(|planned| deadline < planned) {
            node.wake = Some(deadline);
            self.make(deadline, What::Wake(id));
        }
    }

    fn make(&mut self, at: Instant, what: What) {
        self.made += 1;
        self.agenda.push(Reverse(Appointment { at, number: self.made, what }));
    }

    fn dial(&mut self, id: ServentId, conn: ConnId, addr: SocketAddr) {
        self.nodes[id].conns.insert(conn, None);
        let latency = self.at(addr).map_or(Duration::from_millis(1), |to| self.latency(id, to));
        self.make(self.now + latency, What::Knock { by: id, conn, addr });
    }

    fn on_knock(&mut self, by: ServentId, conn: ConnId, addr: SocketAddr) {
        if self.nodes[by].conns.get(&conn) != Some(&None) {
            return; // given up, or dead
        }
        let target = self.at(addr);
        let failure = match target {
            Some(to) if self.parted(by, to) => DialFailure::TimedOut,
            Some(to) if self.nodes[to].servent.is_some() => {
                let latency = self.latency(by, to);
                let port = 32_768 + (self.links.len() % 28_000) as u16;
                let node = &mut self.nodes[to];
                let accepted = ConnId::accepted(node.accepted);
                node.accepted += 1;
                let place = self.links.len();
                node.conns.insert(accepted, Some((place, 1)));
                let seen_as = SocketAddr::new(self.nodes[by].addr.ip(), port);
                let ends = [End::new(by, conn, addr), End::new(to, accepted, seen_as)];
                self.links.push(Link::new(ends, latency));
                self.nodes[by].conns.insert(conn, Some((place, 0)));
                return self.make(self.now + latency, What::Tell(by, Input::Dialled { conn }));
            }
            _ => DialFailure::Refused,
        };
        self.nodes[by].conns.remove(&conn);
        let wait = match (failure, target) {
            (DialFailure::TimedOut, _) => self.options.dial_timeout,
            (_, to) => to.map_or(Duration::from_millis(1), |to| self.latency(by, to)),
        };
        self.make(self.now + wait, What::Tell(by, Input::DialFailed { conn, reason: failure }));
    }

    /// What an empty link takes.
    fn room(&self) -> usize {
        self.options.capacity.map_or(usize::MAX, |capacity| capacity.buffer)
    }

    /// Closes our end; what was sent before still arrives, and then the end does.
    fn close(&mut self, id: ServentId, conn: ConnId, reason: CloseReason) {
        self.carry(id, conn, Parcel::End(CloseReason::Closed));
        if let Some(place) = self.nodes[id].conns.remove(&conn) {
            if let Some((link, side)) = place {
                self.links[link].ends[side].open = false;
            }
            self.make(self.now, What::Tell(id, Input::Disconnected { conn, reason }));
        }
    }

    /// Puts something on a link. Connections that are gone are passed over.
    fn carry(&mut self, id: ServentId, conn: ConnId, parcel: Parcel) {
        let Some(&Some((link, side))) = self.nodes[id].conns.get(&conn) else { return };
        let bytes = match &parcel {
            Parcel::Frame(frame) => {
                if frame.header.kind == Kind::Query {
                    let (guid, now) = (frame.header.guid, self.now);
                    self.floods.entry(guid).or_insert_with(|| Flood::new(guid, id, now)).on_sent(frame);
                } else if frame.header.kind == Kind::QueryHit
                    && let Some(flood) = self.floods.get_mut(&frame.header.guid)
                {
                    flood.hit_messages += 1;
                }
                self.under_way += u64::from(matches!(frame.header.kind, Kind::Query | Kind::QueryHit));
                self.frames += 1;
                frame.wire_len()
            }
            Parcel::Leg(_) | Parcel::End(_) => 0,
        };
        let capacity = self.options.capacity;
        let (left, arrives) = self.links[link].carry(side, bytes, capacity, self.now);
        if capacity.is_some() && bytes > 0 {
            self.links[link].ends[side].waiting += bytes;
            self.make(left, What::Left { link, side, bytes });
        }
        self.make(arrives, What::Arrive { link, side: 1 - side, parcel });
    }

    fn on_left(&mut self, link: usize, side: usize, bytes: usize) {
        let end = &mut self.links[link].ends[side];
        end.waiting -= bytes;
        let (id, conn, waiting) = (end.servent, end.conn, end.waiting);
        if let (true, Some(capacity)) = (end.open, self.options.capacity) {
            self.tell(id, Input::Room { conn, bytes: capacity.buffer.saturating_sub(waiting) });
        }
    }

    fn on_arrival(&mut self, link: usize, side: usize, parcel: Parcel) {
        let (from, end) = (self.links[link].ends[1 - side].servent, &mut self.links[link].ends[side]);
        let (id, conn, remote, open) = (end.servent, end.conn, end.remote, end.open);
        if let Parcel::Frame(frame) = &parcel {
            self.under_way -= u64::from(matches!(frame.header.kind, Kind::Query | Kind::QueryHit));
            self.frames -= 1;
        }
        if !open || self.parted(id, from) {
            return;
        }
        match self.travel(parcel) {
            Parcel::Leg(head) => {
                self.links[link].ends[side].known = true;
                let third = conn.direction() == Direction::In && matches!(head, Head::Status { code: 200..300, .. });
                self.tell(id, Input::Handshake { conn, from: remote, head });
                if third && self.nodes[id].conns.contains_key(&conn) {
                    // At once: what follows the third leg may arrive at this very moment.
                    self.tell(id, Input::Connected { conn, room: self.room() });
                }
            }
            Parcel::Frame(frame) => {
                if let Some(flood) = self.floods.get_mut(&frame.header.guid) {
                    if frame.header.kind == Kind::Query {
                        let copy = flood.on_arrived(self.now, from, id, &frame.header);
                        if self.options.steps {
                            let (at, ttl, hops) = (self.now, frame.header.ttl, frame.header.hops);
                            flood.steps.push(Step { at, from, to: id, ttl, hops, copy });
                        }
                    }
                    flood.ended = self.now;
                }
                self.tell(id, Input::Frames { conn, batch: vec![frame] });
            }
            Parcel::End(reason) => {
                let end = &mut self.links[link].ends[side];
                end.open = false;
                let known = end.known;
                self.nodes[id].conns.remove(&conn);
                if known {
                    self.tell(id, Input::Disconnected { conn, reason });
                }
            }
        }
    }

    fn on_datagram(&mut self, from: ServentId, to: SocketAddr, frame: Frame) {
        if let Some(to) = self.at(to)
            && !self.parted(from, to)
        {
            let from = self.nodes[from].addr;
            self.tell(to, Input::Datagram { from, frame });
        }
    }

    fn announce(&mut self, id: ServentId) {
        if self.options.lan == Lan::Apart {
            return;
        }
        let hosts = vec![(self.nodes[id].addr, HostSource::Lan)];
        for to in (0..self.nodes.len()).filter(|&to| to != id && !self.parted(id, to)).collect::<Vec<_>>() {
            let at = self.now + self.latency(id, to);
            self.make(at, What::Tell(to, Input::Command(Command::AddHosts(hosts.clone()))));
        }
    }

    /// The application's part: answers queries from the files that lie here, and notes the hits.
    fn on_event(&mut self, id: ServentId, event: Event) {
        match event {
            Event::QueryReceived { guid, query, hops: _ } => {
                let text = query.text.to_str();
                let matching = self.nodes[id].files.iter().enumerate().filter(|(_, file)| file.matches(&text));
                let entries: Vec<Entry> =
                    matching.map(|(index, file)| Entry::new(index as u32, file.size, &file.name, &[])).collect();
                if !entries.is_empty() {
                    let answer = Answer { query: guid, entries };
                    self.make(self.now, What::Tell(id, Input::Command(Command::AnswerQuery(answer))));
                }
            }
            Event::SearchSent { search, guid, .. } => {
                self.nodes[id].asked.insert(search, guid);
            }
            Event::HitReceived { search, hit, hops, from: _ } => {
                if let Some(&query) = self.nodes[id].asked.get(&search) {
                    let names = hit.entries.iter().map(|entry| entry.name.to_string()).collect();
                    self.found.push(Found { at: self.now, by: id, query, source: hit.host(), hops, names });
                }
            }
            _ => {}
        }
    }

    /// What comes out of a link: what went in, after a journey as bytes if the world is of that kind.
    fn travel(&self, parcel: Parcel) -> Parcel {
        match (self.options.hop, parcel) {
            (Hop::Encoded, Parcel::Frame(frame)) => Parcel::Frame(frame_as_bytes(&frame)),
            (Hop::Encoded, Parcel::Leg(head)) => Parcel::Leg(head_as_bytes(&head)),
            (_, parcel) => parcel,
        }
    }

    /// Who has that address.
    pub(super) fn at(&self, addr: SocketAddr) -> Option<ServentId> {
        let SocketAddr::V4(v4) = addr else { return None };
        let id = (u32::from_be_bytes(v4.ip().octets()) & 0x00ff_ffff).checked_sub(1)? as usize;
        (self.nodes.get(id)?.addr == addr).then_some(id)
    }

    fn parted(&self, a: ServentId, b: ServentId) -> bool {
        self.wall.is_some_and(|first| (a < first) != (b < first))
    }

    fn latency(&self, a: ServentId, b: ServentId) -> Duration {
        let given = self.latencies.get(&(a.min(b), a.max(b))).copied();
        given.unwrap_or_else(|| self.options.latency.between(self.options.seed, a, b))
    }

    /// The servent is no more; its ends are closed. Its connections are still named, for a last word.
    fn vanish_conns(&mut self, id: ServentId) -> Vec<ConnId> {
        self.nodes[id].servent = None;
        let conns = self.nodes[id].conns.clone();
        for (link, side) in conns.values().copied().flatten() {
            self.links[link].ends[side].open = false;
        }
        conns.into_keys().collect()
    }
}

/// A frame encoded, cut in two, read and decoded; the payloads that the core builds are rebuilt as well.
fn frame_as_bytes(frame: &Frame) -> Frame {
    let mut bytes = BytesMut::new();
    frame.encode(&mut bytes);
    let mut reader = FrameReader::new(PAYLOAD_LIMIT);
    let (head, tail) = bytes.split_at(bytes.len() / 2);
    reader.push(head);
    reader.push(tail);
    let mut frame = reader.next_frame().expect("the core sends what can be read").expect("the frame is whole");
    frame.payload = match frame.header.kind {
        Kind::Query => Query::decode(&frame.payload).expect("the core sends queries that can be read").encode(),
        Kind::QueryHit => QueryHit::decode(&frame.payload).expect("the core sends hits that can be read").encode(),
        _ => frame.payload,
    };
    frame
}

/// A handshake leg encoded, read and parsed.
fn head_as_bytes(head: &Head) -> Head {
    let bytes = head.encode();
    let read = RawHead::decode(&bytes, HEAD_LIMIT).expect("the core sends heads that can be read");
    let (raw, taken) = read.expect("the head is whole");
    assert_eq!(taken, bytes.len(), "nothing follows the head");
    Head::parse(raw).expect("the core sends heads that can be parsed")
}
