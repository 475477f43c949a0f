//! Reachability: can others connect to us?
//!
//! *Yes* is proven by a connection that somebody opens to us from as far away as our own address reaches; one that we
//! asked for by a Push proves nothing, its sender was told where to find us when it mattered. To learn it, neighbours
//! are asked to connect back (BEAR/7): the first soon, ever more rarely then. *No* is what we believe when they were
//! asked and nobody came; whoever comes later proves otherwise at once. A new address is a new question.
//!
//! Within a site a peer of the site is proof enough: nobody else is to reach us there.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::base::Instant;

use super::address::{Scope, scope};

/// Can others connect to us?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reachable {
    /// Nobody knows yet.
    #[default]
    Unknown,
    /// Somebody did.
    Yes,
    /// Neighbours were asked to, and nobody did.
    No,
}

impl Reachable {
    /// The word for it: `yes no unknown`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Yes => "yes",
            Self::No => "no",
        }
    }
}

/// Peers often dial us by themselves: so long we wait for that before we ask.
const GRACE: Duration = Duration::from_secs(3);
/// Who is asked has so long to come. A dial takes ten seconds at most.
const ANSWER: Duration = Duration::from_secs(15);
/// Neighbours that are asked at a time.
pub(super) const ASKED: usize = 2;
/// So many that were asked and did not come mean no.
const ENOUGH: usize = 2;
/// When nobody came: the first wait before we ask again, and the longest.
const AGAIN_FIRST: Duration = Duration::from_secs(120);
const AGAIN_LAST: Duration = Duration::from_secs(3600);
/// A proof is believed for so long.
const PROOF: Duration = Duration::from_secs(3600);

/// What we know of it.
#[derive(Debug)]
pub(super) struct Reach {
    known: Reachable,
    /// The address that it is about.
    us: Option<SocketAddr>,
    /// When to look again; `None` until there is somebody to ask.
    due: Option<Instant>,
    /// Asked and not come, in this round and since the last proof.
    awaited: usize,
    missed: usize,
    wait: Duration,
    asked_at: Option<Instant>,
    proven_at: Option<Instant>,
}

impl Default for Reach {
    fn default() -> Self {
        Self {
            known: Reachable::Unknown,
            us: None,
            due: None,
            awaited: 0,
            missed: 0,
            wait: AGAIN_FIRST,
            asked_at: None,
            proven_at: None,
        }
    }
}

impl Reach {
    pub(super) fn known(&self) -> Reachable {
        self.known
    }

    /// When to call [`Self::look`].
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Our address is this one now, and whether there is a neighbour that can be asked.
    pub(super) fn is_at(&mut self, now: Instant, us: Option<SocketAddr>, anybody: bool) {
        if self.us != us {
            self.us = us;
            (self.known, self.awaited, self.missed) = (Reachable::Unknown, 0, 0);
            (self.due, self.proven_at) = (None, None);
        }
        if anybody && self.due.is_none() && self.us.is_some() {
            // However often our address changes, and peers come and go: neighbours are not asked all the time.
            let rested = self.asked_at.map_or(now, |at| at + AGAIN_FIRST / 2);
            let in_doubt = self.proven_at.map_or(now, |at| at + PROOF);
            self.due = Some(rested.max(in_doubt).max(now + GRACE));
        }
    }

    /// Somebody opened a connection to us.
    pub(super) fn on_incoming(&mut self, now: Instant, from: IpAddr) {
        let proves = self.us.is_some_and(|us| {
            let ourselves = from == us.ip() && scope(from) == Scope::World;
            scope(from) >= scope(us.ip()) && !ourselves
        });
        if proves {
            self.known = Reachable::Yes;
            (self.awaited, self.missed, self.wait) = (0, 0, AGAIN_FIRST);
            self.proven_at = Some(now);
            self.due = self.due.map(|_| now + PROOF);
        }
    }

    /// The time has come: whether neighbours are to be asked now; [`Self::asked`] comes next then.
    pub(super) fn look(&mut self, now: Instant) -> bool {
        if self.due.is_none_or(|due| due > now) {
            return false;
        }
        if self.awaited == 0 {
            return true;
        }
        self.missed += std::mem::take(&mut self.awaited);
        if self.missed < ENOUGH {
            return true;
        }
        self.known = Reachable::No;
        self.due = Some(now + self.wait);
        self.wait = (self.wait * 2).min(AGAIN_LAST);
        false
    }

    /// So many were asked.
    pub(super) fn asked(&mut self, now: Instant, count: usize) {
        self.awaited = count;
        if count == 0 {
            self.due = None;
            return;
        }
        self.asked_at = Some(now);
        self.due = Some(now + ANSWER);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Instant {
        Instant::from_secs(secs)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn reach(us: &str) -> Reach {
        let mut reach = Reach::default();
        reach.is_at(at(0), Some(SocketAddr::new(ip(us), 6346)), true);
        reach
    }

    #[test]
    fn who_opens_a_connection_proves_it_if_he_is_as_far_away_as_our_address_reaches() {
        for (us, from, proves) in [
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "10.0.0.7", true),
            ("10.0.0.1", "127.0.0.1", false),
            ("10.0.0.1", "10.0.0.7", true),
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "8.8.8.8", true),
            ("9.9.9.9", "10.0.0.7", false),
            ("9.9.9.9", "9.9.9.9", false),
            ("9.9.9.9", "8.8.8.8", true),
        ] {
            let mut reach = reach(us);
            reach.on_incoming(at(1), ip(from));
            assert_eq!(reach.known() == Reachable::Yes, proves, "{us}, {from}");
        }
        let mut nowhere = Reach::default();
        nowhere.on_incoming(at(1), ip("8.8.8.8"));
        assert_eq!(nowhere.known(), Reachable::Unknown, "we are nowhere");
    }

    #[test]
    fn neighbours_are_asked_soon_and_then_ever_more_rarely() {
        let mut reach = reach("9.9.9.9");
        let (mut times, mut now) = (Vec::new(), at(0));
        while times.len() < 9 {
            now = reach.due().expect("it goes on");
            if reach.look(now) {
                times.push(now.as_micros() / 1_000_000);
                reach.asked(now, if times.len() == 1 { 1 } else { 2 });
            }
        }
        assert_eq!(times, [3, 18, 153, 408, 903, 1878, 3813, 7428, 11043]);
        assert_eq!(reach.known(), Reachable::No);
        reach.on_incoming(now, ip("8.8.8.8"));
        assert_eq!((reach.known(), reach.due()), (Reachable::Yes, Some(now + PROOF)), "whoever comes proves otherwise");
    }

    #[test]
    fn a_new_address_is_a_new_question_and_an_old_proof_too() {
        let mut reach = reach("9.9.9.9");
        reach.on_incoming(at(1), ip("8.8.8.8"));
        reach.is_at(at(2), Some(SocketAddr::new(ip("9.9.9.9"), 6346)), true);
        assert_eq!(reach.known(), Reachable::Yes, "that is no news");
        reach.is_at(at(10), Some(SocketAddr::new(ip("9.9.9.8"), 6346)), true);
        assert_eq!((reach.known(), reach.due()), (Reachable::Unknown, Some(at(13))));
        assert!(reach.look(at(13)));
        reach.asked(at(13), 2);
        reach.is_at(at(14), Some(SocketAddr::new(ip("9.9.9.7"), 6346)), true);
        assert_eq!(reach.due(), Some(at(73)), "but not sooner than a minute after the last");
        reach.on_incoming(at(20), ip("8.8.8.8"));
        assert!(!reach.look(at(3600)));
        assert!(reach.look(at(3620)), "an hour later nobody knows whether it still holds");
        reach.asked(at(3620), 0);
        assert_eq!((reach.known(), reach.due()), (Reachable::Yes, None), "nobody can be asked");
        reach.is_at(at(4000), Some(SocketAddr::new(ip("9.9.9.7"), 6346)), false);
        assert_eq!(reach.due(), None);
        reach.is_at(at(4000), Some(SocketAddr::new(ip("9.9.9.7"), 6346)), true);
        assert_eq!(reach.due(), Some(at(4003)));
    }
}
