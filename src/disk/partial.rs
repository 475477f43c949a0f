//! A file that is being fetched: `incomplete/NAME.part`, and `NAME.part.map` beside it.
//!
//! The partial file is locked for as long as it is open. Bytes are written where they belong; when a block is
//! whole, its BLAKE3 is appended to the map. After a crash a block counts only if its bytes still have the
//! BLAKE3 that the map says, so neither file needs to be in step with the other: both are synced, in their own
//! time, at most once a second.
//!
//! What is finished is moved into place without ever taking the place of another file, unless that was asked
//! for. Nothing here decides what to fetch or whether the whole is right.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::place::{self, OnExists};
use crate::transfer::check::Checker;
use crate::transfer::{Block, BlockMap, Expected, journal, name};
use crate::wire::Blake3;

/// Files are read back in pieces of this many bytes.
const PIECE: usize = 1 << 20;
/// How often what was written is brought to the disk.
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// Our own partial file may still be held by a last write of the servent that ran before us: we wait two
/// seconds for it.
const OWN_TRIES: u32 = 20;
const OWN_PAUSE: Duration = Duration::from_millis(100);
/// Names `NAME (N).part` that are tried for a new partial file.
const TRIES: u32 = 1000;

/// Why a file cannot be read or written: what, where, and the next step.
#[derive(Debug)]
pub struct DiskError(pub String);

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for DiskError {}

impl DiskError {
    /// `cannot write /x/y.part: the disk is full. Free some space, then retry`.
    pub(super) fn new(action: &str, path: &Path, error: &io::Error) -> Self {
        use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        let why = match error.kind() {
            StorageFull => "the disk is full. Free some space, then retry".to_owned(),
            QuotaExceeded => "your quota is used up. Free some space, then retry".to_owned(),
            ReadOnlyFilesystem => "the file system is read-only. Say another folder with --download-dir".to_owned(),
            PermissionDenied => "it is not allowed there. Say another folder with --download-dir".to_owned(),
            _ => error.to_string(),
        };
        Self(format!("cannot {action} {}: {why}", path.display()))
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

/// An open partial file.
#[derive(Debug)]
pub struct Partial {
    spec: PartialSpec,
    part: PathBuf,
    file: Arc<File>,
    map_path: PathBuf,
    journal: Arc<File>,
    map: BlockMap,
    /// The hashes of blocks under way, and how many bytes each has taken.
    filling: BTreeMap<usize, (u64, blake3::Hasher)>,
    /// The hash of the whole, as far as the bytes came in order.
    checker: CheckerAt,
    synced: Instant,
    syncing: Arc<AtomicBool>,
}

struct CheckerAt(Checker);

impl fmt::Debug for CheckerAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Checker(at {})", self.0.taken())
    }
}

impl Partial {
    /// Opens the partial file of an interrupted download, or begins one. Reads back what is there: may take
    /// seconds for large files.
    pub fn open(spec: PartialSpec) -> Result<Self, DiskError> {
        let own = spec.own.clone();
        if let Some(own) = own.filter(|own| *own == name::sanitise(own))
            && let Some(partial) = Self::try_open(&spec, &own, true)?
        {
            return Ok(partial);
        }
        for n in 1..TRIES {
            let stem = if n == 1 { spec.name.clone() } else { name::numbered(&spec.name, n) };
            if let Some(partial) = Self::try_open(&spec, &format!("{stem}.part"), false)? {
                return Ok(partial);
            }
        }
        Err(DiskError(format!("{} is full of partial files named {}. Remove some", spec.dir.display(), spec.name)))
    }

    /// `None` when that name belongs to another download.
    fn try_open(spec: &PartialSpec, file_name: &str, own: bool) -> Result<Option<Self>, DiskError> {
        let part = spec.dir.join(file_name);
        let map_path = spec.dir.join(format!("{file_name}.map"));
        let urn = spec.expected.urn();
        let same = |journal: &journal::Journal| urn.is_some() && journal.urn == urn && journal.map.size() == spec.size;
        let ours = own || matches!(read_journal(&map_path), Ok(Some(Ok(journal))) if same(&journal));
        let Some(file) = lock(&spec.dir, &part, if ours { OWN_TRIES } else { 1 })? else { return Ok(None) };
        let length = file.metadata().map_err(|error| DiskError::new("read", &part, &error))?.len();
        let (mut map, mut fresh) = (BlockMap::new(spec.size), true);
        match read_journal(&map_path)? {
            Some(Ok(found)) if same(&found) || (own && found.urn == urn && found.map.size() == spec.size) => {
                fresh = found.untidy;
                map = found.map;
            }
            // A map that says nothing, or something else: whose file this is cannot be known.
            Some(_) if !own => return Ok(None),
            None if !own && length > 0 => return Ok(None),
            _ => {}
        }
        fresh |= read_back(&file, &part, &mut map)?;
        if length > spec.size {
            file.set_len(spec.size).map_err(|error| DiskError::new("shorten", &part, &error))?;
        }
        if fresh {
            rewrite(&map_path, &journal::write(&map, urn.as_ref()))?;
        }
        let journal = OpenOptions::new().append(true).open(&map_path);
        let journal = journal.map_err(|error| DiskError::new("write", &map_path, &error))?;
        Ok(Some(Self {
            part,
            file: Arc::new(file),
            map_path,
            journal: Arc::new(journal),
            map,
            filling: BTreeMap::new(),
            checker: CheckerAt(Checker::new(&spec.expected)),
            spec: spec.clone(),
            synced: Instant::now(),
            syncing: Arc::default(),
        }))
    }

    /// The name of the partial file in its folder.
    pub fn file_name(&self) -> String {
        self.part.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.part
    }

    /// The blocks that are stored.
    pub fn stored(&self) -> Vec<(usize, Blake3)> {
        self.map.stored().collect()
    }

    /// Writes bytes of the file, at most to its end. Returns the blocks that became whole by them.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<Vec<(usize, Blake3)>, DiskError> {
        let room = usize::try_from(self.spec.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let bytes = &bytes[..bytes.len().min(room)];
        write_at(&self.file, bytes, offset).map_err(|error| DiskError::new("write", &self.part, &error))?;
        if self.checker.0.taken() == offset && !self.checker.0.is_idle() {
            self.checker.0.update(bytes);
        }
        let mut stored = Vec::new();
        let (mut at, mut rest) = (offset, bytes);
        while !rest.is_empty() {
            let index = self.map.index_at(at);
            let block = self.map.range(index);
            let (now, later) = rest.split_at(rest.len().min((block.end - at) as usize));
            if let Some(hash) = self.fill(index, at, now)? {
                stored.push((index, hash));
            }
            at += now.len() as u64;
            rest = later;
        }
        for (index, hash) in &stored {
            self.append(&journal::record(*index, *hash))?;
        }
        self.sync_now_and_then();
        Ok(stored)
    }

    /// Bytes of one block were written; its hash, if it is whole now.
    fn fill(&mut self, index: usize, at: u64, bytes: &[u8]) -> Result<Option<Blake3>, DiskError> {
        if let Block::Stored(_) = self.map.block(index) {
            return Ok(None);
        }
        let block = self.map.range(index);
        let end = at + bytes.len() as u64;
        if at == block.start {
            self.filling.insert(index, (0, blake3::Hasher::new()));
        }
        if let Some((taken, hasher)) = self.filling.get_mut(&index) {
            if block.start + *taken == at {
                hasher.update(bytes);
                *taken += bytes.len() as u64;
            } else {
                // They came in another order than the hash needs: it is computed from the disk in the end.
                self.filling.remove(&index);
            }
        }
        self.map.fill(at..end);
        let length = block.end - block.start;
        if self.map.block(index) != Block::Filling(length) {
            return Ok(None);
        }
        let hash = match self.filling.remove(&index) {
            Some((taken, hasher)) if taken == length => Blake3(hasher.finalize().into()),
            _ => hash_of(&self.file, block).map_err(|error| DiskError::new("read", &self.part, &error))?,
        };
        self.map.store(index, hash);
        Ok(Some(hash))
    }

    /// The digests of the whole that it is held against. Bytes that came in order were hashed when they came;
    /// the rest is read now.
    pub fn digests(&mut self) -> Result<Expected, DiskError> {
        let fail = |error| DiskError::new("read", &self.part, &error);
        let mut checker = std::mem::replace(&mut self.checker.0, Checker::new(&self.spec.expected));
        if !checker.is_idle() {
            each_piece(&self.file, checker.taken()..self.spec.size, |bytes| checker.update(bytes)).map_err(fail)?;
        }
        Ok(checker.finish())
    }

    /// Moves the file to `dir/name`, or where `on_exists` says; returns where it is. On an error it stays
    /// what it was.
    pub fn finish(&mut self, dir: &Path, name: &str, on_exists: OnExists) -> Result<PathBuf, DiskError> {
        self.file.sync_all().map_err(|error| DiskError::new("write", &self.part, &error))?;
        let path = place::place(&self.part, dir, name, on_exists)?;
        self.remove_map();
        Ok(path)
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
        Ok(())
    }

    /// Also the folder, when nothing else is in it.
    fn remove_map(&self) {
        if let Err(error) = fs::remove_file(&self.map_path) {
            log::debug!("cannot remove {}: {error}", self.map_path.display());
        }
        let _ = fs::remove_dir(&self.spec.dir);
    }

    fn append(&mut self, line: &str) -> Result<(), DiskError> {
        let written = (&*self.journal).write_all(line.as_bytes());
        written.map_err(|error| DiskError::new("write", &self.map_path, &error))
    }

    /// On a thread of its own: bytes keep coming meanwhile.
    fn sync_now_and_then(&mut self) {
        if self.synced.elapsed() < SYNC_EVERY || self.syncing.swap(true, Ordering::AcqRel) {
            return;
        }
        self.synced = Instant::now();
        let (file, journal, syncing) = (self.file.clone(), self.journal.clone(), self.syncing.clone());
        let sync = move || {
            // An error here comes again, and is told, when the file is finished.
            let _ = file.sync_data().and_then(|()| journal.sync_data());
            syncing.store(false, Ordering::Release);
        };
        if std::thread::Builder::new().name("sync".into()).spawn(sync).is_err() {
            self.syncing.store(false, Ordering::Release);
        }
    }
}

/// Opens and locks; `None` when somebody else holds it, also after `tries`.
fn lock(dir: &Path, part: &Path, tries: u32) -> Result<Option<File>, DiskError> {
    let mut held = 0;
    for _ in 0..10 + tries {
        fs::create_dir_all(dir).map_err(|error| DiskError::new("make the folder", dir, &error))?;
        let file = match OpenOptions::new().read(true).write(true).create(true).truncate(false).open(part) {
            // The folder was removed, as it was empty, just after we had made sure of it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => return Ok(None),
            other => other.map_err(|error| DiskError::new("open", part, &error))?,
        };
        match file.try_lock() {
            Ok(()) if is_at(&file, part) => return Ok(Some(file)),
            // It was moved into place between our opening and our locking it.
            Ok(()) => continue,
            Err(TryLockError::WouldBlock) => {
                held += 1;
                if held >= tries {
                    return Ok(None);
                }
                std::thread::park_timeout(OWN_PAUSE);
            }
            Err(TryLockError::Error(error)) => return Err(DiskError::new("lock", part, &error)),
        }
    }
    Err(DiskError(format!("cannot open {}: it comes and goes. Does another program tidy up there?", part.display())))
}

/// Whether the name still means this file.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> bool {
    path.exists()
}

type Read0 = Option<Result<journal::Journal, journal::NoJournal>>;

fn read_journal(path: &Path) -> Result<Read0, DiskError> {
    let fail = |error| DiskError::new("read", path, &error);
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(fail)?,
    };
    let mut bytes = Vec::new();
    file.take(journal::MAX_JOURNAL + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > journal::MAX_JOURNAL {
        return Ok(Some(Err(journal::NoJournal::Foreign)));
    }
    Ok(Some(journal::read(&bytes)))
}

/// Holds every block that the map calls stored against its hash, and forgets those that are something else.
/// Returns whether there were any.
fn read_back(file: &File, part: &Path, map: &mut BlockMap) -> Result<bool, DiskError> {
    let mut forgotten = false;
    for (index, hash) in map.stored().collect::<Vec<_>>() {
        match hash_of(file, map.range(index)) {
            Ok(found) if found == hash => {}
            Ok(_) => {
                log::info!("{}: block {index} is not what was written; it is fetched again", part.display());
                map.forget(index);
                forgotten = true;
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                map.forget(index);
                forgotten = true;
            }
            Err(error) => return Err(DiskError::new("read", part, &error)),
        }
    }
    Ok(forgotten)
}

/// Replaces the map by one without superfluous lines.
fn rewrite(path: &Path, text: &str) -> Result<(), DiskError> {
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = PathBuf::from(fresh);
    let written = File::create(&fresh).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_data()
    });
    written.and_then(|()| fs::rename(&fresh, path)).map_err(|error| DiskError::new("write", path, &error))
}

fn hash_of(file: &File, range: std::ops::Range<u64>) -> io::Result<Blake3> {
    let mut hasher = blake3::Hasher::new();
    each_piece(file, range, |bytes| {
        hasher.update(bytes);
    })?;
    Ok(Blake3(hasher.finalize().into()))
}

fn each_piece(file: &File, range: std::ops::Range<u64>, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    let length = range.end.saturating_sub(range.start);
    let mut piece = vec![0; length.min(PIECE as u64) as usize];
    let mut at = range.start;
    while at < range.end {
        let want = (range.end - at).min(PIECE as u64) as usize;
        read_at(file, &mut piece[..want], at)?;
        take(&piece[..want]);
        at += want as u64;
    }
    Ok(())
}

#[cfg(unix)]
fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(unix)]
fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset)
}

#[cfg(windows)]
fn write_at(file: &File, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = std::os::windows::fs::FileExt::seek_write(file, bytes, offset)?;
        bytes = &bytes[written..];
        offset += written as u64;
    }
    Ok(())
}

#[cfg(windows)]
fn read_at(file: &File, mut bytes: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let read = std::os::windows::fs::FileExt::seek_read(file, bytes, offset)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes = &mut bytes[read..];
        offset += read as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Digests;

    const MIB: usize = 1 << 20;

    fn content(length: usize) -> Vec<u8> {
        (0..length).map(|at| (at * 31 + at / 255) as u8).collect()
    }

    fn spec(dir: &Path, bytes: &[u8]) -> PartialSpec {
        PartialSpec {
            dir: dir.join("incomplete"),
            name: "a.bin".into(),
            size: bytes.len() as u64,
            expected: Digests::of(bytes).into(),
            own: None,
        }
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(dir)
            .map(|entries| entries.map(|e| e.expect("entry").file_name().to_string_lossy().into_owned()).collect())
            .unwrap_or_default();
        names.sort();
        names
    }

    fn indices(partial: &Partial) -> Vec<usize> {
        partial.stored().iter().map(|(index, _)| *index).collect()
    }

    #[test]
    fn bytes_in_any_pieces_become_the_file_and_its_digests() {
        let dir = tempfile::tempdir().expect("a folder");
        let bytes = content(3 * MIB + 5);
        let mut partial = Partial::open(spec(dir.path(), &bytes)).expect("opened");
        // The second half of the file first, in odd pieces, then the first.
        let (first, second) = bytes.split_at(MIB + 77);
        for (start, half) in [(MIB + 77, second), (0, first)] {
            for (n, piece) in half.chunks(100_001).enumerate() {
                partial.write((start + n * 100_001) as u64, piece).expect("written");
            }
        }
        // What lay behind a hole in its block did not count; it comes again.
        partial.write(MIB as u64, &bytes[MIB..2 * MIB]).expect("written");
        assert_eq!(indices(&partial), [0, 1, 2, 3]);
        assert_eq!(partial.digests().expect("read"), Expected::from(Digests::of(&bytes)).checked());
        let path = partial.finish(dir.path(), "a.bin", OnExists::SkipSame).expect("finished");
        assert_eq!(fs::read(&path).expect("read"), bytes);
        assert_eq!(names(dir.path()), ["a.bin"]);
    }

    #[test]
    fn an_interrupted_download_goes_on_with_the_blocks_that_are_whole() {
        let dir = tempfile::tempdir().expect("a folder");
        let bytes = content(4 * MIB);
        let mut partial = Partial::open(spec(dir.path(), &bytes)).expect("opened");
        partial.write(0, &bytes[..2 * MIB + 1000]).expect("written");
        drop(partial);
        let mut partial = Partial::open(spec(dir.path(), &bytes)).expect("opened again");
        assert_eq!(indices(&partial), [0, 1]);
        partial.write(2 * MIB as u64, &bytes[2 * MIB..]).expect("written");
        assert_eq!(partial.digests().expect("read"), Expected::from(Digests::of(&bytes)).checked());
    }

    #[test]
    fn a_flipped_bit_a_cut_file_or_a_torn_map_cost_only_their_blocks() {
        let bytes = content(4 * MIB);
        type Damage = fn(&Path, &Path);
        let cases: [(Damage, &[usize]); 4] = [
            (
                |part, _| {
                    let mut all = fs::read(part).expect("read");
                    all[MIB + 7] ^= 1;
                    fs::write(part, all).expect("written");
                },
                &[0, 2, 3],
            ),
            (
                |part, _| {
                    let file = OpenOptions::new().write(true).open(part).expect("opened");
                    file.set_len(2 * MIB as u64 + 1).expect("cut");
                },
                &[0, 1],
            ),
            (
                |_, map| {
                    let text = fs::read(map).expect("read");
                    fs::write(map, &text[..text.len() - 10]).expect("written");
                },
                &[0, 1, 2],
            ),
            (
                |_, map| {
                    let text = fs::read_to_string(map).expect("read");
                    let first = text.split_inclusive('\n').next().expect("a header");
                    fs::write(map, format!("{first}\u{0}\u{0}garbage")).expect("written");
                },
                &[],
            ),
        ];
        for (case, (damage, left)) in cases.into_iter().enumerate() {
            let dir = tempfile::tempdir().expect("a folder");
            let mut partial = Partial::open(spec(dir.path(), &bytes)).expect("opened");
            partial.write(0, &bytes).expect("written");
            let (part, map) = (partial.part.clone(), partial.map_path.clone());
            drop(partial);
            damage(&part, &map);
            let partial = Partial::open(spec(dir.path(), &bytes)).expect("opened again");
            assert_eq!(indices(&partial), left, "case {case}");
            let tidy = journal::read(&fs::read(&map).expect("read")).expect("a journal");
            assert_eq!((tidy.map.stored().count(), tidy.untidy), (left.len(), false), "case {case}");
        }
    }

    #[test]
    fn a_partial_file_of_other_content_or_in_use_is_left_alone() {
        let dir = tempfile::tempdir().expect("a folder");
        let (one, other) = (content(MIB + 1), vec![7; MIB + 1]);
        let mut first = Partial::open(spec(dir.path(), &one)).expect("opened");
        first.write(0, &one[..MIB]).expect("written");
        let second = Partial::open(spec(dir.path(), &one)).expect("opened beside it");
        assert_eq!((first.file_name(), second.file_name()), ("a.bin.part".into(), "a (2).bin.part".into()));
        drop((first, second));
        let third = Partial::open(spec(dir.path(), &other)).expect("opened beside both");
        assert_eq!((third.file_name(), third.stored().len()), ("a (3).bin.part".into(), 0));
        let again = Partial::open(spec(dir.path(), &one)).expect("opened");
        assert_eq!((again.file_name(), again.stored().len()), ("a.bin.part".into(), 1));
    }

    #[test]
    fn without_a_hash_only_the_download_itself_takes_its_partial_file_up() {
        let dir = tempfile::tempdir().expect("a folder");
        let bytes = content(MIB + 1);
        let nameless = PartialSpec { expected: Expected::default(), ..spec(dir.path(), &bytes) };
        let mut partial = Partial::open(nameless.clone()).expect("opened");
        partial.write(0, &bytes[..MIB]).expect("written");
        let own = Some(partial.file_name());
        drop(partial);
        let stranger = Partial::open(nameless.clone()).expect("opened");
        assert_eq!((stranger.file_name(), stranger.stored().len()), ("a (2).bin.part".into(), 0));
        let same = Partial::open(PartialSpec { own, ..nameless }).expect("opened");
        assert_eq!((same.file_name(), same.stored().len()), ("a.bin.part".into(), 1));
    }

    #[test]
    fn a_discarded_download_leaves_nothing() {
        let dir = tempfile::tempdir().expect("a folder");
        let bytes = content(10);
        let mut partial = Partial::open(spec(dir.path(), &bytes)).expect("opened");
        partial.write(0, &bytes).expect("written");
        partial.discard().expect("removed");
        assert_eq!(names(dir.path()), Vec::<String>::new());
    }

    #[test]
    fn what_the_disk_refuses_is_said_in_a_sentence() {
        let full = DiskError::new("write", Path::new("/x/a.part"), &io::ErrorKind::StorageFull.into());
        assert_eq!(full.to_string(), "cannot write /x/a.part: the disk is full. Free some space, then retry");
        let dir = tempfile::tempdir().expect("a folder");
        fs::write(dir.path().join("incomplete"), "a file in the way").expect("written");
        let error = Partial::open(spec(dir.path(), b"x")).expect_err("no folder");
        assert!(error.to_string().starts_with("cannot make the folder "), "{error}");
    }
}
