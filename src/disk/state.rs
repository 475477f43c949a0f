//! Small files of state: written whole, replaced in one step, by one process at a time.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A file of the state directory.
///
/// A reader finds the old content or the new one, never a part: [`StateFile::write`] writes beside it and
/// renames. Several processes may write (a servent, and a command that runs a private one): a lock in the
/// directory lets one after the other.
#[derive(Clone, Debug)]
pub struct StateFile {
    dir: PathBuf,
    name: &'static str,
}

/// Whether the content must survive a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durable {
    /// It must: synced before the rename.
    Yes,
    /// It may be lost; then the older one is there.
    No,
}

impl StateFile {
    /// The file `name` in the state directory `dir`.
    pub fn new(dir: &Path, name: &'static str) -> Self {
        Self { dir: dir.to_owned(), name }
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.dir.join(self.name)
    }

    /// Its content; `None` if there is none yet.
    pub fn read(&self) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.path()) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Replaces its content. May block: on the disk, and on another process that writes.
    pub fn write(&self, bytes: &[u8], durable: Durable) -> io::Result<()> {
        fs::create_dir_all(&self.dir)?;
        let lock = File::options().create(true).truncate(false).write(true).open(self.dir.join("writing"))?;
        lock.lock()?;
        let beside = self.dir.join(format!("{}.new", self.name));
        let mut file = File::create(&beside)?;
        file.write_all(bytes)?;
        if durable == Durable::Yes {
            file.sync_all()?;
        }
        drop(file);
        fs::rename(beside, self.path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_finds_nothing_then_what_was_written_last() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = StateFile::new(&dir.path().join("state"), "things.json");
        assert_eq!(file.read().expect("no error without a directory"), None);
        file.write(b"one, and long", Durable::No).expect("written");
        file.write(b"two", Durable::Yes).expect("written");
        assert_eq!(file.read().expect("read").as_deref(), Some(&b"two"[..]));
    }

    #[test]
    fn writers_at_the_same_time_leave_one_whole_content() {
        let dir = tempfile::tempdir().expect("a directory");
        let contents: Vec<Vec<u8>> = (0..8u8).map(|n| vec![n; 10_000 + usize::from(n)]).collect();
        std::thread::scope(|scope| {
            for content in &contents {
                let file = StateFile::new(dir.path(), "same");
                scope.spawn(move || (0..20).for_each(|_| file.write(content, Durable::No).expect("written")));
            }
        });
        let found = StateFile::new(dir.path(), "same").read().expect("read").expect("there");
        assert!(contents.contains(&found), "{} bytes", found.len());
    }
}
