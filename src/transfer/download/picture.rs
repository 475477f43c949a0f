//! A download as a picture shows it: its blocks in runs of equal ones, and what each source does.

use super::Download;
use super::sources::{Contact, Known};
use crate::base::Instant;
use crate::transfer::Block;

/// What there is of a block, and whether it is being brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shade {
    /// Nothing, and nobody was asked for it.
    Missing,
    /// Nothing yet; a source was asked for it.
    Asked,
    /// A part of it.
    Filling,
    /// All of it.
    Stored,
}

impl Shade {
    /// In a word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Asked => "asked",
            Self::Filling => "filling",
            Self::Stored => "stored",
        }
    }
}

/// Blocks in a row that look the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// What they are.
    pub shade: Shade,
    /// The place in [`Picture::sources`] of who brings them.
    pub source: Option<u32>,
    /// How many.
    pub blocks: u64,
}

/// A source, and what it does.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceNow {
    /// As it is shown.
    pub name: String,
    /// Whether it is asked, or sends.
    pub active: bool,
    /// Whether it lied.
    pub banned: bool,
    /// Bytes a second, in this contact or else in the last one.
    pub rate: u64,
    /// Failures in a row.
    pub failures: u32,
    /// Where it stands, in words.
    pub words: String,
}

/// All of it: as many runs as the file has blocks at most.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// Blocks from the first to the last.
    pub runs: Vec<Run>,
    /// Sources in the order in which they were learnt.
    pub sources: Vec<SourceNow>,
}

/// What it does now, or else what it did last.
fn standing(known: &Known) -> &str {
    match known.contact {
        Contact::Asked(_) => "is asked",
        Contact::Receiving(_) => "sends",
        _ => known.words(),
    }
}

impl Download {
    /// How it looks now.
    pub fn picture(&self, now: Instant) -> Picture {
        let known: Vec<&Known> = self.sources.iter().collect();
        let mut runs: Vec<Run> = Vec::new();
        for index in 0..self.map.len() {
            let range = self.map.range(index);
            let brings = |known: &&Known| {
                let left = known.left();
                known.is_active() && left.start < range.end && range.start < left.end
            };
            let bringer = known.iter().position(brings).and_then(|at| u32::try_from(at).ok());
            let (shade, source) = match (self.map.block(index), bringer) {
                (Block::Stored(_), _) => (Shade::Stored, None),
                (Block::Filling(_), bringer) => (Shade::Filling, bringer),
                (Block::Missing, Some(bringer)) => (Shade::Asked, Some(bringer)),
                (Block::Missing, None) => (Shade::Missing, None),
            };
            match runs.last_mut() {
                Some(run) if run.shade == shade && run.source == source => run.blocks += 1,
                _ => runs.push(Run { shade, source, blocks: 1 }),
            }
        }
        let sources = known.iter().map(|known| SourceNow {
            name: known.source.to_string(),
            active: known.is_active(),
            banned: known.contact == Contact::Banned,
            rate: known.rate_at(now).map_or(0, |rate| rate as u64),
            failures: known.failures,
            words: standing(known).to_owned(),
        });
        Picture { runs, sources: sources.collect() }
    }
}
