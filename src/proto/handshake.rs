//! The handshake: slots, what we offer, what we refuse, and what peers tell of themselves and others.
//!
//! Three legs (Gnutella 0.6 draft, section 2.1):
//!
//! ```text
//! dialler   GNUTELLA CONNECT/0.6        headers: what it offers
//! acceptor  GNUTELLA/0.6 200 OK         headers: what it takes and offers     or 503, or 409
//! dialler   GNUTELLA/0.6 200 OK         headers: what it takes                or 409, or 503
//! ```
//!
//! We say what we are (`X-Ultrapeer: True` or `False`) and advertise only what we do. We never offer or take `Upgrade:
//! TLS/1.0`. Each direction of a link is deflated when its receiver says `Accept-Encoding: deflate` and then its sender, in
//! its last leg, `Content-Encoding: deflate`.
//!
//! A link is encrypted when all three legs say `X-Filbert-Noise`: offered, taken, confirmed. Who requires that refuses others
//! with 403.
//!
//! An ultrapeer has slots for peers and slots for leaves; a leaf has a few for ultrapeers, and none for other leaves. Whoever
//! finds none is told of others (`X-Try-Ultrapeers`, `X-Try`). A crawler (`Crawler: 0.1`, `crawler`) gets its lists and no
//! link.
//!
//! Two servents may dial each other at the same moment. Both then keep the connection that the servent with
//! the greater GUID dialled and answer 409 on the other, so that exactly one link is left.

use std::net::{IpAddr, SocketAddr};

use crate::base::Instant;
use crate::wire::Guid;
use crate::wire::features::Features;
use crate::wire::handshake::{Head, NOISE_HEADER, NOISE_WAY};
use crate::wire::head::Headers;

use super::address::{self, Scope, may_name, scope};
use super::link::{Identity, Link, Slot};
use super::servent::Servent;
use super::{
    CloseReason, ConnId, Deflate, Direction, Encrypt, Event, HostSource, Outbox, Output, Purpose, Role, Teller, Verdict,
};

/// Hosts that we name in `X-Try-Ultrapeers`, and the most that we read from one leg.
const TRY_HOSTS: usize = 10;
const TRY_HOSTS_READ: usize = 20;
/// What servents had that do not tell (`dynamic_query`, section 2.4): "on a degree 6 network ... with a TTL of 7".
const OLD_DEGREE: u8 = 6;
const OLD_MAX_TTL: u8 = 7;
/// What who wants no encryption is told by who requires it.
const PLAIN: (u16, &str) = (403, "Encrypted links only");
/// Peers and leaves that a crawler is told of, of each.
const CRAWLED: usize = 100;
/// Bytes of each of these lists: both, and who we are, fit into a head.
const CRAWLED_BYTES: usize = 3500;
/// Characters of a stranger's `User-Agent` or reason that we keep.
const WORDS_KEPT: usize = 120;

/// How far a handshake is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// We wait for the transport.
    Dialling,
    /// We sent the first leg and wait for the second.
    Offered,
    /// They dialled; we sent the second leg and wait for the third.
    Answered,
    /// All legs are through; we wait for the driver's word.
    Agreed,
}

/// A connection that is no link yet.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) stage: Stage,
    /// Where we dialled, or from where they came.
    pub(super) remote: SocketAddr,
    pub(super) deadline: Instant,
    pub(super) slot: Slot,
    pub(super) identity: Option<Box<Identity>>,
}

impl Pending {
    /// Whether the peer is at `addr` as far as we know by now.
    pub(super) fn is_at(&self, addr: SocketAddr) -> bool {
        self.remote == addr || self.identity.as_ref().is_some_and(|identity| identity.addr == addr)
    }

    fn servent(&self) -> Option<Guid> {
        self.identity.as_ref()?.servent
    }
}

/// What a leg says of its sender.
#[derive(Debug, PartialEq, Eq)]
struct Hello {
    agent: String,
    role: Option<Role>,
    servent: Option<Guid>,
    listen: Option<SocketAddr>,
    /// What it calls us.
    us: Option<IpAddr>,
    /// It takes a deflated stream.
    inflates: bool,
    /// It wants the link encrypted.
    encrypts: bool,
    vendor_messages: bool,
    /// It takes our table of words.
    takes_table: bool,
    degree: u8,
    max_ttl: u8,
    crawls: bool,
    /// Hosts that it names.
    hosts: Vec<SocketAddr>,
}

impl Hello {
    /// Reads what concerns us; what cannot be read counts as not said.
    fn read(headers: &Headers) -> Self {
        let hosts = headers
            .0
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case("X-Try-Ultrapeers") || name.eq_ignore_ascii_case("X-Try"))
            .flat_map(|(_, value)| value.split(','))
            .filter_map(address::parse)
            .take(TRY_HOSTS_READ)
            .collect();
        let listen = ["Listen-IP", "Node", "X-My-Address"].into_iter().find_map(|name| headers.get(name));
        let role = headers.get("X-Ultrapeer").map(str::trim);
        Self {
            agent: shortened(headers.get("User-Agent").unwrap_or("")),
            role: role.and_then(|role| match role.to_ascii_lowercase().as_str() {
                "true" => Some(Role::Ultrapeer),
                "false" => Some(Role::Leaf),
                _ => None,
            }),
            servent: headers.get("GUID").and_then(|guid| guid.trim().parse().ok()),
            listen: listen.and_then(address::parse),
            vendor_messages: headers.get("Vendor-Message").is_some(),
            encrypts: headers.has_token(NOISE_HEADER, NOISE_WAY),
            inflates: headers.has_token("Accept-Encoding", "deflate"),
            takes_table: headers.get("X-Ultrapeer-Query-Routing").is_some(),
            degree: number(headers, "X-Degree").unwrap_or(OLD_DEGREE),
            max_ttl: number(headers, "X-Max-TTL").filter(|&ttl| ttl > 0).unwrap_or(OLD_MAX_TTL),
            crawls: headers.get("Crawler").is_some(),
            us: headers.get("Remote-IP").and_then(address::parse).map(|addr| addr.ip()),
            hosts,
        }
    }

    /// What it calls us, if one that far away can know: of its own family, and as far as it reaches.
    fn us_seen_from(&self, from: IpAddr) -> Option<IpAddr> {
        self.us.filter(|us| us.is_ipv4() == from.is_ipv4() && scope(*us) == scope(from))
    }

    /// Who the sender is, seen from here.
    ///
    /// A listening address on another machine than the one we talk to is a stranger's claim and names nobody,
    /// except within a site, where one machine has several addresses often enough.
    fn identity(&self, remote: SocketAddr, direction: Direction) -> Identity {
        let told = self.listen.map(|listen| match listen.ip().is_unspecified() {
            true => SocketAddr::new(remote.ip(), listen.port()),
            false => listen,
        });
        let near = scope(remote.ip()) < Scope::World;
        let believed = told.filter(|told| {
            address::is_dialable(*told)
                && (told.ip() == remote.ip() || (near && scope(told.ip()) == scope(remote.ip())))
        });
        let addr = match direction {
            // We dialled it: that address is proven.
            Direction::Out => remote,
            Direction::In => believed.unwrap_or(remote),
        };
        Identity {
            addr,
            listens: direction == Direction::Out || believed.is_some(),
            remote,
            agent: self.agent.as_str().into(),
            servent: self.servent,
            key: None,
            vendor_messages: self.vendor_messages,
            role: self.role.unwrap_or(Role::Ultrapeer),
            takes_table: self.takes_table,
            degree: self.degree,
            max_ttl: self.max_ttl,
        }
    }
}

/// The value of a header that is a small number; a larger one counts as the largest.
fn number(headers: &Headers, name: &str) -> Option<u8> {
    let number: u32 = headers.get(name)?.trim().parse().ok()?;
    Some(u8::try_from(number).unwrap_or(u8::MAX))
}

/// Which of two connections between the same two servents stays.
fn keeps(ours: Guid, theirs: Guid) -> Direction {
    if ours > theirs { Direction::Out } else { Direction::In }
}

impl Servent {
    /// Opens a connection.
    pub(super) fn dial(&mut self, now: Instant, addr: SocketAddr, purpose: Purpose, out: &mut Outbox) {
        let conn = self.next_conn();
        let deadline = now + self.config.handshake_timeout;
        let pending = Pending { stage: Stage::Dialling, remote: addr, deadline, slot: Slot::Free, identity: None };
        self.pending.insert(conn, pending);
        self.wake_by(deadline);
        self.counters.dials += 1;
        out.push(Output::Dial { conn, addr, purpose });
    }

    /// The transport that we asked for is there: the first leg.
    pub(super) fn on_dialled(&mut self, now: Instant, conn: ConnId, out: &mut Outbox) {
        let Some(pending) = self.pending.get_mut(&conn).filter(|p| p.stage == Stage::Dialling) else { return };
        pending.stage = Stage::Offered;
        pending.deadline = now + self.config.handshake_timeout;
        let remote = pending.remote;
        // They may have dialled us in the meantime.
        let met = self.pending.iter().any(|(&other, p)| other != conn && p.identity.is_some() && p.is_at(remote));
        if met || self.links.iter().any(|link| link.is_at(remote)) {
            return self.close_pending(now, conn, CloseReason::Duplicate, out);
        }
        let headers = self.secured(self.offer(remote), true);
        out.push(Output::Handshake { conn, verdict: Verdict::Offer, head: Head::Connect { version: (0, 6), headers } });
    }

    /// A leg arrived.
    pub(super) fn on_handshake(&mut self, now: Instant, conn: ConnId, from: SocketAddr, head: Head, out: &mut Outbox) {
        let from = address::canonical(from);
        let stage = self.pending.get(&conn).map(|pending| pending.stage);
        match (stage, head) {
            (None, Head::Connect { version, headers }) if conn.direction() == Direction::In => {
                if self.links.get(conn).is_none() {
                    self.on_connect(now, conn, from, version, &headers, out);
                }
            }
            (Some(Stage::Offered), Head::Status { code, reason, headers }) => {
                self.on_answer(now, conn, code, &reason, &headers, out);
            }
            (Some(Stage::Answered), Head::Status { code, reason, headers }) => {
                self.on_last_leg(now, conn, code, &reason, &headers, out);
            }
            (Some(_), _) => {
                self.close_pending(now, conn, CloseReason::Garbage("a handshake leg out of turn".to_owned()), out);
            }
            (None, _) => {}
        }
    }

    /// The handshake is through: a link is up.
    pub(super) fn on_connected(&mut self, now: Instant, conn: ConnId, room: usize, out: &mut Outbox) {
        let Some(pending) = self.pending.remove(&conn) else { return };
        self.restless();
        let Some(identity) = pending.identity.filter(|_| pending.stage == Stage::Agreed) else {
            return out.push(Output::Close { conn, reason: CloseReason::Broken });
        };
        if identity.key.is_none() && !self.may_be_plain() {
            // Somebody took the header out of the third leg, or never meant it.
            let reason = CloseReason::WeRefused(PLAIN.0, PLAIN.1.to_owned());
            return self.turn_away(now, conn, identity.remote, reason, out);
        }
        // Both sides may have let both connections through; both now choose the same one.
        let twin = identity.servent.and_then(|theirs| Some((theirs, self.links.of_servent(theirs)?.conn)));
        if let Some((theirs, twin)) = twin {
            let keep = keeps(self.config.servent, theirs);
            if conn.direction() == twin.direction() || twin.direction() == keep {
                if conn.direction() == Direction::Out {
                    self.is_also_at(theirs, identity.remote);
                }
                return self.turn_away(now, conn, identity.remote, CloseReason::Duplicate, out);
            }
            self.drop_link(now, twin, 409, "A second connection between us", CloseReason::Duplicate, out);
        }
        if self.links.count(identity.role) >= self.slots_for(identity.role) && !self.is_listed(identity.addr) {
            let cut = pending.slot == Slot::Replacing && self.cut_least_useful(now, out);
            if !cut {
                let reason = CloseReason::WeRefused(503, "Slots full".to_owned());
                return self.turn_away(now, conn, identity.remote, reason, out);
            }
        }
        match conn.direction() {
            Direction::Out => self.counters.links_out += 1,
            Direction::In => self.counters.links_in += 1,
        }
        let addr = identity.addr;
        if identity.listens && identity.is_seen_at_addr() && identity.role == Role::Ultrapeer {
            self.hosts.link_up(now, addr);
        }
        self.links.insert(Link::new(conn, *identity, pending.slot, room, &self.config, now));
        self.wake_by(now + self.config.keep_alive.min(self.config.dead_after));
        out.push(Output::Event(Event::NeighbourUp(conn, addr)));
        self.on_link_up(now, conn, out);
    }

    /// Closes a connection whose handshake is through, but which shall be no link.
    fn turn_away(&mut self, now: Instant, conn: ConnId, remote: SocketAddr, reason: CloseReason, out: &mut Outbox) {
        self.part(conn, reason.clone(), out);
        if conn.direction() == Direction::Out {
            self.on_dial_over(now, remote, reason, out);
        }
    }

    /// First leg: somebody wants a slot.
    fn on_connect(
        &mut self,
        now: Instant,
        conn: ConnId,
        from: SocketAddr,
        version: (u8, u8),
        headers: &Headers,
        out: &mut Outbox,
    ) {
        let hello = Hello::read(headers);
        let mut identity = hello.identity(from, Direction::In);
        // A leaf tells its ultrapeers; it wants to be told nothing.
        identity.takes_table = self.takes_our_table(&identity);
        self.on_incoming(now, from.ip(), out);
        if hello.crawls {
            return self.answer_crawler(conn, &identity, out);
        }
        let verdict = self.judge(now, &hello, &identity, version);
        self.learn_from(now, from, &hello, &identity);
        match verdict {
            Ok(slot) => {
                // One who dials us knows by which address, but could say anything: those we dial have more say.
                if let Some(us) = hello.us_seen_from(from.ip()) {
                    self.us.seen_as(us).first(us, from.ip());
                }
                let head = Head::Status { code: 200, reason: "OK".to_owned(), headers: self.answer(&identity, &hello) };
                let deadline = now + self.config.handshake_timeout;
                let identity = Some(Box::new(identity));
                self.pending.insert(conn, Pending { stage: Stage::Answered, remote: from, deadline, slot, identity });
                self.wake_by(deadline);
                out.push(Output::Handshake { conn, verdict: Verdict::Accept, head });
            }
            Err((code, reason)) => {
                self.counters.refused_by_us += 1;
                let head = Head::Status { code, reason: reason.to_owned(), headers: self.refusal(&identity) };
                out.push(Output::Handshake { conn, verdict: Verdict::Refuse, head });
            }
        }
    }

    /// Whether a dialler gets a slot, and which kind; or the code and words of the refusal.
    fn judge(
        &mut self,
        now: Instant,
        hello: &Hello,
        identity: &Identity,
        version: (u8, u8),
    ) -> Result<Slot, (u16, &'static str)> {
        if version < (0, 6) {
            return Err((503, "Gnutella 0.6 or later, please"));
        }
        if !self.may_be_plain() && !hello.encrypts {
            return Err(PLAIN);
        }
        if hello.servent == Some(self.config.servent) {
            return Err((409, "I am you"));
        }
        let linked = match hello.servent {
            Some(servent) => self.links.of_servent(servent).is_some(),
            None => identity.listens && self.links.iter().any(|link| link.is_at(identity.addr)),
        };
        if linked {
            return Err((409, "Already connected"));
        }
        if let Some(theirs) = hello.servent {
            let ours = self.config.servent;
            let crossing = self.pending.iter().any(|(conn, pending)| match conn.direction() {
                Direction::Out => {
                    let offered = pending.stage != Stage::Dialling && identity.listens && pending.is_at(identity.addr);
                    (offered || pending.servent() == Some(theirs)) && keeps(ours, theirs) == Direction::Out
                }
                Direction::In => pending.servent() == Some(theirs),
            });
            if crossing {
                return Err((409, "Already connecting"));
            }
        }
        if self.pending.len() >= self.config.limits.handshakes {
            return Err((503, "Too many handshakes at once"));
        }
        if !self.is_diverse_incoming(identity.remote.ip()) && !self.is_listed(identity.addr) {
            return Err((503, "Too many peers from your network"));
        }
        if self.has_slot_for(identity.role) {
            return Ok(Slot::Free);
        }
        match (self.role(), identity.role) {
            (Role::Leaf, _) => Err((503, "Shielded leaf node")),
            (Role::Ultrapeer, Role::Leaf) => Err((503, "No leaf slot free")),
            (Role::Ultrapeer, Role::Ultrapeer) if self.may_replace(now) => Ok(Slot::Replacing),
            (Role::Ultrapeer, Role::Ultrapeer) => Err((503, "Slots full")),
        }
    }

    /// Second leg: the answer to our offer.
    fn on_answer(&mut self, now: Instant, conn: ConnId, code: u16, reason: &str, headers: &Headers, out: &mut Outbox) {
        let Some(remote) = self.pending.get(&conn).map(|pending| pending.remote) else { return };
        let hello = Hello::read(headers);
        let mut identity = hello.identity(remote, Direction::Out);
        identity.takes_table = self.takes_our_table(&identity);
        let ourselves = hello.servent == Some(self.config.servent);
        if !ourselves {
            self.learn_from(now, remote, &hello, &identity);
        }
        if ourselves {
            return self.close_pending(now, conn, CloseReason::Ourselves, out);
        }
        if let Some(servent) = hello.servent {
            self.is_also_at(servent, remote);
        }
        if !(200..300).contains(&code) {
            self.counters.refused_by_them += 1;
            return self.close_pending(now, conn, CloseReason::Refused(code, shortened(reason)), out);
        }
        if let Some((code, reason)) = self.second_thoughts(conn, &hello, remote) {
            self.counters.refused_by_us += 1;
            let headers = self.refusal(&identity);
            let head = Head::Status { code, reason: reason.to_owned(), headers };
            out.push(Output::Handshake { conn, verdict: Verdict::Refuse, head });
            let reason = CloseReason::WeRefused(code, reason.to_owned());
            self.pending.remove(&conn);
            return self.on_dial_over(now, remote, reason, out);
        }
        if let Some(us) = hello.us_seen_from(remote.ip()) {
            self.us.seen_as(us).told(us, remote.ip());
        }
        if let Some(pending) = self.pending.get_mut(&conn) {
            pending.stage = Stage::Agreed;
            pending.identity = Some(Box::new(identity));
        }
        let headers = self.secured(self.coded(Headers::default(), &hello), hello.encrypts);
        let head = Head::Status { code: 200, reason: "OK".to_owned(), headers };
        out.push(Output::Handshake { conn, verdict: Verdict::Accept, head });
    }

    /// Why we refuse in the third leg somebody who accepted us.
    fn second_thoughts(&self, conn: ConnId, hello: &Hello, remote: SocketAddr) -> Option<(u16, &'static str)> {
        if !self.may_be_plain() && !hello.encrypts {
            return Some(PLAIN);
        }
        if hello.role == Some(Role::Leaf) && !self.has_slot_for(Role::Leaf) {
            let leaf = self.role() == Role::Leaf;
            return Some(if leaf { (503, "Shielded leaf node") } else { (503, "No leaf slot free") });
        }
        let Some(theirs) = hello.servent else {
            let linked = self.links.iter().any(|link| link.is_at(remote));
            return linked.then_some((409, "Already connected"));
        };
        if self.links.of_servent(theirs).is_some() {
            return Some((409, "Already connected"));
        }
        let crossing = self.pending.iter().any(|(&other, pending)| {
            other != conn
                && pending.servent() == Some(theirs)
                && keeps(self.config.servent, theirs) == other.direction()
        });
        crossing.then_some((409, "Already connecting"))
    }

    /// Third leg.
    fn on_last_leg(
        &mut self,
        now: Instant,
        conn: ConnId,
        code: u16,
        reason: &str,
        headers: &Headers,
        out: &mut Outbox,
    ) {
        let Some(pending) = self.pending.get_mut(&conn) else { return };
        let remote = pending.remote;
        if (200..300).contains(&code) {
            pending.stage = Stage::Agreed;
        } else {
            self.counters.refused_by_them += 1;
            self.close_pending(now, conn, CloseReason::Refused(code, shortened(reason)), out);
        }
        let hello = Hello::read(headers);
        for host in hello.hosts {
            self.learn_host(now, remote.ip(), host, HostSource::Stranger, Teller::XTry);
        }
    }

    fn learn_from(&mut self, now: Instant, remote: SocketAddr, hello: &Hello, identity: &Identity) {
        if hello.servent == Some(self.config.servent) {
            return;
        }
        if hello.role == Some(Role::Leaf) {
            // Nobody finds a slot there.
        } else if identity.listens {
            // Another address within our site is its word alone: we talk to one, and dial the other.
            let source = if identity.is_seen_at_addr() { HostSource::Peer } else { HostSource::Stranger };
            self.learn_host(now, remote.ip(), identity.addr, source, Teller::Peer);
        } else if let Some(listen) = hello.listen {
            self.learn_host(now, remote.ip(), listen, HostSource::Stranger, Teller::Peer);
        }
        for &host in &hello.hosts {
            self.learn_host(now, remote.ip(), host, HostSource::Stranger, Teller::XTry);
        }
    }

    /// Headers of our first leg.
    fn offer(&self, to: SocketAddr) -> Headers {
        let headers = match self.config.deflate {
            Deflate::Off => self.introduce(to),
            Deflate::Receive | Deflate::Both => self.introduce(to).with("Accept-Encoding", "deflate"),
        };
        let headers = headers
            .with("X-Degree", self.config.accept_limit().to_string())
            .with("X-Max-TTL", self.config.max_ttl.to_string())
            .with("X-Query-Routing", "0.1")
            .with("X-Ultrapeer-Query-Routing", "0.1")
            .with("X-Dynamic-Querying", "0.1")
            .with("GGEP", "0.5")
            .with("Pong-Caching", "0.1")
            .with("Bye-Packet", "0.1");
        let mut headers = if self.config.vendor_messages { headers.with("Vendor-Message", "0.2") } else { headers };
        Features { browse: self.config.browse, queue: false, ipv6: self.speaks_ipv6() }.tell(&mut headers);
        headers
    }

    /// Headers of our accepting second leg.
    fn answer(&mut self, to: &Identity, hello: &Hello) -> Headers {
        let mut headers = self.secured(self.coded(self.offer(to.remote), hello), hello.encrypts);
        if self.role() == Role::Ultrapeer {
            // Whoever gets this has a slot: we need it as what it is.
            headers.push("X-Ultrapeer-Needed", "True");
        }
        self.with_hosts(headers, to)
    }

    /// In our last leg: whether what we send will be deflated.
    fn coded(&self, headers: Headers, hello: &Hello) -> Headers {
        let deflates = self.config.deflate == Deflate::Both && hello.inflates;
        if deflates { headers.with("Content-Encoding", "deflate") } else { headers }
    }

    /// Where both want it: that the link is to be encrypted.
    fn secured(&self, headers: Headers, wanted: bool) -> Headers {
        let encrypts = self.config.encrypt != Encrypt::Off && wanted;
        if encrypts { headers.with(NOISE_HEADER, NOISE_WAY) } else { headers }
    }

    fn may_be_plain(&self) -> bool {
        self.config.encrypt != Encrypt::Require
    }

    /// The driver encrypted a connection.
    pub(super) fn on_secured(&mut self, conn: ConnId, key: [u8; 32]) {
        let agreed = self.pending.get_mut(&conn).filter(|pending| pending.stage == Stage::Agreed);
        if let Some(identity) = agreed.and_then(|pending| pending.identity.as_mut()) {
            identity.key = Some(key);
        }
    }

    /// Headers of a refusal: who we are, and who may have a slot.
    fn refusal(&mut self, to: &Identity) -> Headers {
        let headers = self.with_hosts(self.introduce(to.remote), to);
        // Old ones read the one, others the other: `X-Try` is any host, `X-Try-Ultrapeers` those that route.
        match headers.get("X-Try-Ultrapeers").map(str::to_owned) {
            Some(hosts) => headers.with("X-Try", hosts),
            None => headers,
        }
    }

    fn introduce(&self, to: SocketAddr) -> Headers {
        let mut headers = Headers::default();
        headers.push("User-Agent", self.config.user_agent.as_str());
        headers.push("X-Ultrapeer", if self.role() == Role::Ultrapeer { "True" } else { "False" });
        if let Some(addr) = self.own_addr_for(to.ip()) {
            headers.push("Listen-IP", addr.to_string());
        }
        headers.push("Remote-IP", to.ip().to_string());
        headers.push("GUID", self.config.servent.to_string());
        headers
    }

    /// Names peers of ours first, they were there a moment ago; then hosts that were. Never hosts that
    /// only strangers spoke of: lies are not passed on.
    fn with_hosts(&mut self, headers: Headers, to: &Identity) -> Headers {
        let tell = |addr: SocketAddr| addr != to.addr && may_name(to.remote.ip(), addr.ip());
        let peers = self.links.ultrapeers().map(|link| &link.identity);
        let mut hosts: Vec<_> = peers.filter(|peer| peer.listens && tell(peer.addr)).map(|peer| peer.addr).collect();
        self.rng.shuffle(&mut hosts);
        hosts.truncate(TRY_HOSTS);
        let more =
            self.hosts.proven(TRY_HOSTS - hosts.len(), &mut self.rng, |addr| tell(addr) && !hosts.contains(&addr));
        hosts.extend(more);
        if hosts.is_empty() {
            return headers;
        }
        let hosts: Vec<_> = hosts.iter().map(SocketAddr::to_string).collect();
        headers.with("X-Try-Ultrapeers", hosts.join(","))
    }

    /// Whether that peer is to be told what we share.
    fn takes_our_table(&self, identity: &Identity) -> bool {
        match (self.role(), identity.role) {
            (Role::Leaf, _) => true,
            (Role::Ultrapeer, Role::Ultrapeer) => identity.takes_table,
            (Role::Ultrapeer, Role::Leaf) => false,
        }
    }

    /// A crawler draws a map of the network: it is told who is linked here, as far as it may know them, and no link is made.
    fn answer_crawler(&mut self, conn: ConnId, to: &Identity, out: &mut Outbox) {
        let mut list = |role| {
            let peers = self.links.iter().filter(|link| link.role == role).map(|link| &link.identity);
            let known = peers.filter(|peer| peer.listens && may_name(to.remote.ip(), peer.addr.ip()));
            let mut known: Vec<_> = known.map(|peer| peer.addr.to_string()).collect();
            // Not the same ones each time: who asks again hears of the others.
            self.rng.shuffle(&mut known);
            let mut room = CRAWLED_BYTES;
            let fits = |addr: &String| {
                room = room.saturating_sub(addr.len() + 1);
                room > 0
            };
            known.into_iter().take(CRAWLED).take_while(fits).collect::<Vec<_>>().join(",")
        };
        let (peers, leaves) = (list(Role::Ultrapeer), list(Role::Leaf));
        let headers = self.introduce(to.remote).with("Peers", peers).with("Leaves", leaves);
        self.counters.crawled += 1;
        let head = Head::Status { code: 200, reason: "OK".to_owned(), headers };
        out.push(Output::Handshake { conn, verdict: Verdict::Refuse, head });
    }
}

/// A stranger's words, bounded.
fn shortened(words: &str) -> String {
    words.chars().take(WORDS_KEPT).collect()
}
