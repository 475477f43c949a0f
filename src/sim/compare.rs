//! `filbert sim compare`: the same world twice, with one thing changed.
//!
//! Both runs have the same seed, so the same pairs of servents have the same latencies and the same ones hold
//! the file; what differs is what the scenarios differ in.

use std::fmt;

use serde::Serialize;

use super::report::{columns, json_lines, share};
use super::run::{RunError, RunReport, run};
use super::scenario::Scenario;

/// The two scenarios, and what to call them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompareOptions {
    /// What is.
    pub a: (String, Scenario),
    /// What might be.
    pub b: (String, Scenario),
}

/// Both side by side.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// One row for each scenario.
    pub rows: Vec<CompareRow>,
}

/// Means over all queries of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CompareRow {
    /// The scenario's name.
    pub name: String,
    /// Queries.
    pub queries: usize,
    /// Neighbours of a servent at the end.
    pub degree_mean: f64,
    /// The largest part at the end, as a share of those that live.
    pub largest_part: f64,
    /// Share of the living servents that a query reached.
    pub reach: f64,
    /// Copies for each query.
    pub messages: f64,
    /// Share of duplicates among the copies.
    pub duplicates: f64,
    /// Bytes for each query.
    pub bytes: f64,
    /// Share of the living holders whose hit came back.
    pub recall: f64,
    /// Milliseconds to the first hit, of those queries that had one.
    pub first_hit_ms: f64,
}

/// Runs both.
pub fn compare(options: &CompareOptions) -> Result<Comparison, RunError> {
    summaries(&[options.a.clone(), options.b.clone()])
}

/// Runs scenarios, one after the other; a row for each.
pub fn summaries(scenarios: &[(String, Scenario)]) -> Result<Comparison, RunError> {
    let row = |(name, scenario): &(String, Scenario)| run(scenario).map(|report| summary(name, &report));
    Ok(Comparison { rows: scenarios.iter().map(row).collect::<Result<_, _>>()? })
}

fn summary(name: &str, report: &RunReport) -> CompareRow {
    let rows = &report.searches;
    let sum = |of: fn(&super::run::SearchRow) -> u64| rows.iter().map(of).sum::<u64>();
    let first_hits: Vec<u64> = rows.iter().filter_map(|row| row.first_hit_ms).collect();
    let last = report.samples.last();
    CompareRow {
        name: name.to_owned(),
        queries: rows.len(),
        degree_mean: last.map_or(0.0, |sample| sample.degree_mean),
        largest_part: last.map_or(0.0, |sample| share(sample.largest_part as u64, sample.alive as u64)),
        reach: share(sum(|row| row.reach as u64), sum(|row| row.alive as u64)),
        messages: share(sum(|row| row.messages), rows.len() as u64),
        duplicates: share(sum(|row| row.duplicates), sum(|row| row.messages)),
        bytes: share(sum(|row| row.bytes), rows.len() as u64),
        recall: share(sum(|row| row.hits as u64), sum(|row| row.holders as u64)),
        first_hit_ms: share(first_hits.iter().sum(), first_hits.len() as u64),
    }
}

impl Comparison {
    /// The rows, one JSON object a line.
    pub fn to_json_lines(&self) -> String {
        json_lines(&self.rows)
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        columns(f, &self.rows)
    }
}
