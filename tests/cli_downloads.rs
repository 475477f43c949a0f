//! Downloads between real processes, and from a small HTTP source of the test's own that can be slow, lie, and
//! count what it sends.

mod common;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

#[cfg(target_os = "linux")]
use common::mounts::{may_mount, on_small_disk, wrapped};
use common::source::{Source, state, transfer};
use common::{Home, finish, http, noise, pause, until, within};
use serde_json::Value;

/// Files below a folder, whatever they are.
fn files(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let paths = entries.map(|entry| entry.expect("readable").path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// A `get` that runs beside the test.
fn start_get(home: &Home, args: &[&str]) -> std::process::Child {
    home.command().arg("get").args(args).spawn().expect("started")
}

#[test]
fn urls_and_magnets_are_fetched_and_verified() {
    let source = Source::new(noise(300_000, 3), 0);
    let home = Home::new();
    let _servent = home.up(&[]);
    let got = home.run(&["get", &source.url(), "--name", "named.bin", "--json"]).expect(0).lines();
    let done = got.last().expect("a line");
    assert_eq!((done["event"].as_str(), done["verified"].as_str()), (Some("done"), Some("sha1")));
    let path = PathBuf::from(done["path"].as_str().expect("a path"));
    assert_eq!(path.file_name().and_then(|name| name.to_str()), Some("named.bin"));
    assert!(std::fs::read(&path).expect("there") == source.state.bytes);

    let dir = home.join("elsewhere");
    let got = home.run(&["get", &source.magnet(), "-o", &dir.to_string_lossy()]).expect(0);
    assert!(std::fs::read(got.stdout.trim_end()).expect("there") == source.state.bytes);
    // Without a hash only the size can be checked, and that is said.
    let unnamed = Source::new(noise(1000, 4), 0);
    let bare = format!("http://{}/plain.bin", unnamed.addr);
    let got = home.run(&["get", &bare, "--json"]).expect(0).lines();
    assert_eq!(got.last().and_then(|done| done["verified"].as_str()), Some("none"), "{got:?}");
}

#[test]
fn one_that_no_call_takes_does_not_keep_the_others() {
    let source = Source::new(noise(1000, 3), 0);
    let home = Home::new();
    let _servent = home.up(&["--only-listed"]);
    let too_long = format!("{}&x={}", source.magnet(), "a".repeat(100_000));
    // Of three only the one in the middle is refused.
    let got = home.run(&["get", &source.url(), &too_long, &source.magnet()]).expect(8);
    assert_eq!(got.stdout.lines().count(), 2, "{}", got.stdout);
    assert!(got.stderr.contains("2 of 3 are done"), "{}", got.stderr);
}

#[test]
fn wrong_bytes_end_with_five_and_are_not_kept() {
    let source = Source::new(noise(3_000_000, 5), 0);
    source.state.lies.store(true, SeqCst);
    let home = Home::new();
    let servent = home.up(&[]);
    let ended = home.run(&["get", &source.url()]).expect(5);
    assert!(ended.stderr.contains(&source.addr.to_string()), "the source is named: {}", ended.stderr);
    assert!(ended.stdout.is_empty());
    let finished: Vec<PathBuf> = files(&home.join("downloads"))
        .into_iter()
        .filter(|path| !path.starts_with(home.join("downloads/incomplete")))
        .collect();
    assert!(finished.is_empty(), "{finished:?}");
    let transfer = transfer(&servent).expect("listed");
    assert_eq!(transfer["state"], "failed");
    assert!(transfer["reason"].as_str().is_some_and(|reason| reason.contains(&source.addr.to_string())), "{transfer}");
}

#[test]
fn exit_codes_tell_how_a_get_ended() {
    let good = Source::new(noise(1000, 6), 0);
    let home = Home::new();
    let servent = home.up(&[]);
    home.run(&["get", "77"]).expect(3);
    home.run(&["get", "nonsense"]).expect(2);
    home.run(&["get", "urn:sha1:short"]).expect(2);
    home.run(&["get", &format!("http://{}/missing", good.addr), "--timeout", "20"]).expect(3);
    home.run(&["get", &format!("http://{}/forbidden", good.addr), "--timeout", "20"]).expect(6);
    let both = home.run(&["get", &good.url(), "77"]).expect(8);
    assert_eq!(both.stdout.lines().count(), 1, "the path of the one that is done: {}", both.stdout);
    assert!(both.stderr.contains("77") && both.stderr.contains("1 of 2"), "{}", both.stderr);

    let slow = Source::new(noise(4_000_000, 7), 400_000);
    let late = home.run(&["get", &slow.url(), "--timeout", "1"]).expect(124);
    assert!(late.stderr.contains("transfers"), "it says where it goes on: {}", late.stderr);
    let ids = |state: &str| -> Vec<String> {
        let all = servent.get("/api/v1/transfers");
        let of = all.as_array().expect("a list").iter().filter(|transfer| transfer["state"] == state);
        of.map(|transfer| transfer["id"].to_string()).collect()
    };
    assert_eq!(ids("downloading").len(), 1, "it goes on");
    home.run(&["cancel", &ids("downloading")[0]]).expect(0);
    home.run(&["pause", "4711"]).expect(3);
}

#[test]
fn ctrl_c_leaves_the_download_in_the_servent_and_a_second_get_joins_it() {
    let source = Source::new(noise(6_000_000, 8), 2_000_000);
    let home = Home::new();
    let servent = home.up(&[]);
    let child = start_get(&home, &[&source.url()]);
    until("bytes come", || transfer(&servent).filter(|t| t["done"].as_u64() > Some(0)));
    common::interrupt(&child);
    let ended = finish(child);
    assert_eq!((ended.code, ended.stdout.as_str()), (130, ""), "{}", ended.stderr);
    source.at_rate(0);
    let joined = home.run(&["get", &source.urn()]).expect(0);
    assert!(std::fs::read(joined.stdout.trim_end()).expect("there") == source.state.bytes);
    assert_eq!(servent.get("/api/v1/transfers").as_array().map(Vec::len), Some(1), "one download, not two");
}

#[test]
fn ctrl_c_in_a_get_without_a_servent_keeps_what_came_for_the_next_one() {
    let source = Source::new(noise(6_000_000, 12), 2_000_000);
    let home = Home::new();
    let child = start_get(&home, &[&source.url()]);
    until("bytes come", || {
        let partials = std::fs::read_dir(home.join("downloads").join("incomplete")).ok()?;
        let mut names = partials.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        names.any(|name| name.ends_with(".part")).then_some(())
    });
    common::interrupt(&child);
    let ended = finish(child);
    assert_eq!((ended.code, ended.stdout.as_str()), (130, ""), "{}", ended.stderr);
    source.at_rate(0);
    let again = home.run(&["get", &source.url()]).expect(0);
    assert!(std::fs::read(again.stdout.trim_end()).expect("there") == source.state.bytes);
}

#[test]
fn a_get_whose_servent_dies_ends_within_five_seconds() {
    let source = Source::new(noise(6_000_000, 9), 1_000_000);
    let home = Home::new();
    let servent = home.up(&[]);
    let child = start_get(&home, &[&source.url()]);
    until("bytes come", || transfer(&servent).filter(|t| t["done"].as_u64() > Some(0)));
    servent.kill();
    let died = Instant::now();
    let ended = finish(child);
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    assert!(died.elapsed() < Duration::from_secs(5));
    assert!(ended.stderr.contains("up"), "it says what to do: {}", ended.stderr);
}

#[test]
fn pause_resume_cancel_and_retry_do_what_they_say() {
    let source = Source::new(noise(8_000_000, 10), 1_000_000);
    let home = Home::new();
    let servent = home.up(&[]);
    let child = start_get(&home, &[&source.url()]);
    let id = until("bytes come", || transfer(&servent).filter(|t| t["done"].as_u64() > Some(0)))["id"].to_string();
    let paused = home.run(&["pause", &id, "--json"]).expect(0).lines();
    assert_eq!(paused[0]["state"], "paused");
    // What was in flight may still count; after that nothing moves.
    let still = until("it stands still", || {
        let before = source.state.sent.load(SeqCst);
        std::thread::park_timeout(Duration::from_millis(300));
        (source.state.sent.load(SeqCst) == before).then_some(before)
    });
    assert!(still < source.size);
    source.at_rate(0);
    home.run(&["resume", &id]).expect(0);
    let ended = finish(child);
    assert_eq!(ended.code, 0, "the get that waited sees the end: {}", ended.stderr);
    assert!(std::fs::read(ended.stdout.trim_end()).expect("there") == source.state.bytes);

    let other = Source::new(noise(8_000_000, 11), 500_000);
    let child = start_get(&home, &[&other.url()]);
    let id = until("another", || {
        let all = servent.get("/api/v1/transfers");
        let one = all.as_array()?.iter().find(|t| t["state"] == "downloading" && t["done"].as_u64() > Some(0))?;
        Some(one["id"].to_string())
    });
    home.run(&["cancel", &id]).expect(0);
    assert_eq!(finish(child).code, 1);
    within(Duration::from_secs(5), "its partial file is gone", || {
        files(&home.join("downloads/incomplete")).is_empty().then_some(())
    });
    let table = home.run_narrow(&["transfers"]).expect(0).stdout;
    assert!(table.starts_with("ID") && table.lines().all(|line| line.chars().count() <= 80), "{table}");
}

#[test]
fn what_exists_is_skipped_renamed_or_overwritten() {
    let home = Home::new();
    let _servent = home.up(&[]);
    let dir = home.folder("dl", &[("song.bin", b"another content")]);
    let source = Source::new(noise(5000, 12), 0);
    let get = |rule: Option<&str>| {
        let mut args = vec!["get".to_owned(), source.magnet(), "--name".into(), "song.bin".into()];
        args.extend(["-o".to_owned(), dir.to_string_lossy().into_owned()]);
        args.extend(rule.into_iter().flat_map(|rule| ["--on-exists".to_owned(), rule.to_owned()]));
        home.run(&args)
    };
    let renamed = get(None).expect(0).stdout;
    assert_ne!(Path::new(renamed.trim_end()), dir.join("song.bin"), "other content is not touched");
    assert_eq!(std::fs::read(dir.join("song.bin")).expect("there"), b"another content");
    assert!(std::fs::read(renamed.trim_end()).expect("there") == source.state.bytes);
    let before = files(&dir).len();
    get(None).expect(0);
    assert_eq!(files(&dir).len(), before, "the same content is not fetched again");
}

#[test]
fn a_downloader_killed_three_times_finishes_unasked() {
    let source = Source::new(noise(24_000_000, 13), 8_000_000);
    let home = Home::new();
    let mut servent = home.up(&[]);
    let child = start_get(&home, &[&source.url()]);
    let seed = u64::from(std::process::id());
    for round in 0..3_u64 {
        // More than a block: then at least one is whole, and counts.
        let enough = |t: &Value| t["state"] == "downloading" && t["done"].as_u64() > Some(2 << 20);
        until("blocks come", || transfer(&servent).filter(enough));
        // A moment that nobody chose.
        std::thread::park_timeout(Duration::from_millis(50 + (seed * 7919 + round * 104_729) % 400));
        servent.kill();
        servent = home.up(&[]);
    }
    let _ = finish(child);
    source.at_rate(0);
    let done = until("it is done", || transfer(&servent).filter(|t| t["state"] == "done"));
    let path = done["path"].as_str().expect("a path");
    assert!(std::fs::read(path).expect("there") == source.state.bytes, "{path}");
    assert!(files(&home.join("downloads/incomplete")).is_empty(), "nothing is left of the parts");
    let ranges = source.state.ranges.lock().expect("unbroken").clone();
    assert!(ranges.iter().filter(|&&from| from == 0).count() == 1, "it never began anew: {ranges:?}");
}

#[test]
fn a_source_that_goes_is_waited_for_and_found_again_on_another_port() {
    let (home_a, home_b, home_c) = (Home::new(), Home::new(), Home::new());
    let bytes = noise(256_000_000, 14);
    let folder = home_c.folder("big", &[("big train.bin", &bytes)]);
    let share = folder.to_string_lossy().into_owned();
    let b = home_b.up(&["--only-listed"]);
    let a = home_a.up(&["--only-listed", "--connect", &b.listen()]);
    let c = home_c.up(&["--only-listed", "--connect", &b.listen(), "--share", &share]);
    c.hashed(1);
    b.linked(2);
    home_a.run(&["search", "big train", "--max", "1"]).expect(0);
    let child = start_get(&home_a, &["1"]);
    until("bytes come", || transfer(&a).filter(|t| t["done"].as_u64() > Some(0)));
    let old = c.listen();
    c.kill();
    let waiting = until("it waits", || transfer(&a).filter(|t| t["state"] == "waiting"));
    assert!(waiting["done"].as_u64() < Some(bytes.len() as u64), "it was killed in the middle");
    assert!(waiting["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "it says why: {waiting}");
    let c = home_c.up(&["--only-listed", "--connect", &b.listen(), "--share", &share]);
    assert_ne!(c.listen(), old);
    within(Duration::from_secs(60), "it goes on", || (state(&a) == "done").then_some(()));
    let ended = finish(child);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(std::fs::read(ended.stdout.trim_end()).expect("there") == bytes);
    pause();
}

#[test]
fn get_play_prints_an_address_that_plays_and_leaves_the_rest_to_the_servent() {
    let (home, source) = (Home::new(), Source::new(noise(3_000_000, 15), 1_500_000));
    let servent = home.up(&[]);
    let got = home.run(&["get", &source.magnet(), "--play"]).expect(0);
    let url = got.stdout.trim_end();
    let path = url.strip_prefix(&format!("http://{}", servent.api())).expect("on our API");
    assert!(path.starts_with("/play/") && path.ends_with("/from%20a%20magnet.bin"), "{url}");
    assert_ne!(state(&servent), "done", "it was not waited for");
    let ask = |method: &str| {
        let host = servent.api();
        http(host, format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"))
    };
    let head = ask("HEAD");
    assert!(head.status == 200 && head.head.contains("content-length: 3000000\r\n"), "{}", head.head);
    within(Duration::from_secs(20), "it is done", || (state(&servent) == "done").then_some(()));
    assert!(ask("GET").body == source.state.bytes);
    // The one that is here already, with the same address and the end of the story.
    let lines = home.run(&["get", &source.magnet(), "--play", "--json"]).expect(0).lines();
    assert_eq!((lines[0]["event"].as_str(), lines[0]["url"].as_str()), (Some("play"), Some(url)));
    assert_eq!(lines.last().expect("a line")["event"], "done");
}

#[test]
fn a_folder_of_a_browsed_host_is_fetched_with_its_folders() {
    let (home_a, home_b) = (Home::new(), Home::new());
    let folder = home_a.folder("shared", &[("top.txt", b"0")]);
    for (path, content) in [("jazz/blue/one.txt", "1"), ("jazz/two.txt", "2"), ("rock/three.txt", "3")] {
        std::fs::create_dir_all(folder.join(path).parent().expect("a folder")).expect("made");
        std::fs::write(folder.join(path), content).expect("written");
    }
    let a = home_a.up(&["--only-listed", "--share", &folder.to_string_lossy()]);
    a.hashed(4);
    let _b = home_b.up(&["--only-listed"]);
    let listed = home_b.run(&["browse", &a.listen()]).expect(0).stdout;
    assert!(listed.contains("  jazz/blue/one.txt") && listed.contains("  top.txt"), "{listed}");
    let out = home_b.join("out").to_string_lossy().into_owned();
    let got = home_b.run(&["get", "--folder", "jazz", "-o", &out]).expect(0).stdout;
    let mut paths: Vec<_> = got.lines().collect();
    paths.sort_unstable();
    assert_eq!(paths, [format!("{out}/jazz/blue/one.txt"), format!("{out}/jazz/two.txt")]);
    assert_eq!(std::fs::read(paths[0]).expect("there"), b"1");
    assert_eq!(home_b.run(&["get", "--folder", "pop"]).code, 3);
    let all = home_b.run(&["get", "--folder", ".", "-o", &out]).expect(0).stdout;
    assert_eq!(all.lines().count(), 4, "{all}");
    assert_eq!(files(&home_b.join("out")).len(), 4, "what was there is not fetched again");
}

#[test]
fn without_a_servent_get_play_stays_for_the_player() {
    let (home, source) = (Home::new(), Source::new(noise(200_000, 16), 0));
    let mut child = start_get(&home, &[&source.magnet(), "--play"]);
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().expect("a pipe")).read_line(&mut line).expect("a line");
    let rest = line.trim_end().strip_prefix("http://").expect("a URL");
    let (host, path) = rest.split_once('/').expect("a path");
    let request = format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    assert!(http(host.parse().expect("an address"), request).body == source.state.bytes);
    common::interrupt(&child);
    let ended = finish(child);
    assert_eq!(ended.code, 130, "{}", ended.stderr);
    assert_eq!(ended.stdout, "", "the address was all");
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_fills_ends_the_download_with_a_sentence_and_what_is_there_counts_later() {
    if !may_mount() {
        return;
    }
    let source = Source::new(noise(8_000_000, 20), 0);
    let home = Home::new();
    let truth = home.folder("truth", &[("whole.bin", &source.state.bytes)]).join("whole.bin");
    let ended = on_small_disk(
        &home,
        &format!(
            "head -c 7M /dev/zero >\"$D/filler\"; \"$@\" get '{}' --name whole.bin; echo \"code $?\"; ls \"$D\"; rm \"$D/filler\"; \
             \"$@\" get '{}' --name whole.bin && cmp \"$D/whole.bin\" {} && ls \"$D\"",
            source.magnet(),
            source.magnet(),
            truth.display()
        ),
    );
    let part = home.join("downloads/incomplete/whole.bin.part");
    let words = format!("cannot write {}", part.display());
    assert!(ended.stderr.contains(&words), "{}", ended.stderr);
    assert!(ended.stderr.contains(": the disk is full. Free some space, then retry"), "{}", ended.stderr);
    let path = home.join("downloads/whole.bin");
    let out = format!("code 1\nfiller\nincomplete\n{}\nwhole.bin\n", path.display());
    assert_eq!((ended.code, ended.stdout), (0, out), "{}", ended.stderr);
    let ranges = source.state.ranges.lock().expect("unbroken").clone();
    assert!(ranges.len() >= 2 && ranges[ranges.len() - 1] >= 3 << 20, "what was there was not asked for: {ranges:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_that_may_not_grow_ends_the_download_with_a_sentence_and_not_the_process() {
    let source = Source::new(noise(8_000_000, 23), 0);
    let home = Home::new();
    // In units of 512 or 1,024 bytes: less than the file.
    let limited = "ulimit -f 4000 && exec \"$@\"";
    let magnet = source.magnet();
    let get = ["get", &magnet, "--name", "whole.bin"];
    let ended = finish(wrapped(&home, &["sh", "-c", limited, "sh"], &get).spawn().expect("started"));
    let part = home.join("downloads/incomplete/whole.bin.part");
    assert!(ended.stderr.contains(&format!("cannot write {}: File too large", part.display())), "{}", ended.stderr);
    assert_eq!((ended.code, ended.stdout.as_str()), (1, ""));
    let ended = home.run(&get).expect(0);
    assert!(std::fs::read(ended.stdout.trim_end()).expect("there") == source.state.bytes);
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_on_a_read_only_file_system_is_refused_with_a_sentence() {
    if !may_mount() {
        return;
    }
    let source = Source::new(noise(10_000, 21), 0);
    let home = Home::new();
    let ended = on_small_disk(
        &home,
        &format!("mount -o remount,ro \"$D\"; \"$@\" get '{}'; echo \"code $?\"", source.magnet()),
    );
    let folder = home.join("downloads/incomplete");
    let words = format!(
        "cannot make the folder {}: the file system is read-only. Say another folder with --download-dir",
        folder.display()
    );
    assert!(ended.stderr.contains(&words), "{}", ended.stderr);
    assert_eq!(ended.stdout, "code 1\n");
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_made_read_only_in_the_middle_fails_at_the_end_and_nothing_is_fetched_twice() {
    use std::os::unix::fs::PermissionsExt;
    let as_root = rustix::process::geteuid().is_root();
    // Root may write anywhere, unless it gives that up.
    let wrapper: &[&str] = if as_root { &["setpriv", "--bounding-set=-all", "--"] } else { &["env"] };
    let source = Source::new(noise(6_000_000, 22), 3_000_000);
    let home = Home::new();
    let dir = home.join("downloads");
    std::fs::create_dir_all(&dir).expect("a folder");
    let mode = |mode| std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(mode)).expect("ours");
    let magnet = source.magnet();
    let get = || wrapped(&home, wrapper, &["get", &magnet, "--name", "whole.bin"]).spawn().expect("started");
    let child = get();
    until("bytes come", || (source.state.sent.load(SeqCst) > 1 << 20).then_some(()));
    mode(0o555);
    source.at_rate(0);
    let ended = finish(child);
    mode(0o755);
    let words = format!(
        "cannot write {}: it is not allowed there. Say another folder with --download-dir",
        dir.join("whole.bin").display()
    );
    assert!(ended.stderr.contains(&words), "{}", ended.stderr);
    assert_eq!((ended.code, ended.stdout.as_str()), (1, ""));
    assert!(!ended.stderr.contains(" retry 1"), "there is no servent that could: {}", ended.stderr);
    let sent = source.state.sent.load(SeqCst);
    let ended = finish(get()).expect(0);
    assert!(std::fs::read(ended.stdout.trim_end()).expect("there") == source.state.bytes);
    assert_eq!(source.state.sent.load(SeqCst), sent, "all of it was there");
}
