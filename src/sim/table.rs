//! `filbert sim table`: what a flood reaches and costs, by degree and TTL.
//!
//! Each row is one query in a random regular graph; all queries of a degree start at the same servent and ask
//! for the same file, so that rows differ in TTL alone. This is the table that `tests/snapshots` keeps.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::base::Rng;

use super::link::Latency;
use super::options::{Hop, NotSettled, WorldOptions};
use super::report::{columns, json_lines, share};
use super::topology::{Graph, GraphError};
use super::workload::Workload;
use super::world::World;

/// What to tabulate.
#[derive(Clone, Debug)]
pub struct TableOptions {
    /// Servents.
    pub nodes: usize,
    /// All chance comes from it.
    pub seed: u64,
    /// Neighbours of each; a degree for which there is no regular graph of that many servents is left out
    /// with a note.
    pub degrees: Vec<usize>,
    /// TTL of the query, and `max_ttl` of all servents but the one who asks: what they clip TTL + hops to.
    pub ttls: Vec<(u8, u8)>,
    /// Latencies of the links.
    pub latency: Latency,
    /// How messages travel.
    pub hop: Hop,
    /// What is asked, and who has it.
    pub workload: Workload,
}

/// What a flood reaches and costs.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Servents.
    pub nodes: usize,
    /// The seed.
    pub seed: u64,
    /// One row for each degree and TTL.
    pub rows: Vec<TableRow>,
    /// Degrees that were left out, and why.
    pub notes: Vec<GraphError>,
}

/// One flood.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TableRow {
    /// Neighbours of each servent.
    pub degree: usize,
    /// TTL that was asked for.
    pub ttl: u8,
    /// What every servent but the origin clips TTL + hops to.
    pub max_ttl: u8,
    /// Servents within that many links of the origin, itself included: what could be reached at most.
    pub within: usize,
    /// Servents that saw the query, the origin included.
    pub reach: usize,
    /// The most links that a first copy crossed, as its hops tell.
    pub depth: u8,
    /// Copies of the query that left for a link: `reach - 1 + duplicates`.
    pub messages: u64,
    /// Copies that came to a servent that had seen the query.
    pub duplicates: u64,
    /// Their share of the messages.
    pub duplicate_share: f64,
    /// Bytes of the copies.
    pub bytes: u64,
    /// Hits that came back to the origin.
    pub hits: usize,
    /// Hits that left for a link, each link counted: the cost of the way back.
    pub hit_messages: u64,
    /// Virtual milliseconds until nothing of it was under way.
    pub virtual_ms: u64,
}

impl Default for TableOptions {
    /// A thousand servents; every TTL of old Gnutella, one that must be clipped, and some that its clip
    /// would not let through.
    fn default() -> Self {
        let old = (1..=7).chain([255]).map(|ttl| (ttl, 7));
        Self {
            nodes: 1000,
            seed: 1,
            degrees: vec![3, 4, 6, 8],
            ttls: old.chain([8, 10, 12, 255].map(|ttl| (ttl, 255))).collect(),
            latency: Latency::default(),
            hop: Hop::Shared,
            workload: Workload::default(),
        }
    }
}

/// Runs the floods. The error is a link that did not come up: a fault of ours, not of the options.
pub fn table(options: &TableOptions) -> Result<Table, NotSettled> {
    let mut table = Table { nodes: options.nodes, seed: options.seed, rows: Vec::new(), notes: Vec::new() };
    for &degree in &options.degrees {
        let mut rng = Rng::from_number(options.seed ^ (degree as u64).rotate_left(32));
        let graph = match Graph::random_regular(options.nodes, degree, &mut rng) {
            Ok(graph) => graph,
            Err(error) => {
                table.notes.push(error);
                continue;
            }
        };
        let origin = rng.below(options.nodes);
        let holders = options.workload.holders(options.nodes, origin, &mut rng);
        // Rows of one `max_ttl` share a world.
        let mut kept: Option<(u8, World)> = None;
        for &(ttl, max_ttl) in &options.ttls {
            let mut world = match kept.take() {
                Some((of, world)) if of == max_ttl => world,
                _ => build(options, &graph, max_ttl, origin, &holders)?,
            };
            table.rows.extend(flood(&mut world, &graph, &options.workload.query, origin, ttl, max_ttl));
            // What is still under way must not reach the next row.
            kept = world.is_quiet().then_some((max_ttl, world));
        }
    }
    Ok(table)
}

fn build(
    options: &TableOptions,
    graph: &Graph,
    max_ttl: u8,
    origin: usize,
    holders: &[usize],
) -> Result<World, NotSettled> {
    let mut settings = WorldOptions::new(options.seed);
    settings.config.max_ttl = max_ttl;
    settings.latency = options.latency;
    settings.hop = options.hop;
    // The origin asks with any TTL, as a careless client might: the others must clip it.
    let mut world = World::of_graph_with(settings, graph, |id, config| {
        if id == origin {
            config.max_ttl = u8::MAX;
        }
    })?;
    for &holder in holders {
        world.share(holder, options.workload.file.clone());
    }
    Ok(world)
}

fn flood(world: &mut World, graph: &Graph, query: &str, origin: usize, ttl: u8, max_ttl: u8) -> Option<TableRow> {
    let guid = world.search(origin, query, Some(ttl))?;
    // One copy each way on each link is the most that a flood can cost. One that costs twice that has lost its
    // duplicate suppression; it is cut off, so that the table shows it instead of never coming to an end.
    let runaway = 4 * graph.edges().count() as u64;
    let cut_off = |world: &World| world.flood(guid).is_some_and(|flood| flood.messages > runaway);
    world.run_until(world.now() + Duration::from_secs(600), |world| world.is_quiet() || cut_off(world));
    let flood = world.flood(guid)?;
    Some(TableRow {
        degree: graph.degree(origin),
        ttl,
        max_ttl,
        within: graph.within(origin, ttl.min(max_ttl).into()),
        reach: flood.reach(),
        depth: flood.depth(),
        messages: flood.messages,
        duplicates: flood.duplicates,
        duplicate_share: share(flood.duplicates, flood.messages),
        bytes: flood.bytes,
        hits: world.found_for(guid).count(),
        hit_messages: flood.hit_messages,
        virtual_ms: flood.took().as_millis() as u64,
    })
}

impl Table {
    /// The rows, one JSON object a line.
    pub fn to_json_lines(&self) -> String {
        json_lines(&self.rows)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        columns(f, &self.rows)?;
        self.notes.iter().try_for_each(|note| writeln!(f, "left out: {note}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> TableOptions {
        TableOptions { nodes: 31, seed: 3, degrees: vec![3, 4], ttls: vec![(1, 7), (2, 7)], ..Default::default() }
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
        let text = |seed| {
            let table = table(&TableOptions { seed, ..small() }).expect("the links come up");
            (table.to_string(), table.to_json_lines())
        };
        assert_eq!(text(3), text(3));
        assert_ne!(text(3), text(4));
    }

    #[test]
    fn a_degree_that_cannot_be_is_left_out_with_a_note() {
        let table = table(&small()).expect("the links come up");
        assert!(table.rows.iter().all(|row| row.degree == 4), "{table}");
        assert_eq!(table.rows.len(), 2);
        assert!(table.to_string().ends_with(
            "left out: no graph of 31 servents with 3 neighbours each: servents times neighbours must be even\n"
        ));
    }

    #[test]
    fn with_ttl_1_the_neighbours_alone_are_asked() {
        let table = table(&small()).expect("the links come up");
        let row = &table.rows[0];
        assert_eq!((row.reach, row.messages, row.duplicates, row.within), (5, 4, 0, 5));
    }
}
