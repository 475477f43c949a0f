//! Text of many small pieces in a few large pages: the names of files and folders, each with a little beside it.
//!
//! A piece has a handle of four bytes. Its place is used again for one of the same length (in steps of four bytes)
//! when it is gone; when all are gone, the pages are given back.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsStr;

/// Bytes of a page. A piece that is longer has a page of its own.
const PAGE: usize = 64 * 1024;
/// Handles count in steps of so many bytes.
const STEP: usize = 4;
const STEPS: usize = PAGE / STEP;

/// Pieces of bytes.
#[derive(Debug, Default)]
pub(super) struct Cells {
    pages: Vec<Box<[u8]>>,
    /// The page that is being filled, and the next step in it.
    filling: Option<(usize, usize)>,
    /// By length in steps: the latest place that is free, which names the one before in its first bytes.
    free: BTreeMap<u32, u32>,
    live: usize,
}

impl Cells {
    /// Keeps a name and what belongs to it. The handle is for [`Cells::name`], [`Cells::more`] and [`Cells::remove`].
    pub(super) fn put(&mut self, name: &[u8], more: &[u8]) -> u32 {
        let mut head = [0; 10];
        let head = varint(name.len() as u64, &mut head);
        let cell = self.room(head.len() + name.len() + more.len());
        let bytes = self.bytes_mut(cell);
        let (first, rest) = bytes.split_at_mut(head.len());
        first.copy_from_slice(head);
        let (second, rest) = rest.split_at_mut(name.len());
        second.copy_from_slice(name);
        rest[..more.len()].copy_from_slice(more);
        cell
    }

    /// The name.
    pub(super) fn name(&self, cell: u32) -> &[u8] {
        self.parts(cell).0
    }

    /// What was put beside the name, and whatever comes behind it: its reader knows where it ends.
    pub(super) fn more(&self, cell: u32) -> &[u8] {
        self.parts(cell).1
    }

    /// Puts something else beside the name, of the same length as before.
    pub(super) fn overwrite(&mut self, cell: u32, more: &[u8]) {
        let at = self.bytes(cell).len() - self.more(cell).len();
        self.bytes_mut(cell)[at..at + more.len()].copy_from_slice(more);
    }

    /// Forgets a piece; `more` is the length of what was put beside the name.
    pub(super) fn remove(&mut self, cell: u32, more: usize) {
        let bytes = self.bytes(cell);
        let length = bytes.len() - self.more(cell).len() + more;
        self.live -= 1;
        if self.live == 0 {
            *self = Self::default();
            return;
        }
        let before = self.free.insert(steps(length), cell).unwrap_or(u32::MAX);
        self.bytes_mut(cell)[..4].copy_from_slice(&before.to_le_bytes());
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    fn parts(&self, cell: u32) -> (&[u8], &[u8]) {
        let bytes = self.bytes(cell);
        let (length, rest) = read_varint(bytes);
        rest.split_at(length as usize)
    }

    fn bytes(&self, cell: u32) -> &[u8] {
        &self.pages[cell as usize / STEPS][cell as usize % STEPS * STEP..]
    }

    fn bytes_mut(&mut self, cell: u32) -> &mut [u8] {
        &mut self.pages[cell as usize / STEPS][cell as usize % STEPS * STEP..]
    }

    /// A place for so many bytes.
    fn room(&mut self, bytes: usize) -> u32 {
        self.live += 1;
        let steps = steps(bytes);
        if let Some(&cell) = self.free.get(&steps) {
            let (before, _) = self.bytes(cell).split_first_chunk().expect("no piece is shorter than a step");
            match u32::from_le_bytes(*before) {
                u32::MAX => self.free.remove(&steps),
                before => self.free.insert(steps, before),
            };
            return cell;
        }
        let handle = |page: usize, step: usize| (page * STEPS + step) as u32;
        let steps = steps as usize;
        if steps > STEPS {
            self.pages.push(vec![0; steps * STEP].into_boxed_slice());
            return handle(self.pages.len() - 1, 0);
        }
        let (page, step) = match self.filling {
            Some((page, step)) if step + steps <= STEPS => (page, step),
            _ => {
                self.pages.push(vec![0; PAGE].into_boxed_slice());
                (self.pages.len() - 1, 0)
            }
        };
        self.filling = Some((page, step + steps));
        handle(page, step)
    }
}

fn steps(bytes: usize) -> u32 {
    bytes.max(1).div_ceil(STEP) as u32
}

/// A number in as few bytes as it needs, seven bits each, the low ones first.
pub(super) fn varint(mut value: u64, buffer: &mut [u8; 10]) -> &[u8] {
    let mut length = 0;
    loop {
        buffer[length] = (value & 0x7f) as u8 | if value > 0x7f { 0x80 } else { 0 };
        length += 1;
        value >>= 7;
        if value == 0 {
            return &buffer[..length];
        }
    }
}

/// Reads what [`varint`] wrote; the rest follows.
pub(super) fn read_varint(bytes: &[u8]) -> (u64, &[u8]) {
    let (mut value, mut shift) = (0, 0);
    for (at, byte) in bytes.iter().enumerate() {
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return (value, &bytes[at + 1..]);
        }
        shift = (shift + 7).min(63);
    }
    (value, &[])
}

/// A part of a path as it was before [`OsStr::as_encoded_bytes`].
#[cfg(unix)]
pub(super) fn os_name(bytes: &[u8]) -> Cow<'_, OsStr> {
    Cow::Borrowed(std::os::unix::ffi::OsStrExt::from_bytes(bytes))
}

/// A part of a path as it was before [`OsStr::as_encoded_bytes`]. Where names are no bytes, those that are no
/// Unicode either come back with marks in place of what is none: such files are listed, but cannot be opened.
#[cfg(not(unix))]
pub(super) fn os_name(bytes: &[u8]) -> Cow<'_, OsStr> {
    match String::from_utf8_lossy(bytes) {
        Cow::Borrowed(text) => Cow::Borrowed(OsStr::new(text)),
        Cow::Owned(text) => Cow::Owned(text.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_any_length_are_kept_and_their_places_used_again() {
        let mut cells = Cells::default();
        let name = |length: usize| vec![b'a' + (length % 26) as u8; length];
        let lengths = [0, 1, 3, 4, 35, 255, 300, 70_000, PAGE - 3, 2 * PAGE];
        let kept: Vec<u32> = lengths.iter().map(|length| cells.put(&name(*length), &[7, 8])).collect();
        for (cell, length) in kept.iter().zip(lengths) {
            assert_eq!((cells.name(*cell), &cells.more(*cell)[..2]), (&*name(length), &[7, 8][..]));
        }
        cells.overwrite(kept[4], &[9, 10]);
        assert_eq!((cells.name(kept[4]), &cells.more(kept[4])[..2]), (&*name(35), &[9, 10][..]));
        let pages = cells.pages.len();
        cells.remove(kept[4], 2);
        cells.remove(kept[9], 2);
        let again = [cells.put(&name(34), &[7, 8, 9]), cells.put(&name(2 * PAGE), &[1, 2])];
        assert_eq!((again, cells.pages.len()), ([kept[4], kept[9]], pages));
        assert_eq!((cells.name(again[0]), &cells.more(again[0])[..3]), (&*name(34), &[7, 8, 9][..]));
        for cell in [&kept[..4], &kept[5..9], &again[1..]].concat() {
            cells.remove(cell, 2);
        }
        cells.remove(again[0], 3);
        assert!(cells.is_empty());
    }

    #[test]
    fn numbers_come_back_as_they_went() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut buffer = [0; 10];
            let bytes = [varint(value, &mut buffer), b"rest"].concat();
            assert_eq!(read_varint(&bytes), (value, &b"rest"[..]));
        }
    }
}
