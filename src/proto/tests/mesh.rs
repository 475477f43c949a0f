//! Many servents: the mesh that they form, how it heals, and what a flood in it costs.

use super::lone::query;
use super::world::World;
use crate::proto::*;
use crate::wire::Kind;
use crate::wire::hit::Entry;

/// A world of servents that open only the links named, each with the servents it links.
fn wired(seed: u64, n: usize, links: &[(usize, usize)]) -> World {
    let mut world = World::new(seed);
    for _ in 0..n {
        world.add_with(|config| config.only_listed = true);
    }
    for &(a, b) in links {
        world.command(a, Command::Connect(world.addr(b)));
    }
    world.run_for(2);
    world.check_symmetric();
    let degrees: usize = (0..n).map(|n| world.degree(n)).sum();
    assert_eq!(degrees, 2 * links.len(), "all links are up");
    world
}

#[test]
fn on_an_idle_link_one_end_pings_and_the_pong_is_the_other_ends_keep_alive() {
    let star: Vec<_> = (1..9).map(|n| (0, n)).collect();
    let joined: Vec<_> = (1..9).map(|n| (n, 0)).collect();
    let mesh: Vec<_> = (0..6).flat_map(|a| (a + 1..6).map(move |b| (a, b))).collect();
    for (name, n, links) in [("star", 9, star), ("joined star", 9, joined), ("mesh", 6, mesh)] {
        let mut world = wired(4, n, &links);
        world.run_for(30);
        world.sent.clear();
        world.run_for(600);
        for (a, b) in links {
            let pings = |from, to| world.sent.get(&(from, to, Kind::Ping)).copied().unwrap_or(0);
            // At the latest each 15 s, and hardly ever by both.
            let sum = pings(a, b) + pings(b, a);
            assert!((40..=50).contains(&sum), "{name}: {sum} pings between {a} and {b} in ten minutes");
        }
    }
}

fn search(world: &mut World, from: usize, ttl: u8) {
    world.events.clear();
    let search = Command::Search { id: SearchId(1), query: query(), ttl: Some(ttl), strategy: Some(Strategy::Flood) };
    world.command(from, search);
    world.run_for(3);
}

/// Who was asked, with the links to it.
fn asked(world: &World) -> Vec<(usize, u8)> {
    let hops = |(node, event): &(usize, Event)| match event {
        Event::QueryReceived { hops, .. } => Some((*node, *hops)),
        _ => None,
    };
    let mut asked: Vec<_> = world.events.iter().filter_map(hops).collect();
    asked.sort_unstable();
    asked
}

#[test]
fn on_a_line_the_ttl_says_how_far_a_query_reaches_and_the_hit_comes_all_the_way_back() {
    let mut world = wired(1, 4, &[(0, 1), (1, 2), (2, 3)]);
    for ttl in 1..=3 {
        search(&mut world, 0, ttl);
        let want: Vec<_> = (1..=ttl).map(|n| (usize::from(n), n)).collect();
        assert_eq!(asked(&world), want, "TTL {ttl}");
    }
    let guid = world.events.iter().find_map(|(_, e)| match e {
        Event::QueryReceived { guid, .. } => Some(*guid),
        _ => None,
    });
    let entries = vec![Entry::new(1, 10, "blue train.ogg", &[])];
    world.command(3, Command::AnswerQuery(Answer { query: guid.expect("it was asked"), entries }));
    world.run_for(1);
    let hit = world.events.iter().find_map(|(n, e)| match e {
        Event::HitReceived { hit, hops, .. } => Some((*n, hit.servent, hit.host(), *hops)),
        _ => None,
    });
    let source = world.servent(3).config().servent;
    assert_eq!(hit, Some((0, source, world.addr(3), 3)));
    world.command(0, Command::SendPush { servent: source, index: 1, by: PushBy::Way });
    world.run_for(1);
    let push = Event::PushRequested { addr: world.addr(0), index: 1, word: Word::Stranger };
    assert!(world.events.contains(&(3, push)), "{:?}", world.events);
}

#[test]
fn in_a_ring_with_chords_each_is_asked_once_and_duplicates_are_equal_on_both_ends() {
    let ring = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 0), (0, 3), (1, 4), (2, 5)];
    let mut world = wired(2, 6, &ring);
    world.sent.clear();
    search(&mut world, 0, 4);
    let nodes: Vec<_> = asked(&world).iter().map(|&(n, _)| n).collect();
    assert_eq!(nodes, [1, 2, 3, 4, 5]);
    let copies: u64 = world.sent.iter().filter(|((.., kind), _)| *kind == Kind::Query).map(|(_, n)| n).sum();
    assert_eq!(copies, 6 * (3 - 1) + 1, "N(d-1)+1");
    let links = world.duplicates_by_link();
    assert_eq!(links.len(), 9);
    assert!(links.iter().all(|((_, a), (_, b))| a == b), "{links:?}");
    let duplicates: u64 = (0..6).map(|n| world.servent(n).counters().duplicates).sum();
    assert_eq!(duplicates, copies - 5, "all copies but the first at each of the five others");
    for ((a, b, kind), n) in &world.sent {
        if *kind == Kind::Query {
            assert_eq!(*n, 1, "{a} sent {b} the same query twice");
        }
    }
}

#[test]
fn a_query_never_returns_to_the_neighbour_it_came_from() {
    let mut world = wired(3, 2, &[(0, 1)]);
    world.sent.clear();
    search(&mut world, 0, 7);
    assert_eq!(world.sent.get(&(0, 1, Kind::Query)), Some(&1));
    assert_eq!(world.sent.get(&(1, 0, Kind::Query)), None);
}

#[test]
fn twelve_that_know_only_the_first_find_each_other_within_twenty_seconds() {
    for seed in 1..=10 {
        let mut world = World::new(seed);
        for _ in 0..12 {
            world.add();
        }
        let first = world.addr(0);
        for n in 1..12 {
            world.command(n, Command::AddHosts(vec![(first, HostSource::User)]));
        }
        world.run_for(20);
        world.check_symmetric();
        let degrees: Vec<_> = (0..12).map(|n| world.degree(n)).collect();
        assert!(degrees.iter().all(|&d| d >= 3), "seed {seed}: {degrees:?}");

        // A third of them dies, the first among them.
        for n in [0, 3, 5, 8] {
            world.kill(n);
        }
        world.run_for(20);
        world.check_symmetric();
        assert_eq!(world.reachable(1), world.alive(), "seed {seed}");
        search(&mut world, 1, 4);
        let nodes: Vec<_> = asked(&world).iter().map(|&(n, _)| n).collect();
        assert_eq!(nodes, [2, 4, 6, 7, 9, 10, 11], "seed {seed}");
    }
}

#[test]
fn twelve_started_one_after_the_other_do_too() {
    let mut world = World::new(4);
    for n in 0..12 {
        world.add();
        if n > 0 {
            world.command(n, Command::Connect(world.addr(0)));
        }
        world.run_for(1);
    }
    world.run_for(20);
    world.check_symmetric();
    let degrees: Vec<_> = (0..12).map(|n| world.degree(n)).collect();
    assert!(degrees.iter().all(|&d| d >= 3), "{degrees:?}");
}

#[test]
fn a_mesh_larger_than_anybody_accepts_still_is_one() {
    let mut world = World::new(5);
    for _ in 0..60 {
        world.add_with(|config| (config.neighbours, config.accept) = (4, Some(8)));
    }
    let first = world.addr(0);
    for n in 1..60 {
        world.command(n, Command::AddHosts(vec![(first, HostSource::User)]));
    }
    world.run_for(120);
    world.check_symmetric();
    let degrees: Vec<_> = (0..60).map(|n| world.degree(n)).collect();
    assert!(degrees.iter().all(|&d| (3..=8).contains(&d)), "{degrees:?}");
    assert_eq!(world.reachable(0).len(), 60);
}

#[test]
fn an_only_listed_servent_dials_nobody_else_and_welcomes_those_who_dial_it() {
    let mut world = World::new(6);
    for _ in 0..3 {
        world.add();
    }
    let listed = world.add_with(|config| config.only_listed = true);
    for n in 1..3 {
        world.command(n, Command::AddHosts(vec![(world.addr(0), HostSource::User)]));
    }
    world.command(listed, Command::Connect(world.addr(0)));
    world.run_for(60);
    assert_eq!(world.servent(listed).counters().dials, 1);
    assert_eq!(world.degree(listed), 3, "the others heard of it and dialled");
    assert_eq!(world.servent(listed).counters().links_in, 2);
}

#[test]
fn a_listed_host_that_comes_back_is_linked_again() {
    let mut world = wired(8, 2, &[(0, 1)]);
    let down = |world: &World| world.degree(0) == 0;
    world.command(1, Command::Disconnect(world.addr(0)));
    world.run_for(10);
    assert!(!down(&world), "the other one lists us and dialled again");
    world.command(0, Command::Disconnect(world.addr(1)));
    world.run_for(600);
    assert!(down(&world), "neither wants it any more");
}

#[test]
fn fewer_neighbours_wanted_closes_the_least_useful_and_never_a_listed_one() {
    let mut world = World::new(9);
    for _ in 0..9 {
        world.add_with(|config| config.neighbours = 0);
    }
    world.command(0, Command::Connect(world.addr(1)));
    for n in 2..9 {
        world.command(n, Command::Connect(world.addr(0)));
    }
    world.run_for(2);
    assert_eq!(world.degree(0), 8);
    for n in [3, 6] {
        search(&mut world, n, 1);
    }
    for n in 2..9 {
        let to = world.addr(0);
        world.command(n, Command::Disconnect(to));
        world.command(0, Command::Connect(world.addr(n)));
    }
    world.run_for(5);
    assert_eq!(world.degree(0), 8, "listed by us now");
    world.command(0, Command::SetNeighbours(3));
    world.run_for(1);
    assert_eq!(world.degree(0), 8, "listed ones stay");
}

#[test]
fn shrinking_keeps_those_who_brought_something() {
    let mut lone = super::lone::Lone::new();
    let links = lone.accept_many(6);
    lone.frame(links[1], super::lone::query_frame(1, 1, 0));
    lone.frame(links[4], super::lone::query_frame(2, 1, 0));
    lone.command(Command::SetNeighbours(3));
    let left: Vec<_> = lone.servent.peers().iter().map(|peer| peer.conn).collect();
    assert_eq!(left, [links[0], links[1], links[4]], "of equals the youngest leave");
    assert_eq!(lone.servent.config().neighbours, 3);
}

#[test]
fn the_same_seed_gives_the_same_world() {
    let run = |seed| {
        let mut world = World::new(seed);
        for n in 0..10 {
            world.add();
            if n > 0 {
                world.command(n, Command::AddHosts(vec![(world.addr(n / 2), HostSource::User)]));
            }
        }
        world.run_for(30);
        search(&mut world, 3, 4);
        let links: Vec<_> =
            (0..10).flat_map(|n| world.servent(n).peers()).map(|p| (p.conn, p.addr, p.received)).collect();
        (links, world.sent.clone())
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn a_servent_with_fewer_slots_than_it_wants_neighbours_does_not_dial_on_and_on() {
    let mut world = World::new(10);
    for _ in 0..6 {
        world.add_with(|config| config.accept = Some(2));
    }
    for n in 1..6 {
        world.command(n, Command::AddHosts(vec![(world.addr(0), HostSource::User)]));
    }
    world.run_for(600);
    world.check_symmetric();
    for n in 0..6 {
        assert!(world.degree(n) <= 2);
        let dials = world.servent(n).counters().dials;
        assert!(dials <= 60, "{n} dialled {dials} times in ten minutes");
    }
}

#[test]
fn no_dial_is_made_for_which_there_is_no_slot() {
    let mut config = Config::new(super::lone::ME);
    config.accept = Some(2);
    let mut lone = super::lone::Lone::with(config);
    lone.accept_many(2);
    let hosts = vec![(super::lone::addr("10.3.3.3:6346"), HostSource::User)];
    assert_eq!(lone.command(Command::AddHosts(hosts)), [Output::Event(Event::HostsLearned(1))]);
}

#[test]
fn a_disconnected_host_is_dialled_again_only_when_the_user_names_it() {
    let mut lone = super::lone::Lone::with(Config::new(super::lone::ME));
    let host = super::lone::addr("10.3.3.3:6346");
    lone.command(Command::Disconnect(host));
    let dials = |out: Outbox| out.iter().filter(|output| matches!(output, Output::Dial { .. })).count();
    assert_eq!(dials(lone.command(Command::AddHosts(vec![(host, HostSource::Cache)]))), 0);
    assert_eq!(dials(lone.command(Command::AddHosts(vec![(host, HostSource::Lan)]))), 0);
    assert_eq!(dials(lone.command(Command::AddHosts(vec![(host, HostSource::User)]))), 1);
}

#[test]
fn the_hosts_that_we_dial_come_from_different_networks() {
    let dialled = |hosts: &[&str]| {
        let mut lone = super::lone::Lone::with(Config::new(super::lone::ME));
        let hosts = hosts.iter().map(|host| (super::lone::addr(host), HostSource::Cache)).collect();
        let out = lone.command(Command::AddHosts(hosts));
        let mut addrs: Vec<_> = out
            .iter()
            .filter_map(|output| match output {
                Output::Dial { addr, purpose: Purpose::Fill, .. } => Some(addr.to_string()),
                _ => None,
            })
            .collect();
        addrs.sort();
        addrs
    };
    let near = ["127.0.0.1:1", "127.0.0.1:2", "10.0.0.7:1", "10.0.0.8:1"];
    let mut want = near.map(str::to_owned).to_vec();
    want.sort();
    assert_eq!(dialled(&near), want, "near ones need not");
    assert_eq!(dialled(&["8.8.8.8:6346", "8.8.8.9:6346"]).len(), 1, "one in a /24");
    assert_eq!(dialled(&["8.8.1.8:6346", "8.8.2.8:6346", "8.8.3.8:6346"]).len(), 2, "two in a /16");
    assert_eq!(dialled(&["[2001:db8:1::1]:6346", "[2001:db8:1:2::1]:6346"]).len(), 1, "one in a /48");
    let wide: Vec<_> = (1..=20).map(|n| format!("8.{n}.1.1:6346")).collect();
    let wide: Vec<_> = wide.iter().map(String::as_str).collect();
    assert_eq!(dialled(&wide).len(), 8, "as many as neighbours are wanted");
}

#[test]
fn a_neighbour_that_brings_nothing_while_others_do_makes_room_for_another() {
    let mut world = World::new(11);
    for _ in 0..6 {
        world.add_with(|config| (config.neighbours, config.only_listed) = (0, true));
    }
    let middle = world.add_with(|config| config.neighbours = 3);
    for n in 0..3 {
        world.command(middle, Command::AddHosts(vec![(world.addr(n), HostSource::User)]));
    }
    world.run_for(5);
    assert_eq!(world.degree(middle), 3);
    for n in 3..6 {
        world.command(middle, Command::AddHosts(vec![(world.addr(n), HostSource::User)]));
    }
    world.run_for(1300);
    assert_eq!((world.degree(middle), world.servent(middle).counters().dials), (3, 3), "in a quiet network all stay");
    for n in 0..2 {
        search(&mut world, n, 1);
    }
    world.run_for(610);
    assert_eq!(world.degree(2), 0, "the third was let go");
    assert_eq!((world.degree(0), world.degree(1), world.degree(middle)), (1, 1, 3));
    world.run_for(300);
    assert_eq!(world.servent(middle).counters().links_lost, 1, "one in ten minutes");
}
