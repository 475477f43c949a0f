//! Connections back, decided: we ask sources that cannot be connected to, and call those who ask us.
//!
//! A source is asked by a Push along the way of its hit first; when that way is not there, or nothing comes of it,
//! through the push proxies that its hit named (`doc/gnutella/push_proxy`). Whom strangers make us dial is the
//! servent's to allow (`proto::push`); how many of those dials there are at a time is bounded here.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use data_encoding::BASE32_NOPAD;
use futures::channel::mpsc;

use crate::net::fetch::{FetchConfig, Link};
use crate::net::giv::{self, Callers, News};
use crate::net::rt::TcpStream;
use crate::net::{Handle, rt};
use crate::proto::{Command, PushBy, Word};
use crate::transfer::{Lost, Reach, Source};
use crate::wire::Guid;
use crate::wire::head::Headers;
use crate::wire::http::Request;
use crate::wire::push::Giv;

/// A source that was asked along the way of its hit has so long to call before its proxies are asked ...
const BY_WAY: Duration = Duration::from_secs(10);
/// ... and so long in all.
const IN_ALL: Duration = Duration::from_secs(30);
/// A source that may only be down, since nothing says that it is behind a wall, has a third of both.
const IN_DOUBT: u32 = 3;
/// Calls that we make at a time because strangers asked for them; more are left out. The servent allows seventy a minute, of
/// which each lasts ten seconds at most: those who name hosts that do not answer cannot take all.
const CALLS: usize = 16;
/// Of these, so many because of pushes that are no neighbour's own.
const CALLS_STRANGERS: usize = 12;
/// A push proxy has so long to take a connection, and to answer.
const PROXY_LIMIT: Duration = Duration::from_secs(10);
/// Connections that we opened and that wait to be served.
const TO_SERVE: usize = 8;

/// What a servent does about connections back.
#[derive(Debug)]
pub(super) struct Pushes {
    servent: Guid,
    handle: Handle,
    callers: Arc<Callers>,
    to_serve: mpsc::Sender<(TcpStream, SocketAddr)>,
    calling: AtomicUsize,
    calling_for_strangers: AtomicUsize,
    counts: Counts,
}

/// Totals since the start.
#[derive(Debug, Default)]
struct Counts {
    asked: AtomicU64,
    called_back: AtomicU64,
    calls: AtomicU64,
    calls_failed: AtomicU64,
    calls_left_out: AtomicU64,
}

impl Pushes {
    /// ... and the connections that are to be served.
    pub(super) fn new(servent: Guid, handle: Handle) -> (Arc<Self>, mpsc::Receiver<(TcpStream, SocketAddr)>) {
        let (to_serve, called) = mpsc::channel(TO_SERVE);
        let pushes = Self {
            servent,
            handle,
            callers: Arc::default(),
            to_serve,
            calling: AtomicUsize::new(0),
            calling_for_strangers: AtomicUsize::new(0),
            counts: Counts::default(),
        };
        (Arc::new(pushes), called)
    }

    /// For the listener: who is waited for.
    pub(super) fn callers(&self) -> Arc<Callers> {
        Arc::clone(&self.callers)
    }

    /// What it counts, by name.
    pub(super) fn counters(&self) -> [(&'static str, u64); 5] {
        let Counts { asked, called_back, calls, calls_failed, calls_left_out } = &self.counts;
        [
            ("push_asked", asked.load(SeqCst)),
            ("push_called_back", called_back.load(SeqCst)),
            ("push_dials", calls.load(SeqCst)),
            ("push_dials_failed", calls_failed.load(SeqCst)),
            ("push_dials_left_out", calls_left_out.load(SeqCst)),
        ]
    }

    /// Has a source connect to us.
    pub(super) async fn ask(self: Arc<Self>, source: Source) -> Result<Link, Lost> {
        let servent = source.servent.ok_or(Lost::NoWay)?;
        let mut expected = self.callers.expect(servent, source.addr.ip()).ok_or(Lost::NoWay)?;
        self.counts.asked.fetch_add(1, SeqCst);
        let (index, proxies) = (source.index, source.proxies);
        let share = if source.reach == Reach::Push { 1 } else { IN_DOUBT };
        let first = if proxies.is_empty() { IN_ALL } else { BY_WAY };
        let second = (!proxies.is_empty()).then(|| (PushBy::Proxies(proxies), (IN_ALL - BY_WAY) / share));
        let ways = [Some((PushBy::Way, first / share)), second];
        let mut lost = Lost::NoWay;
        for (by, patience) in ways.into_iter().flatten() {
            self.handle.command(Command::SendPush { servent, index, by });
            match expected.within(patience).await {
                Some(News::Called(caller)) => {
                    self.counts.called_back.fetch_add(1, SeqCst);
                    return Ok(Link::called(caller, FetchConfig::default()));
                }
                Some(News::NoWay) => {}
                None => lost = Lost::NotCalled,
            }
        }
        Err(lost)
    }

    /// The servent could not ask.
    pub(super) fn on_failed(&self, servent: Guid) {
        log::debug!(target: "filbert::net", "no way to ask {servent} for a connection");
        self.callers.no_way(servent);
    }

    /// The servent allows these proxies to be asked: one that says yes is enough.
    pub(super) fn on_ask_proxies(self: &Arc<Self>, servent: Guid, us: SocketAddr, proxies: Vec<SocketAddr>) {
        let pushes = Arc::clone(self);
        rt::spawn(async move {
            for proxy in proxies {
                match rt::timeout(PROXY_LIMIT, ask_proxy(proxy, servent, us)).await {
                    Ok(Ok(())) => return,
                    Ok(Err(why)) => log::debug!(target: "filbert::net", "push proxy {proxy} of {servent}: {why}"),
                    Err(late) => log::debug!(target: "filbert::net", "push proxy {proxy} of {servent}: {late}"),
                }
            }
            pushes.callers.no_way(servent);
        })
        .detach();
    }

    /// Somebody asks us to connect to `addr`, and may: we call, and serve what is asked there.
    pub(super) fn on_requested(self: &Arc<Self>, addr: SocketAddr, index: u32, word: Word) {
        // The name tells nothing that the asker does not know, so it is what a widely used client says.
        let giv = Giv { index, servent: self.servent, name: "file".to_owned() }.encode();
        self.call(addr, giv, Then::Serve, word);
    }

    /// A peer asks whether it can be connected to: it can see that for itself.
    pub(super) fn on_connect_back(self: &Arc<Self>, addr: SocketAddr) {
        // Two line ends, as a widely used client sends them: they begin nothing.
        self.call(addr, b"\n\n".to_vec(), Then::Close, Word::Neighbour);
    }

    fn call(self: &Arc<Self>, addr: SocketAddr, words: Vec<u8>, then: Then, word: Word) {
        if !self.begins(word) {
            self.counts.calls_left_out.fetch_add(1, SeqCst);
            return;
        }
        self.counts.calls.fetch_add(1, SeqCst);
        let pushes = Arc::clone(self);
        rt::spawn(async move {
            match (giv::call(addr, &words).await, then) {
                // With no room there, a listener that is gone or busy closes it.
                (Ok(stream), Then::Serve) => drop(pushes.to_serve.clone().try_send((stream, addr))),
                (Ok(_), Then::Close) => {}
                (Err(error), _) => {
                    pushes.counts.calls_failed.fetch_add(1, SeqCst);
                    log::debug!(target: "filbert::net", "cannot connect to {addr}, which asked for it: {error}");
                }
            }
            pushes.ended(word);
        })
        .detach();
    }

    /// Counts a call, if there may be one more.
    fn begins(&self, word: Word) -> bool {
        let strangers = usize::from(word == Word::Stranger);
        let for_strangers = self.calling_for_strangers.fetch_add(strangers, SeqCst);
        let all = self.calling.fetch_add(1, SeqCst);
        let may = all < CALLS && (strangers == 0 || for_strangers < CALLS_STRANGERS);
        if !may {
            self.ended(word);
        }
        may
    }

    fn ended(&self, word: Word) {
        self.calling_for_strangers.fetch_sub(usize::from(word == Word::Stranger), SeqCst);
        self.calling.fetch_sub(1, SeqCst);
    }
}

/// What comes after a call.
#[derive(Clone, Copy, Debug)]
enum Then {
    Serve,
    Close,
}

/// "X-Node: `<IP>:<PORT>` ... those in which the firewalled servent should send a GIV" (`push_proxy`, section 5).
async fn ask_proxy(proxy: SocketAddr, servent: Guid, us: SocketAddr) -> Result<(), String> {
    let target = format!("/gnutella/push-proxy?ServerId={}", BASE32_NOPAD.encode(&servent.0));
    let headers = Headers::default()
        .with("Host", proxy.to_string())
        .with("User-Agent", concat!("filbert/", env!("CARGO_PKG_VERSION")))
        .with("X-Node", us.to_string())
        .with("Connection", "close");
    let request = Request { method: "GET".into(), target, version: (1, 1), headers };
    let mut link = Link::connect(proxy, FetchConfig::default()).await.map_err(|lost| lost.to_string())?;
    let head = link.ask(&request).await.map_err(|lost| lost.to_string())?;
    match head.code {
        200..300 => Ok(()),
        code => Err(format!("it answered {code} {}", head.reason)),
    }
}
