//! Ultrapeers and leaves, in virtual time: whether they find each other, whether everything is found, and what it costs.

use std::time::Duration;

use filbert::base::Rng;
use filbert::proto::{Config, DropReason, Role, RoleChoice};
use filbert::sim::{Hop, ServentId, SharedFile, World, WorldOptions};

const ULTRAPEERS: usize = 40;
const LEAVES: usize = 160;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Servents of these roles that all know the first one and no other; each shares one file that nobody else has, and the
/// words of it are told.
fn network(ultrapeers: usize, leaves: usize, seed: u64, role: RoleChoice) -> World {
    let mut options = WorldOptions::new(seed);
    options.hop = Hop::Encoded;
    let mut world = World::new(options);
    for id in 0..ultrapeers + leaves {
        let role = if id < ultrapeers { role } else { RoleChoice::Leaf };
        world.add_with(Config { role, leaves: leaves.max(300), ..world.config() });
        world.share(id, SharedFile { name: format!("song{id} of singer{}.ogg", id % 7), size: 1000 });
        world.tell_words(id);
        if id > 0 {
            world.connect(id, 0);
        }
    }
    world
}

fn role(world: &World, id: ServentId) -> Option<Role> {
    world.servent(id).map(|servent| servent.role())
}

/// Searches `each` from ten places, each of its own; how many were found and how many messages a query took.
fn recall(world: &mut World, files: &[ServentId], rng: &mut Rng) -> (usize, usize, u64) {
    let (mut asked, mut found, mut messages) = (0, 0, 0);
    for &file in files {
        let alive = world.alive();
        for _ in 0..10 {
            let by = alive[rng.below(alive.len())];
            if by == file {
                continue;
            }
            let query = world.search_by(by, &format!("song{file} singer{}", file % 7), None, None).expect("it lives");
            world.run_for(secs(3));
            asked += 1;
            found += usize::from(world.found_for(query).count() > 0);
            messages += world.flood(query).map_or(0, |flood| flood.messages);
        }
    }
    (asked, found, messages / asked.max(1) as u64)
}

#[test]
fn forty_ultrapeers_and_their_leaves_form_one_network_in_which_every_file_is_found() {
    let mut world = network(ULTRAPEERS, LEAVES, 11, RoleChoice::Ultrapeer);
    world.run_for(secs(60));
    assert!(world.is_connected());
    for id in 0..ULTRAPEERS + LEAVES {
        let ultrapeers = world.peers(id).iter().filter(|(_, peer)| peer.role == Role::Ultrapeer).count();
        let least = if id < ULTRAPEERS { 6 } else { 2 };
        assert!(ultrapeers >= least, "{id} has {ultrapeers}");
    }
    let mut rng = Rng::from_number(5);
    let files: Vec<ServentId> = (0..ULTRAPEERS + LEAVES).step_by(20).collect();
    let (asked, found, messages) = recall(&mut world, &files, &mut rng);
    assert_eq!(found, asked);
    // All ultrapeers hear of it, of the leaves hardly one that has nothing: a flood of all 200 would take over a thousand.
    assert!((40..=400).contains(&messages), "{messages} messages a query");

    (0..ULTRAPEERS + LEAVES).step_by(3).for_each(|id| world.kill(id));
    world.run_for(secs(30));
    assert!(world.is_connected());
    let left: Vec<ServentId> = files.into_iter().filter(|id| id % 3 != 0).collect();
    let (asked, found, _) = recall(&mut world, &left, &mut rng);
    assert_eq!(found, asked);
}

#[test]
fn of_a_thousand_leaves_a_query_reaches_only_those_that_may_have_an_answer() {
    let mut world = network(1, 1000, 3, RoleChoice::Ultrapeer);
    // All dial at once, and no more than a few handshakes are under way at a time.
    world.run_for(secs(300));
    assert_eq!(world.servent(0).map(|servent| servent.leaves()), Some(1000));
    let query = world.search_by(1, "song77 singer0", None, None).expect("it lives");
    world.run_for(secs(5));
    assert_eq!(world.found_for(query).count(), 1);
    let kept: u64 = world.peers(0).iter().map(|(_, peer)| peer.kept_back).sum();
    let sent: u64 = world.peers(0).iter().map(|(_, peer)| peer.queries_out).sum();
    assert_eq!((sent, kept), (1, 998), "of 1,000 leaves one asks, one has it, 998 hear nothing");
}

#[test]
fn servents_that_choose_their_role_become_a_network_of_some_ultrapeers_and_many_leaves() {
    let mut world = network(200, 0, 4, RoleChoice::Auto);
    world.run_for(secs(60));
    let ultrapeers =
        |world: &World| world.alive().into_iter().filter(|&id| role(world, id) == Some(Role::Ultrapeer)).count();
    assert_eq!(ultrapeers(&world), 200, "at first all are equal");
    for hour in 1..=4 {
        world.run_for(secs(3600));
        let count = ultrapeers(&world);
        assert!((10..=190).contains(&count), "{count} ultrapeers after {hour} h");
        assert!(world.is_connected(), "after {hour} h");
    }
    let mut rng = Rng::from_number(6);
    let (asked, found, _) = recall(&mut world, &[3, 77, 150, 199], &mut rng);
    assert!(found * 100 >= asked * 95, "{found} of {asked}");
}

#[test]
fn few_servents_that_choose_their_role_stay_equal() {
    let mut world = network(60, 0, 4, RoleChoice::Auto);
    world.run_for(secs(7200));
    assert!(world.alive().into_iter().all(|id| role(&world, id) == Some(Role::Ultrapeer)));
}

#[test]
fn leaves_whose_only_ultrapeer_is_full_are_sent_on_to_others() {
    let mut options = WorldOptions::new(8);
    options.config.leaves = 5;
    let mut world = World::new(options);
    for id in 0..40 {
        let role = if id < 10 { RoleChoice::Ultrapeer } else { RoleChoice::Leaf };
        let config = Config { role, shields: 1, ..world.config() };
        world.add_with(config);
        if id > 0 {
            world.connect(id, 0);
        }
    }
    world.run_for(secs(120));
    let without = (10..40).filter(|&id| world.peers(id).is_empty()).count();
    assert_eq!(without, 0, "30 leaves, 50 slots");
    let malformed: u64 = (0..40).map(|id| world.counters(id).drops.get(DropReason::Malformed)).sum();
    assert_eq!(malformed, 0);
}

/// Nobody has a link to the crawler, or keeps it in mind as a host to be dialled.
fn nobody_knows(world: &World, crawler: std::net::SocketAddr) -> bool {
    world.alive().into_iter().filter_map(|id| world.servent(id)).all(|servent| {
        servent.peers().iter().all(|peer| peer.addr.ip() != crawler.ip() && peer.remote.ip() != crawler.ip())
            && servent.hosts().iter().all(|host| host.addr.ip() != crawler.ip())
    })
}

/// Sums of what all count: crawlers answered; links that came to be; handshakes that were refused or came to no end.
fn crawled_linked_refused(world: &World) -> (u64, u64, u64) {
    world.alive().into_iter().map(|id| world.counters(id)).fold((0, 0, 0), |sum, own| {
        let linked = own.links_in + own.links_out;
        let refused = own.refused_by_us + own.refused_by_them + own.handshakes_timed_out;
        (sum.0 + own.crawled, sum.1 + linked, sum.2 + refused)
    })
}

#[test]
fn a_crawler_finds_every_servent_by_the_lists_of_the_ultrapeers_and_gets_no_link() {
    let mut world = network(ULTRAPEERS, LEAVES, 11, RoleChoice::Ultrapeer);
    world.run_for(secs(300));
    let (links, before) = (world.graph(), crawled_linked_refused(&world));
    let crawl = world.crawl(7);
    let all: std::collections::BTreeSet<_> = world.alive().into_iter().map(|id| world.addr(id)).collect();
    assert_eq!(all.len(), ULTRAPEERS + LEAVES);
    assert_eq!(crawl.found, all);
    let asked: Vec<_> = crawl.answers.keys().copied().collect();
    assert_eq!(asked, (0..ULTRAPEERS).map(|id| world.addr(id)).collect::<Vec<_>>(), "each ultrapeer once, no leaf");
    world.run_for(secs(10));
    assert_eq!(crawled_linked_refused(&world), (before.0 + ULTRAPEERS as u64, before.1, before.2));
    assert!(nobody_knows(&world, crawl.from));
    let same = links.edges().eq(world.graph().edges());
    assert!(same, "who was linked is linked");
}

#[test]
fn who_has_no_slot_left_answers_a_crawler_too_a_hundred_leaves_at_a_time() {
    let mut options = WorldOptions::new(9);
    options.hop = Hop::Encoded;
    options.config.leaves = 150;
    let mut world = World::new(options);
    for id in 0..152 {
        let role = if id == 0 { RoleChoice::Ultrapeer } else { RoleChoice::Leaf };
        world.add_with(Config { role, accept: Some(0), only_listed: true, ..world.config() });
        if id > 0 {
            world.connect(id, 0);
        }
    }
    world.run_for(secs(120));
    assert_eq!(world.servent(0).map(|servent| servent.leaves()), Some(150), "one of them finds no slot");
    let mut found = std::collections::BTreeSet::new();
    for visit in 1..=12 {
        let crawl = world.crawl(0);
        assert_eq!(crawl.found.len(), 101, "a hundred of its leaves, and itself");
        assert!(nobody_knows(&world, crawl.from));
        assert_eq!(world.counters(0).crawled, visit);
        found.extend(crawl.found);
    }
    assert_eq!(found.len(), 151, "who asks again hears of the others");
    assert_eq!(world.servent(0).map(|servent| servent.leaves()), Some(150));
}

#[test]
fn a_crawler_hears_nothing_from_who_is_gone_and_goes_on() {
    let mut world = network(10, 20, 5, RoleChoice::Ultrapeer);
    world.run_for(secs(60));
    // Nobody has noticed yet: they are still named.
    world.vanish(3);
    let crawl = world.crawl(0);
    assert!(crawl.found.contains(&world.addr(3)) && !crawl.answers.contains_key(&world.addr(3)));
    assert_eq!(crawl.answers.len(), 9);
    assert_eq!(crawl.found.len(), 30);
}
