mod blake3;
mod clock;
mod swarm;
mod words;

use std::ops::Range;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::base::Rng;
use crate::transfer::Ask;
use crate::wire::head::Headers;
use crate::wire::{AnyRow, Blake3, Sha1, TigerTree};

const MIB: u64 = 1 << 20;
const HASH: Blake3 = Blake3([7; 32]);
const RIGHT: Expected = Expected { sha1: Some(Sha1([1; 20])), tth: None, blake3: None };
const WRONG: Expected = Expected { sha1: Some(Sha1([2; 20])), tth: None, blake3: None };

fn source(port: u16) -> Source {
    let addr = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    Source::new(addr, Ask::Urn(crate::wire::Urn::Sha1(Sha1([1; 20]))))
}

fn head(code: u16, headers: &[(&str, &str)]) -> Response {
    let headers = Headers(headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect());
    Response { code, reason: "Said So".into(), version: (1, 1), headers }
}

fn partial(first: u64, end: u64, total: u64) -> Response {
    head(206, &[("Content-Range", &format!("bytes {first}-{}/{total}", end - 1))])
}

/// One source at a time, and in order: what most of these tests are about.
fn one() -> DownloadConfig {
    DownloadConfig { active_sources: 1, swarm: 100, ..DownloadConfig::default() }
}

/// A machine and its clock.
struct Bench {
    machine: Download,
    now: Instant,
}

impl Bench {
    fn new(config: DownloadConfig, size: Option<u64>) -> Self {
        Self { machine: Download::new(config, RIGHT, size, Rng::from_number(1)), now: Instant::from_secs(100) }
    }

    fn feed(&mut self, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        self.machine.handle(self.now, input, &mut out);
        out
    }

    fn wake(&mut self) -> Vec<Output> {
        let mut out = Vec::new();
        self.machine.handle_timeout(self.now, &mut out);
        out
    }

    /// Moves the clock to the machine's next deadline.
    fn sleep(&mut self) -> Vec<Output> {
        self.now = self.machine.next_timeout().expect("a deadline");
        self.wake()
    }

    fn reason(&self) -> String {
        self.machine.reason(self.now)
    }

    /// One source, the partial file open, its turn come: it has been asked for everything.
    fn asking(size: u64) -> Self {
        let mut bench = Self::new(one(), Some(size));
        assert_eq!(bench.feed(Input::AddSource(source(1))), [Output::Open { size }]);
        assert_eq!(bench.feed(Input::Opened { stored: vec![] }), [Output::WantTurn]);
        assert_eq!(bench.feed(Input::Turn), [fetch(0, 1, 0, size)]);
        bench
    }

    fn wrote(&mut self, id: u32, range: Range<u64>) -> Vec<Output> {
        let map = self.machine.map();
        let whole = (0..map.len()).filter(|index| range.contains(&(map.range(*index).end - 1)));
        let stored = whole.map(|index| (index, HASH)).collect();
        self.feed(Input::Wrote { source: SourceId(id), range, stored })
    }
}

fn fetch(id: u32, port: u16, first: u64, end: u64) -> Output {
    Output::Fetch { source: SourceId(id), from: source(port), first, end: Some(end), ticket: None }
}

const S0: SourceId = SourceId(0);

#[test]
fn a_small_file_is_opened_when_it_has_its_turn_and_one_whom_nobody_has_at_once() {
    let small = || Bench::new(DownloadConfig { opened_in_turn: MIB, ..one() }, Some(MIB));
    let mut bench = small();
    assert_eq!(bench.feed(Input::AddSource(source(1))), [Output::WantTurn]);
    assert_eq!(bench.feed(Input::Turn), [Output::Open { size: MIB }]);
    assert_eq!(bench.feed(Input::Opened { stored: vec![] }), [fetch(0, 1, 0, MIB)]);
    assert_eq!(small().wake(), [Output::Open { size: MIB }]);
    let mut large = Bench::new(DownloadConfig { opened_in_turn: MIB, ..one() }, Some(MIB + 1));
    assert_eq!(large.feed(Input::AddSource(source(1))), [Output::Open { size: MIB + 1 }]);
}

#[test]
fn a_small_file_of_which_nothing_is_there_is_not_open_while_it_waits() {
    let small = || Bench::new(DownloadConfig { opened_in_turn: MIB, ..one() }, Some(MIB));
    let asking = |mut bench: Bench| {
        assert_eq!(bench.feed(Input::AddSource(source(1))), [Output::WantTurn]);
        assert_eq!(bench.feed(Input::Turn), [Output::Open { size: MIB }]);
        assert_eq!(bench.feed(Input::Opened { stored: vec![] }), [fetch(0, 1, 0, MIB)]);
        bench
    };
    let mut bench = asking(small());
    let out = bench.feed(Input::Head { source: S0, head: head(503, &[("Retry-After", "20")]) });
    assert!(out.contains(&Output::YieldTurn) && out.contains(&Output::Discard), "{out:?}");
    assert_eq!(bench.machine.state(), State::Waiting);
    let next_try = loop {
        match bench.sleep().as_slice() {
            [Output::Requery] => {}
            next => break next.to_vec(),
        }
    };
    assert_eq!(next_try, [Output::WantTurn], "no sooner than there is somebody to ask");
    assert_eq!(bench.feed(Input::Turn), [Output::Open { size: MIB }]);
    assert_eq!(bench.feed(Input::Opened { stored: vec![] }), [fetch(0, 1, 0, MIB)]);
    bench.feed(Input::Head { source: S0, head: partial(0, MIB, MIB) });
    bench.wrote(0, 0..1000);
    let out = bench.feed(Input::Lost { source: S0, how: Lost::Closed });
    assert!(!out.contains(&Output::Discard), "what came stays: {out:?}");

    assert_eq!(bench.feed(Input::LetGo), [Output::Discard], "unless too many are open");
    assert_eq!((bench.machine.done(), bench.machine.state()), (0, State::Waiting));

    let mut nobody_has_it = small();
    assert_eq!(nobody_has_it.wake(), [Output::Open { size: MIB }], "it may be there");
    assert_eq!(nobody_has_it.feed(Input::Opened { stored: vec![] }), [Output::Discard, Output::Requery]);
    asking(nobody_has_it);
}

#[test]
fn one_source_sends_all_of_it() {
    let mut bench = Bench::asking(2 * MIB);
    assert_eq!((bench.machine.state(), bench.reason()), (State::Connecting, "asking 127.0.0.1:1".into()));
    let words = |bench: &Bench| bench.machine.picture(bench.now).sources[0].words.clone();
    assert_eq!(words(&bench), "is asked");
    let out = bench.feed(Input::Head { source: S0, head: partial(0, 2 * MIB, 2 * MIB) });
    assert_eq!(out, [Output::Receive { source: S0, first: 0, keep: 0..2 * MIB }]);
    assert_eq!((bench.machine.state(), bench.reason()), (State::Downloading, "from 127.0.0.1:1".into()));
    assert_eq!(words(&bench), "sends");
    assert_eq!(bench.wrote(0, 0..MIB + 5), []);
    assert_eq!(bench.machine.done(), MIB + 5);
    assert_eq!(bench.wrote(0, MIB + 5..2 * MIB), [Output::Drop { source: S0 }, Output::EndTurn, Output::Verify]);
    assert_eq!(bench.feed(Input::BodyEnd { source: S0 }), [], "what comes late changes nothing");
    assert_eq!(bench.feed(Input::Verified(RIGHT)), [Output::Finish]);
    assert_eq!(bench.feed(Input::Cancel), [], "too late");
    assert_eq!(bench.feed(Input::Finished), [Output::YieldTurn]);
    assert_eq!((bench.machine.state(), bench.reason()), (State::Done, "checked by sha1".into()));
    assert_eq!(bench.machine.next_timeout(), None);
}

#[test]
fn a_tree_that_comes_while_the_whole_is_read_is_heard_before_it_is_blamed() {
    let mut tree = TigerTree::new();
    tree.update(&vec![0; 2 * MIB as usize]);
    let row = AnyRow::Tiger(tree.finish_row().into());
    let judged = |right: &[usize], wrong: &[usize]| Input::Judged {
        right: right.to_vec(),
        wrong: wrong
            .iter()
            .map(|index| (*index, std::iter::once(*index as u64 * MIB..(*index as u64 + 1) * MIB).collect()))
            .collect(),
    };
    for lies in [false, true] {
        let mut bench = Bench::asking(2 * MIB);
        let mut head = partial(0, 2 * MIB, 2 * MIB);
        head.headers.push("X-Thex-URI", format!("/tree;{}", row.root()));
        let out = bench.feed(Input::Head { source: S0, head });
        assert!(out.iter().any(|it| matches!(it, Output::FetchTree { .. })), "{out:?}");
        bench.wrote(0, 0..2 * MIB);
        assert_eq!(bench.machine.state(), State::Verifying);
        let held = bench.feed(Input::Tree { source: S0, row: row.clone() });
        assert!(matches!(held[..], [Output::HoldTree(_)]), "{held:?}");
        assert_eq!(bench.feed(Input::Verified(WRONG)), [Output::Verify], "what was read before the tree came");
        if lies {
            bench.feed(judged(&[0], &[1]));
            assert!(bench.reason().contains("sent wrong bytes at 1048576-2097151"), "{}", bench.reason());
        } else {
            bench.feed(judged(&[0, 1], &[]));
            bench.feed(Input::Verified(WRONG));
            assert!(bench.reason().contains("named the tree of other bytes"), "{}", bench.reason());
        }
        assert_eq!(bench.machine.failure(), Some(Failure::Verification));
    }
}

#[test]
fn a_short_answer_is_followed_by_the_next_request() {
    let mut bench = Bench::asking(2 * MIB);
    let out = bench.feed(Input::Head { source: S0, head: partial(0, MIB / 2, 2 * MIB) });
    assert_eq!(out, [Output::Receive { source: S0, first: 0, keep: 0..MIB / 2 }]);
    bench.wrote(0, 0..MIB / 2);
    assert_eq!(bench.feed(Input::BodyEnd { source: S0 }), [fetch(0, 1, MIB / 2, 2 * MIB)]);
}

#[test]
fn what_is_on_disk_already_is_not_asked_for() {
    let mut bench = Bench::new(one(), Some(4 * MIB));
    bench.feed(Input::AddSource(source(1)));
    bench.feed(Input::Opened { stored: vec![(0, HASH), (2, HASH)] });
    assert_eq!(bench.feed(Input::Turn), [fetch(0, 1, MIB, 2 * MIB)]);
    assert_eq!(bench.machine.done(), 2 * MIB);
}

#[test]
fn an_unknown_size_is_learnt_from_the_first_answer() {
    let mut bench = Bench::new(one(), None);
    assert_eq!(bench.feed(Input::AddSource(source(1))), [Output::WantTurn]);
    let asked = Output::Fetch { source: S0, from: source(1), first: 0, end: None, ticket: None };
    assert_eq!(bench.feed(Input::Turn), [asked]);
    let out = bench.feed(Input::Head { source: S0, head: head(200, &[("Content-Length", "3145728")]) });
    assert_eq!((out, bench.machine.size()), (vec![Output::Open { size: 3 * MIB }], Some(3 * MIB)));
    let out = bench.feed(Input::Opened { stored: vec![(0, HASH)] });
    assert_eq!(out, [Output::Receive { source: S0, first: 0, keep: MIB..3 * MIB }], "what is there is passed over");
    let mut none = Bench::new(one(), None);
    none.feed(Input::AddSource(source(1)));
    none.feed(Input::Turn);
    none.feed(Input::Head { source: S0, head: head(200, &[]) });
    assert!(none.reason().starts_with("source 127.0.0.1:1 does not say how long the file is (200 Said So); asking"));
}

/// No range of it can be satisfied: what a web server says to one who does not know that yet.
#[test]
fn that_a_file_is_empty_is_learnt_from_416() {
    let empty = head(416, &[("Content-Range", "bytes */0")]);
    let mut bench = Bench::new(one(), None);
    bench.feed(Input::AddSource(source(1)));
    bench.feed(Input::Turn);
    assert_eq!(bench.feed(Input::Head { source: S0, head: empty.clone() }), [Output::Open { size: 0 }]);
    assert!(bench.feed(Input::Opened { stored: vec![] }).ends_with(&[Output::Verify]));
    let mut other = Bench::asking(MIB);
    other.feed(Input::Head { source: S0, head: empty });
    assert!(other.reason().contains("has another file: 0 bytes"), "{}", other.reason());
}

#[test]
fn an_empty_file_needs_no_source() {
    let mut bench = Bench::new(one(), Some(0));
    assert_eq!(bench.wake(), [Output::Open { size: 0 }]);
    assert_eq!(bench.feed(Input::Opened { stored: vec![] }), [Output::Verify]);
}

#[test]
fn pauses_grow_with_each_failure_and_shrink_with_success() {
    let mut bench = Bench::asking(10 * MIB);
    let mut pauses = Vec::new();
    for _ in 0..12 {
        let before = bench.now;
        bench.feed(Input::Lost { source: S0, how: Lost::Refused });
        assert_eq!(bench.machine.state(), State::Waiting);
        // The network may be asked first; the source's own time is what counts here.
        while bench.machine.state() == State::Waiting {
            bench.sleep();
        }
        pauses.push(bench.now.since(before).as_secs());
        bench.feed(Input::Turn);
    }
    assert!(pauses.windows(2).all(|pair| pair[0] <= pair[1] * 2), "{pauses:?}");
    assert!((2..=3).contains(&pauses[0]) && (600..=750).contains(&pauses[11]), "{pauses:?}");
    // A connection that brought something is tried again at once.
    bench.feed(Input::Head { source: S0, head: partial(0, 10 * MIB, 10 * MIB) });
    bench.wrote(0, 0..MIB);
    assert_eq!(bench.feed(Input::Lost { source: S0, how: Lost::Closed }), [Output::YieldTurn]);
    let pause = bench.machine.next_timeout().expect("a deadline").since(bench.now);
    assert!(pause < Duration::from_secs(1), "{pause:?}");
}

#[test]
fn a_byte_before_each_hang_up_is_no_progress() {
    let mut bench = Bench::asking(MIB);
    for at in 0..8 {
        bench.feed(Input::Head { source: S0, head: partial(at, MIB, MIB) });
        bench.wrote(0, at..at + 1);
        bench.feed(Input::Lost { source: S0, how: Lost::Closed });
        while bench.machine.state() == State::Waiting {
            bench.sleep();
        }
        assert_eq!(bench.feed(Input::Turn), [fetch(0, 1, at + 1, MIB)]);
    }
    assert!(bench.now >= Instant::from_secs(100 + 2 + 4 + 8 + 16 + 32 + 64 + 128), "{:?}", bench.now);
}

#[test]
fn the_network_is_asked_less_and_less_often_and_anew_when_it_changes() {
    let mut bench = Bench::new(one(), Some(MIB));
    bench.wake();
    assert_eq!(bench.feed(Input::Opened { stored: vec![] }), [Output::Requery]);
    assert_eq!(bench.machine.state(), State::Waiting);
    assert!(bench.reason().starts_with("waiting for source: none known; asking the network again in 0:0"));
    let mut gaps = Vec::new();
    for _ in 0..9 {
        let before = bench.now;
        assert_eq!(bench.sleep(), [Output::Requery]);
        gaps.push(bench.now.since(before).as_secs());
    }
    assert!((5..=6).contains(&gaps[0]) && (300..=375).contains(&gaps[8]), "{gaps:?}");
    bench.now += Duration::from_secs(20);
    assert_eq!(bench.feed(Input::NetworkChanged), [], "not in the same moment");
    assert_eq!(bench.machine.next_timeout(), Some(bench.now + Duration::from_millis(500)));
    assert_eq!(bench.sleep(), [Output::Requery]);
    let asked = bench.now;
    bench.feed(Input::NetworkChanged);
    assert!(bench.machine.next_timeout().expect("a deadline") >= asked + Duration::from_secs(5), "nor all the time");
}

#[test]
fn a_walled_source_is_waited_for_and_names_its_push_proxies_anew() {
    let mut bench = Bench::asking(MIB);
    assert_eq!(bench.reason(), "asking 127.0.0.1:1");
    assert_eq!(bench.feed(Input::Pushing { source: SourceId(0) }), []);
    assert_eq!(bench.reason(), "waiting for a connection back from 127.0.0.1:1, which cannot be connected to");
    let busy =
        [("Retry-After", "60"), ("X-Push-Proxies", "10.0.0.1:6346, nonsense, 10.0.0.2:1"), ("Content-Length", "0")];
    bench.feed(Input::Head { source: SourceId(0), head: head(503, &busy) });
    let proxies = &bench.machine.sources().next().expect("a source").proxies;
    assert_eq!(proxies.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.0.0.1:6346", "10.0.0.2:1"]);
    let mut bench = Bench::asking(MIB);
    bench.feed(Input::Pushing { source: SourceId(0) });
    bench.feed(Input::Lost { source: SourceId(0), how: Lost::NotCalled });
    assert!(
        bench.reason().starts_with(
            "source 127.0.0.1:1 cannot be connected to, and did not connect to us when asked to, next try 0:0"
        ),
        "{}",
        bench.reason()
    );
}

#[test]
fn a_busy_source_is_not_asked_before_the_time_it_named_even_when_found_again() {
    let mut bench = Bench::asking(MIB);
    let busy = head(503, &[("Retry-After", "60"), ("X-Queued", "ID=c703; position=3; lifetime=90")]);
    let out = bench.feed(Input::Head { source: S0, head: busy });
    assert_eq!(out, [Output::Drop { source: S0 }, Output::YieldTurn, Output::Requery]);
    assert!(bench.reason().starts_with("queued 3 at 127.0.0.1:1, next try 1:0"), "{}", bench.reason());
    assert_eq!(bench.feed(Input::AddSource(source(1))), []);
    let named = bench.now + Duration::from_secs(60);
    while bench.machine.state() == State::Waiting {
        bench.sleep();
    }
    assert!(bench.now >= named && bench.now < named + Duration::from_secs(7));
    let again = Output::Fetch { source: S0, from: source(1), first: 0, end: Some(MIB), ticket: Some("c703".into()) };
    assert_eq!(bench.feed(Input::Turn), [again], "it knows us by what it called our place");
}

/// Who fetches hundreds of files of a web server may be too quick for it.
#[test]
fn who_is_asked_too_often_is_asked_again_later() {
    for (code, headers, pause) in [(429, &[("Retry-After", "5")][..], 5), (429, &[], 30), (408, &[], 30)] {
        let mut bench = Bench::asking(MIB);
        bench.feed(Input::Head { source: S0, head: head(code, headers) });
        assert!(bench.reason().contains(&format!("is busy ({code} Said So)")), "{}", bench.reason());
        let named = bench.now + Duration::from_secs(pause);
        while bench.machine.state() == State::Waiting {
            bench.sleep();
        }
        assert!(bench.now >= named && bench.now < named + Duration::from_secs(pause), "{code}");
        assert_eq!(bench.feed(Input::Turn), [fetch(0, 1, 0, MIB)], "{code}");
    }
}

#[test]
fn a_place_in_a_queue_is_told_as_the_source_tells_it() {
    for (headers, words) in [
        (&[("X-Queued", "ID=1; position=3; lifetime=90; length=12; ETA=176")][..], "queued 3 of 12 at 127.0.0.1:1"),
        (&[("X-Queue", "position=2, length=6, limit=1, pollMin=45, pollMax=105")][..], "queued 2 of 6 at 127.0.0.1:1"),
        (&[("X-Queue", "position=2")][..], "queued 2 at 127.0.0.1:1"),
        (&[("X-Queued", "ID=../../x; length=12")][..], "source 127.0.0.1:1 is busy (503 Said So)"),
        (&[][..], "source 127.0.0.1:1 is busy (503 Said So)"),
    ] {
        let mut bench = Bench::asking(MIB);
        let mut all = vec![("Retry-After", "40")];
        all.extend(headers);
        bench.feed(Input::Head { source: S0, head: head(503, &all) });
        let next = bench.reason();
        assert!(next.starts_with(&format!("{words}, next try 0:4")), "{headers:?}: {next}");
    }
}

#[test]
fn a_connection_that_stays_open_in_a_queue_is_kept_for_the_next_try() {
    let mut bench = Bench::asking(MIB);
    let busy = head(503, &[("Retry-After", "60"), ("Content-Length", "0"), ("X-Queued", "ID=c703; position=3")]);
    let out = bench.feed(Input::Head { source: S0, head: busy });
    let kept = Output::Receive { source: S0, first: 0, keep: 0..0 };
    assert_eq!(out, [kept, Output::YieldTurn, Output::Requery]);
    assert_eq!(bench.feed(Input::BodyEnd { source: S0 }), []);
    assert_eq!(bench.feed(Input::Cancel), [Output::Drop { source: S0 }, Output::Discard], "and closed in the end");
}

#[test]
fn a_source_that_stalls_is_left_for_one_that_waits() {
    let mut bench = Bench::asking(4 * MIB);
    bench.feed(Input::Head { source: S0, head: partial(0, 4 * MIB, 4 * MIB) });
    bench.wrote(0, 0..MIB + 7);
    assert_eq!(bench.machine.next_timeout(), None, "nobody could take over");
    assert_eq!(bench.feed(Input::AddSource(source(2))), []);
    let mut woken = Vec::new();
    let began = bench.now;
    while woken.is_empty() {
        let before = bench.now;
        woken = bench.sleep();
        assert!(bench.now > before, "a deadline that does not move");
    }
    assert_eq!(woken, [Output::Drop { source: S0 }, fetch(1, 2, MIB + 7, 4 * MIB)]);
    assert_eq!(bench.now.since(began).as_secs(), 8);
}

#[test]
fn a_size_that_nobody_stands_by_holds_nothing_up() {
    let mut bench = told(1 << 60);
    let began = bench.now;
    let mut asked = bench.sleep();
    while asked.is_empty() {
        asked = bench.sleep();
    }
    assert_eq!(asked, [Output::Drop { source: S0 }, fetch(1, 2, 0, 1 << 60)]);
    let out = bench.feed(Input::Head { source: S1, head: partial(0, 5, 2 * MIB) });
    assert_eq!(out, [Output::Drop { source: S1 }, Output::Discard, Output::Open { size: 2 * MIB }]);
    assert!(bench.now.since(began) < Duration::from_secs(10));
}

#[test]
fn a_source_that_lost_the_file_comes_back_only_when_the_network_names_it() {
    let mut bench = Bench::asking(MIB);
    bench.feed(Input::Head { source: S0, head: head(404, &[]) });
    assert_eq!(bench.machine.state(), State::Waiting);
    assert!(bench.reason().starts_with("source 127.0.0.1:1 does not have the file (404 Said So); asking the network"));
    let before = bench.now;
    assert_eq!(bench.feed(Input::AddSource(source(1))), [], "in a moment");
    while bench.machine.state() == State::Waiting {
        bench.sleep();
    }
    assert!(bench.now.since(before) >= Duration::from_secs(2));
}

#[test]
fn without_a_hash_there_is_nobody_else_to_ask() {
    for (code, failure) in [(404, Failure::NotFound), (403, Failure::Refused), (302, Failure::Refused)] {
        let mut machine = Download::new(one(), Expected::default(), Some(MIB), Rng::from_number(1));
        let (now, mut out) = (Instant::ZERO, Vec::new());
        for input in [
            Input::AddSource(source(1)),
            Input::Opened { stored: vec![] },
            Input::Turn,
            Input::Head { source: S0, head: head(code, &[]) },
        ] {
            machine.handle(now, input, &mut out);
        }
        assert_eq!((machine.state(), machine.failure()), (State::Failed, Some(failure)), "{code}");
        assert!(machine.reason(now).starts_with("127.0.0.1:1 "), "{}", machine.reason(now));
    }
}

#[test]
fn a_partial_that_is_lost_after_a_failure_is_opened_again() {
    for lost in [Input::DiskFailed("an error of the disk".into()), Input::Gone("somebody removed it".into())] {
        let mut bench = Bench::asking(MIB);
        bench.feed(Input::Head { source: S0, head: partial(0, MIB, MIB) });
        bench.wrote(0, 0..MIB);
        bench.feed(Input::Verified(WRONG));
        bench.feed(Input::Retry);
        bench.feed(Input::Opened { stored: vec![] });
        bench.feed(Input::Cancel);
        bench.feed(Input::Opened { stored: vec![] });
        assert_eq!(bench.feed(lost), [], "it is over");
        assert!(bench.feed(Input::Retry).contains(&Output::Open { size: MIB }));
    }
}

#[test]
fn wrong_bytes_of_the_only_source_are_its_fault() {
    let mut bench = Bench::asking(MIB);
    bench.feed(Input::Head { source: S0, head: partial(0, MIB, MIB) });
    bench.wrote(0, 0..MIB);
    assert_eq!(bench.feed(Input::Verified(WRONG)), [Output::Discard, Output::YieldTurn]);
    assert_eq!((bench.machine.state(), bench.machine.failure()), (State::Failed, Some(Failure::Verification)));
    assert!(bench.reason().starts_with("127.0.0.1:1 sent bytes that do not match urn:sha1:"), "{}", bench.reason());
    // It is banned for this file: not even a retry asks it.
    let out = bench.feed(Input::Retry);
    assert_eq!(out, [Output::Open { size: MIB }]);
    assert_eq!(bench.feed(Input::Opened { stored: vec![] }), [Output::Requery]);
    assert_eq!(bench.feed(Input::AddSource(source(1))), []);
    assert_eq!(bench.feed(Input::AddSource(source(2))), [Output::WantTurn]);
}

#[test]
fn wrong_bytes_of_several_are_found_out_by_asking_one_at_a_time() {
    let mut bench = Bench::asking(2 * MIB);
    bench.feed(Input::AddSource(source(2)));
    // The first half from one, the second half from the other.
    bench.feed(Input::Head { source: S0, head: partial(0, MIB, 2 * MIB) });
    bench.wrote(0, 0..MIB);
    assert_eq!(bench.feed(Input::BodyEnd { source: S0 }), [fetch(0, 1, MIB, 2 * MIB)]);
    assert_eq!(bench.feed(Input::Lost { source: S0, how: Lost::Closed }), [fetch(1, 2, MIB, 2 * MIB)]);
    bench.feed(Input::Head { source: SourceId(1), head: partial(MIB, 2 * MIB, 2 * MIB) });
    assert_eq!(bench.wrote(1, MIB..2 * MIB), [Output::Drop { source: SourceId(1) }, Output::EndTurn, Output::Verify]);
    assert_eq!(bench.feed(Input::Verified(WRONG)), [Output::Discard, Output::Open { size: 2 * MIB }]);
    // Now one alone, when it has its turn again.
    assert_eq!(bench.feed(Input::Opened { stored: vec![] }), [Output::WantTurn]);
    assert_eq!(bench.feed(Input::Turn), [fetch(1, 2, 0, 2 * MIB)]);
    bench.feed(Input::Head { source: SourceId(1), head: partial(0, 2 * MIB, 2 * MIB) });
    bench.wrote(1, 0..MIB);
    bench.feed(Input::Lost { source: SourceId(1), how: Lost::Closed });
    bench.now += Duration::from_secs(1);
    bench.wake();
    assert_eq!(bench.feed(Input::Turn), [fetch(1, 2, MIB, 2 * MIB)], "the same goes on, though another could");
    bench.feed(Input::Head { source: SourceId(1), head: partial(MIB, 2 * MIB, 2 * MIB) });
    bench.wrote(1, MIB..2 * MIB);
    // It was this one; the other one gets its chance.
    assert_eq!(bench.feed(Input::Verified(WRONG))[0], Output::Discard);
    bench.feed(Input::Opened { stored: vec![] });
    bench.now += Duration::from_secs(10);
    bench.wake();
    let asked = bench.feed(Input::Turn);
    assert!(asked.is_empty() || asked == [fetch(0, 1, 0, 2 * MIB)], "{asked:?}");
    assert_eq!(bench.machine.active().collect::<Vec<_>>(), [&source(1)]);
}

#[test]
fn two_sources_at_a_time_share_the_blocks() {
    let config = DownloadConfig { active_sources: 2, request: 2 * MIB, ..one() };
    let mut bench = Bench::new(config, Some(6 * MIB));
    bench.feed(Input::AddSource(source(1)));
    bench.feed(Input::Opened { stored: vec![] });
    bench.feed(Input::AddSource(source(2)));
    assert_eq!(bench.feed(Input::Turn), [fetch(0, 1, 0, 2 * MIB), fetch(1, 2, 2 * MIB, 4 * MIB)]);
    bench.feed(Input::Head { source: SourceId(1), head: partial(2 * MIB, 4 * MIB, 6 * MIB) });
    bench.wrote(1, 2 * MIB..4 * MIB);
    assert_eq!(bench.feed(Input::BodyEnd { source: SourceId(1) }), [fetch(1, 2, 4 * MIB, 6 * MIB)]);
}

/// Four at a time, as by default; the file open, two sources known, the turn come.
fn several(size: u64) -> Bench {
    // Small enough to be asked for all at once.
    let config = DownloadConfig { swarm: 100, ..DownloadConfig::default() };
    let mut bench = Bench::new(config, Some(size));
    bench.feed(Input::AddSource(source(1)));
    bench.feed(Input::Opened { stored: vec![] });
    bench.feed(Input::Turn);
    bench
}

#[test]
fn who_is_found_while_another_sends_it_all_takes_over_a_part() {
    let mut bench = several(40 * MIB);
    bench.feed(Input::Head { source: S0, head: partial(0, 40 * MIB, 40 * MIB) });
    bench.now += Duration::from_secs(1);
    bench.wrote(0, 0..MIB);
    // At one MiB a second, 39 are left: half of them for each.
    let out = bench.feed(Input::AddSource(source(2)));
    assert_eq!(out, [Output::Shorten { source: S0, end: 21 * MIB }, fetch(1, 2, 21 * MIB, 40 * MIB)]);
    bench.feed(Input::Head { source: S1, head: partial(21 * MIB, 40 * MIB, 40 * MIB) });
    // The second is four times as fast; when it is through, it takes its share of the rest.
    bench.now += Duration::from_secs(4);
    bench.wrote(0, MIB..5 * MIB);
    bench.wrote(1, 21 * MIB..40 * MIB);
    let out = bench.feed(Input::BodyEnd { source: S1 });
    assert_eq!(out[0], Output::Shorten { source: S0, end: 8 * MIB });
    assert_eq!(out[1], fetch(1, 2, 8 * MIB, 21 * MIB));
    bench.feed(Input::Head { source: S1, head: partial(8 * MIB, 21 * MIB, 40 * MIB) });
    bench.now += Duration::from_secs(3);
    bench.wrote(0, 5 * MIB..8 * MIB);
    bench.wrote(1, 8 * MIB..21 * MIB);
    assert_eq!(bench.machine.state(), State::Verifying);
}

/// What one source is asked for, request after request, while somebody reads from these places on.
fn order(stored: &[usize], preferred: &[u64]) -> Vec<Range<u64>> {
    let size = 24 * MIB;
    let mut bench = Bench::new(one(), Some(size));
    bench.feed(Input::AddSource(source(1)));
    bench.feed(Input::Opened { stored: stored.iter().map(|index| (*index, HASH)).collect() });
    bench.feed(Input::Prefer(preferred.iter().map(|mib| mib * MIB).collect()));
    let (mut asked, mut out) = (Vec::new(), bench.feed(Input::Turn));
    while let Some(Output::Fetch { first, end: Some(end), .. }) = out.last() {
        let range = *first..*end;
        asked.push(range.start / MIB..range.end / MIB);
        bench.feed(Input::Head { source: S0, head: partial(range.start, range.end, size) });
        bench.now += Duration::from_secs(2);
        bench.wrote(0, range);
        out = bench.feed(Input::BodyEnd { source: S0 });
    }
    assert_eq!(bench.machine.done(), size, "all of it comes in the end");
    asked
}

#[test]
fn what_a_reader_waits_for_is_asked_for_first_and_then_what_is_in_reach_of_the_next() {
    let starts = |stored: &[usize], preferred: &[u64]| {
        order(stored, preferred).iter().map(|range| range.start).collect::<Vec<_>>()
    };
    assert_eq!(order(&[], &[]).first(), Some(&(0..24)), "nobody reads: one request for all");
    assert_eq!(order(&[], &[0])[..2], [0..2, 2..4], "short requests, front first");
    assert_eq!(starts(&[], &[10]), [10, 12, 14, 16, 18, 20, 22, 0, 2, 4, 6, 8]);
    assert_eq!(
        starts(&[], &[20, 4]),
        [20, 22, 4, 6, 8, 10, 0, 2, 12, 14, 16, 18],
        "eight blocks for each, then the front"
    );
    assert_eq!(starts(&[10, 13], &[10])[..3], [11, 14, 16], "what is there is not asked for");
    assert_eq!(starts(&[], &[100])[..2], [0, 2], "beyond the end is nothing");
    // A fast source is asked for what it brings in half a second, though not at once.
    let mut bench = Bench::new(one(), Some(80 * MIB));
    bench.feed(Input::AddSource(source(1)));
    bench.feed(Input::Opened { stored: vec![] });
    bench.feed(Input::Prefer(vec![0]));
    assert_eq!(bench.feed(Input::Turn), [fetch(0, 1, 0, 2 * MIB)]);
    bench.feed(Input::Head { source: S0, head: partial(0, 2 * MIB, 80 * MIB) });
    bench.now += Duration::from_millis(100);
    bench.wrote(0, 0..2 * MIB);
    assert_eq!(bench.feed(Input::BodyEnd { source: S0 }), [fetch(0, 1, 2 * MIB, 6 * MIB)]);
    // The block that the place is in, from its start: it is shown when all of it was checked.
    let mut bench = Bench::new(one(), Some(8 * MIB));
    bench.feed(Input::AddSource(source(1)));
    bench.feed(Input::Opened { stored: vec![] });
    bench.feed(Input::Prefer(vec![5 * MIB + 77]));
    assert_eq!(bench.feed(Input::Turn), [fetch(0, 1, 5 * MIB, 7 * MIB)]);
}

#[test]
fn a_source_that_is_far_from_what_a_reader_waits_for_goes_there() {
    let mut bench = Bench::asking(100 * MIB);
    bench.feed(Input::Head { source: S0, head: partial(0, 100 * MIB, 100 * MIB) });
    bench.now += Duration::from_secs(1);
    bench.wrote(0, 0..MIB + 9);
    assert_eq!(bench.feed(Input::Prefer(vec![0])), [], "it comes in a moment");
    assert_eq!(bench.feed(Input::Prefer(vec![3 * MIB])), [], "this too");
    let stop = Output::Shorten { source: S0, end: MIB + 9 };
    assert_eq!(bench.feed(Input::Prefer(vec![60 * MIB])), [stop]);
    assert_eq!(bench.wake(), [], "once is enough");
    assert_eq!(bench.feed(Input::BodyEnd { source: S0 }), [fetch(0, 1, 60 * MIB, 62 * MIB)]);
    bench.feed(Input::Head { source: S0, head: partial(60 * MIB, 62 * MIB, 100 * MIB) });
    bench.now += Duration::from_secs(1);
    bench.wrote(0, 60 * MIB..61 * MIB);
    // The rest of that request comes in a second: it is not worth a new connection.
    assert_eq!(bench.feed(Input::Prefer(vec![MIB])), []);
    bench.wrote(0, 61 * MIB..62 * MIB);
    assert_eq!(bench.feed(Input::BodyEnd { source: S0 }), [fetch(0, 1, MIB + 9, 3 * MIB + 9)], "what it brought stays");
    bench.feed(Input::Prefer(vec![]));
    bench.feed(Input::Head { source: S0, head: partial(MIB + 9, 3 * MIB + 9, 100 * MIB) });
    bench.wrote(0, MIB + 9..3 * MIB + 9);
    assert_eq!(
        bench.feed(Input::BodyEnd { source: S0 }),
        [fetch(0, 1, 3 * MIB + 9, 60 * MIB)],
        "nobody reads any more"
    );
}

#[test]
fn a_reader_does_not_keep_a_fast_source_from_taking_over_the_end() {
    // As without a reader: the end game is what `who_is_found_while_another_sends_it_all_takes_over_a_part` says.
    let mut bench = several(40 * MIB);
    bench.feed(Input::Prefer(vec![0]));
    bench.feed(Input::Head { source: S0, head: partial(0, 40 * MIB, 40 * MIB) });
    bench.now += Duration::from_secs(1);
    bench.wrote(0, 0..MIB);
    let out = bench.feed(Input::AddSource(source(2)));
    assert_eq!(out, [Output::Shorten { source: S0, end: 21 * MIB }, fetch(1, 2, 21 * MIB, 40 * MIB)]);
}

#[test]
fn a_block_is_shown_when_the_tree_has_proven_it_or_all_was_checked() {
    let shown = |bench: &Bench| (0..3).map(|index| bench.machine.shown(index).is_some()).collect::<Vec<_>>();
    let mut bench = Bench::asking(3 * MIB);
    assert_eq!(bench.machine.shows(), Shows::Open, "nobody has answered");
    bench.feed(Input::Head { source: S0, head: partial(0, 3 * MIB, 3 * MIB) });
    bench.wrote(0, 0..MIB);
    assert_eq!((bench.machine.shows(), shown(&bench)), (Shows::AtTheEnd, vec![false; 3]), "nobody has a tree");
    bench.wrote(0, MIB..3 * MIB);
    assert_eq!(shown(&bench), [false; 3], "it is not checked yet");
    bench.feed(Input::Verified(RIGHT));
    assert_eq!((bench.machine.shows(), shown(&bench)), (Shows::Proven, vec![true; 3]));
    bench.feed(Input::Finished);
    assert_eq!(shown(&bench), [true; 3]);
    // A source names a tree: nothing is shown before that has come, and then what it proves.
    let mut bench = Bench::asking(3 * MIB);
    let mut tree = crate::wire::TigerTree::new();
    tree.update(&vec![3; 3 * MIB as usize]);
    let row = AnyRow::Tiger(tree.finish_row().into());
    let mut named = partial(0, 3 * MIB, 3 * MIB);
    named.headers = named.headers.with("X-Thex-URI", format!("/tree;{}", row.root()));
    bench.feed(Input::Head { source: S0, head: named });
    bench.wrote(0, 0..2 * MIB);
    assert_eq!((bench.machine.shows(), shown(&bench)), (Shows::Open, vec![false; 3]));
    bench.feed(Input::Tree { source: S0, row });
    assert_eq!((bench.machine.shows(), shown(&bench)), (Shows::Proven, vec![false; 3]));
    bench.feed(Input::Judged { right: vec![1], wrong: vec![] });
    assert_eq!(shown(&bench), [false, true, false]);
    bench.feed(Input::Judged { right: vec![], wrong: vec![(0, std::iter::once(0..MIB).collect())] });
    assert_eq!(shown(&bench), [false, true, false], "what is wrong is never shown");
}

#[test]
fn what_is_found_out_while_it_is_paused_is_fetched_when_it_goes_on() {
    let mut tree = TigerTree::new();
    tree.update(&vec![3; 2 * MIB as usize]);
    let row = AnyRow::Tiger(tree.finish_row().into());
    let found = [
        Input::Changed { blocks: vec![1], words: "changed".into() },
        Input::Judged { right: vec![0], wrong: vec![(1, std::iter::once(MIB..2 * MIB).collect())] },
    ];
    for found in found {
        let mut bench = Bench::asking(2 * MIB);
        let mut head = partial(0, 2 * MIB, 2 * MIB);
        head.headers = head.headers.with("X-Thex-URI", format!("/tree;{}", row.root()));
        bench.feed(Input::Head { source: S0, head });
        bench.feed(Input::Tree { source: S0, row: row.clone() });
        bench.wrote(0, 0..2 * MIB);
        assert_eq!(bench.machine.state(), State::Verifying);
        bench.feed(Input::Pause);
        bench.feed(found);
        assert_eq!((bench.machine.state(), bench.machine.done()), (State::Paused, MIB));
        bench.feed(Input::Resume);
        assert_ne!(bench.machine.state(), State::Verifying, "a block is missing");
    }
}

#[test]
fn pause_resume_and_cancel_end_what_is_under_way() {
    let mut bench = Bench::asking(2 * MIB);
    bench.feed(Input::Head { source: S0, head: partial(0, 2 * MIB, 2 * MIB) });
    bench.wrote(0, 0..MIB);
    assert_eq!(bench.feed(Input::Pause), [Output::Drop { source: S0 }, Output::YieldTurn]);
    assert_eq!((bench.machine.state(), bench.machine.next_timeout()), (State::Paused, None));
    assert_eq!(bench.feed(Input::AddSource(source(2))), []);
    assert_eq!(bench.feed(Input::Resume), [Output::WantTurn]);
    assert_eq!(bench.machine.state(), State::Queued);
    assert_eq!(bench.feed(Input::Cancel), [Output::YieldTurn, Output::Discard]);
    assert_eq!((bench.machine.state(), bench.machine.done()), (State::Cancelled, 0));
    assert_eq!(bench.feed(Input::Turn), [Output::YieldTurn], "a turn that comes too late is given back");
}

#[test]
fn the_disk_is_to_blame_for_its_own_errors_and_a_retry_looks_again() {
    let mut bench = Bench::asking(MIB);
    let out = bench.feed(Input::DiskFailed("cannot write x: the disk is full".into()));
    assert_eq!(out, [Output::Drop { source: S0 }, Output::YieldTurn]);
    assert_eq!(
        (bench.machine.failure(), bench.reason()),
        (Some(Failure::Disk), "cannot write x: the disk is full".into())
    );
    assert_eq!(bench.feed(Input::Retry), [Output::Open { size: MIB }]);
}

#[test]
fn sources_are_bounded_and_a_liar_is_forgotten_last() {
    let config = DownloadConfig { max_sources: 3, ..one() };
    let mut bench = Bench::new(config, Some(MIB));
    (1..=50).for_each(|port| drop(bench.feed(Input::AddSource(source(port)))));
    assert_eq!(bench.machine.sources().count(), 3);
}

/// Two sources, of whom the first has told the size and is being asked.
fn told(size: u64) -> Bench {
    let mut bench = Bench::new(one(), None);
    bench.feed(Input::AddSource(source(1)));
    bench.feed(Input::AddSource(source(2)));
    bench.feed(Input::Turn);
    let length = size.to_string();
    let out = bench.feed(Input::Head { source: S0, head: head(200, &[("Content-Length", &length)]) });
    assert_eq!(out, [Output::Open { size }]);
    assert_eq!(bench.feed(Input::Opened { stored: vec![] }), [Output::Receive { source: S0, first: 0, keep: 0..size }]);
    bench
}

const S1: SourceId = SourceId(1);

#[test]
fn a_wrong_size_falls_with_the_source_that_told_it() {
    let mut bench = told(5);
    assert_eq!(bench.wrote(0, 0..5), [Output::Drop { source: S0 }, Output::EndTurn, Output::Verify]);
    assert_eq!(bench.feed(Input::Verified(WRONG)), [Output::Discard, Output::Open { size: 5 }]);
    assert_eq!(bench.feed(Input::Opened { stored: vec![] }), [Output::WantTurn]);
    assert_eq!(bench.feed(Input::Turn), [fetch(1, 2, 0, 5)]);
    let out = bench.feed(Input::Head { source: S1, head: partial(0, 5, 2 * MIB) });
    assert_eq!(out, [Output::Drop { source: S1 }, Output::Discard, Output::Open { size: 2 * MIB }]);
    bench.feed(Input::Opened { stored: vec![] });
    while bench.machine.state() == State::Waiting {
        bench.sleep();
    }
    assert_eq!(bench.feed(Input::Turn), [fetch(1, 2, 0, 2 * MIB)]);
}

#[test]
fn a_size_that_comes_to_nothing_gives_way_to_what_another_source_says() {
    let mut bench = told(1 << 60);
    let mut out = bench.feed(Input::Lost { source: S0, how: Lost::Closed });
    let mut asked = Vec::new();
    for _ in 0..20 {
        let fetch = out.iter().find_map(|it| if let Output::Fetch { source, .. } = it { Some(*source) } else { None });
        asked.extend(fetch);
        out = match fetch {
            Some(S0) => bench.feed(Input::Lost { source: S0, how: Lost::Closed }),
            Some(other) => bench.feed(Input::Head { source: other, head: partial(0, MIB, 2 * MIB) }),
            None if bench.machine.size() == Some(2 * MIB) => break,
            None if bench.machine.state() == State::Waiting => bench.sleep(),
            None => bench.feed(Input::Turn),
        };
    }
    assert_eq!((bench.machine.size(), asked), (Some(2 * MIB), vec![S1]), "it named a size, and brought nothing of it");
}

#[test]
fn the_size_that_most_sources_say_is_tried_first() {
    let mut bench = told(MIB);
    bench.feed(Input::AddSource(source(3)));
    bench.wrote(0, 0..MIB / 2);
    bench.feed(Input::Lost { source: S0, how: Lost::Closed });
    bench.feed(Input::Turn);
    assert_eq!(bench.feed(Input::Head { source: S1, head: partial(0, 5, 7) })[0], Output::Drop { source: S1 });
    assert_eq!(bench.machine.size(), Some(MIB), "one against one");
    bench.feed(Input::Turn);
    bench.feed(Input::Head { source: SourceId(2), head: partial(0, 5, 7) });
    assert_eq!(bench.machine.size(), Some(7));
}

#[test]
fn a_size_that_was_asked_for_is_not_up_for_debate() {
    let mut bench = Bench::asking(MIB);
    bench.feed(Input::AddSource(source(2)));
    assert_eq!(
        bench.feed(Input::Head { source: S0, head: partial(0, 5, 7) }),
        [Output::Drop { source: S0 }, fetch(1, 2, 0, MIB)]
    );
    bench.feed(Input::Head { source: S1, head: partial(0, 5, 7) });
    assert_eq!(bench.machine.size(), Some(MIB));
    assert_eq!(bench.machine.sources().count(), 0, "both are out");
}

#[test]
fn answers_of_a_byte_each_are_answered_with_growing_pauses() {
    let mut bench = Bench::asking(MIB);
    for at in 0..8 {
        bench.feed(Input::Head { source: S0, head: partial(at, at + 1, MIB) });
        bench.wrote(0, at..at + 1);
        bench.feed(Input::BodyEnd { source: S0 });
        assert!(bench.reason().contains("sent only 1 of the bytes asked for"), "{}", bench.reason());
        while bench.machine.state() == State::Waiting {
            bench.sleep();
        }
        assert_eq!(bench.feed(Input::Turn), [fetch(0, 1, at + 1, MIB)]);
    }
    assert!(bench.now >= Instant::from_secs(100 + 2 + 4 + 8 + 16 + 32 + 64 + 128), "{:?}", bench.now);
}

#[test]
fn while_a_source_is_tried_in_a_moment_nothing_wakes_before() {
    let mut bench = Bench::asking(10 * MIB);
    bench.now += Duration::from_secs(60);
    bench.feed(Input::Head { source: S0, head: partial(0, 10 * MIB, 10 * MIB) });
    bench.wrote(0, 0..MIB);
    bench.feed(Input::Lost { source: S0, how: Lost::Closed });
    // The time to ask the network has come as well, but that can wait for the source.
    let next = bench.machine.next_timeout().expect("a deadline");
    assert!(next > bench.now, "{next:?} is not after {:?}", bench.now);
    assert_eq!(bench.sleep(), [Output::WantTurn]);
}

fn any_input() -> impl Strategy<Value = Input> {
    let id = || (0u32..4).prop_map(SourceId);
    let range = || (0u64..5 * MIB, 1u64..2 * MIB).prop_map(|(first, length)| first..first + length);
    let answers = prop_oneof![
        4 => (0u64..4 * MIB, 1u64..4 * MIB).prop_map(|(first, length)| partial(first, first + length, 4 * MIB)),
        1 => Just(head(200, &[("Content-Length", "4194304")])),
        1 => (100u16..600).prop_map(|code| head(code, &[])),
        1 => Just(head(503, &[("Retry-After", "99999999999")])),
        1 => Just(head(416, &[("X-Available-Ranges", "bytes 7-1048575, 1048576-2097151, 9-3, x")])),
    ];
    let how = prop_oneof![Just(Lost::Refused), Just(Lost::Closed), Just(Lost::Garbage("x".into()))];
    prop_oneof![
        Just(Input::Turn),
        proptest::collection::vec((0usize..6, Just(HASH)), 0..4).prop_map(|stored| Input::Opened { stored }),
        (1u16..5).prop_map(|port| Input::AddSource(source(port))),
        (id(), answers).prop_map(|(source, head)| Input::Head { source, head }),
        (id(), range(), proptest::collection::vec((0usize..6, Just(HASH)), 0..3))
            .prop_map(|(source, range, stored)| Input::Wrote { source, range, stored }),
        id().prop_map(|source| Input::BodyEnd { source }),
        (id(), how).prop_map(|(source, how)| Input::Lost { source, how }),
        Just(Input::Verified(RIGHT)),
        Just(Input::Verified(WRONG)),
        Just(Input::Finished),
        Just(Input::Altered),
        Just(Input::Gone("it is gone".into())),
        Just(Input::Noted("it was cut".into())),
        proptest::collection::vec(0usize..6, 0..4)
            .prop_map(|blocks| Input::Changed { blocks, words: "changed".into() }),
        Just(Input::DiskFailed("full".into())),
        Just(Input::NetworkChanged),
        Just(Input::LetGo),
        Just(Input::Pause),
        Just(Input::Resume),
        Just(Input::Cancel),
        Just(Input::Retry),
        proptest::collection::vec(0u64..6 * MIB, 0..4).prop_map(Input::Prefer),
    ]
}

#[test]
fn a_size_that_filled_the_disk_is_asked_of_others_first_when_it_is_tried_again() {
    let mut bench = Bench::new(DownloadConfig::default(), None);
    bench.feed(Input::AddSource(source(1)));
    bench.feed(Input::AddSource(source(2)));
    bench.feed(Input::Turn);
    let out = bench.feed(Input::Head { source: S0, head: partial(0, MIB, u64::MAX) });
    assert_eq!(out, [Output::Open { size: u64::MAX }]);
    bench.feed(Input::DiskFailed("no disk is that large".into()));
    assert_eq!(bench.feed(Input::Retry), [Output::WantTurn]);
    let out = bench.feed(Input::Turn);
    assert_eq!(out, [Output::Fetch { source: SourceId(1), from: source(2), first: 0, end: None, ticket: None }]);
    let out = bench.feed(Input::Head { source: SourceId(1), head: partial(0, MIB, MIB) });
    assert_eq!(out, [Output::Open { size: MIB }]);
}

#[test]
fn a_source_that_has_no_such_part_tells_the_size_that_it_knows() {
    let mut bench = Bench::new(DownloadConfig::default(), None);
    bench.feed(Input::AddSource(source(1)));
    bench.feed(Input::Turn);
    bench.feed(Input::Head { source: S0, head: partial(0, 2 * MIB, 2 * MIB) });
    bench.feed(Input::Opened { stored: vec![] });
    bench.wrote(0, 0..MIB);
    bench.feed(Input::AddSource(source(2)));
    bench.feed(Input::Lost { source: S0, how: Lost::Closed });
    let no_such_part = head(416, &[("Content-Range", &format!("bytes */{MIB}"))]);
    bench.feed(Input::Head { source: SourceId(1), head: no_such_part });
    // The first source does not come back; then the size that the second one said is tried.
    for _ in 0..4 {
        bench.sleep();
        bench.feed(Input::Turn);
        let out = bench.feed(Input::Lost { source: S0, how: Lost::Refused });
        if out.contains(&Output::Discard) {
            assert!(out.contains(&Output::Open { size: MIB }), "{out:?}");
            return;
        }
    }
    panic!("it waits for a part that there is not: {}", bench.reason());
}

#[test]
fn one_who_was_banned_for_another_lie_does_not_leave_the_blame_for_its_bytes_to_others() {
    let mut bench = Bench::asking(2 * MIB);
    bench.feed(Input::Head { source: S0, head: partial(0, MIB, 2 * MIB) });
    bench.wrote(0, 0..MIB);
    bench.feed(Input::BodyEnd { source: S0 });
    bench.feed(Input::AddSource(source(2)));
    bench.feed(Input::Head { source: S0, head: partial(MIB, 3 * MIB, 3 * MIB) });
    let honest = SourceId(1);
    bench.feed(Input::Head { source: honest, head: partial(MIB, 2 * MIB, 2 * MIB) });
    assert_eq!(bench.wrote(1, MIB..2 * MIB), [Output::Drop { source: honest }, Output::EndTurn, Output::Verify]);
    let out = bench.feed(Input::Verified(WRONG));
    assert_eq!(out, [Output::Discard, Output::Open { size: 2 * MIB }]);
    assert_eq!(bench.feed(Input::Opened { stored: vec![] }), [Output::WantTurn]);
    assert_eq!(bench.feed(Input::Turn), [fetch(1, 2, 0, 2 * MIB)], "it was not banned");
}

#[test]
fn two_sizes_that_two_sources_name_are_not_tried_in_turns_without_asking_anybody() {
    let mut bench = Bench::new(DownloadConfig::default(), None);
    bench.feed(Input::AddSource(source(1)));
    bench.feed(Input::Turn);
    bench.feed(Input::Head { source: S0, head: partial(0, 2 * MIB, 2 * MIB) });
    bench.feed(Input::AddSource(source(2)));
    bench.feed(Input::Opened { stored: vec![] });
    let mut out = bench.feed(Input::Lost { source: S0, how: Lost::Closed });
    assert!(out.iter().any(|output| matches!(output, Output::Fetch { .. })), "the other one is asked: {out:?}");
    out = bench.feed(Input::Head { source: SourceId(1), head: partial(0, MIB, MIB) });
    assert!(out.ends_with(&[Output::Discard, Output::Open { size: MIB }]), "{out:?}");
    out = bench.feed(Input::Opened { stored: vec![] });
    assert!(!out.contains(&Output::Discard), "{out:?}");
}

proptest! {
    /// Whatever happens in whatever order: bounded, in one of its states with a reason, no more sources than it
    /// may have and no byte asked of two, turns taken and given back in pairs, and never a deadline that leads nowhere.
    #[test]
    fn no_order_of_events_leads_it_astray(known in any::<bool>(), small in any::<bool>(), most in 1usize..4, inputs in proptest::collection::vec((any_input(), 0u64..5000), 0..80)) {
        let opened_in_turn = if small { 4 * MIB } else { 0 };
        let config = DownloadConfig { active_sources: most, request: MIB, opened_in_turn, ..DownloadConfig::default() };
        let mut bench = Bench::new(config, known.then_some(4 * MIB));
        let (mut all, mut wants) = (bench.wake(), 0i32);
        for (input, millis) in inputs {
            bench.now += Duration::from_millis(millis);
            all.extend(bench.feed(input));
            if bench.machine.next_timeout().is_some_and(|at| at <= bench.now) {
                let woken = bench.wake();
                let still_due = bench.machine.next_timeout().is_some_and(|at| at <= bench.now);
                prop_assert!(!still_due || !woken.is_empty(), "a deadline that leads nowhere");
                all.extend(woken);
            }
            for output in all.drain(..) {
                match output {
                    Output::WantTurn => wants += 1,
                    Output::YieldTurn | Output::EndTurn => wants = 0,
                    _ => {}
                }
                prop_assert!(wants <= 1, "two turns");
            }
            prop_assert!(bench.machine.active().count() <= most);
            let mut ranges: Vec<_> = bench.machine.sources.ranges().collect();
            ranges.sort_by_key(|range| (range.start, range.end));
            prop_assert!(ranges.windows(2).all(|pair| pair[0].end <= pair[1].start), "asked twice: {:?}", ranges);
            prop_assert!(bench.machine.done() <= bench.machine.size().unwrap_or(0));
            prop_assert!(!bench.reason().is_empty());
            prop_assert_eq!(bench.machine.state() == State::Failed, bench.machine.failure().is_some());
        }
    }
}
