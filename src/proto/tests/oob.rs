//! Hits by UDP: what a sharer promises and sends, what an asker claims and takes, and what nobody gets by it.

use std::net::SocketAddr;

use bytes::Bytes;
use proptest::prelude::*;

use super::lone::*;
use crate::base::{Instant, Rng};
use crate::proto::*;
use crate::wire::handshake::Head;
use crate::wire::hit::{Entry, Qhd, QueryHit};
use crate::wire::pong::Pong;
use crate::wire::query::{Flags, Query};
use crate::wire::vendor::{Said, Vendor, Which};
use crate::wire::{Frame, Guid, Header, Kind};

const ASKER: &str = "10.7.7.7:6347";

fn at(secs: u64) -> Instant {
    Instant::from_secs(secs)
}

fn datagram(from: &str, frame: Frame) -> Input {
    Input::Datagram { from: addr(from), frame }
}

fn vendor(guid: Guid, what: &Vendor) -> Frame {
    Frame::new(guid, Kind::Vendor, 1, what.encode())
}

/// What goes out by UDP.
fn sent(out: &Outbox) -> Vec<(SocketAddr, Frame)> {
    let sent = out.iter().filter_map(|output| match output {
        Output::SendTo { addr, frame } => Some((*addr, frame.clone())),
        _ => None,
    });
    sent.collect()
}

/// What goes out on links, of that kind.
fn linked(out: &Outbox, kind: Kind) -> Vec<Frame> {
    let sent = out.iter().filter_map(|output| match output {
        Output::Send { frame, .. } if frame.header.kind == kind => Some(frame.clone()),
        _ => None,
    });
    sent.collect()
}

/// The GUID of the Ping that we ask neighbours for.
fn asked_ping(out: &Outbox) -> Option<Guid> {
    linked(out, Kind::Vendor).iter().find_map(|frame| {
        match Vendor::decode(&frame.payload).and_then(|message| message.said()).expect("ours") {
            Said::PingBack(port, guid) => {
                assert_eq!(port, 6346);
                guid
            }
            _ => None,
        }
    })
}

/// A servent at 10.0.0.1:6346 with a neighbour that takes vendor messages; datagrams of strangers reach it.
fn reached(out_of_band: OutOfBand) -> (Lone, ConnId) {
    reached_at("10.0.0.1:6346", "10.0.1.1:6346", out_of_band)
}

/// The same at `us`, as a Ping from `by` shows.
fn reached_at(us: &str, by: &str, out_of_band: OutOfBand) -> (Lone, ConnId) {
    let mut config = Config::new(ME);
    (config.only_listed, config.out_of_band) = (true, out_of_band);
    let mut lone = Lone::with(config);
    lone.command(Command::Listening(addr(us)));
    let conn = ConnId::accepted(1);
    let Head::Connect { version, headers } = connect(1) else { panic!("a first leg") };
    let head = Head::Connect { version, headers: headers.with("Vendor-Message", "0.2") };
    lone.handle(Input::Handshake { conn, from: peer_addr(1), head });
    lone.handle(Input::Handshake { conn, from: peer_addr(1), head: status(200, "OK") });
    lone.handle(Input::Connected { conn, room: usize::MAX });
    lone.frame(conn, vendor(Guid([5; 16]), &Vendor::supported(&[Which::PING_BACK])));
    let out = lone.sleep_until(at(1));
    if let Some(guid) = asked_ping(&out) {
        assert_eq!(lone.handle(datagram(by, Frame::new(guid, Kind::Ping, 1, Bytes::new()))), []);
    }
    (lone, conn)
}

fn entries(n: u32) -> Vec<Entry> {
    (0..n).map(|n| Entry::new(n, 1000, &format!("blue train {n:03}.ogg"), &[])).collect()
}

/// A query of [`ASKER`] that allows hits by UDP, and came over `hops` links before the last.
fn asking(n: u8, hops: u8) -> Frame {
    asking_at(ASKER, n, hops)
}

/// The same of one who asks there.
fn asking_at(asker: &str, n: u8, hops: u8) -> Frame {
    let (guid, query) = query().out_of_band(Guid([n; 16]), addr(asker));
    let header = Header { guid, kind: Kind::Query, ttl: 2, hops };
    Frame { header, payload: query.encode() }
}

/// It is answered with so many files.
fn answer(lone: &mut Lone, conn: ConnId, query: Frame, files: u32) -> Outbox {
    let guid = query.header.guid;
    lone.frame(conn, query);
    lone.command(Command::AnswerQuery(Answer { query: guid, entries: entries(files) }))
}

#[test]
fn a_far_asker_is_told_how_many_hits_there_are_and_gets_those_that_it_claims() {
    let (mut lone, conn) = reached(OutOfBand::Auto);
    let query = asking(1, 1);
    let guid = query.header.guid;
    let out = answer(&mut lone, conn, query, 100);
    assert_eq!(sent(&out), [(addr(ASKER), vendor(guid, &Vendor::hits_here(100, true)))]);
    assert_eq!(linked(&out, Kind::QueryHit), []);
    // It claims some; a Ping asks whether it is there.
    let please = vendor(guid, &Vendor::hits_please(60, Some(b"token")));
    assert_eq!(lone.handle(datagram("10.7.7.8:6347", please.clone())), [], "another");
    let out = lone.handle(datagram(ASKER, please.clone()));
    let [(to, ping)] = &sent(&out)[..] else { panic!("{out:?}") };
    assert_eq!((*to, ping.header.kind), (addr(ASKER), Kind::Ping));
    let pong = |guid| Frame::new(guid, Kind::Pong, 1, Pong::new(addr(ASKER), 0, 0).encode());
    assert_eq!(lone.handle(datagram(ASKER, pong(Guid([3; 16])))), [], "that is not the answer");
    assert_eq!(lone.handle(datagram("10.7.7.8:6347", pong(ping.header.guid))), [], "nor is that");
    let mut hits = sent(&lone.handle(datagram(ASKER, pong(ping.header.guid))));
    assert_eq!(hits.len(), 1, "one at a time");
    hits.extend(sent(&lone.sleep_until(at(10))));
    let mut names = Vec::new();
    for (to, frame) in &hits {
        assert_eq!((*to, frame.header.guid, frame.header.ttl), (addr(ASKER), guid, 1));
        assert!(frame.wire_len() <= 1200, "{} bytes", frame.wire_len());
        let hit = QueryHit::decode(&frame.payload).expect("a hit");
        assert_eq!(hit.qhd.as_ref().and_then(Qhd::token).as_deref(), Some(&b"token"[..]));
        names.extend(hit.entries.iter().map(|entry| entry.name.to_string()));
    }
    assert_eq!(names, entries(60).iter().map(|entry| entry.name.to_string()).collect::<Vec<_>>());
    assert_eq!(lone.handle(datagram(ASKER, please)), [], "once");
    // The next time it is known to be there, and without a token it gets none.
    let next = asking(2, 3);
    let guid = next.header.guid;
    answer(&mut lone, conn, next, 1);
    let out = lone.handle(datagram(ASKER, vendor(guid, &Vendor::hits_please(255, None))));
    let [(_, frame)] = &sent(&out)[..] else { panic!("{out:?}") };
    assert_eq!(QueryHit::decode(&frame.payload).expect("a hit").qhd.and_then(|qhd| qhd.token()), None);
    let counters = *lone.servent.counters();
    assert_eq!(
        (counters.hits_promised, counters.hits_sent_udp, counters.queries_answered),
        (2, hits.len() as u64 + 1, 2)
    );
}

#[test]
fn who_answers_pings_gets_no_flood_of_hits_that_somebody_else_claims_in_his_name() {
    let (mut lone, conn) = reached(OutOfBand::On);
    let (mut by_udp, mut over_links) = (0, 0);
    for n in 0..60 {
        let query = asking(n, 1);
        let guid = query.header.guid;
        let mut out = answer(&mut lone, conn, query, 100);
        out.extend(lone.handle(datagram(ASKER, vendor(guid, &Vendor::hits_please(255, Some(b"token"))))));
        if let Some((_, ping)) = sent(&out).into_iter().find(|(_, frame)| frame.header.kind == Kind::Ping) {
            let pong = Frame::new(ping.header.guid, Kind::Pong, 1, Pong::new(addr(ASKER), 0, 0).encode());
            out.extend(lone.handle(datagram(ASKER, pong)));
        }
        out.extend(lone.sleep_until(at(5 + 5 * u64::from(n))));
        let hits = |frame: &Frame| frame.header.kind == Kind::QueryHit;
        by_udp += sent(&out).iter().filter(|(_, frame)| hits(frame)).map(|(_, frame)| frame.wire_len()).sum::<usize>();
        over_links += linked(&out, Kind::QueryHit).len();
    }
    // Five minutes of that.
    assert!((60_000..=64 * 1024 + 300 * 100).contains(&by_udp) && over_links > 20, "{by_udp} {over_links}");
}

#[test]
fn hits_go_back_over_links_where_udp_is_not_for_them() {
    let near = || asking(1, 0);
    let with = |change: fn(&mut Frame)| {
        let mut frame = asking(1, 1);
        change(&mut frame);
        frame
    };
    let plain = with(|frame| frame.payload = query().encode());
    let nowhere = with(|frame| frame.header.guid = Guid([1; 16]).with_address("0.0.0.0:6346".parse().expect("one")));
    let ourselves = with(|frame| frame.header.guid = Guid([1; 16]).with_address("10.0.0.1:6346".parse().expect("one")));
    let loopback = with(|frame| frame.header.guid = Guid([1; 16]).with_address("127.0.0.1:6346".parse().expect("one")));
    let mail = with(|frame| frame.header.guid = Guid([1; 16]).with_address("8.8.8.8:25".parse().expect("one")));
    let speed = with(|frame| {
        let flags = Flags(Flags::OUT_OF_BAND);
        frame.payload = Query { flags, ..query() }.encode();
    });
    let rows = [
        ("from a neighbour", OutOfBand::Auto, near()),
        ("not asked for", OutOfBand::Auto, plain),
        ("no flags", OutOfBand::Auto, speed),
        ("nowhere", OutOfBand::Auto, nowhere),
        ("ourselves", OutOfBand::Auto, ourselves),
        ("an address that its bringer may not name", OutOfBand::Auto, loopback),
        ("a port that strangers do not name", OutOfBand::Auto, mail),
        ("turned off", OutOfBand::Off, asking(1, 1)),
    ];
    for (why, setting, query) in rows {
        let (mut lone, conn) = reached(setting);
        let out = answer(&mut lone, conn, query, 3);
        assert_eq!((sent(&out).len(), linked(&out, Kind::QueryHit).len()), (0, 1), "{why}");
    }
    let mut unproven = Lone::new();
    let conn = unproven.accept(1, usize::MAX);
    let out = answer(&mut unproven, conn, asking(1, 1), 3);
    assert_eq!((sent(&out).len(), linked(&out, Kind::QueryHit).len()), (0, 1), "nobody proved that UDP reaches us");
}

#[test]
fn who_claims_and_is_not_there_gets_his_hits_over_links_and_who_does_not_claim_none() {
    let (mut lone, conn) = reached(OutOfBand::Auto);
    let query = asking(1, 1);
    let guid = query.header.guid;
    answer(&mut lone, conn, query, 3);
    let unclaimed = asking(2, 1);
    answer(&mut lone, conn, unclaimed, 3);
    lone.handle(datagram(ASKER, vendor(guid, &Vendor::hits_please(2, None))));
    let out = lone.sleep_until(at(100));
    assert_eq!(sent(&out), []);
    let [hit] = &linked(&out, Kind::QueryHit)[..] else { panic!("{out:?}") };
    assert_eq!((hit.header.guid, hit.payload[0]), (guid, 2));
    assert_eq!(lone.handle(datagram(ASKER, vendor(guid, &Vendor::hits_please(2, None)))), [], "it is gone");
}

fn reached_by_ipv6(out_of_band: OutOfBand) -> (Lone, ConnId) {
    reached_at("[fd00::1]:6346", "[fd00::7]:6346", out_of_band)
}

#[test]
fn hits_go_by_ipv6_to_who_asks_with_nothing_else() {
    const SIX: &str = "[2001:db8::7]:6347";
    let (mut lone, conn) = reached_by_ipv6(OutOfBand::Auto);
    let query = asking_at(SIX, 1, 1);
    let guid = query.header.guid;
    assert_eq!(guid.address().ip().octets(), [127, 0, 0, 0]);
    let out = answer(&mut lone, conn, query, 3);
    assert_eq!(sent(&out), [(addr(SIX), vendor(guid, &Vendor::hits_here(3, true)))]);
    let out = lone.handle(datagram(SIX, vendor(guid, &Vendor::hits_please(3, Some(b"token")))));
    let [(_, ping)] = &sent(&out)[..] else { panic!("{out:?}") };
    let pong = Frame::new(ping.header.guid, Kind::Pong, 1, Pong::new(addr(SIX), 0, 0).encode());
    let out = sent(&lone.handle(datagram(SIX, pong)));
    let [(to, frame)] = &out[..] else { panic!("{out:?}") };
    let hit = QueryHit::decode(&frame.payload).expect("a hit");
    assert_eq!((*to, hit.entries.len(), hit.host()), (addr(SIX), 3, addr("[fd00::1]:6346")));
    // Whom we cannot send to he is answered over links: he would hear nothing, and claim nothing.
    let over_links = |lone: &mut Lone, conn, query| {
        let out = answer(lone, conn, query, 3);
        (sent(&out).len(), linked(&out, Kind::QueryHit).len())
    };
    assert_eq!(over_links(&mut lone, conn, asking(2, 1)), (0, 1), "an IPv4 address, for one without");
    let (mut four, conn) = reached(OutOfBand::Auto);
    assert_eq!(over_links(&mut four, conn, asking_at(SIX, 3, 1)), (0, 1), "an IPv6 address, for one without");
    let mut bare = asking_at(SIX, 4, 1);
    bare.payload = query_with_so().encode();
    assert_eq!(over_links(&mut lone, conn, bare), (0, 1), "no address at all");
}

/// It says that hits may come by UDP, and nothing of IPv6.
fn query_with_so() -> Query {
    query().out_of_band(Guid([1; 16]), addr(ASKER)).1
}

#[test]
fn who_is_reached_by_ipv6_alone_asks_with_that_address_and_takes_hits_there() {
    let (mut lone, _) = reached_by_ipv6(OutOfBand::On);
    let asked = search(&mut lone);
    let guid = asked.header.guid;
    let decoded = Query::decode(&asked.payload).expect("a query");
    assert!(decoded.is_secure() && decoded.takes(addr("[2001:db8::1]:1")) && !decoded.takes(addr(ASKER)));
    assert_eq!(decoded.asker(guid), addr("[fd00::1]:6346"));
    let here = vendor(guid, &Vendor::hits_here(2, false));
    let out = sent(&lone.handle(datagram("[fd00::9]:7000", here)));
    let [(to, frame)] = &out[..] else { panic!("{out:?}") };
    assert_eq!((*to, frame.header.guid), (addr("[fd00::9]:7000"), guid));
    let out = lone.handle(datagram("[fd00::9]:7000", hit(guid, 2, None)));
    assert!(matches!(&out[..], [Output::Event(Event::HitReceived { hops: 0, .. })]), "{out:?}");
    // Over links it takes what there is.
    let (mut lone, _) = reached_by_ipv6(OutOfBand::Auto);
    let decoded = Query::decode(&search(&mut lone).payload).expect("a query");
    assert!(!decoded.is_secure() && decoded.takes(addr("[2001:db8::1]:1")) && decoded.takes(addr(ASKER)));
}

#[test]
fn what_is_too_long_for_a_datagram_goes_back_over_links() {
    let (mut lone, conn) = reached(OutOfBand::Auto);
    let query = asking(1, 1);
    let guid = query.header.guid;
    lone.frame(conn, query);
    let mut some = entries(2);
    some.push(Entry::new(9, 1, &"blue train ".repeat(120), &[]));
    let out = lone.command(Command::AnswerQuery(Answer { query: guid, entries: some }));
    assert_eq!(sent(&out), [(addr(ASKER), vendor(guid, &Vendor::hits_here(2, true)))]);
    assert_eq!(linked(&out, Kind::QueryHit).iter().map(|hit| hit.payload[0]).collect::<Vec<_>>(), [1]);
}

#[test]
fn a_forged_address_gets_no_more_than_three_times_what_was_spent_on_it() {
    let (mut lone, conn) = reached(OutOfBand::Auto);
    let (mut spent, mut got) = (0, 0);
    for n in 0..2000u64 {
        lone.now = Instant::from_millis(2000 + 50 * n);
        let mut query = asking(1, 1);
        query.header.guid.0[5..8].copy_from_slice(&n.to_le_bytes()[..3]);
        let guid = query.header.guid;
        spent += query.wire_len();
        let mut out = answer(&mut lone, conn, query, 200);
        let please = vendor(guid, &Vendor::hits_please(255, Some(&[9; 16])));
        spent += please.wire_len();
        out.extend(lone.handle(datagram(ASKER, please)));
        out.extend(lone.sleep_until(lone.now));
        got += sent(&out).iter().map(|(_, frame)| frame.wire_len()).sum::<usize>();
        assert!(got <= 3 * spent, "{got} for {spent}");
    }
    assert!(got > 0);
}

/// The query that goes out for a search, if there is one.
fn search(lone: &mut Lone) -> Frame {
    let out = lone.command(Command::Search { id: SearchId(1), query: query(), ttl: None, strategy: None });
    linked(&out, Kind::Query).into_iter().next().expect("a query")
}

fn hit(guid: Guid, files: u32, token: Option<&[u8]>) -> Frame {
    let mut ggep = crate::wire::ggep::Ggep::default();
    if let Some(token) = token {
        Qhd::push_token(&mut ggep, token);
    }
    let qhd = Qhd::new(*b"TEST", false, false).with_ggep(ggep);
    let hit = QueryHit::new(addr(ASKER), 0, entries(files), qhd, Guid([0x77; 16]));
    Frame::new(guid, Kind::QueryHit, 1, hit.encode())
}

#[test]
fn an_asker_claims_what_is_promised_and_takes_what_it_claimed() {
    let (mut lone, _) = reached(OutOfBand::On);
    let query = search(&mut lone);
    let guid = query.header.guid;
    assert_eq!(guid.address(), "10.0.0.1:6346".parse().expect("an address"));
    let decoded = Query::decode(&query.payload).expect("a query");
    assert!(decoded.flags.has(Flags::OUT_OF_BAND) && decoded.is_secure());
    let claimed = |out: &Outbox| {
        let [(to, frame)] = &sent(out)[..] else { panic!("{out:?}") };
        assert_eq!((*to, frame.header.guid), (addr(ASKER), guid));
        Vendor::decode(&frame.payload).and_then(|message| message.said()).expect("a claim")
    };
    // A real client says with the TTL that it inflates.
    let mut here = vendor(guid, &Vendor::hits_here(7, true));
    here.header.ttl = 9;
    let Said::HitsPlease { entries: 7, token: Some(token) } = claimed(&lone.handle(datagram(ASKER, here))) else {
        panic!("seven with a token")
    };
    let again = vendor(guid, &Vendor::hits_here(7, true));
    assert_eq!(lone.handle(datagram(ASKER, again)), [], "they are on their way");
    let takes = |lone: &mut Lone, from: &str, frame: Frame| {
        let out = lone.handle(datagram(from, frame));
        let hits = out.iter().filter_map(|output| match output {
            Output::Event(Event::HitReceived { search: SearchId(1), hit, hops: 0, from: None }) => {
                Some(hit.entries.len())
            }
            _ => None,
        });
        hits.sum::<usize>()
    };
    assert_eq!(takes(&mut lone, ASKER, hit(guid, 3, None)), 0, "no token");
    assert_eq!(takes(&mut lone, ASKER, hit(guid, 3, Some(b"87654321"))), 0, "not ours");
    assert_eq!(takes(&mut lone, "10.7.7.8:6347", hit(guid, 3, Some(&token))), 0, "another");
    assert_eq!(takes(&mut lone, ASKER, hit(guid, 8, Some(&token))), 0, "more than we want");
    assert_eq!(takes(&mut lone, ASKER, hit(guid, 5, Some(&token))), 5);
    assert_eq!(takes(&mut lone, ASKER, hit(guid, 3, Some(&token))), 0, "more than is left");
    let mut packed = hit(guid, 2, Some(&token));
    packed.header.ttl = 0x81;
    assert_eq!(takes(&mut lone, ASKER, packed), 0, "deflated, which we did not ask for");
    assert_eq!(takes(&mut lone, ASKER, hit(guid, 2, Some(&token))), 2);
    assert_eq!(lone.servent.counters().hits_received_udp, 2);
    lone.command(Command::EndSearch(SearchId(1)));
    let late = vendor(guid, &Vendor::hits_here(7, true));
    assert_eq!(lone.handle(datagram("10.7.7.9:6347", late)), [], "it is over");
}

#[test]
fn hits_by_udp_are_allowed_only_where_they_reach_us_and_spare_much() {
    let flagged = |lone: &mut Lone| {
        let query = search(lone);
        Query::decode(&query.payload).expect("a query").flags.has(Flags::OUT_OF_BAND)
    };
    assert!(flagged(&mut reached(OutOfBand::On).0));
    assert!(!flagged(&mut reached(OutOfBand::Off).0));
    assert!(!flagged(&mut reached(OutOfBand::Auto).0), "a mesh of listed hosts");
    let mut config = Config::new(ME);
    (config.only_listed, config.out_of_band) = (true, OutOfBand::On);
    let mut unproven = Lone::with(config);
    unproven.accept(1, usize::MAX);
    assert!(!flagged(&mut unproven), "nobody pinged us");
    // On a large network.
    for (hosts, allowed) in [(99, false), (120, true)] {
        let (mut lone, _) = reached(OutOfBand::Auto);
        let host = |n: u8| (SocketAddr::from(([100, n, 1, 1], 6346)), HostSource::Cache);
        lone.command(Command::AddHosts((0..hosts).map(host).collect()));
        lone.servent.config.only_listed = false;
        assert_eq!(flagged(&mut lone), allowed, "{hosts} hosts");
    }
}

#[test]
fn a_neighbour_that_asks_for_it_is_pinged_by_udp_at_its_own_address() {
    let (mut lone, conn) = reached(OutOfBand::Auto);
    let ping = |guid| Frame::new(guid, Kind::Ping, 1, Bytes::new());
    let out = lone.frame(conn, vendor(Guid([5; 16]), &Vendor::ping_back(7000, Guid([8; 16]))));
    assert_eq!(sent(&out), [(addr("10.0.1.1:7000"), ping(Guid([8; 16])))]);
    let newer = Vendor { version: 2, data: Bytes::from_static(&[0x58, 0x1b]), ..Vendor::ping_back(0, Guid([0; 16])) };
    let out = lone.frame(conn, vendor(Guid([6; 16]), &newer));
    assert_eq!(sent(&out), [(addr("10.0.1.1:7000"), ping(Guid([6; 16])))]);
    let mut ask = |n: u8| sent(&lone.frame(conn, vendor(Guid([n; 16]), &newer))).len();
    assert_eq!((0..40).map(&mut ask).sum::<usize>(), 8, "as many as other answers by UDP to one address: ten at once");
    lone.now = at(60);
    assert_eq!(sent(&lone.frame(conn, vendor(Guid([5; 16]), &Vendor::ping_back(0, Guid([8; 16]))))), []);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever comes by UDP: nothing is taken or sent that was not earned, and it ends.
    #[test]
    fn random_datagrams_earn_nothing(seed: u64, steps in prop::collection::vec((0u8..6, 0u8..4, 0u8..6, any::<u8>(), 0u64..3000), 1..80)) {
        let (mut lone, conn) = reached(OutOfBand::On);
        let own = search(&mut lone).header.guid;
        let mut rng = Rng::from_number(seed);
        let (mut came, mut went) = (std::collections::BTreeMap::<_, usize>::new(), std::collections::BTreeMap::<_, usize>::new());
        let mut claimed = 0u32;
        let mut taken = 0u32;
        for (what, from, guid, n, wait) in steps {
            let mut out = lone.sleep_until(lone.now + std::time::Duration::from_millis(wait));
            let from = format!("10.7.{from}.7:6347");
            let guid = match guid {
                0 => own,
                n => Guid([n; 16]).with_address(from.parse().expect("an address")),
            };
            let mut junk = vec![0; usize::from(n)];
            rng.fill(&mut junk);
            let frame = match what {
                0 => vendor(guid, &Vendor::hits_here(n, n % 2 == 0)),
                1 => vendor(guid, &Vendor::hits_please(n, (n % 2 == 0).then_some(&[7; 8][..]))),
                2 => hit(guid, u32::from(n % 9), (n % 2 == 0).then_some(&[7; 8][..])),
                3 => Frame::new(guid, [Kind::Vendor, Kind::QueryHit, Kind::Pong][usize::from(n % 3)], n, junk.into()),
                4 => Frame::new(guid, Kind::Pong, 1, Pong::new(addr(&from), 0, 0).encode()),
                _ => {
                    let frame = Frame { header: Header { guid, kind: Kind::Query, ttl: 2, hops: n % 3 }, payload: query().out_of_band(guid, addr(&from)).1.encode() };
                    *came.entry(addr(&from).ip()).or_default() += frame.wire_len();
                    out.extend(answer(&mut lone, conn, frame, u32::from(n)));
                    Frame::new(guid, Kind::Ping, 1, Bytes::new())
                }
            };
            *came.entry(addr(&from).ip()).or_default() += frame.wire_len();
            out.extend(lone.handle(datagram(&from, frame)));
            for (to, frame) in sent(&out) {
                prop_assert_ne!(frame.header.kind, Kind::QueryHit, "nobody gave our GUID back");
                *went.entry(to.ip()).or_default() += frame.wire_len();
                if let Ok(Said::HitsPlease { entries, .. }) = Vendor::decode(&frame.payload).and_then(|message| message.said()) {
                    claimed += u32::from(entries);
                }
            }
            for output in &out {
                if let Output::Event(Event::HitReceived { hit, .. }) = output {
                    taken += hit.entries.len() as u32;
                }
            }
            prop_assert!(taken <= claimed, "{} of {}", taken, claimed);
            for (to, bytes) in &went {
                prop_assert!(*bytes <= 3 * came.get(to).copied().unwrap_or(0), "{} gets {}", to, bytes);
            }
        }
    }
}
