//! A share with much in it: what happens to thousands of files at once ends well, and costs no more than it must.
#![cfg(target_os = "linux")]

mod shelf;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use filbert::disk::{Change, Pattern, Phase, ShareOptions, SkipReason, preview};
use filbert::library::RootId;
use shelf::{ROOT, Shelf};
use tempfile::TempDir;

/// A place with an empty `share` and a `cache`.
fn place() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a folder");
    let share = dir.path().canonicalize().expect("a path").join("share");
    fs::create_dir(&share).expect("a folder");
    (dir, share)
}

fn shelf(dir: &TempDir, share: &Path) -> Shelf {
    Shelf::new(share, &dir.path().join("cache"))
}

/// `count` files in folders of a hundred.
fn fill(folder: &Path, count: usize) {
    for number in 0..count {
        let below = folder.join(format!("part {}", number / 100));
        if number % 100 == 0 {
            fs::create_dir_all(&below).expect("a folder");
        }
        fs::write(below.join(format!("file {number}")), number.to_string()).expect("a file");
    }
}

fn until_all_hashed(shelf: &Shelf, count: u64) {
    shelf.until(&format!("{count} files hashed"), |library| {
        (library.files() == count && library.hashed() == count).then_some(())
    });
}

#[test]
fn a_folder_with_thousands_of_files_is_renamed_by_one_change_and_read_by_nobody() {
    let (dir, share) = place();
    fill(&share.join("old name"), 3000);
    fs::write(share.join("old name/.hidden"), "x").expect("a file");
    fs::create_dir(share.join("above")).expect("a folder");
    let shelf = shelf(&dir, &share);
    until_all_hashed(&shelf, 3000);
    shelf.until_phase(Phase::Ready);
    let (before, bytes) = (shelf.changes().len(), shelf.shares.bytes_hashed());

    fs::rename(share.join("old name"), share.join("above/new name")).expect("renamed");
    shelf.until("the new name", |library| library.by_path(ROOT, Path::new("above/new name/part 29/file 2999")));
    fs::write(share.join("above/new name/part 7/one more"), "more").expect("a file");
    shelf.until_hashed("above/new name/part 7/one more", b"more");
    until_all_hashed(&shelf, 3001);

    let changes = shelf.changes().split_off(before);
    let folders = changes.iter().filter(|change| matches!(change, Change::RenamedFolder { .. })).count();
    let puts: Vec<_> = changes.iter().filter(|change| matches!(change, Change::Put { .. })).collect();
    assert_eq!((folders, puts.len()), (1, 1), "{puts:?}");
    assert_eq!(shelf.shares.bytes_hashed() - bytes, 4, "only what is new was read");
    let state = shelf.shares.state(ROOT).expect("a state");
    assert_eq!(state.left_out.len(), 1);
    assert_eq!(state.left_out[0].path, Path::new("above/new name/.hidden"));
}

#[test]
fn thousands_of_files_are_dropped_and_renamed_at_once_and_all_are_right() {
    storm(4000, ShareOptions::new);
}

#[test]
fn when_the_queue_overflows_only_what_was_missed_is_read_again() {
    let (dir, share) = place();
    fill(&share.join("quiet"), 500);
    fs::create_dir(share.join("busy")).expect("a folder");
    let options = ShareOptions { max_events: 16, ..ShareOptions::new(dir.path().join("cache")) };
    let shelf = Shelf::with(&share, options);
    until_all_hashed(&shelf, 500);
    let watch = opened_in(&share.join("quiet/part 3"));
    let overflowed = || shelf.warnings().iter().any(|warning| warning.contains("folders is read again"));
    // A reader that gets more of the processor than we do keeps up with us for a while.
    let mut written = 0;
    while !overflowed() {
        assert!(written < 40_000, "no overflow: {:?}", shelf.warnings());
        for number in written..written + 2000 {
            fs::write(share.join(format!("busy/{number}")), "x").expect("a file");
        }
        written += 2000;
        until_all_hashed(&shelf, 500 + written);
    }
    assert!(!watch(), "a folder was read in which nothing happened");
}

/// 100,000 files: `cargo test --release --test share_scale -- --ignored`, or scripts/soak storm.
#[test]
#[ignore = "takes minutes"]
fn a_hundred_thousand_files_are_dropped_and_renamed_at_once_and_all_are_right() {
    storm(100_000, ShareOptions::new);
}

/// Drops files into a share, renames each, renames the folders, and takes half away; everything by another program's
/// hand and as fast as it goes. In the end the library holds what the disk holds.
fn storm(count: usize, options: impl FnOnce(PathBuf) -> ShareOptions) {
    let (dir, share) = place();
    let shelf = Shelf::with(&share, options(dir.path().join("cache")));
    shelf.until_phase(Phase::Ready);
    fill(&share.join("a"), count);
    for number in 0..count {
        let part = share.join(format!("a/part {}", number / 100));
        fs::rename(part.join(format!("file {number}")), part.join(format!("track {number}"))).expect("renamed");
    }
    shelf.until_within(Duration::from_secs(300), "all tracks", |library| {
        let right = || library.iter().all(|file| file.name.starts_with("track"));
        (library.files() == count as u64 && library.hashed() == count as u64 && right()).then_some(())
    });
    for part in 0..count / 100 {
        let from = share.join(format!("a/part {part}"));
        let to = share.join(format!("a/side {part}"));
        fs::rename(&from, &to).expect("renamed");
        if part % 2 == 0 {
            fs::remove_dir_all(&to).expect("removed");
        }
    }
    let left = (count / 100 / 2 * 100) as u64;
    shelf.until_within(Duration::from_secs(300), "half of it", |library| {
        let right = || library.iter().all(|file| file.path.starts_with("a") && is_on_side(&file.path));
        (library.files() == left && library.hashed() == left && right()).then_some(())
    });
    let paths: BTreeSet<PathBuf> = shelf.shared().into_iter().collect();
    assert_eq!(paths.len() as u64, left, "no file is there twice");
    assert!(paths.iter().all(|path| share.join(path).is_file()));
}

fn is_on_side(path: &Path) -> bool {
    path.components().nth(1).is_some_and(|part| part.as_os_str().to_string_lossy().starts_with("side"))
}

/// Tells whether a folder was opened since.
fn opened_in(folder: &Path) -> impl Fn() -> bool + use<> {
    use rustix::fs::inotify::{CreateFlags, Reader, WatchFlags, add_watch, init};
    let watch = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).expect("a watch");
    add_watch(&watch, folder, WatchFlags::OPEN).expect("watched");
    move || Reader::new(&watch, &mut [std::mem::MaybeUninit::uninit(); 4096]).next().is_ok()
}

#[test]
fn what_the_user_excludes_is_left_out_wherever_it_comes_from() {
    let (dir, share) = place();
    for path in ["keep.txt", "disk.ISO", "drafts/one.txt", "office/drafts/two.txt", "office/final.txt"] {
        fs::create_dir_all(share.join(path).parent().expect("a folder")).expect("folders");
        fs::write(share.join(path), path).expect("a file");
    }
    let excludes = ["*.iso", "/office/drafts"].map(|text| Pattern::parse(text).expect("a pattern"));
    let seen = preview(&share, &[], &excludes).expect("a preview");
    assert_eq!((seen.files, seen.skipped), (3, [(SkipReason::Excluded, 2)].into()));

    let other = dir.path().join("other");
    let shelf = shelf(&dir, &other);
    shelf.shares.remove(ROOT);
    shelf.shares.add_without(share.clone(), RootId(2), &excludes);
    shelf.until_shared(&["drafts/one.txt", "keep.txt", "office/final.txt"]);
    fs::write(share.join("another.iso"), "x").expect("a file");
    fs::rename(share.join("keep.txt"), share.join("kept.iso")).expect("renamed");
    shelf.until_shared(&["drafts/one.txt", "office/final.txt"]);
    // What is left out of one place may be shared in another, and the other way round.
    fs::rename(share.join("office/drafts"), share.join("office/shown")).expect("renamed");
    shelf.until_shared(&["drafts/one.txt", "office/final.txt", "office/shown/two.txt"]);
    fs::rename(share.join("drafts"), share.join("office/drafts")).expect("renamed");
    shelf.until_shared(&["office/final.txt", "office/shown/two.txt"]);
    let state = shelf.shares.state(RootId(2)).expect("a state");
    assert_eq!(state.skipped, [(SkipReason::Excluded, 4)].into());
}

#[test]
fn a_hard_link_is_shared_and_a_write_through_the_other_name_is_noticed_by_a_rescan() {
    let (dir, share) = place();
    let outside = dir.path().join("outside");
    fs::write(&outside, "first").expect("a file");
    let shelf = shelf(&dir, &share);
    shelf.until_phase(Phase::Ready);
    fs::hard_link(&outside, share.join("linked")).expect("a link");
    shelf.until_hashed("linked", b"first");
    // The kernel tells of writes by the name that was opened, which is not in the share.
    fs::write(&outside, "second").expect("a file");
    shelf.shares.rescan(ROOT);
    shelf.until_hashed("linked", b"second");
}

/// Ends a mount however the test ends.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _gone = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn what_is_mounted_deep_in_a_share_comes_and_goes_with_its_mount() {
    let (dir, share) = place();
    let place = share.join("a/b/stick");
    fs::create_dir_all(&place).expect("folders");
    fs::write(place.join("below"), "x").expect("a file");
    let shelf = shelf(&dir, &share);
    shelf.until_hashed("a/b/stick/below", b"x");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(&place).output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: this user or place may not mount anything");
        return;
    }
    let mounted = Mounted(place.clone());
    shelf.until_shared(&[]);
    fs::create_dir(place.join("songs")).expect("a folder");
    fs::write(place.join("songs/one"), "one").expect("a file");
    shelf.until_hashed("a/b/stick/songs/one", b"one");
    drop(mounted);
    shelf.until_shared(&["a/b/stick/below"]);
    fs::write(place.join("again"), "watched").expect("a file");
    shelf.until_hashed("a/b/stick/again", b"watched");
}

#[test]
fn what_cannot_be_read_is_told_with_the_reason() {
    use std::os::unix::fs::PermissionsExt;
    if rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: root reads everything");
        return;
    }
    let (dir, share) = place();
    fs::create_dir(share.join("locked")).expect("a folder");
    fs::write(share.join("secret"), "x").expect("a file");
    for name in ["locked", "secret"] {
        fs::set_permissions(share.join(name), fs::Permissions::from_mode(0o000)).expect("locked");
    }
    let shelf = shelf(&dir, &share);
    shelf.until_phase(Phase::Ready);
    let state = shelf.shares.state(ROOT).expect("a state");
    let told: Vec<_> =
        state.left_out.iter().map(|left_out| (left_out.path.to_str(), left_out.why.as_deref())).collect();
    assert_eq!(told, [(Some("locked"), Some("permission denied")), (Some("secret"), Some("permission denied"))]);
    fs::set_permissions(share.join("locked"), fs::Permissions::from_mode(0o755)).expect("unlocked");
    fs::set_permissions(share.join("secret"), fs::Permissions::from_mode(0o644)).expect("unlocked");
    shelf.until_hashed("secret", b"x");
    fs::write(share.join("locked/in"), "y").expect("a file");
    shelf.until_hashed("locked/in", b"y");
}
