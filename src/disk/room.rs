//! How much room a folder has for files of ours, and whether they may be written there.

use std::io;
use std::path::Path;

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

#[cfg(test)]
mod tests {
    use super::*;

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
