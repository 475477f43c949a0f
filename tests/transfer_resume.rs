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
