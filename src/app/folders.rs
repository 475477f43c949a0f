//! The folders of this machine, for whoever looks for one to share. Names only; nothing is opened or shared by it.

use std::path::{Path, PathBuf};

use super::view::FoldersView;
use super::{Error, ErrorCode};

/// Names that are told of one folder; the rest is left out.
const MOST: usize = 1000;

/// The folders in `path`, by name; in the user's own folder without one. Blocks.
pub(super) fn list(path: Option<PathBuf>) -> Result<FoldersView, Error> {
    let own = || std::env::var_os("HOME").map_or_else(|| PathBuf::from("/"), PathBuf::from);
    let path = path.filter(|path| !path.as_os_str().is_empty()).unwrap_or_else(own);
    let cannot = |error: std::io::Error| {
        let code = if error.kind() == std::io::ErrorKind::NotFound { ErrorCode::NotFound } else { ErrorCode::Failed };
        Error::new(code, format!("cannot look into {}: {error}", path.display())).hint("Check the name")
    };
    let real = path.canonicalize().map_err(cannot)?;
    let mut folders: Vec<String> = std::fs::read_dir(&real)
        .map_err(cannot)?
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        // What is no text has no name here; it can be shared by `filbert up --share`.
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.'))
        .collect();
    folders.sort_by_cached_key(|name| name.to_lowercase());
    folders.truncate(MOST);
    Ok(FoldersView { parent: real.parent().map(Path::to_owned), path: real, folders })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_listed_by_name_without_hidden_ones_and_files() {
        let dir = tempfile::tempdir().expect("a folder");
        for name in ["Music", "books", ".secret", "Müll"] {
            std::fs::create_dir(dir.path().join(name)).expect("a folder");
        }
        std::fs::write(dir.path().join("a file"), b"").expect("a file");
        let view = list(Some(dir.path().to_owned())).expect("it is there");
        assert_eq!(view.folders, ["books", "Music", "Müll"]);
        assert_eq!(view.parent.as_deref(), view.path.parent());
        let gone = list(Some(dir.path().join("gone"))).expect_err("it is not there");
        assert_eq!(gone.code, ErrorCode::NotFound);
    }
}
