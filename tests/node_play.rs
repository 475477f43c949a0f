//! Files that are played while they are fetched: what is shown is right, what is not there is waited for, and the address
//! opens for nobody who does not have it.

mod node_support;
mod transfer_support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use filbert::app::downloads::{Downloads, MAX_READERS};
use filbert::app::{ErrorCode, GetRequest};
use filbert::net::rt;
use filbert::web::{self, Token};
use filbert::wire::{TigerTree, TreeRow, thex};
use futures::StreamExt;
use node_support::{run, start};
use transfer_support::*;

fn row(bytes: &[u8]) -> TreeRow {
    let mut tree = TigerTree::new();
    tree.update(bytes);
    tree.finish_row()
}

/// A source with a tree that sends no byte of a block before that many blocks may be sent; from then on a MB in 50 ms.
struct Gated {
    script: Script,
    open: Arc<AtomicUsize>,
}

fn gated(bytes: &[u8], sent: Vec<u8>, tree: bool) -> Gated {
    let open = Arc::new(AtomicUsize::new(0));
    let (gate, size, row) = (Arc::clone(&open), bytes.len(), row(bytes));
    let (root, encoded) = (row.root(), thex::encode(&row));
    let script = Script::new(move |head, stream| {
        if head.contains("N2X") {
            let said = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", encoded.len());
            return send(stream, &said, &encoded);
        }
        let (first, last) = asked(head);
        let end = last.saturating_add(1).min(size);
        let named = if tree { format!("X-Thex-URI: /uri-res/N2X?urn:sha1:X;{root}\r\n") } else { String::new() };
        let said = format!(
            "HTTP/1.1 206 OK\r\nContent-Range: bytes {first}-{}/{size}\r\nContent-Length: {}\r\n{named}\r\n",
            end - 1,
            end - first
        );
        if !send(stream, &said, b"") {
            return false;
        }
        sent[first..end].chunks(MIB / 8).all(|piece| {
            while gate.load(Ordering::SeqCst) == 0 {
                pause(Duration::from_millis(5));
            }
            if gate.load(Ordering::SeqCst) != usize::MAX {
                gate.fetch_sub(1, Ordering::SeqCst);
            } else {
                pause(Duration::from_millis(6));
            }
            send(stream, "", piece)
        })
    });
    Gated { script, open }
}

impl Gated {
    /// So many MB more; all, when it is the greatest number.
    fn allow(&self, mib: usize) {
        self.open.store(mib.saturating_mul(8), Ordering::SeqCst);
    }
}

/// What a player says and gets.
struct Played {
    stream: TcpStream,
    status: u16,
    head: String,
}

impl Played {
    fn ask(url: &str, method: &str, lines: &str) -> Self {
        let rest = url.strip_prefix("http://").expect("a URL");
        let (host, path) = rest.split_once('/').expect("a path");
        let mut stream = TcpStream::connect(host).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
        let request = format!("{method} /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{lines}\r\n");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("a head");
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).expect("text").to_lowercase();
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        Self { stream, status, head }
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes).expect("these bytes");
        bytes
    }

    fn rest(mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.stream.read_to_end(&mut bytes).expect("its end");
        bytes
    }
}

#[test]
fn a_player_reads_the_front_while_the_rest_comes_and_goes_on_in_the_finished_file() {
    run(async {
        let bytes = content(20 * MIB + 77, 1);
        let source = gated(&bytes, bytes.clone(), true);
        let peer = start(&[], &[]).await;
        let node = Arc::new(peer.node);
        let own: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        let token = Token::from_random([3; 32]);
        let server =
            web::serve(Arc::clone(&node), own, web::Reach::Machine, token.clone(), Vec::new(), web::Limits::default())
                .await;
        let server = server.expect("an API");
        let urn = urn(&bytes);
        let from = format!("http://{}/uri-res/N2R?{urn}", source.script.addr);
        let what = format!("magnet:?xt={urn}&xl={}&dn=film.mkv&xs={from}", bytes.len());
        let id = node.get(GetRequest { what, ..Default::default() }).await.expect("begun").id;
        node.expect_player(id).await.expect("it is there");
        let url = format!("http://{}/play/{id}/{}/film.mkv", server.addr(), token.key_of(id));
        let (all, view) = (bytes.clone(), Arc::clone(&node));
        let state =
            move || rt::block_on(view.transfers()).into_iter().find(|view| view.id == id).expect("a transfer").state;
        rt::spawn_blocking(move || {
            source.allow(4);
            let mut front = Played::ask(&url, "GET", "Range: bytes=0-\r\n");
            assert_eq!(front.status, 206);
            let said = format!("content-range: bytes 0-{}/{}\r\n", all.len() - 1, all.len());
            assert!(front.head.contains(&said) && front.head.contains("video/x-matroska"), "{}", front.head);
            assert!(front.bytes(MIB + 9) == all[..MIB + 9], "the front, while the source gives no more than four MB");
            assert_ne!(state(), "done");
            // The end is what the player asks for next, and it comes before the middle.
            let at = all.len() - 1000;
            let mut end = Played::ask(&url, "GET", "Range: bytes=-1000\r\n");
            assert_eq!(end.status, 206);
            source.allow(6);
            assert!(end.bytes(1000) == all[at..], "the end");
            assert_ne!(state(), "done");
            // What is there is known without the bytes.
            let head = Played::ask(&url, "HEAD", "");
            assert!(head.status == 200 && head.head.contains(&format!("content-length: {}\r\n", all.len())));
            let tag = head.head.lines().find_map(|line| line.strip_prefix("etag: ")).expect("a tag").to_uppercase();
            let tag = tag.replace("URN:SHA1:", "urn:sha1:");
            assert!(head.rest().is_empty());
            assert_eq!(Played::ask(&url, "GET", &format!("Range: bytes={}-\r\n", all.len())).status, 416);
            let of_another = Played::ask(&url, "HEAD", "Range: bytes=5-9\r\nIf-Range: \"x\"\r\n");
            assert_eq!(of_another.status, 200, "of another content the whole");
            let same = Played::ask(&url, "HEAD", &format!("Range: bytes=5-9\r\nIf-Range: {tag}\r\n"));
            assert_eq!(same.status, 206, "{tag}");
            // Nobody else opens it.
            let key = url.split('/').nth(5).expect("a key");
            let guessed = url.replace(key, &"0".repeat(32));
            assert_eq!(Played::ask(&guessed, "GET", "").status, 401);
            assert_eq!(Played::ask(&url.replace(&format!("/{id}/"), "/77/"), "GET", "").status, 401);
            assert_eq!(Played::ask(&url, "GET", "Origin: http://evil.example\r\n").status, 403);
            // The first reader goes on, from the partial file into the finished one.
            source.allow(usize::MAX);
            assert!(front.rest() == all[MIB + 9..], "the rest");
            for _ in 0..1000 {
                if state() == "done" {
                    break;
                }
                pause(Duration::from_millis(10));
            }
            assert_eq!(state(), "done");
            assert!(Played::ask(&url, "GET", "").rest() == all, "from the finished file");
            let again = Played::ask(&url, "GET", "Range: bytes=5000000-5000009\r\n");
            assert!(again.rest() == all[5_000_000..5_000_010]);
        })
        .await;
        server.stop().await;
        node.shutdown().await;
    });
}

/// All that a player is given of these bytes.
fn played(downloads: &Downloads, id: u64, range: Range<u64>) -> rt::Task<Vec<u8>> {
    let player = downloads.player(id).expect("room for one");
    rt::spawn(async move { player.bytes(range).fold(Vec::new(), async |all, piece| [&all[..], &piece].concat()).await })
}

#[test]
fn a_wrong_block_is_never_shown() {
    let (place, bytes) = (Place::new(), content(9 * MIB + 7, 2));
    let mut wrong = bytes.clone();
    wrong.iter_mut().skip(MIB / 2).step_by(MIB).for_each(|byte| *byte ^= 1);
    let (liar, good) = (gated(&bytes, wrong, true), gated(&bytes, bytes.clone(), true));
    let downloads = place.open();
    let first = wanted("a.mp3", &bytes, &[liar.script.addr, good.script.addr]);
    let id = rt::block_on(downloads.get(first)).expect("begun").id;
    downloads.expect_player(id).expect("it is there");
    let reader = played(&downloads, id, 0..bytes.len() as u64);
    let other = played(&downloads, id, 3 * MIB as u64..5 * MIB as u64);
    liar.allow(usize::MAX);
    let view = wait_for(&downloads, id, |view| view.from.iter().any(|from| from.state == "banned"));
    assert_eq!(view.players, 2, "they wait");
    good.allow(usize::MAX);
    assert!(rt::block_on(reader) == bytes);
    assert!(rt::block_on(other) == bytes[3 * MIB..5 * MIB]);
    assert_eq!(finish(&downloads, id).state, "done");
    assert_eq!(downloads.view(id).expect("a download").players, 0);
    rt::block_on(downloads.shutdown());
}

#[test]
fn without_a_tree_all_of_it_is_checked_before_any_is_shown() {
    let (place, bytes) = (Place::new(), content(5 * MIB, 3));
    let source = gated(&bytes, bytes.clone(), false);
    let downloads = place.open();
    let id = rt::block_on(downloads.get(wanted("a", &bytes, &[source.script.addr]))).expect("begun").id;
    let mut player = downloads.player(id).expect("room");
    let facts = rt::block_on(player.facts()).expect("its size is known");
    assert_eq!((facts.size, facts.tag), (bytes.len() as u64, urn(&bytes).to_string()));
    let mut stream = Box::pin(player.bytes(0..facts.size));
    source.allow(4);
    let next = rt::block_on(async {
        let mut first = stream.next();
        let early = rt::timeout(Duration::from_millis(200), &mut first).await;
        assert!(early.is_err(), "nothing is shown");
        let view = wait_for(&downloads, id, |view| view.done >= 3 * MIB as u64);
        assert!(view.reason.contains("no source has its tree"), "{}", view.reason);
        assert!(rt::timeout(Duration::from_millis(200), &mut first).await.is_err(), "nor when most of it is there");
        source.allow(usize::MAX);
        first.await
    });
    let rest = rt::block_on(stream.fold(next.expect("bytes").to_vec(), async |all, piece| [&all[..], &piece].concat()));
    assert!(rest == bytes);
    assert_eq!(finish(&downloads, id).state, "done");

    // Of a file that turns out wrong nothing was shown.
    let other = content(3 * MIB, 4);
    let liar = gated(&other, content(3 * MIB, 5), false);
    let id = rt::block_on(downloads.get(wanted("b", &other, &[liar.script.addr]))).expect("begun").id;
    let reader = played(&downloads, id, 0..other.len() as u64);
    liar.allow(usize::MAX);
    assert_eq!(finish(&downloads, id).error, Some(ErrorCode::VerificationFailed));
    assert!(rt::block_on(reader).is_empty());
    let refused = rt::block_on(downloads.player(id).expect("room").facts()).expect_err("it failed");
    assert_eq!(refused.code, ErrorCode::VerificationFailed, "{refused}");
    rt::block_on(downloads.shutdown());
}

#[test]
fn players_are_so_many_at_most_and_leave_with_the_download() {
    let (place, bytes) = (Place::new(), content(3 * MIB, 6));
    let source = gated(&bytes, bytes.clone(), true);
    let downloads = place.open();
    let id = rt::block_on(downloads.get(wanted("a", &bytes, &[source.script.addr]))).expect("begun").id;
    let readers: Vec<_> = (0..MAX_READERS).map(|_| played(&downloads, id, 0..bytes.len() as u64)).collect();
    let refused = downloads.player(id).err().expect("no room");
    assert!(refused.to_string().contains("players"), "{refused}");
    rt::block_on(downloads.cancel(id)).expect("cancelled");
    for reader in readers {
        assert!(rt::block_on(reader).is_empty());
    }
    assert!(downloads.player(id).is_ok(), "their places are free");
    rt::block_on(downloads.shutdown());
}

#[test]
fn a_file_of_an_earlier_run_is_played_unless_somebody_changed_it() {
    let (place, bytes) = (Place::new(), content(2 * MIB + 5, 7));
    let source = gated(&bytes, bytes.clone(), true);
    source.allow(usize::MAX);
    let downloads = place.open();
    let id = rt::block_on(downloads.get(wanted("a", &bytes, &[source.script.addr]))).expect("begun").id;
    let path = finish(&downloads, id).path.expect("a path");
    assert!(rt::block_on(played(&downloads, id, 0..bytes.len() as u64)) == bytes);
    rt::block_on(downloads.shutdown());
    drop(downloads);
    let downloads = place.open();
    assert!(rt::block_on(played(&downloads, id, 9..MIB as u64)) == bytes[9..MIB]);
    std::fs::write(&path, b"something else").expect("written");
    assert!(rt::block_on(played(&downloads, id, 0..9)).is_empty());
    rt::block_on(downloads.shutdown());
}
