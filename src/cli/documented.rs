//! What the documents show can be typed, and what they point at is there. Nothing but tests.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use structopt::StructOpt;
use structopt::clap::ErrorKind;

use super::args::Args;
use super::{argv, settings};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The README and everything below `docs` and `benches` that is Markdown.
fn documents() -> Vec<PathBuf> {
    let mut found = vec![root().join("README.md"), root().join("CHANGELOG.md")];
    for dir in ["docs", "benches"] {
        let files = walkdir::WalkDir::new(root().join(dir)).sort_by_file_name().into_iter().flatten();
        found.extend(
            files.map(walkdir::DirEntry::into_path).filter(|path| path.extension().is_some_and(|ext| ext == "md")),
        );
    }
    found
}

/// A piece of code in a document.
enum Code {
    Block(String),
    /// In a sentence: it may name a command without all that it wants.
    Span(String),
}

/// The text with its code taken out, so that what is left is prose; the code beside it.
fn taken_apart(text: &str) -> (String, Vec<Code>) {
    let (mut prose, mut code, mut fenced) = (String::new(), Vec::new(), false);
    let mut block = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            code.push(Code::Block(std::mem::take(&mut block)));
        } else if fenced || line.starts_with("    ") {
            // A command may go on in the next line.
            block += line.strip_suffix('\\').unwrap_or(line);
            block += if line.ends_with('\\') { "" } else { "\n" };
        } else {
            prose += line;
            prose.push('\n');
        }
    }
    code.push(Code::Block(block));
    let mut words = String::new();
    for (index, part) in prose.split('`').enumerate() {
        if index % 2 == 1 {
            code.push(Code::Span(part.replace('\n', " ")));
        } else {
            words += part;
        }
    }
    (words, code)
}

/// `](target)` of every link in prose.
fn links(prose: &str) -> impl Iterator<Item = &str> {
    prose.split("](").skip(1).filter_map(|rest| rest.split(')').next())
}

/// What a heading is called in a link to it.
fn anchors(text: &str) -> Vec<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|heading| {
            let words = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = words.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

#[test]
fn every_link_within_the_documents_leads_somewhere() {
    let (mut broken, mut seen) = (Vec::new(), 0);
    for path in documents() {
        let text = fs::read_to_string(&path).expect("a document");
        for link in links(&taken_apart(&text).0).filter(|link| !link.contains("://")) {
            seen += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.clone() } else { path.parent().expect("a folder").join(file) };
            let there = target.exists()
                && (anchor.is_empty()
                    || fs::read_to_string(&target).is_ok_and(|text| anchors(&text).iter().any(|have| have == anchor)));
            if !there {
                broken.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(seen > 20, "only {seen} links were found");
}

/// The words of a line of a shell up to where something else begins; `None` for what is no whole command.
fn words(line: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(open), _) if letter == open => quote = None,
            (Some(_), _) => word.get_or_insert_default().push(letter),
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, '\\') => word.get_or_insert_default().extend(letters.next()),
            (None, ' ') => {
                words.extend(word.take());
                // What follows two spaces, or a #, explains; what follows these is another command.
                match letters.peek() {
                    None | Some(' ' | '#' | '|' | '&' | ';' | '>') => return Some(words),
                    _ => {}
                }
            }
            (None, '|' | '&' | ';' | '>' | ')') => break,
            (None, _) => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    (quote.is_none()).then_some(words)
}

/// Every `filbert ...` in a piece of code. Where there are prompts, what is not behind one was said by the program.
fn commands(code: &str) -> Vec<Vec<String>> {
    let prompts = code.contains("$ filbert");
    let mut found = Vec::new();
    for line in code.lines() {
        let typed = match line.split_once("$ ") {
            Some((_, typed)) => typed,
            None if prompts => continue,
            None => line.trim_start(),
        };
        let starts = typed.match_indices("filbert ").filter(|&(at, _)| {
            let before = typed[..at].trim_end();
            before.is_empty() || before.ends_with(['|', '&', ';', '(', '"', '\''])
        });
        found.extend(starts.filter_map(|(at, _)| words(&typed[at..])));
    }
    found
}

/// Every command of a document with what is wrong with it, if anything is.
fn judged(text: &str) -> Vec<(String, Option<String>)> {
    let mut found = Vec::new();
    for code in taken_apart(text).1 {
        let (code, whole) = match code {
            Code::Block(code) => (code, true),
            Code::Span(code) => (code, false),
        };
        // Bytes of a protocol that begin with our name are none.
        for words in commands(&code).into_iter().filter(|words| words.get(1).is_none_or(|word| word != "noise")) {
            found.push((words.join(" "), fault(&words, whole)));
        }
    }
    found
}

/// Why a command cannot be typed.
fn fault(words: &[String], whole: bool) -> Option<String> {
    // What stands for a number that a person would put there.
    let number = |word: &String| matches!(word.as_str(), "N" | "ID");
    let words = words.iter().map(|word| if number(word) { "1".to_owned() } else { word.clone() });
    let words: Vec<OsString> = words.map(OsString::from).collect();
    if let Err(error) = Args::from_iter_safe(argv::arrange(words.clone())) {
        match error.kind {
            ErrorKind::HelpDisplayed | ErrorKind::VersionDisplayed => {}
            ErrorKind::MissingRequiredArgument | ErrorKind::MissingSubcommand if !whole => {}
            ErrorKind::MissingArgumentOrSubcommand if !whole => {}
            _ => return Some(error.message.lines().next().unwrap_or_default().to_owned()),
        }
    }
    // A setting that is named is one.
    let text: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
    match text.iter().map(AsRef::as_ref).collect::<Vec<_>>().as_slice() {
        ["filbert", "config", "get" | "set", rest @ ..] => {
            let key = rest.iter().find(|word| !word.starts_with('-'))?;
            settings::find(key).is_none().then(|| format!("there is no setting {key}"))
        }
        _ => None,
    }
}

#[test]
fn every_command_that_the_documents_show_can_be_typed() {
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for path in documents() {
        let text = fs::read_to_string(&path).expect("a document");
        for (command, fault) in judged(&text) {
            seen += 1;
            wrong.extend(fault.map(|why| format!("{}: {command}: {why}", path.display())));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(seen > 40, "only {seen} commands were found");
}

#[test]
fn what_starts_it_as_a_service_or_in_a_container_can_be_typed() {
    let read = |name: &str| fs::read_to_string(root().join("docs").join(name)).expect("a document");
    let mut typed = Vec::new();
    for line in read("systemd/filbert.service").lines().filter(|line| line.starts_with("ExecStart=")) {
        typed.extend(line.find("filbert ").and_then(|at| words(&line[at..])));
    }
    for line in read("container/Containerfile").lines().filter(|line| !line.starts_with('#')) {
        let Some((instruction, list)) = line.split_once('[') else { continue };
        let list: Vec<String> = serde_json::from_str(&format!("[{list}")).expect("a list of words");
        match instruction.split_whitespace().next() {
            Some("CMD") => typed.push([vec!["filbert".to_owned()], list].concat()),
            Some("HEALTHCHECK") => typed.push(list),
            _ => {}
        }
    }
    assert_eq!(typed.len(), 3, "{typed:?}");
    for words in typed {
        assert_eq!(fault(&words, true), None, "{words:?}");
    }
}

#[test]
fn what_cannot_be_typed_is_found() {
    let shown = "Say `filbert status`, or:\n\n```\n07:09 $ filbert up --detach && filbert peers set 3   # three\n\
                 filbert runs in the background\n$ filbert get\n```\n\n```\nfilbert search 'blue train' |\n  less\n```\n\
                 `filbert get`, `filbert up --loud`, `filbert config set loudness 3` and `filbert staus`.\n";
    let (prose, _) = taken_apart(shown);
    assert!(prose.starts_with("Say , or:"), "{prose}");
    let judged: Vec<_> = judged(shown).into_iter().map(|(command, fault)| (command, fault.is_some())).collect();
    let expected = [
        ("filbert up --detach", false),
        ("filbert peers set 3", false),
        ("filbert get", true),
        ("filbert search blue train", false),
        ("filbert status", false),
        ("filbert get", false),
        ("filbert up --loud", true),
        ("filbert config set loudness 3", true),
        ("filbert staus", true),
    ];
    assert_eq!(judged, expected.map(|(command, wrong)| (command.to_owned(), wrong)));
    assert_eq!(anchors("# A *b*, c\ntext\n## D-e 1"), ["a-b-c", "d-e-1"]);
    assert_eq!(links("see [x](y.md#z) and [w](v)").collect::<Vec<_>>(), ["y.md#z", "v"]);
}
