//! What the servent knows, in words and as views.

use std::collections::BTreeMap;

use crate::base::Instant;
use crate::proto::{
    CloseReason, Counters, DialFailure, Direction, HostInfo, HostSource, Outcome, PeerInfo, Role, Teller, Traffic,
};
use crate::wire::print::is_treacherous;

use super::view::{HostView, PeerView, TrafficView};

/// Why a connection ended, for people.
pub(super) fn reason(reason: &CloseReason) -> String {
    match reason {
        CloseReason::Dial(DialFailure::Refused) => "nobody listens there".into(),
        CloseReason::Dial(DialFailure::TimedOut) => "no answer".into(),
        CloseReason::Dial(DialFailure::Unreachable) => "there is no way to it".into(),
        CloseReason::Closed => "it closed the connection".into(),
        CloseReason::Broken => "the connection broke".into(),
        CloseReason::HandshakeTimeout => "it did not finish the handshake in time".into(),
        CloseReason::Refused(code, words) => format!("it refused: {code} {}", plain(words)),
        CloseReason::WeRefused(code, words) => format!("we refused: {code} {}", plain(words)),
        CloseReason::Garbage(what) => format!("it sent what no servent sends ({})", plain(what)),
        CloseReason::Bye(code, words) => format!("it said bye: {code} {}", plain(words)),
        CloseReason::Silent => "it was silent for too long".into(),
        CloseReason::Replaced => "it made room for another".into(),
        CloseReason::Ourselves => "it is this servent itself".into(),
        CloseReason::Duplicate => "it is linked already".into(),
        CloseReason::Role => "this servent changed its role".into(),
        CloseReason::User => "you wished it".into(),
        CloseReason::Shutdown => "this servent goes down".into(),
    }
}

/// A stranger's words, safe to show in a line.
fn plain(words: &str) -> String {
    words.chars().filter(|c| !is_treacherous(*c)).take(120).collect()
}

/// A peer as others see it.
pub(super) fn peer(info: &PeerInfo, now: Instant) -> PeerView {
    let traffic = |traffic: Traffic| TrafficView { msgs: traffic.msgs, bytes: traffic.bytes };
    PeerView {
        addr: info.addr.to_string(),
        vendor: plain(&info.agent),
        role: role(info.role).to_owned(),
        direction: match info.direction {
            Direction::Out => "out",
            Direction::In => "in",
        }
        .to_owned(),
        hops_avg: info.hops_avg_milli as f64 / 1000.0,
        received: traffic(info.received),
        sent: traffic(info.sent),
        duplicates: info.duplicates_in,
        queries_in: info.queries_in,
        queries_out: info.queries_out,
        table_slots: info.table.map(|(slots, _)| slots as u64),
        table_taken: info.table.map(|(_, taken)| taken as u64),
        kept_back: info.kept_back,
        encrypted: info.key.is_some(),
        key: info.key.as_ref().map(key),
        drops: info.drops.iter().map(|(reason, &n)| (reason.word().to_owned(), n)).collect(),
        since_s: now.since(info.since).as_secs(),
    }
}

/// What a key is told apart by: its first 16 hex digits.
pub(super) fn key(key: &[u8; 32]) -> String {
    data_encoding::HEXLOWER.encode(&key[..8])
}

/// `ultrapeer` or `leaf`.
pub(super) fn role(role: Role) -> &'static str {
    match role {
        Role::Ultrapeer => "ultrapeer",
        Role::Leaf => "leaf",
    }
}

/// A host as others see it.
pub(super) fn host(info: &HostInfo, connected: bool, now: Instant) -> HostView {
    let source = match info.source {
        HostSource::User => "user",
        HostSource::Cache => "cache",
        HostSource::Lan => "lan",
        HostSource::DnsSd => "dns-sd",
        HostSource::Peer => "peer",
        HostSource::Stranger => "stranger",
    };
    HostView {
        addr: info.addr.to_string(),
        source: source.to_owned(),
        teller: Some(teller(info.teller).to_owned()),
        age_s: info.heard.map(|heard| heard.age(now).as_secs()),
        tried_s: info.tried.map(|tried| tried.age(now).as_secs()),
        outcome: info.outcome.map(|it| outcome(it).to_owned()),
        leaf_slots: info.slots.map(|slots| slots.leaves),
        ultrapeer_slots: info.slots.map(|slots| slots.ultrapeers),
        failures: info.failures,
        connected,
    }
}

/// Who may have named a host, by name.
pub(super) const TELLERS: [(Teller, &str); 8] = [
    (Teller::User, "user"),
    (Teller::Earlier, "earlier"),
    (Teller::Lan, "lan"),
    (Teller::DnsSd, "dns-sd"),
    (Teller::Peer, "peer"),
    (Teller::XTry, "x-try"),
    (Teller::Pong, "pong"),
    (Teller::HostCache, "cache"),
];

/// What may come of a try to link to a host, by name.
pub(super) const OUTCOMES: [(Outcome, &str); 5] = [
    (Outcome::Connected, "connected"),
    (Outcome::Refused, "refused"),
    (Outcome::Busy, "busy"),
    (Outcome::TimedOut, "timed out"),
    (Outcome::Failed, "failed"),
];

/// Who named a host.
pub(super) fn teller(teller: Teller) -> &'static str {
    TELLERS.iter().find(|(it, _)| *it == teller).map_or("earlier", |(_, word)| word)
}

/// The reverse.
pub(super) fn teller_of(word: &str) -> Teller {
    TELLERS.iter().find(|(_, it)| *it == word).map_or(Teller::Earlier, |(teller, _)| *teller)
}

/// What came of a try.
pub(super) fn outcome(outcome: Outcome) -> &'static str {
    OUTCOMES.iter().find(|(it, _)| *it == outcome).map_or("failed", |(_, word)| word)
}

/// The reverse.
pub(super) fn outcome_of(word: &str) -> Option<Outcome> {
    OUTCOMES.iter().find(|(_, it)| *it == word).map(|(outcome, _)| *outcome)
}

/// The servent's totals by name.
pub(super) fn counters(counters: &Counters) -> BTreeMap<String, u64> {
    let totals = [
        ("queries_originated", counters.queries_originated),
        ("queries_received", counters.queries_received),
        ("queries_forwarded", counters.queries_forwarded),
        ("query_copies", counters.query_copies),
        ("queries_searched", counters.queries_searched),
        ("queries_answered", counters.queries_answered),
        ("hits_received", counters.hits_received),
        ("hits_sent", counters.hits_sent),
        ("hits_promised", counters.hits_promised),
        ("hits_sent_udp", counters.hits_sent_udp),
        ("hits_claimed", counters.hits_claimed),
        ("hits_received_udp", counters.hits_received_udp),
        ("hits_routed", counters.hits_routed),
        ("pushes_routed", counters.pushes_routed),
        ("pushes_proxied", counters.pushes_proxied),
        ("pushes_sent", counters.pushes_sent),
        ("pushes_received", counters.pushes_received),
        ("pings_received", counters.pings_received),
        ("pings_sent", counters.pings_sent),
        ("pongs_received", counters.pongs_received),
        ("pongs_sent", counters.pongs_sent),
        ("duplicates", counters.duplicates),
        ("msgs_in", counters.received.msgs),
        ("bytes_in", counters.received.bytes),
        ("msgs_out", counters.sent.msgs),
        ("bytes_out", counters.sent.bytes),
        ("udp_msgs_in", counters.udp_received.msgs),
        ("udp_bytes_in", counters.udp_received.bytes),
        ("udp_msgs_out", counters.udp_sent.msgs),
        ("udp_bytes_out", counters.udp_sent.bytes),
        ("announcements", counters.announcements),
        ("lan_answers", counters.lan_answers),
        ("dials", counters.dials),
        ("dials_failed", counters.dials_failed),
        ("links_out", counters.links_out),
        ("links_in", counters.links_in),
        ("refused_by_them", counters.refused_by_them),
        ("refused_by_us", counters.refused_by_us),
        ("crawled", counters.crawled),
        ("dynamic_queries", counters.dynamic_queries),
        ("tables_received", counters.tables_received),
        ("tables_sent", counters.tables_sent),
        ("handshakes_timed_out", counters.handshakes_timed_out),
        ("links_lost", counters.links_lost),
        ("links_malformed", counters.links_malformed),
    ];
    let drops = counters.drops.by_reason().into_iter().map(|(reason, n)| (format!("dropped_{}", reason.word()), n));
    totals.into_iter().map(|(name, n)| (name.to_owned(), n)).chain(drops).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_words_cannot_write_on_a_terminal() {
        let evil = CloseReason::Bye(400, format!("\x1b[2J\u{202e}gone{}", "!".repeat(500)));
        let words = reason(&evil);
        assert!(words.starts_with("it said bye: 400 [2Jgone!"), "{words}");
        assert!(words.len() < 200);
    }
}
