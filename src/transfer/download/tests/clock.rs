//! A process that is suspended, a computer that sleeps: the clock is far ahead all at once.

use super::super::sources::Known;
use super::*;

const DAY: u64 = 24 * 3600;

/// Gives the machine its time as a driver does; how often, and what it wants then.
fn wake_up(bench: &mut Bench) -> Vec<Output> {
    let mut out = Vec::new();
    for turn in 0..10 {
        if bench.machine.next_timeout().is_none_or(|at| at > bench.now) {
            return out;
        }
        assert!(turn < 3, "it would spin: {out:?}");
        out.extend(bench.wake());
    }
    out
}

/// A story before the sleep.
type Before = fn() -> Bench;

const STORIES: &[(&str, Before)] = &[
    ("nobody is known", || {
        let mut bench = Bench::new(one(), Some(4 * MIB));
        bench.wake();
        bench.feed(Input::Opened { stored: vec![] });
        bench
    }),
    ("it waits for its turn", || {
        let mut bench = Bench::new(one(), Some(4 * MIB));
        bench.feed(Input::AddSource(source(1)));
        bench.feed(Input::Opened { stored: vec![] });
        bench
    }),
    ("it asks", || Bench::asking(4 * MIB)),
    ("bytes come", || {
        let mut bench = Bench::asking(4 * MIB);
        bench.feed(Input::Head { source: S0, head: partial(0, 4 * MIB, 4 * MIB) });
        bench.now += Duration::from_secs(1);
        bench.wrote(0, 0..MIB);
        bench
    }),
    ("bytes come of two, and a third may be asked", || {
        let mut bench = several(40 * MIB);
        bench.feed(Input::Head { source: S0, head: partial(0, 40 * MIB, 40 * MIB) });
        bench.now += Duration::from_secs(1);
        bench.wrote(0, 0..MIB);
        bench.feed(Input::AddSource(source(2)));
        bench.feed(Input::AddSource(source(3)));
        bench
    }),
    ("a source is busy", || {
        let mut bench = Bench::asking(4 * MIB);
        bench.feed(Input::Head { source: S0, head: head(503, &[("Retry-After", "600")]) });
        bench
    }),
    ("a source does not answer", || {
        let mut bench = Bench::asking(4 * MIB);
        bench.feed(Input::Lost { source: S0, how: Lost::NoAnswer });
        bench
    }),
    ("it is checked", || {
        let mut bench = Bench::asking(MIB);
        bench.feed(Input::Head { source: S0, head: partial(0, MIB, MIB) });
        bench.wrote(0, 0..MIB);
        bench
    }),
    ("it is paused", || {
        let mut bench = Bench::asking(MIB);
        bench.feed(Input::Pause);
        bench
    }),
];

#[test]
fn after_a_sleep_it_does_what_is_due_once_and_goes_on() {
    for (what, before) in STORIES {
        for slept in [0, 30, 700, DAY, 366 * DAY] {
            let mut bench = before();
            let (done, paused) = (bench.machine.done(), bench.machine.state() == State::Paused);
            let verifying = bench.machine.state() == State::Verifying;
            bench.now += Duration::from_secs(slept);
            let out = wake_up(&mut bench);
            let count = |is: fn(&Output) -> bool| out.iter().filter(|output| is(output)).count();
            let label = format!("{what}, after {slept} s: {out:?}");
            assert!(count(|output| matches!(output, Output::Requery)) <= 1, "{label}");
            assert!(count(|output| matches!(output, Output::Fetch { .. })) <= 4, "{label}");
            assert!(count(|output| matches!(output, Output::WantTurn)) <= 1, "{label}");
            assert!(out.iter().all(|output| !matches!(output, Output::Discard | Output::Finish)), "{label}");
            assert!(bench.machine.done() >= done, "nothing that was there is lost: {label}");
            assert!(!bench.reason().is_empty() && !bench.machine.state().is_over(), "{label}");
            assert!(
                bench.machine.next_timeout().is_none_or(|at| at <= bench.now + Duration::from_secs(7000)),
                "{label}"
            );
            if paused || verifying {
                assert_eq!(out, [], "{label}");
                continue;
            }
            // With a source it comes to its end.
            bench.feed(Input::AddSource(source(9)));
            bench.feed(Input::Turn);
            assert!(finishes(&mut bench), "{label}: {}", bench.reason());
        }
    }
}

/// Whoever is asked gives what it is asked for.
fn finishes(bench: &mut Bench) -> bool {
    let size = bench.machine.map().size();
    for _ in 0..200 {
        if bench.machine.state() == State::Verifying {
            return true;
        }
        let asked: Vec<(SourceId, Range<u64>, bool)> = bench
            .machine
            .sources
            .iter()
            .filter_map(|known| {
                Some((known.id, known.left(), matches!(known.contact, Contact::Asked(_)))).filter(|_| known.is_active())
            })
            .collect();
        if asked.is_empty() {
            if bench.machine.next_timeout().is_none() {
                bench.feed(Input::Turn);
            } else {
                bench.sleep();
            }
            continue;
        }
        bench.now += Duration::from_millis(100);
        for (id, range, fresh) in asked {
            let range = range.start..range.end.min(size);
            if fresh {
                bench.feed(Input::Head { source: id, head: partial(range.start, range.end, size) });
            }
            let left = bench.machine.sources.get(id).map(Known::left).unwrap_or_default();
            let range = range.start..range.end.min(left.end);
            if !range.is_empty() {
                bench.wrote(id.0, range);
            }
            bench.feed(Input::BodyEnd { source: id });
        }
    }
    false
}
