//! The name that a source proposes for a file.

use filbert::wire::disposition::file_name;
use filbert::wire::http::percent_encode;

use super::names;

/// Any bytes, as a `Content-Disposition`, and as the name in one.
pub fn disposition(data: &[u8]) {
    // Heads are taken as Latin-1.
    let latin: String = data.iter().copied().map(char::from).collect();
    let text = String::from_utf8_lossy(data);
    for value in [latin.as_str(), &text] {
        if let Some(name) = file_name(value) {
            assert!(!name.is_empty() && name.len() <= 3 * value.len(), "{name:?} of {value:?}");
            names::file_name(&name);
        }
    }
    if text.is_empty() {
        assert_eq!(file_name("inline; filename=\"\"; filename*=UTF-8''"), None);
        return;
    }
    // What is written as it should be is read as it was, whatever stands beside it.
    let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
    for value in [
        format!("attachment; filename=\"{quoted}\""),
        format!("attachment;x=\"{quoted}\"; FILENAME = \"{quoted}\";y=z"),
        format!("inline; filename=other; filename*=UTF-8'en'{}", percent_encode(text.as_bytes())),
        format!("filename*=\"utf-8''{}\"; filename=\"{quoted}", percent_encode(text.as_bytes())),
    ] {
        assert_eq!(file_name(&value).as_deref(), Some(&*text), "{value:?}");
    }
}
