//! A download that one process fetches for itself, while others share its state: a lock on a file named after
//! it, which the kernel lets go of when that process ends, however it ends.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// The download is ours while this lives.
#[derive(Debug)]
pub struct Claim {
    path: PathBuf,
    _file: File,
}

impl Claim {
    /// Claims a download whose number nobody else has yet.
    pub fn take(state: &Path, id: u64) -> io::Result<Self> {
        let path = path(state, id);
        super::home::create_private(&dir(state))?;
        let file = super::home::private_file().write(true).create(true).truncate(false).open(&path)?;
        file.lock()?;
        Ok(Self { path, _file: file })
    }

    /// Whether a process that lives has claimed it.
    pub fn is_held(state: &Path, id: u64) -> bool {
        let path = path(state, id);
        let Ok(file) = File::open(&path) else { return false };
        let held = matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock));
        if !held {
            // Left behind by one that was killed.
            remove(&path);
        }
        held
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

fn dir(state: &Path) -> PathBuf {
    state.join("claims")
}

fn path(state: &Path, id: u64) -> PathBuf {
    dir(state).join(id.to_string())
}

/// The folder too, when it was the last one.
fn remove(path: &Path) {
    let _ = fs::remove_file(path);
    let _ = path.parent().map(fs::remove_dir);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_lasts_as_long_as_its_holder() {
        let dir = tempfile::tempdir().expect("a folder");
        let state = dir.path().join("state");
        assert!(!Claim::is_held(&state, 7));
        let claim = Claim::take(&state, 7).expect("claimed");
        assert_eq!([Claim::is_held(&state, 7), Claim::is_held(&state, 8)], [true, false]);
        drop(claim);
        assert!(!Claim::is_held(&state, 7));
        // One that was killed leaves the file, but not the lock.
        std::fs::create_dir_all(state.join("claims")).expect("a folder");
        std::fs::write(state.join("claims/9"), "").expect("written");
        assert!(!Claim::is_held(&state, 9));
        assert!(!state.join("claims").exists(), "nothing is left");
    }
}
