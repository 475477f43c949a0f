//! The servent's knobs: what each trades, where its default comes from.

use std::time::Duration;

use crate::wire::Guid;

/// How a servent behaves. Start with [`Config::new`] and change what you must.
#[derive(Clone, Debug)]
pub struct Config {
    /// Names this servent to others: hits carry it, Pushes are addressed to it.
    pub servent: Guid,
    /// Four letters that name the program in hits. Ours is `FLBT`.
    pub vendor: [u8; 4],
    /// `User-Agent` in handshakes.
    pub user_agent: String,
    /// What we are in a network of ultrapeers and leaves.
    pub role: RoleChoice,
    /// Ultrapeers that we want while we are a leaf. Real clients want 3 to 5: one may go, or be a bad one.
    pub shields: usize,
    /// Neighbours that we dial until we have. More of them: wider reach, more traffic. By default 8.
    pub neighbours: usize,
    /// Peers that we accept in all; `None` is max(32, 2 x neighbours). It is advertised as `X-Degree`.
    pub accept: Option<usize>,
    /// Leaves that we accept while we are an ultrapeer. Each costs memory and keep-alives; real clients take 30 to 300.
    pub leaves: usize,
    /// Open Gnutella links only to hosts that the user named; learn of others, never dial them.
    pub only_listed: bool,
    /// Announce us on the local network while neighbours are missing.
    pub lan: bool,
    /// TTL of our own queries. Each step multiplies reach and traffic; real clients send 4 at most.
    pub ttl: u8,
    /// On arrival TTL is clipped so that TTL + hops stays at or below this. Gnutella's own "TTL 7".
    pub max_ttl: u8,
    /// Our hits say that we can be browsed.
    pub browse: bool,
    /// Which directions of our links are deflated.
    pub deflate: Deflate,
    /// Whether our links are encrypted.
    pub encrypt: Encrypt,
    /// Whether hits go by UDP, past the links.
    pub out_of_band: OutOfBand,
    /// Speak vendor messages with those who do. The simulator does not: nobody calls back there.
    pub vendor_messages: bool,
    /// Something is sent on a link that was silent for this long, or up to a twentieth earlier, so that the two ends do
    /// not ping each other at once; a widely used client drops links that are silent for 20 s.
    pub keep_alive: Duration,
    /// The same between an ultrapeer and its leaf: there are many of those, and they wait longer.
    pub keep_alive_leaf: Duration,
    /// A neighbour that sent nothing for this long is dead; between an ultrapeer and its leaf it is
    /// `keep_alive_leaf` longer.
    pub dead_after: Duration,
    /// A handshake that is not through by then is given up.
    pub handshake_timeout: Duration,
    /// Everything that bounds what strangers can make us do.
    pub limits: Limits,
}

/// What we are in a network of ultrapeers, which route, and leaves, which do not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RoleChoice {
    /// An ultrapeer until the network is large and others do it better; see `proto::role`.
    #[default]
    Auto,
    /// An ultrapeer, whatever comes.
    Ultrapeer,
    /// A leaf, whatever comes.
    Leaf,
}

impl RoleChoice {
    /// The words for them.
    pub const WORDS: &'static [&'static str] = &["auto", "ultrapeer", "leaf"];

    /// By its word.
    pub fn parse(word: &str) -> Option<Self> {
        let at = Self::WORDS.iter().position(|known| *known == word)?;
        [Self::Auto, Self::Ultrapeer, Self::Leaf].get(at).copied()
    }
}

/// Which directions of our links are deflated, where the peer wants it too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Deflate {
    /// None.
    Off,
    /// What peers send: it costs us a window of 32 KiB each. A widely used client lets those go first that do not take it.
    #[default]
    Receive,
    /// What we send too: it costs 270 KB for each link on which much is sent, nothing for others, and saves half the bytes
    /// or so.
    Both,
}

impl Deflate {
    /// The words for them.
    pub const WORDS: &'static [&'static str] = &["off", "receive", "both"];

    /// By its word.
    pub fn parse(word: &str) -> Option<Self> {
        let at = Self::WORDS.iter().position(|known| *known == word)?;
        [Self::Off, Self::Receive, Self::Both].get(at).copied()
    }
}

/// Whether our links are encrypted. Only filberts can: for others it is `Off` whatever they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encrypt {
    /// None is.
    #[default]
    Off,
    /// Those are whose other end wants it too.
    Prefer,
    /// No other links are made.
    Require,
}

impl Encrypt {
    /// The words for them.
    pub const WORDS: &'static [&'static str] = &["off", "prefer", "require"];

    /// By its word.
    pub fn parse(word: &str) -> Option<Self> {
        let at = Self::WORDS.iter().position(|known| *known == word)?;
        [Self::Off, Self::Prefer, Self::Require].get(at).copied()
    }
}

/// Whether hits go by UDP, straight to who asked, where both sides can.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutOfBand {
    /// None do.
    Off,
    /// Ours do for those who ask for it; we ask for it on a large network, where relaying is what costs most.
    #[default]
    Auto,
    /// We always ask for it.
    On,
}

impl OutOfBand {
    /// The words for them.
    pub const WORDS: &'static [&'static str] = &["off", "auto", "on"];

    /// By its word.
    pub fn parse(word: &str) -> Option<Self> {
        let at = Self::WORDS.iter().position(|known| *known == word)?;
        [Self::Off, Self::Auto, Self::On].get(at).copied()
    }
}

/// Bounds on tables, queues and rates; docs/LIMITS.md has them all.
#[derive(Clone, Debug)]
pub struct Limits {
    /// GUIDs for which duplicate suppression keeps room in quiet times, once it took it.
    pub seen: usize,
    /// So many of the latest GUIDs are remembered; those before them may leave before they are `seen_age` old.
    /// The table has two generations, each for so many at most.
    pub seen_max: usize,
    /// How long a GUID is remembered after its latest copy: so long at least, twice as long at most.
    pub seen_age: Duration,
    /// Reverse paths kept for each of pongs, hits and pushes.
    pub routes: usize,
    /// Bytes that wait for a slow neighbour; above it the oldest query goes first.
    pub queue_bytes: usize,
    /// Queries that one neighbour may send us.
    pub queries: Rate,
    /// Pings that one neighbour may send us.
    pub pings: Rate,
    /// Hits and pongs that one neighbour may send us.
    pub hits: Rate,
    /// Pushes that one neighbour may send us.
    pub pushes: Rate,
    /// Dials in a minute to hosts that only strangers named.
    pub stranger_dials_per_minute: usize,
    /// Dials in an hour to one such IP:port.
    pub stranger_dials_per_host_hour: usize,
    /// Hosts that the cache keeps.
    pub hosts: usize,
    /// Handshakes under way at the same time, in both directions.
    pub handshakes: usize,
    /// Own searches that are remembered at the same time; the oldest is forgotten.
    pub searches: usize,
    /// Entries in one hit that we send; a longer answer is split.
    pub hit_entries: usize,
    /// Entries in all that we answer to one query.
    pub answer_entries: usize,
}

/// A rate with a burst; `None` in the place of one lifts the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Messages a second, sustained; `u32::MAX` is no limit.
    pub per_second: u32,
    /// Messages at once after silence.
    pub burst: u32,
}

impl Rate {
    /// No limit: for benches.
    pub const OFF: Rate = Rate { per_second: u32::MAX, burst: u32::MAX };
}

impl Config {
    /// The defaults for the servent of that name.
    pub fn new(servent: Guid) -> Self {
        Self {
            servent,
            vendor: *b"FLBT",
            user_agent: concat!("filbert/", env!("CARGO_PKG_VERSION")).to_owned(),
            role: RoleChoice::default(),
            shields: 3,
            neighbours: 8,
            accept: None,
            leaves: 300,
            only_listed: false,
            lan: true,
            ttl: 4,
            max_ttl: 7,
            browse: false,
            deflate: Deflate::default(),
            encrypt: Encrypt::default(),
            out_of_band: OutOfBand::default(),
            vendor_messages: true,
            keep_alive: Duration::from_secs(15),
            keep_alive_leaf: Duration::from_secs(60),
            dead_after: Duration::from_secs(60),
            handshake_timeout: Duration::from_secs(10),
            limits: Limits::default(),
        }
    }

    /// Peers that we accept in all.
    pub fn accept_limit(&self) -> usize {
        self.accept.unwrap_or_else(|| (2 * self.neighbours).max(32))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            seen: 64 * 1024,
            seen_max: 768 * 1024,
            seen_age: Duration::from_secs(600),
            routes: 32 * 1024,
            queue_bytes: 256 * 1024,
            queries: Rate { per_second: 50, burst: 500 },
            pings: Rate { per_second: 10, burst: 50 },
            hits: Rate { per_second: 200, burst: 2000 },
            pushes: Rate { per_second: 10, burst: 100 },
            stranger_dials_per_minute: 10,
            stranger_dials_per_host_hour: 2,
            hosts: 2000,
            handshakes: 64,
            searches: 256,
            hit_entries: 64,
            answer_entries: 256,
        }
    }
}
