//! Linux: inotify, read by a thread that sleeps until something happens, and the list of mounts, which the kernel
//! tells of too.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

use super::{Happened, Missed, Unwatched, WatchId, What, hand_over};
use crate::disk::scan::Handle;

/// Where the kernel lists what is mounted.
const MOUNTS: &str = "/proc/self/mountinfo";
/// Events are read in pieces of so many bytes.
const PIECE: usize = 64 << 10;

/// A watch over folders.
#[derive(Debug)]
pub(in crate::disk) struct Watch {
    inotify: Arc<OwnedFd>,
    live: Arc<Mutex<BTreeSet<i32>>>,
    limit: usize,
    stop: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// A watch over nothing yet. What happens is sent to `sender`; when that is full, `missed` remembers it.
    pub(in crate::disk) fn new<T: From<Happened> + Send + 'static>(
        sender: SyncSender<T>,
        missed: Arc<Missed>,
        limit: usize,
    ) -> io::Result<Self> {
        let inotify = Arc::new(inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?);
        let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let live: Arc<Mutex<BTreeSet<i32>>> = Arc::default();
        let thread = {
            let (inotify, stop, live) = (Arc::clone(&inotify), Arc::clone(&stop), Arc::clone(&live));
            let read = move || read(&inotify, &stop, &live, &sender, &missed);
            std::thread::Builder::new().name("watch".into()).spawn(read)?
        };
        Ok(Self { inotify, live, limit, stop, thread: Some(thread) })
    }

    /// Watches one folder, not those in it. One that is watched already, by whatever name, has the same id again.
    pub(in crate::disk) fn folder(&self, path: &Path) -> Result<WatchId, Unwatched> {
        self.add(path, WatchFlags::DONT_FOLLOW)
    }

    /// [`Watch::folder`], of what is open.
    pub(in crate::disk) fn handle(&self, handle: &Handle) -> Result<WatchId, Unwatched> {
        // The way leads through a link of the kernel's own.
        self.add(&handle.path, WatchFlags::empty())
    }

    fn add(&self, path: &Path, more: WatchFlags) -> Result<WatchId, Unwatched> {
        let flags = WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::MODIFY
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::ATTRIB
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR
            | WatchFlags::EXCL_UNLINK
            | more;
        let watch = inotify::add_watch(&*self.inotify, path, flags).map_err(|errno| match errno {
            Errno::NOSPC => Unwatched::Limit,
            Errno::NOENT | Errno::NOTDIR | Errno::LOOP => Unwatched::Gone,
            errno => Unwatched::Other(errno.to_string()),
        })?;
        let mut live = lock(&self.live);
        if live.insert(watch) && live.len() > self.limit {
            live.remove(&watch);
            drop(live);
            self.end(watch);
            return Err(Unwatched::Limit);
        }
        Ok(WatchId(watch))
    }

    /// A watched folder is not watched any more; the kernel may have dropped its watch already.
    pub(in crate::disk) fn forget(&self, watch: WatchId) {
        if lock(&self.live).remove(&watch.0) {
            self.end(watch.0);
        }
    }

    fn end(&self, watch: i32) {
        if let Err(errno) = inotify::remove_watch(&*self.inotify, watch) {
            log::trace!("watch {watch}: {errno}");
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Err(errno) = rustix::io::write(&*self.stop, &1_u64.to_ne_bytes()) {
            log::warn!("a watch cannot be ended: {errno}");
            return;
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("a watch panicked");
        }
    }
}

fn read<T: From<Happened>>(
    inotify: &OwnedFd,
    stop: &OwnedFd,
    live: &Mutex<BTreeSet<i32>>,
    sender: &SyncSender<T>,
    missed: &Arc<Missed>,
) {
    let mounts = File::open(MOUNTS).inspect_err(|error| log::debug!("{MOUNTS}: {error}")).ok();
    let mut buffer = vec![MaybeUninit::uninit(); PIECE];
    loop {
        let mut asked = vec![PollFd::new(inotify, PollFlags::IN), PollFd::new(stop, PollFlags::IN)];
        asked.extend(mounts.as_ref().map(|mounts| PollFd::new(mounts, PollFlags::PRI)));
        match poll(&mut asked, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => {
                log::error!("a watch ends: {errno}");
                return missed.add(|lost| lost.anywhere = true);
            }
        }
        let happened: Vec<bool> = asked.iter().map(|fd| !fd.revents().is_empty()).collect();
        if happened[1] {
            return;
        }
        if happened.get(2) == Some(&true) {
            hand_over(sender, missed, Happened::Mounts);
        }
        if happened[0] {
            drain(inotify, &mut buffer, live, sender, missed);
        }
    }
}

fn drain<T: From<Happened>>(
    inotify: &OwnedFd,
    buffer: &mut [MaybeUninit<u8>],
    live: &Mutex<BTreeSet<i32>>,
    sender: &SyncSender<T>,
    missed: &Arc<Missed>,
) {
    let mut reader = Reader::new(inotify, buffer);
    while let Ok(event) = reader.next() {
        let (flags, watch) = (event.events(), WatchId(event.wd()));
        let name = event.file_name().map_or_else(OsString::new, |name| OsStr::from_bytes(name.to_bytes()).to_owned());
        if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
            missed.add(|lost| lost.anywhere = true);
            continue;
        }
        if flags.contains(ReadFlags::IGNORED) {
            // We ended it ourselves when it is not known any more.
            if lock(live).remove(&watch.0) {
                hand_over(sender, missed, Happened::Ended(watch));
            }
            continue;
        }
        let what = [
            (ReadFlags::CREATE, What::Created),
            (ReadFlags::CLOSE_WRITE, What::Closed),
            (ReadFlags::MODIFY, What::Written),
            (ReadFlags::ATTRIB, What::Touched),
            (ReadFlags::DELETE, What::Gone),
            (ReadFlags::MOVED_FROM, What::MovedAway(event.cookie())),
            (ReadFlags::MOVED_TO, What::MovedHere(event.cookie())),
            (ReadFlags::DELETE_SELF, What::Gone),
            (ReadFlags::MOVE_SELF, What::MovedAway(0)),
        ];
        if let Some((_, what)) = what.into_iter().find(|(flag, _)| flags.contains(*flag)) {
            hand_over(sender, missed, Happened::In(watch, name, what));
        }
    }
}

fn lock(live: &Mutex<BTreeSet<i32>>) -> MutexGuard<'_, BTreeSet<i32>> {
    live.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is mounted below a folder: paths beneath it, each with the number of its mount.
pub(in crate::disk) fn mounts_below(root: &Path) -> BTreeSet<(PathBuf, u64)> {
    let text = std::fs::read(MOUNTS).unwrap_or_default();
    text.split(|byte| *byte == b'\n').filter_map(|line| mount_below(root, line)).collect()
}

/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue` (proc_pid_mountinfo(5))
fn mount_below(root: &Path, line: &[u8]) -> Option<(PathBuf, u64)> {
    let mut fields = line.split(|byte| *byte == b' ');
    let number = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    let path = PathBuf::from(OsString::from_vec(unescape(fields.nth(3)?)));
    let below = path.strip_prefix(root).ok().filter(|below| !below.as_os_str().is_empty())?;
    Some((below.to_owned(), number))
}

/// Space, tab, newline and backslash are written as three octal digits behind a backslash.
fn unescape(field: &[u8]) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::with_capacity(field.len()), field);
    while let Some((first, behind)) = rest.split_first() {
        let digits = behind.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()).filter(|_| *first == b'\\') {
            Some(byte) => {
                out.push(byte);
                rest = &behind[3..];
            }
            None => {
                out.push(*first);
                rest = behind;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_below_a_folder_are_found_in_the_kernels_list() {
        let root = Path::new("/srv/music box");
        for (line, expected) in [
            (r"36 35 98:0 / /srv/music\040box/usb\134stick rw - ext4 /dev/sdb1 rw", Some((r"usb\stick", 36))),
            (r"37 35 98:0 / /srv/music\040box rw - ext4 /dev/sdb1 rw", None),
            (r"38 35 98:0 / /srv/music rw - ext4 /dev/sdb1 rw", None),
            (r"39 35 98:0 / /srv/music\040box/a/b rw master:1 - ext4 /dev/sdb1 rw", Some(("a/b", 39))),
            ("", None),
            ("nonsense", None),
        ] {
            let expected = expected.map(|(path, number)| (PathBuf::from(path), number));
            assert_eq!(mount_below(root, line.as_bytes()), expected, "{line}");
        }
    }
}
