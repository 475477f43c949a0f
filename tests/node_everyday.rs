//! Everyday use between real servents: who goes first, magnets out and in, where files are put.

mod node_support;

use filbert::app::view::{EventView, TransferView};
use filbert::app::{ErrorCode, GetRequest, MagnetRequest, Node, SpeedLimits, SpeedsRequest};
use filbert::base::Speed;
use filbert::wire::Digests;
use futures::{FutureExt, StreamExt};
use node_support::{Peer, eventually, options, run, shutdown, start, start_with};

fn get(what: &str) -> GetRequest {
    GetRequest { what: what.to_owned(), ..GetRequest::default() }
}

fn magnet(what: &str) -> MagnetRequest {
    MagnetRequest { what: what.to_owned(), transfer: None }
}

async fn hashed(peer: &Peer, files: u64) {
    eventually("hashed", async || peer.node.status().await.hashed == files).await;
}

async fn view(node: &Node, id: u64) -> TransferView {
    node.transfers().await.into_iter().find(|transfer| transfer.id == id).expect("it is there")
}

async fn done(node: &Node, id: u64) -> TransferView {
    eventually("done", async || view(node, id).await.state == "done").await;
    view(node, id).await
}

#[test]
fn a_download_of_high_priority_goes_next_and_stays_so_after_a_restart() {
    run(async {
        let files: Vec<(String, Vec<u8>)> = (0..4).map(|n| (format!("song {n}.ogg"), vec![n; 50_000])).collect();
        let given: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
        let b = start(&given, &[]).await;
        hashed(&b, 4).await;
        // One at a time, and so slow that the first does not end meanwhile.
        let a = start_with(&[], &[], |options| {
            options.limits.downloads = 1;
            options.speeds = SpeedLimits { down: Speed::Bytes(1_000), ..SpeedLimits::default() };
        })
        .await;
        let mut ids = Vec::new();
        for (_, bytes) in &files {
            let urn = format!("urn:sha1:{}", Digests::of(bytes).sha1);
            let what = format!("http://{}/uri-res/N2R?{urn}", b.addr());
            ids.push(a.node.get(get(&what)).await.expect("a download").id);
        }
        eventually("the first one has its turn", async || view(&a.node, ids[0]).await.state == "downloading").await;
        eventually("the last one waits", async || view(&a.node, ids[3]).await.state == "queued").await;
        let asked = a.node.prioritise(ids[3], "high").await.expect("a priority");
        assert_eq!(asked.priority.as_deref(), Some("high"));
        a.node.prioritise(ids[1], "low").await.expect("a priority");
        assert_eq!(a.node.prioritise(ids[1], "urgent").await.expect_err("no word").code, ErrorCode::Usage);
        let mut events = a.node.events();
        a.node.cancel(ids[0]).await.expect("the first one is not wanted any more");
        a.node.set_limits(&SpeedsRequest { down: Some("off".into()), ..Default::default() }).expect("no limit");
        for id in &ids[1..] {
            done(&a.node, *id).await;
        }
        let mut order = Vec::new();
        while let Some(Some(event)) = events.next().now_or_never() {
            if let EventView::Transfer(view) = event
                && view.state == "done"
                && !order.contains(&view.id)
            {
                order.push(view.id);
            }
        }
        assert_eq!(order, [ids[3], ids[2], ids[1]]);

        let nobody = GetRequest { priority: Some("low".into()), ..get(&format!("urn:sha1:{}", "A".repeat(32))) };
        let id = a.node.get(nobody).await.expect("a download").id;
        a.node.shutdown().await;
        let node = Node::start(options(a.dir.path())).await.expect("again");
        assert_eq!(view(&node, id).await.priority.as_deref(), Some("low"), "it is in the state");
        node.shutdown().await;
        shutdown(vec![b]).await;
    });
}

#[test]
fn a_magnet_of_a_shared_file_a_hit_and_a_download_leads_to_the_file() {
    run(async {
        let bytes = vec![7; 70_000];
        let b = start(&[("blue train.ogg", &bytes)], &[]).await;
        hashed(&b, 1).await;
        let digests = Digests::of(&bytes);
        let urn = format!("urn:sha1:{}", digests.sha1);
        let path = b.dir.path().join("share/blue train.ogg");
        let shared = b.node.magnet(&magnet(&path.to_string_lossy())).expect("a magnet");
        let xs = format!("http://{}/uri-res/N2R?{urn}", b.addr());
        assert_eq!(
            shared.magnet,
            format!(
                "magnet:?dn=blue%20train.ogg&xl=70000&xt=urn:bitprint:{}.{}&xs={}",
                digests.sha1,
                digests.tth,
                filbert::web::uri::escape(&xs)
            )
        );
        assert_eq!(b.node.magnet(&magnet(&urn)).expect("by content"), shared);

        let a = start(&[], &[&b]).await;
        assert_eq!(a.search("blue train", None, 300).await.0.len(), 1);
        let hit = a.node.magnet(&magnet("1")).expect("of a hit");
        assert_eq!(hit.magnet, shared.magnet, "a hit tells the same");

        // Somebody who is connected to nobody gets it by the link alone.
        let c = start(&[], &[]).await;
        let id = c.node.get(get(&shared.magnet)).await.expect("a download").id;
        let got = done(&c.node, id).await;
        assert_eq!((got.name.as_str(), got.verified.as_deref()), ("blue train.ogg", Some("tth")));
        let again = c.node.magnet(&MagnetRequest { what: String::new(), transfer: Some(id) }).expect("of a download");
        assert_eq!(again.magnet, shared.magnet);

        let nothing = c.node.magnet(&magnet("/etc/hostname")).expect_err("not shared");
        assert_eq!(nothing.code, ErrorCode::NotFound);
        assert_eq!(c.node.magnet(&magnet("7")).expect_err("no hit").code, ErrorCode::NotFound);
        shutdown(vec![a, b, c]).await;
    });
}

#[test]
fn a_template_says_where_files_go_below_their_folder() {
    run(async {
        let b = start(&[("a.ogg", b"one"), ("b.txt", b"two")], &[]).await;
        hashed(&b, 2).await;
        let a = start(&[], &[]).await;
        let search = a.node.browse(b.addr().to_string()).await.expect("a list");
        eventually("all of it", async || a.node.searches().await.iter().any(|it| it.id == search.id && it.ended)).await;
        let out = a.dir.path().join("out");
        let mut paths = Vec::new();
        for what in ["1", "2"] {
            let template = Some("../{peer}/{ext}/{name}".to_owned());
            let request = GetRequest { dir: Some(out.clone()), template, ..get(what) };
            let id = a.node.get(request).await.expect("a download").id;
            paths.push(done(&a.node, id).await.path.expect("a path"));
        }
        paths.sort();
        assert_eq!(paths, [out.join("127.0.0.1/ogg/a.ogg"), out.join("127.0.0.1/txt/b.txt")]);
        assert_eq!(std::fs::read(&paths[0]).expect("there"), b"one");
        let wrong = GetRequest { template: Some("{folder}/{name}".to_owned()), ..get("1") };
        assert!(a.node.get(wrong).await.expect_err("no such word").message.contains("{folder}"));
        shutdown(vec![a, b]).await;
    });
}
