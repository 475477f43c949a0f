//! `sim`: the studies of [`crate::sim`], printed. The same seed prints the same bytes.

use std::fmt::Display;
use std::path::Path;

use super::args::{Sim, Study};
use super::config::Config;
use super::exit::{Exit, Failure};
use crate::net::rt;
use crate::sim::{
    self, CompareOptions, RunError, Scenario, TableOptions, Topology, TraceOptions, compare, run, table, trace,
};

/// `sim`.
pub async fn sim(config: &Config, args: Sim) -> Result<(), Failure> {
    let json = config.say.json;
    // It computes for as long as it takes, on a thread of its own, so that Ctrl-C is heard.
    let report = rt::spawn_blocking(move || study(args.study, json)).await?;
    report.trim_end().lines().try_for_each(|line| config.say.line(line))
}

fn study(study: Study, json: bool) -> Result<String, Failure> {
    match study {
        Study::Table { nodes, seed, degree } => {
            let mut options = TableOptions { nodes, seed, ..TableOptions::default() };
            if !degree.is_empty() {
                options.degrees = degree;
            }
            let table = table(&options).map_err(RunError::NotSettled).map_err(failed)?;
            if table.rows.is_empty() {
                let why: Vec<String> = table.notes.iter().map(ToString::to_string).collect();
                return Err(Failure::new(Exit::Usage, format!("there is nothing to tabulate: {}", why.join("; ")))
                    .hint("Name more servents: --nodes 1000, or fewer neighbours: --degree 3"));
            }
            Ok(either(json, || table.to_json_lines(), &table))
        }
        Study::Run { scenario, nodes, seed } => {
            let mut scenario = scenario.as_deref().map(read).transpose()?.unwrap_or_default();
            scenario.nodes = nodes.unwrap_or(scenario.nodes);
            scenario.seed = seed.unwrap_or(scenario.seed);
            let report = run(&scenario).map_err(failed)?;
            Ok(either(json, || report.to_json_lines(), &report))
        }
        Study::Compare { a, b } => {
            let side = |path: &Path| Ok::<_, Failure>((path.display().to_string(), read(path)?));
            let comparison = compare(&CompareOptions { a: side(&a)?, b: side(&b)? }).map_err(failed)?;
            Ok(either(json, || comparison.to_json_lines(), &comparison))
        }
        Study::Trace { nodes, seed, degree, ttl } => {
            let topology = Topology::Regular { degree };
            let trace =
                trace(&TraceOptions { nodes, seed, topology, ttl, ..TraceOptions::default() }).map_err(failed)?;
            Ok(either(json, || sim::Trace::to_json_lines(&trace), &trace))
        }
    }
}

fn either(json: bool, lines: impl FnOnce() -> String, text: &impl Display) -> String {
    if json { lines() } else { text.to_string() }
}

fn read(path: &Path) -> Result<Scenario, Failure> {
    let wrong = |why: String| {
        Failure::new(Exit::Usage, format!("cannot read the scenario {}: {why}", path.display()))
            .hint("A scenario is JSON in which every field has a default: {} is one")
    };
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    Scenario::from_json(&text).map_err(|error| wrong(error.to_string()))
}

/// Whoever asks for a graph that cannot be has mistyped; links that do not come up are our mistake.
fn failed(error: RunError) -> Failure {
    let exit = if matches!(error, RunError::NotSettled(_)) { Exit::Failed } else { Exit::Usage };
    Failure::new(exit, format!("cannot simulate it: {error}"))
}
