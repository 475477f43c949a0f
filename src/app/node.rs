//! The facade: one running servent.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;

use futures::Stream;

use super::Error;
use super::view::{EventView, HostView, PeerView, SearchLine, SearchView, ShareView, StatusView, TransferView};

/// A stream that can be sent between threads.
pub type BoxStream<T> = Pin<Box<dyn Stream<Item = T> + Send>>;

/// How to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where config, state, cache and downloads live.
    pub home: crate::disk::Home,
    /// Folders shared for this run.
    pub share: Vec<PathBuf>,
    /// Share them even where `share` would ask.
    pub yes: bool,
    /// Where to listen; port 0 is any free one.
    pub listen: SocketAddr,
    /// Whether the user said where to listen: if not, a port in use is replaced by the next free one.
    pub listen_given: bool,
    /// Hosts to be linked to: `HOST[:PORT]`.
    pub connect: Vec<String>,
    /// Dial only those.
    pub only_listed: bool,
    /// Size of the neighbour set.
    pub neighbours: usize,
    /// TTL of our queries.
    pub ttl: u8,
    /// Where finished files go, used as is; `None` is the home's own.
    pub download_dir: Option<PathBuf>,
    /// In-process for one command: shares nothing, takes no lock, resumes nothing.
    pub private: bool,
}

/// What to search.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct SearchRequest {
    /// In the query language; words as typed, joined by spaces with quotes where they were needed.
    pub query: String,
    /// TTL for this one.
    #[serde(default)]
    pub ttl: Option<u8>,
    /// Exactly that long, in milliseconds; `None`: until 2 s after the last hit and 5 s at most.
    #[serde(default)]
    pub wait_ms: Option<u64>,
    /// Stop at that many hits.
    #[serde(default)]
    pub max: Option<u64>,
}

/// What to download.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct GetRequest {
    /// What.
    pub what: String,
    /// Where the finished file goes.
    #[serde(default)]
    pub dir: Option<PathBuf>,
    /// Under which name.
    #[serde(default)]
    pub name: Option<String>,
    /// `skip`, `rename` or `overwrite`; `None`: skip when the content is the same, else rename.
    #[serde(default)]
    pub on_exists: Option<String>,
}

/// What a `get` names, once parsed from [`GetRequest::what`]: `3`, `urn:...`, `magnet:?...`, `http://...`.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// A hit of the latest search.
    Hit(u32),
    /// Content by name.
    Urn(crate::wire::Urn),
    /// A magnet link.
    Magnet(String),
    /// A file at a peer.
    Url(String),
}

/// A folder to share.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct ShareRequest {
    /// Which.
    pub path: PathBuf,
    /// Share even `/`, the home directory and their like.
    #[serde(default)]
    pub i_mean_it: bool,
}

/// A running servent. Dropping it stops it without a word; [`Node::shutdown`] says Bye.
#[derive(Debug)]
pub struct Node {}

#[allow(unused_variables, missing_docs, clippy::todo)]
impl Node {
    /// Opens the port, takes up neighbours, shares and unfinished downloads. Waits for neither scan nor hashing.
    pub async fn start(options: Options) -> Result<Node, Error> {
        todo!()
    }
    /// Where it listens.
    pub fn listen_addr(&self) -> SocketAddr {
        todo!()
    }
    pub async fn status(&self) -> StatusView {
        todo!()
    }
    pub async fn shares(&self) -> Vec<ShareView> {
        todo!()
    }
    /// Shares a folder from now on (kept in the state). Policy refusals (`/`, home, ~/.ssh ...) are `Refused`.
    pub async fn share(&self, request: ShareRequest) -> Result<ShareView, Error> {
        todo!()
    }
    pub async fn unshare(&self, path: PathBuf) -> Result<(), Error> {
        todo!()
    }
    pub async fn peers(&self) -> Vec<PeerView> {
        todo!()
    }
    /// `HOST[:PORT]`; resolves names. Waits until it is linked, refused or failed.
    pub async fn connect(&self, host: String) -> Result<PeerView, Error> {
        todo!()
    }
    pub async fn disconnect(&self, addr: String) -> Result<(), Error> {
        todo!()
    }
    pub async fn set_neighbours(&self, n: usize) -> Result<(), Error> {
        todo!()
    }
    pub async fn hosts(&self) -> Vec<HostView> {
        todo!()
    }
    /// Adds hosts to the cache; returns how many were new.
    pub async fn import_hosts(&self, hosts: Vec<String>) -> Result<usize, Error> {
        todo!()
    }
    /// Starts a search. Waits for a first neighbour for as long as the search would take; without one: `NotConnected`.
    pub async fn search(&self, request: SearchRequest) -> Result<SearchView, Error> {
        todo!()
    }
    pub async fn searches(&self) -> Vec<SearchView> {
        todo!()
    }
    /// All hits of a search so far, then those to come, then `Done`.
    pub async fn hits(&self, search: u64) -> Result<BoxStream<SearchLine>, Error> {
        todo!()
    }
    pub async fn end_search(&self, search: u64) -> Result<(), Error> {
        todo!()
    }
    /// Starts (or joins) a download.
    pub async fn get(&self, request: GetRequest) -> Result<TransferView, Error> {
        todo!()
    }
    pub async fn transfers(&self) -> Vec<TransferView> {
        todo!()
    }
    /// Its state now, then each change (at most ten a second), ends after `done`, `failed` or `cancelled`.
    pub async fn watch_transfer(&self, id: u64) -> Result<BoxStream<TransferView>, Error> {
        todo!()
    }
    pub async fn pause(&self, id: u64) -> Result<TransferView, Error> {
        todo!()
    }
    pub async fn resume(&self, id: u64) -> Result<TransferView, Error> {
        todo!()
    }
    /// Cancels and removes the partial file.
    pub async fn cancel(&self, id: u64) -> Result<TransferView, Error> {
        todo!()
    }
    pub async fn retry(&self, id: u64) -> Result<TransferView, Error> {
        todo!()
    }
    /// What happens from now on. A slow reader misses events and is told how many.
    pub fn events(&self) -> BoxStream<EventView> {
        todo!()
    }
    /// Says Bye, keeps the state, closes everything. Returns when nothing of it runs any more.
    pub async fn shutdown(&self) {
        todo!()
    }
}
