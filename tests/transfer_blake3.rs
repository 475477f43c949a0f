//! Blocks proven against the tree in a file's BLAKE3, which filberts give each other.

mod node_support;
mod transfer_support;

use std::net::SocketAddr;
use std::sync::Arc;

use filbert::app::downloads::Wanted;
use filbert::app::{ErrorCode, GetRequest};
use filbert::base::Speed;
use filbert::net::rt;
use filbert::transfer::check::Checker;
use filbert::transfer::{Ask, Expected, Source};
use filbert::wire::{Blake3, Blake3Row, Blake3Tree, Digests, Sha1, blake3_tree};
use node_support::{Peer, Raw, eventually, finished, run, shutdown, start, start_with};
use transfer_support::*;

fn row(bytes: &[u8]) -> Blake3Row {
    let mut tree = Blake3Tree::new();
    tree.update(bytes);
    tree.finish_row()
}

/// A source that names the BLAKE3 of `bytes`, gives `tree` for its tree, and sends `sent`.
fn source(bytes: &[u8], tree: Vec<u8>, sent: Vec<u8>) -> Script {
    let size = sent.len();
    sending(row(bytes).root(), tree, size, Box::new(move |stream, first, end| send(stream, "", &sent[first..end])))
}

fn sending(root: Blake3, tree: Vec<u8>, size: usize, body: Body) -> Script {
    Script::new(move |head, stream| {
        if head.contains("N2B") {
            return send(stream, &format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", tree.len()), &tree);
        }
        let (first, last) = asked(head);
        let end = last.saturating_add(1).min(size);
        let said = format!(
            "HTTP/1.1 206 OK\r\nContent-Range: bytes {first}-{}/{}\r\nContent-Length: {}\r\n\
             X-Blake3-URI: /uri-res/N2B?urn:sha1:X;{root}\r\n\r\n",
            end - 1,
            size,
            end - first
        );
        send(stream, &said, b"") && body(stream, first, end)
    })
}

fn named(bytes: &[u8], sources: &[SocketAddr]) -> Wanted {
    // Without the Tiger tree, which takes long where nothing is optimised.
    let both = Expected { sha1: Some(Sha1([0; 20])), tth: None, blake3: Some(Blake3([0; 32])) };
    let mut checker = Checker::new(&both);
    checker.update(bytes);
    let expected = checker.finish();
    let urn = expected.urn().expect("a hash");
    let sources = sources.iter().map(|addr| Source::new(*addr, Ask::Urn(urn.clone()))).collect();
    Wanted { name: "a".into(), size: Some(bytes.len() as u64), expected, sources, ..Wanted::urn(&urn) }
}

#[test]
fn a_wrong_block_names_its_source_and_only_that_block_is_fetched_again() {
    let (place, bytes) = (Place::new(), content(8 * MIB + 77, 1));
    let mut wrong = bytes.clone();
    wrong.iter_mut().skip(100).step_by(3 * MIB).for_each(|byte| *byte ^= 1);
    let tree = blake3_tree::encode(&row(&bytes));
    let (liar, good) = (source(&bytes, tree.clone(), wrong), source(&bytes, tree, bytes.clone()));
    let downloads = place.open();
    let id = rt::block_on(downloads.get(named(&bytes, &[liar.addr, good.addr]))).expect("begun").id;
    let view = finish(&downloads, id);
    rt::block_on(downloads.shutdown());
    assert_eq!((view.state.as_str(), view.verified.as_deref()), ("done", Some("blake3")), "{view:?}");
    assert!(read(&view.path.clone().expect("a path")) == bytes);
    assert!(of(&view, &liar).words.starts_with("sent wrong bytes at "), "{view:?}");
    assert_eq!((of(&view, &liar).state.as_str(), of(&view, &good).state != "banned"), ("banned", true), "{view:?}");
    let vain = view.received - bytes.len() as u64;
    assert!(vain <= 4 * MIB as u64, "{vain} bytes in vain");
    let asked_for_it =
        |script: &Script| script.requests.lock().expect("no panic").iter().filter(|head| head.contains("N2B")).count();
    assert_eq!(asked_for_it(&liar) + asked_for_it(&good), 1, "a tree is fetched once");
}

#[test]
fn rows_that_lie_ban_their_senders_and_when_all_lie_nothing_is_left() {
    let (place, bytes) = (Place::new(), content(3 * MIB, 2));
    let mut tree = blake3_tree::encode(&row(&bytes));
    tree[40] ^= 1;
    let long = vec![0; blake3_tree::LIMIT + 32];
    let (garbled, endless) = (source(&bytes, tree, content(3 * MIB, 3)), source(&bytes, long, content(3 * MIB, 4)));
    let downloads = place.open();
    let id = rt::block_on(downloads.get(named(&bytes, &[garbled.addr, endless.addr]))).expect("begun").id;
    let view = wait(&downloads, id, &["done", "failed"]);
    rt::block_on(downloads.shutdown());
    assert_eq!((view.state.as_str(), view.error), ("failed", Some(ErrorCode::VerificationFailed)), "{view:?}");
    for source in [&garbled, &endless] {
        assert!(view.reason.contains(&source.addr.to_string()), "{}", view.reason);
    }
    assert!(!place.files().contains(&"a".to_owned()), "{:?}", place.files());
}

#[test]
fn of_four_sources_of_two_hundred_megabytes_one_lies_one_stalls_one_closes_and_one_is_slow() {
    let (place, all) = (Place::new(), Arc::new(content(200_000_005, 8)));
    let row = row(&all);
    let make = |body: Body| sending(row.root(), blake3_tree::encode(&row), all.len(), body);
    let sources = four(&all, 1 << 20, make);
    let downloads = place.open();
    let id = rt::block_on(downloads.get(named(&all, &sources.each_ref().map(|source| source.addr)))).expect("begun").id;
    let view = finish(&downloads, id);
    rt::block_on(downloads.shutdown());
    assert_eq!((view.state.as_str(), view.verified.as_deref()), ("done", Some("blake3")), "{view:?}");
    check_four(&view, &sources, &all, all.len() as u64 / 20);
}

/// What `peer` gives for a tree of `bytes`: the head, and the body if there is one.
async fn tree_of(peer: &Peer, how: &str, bytes: &[u8]) -> (String, Vec<u8>) {
    let mut raw = Raw::dial(peer.addr()).await;
    raw.send(format!("GET /uri-res/{how}?{} HTTP/1.0\r\nConnection: close\r\n\r\n", urn(bytes)).as_bytes()).await;
    let head = raw.read_head().await;
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).expect("a length");
    let (length, mut body) = (length.parse().expect("a number"), Vec::new());
    while body.len() < length {
        body.extend(raw.read_bytes().await);
    }
    (head, body)
}

#[test]
fn filberts_prove_by_it_and_give_it_on_while_they_fetch() {
    run(async {
        let bytes = content(20 * MIB + 5, 5);
        let digests = Digests::of(&bytes);
        let a = start_with(&[("tree.bin", &bytes)], &[], |options| options.speeds.up = Speed::Bytes(3 << 20)).await;
        eventually("hashed", async || a.node.status().await.hashed == 1).await;
        let from = |peers: &[&Peer]| {
            let urn = urn(&bytes);
            let sources: String =
                peers.iter().map(|it| format!("&xs=http://{}/uri-res/N2R?{urn}", it.addr())).collect();
            let what =
                format!("magnet:?xt={urn}&xt=urn:blake3:{}&xl={}&dn=tree.bin{sources}", digests.blake3, bytes.len());
            GetRequest { what, ..Default::default() }
        };
        let (head, body) = tree_of(&a, "N2B", &bytes).await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert_eq!(blake3_tree::decode(&body, bytes.len() as u64, &digests.blake3), Ok(row(&bytes)));
        let (b, c) = (start(&[], &[]).await, start(&[], &[]).await);
        let at_b = b.node.get(from(&[&a])).await.expect("begun").id;
        eventually("b has a part", async || b.node.transfers().await[0].done >= 3 * MIB as u64).await;
        // It comes on a connection of its own, while blocks come.
        eventually("b proves by it and gives it on", async || {
            tree_of(&b, "N2B", &bytes).await.0.starts_with("HTTP/1.1 200")
        })
        .await;
        let (_, body) = tree_of(&b, "N2B", &bytes).await;
        assert_eq!(blake3_tree::decode(&body, bytes.len() as u64, &digests.blake3), Ok(row(&bytes)));
        assert!(tree_of(&b, "N2X", &bytes).await.0.starts_with("HTTP/1.1 404"), "it has no other");
        // A third one knows only b.
        let at_c = c.node.get(from(&[&b])).await.expect("begun").id;
        for (peer, id) in [(&b, at_b), (&c, at_c)] {
            let view = finished(&peer.node, id).await;
            assert_eq!((view.state.as_str(), view.verified.as_deref()), ("done", Some("blake3")), "{view:?}");
            assert!(read(view.path.as_ref().expect("a path")) == bytes);
        }
        shutdown(vec![a, b, c]).await;
    });
}
