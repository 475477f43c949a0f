//! The full-screen face: the same views and keys as the page, in a terminal.
//!
//! It is one conversation, like the core: [`Model::key`] and [`Model::told`] take what happened and give what is to
//! be asked of the servent ([`Ask`]); [`draw::draw`] paints the model. Nothing here talks to a servent, waits or
//! reads a clock: `cli` performs the asks through the control API and tells the answers. So all of it is
//! tested without a terminal.
//!
//! [`screen`] is the terminal itself: it is put back as it was however the program ends. [`text`] holds the words and
//! numbers of both faces that write to terminals.

pub mod ask;
pub mod draw;
mod hits;
mod keys;
mod model;
pub mod screen;
mod shown;
pub mod text;
mod told;

pub use ask::{Ask, Told};
pub use keys::Key;
pub use model::{Model, ROWS, View};

#[cfg(test)]
mod tests;
