//! filbert: a Gnutella 0.6 servent. Share a folder, search your neighbours, download straight from them.
//!
//! The folders are floors; imports point down only (`tests/architecture.rs`).
//!
//! ```text
//! 7  main                        five lines
//! 6  cli                         the command line, the demo
//! 5  web | tui                   the control API | the full-screen face
//! 4  app                         the running servent: commands in, views out
//! 3  net | disk | sim            sockets | files | the virtual world (strangers to each other)
//! 2  proto | library | transfer  pure state machines (strangers to each other)
//! 1  wire                        bytes <-> values
//! 0  base                        time, chance, small containers
//! ```
//!
//! Floors 0 to 2 and `sim` are the core: no sockets, no files, no clock, no chance of their own. They build
//! alone with `--no-default-features`.

pub mod base;
pub mod wire;

pub mod library;
pub mod proto;
pub mod transfer;

#[cfg(feature = "node")]
pub mod disk;
#[cfg(feature = "node")]
pub mod net;
pub mod sim;

#[cfg(feature = "node")]
pub mod app;

#[cfg(feature = "node")]
pub mod cli;
#[cfg(feature = "node")]
pub mod tui;
#[cfg(feature = "node")]
pub mod web;
