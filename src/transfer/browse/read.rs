//! A list of somebody else: bytes of a body, cut anywhere, to query hits.
//!
//! A stranger sends it, so nothing of it is trusted: it may inflate to [`MAX_BYTES`] and by the ratio of
//! [`Inflater`], a message has at most 64 KiB, and what is no message ends it.

use crate::wire::deflated::Inflater;
use crate::wire::hit::QueryHit;
use crate::wire::stream::{FrameReader, PAYLOAD_LIMIT};
use crate::wire::{Frame, Kind};

/// Bytes of one list, inflated.
pub const MAX_BYTES: u64 = 128 << 20;
/// Bytes that are inflated at a time.
const PIECE: usize = 16 * 1024;

/// Reads a list.
#[derive(Debug)]
pub struct Reader {
    inflater: Option<Inflater>,
    frames: FrameReader,
    bytes: u64,
}

impl Reader {
    /// For a list that is deflated, or not.
    pub fn new(deflated: bool) -> Self {
        let inflater = deflated.then(Inflater::default);
        Self { inflater, frames: FrameReader::new(PAYLOAD_LIMIT), bytes: 0 }
    }

    /// Takes some of the body and hands out the hits that are whole. After an error, in words that follow "it", nothing
    /// more can be read.
    pub fn push(&mut self, mut bytes: &[u8], mut each: impl FnMut(QueryHit)) -> Result<(), String> {
        if self.inflater.is_none() {
            return self.take(bytes, &mut each);
        }
        let mut piece = vec![0; PIECE];
        while let Some(inflater) = &mut self.inflater {
            let made = inflater.fill(&mut bytes, &mut piece).map_err(|error| format!("sent nonsense: {error}"))?;
            if made == 0 {
                break;
            }
            self.take(&piece[..made], &mut each)?;
        }
        Ok(())
    }

    /// The body is over: is the list?
    pub fn end(&self) -> Result<(), String> {
        let cut = self.inflater.as_ref().is_some_and(|inflater| !inflater.has_ended());
        if cut || self.frames.pending() > 0 {
            return Err("ended its list in the middle".to_owned());
        }
        Ok(())
    }

    fn take(&mut self, bytes: &[u8], each: &mut impl FnMut(QueryHit)) -> Result<(), String> {
        self.bytes += bytes.len() as u64;
        if self.bytes > MAX_BYTES {
            return Err(format!("sent more than {} MiB", MAX_BYTES >> 20));
        }
        let nonsense = |error| format!("sent nonsense: {error}");
        self.frames.push(bytes);
        while let Some(Frame { header, payload }) = self.frames.next_frame().map_err(nonsense)? {
            // Messages of other kinds say nothing of files.
            if header.kind == Kind::QueryHit {
                each(QueryHit::decode(&payload).map_err(nonsense)?);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::deflated::Deflater;

    #[test]
    fn what_is_no_list_is_found_out() {
        let bomb = {
            let mut wire = Vec::new();
            Deflater::default().push(&vec![0; 50 << 20], &mut wire);
            wire
        };
        for (what, deflated, bytes) in [
            ("a page", false, &b"<!DOCTYPE html><html><body>a page, not messages</body></html>"[..]),
            ("what is not deflated", true, b"<!DOCTYPE html>"),
            ("a bomb", true, &bomb),
        ] {
            let error = Reader::new(deflated).push(bytes, |_| panic!("a hit in {what}")).expect_err(what);
            assert!(error.starts_with("sent nonsense"), "{what}: {error}");
        }
        let mut reader = Reader::new(false);
        assert_eq!(reader.push(&[0; 10], |_| ()), Ok(()));
        assert_eq!(reader.end(), Err("ended its list in the middle".to_owned()));
        assert!(Reader::new(true).end().is_err(), "a deflated list has an end of its own");
        assert_eq!(Reader::new(false).end(), Ok(()), "an empty list is one");
    }

    #[test]
    fn a_list_without_end_ends_here() {
        let ping = [&[0; 16][..], &[0, 1, 0], &60_000_u32.to_le_bytes(), &[0; 60_000]].concat();
        let mut reader = Reader::new(false);
        let error = (0..).find_map(|_| reader.push(&ping, |_| ()).err()).expect("an end");
        assert_eq!(error, "sent more than 128 MiB");
    }
}
