//! Dynamic queries: on a large network an ultrapeer asks one neighbour after the other, as far as it takes (`dynamic_query`).
//!
//! * First a probe of few neighbours with a short TTL says how common the thing is: "a TTL=2 query down 3 connections"
//!   (section 2.5.1); where there are many neighbours, those whose tables match are asked with TTL 1.
//! * Then each next neighbour gets the TTL that should bring what is missing, from what was found so far among how many
//!   ultrapeers (section 2.5.2.1), and what it brings is waited for.
//! * It ends with hits enough ([`WANTED`], [`WANTED_BY_LEAF`]), with nobody left to ask, or when [`HORIZON`] ultrapeers were
//!   asked in theory; and with the search, or the leaf that asked.
//!
//! A leaf that says so (query flag 0x1000, `leaf_guided_queries`) is asked at each step how many hits it has, and may end
//! its query.
//!
//! Departures: for a search of our own, which somebody waits for, answers are waited for a quarter of the specification's
//! time. A neighbour that was probed is not asked again with a longer TTL: to it that would be a duplicate.
//!
//! Bounds: [`RUNNING`] at a time, [`PER_LEAF`] for one leaf; when there are more the oldest of a leaf ends.

use std::time::Duration;

use crate::base::{Instant, Rng};
use crate::wire::qrt::Keys;
use crate::wire::query::{Flags, Query};
use crate::wire::vendor::QUERY_OVER;
use crate::wire::{Frame, Guid, Header};

use super::link::Link;
use super::servent::Servent;
use super::{ConnId, Event, Outbox, Output, Role, SearchId};

/// Hits that are enough: "the total number of results desired (150)"; for a leaf, which asks several ultrapeers, 50.
const WANTED: u32 = 150;
const WANTED_BY_LEAF: u32 = 50;
/// What comes by one link counts for this part of it at most.
const ONE_LINK: u32 = 2;
/// "Clients MUST NOT exceed 200,000 Ultrapeers for their maximum theoretical search horizon" (section 2.4).
const HORIZON: u64 = 200_000;
/// "2400 milliseconds per hop is a reasonable latency to expect" (section 2.5.2.3).
const PER_HOP: Duration = Duration::from_millis(2400);
const PER_HOP_OWN: Duration = Duration::from_millis(600);
/// "If the query has theoretically reached 3000 Ultrapeers and has returned under 10 results ... decrease the per-hop wait
/// time by 100 milliseconds", a little more each time.
const RARE_AFTER: u64 = 3000;
const RARE_BELOW: u32 = 10;
const HURRY: Duration = Duration::from_millis(100);
/// Neighbours that are probed at once.
const PROBES: usize = 3;
/// With more neighbours than this a probe may spend some on TTL 1.
const MANY: usize = 10;
/// No neighbour with such a degree gets a TTL above 3: it would reach tens of thousands.
const HIGH_DEGREE: u8 = 16;
/// Dynamic queries at a time, and those of one leaf.
const RUNNING: usize = 128;
const PER_LEAF: usize = 8;

/// The queries under way, oldest first.
#[derive(Debug, Default)]
pub(super) struct Dynamic {
    running: Vec<Running>,
}

/// Who wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    /// A search of ours.
    Search(SearchId),
    /// A leaf of ours.
    Leaf(ConnId),
}

#[derive(Debug)]
struct Running {
    asker: Asker,
    /// As it goes out, but for its TTL.
    frame: Frame,
    /// The leaf wants to be asked how many hits it has.
    guided: bool,
    keys: Keys,
    found: u32,
    /// How much of that came by which link.
    brought: Vec<(ConnId, u32)>,
    asked: Vec<ConnId>,
    /// Ultrapeers that were asked, in theory.
    horizon: u64,
    /// How often it was asked since the thing turned out to be rare.
    hurried: u32,
    next_at: Instant,
}

impl Dynamic {
    /// When the next of them goes on.
    pub(super) fn due(&self) -> Option<Instant> {
        self.running.iter().map(|running| running.next_at).min()
    }

    /// So many files were found for the query of that GUID, as a hit by that link says. One link's word alone ends no
    /// query: it counts for half of what is wanted at most.
    pub(super) fn found(&mut self, guid: &Guid, by: ConnId, files: u8) {
        let Some(running) = self.running.iter_mut().find(|running| running.frame.header.guid == *guid) else { return };
        let most = running.wanted() / ONE_LINK;
        let at = running.brought.iter().position(|(conn, _)| *conn == by).unwrap_or_else(|| {
            running.brought.push((by, 0));
            running.brought.len() - 1
        });
        let (_, brought) = &mut running.brought[at];
        let counted = u32::from(files).min(most - *brought);
        *brought += counted;
        running.found += counted;
    }

    /// So many files came for it by UDP, from somebody of whom we asked for no more than a part.
    pub(super) fn found_outside(&mut self, guid: &Guid, files: u8) {
        if let Some(running) = self.running.iter_mut().find(|running| running.frame.header.guid == *guid) {
            running.found += u32::from(files);
        }
    }

    /// A leaf says how many files it has for its query, "after filtering"; it knows of hits that did not come by us.
    pub(super) fn guided(&mut self, guid: &Guid, leaf: ConnId, files: u16) {
        let its = |running: &Running| running.frame.header.guid == *guid && running.asker == Asker::Leaf(leaf);
        if files == QUERY_OVER {
            self.running.retain(|running| !its(running));
        } else if let Some(running) = self.running.iter_mut().find(|running| its(running)) {
            running.found = running.found.max(files.into());
        }
    }

    /// A search is over.
    pub(super) fn end(&mut self, search: SearchId) {
        self.running.retain(|running| running.asker != Asker::Search(search));
    }

    fn begin(&mut self, running: Running) {
        if let Asker::Leaf(_) = running.asker {
            let same: Vec<_> = (0..self.running.len()).filter(|&at| self.running[at].asker == running.asker).collect();
            if same.len() >= PER_LEAF {
                self.running.remove(same[0]);
            }
        }
        if self.running.len() >= RUNNING {
            // Leaves make room for each other, not a search of our own for them.
            let leafs = self.running.iter().position(|running| matches!(running.asker, Asker::Leaf(_)));
            self.running.remove(leafs.unwrap_or(0));
        }
        self.running.push(running);
    }
}

/// "hosts(degree, ttl) = Sum[(degree-1)^i, 0 <= i <= ttl-1]" (section 2.5.2.2).
fn hosts(degree: u8, ttl: u8) -> u64 {
    let branches = u64::from(degree.saturating_sub(1));
    (0..u32::from(ttl)).fold(0, |sum: u64, i| sum.saturating_add(branches.saturating_pow(i)))
}

/// The longest TTL that a neighbour gets.
fn longest(link: &Link, ours: u8) -> u8 {
    let reasonable = if link.identity.degree >= HIGH_DEGREE { ours.min(3) } else { ours };
    link.identity.max_ttl.min(reasonable).max(1)
}

impl Running {
    fn wanted(&self) -> u32 {
        match self.asker {
            Asker::Search(_) => WANTED,
            Asker::Leaf(_) => WANTED_BY_LEAF,
        }
    }

    /// Whom to ask now, each with its TTL, of those not asked yet.
    fn choose(&self, left: &[&Link], ours: u8, rng: &mut Rng) -> Vec<(ConnId, u8)> {
        let mut left = left.to_vec();
        rng.shuffle(&mut left);
        if self.asked.is_empty() {
            let tells = |link: &&&Link| {
                link.tables.as_ref().and_then(|tables| tables.theirs()).is_some_and(|table| table.may_match(&self.keys))
            };
            let matching: Vec<_> = left.iter().filter(tells).copied().collect();
            return match left.len() > MANY && !matching.is_empty() {
                true => matching.iter().take(PROBES).map(|link| (link.conn, 1)).collect(),
                // Of few neighbours few are probed.
                false => {
                    let probes = left.iter().take(PROBES.min(1 + left.len() / 4));
                    probes.map(|link| (link.conn, longest(link, ours).min(2))).collect()
                }
            };
        }
        let Some(next) = left.first() else { return Vec::new() };
        let most = longest(next, ours);
        let missing = u64::from(self.wanted().saturating_sub(self.found));
        // "HQC": hosts to ask by each connection that is left, at the rate at which they were found.
        let by_each = match u64::from(self.found) {
            0 => u64::MAX,
            found => missing.saturating_mul(self.horizon) / found / left.len() as u64,
        };
        let ttl = (1..most).find(|&ttl| hosts(next.identity.degree, ttl) >= by_each).unwrap_or(most);
        vec![(next.conn, ttl)]
    }

    /// How long the answers to a query with that TTL are waited for.
    fn wait(&mut self, ttl: u8) -> Duration {
        let per_hop = match self.asker {
            Asker::Search(_) => PER_HOP_OWN,
            Asker::Leaf(_) => PER_HOP,
        };
        if self.horizon > RARE_AFTER && self.found < RARE_BELOW {
            self.hurried += 1;
        }
        per_hop.saturating_sub(HURRY * self.hurried).max(per_hop / 4) * u32::from(ttl)
    }
}

impl Servent {
    /// Begins a query whose header, but for the TTL, is `header`. Returns how many neighbours were asked at once.
    pub(super) fn begin_dynamic(
        &mut self,
        now: Instant,
        asker: Asker,
        frame: Frame,
        query: &Query,
        out: &mut Outbox,
    ) -> usize {
        let keys = Keys::of(&query.text.to_str(), &query.urns);
        let mut running = Running {
            asker,
            frame,
            guided: query.flags.has(Flags::LEAF_GUIDED),
            keys,
            found: 0,
            brought: Vec::new(),
            asked: Vec::new(),
            horizon: 0,
            hurried: 0,
            next_at: now,
        };
        self.counters.dynamic_queries += 1;
        if self.ask_on(now, &mut running, out) {
            let asked = running.asked.len();
            self.wake_by(running.next_at);
            self.dynamic.begin(running);
            return asked;
        }
        running.asked.len()
    }

    /// Goes on with the queries whose time has come.
    pub(super) fn go_on_asking(&mut self, now: Instant, out: &mut Outbox) {
        if self.dynamic.due().is_none_or(|due| due > now) {
            return;
        }
        for mut running in std::mem::take(&mut self.dynamic.running) {
            if running.next_at <= now && !self.ask_on(now, &mut running, out) {
                continue;
            }
            self.wake_by(running.next_at);
            self.dynamic.running.push(running);
        }
    }

    /// The next step of a query. Whether there is another one after it.
    fn ask_on(&mut self, now: Instant, running: &mut Running, out: &mut Outbox) -> bool {
        let asker = match running.asker {
            Asker::Search(_) => None,
            Asker::Leaf(conn) if self.links.get(conn).is_none() => return false,
            Asker::Leaf(conn) => Some(conn),
        };
        if running.found >= running.wanted() || running.horizon >= HORIZON {
            return false;
        }
        let left = |link: &&Link| Some(link.conn) != asker && !running.asked.contains(&link.conn);
        let left: Vec<_> = self.links.ultrapeers().filter(left).collect();
        let ours = self.config.ttl;
        let chosen = running.choose(&left, ours, &mut self.rng);
        let more = left.len() > chosen.len();
        let degrees: Vec<_> =
            chosen.iter().filter_map(|(conn, _)| self.links.get(*conn)).map(|link| link.identity.degree).collect();
        let mut longest = 0;
        for (&(conn, ttl), degree) in chosen.iter().zip(degrees) {
            let header = Header { ttl, ..running.frame.header };
            self.send(now, conn, Frame { header, payload: running.frame.payload.clone() }, out);
            running.asked.push(conn);
            running.horizon = running.horizon.saturating_add(hosts(degree, ttl));
            longest = longest.max(ttl);
        }
        if let (Some(leaf), true) = (asker, running.guided) {
            // By the time of the next step it has told.
            self.ask_status(now, leaf, running.frame.header.guid, out);
        }
        running.next_at = now + running.wait(longest);
        if let (Asker::Search(search), true) = (running.asker, running.asked.len() > chosen.len()) {
            let (guid, neighbours) = (running.frame.header.guid, running.asked.len());
            out.push(Output::Event(Event::SearchSent { search, guid, neighbours }));
        }
        more && !chosen.is_empty()
    }

    /// Whether a query of ours, or of a leaf, is asked dynamically if nothing else is said.
    pub(super) fn asks_dynamically(&self) -> bool {
        self.role() == Role::Ultrapeer && self.is_network_large()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_horizon_is_that_of_the_specification() {
        // "on a degree 32 network ... TTL of 3 ... 1,024 Ultrapeers"; 31 squared, 31 and 1 are 993.
        assert_eq!([1, 2, 3].map(|ttl| hosts(32, ttl)), [1, 32, 993]);
        // "a degree 6 network where each query is sent with a TTL of 7": the text says 23,436 with degree 6 for branches of 5.
        assert_eq!(hosts(6, 7), 19_531);
        assert_eq!(hosts(0, 7), 1);
        assert_eq!(hosts(255, 255), u64::MAX);
    }
}
