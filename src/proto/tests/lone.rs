//! One servent and a scripted driver: what goes in, and the whole outbox that comes out.

use std::net::SocketAddr;

use bytes::Bytes;

use crate::base::{Instant, Rng};
use crate::proto::*;
use crate::wire::handshake::Head;
use crate::wire::head::Headers;
use crate::wire::pong::Pong;
use crate::wire::query::Query;
use crate::wire::{Frame, Guid, Header, Kind};

pub(super) const ME: Guid = Guid([0xee; 16]);

pub(super) struct Lone {
    pub(super) servent: Servent,
    pub(super) now: Instant,
    out: Outbox,
}

impl Lone {
    /// A servent that listens at 10.0.0.1:6346 and neither dials nor discovers.
    pub(super) fn new() -> Self {
        let mut config = Config::new(ME);
        config.only_listed = true;
        Self::with(config)
    }

    pub(super) fn with(config: Config) -> Self {
        let servent = Servent::new(config, Rng::from_number(1), Instant::ZERO);
        let mut lone = Self { servent, now: Instant::ZERO, out: Vec::new() };
        lone.command(Command::Listening(addr("10.0.0.1:6346")));
        lone
    }

    pub(super) fn handle(&mut self, input: Input) -> Outbox {
        self.servent.handle(self.now, input, &mut self.out);
        std::mem::take(&mut self.out)
    }

    pub(super) fn command(&mut self, command: Command) -> Outbox {
        self.handle(Input::Command(command))
    }

    pub(super) fn frame(&mut self, conn: ConnId, frame: Frame) -> Outbox {
        self.handle(Input::Frames { conn, batch: frame.into() })
    }

    /// Moves the clock, calls the timeout at each deadline on the way.
    pub(super) fn sleep_until(&mut self, then: Instant) -> Outbox {
        while let Some(at) = self.servent.next_timeout().filter(|&at| at <= then) {
            self.now = self.now.max(at);
            self.servent.handle_timeout(self.now, &mut self.out);
            assert!(self.servent.next_timeout().is_none_or(|next| next > self.now), "it would spin at {}", self.now);
        }
        self.now = then;
        std::mem::take(&mut self.out)
    }

    /// The `n`th peer dials us from 10.0.1.n and gets a link with that much room.
    pub(super) fn accept(&mut self, n: u8, room: usize) -> ConnId {
        let conn = ConnId::accepted(n.into());
        let out = self.handle(Input::Handshake { conn, from: peer_addr(n), head: connect(n) });
        assert_eq!(verdict(&out), Some((Verdict::Accept, 200)), "{out:?}");
        assert_eq!(self.handle(Input::Handshake { conn, from: peer_addr(n), head: status(200, "OK") }), []);
        let out = self.handle(Input::Connected { conn, room });
        assert!(out.contains(&Output::Event(Event::NeighbourUp(conn, peer_addr(n)))), "{out:?}");
        conn
    }

    /// Peers 1 to `n`, with endless room.
    pub(super) fn accept_many(&mut self, n: u8) -> Vec<ConnId> {
        (1..=n).map(|n| self.accept(n, usize::MAX)).collect()
    }

    pub(super) fn peer(&self, conn: ConnId) -> PeerInfo {
        self.servent.peers().into_iter().find(|peer| peer.conn == conn).expect("the peer is linked")
    }
}

pub(super) fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// The transport address of the `n`th peer; it tells no other, so it is not a host to dial.
pub(super) fn peer_addr(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 1, n], 40_000))
}

pub(super) fn peer_guid(n: u8) -> Guid {
    Guid([n; 16])
}

pub(super) fn connect(n: u8) -> Head {
    let headers = Headers::default().with("X-Ultrapeer", "True").with("GUID", peer_guid(n).to_string());
    Head::Connect { version: (0, 6), headers }
}

pub(super) fn status(code: u16, reason: &str) -> Head {
    Head::Status { code, reason: reason.to_owned(), headers: Headers::default() }
}

/// Our Pong as who asks further is told it, at the start: no day has seen us yet.
pub(super) fn full_pong(files: u32, kib: u32, slots: (u8, u8)) -> Bytes {
    let (leaves, ultrapeers) = slots;
    let pong = Pong::new(addr("10.0.0.1:6346"), files, kib).with_vendor(*b"FLBT", 0x01);
    pong.with_slots(leaves, ultrapeers).with_uptime(0).encode()
}

/// What the only handshake leg in `out` says.
pub(super) fn verdict(out: &[Output]) -> Option<(Verdict, u16)> {
    out.iter().find_map(|output| match output {
        Output::Handshake { verdict, head: Head::Status { code, .. }, .. } => Some((*verdict, *code)),
        _ => None,
    })
}

pub(super) fn header_of<'a>(out: &'a [Output], name: &str) -> Option<&'a str> {
    out.iter().find_map(|output| match output {
        Output::Handshake { head, .. } => head.headers().get(name),
        _ => None,
    })
}

pub(super) fn query() -> Query {
    Query::new("blue train", &[])
}

pub(super) fn query_frame(guid: u8, ttl: u8, hops: u8) -> Frame {
    frame(Kind::Query, guid, ttl, hops, query().encode())
}

pub(super) fn frame(kind: Kind, guid: u8, ttl: u8, hops: u8, payload: Bytes) -> Frame {
    Frame { header: Header { guid: Guid([guid; 16]), kind, ttl, hops }, payload }
}

pub(super) fn received(guid: u8, hops: u8) -> Output {
    Output::Event(Event::QueryReceived { guid: Guid([guid; 16]), query: query(), hops })
}

pub(super) fn send(to: &[ConnId], frame: Frame) -> Output {
    Output::Send { to: to.to_vec(), frame }
}
