//! One servent per home: a lock that the kernel lets go of when its holder ends, however it ends.

use std::fmt;
use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// The home is ours while this lives.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Why the home is not ours.
#[derive(Debug)]
pub enum LockError {
    /// Another servent has it.
    Held {
        /// The state directory.
        state: PathBuf,
        /// Its process, if it said so.
        pid: Option<u32>,
    },
    /// The lock file cannot be made.
    Io(PathBuf, io::Error),
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held { state, pid: Some(pid) } => {
                write!(
                    f,
                    "a servent runs in this home already (process {pid}, {}): `filbert down` ends it",
                    state.display()
                )
            }
            Self::Held { state, pid: None } => {
                write!(f, "a servent runs in this home already ({}): `filbert down` ends it", state.display())
            }
            Self::Io(path, error) => {
                write!(f, "cannot lock {}: {error}. Is the home writable? Try another --home DIR", path.display())
            }
        }
    }
}

impl std::error::Error for LockError {}

impl Lock {
    /// Takes the home whose state directory this is; makes the directory if need be.
    pub fn take(state: &Path) -> Result<Self, LockError> {
        let path = state.join("lock");
        let failed = |error| LockError::Io(path.clone(), error);
        super::home::create_private(state).map_err(failed)?;
        let open = super::home::private_file().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = open.map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LockError::Held { state: state.to_owned(), pid: pid_in(&mut file) });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        // The pid is for messages only; the lock is what counts.
        file.set_len(0).map_err(failed)?;
        file.write_all(std::process::id().to_string().as_bytes()).map_err(failed)?;
        Ok(Self { _file: file })
    }

    /// Whether somebody holds the lock of that state directory now.
    pub fn is_held(state: &Path) -> bool {
        let file = File::open(state.join("lock"));
        file.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }
}

fn pid_in(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_servent_is_told_who_has_the_home() {
        let dir = tempfile::tempdir().expect("a folder");
        let state = dir.path().join("state");
        let first = Lock::take(&state).expect("free");
        match Lock::take(&state) {
            Err(LockError::Held { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
            other => panic!("taken twice: {other:?}"),
        }
        assert!(Lock::is_held(&state));
        drop(first);
        assert!(!Lock::is_held(&state));
        Lock::take(&state).expect("free again");
    }

    #[test]
    fn a_lock_file_left_behind_is_no_lock() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join("lock"), "4711").expect("a stale file");
        Lock::take(dir.path()).expect("free");
        let pid = std::fs::read_to_string(dir.path().join("lock")).expect("a file");
        assert_eq!(pid, std::process::id().to_string());
    }
}
