//! After a shutdown nothing of a servent is left: no socket, no file, no thread of its own.
#![cfg(target_os = "linux")]

mod node_support;

use std::path::Path;

use node_support::{Peer, Raw, eventually, run, shutdown, start};

/// What the process has open, as the system names it, and the names of its threads.
fn left() -> (Vec<String>, Vec<String>) {
    let open = std::fs::read_dir("/proc/self/fd").expect("Linux");
    let open = open.filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok());
    let mut open: Vec<String> = open.map(|path| kind(&path)).filter(|kind| kind != "directory").collect();
    let threads = std::fs::read_dir("/proc/self/task").expect("Linux");
    let name = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm")).ok();
    let mut threads: Vec<String> = threads.filter_map(|task| name(task.ok()?)).collect();
    // The pool for blocking work grows and shrinks by itself.
    threads.retain(|name| !name.starts_with("blocking"));
    open.sort();
    threads.sort();
    (open, threads)
}

/// Numbers differ from run to run, kinds do not.
fn kind(path: &Path) -> String {
    let path = path.display().to_string();
    match path.split_once(":[") {
        Some((kind, _)) => kind.to_owned(),
        None if path.starts_with("/proc/") => "directory".to_owned(),
        None => path,
    }
}

async fn live() {
    let a = start(&[("one.txt", b"1"), ("two.txt", b"2")], &[]).await;
    let b = start(&[("three.txt", b"3")], &[&a]).await;
    let c: Peer = start(&[], &[&b]).await;
    let raw = (Raw::link(a.addr()).await, Raw::dial(b.addr()).await);
    let _watched = c.node.events();
    let began = c.node.search(filbert::app::SearchRequest { query: "one".into(), ttl: None, wait_ms: None, max: None });
    let _search = began.await.expect("a search that still runs at the end");
    shutdown(vec![a, b, c]).await;
    drop(raw);
}

/// What is in `now` more often than in `before`.
fn more(now: &[String], before: &[String]) -> Vec<String> {
    let times = |all: &[String], what: &String| all.iter().filter(|one| *one == what).count();
    now.iter().filter(|what| times(now, what) > times(before, what)).cloned().collect()
}

#[test]
fn a_shutdown_leaves_no_socket_file_or_thread() {
    run(async {
        // The runtime starts its own threads and files when it is used first; they stay.
        live().await;
        let before = left();
        for _ in 0..3 {
            live().await;
        }
        // What was just going when we looked before may be gone by now; nothing may have come.
        let after = || {
            let now = left();
            [more(&now.0, &before.0), more(&now.1, &before.1)].concat()
        };
        eventually("nothing is left that was not there before", async || after().is_empty()).await;
    });
}
