//! The query language and the index: what is typed, what is asked of the network, what is found.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use filbert::library::{Change, Criteria, Library, RootId, SharedFile, Stamp};
use filbert::wire::{Digests, Urn};
use proptest::prelude::*;

fn stamp(inode: u64, size: u64) -> Stamp {
    Stamp { dev: 1, inode, size, mtime_ns: 2, ctime_ns: 3 }
}

fn parse(text: &str) -> Criteria {
    Criteria::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn found(library: &Library, query: &Criteria) -> Vec<u32> {
    let mut found: Vec<u32> = library.find(query, usize::MAX);
    found.sort_unstable();
    found
}

#[test]
fn a_query_matches_what_it_says() {
    for (query, name, size, expected) in [
        ("blue train", "01 - Blue Train.flac", 1, true),
        ("train blue", "01 - Blue Train.flac", 1, true),
        ("blue train", "Blue Moon.flac", 1, false),
        ("tra", "Blue Train.flac", 1, false),
        ("BEYONCE", "Beyoncé - Halo.mp3", 1, true),
        ("beyoncé", "Beyonce\u{301}.mp3", 1, true),
        ("strasse", "Straße.txt", 1, true),
        ("blue -live", "Blue Train.flac", 1, true),
        ("blue -live", "Blue Train (Live).flac", 1, false),
        ("blue -\"in paris\"", "Blue in Paris.flac", 1, false),
        ("blue -\"in paris\"", "Paris, in blue.flac", 1, true),
        ("-live blue", "Blue Live.flac", 1, false),
        ("\"blue train\"", "Blue_Train.flac", 1, true),
        ("\"blue train\"", "Train Blue.flac", 1, false),
        ("\"train blue", "x", 1, false),
        ("Coltrane - Blue Train", "Coltrane, Blue Train.flac", 1, true),
        ("blue-train", "Train. Blue.flac", 1, true),
        ("moon|train", "Blue Train.flac", 1, true),
        ("moon|train blue", "Moon.flac", 1, false),
        ("moon | train blue", "blue moon.flac", 1, true),
        ("\"blue moon\"|naima", "Naima.flac", 1, true),
        ("\"blue moon\"|naima", "moon blue.flac", 1, false),
        ("--any moon train", "Moon.flac", 1, true),
        ("moon train --any", "Train.flac", 1, true),
        ("--any moon train -blue", "Blue Train.flac", 1, false),
        ("moon -a|b", "moon b", 1, false),
        ("blue ext:flac", "Blue.FLAC", 1, true),
        ("blue ext:.flac|ogg", "Blue.ogg", 1, true),
        ("blue ext:flac,ogg", "Blue.mp3", 1, false),
        ("blue ext:tar.gz", "blue.tar.gz", 1, true),
        ("blue -ext:mp3", "blue.mp3", 1, false),
        ("blue ext:flac", "blue flac", 1, false),
        ("blue type:audio", "blue.mp3", 1, true),
        ("blue type:audio|video", "blue.mkv", 1, true),
        ("blue type:video", "blue.mp3", 1, false),
        ("blue -type:video", "blue.mkv", 1, false),
        ("blue TYPE:Audio", "blue.mp3", 1, true),
        ("blue size:>10M", "blue", 10_000_001, true),
        ("blue size:>10M", "blue", 10_000_000, false),
        ("blue size:>=10MB", "blue", 10_000_000, true),
        ("blue size:<1Ki", "blue", 1023, true),
        ("blue size:<1KiB", "blue", 1024, false),
        ("blue size:1M..2G", "blue", 1_500_000, true),
        ("blue size:1M..2G", "blue", 2_000_000_001, false),
        ("blue size:..5", "blue", 5, true),
        ("blue size:1.5k..", "blue", 1499, false),
        ("blue size:42", "blue", 42, true),
        ("blue size:>1 size:<5", "blue", 5, false),
        ("a:b", "B, A", 1, true),
        ("東京", "東京タワー.jpg", 1, true),
        ("京", "東京タワー.jpg", 1, true),
        ("東京タワー", "東京.タワー.jpg", 1, false),
        ("タワー", "ﾀﾜｰ.jpg", 1, true),
        ("東京2020", "東京2020年.jpg", 1, true),
        ("か", "が.txt", 1, false),
    ] {
        let Ok(criteria) = Criteria::parse(query) else {
            assert!(!expected, "{query} is no query");
            continue;
        };
        assert_eq!(criteria.matches(name, size), expected, "{query:?} and {name:?} of {size} bytes");
        let mut library = Library::default();
        library.put(RootId(1), Path::new(name), stamp(1, size));
        assert_eq!(library.search(&criteria, 10).len(), usize::from(expected), "{query:?} among {name:?}, by index");
    }
}

#[test]
fn what_cannot_be_asked_is_explained() {
    for (query, teaches) in [
        ("", "search blue train"),
        ("   ", "search blue train"),
        ("...", "at least one word"),
        ("-", "at least one word"),
        ("-live", "filters"),
        ("ext:flac", "filters"),
        ("size:>1M", "add at least one word"),
        ("blue type:smell", "audio, video"),
        ("blue type:", "audio, video"),
        ("blue ext:", "ext:flac"),
        ("blue size:big", "size:>10M"),
        ("blue size:10M", "size:10M..2G"),
        ("blue size:..", "size:10M..2G"),
        ("blue size:<0", "less than 0"),
        ("blue size:5M..1M", "exclude each other"),
        ("blue size:>1Q", "size:>10M"),
        ("blue size:>99999999999999999999T", "size:>10M"),
        ("blue -size:>1M", "size:>10M"),
        ("moon|ext:flac", "ext:flac|ogg"),
        ("\"blue train", "a phrase"),
        ("urn:sha1:tooshort", "32 letters"),
        ("urn:sha1:PLSTHIPQGSSZTS5FJUPAKUZWUGYQYPFB blue", "urn alone"),
        (&"long ".repeat(500), "fewer words"),
    ] {
        match Criteria::parse(query) {
            Err(error) => assert!(error.to_string().contains(teaches), "{query:?}: {error}"),
            Ok(criteria) => panic!("{query:?} is taken as {criteria:?}"),
        }
    }
}

#[test]
fn the_network_is_asked_with_the_words_that_every_match_has() {
    for (query, text, texts) in [
        ("Blue Train ext:flac -live size:>1M", "Blue Train", vec!["Blue Train"]),
        ("\"blue train\" coltrane", "blue train coltrane", vec!["blue train coltrane"]),
        ("AC/DC ac", "AC DC", vec!["AC DC"]),
        ("Beyonce\u{301}", "Beyonc\u{e9}", vec!["Beyonc\u{e9}"]),
        ("moon|train blue", "blue", vec!["blue"]),
        ("\"blue moon\"|\"blue train\"", "blue", vec!["blue"]),
        ("moon|trains", "trains", vec!["moon", "trains"]),
        ("--any moon trains sun", "trains", vec!["moon", "trains", "sun"]),
        ("a|b|c moon|sun", "moon", vec!["moon", "sun"]),
        ("東京タワー", "東京タワー", vec!["東京タワー"]),
    ] {
        let criteria = parse(query);
        assert_eq!(criteria.wire_text(), text, "{query}");
        assert_eq!(criteria.wire_texts(), texts, "{query}");
    }
    let urn = "urn:sha1:PLSTHIPQGSSZTS5FJUPAKUZWUGYQYPFB";
    assert_eq!(parse(urn).wire_text(), "");
    assert_eq!(parse(urn).urns, [urn.parse::<Urn>().expect("a urn")]);
}

#[test]
fn a_peers_query_is_plain_words_that_must_all_be_there() {
    for (text, name, expected) in [
        ("blue train", "Blue Train.flac", true),
        ("blue -train", "Blue Train.flac", true),
        ("blue moon", "Blue Train.flac", false),
        ("size:>1M", "blue", false),
        ("blue blue blue", "blue", true),
        ("", "blue", false),
        ("\\", "blue", false),
        ("...", "blue", false),
        ("ble", "blue", false),
        ("\u{0}\u{1}", "blue", false),
    ] {
        let criteria = Criteria::from_wire(text, &[]);
        assert_eq!(criteria.matches(name, 1), expected, "{text:?}");
    }
    let many: String = (0..200).map(|number| format!("w{number} ")).collect();
    assert!(!Criteria::from_wire(&many, &[]).matches(&many, 1));
    assert!(!Criteria::from_wire(&"a".repeat(10_000), &[]).matches(&"a".repeat(10_000), 1));
}

#[test]
fn content_is_found_by_each_of_its_names() {
    let mut library = Library::default();
    let digests = Digests::of(b"content");
    let path = Path::new("a/file.txt");
    library.put(RootId(1), path, stamp(1, 7));
    assert!(!library.set_digests(RootId(1), path, stamp(1, 8), digests), "it changed since");
    assert!(library.set_digests(RootId(1), path, stamp(1, 7), digests));
    let other = Digests::of(b"other");
    let right = [
        Urn::Sha1(digests.sha1),
        Urn::Tth(digests.tth),
        Urn::Blake3(digests.blake3),
        Urn::Bitprint(digests.sha1, digests.tth),
    ];
    for urn in &right {
        assert_eq!(library.by_urn(urn).expect("found").path, path);
        let asked = Criteria::from_wire("whatever", std::slice::from_ref(urn));
        assert_eq!(library.search(&asked, 10).len(), 1, "{urn}");
    }
    assert_eq!(library.search(&Criteria::from_wire("", &right), 10).len(), 1, "one file, however often named");
    for urn in [Urn::Sha1(other.sha1), Urn::Bitprint(digests.sha1, other.tth), Urn::Tth(other.tth)] {
        assert!(library.by_urn(&urn).is_none(), "{urn}");
    }
    library.put(RootId(1), path, stamp(1, 9));
    assert!(library.by_urn(&right[0]).is_none(), "the content is another one");
    assert_eq!((library.files(), library.hashed(), library.bytes()), (1, 0, 9));
}

#[test]
fn a_rename_keeps_number_and_hashes_and_takes_the_place_of_what_was_there() {
    let mut library = Library::default();
    let (root, digests) = (RootId(1), Digests::of(b"x"));
    let index = library.put(root, Path::new("old.txt"), stamp(1, 1)).expect("there is room");
    library.set_digests(root, Path::new("old.txt"), stamp(1, 1), digests);
    library.put(root, Path::new("new.txt"), stamp(2, 5));
    assert!(library.rename(root, Path::new("old.txt"), Path::new("new.txt")));
    assert!(library.restamp(root, Path::new("new.txt"), Stamp { ctime_ns: 9, ..stamp(1, 1) }));
    let renamed = library.by_index(index).expect("there");
    assert_eq!((&*renamed.name, renamed.digests), ("new.txt", Some(digests)));
    assert_eq!(library.totals(root), (1, 1, 1));
    assert!(library.by_path(root, Path::new("old.txt")).is_none());
    assert_eq!((found(&library, &parse("old")).len(), found(&library, &parse("new")).len()), (0, 1));
    assert!(!library.rename(root, Path::new("nothing"), Path::new("x")));
}

#[test]
fn where_too_many_match_each_has_its_turn() {
    let mut library = Library::default();
    for number in 0..5000_u32 {
        library.put(RootId(number % 2), Path::new(&format!("common {number}.txt")), stamp(u64::from(number), 1));
    }
    let criteria = parse("common txt");
    let mut seen = BTreeSet::new();
    for _ in 0..1000 {
        let some = library.search(&criteria, 50);
        assert_eq!(some.len(), 50);
        seen.extend(some.iter().map(|file| file.index));
    }
    assert_eq!(seen.len(), 5000, "of 5000 files");
}

/// What an index must find, found the slow way.
struct Naive(Vec<SharedFile>);

impl Naive {
    fn of(library: &Library) -> Self {
        Self(library.iter().collect())
    }
    fn find(&self, criteria: &Criteria) -> Vec<u32> {
        let matching = self.0.iter().filter(|file| criteria.matches(&file.name, file.stamp.size));
        matching.map(|file| file.index).collect()
    }
}

/// A matcher with nothing in common with the real one but the words: a name of plain ASCII words.
fn plainly_matches(name: &str, wanted: &[String], unwanted: &[String]) -> bool {
    let words: Vec<String> = name.split(['_', ' ', '-', '.']).map(str::to_lowercase).collect();
    wanted.iter().all(|word| words.contains(&word.to_lowercase()))
        && !unwanted.iter().any(|word| words.contains(&word.to_lowercase()))
}

const WORDS: [&str; 12] =
    ["blue", "Train", "MOON", "live", "été", "ETE\u{301}", "東京", "京都", "東京都", "2020", "flac", "straße"];

fn name() -> impl Strategy<Value = String> {
    let word = prop::sample::select(&WORDS[..]);
    let joint = prop::sample::select(&[" ", "_", " - ", "", "."][..]);
    (prop::collection::vec((word, joint), 1..6), prop::sample::select(&["", ".flac", ".mkv"][..]))
        .prop_map(|(words, end)| words.iter().map(|(word, joint)| format!("{word}{joint}")).collect::<String>() + end)
}

fn query() -> impl Strategy<Value = String> {
    let word = || prop::sample::select(&WORDS[..]);
    let piece = prop_oneof![
        4 => word().prop_map(str::to_owned),
        1 => word().prop_map(|word| format!("-{word}")),
        1 => (word(), word()).prop_map(|(a, b)| format!("{a}|{b}")),
        1 => (word(), word()).prop_map(|(a, b)| format!("\"{a} {b}\"")),
        1 => (word(), word(), word()).prop_map(|(a, b, c)| format!("\"{a} {b}\"|{c}")),
        1 => prop::sample::select(&["ext:flac", "-ext:mkv", "type:video", "size:>3", "size:2..4", "--any"][..])
            .prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 1..5).prop_map(|pieces| pieces.join(" "))
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8, String, u64),
    Rename(u8, u8, String),
    RenameFolder(u8, u8, u8),
    Restamp(u8, u64),
    Hash(u8, u8),
    Remove(u8),
    RemoveFolder(u8, u8),
    RemoveRoot(u8),
}

/// Files lie in few folders, some of them in one another.
const FOLDERS: [&str; 5] = ["", "a", "a/b", "a/b/c", "x"];

fn folder(at: u8) -> &'static str {
    FOLDERS[usize::from(at) % FOLDERS.len()]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (any::<u8>(), name(), 0..6_u64).prop_map(|(place, name, size)| Step::Put(place, name, size)),
        2 => (any::<u8>(), any::<u8>(), name()).prop_map(|(place, to, name)| Step::Rename(place, to, name)),
        2 => any::<[u8; 3]>().prop_map(|[root, from, to]| Step::RenameFolder(root, from, to)),
        1 => (any::<u8>(), 0..6_u64).prop_map(|(at, size)| Step::Restamp(at, size)),
        3 => any::<[u8; 2]>().prop_map(|[at, content]| Step::Hash(at, content)),
        2 => any::<u8>().prop_map(Step::Remove),
        1 => any::<[u8; 2]>().prop_map(|[root, at]| Step::RemoveFolder(root, at)),
        1 => (0..3_u8).prop_map(Step::RemoveRoot),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn the_index_finds_what_a_walk_through_all_names_finds(
        steps in prop::collection::vec(step(), 1..60),
        queries in prop::collection::vec(query(), 1..12),
    ) {
        let mut library = Library::default();
        // By root and path: size, which content (if hashed), and the index.
        let mut model: BTreeMap<(u8, PathBuf), (u64, Option<u8>, u32)> = BTreeMap::new();
        let nth = |model: &BTreeMap<(u8, PathBuf), _>, at: u8| {
            model.keys().nth(usize::from(at) % model.len().max(1)).cloned()
        };
        let content = |content: u8| Digests::of(&[content % 4]);
        for step in steps {
            match step {
                Step::Put(place, name, size) => {
                    let (root, path) = (place % 3, Path::new(folder(place / 3)).join(name));
                    let index = library.put(RootId(root.into()), &path, stamp(1, size)).expect("there is room");
                    let known = model.entry((root, path)).or_insert((size, None, index));
                    prop_assert_eq!(known.2, index);
                    if known.0 != size {
                        (known.0, known.1) = (size, None);
                    }
                }
                Step::Rename(from, to, name) => {
                    let Some((root, from)) = nth(&model, from) else { continue };
                    let to = Path::new(folder(to)).join(name);
                    prop_assert!(library.rename(RootId(root.into()), &from, &to));
                    if let Some(file) = model.remove(&(root, from)) {
                        model.insert((root, to), file);
                    }
                }
                Step::RenameFolder(root, from, to) => {
                    let (root, from, to) = (root % 3, Path::new(folder(from)), Path::new(folder(to)));
                    let has = model.keys().any(|(other, path)| *other == root && path.starts_with(from));
                    let renamed = library.rename_folder(RootId(root.into()), from, to);
                    prop_assert_eq!(renamed, has && (from == to || !to.starts_with(from)));
                    if renamed && from != to {
                        let all = std::mem::take(&mut model).into_iter();
                        let (moved, others): (Vec<_>, Vec<_>) =
                            all.partition(|((other, path), _)| *other == root && path.starts_with(from));
                        let stays = |(other, path): &(u8, PathBuf)| *other != root || !path.starts_with(to);
                        model.extend(others.into_iter().filter(|(key, _)| stays(key)));
                        model.extend(moved.into_iter().map(|((root, path), file)| {
                            ((root, to.join(path.strip_prefix(from).expect("it is below"))), file)
                        }));
                    }
                }
                Step::Restamp(at, size) => {
                    let Some((root, path)) = nth(&model, at) else { continue };
                    prop_assert!(library.restamp(RootId(root.into()), &path, stamp(1, size)));
                    model.entry((root, path)).and_modify(|file| file.0 = size);
                }
                Step::Hash(at, which) => {
                    let Some((root, path)) = nth(&model, at) else { continue };
                    let file = model.get_mut(&(root, path.clone())).expect("there");
                    let root = RootId(root.into());
                    prop_assert!(!library.set_digests(root, &path, stamp(2, file.0), content(which)), "it changed");
                    prop_assert!(library.set_digests(root, &path, stamp(1, file.0), content(which)));
                    file.1 = Some(which % 4);
                }
                Step::Remove(at) => {
                    let Some((root, path)) = nth(&model, at) else { continue };
                    prop_assert!(library.remove(RootId(root.into()), &path));
                    prop_assert!(!library.remove(RootId(root.into()), &path));
                    model.remove(&(root, path));
                }
                Step::RemoveFolder(root, at) => {
                    let (root, at) = (root % 3, Path::new(folder(at)));
                    let had = model.keys().any(|(other, path)| *other == root && path.starts_with(at));
                    prop_assert_eq!(library.remove_folder(RootId(root.into()), at), had);
                    model.retain(|(other, path), _| *other != root || !path.starts_with(at));
                }
                Step::RemoveRoot(root) => {
                    library.remove_root(RootId(root.into()));
                    model.retain(|(other, _), _| *other != root);
                }
            }
        }
        let mut held: Vec<_> = library
            .iter()
            .map(|file| ((file.root.0 as u8, file.path), (file.stamp.size, file.digests, file.index)))
            .collect();
        held.sort_by(|a, b| a.0.cmp(&b.0));
        let expected = model.iter().map(|(key, (size, which, index))| (key.clone(), (*size, which.map(content), *index)));
        prop_assert_eq!(&held, &expected.collect::<Vec<_>>());
        for ((root, path), (_, digests, index)) in &held {
            prop_assert_eq!(library.by_path(RootId((*root).into()), path).map(|file| file.index), Some(*index));
            prop_assert_eq!(library.by_index(*index).map(|file| file.path), Some(path.clone()));
            let same: BTreeSet<u32> = held.iter().filter(|(_, file)| file.1 == *digests).map(|(_, file)| file.2).collect();
            if let Some(Digests { sha1, tth, blake3 }) = *digests {
                for urn in [Urn::Sha1(sha1), Urn::Tth(tth), Urn::Blake3(blake3), Urn::Bitprint(sha1, tth)] {
                    let found = library.find(&Criteria::from_wire("", &[urn]), usize::MAX);
                    prop_assert_eq!(found.into_iter().collect::<BTreeSet<u32>>(), same.clone());
                }
            }
        }
        prop_assert_eq!(library.files(), model.len() as u64);
        prop_assert_eq!(library.bytes(), model.values().map(|file| file.0).sum::<u64>());
        prop_assert_eq!(library.hashed(), model.values().filter(|file| file.1.is_some()).count() as u64);
        let naive = Naive::of(&library);
        for text in queries {
            let Ok(criteria) = Criteria::parse(&text) else { continue };
            prop_assert_eq!(found(&library, &criteria), naive.find(&criteria), "{}", text);
            // What matches also matches the words that the network is asked with.
            for index in naive.find(&criteria) {
                let name = &library.by_index(index).expect("there").name;
                let asked = criteria.wire_texts();
                prop_assert!(
                    asked.iter().any(|text| Criteria::from_wire(text, &[]).matches(name, 0)),
                    "{:?} does not reach {}", asked, name
                );
            }
        }
    }

    #[test]
    fn plain_words_match_as_anyone_would_expect(
        name in "[a-cA-C]{1,2}([_ .-]{1,2}[a-cA-C]{1,2}){0,5}",
        wanted in prop::collection::vec("[a-cA-C]{1,2}", 1..3),
        unwanted in prop::collection::vec("[a-cA-C]{1,2}", 0..2),
    ) {
        let minus = unwanted.iter().map(|word| format!(" -{word}")).collect::<String>();
        let criteria = parse(&(wanted.join(" ") + &minus));
        prop_assert_eq!(criteria.matches(&name, 0), plainly_matches(&name, &wanted, &unwanted));
    }

    #[test]
    fn no_text_upsets_the_parser_or_the_matcher(text in ".{0,60}", name in ".{0,60}") {
        if let Ok(criteria) = Criteria::parse(&text) {
            criteria.matches(&name, 1);
            prop_assert!(!criteria.wire_text().is_empty() || !criteria.urns.is_empty());
        }
        Criteria::from_wire(&text, &[]).matches(&name, 1);
    }

    #[test]
    fn every_name_with_words_is_found_by_its_own_words(name in "[\\w あ-ん東京ก-๙.\\-]{1,40}") {
        let criteria = Criteria::from_wire(&name, &[]);
        let mut library = Library::default();
        library.put(RootId(1), Path::new(&name), stamp(1, 1));
        let file_name = Path::new(&name).file_name().is_some();
        let has_words = !filbert::library::words(&name).is_empty();
        if file_name && has_words {
            prop_assert_eq!(library.search(&criteria, 1).len(), 1);
            prop_assert!(library.may_match(&name, &[]));
        }
    }

    #[test]
    fn what_no_file_may_match_is_not_found(
        names in prop::collection::vec("[a-cA-Cé]{1,2}([_ .-]{1,2}[a-cA-Cé]{1,2}){0,5}", 1..4),
        text in "([a-cA-Cé]{1,2}[_ .\\\"-]{0,2}){0,4}",
    ) {
        let mut library = Library::default();
        for (n, name) in names.iter().enumerate() {
            library.put(RootId(n as u32), Path::new(name), stamp(1, 1));
        }
        let found = !library.search(&Criteria::from_wire(&text, &[]), 1).is_empty();
        prop_assert!(!found || library.may_match(&text, &[]), "{text:?} is found");
        // Of plain words it is exact where one name has them all.
        if let ([name], true, true) = (&names[..], text.is_ascii(), !filbert::library::words(&text).is_empty()) {
            prop_assert_eq!(library.may_match(&text, &[]), found, "{} in {}", text, name);
        }
    }
}

#[test]
fn changes_are_applied_as_they_are_told() {
    let mut library = Library::default();
    let (root, digests) = (RootId(1), Digests::of(b"x"));
    let path = PathBuf::from("a");
    assert!(library.apply(Change::Put { root, path: path.clone(), stamp: stamp(1, 1), digests: None }));
    assert!(library.apply(Change::Hashed { root, path: path.clone(), stamp: stamp(1, 1), digests }));
    let moved = Stamp { ctime_ns: 8, ..stamp(1, 1) };
    assert!(library.apply(Change::Renamed { root, from: path.clone(), to: "b".into(), stamp: moved }));
    let file = library.by_path(root, Path::new("b")).expect("there");
    assert_eq!((file.stamp, file.digests), (moved, Some(digests)));
    assert!(library.apply(Change::Renamed { root, from: "unknown".into(), to: "c".into(), stamp: stamp(2, 2) }));
    assert_eq!(library.files(), 2);
    assert!(!library.apply(Change::State { root }));
    assert!(!library.apply(Change::Warning("w".into())));
    assert!(library.apply(Change::Removed { root, path: "c".into() }));
    assert!(!library.apply(Change::Removed { root, path: "c".into() }));
    assert!(library.apply(Change::RemovedRoot { root }));
    assert_eq!((library.files(), library.bytes(), library.hashed()), (0, 0, 0));
}

#[cfg(unix)]
#[test]
fn names_that_are_no_unicode_are_kept_as_they_are() {
    use std::os::unix::ffi::OsStrExt;
    let mut library = Library::default();
    let path = Path::new(std::ffi::OsStr::from_bytes(b"d\xffr/Blue\xfe Train.flac"));
    library.put(RootId(1), path, stamp(1, 1));
    let found = library.search(&parse("blue train"), 10);
    assert_eq!((found[0].path.as_path(), &*found[0].name), (path, "Blue\u{fffd} Train.flac"));
    assert!(library.rename(RootId(1), path, Path::new("Beyonce\u{301}.flac")));
    let file = &library.search(&parse("beyoncé"), 10)[0];
    assert_eq!((&*file.name, file.path.as_path()), ("Beyonc\u{e9}.flac", Path::new("Beyonce\u{301}.flac")));
}

#[test]
fn a_hundred_thousand_files_of_common_words_are_found_in_turns_and_leave_together() {
    let mut library = Library::default();
    for number in 0..100_000_u64 {
        let even = if number % 2 == 0 { "even" } else { "odd" };
        let name = format!("{}/common {even} {}.mp3", number % 100, number % 1_000);
        library.put(RootId(1), Path::new(&format!("{name}.{number}")), stamp(number, number));
    }
    assert_eq!(library.find(&parse("common even"), usize::MAX).len(), 50_000);
    assert_eq!(library.find(&parse("common odd 777 mp3"), usize::MAX).len(), 100);
    assert_eq!(library.find(&parse("common even odd"), usize::MAX).len(), 0);
    assert_eq!(library.find(&parse("even|odd -odd"), usize::MAX).len(), 50_000);
    // Of what has to be looked at, each search looks at other parts.
    let rare = parse("common size:1000..1002");
    let found: BTreeSet<u32> = (0..50).flat_map(|_| library.find(&rare, 250)).collect();
    assert_eq!(found.len(), 3);
    for folder in 0..90 {
        assert!(library.remove_folder(RootId(1), Path::new(&folder.to_string())));
    }
    assert_eq!(library.find(&parse("common"), usize::MAX).len(), 10_000);
    assert_eq!(library.find(&parse("95"), usize::MAX).len(), 100);
    library.remove_root(RootId(1));
    assert_eq!((library.files(), library.terms()), (0, 0));
}
