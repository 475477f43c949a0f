//! The servent: connection manager and query router as one pure state machine.
//!
//! It is one conversation. The driver tells it what happened ([`Input`]), it answers with what to do
//! ([`Output`]); it never touches a socket, a file or a clock, and the same seed and the same inputs give
//! the same outputs, byte for byte. `net` drives it over sockets, `sim` in virtual time: the same code.
//!
//! ```text
//! servent.handle(now, input, &mut outbox)      something happened
//! servent.handle_timeout(now, &mut outbox)     the deadline came
//! servent.next_timeout() -> Option<Instant>    when to wake me; ask after each of the two above
//! ```
//!
//! # How a message is routed
//!
//! The router *decides* (`router`: `Flood`, `Back`, `Local` or `Drop` with a reason), the servent *acts*
//! (`messages`), and every reason is counted at the peer and in all.
//!
//! | message | rule |
//! |---|---|
//! | any | TTL 0, or more hops than any message may have: dropped. TTL clipped so that TTL + hops is 7 at most (`ttl`). |
//! | Query | First copy: to all neighbours but its bringer with TTL - 1 and hops + 1 if TTL is left, and to the application. Any other copy is a duplicate, whatever its TTL (`seen`, `docs/adr/0001-first-copy-wins.md`). A query that came back to its origin counts as `own`, and among the duplicates. |
//! | QueryHit | Back along the way of the query (`routes`), never by the link it came from; a hit for a search of ours goes to the application. Its servent GUID is remembered for pushes. A second hit is no duplicate. |
//! | Push | Along the way of the hit; one for us goes to the application if strangers may make us dial there (`push`). |
//! | Ping | Not flooded: answered here with at most ten pongs (`pongs`). TTL 1: ourselves; TTL 2: our neighbours too, as crawlers ask; more: hosts that passed by of late too. Neighbours that never told of themselves are asked on the asker's behalf, one link far. |
//! | Pong | Taken when it answers a ping of ours; sent back when it answers one that we passed on. |
//! | Bye | The link is closed, the reason kept. |
//! | vendor messages | For one link: those that we take are in `vendor`. |
//! | RouteTableUpdate | The sender's table of words is changed (`tables`): a query on its last link goes only where it may match, to a leaf always. |
//! | others | Dropped. |
//!
//! What comes by UDP has its own table, in `datagrams`; hits that go by UDP are in `oob`.
//!
//! Rates: each neighbour has a token bucket for each kind ([`Limits`]). Duplicates are sorted out before, they cost
//! little; so the bucket bounds what is *new*. A query over its neighbour's rate, or malformed, is not
//! remembered: a good copy from elsewhere is then the first.
//!
//! Slow links: the servent owns the queues (`queue`); see there who goes first and who is dropped.
//!
//! Connections: `handshake` says who gets a slot, `neighbours` whom we dial and let go, `hosts` whom we know and
//! how often we may knock.

mod address;
mod claims;
mod config;
mod counters;
mod datagrams;
pub mod dnssd;
mod dynamic;
mod farewell;
mod handshake;
mod hosts;
mod io;
mod link;
mod messages;
mod neighbours;
mod oob;
mod ping_back;
mod pongs;
mod promises;
mod push;
mod queue;
mod reach;
mod role;
mod router;
mod routes;
mod search;
mod seen;
mod servent;
mod sight;
mod tables;
mod ttl;
mod vendor;

pub use address::{is_dialable, is_strangers_port, may_name};
pub use config::{Config, Deflate, Encrypt, Limits, OutOfBand, Rate, RoleChoice};
pub use counters::{Counters, Drops};
pub use io::{
    Answer, CloseReason, Command, ConnId, DialFailure, Direction, DropReason, Event, HostInfo, HostSource, Input,
    Moment, Outbox, Outcome, Output, PeerInfo, Purpose, PushBy, Role, SearchId, Slots, Strategy, Teller, Traffic,
    Verdict, Word,
};
pub use reach::Reachable;
pub use servent::Servent;

#[cfg(test)]
mod tests;
