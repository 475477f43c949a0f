//! Downloads that are interrupted: by a crash, by the user, by a source that goes.

mod transfer_support;

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use filbert::app::ErrorCode;
use filbert::app::downloads::{Downloads, Wanted};
use filbert::net::rt;
use filbert::transfer::{Expected, Source};
use transfer_support::*;

/// A source that stops sending behind byte `stop`, for as long as it is told to.
struct Halting {
    source: Script,
    free: Arc<AtomicBool>,
}

fn halting(bytes: &[u8], stop: usize) -> Halting {
    let (all, free) = (bytes.to_vec(), Arc::new(AtomicBool::new(false)));
    let freed = Arc::clone(&free);
    let source = Script::new(move |head, stream: &mut TcpStream| {
        let (start, last) = asked(head);
        let end = last.saturating_add(1).min(all.len());
        let head = format!(
            "HTTP/1.1 206 OK\r\nContent-Range: bytes {start}-{}/{}\r\nContent-Length: {}\r\n\r\n",
            end - 1,
            all.len(),
            end - start
        );
        if freed.load(Ordering::SeqCst) {
            return send(stream, &head, &all[start..end]);
        }
        send(stream, &head, &all[start..stop.max(start)]);
        while !freed.load(Ordering::SeqCst) {
            pause(Duration::from_millis(5));
        }
        false
    });
    Halting { source, free }
}

impl Halting {
    fn starts(&self) -> Vec<usize> {
        self.source.requests.lock().expect("no panic").iter().map(|head| asked(head).0).collect()
    }
}

fn begin(downloads: &Downloads, wanted: Wanted) -> u64 {
    rt::block_on(downloads.get(wanted)).expect("begun").id
}

#[test]
fn after_a_crash_it_goes_on_by_itself_where_it_was() {
    let (place, bytes) = (Place::new(), content(4 * MIB + 9, 1));
    let source = halting(&bytes, 2 * MIB + 1000);
    let downloads = place.open();
    let id = begin(&downloads, wanted("a", &bytes, &[source.source.addr]));
    wait_for(&downloads, id, |view| view.done == 2 * MIB as u64 + 1000);
    assert_eq!(place.files(), ["incomplete", "incomplete/a.part", "incomplete/a.part.map"]);
    drop(downloads);
    source.free.store(true, Ordering::SeqCst);

    let downloads = place.open();
    let view = finish(&downloads, id);
    assert_eq!((view.state.as_str(), view.id, view.done), ("done", id, bytes.len() as u64), "{view:?}");
    assert!(read(&view.path.expect("a path")) == bytes);
    assert_eq!(source.starts(), [0, 2 * MIB], "whole blocks are not fetched again");
    assert_eq!(place.files(), ["a"]);
    // And it is still known after the next start, under a number that nobody else gets.
    rt::block_on(downloads.shutdown());
    let downloads = place.open();
    assert_eq!(downloads.view(id).expect("remembered").state, "done");
    assert!(downloads.next_id() > id);
}

#[test]
fn a_bit_that_flipped_on_disk_costs_one_block() {
    let (place, bytes) = (Place::new(), content(4 * MIB, 2));
    let source = halting(&bytes, 3 * MIB);
    let downloads = place.open();
    let id = begin(&downloads, wanted("a", &bytes, &[source.source.addr]));
    wait_for(&downloads, id, |view| view.done == 3 * MIB as u64);
    drop(downloads);
    source.free.store(true, Ordering::SeqCst);
    let part = place.downloads().join("incomplete/a.part");
    let mut on_disk = std::fs::read(&part).expect("read");
    on_disk[MIB + 5] ^= 1;
    std::fs::write(&part, on_disk).expect("written");

    let downloads = place.open();
    let view = finish(&downloads, id);
    assert_eq!(view.state, "done", "{view:?}");
    assert!(read(&view.path.expect("a path")) == bytes);
    let heads = source.source.requests.lock().expect("no panic").clone();
    let ranges: Vec<_> = heads.iter().skip(1).map(|head| asked(head)).collect();
    assert_eq!(ranges, [(MIB, 2 * MIB - 1), (3 * MIB, 4 * MIB - 1)]);
}

#[test]
fn without_its_map_it_begins_anew_and_without_its_state_it_is_found_by_its_hash() {
    let (place, bytes) = (Place::new(), content(2 * MIB, 3));
    let source = halting(&bytes, MIB);
    let downloads = place.open();
    let id = begin(&downloads, wanted("a", &bytes, &[source.source.addr]));
    wait_for(&downloads, id, |view| view.done == MIB as u64);
    drop(downloads);
    // The state is lost: a new download of the same content takes the partial file up.
    std::fs::remove_dir_all(place.dir.path().join("state")).expect("removed");
    let downloads = place.open();
    let id = begin(&downloads, wanted("a", &bytes, &[source.source.addr]));
    wait_for(&downloads, id, |view| view.done == MIB as u64);
    while source.starts().len() < 2 {
        pause(Duration::from_millis(5));
    }
    rt::block_on(downloads.shutdown());
    // The map is torn to nothing; the state says whose file it is.
    std::fs::write(place.downloads().join("incomplete/a.part.map"), "").expect("written");
    source.free.store(true, Ordering::SeqCst);
    let downloads = place.open();
    let view = finish(&downloads, id);
    assert_eq!(view.state, "done", "{view:?}");
    assert!(read(&view.path.expect("a path")) == bytes);
    assert_eq!(source.starts(), [0, MIB, 0]);
    assert_eq!(place.files(), ["a"]);
}

#[test]
fn a_lie_from_before_the_crash_is_still_found_out_and_blamed() {
    let (place, bytes) = (Place::new(), content(3 * MIB, 4));
    let mut wrong = bytes.clone();
    wrong[5] ^= 1;
    let source = halting(&wrong, 2 * MIB);
    let downloads = place.open();
    let id = begin(&downloads, wanted("a", &bytes, &[source.source.addr]));
    wait_for(&downloads, id, |view| view.done == 2 * MIB as u64);
    drop(downloads);
    source.free.store(true, Ordering::SeqCst);
    let downloads = place.open();
    let view = finish(&downloads, id);
    assert_eq!((view.state.as_str(), view.error), ("failed", Some(ErrorCode::VerificationFailed)), "{view:?}");
    assert!(view.reason.starts_with(&format!("{} sent bytes that do not match ", source.source.addr)), "{view:?}");
    assert_eq!(place.files(), Vec::<String>::new());
}

#[test]
fn a_source_that_died_and_comes_back_elsewhere_sends_the_rest() {
    let (place, bytes) = (Place::new(), content(3 * MIB, 5));
    let mut first = halting(&bytes, MIB + 10);
    let downloads = place.open();
    let id = begin(&downloads, wanted("a", &bytes, &[first.source.addr]));
    wait_for(&downloads, id, |view| view.done == MIB as u64 + 10);
    let old = first.source.addr;
    // It goes: its connections end, and nobody listens there any more.
    first.free.store(true, Ordering::SeqCst);
    first.source = Script::new(|_, _| false);
    let view = wait_for(&downloads, id, |view| view.reason.contains("refused"));
    assert_eq!(view.state, "waiting");
    assert!(view.reason.starts_with(&format!("source {old} refused the connection, next try 0:0")), "{view:?}");
    assert_eq!(place.asked(1), [urn(&bytes)]);
    let served = Served::new(&[("a", &bytes)]);
    let link = rt::block_on(Wanted::parse(&format!("http://{}/uri-res/N2R?{}", served.addr, urn(&bytes))));
    let source: Source = link.expect("a link").sources.remove(0);
    downloads.add_source(&Expected::of_urn(&urn(&bytes)), source);
    let view = finish(&downloads, id);
    assert_eq!((view.state.as_str(), view.sources), ("done", 2), "{view:?}");
    assert!(read(&view.path.expect("a path")) == bytes);
}

#[test]
fn pause_resume_cancel_and_retry_do_what_they_say() {
    let (place, bytes) = (Place::new(), content(2 * MIB, 6));
    let source = halting(&bytes, MIB + 7);
    let downloads = place.open();
    let id = begin(&downloads, wanted("a", &bytes, &[source.source.addr]));
    wait_for(&downloads, id, |view| view.done == MIB as u64 + 7);
    assert_eq!(downloads.view(id).map(|view| view.state), Some("downloading".into()));
    assert_eq!(downloads.pause(id).expect("paused").state, "paused");
    rt::block_on(downloads.shutdown());

    // A pause outlives a restart.
    let downloads = place.open();
    let view = downloads.view(id).expect("remembered");
    assert_eq!((view.state.as_str(), view.done), ("paused", MIB as u64 + 7), "{view:?}");
    downloads.resume(id).expect("goes on");
    wait(&downloads, id, &["downloading"]);
    let view = rt::block_on(downloads.cancel(id)).expect("cancelled");
    assert_eq!((view.state.as_str(), view.done), ("cancelled", 0));
    assert_eq!(place.files(), Vec::<String>::new());
    for refused in [downloads.pause(id), downloads.resume(id)] {
        assert_eq!(refused.expect_err("it is over").code, ErrorCode::Usage);
    }
    assert_eq!(downloads.pause(99).expect_err("there is none").code, ErrorCode::NotFound);

    source.free.store(true, Ordering::SeqCst);
    downloads.retry(id).expect("begins again");
    assert_eq!(finish(&downloads, id).state, "done");
    assert_eq!(downloads.retry(id).expect_err("it is done").code, ErrorCode::Usage);
    assert!(read(&place.downloads().join("a")) == bytes);
    rt::block_on(downloads.shutdown());
}

#[test]
fn a_paused_download_that_is_cancelled_after_a_restart_leaves_nothing() {
    let (place, bytes) = (Place::new(), content(2 * MIB, 7));
    let source = halting(&bytes, MIB);
    let downloads = place.open();
    let id = begin(&downloads, wanted("a", &bytes, &[source.source.addr]));
    wait_for(&downloads, id, |view| view.done == MIB as u64);
    downloads.pause(id).expect("paused");
    rt::block_on(downloads.shutdown());
    let downloads = place.open();
    rt::block_on(downloads.cancel(id)).expect("cancelled");
    assert_eq!(place.files(), Vec::<String>::new());
}

#[test]
fn more_downloads_than_turns_wait_in_line_and_all_arrive() {
    let place = Place::new();
    let files: Vec<(String, Vec<u8>)> = (0..12).map(|n| (format!("file {n}"), content(50_000 + n, n as u64))).collect();
    let served = Served::new(&files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect::<Vec<_>>());
    let slow = halting(&content(1000, 99), 0);
    let downloads = place.open();
    // Four that hold every turn there is.
    let held: Vec<u64> = (0..4)
        .map(|n| begin(&downloads, wanted(&format!("held {n}"), &content(2000 + n, 50), &[slow.source.addr])))
        .collect();
    held.iter().for_each(|id| drop(wait(&downloads, *id, &["connecting", "downloading", "waiting"])));
    let ids: Vec<u64> =
        files.iter().map(|(name, bytes)| begin(&downloads, wanted(name, bytes, &[served.addr]))).collect();
    for id in held {
        rt::block_on(downloads.cancel(id)).expect("cancelled");
    }
    for (id, (name, bytes)) in ids.iter().zip(&files) {
        assert_eq!(finish(&downloads, *id).state, "done", "{name}");
        assert!(read(&place.downloads().join(name)) == *bytes, "{name}");
    }
    let mut unique = ids.clone();
    unique.dedup();
    assert_eq!(unique.len(), files.len());
    rt::block_on(downloads.shutdown());
}

#[test]
fn what_the_disk_refuses_fails_with_a_sentence_and_can_be_tried_again() {
    let (place, bytes) = (Place::new(), content(1000, 8));
    let served = Served::new(&[("a", &bytes)]);
    std::fs::create_dir_all(place.downloads()).expect("a folder");
    let in_the_way = place.downloads().join("incomplete");
    std::fs::write(&in_the_way, "a file where a folder should be").expect("written");
    let downloads = place.open();
    let id = begin(&downloads, wanted("a", &bytes, &[served.addr]));
    let view = finish(&downloads, id);
    assert_eq!((view.state.as_str(), view.error), ("failed", Some(ErrorCode::Failed)), "{view:?}");
    assert!(view.reason.starts_with("cannot make the folder "), "{}", view.reason);
    std::fs::remove_file(in_the_way).expect("removed");
    downloads.retry(id).expect("begins again");
    assert_eq!(finish(&downloads, id).state, "done");
    rt::block_on(downloads.shutdown());
}

#[test]
fn each_change_is_told_and_the_last_one_is_the_end() {
    let (place, bytes) = (Place::new(), content(2 * MIB, 9));
    let source = halting(&bytes, MIB);
    let downloads = place.open();
    let id = begin(&downloads, wanted("a", &bytes, &[source.source.addr]));
    let watch = downloads.watch(id).expect("a download");
    let states = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&states);
    let watching = rt::spawn(futures::StreamExt::for_each(watch, move |view| {
        seen.lock().expect("no panic").push((view.state, view.done));
        futures::future::ready(())
    }));
    wait_for(&downloads, id, |view| view.done == MIB as u64);
    pause(Duration::from_millis(300));
    source.free.store(true, Ordering::SeqCst);
    rt::block_on(rt::timeout(Duration::from_secs(60), watching)).expect("it ends");
    let states = states.lock().expect("no panic").clone();
    assert!(states.contains(&("downloading".into(), MIB as u64)), "{states:?}");
    assert_eq!(states.last(), Some(&("done".into(), 2 * MIB as u64)));
    assert!(states.windows(2).all(|pair| pair[0].1 <= pair[1].1), "{states:?}");
    rt::block_on(downloads.shutdown());
}

/// What is done to `a.part` and `a.part.map` in the middle of a download, while it runs or while it is closed.
type Damage = fn(&std::path::Path, &std::path::Path);

fn flip(part: &std::path::Path) {
    use std::io::{Read, Seek, SeekFrom, Write};
    let mut file = std::fs::OpenOptions::new().read(true).write(true).open(part).expect("opened");
    let mut byte = [0];
    file.seek(SeekFrom::Start(MIB as u64 + 5)).expect("there");
    file.read_exact(&mut byte).expect("read");
    file.seek(SeekFrom::Start(MIB as u64 + 5)).expect("there");
    file.write_all(&[byte[0] ^ 1]).expect("written");
}

fn cut(path: &std::path::Path) {
    std::fs::OpenOptions::new().write(true).open(path).expect("opened").set_len(MIB as u64 / 2).expect("cut");
}

const ROWS: [(&str, Damage, &str, &str); 6] = [
    (
        "a bit flipped",
        |part, _| flip(part),
        "something changed its partial file, so 1 block is fetched again",
        "something had changed its partial file, so 1 block is fetched again",
    ),
    (
        "the part cut",
        |part, _| cut(part),
        "something changed its partial file, so 3 blocks are fetched again",
        "its partial file had been cut to 524288 bytes, so 3 blocks are fetched again",
    ),
    (
        "the part removed",
        |part, _| std::fs::remove_file(part).expect("removed"),
        "something removed its partial file, so all of it is fetched anew",
        "its partial file was gone, so all of it is fetched anew",
    ),
    (
        "the map removed",
        |_, map| std::fs::remove_file(map).expect("removed"),
        "",
        "the map beside it was gone, so all of it is fetched anew",
    ),
    (
        "both removed, and their folder",
        |part, _| std::fs::remove_dir_all(part.parent().expect("a folder")).expect("removed"),
        "something removed its partial file, so all of it is fetched anew",
        "its partial file was gone, so all of it is fetched anew",
    ),
    (
        "the map overwritten",
        |_, map| std::fs::write(map, "garbage").expect("written"),
        "",
        "the map beside it is no map of a partial file, so all of it is fetched anew",
    ),
];

#[test]
fn whatever_happens_to_the_part_the_file_is_right_and_a_sentence_tells() {
    for (row, damage, while_open, while_closed) in ROWS {
        for (closed, words) in [(false, while_open), (true, while_closed)] {
            let (place, bytes) = (Place::new(), content(6 * MIB + 3, 20));
            let source = halting(&bytes, 3 * MIB);
            let mut downloads = place.open();
            let id = begin(&downloads, wanted("a", &bytes, &[source.source.addr]));
            wait_for(&downloads, id, |view| view.done == 3 * MIB as u64);
            if closed {
                drop(std::mem::replace(&mut downloads, Place::new().open()));
            }
            let incomplete = place.downloads().join("incomplete");
            damage(&incomplete.join("a.part"), &incomplete.join("a.part.map"));
            source.free.store(true, Ordering::SeqCst);
            if closed {
                downloads = place.open();
            }
            let view = finish(&downloads, id);
            let told = match words {
                "" => "checked by sha1".to_owned(),
                words => format!("checked by sha1 ({words})"),
            };
            assert_eq!((view.state.as_str(), view.reason.as_str()), ("done", told.as_str()), "{row}, closed: {closed}");
            assert_eq!(view.verified.as_deref(), Some("sha1"));
            assert!(read(&view.path.expect("a path")) == bytes, "{row}, closed: {closed}");
            assert_eq!(place.files(), ["a"], "{row}, closed: {closed}");
            rt::block_on(downloads.shutdown());
        }
    }
}

#[test]
fn a_folder_that_vanishes_fails_the_download_with_a_sentence_until_it_is_back() {
    for closed in [false, true] {
        let (place, bytes) = (Place::new(), content(4 * MIB, 21));
        let source = halting(&bytes, 2 * MIB);
        let mut downloads = place.open();
        let id = begin(&downloads, wanted("a", &bytes, &[source.source.addr]));
        wait_for(&downloads, id, |view| view.done == 2 * MIB as u64);
        if closed {
            drop(std::mem::replace(&mut downloads, Place::new().open()));
        }
        let away = place.dir.path().join("elsewhere");
        std::fs::rename(place.downloads(), &away).expect("moved");
        source.free.store(true, Ordering::SeqCst);
        if closed {
            downloads = place.open();
        }
        let view = finish(&downloads, id);
        let folder = place.downloads();
        let words = format!("the folder {} is gone. Is its disk there? Bring it back, then retry", folder.display());
        assert_eq!((view.state.as_str(), view.reason), ("failed", words), "closed: {closed}");
        assert!(!folder.exists(), "nothing is put in its place");
        std::fs::rename(away, &folder).expect("moved back");
        downloads.retry(id).expect("begins again");
        let view = finish(&downloads, id);
        assert_eq!(view.state, "done", "{view:?}");
        assert!(read(&view.path.expect("a path")) == bytes);
        assert_eq!(source.starts().last(), Some(&(2 * MIB)), "and what was there counts");
        rt::block_on(downloads.shutdown());
    }
}

#[test]
fn a_source_whose_file_changed_meanwhile_is_named_and_left() {
    let (place, bytes) = (Place::new(), content(4 * MIB, 22));
    let source = halting(&bytes, 2 * MIB);
    let downloads = place.open();
    let id = begin(&downloads, wanted("a", &bytes, &[source.source.addr]));
    wait_for(&downloads, id, |view| view.done == 2 * MIB as u64);
    // The same address, another file: longer by a byte.
    let longer = content(4 * MIB + 1, 22);
    let addr = source.source.addr;
    drop(downloads);
    source.free.store(true, Ordering::SeqCst);
    drop(source);
    pause(Duration::from_millis(50));
    let listener = std::net::TcpListener::bind(addr).expect("the same port");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut head = [0; 4096];
            let read = std::io::Read::read(&mut stream, &mut head).unwrap_or(0);
            let head = String::from_utf8_lossy(&head[..read]).into_owned();
            if let Some(at) = head.find("Range: bytes=") {
                let first: usize = head[at + 13..].split('-').next().and_then(|it| it.parse().ok()).unwrap_or(0);
                send_206(&mut stream, &longer, first, longer.len());
            }
        }
    });
    let downloads = place.open();
    let view = wait_for(&downloads, id, |view| view.reason.contains("another file"));
    let words = format!("source {addr} has another file: 4194305 bytes, where 4194304 were expected");
    assert!(view.reason.starts_with(&words), "{}", view.reason);
    // The network knows another.
    let served = Served::new(&[("a", &bytes)]);
    let link = rt::block_on(Wanted::parse(&format!("http://{}/uri-res/N2R?{}", served.addr, urn(&bytes))));
    downloads.add_source(&Expected::of_urn(&urn(&bytes)), link.expect("a link").sources.remove(0));
    let view = finish(&downloads, id);
    assert_eq!(view.state, "done", "{view:?}");
    assert!(read(&view.path.expect("a path")) == bytes);
    rt::block_on(downloads.shutdown());
}

#[test]
fn four_sources_send_one_file_together_and_a_silent_one_is_left() {
    let (place, bytes) = (Place::new(), content(40 * MIB + 9, 23));
    let slow = |all: Vec<u8>| {
        Script::new(move |head, stream| {
            let (start, last) = asked(head);
            let end = last.saturating_add(1).min(all.len());
            let head = format!(
                "HTTP/1.1 206 OK\r\nContent-Range: bytes {start}-{}/{}\r\nContent-Length: {}\r\n\r\n",
                end - 1,
                all.len(),
                end - start
            );
            send(stream, &head, b"")
                && all[start..end].chunks(256 * 1024).all(|piece| {
                    pause(Duration::from_millis(20));
                    send(stream, "", piece)
                })
        })
    };
    let sources: Vec<Script> = (0..3).map(|_| slow(bytes.clone())).collect();
    let silent = Script::new(|_, _| {
        pause(Duration::from_secs(25));
        false
    });
    let mut addrs: Vec<_> = sources.iter().map(|source| source.addr).collect();
    addrs.insert(0, silent.addr);
    let downloads = place.open();
    let begun = std::time::Instant::now();
    let id = begin(&downloads, wanted("a", &bytes, &addrs));
    let view = finish(&downloads, id);
    assert_eq!((view.state.as_str(), view.verified.as_deref()), ("done", Some("sha1")), "{view:?}");
    assert!(read(&view.path.expect("a path")) == bytes);
    assert!(begun.elapsed() < Duration::from_secs(20), "the silent one held it up: {:?}", begun.elapsed());
    for source in &sources {
        assert!(!source.requests.lock().expect("no panic").is_empty(), "each was asked");
    }
    rt::block_on(downloads.shutdown());
}

#[test]
fn a_partial_source_gives_what_it_has_and_another_the_rest() {
    let (place, bytes) = (Place::new(), content(4 * MIB, 24));
    let all = bytes.clone();
    let partial = Script::new(move |head, stream| {
        let (first, last) = asked(head);
        if first >= 2 * MIB {
            let end = last.saturating_add(1).min(all.len());
            return send_206(stream, &all, first, end);
        }
        let has = format!("{}-{},\r\n\t{}-{}", 2 * MIB, 3 * MIB - 1, 3 * MIB, 4 * MIB - 1);
        let head = "HTTP/1.1 416 Requested range not available yet\r\nContent-Length: 0\r\n";
        send(stream, &format!("{head}X-Available-Ranges: bytes {has}\r\n\r\n"), b"")
    });
    let downloads = place.open();
    let id = begin(&downloads, wanted("a", &bytes, &[partial.addr]));
    let view = wait_for(&downloads, id, |view| view.done == 2 * MIB as u64 && view.state == "waiting");
    assert!(view.reason.contains("next try 0:") || view.reason.contains("asking the network"), "{}", view.reason);
    let served = Served::new(&[("a", &bytes)]);
    let link = rt::block_on(Wanted::parse(&format!("http://{}/uri-res/N2R?{}", served.addr, urn(&bytes))));
    downloads.add_source(&Expected::of_urn(&urn(&bytes)), link.expect("a link").sources.remove(0));
    let view = finish(&downloads, id);
    assert_eq!(view.state, "done", "{view:?}");
    assert!(read(&view.path.expect("a path")) == bytes);
    let sent: u64 = served.uploads.views().iter().map(|upload| upload.done).sum();
    assert_eq!(sent, 2 * MIB as u64, "what the partial one had was not fetched again");
    rt::block_on(downloads.shutdown());
}

#[test]
fn nobody_waits_while_a_file_that_is_there_is_read() {
    let (place, bytes) = (Place::new(), content(1000, 25));
    std::fs::create_dir_all(place.downloads()).expect("a folder");
    // Of the right size, and long to read.
    let size = 2_u64 << 30;
    std::fs::File::create(place.downloads().join("big")).expect("a file").set_len(size).expect("sparse");
    let served = Served::new(&[("a", &bytes)]);
    let downloads = place.open();
    let big = Wanted { name: "big".into(), size: Some(size), ..Wanted::urn(&urn(b"something else")) };
    let order = Mutex::new(Vec::new());
    rt::block_on(async {
        let first = async {
            downloads.get(big).await.expect("begun");
            order.lock().expect("no panic").push("big");
        };
        let second = async {
            rt::sleep(Duration::from_millis(20)).await;
            downloads.get(wanted("a", &bytes, &[served.addr])).await.expect("begun");
            order.lock().expect("no panic").push("small");
        };
        futures::future::join(first, second).await;
    });
    assert_eq!(*order.lock().expect("no panic"), ["small", "big"]);
    rt::block_on(downloads.shutdown());
}

#[test]
fn what_a_get_of_its_own_fetches_a_servent_that_starts_meanwhile_does_not_fetch_too() {
    let (place, bytes) = (Place::new(), content(4 * MIB, 26));
    let source = halting(&bytes, 2 * MIB);
    let private = place.open_private();
    let id = begin(&private, wanted("a", &bytes, &[source.source.addr]));
    wait_for(&private, id, |view| view.done == 2 * MIB as u64);
    let servent = place.open();
    let view = servent.view(id).expect("it knows of it");
    assert_eq!((view.state.as_str(), view.reason.as_str()), ("queued", "a `get` without the servent fetches it"));
    let joined = rt::block_on(servent.get(wanted("a", &bytes, &[]))).expect("joined");
    assert_eq!(joined.id, id, "it is one download");
    assert_eq!(servent.pause(id).expect_err("it is another's").code, ErrorCode::Usage);
    // The `get` ends in the middle: the servent goes on, with what is there.
    rt::block_on(private.shutdown());
    drop(private);
    source.free.store(true, Ordering::SeqCst);
    let view = finish(&servent, id);
    assert_eq!(view.state, "done", "{view:?}");
    assert!(read(&view.path.expect("a path")) == bytes);
    assert_eq!(source.starts(), [0, 2 * MIB]);
    assert_eq!(place.files(), ["a"]);
    rt::block_on(servent.shutdown());

    // And when it came to its end: there is nothing to do.
    let (place, served) = (Place::new(), Served::new(&[("a", &bytes)]));
    let private = place.open_private();
    let id = begin(&private, wanted("a", &bytes, &[served.addr]));
    let servent = place.open();
    assert_eq!(finish(&private, id).state, "done");
    rt::block_on(private.shutdown());
    drop(private);
    assert_eq!(finish(&servent, id).state, "done");
    let sent: u64 = served.uploads.views().iter().map(|upload| upload.done).sum();
    assert_eq!((sent, place.files()), (bytes.len() as u64, vec!["a".to_owned()]));
    rt::block_on(servent.shutdown());
}
