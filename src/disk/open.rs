//! Opening a shared file: beneath its folder or not at all.
//!
//! A request never becomes a path by joining strings: the folder is opened, and the file is opened relative to
//! that handle, with the kernel refusing `..`, absolute paths and symbolic links on the way (`openat2` with
//! `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS`). Where there is no `openat2`, each component is opened on its own
//! with `O_NOFOLLOW`. Only regular files are opened, and without waiting for anything (a fifo would).

use std::fs::File;
use std::io;
use std::path::{Component, Path};

use super::stamp::stamp_of;
use crate::library::Stamp;

/// Opens the regular file `path` beneath the folder `root`, and tells how it is now.
pub fn open_beneath(root: &Path, path: &Path) -> io::Result<(File, Stamp)> {
    if path.as_os_str().is_empty() || !path.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "the path leads out of the shared folder"));
    }
    let file = open(root, path)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "not a regular file"));
    }
    Ok((file, stamp_of(&meta)))
}

#[cfg(unix)]
fn open(root: &Path, path: &Path) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags};
    let folder = rustix::fs::open(root, OFlags::PATH_ONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::ResolveFlags;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match rustix::fs::openat2(&folder, path, READ, Mode::empty(), resolve) {
            // No such system call, or one that a sandbox forbids: the slow way tells.
            Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) => {}
            opened => return Ok(File::from(opened?)),
        }
    }
    open_by_component(folder, path)
}

#[cfg(unix)]
const READ: rustix::fs::OFlags = rustix::fs::OFlags::RDONLY
    .union(rustix::fs::OFlags::NONBLOCK)
    .union(rustix::fs::OFlags::NOCTTY)
    .union(rustix::fs::OFlags::CLOEXEC);

/// A flag that only some systems have.
#[cfg(unix)]
trait PathOnly {
    const PATH_ONLY: rustix::fs::OFlags;
}

#[cfg(any(target_os = "linux", target_os = "android"))]
impl PathOnly for rustix::fs::OFlags {
    const PATH_ONLY: rustix::fs::OFlags = rustix::fs::OFlags::PATH;
}

#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
impl PathOnly for rustix::fs::OFlags {
    const PATH_ONLY: rustix::fs::OFlags = rustix::fs::OFlags::RDONLY;
}

/// One `openat` for each component, none of which may be a symbolic link.
#[cfg(unix)]
fn open_by_component(folder: rustix::fd::OwnedFd, path: &Path) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags, openat};
    let mut folder = folder;
    let mut parts = path.components().peekable();
    while let Some(part) = parts.next() {
        let name = part.as_os_str();
        if parts.peek().is_none() {
            return Ok(File::from(openat(&folder, name, READ | OFlags::NOFOLLOW, Mode::empty())?));
        }
        let flags = OFlags::PATH_ONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        folder = openat(&folder, name, flags, Mode::empty())?;
    }
    Err(io::ErrorKind::NotFound.into())
}

#[cfg(not(unix))]
fn open(root: &Path, path: &Path) -> io::Result<File> {
    let mut whole = root.to_owned();
    for part in path.components() {
        whole.push(part);
        if std::fs::symlink_metadata(&whole)?.is_symlink() {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "a symbolic link"));
        }
    }
    File::open(whole)
}

#[cfg(all(test, unix))]
mod tests {
    use std::ffi::OsStr;
    use std::fs;
    use std::io::Read;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    use super::*;

    /// Both ways of opening, on the same tree.
    fn both(root: &Path, path: impl AsRef<Path>) -> [io::Result<String>; 2] {
        let path = path.as_ref();
        let read = |file: io::Result<File>| {
            let mut text = String::new();
            file?.read_to_string(&mut text).map(|_| text)
        };
        let slow = || {
            let flags = rustix::fs::OFlags::PATH_ONLY | rustix::fs::OFlags::DIRECTORY;
            open_by_component(rustix::fs::open(root, flags, rustix::fs::Mode::empty())?, path)
        };
        [read(open_beneath(root, path).map(|(file, _)| file)), read(slow())]
    }

    fn tree() -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(dir.path().join("share/sub")).expect("folders");
        fs::write(dir.path().join("share/sub/in.txt"), "inside").expect("a file");
        fs::write(dir.path().join("secret.txt"), "outside").expect("a file");
        symlink("../secret.txt", dir.path().join("share/link.txt")).expect("a link");
        symlink("..", dir.path().join("share/up")).expect("a link");
        symlink("sub", dir.path().join("share/alias")).expect("a link");
        dir
    }

    #[test]
    fn a_shared_file_opens() {
        let dir = tree();
        let opened = both(&dir.path().join("share"), "sub/in.txt");
        assert_eq!(opened.map(|text| text.expect("opens")), ["inside", "inside"]);
    }

    #[test]
    fn nothing_outside_of_the_share_opens() {
        let dir = tree();
        let root = dir.path().join("share");
        let absolute = dir.path().join("secret.txt");
        for path in [
            Path::new("../secret.txt"),
            Path::new("sub/../../secret.txt"),
            Path::new("sub/../../share/sub/in.txt"),
            Path::new("link.txt"),
            Path::new("up/secret.txt"),
            Path::new("alias/in.txt"),
            Path::new(OsStr::from_bytes(b"sub/in.txt\0")),
            Path::new("sub"),
            Path::new("."),
            Path::new(""),
            Path::new("/etc/passwd"),
            &absolute,
        ] {
            let opened = open_beneath(&root, path).map(|(_, stamp)| stamp);
            assert!(opened.is_err(), "{} opened: {opened:?}", path.display());
        }
        for path in ["link.txt", "up/secret.txt", "alias/in.txt"] {
            assert!(both(&root, path).iter().all(Result::is_err), "{path} opened one of both ways");
        }
    }

    #[test]
    fn a_fifo_is_refused_and_does_not_hang() {
        let dir = tree();
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        let fifo = dir.path().join("share/pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).expect("a fifo");
        assert!(open_beneath(&dir.path().join("share"), Path::new("pipe")).is_err());
    }
}
