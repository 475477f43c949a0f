//! The state of a servent: what cannot be read is set aside, said, and neither lost nor in the way.

mod node_support;

use std::collections::BTreeMap;
use std::path::Path;

use filbert::app::{GetRequest, Node, ShareRequest};
use filbert::proto::Encrypt;
use node_support::{eventually, options, run, shutdown, start};

/// The files below a folder, by their names, with what is in them.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("an entry").path());
    let files = entries.filter(|path| path.is_file());
    files.map(|path| (name(&path), std::fs::read(&path).expect("there"))).collect()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[test]
fn every_state_file_may_be_damaged_and_none_is_lost_or_in_the_way() {
    run(async {
        let b = start(&[("song.ogg", b"la la la")], &[]).await;
        let dir = tempfile::tempdir().expect("a folder");
        let share = dir.path().join("mine");
        std::fs::create_dir(&share).expect("a folder");
        std::fs::write(share.join("own.txt"), b"own").expect("written");
        let config = || {
            let mut options = options(dir.path());
            options.encrypt = Encrypt::Prefer;
            options.connect = vec![b.addr().to_string()];
            options
        };
        let state = config().home.state;
        let begin = async || {
            let node = Node::start(config()).await.expect("it starts");
            eventually("linked", async || node.status().await.neighbours == 1).await;
            node.share(ShareRequest { path: share.clone(), ..ShareRequest::default() }).await.expect("shared");
            let what = format!("urn:sha1:{}", "A".repeat(32));
            node.get(GetRequest { what, ..GetRequest::default() }).await.expect("a download");
            let search = node.browse(b.addr().to_string()).await.expect("a list");
            eventually("all of it", async || node.searches().await.iter().any(|it| it.id == search.id && it.ended))
                .await;
            node
        };
        begin().await.shutdown().await;
        let whole = files(&state);
        let kept: Vec<&String> = whole.keys().filter(|name| name.ends_with(".json")).collect();
        for file in ["servent", "key", "hosts", "shares", "search", "transfers"] {
            assert!(kept.contains(&&format!("{file}.json")), "{file}.json is not among {kept:?}");
        }
        // Nothing; what a file system leaves after a loss of power; a half; another version; another thing.
        let half = |bytes: &[u8]| bytes[..bytes.len() / 2].to_vec();
        let later = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes);
            let (before, after) = text.split_once("\"version\": ").expect("an envelope");
            let (_, rest) = after.split_once(',').expect("more");
            format!("{before}\"version\": 99,{rest}").into_bytes()
        };
        type Damage = dyn Fn(&[u8]) -> Vec<u8>;
        let damages: [&Damage; 5] =
            [&|_| Vec::new(), &|bytes| vec![0; bytes.len()], &half, &later, &|_| b"[1, 2]".to_vec()];
        for (count, damage) in damages.iter().enumerate() {
            let mut damaged = BTreeMap::new();
            for file in &kept {
                let bytes = damage(&std::fs::read(state.join(file)).expect("written again after the last time"));
                std::fs::write(state.join(file), &bytes).expect("written");
                damaged.insert((*file).clone(), bytes);
            }
            let node = begin().await;
            node.shutdown().await;
            let now = files(&state);
            for (file, bytes) in &damaged {
                let aside = format!("{file}.corrupt-{}", count + 1);
                assert_eq!(now.get(&aside), Some(bytes), "{aside} holds what was in {file}");
                assert!(now.contains_key(file), "{file} was begun anew");
            }
        }
        shutdown(vec![b]).await;
    });
}

#[test]
fn damaged_caches_cost_a_reading_and_nothing_else() {
    run(async {
        let dir = tempfile::tempdir().expect("a folder");
        let share = dir.path().join("mine");
        std::fs::create_dir(&share).expect("a folder");
        std::fs::write(share.join("own.txt"), b"own").expect("written");
        let begin = async || {
            let mut options = options(dir.path());
            options.share = vec![share.clone()];
            let node = Node::start(options).await.expect("it starts");
            eventually("hashed", async || node.status().await.hashed == 1).await;
            node.shutdown().await;
        };
        begin().await;
        let cache = options(dir.path()).home.cache;
        let kept = files(&cache);
        assert!(!kept.is_empty(), "something is cached");
        for damage in [b"".as_slice(), &[0; 500], &[255; 500], b"not what it was\n"] {
            for file in kept.keys() {
                std::fs::write(cache.join(file), damage).expect("written");
            }
            begin().await;
        }
    });
}
