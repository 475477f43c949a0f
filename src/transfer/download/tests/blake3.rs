//! The tree in a file's BLAKE3: when it is asked for, whom, and what it makes of those who say otherwise.

use super::*;
use crate::wire::{AnyRoot, Blake3Tree, Tth};

const SIZE: u64 = 4 * MIB;

/// A file with a BLAKE3 among what it must be.
struct Named {
    bench: Bench,
    tiger: AnyRow,
    blake3: AnyRow,
}

impl Named {
    /// Of which these ports have something, and the first is asked.
    fn with(ports: &[u16]) -> Self {
        let bytes = vec![5; SIZE as usize];
        let (mut tiger, mut blake3) = (TigerTree::new(), Blake3Tree::new());
        tiger.update(&bytes);
        blake3.update(&bytes);
        let (tiger, blake3) = (tiger.finish_row(), blake3.finish_row());
        let expected = Expected { blake3: Some(blake3.root()), ..RIGHT };
        let machine = Download::new(DownloadConfig::default(), expected, Some(SIZE), Rng::from_number(1));
        let mut bench = Bench { machine, now: Instant::from_secs(100) };
        ports.iter().for_each(|port| drop(bench.feed(Input::AddSource(source(*port)))));
        bench.feed(Input::Opened { stored: vec![] });
        bench.feed(Input::Turn);
        Self { bench, tiger: AnyRow::Tiger(tiger.into()), blake3: AnyRow::Blake3(blake3.into()) }
    }

    /// A source answers, and names these trees.
    fn head(&mut self, id: u32, names: &[(&str, String)]) -> Vec<Output> {
        let mut head = partial(0, SIZE, SIZE);
        names.iter().for_each(|(name, at)| head.headers.push(name, at.clone()));
        self.bench.feed(Input::Head { source: SourceId(id), head })
    }

    fn blake3_at(&self) -> (&'static str, String) {
        ("X-Blake3-URI", format!("/b;{}", self.blake3.root()))
    }

    fn tiger_at(&self) -> (&'static str, String) {
        ("X-Thex-URI", format!("/t;{}", self.tiger.root()))
    }

    fn state(&self, id: usize) -> (&'static str, String) {
        let report = self.bench.machine.report().nth(id).expect("a source");
        (report.state, report.words.to_owned())
    }
}

/// Whom a tree is asked of, where, and of which root.
fn asked(out: &[Output]) -> Option<(u32, &str, AnyRoot)> {
    out.iter().find_map(|it| match it {
        Output::FetchTree { source, target, root, .. } => Some((source.0, target.as_str(), *root)),
        _ => None,
    })
}

#[test]
fn it_is_preferred_and_the_tiger_tree_is_the_second_hope() {
    let mut file = Named::with(&[1]);
    let names = [file.tiger_at(), file.blake3_at()];
    let out = file.head(0, &names);
    assert_eq!(asked(&out), Some((0, "/b", file.blake3.root())));
    // Twice it has none: then the other one is asked for.
    let out = file.bench.feed(Input::NoTree { source: S0, lie: None });
    assert_eq!(asked(&out), None, "after a pause");
    let out = file.bench.sleep();
    assert_eq!(asked(&out), Some((0, "/b", file.blake3.root())));
    let out = file.bench.feed(Input::NoTree { source: S0, lie: None });
    assert_eq!(asked(&out), Some((0, "/t", file.tiger.root())));
    // What was not asked for is not taken.
    let other = file.blake3.clone();
    let out = file.bench.feed(Input::Tree { source: S0, row: other });
    assert_eq!((file.bench.machine.tree(), asked(&out)), (None, Some((0, "/t", file.tiger.root()))));
    let row = file.tiger.clone();
    file.bench.feed(Input::Tree { source: S0, row: row.clone() });
    assert_eq!(file.bench.machine.tree(), Some(&row));
}

#[test]
fn it_is_not_asked_for_when_its_root_is_only_heard() {
    let mut bench = Bench::asking(SIZE);
    let mut head = partial(0, SIZE, SIZE);
    head.headers.push("X-Blake3-URI", format!("/b;{HASH}"));
    assert_eq!(asked(&bench.feed(Input::Head { source: S0, head })), None);
}

#[test]
fn who_names_another_blake3_is_kept_apart_and_nothing_is_asked_of_it() {
    let mut file = Named::with(&[1, 2]);
    let out = file.head(0, &[("X-Blake3-URI", format!("/b;{HASH}"))]);
    assert!(out.contains(&Output::Drop { source: S0 }), "{out:?}");
    assert_eq!(file.state(0), ("apart", format!("names another BLAKE3 ({HASH})")));
    let names = [file.blake3_at()];
    let out = file.head(1, &names);
    assert_eq!(asked(&out), Some((1, "/b", file.blake3.root())));
}

#[test]
fn once_it_is_there_nobodys_word_for_a_tiger_tree_counts() {
    let mut file = Named::with(&[1, 2]);
    let names = [file.tiger_at(), file.blake3_at()];
    file.head(0, &names);
    let row = file.blake3.clone();
    let out = file.bench.feed(Input::Tree { source: S0, row: row.clone() });
    assert_eq!(out.first(), Some(&Output::HoldTree(row.clone())));
    // A source that names another Tiger tree may send: each of its blocks is looked at.
    let out = file.head(1, &[("X-Thex-URI", format!("/t;{}", Tth([9; 24])))]);
    assert_eq!(asked(&out), None);
    assert_eq!(file.state(1).0, "sends");
    assert_eq!(file.bench.machine.tree(), Some(&row));
    // What it sends is wrong: it is banned, though it named no BLAKE3, since that was asked for.
    file.bench.wrote(1, 0..MIB);
    file.bench.feed(Input::Judged { right: vec![], wrong: vec![(0, std::iter::once(0..MIB).collect())] });
    let (state, words) = file.state(1);
    assert_eq!(state, "banned", "{words}");
}

#[test]
fn who_sent_what_was_there_already_is_not_to_blame_for_it() {
    let mut file = Named::with(&[1, 2]);
    let names = [file.blake3_at()];
    file.head(0, &names);
    file.head(1, &names);
    let row = file.blake3.clone();
    file.bench.feed(Input::Tree { source: S0, row });
    file.bench.wrote(0, 0..MIB / 2);
    // Late: the first one's bytes are kept.
    file.bench.wrote(1, 0..MIB / 2);
    file.bench.wrote(0, MIB / 2..MIB);
    file.bench.feed(Input::Judged { right: vec![], wrong: vec![(0, std::iter::once(0..MIB / 2).collect())] });
    assert_eq!((file.state(0).0, file.state(1).0), ("banned", "sends"));
}

#[test]
fn a_row_that_is_none_bans_its_sender_and_another_is_asked() {
    let mut file = Named::with(&[1, 2]);
    let names = [file.blake3_at()];
    file.head(0, &names);
    file.head(1, &names);
    let out = file.bench.feed(Input::NoTree { source: S0, lie: Some("it hashes to something else".into()) });
    assert_eq!(asked(&out), Some((1, "/b", file.blake3.root())));
    assert_eq!(file.state(0).0, "banned");
}

#[test]
fn when_all_lie_about_the_tree_while_the_whole_is_read_it_fails_at_once() {
    let mut file = Named::with(&[1, 2]);
    let names = [file.blake3_at()];
    file.head(0, &names);
    file.head(1, &names);
    file.bench.wrote(0, 0..2 * MIB);
    let lie = || Some("it hashes to something else".to_owned());
    let out = file.bench.feed(Input::NoTree { source: S0, lie: lie() });
    assert_eq!(asked(&out).map(|(id, ..)| id), Some(1));
    file.bench.wrote(1, 2 * MIB..SIZE);
    assert_eq!(file.bench.machine.state(), State::Verifying);
    file.bench.feed(Input::NoTree { source: SourceId(1), lie: lie() });
    file.bench.feed(Input::Verified(WRONG));
    assert_eq!(file.bench.machine.failure(), Some(Failure::Verification), "{}", file.bench.reason());
}

#[test]
fn when_all_blocks_are_right_and_the_whole_is_not_whoever_named_both_lied() {
    let mut file = Named::with(&[1]);
    let names = [file.blake3_at()];
    file.head(0, &names);
    let row = file.blake3.clone();
    file.bench.feed(Input::Tree { source: S0, row });
    file.bench.wrote(0, 0..SIZE);
    let blocks = (0..file.bench.machine.map().len()).collect();
    file.bench.feed(Input::Judged { right: blocks, wrong: vec![] });
    file.bench.feed(Input::Verified(WRONG));
    assert_eq!(file.bench.machine.failure(), Some(Failure::Verification));
    assert!(file.bench.reason().contains("whoever named both lied"), "{}", file.bench.reason());
}
