//! Pushes: who cannot be connected to is asked to connect to us, and we connect to those who ask us.
//!
//! "A servent can request a file push by routing a Push request back to the servent that sent the QueryHit descriptor"
//! (0.6 draft, section 3.2). What passes by is sent on along the way of the hit. One for us makes us dial whom a
//! stranger named, so it is the strictest of all that strangers ask of us:
//!
//! * A public address: out of the budget of all dials for strangers ([`Hosts::may_dial_for_stranger`]).
//! * Any other: within a site nobody is counted by that budget, so [`PushDials`] counts them.
//! * Pushes that were passed on, or came by UDP, never take all of either. What is left is for those that a neighbour
//!   itself sends: as a push proxy it saw the address that it names. Or one stranger with a thousand pushes would keep
//!   everybody from fetching from us.
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
use super::{ConnId, DropReason, Event, Outbox, Output, PushBy, Word};

/// Push proxies of one servent that are asked at a time.
const PROXIES_ASKED: usize = 3;
/// Dials in a minute that pushes to loopback, link-local and private addresses may cause, and to one of them.
const NEAR_DIALS: usize = 60;
const NEAR_DIALS_PER_HOST: usize = 30;
/// Of these, so many because of pushes that are no neighbour's own. Of the dials to public hosts they may take half.
const NEAR_DIALS_STRANGERS: usize = 40;
const MINUTE: Duration = Duration::from_secs(60);

/// Dials of the last minute that pushes caused.
#[derive(Debug, Default)]
pub(super) struct PushDials {
    /// To addresses that are not public.
    near: VecDeque<(Instant, SocketAddr, Word)>,
    /// To public ones, on the word of strangers.
    public: VecDeque<Instant>,
}

impl PushDials {
    /// Counts a dial to an address that is not public, if there may be one more.
    fn spend(&mut self, now: Instant, addr: SocketAddr, word: Word) -> bool {
        while self.near.front().is_some_and(|&(at, ..)| now.since(at) >= MINUTE) {
            self.near.pop_front();
        }
        let count = |is: &dyn Fn(SocketAddr, Word) -> bool| self.near.iter().filter(|(_, to, by)| is(*to, *by)).count();
        let strangers_may = word == Word::Neighbour || count(&|_, by| by == Word::Stranger) < NEAR_DIALS_STRANGERS;
        let may = strangers_may && self.near.len() < NEAR_DIALS && count(&|to, _| to == addr) < NEAR_DIALS_PER_HOST;
        if may {
            self.near.push_back((now, addr, word));
        }
        may
    }

    /// Whether strangers may make us dial one more public host, of `most` in a minute.
    fn public_is_left(&mut self, now: Instant, most: usize) -> bool {
        while self.public.front().is_some_and(|&at| now.since(at) >= MINUTE) {
            self.public.pop_front();
        }
        self.public.len() < most
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
                if !full
                    && !proxies.contains(&addr)
                    && !self.is_ourselves(addr)
                    && self.may_dial_asked(now, addr, Word::Neighbour)
                {
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
        let word = if frame.header.hops == 0 { Word::Neighbour } else { Word::Stranger };
        if !self.may_dial_asked(now, addr, word) {
            return self.drop_message(conn, DropReason::RateLimited);
        }
        self.counters.pushes_received += 1;
        out.push(Output::Event(Event::PushRequested { addr, index: push.index, word }));
    }

    /// Takes a dial that somebody asks of us, to an address of his choice, out of what there may be.
    pub(super) fn may_dial_asked(&mut self, now: Instant, addr: SocketAddr, word: Word) -> bool {
        if !is_public(addr.ip()) {
            return is_dialable(addr) && self.push_dials.spend(now, addr, word);
        }
        let half = self.config.limits.stranger_dials_per_minute.div_ceil(2);
        if word == Word::Stranger && !self.push_dials.public_is_left(now, half) {
            return false;
        }
        let may = self.hosts.may_dial_for_stranger(now, addr);
        if may && word == Word::Stranger {
            self.push_dials.public.push_back(now);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dials_within_a_site_are_counted_for_each_host_and_in_all() {
        let mut dials = PushDials::default();
        let host = |n: u16| SocketAddr::from(([10, 0, (n >> 8) as u8, n as u8], 6346));
        let by = Word::Neighbour;
        let to_one = (0..1000).filter(|_| dials.spend(Instant::ZERO, host(1), by)).count();
        assert_eq!(to_one, NEAR_DIALS_PER_HOST);
        let to_many = (2..1000).filter(|n| dials.spend(Instant::ZERO, host(*n), by)).count();
        assert_eq!(to_many, NEAR_DIALS - NEAR_DIALS_PER_HOST);
        assert!(!dials.spend(Instant::from_secs(59), host(1), by));
        assert!(dials.spend(Instant::from_secs(60), host(1), by), "a minute later there are more");
        assert!(dials.near.len() <= NEAR_DIALS);
    }

    #[test]
    fn strangers_never_take_all_dials() {
        let mut dials = PushDials::default();
        let host = |n: u16| SocketAddr::from(([10, 0, (n >> 8) as u8, n as u8], 6346));
        let theirs = (0..1000).filter(|n| dials.spend(Instant::ZERO, host(*n), Word::Stranger)).count();
        let ours = (1000..2000).filter(|n| dials.spend(Instant::ZERO, host(*n), Word::Neighbour)).count();
        assert_eq!((theirs, ours), (NEAR_DIALS_STRANGERS, NEAR_DIALS - NEAR_DIALS_STRANGERS));
    }
}
