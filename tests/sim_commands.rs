//! What `filbert sim run`, `compare` and `trace` tell, as values.

use filbert::sim::{
    Capacity, CompareOptions, Knobs, Latency, RunError, Scenario, Topology, TraceOptions, compare, run, trace,
};

fn small() -> Scenario {
    Scenario { nodes: 40, seed: 5, searches: 4, settle_secs: 24, recover_secs: 48, ..Scenario::default() }
}

#[test]
fn a_run_shows_the_network_before_and_after_a_third_of_it_dies() {
    let report = run(&small()).expect("it can be run");
    let (first, last) = (&report.samples[0], report.samples.last().expect("time passed"));
    assert_eq!((first.alive, last.alive), (40, 40 - 13));
    assert_eq!(last.largest_part, last.alive, "the others are one network: {report}");
    assert!(last.degree_min >= 3, "{report}");
    let broken = report.samples.iter().find(|sample| sample.alive == 27).expect("it was looked at");
    assert!(broken.links < first.links.max(last.links), "links died with their servents: {report}");
    assert_eq!(report.searches.len(), 8, "four before and four after");
    for search in &report.searches {
        assert_eq!(search.messages, search.reach as u64 - 1 + search.duplicates, "{search:?}");
        assert!(search.reach <= search.alive && search.hits <= search.holders, "{search:?}");
    }
}

#[test]
fn the_same_scenario_gives_the_same_bytes() {
    let text = |scenario: &Scenario| {
        let report = run(scenario).expect("it can be run");
        (report.to_string(), report.to_json_lines())
    };
    let (pretty, lines) = text(&small());
    assert_eq!((pretty, lines.clone()), text(&small()));
    assert_ne!(lines, text(&Scenario { seed: 6, ..small() }).1);
    for line in lines.lines() {
        let row: serde_json::Value = serde_json::from_str(line).expect("each line is JSON");
        assert!(row["event"] == "sample" || row["event"] == "search", "{line}");
    }
}

#[test]
fn more_neighbours_reach_farther_at_a_higher_price() {
    let knobs = |neighbours| Knobs { neighbours: Some(neighbours), ttl: Some(3), ..Knobs::default() };
    // 200, so that three links do not reach everybody anyway.
    let scenario = |neighbours| Scenario { nodes: 200, kill_per_mille: 0, knobs: knobs(neighbours), ..small() };
    let options = CompareOptions { a: ("3".to_owned(), scenario(3)), b: ("8".to_owned(), scenario(8)) };
    let both = compare(&options).expect("both can be run");
    let [few, many] = &both.rows[..] else { panic!("two rows: {both}") };
    assert!(few.degree_mean < many.degree_mean && few.messages < many.messages, "{both}");
    assert!(few.reach < many.reach, "{both}");
    assert_eq!(both.to_json_lines().lines().count(), 2);
}

#[test]
fn a_scenario_can_give_the_links_and_make_them_slow() {
    let topology = Topology::Regular { degree: 4 };
    let capacity = Some(Capacity { bytes_per_second: 10_000, buffer: 8192 });
    let report = run(&Scenario { topology, capacity, kill_per_mille: 0, ..small() }).expect("it can be run");
    assert!(report.samples.iter().all(|sample| (sample.degree_min, sample.degree_max) == (4, 4)), "{report}");
    assert_eq!(report.searches.len(), 4);
}

#[test]
fn what_cannot_be_run_says_why() {
    assert_eq!(run(&Scenario { nodes: 1, ..small() }), Err(RunError::TooFew));
    assert_eq!(run(&Scenario { nodes: 1_000_001, ..small() }), Err(RunError::TooMany));
    let odd = Scenario { nodes: 5, topology: Topology::Regular { degree: 3 }, ..small() };
    let error = run(&odd).expect_err("5 times 3 is odd").to_string();
    assert_eq!(error, "no graph of 5 servents with 3 neighbours each: servents times neighbours must be even");
    assert!(trace(&TraceOptions { nodes: 0, ..TraceOptions::default() }).is_err());
}

#[test]
fn a_trace_follows_every_copy_and_ttl_and_hops_always_sum_up() {
    let options = TraceOptions { latency: Latency::Equal { millis: 10 }, ..TraceOptions::default() };
    let trace = trace(&options).expect("it can be run");
    assert_eq!(trace.rows.iter().filter(|row| row.copy == "first").count(), trace.reach - 1);
    for row in &trace.rows {
        assert_eq!(row.ttl + row.hops, 4, "{row:?}");
        assert_eq!(row.at_us, 10_000 * (u64::from(row.hops) + 1), "{row:?}");
        let back = trace.rows.iter().any(|other| (other.from, other.to) == (row.to, row.from) && other.copy == "first");
        assert!(row.copy == "first" || !back, "nothing goes back to where a first copy came from: {row:?}");
    }
    assert!(trace.to_string().ends_with("suppressed as duplicates\n"), "{trace}");
}
