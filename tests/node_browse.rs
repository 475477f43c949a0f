//! Browse Host between real servents: the whole list both ways, over numbers that `get` takes; and lists that strangers
//! make up.

mod node_support;

use std::net::SocketAddr;
use std::time::Duration;

use filbert::app::view::{HitView, SearchDone, SearchLine};
use filbert::app::{ErrorCode, GetRequest, SearchRequest};
use filbert::net::rt::{self, TcpListener, TcpStream};
use filbert::wire::hit::{Entry, Qhd, QueryHit};
use filbert::wire::push::Push;
use filbert::wire::query::Query;
use filbert::wire::{Frame, Guid, Kind};
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use node_support::{Peer, Raw, eventually, run, shutdown, start, start_with};

async fn browse(peer: &Peer, host: SocketAddr) -> (Vec<HitView>, SearchDone) {
    let list = peer.node.browse(host.to_string()).await.expect("a list");
    let (mut hits, mut lines) = (Vec::new(), peer.node.hits(list.id).await.expect("its lines"));
    while let Some(line) = lines.next().await {
        match line {
            SearchLine::Hit(hit) => hits.push(hit),
            SearchLine::Done(done) => return (hits, done),
        }
    }
    panic!("the stream of a list ends with `done`");
}

/// The answer of a servent to these bytes, up to the end of the connection.
async fn ask(at: SocketAddr, request: &str) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(at).await.expect("it listens");
    stream.write_all(request.replace('\n', "\r\n").as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an answer");
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
    (String::from_utf8_lossy(&answer[..head]).into_owned(), answer[head + 4..].to_vec())
}

#[test]
fn a_browsed_list_is_the_whole_share_and_its_numbers_can_be_fetched() {
    run(async {
        let names: Vec<String> = (0..300).map(|n| format!("Träck {n:03} & more.ogg")).collect();
        let files: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), name.as_bytes())).collect();
        let a = start(&files, &[]).await;
        let b = start(&[], &[]).await;
        eventually("all is hashed", async || a.node.status().await.hashed == 300).await;
        let (hits, done) = browse(&b, a.addr()).await;
        let mut got: Vec<_> = hits.iter().map(|hit| hit.name.clone()).collect();
        got.sort();
        assert_eq!(got, names);
        assert!(hits.iter().all(|hit| hit.sha1.is_some() && hit.tth.is_some() && hit.size == hit.name.len() as u64));
        assert!(hits.iter().zip(1..).all(|(hit, number)| hit.hit == number));
        assert!(hits.iter().all(|hit| hit.source.addr == a.addr().to_string() && hit.source.browse));
        assert_eq!((done.hits, done.files, &done.explain["cut_short"]), (300, 300, &serde_json::Value::Null));
        // The same numbers, as those of a search.
        let what = GetRequest { what: "7".into(), dir: None, name: None, on_exists: None, ..Default::default() };
        let id = b.node.get(what).await.expect("a download").id;
        let mut changes = b.node.watch_transfer(id).await.expect("it is there");
        let mut last = None;
        while let Some(change) = changes.next().await {
            last = Some(change);
        }
        let last = last.expect("a state");
        assert_eq!((last.state.as_str(), last.name), ("done", hits[6].name.clone()));
        shutdown(vec![a, b]).await;
    });
}

#[test]
fn folders_of_a_share_are_told_in_its_list_and_fetched_into_folders_of_the_same_names() {
    run(async {
        let a = start(&[("top.txt", b"top")], &[]).await;
        let share = a.dir.path().join("share");
        for (path, content) in [("jazz/Bl\u{fc}e/one.txt", "1"), ("jazz/two.txt", "2"), ("jazz 2/three.txt", "3")] {
            std::fs::create_dir_all(share.join(path).parent().expect("a folder")).expect("made");
            std::fs::write(share.join(path), content).expect("written");
        }
        eventually("all is hashed", async || a.node.status().await.hashed == 4).await;
        let b = start(&[], &[]).await;
        let (hits, _) = browse(&b, a.addr()).await;
        let mut told: Vec<_> = hits.iter().map(|hit| (hit.folder.as_str(), hit.name.as_str())).collect();
        told.sort_unstable();
        let all = [("", "top.txt"), ("jazz", "two.txt"), ("jazz 2", "three.txt"), ("jazz/Bl\u{fc}e", "one.txt")];
        assert_eq!(told, all);
        assert_eq!(b.node.in_folder(".").expect("all").len(), 4);
        assert!(b.node.in_folder("rock").is_err() && b.node.in_folder("jaz").is_err(), "no part of a name");
        let numbers = b.node.in_folder("./jazz/").expect("a folder");
        assert_eq!(numbers.len(), 2);
        let mut paths = Vec::new();
        for number in numbers {
            let template = Some("{dir}/{name}".to_owned());
            let what = GetRequest { what: number.to_string(), template, ..Default::default() };
            let id = b.node.get(what).await.expect("begun").id;
            let mut views = b.node.watch_transfer(id).await.expect("it is there");
            let mut last = None;
            while let Some(view) = views.next().await {
                last = Some(view);
            }
            paths.push(last.and_then(|view| view.path).expect("a path"));
        }
        paths.sort();
        let into = b.dir.path().join("home/downloads/jazz");
        assert_eq!(paths, [into.join("Bl\u{fc}e/one.txt"), into.join("two.txt")]);
        // In hits of a search they are not told.
        let c = start(&[], &[&a]).await;
        let (hits, _) = c.search("one", None, 500).await;
        assert_eq!(hits.iter().map(|hit| hit.folder.as_str()).collect::<Vec<_>>(), [""]);
        shutdown(vec![a, b, c]).await;
    });
}

#[test]
fn a_folder_that_a_stranger_makes_up_leads_nowhere_else() {
    run(async {
        let b = start(&[], &[]).await;
        let (good, evil) = ("../../../../etc/./..\\cron.d\u{202e}//", "e".repeat(5000));
        let entries = [good, evil.as_str(), ""].into_iter().zip(1..);
        let entries = entries.map(|(folder, n)| Entry::in_folder(n, 3, "x.txt", &[], folder)).collect();
        let addr = "10.9.8.7:6346".parse().expect("an address");
        let hit = QueryHit::new(addr, 0, entries, Qhd::new(*b"EVIL", false, false), Guid([6; 16]));
        let list = bytes(&Frame::new(Guid([0; 16]), Kind::QueryHit, 1, hit.encode()));
        let (hits, _) = browse(&b, host(answer("", &list), None).await).await;
        assert_eq!(hits.iter().map(|hit| hit.folder.as_str()).collect::<Vec<_>>(), [good, "", ""]);
        let what = GetRequest { what: "1".into(), template: Some("{dir}/{name}".into()), ..Default::default() };
        let path = b.node.get(what).await.expect("begun").path.expect("a place");
        assert_eq!(path, b.dir.path().join("home/downloads/etc/cron.d"));
        shutdown(vec![b]).await;
    });
}

#[test]
fn a_browser_gets_a_page_that_runs_nothing() {
    run(async {
        let a = start(&[("<script>alert(1).txt", b"x"), ("plain.txt", b"y")], &[]).await;
        eventually("all is hashed", async || a.node.status().await.hashed == 2).await;
        let (head, body) = ask(a.addr(), "GET / HTTP/1.0\nAccept: text/html\n\n").await;
        let page = String::from_utf8(body).expect("UTF-8");
        assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
        assert!(head.contains("Content-Type: text/html; charset=utf-8"), "{head}");
        assert!(head.contains("Content-Security-Policy: default-src 'none'; style-src 'nonce-"), "{head}");
        assert!(!page.contains("<script") && page.contains("&lt;script&gt;alert(1).txt"), "{page}");
        assert!(page.contains("2 files, 2 B") && page.contains("plain.txt"), "{page}");
        let link = page.split("href=\"/uri-res").nth(1).and_then(|rest| rest.split('"').next()).expect("a link");
        let (head, _) = ask(a.addr(), &format!("GET /uri-res{link} HTTP/1.1\nHost: x\nConnection: close\n\n")).await;
        assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
        let (head, body) = ask(a.addr(), "HEAD / HTTP/1.1\nHost: x\nConnection: close\n\n").await;
        assert!(head.contains("Transfer-Encoding: chunked") && body.is_empty(), "{head}");
        let (head, body) = ask(a.addr(), "GET / HTTP/1.1\nHost: x\nConnection: close\n\n").await;
        assert!(head.contains("Transfer-Encoding: chunked") && body.ends_with(b"\r\n0\r\n\r\n"), "{head}");
        shutdown(vec![a]).await;
    });
}

#[test]
fn who_does_not_want_to_be_browsed_is_not_and_does_not_say_so() {
    run(async {
        let a = start_with(&[("blue train.ogg", b"x")], &[], |options| options.browse = false).await;
        let b = start(&[("blue train.ogg", b"x")], &[]).await;
        for (peer, says) in [(&a, false), (&b, true)] {
            let mut raw = Raw::link(peer.addr()).await;
            let query = Frame::new(Guid([5; 16]), Kind::Query, 1, Query::new("blue train", &[]).encode());
            let mut bytes = bytes::BytesMut::new();
            query.encode(&mut bytes);
            raw.send(&bytes).await;
            let hit = QueryHit::decode(&raw.read_kind(Kind::QueryHit).await.payload).expect("a hit");
            assert_eq!(hit.qhd.expect("a trailer").browse(), says);
        }
        let error = b.node.browse(a.addr().to_string()).await.expect_err("refused");
        assert_eq!(error.code, ErrorCode::Refused);
        assert!(error.message.contains("403 Browsing is turned off here"), "{error}");
        let (hits, done) = browse(&b, start(&[], &[]).await.addr()).await;
        assert_eq!((hits.len(), done.hits), (0, 0), "nothing is shared there");
        shutdown(vec![a, b]).await;
    });
}

/// A host that answers every request with these bytes, and then closes, or goes on with the last of them for ever.
async fn host(answer: Vec<u8>, endless: Option<Vec<u8>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("an address");
    rt::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 2048]).await;
            let mut gone = stream.write_all(&answer).await.is_err();
            while let (false, Some(more)) = (gone, &endless) {
                gone = stream.write_all(more).await.is_err();
            }
        }
    })
    .detach();
    addr
}

fn hits(from: u32, count: u32) -> Vec<u8> {
    let entries = (from..from + count).map(|n| Entry::new(n, 5, &format!("file {n}"), &[])).collect();
    let addr = "10.9.8.7:6346".parse().expect("an address");
    let hit = QueryHit::new(addr, 0, entries, Qhd::new(*b"EVIL", true, false), Guid([6; 16]));
    let mut bytes = bytes::BytesMut::new();
    Frame::new(Guid::default(), Kind::QueryHit, 1, hit.encode()).encode(&mut bytes);
    bytes.to_vec()
}

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/x-gnutella-packets\r\n";

fn answer(headers: &str, body: &[u8]) -> Vec<u8> {
    [HEAD.as_bytes(), headers.as_bytes(), b"\r\n", body].concat()
}

#[test]
fn what_strangers_make_up_ends_and_what_was_good_of_it_stays() {
    run(async {
        let b = start(&[], &[]).await;
        let good = hits(1, 3);
        let bomb = {
            let mut bytes = Vec::new();
            filbert::wire::deflated::Deflater::default().push(&vec![0; 64 << 20], &mut bytes);
            bytes
        };
        let garbage = [&good[..], b"no message at all, but text that goes on for a while"].concat();
        let short = format!("Content-Length: {}\r\n", good.len() - 10);
        let long = format!("Content-Length: {}\r\n", good.len() + 10);
        for (what, bytes, listed, why) in [
            ("closed at the end", answer("", &good), 3, None),
            ("cut in a message", answer("", &good[..good.len() - 1]), 0, Some("in the middle")),
            ("too short a length", answer(&short, &good), 0, Some("in the middle")),
            ("too long a length", answer(&long, &good), 3, Some("closed the connection")),
            ("garbage behind", answer("", &garbage), 3, Some("nonsense")),
            ("a bomb", answer("Content-Encoding: deflate\r\n", &bomb), 0, Some("nonsense")),
            ("not deflated", answer("Content-Encoding: deflate\r\n", &good), 0, Some("nonsense")),
            ("no chunks", answer("Transfer-Encoding: chunked\r\n", b"xyz\r\n"), 0, Some("no HTTP")),
        ] {
            let (hits, done) = browse(&b, host(bytes, None).await).await;
            assert_eq!(hits.len(), listed, "{what}");
            let cut = done.explain["cut_short"].as_str().map(str::to_owned);
            match why {
                None => assert_eq!(cut, None, "{what}"),
                Some(why) => assert!(cut.as_ref().is_some_and(|cut| cut.contains(why)), "{what}: {cut:?}"),
            }
        }
        // It answers where we asked, wherever its hits say that it is, and needs no push.
        let evil = host(answer("", &good), None).await;
        let (hits, _) = browse(&b, evil).await;
        assert!(hits.iter().all(|hit| hit.source.addr == evil.to_string() && !hit.source.push));
        shutdown(vec![b]).await;
    });
}

#[test]
fn a_list_without_end_is_cut_and_pages_and_refusals_are_told() {
    run(async {
        let b = start(&[], &[]).await;
        // The same files again, each listed once, and then messages that say nothing.
        let again = [hits(1, 200), hits(1, 200)].concat();
        let ping = [&[0; 16][..], &[0, 1, 0], &60_000_u32.to_le_bytes(), &[0; 60_000]].concat();
        let endless = host(answer("", &again), Some(ping)).await;
        let (hits, done) = browse(&b, endless).await;
        assert_eq!(hits.len(), 200);
        let cut = done.explain["cut_short"].as_str().expect("it was cut").to_owned();
        assert!(cut.contains("128 MiB"), "{cut}");
        let page = host(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>".to_vec(), None).await;
        let closed = host(b"HTTP/1.1 403 Browse \x1b[31mHost Disabled\r\n\r\n".to_vec(), None).await;
        let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
        for (at, code, words) in [
            (page, ErrorCode::Failed, "page for browsers"),
            (closed, ErrorCode::Refused, "403 Browse [31mHost Disabled"),
            (silent, ErrorCode::Failed, "refused the connection"),
        ] {
            let error = b.node.browse(at.to_string()).await.expect_err(words);
            assert_eq!(error.code, code, "{error}");
            assert!(error.message.contains(words), "{error}");
        }
        shutdown(vec![b]).await;
    });
}

#[test]
fn few_browse_at_a_time_and_who_reads_nothing_costs_little() {
    run(async {
        let names: Vec<String> = (0..3000).map(|n| format!("{} {n:04}", "a name of some length ".repeat(9))).collect();
        let files: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b"x"[..])).collect();
        let a = start(&files, &[]).await;
        let mut lazy = Vec::new();
        for _ in 0..16 {
            let mut stream = TcpStream::connect(a.addr()).await.expect("it listens");
            stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sent");
            let mut some = [0; 12];
            stream.read_exact(&mut some).await.expect("a head");
            assert_eq!(&some, b"HTTP/1.1 200");
            lazy.push(stream);
        }
        let (head, _) = ask(a.addr(), "GET / HTTP/1.1\nHost: x\nConnection: close\n\n").await;
        assert!(head.starts_with("HTTP/1.1 503") && head.contains("Retry-After: "), "{head}");
        drop(lazy);
        eventually("their places are free", async || {
            let (head, _) = ask(a.addr(), "GET / HTTP/1.1\nHost: x\nConnection: close\n\n").await;
            rt::sleep(Duration::from_millis(50)).await;
            head.starts_with("HTTP/1.1 200")
        })
        .await;
        shutdown(vec![a]).await;
    });
}

fn bytes(frame: &Frame) -> Vec<u8> {
    let mut out = bytes::BytesMut::new();
    frame.encode(&mut out);
    out.to_vec()
}

/// Somebody behind a wall answers a search of `a` along `link`, as being at `at`.
async fn walled_hit(a: &Peer, link: &mut Raw, at: SocketAddr, push: bool) {
    let request = SearchRequest { query: "walled garden".into(), ttl: None, wait_ms: Some(20_000), max: Some(1) };
    let search = a.node.search(request).await.expect("a search");
    let query = link.read_kind(Kind::Query).await;
    let entries = vec![Entry::new(5, 3, "walled garden.txt", &[])];
    let hit = QueryHit::new(at, 0, entries, Qhd::new(*b"FAKE", push, false), WALLED);
    link.send(&bytes(&Frame::new(query.header.guid, Kind::QueryHit, 7, hit.encode()))).await;
    let lines: Vec<_> = a.node.hits(search.id).await.expect("hits").collect().await;
    assert_eq!(lines.len(), 2, "the hit and the end: {lines:?}");
}

const WALLED: Guid = Guid([0x77; 16]);

#[test]
fn a_host_behind_a_wall_is_asked_to_connect_and_then_for_its_list() {
    run(async {
        let a = start(&[], &[]).await;
        let mut link = Raw::link(a.addr()).await;
        eventually("it is linked", async || a.node.status().await.neighbours == 1).await;
        // Nobody listens there, and nobody needs to.
        let nowhere: SocketAddr = "127.0.0.1:9".parse().expect("an address");
        for host in ["1".to_owned(), nowhere.to_string()] {
            walled_hit(&a, &mut link, nowhere, true).await;
            let give = async {
                let came = Push::decode(&link.read_kind(Kind::Push).await.payload).expect("a push");
                assert_eq!((came.servent, came.index, came.host()), (WALLED, 0, a.addr()));
                let mut giver = Raw::dial(a.addr()).await;
                giver.send(format!("GIV 0:{WALLED}/file\n\n").as_bytes()).await;
                let asked = giver.read_head().await;
                assert!(asked.starts_with("GET / HTTP/1.1\r\n"), "{asked}");
                // What it says of itself is not believed: it is asked the same way again.
                let entries = vec![Entry::new(1, 3, "one.txt", &[]), Entry::new(2, 4, "two.txt", &[])];
                let elsewhere = "10.0.0.1:1".parse().expect("an address");
                let hit = QueryHit::new(elsewhere, 0, entries, Qhd::new(*b"FAKE", false, false), Guid([1; 16]));
                let body = bytes(&Frame::new(Guid([0; 16]), Kind::QueryHit, 1, hit.encode()));
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/x-gnutella-packets\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                giver.send(&[head.as_bytes(), &body].concat()).await;
            };
            let (list, ()) = futures::join!(a.node.browse(host.clone()), give);
            let lines: Vec<_> = a.node.hits(list.expect("a list").id).await.expect("lines").collect().await;
            let [SearchLine::Hit(one), SearchLine::Hit(two), SearchLine::Done(_)] = &lines[..] else {
                panic!("{lines:?}")
            };
            assert_eq!((one.name.as_str(), two.name.as_str()), ("one.txt", "two.txt"), "{host}");
            for hit in [one, two] {
                let source = &hit.source;
                assert_eq!(
                    (&source.addr, source.push, &source.servent),
                    (&nowhere.to_string(), true, &WALLED.to_string())
                );
            }
        }
        shutdown(vec![a]).await;
    });
}

#[test]
fn who_refuses_within_a_site_is_not_asked_to_connect_and_no_number_is_made_up() {
    run(async {
        let a = start(&[], &[]).await;
        let mut link = Raw::link(a.addr()).await;
        eventually("it is linked", async || a.node.status().await.neighbours == 1).await;
        let error = a.node.browse("1".to_owned()).await.expect_err("nothing was searched");
        assert!(error.message.contains("has no hit 1") && error.code == ErrorCode::NotFound, "{error:?}");
        let nowhere: SocketAddr = "127.0.0.1:9".parse().expect("an address");
        walled_hit(&a, &mut link, nowhere, false).await;
        let error = a.node.browse("1".to_owned()).await.expect_err("nobody listens there");
        assert!(error.message.contains("cannot browse 1"), "{error:?}");
        assert_eq!(a.counter("pushes_sent").await, 0);
        shutdown(vec![a]).await;
    });
}
