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
