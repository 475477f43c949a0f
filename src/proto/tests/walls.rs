//! Walls: whether others can connect to us, vendor messages, push proxies.

use std::net::SocketAddr;

use super::lone::{Lone, ME, addr, connect, frame, peer_guid, query_frame};
use crate::base::Instant;
use crate::proto::*;
use crate::wire::handshake::Head;
use crate::wire::hit::{Entry, QueryHit};
use crate::wire::push::Push;
use crate::wire::vendor::{Said, Vendor, Which};
use crate::wire::{Frame, Guid, Kind};

const ALL: [Which; 3] = [Which::CONNECT_BACK, Which::PROXY_PLEASE, Which::PROXY_YES];

/// We dial a peer that speaks vendor messages; what we sent first.
fn dial(lone: &mut Lone, n: u8) -> (ConnId, Vec<Output>) {
    dial_at(lone, n, SocketAddr::from(([10, 0, 1, n], 6346)))
}

fn dial_at(lone: &mut Lone, n: u8, at: SocketAddr) -> (ConnId, Vec<Output>) {
    let out = lone.command(Command::Connect(at));
    let Some(Output::Dial { conn, .. }) = out.first() else { panic!("a dial: {out:?}") };
    let conn = *conn;
    lone.handle(Input::Dialled { conn });
    let Head::Connect { headers, .. } = connect(n) else { panic!("a first leg") };
    let head = Head::Status { code: 200, reason: "OK".into(), headers: headers.with("Vendor-Message", "0.2") };
    lone.handle(Input::Handshake { conn, from: at, head });
    (conn, lone.handle(Input::Connected { conn, room: usize::MAX }))
}

fn say(lone: &mut Lone, conn: ConnId, guid: Guid, what: &Vendor) -> Vec<Output> {
    lone.frame(conn, Frame::new(guid, Kind::Vendor, 1, what.encode()))
}

/// Vendor messages in `out`: on which link, with which GUID, saying what.
fn said(out: &[Output]) -> Vec<(ConnId, Guid, Said)> {
    let read = |output: &Output| match output {
        Output::Send { to, frame } if frame.header.kind == Kind::Vendor => {
            let message = Vendor::decode(&frame.payload).expect("our own message");
            Some((to[0], frame.header.guid, message.said().expect("our own message")))
        }
        _ => None,
    };
    out.iter().filter_map(read).collect()
}

fn walled() -> (Lone, ConnId, ConnId) {
    let mut lone = Lone::new();
    let (first, out) = dial(&mut lone, 1);
    assert!(
        matches!(&said(&out)[..], [(_, _, Said::Supported(all))] if ALL.iter().all(|one| all.contains(one))),
        "{out:?}"
    );
    let (second, _) = dial(&mut lone, 2);
    for conn in [first, second] {
        assert_eq!(said(&say(&mut lone, conn, Guid([9; 16]), &Vendor::supported(&ALL))), []);
    }
    // Both are asked to connect back, and nobody comes.
    let out = lone.sleep_until(Instant::from_secs(10));
    let mut asked = said(&out);
    asked.sort_unstable_by_key(|(conn, ..)| *conn);
    assert!(
        matches!(&asked[..], [(a, _, Said::ConnectBack(6346)), (b, _, Said::ConnectBack(6346))] if (*a, *b) == (first, second)),
        "{asked:?}"
    );
    assert_eq!(lone.servent.reach(), Reachable::Unknown);
    let out = lone.sleep_until(Instant::from_secs(30));
    assert_eq!(lone.servent.reach(), Reachable::No);
    let please = |conn| (conn, ME, Said::ProxyPlease);
    assert_eq!(said(&out), [please(first), please(second)], "now we need push proxies");
    let event =
        Event::Reach { reachable: Reachable::No, us: Some(addr("10.0.0.1:6346")), ipv6: false, proxies: Vec::new() };
    assert!(out.contains(&Output::Event(event)), "{out:?}");
    (lone, first, second)
}

/// The hit with which we answer a query.
fn our_hit(lone: &mut Lone, query: u8) -> QueryHit {
    let asker = lone.servent.peers()[0].conn;
    lone.frame(asker, query_frame(query, 4, 0));
    let entries = vec![Entry::new(1, 2, "blue train", &[])];
    let out = lone.command(Command::AnswerQuery(Answer { query: Guid([query; 16]), entries }));
    let Some(Output::Send { frame, .. }) = out.first() else { panic!("a hit: {out:?}") };
    QueryHit::decode(&frame.payload).expect("our own hit")
}

#[test]
fn who_cannot_be_connected_to_says_so_and_names_its_proxies() {
    let (mut lone, first, second) = walled();
    let yes = |at: &str| Vendor::proxy_yes(at.parse().expect("an address"));
    assert_eq!(say(&mut lone, first, ME, &yes("8.8.8.8:6346")), [], "nobody names another host");
    let told = say(&mut lone, first, ME, &yes("10.0.1.1:6346"));
    let proxies = vec![addr("10.0.1.1:6346")];
    let event = Event::Reach {
        reachable: Reachable::No,
        us: Some(addr("10.0.0.1:6346")),
        ipv6: false,
        proxies: proxies.clone(),
    };
    assert_eq!(told, [Output::Event(event)]);
    assert_eq!(lone.servent.push_proxies(), proxies);
    let hit = our_hit(&mut lone, 70);
    assert_eq!((hit.qhd.as_ref().and_then(|qhd| qhd.push()), hit.proxies()), (Some(true), proxies));
    say(&mut lone, second, ME, &yes("10.0.1.2:1"));
    assert_eq!(lone.servent.push_proxies().len(), 2);
    lone.handle(Input::Disconnected { conn: first, reason: CloseReason::Closed });
    assert_eq!(lone.servent.push_proxies(), [addr("10.0.1.2:1")], "a proxy is one as long as its link lasts");
    // Somebody comes after all.
    let out = lone.handle(Input::Reached { from: addr("10.0.0.9:1").ip() });
    assert!(matches!(&out[..], [Output::Event(Event::Reach { reachable: Reachable::Yes, .. })]), "{out:?}");
    let hit = our_hit(&mut lone, 71);
    assert_eq!((hit.qhd.as_ref().and_then(|qhd| qhd.push()), hit.proxies()), (Some(false), Vec::new()));
}

#[test]
fn we_are_the_proxy_of_a_peer_that_asks_by_its_own_name() {
    let mut lone = Lone::new();
    let (conn, _) = dial(&mut lone, 1);
    assert_eq!(say(&mut lone, conn, peer_guid(2), &Vendor::proxy_please()), [], "by another's name");
    let out = say(&mut lone, conn, peer_guid(1), &Vendor::proxy_please());
    assert_eq!(out[0], Output::Event(Event::Proxied { servent: peer_guid(1), proxied: true }));
    assert_eq!(said(&out), [(conn, peer_guid(1), Said::ProxyYes(Some([10, 0, 0, 1].into()), 6346))]);
    let push = |lone: &mut Lone, servent| lone.command(Command::PushFor { servent, index: 0, to: addr("10.9.9.9:1") });
    let out = push(&mut lone, peer_guid(1));
    let [Output::Send { to, frame }] = &out[..] else { panic!("a push: {out:?}") };
    assert_eq!((&to[..], frame.header.ttl, frame.header.hops), (&[conn][..], 1, 0));
    assert_eq!(Push::decode(&frame.payload).map(|push| push.host()), Ok(addr("10.9.9.9:1")));
    assert_eq!(push(&mut lone, peer_guid(2)), [], "nobody whom we do not know");
    let out = lone.handle(Input::Disconnected { conn, reason: CloseReason::Closed });
    assert!(out.contains(&Output::Event(Event::Proxied { servent: peer_guid(1), proxied: false })), "{out:?}");
    assert_eq!(push(&mut lone, peer_guid(1)), []);
}

#[test]
fn where_only_ipv6_is_spoken_push_proxies_are_asked_and_found_too() {
    let mut lone = Lone::new();
    lone.command(Command::Listening(addr("[2001:db8::1]:6346")));
    let (conn, _) = dial_at(&mut lone, 1, addr("[2001:db8:7::7]:7000"));
    let out = say(&mut lone, conn, peer_guid(1), &Vendor::proxy_please());
    assert_eq!(said(&out), [(conn, peer_guid(1), Said::ProxyYes(None, 6346))], "at the address of the link");
    say(&mut lone, conn, Guid([9; 16]), &Vendor::supported(&ALL));
    lone.sleep_until(Instant::from_secs(20));
    say(&mut lone, conn, Guid([8; 16]), &Vendor::supported(&ALL)); // It is there.
    lone.sleep_until(Instant::from_secs(70));
    assert_eq!(lone.servent.reach(), Reachable::No, "one neighbour that was asked, twice");
    say(&mut lone, conn, ME, &Vendor::proxy_yes(addr("[2001:db8:9::9]:7000")));
    let proxies = [addr("[2001:db8:7::7]:7000")];
    assert_eq!(lone.servent.push_proxies(), proxies, "whose address it is nobody else says");
    let hit = our_hit(&mut lone, 70);
    assert_eq!((hit.host(), hit.proxies()), (addr("[2001:db8::1]:6346"), proxies.to_vec()));
    // Towards a peer with an IPv4 address nothing could tell ours.
    let (four, _) = dial(&mut lone, 2);
    assert_eq!(said(&say(&mut lone, four, peer_guid(2), &Vendor::proxy_please())), []);
}

#[test]
fn a_peer_is_called_back_at_its_own_address_and_not_all_the_time() {
    let mut lone = Lone::new();
    let (conn, _) = dial(&mut lone, 1);
    let called = |port: u16| [Output::Event(Event::ConnectBack { addr: SocketAddr::from(([10, 0, 1, 1], port)) })];
    let mut ask = |port| say(&mut lone, conn, Guid([9; 16]), &Vendor::connect_back(port));
    assert_eq!(ask(0), []);
    assert_eq!(ask(7000), called(7000));
    assert_eq!(ask(7000), [], "not again within half a minute");
    lone.now = Instant::from_secs(31);
    assert_eq!(say(&mut lone, conn, Guid([9; 16]), &Vendor::connect_back(7001)), called(7001));
}

#[test]
fn who_does_not_say_that_it_speaks_so_gets_no_vendor_message_and_is_not_heard() {
    let mut lone = Lone::new();
    let conn = lone.accept(1, usize::MAX);
    for what in [Vendor::supported(&ALL), Vendor::connect_back(7000), Vendor::proxy_please()] {
        assert_eq!(say(&mut lone, conn, peer_guid(1), &what), []);
    }
    assert_eq!(lone.servent.counters().drops.get(DropReason::Unknown), 3);
    assert_eq!(lone.servent.reach(), Reachable::Yes, "it dialled us, though");
    let far = frame(Kind::Vendor, 1, 1, 1, Vendor::proxy_please().encode());
    assert_eq!(lone.frame(conn, far), [], "for one link");
}

#[test]
fn where_the_router_forwards_to_us_is_our_address_if_the_world_sees_us_there() {
    let mut config = Config::new(ME);
    config.only_listed = true;
    let mut lone = Lone::with(config);
    let mut own = |listening: &str, mapped: Option<&str>| {
        lone.command(Command::Listening(addr(listening)));
        lone.command(Command::Mapped(mapped.map(addr)));
        lone.servent.own_addr().map(|addr| addr.to_string())
    };
    assert_eq!(own("0.0.0.0:6346", None), None);
    assert_eq!(own("0.0.0.0:6346", Some("8.8.8.8:7000")).as_deref(), Some("8.8.8.8:7000"));
    assert_eq!(own("192.168.0.2:6346", Some("8.8.8.8:7000")).as_deref(), Some("8.8.8.8:7000"));
    assert_eq!(own("192.168.0.2:6346", Some("10.0.0.9:7000")).as_deref(), Some("192.168.0.2:6346"), "two routers");
    // A peer that we dial says where it sees us.
    lone.command(Command::Listening(addr("0.0.0.0:6346")));
    let out = lone.command(Command::Connect(addr("8.1.1.1:6346")));
    let Some(Output::Dial { conn, .. }) = out.first() else { panic!("a dial: {out:?}") };
    let conn = *conn;
    lone.handle(Input::Dialled { conn });
    let Head::Connect { headers, .. } = connect(1) else { panic!("a first leg") };
    let head = Head::Status { code: 200, reason: "OK".into(), headers: headers.with("Remote-IP", "8.8.8.8") };
    lone.handle(Input::Handshake { conn, from: addr("8.1.1.1:6346"), head });
    let mut own = |mapped: Option<&str>| {
        lone.command(Command::Mapped(mapped.map(addr)));
        lone.servent.own_addr().map(|addr| addr.to_string())
    };
    assert_eq!(own(None).as_deref(), Some("8.8.8.8:6346"));
    assert_eq!(own(Some("8.8.8.8:7000")).as_deref(), Some("8.8.8.8:7000"));
    assert_eq!(own(Some("9.9.9.9:7000")).as_deref(), Some("8.8.8.8:6346"), "it does not see us there");
}
