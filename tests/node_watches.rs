//! Saved searches between real servents: found once, fetched once, over a restart too.

mod node_support;

use std::time::Duration;

use filbert::app::view::{EventView, WatchView};
use filbert::app::{ErrorCode, Node, Options, ShareRequest, WatchPace, WatchRequest};
use filbert::net::rt;
use futures::{FutureExt, StreamExt};
use node_support::{Peer, eventually, options, run, start, start_with};

/// As polite as a test can wait for.
const PACE: WatchPace = WatchPace {
    between: Duration::from_millis(50),
    each: Duration::from_millis(200),
    longest: Duration::from_millis(400),
};

fn impatient(options: &mut Options) {
    options.watch_pace = PACE;
}

fn request(query: &str, max: Option<&str>) -> WatchRequest {
    WatchRequest { query: query.into(), get: max.is_some(), max: max.map(str::to_owned) }
}

async fn only(node: &Node) -> WatchView {
    let mut watches = node.watches().await;
    assert_eq!(watches.len(), 1, "{watches:?}");
    watches.remove(0)
}

/// Puts a file where `peer` shares, from now on if it shared nothing before.
async fn share_later(peer: &Peer, name: &str, content: &[u8], files: u64) {
    let folder = peer.dir.path().join("share");
    std::fs::write(folder.join(name), content).expect("written");
    if peer.node.shares().await.is_empty() {
        peer.node.share(ShareRequest { path: folder, ..ShareRequest::default() }).await.expect("shared");
    }
    eventually("it is shared and hashed", async || peer.node.status().await.hashed == files).await;
}

fn downloads(peer: &Peer) -> Vec<String> {
    let folder = std::fs::read_dir(peer.dir.path().join("home/downloads"));
    let names = folder.into_iter().flatten().flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name != "incomplete").collect()
}

/// Several questions later.
async fn asked_again(sent: impl AsyncFn() -> u64) {
    let before = sent().await;
    eventually("it asks again", async || sent().await >= before + 3).await;
}

#[test]
fn a_watch_finds_what_is_shared_later_gets_it_and_never_again() {
    run(async {
        let b = start(&[], &[]).await;
        let a = start_with(&[("night train, ours.txt", b"here already")], &[&b], impatient).await;
        let mut events = a.node.events();
        let watch = a.node.watch(request("night train", Some("1K"))).await.expect("a watch");
        assert_eq!((watch.hits, watch.get, watch.asked_ago_s), (0, true, None));
        assert_eq!(a.node.watch(request("night train", None)).await.expect_err("twice").code, ErrorCode::Usage);
        let queries = async || b.counter("queries_received").await;
        asked_again(queries).await;
        assert_eq!(only(&a.node).await.hits, 0);

        share_later(&b, "Night Train.txt", b"all aboard", 1).await;
        eventually("it is found", async || only(&a.node).await.hits == 1).await;
        eventually("it is here", async || downloads(&a) == ["Night Train.txt"]).await;
        // Too big, and what we share ourselves: told, or not even that; never fetched.
        share_later(&b, "night train, long.txt", &[7; 4096], 2).await;
        share_later(&b, "night train, copy.txt", b"here already", 3).await;
        eventually("the big one is told", async || only(&a.node).await.hits == 2).await;
        asked_again(queries).await;
        let view = only(&a.node).await;
        assert_eq!((view.hits, view.new, view.fetched), (2, 2, 1));
        let mut told = Vec::new();
        while let Some(Some(event)) = events.next().now_or_never() {
            if let EventView::WatchHit { watch, hit, getting, .. } = event {
                told.push((watch, hit.name.clone(), getting));
            }
        }
        let id = watch.id;
        assert_eq!(told, [(id, "Night Train.txt".into(), true), (id, "night train, long.txt".into(), false)]);
        assert_eq!(a.node.watch_looked_at(id).await.expect("it is there").new, 0);

        // The file goes; neither the next question nor another run brings it back.
        std::fs::remove_file(a.dir.path().join("home/downloads/Night Train.txt")).expect("it was there");
        asked_again(queries).await;
        a.node.shutdown().await;
        let mut again = options(a.dir.path());
        impatient(&mut again);
        again.connect = vec![b.addr().to_string()];
        let node = Node::start(again).await.expect("again");
        eventually("it is linked", async || node.peers().await.len() == 1).await;
        asked_again(queries).await;
        let view = only(&node).await;
        assert_eq!((view.id, view.hits, view.new, view.fetched, view.get), (id, 2, 0, 1, true));
        let names: Vec<String> = node.watch_hits(id).await.expect("hits").into_iter().map(|hit| hit.name).collect();
        assert_eq!(names, ["Night Train.txt", "night train, long.txt"]);
        assert_eq!(downloads(&a), [""; 0], "it is not fetched twice");

        assert!(node.pause_watch(id, true).await.expect("it is there").paused);
        let quiet = queries().await;
        rt::sleep(PACE.longest * 2).await;
        assert!(queries().await <= quiet + 1, "one may have been on its way");
        node.unwatch(id).await.expect("it is there");
        assert_eq!(node.unwatch(id).await.expect_err("gone").code, ErrorCode::NotFound);
        node.shutdown().await;
        let node = Node::start(options(a.dir.path())).await.expect("a third time");
        assert!(node.watches().await.is_empty());
        assert_eq!(node.watch(request("other", None)).await.expect("a watch").id, id + 1, "numbers are not used again");
        node.shutdown().await;
        b.node.shutdown().await;
    });
}

#[test]
fn watches_are_bounded_and_wait_for_a_neighbour() {
    run(async {
        let b = start(&[("blue train.txt", b"abc")], &[]).await;
        eventually("hashed", async || b.node.status().await.hashed == 1).await;
        let a = start(&[], &[]).await;
        for n in 0..64 {
            let query = if n == 0 { "blue train".to_owned() } else { format!("nothing{n}") };
            a.node.watch(request(&query, None)).await.expect("a watch");
        }
        let refused = a.node.watch(request("one more", None)).await.expect_err("too many");
        assert_eq!(refused.code, ErrorCode::Refused);
        assert!(a.node.watches().await.iter().all(|watch| watch.asked_ago_s.is_none()), "there is nobody to ask");
        a.node.connect(b.addr().to_string()).await.expect("a link");
        eventually("found", async || a.node.watches().await[0].hits == 1).await;
        let asked = a.node.watches().await.iter().filter(|watch| watch.asked_ago_s.is_some()).count();
        assert_eq!(asked, 1, "one question a minute");
        a.node.shutdown().await;
        b.node.shutdown().await;
    });
}
