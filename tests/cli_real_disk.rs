//! A real file system on a disk that fails in the ways of `common::disk`: what is finished is right on the disk, not
//! only in memory, and after the power failed what had been synced is there.

#![cfg(target_os = "linux")]

mod common;

use common::disk::{Disk, in_namespace};
use common::source::{Source, transfer};
use common::{Home, Servent, noise, until};
use filbert::base::Rng;
use filbert::wire::Digests;
use serde_json::{Value, json};

#[test]
fn what_the_disk_lost_after_it_was_written_is_fetched_again() {
    if !in_namespace("what_the_disk_lost_after_it_was_written_is_fetched_again") {
        return;
    }
    for (size, left) in [(8_000_000, 2500), (900_000, 0)] {
        let home = Home::new();
        let disk = Disk::new(home.path(), &home.join("downloads"), 64, 24, false);
        let source = Source::new(noise(size, 51), 0);
        disk.leave(left);
        let get = || home.run(&["get", &source.magnet(), "--name", "whole.bin"]);
        let ended = get().expect(1);
        let words = format!("cannot write {}", home.join("downloads/incomplete/whole.bin.part").display());
        assert!(ended.stderr.contains(&words), "{}", ended.stderr);
        disk.mend();
        get().expect(0);
        // What is only in memory is gone with it.
        disk.unmount();
        disk.mount();
        let there = std::fs::read(home.join("downloads/whole.bin")).expect("there");
        assert!(there == source.state.bytes, "a finished file of {size} bytes is wrong on the disk");
        disk.unmount();
    }
}

/// What it says that it has, once it has looked.
fn done(servent: &Servent) -> u64 {
    until("it has looked at what is there", || {
        let it = transfer(servent)?;
        let looks = it["reason"].as_str()?.contains("checking what is on disk");
        (!looks && it["state"] != "queued" && it["state"] != "connecting").then_some(it["done"].as_u64()?)
    })
}

/// A number that may be given from outside.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// Small files are brought to the disk in groups, and of a group it is told when the next one is there. What is said to be
/// done must not need that the power stays on.
#[test]
fn after_the_power_failed_each_small_file_that_was_done_is_there() {
    if !in_namespace("after_the_power_failed_each_small_file_that_was_done_is_there") {
        return;
    }
    // No more than are remembered when they are done.
    const FILES: usize = 500;
    let cuts = number("FILBERT_POWER_CUTS").and_then(|cuts| usize::try_from(cuts).ok()).unwrap_or(5);
    let seed = number("FILBERT_SEED").unwrap_or(u64::from(std::process::id()));
    println!("{cuts} power cuts, FILBERT_SEED={seed}");
    let mut rng = Rng::from_number(seed);
    let names: Vec<String> = (0..FILES).map(|n| format!("{n}.bin")).collect();
    let bytes: Vec<Vec<u8>> = (0..FILES).map(|n| noise(2000 + 20 * n, seed ^ n as u64)).collect();
    let giver = Home::new();
    let files: Vec<(&str, &[u8])> = names.iter().map(String::as_str).zip(bytes.iter().map(Vec::as_slice)).collect();
    let share = giver.folder("share", &files);
    let from = giver.up(&["--yes", "--share", share.to_str().expect("text")]);
    until("all is hashed", || (from.get("/api/v1/status")["hashed"] == FILES).then_some(()));

    let (place, home) = (Home::new(), Home::new());
    let disk = Disk::new(place.path(), home.path(), 128, 300, true);
    let done = |servent: &Servent| -> Vec<String> {
        let all = servent.get("/api/v1/transfers");
        let done = all.as_array().expect("a list").iter().filter(|it| it["state"] == "done");
        done.map(|it| it["name"].as_str().expect("a name").to_owned()).collect()
    };
    let is_right = |name: &String| {
        let found = std::fs::read(home.join("downloads").join(name));
        let n: usize = name.strip_suffix(".bin").and_then(|n| n.parse().ok()).expect("a name of ours");
        assert!(
            found.as_ref().is_ok_and(|found| *found == bytes[n]),
            "{name} was done: {:?}",
            found.map(|it| it.len())
        );
    };
    let wanted = |(name, bytes): (&String, &Vec<u8>)| {
        let sha1 = Digests::of(bytes).sha1;
        let at = format!("http://{}/uri-res/N2R?urn:sha1:{sha1}", from.listen());
        json!({ "what": format!("magnet:?xt=urn:sha1:{sha1}&xl={}&xs={at}", bytes.len()), "name": name })
    };
    let all: Vec<Value> = names.iter().zip(&bytes).map(wanted).collect();
    let mut told = Vec::new();
    for cut in 0..cuts {
        let servent = home.up(&[]);
        // Some more each time, so that each time some are under way.
        let some = FILES * cut / cuts..FILES * (cut + 1) / cuts;
        for many in all[some].chunks(100) {
            let (status, body) = servent.call("POST", "/api/v1/transfers/many", &json!(many).to_string());
            assert!((200..300).contains(&status), "{body}");
        }
        std::thread::park_timeout(std::time::Duration::from_millis(rng.below(40) as u64));
        let said = done(&servent);
        servent.suspend(true);
        disk.remember();
        servent.kill();
        disk.power_on();
        said.iter().for_each(is_right);
        told.push(said.len());
    }
    let servent = home.up(&[]);
    until("all are done", || (done(&servent).len() == FILES).then_some(()));
    names.iter().for_each(is_right);
    println!("done at the cuts: {told:?}");
    servent.kill();
    disk.unmount();
}

/// `FILBERT_POWER_CUTS` says how often (5), `FILBERT_SEED` repeats a run.
#[test]
fn after_the_power_failed_what_was_synced_is_there_and_nothing_is_wrong() {
    if !in_namespace("after_the_power_failed_what_was_synced_is_there_and_nothing_is_wrong") {
        return;
    }
    const RATE: u64 = 3_000_000;
    const SIZE: u64 = 30_000_000;
    let cuts = number("FILBERT_POWER_CUTS").unwrap_or(5);
    let seed = number("FILBERT_SEED").unwrap_or(u64::from(std::process::id()));
    println!("{cuts} power cuts, FILBERT_SEED={seed}");
    let mut rng = Rng::from_number(seed);
    // The home and what it fetches lie on the disk.
    let (place, home) = (Home::new(), Home::new());
    let disk = Disk::new(place.path(), home.path(), 128, 300, true);
    let source = Source::new(noise(SIZE as usize, seed), RATE);
    let whole = home.join("downloads/whole.bin");
    let is_right = || assert!(std::fs::read(&whole).expect("there") == source.state.bytes, "a wrong file was finished");
    let (mut lost, mut had) = (0, 0);
    for cut in 0..cuts {
        let servent = home.up(&[]);
        if cut == 0 {
            let what = json!({ "what": source.magnet(), "name": "whole.bin" });
            let (status, body) = servent.call("POST", "/api/v1/transfers", &what.to_string());
            assert!((200..300).contains(&status), "{body}");
        }
        // It goes on without being asked.
        let begins_with = done(&servent);
        // A second's bytes are not synced, a sync takes its time, and each source may leave a block that is not whole.
        assert!(begins_with + 2 * RATE + (1 << 20) >= had, "it had {had} bytes, and now {begins_with}");
        lost += had.saturating_sub(begins_with);
        std::thread::park_timeout(std::time::Duration::from_millis(300 + rng.below(2500) as u64));
        had = transfer(&servent).expect("one")["done"].as_u64().expect("a number");
        servent.suspend(true);
        disk.remember();
        servent.kill();
        disk.power_on();
        if whole.exists() {
            is_right();
        }
    }
    source.at_rate(0);
    let servent = home.up(&[]);
    let done = until("it is done", || transfer(&servent).filter(|it| it["state"] == "done"));
    assert_eq!(done["verified"], "sha1");
    servent.suspend(true);
    // At the very moment when it says so it is there.
    disk.remember();
    servent.kill();
    disk.power_on();
    is_right();
    let names =
        std::fs::read_dir(home.join("state")).expect("a folder").map(|entry| entry.expect("an entry").file_name());
    let aside: Vec<_> = names.filter(|name| name.to_string_lossy().contains("corrupt")).collect();
    assert!(aside.is_empty(), "the state was damaged: {aside:?}");
    println!("{lost} bytes were fetched again");
    disk.unmount();
}
