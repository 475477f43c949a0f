//! Vendor messages between neighbours: connect back, and push proxies.
//!
//! With a peer that says `Vendor-Message` in its handshake we exchange the lists of those that we take, "right after
//! the initial handshaking ping" (`vendor_msg`), and send nothing that is not in its list. All are for one link: what
//! has crossed another is dropped.
//!
//! * BEAR/7, *connect back*: the peer is called at its own address and the port that it names, if strangers may make us
//!   dial there, and not again within half a minute.
//! * GTKG/7, *ping me by UDP*: a Ping goes to its own address, which costs no dial and is shorter than what asked for it, and
//!   counts among the answers by UDP: the port is of its choice.
//! * LIME/21, *be my push proxy*: yes, as long as the link lasts (`push_proxy` section 3); the peer's GUID is that of its
//!   handshake, so that nobody gets the pushes of another.
//! * BEAR/11, *how many hits have you?*, and BEAR/12, *so many*: between an ultrapeer and the leaf whose query it asks
//!   dynamically (`leaf_guided_queries`).
//! * LIME/22, *I am*: believed for the address that we talk to.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::base::Instant;
use crate::wire::ping::Ping;
use crate::wire::push::Push;
use crate::wire::vendor::{QUERY_OVER, Said, Vendor, Which};
use crate::wire::{Frame, Guid, Kind};

use super::address::{is_dialable, is_public, is_strangers_port};
use super::reach::{ASKED, Reachable};
use super::servent::Servent;
use super::{ConnId, Direction, DropReason, Event, Outbox, Output, Role, Word};

/// What we take.
const TAKEN: [Which; 6] =
    [Which::CONNECT_BACK, Which::PROXY_PLEASE, Which::PROXY_YES, Which::STATUS_PLEASE, Which::STATUS, Which::PING_BACK];
/// Neighbours that are our push proxies at most; hits and answers name no more.
const PROXIES: usize = 4;
/// Who is asked to be our push proxy and says nothing for so long will not be.
const PROXY_ANSWER: Duration = Duration::from_secs(10);
/// A peer is called back at most so often.
const CALL_EVERY: Duration = Duration::from_secs(30);

/// What there is between us and a peer besides messages that are routed.
#[derive(Debug, Default)]
pub(super) struct Talk {
    /// It takes BEAR/7.
    calls_back: bool,
    /// It takes GTKG/7.
    pub(super) pings_back: bool,
    /// It takes LIME/21.
    proxies: bool,
    /// It takes BEAR/11, and BEAR/12.
    tells_status: bool,
    takes_status: bool,
    /// When we asked it to be our push proxy.
    asked_at: Option<Instant>,
    /// It is, at that address.
    proxy: Option<Box<SocketAddr>>,
    /// We are its push proxy.
    pub(super) proxied: bool,
    called_at: Option<Instant>,
}

impl Servent {
    /// Can others connect to us?
    pub fn reach(&self) -> Reachable {
        self.reach.known()
    }

    /// Our push proxies; they matter while others cannot connect to us.
    pub fn push_proxies(&self) -> Vec<SocketAddr> {
        self.links.iter().filter_map(|link| link.talk.proxy.as_deref().copied()).take(PROXIES).collect()
    }

    /// Whether who wants a file of ours has to push.
    pub(super) fn is_walled(&self) -> bool {
        self.own_addr().is_none() || self.reach() == Reachable::No
    }

    /// Somebody opened a connection to us.
    pub(super) fn on_incoming(&mut self, now: Instant, from: IpAddr, out: &mut Outbox) {
        let before = self.reach();
        self.mind_address(now);
        self.reach.on_incoming(now, from.to_canonical());
        self.tell_reach(before, out);
        self.wake_for_reach();
    }

    /// Our address may have changed, or the time has come to ask whether others can connect to us.
    pub(super) fn tend_reach(&mut self, now: Instant, out: &mut Outbox) {
        let before = self.reach();
        self.mind_address(now);
        if self.reach.look(now) {
            let port = self.own_addr().map_or(0, |addr| addr.port());
            let mut peers: Vec<_> = self.links.iter().filter(|link| link.talk.calls_back).map(|l| l.conn).collect();
            self.rng.shuffle(&mut peers);
            peers.truncate(ASKED);
            self.reach.asked(now, peers.len());
            for conn in peers {
                self.send_vendor(now, conn, None, &Vendor::connect_back(port), out);
            }
        }
        self.tell_reach(before, out);
        self.find_proxies(now, out);
        self.wake_for_reach();
    }

    /// A link is up, and its first ping sent: the list of what we take.
    pub(super) fn greet_vendor(&mut self, now: Instant, conn: ConnId, out: &mut Outbox) {
        if self.config.vendor_messages && self.links.get(conn).is_some_and(|link| link.identity.vendor_messages) {
            self.send_vendor(now, conn, None, &Vendor::supported(&TAKEN), out);
        }
    }

    /// A vendor message came.
    pub(super) fn on_vendor(&mut self, now: Instant, conn: ConnId, frame: &Frame, out: &mut Outbox) {
        if !self.allows(now, conn, |buckets| &mut buckets.pings) {
            return self.drop_message(conn, DropReason::RateLimited);
        }
        let Some(link) = self.links.get_mut(conn) else { return };
        // Who did not say that it speaks so is not heard.
        if !self.config.vendor_messages || !link.identity.vendor_messages {
            return self.drop_message(conn, DropReason::Unknown);
        }
        let Ok(said) = Vendor::decode(&frame.payload).and_then(|message| message.said()) else {
            return self.drop_message(conn, DropReason::Malformed);
        };
        match said {
            Said::Supported(all) => {
                let takes = |which: Which| all.iter().any(|listed| listed.is_like(which));
                link.talk.calls_back = takes(Which::CONNECT_BACK);
                link.talk.pings_back = takes(Which::PING_BACK);
                link.talk.proxies = takes(Which::PROXY_PLEASE);
                link.talk.tells_status = takes(Which::STATUS_PLEASE);
                link.talk.takes_status = takes(Which::STATUS);
                self.tend_reach(now, out);
                self.tend_ping_back(now, out);
            }
            Said::PingBack(port, guid) => {
                self.on_ping_back(now, conn, port, guid.unwrap_or(frame.header.guid), frame.wire_len(), out)
            }
            Said::ConnectBack(port) => self.on_connect_back(now, conn, port, out),
            Said::ProxyPlease => self.on_proxy_please(now, conn, frame.header.guid, out),
            Said::ProxyYes(ip, port) => self.on_proxy_yes(conn, ip, port, out),
            Said::StatusPlease => {
                let guid = frame.header.guid;
                let status = self.router.files_of(&guid).map_or(QUERY_OVER, |files| files.min(QUERY_OVER - 1));
                self.send_vendor(now, conn, Some(guid), &Vendor::status(status), out);
            }
            Said::Status(files) => self.dynamic.guided(&frame.header.guid, conn, files),
            Said::Other | Said::HitsHere { .. } | Said::HitsPlease { .. } => {
                self.drop_message(conn, DropReason::Unknown)
            }
        }
    }

    /// Asks a leaf how many hits it has for its query.
    pub(super) fn ask_status(&mut self, now: Instant, leaf: ConnId, query: Guid, out: &mut Outbox) {
        if self.links.get(leaf).is_some_and(|link| link.talk.tells_status) {
            self.send_vendor(now, leaf, Some(query), &Vendor::status_please(), out);
        }
    }

    /// A search of ours is over: our ultrapeers need not ask on.
    pub(super) fn tell_over(&mut self, now: Instant, queries: &[Guid], out: &mut Outbox) {
        if self.role() == Role::Ultrapeer {
            return;
        }
        let takers = self.links.iter().filter(|link| link.talk.takes_status).map(|link| link.conn);
        for conn in takers.collect::<Vec<_>>() {
            for &query in queries {
                self.send_vendor(now, conn, Some(query), &Vendor::status(QUERY_OVER), out);
            }
        }
    }

    /// A link is gone, and with it what there was between us.
    pub(super) fn on_talk_over(&mut self, talk: &Talk, servent: Option<Guid>, out: &mut Outbox) {
        if let (true, Some(servent)) = (talk.proxied, servent) {
            out.push(Output::Event(Event::Proxied { servent, proxied: false }));
        }
        if talk.proxy.is_some() {
            self.tell_wall(out);
        }
    }

    /// Somebody asked us, by HTTP, to pass on to a peer of ours that it shall connect to `to`.
    pub(super) fn push_for(&mut self, now: Instant, servent: Guid, index: u32, to: SocketAddr, out: &mut Outbox) {
        let conn = self.links.of_servent(servent).filter(|link| link.talk.proxied).map(|link| link.conn);
        let Some(conn) = conn else { return };
        // "Directly sends this to the FS": one link far.
        let payload = Push::new(servent, index, to).encode();
        let frame = Frame::new(Guid::random(&mut self.rng), Kind::Push, 1, payload);
        self.counters.pushes_proxied += 1;
        self.send(now, conn, frame, out);
    }

    fn on_connect_back(&mut self, now: Instant, conn: ConnId, port: u16, out: &mut Outbox) {
        let Some(link) = self.links.get_mut(conn) else { return };
        if link.talk.called_at.is_some_and(|at| now.since(at) < CALL_EVERY) {
            return self.drop_message(conn, DropReason::RateLimited);
        }
        let addr = SocketAddr::new(link.identity.remote.ip(), port);
        if !is_dialable(addr) {
            return self.drop_message(conn, DropReason::Malformed);
        }
        if self.is_ourselves(addr) || !self.may_dial_asked(now, addr, Word::Neighbour) {
            return self.drop_message(conn, DropReason::RateLimited);
        }
        if let Some(link) = self.links.get_mut(conn) {
            link.talk.called_at = Some(now);
        }
        out.push(Output::Event(Event::ConnectBack { addr }));
    }

    /// It asked with so many bytes.
    fn on_ping_back(&mut self, now: Instant, conn: ConnId, port: u16, guid: Guid, asked: usize, out: &mut Outbox) {
        let Some(link) = self.links.get(conn) else { return };
        let addr = SocketAddr::new(link.identity.remote.ip(), port);
        if !is_dialable(addr) || (is_public(addr.ip()) && !is_strangers_port(port)) {
            return self.drop_message(conn, DropReason::Malformed);
        }
        let ping = Frame::new(guid, Kind::Ping, 1, Ping::default().encode());
        self.datagrams.came(now, addr.ip(), asked);
        if !self.datagrams.may_go(now, addr.ip(), ping.wire_len()) {
            return self.drop_message(conn, DropReason::RateLimited);
        }
        self.counters.pings_sent += 1;
        self.send_datagram(addr, ping, out);
    }

    fn on_proxy_please(&mut self, now: Instant, conn: ConnId, guid: Guid, out: &mut Outbox) {
        let Some(peer) = self.links.get(conn).map(|link| link.identity.remote.ip()) else { return };
        // Who cannot be reached itself is of no use.
        let us = self.own_addr_for(peer).filter(|_| !self.is_walled());
        // An IPv6 address is that of the link, or nothing tells it.
        let Some(us) = us.filter(|us| us.is_ipv4() || peer.is_ipv6()) else {
            return self.drop_message(conn, DropReason::NoRoute);
        };
        let Some(link) = self.links.get_mut(conn) else { return };
        if link.identity.servent != Some(guid) {
            return self.drop_message(conn, DropReason::Malformed);
        }
        if !std::mem::replace(&mut link.talk.proxied, true) {
            out.push(Output::Event(Event::Proxied { servent: guid, proxied: true }));
        }
        self.send_vendor(now, conn, Some(guid), &Vendor::proxy_yes(us), out);
    }

    fn on_proxy_yes(&mut self, conn: ConnId, ip: Option<Ipv4Addr>, port: u16, out: &mut Outbox) {
        let Some(link) = self.links.get_mut(conn) else { return };
        let at = SocketAddr::new(ip.map_or(link.identity.remote.ip(), IpAddr::from), port);
        // Our hits will send others there: nobody names a third one.
        let its_own = at.ip() == link.identity.remote.ip() || (link.identity.listens && at == link.identity.addr);
        if link.talk.asked_at.is_none() || !its_own || !is_dialable(at) {
            return self.drop_message(conn, DropReason::Malformed);
        }
        if link.talk.proxy.replace(Box::new(at)).is_none_or(|before| *before != at) {
            self.tell_wall(out);
        }
    }

    /// While others cannot connect to us, some neighbours are asked to be our push proxies: first those that we dialled,
    /// since they can be connected to.
    fn find_proxies(&mut self, now: Instant, out: &mut Outbox) {
        if !self.is_walled() {
            return;
        }
        let hopeful = |at: Instant| now.since(at) < PROXY_ANSWER;
        let taken =
            self.links.iter().filter(|l| l.talk.proxy.is_some() || l.talk.asked_at.is_some_and(hopeful)).count();
        let willing = self.links.iter().filter(|link| link.talk.proxies && link.talk.asked_at.is_none());
        let mut willing: Vec<_> = willing.map(|link| (link.conn.direction() == Direction::In, link.conn)).collect();
        willing.sort_unstable();
        willing.truncate(PROXIES.saturating_sub(taken));
        for (_, conn) in willing {
            if let Some(link) = self.links.get_mut(conn) {
                link.talk.asked_at = Some(now);
            }
            self.send_vendor(now, conn, Some(self.config.servent), &Vendor::proxy_please(), out);
        }
    }

    pub(super) fn send_vendor(
        &mut self,
        now: Instant,
        conn: ConnId,
        guid: Option<Guid>,
        what: &Vendor,
        out: &mut Outbox,
    ) {
        let guid = guid.unwrap_or_else(|| Guid::random(&mut self.rng));
        self.send(now, conn, Frame::new(guid, Kind::Vendor, 1, what.encode()), out);
    }

    fn mind_address(&mut self, now: Instant) {
        let anybody = self.links.iter().any(|link| link.talk.calls_back);
        self.reach.is_at(now, self.own_addr(), anybody);
    }

    fn wake_for_reach(&mut self) {
        if let Some(due) = self.reach.due() {
            self.wake_by(due);
        }
    }

    fn tell_reach(&mut self, before: Reachable, out: &mut Outbox) {
        if self.reach() != before || self.speaks_ipv6() != self.us.told_ipv6 {
            self.tell_wall(out);
        }
    }

    /// The application tells downloaders.
    fn tell_wall(&mut self, out: &mut Outbox) {
        let (reachable, us, ipv6) = (self.reach(), self.own_addr(), self.speaks_ipv6());
        self.us.told_ipv6 = ipv6;
        out.push(Output::Event(Event::Reach { reachable, us, ipv6, proxies: self.push_proxies() }));
    }
}
