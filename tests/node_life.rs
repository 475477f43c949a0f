//! A servent begins, keeps what it must, and leaves nothing behind.

mod node_support;

use filbert::app::view::EventView;
use filbert::app::{ErrorCode, Node, SearchRequest};
use filbert::disk::Home;
use futures::StreamExt;
use node_support::{eventually, options, run, shutdown, start, start_with};

#[test]
fn two_servents_link_and_a_shutdown_frees_port_home_and_neighbour() {
    run(async {
        let a = start(&[], &[]).await;
        let b = start(&[], &[&a]).await;
        eventually("a sees b", async || a.node.status().await.neighbours == 1).await;
        assert_eq!(b.link_to(&a).await.direction, "out");
        assert_eq!(a.link_to(&b).await.direction, "in");
        let (addr, home) = (a.addr(), Home::at(&a.dir.path().join("home")));
        let name = a.node.status().await.servent;

        let in_use = Node::start(filbert::app::Options { home: home.clone(), ..options(a.dir.path()) }).await;
        assert_eq!(in_use.map(|_| ()).map_err(|error| error.code), Err(ErrorCode::InUse));

        a.node.shutdown().await;
        a.node.shutdown().await;
        std::net::TcpListener::bind(addr).expect("the port is free");
        eventually("b notices", async || b.node.status().await.neighbours == 0).await;

        let again = Node::start(filbert::app::Options { home, listen: addr, ..options(a.dir.path()) }).await;
        let again = again.expect("the home is free");
        assert_eq!(again.status().await.servent, name, "it keeps its name");
        again.shutdown().await;
        b.node.shutdown().await;
    });
}

#[test]
fn a_taken_port_is_an_error_if_it_was_asked_for_and_else_the_next_one_is_taken() {
    run(async {
        let a = start(&[], &[]).await;
        let dir = tempfile::tempdir().expect("a directory");
        let asked = filbert::app::Options { listen: a.addr(), ..options(dir.path()) };
        let error = Node::start(asked.clone()).await.expect_err("the port is taken");
        assert_eq!(error.code, ErrorCode::InUse);
        assert!(error.to_string().contains("Try --listen 127.0.0.1:0"), "{error}");

        let b = Node::start(filbert::app::Options { listen_given: false, ..asked }).await.expect("the next one");
        assert!(b.listen_addr().port() > a.addr().port());
        assert!(b.status().await.warnings.iter().any(|warning| warning.contains("is in use")));
        b.shutdown().await;
        shutdown(vec![a]).await;
    });
}

#[test]
fn a_search_without_neighbours_says_what_to_do_next() {
    run(async {
        let a = start(&[], &[]).await;
        let request = SearchRequest { query: "x".into(), ttl: None, wait_ms: Some(200), max: None };
        let error = a.try_search(request).await.expect_err("there is nobody");
        assert_eq!(error.code, ErrorCode::NotConnected);
        for words in ["No peers yet", "filbert connect HOST", "filbert hosts import"] {
            assert!(error.to_string().contains(words), "{error}");
        }
        let bad = a.node.search(SearchRequest { query: "\"".into(), ttl: None, wait_ms: None, max: None }).await;
        assert_eq!(bad.map(|_| ()).map_err(|error| error.code), Err(ErrorCode::Usage));
        shutdown(vec![a]).await;
    });
}

#[test]
fn connect_and_disconnect_tell_how_it_went() {
    run(async {
        let (a, b) = (start(&[], &[]).await, start(&[], &[]).await);
        let view = a.node.connect(b.addr().to_string()).await.expect("linked");
        assert_eq!(view.addr, b.addr().to_string());
        assert_eq!(a.node.connect(b.addr().to_string()).await.expect("still").addr, view.addr);
        a.node.disconnect(view.addr.clone()).await.expect("it was linked");
        assert_eq!(a.node.peers().await.len(), 0);
        let gone = a.node.disconnect(view.addr).await.expect_err("it is not linked any more");
        assert_eq!(gone.code, ErrorCode::NotFound);

        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port");
        let nobody = a.node.connect(free.to_string()).await.expect_err("nobody listens there");
        assert!(nobody.message.contains("nobody listens there"), "{nobody}");
        let itself = a.node.connect(a.addr().to_string()).await.expect_err("it is itself");
        assert_eq!(itself.code, ErrorCode::Refused, "{itself}");
        assert_eq!(a.node.connect("a:b:c".into()).await.expect_err("no host").code, ErrorCode::Usage);
        shutdown(vec![a, b]).await;
    });
}

#[test]
fn hosts_are_kept_for_the_next_run() {
    run(async {
        let a = start(&[], &[]).await;
        let b = start_with(&[], &[&a], |options| options.only_listed = false).await;
        let added = b.node.import_hosts(vec!["# mine".into(), "10.1.2.3".into(), "10.1.2.3:6346".into()]).await;
        assert_eq!((added.added, added.known, added.refused), (1, 1, 0));
        b.node.shutdown().await;
        let again =
            Node::start(filbert::app::Options { only_listed: false, ..options(b.dir.path()) }).await.expect("again");
        eventually("linked to the host of the earlier run", async || again.status().await.neighbours == 1).await;
        let hosts: Vec<_> = again.hosts().await.into_iter().map(|host| host.addr).collect();
        assert!(hosts.contains(&"10.1.2.3:6346".to_owned()), "{hosts:?}");
        again.shutdown().await;
        shutdown(vec![a]).await;
    });
}

#[test]
fn what_is_shared_can_be_found_by_name_and_content_one_link_away() {
    run(async {
        let a = start(&[("Blue Train.ogg", b"one"), ("red train.txt", b"two")], &[]).await;
        let b = start(&[("blue moon.txt", b"three")], &[&a]).await;
        eventually("hashed", async || a.node.status().await.hashed == 2).await;
        let (hits, done) = b.search("blue train", None, 500).await;
        assert_eq!(hits.len(), 1, "{hits:?}");
        assert_eq!((hits[0].hit, hits[0].name.as_str(), hits[0].size, hits[0].hops), (1, "Blue Train.ogg", 3, 1));
        assert_eq!(hits[0].source.addr, a.addr().to_string());
        assert_eq!((done.hits, done.files, done.neighbours_asked), (1, 1, 1));
        let urn = hits[0].urn.clone().expect("it is hashed");
        let (by_content, _) = b.search(&urn, None, 500).await;
        assert_eq!(by_content.len(), 1, "{urn}");
        assert_eq!(by_content[0].name, "Blue Train.ogg");
        assert_eq!(a.counter("queries_answered").await, 2);
        shutdown(vec![a, b]).await;
    });
}

#[test]
fn servents_meet_over_ipv6_as_well() {
    run(async {
        let v6 = |options: &mut filbert::app::Options| options.listen = "[::1]:0".parse().expect("an address");
        let a = start_with(&[("six.txt", b"6")], &[], v6).await;
        let b = start_with(&[], &[&a], v6).await;
        let (hits, _) = b.search("six", None, 500).await;
        assert_eq!(hits.len(), 1);
        assert_eq!(hits[0].source.addr, a.addr().to_string());
        shutdown(vec![a, b]).await;
    });
}

#[test]
fn who_listens_everywhere_tells_the_address_by_which_peers_see_it() {
    run(async {
        let everywhere = |options: &mut filbert::app::Options| {
            options.listen = "0.0.0.0:0".parse().expect("an address");
        };
        let a = start_with(&[("somewhere.txt", b"x")], &[], everywhere).await;
        let b = start(&[], &[]).await;
        let at = format!("127.0.0.1:{}", a.addr().port());
        b.node.connect(at.clone()).await.expect("linked");
        let (hits, _) = b.search("somewhere", None, 500).await;
        assert_eq!(hits.iter().map(|hit| hit.source.addr.as_str()).collect::<Vec<_>>(), [at]);
        shutdown(vec![a, b]).await;
    });
}

#[test]
fn who_chose_no_address_is_found_and_gives_by_ipv4_and_ipv6() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return; // This machine has no IPv6.
    }
    run(async {
        let everywhere = |options: &mut filbert::app::Options| {
            (options.listen, options.listen_given) = ("0.0.0.0:0".parse().expect("an address"), false);
        };
        let a = start_with(&[("both.txt", b"by either")], &[], everywhere).await;
        let port = a.addr().port();
        let v6 = |options: &mut filbert::app::Options| options.listen = "[::1]:0".parse().expect("an address");
        let (b, c) = (start(&[("four.txt", b"v4")], &[]).await, start_with(&[("six.txt", b"v6")], &[], v6).await);
        b.node.connect(format!("127.0.0.1:{port}")).await.expect("linked by IPv4");
        c.node.connect(format!("[::1]:{port}")).await.expect("linked by IPv6");
        eventually("both are there", async || a.node.peers().await.len() == 2).await;
        let mut peers: Vec<_> = a.node.peers().await.into_iter().map(|peer| peer.addr).collect();
        let mut there = [b.addr().to_string(), c.addr().to_string()];
        peers.sort();
        there.sort();
        assert_eq!(peers, there);
        for (from, words) in [(&b, "both"), (&c, "both"), (&a, "four"), (&a, "six"), (&c, "four")] {
            let (hits, _) = from.search(words, None, 500).await;
            assert_eq!(hits.len(), 1, "{words}");
        }
        shutdown(vec![a, b, c]).await;
    });
}

#[test]
fn what_happens_is_told_to_those_who_listen() {
    run(async {
        let a = start(&[("told.txt", b"x")], &[]).await;
        let mut events = a.node.events();
        let b = start(&[], &[&a]).await;
        b.search("told", None, 300).await;
        let from = b.addr().to_string();
        b.node.shutdown().await;
        let mut told = Vec::new();
        while told.len() < 3 {
            match events.next().await.expect("it goes on") {
                EventView::NeighbourUp { addr } => told.push(format!("up {addr}")),
                EventView::Query { text, hops, answered, .. } => told.push(format!("{text} {hops} {answered}")),
                EventView::NeighbourDown { addr, reason } => told.push(format!("down {addr}: {reason}")),
                _ => {}
            }
        }
        let bye = format!("down {from}: it said bye: 200 Shutting down");
        assert_eq!(told, [format!("up {from}"), "told 1 1".to_owned(), bye]);
        a.node.shutdown().await;
        while events.next().await.is_some() {}
    });
}

#[test]
fn a_private_servent_searches_beside_the_one_that_holds_the_home_and_shares_nothing() {
    run(async {
        let a = start(&[("mine.txt", b"a")], &[]).await;
        let b = start(&[("theirs.txt", b"b")], &[]).await;
        let private = filbert::app::Options {
            private: true,
            share: vec![a.dir.path().join("share")],
            connect: vec![b.addr().to_string()],
            ..options(a.dir.path())
        };
        let node = Node::start(private).await.expect("no lock is needed");
        let request = SearchRequest { query: "theirs".into(), ttl: None, wait_ms: Some(500), max: Some(1) };
        let search = node.search(request).await.expect("it waits for the first neighbour");
        let lines: Vec<_> = node.hits(search.id).await.expect("hits").collect().await;
        assert_eq!(lines.len(), 2, "a hit and the end: {lines:?}");
        let status = node.status().await;
        assert_eq!(status.files, 0);
        assert_ne!(status.servent, a.node.status().await.servent, "two servents never go by one name");
        assert_eq!(b.search("mine", None, 200).await.0.len(), 0);
        node.shutdown().await;
        shutdown(vec![a, b]).await;
    });
}

#[test]
fn a_name_with_several_addresses_is_linked_at_the_one_that_answers() {
    run(async {
        let a = start(&[], &[]).await;
        // Often ::1 first, where nobody listens.
        let by_name = format!("localhost:{}", a.addr().port());
        let b = start(&[], &[]).await;
        assert_eq!(b.node.connect(by_name.clone()).await.expect("linked").addr, a.addr().to_string());
        let c = start_with(&[], &[], |options| options.connect = vec![by_name]).await;
        eventually("linked at the start as well", async || c.node.status().await.neighbours == 1).await;
        shutdown(vec![a, b, c]).await;
    });
}
