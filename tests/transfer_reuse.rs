//! Connections that one download leaves to the next.

mod transfer_support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use filbert::app::downloads::Downloads;
use filbert::net::rt;
use futures::future::join_all;
use transfer_support::*;

/// A source of all these; it closes the connection after as many answers as it is told.
fn source(files: Vec<Vec<u8>>, answers: usize) -> Script {
    let files: Vec<_> = files.into_iter().map(|bytes| (urn(&bytes).to_string(), bytes)).collect();
    let given: Mutex<std::collections::BTreeMap<std::net::SocketAddr, usize>> = Mutex::default();
    Script::new(move |head, stream| {
        let (_, bytes) = files.iter().find(|(urn, _)| head.contains(urn)).expect("it is asked for what it has");
        let (first, last) = asked(head);
        send_206(stream, bytes, first, last.saturating_add(1).min(bytes.len()));
        let mut given = given.lock().expect("no panic");
        let count = given.entry(stream.peer_addr().expect("an address")).or_default();
        *count += 1;
        *count < answers
    })
}

fn get(downloads: &Downloads, name: &str, bytes: &[u8], source: &Script) {
    let id = rt::block_on(downloads.get(wanted(name, bytes, &[source.addr]))).expect("begun").id;
    assert_eq!(finish(downloads, id).state, "done");
}

#[test]
fn files_of_one_host_come_over_one_connection() {
    let place = Place::new();
    let files: Vec<_> = (0..10).map(|seed| content(3000, seed)).collect();
    let source = source(files.clone(), usize::MAX);
    let downloads = place.open();
    for (number, bytes) in files.iter().enumerate() {
        get(&downloads, &number.to_string(), bytes, &source);
    }
    assert_eq!(source.requests.lock().expect("no panic").len(), 10);
    assert_eq!(source.connections.load(Ordering::SeqCst), 1);
    rt::block_on(downloads.shutdown());
    assert_eq!(place.files().len(), 10);
}

#[test]
fn one_that_the_source_closed_meanwhile_costs_nothing() {
    let place = Place::new();
    let files: Vec<_> = (0..6).map(|seed| content(3000, seed)).collect();
    let source = source(files.clone(), 2);
    let downloads = place.open();
    for (number, bytes) in files.iter().enumerate() {
        get(&downloads, &number.to_string(), bytes, &source);
    }
    assert!((3..=6).contains(&source.connections.load(Ordering::SeqCst)));
}

/// A web server says so to a connection that rested for long, and closes it; what is asked in that moment crosses it.
#[test]
fn a_farewell_that_crosses_a_request_is_no_answer_to_it() {
    let place = Place::new();
    let files: Vec<_> = (0..4).map(|seed| content(3000, seed)).collect();
    let (has, heard) = (files.clone(), AtomicUsize::new(0));
    let source = Script::new(move |head, stream| {
        // Every connection's second request.
        if heard.fetch_add(1, Ordering::SeqCst) % 2 == 1 {
            send(stream, "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", b"");
            heard.store(0, Ordering::SeqCst);
            return false;
        }
        let bytes = has.iter().find(|bytes| head.contains(&urn(bytes).to_string())).expect("it has it");
        let (first, last) = asked(head);
        send_206(stream, bytes, first, last.saturating_add(1).min(bytes.len()))
    });
    let downloads = place.open();
    for (number, bytes) in files.iter().enumerate() {
        get(&downloads, &number.to_string(), bytes, &source);
    }
    assert_eq!(source.connections.load(Ordering::SeqCst), files.len());
}

#[test]
fn many_at_a_time_need_no_more_connections_than_there_are_turns() {
    let place = Place::new();
    let files: Vec<_> = (0..60).map(|seed| content(2000, seed)).collect();
    let source = source(files.clone(), usize::MAX);
    let downloads = place.open();
    let begun = files.iter().map(|bytes| downloads.get(wanted("a", bytes, &[source.addr])));
    let ids: Vec<u64> = rt::block_on(join_all(begun)).into_iter().map(|view| view.expect("begun").id).collect();
    assert!(ids.iter().all(|id| finish(&downloads, *id).state == "done"));
    let connections = source.connections.load(Ordering::SeqCst);
    assert!(connections < 30, "{connections} connections for 60 files, four at a time");
}

#[test]
fn nor_do_many_that_wait_in_its_queue() {
    let place = Place::new();
    let files: Vec<_> = (0..60).map(|seed| content(2000, seed)).collect();
    let source =
        Script::new(|_, stream| send(stream, "HTTP/1.1 503 Busy\r\nRetry-After: 60\r\nContent-Length: 0\r\n\r\n", b""));
    let downloads = place.open();
    let begun = files.iter().map(|bytes| downloads.get(wanted("a", bytes, &[source.addr])));
    rt::block_on(join_all(begun)).into_iter().for_each(|view| assert_eq!(view.expect("begun").error, None));
    let end = std::time::Instant::now() + Duration::from_secs(30);
    while source.requests.lock().expect("no panic").len() < files.len() {
        assert!(std::time::Instant::now() < end, "not all are asked for");
        pause(Duration::from_millis(20));
    }
    let connections = source.connections.load(Ordering::SeqCst);
    assert!(connections < 30, "{connections} connections for 60 files, four at a time");
}

/// What came of the others is fetched again.
#[test]
fn of_many_that_were_cut_off_a_few_stay_open() {
    let place = Place::new();
    let files: Vec<_> = (0..200).map(|seed| content(2000, seed)).collect();
    let (has, begun) = (files.clone(), Mutex::new(std::collections::BTreeSet::new()));
    let source = Script::new(move |head, stream| {
        let (at, bytes) =
            has.iter().enumerate().find(|(_, bytes)| head.contains(&urn(bytes).to_string())).expect("it has it");
        if begun.lock().expect("no panic").insert(at) {
            let cut = "HTTP/1.1 206 Partial\r\nContent-Range: bytes 0-1999/2000\r\nContent-Length: 2000\r\n\r\n";
            send(stream, cut, &bytes[..900]);
            return false;
        }
        let (first, last) = asked(head);
        send_206(stream, bytes, first, last.saturating_add(1).min(bytes.len()))
    });
    let downloads = place.open();
    let begun = files.iter().enumerate().map(|(n, bytes)| downloads.get(wanted(&n.to_string(), bytes, &[source.addr])));
    let ids: Vec<u64> = rt::block_on(join_all(begun)).into_iter().map(|view| view.expect("begun").id).collect();
    let (mut most, end) = (0, std::time::Instant::now() + Duration::from_secs(120));
    while ids.iter().any(|id| downloads.view(*id).expect("a download").state != "done") {
        assert!(std::time::Instant::now() < end, "not all are done");
        most = most.max(place.files().iter().filter(|name| name.ends_with(".part")).count());
        pause(Duration::from_millis(10));
    }
    // Those that have their turn, and those that are being finished, are open too.
    assert!(most < 150, "{most} of 200 were open at a time");
}

#[test]
fn one_that_nobody_wants_is_closed() {
    let place = Place::new();
    let bytes = content(3000, 1);
    let open = Arc::new(AtomicUsize::new(0));
    let (count, all) = (Arc::clone(&open), bytes.clone());
    let source = Script::new(move |head, stream| {
        let (first, last) = asked(head);
        let count = Arc::clone(&count);
        count.fetch_add(1, Ordering::SeqCst);
        send_206(stream, &all, first, last.saturating_add(1).min(all.len()));
        let mut stream = stream.try_clone().expect("a handle");
        // Nothing more is asked for: what is read next is the end.
        std::io::copy(&mut stream, &mut std::io::sink()).expect("an end");
        count.fetch_sub(1, Ordering::SeqCst);
        false
    });
    let downloads = place.open();
    get(&downloads, "a", &bytes, &source);
    assert_eq!(open.load(Ordering::SeqCst), 1, "it rests");
    let end = std::time::Instant::now() + Duration::from_secs(30);
    while open.load(Ordering::SeqCst) > 0 {
        assert!(std::time::Instant::now() < end, "it rests for ever");
        pause(Duration::from_millis(50));
    }
}

#[test]
fn what_a_source_says_unasked_is_no_answer() {
    // At once, or while the connection rests.
    for later in [false, true] {
        let place = Place::new();
        let files: Vec<_> = (0..2).map(|seed| content(3000, seed)).collect();
        let (has, said) = (files.clone(), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&said);
        let source = Script::new(move |head, stream| {
            let bytes = has.iter().find(|bytes| head.contains(&urn(bytes).to_string())).expect("it has it");
            let stale = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
            let (first, last) = asked(head);
            send_206(stream, bytes, first, last.saturating_add(1).min(bytes.len()));
            if later {
                pause(Duration::from_millis(100));
            }
            let goes_on = send(stream, "", stale);
            count.fetch_add(1, Ordering::SeqCst);
            goes_on
        });
        let downloads = place.open();
        get(&downloads, "0", &files[0], &source);
        // It is on its way, and arrives on this host in a moment.
        let end = std::time::Instant::now() + Duration::from_secs(30);
        while said.load(Ordering::SeqCst) == 0 {
            assert!(std::time::Instant::now() < end, "it says nothing");
            pause(Duration::from_millis(5));
        }
        pause(Duration::from_millis(50));
        get(&downloads, "1", &files[1], &source);
        rt::block_on(downloads.shutdown());
        assert_eq!(source.connections.load(Ordering::SeqCst), 2, "later: {later}");
    }
}
