//! Walking through a folder: which files are shared, which are left out and why.
//!
//! The same judgement serves the preview, the scan and the watch. Symbolic links are never followed.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::policy::{self, SkipReason};
use super::stamp::stamp_of;
use crate::library::Stamp;

/// Folders deeper than this are left out.
pub const MAX_DEPTH: usize = 128;
/// So many of the largest files, and of the names that look private, are told.
const TOLD: usize = 20;

/// What a folder holds, before it is shared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Preview {
    /// Files that would be shared.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The largest of them, largest first.
    pub largest: Vec<(PathBuf, u64)>,
    /// What would be left out, by reason. A folder left out counts as one.
    pub skipped: BTreeMap<SkipReason, u64>,
    /// Names among them that look private (the first twenty).
    pub looks_private: Vec<PathBuf>,
    /// How many there are in all.
    pub private_count: u64,
}

/// Walks through `root` and tells what sharing it would share. `own` is never shared (see [`super::Home::own`]).
pub fn preview(root: &Path, own: &[PathBuf]) -> io::Result<Preview> {
    let root = root.canonicalize()?;
    let mut preview = Preview::default();
    let mut failed = None;
    walk(&root, Path::new(""), own, Depth::All, |path, seen| {
        match seen {
            Seen::Folder => {}
            Seen::File(stamp) => {
                preview.files += 1;
                preview.bytes += stamp.size;
                let at = preview.largest.partition_point(|(_, size)| *size >= stamp.size);
                if at < TOLD {
                    preview.largest.insert(at, (path.to_owned(), stamp.size));
                    preview.largest.truncate(TOLD);
                }
                if path.file_name().is_some_and(policy::looks_private) {
                    preview.private_count += 1;
                    if preview.looks_private.len() < TOLD {
                        preview.looks_private.push(path.to_owned());
                    }
                }
            }
            Seen::Skipped(reason) => *preview.skipped.entry(reason).or_default() += 1,
            Seen::Failed(error) => failed = Some(error),
        }
        ControlFlow::Continue(())
    });
    failed.map_or(Ok(preview), Err)
}

/// Something met on a walk.
#[derive(Debug)]
pub(super) enum Seen {
    /// A folder, before it is read.
    Folder,
    /// A file to share.
    File(Stamp),
    /// Something not to share.
    Skipped(SkipReason),
    /// The folder that the walk began with cannot be read.
    Failed(io::Error),
}

/// How far to walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// The whole tree.
    All,
    /// One folder without those in it.
    One,
}

/// Walks through `below` (a path beneath `root`, or empty) and hands out what is there, by paths beneath `root`.
/// A folder is handed out before it is read, so that a watch can be set first and nothing slips between.
pub(super) fn walk(
    root: &Path,
    below: &Path,
    own: &[PathBuf],
    depth: Depth,
    mut visit: impl FnMut(&Path, Seen) -> ControlFlow<()>,
) {
    let start = if below.as_os_str().is_empty() { root.to_owned() } else { root.join(below) };
    let max_depth = if depth == Depth::One { 1 } else { MAX_DEPTH };
    let mut entries =
        WalkDir::new(&start).follow_links(false).follow_root_links(false).max_depth(max_depth).into_iter();
    while let Some(entry) = entries.next() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                let path = error.path().unwrap_or(&start).to_owned();
                let at_start = error.depth() == 0;
                let error = io::Error::from(error);
                let seen = match at_start {
                    true => Seen::Failed(error),
                    // Gone between being listed and being looked at.
                    false if error.kind() == io::ErrorKind::NotFound => continue,
                    false => Seen::Skipped(SkipReason::Unreadable),
                };
                if visit(path.strip_prefix(root).unwrap_or(&path), seen).is_break() {
                    return;
                }
                continue;
            }
        };
        let path = entry.path().strip_prefix(root).unwrap_or(entry.path());
        let is_folder = entry.file_type().is_dir();
        let seen = if entry.depth() == 0 && is_folder {
            Seen::Folder
        } else if is_folder && entry.depth() >= MAX_DEPTH {
            Seen::Skipped(SkipReason::TooDeep)
        } else if is_folder {
            match policy::skip_name(entry.file_name(), true) {
                Some(reason) => Seen::Skipped(reason),
                None if own.iter().any(|own| own == entry.path()) => Seen::Skipped(SkipReason::Own),
                None => Seen::Folder,
            }
        } else {
            match entry.metadata() {
                Ok(meta) => judge(root, path, &meta),
                Err(_) => continue,
            }
        };
        let enter = matches!(seen, Seen::Folder);
        if visit(path, seen).is_break() {
            return;
        }
        if is_folder && !enter {
            entries.skip_current_dir();
        }
    }
}

/// What to do with the file (not folder) at `path` beneath `root`, of which `meta` is known without following.
pub(super) fn judge(root: &Path, path: &Path, meta: &Metadata) -> Seen {
    let whole = root.join(path);
    if let Some(reason) = path.file_name().and_then(|name| policy::skip_name(name, false)) {
        return Seen::Skipped(reason);
    }
    if meta.is_symlink() {
        let inside = whole.canonicalize().is_ok_and(|target| target.starts_with(root));
        return Seen::Skipped(if inside { SkipReason::Link } else { SkipReason::LinkOut });
    }
    if !meta.is_file() {
        return Seen::Skipped(SkipReason::Special);
    }
    if !readable(&whole) {
        return Seen::Skipped(SkipReason::Unreadable);
    }
    Seen::File(stamp_of(meta))
}

/// Asks without opening: opening would be noticed by the watch.
#[cfg(unix)]
fn readable(path: &Path) -> bool {
    rustix::fs::access(path, rustix::fs::Access::READ_OK).is_ok()
}

#[cfg(not(unix))]
fn readable(_: &Path) -> bool {
    true
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_preview_counts_what_is_shared_and_says_what_is_not() {
        let dir = tempfile::tempdir().expect("a folder");
        let root = dir.path().join("share");
        fs::create_dir_all(root.join("album/.git")).expect("folders");
        fs::create_dir_all(root.join("incomplete")).expect("folders");
        fs::create_dir_all(root.join("state")).expect("folders");
        for (name, size) in [
            ("album/one.flac", 30),
            ("album/two.flac", 20),
            ("my passwords.txt", 5),
            (".hidden", 1),
            ("album/.git/config", 1),
            ("incomplete/x.iso", 9),
            ("y.iso.part", 9),
            ("draft.txt~", 9),
            ("state/token", 9),
        ] {
            fs::write(root.join(name), vec![b'x'; size]).expect("a file");
        }
        fs::write(dir.path().join("secret"), "x").expect("a file");
        symlink("../secret", root.join("out")).expect("a link");
        symlink("album/one.flac", root.join("in")).expect("a link");
        symlink("nowhere", root.join("dangling")).expect("a link");
        let own = [root.canonicalize().expect("a path").join("state")];
        let preview = preview(&root, &own).expect("a preview");
        assert_eq!((preview.files, preview.bytes), (3, 55));
        let largest: Vec<_> =
            preview.largest.iter().map(|(path, size)| (path.to_str().expect("text"), *size)).collect();
        assert_eq!(largest, [("album/one.flac", 30), ("album/two.flac", 20), ("my passwords.txt", 5)]);
        assert_eq!(preview.looks_private, [Path::new("my passwords.txt")]);
        let skipped: Vec<_> = preview.skipped.into_iter().collect();
        let expected = [
            (SkipReason::Hidden, 2),
            (SkipReason::LinkOut, 2),
            (SkipReason::Link, 1),
            (SkipReason::Partial, 2),
            (SkipReason::Temporary, 1),
            (SkipReason::Own, 1),
        ];
        assert_eq!(skipped, expected);
    }

    #[test]
    fn a_folder_that_is_not_there_cannot_be_previewed() {
        assert!(preview(Path::new("/nonexistent/folder"), &[]).is_err());
    }
}
