//! The limits that can be set: `[limits]` in `config.toml`, each with what it is for.
//!
//! What they do when they are hit is said where they act: [`crate::proto::Limits`] for messages,
//! [`UploadsConfig`] for files.

use crate::proto;
use crate::proto::Rate;

use super::uploads::UploadsConfig;

/// Every limit, as the servent is started with it.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Those of messages, tables and dials.
    pub messages: proto::Limits,
    /// Those of uploads.
    pub uploads: UploadsConfig,
    /// Downloads that connect or receive at a time; the others wait.
    pub downloads: usize,
    /// Peers accepted in all; 0 is max(32, 2 x neighbours).
    pub peers: usize,
    /// Leaves accepted in all.
    pub leaves: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            messages: proto::Limits::default(),
            uploads: UploadsConfig::default(),
            downloads: 16,
            peers: 0,
            leaves: 300,
        }
    }
}

/// A limit that can be set.
#[derive(Clone, Copy, Debug)]
pub struct LimitKey {
    /// Its name: `limits.` and the one in the table `[limits]`.
    pub name: &'static str,
    /// What it bounds.
    pub what: &'static str,
    field: Field,
}

#[derive(Clone, Copy, Debug)]
enum Field {
    Rate(fn(&mut Limits) -> &mut Rate),
    Number(fn(&mut Limits) -> &mut usize),
}

/// Every limit that can be set.
pub const LIMITS: &[LimitKey] = &[
    rate("limits.queries", "queries a second that one neighbour may send, and how many at once", |l| {
        &mut l.messages.queries
    }),
    rate("limits.pings", "pings a second that one neighbour may send, and how many at once", |l| &mut l.messages.pings),
    rate("limits.hits", "hits and pongs a second that one neighbour may send, and how many at once", |l| {
        &mut l.messages.hits
    }),
    rate("limits.pushes", "pushes a second that one neighbour may send, and how many at once", |l| {
        &mut l.messages.pushes
    }),
    number("limits.queue_bytes", "bytes that wait for a slow neighbour", |l| &mut l.messages.queue_bytes),
    number("limits.seen", "message names remembered to suppress duplicates", |l| &mut l.messages.seen),
    number("limits.seen_max", "the same under load, while none of them is ten minutes old", |l| {
        &mut l.messages.seen_max
    }),
    number("limits.routes", "ways back remembered, for each kind of message", |l| &mut l.messages.routes),
    number("limits.hosts", "hosts kept in the cache", |l| &mut l.messages.hosts),
    number("limits.stranger_dials", "dials in a minute to public hosts that only strangers named", |l| {
        &mut l.messages.stranger_dials_per_minute
    }),
    number("limits.stranger_dials_per_host", "the same in an hour to one address and port", |l| {
        &mut l.messages.stranger_dials_per_host_hour
    }),
    number("limits.handshakes", "handshakes under way at a time", |l| &mut l.messages.handshakes),
    number("limits.answer_entries", "files that answer one query", |l| &mut l.messages.answer_entries),
    number("limits.peers", "peers accepted in all; 0 is max(32, 2 x neighbours)", |l| &mut l.peers),
    number("limits.leaves", "leaves accepted in all", |l| &mut l.leaves),
    number("limits.uploads", "files sent at a time", |l| &mut l.uploads.slots),
    number("limits.uploads_per_address", "files sent at a time to one public address", |l| {
        &mut l.uploads.slots_per_address
    }),
    number("limits.upload_places", "requests for files that wait in the queue", |l| &mut l.uploads.places),
    number("limits.downloads", "files fetched at a time", |l| &mut l.downloads),
];

const fn rate(name: &'static str, what: &'static str, field: fn(&mut Limits) -> &mut Rate) -> LimitKey {
    LimitKey { name, what, field: Field::Rate(field) }
}

const fn number(name: &'static str, what: &'static str, field: fn(&mut Limits) -> &mut usize) -> LimitKey {
    LimitKey { name, what, field: Field::Number(field) }
}

impl LimitKey {
    /// The value in `limits`, as it would be typed.
    pub fn text(&self, limits: &Limits) -> String {
        let mut limits = limits.clone();
        match self.field {
            Field::Number(field) => field(&mut limits).to_string(),
            Field::Rate(field) => match *field(&mut limits) {
                Rate::OFF => "off".to_owned(),
                Rate { per_second, burst } => format!("{per_second}/{burst}"),
            },
        }
    }

    /// Sets it to what was typed: a number, for rates `RATE` or `RATE/BURST`, or `off`. Else what would be right.
    pub fn set(&self, limits: &mut Limits, text: &str) -> Result<(), String> {
        let text = text.trim();
        match self.field {
            Field::Number(field) => {
                let off = (text == "off").then_some(usize::MAX);
                let number = off.or_else(|| text.parse().ok());
                *field(limits) = number.ok_or_else(|| format!("{text:?} is neither a number nor off"))?;
            }
            Field::Rate(field) => {
                *field(limits) = read_rate(text).ok_or_else(|| format!("{text:?} is neither RATE/BURST nor off"))?;
            }
        }
        Ok(())
    }
}

fn read_rate(text: &str) -> Option<Rate> {
    if text == "off" {
        return Some(Rate::OFF);
    }
    let (per_second, burst) = text.split_once('/').unwrap_or((text, text));
    Some(Rate { per_second: per_second.trim().parse().ok()?, burst: burst.trim().parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_can_be_written_as_it_is_read() {
        for key in LIMITS {
            let mut limits = Limits::default();
            let text = key.text(&limits);
            key.set(&mut limits, &text).expect(key.name);
            assert_eq!(key.text(&limits), text, "{}", key.name);
            key.set(&mut limits, "7").expect(key.name);
            assert_ne!(key.text(&limits), text, "{}", key.name);
            key.set(&mut limits, "off").expect(key.name);
            assert!(key.set(&mut limits, "many").is_err(), "{}", key.name);
        }
    }

    #[test]
    fn a_rate_has_a_burst() {
        assert_eq!(read_rate("50/500"), Some(Rate { per_second: 50, burst: 500 }));
        assert_eq!(read_rate("50"), Some(Rate { per_second: 50, burst: 50 }));
        assert_eq!(read_rate("off"), Some(Rate::OFF));
        assert_eq!(read_rate("-1"), None);
    }
}
