//! What was hashed before: content names by stamp, kept over restarts.
//!
//! The key is device, inode, size, mtime and ctime, not the path, so that a folder that moves keeps its hashes.
//!
//! The file is a header and records of 128 bytes, each with a checksum; the record of an inode that has new content
//! is written over. Memory holds eight bytes for each record, by which it is found and read when it is asked for.
//! A record that was being written when the power failed is lost, and with it one hash. A file that cannot be
//! read is set aside, and what could be read of it is kept.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::stamp::{Print, mix};
use crate::library::Stamp;
use crate::wire::{Blake3, Digests, Sha1, Tth};

const RECORD: usize = 128;
/// The header fills a record.
const MAGIC: &[u8] = b"filbert hashes, version 2\n";
/// Beyond so many records, those that were not used in this run are forgotten ...
const MAX_ENTRIES: usize = 2_000_000;
/// ... after so many new ones, when all shares have been read.
const TIDY_AFTER: usize = 500_000;
/// Read at a time when the servent starts.
const PIECE: usize = 1 << 20;

/// Content names by stamp. A clone is a handle to the same; it is used by several threads.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    file: Option<File>,
    /// (part of the hash of device and inode, number of the record)
    keys: BTreeSet<(u32, u32)>,
    /// Records in the file, wrong ones too.
    records: u32,
    /// A bit for each record: whether it was used in this run.
    used: Vec<u64>,
    new: usize,
}

/// Keeps content names for a file as it is now, whatever its content: how a test, and the demo, make a source
/// that lies in good faith. No servent of that cache may be running.
pub fn pretend(cache: &Path, file: &Path, digests: Digests) -> io::Result<()> {
    fs::create_dir_all(cache)?;
    let (cache, message) = Cache::open(cache);
    cache.put(super::stamp_of(&fs::metadata(file)?), digests);
    message.map_or(Ok(()), |message| Err(io::Error::other(message)))
}

impl Cache {
    /// Reads the file, if there is one. The message is for the user: something was set aside or cannot be written.
    pub(super) fn open(dir: &Path) -> (Self, Option<String>) {
        let mut inner = Inner::new(dir);
        let message = inner.open(&AtomicBool::new(false));
        (Self { inner: Arc::new(Mutex::new(inner)) }, message)
    }

    /// [`Cache::open`], in a thread of its own: a start does not wait for it, and whoever asks for content names
    /// meanwhile does. It ends early when `stopping` is set.
    pub(super) fn open_in_background(
        dir: &Path,
        stopping: Arc<AtomicBool>,
        tell: impl FnOnce(String) + Send + 'static,
    ) -> (Self, Option<JoinHandle<()>>) {
        let cache = Self { inner: Arc::new(Mutex::new(Inner::new(dir))) };
        let (begun, has_begun) = mpsc::channel::<()>();
        let read = {
            let cache = cache.clone();
            move || {
                let mut inner = cache.lock();
                drop(begun);
                let message = inner.open(&stopping);
                drop(inner);
                if let Some(message) = message {
                    tell(message);
                }
            }
        };
        let thread = std::thread::Builder::new().name("hash-cache".into()).spawn(read);
        let thread = thread.inspect_err(|error| log::warn!("cannot read the hash cache: {error}")).ok();
        // It has the lock now, or is gone.
        let _gone = has_begun.recv();
        (cache, thread)
    }

    /// The content names of a file with exactly this stamp.
    pub(super) fn get(&self, stamp: &Stamp) -> Option<Digests> {
        let mut inner = self.lock();
        let (record, known, digests) = inner.find(stamp)?;
        (known == *stamp).then(|| {
            inner.use_it(record);
            digests
        })
    }

    /// Keeps the content names of a file.
    pub(super) fn put(&self, stamp: Stamp, digests: Digests) {
        self.lock().put(&stamp, &digests);
    }

    /// A rename that was seen changed the stamp (its ctime) but not the content.
    pub(super) fn moved(&self, was: Print, now: &Stamp) -> Option<Digests> {
        let mut inner = self.lock();
        let (record, known, digests) = inner.find(now)?;
        if Print::of(&known) != was || (Stamp { ctime_ns: now.ctime_ns, ..known }) != *now {
            return None;
        }
        inner.use_it(record);
        if known != *now {
            inner.put(now, &digests);
        }
        Some(digests)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn new(dir: &Path) -> Self {
        let path = dir.join("hashes");
        Self { path, file: None, keys: BTreeSet::new(), records: 0, used: Vec::new(), new: 0 }
    }

    fn open(&mut self, stopping: &AtomicBool) -> Option<String> {
        // A pipe in its place would be waited for, for ever.
        let file = match std::fs::metadata(&self.path) {
            Ok(meta) if !meta.is_file() => Err(io::Error::other("it is no file")),
            _ => OpenOptions::new().read(true).write(true).open(&self.path),
        };
        let opened = match file {
            Ok(file) => self.read(file, stopping),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        };
        if stopping.load(Ordering::Relaxed) {
            self.file = None;
            return None;
        }
        let message = opened.err().map(|error| {
            // What could be read of it is copied from the file that is set aside.
            match super::state::set_aside(&self.path) {
                Ok(aside) => format!(
                    "the hash cache {} cannot be read ({error}); it is kept as {}, and {} of its hashes are used",
                    self.path.display(),
                    aside.display(),
                    self.keys.len()
                ),
                Err(why) => format!(
                    "the hash cache {} can neither be read ({error}) nor set aside ({why})",
                    self.path.display()
                ),
            }
        });
        let ready = if message.is_some() || self.file.is_none() { self.rewrite(|_| true) } else { Ok(()) };
        let failed = ready.err().map(|error| {
            format!(
                "hashes cannot be kept in {} ({error}): after a restart files are hashed again",
                self.path.display()
            )
        });
        message.or(failed)
    }

    /// Takes up the file, and finds out what is where.
    fn read(&mut self, mut file: File, stopping: &AtomicBool) -> io::Result<()> {
        let wrong = |what: String| Err(io::Error::new(io::ErrorKind::InvalidData, what));
        let mut header = [0; RECORD];
        match file.read_exact(&mut header) {
            // A first header that was never written.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return wrong("it is cut off".to_owned()),
            result => result?,
        }
        if header != whole_header() {
            return wrong("it is no hash cache of this version".to_owned());
        }
        let (mut piece, mut held) = (vec![0; PIECE], 0);
        let (mut keys, mut damaged) = (Vec::new(), 0_u64);
        loop {
            let count = match file.read(&mut piece[held..]) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            held += count;
            // Behind the last whole one may be a record that was being written when we were killed.
            let whole = held - held % RECORD;
            for record in piece[..whole].chunks_exact(RECORD) {
                match parse(record) {
                    Some((stamp, _)) => keys.push((key_of(&stamp), self.records)),
                    // A record that was to be written when the power failed.
                    None if record.iter().all(|byte| *byte == 0) => {}
                    None => damaged += 1,
                }
                self.records += 1;
            }
            piece.copy_within(whole..held, 0);
            held -= whole;
            if count == 0 {
                break;
            }
            if stopping.load(Ordering::Relaxed) {
                // What is not read must not be written over.
                return Ok(());
            }
        }
        self.keys = keys.into_iter().collect();
        self.used = vec![0; self.records as usize / 64 + 1];
        self.file = Some(file);
        if damaged > 0 { wrong(format!("{damaged} records are damaged")) } else { Ok(()) }
    }

    /// The record of that file's inode, whatever its content was then.
    fn find(&self, stamp: &Stamp) -> Option<(u32, Stamp, Digests)> {
        let key = key_of(stamp);
        let file = self.file.as_ref()?;
        let mut record = [0; RECORD];
        self.keys.range((key, 0)..=(key, u32::MAX)).find_map(|(_, number)| {
            read_at(file, &mut record, place_of(*number)).ok()?;
            let (known, digests) = parse(&record)?;
            ((known.dev, known.inode) == (stamp.dev, stamp.inode)).then_some((*number, known, digests))
        })
    }

    fn put(&mut self, stamp: &Stamp, digests: &Digests) {
        let (number, is_new) = self.find(stamp).map_or((self.records, true), |(number, ..)| (number, false));
        let Some(file) = &self.file else { return };
        if let Err(error) = write_at(file, &compose(stamp, digests), place_of(number)) {
            log::warn!("cannot write {}: {error}; after a restart files are hashed again", self.path.display());
            self.file = None;
            return;
        }
        if is_new {
            self.keys.insert((key_of(stamp), number));
            self.records += 1;
            self.new += 1;
        }
        self.use_it(number);
        if self.records as usize > MAX_ENTRIES && self.new > TIDY_AFTER {
            self.tidy();
        }
    }

    fn use_it(&mut self, number: u32) {
        let word = number as usize / 64;
        if word >= self.used.len() {
            self.used.resize(word + 1, 0);
        }
        self.used[word] |= 1 << (number % 64);
    }

    /// Forgets what was not used in this run, when that is most of it.
    fn tidy(&mut self) {
        self.new = 0;
        let used = std::mem::take(&mut self.used);
        let count: u32 = used.iter().map(|word| word.count_ones()).sum();
        let is_used = |number: u32| used.get(number as usize / 64).is_some_and(|word| word >> (number % 64) & 1 == 1);
        if count > self.records / 2 {
            self.used = used;
        } else if let Err(error) = self.rewrite(is_used) {
            log::warn!("cannot rewrite {}: {error}", self.path.display());
        } else {
            self.used = vec![u64::MAX; self.records as usize / 64 + 1];
        }
    }

    /// Writes the file anew, with some of its records.
    fn rewrite(&mut self, keep: impl Fn(u32) -> bool) -> io::Result<()> {
        let fresh = self.path.with_extension("new");
        let mut writer = io::BufWriter::with_capacity(
            PIECE,
            super::home::private_file().write(true).create(true).truncate(true).open(&fresh)?,
        );
        writer.write_all(&whole_header())?;
        let mut numbers: Vec<u32> =
            self.keys.iter().map(|(_, number)| *number).filter(|number| keep(*number)).collect();
        numbers.sort_unstable();
        let (mut keys, mut record) = (Vec::with_capacity(numbers.len()), [0; RECORD]);
        if let Some(file) = &self.file {
            for number in numbers {
                read_at(file, &mut record, place_of(number))?;
                if let Some((stamp, _)) = parse(&record) {
                    writer.write_all(&record)?;
                    keys.push((key_of(&stamp), keys.len() as u32));
                }
            }
        }
        writer.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        fs::rename(&fresh, &self.path)?;
        self.file = Some(OpenOptions::new().read(true).write(true).open(&self.path)?);
        self.records = keys.len() as u32;
        self.keys = keys.into_iter().collect();
        self.used = vec![0; self.records as usize / 64 + 1];
        Ok(())
    }
}

fn whole_header() -> [u8; RECORD] {
    let mut header = [0; RECORD];
    header[..MAGIC.len()].copy_from_slice(MAGIC);
    header
}

fn place_of(number: u32) -> u64 {
    (u64::from(number) + 1) * RECORD as u64
}

fn key_of(stamp: &Stamp) -> u32 {
    (mix(mix(stamp.dev) ^ stamp.inode) >> 32) as u32
}

/// Device, inode, size, mtime, ctime (eight bytes each, little-endian), SHA-1, Tiger tree root, BLAKE3, four bytes
/// of zero, and the first eight bytes of the BLAKE3 of all that.
fn compose(stamp: &Stamp, digests: &Digests) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    let Stamp { dev, inode, size, mtime_ns, ctime_ns } = *stamp;
    let numbers = [dev, inode, size, mtime_ns as u64, ctime_ns as u64].map(u64::to_le_bytes);
    let parts = numbers.iter().map(<[u8; 8]>::as_slice).chain([
        digests.sha1.0.as_slice(),
        digests.tth.0.as_slice(),
        digests.blake3.0.as_slice(),
    ]);
    let mut at = 0;
    for part in parts {
        record[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    }
    let sum = blake3::hash(&record[..RECORD - 8]);
    record[RECORD - 8..].copy_from_slice(&sum.as_bytes()[..8]);
    record
}

fn parse(record: &[u8]) -> Option<(Stamp, Digests)> {
    let (body, sum) = record.split_at(RECORD - 8);
    if blake3::hash(body).as_bytes()[..8] != *sum {
        return None;
    }
    let mut rest = body;
    let mut number = || {
        let (first, behind) = rest.split_first_chunk::<8>()?;
        rest = behind;
        Some(u64::from_le_bytes(*first))
    };
    let stamp = Stamp {
        dev: number()?,
        inode: number()?,
        size: number()?,
        mtime_ns: number()? as i64,
        ctime_ns: number()? as i64,
    };
    let (sha1, rest) = rest.split_first_chunk()?;
    let (tth, rest) = rest.split_first_chunk()?;
    let (blake3, _) = rest.split_first_chunk()?;
    Some((stamp, Digests { sha1: Sha1(*sha1), tth: Tth(*tth), blake3: Blake3(*blake3) }))
}

#[cfg(unix)]
fn read_at(file: &File, bytes: &mut [u8], place: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, place)
}

#[cfg(unix)]
fn write_at(file: &File, bytes: &[u8], place: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, place)
}

#[cfg(not(unix))]
fn read_at(mut file: &File, bytes: &mut [u8], place: u64) -> io::Result<()> {
    io::Seek::seek(&mut file, io::SeekFrom::Start(place))?;
    file.read_exact(bytes)
}

#[cfg(not(unix))]
fn write_at(mut file: &File, bytes: &[u8], place: u64) -> io::Result<()> {
    io::Seek::seek(&mut file, io::SeekFrom::Start(place))?;
    file.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(inode: u64) -> Stamp {
        Stamp { dev: 1, inode, size: 3, mtime_ns: -5, ctime_ns: 1_700_000_000_123_456_789 }
    }

    fn digests(text: &str) -> Digests {
        Digests::of(text.as_bytes())
    }

    #[test]
    fn hashes_survive_a_restart_and_a_seen_rename() {
        let dir = tempfile::tempdir().expect("a folder");
        let (cache, message) = Cache::open(dir.path());
        assert_eq!(message, None);
        cache.put(stamp(7), digests("abc"));
        let renamed = Stamp { ctime_ns: 9, ..stamp(7) };
        assert_eq!(cache.moved(Print::of(&stamp(8)), &renamed), None, "it was not like that");
        assert_eq!(cache.moved(Print::of(&stamp(7)), &Stamp { size: 4, ..renamed }), None, "it is not like that");
        assert_eq!(cache.moved(Print::of(&stamp(7)), &renamed), Some(digests("abc")));
        drop(cache);
        let (cache, message) = Cache::open(dir.path());
        assert_eq!(message, None);
        assert_eq!(cache.get(&renamed), Some(digests("abc")));
        assert_eq!(cache.get(&stamp(7)), None, "a stamp must be right in every part");
    }

    #[test]
    fn a_torn_last_record_is_forgotten_without_a_word() {
        let dir = tempfile::tempdir().expect("a folder");
        let (cache, _) = Cache::open(dir.path());
        cache.put(stamp(1), digests("one"));
        cache.put(stamp(2), digests("two"));
        drop(cache);
        let path = dir.path().join("hashes");
        let bytes = fs::read(&path).expect("a file");
        fs::write(&path, &bytes[..bytes.len() - 10]).expect("torn");
        let (cache, message) = Cache::open(dir.path());
        assert_eq!(message, None);
        assert_eq!(cache.get(&stamp(1)), Some(digests("one")));
        assert_eq!(cache.get(&stamp(2)), None);
        cache.put(stamp(3), digests("three"));
        drop(cache);
        let (cache, message) = Cache::open(dir.path());
        assert_eq!((message, cache.get(&stamp(3))), (None, Some(digests("three"))));
    }

    #[test]
    fn a_damaged_file_is_set_aside_and_its_good_records_are_used() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("hashes");
        let (cache, _) = Cache::open(dir.path());
        cache.put(stamp(1), digests("one"));
        cache.put(stamp(2), digests("two"));
        drop(cache);
        let mut bytes = fs::read(&path).expect("a file");
        bytes[RECORD + 30] ^= 1;
        fs::write(&path, &bytes).expect("damaged");
        let (cache, message) = Cache::open(dir.path());
        assert!(message.expect("a message").contains("hashes.corrupt-1"));
        assert_eq!(fs::read(dir.path().join("hashes.corrupt-1")).expect("kept"), bytes);
        assert_eq!(cache.get(&stamp(1)), None);
        assert_eq!(cache.get(&stamp(2)), Some(digests("two")));

        for wrong in ["something else\n".repeat(20).as_str(), "short", ""] {
            fs::write(&path, wrong).expect("damaged");
            let (cache, message) = Cache::open(dir.path());
            assert!(message.is_some_and(|message| message.contains("hashes.corrupt-")), "{wrong:?}");
            cache.put(stamp(4), digests("four"));
            assert_eq!(Cache::open(dir.path()).0.get(&stamp(4)), Some(digests("four")));
        }
    }

    #[test]
    fn new_content_takes_the_place_of_the_old() {
        let dir = tempfile::tempdir().expect("a folder");
        let (cache, _) = Cache::open(dir.path());
        for round in 0..5000 {
            cache.put(Stamp { ctime_ns: round, ..stamp(1) }, digests("same"));
        }
        assert_eq!(fs::metadata(dir.path().join("hashes")).expect("a file").len(), 2 * RECORD as u64);
        drop(cache);
        let (cache, _) = Cache::open(dir.path());
        assert_eq!(cache.get(&Stamp { ctime_ns: 4999, ..stamp(1) }), Some(digests("same")));
        assert_eq!(cache.get(&Stamp { ctime_ns: 4998, ..stamp(1) }), None);
    }

    #[test]
    fn what_nobody_used_is_forgotten_when_it_is_too_much() {
        let dir = tempfile::tempdir().expect("a folder");
        let (cache, _) = Cache::open(dir.path());
        for inode in 0..1000 {
            cache.put(stamp(inode), digests("x"));
        }
        drop(cache);
        let (cache, _) = Cache::open(dir.path());
        for inode in (0..1000).step_by(10) {
            assert!(cache.get(&stamp(inode)).is_some());
        }
        cache.put(stamp(5000), digests("new"));
        cache.lock().tidy();
        assert_eq!(cache.lock().records, 101);
        for cache in [&cache, &Cache::open(dir.path()).0] {
            assert_eq!(cache.get(&stamp(5000)), Some(digests("new")));
            assert_eq!(cache.get(&stamp(990)), Some(digests("x")));
            assert_eq!(cache.get(&stamp(991)), None);
        }
    }

    #[test]
    fn who_asks_while_it_is_read_waits() {
        let dir = tempfile::tempdir().expect("a folder");
        let (cache, _) = Cache::open(dir.path());
        for inode in 0..20_000 {
            cache.put(stamp(inode), digests("x"));
        }
        drop(cache);
        let (cache, thread) = Cache::open_in_background(dir.path(), Arc::default(), |_| {});
        assert_eq!(cache.get(&stamp(19_999)), Some(digests("x")));
        thread.expect("a thread").join().expect("ended well");
    }
}
