//! A shelf for tests: shared folders whose changes are applied to a library, and waiting for what must come.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use filbert::disk::{Change, Phase, ShareOptions, Shares};
use filbert::library::{Criteria, Library, RootId, SharedFile};
use filbert::wire::{Digests, Urn};

/// Nothing takes this long unless it never comes.
const DEADLINE: Duration = Duration::from_secs(20);

pub const ROOT: RootId = RootId(1);

#[derive(Default)]
struct Told {
    library: Library,
    changes: Vec<Change>,
}

pub struct Shelf {
    pub shares: Shares,
    told: Arc<(Mutex<Told>, Condvar)>,
}

impl Shelf {
    /// Shares `root`, keeping hashes in `cache`.
    pub fn new(root: &Path, cache: &Path) -> Self {
        Self::with(root, ShareOptions { probe_every: Duration::from_millis(100), ..ShareOptions::new(cache) })
    }

    pub fn with(root: &Path, options: ShareOptions) -> Self {
        let told: Arc<(Mutex<Told>, Condvar)> = Arc::default();
        let sink = {
            let told = Arc::clone(&told);
            move |changes: Vec<Change>| {
                let mut guard = told.0.lock().expect("no test panics here");
                for change in changes {
                    guard.library.apply(change.clone());
                    guard.changes.push(change);
                }
                told.1.notify_all();
            }
        };
        let shares = Shares::start_with(options, Box::new(sink));
        shares.add(root.to_owned(), ROOT);
        Self { shares, told }
    }

    /// Waits until something holds of the library.
    pub fn until<T>(&self, what: &str, holds: impl FnMut(&Library) -> Option<T>) -> T {
        self.until_within(DEADLINE, what, holds)
    }

    /// Waits for so long at most until something holds of the library.
    pub fn until_within<T>(&self, time: Duration, what: &str, mut holds: impl FnMut(&Library) -> Option<T>) -> T {
        let end = Instant::now() + time;
        let mut told = self.told.0.lock().expect("no test panics here");
        loop {
            if let Some(value) = holds(&told.library) {
                return value;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let files: Vec<PathBuf> = told.library.iter().map(|file| file.path).collect();
                panic!("in vain waited for: {what}\nshared: {files:?}\ntold: {:#?}", told.changes);
            }
            told = self.told.1.wait_timeout(told, left.min(Duration::from_millis(50))).expect("no test panics here").0;
        }
    }

    /// Waits until a share is in some phase.
    pub fn until_phase(&self, phase: Phase) {
        self.until(phase.name(), |_| (self.shares.state(ROOT)?.phase == phase).then_some(()));
    }

    /// Waits until exactly these files are shared (paths beneath the root, sorted).
    pub fn until_shared(&self, expected: &[&str]) {
        let expected: Vec<PathBuf> = expected.iter().map(PathBuf::from).collect();
        self.until(&format!("{expected:?}"), |library| (paths(library) == expected).then_some(()));
    }

    /// Waits until the file's content is known to be this one.
    pub fn until_hashed(&self, path: &str, content: &[u8]) -> SharedFile {
        let digests = Digests::of(content);
        self.until(&format!("{path} hashed"), |library| {
            let file = library.by_path(ROOT, Path::new(path))?;
            let found = library.by_urn(&Urn::Sha1(digests.sha1)).is_some();
            (file.digests == Some(digests) && found).then_some(file)
        })
    }

    pub fn shared(&self) -> Vec<PathBuf> {
        paths(&self.told.0.lock().expect("no test panics here").library)
    }

    pub fn finds(&self, query: &str) -> Vec<String> {
        let criteria = Criteria::parse(query).expect("a query");
        let told = self.told.0.lock().expect("no test panics here");
        let mut names: Vec<String> = told.library.search(&criteria, 1000).into_iter().map(|file| file.name).collect();
        names.sort();
        names
    }

    pub fn changes(&self) -> Vec<Change> {
        self.told.0.lock().expect("no test panics here").changes.clone()
    }

    pub fn warnings(&self) -> Vec<String> {
        let warning = |change| match change {
            Change::Warning(message) => Some(message),
            _ => None,
        };
        self.changes().into_iter().filter_map(warning).collect()
    }
}

fn paths(library: &Library) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = library.iter().map(|file| file.path).collect();
    paths.sort();
    paths
}
