//! The main job between real processes: share, search over several links, download, watch a folder, stop.

mod common;

use std::path::Path;
use std::time::Duration;

use common::{Home, Servent, finish, noise, until, within};
use serde_json::Value;

/// Three homes in a line: A - B - C; only B knows both others. C shares `files`.
struct Line {
    a: Home,
    b: Home,
    _c: Home,
    servents: Vec<Servent>,
    shared: std::path::PathBuf,
}

impl Line {
    fn new(files: &[(&str, &[u8])]) -> Self {
        let (a, b, c) = (Home::new(), Home::new(), Home::new());
        let shared = c.folder("music", files);
        let up_b = b.up(&["--only-listed"]);
        let up_a = a.up(&["--only-listed", "--connect", &up_b.listen()]);
        let share = shared.to_string_lossy().into_owned();
        let up_c = c.up(&["--only-listed", "--connect", &up_b.listen(), "--share", &share]);
        up_b.linked(2);
        up_a.linked(1);
        up_c.linked(1);
        up_c.hashed(files.len() as u64);
        Self { a, b, _c: c, servents: vec![up_a, up_b, up_c], shared }
    }
}

#[track_caller]
fn assert_same(path: &Path, bytes: &[u8]) {
    let got = std::fs::read(path).expect("the downloaded file");
    assert!(got == bytes, "{} has {} bytes, wanted {}", path.display(), got.len(), bytes.len());
}

#[test]
fn a_file_two_links_away_is_found_by_keyword_and_fetched_from_there() {
    let bytes = noise(3_000_000, 1);
    let line = Line::new(&[("Blue Train.flac", &bytes), ("Other.txt", b"other")]);
    let peers = line.a.run(&["peers", "--json"]).expect(0).lines();
    assert_eq!(peers.len(), 1, "A and C are no neighbours: {peers:?}");
    assert_eq!(peers[0]["addr"], line.servents[1].listen());

    let found = line.a.run(&["search", "blue", "train", "--json"]).expect(0).lines();
    assert_eq!(found.len(), 2, "{found:?}");
    let hit = &found[0];
    assert_eq!((hit["hit"].as_u64(), hit["hops"].as_u64(), hit["size"].as_u64()), (Some(1), Some(2), Some(3_000_000)));
    assert_eq!(hit["name"], "Blue Train.flac");
    assert_eq!(hit["source"]["addr"], line.servents[2].listen());
    for (key, len) in [("sha1", 32), ("tth", 39), ("blake3", 64)] {
        assert_eq!(hit[key].as_str().map(str::len), Some(len), "{key} in {hit}");
    }
    assert_eq!(hit["urn"].as_str(), hit["sha1"].as_str().map(|sha1| format!("urn:sha1:{sha1}")).as_deref());
    for key in ["servent", "vendor"] {
        assert!(hit["source"][key].is_string(), "{hit}");
    }
    for key in ["push", "busy"] {
        assert!(hit["source"][key].is_boolean(), "{hit}");
    }
    let done = &found[1];
    assert_eq!(
        (done["event"].as_str(), done["hits"].as_u64(), done["files"].as_u64()),
        (Some("done"), Some(1), Some(1))
    );
    assert_eq!(done["neighbours_asked"], 1);
    assert!(done["elapsed_ms"].is_u64() && done["explain"].is_object(), "{done}");

    let got = line.a.run(&["get", "1"]).expect(0);
    let path = Path::new(got.stdout.trim_end());
    assert!(path.is_absolute() && got.stdout.lines().count() == 1, "stdout is the path alone: {:?}", got.stdout);
    assert!(path.starts_with(line.a.join("downloads")), "{}", path.display());
    assert_same(path, &bytes);
    // Owned already: the path again, at once.
    let again = line.a.run(&["get", hit["urn"].as_str().expect("a urn")]).expect(0);
    assert_eq!(again.stdout, got.stdout);
    let transfers = line.a.run(&["transfers", "--json"]).expect(0).lines();
    let transfer = &transfers[0];
    assert_eq!((transfer["direction"].as_str(), transfer["state"].as_str()), (Some("down"), Some("done")));
    for key in ["id", "name", "urn", "state", "done", "size", "rate_bps", "sources", "reason", "eta_s"] {
        assert!(transfer.get(key).is_some(), "{key} in {transfer}");
    }
    // B routed the question and nothing else; it has no files and no transfers.
    assert_eq!(line.b.run(&["transfers", "--json"]).expect(0).stdout, "");
}

#[test]
fn the_ttl_of_a_search_is_obeyed() {
    let line = Line::new(&[("blue train.txt", b"abc")]);
    let near = line.a.run(&["search", "blue", "--ttl", "1", "--wait", "1", "--json"]).expect(3);
    assert_eq!(near.lines().len(), 1, "only the end: {}", near.stdout);
    assert!(near.stderr.contains("asked 1 peer"), "{}", near.stderr);
    line.a.run(&["search", "blue", "--ttl", "2", "--max", "1"]).expect(0);
    line.a.run(&["search", "nosuchword", "--wait", "0.5"]).expect(3);
}

#[test]
fn what_is_typed_decides_what_is_found() {
    let line = Line::new(&[
        ("Blue Train.flac", b"1"),
        ("Blue Train live.flac", b"22"),
        ("Night Train.txt", b"333"),
        ("Été bleu.txt", b"4444"),
    ]);
    let names = |args: &[&str]| -> Vec<String> {
        let mut all = vec!["search", "--json", "--wait", "0.7"];
        all.extend(args);
        let lines = line.a.run(&all).lines();
        let mut names: Vec<String> = lines.iter().filter_map(|hit| hit["name"].as_str().map(str::to_owned)).collect();
        names.sort();
        names
    };
    assert_eq!(names(&["blue", "train"]), ["Blue Train live.flac", "Blue Train.flac"]);
    assert_eq!(names(&["blue", "train", "-live"]), ["Blue Train.flac"]);
    assert_eq!(names(&["blue", "train", "-live", "--ttl", "3"]), ["Blue Train.flac"]);
    assert_eq!(names(&["\"train live\""]), ["Blue Train live.flac"]);
    assert_eq!(names(&["train", "ext:txt"]), ["Night Train.txt"]);
    assert_eq!(names(&["night", "--any", "live"]), ["Blue Train live.flac", "Night Train.txt"]);
    assert_eq!(names(&["train", "--min-size", "3"]), ["Night Train.txt"]);
    assert_eq!(names(&["train", "--max-size", "1"]), ["Blue Train.flac"]);
    assert_eq!(names(&["ete", "BLEU"]), ["Été bleu.txt"]);
    let timed = std::time::Instant::now();
    line.a.run(&["search", "train", "--wait", "20", "--max", "2"]).expect(0);
    assert!(timed.elapsed() < Duration::from_secs(10), "--max ends it early");
}

#[test]
fn hits_are_shown_in_a_table_that_fits_and_cannot_harm_the_terminal() {
    let line = Line::new(&[
        ("blue \u{1b}[31m red\u{202e}gpj.exe", b"abc"),
        ("blue 東京東京東京東京東京東京東京東京東京東京東京東京.txt", b"12"),
    ]);
    let whole = line.a.run(&["search", "blue", "--max", "2"]).expect(0).stdout;
    assert!(whole.contains(&format!("{}.txt  ", "東京".repeat(12))), "in a pipe nothing is cut: {whole}");
    let found = line.a.run_narrow(&["search", "blue", "--max", "2"]).expect(0);
    assert_eq!(found.stdout.lines().count(), 2, "{}", found.stdout);
    assert!(!found.stdout.contains(['\u{1b}', '\u{202e}']), "{:?}", found.stdout);
    assert!(found.stdout.lines().all(|row| unicode_width::UnicodeWidthStr::width(row) <= 80), "{}", found.stdout);
    assert!(found.stderr.contains("2 hits of 2 files") && found.stderr.contains("2 hops"), "{}", found.stderr);
}

#[test]
fn a_private_servent_searches_and_fetches_for_one_command() {
    let line = Line::new(&[("blue train.txt", b"all aboard")]);
    let guest = Home::new();
    let at = line.servents[1].listen();
    let found = guest.run(&["search", "blue", "--connect", &at, "--json", "--max", "1"]).expect(0);
    assert!(found.stderr.contains("private"), "it says so: {}", found.stderr);
    assert_eq!(found.lines()[0]["hops"], 2);
    // Its numbers survive it.
    let dir = guest.join("here");
    let got = guest.run(&["get", "1", "--connect", &at, "-o", &dir.to_string_lossy(), "--json"]).expect(0);
    let lines = got.lines();
    let done = lines.last().expect("a last line");
    assert_eq!(
        (done["event"].as_str(), done["bytes"].as_u64(), done["verified"].as_str()),
        (Some("done"), Some(10), Some("blake3"))
    );
    assert!(done["elapsed_ms"].is_u64() && done["sources"].is_u64());
    assert_same(Path::new(done["path"].as_str().expect("a path")), b"all aboard");
    assert!(done["path"].as_str().is_some_and(|path| Path::new(path).starts_with(&dir)));
    let best = guest
        .run(&["get", "--best", "blue train", "--connect", &at, "-o", &guest.join("b").to_string_lossy()])
        .expect(0);
    assert!(best.stdout.trim_end().ends_with("blue train.txt"), "{}", best.stdout);
}

#[test]
fn a_host_is_browsed_with_a_servent_and_without_one_and_the_numbers_are_fetched() {
    let line = Line::new(&[("Blue Train.flac", b"blue"), ("Other.txt", b"other")]);
    let (b, c) = (line.servents[1].listen(), line.servents[2].listen());
    let guest = Home::new();
    for home in [&line.a, &guest] {
        let listed = home.run(&["browse", &c, "--json"]).expect(0).lines();
        let names: Vec<_> = listed[..2].iter().filter_map(|hit| hit["name"].as_str()).collect();
        assert!(names.contains(&"Blue Train.flac") && names.contains(&"Other.txt"), "{listed:?}");
        assert!(listed[..2].iter().all(|hit| hit["source"]["addr"] == c.as_str() && hit["sha1"].is_string()));
        assert_eq!((listed.len(), &listed[2]["event"], &listed[2]["hits"]), (3, &Value::from("done"), &Value::from(2)));
        let number = listed[..2].iter().find(|hit| hit["name"] == "Other.txt").map(|hit| hit["hit"].to_string());
        let got = home.run(&["get", &number.expect("listed")]).expect(0);
        assert_same(Path::new(got.stdout.trim_end()), b"other");
        let shown = home.run(&["browse", &c]).expect(0);
        assert!(shown.stdout.contains("Blue Train.flac") && shown.stdout.lines().count() == 2, "{}", shown.stdout);
        home.run(&["browse", &b]).expect(3);
        home.run(&["browse", "127.0.0.1:1"]).expect(1);
    }
    let hidden = Home::new();
    hidden.run(&["config", "set", "browse", "false"]).expect(0);
    let up = hidden.up(&["--only-listed"]);
    line.a.run(&["browse", &up.listen()]).expect(6);
}

#[test]
fn the_watched_folder_is_searchable_as_it_is_now() {
    let line = Line::new(&[("first.txt", b"1")]);
    let b = &line.servents[1];
    let find = |word: &str| -> Option<Value> {
        let (_, search) = b.call("POST", "/api/v1/searches", &format!(r#"{{"query":"{word}","wait_ms":150,"max":1}}"#));
        let hits = || b.get(&format!("/api/v1/searches/{}/hits", search["id"])).get(0).cloned();
        let ended = || b.get(&format!("/api/v1/searches/{}", search["id"]))["ended"] == true;
        until("the search ends", || ended().then_some(()));
        hits()
    };
    let second = Duration::from_secs(1);
    let slack = Duration::from_millis(400); // for the search itself, and a slow machine
    std::fs::copy(line.shared.join("first.txt"), line.shared.join("added.txt")).expect("copied");
    within(second + slack, "a new file is found", || find("added"));
    std::fs::rename(line.shared.join("added.txt"), line.shared.join("moved.txt")).expect("renamed");
    within(second + slack, "a renamed file is found", || find("moved"));
    assert!(find("added").is_none(), "under its old name it is not");
    std::fs::remove_file(line.shared.join("moved.txt")).expect("removed");
    within(second + slack, "a removed file is not found", || find("moved").is_none().then_some(()));
}

#[test]
fn a_long_file_of_hosts_is_imported_into_a_running_servent() {
    let home = Home::new();
    let up = home.up(&["--only-listed"]);
    let file = home.join("hosts.txt");
    let mut lines: Vec<String> =
        (0..1500).map(|n| format!("[fd00:1111:2222:3333:4444:5555:6666:{n:04x}]:6346 2026-11-27 03:50:15Z")).collect();
    lines.insert(0, "# THIS FILE IS AUTOMATICALLY GENERATED -- DO NOT EDIT\n".to_owned());
    let import = |lines: &[String], code| {
        std::fs::write(&file, lines.join("\n")).expect("written");
        home.run(&["hosts".as_ref(), "import".as_ref(), file.as_os_str(), "--json".as_ref()]).expect(code).lines()
    };
    let counts = |report: &serde_json::Value| ["named", "added", "known", "refused"].map(|key| report[key].as_u64());
    assert_eq!(counts(&import(&lines, 0)[0]), [1500, 1500, 0, 0].map(Some));
    // The worst that a line can be, more of them than one call takes, and good ones behind.
    lines.splice(1..=200, (0..200).map(|_| "\u{7}\\\"".repeat(500)));
    lines.extend([up.listen(), "0.0.0.0:6346".to_owned(), "10.1.1.1:1".to_owned()]);
    let report = &import(&lines, 8)[0];
    assert_eq!(counts(report), [1503, 1, 1300, 202].map(Some));
    assert_eq!((report["not_taken"].as_array().map(Vec::len), &report["not_taken"][0]["line"]), (Some(20), &3.into()));
    let told = &import(&lines[1501 - 1..], 8)[0]["not_taken"];
    let told: Vec<_> = (0..2).map(|at| (told[at]["line"].as_u64(), told[at]["why"].as_str())).collect();
    let why = [(Some(2), Some("is this servent itself")), (Some(3), Some("no host has such an address"))];
    assert_eq!(told, why);
}

#[test]
fn connect_and_disconnect_by_hand() {
    let (a, b) = (Home::new(), Home::new());
    let (up_a, up_b) = (a.up(&["--only-listed"]), b.up(&["--only-listed"]));
    let peer = a.run(&["connect", &up_b.listen(), "--json"]).expect(0).lines();
    assert_eq!(peer[0]["addr"], up_b.listen());
    let table = a.run(&["peers"]).expect(0).stdout;
    assert!(table.contains(&up_b.listen()) && table.starts_with("ADDRESS"), "{table}");
    let status = a.run(&["status"]).expect(0).stdout;
    assert!(status.starts_with("1 neighbour") && status.lines().count() == 1, "{status}");
    a.run(&["peers", "set", "3"]).expect(0);
    a.run(&["disconnect", &up_b.listen()]).expect(0);
    up_a.linked(0);
    up_b.linked(0);
    a.run(&["disconnect", &up_b.listen()]).expect(3);
    // Nobody listens there.
    let nobody = a.run(&["connect", "127.0.0.1:1"]);
    assert!(nobody.code != 0 && nobody.stderr.contains("127.0.0.1:1"), "{} {}", nobody.code, nobody.stderr);
}

#[test]
fn another_address_of_a_peer_is_that_peer_at_once() {
    let (home_a, home_b) = (Home::new(), Home::new());
    let b = home_b.up(&["--only-listed", "--listen", "0.0.0.0:0"]);
    let port = b.listen().rsplit_once(':').expect("a port").1.to_owned();
    let a = home_a.up(&["--only-listed", "--connect", &format!("127.0.0.1:{port}")]);
    a.linked(1);
    let other = format!("127.0.0.2:{port}");
    let said = home_a.run(&["connect", &other, "--timeout", "10"]).expect(0);
    assert!(said.stderr.contains(&other), "{}", said.stderr);
    a.linked(1);
}

#[test]
fn one_servent_a_home_and_down_ends_it() {
    let home = Home::new();
    let first = home.up(&[]);
    let Err(second) = home.try_up(&[]) else { panic!("two servents in one home") };
    assert_eq!(second.code, 1);
    assert!(second.stderr.contains("home") && second.stderr.contains("down"), "{}", second.stderr);
    // A port in use is named, with the next step.
    let other = Home::new();
    let Err(taken) = other.try_up(&["--listen", &first.listen()]) else { panic!("two servents on one port") };
    assert_eq!(taken.code, 1);
    assert!(taken.stderr.contains(&first.listen()) && taken.stderr.contains("--listen"), "{}", taken.stderr);

    home.run(&["down"]).expect(0);
    home.run(&["status"]).expect(7);
    let again = home.up(&["--listen", &first.listen()]);
    assert_eq!(again.listen(), first.listen(), "at once on the same home and port");
    assert_eq!(again.interrupt(), 0, "Ctrl-C is how it is stopped");
}

#[test]
fn after_kill_nine_the_same_home_and_port_work_at_once() {
    let home = Home::new();
    let first = home.up(&[]);
    let (listen, api) = (first.listen(), first.api().to_string());
    first.kill();
    let second = home.up(&["--listen", &listen, "--api", &api]);
    assert_eq!((second.listen(), second.api().to_string()), (listen, api));
}

#[test]
fn up_goes_to_the_background_and_comes_back_with_the_address() {
    let home = Home::new();
    let ready = home.run(&["up", "--detach", "--json", "--listen", "127.0.0.1:0", "--api", "127.0.0.1:0"]).expect(0);
    let ready = &ready.lines()[0];
    for key in ["event", "listen", "api", "token_file", "files", "folders", "pid"] {
        assert!(ready.get(key).is_some(), "{key} in {ready}");
    }
    assert!(!ready["api"].as_str().is_some_and(|url| url.ends_with('/')));
    home.run(&["status"]).expect(0);
    assert!(home.join("state/log").exists());
    // A second one fails with the reason, not silently in a log.
    let second = home.run(&["up", "--detach"]).expect(1);
    assert!(second.stderr.contains("home"), "{}", second.stderr);
    home.run(&["down"]).expect(0);
    home.run(&["status"]).expect(7);
    // A person hears what others can find now.
    home.run(&["share", home.folder("music", &[("a.ogg", b"one")]).to_str().expect("UTF-8")]).expect(0);
    let told = home.run(&["up", "--detach", "--listen", "127.0.0.1:0", "--api", "127.0.0.1:0"]).expect(0).stdout;
    assert!(told.lines().any(|line| line == "  sharing     1 file in 1 folder"), "{told}");
    home.run(&["down"]).expect(0);
}

#[test]
fn time_limits_and_ctrl_c_end_a_search() {
    let line = Line::new(&[("blue train.txt", b"abc")]);
    line.a.run(&["search", "blue", "--wait", "20", "--timeout", "0.5"]).expect(124);
    let mut command = line.a.command();
    command.args(["search", "blue", "--wait", "20"]);
    let child = command.spawn().expect("started");
    until("it asks", || {
        let searches = line.servents[0].get("/api/v1/searches");
        searches.as_array()?.iter().any(|search| search["ended"] == false).then_some(())
    });
    common::interrupt(&child);
    let ended = finish(child);
    assert_eq!(ended.code, 130, "{}", ended.stderr);
}

#[test]
fn nothing_outside_the_share_can_be_read() {
    let home = Home::new();
    let share = home.folder("share", &[("inside.txt", b"inside")]);
    std::fs::write(home.join("secret.txt"), b"TOP SECRET").expect("written");
    std::os::unix::fs::symlink(home.join("secret.txt"), share.join("link.txt")).expect("linked");
    std::os::unix::fs::symlink(home.path(), share.join("up")).expect("linked");
    let servent = home.up(&["--share", &share.to_string_lossy(), "--yes"]);
    servent.hashed(1);
    let addr: std::net::SocketAddr = servent.listen().parse().expect("an address");
    let get = |path: &[u8]| {
        let mut request = b"GET ".to_vec();
        request.extend_from_slice(path);
        request.extend_from_slice(b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        common::http(addr, request)
    };
    let good = get(b"/get/1/inside.txt");
    assert_eq!((good.status, good.body.as_slice()), (200, b"inside".as_slice()), "{}", good.head);
    let secret = home.join("secret.txt");
    let absolute = secret.to_string_lossy();
    let mut tries: Vec<Vec<u8>> = [
        "/get/1/../secret.txt",
        "/get/1/..%2fsecret.txt",
        "/get/1/%2e%2e/secret.txt",
        "/get/1/%2e%2e%2fsecret.txt",
        "/get/../secret.txt",
        "/../secret.txt",
        "/secret.txt",
        "/get/2/link.txt",
        "/get/2/up/secret.txt",
        "/get/4294967295/secret.txt",
        "/get/-1/secret.txt",
        "/uri-res/N2R?urn:sha1:../secret.txt",
        "/uri-res/N2R?file:///etc/passwd",
        "/link.txt",
        "/up/secret.txt",
        "//etc/passwd",
        "file:///etc/passwd",
        "http://127.0.0.1/../secret.txt",
        "",
    ]
    .iter()
    .map(|path| path.as_bytes().to_vec())
    .collect();
    tries.push(absolute.as_bytes().to_vec());
    tries.push(format!("/get/1/{absolute}").into_bytes());
    tries.push(b"/get/1/inside.txt\0/../../secret.txt".to_vec());
    tries.push(b"/get/2/secret.txt\0".to_vec());
    tries.push(b"/get/1/\xff\xfe/../secret.txt".to_vec());
    for path in tries {
        let answer = get(&path);
        let shown = String::from_utf8_lossy(&path).into_owned();
        let whole = [answer.head.as_bytes(), &answer.body].concat();
        let holds = |needle: &[u8]| whole.windows(needle.len()).any(|w| w == needle);
        assert!(!holds(b"TOP SECRET") && !holds(b"root:"), "{shown}: {}", answer.head);
        // An index that exists gives its own file, whatever the name says; everything else gives none.
        assert!(answer.status != 200 || answer.body == b"inside", "{shown}: {}", answer.head);
    }
    servent.get("/api/v1/status");
}

#[test]
fn the_doctor_says_what_is_wrong_and_how_to_mend_it() {
    let home = Home::new();
    let findings = home.run(&["--json", "doctor"]).expect(1).lines();
    let state = |findings: &[Value], check: &str| {
        let found = findings.iter().find(|it| it["check"] == check);
        found.unwrap_or_else(|| panic!("nothing of {check}: {findings:?}"))["state"].clone()
    };
    assert_eq!(state(&findings, "servent"), "problem");
    assert!(findings.iter().all(|it| it["state"] != "problem" || it["fix"].is_string()), "{findings:?}");
    let alone = home.up(&["--only-listed"]);
    let told = home.run(&["doctor"]).expect(1).stdout;
    assert!(told.contains("problem  neighbours: no peer is connected") && told.contains("-> "), "{told}");
    alone.kill();

    let line = Line::new(&[("Blue Train.flac", b"blue")]);
    // The one in the middle was dialled; the others are called back by it.
    for home in [&line.b, &line.a] {
        let findings = until("others can connect to it", || {
            let findings = home.run(&["--json", "doctor"]).expect(0).lines();
            let reachable = findings.iter().find(|it| it["check"] == "reachable").expect("reachability");
            (reachable["state"] == "ok").then_some(findings)
        });
        for check in ["servent", "port", "neighbours", "portmap", "shares", "downloads", "clock"] {
            assert_ne!(state(&findings, check), "problem");
        }
    }
    let status = line.a.run(&["status"]).expect(0).stdout;
    assert!(status.contains("others can connect to you"), "{status}");
}

#[test]
fn limits_hold_in_the_running_servent_and_for_the_next_one() {
    let home = common::Home::new();
    let shown = |args: &[&str]| home.run(args).expect(0).lines().remove(0);
    assert_eq!(shown(&["limits", "--down", "1M", "--json"])["down_bps"], 1_000_000, "without a servent it is written");
    let servent = home.up(&[]);
    let limits = shown(&["limits", "--up", "64Ki", "--per-peer", "0", "--json"]);
    assert_eq!(
        (&limits["down_bps"], &limits["up_bps"], &limits["peer_up_bps"]),
        (&1_000_000.into(), &65_536.into(), &0.into())
    );
    let turtle = shown(&["turtle", "--json"]);
    assert_eq!((&turtle["turtle"], &turtle["up_now_bps"]), (&true.into(), &16_000.into()));
    assert_eq!(shown(&["turtle", "off", "--up", "5K", "--json"])["up_now_bps"], 65_536);
    home.run(&["config", "set", "limit_peer_up", "off"]).expect(0);
    let status = shown(&["status", "--json"]);
    assert!(status["limits"]["peer_up_bps"].is_null() && status["limits"]["turtle"] == false, "{status}");
    let table = home.run(&["limits"]).expect(0).stdout;
    assert!(table.contains("64Ki/s") && table.contains("5K/s"), "{table}");
    assert!(home.run(&["limits", "--down", "fast"]).expect(2).stderr.contains("500K"), "it says what is right");
    drop(servent);
    assert_eq!(shown(&["config", "get", "turtle_up", "--json"])["value"], "5K");
}

#[test]
fn limits_set_by_the_api_hold_after_a_restart_unless_something_stronger_says_otherwise() {
    let home = common::Home::new();
    let servent = home.up(&[]);
    let (code, limits) = servent.call("PUT", "/api/v1/limits", r#"{"down":"1.5M/s","up":"64Ki","turtle":true}"#);
    assert_eq!((code, &limits["down_bps"]), (200, &1_500_000.into()), "{limits}");
    servent.call("PUT", "/api/v1/limits", r#"{"up":"32Ki"}"#);
    assert_eq!(servent.call("PUT", "/api/v1/limits", r#"{"down":"fast"}"#).0, 400, "nothing of it is kept");
    let origin = |key: &str| home.run(&["config", "get", "--origin", key]).expect(0).stdout.trim().to_owned();
    assert_eq!(origin("limit_down"), "1500K (state)");
    let told = |servent: &common::Servent| {
        let all = servent.get("/api/v1/config");
        let one = all.as_array().expect("a list").iter().find(|one| one["key"] == "limit_up").expect("there").clone();
        (one["value"].clone(), one["origin"].clone())
    };
    assert_eq!(told(&servent), ("32Ki".into(), "state".into()), "as the page shows it");
    servent.kill();
    let servent = home.up(&[]);
    let limits = servent.get("/api/v1/limits");
    let set =
        |limits: &serde_json::Value| (limits["down_bps"].clone(), limits["up_bps"].clone(), limits["turtle"].clone());
    assert_eq!(set(&limits), (1_500_000.into(), 32_768.into(), true.into()), "after kill -9: {limits}");
    assert_eq!(told(&servent), ("32Ki".into(), "state".into()));
    drop(servent);
    std::fs::write(home.join("config.toml"), "limit_up = \"5K\"\n").expect("written");
    let servent = home.up(&[]);
    assert_eq!(set(&servent.get("/api/v1/limits")), (1_500_000.into(), 5_000.into(), true.into()));
    assert_eq!(origin("limit_up"), "5K (file)");
    drop(servent);
    std::fs::write(home.join("state").join("speeds.json"), "{").expect("written");
    let servent = home.up(&[]);
    assert_eq!(set(&servent.get("/api/v1/limits")).0, serde_json::Value::Null, "what cannot be read is set aside");
}

#[test]
fn several_numbers_a_template_magnets_and_priorities() {
    let (giver, home) = (common::Home::new(), common::Home::new());
    let share = giver.folder("share", &[("a.ogg", b"one"), ("b.ogg", b"two"), ("c.txt", b"three")]);
    let there = giver.up(&["--share", share.to_str().expect("UTF-8")]);
    until("hashed", || giver.run(&["status", "--json"]).lines()[0]["hashed"].eq(&3).then_some(()));
    let _here = home.up(&[]);
    let listed = home.run(&["browse", &there.listen(), "--json"]).expect(0).lines();
    assert!(listed.len() >= 3, "{listed:?}");
    let out = home.join("out");
    let got =
        home.run(&["get", "1-3", "-o", out.to_str().expect("UTF-8"), "--template", "{peer}/{ext}/{name}"]).expect(0);
    let mut paths: Vec<&str> = got.stdout.lines().collect();
    paths.sort();
    assert_eq!(paths.len(), 3, "{paths:?}");
    assert!(paths[0].ends_with("out/127.0.0.1/ogg/a.ogg") && paths[2].ends_with("127.0.0.1/txt/c.txt"), "{paths:?}");
    assert!(home.run(&["get", "2-4", "-o", out.to_str().expect("UTF-8")]).expect(8).stderr.contains("2 of 3 are done"));
    let again = home.run(&["get", "1", "-o", home.join("elsewhere").to_str().expect("UTF-8")]).expect(0);
    assert!(paths.contains(&again.stdout.trim_end()) && again.stderr.contains("fetched before"), "{}", again.stderr);

    let magnet = home.run(&["magnet", "1"]).expect(0).stdout;
    assert!(magnet.starts_with("magnet:?dn=") && magnet.contains("&xt=urn:bitprint:"), "{magnet}");
    let own = giver.run(&["magnet", share.join("c.txt").to_str().expect("UTF-8")]).expect(0).stdout;
    assert!(own.contains("dn=c.txt&xl=5"), "{own}");
    home.run(&["magnet", "9"]).expect(3);

    let waits = format!("urn:sha1:{}", "A".repeat(32));
    home.run(&["--timeout", "1", "get", &waits, "--priority", "low"]).expect(124);
    let id = home.run(&["transfers", "--json"]).lines().pop().expect("a transfer")["id"].to_string();
    home.run(&["priority", &id, "high"]).expect(0);
    let table = home.run_narrow(&["transfers"]).expect(0).stdout;
    assert!(table.contains("(high)") && table.lines().take(5).all(|line| line.chars().count() <= 80), "{table}");
    assert!(home.run(&["priority", "high"]).expect(2).stderr.contains("ID"), "it says what is missing");
    home.run(&["priority", &id, "urgent"]).expect(2);
}
