//! What a crash leaves of a partial file that had just been made: an empty `NAME.part`, and maybe a map beside it that tells of
//! nothing. When its name had not been written down either, nobody comes back for it.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::path::Path;

use super::open::{at, read_journal};
use super::read_range;

/// Removes them from the folder, but for those of these names; how many. A file with a single byte in it stays, and so do a map
/// that tells of a block, whatever somebody has open, and whatever is called or looks otherwise than what we make.
pub fn remove_empty(dir: &Path, known: &BTreeSet<String>) -> usize {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    // Of a map alone the file is looked at that it is of.
    let parts: BTreeSet<String> = names
        .map(|name| name.strip_suffix(".map").unwrap_or(&name).to_owned())
        .filter(|name| name.strip_suffix(".part").is_some_and(|stem| !stem.is_empty()) && !known.contains(name))
        .collect();
    let removed = parts.iter().filter(|name| remove_one(dir, name)).count();
    if removed > 0 {
        log::info!("{}: {removed} empty partial files of nobody are removed", dir.display());
        super::remove_if_empty(dir);
    }
    removed
}

fn remove_one(dir: &Path, name: &str) -> bool {
    let (part, map) = (dir.join(name), dir.join(format!("{name}.map")));
    let is_file = |path: &Path| fs::symlink_metadata(path).map(|meta| meta.is_file().then_some(meta.len()));
    let has_map = match is_file(&map) {
        Ok(Some(_)) => match read_journal(&map) {
            Ok(Some(Ok(journal))) if journal.map.stored().next().is_none() => true,
            _ => return false,
        },
        Ok(None) => return false,
        Err(_) => false,
    };
    // Locked until it is gone: whoever waits for it sees that it is not there any more.
    let _locked = match is_file(&part) {
        Ok(Some(0)) => {
            let Ok(file) = OpenOptions::new().read(true).write(true).open(&part) else { return false };
            let ours = file.try_lock().is_ok() && at(&file, &part).is_some_and(|there| there.len() == 0);
            if !ours || fs::remove_file(&part).is_err() {
                return false;
            }
            Some(file)
        }
        Ok(_) => return false,
        Err(_) if has_map => None,
        Err(_) => return false,
    };
    !has_map || fs::remove_file(&map).is_ok()
}

/// Removes the beginning of a small file that a crash left, when all of it is in the whole one. It is not known whose it is: while
/// somebody has it open, or anything in it is otherwise, it stays.
pub(super) fn remove_begun(part: &Path, whole: &File, size: u64) -> bool {
    if !fs::symlink_metadata(part).is_ok_and(|meta| meta.is_file()) {
        return false;
    }
    let Ok(file) = OpenOptions::new().read(true).write(true).open(part) else { return false };
    // Locked until it is gone, as above.
    let length = file.try_lock().ok().and_then(|()| at(&file, part)).map_or(0, |there| there.len());
    let begun = |of: &File| read_range(of, 0..length).ok();
    let same = (1..=size).contains(&length) && begun(&file).is_some_and(|there| Some(there) == begun(whole));
    same && fs::remove_file(part).is_ok()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{content, spec};
    use super::super::{Finishing, OnExists, Partial, PartialSpec, Slot, Together};
    use super::*;
    use crate::transfer::Expected;

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).map(|entries| entries.map(|entry| entry.expect("an entry").file_name()));
        let mut names: Vec<String> =
            entries.map(|names| names.map(|name| name.to_string_lossy().into_owned()).collect()).unwrap_or_default();
        names.sort();
        names
    }

    fn large(dir: &Path, name: &str) -> PartialSpec {
        PartialSpec {
            dir: dir.to_owned(),
            name: name.to_owned(),
            size: 3_000_000,
            expected: Expected::default(),
            own: None,
        }
    }

    fn write(partial: Partial, bytes: &[u8]) {
        Slot::new(partial).write(0, bytes, |told| drop(told.expect("written"))).expect("written");
    }

    #[test]
    fn what_was_just_begun_when_it_was_killed_is_removed() {
        let place = tempfile::tempdir().expect("a folder");
        let dir = place.path().join("incomplete");
        drop(Partial::open(large(&dir, "a.bin")).expect("open"));
        let small = PartialSpec { name: "c.bin".into(), ..spec(place.path(), &content(1000)) };
        drop(Partial::open(small).expect("open"));
        // Of one the map alone is left.
        drop(Partial::open(large(&dir, "b.bin")).expect("open"));
        fs::remove_file(dir.join("b.bin.part")).expect("there");
        assert_eq!(names(&dir).len(), 4, "{:?}", names(&dir));
        assert_eq!(remove_empty(&dir, &BTreeSet::new()), 3);
        assert!(!dir.exists(), "{:?}", names(&dir));
        assert_eq!(remove_empty(&dir, &BTreeSet::new()), 0);
    }

    /// A small file's partial file whose name had not been written down when it was killed: it cannot be taken up.
    #[test]
    fn what_was_begun_of_a_small_file_is_removed_when_all_of_that_is_there() {
        let place = tempfile::tempdir().expect("a folder");
        let (bytes, dir) = (content(1000), place.path().join("incomplete"));
        for _ in 0..2 {
            write(Partial::open(spec(place.path(), &bytes)).expect("open"), &bytes[..300]);
        }
        fs::write(dir.join("a (3).bin.part"), "of somebody else").expect("written");
        let held = OpenOptions::new().create_new(true).read(true).write(true).open(dir.join("a (4).bin.part"));
        let mut held = held.expect("made");
        std::io::Write::write_all(&mut held, &bytes[..10]).expect("written");
        held.lock().expect("locked");
        let slot = Slot::new(Partial::open(spec(place.path(), &bytes)).expect("open"));
        assert_eq!(names(&dir).len(), 5, "{:?}", names(&dir));
        slot.write(0, &bytes, |told| drop(told.expect("written"))).expect("written");
        slot.check(|checked, _| checked.expect("checked")).expect("there");
        let (dir_done, name) = (place.path().to_owned(), "a.bin".to_owned());
        let ends =
            Together::default().finish(vec![Finishing { slot, dir: dir_done, name, on_exists: OnExists::SkipSame }]);
        assert!(matches!(&ends[..], [Some(Ok(_))]), "{ends:?}");
        assert_eq!(names(&dir), ["a (3).bin.part", "a (4).bin.part"]);
    }

    #[test]
    fn nothing_else_is() {
        let place = tempfile::tempdir().expect("a folder");
        let dir = place.path();
        let open = Partial::open(large(dir, "open.bin")).expect("open");
        drop(Partial::open(large(dir, "known.bin")).expect("open"));
        write(Partial::open(large(dir, "begun.bin")).expect("open"), b"some bytes");
        for (name, text) in [
            ("one byte.part", "x"),
            ("other program.part", ""),
            ("other program.part.map", "something else"),
            ("empty", ""),
            (".part", ""),
            ("a.part.new", ""),
            ("alone.part.map", "something else"),
        ] {
            fs::write(dir.join(name), text).expect("written");
        }
        fs::create_dir(dir.join("folder.part")).expect("a folder");
        #[cfg(unix)]
        std::os::unix::fs::symlink(dir.join("empty"), dir.join("link.part")).expect("a link");
        // Its bytes are elsewhere for now, and the map tells of them.
        write(Partial::open(large(dir, "moved.bin")).expect("open"), &content(1 << 20));
        fs::remove_file(dir.join("moved.bin.part")).expect("there");
        let before = names(dir);
        let known = BTreeSet::from(["known.bin.part".to_owned()]);
        assert_eq!(remove_empty(dir, &known), 0);
        assert_eq!(names(dir), before);
        write(open, &content(1 << 20));
    }
}
