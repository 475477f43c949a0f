//! The disk that holds the state is full: the servent starts where it can, and whoever asks hears what is wrong.

#![cfg(target_os = "linux")]

mod common;

use common::mounts::{may_mount, with_small_disk_at};
use common::{Home, finish};

/// `up` until its port is open; what it says is in the folder beside the small disk. What an earlier one said goes first: the
/// shell may be late to empty the file.
const UP: &str = "rm -f ready; \"$@\" up --json --listen 127.0.0.1:0 --api 127.0.0.1:0 >ready 2>said & \
     for i in $(seq 300); do grep -qs ready ready && break; kill -0 $! 2>/dev/null || break; sleep 0.1; done;";
/// Not a byte is left.
const FILL: &str = "head -c 20M /dev/zero >\"$D/filler\" 2>/dev/null;";

fn script(home: &Home, steps: &[&str]) -> String {
    format!("cd {} || exit 98; {}", home.folder("beside", &[]).display(), steps.join(" "))
}

fn said(home: &Home) -> String {
    std::fs::read_to_string(home.join("beside/said")).unwrap_or_default()
}

#[test]
fn a_servent_of_old_starts_on_a_full_disk_and_its_commands_find_it() {
    if !may_mount() {
        return;
    }
    let home = Home::new();
    let look = "\"$@\" status --json | head -c 10; echo; \"$@\" doctor | grep -c 'disk is full'; \"$@\" down; echo \"down $?\"; wait;";
    let again = "\"$@\" status; echo \"code $?\"; rm \"$D/filler\";";
    let steps = [
        UP,
        "\"$@\" down; wait;",
        FILL,
        UP,
        look,
        again,
        UP,
        "\"$@\" down; echo \"down $?\"; wait; ls \"$D\" | grep -c api",
    ];
    let ended = with_small_disk_at(&home, "state", &script(&home, &steps));
    let told = format!("{}\n{}", ended.stderr, said(&home));
    assert_eq!(ended.stdout, "{\"version\"\n1\ndown 0\ncode 7\ndown 0\n0\n", "{told}");
}

#[test]
fn a_servent_killed_on_a_full_disk_leaves_nothing_that_misleads() {
    if !may_mount() {
        return;
    }
    let home = Home::new();
    let killed = "kill -9 $!; wait; \"$@\" status; echo \"code $?\";";
    let steps = [
        UP,
        killed,
        FILL,
        UP,
        "kill -9 $!; wait;",
        UP,
        "\"$@\" status >/dev/null; echo \"code $?\"; \"$@\" down; wait",
    ];
    let ended = with_small_disk_at(&home, "state", &script(&home, &steps));
    assert_eq!(ended.stdout, "code 7\ncode 0\n", "{}\n{}", ended.stderr, said(&home));
}

#[test]
fn a_download_that_a_crash_would_lose_says_so_until_there_is_room() {
    if !may_mount() {
        return;
    }
    let home = Home::new();
    // As many as no page of the log takes that it has already.
    let get = "\"$@\" --timeout 1 get $(for i in A B C D E F G H I J K L M N O P; do echo urn:sha1:GKECXDEZDWGCRBZWKYBJD5GGT4KAUE5$i; done) \
               >/dev/null 2>&1; echo \"code $?\";";
    let look = "\"$@\" transfers | grep -q 'lose it.*the disk is full' && echo yes; \"$@\" status 2>&1 | grep -c 'the disk is full'; rm \"$D/filler\";";
    let wait = "for i in $(seq 200); do \"$@\" transfers | grep -q 'the disk is full' || break; sleep 0.1; done;";
    let after = "\"$@\" status 2>&1 | grep -c 'the disk is full'; kill -9 $!; wait; cat \"$D\"/transfers.* | grep -o 'KAUE5[A-P]' | sort -u | wc -l";
    let ended = with_small_disk_at(&home, "state", &script(&home, &[UP, FILL, get, look, wait, after]));
    assert_eq!(ended.stdout, "code 124\nyes\n1\n0\n16\n", "{}\n{}", ended.stderr, said(&home));
}

#[test]
fn on_a_full_disk_a_new_home_is_refused_with_a_sentence() {
    if !may_mount() {
        return;
    }
    let home = Home::new();
    let others = "\"$@\" up --detach --listen 127.0.0.1:0 2>&1 | grep -o 'the disk is full.*'; \
                  \"$@\" get urn:sha1:GKECXDEZDWGCRBZWKYBJD5GGT4KAUE5V 2>&1 | grep -o 'the disk is full.*'";
    let steps = [FILL, UP, "wait $!; echo \"code $?\"; ls \"$D\";", others];
    let ended = with_small_disk_at(&home, "state", &script(&home, &steps));
    let next = "the disk is full. Free some space there, or say another --home DIR.\n";
    assert_eq!(ended.stdout, format!("code 1\nfiller\n{next}{next}"), "{}", ended.stderr);
    let token = home.join("state/token");
    let words = format!(
        "filbert: cannot write {}: the disk is full. Free some space there, or say another --home DIR.\n",
        token.display()
    );
    assert_eq!(said(&home), words);
}

#[test]
fn a_state_that_becomes_read_only_is_told_and_written_when_it_can_be_again() {
    if !may_mount() {
        return;
    }
    let home = Home::new();
    let get = "\"$@\" --timeout 1 get urn:sha1:GKECXDEZDWGCRBZWKYBJD5GGT4KAUE5V >/dev/null 2>&1; echo \"code $?\";";
    let look = "\"$@\" transfers | grep -o 'the file system is read-only'; umount \"$D\";";
    let wait = "for i in $(seq 200); do grep -q GKECXD \"$D/transfers.log\" && break; sleep 0.1; done;";
    let after = "\"$@\" transfers | grep -c 'read-only'; kill -9 $!; wait; grep -c GKECXD \"$D/transfers.log\"";
    let steps = [UP, "mount --bind \"$D\" \"$D\" && mount -o remount,bind,ro \"$D\";", get, look, wait, after];
    let ended = with_small_disk_at(&home, "state", &script(&home, &steps));
    let told = format!("{}\n{}", ended.stderr, said(&home));
    assert_eq!(ended.stdout, "code 124\nthe file system is read-only\n0\n1\n", "{told}");
}

#[test]
fn a_state_folder_that_is_emptied_under_a_servent_is_written_whole_when_it_ends() {
    if !may_mount() {
        return;
    }
    let home = Home::new();
    let get = |last: char| {
        format!(
            "\"$@\" --timeout 1 get urn:sha1:GKECXDEZDWGCRBZWKYBJD5GGT4KAUE5{last} >/dev/null 2>&1; echo \"code $?\";"
        )
    };
    let end = "kill -TERM $!; wait; cat \"$D\"/transfers.* | grep -o 'KAUE5[A-P]' | sort -u";
    let steps = [UP, &get('A'), &get('B'), "rm \"$D\"/transfers.*;", &get('C'), end];
    let ended = with_small_disk_at(&home, "state", &script(&home, &steps));
    assert_eq!(ended.stdout, "code 124\ncode 124\ncode 124\nKAUE5A\nKAUE5B\nKAUE5C\n", "{}", ended.stderr);
}

#[test]
fn a_home_whose_name_is_no_text_keeps_its_downloads_too() {
    use std::os::unix::ffi::OsStrExt;
    let place = Home::new();
    let home = place.path().join(std::ffi::OsStr::from_bytes(b"na\xefve"));
    let command = |args: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_filbert"));
        command.env("FILBERT_LAN", "false").env("FILBERT_PORTMAP", "off").env("HOME", place.path());
        command.arg("--home").arg(&home).args(args).stdin(std::process::Stdio::null());
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        command
    };
    let up = || {
        let up = command(&["up", "--json", "--listen", "127.0.0.1:0", "--api", "127.0.0.1:0"]);
        place.ready(up).unwrap_or_else(|ended| panic!("{}", ended.stderr))
    };
    let run = |args: &[&str]| finish(command(args).spawn().expect("the binary starts"));
    let urn = "urn:sha1:GKECXDEZDWGCRBZWKYBJD5GGT4KAUE5V";
    let servent = up();
    run(&["--timeout", "1", "get", urn]).expect(124);
    servent.kill();
    let _servent = up();
    let all = run(&["transfers", "--json"]).expect(0).stdout;
    assert!(all.contains(urn), "{all}");
}
