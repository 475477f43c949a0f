//! What a person is told of a download: each state, each cause, in words; with the next try where there is one.

use super::*;

/// How a download comes into a state; it begins with one source, which is asked.
type Story = fn(&mut Bench);

fn says(bench: &mut Bench, code: u16, headers: &[(&str, &str)]) {
    bench.feed(Input::Head { source: S0, head: head(code, headers) });
}

fn lost(bench: &mut Bench, how: Lost) {
    bench.feed(Input::Lost { source: S0, how });
}

fn sends(bench: &mut Bench) {
    bench.feed(Input::Head { source: S0, head: partial(0, 2 * MIB, 2 * MIB) });
}

fn all_there(bench: &mut Bench) {
    sends(bench);
    bench.wrote(0, 0..2 * MIB);
}

const TABLE: &[(Story, State, &str)] = &[
    (|_| {}, State::Connecting, "asking 127.0.0.1:1"),
    (
        |b| drop(b.feed(Input::Pushing { source: S0 })),
        State::Connecting,
        "waiting for a connection back from 127.0.0.1:1, which cannot be connected to",
    ),
    (sends, State::Downloading, "from 127.0.0.1:1"),
    (all_there, State::Verifying, "checking that it is urn:sha1:AEAQCAIBAEAQCAIBAEAQCAIBAEAQCAIB"),
    (
        |b| {
            all_there(b);
            b.feed(Input::Verified(RIGHT));
        },
        State::Verifying,
        "moving it into place",
    ),
    (
        |b| {
            all_there(b);
            b.feed(Input::Verified(RIGHT));
            b.feed(Input::Finished);
        },
        State::Done,
        "checked by sha1",
    ),
    (|b| drop(b.feed(Input::Pause)), State::Paused, "paused by you"),
    (|b| drop(b.feed(Input::Cancel)), State::Cancelled, "cancelled by you"),
    (
        |b| {
            b.feed(Input::Pause);
            b.feed(Input::Resume);
        },
        State::Queued,
        "waiting for its turn",
    ),
    (
        |b| drop(b.feed(Input::Gone("its partial file was removed".into()))),
        State::Queued,
        "checking what is on disk already (its partial file was removed)",
    ),
    (
        |b| drop(b.feed(Input::DiskFailed("cannot write /d/x.part: the disk is full".into()))),
        State::Failed,
        "cannot write /d/x.part: the disk is full",
    ),
    // A busy source, and what it says of our place.
    (
        |b| says(b, 503, &[("Retry-After", "40"), ("X-Queue", "position=3, length=12")]),
        State::Waiting,
        "queued 3 of 12 at 127.0.0.1:1, next try 0:4*",
    ),
    (
        |b| says(b, 503, &[("Retry-After", "40"), ("X-Queue", "position=3")]),
        State::Waiting,
        "queued 3 at 127.0.0.1:1, next try 0:4*",
    ),
    (
        |b| says(b, 503, &[("Retry-After", "40")]),
        State::Waiting,
        "source 127.0.0.1:1 is busy (503 Said So), next try 0:4*",
    ),
    // It is not there, or not now.
    (|b| lost(b, Lost::Refused), State::Waiting, "source 127.0.0.1:1 refused the connection, next try 0:0*"),
    (|b| lost(b, Lost::NoAnswer), State::Waiting, "source 127.0.0.1:1 did not answer, next try 0:0*"),
    (
        |b| lost(b, Lost::Unreachable("no route".into())),
        State::Waiting,
        "source 127.0.0.1:1 cannot be reached (no route), next try 0:0*",
    ),
    (|b| lost(b, Lost::Closed), State::Waiting, "source 127.0.0.1:1 closed the connection, next try 0:0*"),
    (
        |b| lost(b, Lost::Silent(Duration::from_secs(30))),
        State::Waiting,
        "source 127.0.0.1:1 sent nothing for 30 s, next try 0:0*",
    ),
    (
        |b| lost(b, Lost::Slow(Duration::from_secs(60))),
        State::Waiting,
        "source 127.0.0.1:1 sent almost nothing for 60 s, next try 0:0*",
    ),
    (
        |b| lost(b, Lost::Garbage("no status".into())),
        State::Waiting,
        "source 127.0.0.1:1 sent what is no HTTP (no status), next try 0:0*",
    ),
    (
        |b| lost(b, Lost::Meagre(5)),
        State::Waiting,
        "source 127.0.0.1:1 sent only 5 of the bytes asked for, next try 0:0*",
    ),
    (
        |b| lost(b, Lost::NotCalled),
        State::Waiting,
        "source 127.0.0.1:1 cannot be connected to, and did not connect to us when asked to, next try 0:0*",
    ),
    (
        |b| lost(b, Lost::NoWay),
        State::Waiting,
        "source 127.0.0.1:1 cannot be connected to, and no way is known to ask it to connect to us, next try 0:0*",
    ),
    (
        |b| says(b, 404, &[]),
        State::Waiting,
        "source 127.0.0.1:1 does not have the file (404 Said So); asking the network again in 0:0*",
    ),
    (
        |b| says(b, 416, &[]),
        State::Waiting,
        "source 127.0.0.1:1 does not have that part of the file (416 Said So), next try 0:*",
    ),
    (
        |b| says(b, 403, &[]),
        State::Waiting,
        "source 127.0.0.1:1 refuses to give the file (403 Said So); asking the network again in 0:0*",
    ),
    // It lied.
    (
        |b| {
            all_there(b);
            b.feed(Input::Verified(WRONG));
        },
        State::Failed,
        "127.0.0.1:1 sent bytes that do not match urn:sha1:AEAQCAIBAEAQCAIBAEAQCAIBAEAQCAIB*",
    ),
];

/// Whether a reason is what a pattern says; behind a `*` anything may follow.
fn is(reason: &str, pattern: &str) -> bool {
    pattern.strip_suffix('*').map_or(reason == pattern, |begin| reason.starts_with(begin))
}

#[test]
fn every_state_and_every_cause_is_told_in_words() {
    for (story, state, words) in TABLE {
        let mut bench = Bench::asking(2 * MIB);
        story(&mut bench);
        let reason = bench.reason();
        assert_eq!(bench.machine.state(), *state, "{words}: {reason}");
        assert!(is(&reason, words), "{words}: {reason}");
        // Who waits says until when: by itself, or by the time that is told beside it.
        let waits = *state == State::Waiting;
        assert_eq!(waits, reason.contains("next try ") || reason.contains("again in "), "{reason}");
        assert_eq!(waits, bench.machine.next_try().is_some(), "{reason}");
    }
    let told: std::collections::BTreeSet<_> = TABLE.iter().map(|(_, state, _)| state.word()).collect();
    let all = ["cancelled", "connecting", "done", "downloading", "failed", "paused", "queued", "verifying", "waiting"];
    assert_eq!(told.into_iter().collect::<Vec<_>>(), all, "there is a row for each state");
}

#[test]
fn before_it_has_a_source_and_without_a_hash_it_says_so_too() {
    let mut bench = Bench::new(one(), Some(MIB));
    bench.wake();
    assert_eq!(bench.reason(), "checking what is on disk already");
    bench.feed(Input::Opened { stored: vec![] });
    assert!(
        is(&bench.reason(), "waiting for source: none known; asking the network again in 0:0*"),
        "{}",
        bench.reason()
    );
    bench.feed(Input::AddSource(source(1)));
    assert_eq!(bench.reason(), "waiting for its turn");
    let config = DownloadConfig { active_sources: 1, ..DownloadConfig::default() };
    let machine = Download::new(config, Expected::default(), Some(MIB), Rng::from_number(1));
    let mut bench = Bench { machine, now: Instant::from_secs(100) };
    bench.feed(Input::AddSource(source(1)));
    bench.feed(Input::Opened { stored: vec![] });
    bench.feed(Input::Turn);
    bench.feed(Input::Head { source: S0, head: partial(0, MIB, MIB) });
    bench.wrote(0, 0..MIB);
    assert_eq!(bench.reason(), "checking its size");
    bench.feed(Input::Verified(Expected::default()));
    bench.feed(Input::Finished);
    assert_eq!(bench.reason(), "only its size could be checked");
}
