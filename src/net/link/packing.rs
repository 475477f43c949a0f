//! When what we send on a link is compressed, and when it is only wrapped.
//!
//! A compressor costs some 270 KB, and is worth it only where much is sent: a link that sends [`PACK_FROM`] bytes within
//! [`WINDOW`] gets one, keeps it while that goes on, and lets it go after a window with less. Otherwise what it sends is
//! stored in the same zlib stream at five bytes a write. At most [`PACKERS`] links have one at a time: the others store
//! until one is let go.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::wire::deflated::Deflater;

/// So many bytes within that time are worth a compressor.
const PACK_FROM: usize = 4 * 1024;
const WINDOW: Duration = Duration::from_secs(5);
/// Compressors of all links at the same time: 17 MB.
const PACKERS: usize = 64;

/// How many compressors there are, counted by all links together.
#[derive(Clone, Debug, Default)]
pub(in crate::net) struct Packers(Arc<AtomicUsize>);

impl Packers {
    fn take(&self) -> Option<Permit> {
        let more = |taken| (taken < PACKERS).then_some(taken + 1);
        self.0.fetch_update(Relaxed, Relaxed, more).ok().map(|_| Permit(Arc::clone(&self.0)))
    }
}

/// For one compressor.
struct Permit(Arc<AtomicUsize>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// The coded end of what one link sends.
pub(super) struct Packing {
    deflater: Deflater,
    packers: Packers,
    permit: Option<Permit>,
    since: Instant,
    /// Since then.
    bytes: usize,
}

impl Packing {
    pub(super) fn new(packers: Packers) -> Self {
        Self { deflater: Deflater::default(), packers, permit: None, since: Instant::now(), bytes: 0 }
    }

    /// The bytes for the wire.
    pub(super) fn code(&mut self, pieces: VecDeque<Bytes>) -> Vec<u8> {
        let (bytes, mut coded) = (Vec::from(pieces).concat(), Vec::new());
        if self.permit.is_none() && self.since.elapsed() >= WINDOW {
            (self.since, self.bytes) = (Instant::now(), 0);
        }
        self.bytes += bytes.len();
        if self.permit.is_none() && self.bytes >= PACK_FROM {
            self.permit = self.packers.take();
        }
        match self.permit {
            Some(_) => self.deflater.push(&bytes, &mut coded),
            None => self.deflater.store(&bytes, &mut coded),
        }
        coded
    }

    /// Whether it has a compressor.
    pub(super) fn packs(&self) -> bool {
        self.permit.is_some()
    }

    /// When to look whether the compressor is still worth it; `None` while there is none.
    pub(super) fn rest_at(&self) -> Option<Instant> {
        self.permit.as_ref().map(|_| self.since + WINDOW)
    }

    /// A window is over.
    pub(super) fn rest_if_quiet(&mut self) {
        if self.bytes < PACK_FROM {
            self.deflater.rest();
            self.permit = None;
        }
        (self.since, self.bytes) = (Instant::now(), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(packing: &mut Packing, bytes: usize) -> usize {
        packing.code(VecDeque::from([Bytes::from(vec![b'a'; bytes])])).len()
    }

    #[test]
    fn a_compressor_comes_with_a_load_and_goes_when_it_is_over() {
        let packers = Packers::default();
        let mut packing = Packing::new(packers.clone());
        assert_eq!(code(&mut packing, 100), 2 + 5 + 100, "the head of the stream, and stored");
        assert_eq!((packing.rest_at(), packers.0.load(Relaxed)), (None, 0));
        assert!(code(&mut packing, PACK_FROM) < 100, "packed");
        assert!(packing.rest_at().is_some());
        packing.rest_if_quiet();
        assert_eq!(packers.0.load(Relaxed), 1, "much was sent in that window");
        assert!(code(&mut packing, 100) < 50, "packed, and refers to what was before");
        packing.rest_if_quiet();
        assert_eq!((packing.rest_at(), packers.0.load(Relaxed)), (None, 0));
        assert_eq!(code(&mut packing, 100), 105);
        assert!(!packing.deflater.packs());
    }

    #[test]
    fn there_are_only_so_many_and_the_others_store() {
        let packers = Packers::default();
        let mut links: Vec<_> = (0..=PACKERS).map(|_| Packing::new(packers.clone())).collect();
        let sent: Vec<_> = links.iter_mut().map(|link| code(link, PACK_FROM)).collect();
        assert!(sent[..PACKERS].iter().all(|&sent| sent < 100));
        assert_eq!(sent[PACKERS], 7 + PACK_FROM);
        links.remove(0);
        assert!(code(&mut links[PACKERS - 1], 1) < 50, "one is free now");
    }
}
