//! A share while this process has no file descriptor left. Alone in its file: the limit is the whole process's.
#![cfg(target_os = "linux")]

mod shelf;

use std::fs;
use std::time::{Duration, Instant};

use filbert::disk::Phase;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use shelf::Shelf;

#[test]
fn a_folder_that_could_not_be_opened_for_want_of_descriptors_is_read_when_there_are_some() {
    let dir = tempfile::tempdir().expect("a folder");
    let root = dir.path().canonicalize().expect("a path");
    let share = root.join("share");
    fs::create_dir(&share).expect("a folder");
    fs::create_dir(root.join("folder")).expect("a folder");
    fs::write(root.join("folder/file"), "content").expect("a file");
    let shelf = Shelf::new(&share, &root.join("cache"));
    shelf.until_phase(Phase::Ready);

    let before = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(3), ..before }).expect("lowered");
    fs::rename(root.join("folder"), share.join("folder")).expect("moved");
    let end = Instant::now() + Duration::from_millis(500);
    while Instant::now() < end {
        std::thread::park_timeout(Duration::from_millis(20));
    }
    let meanwhile = shelf.shared();
    setrlimit(Resource::Nofile, before).expect("raised");
    assert!(meanwhile.is_empty(), "the limit is no limit: {meanwhile:?}");
    shelf.until_hashed("folder/file", b"content");
}
