//! What the fuzzers call, and what `fuzz_corpus` calls with their corpus: one function for each group of decoders,
//! and one for each machine that is fed with operations. Each states what must hold for any bytes.

pub mod answer;
mod choices;
pub mod disposition;
pub mod download;
pub mod journal;
pub mod names;
pub mod query;
pub mod servent;
pub mod tree;
pub mod wire;

/// Takes any bytes, and panics where something that must hold does not.
pub type Entry = fn(&[u8]);

/// Every target by its name.
pub const TARGETS: [(&str, Entry); 13] = [
    ("message", wire::message),
    ("ggep", wire::ggep),
    ("head", wire::head),
    ("urn", wire::urn),
    ("stream", wire::stream),
    ("answer", answer::answer),
    ("names", names::names),
    ("disposition", disposition::disposition),
    ("tree", tree::tree),
    ("journal", journal::journal),
    ("download", download::download),
    ("query", query::query),
    ("servent", servent::servent),
];
