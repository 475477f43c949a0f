//! What a servent keeps between runs, besides transfers and the latest hits: its name, hosts and shares.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use serde::{Deserialize, Serialize};

use super::kept_hosts::KeptHost;
use super::{Error, ErrorCode};
use crate::base::Rng;
use crate::disk::state::StateFile;
use crate::disk::{next_step, why_unwritten};
use crate::net::Identity;
use crate::wire::Guid;

/// The files of the state directory.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    servent: StateFile,
    key: StateFile,
    pub(super) hosts: StateFile,
    pub(super) shares: StateFile,
    pub(super) search: StateFile,
    caches: StateFile,
    pub(super) watches: StateFile,
    pub(super) speeds: StateFile,
}

/// A shared folder, and the patterns of what is not shared of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "KeptForm", into = "KeptForm")]
pub(super) struct KeptShare {
    pub(super) path: PathBuf,
    pub(super) exclude: Vec<String>,
}

/// As it is written: a path alone where that is all there is.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum KeptForm {
    Whole(PathBuf),
    Without { path: PathBuf, exclude: Vec<String> },
}

impl From<KeptForm> for KeptShare {
    fn from(form: KeptForm) -> Self {
        match form {
            KeptForm::Whole(path) => Self { path, exclude: Vec::new() },
            KeptForm::Without { path, exclude } => Self { path, exclude },
        }
    }
}

impl From<KeptShare> for KeptForm {
    fn from(share: KeptShare) -> Self {
        match share {
            KeptShare { path, exclude } if exclude.is_empty() => Self::Whole(path),
            KeptShare { path, exclude } => Self::Without { path, exclude },
        }
    }
}

impl Kept {
    pub(super) fn at(state: &Path) -> Self {
        let file = |name: &str, kind| StateFile::new(state.join(name), kind, 1);
        Self {
            servent: file("servent.json", "servent"),
            key: file("key.json", "key"),
            hosts: StateFile::new(state.join("hosts.json"), "hosts", 2).since(1),
            shares: file("shares.json", "shares"),
            search: file("search.json", "search"),
            caches: file("caches.json", "caches"),
            watches: file("watches.json", "watches"),
            speeds: file("speeds.json", "speeds"),
        }
    }

    /// The servent's name: the one it always had, or a new one.
    pub(super) fn servent(&self, rng: &mut Rng) -> Result<Guid, Error> {
        let kept: Option<String> = self.servent.load().or_log();
        if let Some(guid) = kept.and_then(|guid| guid.parse().ok()) {
            return Ok(guid);
        }
        let guid = Guid::random(rng);
        save(&self.servent, &guid.to_string())?;
        Ok(guid)
    }

    /// The key of encrypted links: the one that it always had, or `fresh`.
    pub(super) fn identity(&self, fresh: [u8; 32]) -> Result<Identity, Error> {
        let kept: Option<String> = self.key.load().or_log();
        let kept = kept.and_then(|hex| HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok()?.try_into().ok());
        if let Some(private) = kept {
            return Ok(Identity::new(private));
        }
        save(&self.key, &HEXLOWER.encode(&fresh))?;
        Ok(Identity::new(fresh))
    }

    /// The hosts of earlier runs, the most promising first: as many as the servent kept in its cache.
    pub(super) fn hosts(&self) -> Vec<KeptHost> {
        self.hosts.load().or_log().unwrap_or_default()
    }

    pub(super) fn keep_hosts(&self, hosts: &[KeptHost]) -> Result<(), Error> {
        save(&self.hosts, hosts)
    }

    /// When host caches were last asked by HTTP: Unix seconds by address.
    pub(super) fn caches_asked(&self) -> BTreeMap<String, u64> {
        self.caches.load().or_log().unwrap_or_default()
    }

    pub(super) fn keep_caches_asked(&self, asked: &BTreeMap<String, u64>) -> Result<(), Error> {
        save(&self.caches, asked)
    }

    /// The folders shared until they are unshared.
    pub(super) fn shares(&self) -> Vec<KeptShare> {
        self.shares.load().or_log().unwrap_or_default()
    }

    pub(super) fn keep_shares(&self, shares: &[KeptShare]) -> Result<(), Error> {
        save(&self.shares, shares)
    }
}

fn save<T: Serialize + ?Sized>(file: &StateFile, value: &T) -> Result<(), Error> {
    file.save(&value).map_err(|error| unwritten(file, &error))
}

pub(super) fn unwritten(file: &StateFile, error: &std::io::Error) -> Error {
    let why = why_unwritten(error);
    Error::new(ErrorCode::Failed, format!("cannot write {}: {why}", file.path().display())).hint(next_step(error))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    #[test]
    fn a_servent_keeps_its_name_and_what_it_knows() {
        let dir = tempfile::tempdir().expect("a directory");
        let kept = Kept::at(dir.path());
        let mut rng = Rng::from_number(1);
        let name = kept.servent(&mut rng).expect("a new name");
        assert_eq!(Kept::at(dir.path()).servent(&mut rng).expect("the same name"), name);
        assert_eq!(kept.hosts(), []);
        let hosts = ["127.0.0.1:1", "[::1]:2"].map(|addr| KeptHost::from(addr.parse::<SocketAddr>().expect(addr)));
        kept.keep_hosts(&hosts).expect("kept");
        assert_eq!(kept.hosts(), hosts);
        let whole = KeptShare { path: "/a b".into(), exclude: Vec::new() };
        let without = KeptShare { path: "/c".into(), exclude: vec!["*.iso".into()] };
        kept.keep_shares(&[whole.clone(), without.clone()]).expect("kept");
        assert_eq!(kept.shares(), [whole, without]);
    }

    #[test]
    fn a_damaged_file_is_set_aside_and_does_not_stop_the_servent() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("hosts.json"), b"[\"127.0.").expect("written");
        let kept = Kept::at(dir.path());
        assert_eq!(kept.hosts(), []);
        assert!(!dir.path().join("hosts.json").exists());
    }
}
