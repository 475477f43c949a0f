//! Several small files finished at once: what they share is done once.
//!
//! To bring a hundred small files to the disk one by one takes several times as long as to have the file system write all
//! that it has not yet written. That is what happens here, unless something else writes so much there that it takes long.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{DiskError, OnExists, Slot, at, remove_if_empty};
use crate::disk::place;

/// So many files are worth writing all that the file system has.
const WORTH: usize = 4;
/// When that took longer, somebody else writes much there...
const LONG: Duration = Duration::from_secs(1);
/// ... and so long each file is written by itself.
const BY_ITSELF: Duration = Duration::from_secs(60);

/// A file that is to be moved into its place; it has been checked.
#[derive(Debug)]
pub struct Finishing {
    /// What is emptied when it is there.
    pub slot: Slot,
    /// Where it goes.
    pub dir: PathBuf,
    /// Under which name.
    pub name: String,
    /// When there is one of that name.
    pub on_exists: OnExists,
}

/// How each file ended: where it is, or why not. `None` for an empty slot.
pub type Ends = Vec<End>;
type End = Option<Result<PathBuf, DiskError>>;

/// Files that were moved to their places, in the order in which they came. A crash may undo it until they last.
#[derive(Debug, Default)]
pub struct Moved {
    files: Vec<(Finishing, End)>,
    oldest: Option<Oldest>,
}

/// The file that was open first: since when, and itself.
type Oldest = (Instant, Arc<File>);

/// Finishes files; knows how long that took.
#[derive(Debug, Default)]
pub struct Together {
    by_itself_until: Mutex<Option<Instant>>,
}

impl Together {
    /// Moves each to its place and makes that last. On an error a partial file stays what it was. Call it when
    /// [`super::Partial::check`] has found nothing wrong.
    pub fn finish(&self, files: Vec<Finishing>) -> Ends {
        let moved = self.go_on(files, Moved::default()).0;
        self.go_on(Vec::new(), moved).1
    }

    /// The same for one who finishes files again and again: what brings these to the disk makes those that were moved
    /// `before` last, and is waited for once. How those ended is returned with what was moved now.
    pub fn go_on(&self, files: Vec<Finishing>, before: Moved) -> (Moved, Ends) {
        let written = |file: &Finishing| file.slot.with(|slot| Some(slot.as_mut()?.all_written()));
        let written: Vec<_> = files.iter().map(written).collect();
        let open = |file: &Finishing| file.slot.with(|slot| slot.as_ref().map(|it| (it.opened, it.reader())));
        let oldest = files.iter().filter_map(open).min_by_key(|(opened, _)| *opened);
        let synced = self.sync_at_once(files.len(), oldest.as_ref(), before.oldest.as_ref());
        let ends = before.last(synced.as_deref());
        let place = |(file, written): (Finishing, Option<Result<(), DiskError>>)| {
            let placed = written.and_then(|written| place_one(&file, written, synced.is_some()));
            (file, placed)
        };
        (Moved { files: files.into_iter().zip(written).map(place).collect(), oldest }, ends)
    }

    /// Whether all that a file system has was brought to the disk by one call: a file there.
    fn sync_at_once(&self, files: usize, now: Option<&Oldest>, before: Option<&Oldest>) -> Option<Arc<File>> {
        if files < WORTH || self.until().is_some_and(|until| Instant::now() < until) {
            return None;
        }
        // Of what could not be written a file hears as far as it was open then: the oldest speaks for all.
        let (_, oldest) = now.into_iter().chain(before).min_by_key(|(opened, _)| *opened)?;
        let begun = Instant::now();
        let synced = sync_all_there(oldest).is_ok();
        *self.until() = (begun.elapsed() > LONG).then(|| Instant::now() + BY_ITSELF);
        synced.then(|| Arc::clone(oldest))
    }

    fn until(&self) -> MutexGuard<'_, Option<Instant>> {
        self.by_itself_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Moved {
    /// Whether there is nothing that has to last.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Makes them last. Files often go to one folder: that its names are on the disk is made sure of once, and not at all
    /// where the whole file system was written since.
    fn last(self, synced: Option<&File>) -> Ends {
        let (mut folders, mut emptied) = (BTreeMap::new(), BTreeSet::new());
        let mut lasts = |dir: &Path| {
            let why_not = folders.entry(dir.to_owned()).or_insert_with(|| match synced {
                Some(file) if is_on_that_of(dir, file) => None,
                _ => place::make_last(dir).err().map(|error| error.words),
            });
            why_not.clone().map_or(Ok(()), |words| Err(DiskError::other(words)))
        };
        let mut last = |(file, end): (Finishing, End)| {
            let path = match end? {
                Ok(path) => path,
                Err(error) => return Some(Err(error)),
            };
            if let Err(error) = lasts(&file.dir) {
                take_back(&file, &path);
                return Some(Err(error));
            }
            if let Some(partial) = file.slot.with(Option::take) {
                partial.remove_map();
                partial.remove_passed();
                emptied.insert(partial.spec.dir);
            }
            Some(Ok(path))
        };
        let ends = self.files.into_iter().map(&mut last).collect();
        emptied.iter().for_each(|dir| remove_if_empty(dir));
        ends
    }
}

/// What was moved where it may not last is a partial file again. What was there before stays.
fn take_back(file: &Finishing, path: &Path) {
    file.slot.with(|slot| {
        if let Some(partial) = slot.as_mut().filter(|partial| at(&partial.file, path).is_some()) {
            place::take_back(path, &partial.part);
        }
    });
}

/// Whether a folder is known to lie on the file system of that file.
#[cfg(unix)]
fn is_on_that_of(dir: &Path, file: &File) -> bool {
    use std::os::unix::fs::MetadataExt;
    matches!((dir.metadata(), file.metadata()), (Ok(dir), Ok(file)) if dir.dev() == file.dev())
}

#[cfg(not(unix))]
fn is_on_that_of(_: &Path, _: &File) -> bool {
    false
}

fn place_one(file: &Finishing, written: Result<(), DiskError>, synced: bool) -> Option<Result<PathBuf, DiskError>> {
    file.slot.with(|slot| {
        let partial = slot.as_mut()?;
        let synced = written.and_then(|()| if synced { Ok(()) } else { partial.sync() });
        Some(synced.and_then(|()| partial.place(&file.dir, &file.name, file.on_exists)))
    })
}

/// Brings to the disk whatever the file system has not yet written, and tells of what of that it could not write since the
/// file was opened.
#[cfg(target_os = "linux")]
fn sync_all_there(file: &File) -> io::Result<()> {
    if !tells_of_errors(rustix::system::uname().release().to_bytes()) {
        return Err(io::ErrorKind::Unsupported.into());
    }
    Ok(rustix::fs::syncfs(file)?)
}

/// Before 5.8 Linux kept silent of them (syncfs(2)).
#[cfg(target_os = "linux")]
fn tells_of_errors(release: &[u8]) -> bool {
    let mut numbers = release.split(|byte| !byte.is_ascii_digit()).map(|digits| {
        digits.iter().fold(0_u32, |number, digit| number.saturating_mul(10).saturating_add(u32::from(digit - b'0')))
    });
    let mut next = || numbers.next().unwrap_or(0);
    (next(), next()) >= (5, 8)
}

#[cfg(not(target_os = "linux"))]
fn sync_all_there(_: &File) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::tests::{content, spec};
    use super::super::{Partial, PartialSpec};
    use super::*;

    /// Fetched and checked.
    fn ready(dir: &Path, n: usize) -> Finishing {
        let bytes = content(1000 + n);
        let spec = PartialSpec { name: format!("{n}.bin"), ..spec(dir, &bytes) };
        let slot = Slot::new(Partial::open(spec).expect("open"));
        slot.write(0, &bytes, |told| drop(told.expect("written"))).expect("written");
        slot.check(|checked, _| checked.expect("checked")).expect("there");
        let (dir, name) = (dir.join(format!("to{}", n % 2)), format!("{n}.bin"));
        Finishing { slot, dir, name, on_exists: OnExists::SkipSame }
    }

    /// A group is told of when the next one has been brought to the disk, or nothing follows, and is kept open until then.
    #[test]
    fn one_group_after_the_other_ends_with_the_next() {
        let dir = tempfile::tempdir().expect("a folder");
        let (together, mut moved) = (Together::default(), Moved::default());
        let groups = [0..5, 5..7, 7..12].map(|group| group.map(|n| ready(dir.path(), n)).collect::<Vec<_>>());
        let slots: Vec<Slot> = groups.iter().flatten().map(|file| file.slot.clone()).collect();
        let open = || slots.iter().filter(|slot| slot.with(|slot| slot.is_some())).count();
        let mut seen = Vec::new();
        for files in groups.into_iter().chain([Vec::new()]) {
            let (now, ends) = together.go_on(files, moved);
            moved = now;
            assert!(ends.iter().all(|end| matches!(end, Some(Ok(path)) if path.is_file())), "{ends:?}");
            seen.push((ends.len(), open()));
        }
        assert!(moved.is_empty());
        assert_eq!(seen, [(0, 12), (5, 7), (2, 5), (5, 0)]);
    }

    /// Several at once: good ones, one whose name is taken, one that was written to behind our back, one without a partial
    /// file.
    #[test]
    fn each_ends_as_it_would_alone() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut files: Vec<Finishing> = (0..6).map(|n| ready(dir.path(), n)).collect();
        fs::create_dir(dir.path().join("to1")).expect("a folder");
        fs::write(dir.path().join("to1/1.bin"), "another").expect("written");
        let altered = files[2].slot.with(|slot| slot.as_ref().map(|partial| partial.path().to_owned())).expect("there");
        fs::write(altered, "what nobody checked").expect("written");
        files[3].slot = Slot::default();
        let slots: Vec<Slot> = files.iter().map(|file| file.slot.clone()).collect();
        let ends: Vec<String> = Together::default()
            .finish(files)
            .into_iter()
            .map(|end| match end {
                None => "nothing".to_owned(),
                Some(Ok(path)) => path.strip_prefix(dir.path()).expect("below it").display().to_string(),
                Some(Err(error)) => format!("{:?}", error.fault),
            })
            .collect();
        assert_eq!(ends, ["to0/0.bin", "to1/1 (2).bin", "Altered", "nothing", "to0/4.bin", "to1/5.bin"]);
        let left: Vec<bool> = slots.iter().map(|slot| slot.with(|slot| slot.is_some())).collect();
        assert_eq!(
            left,
            [false, false, true, false, false, false],
            "only what is not finished is still a partial file"
        );
        for n in [0, 4] {
            assert_eq!(fs::read(dir.path().join(format!("to0/{n}.bin"))).expect("read"), content(1000 + n));
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_old_kernel_is_not_trusted() {
        for (release, tells) in
            [("6.18.44-fc", true), ("5.8.0", true), ("5.10", true), ("5.7.19-x", false), ("4.19", false), ("", false)]
        {
            assert_eq!(tells_of_errors(release.as_bytes()), tells, "{release}");
        }
    }
}
