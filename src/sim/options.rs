//! How a world is, and what it tells.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use crate::base::Instant;
use crate::proto::Config;
use crate::wire::Guid;

use super::link::{Capacity, Latency};
use super::world::ServentId;

/// How a world is.
#[derive(Clone, Debug)]
pub struct WorldOptions {
    /// All chance comes from it.
    pub seed: u64,
    /// What the servents are made from; each gets its own servent GUID.
    pub config: Config,
    /// One-way latencies of links.
    pub latency: Latency,
    /// How much a link takes in each direction; `None` is as much as is sent.
    pub capacity: Option<Capacity>,
    /// How messages travel.
    pub hop: Hop,
    /// Who hears [`Output::Announce`](crate::proto::Output::Announce).
    pub lan: Lan,
    /// How long a dial to a host that gives no sign takes to fail.
    pub dial_timeout: Duration,
    /// Whether each [`Flood`](super::Flood) keeps every copy that arrived.
    pub steps: bool,
}

/// How messages and handshakes travel over a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hop {
    /// As values; payloads are shared by all.
    Shared,
    /// As bytes: encoded, cut, read and decoded on every hop, query and hit payloads too.
    Encoded,
}

/// Who hears an announcement on the local network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lan {
    /// Nobody: each is on a network of its own.
    Apart,
    /// All are on one.
    Shared,
}

/// A hit that came back to one who asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// When it came.
    pub at: Instant,
    /// Who asked.
    pub by: ServentId,
    /// The query's GUID.
    pub query: Guid,
    /// Who has it.
    pub source: SocketAddr,
    /// Links to the source.
    pub hops: u8,
    /// Names in the hit.
    pub names: Vec<String>,
}

/// The links that were to be are not all up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotSettled {
    /// How long we waited, in virtual time.
    pub waited: Duration,
    /// Links that are missing, by the numbers of their servents.
    pub missing: Vec<(ServentId, ServentId)>,
}

impl fmt::Display for NotSettled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, secs) = (self.missing.len(), self.waited.as_secs());
        write!(f, "{count} links are not up after {secs} virtual seconds, the first is {:?}", self.missing.first())
    }
}

impl std::error::Error for NotSettled {}

impl WorldOptions {
    /// The defaults for a seed: default servents, default latencies, links without limit.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            config: Config { vendor_messages: false, ..Config::new(Guid::default()) },
            latency: Latency::default(),
            capacity: None,
            hop: Hop::Shared,
            lan: Lan::Apart,
            dial_timeout: Duration::from_secs(5),
            steps: false,
        }
    }
}
