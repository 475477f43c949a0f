//! What a servent keeps between runs, besides transfers and the latest hits: its name, hosts and shares.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Error, ErrorCode};
use crate::base::Rng;
use crate::disk::{Durable, StateFile};
use crate::wire::Guid;

/// Hosts that are kept. "Host cache 2,000" (DESIGN section 6).
const HOSTS: usize = 2000;

/// The files of the state directory.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    servent: StateFile,
    hosts: StateFile,
    shares: StateFile,
    pub(super) search: StateFile,
}

impl Kept {
    pub(super) fn at(state: &Path) -> Self {
        Self {
            servent: StateFile::new(state, "servent.json"),
            hosts: StateFile::new(state, "hosts.json"),
            shares: StateFile::new(state, "shares.json"),
            search: StateFile::new(state, "search.json"),
        }
    }

    /// The servent's name: the one it always had, or a new one.
    pub(super) fn servent(&self, rng: &mut Rng) -> Result<Guid, Error> {
        let read: Option<String> = read(&self.servent)?;
        if let Some(guid) = read.as_deref().and_then(guid_from_hex) {
            return Ok(guid);
        }
        let guid = Guid::random(rng);
        write(&self.servent, &guid.to_string(), Durable::Yes)?;
        Ok(guid)
    }

    /// The hosts of earlier runs, the most promising first.
    pub(super) fn hosts(&self) -> Result<Vec<SocketAddr>, Error> {
        Ok(read(&self.hosts)?.unwrap_or_default())
    }

    pub(super) fn keep_hosts(&self, hosts: &[SocketAddr]) -> Result<(), Error> {
        write(&self.hosts, &hosts[..hosts.len().min(HOSTS)], Durable::No)
    }

    /// The folders shared until they are unshared.
    pub(super) fn shares(&self) -> Result<Vec<PathBuf>, Error> {
        Ok(read(&self.shares)?.unwrap_or_default())
    }

    pub(super) fn keep_shares(&self, shares: &[PathBuf]) -> Result<(), Error> {
        write(&self.shares, shares, Durable::Yes)
    }
}

/// The content of a file; `None` when there is none, or when it is not what we write: then it is set aside.
fn read<T: DeserializeOwned>(file: &StateFile) -> Result<Option<T>, Error> {
    let path = file.path();
    let failed = |error: std::io::Error| {
        Error::new(ErrorCode::Failed, format!("cannot read {}: {error}", path.display()))
            .hint("check who owns the state directory")
    };
    let Some(bytes) = file.read().map_err(failed)? else { return Ok(None) };
    match serde_json::from_slice(&bytes) {
        Ok(value) => Ok(Some(value)),
        Err(error) => {
            let aside = path.with_extension("bad");
            log::warn!(target: "filbert", "{} is damaged ({error}); it is now {}", path.display(), aside.display());
            std::fs::rename(&path, &aside).map_err(failed)?;
            Ok(None)
        }
    }
}

fn write<T: Serialize + ?Sized>(file: &StateFile, value: &T, durable: Durable) -> Result<(), Error> {
    let written = serde_json::to_vec_pretty(value).map_err(std::io::Error::other);
    written.and_then(|bytes| file.write(&bytes, durable)).map_err(|error| {
        Error::new(ErrorCode::Failed, format!("cannot write {}: {error}", file.path().display()))
            .hint("check that the disk is not full and who owns the state directory")
    })
}

fn guid_from_hex(hex: &str) -> Option<Guid> {
    let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok()?;
    Some(Guid(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servent_keeps_its_name_and_what_it_knows() {
        let dir = tempfile::tempdir().expect("a directory");
        let kept = Kept::at(dir.path());
        let mut rng = Rng::from_number(1);
        let name = kept.servent(&mut rng).expect("a new name");
        assert_eq!(Kept::at(dir.path()).servent(&mut rng).expect("the same name"), name);
        assert_eq!(kept.hosts().expect("none yet"), []);
        let hosts: Vec<SocketAddr> = vec!["127.0.0.1:1".parse().expect("v4"), "[::1]:2".parse().expect("v6")];
        kept.keep_hosts(&hosts).expect("kept");
        assert_eq!(kept.hosts().expect("read"), hosts);
        kept.keep_shares(&[PathBuf::from("/a b")]).expect("kept");
        assert_eq!(kept.shares().expect("read"), [PathBuf::from("/a b")]);
    }

    #[test]
    fn a_damaged_file_is_set_aside_and_does_not_stop_the_servent() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("hosts.json"), b"[\"127.0.").expect("written");
        let kept = Kept::at(dir.path());
        assert_eq!(kept.hosts().expect("no error"), []);
        assert!(dir.path().join("hosts.bad").exists());
    }
}
