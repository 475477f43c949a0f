//! A neighbour that does not read: what waits for it is bounded, what is dropped is counted, nobody else waits.

mod node_support;

use bytes::BytesMut;
use filbert::wire::query::Query;
use filbert::wire::{Frame, Guid, Kind};
use node_support::{Raw, eventually, run, shutdown, start};

#[test]
fn queries_for_a_neighbour_that_does_not_read_are_dropped_and_counted_there() {
    run(async {
        let a = start(&[("reachable.txt", b"x")], &[]).await;
        let b = start(&[], &[&a]).await;
        let deaf = Raw::link(a.addr()).await;
        eventually("both are linked", async || a.node.peers().await.len() == 2).await;
        let mut sent = 0;
        // The kernel takes up to 40 MB for the deaf one before its queue with us begins to grow.
        for n in 0..250u8 {
            let mut asker = Raw::link(a.addr()).await;
            // Within the burst that each neighbour has, of which each takes seven, so that none is dropped for its rate.
            for m in 0..60u16 {
                let mut guid = [n; 16];
                guid[..2].copy_from_slice(&m.to_le_bytes());
                let text = format!("{} {m}", "long words ".repeat(300));
                let mut bytes = BytesMut::new();
                Frame::new(Guid(guid), Kind::Query, 2, Query::new(&text, &[]).encode()).encode(&mut bytes);
                asker.send(&bytes).await;
                sent += 1;
                if sent % 30 == 0 {
                    eventually("b has them all", async || b.counter("queries_received").await == sent).await;
                }
            }
            drop(asker);
            if a.counter("dropped_queue_full").await > 0 {
                break;
            }
        }
        let peers = a.node.peers().await;
        let full: Vec<_> = peers.iter().filter(|peer| peer.drops.contains_key("queue_full")).collect();
        assert_eq!(full.len(), 1, "at the deaf one alone: {peers:?}");
        assert_eq!(full[0].vendor, "by hand/1.0");
        let queued = full[0].drops["queue_full"] + full[0].queries_out;
        assert!(queued <= sent && sent - queued < 100, "what is kept for it is bounded: {sent} sent, {full:?}");
        // It may still be busy holding that many long queries against its files.
        eventually("the others are served", async || b.search("reachable", None, 2000).await.0.len() == 1).await;
        drop(deaf);
        shutdown(vec![a, b]).await;
    });
}
