//! `filbert sim run`: servents find their neighbours, ask, lose a part of themselves, recover, and ask again.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::base::Rng;
use crate::proto::{Command, Config, RoleChoice, Strategy};

use super::options::NotSettled;
use super::report::{columns, json_lines, share};
use super::scenario::{Asking, Scenario};
use super::topology::{GraphError, MOST_SERVENTS, Topology};
use super::world::{ServentId, World};

/// What to run.
pub type RunOptions = Scenario;

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub struct RunReport {
    /// How the neighbour sets grew, shrank and healed.
    pub samples: Vec<Sample>,
    /// What the queries reached and cost.
    pub searches: Vec<SearchRow>,
}

/// The network at one moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sample {
    /// Virtual seconds since the start.
    pub at_s: u64,
    /// Servents that live.
    pub alive: usize,
    /// Links between them.
    pub links: usize,
    /// The fewest neighbours that one of them has.
    pub degree_min: usize,
    /// The mean.
    pub degree_mean: f64,
    /// The most.
    pub degree_max: usize,
    /// Servents in the largest connected part.
    pub largest_part: usize,
    /// Dials begun so far.
    pub dials: u64,
    /// Handshakes refused so far.
    pub refused: u64,
}

/// One query.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SearchRow {
    /// Virtual seconds since the start.
    pub at_s: u64,
    /// Who asked.
    pub by: usize,
    /// Servents that lived.
    pub alive: usize,
    /// Servents that saw it, the one who asked included.
    pub reach: usize,
    /// Copies that left for a link.
    pub messages: u64,
    /// Copies that came to one who had seen it.
    pub duplicates: u64,
    /// Their share.
    pub duplicate_share: f64,
    /// Bytes of the copies.
    pub bytes: u64,
    /// Living servents that hold the file.
    pub holders: usize,
    /// Hits that came back.
    pub hits: usize,
    /// Virtual milliseconds to the first hit.
    pub first_hit_ms: Option<u64>,
}

/// A scenario that cannot be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunError {
    /// Its graph cannot be.
    Graph(GraphError),
    /// Its links did not come up.
    NotSettled(NotSettled),
    /// It has fewer than two servents.
    TooFew,
    /// It has more than a million servents.
    TooMany,
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Graph(error) => error.fmt(f),
            Self::NotSettled(error) => error.fmt(f),
            Self::TooFew => f.write_str("a network needs two servents at least: give --nodes 2 or more"),
            Self::TooMany => f.write_str("a world holds a million servents at most: give --nodes 1000000 or less"),
        }
    }
}

impl std::error::Error for RunError {}

/// Runs a scenario.
pub fn run(scenario: &Scenario) -> Result<RunReport, RunError> {
    bounded(scenario.nodes)?;
    let mut rng = Rng::from_number(scenario.seed).fork();
    let mut world = build(scenario, &mut rng)?;
    let mut report = RunReport { samples: Vec::new(), searches: Vec::new() };
    let holders = scenario.workload.holders(scenario.nodes, 0, &mut rng);
    for &holder in &holders {
        world.share(holder, scenario.workload.file.clone());
    }
    if scenario.tables {
        (0..scenario.nodes).for_each(|id| world.tell_words(id));
    }
    watch(&mut world, scenario.settle_secs, &mut report);
    ask(&mut world, scenario, &holders, &mut rng, &mut report);
    if scenario.kill_per_mille > 0 {
        let mut victims = world.alive();
        rng.shuffle(&mut victims);
        victims.truncate(scenario.nodes * scenario.kill_per_mille.min(1000) / 1000);
        victims.into_iter().for_each(|victim| world.kill(victim));
        report.samples.push(sample(&world));
        watch(&mut world, scenario.recover_secs, &mut report);
        ask(&mut world, scenario, &holders, &mut rng, &mut report);
    }
    Ok(report)
}

/// Whether a world can have so many servents.
pub(super) fn bounded(nodes: usize) -> Result<(), RunError> {
    match nodes {
        0..2 => Err(RunError::TooFew),
        2..=MOST_SERVENTS => Ok(()),
        _ => Err(RunError::TooMany),
    }
}

fn build(scenario: &Scenario, rng: &mut Rng) -> Result<World, RunError> {
    let options = scenario.world_options();
    if scenario.topology != Topology::Discover {
        let graph = scenario.topology.graph(scenario.nodes, rng).map_err(RunError::Graph)?;
        return World::of_graph(options, &graph).map_err(RunError::NotSettled);
    }
    let mut world = World::new(options);
    for id in 0..scenario.nodes {
        let leaf = id + scenario.leaves >= scenario.nodes && id > 0;
        let role = if leaf { RoleChoice::Leaf } else { RoleChoice::Ultrapeer };
        world.add_with(Config { role, ..world.config() });
        if id > 0 {
            world.connect(id, 0);
        }
    }
    Ok(world)
}

/// Lets time pass and looks at the network now and then.
fn watch(world: &mut World, secs: u64, report: &mut RunReport) {
    let stride = (secs / 12).max(1);
    for _ in 0..secs / stride {
        world.run_for(Duration::from_secs(stride));
        report.samples.push(sample(world));
    }
}

fn sample(world: &World) -> Sample {
    let (graph, alive) = (world.graph(), world.alive());
    let degrees = || alive.iter().map(|&id| graph.degree(id));
    let total =
        |count: fn(&crate::proto::Counters) -> u64| -> u64 { alive.iter().map(|&id| count(&world.counters(id))).sum() };
    Sample {
        at_s: world.now().as_micros() / 1_000_000,
        alive: alive.len(),
        links: graph.edges().count(),
        degree_min: degrees().min().unwrap_or(0),
        degree_mean: share(degrees().sum::<usize>() as u64, alive.len() as u64),
        degree_max: degrees().max().unwrap_or(0),
        largest_part: graph.largest_part(&alive),
        dials: total(|counters| counters.dials),
        refused: total(|counters| counters.refused_by_us),
    }
}

fn ask(world: &mut World, scenario: &Scenario, holders: &[ServentId], rng: &mut Rng, report: &mut RunReport) {
    let mut askers: Vec<ServentId> = world.alive().into_iter().filter(|id| !holders.contains(id)).collect();
    rng.shuffle(&mut askers);
    askers.truncate(scenario.searches);
    for by in askers {
        let at = world.now();
        let strategy = match scenario.strategy {
            Asking::Flood => Strategy::Flood,
            Asking::Dynamic => Strategy::Dynamic,
        };
        let asked = world.search_by(by, &scenario.workload.query, None, Some(strategy));
        let Some(guid) = asked else { continue };
        world.run_for(Duration::from_secs(scenario.wait_secs));
        let alive = world.alive();
        let Some(flood) = world.flood(guid) else { continue };
        report.searches.push(SearchRow {
            at_s: at.as_micros() / 1_000_000,
            by,
            alive: alive.len(),
            reach: flood.reach(),
            messages: flood.messages,
            duplicates: flood.duplicates,
            duplicate_share: share(flood.duplicates, flood.messages),
            bytes: flood.bytes,
            holders: holders.iter().filter(|holder| alive.contains(holder)).count(),
            hits: world.found_for(guid).count(),
            first_hit_ms: world.found_for(guid).next().map(|hit| (hit.at - at).as_millis() as u64),
        });
        world.command(by, Command::EndSearch(crate::proto::SearchId(world.searches)));
    }
}

impl RunReport {
    /// Samples and searches, one JSON object a line, each with an `event`.
    pub fn to_json_lines(&self) -> String {
        #[derive(Serialize)]
        struct Line<'a, T> {
            event: &'static str,
            #[serde(flatten)]
            row: &'a T,
        }
        let samples: Vec<_> = self.samples.iter().map(|row| Line { event: "sample", row }).collect();
        let searches: Vec<_> = self.searches.iter().map(|row| Line { event: "search", row }).collect();
        json_lines(&samples) + &json_lines(&searches)
    }
}

impl fmt::Display for RunReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "the network")?;
        columns(f, &self.samples)?;
        writeln!(f, "\nthe queries")?;
        columns(f, &self.searches)
    }
}
