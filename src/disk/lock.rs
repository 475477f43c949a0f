//! One servent per home: a lock that the kernel lets go of when its holder ends, however it ends.
//!
//! In the file is the number of the holder's process. What it says besides ([`Lock::tell`]) is for a disk that is full:
//! the file has its place already, so a few bytes more need none.

use std::fmt;
use std::fs::{File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::room::why_unwritten;

/// Bytes of the file that are read.
const MAX_TOLD: u64 = 256;

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
                let why = why_unwritten(error);
                write!(f, "cannot lock {}: {why}. Is the home writable? Try another --home DIR", path.display())
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
                return Err(LockError::Held { state: state.to_owned(), pid: read(&mut file).map(|(pid, _)| pid) });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        // The pid is for messages only; the lock is what counts.
        if let Err(error) = replace(&mut file, &std::process::id().to_string()) {
            log::debug!("cannot write to {}: {error}", path.display());
        }
        Ok(Self { _file: file })
    }

    /// Says something to whoever looks at the lock, also where the disk is full: for its holder.
    pub fn tell(state: &Path, words: &str) -> io::Result<()> {
        let mut file = super::home::private_file().write(true).open(state.join("lock"))?;
        replace(&mut file, &format!("{} {words}", std::process::id()))
    }

    /// What the holder of that state directory's lock said last, and who that was; it may have died since.
    pub fn told(state: &Path) -> Option<(u32, String)> {
        let (pid, words) = read(&mut File::open(state.join("lock")).ok()?)?;
        words.map(|words| (pid, words))
    }

    /// Takes back what it said.
    pub fn untell(state: &Path) {
        if Self::told(state).is_some_and(|(pid, _)| pid == std::process::id()) {
            let file = super::home::private_file().write(true).open(state.join("lock"));
            let _ = file.and_then(|mut file| replace(&mut file, &std::process::id().to_string()));
        }
    }

    /// Whether somebody holds the lock of that state directory now.
    pub fn is_held(state: &Path) -> bool {
        let file = File::open(state.join("lock"));
        file.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }
}

/// What is there is written over, not given back to the disk, which may have no other place for it.
fn replace(file: &mut File, text: &str) -> io::Result<()> {
    file.write_all(text.as_bytes())?;
    file.set_len(text.len() as u64)
}

/// The process, and what it said besides.
fn read(file: &mut File) -> Option<(u32, Option<String>)> {
    let mut text = String::new();
    file.take(MAX_TOLD).read_to_string(&mut text).ok()?;
    match text.trim().split_once(' ') {
        Some((pid, words)) => Some((pid.parse().ok()?, Some(words.to_owned()))),
        None => Some((text.trim().parse().ok()?, None)),
    }
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
    fn the_holder_may_say_something_and_take_it_back() {
        let dir = tempfile::tempdir().expect("a folder");
        let held = Lock::take(dir.path()).expect("free");
        assert_eq!(Lock::told(dir.path()), None);
        Lock::tell(dir.path(), "http://127.0.0.1:7346").expect("said");
        let said = Some((std::process::id(), "http://127.0.0.1:7346".to_owned()));
        assert_eq!(Lock::told(dir.path()), said);
        match Lock::take(dir.path()) {
            Err(LockError::Held { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
            other => panic!("taken twice: {other:?}"),
        }
        Lock::untell(dir.path());
        assert_eq!(Lock::told(dir.path()), None);
        Lock::tell(dir.path(), "http://127.0.0.1:7346").expect("said");
        drop(held);
        let _held = Lock::take(dir.path()).expect("free again");
        assert_eq!(Lock::told(dir.path()), None, "what another said does not last");
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
