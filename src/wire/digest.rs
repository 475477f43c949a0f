//! Bytes to content names: SHA-1, Tiger tree and BLAKE3 in one pass over the bytes.

use sha1::Digest;

use super::{Blake3, Blake3Row, Blake3Tree, Sha1, TigerTree, TreeRow, Tth, Urn};

/// The three names of one content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digests {
    /// SHA-1: what the network asks for.
    pub sha1: Sha1,
    /// Tiger tree root (THEX, 1024-byte leaves).
    pub tth: Tth,
    /// BLAKE3: our own.
    pub blake3: Blake3,
}

impl Digests {
    /// The names of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut digester = Digester::new();
        digester.update(bytes);
        digester.finish()
    }

    /// `urn:bitprint:`, which names SHA-1 and tree together.
    pub fn urn(&self) -> Urn {
        Urn::Bitprint(self.sha1, self.tth)
    }
}

/// Takes bytes in pieces of any length and yields the three names at the end. Its memory does not grow with
/// the content, but for one tree node each time the content doubles.
#[derive(Clone, Default)]
pub struct Digester {
    sha1: sha1::Sha1,
    tree: TigerTree,
    blake3: Blake3Tree,
}

impl Digester {
    /// Nothing hashed yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes. Pieces of 128 KiB and more let BLAKE3 use the whole width of the processor.
    pub fn update(&mut self, bytes: &[u8]) {
        self.sha1.update(bytes);
        self.tree.update(bytes);
        self.blake3.update(bytes);
    }

    /// The three names of all bytes taken.
    pub fn finish(self) -> Digests {
        self.finish_with_rows().0
    }

    /// ... and the rows of both trees that are kept for others.
    pub fn finish_with_rows(self) -> (Digests, TreeRow, Blake3Row) {
        let (tiger, blake3) = (self.tree.finish_row(), self.blake3.finish_row());
        let sha1 = Sha1(self.sha1.finalize().into());
        (Digests { sha1, tth: tiger.root(), blake3: blake3.root() }, tiger, blake3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_content_has_its_well_known_names() {
        let names = Digester::new().finish();
        assert_eq!(names.sha1.to_string(), "3I42H3S6NNFQ2MSVX7XZKYAYSCX5QBYJ");
        assert_eq!(names.tth.to_string(), "LWPNACQDBZRYXW3VHJVCJ64QBZNGHOHHHZWCLNQ");
        let blake3 = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
        assert_eq!(names.blake3.to_string(), blake3);
        assert_eq!(names, Digests::of(b""));
    }

    #[test]
    fn pieces_do_not_matter() {
        let bytes = vec![7; 5000];
        let mut digester = Digester::new();
        bytes.chunks(333).for_each(|piece| digester.update(piece));
        assert_eq!(digester.finish(), Digests::of(&bytes));
        assert_eq!(Digests::of(b"abc").sha1.to_string(), "VGMT4NSHA2AWVOR6EVYXQUGCNSONBWE5");
    }
}
