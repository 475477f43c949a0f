//! Keep-alives, dead links, deadlines: the clock is moved by hand.

use bytes::Bytes;

use super::lone::*;
use crate::base::Instant;
use crate::proto::*;
use crate::wire::{Guid, Kind};

/// The pings in an outbox: to whom, TTL.
fn pings(out: &[Output]) -> Vec<(ConnId, u8)> {
    let ping = |output: &Output| match output {
        Output::Send { to, frame } if frame.header.kind == Kind::Ping => Some((to[0], frame.header.ttl)),
        _ => None,
    };
    out.iter().filter_map(ping).collect()
}

#[test]
fn a_silent_link_gets_a_ping_every_fifteen_seconds_and_is_dead_after_sixty() {
    let mut lone = Lone::new();
    let links = lone.accept_many(1);
    assert_eq!(lone.servent.next_timeout(), Some(Instant::from_secs(15)));
    assert_eq!(lone.sleep_until(Instant::from_millis(14_999)), []);
    for second in [15, 30, 45] {
        assert_eq!(pings(&lone.sleep_until(Instant::from_secs(second))), [(links[0], 1)], "at {second} s");
    }
    let out = lone.sleep_until(Instant::from_secs(60));
    assert!(
        matches!(&out[..], [
        Output::Send { frame, .. },
        Output::Close { reason: CloseReason::Silent, .. },
        Output::Event(Event::NeighbourDown(_, _, CloseReason::Silent)),
    ] if frame.header.kind == Kind::Bye),
        "{out:?}"
    );
    assert_eq!(lone.servent.next_timeout(), None, "nothing is left to do");
}

#[test]
fn who_was_asleep_itself_calls_nobody_dead_for_it_and_asks_for_a_sign_of_life_once() {
    const HOUR: u64 = 3600;
    for slept in [70, HOUR, 24 * HOUR, 366 * 24 * HOUR] {
        let mut lone = Lone::new();
        let links = lone.accept_many(3);
        lone.sleep_until(Instant::from_secs(20));
        lone.now = Instant::from_secs(20 + slept);
        let mut out = Outbox::new();
        for turn in 0..100 {
            if lone.servent.next_timeout().is_none_or(|at| at > lone.now) {
                break;
            }
            lone.servent.handle_timeout(lone.now, &mut out);
            assert!(turn < 3, "it would spin after {slept} s");
        }
        let mut asked = pings(&out);
        asked.sort_unstable();
        assert_eq!(asked, links.iter().map(|link| (*link, 1)).collect::<Vec<_>>(), "after {slept} s");
        assert_eq!(out.len(), links.len(), "nothing else, and nobody is dropped after {slept} s: {out:?}");
        // Who says nothing from now on is gone in time.
        lone.frame(links[0], frame(Kind::Pong, 0, 1, 0, Bytes::new()));
        let now = lone.now;
        let out = lone.sleep_until(now + std::time::Duration::from_secs(59));
        let gone = |output: &Output| matches!(output, Output::Close { reason: CloseReason::Silent, .. });
        assert_eq!(out.iter().filter(|output| gone(output)).count(), 2, "after {slept} s: {out:?}");
        assert_eq!(lone.servent.peers().len(), 1);
    }
}

#[test]
fn a_link_that_talks_stays_and_one_that_we_talk_on_needs_no_keep_alive() {
    let mut lone = Lone::new();
    let links = lone.accept_many(2);
    let mut kept = Vec::new();
    for second in 1..=250 {
        kept.extend(pings(&lone.sleep_until(Instant::from_secs(second))).into_iter().map(|(conn, _)| conn));
        lone.frame(links[0], query_frame(second as u8, 2, 0));
        // The pong costs no keep-alive on the second link: queries of the first are sent there anyway.
        lone.frame(links[1], frame(Kind::Pong, 0, 1, 0, Bytes::new()));
    }
    assert_eq!(lone.servent.peers().len(), 2);
    assert!(!kept.contains(&links[1]), "we sent queries there all the time");
    let times = kept.len();
    assert!((16..=20).contains(&times), "{times} times on the link where we say nothing else");
}

#[test]
fn a_peer_that_only_listens_is_asked_for_a_sign_of_life_in_time() {
    let mut lone = Lone::new();
    let links = lone.accept_many(2);
    let mut asked = None;
    for second in 1..=59 {
        let out = lone.sleep_until(Instant::from_secs(second));
        if pings(&out).iter().any(|&(conn, _)| conn == links[1]) {
            asked.get_or_insert(second);
        }
        lone.frame(links[0], query_frame(second as u8, 2, 0));
    }
    assert_eq!(asked, Some(30), "halfway to being dead, though we talked to it all the time");
}

#[test]
fn eight_quiet_neighbours_share_their_wake_ups() {
    let mut lone = Lone::new();
    let mut links = Vec::new();
    for n in 1..=8 {
        lone.sleep_until(Instant::from_millis(u64::from(n) * 1000));
        links.push(lone.accept(n, usize::MAX));
    }
    let mut wakes = 0;
    while let Some(at) = lone.servent.next_timeout().filter(|&at| at <= Instant::from_secs(608)) {
        wakes += 1;
        for (conn, _) in pings(&lone.sleep_until(at)) {
            lone.frame(conn, frame(Kind::Pong, 0, 1, 0, Bytes::new()));
        }
    }
    assert_eq!(lone.servent.peers().len(), 8);
    assert!(wakes <= 43, "{wakes} wake-ups in ten minutes for eight idle neighbours");
}

#[test]
fn who_has_more_links_goes_first_then_who_dialled() {
    // (links, of which the last was dialled; when it speaks after the last came up)
    let table = [(1, false, 15_000), (1, true, 14_925), (2, false, 14_850), (2, true, 14_775), (9, true, 14_325)];
    for (links, dialled, millis) in table.into_iter().chain([(32, false, 14_400), (32, true, 14_325)]) {
        let mut lone = Lone::new();
        lone.accept_many(links - u8::from(dialled));
        if dialled {
            let host = addr("10.2.2.2:6346");
            let out = lone.command(Command::Connect(host));
            let Some(&Output::Dial { conn, .. }) = out.first() else { panic!("{out:?}") };
            lone.handle(Input::Dialled { conn });
            lone.handle(Input::Handshake { conn, from: host, head: status(200, "OK") });
            lone.handle(Input::Connected { conn, room: usize::MAX });
        }
        let want = Instant::from_millis(millis);
        assert_eq!(lone.servent.next_timeout(), Some(want), "{links} links, dialled: {dialled}");
        assert_eq!(pings(&lone.sleep_until(want)).len(), usize::from(links), "all with one wake-up");
    }
}

#[test]
fn a_handshake_that_takes_too_long_is_given_up_in_either_direction() {
    let mut lone = Lone::new();
    let conn = ConnId::accepted(1);
    lone.handle(Input::Handshake { conn, from: peer_addr(1), head: connect(1) });
    let out = lone.command(Command::Connect(addr("10.2.2.2:6346")));
    let Some(&Output::Dial { conn: dialled, .. }) = out.first() else { panic!("{out:?}") };
    lone.sleep_until(Instant::from_secs(4));
    lone.handle(Input::Dialled { conn: dialled });
    let late = |conn| Output::Close { conn, reason: CloseReason::HandshakeTimeout };
    assert_eq!(lone.sleep_until(Instant::from_secs(10)), [late(conn)]);
    let failed = Event::ConnectFailed(addr("10.2.2.2:6346"), CloseReason::HandshakeTimeout);
    assert_eq!(lone.sleep_until(Instant::from_secs(14)), [late(dialled), Output::Event(failed)]);
    assert_eq!(lone.servent.counters().handshakes_timed_out, 2);
    // Whatever the driver still says of these connections is too late.
    assert_eq!(lone.handle(Input::Handshake { conn, from: peer_addr(1), head: status(200, "OK") }), []);
    assert_eq!(lone.handle(Input::Connected { conn, room: 100 }), []);
    assert_eq!(lone.handle(Input::Disconnected { conn: dialled, reason: CloseReason::Closed }), []);
}

#[test]
fn a_listed_host_is_dialled_again_after_one_two_four_seconds_and_at_least_once_a_minute() {
    let mut lone = Lone::new();
    let host = addr("10.2.2.2:6346");
    let mut out = lone.command(Command::Connect(host));
    let mut waits = Vec::new();
    for _ in 0..9 {
        let Some(&Output::Dial { conn, addr, purpose: Purpose::Listed }) = out.first() else { panic!("{out:?}") };
        assert_eq!(addr, host);
        let reason = DialFailure::Refused;
        let out_now = lone.handle(Input::DialFailed { conn, reason });
        assert_eq!(out_now, [Output::Event(Event::ConnectFailed(host, CloseReason::Dial(reason)))]);
        let (before, next) = (lone.now, lone.servent.next_timeout().expect("it will try again"));
        out = lone.sleep_until(next);
        waits.push((next - before).as_secs());
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
}

#[test]
fn a_listed_host_that_refuses_is_not_bothered_and_one_whose_links_end_at_once_ever_less() {
    use crate::wire::handshake::Head;
    use crate::wire::head::Headers;
    // One that takes us and closes at once refuses us as well, but a neighbour on the desk may just be restarted.
    let (public, near) = (addr("8.8.8.8:6346"), addr("10.2.2.2:6346"));
    // (where it is; code of its answer; seconds between dials)
    let rows = [
        (near, 503, [40, 80, 160, 320, 600, 600]),
        (near, 200, [1, 2, 4, 8, 16, 32]),
        (public, 503, [40, 80, 160, 320, 600, 600]),
        (public, 200, [1, 80, 160, 320, 600, 600]),
    ];
    for (host, code, want) in rows {
        let mut lone = Lone::new();
        let mut out = lone.command(Command::Connect(host));
        let mut waits = Vec::new();
        for _ in 0..want.len() {
            let Some(&Output::Dial { conn, .. }) = out.first() else { panic!("{out:?}") };
            lone.handle(Input::Dialled { conn });
            let head = Head::Status { code, reason: String::new(), headers: Headers::default() };
            lone.handle(Input::Handshake { conn, from: host, head });
            if code == 200 {
                lone.handle(Input::Connected { conn, room: usize::MAX });
                assert_eq!(lone.servent.peers().len(), 1);
                lone.handle(Input::Disconnected { conn, reason: CloseReason::Closed });
            }
            let (before, next) = (lone.now, lone.servent.next_timeout().expect("it will try again"));
            out = lone.sleep_until(next);
            waits.push((next - before).as_secs());
        }
        assert_eq!(waits, want, "{host} answered with {code}");
    }
}

#[test]
fn a_listed_host_that_was_down_meanwhile_is_dialled_soon_when_its_second_link_ends() {
    let host = addr("8.8.8.8:6346");
    let mut lone = Lone::new();
    let mut out = lone.command(Command::Connect(host));
    for _ in 0..2 {
        let Some(&Output::Dial { conn, .. }) = out.first() else { panic!("{out:?}") };
        lone.handle(Input::DialFailed { conn, reason: DialFailure::Refused });
        let next = lone.servent.next_timeout().expect("it will try again");
        out = lone.sleep_until(next);
        let Some(&Output::Dial { conn, .. }) = out.first() else { panic!("{out:?}") };
        lone.handle(Input::Dialled { conn });
        lone.handle(Input::Handshake { conn, from: host, head: status(200, "OK") });
        lone.handle(Input::Connected { conn, room: usize::MAX });
        lone.handle(Input::Disconnected { conn, reason: CloseReason::Closed });
        let next = lone.servent.next_timeout().expect("it will try again");
        let wait = (next - lone.now).as_secs();
        assert!(wait <= 8, "{wait} s");
        out = lone.sleep_until(next);
    }
}

#[test]
fn a_servent_without_links_and_hosts_never_wakes() {
    let mut lone = Lone::with(Config { lan: false, ..Config::new(Guid([1; 16])) });
    assert_eq!(lone.servent.next_timeout(), None);
    assert_eq!(lone.sleep_until(Instant::from_secs(100_000)), []);
}
