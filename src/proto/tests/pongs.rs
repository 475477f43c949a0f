//! What our Pongs tell besides an address, and what we take of those of others.

use std::net::SocketAddr;

use super::lone::*;
use crate::base::Instant;
use crate::proto::*;
use crate::wire::handshake::Head;
use crate::wire::head::Headers;
use crate::wire::ping::{Ping, Wants};
use crate::wire::pong::Pong;
use crate::wire::{Guid, Kind};

/// A servent that listens on all addresses of both families and is linked to a peer at each of `hosts`; the peer says where
/// it sees us. With the connection comes the GUID of our first Ping on it.
fn seen(config: Config, hosts: &[(&str, &str)]) -> (Lone, Vec<(ConnId, Guid)>) {
    let mut lone = Lone::with(config);
    lone.command(Command::Listening(addr("[::]:6346")));
    let mut conns = Vec::new();
    for (n, (host, us)) in hosts.iter().enumerate() {
        let out = lone.command(Command::Connect(addr(host)));
        let Some(&Output::Dial { conn, .. }) = out.first() else { panic!("a dial: {out:?}") };
        lone.handle(Input::Dialled { conn });
        let headers = Headers::default().with("X-Ultrapeer", "True").with("GUID", peer_guid(n as u8 + 1).to_string());
        let head = Head::Status { code: 200, reason: "OK".into(), headers: headers.with("Remote-IP", *us) };
        lone.handle(Input::Handshake { conn, from: addr(host), head });
        let out = lone.handle(Input::Connected { conn, room: usize::MAX });
        let ping = out.iter().find_map(|output| match output {
            Output::Send { frame, .. } if frame.header.kind == Kind::Ping => Some(frame.header.guid),
            _ => None,
        });
        conns.push((conn, ping.expect("a Ping")));
    }
    (lone, conns)
}

fn listed() -> Config {
    let mut config = Config::new(ME);
    (config.only_listed, config.shields) = (true, 3);
    config
}

const FOUR: (&str, &str) = ("9.1.1.1:6346", "8.8.8.8");
const SIX: (&str, &str) = ("[2001:db8:9::1]:6346", "2001:db8::8");

/// Our own Pong in what a Ping with that TTL is answered with.
fn own(lone: &mut Lone, conn: ConnId, ttl: u8) -> Pong {
    let out = lone.frame(conn, frame(Kind::Ping, 1, ttl, 0, Ping::default().encode()));
    let pong = out.iter().find_map(|output| match output {
        Output::Send { frame, .. } if (frame.header.kind, frame.header.hops) == (Kind::Pong, 0) => Some(&frame.payload),
        _ => None,
    });
    Pong::decode(pong.expect("an answer")).expect("our own")
}

#[test]
fn who_asks_further_than_us_is_told_what_we_are_and_a_keep_alive_is_short() {
    let (mut lone, conns) = seen(listed(), &[FOUR]);
    lone.now = Instant::from_secs(300);
    assert!(own(&mut lone, conns[0].0, 1).ggep.is_empty(), "it asks whether we are there");
    let pong = own(&mut lone, conns[0].0, 2);
    assert_eq!((pong.vendor().map(|(code, _)| code), pong.uptime()), (Some(*b"FLBT"), Some(300)));
    let accepted = u8::try_from(lone.servent.config().accept_limit()).expect("few");
    assert_eq!(pong.slots(), Some((255, accepted - 1)), "300 for leaves are more than a byte holds");
    assert_eq!((pong.host(), pong.also_at()), (addr("8.8.8.8:6346"), None));

    let mut config = listed();
    config.role = RoleChoice::Leaf;
    let (mut lone, conns) = seen(config, &[FOUR]);
    let pong = own(&mut lone, conns[0].0, 2);
    assert_eq!((pong.slots(), pong.vendor().is_some()), (None, true), "a leaf has no slots to offer");
}

#[test]
fn both_our_addresses_are_told_and_those_of_others_taken_where_they_are_of_use() {
    let (mut lone, conns) = seen(listed(), &[FOUR, SIX]);
    let pong = own(&mut lone, conns[0].0, 2);
    assert_eq!((pong.host(), pong.also_at()), (addr("8.8.8.8:6346"), Some(addr("[2001:db8::8]:6346"))));

    let theirs = Pong::new(addr("7.7.7.7:6346"), 1, 2);
    let theirs = theirs.with_also_at("2001:db8:7::7".parse().expect("an address")).encode();
    let known = |lone: &Lone, text| lone.servent.hosts().iter().any(|host| host.addr == addr(text));
    for (hosts, six) in [(&[FOUR, SIX][..], true), (&[FOUR][..], false)] {
        let (mut lone, conns) = seen(listed(), hosts);
        let (conn, ping) = conns[0];
        lone.frame(conn, crate::wire::Frame::new(ping, Kind::Pong, 1, theirs.clone()));
        assert!(known(&lone, "7.7.7.7:6346"));
        assert_eq!(known(&lone, "[2001:db8:7::7]:6346"), six, "of use to who speaks IPv6");
    }
}

#[test]
fn by_udp_hosts_of_the_families_that_are_asked_for_are_told() {
    let told = |wants: Option<Wants>| {
        let (mut lone, _) = seen(listed(), &[FOUR, SIX]);
        let ping = wants.map(Ping::asking).unwrap_or_default().encode();
        // Some bytes saved up, or there is no room for two hosts and all that is told of us.
        let from = addr("6.6.6.6:6346");
        lone.handle(Input::Datagram { from, frame: frame(Kind::Ping, 1, 1, 0, vec![0; 100].into()) });
        let out = lone.handle(Input::Datagram { from, frame: frame(Kind::Ping, 2, 1, 0, ping) });
        let [Output::SendTo { frame, .. }] = &out[..] else { panic!("an answer: {out:?}") };
        let pong = Pong::decode(&frame.payload).expect("our own");
        assert_eq!(pong.vendor().map(|(code, _)| code), Some(*b"FLBT"), "there is room for all");
        pong.others(8)
    };
    let (four, six) = (addr(FOUR.0), addr(SIX.0));
    let wants = |v4, v6| Some(Wants { ultrapeers: true, v4, v6 });
    for (asked, want) in [
        (None, vec![]),
        (wants(true, false), vec![four]),
        (wants(true, true), vec![four, six]),
        (wants(false, true), vec![six]),
    ] {
        assert_eq!(told(asked), want, "{asked:?}");
    }
}

#[test]
fn an_answer_that_would_be_too_long_tells_hosts_before_anything_of_us() {
    let (mut lone, _) = seen(listed(), &[FOUR]);
    let wants = Wants { ultrapeers: true, v4: true, v6: false };
    let ping = frame(Kind::Ping, 1, 1, 0, Ping::asking(wants).encode());
    let three_times = 3 * ping.wire_len();
    lone.now = Instant::from_secs(86_400);
    let out = lone.handle(Input::Datagram { from: addr("6.6.6.6:6346"), frame: ping.clone() });
    let [Output::SendTo { frame, .. }] = &out[..] else { panic!("an answer: {out:?}") };
    let pong = Pong::decode(&frame.payload).expect("our own");
    assert!(frame.wire_len() <= three_times);
    assert_eq!((pong.others(8), pong.uptime()), (vec![addr(FOUR.0)], Some(86_400)), "both just fit");
    // What is left of that is 14 bytes: not enough even for the bare Pong, but for what the next one brings.
    let bare = super::lone::frame(Kind::Ping, 2, 1, 0, Ping::default().encode());
    let out = lone.handle(Input::Datagram { from: addr("5.5.5.5:6346"), frame: bare.clone() });
    let [Output::SendTo { frame, .. }] = &out[..] else { panic!("an answer: {out:?}") };
    assert!(frame.wire_len() <= 3 * bare.wire_len());
}

#[test]
fn a_host_cache_is_asked_for_the_addresses_that_we_can_use() {
    let cache = |hosts: &[(&str, &str)], at: SocketAddr| {
        let (mut lone, _) = seen(listed(), hosts);
        let out = lone.command(Command::AskCaches(vec![at]));
        let [Output::SendTo { frame: ping, .. }] = &out[..] else { panic!("a ping: {out:?}") };
        let asked = Ping::decode(&ping.payload).expect("our own").wants().expect("hosts").v6;
        let others = [addr("7.7.7.7:6346"), addr("[2001:db8:7::7]:6346"), addr("[fd00::1]:6346")];
        let pong = Pong::new(at, 0, 0).with_others(&others).encode();
        let guid: Guid = ping.header.guid;
        lone.handle(Input::Datagram { from: at, frame: crate::wire::Frame::new(guid, Kind::Pong, 1, pong) });
        let mut known: Vec<_> = lone.servent.hosts().iter().map(|host| host.addr).collect();
        known.retain(|known| others.contains(known));
        known.sort();
        (asked, known)
    };
    let (four, both) = (vec![addr("7.7.7.7:6346")], vec![addr("7.7.7.7:6346"), addr("[2001:db8:7::7]:6346")]);
    assert_eq!(cache(&[FOUR], addr("9.2.2.2:6346")), (false, four));
    assert_eq!(cache(&[FOUR, SIX], addr("9.2.2.2:6346")), (true, both.clone()), "nobody out there names a site's");
    assert_eq!(cache(&[], addr("[2001:db8:c::1]:6346")), (true, both), "who is asked by IPv6 was reached by it");
}
