//! Leaves and tables: who gets a slot, who is told what, and whom a query concerns.

use std::sync::Arc;

use bytes::Bytes;

use super::lone::*;
use crate::base::Instant;
use crate::proto::*;
use crate::wire::bye::Bye;
use crate::wire::handshake::{HEAD_LIMIT, Head};
use crate::wire::head::Headers;
use crate::wire::qrp::RouteTableUpdate;
use crate::wire::qrt::{Draft, Keys, MOST_BITS, Qrt, Receiver, each_hash, updates};
use crate::wire::query::Query;
use crate::wire::{Frame, Guid, Kind};

fn table(names: &[&str]) -> Qrt {
    let mut draft = Draft::new(16);
    names.iter().for_each(|name| each_hash(name, |hash| draft.add(hash)));
    draft.finish()
}

fn headers(role: &str, n: u8) -> Headers {
    Headers::default()
        .with("X-Ultrapeer", role)
        .with("GUID", peer_guid(n).to_string())
        .with("X-Ultrapeer-Query-Routing", "0.1")
}

/// The `n`th peer dials us as what it says it is.
fn link(lone: &mut Lone, role: &str, n: u8) -> ConnId {
    let conn = ConnId::accepted(n.into());
    let head = Head::Connect { version: (0, 6), headers: headers(role, n) };
    let out = lone.handle(Input::Handshake { conn, from: peer_addr(n), head });
    assert_eq!(verdict(&out), Some((Verdict::Accept, 200)), "{out:?}");
    lone.handle(Input::Handshake { conn, from: peer_addr(n), head: status(200, "OK") });
    lone.handle(Input::Connected { conn, room: usize::MAX });
    conn
}

/// It tells its table.
fn tells(lone: &mut Lone, conn: ConnId, table: &Qrt) {
    for update in updates(None, table) {
        assert_eq!(lone.frame(conn, frame(Kind::RouteTableUpdate, 9, 1, 0, update.encode())), []);
    }
}

/// What `out` tells `conn` of our table.
fn told(receiver: &mut Receiver, out: &Outbox, conn: ConnId) -> usize {
    let to_conn = out.iter().filter_map(|output| match output {
        Output::Send { to, frame } if to.contains(&conn) && frame.header.kind == Kind::RouteTableUpdate => Some(frame),
        _ => None,
    });
    to_conn
        .map(|frame| {
            assert_eq!((frame.header.ttl, frame.header.hops), (1, 0));
            receiver.on_update(&RouteTableUpdate::decode(&frame.payload).expect("an update")).expect("a table");
        })
        .count()
}

fn asks(lone: &mut Lone, from: ConnId, guid: u8, ttl: u8, text: &str) -> Vec<(Vec<ConnId>, (u8, u8))> {
    let frame = frame(Kind::Query, guid, ttl, 0, Query::new(text, &[]).encode());
    let out = lone.frame(from, frame);
    let sent = out.into_iter().filter_map(|output| match output {
        Output::Send { to, frame } => Some((to, (frame.header.ttl, frame.header.hops))),
        _ => None,
    });
    sent.collect()
}

fn after(lone: &mut Lone, millis: u64) -> Outbox {
    let then = Instant::from_micros(lone.now.as_micros() + millis * 1000);
    lone.sleep_until(then)
}

#[test]
fn a_leaf_is_asked_only_what_its_table_may_match_whatever_the_ttl() {
    let mut lone = Lone::new();
    let (asker, other) = (link(&mut lone, "True", 1), link(&mut lone, "True", 2));
    let (blue, green, silent) = (link(&mut lone, "False", 3), link(&mut lone, "False", 4), link(&mut lone, "False", 5));
    tells(&mut lone, blue, &table(&["blue train.ogg"]));
    tells(&mut lone, green, &table(&["green song.ogg"]));
    assert_eq!(asks(&mut lone, asker, 1, 4, "blue train"), [(vec![other, blue], (3, 1))]);
    assert_eq!(
        asks(&mut lone, asker, 2, 1, "green song"),
        [(vec![green], (1, 1))],
        "the last hop is no last hop for leaves"
    );
    assert_eq!(asks(&mut lone, asker, 3, 1, "green train"), [], "two words of two leaves");
    assert_eq!(asks(&mut lone, blue, 4, 4, "green song"), [(vec![asker, other, green], (3, 1))], "leaves ask too");
    let kept = |conn| lone.peer(conn).kept_back;
    assert_eq!([other, blue, green, silent].map(kept), [0, 2, 2, 4]);
    assert_eq!((lone.servent.degree(), lone.servent.leaves()), (2, 3));
    assert_eq!(lone.peer(blue).table, Some((1 << 16, 3)));
    assert_eq!(lone.peer(blue).role, Role::Leaf);
}

#[test]
fn a_neighbour_is_asked_on_the_last_hop_only_what_its_table_may_match() {
    let mut lone = Lone::new();
    let [asker, blue, silent] = [1, 2, 3].map(|n| link(&mut lone, "True", n));
    tells(&mut lone, blue, &table(&["blue train.ogg"]));
    assert_eq!(asks(&mut lone, asker, 1, 2, "blue train"), [(vec![blue, silent], (1, 1))]);
    assert_eq!(asks(&mut lone, asker, 2, 2, "green song"), [(vec![silent], (1, 1))]);
    assert_eq!(
        asks(&mut lone, asker, 3, 3, "green song"),
        [(vec![blue, silent], (2, 1))],
        "who knows what is behind it"
    );
    assert_eq!(lone.peer(blue).kept_back, 1);
    // Our own search asks everybody: who typed it wants to know.
    let out = lone.command(Command::flood(SearchId(1), "green song", &[]));
    assert!(matches!(&out[..], [Output::Send { to, .. }, _] if *to == [asker, blue, silent]), "{out:?}");
}

#[test]
fn neighbours_are_told_our_words_and_our_leaves_words_and_what_changes() {
    let mut lone = Lone::new();
    let (old, leaf) = (lone.accept(9, usize::MAX), link(&mut lone, "False", 3));
    let peer = link(&mut lone, "True", 1);
    let mut receiver = Receiver::default();
    assert_eq!(told(&mut receiver, &after(&mut lone, 1000), peer), 0, "nothing is known of our files yet");

    lone.command(Command::Table(Arc::new(table(&["blue train.ogg"]))));
    let out = after(&mut lone, 1000);
    assert!(told(&mut receiver, &out, peer) > 1);
    let may = |receiver: &Receiver, text| receiver.table().is_some_and(|table| table.may_match(&Keys::of(text, &[])));
    assert_eq!(["blue train", "green song"].map(|text| may(&receiver, text)), [true, false]);
    let others = [old, leaf].map(|conn| told(&mut Receiver::default(), &out, conn));
    assert_eq!(others, [0, 0], "neither leaves nor those that do not take it");

    tells(&mut lone, leaf, &table(&["green song.ogg"]));
    assert!(told(&mut receiver, &after(&mut lone, 3000), peer) >= 1);
    assert_eq!(["blue train", "green song", "green train"].map(|text| may(&receiver, text)), [true; 3], "one unit");

    let late = link(&mut lone, "True", 2);
    lone.handle(Input::Disconnected { conn: leaf, reason: CloseReason::Closed });
    assert!(told(&mut receiver, &after(&mut lone, 10_000), peer) >= 1);
    assert_eq!(["blue train", "green song"].map(|text| may(&receiver, text)), [true, false], "the leaf is gone");
    assert_eq!(lone.peer(late).table, None);
    lone.command(Command::Table(Arc::new(table(&["blue train.ogg"]))));
    assert_eq!(told(&mut receiver, &after(&mut lone, 60_000), peer), 0, "nothing has changed");
}

#[test]
fn what_keeps_changing_is_told_ever_more_rarely() {
    let mut lone = Lone::new();
    let peer = link(&mut lone, "True", 1);
    let mut times = Vec::new();
    for n in 0..900 {
        lone.command(Command::Table(Arc::new(table(&[&format!("word{n}")]))));
        let out = after(&mut lone, 100);
        if told(
            &mut Receiver::default(),
            &out.into_iter()
                .filter(|o| !matches!(o, Output::Send { frame, .. } if frame.payload.first() == Some(&1)))
                .collect(),
            peer,
        ) > 0
            || n == 0
        {
            times.push(n);
        }
    }
    let sent = lone.servent.counters().tables_sent;
    assert!((5..=8).contains(&sent), "{sent} times in 90 s");
}

#[test]
fn who_sends_what_is_no_table_gets_a_bye() {
    for (why, payload) in [
        ("no update", Bytes::from_static(&[0, 3, 0, 0, 0, 7])),
        (
            "a patch of no table",
            RouteTableUpdate::Patch { sequence: 1, count: 1, compressor: 0, bits: 4, data: Bytes::new() }.encode(),
        ),
        ("an infinity of zero", RouteTableUpdate::Reset { slots: 16, infinity: 0 }.encode()),
    ] {
        let mut lone = Lone::new();
        let leaf = link(&mut lone, "False", 3);
        let out = lone.frame(leaf, frame(Kind::RouteTableUpdate, 1, 1, 0, payload));
        let Some(Output::Send { frame: Frame { header, payload }, .. }) = out.first() else { panic!("{why}: {out:?}") };
        assert_eq!(header.kind, Kind::Bye, "{why}");
        assert_eq!(Bye::decode(payload).map(|bye| bye.code), Ok(413), "{why}");
        assert_eq!(lone.servent.leaves(), 0);
    }
}

#[test]
fn tables_take_no_more_memory_than_they_may() {
    let mut config = Config::new(ME);
    (config.only_listed, config.leaves, config.limits.handshakes) = (true, 250, 1000);
    let mut lone = Lone::with(config);
    // A table of two million slots and half of them taken: 256 KiB for each leaf.
    let data = Bytes::from(vec![0x55; (1 << 21) / 8 / 8]);
    let pieces = (1..=8).map(|sequence| RouteTableUpdate::Patch {
        sequence,
        count: 8,
        compressor: 0,
        bits: 1,
        data: data.clone(),
    });
    let all: Vec<_> = std::iter::once(RouteTableUpdate::Reset { slots: 1 << 21, infinity: 2 }).chain(pieces).collect();
    let mut byes = 0;
    for n in 1..=140 {
        let leaf = link(&mut lone, "False", n);
        for update in &all {
            let out = lone.frame(leaf, frame(Kind::RouteTableUpdate, 1, 1, 0, update.encode()));
            byes += out.iter().filter(|o| matches!(o, Output::Close { .. })).count();
        }
    }
    let held = lone.servent.peers().iter().filter(|peer| peer.table.is_some_and(|(_, taken)| taken > 0)).count();
    assert!((120..=128).contains(&held), "{held} tables of 256 KiB within 32 MiB");
    assert_eq!(byes, 140 - lone.servent.leaves());
}

#[test]
fn when_there_are_too_many_tables_the_largest_goes_and_no_latecomer() {
    let mut config = Config::new(ME);
    (config.only_listed, config.leaves, config.limits.handshakes) = (true, 255, 1000);
    let mut lone = Lone::with(config);
    let tells = |lone: &mut Lone, leaf: ConnId, slots: u32| {
        // Half of them are taken; a message has 32 KiB of that.
        let bytes = slots as usize / 8;
        let count = bytes.div_ceil(32 * 1024) as u8;
        let data = Bytes::from(vec![0x55; bytes / usize::from(count)]);
        let patch = |sequence| RouteTableUpdate::Patch { sequence, count, compressor: 0, bits: 1, data: data.clone() };
        let all = std::iter::once(RouteTableUpdate::Reset { slots, infinity: 2 }).chain((1..=count).map(patch));
        all.flat_map(|update| lone.frame(leaf, frame(Kind::RouteTableUpdate, 1, 1, 0, update.encode())))
            .filter_map(|output| match output {
                Output::Close { conn, .. } => Some(conn),
                _ => None,
            })
            .collect::<Vec<_>>()
    };
    let large = [1, 2].map(|n| link(&mut lone, "False", n));
    large.iter().for_each(|&leaf| assert_eq!(tells(&mut lone, leaf, 1 << 21), []));
    for n in (3..=255).filter(|&n| peer_guid(n) != ME) {
        let leaf = link(&mut lone, "False", n);
        assert_eq!(tells(&mut lone, leaf, 1 << 20), [], "32 MiB at last, and no more");
    }
    let late = ConnId::accepted(255);
    assert_eq!(tells(&mut lone, late, 1 << 19), [large[1]], "the younger of the largest");
    assert_eq!(lone.peer(late).table, Some((1 << 19, 1 << 18)), "who came last with little stays");
    let again = link(&mut lone, "False", 2);
    assert_eq!(tells(&mut lone, again, 1 << 20), [], "there is room again");
    assert_eq!(lone.servent.leaves(), 254);
}

#[test]
fn a_leaf_holds_a_few_ultrapeers_and_routes_nothing() {
    let mut config = Config::new(ME);
    (config.only_listed, config.role) = (true, RoleChoice::Leaf);
    let mut lone = Lone::with(config);
    lone.command(Command::Table(Arc::new(table(&["blue train.ogg"]))));
    let ultras = [1, 2, 3].map(|n| link(&mut lone, "True", n));
    for (role, n) in [("True", 4), ("False", 5)] {
        let conn = ConnId::accepted(n);
        let head = Head::Connect { version: (0, 6), headers: headers(role, n as u8) };
        let out = lone.handle(Input::Handshake { conn, from: peer_addr(n as u8), head });
        assert_eq!(verdict(&out), Some((Verdict::Refuse, 503)), "{role}");
        assert_eq!(header_of(&out, "X-Ultrapeer"), Some("False"));
    }
    assert_eq!(asks(&mut lone, ultras[0], 1, 4, "blue train"), [], "it is asked itself, and asks nobody");
    assert_eq!(lone.servent.counters().queries_searched, 1);
    let out = lone.command(Command::flood(SearchId(1), "green song", &[]));
    assert!(matches!(&out[..], [Output::Send { to, .. }, _] if *to == ultras), "{out:?}");
    let mut receiver = Receiver::default();
    assert!(told(&mut receiver, &after(&mut lone, 1000), ultras[2]) > 1, "without its table it would be asked nothing");
    assert_eq!(lone.servent.role(), Role::Leaf);
}

#[test]
fn leaves_have_slots_of_their_own() {
    let mut config = Config::new(ME);
    (config.only_listed, config.accept, config.leaves) = (true, Some(1), 2);
    let mut lone = Lone::with(config);
    link(&mut lone, "False", 1);
    link(&mut lone, "True", 2);
    link(&mut lone, "False", 3);
    for role in ["True", "False"] {
        let head = Head::Connect { version: (0, 6), headers: headers(role, 4).with("Listen-IP", "10.0.1.4:6346") };
        let out = lone.handle(Input::Handshake { conn: ConnId::accepted(4), from: peer_addr(4), head });
        assert_eq!(verdict(&out), Some((Verdict::Refuse, 503)), "{role}");
    }
}

#[test]
fn a_crawler_is_told_who_is_linked_and_gets_no_link() {
    let mut lone = Lone::new();
    for (role, n) in [("True", 1), ("False", 2)] {
        let conn = ConnId::accepted(n);
        let told = headers(role, n as u8).with("Listen-IP", format!("10.0.1.{n}:6346"));
        lone.handle(Input::Handshake {
            conn,
            from: peer_addr(n as u8),
            head: Head::Connect { version: (0, 6), headers: told },
        });
        lone.handle(Input::Handshake { conn, from: peer_addr(n as u8), head: status(200, "OK") });
        lone.handle(Input::Connected { conn, room: 1000 });
    }
    let crawler = Head::Connect { version: (0, 6), headers: Headers::default().with("Crawler", "0.1") };
    let out =
        lone.handle(Input::Handshake { conn: ConnId::accepted(7), from: addr("10.3.3.3:1"), head: crawler.clone() });
    assert_eq!(verdict(&out), Some((Verdict::Refuse, 200)));
    assert_eq!((header_of(&out, "Peers"), header_of(&out, "Leaves")), (Some("10.0.1.1:6346"), Some("10.0.1.2:6346")));
    let out = lone.handle(Input::Handshake { conn: ConnId::accepted(8), from: addr("8.8.8.8:1"), head: crawler });
    assert_eq!(
        (header_of(&out, "Peers"), header_of(&out, "Leaves")),
        (Some(""), Some("")),
        "private addresses stay here"
    );
    assert_eq!(lone.servent.counters().crawled, 2);
}

#[test]
fn what_a_crawler_is_told_fits_into_a_head_and_is_not_always_the_same() {
    let mut config = Config::new(ME);
    (config.leaves, config.accept) = (120, Some(120));
    let mut lone = Lone::with(config);
    for n in 0..240 {
        let (conn, role) = (ConnId::accepted(n), if n < 120 { "True" } else { "False" });
        let from = addr(&format!("[fd00:1111:2222:3333:4444:5555:6666:{:x}]:40000", 0x7000 + n));
        let told = Headers::default().with("X-Ultrapeer", role).with("Listen-IP", from.to_string());
        lone.handle(Input::Handshake { conn, from, head: Head::Connect { version: (0, 6), headers: told } });
        lone.handle(Input::Handshake { conn, from, head: status(200, "OK") });
        lone.handle(Input::Connected { conn, room: usize::MAX });
    }
    assert_eq!((lone.servent.degree(), lone.servent.leaves()), (120, 120));
    let crawler = Head::Connect { version: (0, 6), headers: Headers::default().with("Crawler", "0.1") };
    let mut leaves = std::collections::BTreeSet::new();
    for n in 1000..1020 {
        let from = addr("[fd00:1111::1]:1");
        let out = lone.handle(Input::Handshake { conn: ConnId::accepted(n), from, head: crawler.clone() });
        let [Output::Handshake { head, .. }] = &out[..] else { panic!("{out:?}") };
        assert!(head.encode().len() <= HEAD_LIMIT, "{} bytes", head.encode().len());
        let told = ["Peers", "Leaves"].map(|name| head.headers().items(name).count());
        assert!(told.iter().all(|told| (70..=100).contains(told)), "{told:?}");
        leaves.extend(head.headers().items("Leaves").map(str::to_owned));
    }
    assert_eq!(leaves.len(), 120, "who asks again hears of all");
}

#[test]
fn a_quiet_link_with_a_leaf_lives_for_minutes_and_costs_a_ping_a_minute() {
    let mut lone = Lone::new();
    let leaf = link(&mut lone, "False", 1);
    let mut pings = 0;
    for second in 1..=110 {
        let out = lone.sleep_until(Instant::from_secs(second));
        pings +=
            out.iter().filter(|o| matches!(o, Output::Send { frame, .. } if frame.header.kind == Kind::Ping)).count();
    }
    assert!((1..=3).contains(&pings), "{pings} pings in 110 s of silence");
    assert_eq!(lone.servent.leaves(), 1);
    lone.sleep_until(Instant::from_secs(130));
    assert_eq!(lone.servent.leaves(), 0, "{leaf:?} is dead");
}

#[test]
fn no_table_of_ours_is_sent_before_the_guid_of_each_message_is_fresh() {
    let mut lone = Lone::new();
    lone.command(Command::Table(Arc::new(table(&["blue train.ogg"]))));
    after(&mut lone, 1000);
    let conn = ConnId::accepted(1);
    lone.handle(Input::Handshake {
        conn,
        from: peer_addr(1),
        head: Head::Connect { version: (0, 6), headers: headers("True", 1) },
    });
    lone.handle(Input::Handshake { conn, from: peer_addr(1), head: status(200, "OK") });
    let out = lone.handle(Input::Connected { conn, room: usize::MAX });
    let guids: Vec<Guid> = out
        .iter()
        .filter_map(|o| match o {
            Output::Send { frame, .. } => Some(frame.header.guid),
            _ => None,
        })
        .collect();
    let mut unique = guids.clone();
    unique.sort_unstable();
    unique.dedup();
    assert!(guids.len() > 2, "a ping and the table");
    assert_eq!(unique.len(), guids.len());
}

#[test]
fn five_thousand_pongs_that_name_victims_cause_ten_dials_a_minute_at_most() {
    let mut config = Config::new(ME);
    config.neighbours = 100;
    let mut lone = Lone::with(config);
    // A liar on the public network; on a private one it could name its own machine at best.
    let conn = ConnId::accepted(1);
    let from = addr("8.8.8.8:6346");
    let head = Head::Connect { version: (0, 6), headers: headers("True", 1) };
    lone.handle(Input::Handshake { conn, from, head });
    lone.handle(Input::Handshake { conn, from, head: status(200, "OK") });
    let mut out = lone.handle(Input::Connected { conn, room: usize::MAX });
    let asked = out.iter().find_map(|output| match output {
        Output::Send { frame, .. } if frame.header.kind == Kind::Ping => Some(frame.header.guid),
        _ => None,
    });
    let asked = asked.expect("it was pinged");
    let mut dials: Vec<(u64, std::net::SocketAddr)> = Vec::new();
    for n in 0..5000u32 {
        let victim = std::net::SocketAddr::from((
            [50 + (n % 100) as u8, (n / 100) as u8, 1, 1],
            if n % 3 == 0 { 25 } else { 6346 },
        ));
        let mut pong = frame(Kind::Pong, 0, 1, 0, crate::wire::pong::Pong::new(victim, 1, 1).encode());
        pong.header.guid = asked;
        out.extend(lone.frame(conn, pong));
        let then = Instant::from_micros(lone.now.as_micros() + 100_000);
        out.extend(lone.sleep_until(then));
        for output in out.drain(..) {
            if let Output::Dial { conn, addr, .. } = output {
                dials.push((lone.now.as_micros() / 1_000_000, addr));
                lone.handle(Input::DialFailed { conn, reason: DialFailure::TimedOut });
            }
        }
    }
    for (at, _) in &dials {
        let within = dials.iter().filter(|(other, _)| (*at..*at + 59).contains(other)).count();
        assert!(within <= 10, "{within} dials in a minute from {at} s on");
    }
    assert!(dials.len() >= 20, "{} dials in 500 s: some it may try", dials.len());
    assert!(dials.iter().all(|(_, addr)| addr.port() == 6346));
    for (_, addr) in &dials {
        assert!(dials.iter().filter(|(_, other)| other == addr).count() <= 2);
    }
}

#[test]
fn who_begins_a_table_again_and_again_gets_a_bye() {
    let mut lone = Lone::new();
    let leaf = link(&mut lone, "False", 3);
    tells(&mut lone, leaf, &table(&["blue train.ogg"]));
    // Each would be copied, and none is ever whole.
    let begin = RouteTableUpdate::Patch { sequence: 1, count: 2, compressor: 0, bits: 4, data: Bytes::new() };
    let taken =
        (0..100).take_while(|_| lone.frame(leaf, frame(Kind::RouteTableUpdate, 1, 1, 0, begin.encode())).is_empty());
    assert_eq!(taken.count(), 46, "48 at once; a reset and a patch were two");
    assert_eq!(lone.servent.leaves(), 0);
}

#[test]
fn a_large_table_counts_for_as_many_as_it_is_times_a_usual_one() {
    let mut lone = Lone::new();
    let leaf = link(&mut lone, "False", 3);
    let none = Qrt::empty(21);
    let one = {
        let mut draft = Draft::of_size(&none);
        draft.add(0);
        draft.finish()
    };
    tells(&mut lone, leaf, &one);
    let change = updates(Some(&one), &none);
    let told = |lone: &mut Lone| {
        let mut pieces = change.iter().map(|piece| frame(Kind::RouteTableUpdate, 1, 1, 0, piece.encode()));
        pieces.all(|piece| lone.frame(leaf, piece).is_empty())
    };
    let taken = (0..100).take_while(|_| told(&mut lone)).count();
    assert_eq!((taken, lone.servent.leaves()), (1, 0), "of 48 a reset took one, and each patch 16");
}

#[test]
fn our_own_largest_table_may_change_as_often_as_we_tell_it() {
    let mut lone = Lone::new();
    let leaf = link(&mut lone, "False", 3);
    let song = |n: u32| {
        let mut draft = Draft::of_size(&Qrt::empty(MOST_BITS));
        draft.add(n << 8);
        draft.finish()
    };
    let mut known = None;
    for (n, second) in [0, 1, 3, 7, 15, 31, 61].into_iter().enumerate() {
        lone.sleep_until(Instant::from_secs(second));
        let table = song(n as u32);
        for update in updates(known.as_ref(), &table) {
            lone.frame(leaf, frame(Kind::RouteTableUpdate, 9, 1, 0, update.encode()));
        }
        known = Some(table);
    }
    assert_eq!(lone.servent.leaves(), 1);
}
