//! How much room a folder has for files of ours, and whether they may be written there.

use std::io;
use std::path::Path;
use std::time::SystemTime;

/// Files whose times are looked at.
const LOOKED_AT: usize = 1000;

/// Bytes that can still be written into `dir`; where it is not there yet, into the folder that it would be made in.
/// Changes nothing: what is asked is what the system would allow.
pub fn room_in(dir: &Path) -> io::Result<u64> {
    let there = dir.ancestors().find(|path| path.exists()).ok_or(io::ErrorKind::NotFound)?;
    if !there.is_dir() {
        return Err(io::Error::new(io::ErrorKind::NotADirectory, format!("{} is no folder", there.display())));
    }
    #[cfg(unix)]
    {
        rustix::fs::access(there, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK)?;
        let system = rustix::fs::statvfs(there)?;
        Ok(system.f_bavail.saturating_mul(system.f_frsize))
    }
    #[cfg(not(unix))]
    Ok(u64::MAX)
}

/// Why something could not be written, in words: `the disk is full`.
pub fn why_unwritten(error: &io::Error) -> String {
    use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    match error.kind() {
        StorageFull => "the disk is full".to_owned(),
        QuotaExceeded => "your quota is used up".to_owned(),
        ReadOnlyFilesystem => "the file system is read-only".to_owned(),
        _ => error.to_string(),
    }
}

/// What to do about a file of the home that could not be written.
pub fn next_step(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "Free some space there, or say another --home DIR",
        io::ErrorKind::ReadOnlyFilesystem => "Say another --home DIR",
        _ => "Check who owns the state directory, or say another --home DIR",
    }
}

/// Whether others on this machine can look into a folder of ours. Where it is not there yet, they cannot. An error where
/// we could not use it ourselves.
pub fn open_to_others(dir: &Path) -> io::Result<bool> {
    match std::fs::metadata(dir) {
        Ok(_) => room_in(dir)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return room_in(dir).map(|_| false),
        Err(error) => return Err(error),
    };
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        Ok(std::fs::metadata(dir)?.permissions().mode() & 0o077 != 0)
    }
    #[cfg(not(unix))]
    Ok(false)
}

/// When a file in `dir` was written last, as far as the first thousand tell.
pub fn last_written(dir: &Path) -> Option<SystemTime> {
    let entries = std::fs::read_dir(dir).ok()?.take(LOOKED_AT);
    entries.filter_map(|entry| entry.ok()?.metadata().ok()?.modified().ok()).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_full_or_read_only_is_said_in_words() {
        use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        for (kind, why, next) in [
            (StorageFull, "the disk is full", "Free some space"),
            (QuotaExceeded, "your quota is used up", "Free some space"),
            (ReadOnlyFilesystem, "the file system is read-only", "Say another --home"),
            (PermissionDenied, "permission denied", "Check who owns"),
        ] {
            let error = io::Error::from(kind);
            assert_eq!(why_unwritten(&error), why);
            assert!(next_step(&error).starts_with(next), "{kind:?}");
        }
    }

    #[test]
    fn a_folder_has_room_and_a_file_is_none() {
        let dir = tempfile::tempdir().expect("a folder");
        assert!(room_in(dir.path()).expect("room") > 0);
        assert!(room_in(&dir.path().join("not/there/yet")).expect("room") > 0);
        let file = dir.path().join("file");
        std::fs::write(&file, b"").expect("written");
        assert!(room_in(&file.join("x")).is_err());
    }
}
