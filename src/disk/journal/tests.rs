use std::collections::BTreeMap;
use std::fs::OpenOptions;

use proptest::prelude::*;
use serde::Deserialize;

use super::*;

/// Numbers by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Numbers(BTreeMap<u8, u32>);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Change {
    Set(u8, u32),
    Unset(u8),
}

use Change::{Set, Unset};

impl Journalled for Numbers {
    type Change = Change;

    fn apply(&mut self, change: Change) {
        match change {
            Set(name, number) => drop(self.0.insert(name, number)),
            Unset(name) => drop(self.0.remove(&name)),
        }
    }

    /// Zeros need not be kept.
    fn tidy(&mut self) {
        self.0.retain(|_, number| *number > 0);
    }
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn journal(&self) -> Journal<Numbers> {
        Journal::new(StateFile::new(self.0.path().join("numbers.json"), "numbers", 2).since(1))
    }

    fn log(&self) -> PathBuf {
        self.0.path().join("numbers.log")
    }

    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).expect("a folder");
        let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
        let mut names: Vec<_> = names.filter(|name| name != "write.lock").collect();
        names.sort();
        names
    }
}

fn after(changes: &[Change]) -> Numbers {
    let mut numbers = Numbers::default();
    changes.iter().cloned().for_each(|change| numbers.apply(change));
    numbers
}

#[test]
fn a_log_that_cannot_become_the_file_never_grows_past_what_is_read_back() {
    let place = Place::new();
    let mut journal = place.journal();
    journal.least_log = 1;
    // The file cannot take two hundred numbers, the log not for ever what changes.
    journal.file.most = 2000;
    let mut told = Vec::new();
    let error = loop {
        let change = Set(told.len() as u8 % 200, 1000);
        match journal.append(std::slice::from_ref(&change)) {
            Ok(()) => told.push(change),
            Err(error) => break error,
        }
        assert!(told.len() < 1000, "it grows for ever");
    };
    assert!(error.to_string().contains("that are read back"), "{error}");
    assert!(fs::metadata(place.log()).is_ok_and(|meta| meta.len() <= 2000));
    assert_eq!(journal.load().expect("read"), after(&told), "nothing that was told to be kept is lost");
    assert_eq!(place.files(), ["numbers.json", "numbers.log"]);
    // Where it need not be kept any longer there is room again.
    journal.file.most = 20_000;
    journal.append(&(0..150).map(Unset).collect::<Vec<_>>()).expect("appended");
    journal.rewrite().expect("written");
    journal.file.most = 2000;
    journal.append(&[Set(1, 1)]).expect("appended");
}

#[test]
fn what_is_appended_is_there_and_becomes_the_file_when_the_log_is_long() {
    let place = Place::new();
    let mut journal = place.journal();
    journal.least_log = 300;
    let mut all = Vec::new();
    for round in 0..200_u32 {
        let group = [Set((round % 50) as u8, round), Unset(((round + 7) % 50) as u8)];
        journal.append(&group).expect("appended");
        all.extend(group);
        let mut expected = after(&all);
        assert_eq!(place.journal().load().expect("read").0.iter().filter(|(_, number)| **number > 0).count(), {
            expected.tidy();
            expected.0.len()
        });
        let (log, whole) = (fs::metadata(place.log()).expect("a log").len(), fs::metadata(journal.path()));
        assert!(log <= 300.max(whole.map_or(0, |meta| meta.len())), "{log} bytes of log");
    }
    assert_eq!(place.files(), ["numbers.json", "numbers.log"]);
    let highest = journal.update(|numbers| {
        let highest = numbers.0.values().max().copied().unwrap_or(0);
        (vec![Set(0, highest + 1)], highest)
    });
    assert_eq!(highest.expect("updated"), 199);
    assert_eq!(journal.load().expect("read").0.get(&0), Some(&200));
    let kept = journal.load().expect("read");
    journal.rewrite().expect("rewritten");
    assert_eq!(fs::metadata(place.log()).expect("a log").len(), 0);
    assert_eq!((journal.load().expect("read"), place.files().len()), (kept, 2));
}

#[test]
fn a_file_of_the_version_before_is_moved_on_and_a_log_that_is_not_its_own_set_aside() {
    let place = Place::new();
    place.journal().append(&[Set(9, 9)]).expect("appended");
    StateFile::new(place.journal().path(), "numbers", 1).save(&after(&[Set(1, 5)])).expect("saved");
    assert_eq!(
        place.journal().load().expect("read"),
        after(&[Set(1, 5)]),
        "what came before the older file is no change of it"
    );
    assert_eq!(place.files(), ["numbers.json", "numbers.log.corrupt-1"]);
    place.journal().append(&[Set(2, 6)]).expect("appended");
    assert_eq!(place.journal().load().expect("read"), after(&[Set(1, 5), Set(2, 6)]));
    let older = StateFile::new(place.journal().path(), "numbers", 1).load::<Numbers>();
    assert!(matches!(older, Loaded::SetAside(_)), "a filbert that knows no logs does not take half of it for all");
}

#[test]
fn a_log_that_was_not_cut_when_the_file_was_written_changes_nothing() {
    let place = Place::new();
    let changes = [Set(1, 1), Set(2, 2), Unset(1), Set(2, 3)];
    place.journal().append(&changes).expect("appended");
    place.journal().file.save(&after(&changes)).expect("saved");
    assert_eq!(place.journal().load().expect("read"), after(&changes));
}

#[test]
fn a_file_that_cannot_be_read_leaves_what_the_log_says() {
    let place = Place::new();
    place.journal().append(&[Set(1, 1)]).expect("appended");
    fs::write(place.journal().path(), "nonsense").expect("written");
    assert_eq!(place.journal().load().expect("read"), after(&[Set(1, 1)]));
    assert_eq!(place.files(), ["numbers.json.corrupt-1", "numbers.log"]);
}

#[test]
fn a_foreign_log_is_set_aside_whether_it_is_read_or_appended_to() {
    for read in [true, false] {
        let place = Place::new();
        fs::write(place.log(), "filbert numbers, a log of changes, version 77\nwho knows\n").expect("written");
        if read {
            assert_eq!(place.journal().load().expect("read"), Numbers::default());
        }
        place.journal().append(&[Set(1, 1)]).expect("appended");
        assert_eq!(place.journal().load().expect("read"), after(&[Set(1, 1)]));
        assert!(place.files().contains(&"numbers.log.corrupt-1".to_owned()), "{:?}", place.files());
    }
}

#[test]
fn what_cannot_be_appended_leaves_no_trace() {
    let place = Place::new();
    place.journal().append(&[Set(1, 1)]).expect("appended");
    fs::remove_file(place.log()).expect("removed");
    fs::create_dir(place.log()).expect("a folder in the way");
    assert!(place.journal().append(&[Set(2, 2)]).is_err());
    assert_eq!(fs::read_dir(place.log()).expect("a folder").count(), 0);
}

#[cfg(unix)]
#[test]
fn a_log_is_readable_by_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    place.journal().append(&[Set(1, 1)]).expect("appended");
    assert_eq!(fs::metadata(place.log()).expect("a log").permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_crash_at_any_byte_costs_what_was_not_finished_and_nothing_else() {
    let place = Place::new();
    let changes: Vec<Change> =
        (0..6_u8).flat_map(|name| [Set(name, u32::from(name) * 1000), Unset(name / 2)]).collect();
    place.journal().append(&changes).expect("appended");
    let whole = fs::read(place.log()).expect("a log");
    for cut in 0..=whole.len() {
        fs::write(place.log(), &whole[..cut]).expect("written");
        // The header has a line of its own.
        let kept = whole[..cut].iter().filter(|byte| **byte == b'\n').count().saturating_sub(1);
        assert_eq!(place.journal().load().expect("read"), after(&changes[..kept]), "cut at {cut}");
        place.journal().append(&[Set(99, 1)]).expect("appended");
        let more: Vec<_> = changes[..kept].iter().cloned().chain([Set(99, 1)]).collect();
        assert_eq!(place.journal().load().expect("read"), after(&more), "cut at {cut}");
        assert_eq!(place.files(), ["numbers.log"], "nothing was damaged");
    }
}

#[test]
fn a_flipped_bit_costs_two_changes_at_most_and_the_damaged_log_is_kept() {
    let changes: Vec<Change> = (0..5).map(|name| Set(name, 7)).collect();
    let place = Place::new();
    place.journal().append(&changes).expect("appended");
    let whole = fs::read(place.log()).expect("a log");
    let header = place.journal().header().len();
    for at in 0..whole.len() {
        let place = Place::new();
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(place.log(), &bytes).expect("written");
        let found = place.journal().load().expect("read");
        assert!(found.0.iter().all(|(name, number)| *name < 5 && *number == 7), "byte {at}: nothing is made up");
        if at + 1 == whole.len() {
            // Without its end the last line was never finished.
            assert_eq!((found.0.len(), place.files()), (4, vec!["numbers.log".to_owned()]));
            continue;
        }
        assert!(at < header || found.0.len() >= 3, "byte {at}: {found:?}");
        assert_eq!(place.files(), ["numbers.json", "numbers.log.corrupt-1"], "byte {at}");
        assert_eq!(fs::read(place.0.path().join("numbers.log.corrupt-1")).expect("kept"), bytes);
        place.journal().append(&[Set(9, 9)]).expect("appended");
        assert_eq!(place.journal().load().expect("read").0.len(), found.0.len() + 1, "what could be read stays");
    }
}

#[test]
fn writers_take_turns_and_lose_nothing() {
    let place = Place::new();
    std::thread::scope(|scope| {
        for writer in 0..4_u8 {
            let mut journal = place.journal();
            journal.least_log = 2000;
            scope.spawn(move || {
                for round in 1..=25_u32 {
                    journal.append(&[Set(writer, round), Set(100 + writer, round * 2)]).expect("appended");
                    let counted = journal.update(|numbers| {
                        let count = numbers.0.get(&255).copied().unwrap_or(0) + 1;
                        (vec![Set(255, count)], ())
                    });
                    counted.expect("counted");
                }
            });
        }
    });
    let expected = (0..4).flat_map(|writer| [Set(writer, 25), Set(100 + writer, 50)]).chain([Set(255, 100)]);
    assert_eq!(place.journal().load().expect("read"), after(&expected.collect::<Vec<_>>()));
    assert!(!place.files().iter().any(|name| name.contains("corrupt")), "{:?}", place.files());
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![(any::<u8>(), 1..u32::MAX).prop_map(|(name, number)| Set(name, number)), any::<u8>().prop_map(Unset)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Two writers, one of whom dies in the middle of a group now and then: what was told to be kept is kept.
    #[test]
    fn whatever_was_appended_is_kept(
        groups in prop::collection::vec((prop::collection::vec(change(), 0..5), prop::option::of(1_usize..60)), 0..12),
        least in 0_u64..600,
    ) {
        let place = Place::new();
        let mut writers = [place.journal(), place.journal()];
        writers.iter_mut().for_each(|writer| writer.least_log = least);
        let mut kept = Vec::new();
        for (turn, (group, dies)) in groups.into_iter().enumerate() {
            match dies {
                None => {
                    writers[turn % 2].append(&group).expect("appended");
                    kept.extend(group);
                }
                Some(bytes) => {
                    let text = lines(&[Set(1, 77)]).expect("text");
                    let half = &text[..bytes.min(text.len() - 1)];
                    let file = OpenOptions::new().append(true).create(true).open(place.log());
                    // A writer writes its header first.
                    let mut file = file.expect("a log");
                    let header = if file.metadata().expect("a log").len() == 0 { writers[0].header() } else { String::new() };
                    write!(file, "{header}{half}").expect("written");
                }
            }
            prop_assert_eq!(place.journal().load().expect("read"), after(&kept));
        }
    }

    /// No bytes do harm, and what is made of them is kept by what is appended then.
    #[test]
    fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..300), headed in any::<bool>()) {
        let place = Place::new();
        let header = if headed { place.journal().header().into_bytes() } else { Vec::new() };
        fs::write(place.log(), [header, bytes].concat()).expect("written");
        prop_assert_eq!(place.journal().load().expect("read"), Numbers::default());
        place.journal().append(&[Set(1, 1)]).expect("appended");
        prop_assert_eq!(place.journal().load().expect("read"), after(&[Set(1, 1)]));
    }
}
