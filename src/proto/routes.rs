//! Reverse paths: by which link a message came, so that what answers it goes back the same way.
//!
//! "Pong descriptors may only be sent along the same path that carried the incoming Ping descriptor ...
//! QueryHit descriptors may only be sent along the same path that carried the incoming Query descriptor ...
//! Push descriptors may only be sent along the same path that carried the incoming QueryHit descriptor"
//! (Gnutella 0.4 protocol, "Descriptor Routing").
//!
//! A connection's number is never used again, so the paths over a link that went away need no clearing:
//! they lead to nobody, and leave the tables by age.

use crate::base::{HashSeed, Lru};
use crate::wire::Guid;

use super::ConnId;

/// Three tables of ways back; each grows on demand up to its bound, the way used longest ago leaves first.
#[derive(Debug)]
pub(super) struct Routes {
    pings: Lru<Guid, ConnId>,
    queries: Lru<Guid, ConnId>,
    servents: Lru<Guid, ConnId>,
}

impl Routes {
    pub(super) fn new(bound: usize, seed: HashSeed) -> Self {
        Self { pings: Lru::new(bound, seed), queries: Lru::new(bound, seed), servents: Lru::new(bound, seed) }
    }

    /// A ping went on for `from`: pongs that answer it go there.
    pub(super) fn ping_came(&mut self, guid: Guid, from: ConnId) {
        self.pings.put(guid, from);
    }

    /// A query came from `from`: hits for it go there.
    pub(super) fn query_came(&mut self, guid: Guid, from: ConnId) {
        self.queries.put(guid, from);
    }

    /// A hit by `servent` came from `from`: pushes to that servent go there. The latest hit is the best
    /// guess, its way was open a moment ago.
    pub(super) fn hit_came(&mut self, servent: Guid, from: ConnId) {
        self.servents.put(servent, from);
    }

    /// The way of a pong.
    pub(super) fn of_pong(&mut self, ping: &Guid) -> Option<ConnId> {
        self.pings.get(ping).copied()
    }

    /// The way of a hit.
    pub(super) fn of_hit(&mut self, query: &Guid) -> Option<ConnId> {
        self.queries.get(query).copied()
    }

    /// The way of a push.
    pub(super) fn of_push(&mut self, servent: &Guid) -> Option<ConnId> {
        self.servents.get(servent).copied()
    }

    /// The query did not count after all.
    pub(super) fn forget_query(&mut self, guid: &Guid) {
        self.queries.remove(guid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;

    #[test]
    fn the_three_tables_do_not_mix_and_each_has_its_bound() {
        let mut routes = Routes::new(2, HashSeed::new(&mut Rng::from_number(1)));
        let [a, b, c] = [1, 2, 3].map(|n| Guid([n; 16]));
        let link = ConnId::dialled;
        routes.ping_came(a, link(1));
        routes.query_came(a, link(2));
        routes.hit_came(a, link(3));
        assert_eq!(routes.of_pong(&a), Some(link(1)));
        assert_eq!(routes.of_hit(&a), Some(link(2)));
        assert_eq!(routes.of_push(&a), Some(link(3)));
        routes.query_came(b, link(4));
        assert_eq!(routes.of_hit(&a), Some(link(2)), "using a way keeps it");
        routes.query_came(c, link(5));
        assert_eq!(routes.of_hit(&b), None, "the way used longest ago left");
        routes.forget_query(&c);
        assert_eq!(routes.of_hit(&c), None);
        routes.hit_came(a, link(9));
        assert_eq!(routes.of_push(&a), Some(link(9)), "the latest hit names the way of a push");
    }
}
