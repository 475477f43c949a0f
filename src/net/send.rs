//! One turn of sending a file to a client, on a thread that may block.
//!
//! On Linux the kernel copies from its cache to the socket (`sendfile`); reading what is not in the cache blocks,
//! and that is why this runs on the pool and never on an executor. A turn ends when all is sent, after [`TURN`],
//! or when the client takes nothing for [`QUICK`]: then it brings the next bytes along, and the caller waits
//! without a thread until the client takes those. `docs/adr/0004` has the figures behind this.
//!
//! Elsewhere, and for files that the kernel cannot send by itself, every turn is such a read.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use super::rt::TcpStream;

/// A client that takes nothing for this long is waited for elsewhere.
#[cfg(target_os = "linux")]
const QUICK: Duration = Duration::from_millis(50);
/// A client that has just been served may take so long to ask again without being waited for elsewhere.
#[cfg(target_os = "linux")]
const MOMENT: Duration = Duration::from_millis(20);
/// A turn takes no longer than this, so that nobody waits long for its end.
pub(super) const TURN: Duration = Duration::from_millis(250);
/// The kernel is asked for so much at a time.
#[cfg(target_os = "linux")]
const CHUNK: u64 = 2 * 1024 * 1024;
/// Bytes that are read when the kernel cannot send by itself.
const PIECE: u64 = 256 * 1024;
/// Bytes that are read for a client that takes nothing for now.
#[cfg(target_os = "linux")]
const CRUMB: u64 = 32 * 1024;

/// How a turn ended.
#[derive(Debug)]
pub(super) struct Turn {
    /// What is still to be sent.
    pub(super) left: Range<u64>,
    /// The first bytes of that, to be written when the client takes them.
    pub(super) next: Vec<u8>,
}

/// Sends some of `left`. A file that ends before it does is an error: what was promised is not there.
#[cfg(target_os = "linux")]
pub(super) fn turn(file: &File, stream: &TcpStream, left: Range<u64>, sent: &AtomicU64) -> io::Result<Turn> {
    use std::sync::atomic::Ordering;
    use std::time::Instant;

    use rustix::fs::sendfile;
    use rustix::io::Errno;

    let begun = Instant::now();
    let mut left = left;
    while !left.is_empty() && begun.elapsed() < TURN {
        let mut at = left.start;
        let count = (left.end - left.start).min(CHUNK) as usize;
        match sendfile(stream, file, Some(&mut at), count) {
            Ok(0) => return Err(cut_short()),
            Ok(taken) => {
                left.start += taken as u64;
                sent.fetch_add(taken as u64, Ordering::Relaxed);
            }
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) if wait(stream, rustix::event::PollFlags::OUT, QUICK)? => {}
            Err(Errno::AGAIN) => return read(file, left, CRUMB),
            // A file system that cannot.
            Err(Errno::INVAL | Errno::NOSYS) => return read(file, left, PIECE),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Turn { left, next: Vec::new() })
}

/// Reads some of `left`, for the caller to send.
#[cfg(not(target_os = "linux"))]
pub(super) fn turn(file: &File, _: &TcpStream, left: Range<u64>, _: &AtomicU64) -> io::Result<Turn> {
    read(file, left, PIECE)
}

fn read(file: &File, left: Range<u64>, at_most: u64) -> io::Result<Turn> {
    let mut next = vec![0; (left.end - left.start).min(at_most) as usize];
    read_at(file, &mut next, left.start)?;
    Ok(Turn { left, next })
}

/// Reads exactly as many bytes as there is room for.
#[cfg(unix)]
pub fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset)
}

/// Reads exactly as many bytes as there is room for.
#[cfg(windows)]
pub fn read_at(file: &File, mut bytes: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let read = std::os::windows::fs::FileExt::seek_read(file, bytes, offset)?;
        if read == 0 {
            return Err(cut_short());
        }
        bytes = &mut bytes[read..];
        offset += read as u64;
    }
    Ok(())
}

fn cut_short() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the file was cut short while it was sent")
}

/// Sends what the client takes now; `more` follows at once, and is to go out in one packet with it.
#[cfg(target_os = "linux")]
pub(super) fn try_send(stream: &TcpStream, bytes: &[u8], more: bool) -> io::Result<usize> {
    use rustix::net::{SendFlags, send};
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    match send(stream, bytes, if more { flags | SendFlags::MORE } else { flags }) {
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(0),
        sent => Ok(sent?),
    }
}

/// Receives what the client has sent; `None` when that is nothing yet.
#[cfg(target_os = "linux")]
pub(super) fn try_receive(stream: &TcpStream, into: &mut [u8]) -> io::Result<Option<usize>> {
    use rustix::net::{RecvFlags, recv};
    match recv(stream, into, RecvFlags::DONTWAIT) {
        Ok((_, came)) => Ok(Some(came)),
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Waits a moment for the client to send something; whether it has.
#[cfg(target_os = "linux")]
pub(super) fn wait_for_bytes(stream: &TcpStream) -> io::Result<bool> {
    wait(stream, rustix::event::PollFlags::IN, MOMENT)
}

#[cfg(target_os = "linux")]
fn wait(stream: &TcpStream, for_what: rustix::event::PollFlags, patience: Duration) -> io::Result<bool> {
    use rustix::event::{PollFd, Timespec, poll};

    let mut sockets = [PollFd::new(stream, for_what)];
    let patience = Timespec { tv_sec: 0, tv_nsec: patience.subsec_nanos().into() };
    match poll(&mut sockets, Some(&patience)) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

// Elsewhere the executor does all of it.

#[cfg(not(target_os = "linux"))]
pub(super) fn try_send(_: &TcpStream, _: &[u8], _: bool) -> io::Result<usize> {
    Ok(0)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn try_receive(_: &TcpStream, _: &mut [u8]) -> io::Result<Option<usize>> {
    Ok(None)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn wait_for_bytes(_: &TcpStream) -> io::Result<bool> {
    Ok(false)
}
