//! The line before the uploads: its rules one by one, and then strangers in any order.

use proptest::prelude::*;

use super::*;
use crate::base::Rng;

const LARGE: u64 = 100 << 20;

fn queue(slots: usize) -> Queue {
    Queue::new(QueueConfig { slots, express: 1, ..QueueConfig::default() }, Rng::from_number(1))
}

/// The first file of a client, which is `n`: a public address of its own.
fn client(n: u8) -> Asker {
    let from = SocketAddr::from(([8, 8, n, 1], 4000));
    Asker { from, file: 1, size: LARGE, bytes: LARGE, id: None, stays: Stays::Anywhere }
}

fn file(number: u32, asker: Asker) -> Asker {
    Asker { file: number, ..asker }
}

fn small(asker: Asker) -> Asker {
    Asker { size: 1000, bytes: 1000, file: asker.file + 1000, ..asker }
}

fn secs(n: u64) -> Instant {
    Instant::from_secs(n)
}

fn slot(turn: Turn) -> Slot {
    match turn {
        Turn::Now(slot) => slot,
        other => panic!("no slot: {other:?}"),
    }
}

fn place(turn: Turn) -> Place {
    match turn {
        Turn::Wait(place) => place,
        other => panic!("no place: {other:?}"),
    }
}

#[test]
fn a_closed_queue_gives_nothing_and_keeps_the_order() {
    let mut queue = queue(2);
    let first = slot(queue.ask(secs(0), &client(1)));
    queue.close(true);
    assert!(queue.is_busy(secs(0)), "a newcomer would wait");
    queue.give_back(secs(0), first, Ended::MayGoOn);
    assert_eq!(place(queue.ask(secs(1), &client(2))).position, 1);
    assert_eq!(place(queue.ask(secs(1), &client(3))).position, 2);
    assert_eq!(place(queue.ask(secs(1), &small(client(4)))).position, 1, "small ones wait too");
    queue.close(false);
    slot(queue.ask(secs(6), &client(2)));
    slot(queue.ask(secs(6), &client(3)));
}

#[test]
fn who_came_first_goes_first_and_hears_its_position() {
    let mut queue = queue(1);
    let first = slot(queue.ask(secs(0), &client(1)));
    let told = place(queue.ask(secs(0), &client(2)));
    assert_eq!((told.position, told.length, told.retry.as_secs(), told.lifetime.as_secs()), (1, 1, 5, 25));
    let told = place(queue.ask(secs(1), &client(3)));
    assert_eq!((told.position, told.length, told.retry.as_secs(), told.bytes_ahead), (2, 2, 10, LARGE));
    queue.give_back(secs(4), first, Ended::Over);
    assert_eq!(place(queue.ask(secs(4), &client(3))).position, 2, "a free slot is kept for the first of the line");
    slot(queue.ask(secs(5), &client(2)));
    assert_eq!(place(queue.ask(secs(11), &client(3))).position, 1);
}

#[test]
fn who_is_late_holds_nobody_up_and_who_does_not_come_back_has_lost_its_place() {
    let mut queue = queue(1);
    let first = slot(queue.ask(secs(0), &client(1)));
    for n in [2, 3] {
        place(queue.ask(secs(0), &client(n)));
    }
    queue.give_back(secs(1), first, Ended::Over);
    assert_eq!(place(queue.ask(secs(7), &client(3))).position, 2, "the first was asked to come at 5 s");
    let second = slot(queue.ask(secs(8), &client(3)));
    let told = place(queue.ask(secs(10), &client(2)));
    assert_eq!(told.position, 1, "late, but its place is kept");
    queue.give_back(secs(11), second, Ended::Over);
    assert_eq!(queue.len(), 1);
    assert_eq!(queue.next_timeout(), Some(secs(35)));
    queue.expire(secs(35));
    assert_eq!((queue.len(), queue.next_timeout()), (0, None));
}

#[test]
fn a_place_is_known_by_its_name_or_by_address_and_file() {
    let mut queue = queue(1);
    slot(queue.ask(secs(0), &client(1)));
    let told = place(queue.ask(secs(0), &client(2)));
    let elsewhere = Asker { from: SocketAddr::from(([8, 8, 2, 1], 4999)), ..client(2) };
    assert_eq!(place(queue.ask(secs(5), &elsewhere)).id, told.id, "another connection, the same file");
    let other_file = Asker { file: 7, id: Some(told.id), ..client(2) };
    assert_eq!(place(queue.ask(secs(10), &other_file)).id, told.id, "it has changed its mind");
    assert_eq!(queue.len(), 1);
    let thief = Asker { id: Some(told.id), ..client(3) };
    assert_ne!(place(queue.ask(secs(11), &thief)).id, told.id, "a name heard elsewhere is worth nothing");
    slot(queue.ask(secs(11), &small(client(4))));
    assert_ne!(place(queue.ask(secs(12), &small(other_file))).id, told.id, "small files stand in another line");
}

#[test]
fn a_small_file_does_not_wait_behind_large_ones_nor_keep_them_waiting() {
    let mut queue = queue(2);
    let large = [1, 2].map(|n| slot(queue.ask(secs(0), &client(n))));
    place(queue.ask(secs(0), &client(3)));
    let express = slot(queue.ask(secs(0), &small(client(4))));
    assert_eq!(place(queue.ask(secs(0), &small(client(5)))).position, 1, "in a line of their own");
    queue.give_back(secs(1), large[0], Ended::Over);
    place(queue.ask(secs(1), &small(client(6))));
    assert_eq!(place(queue.ask(secs(2), &small(client(5)))).position, 1, "that slot is for who waits for it");
    slot(queue.ask(secs(5), &client(3)));
    queue.give_back(secs(5), express, Ended::Over);
    slot(queue.ask(secs(6), &small(client(5))));
    // Nobody waits for a large file any more, so small ones may have its slot.
    queue.give_back(secs(7), large[1], Ended::Over);
    slot(queue.ask(secs(8), &small(client(6))));
    assert!(matches!(queue.ask(secs(8), &small(client(7))), Turn::Wait(_)));
}

#[test]
fn a_public_address_gets_two_and_waits_alone_for_more_and_a_house_takes_what_is_there() {
    let mut queue = queue(4);
    let mine = [1, 2].map(|number| slot(queue.ask(secs(0), &file(number, client(1)))));
    let third = place(queue.ask(secs(0), &file(3, client(1))));
    assert!(third.own_cap);
    let mapped =
        Asker { from: SocketAddr::from((IpAddr::from([0, 0, 0, 0, 0, 0xffff, 0x0808, 0x0101]), 1)), ..client(1) };
    assert!(place(queue.ask(secs(0), &file(3, mapped))).own_cap, "however it is written");
    slot(queue.ask(secs(0), &client(2)));
    queue.give_back(secs(1), mine[0], Ended::Over);
    slot(queue.ask(secs(2), &file(3, client(1))));
    let home = |number| Asker { from: SocketAddr::from(([192, 168, 0, 7], 1)), ..file(number, client(0)) };
    slot(queue.ask(secs(3), &home(1)));
    assert!(!place(queue.ask(secs(3), &home(2))).own_cap, "all slots are taken");

    let mut queue = self::queue(4);
    let six = |host: u16| Asker {
        from: SocketAddr::from((IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, host]), 1)),
        ..client(1)
    };
    for host in [1, 2] {
        slot(queue.ask(secs(0), &file(host.into(), six(host))));
    }
    assert!(place(queue.ask(secs(0), &file(3, six(3)))).own_cap, "a /64 is one client");
}

#[test]
fn places_are_bounded_in_all_and_for_each_address() {
    let config = QueueConfig { slots: 0, express: 0, places: 8, places_per_private: 6, ..QueueConfig::default() };
    let mut queue = Queue::new(config, Rng::from_number(1));
    let places = |queue: &mut Queue, from: [u8; 4], count: u32| {
        let ask = |number| Asker { from: (from, 1).into(), ..file(number, client(0)) };
        (0..count).filter(|number| matches!(queue.ask(secs(0), &ask(*number)), Turn::Wait(_))).count()
    };
    assert_eq!(places(&mut queue, [8, 8, 8, 8], 100), 4);
    assert_eq!(places(&mut queue, [10, 0, 0, 1], 100), 4, "what is left of eight");
    assert_eq!((queue.len(), places(&mut queue, [9, 9, 9, 9], 1)), (8, 0));
    queue.expire(secs(100));
    assert_eq!(places(&mut queue, [10, 0, 0, 1], 100), 6);
}

#[test]
fn a_slot_is_kept_between_the_ranges_of_a_file_but_for_no_more_than_its_size() {
    let mut queue = queue(1);
    let half = Asker { bytes: LARGE / 2, ..client(1) };
    let first = slot(queue.ask(secs(0), &half));
    place(queue.ask(secs(0), &client(2)));
    queue.give_back(secs(5), first, Ended::MayGoOn);
    assert_eq!(place(queue.ask(secs(5), &client(2))).position, 1);
    let second = slot(queue.ask(secs(7), &half));
    assert_eq!(second, first);
    queue.give_back(secs(9), second, Ended::MayGoOn);
    let other = slot(queue.ask(secs(10), &client(2)));
    assert_eq!(place(queue.ask(secs(10), &half)).position, 1, "it had its file");
    // Kept for a while, and not at all for a connection that has ended.
    for (gone, when) in [(false, 14), (true, 11)] {
        let mut queue = self::queue(1);
        let slot = super::tests::slot(queue.ask(secs(0), &half));
        queue.give_back(secs(11), slot, Ended::MayGoOn);
        if gone {
            queue.gone(half.from);
        } else {
            assert_eq!(queue.next_timeout(), Some(secs(14)));
            assert!(matches!(queue.ask(secs(13), &client(2)), Turn::Wait(_)));
        }
        assert!(matches!(queue.ask(secs(when), &client(2)), Turn::Now(_)), "gone: {gone}");
    }
    queue.give_back(secs(12), other, Ended::Over);
}

#[test]
fn a_place_on_a_connection_ends_with_it_and_another_does_not() {
    let mut queue = queue(0);
    place(queue.ask(secs(0), &Asker { stays: Stays::Connected, ..client(1) }));
    let kept = place(queue.ask(secs(0), &client(2)));
    for n in [1, 2] {
        queue.gone(client(n).from);
    }
    assert_eq!((queue.len(), queue.position(kept.id)), (1, Some((1, 1))));
}

#[test]
fn who_asks_far_too_often_goes_to_the_end_of_its_line() {
    let mut queue = queue(0);
    for n in [1, 2] {
        place(queue.ask(secs(0), &client(n)));
    }
    let positions = (1..=20).map(|n| place(queue.ask(Instant::from_millis(n * 100), &client(1))).position);
    assert_eq!(positions.collect::<Vec<_>>(), [[1; 9].as_slice(), &[2; 11]].concat());
    assert_eq!(place(queue.ask(secs(5), &client(2))).position, 1);
}

#[test]
fn it_says_busy_when_a_newcomer_would_wait() {
    let mut queue = queue(1);
    assert!(!queue.is_busy(secs(0)));
    let first = slot(queue.ask(secs(0), &client(1)));
    assert!(queue.is_busy(secs(0)));
    place(queue.ask(secs(0), &client(2)));
    queue.give_back(secs(1), first, Ended::Over);
    assert!(queue.is_busy(secs(1)), "it is kept for the first of the line");
    assert!(!queue.is_busy(secs(8)), "who does not come");
}

/// Clients that play by the rules: they come back when they were asked to, and take a while for each file.
/// Returns for each how many seconds it waited.
fn play(slots: usize, clients: &[(u8, bool, u64)]) -> Vec<Option<u64>> {
    let mut queue = queue(slots);
    let mut next: Vec<Option<Instant>> = clients.iter().map(|(come, ..)| Some(secs((*come).into()))).collect();
    let mut waited = vec![None; clients.len()];
    let mut last: Vec<Option<usize>> = vec![None; clients.len()];
    let mut ends: Vec<(Instant, Slot)> = Vec::new();
    for now in (0..4000).map(secs) {
        ends.retain(|(end, slot)| {
            let over = *end <= now;
            if over {
                queue.give_back(now, *slot, Ended::Over);
            }
            !over
        });
        for (at, &(come, is_small, takes)) in clients.iter().enumerate() {
            if next[at].is_none_or(|next| next > now) {
                continue;
            }
            let asker = client(at as u8);
            let turn = queue.ask(now, &if is_small { small(asker) } else { asker });
            next[at] = match turn {
                Turn::Now(slot) => {
                    waited[at] = Some(now.as_micros() / 1_000_000 - u64::from(come));
                    ends.push((now + Duration::from_secs(takes), slot));
                    None
                }
                Turn::Wait(place) => {
                    assert!(last[at].is_none_or(|last| place.position <= last), "a position rose");
                    last[at] = Some(place.position);
                    Some(now + place.retry)
                }
                Turn::Full => panic!("there was room for all"),
            };
        }
    }
    waited
}

#[test]
fn sixty_clients_of_one_slot_go_in_the_order_of_their_coming() {
    let clients: Vec<_> = (0..60).map(|n| (n, false, 20)).collect();
    let waited: Vec<u64> = play(1, &clients).into_iter().map(|waited| waited.expect("each had its turn")).collect();
    let begun: Vec<u64> = waited.iter().zip(0..).map(|(waited, come)| waited + come).collect();
    assert!(begun.is_sorted(), "{begun:?}");
    assert!(begun[59] <= 59 * (20 + 8), "a slot is not left idle for long: {begun:?}");
}

proptest! {
    #[test]
    fn each_client_that_keeps_to_the_rules_gets_its_turn(
        slots in 1_usize..4,
        clients in proptest::collection::vec((0_u8..100, any::<bool>(), 1_u64..60), 1..40),
    ) {
        let waited = play(slots, &clients);
        prop_assert!(waited.iter().all(Option::is_some), "{waited:?}");
    }

    #[test]
    fn whatever_strangers_do_the_bounds_hold(
        steps in proptest::collection::vec((0_u8..7, 0_u8..6, 0_u32..6, 0_u64..20), 1..400),
    ) {
        let config = QueueConfig {
            slots: 3, express: 1, places: 8, places_per_address: 2, places_per_private: 5, ..QueueConfig::default()
        };
        let mut queue = Queue::new(config.clone(), Rng::from_number(3));
        let mut now = Instant::ZERO;
        let mut given: Vec<(Slot, IpAddr)> = Vec::new();
        let mut names = Vec::new();
        for (what, n, number, pass) in steps {
            now += Duration::from_secs(pass);
            let from = if n == 0 { ([10, 0, 0, 1], 1).into() } else { client(n).from };
            let asker = file(number, Asker { from, ..client(n) });
            match what {
                0..=3 => {
                    let stays = if what == 0 { Stays::Connected } else { Stays::Anywhere };
                    let id = (what == 1).then(|| names.last().copied()).flatten();
                    let asker = Asker { stays, id, ..if number % 2 == 0 { asker } else { small(asker) } };
                    match queue.ask(now, &asker) {
                        Turn::Now(slot) => {
                            given.retain(|(other, _)| *other != slot);
                            given.push((slot, from.ip()));
                        }
                        Turn::Wait(place) => {
                            prop_assert!(place.position >= 1 && place.position <= place.length);
                            prop_assert!(place.retry > Duration::ZERO && place.retry <= RETRY_MAX);
                            prop_assert!(place.lifetime > place.retry);
                            prop_assert_eq!(queue.position(place.id), Some((place.position, place.length)));
                            names.push(place.id);
                        }
                        Turn::Full => {}
                    }
                }
                4 if !given.is_empty() => {
                    let (slot, _) = given.swap_remove(number as usize % given.len());
                    queue.give_back(now, slot, if n % 2 == 0 { Ended::Over } else { Ended::MayGoOn });
                }
                5 => queue.gone(from),
                _ => queue.expire(now),
            }
            prop_assert!(given.len() <= config.slots + config.express);
            prop_assert!(queue.given.len() <= config.slots + config.express);
            prop_assert!(queue.len() <= config.places);
            for ip in queue.given.values().map(|given| given.who).filter(|ip| is_public(*ip)) {
                prop_assert!(queue.given.values().filter(|given| given.who == ip).count() <= config.per_address);
                prop_assert!(queue.waiting.iter().filter(|place| place.who == ip).count() <= config.places_per_address);
            }
            prop_assert!(queue.next_timeout().is_some() || queue.is_empty());
        }
        for (slot, _) in given {
            queue.give_back(now, slot, Ended::Over);
        }
        queue.expire(now + RETRY_MAX + GRACE);
        prop_assert_eq!((queue.len(), queue.given.len(), queue.next_timeout()), (0, 0, None));
    }
}
