//! Fetching and giving files, decided without a socket or a file: names from strangers, block maps, the machine
//! behind a download, where a body ends, and the answer to a request.

pub mod blocks;
pub mod browse;
pub mod check;
pub mod download;
pub mod framing;
pub mod given;
pub mod journal;
pub mod magnet;
pub mod name;
pub mod play;
pub mod proof;
pub mod queue;
mod source;
pub mod upload;

pub use blocks::{Block, BlockMap};
pub use download::{
    Download, DownloadConfig, Failure, Input, Lost, MAX_PREFERRED, Output, Shows, SizeFrom, SourceId, SourceReport,
    State, Wrong,
};
pub use proof::Proof;
pub use source::{Ask, Check, Expected, MAX_PROXIES, Reach, Source};
