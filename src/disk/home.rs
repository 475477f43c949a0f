//! Where a servent keeps its things: DESIGN section 7.

use std::path::{Path, PathBuf};

/// The places of one servent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    /// `config.toml`, written by people only.
    pub config: PathBuf,
    /// GUID, hosts, transfers, token, lock: must not be lost.
    pub state: PathBuf,
    /// Can be rebuilt.
    pub cache: PathBuf,
    /// Finished downloads; `incomplete/` below it.
    pub downloads: PathBuf,
}

impl Home {
    /// Everything below one folder (`--home DIR`, `FILBERT_HOME`).
    pub fn at(dir: &Path) -> Self {
        Self {
            config: dir.join("config.toml"),
            state: dir.join("state"),
            cache: dir.join("cache"),
            downloads: dir.join("downloads"),
        }
    }
}
