//! Who is given a slot, and who waits where: the line before the uploads, as a pure machine.
//!
//! "Fairness: first come, first serve, provided the client plays by the rules." (PARQ, section 1). A request
//! that finds no slot gets a place; it is remembered by address and file, or by the place's own name ([`Guid`]),
//! so that the client may close the connection and come back. A place moves up only, until its client has a
//! slot, comes back too late ([`GRACE`]), or asks far too often ([`HURRIED`]).
//!
//! What is not as in PARQ, and why:
//! * There are two lines, not one for every size: files up to [`QueueConfig::small`] have a few slots of their own,
//!   so that a picture does not wait for an hour behind films. They may take others that nobody waits for.
//! * Nobody is called back (`QUEUE`): who wants a file asks. So waits are short, and a client that is late does
//!   not keep a free slot from those behind it, though its place is kept for [`GRACE`].
//! * Between two requests of one client for one file its slot is kept for [`HOLD`], else each range of a file
//!   would be a new wait; but never for more than the file's size in all.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::base::{Instant, Rng};
use crate::wire::Guid;
use crate::wire::addr::{is_public, subnet};

/// A client is asked to come back after this, times its position ...
const RETRY_STEP: Duration = Duration::from_secs(5);
/// ... and at most after this. Connections that wait in the queue are kept longer (`ServeConfig::idle`).
pub const RETRY_MAX: Duration = Duration::from_secs(40);
/// A client that is so late does not hold up those behind it.
const SLACK: Duration = Duration::from_secs(3);
/// A client that is so late has lost its place.
pub const GRACE: Duration = Duration::from_secs(20);
/// Without a place, come back after this.
pub const RETRY_FULL: Duration = Duration::from_secs(60);
/// Asking sooner than half of the wait that was named, so many times in a row, sends a place to the end of its line.
pub const HURRIED: u32 = 10;
/// A slot is kept so long for the next range of the same file.
pub const HOLD: Duration = Duration::from_secs(3);

/// How much is given at a time, and how many may wait for more.
#[derive(Clone, Debug)]
pub struct QueueConfig {
    /// Files sent at a time.
    pub slots: usize,
    /// ... to one public address (IPv6: to one /64).
    pub per_address: usize,
    /// Slots beyond these that only small files are given.
    pub express: usize,
    /// Bytes of a file that is small.
    pub small: u64,
    /// Places in both lines together.
    pub places: usize,
    /// Places of one public address.
    pub places_per_address: usize,
    /// Places of one other address: loopback, link-local or private.
    pub places_per_private: usize,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self {
            slots: 16,
            per_address: 2,
            express: 4,
            small: 1 << 20,
            places: 256,
            places_per_address: 4,
            places_per_private: 64,
        }
    }
}

/// Who asks for what.
#[derive(Clone, Copy, Debug)]
pub struct Asker {
    /// The connection.
    pub from: SocketAddr,
    /// The number of the file.
    pub file: u32,
    /// The bytes of the file.
    pub size: u64,
    /// The bytes of it that are asked for now.
    pub bytes: u64,
    /// The place that it says it has.
    pub id: Option<Guid>,
    /// Whether a place ends with its connection.
    pub stays: Stays,
}

/// What ends a place beside its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stays {
    /// The end of the connection: the client waits on it (`X-Queue: 0.1`).
    Connected,
    /// Nothing: the client may close and come back.
    Anywhere,
}

/// A slot that was given; every one must be [given back](Queue::give_back).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot(u64);

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Send the file.
    Now(Slot),
    /// It has a place in the line.
    Wait(Place),
    /// There is no place left, or none for that address: come back after [`RETRY_FULL`].
    Full,
}

/// A place in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its own name.
    pub id: Guid,
    /// 1 is the next one.
    pub position: usize,
    /// Places in that line.
    pub length: usize,
    /// Bytes that those before it have asked for.
    pub bytes_ahead: u64,
    /// Come back after this ...
    pub retry: Duration,
    /// ... and before this.
    pub lifetime: Duration,
    /// It waits for an upload to the same address to end, not for others.
    pub own_cap: bool,
}

/// Why a slot is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// A range is through, and the same client may ask for the next one.
    MayGoOn,
    /// The file is through, or the connection is gone.
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Small,
    Large,
}

#[derive(Debug)]
struct Waiting {
    id: Guid,
    from: SocketAddr,
    who: IpAddr,
    file: u32,
    line: Line,
    bytes: u64,
    stays: Stays,
    asked: Instant,
    due: Instant,
    hurried: u32,
}

#[derive(Clone, Copy, Debug)]
struct Given {
    from: SocketAddr,
    who: IpAddr,
    file: u32,
    line: Line,
    size: u64,
    /// Bytes given with this slot, ranges before this one included.
    bytes: u64,
    /// Kept for the next range until then.
    held: Option<Instant>,
}

/// The slots and the line before them.
#[derive(Debug)]
pub struct Queue {
    config: QueueConfig,
    rng: Rng,
    given: BTreeMap<Slot, Given>,
    next: u64,
    /// Nothing is given for now.
    closed: bool,
    /// Both lines, in the order of their coming.
    waiting: Vec<Waiting>,
}

impl Queue {
    /// All slots free. `rng` names the places.
    pub fn new(config: QueueConfig, rng: Rng) -> Self {
        Self { config, rng, given: BTreeMap::new(), next: 0, closed: false, waiting: Vec::new() }
    }

    /// Gives nothing more from now on (`true`), or as ever; who has a slot keeps it.
    pub fn close(&mut self, closed: bool) {
        self.closed = closed;
    }

    /// Somebody asks, for the first time or again.
    pub fn ask(&mut self, now: Instant, asker: &Asker) -> Turn {
        self.expire(now);
        let who = subnet(asker.from.ip());
        let line = if asker.size <= self.config.small { Line::Small } else { Line::Large };
        if let Some(slot) = self.held_for(who, asker.file).filter(|_| !self.closed) {
            return self.go_on(slot, asker);
        }
        let at = self.place_of(asker, who, line);
        let before = &self.waiting[..at.unwrap_or(self.waiting.len())];
        let ahead = before.iter().filter(|other| other.line == line && self.may_go(other, now)).count();
        let own_cap = self.at_cap(who);
        if !own_cap && ahead < self.free(line, now) {
            if let Some(at) = at {
                self.waiting.remove(at);
            }
            return Turn::Now(self.give(asker, who, line));
        }
        let at = match at {
            Some(at) => self.again(at, now, asker),
            None => match self.line_up(now, asker, who, line) {
                Some(at) => at,
                None => return Turn::Full,
            },
        };
        Turn::Wait(self.place(at, now, own_cap))
    }

    /// A slot is free again, or kept for the next range.
    pub fn give_back(&mut self, now: Instant, slot: Slot, ended: Ended) {
        let Some(given) = self.given.get_mut(&slot) else { return };
        if ended == Ended::MayGoOn && given.bytes < given.size {
            given.held = Some(now + HOLD);
        } else {
            self.given.remove(&slot);
        }
    }

    /// A connection has ended: nothing is kept for it that ends with it.
    pub fn gone(&mut self, from: SocketAddr) {
        self.given.retain(|_, given| given.held.is_none() || given.from != from);
        self.waiting.retain(|place| place.stays == Stays::Anywhere || place.from != from);
    }

    /// Lets go of what nobody came back for.
    pub fn expire(&mut self, now: Instant) {
        self.given.retain(|_, given| given.held.is_none_or(|until| until > now));
        self.waiting.retain(|place| place.due + GRACE > now);
    }

    /// When [`Queue::expire`] has something to do next.
    pub fn next_timeout(&self) -> Option<Instant> {
        let held = self.given.values().filter_map(|given| given.held);
        held.chain(self.waiting.iter().map(|place| place.due + GRACE)).min()
    }

    /// Whether a request for a large file from elsewhere would have to wait.
    pub fn is_busy(&self, now: Instant) -> bool {
        let waiting = self.waiting.iter().filter(|place| place.line == Line::Large && self.may_go(place, now));
        waiting.count() >= self.free(Line::Large, now)
    }

    /// Whether that place is still kept, and its position and line's length.
    pub fn position(&self, id: Guid) -> Option<(usize, usize)> {
        let at = self.waiting.iter().position(|place| place.id == id)?;
        Some((self.count(self.waiting[at].line, ..=at), self.count(self.waiting[at].line, ..)))
    }

    /// Places taken.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    fn held_for(&self, who: IpAddr, file: u32) -> Option<Slot> {
        let held = |given: &Given| given.held.is_some() && given.who == who && given.file == file;
        self.given.iter().find(|(_, given)| held(given)).map(|(slot, _)| *slot)
    }

    fn go_on(&mut self, slot: Slot, asker: &Asker) -> Turn {
        if let Some(given) = self.given.get_mut(&slot) {
            given.from = asker.from;
            given.bytes = given.bytes.saturating_add(asker.bytes);
            given.held = None;
        }
        Turn::Now(slot)
    }

    fn give(&mut self, asker: &Asker, who: IpAddr, line: Line) -> Slot {
        let slot = Slot(self.next);
        self.next += 1;
        let Asker { from, file, size, bytes, .. } = *asker;
        self.given.insert(slot, Given { from, who, file, line, size, bytes, held: None });
        slot
    }

    /// The place of a client: the one that it names, else that of its address and the file.
    fn place_of(&self, asker: &Asker, who: IpAddr, line: Line) -> Option<usize> {
        let find = |is: &dyn Fn(&Waiting) -> bool| {
            self.waiting.iter().position(|place| place.who == who && place.line == line && is(place))
        };
        let named = asker.id.and_then(|id| find(&|place| place.id == id));
        named.or_else(|| find(&|place| place.file == asker.file))
    }

    /// Back in time or not: what it asks for may be another file or range by now, or come by another connection.
    fn again(&mut self, at: usize, now: Instant, asker: &Asker) -> usize {
        let place = &mut self.waiting[at];
        let early = now.since(place.asked) * 2 < place.due.since(place.asked);
        place.hurried = if early { place.hurried + 1 } else { 0 };
        (place.from, place.stays, place.bytes, place.file) = (asker.from, asker.stays, asker.bytes, asker.file);
        if place.hurried < HURRIED {
            return at;
        }
        let mut place = self.waiting.remove(at);
        place.hurried = 0;
        self.waiting.push(place);
        self.waiting.len() - 1
    }

    fn line_up(&mut self, now: Instant, asker: &Asker, who: IpAddr, line: Line) -> Option<usize> {
        let own = self.waiting.iter().filter(|place| place.who == who).count();
        let allowed = if is_public(who) { self.config.places_per_address } else { self.config.places_per_private };
        if self.waiting.len() >= self.config.places || own >= allowed {
            return None;
        }
        let Asker { from, file, bytes, stays, .. } = *asker;
        let id = Guid::random(&mut self.rng);
        self.waiting.push(Waiting { id, from, who, file, line, bytes, stays, asked: now, due: now, hurried: 0 });
        Some(self.waiting.len() - 1)
    }

    /// Tells a client its place, and begins to wait for it.
    fn place(&mut self, at: usize, now: Instant, own_cap: bool) -> Place {
        let line = self.waiting[at].line;
        let (position, length) = (self.count(line, ..=at), self.count(line, ..));
        let ahead = self.waiting[..at].iter().filter(|place| place.line == line);
        let bytes_ahead = ahead.fold(0, |sum: u64, place| sum.saturating_add(place.bytes));
        let retry = RETRY_STEP.saturating_mul(u32::try_from(position).unwrap_or(u32::MAX)).min(RETRY_MAX);
        let place = &mut self.waiting[at];
        (place.asked, place.due) = (now, now + retry);
        Place { id: place.id, position, length, bytes_ahead, retry, lifetime: retry + GRACE, own_cap }
    }

    fn count(&self, line: Line, range: impl std::slice::SliceIndex<[Waiting], Output = [Waiting]>) -> usize {
        self.waiting[range].iter().filter(|place| place.line == line).count()
    }

    /// Slots that the head of a line can be given now.
    fn free(&self, line: Line, now: Instant) -> usize {
        if self.closed {
            return 0;
        }
        let small = self.given.values().filter(|given| given.line == Line::Small).count();
        let large = self.given.len() - small;
        let borrowed = small.saturating_sub(self.config.express);
        let free = self.config.slots.saturating_sub(large + borrowed);
        match line {
            Line::Large => free,
            Line::Small => {
                let wanted = self.waiting.iter().filter(|place| place.line == Line::Large && self.may_go(place, now));
                let own = self.config.express.saturating_sub(small);
                own.saturating_add(free.saturating_sub(wanted.count()))
            }
        }
    }

    /// Whether a free slot is kept for that place: its client is expected, and may be given one.
    fn may_go(&self, place: &Waiting, now: Instant) -> bool {
        now < place.due + SLACK && !self.at_cap(place.who)
    }

    fn at_cap(&self, who: IpAddr) -> bool {
        is_public(who) && self.given.values().filter(|given| given.who == who).count() >= self.config.per_address
    }
}

#[cfg(test)]
mod tests;
