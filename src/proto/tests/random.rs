//! Random operations, sense and nonsense: the servent never panics, never spins, and keeps its bounds.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use crate::base::{Instant, Rng};
use crate::proto::*;
use crate::wire::handshake::Head;
use crate::wire::head::Headers;
use crate::wire::hit::{Entry, Qhd, QueryHit};
use crate::wire::ping::Ping;
use crate::wire::pong::Pong;
use crate::wire::push::Push;
use crate::wire::qrp::RouteTableUpdate;
use crate::wire::qrt::{Draft, each_hash};
use crate::wire::query::Query;
use crate::wire::vendor::{Vendor, Which};
use crate::wire::{Frame, Guid, Header, Kind};

/// Small numbers, so that things meet.
#[derive(Clone, Debug)]
enum Op {
    Dialled(u64),
    DialFailed(u64),
    Connect {
        conn: u64,
        guid: u8,
        ip: u8,
        listen: u8,
        role: u8,
    },
    Status {
        conn: u64,
        dialled: bool,
        code: u16,
        guid: u8,
        hosts: u8,
    },
    Connected {
        conn: u64,
        dialled: bool,
        room: usize,
    },
    Frame {
        conn: u64,
        dialled: bool,
        kind: u8,
        guid: u8,
        ttl: u8,
        hops: u8,
        body: u8,
    },
    Room {
        conn: u64,
        dialled: bool,
        bytes: usize,
    },
    Disconnected {
        conn: u64,
        dialled: bool,
    },
    Datagram {
        from: u8,
        kind: u8,
        guid: u8,
        body: u8,
        announced: bool,
    },
    Command(u8, u8),
    Sleep(u32),
    /// A whole handshake that succeeds, if the servent lets it.
    Accept {
        conn: u64,
        guid: u8,
        ip: u8,
        room: usize,
    },
    /// The same for a dial of its own.
    Reach {
        conn: u64,
        guid: u8,
        room: usize,
    },
}

fn op() -> impl Strategy_<Value = Op> {
    let conn = 1..8_u64;
    // What builds and uses links is frequent, what tears them down is rare.
    prop_oneof![
        1 => conn.clone().prop_map(Op::Dialled),
        1 => conn.clone().prop_map(Op::DialFailed),
        1 => (conn.clone(), 0..8_u8, 0..8_u8, 0..4_u8, 0..6_u8)
            .prop_map(|(conn, guid, ip, listen, role)| Op::Connect { conn, guid, ip, listen, role }),
        1 => (conn.clone(), any::<bool>(), prop_oneof![Just(200_u16), Just(503), Just(409), any::<u16>()], 0..8_u8, 0..4_u8)
            .prop_map(|(conn, dialled, code, guid, hosts)| Op::Status { conn, dialled, code, guid, hosts }),
        1 => (conn.clone(), any::<bool>(), room())
            .prop_map(|(conn, dialled, room)| Op::Connected { conn, dialled, room }),
        5 => (conn.clone(), any::<bool>(), any::<u8>(), 0..16_u8, any::<u8>(), 0..9_u8, any::<u8>()).prop_map(
            |(conn, dialled, kind, guid, ttl, hops, body)| Op::Frame { conn, dialled, kind, guid, ttl, hops, body }
        ),
        25 => (conn.clone(), prop::bool::weighted(0.2), any::<u8>(), 0..16_u8, 1..8_u8, 0..3_u8, 0..200_u8).prop_map(
            |(conn, dialled, kind, guid, ttl, hops, body)| Op::Frame { conn, dialled, kind, guid, ttl, hops, body }
        ),
        6 => (conn.clone(), any::<bool>(), 0..2000_usize).prop_map(|(conn, dialled, bytes)| Op::Room { conn, dialled, bytes }),
        1 => (conn.clone(), any::<bool>()).prop_map(|(conn, dialled)| Op::Disconnected { conn, dialled }),
        4 => (0..16_u8, any::<u8>(), 0..16_u8, any::<u8>(), prop::bool::weighted(0.2))
            .prop_map(|(from, kind, guid, body, announced)| Op::Datagram { from, kind, guid, body, announced }),
        8 => (any::<u8>(), any::<u8>()).prop_map(|(what, n)| Op::Command(what, n)),
        6 => prop_oneof![3 => 0..100_u32, 3 => 0..9_000_u32, 1 => 0..1_000_000_u32].prop_map(Op::Sleep),
        12 => (conn.clone(), 0..8_u8, 0..8_u8, room())
            .prop_map(|(conn, guid, ip, room)| Op::Accept { conn, guid, ip, room }),
        4 => (conn, 0..8_u8, room()).prop_map(|(conn, guid, room)| Op::Reach { conn, guid, room }),
    ]
}

use proptest::strategy::Strategy as Strategy_;

fn room() -> impl Strategy_<Value = usize> {
    prop_oneof![Just(0_usize), Just(100), Just(100_000)]
}

fn host(n: u8) -> SocketAddr {
    let octets = [[10, 0, 0, n], [127, 0, 0, 1], [8, 8, n, 8], [0, 0, 0, 0]][usize::from(n % 4)];
    SocketAddr::from((octets, 6340 + u16::from(n % 8)))
}

fn guid(n: u8) -> Guid {
    Guid([n; 16])
}

fn conn(n: u64, dialled: bool) -> ConnId {
    if dialled { ConnId::dialled(n) } else { ConnId::accepted(n) }
}

fn frame(kind: u8, id: u8, ttl: u8, hops: u8, body: u8) -> Frame {
    let kinds = [
        Kind::Ping,
        Kind::Pong,
        Kind::Query,
        Kind::Query,
        Kind::QueryHit,
        Kind::Push,
        Kind::RouteTableUpdate,
        Kind::Vendor,
    ];
    let kind = if kind > 250 { Kind::from(kind) } else { kinds[usize::from(kind) % kinds.len()] };
    let payload = match (kind, body) {
        (_, 200..) => Bytes::from(vec![body; usize::from(body - 200)]),
        (Kind::Pong, _) => Pong::new(host(body), 1, 2).encode(),
        (Kind::Query, _) => Query::new("blue train", &[]).encode(),
        (Kind::QueryHit, _) => {
            let entries = vec![Entry::new(1, 2, "blue train", &[])];
            QueryHit::new(host(body), 0, entries, Qhd::new(*b"FLBT", false, false), guid(body % 8)).encode()
        }
        (Kind::Push, _) => Push::new(guid(body % 8), 1, host(body)).encode(),
        (Kind::RouteTableUpdate, _) => table(body).encode(),
        (Kind::Vendor, _) => vendor(body).encode(),
        (Kind::Ping, 100..) => {
            let mut ping = Ping::default();
            ping.ggep.push("SCP", &[body]);
            ping.encode()
        }
        _ => Bytes::new(),
    };
    Frame { header: Header { guid: guid(id), kind, ttl, hops }, payload }
}

/// A piece of a table; those of small numbers fit together.
fn table(body: u8) -> RouteTableUpdate {
    let patch = |sequence, count, compressor, bits, data: Vec<u8>| RouteTableUpdate::Patch {
        sequence,
        count,
        compressor,
        bits,
        data: data.into(),
    };
    match body % 8 {
        0 => RouteTableUpdate::Reset { slots: 1 << (body / 8 % 22), infinity: body % 5 },
        1 | 2 => RouteTableUpdate::Reset { slots: 64, infinity: 2 },
        3 | 4 => patch(1, 1, 0, 4, vec![0xf0; 32]),
        5 => patch(1, 2, 0, 1, vec![body; 4]),
        6 => patch(2, 2, 0, 1, vec![body; 4]),
        _ => patch(body % 4, body % 3, body % 3, 1 << (body % 5), vec![body; usize::from(body)]),
    }
}

fn vendor(body: u8) -> Vendor {
    let all = [Which::CONNECT_BACK, Which::PROXY_PLEASE, Which::PROXY_YES, Which::STATUS_PLEASE, Which::STATUS];
    match body % 10 {
        0 | 1 => Vendor::supported(&all),
        2 => Vendor::connect_back(host(body).port()),
        3 => Vendor::proxy_please(),
        4 => Vendor::proxy_yes(host(body)),
        5 => Vendor::status_please(),
        6 => Vendor::status(body.into()),
        7 => Vendor::ping_back(host(body).port(), guid(body % 16)),
        8 => Vendor::hits_here(body, body.is_multiple_of(4)),
        _ => Vendor::hits_please(body, (body % 4 == 1).then_some(&[body; 4][..])),
    }
}

fn inputs(op: &Op) -> Vec<Input> {
    match *op {
        Op::Accept { conn: n, guid, ip, room } => {
            let first = Op::Connect { conn: n, guid, ip, listen: 1, role: 1 + guid % 2 };
            let third = Op::Status { conn: n, dialled: false, code: 200, guid, hosts: 0 };
            let last = Op::Connected { conn: n, dialled: false, room };
            [first, third, last].iter().filter_map(input).collect()
        }
        Op::Reach { conn: n, guid, room } => {
            let second = Op::Status { conn: n, dialled: true, code: 200, guid, hosts: 1 };
            let last = Op::Connected { conn: n, dialled: true, room };
            [Op::Dialled(n), second, last].iter().filter_map(input).collect()
        }
        _ => input(op).into_iter().collect(),
    }
}

fn input(op: &Op) -> Option<Input> {
    Some(match *op {
        Op::Dialled(n) => Input::Dialled { conn: conn(n, true) },
        Op::DialFailed(n) => Input::DialFailed { conn: conn(n, true), reason: DialFailure::Refused },
        Op::Connect { conn: n, guid: id, ip, listen, role } => {
            let mut headers = Headers::default().with("X-Try-Ultrapeers", format!("{},{}", host(ip), host(ip + 1)));
            if role > 0 {
                headers.push("X-Ultrapeer", if role == 1 { "False" } else { "True" });
                headers.push("GUID", guid(id).to_string());
                headers.push("X-Ultrapeer-Query-Routing", "0.1");
                headers.push("Vendor-Message", "0.1");
            }
            if listen > 0 {
                headers.push("Listen-IP", host(ip + 4 * (listen - 1)).to_string());
            }
            Input::Handshake { conn: conn(n, false), from: host(ip), head: Head::Connect { version: (0, 6), headers } }
        }
        Op::Status { conn: n, dialled, code, guid: id, hosts } => {
            let mut headers = Headers::default().with("X-Try", host(hosts).to_string());
            if hosts > 0 {
                headers.push("GUID", guid(id).to_string());
                headers.push("X-Ultrapeer", if id % 3 == 0 { "False" } else { "True" });
                headers.push("X-Ultrapeer-Query-Routing", "0.1");
                headers.push("Vendor-Message", "0.1");
                headers.push("Remote-IP", host(id).ip().to_string());
            }
            let head = Head::Status { code, reason: "so".to_owned(), headers };
            Input::Handshake { conn: conn(n, dialled), from: host(n as u8), head }
        }
        Op::Connected { conn: n, dialled, room } => Input::Connected { conn: conn(n, dialled), room },
        Op::Frame { conn: n, dialled, kind, guid: id, ttl, hops, body } => {
            Input::Frames { conn: conn(n, dialled), batch: frame(kind, id, ttl, hops, body).into() }
        }
        Op::Room { conn: n, dialled, bytes } => Input::Room { conn: conn(n, dialled), bytes },
        Op::Disconnected { conn: n, dialled } => {
            Input::Disconnected { conn: conn(n, dialled), reason: CloseReason::Broken }
        }
        Op::Datagram { from, kind, guid: id, body, announced } => {
            let (from, frame) = (host(from), frame(kind, id, 1, 0, body));
            match announced {
                true => Input::Announced { from, at: host(body).ip(), frame },
                false => Input::Datagram { from, frame },
            }
        }
        Op::Command(what, n) => Input::Command(match what % 19 {
            0 => Command::Listening(host(n)),
            1 => Command::Sharing { files: n.into(), kib: 1 },
            2 => Command::UploadsBusy(n % 2 == 0),
            3 => Command::flood(SearchId((n % 4).into()), "blue", &[]),
            4 => Command::EndSearch(SearchId((n % 4).into())),
            5 => {
                let entries = (0..n.into()).map(|i| Entry::new(i, 1, "blue train", &[])).collect();
                Command::AnswerQuery(Answer { query: guid(n % 16), entries })
            }
            6 => Command::Connect(host(n)),
            7 => Command::Disconnect(host(n)),
            8 => Command::SetNeighbours((4 + n % 8).into()),
            9 => Command::SetTtl(n),
            10 => Command::AddHosts(vec![(host(n), HostSource::Cache), (host(n ^ 3), HostSource::Stranger)]),
            11 => Command::SendPush { servent: guid(n % 8), index: 1, by: PushBy::Way },
            14 => {
                let mut draft = Draft::new(6 + u32::from(n % 12));
                each_hash(if n % 2 == 0 { "blue train" } else { "green song" }, |hash| draft.add(hash));
                Command::Table(Arc::new(draft.finish()))
            }
            15 => Command::AskCaches(vec![host(n), host(n ^ 2)]),
            16 => Command::PushFor { servent: guid(n % 8), index: 1, to: host(n) },
            17 => Command::Search {
                id: SearchId((n % 4).into()),
                query: Query::new("blue", &[]),
                ttl: None,
                strategy: Some(crate::proto::Strategy::Dynamic),
            },
            18 => Command::Mapped((n % 2 == 0).then(|| host(n))),
            // Rarely, or nothing would happen after the first few.
            12 if n > 250 => Command::Shutdown,
            _ => Command::AddHosts(vec![(host(n), HostSource::Lan)]),
        }),
        Op::Sleep(_) | Op::Accept { .. } | Op::Reach { .. } => return None,
    })
}

fn config(role: RoleChoice) -> Config {
    let mut config = Config::new(guid(7));
    (config.role, config.leaves) = (role, 3);
    config.accept = Some(6);
    config.limits.queue_bytes = 500;
    config.limits.handshakes = 5;
    config.limits.hosts = 6;
    config.limits.searches = 2;
    config.limits.seen = 4;
    config.limits.seen_max = 8;
    config.limits.routes = 4;
    config
}

/// What must hold whatever happened.
fn check(servent: &Servent, out: &[Output], linked: &mut BTreeSet<ConnId>) -> Result<(), TestCaseError> {
    for (n, output) in out.iter().enumerate() {
        match output {
            Output::Send { to, frame } => {
                prop_assert!(!to.is_empty() && to.windows(2).all(|pair| pair[0] < pair[1]), "{to:?}");
                let next = out.get(n + 1);
                let turned_away = matches!(next, Some(Output::Close { conn, .. }) if to[..] == [*conn]);
                let farewell = frame.header.kind == Kind::Bye && turned_away;
                prop_assert!(farewell || to.iter().all(|conn| linked.contains(conn)), "to {to:?} of {linked:?}");
                let header = frame.header;
                prop_assert!(header.ttl > 0 && u16::from(header.ttl) + u16::from(header.hops) <= 7, "{header:?}");
            }
            Output::Event(Event::NeighbourUp(conn, _)) => prop_assert!(linked.insert(*conn), "{conn:?} is up twice"),
            Output::Event(Event::NeighbourDown(conn, ..)) => prop_assert!(linked.remove(conn), "{conn:?} was not up"),
            _ => {}
        }
    }
    let peers = servent.peers();
    let conns: BTreeSet<_> = peers.iter().map(|peer| peer.conn).collect();
    prop_assert_eq!(&conns, &*linked);
    prop_assert!(peers.iter().all(|peer| peer.queued <= 500));
    prop_assert!(servent.degree() <= 6 + 8, "slots, and hosts that the user named");
    prop_assert!(servent.leaves() <= 3, "{} leaves", servent.leaves());
    prop_assert!(servent.push_proxies().len() <= 4);
    prop_assert!(servent.hosts().len() <= 6);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_operations_keeps_the_invariants(ops in prop::collection::vec(op(), 1..200), seed in 0..8_u64) {
        let role = [RoleChoice::Auto, RoleChoice::Ultrapeer, RoleChoice::Leaf][seed as usize % 3];
        let mut servent = Servent::new(config(role), Rng::from_number(seed), Instant::ZERO);
        let (mut now, mut out, mut linked) = (Instant::ZERO, Vec::new(), BTreeSet::new());
        for op in &ops {
            for input in inputs(op) {
                servent.handle(now, input, &mut out);
                check(&servent, &out, &mut linked)?;
                out.clear();
            }
            let Op::Sleep(millis) = op else { continue };
            let until = now + Duration::from_millis((*millis).into());
            let mut wakes = 0;
            while let Some(at) = servent.next_timeout().filter(|&at| at <= until) {
                now = now.max(at);
                servent.handle_timeout(now, &mut out);
                prop_assert!(servent.next_timeout().is_none_or(|next| next > now), "it spins");
                check(&servent, &out, &mut linked)?;
                out.clear();
                wakes += 1;
                prop_assert!(wakes <= 100 + millis / 100, "{} wake-ups in {} ms", wakes, millis);
            }
            now = until;
        }
    }

    #[test]
    fn the_same_inputs_give_the_same_outputs(ops in prop::collection::vec(op(), 1..60)) {
        let run = || {
            let mut servent = Servent::new(config(RoleChoice::Ultrapeer), Rng::from_number(1), Instant::ZERO);
            let mut out = Vec::new();
            for (n, op) in (0..).zip(&ops) {
                let now = Instant::from_millis(n * 700);
                for input in inputs(op) {
                    servent.handle(now, input, &mut out);
                }
                servent.handle_timeout(now, &mut out);
            }
            out
        };
        prop_assert_eq!(run(), run());
    }
}
