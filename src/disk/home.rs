//! Where a servent keeps its things.
//!
//! `--home DIR` puts everything below one folder. Without it the XDG directories are used: config, state, cache
//! and downloads each where the desktop keeps such things. State is readable by its owner alone.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io;
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
    /// What to type to name this home: ` --home DIR`, or nothing.
    pub flag: String,
}

impl Home {
    /// Everything below one folder (`--home DIR`, `FILBERT_HOME`).
    pub fn at(dir: &Path) -> Self {
        Self {
            config: dir.join("config.toml"),
            state: dir.join("state"),
            cache: dir.join("cache"),
            downloads: dir.join("downloads"),
            flag: format!(" --home {}", quoted(dir)),
        }
    }

    /// The XDG directories of this process's user. Fails when there is no home directory to begin with.
    pub fn of_user() -> io::Result<Self> {
        Self::from_env(|name| std::env::var_os(name)).ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, "there is no home directory (HOME is not set): say --home DIR")
        })
    }

    /// The XDG directories that these environment variables name. Relative ones are ignored, as the XDG
    /// specification asks.
    pub fn from_env(env: impl Fn(&str) -> Option<OsString>) -> Option<Self> {
        let absolute = |name: &str| env(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let user = absolute("HOME").or_else(|| absolute("USERPROFILE"));
        let below = |name: &str, usual: &str| absolute(name).or_else(|| Some(user.as_ref()?.join(usual)));
        let downloads = absolute("XDG_DOWNLOAD_DIR").or_else(|| {
            let dirs = std::fs::read_to_string(below("XDG_CONFIG_HOME", ".config")?.join("user-dirs.dirs"));
            download_dir(&dirs.unwrap_or_default(), user.as_ref()?).or_else(|| Some(user.as_ref()?.join("Downloads")))
        })?;
        Some(Self {
            config: below("XDG_CONFIG_HOME", ".config")?.join("filbert/config.toml"),
            state: below("XDG_STATE_HOME", ".local/state")?.join("filbert"),
            cache: below("XDG_CACHE_HOME", ".cache")?.join("filbert"),
            downloads: downloads.join("filbert"),
            flag: String::new(),
        })
    }

    /// These words, and the commands in them (what begins with "`filbert ") so that they work in this home when they are typed.
    pub fn typed(&self, words: &str) -> String {
        let mut parts = words.split("`filbert ");
        let mut typed = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let flag = if part.starts_with("--home ") { "" } else { &self.flag };
            typed.push_str(&format!("`filbert{flag} {part}"));
        }
        typed
    }

    /// What is never shared: state and cache.
    pub fn own(&self) -> Vec<PathBuf> {
        [&self.state, &self.cache].map(|path| path.canonicalize().unwrap_or_else(|_| path.clone())).into()
    }
}

/// A path as a shell takes it for one word.
pub fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+,@:%".contains(c);
    if !path.is_empty() && path.chars().all(plain) { path } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

/// Makes a folder (and those above it) that only its owner may enter.
pub(super) fn create_private(dir: &Path) -> io::Result<()> {
    #[allow(unused_mut)]
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(dir)
}

/// How a file is opened that only its owner may read, should it have to be made. Its folder may be open to others:
/// somebody made it beforehand.
pub(super) fn private_file() -> OpenOptions {
    #[allow(unused_mut)]
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// `XDG_DOWNLOAD_DIR="$HOME/Downloads"` in `user-dirs.dirs`.
fn download_dir(dirs: &str, user: &Path) -> Option<PathBuf> {
    let value = dirs.lines().find_map(|line| line.trim().strip_prefix("XDG_DOWNLOAD_DIR="))?.trim().trim_matches('"');
    match value.strip_prefix("$HOME/") {
        Some(below) => Some(user.join(below)),
        None => Some(PathBuf::from(value)).filter(|path| path.is_absolute()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_variables_the_usual_places_below_home_are_used() {
        let home = Home::from_env(|name| (name == "HOME").then(|| "/nonexistent/ann".into())).expect("a home");
        assert_eq!(home.config, Path::new("/nonexistent/ann/.config/filbert/config.toml"));
        assert_eq!(home.state, Path::new("/nonexistent/ann/.local/state/filbert"));
        assert_eq!(home.cache, Path::new("/nonexistent/ann/.cache/filbert"));
        assert_eq!(home.downloads, Path::new("/nonexistent/ann/Downloads/filbert"));
    }

    #[test]
    fn commands_in_words_name_a_home_that_is_not_the_usual_one() {
        let usual = Home::from_env(|name| (name == "HOME").then(|| "/nonexistent/ann".into())).expect("a home");
        let words = "it runs: `filbert down` ends it, `filbert get 'b c'` fetches; run filbert there";
        assert_eq!(usual.typed(words), words);
        let typed =
            "it runs: `filbert --home /x down` ends it, `filbert --home /x get 'b c'` fetches; run filbert there";
        let other = Home::at(Path::new("/x"));
        assert_eq!(other.typed(words), typed);
        assert_eq!(other.typed(typed), typed, "once");
        assert_eq!(Home::at(Path::new("/my files/ann's")).flag, r" --home '/my files/ann'\''s'");
    }

    #[test]
    fn variables_win_unless_they_are_relative() {
        let home = Home::from_env(|name| match name {
            "HOME" => Some("/nonexistent/ann".into()),
            "XDG_STATE_HOME" => Some("/s".into()),
            "XDG_CACHE_HOME" => Some("relative".into()),
            _ => None,
        })
        .expect("a home");
        assert_eq!(home.state, Path::new("/s/filbert"));
        assert_eq!(home.cache, Path::new("/nonexistent/ann/.cache/filbert"));
        assert_eq!(Home::from_env(|_| None), None);
    }

    #[test]
    fn the_desktops_own_download_directory_is_read() {
        let user = Path::new("/home/ann");
        let dirs = "# comment\nXDG_DOWNLOAD_DIR=\"$HOME/Téléchargements\"\n";
        assert_eq!(download_dir(dirs, user), Some("/home/ann/Téléchargements".into()));
        assert_eq!(download_dir("XDG_DOWNLOAD_DIR=\"/data/dl\"", user), Some("/data/dl".into()));
        assert_eq!(download_dir("", user), None);
    }

    #[test]
    #[cfg(unix)]
    fn a_private_folder_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a folder");
        let state = Home::at(&dir.path().join("home")).state;
        create_private(&state).expect("a folder");
        let mode = std::fs::metadata(&state).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}
