//! What the file system says about a file, as a [`Stamp`].

use std::fs::Metadata;

use crate::library::Stamp;

/// The stamp of a file.
#[cfg(unix)]
pub fn stamp_of(meta: &Metadata) -> Stamp {
    use std::os::unix::fs::MetadataExt;
    let nanos = |seconds: i64, nanos: i64| seconds.saturating_mul(1_000_000_000).saturating_add(nanos);
    Stamp {
        dev: meta.dev(),
        inode: meta.ino(),
        size: meta.len(),
        mtime_ns: nanos(meta.mtime(), meta.mtime_nsec()),
        ctime_ns: nanos(meta.ctime(), meta.ctime_nsec()),
    }
}

/// The stamp of a file: without inodes a change of content must show in size or time.
#[cfg(not(unix))]
pub fn stamp_of(meta: &Metadata) -> Stamp {
    let nanos = |time: std::io::Result<std::time::SystemTime>| {
        let since = time.ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
        since.map_or(0, |since| i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
    };
    Stamp { dev: 0, inode: 0, size: meta.len(), mtime_ns: nanos(meta.modified()), ctime_ns: nanos(meta.created()) }
}

/// A stamp in eight bytes: enough to tell that a file has changed, not to tell how it was.
///
/// Two stamps of one path look the same by chance once in four thousand million changes of the ctime alone, and
/// far less often when size, mtime or inode differ too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Print {
    /// Of all that a rename leaves as it is.
    pub(super) body: u32,
    /// Of the ctime.
    pub(super) ctime: u32,
}

impl Print {
    pub(super) fn of(stamp: &Stamp) -> Self {
        let Stamp { dev, inode, size, mtime_ns, ctime_ns } = *stamp;
        let body = [dev, inode, size, mtime_ns as u64].into_iter().fold(0, |sum, part| mix(sum ^ part));
        Self { body: (body >> 32) as u32, ctime: (mix(ctime_ns as u64) >> 32) as u32 }
    }
}

/// The finishing steps of splitmix64: each bit of the number changes half of the bits of the result.
pub(super) fn mix(number: u64) -> u64 {
    let mut number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}
