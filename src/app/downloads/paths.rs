//! Paths in the state. JSON knows text alone; a path that is none is kept as its bytes.

use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER_PERMISSIVE;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Form {
    Text(String),
    /// In hexadecimal digits.
    Bytes {
        bytes: String,
    },
}

fn write(path: &Path) -> Form {
    match path.to_str() {
        Some(text) => Form::Text(text.to_owned()),
        None => Form::Bytes { bytes: HEXLOWER_PERMISSIVE.encode(path.as_os_str().as_encoded_bytes()) },
    }
}

fn read(form: Form) -> Option<PathBuf> {
    match form {
        Form::Text(text) => Some(text.into()),
        Form::Bytes { bytes } => {
            let bytes = HEXLOWER_PERMISSIVE.decode(bytes.as_bytes()).ok()?;
            #[cfg(unix)]
            let path: std::ffi::OsString = std::os::unix::ffi::OsStringExt::from_vec(bytes);
            #[cfg(not(unix))]
            let path: std::ffi::OsString = String::from_utf8(bytes).ok()?.into();
            Some(path.into())
        }
    }
}

pub(super) fn serialize<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
    write(path).serialize(to)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PathBuf, D::Error> {
    read(Form::deserialize(from)?).ok_or_else(|| serde::de::Error::custom("a path of odd digits"))
}

/// The same of a path that there may be.
pub(super) mod maybe {
    use std::path::PathBuf;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{Form, read, write};

    pub(in crate::app::downloads) fn serialize<S: Serializer>(
        path: &Option<PathBuf>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        path.as_deref().map(write).serialize(to)
    }

    pub(in crate::app::downloads) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<PathBuf>, D::Error> {
        Ok(Option::<Form>::deserialize(from)?.and_then(read))
    }
}
