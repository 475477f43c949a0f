//! The downloads: each is a task that runs a [`crate::transfer`] machine over `net::fetch` and `disk::Partial`.
//!
//! The set is kept in the state, so that after a crash every unfinished download goes on from its stored
//! sources without being asked. Ids are never used again.

mod wanted;

use std::path::PathBuf;
use std::sync::Arc;

use super::node::BoxStream;
use super::view::TransferView;
use super::{Error, ErrorCode};
use crate::base::Rng;
use crate::transfer::{Expected, Source};
use crate::wire::Urn;

pub use wanted::{OnExists, Wanted};

/// Where downloads go and how many run.
#[derive(Clone, Debug)]
pub struct DownloadsConfig {
    /// Finished files; partial ones are in `incomplete/` below it.
    pub dir: PathBuf,
    /// The state directory: `transfers.json` lies there.
    pub state: PathBuf,
    /// Downloads that connect or receive at a time; the others are queued.
    pub active: usize,
    /// Whether unfinished downloads of earlier runs go on (a private servent leaves them alone).
    pub resume: bool,
    /// `User-Agent` of our requests.
    pub agent: String,
}

/// What the downloads need of the rest of the servent. All are called from tasks; none may block.
pub struct Hooks {
    /// Ask the network who has this content; what is found is to come back by [`Downloads::add_source`].
    pub requery: Box<dyn Fn(&Urn) + Send + Sync>,
    /// The path of a shared file with this content.
    pub owned: Box<dyn Fn(&Urn) -> Option<PathBuf> + Send + Sync>,
    /// A download has changed: at most ten times a second each.
    pub changed: Box<dyn Fn(TransferView) + Send + Sync>,
}

/// All downloads of a servent. Clones are handles to the same set.
#[derive(Clone)]
pub struct Downloads(Arc<Inner>);

struct Inner {}

#[allow(unused_variables, clippy::todo)]
impl Downloads {
    /// Reads the state and lets unfinished downloads go on.
    pub async fn open(config: DownloadsConfig, hooks: Hooks, rng: Rng) -> Result<Self, Error> {
        drop((config, hooks, rng));
        Ok(Self(Arc::new(Inner {})))
    }
    /// Starts a download, joins the one of the same content, or finds that the file is here already.
    pub async fn get(&self, wanted: Wanted) -> Result<TransferView, Error> {
        todo!()
    }
    /// A source for content was found: every unfinished download of that content takes it.
    pub fn add_source(&self, content: &Expected, source: Source) {}
    /// There are new neighbours: downloads without a source ask the network soon.
    pub fn network_changed(&self) {}
    /// All downloads, in the order of their ids.
    pub fn views(&self) -> Vec<TransferView> {
        Vec::new()
    }
    /// One download.
    pub fn view(&self, id: u64) -> Option<TransferView> {
        todo!()
    }
    /// Its state now, then each change (at most ten a second); ends after `done`, `failed` or `cancelled`.
    pub fn watch(&self, id: u64) -> Option<BoxStream<TransferView>> {
        todo!()
    }
    /// Stops it until [`Downloads::resume`].
    pub fn pause(&self, id: u64) -> Result<TransferView, Error> {
        todo!()
    }
    /// Lets it go on.
    pub fn resume(&self, id: u64) -> Result<TransferView, Error> {
        todo!()
    }
    /// Ends it and removes the partial file. Returns when that is gone.
    pub async fn cancel(&self, id: u64) -> Result<TransferView, Error> {
        todo!()
    }
    /// Tries at once instead of waiting; a failed or cancelled one starts again.
    pub fn retry(&self, id: u64) -> Result<TransferView, Error> {
        todo!()
    }
    /// Bytes a second that all of them receive now.
    pub fn rate(&self) -> u64 {
        0
    }
    /// A fresh number for a transfer; uploads are numbered from here too.
    pub fn next_id(&self) -> u64 {
        todo!()
    }
    /// Closes all connections, keeps the state. Returns when nothing of it runs any more.
    pub async fn shutdown(&self) {}
}
