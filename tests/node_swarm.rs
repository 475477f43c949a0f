//! Servents that fetch one file together: each is a source of what it has, and tells the others of itself.

mod node_support;
mod transfer_support;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use filbert::app::view::TransferView;
use filbert::app::{GetRequest, Node};
use filbert::base::Speed;
use node_support::{Peer, Raw, eventually, finished, run, shutdown, start, start_with};
use transfer_support::{MIB, Script, asked, content, pause, send, urn};

/// The file, from there.
fn magnet(bytes: &[u8], sources: &[SocketAddr]) -> GetRequest {
    let urn = urn(bytes);
    let sources: String = sources.iter().map(|addr| format!("&xs=http://{addr}/uri-res/N2R?{urn}")).collect();
    let what = format!("magnet:?xt={urn}&xl={}&dn=together.bin{sources}", bytes.len());
    GetRequest { what, ..Default::default() }
}

fn from(view: &TransferView, addr: SocketAddr) -> u64 {
    view.from.iter().find(|from| from.addr == addr.to_string()).map_or(0, |from| from.bytes)
}

fn check(view: &TransferView, bytes: &[u8]) {
    assert_eq!((view.state.as_str(), view.verified.as_deref()), ("done", Some("sha1")), "{view:?}");
    assert!(std::fs::read(view.path.as_ref().expect("a path")).expect("there") == bytes);
}

/// A source that has only some of the file, for ever.
fn part(bytes: &[u8], has: std::ops::Range<usize>) -> Script {
    let all = bytes.to_vec();
    let said = format!("X-Available-Ranges: bytes {}-{}", has.start, has.end - 1);
    Script::new(move |head, stream| {
        let (first, last) = asked(head);
        if !has.contains(&first) {
            return send(stream, &format!("HTTP/1.1 416 Not yet\r\nContent-Length: 0\r\n{said}\r\n\r\n"), b"");
        }
        let end = last.saturating_add(1).min(has.end);
        let said = format!(
            "HTTP/1.1 206 Part\r\nContent-Range: bytes {first}-{}/{}\r\nContent-Length: {}\r\n{said}\r\n\r\n",
            end - 1,
            all.len(),
            end - first
        );
        // Three MB/s: they get to know each other meanwhile.
        send(stream, &said, b"")
            && all[first..end].chunks(64 << 10).all(|piece| {
                pause(Duration::from_millis(20));
                send(stream, "", piece)
            })
    })
}

#[test]
fn two_that_have_a_half_each_complete_each_other() {
    run(async {
        let bytes = content(6 * MIB + 333, 1);
        let (low, high) = (part(&bytes, 0..3 * MIB), part(&bytes, 3 * MIB..bytes.len()));
        let (a, b) = (start(&[], &[]).await, start(&[], &[]).await);
        let at_a = a.node.get(magnet(&bytes, &[low.addr])).await.expect("begun").id;
        let at_b = b.node.get(magnet(&bytes, &[high.addr])).await.expect("begun").id;
        eventually("each has its half", async || {
            let done = async |node: &Node| node.transfers().await.iter().map(|view| view.done).sum::<u64>();
            done(&a.node).await >= 3 * MIB as u64 && done(&b.node).await >= 3 * MIB as u64
        })
        .await;
        // Nobody else has it any more. Only one of them is told of the other: the other hears of it.
        drop((low, high));
        a.node.get(magnet(&bytes, &[b.addr()])).await.expect("joined");
        let (view_a, view_b) = (finished(&a.node, at_a).await, finished(&b.node, at_b).await);
        check(&view_a, &bytes);
        check(&view_b, &bytes);
        assert!(from(&view_a, b.addr()) >= 3 * MIB as u64, "{view_a:?}");
        assert!(from(&view_b, a.addr()) >= 3 * MIB as u64, "{view_b:?}");
        shutdown(vec![a, b]).await;
    });
}

#[test]
fn those_who_fetch_one_file_of_a_slow_source_share_the_load() {
    run(async {
        let bytes = content(24 * MIB + 5, 2);
        let source =
            start_with(&[("together.bin", &bytes)], &[], |options| options.speeds.up = Speed::Bytes(6 << 20)).await;
        eventually("hashed", async || source.node.status().await.hashed == 1).await;
        let mut peers: Vec<Peer> = Vec::new();
        for _ in 0..4 {
            peers.push(start(&[], &[]).await);
        }
        let mut ids = Vec::new();
        for peer in &peers {
            ids.push(peer.node.get(magnet(&bytes, &[source.addr()])).await.expect("begun").id);
        }
        let mut of_source = 0;
        for (peer, id) in peers.iter().zip(ids) {
            let view = finished(&peer.node, id).await;
            check(&view, &bytes);
            of_source += from(&view, source.addr());
        }
        let times = of_source as f64 / bytes.len() as f64;
        // Alone each would have taken all of it: four times the file.
        assert!(times < 3.0, "the source gave {times} times the file to four: they do not help each other");
        peers.push(source);
        shutdown(peers).await;
    });
}

#[test]
fn a_hit_names_others_who_have_the_file() {
    // Who has no IPv6 address is told of none.
    names_others("127.0.0.1:0", &["10.0.0.9:7002", "127.0.0.1:7001"]);
}

#[test]
fn who_speaks_ipv6_is_told_of_those_who_are_there_too() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return; // This machine has no IPv6.
    }
    names_others("[::1]:0", &["10.0.0.9:7002", "127.0.0.1:7001", "[::1]:7003", "[fd00::9]:7004"]);
}

fn names_others(listen: &str, others: &[&str]) {
    run(async {
        let bytes = content(5000, 9);
        let here = |options: &mut filbert::app::Options| options.listen = listen.parse().expect("an address");
        let a = start_with(&[("shared tune.ogg", &bytes)], &[], here).await;
        let b = start_with(&[], &[&a], here).await;
        eventually("it is hashed", async || a.node.status().await.hashed == 1).await;
        eventually("a knows where it is", async || a.node.status().await.reachable == "yes").await;
        let alternates = async || {
            let (hits, _) = b.search("shared tune", None, 300).await;
            hits.first().map(|hit| hit.alternates.clone()).expect("a hit")
        };
        assert!(alternates().await.is_empty(), "it knows nobody else");
        // Whoever fetches it says who else has it.
        const ALL: &str = "127.0.0.1:7001, 10.0.0.9:7002, [::1]:7003, [fd00::9]:7004";
        let mut raw = Raw::dial(a.addr()).await;
        let urn = urn(&bytes);
        let request = format!("HEAD /uri-res/N2R?{urn} HTTP/1.1\r\nHost: x\r\nX-Alt: {ALL}\r\n\r\n");
        raw.send(request.as_bytes()).await;
        assert!(raw.read_head().await.starts_with("HTTP/1.1 200"));
        let mut named = alternates().await;
        named.sort();
        assert_eq!(named, others);
        shutdown(vec![a, b]).await;
    });
}

/// The alternates that an answer to this names, in order.
async fn told(raw: &mut Raw, urn: &str, headers: &str) -> Vec<String> {
    raw.send(format!("HEAD /uri-res/N2R?{urn} HTTP/1.1\r\nHost: x\r\n{headers}\r\n").as_bytes()).await;
    let head = raw.read_head().await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let alt = head.lines().find_map(|line| line.strip_prefix("X-Alt: ")).unwrap_or_default();
    let mut all: Vec<String> = alt.split(',').map(str::to_owned).collect();
    all.sort();
    all
}

#[test]
fn nobody_is_told_of_addresses_of_which_he_has_no_use() {
    run(async {
        let bytes = content(5000, 19);
        let urn = urn(&bytes).to_string();
        let a = start(&[("shared tune.ogg", &bytes)], &[]).await;
        eventually("it is hashed", async || a.node.status().await.hashed == 1).await;
        let mut one = Raw::dial(a.addr()).await;
        told(&mut one, &urn, "X-Alt: 127.0.0.1:7001, [::1]:7003\r\nX-Nalt: 127.0.0.1:7009\r\n").await;
        assert_eq!(told(&mut one, &urn, "").await, ["127.0.0.1:7001"], "it talks IPv4 and says nothing");
        assert_eq!(told(&mut one, &urn, "X-Features: fwalt/0.1, IP/6.4\r\n").await, ["[::1]:7003"]);
        let both = ["127.0.0.1:7001", "[::1]:7003"];
        assert_eq!(told(&mut one, &urn, "X-Features: fwalt/0.1, IP/6.0\r\n").await, both);
        assert_eq!(told(&mut one, &urn, "").await, both, "it is said once on a connection");
        assert_eq!(told(&mut Raw::dial(a.addr()).await, &urn, "").await, ["127.0.0.1:7001"], "another has not said it");
        shutdown(vec![a]).await;
    });
}

#[test]
fn answers_say_what_we_can_do() {
    let says = async |listen: &str, browse: bool| {
        let a = start_with(&[("a.ogg", b"one")], &[], |options| {
            (options.listen, options.browse) = (listen.parse().expect("an address"), browse);
        })
        .await;
        let mut raw = Raw::dial(a.addr()).await;
        raw.send(b"GET /get/7/nothing HTTP/1.1\r\nHost: x\r\n\r\n").await;
        let head = raw.read_head().await;
        shutdown(vec![a]).await;
        head.lines().find_map(|line| line.strip_prefix("X-Features: ").map(str::to_owned))
    };
    run(async {
        assert_eq!(says("127.0.0.1:0", true).await.as_deref(), Some("browse/1.0"));
        assert_eq!(says("127.0.0.1:0", false).await, None);
        if std::net::TcpListener::bind("[::1]:0").is_ok() {
            assert_eq!(says("[::1]:0", true).await.as_deref(), Some("browse/1.0, IP/6.0"));
        }
    });
}

#[test]
fn who_does_not_give_downloads_gives_nothing_and_is_named_to_nobody() {
    run(async {
        let bytes = content(4 * MIB + 99, 12);
        let urn = urn(&bytes);
        let heads = Arc::new(Mutex::new(Vec::new()));
        for gives in [true, false] {
            let (all, seen) = (bytes.clone(), Arc::clone(&heads));
            // It has the front half, and tells what it was asked with.
            let source = Script::new(move |head, stream| {
                seen.lock().expect("no panic").push((gives, head.to_owned()));
                let (first, last) = asked(head);
                let half = 2 * MIB;
                let said = format!("X-Available-Ranges: bytes 0-{}", half - 1);
                if first >= half {
                    return send(stream, &format!("HTTP/1.1 416 Not yet\r\nContent-Length: 0\r\n{said}\r\n\r\n"), b"");
                }
                let end = last.saturating_add(1).min(half);
                let length = end - first;
                let said = format!(
                    "HTTP/1.1 206 Part\r\nContent-Range: bytes {first}-{}/{}\r\nContent-Length: {length}\r\n{said}\r\n\r\n",
                    end - 1,
                    all.len(),
                );
                send(stream, &said, &all[first..end])
            });
            let a = start_with(&[], &[], |options| options.give_downloads = gives).await;
            let id = a.node.get(magnet(&bytes, &[source.addr])).await.expect("begun").id;
            eventually("it has a half", async || {
                a.node.transfers().await.iter().any(|view| view.id == id && view.done >= 2 * MIB as u64)
            })
            .await;
            // It asks again for the rest: with something to give, if it gives.
            let asked_again = async || {
                let heads = heads.lock().expect("no panic");
                heads.iter().filter(|(whose, _)| *whose == gives).count() >= 4
            };
            eventually("it asks for more", asked_again).await;
            let mut raw = Raw::dial(a.addr()).await;
            raw.send(format!("GET /uri-res/N2R?{urn} HTTP/1.1\r\nHost: x\r\nRange: bytes=0-9\r\n\r\n").as_bytes())
                .await;
            let answer = raw.read_head().await;
            assert_eq!(answer.starts_with("HTTP/1.1 206"), gives, "{answer}");
            assert_eq!(answer.starts_with("HTTP/1.1 404"), !gives, "{answer}");
            shutdown(vec![a]).await;
        }
        let heads = heads.lock().expect("no panic");
        let named = |gives: bool| heads.iter().any(|(whose, head)| *whose == gives && head.contains("X-Node: "));
        assert!(named(true), "who gives says where it listens: {heads:?}");
        assert!(!named(false), "who does not is not named: {heads:?}");
    });
}
