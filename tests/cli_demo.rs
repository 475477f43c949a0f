//! The demo tells the truth, ends with 5 when a source lies, and leaves nothing behind. So do the studies of
//! the simulator: the same seed, the same bytes.

mod common;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};

use common::{Home, finish};

/// Runs the demo with a temporary directory of its own; what is left in it must be nothing.
fn demo(args: &[&str]) -> common::Ended {
    let home = Home::new();
    let tmp = home.folder("tmp", &[]);
    let mut command = home.command();
    command.arg("demo").args(args).env("TMPDIR", &tmp).env("LANG", "C");
    let ended = finish(command.spawn().expect("started"));
    let left: Vec<_> = std::fs::read_dir(&tmp).expect("there").collect();
    assert!(left.is_empty(), "{left:?}");
    ended
}

#[test]
fn what_the_demo_counts_adds_up() {
    let lines = demo(&["--json", "--seed", "7"]).expect(0).lines();
    let of = |event: &str| lines.iter().filter(|line| line["event"] == event).collect::<Vec<_>>();
    let mesh = of("mesh")[0];
    let servents = mesh["servents"].as_object().expect("named");
    let links = mesh["links"].as_array().expect("listed").len() as u64;
    assert!(servents.len() >= 8, "{mesh}");
    let ports: BTreeSet<_> = servents.values().map(|addr| addr.as_str().expect("an address")).collect();
    assert_eq!(ports.len(), servents.len(), "each has a port of its own");

    let flood = of("flood")[0];
    let number = |value: &serde_json::Value, key: &str| value[key].as_u64().expect("a number");
    let (copies, reached, suppressed) =
        (number(flood, "copies"), number(flood, "reached"), number(flood, "suppressed"));
    assert_eq!(reached, servents.len() as u64 - 1, "everybody heard it");
    assert_eq!(copies, reached + suppressed, "a copy is the first or a duplicate");
    // Everybody sends it on by all links but the one it came by.
    assert_eq!(copies, 2 * links - reached);
    assert!(suppressed > 0);
    assert_eq!(flood["ends_agree"], true);
    let hops = of("hop");
    let sum = |key: &str| hops.iter().map(|hop| number(hop, key)).sum::<u64>();
    assert_eq!((sum("copies"), sum("suppressed")), (copies, suppressed));
    let first: Vec<_> = hops.iter().flat_map(|hop| hop["first"].as_array().expect("names")).collect();
    assert_eq!(first.len() as u64, reached, "each hears it first once");

    let done = of("done")[0];
    assert_eq!(done["bytes"], 209_518);
    assert!(["sha1", "tth", "blake3"].iter().any(|&strong| done["verified"] == strong), "{done}");
    let again = demo(&["--json", "--seed", "7"]).expect(0).lines();
    assert_eq!(again[0]["links"], mesh["links"], "the same seed, the same mesh");
}

#[test]
fn a_demo_whose_source_lies_ends_with_five() {
    let lied = demo(&["--corrupt", "--fast", "--seed", "3"]).expect(5);
    assert!(lied.stderr.contains("Night Train Blues.wav") && lied.stderr.contains("127.0.0.1:"), "{}", lied.stderr);
}

#[test]
fn the_demo_fits_a_terminal_without_colour_or_unicode() {
    for nodes in ["8", "12", "24"] {
        let told = demo(&["--nodes", nodes, "--seed", "5", "--no-color"]).expect(0);
        assert!(told.stdout.is_ascii(), "{}", told.stdout);
        let wide: Vec<&str> = told.stdout.lines().filter(|line| line.len() > 80).collect();
        assert!(wide.is_empty(), "{wide:#?}");
        assert!(
            told.stdout.contains("filbert up --share DIR") && told.stdout.contains("duplicates"),
            "{}",
            told.stdout
        );
    }
}

#[test]
fn a_demo_that_is_interrupted_leaves_nothing_behind() {
    let home = Home::new();
    let tmp = home.folder("tmp", &[]);
    let mut command = home.command();
    let mut child = command.args(["demo", "--json"]).env("TMPDIR", &tmp).spawn().expect("started");
    let mut first = String::new();
    let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
    stdout.read_line(&mut first).expect("the mesh");
    assert!(first.contains("mesh"), "{first}");
    common::interrupt(&child);
    assert_eq!(finish(child).code, 130);
    assert_eq!(std::fs::read_dir(&tmp).expect("there").count(), 0);
}

#[test]
fn the_same_seed_prints_the_same_bytes() {
    let home = Home::new();
    let table = |seed: &str, json: &[&str]| {
        let mut args = vec!["sim", "table", "--nodes", "60", "--seed", seed];
        args.extend(json);
        home.run(&args).expect(0).stdout
    };
    assert_eq!(table("7", &[]), table("7", &[]));
    assert_eq!(table("7", &["--json"]), table("7", &["--json"]));
    assert_ne!(table("7", &["--json"]), table("8", &["--json"]));
    for line in table("7", &["--json"]).lines() {
        let row: serde_json::Value = serde_json::from_str(line).expect("a JSON line");
        assert!(row["reach"].is_u64() && row["messages"].is_u64() && row["duplicates"].is_u64(), "{row}");
    }
    home.run(&["sim", "trace", "--nodes", "8"]).expect(0);
    home.run(&["sim", "table", "--nodes", "1"]).expect(2);
    home.run(&["sim", "run", "/nonexistent.json"]).expect(2);
}
