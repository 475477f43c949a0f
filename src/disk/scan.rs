//! Looking into a folder: which files are shared, which are left out and why.
//!
//! The same judgement serves the preview, the scan and the watch. Symbolic links are never followed.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::policy::{self, Pattern, SkipReason};
use super::stamp::stamp_of;
use crate::library::Stamp;

/// Folders deeper than this are left out.
pub const MAX_DEPTH: usize = 128;
/// So many of the largest files, and of the names that look private, are told.
const TOLD: usize = 20;
/// What is found in a folder is handed over in pieces of so many.
const PIECE: usize = 512;

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
    /// Some of what cannot be read, and why.
    pub unreadable: Vec<(PathBuf, String)>,
    /// Names among them that look private (the first twenty).
    pub looks_private: Vec<PathBuf>,
    /// How many there are in all.
    pub private_count: u64,
}

/// What is not shared of a folder, besides what is never shared.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    /// Our own state (canonical paths): see [`super::Home::own`].
    pub(super) own: Vec<PathBuf>,
    /// What the user does not want to share.
    pub(super) excludes: Vec<Pattern>,
}

/// Walks through `root` and tells what sharing it would share. `own` is never shared (see [`super::Home::own`]),
/// nor what matches `excludes`.
pub fn preview(root: &Path, own: &[PathBuf], excludes: &[Pattern]) -> io::Result<Preview> {
    let root = root.canonicalize()?;
    let rules = Rules { own: own.to_vec(), excludes: excludes.to_vec() };
    let mut preview = Preview::default();
    let mut entries = WalkDir::new(&root).follow_links(false).min_depth(1).into_iter();
    while let Some(entry) = entries.next() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) if error.depth() == 0 => return Err(error.into()),
            Err(error) => {
                let path = error.path().and_then(|path| path.strip_prefix(&root).ok()).unwrap_or(&root).to_owned();
                match io::Error::from(error) {
                    // Gone between being listed and being looked at.
                    error if error.kind() == io::ErrorKind::NotFound => {}
                    error => preview.skip(path, SkipReason::Unreadable, Some(reason(&error))),
                }
                continue;
            }
        };
        let path = entry.path().strip_prefix(&root).unwrap_or(entry.path());
        let below = path.parent().unwrap_or(Path::new(""));
        let what = match entry.metadata() {
            Ok(meta) => judge(&root, below, entry.file_name(), &meta, &rules),
            Err(_) => continue,
        };
        if entry.file_type().is_dir() && !matches!(what, What::Folder) {
            entries.skip_current_dir();
        }
        preview.take(path.to_owned(), what);
    }
    Ok(preview)
}

impl Preview {
    fn take(&mut self, path: PathBuf, what: What) {
        match what {
            What::Folder => {}
            What::File(stamp, looks) => {
                self.files += 1;
                self.bytes += stamp.size;
                let at = self.largest.partition_point(|(_, size)| *size >= stamp.size);
                if at < TOLD {
                    self.largest.insert(at, (path.clone(), stamp.size));
                    self.largest.truncate(TOLD);
                }
                if looks == Looks::Private {
                    self.private_count += 1;
                    if self.looks_private.len() < TOLD {
                        self.looks_private.push(path);
                    }
                }
            }
            What::Skipped(reason, why) => self.skip(path, reason, why),
        }
    }

    fn skip(&mut self, path: PathBuf, reason: SkipReason, why: Option<String>) {
        *self.skipped.entry(reason).or_default() += 1;
        if reason == SkipReason::Unreadable && self.unreadable.len() < TOLD {
            self.unreadable.push((path, why.unwrap_or_default()));
        }
    }
}

/// Something in a folder.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) name: OsString,
    pub(super) what: What,
}

/// What it is.
#[derive(Debug)]
pub(super) enum What {
    /// A folder to read.
    Folder,
    /// A file to share.
    File(Stamp, Looks),
    /// Something not to share; why not, where the reason alone does not tell.
    Skipped(SkipReason, Option<String>),
}

/// How a file's name looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Looks {
    Private,
    Harmless,
}

/// A folder that stays the same whatever happens to its name: what is watched is what is read.
pub(super) struct Handle {
    /// Where it can be opened for as long as the handle is there.
    pub(super) path: PathBuf,
    #[cfg(target_os = "linux")]
    _fd: Option<rustix::fd::OwnedFd>,
}

impl Handle {
    /// Fails when no folder is there, or only by way of a symbolic link.
    #[cfg(target_os = "linux")]
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        use rustix::fs::{Mode, OFlags};
        use std::os::fd::AsRawFd;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::open(&path, flags, Mode::empty())?;
        let by_number = PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()));
        // Without /proc the name must do.
        let path = if by_number.exists() { by_number } else { path };
        Ok(Self { path, _fd: Some(fd) })
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        Ok(Self { path })
    }
}

/// Reads one folder (a path beneath `root`, or empty) and hands out what is in it, piece by piece.
pub(super) fn list(
    folder: &Handle,
    root: &Path,
    below: &Path,
    rules: &Rules,
    tell: &mut dyn FnMut(Vec<Found>) -> ControlFlow<()>,
) -> io::Result<()> {
    let mut piece = Vec::new();
    for entry in std::fs::read_dir(&folder.path)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let what = match rules.skip(root, below, &name, is_folder) {
            // What is left out for its name is not looked at.
            Some(reason) => What::Skipped(reason, None),
            None if is_folder => What::Folder,
            None => match entry.metadata() {
                Ok(meta) => judge_file(root, below, &name, &meta),
                // Gone between being listed and being looked at.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => What::Skipped(SkipReason::Unreadable, Some(reason(&error))),
            },
        };
        piece.push(Found { name, what });
        if piece.len() >= PIECE && tell(std::mem::take(&mut piece)).is_break() {
            return Ok(());
        }
    }
    if !piece.is_empty() {
        // Whoever breaks off here has all there is.
        let _end = tell(piece);
    }
    Ok(())
}

/// What to do with what is called `name` in the folder `below` of `root`, of which `meta` is known without following.
pub(super) fn judge(root: &Path, below: &Path, name: &OsStr, meta: &Metadata, rules: &Rules) -> What {
    if let Some(reason) = rules.skip(root, below, name, meta.is_dir()) {
        return What::Skipped(reason, None);
    }
    if meta.is_dir() { What::Folder } else { judge_file(root, below, name, meta) }
}

fn judge_file(root: &Path, below: &Path, name: &OsStr, meta: &Metadata) -> What {
    let whole = || root.join(below).join(name);
    if meta.is_symlink() {
        let inside = whole().canonicalize().is_ok_and(|target| target.starts_with(root));
        return What::Skipped(if inside { SkipReason::Link } else { SkipReason::LinkOut }, None);
    }
    if !meta.is_file() {
        return What::Skipped(SkipReason::Special, None);
    }
    if let Err(why) = readable(meta, whole) {
        return What::Skipped(SkipReason::Unreadable, Some(why));
    }
    What::File(stamp_of(meta), if policy::looks_private(name) { Looks::Private } else { Looks::Harmless })
}

impl Rules {
    /// Why something of that name is not shared, if so.
    fn skip(&self, root: &Path, below: &Path, name: &OsStr, is_folder: bool) -> Option<SkipReason> {
        let excluded = || self.excludes.iter().any(|pattern| pattern.matches(below, name));
        let too_deep = || is_folder && below.components().count() + 1 >= MAX_DEPTH;
        let own = || {
            let is = |own: &PathBuf| own.file_name() == Some(name) && *own == root.join(below).join(name);
            is_folder && self.own.iter().any(is)
        };
        policy::skip_name(name, is_folder)
            .or_else(|| own().then_some(SkipReason::Own))
            .or_else(|| too_deep().then_some(SkipReason::TooDeep))
            .or_else(|| excluded().then_some(SkipReason::Excluded))
    }

    /// Does what is left out depend on where a folder is?
    pub(super) fn depend_on_path(&self) -> bool {
        self.excludes.iter().any(Pattern::is_of_path)
    }
}

/// Why something cannot be read, without numbers and paths.
pub(super) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.rsplit_once(" (os error").map_or(text.as_str(), |(text, _)| text);
    let text = text.rsplit_once(": ").map_or(text, |(_, text)| text);
    text.to_lowercase()
}

/// Asks without opening: opening would be noticed by the watch. A file that everyone may read is not asked for.
#[cfg(unix)]
fn readable(meta: &Metadata, whole: impl FnOnce() -> PathBuf) -> Result<(), String> {
    use std::os::unix::fs::MetadataExt;
    if meta.mode() & 0o444 == 0o444 {
        return Ok(());
    }
    rustix::fs::access(whole(), rustix::fs::Access::READ_OK).map_err(|errno| reason(&errno.into()))
}

#[cfg(not(unix))]
fn readable(_: &Metadata, _: impl FnOnce() -> PathBuf) -> Result<(), String> {
    Ok(())
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
        let preview = preview(&root, &own, &[]).expect("a preview");
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
        assert!(preview(Path::new("/nonexistent/folder"), &[], &[]).is_err());
    }
}
