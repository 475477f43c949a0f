//! Sockets: the one port that everything comes in by, Gnutella links, peer HTTP, and the task that drives the
//! servent. Nothing here decides what a message means or touches a file by its path.

mod descriptors;
mod driver;
pub mod fetch;
mod flow;
pub mod giv;
mod lan;
mod link;
mod listen;
mod mdns;
pub mod portmap;
pub mod rt;
mod secret;
mod send;
pub mod serve;
mod udp;
mod zone;

pub use descriptors::Descriptors;
pub use driver::{Clock, Gate, Handle, Ports, Running, start, start_with};
pub use flow::{Allowance, Flow, Outflow, Tap};
pub use lan::{GROUP, Lan, LanState};
pub use link::ROOM;
pub use listen::{Dialect, Ends, HEAD_TIME, ListenConfig, bind, bind_everywhere, listen};
pub use mdns::Mdns;
pub use secret::Identity;
pub use udp::bind_udp;
