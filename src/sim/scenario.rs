//! A world described in JSON: how it is built, what is asked, what goes wrong.

use serde::{Deserialize, Serialize};

use crate::proto::Config;

use super::link::{Capacity, Latency};
use super::options::WorldOptions;
use super::topology::Topology;
use super::workload::Workload;

/// A world and what happens in it. Every field has a default, so that `{}` is a scenario; unknown fields are
/// refused, so that a misspelt one is not silently ignored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scenario {
    /// Servents.
    pub nodes: usize,
    /// So many of them are leaves, the last ones; only where they find each other themselves.
    pub leaves: usize,
    /// Whether neighbours are told the words of files, so that last links and leaves are spared.
    pub tables: bool,
    /// How is asked: by a flood, or neighbour after neighbour.
    pub strategy: Asking,
    /// Virtual seconds that a query is waited for.
    pub wait_secs: u64,
    /// All chance comes from it.
    pub seed: u64,
    /// Who is linked to whom; `discover` leaves that to the servents.
    pub topology: Topology,
    /// Latencies of the links.
    pub latency: Latency,
    /// How much a link takes; absent: as much as is sent.
    pub capacity: Option<Capacity>,
    /// What differs from the default configuration of a servent.
    pub knobs: Knobs,
    /// Which file lies where, and which words find it.
    pub workload: Workload,
    /// Queries before and again after the kill, each from another servent.
    pub searches: usize,
    /// Virtual seconds to find neighbours in.
    pub settle_secs: u64,
    /// Servents in a thousand that are killed at once after the first round of queries.
    pub kill_per_mille: usize,
    /// Virtual seconds to recover in before the second round; no second round without a kill.
    pub recover_secs: u64,
}

/// How a scenario asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Asking {
    /// All neighbours, and those that ask for leaves do the same.
    #[default]
    Flood,
    /// One neighbour after the other; ultrapeers do so for leaves too, in a network that they know to be large.
    Dynamic,
}

/// Settings of a servent that a scenario may change; absent ones keep their defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Knobs {
    /// Neighbours that a servent dials until it has.
    pub neighbours: Option<usize>,
    /// Peers that it accepts.
    pub accept: Option<usize>,
    /// TTL of its own queries.
    pub ttl: Option<u8>,
    /// What it clips TTL + hops to.
    pub max_ttl: Option<u8>,
    /// GUIDs that it remembers.
    pub seen: Option<usize>,
    /// Bytes that wait for a slow neighbour.
    pub queue_bytes: Option<usize>,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            nodes: 200,
            leaves: 0,
            tables: false,
            strategy: Asking::default(),
            wait_secs: 5,
            seed: 1,
            topology: Topology::Discover,
            latency: Latency::default(),
            capacity: None,
            knobs: Knobs::default(),
            workload: Workload::default(),
            searches: 10,
            settle_secs: 60,
            kill_per_mille: 333,
            recover_secs: 120,
        }
    }
}

impl Scenario {
    /// Reads a scenario.
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    pub(super) fn world_options(&self) -> WorldOptions {
        let mut options = WorldOptions::new(self.seed);
        options.latency = self.latency;
        options.capacity = self.capacity;
        self.knobs.turn(&mut options.config);
        options
    }
}

impl Knobs {
    fn turn(&self, config: &mut Config) {
        let Self { neighbours, accept, ttl, max_ttl, seen, queue_bytes } = self;
        config.neighbours = neighbours.unwrap_or(config.neighbours);
        config.accept = accept.or(config.accept);
        config.ttl = ttl.unwrap_or(config.ttl);
        config.max_ttl = max_ttl.unwrap_or(config.max_ttl);
        config.limits.seen = seen.unwrap_or(config.limits.seen);
        config.limits.seen_max = config.limits.seen_max.max(config.limits.seen);
        config.limits.queue_bytes = queue_bytes.unwrap_or(config.limits.queue_bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_says_only_what_differs() {
        assert_eq!(Scenario::from_json("{}").expect("all fields have defaults"), Scenario::default());
        let text = r#"{"nodes": 50, "topology": {"kind": "regular", "degree": 4}, "knobs": {"ttl": 3},
            "latency": {"kind": "equal", "millis": 50}, "workload": {"query": "blue"}}"#;
        let scenario = Scenario::from_json(text).expect("it is well formed");
        assert_eq!((scenario.nodes, scenario.knobs.ttl, scenario.searches), (50, Some(3), 10));
        assert_eq!(scenario.topology, Topology::Regular { degree: 4 });
        assert_eq!(scenario.world_options().config.ttl, 3);
        let again = serde_json::to_string(&scenario).expect("plain values");
        assert_eq!(Scenario::from_json(&again).expect("what we write we can read"), scenario);
    }

    #[test]
    fn a_misspelt_field_is_refused() {
        let error = Scenario::from_json(r#"{"knobs": {"tll": 3}}"#).expect_err("there is no such knob");
        assert!(error.to_string().contains("tll"), "{error}");
    }
}
