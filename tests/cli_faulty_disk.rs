//! The disk fails under a servent that downloads: each download ends with a sentence that names the file and what the
//! disk said, the servent goes on and idles, nothing that is finished is wrong, and what was stored is not asked for again.
//!
//! Real processes of the binary; the faults are those of `common::faults`.

#![cfg(target_os = "linux")]

mod common;

use std::path::PathBuf;
use std::time::Duration;

use common::faults::{Faults, may_inject};
use common::source::{Source, state, transfer};
use common::{Home, Servent, noise, until};
use serde_json::{Value, json};

const EIO: &str = "Input/output error";

/// A servent, and a source that waits with what it has until the disk is broken.
struct Case {
    home: Home,
    servent: Servent,
    source: Source,
}

impl Case {
    fn new(size: usize, seed: u64) -> Self {
        let home = Home::new();
        let servent = home.up(&[]);
        // It would take four seconds.
        Self { home, servent, source: Source::new(noise(size, seed), size as u64 / 4) }
    }

    fn part(&self) -> PathBuf {
        self.home.join("downloads/incomplete/whole.bin.part")
    }

    fn whole(&self) -> PathBuf {
        self.home.join("downloads/whole.bin")
    }

    fn begin(&self) {
        let what = json!({ "what": self.source.magnet(), "name": "whole.bin" });
        let (status, body) = self.servent.call("POST", "/api/v1/transfers", &what.to_string());
        assert!((200..300).contains(&status), "{body}");
    }

    /// Begins, and breaks the disk when a quarter is there.
    fn break_while_it_comes(&self, paths: &[&PathBuf], calls: &[&str]) -> Faults {
        self.begin();
        until("bytes come", || (transfer(&self.servent)?["done"].as_u64()? > self.source.size / 4).then_some(()));
        let paths: Vec<_> = paths.iter().map(|path| path.as_path()).collect();
        let faults = Faults::of(&self.servent, &paths, calls);
        self.source.at_rate(0);
        faults
    }

    fn failed(&self) -> Value {
        until("it fails", || (state(&self.servent) == "failed").then(|| transfer(&self.servent))?)
    }

    /// It has failed with these words, and the servent answers and idles.
    fn fails_with(&self, words: &[&str]) {
        let failed = self.failed();
        let reason = failed["reason"].as_str().expect("a reason");
        words.iter().for_each(|word| assert!(reason.contains(word), "{word:?} is not in {reason:?}"));
        self.is_well();
        assert!(!self.whole().exists(), "nothing that failed is finished");
    }

    fn is_well(&self) {
        self.servent.get("/api/v1/status");
        let before = self.servent.cpu();
        std::thread::park_timeout(Duration::from_secs(1));
        let used = self.servent.cpu() - before;
        assert!(used < 30, "it does not idle: {used} hundredths of a second of a processor in one");
    }

    fn retry(&self) {
        let id = transfer(&self.servent).expect("one")["id"].to_string();
        let (status, body) = self.servent.call("POST", &format!("/api/v1/transfers/{id}/retry"), "");
        assert!((200..300).contains(&status), "{body}");
    }

    fn is_done_and_right(&self) {
        let done = until("it is done", || {
            let it = transfer(&self.servent)?;
            assert_ne!(it["state"], "failed", "{it}");
            (it["state"] == "done").then_some(it)
        });
        assert_eq!(done["verified"], "sha1");
        assert!(std::fs::read(self.whole()).expect("there") == self.source.state.bytes, "a wrong file was finished");
        assert!(!self.part().exists());
    }

    /// The same, and since it was last asked nothing before this byte was asked for.
    fn is_done_from(&self, first: u64) {
        self.is_done_and_right();
        let asked = self.asked();
        assert!(asked.iter().all(|at| *at >= first), "it had {first} bytes, and asked from {asked:?} on");
    }

    /// The first bytes of what was asked for since this was last called.
    fn asked(&self) -> Vec<u64> {
        std::mem::take(&mut *self.source.state.ranges.lock().expect("unbroken"))
    }
}

#[test]
fn a_write_that_fails_in_the_middle_ends_it_and_what_was_stored_is_kept() {
    if !may_inject() {
        return;
    }
    for (error, words) in [("EIO", EIO), ("ENOSPC", "the disk is full. Free some space, then retry")] {
        let case = Case::new(8_000_000, 41);
        let part = case.part();
        let faults = case.break_while_it_comes(&[&part], &[&format!("pwrite64:error={error}")]);
        case.fails_with(&[&format!("cannot write {}: {words}", part.display())]);
        // It stays so as long as the disk does.
        case.asked();
        case.retry();
        std::thread::park_timeout(Duration::from_millis(500));
        case.fails_with(&[&format!("cannot write {}: {words}", part.display())]);
        faults.end();
        case.retry();
        case.is_done_from(1 << 20);
    }
}

#[test]
fn writes_that_are_lost_without_a_word_are_found_out_before_it_is_finished() {
    if !may_inject() {
        return;
    }
    let case = Case::new(8_000_000, 42);
    // The system says that it took them.
    let faults = case.break_while_it_comes(&[&case.part()], &["pwrite64:retval=1000:when=5..9"]);
    case.is_done_and_right();
    faults.end();
}

#[test]
fn a_sync_that_fails_while_it_comes_ends_it() {
    if !may_inject() {
        return;
    }
    let case = Case::new(8_000_000, 43);
    let part = case.part();
    case.begin();
    until("bytes come", || (transfer(&case.servent)?["done"].as_u64()? > 0).then_some(()));
    let faults = Faults::of(&case.servent, &[&part], &["fdatasync:error=EIO"]);
    case.fails_with(&[&format!("cannot write {}: {EIO}", part.display())]);
    faults.end();
    case.source.at_rate(0);
    case.retry();
    case.is_done_and_right();
}

#[test]
fn a_sync_that_fails_at_the_end_ends_it() {
    if !may_inject() {
        return;
    }
    for size in [3_000_000, 100_000] {
        let case = Case::new(size, 44);
        let part = case.part();
        let faults = case.break_while_it_comes(&[&part], &["fsync,fdatasync,syncfs:error=EIO"]);
        case.fails_with(&[&format!("cannot write {}: {EIO}", part.display())]);
        faults.end();
        case.retry();
        case.is_done_and_right();
    }
}

#[test]
fn a_folder_that_cannot_be_synced_or_taken_into_ends_it_and_then_it_is_finished() {
    if !may_inject() {
        return;
    }
    for calls in ["fsync:error=EIO", "link,linkat,rename,renameat,renameat2,openat:error=EIO"] {
        let case = Case::new(3_000_000, 45);
        let (dir, whole) = (case.home.join("downloads"), case.whole());
        let faults = case.break_while_it_comes(&[&dir, &whole], &[calls]);
        let failed = case.failed();
        let reason = failed["reason"].as_str().expect("a reason");
        assert!(reason.contains(&format!("cannot write {}", dir.display())) && reason.contains(EIO), "{reason}");
        case.is_well();
        faults.end();
        case.asked();
        case.retry();
        case.is_done_from(case.source.size);
    }
}

#[test]
fn a_map_that_cannot_be_written_ends_it() {
    if !may_inject() {
        return;
    }
    let case = Case::new(8_000_000, 46);
    let map = case.home.join("downloads/incomplete/whole.bin.part.map");
    let faults = case.break_while_it_comes(&[&map], &["write:error=EIO"]);
    case.fails_with(&[&format!("cannot write {}: {EIO}", map.display())]);
    faults.end();
    case.retry();
    case.is_done_and_right();
}

#[test]
fn a_partial_file_that_cannot_be_read_back_is_not_finished() {
    if !may_inject() {
        return;
    }
    let case = Case::new(8_000_000, 47);
    let part = case.part();
    let faults = case.break_while_it_comes(&[&part], &["pread64:error=EIO"]);
    case.fails_with(&[&format!("cannot read {}: {EIO}", part.display())]);
    faults.end();
    case.asked();
    case.retry();
    case.is_done_from(case.source.size);
}

#[test]
fn a_list_that_cannot_be_written_is_told_and_written_when_it_can_be_again() {
    if !may_inject() {
        return;
    }
    for calls in ["write:error=EIO", "fdatasync,fsync:error=EIO", "write:error=ENOSPC"] {
        let mut case = Case::new(8_000_000, 48);
        let log = case.home.join("state/transfers.log");
        let json = case.home.join(&format!("state/transfers.json.{}.new", case.servent.pid()));
        let faults = Faults::of(&case.servent, &[&log, &json], &[calls]);
        case.source.at_rate(300_000);
        case.begin();
        until("it is told", || transfer(&case.servent)?["reason"].as_str()?.contains("lose it").then_some(()));
        case.is_well();
        faults.end();
        until("it is written", || {
            let it = transfer(&case.servent)?;
            (!it["reason"].as_str().is_some_and(|said| said.contains("lose it"))).then_some(())
        });
        let servent = std::mem::replace(&mut case.servent, Home::new().up(&[]));
        servent.kill();
        case.servent = case.home.up(&[]);
        case.source.at_rate(0);
        case.is_done_and_right();
    }
}
