//! Percent signs and query strings, in both directions: the server reads them, our client writes them.

use std::collections::BTreeMap;

use crate::wire::http::percent_encode;

/// Everything but RFC 3986's unreserved characters becomes `%XX`.
pub fn escape(text: &str) -> String {
    percent_encode(text.as_bytes())
}

/// The text that was escaped; `None` when a `%` is not followed by two hex digits or the bytes are not UTF-8.
pub fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        if first == b'%' {
            let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
            if digits.starts_with('+') {
                return None;
            }
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok()
}

/// The values of a query string. A key without `=` has an empty value; of equal keys the last counts.
pub fn query(text: &str) -> Option<BTreeMap<String, String>> {
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((unescape(key)?, unescape(&value.replace('+', " "))?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_escaped_is_read_back() {
        for text in ["", "blue train", "/home/me/Müll & Co?.txt", "100%", "a+b=c&d", "[::1]:6346"] {
            assert_eq!(unescape(&escape(text)).as_deref(), Some(text));
        }
        assert_eq!(escape("a b/ü"), "a%20b%2F%C3%BC");
    }

    #[test]
    fn broken_escapes_are_refused() {
        for text in ["%", "%2", "%zz", "%+1", "%ff", "a%F"] {
            assert_eq!(unescape(text), None, "{text}");
        }
    }

    #[test]
    fn a_query_string_becomes_values() {
        let values = query("follow=1&path=%2Ftmp%2Fa+b&flag&follow=0").expect("well formed");
        assert_eq!(values["path"], "/tmp/a b");
        assert_eq!(values["flag"], "");
        assert_eq!(values["follow"], "0");
        assert_eq!(query("a=%zz"), None);
    }
}
