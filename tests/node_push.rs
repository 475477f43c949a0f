//! Connections back: a source that cannot be connected to connects to us, and we to those who ask; strangers gain
//! nothing by either.

mod node_support;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use filbert::app::GetRequest;
use filbert::net::rt::{self, TcpListener};
use filbert::wire::hit::{Entry, Qhd, QueryHit};
use filbert::wire::push::Push;
use filbert::wire::query::Query;
use filbert::wire::vendor::{Said, Vendor};
use filbert::wire::{Frame, Guid, Kind};
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use node_support::{AGREE, OFFER, Raw, eventually, run, shutdown, start};

const CONTENT: &[u8] = b"from behind a wall";
const WALLED: Guid = Guid([0x77; 16]);

fn bytes(frame: &Frame) -> Vec<u8> {
    let mut out = bytes::BytesMut::new();
    frame.encode(&mut out);
    out.to_vec()
}

fn push(to: Guid, index: u32, at: SocketAddr, number: u16) -> Vec<u8> {
    let mut guid = Guid([0x11; 16]);
    guid.0[..2].copy_from_slice(&number.to_le_bytes());
    bytes(&Frame::new(guid, Kind::Push, 7, Push::new(to, index, at).encode()))
}

#[test]
fn who_asks_for_a_connection_gets_one_that_serves() {
    run(async {
        let a = start(&[("walled garden.txt", CONTENT)], &[]).await;
        let servent: Guid = a.node.status().await.servent.parse().expect("a GUID");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = listener.local_addr().expect("an address");
        let mut raw = Raw::link(a.addr()).await;
        raw.send(&bytes(&Frame::new(Guid([5; 16]), Kind::Query, 1, Query::new("walled garden", &[]).encode()))).await;
        let hit = QueryHit::decode(&raw.read_kind(Kind::QueryHit).await.payload).expect("a hit");
        let index = hit.entries[0].index;
        raw.send(&push(servent, 3, at, 1)).await;
        let (mut stream, _) = listener.accept().await.expect("it calls");
        let line = format!("GIV 3:{servent}/file\n\n");
        let mut came = vec![0; line.len()];
        stream.read_exact(&mut came).await.expect("its line");
        assert_eq!(String::from_utf8_lossy(&came), line);
        for _ in 0..2 {
            let request = format!("GET /get/{index}/walled%20garden.txt HTTP/1.1\r\nHost: x\r\n\r\n");
            stream.write_all(request.as_bytes()).await.expect("sent");
            let mut answer = Vec::new();
            while !answer.ends_with(CONTENT) {
                let mut some = [0; 1024];
                let n = stream.read(&mut some).await.expect("an answer");
                assert!(n > 0, "{}", String::from_utf8_lossy(&answer));
                answer.extend_from_slice(&some[..n]);
            }
            assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
        }
        assert_eq!((a.counter("push_dials").await, a.counter("push_dials_failed").await), (1, 0));
        shutdown(vec![a]).await;
    });
}

#[test]
fn a_thousand_pushes_towards_others_cause_few_dials() {
    run(async {
        let a = start(&[], &[]).await;
        let servent: Guid = a.node.status().await.servent.parse().expect("a GUID");
        let (met, mut victims, mut tasks) = (Arc::new(AtomicUsize::new(0)), Vec::new(), Vec::new());
        for n in 1..=20 {
            let listener = TcpListener::bind((Ipv4Addr::new(127, 9, 9, n), 0)).await.expect("a port");
            victims.push(listener.local_addr().expect("an address"));
            let met = Arc::clone(&met);
            tasks.push(rt::spawn(async move {
                while listener.accept().await.is_ok() {
                    met.fetch_add(1, SeqCst);
                }
            }));
        }
        // Ten links, so that it is not the rate of one neighbour that holds them back.
        let mut links = Vec::new();
        for _ in 0..10 {
            links.push(Raw::link(a.addr()).await);
        }
        for n in 0..1000u16 {
            let at = victims[usize::from(n) % victims.len()];
            links[usize::from(n) % 10].send(&push(servent, 1, at, n)).await;
        }
        eventually("all are decided", async || {
            a.counter("pushes_received").await + a.counter("dropped_rate_limited").await >= 1000
        })
        .await;
        eventually("all dials are over", async || {
            let counters = a.counters().await;
            counters["push_dials"] + counters["push_dials_left_out"] == counters["pushes_received"]
        })
        .await;
        assert!(a.counter("pushes_received").await <= 60, "{:?}", a.counters().await);
        assert!(met.load(SeqCst) <= 60, "{} dials", met.load(SeqCst));
        assert_eq!(a.node.status().await.neighbours, 10, "an honest neighbour may pass such pushes on");
        drop((links, tasks));
        shutdown(vec![a]).await;
    });
}

#[test]
fn a_source_behind_a_wall_is_asked_to_connect_and_gives_the_file() {
    run(async {
        let a = start(&[], &[]).await;
        let mut raw = Raw::link(a.addr()).await;
        eventually("it is linked", async || a.node.status().await.neighbours == 1).await;
        let searched = a.node.search(filbert::app::SearchRequest {
            query: "walled garden".into(),
            ttl: None,
            wait_ms: Some(20_000),
            max: Some(1),
        });
        let search = searched.await.expect("a search");
        let query = raw.read_kind(Kind::Query).await;
        // Nobody listens there, and nobody needs to.
        let nowhere = "127.0.0.1:9".parse().expect("an address");
        let entries = vec![Entry::new(5, CONTENT.len() as u64, "walled garden.txt", &[])];
        let hit = QueryHit::new(nowhere, 0, entries, Qhd::new(*b"FAKE", true, false), WALLED);
        raw.send(&bytes(&Frame::new(query.header.guid, Kind::QueryHit, 7, hit.encode()))).await;
        let hits: Vec<_> = a.node.hits(search.id).await.expect("hits").collect().await;
        assert_eq!(hits.len(), 2, "the hit and the end: {hits:?}");

        let mut unasked = Raw::dial(a.addr()).await;
        unasked.send(format!("GIV 5:{WALLED}/file\n\n").as_bytes()).await;
        unasked.closed().await;

        let request = GetRequest { what: "1".into(), dir: None, name: None, on_exists: None, ..Default::default() };
        let download = a.node.get(request).await.expect("a download");
        let came = Push::decode(&raw.read_kind(Kind::Push).await.payload).expect("a push");
        assert_eq!((came.servent, came.index, came.host()), (WALLED, 5, a.addr()));
        eventually("it says what it waits for", async || {
            let now = a.node.transfers().await;
            now.iter().any(|it| it.id == download.id && it.reason.contains("waiting for a connection back"))
        })
        .await;
        let mut other = Raw::dial(a.addr()).await;
        other.send(format!("GIV 5:{}/file\n\n", Guid([9; 16])).as_bytes()).await;
        other.closed().await;

        let mut giver = Raw::dial(a.addr()).await;
        giver.send(format!("GIV 5:{WALLED}/file\n\n").as_bytes()).await;
        let asked = giver.read_head().await;
        assert!(asked.starts_with("GET /get/5/walled%20garden.txt HTTP/1.1\r\n"), "{asked}");
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", CONTENT.len());
        giver.send(&[head.as_bytes(), CONTENT].concat()).await;
        eventually("it is done", async || {
            let now = a.node.transfers().await;
            now.iter().any(|it| it.id == download.id && it.state == "done")
        })
        .await;
        assert_eq!(a.counter("push_called_back").await, 1);
        let mut late = Raw::dial(a.addr()).await;
        late.send(format!("GIV 5:{WALLED}/file\n\n").as_bytes()).await;
        late.closed().await;
        shutdown(vec![a]).await;
    });
}

#[test]
fn a_magnet_names_who_has_to_connect_and_who_asks_it_to() {
    run(async {
        let proxy = start(&[], &[]).await;
        let mut raw = Raw::dial(proxy.addr()).await;
        let offer = OFFER.replace("\r\n\r\n", &format!("\r\nVendor-Message: 0.2\r\nGUID: {WALLED}\r\n\r\n"));
        raw.send(offer.as_bytes()).await;
        raw.read_head().await;
        raw.send(AGREE.as_bytes()).await;
        raw.send(&bytes(&Frame::new(WALLED, Kind::Vendor, 1, Vendor::proxy_please().encode()))).await;
        raw.read_kind(Kind::Vendor).await;
        raw.read_kind(Kind::Vendor).await;

        let a = start(&[], &[]).await;
        let urn = filbert::wire::Urn::Sha1(filbert::wire::Digests::of(CONTENT).sha1);
        let magnet = format!("magnet:?xt={urn}&xs=push://{WALLED}:{}/uri-res/N2R?{urn}", proxy.addr());
        let download = a.node.get(GetRequest { what: magnet, ..Default::default() }).await.expect("a download");
        let came = Push::decode(&raw.read_kind(Kind::Push).await.payload).expect("a push");
        assert_eq!((came.servent, came.host()), (WALLED, a.addr()));
        let now = a.node.transfers().await;
        assert!(now[0].reason.contains(&format!("push://{WALLED}")), "{}", now[0].reason);
        // The same way out again.
        let told = a.node.magnet(&filbert::app::MagnetRequest { transfer: Some(download.id), ..Default::default() });
        let escaped = filbert::web::uri::escape(&format!("push://{WALLED}:{}", proxy.addr()));
        assert!(told.as_ref().is_ok_and(|told| told.magnet.contains(&escaped)), "{told:?}");

        let mut giver = Raw::dial(a.addr()).await;
        giver.send(format!("GIV 0:{WALLED}/file\n\n").as_bytes()).await;
        let asked = giver.read_head().await;
        assert!(asked.starts_with(&format!("GET /uri-res/N2R?{urn} HTTP/1.1\r\nHost: 127.0.0.1:")), "{asked}");
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", CONTENT.len());
        giver.send(&[head.as_bytes(), CONTENT].concat()).await;
        eventually("it is done", async || a.node.transfers().await[0].state == "done").await;
        shutdown(vec![a, proxy]).await;
    });
}

#[test]
fn who_dials_out_alone_learns_from_its_neighbour_that_it_can_be_connected_to() {
    run(async {
        let a = start(&[], &[]).await;
        let b = start(&[], &[&a]).await;
        eventually("a was dialled", async || a.node.status().await.reachable == "yes").await;
        eventually("b was called back", async || b.node.status().await.reachable == "yes").await;
        assert_eq!((a.counter("push_dials").await, b.counter("push_dials").await), (1, 0));
        shutdown(vec![a, b]).await;
    });
}

#[test]
fn a_peer_that_asked_for_it_gets_the_pushes_of_those_who_ask_us_by_http() {
    run(async {
        let a = start(&[], &[]).await;
        let mut raw = Raw::dial(a.addr()).await;
        let offer = OFFER.replace("\r\n\r\n", &format!("\r\nVendor-Message: 0.2\r\nGUID: {WALLED}\r\n\r\n"));
        raw.send(offer.as_bytes()).await;
        assert!(raw.read_head().await.contains("Vendor-Message: 0.2\r\n"));
        raw.send(AGREE.as_bytes()).await;
        raw.send(&bytes(&Frame::new(WALLED, Kind::Vendor, 1, Vendor::proxy_please().encode()))).await;
        let list = Vendor::decode(&raw.read_kind(Kind::Vendor).await.payload).expect("a message");
        assert!(matches!(list.said(), Ok(Said::Supported(_))), "{list:?}");
        let yes = raw.read_kind(Kind::Vendor).await;
        assert_eq!((yes.header.guid, yes.payload), (WALLED, Vendor::proxy_yes(a.addr()).encode()));

        let ask = async |target: &str, node: &str| {
            let mut http = Raw::dial(a.addr()).await;
            http.send(format!("GET {target} HTTP/1.1\r\nX-Node: {node}\r\n\r\n").as_bytes()).await;
            http.read_head().await.split(' ').nth(1).expect("a code").to_owned()
        };
        let hex = format!("/gnet/push-proxy?guid={WALLED}");
        assert_eq!(ask(&hex, "127.0.0.1:7777").await, "202");
        let push = Push::decode(&raw.read_kind(Kind::Push).await.payload).expect("a push");
        assert_eq!((push.servent, push.host().to_string()), (WALLED, "127.0.0.1:7777".to_owned()));
        assert_eq!(ask(&hex, "8.8.8.8:7777").await, "400", "a third host");
        assert_eq!(ask("/gnutella/push-proxy?ServerId=O53X", "127.0.0.1:7777").await, "400", "no GUID");
        let base32 = "/gnutella/push-proxy?ServerId=O53XO53XO53XO53XO53XO53XO4";
        assert_eq!(ask(base32, "127.0.0.1:7778").await, "202");
        assert_eq!(Push::decode(&raw.read_kind(Kind::Push).await.payload).expect("a push").host().port(), 7778);
        let other = format!("/gnet/push-proxy?guid={}", Guid([1; 16]));
        assert_eq!(ask(&other, "127.0.0.1:7777").await, "410");
        drop(raw);
        eventually("it is its proxy no more", async || ask(&hex, "127.0.0.1:7777").await == "410").await;
        shutdown(vec![a]).await;
    });
}
