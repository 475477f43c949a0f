//! Dynamic queries: step by step, with the clock moved by hand.

use super::lone::*;
use crate::base::Instant;
use crate::proto::*;
use crate::wire::handshake::Head;
use crate::wire::head::Headers;
use crate::wire::hit::{Entry, Qhd, QueryHit};
use crate::wire::query::{Flags, Query};
use crate::wire::vendor::{Vendor, Which};
use crate::wire::{Guid, Kind};

/// An ultrapeer that knows a large network and has that many neighbours, of degree 32.
fn large(neighbours: u8) -> (Lone, Vec<ConnId>) {
    let mut lone = Lone::new();
    let hosts = (0..150u8).map(|n| (addr(&format!("10.7.0.{n}:6346")), HostSource::Cache)).collect();
    lone.command(Command::AddHosts(hosts));
    let conns = (1..=neighbours)
        .map(|n| {
            let conn = ConnId::accepted(n.into());
            let headers = Headers::default()
                .with("X-Ultrapeer", if n == 1 { "False" } else { "True" })
                .with("GUID", peer_guid(n).to_string())
                .with("X-Degree", "32")
                .with("Vendor-Message", "0.2")
                .with("X-Max-TTL", "4");
            lone.handle(Input::Handshake {
                conn,
                from: peer_addr(n),
                head: Head::Connect { version: (0, 6), headers },
            });
            lone.handle(Input::Handshake { conn, from: peer_addr(n), head: status(200, "OK") });
            lone.handle(Input::Connected { conn, room: usize::MAX });
            conn
        })
        .collect();
    (lone, conns)
}

/// Queries in `out`: to whom, TTL and hops.
fn queries(out: &Outbox) -> Vec<(ConnId, u8, u8)> {
    let sent = out.iter().filter_map(|output| match output {
        Output::Send { to, frame } if frame.header.kind == Kind::Query => Some((to, frame.header)),
        _ => None,
    });
    sent.flat_map(|(to, header)| to.iter().map(move |&to| (to, header.ttl, header.hops))).collect()
}

fn later(lone: &mut Lone, millis: u64) -> Vec<(ConnId, u8, u8)> {
    let then = Instant::from_micros(lone.now.as_micros() + millis * 1000);
    queries(&lone.sleep_until(then))
}

fn found(lone: &mut Lone, conn: ConnId, guid: Guid, files: u32) {
    let entries = (0..files).map(|n| Entry::new(n, 1, "blue train", &[])).collect();
    let hit = QueryHit::new(addr("10.9.9.9:6346"), 0, entries, Qhd::new(*b"FLBT", false, false), Guid([7; 16]));
    let mut frame = frame(Kind::QueryHit, 0, 3, 0, hit.encode());
    frame.header.guid = guid;
    lone.frame(conn, frame);
}

#[test]
fn a_rare_thing_is_asked_of_one_neighbour_after_the_other() {
    let (mut lone, conns) = large(8);
    let leaf = conns[0];
    let first = queries(&lone.frame(leaf, query_frame(1, 4, 0)));
    assert_eq!(first.len(), 2, "of seven neighbours two are probed");
    assert!(first.iter().all(|&(to, ttl, hops)| to != leaf && (ttl, hops) == (2, 1)), "{first:?}");
    assert_eq!(later(&mut lone, 4700), [], "answers are waited for: 2.4 s for each hop");
    let mut asked: Vec<_> = first.iter().map(|&(to, ..)| to).collect();
    let mut times = Vec::new();
    while asked.len() < 7 {
        let next = later(&mut lone, 100);
        assert!(next.len() <= 1 && lone.now < Instant::from_secs(50), "one after the other");
        if let [(to, ttl, hops)] = next[..] {
            assert!(!asked.contains(&to) && (ttl, hops) == (3, 1), "{next:?}");
            asked.push(to);
            times.push(lone.now.as_micros() / 100_000);
        }
    }
    assert_eq!(times, [48, 120, 192, 261, 327], "7.2 s for three hops, less when three thousand were asked in vain");
    assert_eq!(later(&mut lone, 15_000), [], "nobody is left");
    assert_eq!(lone.servent.counters().dynamic_queries, 1);
}

#[test]
fn a_common_thing_ends_with_the_probe_and_a_less_common_one_goes_less_far() {
    let (mut lone, conns) = large(8);
    let first = queries(&lone.frame(conns[0], query_frame(1, 4, 0)));
    first.iter().for_each(|&(conn, ..)| found(&mut lone, conn, Guid([1; 16]), 60));
    assert_eq!(later(&mut lone, 15_000), [], "a leaf has enough with 50");

    let first = queries(&lone.frame(conns[0], query_frame(2, 4, 0)));
    first.iter().for_each(|&(conn, ..)| found(&mut lone, conn, Guid([2; 16]), 20));
    let next = later(&mut lone, 5000);
    assert!(matches!(next[..], [(_, 2, 1)]), "40 among 64 ultrapeers: three more from each are near: {next:?}");
}

#[test]
fn a_search_of_our_own_is_asked_faster_and_ends_when_it_is_over() {
    let (mut lone, _) = large(8);
    let search = |id| Command::Search { id: SearchId(id), query: query(), ttl: None, strategy: None };
    let out = lone.command(search(1));
    assert_eq!(queries(&out).len(), 2);
    assert!(out.iter().any(|o| matches!(o, Output::Event(Event::SearchSent { neighbours: 2, .. }))), "{out:?}");
    assert_eq!(later(&mut lone, 1300).len(), 1);
    lone.command(Command::EndSearch(SearchId(1)));
    assert_eq!(later(&mut lone, 15_000), []);
    // With a TTL of its own it is a flood.
    let out = lone.command(Command::Search { id: SearchId(2), query: query(), ttl: Some(2), strategy: None });
    assert_eq!(queries(&out).len(), 7);
}

#[test]
fn a_query_of_a_neighbour_is_flooded_as_ever_and_a_leaf_that_is_gone_wants_nothing() {
    let (mut lone, conns) = large(8);
    assert_eq!(queries(&lone.frame(conns[3], query_frame(1, 4, 0))).len(), 6);
    lone.frame(conns[0], query_frame(2, 4, 0));
    lone.handle(Input::Disconnected { conn: conns[0], reason: CloseReason::Closed });
    assert_eq!(later(&mut lone, 15_000), []);
}

#[test]
fn a_small_network_is_flooded() {
    let mut lone = Lone::new();
    let conns = lone.accept_many(5);
    assert_eq!(queries(&lone.frame(conns[0], query_frame(1, 4, 0))).len(), 4);
    let out = lone.command(Command::Search { id: SearchId(1), query: query(), ttl: None, strategy: None });
    assert_eq!(queries(&out).len(), 5);
}

#[test]
fn a_leaf_cannot_have_more_than_a_few_queries_under_way() {
    let (mut lone, conns) = large(8);
    for n in 1..=40 {
        lone.frame(conns[0], query_frame(n, 4, 0));
    }
    let next = later(&mut lone, 5000);
    assert!(next.len() <= 8, "{}", next.len());
}

#[test]
fn a_leaf_guides_its_own_query() {
    let (mut lone, conns) = large(8);
    let leaf = conns[0];
    let vendor = |guid: u8, message: Vendor| frame(Kind::Vendor, guid, 1, 0, message.encode());
    let taken = Vendor::supported(&[Which::STATUS_PLEASE, Which::STATUS]);
    lone.frame(leaf, frame(Kind::VendorStandard, 0x55, 1, 0, taken.encode()));
    let guided = |guid: u8| {
        let query = Query { flags: Flags(0x9800), ..query() };
        frame(Kind::Query, guid, 4, 0, query.encode())
    };
    let out = lone.frame(leaf, guided(1));
    let asks = vendor(1, Vendor::status_please());
    assert!(out.contains(&send(&[leaf], asks)), "{out:?}");
    // It has enough from elsewhere.
    lone.frame(leaf, vendor(1, Vendor::status(50)));
    assert_eq!(later(&mut lone, 15_000), []);
    lone.frame(leaf, guided(2));
    lone.frame(conns[3], vendor(2, Vendor::status(0xffff)));
    assert_eq!(later(&mut lone, 5000).len(), 1, "others have no say");
    lone.frame(leaf, vendor(2, Vendor::status(0xffff)));
    assert_eq!(later(&mut lone, 15_000), []);
}

#[test]
fn as_a_leaf_we_tell_our_ultrapeers_how_many_hits_we_have_and_when_it_is_over() {
    let mut config = Config::new(ME);
    (config.only_listed, config.role) = (true, RoleChoice::Leaf);
    let mut lone = Lone::with(config);
    let conn = ConnId::accepted(1);
    let headers = Headers::default().with("X-Ultrapeer", "True").with("Vendor-Message", "0.2");
    lone.handle(Input::Handshake { conn, from: peer_addr(1), head: Head::Connect { version: (0, 6), headers } });
    lone.handle(Input::Handshake { conn, from: peer_addr(1), head: status(200, "OK") });
    lone.handle(Input::Connected { conn, room: usize::MAX });
    let taken = Vendor::supported(&[Which::STATUS_PLEASE, Which::STATUS]);
    lone.frame(conn, frame(Kind::VendorStandard, 0x55, 1, 0, taken.encode()));
    let out = lone.command(Command::Search { id: SearchId(1), query: query(), ttl: None, strategy: None });
    let Some(Output::Send { frame: asked, .. }) = out.first() else { panic!("{out:?}") };
    let guid = asked.header.guid;
    assert!(Query::decode(&asked.payload).expect("a query").flags.has(Flags::LEAF_GUIDED));
    found(&mut lone, conn, guid, 7);
    let mut please = frame(Kind::Vendor, 0, 1, 0, Vendor::status_please().encode());
    please.header.guid = guid;
    let mut told = frame(Kind::Vendor, 0, 1, 0, Vendor::status(7).encode());
    told.header.guid = guid;
    assert_eq!(lone.frame(conn, please.clone()), [send(&[conn], told.clone())]);
    told.payload = Vendor::status(0xffff).encode();
    assert_eq!(lone.command(Command::EndSearch(SearchId(1))), [send(&[conn], told.clone())]);
    assert_eq!(lone.frame(conn, please), [send(&[conn], told)]);
}

#[test]
fn one_liar_ends_no_query() {
    let (mut lone, _) = large(8);
    let out = lone.command(Command::Search { id: SearchId(1), query: query(), ttl: None, strategy: None });
    let sent = queries(&out);
    let guid = out.iter().find_map(|output| match output {
        Output::Event(Event::SearchSent { guid, .. }) => Some(*guid),
        _ => None,
    });
    let guid = guid.expect("it went out");
    (0..20).for_each(|_| found(&mut lone, sent[0].0, guid, 200));
    assert_eq!(later(&mut lone, 1300).len(), 1, "others are asked on");
}

#[test]
fn leaves_push_no_search_of_ours_aside() {
    let mut config = Config::new(ME);
    (config.only_listed, config.leaves, config.limits.handshakes) = (true, 100, 1000);
    let mut lone = Lone::with(config);
    lone.command(Command::AddHosts(
        (0..150u8).map(|n| (addr(&format!("10.7.0.{n}:6346")), HostSource::Cache)).collect(),
    ));
    for n in 1..=30u8 {
        let (conn, role) = (ConnId::accepted(n.into()), if n <= 20 { "False" } else { "True" });
        let headers = Headers::default().with("X-Ultrapeer", role).with("GUID", peer_guid(n).to_string());
        lone.handle(Input::Handshake { conn, from: peer_addr(n), head: Head::Connect { version: (0, 6), headers } });
        lone.handle(Input::Handshake { conn, from: peer_addr(n), head: status(200, "OK") });
        lone.handle(Input::Connected { conn, room: usize::MAX });
    }
    let out = lone.command(Command::Search { id: SearchId(1), query: query(), ttl: None, strategy: None });
    assert!(!queries(&out).is_empty());
    for n in 0..160u8 {
        lone.frame(ConnId::accepted(u64::from(n % 20) + 1), query_frame(n + 1, 4, 0));
    }
    let then = Instant::from_micros(lone.now.as_micros() + 1_500_000);
    let out = lone.sleep_until(then);
    assert!(out.iter().any(|o| matches!(o, Output::Event(Event::SearchSent { .. }))), "it goes on");
}
