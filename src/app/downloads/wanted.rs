//! What somebody wants to have: a hit, a urn, a magnet or a link, made into content and sources.

use std::path::PathBuf;

use crate::app::view::HitView;
use crate::app::{Error, ErrorCode};
pub use crate::disk::OnExists;
use crate::transfer::{Expected, Source};
use crate::wire::Urn;

/// What somebody wants to have.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// What the content must be.
    pub expected: Expected,
    /// Its size, if known.
    pub size: Option<u64>,
    /// The name to save it under, as a stranger gave it; it is sanitised here.
    pub name: String,
    /// Who is known to have it.
    pub sources: Vec<Source>,
    /// Where the finished file goes, if not to the download directory.
    pub dir: Option<PathBuf>,
    /// What happens when the name is taken.
    pub on_exists: OnExists,
}

#[allow(unused_variables, clippy::todo)]
impl Wanted {
    /// Content by name alone: the network is asked for sources.
    pub fn urn(urn: &Urn) -> Self {
        todo!()
    }
    /// A hit, and more hits that name the same content.
    pub fn hit(hit: &HitView, same: &[HitView]) -> Result<Self, Error> {
        todo!()
    }
    /// `urn:...`, `magnet:?...` or `http://HOST[:PORT]/...`; resolves host names.
    pub async fn parse(what: &str) -> Result<Self, Error> {
        todo!()
    }
}
