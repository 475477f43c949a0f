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

mod address;
mod config;
mod counters;
mod handshake;
mod hosts;
mod io;
mod link;
mod messages;
mod neighbours;
mod pongs;
mod queue;
mod router;
mod routes;
mod search;
mod seen;
mod servent;
mod ttl;

pub use config::{Config, Limits, Rate};
pub use counters::{Counters, Drops};
pub use io::{
    Answer, CloseReason, Command, ConnId, DialFailure, Direction, DropReason, Event, HostInfo, HostSource, Input,
    Outbox, Output, PeerInfo, Purpose, Role, SearchId, Strategy, Traffic, Verdict,
};
pub use servent::Servent;

#[cfg(test)]
mod tests;
