//! The list of downloads on the disk: what is told to be kept is kept, by whichever version wrote it and whatever became of it.

mod transfer_support;

use std::fs::{self, File};
use std::time::Duration;

use filbert::app::downloads::{Downloads, Wanted};
use filbert::net::rt;
use futures::future::{join, select};
use transfer_support::*;

/// A download that nobody has. Its partial file is there at once: it is no small one.
fn hopeless(seed: u64) -> Wanted {
    Wanted { size: Some(300_000), ..wanted(&format!("file {seed}"), &content(100, seed), &[nobody()]) }
}

fn begin(downloads: &Downloads, wanted: Wanted) -> u64 {
    rt::block_on(downloads.get(wanted)).expect("begun").id
}

fn names(downloads: &Downloads) -> Vec<(u64, String)> {
    downloads.views().into_iter().map(|view| (view.id, view.name)).collect()
}

/// As after a crash, once all of it is written down that is to be: how their partial files are called, last of all.
fn crash(place: &Place, downloads: Downloads) {
    let named = |text: &str| {
        downloads.views().iter().all(|view| {
            let named = format!("\"part\":\"{}.part\"", view.name);
            text.contains(&named)
        })
    };
    let log = place.dir.path().join("state/transfers.log");
    let end = std::time::Instant::now() + Duration::from_secs(30);
    while !named(&fs::read_to_string(&log).unwrap_or_default()) {
        assert!(std::time::Instant::now() < end, "not all of it is written down");
        pause(Duration::from_millis(5));
    }
    drop(downloads);
}

#[test]
fn who_asks_for_what_is_just_being_written_down_is_told_when_it_is() {
    let place = Place::new();
    let downloads = place.open();
    let lock = File::open(place.dir.path().join("state/write.lock")).expect("made at the start");
    lock.lock().expect("nobody writes");
    let bytes = content(100, 1);
    let sources = [nobody(), nobody()];
    let get = |source: usize| {
        let (downloads, wanted) = (downloads.clone(), wanted("a", &bytes, &[sources[source]]));
        rt::spawn(async move { downloads.get(wanted).await.expect("a download").id })
    };
    let (one, other) = (get(0), get(1));
    // Both are under way.
    let end = std::time::Instant::now() + Duration::from_secs(30);
    let knows =
        || downloads.views().first().and_then(|view| downloads.wanted(view.id).ok()).map_or(0, |it| it.sources.len());
    while knows() < 2 {
        assert!(std::time::Instant::now() < end, "they do not join");
        pause(Duration::from_millis(5));
    }
    let first = rt::block_on(rt::timeout(Duration::from_millis(300), select(one, other)));
    let Err(_) = first else { panic!("somebody was told of a download that a crash would have lost") };
    assert_eq!(downloads.views().len(), 1, "they want the same");
    drop(lock);
    let (one, other) = (get(0), get(1));
    let (one, other) = rt::block_on(join(one, other));
    assert_eq!((one, other, names(&downloads).len()), (1, 1, 1));
    let known: Vec<_> = downloads.wanted(one).expect("known").sources.iter().map(|source| source.addr).collect();
    assert!(sources.iter().all(|source| known.contains(source)), "{known:?}");
    // As after a crash.
    drop(downloads);
    assert_eq!(names(&place.open()), [(1, "a".to_owned())]);
}

#[test]
fn a_list_of_the_version_before_is_taken_up_whole() {
    let place = Place::new();
    let downloads = place.open();
    let ids: Vec<u64> = (0..20).map(|seed| begin(&downloads, hopeless(seed))).collect();
    downloads.pause(ids[3]).expect("paused");
    rt::block_on(downloads.cancel(ids[4])).expect("cancelled");
    rt::block_on(downloads.shutdown());
    let (before, next) = (names(&downloads), downloads.next_id());
    let path = place.dir.path().join("state/transfers.json");
    let text = fs::read_to_string(&path).expect("written at the end");
    assert_eq!(text.matches("\"version\": 2").count(), 1);
    // It knew of no log.
    fs::write(&path, text.replace("\"version\": 2", "\"version\": 1")).expect("written");
    fs::remove_file(path.with_extension("log")).expect("removed");

    let downloads = place.open();
    assert_eq!(names(&downloads), before);
    let state = |id| downloads.view(id).expect("known").state;
    assert_eq!((state(ids[3]).as_str(), state(ids[4]).as_str()), ("paused", "cancelled"));
    let more = begin(&downloads, hopeless(99));
    assert!(more >= next, "{more} was used before");
    drop(downloads);
    let downloads = place.open();
    assert_eq!(names(&downloads), [before, vec![(more, "file 99".to_owned())]].concat());
    assert!(fs::read_to_string(&path).expect("the file").contains("\"version\": 2"));
    let asides = fs::read_dir(path.parent().expect("a folder")).expect("a folder");
    assert!(asides.flatten().all(|entry| !entry.file_name().to_string_lossy().contains("corrupt")));
}

#[test]
fn those_that_write_beside_each_other_lose_nothing_of_each_other() {
    let place = Place::new();
    let servent = place.open();
    let private = [place.open_private(), place.open_private()];
    let mut expected = Vec::new();
    for round in 0..10_u64 {
        expected.push((begin(&servent, hopeless(round)), format!("file {round}")));
        for (who, private) in private.iter().enumerate() {
            let seed = 100 * (who as u64 + 1) + round;
            expected.push((begin(private, hopeless(seed)), format!("file {seed}")));
        }
    }
    // Two as after a crash, one in order.
    let [one, other] = private;
    rt::block_on(other.shutdown());
    drop((servent, one, other));
    expected.sort();
    assert_eq!(names(&place.open()), expected);
}

#[test]
fn damage_costs_what_was_damaged() {
    let place = Place::new();
    let downloads = place.open();
    for seed in 1..=30 {
        begin(&downloads, hopeless(seed));
    }
    crash(&place, downloads);
    let log = place.dir.path().join("state/transfers.log");
    let mut bytes = fs::read(&log).expect("a log");
    // In the line of the tenth, where it is written first.
    let at = bytes.windows(9).position(|text| text == b"\"file 10\"").expect("it is there");
    bytes[at + 1] ^= 1;
    // And the last one has no end.
    bytes.truncate(bytes.len() - 5);
    fs::write(&log, &bytes).expect("written");
    let left = names(&place.open());
    for seed in (1..=29).filter(|seed| *seed != 10) {
        assert!(left.iter().any(|(_, name)| *name == format!("file {seed}")), "{seed} is lost: {left:?}");
    }
    let aside = log.with_extension("log.corrupt-1");
    assert_eq!(fs::read(aside).expect("kept"), bytes);
}

#[test]
fn a_servent_and_a_get_of_its_own_process_give_no_number_twice() {
    let place = Place::new();
    let servent = place.open();
    let private = place.open_private();
    // More than are set apart at a time, and by turns.
    let mut all = Vec::new();
    for seed in 0..150 {
        all.push(begin(&servent, hopeless(seed)));
        if seed % 3 == 0 {
            all.push(begin(&private, hopeless(1000 + seed)));
        }
    }
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count, "a number was given twice");
    // As after a crash.
    drop((servent, private));
    assert_eq!(names(&place.open()).len(), count);
}

#[cfg(unix)]
#[test]
fn a_list_that_cannot_be_read_is_not_begun_anew() {
    for file in ["transfers.json", "transfers.log"] {
        let place = Place::new();
        let downloads = place.open();
        let id = begin(&downloads, hopeless(1));
        if file == "transfers.json" {
            rt::block_on(downloads.shutdown());
            drop(downloads);
        } else {
            crash(&place, downloads);
        }
        let path = place.dir.path().join("state").join(file);
        let away = place.dir.path().join("away");
        fs::rename(&path, &away).expect("it is there");
        // The system refuses to read it, as it does when there is no descriptor left.
        std::os::unix::fs::symlink(&path, &path).expect("a link to itself");
        assert!(place.try_open().is_err(), "{file}");
        fs::rename(&away, &path).expect("as it was");
        let names = names(&place.open());
        assert_eq!(names, [(id, "file 1".to_owned())], "{file}");
    }
}

#[test]
fn in_a_burst_no_number_is_given_to_two_downloads_of_two_processes() {
    let place = Place::new();
    let servent = place.open();
    begin(&servent, hopeless(0));
    // It has just saved, and does not again for a while: more numbers go to uploads than are set apart.
    pause(Duration::from_millis(50));
    let uploads: Vec<u64> = (0..70).map(|_| servent.next_id()).collect();
    let other = place.open_private();
    let mut ids: Vec<u64> = (1..=10).map(|seed| begin(&other, hopeless(seed))).collect();
    ids.extend((11..=13).map(|seed| begin(&servent, hopeless(seed))));
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 13, "{ids:?}");
    // As after a crash of both.
    drop((servent, other));
    let again = place.open();
    assert_eq!((uploads.len(), names(&again).len()), (70, 14));
    assert!(ids.iter().all(|id| *id < again.next_id()), "{ids:?}");
}

#[test]
fn numbers_of_uploads_are_not_given_again_after_a_crash() {
    let place = Place::new();
    let downloads = place.open();
    // A burst: nobody has the time to set more of them apart.
    let uploads: Vec<u64> = (0..1000).map(|_| downloads.next_id()).collect();
    let lines = fs::read_to_string(place.dir.path().join("state/transfers.log")).expect("written").lines().count();
    drop(downloads);
    let again = place.open().next_id();
    assert!(uploads.iter().all(|id| *id < again), "{again} was given before");
    assert!(lines < 20, "{lines} lines were written");
    assert!(uploads.is_sorted_by(|a, b| a < b));
}

#[test]
fn what_a_crash_left_empty_is_removed_at_the_next_start_and_what_is_known_stays() {
    let place = Place::new();
    let downloads = place.open();
    let known = begin(&downloads, wanted("known.bin", &content(3_000_000, 7), &[nobody()]));
    downloads.pause(known).expect("paused");
    let incomplete = place.dir.path().join("downloads/incomplete");
    fs::create_dir_all(&incomplete).expect("a folder");
    for (name, text) in [("orphan.bin.part", ""), ("one byte.part", "x"), ("notes.txt", "")] {
        fs::write(incomplete.join(name), text).expect("written");
    }
    rt::block_on(downloads.shutdown());
    let _again = place.open();
    assert!(!incomplete.join("orphan.bin.part").exists());
    assert!(incomplete.join("one byte.part").exists() && incomplete.join("notes.txt").exists());
}
