//! The rows of both trees of what is shared, for those who ask.

use std::path::Path;
use std::sync::Arc;

use super::trees::Trees;
use crate::wire::{Blake3, Blake3Row, TreeRow, Tth};

/// What is kept of Tiger trees, and of the trees in BLAKE3s. What it does may block.
#[derive(Clone, Debug)]
pub struct BothTrees {
    /// For everybody (THEX).
    pub tiger: Arc<Trees<Tth>>,
    /// For other filberts.
    pub blake3: Arc<Trees<Blake3>>,
}

impl BothTrees {
    /// The rows kept in this folder. Nothing is read yet.
    pub fn new(cache: &Path) -> Self {
        Self { tiger: Arc::new(Trees::new(cache)), blake3: Arc::new(Trees::new(cache)) }
    }

    /// Keeps the rows of one file.
    pub(super) fn put(&self, tiger: &TreeRow, blake3: &Blake3Row) {
        self.tiger.put(&tiger.root(), tiger);
        self.blake3.put(&blake3.root(), blake3);
    }

    /// Ends what runs in the background, promptly.
    pub(super) fn stop(&self) {
        self.tiger.stop();
        self.blake3.stop();
    }
}
