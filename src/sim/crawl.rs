//! A stranger that draws a map of a world: it dials one ultrapeer after the other with `Crawler` in its handshake, reads who
//! is linked there, and goes on to those. It is no servent and keeps no link.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use crate::proto::{ConnId, Input};
use crate::wire::addr;
use crate::wire::handshake::Head;
use crate::wire::head::Headers;

use super::world::{Node, Parcel, ServentId, World};

/// How long a crawler waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a crawler found out.
#[derive(Clone, Debug)]
pub struct Crawl {
    /// Where it is itself.
    pub from: SocketAddr,
    /// The second legs of those that it asked.
    pub answers: BTreeMap<SocketAddr, Head>,
    /// Whom they named.
    pub found: BTreeSet<SocketAddr>,
}

impl World {
    /// Lets a stranger ask `first`, and all ultrapeers of which it hears so, who is linked to them.
    pub fn crawl(&mut self, first: ServentId) -> Crawl {
        let id = self.nodes.len();
        self.nodes.push(Node { heard: Some(Vec::new()), ..Node::new(id) });
        let mut crawl =
            Crawl { from: self.nodes[id].addr, answers: BTreeMap::new(), found: BTreeSet::from([self.addr(first)]) };
        let mut next = VecDeque::from([self.addr(first)]);
        let mut dials = 0;
        while let Some(addr) = next.pop_front() {
            dials += 1;
            let Some(head) = self.ask(id, ConnId::dialled(dials), addr) else { continue };
            let named = |header: &str| head.headers().items(header).filter_map(addr::parse).collect::<Vec<_>>();
            crawl.found.extend(named("Leaves"));
            next.extend(named("Peers").into_iter().filter(|&peer| crawl.found.insert(peer)));
            crawl.answers.insert(addr, head);
        }
        crawl
    }

    /// One visit: the second leg, if there came one before the connection ended.
    fn ask(&mut self, id: ServentId, conn: ConnId, addr: SocketAddr) -> Option<Head> {
        self.dial(id, conn, addr);
        let deadline = self.now + PATIENCE;
        let mut answer = None;
        while self.run_until(deadline, |world| world.nodes[id].heard.as_ref().is_some_and(|heard| !heard.is_empty())) {
            for input in self.nodes[id].heard.iter_mut().flat_map(std::mem::take).collect::<Vec<_>>() {
                match input {
                    Input::Dialled { .. } => {
                        let headers = Headers::default().with("User-Agent", "crawler").with("Crawler", "0.1");
                        self.carry(id, conn, Parcel::Leg(Head::Connect { version: (0, 6), headers }));
                    }
                    Input::Handshake { head, .. } => answer = Some(head),
                    Input::Disconnected { .. } | Input::DialFailed { .. } => return answer,
                    _ => {}
                }
            }
        }
        self.close(id, conn, crate::proto::CloseReason::Closed);
        answer
    }
}
