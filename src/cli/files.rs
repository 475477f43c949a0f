//! The few files that the command line writes itself: whole or not at all, secrets for the owner alone.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use super::exit::{Exit, Failure};
use crate::disk::{next_step, why_unwritten};

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrecy {
    /// As the umask says.
    Plain,
    /// The owner alone: mode 0600.
    Owner,
}

/// Writes a file beside its place and renames it there, so that a reader sees the old or the new one. Folders
/// on the way are made; those above a secret are the owner's.
pub fn write(path: &Path, bytes: &[u8], secrecy: Secrecy) -> Result<(), Failure> {
    try_write(path, bytes, secrecy).map_err(|error| {
        let failure = unwritten(path, &error);
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => failure.hint("Free some space there"),
            _ => failure,
        }
    })
}

/// The same, for files of the home.
pub fn write_in_home(path: &Path, bytes: &[u8], secrecy: Secrecy) -> Result<(), Failure> {
    try_write(path, bytes, secrecy).map_err(|error| unwritten(path, &error).hint(next_step(&error)))
}

fn try_write(path: &Path, bytes: &[u8], secrecy: Secrecy) -> io::Result<()> {
    // A name alone is in the folder where we are.
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    make_dir(dir, secrecy)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = dir.join(format!(".{name}.{}", std::process::id()));
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    restrict(&mut options, secrecy);
    let written = options.open(&beside).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.and_then(|()| fs::rename(&beside, path)).inspect_err(|_| {
        let _ = fs::remove_file(&beside);
    })?;
    // Without this the rename may be lost with the power.
    if cfg!(unix) { fs::File::open(dir)?.sync_all() } else { Ok(()) }
}

fn unwritten(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("cannot write {}: {}", path.display(), why_unwritten(error)))
}

/// Makes that of a file which is opened.
#[cfg(unix)]
pub fn restrict(options: &mut OpenOptions, secrecy: Secrecy) {
    use std::os::unix::fs::OpenOptionsExt;
    if secrecy == Secrecy::Owner {
        options.mode(0o600);
    }
}

/// Makes that of a file which is opened.
#[cfg(not(unix))]
pub fn restrict(_: &mut OpenOptions, _: Secrecy) {}

/// Makes a folder for its owner alone, and those on the way to it.
pub fn private_dir(dir: &Path) -> io::Result<()> {
    make_dir(dir, Secrecy::Owner)
}

#[cfg(unix)]
fn make_dir(dir: &Path, secrecy: Secrecy) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let mut builder = fs::DirBuilder::new();
    if secrecy == Secrecy::Owner {
        builder.mode(0o700);
    }
    builder.recursive(true).create(dir)
}

#[cfg(not(unix))]
fn make_dir(dir: &Path, _: Secrecy) -> io::Result<()> {
    fs::create_dir_all(dir)
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_secret_is_for_its_owner_alone_and_nothing_lies_beside_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("state").join("token");
        write(&path, b"one", Secrecy::Owner).expect("written");
        write(&path, b"two", Secrecy::Owner).expect("written again");
        assert_eq!(fs::read(&path).expect("there"), b"two");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(&dir.path().join("state")), 0o700);
        assert_eq!(fs::read_dir(dir.path().join("state")).expect("a folder").count(), 1);
    }

    #[test]
    fn what_cannot_be_written_is_named() {
        let failure = write(Path::new("/proc/nowhere/file"), b"", Secrecy::Plain).expect_err("no such place");
        assert!(failure.message.contains("/proc/nowhere/file"), "{}", failure.message);
    }
}
