//! The running servent: commands in, views out.
//!
//! [`Node`] is the one facade: the control API and, through it, the command line and the page use nothing
//! else. It joins the core (`proto`, `library`, `transfer`) with `net` and `disk`, which never meet.

pub mod alternates;
mod bootstrap;
mod browses;
mod dial;
pub mod doctor;
pub mod downloads;
mod error;
mod events;
mod folders;
pub mod import;
mod inner;
mod kept;
mod kept_hosts;
mod keywords;
mod limits;
mod list;
mod magnets;
mod meter;
mod node;
pub mod offline;
mod portmap;
mod proxies;
mod pushes;
mod resolve;
mod searches;
mod session;
mod shelf;
mod speeds;
mod start;
pub mod uploads;
pub mod view;
mod watches;
mod words;

pub use error::{Error, ErrorCode};
pub use limits::{LIMITS, LimitKey, Limits};
pub use magnets::MagnetRequest;
pub use node::{BrowseRequest, GetRequest, Node, Options, SearchRequest, ShareRequest};
pub use portmap::PortMapping;
pub use speeds::{SpeedLimits, SpeedsRequest, UnknownSpeed, parse_speed, speed_text};
pub use watches::{WatchPace, WatchRequest};
