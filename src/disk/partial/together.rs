//! Several small files finished at once: what they share is done once.
//!
//! To bring a hundred small files to the disk one by one takes several times as long as to have the file system write all
//! that it has not yet written. That is what happens here, unless something else writes so much there that it takes long.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{DiskError, OnExists, Slot, is_at};
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

/// Finishes files; knows how long that took.
#[derive(Debug, Default)]
pub struct Together {
    by_itself_until: Mutex<Option<Instant>>,
}

impl Together {
    /// Moves each to its place; says where that is, in the order in which they came. `None` for an empty slot. On an error a
    /// partial file stays what it was. Call it when [`super::Partial::check`] has found nothing wrong.
    pub fn finish(&self, files: Vec<Finishing>) -> Vec<Option<Result<PathBuf, DiskError>>> {
        let written = |file: &Finishing| file.slot.with(|slot| Some(slot.as_mut()?.all_written()));
        let written: Vec<_> = files.iter().map(written).collect();
        let synced = self.sync_at_once(&files);
        let place = |(file, written): (&Finishing, Option<Result<(), DiskError>>)| place_one(file, written?, synced);
        let placed: Vec<_> = files.iter().zip(written).map(place).collect();
        // Files often go to one folder: that its names last is made sure of once.
        let mut folders = BTreeMap::new();
        for (file, _) in files.iter().zip(&placed).filter(|(_, placed)| matches!(placed, Some(Ok(_)))) {
            folders.entry(&file.dir).or_insert_with(|| place::make_last(&file.dir).err().map(|error| error.words));
        }
        let lasts = |file: &Finishing| match folders.get(&file.dir) {
            Some(Some(words)) => Err(DiskError::other(words.clone())),
            _ => Ok(()),
        };
        let finished = files.iter().zip(placed).map(|(file, placed)| {
            let path = placed?;
            let lasting =
                path.and_then(|path| lasts(file).map(|()| path.clone()).inspect_err(|_| take_back(file, &path)));
            if lasting.is_ok()
                && let Some(partial) = file.slot.with(Option::take)
            {
                partial.remove_map();
            }
            Some(lasting)
        });
        finished.collect()
    }

    /// Whether all of them were brought to the disk by one call.
    fn sync_at_once(&self, files: &[Finishing]) -> bool {
        if files.len() < WORTH || self.until().is_some_and(|until| Instant::now() < until) {
            return false;
        }
        // Of what could not be written a file hears as far as it was open then: the oldest speaks for all.
        let open = |file: &Finishing| file.slot.with(|slot| slot.as_ref().map(|it| (it.opened, it.reader())));
        let oldest = files.iter().filter_map(open).min_by_key(|(opened, _)| *opened);
        let begun = Instant::now();
        let synced = oldest.is_some_and(|(_, file)| sync_all_there(&file).is_ok());
        *self.until() = (begun.elapsed() > LONG).then(|| Instant::now() + BY_ITSELF);
        synced
    }

    fn until(&self) -> MutexGuard<'_, Option<Instant>> {
        self.by_itself_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was moved where it may not last is a partial file again. What was there before stays.
fn take_back(file: &Finishing, path: &Path) {
    file.slot.with(|slot| {
        if let Some(partial) = slot.as_mut().filter(|partial| is_at(&partial.file, path)) {
            place::take_back(path, &partial.part);
        }
    });
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

    /// Several at once: good ones, one whose name is taken, one that was written to behind our back, one without a partial
    /// file.
    #[test]
    fn each_ends_as_it_would_alone() {
        let dir = tempfile::tempdir().expect("a folder");
        let ready = |n: usize| {
            let bytes = content(1000 + n);
            let spec = PartialSpec { name: format!("{n}.bin"), ..spec(dir.path(), &bytes) };
            let slot = Slot::new(Partial::open(spec).expect("open"));
            slot.write(0, &bytes, |told| drop(told.expect("written"))).expect("written");
            slot.check(|checked, _| checked.expect("checked")).expect("there");
            Finishing {
                slot,
                dir: dir.path().join(format!("to{}", n % 2)),
                name: format!("{n}.bin"),
                on_exists: OnExists::SkipSame,
            }
        };
        let mut files: Vec<Finishing> = (0..6).map(ready).collect();
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
