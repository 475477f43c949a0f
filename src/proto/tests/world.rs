//! A small world: servents, links with a latency, a virtual clock. It holds the one `match` that a driver is.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::base::{Instant, Rng};
use crate::proto::*;
use crate::wire::{Guid, Kind};

pub(super) struct World {
    pub(super) now: Instant,
    nodes: Vec<Node>,
    /// What will happen, in the order of time; what happens at the same time in the order it was caused.
    ahead: BTreeMap<(Instant, u64), (usize, Input)>,
    caused: u64,
    /// Each end of each connection: the other end.
    ends: BTreeMap<(usize, ConnId), (usize, ConnId)>,
    accepted: u64,
    rng: Rng,
    pub(super) events: Vec<(usize, Event)>,
    /// Messages that left, by sender, receiver and kind.
    pub(super) sent: BTreeMap<(usize, usize, Kind), u64>,
}

struct Node {
    servent: Servent,
    addr: SocketAddr,
    latency: Duration,
    alive: bool,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            now: Instant::ZERO,
            nodes: Vec::new(),
            ahead: BTreeMap::new(),
            caused: 0,
            ends: BTreeMap::new(),
            accepted: 0,
            rng: Rng::from_number(seed),
            events: Vec::new(),
            sent: BTreeMap::new(),
        }
    }

    pub(super) fn add(&mut self) -> usize {
        self.add_with(|_| {})
    }

    pub(super) fn add_with(&mut self, change: impl FnOnce(&mut Config)) -> usize {
        let n = self.nodes.len();
        let addr = SocketAddr::from(([10, 0, (n / 250) as u8, (n % 250) as u8 + 1], 6346));
        let mut config = Config::new(Guid::random(&mut self.rng));
        change(&mut config);
        let servent = Servent::new(config, self.rng.fork(), self.now);
        self.nodes.push(Node { servent, addr, latency: Duration::from_millis(10), alive: true });
        self.command(n, Command::Listening(addr));
        n
    }

    /// What `node` sends takes so long.
    pub(super) fn latency_of(&mut self, node: usize, millis: u64) {
        self.nodes[node].latency = Duration::from_millis(millis);
    }

    pub(super) fn addr(&self, node: usize) -> SocketAddr {
        self.nodes[node].addr
    }

    pub(super) fn servent(&self, node: usize) -> &Servent {
        &self.nodes[node].servent
    }

    pub(super) fn degree(&self, node: usize) -> usize {
        self.nodes[node].servent.degree()
    }

    pub(super) fn alive(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|&n| self.nodes[n].alive).collect()
    }

    pub(super) fn command(&mut self, node: usize, command: Command) {
        self.input(node, Input::Command(command));
    }

    /// Gone without a word, as by `kill -9`: its connections break.
    pub(super) fn kill(&mut self, node: usize) {
        self.nodes[node].alive = false;
        let ends: Vec<_> = self.ends.keys().filter(|(n, _)| *n == node).copied().collect();
        for (_, conn) in ends {
            self.hang_up(node, conn);
        }
    }

    /// Lets `seconds` pass.
    pub(super) fn run_for(&mut self, seconds: u64) {
        let until = self.now + Duration::from_secs(seconds);
        loop {
            let event = self.ahead.keys().next().map(|&(at, _)| at);
            let timeout = self.alive().into_iter().filter_map(|n| Some((self.servent(n).next_timeout()?, n))).min();
            let next = event.into_iter().chain(timeout.map(|(at, _)| at)).min();
            let Some(next) = next.filter(|&next| next <= until) else { break };
            self.now = self.now.max(next);
            if event == Some(next) {
                if let Some((_, (node, input))) = self.ahead.pop_first() {
                    self.input(node, input);
                }
            } else if let Some((_, node)) = timeout {
                let mut out = Vec::new();
                self.nodes[node].servent.handle_timeout(self.now, &mut out);
                let later = self.servent(node).next_timeout();
                assert!(later.is_none_or(|later| later > self.now), "{node} spins at {}", self.now);
                self.obey(node, out);
            }
        }
        self.now = until;
    }

    /// Each link is known at both of its ends, and nobody is linked to itself or twice to another.
    pub(super) fn check_symmetric(&self) {
        let mut pairs = Vec::new();
        for n in self.alive() {
            for peer in self.servent(n).peers() {
                let &(other, end) = self.ends.get(&(n, peer.conn)).expect("a link has a connection");
                assert_ne!(other, n, "{n} is linked to itself");
                assert!(self.servent(other).peers().iter().any(|p| p.conn == end), "{n} has a link, {other} has not");
                pairs.push((n, other));
            }
        }
        let count = pairs.len();
        pairs.sort_unstable();
        pairs.dedup();
        assert_eq!(pairs.len(), count, "two links between the same two servents");
    }

    /// Whom `from` reaches over links of the living.
    pub(super) fn reachable(&self, from: usize) -> Vec<usize> {
        let mut found = vec![from];
        let mut at = 0;
        while at < found.len() {
            for peer in self.servent(found[at]).peers() {
                let (other, _) = self.ends[&(found[at], peer.conn)];
                if self.nodes[other].alive && !found.contains(&other) {
                    found.push(other);
                }
            }
            at += 1;
        }
        found.sort_unstable();
        found
    }

    /// A line per link with both ends' counters of suppressed duplicates.
    pub(super) fn duplicates_by_link(&self) -> Vec<((usize, u64), (usize, u64))> {
        let mut links = Vec::new();
        for (&(n, conn), &(other, end)) in &self.ends {
            let count =
                |n: usize, conn| self.servent(n).peers().iter().find(|p| p.conn == conn).map(|p| p.duplicates_in);
            if let (true, Some(here), Some(there)) = (n < other, count(n, conn), count(other, end)) {
                links.push(((n, here), (other, there)));
            }
        }
        links
    }

    fn input(&mut self, node: usize, input: Input) {
        if !self.nodes[node].alive {
            return;
        }
        let mut out = Vec::new();
        self.nodes[node].servent.handle(self.now, input, &mut out);
        self.obey(node, out);
    }

    /// The driver: one match over what a servent wants.
    fn obey(&mut self, node: usize, out: Outbox) {
        let latency = self.nodes[node].latency;
        for output in out {
            match output {
                Output::Dial { conn, addr, .. } => self.dial(node, conn, addr),
                Output::Handshake { conn, verdict, head } => {
                    let Some(&(other, end)) = self.ends.get(&(node, conn)) else { continue };
                    let from = match end.direction() {
                        Direction::In => {
                            SocketAddr::new(self.nodes[node].addr.ip(), 40_000 + (self.accepted % 10_000) as u16)
                        }
                        Direction::Out => self.nodes[node].addr,
                    };
                    self.later(latency, other, Input::Handshake { conn: end, from, head });
                    match (verdict, conn.direction()) {
                        (Verdict::Accept, Direction::Out) => {
                            self.later(Duration::ZERO, node, Input::Connected { conn, room: usize::MAX });
                            self.later(latency, other, Input::Connected { conn: end, room: usize::MAX });
                        }
                        (Verdict::Refuse, _) => self.hang_up(node, conn),
                        _ => {}
                    }
                }
                Output::Send { to, frame } => {
                    for conn in to {
                        let Some(&(other, end)) = self.ends.get(&(node, conn)) else { continue };
                        *self.sent.entry((node, other, frame.header.kind)).or_default() += 1;
                        self.later(latency, other, Input::Frames { conn: end, batch: frame.clone().into() });
                    }
                }
                Output::Close { conn, .. } => self.hang_up(node, conn),
                Output::Event(event) => self.events.push((node, event)),
                Output::SendTo { .. } | Output::Announce(_) => {}
            }
        }
    }

    fn dial(&mut self, node: usize, conn: ConnId, addr: SocketAddr) {
        let latency = self.nodes[node].latency;
        match self.nodes.iter().position(|other| other.addr == addr && other.alive) {
            Some(other) => {
                self.accepted += 1;
                let end = ConnId::accepted(self.accepted);
                self.ends.insert((node, conn), (other, end));
                self.ends.insert((other, end), (node, conn));
                self.later(latency * 2, node, Input::Dialled { conn });
            }
            None => self.later(latency * 2, node, Input::DialFailed { conn, reason: DialFailure::Refused }),
        }
    }

    fn hang_up(&mut self, node: usize, conn: ConnId) {
        let Some((other, end)) = self.ends.remove(&(node, conn)) else { return };
        self.ends.remove(&(other, end));
        let latency = self.nodes[node].latency;
        self.later(latency, other, Input::Disconnected { conn: end, reason: CloseReason::Closed });
        self.later(Duration::ZERO, node, Input::Disconnected { conn, reason: CloseReason::Closed });
    }

    fn later(&mut self, wait: Duration, node: usize, input: Input) {
        self.caused += 1;
        self.ahead.insert((self.now + wait, self.caused), (node, input));
    }
}
