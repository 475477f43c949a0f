use std::fs::OpenOptions;

use super::*;
use crate::wire::{AnyRow, Digests};

const MIB: usize = 1 << 20;

/// A partial file as a download has it: in its slot, and with a thread that always has time for the hash of the whole.
#[derive(Debug)]
struct Tried {
    slot: Slot,
    judged: Judged,
}

fn open(spec: PartialSpec) -> Result<Tried, DiskError> {
    Ok(Tried { slot: Slot::new(Partial::open(spec)?), judged: Judged::default() })
}

impl Tried {
    fn with<T>(&self, work: impl FnOnce(&mut Partial) -> T) -> T {
        self.slot.with(|partial| work(partial.as_mut().expect("it is there")))
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<Vec<(usize, Blake3)>, DiskError> {
        let (mut stored, mut failed) = (Vec::new(), None);
        let judged = &mut self.judged;
        let done = self.slot.write(offset, bytes, |told| match told {
            Ok(wrote) => {
                stored.extend(wrote.stored);
                judged.right.extend(wrote.judged.right);
                judged.wrong.extend(wrote.judged.wrong);
            }
            Err(error) => failed = Some(error),
        });
        assert_eq!(done.is_none(), failed.is_some(), "whatever is not written is told of");
        if let Some(behind) = self.slot.behind() {
            behind.catch_up();
        }
        failed.map_or(Ok(stored), Err)
    }

    fn check(&mut self) -> Result<Checked, DiskError> {
        let (checked, judged) = self.slot.check(|checked, judged| (checked, judged)).expect("it is there");
        self.judged.right.extend(judged.right);
        self.judged.wrong.extend(judged.wrong);
        checked
    }

    fn finish(&mut self, dir: &Path, name: &str, on_exists: OnExists) -> Result<PathBuf, DiskError> {
        let one = Finishing { slot: self.slot.clone(), dir: dir.to_owned(), name: name.to_owned(), on_exists };
        Together::default().finish(vec![one]).pop().flatten().expect("it is there")
    }

    fn discard(self) -> Result<(), DiskError> {
        self.slot.with(Option::take).expect("it is there").discard()
    }

    fn judged(&mut self) -> Judged {
        std::mem::take(&mut self.judged)
    }

    fn hold_tree(&mut self, row: AnyRow) {
        self.with(|partial| partial.hold_tree(row));
    }

    fn file_name(&self) -> String {
        self.with(|partial| partial.file_name())
    }

    fn path(&self) -> PathBuf {
        self.with(|partial| partial.path().to_owned())
    }

    fn map_path(&self) -> PathBuf {
        self.with(|partial| partial.beside.as_ref().expect("it has a map").path.clone())
    }

    fn note(&self) -> Option<String> {
        self.with(|partial| partial.note().map(str::to_owned))
    }

    fn stored(&self) -> Vec<(usize, Blake3)> {
        self.with(|partial| partial.stored())
    }
}

pub(super) fn content(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 + at / 255) as u8).collect()
}

pub(super) fn spec(dir: &Path, bytes: &[u8]) -> PartialSpec {
    PartialSpec {
        dir: dir.join("incomplete"),
        name: "a.bin".into(),
        size: bytes.len() as u64,
        expected: Digests::of(bytes).into(),
        own: None,
    }
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .map(|entries| entries.map(|e| e.expect("entry").file_name().to_string_lossy().into_owned()).collect())
        .unwrap_or_default();
    names.sort();
    names
}

fn indices(partial: &Tried) -> Vec<usize> {
    partial.stored().iter().map(|(index, _)| *index).collect()
}

#[test]
fn bytes_in_any_pieces_become_the_file_and_its_digests() {
    let dir = tempfile::tempdir().expect("a folder");
    let bytes = content(3 * MIB + 5);
    let mut partial = open(spec(dir.path(), &bytes)).expect("opened");
    // The second half of the file first, in odd pieces, then the first.
    let (first, second) = bytes.split_at(MIB + 77);
    for (start, half) in [(MIB + 77, second), (0, first)] {
        for (n, piece) in half.chunks(100_001).enumerate() {
            partial.write((start + n * 100_001) as u64, piece).expect("written");
        }
    }
    // What lay behind a hole in its block did not count; it comes again.
    partial.write(MIB as u64, &bytes[MIB..2 * MIB]).expect("written");
    assert_eq!(indices(&partial), [0, 1, 2, 3]);
    assert_eq!(partial.check().expect("read"), Checked::Digests(Expected::from(Digests::of(&bytes)).checked()));
    let path = partial.finish(dir.path(), "a.bin", OnExists::SkipSame).expect("finished");
    assert_eq!(fs::read(&path).expect("read"), bytes);
    assert_eq!(names(dir.path()), ["a.bin"]);
}

#[test]
fn an_interrupted_download_goes_on_with_the_blocks_that_are_whole() {
    let dir = tempfile::tempdir().expect("a folder");
    let bytes = content(4 * MIB);
    let mut partial = open(spec(dir.path(), &bytes)).expect("opened");
    partial.write(0, &bytes[..2 * MIB + 1000]).expect("written");
    drop(partial);
    let mut partial = open(spec(dir.path(), &bytes)).expect("opened again");
    assert_eq!(indices(&partial), [0, 1]);
    partial.write(2 * MIB as u64, &bytes[2 * MIB..]).expect("written");
    assert_eq!(partial.write(4 * MIB as u64, b"behind its end").expect("left out"), []);
    assert_eq!(partial.with(|it| it.filling.len()), 0);
    assert_eq!(partial.check().expect("read"), Checked::Digests(Expected::from(Digests::of(&bytes)).checked()));
}

#[test]
fn a_flipped_bit_a_cut_file_or_a_torn_map_cost_only_their_blocks() {
    let bytes = content(4 * MIB);
    type Damage = fn(&Path, &Path);
    let cases: [(Damage, &[usize]); 4] = [
        (
            |part, _| {
                let mut all = fs::read(part).expect("read");
                all[MIB + 7] ^= 1;
                fs::write(part, all).expect("written");
            },
            &[0, 2, 3],
        ),
        (
            |part, _| {
                let file = OpenOptions::new().write(true).open(part).expect("opened");
                file.set_len(2 * MIB as u64 + 1).expect("cut");
            },
            &[0, 1],
        ),
        (
            |_, map| {
                let text = fs::read(map).expect("read");
                fs::write(map, &text[..text.len() - 10]).expect("written");
            },
            &[0, 1, 2],
        ),
        (
            |_, map| {
                let text = fs::read_to_string(map).expect("read");
                let first = text.split_inclusive('\n').next().expect("a header");
                fs::write(map, format!("{first}\u{0}\u{0}garbage")).expect("written");
            },
            &[],
        ),
    ];
    for (case, (damage, left)) in cases.into_iter().enumerate() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut partial = open(spec(dir.path(), &bytes)).expect("opened");
        partial.write(0, &bytes).expect("written");
        let (part, map) = (partial.path(), partial.map_path());
        drop(partial);
        damage(&part, &map);
        let partial = open(spec(dir.path(), &bytes)).expect("opened again");
        assert_eq!(indices(&partial), left, "case {case}");
        let tidy = journal::read(&fs::read(&map).expect("read")).expect("a journal");
        assert_eq!((tidy.map.stored().count(), tidy.untidy), (left.len(), false), "case {case}");
    }
}

#[test]
fn a_partial_file_of_other_content_or_in_use_is_left_alone() {
    let dir = tempfile::tempdir().expect("a folder");
    let (one, other) = (content(MIB + 1), vec![7; MIB + 1]);
    let mut first = open(spec(dir.path(), &one)).expect("opened");
    first.write(0, &one[..MIB]).expect("written");
    let second = open(spec(dir.path(), &one)).expect("opened beside it");
    assert_eq!((first.file_name(), second.file_name()), ("a.bin.part".into(), "a (2).bin.part".into()));
    drop((first, second));
    let third = open(spec(dir.path(), &other)).expect("opened beside both");
    assert_eq!((third.file_name(), third.stored().len()), ("a (3).bin.part".into(), 0));
    let again = open(spec(dir.path(), &one)).expect("opened");
    assert_eq!((again.file_name(), again.stored().len()), ("a.bin.part".into(), 1));
}

#[test]
fn without_a_hash_only_the_download_itself_takes_its_partial_file_up() {
    let dir = tempfile::tempdir().expect("a folder");
    let bytes = content(MIB + 1);
    let nameless = PartialSpec { expected: Expected::default(), ..spec(dir.path(), &bytes) };
    let mut partial = open(nameless.clone()).expect("opened");
    partial.write(0, &bytes[..MIB]).expect("written");
    let own = Some(partial.file_name());
    drop(partial);
    let stranger = open(nameless.clone()).expect("opened");
    assert_eq!((stranger.file_name(), stranger.stored().len()), ("a (2).bin.part".into(), 0));
    let same = open(PartialSpec { own, ..nameless }).expect("opened");
    assert_eq!((same.file_name(), same.stored().len()), ("a.bin.part".into(), 1));
}

#[test]
fn a_discarded_download_leaves_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let bytes = content(10);
    let mut partial = open(spec(dir.path(), &bytes)).expect("opened");
    partial.write(0, &bytes).expect("written");
    partial.discard().expect("removed");
    assert_eq!(names(dir.path()), Vec::<String>::new());
}

#[test]
fn what_the_disk_refuses_is_said_in_a_sentence() {
    let full = DiskError::new("write", Path::new("/x/a.part"), &io::ErrorKind::StorageFull.into());
    assert_eq!(full.to_string(), "cannot write /x/a.part: the disk is full. Free some space, then retry");
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("incomplete"), "a file in the way").expect("written");
    let error = open(spec(dir.path(), b"x")).expect_err("no folder");
    assert!(error.to_string().starts_with("cannot make the folder "), "{error}");
}

/// A partial file with everything in it, and what was found when it was opened again after `damage`.
fn damaged(damage: impl FnOnce(&Path, &Path)) -> (Vec<usize>, Option<String>) {
    let dir = tempfile::tempdir().expect("a folder");
    let bytes = content(4 * MIB);
    let mut partial = open(spec(dir.path(), &bytes)).expect("opened");
    partial.write(0, &bytes[..3 * MIB]).expect("written");
    let (part, map, own) = (partial.path(), partial.map_path(), Some(partial.file_name()));
    drop(partial);
    damage(&part, &map);
    let mut again = open(PartialSpec { own, ..spec(dir.path(), &bytes) }).expect("opened again");
    let found = (indices(&again), again.note());
    // Whatever happened: it can be made whole, and is right then.
    again.write(0, &bytes).expect("written");
    assert_eq!(again.check().expect("read"), Checked::Digests(Expected::from(Digests::of(&bytes)).checked()));
    let path = again.finish(dir.path(), "a.bin", OnExists::SkipSame).expect("finished");
    assert!(fs::read(path).expect("read") == bytes);
    assert_eq!(names(dir.path()), ["a.bin"]);
    found
}

fn cut(path: &Path, length: u64) {
    OpenOptions::new().write(true).open(path).expect("opened").set_len(length).expect("cut");
}

#[cfg(unix)]
fn flip(path: &Path, at: u64) {
    use std::os::unix::fs::FileExt;
    let file = OpenOptions::new().read(true).write(true).open(path).expect("opened");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("read");
    file.write_all_at(&[byte[0] ^ 1], at).expect("written");
}

#[test]
fn what_happened_to_it_while_it_was_closed_is_said_in_a_sentence() {
    assert_eq!(damaged(|_, _| {}), (vec![0, 1, 2], None), "nothing happened");
    let torn = damaged(|_, map| cut(map, fs::metadata(map).expect("there").len() - 3));
    assert_eq!(torn, (vec![0, 1], None), "a crash may tear a line");
    for (left, note, damage) in [
        (vec![0, 2], "something had changed its partial file, so 1 block is fetched again", 0),
        (vec![0], "its partial file had been cut to 1048583 bytes, so 2 blocks are fetched again", 1),
        (vec![], "its partial file was gone, so all of it is fetched anew", 2),
        (vec![], "the map beside it was gone, so all of it is fetched anew", 3),
        (vec![], "its partial file was gone, so all of it is fetched anew", 4),
        (vec![], "the map beside it is no map of a partial file, so all of it is fetched anew", 5),
        (vec![], "the map beside it was written by another version of filbert, so all of it is fetched anew", 6),
        (vec![], "its partial file had been cut to 0 bytes, so 3 blocks are fetched again", 7),
    ] {
        let found = damaged(|part, map| match damage {
            0 => flip(part, MIB as u64 + 9),
            1 => cut(part, MIB as u64 + 7),
            2 => fs::remove_file(part).expect("removed"),
            3 => fs::remove_file(map).expect("removed"),
            4 => fs::remove_dir_all(part.parent().expect("a folder")).expect("removed"),
            5 => cut(map, 0),
            6 => fs::write(map, "filbert part map 9 4194304 1048576 -\n").expect("written"),
            _ => cut(part, 0),
        });
        assert_eq!(found, (left, Some(note.to_owned())), "damage {damage}");
    }
}

#[test]
fn what_happens_to_it_while_it_is_open_is_found_before_it_is_finished() {
    let dir = tempfile::tempdir().expect("a folder");
    let bytes = content(12 * MIB + 5);
    let right = Checked::Digests(Expected::from(Digests::of(&bytes)).checked());
    let mut partial = open(spec(dir.path(), &bytes)).expect("opened");
    partial.write(0, &bytes[..11 * MIB]).expect("written");
    let part = partial.path();
    flip(&part, 5 * MIB as u64);
    partial.write(11 * MIB as u64, &bytes[11 * MIB..]).expect("written");
    let words = "something changed its partial file, so 1 block is fetched again".to_owned();
    assert_eq!(partial.check().expect("read"), Checked::Changed(vec![5], words));
    assert_eq!(indices(&partial).len(), 12, "of thirteen");
    partial.write(5 * MIB as u64, &bytes[5 * MIB..6 * MIB]).expect("written");
    assert_eq!(partial.check().expect("read"), right);

    // Between the check and the move.
    flip(&part, 7);
    let altered = partial.finish(dir.path(), "a.bin", OnExists::SkipSame).expect_err("it was altered");
    assert_eq!(altered.fault, Fault::Altered);
    assert!(matches!(partial.check().expect("read"), Checked::Changed(blocks, _) if blocks == [0]));
    partial.write(0, &bytes[..MIB]).expect("written");
    // Longer than it may be, and cut.
    OpenOptions::new().append(true).open(&part).expect("opened").write_all(b"more").expect("written");
    assert_eq!(partial.check().expect("read"), right, "what is too much goes");
    cut(&part, 12 * MIB as u64);
    assert!(matches!(partial.check().expect("read"), Checked::Changed(blocks, _) if blocks == [12]));
    partial.write(12 * MIB as u64, &bytes[12 * MIB..]).expect("written");
    assert_eq!(partial.check().expect("read"), right);
    // Removed, and replaced by another.
    fs::remove_file(&part).expect("removed");
    fs::write(&part, &bytes).expect("written");
    assert_eq!(partial.check().expect_err("it is another file").fault, Fault::Gone);
    let gone = partial.finish(dir.path(), "a.bin", OnExists::SkipSame).expect_err("it is another file");
    assert_eq!(gone.fault, Fault::Gone);
    assert_eq!(names(dir.path()), ["incomplete"]);
}

#[test]
fn a_tree_finds_the_wrong_bytes_whenever_it_comes_and_in_whatever_pieces_they_came() {
    let bytes = content(3 * MIB + 5);
    let mut digester = crate::wire::Digester::new();
    digester.update(&bytes);
    let (digests, tiger, blake3) = digester.finish_with_rows();
    let mut sent = bytes.clone();
    sent[MIB + 300_000] ^= 1;
    for row in [AnyRow::Tiger(tiger.into()), AnyRow::Blake3(blake3.into())] {
        for comes_at in [0, 500_000, MIB, MIB + 400_000, 3 * MIB] {
            for piece in [77_777, 256 << 10, 2 * MIB] {
                let dir = tempfile::tempdir().expect("a folder");
                let mut partial = open(spec(dir.path(), &bytes)).expect("opened");
                let (mut right, mut wrong) = (Vec::new(), Vec::new());
                let mut is_there = false;
                for at in (0..sent.len()).step_by(piece) {
                    if !is_there && at >= comes_at {
                        partial.hold_tree(row.clone());
                        is_there = true;
                    }
                    partial.write(at as u64, &sent[at..sent.len().min(at + piece)]).expect("written");
                    let judged = partial.judged();
                    right.extend(judged.right);
                    wrong.extend(judged.wrong);
                }
                if !is_there {
                    partial.hold_tree(row.clone());
                }
                if wrong.is_empty() {
                    assert_eq!(partial.check().expect("read"), Checked::Wrong);
                    let judged = partial.judged();
                    right.extend(judged.right);
                    wrong.extend(judged.wrong);
                }
                let what = format!("the tree comes at {comes_at}, pieces of {piece}");
                let slice = row.range((MIB + 300_000) / row.slice() as usize);
                assert_eq!(wrong, [(1, vec![slice])], "{what}");
                // What is right comes once more, as from another source, and all of it is found to be right.
                partial.write(MIB as u64, &bytes[MIB..2 * MIB]).expect("written");
                let checked = partial.check().expect("read");
                let judged = partial.judged();
                assert_eq!(judged.wrong, [], "{what}");
                right.extend(judged.right);
                right.sort_unstable();
                assert_eq!(right, [0, 1, 2, 3], "{what}");
                let Checked::Digests(found) = checked else { panic!("{what}: {checked:?}") };
                assert!(Expected::from(digests).matches(&found), "{what}: {found:?}");
            }
        }
    }
}

#[test]
fn bytes_of_a_second_source_that_come_late_change_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let (bytes, other) = (content(2 * MIB), vec![7; 2 * MIB]);
    // The whole is hashed as it comes: what it hears is what lies on the disk.
    for first in [0, MIB] {
        let mut partial = open(spec(dir.path(), &bytes)).expect("opened");
        partial.write(first as u64, &bytes[first..first + MIB]).expect("written");
        let rest = MIB - first;
        partial.write(rest as u64, &bytes[rest..rest + 1000]).expect("written");
        // A whole block, the begun part of another, and both in one go.
        let both = if rest > 0 { 0..rest + 900 } else { 0..900 };
        for late in [first..first + MIB, rest..rest + 900, both] {
            partial.write(late.start as u64, &other[late.clone()]).expect("written");
        }
        partial.write((rest + 1000) as u64, &bytes[rest + 1000..rest + MIB]).expect("written");
        assert_eq!(partial.check().expect("read"), Checked::Digests(Expected::from(Digests::of(&bytes)).checked()));
        let path = partial.finish(dir.path(), "a.bin", OnExists::Overwrite).expect("finished");
        assert!(fs::read(&path).expect("read") == bytes);
    }
}

#[test]
fn several_sources_write_at_a_time_also_to_one_block() {
    let bytes = content(6 * MIB + 5);
    let mut digester = crate::wire::Digester::new();
    digester.update(&bytes);
    let (digests, tiger, blake3) = digester.finish_with_rows();
    let rows = [None, Some(AnyRow::Tiger(tiger.into())), Some(AnyRow::Blake3(blake3.into()))];
    for row in rows {
        let dir = tempfile::tempdir().expect("a folder");
        let mut partial = open(spec(dir.path(), &bytes)).expect("opened");
        if let Some(row) = row.clone() {
            partial.hold_tree(row);
        }
        let (slot, told) = (&partial.slot, Mutex::new((Vec::new(), Vec::new())));
        std::thread::scope(|scope| {
            for source in 0..4_usize {
                let (bytes, told) = (&bytes, &told);
                scope.spawn(move || {
                    // Two send the same blocks, in pieces of other lengths.
                    let half = source % 2 * 3 * MIB..(bytes.len()).min((source % 2 + 1) * (3 * MIB + 5));
                    for at in half.clone().step_by(100_000 + source) {
                        let piece = &bytes[at..half.end.min(at + 100_000 + source)];
                        let written = slot.write(at as u64, piece, |wrote| {
                            let wrote = wrote.expect("written");
                            let mut told = told.lock().expect("whole");
                            told.0.extend(wrote.stored.into_iter().map(|(index, _)| index));
                            told.1.extend(wrote.judged.right);
                            assert_eq!(wrote.judged.wrong, []);
                        });
                        assert!(written.is_some());
                        if let Some(behind) = slot.behind() {
                            behind.catch_up();
                        }
                    }
                });
            }
        });
        let (mut stored, mut right) = told.into_inner().expect("whole");
        stored.sort_unstable();
        assert_eq!(stored, [0, 1, 2, 3, 4, 5, 6], "each became whole once");
        right.sort_unstable();
        assert_eq!(right.len(), if row.is_some() { 7 } else { 0 });
        let Checked::Digests(found) = partial.check().expect("read") else { panic!("it is right") };
        assert!(Expected::from(digests).matches(&found), "{found:?}");
        let path = partial.finish(dir.path(), "a.bin", OnExists::SkipSame).expect("finished");
        assert!(fs::read(path).expect("read") == bytes);
    }
}

#[test]
fn a_slot_that_is_emptied_stops_whoever_works_on_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let bytes = content(2 * MIB);
    let partial = open(spec(dir.path(), &bytes)).expect("opened");
    partial.slot.write(0, &bytes[..MIB], |told| drop(told.expect("written"))).expect("written");
    let behind = partial.slot.behind().expect("a block to hash");
    partial.slot.with(Option::take).expect("it is there").discard().expect("removed");
    behind.catch_up();
    let told = partial.slot.write(0, &bytes, |_| panic!("there is nothing to tell"));
    assert_eq!((told, partial.slot.check(|_, _| ()).is_none(), names(dir.path())), (None, true, Vec::new()));
}

#[test]
fn who_waits_for_a_block_that_becomes_whole_meanwhile_tells_only_of_what_is_there() {
    let bytes = content(2 * MIB);
    for is_wrong in [false, true] {
        let dir = tempfile::tempdir().expect("a folder");
        let mut partial = open(spec(dir.path(), &bytes)).expect("opened");
        partial.write(MIB as u64, &bytes[MIB..]).expect("written");
        let place = partial.with(|it| it.place_at(0)).expect("it is missing");
        let slot = &partial.slot;
        std::thread::scope(|scope| {
            let mut filling = place.lock();
            let idle = place.users();
            let late = scope.spawn(|| slot.write(0, &bytes[..1000], |told| drop(told.expect("written"))));
            while place.users() == idle {
                std::thread::yield_now();
            }
            let (range, whole) = place.write(&mut filling, 0, &bytes[..MIB]).expect("written");
            partial.with(|it| {
                it.take(0, range, whole).expect("taken");
                if is_wrong {
                    it.strike(&[0]).expect("struck");
                } else {
                    it.check().expect("read");
                }
            });
            drop(filling);
            assert_eq!(late.join().expect("no panic"), Some(()));
        });
        if is_wrong {
            assert_eq!(partial.with(|it| it.map.done()), MIB as u64 + 1000, "what was told of is there");
        } else {
            partial.finish(dir.path(), "a.bin", OnExists::SkipSame).expect("nothing was written since it was checked");
        }
    }
}

#[test]
fn what_a_check_found_is_told_before_anybody_writes_there_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let bytes = content(MIB + 5);
    let mut partial = open(spec(dir.path(), &bytes)).expect("opened");
    partial.write(0, &bytes).expect("written");
    flip(&partial.path(), MIB as u64 + 2);
    let (slot, told) = (&partial.slot, Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        slot.check(|found, _| {
            assert!(matches!(found, Ok(Checked::Changed(blocks, _)) if blocks == [1]));
            scope.spawn(|| {
                slot.write(MIB as u64, &bytes[MIB..], |_| told.lock().expect("whole").push("written"));
            });
            // Time enough for it to be written, if it could.
            std::thread::park_timeout(Duration::from_millis(100));
            told.lock().expect("whole").push("changed");
        });
    });
    assert_eq!(told.into_inner().expect("whole"), ["changed", "written"]);
}

#[test]
fn bytes_that_are_changed_for_a_moment_while_they_are_hashed_make_no_wrong_digest() {
    let dir = tempfile::tempdir().expect("a folder");
    let bytes = content(3 * MIB);
    let mut partial = open(spec(dir.path(), &bytes)).expect("opened");
    let part = partial.path();
    partial.slot.write(0, &bytes[..MIB], |told| drop(told.expect("written"))).expect("written");
    flip(&part, 9);
    partial.slot.behind().expect("a block to hash").catch_up();
    flip(&part, 9);
    partial.write(MIB as u64, &bytes[MIB..]).expect("written");
    assert_eq!(partial.check().expect("read"), Checked::Digests(Expected::from(Digests::of(&bytes)).checked()));
}

#[test]
fn a_file_of_one_block_has_no_map_and_is_known_by_its_hash() {
    let bytes = content(40_000);
    let dir = tempfile::tempdir().expect("a folder");
    let spec = spec(dir.path(), &bytes);
    let mut partial = open(spec.clone()).expect("opened");
    partial.write(0, &bytes[..10_000]).expect("written");
    assert_eq!(names(&spec.dir), ["a.bin.part"]);
    let own = PartialSpec { own: Some(partial.file_name()), ..spec.clone() };
    drop(partial);
    // A part of it says nothing, and belongs to nobody but to whoever knows it for his.
    assert_eq!(open(spec.clone()).expect("opened").file_name(), "a (2).bin.part");
    let mut partial = open(own.clone()).expect("opened");
    assert_eq!((partial.file_name(), partial.stored(), partial.note()), ("a.bin.part".into(), Vec::new(), None));
    partial.write(0, &bytes).expect("written");
    drop(partial);
    // All of it is known again, by whoever asks for that content.
    let mut partial = open(spec.clone()).expect("opened");
    assert_eq!((partial.file_name(), indices(&partial)), ("a.bin.part".into(), vec![0]));
    assert_eq!(partial.check().expect("read"), Checked::Digests(Expected::from(Digests::of(&bytes)).checked()));
    drop(partial);
    let part = spec.dir.join("a.bin.part");
    flip(&part, 5);
    assert_eq!(open(spec.clone()).expect("opened").file_name(), "a (2).bin.part", "that is something else");
    let mut partial = open(own).expect("opened");
    assert_eq!(partial.stored(), []);
    partial.write(0, &bytes).expect("written");
    assert_eq!(partial.check().expect("read"), Checked::Digests(Expected::from(Digests::of(&bytes)).checked()));
    partial.finish(dir.path(), "a.bin", OnExists::SkipSame).expect("finished");
    assert!(!part.exists());
}

#[test]
fn blocks_beyond_four_gibibytes_are_kept_like_others() {
    let dir = tempfile::tempdir().expect("a folder");
    let bytes = content(MIB);
    let large = PartialSpec { size: (5 << 30) + 7, ..spec(dir.path(), &bytes) };
    let mut partial = open(large.clone()).expect("opened");
    for offset in [(4 << 30) - MIB as u64, 4 << 30, 5 << 30] {
        let piece = if offset == 5 << 30 { &bytes[..7] } else { &bytes[..] };
        assert_eq!(partial.write(offset, piece).expect("written").len(), 1, "at {offset}");
    }
    drop(partial);
    let again = open(large).expect("opened again");
    assert_eq!((indices(&again), again.note()), (vec![4095, 4096, 5120], None));
    assert_eq!(fs::metadata(again.path()).expect("there").len(), (5 << 30) + 7, "and sparse");
}

#[test]
fn a_folder_that_is_gone_with_all_that_was_begun_in_it_is_not_made_anew() {
    let dir = tempfile::tempdir().expect("a folder");
    let bytes = content(MIB);
    let below = dir.path().join("mounted");
    let own = Some(open(spec(&below, &bytes)).expect("opened").file_name());
    fs::remove_dir_all(&below).expect("removed");
    let error = open(PartialSpec { own, ..spec(&below, &bytes) }).expect_err("no folder");
    let words = format!("the folder {} is gone. Is its disk there? Bring it back, then retry", below.display());
    assert_eq!(error.to_string(), words);
    assert!(!below.exists());
}

#[test]
fn a_disk_that_loses_bytes_is_told_of_though_the_system_says_so_only_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let bytes = content(10);
    let mut partial = open(spec(dir.path(), &bytes)).expect("opened");
    partial.write(0, &bytes).expect("written");
    partial.check().expect("read");
    partial.with(|it| *it.syncing.lock().expect("whole") = Syncing::Failed(io::ErrorKind::StorageFull.into()));
    let error = partial.finish(dir.path(), "a.bin", OnExists::SkipSame).expect_err("bytes are lost");
    assert!(error.to_string().ends_with("a.bin.part: the disk is full. Free some space, then retry"), "{error}");
    assert_eq!(names(dir.path()), ["incomplete"]);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(24))]
    /// Whatever order bytes come in, and whatever anybody does to the file meanwhile: what is finished is right.
    #[test]
    fn no_order_and_no_damage_makes_a_wrong_file(steps in proptest::collection::vec((0u8..8, 0u64..40, 1u64..12), 1..24)) {
        let dir = tempfile::tempdir().expect("a folder");
        let bytes = content(3 * MIB + 77);
        let unit = 80 * 1024;
        let mut partial = open(spec(dir.path(), &bytes)).expect("opened");
        for (what, at, length) in steps {
            let from = ((at * unit) as usize).min(bytes.len());
            let to = (from + (length * unit) as usize).min(bytes.len());
            let (part, has) = (partial.path(), fs::metadata(partial.path()).expect("there").len());
            match what {
                0 if (from as u64) < has => flip(&part, from as u64),
                1 => cut(&part, has.min(from as u64)),
                2 => {
                    drop(partial);
                    partial = open(spec(dir.path(), &bytes)).expect("opened again");
                }
                _ => drop(partial.write(from as u64, &bytes[from..to]).expect("written")),
            }
        }
        // As the machine does: what is missing is fetched, from the first of it on, until nothing is.
        let digests = loop {
            while let Some(gap) = partial.with(|it| it.map.gap(&[])) {
                partial.write(gap.start, &bytes[gap.start as usize..gap.end as usize]).expect("written");
            }
            if let Checked::Digests(digests) = partial.check().expect("read") { break digests }
        };
        proptest::prop_assert_eq!(digests, Expected::from(Digests::of(&bytes)).checked());
        let path = partial.finish(dir.path(), "a.bin", OnExists::SkipSame).expect("finished");
        proptest::prop_assert!(fs::read(path).expect("read") == bytes);
    }
}

/// Where a map lies that is another's, a partial file was made before it was read.
#[test]
fn a_name_that_turns_out_to_be_anothers_is_left_as_it_was() {
    let dir = tempfile::tempdir().expect("a folder");
    let incomplete = dir.path().join("incomplete");
    fs::create_dir(&incomplete).expect("a folder");
    fs::write(incomplete.join("a.bin.part.map"), "somebody else's").expect("written");
    let partial = Partial::open(spec(dir.path(), &content(3_000_000))).expect("open");
    assert_eq!(partial.file_name(), "a (2).bin.part");
    assert!(!incomplete.join("a.bin.part").exists());
    assert_eq!(fs::read_to_string(incomplete.join("a.bin.part.map")).expect("there"), "somebody else's");
}
