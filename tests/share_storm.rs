//! Whatever is done to a shared folder, in the end the library holds what the disk holds.
#![cfg(target_os = "linux")]

mod shelf;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use filbert::base::Rng;
use filbert::disk::{Phase, ShareOptions};
use filbert::wire::Digests;
use shelf::Shelf;

/// All files below `root` with their contents.
fn on_disk(root: &Path, below: &Path, found: &mut BTreeMap<PathBuf, Digests>) {
    for entry in fs::read_dir(root.join(below)).expect("a folder") {
        let entry = entry.expect("an entry");
        let path = below.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            on_disk(root, &path, found);
        } else if !entry.file_name().to_string_lossy().starts_with('.') {
            found.insert(path, Digests::of(&fs::read(entry.path()).expect("content")));
        }
    }
}

/// One random thing to do to the tree. Much of it fails, as it may.
fn disturb(root: &Path, rng: &mut Rng, step: usize) {
    let inner = |rng: &mut Rng| root.join(["a", "b", "a/x", "a/y", "b/x", "a/x/deep"][rng.below(6)]);
    let folder = |rng: &mut Rng| ["", "a", "b", "a/x", "a/y", "b/x", "a/x/deep"][rng.below(7)];
    let file = |rng: &mut Rng| {
        let name = ["one", "two", "three", ".hidden"][rng.below(4)];
        root.join(folder(rng)).join(name)
    };
    let content = format!("{}{}", "x".repeat(rng.below(3000)), step);
    let _may_fail = match rng.below(11) {
        0..=3 => fs::write(file(rng), content),
        4 => fs::create_dir_all(root.join(folder(rng))),
        5..=6 => fs::rename(file(rng), file(rng)),
        7 => fs::rename(inner(rng), inner(rng)),
        8 => fs::remove_file(file(rng)),
        9 if rng.below(4) == 0 => fs::remove_dir_all(root.join(["a", "b", "a/x"][rng.below(3)])),
        10 => {
            let outside = root.with_file_name("outside");
            fs::rename(inner(rng), &outside).and_then(|()| fs::rename(&outside, inner(rng)))
        }
        _ => Ok(()),
    };
    // A tree moved out that found no way back would be in the way of the next.
    let _gone = fs::remove_dir_all(root.with_file_name("outside"));
}

fn storm(seed: u64, options: impl FnOnce(ShareOptions) -> ShareOptions) {
    let dir = tempfile::tempdir().expect("a folder");
    let root = dir.path().canonicalize().expect("a path").join("share");
    fs::create_dir(&root).expect("a folder");
    let shelf = Shelf::with(&root, options(ShareOptions::new(dir.path().join("cache"))));
    shelf.until_phase(Phase::Ready);
    let mut rng = Rng::from_number(seed);
    for round in 0..10 {
        for step in 0..60 {
            disturb(&root, &mut rng, round * 100 + step);
        }
        let mut expected = BTreeMap::new();
        on_disk(&root, Path::new(""), &mut expected);
        let expected: Vec<_> = expected.into_iter().map(|(path, digests)| (path, Some(digests))).collect();
        shelf.until(&format!("round {round} of seed {seed}: {expected:#?}"), |library| {
            let mut held: Vec<_> = library.iter().map(|file| (file.path.clone(), file.digests)).collect();
            held.sort_by(|a, b| a.0.cmp(&b.0));
            (held == expected).then_some(())
        });
    }
}

#[test]
fn after_a_storm_the_library_holds_what_the_disk_holds() {
    for seed in 0..4 {
        storm(seed, |options| options);
    }
}

#[test]
fn after_a_storm_that_overruns_the_queue_too() {
    for seed in 10..12 {
        storm(seed, |options| ShareOptions { max_events: 3, ..options });
    }
}

#[test]
fn after_a_storm_at_the_limit_of_watches_too() {
    let poll_every = std::time::Duration::from_millis(50);
    for seed in 20..22 {
        storm(seed, |options| ShareOptions { max_watches: 2, poll_every, ..options });
    }
}
