//! Links whose directions are deflated, each by itself.

mod node_support;

use bytes::BytesMut;
use filbert::proto::Deflate;
use filbert::wire::deflated::{Deflater, Inflater};
use filbert::wire::stream::{FrameReader, PAYLOAD_LIMIT};
use filbert::wire::{Frame, Guid, Kind};
use node_support::{OFFER, Peer, Raw, eventually, run, shutdown, start, start_with};

async fn sharing(deflate: Deflate) -> Peer {
    start_with(&[("blue train.txt", b"all aboard")], &[], |options| options.deflate = deflate).await
}

/// A link by hand; `ours` and `theirs` are what each last leg adds. The answer's head comes back.
async fn link(peer: &Peer, offer: &str, last: &str) -> (Raw, String) {
    let mut raw = Raw::dial(peer.addr()).await;
    raw.send(OFFER.replace("\r\n\r\n", &format!("\r\n{offer}\r\n")).as_bytes()).await;
    let head = raw.read_head().await;
    raw.send(format!("GNUTELLA/0.6 200 OK\r\n{last}\r\n").as_bytes()).await;
    (raw, head)
}

fn query(words: &str) -> Vec<u8> {
    let payload = [b"\0\0", words.as_bytes(), b"\0"].concat();
    let mut bytes = BytesMut::new();
    Frame::new(Guid([5; 16]), Kind::Query, 2, payload.into()).encode(&mut bytes);
    bytes.to_vec()
}

#[test]
fn each_direction_is_deflated_when_both_ends_say_so() {
    run(async {
        const TAKES: &str = "Accept-Encoding: deflate\r\n";
        const SENDS: &str = "Content-Encoding: deflate\r\n";
        for (deflate, offer, last, takes, sends) in [
            (Deflate::Off, TAKES, "", false, false),
            (Deflate::Receive, TAKES, SENDS, true, false),
            (Deflate::Both, TAKES, SENDS, true, true),
            (Deflate::Both, TAKES, "", true, true),
            (Deflate::Both, "", SENDS, true, false),
        ] {
            let peer = sharing(deflate).await;
            let (mut raw, head) = link(&peer, offer, last).await;
            assert_eq!((head.contains(TAKES), head.contains(SENDS)), (takes, sends), "{deflate:?}: {head}");
            let plain = query("blue train");
            let mut bytes = plain.clone();
            if last == SENDS {
                bytes.clear();
                Deflater::default().push(&plain, &mut bytes);
                assert_ne!(bytes, plain);
            }
            for byte in bytes {
                raw.send(&[byte]).await;
            }
            let (mut inflater, mut frames) = (Inflater::default(), FrameReader::new(PAYLOAD_LIMIT));
            'hit: loop {
                let came = raw.read_bytes().await;
                if sends {
                    let (mut came, mut out) = (&came[..], [0; 512]);
                    loop {
                        match inflater.fill(&mut came, &mut out).expect("one zlib stream") {
                            0 => break,
                            n => frames.push(&out[..n]),
                        }
                    }
                } else {
                    frames.push(&came);
                }
                while let Some(frame) = frames.next_frame().expect("whole messages") {
                    if frame.header.kind == Kind::QueryHit {
                        assert!(frame.payload.windows(10).any(|bytes| bytes == b"blue train"));
                        break 'hit;
                    }
                }
            }
            peer.node.shutdown().await;
        }
    });
}

#[test]
fn servents_that_deflate_both_ways_find_each_others_files() {
    run(async {
        let a = sharing(Deflate::Both).await;
        let b = start_with(&[], &[&a], |options| options.deflate = Deflate::Both).await;
        let c = start_with(&[], &[&b], |options| options.deflate = Deflate::Receive).await;
        for searcher in [&b, &c] {
            assert_eq!(searcher.search("blue train", None, 500).await.0.len(), 1);
        }
        shutdown(vec![a, b, c]).await;
    });
}

/// Real zlib's streams of windows of 512 bytes to 32 KiB, 800 Queries each: over a socket, in pieces of any length.
#[test]
fn streams_of_every_window_are_understood_and_the_link_goes_on() {
    run(async {
        let a = sharing(Deflate::Receive).await;
        for window in 8..=15 {
            let name = format!("{}/tests/vectors/26-zlib-window-{window}.bin", env!("CARGO_MANIFEST_DIR"));
            let stream = std::fs::read(&name).expect(&name);
            let before = a.counter("queries_received").await;
            let (mut raw, _) = link(&a, "", "Content-Encoding: deflate\r\n").await;
            let (mut rest, mut n) = (&stream[..], window);
            while !rest.is_empty() {
                n = (n * 31 + 7) % 1009;
                let (piece, more) = rest.split_at((n + 1).min(rest.len()));
                raw.send(piece).await;
                rest = more;
            }
            // The stream was flushed, not ended: a stored block (RFC 1951 section 3.2.4) goes on with it.
            let mut ping = BytesMut::new();
            Frame::new(Guid([window as u8; 16]), Kind::Ping, 1, Vec::new().into()).encode(&mut ping);
            let len = ping.len() as u16;
            raw.send(&[&[0][..], &len.to_le_bytes(), &(!len).to_le_bytes(), &ping].concat()).await;
            loop {
                let pong = raw.read_kind(Kind::Pong).await;
                if pong.header.guid == Guid([window as u8; 16]) {
                    break;
                }
            }
            assert_eq!(a.counter("queries_received").await - before, 800, "window {window}");
            drop(raw);
            eventually("it is gone", async || a.node.status().await.neighbours == 0).await;
        }
        shutdown(vec![a]).await;
    });
}

/// Reads the Bye that a link ends with.
async fn bye(raw: &mut Raw) -> (u16, String) {
    let frame = raw.read_kind(Kind::Bye).await;
    raw.closed().await;
    let (code, words) = frame.payload.split_at(2);
    let words = words.split(|&byte| byte == 0).next().unwrap_or_default();
    (u16::from_le_bytes([code[0], code[1]]), String::from_utf8_lossy(words).into_owned())
}

#[test]
fn a_stream_that_is_none_ends_or_bursts_ends_that_link_alone_with_a_reason() {
    run(async {
        let a = sharing(Deflate::Receive).await;
        let b = start(&[], &[&a]).await;
        let mut bomb = Vec::new();
        Deflater::default().push(&vec![0; 8 << 20], &mut bomb);
        // The query comes first in those that make sense so far.
        let (mut ended, mut cut) = (Vec::with_capacity(200), Vec::new());
        flate2::Compress::new(flate2::Compression::fast(), true)
            .compress_vec(&query("blue train"), &mut ended, flate2::FlushCompress::Finish)
            .expect("deflates");
        ended.extend_from_slice(b"and on");
        Deflater::default().push(&query("blue train"), &mut cut);
        cut.extend_from_slice(&[7; 40]);
        for (bytes, why) in [
            (&bomb[..], "deflated stream"),
            (b"this is no zlib stream, is it?", "is no zlib stream"),
            (&ended, "goes on behind its end"),
            (&cut, "is no zlib stream"),
        ] {
            let (mut raw, _) = link(&a, "", "Content-Encoding: deflate\r\n").await;
            eventually("it is linked", async || a.node.status().await.neighbours == 2).await;
            raw.send(bytes).await;
            let (code, words) = bye(&mut raw).await;
            assert!(code == 400 && words.contains(why), "{code} {words}");
            eventually("it is gone", async || a.node.status().await.neighbours == 1).await;
        }
        assert_eq!(b.search("blue train", None, 500).await.0.len(), 1);
        shutdown(vec![a, b]).await;
    });
}

#[test]
fn who_deflates_though_we_did_not_offer_to_take_it_is_understood() {
    run(async {
        let a = sharing(Deflate::Off).await;
        let (mut raw, head) = link(&a, "", "Content-Encoding: deflate\r\n").await;
        assert!(!head.contains("Accept-Encoding"), "{head}");
        let mut bytes = Vec::new();
        Deflater::default().store(&query("blue train"), &mut bytes);
        raw.send(&bytes).await;
        raw.read_kind(Kind::QueryHit).await;
        shutdown(vec![a]).await;
    });
}
