//! A real file system on a disk that fails in the ways of `common::disk`: what is finished is right on the disk, not
//! only in memory, and after the power failed what had been synced is there.

#![cfg(target_os = "linux")]

mod common;

use common::disk::{Disk, in_namespace};
use common::source::Source;
use common::{Home, noise};

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
