//! The tolerant, bounded header block that the handshake and peer HTTP share: a first line and headers.
//!
//! Peers write heads in ways that strict parsers refuse, so this one reads bare LF, any case, repeated and
//! folded headers, spaces before a colon, and bytes that are not UTF-8 (taken as Latin-1). It refuses what
//! cannot be a head: a NUL, a header without a name or a colon, a continuation of nothing.
//!
//! Bounds: the caller's limit on the whole head, and [`MAX_HEADERS`] headers. Nothing is copied before the
//! end of the head has been seen within the limit.

use super::{Cause, DecodeError};

/// A head with more headers than this is refused.
pub const MAX_HEADERS: usize = 100;

/// Headers in the order they came: names keep their case, values are trimmed and unfolded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(pub Vec<(String, String)>);

impl Headers {
    /// The first value under `name`, in any case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Every value under `name`, in any case, in the order they came.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The items of a comma-separated header; repeated headers count as one.
    pub fn items<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.all(name).flat_map(|value| value.split(',')).map(str::trim).filter(|item| !item.is_empty())
    }

    /// Adds a header. Line ends in `value` become spaces.
    pub fn push(&mut self, name: &str, value: impl Into<String>) {
        self.0.push((name.to_owned(), value.into().replace(['\r', '\n'], " ")));
    }

    /// With one more header: for building.
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.push(name, value);
        self
    }

    /// Whether a comma-separated header `name` (repeated headers count as one) holds `token`, in any case.
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        self.items(name).any(|item| item.eq_ignore_ascii_case(token))
    }
}

/// A first line and its headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawHead {
    /// Without its line end.
    pub first: String,
    /// The headers.
    pub headers: Headers,
}

const WHAT: &str = "head";

impl RawHead {
    /// Looks for a complete head (bare LF or CRLF; an empty line ends it) at the start of `bytes`. `Ok(None)`:
    /// more bytes are needed. `Ok(Some((head, n)))`: it took `n` bytes. An error when `limit` bytes hold no
    /// end, or a header is impossible.
    ///
    /// Empty lines, and lines of spaces, before the first line are passed over: "a server ... SHOULD ignore at
    /// least one empty line" (RFC 9112 section 2.2). They count towards `limit`.
    pub fn decode(bytes: &[u8], limit: usize) -> Result<Option<(Self, usize)>, DecodeError> {
        let mut lines = Lines { bytes: &bytes[..bytes.len().min(limit)], at: 0 };
        let mut first = None;
        while let Some((at, line)) = lines.next() {
            match first {
                None if line.iter().all(|byte| b" \t\r".contains(byte)) => {}
                None => first = Some((at, line, lines.at)),
                Some((first_at, first, from)) if line.is_empty() => {
                    let headers = Lines { bytes: &bytes[..at], at: from };
                    return Self::build((first_at, first), headers).map(|head| Some((head, lines.at)));
                }
                Some(_) => {}
            }
        }
        if bytes.len() >= limit {
            return Err(DecodeError::new(WHAT, "end", limit, Cause::TooLong { length: bytes.len(), limit }));
        }
        Ok(None)
    }

    fn build(first: (usize, &[u8]), lines: Lines<'_>) -> Result<Self, DecodeError> {
        let mut headers: Vec<(String, String)> = Vec::new();
        for (at, line) in lines {
            let line = text(at, line)?;
            if line.starts_with([' ', '\t']) {
                let Some((_, value)) = headers.last_mut() else {
                    return Err(DecodeError::new(WHAT, "header", at, Cause::Invalid("continues no header")));
                };
                let more = line.trim();
                if !value.is_empty() && !more.is_empty() {
                    value.push(' ');
                }
                value.push_str(more);
                continue;
            }
            let Some((name, value)) = line.split_once(':') else {
                return Err(DecodeError::new(WHAT, "header", at, Cause::Invalid("has no colon")));
            };
            let name = name.trim();
            if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c.is_control()) {
                return Err(DecodeError::new(WHAT, "header name", at, Cause::Invalid("is empty or holds a space")));
            }
            if headers.len() == MAX_HEADERS {
                let cause = Cause::TooMany { count: MAX_HEADERS + 1, limit: MAX_HEADERS };
                return Err(DecodeError::new(WHAT, "list of headers", at, cause));
            }
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        let first = text(first.0, first.1)?;
        Ok(Self { first: first.trim_end_matches([' ', '\t']).to_owned(), headers: Headers(headers) })
    }

    /// The head with CRLF and the empty line. Line ends and NULs within a line become spaces.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        put(&mut out, &self.first);
        out.extend_from_slice(b"\r\n");
        for (name, value) in &self.headers.0 {
            put(&mut out, name);
            out.extend_from_slice(b": ");
            put(&mut out, value);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
        out
    }
}

/// Complete lines, without their ends, and where they begin.
struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Lines<'a> {
    type Item = (usize, &'a [u8]);
    fn next(&mut self) -> Option<Self::Item> {
        let start = self.at;
        let length = self.bytes[start..].iter().position(|&byte| byte == b'\n')?;
        self.at = start + length + 1;
        let line = &self.bytes[start..start + length];
        Some((start, line.strip_suffix(b"\r").unwrap_or(line)))
    }
}

/// A line as text: UTF-8, or else Latin-1, in which every byte is a character. "A recipient of such a bare CR
/// MUST ... replace each bare CR with SP" (RFC 9112 section 2.2).
fn text(at: usize, line: &[u8]) -> Result<String, DecodeError> {
    if let Some(nul) = line.iter().position(|&byte| byte == 0) {
        return Err(DecodeError::new(WHAT, "line", at + nul, Cause::Invalid("holds a NUL")));
    }
    let text = match std::str::from_utf8(line) {
        Ok(text) => text.to_owned(),
        Err(_) => line.iter().map(|&byte| char::from(byte)).collect(),
    };
    Ok(text.replace('\r', " "))
}

fn put(out: &mut Vec<u8>, text: &str) {
    out.extend(text.bytes().map(|byte| if matches!(byte, b'\r' | b'\n' | 0) { b' ' } else { byte }));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(bytes: &[u8]) -> RawHead {
        let (head, taken) = RawHead::decode(bytes, 1000).expect("a possible head").expect("a whole head");
        assert_eq!(taken, bytes.len());
        head
    }

    #[test]
    fn every_way_to_write_a_head_reads_the_same() {
        let expected = RawHead {
            first: "GNUTELLA/0.6 200 OK".to_owned(),
            headers: Headers::default().with("X-Try", "a, b").with("Empty", "").with("X-Try", "c"),
        };
        for bytes in [
            &b"GNUTELLA/0.6 200 OK\r\nX-Try: a, b\r\nEmpty:\r\nX-Try: c\r\n\r\n"[..],
            b"GNUTELLA/0.6 200 OK\nX-Try: a, b\nEmpty:\nX-Try: c\n\n",
            b"\r\n \t\r\n\nGNUTELLA/0.6 200 OK \r\nX-Try :a, b\nEmpty: \r\nX-Try:\tc \r\n\n",
            b"GNUTELLA/0.6 200 OK\r\nX-Try: a,\r\n\t b\r\n \t\r\nEmpty:\r\n \r\nX-Try:\r\n c\r\n\r\n",
        ] {
            assert_eq!(head(bytes), expected);
        }
        let bytes = expected.encode();
        assert_eq!(bytes, b"GNUTELLA/0.6 200 OK\r\nX-Try: a, b\r\nEmpty: \r\nX-Try: c\r\n\r\n");
        assert_eq!(head(&bytes), expected);
    }

    #[test]
    fn headers_are_found_in_any_case_and_lists_span_repeated_ones() {
        let headers = head(b"x\r\nX-Features: a/1.0, Browse/1.0\r\nx-features: c\r\n\r\n").headers;
        assert_eq!(headers.get("X-FEATURES"), Some("a/1.0, Browse/1.0"));
        assert_eq!(headers.items("X-Features").collect::<Vec<_>>(), ["a/1.0", "Browse/1.0", "c"]);
        assert!(headers.has_token("x-features", "browse/1.0") && headers.has_token("x-features", "C"));
        assert!(!headers.has_token("x-features", "browse") && !headers.has_token("other", "c"));
    }

    #[test]
    fn a_head_is_incomplete_until_its_last_byte_and_never_takes_more() {
        let bytes = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nbody\r\n\r\n";
        let end = bytes.len() - 8;
        for cut in 0..end {
            assert_eq!(RawHead::decode(&bytes[..cut], 1000), Ok(None));
        }
        for cut in end..=bytes.len() {
            assert_eq!(RawHead::decode(&bytes[..cut], 1000).expect("possible").expect("whole").1, end);
        }
    }

    #[test]
    fn the_limit_holds_for_heads_with_and_without_an_end() {
        let bytes = b"GET / HTTP/1.1\r\n\r\n";
        assert!(RawHead::decode(bytes, bytes.len()).expect("within the limit").is_some());
        let error = RawHead::decode(bytes, bytes.len() - 1).expect_err("above the limit");
        assert_eq!(error.to_string(), "bad head: end at byte 17 has 18 bytes, at most 17 are accepted");
        assert!(RawHead::decode(&[b'\n'; 50], 50).is_err());
        assert_eq!(RawHead::decode(&[b'\n'; 49], 50), Ok(None));
    }

    #[test]
    fn impossible_headers_are_errors_that_say_where() {
        for (bytes, field, offset) in [
            (&b"GET /\r\nno colon\r\n\r\n"[..], "header", 7),
            (b"GET /\r\n: no name\r\n\r\n", "header name", 7),
            (b"GET /\r\nA: b\r\nB C: d\r\n\r\n", "header name", 13),
            (b"GET /\r\n folded\r\n\r\n", "header", 7),
            (b"GET /\r\nA: \0\r\n\r\n", "line", 10),
        ] {
            let error = RawHead::decode(bytes, 1000).expect_err(field);
            assert_eq!((error.field, error.offset), (field, offset));
        }
        let many = |n: usize| format!("x\n{}\n", "a: b\n".repeat(n)).into_bytes();
        assert_eq!(head(&many(MAX_HEADERS)).headers.0.len(), MAX_HEADERS);
        assert!(RawHead::decode(&many(MAX_HEADERS + 1), 1000).is_err());
    }

    #[test]
    fn bytes_that_are_not_utf8_are_taken_as_latin_1() {
        assert_eq!(head(b"GET /get/1/caf\xe9 HTTP/1.0\n\n").first, "GET /get/1/caf\u{e9} HTTP/1.0");
        assert_eq!(head(b"a\rb\r\r\nC: d\re\r\n\r\n").encode(), b"a b\r\nC: d e\r\n\r\n");
    }

    #[test]
    fn nothing_put_into_a_value_can_end_its_line() {
        let mut built = RawHead { first: "a\r\nb".into(), headers: Headers::default().with("C", "d\r\nE: f") };
        built.headers.0.push(("G".into(), "h\n\ni".into()));
        assert_eq!(head(&built.encode()).headers.0.len(), 2);
    }
}
