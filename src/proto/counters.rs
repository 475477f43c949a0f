//! What a servent counts: totals since it began. Per-link numbers are in [`super::PeerInfo`].

use std::collections::BTreeMap;

use super::DropReason;

/// Drops by reason: a small array, because the router counts on its fastest path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drops([u64; DropReason::ALL.len()]);

impl Drops {
    /// One more.
    pub(super) fn count(&mut self, reason: DropReason) {
        self.0[reason as usize] += 1;
    }

    /// How many were dropped for `reason`.
    pub fn get(&self, reason: DropReason) -> u64 {
        self.0[reason as usize]
    }

    /// How many were dropped in all.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The reasons that occurred.
    pub fn by_reason(&self) -> BTreeMap<DropReason, u64> {
        DropReason::ALL.into_iter().map(|reason| (reason, self.get(reason))).filter(|&(_, n)| n > 0).collect()
    }
}

/// Totals of one servent since it began. They never go down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Queries of our own.
    pub queries_originated: u64,
    /// Queries that arrived, duplicates and dropped ones included.
    pub queries_received: u64,
    /// Queries of others that we sent on, counted once however many links they left by.
    pub queries_forwarded: u64,
    /// Copies of queries, own and others', that left for a link: the cost of flooding. Those that wait for
    /// a slow link count when they leave.
    pub query_copies: u64,
    /// Queries that we held against our files ([`super::Event::QueryReceived`]).
    pub queries_searched: u64,
    /// Queries that we answered with at least one hit.
    pub queries_answered: u64,
    /// Queries, own and of leaves, that asked one neighbour after the other.
    pub dynamic_queries: u64,
    /// Tables of words that neighbours told us, changed ones included.
    pub tables_received: u64,
    /// Tables of words, or changes of them, that we told.
    pub tables_sent: u64,
    /// Hits for our own searches.
    pub hits_received: u64,
    /// Hits that we sent for our files.
    pub hits_sent: u64,
    /// Answers to queries that we told of by UDP.
    pub hits_promised: u64,
    /// Hits of ours that went by UDP; they count among those sent.
    pub hits_sent_udp: u64,
    /// Promises of others that we took up.
    pub hits_claimed: u64,
    /// Hits that came by UDP; they count among those received.
    pub hits_received_udp: u64,
    /// Hits of others that we routed back.
    pub hits_routed: u64,
    /// Pushes that we routed on.
    pub pushes_routed: u64,
    /// Pushes that we sent to peers as their push proxy.
    pub pushes_proxied: u64,
    /// Pushes that we sent.
    pub pushes_sent: u64,
    /// Pushes that were for us.
    pub pushes_received: u64,
    /// Pings that arrived.
    pub pings_received: u64,
    /// Pings that we sent.
    pub pings_sent: u64,
    /// Pongs that arrived.
    pub pongs_received: u64,
    /// Pongs that we sent, from the cache too.
    pub pongs_sent: u64,
    /// Duplicate queries that were suppressed, our own that came back included.
    pub duplicates: u64,
    /// What was dropped, by reason.
    pub drops: Drops,
    /// Messages and bytes received on links.
    pub received: super::Traffic,
    /// Messages and bytes sent on links.
    pub sent: super::Traffic,
    /// Messages and bytes that came by UDP.
    pub udp_received: super::Traffic,
    /// Messages and bytes sent by UDP, announcements aside.
    pub udp_sent: super::Traffic,
    /// Announcements on the local network.
    pub announcements: u64,
    /// Answers to them that named a host.
    pub lan_answers: u64,
    /// Dials begun.
    pub dials: u64,
    /// Dials that did not lead to a transport connection.
    pub dials_failed: u64,
    /// Links that came to be because we dialled.
    pub links_out: u64,
    /// Links that came to be because a peer dialled us.
    pub links_in: u64,
    /// Handshakes that the other side refused.
    pub refused_by_them: u64,
    /// Handshakes that we refused.
    pub refused_by_us: u64,
    /// Crawlers that were told who is linked here.
    pub crawled: u64,
    /// Handshakes that did not come to an end in time.
    pub handshakes_timed_out: u64,
    /// Links that ended.
    pub links_lost: u64,
    /// Links that we ended because too much that came by them was malformed.
    pub links_malformed: u64,
}
