//! `filbert sim trace`: one flood, copy by copy.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::base::Rng;

use super::flood::Copy;
use super::link::Latency;
use super::options::WorldOptions;
use super::report::{columns, json_lines};
use super::run::{RunError, bounded};
use super::topology::Topology;
use super::world::World;

/// Which flood to follow.
#[derive(Clone, Debug)]
pub struct TraceOptions {
    /// Servents.
    pub nodes: usize,
    /// All chance comes from it.
    pub seed: u64,
    /// Who is linked to whom.
    pub topology: Topology,
    /// TTL of the query.
    pub ttl: u8,
    /// Latencies of the links.
    pub latency: Latency,
}

/// A flood, copy by copy, in the order of arrival.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// The copies.
    pub rows: Vec<TraceRow>,
    /// Servents that saw the query, the origin included.
    pub reach: usize,
    /// Servents.
    pub nodes: usize,
}

/// One copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TraceRow {
    /// Virtual microseconds since the query left.
    pub at_us: u64,
    /// The sender.
    pub from: usize,
    /// The receiver.
    pub to: usize,
    /// TTL on the wire.
    pub ttl: u8,
    /// Hops on the wire.
    pub hops: u8,
    /// What it was to the receiver: `first` or `duplicate`.
    pub copy: &'static str,
}

impl Default for TraceOptions {
    fn default() -> Self {
        let topology = Topology::Regular { degree: 3 };
        Self { nodes: 12, seed: 1, topology, ttl: 4, latency: Latency::default() }
    }
}

/// Follows one flood from servent 0.
pub fn trace(options: &TraceOptions) -> Result<Trace, RunError> {
    bounded(options.nodes)?;
    let mut rng = Rng::from_number(options.seed).fork();
    let graph = options.topology.graph(options.nodes, &mut rng).map_err(RunError::Graph)?;
    let mut settings = WorldOptions::new(options.seed);
    settings.latency = options.latency;
    settings.steps = true;
    let mut world = World::of_graph(settings, &graph).map_err(RunError::NotSettled)?;
    let guid = world.search(0, "blue train", Some(options.ttl));
    world.run_until_quiet(Duration::from_secs(600));
    let Some(flood) = guid.and_then(|guid| world.flood(guid)) else {
        return Ok(Trace { rows: Vec::new(), reach: 1, nodes: options.nodes });
    };
    let rows = flood.steps.iter().map(|step| TraceRow {
        at_us: (step.at - flood.began).as_micros() as u64,
        from: step.from,
        to: step.to,
        ttl: step.ttl,
        hops: step.hops,
        copy: match step.copy {
            Copy::First => "first",
            Copy::Duplicate => "duplicate",
        },
    });
    Ok(Trace { rows: rows.collect(), reach: flood.reach(), nodes: options.nodes })
}

impl Trace {
    /// The copies, one JSON object a line.
    pub fn to_json_lines(&self) -> String {
        json_lines(&self.rows)
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        columns(f, &self.rows)?;
        let duplicates = self.rows.iter().filter(|row| row.copy == "duplicate").count();
        let (reach, nodes, copies) = (self.reach, self.nodes, self.rows.len());
        writeln!(
            f,
            "{reach} of {nodes} servents saw it; {copies} copies, {duplicates} of them suppressed as duplicates"
        )
    }
}
