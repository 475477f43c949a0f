//! Our server as other clients meet it: plain sockets, every byte of the answer looked at.

mod transfer_support;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use filbert::app::uploads::UploadsConfig;
use filbert::net::serve::ServeConfig;
use transfer_support::*;

/// Sends `text` and returns all that comes back until the server closes.
fn talk(addr: SocketAddr, text: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(addr).expect("connected");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
    stream.write_all(text).expect("sent");
    let mut all = Vec::new();
    stream.read_to_end(&mut all).expect("the server closes");
    all
}

fn one(addr: SocketAddr, target: &str, headers: &str) -> (String, Vec<u8>) {
    let answer =
        talk(addr, format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n").as_bytes());
    split(&answer)
}

fn split(answer: &[u8]) -> (String, Vec<u8>) {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
    (String::from_utf8_lossy(&answer[..end]).into_owned(), answer[end..].to_vec())
}

#[test]
fn ranges_come_as_asked_by_content_and_by_number() {
    let bytes = content(700_000, 1);
    let served = Served::new(&[("a b.mp3", &bytes)]);
    let by_urn = format!("/uri-res/N2R?{}", urn(&bytes));
    for target in [by_urn.as_str(), "/get/0/a%20b.mp3", "/get/0/a b.mp3", "/get/0/A_B.MP3"] {
        let (head, body) = one(served.addr, target, "");
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{target}: {head}");
        assert!(head.contains("\r\nContent-Length: 700000\r\n") && head.contains("\r\nContent-Type: audio/mpeg\r\n"));
        assert!(head.contains(&format!("\r\nX-Gnutella-Content-URN: {}\r\n", urn(&bytes))));
        assert!(body == bytes, "{target}");
        let (head, body) = one(served.addr, target, "Range: bytes=300000-\r\n");
        assert!(head.starts_with("HTTP/1.1 206 Partial Content\r\n"), "{target}: {head}");
        assert!(head.contains("\r\nContent-Range: bytes 300000-699999/700000\r\n"), "{head}");
        assert!(body == bytes[300_000..], "the whole rest comes");
    }
    let (head, body) = one(served.addr, &by_urn, "Range: bytes=700000-\r\n");
    assert!(head.starts_with("HTTP/1.1 416 ") && head.contains("Content-Range: bytes */700000"), "{head}");
    assert!(body.is_empty());
}

#[test]
fn one_connection_takes_many_requests_also_all_at_once() {
    let bytes = content(1000, 2);
    let served = Served::new(&[("a", &bytes)]);
    let request =
        |method: &str, target: &str, more: &str| format!("{method} {target} HTTP/1.1\r\nHost: x\r\n{more}\r\n");
    let all = [
        request("HEAD", "/get/0/a", ""),
        request("GET", "/get/0/a", "Range: bytes=0-9\r\n"),
        request("GET", "/get/7/nothing", ""),
        // Bare line feeds, a folded header, an old version that asks to go on.
        "GET /get/0/a HTTP/1.0\nRange:\n bytes=990-\nConnection: Keep-Alive\n\n".to_owned(),
        request("GET", "/get/0/a", "Connection: close\r\nRange: bytes=5-5\r\n"),
        request("GET", "/get/0/a", ""),
    ]
    .concat();
    let answer = talk(served.addr, all.as_bytes());
    let mut rest = answer.as_slice();
    for (status, body) in [
        ("HTTP/1.1 200 ", &bytes[..0]),
        ("HTTP/1.1 206 ", &bytes[..10]),
        ("HTTP/1.1 404 ", &bytes[..0]),
        ("HTTP/1.1 206 ", &bytes[990..]),
        ("HTTP/1.1 206 ", &bytes[5..6]),
    ] {
        let (head, after) = split(rest);
        assert!(head.starts_with(status), "{head}");
        assert!(after.starts_with(body), "{head}");
        rest = &rest[head.len() + body.len()..];
    }
    assert!(rest.is_empty(), "behind Connection: close nothing is answered");
}

#[test]
fn nothing_outside_of_the_share_can_be_read() {
    let (secret, bytes) = (b"secret".to_vec(), content(10, 3));
    let served = Served::new(&[("a", &bytes), ("linked", &secret)]);
    let outside = served.dir.path().parent().expect("a parent").join("filbert-test-outside.txt");
    std::fs::write(&outside, &secret).expect("written");
    // A shared file is replaced by a link out of the share.
    let linked = served.dir.path().join("linked");
    std::fs::remove_file(&linked).expect("removed");
    #[cfg(unix)]
    std::os::unix::fs::symlink(&outside, &linked).expect("a link");
    let absolute = outside.display().to_string();
    for target in [
        "/get/1/linked",
        &format!("/uri-res/N2R?{}", urn(&secret)),
        "/get/0/../filbert-test-outside.txt",
        "/get/0/..%2ffilbert-test-outside.txt",
        "/get/0/%2e%2e/filbert-test-outside.txt",
        "/../filbert-test-outside.txt",
        "/get/../../filbert-test-outside.txt",
        &absolute,
        &format!("/get/0/{absolute}"),
        &format!("file://{absolute}"),
        &format!("http://127.0.0.1{absolute}"),
        "/get/0/a%00.txt",
        "/get/0/",
        "/get/0",
        "/get/99999999999999999999999999/a",
        "/get/-1/a",
        "/uri-res/N2R?../a",
        "/uri-res/N2R?",
        "*",
        "a",
    ] {
        let (head, body) = one(served.addr, target, "");
        assert!(head.starts_with("HTTP/1.1 404 "), "{target}: {head}");
        assert!(body.is_empty(), "{target}");
    }
    std::fs::remove_file(outside).expect("removed");
    let (head, _) = one(served.addr, "/get/0/a", "");
    assert!(head.starts_with("HTTP/1.1 200 "), "the neighbour of all that is still given: {head}");
}

#[test]
fn a_file_that_changed_since_it_was_hashed_is_not_given_under_its_old_name() {
    let bytes = content(1000, 4);
    let served = Served::new(&[("a", &bytes)]);
    std::fs::write(served.dir.path().join("a"), content(1001, 5)).expect("written");
    let (head, _) = one(served.addr, &format!("/uri-res/N2R?{}", urn(&bytes)), "");
    assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
}

#[test]
fn what_is_no_request_is_refused_and_changes_nothing_for_others() {
    let bytes = content(1000, 6);
    let config =
        ServeConfig { head: Duration::from_millis(300), idle: Duration::from_millis(600), ..ServeConfig::default() };
    let served = Served::with(UploadsConfig::default(), config, &[("a", &bytes)]);
    for text in
        [&b"\x00\x01garbage\r\n\r\n"[..], b"GET\r\n\r\n", b"GET / HTTP/1.1\r\nno colon\r\n\r\n", &[b'x'; 20_000]]
    {
        let answer = talk(served.addr, text);
        assert!(answer.starts_with(b"HTTP/1.1 400 "), "{:?}", String::from_utf8_lossy(&answer));
    }
    let answer = talk(served.addr, b"POST /get/0/a HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello");
    assert!(answer.starts_with(b"HTTP/1.1 405 "), "{:?}", String::from_utf8_lossy(&answer));
    // Silence and half a head end on their own; so does one byte at a time.
    let begun = Instant::now();
    assert_eq!(talk(served.addr, b""), b"");
    assert_eq!(talk(served.addr, b"GET /get/0/a HT"), b"");
    let mut slow = TcpStream::connect(served.addr).expect("connected");
    let cut = (0..200).position(|_| {
        pause(Duration::from_millis(20));
        slow.write_all(b"G").is_err()
    });
    assert!(cut.is_some(), "a head in drops was waited for");
    assert!(begun.elapsed() < Duration::from_secs(15));
    // Closed at any byte of a request.
    let request = format!("GET /uri-res/N2R?{} HTTP/1.1\r\nHost: x\r\n\r\n", urn(&bytes));
    for cut in 0..request.len() {
        let mut stream = TcpStream::connect(served.addr).expect("connected");
        stream.write_all(&request.as_bytes()[..cut]).expect("sent");
        stream.shutdown(Shutdown::Both).expect("closed");
    }
    let (head, body) = one(served.addr, "/get/0/a", "");
    assert!(head.starts_with("HTTP/1.1 200 ") && body == bytes, "{head}");
}

#[test]
fn a_reader_that_stalls_is_cut_and_its_slot_is_free_again() {
    // More than the buffers of the kernel hold.
    let bytes = content(24 * MIB, 7);
    let config = ServeConfig { stall: Duration::from_millis(400), ..ServeConfig::default() };
    let uploads = UploadsConfig { slots: 1, ..UploadsConfig::default() };
    let served = Served::with(uploads, config, &[("a", &bytes)]);
    let mut stalled = TcpStream::connect(served.addr).expect("connected");
    stalled.write_all(b"GET /get/0/a HTTP/1.1\r\n\r\n").expect("sent");
    let mut first = [0; 12];
    stalled.read_exact(&mut first).expect("it begins");
    assert_eq!(&first, b"HTTP/1.1 200");
    let (head, body) = one(served.addr, "/get/0/a", "Range: bytes=0-9\r\n");
    assert!(head.starts_with("HTTP/1.1 503 ") && head.contains("\r\nRetry-After: "), "{head}");
    assert!(body.is_empty());
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let (head, _) = one(served.addr, "/get/0/a", "Range: bytes=0-9\r\n");
        if head.starts_with("HTTP/1.1 206 ") {
            break;
        }
        assert!(Instant::now() < end, "the slot never came back");
        pause(Duration::from_millis(50));
    }
}

#[test]
fn uploads_are_counted_one_row_for_a_file_and_an_address() {
    let bytes = content(3000, 8);
    let served = Served::new(&[("a", &bytes)]);
    for range in ["0-999", "1000-1999"] {
        one(served.addr, "/get/0/a", &format!("Range: bytes={range}\r\n"));
    }
    let row = |states: &[&str]| {
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            let views = served.uploads.views();
            if let [view] = views.as_slice()
                && states.contains(&view.state.as_str())
            {
                return view.clone();
            }
            assert!(Instant::now() < end, "{views:?}");
            pause(Duration::from_millis(5));
        }
    };
    let view = row(&["waiting"]);
    assert_eq!((view.direction.as_str(), view.name.as_str(), view.done, view.size), ("up", "a", 2000, Some(3000)));
    assert_eq!(view.urn, Some(urn(&bytes).to_string()));
    one(served.addr, "/get/0/a", "Range: bytes=2000-\r\n");
    let view = row(&["done"]);
    assert_eq!((view.id, view.done), (1, 3000), "the same row");
    assert_eq!(served.uploads.sent(), 3000);
}
