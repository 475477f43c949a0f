//! One request to one source: head, decision, body to disk.
//!
//! While one piece is written and hashed on the pool for blocking work, the next one is read from the socket.
//! A write that has begun runs to its end and is told to the machine by the thread that did it, even when the
//! contact is dropped meanwhile: what is on disk and what the machine knows never differ.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures::channel::oneshot;

use super::Inner;
use super::live::Live;
use crate::disk::{DiskError, Fault, Judged, Slot, Wrote};
use crate::net::fetch::{FetchConfig, Link};
use crate::net::rt;
use crate::transfer::{Input, Lost, Reach, Source, SourceId};
use crate::wire::Sha1;
use crate::wire::addr::is_public;
use crate::wire::disposition::file_name;
use crate::wire::head::Headers;
use crate::wire::http::{ByteRange, Request};

/// Pieces that go to the disk have at most this many bytes; there are two of them for each contact. None goes
/// beyond the end of its block, so that a crash costs no more than the block under way.
const PIECE: u64 = 512 * 1024;

/// So few bytes are hashed where they were written: it takes no longer than to hand them over.
const AT_ONCE: u64 = 64 * 1024;

/// "The server did not receive a complete request message within the time that it was prepared to wait" (RFC 9110).
const REQUEST_TIMEOUT: u16 = 408;

/// Open connections of a download that no request is under way on.
pub(super) type Links = Arc<Mutex<BTreeMap<SourceId, Link>>>;

/// The body that is to come begins at that byte of the file; these are to be kept.
pub(super) struct Decision {
    pub(super) first: u64,
    pub(super) keep: Range<u64>,
    /// The size of blocks.
    pub(super) block: u64,
    pub(super) slot: Slot,
    /// It is a small file: see [`super::lane`].
    pub(super) small: bool,
}

/// What one contact needs.
pub(super) struct Contact {
    pub(super) live: Arc<Live>,
    pub(super) id: SourceId,
    pub(super) source: Source,
    pub(super) first: u64,
    pub(super) end: Option<u64>,
    /// Our place in its queue.
    pub(super) ticket: Option<String>,
    pub(super) inner: Arc<Inner>,
    /// An open connection from an earlier request, if there is one.
    pub(super) link: Option<Link>,
    /// Where it is laid when another request may be sent on it.
    pub(super) links: Links,
    /// What the machine says to the head.
    pub(super) decided: oneshot::Receiver<Decision>,
    /// Nothing is read from there on: others may be asked for the rest while it comes.
    pub(super) stop: Arc<AtomicU64>,
}

impl Contact {
    /// Does it, and tells the machine how it went: of the end of the body when the connection is back in its place.
    pub(super) async fn run(mut self) {
        let link = match self.ask().await {
            Ok(link) => link,
            Err(how) => {
                if let (Lost::Refused | Lost::NoAnswer | Lost::Unreachable(_), Some(sha1)) = (&how, self.content()) {
                    self.inner.alternates.failed(&sha1, self.source.addr);
                }
                return self.live.tell(Input::Lost { source: self.id, how });
            }
        };
        let Ok(decision) = (&mut self.decided).await else { return };
        match self.receive(link, decision).await {
            Ok(()) => {
                if let Some(sha1) = self.content().filter(|_| self.source.reach == Reach::Direct) {
                    self.inner.alternates.good(&sha1, self.source.addr);
                }
                self.live.tell(Input::BodyEnd { source: self.id });
            }
            Err(Some(how)) => self.live.tell(Input::Lost { source: self.id, how }),
            // The disk failed; the machine knows.
            Err(None) => {}
        }
    }

    /// The hash by which others know the file.
    fn content(&self) -> Option<Sha1> {
        self.live.lock().machine().and_then(|machine| machine.expected().sha1)
    }

    /// Who else has the file; ourselves among them, when there is something that we give.
    fn tell_others(&self, headers: &mut Headers, link: &Link) {
        let (sha1, gives, known_as) = {
            let live = self.live.lock();
            let Some(machine) = live.machine() else { return };
            let Some(sha1) = machine.expected().sha1 else { return };
            (sha1, self.inner.config.give && !machine.offered().is_empty(), machine.us())
        };
        let us = (self.inner.hooks.us)(link.local_ip()).filter(|_| gives);
        if let Some(us) = us {
            headers.push("X-Node", us.to_string());
            if known_as != Some(us) {
                self.live.tell(Input::Us(us));
            }
        }
        self.inner.alternates.tell(&sha1, self.there(link), us, headers);
    }

    /// Where the source is: one that we cannot connect to is where it connected from.
    fn there(&self, link: &Link) -> SocketAddr {
        link.peer().filter(|_| self.source.is_nowhere()).unwrap_or(self.source.addr)
    }

    /// The first of its connection says what we can do: others remember that, as gtk-gnutella does.
    fn first_request(&self, link: &Link) -> Request {
        let mut request = self.request(link);
        (self.inner.hooks.features)(self.there(link).ip()).tell(&mut request.headers);
        request
    }

    fn request(&self, link: &Link) -> Request {
        let range = match self.end {
            Some(end) => ByteRange::Between(self.first, end.saturating_sub(1)),
            None => ByteRange::From(self.first),
        };
        let headers = Headers::default()
            .with("Host", host(&self.source, link))
            .with("User-Agent", self.inner.config.agent.clone())
            .with("Range", range.to_string())
            // "0.1 is the old active queueing, 1.0 is PARQ" (gtk-gnutella): the connection stays open while we wait.
            .with("X-Queue", "1.0");
        let mut headers = match &self.ticket {
            Some(ticket) => headers.with("X-Queued", format!("ID={ticket}")),
            None => headers,
        };
        self.tell_others(&mut headers, link);
        Request { method: "GET".into(), target: self.source.ask.target(), version: (1, 1), headers }
    }

    /// Sends the request and tells the machine of the head.
    async fn ask(&mut self) -> Result<Link, Lost> {
        let mut answered = None;
        if let Some(mut link) = self.link.take()
            && link.is_quiet()
        {
            // A source may have closed the connection while we did not use it, and have said that nothing was asked for: that
            // is no failure.
            let request = self.request(&link);
            match link.ask(&request).await {
                Ok(head) if head.code == REQUEST_TIMEOUT => {}
                Ok(head) => answered = Some((link, head)),
                Err(Lost::Closed) => {}
                Err(how) => return Err(how),
            }
        }
        let (link, head) = match answered {
            Some(answered) => answered,
            None => {
                let mut link = self.connect().await?;
                let local = link.local_ip().map(|ip| SocketAddr::new(ip, self.source.addr.port()));
                if local == Some(self.source.addr) && (self.inner.hooks.us)(link.local_ip()) == local {
                    return Err(Lost::Unreachable("that is this servent itself".into()));
                }
                let request = self.first_request(&link);
                let head = link.ask(&request).await?;
                (link, head)
            }
        };
        if let (200 | 206, Some(name)) = (head.code, head.headers.get("Content-Disposition").and_then(file_name)) {
            self.live.suggest_name(&name);
        }
        let (others, local) = (head.headers.clone(), link.local_ip());
        // Whom it may name depends on where it is.
        let from = self.there(&link);
        self.inner.alternates.meet(from, &others);
        self.live.tell(Input::Head { source: self.id, head });
        if let Some(sha1) = self.content() {
            self.inner.heard(&sha1, &others, from.ip(), local);
        }
        Ok(link)
    }

    async fn connect(&self) -> Result<Link, Lost> {
        connect(&self.inner, &self.source, || self.live.tell(Input::Pushing { source: self.id })).await
    }

    /// Reads the body. The connection is in its place before the last bytes are written: with these the download may be
    /// complete, and the contact dropped.
    async fn receive(&self, mut link: Link, decision: Decision) -> Result<(), Option<Lost>> {
        let (keep, block) = (&decision.keep, decision.block);
        let (mut at, mut spare) = (decision.first, Vec::new());
        let mut allowance = self.inner.config.speed.allowance();
        let mut writing = None;
        while at < keep.end.min(self.stop.load(Ordering::SeqCst)) {
            let mut piece = std::mem::take(&mut spare);
            let want = allowance.at_most((keep.end - at).min(block - at % block).min(PIECE)).await;
            piece.resize(want as usize, 0);
            let read = link.read(&mut piece).await;
            if let Some(writing) = writing.take() {
                let Some(written) = writing.await else { return Err(None) };
                spare = written;
            }
            let read = match read {
                Ok(0) => return Err(Some(Lost::Closed)),
                Ok(read) => read,
                Err(how) => return Err(Some(how)),
            };
            piece.truncate(read);
            allowance.spend(read as u64);
            let skip = usize::try_from(keep.start.saturating_sub(at)).unwrap_or(usize::MAX);
            if at + read as u64 >= keep.end && link.is_reusable() {
                self.lay_by(link);
                let last = (skip < read).then(|| self.write(&decision, piece, skip, at + skip as u64));
                return match last {
                    Some(last) => last.await.map(|_| ()).ok_or(None),
                    None => Ok(()),
                };
            }
            if skip < read {
                writing = Some(self.write(&decision, piece, skip, at + skip as u64));
            } else {
                spare = piece;
            }
            at += read as u64;
        }
        if link.is_reusable() {
            self.lay_by(link);
        }
        match writing {
            Some(writing) => writing.await.map(|_| ()).ok_or(None),
            None => Ok(()),
        }
    }

    fn lay_by(&self, link: Link) {
        self.links.lock().unwrap_or_else(PoisonError::into_inner).insert(self.id, link);
    }

    /// Writes `piece[skip..]` at `offset`; gives the piece back, or nothing when the disk failed or the partial
    /// file is gone.
    fn write(
        &self,
        decision: &Decision,
        piece: Vec<u8>,
        skip: usize,
        offset: u64,
    ) -> impl Future<Output = Option<Vec<u8>>> + Send + Unpin + use<> {
        let (inner, live) = (Arc::clone(&self.inner), Arc::clone(&self.live));
        let (slot, source, small) = (decision.slot.clone(), self.id, decision.small);
        let write = move || {
            let written = slot.write(offset, &piece[skip..], |told| match told {
                Ok(Wrote { range, stored, judged }) => {
                    live.tell(Input::Wrote { source, range, stored });
                    tell_judged(&inner, &live, judged);
                }
                Err(error) => live.tell(disk_failed(error)),
            });
            // A small file is read once, when all of it is there.
            match if small { None } else { slot.behind() } {
                Some(behind) if behind.bytes <= AT_ONCE => behind.catch_up(),
                Some(behind) => drop(rt::spawn_blocking(move || behind.catch_up())),
                None => {}
            }
            written.map(|()| piece)
        };
        self.inner.lane.run_if(small, write)
    }
}

/// Connects to a source, or has it connect to us: when it said that it cannot be connected to, or turns out so.
pub(super) async fn connect(inner: &Inner, source: &Source, pushing: impl FnOnce()) -> Result<Link, Lost> {
    let mut failed = None;
    if source.reach == Reach::Direct {
        // Within a site a refusal means what it says; from outside it may be a wall that speaks.
        let nobody_there = |how: &Lost| *how == Lost::Refused && !is_public(source.addr.ip());
        match Link::connect(source.addr, FetchConfig::default()).await {
            Ok(link) => return Ok(link),
            Err(how) if source.servent.is_none() || nobody_there(&how) => return Err(how),
            Err(how) => failed = Some(how),
        }
    }
    pushing();
    // Of one that may be connected to at other times, why it could not says more.
    (inner.hooks.push)(source.clone()).await.map_err(|how| failed.unwrap_or(how))
}

/// The host that is asked, as a request names it.
pub(super) fn host(source: &Source, link: &Link) -> String {
    link.peer().filter(|_| source.is_nowhere()).unwrap_or(source.addr).to_string()
}

/// What the tree says of blocks.
pub(super) fn tell_judged(inner: &Inner, live: &Live, judged: Judged) {
    inner.verify_fails.fetch_add(judged.wrong.len() as u64, SeqCst);
    if !judged.is_empty() {
        live.tell(Input::Judged { right: judged.right, wrong: judged.wrong });
    }
}

/// What a failing disk means to the machine.
pub(super) fn disk_failed(error: DiskError) -> Input {
    match error.fault {
        Fault::Refused => Input::DiskFailed(error.words),
        Fault::Gone => Input::Gone(error.words),
        Fault::Altered => Input::Altered,
    }
}
