//! Words and numbers for people, and names from strangers made safe for a terminal.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

pub use crate::base::size;
use crate::wire::print::is_treacherous;

/// A name from a stranger as a terminal may see it: control characters (escape sequences among them) and
/// characters that change the direction of writing or have no width become `?`.
pub fn safe(text: &str) -> String {
    text.chars().map(|c| if is_treacherous(c) { '?' } else { c }).collect()
}

/// Cut to `width` columns, with `…` where something is missing, and filled up with spaces.
pub fn fit(text: &str, width: usize) -> String {
    let cut = cut(text, width);
    let fill = width.saturating_sub(cut.width());
    format!("{cut}{}", " ".repeat(fill))
}

/// Cut to at most `width` columns, with `…` where something is missing.
pub fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 1; // the ellipsis
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > width {
            break;
        }
        out.push(c);
    }
    out.push('…');
    out
}

/// Broken at blanks into lines of at most `width` columns; all but the first begin with `indent` blanks.
pub fn wrap(text: &str, width: usize, indent: usize) -> Vec<String> {
    let (mut lines, mut line) = (Vec::new(), String::new());
    for (place, word) in text.split(' ').enumerate() {
        if !line.trim().is_empty() && columns(&line) + 1 + columns(word) > width {
            lines.push(std::mem::replace(&mut line, " ".repeat(indent)));
        } else if place > 0 {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

/// The columns that it takes; what colours it takes none.
fn columns(text: &str) -> usize {
    let mut parts = text.split("\x1b[");
    let first = parts.next().map_or(0, UnicodeWidthStr::width);
    first + parts.map(|part| part.split_once('m').map_or(part, |(_, seen)| seen).width()).sum::<usize>()
}

/// Seconds: `0:09`, `12:34`, `3:00:01`, `2 d 3 h`.
pub fn clock(seconds: u64) -> String {
    let (hours, minutes, secs) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{secs:02}"),
        1..48 => format!("{hours}:{minutes:02}:{secs:02}"),
        _ => format!("{} d {} h", hours / 24, hours % 24),
    }
}

/// Roughly how long ago: `12 s`, `5 min`, `3 h`, `40 d`.
pub fn ago(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// `1 file`, `2 files`, `no files`.
pub fn count(n: u64, noun: &str) -> String {
    match n {
        0 => format!("no {noun}s"),
        1 => format!("1 {noun}"),
        _ => format!("{n} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_strangers_cannot_move_the_cursor_or_turn_the_line() {
        assert_eq!(safe("a\x1b[2Jb\r\nc"), "a?[2Jb??c");
        assert_eq!(safe("photo\u{202e}gpj.exe"), "photo?gpj.exe");
        assert_eq!(safe("zero\u{200b}width\u{feff}\u{9b}31m"), "zero?width??31m");
        assert_eq!(safe("Grüße 東京 🎷.flac"), "Grüße 東京 🎷.flac");
    }

    #[test]
    fn wide_characters_are_measured_by_columns() {
        assert_eq!(fit("abc", 5), "abc  ");
        assert_eq!(fit("abcdef", 5), "abcd…");
        assert_eq!(fit("東京都", 5), "東京…");
        assert_eq!(fit("東京都", 6), "東京都");
        assert_eq!(fit("東京都庁", 6), "東京… ");
        assert_eq!(cut("", 0), "");
    }

    #[test]
    fn long_lines_are_broken_at_blanks() {
        assert_eq!(
            wrap("  hop 1: one two three", 12, 4),
            ["  hop 1: one", "    two", "    three"].map(str::to_owned).to_vec()
        );
        assert_eq!(wrap("short", 12, 4), ["short"]);
        assert_eq!(wrap("unbreakable-and-long", 5, 2), ["unbreakable-and-long"]);
        assert_eq!(
            wrap("\x1b[32mok \x1b[0m one two", 10, 2),
            ["\x1b[32mok \x1b[0m one", "  two"],
            "colours take no room"
        );
    }

    #[test]
    fn numbers_read_well() {
        for (seconds, text) in [(9, "0:09"), (754, "12:34"), (10801, "3:00:01"), (183_600, "2 d 3 h")] {
            assert_eq!(clock(seconds), text);
        }
        assert_eq!(
            (count(0, "peer"), count(1, "peer"), count(2, "peer")),
            ("no peers".into(), "1 peer".into(), "2 peers".into())
        );
    }
}
