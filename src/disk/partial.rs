//! A file that is being fetched: `incomplete/NAME.part`, and `NAME.part.map` beside it.
//!
//! The partial file is locked for as long as it is open. Bytes are written where they belong; when a block is
//! whole, its node in the tree inside the file's BLAKE3 is appended to the map. After a crash a block counts only if its
//! bytes still have the node that the map says, so neither file needs to be in step with the other: both are synced, in
//! their own time, at most once a second. A file of one block has no map: its own hash says whether it is there.
//!
//! The digests of the whole are computed while bytes come ([`hashing`]). What lies on the disk in the end is held
//! against the nodes of its blocks once more, so that nobody who writes to the partial file, and no disk that
//! forgets, makes a wrong file of it. What is finished is moved into place without ever taking the place of
//! another file, unless that was asked for. Nothing here decides what to fetch or whether the whole is right.
//!
//! With a tree ([`Partial::hold_tree`]) each block is held against it as soon as it is whole, before the map tells of
//! it; those that were there before follow, one with each write. A wrong one does not count ([`Partial::judged`]).
//!
//! Several sources write at a time: by way of a [`Slot`].

mod bytes;
mod filling;
mod hashing;
mod judge;
mod open;
mod orphans;
mod slot;
mod together;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::place::{self, OnExists};
use super::room::why_unwritten;
use crate::transfer::check::Checker;
use crate::transfer::{BlockMap, Expected, Proof, journal};
use crate::wire::Blake3;
use bytes::{differing, differing_while, each_piece};
pub use bytes::{node_of, read_range};
use filling::{Filling, Whole};
use hashing::Hash;
pub use judge::Judged;
use open::{are_fetched, at, rewrite};
pub use orphans::remove_empty;
pub use slot::{Slot, Wrote};
pub use together::{Ends, Finishing, Moved, Together};

/// How often what was written is brought to the disk.
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// Why a file cannot be read or written: what, where, and the next step.
#[derive(Debug)]
pub struct DiskError {
    /// In words.
    pub words: String,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong when a file cannot be read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The disk, or a right, or what else the system says.
    Refused,
    /// The partial file is not where it was: somebody removed or replaced it.
    Gone,
    /// Somebody wrote to the partial file after it was checked: check it again.
    Altered,
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

impl std::error::Error for DiskError {}

impl DiskError {
    /// `cannot write /x/y.part: the disk is full. Free some space, then retry`.
    pub(super) fn new(action: &str, path: &Path, error: &io::Error) -> Self {
        use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        let (why, next) = match error.kind() {
            StorageFull | QuotaExceeded => (why_unwritten(error), ". Free some space, then retry"),
            ReadOnlyFilesystem => (why_unwritten(error), ". Say another folder with --download-dir"),
            PermissionDenied => ("it is not allowed there".to_owned(), ". Say another folder with --download-dir"),
            _ => (error.to_string(), ""),
        };
        Self::other(format!("cannot {action} {}: {why}{next}", path.display()))
    }

    pub(super) fn other(words: String) -> Self {
        Self { words, fault: Fault::Refused }
    }
}

/// What a partial file is for.
#[derive(Clone, Debug)]
pub struct PartialSpec {
    /// The folder that it lies in.
    pub dir: PathBuf,
    /// The name of the finished file; already sanitised.
    pub name: String,
    /// Bytes of the finished file.
    pub size: u64,
    /// What it must be. Only with a hash is a partial file that was found taken up; see [`PartialSpec::own`].
    pub expected: Expected,
    /// The partial file that is known to be this download's, from an earlier run.
    pub own: Option<String>,
}

/// What the whole file turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checked {
    /// It is what was written, and these are the digests that it is held against.
    Digests(Expected),
    /// These blocks are not what was written: they do not count any more. In words, too.
    Changed(Vec<usize>, String),
    /// The tree says that blocks are wrong: see [`Partial::judged`].
    Wrong,
}

/// An open partial file.
#[derive(Debug)]
pub struct Partial {
    spec: PartialSpec,
    part: PathBuf,
    file: Arc<File>,
    opened: Instant,
    /// The map beside it, if it has one.
    beside: Option<Beside>,
    map: BlockMap,
    /// Blocks under way.
    filling: BTreeMap<usize, Arc<Mutex<Filling>>>,
    /// Slices that are wrong, of blocks that became whole with this write and were held against the tree meanwhile.
    seen: BTreeMap<usize, Vec<Range<u64>>>,
    /// The hash of the whole.
    hash: Hash,
    /// What it has taken, or is just taking.
    hashed: u64,
    /// How often it was begun anew.
    begun: u32,
    note: Option<String>,
    /// Those of its name that could not be told to be its own, where that takes its hash.
    passed: Vec<PathBuf>,
    /// The tree, and what it says.
    proof: Option<Proof>,
    /// How many there were.
    trees: u32,
    judged: Judged,
    /// Some blocks were there before the tree, and are not judged yet.
    behind: bool,
    /// What the file looked like when its blocks were last checked.
    checked: Option<(u64, SystemTime)>,
    synced: Instant,
    syncing: Arc<Mutex<Syncing>>,
}

/// The map beside a partial file.
#[derive(Debug)]
struct Beside {
    path: PathBuf,
    /// To append to.
    file: Arc<File>,
}

impl Beside {
    fn open(path: PathBuf) -> Result<Self, DiskError> {
        let file = fs::OpenOptions::new().append(true).open(&path);
        let file = Arc::new(file.map_err(|error| DiskError::new("write", &path, &error))?);
        Ok(Self { path, file })
    }

    /// It tells of these blocks.
    fn append(&self, stored: &[(usize, Blake3)]) -> Result<(), DiskError> {
        let lines: String = stored.iter().map(|(index, hash)| journal::record(*index, *hash)).collect();
        let written = (&*self.file).write_all(lines.as_bytes());
        written.map_err(|error| DiskError::new("write", &self.path, &error))
    }

    /// Another file has taken its place.
    fn open_again(&mut self) -> Result<(), DiskError> {
        *self = Self::open(std::mem::take(&mut self.path))?;
        Ok(())
    }
}

/// How it stands with bringing bytes to the disk.
#[derive(Debug, Default)]
enum Syncing {
    #[default]
    Idle,
    Running,
    /// The system tells of bytes that did not get there once, and no more.
    Failed(io::Error),
}

impl Partial {
    /// Opens the partial file of an interrupted download, or begins one. Reads back what is there: may take
    /// seconds for large files.
    pub fn open(spec: PartialSpec) -> Result<Self, DiskError> {
        open::open(&spec)
    }

    fn with(
        spec: PartialSpec,
        part: PathBuf,
        file: File,
        beside: Option<Beside>,
        map: BlockMap,
        note: Option<String>,
    ) -> Self {
        let mut partial = Self {
            part,
            file: Arc::new(file),
            opened: Instant::now(),
            beside,
            map,
            filling: BTreeMap::new(),
            seen: BTreeMap::new(),
            hash: Hash::Lent,
            hashed: 0,
            begun: 0,
            spec,
            note,
            passed: Vec::new(),
            proof: None,
            trees: 0,
            judged: Judged::default(),
            behind: false,
            checked: None,
            synced: Instant::now(),
            syncing: Arc::default(),
        };
        partial.hash = Hash::Here(partial.fresh_checker());
        partial
    }

    /// The name of the partial file in its folder.
    pub fn file_name(&self) -> String {
        self.part.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.part
    }

    /// What had happened to it before it was opened, if that was no mere end of an earlier run.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// The blocks that are stored.
    pub fn stored(&self) -> Vec<(usize, Blake3)> {
        self.map.stored().collect()
    }

    /// To read from what is there, while it is fetched and when it has been moved.
    pub fn reader(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// The block that a byte is in.
    fn block_at(&self, at: u64) -> Range<u64> {
        self.map.range(self.map.index_at(at))
    }

    /// Bytes of one block are on the disk, and with them all of it, maybe. Returns the blocks that count from now on.
    fn take(
        &mut self,
        index: usize,
        bytes: Range<u64>,
        whole: Option<Whole>,
    ) -> Result<Vec<(usize, Blake3)>, DiskError> {
        if !bytes.is_empty() {
            self.checked = None;
        }
        self.map.fill(bytes);
        let mut stored = Vec::new();
        if let Some(whole) = whole {
            self.filling.remove(&index);
            self.map.store(index, whole.part.node);
            self.see(index, &whole);
            stored.push((index, whole.part.node));
        }
        self.judge_new(&mut stored)?;
        if let Some(beside) = self.beside.as_ref().filter(|_| !stored.is_empty()) {
            self.must_be_there()?;
            beside.append(&stored)?;
        }
        self.sync_now_and_then()?;
        Ok(stored)
    }

    /// Whether all blocks are still what was written, and the digests of the whole that it is held against.
    /// Bytes that came in order were hashed when they came; the rest is read now.
    pub fn check(&mut self) -> Result<Checked, DiskError> {
        let mut there = self.must_be_there()?;
        if there.0 > self.spec.size {
            self.file.set_len(self.spec.size).map_err(|error| DiskError::new("shorten", &self.part, &error))?;
            there = self.must_be_there()?;
        }
        self.checked = Some(there);
        if self.judge_all()? {
            return Ok(Checked::Wrong);
        }
        let mut hash = match std::mem::replace(&mut self.hash, Hash::AtTheEnd) {
            Hash::Here(checker) => checker,
            Hash::Lent | Hash::AtTheEnd => self.fresh_checker(),
        };
        let begun = hash.taken() > 0;
        let (differing, read) = self.read_back(&mut hash);
        let differing = differing.map_err(|error| self.unread(&error))?;
        if !differing.is_empty() {
            return self.forget(differing);
        }
        read.map_err(|error| self.unread(&error))?;
        let mut digests = self.with_roots(hash.clone().finish());
        if begun && !self.spec.expected.matches(&digests) {
            // What was hashed while it came may have been changed for that moment: only what lies there now counts.
            hash = self.fresh_checker();
            self.hash_rest(&mut hash).map_err(|error| self.unread(&error))?;
            digests = self.with_roots(hash.clone().finish());
        }
        self.hash = Hash::Here(hash);
        Ok(Checked::Digests(digests))
    }

    /// The blocks that are not what was written; the hash of the whole is brought to the end beside.
    fn read_back(&self, hash: &mut Checker) -> (io::Result<Vec<usize>>, io::Result<()>) {
        if hash.is_idle() || hash.taken() >= self.spec.size {
            return (differing(&self.file, &self.map), Ok(()));
        }
        if self.beside.is_none() && hash.taken() == 0 {
            return (differing_while(&self.file, &self.map, |bytes| hash.update(bytes)), Ok(()));
        }
        std::thread::scope(|scope| {
            let blocks = scope.spawn(|| differing(&self.file, &self.map));
            let read = self.hash_rest(hash);
            (blocks.join().unwrap_or_else(|_| Err(io::Error::other("a reader panicked"))), read)
        })
    }

    fn hash_rest(&self, hash: &mut Checker) -> io::Result<()> {
        if hash.is_idle() {
            return Ok(());
        }
        let rest = hash.taken()..self.spec.size;
        each_piece(&self.file, rest, &mut Vec::new(), |bytes| hash.update(bytes))
    }

    fn forget(&mut self, blocks: Vec<usize>) -> Result<Checked, DiskError> {
        self.hash_anew();
        self.strike(&blocks)?;
        let words = format!("something changed its partial file, so {} again", are_fetched(blocks.len()));
        log::warn!("{}: {words}", self.part.display());
        Ok(Checked::Changed(blocks, words))
    }

    /// These blocks do not count any more, and the map says so.
    fn strike(&mut self, blocks: &[usize]) -> Result<(), DiskError> {
        for index in blocks {
            self.map.forget(*index);
            if let Some(proof) = &mut self.proof {
                proof.forget(*index);
            }
        }
        if let Some(beside) = &mut self.beside {
            rewrite(&beside.path, &journal::write(&self.map, self.spec.expected.urn().as_ref()))?;
            beside.open_again()?;
        }
        Ok(())
    }

    /// Nothing of it is under way to the disk any more, and nothing that was is lost.
    fn all_written(&self) -> Result<(), DiskError> {
        while matches!(*self.syncing.lock().unwrap_or_else(PoisonError::into_inner), Syncing::Running) {
            std::thread::park_timeout(Duration::from_millis(2));
        }
        self.take_sync_error()
    }

    fn sync(&self) -> Result<(), DiskError> {
        self.file.sync_all().map_err(|error| DiskError::new("write", &self.part, &error))
    }

    /// Moves what is on the disk, as it was checked, to `dir/name`, or where `on_exists` says; returns where it is. On an error
    /// it stays what it was. The folder is to be synced then.
    fn place(&self, dir: &Path, name: &str, on_exists: OnExists) -> Result<PathBuf, DiskError> {
        if self.checked != Some(self.must_be_there()?) {
            let words = format!("{} was written to by something else", self.part.display());
            return Err(DiskError { words, fault: Fault::Altered });
        }
        place::place(&self.part, dir, name, on_exists)
    }

    /// Removes it, finished or not.
    pub fn discard(self) -> Result<(), DiskError> {
        match fs::remove_file(&self.part) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(DiskError::new("remove", &self.part, &error));
            }
            _ => {}
        }
        self.remove_map();
        remove_if_empty(&self.spec.dir);
        Ok(())
    }

    /// It is finished: what was begun of it before is in it.
    fn remove_passed(&self) {
        let removed = self.passed.iter().filter(|part| orphans::remove_begun(part, &self.file, self.spec.size)).count();
        if removed > 0 {
            log::info!("{}: {removed} partial files of what is there now are removed", self.spec.dir.display());
        }
    }

    fn remove_map(&self) {
        if let Some(beside) = &self.beside
            && let Err(error) = fs::remove_file(&beside.path)
        {
            log::debug!("cannot remove {}: {error}", beside.path.display());
        }
    }

    fn unread(&self, error: &io::Error) -> DiskError {
        DiskError::new("read", &self.part, error)
    }

    /// How long it is, and when it was last written to.
    fn must_be_there(&self) -> Result<(u64, SystemTime), DiskError> {
        if let Some(there) = at(&self.file, &self.part) {
            let modified = there.modified().map_err(|error| self.unread(&error))?;
            return Ok((there.len(), modified));
        }
        let words = "something removed its partial file, so all of it is fetched anew".to_owned();
        log::warn!("{}: {words}", self.part.display());
        Err(DiskError { words, fault: Fault::Gone })
    }

    /// On a thread of its own: bytes keep coming meanwhile.
    fn sync_now_and_then(&mut self) -> Result<(), DiskError> {
        if self.synced.elapsed() < SYNC_EVERY {
            return Ok(());
        }
        self.take_sync_error()?;
        let mut syncing = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*syncing, Syncing::Running) {
            return Ok(());
        }
        *syncing = Syncing::Running;
        drop(syncing);
        self.synced = Instant::now();
        let (file, state) = (self.file.clone(), self.syncing.clone());
        let map = self.beside.as_ref().map(|beside| beside.file.clone());
        let sync = move || {
            let synced = file.sync_data().and_then(|()| map.map_or(Ok(()), |map| map.sync_data()));
            *state.lock().unwrap_or_else(PoisonError::into_inner) =
                synced.map_or_else(Syncing::Failed, |()| Syncing::Idle);
        };
        if std::thread::Builder::new().name("sync".into()).spawn(sync).is_err() {
            *self.syncing.lock().unwrap_or_else(PoisonError::into_inner) = Syncing::Idle;
        }
        Ok(())
    }

    /// What did not get to the disk may be lost from memory too: such a file is not finished.
    fn take_sync_error(&self) -> Result<(), DiskError> {
        let mut syncing = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::take(&mut *syncing) {
            Syncing::Failed(error) => Err(DiskError::new("write", &self.part, &error)),
            other => {
                *syncing = other;
                Ok(())
            }
        }
    }
}

/// The folder of partial files goes with the last of them.
fn remove_if_empty(dir: &Path) {
    let _ = fs::remove_dir(dir);
}

#[cfg(test)]
mod tests;
