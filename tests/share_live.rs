//! A shared folder, live: what happens on the disk is soon found, without reading what did not change.
#![cfg(target_os = "linux")]

mod shelf;

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use filbert::disk::{Change, Phase, ShareOptions, SkipReason};
use filbert::wire::Digests;
use shelf::{ROOT, Shelf};
use tempfile::TempDir;

/// A place with an empty `share` and a `cache`.
fn place() -> TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    fs::create_dir(dir.path().join("share")).expect("a folder");
    dir
}

fn share(dir: &TempDir) -> std::path::PathBuf {
    dir.path().join("share").canonicalize().expect("a path")
}

fn shelf(dir: &TempDir) -> Shelf {
    Shelf::new(&share(dir), &dir.path().join("cache"))
}

fn write(dir: &TempDir, path: &str, content: &str) {
    let path = share(dir).join(path);
    fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
    fs::write(path, content).expect("a file");
}

#[test]
fn files_that_are_there_are_found_and_hashed() {
    let dir = place();
    write(&dir, "Blue Train.flac", "la");
    write(&dir, "deep/er/Naima.ogg", "li");
    let shelf = shelf(&dir);
    shelf.until_shared(&["Blue Train.flac", "deep/er/Naima.ogg"]);
    shelf.until_hashed("Blue Train.flac", b"la");
    shelf.until_hashed("deep/er/Naima.ogg", b"li");
    shelf.until_phase(Phase::Ready);
    assert_eq!(shelf.finds("blue train"), ["Blue Train.flac"]);
    assert_eq!(shelf.shares.bytes_hashed(), 4);
    let (mut file, stamp) = shelf.shares.open(ROOT, Path::new("deep/er/Naima.ogg")).expect("opens");
    assert_eq!(stamp.size, 2);
    assert_eq!(std::io::read_to_string(&mut file).expect("read"), "li");
    assert!(shelf.shares.open(ROOT, Path::new("../cache/hashes")).is_err());
}

#[test]
fn created_modified_renamed_and_deleted_files_are_followed() {
    let dir = place();
    let shelf = shelf(&dir);
    shelf.until_phase(Phase::Ready);

    write(&dir, "one.txt", "first");
    let first = shelf.until_hashed("one.txt", b"first");

    write(&dir, "one.txt", "second version");
    let second = shelf.until_hashed("one.txt", b"second version");
    assert_eq!(first.index, second.index, "it is the same file still");

    fs::rename(share(&dir).join("one.txt"), share(&dir).join("two.txt")).expect("renamed");
    let renamed = shelf.until_hashed("two.txt", b"second version");
    assert_eq!(renamed.index, second.index);
    assert_eq!((shelf.finds("one").len(), shelf.finds("two").len()), (0, 1));

    fs::remove_file(share(&dir).join("two.txt")).expect("removed");
    shelf.until_shared(&[]);
}

#[test]
fn new_moved_and_deleted_folders_are_followed_with_all_that_is_in_them() {
    let dir = place();
    let shelf = shelf(&dir);
    shelf.until_phase(Phase::Ready);

    for name in ["a/b/c/1", "a/b/2", "a/3"] {
        write(&dir, name, name);
    }
    shelf.until_shared(&["a/3", "a/b/2", "a/b/c/1"]);
    shelf.until_hashed("a/b/c/1", b"a/b/c/1");
    shelf.until_hashed("a/b/2", b"a/b/2");

    fs::rename(share(&dir).join("a/b"), share(&dir).join("x")).expect("renamed");
    shelf.until_shared(&["a/3", "x/2", "x/c/1"]);
    shelf.until_hashed("x/c/1", b"a/b/c/1");

    // The moved folder is still watched, and its old place is not.
    write(&dir, "x/c/4", "new");
    shelf.until_hashed("x/c/4", b"new");
    write(&dir, "a/b/5", "again");
    shelf.until_hashed("a/b/5", b"again");

    fs::rename(share(&dir).join("x"), dir.path().join("outside")).expect("moved out");
    shelf.until_shared(&["a/3", "a/b/5"]);
    fs::rename(dir.path().join("outside"), share(&dir).join("back")).expect("moved in");
    shelf.until_shared(&["a/3", "a/b/5", "back/2", "back/c/1", "back/c/4"]);

    fs::remove_dir_all(share(&dir).join("back")).expect("removed");
    fs::remove_dir_all(share(&dir).join("a")).expect("removed");
    shelf.until_shared(&[]);
}

#[test]
fn a_seen_rename_and_a_restart_read_nothing_again() {
    let dir = place();
    write(&dir, "sub/one", "some content");
    {
        let shelf = shelf(&dir);
        shelf.until_hashed("sub/one", b"some content");
        fs::rename(share(&dir).join("sub/one"), share(&dir).join("sub/two")).expect("renamed");
        shelf.until_hashed("sub/two", b"some content");
        fs::rename(share(&dir).join("sub"), share(&dir).join("folder")).expect("renamed");
        shelf.until_hashed("folder/two", b"some content");
        shelf.until_phase(Phase::Ready);
        assert_eq!(shelf.shares.bytes_hashed(), 12, "only once");
        shelf.shares.stop();
    }
    // The folder moves while nobody looks: stamps tell, not paths.
    fs::rename(share(&dir).join("folder"), share(&dir).join("elsewhere")).expect("renamed");
    let shelf = shelf(&dir);
    shelf.until_hashed("elsewhere/two", b"some content");
    assert_eq!(shelf.shares.bytes_hashed(), 0, "not once after a restart");
}

#[test]
fn a_growing_file_waits_until_its_writer_closes_it() {
    let dir = place();
    let shelf = shelf(&dir);
    shelf.until_phase(Phase::Ready);
    let mut file = File::create(share(&dir).join("growing.iso")).expect("a file");
    let began = Instant::now();
    let mut content = Vec::new();
    while began.elapsed() < Duration::from_millis(1500) {
        file.write_all(b"more ").expect("written");
        content.extend_from_slice(b"more ");
        std::thread::park_timeout(Duration::from_millis(20));
        assert!(shelf.shared().is_empty(), "it is shared though it grows");
    }
    drop(file);
    shelf.until_hashed("growing.iso", &content);
    let puts = shelf.changes().iter().filter(|change| matches!(change, Change::Put { .. })).count();
    assert_eq!(puts, 1);
}

#[test]
fn a_file_that_nobody_closes_is_shared_when_it_is_quiet() {
    let dir = place();
    let options =
        ShareOptions { writer_quiet: Duration::from_millis(300), ..ShareOptions::new(dir.path().join("cache")) };
    let shelf = Shelf::with(&share(&dir), options);
    shelf.until_phase(Phase::Ready);
    let mut file = File::create(share(&dir).join("log.txt")).expect("a file");
    file.write_all(b"line").expect("written");
    shelf.until_hashed("log.txt", b"line");
    file.write_all(b" and line").expect("written");
    shelf.until_hashed("log.txt", b"line and line");
}

#[test]
fn a_file_saved_by_renaming_over_it_is_followed() {
    let dir = place();
    write(&dir, "notes.txt", "old");
    let shelf = shelf(&dir);
    shelf.until_hashed("notes.txt", b"old");
    write(&dir, ".notes.txt.swp", "new text");
    fs::rename(share(&dir).join(".notes.txt.swp"), share(&dir).join("notes.txt")).expect("renamed");
    shelf.until_hashed("notes.txt", b"new text");
    shelf.until_shared(&["notes.txt"]);
}

#[test]
fn two_names_swapped_keep_their_contents() {
    let dir = place();
    write(&dir, "a", "content of a");
    write(&dir, "b", "content of b!");
    let shelf = shelf(&dir);
    shelf.until_hashed("a", b"content of a");
    shelf.until_hashed("b", b"content of b!");
    let at = |name: &str| share(&dir).join(name);
    fs::rename(at("a"), at("c")).expect("renamed");
    fs::rename(at("b"), at("a")).expect("renamed");
    fs::rename(at("c"), at("b")).expect("renamed");
    shelf.until_hashed("a", b"content of b!");
    shelf.until_hashed("b", b"content of a");
    shelf.until_shared(&["a", "b"]);
}

#[test]
fn what_leads_out_or_is_nobodys_business_is_not_shared_and_is_counted() {
    let dir = place();
    fs::write(dir.path().join("secret"), "secret").expect("a file");
    fs::create_dir(dir.path().join("outside")).expect("a folder");
    fs::write(dir.path().join("outside/file"), "secret").expect("a file");
    write(&dir, "shown", "x");
    write(&dir, ".hidden", "x");
    write(&dir, "incomplete/film.mkv.part", "x");
    write(&dir, "passwords.txt", "x");
    let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, share(&dir).join(name)).expect("a link");
    link("../secret", "link");
    link("../outside", "folder");
    let shelf = shelf(&dir);
    shelf.until_phase(Phase::Ready);
    shelf.until_shared(&["passwords.txt", "shown"]);

    // The same, live.
    link("shown", "twice");
    link("..", "up");
    write(&dir, ".later", "x");
    write(&dir, "later", "x");
    shelf.until_shared(&["later", "passwords.txt", "shown"]);
    let expected = [(SkipReason::Hidden, 2), (SkipReason::LinkOut, 3), (SkipReason::Link, 1), (SkipReason::Partial, 1)];
    shelf.until("the counts", |_| (shelf.shares.state(ROOT)?.skipped == expected.into()).then_some(()));
    assert_eq!(shelf.shares.state(ROOT).expect("a state").looks_private, ["passwords.txt"]);
    for path in ["link", "folder/file", "up/secret", "twice"] {
        assert!(shelf.shares.open(ROOT, Path::new(path)).is_err(), "{path} opens");
    }
}

#[test]
fn names_of_every_kind_are_shared_as_they_are() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let dir = place();
    let shelf = shelf(&dir);
    shelf.until_phase(Phase::Ready);
    let long = "l".repeat(251) + ".txt";
    let names: [&[u8]; 5] = [b"bad \xff byte.txt", "Beyonce\u{301}.mp3".as_bytes(), long.as_bytes(), b"Case", b"case"];
    for name in names {
        fs::write(share(&dir).join(OsStr::from_bytes(name)), name).expect("a file");
    }
    for name in names {
        let digests = Digests::of(name);
        let path = Path::new(OsStr::from_bytes(name));
        shelf.until(&format!("{}", path.display()), |library| {
            (library.by_path(ROOT, path)?.digests == Some(digests)).then_some(())
        });
        shelf.shares.open(ROOT, path).expect("opens");
    }
    assert_eq!(shelf.finds("beyoncé"), ["Beyonc\u{e9}.mp3"]);
    assert_eq!(shelf.finds("bad byte"), ["bad \u{fffd} byte.txt"]);
    assert_eq!(shelf.finds("CASE"), ["Case", "case"]);
}

#[test]
fn a_folder_that_vanishes_is_missing_and_comes_back() {
    let dir = place();
    write(&dir, "one", "content");
    let shelf = shelf(&dir);
    shelf.until_hashed("one", b"content");
    let (root, away) = (share(&dir), dir.path().join("away"));
    fs::rename(&root, &away).expect("moved");
    shelf.until_phase(Phase::Missing);
    shelf.until_shared(&[]);
    assert!(shelf.warnings().iter().any(|warning| warning.contains("missing")), "{:?}", shelf.warnings());
    fs::write(away.join("two"), "more").expect("a file");
    fs::rename(&away, &root).expect("moved back");
    shelf.until_hashed("one", b"content");
    shelf.until_hashed("two", b"more");
    assert_eq!(shelf.shares.bytes_hashed(), 11);
    shelf.until_phase(Phase::Ready);
    assert_eq!(shelf.shares.state(ROOT).expect("a state").warnings, Vec::<String>::new(), "it is back");
    fs::write(root.join("three"), "alive").expect("a file");
    shelf.until_hashed("three", b"alive");
}

#[test]
fn a_folder_that_is_not_there_yet_is_shared_when_it_is() {
    let dir = place();
    let late = share(&dir).join("late");
    let shelf = Shelf::new(&late, &dir.path().join("cache"));
    shelf.until_phase(Phase::Missing);
    fs::create_dir(&late).expect("a folder");
    fs::write(late.join("file"), "x").expect("a file");
    shelf.until_hashed("file", b"x");
}

#[test]
fn when_more_happens_than_can_be_followed_nothing_is_lost() {
    let dir = place();
    let options = ShareOptions { max_events: 4, ..ShareOptions::new(dir.path().join("cache")) };
    let shelf = Shelf::with(&share(&dir), options);
    shelf.until_phase(Phase::Ready);
    for number in 0..500 {
        fs::write(share(&dir).join(format!("file {number}")), "x").expect("a file");
    }
    shelf.until("500 files", |library| (library.files() == 500).then_some(()));
    for number in 0..500 {
        fs::rename(share(&dir).join(format!("file {number}")), share(&dir).join(format!("track {number}")))
            .expect("renamed");
    }
    shelf.until("500 tracks", |library| {
        let tracks = library.iter().filter(|file| file.name.starts_with("track")).count();
        (library.files() == 500 && tracks == 500).then_some(())
    });
    assert!(shelf.warnings().iter().any(|warning| warning.contains("read again")), "{:?}", shelf.warnings());
}

#[test]
fn at_the_limit_of_watches_the_rest_is_polled_and_said_so() {
    let dir = place();
    write(&dir, "a/1", "1");
    write(&dir, "b/c/2", "2");
    let options = ShareOptions {
        max_watches: 2,
        poll_every: Duration::from_millis(100),
        ..ShareOptions::new(dir.path().join("cache"))
    };
    let shelf = Shelf::with(&share(&dir), options);
    shelf.until_phase(Phase::Ready);
    let limits = shelf.warnings().iter().filter(|warning| warning.contains("max_user_watches")).count();
    assert_eq!(limits, 1, "{:?}", shelf.warnings());
    assert_eq!(shelf.shares.state(ROOT).expect("a state").warnings, shelf.warnings());
    write(&dir, "a/3", "3");
    write(&dir, "b/c/4", "4");
    write(&dir, "b/d/e/5", "5");
    shelf.until_hashed("a/3", b"3");
    shelf.until_hashed("b/c/4", b"4");
    shelf.until_hashed("b/d/e/5", b"5");
    fs::remove_dir_all(share(&dir).join("b")).expect("removed");
    fs::write(share(&dir).join("a/1"), "changed").expect("written");
    shelf.until_hashed("a/1", b"changed");
    shelf.until_shared(&["a/1", "a/3"]);
    // Two watches are enough now: nothing is wrong any more, and should it be again, that is said again.
    let warnings = |shelf: &Shelf| shelf.shares.state(ROOT).expect("a state").warnings.len();
    shelf.until("the warning taken back", |_| (warnings(&shelf) == 0).then_some(()));
    let over = |change| if let Change::WarningOver(message) = change { Some(message) } else { None };
    let taken_back: Vec<String> = shelf.changes().into_iter().filter_map(over).collect();
    assert_eq!(taken_back, shelf.warnings());
    write(&dir, "b/6", "6");
    shelf.until_hashed("b/6", b"6");
    shelf.until("warned again", |_| (warnings(&shelf) == 1).then_some(()));
    assert_eq!(shelf.warnings().len(), 2);
}

#[test]
fn a_share_that_is_removed_is_forgotten_and_the_others_stay() {
    let dir = place();
    write(&dir, "one", "x");
    let other = dir.path().join("other");
    fs::create_dir(&other).expect("a folder");
    fs::write(other.join("two"), "y").expect("a file");
    let shelf = shelf(&dir);
    let second = filbert::library::RootId(2);
    shelf.shares.add(other.clone(), second);
    shelf.until("both", |library| (library.files() == 2).then_some(()));
    shelf.shares.remove(ROOT);
    shelf.until_shared(&["two"]);
    assert_eq!(shelf.shares.state(ROOT), None);
    write(&dir, "three", "z");
    fs::write(other.join("four"), "z").expect("a file");
    shelf.until_shared(&["four", "two"]);
}

#[test]
fn hashing_pauses_and_stops_promptly() {
    let dir = place();
    let shelf = shelf(&dir);
    shelf.shares.pause_hashing(true);
    write(&dir, "later", "content");
    shelf.until_shared(&["later"]);
    shelf.until_phase(Phase::Hashing);
    let state = shelf.shares.state(ROOT).expect("a state");
    assert_eq!((state.unhashed, state.unhashed_bytes), (1, 7));
    shelf.shares.pause_hashing(false);
    shelf.until_hashed("later", b"content");
    // A huge file (without blocks on the disk) takes long to hash; ending does not wait for it.
    File::create(share(&dir).join("huge")).expect("a file").set_len(1 << 40).expect("a sparse file");
    shelf.until("huge", |library| library.by_path(ROOT, Path::new("huge")));
    shelf.until("reading", |_| (shelf.shares.bytes_hashed() > 7).then_some(()));
    let threads = || fs::read_dir("/proc/self/task").expect("threads").count();
    let before = threads();
    shelf.shares.stop();
    assert!(threads() < before);
}

#[test]
fn a_file_that_changes_while_it_is_hashed_gets_the_names_of_what_it_is_in_the_end() {
    let dir = place();
    let big = vec![7_u8; 8 << 20];
    fs::write(share(&dir).join("big"), &big).expect("a file");
    let shelf = shelf(&dir);
    shelf.until("reading", |_| (shelf.shares.bytes_hashed() > 0).then_some(()));
    fs::write(share(&dir).join("big"), b"small now").expect("written");
    shelf.until_hashed("big", b"small now");
    let wrong = shelf.changes().iter().any(|change| match change {
        Change::Hashed { stamp, digests, .. } => stamp.size == 9 && *digests != Digests::of(b"small now"),
        _ => false,
    });
    assert!(!wrong, "names of another content were told");
}

#[test]
fn an_idle_share_reads_no_folder_and_no_file() {
    use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};
    let dir = place();
    for number in 0..30 {
        write(&dir, &format!("folder {number}/file"), "x");
    }
    let options =
        ShareOptions { probe_every: Duration::from_millis(20), ..ShareOptions::new(dir.path().join("cache")) };
    let shelf = Shelf::with(&share(&dir), options);
    shelf.until("all", |library| (library.hashed() == 30).then_some(()));
    shelf.until_phase(Phase::Ready);

    // Another watch sees every opening of a folder or file.
    let watch = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).expect("a watch");
    inotify::add_watch(&watch, share(&dir), WatchFlags::OPEN).expect("watched");
    for number in 0..30 {
        inotify::add_watch(&watch, share(&dir).join(format!("folder {number}")), WatchFlags::OPEN).expect("watched");
    }
    let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
    let mut opened = || {
        let mut reader = Reader::new(&watch, &mut buffer);
        let mut count = 0;
        while reader.next().is_ok() {
            count += 1;
        }
        count
    };
    let end = Instant::now() + Duration::from_millis(700);
    while Instant::now() < end {
        std::thread::park_timeout(Duration::from_millis(50));
    }
    assert_eq!(opened(), 0);
    // The count counts: one look from outside is seen.
    fs::read_dir(share(&dir)).expect("a folder");
    assert!(opened() > 0);
}
