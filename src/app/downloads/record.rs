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
/// Downloads that are not over are kept up to this many; more are not begun.
pub(super) const MAX_UNFINISHED: usize = 50_000;
/// The list of them is written in at most so many bytes, as long as it can be by keeping fewer sources: less than what is
/// read back.
const MAX_LIST: usize = 128 << 20;
/// Sources of one that are kept: as many as it may have.
pub(super) const MAX_SOURCES: usize = 64;
/// Bytes of a source's name for the file that are kept: no file system takes as many. A longer one is no name.
const MAX_NAME: usize = 1024;
/// Bytes of what a source is asked for that are kept: an answer to more is not read by anybody.
const MAX_TARGET: usize = 16 * 1024;
/// Characters of a reason that are kept.
pub(super) const MAX_REASON: usize = 1000;

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

    /// Of those that are over, the oldest go; of sources as many as there is no place for.
    fn tidy(&mut self) {
        self.forget_over();
        self.fit(MAX_LIST);
    }
}

impl Saved {
    /// The network is asked for the sources of a content that has none left.
    fn fit(&mut self, most: usize) {
        let mut sources = MAX_SOURCES;
        while sources > 0 && self.bytes() > most {
            sources /= 2;
            self.downloads.values_mut().for_each(|record| record.keep_sources(sources));
        }
    }

    /// As it is written.
    fn bytes(&self) -> usize {
        self.downloads.values().map(|record| serde_json::to_vec_pretty(record).map_or(0, |text| text.len())).sum()
    }

    fn forget_over(&mut self) {
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
    #[serde(with = "super::paths")]
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
    #[serde(default, with = "super::paths::maybe")]
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

    /// Forgets those sources of it that are more than so many of each kind, good ones and liars; but for the last one of
    /// a download that the network cannot be asked for.
    fn keep_sources(&mut self, most: usize) {
        let last = if self.urn().is_none() { 1 } else { 0 };
        let (mut good, mut liars) = (0, 0);
        self.sources.retain(|source| {
            let (count, most) = if source.is_liar() { (&mut liars, most) } else { (&mut good, most.max(last)) };
            *count += 1;
            *count <= most
        });
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
            name: source.name.clone().filter(|name| name.len() <= MAX_NAME),
            target: None,
            servent: source.servent.map(|guid| guid.to_string()),
            push: source.reach == Reach::Push,
            push_index: source.index,
            proxies: source.proxies.iter().map(ToString::to_string).collect(),
            lied: None,
        };
        match &source.ask {
            Ask::Urn(urn) => record.urn = Some(urn.to_string()),
            Ask::Index(index, name) if name.len() <= MAX_NAME => {
                (record.index, record.name) = (Some(*index), Some(name.clone()));
            }
            Ask::Target(target) if target.len() <= MAX_TARGET => record.target = Some(target.clone()),
            // It is not read back: see `SourceRecord::read`.
            Ask::Index(..) | Ask::Target(_) => {}
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

    /// `None` when somebody wrote nonsense into the state, or what it is asked for was too long to be kept.
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
        let long = Source { name: Some("n".repeat(70_000)), ..Source::new(addr, Ask::Index(7, "a.txt".into())) };
        assert_eq!(SourceRecord::from(&long).read().and_then(|read| read.name).as_deref(), Some("a.txt"));
        for ask in [Ask::Index(7, "n".repeat(MAX_NAME + 1)), Ask::Target("/x".repeat(MAX_TARGET))] {
            let record = SourceRecord::from(&Source::new(addr, ask));
            assert_eq!(record.read(), None);
            assert!(serde_json::to_string(&record).expect("text").len() < 300);
        }
        let nonsense: SourceRecord = serde_json::from_str(r#"{"addr":"x","urn":"y"}"#).expect("a record");
        assert_eq!(nonsense.read(), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_path_that_is_no_text_survives_a_restart() {
        use std::os::unix::ffi::OsStringExt;
        for path in [&b"/home/ann/x"[..], b"/home/\xff\xfe/\xc3"] {
            let path = PathBuf::from(std::ffi::OsString::from_vec(path.to_vec()));
            for finished in [None, Some(path.join("a.txt"))] {
                let record = Record { dir: path.clone(), path: finished, ..with_sources(1, true, 0) };
                let text = serde_json::to_string(&record).expect("text");
                assert_eq!(serde_json::from_str::<Record>(&text).expect("a record"), record, "{text}");
            }
        }
    }

    fn with_sources(id: u64, urn: bool, sources: u8) -> Record {
        let mut record: Record = serde_json::from_value(serde_json::json!({
            "id": id, "name": "n".repeat(255), "size": 1, "dir": "/", "standing": "unfinished", "created_ms": 0
        }))
        .expect("a record");
        record.sha1 = urn.then(|| "GKECXDEZDWGCRBZWKYBJD5GGT4KAUE5V".to_owned());
        let source = |n: u8| Source::new(([10, 0, 0, n], 6346).into(), Ask::Index(7, "n".repeat(MAX_NAME)));
        record.sources = (0..sources).map(|n| SourceRecord::from(&source(n))).collect();
        record.sources.extend((0..sources).map(|n| SourceRecord::of_liar(&source(n + 100), &"l".repeat(1000))));
        record
    }

    #[test]
    fn the_list_keeps_as_many_sources_as_it_has_place_for() {
        let all = || [with_sources(1, true, 64), with_sources(2, false, 64), with_sources(3, true, 1)];
        let saved = || Saved { next_id: 4, downloads: all().map(|record| (record.id, record)).into() };
        let kinds = |saved: &Saved| -> Vec<(usize, usize)> {
            let liars = |record: &Record| record.sources.iter().filter(|source| source.is_liar()).count();
            saved.downloads.values().map(|it| (it.sources.len() - liars(it), liars(it))).collect()
        };
        let whole = saved().bytes();
        for (most, kept) in [
            (whole, [(64, 64), (64, 64), (1, 1)]),
            (whole - 1, [(32, 32), (32, 32), (1, 1)]),
            (whole / 20, [(2, 2), (2, 2), (1, 1)]),
            // The network cannot be asked for what has no hash.
            (0, [(0, 0), (1, 0), (0, 0)]),
        ] {
            let mut saved = saved();
            saved.fit(most);
            assert_eq!(kinds(&saved), kept, "{most} of {whole}");
            assert!(saved.bytes() <= most.max(3 * 2500), "{most} of {whole}");
        }
    }

    #[test]
    fn as_many_downloads_as_are_kept_fit_in_what_is_read_back() {
        let one = Saved { next_id: 2, downloads: [(1, with_sources(1, true, 0))].into() };
        assert!(one.bytes() * (MAX_UNFINISHED + KEPT) < MAX_LIST, "{}", one.bytes());
        assert_eq!(crate::transfer::DownloadConfig::default().max_sources, MAX_SOURCES);
    }
}
