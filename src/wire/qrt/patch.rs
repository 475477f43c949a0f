//! Tables as messages: what changed between two of them, cut into pieces, and what came put together again.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use flate2::{Decompress, FlushDecompress, Status};

use super::{Draft, Qrt};
use crate::wire::coding::deflate;
use crate::wire::qrp::RouteTableUpdate;

/// What we call "not here": one more than the only distance that we tell.
const INFINITY: u8 = 2;
/// Bytes in one message; there are more where 255 pieces of this do not suffice.
const PIECE: usize = 1024;
/// Inflated bytes that are in memory at a time.
const INFLATED: usize = 4096;

/// The messages that turn `old`, which the receiver has, into `new`. None when it has that already. Four bits a slot: a
/// widely used client misreads changes told with one.
pub fn updates(old: Option<&Qrt>, new: &Qrt) -> Vec<RouteTableUpdate> {
    let old = old.filter(|old| old.bits == new.bits);
    let mut updates = Vec::new();
    if old.is_none() {
        updates.push(RouteTableUpdate::Reset { slots: 1 << new.bits, infinity: INFINITY });
    } else if old == Some(new) {
        return updates;
    }
    let mut nibbles = vec![0u8; new.len().div_ceil(2)];
    let (before, after) = (old.map(Qrt::to_draft), new.to_draft());
    for at in 0..after.words.len() {
        let (was, is) = (before.as_ref().map_or(0, |before| before.words[at]), after.words[at]);
        for bit in super::bits_of(was ^ is) {
            // From infinity (2) to here (1), or back; the higher half of a byte is the lower slot.
            let change: u8 = if is >> bit & 1 == 1 { 0xf } else { 0x1 };
            let slot = at * 64 + bit as usize;
            nibbles[slot / 2] |= change << (4 * (1 - slot % 2));
        }
    }
    let deflated = deflate(&nibbles).filter(|deflated| deflated.len() < nibbles.len());
    let (compressor, data) = deflated.map_or((0, nibbles), |deflated| (1, deflated));
    let data = Bytes::from(data);
    let size = PIECE.max(data.len().div_ceil(255));
    let count = data.len().div_ceil(size) as u8;
    updates.extend((1..=count).map(|sequence| {
        let from = (usize::from(sequence) - 1) * size;
        let data = data.slice(from..data.len().min(from + size));
        RouteTableUpdate::Patch { sequence, count, compressor, bits: 4, data }
    }));
    updates
}

/// Why what came is no table: the sender's fault, and the table as it was stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadPatch(&'static str);

impl fmt::Display for BadPatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for BadPatch {}

/// Puts the table of one peer together. While a patch is coming the table before it holds.
#[derive(Debug, Default)]
pub struct Receiver {
    table: Option<Arc<Qrt>>,
    /// What a patch changes when it is not what holds: an empty table after a reset.
    base: Option<Arc<Qrt>>,
    coming: Option<Box<Coming>>,
}

/// A patch of which not all pieces have come.
#[derive(Debug)]
struct Coming {
    draft: Draft,
    /// The number of the next piece.
    next: u8,
    count: u8,
    bits: u8,
    inflater: Option<Decompress>,
    /// The slot that the next change is for.
    slot: usize,
}

impl Receiver {
    /// The table that holds, if one ever came.
    pub fn table(&self) -> Option<&Arc<Qrt>> {
        self.table.as_ref()
    }

    /// How many slots the table has that a patch would change.
    pub fn slots(&self) -> usize {
        self.base.as_ref().or(self.table.as_ref()).map_or(0, |table| table.len())
    }

    /// Bytes of memory that it takes now, beside its own size.
    pub fn bytes(&self) -> usize {
        // A zlib window and its tables.
        let inflater = |coming: &Coming| coming.inflater.as_ref().map_or(0, |_| 44 * 1024);
        let coming = self.coming.as_ref().map_or(0, |coming| coming.draft.words.len() * 8 + inflater(coming));
        coming + self.table.as_ref().map_or(0, |table| table.bytes())
    }

    /// A message came. Whether another table holds now.
    pub fn on_update(&mut self, update: &RouteTableUpdate) -> Result<bool, BadPatch> {
        match update {
            RouteTableUpdate::Reset { infinity: 0, .. } => Err(BadPatch("an infinity of zero")),
            RouteTableUpdate::Reset { slots, .. } => {
                let empty = Arc::new(Qrt::empty(slots.trailing_zeros()));
                self.coming = None;
                self.base = Some(Arc::clone(&empty));
                let first = self.table.is_none();
                if first {
                    self.table = Some(empty);
                }
                Ok(first)
            }
            RouteTableUpdate::Patch { sequence, count, compressor, bits, data } => {
                if *sequence == 1 {
                    let base = self.base.as_ref().or(self.table.as_ref()).ok_or(BadPatch("a patch of no table"))?;
                    let inflater = match compressor {
                        0 => None,
                        1 => Some(Decompress::new(true)),
                        _ => return Err(BadPatch("an unknown compressor")),
                    };
                    let draft = base.to_draft();
                    let (count, bits) = (*count, *bits);
                    self.coming = Some(Box::new(Coming { draft, next: 1, count, bits, inflater, slot: 0 }));
                }
                self.on_piece(*sequence, *count, *bits, data)
            }
            RouteTableUpdate::Other { .. } => Err(BadPatch("an unknown variant")),
        }
    }

    fn on_piece(&mut self, sequence: u8, count: u8, bits: u8, data: &[u8]) -> Result<bool, BadPatch> {
        let Some(coming) = &mut self.coming else { return Err(BadPatch("a piece of no patch")) };
        let taken = if (sequence, count, bits) != (coming.next, coming.count, coming.bits) {
            Err(BadPatch("a piece out of turn"))
        } else if coming.inflater.is_some() {
            coming.inflate(data)
        } else {
            coming.change(data)
        };
        let slots = 1usize << coming.draft.bits;
        let whole = taken.and(match (coming.next == coming.count, coming.slot >= slots) {
            (true, false) => Err(BadPatch("a patch that ends early")),
            (last, _) => Ok(last),
        });
        if whole == Ok(false) {
            coming.next += 1;
            return Ok(false);
        }
        let coming = self.coming.take();
        whole?;
        self.base = None;
        self.table = coming.map(|coming| Arc::new(coming.draft.finish()));
        Ok(true)
    }
}

impl Coming {
    fn inflate(&mut self, mut data: &[u8]) -> Result<(), BadPatch> {
        let mut piece = [0; INFLATED];
        while let Some(stream) = &mut self.inflater {
            let (taken, made) = (stream.total_in(), stream.total_out());
            let status = stream.decompress(data, &mut piece, FlushDecompress::Sync);
            data = &data[(stream.total_in() - taken) as usize..];
            let made = (stream.total_out() - made) as usize;
            self.change(&piece[..made])?;
            match status {
                Err(_) => return Err(BadPatch("data that does not inflate")),
                Ok(Status::StreamEnd) => return Ok(()),
                Ok(_) if made == 0 && data.is_empty() => return Ok(()),
                Ok(_) if made == 0 => return Err(BadPatch("data that does not inflate")),
                Ok(_) => {}
            }
        }
        Ok(())
    }

    /// Applies changes, the first in the highest bits of a byte. Only "nearer" and "farther" count: less than nothing brings
    /// a slot from infinity to here, more takes it away. With one bit each it is a flip, as gtk-gnutella writes them.
    fn change(&mut self, bytes: &[u8]) -> Result<(), BadPatch> {
        let slots = 1usize << self.draft.bits;
        let each = 8 / usize::from(self.bits);
        // A table may be smaller than what a byte changes.
        if self.slot + bytes.len() * each > slots.max(each) {
            return Err(BadPatch("more changes than slots"));
        }
        for &byte in bytes {
            let at = self.slot;
            self.slot += each;
            if byte == 0 {
                continue;
            }
            for n in 0..each {
                let change = byte << (n * usize::from(self.bits)) >> (8 - self.bits);
                if change == 0 || at + n >= slots {
                    continue;
                }
                match self.bits {
                    1 => self.draft.flip(at + n),
                    bits => self.draft.set(at + n, change >> (bits - 1) == 1),
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn table(bits: u32, slots: impl IntoIterator<Item = u32>) -> Qrt {
        let mut draft = Draft::new(bits);
        slots.into_iter().for_each(|slot| draft.set(slot as usize % (1 << bits), true));
        draft.finish()
    }

    fn receive(receiver: &mut Receiver, updates: &[RouteTableUpdate]) -> Result<bool, BadPatch> {
        let mut changed = false;
        for update in updates {
            changed |= receiver.on_update(update)?;
        }
        Ok(changed)
    }

    fn reset(slots: u32) -> RouteTableUpdate {
        RouteTableUpdate::Reset { slots, infinity: 7 }
    }

    fn patch(sequence: u8, count: u8, compressor: u8, bits: u8, data: &[u8]) -> RouteTableUpdate {
        RouteTableUpdate::Patch { sequence, count, compressor, bits, data: Bytes::copy_from_slice(data) }
    }

    proptest! {
        #[test]
        fn what_is_told_arrives(
            first in prop::collection::btree_set(0..1u32 << 17, 0..3000),
            then in prop::collection::btree_set(0..1u32 << 17, 0..3000),
            bits in 1..=17u32,
            later in 1..=17u32,
        ) {
            let (old, new) = (table(bits, first), table(later, then));
            let mut receiver = Receiver::default();
            receive(&mut receiver, &updates(None, &old)).expect("a table");
            prop_assert_eq!(&**receiver.table().expect("a table"), &old);
            let changed = receive(&mut receiver, &updates(Some(&old), &new)).expect("a table");
            prop_assert_eq!(&**receiver.table().expect("a table"), &new);
            prop_assert_eq!(changed, old != new);
        }
    }

    #[test]
    fn a_full_table_goes_in_at_most_255_pieces() {
        // No two alike: it does not compress.
        let noise = (0..1u32 << 20).filter(|n| n.wrapping_mul(2_654_435_761) >> 31 == 1);
        let updates = updates(None, &table(20, noise));
        assert!(updates.len() <= 256, "{}", updates.len());
        let longest = updates.iter().map(|update| update.encode().len()).max();
        assert!(longest < Some(4 * 1024), "{longest:?}");
    }

    #[test]
    fn every_width_is_read() {
        for (bits, data) in [
            (1, &[0b0100_0000][..]),
            (2, &[0b0011_0000, 0]),
            (4, &[0x0f, 0, 0, 0]),
            (4, &[0x0a, 0, 0, 0]),
            (8, &[0, 0xff, 0, 0, 0, 0, 0, 0]),
            (8, &[0, 0xfa, 0, 0, 0, 0, 0, 0]),
        ] {
            let mut receiver = Receiver::default();
            assert_eq!(receive(&mut receiver, &[reset(8), patch(1, 1, 0, bits, data)]), Ok(true));
            let table = receiver.table().expect("a table");
            assert_eq!(table.each().collect::<Vec<_>>(), [1], "{bits} bits");
        }
        let mut receiver = Receiver::default();
        let taken = [reset(2), patch(1, 1, 0, 4, &[0xff]), patch(1, 1, 0, 4, &[0x01])];
        assert_eq!(receive(&mut receiver, &taken), Ok(true));
        assert_eq!(receiver.table().expect("a table").each().collect::<Vec<_>>(), [0]);
    }

    #[test]
    fn what_is_no_table_is_refused_and_the_old_one_stays() {
        let short = deflate(&[0; 4]).expect("room");
        let bomb = deflate(&[0; 1 << 16]).expect("room");
        for (why, update) in [
            ("an infinity of zero", RouteTableUpdate::Reset { slots: 8, infinity: 0 }),
            ("an unknown compressor", patch(1, 1, 2, 4, &[0; 4])),
            ("more changes than slots", patch(1, 1, 0, 4, &[0; 5])),
            ("more changes than slots", patch(1, 1, 1, 4, &bomb)),
            ("a patch that ends early", patch(1, 1, 0, 4, &[0; 3])),
            ("a patch that ends early", patch(1, 1, 1, 8, &short)),
            ("data that does not inflate", patch(1, 1, 1, 4, b"no zlib stream")),
            ("a piece of no patch", patch(2, 2, 0, 4, &[0; 2])),
            ("an unknown variant", RouteTableUpdate::Other { variant: 9, data: Bytes::new() }),
        ] {
            let mut receiver = Receiver::default();
            receive(&mut receiver, &updates(None, &table(3, [5]))).expect("a table");
            assert_eq!(receiver.on_update(&update), Err(BadPatch(why)));
            assert_eq!(**receiver.table().expect("a table"), table(3, [5]));
            assert!(receiver.coming.is_none());
        }
        assert_eq!(Receiver::default().on_update(&patch(1, 1, 0, 4, &[0])), Err(BadPatch("a patch of no table")));
        let mut receiver = Receiver::default();
        let turned = [reset(8), patch(1, 2, 0, 4, &[0; 2]), patch(2, 2, 0, 8, &[0; 4])];
        assert_eq!(receive(&mut receiver, &turned), Err(BadPatch("a piece out of turn")));
    }

    #[test]
    fn the_table_before_holds_while_a_patch_comes() {
        let (old, new) =
            (table(17, [5]), table(17, (0..20_000u32).map(|n| n.wrapping_mul(n).wrapping_mul(2_654_435_761) >> 7)));
        let mut receiver = Receiver::default();
        receive(&mut receiver, &updates(None, &old)).expect("a table");
        let again = updates(None, &new);
        assert!(again.len() > 3);
        for update in &again[..again.len() - 1] {
            assert_eq!(receiver.on_update(update), Ok(false));
            assert_eq!(**receiver.table().expect("a table"), old);
        }
        assert_eq!(receiver.on_update(&again[again.len() - 1]), Ok(true));
        assert_eq!(**receiver.table().expect("a table"), new);
    }
}
