//! The name that an answer proposes for a file: `Content-Disposition: inline; filename*=UTF-8''a%20b.txt` (RFC 6266), or
//! `filename="a b.txt"`.
//!
//! Tolerant: `filename*` may stand in quotes, a string may lack its last quote, a parameter its value. What comes out is what a
//! stranger wrote: it is no name of a file before it went through [`crate::transfer::name`].

use super::http::percent_decode;

/// The name, if there is one: that of `filename*` before that of `filename`.
pub fn file_name(value: &str) -> Option<String> {
    let (mut plain, mut extended) = (None, None);
    for (key, value) in parameters(value) {
        if key.eq_ignore_ascii_case("filename*") {
            extended = extended.or_else(|| decode(&value));
        } else if key.eq_ignore_ascii_case("filename") {
            plain = plain.or(Some(value));
        }
    }
    extended.or(plain).filter(|name| !name.is_empty())
}

/// `name=value` between semicolons, where a string in quotes may have semicolons of its own.
fn parameters(value: &str) -> Vec<(&str, String)> {
    let (mut found, mut rest) = (Vec::new(), value);
    while !rest.is_empty() {
        let end = rest.find([';', '=']).unwrap_or(rest.len());
        let (key, after) = rest.split_at(end);
        let Some(after) = after.strip_prefix('=') else {
            rest = after.get(1..).unwrap_or_default();
            continue;
        };
        let (value, after) = match after.trim_start().strip_prefix('"') {
            Some(quoted) => unquote(quoted),
            None => {
                let (token, after) = after.split_at(after.find(';').unwrap_or(after.len()));
                (token.trim().to_owned(), after)
            }
        };
        found.push((key.trim(), value));
        rest = after.split_once(';').map_or("", |(_, rest)| rest);
    }
    found
}

/// A string up to its last quote, and what follows that. A backslash stands before a quote or another one; before anything
/// else it is one of those of a path, which nobody doubled.
fn unquote(quoted: &str) -> (String, &str) {
    let mut text = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return (text, &quoted[at + 1..]),
            '\\' if quoted[at + 1..].starts_with(['"', '\\']) => text.extend(characters.next().map(|(_, next)| next)),
            c => text.push(c),
        }
    }
    (text, "")
}

/// `UTF-8'en'a%20b.txt`, or of `ISO-8859-1` (RFC 8187); what is no UTF-8 after all is replaced.
fn decode(value: &str) -> Option<String> {
    let mut parts = value.splitn(3, '\'');
    let (charset, bytes) = (parts.next()?, percent_decode(parts.nth(1)?));
    if charset.eq_ignore_ascii_case("iso-8859-1") {
        return Some(bytes.into_iter().map(char::from).collect());
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_may_name_the_file() {
        for (value, name) in [
            ("inline; filename*=UTF-8''a%20b.txt", Some("a b.txt")),
            // Some clients quote it like a string of another language.
            (
                "inline; filename*=\"utf-8'en'autumn%20glacier%20-%20pine%20051.mp3\"",
                Some("autumn glacier - pine 051.mp3"),
            ),
            ("inline; filename*=ISO-8859-1''caf%e9.txt", Some("café.txt")),
            ("inline; filename*=UTF-8''caf%e9.txt", Some("caf\u{fffd}.txt")),
            ("attachment; filename=\"a b.txt\"", Some("a b.txt")),
            ("attachment; filename=\"fish; chips = good.txt\"; x=y", Some("fish; chips = good.txt")),
            (r#"attachment; filename="the \"best\" of.mp3""#, Some(r#"the "best" of.mp3"#)),
            ("attachment; FileName = a b.txt ; size=3", Some("a b.txt")),
            ("attachment; filename=plain.txt; filename*=UTF-8''b%C3%A9st.txt", Some("bést.txt")),
            ("attachment; filename=plain.txt; filename*=nothing", Some("plain.txt")),
            ("attachment; filename=\"no end", Some("no end")),
            ("attachment; filename=\"odd\\", Some("odd\\")),
            (r#"attachment; filename="C:\music\new song.mp3""#, Some(r"C:\music\new song.mp3")),
            ("inline", None),
            ("inline; filename=", None),
            ("inline; filename=\"\"", None),
            ("inline; filename*=x", None),
            ("", None),
            (";;=;\"=", None),
        ] {
            assert_eq!(file_name(value).as_deref(), name, "{value}");
        }
    }
}
