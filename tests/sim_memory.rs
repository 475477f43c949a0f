//! Ten thousand servents in one process: tables grow on demand, so an idle servent takes what its links take.
//!
//! This file holds one test, so that nothing else in its process moves the numbers.
#![cfg(target_os = "linux")]

use std::time::Duration;

use filbert::sim::{Graph, World, WorldOptions};

const SERVENTS: usize = 10_000;

/// Bytes of memory that the process holds.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("it is there");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<usize>().ok()).expect("it is a number") * 1024
}

#[test]
fn ten_thousand_idle_servents_take_no_more_than_4_kib_each_and_16_with_four_links() {
    let before = resident();
    let mut world = World::new(WorldOptions::new(1));
    for _ in 0..SERVENTS {
        world.add();
    }
    world.run_for(Duration::from_secs(60));
    let alone = resident().saturating_sub(before) / SERVENTS;
    println!("{alone} bytes each without a link");
    assert!(alone <= 4 * 1024, "{alone} bytes each without a link");

    // The first world stays, so that its memory is not used again and the numbers are the second one's own.
    let before = resident();
    let linked_world =
        World::of_graph(WorldOptions::new(1), &Graph::ring_with_chords(SERVENTS, 100)).expect("links come up");
    let linked = resident().saturating_sub(before) / SERVENTS;
    println!("{linked} bytes each with four links");
    assert!(linked <= 16 * 1024, "{linked} bytes each with four links");
    assert_eq!((world.peers(0).len(), linked_world.peers(0).len()), (0, 4));
}
