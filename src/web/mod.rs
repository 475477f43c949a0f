//! The control API: HTTP/1.1 and JSON on loopback (and beyond, by a password, if the owner says so: ADR 0015), over the same facade that the command line uses.
//!
//! One table, [`routes`], drives dispatch and the listing at `GET /api/v1`. Every request passes [`guard`]
//! first: a request with a foreign `Host` or `Origin`, or without the token, never gets a 2xx. Nothing here
//! knows how a servent works; it turns requests into calls of [`crate::app::Node`] and views into JSON.
//!
//! docs/API.md is the contract. Not here: anything that speaks to peers (`wire` and `net` do). The page is
//! in the folder `page`, as it is sent.

mod answer;
mod attempts;
pub mod bodies;
mod guard;
mod handlers;
pub mod io;
mod login;
mod metrics;
pub mod openapi;
pub mod page;
pub mod password;
mod process;
mod reach;
pub mod routes;
mod seats;
mod serve;
mod stream;
pub mod uri;

pub use guard::Token;
pub use reach::{Names, OPEN, Reach, near};
pub use serve::{Limits, Server, Setting, serve};
