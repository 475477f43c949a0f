//! The page: files in the binary, open to anyone on this machine because there is no data in them.
//!
//! They are plain JavaScript, one style sheet and one picture; nothing has to be built to run or to change them. What
//! a browser may do with them is told by [`POLICY`]: nothing from elsewhere is loaded, nothing is sent elsewhere.

use hyper::header::{HeaderMap, IF_NONE_MATCH};

/// What the page may do.
pub const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// One file of the page.
pub struct File {
    /// Where it is.
    pub path: &'static str,
    /// Its media type.
    pub kind: &'static str,
    /// Its bytes.
    pub bytes: &'static [u8],
}

macro_rules! files {
    ($($path:literal $file:literal $kind:literal;)*) => {
        /// All files of the page.
        pub static FILES: &[File] = &[$(File {
            path: $path,
            kind: $kind,
            bytes: include_bytes!(concat!("page/", $file)),
        }),*];
    };
}

files! {
    "/" "index.html" "text/html; charset=utf-8";
    "/style.css" "style.css" "text/css; charset=utf-8";
    "/icon.svg" "icon.svg" "image/svg+xml";
    "/app.js" "app.js" "text/javascript; charset=utf-8";
    "/api.js" "api.js" "text/javascript; charset=utf-8";
    "/ui.js" "ui.js" "text/javascript; charset=utf-8";
    "/list.js" "list.js" "text/javascript; charset=utf-8";
    "/search.js" "search.js" "text/javascript; charset=utf-8";
    "/transfers.js" "transfers.js" "text/javascript; charset=utf-8";
    "/watches.js" "watches.js" "text/javascript; charset=utf-8";
    "/shares.js" "shares.js" "text/javascript; charset=utf-8";
    "/peers.js" "peers.js" "text/javascript; charset=utf-8";
    "/settings.js" "settings.js" "text/javascript; charset=utf-8";
    "/help.js" "help.js" "text/javascript; charset=utf-8";
}

/// The file at a path.
pub fn find(path: &str) -> Option<&'static File> {
    FILES.iter().find(|file| file.path == path)
}

impl File {
    /// The first half of its BLAKE3, in quotation marks.
    pub fn etag(&self) -> String {
        format!("\"{}\"", &blake3::hash(self.bytes).to_hex()[..32])
    }

    /// Whether who asks has it as it is.
    pub fn is_known(&self, headers: &HeaderMap) -> bool {
        let etag = self.etag();
        let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        known.flat_map(|value| value.split(',')).any(|tag| tag.trim() == etag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_small_and_names_no_other_host() {
        let bytes: usize = FILES.iter().map(|file| file.bytes.len()).sum();
        assert!(bytes <= 200 * 1024, "{bytes} bytes");
        for file in FILES {
            let text = std::str::from_utf8(file.bytes).expect("text");
            for (at, _) in text.match_indices("://") {
                // The name of SVG, which is no address that anybody opens.
                let rest = text[at..].lines().next().unwrap_or_default();
                assert!(rest.starts_with("://www.w3.org/2000/svg"), "{}: {rest}", file.path);
            }
            assert!(!text.contains("innerHTML") && !text.contains("eval("), "{}", file.path);
        }
    }

    #[test]
    fn every_file_has_a_tag_of_its_own() {
        let tags: std::collections::BTreeSet<_> = FILES.iter().map(File::etag).collect();
        assert_eq!(tags.len(), FILES.len());
    }
}
