//! File names from strangers, made safe once, at the edge.
//!
//! What comes out is one path component on every system that we know: no separator, no `..`, no leading dot,
//! no leading hyphen (a program would take it for an option), no name that Windows reserves, no control, invisible or direction-changing character, at most
//! [`MAX_NAME`] bytes, never empty. It is never joined to a path before it went through here.

use unicode_normalization::UnicodeNormalization;

/// A name has at most this many bytes of UTF-8; most file systems take 255, and we append ` (2)` and `.part.map`.
pub const MAX_NAME: usize = 200;

/// Folders within folders that a stranger's path makes here; what lies deeper lies in the last of them.
pub const MAX_FOLDERS: usize = 32;

/// An extension longer than this is no extension, and is not kept when a name is cut.
const MAX_EXTENSION: usize = 20;

/// What a file is called whose name had nothing left in it.
const NAMELESS: &str = "download";

/// The safe form of a name that a stranger gave. Cleaning twice changes nothing more.
pub fn sanitise(name: &str) -> String {
    // Only the last part: `../../etc/passwd` is somebody's idea of where `passwd` should go.
    let last = name.rsplit(['/', '\\']).find(|part| !part.trim_matches(['.', ' ']).is_empty()).unwrap_or_default();
    let cleaned: String = last.chars().filter_map(clean).nfc().collect();
    let trimmed = trim(&cleaned);
    let named =
        if is_reserved(trimmed) || trimmed.starts_with('-') { format!("_{trimmed}") } else { trimmed.to_owned() };
    let cut = cut(&named, MAX_NAME);
    if cut.is_empty() { NAMELESS.to_owned() } else { cut }
}

/// `song.mp3` as `song (2).mp3`: the `n`th name that is tried when those before are taken.
pub fn numbered(name: &str, n: u32) -> String {
    let (stem, extension) = split(name);
    format!("{stem} ({n}){extension}")
}

/// Where a template puts a file: folders, each cleaned, and the name, which is empty while none is known.
/// `{peer}` is the host that has it, `{dir}` the folder that it is in there (each part of it a folder here), `{name}`
/// what the file is called, `{ext}` its extension without the dot.
pub fn placed(template: &str, peer: &str, dir: &str, name: &str) -> Result<(Vec<String>, String), BadTemplate> {
    let extension = split(name).1.trim_start_matches('.');
    let mut parts = Vec::new();
    for part in template.split('/') {
        let (mut filled, mut rest) = (String::new(), part);
        while let Some((before, after)) = rest.split_once('{') {
            let (key, after) = after.split_once('}').ok_or_else(|| BadTemplate(format!("{{{after}")))?;
            filled.push_str(before);
            match key {
                "peer" => filled.push_str(peer),
                "name" => filled.push_str(name),
                "ext" => filled.push_str(extension),
                "dir" => {
                    let mut folders = folders(dir);
                    let last = folders.pop().unwrap_or_default();
                    for folder in folders {
                        filled.push_str(&folder);
                        parts.push(std::mem::take(&mut filled));
                    }
                    filled.push_str(&last);
                }
                _ => return Err(BadTemplate(format!("{{{key}}}"))),
            }
            rest = after;
        }
        filled.push_str(rest);
        parts.push(filled);
    }
    let file = parts.pop().filter(|file| !file.is_empty()).unwrap_or_else(|| name.to_owned());
    // A part in which nothing is left is no folder: `{ext}` of a file without one.
    let folders = parts.iter().filter(|part| !trim(part).is_empty()).map(|part| sanitise(part)).collect();
    Ok((folders, if name.is_empty() { String::new() } else { sanitise(&file) }))
}

/// The folders of a path that a stranger told, each cleaned: as many as [`MAX_FOLDERS`].
pub fn folders(path: &str) -> Vec<String> {
    let parts = path.split(['/', '\\']).filter(|part| !trim(part).is_empty());
    parts.take(MAX_FOLDERS).map(sanitise).collect()
}

/// What a template has that means nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadTemplate(pub String);

impl std::fmt::Display for BadTemplate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} means nothing in a template: there are {{peer}}, {{dir}}, {{name}} and {{ext}}", self.0)
    }
}

/// Neither a leading dot (hidden) nor a trailing dot or space (Windows drops them, so `a.` and `a` collide).
fn trim(name: &str) -> &str {
    name.trim_start_matches(['.', ' ']).trim_end_matches(['.', ' '])
}

/// The character that takes the place of `c`, if any does.
fn clean(c: char) -> Option<char> {
    match c {
        // What Windows refuses in a name.
        '<' | '>' | ':' | '"' | '|' | '?' | '*' | '/' | '\\' => Some('_'),
        c if is_invisible(c) => None,
        c if c.is_whitespace() => Some(' '),
        c => Some(c),
    }
}

/// Controls, and Unicode's Default_Ignorable_Code_Point with Bidi_Control: what a person cannot see in a name,
/// or what makes him see another one (`cod.exe` behind U+202E reads `exe.doc`).
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffd}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// "Do not use the following reserved names for the name of a file: CON, PRN, AUX, NUL, COM0 ... LPT9. Also
/// avoid these names followed immediately by an extension" (Microsoft, Naming Files, Paths, and Namespaces).
fn is_reserved(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_uppercase();
    if matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$") {
        return true;
    }
    let Some(port) = stem.strip_prefix("COM").or_else(|| stem.strip_prefix("LPT")) else { return false };
    let mut digits = port.chars();
    matches!((digits.next(), digits.next()), (Some('0'..='9' | '¹' | '²' | '³'), None))
}

/// Stem, and extension with its dot.
fn split(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(dot) if dot > 0 && name.len() - dot <= MAX_EXTENSION => name.split_at(dot),
        _ => (name, ""),
    }
}

/// At most `limit` bytes, cut between characters, out of the stem as long as that lasts.
fn cut(name: &str, limit: usize) -> String {
    if name.len() <= limit {
        return name.to_owned();
    }
    let (stem, extension) = split(name);
    let mut end = limit - extension.len();
    while !stem.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{extension}", stem[..end].trim_end_matches(['.', ' ']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn strangers_names_become_one_harmless_component() {
        for (given, safe) in [
            ("blue train.flac", "blue train.flac"),
            ("../../etc/passwd", "passwd"),
            ("..\\..\\boot.ini", "boot.ini"),
            ("/etc/shadow", "shadow"),
            ("C:\\windows\\x.dll", "x.dll"),
            ("C:evil", "C_evil"),
            ("dir/", "dir"),
            ("a/..", "a"),
            ("..", "download"),
            (".", "download"),
            ("", "download"),
            ("   ", "download"),
            ("/", "download"),
            ("\0", "download"),
            ("\u{202e}\u{200b}", "download"),
            (".bashrc", "bashrc"),
            ("...", "download"),
            (". .hidden", "hidden"),
            ("a\0b.txt", "ab.txt"),
            ("a\r\nb\x1b[31m.txt", "ab[31m.txt"),
            ("gpj.\u{202e}exe", "gpj.exe"),
            ("in\u{200b}vis\u{feff}ible", "invisible"),
            ("wide\u{3000}space", "wide space"),
            ("what? \"this\" <or> that|*.txt", "what_ _this_ _or_ that__.txt"),
            ("CON", "_CON"),
            ("nul.txt", "_nul.txt"),
            ("com1.tar.gz", "_com1.tar.gz"),
            ("LPT\u{b9}.x", "_LPT\u{b9}.x"),
            ("aux .c", "_aux .c"),
            ("console.log", "console.log"),
            ("-rf", "_-rf"),
            (". --help", "_--help"),
            ("com10", "com10"),
            ("trailing. . ", "trailing"),
            ("Cafe\u{301}.ogg", "Caf\u{e9}.ogg"),
            ("日本語.txt", "日本語.txt"),
        ] {
            assert_eq!(sanitise(given), safe, "{given:?}");
        }
    }

    #[test]
    fn a_long_name_is_cut_between_characters_and_keeps_its_extension() {
        let long = sanitise(&format!("{}.flac", "é".repeat(2000)));
        assert!(long.len() <= MAX_NAME && long.len() > MAX_NAME - 4, "{} bytes", long.len());
        assert!(long.ends_with("é.flac"));
        assert_eq!(sanitise(&"x".repeat(2000)).len(), MAX_NAME);
        assert_eq!(sanitise(&format!("x.{}", "y".repeat(2000))).len(), MAX_NAME);
    }

    #[test]
    fn a_taken_name_gets_a_number_before_its_extension() {
        assert_eq!(numbered("song.mp3", 2), "song (2).mp3");
        assert_eq!(numbered("README", 3), "README (3)");
        assert_eq!(numbered("a.b.tar.gz", 2), "a.b.tar (2).gz");
        assert_eq!(numbered("Mr. Somebody and a very long title", 2), "Mr. Somebody and a very long title (2)");
    }

    #[test]
    fn a_template_puts_files_into_folders_and_nowhere_else() {
        let placed = |template: &str, name: &str| {
            let dir = "../Jazz\\\\/./\u{202e}CON/b:c/";
            let (folders, name) = placed(template, "10.0.0.7", dir, name).expect(template);
            [folders, vec![name]].concat().join("/")
        };
        for (template, name, path) in [
            ("{name}", "a.flac", "a.flac"),
            ("{peer}/{name}", "a.flac", "10.0.0.7/a.flac"),
            ("new/{ext}/{peer} - {name}", "a.flac", "new/flac/10.0.0.7 - a.flac"),
            ("new/", "a.flac", "new/a.flac"),
            ("{ext}/{name}", "README", "README"),
            ("../../{name}", "../../etc/passwd", "passwd"),
            ("/etc/{name}", "..", "etc/download"),
            ("{name}/{name}", "../x", "x/x"),
            ("{peer}/{name}", "", "10.0.0.7/"),
            ("{dir}/{name}", "a.flac", "Jazz/_CON/b_c/a.flac"),
            ("{peer} {dir}!/{name}", "a.flac", "10.0.0.7 Jazz/_CON/b_c!/a.flac"),
            ("{dir}", "", "Jazz/_CON/"),
        ] {
            assert_eq!(placed(template, name), path, "{template} of {name:?}");
        }
        for template in ["{nme}", "{", "{}", "x{name"] {
            assert!(super::placed(template, "", "", "x").is_err(), "{template}");
        }
    }

    proptest! {
        #[test]
        fn no_name_leads_out_of_the_folder(
            template in "[a-z./{}]{0,20}",
            peer in any::<String>(),
            dir in "([./\\\\a ]{0,20}|.{0,20})",
            name in any::<String>(),
        ) {
            for template in [template, "{peer}/{dir}/{name}/{ext}".to_owned(), "{dir}{name}".to_owned()] {
                if let Ok((folders, file)) = placed(&template, &peer, &dir, &name) {
                    for part in folders.iter().chain((!file.is_empty()).then_some(&file)) {
                        prop_assert_eq!(&sanitise(part), part);
                    }
                }
            }
            let deep = "a/".repeat(MAX_FOLDERS + 9);
            prop_assert_eq!(folders(&deep).len(), MAX_FOLDERS);
        }

        #[test]
        fn whatever_comes_in_is_safe_and_stays_as_it_is(name in any::<String>()) {
            let safe = sanitise(&name);
            prop_assert!(!safe.is_empty() && safe.len() <= MAX_NAME);
            prop_assert!(!safe.starts_with('.') && !safe.contains(['/', '\\', '\0']));
            prop_assert!(!safe.chars().any(is_invisible));
            prop_assert!(!is_reserved(&safe));
            prop_assert_eq!(sanitise(&safe), safe);
        }
    }
}
