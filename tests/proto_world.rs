//! Servents among servents, in virtual time: what only shows when several of them talk.

use std::time::Duration;

use bytes::Bytes;
use filbert::proto::{Command, DropReason, RoleChoice};
use filbert::sim::{Capacity, Graph, Latency, ServentId, SharedFile, World, WorldOptions};
use filbert::wire::query::Query;
use filbert::wire::{Frame, Guid, Kind};

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn file(name: &str) -> SharedFile {
    SharedFile { name: name.to_owned(), size: 1000 }
}

/// A world of these links, all of 20 ms.
fn world_of(graph: &Graph) -> World {
    let mut options = WorldOptions::new(1);
    options.latency = Latency::Equal { millis: 20 };
    World::of_graph(options, graph).expect("all links come up")
}

/// A world in which all know the first servent and no other.
fn newcomers(count: usize, seed: u64) -> World {
    newcomers_of(WorldOptions::new(seed), count)
}

fn newcomers_of(options: WorldOptions, count: usize) -> World {
    let mut world = World::new(options);
    for id in 0..count {
        world.add();
        if id > 0 {
            world.connect(id, 0);
        }
    }
    world
}

/// Fewest and most neighbours of the living.
fn degrees(world: &World) -> (usize, usize) {
    let degree = |id: &ServentId| world.peers(*id).len();
    let alive = world.alive();
    (alive.iter().map(degree).min().unwrap_or(0), alive.iter().map(degree).max().unwrap_or(0))
}

#[test]
fn on_a_line_of_three_ttl_1_does_not_reach_the_far_end_and_2_does() {
    let mut world = world_of(&Graph::line(3));
    world.share(2, file("blue train.flac"));

    let near = world.search(0, "blue train", Some(1)).expect("it has a neighbour");
    world.run_for(secs(5));
    assert_eq!(world.found_for(near).count(), 0);
    assert_eq!(world.flood(near).map(|flood| flood.reach()), Some(2));

    let far = world.search(0, "blue train", Some(2)).expect("it has a neighbour");
    world.run_for(secs(5));
    let found: Vec<_> = world.found_for(far).collect();
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].source, found[0].hops, &found[0].names[..]),
        (world.addr(2), 2, &["blue train.flac".into()][..])
    );
    assert_eq!(world.peers(0).iter().map(|(id, _)| *id).collect::<Vec<_>>(), [1], "0 and 2 are not neighbours");
}

#[test]
fn a_ring_of_six_with_chords_asks_each_servent_once_and_counts_every_copy() {
    //      0---1          Everyone is linked to the two beside and to the one across: d = 3.
    //     /  X  \         A flood costs N(d-1)+1 = 13 copies: 5 first ones and 8 duplicates.
    //    5---+---2
    //     \  X  /
    //      4---3
    let graph = Graph::ring_with_chords(6, 3);
    let mut world = world_of(&graph);
    (1..6).for_each(|id| world.share(id, file("blue train.flac")));
    let query = world.search(0, "blue train", Some(7)).expect("it has neighbours");
    world.run_for(secs(10));

    let flood = world.flood(query).expect("it went out");
    assert_eq!((flood.messages, flood.reach(), flood.duplicates), (13, 6, 8));
    assert_eq!(world.found_for(query).count(), 5, "each answers once");
    let hops: Vec<u8> = world.found_for(query).map(|found| found.hops).collect();
    assert_eq!(hops, [1, 1, 1, 2, 2]);
    // 1, 3 and 5 hear from 0, and each tells 2 and 4, where the copy of 1 comes first. So 2 and 4 suppress those of
    // 3 and 5, and send theirs to 3 and 5, which suppress them. Nothing comes back to 0 or to 1.
    let rows = (0..6).map(|id| {
        let c = world.counters(id);
        assert_eq!(c.drops.total(), c.duplicates, "servent {id} drops duplicates and nothing else");
        [c.queries_originated, c.queries_received, c.queries_searched, c.queries_answered, c.query_copies, c.duplicates]
    });
    let want = [
        // asked, received, searched, answered, sent, duplicates
        [1, 0, 0, 0, 3, 0],
        [0, 1, 1, 1, 2, 0],
        [0, 3, 1, 1, 2, 2],
        [0, 3, 1, 1, 2, 2],
        [0, 3, 1, 1, 2, 2],
        [0, 3, 1, 1, 2, 2],
    ];
    assert_eq!(rows.collect::<Vec<_>>(), want);
    for (a, b) in graph.edges() {
        let ends = [(a, b), (b, a)].map(|(x, y)| world.peer(x, y).expect("they are linked"));
        assert_eq!(ends[0].duplicates_in, ends[1].duplicates_in, "between {a} and {b}");
        let first = flood.seen.iter().any(|(&to, sight)| (sight.from, to) == (a, b) || (sight.from, to) == (b, a));
        let copies = ends[0].queries_out + ends[1].queries_out;
        assert_eq!(copies, if first { 1 } else { 2 }, "a first copy is never answered by one: between {a} and {b}");
    }
    world.run_until_still(secs(10));
    world.check_symmetric().expect("both ends agree");
}

#[test]
fn a_ttl_of_255_from_a_stranger_is_clipped_to_7() {
    let mut world = world_of(&Graph::line(12));
    let payload = Query::new("blue train", &[]).encode();
    let guid = Guid([0x42; 16]);
    assert!(world.inject(0, 1, Frame::new(guid, Kind::Query, 255, payload)));
    world.run_for(secs(10));
    let flood = world.flood(guid).expect("it went out");
    let last = flood.seen.last_key_value().expect("it arrived");
    assert_eq!((*last.0, last.1.links, last.1.ttl), (7, 7, 1), "seven links from 0, and no farther");
    assert_eq!(flood.seen[&2].ttl, 6, "1 clipped it");
}

#[test]
fn garbage_on_one_link_changes_nothing_for_the_others() {
    let mut world = world_of(&Graph::full(4));
    world.share(3, file("blue train.flac"));
    let mut sent = 0;
    for kind in [Kind::Query, Kind::QueryHit, Kind::Push, Kind::Pong, Kind::Ping, Kind::Vendor, Kind::Other(0x77)] {
        for len in [0, 1, 15, 16, 40] {
            sent += 1;
            let guid = Guid([sent; 16]);
            assert!(world.inject(0, 1, Frame::new(guid, kind, 3, Bytes::from(vec![0xff; len]))));
        }
    }
    world.run_for(secs(5));
    let drops = world.counters(1).drops;
    assert!(drops.get(DropReason::Malformed) > 0 && drops.get(DropReason::Unknown) >= 10, "{drops:?}");
    assert_eq!(world.peer(1, 0).map(|peer| peer.drops), Some(drops.by_reason()), "all on that link's account");
    for id in [2, 3] {
        let c = world.counters(id);
        assert_eq!(c.drops.total(), c.duplicates, "what 1 passed on to {id} could be read: {:?}", c.drops);
    }
    let query = world.search(2, "blue train", None).expect("it has neighbours");
    world.run_for(secs(5));
    assert_eq!(world.found_for(query).count(), 1);
}

#[test]
fn twelve_that_know_only_the_first_have_three_neighbours_each_within_20_s() {
    for seed in 1..=5 {
        let mut world = newcomers(12, seed);
        world.run_for(secs(20));
        let (least, most) = degrees(&world);
        assert!(least >= 3, "seed {seed}: one has only {least}");
        assert!(most <= 32, "seed {seed}: one has {most}");
        assert!(world.is_connected(), "seed {seed}");
        world.run_until_still(secs(5));
        world.check_symmetric().expect("both ends agree");
    }
}

#[test]
fn when_a_third_of_twelve_is_killed_the_others_stay_connected_and_search() {
    for seed in 1..=5 {
        let mut world = newcomers(12, seed);
        world.run_for(secs(20));
        // Also the one that all knew first.
        [0, 3, 6, 9].into_iter().for_each(|id| world.kill(id));
        world.run_for(secs(20));
        assert!(world.is_connected(), "seed {seed}");
        assert!(degrees(&world).0 >= 3, "seed {seed}: {:?}", degrees(&world));
        world.share(11, file("blue train.flac"));
        let query = world.search(1, "blue train", None).expect("it has neighbours");
        world.run_for(secs(5));
        assert_eq!(world.flood(query).map(|flood| flood.reach()), Some(8), "seed {seed}");
        assert_eq!(world.found_for(query).count(), 1, "seed {seed}");
    }
}

#[test]
fn two_hundred_that_know_only_the_first_become_one_network_and_stay_one_when_a_third_dies() {
    let mut options = WorldOptions::new(7);
    options.config.role = RoleChoice::Ultrapeer;
    let mut world = newcomers_of(options, 200);
    world.run_for(secs(120));
    assert!(world.is_connected());
    let (least, most) = degrees(&world);
    assert!(least >= 3 && most <= 32, "between {least} and {most}");
    (0..200).step_by(3).for_each(|id| world.kill(id));
    world.run_for(secs(120));
    assert!(world.is_connected());
    let (least, most) = degrees(&world);
    assert!(least >= 3 && most <= 32, "between {least} and {most}");
    let query = world.search(1, "blue train", Some(7)).expect("it has neighbours");
    world.run_for(secs(10));
    assert_eq!(world.flood(query).map(|flood| flood.reach()), Some(world.alive().len()));
}

#[test]
fn a_neighbour_whose_plug_was_pulled_is_noticed_and_replaced() {
    let mut world = newcomers(12, 3);
    world.run_for(secs(20));
    world.vanish(5);
    world.run_for(secs(1));
    assert!(world.alive().iter().any(|&id| world.peer(id, 5).is_some()), "nobody knows yet");
    world.run_for(secs(90));
    assert!(world.alive().iter().all(|&id| world.peer(id, 5).is_none()), "silence told them");
    assert!(world.is_connected() && degrees(&world).0 >= 3, "{:?}", degrees(&world));
}

#[test]
fn who_says_goodbye_is_gone_at_once() {
    let mut world = newcomers(6, 3);
    world.run_for(secs(20));
    world.stop(2);
    world.run_for(secs(1));
    assert!(world.alive().iter().all(|&id| world.peer(id, 2).is_none()));
    assert!(world.is_connected());
}

#[test]
fn two_halves_that_were_parted_find_each_other_again() {
    let mut world = newcomers(12, 4);
    world.run_for(secs(20));
    world.partition(6);
    world.run_for(secs(180));
    assert!(!world.is_connected(), "nothing passes");
    world.heal();
    world.run_for(secs(600));
    assert!(world.is_connected(), "{:?}", world.graph());
}

#[test]
fn with_only_listed_nobody_is_dialled_who_was_not_named() {
    let graph = Graph::line(6);
    let mut world = world_of(&graph);
    world.run_for(secs(600));
    assert_eq!(world.graph(), graph);
    let dials: u64 = (0..6).map(|id| world.counters(id).dials).sum();
    assert_eq!(dials, 5, "one for each link");
}

#[test]
fn the_size_of_the_neighbour_set_can_be_changed_live() {
    let mut world = newcomers(20, 9);
    world.run_for(secs(60));
    (0..20).for_each(|id| world.command(id, Command::SetNeighbours(3)));
    world.run_for(secs(60));
    assert!(world.is_connected());
    let before = world.graph().edges().count();
    (0..20).for_each(|id| world.command(id, Command::SetNeighbours(12)));
    world.run_for(secs(120));
    let after = world.graph().edges().count();
    assert!(after > before, "{before} links, then {after}");
    assert!(degrees(&world).0 >= 12, "{:?}", degrees(&world));
}

#[test]
fn through_a_slow_link_hits_pass_and_old_queries_give_way() {
    // 0 --- 1 --- 2: 1 KB/s each. 0 asks more than the link takes; what waits is bounded, and the youngest pass.
    let mut options = WorldOptions::new(1);
    options.capacity = Some(Capacity { bytes_per_second: 1000, buffer: 1024 });
    options.config.limits.queue_bytes = 4096;
    let mut world = World::of_graph(options, &Graph::line(3)).expect("all links come up");
    world.share(2, file("blue train.flac"));
    let queries: Vec<Guid> = (0..400).filter_map(|_| world.search(0, "blue train", None)).collect();
    assert_eq!(queries.len(), 400);
    let queued = world.peer(0, 1).expect("they are linked").queued;
    assert!(queued > 0 && queued <= 4096, "{queued} bytes wait");
    let dropped = world.counters(0).drops.get(DropReason::QueueFull);
    assert!(dropped > 100, "{dropped} queries gave way");
    world.run_for(secs(120));
    assert_eq!(world.peer(0, 1).map(|peer| peer.queued), Some(0), "it went out in the end");
    assert_eq!(world.counters(0).query_copies + dropped, 400, "each query left or gave way");
    assert_eq!(world.found_for(queries[399]).count(), 1, "the youngest was answered");
    assert!(world.is_connected(), "a slow link is no dead link");
    world.check_symmetric().expect("both ends agree");
}

#[test]
fn the_same_seed_leads_to_the_same_network() {
    let run = |seed| {
        let mut world = newcomers(30, seed);
        world.run_for(secs(60));
        let traffic: Vec<_> = (0..30).map(|id| world.counters(id).sent).collect();
        (world.graph(), traffic)
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}
