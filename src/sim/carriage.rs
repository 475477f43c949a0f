//! What happens between servents: dials, links, datagrams, announcements.
//!
//! A link keeps order in each direction, its end included: what was sent before a close still arrives, and what
//! arrives after one is nobody's. The world measures floods here, where every copy comes by.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;

use crate::proto::{CloseReason, ConnId, DialFailure, Direction, Input};
use crate::wire::handshake::{HEAD_LIMIT, Head};
use crate::wire::head::RawHead;
use crate::wire::hit::QueryHit;
use crate::wire::query::Query;
use crate::wire::stream::{FrameReader, PAYLOAD_LIMIT};
use crate::wire::{Frame, Kind};

use super::flood::{Flood, Step};
use super::link::{End, Link};
use super::options::{Hop, Lan};
use super::world::{Machine, Parcel, ServentId, What, World};

impl World {
    pub(super) fn dial(&mut self, id: ServentId, conn: ConnId, addr: SocketAddr) {
        self.nodes[id].conns.insert(conn, None);
        let latency = self.at(addr).map_or(Duration::from_millis(1), |to| self.latency(id, to));
        self.plan(self.now + latency, What::Knock { by: id, conn, addr });
    }

    pub(super) fn on_knock(&mut self, by: ServentId, conn: ConnId, addr: SocketAddr) {
        if self.nodes[by].conns.get(&conn) != Some(&None) {
            return; // given up, or dead
        }
        let target = self.at(addr);
        let failure = match target {
            Some(to) if self.parted(by, to) || self.nodes[to].machine == Machine::Off => DialFailure::TimedOut,
            Some(to) if self.nodes[to].servent.is_some() => {
                let latency = self.latency(by, to);
                let port = 32_768 + (self.links.len() % 28_000) as u16;
                let node = &mut self.nodes[to];
                let accepted = ConnId::accepted(node.accepted);
                node.accepted += 1;
                let place = self.links.len();
                node.conns.insert(accepted, Some((place, 1)));
                let seen_as = SocketAddr::new(self.nodes[by].addr.ip(), port);
                let ends = [End::new(by, conn, addr), End::new(to, accepted, seen_as)];
                self.links.push(Link::new(ends, latency));
                self.nodes[by].conns.insert(conn, Some((place, 0)));
                return self.plan(self.now + latency, What::Tell(by, Input::Dialled { conn }));
            }
            _ => DialFailure::Refused,
        };
        self.nodes[by].conns.remove(&conn);
        let wait = match (failure, target) {
            (DialFailure::TimedOut, _) => self.options.dial_timeout,
            (_, to) => to.map_or(Duration::from_millis(1), |to| self.latency(by, to)),
        };
        self.plan(self.now + wait, What::Tell(by, Input::DialFailed { conn, reason: failure }));
    }

    /// What an empty link takes.
    pub(super) fn room(&self) -> usize {
        self.options.capacity.map_or(usize::MAX, |capacity| capacity.buffer)
    }

    /// Closes our end; what was sent before still arrives, and then the end does.
    pub(super) fn close(&mut self, id: ServentId, conn: ConnId, reason: CloseReason) {
        self.carry(id, conn, Parcel::End(CloseReason::Closed));
        if let Some(place) = self.nodes[id].conns.remove(&conn) {
            if let Some((link, side)) = place {
                self.links[link].ends[side].open = false;
            }
            self.plan(self.now, What::Tell(id, Input::Disconnected { conn, reason }));
        }
    }

    /// Puts something on a link. Connections that are gone are passed over.
    pub(super) fn carry(&mut self, id: ServentId, conn: ConnId, parcel: Parcel) {
        let Some(&Some((link, side))) = self.nodes[id].conns.get(&conn) else { return };
        let bytes = match &parcel {
            Parcel::Frame(frame) => {
                if frame.header.kind == Kind::Query {
                    let (guid, now) = (frame.header.guid, self.now);
                    self.floods.entry(guid).or_insert_with(|| Flood::new(guid, id, now)).on_sent(frame);
                } else if frame.header.kind == Kind::QueryHit
                    && let Some(flood) = self.floods.get_mut(&frame.header.guid)
                {
                    flood.hit_messages += 1;
                }
                self.under_way += u64::from(matches!(frame.header.kind, Kind::Query | Kind::QueryHit));
                self.frames += 1;
                frame.wire_len()
            }
            Parcel::Leg(_) | Parcel::End(_) => 0,
        };
        let capacity = self.options.capacity;
        let (left, arrives) = self.links[link].carry(side, bytes, capacity, self.now);
        if capacity.is_some() && bytes > 0 {
            self.links[link].ends[side].waiting += bytes;
            self.plan(left, What::Left { link, side, bytes });
        }
        self.plan(arrives, What::Arrive { link, side: 1 - side, parcel });
    }

    pub(super) fn on_left(&mut self, link: usize, side: usize, bytes: usize) {
        let end = &mut self.links[link].ends[side];
        end.waiting -= bytes;
        let (id, conn, waiting) = (end.servent, end.conn, end.waiting);
        if let (true, Some(capacity)) = (end.open, self.options.capacity) {
            self.tell(id, Input::Room { conn, bytes: capacity.buffer.saturating_sub(waiting) });
        }
    }

    pub(super) fn on_arrival(&mut self, link: usize, side: usize, parcel: Parcel) {
        let (from, end) = (self.links[link].ends[1 - side].servent, &mut self.links[link].ends[side]);
        let (id, conn, remote, open) = (end.servent, end.conn, end.remote, end.open);
        if let Parcel::Frame(frame) = &parcel {
            self.under_way -= u64::from(matches!(frame.header.kind, Kind::Query | Kind::QueryHit));
            self.frames -= 1;
        }
        if !open || self.parted(id, from) {
            return;
        }
        match self.travel(parcel) {
            Parcel::Leg(head) => {
                self.links[link].ends[side].known = true;
                let third = conn.direction() == Direction::In && matches!(head, Head::Status { code: 200..300, .. });
                self.tell(id, Input::Handshake { conn, from: remote, head });
                if third && self.nodes[id].conns.contains_key(&conn) {
                    // At once: what follows the third leg may arrive at this very moment.
                    self.tell(id, Input::Connected { conn, room: self.room() });
                }
            }
            Parcel::Frame(frame) => {
                if let Some(flood) = self.floods.get_mut(&frame.header.guid) {
                    if frame.header.kind == Kind::Query {
                        let copy = flood.on_arrived(self.now, from, id, &frame.header);
                        if self.options.steps {
                            let (at, ttl, hops) = (self.now, frame.header.ttl, frame.header.hops);
                            flood.steps.push(Step { at, from, to: id, ttl, hops, copy });
                        }
                    }
                    flood.ended = self.now;
                }
                self.tell(id, Input::Frames { conn, batch: frame.into() });
            }
            Parcel::End(reason) => {
                let end = &mut self.links[link].ends[side];
                end.open = false;
                let known = end.known;
                self.nodes[id].conns.remove(&conn);
                if known {
                    self.tell(id, Input::Disconnected { conn, reason });
                }
            }
        }
    }

    pub(super) fn on_datagram(&mut self, from: ServentId, to: SocketAddr, frame: Frame) {
        if let Some(to) = self.at(to)
            && !self.parted(from, to)
        {
            let from = self.nodes[from].addr;
            self.tell(to, Input::Datagram { from, frame });
        }
    }

    /// All on this network get it, and answer the one who sent it.
    pub(super) fn announce(&mut self, id: ServentId, frame: &Frame) {
        if self.options.lan == Lan::Apart {
            return;
        }
        for to in (0..self.nodes.len()).filter(|&to| to != id && !self.parted(id, to)).collect::<Vec<_>>() {
            let at = self.now + self.latency(id, to);
            let (from, there) = (self.nodes[id].addr, self.nodes[to].addr.ip());
            self.plan(at, What::Tell(to, Input::Announced { from, at: there, frame: frame.clone() }));
        }
    }

    /// What comes out of a link: what went in, after a journey as bytes if the world is of that kind.
    fn travel(&self, parcel: Parcel) -> Parcel {
        match (self.options.hop, parcel) {
            (Hop::Encoded, Parcel::Frame(frame)) => Parcel::Frame(frame_as_bytes(&frame)),
            (Hop::Encoded, Parcel::Leg(head)) => Parcel::Leg(head_as_bytes(&head)),
            (_, parcel) => parcel,
        }
    }

    /// Who has that address.
    pub(super) fn at(&self, addr: SocketAddr) -> Option<ServentId> {
        let SocketAddr::V4(v4) = addr else { return None };
        let id = (u32::from_be_bytes(v4.ip().octets()) & 0x00ff_ffff).checked_sub(1)? as usize;
        (self.nodes.get(id)?.addr == addr).then_some(id)
    }

    pub(super) fn parted(&self, a: ServentId, b: ServentId) -> bool {
        self.wall.is_some_and(|first| (a < first) != (b < first))
    }

    pub(super) fn latency(&self, a: ServentId, b: ServentId) -> Duration {
        let given = self.latencies.get(&(a.min(b), a.max(b))).copied();
        given.unwrap_or_else(|| self.options.latency.between(self.options.seed, a, b))
    }
}

/// A frame encoded, cut in two, read and decoded; the payloads that the core builds are rebuilt as well.
fn frame_as_bytes(frame: &Frame) -> Frame {
    let mut bytes = BytesMut::new();
    frame.encode(&mut bytes);
    let mut reader = FrameReader::new(PAYLOAD_LIMIT);
    let (head, tail) = bytes.split_at(bytes.len() / 2);
    reader.push(head);
    reader.push(tail);
    let mut frame = reader.next_frame().expect("the core sends what can be read").expect("the frame is whole");
    frame.payload = match frame.header.kind {
        Kind::Query => Query::decode(&frame.payload).expect("the core sends queries that can be read").encode(),
        Kind::QueryHit => QueryHit::decode(&frame.payload).expect("the core sends hits that can be read").encode(),
        _ => frame.payload,
    };
    frame
}

/// A handshake leg encoded, read and parsed.
fn head_as_bytes(head: &Head) -> Head {
    let bytes = head.encode();
    let read = RawHead::decode(&bytes, HEAD_LIMIT).expect("the core sends heads that can be read");
    let (raw, taken) = read.expect("the head is whole");
    assert_eq!(taken, bytes.len(), "nothing follows the head");
    Head::parse(raw).expect("the core sends heads that can be parsed")
}
