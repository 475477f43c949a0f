//! Sources that have parts of the file, and those that have all of it beside them.

use super::*;

#[test]
fn a_partial_source_is_asked_for_what_it_has() {
    let mut bench = Bench::asking(8 * MIB);
    let has = format!("bytes {}-{}, {}-{}", 2 * MIB, 3 * MIB - 1, 5 * MIB + 9, 7 * MIB + 4);
    let not_yet = head(416, &[("X-Available-Ranges", &has)]);
    let out = bench.feed(Input::Head { source: S0, head: not_yet.clone() });
    assert_eq!(out, [Output::Drop { source: S0 }, fetch(0, 1, 2 * MIB, 3 * MIB)]);
    let mut given = partial(2 * MIB, 3 * MIB, 8 * MIB);
    given.headers = given.headers.with("X-Available-Ranges", has);
    bench.feed(Input::Head { source: S0, head: given.clone() });
    bench.wrote(0, 2 * MIB..3 * MIB);
    // A block grows from its start: what lies in the middle of one is of no use.
    assert_eq!(bench.feed(Input::BodyEnd { source: S0 }), [fetch(0, 1, 6 * MIB, 7 * MIB + 5)]);
    bench.feed(Input::Head {
        source: S0,
        head: {
            given.headers.0[0].1 = format!("bytes {}-{}/{}", 6 * MIB, 7 * MIB + 4, 8 * MIB);
            given
        },
    });
    bench.wrote(0, 6 * MIB..7 * MIB + 5);
    bench.feed(Input::BodyEnd { source: S0 });
    assert!(
        bench.reason().starts_with("source 127.0.0.1:1 has no more of the file yet, next try 0:02"),
        "{}",
        bench.reason()
    );
    // Later it is asked again, for the first that is missing: it may have grown.
    while bench.machine.state() == State::Waiting {
        bench.sleep();
    }
    assert_eq!(bench.feed(Input::Turn), [fetch(0, 1, 0, 2 * MIB)]);
    bench.feed(Input::Head { source: S0, head: head(416, &[]) });
    let reason = bench.reason();
    assert!(
        reason.starts_with("source 127.0.0.1:1 does not have that part of the file (416 Said So), next try 0:3"),
        "{reason}"
    );
    assert_eq!(bench.machine.failure(), None);
}

#[test]
fn a_partial_source_whose_parts_came_from_others_is_asked_what_it_has_by_now() {
    let mut bench = Bench::asking(8 * MIB);
    let has = head(416, &[("X-Available-Ranges", &format!("bytes {}-{}", 2 * MIB, 3 * MIB - 1))]);
    let out = bench.feed(Input::Head { source: S0, head: has });
    assert_eq!(out, [Output::Drop { source: S0 }, fetch(0, 1, 2 * MIB, 3 * MIB)]);
    bench.feed(Input::Lost { source: S0, how: Lost::Closed });
    bench.feed(Input::AddSource(source(2)));
    assert_eq!(bench.feed(Input::Turn), [fetch(1, 2, 0, 8 * MIB)]);
    bench.feed(Input::Head { source: SourceId(1), head: partial(0, 4 * MIB, 8 * MIB) });
    bench.wrote(1, 0..4 * MIB);
    let mut out = bench.feed(Input::BodyEnd { source: SourceId(1) });
    assert_eq!(out, [fetch(1, 2, 4 * MIB, 8 * MIB)]);
    out = bench.feed(Input::Head { source: SourceId(1), head: head(404, &[]) });
    while !out.iter().any(|it| matches!(it, Output::Fetch { .. })) {
        out = bench.sleep();
        if out.contains(&Output::WantTurn) {
            out = bench.feed(Input::Turn);
        }
    }
    assert_eq!(out, [fetch(0, 1, 4 * MIB, 8 * MIB)]);
}

#[test]
fn who_had_parts_and_says_that_it_has_nothing_is_asked_again_a_few_times() {
    let mut bench = Bench::asking(8 * MIB);
    let has = [("X-Available-Ranges", "bytes 0-1048575")];
    bench.feed(Input::Head { source: S0, head: head(416, &has) });
    let (mut asked, began) = (0, bench.now);
    loop {
        // What it says of parts then counts for nothing.
        let besides = if asked % 2 == 0 { &[][..] } else { &has[..] };
        bench.feed(Input::Head { source: S0, head: head(404, besides) });
        let reason = bench.reason();
        if !reason.contains(", next try ") {
            assert!(reason.contains("does not have the file (404 Said So); asking the network again"), "{reason}");
            break;
        }
        asked += 1;
        assert!(asked < 20, "it is asked for ever");
        while !matches!(bench.machine.state(), State::Connecting) {
            if bench.sleep().contains(&Output::WantTurn) {
                bench.feed(Input::Turn);
            }
        }
    }
    // 30 s, 1 min, 2, 4, 8, 10.
    assert_eq!(asked, 6);
    assert!(bench.now.since(began) > Duration::from_secs(20 * 60));
    // And when it gives something again it counts as before.
    let mut bench = Bench::asking(8 * MIB);
    bench.feed(Input::Head { source: S0, head: head(416, &has) });
    bench.feed(Input::Head { source: S0, head: head(404, &[]) });
    while !matches!(bench.machine.state(), State::Connecting) {
        if bench.sleep().contains(&Output::WantTurn) {
            bench.feed(Input::Turn);
        }
    }
    let mut given = partial(0, MIB, 8 * MIB);
    given.headers.push(has[0].0, has[0].1);
    bench.feed(Input::Head { source: S0, head: given });
    bench.wrote(0, 0..MIB);
    bench.feed(Input::BodyEnd { source: S0 });
    assert!(bench.reason().contains("has no more of the file yet, next try 0:0"), "{}", bench.reason());
}

#[test]
fn while_nobody_has_it_those_who_had_not_are_asked_again_ever_more_rarely() {
    for (code, comes_back) in [(404, true), (410, true), (403, false)] {
        let mut bench = Bench::asking(8 * MIB);
        let (mut pauses, mut last, mut requeries) = (Vec::new(), bench.now, 0);
        bench.feed(Input::Head { source: S0, head: head(code, &[]) });
        while bench.now.since(last) < Duration::from_secs(2000) && pauses.len() < 9 {
            let mut out = bench.sleep();
            requeries += out.iter().filter(|it| **it == Output::Requery).count();
            if out.contains(&Output::WantTurn) {
                out = bench.feed(Input::Turn);
            }
            if out.iter().any(|it| matches!(it, Output::Fetch { .. })) {
                pauses.push(bench.now.since(last).as_secs());
                last = bench.now;
                bench.feed(Input::Head { source: S0, head: head(code, &[]) });
            }
        }
        assert!(requeries > 5, "{code}: the network is asked");
        assert_eq!(pauses.is_empty(), !comes_back, "{code}: {pauses:?}");
        // 30 s, doubled up to 10 minutes, and then when the network is asked.
        let least = [30, 60, 120, 240, 480, 600, 600, 600, 600];
        assert!(pauses.iter().zip(least).all(|(pause, least)| (least..=least + 400).contains(pause)), "{pauses:?}");
    }
}

#[test]
fn parts_behind_the_end_of_the_file_are_nothing_and_hold_nothing_up() {
    let size = 2 * MIB + 5;
    for parts in
        ["bytes 2097153-99999999", "bytes 99999999-199999999", "bytes 2097154-18446744073709551615", "bytes 5-4"]
    {
        let mut bench = Bench::asking(size);
        let out = bench.feed(Input::Head { source: S0, head: head(416, &[("X-Available-Ranges", parts)]) });
        assert!(!out.iter().any(|it| matches!(it, Output::Fetch { .. })), "{parts}: {out:?}");
        assert!(bench.reason().contains("does not have that part of the file"), "{parts}: {}", bench.reason());
    }
}

#[test]
fn who_names_two_trees_of_one_file_lied() {
    let mut bench = Bench::asking(8 * MIB);
    let names = |root: u8| head(416, &[("X-Thex-URI", &format!("/t;{}", crate::wire::Tth([root; 24])))]);
    bench.feed(Input::Head { source: S0, head: names(1) });
    while !matches!(bench.machine.state(), State::Connecting) {
        if bench.sleep().contains(&Output::WantTurn) {
            bench.feed(Input::Turn);
        }
    }
    bench.feed(Input::Head { source: S0, head: names(2) });
    assert_eq!(bench.machine.failure(), Some(Failure::Verification), "{}", bench.reason());
    assert!(bench.reason().contains("names another tree than before"), "{}", bench.reason());
}

#[test]
fn a_plain_web_server_is_asked_for_all_in_order_and_a_peer_for_a_little_of_it_anywhere() {
    let size = 64 * MIB;
    for (ask, all) in [
        (Ask::Target("/pub/sample.bin".into()), true),
        (Ask::Target("/uri-res/N2R?urn:sha1:X".into()), false),
        (source(1).ask, false),
    ] {
        let mut bench = Bench::new(DownloadConfig::default(), Some(size));
        bench.feed(Input::AddSource(Source { ask: ask.clone(), ..source(1) }));
        bench.feed(Input::Opened { stored: vec![] });
        let out = bench.feed(Input::Turn);
        let [Output::Fetch { first, end: Some(end), .. }] = out[..] else { panic!("{out:?}") };
        assert_eq!((first, end) == (0, size), all, "{ask:?}: {first}-{end}");
        assert!(all || end - first <= 2 * MIB, "{ask:?}: {first}-{end}");
    }
}

#[test]
fn who_has_all_is_spared_what_the_others_have_or_are_being_given() {
    let size = 8 * MIB;
    let all_but = |index: u64| {
        let (before, after) = (index * MIB, (index + 1) * MIB);
        format!("bytes 0-{}, {after}-{}", before.saturating_sub(1), size - 1)
    };
    for given in [false, true] {
        let config = DownloadConfig { active_sources: 2, swarm: 1, ..DownloadConfig::default() };
        let mut bench = Bench::new(config, Some(size));
        bench.feed(Input::AddSource(source(1)));
        bench.feed(Input::Opened { stored: vec![] });
        let out = bench.feed(Input::Turn);
        let [Output::Fetch { first, end: Some(end), .. }] = out[..] else { panic!("{out:?}") };
        // The one block that nobody else has, or is given.
        let left = (end / MIB + 2) % 8;
        let mut here = partial(first, end, size);
        if given {
            here.headers.push("X-Given-Ranges", all_but(left));
        }
        bench.feed(Input::Head { source: S0, head: here });
        bench.feed(Input::AddSource(source(2)));
        let parts = if given { format!("bytes {first}-{}", end - 1) } else { all_but(left) };
        bench.feed(Input::Head { source: SourceId(1), head: head(416, &[("X-Available-Ranges", &parts)]) });
        bench.now += Duration::from_secs(1);
        bench.wrote(0, first..end);
        let out = bench.feed(Input::BodyEnd { source: S0 });
        let asked: Vec<_> = out
            .iter()
            .filter_map(|it| match it {
                Output::Fetch { source, first, end, .. } if *source == S0 => Some((*first, *end)),
                _ => None,
            })
            .collect();
        assert_eq!(asked, [(left * MIB, Some((left + 1) * MIB))], "given: {given}, {out:?}");
    }
}

#[test]
fn those_who_know_each_other_ask_who_has_all_for_different_blocks() {
    const SIZE: u64 = 60 * MIB;
    const MEMBERS: Range<u16> = 11..16;
    let to_s0 = |out: Vec<Output>| {
        out.into_iter().find_map(|it| match it {
            Output::Fetch { source: S0, first, end: Some(end), .. } => Some(first..end),
            _ => None,
        })
    };
    let mut asked_for = [0; (SIZE / MIB) as usize];
    for us in MEMBERS {
        let config = DownloadConfig { active_sources: 2, swarm: 1, ..DownloadConfig::default() };
        let mut bench = Bench::new(config, Some(SIZE));
        bench.machine.rng = Rng::from_number(us.into());
        bench.feed(Input::AddSource(source(1)));
        bench.feed(Input::Opened { stored: vec![] });
        let mut range = to_s0(bench.feed(Input::Turn)).expect("asked");
        bench.feed(Input::Head { source: S0, head: partial(range.start, range.end, SIZE) });
        bench.feed(Input::Us(source(us).addr));
        for (id, other) in (1..).zip(MEMBERS.filter(|other| *other != us)) {
            bench.feed(Input::AddSource(source(other)));
            let nothing_yet = head(416, &[("X-Available-Ranges", "bytes 1-9")]);
            bench.feed(Input::Head { source: SourceId(id), head: nothing_yet });
        }
        // Each has a fifth of them, and goes on without a word from the others.
        for _ in 0..5 {
            bench.now += Duration::from_secs(1);
            bench.wrote(0, range.clone());
            range = to_s0(bench.feed(Input::BodyEnd { source: S0 })).expect("asked for more");
            bench.feed(Input::Head { source: S0, head: partial(range.start, range.end, SIZE) });
            (range.start / MIB..range.end.div_ceil(MIB)).for_each(|block| asked_for[block as usize] += 1);
        }
    }
    assert!(asked_for.iter().sum::<u32>() >= 25 && asked_for.iter().all(|times| *times <= 1), "{asked_for:?}");
}

#[test]
fn a_partial_source_that_says_it_has_what_it_refuses_is_not_asked_all_the_time() {
    let mut bench = Bench::asking(MIB);
    let mut asked = 0;
    for _ in 0..20 {
        let lie = head(416, &[("X-Available-Ranges", "bytes 0-1048575")]);
        let out = bench.feed(Input::Head { source: S0, head: lie });
        asked += out.iter().filter(|it| matches!(it, Output::Fetch { .. })).count();
    }
    assert_eq!(asked, 1, "once at once");
    assert!(bench.machine.next_timeout().expect("a deadline") > bench.now);
}
