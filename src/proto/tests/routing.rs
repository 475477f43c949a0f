//! Queries, hits, pushes, pings: one servent, whole outboxes.

use std::net::SocketAddr;

use bytes::Bytes;

use super::lone::*;
use crate::proto::*;
use crate::wire::hit::{Entry, Qhd, QueryHit};
use crate::wire::ping::Ping;
use crate::wire::pong::Pong;
use crate::wire::push::Push;
use crate::wire::{Frame, Guid, Kind};

fn hit(servent: Guid) -> QueryHit {
    let entries = vec![Entry::new(3, 1000, "blue train.ogg", &[])];
    QueryHit::new(addr("10.9.9.9:6346"), 0, entries, Qhd::new(*b"FLBT", false, false), servent)
}

#[test]
fn a_query_goes_to_all_but_its_bringer_and_its_copies_go_nowhere() {
    let mut lone = Lone::new();
    let links = lone.accept_many(4);
    let out = lone.frame(links[1], query_frame(1, 4, 0));
    assert_eq!(out, [send(&[links[0], links[2], links[3]], query_frame(1, 3, 1)), received(1, 1)]);
    for &link in &links {
        assert_eq!(lone.frame(link, query_frame(1, 7, 0)), [], "a copy from {link:?}");
    }
    for &link in &links {
        let peer = lone.peer(link);
        assert_eq!(peer.duplicates_in, 1);
        assert_eq!(peer.drops, [(DropReason::Duplicate, 1)].into());
        let bringer = link == links[1];
        assert_eq!((peer.queries_in, peer.queries_out), if bringer { (2, 0) } else { (1, 1) });
    }
    let counters = lone.servent.counters();
    assert_eq!((counters.queries_received, counters.duplicates, counters.queries_searched), (5, 4, 1));
    assert_eq!((counters.queries_forwarded, counters.query_copies), (1, 3));
}

#[test]
fn ttl_and_hops_decide_how_far_a_query_goes() {
    // (TTL, hops) as it came; (TTL, hops) as it goes on; whether it is searched here.
    let rows = [
        ((0, 0), None, false),
        ((1, 0), None, true),
        ((2, 0), Some((1, 1)), true),
        ((255, 0), Some((6, 1)), true),
        ((255, 5), Some((1, 6)), true),
        ((255, 6), None, true),
        ((255, 7), None, false),
        ((1, 200), None, false),
    ];
    for ((ttl, hops), on, searched) in rows {
        let mut lone = Lone::new();
        let links = lone.accept_many(2);
        let mut want: Vec<_> = on.map(|(ttl, hops)| send(&[links[1]], query_frame(1, ttl, hops))).into_iter().collect();
        if searched {
            want.push(received(1, hops + 1));
        }
        assert_eq!(lone.frame(links[0], query_frame(1, ttl, hops)), want, "TTL {ttl}, hops {hops}");
        let drops = lone.peer(links[0]).drops;
        assert_eq!(drops.contains_key(&DropReason::BadHops), !searched, "TTL {ttl}, hops {hops}");
    }
}

#[test]
fn the_payload_goes_on_untouched_and_shared() {
    let mut lone = Lone::new();
    let links = lone.accept_many(2);
    // Flags of an old servent ("minimum speed" 0) and bytes after the words that nobody knows.
    let payload = Bytes::from_static(b"\0\0blue\0\x01\x02\x03");
    let out = lone.frame(links[0], frame(Kind::Query, 1, 4, 0, payload.clone()));
    let Some(Output::Send { frame, .. }) = out.first() else { panic!("{out:?}") };
    assert_eq!(frame.payload.as_ptr(), payload.as_ptr());
    assert_eq!(frame.payload.len(), payload.len());
}

#[test]
fn a_malformed_query_goes_nowhere_and_does_not_shut_out_the_good_copy() {
    let mut lone = Lone::new();
    let links = lone.accept_many(3);
    assert_eq!(lone.frame(links[0], frame(Kind::Query, 1, 4, 0, Bytes::from_static(b"\0"))), []);
    assert_eq!(lone.peer(links[0]).drops, [(DropReason::Malformed, 1)].into());
    let out = lone.frame(links[1], query_frame(1, 4, 0));
    assert_eq!(out, [send(&[links[0], links[2]], query_frame(1, 3, 1)), received(1, 1)]);
}

#[test]
fn a_neighbour_may_send_a_burst_and_then_its_rate_and_copies_are_free() {
    let mut lone = Lone::new();
    let links = lone.accept_many(1);
    let fresh = |n: u32| {
        let mut frame = query_frame(0, 1, 0);
        frame.header.guid.0[..4].copy_from_slice(&n.to_be_bytes());
        frame
    };
    let passed = |lone: &mut Lone, from, to| (from..to).filter(|&n| !lone.frame(links[0], fresh(n)).is_empty()).count();
    assert_eq!(passed(&mut lone, 0, 600), 500, "the burst");
    for _ in 0..1000 {
        lone.frame(links[0], fresh(0));
    }
    lone.now += std::time::Duration::from_secs(1);
    assert_eq!(passed(&mut lone, 600, 700), 50, "a second's worth");
    let drops = lone.peer(links[0]).drops;
    assert_eq!(drops, [(DropReason::Duplicate, 1000), (DropReason::RateLimited, 150)].into());
    lone.now += std::time::Duration::from_secs(1);
    assert_eq!(lone.frame(links[0], fresh(599)).len(), 1, "what was over the rate may come again");
}

#[test]
fn a_long_query_counts_as_several() {
    let mut lone = Lone::new();
    let source = lone.accept(1, usize::MAX);
    let ask = |lone: &mut Lone, n: u32, bytes: usize| {
        let mut text = vec![b'x'; bytes];
        (text[0], text[1], text[bytes - 1]) = (0x80, 0, 0);
        let mut query = frame(Kind::Query, 0, 4, 0, text.into());
        query.header.guid.0[..4].copy_from_slice(&n.to_le_bytes());
        lone.frame(source, query);
    };
    for n in 0..20 {
        ask(&mut lone, n, 60 * 1024);
    }
    let drops = lone.peer(source).drops;
    assert_eq!(drops, [(DropReason::RateLimited, 16)].into(), "each counts as 120, and 500 are there");
    for n in 100..200 {
        ask(&mut lone, n, 512);
    }
    assert_eq!(lone.peer(source).drops, [(DropReason::RateLimited, 96)].into(), "20 were left");
}

#[test]
fn a_rate_that_is_off_lets_everything_through() {
    let mut config = Config::new(ME);
    config.only_listed = true;
    config.limits.queries = Rate::OFF;
    let mut lone = Lone::with(config);
    let links = lone.accept_many(1);
    for n in 0..2000_u32 {
        let mut frame = query_frame(0, 1, 0);
        frame.header.guid.0[..4].copy_from_slice(&n.to_be_bytes());
        assert_eq!(lone.frame(links[0], frame).len(), 1);
    }
}

#[test]
fn our_search_goes_to_everybody_and_only_its_hits_come_to_us() {
    let mut lone = Lone::new();
    let links = lone.accept_many(2);
    let out =
        lone.command(Command::Search { id: SearchId(5), query: query(), ttl: None, strategy: Some(Strategy::Flood) });
    let [Output::Send { to, frame: sent }, Output::Event(Event::SearchSent { search, guid, neighbours })] = &out[..]
    else {
        panic!("{out:?}")
    };
    assert_eq!((to, *search, *neighbours), (&links, SearchId(5), 2));
    assert_eq!(*sent, Frame::new(*guid, Kind::Query, 4, query().encode()));

    let mut back = sent.clone();
    (back.header.ttl, back.header.hops) = (2, 2);
    assert_eq!(lone.frame(links[1], back), [], "our own query that came back");
    assert_eq!(lone.peer(links[1]).drops, [(DropReason::Own, 1)].into());
    assert_eq!(lone.peer(links[1]).duplicates_in, 1);

    let (hit, guid) = (hit(Guid([0x44; 16])), *guid);
    let mut frame = frame(Kind::QueryHit, 0, 1, 2, hit.encode());
    frame.header.guid = guid;
    let want = Event::HitReceived { search: SearchId(5), hit, hops: 3, from: Some(links[0]) };
    assert_eq!(lone.frame(links[0], frame.clone()), [Output::Event(want)]);
    let mut broken = frame.clone();
    broken.payload = Bytes::from(vec![9; 40]);
    assert_eq!(lone.frame(links[0], broken), []);
    assert_eq!(lone.peer(links[0]).drops, [(DropReason::Malformed, 1)].into());
    assert_eq!(lone.command(Command::EndSearch(SearchId(5))), []);
    assert_eq!(lone.frame(links[0], frame), []);
    let counters = lone.servent.counters();
    assert_eq!((counters.queries_originated, counters.query_copies, counters.hits_received), (1, 2, 1));
}

#[test]
fn a_search_may_have_a_ttl_of_its_own_and_never_above_the_limit() {
    for (asked, sent) in [(None, 4), (Some(1), 1), (Some(0), 1), (Some(7), 7), (Some(200), 7)] {
        let mut lone = Lone::new();
        lone.accept_many(1);
        let search = Command::Search { id: SearchId(1), query: query(), ttl: asked, strategy: Some(Strategy::Flood) };
        let out = lone.command(search);
        let Some(Output::Send { frame, .. }) = out.first() else { panic!("{out:?}") };
        assert_eq!((frame.header.ttl, frame.header.hops), (sent, 0), "asked for {asked:?}");
    }
    let mut lone = Lone::new();
    let out = lone.command(Command::flood(SearchId(1), "x", &[]));
    assert!(matches!(out[..], [Output::Event(Event::SearchSent { neighbours: 0, .. })]), "{out:?}");
}

#[test]
fn an_answer_goes_back_the_way_the_query_came_in_hits_of_bounded_size() {
    let mut config = Config::new(ME);
    config.only_listed = true;
    config.limits.hit_entries = 2;
    config.limits.answer_entries = 5;
    let mut lone = Lone::with(config);
    let links = lone.accept_many(3);
    lone.frame(links[1], query_frame(1, 4, 2));
    let entries: Vec<_> = (0..9).map(|n| Entry::new(n, 10, "blue train.ogg", &[])).collect();
    let answer = Answer { query: Guid([1; 16]), entries: entries.clone() };
    let out = lone.command(Command::AnswerQuery(answer));
    let want = |some: &[Entry]| {
        let qhd = Qhd::new(*b"FLBT", false, false);
        let hit = QueryHit::new(addr("10.0.0.1:6346"), 0, some.to_vec(), qhd, ME);
        send(&[links[1]], frame(Kind::QueryHit, 1, 7, 0, hit.encode()))
    };
    assert_eq!(out, [want(&entries[..2]), want(&entries[2..4]), want(&entries[4..5])]);
    let counters = lone.servent.counters();
    assert_eq!((counters.queries_answered, counters.hits_sent), (1, 3));
    let nothing = Answer { query: Guid([1; 16]), entries: Vec::new() };
    assert_eq!(lone.command(Command::AnswerQuery(nothing)), []);
    let unknown = Answer { query: Guid([2; 16]), entries };
    assert_eq!(lone.command(Command::AnswerQuery(unknown)), []);
    assert_eq!(lone.servent.counters().queries_answered, 1);
}

#[test]
fn long_names_split_an_answer_before_a_hit_grows_too_long() {
    let mut lone = Lone::new();
    let links = lone.accept_many(1);
    lone.frame(links[0], query_frame(1, 1, 0));
    let entries: Vec<_> = (0..60).map(|n| Entry::new(n, 10, &"x".repeat(2000), &[])).collect();
    let out = lone.command(Command::AnswerQuery(Answer { query: Guid([1; 16]), entries }));
    let mut found = 0;
    for output in &out {
        let Output::Send { frame, .. } = output else { panic!("{output:?}") };
        assert!(frame.payload.len() <= 64 * 1024);
        found += QueryHit::decode(&frame.payload).expect("our own hit").entries.len();
    }
    assert_eq!((found, out.len()), (60, 4));
}

#[test]
fn hits_say_whether_uploads_are_busy_and_where_we_listen() {
    let mut lone = Lone::new();
    let links = lone.accept_many(1);
    lone.frame(links[0], query_frame(1, 1, 0));
    lone.command(Command::UploadsBusy(true));
    lone.command(Command::Listening(addr("[2001:db8::1]:7000")));
    let entries = vec![Entry::new(1, 10, "a", &[])];
    let out = lone.command(Command::AnswerQuery(Answer { query: Guid([1; 16]), entries }));
    let [Output::Send { frame, .. }] = &out[..] else { panic!("{out:?}") };
    let hit = QueryHit::decode(&frame.payload).expect("our own hit");
    assert_eq!(hit.host(), addr("[2001:db8::1]:7000"));
    assert_eq!(hit.qhd.as_ref().and_then(Qhd::busy), Some(true));
    assert_eq!(hit.servent, ME);
}

#[test]
fn hits_go_back_and_pushes_follow_them() {
    let mut lone = Lone::new();
    let links = lone.accept_many(3);
    lone.frame(links[0], query_frame(1, 4, 0));
    let source = Guid([0x44; 16]);
    let payload = hit(source).encode();
    let came = frame(Kind::QueryHit, 1, 5, 0, payload.clone());
    let on = frame(Kind::QueryHit, 1, 4, 1, payload.clone());
    assert_eq!(lone.frame(links[2], came.clone()), [send(&[links[0]], on.clone())]);
    assert_eq!(lone.frame(links[2], came.clone()), [send(&[links[0]], on)], "a second hit is no duplicate");
    assert_eq!(lone.frame(links[0], came.clone()), [], "never back to where it came from");

    let push = Push::new(source, 3, addr("10.3.3.3:6346")).encode();
    let out = lone.frame(links[0], frame(Kind::Push, 9, 5, 1, push.clone()));
    assert_eq!(out, [send(&[links[2]], frame(Kind::Push, 9, 4, 2, push.clone()))]);

    lone.handle(Input::Disconnected { conn: links[2], reason: CloseReason::Closed });
    assert_eq!(lone.frame(links[0], frame(Kind::Push, 9, 5, 1, push)), [], "the way is gone");
    lone.handle(Input::Disconnected { conn: links[0], reason: CloseReason::Closed });
    assert_eq!(lone.frame(links[1], came), [], "the way is gone");
    let counters = lone.servent.counters();
    assert_eq!((counters.hits_routed, counters.pushes_routed), (2, 1));
    assert_eq!(counters.drops.get(DropReason::NoRoute), 3);
}

#[test]
fn a_push_for_us_reaches_the_application_within_what_strangers_may_make_us_dial() {
    let mut lone = Lone::new();
    let links = lone.accept_many(1);
    let mut push = |to: &str| {
        let payload = Push::new(ME, 7, addr(to)).encode();
        lone.frame(links[0], frame(Kind::Push, 1, 1, 0, payload))
    };
    let word = Word::Neighbour;
    let asked = |to: &str| vec![Output::Event(Event::PushRequested { addr: addr(to), index: 7, word })];
    assert_eq!(push("10.3.3.3:6346"), asked("10.3.3.3:6346"));
    assert_eq!(push("8.8.8.8:6346"), asked("8.8.8.8:6346"));
    assert_eq!(push("8.8.8.8:6346"), asked("8.8.8.8:6346"));
    assert_eq!(push("8.8.8.8:6346"), [], "two an hour to one address");
    assert_eq!(push("8.8.8.9:25"), [], "no mail servers");
    assert_eq!(push("127.0.0.1:6346"), [], "no doors that the asker cannot reach itself");
    assert_eq!(push("10.0.0.1:6346"), [], "not to ourselves");
    let mut passed = 2;
    for n in 0..20 {
        passed += push(&format!("8.8.9.{n}:6346")).len();
    }
    assert_eq!(passed, 10, "ten a minute");
    assert_eq!(lone.servent.counters().pushes_received, 11);
}

#[test]
fn many_pushes_of_strangers_leave_dials_for_what_our_push_proxy_asks() {
    let near: fn(u32) -> String = |n| format!("10.4.{}.{}:6346", n / 250, n % 250 + 1);
    let public: fn(u32) -> String = |n| format!("{}.{}.1.1:6346", 20 + n / 250, n % 250);
    let rows = [("within a site", near, "10.3.3.3:6346", 40), ("public", public, "9.9.9.9:6346", 5)];
    for (where_to, victim, honest, most) in rows {
        let mut lone = Lone::new();
        let links = lone.accept_many(10);
        let mut push = |link: usize, hops: u8, to: &str| {
            let payload = Push::new(ME, 7, addr(to)).encode();
            lone.frame(links[link], frame(Kind::Push, 1, 1, hops, payload))
        };
        // Ten links, so that it is not the rate of one neighbour that holds them back.
        let asked = (0..980).filter(|n| !push(*n as usize % 10, 1, &victim(*n)).is_empty()).count();
        assert_eq!(asked, most, "{where_to}");
        let word = Word::Neighbour;
        assert_eq!(push(3, 1, honest), [], "{where_to}: it may be one more victim");
        let want = [Output::Event(Event::PushRequested { addr: addr(honest), index: 7, word })];
        assert_eq!(push(3, 0, honest), want, "{where_to}: it saw who asks");
    }
}

#[test]
fn our_push_goes_the_way_of_the_hit_or_to_the_peer_itself() {
    let mut lone = Lone::new();
    let links = lone.accept_many(2);
    lone.frame(links[0], query_frame(1, 4, 0));
    let far = Guid([0x44; 16]);
    lone.frame(links[1], frame(Kind::QueryHit, 1, 5, 0, hit(far).encode()));
    let sent_to = |out: &[Output]| match out {
        [Output::Send { to, frame }] => {
            let push = Push::decode(&frame.payload).expect("our own push");
            assert_eq!((frame.header.kind, frame.header.ttl, frame.header.hops), (Kind::Push, 7, 0));
            assert_eq!((push.host(), push.index), (addr("10.0.0.1:6346"), 3));
            to.clone()
        }
        _ => Vec::new(),
    };
    let push = |lone: &mut Lone, servent| lone.command(Command::SendPush { servent, index: 3, by: PushBy::Way });
    assert_eq!(sent_to(&push(&mut lone, far)), [links[1]]);
    assert_eq!(sent_to(&push(&mut lone, peer_guid(1))), [links[0]]);
    let nobody = Guid([0x55; 16]);
    assert_eq!(push(&mut lone, nobody), [Output::Event(Event::PushFailed { servent: nobody })]);
    lone.handle(Input::Disconnected { conn: links[1], reason: CloseReason::Closed });
    assert_eq!(push(&mut lone, far), [Output::Event(Event::PushFailed { servent: far })]);
}

#[test]
fn push_proxies_are_asked_as_far_as_strangers_may_make_us_dial() {
    let mut lone = Lone::new();
    let far = Guid([0x44; 16]);
    let mut push = |proxies: &[&str]| {
        let proxies = proxies.iter().map(|text| addr(text)).collect();
        lone.command(Command::SendPush { servent: far, index: 3, by: PushBy::Proxies(proxies) })
    };
    let asked = |proxies: &[&str]| {
        let proxies = proxies.iter().map(|text| addr(text)).collect();
        [Output::Event(Event::AskProxies { servent: far, us: addr("10.0.0.1:6346"), proxies })]
    };
    let failed = [Output::Event(Event::PushFailed { servent: far })];
    let near = ["10.0.0.2:1", "10.0.0.3:1", "10.0.0.4:1", "10.0.0.5:1"];
    assert_eq!(push(&near), asked(&near[..3]), "three at a time");
    assert_eq!(push(&["10.0.0.1:6346", "0.0.0.0:5", "8.8.8.8:25"]), failed, "ourselves, nobody, a mail server");
    assert_eq!(push(&["8.8.8.8:6346", "8.8.8.8:6346"]), asked(&["8.8.8.8:6346"]));
    assert_eq!(push(&["8.8.8.8:6346"]), asked(&["8.8.8.8:6346"]));
    assert_eq!(push(&["8.8.8.8:6346"]), failed, "two an hour");
}

#[test]
fn a_ping_is_answered_from_what_we_know_and_never_flooded() {
    let mut lone = Lone::new();
    let links = lone.accept_many(3);
    lone.command(Command::Sharing { files: 12, kib: 345 });
    let ping = |ttl, hops| frame(Kind::Ping, 1, ttl, hops, Bytes::new());
    let own = Pong::new(addr("10.0.0.1:6346"), 12, 345).encode();
    let own_pong = |ttl| send(&[links[0]], frame(Kind::Pong, 1, ttl, 0, own.clone()));
    assert_eq!(lone.frame(links[0], ping(1, 0)), [own_pong(1)]);
    assert_eq!(lone.frame(links[0], ping(1, 3)), [own_pong(4)], "far enough to get back");
    assert_eq!(lone.frame(links[0], ping(255, 6)), [own_pong(7)], "from as far as messages come");
    // Who asks further than us is told more of us.
    let own_pong = |ttl| send(&[links[0]], frame(Kind::Pong, 1, ttl, 0, full_pong(12, 345, (255, 29))));
    // TTL 2 asks for our neighbours too. These told us no listening address and nothing of themselves: they are
    // asked themselves, and their pong goes back.
    let asked = |link| send(&[link], frame(Kind::Ping, 1, 1, 1, Ping::default().encode()));
    assert_eq!(lone.frame(links[0], ping(7, 0)), [asked(links[1]), asked(links[2]), own_pong(1)]);
    // What a neighbour says of others says nothing of itself.
    let others = Pong::new(addr("0.0.0.0:0"), 1, 2).encode();
    let back = send(&[links[0]], frame(Kind::Pong, 1, 1, 2, others.clone()));
    assert_eq!(lone.frame(links[1], frame(Kind::Pong, 1, 2, 1, others)), [back]);
    assert_eq!(lone.frame(links[0], ping(7, 0)), [asked(links[1]), asked(links[2]), own_pong(1)]);
    let theirs = Pong::new(addr("10.0.1.2:6346"), 1, 2).encode();
    let back = send(&[links[0]], frame(Kind::Pong, 1, 1, 1, theirs.clone()));
    let out = lone.frame(links[1], frame(Kind::Pong, 1, 2, 0, theirs.clone()));
    assert_eq!(out, [back, Output::Event(Event::HostsLearned(1))]);
    // Now it is known: the next one is told of it from the cache.
    let out = lone.frame(links[2], ping(7, 0));
    let cached = send(&[links[2]], frame(Kind::Pong, 1, 1, 1, theirs));
    assert!(out.contains(&cached), "{out:?}");
    assert!(!out.contains(&asked(links[1])), "{out:?}");
    assert_eq!(lone.servent.counters().pings_received, 6);
}

#[test]
fn a_crawler_gets_pongs_of_our_neighbours_and_never_more_than_ten() {
    let mut lone = Lone::new();
    for n in 1..=20 {
        let conn = ConnId::accepted(n.into());
        let mut head = connect(n);
        let crate::wire::handshake::Head::Connect { headers, .. } = &mut head else { unreachable!() };
        headers.push("Listen-IP", format!("10.0.1.{n}:6346"));
        lone.handle(Input::Handshake { conn, from: peer_addr(n), head });
        lone.handle(Input::Handshake { conn, from: peer_addr(n), head: status(200, "OK") });
        lone.handle(Input::Connected { conn, room: usize::MAX });
    }
    let asker = ConnId::accepted(1);
    let out = lone.frame(asker, frame(Kind::Ping, 1, 2, 0, Bytes::new()));
    let mut told: Vec<SocketAddr> = Vec::new();
    for output in &out {
        let Output::Send { to, frame } = output else { panic!("{output:?}") };
        if frame.header.kind == Kind::Pong {
            assert_eq!(to, &[asker]);
            told.push(Pong::decode(&frame.payload).expect("a pong").host());
        }
    }
    assert_eq!(told.len(), 10);
    assert_eq!(told[0], addr("10.0.0.1:6346"));
    assert!(!told.contains(&addr("10.0.1.1:6346")), "nobody is told of himself");
}

#[test]
fn pongs_nobody_asked_for_teach_us_nothing() {
    let mut lone = Lone::new();
    let links = lone.accept_many(1);
    let pong = Pong::new(addr("10.7.7.7:6346"), 1, 2).encode();
    assert_eq!(lone.frame(links[0], frame(Kind::Pong, 0x33, 1, 0, pong)), []);
    assert_eq!(lone.peer(links[0]).drops, [(DropReason::NoRoute, 1)].into());
    assert!(lone.servent.hosts().is_empty());
}

#[test]
fn our_ping_brings_hosts_but_none_that_the_teller_could_not_reach_himself() {
    let mut config = Config::new(ME);
    config.neighbours = 0;
    let mut lone = Lone::with(config);
    let links = lone.accept_many(1);
    let out = lone.sleep_until(crate::base::Instant::from_secs(15));
    let [Output::Send { to, frame: ping }] = &out[..] else { panic!("{out:?}") };
    assert_eq!((to, ping.header.kind, ping.header.ttl, ping.header.hops), (&links, Kind::Ping, 1, 0));
    let mut pong = |host: &str| {
        let mut frame = frame(Kind::Pong, 0, 1, 1, Pong::new(addr(host), 1, 2).encode());
        frame.header.guid = ping.header.guid;
        lone.frame(links[0], frame)
    };
    assert_eq!(pong("10.7.7.7:6346"), [Output::Event(Event::HostsLearned(1))]);
    assert_eq!(pong("10.7.7.7:6346"), [], "known already");
    assert_eq!(pong("127.0.0.1:6346"), []);
    assert_eq!(pong("10.0.0.1:6346"), [], "ourselves");
    assert_eq!(pong("8.8.8.8:25"), []);
    let known: Vec<_> = lone.servent.hosts().iter().map(|host| (host.addr, host.source)).collect();
    assert_eq!(known, [(addr("10.7.7.7:6346"), HostSource::Stranger)]);
}

#[test]
fn bye_closes_the_link_and_says_why() {
    let mut lone = Lone::new();
    let links = lone.accept_many(2);
    let bye = crate::wire::bye::Bye::new(503, "Going home").encode();
    let reason = CloseReason::Bye(503, "Going home".to_owned());
    let want = [
        Output::Close { conn: links[0], reason: reason.clone() },
        Output::Event(Event::NeighbourDown(links[0], peer_addr(1), reason)),
    ];
    let batch = [frame(Kind::Bye, 1, 1, 0, bye), query_frame(2, 4, 0)].into_iter().collect();
    assert_eq!(lone.handle(Input::Frames { conn: links[0], batch }), want, "what follows a Bye is not read");
    assert_eq!(lone.handle(Input::Disconnected { conn: links[0], reason: CloseReason::Closed }), []);
    assert_eq!(lone.servent.peers().len(), 1);
}

#[test]
fn shutdown_says_bye_on_every_link_and_nothing_happens_after_it() {
    let mut lone = Lone::new();
    let links = lone.accept_many(2);
    let out = lone.command(Command::Shutdown);
    for (n, chunk) in out.chunks(3).enumerate() {
        let [Output::Send { to, frame }, Output::Close { conn, reason }, Output::Event(down)] = chunk else {
            panic!("{chunk:?}")
        };
        assert_eq!((to, frame.header.kind, frame.header.ttl), (&vec![links[n]], Kind::Bye, 1));
        assert_eq!((*conn, reason), (links[n], &CloseReason::Shutdown));
        assert_eq!(*down, Event::NeighbourDown(links[n], peer_addr(n as u8 + 1), CloseReason::Shutdown));
    }
    assert_eq!(out.len(), 6);
    assert_eq!(lone.servent.next_timeout(), None);
    assert_eq!(lone.frame(links[0], query_frame(1, 4, 0)), []);
    assert_eq!(lone.command(Command::Connect(addr("10.2.2.2:6346"))), []);
}

#[test]
fn messages_we_do_not_route_are_counted_and_dropped() {
    let mut lone = Lone::new();
    let links = lone.accept_many(2);
    for kind in [Kind::Vendor, Kind::VendorStandard, Kind::Other(0x77)] {
        assert_eq!(lone.frame(links[0], frame(kind, 1, 4, 0, Bytes::from_static(&[0; 40]))), [], "{kind:?}");
    }
    assert_eq!(lone.peer(links[0]).drops, [(DropReason::Unknown, 3)].into());
}

#[test]
fn the_mean_distance_of_what_a_peer_sends_is_kept() {
    let mut lone = Lone::new();
    let links = lone.accept_many(1);
    lone.frame(links[0], query_frame(1, 4, 0));
    lone.frame(links[0], query_frame(2, 4, 1));
    lone.frame(links[0], frame(Kind::Ping, 3, 1, 0, Bytes::new()));
    assert_eq!(lone.peer(links[0]).hops_avg_milli, 1500);
}

#[test]
fn a_neighbour_is_let_go_when_too_much_of_its_own_is_malformed() {
    // Each row: what comes again and again (g: a good message, m: a malformed one of its own, f: a malformed one from
    // farther away), and after how many malformed ones the link is cut, if ever.
    let rows = [
        ("m", Some(32)),
        ("gm", Some(35)),
        ("gggggggm", Some(57)),
        ("gggggggggggggggm", Some(497)),
        ("ggggggggggggggggm", None),
        ("g", None),
        ("f", None),
        ("fm", Some(32)),
    ];
    for (pattern, cut_after) in rows {
        let mut config = Config::new(ME);
        config.only_listed = true;
        (config.limits.pushes, config.limits.pings) = (Rate::OFF, Rate::OFF);
        let mut lone = Lone::with(config);
        let conn = lone.accept(1, usize::MAX);
        let short = |hops| frame(Kind::Push, 1, 3, hops, bytes::Bytes::from_static(b"short"));
        let (mut malformed, mut cut) = (0, None);
        for kind in pattern.chars().cycle().take(20_000) {
            malformed += u64::from(kind == 'm');
            let out = lone.frame(
                conn,
                match kind {
                    'm' => short(0),
                    'f' => short(1),
                    _ => frame(Kind::Ping, 1, 1, 0, bytes::Bytes::new()),
                },
            );
            if let Some(Output::Close { reason, .. }) = out.iter().find(|o| matches!(o, Output::Close { .. })) {
                assert_eq!(*reason, CloseReason::Garbage("too many malformed messages".to_owned()));
                let Output::Send { to, frame } = &out[0] else { panic!("no Bye: {out:?}") };
                let bye = crate::wire::bye::Bye::decode(&frame.payload).expect("a Bye");
                assert_eq!((to.as_slice(), bye.code), (&[conn][..], 400));
                cut = Some(malformed);
                break;
            }
        }
        assert_eq!(cut, cut_after, "{pattern}");
        assert_eq!(lone.servent.counters().links_malformed, u64::from(cut.is_some()));
    }
}
