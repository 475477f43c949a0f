//! Host caches: asked when they are configured and nobody is there, and not otherwise.

mod node_support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc;

use filbert::app::Node;
use node_support::{eventually, options, run, shutdown, start, start_with};

/// A GWebCache that answers once with this body; what it was asked comes through the channel.
fn cache(body: String) -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("an address");
    let (tell, asked) = mpsc::channel();
    std::thread::spawn(move || {
        let Ok((mut stream, _)) = listener.accept() else { return };
        let mut head = [0; 2048];
        let n = stream.read(&mut head).unwrap_or(0);
        let _ = tell.send(String::from_utf8_lossy(&head[..n]).into_owned());
        let _ = write!(stream, "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n{body}");
    });
    (format!("http://{addr}/gwc.php"), asked)
}

#[test]
fn a_lonely_servent_asks_its_cache_and_is_linked_to_whom_it_names() {
    run(async {
        let host = start(&[], &[]).await;
        let (url, asked) = cache(format!("h|{}|12\nu|http://elsewhere/|1\n", host.addr()));
        let lonely = start_with(&[], &[], |options| {
            options.only_listed = false;
            options.bootstrap = vec![url];
        })
        .await;
        eventually("they are linked", async || lonely.node.status().await.neighbours == 1).await;
        let asked = asked.recv().expect("it was asked");
        assert!(asked.starts_with("GET /gwc.php?client=FLBT&version="), "{asked}");
        assert!(asked.contains("&get=1&net=gnutella HTTP/1.1\r\n"), "{asked}");
        shutdown(vec![host, lonely]).await;
    });
}

#[test]
fn who_has_peers_or_no_cache_asks_nobody_and_a_cache_that_lies_is_named() {
    run(async {
        let (url, asked) = cache("h|127.0.0.1:1|1\n".to_owned());
        let host = start(&[], &[]).await;
        let content = start_with(&[], &[&host], |options| options.bootstrap = vec![url]).await;
        let (liar, _asked) = cache("<html>no hosts here</html>".to_owned());
        let misled = start_with(&[], &[], |options| options.bootstrap = vec![liar]).await;
        eventually("it is said", async || {
            misled.node.status().await.warnings.iter().any(|warning| warning.contains("its answer names no host"))
        })
        .await;
        // By then three seconds have passed for the other one as well.
        assert!(asked.try_recv().is_err(), "it has a peer");
        shutdown(vec![host, content, misled]).await;
    });
}

#[test]
fn a_restart_does_not_ask_a_cache_again_within_the_hour() {
    run(async {
        let (url, asked) = cache("<html>no hosts here</html>".to_owned());
        let dir = tempfile::tempdir().expect("a folder");
        let begin = async |caches: Vec<String>| {
            let mut options = options(dir.path());
            options.bootstrap = caches;
            Node::start(options).await.expect("it starts")
        };
        let said = async |node: &Node, what: &str| {
            eventually("it is said", async || {
                node.status().await.warnings.iter().any(|warning| warning.contains(what))
            })
            .await;
        };
        let node = begin(vec![url.clone()]).await;
        said(&node, "its answer names no host").await;
        assert!(asked.recv().is_ok(), "it was asked");
        node.shutdown().await;
        // Another one, asked in the same round, tells when that round is over.
        let (other, _asked) = cache("nor here".to_owned());
        let node = begin(vec![url.clone(), other.clone()]).await;
        said(&node, &format!("the host cache {other} does not help: its answer names no host")).await;
        let warnings = node.status().await.warnings;
        assert!(!warnings.iter().any(|warning| warning.contains(&url)), "it was not tried again: {warnings:?}");
        node.shutdown().await;
    });
}
