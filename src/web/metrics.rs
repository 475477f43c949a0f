//! The numbers of `GET /metrics`, in the text format of Prometheus. `docs/grafana.json` draws them.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::process::Process;
use crate::app::view::{PeerView, ShareView, StatusView, TransferView};

/// All of them.
pub fn text(
    status: &StatusView,
    peers: &[PeerView],
    transfers: &[TransferView],
    shares: &[ShareView],
    process: Option<&Process>,
) -> String {
    let mut out = Exposition(String::with_capacity(8 * 1024));
    let counter = |name: &str| status.counters.get(name).copied().unwrap_or(0);

    out.family("filbert_info", "gauge", "The version that runs.");
    out.sample("filbert_info", &[("version", &status.version), ("role", &status.role)], 1);
    out.one("filbert_uptime_seconds", "gauge", "Seconds since the start.", status.uptime_s);

    let mut linked: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for peer in peers {
        *linked.entry((&peer.role, &peer.direction)).or_default() += 1;
    }
    out.family("filbert_peers", "gauge", "Connected peers.");
    for role in ["leaf", "ultrapeer"] {
        for direction in ["in", "out"] {
            let n = linked.get(&(role, direction)).copied().unwrap_or(0);
            out.sample("filbert_peers", &[("role", role), ("direction", direction)], n);
        }
    }
    out.family("filbert_reachable", "gauge", "1 for what is known of whether others can connect to us.");
    for state in ["yes", "no", "unknown"] {
        out.sample("filbert_reachable", &[("state", state)], u64::from(status.reachable == state));
    }

    out.one("filbert_share_files", "gauge", "Files that can be found.", status.files);
    out.one("filbert_share_hashed_files", "gauge", "Files that are hashed.", status.hashed);
    out.one("filbert_share_bytes", "gauge", "Bytes of the files that can be found.", status.bytes);
    let degraded = shares.iter().filter(|share| share.state != "missing" && !share.warnings.is_empty()).count();
    out.one(
        "filbert_watch_degraded",
        "gauge",
        "Shared folders whose watch does not reach all of them now, or missed something in the last minute.",
        degraded as u64,
    );
    out.one("filbert_warnings", "gauge", "What works less well than it should.", status.warnings.len() as u64);

    for (name, from, what) in [
        ("filbert_query_in_total", "queries_received", "Queries that arrived, duplicates among them."),
        ("filbert_query_out_total", "query_copies", "Copies of queries that left for a link."),
        ("filbert_query_dup_dropped_total", "duplicates", "Queries that had been here before."),
        ("filbert_query_ttl_dropped_total", "dropped_ttl_expired", "Messages whose time to live was over."),
        ("filbert_query_rate_dropped_total", "dropped_rate_limited", "Messages that came too fast."),
        ("filbert_query_answered_total", "queries_answered", "Queries that we had something for."),
        ("filbert_hits_total", "hits_received", "Hits for our own searches."),
        ("filbert_verify_fail_total", "verify_fails", "Fetched blocks and files that were not what they should be."),
    ] {
        out.one(name, "counter", what, counter(from));
    }
    out.family("filbert_link_bytes_total", "counter", "Bytes of messages on links.");
    out.sample("filbert_link_bytes_total", &[("dir", "in")], counter("bytes_in"));
    out.sample("filbert_link_bytes_total", &[("dir", "out")], counter("bytes_out"));

    out.family("filbert_transfer_rate_bytes", "gauge", "Bytes of files a second, now.");
    out.sample("filbert_transfer_rate_bytes", &[("dir", "down")], status.down_bps);
    out.sample("filbert_transfer_rate_bytes", &[("dir", "up")], status.up_bps);
    out.family(
        "filbert_transfer_bytes_total",
        "counter",
        "Bytes of files that came and went, also what was thrown away.",
    );
    out.sample("filbert_transfer_bytes_total", &[("dir", "down")], counter("bytes_downloaded"));
    out.sample("filbert_transfer_bytes_total", &[("dir", "up")], counter("bytes_uploaded"));
    let mut states: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for transfer in transfers {
        *states.entry((&transfer.direction, &transfer.state)).or_default() += 1;
    }
    out.family("filbert_transfers", "gauge", "Transfers that are listed, by state.");
    for ((direction, state), n) in states {
        out.sample("filbert_transfers", &[("dir", direction), ("state", state)], n);
    }

    if let Some(it) = process {
        out.family("process_cpu_seconds_total", "counter", "Seconds of processors, of user and system.");
        out.number("process_cpu_seconds_total", it.cpu_seconds);
        out.one("process_resident_memory_bytes", "gauge", "Memory in use.", it.resident_bytes);
        out.one("process_open_fds", "gauge", "Open file descriptors.", it.open_fds);
        if let Some(most) = it.max_fds {
            out.one("process_max_fds", "gauge", "File descriptors that may be open.", most);
        }
        out.family("process_start_time_seconds", "gauge", "Start, in seconds since 1970.");
        out.number("process_start_time_seconds", it.start_seconds);
    }

    out.family("filbert_events_total", "counter", "Everything that is counted, by the name it has in `status`.");
    for (name, n) in &status.counters {
        out.sample("filbert_events_total", &[("name", name)], *n);
    }
    out.0
}

/// The text as it grows.
struct Exposition(String);

impl Exposition {
    fn family(&mut self, name: &str, kind: &str, what: &str) {
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "# HELP {name} {what}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        self.0.push_str(name);
        for (at, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
            let _ = write!(self.0, "{}{label}=\"{text}\"", if at == 0 { '{' } else { ',' });
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }

    fn number(&mut self, name: &str, value: f64) {
        let _ = writeln!(self.0, "{name} {value:.2}");
    }

    fn one(&mut self, name: &str, kind: &str, what: &str, value: u64) {
        self.family(name, kind, what);
        self.sample(name, &[], value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped_and_families_are_told() {
        let mut out = Exposition(String::new());
        out.one("a_total", "counter", "How many.", 3);
        out.sample("b", &[("x", "say \"no\"\\\n"), ("y", "z")], 1);
        assert_eq!(
            out.0,
            "# HELP a_total How many.\n# TYPE a_total counter\na_total 3\nb{x=\"say \\\"no\\\"\\\\\\n\",y=\"z\"} 1\n"
        );
    }
}
