//! What the driver and the servent say to each other.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::base::Instant;
use crate::wire::handshake::Head;
use crate::wire::hit::{Entry, QueryHit};
use crate::wire::qrt::Qrt;
use crate::wire::query::Query;
use crate::wire::{Frame, Frames, Guid, Urn};

use super::Reachable;

/// One transport connection between two servents. Those that we dial and those that we accept count in
/// ranges of their own: the servent numbers its dials, the driver numbers what it accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(u64);

impl ConnId {
    const ACCEPTED: u64 = 1 << 63;

    /// The `n`th connection that the servent dials.
    pub const fn dialled(n: u64) -> Self {
        Self(n & !Self::ACCEPTED)
    }

    /// The `n`th connection that the driver accepts.
    pub const fn accepted(n: u64) -> Self {
        Self(n | Self::ACCEPTED)
    }

    /// Who opened it.
    pub const fn direction(self) -> Direction {
        if self.0 & Self::ACCEPTED == 0 { Direction::Out } else { Direction::In }
    }
}

/// Who opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// We did.
    Out,
    /// They did.
    In,
}

/// What a servent is in the two-tier network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Routes for others.
    Ultrapeer,
    /// Does not.
    Leaf,
}

/// Our number for a search of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SearchId(pub u64);

/// Something happened. The driver calls `handle` with it, in the order in which things happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// A dial that the servent asked for is through; the handshake may begin.
    Dialled {
        /// The connection named in [`Output::Dial`].
        conn: ConnId,
    },
    /// A dial failed. The connection is gone.
    DialFailed {
        /// The connection named in [`Output::Dial`].
        conn: ConnId,
        /// Why.
        reason: DialFailure,
    },
    /// A leg of a handshake arrived. A `Connect` on an accepted connection is how the servent first hears of
    /// that connection.
    Handshake {
        /// The connection; a number of the driver's if it was accepted.
        conn: ConnId,
        /// The other side's transport address.
        from: SocketAddr,
        /// The leg.
        head: Head,
    },
    /// The handshake is through in both directions and messages may flow: told by the driver after it wrote
    /// or delivered the accepting third leg.
    Connected {
        /// The connection.
        conn: ConnId,
        /// Bytes that the link takes now.
        room: usize,
    },
    /// The connection is encrypted from here on, as both wanted; told before it is `Connected`.
    Secured {
        /// The connection.
        conn: ConnId,
        /// The key that the other end proved to own.
        key: [u8; 32],
    },
    /// Messages arrived on a link.
    Frames {
        /// The link.
        conn: ConnId,
        /// In the order in which they came.
        batch: Frames,
    },
    /// What arrives on a link cannot be read any further: nothing more will come. The servent says Bye and closes it.
    Garbled {
        /// The link.
        conn: ConnId,
        /// What is wrong.
        what: String,
    },
    /// A message arrived by UDP.
    Datagram {
        /// From here.
        from: SocketAddr,
        /// The message.
        frame: Frame,
    },
    /// A message came by the group of the local network.
    Announced {
        /// From here.
        from: SocketAddr,
        /// Our own address there.
        at: IpAddr,
        /// The message.
        frame: Frame,
    },
    /// The link takes this many bytes in all now: what it had room for before is replaced, not added to.
    Room {
        /// The link.
        conn: ConnId,
        /// Bytes.
        bytes: usize,
    },
    /// A connection is gone. No further input names it.
    Disconnected {
        /// The connection.
        conn: ConnId,
        /// Why.
        reason: CloseReason,
    },
    /// Somebody opened a connection to us, whatever for; not one that we asked for by a Push. Telling it now and then is
    /// enough; an [`Input::Handshake`] on an accepted connection tells it too.
    Reached {
        /// From there.
        from: IpAddr,
    },
    /// The application wants something.
    Command(Command),
}

/// What the application wants of the servent.
#[derive(Clone, Debug)]
pub enum Command {
    /// Our own listening address as others reach it; hits, pongs and handshakes carry it.
    Listening(SocketAddr),
    /// The router lets others in to us there, or does not any more.
    Mapped(Option<SocketAddr>),
    /// What we share: pongs carry it.
    Sharing {
        /// Files.
        files: u32,
        /// KiB.
        kib: u32,
    },
    /// The words and content names of what we share: neighbours are told, so that they ask us at the last hop only what
    /// we may have. Until it is given they are told nothing, and ask everything.
    Table(Arc<Qrt>),
    /// All upload slots are taken, or are not any more: hits carry it.
    UploadsBusy(bool),
    /// Ask the network. The answer comes as [`Event::HitReceived`].
    Search {
        /// The application's number for it.
        id: SearchId,
        /// What to ask.
        query: Query,
        /// TTL for this one; `None` is the configured one.
        ttl: Option<u8>,
        /// How to ask; `None` is as the network calls for.
        strategy: Option<Strategy>,
    },
    /// Take no more hits for a search.
    EndSearch(SearchId),
    /// The answer to [`Event::QueryReceived`]: send nothing when there is nothing.
    AnswerQuery(Answer),
    /// Connect to a host that the user named: listed from now on, dialled now and again when it is lost.
    Connect(SocketAddr),
    /// Close the link to that address and do not dial it again unless it is named anew.
    Disconnect(SocketAddr),
    /// The size of the random neighbour set, live.
    SetNeighbours(usize),
    /// TTL of our own queries, live.
    SetTtl(u8),
    /// Hosts that might be servents.
    AddHosts(Vec<(SocketAddr, HostSource)>),
    /// Hosts of an earlier run, with what it knew of them: as [`HostSource::Cache`], the user's as his.
    Recall(Vec<HostInfo>),
    /// Ask these UDP host caches for hosts.
    AskCaches(Vec<SocketAddr>),
    /// Ask `servent` to connect to us and give us a file.
    SendPush {
        /// Whom.
        servent: Guid,
        /// Its number for the file.
        index: u32,
        /// By which way.
        by: PushBy,
    },
    /// Pass on to a peer, whose push proxy we are, that it shall connect somewhere and give a file.
    PushFor {
        /// Which peer.
        servent: Guid,
        /// Its number for the file.
        index: u32,
        /// Where to.
        to: SocketAddr,
    },
    /// Say Bye on every link and dial no more.
    Shutdown,
}

/// How a servent is asked to connect to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PushBy {
    /// With a Push: on the link to it if there is one, else along the way its hit came.
    Way,
    /// Through its push proxies, which its hit named: those that we may dial come as [`Event::AskProxies`].
    Proxies(Vec<SocketAddr>),
}

/// Whose word it is that we shall connect somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// A neighbour's: it asks for itself, or as our push proxy for somebody whose address it saw. Or it is our own wish.
    Neighbour,
    /// Anybody's: it was passed on, or came by UDP.
    Stranger,
}

/// An answer to a query.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The query's GUID, from [`Event::QueryReceived`].
    pub query: Guid,
    /// The files that match; more than [`super::Limits::answer_entries`] are cut off.
    pub entries: Vec<Entry>,
}

/// How a search spreads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// To every neighbour, TTL links wide.
    Flood,
    /// To one neighbour after the other, as far as it takes to have enough hits.
    Dynamic,
}

/// Where we heard of a host. In the order of trust.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostSource {
    /// The user named it.
    User,
    /// It is kept from an earlier run.
    Cache,
    /// It was found on this network.
    Lan,
    /// It was found on this network by DNS-SD.
    DnsSd,
    /// It dialled us, or we were linked.
    Peer,
    /// A stranger named it: pong, `X-Try`, `X-Try-Ultrapeers`.
    Stranger,
}

/// What to do. The driver does it in order; it may drop those that name a connection that is gone.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Open a transport connection; answer with `Dialled` or `DialFailed`.
    Dial {
        /// The servent's number for it.
        conn: ConnId,
        /// Where.
        addr: SocketAddr,
        /// Why: the driver does nothing with it but log.
        purpose: Purpose,
    },
    /// Send a leg of a handshake. On `Refuse`, close after it is written.
    Handshake {
        /// The connection.
        conn: ConnId,
        /// What it means for the connection.
        verdict: Verdict,
        /// The leg.
        head: Head,
    },
    /// Send one message on these links. The payload is shared; each link has room for it, or has all its room
    /// free and would never take a message that long otherwise, or it is the Bye that ends it.
    Send {
        /// The links, in the order of their numbers.
        to: Vec<ConnId>,
        /// The message, TTL and hops as they go out.
        frame: Frame,
    },
    /// Send a message by UDP.
    SendTo {
        /// Where.
        addr: SocketAddr,
        /// The message.
        frame: Frame,
    },
    /// Send this ping to all on the local network; those who answer it are hosts there.
    Announce(Frame),
    /// Close a connection once what was sent before is written; answer with `Disconnected`.
    Close {
        /// The connection.
        conn: ConnId,
        /// Why.
        reason: CloseReason,
    },
    /// Tell the application.
    Event(Event),
}

/// Why we dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The user named the host.
    Listed,
    /// To fill the neighbour set.
    Fill,
}

/// What a leg of a handshake means for the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The first leg: wait for the answer.
    Offer,
    /// Go on: wait for the third leg, or, if this is the third, messages flow next.
    Accept,
    /// Close after it is written.
    Refuse,
}

/// The servent's list of things to do, in order.
pub type Outbox = Vec<Output>;

/// What the application should know.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A query arrived that should be held against our files. Answer with [`Command::AnswerQuery`] if there
    /// are any.
    QueryReceived {
        /// Its GUID.
        guid: Guid,
        /// What is asked.
        query: Query,
        /// Links it has crossed to us: 1 from a neighbour.
        hops: u8,
    },
    /// A hit for a search of ours.
    HitReceived {
        /// Which.
        search: SearchId,
        /// The hit.
        hit: QueryHit,
        /// Links to its source: 1 is a neighbour. 0 when it came by UDP: nobody counted.
        hops: u8,
        /// The link it came by; `None` is UDP.
        from: Option<ConnId>,
    },
    /// A search went out.
    SearchSent {
        /// Which.
        search: SearchId,
        /// Its GUID.
        guid: Guid,
        /// Neighbours it was sent to.
        neighbours: usize,
    },
    /// Somebody asks us to connect back and give a file.
    PushRequested {
        /// Where to connect.
        addr: SocketAddr,
        /// Our number for the file.
        index: u32,
        /// Whose word it is.
        word: Word,
    },
    /// A push that was asked for could not be sent: no way to that servent is known (any more), no proxy of it may be
    /// dialled now, or we listen nowhere that it could connect to.
    PushFailed {
        /// Who should have got it.
        servent: Guid,
    },
    /// Ask these push proxies, by HTTP, to pass on to `servent` that it shall connect to `us`.
    AskProxies {
        /// Whom.
        servent: Guid,
        /// Where it shall connect to.
        us: SocketAddr,
        /// Its proxies; their dials are counted.
        proxies: Vec<SocketAddr>,
    },
    /// A peer asks whether others can connect to it: open a connection there and close it.
    ConnectBack {
        /// Its own address, and the port that it named.
        addr: SocketAddr,
    },
    /// We are a peer's push proxy from now on, or are it no more.
    Proxied {
        /// Whose.
        servent: Guid,
        /// From now on.
        proxied: bool,
    },
    /// Whether others can connect to us, by IPv6 too, or who our push proxies are, has changed.
    Reach {
        /// Can they?
        reachable: Reachable,
        /// Our address.
        us: Option<SocketAddr>,
        /// Peers see us at an IPv6 address: such addresses are of use to us.
        ipv6: bool,
        /// Our push proxies.
        proxies: Vec<SocketAddr>,
    },
    /// New hosts are in the cache.
    HostsLearned(usize),
    /// We are something else from now on.
    RoleChanged(Role),
    /// A link is up.
    NeighbourUp(ConnId, SocketAddr),
    /// A link that was up is gone.
    NeighbourDown(ConnId, SocketAddr, CloseReason),
    /// A dial to a host that the user named did not lead to a link.
    ConnectFailed(SocketAddr, CloseReason),
}

/// Why a dial failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DialFailure {
    /// Nobody listens there.
    Refused,
    /// No answer in time.
    TimedOut,
    /// No way there.
    Unreachable,
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CloseReason {
    /// The dial failed.
    Dial(DialFailure),
    /// The other side closed.
    Closed,
    /// The transport broke.
    Broken,
    /// The handshake took too long.
    HandshakeTimeout,
    /// The other side refused: its code and words.
    Refused(u16, String),
    /// We refused: our code and words.
    WeRefused(u16, String),
    /// It sent what no servent sends.
    Garbage(String),
    /// It said Bye: its code and words.
    Bye(u16, String),
    /// It was silent for too long.
    Silent,
    /// It was the least useful when we were full.
    Replaced,
    /// It is ourselves.
    Ourselves,
    /// We were linked already.
    Duplicate,
    /// The user wished it.
    User,
    /// We became something else than we told the peer.
    Role,
    /// We are going down.
    Shutdown,
}

/// Why a message went no further. Each is counted per peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DropReason {
    /// Its GUID was seen before.
    Duplicate,
    /// Its TTL was used up, and it was not for us.
    TtlExpired,
    /// It arrived with TTL 0 or with more hops than any message may have.
    BadHops,
    /// A hit, pong or push whose way back we do not know (any more).
    NoRoute,
    /// Its payload could not be read.
    Malformed,
    /// The neighbour sends more of these than we take.
    RateLimited,
    /// It waited too long for a slow link and younger ones needed the room. Counted at the slow neighbour.
    QueueFull,
    /// A kind that we do not route.
    Unknown,
    /// An own message of ours came back.
    Own,
}

impl DropReason {
    /// Every reason, in the order of their numbers.
    pub const ALL: [DropReason; 9] = [
        Self::Duplicate,
        Self::TtlExpired,
        Self::BadHops,
        Self::NoRoute,
        Self::Malformed,
        Self::RateLimited,
        Self::QueueFull,
        Self::Unknown,
        Self::Own,
    ];

    /// The word for it in JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Duplicate => "duplicate",
            Self::TtlExpired => "ttl_expired",
            Self::BadHops => "bad_hops",
            Self::NoRoute => "no_route",
            Self::Malformed => "malformed",
            Self::RateLimited => "rate_limited",
            Self::QueueFull => "queue_full",
            Self::Unknown => "unknown_kind",
            Self::Own => "own",
        }
    }
}

/// Messages and bytes in one direction of a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Messages.
    pub msgs: u64,
    /// Bytes, headers included.
    pub bytes: u64,
}

/// What we know of a peer: a snapshot.
#[derive(Clone, Debug)]
pub struct PeerInfo {
    /// The link.
    pub conn: ConnId,
    /// Its listening address if it told us, else the transport address.
    pub addr: SocketAddr,
    /// Its transport address.
    pub remote: SocketAddr,
    /// `User-Agent` of its handshake.
    pub agent: String,
    /// What it is.
    pub role: Role,
    /// Who dialled.
    pub direction: Direction,
    /// Mean links to the sources of what it sends us, in thousandths.
    pub hops_avg_milli: u64,
    /// From it.
    pub received: Traffic,
    /// To it.
    pub sent: Traffic,
    /// Duplicate queries that it sent us.
    pub duplicates_in: u64,
    /// Queries forwarded or sent by us to it.
    pub queries_out: u64,
    /// Queries received from it, duplicates included.
    pub queries_in: u64,
    /// The key that it proved to own, if the link is encrypted.
    pub key: Option<[u8; 32]>,
    /// What was dropped of what it sent us or was to get from us.
    pub drops: BTreeMap<DropReason, u64>,
    /// Slots of the table of words that it told us, and how many of them are taken.
    pub table: Option<(usize, usize)>,
    /// Queries that were not sent to it because nothing in its table matches.
    pub kept_back: u64,
    /// Bytes that wait for it.
    pub queued: usize,
    /// Since when the link is up.
    pub since: Instant,
}

/// What we know of a host: a snapshot, and what an earlier run knew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostInfo {
    /// Where.
    pub addr: SocketAddr,
    /// How far we trust who named it.
    pub source: HostSource,
    /// Who named it.
    pub teller: Teller,
    /// When we last heard of it, if that is known.
    pub heard: Option<Moment>,
    /// When we last tried to link to it, or it linked to us.
    pub tried: Option<Moment>,
    /// What came of that.
    pub outcome: Option<Outcome>,
    /// Dials in a row that failed.
    pub failures: u32,
    /// Its free slots, as a Pong told them; kept for ten minutes.
    pub slots: Option<Slots>,
}

/// A moment of this run or of an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Known at this moment of this run.
    at: Instant,
    /// So long ago then.
    before: Duration,
}

impl Moment {
    /// So long before `now`, which may be before this run began.
    pub const fn ago(now: Instant, before: Duration) -> Self {
        Self { at: now, before }
    }

    /// How long ago it is.
    pub fn age(self, now: Instant) -> Duration {
        self.before.saturating_add(now.since(self.at))
    }
}

impl From<Instant> for Moment {
    fn from(at: Instant) -> Self {
        Self { at, before: Duration::ZERO }
    }
}

/// Who named a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Teller {
    /// The user.
    User,
    /// An earlier run, which did not keep who told it.
    Earlier,
    /// Its answer to an announcement of ours.
    Lan,
    /// Multicast DNS.
    DnsSd,
    /// The host itself: it dialled us, or we were linked.
    Peer,
    /// `X-Try` or `X-Try-Ultrapeers` in a handshake.
    XTry,
    /// A Pong.
    Pong,
    /// A host cache: by UDP or HTTP.
    HostCache,
}

impl From<HostSource> for Teller {
    /// Who it is if no more is known; of strangers the application itself asks host caches alone.
    fn from(source: HostSource) -> Self {
        match source {
            HostSource::User => Self::User,
            HostSource::Cache => Self::Earlier,
            HostSource::Lan => Self::Lan,
            HostSource::DnsSd => Self::DnsSd,
            HostSource::Peer => Self::Peer,
            HostSource::Stranger => Self::HostCache,
        }
    }
}

/// What came of the last try to link to a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A link.
    Connected,
    /// Nobody listens there, or it does not want us.
    Refused,
    /// It had no slot.
    Busy,
    /// No answer in time.
    TimedOut,
    /// Anything else that kept us from a link.
    Failed,
}

/// Free slots of an ultrapeer, as GGEP `UP` tells them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slots {
    /// For leaves.
    pub leaves: u8,
    /// For ultrapeers.
    pub ultrapeers: u8,
}

/// For queries by content.
impl Command {
    /// A search by words or content with the configured TTL.
    pub fn flood(id: SearchId, text: &str, urns: &[Urn]) -> Self {
        Self::Search { id, query: Query::new(text, urns), ttl: None, strategy: None }
    }
}
