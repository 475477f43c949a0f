//! Connections back, both ways (0.6 draft, section 3.2).
//!
//! Who was asked to connect to us begins with `GIV INDEX:SERVENT/NAME`: [`Callers`] knows whom somebody waits for, and
//! hands the connection over; nobody else's is taken. Where the source's own address is public, only a caller from
//! there counts: everybody who saw its hit knows its name. Who asks us to connect gets the same line from us
//! ([`call`]), and is then served as if it had dialled.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::channel::mpsc;
use futures::{AsyncWriteExt, StreamExt};

use super::rt::{self, TcpStream};
use super::zone;
use crate::wire::Guid;
use crate::wire::addr::{is_public, subnet};
use crate::wire::push::Giv;

/// Callers that are waited for at the same time.
pub const WAITED_FOR: usize = 64;
/// A connection that we were asked to open: to be accepted, and to take our line.
const CALL_LIMIT: Duration = Duration::from_secs(10);
/// News that one who waits has not looked at.
const NEWS: usize = 2;

/// Those who were asked to connect to us.
#[derive(Debug, Default)]
pub struct Callers(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    waiting: Vec<Waiting>,
    next: u64,
}

#[derive(Debug)]
struct Waiting {
    number: u64,
    servent: Guid,
    /// Where it is, if that says from where it will call.
    at: Option<IpAddr>,
    tell: mpsc::Sender<News>,
}

/// What became of a call that somebody waits for.
#[derive(Debug)]
pub enum News {
    /// It came.
    Called(Caller),
    /// There was no way to ask for it.
    NoWay,
}

/// A connection that was opened to us and awaits a request.
#[derive(Debug)]
pub struct Caller {
    pub(super) stream: TcpStream,
    /// Read behind its line.
    pub(super) ahead: Vec<u8>,
}

/// Waits for one caller; when it is dropped, nobody waits any more.
#[derive(Debug)]
pub struct Expected {
    callers: Arc<Callers>,
    number: u64,
    news: mpsc::Receiver<News>,
}

impl Callers {
    /// From now on a call of `servent` is waited for, which its hit said is at `at`; `None` when too many are.
    pub fn expect(self: &Arc<Self>, servent: Guid, at: IpAddr) -> Option<Expected> {
        let (tell, news) = mpsc::channel(NEWS);
        let mut table = self.table();
        if table.waiting.len() >= WAITED_FOR {
            return None;
        }
        let number = table.next;
        table.next += 1;
        // Of one that is known by its GUID alone nobody knows where it calls from.
        let at = (is_public(at) && !at.is_unspecified()).then(|| subnet(at));
        table.waiting.push(Waiting { number, servent, at, tell });
        Some(Expected { callers: Arc::clone(self), number, news })
    }

    /// There was no way to ask that servent.
    pub fn no_way(&self, servent: Guid) {
        for waiting in self.table().waiting.iter_mut().filter(|waiting| waiting.servent == servent) {
            let _ = waiting.tell.try_send(News::NoWay);
        }
    }

    /// Somebody calls: whoever waits for it, longest first, gets the connection. Else it is closed: whether it was taken.
    pub(super) fn take(&self, giv: &Giv, from: IpAddr, stream: TcpStream, ahead: Vec<u8>) -> bool {
        let mut table = self.table();
        let meant = |waiting: &Waiting| {
            let same_kind = |at: IpAddr| at.is_ipv4() == from.to_canonical().is_ipv4();
            waiting.servent == giv.servent && waiting.at.is_none_or(|at| at == subnet(from) || !same_kind(at))
        };
        let Some(at) = table.waiting.iter().position(meant) else { return false };
        // One call is for one who waits.
        let mut waiting = table.waiting.remove(at);
        waiting.tell.try_send(News::Called(Caller { stream, ahead })).is_ok()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Expected {
    /// What comes within `limit`; `None` when nothing does.
    pub async fn within(&mut self, limit: Duration) -> Option<News> {
        rt::timeout(limit, self.news.next()).await.ok().flatten()
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        self.callers.table().waiting.retain(|waiting| waiting.number != self.number);
    }
}

/// Opens a connection to who asked for it, and says these first words.
pub async fn call(addr: SocketAddr, words: &[u8]) -> io::Result<TcpStream> {
    let call = async {
        let mut stream = zone::connect(addr).await?;
        stream.write_all(words).await?;
        Ok(stream)
    };
    rt::timeout(CALL_LIMIT, call).await.unwrap_or_else(|late| Err(late.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::rt::TcpListener;

    fn giv(servent: u8) -> Giv {
        Giv { index: 1, servent: Guid([servent; 16]), name: "file".into() }
    }

    /// A connection to hand over.
    async fn stream() -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        TcpStream::connect(listener.local_addr().expect("an address")).await.expect("it listens")
    }

    #[test]
    fn a_call_is_for_one_who_waits_for_that_servent_at_that_place_and_for_nobody_else() {
        rt::block_on(async {
            let callers = Arc::new(Callers::default());
            let [near, public, other]: [IpAddr; 3] =
                ["127.0.0.1", "8.8.8.8", "9.9.9.9"].map(|ip| ip.parse().expect("an address"));
            assert!(!callers.take(&giv(1), near, stream().await, Vec::new()), "nobody waits");
            let mut first = callers.expect(Guid([1; 16]), near).expect("room");
            let mut second = callers.expect(Guid([1; 16]), near).expect("room");
            let far = callers.expect(Guid([2; 16]), public).expect("room");
            assert!(!callers.take(&giv(3), near, stream().await, Vec::new()), "another servent");
            assert!(!callers.take(&giv(2), other, stream().await, Vec::new()), "by its name, but not from there");
            assert!(callers.take(&giv(1), other, stream().await, vec![7]), "within a site a host has many addresses");
            let News::Called(caller) = first.within(Duration::ZERO).await.expect("news") else { panic!("a call") };
            assert_eq!(caller.ahead, [7]);
            assert!(second.within(Duration::from_millis(1)).await.is_none(), "one call is for one");
            callers.no_way(Guid([1; 16]));
            assert!(matches!(second.within(Duration::from_millis(1)).await, Some(News::NoWay)));
            drop((first, second, far));
            assert!(!callers.take(&giv(1), near, stream().await, Vec::new()), "nobody waits any more");
            let all: Vec<_> = (0..100).map_while(|n| callers.expect(Guid([n; 16]), near)).collect();
            assert_eq!(all.len(), WAITED_FOR);
        });
    }
}
