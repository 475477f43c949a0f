//! The world: many servents, the links between them, and virtual time.
//!
//! It does what `net` does with sockets: it tells the servents what happened ([`Input`]) and does what they
//! say ([`Output`]), in one match. It decides nothing about messages, and it never looks at a clock.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use indexmap::IndexMap;

use crate::base::{HashSeed, Instant, Rng};
use crate::proto::{Answer, CloseReason, Command, ConnId, Direction, Event, Input, Output, SearchId, Servent, Verdict};
use crate::wire::handshake::Head;
use crate::wire::hit::Entry;
use crate::wire::{Frame, Guid};

use super::flood::Flood;
use super::link::Link;
use super::options::{Found, WorldOptions};
use super::workload::SharedFile;

/// A servent's number in its world. Numbers are never given twice.
pub type ServentId = usize;

/// A servent that asks to be woken this often without time moving on is broken.
const WAKES_AT_ONCE: u32 = 1000;

/// Servents, links and virtual time.
pub struct World {
    pub(super) options: WorldOptions,
    pub(super) now: Instant,
    pub(super) nodes: Vec<Node>,
    pub(super) links: Vec<Link>,
    /// What was asked, in order.
    pub(super) floods: IndexMap<Guid, Flood, HashSeed>,
    pub(super) found: Vec<Found>,
    /// What will happen: by time, and at the same time in the order in which it was planned.
    pub(super) agenda: BTreeMap<(Instant, u64), What>,
    planned: u64,
    /// Queries and hits on links.
    pub(super) under_way: u64,
    /// Messages of every kind on links.
    pub(super) frames: u64,
    pub(super) latencies: BTreeMap<(ServentId, ServentId), Duration>,
    pub(super) wall: Option<usize>,
    pub(super) searches: u64,
    pub(super) rng: Rng,
}

/// A servent in its place.
pub(super) struct Node {
    pub addr: SocketAddr,
    /// `None` when it is dead, or a stranger.
    pub servent: Option<Servent>,
    /// What a stranger was told: one whom a test speaks for.
    pub heard: Option<Vec<Input>>,
    pub machine: Machine,
    pub files: Vec<SharedFile>,
    /// Its connections: the link and which end of it, or `None` while it dials.
    pub conns: BTreeMap<ConnId, Option<(usize, usize)>>,
    pub asked: BTreeMap<SearchId, Guid>,
    pub accepted: u64,
    /// When it is to be woken next.
    pub wake: Option<Instant>,
    pub wakes_at_once: u32,
}

/// What a servent runs on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Machine {
    /// It answers for a servent that is dead: nobody listens here.
    On,
    /// It answers nothing.
    Off,
}

/// What can happen.
pub(super) enum What {
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

/// What goes over a link.
pub(super) enum Parcel {
    Leg(Head),
    Frame(Frame),
    End(CloseReason),
}

impl Node {
    /// The one of that number.
    pub fn new(id: ServentId) -> Self {
        let [_, x, y, z] = (id as u32 + 1).to_be_bytes();
        Self {
            addr: SocketAddr::from(([10, x, y, z], 6346)),
            servent: None,
            heard: None,
            machine: Machine::On,
            files: Vec::new(),
            conns: BTreeMap::new(),
            asked: BTreeMap::new(),
            accepted: 0,
            wake: None,
            wakes_at_once: 0,
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
            agenda: BTreeMap::new(),
            planned: 0,
            under_way: 0,
            frames: 0,
            latencies: BTreeMap::new(),
            wall: None,
            searches: 0,
            rng,
            options,
        }
    }

    /// Lets the next thing happen. Does nothing when nothing will ever happen.
    pub fn step(&mut self) {
        let Some(((at, _), what)) = self.agenda.pop_first() else { return };
        self.now = at;
        match what {
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
                        self.plan(self.now, What::Tell(id, connected));
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
                self.plan(self.now + latency, What::Datagram { from: id, to: addr, frame });
            }
            Output::Announce(frame) => self.announce(id, &frame),
            Output::Close { conn, reason } => self.close(id, conn, reason),
            Output::Event(event) => self.on_event(id, event),
        }
    }

    /// Tells a servent what happened, and does what it says.
    pub(super) fn tell(&mut self, id: ServentId, input: Input) {
        let mut outbox = Vec::new();
        let now = self.now;
        let node = &mut self.nodes[id];
        let Some(servent) = &mut node.servent else {
            if let Some(heard) = &mut node.heard {
                heard.push(input);
            }
            return;
        };
        servent.handle(now, input, &mut outbox);
        node.wakes_at_once = 0;
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
            self.plan(deadline, What::Wake(id));
        }
    }

    /// Plans something.
    pub(super) fn plan(&mut self, at: Instant, what: What) {
        self.planned += 1;
        self.agenda.insert((at, self.planned), what);
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
                    self.plan(self.now, What::Tell(id, Input::Command(Command::AnswerQuery(answer))));
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
}
