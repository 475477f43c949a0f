//! Query routing: what neighbours say they have, what we tell them, and whom a query concerns.
//!
//! * Each leaf tells its ultrapeers a table of its words, and each ultrapeer its neighbours a table of its own words and
//!   those of all its leaves: "Ultrapeers and leaves MUST be treated as a single unit" (`ultrapeer_qrp`, section 2.4).
//! * A query goes to a leaf only if its table may match, "regardless of the query's TTL"; to a neighbour on its last link
//!   only if the neighbour's table may match, or none is known. A person's own search asks all neighbours.
//! * What changes is told soon, and at growing intervals while it goes on changing: a second at first, up to
//!   [`SLOWEST`].
//!
//! Bounds: tables take [`MOST_BYTES`] in all: beyond that who has the largest gets a Bye. A peer begins [`BEGUN`] of them; who
//! sends more, or what is no table, gets a Bye.

use std::sync::Arc;
use std::time::Duration;

use crate::base::{Instant, TokenBucket};
use crate::wire::qrp::RouteTableUpdate;
use crate::wire::qrt::{Draft, Keys, Qrt, Receiver, USUAL_BITS, updates};
use crate::wire::query::Query;
use crate::wire::{Frame, Guid, Kind};

use super::link::Link;
use super::servent::Servent;
use super::{CloseReason, ConnId, Outbox, Rate, Role};

/// Tables that a peer may begin to tell: each is some work, however short it is, and a large one more than a usual one
/// ([`weight`]). A minute's changes of the largest that we tell, at our pace, and a usual one each second.
const BEGUN: Rate = Rate { per_second: 1, burst: 48 };
/// Memory for the tables of all peers.
const MOST_BYTES: usize = 32 * 1024 * 1024;
/// A change is told so much later, so that what changes together is told together.
const TOGETHER: Duration = Duration::from_millis(200);
/// Tables are told so far apart while they keep changing, at first and at last.
const FASTEST: Duration = Duration::from_secs(1);
const SLOWEST: Duration = Duration::from_secs(30);
/// Who has messages waiting is told after this.
const BUSY: Duration = Duration::from_secs(5);

/// How many usual tables one of so many slots counts for.
fn weight(slots: usize) -> u32 {
    (slots >> USUAL_BITS).max(1) as u32
}

/// What a link knows of tables.
#[derive(Debug)]
pub(super) struct LinkTables {
    receiver: Receiver,
    begun: TokenBucket,
    /// What the peer knows of us.
    told: Option<Arc<Qrt>>,
}

impl LinkTables {
    fn new(now: Instant) -> Self {
        let begun = TokenBucket::new(BEGUN.per_second, BEGUN.burst, now);
        Self { receiver: Receiver::default(), begun, told: None }
    }

    /// The peer's table.
    pub(super) fn theirs(&self) -> Option<&Arc<Qrt>> {
        self.receiver.table()
    }
}

/// What we share, with our leaves, and when neighbours hear of it.
#[derive(Debug)]
pub(super) struct Tables {
    own: Option<Arc<Qrt>>,
    /// Ours and our leaves': what neighbours are told.
    unit: Option<Arc<Qrt>>,
    /// Has all that any leaf has, and perhaps what one had: what is not here concerns no leaf.
    leaves: Option<Draft>,
    /// `unit` is not what it should be.
    stale: bool,
    /// When to tell.
    pub(super) due: Option<Instant>,
    told_at: Instant,
    pace: Duration,
    bytes: usize,
}

impl Default for Tables {
    fn default() -> Self {
        Self {
            own: None,
            unit: None,
            leaves: None,
            stale: false,
            due: None,
            told_at: Instant::ZERO,
            pace: Duration::ZERO,
            bytes: 0,
        }
    }
}

impl Tables {
    /// Whether any leaf told its words.
    pub(super) fn have_leaves(&self) -> bool {
        self.leaves.is_some()
    }
}

/// Whom a query concerns.
pub(super) struct Audience {
    except: Option<ConnId>,
    /// `None` where no table is asked.
    keys: Option<Keys>,
    leaves: bool,
    /// No TTL is left for neighbours.
    pub(super) leaves_only: bool,
    last_hop: bool,
}

impl Audience {
    /// Whether that link gets it. One whose table keeps it back counts that.
    pub(super) fn includes(&self, link: &mut Link) -> bool {
        if Some(link.conn) == self.except || (self.leaves_only && link.role == Role::Ultrapeer) {
            return false;
        }
        let table = || link.tables.as_ref().and_then(|tables| tables.theirs());
        let wanted = match (link.role, &self.keys) {
            // Who never told its words is asked nothing if it is a leaf, and everything if it is none.
            (Role::Leaf, Some(keys)) => self.leaves && table().is_some_and(|table| table.may_match(keys)),
            (Role::Leaf, None) => false,
            (Role::Ultrapeer, Some(keys)) => !self.last_hop || table().is_none_or(|table| table.may_match(keys)),
            (Role::Ultrapeer, None) => true,
        };
        link.kept_back += u64::from(!wanted);
        wanted
    }
}

impl Servent {
    /// The application says what we share.
    pub(super) fn on_table_command(&mut self, now: Instant, table: Arc<Qrt>) {
        if self.tables.own.as_ref() != Some(&table) {
            self.tables.own = Some(table);
            self.table_changed(now);
        }
    }

    /// A link is up: the peer is told our table if it takes any.
    pub(super) fn table_to(&mut self, now: Instant, conn: ConnId, out: &mut Outbox) {
        if self.tables.stale {
            return self.table_changed(now); // it will be told with all others
        }
        let Some(table) = self.tables.unit.clone() else { return };
        self.tell_table(now, &[conn], &table, out);
    }

    /// A leaf tells its own words, an ultrapeer those of its leaves too.
    pub(super) fn table_of_new_role(&mut self, now: Instant) {
        if self.tables.own.is_some() || self.tables.unit.is_some() {
            self.table_changed(now);
        }
    }

    /// A link is gone, and with it what it could find.
    pub(super) fn table_lost(&mut self, now: Instant, link: &Link) {
        let Some(tables) = &link.tables else { return };
        self.tables.bytes = self.tables.bytes.saturating_sub(tables.receiver.bytes());
        if link.role == Role::Leaf && tables.theirs().is_some_and(|table| !table.is_empty()) {
            self.table_changed(now);
        }
    }

    /// Tells neighbours of changes if it is time.
    pub(super) fn tell_tables(&mut self, now: Instant, out: &mut Outbox) {
        if self.tables.due.is_none_or(|due| due > now) {
            return;
        }
        self.tables.due = None;
        self.renew_unit();
        let Some(table) = self.tables.unit.clone() else { return };
        let all: Vec<_> = self.links.iter().map(|link| link.conn).collect();
        self.tables.told_at = now;
        self.tables.pace = (2 * self.tables.pace).clamp(FASTEST, SLOWEST);
        self.tell_table(now, &all, &table, out);
    }

    /// Whom a query with this TTL and payload concerns, if it came by `except`.
    pub(super) fn audience(&self, except: Option<ConnId>, query: &Query, last_hop: bool) -> Audience {
        let asks_tables = self.tables.leaves.is_some() || (last_hop && self.tables.bytes > 0);
        let keys = asks_tables.then(|| Keys::of(&query.text.to_str(), &query.urns));
        let leaves =
            keys.as_ref().is_some_and(|keys| self.tables.leaves.as_ref().is_some_and(|all| all.may_match(keys)));
        Audience { except, keys, leaves, leaves_only: false, last_hop }
    }

    /// A piece of a peer's table came.
    pub(super) fn on_route_table(&mut self, now: Instant, conn: ConnId, frame: &Frame, out: &mut Outbox) {
        let update = RouteTableUpdate::decode(&frame.payload).map_err(|error| error.to_string());
        let Some(link) = self.links.get_mut(conn) else { return };
        let tables = link.tables.get_or_insert_with(|| Box::new(LinkTables::new(now)));
        let begins = match &update {
            Ok(RouteTableUpdate::Reset { .. }) => 1,
            Ok(RouteTableUpdate::Patch { sequence: 1, .. }) => weight(tables.receiver.slots()),
            _ => 0,
        };
        if !tables.begun.take(begins, now) {
            return self.refuse_table(now, conn, "a new one too often", out);
        }
        let before = tables.receiver.bytes();
        let changed = update.and_then(|update| tables.receiver.on_update(&update).map_err(|error| error.to_string()));
        let after = tables.receiver.bytes();
        self.tables.bytes = self.tables.bytes.saturating_sub(before) + after;
        let is_leaf = link.role == Role::Leaf;
        if is_leaf
            && changed == Ok(true)
            && let Some(table) = tables.theirs()
        {
            self.tables.leaves.get_or_insert_with(|| Draft::new(USUAL_BITS)).merge(table);
        }
        self.shed_tables(now, out);
        match changed {
            Ok(true) => {
                self.counters.tables_received += 1;
                if is_leaf {
                    self.table_changed(now);
                }
            }
            Ok(false) => {}
            Err(why) => self.refuse_table(now, conn, &why, out),
        }
    }

    /// While tables take too much memory who tells the largest loses its link: not who came last, with a small one.
    fn shed_tables(&mut self, now: Instant, out: &mut Outbox) {
        while self.tables.bytes > MOST_BYTES {
            let size = |link: &Link| Some((link.tables.as_ref()?.receiver.bytes(), link.conn));
            let Some((_, conn)) = self.links.iter().filter_map(size).max() else { return };
            self.refuse_table(now, conn, "too many tables, and this is the largest", out);
        }
    }

    fn refuse_table(&mut self, now: Instant, conn: ConnId, why: &str, out: &mut Outbox) {
        let words = format!("Bad query routing table: {why}");
        self.drop_link(now, conn, 413, &words, CloseReason::Garbage(words.to_lowercase()), out);
    }

    fn table_changed(&mut self, now: Instant) {
        let tables = &mut self.tables;
        tables.stale = true;
        if tables.due.is_some() {
            return;
        }
        if now.since(tables.told_at) > 2 * tables.pace {
            tables.pace = Duration::ZERO;
        }
        let due = (now + TOGETHER).max(tables.told_at + tables.pace);
        tables.due = Some(due);
        self.wake_by(due);
    }

    /// Our table and those of our leaves, as one.
    fn renew_unit(&mut self) {
        if !std::mem::take(&mut self.tables.stale) {
            return;
        }
        let leaves = self.links.iter().filter(|link| link.role == Role::Leaf);
        let theirs: Vec<_> = leaves.filter_map(|link| link.tables.as_ref()?.theirs().cloned()).collect();
        if theirs.is_empty() {
            self.tables.leaves = None;
            self.tables.unit = self.tables.own.clone();
            return;
        }
        let mut all = Draft::new(USUAL_BITS);
        theirs.iter().for_each(|table| all.merge(table));
        let unit = match &self.tables.own {
            Some(own) if own.len() > 1 << USUAL_BITS => {
                let mut unit = Draft::of_size(own);
                theirs.iter().chain([own]).for_each(|table| unit.merge(table));
                unit
            }
            own => {
                let mut unit = all.clone();
                own.iter().for_each(|own| unit.merge(own));
                unit
            }
        };
        self.tables.leaves = Some(all);
        let unit = unit.finish();
        if self.tables.unit.as_deref() != Some(&unit) {
            self.tables.unit = Some(Arc::new(unit));
        }
    }

    /// Sends what is new in `table` to those of these peers that take tables and do not know it.
    fn tell_table(&mut self, now: Instant, to: &[ConnId], table: &Arc<Qrt>, out: &mut Outbox) {
        // Most know the same, so most get the same messages.
        let mut made: Option<(Option<Arc<Qrt>>, Vec<RouteTableUpdate>)> = None;
        for &conn in to {
            let Some(link) = self.links.get_mut(conn) else { continue };
            if !link.identity.takes_table {
                continue;
            }
            let told = link.tables.as_ref().and_then(|tables| tables.told.clone());
            if told.as_ref().is_some_and(|told| Arc::ptr_eq(told, table)) {
                continue;
            }
            if !link.is_idle() {
                // Its queue is for what cannot wait; a table that lost a piece would be none.
                let due = now + BUSY;
                self.tables.due = Some(self.tables.due.map_or(due, |at| at.min(due)));
                self.wake_by(due);
                continue;
            }
            link.tables.get_or_insert_with(|| Box::new(LinkTables::new(now))).told = Some(Arc::clone(table));
            let same = |known: &Option<Arc<Qrt>>| match (known, &told) {
                (Some(a), Some(b)) => Arc::ptr_eq(a, b),
                (a, b) => a.is_none() && b.is_none(),
            };
            let pieces = match made.take() {
                Some((known, pieces)) if same(&known) => pieces,
                _ => updates(told.as_deref(), table),
            };
            self.counters.tables_sent += u64::from(!pieces.is_empty());
            for piece in &pieces {
                let guid = Guid::random(&mut self.rng);
                self.send(now, conn, Frame::new(guid, Kind::RouteTableUpdate, 1, piece.encode()), out);
            }
            made = Some((told, pieces));
        }
    }
}
