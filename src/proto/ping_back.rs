//! Do unsolicited datagrams reach us? A neighbour is asked to ping us by UDP with a GUID that we draw (GTKG/7).
//!
//! *Yes* is believed for an hour after such a Ping came, from as far away as our own address reaches; then neighbours are asked
//! anew. Until one comes two are asked at a time, soon after the first link and ever more rarely then. A neighbour to which we
//! sent a datagram of late proves less, since a router may let its answers in; that is not looked at.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::base::Instant;
use crate::wire::Guid;

use super::address::{Scope, scope};
use super::reach::Reachable;

/// So long after there is somebody to ask he is asked: links come several at a time.
const GRACE: Duration = Duration::from_secs(1);
/// When no ping came: the first wait before we ask again, and the longest.
const AGAIN_FIRST: Duration = Duration::from_secs(15);
const AGAIN_LAST: Duration = Duration::from_secs(3600);
/// A proof is believed for so long, and until the next one had time to come.
const PROOF: Duration = Duration::from_secs(3600);
const ANSWER: Duration = Duration::from_secs(60);
/// Neighbours that are asked at a time.
pub(super) const ASKED: usize = 2;

/// What we know of it.
#[derive(Debug)]
pub(super) struct PingBack {
    /// The address that it is about.
    us: Option<SocketAddr>,
    asked: Option<Guid>,
    asked_at: Option<Instant>,
    /// When to ask; `None` until there is somebody to ask.
    due: Option<Instant>,
    wait: Duration,
    proven_at: Option<Instant>,
}

impl Default for PingBack {
    fn default() -> Self {
        Self { us: None, asked: None, asked_at: None, due: None, wait: AGAIN_FIRST, proven_at: None }
    }
}

impl PingBack {
    /// Whether datagrams of strangers reach us.
    pub(super) fn is_proven(&self, now: Instant) -> bool {
        self.proven_at.is_some_and(|at| now.since(at) < PROOF + ANSWER)
    }

    /// The same, in words: *no* is when neighbours were asked, and none of their Pings came in time.
    pub(super) fn known(&self, now: Instant) -> Reachable {
        let late = self.asked_at.is_some_and(|at| now.since(at) >= AGAIN_FIRST);
        match () {
            () if self.is_proven(now) => Reachable::Yes,
            () if self.asked.is_some() && late => Reachable::No,
            () => Reachable::Unknown,
        }
    }

    /// When to call [`Self::look`].
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Our address is this one now, and whether there is a neighbour that can be asked.
    pub(super) fn is_at(&mut self, now: Instant, us: Option<SocketAddr>, anybody: bool) {
        if self.us != us {
            (self.us, self.proven_at, self.asked, self.due) = (us, None, None, None);
        }
        if !anybody || us.is_none() {
            self.due = None;
        } else if self.due.is_none() {
            let rested = self.asked_at.map_or(now, |at| at + self.wait);
            let in_doubt = self.proven_at.map_or(now, |at| at + PROOF);
            self.due = Some(rested.max(in_doubt).max(now + GRACE));
        }
    }

    /// Whether neighbours are to be asked now, with the GUID that [`Self::asks`] is told next.
    pub(super) fn look(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    /// Neighbours are asked with that GUID.
    pub(super) fn asks(&mut self, now: Instant, guid: Guid) {
        (self.asked, self.asked_at) = (Some(guid), Some(now));
        self.due = Some(now + self.wait);
        self.wait = (self.wait * 2).min(AGAIN_LAST);
    }

    /// A Ping came by UDP. Whether it is one that we asked for.
    pub(super) fn on_ping(&mut self, now: Instant, guid: &Guid, from: IpAddr) -> bool {
        if self.asked != Some(*guid) {
            return false;
        }
        let far_enough = self.us.is_some_and(|us| {
            let ourselves = from == us.ip() && scope(from) == Scope::World;
            scope(from) >= scope(us.ip()) && !ourselves
        });
        if far_enough {
            self.proven_at = Some(now);
            (self.wait, self.due) = (AGAIN_FIRST, self.due.map(|_| now + PROOF));
        }
        true
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

    const GUID: Guid = Guid([7; 16]);

    fn asked(us: &str) -> PingBack {
        let mut ping_back = PingBack::default();
        ping_back.is_at(at(0), Some(SocketAddr::new(ip(us), 6346)), true);
        assert!(ping_back.look(at(1)) && !ping_back.look(at(0)));
        ping_back.asks(at(1), GUID);
        ping_back
    }

    #[test]
    fn a_ping_that_we_asked_for_proves_it_if_it_comes_from_far_enough_away() {
        for (us, guid, from, ours, proves) in [
            ("9.9.9.9", GUID, "8.8.8.8", true, true),
            ("9.9.9.9", Guid([8; 16]), "8.8.8.8", false, false),
            ("9.9.9.9", GUID, "10.0.0.7", true, false),
            ("9.9.9.9", GUID, "9.9.9.9", true, false),
            ("10.0.0.1", GUID, "10.0.0.7", true, true),
            ("127.0.0.1", GUID, "127.0.0.1", true, true),
        ] {
            let mut ping_back = asked(us);
            assert_eq!(ping_back.on_ping(at(2), &guid, ip(from)), ours, "{us}, {from}");
            assert_eq!(ping_back.is_proven(at(2)), proves, "{us}, {from}");
        }
    }

    #[test]
    fn it_is_known_once_a_ping_came_or_none_did_in_time() {
        let mut ping_back = PingBack::default();
        assert_eq!(ping_back.known(at(100)), Reachable::Unknown, "nobody was asked");
        ping_back = asked("9.9.9.9");
        assert_eq!((ping_back.known(at(15)), ping_back.known(at(16))), (Reachable::Unknown, Reachable::No));
        ping_back.on_ping(at(17), &GUID, ip("8.8.8.8"));
        assert_eq!(ping_back.known(at(17)), Reachable::Yes);
        ping_back.is_at(at(20), Some(SocketAddr::new(ip("9.9.9.8"), 6346)), true);
        assert_eq!(ping_back.known(at(20)), Reachable::Unknown, "that was another address");
    }

    #[test]
    fn neighbours_are_asked_ever_more_rarely_and_anew_when_the_proof_is_old_or_the_address_another() {
        let mut ping_back = asked("9.9.9.9");
        let mut times = Vec::new();
        while times.len() < 5 {
            let due = ping_back.due().expect("it goes on");
            times.push(due.as_micros() / 1_000_000);
            ping_back.asks(due, GUID);
        }
        assert_eq!(times, [16, 46, 106, 226, 466]);
        assert!(ping_back.on_ping(at(470), &GUID, ip("8.8.8.8")));
        assert_eq!(ping_back.due(), Some(at(470 + 3600)));
        ping_back.asks(at(4070), GUID);
        assert!(ping_back.is_proven(at(4129)) && !ping_back.is_proven(at(4130)));
        assert!(ping_back.on_ping(at(4200), &GUID, ip("8.8.8.8")) && ping_back.is_proven(at(4200)));
        ping_back.is_at(at(4300), Some(SocketAddr::new(ip("9.9.9.8"), 6346)), true);
        assert!(!ping_back.is_proven(at(4300)));
        assert_eq!(ping_back.due(), Some(at(4301)), "that is long after we asked last");
        ping_back.is_at(at(4301), Some(SocketAddr::new(ip("9.9.9.8"), 6346)), false);
        assert_eq!(ping_back.due(), None, "nobody can be asked");
    }
}
