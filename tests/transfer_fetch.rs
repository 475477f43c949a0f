//! Whole downloads over loopback: from our own server, and from sources that are short, slow, busy, or lie.

mod transfer_support;

use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use filbert::app::ErrorCode;
use filbert::app::downloads::{Downloads, OnExists, Wanted};
use filbert::net::rt;
use filbert::transfer::{Ask, Expected, Source};
use transfer_support::*;

fn get(place: &Place, wanted: Wanted) -> filbert::app::view::TransferView {
    let downloads = place.open();
    let id = rt::block_on(downloads.get(wanted)).expect("begun").id;
    let view = finish(&downloads, id);
    rt::block_on(downloads.shutdown());
    view
}

#[test]
fn a_file_comes_whole_and_verified_from_our_own_server() {
    for length in [0, 1, MIB - 1, MIB, MIB + 1, 5 * MIB + 77] {
        let (place, bytes) = (Place::new(), content(length, 1));
        let served = Served::new(&[("blue train.flac", &bytes)]);
        let view = get(&place, wanted("blue train.flac", &bytes, &[served.addr]));
        assert_eq!((view.state.as_str(), view.verified.as_deref()), ("done", Some("sha1")), "{length}: {view:?}");
        assert_eq!(view.done, length as u64);
        let path = view.path.expect("a path");
        assert_eq!(path, place.downloads().join("blue train.flac"));
        assert!(read(&path) == bytes, "{length} bytes differ");
        assert_eq!(place.files(), ["blue train.flac"], "nothing else is left");
    }
}

#[test]
fn a_file_without_a_hash_comes_by_its_number_and_says_that_only_its_size_was_checked() {
    let (place, bytes) = (Place::new(), content(MIB + 5, 2));
    let served = Served::new(&[("other", b"x"), ("a b.txt", &bytes)]);
    let source = Source::new(served.addr, Ask::Index(1, "a b.txt".into()));
    let unhashed = Wanted { expected: Expected::default(), sources: vec![source], ..wanted("a b.txt", &bytes, &[]) };
    let view = get(&place, unhashed.clone());
    assert_eq!((view.state.as_str(), view.verified.as_deref(), view.urn), ("done", Some("none"), None));
    assert!(read(&view.path.expect("a path")) == bytes);

    let renamed = Source::new(served.addr, Ask::Index(0, "a b.txt".into()));
    let view = get(&place, Wanted { sources: vec![renamed], name: "z".into(), ..unhashed });
    assert_eq!((view.state.as_str(), view.error), ("failed", Some(ErrorCode::NotFound)), "{view:?}");
    assert!(view.reason.contains("does not have the file (404"), "{}", view.reason);
}

#[test]
fn a_link_alone_is_enough_and_its_server_names_the_file() {
    let (place, bytes) = (Place::new(), content(300_000, 3));
    let served = Served::new(&[("Caf\u{e9} & more.txt", &bytes)]);
    let link = format!("http://{}/uri-res/N2R?{}", served.addr, urn(&bytes));
    let view = get(&place, rt::block_on(Wanted::parse(&link)).expect("a link"));
    assert_eq!((view.state.as_str(), view.verified.as_deref()), ("done", Some("sha1")), "{view:?}");
    assert_eq!(place.files(), ["Caf\u{e9} & more.txt"]);
}

#[test]
fn short_answers_are_continued_on_the_same_connection() {
    let (place, bytes) = (Place::new(), content(3 * MIB + 9, 4));
    let all = bytes.clone();
    // As gtk-gnutella does: 512 KiB at first, then what is asked for.
    let first = AtomicUsize::new(0);
    let source = Script::new(move |head, stream| {
        let (start, last) = asked(head);
        let end = (last + 1).min(all.len());
        let cap = if first.fetch_add(1, Ordering::SeqCst) == 0 { start + 512 * 1024 } else { end };
        send_206(stream, &all, start, end.min(cap))
    });
    let view = get(&place, wanted("a", &bytes, &[source.addr]));
    assert_eq!(view.state, "done", "{view:?}");
    assert!(read(&view.path.expect("a path")) == bytes);
    let requests = source.requests.lock().expect("no panic");
    let ranges: Vec<_> = requests.iter().map(|head| asked(head)).collect();
    assert_eq!(ranges, [(0, bytes.len() - 1), (512 * 1024, bytes.len() - 1)]);
    let says = |head: &String| head.contains("\r\nX-Features: browse/1.0, queue/1.0\r\n");
    assert_eq!(requests.iter().map(says).collect::<Vec<_>>(), [true, false], "said once on a connection");
    assert_eq!(source.connections.load(Ordering::SeqCst), 1);
}

#[test]
fn a_source_that_closes_anywhere_is_asked_for_the_rest() {
    let (place, bytes) = (Place::new(), content(2 * MIB + 500, 5));
    let all = bytes.clone();
    let count = AtomicUsize::new(0);
    let source = Script::new(move |head, stream| {
        let (start, _) = asked(head);
        let head = format!(
            "HTTP/1.1 206 OK\r\nContent-Range: bytes {start}-{}/{}\r\nContent-Length: {}\r\n\r\n",
            all.len() - 1,
            all.len(),
            all.len() - start
        );
        let cut = 300_000 + 77_777 * count.fetch_add(1, Ordering::SeqCst);
        send(stream, &head, &all[start..all.len().min(start + cut)]);
        false
    });
    let view = get(&place, wanted("a", &bytes, &[source.addr]));
    assert_eq!(view.state, "done", "{view:?}");
    assert!(read(&view.path.expect("a path")) == bytes);
    let starts: Vec<_> = source.requests.lock().expect("no panic").iter().map(|head| asked(head).0).collect();
    assert_eq!(starts[..4], [0, 300_000, 677_777, 1_133_331], "each goes on where the last one ended");
}

#[test]
fn a_whole_answer_to_a_request_for_a_part_is_used_in_part() {
    let (place, bytes) = (Place::new(), content(2 * MIB, 6));
    let all = bytes.clone();
    let count = AtomicUsize::new(0);
    let source = Script::new(move |_, stream| {
        let head = format!("HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n", all.len());
        // The first answer ends early; the second one, too, begins at the beginning.
        let end = if count.fetch_add(1, Ordering::SeqCst) == 0 { MIB + 1000 } else { all.len() };
        send(stream, &head, &all[..end]);
        false
    });
    let view = get(&place, wanted("a", &bytes, &[source.addr]));
    assert_eq!(view.state, "done", "{view:?}");
    assert!(read(&view.path.expect("a path")) == bytes);
    assert_eq!(source.requests.lock().expect("no panic").len(), 2);
}

#[test]
fn chunked_and_close_delimited_answers_are_taken() {
    let bytes = content(MIB + 321, 7);
    type Send = fn(&[u8], &mut TcpStream);
    let ways: [Send; 2] = [
        |all, stream| {
            send(stream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"");
            for chunk in all.chunks(70_000) {
                send(stream, &format!("{:x};x=y\r\n", chunk.len()), chunk);
                send(stream, "\r\n", b"");
            }
            send(stream, "0\r\nX-Trailer: 1\r\n\r\n", b"");
        },
        |all, stream| {
            send(stream, "HTTP 200\n\n", all);
        },
    ];
    for way in ways {
        let (place, all) = (Place::new(), bytes.clone());
        let source = Script::new(move |_, stream| {
            way(&all, stream);
            false
        });
        let view = get(&place, wanted("a", &bytes, &[source.addr]));
        assert_eq!(view.state, "done", "{view:?}");
        assert!(read(&view.path.expect("a path")) == bytes);
    }
}

#[test]
fn wrong_bytes_fail_the_download_name_the_source_and_leave_nothing() {
    let (place, bytes) = (Place::new(), content(2 * MIB + 5, 8));
    let mut wrong = bytes.clone();
    wrong[MIB + 3] ^= 1;
    let source = Script::new(move |head, stream| send_206(stream, &wrong, asked(head).0, wrong.len()));
    let downloads = place.open();
    let id = rt::block_on(downloads.get(wanted("a", &bytes, &[source.addr]))).expect("begun").id;
    let view = finish(&downloads, id);
    assert_eq!(downloads.verify_fails(), 1, "it is counted");
    rt::block_on(downloads.shutdown());
    assert_eq!((view.state.as_str(), view.error), ("failed", Some(ErrorCode::VerificationFailed)), "{view:?}");
    assert_eq!(view.reason, format!("{} sent bytes that do not match {}", source.addr, urn(&bytes)));
    assert_eq!(place.files(), Vec::<String>::new());
    assert_eq!(source.requests.lock().expect("no panic").len(), 1, "it is not asked again");
}

#[test]
fn after_a_liar_an_honest_source_is_asked() {
    let (place, bytes) = (Place::new(), content(MIB + 5, 9));
    let mut wrong = bytes.clone();
    wrong[7] ^= 1;
    let liar = Script::new(move |head, stream| send_206(stream, &wrong, asked(head).0, wrong.len()));
    let honest = Served::new(&[("a", &bytes)]);
    let view = get(&place, wanted("a", &bytes, &[liar.addr, honest.addr]));
    assert_eq!((view.state.as_str(), view.sources), ("done", 1), "{view:?}");
    assert!(read(&view.path.expect("a path")) == bytes);
}

#[test]
fn a_source_with_a_file_of_another_size_is_left() {
    let bytes = content(MIB, 10);
    for head in [
        "HTTP/1.1 206 OK\r\nContent-Range: bytes 0-99/100\r\nContent-Length: 100\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n",
        "HTTP/1.1 206 OK\r\nContent-Range: bytes 0-2000000/*\r\n\r\n",
    ] {
        let place = Place::new();
        let source = Script::new(move |_, stream| send(stream, head, &[7; 100]));
        let downloads = place.open();
        let id = rt::block_on(downloads.get(wanted("a", &bytes, &[source.addr]))).expect("begun").id;
        let view = wait(&downloads, id, &["waiting", "failed"]);
        assert!(view.reason.starts_with(&format!("source {} has another file: ", source.addr)), "{view:?}");
        assert_eq!((view.done, view.sources), (0, 0));
        rt::block_on(downloads.shutdown());
        assert_eq!(source.requests.lock().expect("no panic").len(), 1);
    }
}

#[test]
fn a_busy_source_is_left_alone_until_the_time_it_named() {
    let (place, bytes) = (Place::new(), content(100_000, 11));
    let all = bytes.clone();
    let count = AtomicUsize::new(0);
    let source = Script::new(move |head, stream| match count.fetch_add(1, Ordering::SeqCst) {
        0 => send(
            stream,
            "HTTP/1.1 503 Queued (slot 3)\r\nContent-Length: 0\r\nRetry-After: 2\r\n\
             X-Queue: position=2,\r\n\tlength=6, limit=1, pollMin=45\r\n\r\n",
            b"",
        ),
        _ => send_206(stream, &all, asked(head).0, all.len()),
    });
    let downloads = place.open();
    let id = rt::block_on(downloads.get(wanted("a", &bytes, &[source.addr]))).expect("begun").id;
    let view = wait(&downloads, id, &["waiting"]);
    assert_eq!(view.next_try_s.map(|seconds| (1..=3).contains(&seconds)), Some(true), "{view:?}");
    let begun = std::time::Instant::now();
    assert!(view.reason.contains("queued 2 of 6 at ") && view.reason.contains(", next try 0:0"), "{}", view.reason);
    assert_eq!(finish(&downloads, id).state, "done");
    assert!(begun.elapsed() > Duration::from_millis(1500), "it came back early");
    rt::block_on(downloads.shutdown());
}

#[test]
fn nonsense_and_refusals_are_said_in_words() {
    let bytes = content(1000, 12);
    for (answer, reason) in [
        ("garbage\r\n\r\n", "sent what is no HTTP ("),
        ("HTTP/1.1 206 OK\r\nContent-Length: 5\r\n\r\nhello", "sent what is no HTTP (206 without Content-Range)"),
        (
            "HTTP/1.1 206 OK\r\nContent-Range: bytes 0-9/1000\r\nContent-Length: 5\r\n\r\nhello",
            "sent what is no HTTP (",
        ),
        ("HTTP/1.1 206 OK\r\nContent-Range: bytes 500-509/1000\r\n\r\nhello", "sent what is no HTTP (other bytes"),
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "does not have the file (404 Not Found)"),
        (
            "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\n\r\n",
            "redirects elsewhere (302 Found), which no peer may do",
        ),
        ("HTTP/1.1 403 Forbidden\r\n\r\n", "refuses to give the file (403 Forbidden)"),
        ("HTTP/1.1 416 Range\r\n\r\n", "does not have that part of the file (416 Range)"),
        ("HTTP/1.1 500 Oops\r\n\r\n", "is in trouble (500 Oops)"),
        ("", "closed the connection"),
    ] {
        let place = Place::new();
        let source = Script::new(move |_, stream| {
            send(stream, answer, b"");
            false
        });
        let downloads = place.open();
        let id = rt::block_on(downloads.get(wanted("a", &bytes, &[source.addr]))).expect("begun").id;
        let view = wait(&downloads, id, &["waiting", "failed"]);
        assert!(view.reason.starts_with(&format!("source {} {reason}", source.addr)), "{answer:?}: {}", view.reason);
        assert_eq!(source.requests.lock().expect("no panic").len(), 1, "{answer:?}");
        rt::block_on(downloads.shutdown());
    }
}

#[test]
fn an_endless_head_is_cut_off() {
    let (place, bytes) = (Place::new(), content(1000, 13));
    let source = Script::new(move |_, stream| {
        send(stream, "HTTP/1.1 200 OK\r\n", b"");
        while send(stream, "X-Filler: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n", b"") {}
        false
    });
    let downloads = place.open();
    let id = rt::block_on(downloads.get(wanted("a", &bytes, &[source.addr]))).expect("begun").id;
    let view = wait(&downloads, id, &["waiting"]);
    assert!(view.reason.contains("sent what is no HTTP"), "{}", view.reason);
    rt::block_on(downloads.shutdown());
}

#[test]
fn bytes_in_drops_arrive_all_the_same() {
    let (place, bytes) = (Place::new(), content(40, 14));
    let all = bytes.clone();
    let source = Script::new(move |_, stream| {
        send(stream, "HTTP/1.1 206 OK\r\nContent-Range: bytes 0-39/40\r\nContent-Length: 40\r\n\r\n", b"");
        all.iter().all(|byte| {
            pause(Duration::from_millis(2));
            send(stream, "", &[*byte])
        })
    });
    let view = get(&place, wanted("a", &bytes, &[source.addr]));
    assert_eq!(view.state, "done", "{view:?}");
}

#[test]
fn without_a_source_it_waits_says_why_asks_and_takes_the_one_that_is_found() {
    let (place, bytes) = (Place::new(), content(MIB + 1, 15));
    let (gone, downloads) = (nobody(), place.open());
    let view = rt::block_on(downloads.get(wanted("a", &bytes, &[gone]))).expect("begun");
    let view = wait(&downloads, view.id, &["waiting"]);
    assert!(view.reason.starts_with(&format!("source {gone} refused the connection, next try 0:0")), "{}", view.reason);
    assert_eq!(place.asked(1), [urn(&bytes)]);
    // It is back on another port.
    let served = Served::new(&[("a", &bytes)]);
    let (content, source) = (Expected::of_urn(&urn(&bytes)), Source::new(served.addr, Ask::Urn(urn(&bytes))));
    downloads.add_source(&content, source);
    assert_eq!(finish(&downloads, view.id).state, "done");

    let other = rt::block_on(downloads.get(Wanted::urn(&urn(b"nobody has it")))).expect("begun");
    let other = wait(&downloads, other.id, &["waiting"]);
    assert!(other.reason.starts_with("waiting for source: none known; asking the network again in 0:0"), "{other:?}");
    assert_eq!(place.asked(2), [urn(&bytes), urn(b"nobody has it")]);
    rt::block_on(downloads.shutdown());
}

#[test]
fn what_is_asked_for_twice_is_fetched_once_and_what_is_here_not_at_all() {
    let (place, bytes) = (Place::new(), content(MIB, 16));
    let downloads = place.open();
    let get = |wanted: Wanted| rt::block_on(downloads.get(wanted)).expect("begun");
    let first = get(wanted("a", &bytes, &[]));
    let served = Served::new(&[("a", &bytes)]);
    let second = get(wanted("other name", &bytes, &[served.addr]));
    assert_eq!(second.id, first.id, "it is joined, and brings a source");
    let done = finish(&downloads, first.id);
    assert_eq!(done.state, "done");
    let third = get(wanted("a", &bytes, &[]));
    assert_eq!((third.id, third.state.as_str(), third.path), (first.id, "done", done.path.clone()));
    // Its file is gone: it is fetched anew.
    std::fs::remove_file(done.path.expect("a path")).expect("removed");
    let fourth = get(wanted("a", &bytes, &[served.addr]));
    assert_ne!(fourth.id, first.id);
    assert_eq!(finish(&downloads, fourth.id).state, "done");
    rt::block_on(downloads.shutdown());
}

#[test]
fn a_file_that_somebody_wrote_to_is_had_only_when_it_is_still_the_same() {
    let (place, bytes) = (Place::new(), content(MIB, 18));
    let served = Served::new(&[("a", &bytes)]);
    for restart in [false, true] {
        let mut downloads = place.open();
        let get = |downloads: &Downloads| {
            let view = rt::block_on(downloads.get(wanted("a", &bytes, &[served.addr]))).expect("begun");
            finish(downloads, view.id)
        };
        let first = get(&downloads);
        let path = first.path.clone().expect("a path");
        let reopen = |downloads: &mut Downloads| {
            if restart {
                rt::block_on(downloads.shutdown());
                *downloads = place.open();
            }
        };
        reopen(&mut downloads);
        assert_eq!(get(&downloads).id, first.id, "as it was");
        // Written to, and still the same.
        std::fs::write(&path, &bytes).expect("written");
        reopen(&mut downloads);
        let same = get(&downloads);
        assert_eq!((same.path.as_ref(), same.reason.as_str()), (Some(&path), "you have it already"));
        assert_eq!((same.received, same.verified.as_deref()), (0, Some("sha1")));
        // Of the same length, and something else.
        let other = content(MIB, 19);
        std::fs::write(&path, &other).expect("written");
        reopen(&mut downloads);
        let fresh = get(&downloads);
        assert_ne!(fresh.path.as_ref(), Some(&path), "it is not what was asked for");
        assert!(read(fresh.path.as_ref().expect("a path")) == bytes && read(&path) == other);
        rt::block_on(downloads.shutdown());
        place.files().iter().for_each(|name| std::fs::remove_file(place.downloads().join(name)).expect("removed"));
    }
}

#[test]
fn what_was_skipped_for_its_name_is_nothing_that_one_has() {
    let (place, bytes) = (Place::new(), content(1000, 20));
    let served = Served::new(&[("a.txt", &bytes)]);
    std::fs::create_dir_all(place.downloads()).expect("a folder");
    std::fs::write(place.downloads().join("a.txt"), content(1000, 21)).expect("written");
    let downloads = place.open();
    let get = |on_exists| {
        let wanted = Wanted { on_exists, ..wanted("a.txt", &bytes, &[served.addr]) };
        finish(&downloads, rt::block_on(downloads.get(wanted)).expect("begun").id)
    };
    let skipped = get(OnExists::Skip);
    assert_eq!((skipped.verified.as_deref(), skipped.received), (Some("none"), 0));
    let got = get(OnExists::SkipSame);
    assert_eq!(got.path, Some(place.downloads().join("a (2).txt")), "{got:?}");
    assert!(read(&got.path.expect("a path")) == bytes);
    rt::block_on(downloads.shutdown());
}

#[test]
fn a_taken_name_is_treated_as_asked_for() {
    let (place, bytes) = (Place::new(), content(1000, 17));
    let served = Served::new(&[("a.txt", &bytes)]);
    std::fs::create_dir_all(place.downloads()).expect("a folder");
    let there = place.downloads().join("a.txt");
    let run = |on_exists, text: &[u8]| {
        std::fs::write(&there, text).expect("written");
        let fresh = Place::new();
        let wanted = Wanted { on_exists, dir: Some(place.downloads()), ..wanted("a.txt", &bytes, &[served.addr]) };
        let view = get(&fresh, wanted);
        let name = view.path.expect("a path").file_name().expect("a name").to_string_lossy().into_owned();
        (name, place.files())
    };
    assert_eq!(run(OnExists::SkipSame, &bytes), ("a.txt".into(), vec!["a.txt".into()]));
    assert_eq!(run(OnExists::Skip, b"old"), ("a.txt".into(), vec!["a.txt".into()]));
    assert_eq!(std::fs::read(&there).expect("read"), b"old");
    assert_eq!(run(OnExists::Overwrite, b"old"), ("a.txt".into(), vec!["a.txt".into()]));
    assert!(read(&there) == bytes);
    let two = vec!["a (2).txt".to_owned(), "a.txt".to_owned()];
    assert_eq!(run(OnExists::SkipSame, b"old"), ("a (2).txt".into(), two));
    assert_eq!(std::fs::read(&there).expect("read"), b"old");
}
