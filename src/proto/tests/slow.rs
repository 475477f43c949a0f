//! Slow neighbours: what waits, what leaves, what is dropped; the fast ones never wait for them.

use bytes::Bytes;

use super::lone::*;
use crate::proto::*;
use crate::wire::{Frame, HEADER_LEN, Kind};

fn sent(out: &[Output]) -> Vec<(Vec<ConnId>, u8)> {
    let guid = |output: &Output| match output {
        Output::Send { to, frame } => Some((to.clone(), frame.header.guid.0[0])),
        _ => None,
    };
    out.iter().filter_map(guid).collect()
}

#[test]
fn those_with_room_get_a_query_at_once_and_the_slow_one_when_it_has_room_again() {
    let mut lone = Lone::new();
    let len = query_frame(1, 1, 0).wire_len();
    let source = lone.accept(1, usize::MAX);
    // The room that is left after our first ping is that of one query.
    let slow = lone.accept(2, HEADER_LEN + len);
    let fast = lone.accept(3, usize::MAX);
    assert_eq!(sent(&lone.frame(source, query_frame(1, 4, 0))), [(vec![slow, fast], 1)]);
    assert_eq!(sent(&lone.frame(source, query_frame(2, 4, 0))), [(vec![fast], 2)]);
    assert_eq!(sent(&lone.frame(source, query_frame(3, 4, 0))), [(vec![fast], 3)]);
    assert_eq!(lone.peer(slow).queued, 2 * len);
    assert_eq!(lone.peer(slow).queries_out, 1);
    let out = lone.handle(Input::Room { conn: slow, bytes: len });
    assert_eq!(out, [send(&[slow], query_frame(2, 3, 1))]);
    assert_eq!(lone.handle(Input::Room { conn: slow, bytes: len - 1 }), []);
    assert_eq!(lone.handle(Input::Room { conn: slow, bytes: 10 * len }), [send(&[slow], query_frame(3, 3, 1))]);
    assert_eq!((lone.peer(slow).queued, lone.peer(slow).queries_out), (0, 3));
    assert_eq!(lone.servent.counters().query_copies, 6);
    assert_eq!(sent(&lone.frame(source, query_frame(4, 4, 0))), [(vec![slow, fast], 4)]);
}

#[test]
fn nothing_overtakes_what_waits() {
    let mut lone = Lone::new();
    let source = lone.accept(1, usize::MAX);
    let len = query_frame(1, 1, 0).wire_len();
    let slow = lone.accept(2, HEADER_LEN + len - 1);
    assert!(len > HEADER_LEN + 14, "a pong is shorter");
    assert_eq!(sent(&lone.frame(source, query_frame(1, 4, 0))), []);
    // There is room for a pong, but an older frame waits.
    let out = lone.frame(slow, frame(Kind::Ping, 9, 1, 0, Bytes::new()));
    assert_eq!(sent(&out), []);
    let out = lone.handle(Input::Room { conn: slow, bytes: 10_000 });
    assert_eq!(sent(&out), [(vec![slow], 9), (vec![slow], 1)], "answers before queries");
}

#[test]
fn a_full_queue_drops_the_oldest_query_and_counts_it_at_the_slow_peer() {
    let mut config = Config::new(ME);
    config.only_listed = true;
    let len = query_frame(1, 1, 0).wire_len();
    // However short they are, three of them fill it.
    config.limits.queue_bytes = 3 * 128;
    let mut lone = Lone::with(config);
    let source = lone.accept(1, usize::MAX);
    let slow = lone.accept(2, 0);
    // Our first ping waits there too.
    for n in 1..=6 {
        lone.frame(source, query_frame(n, 4, 0));
        assert!(lone.peer(slow).queued <= 3 * len);
    }
    assert_eq!(lone.peer(slow).drops, [(DropReason::QueueFull, 4)].into());
    assert_eq!(lone.servent.counters().drops.get(DropReason::QueueFull), 4);
    let out = lone.handle(Input::Room { conn: slow, bytes: 10_000 });
    assert_eq!(sent(&out[1..]), [(vec![slow], 5), (vec![slow], 6)]);
}

#[test]
fn all_who_wait_for_a_query_share_its_payload() {
    let mut lone = Lone::new();
    let source = lone.accept(1, usize::MAX);
    let slow = [2, 3].map(|n| lone.accept(n, 0));
    let query = query_frame(1, 4, 0);
    lone.frame(source, query.clone());
    let waited = slow.map(|conn| {
        let out = lone.handle(Input::Room { conn, bytes: 10_000 });
        let query = out.into_iter().find_map(|output| match output {
            Output::Send { frame, .. } if frame.header.kind == Kind::Query => Some(frame.payload),
            _ => None,
        });
        query.expect("it waited")
    });
    assert_eq!(waited[0], query.payload);
    assert_eq!(waited[0].as_ptr(), waited[1].as_ptr());
    assert_ne!(waited[0].as_ptr(), query.payload.as_ptr(), "and hold nothing else of what was read with it");
}

#[test]
fn a_message_longer_than_the_link_ever_takes_leaves_when_all_is_free() {
    let mut lone = Lone::new();
    let source = lone.accept(1, usize::MAX);
    let slow = lone.accept(2, 100);
    lone.handle(Input::Room { conn: slow, bytes: 100 });
    let long = |guid| {
        let mut payload = vec![b'x'; 500];
        (payload[0], payload[1]) = (0x80, 0);
        payload.push(0);
        Frame { payload: payload.into(), ..query_frame(guid, 4, 0) }
    };
    assert_eq!(sent(&lone.frame(source, long(1))), [(vec![slow], 1)]);
    assert_eq!(sent(&lone.frame(source, long(2))), []);
    assert_eq!(sent(&lone.handle(Input::Room { conn: slow, bytes: 99 })), []);
    assert_eq!(sent(&lone.handle(Input::Room { conn: slow, bytes: 100 })), [(vec![slow], 2)]);
}

#[test]
fn a_link_that_takes_nothing_for_a_minute_is_dead_though_it_talks() {
    let mut lone = Lone::new();
    let source = lone.accept(1, usize::MAX);
    let slow = lone.accept(2, 0);
    let mut closed = None;
    for second in 1..=61 {
        let out = lone.sleep_until(crate::base::Instant::from_secs(second));
        if out.iter().any(|o| matches!(o, Output::Close { conn, reason: CloseReason::Silent } if *conn == slow)) {
            closed = Some(second);
        }
        lone.frame(slow, frame(Kind::Pong, 1, 1, 0, Bytes::new()));
        lone.frame(source, frame(Kind::Pong, 1, 1, 0, Bytes::new()));
    }
    assert_eq!(closed, Some(60));
    assert_eq!(lone.servent.peers().len(), 1);
}

#[test]
fn bye_goes_out_though_there_is_no_room_for_it() {
    let mut lone = Lone::new();
    let source = lone.accept(1, usize::MAX);
    let slow = lone.accept(2, 0);
    lone.frame(source, query_frame(1, 4, 0));
    assert!(lone.peer(slow).queued > 0);
    let out = lone.command(Command::Shutdown);
    let byes = out.iter().filter(|o| matches!(o, Output::Send { frame, .. } if frame.header.kind == Kind::Bye));
    assert_eq!(byes.count(), 2);
    let at = |wanted: &dyn Fn(&Output) -> bool| out.iter().position(wanted).expect("it is there");
    let bye = at(&|o| matches!(o, Output::Send { to, .. } if to[..] == [slow]));
    let close = at(&|o| matches!(o, Output::Close { conn, reason: CloseReason::Shutdown } if *conn == slow));
    assert!(bye < close, "first the word, then the end");
}

#[test]
fn what_waits_does_not_hold_the_memory_of_the_read_that_it_came_in() {
    let mut lone = Lone::new();
    let source = lone.accept(1, usize::MAX);
    let slow = lone.accept(2, 0);
    let frame = query_frame(1, 4, 0);
    let read = frame.payload.clone();
    lone.frame(source, frame);
    let out = lone.handle(Input::Room { conn: slow, bytes: 10_000 });
    let waited = out.iter().find_map(|output| match output {
        Output::Send { frame, .. } if frame.header.kind == Kind::Query => Some(frame.payload.clone()),
        _ => None,
    });
    let waited = waited.expect("the query leaves now");
    assert_eq!(waited, read);
    assert_ne!(waited.as_ptr(), read.as_ptr(), "a copy");
}
