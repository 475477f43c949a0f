//! Taking a partial file up again, or beginning one: whose it is, what of it still counts, and what happened
//! to it while nobody looked.

use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::bytes::{differing, each_piece, node_of};
use super::{Beside, DiskError, Partial, PartialSpec};
use crate::disk::state::make_dirs;
use crate::transfer::blocks::block_size;
use crate::transfer::check::Checker;
use crate::transfer::{BlockMap, Expected, journal, name};
use crate::wire::Blake3;

/// Our own partial file may still be held by a last write of the servent that ran before us: we wait two
/// seconds for it.
const OWN_TRIES: u32 = 20;
const OWN_PAUSE: Duration = Duration::from_millis(100);
/// Names `NAME (N).part` that are tried for a new partial file.
const TRIES: u32 = 1000;

/// What is said when a partial file that we had is not there.
const GONE: &str = "its partial file was gone, so all of it is fetched anew";

/// Whether a partial file is known to be this download's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    /// An earlier run wrote its name down.
    Own,
    /// It lies there.
    Found,
}

pub(super) fn open(spec: &PartialSpec) -> Result<Partial, DiskError> {
    if let Some(own) = spec.own.as_deref().filter(|own| *own == name::sanitise(own)) {
        is_there(&spec.dir)?;
        if let Some(partial) = try_open(spec, own, Whose::Own)? {
            return Ok(partial);
        }
    }
    let mut passed = Vec::new();
    for n in 1..TRIES {
        let stem = if n == 1 { spec.name.clone() } else { name::numbered(&spec.name, n) };
        let file_name = format!("{stem}.part");
        if let Some(partial) = try_open(spec, &file_name, Whose::Found)? {
            return Ok(Partial { passed, ..partial });
        }
        if !has_map(spec) {
            passed.push(spec.dir.join(file_name));
        }
    }
    let words = format!("{} is full of partial files named {}. Remove some", spec.dir.display(), spec.name);
    Err(DiskError::other(words))
}

/// A download that had begun had a folder: when that is gone, a disk may be missing, and we do not fill the one
/// below it instead.
fn is_there(incomplete: &Path) -> Result<(), DiskError> {
    match incomplete.parent() {
        Some(dir) if !dir.exists() => {
            let dir = dir.display();
            Err(DiskError::other(format!("the folder {dir} is gone. Is its disk there? Bring it back, then retry")))
        }
        _ => Ok(()),
    }
}

/// `None` when that name belongs to another download: then nothing of ours is left under it.
fn try_open(spec: &PartialSpec, file_name: &str, whose: Whose) -> Result<Option<Partial>, DiskError> {
    let own = whose == Whose::Own;
    let part = spec.dir.join(file_name);
    let map_path = spec.dir.join(format!("{file_name}.map"));
    let urn = spec.expected.urn();
    let has_map = has_map(spec);
    // Of other blocks than ours no node is known.
    let fits = |journal: &journal::Journal| {
        journal.map.size() == spec.size && journal.map.block_size() == block_size(spec.size)
    };
    let same = |journal: &journal::Journal| urn.is_some() && journal.urn == urn && fits(journal);
    let ours = own || has_map && matches!(read_journal(&map_path), Ok(Some(Ok(journal))) if same(&journal));
    let was_there = fs::symlink_metadata(&part).is_ok();
    let Some((file, length)) = lock(&spec.dir, &part, if ours { OWN_TRIES } else { 1 })? else { return Ok(None) };
    if length > 0 {
        forget_what_is_in_memory(&file);
    }
    if !has_map {
        return open_small(spec, part, file, length, whose, was_there);
    }
    let (mut map, mut fresh, mut note) = (BlockMap::new(spec.size), true, None);
    match read_journal(&map_path)? {
        Some(Ok(found)) if same(&found) || (own && found.urn == urn && fits(&found)) => {
            fresh = found.untidy;
            map = found.map;
        }
        // A map that says nothing, or something else: whose file this is cannot be known.
        Some(_) if !own => {
            if !was_there {
                let _ = fs::remove_file(&part);
            }
            return Ok(None);
        }
        None if !own && length > 0 => return Ok(None),
        None if was_there && length > 0 => {
            note = Some("the map beside it was gone, so all of it is fetched anew".into())
        }
        Some(Ok(_)) => note = Some("the map beside it told of another file, so all of it is fetched anew".into()),
        Some(Err(why)) => note = Some(format!("the map beside it {why}, so all of it is fetched anew")),
        None => {}
    }
    if own && !was_there {
        note = Some(GONE.into());
    }
    let differing = differing(&file, &map).map_err(|error| DiskError::new("read", &part, &error))?;
    differing.iter().for_each(|index| map.forget(*index));
    fresh |= !differing.is_empty();
    if note.is_none() && !differing.is_empty() {
        let needed = differing.iter().map(|index| map.range(*index).end).max();
        note = Some(match needed {
            Some(needed) if length < needed => {
                format!("its partial file had been cut to {length} bytes, so {} again", are_fetched(differing.len()))
            }
            _ => format!("something had changed its partial file, so {} again", are_fetched(differing.len())),
        });
    }
    if length > spec.size {
        file.set_len(spec.size).map_err(|error| DiskError::new("shorten", &part, &error))?;
    }
    if fresh {
        rewrite(&map_path, &journal::write(&map, urn.as_ref()))?;
    }
    if let Some(note) = &note {
        log::warn!("{}: {note}", part.display());
    }
    Ok(Some(Partial::with(spec.clone(), part, file, Some(Beside::open(map_path)?), map, note)))
}

/// What is read from now on is what the disk has. What it could not write the system told of once, and keeps in memory as
/// though it had been written, until it needs the room: it would be read back as it should be, and be lost in the end.
#[cfg(target_os = "linux")]
fn forget_what_is_in_memory(file: &File) {
    if let Err(error) = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed) {
        log::debug!("what is read of a partial file may not be on the disk: {error}");
    }
}

#[cfg(not(target_os = "linux"))]
fn forget_what_is_in_memory(_: &File) {}

/// Whether there is a map beside it. For one block none is worth making: it is there, or it is not.
fn has_map(spec: &PartialSpec) -> bool {
    spec.size > block_size(spec.size)
}

/// The partial file of one block: if all of it is there, its own hash says so.
fn open_small(
    spec: &PartialSpec,
    part: PathBuf,
    file: File,
    length: u64,
    whose: Whose,
    was_there: bool,
) -> Result<Option<Partial>, DiskError> {
    let mut map = BlockMap::new(spec.size);
    let known = spec.expected.urn().is_some() && length == spec.size && length > 0;
    let node = known.then(|| node_of(&file, &(0..spec.size), spec.size)).transpose();
    let node = node.map_err(|error| DiskError::new("read", &part, &error))?;
    let own = whose == Whose::Own;
    match node.filter(|node| is_right(spec, &file, *node)) {
        Some(node) => map.store(0, node),
        // Whose this is cannot be known.
        None if length > 0 && !own => return Ok(None),
        None => {}
    }
    let note = (own && !was_there).then(|| GONE.to_owned());
    if let Some(note) = &note {
        log::warn!("{}: {note}", part.display());
    }
    Ok(Some(Partial::with(spec.clone(), part, file, None, map, note)))
}

/// Whether a file of one block is all that it must be.
fn is_right(spec: &PartialSpec, file: &File, node: Blake3) -> bool {
    let mut checker = Checker::new(&Expected { blake3: None, ..spec.expected.checked() });
    let read = each_piece(file, 0..spec.size, &mut Vec::new(), |bytes| checker.update(bytes));
    read.is_ok() && spec.expected.matches(&Expected { blake3: Some(node), ..checker.finish() })
}

/// `1 block is fetched`, `3 blocks are fetched`.
pub(super) fn are_fetched(blocks: usize) -> String {
    if blocks == 1 { "1 block is fetched".to_owned() } else { format!("{blocks} blocks are fetched") }
}

/// Opens and locks, and says how long it is; `None` when somebody else holds it, also after `tries`.
fn lock(dir: &Path, part: &Path, tries: u32) -> Result<Option<(File, u64)>, DiskError> {
    let mut held = 0;
    for _ in 0..10 + tries {
        make_dirs(dir).map_err(|error| DiskError::new("make the folder", dir, &error))?;
        let file = match OpenOptions::new().read(true).write(true).create(true).truncate(false).open(part) {
            // The folder was removed, as it was empty, just after we had made sure of it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => return Ok(None),
            other => other.map_err(|error| DiskError::new("open", part, &error))?,
        };
        match file.try_lock() {
            Ok(()) => match at(&file, part) {
                Some(there) => return Ok(Some((file, there.len()))),
                // It was moved into place between our opening and our locking it.
                None => continue,
            },
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
    let part = part.display();
    Err(DiskError::other(format!("cannot open {part}: it comes and goes. Does another program tidy up there?")))
}

/// What the system says of the file, if the name still means this one.
#[cfg(unix)]
pub(super) fn at(file: &File, path: &Path) -> Option<Metadata> {
    use std::os::unix::fs::MetadataExt;
    let (open, named) = (file.metadata().ok()?, fs::symlink_metadata(path).ok()?);
    ((open.dev(), open.ino()) == (named.dev(), named.ino())).then_some(open)
}

#[cfg(not(unix))]
pub(super) fn at(file: &File, path: &Path) -> Option<Metadata> {
    path.exists().then(|| file.metadata().ok())?
}

pub(super) type Read0 = Option<Result<journal::Journal, journal::NoJournal>>;

pub(super) fn read_journal(path: &Path) -> Result<Read0, DiskError> {
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

/// Replaces the map by one without superfluous lines.
pub(super) fn rewrite(path: &Path, text: &str) -> Result<(), DiskError> {
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = PathBuf::from(fresh);
    let written = File::create(&fresh).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_data()
    });
    written.and_then(|()| fs::rename(&fresh, path)).map_err(|error| {
        // What the disk did not take whole is of no use, and in the way.
        let _ = fs::remove_file(&fresh);
        DiskError::new("write", path, &error)
    })
}
