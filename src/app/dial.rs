//! Links that the user asks for by name: looked up, dialled, and told how it went.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::{Either, join_all, select};

use super::events::lock;
use super::inner::Inner;
use super::resolve::HostPort;
use super::view::PeerView;
use super::{Error, ErrorCode, words};
use crate::net::rt;
use crate::proto::{CloseReason, Command, DialFailure};

/// How long we wait for a link: a dial and a handshake take at most ten seconds each.
const LINK_LIMIT: Duration = Duration::from_secs(21);
/// A name that cannot be looked up is tried again after this; the wait doubles each time ...
const FIRST_WAIT: Duration = Duration::from_secs(5);
/// ... up to this.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// No event tells that an address turned out to be another one of a peer: it is looked for that often.
const LOOK: Duration = Duration::from_millis(200);

impl Inner {
    /// The peer at that address, by what it tells of itself or by its transport.
    pub(super) async fn peer_at(&self, addr: SocketAddr) -> Option<PeerView> {
        let (peers, now) = self.handle.inspect(|servent, now| (servent.peers(), now)).await?;
        peers.iter().find(|peer| peer.addr == addr || peer.remote == addr).map(|peer| words::peer(peer, now))
    }

    /// Links to a host. The addresses of a name are tried in turn, and those that did not do are given up for
    /// the one that did; if none does, the servent tries them all again from time to time.
    pub(super) async fn connect(&self, host: &HostPort) -> Result<PeerView, Error> {
        let addrs = host.resolve().await?;
        let mut last = Error::new(ErrorCode::NotFound, format!("cannot connect to {host}: it has no address"));
        for (n, &addr) in addrs.iter().enumerate() {
            match rt::timeout(LINK_LIMIT, self.link_to(addr)).await {
                Ok(Ok(view)) => {
                    for &given_up in &addrs[..n] {
                        self.handle.command(Command::Disconnect(given_up));
                    }
                    return Ok(view);
                }
                Ok(Err(error)) => last = error,
                Err(rt::TimedOut) => {
                    last = Error::new(ErrorCode::TimedOut, format!("cannot connect to {addr}: no answer"))
                        .hint("It is tried again from time to time; `filbert peers` shows when it is there");
                }
            }
        }
        Err(last)
    }

    /// Has all these hosts linked, also those whose names cannot be looked up yet.
    pub(super) async fn connect_all(self: Arc<Self>, hosts: Vec<HostPort>) {
        join_all(hosts.iter().map(|host| self.keep_trying(host))).await;
    }

    async fn keep_trying(&self, host: &HostPort) {
        let mut wait = FIRST_WAIT;
        loop {
            match self.connect(host).await {
                // A host that has an address is the servent's to dial again.
                Err(error) if error.code == ErrorCode::NotFound => self.warn(error.to_string()),
                Err(error) => return log::info!(target: "filbert", "{error}"),
                Ok(_) => return,
            }
            rt::sleep(wait).await;
            wait = (2 * wait).min(LONGEST_WAIT);
        }
    }

    async fn link_to(&self, addr: SocketAddr) -> Result<PeerView, Error> {
        let (failed, mut failure) = oneshot::channel();
        {
            let mut dials = lock(&self.dials);
            dials.retain(|(_, waiter)| !waiter.is_canceled());
            dials.push((addr, failed));
        }
        self.handle.command(Command::Connect(addr));
        loop {
            let rings = self.linked.rings();
            // Links may be up already, or come up under the address that the peer tells of itself.
            if let Some(view) = self.peer_at(addr).await {
                return Ok(view);
            }
            let news = select(Box::pin(self.linked.after(rings)), Box::pin(rt::sleep(LOOK)));
            match select(news, failure).await {
                Either::Left((_, still)) => failure = still,
                Either::Right((Ok(reason), _)) => return Err(not_linked(addr, &reason)),
                Either::Right((Err(_), _)) => {
                    return Err(Error::new(ErrorCode::Failed, format!("cannot connect to {addr}: going down")));
                }
            }
        }
    }
}

fn not_linked(addr: SocketAddr, reason: &CloseReason) -> Error {
    let code = match reason {
        CloseReason::Refused(..) | CloseReason::WeRefused(..) | CloseReason::Ourselves => ErrorCode::Refused,
        CloseReason::HandshakeTimeout | CloseReason::Dial(DialFailure::TimedOut) => ErrorCode::TimedOut,
        _ => ErrorCode::Failed,
    };
    let hint = match reason {
        CloseReason::Refused(503, _) => "It is full; it is tried again from time to time",
        CloseReason::Ourselves => "Name another servent",
        CloseReason::Garbage(_) => "Is that the port of a servent? Peers listen on 6346 by default",
        _ => "Check the address and that a servent runs there; it is tried again from time to time",
    };
    Error::new(code, format!("cannot connect to {addr}: {}", words::reason(reason))).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_there_is_no_link_reads_as_two_sentences() {
        let addr = SocketAddr::from(([10, 0, 0, 1], 6346));
        let table = [
            (
                CloseReason::Dial(DialFailure::Refused),
                "cannot connect to 10.0.0.1:6346: nobody listens there. Check the address and that a servent runs there; \
                 it is tried again from time to time",
            ),
            (
                CloseReason::Refused(503, "Slots full".into()),
                "cannot connect to 10.0.0.1:6346: it refused: 503 Slots full. It is full; it is tried again from time to \
                 time",
            ),
            (
                CloseReason::Ourselves,
                "cannot connect to 10.0.0.1:6346: it is this servent itself. Name another servent",
            ),
            (
                CloseReason::Garbage("no head".into()),
                "cannot connect to 10.0.0.1:6346: it sent what no servent sends (no head). Is that the port of a servent? \
                 Peers listen on 6346 by default",
            ),
        ];
        for (reason, text) in table {
            assert_eq!(not_linked(addr, &reason).to_string(), text);
        }
    }
}
