//! The main job between real servents: share, search, download; by number, by name, across restarts.

mod node_support;

use std::time::Duration;

use filbert::app::{GetRequest, Node, Options};
use filbert::wire::Digests;
use node_support::{Peer, eventually, finished, options, run, shutdown, start, within};

/// Bytes that do not repeat.
fn content(len: usize) -> Vec<u8> {
    (0..len as u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).take(len).collect()
}

fn get(what: &str) -> GetRequest {
    GetRequest { what: what.to_owned(), dir: None, name: None, on_exists: None, ..Default::default() }
}

async fn hashed(peer: &Peer, files: u64) {
    eventually("hashed", async || peer.node.status().await.hashed == files).await;
}

#[test]
fn what_we_share_is_not_fetched_by_whichever_name_it_is_asked_for() {
    run(async {
        let bytes = content(100_000);
        let b = start(&[("theirs.bin", &bytes)], &[]).await;
        let a = start(&[("ours.bin", &bytes), ("other.bin", b"other")], &[&b]).await;
        hashed(&a, 2).await;
        hashed(&b, 1).await;
        let (hits, _) = a.search("theirs", None, 500).await;
        assert_eq!(hits.len(), 1);
        let digests = Digests::of(&bytes);
        let sha1 = digests.sha1;
        let names = [
            "1".to_owned(),
            format!("urn:sha1:{sha1}"),
            digests.urn().to_string(),
            filbert::wire::Urn::Tth(digests.tth).to_string(),
            filbert::wire::Urn::Blake3(digests.blake3).to_string(),
            format!("magnet:?xt=urn:sha1:{sha1}&xl={}&dn=x.bin", bytes.len()),
            format!("http://{}/uri-res/N2R?urn:sha1:{sha1}", b.addr()),
        ];
        let ours = a.dir.path().join("share/ours.bin").canonicalize().expect("there");
        for what in &names {
            let view = a.node.get(get(what)).await.expect("known");
            assert_eq!((view.state.as_str(), view.received, view.path.as_ref()), ("done", 0, Some(&ours)), "{what}");
            assert!(view.verified.is_some_and(|verified| verified != "none"), "{what}");
        }
        assert!(b.node.transfers().await.is_empty(), "nobody was asked");
        assert!(!a.dir.path().join("home/downloads/theirs.bin").exists());
        shutdown(vec![a, b]).await;
    });
}

#[test]
fn what_was_found_two_links_away_is_fetched_directly_and_verified() {
    run(async {
        let bytes = content(3_000_000);
        let c = start(&[("long song.ogg", &bytes)], &[]).await;
        let b = start(&[], &[&c]).await;
        let a = start(&[], &[&b]).await;
        hashed(&c, 1).await;
        let (hits, _) = a.search("long song", None, 500).await;
        assert_eq!(hits.len(), 1);
        let begun = a.node.get(get("1")).await.expect("a download");
        let view = finished(&a.node, begun.id).await;
        assert_eq!((view.state.as_str(), view.done, view.size), ("done", 3_000_000, Some(3_000_000)), "{view:?}");
        assert_eq!(view.verified.as_deref(), Some("blake3"));
        let path = view.path.expect("a finished file has one");
        assert_eq!(path, a.dir.path().join("home/downloads/long song.ogg"));
        assert_eq!(std::fs::read(path).expect("there"), bytes);
        eventually("c counts it", async || {
            c.node.transfers().await.iter().any(|up| up.direction == "up" && up.done == 3_000_000)
        })
        .await;
        assert_eq!(a.node.status().await.neighbours, 1, "fetching makes nobody a neighbour");
        shutdown(vec![a, b, c]).await;
    });
}

#[test]
fn hit_numbers_work_after_a_restart() {
    run(async {
        let bytes = content(100_000);
        let b = start(&[("kept.bin", &bytes)], &[]).await;
        let a = start(&[], &[&b]).await;
        hashed(&b, 1).await;
        assert_eq!(a.search("kept", None, 300).await.0.len(), 1);
        a.node.shutdown().await;
        let again = Node::start(options(a.dir.path())).await.expect("again");
        let begun = again.get(get("1")).await.expect("a download");
        let view = finished(&again, begun.id).await;
        assert_eq!((view.state.as_str(), view.done), ("done", 100_000), "{view:?}");
        assert!(again.get(get("2")).await.expect_err("there was one hit").message.contains("no hit 2"));
        again.shutdown().await;
        shutdown(vec![b]).await;
    });
}

#[test]
fn content_is_fetched_by_its_name_alone_and_waits_until_somebody_has_it() {
    run(async {
        let bytes = content(200_000);
        let urn = format!("urn:sha1:{}", Digests::of(&bytes).sha1);
        let b = start(&[], &[]).await;
        let a = start(&[], &[&b]).await;
        let begun = a.node.get(get(&urn)).await.expect("a download without a source");
        eventually("it waits", async || a.node.transfers().await[0].state == "waiting").await;
        let c = start(&[("whatever it is called.bin", &bytes)], &[&b]).await;
        hashed(&c, 1).await;
        a.node.retry(begun.id).await.expect("now, not later");
        let view = finished(&a.node, begun.id).await;
        assert_eq!((view.state.as_str(), view.verified.as_deref()), ("done", Some("sha1")), "{view:?}");
        let path = view.path.expect("a path");
        assert_eq!(std::fs::read(path).expect("there"), bytes);
        shutdown(vec![a, b, c]).await;
    });
}

#[test]
fn what_is_shared_here_already_is_not_fetched() {
    run(async {
        let bytes = content(50_000);
        let a = start(&[("mine.bin", &bytes)], &[]).await;
        hashed(&a, 1).await;
        let urn = format!("urn:sha1:{}", Digests::of(&bytes).sha1);
        let view = a.node.get(get(&urn)).await.expect("it is here");
        assert_eq!(view.state, "done", "{view:?}");
        let shared = a.dir.path().join("share/mine.bin").canonicalize().expect("there");
        assert_eq!(view.path, Some(shared));
        shutdown(vec![a]).await;
    });
}

#[test]
fn a_download_goes_on_after_a_restart_and_finds_a_source_that_moved() {
    run(async {
        let bytes = content(40_000_000);
        let b = start(&[("big.bin", &bytes)], &[]).await;
        let a = start(&[], &[&b]).await;
        hashed(&b, 1).await;
        a.search("big", None, 300).await;
        let begun = a.node.get(get("1")).await.expect("a download");
        eventually("some is there", async || {
            let view = &a.node.transfers().await[0];
            view.done > 0 || view.state == "done"
        })
        .await;
        // Both go down; the source comes back on another port.
        let (home_a, home_b) = (a.dir, b.dir);
        a.node.shutdown().await;
        b.node.shutdown().await;
        drop((a.node, b.node));
        let share = vec![home_b.path().join("share")];
        let b = Node::start(Options { share, ..options(home_b.path()) }).await.expect("again");
        eventually("hashed again, from the cache", async || b.status().await.hashed == 1).await;
        let connect = vec![b.listen_addr().to_string()];
        let a = Node::start(Options { connect, ..options(home_a.path()) }).await.expect("again");
        within(Duration::from_secs(30), "done, without being asked", async || {
            a.transfers().await.iter().any(|view| view.id == begun.id && view.state == "done")
        })
        .await;
        assert_eq!(std::fs::read(home_a.path().join("home/downloads/big.bin")).expect("there"), bytes);
        a.shutdown().await;
        b.shutdown().await;
    });
}

#[test]
fn a_shared_folder_is_watched_kept_and_given_up() {
    run(async {
        let a = start(&[], &[]).await;
        let b = start(&[], &[&a]).await;
        let folder = a.dir.path().join("music");
        std::fs::create_dir(&folder).expect("made");
        let request = filbert::app::ShareRequest { path: folder.clone(), ..Default::default() };
        a.node.share(request.clone()).await.expect("shared");
        eventually("ready", async || a.node.shares().await[0].state == "ready").await;
        std::fs::write(folder.join("fresh fruit.txt"), b"just now").expect("written");
        within(Duration::from_secs(2), "a neighbour finds it", async || {
            b.search("fresh fruit", None, 100).await.0.len() == 1
        })
        .await;
        std::fs::rename(folder.join("fresh fruit.txt"), folder.join("ripe apple.txt")).expect("renamed");
        within(Duration::from_secs(2), "by its new name", async || {
            b.search("ripe apple", None, 100).await.0.len() == 1
                && b.search("fresh fruit", None, 100).await.0.is_empty()
        })
        .await;
        std::fs::remove_file(folder.join("ripe apple.txt")).expect("removed");
        within(Duration::from_secs(2), "no more", async || b.search("ripe apple", None, 100).await.0.is_empty()).await;

        let inside = filbert::app::ShareRequest { path: folder.join("."), ..Default::default() };
        assert_eq!(a.node.share(inside).await.expect("the same folder").path, a.node.shares().await[0].path);
        let root = filbert::app::ShareRequest { path: "/".into(), ..Default::default() };
        assert_eq!(a.node.share(root).await.expect_err("/").code, filbert::app::ErrorCode::Refused);
        a.node.shutdown().await;
        let again = Node::start(options(a.dir.path())).await.expect("again");
        assert_eq!(again.shares().await.len(), 1, "it stays shared");
        again.unshare(folder.clone()).await.expect("it was shared");
        assert_eq!(again.unshare(folder).await.expect_err("not any more").code, filbert::app::ErrorCode::NotFound);
        again.shutdown().await;
        let last = Node::start(options(a.dir.path())).await.expect("again");
        assert_eq!(last.shares().await.len(), 0);
        last.shutdown().await;
        shutdown(vec![b]).await;
    });
}
