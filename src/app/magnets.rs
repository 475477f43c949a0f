//! Magnets of what we know: a hit, a download, a file that we share, or content by its name alone.

use std::path::Path;

use super::downloads::Wanted;
use super::inner::Inner;
use super::proxies::Wall;
use super::view::MagnetView;
use super::{Error, ErrorCode};
use crate::library::SharedFile;
use crate::proto::Reachable;
use crate::transfer::magnet::Magnet;
use crate::transfer::{Ask, Expected, Reach, Source};
use crate::wire::Urn;
use crate::wire::text::strip;

/// Of what to make a magnet.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct MagnetRequest {
    /// A hit's number, a urn, or the path of a shared file.
    #[serde(default)]
    pub what: String,
    /// The number of a download, instead.
    #[serde(default)]
    pub transfer: Option<u64>,
}

impl Inner {
    /// The magnet of that, with all sources that are known, ourselves among them where we share it.
    pub(super) fn magnet(&self, request: &MagnetRequest) -> Result<MagnetView, Error> {
        let what = request.what.trim();
        let wanted = if let Some(id) = request.transfer {
            self.downloads.wanted(id)?
        } else if let Ok(number) = what.parse::<u32>() {
            let (hit, same) = self.searches.hit(number).ok_or_else(|| {
                Error::new(ErrorCode::NotFound, format!("the latest search has no hit {number}"))
                    .hint("Of a download: `filbert magnet --transfer ID`")
            })?;
            Wanted::hit(&hit, &same)?
        } else if strip(what, "urn:").is_some() {
            let urn: Urn = what
                .parse()
                .map_err(|error| Error::new(ErrorCode::Usage, format!("{what:?} cannot be read: {error}")))?;
            match self.shelf.library().by_urn(&urn) {
                Some(shared) => self.shared(&shared)?,
                None => self.downloads.wanted_by(&Expected::of_urn(&urn)).unwrap_or_else(|| Wanted::urn(&urn)),
            }
        } else {
            let shared = self.shelf.by_path(Path::new(what)).ok_or_else(|| {
                Error::new(ErrorCode::NotFound, format!("{what} is no shared file"))
                    .hint("Say a hit's number, urn:sha1:..., --transfer ID or the path of a file that you share")
            })?;
            self.shared(&shared)?
        };
        let magnet = Magnet::of(&wanted.expected, &wanted.name, wanted.size, &wanted.sources);
        let urn = wanted.expected.urn().map(|urn| urn.to_string());
        Ok(MagnetView { magnet: magnet.to_string(), name: wanted.name, size: wanted.size, urn })
    }

    fn shared(&self, file: &SharedFile) -> Result<Wanted, Error> {
        let digests = file.digests.ok_or_else(|| {
            Error::new(ErrorCode::Failed, format!("{} is still being hashed", file.name)).hint("Ask again later")
        })?;
        let urn = Urn::Sha1(digests.sha1);
        let mut wanted = Wanted::urn(&urn);
        wanted.expected.tth = Some(digests.tth);
        (wanted.name, wanted.size) = (file.name.clone(), Some(file.stamp.size));
        let Wall { reachable, us, proxies, .. } = self.proxies.wall();
        let reach = if reachable == Reachable::No { Reach::Push } else { Reach::Direct };
        // An address that says nothing helps nobody.
        let at = us.unwrap_or(self.listen);
        if !at.ip().is_unspecified() {
            wanted.sources.push(Source {
                servent: Some(self.servent),
                reach,
                proxies,
                ..Source::new(at, Ask::Urn(urn))
            });
        }
        Ok(wanted)
    }
}
