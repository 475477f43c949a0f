//! Host caches that the user configured: asked for hosts while no peer is found in any other way, ever more rarely.
//!
//! ```text
//! udp:HOST:PORT         a UDP host cache: a Ping with GGEP `SCP`, answered with `IPP` (`proto::datagrams`)
//! http://HOST/PATH      a GWebCache 2 (`gwcache`): `?client=FLBT&version=...&get=1&net=gnutella`, answered with `h|IP:PORT|AGE`
//! ```
//! Nobody is asked who was not configured; what caches name are strangers' hosts, dialled within their budget. Nothing of
//! ours is told to them: we do not send the `update` request.
//!
//! Bounds: [`CACHES`] of them, an answer of [`ANSWER`] bytes and [`HOSTS`] hosts, an HTTP cache once in
//! [`HTTP_PAUSE`], restarts included.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::inner::Inner;
use super::kept_hosts::unix_now;
use super::resolve::HostPort;
use super::{Error, ErrorCode};
use crate::net::fetch::{FetchConfig, Link};
use crate::net::rt;
use crate::proto::{Command, HostSource};
use crate::wire::addr::scope;
use crate::wire::head::Headers;
use crate::wire::http::Request;

/// Caches that can be configured.
const CACHES: usize = 32;
/// An answer of an HTTP cache, and the hosts that are read from it.
const ANSWER: usize = 16 * 1024;
const HOSTS: usize = 100;
/// Other ways to find peers come first; then the caches are asked, and again after this, doubled up to the last.
const FIRST: Duration = Duration::from_secs(3);
const LAST: Duration = Duration::from_secs(3600);
/// "A client should not send more than one request per hour to a cache."
const HTTP_PAUSE: Duration = Duration::from_secs(3600);

/// A cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cache {
    Udp(HostPort),
    Http { host: HostPort, path: String },
}

impl Cache {
    /// Reads what was configured.
    pub(super) fn parse_all(texts: &[String]) -> Result<Vec<Self>, Error> {
        if texts.len() > CACHES {
            let message = format!("{} host caches are too many", texts.len());
            return Err(Error::new(ErrorCode::Usage, message).hint(format!("At most {CACHES}")));
        }
        texts.iter().map(|text| Self::parse(text)).collect()
    }

    fn parse(text: &str) -> Result<Self, Error> {
        if let Some(host) = text.strip_prefix("udp:") {
            return Ok(Self::Udp(HostPort::parse(host)?));
        }
        let Some(rest) = text.strip_prefix("http://") else {
            return Err(Error::new(ErrorCode::Usage, format!("{text:?} is no host cache"))
                .hint("A host cache is udp:HOST:PORT or http://HOST/PATH"));
        };
        let (host, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
        let port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let host = if port { host.to_owned() } else { format!("{host}:80") };
        Ok(Self::Http { host: HostPort::parse(&host)?, path: path.to_owned() })
    }
}

impl Inner {
    /// Asks the caches while there is no peer.
    pub(super) async fn bootstrap(self: Arc<Self>, caches: Vec<Cache>) {
        if caches.is_empty() {
            return;
        }
        let kept = self.kept.clone();
        let mut asked = rt::spawn_blocking(move || kept.caches_asked()).await;
        // Whom nobody configured any more, or whose pause is over, need not be remembered.
        asked.retain(|name, at| caches.iter().any(|cache| cache.to_string() == *name) && is_early(*at, unix_now()));
        let mut wait = FIRST;
        loop {
            rt::sleep(wait).await;
            wait = (2 * wait).min(LAST);
            if self.is_linked().await {
                continue;
            }
            let mut by_udp = Vec::new();
            for cache in &caches {
                match cache {
                    Cache::Udp(host) => by_udp.extend(host.resolve().await.unwrap_or_default()),
                    Cache::Http { .. } if asked.get(&cache.to_string()).is_some_and(|at| is_early(*at, unix_now())) => {
                    }
                    Cache::Http { host, path } => {
                        // Written before it is asked: a restart does not ask again.
                        asked.insert(cache.to_string(), unix_now());
                        let (kept, now_asked) = (self.kept.clone(), asked.clone());
                        if let Err(error) = rt::spawn_blocking(move || kept.keep_caches_asked(&now_asked)).await {
                            self.warn(error.to_string());
                        }
                        match ask_by_http(host, path).await {
                            Ok(hosts) => {
                                let named = hosts.into_iter().map(|addr| (addr, HostSource::Stranger)).collect();
                                self.handle.command(Command::AddHosts(named));
                            }
                            Err(why) => self.warn(format!("the host cache http://{host}{path} does not help: {why}")),
                        }
                    }
                }
            }
            if !by_udp.is_empty() {
                self.handle.command(Command::AskCaches(by_udp));
            }
        }
    }
}

/// Whether it is too early to ask a cache again that was asked `at`; a clock that was put back a little changes nothing.
fn is_early(at: u64, now: u64) -> bool {
    at.abs_diff(now) < HTTP_PAUSE.as_secs()
}

impl fmt::Display for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Udp(host) => write!(f, "udp:{host}"),
            Self::Http { host, path } => write!(f, "http://{host}{path}"),
        }
    }
}

async fn ask_by_http(host: &HostPort, path: &str) -> Result<Vec<SocketAddr>, String> {
    let addrs = host.resolve().await.map_err(|error| error.to_string())?;
    let addr = addrs.first().copied().ok_or("it has no address")?;
    let mut link = Link::connect(addr, FetchConfig::default()).await.map_err(|lost| format!("{lost:?}"))?;
    let mark = if path.contains('?') { '&' } else { '?' };
    let version = env!("CARGO_PKG_VERSION");
    let request = Request {
        method: "GET".into(),
        target: format!("{path}{mark}client=FLBT&version={version}&get=1&net=gnutella"),
        version: (1, 1),
        headers: Headers::default()
            .with("Host", host.to_string())
            .with("User-Agent", concat!("filbert/", env!("CARGO_PKG_VERSION")))
            .with("Connection", "close"),
    };
    let head = link.ask(&request).await.map_err(|lost| format!("{lost:?}"))?;
    if head.code != 200 {
        return Err(format!("it answers {} {}", head.code, head.reason));
    }
    let mut answer = vec![0; ANSWER];
    let mut filled = 0;
    while filled < ANSWER {
        match link.read(&mut answer[filled..]).await {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(lost) => return Err(format!("{lost:?}")),
        }
    }
    let hosts = hosts_of(addr.ip(), &String::from_utf8_lossy(&answer[..filled]));
    if hosts.is_empty() { Err("its answer names no host".to_owned()) } else { Ok(hosts) }
}

/// The hosts that the cache at `cache` names. Nobody out there makes us knock at doors of our own network.
fn hosts_of(cache: IpAddr, answer: &str) -> Vec<SocketAddr> {
    let mut hosts = hosts_in(answer);
    hosts.retain(|host| scope(host.ip()) >= scope(cache));
    hosts
}

/// The hosts in an answer: lines `h|IP:PORT|AGE`, or of the first version `IP:PORT`.
fn hosts_in(answer: &str) -> Vec<SocketAddr> {
    let host = |line: &str| {
        let line = line.trim();
        let host = line.strip_prefix("h|").or(line.strip_prefix("H|")).unwrap_or(line);
        host.split('|').next()?.parse().ok()
    };
    answer.lines().filter_map(host).take(HOSTS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_is_named_by_how_it_is_asked() {
        let http =
            |host: &str, path: &str| Cache::Http { host: HostPort::parse(host).expect(host), path: path.to_owned() };
        let udp = |host: &str| Cache::Udp(HostPort::parse(host).expect(host));
        for (text, cache) in [
            ("udp:cache.example:9000", Some(udp("cache.example:9000"))),
            ("udp:[::1]:6346", Some(udp("[::1]:6346"))),
            ("http://cache.example/gwc.php", Some(http("cache.example:80", "/gwc.php"))),
            ("http://cache.example:8080", Some(http("cache.example:8080", "/"))),
            ("https://cache.example/", None),
            ("cache.example", None),
            ("http:///x", None),
        ] {
            assert_eq!(Cache::parse(text).ok(), cache, "{text}");
        }
        assert!(Cache::parse_all(&vec!["udp:a:1".to_owned(); CACHES + 1]).is_err());
    }

    #[test]
    fn a_cache_has_its_hour_whatever_the_clock_does() {
        for (at, now, early) in
            [(1000, 1000, true), (1000, 4599, true), (1000, 4600, false), (4599, 1000, true), (9000, 1000, false)]
        {
            assert_eq!(is_early(at, now), early, "asked at {at}, now {now}");
        }
    }

    #[test]
    fn a_cache_names_no_host_that_reaches_less_far_than_itself() {
        let answer = "h|8.8.8.8:6346|1\nh|192.168.1.1:80|1\nh|127.0.0.1:8080|1\n10.0.0.1:6346\nh|169.254.1.1:99|1\n\
            h|[::1]:6346|1\nh|[fe80::1]:6346|1\nh|[fd00::1]:6346|1\nh|[::ffff:192.168.1.1]:6346|1\n\
            h|[2606:4700::1]:6346|1\n";
        let named = |cache: &str| {
            let hosts = hosts_of(cache.parse().expect("an address"), answer);
            hosts.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(named("9.9.9.9"), ["8.8.8.8:6346", "[2606:4700::1]:6346"]);
        assert_eq!(named("2606:4700::2"), named("9.9.9.9"));
        assert_eq!(named("::ffff:9.9.9.9"), named("9.9.9.9"));
        assert_eq!(named("10.0.0.9").len(), 8, "a site's own cache names its hosts: {:?}", named("10.0.0.9"));
        assert_eq!(named("127.0.0.1").len(), 10, "one on this machine names all");
    }

    #[test]
    fn hosts_are_read_from_answers_of_both_versions() {
        let answer =
            "I|pong|x 1.0\r\nh|1.2.3.4:6346|60\r\nH|5.6.7.8:80|1|a\nu|http://other/|5\n9.9.9.9:1\nh|nonsense|1\n<html>";
        let hosts: Vec<String> = hosts_in(answer).iter().map(ToString::to_string).collect();
        assert_eq!(hosts, ["1.2.3.4:6346", "5.6.7.8:80", "9.9.9.9:1"]);
        let many: String = (0..1000).map(|n| format!("h|1.2.{}.{}:6346|1\n", n / 250, n % 250)).collect();
        assert_eq!(hosts_in(&many).len(), HOSTS);
    }
}
