//! What was hashed before: content names by stamp, kept over restarts.
//!
//! The key is device, inode, size, mtime and ctime, not the path, so that a folder that moves keeps its hashes.
//! The file is a log of JSON lines with a version header; each line carries a checksum. It is appended to while
//! hashing, and rewritten as a whole when most of it is out of date. A log that cannot be read is set aside,
//! and what could be read of it is kept.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::library::Stamp;
use crate::wire::{Digests, Urn};

const HEADER: &str = "{\"filbert\":\"hashes\",\"version\":1}";
/// The most entries kept; beyond, those that were not used in this run are forgotten.
const MAX_ENTRIES: usize = 2_000_000;
/// A log of fewer lines is not worth rewriting.
const MIN_LINES: usize = 4096;

/// Content names by stamp.
#[derive(Debug)]
pub(super) struct Cache {
    path: PathBuf,
    /// By device and inode: an inode has one content at a time.
    entries: BTreeMap<(u64, u64), Entry>,
    log: Option<File>,
    /// Lines in the log, the outdated ones too.
    lines: usize,
}

#[derive(Debug)]
struct Entry {
    stamp: Stamp,
    digests: Digests,
    used: bool,
}

/// Keeps content names for a file as it is now, whatever its content: how a test, and the demo, make a source
/// that lies in good faith. No servent of that cache may be running.
pub fn pretend(cache: &Path, file: &Path, digests: Digests) -> io::Result<()> {
    fs::create_dir_all(cache)?;
    let (mut cache, message) = Cache::open(cache);
    cache.put(super::stamp_of(&fs::metadata(file)?), digests);
    message.map_or(Ok(()), |message| Err(io::Error::other(message)))
}

impl Cache {
    /// Reads the log, if there is one. The message is for the user: something was set aside or cannot be written.
    pub(super) fn open(dir: &Path) -> (Self, Option<String>) {
        let path = dir.join("hashes.jsonl");
        let mut cache = Self { path, entries: BTreeMap::new(), log: None, lines: 0 };
        let message = match cache.read() {
            Ok(()) => None,
            Err(error) => Some(match super::state::set_aside(&cache.path) {
                Ok(aside) => format!(
                    "the hash cache {} cannot be read ({error}); it is kept as {}, and {} of its hashes are used",
                    cache.path.display(),
                    aside.display(),
                    cache.entries.len()
                ),
                Err(why) => format!(
                    "the hash cache {} can neither be read ({error}) nor set aside ({why})",
                    cache.path.display()
                ),
            }),
        };
        let ready = if message.is_some() || !cache.path.exists() { cache.rewrite() } else { cache.append_to() };
        let failed = ready.err().map(|error| {
            format!(
                "hashes cannot be kept in {} ({error}): after a restart files are hashed again",
                cache.path.display()
            )
        });
        (cache, message.or(failed))
    }

    /// The content names of a file with exactly this stamp.
    pub(super) fn get(&mut self, stamp: &Stamp) -> Option<Digests> {
        let entry = self.entries.get_mut(&(stamp.dev, stamp.inode)).filter(|entry| entry.stamp == *stamp)?;
        entry.used = true;
        Some(entry.digests)
    }

    /// Keeps the content names of a file.
    pub(super) fn put(&mut self, stamp: Stamp, digests: Digests) {
        self.entries.insert((stamp.dev, stamp.inode), Entry { stamp, digests, used: true });
        let line = line_of(&stamp, &digests);
        if let Some(log) = &mut self.log
            && let Err(error) = log.write_all(line.as_bytes())
        {
            log::warn!("cannot write {}: {error}; after a restart files are hashed again", self.path.display());
            self.log = None;
        }
        self.lines += 1;
        if self.lines > MIN_LINES && self.lines > 2 * self.entries.len() {
            self.compact();
        }
    }

    /// A rename that was seen changed the stamp (its ctime) but not the content.
    pub(super) fn moved(&mut self, from: &Stamp, to: Stamp) -> Option<Digests> {
        let digests = self.get(from)?;
        if *from != to {
            self.put(to, digests);
        }
        Some(digests)
    }

    fn compact(&mut self) {
        if self.entries.len() > MAX_ENTRIES {
            self.entries.retain(|_, entry| entry.used);
        }
        if let Err(error) = self.rewrite() {
            log::warn!("cannot rewrite {}: {error}", self.path.display());
            // Not tried again at each line.
            self.lines = 0;
        }
    }

    fn read(&mut self) -> io::Result<()> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut reader = BufReader::with_capacity(1 << 16, file);
        let (mut line, mut wrong) = (Vec::new(), 0_u64);
        while reader.read_until(b'\n', &mut line)? > 0 {
            // A last line without its end was being written when we were killed.
            let Some(text) = line.strip_suffix(b"\n").map(<[u8]>::to_vec) else { break };
            line.clear();
            match std::str::from_utf8(&text).ok() {
                Some(HEADER) if self.lines == 0 => {}
                _ if self.lines == 0 => {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "it is no hash cache of this version"));
                }
                text => match text.and_then(parse_line) {
                    Some((stamp, digests)) => {
                        self.entries.insert((stamp.dev, stamp.inode), Entry { stamp, digests, used: false });
                    }
                    None => wrong += 1,
                },
            }
            self.lines += 1;
        }
        match (wrong, self.lines) {
            (0, 1..) => Ok(()),
            (0, 0) => Err(io::Error::new(io::ErrorKind::InvalidData, "it is empty")),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, format!("{wrong} lines are damaged"))),
        }
    }

    /// Goes on with the log as it is, behind its last whole line.
    fn append_to(&mut self) -> io::Result<()> {
        let bytes = fs::metadata(&self.path)?.len();
        let mut log = OpenOptions::new().append(true).read(true).open(&self.path)?;
        if bytes > 0 && !ends_with_newline(&mut log, bytes)? {
            return self.rewrite();
        }
        self.log = Some(log);
        Ok(())
    }

    /// Writes the log anew, without what is out of date.
    fn rewrite(&mut self) -> io::Result<()> {
        self.log = None;
        let fresh = self.path.with_extension("new");
        let mut writer = io::BufWriter::with_capacity(1 << 16, File::create(&fresh)?);
        writeln!(writer, "{HEADER}")?;
        for entry in self.entries.values() {
            writer.write_all(line_of(&entry.stamp, &entry.digests).as_bytes())?;
        }
        writer.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        fs::rename(&fresh, &self.path)?;
        self.log = Some(OpenOptions::new().append(true).open(&self.path)?);
        self.lines = self.entries.len() + 1;
        Ok(())
    }
}

fn ends_with_newline(file: &mut File, bytes: u64) -> io::Result<bool> {
    use std::io::{Read, Seek, SeekFrom};
    let mut last = [0];
    file.seek(SeekFrom::Start(bytes - 1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// `["dev inode size mtime ctime","SHA1.TTH","blake3","checksum"]`
fn line_of(stamp: &Stamp, digests: &Digests) -> String {
    let Stamp { dev, inode, size, mtime_ns, ctime_ns } = stamp;
    let body = format!(
        "[\"{dev} {inode} {size} {mtime_ns} {ctime_ns}\",\"{}.{}\",\"{}\"",
        digests.sha1, digests.tth, digests.blake3
    );
    format!("{body},\"{}\"]\n", checksum(&body))
}

fn parse_line(line: &str) -> Option<(Stamp, Digests)> {
    let (body, sum) = line.rsplit_once(',')?;
    if sum != format!("\"{}\"]", checksum(body)) {
        return None;
    }
    let [stamp, names, blake3, _]: [String; 4] = serde_json::from_str(line).ok()?;
    let mut numbers = stamp.split(' ');
    let stamp = Stamp {
        dev: next(&mut numbers)?,
        inode: next(&mut numbers)?,
        size: next(&mut numbers)?,
        mtime_ns: next(&mut numbers)?,
        ctime_ns: next(&mut numbers)?,
    };
    let (Ok(Urn::Bitprint(sha1, tth)), Ok(Urn::Blake3(blake3))) =
        (format!("urn:bitprint:{names}").parse(), format!("urn:blake3:{blake3}").parse())
    else {
        return None;
    };
    Some((stamp, Digests { sha1, tth, blake3 }))
}

fn next<T: FromStr>(numbers: &mut std::str::Split<'_, char>) -> Option<T> {
    numbers.next()?.parse().ok()
}

fn checksum(body: &str) -> String {
    blake3::hash(body.as_bytes()).to_hex()[..8].to_owned()
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
        let (mut cache, message) = Cache::open(dir.path());
        assert_eq!(message, None);
        cache.put(stamp(7), digests("abc"));
        let renamed = Stamp { ctime_ns: 9, ..stamp(7) };
        assert_eq!(cache.moved(&stamp(7), renamed), Some(digests("abc")));
        drop(cache);
        let (mut cache, message) = Cache::open(dir.path());
        assert_eq!(message, None);
        assert_eq!(cache.get(&renamed), Some(digests("abc")));
        assert_eq!(cache.get(&stamp(7)), None, "a stamp must be right in every part");
    }

    #[test]
    fn a_torn_last_line_is_forgotten_without_a_word() {
        let dir = tempfile::tempdir().expect("a folder");
        let (mut cache, _) = Cache::open(dir.path());
        cache.put(stamp(1), digests("one"));
        cache.put(stamp(2), digests("two"));
        drop(cache);
        let path = dir.path().join("hashes.jsonl");
        let bytes = fs::read(&path).expect("a log");
        fs::write(&path, &bytes[..bytes.len() - 10]).expect("torn");
        let (mut cache, message) = Cache::open(dir.path());
        assert_eq!(message, None);
        assert_eq!(cache.get(&stamp(1)), Some(digests("one")));
        assert_eq!(cache.get(&stamp(2)), None);
        cache.put(stamp(3), digests("three"));
        drop(cache);
        let (mut cache, message) = Cache::open(dir.path());
        assert_eq!((message, cache.get(&stamp(3))), (None, Some(digests("three"))));
    }

    #[test]
    fn a_damaged_log_is_set_aside_and_its_good_lines_are_used() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("hashes.jsonl");
        let (mut cache, _) = Cache::open(dir.path());
        cache.put(stamp(1), digests("one"));
        cache.put(stamp(2), digests("two"));
        drop(cache);
        let mut bytes = fs::read(&path).expect("a log");
        let at = HEADER.len() + 30;
        bytes[at] ^= 1;
        fs::write(&path, &bytes).expect("damaged");
        let (mut cache, message) = Cache::open(dir.path());
        assert!(message.expect("a message").contains("hashes.jsonl.corrupt-1"));
        assert_eq!(fs::read(dir.path().join("hashes.jsonl.corrupt-1")).expect("kept"), bytes);
        assert_eq!(cache.get(&stamp(1)), None);
        assert_eq!(cache.get(&stamp(2)), Some(digests("two")));

        fs::write(&path, "something else\n").expect("damaged");
        let (_, message) = Cache::open(dir.path());
        assert!(message.expect("a message").contains("hashes.jsonl.corrupt-2"));
    }

    #[test]
    fn an_outdated_log_is_rewritten() {
        let dir = tempfile::tempdir().expect("a folder");
        let (mut cache, _) = Cache::open(dir.path());
        for round in 0..=MIN_LINES as i64 {
            cache.put(Stamp { ctime_ns: round, ..stamp(1) }, digests("same"));
        }
        drop(cache);
        let text = fs::read_to_string(dir.path().join("hashes.jsonl")).expect("a log");
        assert!(text.lines().count() < 10, "{} lines are left", text.lines().count());
        let (mut cache, _) = Cache::open(dir.path());
        assert_eq!(cache.get(&Stamp { ctime_ns: MIN_LINES as i64, ..stamp(1) }), Some(digests("same")));
    }
}
