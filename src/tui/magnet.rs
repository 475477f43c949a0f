//! A hit as a magnet link.

use std::fmt::Write;

use crate::app::view::HitView;

/// `magnet:?xt=...&dn=...&xl=...`; `None` while nobody knows a name of the content. Where the tree is known the name is a
/// bitprint, which other clients read too.
pub fn magnet(hit: &HitView) -> Option<String> {
    let sha1 = hit.sha1.as_ref()?;
    let urn = match &hit.tth {
        Some(tth) => format!("urn:bitprint:{sha1}.{tth}"),
        None => format!("urn:sha1:{sha1}"),
    };
    Some(format!("magnet:?xt={urn}&dn={}&xl={}", escape(&hit.name), hit.size))
}

/// All but the unreserved characters of RFC 3986, percent-encoded.
fn escape(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte.into()),
            // Writing into a string cannot fail.
            _ => drop(write!(out, "%{byte:02X}")),
        }
    }
    out
}
