//! Moving a finished file to its name, whatever has that name already.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::partial::DiskError;
use super::state::{make_dirs, sync_dir};
use crate::transfer::name;

/// What happens when the finished file's name is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnExists {
    /// Skip when the content is the same, else rename.
    #[default]
    SkipSame,
    /// The file that is there stays, and is the result.
    Skip,
    /// The new one becomes `NAME (2).EXT`.
    Rename,
    /// The new one takes its place.
    Overwrite,
}

/// A word that is no policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownPolicy(pub String);

impl fmt::Display for UnknownPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} says not what to do with a file that exists: skip, rename or overwrite", self.0)
    }
}

impl std::error::Error for UnknownPolicy {}

impl OnExists {
    /// Reads `skip`, `rename` or `overwrite`; without a word, the default.
    pub fn parse(word: Option<&str>) -> Result<Self, UnknownPolicy> {
        match word {
            None => Ok(Self::SkipSame),
            Some("skip") => Ok(Self::Skip),
            Some("rename") => Ok(Self::Rename),
            Some("overwrite") => Ok(Self::Overwrite),
            Some(other) => Err(UnknownPolicy(other.to_owned())),
        }
    }

    /// The word that [`OnExists::parse`] reads.
    pub const fn word(self) -> Option<&'static str> {
        match self {
            Self::SkipSame => None,
            Self::Skip => Some("skip"),
            Self::Rename => Some("rename"),
            Self::Overwrite => Some("overwrite"),
        }
    }
}

/// Names `NAME (N).EXT` that are tried.
const TRIES: u32 = 10_000;

/// Moves the file `from` to `dir/name` or beside it; returns where it is. `from` is gone then; on an error it
/// stays. A crash may undo it until [`make_last`].
pub fn place(from: &Path, dir: &Path, name: &str, on_exists: OnExists) -> Result<PathBuf, DiskError> {
    make_dirs(dir).map_err(|error| DiskError::new("make the folder", dir, &error))?;
    for n in 1..TRIES {
        let to = dir.join(if n == 1 { name.to_owned() } else { name::numbered(name, n) });
        let fail = |error: io::Error| DiskError::new("write", &to, &error);
        if on_exists == OnExists::Overwrite {
            move_over(from, &to).map_err(fail)?;
            return Ok(to);
        }
        if move_new(from, &to).map_err(fail)? {
            return Ok(to);
        }
        let stays = match on_exists {
            OnExists::Skip => true,
            OnExists::SkipSame => is_same(from, &to).map_err(fail)?,
            OnExists::Rename | OnExists::Overwrite => false,
        };
        if stays {
            fs::remove_file(from).map_err(|error| DiskError::new("remove", from, &error))?;
            return Ok(to);
        }
    }
    Err(DiskError::other(format!("every name from {name} on is taken in {}. Say another with --name", dir.display())))
}

/// Moves it back, as it cannot be made to last there; whether that is done.
pub fn take_back(placed: &Path, from: &Path) -> bool {
    move_new(placed, from).unwrap_or(false)
}

/// The names in the folder survive a crash.
pub fn make_last(dir: &Path) -> Result<(), DiskError> {
    sync_dir(dir).map_err(|error| DiskError::new("write", dir, &error))
}

/// Moves without taking anybody's place; `false` when the name is taken.
fn move_new(from: &Path, to: &Path) -> io::Result<bool> {
    // A second name is given, then the first one taken away: unlike a rename, this fails when `to` exists.
    match fs::hard_link(from, to) {
        Ok(()) => {
            fs::remove_file(from)?;
            return Ok(true);
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        Err(_) => {}
    }
    // No links there, or another file system: reserve the name, then move over our own empty file.
    match OpenOptions::new().write(true).create_new(true).open(to) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        Err(error) => return Err(error),
    }
    if let Err(error) = move_over(from, to) {
        let _ = fs::remove_file(to);
        return Err(error);
    }
    Ok(true)
}

/// Moves in one step; from another file system by way of a copy beside the target.
fn move_over(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {}
        other => return other,
    }
    let mut copy = std::ffi::OsString::from(".");
    copy.push(to.file_name().unwrap_or_default());
    copy.push(format!(".{}.new", std::process::id()));
    let copy = to.with_file_name(copy);
    let copied = fs::copy(from, &copy).and_then(|_| File::open(&copy)?.sync_all()).and_then(|()| fs::rename(&copy, to));
    if copied.is_err() {
        let _ = fs::remove_file(&copy);
    }
    copied?;
    fs::remove_file(from)
}

/// Whether two files hold the same bytes. A link or a folder is never the same.
fn is_same(one: &Path, other: &Path) -> io::Result<bool> {
    let (a, b) = (fs::symlink_metadata(one)?, fs::symlink_metadata(other)?);
    if !a.is_file() || !b.is_file() || a.len() != b.len() {
        return Ok(false);
    }
    let (mut a, mut b) = (File::open(one)?, File::open(other)?);
    let (mut x, mut y) = (vec![0; 1 << 18], vec![0; 1 << 18]);
    loop {
        let read = a.read(&mut x)?;
        if read == 0 {
            return Ok(b.read(&mut y)? == 0);
        }
        match b.read_exact(&mut y[..read]) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            other => other?,
        }
        if x[..read] != y[..read] {
            return Ok(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(there: Option<&str>, on_exists: OnExists) -> (String, Vec<(String, String)>) {
        let dir = tempfile::tempdir().expect("a folder");
        let (part, target) = (dir.path().join("part"), dir.path().join("done"));
        fs::create_dir(&target).expect("a folder");
        fs::write(&part, "new").expect("written");
        if let Some(text) = there {
            fs::write(target.join("a.txt"), text).expect("written");
        }
        let path = place(&part, &target, "a.txt", on_exists).expect("placed");
        assert!(!part.exists());
        let mut files: Vec<_> = fs::read_dir(&target)
            .expect("read")
            .map(|entry| entry.expect("entry").path())
            .map(|path| (file_name(&path), fs::read_to_string(&path).expect("read")))
            .collect();
        files.sort();
        (file_name(&path), files)
    }

    fn file_name(path: &Path) -> String {
        path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    #[test]
    fn each_policy_leaves_what_it_promises() {
        use OnExists::{Overwrite, Rename, Skip, SkipSame};
        let old = ("a.txt", "old");
        for (there, policy, result, left) in [
            (None, SkipSame, "a.txt", vec![("a.txt", "new")]),
            (None, Overwrite, "a.txt", vec![("a.txt", "new")]),
            (Some("old"), SkipSame, "a (2).txt", vec![("a (2).txt", "new"), old]),
            (Some("new"), SkipSame, "a.txt", vec![("a.txt", "new")]),
            (Some("old"), Skip, "a.txt", vec![old]),
            (Some("new"), Rename, "a (2).txt", vec![("a (2).txt", "new"), ("a.txt", "new")]),
            (Some("old"), Overwrite, "a.txt", vec![("a.txt", "new")]),
        ] {
            let left = left.into_iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect();
            assert_eq!(placed(there, policy), (result.to_owned(), left), "{there:?} {policy:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_link_in_the_way_is_not_followed() {
        let dir = tempfile::tempdir().expect("a folder");
        let secret = dir.path().join("secret");
        fs::write(&secret, "new").expect("written");
        fs::write(dir.path().join("part"), "new").expect("written");
        std::os::unix::fs::symlink(&secret, dir.path().join("a.txt")).expect("a link");
        let path = place(&dir.path().join("part"), dir.path(), "a.txt", OnExists::SkipSame).expect("placed");
        assert_eq!(file_name(&path), "a (2).txt");
    }
}
