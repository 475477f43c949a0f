//! The router decides; the servent acts.
//!
//! Every rule about where a message goes is here, and reads as little of the message as it can: the header,
//! and of hits and pushes the one GUID that names a servent. The header that a [`Route`] carries is the
//! one to send on.

use crate::base::{Instant, Rng};
use crate::wire::hit::QueryHit;
use crate::wire::push::Push;
use crate::wire::{FrameRef, Frames, Guid, Header, Kind};

use super::config::Config;
use super::routes::Routes;
use super::search::Searches;
use super::seen::{Print, Seen};
use super::{ConnId, DropReason, SearchId, ttl};

/// Where a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// Look at it here, and send it with this header to all neighbours but the one it came from.
    Flood(Header),
    /// Send it with this header on this link.
    Back(ConnId, Header),
    /// It is for us alone.
    Local(Header),
    /// Nowhere.
    Drop(DropReason),
}

/// What the router remembers.
#[derive(Debug)]
pub(super) struct Router {
    seen: Seen,
    routes: Routes,
    searches: Searches,
    servent: Guid,
    max_ttl: u8,
}

impl Router {
    pub(super) fn new(config: &Config, rng: &mut Rng) -> Self {
        let limits = &config.limits;
        let mut seed = || crate::base::HashSeed::new(rng);
        Self {
            seen: Seen::new(limits.seen, limits.seen_max, limits.seen_age, seed()),
            routes: Routes::new(limits.routes, seed()),
            searches: Searches::new(limits.searches),
            servent: config.servent,
            max_ttl: config.max_ttl,
        }
    }

    /// These messages are about to be decided on, one by one: the fingerprint of each.
    pub(super) fn expect(&self, batch: &Frames) -> Vec<Print> {
        self.seen.expect(batch.iter().map(|frame| frame.header.guid))
    }

    /// Where a message goes that came from `from` just now. A query that floods is remembered by this:
    /// [`Self::take_back`] if it turns out not to count.
    ///
    /// `asked` is the GUID of the ping that we sent last on that link, `print` what [`Self::expect`] said of the message.
    pub(super) fn decide(
        &mut self,
        now: Instant,
        from: ConnId,
        asked: Option<Guid>,
        FrameRef { header, payload, .. }: FrameRef<'_>,
        print: Print,
    ) -> Route {
        // A Bye concerns this link alone and is the last word on it; no TTL makes it less true.
        if header.kind == Kind::Bye {
            return Route::Local(header);
        }
        let Some(header) = ttl::arrive(header, self.max_ttl) else {
            return Route::Drop(DropReason::BadHops);
        };
        match header.kind {
            Kind::Query => self.query(now, from, header, print),
            Kind::QueryHit => self.hit(from, header, payload),
            Kind::Push => self.push(from, header, payload),
            // Pings are answered from what we know; the servent may ask single neighbours on its behalf.
            Kind::Ping => Route::Local(header),
            Kind::Pong if asked == Some(header.guid) => Route::Local(header),
            Kind::Pong => {
                let way = self.routes.of_pong(&header.guid);
                back(way, from, header)
            }
            // They concern one link.
            Kind::RouteTableUpdate => Route::Local(header),
            Kind::Vendor | Kind::VendorStandard if header.hops == 0 => Route::Local(header),
            // We do not advertise these, so nobody should send them; no servent routes them.
            Kind::Vendor | Kind::VendorStandard | Kind::Bye | Kind::Other(_) => Route::Drop(DropReason::Unknown),
        }
    }

    /// The query that `decide` just let through does not count after all: another copy may be better.
    pub(super) fn take_back(&mut self, guid: &Guid) {
        self.seen.forget(self.seen.print(guid));
        self.routes.forget_query(guid);
    }

    /// A query of ours goes out: copies of it that come back are recognised, hits for it are ours.
    pub(super) fn originate(&mut self, now: Instant, guid: Guid, search: SearchId) {
        self.seen.is_first(self.seen.print(&guid), now);
        self.searches.begin(guid, search);
    }

    /// A search takes no more hits. The GUIDs under which it went out.
    pub(super) fn end_search(&mut self, search: SearchId) -> Vec<Guid> {
        self.searches.end(search)
    }

    /// A hit with so many files came for a query of ours.
    pub(super) fn found(&mut self, query: &Guid, files: u8) {
        self.searches.found(query, files);
    }

    /// How many files were found for a query of ours, if it still takes hits.
    pub(super) fn files_of(&self, query: &Guid) -> Option<u16> {
        self.searches.files_of(query)
    }

    /// Whose hit this is, if it is ours.
    pub(super) fn search_of(&self, query: &Guid) -> Option<SearchId> {
        self.searches.of(query)
    }

    /// Pongs that answer `ping` go to `from`.
    pub(super) fn ping_went_on(&mut self, ping: Guid, from: ConnId) {
        self.routes.ping_came(ping, from);
    }

    /// The way of a hit of ours.
    pub(super) fn way_of_hit(&mut self, query: &Guid) -> Option<ConnId> {
        self.routes.of_hit(query)
    }

    /// The way of a push of ours.
    pub(super) fn way_of_push(&mut self, servent: &Guid) -> Option<ConnId> {
        self.routes.of_push(servent)
    }

    fn query(&mut self, now: Instant, from: ConnId, header: Header, print: Print) -> Route {
        if !self.seen.is_first(print, now) {
            let own = self.searches.of(&header.guid).is_some();
            return Route::Drop(if own { DropReason::Own } else { DropReason::Duplicate });
        }
        self.routes.query_came(header.guid, from);
        match ttl::onward(header) {
            Some(on) => Route::Flood(on),
            None => Route::Local(header),
        }
    }

    fn hit(&mut self, from: ConnId, header: Header, payload: &[u8]) -> Route {
        let Some(servent) = QueryHit::servent_of(payload) else {
            return Route::Drop(DropReason::Malformed);
        };
        let ours = self.searches.of(&header.guid).is_some();
        let route = if ours { Route::Local(header) } else { back(self.routes.of_hit(&header.guid), from, header) };
        // Only a hit that somebody asked for leads pushes: the table is not for strangers to fill.
        if !matches!(route, Route::Drop(_)) {
            self.routes.hit_came(servent, from);
        }
        route
    }

    fn push(&mut self, from: ConnId, header: Header, payload: &[u8]) -> Route {
        match Push::servent_of(payload) {
            None => Route::Drop(DropReason::Malformed),
            Some(servent) if servent == self.servent => Route::Local(header),
            Some(servent) => back(self.routes.of_push(&servent), from, header),
        }
    }
}

/// Back along `way`, never to where it came from.
fn back(way: Option<ConnId>, from: ConnId, header: Header) -> Route {
    match (way, ttl::onward(header)) {
        (Some(way), _) if way == from => Route::Drop(DropReason::NoRoute),
        (Some(way), Some(on)) => Route::Back(way, on),
        (Some(_), None) => Route::Drop(DropReason::TtlExpired),
        (None, _) => Route::Drop(DropReason::NoRoute),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Frame;

    const ME: Guid = Guid([0xee; 16]);

    fn router() -> Router {
        Router::new(&Config::new(ME), &mut Rng::from_number(1))
    }

    fn link(n: u64) -> ConnId {
        ConnId::dialled(n)
    }

    /// Decides on a message that comes alone.
    fn decide(router: &mut Router, from: u64, asked: Option<Guid>, header: Header, payload: &[u8]) -> Route {
        let batch = Frames::from(Frame { header, payload: payload.to_vec().into() });
        let print = router.expect(&batch)[0];
        let frame = batch.iter().next().expect("one message");
        router.decide(Instant::ZERO, link(from), asked, frame, print)
    }

    fn header(kind: Kind, guid: u8, ttl: u8, hops: u8) -> Header {
        Header { guid: Guid([guid; 16]), kind, ttl, hops }
    }

    /// A hit or push payload that names `servent`: first and last sixteen bytes.
    fn names(servent: u8) -> Vec<u8> {
        vec![servent; 64]
    }

    #[test]
    fn each_message_goes_where_the_rules_say() {
        use DropReason::*;
        use Kind::{Bye, Ping, Pong, Push, Query, QueryHit, RouteTableUpdate, Vendor};
        let mut router = router();
        router.originate(Instant::ZERO, Guid([9; 16]), SearchId(1));
        router.ping_went_on(Guid([7; 16]), link(1));
        let went = |kind, guid, ttl, hops| header(kind, guid, ttl, hops);
        // In this order: (link, asked, kind, GUID, TTL, hops, servent named) and what is decided.
        let rows = [
            ("a query floods", 1, Query, 1, 4, 0, 0, Route::Flood(went(Query, 1, 3, 1))),
            ("its copy does not", 2, Query, 1, 4, 1, 0, Route::Drop(Duplicate)),
            ("not with a greater TTL either", 3, Query, 1, 7, 0, 0, Route::Drop(Duplicate)),
            ("nor from where it came", 1, Query, 1, 4, 0, 0, Route::Drop(Duplicate)),
            ("ours that came back", 1, Query, 9, 3, 1, 0, Route::Drop(Own)),
            ("TTL 255 is clipped", 1, Query, 2, 255, 0, 0, Route::Flood(went(Query, 2, 6, 1))),
            ("the last link", 1, Query, 3, 1, 3, 0, Route::Local(went(Query, 3, 1, 3))),
            ("TTL 0", 1, Query, 4, 0, 3, 0, Route::Drop(BadHops)),
            ("too many hops", 1, Query, 4, 1, 7, 0, Route::Drop(BadHops)),
            ("which was not remembered", 1, Query, 4, 2, 5, 0, Route::Flood(went(Query, 4, 1, 6))),
            ("a hit goes back", 2, QueryHit, 1, 3, 0, 0x55, Route::Back(link(1), went(QueryHit, 1, 2, 1))),
            ("with TTL 1 it does not", 2, QueryHit, 1, 1, 3, 0x55, Route::Drop(TtlExpired)),
            ("not to where it came from", 1, QueryHit, 1, 3, 0, 0x55, Route::Drop(NoRoute)),
            ("a hit nobody asked for", 1, QueryHit, 8, 3, 0, 0x66, Route::Drop(NoRoute)),
            ("a hit for us", 2, QueryHit, 9, 1, 2, 0x77, Route::Local(went(QueryHit, 9, 1, 2))),
            ("a push follows the hit back", 1, Push, 1, 3, 0, 0x55, Route::Back(link(2), went(Push, 1, 2, 1))),
            ("also for a hit of ours", 1, Push, 1, 3, 0, 0x77, Route::Back(link(2), went(Push, 1, 2, 1))),
            ("an unwanted hit led nowhere", 2, Push, 1, 3, 0, 0x66, Route::Drop(NoRoute)),
            ("a push for us", 2, Push, 5, 1, 5, 0xee, Route::Local(went(Push, 5, 1, 5))),
            ("a ping is for us", 2, Ping, 5, 7, 0, 0, Route::Local(went(Ping, 5, 7, 0))),
            ("a pong goes back", 2, Pong, 7, 2, 0, 0, Route::Back(link(1), went(Pong, 7, 1, 1))),
            ("a pong nobody asked for", 2, Pong, 1, 2, 0, 0, Route::Drop(NoRoute)),
            ("our pong", 2, Pong, 0xaa, 1, 0, 0, Route::Local(went(Pong, 0xaa, 1, 0))),
            ("Bye whatever its TTL", 2, Bye, 1, 0, 0, 0, Route::Local(went(Bye, 1, 0, 0))),
            ("a table", 2, RouteTableUpdate, 1, 1, 0, 0, Route::Local(went(RouteTableUpdate, 1, 1, 0))),
            ("a vendor's", 2, Vendor, 1, 1, 0, 0, Route::Local(went(Vendor, 1, 1, 0))),
            ("a vendor's from afar", 2, Vendor, 1, 1, 1, 0, Route::Drop(Unknown)),
            ("an unheard-of kind", 2, Kind::Other(0x99), 1, 1, 0, 0, Route::Drop(Unknown)),
        ];
        for (why, from, kind, guid, ttl, hops, servent, want) in rows {
            let asked = Some(Guid([0xaa; 16]));
            let got = decide(&mut router, from, asked, header(kind, guid, ttl, hops), &names(servent));
            assert_eq!(got, want, "{why}");
        }
    }

    #[test]
    fn hits_and_pushes_too_short_to_name_a_servent_are_malformed() {
        let mut router = router();
        for kind in [Kind::QueryHit, Kind::Push] {
            for len in 0..16 {
                let got = decide(&mut router, 1, None, header(kind, 1, 3, 0), &vec![0; len]);
                assert_eq!(got, Route::Drop(DropReason::Malformed), "{kind:?} of {len} bytes");
            }
        }
    }

    #[test]
    fn a_query_taken_back_leaves_the_next_copy_the_first() {
        let mut router = router();
        let query = header(Kind::Query, 1, 4, 0);
        let flood = Route::Flood(header(Kind::Query, 1, 3, 1));
        assert_eq!(decide(&mut router, 1, None, query, &[]), flood);
        router.take_back(&query.guid);
        assert_eq!(router.way_of_hit(&query.guid), None);
        assert_eq!(decide(&mut router, 2, None, query, &[]), flood);
        assert_eq!(router.way_of_hit(&query.guid), Some(link(2)));
    }

    #[test]
    fn an_ended_search_takes_no_hits_and_its_query_still_does_not_flood_back() {
        let mut router = router();
        router.originate(Instant::ZERO, Guid([9; 16]), SearchId(1));
        router.end_search(SearchId(1));
        let mut came = |kind| decide(&mut router, 1, None, header(kind, 9, 3, 1), &names(0));
        assert_eq!(came(Kind::QueryHit), Route::Drop(DropReason::NoRoute));
        assert_eq!(came(Kind::Query), Route::Drop(DropReason::Duplicate));
    }
}
