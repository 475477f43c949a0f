//! The uploads: what peers fetch from us, decided by [`crate::transfer`], opened beneath the shares by the
//! closure that `disk` stands behind, sent by `net::serve`.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::view::TransferView;
use crate::library::{RootId, SharedFile, Stamp};
use crate::wire::http::Target;

/// How much is given away at a time.
#[derive(Clone, Copy, Debug)]
pub struct UploadsConfig {
    /// Files sent at a time; the next request is answered with 503 and `Retry-After`.
    pub slots: usize,
    /// ... to one public address. Loopback, link-local and private addresses are exempt.
    pub slots_per_address: usize,
}

impl Default for UploadsConfig {
    fn default() -> Self {
        Self { slots: 16, slots_per_address: 2 }
    }
}

/// What the uploads need of the rest of the servent.
pub struct UploadHooks {
    /// The shared file that a request means: a look-up, never a path.
    pub find: Box<dyn Fn(&Target) -> Option<Arc<SharedFile>> + Send + Sync>,
    /// Opens a shared file beneath its folder's handle. Called where it may block.
    pub open: Box<dyn Fn(RootId, &Path) -> io::Result<(File, Stamp)> + Send + Sync>,
    /// A fresh number for a transfer.
    pub next_id: Box<dyn Fn() -> u64 + Send + Sync>,
    /// An upload has changed: at most twice a second each, and when it ends.
    pub changed: Box<dyn Fn(TransferView) + Send + Sync>,
    /// All slots are taken, or are not any more.
    pub busy: Box<dyn Fn(bool) + Send + Sync>,
}

/// All uploads of a servent; a clone is a handle to the same set. It is the shelf that `net::serve` asks.
#[derive(Clone)]
pub struct Uploads(Arc<Inner>);

struct Inner {}

#[allow(unused_variables, clippy::todo)]
impl Uploads {
    /// No uploads yet.
    pub fn new(config: UploadsConfig, hooks: UploadHooks) -> Self {
        drop((config, hooks));
        Self(Arc::new(Inner {}))
    }
    /// Those that run and those that ended lately (the last 50), in the order of their ids.
    pub fn views(&self) -> Vec<TransferView> {
        Vec::new()
    }
    /// Bytes a second that are sent now.
    pub fn rate(&self) -> u64 {
        0
    }
}

#[allow(unused_variables, clippy::todo)]
impl crate::net::serve::Shelf for Uploads {
    fn answer<'a>(
        &'a self,
        request: &'a crate::wire::http::Request,
        from: std::net::SocketAddr,
    ) -> futures::future::BoxFuture<'a, crate::net::serve::Answer> {
        todo!()
    }
}
