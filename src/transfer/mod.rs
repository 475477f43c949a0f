//! Fetching and giving files, decided without a socket or a file: names from strangers, block maps, the machine
//! behind a download, and the answer to a request.

mod source;

pub use source::{Ask, Check, Expected, Reach, Source};
