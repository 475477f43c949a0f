//! A clock that was set back by a year, or forward by a day, between two runs: what the state says lies in the future, or
//! long ago. Nothing is lost, nothing is fetched twice, and nobody waits for a year.

mod node_support;
mod transfer_support;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use filbert::app::view::TransferView;
use filbert::app::{GetRequest, Node, ShareRequest, WatchRequest};
use node_support::{eventually, options, run, shutdown, start};
use serde_json::Value;
use transfer_support::{MIB, Script, asked, content, pause, send, urn};

const DAY: i64 = 24 * 3600;

/// Moves every time in a state by so many seconds.
fn shift(value: &mut Value, seconds: i64) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let unit = match key.as_str() {
                    "heard" | "tried" | "asked_s" => 1,
                    "created_ms" => 1000,
                    "mtime_ns" => 1_000_000_000,
                    _ => {
                        shift(value, seconds);
                        continue;
                    }
                };
                if let Some(time) = value.as_i64() {
                    *value = (time + seconds * unit).max(0).into();
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| shift(value, seconds)),
        _ => {}
    }
}

/// As if the clock had shown that much more when all this was written.
fn shift_files(dir: &Path, seconds: i64) -> usize {
    let mut shifted = 0;
    for entry in std::fs::read_dir(dir).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            shifted += shift_files(&path, seconds);
            continue;
        }
        let then = std::fs::metadata(&path).and_then(|meta| meta.modified()).expect("a time");
        if path.extension().is_some_and(|extension| extension == "json") {
            let text = std::fs::read_to_string(&path).expect("text");
            let mut value: Value = serde_json::from_str(&text).expect("JSON");
            shift(&mut value, seconds);
            shifted += usize::from(value != serde_json::from_str::<Value>(&text).expect("JSON"));
            std::fs::write(&path, value.to_string()).expect("written");
        }
        let distance = Duration::from_secs(seconds.unsigned_abs());
        let moved: Option<SystemTime> =
            if seconds < 0 { then.checked_sub(distance) } else { then.checked_add(distance) };
        File::options()
            .append(true)
            .open(&path)
            .and_then(|file| file.set_modified(moved.expect("a time")))
            .expect("set");
    }
    shifted
}

async fn finished(node: &Node, id: u64) -> TransferView {
    eventually("it is over", async || node.transfers().await.iter().any(|it| it.id == id && it.state == "done")).await;
    node.transfers().await.into_iter().find(|it| it.id == id).expect("it is there")
}

#[test]
fn times_in_the_state_that_are_yet_to_come_or_long_past_change_nothing_that_matters() {
    run(async {
        for seconds in [366 * DAY, DAY, -DAY, -366 * DAY] {
            once(seconds).await;
        }
    });
}

async fn once(seconds: i64) {
    let b = start(&[("theirs.txt", b"la la la")], &[]).await;
    eventually("hashed", async || b.node.status().await.hashed == 1).await;
    let bytes = content(5 * MIB + 9, 31);
    let (all, open) = (bytes.clone(), Arc::new(AtomicBool::new(false)));
    let gate = Arc::clone(&open);
    let source = Script::new(move |head, stream| {
        let (first, last) = asked(head);
        let end = last.saturating_add(1).min(all.len());
        let said = format!(
            "HTTP/1.1 206 Part\r\nContent-Range: bytes {first}-{}/{}\r\nContent-Length: {}\r\n\r\n",
            end - 1,
            all.len(),
            end - first
        );
        send(stream, &said, b"")
            && all[first..end].chunks(MIB / 2).enumerate().all(|(n, piece)| {
                // At first no more than two MB and a half.
                while first + n * MIB / 2 >= 5 * MIB / 2 && !gate.load(Ordering::SeqCst) {
                    pause(Duration::from_millis(5));
                }
                send(stream, "", piece)
            })
    });

    let dir = tempfile::tempdir().expect("a folder");
    let share = dir.path().join("mine");
    std::fs::create_dir(&share).expect("a folder");
    std::fs::write(share.join("own.txt"), b"own").expect("written");
    let config = || {
        let mut options = options(dir.path());
        options.connect = vec![b.addr().to_string()];
        options
    };
    let node = Node::start(config()).await.expect("it starts");
    eventually("linked", async || node.status().await.neighbours == 1).await;
    node.share(ShareRequest { path: share.clone(), ..ShareRequest::default() }).await.expect("shared");
    node.watch(WatchRequest { query: "theirs".into(), get: false, max: None }).await.expect("a watch");
    let get = |what: String| GetRequest { what, ..Default::default() };
    let had = format!("magnet:?xt={}&xs=http://{}/uri-res/N2R?{0}", urn(b"la la la"), b.addr());
    let had_id = node.get(get(had.clone())).await.expect("begun").id;
    finished(&node, had_id).await;
    let what = format!("magnet:?xt={}&xl={}&dn=x.bin&xs=http://{}/x", urn(&bytes), bytes.len(), source.addr);
    let id = node.get(get(what)).await.expect("begun").id;
    eventually("some of it is there", async || {
        node.transfers().await.iter().any(|it| it.id == id && it.done >= 2 * MIB as u64)
    })
    .await;
    eventually("it was asked", async || node.watches().await[0].asked_ago_s.is_some()).await;
    eventually("hashed", async || node.status().await.hashed == 1).await;
    node.shutdown().await;

    let home = config().home;
    assert!(shift_files(&home.state, seconds) >= 3, "hosts, transfers and watches tell times");
    shift_files(&home.downloads, seconds);
    shift_files(&share, seconds);
    source.requests.lock().expect("no panic").clear();
    open.store(true, Ordering::SeqCst);

    let node = Node::start(config()).await.expect("it starts");
    let view = finished(&node, id).await;
    assert!(std::fs::read(view.path.expect("a path")).expect("there") == bytes, "{seconds} s");
    let ranges: Vec<usize> = source.requests.lock().expect("no panic").iter().map(|head| asked(head).0).collect();
    assert!(ranges.iter().all(|first| *first >= 2 * MIB), "what was there is not fetched again: {ranges:?}");
    assert_eq!(node.get(get(had)).await.expect("known").id, had_id, "what is done is done");
    eventually("hashed", async || node.status().await.hashed == 1).await;
    eventually("linked", async || node.status().await.neighbours == 1).await;
    assert!(node.hosts().await.iter().any(|host| host.addr == b.addr().to_string()), "hosts are known");
    let watch = node.watches().await.remove(0);
    assert!(watch.next_s.is_some_and(|next| next <= 6 * 3600), "{watch:?}");
    assert!(node.status().await.warnings.is_empty(), "{:?}", node.status().await.warnings);
    node.shutdown().await;
    let aside = std::fs::read_dir(&home.state)
        .expect("a folder")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    assert_eq!(aside.filter(|name| name.contains("corrupt")).count(), 0, "nothing is set aside");
    shutdown(vec![b]).await;
}
