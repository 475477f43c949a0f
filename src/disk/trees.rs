//! Rows of trees, kept so that one is served without reading its file: of Tiger trees in `trees.log` in the cache
//! folder, of the trees in BLAKE3s in `blake3.log`.
//!
//! A row is kept when its file is hashed. One that is missing (the log was lost, or full) is computed again when
//! it is asked for, in the background, one file at a time. The log is only appended to; when it has grown to
//! [`MAX_LOG`] it becomes the old one (`trees.old`, `blake3.old`), in place of the one before, and what is found there is kept anew: rows that
//! nobody asks for fade. Nothing is synced and nothing needs to be: a row is checked against its root whenever it
//! is read, and what a crash has torn off is forgotten. Files below 256 KiB have no row but their root.

use std::collections::{BTreeSet, VecDeque};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use super::hash::lower_priority;
use super::pass::BUFFER;
use crate::wire::{Blake3, Blake3Tree, Node, Row, TigerTree, Tth, row_len};

/// Bytes in a log, of which there are two: rows of about two terabytes.
pub const MAX_LOG: u64 = 256 << 20;
/// The most rows that wait to be computed; when there are more, the next is not computed now.
pub const MAX_WAITING: usize = 64;
/// Roots that turned out not to be their file's: so many are remembered, so that it is not read again and again.
const MAX_WRONG: usize = 1024;
/// Rows in memory where none can be written; the oldest is forgotten.
const MAX_LOOSE: usize = 16;

/// Bytes at the start of a log.
const HEADER_LEN: usize = 16;
/// Bytes at the start of a record, but for the root: a mark, a checksum of the rest of this head, the file's size.
const HEAD: usize = 16;
const MARK: &[u8; 4] = b"TREE";
/// Records begin at multiples of this.
const UNIT: u64 = 8;

/// Opens the file that a row is of. It is called where it may block.
pub type Open = Box<dyn FnOnce() -> io::Result<File> + Send>;

/// What rows are kept of.
pub trait Kept: Node {
    /// The name of the log, without `.log` or `.old`.
    const NAME: &str;
    /// What it begins with. The number is the version.
    const HEADER: &[u8; HEADER_LEN];

    /// Makes a row.
    type Hasher: Default;

    /// Takes the next bytes of the file.
    fn update(hasher: &mut Self::Hasher, bytes: &[u8]);

    /// The row of all of them.
    fn finish(hasher: Self::Hasher) -> Row<Self>;
}

impl Kept for Tth {
    const NAME: &str = "trees";
    const HEADER: &[u8; HEADER_LEN] = b"filbert trees 1\n";
    type Hasher = TigerTree;

    fn update(hasher: &mut TigerTree, bytes: &[u8]) {
        hasher.update(bytes);
    }

    fn finish(hasher: TigerTree) -> Row<Self> {
        hasher.finish_row()
    }
}

impl Kept for Blake3 {
    const NAME: &str = "blake3";
    const HEADER: &[u8; HEADER_LEN] = b"filbert blake31\n";
    type Hasher = Blake3Tree;

    fn update(hasher: &mut Blake3Tree, bytes: &[u8]) {
        hasher.update(bytes);
    }

    fn finish(hasher: Blake3Tree) -> Row<Self> {
        hasher.finish_row()
    }
}

/// The rows that are kept of one kind of tree. What it does may block.
#[derive(Debug)]
pub struct Trees<N: Kept> {
    logs: Mutex<Logs<N>>,
    errands: Mutex<Errands<N>>,
    stopping: AtomicBool,
}

#[derive(Debug)]
struct Logs<N> {
    folder: PathBuf,
    max_log: u64,
    /// Opened when they are first needed.
    is_open: bool,
    young: Option<Log<N>>,
    old: Option<Log<N>>,
    /// The latest rows, where none can be written.
    loose: VecDeque<(N, Row<N>)>,
}

#[derive(Debug)]
struct Log<N> {
    file: File,
    /// Where the next record goes.
    end: u64,
    /// First bytes of a root, and its record's place in units. Small, since there may be a million.
    places: BTreeSet<(u32, u32)>,
    of: PhantomData<N>,
}

struct Errands<N> {
    waiting: VecDeque<(N, u64, Open)>,
    /// What is waiting or being computed.
    asked: BTreeSet<N>,
    /// What need not be tried again.
    wrong: BTreeSet<N>,
    thread: Option<JoinHandle<()>>,
    is_running: bool,
}

impl<N> Default for Errands<N> {
    fn default() -> Self {
        let (waiting, asked, wrong) = (VecDeque::new(), BTreeSet::new(), BTreeSet::new());
        Self { waiting, asked, wrong, thread: None, is_running: false }
    }
}

impl<N> std::fmt::Debug for Errands<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Errands").field("waiting", &self.waiting.len()).finish_non_exhaustive()
    }
}

impl<N: Kept> Trees<N> {
    /// The rows kept in this folder. Nothing is read yet.
    pub fn new(cache: &Path) -> Self {
        Self::with(cache, MAX_LOG)
    }

    fn with(cache: &Path, max_log: u64) -> Self {
        let logs =
            Logs { folder: cache.to_owned(), max_log, is_open: false, young: None, old: None, loose: VecDeque::new() };
        Self { logs: Mutex::new(logs), errands: Mutex::default(), stopping: AtomicBool::new(false) }
    }

    /// The row of a file of `size` bytes whose root this is, if it is kept.
    pub fn row(&self, root: &N, size: u64) -> Option<Row<N>> {
        if row_len(size) == 1 {
            return Some(Row::of_root(size, *root));
        }
        let mut logs = lock(&self.logs);
        logs.open();
        if let Some(row) = logs.young.as_mut().and_then(|log| log.find(root, size)) {
            return Some(row);
        }
        if let Some((_, row)) = logs.loose.iter().find(|(known, row)| known == root && row.size() == size) {
            return Some(row.clone());
        }
        let row = logs.old.as_mut().and_then(|log| log.find(root, size))?;
        logs.put(root, &row);
        Some(row)
    }

    /// Keeps a row whose root this is. Rows of other levels than others ask for are not kept.
    pub fn put(&self, root: &N, row: &Row<N>) {
        let count = row.nodes().len();
        if count == 1 || count != row_len(row.size()) {
            return;
        }
        let mut logs = lock(&self.logs);
        logs.open();
        if logs.young.as_mut().and_then(|log| log.find(root, row.size())).is_none() {
            logs.put(root, row);
        }
    }

    /// Has a row computed that is not kept: ask for it later. `false` when it will not be: too many are waiting, or
    /// the file turned out to be another one.
    pub fn want(self: &Arc<Self>, root: N, size: u64, open: Open) -> bool {
        let mut errands = lock(&self.errands);
        let has_ended = self.stopping.load(Ordering::Relaxed);
        if errands.asked.contains(&root) && !has_ended {
            return true;
        }
        if errands.waiting.len() >= MAX_WAITING || errands.wrong.contains(&root) || has_ended {
            return false;
        }
        if !errands.is_running {
            // The one before has nothing more to do.
            if let Some(thread) = errands.thread.take() {
                let _panicked = thread.join();
            }
            let trees = Arc::clone(self);
            match thread::Builder::new().name("trees".to_owned()).spawn(move || trees.work()) {
                Ok(thread) => errands.thread = Some(thread),
                Err(error) => {
                    log::warn!("cannot start a thread for trees: {error}");
                    return false;
                }
            }
            errands.is_running = true;
        }
        errands.asked.insert(root);
        errands.waiting.push_back((root, size, open));
        true
    }

    /// Ends what runs in the background, promptly.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        let thread = {
            let mut errands = lock(&self.errands);
            errands.waiting.clear();
            errands.thread.take()
        };
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            log::error!("the thread for trees panicked");
        }
    }

    /// Computes what is asked for, and ends when there is no more.
    fn work(&self) {
        lower_priority();
        loop {
            let next = {
                let mut errands = lock(&self.errands);
                let next = errands.waiting.pop_front();
                errands.is_running = next.is_some();
                next
            };
            let Some((root, size, open)) = next else { return };
            let row = open().and_then(|file| self.compute(file, size));
            let mut is_wrong = false;
            match row {
                Ok(row) if row.size() == size && row.root() == root => self.put(&root, &row),
                Ok(_) if self.stopping.load(Ordering::Relaxed) => {}
                Ok(_) => is_wrong = true,
                Err(error) => log::debug!("no tree for {root}: {error}"),
            }
            let mut errands = lock(&self.errands);
            errands.asked.remove(&root);
            if is_wrong && errands.wrong.len() < MAX_WRONG {
                errands.wrong.insert(root);
            }
        }
    }

    fn compute(&self, mut file: File, size: u64) -> io::Result<Row<N>> {
        let (mut hasher, mut buffer, mut length) = (N::Hasher::default(), vec![0; BUFFER], 0);
        // A file that grows has no end.
        while length <= size && !self.stopping.load(Ordering::Relaxed) {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    length += count as u64;
                    N::update(&mut hasher, &buffer[..count]);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(N::finish(hasher))
    }
}

impl<N: Kept> Logs<N> {
    fn open(&mut self) {
        if std::mem::replace(&mut self.is_open, true) {
            return;
        }
        let [young, old] = [self.young_path(), self.old_path()];
        self.old = if old.exists() { self.opened(&old) } else { None };
        self.young = self.opened(&young);
    }

    fn opened(&self, path: &Path) -> Option<Log<N>> {
        let told = |error: &io::Error| {
            log::warn!("cannot keep trees in {} ({error}): they are computed when asked for", path.display());
        };
        Log::open(path).inspect_err(told).ok()
    }

    fn put(&mut self, root: &N, row: &Row<N>) {
        if self.young.as_ref().is_some_and(|log| log.end + record_len::<N>(row.size()) > self.max_log) {
            self.young = None;
            self.old = None;
            let (young, old) = (self.young_path(), self.old_path());
            match fs::rename(&young, &old) {
                Ok(()) => self.old = self.opened(&old),
                Err(error) => log::warn!("cannot rename {}: {error}", young.display()),
            }
            self.young = self.opened(&young).filter(|log| log.end < self.max_log);
        }
        if let Some(log) = &mut self.young
            && let Err(error) = log.append(root, row)
        {
            log::warn!("cannot write {}: {error}; trees are computed when asked for", self.young_path().display());
            self.young = None;
        }
        if self.young.is_none() {
            // Whoever asked for it comes back for it in a moment.
            self.loose.truncate(MAX_LOOSE - 1);
            self.loose.push_front((*root, row.clone()));
        }
    }

    fn young_path(&self) -> PathBuf {
        self.folder.join(format!("{}.log", N::NAME))
    }

    fn old_path(&self) -> PathBuf {
        self.folder.join(format!("{}.old", N::NAME))
    }
}

impl<N: Kept> Log<N> {
    /// Reads which rows there are. What is no record ends the log: it is cut there.
    fn open(path: &Path) -> io::Result<Self> {
        let mut file = super::home::private_file().read(true).write(true).create(true).truncate(false).open(path)?;
        let length = file.metadata()?.len();
        let mut header = [0; HEADER_LEN];
        let is_ours = length >= HEADER_LEN as u64 && file.read_exact(&mut header).is_ok() && header == *N::HEADER;
        let mut log = Self { file, end: HEADER_LEN as u64, places: BTreeSet::new(), of: PhantomData };
        if !is_ours {
            if length > 0 {
                log::warn!("{} is no log of trees of this version: it is begun anew", path.display());
            }
            log.file.set_len(0)?;
            log.file.seek(SeekFrom::Start(0))?;
            log.file.write_all(N::HEADER)?;
            return Ok(log);
        }
        while let Some((root, size)) = log.head_at(log.end)
            && record_len::<N>(size) <= length - log.end
            && let Ok(place) = u32::try_from(log.end / UNIT)
        {
            log.places.insert((tag(&root), place));
            log.end += record_len::<N>(size);
        }
        if log.end < length {
            log::debug!("{} is cut at {} of {length} bytes", path.display(), log.end);
            log.file.set_len(log.end)?;
        }
        Ok(log)
    }

    fn find(&mut self, root: &N, size: u64) -> Option<Row<N>> {
        let tag = tag(root);
        // Newest first: what is written twice was found damaged.
        let places: Vec<(u32, u32)> = self.places.range((tag, 0)..=(tag, u32::MAX)).rev().copied().collect();
        for place in places {
            let at = u64::from(place.1) * UNIT;
            if self.head_at(at) != Some((*root, size)) {
                continue;
            }
            let mut bytes = vec![0; row_len(size) * N::LEN];
            if self.file.read_exact(&mut bytes).is_ok() {
                let nodes = bytes.chunks(N::LEN).filter_map(N::from_bytes).collect();
                if let Some(row) = Row::new(size, nodes).filter(|row| row.root() == *root) {
                    return Some(row);
                }
            }
            log::debug!("the tree of {root} is damaged");
            self.places.remove(&place);
        }
        None
    }

    /// The head at a place; the file then stands behind it.
    fn head_at(&mut self, at: u64) -> Option<(N, u64)> {
        let mut head = vec![0; HEAD + N::LEN];
        self.file.seek(SeekFrom::Start(at)).and_then(|_| self.file.read_exact(&mut head)).ok()?;
        let (sum, rest) = head.strip_prefix(MARK)?.split_first_chunk::<4>()?;
        let (size, root) = rest.split_first_chunk::<8>()?;
        (*sum == checksum(rest)).then_some((N::from_bytes(root)?, u64::from_le_bytes(*size)))
    }

    fn append(&mut self, root: &N, row: &Row<N>) -> io::Result<()> {
        let Ok(place) = u32::try_from(self.end / UNIT) else { return Ok(()) };
        let mut rest = row.size().to_le_bytes().to_vec();
        rest.extend_from_slice(root.bytes());
        let mut record = [&MARK[..], &checksum(&rest), &rest].concat();
        record.extend(row.nodes().iter().flat_map(Node::bytes));
        let written = self.file.seek(SeekFrom::Start(self.end)).and_then(|_| self.file.write_all(&record));
        if written.is_err() {
            // What is cut off now need not be found by the next start.
            let _also = self.file.set_len(self.end);
        }
        written?;
        self.places.insert((tag(root), place));
        self.end += record.len() as u64;
        Ok(())
    }
}

fn record_len<N: Node>(size: u64) -> u64 {
    (HEAD + (1 + row_len(size)) * N::LEN) as u64
}

fn tag<N: Node>(root: &N) -> u32 {
    root.bytes().first_chunk().map_or(0, |first| u32::from_le_bytes(*first))
}

fn checksum(bytes: &[u8]) -> [u8; 4] {
    let hash = blake3::hash(bytes);
    [0, 1, 2, 3].map(|i| hash.as_bytes()[i])
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    const SIZE: u32 = 300_000;

    fn noise(seed: u32) -> Vec<u8> {
        (0..SIZE).map(|i| ((i ^ seed << 20).wrapping_mul(2_654_435_761) >> 24) as u8).collect()
    }

    fn row_of(seed: u32) -> (Tth, Row<Tth>) {
        let mut tree = TigerTree::new();
        tree.update(&noise(seed));
        let row = tree.finish_row();
        (row.root(), row)
    }

    fn find(trees: &Trees<Tth>, root: &Tth) -> Option<Row<Tth>> {
        trees.row(root, u64::from(SIZE))
    }

    #[test]
    fn rows_survive_a_restart_and_a_torn_end() {
        let dir = tempfile::tempdir().expect("a folder");
        let rows = [1, 2, 3].map(row_of);
        let trees = Trees::new(dir.path());
        assert_eq!(find(&trees, &rows[0].0), None);
        rows.iter().for_each(|(root, row)| trees.put(root, row));
        rows.iter().for_each(|(root, row)| trees.put(root, row));
        let path = dir.path().join("trees.log");
        let whole = fs::read(&path).expect("a log");
        assert_eq!(whole.len() as u64, 16 + 3 * record_len::<Tth>(SIZE.into()), "each once");
        assert_eq!(rows[0].1.nodes().len(), 2);

        for cut in [0, 1, Tth::LEN, record_len::<Tth>(SIZE.into()) as usize - 1] {
            fs::write(&path, &whole[..whole.len() - cut]).expect("torn");
            let trees = Trees::new(dir.path());
            assert_eq!(find(&trees, &rows[0].0).as_ref(), Some(&rows[0].1));
            assert_eq!(find(&trees, &rows[1].0).as_ref(), Some(&rows[1].1));
            assert_eq!(find(&trees, &rows[2].0).is_some(), cut == 0, "{cut} bytes are gone");
            trees.put(&rows[2].0, &rows[2].1);
            assert_eq!(fs::read(&path).expect("a log"), whole, "it goes on where it was cut");
        }
    }

    #[test]
    fn a_damaged_row_is_never_given_and_can_be_kept_again() {
        let dir = tempfile::tempdir().expect("a folder");
        let rows = [1, 2].map(row_of);
        let trees = Trees::new(dir.path());
        rows.iter().for_each(|(root, row)| trees.put(root, row));
        let path = dir.path().join("trees.log");
        let whole = fs::read(&path).expect("a log");
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(&path, &bytes).expect("damaged");
            let trees = Trees::new(dir.path());
            for (root, row) in &rows {
                let found = find(&trees, root);
                assert!(found.is_none() || found.as_ref() == Some(row), "byte {at}");
                trees.put(root, row);
                assert_eq!(find(&trees, root).as_ref(), Some(row), "byte {at}");
            }
            let trees = Trees::new(dir.path());
            assert!(rows.iter().all(|(root, row)| find(&trees, root).as_ref() == Some(row)), "byte {at}");
        }
    }

    #[test]
    fn a_full_log_gives_way_to_a_new_one_and_what_is_asked_for_stays() {
        let dir = tempfile::tempdir().expect("a folder");
        let max = 16 + 4 * record_len::<Tth>(SIZE.into());
        let trees = Trees::with(dir.path(), max);
        let rows: Vec<(Tth, Row<Tth>)> = (0..20).map(row_of).collect();
        for (root, row) in &rows {
            trees.put(root, row);
            assert_eq!(find(&trees, root).as_ref(), Some(row));
            assert_eq!(find(&trees, &rows[0].0).as_ref(), Some(&rows[0].1), "it is asked for all the time");
            for name in ["trees.log", "trees.old"] {
                assert!(fs::metadata(dir.path().join(name)).map_or(0, |meta| meta.len()) <= max);
            }
        }
        assert_eq!(find(&trees, &rows[1].0), None, "nobody asked");
        let trees = Trees::with(dir.path(), max);
        assert_eq!(find(&trees, &rows[0].0).as_ref(), Some(&rows[0].1));
        assert_eq!(find(&trees, &rows[19].0).as_ref(), Some(&rows[19].1));
    }

    #[test]
    fn a_small_file_needs_no_row() {
        let dir = tempfile::tempdir().expect("a folder");
        let trees = Trees::new(&dir.path().join("not made"));
        let root = Tth([7; 24]);
        assert_eq!(trees.row(&root, 1000), Some(Row::of_root(1000, root)));
        trees.put(&root, &Row::of_root(1000, root));
        assert!(!dir.path().join("not made").exists());
    }

    #[test]
    fn rows_that_cannot_be_written_are_there_for_whom_they_were_computed() {
        let dir = tempfile::tempdir().expect("a folder");
        fs::create_dir(dir.path().join("trees.log")).expect("in the way");
        let trees = Trees::new(dir.path());
        for seed in 0..=MAX_LOOSE as u32 {
            let (root, row) = row_of(seed);
            trees.put(&root, &row);
            assert_eq!(find(&trees, &root), Some(row));
        }
        assert_eq!(find(&trees, &row_of(0).0), None, "the oldest is forgotten");
    }

    #[test]
    fn a_missing_row_is_computed_in_the_background_but_not_for_another_file() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("file");
        fs::write(&path, noise(1)).expect("a file");
        let trees = Arc::new(Trees::new(dir.path()));
        let ((root, row), other) = (row_of(1), row_of(2).0);
        let open = |path: &Path| -> Open {
            let path = path.to_owned();
            Box::new(move || File::open(path))
        };
        assert!(trees.want(root, SIZE.into(), open(&path)));
        let deadline = Instant::now() + Duration::from_secs(20);
        let wait = |done: &dyn Fn() -> bool| {
            while !done() {
                assert!(Instant::now() < deadline, "it takes too long");
                thread::park_timeout(Duration::from_millis(5));
            }
        };
        wait(&|| find(&trees, &root).as_ref() == Some(&row));
        assert!(trees.want(other, SIZE.into(), open(&path)), "it is not known yet that this is another file");
        wait(&|| !trees.want(other, SIZE.into(), open(&path)));
        assert_eq!(find(&trees, &other), None);
        // What cannot be opened may be tried again.
        let third = row_of(3).0;
        assert!(trees.want(third, SIZE.into(), open(&dir.path().join("none"))));
        wait(&|| !lock(&trees.errands).is_running);
        assert!(trees.want(third, SIZE.into(), open(&path)));
        trees.stop();
        assert!(!trees.want(third, SIZE.into(), open(&path)), "it has ended");
    }
}
