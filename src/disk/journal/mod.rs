//! A state of many parts that change one by one: a state file, and beside it a log of what has changed since.
//!
//! The file (`NAME.json`) is all of it as it was once. The log (`NAME.log`) is a first line that says what it is, and a
//! line for each change (see [`mod@line`]). Changes that come together are appended together and synced once; so a change costs
//! its own bytes, not those of all the others. When the log has grown past [`LEAST_LOG`] and past the file, the file is
//! written anew, and the log cut to nothing. Neither grows past what is read back. A crash between the two does no harm: to apply the changes of a log again to
//! what has them already changes nothing ([`Journalled::apply`]).
//!
//! What was being appended when the power failed has no end: it is cut off, since nobody was told that it is kept. A line
//! that is damaged otherwise costs that change, two where its end is damaged, and all of the log where it is the first: the log is set aside as `NAME.log.corrupt-N`, what could be read of
//! it is kept, and the user hears of it. No damage is fatal, and nothing is deleted that was not read;
//! what the system does not let us read is left as it is, and is an error.
//!
//! Several processes may append: they take turns by the lock of [`StateFile`], and nobody holds anything of the files
//! between two turns.

mod line;
#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::home::private_file;
use super::state::{Loaded, StateFile, parent_of, set_aside, sync_dir, within};

/// A log of fewer bytes is not worth to write the whole anew.
const LEAST_LOG: u64 = 16 << 20;

/// A state that is kept so.
pub trait Journalled: Default + Serialize + DeserializeOwned {
    /// What is appended to the log.
    type Change: Serialize + DeserializeOwned;

    /// One change more. To apply the same changes once more, in the same order, must change nothing.
    fn apply(&mut self, change: Self::Change);

    /// The whole is about to be written: what need not be kept any longer goes.
    fn tidy(&mut self) {}
}

/// The state file and its log. It holds nothing open: what it says is what the disk says.
#[derive(Debug)]
pub struct Journal<T> {
    file: StateFile,
    log: PathBuf,
    least_log: u64,
    of: PhantomData<fn() -> T>,
}

impl<T: Journalled> Journal<T> {
    /// That state file, and a log of the same name. A file of an older version has no log.
    pub fn new(file: StateFile) -> Self {
        Self { log: file.path().with_extension("log"), file, least_log: LEAST_LOG, of: PhantomData }
    }

    /// Where the state file is.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// All of it as it is now. What is damaged is set aside, and the log tells of it; what cannot be read for another reason
    /// stays what it is, and that is an error.
    pub fn load(&self) -> io::Result<T> {
        // Who may not write there may still read: then nobody else writes either.
        let turn = self.file.lock().inspect_err(|error| log::debug!("{}: {error}", self.path().display()));
        let value = self.read();
        drop(turn);
        value
    }

    /// Makes these changes last: returns when they are on the disk. On an error it is as if nothing had been appended.
    pub fn append(&self, changes: &[T::Change]) -> io::Result<()> {
        let lines = lines(changes)?;
        let _turn = self.file.lock()?;
        self.write(&lines)
    }

    /// Changes what is there, while no other process does. Reads all of it.
    pub fn update<R>(&self, change: impl FnOnce(&T) -> (Vec<T::Change>, R)) -> io::Result<R> {
        let _turn = self.file.lock()?;
        let (changes, result) = change(&self.read()?);
        self.write(&lines(&changes)?)?;
        Ok(result)
    }

    /// Writes the whole anew, and cuts the log to nothing: at an orderly end.
    pub fn rewrite(&self) -> io::Result<()> {
        let _turn = self.file.lock()?;
        match fs::OpenOptions::new().append(true).open(&self.log) {
            Ok(log) => self.compact(Some(&log)),
            Err(error) if error.kind() == ErrorKind::NotFound => self.compact(None),
            Err(error) => Err(error),
        }
    }

    fn header(&self) -> String {
        let (kind, version) = self.file.kind();
        format!("filbert {kind}, a log of changes, version {version}\n")
    }

    /// The whole as the file and the log say. Without a descriptor left, or the right to read them, nothing is known of
    /// them: they are not begun anew for that.
    fn read(&self) -> io::Result<T> {
        let (mut value, older) = match self.file.load_damaged()? {
            Loaded::Some((version, value)) => (value, version != self.file.kind().1),
            Loaded::None => (T::default(), false),
            Loaded::SetAside(message) => {
                log::warn!("{message}");
                (T::default(), false)
            }
        };
        if older {
            self.begin_log_anew(&value, "it belongs to no file of an older version");
            return Ok(value);
        }
        let bytes = match read_bounded(&self.log, self.file.most) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(value),
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                self.begin_log_anew(&value, &error.to_string());
                return Ok(value);
            }
            Err(error) => return Err(error),
        };
        let found = line::read::<T::Change>(&bytes, &self.header());
        found.changes.into_iter().for_each(|change| value.apply(change));
        if let Some(damage) = found.damage {
            self.begin_log_anew(&value, &damage);
        }
        Ok(value)
    }

    /// What could be read becomes the whole, and the log, if there is one, is kept for whoever wants to look at it.
    fn begin_log_anew(&self, value: &T, why: &str) {
        let path = self.log.display();
        if let Err(error) = self.file.write(value) {
            return log::warn!("{path} cannot be read as a whole ({why}), and what could be read not written: {error}");
        }
        if fs::metadata(&self.log).is_ok_and(|meta| meta.is_file() && meta.len() == 0) {
            return;
        }
        match set_aside(&self.log) {
            Ok(aside) => log::warn!(
                "{path} cannot be read as a whole ({why}); it is kept as {}, and what could be read is used",
                aside.display()
            ),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => log::warn!("{path} cannot be read as a whole ({why}) nor set aside ({error})"),
        }
    }

    /// For whoever has the lock.
    fn write(&self, lines: &str) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let is_new = !self.log.exists();
        let mut file = private_file().read(true).append(true).create(true).open(&self.log)?;
        let header = self.header();
        let mut end = whole_lines(&mut file)?;
        if end > 0 && !begins_with(&mut file, header.as_bytes())? {
            // Somebody replaced it while we ran: what it says is for who reads it next.
            let aside = set_aside(&self.log)?;
            log::warn!("{} is not what it was; it is kept as {}", self.log.display(), aside.display());
            file = private_file().read(true).append(true).create(true).open(&self.log)?;
            end = 0;
        }
        if within(self.file.most, end + (header.len() + lines.len()) as u64).is_err() && end > 0 {
            // It went on growing since the file could not be written: what is not read back is not appended.
            self.compact(Some(&file))?;
            end = file.metadata()?.len();
        }
        within(self.file.most, end + (header.len() + lines.len()) as u64)?;
        let text = if end == 0 { header + lines } else { lines.to_owned() };
        let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_data());
        if let Err(error) = written {
            // Half a group is no group. Should this fail too, the next one cuts the half line off.
            let _ = file.set_len(end);
            return Err(error);
        }
        if is_new || end == 0 {
            sync_dir(parent_of(&self.log))?;
        }
        let log = end + text.len() as u64;
        let whole = fs::metadata(self.path()).map_or(0, |meta| meta.len());
        if log > self.least_log
            && log > whole
            && let Err(error) = self.compact(Some(&file))
        {
            // What was appended lasts all the same.
            log::warn!("cannot write {}: {error}; its log goes on growing", self.path().display());
        }
        Ok(())
    }

    /// The log becomes part of the file.
    fn compact(&self, log: Option<&File>) -> io::Result<()> {
        let mut value = self.read()?;
        value.tidy();
        self.file.write(&value)?;
        // Set aside meanwhile, as it was damaged: then that file stays as it is.
        log.filter(|_| self.log.exists()).map_or(Ok(()), |log| log.set_len(0))
    }
}

fn lines<C: Serialize>(changes: &[C]) -> io::Result<String> {
    changes.iter().map(line::write).collect()
}

/// Cuts off what was being appended when its writer died. Returns how long it is.
fn whole_lines(file: &mut File) -> io::Result<u64> {
    let length = file.metadata()?.len();
    let mut end = length;
    let mut piece = [0; 4096];
    while end > 0 {
        let from = end.saturating_sub(piece.len() as u64);
        let piece = &mut piece[..(end - from) as usize];
        file.seek(SeekFrom::Start(from))?;
        file.read_exact(piece)?;
        match piece.iter().rposition(|byte| *byte == b'\n') {
            Some(at) => {
                end = from + at as u64 + 1;
                break;
            }
            None => end = from,
        }
    }
    if end < length {
        file.set_len(end)?;
    }
    Ok(end)
}

fn begins_with(file: &mut File, header: &[u8]) -> io::Result<bool> {
    let mut found = vec![0; header.len()];
    file.seek(SeekFrom::Start(0))?;
    match file.read_exact(&mut found) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        read => read.map(|()| found == header),
    }
}

fn read_bounded(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let meta = fs::metadata(path)?;
    // A pipe in its place would be waited for, for ever.
    if !meta.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidData, "it is no file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::new(ErrorKind::InvalidData, "it is longer than such a log ever is"));
    }
    Ok(bytes)
}
