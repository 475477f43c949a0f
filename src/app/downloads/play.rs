//! A file that is played while it is fetched: who reads where, and the bytes for them.
//!
//! Readers are given what is known to be right ([`crate::transfer::Download::shown`]), each block held against its BLAKE3
//! once more just before, and wait for the rest; what they wait for is fetched first. Of what they read a piece is in
//! memory, however large the file is and however slow they are. The file stays the same when it is finished and moved
//! into place: they go on reading there.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant as Clock};

use bytes::Bytes;
use futures::channel::mpsc;
use futures::{Stream, StreamExt};

use super::Downloads;
use super::commands::refuse_if_over;
use super::live::Live;
use super::record::Standing;
use crate::app::{Error, ErrorCode};
use crate::disk;
use crate::net::rt;
use crate::transfer::play::Facts;
use crate::transfer::{Input, MAX_PREFERRED, State};
use crate::wire::Blake3;

/// Bytes that a reader is given at a time.
const PIECE: u64 = 256 << 10;
/// Readers of all files at a time; one more is told to come again.
pub const MAX_READERS: usize = MAX_PREFERRED;
/// The size must be known within so long after a reader has come.
const SIZE_WITHIN: Duration = Duration::from_secs(20);
/// A reader that waits looks again after this, even when it was not told of anything.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Who reads a file, and where.
#[derive(Debug, Default)]
pub(super) struct Readers {
    /// By number; `None` for one that has only asked so far.
    at: BTreeMap<u64, Option<u64>>,
    next: u64,
    /// Where the last one was that has gone; a player comes back there. `None` when it was never played.
    left: Option<u64>,
}

impl Readers {
    /// From where on bytes are wanted: who came last waits most, as players leave an old place for a new one.
    pub(super) fn places(&self) -> Vec<u64> {
        let reading: Vec<u64> = self.at.values().rev().filter_map(|at| *at).collect();
        if reading.is_empty() { self.left.into_iter().collect() } else { reading }
    }

    /// Whether somebody wants to play it.
    pub(super) fn is_played(&self) -> bool {
        !self.places().is_empty()
    }

    /// How many read now.
    pub(super) fn count(&self) -> usize {
        self.at.len()
    }

    /// It is to be played: from the front, as long as nobody says otherwise.
    fn expect(&mut self) {
        self.left.get_or_insert(0);
    }

    fn come(&mut self) -> u64 {
        self.next += 1;
        self.at.insert(self.next, None);
        self.next
    }

    fn go_to(&mut self, reader: u64, at: u64) {
        self.at.insert(reader, Some(at));
    }

    fn go(&mut self, reader: u64) {
        self.left = self.at.remove(&reader).flatten().or(self.left);
    }
}

/// Where the next piece is.
enum Next {
    /// Here: in a block with that node of a file of that size, if that is known; in a file that is open, or has to be opened.
    Piece(Range<u64>, Option<(Range<u64>, Blake3, u64)>, Place),
    /// Nowhere yet.
    Wait,
    /// There will be none: why.
    Never(String),
}

enum Place {
    /// Not to be held longer than for one piece.
    Open(Arc<File>),
    /// The finished file, its size, and when it was written last, if that is known.
    Finished(PathBuf, u64, Option<i64>),
}

impl Downloads {
    /// Somebody is going to play it: its front comes first from now on.
    pub fn expect_player(&self, id: u64) -> Result<(), Error> {
        let live = self.inner().find(id)?;
        if live.is_elsewhere() {
            return refuse_if_over(&live, "play");
        }
        live.change_readers(Readers::expect);
        Ok(())
    }

    /// Somebody plays it, or asks how large it is.
    pub fn player(&self, id: u64) -> Result<Player, Error> {
        let live = self.inner().find(id)?;
        if self.inner().all().iter().map(|live| live.lock().readers.count()).sum::<usize>() >= MAX_READERS {
            let message = format!("{MAX_READERS} players read files of this servent already");
            return Err(Error::new(ErrorCode::NotConnected, message).hint("Close one of them"));
        }
        let mut number = 0;
        live.change_readers(|readers| number = readers.come());
        let heard = live.listen();
        Ok(Player { live, number, heard, sound: None, finished: None, preferred: None })
    }
}

/// One reader of a file.
pub struct Player {
    live: Arc<Live>,
    number: u64,
    heard: mpsc::Receiver<()>,
    /// The block that was held against its hash last.
    sound: Option<Range<u64>>,
    /// The finished file, once it was opened.
    finished: Option<Arc<File>>,
    preferred: Option<u64>,
}

impl Drop for Player {
    fn drop(&mut self) {
        self.live.change_readers(|readers| readers.go(self.number));
    }
}

impl Player {
    /// What is known of the file; waits a while for its size.
    pub async fn facts(&mut self) -> Result<Facts, Error> {
        let end = Clock::now() + SIZE_WITHIN;
        loop {
            if let Some(facts) = self.live.facts() {
                return Ok(facts);
            }
            let view = self.live.view();
            let because = if view.reason.is_empty() { view.state.clone() } else { view.reason.clone() };
            if self.live.standing().is_over() {
                let message = format!("download {} cannot be played: it is {}: {because}", view.id, view.state);
                return Err(Error::new(view.error.unwrap_or(ErrorCode::NotFound), message));
            }
            let left = end.saturating_duration_since(Clock::now());
            if left.is_zero() {
                let message = format!("the size of download {} is not known yet: {because}", view.id);
                return Err(Error::new(ErrorCode::TimedOut, message).hint("Try again when a source has answered"));
            }
            self.wait(left).await;
        }
    }

    /// Bytes of the file, as they come. Ends early when they cannot come any more.
    pub fn bytes(self, range: Range<u64>) -> impl Stream<Item = Bytes> + Send + 'static {
        futures::stream::unfold((self, range), |(mut player, range)| async move {
            let piece = player.piece(range.clone()).await?;
            let rest = range.start + piece.len() as u64..range.end;
            Some((piece, (player, rest)))
        })
    }

    async fn piece(&mut self, range: Range<u64>) -> Option<Bytes> {
        if range.is_empty() {
            return None;
        }
        self.prefer(range.start);
        loop {
            let (piece, block, place) = match self.live.next_piece(range.clone()) {
                Next::Wait => {
                    self.wait(LOOK_AGAIN).await;
                    continue;
                }
                Next::Never(why) => {
                    log::info!("a player of {} was left: {why}", self.live.view().name);
                    return None;
                }
                Next::Piece(piece, block, place) => (piece, block, place),
            };
            let unsound = block.filter(|(block, ..)| self.sound.as_ref() != Some(block));
            let (known, finished) = (unsound.as_ref().map(|(block, ..)| block.clone()), self.finished.clone());
            let read = move || {
                let (file, keep) = match place {
                    Place::Open(file) => (file, false),
                    Place::Finished(path, size, mtime_ns) => match finished {
                        Some(file) => (file, true),
                        None => (Arc::new(open(&path, size, mtime_ns)?), true),
                    },
                };
                if let Some((block, node, size)) = unsound
                    && disk::node_of(&file, &block, size)? != node
                {
                    return Err(std::io::Error::other("somebody changed it"));
                }
                Ok((disk::read_range(&file, piece)?, keep.then_some(file)))
            };
            match rt::spawn_blocking(read).await {
                Ok((bytes, finished)) => {
                    self.finished = finished;
                    self.sound = known.or(self.sound.take());
                    return Some(bytes.into());
                }
                Err(error) => {
                    log::warn!("a player of {} was left: {error}", self.live.view().name);
                    return None;
                }
            }
        }
    }

    /// Tells where it is; not of every step within a block.
    fn prefer(&mut self, at: u64) {
        let at = self.live.block_at(at);
        if self.preferred != Some(at) {
            self.preferred = Some(at);
            self.live.change_readers(|readers| readers.go_to(self.number, at));
        }
    }

    async fn wait(&mut self, limit: Duration) {
        let _ = rt::timeout(limit, self.heard.next()).await;
    }
}

/// A finished file, if it is what it was.
fn open(path: &std::path::Path, size: u64, mtime_ns: Option<i64>) -> std::io::Result<File> {
    let file = File::open(path)?;
    let there = file.metadata()?;
    let stamp = disk::stamp_of(&there);
    let same = stamp.size == size && mtime_ns.is_none_or(|then| then == stamp.mtime_ns);
    if there.is_file() && same { Ok(file) } else { Err(std::io::Error::other("somebody changed it")) }
}

impl Live {
    /// Who reads it changes; who fetches it is told.
    fn change_readers(&self, change: impl FnOnce(&mut Readers)) {
        let (before, after) = {
            let mut inner = self.lock();
            let before = inner.readers.places();
            change(&mut inner.readers);
            (before, inner.readers.places())
        };
        if before != after {
            self.tell(Input::Prefer(after));
        }
    }

    /// The start of the block that a byte is in.
    fn block_at(&self, at: u64) -> u64 {
        let inner = self.lock();
        inner.machine().map_or(at, |machine| machine.map().range(machine.map().index_at(at)).start)
    }

    /// What is known of the file, once its size is.
    fn facts(&self) -> Option<Facts> {
        let inner = self.lock();
        let over = matches!(inner.current_standing(), Standing::Failed | Standing::Cancelled);
        let size = inner.machine().map_or(inner.record.size, |machine| machine.size()).filter(|_| !over)?;
        let urn = inner.record.expected().urn();
        let tag = urn.map_or_else(|| format!("{}-{size}", self.id), |urn| urn.to_string());
        Some(Facts { name: inner.record.name.clone(), size, tag })
    }

    /// Where the first bytes of a range are.
    fn next_piece(&self, range: Range<u64>) -> Next {
        let inner = self.lock();
        let finished = || Some((inner.record.path.clone()?, inner.record.size?, inner.record.mtime_ns));
        let standing = inner.current_standing();
        let Some(machine) = inner.machine() else {
            return match (standing, finished()) {
                (Standing::Done, Some((path, size, mtime_ns))) => {
                    let end = range.end.min(range.start.saturating_add(PIECE));
                    Next::Piece(range.start..end, None, Place::Finished(path, size, mtime_ns))
                }
                (standing, _) if standing.is_over() => Next::Never(inner.record.reason.clone()),
                _ => Next::Wait,
            };
        };
        if matches!(standing, Standing::Failed | Standing::Cancelled) {
            return Next::Never(machine.reason(self.now()));
        }
        if machine.size().is_some_and(|size| range.end > size) {
            return Next::Never("its size is another one than was said".to_owned());
        }
        let index = machine.map().index_at(range.start);
        let Some(node) = machine.shown(index) else { return Next::Wait };
        let block = machine.map().range(index);
        let piece = range.start..range.end.min(block.end).min(range.start.saturating_add(PIECE));
        let open = inner.reader().and_then(super::live::Reader::file);
        let place = match (open, finished()) {
            (Some(file), _) => Place::Open(file),
            (None, Some((path, size, mtime_ns))) if machine.state() == State::Done => {
                Place::Finished(path, size, mtime_ns)
            }
            // It is just moved into place.
            _ => return Next::Wait,
        };
        Next::Piece(piece, Some((block, node, machine.map().size())), place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_came_last_is_first_and_who_left_is_awaited_where_it_was() {
        let mut readers = Readers::default();
        assert!(!readers.is_played() && readers.places().is_empty());
        readers.expect();
        assert_eq!(readers.places(), [0], "from the front, before anybody reads");
        let (a, b, asks) = (readers.come(), readers.come(), readers.come());
        readers.go_to(a, 5);
        readers.go_to(b, 9);
        assert_eq!((readers.places(), readers.count()), (vec![9, 5], 3));
        readers.go(asks);
        readers.go(b);
        assert_eq!(readers.places(), [5]);
        readers.go(a);
        assert_eq!(readers.places(), [5], "a player comes back there");
        readers.expect();
        assert_eq!((readers.places(), readers.count()), (vec![5], 0));
    }
}
