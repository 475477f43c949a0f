//! What tests and reports ask a world. Nothing here changes it.

use std::fmt;

use crate::base::Instant;
use crate::proto::{Config, ConnId, Counters, PeerInfo, Servent};
use crate::wire::Guid;

use super::flood::Flood;
use super::options::Found;
use super::topology::Graph;
use super::world::{ServentId, World};
use std::net::SocketAddr;

/// Two servents that do not agree about a link between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asymmetry {
    /// The one.
    pub a: ServentId,
    /// The other.
    pub b: ServentId,
    /// What they do not agree about.
    pub about: String,
}

impl fmt::Display for Asymmetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "servents {} and {} do not agree: {}", self.a, self.b, self.about)
    }
}

impl World {
    /// What servents are made from if nothing else is said.
    pub fn config(&self) -> Config {
        self.options.config.clone()
    }

    /// The virtual time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Whether no query and no hit is on any link.
    pub fn is_quiet(&self) -> bool {
        self.under_way == 0
    }

    /// How many servents there are, dead ones included.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The servents that live, ascending.
    pub fn alive(&self) -> Vec<ServentId> {
        (0..self.nodes.len()).filter(|&id| self.nodes[id].servent.is_some()).collect()
    }

    /// A servent; `None` when it is dead.
    pub fn servent(&self, id: ServentId) -> Option<&Servent> {
        self.nodes[id].servent.as_ref()
    }

    /// Where a servent listens.
    pub fn addr(&self, id: ServentId) -> SocketAddr {
        self.nodes[id].addr
    }

    /// A servent's own totals; zeros when it is dead.
    pub fn counters(&self, id: ServentId) -> Counters {
        self.servent(id).map(|servent| *servent.counters()).unwrap_or_default()
    }

    /// A servent's peers with their numbers, in the order of its connections.
    pub fn peers(&self, id: ServentId) -> Vec<(ServentId, PeerInfo)> {
        let peers = self.servent(id).map(Servent::peers).unwrap_or_default();
        peers.into_iter().filter_map(|peer| Some((self.other_end(id, peer.conn)?, peer))).collect()
    }

    /// What `a` knows of its link with `b`; `None` if there is none.
    pub fn peer(&self, a: ServentId, b: ServentId) -> Option<PeerInfo> {
        self.peers(a).into_iter().find(|&(other, _)| other == b).map(|(_, peer)| peer)
    }

    /// The links that both ends have, as a graph over all servents.
    pub fn graph(&self) -> Graph {
        let held: Vec<Vec<ServentId>> =
            (0..self.len()).map(|id| self.peers(id).into_iter().map(|(other, _)| other).collect()).collect();
        let edges = (0..self.len()).flat_map(|a| held[a].iter().map(move |&b| (a, b)));
        Graph::from_edges(self.len(), edges.filter(|&(a, b)| held[b].contains(&a)))
    }

    /// Whether every living servent can reach every other over links.
    pub fn is_connected(&self) -> bool {
        let (graph, alive) = (self.graph(), self.alive());
        let Some(&first) = alive.first() else { return true };
        let distances = graph.distances(first);
        alive.into_iter().all(|id| distances[id].is_some())
    }

    /// Whether both ends of every link agree: each has the other as a peer once, and, when nothing is under
    /// way, what one sent is what the other received. Call it when the world is quiet.
    pub fn check_symmetric(&self) -> Result<(), Asymmetry> {
        for a in 0..self.len() {
            let peers = self.peers(a);
            for (b, peer) in &peers {
                let asymmetry = |about: String| Err(Asymmetry { a, b: *b, about });
                if peers.iter().filter(|(other, _)| other == b).count() != 1 {
                    return asymmetry(format!("{a} has {b} more than once"));
                }
                let Some(back) = self.peer(*b, a) else {
                    return asymmetry(format!("{a} has {b} as a peer, {b} has not {a}"));
                };
                if peer.direction == back.direction {
                    return asymmetry(format!("both say {:?}", peer.direction));
                }
                if peer.sent != back.received {
                    return asymmetry(format!("{a} sent {:?}, {b} received {:?}", peer.sent, back.received));
                }
            }
        }
        Ok(())
    }

    /// What became of a query.
    pub fn flood(&self, guid: Guid) -> Option<&Flood> {
        self.floods.get(&guid)
    }

    /// All queries, in the order in which they began.
    pub fn floods(&self) -> impl Iterator<Item = &Flood> {
        self.floods.values()
    }

    /// All hits that came back, in order.
    pub fn found(&self) -> &[Found] {
        &self.found
    }

    /// The hits for one query, in order.
    pub fn found_for(&self, guid: Guid) -> impl Iterator<Item = &Found> {
        self.found.iter().filter(move |found| found.query == guid)
    }

    /// The connection by which `a` is linked to `b`: the first one that is open.
    pub(super) fn conn_between(&self, a: ServentId, b: ServentId) -> Option<ConnId> {
        self.nodes[a].conns.keys().copied().find(|&conn| self.other_end(a, conn) == Some(b))
    }

    fn other_end(&self, id: ServentId, conn: ConnId) -> Option<ServentId> {
        let (link, side) = (*self.nodes[id].conns.get(&conn)?)?;
        Some(self.links[link].ends[1 - side].servent)
    }
}
