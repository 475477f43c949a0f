//! What is asked: text from the wire and from people, and a library that must find what matches and nothing else.

use std::collections::BTreeMap;
use std::path::PathBuf;

use filbert::library::{Criteria, Library, RootId, Stamp};

use super::choices::Choices;

/// Pieces that names and queries are made of, so that they meet.
const PIECES: [&str; 24] = [
    "blue",
    "Train",
    "BLUE",
    "01",
    "a",
    "é",
    "e\u{301}",
    "東京",
    "京都",
    "東",
    "ß",
    "SS",
    " ",
    "_",
    "-",
    ".flac",
    ".mp3",
    "\"",
    "|",
    "ext:flac",
    "type:audio",
    "size:>3",
    "--any",
    "\u{202e}",
];

/// Bytes as one query as it came, and as names and queries.
pub fn query(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    asked(&text);
    let mut choices = Choices::new(data);
    let mut library = Library::default();
    let mut files: BTreeMap<(RootId, PathBuf), (String, u64)> = BTreeMap::new();
    while !choices.is_over() {
        match choices.byte() % 8 {
            0..=3 => {
                let (root, name, size) = (RootId(choices.byte() as u32 % 2), name(&mut choices), choices.byte().into());
                let path = PathBuf::from(name);
                assert!(library.put(root, &path, Stamp { size, ..Stamp::default() }).is_some(), "there is room");
                let name = library.by_path(root, &path).expect("it is there").name.clone();
                files.insert((root, path), (name, size));
            }
            4 => {
                if let Some((root, path)) = one_of(&files, &mut choices) {
                    assert!(library.remove(root, &path));
                    files.remove(&(root, path));
                }
            }
            5 => {
                if let Some((root, from)) = one_of(&files, &mut choices) {
                    let to = PathBuf::from(name(&mut choices));
                    assert!(library.rename(root, &from, &to));
                    let (_, size) = files.remove(&(root, from)).expect("it was there");
                    let name = library.by_path(root, &to).expect("it is there").name.clone();
                    files.insert((root, to), (name, size));
                }
            }
            _ => {
                let text: String = (0..1 + choices.below(4)).map(|_| choices.of(&PIECES)).collect();
                let limit = 1 + choices.below(8);
                asked(&text);
                if let Ok(criteria) = Criteria::parse(&text) {
                    found(&library, &files, &criteria, limit);
                }
                found(&library, &files, &Criteria::from_wire(&text, &[]), limit);
            }
        }
        assert_eq!(library.files(), files.len() as u64);
        assert_eq!(library.bytes(), files.values().map(|(_, size)| size).sum::<u64>());
    }
}

/// What is asked of the network asks for no less than what was typed.
fn asked(text: &str) {
    let plain = Criteria::from_wire(text, &[]);
    plain_words(text, &plain);
    let Ok(criteria) = Criteria::parse(text) else { return };
    assert!(criteria != Criteria::default(), "{text:?} asks for nothing");
    let texts = criteria.wire_texts();
    assert!(criteria.urns.is_empty() != texts.is_empty() && texts.iter().all(|text| !text.is_empty()), "{texts:?}");
    for name in ["blue train.flac", text, "東京 01.mp3"] {
        if criteria.urns.is_empty() && criteria.matches(name, 5) {
            let is_found = texts.iter().any(|text| Criteria::from_wire(text, &[]).matches(name, 5));
            assert!(is_found, "{name:?} is wanted by {text:?}, but {texts:?} does not find it");
        }
    }
}

/// Of ASCII text: each word of the query is a word of the name.
fn plain_words(text: &str, criteria: &Criteria) {
    let words = |text: &str| -> Vec<String> {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        words.map(str::to_ascii_lowercase).collect()
    };
    let wanted = words(text);
    if !text.is_ascii() || text.len() > 200 {
        return;
    }
    for name in ["Blue_Train 01.flac", "a-b-c", text] {
        let has = words(name);
        let matches = !wanted.is_empty() && wanted.iter().all(|word| has.contains(word));
        assert_eq!(criteria.matches(name, 5), matches, "{text:?} in {name:?}");
    }
}

/// A search finds what matches, each once, and as much as it may.
fn found(library: &Library, files: &BTreeMap<(RootId, PathBuf), (String, u64)>, criteria: &Criteria, limit: usize) {
    if !criteria.urns.is_empty() {
        return;
    }
    let mut hits: Vec<u32> = Vec::new();
    for file in library.search(criteria, limit) {
        assert!(criteria.matches(&file.name, file.stamp.size), "{:?} by {criteria:?}", file.name);
        assert!(files.contains_key(&(file.root, file.path.clone())));
        assert!(!hits.contains(&file.index), "twice");
        hits.push(file.index);
    }
    let matching = files.values().filter(|(name, size)| criteria.matches(name, *size)).count();
    assert_eq!(hits.len(), matching.min(limit), "{criteria:?}");
}

fn one_of<T>(files: &BTreeMap<(RootId, PathBuf), T>, choices: &mut Choices<'_>) -> Option<(RootId, PathBuf)> {
    (!files.is_empty()).then(|| files.keys().nth(choices.below(files.len())).cloned())?
}

/// A file's name: never empty, never a folder.
fn name(choices: &mut Choices<'_>) -> String {
    let name: String = (0..1 + choices.below(5)).map(|_| choices.of(&PIECES)).collect();
    if choices.flag() { format!("x{name}") } else { format!("dir/x {name}") }
}
