//! Our server as other clients meet it: plain sockets, every byte of the answer looked at.

mod transfer_support;

use std::io::{Read, Seek, SeekFrom, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use filbert::app::uploads::UploadsConfig;
use filbert::net::serve::ServeConfig;
use filbert::wire::{Digests, thex};
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

/// Sends a request on a connection that is kept, and reads the head of the answer.
fn ask(stream: &mut TcpStream, target: &str, headers: &str) -> String {
    write!(stream, "GET {target} HTTP/1.1\r\nHost: x\r\n{headers}\r\n").expect("sent");
    head_of(stream)
}

fn head_of(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).expect("more of a head");
        head.push(byte[0]);
    }
    String::from_utf8(head).expect("text")
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).expect("connected");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
    stream
}

fn value<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn until(what: &str, mut test: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !test() {
        assert!(Instant::now() < end, "not so: {what}");
        pause(Duration::from_millis(10));
    }
}

#[test]
fn who_finds_no_slot_waits_in_line_and_is_told_where() {
    let (a, b, c) = (content(24 * MIB, 20), content(2 * MIB, 21), content(2 * MIB, 22));
    let config = UploadsConfig { slots: 1, ..UploadsConfig::default() };
    let served = Served::with(config, ServeConfig::default(), &[("a", &a), ("b", &b), ("c", &c), ("small", b"small")]);
    let mut holder = connect(served.addr);
    assert!(ask(&mut holder, "/get/0/a", "").starts_with("HTTP/1.1 200 "));

    let mut active = connect(served.addr);
    let head = ask(&mut active, "/get/1/b", "X-Queue: 0.1\r\n");
    assert!(head.starts_with("HTTP/1.1 503 Queued: place 1 of 1\r\n"), "{head}");
    assert_eq!(value(&head, "X-Queue"), Some("position=1,length=1,limit=1,pollMin=5,pollMax=25"));
    assert_eq!((value(&head, "Retry-After"), value(&head, "Connection")), (Some("5"), None));
    assert_eq!(value(&head, "X-Gnutella-Content-URN"), Some(&*urn(&b).to_string()));
    let (head, _) = one(served.addr, "/get/2/c", "X-Queue: 1.1\r\n");
    let said = value(&head, "X-Queued").expect("PARQ").to_owned();
    assert!(said.starts_with("position=2; length=2; "), "{said}");
    assert_eq!(value(&head, "X-Features"), Some("queue/1.0"));
    let (head, body) = one(served.addr, "/get/3/small", "");
    assert!(head.starts_with("HTTP/1.1 200 ") && body == b"small", "a small file passes: {head}");

    let rows = || -> Vec<(String, String)> {
        let views = served.uploads.views();
        views.into_iter().map(|view| (view.name, format!("{}: {}", view.state, view.reason))).collect()
    };
    let row = |name: &str| rows().into_iter().find(|(named, _)| named == name).expect("a row").1;
    assert!(row("b").starts_with("queued: 127.0.0.1:"), "{}", row("b"));
    assert!(row("c").ends_with(" waits for a slot: place 2 of 2"), "{}", row("c"));
    // Its place ends with the connection that it waits on; who is behind it moves up.
    drop(active);
    until("the place is free", || row("c").ends_with("place 1 of 1"));
    assert!(row("b").starts_with("cancelled: ") && row("b").ends_with("did not come back for its place in the queue"));
    // The place is known by its name, by another connection too; it may want another file by now.
    let id = said.rsplit_once("ID=").expect("a name").1;
    let (head, _) = one(served.addr, "/get/1/b", &format!("X-Queue: 1.1\r\nX-Queued: position=2; ID={id}\r\n"));
    assert!(value(&head, "X-Queued").expect("PARQ").ends_with(id), "{head}");
    drop(holder);
    until("the slot is free", || !row("a").starts_with("uploading"));
    let (head, body) = one(served.addr, "/get/1/b", &format!("X-Queue: 1.1\r\nX-Queued: position=1; ID={id}\r\n"));
    assert!(head.starts_with("HTTP/1.1 200 ") && body == b, "{head}");
}

#[test]
fn the_slot_stays_with_a_client_between_the_ranges_of_its_file() {
    let (a, b) = (content(2 * MIB, 30), content(2 * MIB, 31));
    let config = UploadsConfig { slots: 1, ..UploadsConfig::default() };
    let served = Served::with(config, ServeConfig::default(), &[("a", &a), ("b", &b)]);
    let mut first = connect(served.addr);
    let mut half = vec![0; MIB];
    assert!(ask(&mut first, "/get/0/a", "Range: bytes=0-1048575\r\n").starts_with("HTTP/1.1 206 "));
    first.read_exact(&mut half).expect("the first half");
    let (head, _) = one(served.addr, "/get/1/b", "");
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    assert!(ask(&mut first, "/get/0/a", "Range: bytes=1048576-\r\n").starts_with("HTTP/1.1 206 "));
    first.read_exact(&mut half).expect("the second half");
    assert!(half == a[MIB..]);
    until("the file is through", || one(served.addr, "/get/1/b", "").0.starts_with("HTTP/1.1 200 "));
}

#[test]
fn a_tree_is_served_and_every_answer_says_where_it_is() {
    let bytes = content(600_000, 40);
    let served = Served::new(&[("a", &bytes)]);
    let root = Digests::of(&bytes).tth;
    let place = format!("/uri-res/N2X?{}", urn(&bytes));
    let said = format!("{place};{root}");
    for (method, headers) in
        [("GET", ""), ("HEAD", ""), ("GET", "Range: bytes=-5\r\n"), ("GET", "Range: bytes=600000-\r\n")]
    {
        let request = format!("{method} /get/0/a HTTP/1.1\r\nConnection: close\r\n{headers}\r\n");
        let (head, _) = split(&talk(served.addr, request.as_bytes()));
        assert_eq!(value(&head, "X-Thex-URI"), Some(&*said), "{method} {headers}");
        assert_eq!(value(&head, "X-Gnutella-Content-URN"), Some(&*urn(&bytes).to_string()), "{method} {headers}");
    }
    for target in [&place, &said, &format!("/uri-res/N2X?urn:tree:tiger/:{root}")] {
        let (head, body) = one(served.addr, target, "");
        assert!(head.starts_with("HTTP/1.1 200 "), "{target}: {head}");
        assert_eq!(value(&head, "Content-Type"), Some("application/dime"));
        let row = thex::decode(&body, 600_000, &root).expect("a tree");
        let mut slice = row.slice_at(0).expect("a slice");
        slice.update(&bytes[..row.slice() as usize]);
        assert!(row.nodes().len() > 1 && slice.holds(), "its leaves are the file's");
    }
    assert!(one(served.addr, &format!("/uri-res/N2X?{}", urn(b"other")), "").0.starts_with("HTTP/1.1 404 "));
}

#[test]
fn a_file_of_more_than_four_gigabytes_is_given_from_both_ends() {
    const SIZE: u64 = 5 << 30;
    let dir = tempfile::tempdir().expect("a folder");
    let mut file = std::fs::File::create(dir.path().join("huge")).expect("created");
    file.set_len(SIZE).expect("sparse");
    file.seek(SeekFrom::Start(SIZE - 5)).expect("sought");
    file.write_all(b"hello").expect("written");
    drop(file);
    let served = Served::over(UploadsConfig::default(), ServeConfig::default(), dir, &[("huge", None)]);
    let last = format!("\r\nContent-Range: bytes {}-{}/{SIZE}\r\n", SIZE - 5, SIZE - 1);
    for range in ["bytes=-5".to_owned(), format!("bytes={}-", SIZE - 5), format!("bytes={}-{SIZE}", SIZE - 5)] {
        let (head, body) = one(served.addr, "/get/0/huge", &format!("Range: {range}\r\n"));
        assert!(head.starts_with("HTTP/1.1 206 ") && head.contains(&last), "{range}: {head}");
        assert_eq!(body, b"hello", "{range}");
    }
    // Beyond 32 bits and longer than a read at once, by the way that large answers take.
    let from = (4_u64 << 30) - 100_000;
    let range = format!("Range: bytes={from}-{}\r\n", from + 199_999);
    let (head, body) = one(served.addr, "/get/0/huge", &range);
    assert!(head.starts_with("HTTP/1.1 206 ") && body == vec![0; 200_000], "{head}");
    let mut whole = connect(served.addr);
    let head = ask(&mut whole, "/get/0/huge", "");
    assert_eq!(value(&head, "Content-Length"), Some(&*SIZE.to_string()));
    let head = one(served.addr, "/get/0/huge", &format!("Range: bytes={SIZE}-\r\n")).0;
    assert!(head.starts_with("HTTP/1.1 416 ") && head.contains(&format!("\r\nContent-Range: bytes */{SIZE}\r\n")));
}

#[test]
fn a_file_that_is_cut_short_while_it_is_sent_ends_the_connection_and_is_never_padded() {
    let bytes = content(24 * MIB, 50);
    let served = Served::new(&[("a", &bytes)]);
    let mut stream = connect(served.addr);
    let head = ask(&mut stream, "/get/0/a", "");
    assert_eq!(value(&head, "Content-Length"), Some(&*(24 * MIB).to_string()));
    let file = std::fs::OpenOptions::new().write(true).open(served.dir.path().join("a")).expect("opened");
    file.set_len(0).expect("cut");
    let mut body = Vec::new();
    stream.read_to_end(&mut body).expect("the server closes");
    assert!(body.len() < 24 * MIB && bytes.starts_with(&body), "{} bytes came", body.len());
    until("its slot is free", || served.uploads.views().iter().all(|view| view.state != "uploading"));
}

#[test]
fn a_file_that_is_replaced_between_two_requests_is_not_found() {
    let bytes = content(2000, 60);
    let served = Served::new(&[("a", &bytes)]);
    let mut stream = connect(served.addr);
    let mut body = vec![0; 2000];
    assert!(ask(&mut stream, "/get/0/a", "").starts_with("HTTP/1.1 200 "));
    stream.read_exact(&mut body).expect("the file");
    let other = served.dir.path().join("other");
    std::fs::write(&other, content(2000, 61)).expect("written");
    std::fs::rename(&other, served.dir.path().join("a")).expect("replaced");
    let head = ask(&mut stream, "/get/0/a", "");
    assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
}

#[test]
fn a_reader_that_drips_is_cut_in_time() {
    let bytes = content(24 * MIB, 70);
    let config = ServeConfig { piece: Duration::from_millis(700), ..ServeConfig::default() };
    let served = Served::with(UploadsConfig::default(), config, &[("a", &bytes)]);
    let mut drip = connect(served.addr);
    assert!(ask(&mut drip, "/get/0/a", "").starts_with("HTTP/1.1 200 "));
    let begun = Instant::now();
    let mut crumb = [0; 512];
    while served.uploads.views().iter().any(|view| view.state == "uploading") {
        let _ = drip.read(&mut crumb);
        assert!(begun.elapsed() < Duration::from_secs(20), "it holds its slot by crumbs");
        pause(Duration::from_millis(10));
    }
}
