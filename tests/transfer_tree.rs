//! Downloads that are held against a tree: a wrong block names its source and is fetched again, alone; trees that lie
//! are found out; four sources of which one alone is good bring the file.

mod transfer_support;

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use filbert::app::ErrorCode;
use filbert::app::downloads::Wanted;
use filbert::app::view::TransferView;
use filbert::net::rt;
use filbert::wire::{Digests, TigerTree, TreeRow, Tth, thex};
use transfer_support::*;

fn row(bytes: &[u8]) -> TreeRow {
    let mut tree = TigerTree::new();
    tree.update(bytes);
    tree.finish_row()
}

/// A source that names the tree of `named`, gives what `tree` says when it is asked for that, and sends from `sent` as
/// `body` does.
fn source(
    named: Tth,
    tree: Vec<u8>,
    size: usize,
    body: impl Fn(&mut TcpStream, usize, usize) -> bool + Send + Sync + 'static,
) -> Script {
    Script::new(move |head, stream| {
        if head.contains("N2X") {
            let said =
                format!("HTTP/1.1 200 OK\r\nContent-Type: application/dime\r\nContent-Length: {}\r\n\r\n", tree.len());
            return send(stream, &said, &tree);
        }
        let (first, last) = asked(head);
        let end = last.saturating_add(1).min(size);
        let said = format!(
            "HTTP/1.1 206 OK\r\nContent-Range: bytes {first}-{}/{size}\r\nContent-Length: {}\r\n\
             X-Thex-URI: /uri-res/N2X?urn:sha1:X;{named}\r\n\r\n",
            end - 1,
            end - first
        );
        send(stream, &said, b"") && body(stream, first, end)
    })
}

fn honest(bytes: &[u8]) -> Script {
    liar(bytes, bytes.to_vec())
}

/// Names the true tree, and sends this.
fn liar(bytes: &[u8], sent: Vec<u8>) -> Script {
    let row = row(bytes);
    source(row.root(), thex::encode(&row), bytes.len(), move |stream, first, end| send(stream, "", &sent[first..end]))
}

fn get(place: &Place, wanted: Wanted) -> TransferView {
    let downloads = place.open();
    let id = rt::block_on(downloads.get(wanted)).expect("begun").id;
    let view = finish(&downloads, id);
    rt::block_on(downloads.shutdown());
    view
}

#[test]
fn a_wrong_block_names_its_source_and_only_that_block_is_fetched_again() {
    let (place, bytes) = (Place::new(), content(12 * MIB + 77, 1));
    let mut wrong = bytes.clone();
    wrong.iter_mut().skip(100).step_by(3 * MIB).for_each(|byte| *byte ^= 1);
    let (liar, good) = (liar(&bytes, wrong), honest(&bytes));
    let view = get(&place, wanted("a", &bytes, &[liar.addr, good.addr]));
    assert_eq!(view.state, "done", "{view:?}");
    assert!(read(&view.path.clone().expect("a path")) == bytes);
    let banned = of(&view, &liar);
    assert_eq!(banned.state, "banned", "{view:?}");
    assert!(banned.words.starts_with("sent wrong bytes at "), "{}", banned.words);
    assert_ne!(of(&view, &good).state, "banned");
    let vain = view.received - bytes.len() as u64;
    assert!(vain <= 4 * MIB as u64, "{vain} bytes in vain");
}

#[test]
fn all_liars_are_named_and_nothing_is_left_that_looks_finished() {
    let (place, bytes) = (Place::new(), content(3 * MIB, 2));
    let sent = content(3 * MIB, 3);
    let (one, two) = (liar(&bytes, sent.clone()), liar(&bytes, sent));
    let view = get(&place, wanted("a", &bytes, &[one.addr, two.addr]));
    assert_eq!((view.state.as_str(), view.error), ("failed", Some(ErrorCode::VerificationFailed)), "{view:?}");
    for source in [&one, &two] {
        assert!(view.reason.contains(&source.addr.to_string()), "{}", view.reason);
    }
    assert!(!place.files().contains(&"a".to_owned()), "{:?}", place.files());
}

#[test]
fn a_tree_that_is_none_of_its_root_is_a_lie_and_another_source_gives_it() {
    let (place, bytes) = (Place::new(), content(4 * MIB + 1, 4));
    let mut garbled = thex::encode(&row(&bytes));
    *garbled.last_mut().expect("bytes") ^= 1;
    // The liar is asked for it while nobody else is known, and answers when somebody is.
    let (all, known) = (bytes.clone(), Arc::new(AtomicBool::new(false)));
    let (root, gate) = (row(&bytes).root(), Arc::clone(&known));
    let liar = Script::new(move |head, stream| {
        while head.contains("N2X") && !gate.load(Ordering::SeqCst) {
            pause(Duration::from_millis(5));
        }
        if head.contains("N2X") {
            let said = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", garbled.len());
            return send(stream, &said, &garbled);
        }
        let (first, end) = (asked(head).0, asked(head).1.saturating_add(1).min(all.len()));
        let said = format!(
            "HTTP/1.1 206 OK\r\nContent-Range: bytes {first}-{}/{}\r\nContent-Length: {}\r\n\
             X-Thex-URI: /uri-res/N2X?urn:sha1:X;{root}\r\n\r\n",
            end - 1,
            all.len(),
            end - first
        );
        // No more than a part, before the tree.
        send(stream, &said, &all[first..(first + 1000).min(end)]) && {
            while !gate.load(Ordering::SeqCst) {
                pause(Duration::from_millis(5));
            }
            pause(Duration::from_millis(500));
            send(stream, "", &all[(first + 1000).min(end)..end])
        }
    });
    let good = honest(&bytes);
    let downloads = place.open();
    let id = rt::block_on(downloads.get(wanted("a", &bytes, &[liar.addr]))).expect("begun").id;
    let end = std::time::Instant::now() + Duration::from_secs(30);
    while !liar.requests.lock().expect("no panic").iter().any(|head| head.contains("N2X")) {
        assert!(std::time::Instant::now() < end, "it is not asked for the tree");
        pause(Duration::from_millis(5));
    }
    let content = filbert::transfer::Expected::of_urn(&urn(&bytes));
    downloads.add_source(&content, filbert::transfer::Source::new(good.addr, filbert::transfer::Ask::Urn(urn(&bytes))));
    known.store(true, Ordering::SeqCst);
    let view = finish(&downloads, id);
    rt::block_on(downloads.shutdown());
    assert_eq!(view.state, "done", "{view:?}");
    assert!(read(&view.path.clone().expect("a path")) == bytes);
    assert_eq!(of(&view, &liar).state, "banned", "{view:?}");
}

#[test]
fn a_source_with_another_tree_is_kept_apart_and_a_tree_that_is_a_lie_falls_with_its_namers() {
    let (place, bytes, other) = (Place::new(), content(4 * MIB, 5), content(4 * MIB, 6));
    // It names, gives and sends another file, in agreement with itself, and is the only one at first.
    let alone = honest(&other);
    let good = honest(&bytes);
    let downloads = place.open();
    let id = rt::block_on(downloads.get(wanted("a", &bytes, &[alone.addr]))).expect("begun").id;
    wait_for(&downloads, id, |view| view.received > 0);
    let content = filbert::transfer::Expected::of_urn(&urn(&bytes));
    let source = filbert::transfer::Source::new(good.addr, filbert::transfer::Ask::Urn(urn(&bytes)));
    downloads.add_source(&content, source.clone());
    let end = std::time::Instant::now() + Duration::from_secs(30);
    let view = loop {
        let view = downloads.view(id).expect("a download");
        if view.state == "done" || std::time::Instant::now() > end {
            break view;
        }
        // It may have failed before the good one was known.
        if view.state == "failed" {
            let _ = downloads.retry(id);
            downloads.add_source(&content, source.clone());
        }
        pause(Duration::from_millis(20));
    };
    assert_eq!(view.state, "done", "{view:?}");
    assert!(read(&view.path.clone().expect("a path")) == bytes);
    let banned = of(&view, &alone);
    assert_eq!(banned.state, "banned", "{view:?}");
    rt::block_on(downloads.shutdown());
}

#[test]
fn who_lied_is_remembered_after_a_restart() {
    let (place, bytes) = (Place::new(), content(6 * MIB, 7));
    let mut wrong = bytes.clone();
    wrong[10] ^= 1;
    wrong[5 * MIB + 10] ^= 1;
    let liar = liar(&bytes, wrong);
    let row = row(&bytes);
    let (root, tree) = (row.root(), thex::encode(&row));
    // Stops in the middle of its first block for ever.
    let halting = source(root, tree, bytes.len(), |_, _, _| {
        pause(Duration::from_millis(300));
        false
    });
    let downloads = place.open();
    let id = rt::block_on(downloads.get(wanted("a", &bytes, &[liar.addr, halting.addr]))).expect("begun").id;
    wait_for(&downloads, id, |view| of(view, &liar).state == "banned");
    rt::block_on(downloads.shutdown());
    drop(downloads);
    let before = liar.requests.lock().expect("no panic").len();
    let downloads = place.open();
    let view = wait_for(&downloads, id, |view| view.from.len() == 2 && view.done < view.size.unwrap_or(0));
    assert_eq!(of(&view, &liar).state, "banned", "{view:?}");
    pause(Duration::from_millis(300));
    assert_eq!(liar.requests.lock().expect("no panic").len(), before, "it is not asked again");
    rt::block_on(downloads.shutdown());
}

#[test]
fn of_four_sources_one_lies_one_stalls_one_closes_and_one_is_slow() {
    let (place, bytes) = (Place::new(), content(24 * MIB + 5, 8));
    let row = row(&bytes);
    let make = |body: Body| source(row.root(), thex::encode(&row), bytes.len(), body);
    let all = Arc::new(bytes.clone());
    let sources = four(&all, 64 << 10, make);
    let view = get(&place, wanted("a", &bytes, &sources.each_ref().map(|source| source.addr)));
    assert_eq!((view.state.as_str(), view.verified.as_deref()), ("done", Some("sha1")), "{view:?}");
    // One block of the liar, and what it had sent of the next: of 24 blocks that is more than of 200.
    check_four(&view, &sources, &bytes, 2 * MIB as u64);
}

#[test]
fn four_honest_sources_each_bring_a_good_part() {
    let (place, bytes) = (Place::new(), content(24 * MIB, 9));
    let row = row(&bytes);
    let all = Arc::new(bytes.clone());
    let sources: Vec<Script> = (0..4)
        .map(|_| {
            let all = Arc::clone(&all);
            source(row.root(), thex::encode(&row), bytes.len(), move |stream, first, end| {
                all[first..end].chunks(256 << 10).all(|piece| {
                    pause(Duration::from_millis(10));
                    send(stream, "", piece)
                })
            })
        })
        .collect();
    let addrs: Vec<_> = sources.iter().map(|source| source.addr).collect();
    let view = get(&place, wanted("a", &bytes, &addrs));
    assert_eq!(view.state, "done", "{view:?}");
    for source in &sources {
        let bytes = of(&view, source).bytes;
        assert!(bytes >= all.len() as u64 / 10, "{bytes} from {}: {view:?}", source.addr);
    }
    assert_eq!(Digests::of(&read(&view.path.expect("a path"))), Digests::of(&all));
}
