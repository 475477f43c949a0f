//! What a player is told that asks for a file, or for some of it: the head of the answer, and which bytes follow.
//!
//! HTTP as a player speaks it (RFC 9110, sections 13 and 14): `GET` and `HEAD`, one range, `If-Range`. The bytes that
//! follow may not be there yet; whoever sends them waits for each block until it is known to be right
//! ([`Download::shown`](super::Download::shown)). The kind of a file is told only where a browser can do no harm with it:
//! the address that serves it is also that of the control API.

use std::ops::Range;

use crate::wire::http::ByteRange;

/// What is known of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Its name, cleaned.
    pub name: String,
    /// Its size.
    pub size: u64,
    /// What stands for its content: the same tag is the same bytes.
    pub tag: String,
}

/// What the request says of the bytes that it wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ask<'a> {
    /// `HEAD`: the same answer, without the bytes.
    pub head_only: bool,
    /// `Range`.
    pub range: Option<&'a str>,
    /// `If-Range`.
    pub if_range: Option<&'a str>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// 200, 206 or 416.
    pub status: u16,
    /// Header lines, in order.
    pub headers: Vec<(&'static str, String)>,
    /// The bytes of the file that follow; none to a `HEAD`.
    pub bytes: Range<u64>,
}

/// The answer to a request for a file.
pub fn plan(facts: &Facts, ask: Ask<'_>) -> Plan {
    let Facts { name, size, tag } = facts;
    let tag = format!("\"{tag}\"");
    // "A client MUST NOT generate an If-Range header field containing an entity tag that is marked as weak"; dates are
    // no match, as we name none.
    let same = ask.if_range.is_none_or(|known| known.trim() == tag);
    // "A server MAY ignore the Range header field": one that cannot be read, and several ranges.
    let range = ask.range.filter(|_| same).and_then(|range| ByteRange::parse(range).ok());
    let mut headers = vec![
        ("accept-ranges", "bytes".to_owned()),
        ("content-type", kind(name).to_owned()),
        ("etag", tag),
        ("content-disposition", "inline".to_owned()),
        ("content-security-policy", "sandbox; default-src 'none'".to_owned()),
    ];
    let (status, bytes) = match range.map(|range| range.resolve(*size)) {
        None => (200, 0..*size),
        Some(Some(bytes)) => {
            headers.push(("content-range", format!("bytes {}-{}/{size}", bytes.start, bytes.end - 1)));
            (206, bytes)
        }
        Some(None) => {
            headers.push(("content-range", format!("bytes */{size}")));
            (416, 0..0)
        }
    };
    headers.push(("content-length", (bytes.end - bytes.start).to_string()));
    let bytes = if ask.head_only { bytes.start..bytes.start } else { bytes };
    Plan { status, headers, bytes }
}

/// Its media type, by its name: sound, pictures that move and those that do not. Of all else only that it is bytes.
fn kind(name: &str) -> &'static str {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    let known = KINDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(ending));
    known.map_or("application/octet-stream", |(_, kind)| kind)
}

const KINDS: &[(&str, &str)] = &[
    ("aac", "audio/aac"),
    ("avi", "video/x-msvideo"),
    ("flac", "audio/flac"),
    ("flv", "video/x-flv"),
    ("gif", "image/gif"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("m4a", "audio/mp4"),
    ("m4v", "video/mp4"),
    ("mka", "audio/x-matroska"),
    ("mkv", "video/x-matroska"),
    ("mov", "video/quicktime"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("mpeg", "video/mpeg"),
    ("mpg", "video/mpeg"),
    ("oga", "audio/ogg"),
    ("ogg", "audio/ogg"),
    ("ogv", "video/ogg"),
    ("opus", "audio/ogg"),
    ("png", "image/png"),
    ("ts", "video/mp2t"),
    ("wav", "audio/wav"),
    ("webm", "video/webm"),
    ("webp", "image/webp"),
    ("wma", "audio/x-ms-wma"),
    ("wmv", "video/x-ms-wmv"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn facts(size: u64) -> Facts {
        Facts { name: "a b.MKV".into(), size, tag: "x7".into() }
    }

    fn header<'a>(plan: &'a Plan, name: &str) -> Option<&'a str> {
        plan.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn a_player_gets_what_it_asks_for() {
        type Row = (Option<&'static str>, Option<&'static str>, u16, Range<u64>, Option<&'static str>);
        let table: &[Row] = &[
            (None, None, 200, 0..100, None),
            (Some("bytes=0-"), None, 206, 0..100, Some("bytes 0-99/100")),
            (Some("bytes=10-19"), None, 206, 10..20, Some("bytes 10-19/100")),
            (Some("bytes=90-500"), None, 206, 90..100, Some("bytes 90-99/100")),
            (Some("bytes=-7"), None, 206, 93..100, Some("bytes 93-99/100")),
            (Some("bytes=-700"), None, 206, 0..100, Some("bytes 0-99/100")),
            (Some("bytes=100-"), None, 416, 0..0, Some("bytes */100")),
            (Some("bytes=-0"), None, 416, 0..0, Some("bytes */100")),
            (Some("bytes=10-19"), Some("\"x7\""), 206, 10..20, Some("bytes 10-19/100")),
            // Another content, a weak tag, a date: the whole.
            (Some("bytes=10-19"), Some("\"x8\""), 200, 0..100, None),
            (Some("bytes=10-19"), Some("W/\"x7\""), 200, 0..100, None),
            (Some("bytes=10-19"), Some("Thu, 26 Nov 2026 11:00:00 GMT"), 200, 0..100, None),
            (Some("bytes=100-"), Some("\"x8\""), 200, 0..100, None),
            // What cannot be read is passed over, and so are several ranges.
            (Some("bytes=9-3"), None, 200, 0..100, None),
            (Some("lines=1-2"), None, 200, 0..100, None),
            (Some("bytes=0-1,5-6"), None, 200, 0..100, None),
            (Some(""), None, 200, 0..100, None),
        ];
        for (range, if_range, status, bytes, said) in table {
            let ask = Ask { head_only: false, range: *range, if_range: *if_range };
            let got = plan(&facts(100), ask);
            let label = format!("{range:?} {if_range:?}");
            assert_eq!((got.status, &got.bytes, header(&got, "content-range")), (*status, bytes, *said), "{label}");
            let length = (bytes.end - bytes.start).to_string();
            assert_eq!(header(&got, "content-length"), Some(length.as_str()), "{label}");
            let head = plan(&facts(100), Ask { head_only: true, ..ask });
            assert!(head.bytes.is_empty(), "{label}");
            assert_eq!((head.status, &head.headers), (got.status, &got.headers), "{label}: HEAD says the same");
        }
        assert_eq!(plan(&facts(0), Ask::default()).bytes, 0..0);
        assert_eq!(plan(&facts(0), Ask { range: Some("bytes=0-"), ..Ask::default() }).status, 416);
    }

    #[test]
    fn nothing_that_a_browser_would_run_is_called_so() {
        for (name, told) in [
            ("a.mkv", "video/x-matroska"),
            ("A.MP3", "audio/mpeg"),
            ("x.html", "application/octet-stream"),
            ("x.svg", "application/octet-stream"),
            ("x.pdf", "application/octet-stream"),
            ("x.xml", "application/octet-stream"),
            ("mp3", "application/octet-stream"),
            ("", "application/octet-stream"),
        ] {
            assert_eq!(kind(name), told, "{name}");
        }
        let active = ["html", "xml", "svg", "script", "pdf", "text"];
        assert!(KINDS.iter().all(|(_, kind)| active.iter().all(|word| !kind.contains(word))));
    }

    proptest! {
        #[test]
        fn what_follows_lies_in_the_file_and_is_as_long_as_said(
            size in 0..=u64::MAX,
            range in proptest::option::of("(bytes=[0-9]{0,20}-[0-9]{0,20}|.{0,20})"),
            if_range in proptest::option::of("(\"x[78]\"|.{0,8})"),
        ) {
            let plan = plan(&facts(size), Ask { head_only: false, range: range.as_deref(), if_range: if_range.as_deref() });
            prop_assert!(plan.bytes.start <= plan.bytes.end && plan.bytes.end <= size);
            let length = (plan.bytes.end - plan.bytes.start).to_string();
            prop_assert_eq!(header(&plan, "content-length"), Some(length.as_str()));
            prop_assert_eq!(plan.status == 200, header(&plan, "content-range").is_none());
        }
    }
}
