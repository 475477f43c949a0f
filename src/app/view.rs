//! What the outside sees: JSON values apart from live state. Their keys are the contract of the control API
//! and of `--json`; keys are only ever added.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

/// JSON is Unicode, paths need not be: what is not becomes the replacement character, and the rest is told.
fn as_text<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

fn maybe_as_text<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    match path {
        Some(path) => as_text(path, serializer),
        None => serializer.serialize_none(),
    }
}

/// `status`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct StatusView {
    /// Program version.
    pub version: String,
    /// Listening address.
    pub listen: String,
    /// Servent GUID, hex.
    pub servent: String,
    /// The first 16 hex digits of our own key, where links may be encrypted.
    pub key: Option<String>,
    /// Files that can be found now.
    pub files: u64,
    /// Files hashed.
    pub hashed: u64,
    /// Bytes shared.
    pub bytes: u64,
    /// Connected peers that are not our leaves.
    pub neighbours: u64,
    /// Our leaves.
    pub leaves: u64,
    /// `ultrapeer` or `leaf`.
    pub role: String,
    /// `yes`, `no` or `unknown`: can others connect to us?
    pub reachable: String,
    /// Bytes a second that we download now.
    pub down_bps: u64,
    /// Bytes a second that we upload now.
    pub up_bps: u64,
    /// How fast files may come and go.
    #[serde(default)]
    pub limits: SpeedsView,
    /// Seconds since start.
    pub uptime_s: u64,
    /// Queries: received, forwarded, answered, duplicates dropped ... totals since the start, by name.
    pub counters: BTreeMap<String, u64>,
    /// Things that work less well than they should, in words ("the watch limit is reached ...").
    pub warnings: Vec<String>,
}

/// How fast files may come and go, in bytes a second; `null` is no limit, 0 a pause.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SpeedsView {
    /// All downloads together.
    pub down_bps: Option<u64>,
    /// All uploads together.
    pub up_bps: Option<u64>,
    /// The uploads to one address.
    pub peer_up_bps: Option<u64>,
    /// Whether the turtle is on.
    pub turtle: bool,
    /// All downloads together while it is.
    pub turtle_down_bps: Option<u64>,
    /// All uploads together while it is.
    pub turtle_up_bps: Option<u64>,
    /// What holds for downloads now.
    pub down_now_bps: Option<u64>,
    /// What holds for uploads now.
    pub up_now_bps: Option<u64>,
}

/// Something that `doctor` looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FindingView {
    /// What was looked at: `servent port neighbours reachable udp portmap shares downloads clock warning`.
    pub check: String,
    /// `ok`, `note` or `problem`.
    pub state: String,
    /// What was found, in a sentence.
    pub what: String,
    /// What to do about it.
    pub fix: Option<String>,
}

/// A shared folder.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ShareView {
    /// Where it is.
    #[serde(serialize_with = "as_text")]
    pub path: PathBuf,
    /// Files in it that can be found.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files hashed.
    pub hashed: u64,
    /// `scanning`, `hashing`, `ready`, `missing`.
    pub state: String,
    /// Whether it is shared for this run only.
    pub this_run_only: bool,
    /// Patterns of what is not shared of it, besides those for all folders.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Files still to be hashed.
    #[serde(default)]
    pub unhashed: u64,
    /// Their bytes.
    #[serde(default)]
    pub unhashed_bytes: u64,
    /// Files left out, by reason.
    pub skipped: BTreeMap<String, u64>,
    /// Some of them by name, a hundred for each reason; what cannot be read comes first.
    #[serde(default)]
    pub left_out: Vec<LeftOutView>,
    /// Names that look private (some of them).
    pub looks_private: Vec<String>,
    /// Seconds until hashing is done, if that can be told.
    pub eta_s: Option<u64>,
    /// What works less well than it should.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// Something in a shared folder that is not shared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LeftOutView {
    /// Where it is in the folder.
    pub path: String,
    /// Why it is left out: what `skipped` counts it as.
    pub reason: String,
    /// Why, in the system's words, where it was the system.
    pub why: Option<String>,
}

/// Messages and bytes.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct TrafficView {
    /// Messages.
    pub msgs: u64,
    /// Bytes.
    pub bytes: u64,
}

/// A connected peer.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PeerView {
    /// Its listening address if known.
    pub addr: String,
    /// Its program.
    pub vendor: String,
    /// `ultrapeer` or `leaf`.
    pub role: String,
    /// `in` or `out`.
    pub direction: String,
    /// Mean hops of what it sends.
    pub hops_avg: f64,
    /// From it.
    #[serde(rename = "in")]
    pub received: TrafficView,
    /// To it.
    #[serde(rename = "out")]
    pub sent: TrafficView,
    /// Duplicates that it sent us.
    pub duplicates: u64,
    /// Queries received from it, duplicates included.
    pub queries_in: u64,
    /// Queries sent or forwarded to it.
    pub queries_out: u64,
    /// Slots of the table of words that it told us, and how many are taken; `null` if it told none.
    pub table_slots: Option<u64>,
    /// See `table_slots`.
    pub table_taken: Option<u64>,
    /// Queries that its table kept from it.
    pub kept_back: u64,
    /// Whether the link is encrypted.
    pub encrypted: bool,
    /// If so, the first 16 hex digits of the key that the peer proved to own: compare them with its `status`.
    pub key: Option<String>,
    /// What was dropped, by reason.
    pub drops: BTreeMap<String, u64>,
    /// Seconds since the link is up.
    pub since_s: u64,
}

/// A host that we know of.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct HostView {
    /// Where.
    pub addr: String,
    /// How far we trust who named it: `user cache lan dns-sd peer stranger`.
    pub source: String,
    /// Who named it: `user lan dns-sd peer x-try pong cache`, or `earlier` for one whose teller was not kept.
    #[serde(default)]
    pub teller: Option<String>,
    /// Seconds since we last heard of it, in this run or before; `null` when that was not kept.
    pub age_s: Option<u64>,
    /// Seconds since the last try to link to it; `null` when there was none.
    #[serde(default)]
    pub tried_s: Option<u64>,
    /// What came of that: `connected refused busy`, `timed out` or `failed`.
    #[serde(default)]
    pub outcome: Option<String>,
    /// Free slots for leaves, as a Pong told them in this run.
    #[serde(default)]
    pub leaf_slots: Option<u8>,
    /// Free slots for ultrapeers.
    #[serde(default)]
    pub ultrapeer_slots: Option<u8>,
    /// Failed dials in a row.
    pub failures: u32,
    /// Whether we are linked now.
    pub connected: bool,
}

/// What came of a list of hosts. Each line that names something was added, known or refused.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct ImportView {
    /// Lines that name something.
    pub named: u64,
    /// ... that we did not know, and do now.
    pub added: u64,
    /// ... that we knew already.
    pub known: u64,
    /// ... that were not taken.
    pub refused: u64,
    /// The first of these.
    pub not_taken: Vec<NotTakenView>,
}

/// A line that was not taken.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct NotTakenView {
    /// Its number, from 1.
    pub line: usize,
    /// What it says, cut, without what could harm a terminal.
    pub text: String,
    /// What is wrong with it.
    pub why: String,
}

/// Who has a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SourceView {
    /// `ip:port`.
    pub addr: String,
    /// Servent GUID, hex.
    pub servent: String,
    /// Four letters.
    pub vendor: String,
    /// It cannot be connected to: a Push is needed.
    pub push: bool,
    /// All its upload slots were taken.
    pub busy: bool,
    /// It can be browsed.
    #[serde(default)]
    pub browse: bool,
    /// Who passes a Push on to it: `ip:port`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proxies: Vec<String>,
}

/// A hit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HitView {
    /// Its number in this search.
    pub hit: u32,
    /// File name, without path, as it came.
    pub name: String,
    /// The folder that it is in, as the source tells, `/` between its parts: in lists of a host, mostly.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub folder: String,
    /// Bytes.
    pub size: u64,
    /// base32.
    pub sha1: Option<String>,
    /// base32.
    pub tth: Option<String>,
    /// hex.
    pub blake3: Option<String>,
    /// `urn:sha1:...`
    pub urn: Option<String>,
    /// Who has it.
    pub source: SourceView,
    /// Who else has it, as the source says: `ip:port`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alternates: Vec<String>,
    /// The source's number for it.
    pub index: u32,
    /// Links to the source: a neighbour is 1; 0 when it answered by UDP, where nobody counts them.
    pub hops: u8,
    /// Milliseconds since the query went out.
    pub query_ms: u64,
    /// The neighbour that it came by, if it came along the links: `ip:port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
}

/// A search.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SearchView {
    /// Its number.
    pub id: u64,
    /// What was typed.
    pub query: String,
    /// Hits so far.
    pub hits: u64,
    /// Different files among them.
    pub files: u64,
    /// Neighbours that it was sent to.
    pub neighbours_asked: u64,
    /// Milliseconds since it began (until it ended).
    pub elapsed_ms: u64,
    /// Whether it takes no more hits.
    pub ended: bool,
    /// Its GUID, hex; empty until it went out.
    pub guid: String,
}

/// One line of a search's stream.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum SearchLine {
    /// It is over.
    Done(SearchDone),
    /// A hit.
    Hit(HitView),
}

/// The last line of a search's stream.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SearchDone {
    /// Always `done`.
    pub event: String,
    /// Hits.
    pub hits: u64,
    /// Different files among them.
    pub files: u64,
    /// Neighbours that it was sent to.
    pub neighbours_asked: u64,
    /// Milliseconds.
    pub elapsed_ms: u64,
    /// Why it found what it found: hops of the hits, hits filtered here by reason, duplicates, words sent.
    pub explain: serde_json::Value,
}

/// A standing question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WatchView {
    /// Its number.
    pub id: u64,
    /// What was typed.
    pub query: String,
    /// Whether what matches is fetched.
    pub get: bool,
    /// Bytes of the largest file that is.
    pub max: Option<u64>,
    /// Whether it does not ask for now.
    pub paused: bool,
    /// Seconds since it was asked last; `null` if it never was.
    pub asked_ago_s: Option<u64>,
    /// Seconds until it is asked again, if nothing comes between; `null` while it is paused.
    pub next_s: Option<u64>,
    /// Hits so far, one for each content.
    pub hits: u64,
    /// Those that nobody has looked at.
    pub new: u64,
    /// Downloads that it began.
    pub fetched: u64,
}

/// A magnet link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MagnetView {
    /// `magnet:?...`
    pub magnet: String,
    /// What it calls the file.
    pub name: String,
    /// Its bytes, if known.
    pub size: Option<u64>,
    /// `urn:sha1:...`, if known.
    pub urn: Option<String>,
}

/// A transfer.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TransferView {
    /// Its number; never used again.
    pub id: u64,
    /// `down` or `up`.
    pub direction: String,
    /// Of downloads, who goes first among those that wait: `high`, `normal` or `low`.
    #[serde(default)]
    pub priority: Option<String>,
    /// File name.
    pub name: String,
    /// `urn:sha1:...`, if known.
    pub urn: Option<String>,
    /// `queued connecting downloading verifying done paused waiting failed cancelled`; `uploading` for uploads.
    pub state: String,
    /// Bytes that count.
    pub done: u64,
    /// Bytes in all, if known.
    pub size: Option<u64>,
    /// Bytes a second.
    pub rate_bps: u64,
    /// Sources known.
    pub sources: u64,
    /// Why it is in this state, in words.
    pub reason: String,
    /// Seconds until done, if that can be told.
    pub eta_s: Option<u64>,
    /// Seconds until the next try, while it waits.
    pub next_try_s: Option<u64>,
    /// The finished file, or the folder it will lie in.
    #[serde(serialize_with = "maybe_as_text")]
    pub path: Option<PathBuf>,
    /// `sha1 tth blake3 none`, once done.
    pub verified: Option<String>,
    /// What the exit code of `get` is to be, once failed: the code of the error.
    pub error: Option<super::ErrorCode>,
    /// Milliseconds since it began.
    pub elapsed_ms: u64,
    /// The other side: for uploads who fetches, for downloads whom it fetches from now.
    pub peer: Option<String>,
    /// Of downloads: bytes that were fetched in this run, those in vain among them.
    #[serde(default)]
    pub received: u64,
    /// Of downloads: players that have it open.
    #[serde(default)]
    pub players: usize,
    /// Of downloads: each source, what it brought, and why it was dropped if it was; at most 64.
    #[serde(default)]
    pub from: Vec<FromView>,
}

/// A source of a download.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct FromView {
    /// Where.
    pub addr: String,
    /// `asked`, `sends`, `waits`, `gone`, `apart` (other content or another tree), `banned` (it lied).
    pub state: String,
    /// Bytes that came from it in this run.
    pub bytes: u64,
    /// What it did last, in words that follow its address.
    pub words: String,
}

/// Which parts of a file are there, and what each source does for it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct BlocksView {
    /// Bytes of the file, if known.
    pub size: Option<u64>,
    /// Bytes of a block; the last one may have fewer.
    pub block_size: u64,
    /// How many there are.
    pub blocks: u64,
    /// Their states from the first to the last, as runs of equal ones.
    pub runs: Vec<RunView>,
    /// The sources, in the order in which they were learnt.
    pub sources: Vec<SourceStateView>,
}

/// Blocks in a row that are in the same state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunView {
    /// `missing`, `filling` (begun), `stored` (on disk, its hash known).
    pub state: String,
    /// How many.
    pub blocks: u64,
    /// The number of the source in `sources` that is asked for the first of them now.
    pub source: Option<u32>,
}

/// What a source does for a download.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SourceStateView {
    /// `ip:port`.
    pub addr: String,
    /// Whether it is asked, or sends, now.
    pub active: bool,
    /// Whether it is never asked again for this file, because it lied.
    pub banned: bool,
    /// Bytes a second, in this contact or else in the last one.
    pub rate_bps: u64,
    /// Failures in a row.
    pub failures: u32,
    /// Where it stands, in words.
    pub words: String,
}

/// The folders in a folder of this machine, for whoever looks for one to share.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct FoldersView {
    /// Which folder.
    #[serde(serialize_with = "as_text")]
    pub path: PathBuf,
    /// The one that it is in.
    #[serde(serialize_with = "maybe_as_text")]
    pub parent: Option<PathBuf>,
    /// The names of those in it, hidden ones aside; a thousand at most.
    pub folders: Vec<String>,
}

/// One line of the event stream.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
#[allow(clippy::large_enum_variant, reason = "at most a ring of them is kept, and only while somebody listens")]
pub enum EventView {
    /// A link is up.
    NeighbourUp {
        /// Where.
        addr: String,
    },
    /// The servent changed its role.
    RoleChanged {
        /// `ultrapeer` or `leaf`.
        role: String,
    },
    /// A link is gone.
    NeighbourDown {
        /// Where.
        addr: String,
        /// Why.
        reason: String,
    },
    /// A query was held against our files.
    Query {
        /// Its GUID, hex.
        guid: String,
        /// Its words.
        text: String,
        /// Links that it crossed to us.
        hops: u8,
        /// Files of ours that match.
        answered: u64,
    },
    /// What we share has changed.
    Shares {
        /// Files that can be found.
        files: u64,
        /// Files hashed.
        hashed: u64,
    },
    /// A transfer has changed.
    Transfer(TransferView),
    /// A watch found what it had not seen before.
    WatchHit {
        /// The number of the watch.
        watch: u64,
        /// What it asks.
        query: String,
        /// What it found; `hit` is its number in this watch.
        #[serde(rename = "found")]
        hit: Box<HitView>,
        /// Whether it is fetched.
        getting: bool,
    },
    /// The reader was too slow for what happened here.
    Missed {
        /// Events that it did not get.
        missed: u64,
    },
    /// Something that the user should know.
    Warning {
        /// In words.
        message: String,
    },
    /// How the servent is, when that has changed; only for who asks (`?with=status`).
    Status(StatusView),
    /// The connected peers, when something about them has changed; only for who asks (`?with=peers`).
    Peers {
        /// All of them.
        peers: Vec<PeerView>,
    },
    /// The shared folders, when something about them has changed; only for who asks (`?with=shares`).
    Folders {
        /// All of them.
        folders: Vec<ShareView>,
    },
    /// The searches of this run, when something about them has changed; only for who asks (`?with=searches`).
    Searches {
        /// All of them.
        searches: Vec<SearchView>,
    },
    /// The saved searches, when something about them has changed; only for who asks (`?with=watches`).
    Watches {
        /// All of them.
        watches: Vec<WatchView>,
    },
}
