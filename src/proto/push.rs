//! Pushes: who cannot be connected to is asked to connect to us, and we connect to those who ask us.
//!
//! "A servent can request a file push by routing a Push request back to the servent that sent the QueryHit descriptor"
//! (0.6 draft, section 3.2). What passes by is sent on along the way of the hit. One for us makes us dial whom a
//! stranger named, so it is the strictest of all that strangers ask of us:
//!
//! * A public address: out of the budget of all dials for strangers ([`Hosts::may_dial_for_stranger`]).
//! * Any other: within a site nobody is counted by that budget, so [`PushDials`] counts them.
//!
//! [`Hosts::may_dial_for_stranger`]: super::hosts::Hosts::may_dial_for_stranger

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use crate::base::Instant;
use crate::wire::push::Push;
use crate::wire::{Frame, Guid, Kind};

use super::address::{canonical, is_dialable, is_public, may_name};
use super::router::Route;
use super::servent::Servent;
use super::{ConnId, DropReason, Event, Outbox, Output, PushBy};

/// Push proxies of one servent that are asked at a time.
const PROXIES_ASKED: usize = 3;
/// Dials in a minute that pushes to loopback, link-local and private addresses may cause, and to one of them.
const NEAR_DIALS: usize = 60;
const NEAR_DIALS_PER_HOST: usize = 30;
const MINUTE: Duration = Duration::from_secs(60);

/// Dials of the last minute to addresses that are not public.
#[derive(Debug, Default)]
pub(super) struct PushDials(VecDeque<(Instant, SocketAddr)>);

impl PushDials {
    /// Counts a dial, if there may be one more.
    fn spend(&mut self, now: Instant, addr: SocketAddr) -> bool {
        while self.0.front().is_some_and(|&(at, _)| now.since(at) >= MINUTE) {
            self.0.pop_front();
        }
        let there = self.0.iter().filter(|(_, to)| *to == addr).count();
        let may = self.0.len() < NEAR_DIALS && there < NEAR_DIALS_PER_HOST;
        if may {
            self.0.push_back((now, addr));
        }
        may
    }
}

impl Servent {
    /// Asks a servent whose hit we saw to connect to us.
    pub(super) fn send_push(&mut self, now: Instant, servent: Guid, index: u32, by: PushBy, out: &mut Outbox) {
        let Some(us) = self.own_addr() else {
            return out.push(Output::Event(Event::PushFailed { servent }));
        };
        if let PushBy::Proxies(named) = by {
            let mut proxies = Vec::new();
            for addr in named.into_iter().map(canonical) {
                let full = proxies.len() == PROXIES_ASKED;
                if !full && !proxies.contains(&addr) && !self.is_ourselves(addr) && self.may_dial_asked(now, addr) {
                    proxies.push(addr);
                }
            }
            out.push(Output::Event(match proxies.is_empty() {
                true => Event::PushFailed { servent },
                false => Event::AskProxies { servent, us, proxies },
            }));
            return;
        }
        let linked = self.links.of_servent(servent).map(|link| link.conn);
        let way = linked.or_else(|| self.router.way_of_push(&servent)).filter(|&way| self.links.get(way).is_some());
        let Some(way) = way else {
            return out.push(Output::Event(Event::PushFailed { servent }));
        };
        let payload = Push::new(servent, index, us).encode();
        let frame = Frame::new(Guid::random(&mut self.rng), Kind::Push, self.config.max_ttl, payload);
        self.counters.pushes_sent += 1;
        self.send(now, way, frame, out);
    }

    /// A push came: on its way to another, or for us.
    pub(super) fn on_push(&mut self, now: Instant, conn: ConnId, route: Route, frame: Frame, out: &mut Outbox) {
        if !self.allows(now, conn, |buckets| &mut buckets.pushes) {
            return self.drop_message(conn, DropReason::RateLimited);
        }
        if let Route::Back(way, header) = route {
            if !self.send(now, way, Frame { header, payload: frame.payload }, out) {
                return self.drop_message(conn, DropReason::NoRoute);
            }
            self.counters.pushes_routed += 1;
            return;
        }
        let Ok(push) = Push::decode(&frame.payload) else {
            return self.drop_message(conn, DropReason::Malformed);
        };
        let Some(teller) = self.links.get(conn).map(|link| link.identity.remote.ip()) else { return };
        let addr = canonical(push.host());
        if !is_dialable(addr) || !may_name(teller, addr.ip()) || self.is_ourselves(addr) {
            return self.drop_message(conn, DropReason::Malformed);
        }
        if !self.may_dial_asked(now, addr) {
            return self.drop_message(conn, DropReason::RateLimited);
        }
        self.counters.pushes_received += 1;
        out.push(Output::Event(Event::PushRequested { addr, index: push.index }));
    }

    /// Takes a dial that somebody asks of us, to an address of his choice, out of what there may be.
    pub(super) fn may_dial_asked(&mut self, now: Instant, addr: SocketAddr) -> bool {
        match is_public(addr.ip()) {
            true => self.hosts.may_dial_for_stranger(now, addr),
            false => is_dialable(addr) && self.push_dials.spend(now, addr),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dials_within_a_site_are_counted_for_each_host_and_in_all() {
        let mut dials = PushDials::default();
        let host = |n: u16| SocketAddr::from(([10, 0, (n >> 8) as u8, n as u8], 6346));
        let to_one = (0..1000).filter(|_| dials.spend(Instant::ZERO, host(1))).count();
        assert_eq!(to_one, NEAR_DIALS_PER_HOST);
        let to_many = (2..1000).filter(|n| dials.spend(Instant::ZERO, host(*n))).count();
        assert_eq!(to_many, NEAR_DIALS - NEAR_DIALS_PER_HOST);
        assert!(!dials.spend(Instant::from_secs(59), host(1)));
        assert!(dials.spend(Instant::from_secs(60), host(1)), "a minute later there are more");
        assert!(dials.0.len() <= NEAR_DIALS);
    }
}
