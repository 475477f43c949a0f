//! The hash of the whole: brought up to the blocks that are there while others come, by whoever has time for it.
//!
//! It is lent out for a block at a time, so that nothing else waits for it. What it has read counts only if the whole is right
//! in the end: bytes may have been changed before or after they were read ([`Partial::check`]).

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::Partial;
use super::bytes::each_piece;
use crate::transfer::check::Checker;
use crate::transfer::{Block, Expected};
use crate::wire::AnyRoot;

/// Where the hash of the whole is.
pub(super) enum Hash {
    Here(Box<Checker>),
    /// Somebody is at it.
    Lent,
    /// A block could not be read: what is missing is read when all is there, and said then.
    AtTheEnd,
}

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Here(checker) => write!(f, "Here(at {})", checker.taken()),
            Self::Lent => f.write_str("Lent"),
            Self::AtTheEnd => f.write_str("AtTheEnd"),
        }
    }
}

/// The hash of the whole, and the block that it is to take next.
pub(super) struct Hashing {
    checker: Box<Checker>,
    file: Arc<File>,
    block: Range<u64>,
    /// How often it had been begun anew.
    begun: u32,
}

impl Hashing {
    /// Reads the block. `piece` is only room to read into.
    pub(super) fn run(&mut self, piece: &mut Vec<u8>) -> io::Result<()> {
        let (file, checker) = (&self.file, &mut self.checker);
        each_piece(file, self.block.clone(), piece, |bytes| checker.update(bytes))
    }
}

impl Partial {
    /// The block that it is to take next, if that is there and nobody is at it.
    pub(super) fn next_to_hash(&self) -> Option<Range<u64>> {
        let Hash::Here(checker) = &self.hash else { return None };
        let index = self.map.index_at(checker.taken());
        let there = matches!(self.map.block(index), Block::Stored(_));
        // With a tree only what that has proven is hashed.
        let right = self.proof.as_ref().is_none_or(|proof| proof.is_right(index));
        let block = checker.taken()..self.map.range(index).end;
        (there && right && !checker.is_idle() && !block.is_empty()).then_some(block)
    }

    /// Lends it out, if it is behind. It is to be given back.
    pub(super) fn lend_hash(&mut self) -> Option<Hashing> {
        let block = self.next_to_hash()?;
        self.hashed = block.end;
        match std::mem::replace(&mut self.hash, Hash::Lent) {
            Hash::Here(checker) => Some(Hashing { checker, file: Arc::clone(&self.file), block, begun: self.begun }),
            other => {
                self.hash = other;
                None
            }
        }
    }

    /// It has been lent out, and is not back.
    pub(super) fn is_hash_lent(&self) -> bool {
        matches!(self.hash, Hash::Lent)
    }

    /// Takes it back.
    pub(super) fn take_hash_back(&mut self, lent: Hashing, read: &io::Result<()>) {
        self.hash = match read {
            _ if lent.begun != self.begun => Hash::Here(self.fresh_checker()),
            Ok(()) => Hash::Here(lent.checker),
            Err(error) => {
                log::debug!("{}: {error}", self.part.display());
                Hash::AtTheEnd
            }
        };
    }

    /// What was hashed counts no more.
    pub(super) fn hash_anew(&mut self) {
        (self.hashed, self.begun) = (0, self.begun + 1);
        if !self.is_hash_lent() {
            self.hash = Hash::Here(self.fresh_checker());
        }
    }

    /// For what the blocks and the tree do not say: those that match a tree have its root, and all blocks together the BLAKE3.
    pub(super) fn fresh_checker(&self) -> Box<Checker> {
        let mut expected = self.spec.expected.checked();
        expected.blake3 = None;
        if let Some(AnyRoot::Tiger(_)) = self.proof.as_ref().map(|proof| proof.root()) {
            expected.tth = None;
        }
        Box::new(Checker::new(&expected))
    }

    /// What the hash says, the tree and the blocks.
    pub(super) fn with_roots(&self, mut digests: Expected) -> Expected {
        let wanted = self.spec.expected.checked();
        if let (Some(AnyRoot::Tiger(root)), Some(_)) = (self.proof.as_ref().map(|proof| proof.root()), wanted.tth) {
            digests.tth = Some(root);
        }
        digests.blake3 = wanted.blake3.and_then(|_| self.map.blake3());
        digests
    }
}
