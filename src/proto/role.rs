//! What we are, an ultrapeer or a leaf, and when that changes.
//!
//! Ultrapeers route; a leaf holds a few links to ultrapeers, which spare it all queries that it has no answer for
//! (`ultra-peers`). In a private mesh all are equal, so [`RoleChoice::Auto`] is an ultrapeer until [`LARGE`] hosts are known.
//! Then:
//!
//! * An ultrapeer on whom no leaf depends, and that is not fit to be one (not up for long, nobody ever reached it, or few
//!   may connect to it), becomes a leaf. It waits for a random time first: when many would go at once, those whose turn
//!   comes later have leaves by then, and stay.
//! * A leaf becomes an ultrapeer when it finds too few ultrapeers that take it for [`HUNGER`] and is fit or has none at all,
//!   or when the network turns out to be small after all.
//! * Neither happens where only listed hosts are dialled.
//! * Neither more often than each [`SETTLED`].
//!
//! All links end with the old role: peers know us by what we told them.

use std::time::Duration;

use crate::base::Instant;

use super::servent::Servent;
use super::{CloseReason, Event, Outbox, Output, Reachable, Role, RoleChoice};

/// A network is large when so many hosts are known, and small again when it is half of that.
const LARGE: usize = 100;
/// An ultrapeer was up for so long, at least.
const FIT_AFTER: Duration = Duration::from_secs(3600);
/// ... and this many may connect to it: the degree that clients ask of an ultrapeer (`dynamic_query`, section 2.3).
const FIT_DEGREE: usize = 16;
/// How long a leaf looks for ultrapeers before it thinks that more are needed.
const HUNGER: Duration = Duration::from_secs(120);
/// A role is kept for so long.
const SETTLED: Duration = Duration::from_secs(600);
/// When an ultrapeer looks whether it should be one: at random between these after it could have.
const LOOK_FIRST: Duration = Duration::from_secs(60);
const LOOK_LAST: Duration = Duration::from_secs(600);

/// Our role, and since when.
#[derive(Debug)]
pub(super) struct Standing {
    role: Role,
    /// `None` until it has changed once.
    changed_at: Option<Instant>,
    /// Since when a leaf has fewer ultrapeers than it wants.
    hungry_since: Option<Instant>,
    /// When to look again.
    look_at: Option<Instant>,
}

impl Standing {
    pub(super) fn new(choice: RoleChoice) -> Self {
        let role = match choice {
            RoleChoice::Auto | RoleChoice::Ultrapeer => Role::Ultrapeer,
            RoleChoice::Leaf => Role::Leaf,
        };
        Self { role, changed_at: None, hungry_since: None, look_at: None }
    }
}

impl Servent {
    /// What we are.
    pub fn role(&self) -> Role {
        self.standing.role
    }

    /// Whether so many hosts are known that flooding them all is out of the question.
    pub(super) fn is_network_large(&self) -> bool {
        self.hosts.promising() >= LARGE
    }

    /// Looks whether our role is still the right one; notes when to look again.
    pub(super) fn consider_role(&mut self, now: Instant, due: &mut Option<Instant>, out: &mut Outbox) {
        // Who is linked only to whom the user names could not find others to shield it.
        if self.config.role != RoleChoice::Auto || self.config.only_listed {
            return;
        }
        let hungry = self.standing.role == Role::Leaf && self.links.len() < self.config.shields;
        self.standing.hungry_since = if hungry { self.standing.hungry_since.or(Some(now)) } else { None };
        let settled = self.standing.changed_at.map_or(now, |at| at + SETTLED);
        let look = match self.standing.role {
            Role::Ultrapeer if !self.is_network_large() || self.is_fit(now) || self.links.count(Role::Leaf) > 0 => None,
            Role::Ultrapeer => {
                let wait = LOOK_FIRST + self.random_part(LOOK_LAST - LOOK_FIRST);
                Some(self.standing.look_at.unwrap_or(now + wait))
            }
            Role::Leaf if self.hosts.promising() < LARGE / 2 => Some(now),
            Role::Leaf => {
                let wanted = self.is_fit(now) || self.links.is_empty();
                self.standing.hungry_since.filter(|_| wanted).map(|since| since + HUNGER)
            }
        };
        let look = look.map(|at| at.max(settled));
        self.standing.look_at = look;
        match look {
            Some(at) if at <= now => self.change_role(now, out),
            Some(at) => *due = Some(due.map_or(at, |due| due.min(at))),
            None => {}
        }
    }

    fn change_role(&mut self, now: Instant, out: &mut Outbox) {
        let (role, words) = match self.standing.role {
            Role::Ultrapeer => (Role::Leaf, "Becoming a leaf node"),
            Role::Leaf => (Role::Ultrapeer, "Becoming an ultra node"),
        };
        self.standing = Standing { role, changed_at: Some(now), hungry_since: None, look_at: None };
        let conns: Vec<_> = self.links.iter().map(|link| (link.conn, link.identity.addr)).collect();
        for (conn, addr) in conns {
            // "203": as real clients say it.
            self.drop_link(now, conn, 203, words, CloseReason::Role, out);
            self.hosts.at_once(now, addr);
        }
        let pending: Vec<_> = self.pending.keys().copied().collect();
        for conn in pending {
            self.close_pending(now, conn, CloseReason::Role, out);
        }
        self.table_of_new_role(now);
        self.restless();
        out.push(Output::Event(Event::RoleChanged(role)));
    }

    /// Whether we would make a good ultrapeer on a large network.
    fn is_fit(&self, now: Instant) -> bool {
        let up_for = now.since(Instant::ZERO);
        up_for >= FIT_AFTER && self.reach() == Reachable::Yes && self.config.accept_limit() >= FIT_DEGREE
    }

    fn random_part(&mut self, of: Duration) -> Duration {
        Duration::from_millis(self.rng.below(of.as_millis() as usize + 1) as u64)
    }
}
