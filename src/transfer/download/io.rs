//! What the driver and a [`Download`](super::Download) say to each other.

use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use super::{SourceId, Wrong};
use crate::transfer::{Expected, Source};
use crate::wire::http::Response;
use crate::wire::{AnyRoot, AnyRow, Blake3};

/// How patient a download is, and how much it does at a time.
#[derive(Clone, Debug)]
pub struct DownloadConfig {
    /// A file up to this size is opened when it has its turn, if there is somebody to ask for it; a larger one at once.
    pub opened_in_turn: u64,
    /// Sources that are asked at a time.
    pub active_sources: usize,
    /// Bytes of one request at most, when several sources are known; one source alone is asked for all.
    pub request: u64,
    /// The first request to a source of a file of more than [`Self::swarm`] blocks is for so many of them, and each next one
    /// for as much as it should bring in [`Self::aim`]: who comes in the meantime is not told of before the next.
    pub first_blocks: u64,
    /// See [`Self::first_blocks`].
    pub aim: Duration,
    /// Files of no more blocks than these are fetched in order, also of sources that have only parts of them.
    pub swarm: usize,
    /// The pause before a source is asked again that had no more of the file; it doubles while it has nothing new.
    pub poll: Duration,
    /// A source that brings nothing for so long is left when another one could be asked.
    pub stalled: Duration,
    /// Sources remembered. When there are more, the one that failed most often is forgotten.
    pub max_sources: usize,
    /// The pause after a source's first failure; it doubles with each.
    pub retry_first: Duration,
    /// ... up to this.
    pub retry_max: Duration,
    /// The pause after a connection that was lost, but had brought something.
    pub retry_lost: Duration,
    /// The pause after a 503 that names no time. The longest that one may name is [`Self::retry_max`] times 6.
    pub retry_busy: Duration,
    /// The pause after the first query for sources; it doubles with each.
    pub requery_first: Duration,
    /// ... up to this.
    pub requery_max: Duration,
}

impl Default for DownloadConfig {
    fn default() -> Self {
        Self {
            opened_in_turn: 0,
            active_sources: 4,
            request: 16 << 20,
            first_blocks: 2,
            aim: Duration::from_secs(2),
            swarm: 16,
            poll: Duration::from_secs(1),
            stalled: Duration::from_secs(8),
            max_sources: 64,
            retry_first: Duration::from_secs(2),
            retry_max: Duration::from_secs(600),
            retry_lost: Duration::from_millis(500),
            retry_busy: Duration::from_secs(30),
            requery_first: Duration::from_secs(5),
            requery_max: Duration::from_secs(300),
        }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// It may go on: the answer to [`Output::WantTurn`].
    Turn,
    /// The partial file is open, and these blocks were in it already: the answer to [`Output::Open`].
    Opened {
        /// Their hashes were held against the bytes.
        stored: Vec<(usize, Blake3)>,
    },
    /// What had happened to the partial file while it was closed, in words; told before [`Input::Opened`].
    Noted(String),
    /// Somebody has the file.
    AddSource(Source),
    /// A source cannot be connected to: it was asked to connect to us.
    Pushing {
        /// Which.
        source: SourceId,
    },
    /// A source answered the request.
    Head {
        /// Which.
        source: SourceId,
        /// Its head.
        head: Response,
    },
    /// Bytes of a body are on disk.
    Wrote {
        /// Whose.
        source: SourceId,
        /// Which bytes of the file.
        range: Range<u64>,
        /// Blocks that became whole by them.
        stored: Vec<(usize, Blake3)>,
    },
    /// What the tree says of blocks that are on disk; told behind the [`Input::Wrote`] that stored them.
    Judged {
        /// They match it.
        right: Vec<usize>,
        /// They do not, and do not count any more.
        wrong: Vec<Wrong>,
    },
    /// A source gave the tree: the answer to [`Output::FetchTree`]. It fits the size and hashes to the root.
    Tree {
        /// Which.
        source: SourceId,
        /// Its deepest row.
        row: AnyRow,
    },
    /// A source did not: the other answer.
    NoTree {
        /// Which.
        source: SourceId,
        /// What it sent instead, if that was no tree of that root.
        lie: Option<String>,
    },
    /// All that was to be kept of a body is on disk.
    BodyEnd {
        /// Whose.
        source: SourceId,
    },
    /// A connection failed or ended before that.
    Lost {
        /// Whose.
        source: SourceId,
        /// How.
        how: Lost,
    },
    /// The whole file was read and has these digests (those that were asked for): the answer to
    /// [`Output::Verify`].
    Verified(Expected),
    /// These blocks of the partial file are not what was written: the other answer to [`Output::Verify`].
    Changed {
        /// Which.
        blocks: Vec<usize>,
        /// What happened.
        words: String,
    },
    /// It is in its place: the answer to [`Output::Finish`].
    Finished,
    /// Somebody wrote to the file when it was to be moved: the other answer to [`Output::Finish`].
    Altered,
    /// The partial file is not where it was; what happened, in words.
    Gone(String),
    /// The disk refused something: what, why, and the next step.
    DiskFailed(String),
    /// So many wait with something of a small file that this one is not to stay open for it.
    LetGo,
    /// There are new neighbours, who might know a source.
    NetworkChanged,
    /// The user wants it to rest.
    Pause,
    /// The user wants it to go on.
    Resume,
    /// The user does not want it any more.
    Cancel,
    /// The user does not want to wait for the next try; or wants a failed download to start again.
    Retry,
    /// Somebody plays the file: bytes from these places on are wanted first, those of the first place before all. None:
    /// nobody does.
    Prefer(Vec<u64>),
    /// Others who fetch the file are told that this is where we give what we have.
    Us(SocketAddr),
}

/// How a connection to a source failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lost {
    /// Nobody listens there.
    Refused,
    /// No connection in time.
    NoAnswer,
    /// No way there, in words.
    Unreachable(String),
    /// It closed the connection.
    Closed,
    /// It sent nothing for that long.
    Silent(Duration),
    /// It sent less than it must in that long.
    Slow(Duration),
    /// It sent what is no HTTP: what, in words.
    Garbage(String),
    /// It answered with so few bytes, and was asked for more.
    Meagre(u64),
    /// It cannot be connected to, and did not connect to us though it was asked to.
    NotCalled,
    /// It cannot be connected to, and cannot be asked to connect to us.
    NoWay,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("refused the connection"),
            Self::NoAnswer => f.write_str("did not answer"),
            Self::Unreachable(why) => write!(f, "cannot be reached ({why})"),
            Self::Closed => f.write_str("closed the connection"),
            Self::Silent(time) => write!(f, "sent nothing for {} s", time.as_secs()),
            Self::Slow(time) => write!(f, "sent almost nothing for {} s", time.as_secs()),
            Self::Garbage(what) => write!(f, "sent what is no HTTP ({what})"),
            Self::NotCalled => f.write_str("cannot be connected to, and did not connect to us when asked to"),
            Self::NoWay => f.write_str("cannot be connected to, and no way is known to ask it to connect to us"),
            Self::Meagre(bytes) => write!(f, "sent only {bytes} of the bytes asked for"),
        }
    }
}

/// What to do, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// It wants to connect: answer with [`Input::Turn`] when not too many others do.
    WantTurn,
    /// It has all bytes, and needs no connection any more unless they are wrong: then it wants another turn. Somebody else
    /// may have this one, if not too much is open.
    EndTurn,
    /// It does not want that any more, or for now.
    YieldTurn,
    /// The size is known: open the partial file, answer with [`Input::Opened`] before doing what follows.
    Open {
        /// Bytes.
        size: u64,
    },
    /// Send a request, on the source's open connection if there is one; answer with [`Input::Head`].
    Fetch {
        /// The source's number here.
        source: SourceId,
        /// Where and how.
        from: Source,
        /// The bytes to ask for; to the end of the file when that is not known.
        first: u64,
        /// The end of them.
        end: Option<u64>,
        /// What it called our place in its queue, if it did.
        ticket: Option<String>,
    },
    /// Read no further than `end` of what a source sends: another one is asked for the rest. Then
    /// [`Input::BodyEnd`] comes as ever.
    Shorten {
        /// Whose.
        source: SourceId,
        /// Where in the file to stop.
        end: u64,
    },
    /// The body may come. Its first byte is byte `first` of the file; those in `keep` are to be written, and
    /// nothing is read beyond them. With an empty `keep` none is wanted, but the connection may stay open.
    Receive {
        /// Whose.
        source: SourceId,
        /// Where in the file the body begins.
        first: u64,
        /// What is wanted of it.
        keep: Range<u64>,
    },
    /// Ask a source for the tree of the file; answer with [`Input::Tree`] or [`Input::NoTree`].
    FetchTree {
        /// The source's number here.
        source: SourceId,
        /// Where and how.
        from: Source,
        /// The request target.
        target: String,
        /// Bytes of the file.
        size: u64,
        /// What it must hash to.
        root: AnyRoot,
    },
    /// Hold the blocks of the partial file against this tree from now on, and answer with [`Input::Judged`].
    HoldTree(AnyRow),
    /// Close the connection to a source and send no more inputs of it.
    Drop {
        /// Which.
        source: SourceId,
    },
    /// Ask the network who has the content.
    Requery,
    /// Read the whole file and compute the digests that are expected; answer with [`Input::Verified`].
    Verify,
    /// Move the file into place; answer with [`Input::Finished`].
    Finish,
    /// Remove the partial file.
    Discard,
}

/// What a download does, in the words of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It waits for its turn, or for its partial file to be read.
    Queued,
    /// A source is being asked.
    Connecting,
    /// Bytes come.
    Downloading,
    /// All bytes are there and are being checked.
    Verifying,
    /// It is in its place.
    Done,
    /// The user paused it.
    Paused,
    /// No source can be asked now.
    Waiting,
    /// It will not go on by itself.
    Failed,
    /// The user cancelled it.
    Cancelled,
}

impl State {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Connecting => "connecting",
            Self::Downloading => "downloading",
            Self::Verifying => "verifying",
            Self::Done => "done",
            Self::Paused => "paused",
            Self::Waiting => "waiting",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether it has come to its end.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled)
    }
}

/// Why a download failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Its bytes are not what they were asked for.
    Verification,
    /// No source has it, and there is nobody else to ask.
    NotFound,
    /// Every source refused it.
    Refused,
    /// The disk refused it.
    Disk,
}
