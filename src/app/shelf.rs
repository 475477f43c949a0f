//! What we share: the library, and the folders behind it.
//!
//! Requests and queries are answered by look-ups in the library; the way from a file of the library to bytes
//! leads through the handle of its folder and never through a path that a stranger wrote.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, RwLock};

use super::events::{Bell, Broadcast};
use super::inner::{Warnings, read};
use super::view::ShareView;
use super::{Error, ErrorCode};
use crate::base::Rng;
use crate::library::{Library, RootId, SharedFile, Stamp};
use crate::wire::Urn;
use crate::wire::http::Target;

/// Whether the user was asked about a risky folder, or has said that they mean it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Consent {
    Asked,
    Meant,
}

/// How long a folder stays shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lasting {
    ThisRun,
    Kept,
}

/// A clone is a handle to the same shelf.
#[derive(Clone)]
pub(super) struct Shelf {
    pub(super) library: Arc<RwLock<Library>>,
    change: Arc<Change>,
}

#[derive(Default)]
struct Change {
    happened: AtomicBool,
    bell: Bell,
}

impl Shelf {
    /// Nothing shared yet.
    pub(super) fn open(_cache: &Path, rng: &mut Rng, _: Arc<Warnings>, _: Arc<Broadcast>) -> Result<Self, Error> {
        Ok(Self { library: Arc::new(RwLock::new(Library::new(rng))), change: Arc::default() })
    }

    /// Waits until something has changed since the last call.
    pub(super) async fn changed(&self) {
        let Change { happened, bell } = &*self.change;
        bell.until(|| happened.swap(false, SeqCst).then_some(())).await;
    }

    pub(super) fn views(&self) -> Vec<ShareView> {
        Vec::new()
    }

    pub(super) async fn share(&self, path: PathBuf, _: Consent, _: Lasting) -> Result<ShareView, Error> {
        Err(Error::new(ErrorCode::Failed, format!("cannot share {}", path.display())))
    }

    pub(super) async fn unshare(&self, path: &Path) -> Result<(), Error> {
        Err(Error::new(ErrorCode::NotFound, format!("{} is not shared", path.display())))
    }

    /// The folders that stay shared in the next run.
    pub(super) fn lasting(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// The file that a request means.
    pub(super) fn find(&self, target: &Target) -> Option<Arc<SharedFile>> {
        let library = read(&self.library);
        match target {
            Target::ByUrn(urn) => library.by_urn(urn),
            // The name in the target is decoration: the index says which.
            Target::ByIndex(index, _) => library.by_index(*index),
            Target::Tree(_) | Target::Browse | Target::Unknown => None,
        }
    }

    /// Opens a shared file.
    pub(super) fn open_file(&self, _: RootId, _: &Path) -> io::Result<(File, Stamp)> {
        Err(io::ErrorKind::NotFound.into())
    }

    /// Where a file of that content lies.
    pub(super) fn path_of(&self, _: &Urn) -> Option<PathBuf> {
        None
    }

    /// Stops watching and hashing.
    pub(super) async fn shutdown(&self) {}
}
