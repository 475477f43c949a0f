//! Handshakes: what is offered, accepted, refused, and who is told of whom.

use std::net::SocketAddr;

use super::lone::*;
use super::world::World;
use crate::base::Instant;
use crate::proto::*;
use crate::wire::bye::Bye;
use crate::wire::handshake::{Head, NOISE_HEADER, NOISE_WAY};
use crate::wire::head::Headers;
use crate::wire::{Guid, Kind};

fn leg(conn: u64, from: &str, head: Head) -> Input {
    Input::Handshake { conn: ConnId::accepted(conn), from: addr(from), head }
}

fn offer(headers: Headers) -> Head {
    Head::Connect { version: (0, 6), headers }
}

/// A dial by the servent itself, up to our offer.
fn dialled(lone: &mut Lone, host: &str) -> ConnId {
    let out = lone.command(Command::Connect(addr(host)));
    let Some(&Output::Dial { conn, .. }) = out.first() else { panic!("{out:?}") };
    let out = lone.handle(Input::Dialled { conn });
    assert!(matches!(out[..], [Output::Handshake { verdict: Verdict::Offer, .. }]), "{out:?}");
    conn
}

fn answer(conn: ConnId, host: &str, code: u16, headers: Headers) -> Input {
    let head = Head::Status { code, reason: "so it is".to_owned(), headers };
    Input::Handshake { conn, from: addr(host), head }
}

#[test]
fn we_say_what_we_are_and_nothing_that_we_are_not() {
    let mut lone = Lone::new();
    let out = lone.command(Command::Connect(addr("10.2.2.2:6346")));
    let Some(&Output::Dial { conn, .. }) = out.first() else { panic!("{out:?}") };
    let out = lone.handle(Input::Dialled { conn });
    let headers = Headers::default()
        .with("User-Agent", concat!("filbert/", env!("CARGO_PKG_VERSION")))
        .with("X-Ultrapeer", "True")
        .with("Listen-IP", "10.0.0.1:6346")
        .with("Remote-IP", "10.2.2.2")
        .with("GUID", ME.to_string())
        .with("Accept-Encoding", "deflate")
        .with("X-Degree", "32")
        .with("X-Max-TTL", "7")
        .with("X-Query-Routing", "0.1")
        .with("X-Ultrapeer-Query-Routing", "0.1")
        .with("X-Dynamic-Querying", "0.1")
        .with("GGEP", "0.5")
        .with("Pong-Caching", "0.1")
        .with("Bye-Packet", "0.1")
        .with("Vendor-Message", "0.2");
    let head = Head::Connect { version: (0, 6), headers };
    assert_eq!(out, [Output::Handshake { conn, verdict: Verdict::Offer, head }]);
    let out =
        lone.handle(answer(conn, "10.2.2.2:6346", 200, Headers::default().with("User-Agent", "gtk-gnutella/1.2")));
    assert_eq!(out, [Output::Handshake { conn, verdict: Verdict::Accept, head: status(200, "OK") }]);
    let out = lone.handle(Input::Connected { conn, room: usize::MAX });
    assert_eq!(out[0], Output::Event(Event::NeighbourUp(conn, addr("10.2.2.2:6346"))));
    let peer = lone.peer(conn);
    assert_eq!((peer.agent.as_str(), peer.direction), ("gtk-gnutella/1.2", Direction::Out));
    assert_eq!(peer.addr, addr("10.2.2.2:6346"));
}

#[test]
fn features_are_named_as_long_as_they_are_there() {
    for (us, browse, features) in [
        ("10.0.0.1:6346", true, Some("browse/1.0")),
        ("[2001:db8::1]:6346", true, Some("browse/1.0, IP/6.0")),
        ("[2001:db8::1]:6346", false, Some("IP/6.0")),
        ("10.0.0.1:6346", false, None),
    ] {
        let mut config = Config::new(ME);
        config.browse = browse;
        let mut lone = Lone::with(config);
        lone.command(Command::Listening(addr(us)));
        let out =
            lone.handle(Input::Handshake { conn: ConnId::accepted(1), from: addr("10.0.1.1:1"), head: connect(1) });
        assert_eq!(header_of(&out, "X-Features"), features, "{us}, {browse}");
    }
}

#[test]
fn each_dialler_gets_the_verdict_it_deserves() {
    let ultra = || Headers::default().with("X-Ultrapeer", "True");
    let rows = [
        ("a bare one, as old servents are", (0, 6), Headers::default(), (Verdict::Accept, 200)),
        ("an ultrapeer", (0, 6), ultra(), (Verdict::Accept, 200)),
        ("a later version", (0, 7), ultra(), (Verdict::Accept, 200)),
        ("an older version", (0, 4), ultra(), (Verdict::Refuse, 503)),
        ("a leaf", (0, 6), Headers::default().with("x-ultrapeer", "false"), (Verdict::Accept, 200)),
        ("ourselves", (0, 6), ultra().with("GUID", ME.to_string()), (Verdict::Refuse, 409)),
        ("ourselves in capitals", (0, 6), ultra().with("guid", ME.to_string().to_uppercase()), (Verdict::Refuse, 409)),
        ("a peer that we have", (0, 6), ultra().with("GUID", peer_guid(1).to_string()), (Verdict::Refuse, 409)),
        ("nonsense for a GUID", (0, 6), ultra().with("GUID", "é".repeat(16)), (Verdict::Accept, 200)),
        (
            "nonsense for addresses",
            (0, 6),
            ultra().with("Listen-IP", "x:y").with("X-Try", ",,;"),
            (Verdict::Accept, 200),
        ),
    ];
    for (who, version, headers, want) in rows {
        let mut lone = Lone::new();
        lone.accept_many(1);
        let out = lone.handle(leg(9, "10.5.5.5:999", Head::Connect { version, headers }));
        assert_eq!(verdict(&out), Some(want), "{who}");
        let refused = u64::from(want.0 == Verdict::Refuse);
        assert_eq!(lone.servent.counters().refused_by_us, refused, "{who}");
    }
}

#[test]
fn when_all_slots_are_taken_a_dialler_is_told_of_others() {
    let mut config = Config::new(ME);
    config.only_listed = true;
    config.accept = Some(3);
    let mut lone = Lone::with(config);
    for n in 1..=2 {
        let headers = Headers::default().with("Listen-IP", format!("10.0.1.{n}:6346"));
        lone.handle(leg(n, &format!("10.0.1.{n}:5000"), offer(headers)));
        lone.handle(leg(n, &format!("10.0.1.{n}:5000"), status(200, "OK")));
        lone.handle(Input::Connected { conn: ConnId::accepted(n), room: 1000 });
    }
    // One slot is left, and taken while its handshake is under way.
    let out = lone.handle(leg(3, "10.0.1.3:5000", offer(Headers::default())));
    assert_eq!(verdict(&out), Some((Verdict::Accept, 200)));
    let out = lone.handle(leg(4, "10.0.1.4:5000", offer(Headers::default())));
    assert_eq!(verdict(&out), Some((Verdict::Refuse, 503)));
    let mut others: Vec<_> = header_of(&out, "X-Try-Ultrapeers").expect("others").split(',').collect();
    others.sort_unstable();
    assert_eq!(others, ["10.0.1.1:6346", "10.0.1.2:6346"]);
    // It is free again when that handshake fails.
    lone.handle(Input::Disconnected { conn: ConnId::accepted(3), reason: CloseReason::Closed });
    let out = lone.handle(leg(5, "10.0.1.5:5000", offer(Headers::default())));
    assert_eq!(verdict(&out), Some((Verdict::Accept, 200)));
    // Nobody on the public network is told of private addresses.
    let out = lone.handle(leg(6, "8.8.8.8:5000", offer(Headers::default())));
    assert_eq!(verdict(&out), Some((Verdict::Refuse, 503)));
    assert_eq!(header_of(&out, "X-Try-Ultrapeers"), None);
}

#[test]
fn after_ten_minutes_one_peer_makes_room_for_a_newcomer_and_then_none_for_ten_more() {
    let mut config = Config::new(ME);
    config.only_listed = true;
    config.accept = Some(8);
    let mut lone = Lone::with(config);
    let links = lone.accept_many(8);
    let talk_until = |lone: &mut Lone, seconds| {
        while lone.now < Instant::from_secs(seconds) {
            let next = lone.now + std::time::Duration::from_secs(10);
            lone.sleep_until(next);
            for peer in lone.servent.peers() {
                lone.frame(peer.conn, frame(crate::wire::Kind::Pong, 0, 1, 0, bytes::Bytes::new()));
            }
        }
    };
    // All but the third brought something.
    for (n, &link) in links.iter().enumerate().filter(|&(n, _)| n != 2) {
        lone.frame(link, query_frame(100 + n as u8, 1, 0));
    }
    talk_until(&mut lone, 590);
    let knock = |lone: &mut Lone, n: u8| {
        verdict(&lone.handle(Input::Handshake {
            conn: ConnId::accepted(n.into()),
            from: peer_addr(n),
            head: connect(n),
        }))
    };
    assert_eq!(knock(&mut lone, 20), Some((Verdict::Refuse, 503)), "nobody is ten minutes old");
    talk_until(&mut lone, 600);
    assert_eq!(knock(&mut lone, 21), Some((Verdict::Accept, 200)));
    assert_eq!(knock(&mut lone, 22), Some((Verdict::Refuse, 503)), "one at a time");
    let newcomer = ConnId::accepted(21);
    lone.handle(Input::Handshake { conn: newcomer, from: peer_addr(21), head: status(200, "OK") });
    assert_eq!(lone.servent.peers().len(), 8, "nobody is cut before the newcomer is really there");
    let out = lone.handle(Input::Connected { conn: newcomer, room: usize::MAX });
    let down = Event::NeighbourDown(links[2], peer_addr(3), CloseReason::Replaced);
    assert!(out.contains(&Output::Event(down)), "{out:?}");
    assert_eq!(lone.servent.peers().len(), 8);
    talk_until(&mut lone, 1190);
    assert_eq!(knock(&mut lone, 23), Some((Verdict::Refuse, 503)));
    talk_until(&mut lone, 1300);
    assert_eq!(knock(&mut lone, 24), Some((Verdict::Refuse, 503)), "one slot in eight is held by a newcomer");
}

#[test]
fn the_next_newcomer_waits_ten_minutes_for_his_turn() {
    let mut config = Config::new(ME);
    config.only_listed = true;
    config.accept = Some(16);
    config.dead_after = std::time::Duration::from_secs(1_000_000);
    let mut lone = Lone::with(config);
    lone.accept_many(16);
    lone.sleep_until(Instant::from_secs(700));
    lone.accept(20, usize::MAX);
    let knock = |lone: &mut Lone, n: u8| {
        let conn = ConnId::accepted(n.into());
        verdict(&lone.handle(Input::Handshake { conn, from: peer_addr(n), head: connect(n) }))
    };
    lone.sleep_until(Instant::from_secs(1299));
    assert_eq!(knock(&mut lone, 21), Some((Verdict::Refuse, 503)));
    lone.sleep_until(Instant::from_secs(1300));
    assert_eq!(knock(&mut lone, 21), Some((Verdict::Accept, 200)));
}

#[test]
fn public_peers_must_come_from_different_networks_and_near_ones_need_not() {
    let mut lone = Lone::new();
    let mut n = 0;
    let mut knock = |ip: &str| {
        n += 1;
        let conn = ConnId::accepted(n);
        let from = SocketAddr::new(ip.parse().expect("an address"), 5000);
        let out = lone.handle(Input::Handshake { conn, from, head: offer(Headers::default()) });
        verdict(&out).map(|(verdict, _)| verdict)
    };
    let (yes, no) = (Some(Verdict::Accept), Some(Verdict::Refuse));
    assert_eq!([knock("8.8.1.1"), knock("8.8.1.1"), knock("8.8.1.1")], [yes, yes, no], "two at one address");
    assert_eq!([knock("8.8.1.2"), knock("8.8.1.3"), knock("8.8.1.4")], [yes, yes, no], "four in a /24");
    assert_eq!([knock("8.8.2.1"), knock("8.8.3.1"), knock("8.8.4.1")], [yes, yes, yes]);
    assert_eq!([knock("8.8.5.1"), knock("8.8.6.1")], [yes, no], "eight in a /16");
    let v6 = [knock("2001:db8:1:2::1"), knock("2001:db8:1:2:ffff::2"), knock("2001:db8:1:2::3")];
    assert_eq!(v6, [yes, yes, no], "two in a /64");
    assert_eq!([knock("2001:db8:1:3::1"), knock("2001:db8:2::1")], [yes, yes], "other /64s are other hosts");
    assert_eq!([knock("8.9.6.1")], [yes]);
    for _ in 0..8 {
        assert_eq!([knock("127.0.0.1"), knock("192.168.0.7")], [yes, yes]);
    }
}

#[test]
fn a_refusal_names_its_code_and_the_hosts_in_it_are_learnt() {
    let mut lone = Lone::new();
    let host = "10.2.2.2:6346";
    let conn = dialled(&mut lone, host);
    let headers = Headers::default()
        .with("X-Try-Ultrapeers", "10.3.3.3:6346, 10.0.0.1:6346,127.0.0.1:7")
        .with("X-Try", "10.4.4.4");
    let out = lone.handle(answer(conn, host, 503, headers));
    let reason = CloseReason::Refused(503, "so it is".to_owned());
    let want = [
        Output::Close { conn, reason: reason.clone() },
        Output::Event(Event::ConnectFailed(addr(host), reason)),
        Output::Event(Event::HostsLearned(2)),
    ];
    assert_eq!(out, want);
    let mut known: Vec<_> = lone.servent.hosts().iter().map(|host| host.addr).collect();
    known.sort();
    assert_eq!(known, [addr(host), addr("10.3.3.3:6346"), addr("10.4.4.4:6346")]);
    assert_eq!(lone.servent.counters().refused_by_them, 1);
}

#[test]
fn a_dial_that_leads_to_ourselves_is_never_repeated() {
    let mut config = Config::new(ME);
    (config.neighbours, config.lan) = (4, false);
    let mut lone = Lone::with(config);
    let host = "10.2.2.2:6346";
    let conn = dialled(&mut lone, host);
    let out = lone.handle(answer(conn, host, 409, Headers::default().with("GUID", ME.to_string())));
    let want = [
        Output::Close { conn, reason: CloseReason::Ourselves },
        Output::Event(Event::ConnectFailed(addr(host), CloseReason::Ourselves)),
    ];
    assert_eq!(out, want);
    assert_eq!(lone.command(Command::AddHosts(vec![(addr(host), HostSource::Cache)])), []);
    assert_eq!(lone.sleep_until(Instant::from_secs(10_000)), []);
}

#[test]
fn an_acceptor_that_turns_out_a_leaf_or_known_is_refused_in_the_third_leg() {
    let mut config = Config::new(ME);
    (config.only_listed, config.leaves) = (true, 0);
    let mut lone = Lone::with(config);
    lone.accept_many(1);
    let leaf = addr("10.2.2.2:6346");
    let conn = dialled(&mut lone, "10.2.2.2:6346");
    let out = lone.handle(answer(conn, "10.2.2.2:6346", 200, Headers::default().with("X-Ultrapeer", "False")));
    assert_eq!(verdict(&out), Some((Verdict::Refuse, 503)));
    let reason = CloseReason::WeRefused(503, "No leaf slot free".to_owned());
    assert_eq!(out[1..], [Output::Event(Event::ConnectFailed(leaf, reason))]);

    let conn = dialled(&mut lone, "10.2.2.3:6346");
    let known = Headers::default().with("GUID", peer_guid(1).to_string());
    let out = lone.handle(answer(conn, "10.2.2.3:6346", 200, known));
    assert_eq!(verdict(&out), Some((Verdict::Refuse, 409)));
    assert_eq!(out.len(), 1, "no failure: the host that the user wants is linked");
    let peers: Vec<_> = lone.servent.peers().iter().map(|peer| peer.addr).collect();
    assert_eq!(peers, [addr("10.2.2.3:6346")], "now we know where it listens");
    lone.command(Command::Disconnect(leaf));
    for (_, dials) in (1..20).map(|n| (n, lone.sleep_until(Instant::from_secs(n)))) {
        assert!(!dials.iter().any(|o| matches!(o, Output::Dial { .. })), "{dials:?}");
    }
}

#[test]
fn a_dialler_that_thinks_better_of_it_frees_its_slot() {
    let mut lone = Lone::new();
    let conn = ConnId::accepted(1);
    lone.handle(leg(1, "10.0.1.1:5000", offer(Headers::default())));
    let out = lone.handle(leg(1, "10.0.1.1:5000", status(503, "No")));
    assert_eq!(out, [Output::Close { conn, reason: CloseReason::Refused(503, "No".to_owned()) }]);
    assert_eq!(lone.handle(Input::Connected { conn, room: 1 }), []);
    assert!(lone.servent.peers().is_empty());
}

#[test]
fn legs_out_of_turn_end_the_handshake() {
    let mut lone = Lone::new();
    lone.handle(leg(1, "10.0.1.1:5000", offer(Headers::default())));
    let out = lone.handle(leg(1, "10.0.1.1:5000", offer(Headers::default())));
    assert!(matches!(out[..], [Output::Close { reason: CloseReason::Garbage(_), .. }]), "{out:?}");
    assert_eq!(lone.handle(leg(2, "10.0.1.1:5000", status(200, "OK"))), [], "an answer to nothing");
    let conn = dialled(&mut lone, "10.2.2.2:6346");
    let out = lone.handle(Input::Handshake { conn, from: addr("10.2.2.2:6346"), head: offer(Headers::default()) });
    assert!(matches!(out[0], Output::Close { reason: CloseReason::Garbage(_), .. }), "{out:?}");
}

#[test]
fn a_listening_address_is_believed_only_where_it_can_be_true() {
    let rows = [
        ("10.5.5.5:999", Some("10.5.5.5:6346"), "10.5.5.5:6346", HostSource::Peer),
        ("10.5.5.5:999", Some("0.0.0.0:6346"), "10.5.5.5:6346", HostSource::Peer),
        ("10.5.5.5:999", Some("192.168.0.3:6346"), "192.168.0.3:6346", HostSource::Stranger),
        ("127.0.0.1:999", Some("127.0.0.2:6346"), "127.0.0.2:6346", HostSource::Stranger),
        ("10.5.5.5:999", Some("8.8.8.8:6346"), "10.5.5.5:999", HostSource::Stranger),
        ("9.9.9.9:999", Some("8.8.8.8:6346"), "9.9.9.9:999", HostSource::Stranger),
        ("9.9.9.9:999", Some("9.9.9.9:6346"), "9.9.9.9:6346", HostSource::Peer),
        ("9.9.9.9:999", None, "9.9.9.9:999", HostSource::Stranger),
    ];
    for (from, listen, shown, source) in rows {
        let mut lone = Lone::new();
        let mut headers = Headers::default();
        if let Some(listen) = listen {
            headers.push("Listen-IP", listen);
        }
        lone.handle(leg(1, from, offer(headers)));
        lone.handle(leg(1, from, status(200, "OK")));
        lone.handle(Input::Connected { conn: ConnId::accepted(1), room: 1000 });
        assert_eq!(lone.peer(ConnId::accepted(1)).addr, addr(shown), "{from} says {listen:?}");
        let known: Vec<_> = lone.servent.hosts().iter().map(|host| host.source).collect();
        let want: Vec<_> = listen.map(|_| source).into_iter().collect();
        assert_eq!(known, want, "{from} says {listen:?}");
    }
}

#[test]
fn a_servent_that_listens_on_all_addresses_learns_from_peers_which_it_has() {
    let mut lone = Lone::new();
    lone.command(Command::Listening(addr("0.0.0.0:6346")));
    assert_eq!(lone.servent.own_addr(), None);
    let conn = dialled(&mut lone, "10.2.2.2:6346");
    lone.handle(answer(conn, "10.2.2.2:6346", 200, Headers::default().with("Remote-IP", "10.0.0.77")));
    assert_eq!(lone.servent.own_addr(), Some(addr("10.0.0.77:6346")));
    let conn = dialled(&mut lone, "10.2.2.3:6346");
    lone.handle(answer(conn, "10.2.2.3:6346", 200, Headers::default().with("Remote-IP", "8.8.8.8")));
    assert_eq!(lone.servent.own_addr(), Some(addr("10.0.0.77:6346")), "nobody near sees us at a public address");
}

#[test]
fn two_that_dial_each_other_at_the_same_moment_end_with_one_link() {
    for (latency_a, latency_b) in [(10, 10), (10, 11), (3, 40), (40, 3), (1, 1)] {
        let mut world = World::new(7);
        let a = world.add_with(|config| config.only_listed = true);
        let b = world.add_with(|config| config.only_listed = true);
        world.latency_of(a, latency_a);
        world.latency_of(b, latency_b);
        world.command(a, Command::Connect(world.addr(b)));
        world.command(b, Command::Connect(world.addr(a)));
        world.run_for(5);
        assert_eq!((world.degree(a), world.degree(b)), (1, 1), "latencies {latency_a} and {latency_b}");
        world.check_symmetric();
        let dials = world.servent(a).counters().dials + world.servent(b).counters().dials;
        world.run_for(600);
        assert_eq!((world.degree(a), world.degree(b)), (1, 1));
        let later = world.servent(a).counters().dials + world.servent(b).counters().dials;
        assert!(later <= dials, "they dialled on: {dials}, then {later}");
    }
}

/// A servent called `guid` dials us from 10.2.2.2; it says where it listens, or not.
fn crossing(lone: &mut Lone, guid: Guid, listens: bool) -> Outbox {
    let mut headers = Headers::default().with("GUID", guid.to_string());
    if listens {
        headers.push("Listen-IP", "10.2.2.2:6346");
    }
    lone.handle(leg(1, "10.2.2.2:5000", offer(headers)))
}

const GREATER: Guid = Guid([0xff; 16]);
const LESSER: Guid = Guid([0x11; 16]);

#[test]
fn of_two_crossing_dials_the_one_of_the_greater_guid_stays() {
    for (theirs, want) in [(GREATER, (Verdict::Accept, 200)), (LESSER, (Verdict::Refuse, 409))] {
        let mut lone = Lone::new();
        dialled(&mut lone, "10.2.2.2:6346");
        assert_eq!(verdict(&crossing(&mut lone, theirs, true)), Some(want), "theirs is {theirs}");
    }
    // Where they do not say where they listen, we see it when they answer us.
    for (theirs, want) in [(GREATER, (Verdict::Refuse, 409)), (LESSER, (Verdict::Accept, 200))] {
        let mut lone = Lone::new();
        let conn = dialled(&mut lone, "10.2.2.2:6346");
        assert_eq!(verdict(&crossing(&mut lone, theirs, false)), Some((Verdict::Accept, 200)));
        let headers = Headers::default().with("GUID", theirs.to_string());
        let out = lone.handle(answer(conn, "10.2.2.2:6346", 200, headers));
        assert_eq!(verdict(&out), Some(want), "theirs is {theirs}");
        if want.0 == Verdict::Refuse {
            continue;
        }
        // Both went through; the one that stays replaces the other, whichever was up first.
        let twin = ConnId::accepted(1);
        lone.handle(leg(1, "10.2.2.2:5000", status(200, "OK")));
        lone.handle(Input::Connected { conn: twin, room: usize::MAX });
        let out = lone.handle(Input::Connected { conn, room: usize::MAX });
        assert!(out.contains(&Output::Close { conn: twin, reason: CloseReason::Duplicate }), "{out:?}");
        let left: Vec<_> = lone.servent.peers().iter().map(|peer| peer.conn).collect();
        assert_eq!(left, [conn]);
    }
}

#[test]
fn of_two_dials_to_two_addresses_of_one_servent_the_first_stays() {
    let mut lone = Lone::new();
    let conns = ["10.2.2.2:6346", "10.2.2.3:6346"].map(|host| {
        let conn = dialled(&mut lone, host);
        let headers = Headers::default().with("GUID", GREATER.to_string());
        assert_eq!(verdict(&lone.handle(answer(conn, host, 200, headers))), Some((Verdict::Accept, 200)));
        conn
    });
    lone.handle(Input::Connected { conn: conns[0], room: usize::MAX });
    let out = lone.handle(Input::Connected { conn: conns[1], room: usize::MAX });
    assert_eq!(goodbye(&out, conns[1]), Some((409, "A second connection between us".to_owned())));
    assert_eq!(out[1..], [Output::Close { conn: conns[1], reason: CloseReason::Duplicate }]);
    assert_eq!(lone.servent.peers().len(), 1);
}

/// The code and words of the Bye on `conn`, if it is the last that is said there before the close.
fn goodbye(out: &[Output], conn: ConnId) -> Option<(u16, String)> {
    let closed = out.iter().position(|output| matches!(output, Output::Close { conn: c, .. } if *c == conn))?;
    let Output::Send { to, frame } = out[..closed].last()? else { return None };
    assert_eq!((to, frame.header.kind), (&vec![conn], Kind::Bye));
    assert_eq!((frame.header.ttl, frame.header.hops), (1, 0), "for one link");
    let bye = Bye::decode(&frame.payload).expect("a Bye");
    assert!(bye.text.to_str().ends_with(concat!("\r\nServer: filbert/", env!("CARGO_PKG_VERSION"), "\r\n\r\n")));
    Some((bye.code, bye.reason()))
}

#[test]
fn who_is_turned_away_after_the_handshake_hears_why() {
    let through = |lone: &mut Lone, n: u64| {
        let from = format!("10.0.1.{n}:5000");
        let out = lone.handle(leg(n, &from, offer(Headers::default().with("X-Ultrapeer", "True"))));
        assert_eq!(verdict(&out), Some((Verdict::Accept, 200)));
        lone.handle(leg(n, &from, status(200, "OK")));
        ConnId::accepted(n)
    };
    let mut config = Config::new(ME);
    (config.only_listed, config.accept) = (true, Some(1));
    let mut lone = Lone::with(config.clone());
    // The slot goes to a host that the user wants while the handshake of another is under way.
    let late = through(&mut lone, 1);
    let wanted = dialled(&mut lone, "10.2.2.2:6346");
    lone.handle(answer(wanted, "10.2.2.2:6346", 200, Headers::default()));
    lone.handle(Input::Connected { conn: wanted, room: usize::MAX });
    let out = lone.handle(Input::Connected { conn: late, room: usize::MAX });
    assert_eq!(goodbye(&out, late), Some((503, "Slots full".to_owned())), "{out:?}");
    assert_eq!(lone.servent.peers().len(), 1);

    // Somebody took the header out of the third leg.
    config.encrypt = Encrypt::Require;
    let mut lone = Lone::with(config.clone());
    let headers = Headers::default().with("X-Ultrapeer", "True").with(NOISE_HEADER, NOISE_WAY);
    lone.handle(leg(1, "10.0.1.1:5000", offer(headers)));
    lone.handle(leg(1, "10.0.1.1:5000", status(200, "OK")));
    let out = lone.handle(Input::Connected { conn: ConnId::accepted(1), room: usize::MAX });
    assert_eq!(goodbye(&out, ConnId::accepted(1)), Some((403, "Encrypted links only".to_owned())), "{out:?}");

    // What ends in the moment between the last leg and the link.
    config.encrypt = Encrypt::Off;
    for (command, want) in [
        (Command::Shutdown, (200, "Shutting down")),
        (Command::Disconnect(addr("10.0.1.1:5000")), (200, "Closed by the user")),
    ] {
        let mut lone = Lone::with(config.clone());
        let conn = through(&mut lone, 1);
        let out = lone.command(command);
        assert_eq!(goodbye(&out, conn), Some((want.0, want.1.to_owned())), "{out:?}");
        assert_eq!(lone.handle(Input::Connected { conn, room: 1 }), [], "it is gone");
    }

    // Without a handshake there is nobody to say it to.
    let mut lone = Lone::with(config);
    lone.handle(leg(1, "10.0.1.1:5000", offer(Headers::default())));
    let out = lone.command(Command::Shutdown);
    assert_eq!(out, [Output::Close { conn: ConnId::accepted(1), reason: CloseReason::Shutdown }]);
}

#[test]
fn a_dial_to_somebody_who_dialled_us_meanwhile_is_not_gone_on_with() {
    let mut lone = Lone::new();
    let out = lone.command(Command::Connect(addr("10.2.2.2:6346")));
    let Some(&Output::Dial { conn, .. }) = out.first() else { panic!("{out:?}") };
    assert_eq!(verdict(&crossing(&mut lone, LESSER, true)), Some((Verdict::Accept, 200)));
    assert_eq!(lone.handle(Input::Dialled { conn }), [Output::Close { conn, reason: CloseReason::Duplicate }]);
}

#[test]
fn no_more_handshakes_at_once_than_allowed() {
    let mut config = Config::new(ME);
    config.only_listed = true;
    config.limits.handshakes = 2;
    let mut lone = Lone::with(config);
    let mut dials = 0;
    for n in 1..=5 {
        let host = addr(&format!("10.2.2.{n}:6346"));
        dials += lone.command(Command::Connect(host)).iter().filter(|o| matches!(o, Output::Dial { .. })).count();
    }
    assert_eq!(dials, 2);
    let out = lone.handle(leg(1, "10.0.1.1:5000", offer(Headers::default())));
    assert_eq!(verdict(&out), Some((Verdict::Refuse, 503)));
    let out = lone.handle(Input::DialFailed { conn: ConnId::dialled(1), reason: DialFailure::TimedOut });
    assert_eq!(out.iter().filter(|o| matches!(o, Output::Dial { .. })).count(), 1, "the next one's turn: {out:?}");
}

#[test]
fn long_words_of_strangers_are_cut() {
    let mut lone = Lone::new();
    let headers = Headers::default().with("User-Agent", "x".repeat(5000)).with("X-Try", "10.9.9.9,".repeat(500));
    lone.handle(leg(1, "10.0.1.1:5000", offer(headers)));
    lone.handle(leg(1, "10.0.1.1:5000", status(200, "OK")));
    lone.handle(Input::Connected { conn: ConnId::accepted(1), room: 1000 });
    assert_eq!(lone.peer(ConnId::accepted(1)).agent.len(), 120);
    assert_eq!(peer_guid(1), Guid([1; 16]));
}

#[test]
fn first_legs_that_name_other_machines_of_the_site_cause_few_dials() {
    let mut lone = Lone::with(Config::new(ME));
    let mut dials = 0;
    for n in 1..=1000_u64 {
        let victim = format!("10.9.{}.{}:22", n / 250, n % 250 + 1);
        let headers = Headers::default().with("X-Ultrapeer", "True").with("Listen-IP", victim);
        let mut out = lone.handle(leg(n, "10.0.1.1:40000", offer(headers)));
        out.extend(lone.handle(Input::Disconnected { conn: ConnId::accepted(n), reason: CloseReason::Closed }));
        while let Some(output) = out.pop() {
            if let Output::Dial { conn, .. } = output {
                dials += 1;
                out.extend(lone.handle(Input::DialFailed { conn, reason: DialFailure::Refused }));
            }
        }
    }
    assert_eq!(dials, 120, "as many as strangers may cause in a minute");
}
