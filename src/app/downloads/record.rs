//! What is kept of a download: enough to go on after a crash, or to tell how it ended.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::turns::Priority;
use crate::app::ErrorCode;
use crate::disk::{Journalled, OnExists};
use crate::transfer::{Ask, Expected, MAX_PROXIES, Reach, Source};

/// Downloads that are over are remembered up to this many.
const KEPT: usize = 500;

/// `transfers.json`, and what `transfers.log` says has changed since.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Saved {
    /// The next number that was never used.
    pub(super) next_id: u64,
    /// By their ids; written as a list.
    #[serde(with = "as_list")]
    pub(super) downloads: BTreeMap<u64, Record>,
}

/// A line of `transfers.log`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Change {
    /// Numbers below this one are used, or may be.
    NextId(u64),
    /// A download as it is now, a new one too.
    Put(Box<Record>),
}

impl Saved {
    /// The first number that nobody has, one that the state forgot to count among them.
    pub(super) fn free_id(&self) -> u64 {
        let highest = self.downloads.last_key_value().map_or(0, |(id, _)| *id);
        self.next_id.max(highest.saturating_add(1)).max(1)
    }
}

impl Journalled for Saved {
    type Change = Change;

    fn apply(&mut self, change: Change) {
        match change {
            Change::NextId(next) => self.next_id = self.next_id.max(next),
            Change::Put(record) => drop(self.downloads.insert(record.id, *record)),
        }
    }

    /// Of those that are over, the oldest go.
    fn tidy(&mut self) {
        let over = self.downloads.values().filter(|record| record.standing.is_over()).count();
        let mut too_many = over.saturating_sub(KEPT);
        self.downloads.retain(|_, record| {
            let goes = too_many > 0 && record.standing.is_over();
            too_many -= usize::from(goes);
            !goes
        });
    }
}

mod as_list {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serializer};

    use super::Record;

    pub(super) fn serialize<S: Serializer>(all: &BTreeMap<u64, Record>, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(all.values())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<u64, Record>, D::Error> {
        let list = Vec::<Record>::deserialize(from)?;
        Ok(list.into_iter().map(|record| (record.id, record)).collect())
    }
}

/// How it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Standing {
    /// It goes on by itself.
    Unfinished,
    /// The user paused it.
    Paused,
    /// It is over: see the path.
    Done,
    /// It is over: see the error.
    Failed,
    /// The user did not want it any more.
    Cancelled,
}

impl Standing {
    pub(super) fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled)
    }
}

/// One download.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) id: u64,
    /// Sanitised.
    pub(super) name: String,
    /// Whether somebody gave it that name; if not, a source may.
    #[serde(default)]
    pub(super) named: bool,
    #[serde(default)]
    pub(super) sha1: Option<String>,
    #[serde(default)]
    pub(super) tth: Option<String>,
    #[serde(default)]
    pub(super) blake3: Option<String>,
    pub(super) size: Option<u64>,
    /// Whether that is only what a source said.
    #[serde(default)]
    pub(super) size_heard: bool,
    pub(super) dir: PathBuf,
    #[serde(default)]
    pub(super) on_exists: Option<String>,
    /// Who goes first among those that wait.
    #[serde(default)]
    pub(super) priority: Priority,
    /// The partial file's name, once there is one.
    #[serde(default)]
    pub(super) part: Option<String>,
    pub(super) standing: Standing,
    /// Bytes that counted when this was written.
    #[serde(default)]
    pub(super) done: u64,
    #[serde(default)]
    pub(super) reason: String,
    #[serde(default)]
    pub(super) error: Option<ErrorCode>,
    #[serde(default)]
    pub(super) sources: Vec<SourceRecord>,
    /// Milliseconds since 1970.
    pub(super) created_ms: u64,
    /// Milliseconds that it ran, in all runs.
    #[serde(default)]
    pub(super) elapsed_ms: u64,
    /// The finished file.
    #[serde(default)]
    pub(super) path: Option<PathBuf>,
    /// When that was written last, in nanoseconds since 1970: a file with another time is no longer what it was.
    #[serde(default)]
    pub(super) mtime_ns: Option<i64>,
    #[serde(default)]
    pub(super) verified: Option<String>,
}

impl Record {
    pub(super) fn expected(&self) -> Expected {
        Expected {
            sha1: self.sha1.as_deref().and_then(|text| text.parse().ok()),
            tth: self.tth.as_deref().and_then(|text| text.parse().ok()),
            blake3: self.blake3.as_deref().and_then(|text| text.parse().ok()),
        }
    }

    pub(super) fn set_expected(&mut self, expected: &Expected) {
        self.sha1 = expected.sha1.map(|hash| hash.to_string());
        self.tth = expected.tth.map(|hash| hash.to_string());
        self.blake3 = expected.blake3.map(|hash| hash.to_string());
    }

    pub(super) fn on_exists(&self) -> OnExists {
        OnExists::parse(self.on_exists.as_deref()).unwrap_or_default()
    }

    /// The name that the network knows it by.
    pub(super) fn urn(&self) -> Option<String> {
        self.expected().urn().map(|urn| urn.to_string())
    }
}

/// Who has the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct SourceRecord {
    addr: String,
    #[serde(default)]
    urn: Option<String>,
    #[serde(default)]
    index: Option<u32>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    target: Option<String>,
    #[serde(default)]
    servent: Option<String>,
    #[serde(default)]
    push: bool,
    /// Its number for the file, where it is not asked by that.
    #[serde(default)]
    push_index: u32,
    #[serde(default)]
    proxies: Vec<String>,
    /// It lied, and how: it is not asked for this file again.
    #[serde(default)]
    lied: Option<String>,
}

/// Characters of what a liar did that are kept.
const MAX_LIE: usize = 300;

impl From<&Source> for SourceRecord {
    fn from(source: &Source) -> Self {
        let mut record = Self {
            addr: source.addr.to_string(),
            urn: None,
            index: None,
            name: source.name.clone(),
            target: None,
            servent: source.servent.map(|guid| guid.to_string()),
            push: source.reach == Reach::Push,
            push_index: source.index,
            proxies: source.proxies.iter().map(ToString::to_string).collect(),
            lied: None,
        };
        match &source.ask {
            Ask::Urn(urn) => record.urn = Some(urn.to_string()),
            Ask::Index(index, name) => (record.index, record.name) = (Some(*index), Some(name.clone())),
            Ask::Target(target) => record.target = Some(target.clone()),
        }
        record
    }
}

impl SourceRecord {
    pub(super) fn of_liar(source: &Source, words: &str) -> Self {
        Self { lied: Some(words.chars().take(MAX_LIE).collect()), ..Self::from(source) }
    }

    /// What lie it was banned for.
    pub(super) fn lied(&self) -> Option<String> {
        self.lied.clone()
    }

    pub(super) fn is_liar(&self) -> bool {
        self.lied.is_some()
    }

    /// `None` when somebody wrote nonsense into the state.
    pub(super) fn read(&self) -> Option<Source> {
        let ask = match (&self.urn, self.index, &self.target) {
            (Some(urn), ..) => Ask::Urn(urn.parse().ok()?),
            (_, Some(index), _) => Ask::Index(index, self.name.clone()?),
            (_, _, Some(target)) => Ask::Target(target.clone()),
            _ => return None,
        };
        Some(Source {
            servent: self.servent.as_deref().and_then(|guid| guid.parse().ok()),
            reach: if self.push { Reach::Push } else { Reach::Direct },
            index: self.push_index,
            proxies: self.proxies.iter().take(MAX_PROXIES).filter_map(|addr| addr.parse().ok()).collect(),
            name: self.name.clone(),
            ..Source::new(self.addr.parse().ok()?, ask)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_survive_a_restart() {
        let addr = "127.0.0.1:4711".parse().expect("an address");
        let urn = "urn:sha1:GKECXDEZDWGCRBZWKYBJD5GGT4KAUE5V".parse().expect("a urn");
        for ask in [Ask::Urn(urn), Ask::Index(7, "a b.txt".into()), Ask::Target("/x?y".into())] {
            let name = matches!(ask, Ask::Index(..)).then(|| "a b.txt".to_owned());
            let source = Source {
                servent: "0f".repeat(16).parse().ok(),
                reach: Reach::Push,
                index: 9,
                proxies: vec!["10.0.0.9:6346".parse().expect("an address")],
                name,
                ..Source::new(addr, ask)
            };
            let text = serde_json::to_string(&SourceRecord::from(&source)).expect("text");
            let record: SourceRecord = serde_json::from_str(&text).expect("a record");
            assert_eq!(record.read(), Some(source), "{text}");
        }
        let nonsense: SourceRecord = serde_json::from_str(r#"{"addr":"x","urn":"y"}"#).expect("a record");
        assert_eq!(nonsense.read(), None);
    }
}
