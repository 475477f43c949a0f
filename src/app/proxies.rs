//! Push proxies, the HTTP side (`doc/gnutella/push_proxy`): whose we are, who is ours, and what we tell of that.
//!
//! A downloader asks `GET /gnutella/push-proxy?ServerId=BASE32` (or `/gnet/push-proxy?guid=HEX`) with `X-Node: IP:PORT`,
//! and we send a Push to the peer that it names: 202. It may name no other host than itself as the one to connect to;
//! within a site, where a host has several addresses, any host of the site. While others cannot connect to us, our
//! answers to downloaders name our own proxies, as real clients do.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;
use std::time::Instant;

use super::events::lock;
use crate::base::{Instant as Moment, TokenBucket};
use crate::net::Handle;
use crate::proto::{Command, Reachable};
use crate::wire::Guid;
use crate::wire::addr::{self, Scope, scope};
use crate::wire::features::Family;
use crate::wire::head::Headers;
use crate::wire::http::{Request, Response};

/// Requests in a second that we pass on, and at once.
const PER_SECOND: u32 = 10;
const BURST: u32 = 50;

/// What others cannot do with us, or we for others, because of walls.
pub(super) struct Proxies {
    servent: Guid,
    handle: Handle,
    state: Mutex<State>,
    began: Instant,
}

struct State {
    /// Peers whose push proxy we are.
    proxied: BTreeSet<Guid>,
    rate: TokenBucket,
    wall: Wall,
}

/// How others see us.
#[derive(Clone, Debug, Default)]
pub(super) struct Wall {
    pub(super) reachable: Reachable,
    pub(super) us: Option<SocketAddr>,
    pub(super) ipv6: bool,
    pub(super) proxies: Vec<SocketAddr>,
}

impl Proxies {
    pub(super) fn new(servent: Guid, handle: Handle) -> Self {
        let rate = TokenBucket::new(PER_SECOND, BURST, Moment::ZERO);
        let state = State { proxied: BTreeSet::new(), rate, wall: Wall::default() };
        Self { servent, handle, state: Mutex::new(state), began: Instant::now() }
    }

    /// We are a peer's push proxy, or are it no more.
    pub(super) fn on_proxied(&self, servent: Guid, proxied: bool) {
        let all = &mut lock(&self.state).proxied;
        if proxied {
            all.insert(servent)
        } else {
            all.remove(&servent)
        };
    }

    /// The servent has learnt how others see us.
    pub(super) fn on_reach(&self, wall: Wall) {
        log::info!(target: "filbert::net", "reachable: {}; push proxies: {:?}", wall.reachable.word(), wall.proxies);
        lock(&self.state).wall = wall;
    }

    pub(super) fn wall(&self) -> Wall {
        lock(&self.state).wall.clone()
    }

    /// Whether IPv6 addresses are of use to us, as far as we know while we talk to somebody there.
    pub(super) fn uses_ipv6(&self, there: IpAddr) -> bool {
        lock(&self.state).wall.ipv6 || there.to_canonical().is_ipv6()
    }

    /// What a downloader is told besides, so that it can have us connect to it next time; of proxies those of which it has use.
    pub(super) fn describe(&self, headers: &mut Headers, family: Family) {
        let wall = self.wall();
        if wall.reachable != Reachable::No {
            return;
        }
        let at = wall.us.map(|us| format!("; {}:{}", us.port(), us.ip())).unwrap_or_default();
        headers.push("X-FW-Node-Info", format!("{}{at}", self.servent));
        let proxies = wall.proxies.iter().filter(|proxy| family.takes(proxy.ip())).map(ToString::to_string);
        let proxies: Vec<_> = proxies.collect();
        if !proxies.is_empty() {
            headers.push("X-Push-Proxies", proxies.join(", "));
        }
    }

    /// Somebody asks us to pass a Push on.
    pub(super) fn pass_on(&self, request: &Request, servent: Option<Guid>, from: SocketAddr) -> Response {
        let node = request.headers.get("X-Node").and_then(addr::parse);
        let (Some(servent), Some(node)) = (servent, node.filter(|node| may_call(from, *node))) else {
            return answer(400, "Push Proxy: Bad Request");
        };
        let now = Moment::from_micros(u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX));
        let mut state = lock(&self.state);
        if !state.proxied.contains(&servent) {
            return answer(410, "Push Proxy: Servent not connected");
        }
        if !state.rate.take(1, now) {
            return answer(503, "Push Proxy: Busy");
        }
        drop(state);
        self.handle.command(Command::PushFor { servent, index: 0, to: node });
        answer(202, "Push Proxy: Message Sent")
    }
}

/// Whether who asks from there may have a peer of ours connect to `node`.
fn may_call(from: SocketAddr, node: SocketAddr) -> bool {
    let (from, there) = (from.ip().to_canonical(), node.ip());
    let near = scope(from) < Scope::World && scope(from) == scope(there);
    (from == there || near) && node.port() != 0 && !there.is_unspecified()
}

fn answer(code: u16, reason: &str) -> Response {
    let headers = Headers::default().with("Content-Length", "0");
    Response { code, reason: reason.to_owned(), version: (1, 1), headers }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_has_a_peer_of_ours_connect_to_a_third_host() {
        for (from, node, may) in [
            ("8.8.8.8:4000", "8.8.8.8:6346", true),
            ("8.8.8.8:4000", "9.9.9.9:6346", false),
            ("8.8.8.8:4000", "10.0.0.1:6346", false),
            ("10.0.0.2:4000", "10.0.0.1:6346", true),
            ("10.0.0.2:4000", "127.0.0.1:6346", false),
            ("10.0.0.2:4000", "8.8.8.8:6346", false),
            ("127.0.0.1:4000", "127.0.0.1:6346", true),
            ("8.8.8.8:4000", "8.8.8.8:0", false),
        ] {
            let read = |text: &str| text.parse().expect("an address");
            assert_eq!(may_call(read(from), read(node)), may, "{from} {node}");
        }
    }
}
