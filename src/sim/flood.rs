//! What the world saw of one query: measured on the links, not asked of the servents.
//!
//! The servents count too ([`crate::proto::Counters`]); that both agree is a test.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::Instant;
use crate::wire::{Frame, Guid, Header};

use super::ServentId;

/// A query on its way through the world.
#[derive(Clone, Debug)]
pub struct Flood {
    /// Its name.
    pub guid: Guid,
    /// Who asks.
    pub origin: ServentId,
    /// When the first copy left.
    pub began: Instant,
    /// When the last copy of it, or of a hit for it, arrived.
    pub ended: Instant,
    /// Copies of the query that left for a link: the cost of the flood.
    pub messages: u64,
    /// Bytes of these copies.
    pub bytes: u64,
    /// Copies that arrived at a servent that had seen the query, the origin included.
    pub duplicates: u64,
    /// Hits for it that left for a link, once for each link.
    pub hit_messages: u64,
    /// The first copy that each servent saw. The origin is not in here.
    pub seen: BTreeMap<ServentId, Sight>,
    /// Every copy that arrived, in order, if the world keeps them.
    pub steps: Vec<Step>,
}

/// The first copy of a query that a servent saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sight {
    /// When it came.
    pub at: Instant,
    /// From whom.
    pub from: ServentId,
    /// Links that it crossed: 1 from the origin.
    pub links: u8,
    /// Its TTL as it came.
    pub ttl: u8,
}

/// One copy of a query that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// When.
    pub at: Instant,
    /// The sender.
    pub from: ServentId,
    /// The receiver.
    pub to: ServentId,
    /// TTL on the wire.
    pub ttl: u8,
    /// Hops on the wire.
    pub hops: u8,
    /// What it was to the receiver.
    pub copy: Copy,
}

/// What a copy of a query was to the servent that it came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copy {
    /// The first.
    First,
    /// One of those that come later, or the origin's own that came back.
    Duplicate,
}

impl Flood {
    pub(super) fn new(guid: Guid, origin: ServentId, now: Instant) -> Self {
        Self {
            guid,
            origin,
            began: now,
            ended: now,
            messages: 0,
            bytes: 0,
            duplicates: 0,
            hit_messages: 0,
            seen: BTreeMap::new(),
            steps: Vec::new(),
        }
    }

    /// Servents that saw the query, the origin included. Every copy is a first one or a duplicate, so
    /// `messages == reach - 1 + duplicates` once all copies have arrived.
    pub fn reach(&self) -> usize {
        1 + self.seen.len()
    }

    /// The most links that a first copy crossed.
    pub fn depth(&self) -> u8 {
        self.seen.values().map(|sight| sight.links).max().unwrap_or(0)
    }

    /// From the first copy's leaving to the last arrival.
    pub fn took(&self) -> Duration {
        self.ended - self.began
    }

    pub(super) fn on_sent(&mut self, frame: &Frame) {
        self.messages += 1;
        self.bytes += frame.wire_len() as u64;
    }

    pub(super) fn on_arrived(&mut self, now: Instant, from: ServentId, to: ServentId, header: &Header) -> Copy {
        self.ended = now;
        if to == self.origin || self.seen.contains_key(&to) {
            self.duplicates += 1;
            return Copy::Duplicate;
        }
        let links = header.hops.saturating_add(1);
        self.seen.insert(to, Sight { at: now, from, links, ttl: header.ttl });
        Copy::First
    }
}
