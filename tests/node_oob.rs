//! Hits by UDP between real servents on loopback: past the one that relays, after a promise and a claim.

mod node_support;

use std::net::UdpSocket;

use filbert::app::Options;
use filbert::proto::OutOfBand;
use filbert::wire::vendor::Vendor;
use filbert::wire::{Frame, Guid, Kind};
use node_support::{Peer, eventually, run, shutdown, start, start_with};

/// A searches through B, C shares; all at that address.
async fn chain(out_of_band: OutOfBand, listen: &str) -> [Peer; 3] {
    let here = |options: &mut Options| options.listen = listen.parse().expect("an address");
    let names: Vec<String> =
        (0..60).map(|n| format!("hazel nut {n:02} of a rather long name that takes its room.txt")).collect();
    let files: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), name.as_bytes())).collect();
    let b = start_with(&[], &[], here).await;
    let c = start_with(&files, &[&b], here).await;
    let of_a = |options: &mut Options| {
        here(options);
        options.out_of_band = out_of_band;
    };
    let a = start_with(&[], &[&b], of_a).await;
    [a, b, c]
}

#[test]
fn hits_go_by_udp_past_the_servent_between_them() {
    past_the_one_between("127.0.0.1:0");
}

#[test]
fn so_they_do_where_there_is_no_ipv4() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return; // This machine has no IPv6.
    }
    past_the_one_between("[::1]:0");
}

fn past_the_one_between(listen: &str) {
    run(async {
        let [a, b, c] = chain(OutOfBand::On, listen).await;
        let asked_by_udp = async || {
            a.search("hazel", None, 300).await;
            a.counter("hits_received_udp").await > 0
        };
        eventually("both are reached by UDP, and hits come that way", asked_by_udp).await;
        let found = a.node.doctor().await;
        assert!(found.iter().any(|finding| finding.check == "udp" && finding.state == "ok"), "{found:?}");
        let before = (b.counter("hits_routed").await, a.counter("hits_received_udp").await);
        let (hits, done) = a.search("hazel nut", None, 3000).await;
        assert_eq!((hits.len(), done.hits), (60, 60));
        assert!(hits.iter().all(|hit| hit.hops == 0 && hit.source.addr == c.addr().to_string()), "{hits:?}");
        assert_eq!(b.counter("hits_routed").await, before.0, "nothing went over links");
        assert!(a.counter("hits_received_udp").await >= before.1 + 5, "60 files take several datagrams");
        // A neighbour's hits come by the link.
        let (_, done) = b.search("hazel nut", None, 500).await;
        assert_eq!((done.hits, c.counter("hits_promised").await), (60, a.counter("hits_claimed").await));
        shutdown(vec![a, b, c]).await;
    });
}

#[test]
fn a_small_mesh_keeps_to_its_links() {
    run(async {
        let [a, b, c] = chain(OutOfBand::Auto, "127.0.0.1:0").await;
        let (hits, _) = a.search("hazel nut", None, 1500).await;
        assert_eq!(hits.len(), 60);
        assert!(hits.iter().all(|hit| hit.hops == 2));
        assert_eq!((a.counter("hits_received_udp").await, c.counter("hits_promised").await), (0, 0));
        shutdown(vec![a, b, c]).await;
    });
}

#[test]
fn strangers_offer_and_claim_hits_in_vain() {
    run(async {
        let a = start(&[("hazel nut.txt", b"x")], &[]).await;
        let stranger = UdpSocket::bind("127.0.0.1:0").expect("a port");
        stranger.set_nonblocking(true).expect("a socket");
        for n in 0..50 {
            let guid = Guid([n; 16]);
            for what in [Vendor::hits_here(255, true), Vendor::hits_please(255, Some(&[7; 8]))] {
                let mut bytes = bytes::BytesMut::new();
                Frame::new(guid, Kind::Vendor, 1, what.encode()).encode(&mut bytes);
                stranger.send_to(&bytes, a.addr()).expect("sent");
            }
        }
        eventually("they came", async || a.counter("udp_msgs_in").await == 100).await;
        assert_eq!(a.counter("udp_msgs_out").await, 0);
        shutdown(vec![a]).await;
    });
}
