//! A download as a picture shows it.

use super::live::Live;
use crate::app::view::{BlocksView, RunView, SourceStateView};
use crate::transfer::blocks::block_size;

impl Live {
    /// Its blocks and sources now. Of one that ended in an earlier run only the end is known.
    pub(super) fn blocks(&self) -> BlocksView {
        let now = self.now();
        let inner = self.lock();
        let Some(machine) = inner.machine() else {
            let (size, done) = (inner.record.size, inner.record.done);
            let block_size = block_size(size.unwrap_or(0));
            let blocks = size.unwrap_or(0).div_ceil(block_size);
            let state = if size == Some(done) { "stored" } else { "missing" };
            let runs =
                if blocks > 0 { vec![RunView { state: state.to_owned(), blocks, source: None }] } else { vec![] };
            return BlocksView { size, block_size, blocks, runs, sources: Vec::new() };
        };
        let picture = machine.picture(now);
        let run = |run: &crate::transfer::download::Run| RunView {
            state: run.shade.word().to_owned(),
            blocks: run.blocks,
            source: run.source,
        };
        let source = |source: crate::transfer::download::SourceNow| SourceStateView {
            addr: source.name,
            active: source.active,
            banned: source.banned,
            rate_bps: source.rate,
            failures: source.failures,
            words: source.words,
        };
        BlocksView {
            size: machine.size(),
            block_size: machine.map().block_size(),
            blocks: machine.map().len() as u64,
            runs: picture.runs.iter().map(run).collect(),
            sources: picture.sources.into_iter().map(source).collect(),
        }
    }
}
