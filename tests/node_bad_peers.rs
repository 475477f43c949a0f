//! Peers that send garbage, nothing, too little or too much: nothing changes for the others.

mod node_support;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use filbert::net::{HEAD_TIME, rt};
use node_support::{AGREE, OFFER, Peer, Raw, eventually, run, shutdown, start};

/// Two servents that are linked, and since when.
async fn pair() -> (Peer, Peer) {
    let a = start(&[("precious.txt", b"still here")], &[]).await;
    let b = start(&[], &[&a]).await;
    (a, b)
}

/// Their link is the one that it was, they search, and newcomers are welcome.
async fn all_is_well(a: &Peer, b: &Peer) {
    let lost = (a.counter("links_lost").await, b.counter("links_lost").await);
    assert_eq!(b.search("precious", None, 400).await.0.len(), 1);
    assert_eq!(b.link_to(a).await.direction, "out");
    let began = Instant::now();
    let c = start(&[], &[a]).await;
    assert!(began.elapsed() < Duration::from_secs(5), "a newcomer had to wait {:?}", began.elapsed());
    assert_eq!(c.search("precious", None, 400).await.0.len(), 1);
    assert_eq!((a.counter("links_lost").await, b.counter("links_lost").await), lost);
    c.node.shutdown().await;
}

#[test]
fn garbage_is_cut_at_once() {
    run(async {
        let (a, b) = pair().await;
        let long = [b"GNUTELLA CONNECT/0.6\r\n".to_vec(), b"X-Long: y\r\n".repeat(2000)].concat();
        let cases: [&[u8]; 8] = [
            b"\x00",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            b"SSH-2.0-OpenSSH_9.9\r\n",
            b"GIV 1:00000000000000000000000000000000/file\n\n",
            b"GNUTELLA CONNECT/nonsense\r\n\r\n",
            b"GNUTELLA CONNECT/0.6\r\nno colon here\x00\xff\r\n\r\n",
            &[0xff; 100_000],
            &long,
        ];
        for bytes in cases {
            let mut raw = Raw::dial(a.addr()).await;
            let began = Instant::now();
            raw.send(bytes).await;
            raw.closed().await;
            assert!(began.elapsed() < HEAD_TIME / 2, "{:?}", String::from_utf8_lossy(&bytes[..bytes.len().min(40)]));
        }
        all_is_well(&a, &b).await;
        shutdown(vec![a, b]).await;
    });
}

#[test]
fn a_tls_hello_is_told_no_in_its_own_words() {
    run(async {
        let (a, b) = pair().await;
        let mut raw = Raw::dial(a.addr()).await;
        let hello = [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), vec![7; 506]].concat();
        raw.send(&hello).await;
        assert_eq!(raw.read_bytes().await, b"\x15\x03\x01\x00\x02\x02\x28");
        raw.closed().await;
        all_is_well(&a, &b).await;
        shutdown(vec![a, b]).await;
    });
}

#[test]
fn the_hellos_of_a_real_tls_client_are_answered_at_once_however_they_come() {
    run(async {
        let (a, b) = pair().await;
        for name in ["25-tls-hello-1.2", "25-tls-hello-1.3"] {
            let hello = std::fs::read(format!("{}/tests/vectors/{name}.bin", env!("CARGO_MANIFEST_DIR"))).expect(name);
            assert!(hello.starts_with(b"\x16\x03\x01"), "{name}");
            // Whole, byte by byte, its record's head alone, its beginning.
            for (sent, piece) in [(hello.len(), hello.len()), (hello.len(), 1), (5, 5), (40, 7)] {
                let mut raw = Raw::dial(a.addr()).await;
                let began = Instant::now();
                raw.send_and_listen(hello[..sent].chunks(piece)).await;
                assert_eq!(raw.read_bytes().await, b"\x15\x03\x01\x00\x02\x02\x28", "{name}: {sent} bytes");
                raw.closed().await;
                assert!(began.elapsed() < HEAD_TIME / 2, "{name}: {sent} bytes");
            }
        }
        all_is_well(&a, &b).await;
        shutdown(vec![a, b]).await;
    });
}

#[test]
fn garbage_on_a_link_ends_that_link_alone() {
    run(async {
        let (a, b) = pair().await;
        let gigabyte = [&[7; 16][..], &[0x80, 4, 0], &(1u32 << 30).to_le_bytes()].concat();
        for bytes in [gigabyte, vec![0xff; 50_000]] {
            let mut raw = Raw::link(a.addr()).await;
            eventually("it is linked", async || a.node.status().await.neighbours == 2).await;
            let began = Instant::now();
            raw.send(&bytes).await;
            raw.closed().await;
            assert!(began.elapsed() < Duration::from_secs(5));
            eventually("it is gone", async || a.node.status().await.neighbours == 1).await;
        }
        // Well-formed messages with senseless payloads are dropped and counted, the link stays.
        let mut raw = Raw::link(a.addr()).await;
        for kind in 0..=255u8 {
            // A Bye ends the link, and so does a table that is none.
            if kind != 2 && kind != 0x30 {
                raw.send(&[&[kind; 16][..], &[kind, 4, 0, 3, 0, 0, 0, 1, 2, 3]].concat()).await;
            }
        }
        eventually("all are counted", async || a.counter("dropped_unknown_kind").await > 200).await;
        assert_eq!(a.node.status().await.neighbours, 2);
        drop(raw);
        eventually("it left", async || a.node.status().await.neighbours == 1).await;
        all_is_well(&a, &b).await;
        shutdown(vec![a, b]).await;
    });
}

#[test]
fn a_peer_may_close_at_any_byte_of_the_handshake() {
    run(async {
        let (a, b) = pair().await;
        for n in 0..=OFFER.len() {
            let mut raw = Raw::dial(a.addr()).await;
            raw.send(&OFFER.as_bytes()[..n]).await;
        }
        for n in 0..AGREE.len() {
            let mut raw = Raw::dial(a.addr()).await;
            raw.send(OFFER.as_bytes()).await;
            raw.read_head().await;
            raw.send(&AGREE.as_bytes()[..n]).await;
        }
        all_is_well(&a, &b).await;
        assert_eq!(a.node.status().await.neighbours, 1, "none of them became a neighbour");
        shutdown(vec![a, b]).await;
    });
}

#[test]
fn those_who_say_nothing_or_a_byte_a_second_are_cut_and_keep_nobody_out() {
    run(async {
        let (a, b) = pair().await;
        let began = Instant::now();
        let mut silent = Vec::new();
        for _ in 0..400 {
            silent.push(Raw::dial(a.addr()).await);
        }
        let slow: Vec<_> = [&OFFER.as_bytes()[..18], b"GET /uri-res", OFFER.as_bytes()]
            .into_iter()
            .map(|bytes| rt::spawn(trickle(a.addr(), bytes.to_vec())))
            .collect();
        all_is_well(&a, &b).await;
        for raw in &mut silent {
            raw.closed().await;
        }
        for slow in slow {
            slow.await;
        }
        let took = began.elapsed();
        assert!(took >= HEAD_TIME && took < 4 * HEAD_TIME, "{took:?}");
        all_is_well(&a, &b).await;
        shutdown(vec![a, b]).await;
    });
}

/// Sends a byte a second until it is cut.
async fn trickle(addr: SocketAddr, bytes: Vec<u8>) {
    let mut raw = Raw::dial(addr).await;
    for byte in bytes {
        raw.send(&[byte]).await;
        if rt::timeout(Duration::from_secs(1), raw.closed()).await.is_ok() {
            return;
        }
    }
    raw.closed().await;
}

#[test]
fn a_peer_that_never_reads_stops_nobody_else() {
    run(async {
        let (a, b) = pair().await;
        // It asks for much, and takes nothing of the answers.
        let mut raw = Raw::link(a.addr()).await;
        eventually("it is linked", async || a.node.status().await.neighbours == 2).await;
        for n in 0..20_000u32 {
            let guid = [&n.to_le_bytes()[..], &[9; 12]].concat();
            let ping = [&guid[..], &[0, 1, 0, 0, 0, 0, 0]].concat();
            let sent = rt::timeout(Duration::from_millis(200), raw.send(&ping)).await;
            if sent.is_err() {
                break;
            }
        }
        all_is_well(&a, &b).await;
        shutdown(vec![a, b]).await;
    });
}
