//! Kinds of files, told by the extension of their names: `type:audio` and its like.

use std::str::FromStr;

/// What sort of thing a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Music, speech.
    Audio,
    /// Films, clips.
    Video,
    /// Pictures.
    Image,
    /// Texts, books, tables, slides.
    Document,
    /// Packed files, disk images.
    Archive,
    /// Things to run or install.
    Program,
}

const NAMES: [(&str, Kind); 6] = [
    ("audio", Kind::Audio),
    ("video", Kind::Video),
    ("image", Kind::Image),
    ("document", Kind::Document),
    ("archive", Kind::Archive),
    ("program", Kind::Program),
];

impl Kind {
    /// The kind of a file of that name; `None` when its extension tells nothing.
    pub fn of(name: &str) -> Option<Self> {
        let (_, extension) = name.rsplit_once('.')?;
        let extension = extension.to_ascii_lowercase();
        Some(match extension.as_str() {
            "aac" | "aif" | "aiff" | "alac" | "ape" | "au" | "dsf" | "flac" | "it" | "m4a" | "m4b" | "mid" | "midi"
            | "mka" | "mod" | "mp2" | "mp3" | "mpc" | "oga" | "ogg" | "opus" | "ra" | "s3m" | "wav" | "wma" | "wv"
            | "xm" => Self::Audio,
            "3gp" | "asf" | "avi" | "divx" | "flv" | "m2ts" | "m4v" | "mkv" | "mov" | "mp4" | "mpe" | "mpeg"
            | "mpg" | "mts" | "ogm" | "ogv" | "rm" | "rmvb" | "vob" | "webm" | "wmv" => Self::Video,
            "avif" | "bmp" | "cr2" | "dng" | "gif" | "heic" | "heif" | "ico" | "jpe" | "jpeg" | "jpg" | "jxl"
            | "nef" | "pbm" | "pgm" | "png" | "ppm" | "psd" | "raw" | "svg" | "tga" | "tif" | "tiff" | "webp"
            | "xcf" => Self::Image,
            "azw" | "azw3" | "cbr" | "cbz" | "chm" | "csv" | "djvu" | "doc" | "docx" | "epub" | "fb2" | "htm"
            | "html" | "lit" | "md" | "mobi" | "odp" | "ods" | "odt" | "pdf" | "ppt" | "pptx" | "ps" | "rst"
            | "rtf" | "srt" | "tex" | "txt" | "xls" | "xlsx" => Self::Document,
            "7z" | "ace" | "arj" | "bz2" | "cab" | "cpio" | "gz" | "img" | "iso" | "lha" | "lzh" | "lzma" | "rar"
            | "tar" | "tbz" | "tbz2" | "tgz" | "txz" | "xz" | "zip" | "zst" => Self::Archive,
            "apk" | "appimage" | "bat" | "bin" | "com" | "deb" | "dmg" | "exe" | "flatpak" | "jar" | "msi" | "pkg"
            | "rpm" | "run" | "sh" | "snap" => Self::Program,
            _ => return None,
        })
    }

    /// All names, for messages.
    pub(super) fn names() -> String {
        NAMES.map(|(name, _)| name).join(", ")
    }
}

impl FromStr for Kind {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let text = text.to_ascii_lowercase();
        let text = match text.as_str() {
            "music" | "sound" => "audio",
            "film" | "movie" => "video",
            "picture" | "photo" => "image",
            "text" | "book" | "doc" => "document",
            "app" => "program",
            other => other,
        };
        NAMES.iter().find(|(name, _)| *name == text.trim_end_matches('s')).map(|(_, kind)| *kind).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_tells_the_kind() {
        for (name, kind) in [
            ("Blue Train.FLAC", Some(Kind::Audio)),
            ("a.tar.gz", Some(Kind::Archive)),
            ("README", None),
            ("notes.txt", Some(Kind::Document)),
            ("x.mkv", Some(Kind::Video)),
            ("setup.exe", Some(Kind::Program)),
            ("p.jpeg", Some(Kind::Image)),
            ("strange.xyzzy", None),
        ] {
            assert_eq!(Kind::of(name), kind, "{name}");
        }
    }

    #[test]
    fn kinds_are_named_as_people_name_them() {
        assert_eq!("Audio".parse(), Ok(Kind::Audio));
        assert_eq!("images".parse(), Ok(Kind::Image));
        assert_eq!("movie".parse(), Ok(Kind::Video));
        assert_eq!("smell".parse::<Kind>(), Err(()));
    }
}
