//! Datagrams: pings, pongs and pushes by UDP, announcements, and what nobody can make us send.

use std::net::SocketAddr;

use bytes::Bytes;

use super::lone::*;
use crate::base::Instant;
use crate::proto::*;
use crate::wire::ping::Ping;
use crate::wire::pong::Pong;
use crate::wire::push::Push;
use crate::wire::{Frame, Guid, Kind};

fn datagram(from: SocketAddr, frame: Frame) -> Input {
    Input::Datagram { from, frame }
}

fn asking() -> Bytes {
    let mut ping = Ping::default();
    ping.ggep.push("SCP", &[1]);
    ping.encode()
}

/// A servent that looks for neighbours and listens where others can hear of it.
fn seeker() -> (Servent, Outbox) {
    let mut servent = Servent::new(Config::new(ME), crate::base::Rng::from_number(1), Instant::ZERO);
    let mut out = Vec::new();
    servent.handle(Instant::ZERO, Input::Command(Command::Listening(addr("10.0.0.1:6346"))), &mut out);
    (servent, out)
}

fn announcements(out: &Outbox) -> Vec<Frame> {
    let said = out.iter().filter_map(|output| match output {
        Output::Announce(frame) => Some(frame.clone()),
        _ => None,
    });
    said.collect()
}

#[test]
fn a_ping_by_udp_gets_one_pong_and_not_too_many_do() {
    let mut lone = Lone::new();
    let ping = |n: u8| datagram(SocketAddr::from(([8, 8, n, 8], 6346)), frame(Kind::Ping, 1, 1, 0, Bytes::new()));
    let pong = frame(Kind::Pong, 1, 1, 0, full_pong(0, 0, (255, 32)));
    assert_eq!(lone.handle(ping(0)), [Output::SendTo { addr: addr("8.8.0.8:6346"), frame: pong }]);
    let answered = (0..200).filter(|&n| !lone.handle(ping(n)).is_empty()).count();
    assert_eq!(answered, 49);
    assert_eq!(lone.handle(datagram(addr("8.8.8.8:6346"), query_frame(1, 1, 0))), []);
}

#[test]
fn a_ping_too_many_costs_no_work_before_it_is_dropped() {
    // Work would draw hosts at random; whoever draws none says the same afterwards.
    let next_guid_after = |pings: u32| {
        let mut lone = Lone::new();
        for n in 1..=5 {
            let headers = crate::wire::head::Headers::default().with("Listen-IP", format!("10.0.1.{n}:6346"));
            let (conn, from) = (ConnId::accepted(n), peer_addr(n as u8));
            let head = crate::wire::handshake::Head::Connect { version: (0, 6), headers };
            lone.handle(Input::Handshake { conn, from, head });
            lone.handle(Input::Handshake { conn, from, head: status(200, "OK") });
            lone.handle(Input::Connected { conn, room: usize::MAX });
        }
        for _ in 0..pings {
            lone.handle(datagram(addr("10.9.9.9:6346"), frame(Kind::Ping, 1, 1, 0, asking())));
        }
        let out = lone.command(Command::flood(SearchId(1), "blue", &[]));
        let guid = out.iter().find_map(|output| match output {
            Output::Send { frame, .. } => Some(frame.header.guid),
            _ => None,
        });
        guid.expect("a query")
    };
    assert_ne!(next_guid_after(9), next_guid_after(10), "an answer draws hosts");
    assert_eq!(next_guid_after(10), next_guid_after(100));
}

#[test]
fn nobody_makes_us_send_more_than_three_times_what_came() {
    let mut lone = Lone::new();
    // Many hosts to tell, so that a pong could be long.
    for n in 1..=20 {
        let headers = crate::wire::head::Headers::default().with("Listen-IP", format!("10.0.1.{n}:6346"));
        let (conn, from) = (ConnId::accepted(n), peer_addr(n as u8));
        let head = crate::wire::handshake::Head::Connect { version: (0, 6), headers };
        lone.handle(Input::Handshake { conn, from, head });
        lone.handle(Input::Handshake { conn, from, head: status(200, "OK") });
        lone.handle(Input::Connected { conn, room: usize::MAX });
    }
    let victim = addr("10.9.9.9:53");
    let (mut came, mut went, mut hosts) = (0, 0, 0);
    for second in 0..2000u64 {
        lone.now = Instant::from_millis(second * 100);
        let payload = if second % 2 == 0 { asking() } else { Bytes::new() };
        let ping = frame(Kind::Ping, (second % 250) as u8, 1, 0, payload);
        came += ping.wire_len();
        for output in lone.handle(datagram(victim, ping)) {
            let Output::SendTo { addr, frame } = output else { continue };
            assert_eq!(addr, victim);
            went += frame.wire_len();
            assert!(went <= 3 * came, "{went} for {came}");
            let ipp = Pong::decode(&frame.payload).expect("a pong").ggep.get("IPP");
            hosts = hosts.max(ipp.map_or(0, |ipp| ipp.expect("plain").len() / 6));
        }
    }
    assert!(hosts > 0, "who asks for hosts is told some");
    let counters = lone.servent.counters();
    assert_eq!((counters.udp_received.bytes, counters.udp_sent.bytes), (came as u64, went as u64));
}

#[test]
fn while_neighbours_are_missing_we_announce_ourselves_ever_more_rarely() {
    let (mut servent, first) = seeker();
    assert_eq!(announcements(&first).len(), 1, "at once");
    let mut times = Vec::new();
    while let Some(at) = servent.next_timeout().filter(|&at| at < Instant::from_secs(3600)) {
        let mut out = Vec::new();
        servent.handle_timeout(at, &mut out);
        times.extend(announcements(&out).iter().map(|_| at.as_micros() / 1_000_000));
    }
    assert!((15..=25).contains(&times.len()), "{times:?}");
    assert!(times[0] <= 1 && times[1] <= 4, "{times:?}");
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] <= 375), "{times:?}");
}

#[test]
fn who_hears_only_itself_or_does_not_want_to_says_nothing() {
    for (listen, change) in [
        ("127.0.0.1:6346", (|_| ()) as fn(&mut Config)),
        ("[::1]:6346", |_| ()),
        ("10.0.0.1:6346", |config| config.lan = false),
        ("10.0.0.1:6346", |config| config.only_listed = true),
    ] {
        let mut config = Config::new(ME);
        change(&mut config);
        let mut servent = Servent::new(config, crate::base::Rng::from_number(1), Instant::ZERO);
        let mut out = Vec::new();
        servent.handle(Instant::ZERO, Input::Command(Command::Listening(addr(listen))), &mut out);
        assert_eq!(announcements(&out), [], "{listen}");
        assert_eq!(servent.next_timeout(), None, "{listen}");
    }
}

#[test]
fn who_answers_an_announcement_is_dialled() {
    let (mut servent, out) = seeker();
    let [announced] = &announcements(&out)[..] else { panic!("{out:?}") };
    let pong = |at: &str, guid: Guid| Frame::new(guid, Kind::Pong, 1, Pong::new(addr(at), 1, 1).encode());
    let rows = [
        ("it says where it is", "10.0.0.2:6346", "10.0.0.2:6346", true, Some("10.0.0.2:6346")),
        ("it listens elsewhere than it sends from", "10.0.0.3:500", "10.0.0.3:6347", true, Some("10.0.0.3:6347")),
        ("it does not know its address", "10.0.0.4:6346", "0.0.0.0:6346", true, Some("10.0.0.4:6346")),
        ("it names another", "10.0.0.5:6346", "10.0.0.6:6346", true, None),
        ("it is not on this network", "8.8.8.8:6346", "8.8.8.8:6346", true, None),
        ("nobody asked it", "10.0.0.7:6346", "10.0.0.7:6346", false, None),
    ];
    for (why, from, says, answers, dialled) in rows {
        let guid = if answers { announced.header.guid } else { Guid([1; 16]) };
        let mut out = Vec::new();
        servent.handle(Instant::ZERO, datagram(addr(from), pong(says, guid)), &mut out);
        let dials: Vec<_> = out
            .iter()
            .filter_map(|output| match output {
                Output::Dial { addr, .. } => Some(*addr),
                _ => None,
            })
            .collect();
        assert_eq!(dials, dialled.map(addr).into_iter().collect::<Vec<_>>(), "{why}");
    }
    // Our own announcement comes back to us: it is no ping to answer.
    let mut out = Vec::new();
    servent.handle(Instant::ZERO, datagram(addr("10.0.0.1:6346"), announced.clone()), &mut out);
    assert_eq!(out, []);
}

#[test]
fn a_host_cache_that_was_asked_names_hosts_and_no_other_does() {
    let mut lone = Lone::new();
    let caches = vec![addr("9.9.9.9:6346"), addr("0.0.0.0:1"), addr("10.0.0.1:6346")];
    let out = lone.command(Command::AskCaches(caches));
    let [Output::SendTo { addr: to, frame }] = &out[..] else { panic!("{out:?}") };
    assert_eq!(*to, addr("9.9.9.9:6346"));
    let mut pong = Pong::new(addr("9.9.9.9:6346"), 0, 0);
    pong.ggep.push("IPP", &[7, 7, 7, 7, 0xca, 0x18, 10, 0, 0, 9, 0xca, 0x18, 6, 6, 6, 6, 25, 0, 1, 2]);
    let answer = |guid| Frame::new(guid, Kind::Pong, 1, pong.encode());
    lone.handle(datagram(*to, answer(Guid([3; 16]))));
    assert_eq!(lone.servent.hosts().len(), 0, "nobody asked");
    lone.handle(datagram(*to, answer(frame.header.guid)));
    let hosts: Vec<_> = lone.servent.hosts().iter().map(|host| (host.addr, host.source)).collect();
    assert_eq!(hosts, [(addr("7.7.7.7:6346"), HostSource::Stranger)], "no private address, no mail server");
    lone.now = Instant::from_secs(100);
    pong.ggep = Default::default();
    pong.ggep.push("IPP", &[7, 7, 7, 8, 0xca, 0x18]);
    lone.handle(datagram(*to, Frame::new(frame.header.guid, Kind::Pong, 1, pong.encode())));
    assert_eq!(lone.servent.hosts().len(), 1, "too late");
}

#[test]
fn a_push_by_udp_is_a_push_within_what_strangers_may_make_us_dial() {
    let mut lone = Lone::new();
    let push = |servent, to: &str| frame(Kind::Push, 1, 1, 0, Push::new(servent, 7, addr(to)).encode());
    let from = addr("8.8.8.8:6346");
    let out = lone.handle(datagram(from, push(ME, "8.8.8.8:6346")));
    assert_eq!(out, [Output::Event(Event::PushRequested { addr: from, index: 7, word: Word::Stranger })]);
    assert_eq!(lone.handle(datagram(from, push(Guid([9; 16]), "8.8.8.8:6346"))), [], "for another");
    assert_eq!(lone.handle(datagram(from, push(ME, "10.0.0.3:6346"))), [], "nobody out there names our neighbours");
    let asked = (0..1000u32).filter(|n| {
        let victim = format!("{}.{}.1.1:6346", 20 + n / 200, n % 200);
        let from = SocketAddr::from(([8, 8, (n / 200) as u8, (n % 200) as u8], 6346));
        !lone.handle(datagram(from, push(ME, &victim))).is_empty()
    });
    assert_eq!(
        asked.count(),
        2,
        "three a minute, one is spent: links, hosts and pushes by them keep most of the ten dials"
    );
}

#[test]
fn who_hears_an_announcement_answers_after_a_random_moment_to_the_sender_alone() {
    let lone = |lan| {
        let mut config = Config::new(ME);
        (config.only_listed, config.lan) = (true, lan);
        Lone::with(config)
    };
    let heard = |from: &str, guid| Input::Announced {
        from: addr(from),
        at: addr("10.0.0.1:1").ip(),
        frame: frame(Kind::Ping, guid, 1, 0, Bytes::new()),
    };
    let pongs = |out: &Outbox| {
        let pong = |output: &Output| match output {
            Output::SendTo { addr, frame } => Some((*addr, Pong::decode(&frame.payload).expect("a pong").host())),
            _ => None,
        };
        out.iter().filter_map(pong).collect::<Vec<_>>()
    };
    let mut servent = lone(true);
    assert_eq!(servent.handle(heard("10.0.0.2:6346", 1)), []);
    let due = servent.servent.next_timeout().expect("an answer waits");
    assert!(due <= servent.now + std::time::Duration::from_millis(250));
    assert_eq!(pongs(&servent.sleep_until(due)), [(addr("10.0.0.2:6346"), addr("10.0.0.1:6346"))]);
    assert_eq!(servent.servent.next_timeout(), None);
    for n in 0..200 {
        servent.handle(heard(&format!("10.0.1.{n}:6346"), n));
    }
    let then = servent.now + std::time::Duration::from_secs(1);
    assert!(pongs(&servent.sleep_until(then)).len() <= 50, "a storm is answered with a bounded one");
    let mut deaf = lone(false);
    deaf.handle(heard("10.0.0.2:6346", 1));
    assert_eq!(deaf.servent.next_timeout(), None);
}

#[test]
fn an_address_that_asks_too_often_waits_while_others_are_answered() {
    let mut lone = Lone::new();
    let ping = |n: u8| datagram(SocketAddr::from(([8, 8, n, 8], 6346)), frame(Kind::Ping, 1, 1, 0, Bytes::new()));
    let answered = |lone: &mut Lone, n| (0..100).filter(|_| !lone.handle(ping(n)).is_empty()).count();
    assert_eq!((answered(&mut lone, 1), answered(&mut lone, 2)), (10, 10));
    lone.now = Instant::from_secs(1);
    assert_eq!(answered(&mut lone, 1), 2);
}

#[test]
fn datagrams_that_make_no_sense_are_dropped_with_their_reason() {
    let mut lone = Lone::new();
    let good = addr("8.8.8.8:6346");
    let rows = [
        (good, frame(Kind::Ping, 1, 0, 0, Bytes::new()), DropReason::BadHops),
        (good, frame(Kind::Ping, 1, 200, 100, Bytes::new()), DropReason::BadHops),
        (addr("8.8.8.8:0"), frame(Kind::Ping, 1, 1, 0, Bytes::new()), DropReason::Malformed),
        (addr("224.0.0.1:6346"), frame(Kind::Ping, 1, 1, 0, Bytes::new()), DropReason::Malformed),
        (good, frame(Kind::Push, 1, 1, 0, Bytes::new()), DropReason::Malformed),
    ];
    for (from, frame, reason) in rows {
        assert_eq!(lone.handle(datagram(from, frame.clone())), [], "{from} {frame:?}");
        assert!(lone.servent.counters().drops.get(reason) > 0, "{from} {frame:?}");
    }
}
