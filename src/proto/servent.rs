//! The servent itself: the conversation, dispatch only.

use crate::base::{Instant, Rng};

use super::{Config, Counters, HostInfo, Input, Outbox, PeerInfo};

/// One node of the network as a state machine.
#[derive(Debug)]
pub struct Servent {
    config: Config,
    counters: Counters,
    rng: Rng,
}

impl Servent {
    /// A servent without neighbours. It does nothing until it is told of hosts or of connections.
    pub fn new(config: Config, rng: Rng, _now: Instant) -> Self {
        Self { config, counters: Counters::default(), rng }
    }

    /// Something happened.
    pub fn handle(&mut self, _now: Instant, _input: Input, _out: &mut Outbox) {
        let _ = &self.rng;
    }

    /// The deadline of [`Self::next_timeout`] came.
    pub fn handle_timeout(&mut self, _now: Instant, _out: &mut Outbox) {}

    /// When to call [`Self::handle_timeout`]; ask again after each call of it or of [`Self::handle`].
    pub fn next_timeout(&self) -> Option<Instant> {
        None
    }

    /// The peers that we are linked to, in the order of their connections.
    pub fn peers(&self) -> Vec<PeerInfo> {
        Vec::new()
    }

    /// The hosts in the cache, the most promising first. Keep them and give them back with
    /// [`super::Command::AddHosts`] as [`super::HostSource::Cache`] in the next run.
    pub fn hosts(&self) -> Vec<HostInfo> {
        Vec::new()
    }

    /// Totals since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The settings in force; commands may have changed them.
    pub fn config(&self) -> &Config {
        &self.config
    }
}
