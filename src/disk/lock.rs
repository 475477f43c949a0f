//! One servent per home: a lock that the kernel releases when its holder ends, however it ends.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::Path;

/// The right to be the servent of a home; given back when it is dropped, and by the kernel after `kill -9`.
#[derive(Debug)]
pub struct HomeLock {
    file: File,
}

/// Why there is no lock.
#[derive(Debug)]
pub enum LockError {
    /// A servent runs already; what it wrote about itself.
    Held(String),
    /// The lock file cannot be used.
    Io(io::Error),
}

impl HomeLock {
    /// Takes the lock of the home whose state directory is `state`; never waits.
    pub fn take(state: &Path) -> Result<Self, LockError> {
        fs::create_dir_all(state).map_err(LockError::Io)?;
        let path = state.join("lock");
        let mut file =
            File::options().create(true).truncate(false).read(true).write(true).open(path).map_err(LockError::Io)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file }),
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = Read::take(&mut file, 200).read_to_string(&mut holder);
                Err(LockError::Held(holder.trim().to_owned()))
            }
            Err(TryLockError::Error(error)) => Err(LockError::Io(error)),
        }
    }

    /// Leaves a line for those who find the lock taken: who holds it. It decides nothing.
    pub fn describe(&mut self, holder: &str) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        writeln!(self.file, "{holder}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_has_one_servent_at_a_time() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut first = HomeLock::take(dir.path()).expect("free");
        first.describe("pid 1").expect("written");
        match HomeLock::take(dir.path()) {
            Err(LockError::Held(holder)) => assert_eq!(holder, "pid 1"),
            other => panic!("{other:?}"),
        }
        drop(first);
        HomeLock::take(dir.path()).expect("free again");
    }
}
