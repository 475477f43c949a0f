//! The golden table: what a flood reaches and costs among a thousand servents, by degree and TTL.
//!
//! The numbers come from the routing rules in `proto` and from nothing else: with any of these rules taken out
//! or bent, the table is another one (`docs/SIMULATOR.md` lists what was tried). A change that moves a number
//! is a change of what filbert does to a network: look at the diff, and say in the commit why it is right.
//!
//! To write the table anew: `FILBERT_BLESS=1 cargo test --test sim_golden`.

use std::sync::LazyLock;

use filbert::sim::{Asking, Hop, Scenario, Table, TableOptions, Workload, summaries, table};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/snapshots/flood-1000.txt");

/// The table, made once.
static TABLE: LazyLock<Table> = LazyLock::new(|| flood(Hop::Shared));

fn flood(hop: Hop) -> Table {
    table(&TableOptions { hop, ..TableOptions::default() }).expect("all links come up")
}

#[test]
fn a_thousand_servents_flood_as_they_did() {
    let table = &*TABLE;
    assert!(table.notes.is_empty(), "{table}");
    let text = table.to_string();
    if std::env::var_os("FILBERT_BLESS").is_some() {
        std::fs::write(GOLDEN, &text).expect("the snapshot can be written");
    }
    let golden = std::fs::read_to_string(GOLDEN).expect("the snapshot is there");
    assert!(text == golden, "the table changed; it was\n{golden}\nand is\n{text}");
}

#[test]
fn encoding_and_decoding_every_message_on_every_hop_changes_nothing() {
    assert_eq!(flood(Hop::Encoded), *TABLE);
}

#[test]
fn every_copy_is_a_first_one_or_a_duplicate() {
    let table = &*TABLE;
    assert_eq!(table.rows.len(), 4 * 12);
    for row in &table.rows {
        assert_eq!(row.messages, row.reach as u64 - 1 + row.duplicates, "{row:?}");
        assert!(row.reach <= row.within, "no query goes farther than its TTL: {row:?}");
        assert!(row.hits <= 10, "no holder answers twice: {row:?}");
    }
}

#[test]
fn a_ttl_of_255_is_clipped_to_7() {
    let table = &*TABLE;
    for degree in [3, 4, 6, 8] {
        let row = |ttl| {
            let row = table.rows.iter().find(|row| (row.degree, row.ttl, row.max_ttl) == (degree, ttl, 7));
            row.map(|row| (row.reach, row.messages, row.duplicates, row.hits)).expect("the row is there")
        };
        assert_eq!(row(255), row(7), "degree {degree}");
    }
}

const ROLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/snapshots/roles-200.txt");

/// Two hundred servents as equals and as a fifth ultrapeers and leaves, with and without tables, asked in both ways for
/// what one has, what one in fifty has, and what nobody has.
fn roles() -> String {
    let of = |leaves, tables, strategy| Scenario {
        nodes: 200,
        leaves,
        tables,
        strategy,
        wait_secs: 15,
        searches: 6,
        settle_secs: 40,
        kill_per_mille: 0,
        ..Scenario::default()
    };
    let networks = [
        ("200 equals, flood", of(0, false, Asking::Flood)),
        ("200 equals, tables, flood", of(0, true, Asking::Flood)),
        ("40 with 160 leaves, tables, flood", of(160, true, Asking::Flood)),
        ("40 with 160 leaves, tables, dynamic", of(160, true, Asking::Dynamic)),
    ];
    let asked =
        [("one has it", "blue train", 5), ("1 in 50 has it", "blue train", 20), ("nobody has it", "red bus", 5)];
    let mut scenarios = Vec::new();
    for (what, query, holders_per_mille) in asked {
        for (network, scenario) in &networks {
            let workload = Workload { query: query.to_owned(), holders_per_mille, ..Workload::default() };
            scenarios.push((format!("{network}: {what}"), Scenario { workload, ..scenario.clone() }));
        }
    }
    summaries(&scenarios).expect("the worlds can be").to_string()
}

#[test]
fn tables_and_leaves_save_what_they_did() {
    let text = roles();
    if std::env::var_os("FILBERT_BLESS").is_some() {
        std::fs::write(ROLES, &text).expect("the snapshot can be written");
    }
    let golden = std::fs::read_to_string(ROLES).expect("the snapshot is there");
    assert!(text == golden, "the table changed; it was\n{golden}\nand is\n{text}");
}
