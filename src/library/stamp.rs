//! What tells whether a file is still the same, and how it is kept in few bytes.

use super::cells::{read_varint, varint};

/// What tells whether a file is still the one that was hashed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Stamp {
    /// Device.
    pub dev: u64,
    /// Inode.
    pub inode: u64,
    /// Bytes.
    pub size: u64,
    /// Modified, in nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Changed, in nanoseconds since 1970.
    pub ctime_ns: i64,
}

/// A stamp as it is kept: 15 to 25 bytes for most files instead of 40, 48 at the most.
pub(super) struct Packed {
    bytes: [u8; 48],
    length: usize,
}

impl Packed {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Stamp {
    pub(super) fn pack(&self) -> Packed {
        let mut packed = Packed { bytes: [0; 48], length: 0 };
        let mut push = |bytes: &[u8]| {
            packed.bytes[packed.length..packed.length + bytes.len()].copy_from_slice(bytes);
            packed.length += bytes.len();
        };
        // Most files were changed for the last time when, or soon after, they were written.
        let later = self.ctime_ns.wrapping_sub(self.mtime_ns);
        let later = (later << 1 ^ later >> 63) as u64;
        for value in [self.size, self.dev, self.inode, later] {
            push(varint(value, &mut [0; 10]));
        }
        push(&self.mtime_ns.to_le_bytes());
        packed
    }

    /// Reads what [`Stamp::pack`] wrote, and tells how many bytes it was.
    pub(super) fn unpack(bytes: &[u8]) -> (Self, usize) {
        let (size, rest) = read_varint(bytes);
        let (dev, rest) = read_varint(rest);
        let (inode, rest) = read_varint(rest);
        let (later, rest) = read_varint(rest);
        let (mtime, after) = rest.split_first_chunk().expect("a packed stamp ends in eight bytes");
        let mtime_ns = i64::from_le_bytes(*mtime);
        let later = (later >> 1) as i64 ^ -((later & 1) as i64);
        let stamp = Self { dev, inode, size, mtime_ns, ctime_ns: mtime_ns.wrapping_add(later) };
        (stamp, bytes.len() - after.len())
    }

    /// The size alone.
    pub(super) fn unpack_size(bytes: &[u8]) -> u64 {
        read_varint(bytes).0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_come_back_as_they_went() {
        let usual = Stamp {
            dev: 0xfd01,
            inode: 12_345_678,
            size: 4_000_000,
            mtime_ns: 1_700_000_000_123_456_789,
            ctime_ns: 1_700_000_000_123_460_000,
        };
        assert_eq!(usual.pack().bytes().len(), 21);
        let most = Stamp { dev: u64::MAX, inode: u64::MAX, size: u64::MAX, mtime_ns: i64::MIN, ctime_ns: i64::MAX };
        let before = Stamp { ctime_ns: -5, mtime_ns: 7, ..usual };
        for stamp in [Stamp::default(), usual, most, before, Stamp { mtime_ns: i64::MAX, ctime_ns: i64::MIN, ..most }] {
            let packed = stamp.pack();
            let bytes = [packed.bytes(), b"more"].concat();
            assert_eq!(Stamp::unpack(&bytes), (stamp, packed.bytes().len()));
            assert_eq!(Stamp::unpack_size(&bytes), stamp.size);
        }
    }
}
