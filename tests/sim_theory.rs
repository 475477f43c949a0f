//! What a flood must cost, by counting, against what it does cost in the simulator.
//!
//! On a connected simple d-regular graph a query that is never stopped by its TTL leaves its origin by d links
//! and every other servent by the d - 1 links that its first copy did not come by: N(d-1)+1 copies in all,
//! whatever the order in which they arrive.
//!
//! The TTL that is enough depends on that order. If all latencies are equal, first copies come by shortest ways,
//! and one more than the origin's eccentricity is enough. If they are not, a first copy may come by a longer
//! way and with less TTL than a later copy would have brought; then the TTL must exceed the longest way that a
//! first copy takes. The last two tests are the smallest worlds in which that makes a difference.

use std::time::Duration;

use filbert::base::Rng;
use filbert::proto::Counters;
use filbert::sim::{Flood, Graph, Latency, ServentId, World, WorldOptions};

/// N, d and seed of the graphs.
const GRAPHS: [(usize, usize, u64); 10] = [
    (4, 3, 1),
    (10, 3, 1),
    (50, 3, 2),
    (200, 3, 3),
    (51, 4, 4),
    (200, 4, 5),
    (101, 6, 6),
    (300, 6, 7),
    (40, 7, 8),
    (250, 8, 9),
];

fn full_cost(nodes: usize, degree: usize) -> u64 {
    (nodes * (degree - 1) + 1) as u64
}

fn world(graph: &Graph, seed: u64, latency: Latency, max_ttl: u8) -> World {
    let mut options = WorldOptions::new(seed);
    options.config.max_ttl = max_ttl;
    options.latency = latency;
    World::of_graph(options, graph).expect("all links come up")
}

fn flood(world: &mut World, origin: ServentId, ttl: usize) -> Flood {
    let ttl = u8::try_from(ttl).expect("a TTL is a byte");
    let guid = world.search(origin, "blue train", Some(ttl)).expect("the origin has neighbours");
    assert!(world.run_until_quiet(Duration::from_secs(3600)), "a flood ends");
    world.flood(guid).expect("the world saw it").clone()
}

fn total(world: &World, of: fn(&Counters) -> u64) -> u64 {
    (0..world.len()).map(|id| of(&world.counters(id))).sum()
}

#[test]
fn with_equal_latencies_a_ttl_of_eccentricity_plus_1_costs_n_times_d_minus_1_plus_1() {
    for (nodes, degree, seed) in GRAPHS {
        let mut rng = Rng::from_number(seed);
        let graph = Graph::random_regular(nodes, degree, &mut rng).expect("it exists");
        let origin = rng.below(nodes);
        let eccentricity = graph.eccentricity(origin).expect("it is connected");
        let mut world = world(&graph, seed, Latency::Equal { millis: 40 }, 255);

        let full = flood(&mut world, origin, eccentricity + 1);
        assert_eq!(full.messages, full_cost(nodes, degree), "N {nodes}, d {degree}");
        assert_eq!((full.reach(), usize::from(full.depth())), (nodes, eccentricity));
        assert_eq!(full.took(), Duration::from_millis(40) * (eccentricity as u32 + 1));

        // One less reaches all too, but those farthest out do not send it on.
        let farthest = graph.distances(origin).into_iter().filter(|&d| d == Some(eccentricity)).count();
        let short = flood(&mut world, origin, eccentricity);
        assert_eq!(short.reach(), nodes);
        assert_eq!(short.messages, full.messages - (farthest * (degree - 1)) as u64);
    }
}

#[test]
fn whatever_the_latencies_a_ttl_above_every_way_costs_n_times_d_minus_1_plus_1() {
    for (nodes, degree, seed) in GRAPHS {
        let mut rng = Rng::from_number(seed);
        let graph = Graph::random_regular(nodes, degree, &mut rng).expect("it exists");
        for (latencies, max_millis) in [(1, 100), (2, 2_000)] {
            let latency = Latency::Uniform { min_millis: 1, max_millis };
            let mut world = world(&graph, seed + 100 * latencies, latency, 255);
            let origin = rng.below(nodes);
            let flood = flood(&mut world, origin, 255);
            assert!(flood.depth() < 255, "no first copy came by so long a way");
            assert_eq!(flood.messages, full_cost(nodes, degree), "N {nodes}, d {degree}");
            assert_eq!((flood.reach(), flood.duplicates), (nodes, flood.messages - (nodes as u64 - 1)));
        }
    }
}

#[test]
fn on_a_ring_and_on_a_full_graph_too() {
    let latency = Latency::Uniform { min_millis: 1, max_millis: 500 };
    let ring = flood(&mut world(&Graph::ring(25), 1, latency, 255), 3, 255);
    assert_eq!((ring.messages, ring.reach()), (full_cost(25, 2), 25));
    let full = flood(&mut world(&Graph::full(15), 1, latency, 255), 3, 255);
    assert_eq!((full.messages, full.reach()), (full_cost(15, 14), 15));
}

#[test]
fn what_the_servents_count_is_what_the_world_saw_on_the_links() {
    let graph = Graph::random_regular(60, 5, &mut Rng::from_number(3)).expect("it exists");
    let mut world = world(&graph, 3, Latency::default(), 255);
    let full = flood(&mut world, 7, 255);
    world.run_until_still(Duration::from_secs(10));
    assert_eq!(total(&world, |c| c.query_copies), full.messages);
    assert_eq!(total(&world, |c| c.queries_received), full.messages);
    assert_eq!(total(&world, |c| c.duplicates), full.duplicates);
    assert_eq!(total(&world, |c| c.queries_searched), 59, "each but the origin looks once");
    world.check_symmetric().expect("what one end sent the other received");
    for (a, b) in graph.edges() {
        // A first copy goes one way and nothing comes back; on the other links both ends send, and both drop.
        let [at_a, at_b] = [(a, b), (b, a)].map(|(x, y)| world.peer(x, y).expect("they are linked").duplicates_in);
        assert_eq!(at_a, at_b, "between {a} and {b}");
    }
}

#[test]
fn keep_alives_and_pongs_are_not_part_of_the_cost() {
    let graph = Graph::random_regular(30, 3, &mut Rng::from_number(1)).expect("it exists");
    let mut world = world(&graph, 1, Latency::default(), 255);
    world.run_for(Duration::from_secs(300));
    assert!(total(&world, |c| c.pings_sent) > 30 * 3, "links were kept alive for five minutes");
    assert_eq!((total(&world, |c| c.query_copies), world.floods().count()), (0, 0));
    assert_eq!(flood(&mut world, 0, 255).messages, full_cost(30, 3));
    assert_eq!(world.graph(), graph, "no link was lost");
}

/// A graph with a short way that is slow: the latency between `slow` is a second, all others are 10 ms.
fn world_with_a_slow_link(graph: &Graph, slow: (ServentId, ServentId)) -> World {
    let mut options = WorldOptions::new(1);
    options.config.max_ttl = 255;
    options.config.only_listed = true;
    options.latency = Latency::Equal { millis: 10 };
    let mut world = World::new(options);
    for _ in 0..graph.len() {
        world.add();
    }
    world.set_latency(slow.0, slow.1, Duration::from_secs(1));
    for (a, b) in graph.edges() {
        world.connect(a, b);
    }
    world.settle(graph, Duration::from_secs(30)).expect("all links come up");
    world
}

#[test]
fn with_unequal_latencies_a_ttl_of_eccentricity_plus_1_may_cost_less() {
    // A ring of six is 2-regular. From 0 the eccentricity is 3, so the TTL is 4. The link 0-5 is slow: 4 hears
    // first over 1, 2 and 3, where the TTL is used up, and so nothing goes from 4 to 5.
    let ring = Graph::ring(6);
    assert_eq!(ring.eccentricity(0), Some(3));
    let mut world = world_with_a_slow_link(&ring, (0, 5));
    let short = flood(&mut world, 0, 4);
    assert_eq!((short.messages, short.reach()), (full_cost(6, 2) - 1, 6));
    assert_eq!((short.seen[&4].ttl, short.seen[&4].links), (1, 4), "two links are the shortest way to 4");
    // With more TTL the first copy comes all the way round to 5, over five links; so 6 is what it takes.
    assert_eq!(flood(&mut world, 0, 5).messages, full_cost(6, 2) - 1);
    assert_eq!(flood(&mut world, 0, 6).messages, full_cost(6, 2));
}

#[test]
fn with_unequal_latencies_a_ttl_of_eccentricity_plus_1_may_not_even_reach_all() {
    //   1---2
    //   |   |
    //   0~~~3---4---5      0~~~3 is slow. 5 is three links from 0, the TTL is 4.
    //
    // 3 hears first over 1 and 2 and sends on what is left, one link far. The copy that comes straight from 0
    // would reach 5, but it is a duplicate.
    let graph = Graph::from_edges(6, [(0, 1), (1, 2), (2, 3), (0, 3), (3, 4), (4, 5)]);
    assert_eq!(graph.eccentricity(0), Some(3));
    let mut world = world_with_a_slow_link(&graph, (0, 3));
    let short = flood(&mut world, 0, 4);
    assert_eq!(short.seen.keys().copied().collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(flood(&mut world, 0, 5).reach(), 6);
}
