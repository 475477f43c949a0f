//! State files: JSON in an envelope that names what it is and its version, replaced as a whole or not at all.
//!
//! A file is written beside the old one, synced, and renamed over it, so that a crash leaves one of the two. A
//! file that cannot be read is set aside as `NAME.corrupt-N` and said so; it is never deleted and never stops
//! the servent. Writers in several processes take turns by a lock in the same directory.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

/// State files of more bytes are neither read nor written: what could not be read back would be lost.
pub(super) const MAX_BYTES: u64 = 256 << 20;

/// One state file.
#[derive(Clone, Debug)]
pub struct StateFile {
    path: PathBuf,
    kind: &'static str,
    version: u32,
    /// The oldest version that is read.
    oldest: u32,
    /// Bytes that it may have.
    pub(super) most: u64,
}

/// What was in a state file.
#[derive(Clone, Debug, PartialEq)]
pub enum Loaded<T> {
    /// There is none yet.
    None,
    /// This.
    Some(T),
    /// Nothing that can be read; it was set aside. Tell the user.
    SetAside(String),
}

impl<T> Loaded<T> {
    /// The value, if there is one; a message about a file set aside goes to the log.
    pub fn or_log(self) -> Option<T> {
        match self {
            Self::None => None,
            Self::Some(value) => Some(value),
            Self::SetAside(message) => {
                log::warn!("{message}");
                None
            }
        }
    }
}

#[derive(Serialize)]
struct EnvelopeOut<'a, T> {
    filbert: &'a str,
    version: u32,
    data: &'a T,
}

#[derive(Deserialize)]
struct EnvelopeIn<T> {
    filbert: String,
    version: u32,
    data: T,
}

impl StateFile {
    /// The file `path`, which holds a `kind` of things in version `version`.
    pub fn new(path: impl Into<PathBuf>, kind: &'static str, version: u32) -> Self {
        Self { path: path.into(), kind, version, oldest: version, most: MAX_BYTES }
    }

    /// The same, which reads files of versions from `oldest` on too: the type that it is read as knows their shapes.
    pub fn since(self, oldest: u32) -> Self {
        Self { oldest, ..self }
    }

    /// What it holds, and the version of that.
    pub(super) fn kind(&self) -> (&'static str, u32) {
        (self.kind, self.version)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads it. A file that is not what it should be is set aside.
    pub fn load<T: DeserializeOwned>(&self) -> Loaded<T> {
        match self.load_any() {
            Loaded::None => Loaded::None,
            Loaded::Some((_, value)) => Loaded::Some(value),
            Loaded::SetAside(message) => Loaded::SetAside(message),
        }
    }

    /// The same, and of which version it is; only a file that is damaged is set aside.
    pub(super) fn load_damaged<T: DeserializeOwned>(&self) -> io::Result<Loaded<(u32, T)>> {
        let kept = [io::ErrorKind::NotFound, io::ErrorKind::InvalidData];
        match self.read::<T>() {
            Ok(value) => Ok(Loaded::Some(value)),
            Err(error) if kept.contains(&error.kind()) || self.path.is_dir() => Ok(self.load_any()),
            Err(error) => Err(error),
        }
    }

    /// The same, and of which version it is.
    fn load_any<T: DeserializeOwned>(&self) -> Loaded<(u32, T)> {
        let why = match self.read() {
            Ok(value) => return Loaded::Some(value),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Loaded::None,
            Err(error) => error,
        };
        match set_aside(&self.path) {
            Ok(aside) => Loaded::SetAside(format!(
                "{} cannot be read ({why}); it is kept as {} and begun anew",
                self.path.display(),
                aside.display()
            )),
            Err(error) => Loaded::SetAside(format!(
                "{} cannot be read ({why}) nor set aside ({error}); it is begun anew",
                self.path.display()
            )),
        }
    }

    /// Replaces it.
    pub fn save<T: Serialize>(&self, value: &T) -> io::Result<()> {
        let _turn = self.lock()?;
        self.write(value)
    }

    /// Reads, changes and replaces it, while no other process does.
    pub fn update<T: Serialize + DeserializeOwned + Default, R>(
        &self,
        change: impl FnOnce(&mut T) -> R,
    ) -> io::Result<R> {
        let _turn = self.lock()?;
        let mut value = self.load().or_log().unwrap_or_default();
        let result = change(&mut value);
        self.write(&value)?;
        Ok(result)
    }

    fn read<T: DeserializeOwned>(&self) -> io::Result<(u32, T)> {
        let size = fs::metadata(&self.path)?.len();
        let invalid = |text: String| io::Error::new(io::ErrorKind::InvalidData, text);
        if size > self.most {
            return Err(invalid(format!("{size} bytes, more than such a file ever has")));
        }
        let bytes = fs::read(&self.path)?;
        // Twice over the text: what another kind or version holds need not have the shape of ours.
        let envelope: EnvelopeIn<IgnoredAny> =
            serde_json::from_slice(&bytes).map_err(|error| invalid(error.to_string()))?;
        if envelope.filbert != self.kind || !(self.oldest..=self.version).contains(&envelope.version) {
            let (kind, version) = (envelope.filbert, envelope.version);
            return Err(invalid(format!(
                "it is `{kind}` version {version}, not `{}` version {}",
                self.kind, self.version
            )));
        }
        let ours: EnvelopeIn<T> = serde_json::from_slice(&bytes).map_err(|error| invalid(error.to_string()))?;
        Ok((ours.version, ours.data))
    }

    /// [`StateFile::save`] for whoever has the lock.
    pub(super) fn write<T: Serialize>(&self, value: &T) -> io::Result<()> {
        let envelope = EnvelopeOut { filbert: self.kind, version: self.version, data: value };
        let mut bytes = serde_json::to_vec_pretty(&envelope)?;
        bytes.push(b'\n');
        within(self.most, bytes.len() as u64)?;
        write_atomically(&self.path, &bytes)
    }

    /// Until it is dropped no other writer of that directory writes, in this process or another.
    pub(super) fn lock(&self) -> io::Result<File> {
        let dir = parent_of(&self.path);
        super::home::create_private(dir)?;
        let lock = super::home::private_file().write(true).create(true).truncate(false).open(dir.join("write.lock"))?;
        lock.lock()?;
        Ok(lock)
    }
}

/// An error where a file would have so many bytes that it is not read back.
pub(super) fn within(most: u64, bytes: u64) -> io::Result<()> {
    if bytes <= most {
        return Ok(());
    }
    let words = format!("it would have {bytes} bytes, more than the {most} that are read back");
    Err(io::Error::new(io::ErrorKind::FileTooLarge, words))
}

/// Replaces a file as a whole, readable by its owner alone: for state and secrets.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = parent_of(path);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let fresh = dir.join(name);
    let mut options = super::home::private_file();
    options.write(true).create(true).truncate(true);
    let written = options.open(&fresh).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    let renamed = written.and_then(|()| fs::rename(&fresh, path));
    if renamed.is_err() {
        // Best effort: the error that is returned matters more than a file left over.
        let _ = fs::remove_file(&fresh);
    }
    renamed?;
    sync_dir(dir)
}

/// Moves a file out of the way as `NAME.corrupt-N`, the first free N.
pub fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let mut number = 1_u32;
    loop {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".corrupt-{number}"));
        let aside = path.with_file_name(name);
        if !aside.exists() {
            fs::rename(path, &aside)?;
            return Ok(aside);
        }
        number += 1;
    }
}

/// Makes a folder and those above it that are missing, and makes them last: a file in a folder that is lost with
/// the power is lost too.
pub(super) fn make_dirs(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let missing: Vec<&Path> = dir.ancestors().take_while(|dir| !dir.as_os_str().is_empty() && !dir.exists()).collect();
    fs::create_dir_all(dir)?;
    missing.into_iter().try_for_each(|made| sync_dir(parent_of(made)))
}

/// Makes a rename last.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
}

pub(super) fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(dir: &tempfile::TempDir) -> StateFile {
        StateFile::new(dir.path().join("hosts.json"), "hosts", 1)
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let dir = tempfile::tempdir().expect("a folder");
        assert_eq!(file(&dir).load::<Vec<u32>>(), Loaded::None);
        file(&dir).save(&vec![1, 2, 3]).expect("saved");
        assert_eq!(file(&dir).load(), Loaded::Some(vec![1, 2, 3]));
        let sum = file(&dir).update(|list: &mut Vec<u32>| {
            list.push(4);
            list.iter().sum::<u32>()
        });
        assert_eq!(sum.expect("updated"), 10);
        assert_eq!(file(&dir).load(), Loaded::Some(vec![1, 2, 3, 4]));
    }

    #[test]
    fn what_cannot_be_read_is_set_aside_and_never_lost() {
        let dir = tempfile::tempdir().expect("a folder");
        let wrong = [
            "",
            "not json",
            r#"{"filbert":"hosts","version":1,"data":"no list"}"#,
            r#"{"filbert":"other","version":1,"data":[]}"#,
            r#"{"filbert":"hosts","version":9,"data":[]}"#,
        ];
        for (count, text) in wrong.iter().enumerate() {
            fs::write(file(&dir).path(), text).expect("written");
            match file(&dir).load::<Vec<u32>>() {
                Loaded::SetAside(message) => assert!(message.contains("hosts.json"), "{message}"),
                other => panic!("{text}: {other:?}"),
            }
            let aside = dir.path().join(format!("hosts.json.corrupt-{}", count + 1));
            assert_eq!(&fs::read_to_string(aside).expect("kept"), text);
            assert!(!file(&dir).path().exists());
        }
        file(&dir).save(&vec![7]).expect("saved");
        assert_eq!(file(&dir).load(), Loaded::Some(vec![7]));
    }

    #[test]
    fn what_would_not_be_read_back_is_not_written() {
        let dir = tempfile::tempdir().expect("a folder");
        let small = StateFile { most: 200, ..file(&dir) };
        small.save(&vec![7_u32; 10]).expect("small enough");
        let error = small.save(&vec![7_u32; 100]).expect_err("too much");
        assert!(error.to_string().contains("more than the 200 that are read back"), "{error}");
        assert_eq!(small.load(), Loaded::Some(vec![7_u32; 10]), "the old one is still there");
    }

    #[test]
    fn a_failed_save_leaves_the_old_state_and_nothing_else() {
        let dir = tempfile::tempdir().expect("a folder");
        let blocked = dir.path().join("blocked");
        fs::create_dir_all(blocked.join("full")).expect("a folder in the way");
        assert!(write_atomically(&blocked, b"new").is_err());
        let names: Vec<_> =
            fs::read_dir(dir.path()).expect("read").map(|entry| entry.expect("entry").file_name()).collect();
        assert_eq!(names, ["blocked"]);
    }

    #[cfg(unix)]
    #[test]
    fn state_is_readable_by_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a folder");
        file(&dir).save(&Vec::<u32>::new()).expect("saved");
        let mode = fs::metadata(file(&dir).path()).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn writers_take_turns() {
        let dir = tempfile::tempdir().expect("a folder");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10 {
                        file(&dir).update(|count: &mut u32| *count += 1).expect("updated");
                    }
                });
            }
        });
        assert_eq!(file(&dir).load(), Loaded::Some(40_u32));
    }
}
