//! Limits on speeds between real servents: they hold at once for what is under way, 0 pauses, `off` removes.

mod node_support;

use std::time::{Duration, Instant};

use filbert::app::view::TransferView;
use filbert::app::{GetRequest, Node, SpeedLimits, SpeedsRequest};
use filbert::base::Speed;
use node_support::{Peer, Raw, eventually, run, shutdown, start, start_with};

const SIZE: usize = 600_000;

fn content() -> Vec<u8> {
    (0..SIZE as u32 / 4).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

async fn link(peer: &Peer) -> GetRequest {
    eventually("hashed", async || peer.node.status().await.hashed == 1).await;
    let urn = format!("urn:sha1:{}", filbert::wire::Digests::of(&content()).sha1);
    GetRequest { what: format!("http://{}/uri-res/N2R?{urn}", peer.addr()), ..Default::default() }
}

fn change(node: &Node, change: SpeedsRequest) {
    node.set_limits(&change).expect("limits");
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

async fn view(node: &Node, id: u64) -> TransferView {
    node.transfers().await.into_iter().find(|transfer| transfer.id == id).expect("it is there")
}

async fn done(node: &Node, id: u64) {
    eventually("done", async || view(node, id).await.state == "done").await;
    assert_eq!(std::fs::read(view(node, id).await.path.expect("a path")).expect("there"), content());
}

#[test]
fn downloads_rest_at_a_limit_of_zero_and_go_on_without_it() {
    run(async {
        let b = start(&[("song.ogg", &content())], &[]).await;
        let speeds = SpeedLimits { down: Speed::Bytes(0), ..SpeedLimits::default() };
        let a = start_with(&[], &[], |options| options.speeds = speeds).await;
        let id = a.node.get(link(&b).await).await.expect("a download").id;
        let held = view(&a.node, id).await;
        assert_eq!((held.state.as_str(), held.done), ("paused", 0), "{held:?}");
        assert!(held.reason.contains("their limit is 0"), "{held:?}");
        let held = a.node.resume(id).await.expect("nothing to refuse");
        assert!(held.reason.contains("their limit is 0"), "a resume does not lift the limit: {held:?}");

        // What the user paused stays so.
        assert_eq!(a.node.pause(id).await.expect("paused").reason, "paused by you");
        change(&a.node, SpeedsRequest { down: some("off"), ..Default::default() });
        assert_eq!(view(&a.node, id).await.reason, "paused by you");
        change(&a.node, SpeedsRequest { down: some("0"), ..Default::default() });
        a.node.resume(id).await.expect("resumed");
        assert_eq!(view(&a.node, id).await.state, "paused");
        change(&a.node, SpeedsRequest { down: some("off"), ..Default::default() });
        done(&a.node, id).await;
        shutdown(vec![a, b]).await;
    });
}

#[test]
fn a_download_under_way_slows_down_stops_and_goes_on() {
    run(async {
        let b = start(&[("song.ogg", &content())], &[]).await;
        let a = start(&[], &[]).await;
        change(&a.node, SpeedsRequest { down: some("100K"), ..Default::default() });
        assert_eq!(a.node.status().await.limits.down_now_bps, Some(100_000));
        let begun = Instant::now();
        let id = a.node.get(link(&b).await).await.expect("a download").id;
        eventually("some of it is there", async || view(&a.node, id).await.done > 100_000).await;
        assert!(begun.elapsed() > Duration::from_millis(800), "faster than the limit");
        change(&a.node, SpeedsRequest { down: some("0"), ..Default::default() });
        eventually("it rests", async || view(&a.node, id).await.state == "paused").await;
        let so_far = view(&a.node, id).await.done;
        assert!(so_far < SIZE as u64);
        change(&a.node, SpeedsRequest { down: some("off"), ..Default::default() });
        done(&a.node, id).await;
        shutdown(vec![a, b]).await;
    });
}

#[test]
fn uploads_slow_down_stop_and_go_on() {
    run(async {
        let speeds = SpeedLimits { up: Speed::Bytes(100_000), ..SpeedLimits::default() };
        let b = start_with(&[("song.ogg", &content())], &[], |options| options.speeds = speeds).await;
        let a = start(&[], &[]).await;
        let request = link(&b).await;
        let begun = Instant::now();
        let id = a.node.get(request.clone()).await.expect("a download").id;
        eventually("some of it is there", async || view(&a.node, id).await.done > 100_000).await;
        assert!(begun.elapsed() > Duration::from_millis(800), "faster than the limit");
        change(&b.node, SpeedsRequest { up: some("0"), ..Default::default() });
        let up = b.node.transfers().await.remove(0);
        assert!(up.reason.contains("their limit is 0"), "{up:?}");
        // Who comes now waits in the line.
        let c = start(&[], &[]).await;
        let other = c.node.get(request).await.expect("a download").id;
        eventually("it waits", async || view(&c.node, other).await.reason.contains("queued 1 of 1")).await;
        change(&b.node, SpeedsRequest { up: some("off"), peer_up: some("off"), ..Default::default() });
        done(&a.node, id).await;
        c.node.retry(other).await.expect("now, not later");
        done(&c.node, other).await;
        shutdown(vec![a, b, c]).await;
    });
}

#[test]
fn one_address_has_its_own_limit_and_who_leaves_while_it_waits_is_let_go() {
    run(async {
        let speeds = SpeedLimits { peer_up: Speed::Bytes(1_000), ..SpeedLimits::default() };
        let b = start_with(&[("song.ogg", &content())], &[], |options| options.speeds = speeds).await;
        let what = link(&b).await.what;
        let path = what.split_once("/uri").expect("a target").1;
        let mut raw = Raw::dial(b.addr()).await;
        raw.send(format!("GET /uri{path} HTTP/1.1\r\n\r\n").as_bytes()).await;
        assert!(raw.read_head().await.starts_with("HTTP/1.1 200"), "heads are not held back");
        eventually("it is sent", async || b.node.transfers().await[0].state == "uploading").await;
        assert!(b.node.transfers().await[0].done < 100_000);
        drop(raw);
        eventually("it is let go", async || b.node.transfers().await[0].state != "uploading").await;
        shutdown(vec![b]).await;
    });
}
