//! What we lately gave of a file, and to whom: so that those who fetch it from us together each ask for something else.
//!
//! An answer tells the asker which parts others are being given (`X-Given-Ranges`, ours): who knows those others gets
//! them there a moment later. Only what goes to askers who give on what they have is told: those who say where they
//! listen (`X-Node`). One of them cannot make it look as if all were given.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use crate::base::{HashSeed, Instant, Lru, Rng};
use crate::wire::Sha1;

/// Files of which it is remembered; the one that was asked for longest ago is forgotten.
const FILES: usize = 64;
/// Parts of each; of those to one asker. The oldest is forgotten.
const PARTS: usize = 64;
const TO_ONE: usize = 8;
/// What was asked for so long ago is there by now, or will not be.
const AGE: Duration = Duration::from_secs(15);
/// Who asks for more at once has it only after a long time.
const LARGEST: u64 = 4 << 20;

/// The table.
#[derive(Debug)]
pub struct Given {
    files: Lru<Sha1, Vec<Part>>,
}

#[derive(Debug)]
struct Part {
    to: SocketAddr,
    bytes: Range<u64>,
    at: Instant,
}

impl Given {
    /// An empty one.
    pub fn new(rng: &mut Rng) -> Self {
        Self { files: Lru::new(FILES, HashSeed::new(rng)) }
    }

    /// These bytes are sent to somebody who gives on what he has.
    pub fn note(&mut self, now: Instant, file: Sha1, to: SocketAddr, bytes: Range<u64>) {
        if bytes.is_empty() || bytes.end - bytes.start > LARGEST {
            return;
        }
        let parts = self.files.get_or_put(file, Vec::new);
        let of_one = parts.iter().filter(|part| part.to == to).count();
        if of_one >= TO_ONE
            && let Some(oldest) = parts.iter().position(|part| part.to == to)
        {
            parts.remove(oldest);
        } else if parts.len() >= PARTS {
            parts.remove(0);
        }
        parts.push(Part { to, bytes, at: now });
    }

    /// What others than `to` were given lately, in order, each byte once.
    pub fn others(&mut self, now: Instant, file: &Sha1, to: Option<SocketAddr>) -> Vec<Range<u64>> {
        let Some(parts) = self.files.get(file) else { return Vec::new() };
        parts.retain(|part| now.since(part.at) < AGE);
        let mut all: Vec<Range<u64>> =
            parts.iter().filter(|part| Some(part.to) != to).map(|it| it.bytes.clone()).collect();
        all.sort_by_key(|range| range.start);
        let mut told: Vec<Range<u64>> = Vec::new();
        for range in all {
            match told.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => told.push(range),
            }
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: Sha1 = Sha1([1; 20]);

    fn node(last: u8) -> SocketAddr {
        ([10, 0, 0, last], 6346).into()
    }

    #[test]
    fn each_is_told_what_the_others_were_given_lately() {
        let (mut given, start) = (Given::new(&mut Rng::from_number(1)), Instant::from_secs(100));
        given.note(start, FILE, node(1), 0..10);
        given.note(start, FILE, node(2), 30..40);
        given.note(start, FILE, node(2), 10..20);
        given.note(start + AGE / 2, FILE, node(3), 15..25);
        given.note(start, FILE, node(3), 0..LARGEST + 1);
        assert_eq!(given.others(start, &FILE, Some(node(4))), [0..25, 30..40]);
        assert_eq!(given.others(start, &FILE, Some(node(2))), [0..10, 15..25]);
        assert_eq!(given.others(start, &Sha1([2; 20]), Some(node(2))), []);
        assert_eq!(given.others(start + AGE, &FILE, Some(node(4))), std::iter::once(15..25).collect::<Vec<_>>());
    }

    #[test]
    fn it_is_bounded() {
        let (mut given, now) = (Given::new(&mut Rng::from_number(1)), Instant::from_secs(100));
        (0..1000).for_each(|n| given.note(now, FILE, node(1), 2 * n..2 * n + 1));
        assert_eq!(given.others(now, &FILE, Some(node(2))).len(), TO_ONE);
        (0..1000).for_each(|n| given.note(now, FILE, node(n as u8), 2 * n..2 * n + 1));
        assert_eq!(given.others(now, &FILE, Some(node(255))).len(), PARTS);
        (0..1000_u32).for_each(|n| given.note(now, Sha1([n as u8; 20]), node(1), 0..1));
        assert_eq!(given.files.len(), FILES);
    }
}
