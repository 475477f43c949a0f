//! Queries among real servents on loopback: how far they go, how often they are answered, what is suppressed.

mod node_support;

use std::time::Duration;

use bytes::BytesMut;
use filbert::proto::{Rate, RoleChoice};
use filbert::wire::query::Query;
use filbert::wire::{Frame, Guid, Kind};
use node_support::{Peer, Raw, eventually, run, shutdown, start, start_with, within};

#[test]
fn in_a_line_a_query_goes_as_far_as_its_ttl() {
    run(async {
        let a = start(&[], &[]).await;
        let b = start(&[], &[&a]).await;
        let c = start(&[("far away.txt", b"here")], &[&b]).await;
        let (near, done) = a.search("far away", Some(1), 300).await;
        assert_eq!((near.len(), done.neighbours_asked), (0, 1), "one link does not reach c");
        let (far, _) = a.search("far away", Some(2), 500).await;
        assert_eq!(far.len(), 1, "two links do");
        assert_eq!((far[0].hops, far[0].source.addr.as_str()), (2, c.addr().to_string().as_str()));
        assert_eq!(b.counter("hits_routed").await, 1);
        assert_eq!(a.node.status().await.neighbours, 1, "a and c are no neighbours");
        shutdown(vec![a, b, c]).await;
    });
}

/// Who is linked to whom: a ring of six with its three long chords.
const LINKS: [(usize, usize); 9] = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 0), (0, 3), (1, 4), (2, 5)];

async fn ring() -> Vec<Peer> {
    let mut peers: Vec<Peer> = Vec::new();
    for n in 0..6 {
        let others = LINKS.iter().filter_map(|&(a, b)| match (a, b) {
            (a, b) if b == n && a < n => Some(a),
            (a, b) if a == n && b < n => Some(b),
            _ => None,
        });
        let others: Vec<&Peer> = others.map(|other| &peers[other]).collect();
        let name = format!("round {n}.txt");
        let peer = start(&[(name.as_str(), name.as_bytes())], &others).await;
        peers.push(peer);
    }
    for peer in &peers {
        eventually("three links each", async || peer.node.status().await.neighbours == 3).await;
    }
    peers
}

#[test]
fn in_a_ring_with_chords_each_answers_once_and_every_other_copy_is_a_duplicate() {
    run(async {
        let peers = ring().await;
        let (hits, _) = peers[0].search("round", Some(7), 1000).await;
        let mut names: Vec<_> = hits.iter().map(|hit| hit.name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["round 1.txt", "round 2.txt", "round 3.txt", "round 4.txt", "round 5.txt"]);

        let (mut copies, mut duplicates) = (0, 0);
        for (n, peer) in peers.iter().enumerate() {
            let counters = peer.counters().await;
            let answered = u64::from(n != 0);
            assert_eq!(counters["queries_answered"], answered, "servent {n}");
            assert_eq!(counters["queries_searched"], answered, "servent {n}");
            copies += counters["query_copies"];
            duplicates += counters["duplicates"];
        }
        // A flood that reaches all N servents of a d-regular graph costs N(d-1)+1 copies, and N-1 of them are new.
        assert_eq!((copies, duplicates), (6 * 2 + 1, 6 * 2 + 1 - 5));

        let mut tree = 0;
        for (a, b) in LINKS {
            let (here, there) = (peers[a].link_to(&peers[b]).await, peers[b].link_to(&peers[a]).await);
            assert_eq!(here.duplicates, there.duplicates, "{a} - {b}: equal at both ends");
            assert_eq!((here.queries_out, there.queries_out), (there.queries_in, here.queries_in), "{a} - {b}");
            let crossed = here.queries_out + there.queries_out;
            // Had the query returned to where it came from, one end alone would count a duplicate.
            assert_eq!(crossed, 1 + here.duplicates, "{a} - {b}: it crossed once, or once in each direction");
            tree += u64::from(crossed == 1);
        }
        assert_eq!(tree, 5, "the first copies are a tree");
        shutdown(peers).await;
    });
}

#[test]
fn an_incoming_ttl_of_255_is_clipped() {
    run(async {
        let a = start(&[], &[]).await;
        let (mut from, mut to) = (Raw::link(a.addr()).await, Raw::link(a.addr()).await);
        eventually("both are linked", async || a.node.status().await.neighbours == 2).await;
        let guid = Guid([0x42; 16]);
        let mut bytes = BytesMut::new();
        Frame::new(guid, Kind::Query, 255, Query::new("anything", &[]).encode()).encode(&mut bytes);
        from.send(&bytes).await;
        let seen = to.read_kind(Kind::Query).await.header;
        assert_eq!((seen.guid, seen.ttl, seen.hops), (guid, 6, 1), "TTL + hops stays at 7");
        shutdown(vec![a]).await;
    });
}

#[test]
fn no_message_is_lost_in_a_burst() {
    run(async {
        let a = start_with(&[], &[], |options| options.limits.messages.queries = Rate::OFF).await;
        let mut from = Raw::link(a.addr()).await;
        let payload = Query::new("anything", &[]).encode();
        let mut bytes = BytesMut::new();
        for n in 0..20_000u32 {
            let mut guid = [0; 16];
            guid[..4].copy_from_slice(&n.to_le_bytes());
            Frame::new(Guid(guid), Kind::Query, 4, payload.clone()).encode(&mut bytes);
        }
        from.send(&bytes).await;
        eventually("all have arrived", async || a.counter("queries_received").await == 20_000).await;
        assert_eq!(a.node.peers().await[0].received.bytes, bytes.len() as u64);
        shutdown(vec![a]).await;
    });
}

#[test]
fn twelve_that_know_only_the_first_find_each_other_and_survive_the_loss_of_four() {
    run(async {
        let mut peers: Vec<Peer> = Vec::new();
        for n in 0..12 {
            let name = format!("crowd {n}.txt");
            let files = [(name.as_str(), name.as_bytes())];
            let first: Vec<&Peer> = peers.first().into_iter().collect();
            let peer = start_with(&files, &first, |options| options.only_listed = false).await;
            peers.push(peer);
        }
        within(Duration::from_secs(20), "three neighbours each", async || {
            for peer in &peers {
                if peer.node.status().await.neighbours < 3 {
                    return false;
                }
            }
            true
        })
        .await;
        // The first, whom all know, is among the lost.
        let survivors = peers.split_off(4);
        drop(peers);
        for peer in &survivors {
            within(Duration::from_secs(20), "all who are left answer", async || {
                peer.search("crowd", None, 400).await.0.len() == survivors.len() - 1
            })
            .await;
        }
        shutdown(survivors).await;
    });
}

#[test]
fn an_ultrapeer_with_nothing_but_a_leaf_searches_it_and_the_leaf_searches_it() {
    run(async {
        let ultrapeer = start(&[("blue train.ogg", b"x")], &[]).await;
        let leaf = start_with(&[("green song.ogg", b"y")], &[&ultrapeer], |o| o.role = RoleChoice::Leaf).await;
        eventually("the leaf has told its words", async || {
            ultrapeer.node.peers().await.iter().any(|peer| peer.table_taken.is_some_and(|taken| taken >= 3))
        })
        .await;
        let status = ultrapeer.node.status().await;
        assert_eq!((status.neighbours, status.leaves, status.role.as_str()), (0, 1, "ultrapeer"));
        let status = leaf.node.status().await;
        assert_eq!((status.neighbours, status.leaves, status.role.as_str()), (1, 0, "leaf"));
        let (hits, _) = ultrapeer.search("green song", None, 1000).await;
        assert_eq!(hits.len(), 1);
        let (hits, _) = leaf.search("blue train", None, 1000).await;
        assert_eq!(hits.len(), 1);
        let (hits, _) = ultrapeer.search("red bus", None, 300).await;
        assert_eq!(hits.len(), 0);
        let kept: u64 = ultrapeer.node.peers().await.iter().map(|peer| peer.kept_back).sum();
        assert_eq!(kept, 1, "the leaf was not asked for what it does not have");
        shutdown(vec![ultrapeer, leaf]).await;
    });
}
