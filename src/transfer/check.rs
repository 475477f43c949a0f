//! Computes those digests of a file that it is held against, and no others.

use sha1::Digest;

use super::Expected;
use crate::wire::{Blake3, Sha1, TigerTree};

/// Takes a file's bytes from first to last, in pieces of any length.
#[derive(Clone, Default)]
pub struct Checker {
    sha1: Option<sha1::Sha1>,
    tree: Option<TigerTree>,
    blake3: Option<blake3::Hasher>,
    taken: u64,
}

impl Checker {
    /// For what `expected` is checked by ([`Expected::checked`]).
    pub fn new(expected: &Expected) -> Self {
        let wanted = expected.checked();
        Self {
            sha1: wanted.sha1.map(|_| sha1::Sha1::new()),
            tree: wanted.tth.map(|_| TigerTree::new()),
            blake3: wanted.blake3.map(|_| blake3::Hasher::new()),
            taken: 0,
        }
    }

    /// Whether there is nothing to compute.
    pub fn is_idle(&self) -> bool {
        self.sha1.is_none() && self.tree.is_none() && self.blake3.is_none()
    }

    /// Bytes taken so far.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        if let Some(sha1) = &mut self.sha1 {
            sha1.update(bytes);
        }
        if let Some(tree) = &mut self.tree {
            tree.update(bytes);
        }
        if let Some(blake3) = &mut self.blake3 {
            blake3.update(bytes);
        }
        self.taken += bytes.len() as u64;
    }

    /// The digests of all bytes taken.
    pub fn finish(self) -> Expected {
        Expected {
            sha1: self.sha1.map(|sha1| Sha1(sha1.finalize().into())),
            tth: self.tree.map(TigerTree::finish),
            blake3: self.blake3.map(|blake3| Blake3(blake3.finalize().into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Digests;

    #[test]
    fn it_computes_what_is_checked_and_no_more() {
        let all = Expected::from(Digests::of(b"some bytes"));
        for expected in [
            Expected::default(),
            Expected { sha1: all.sha1, ..Expected::default() },
            Expected { blake3: None, ..all },
            all,
        ] {
            let mut checker = Checker::new(&expected);
            b"some bytes".chunks(3).for_each(|piece| checker.update(piece));
            assert_eq!((checker.taken(), checker.is_idle()), (10, expected == Expected::default()));
            assert_eq!(checker.finish(), expected.checked());
        }
    }
}
