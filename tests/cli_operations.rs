//! A servent as a service: what it tells its supervisor, what signals do, and what cron sees.

#![cfg(unix)]

mod common;

use std::os::unix::net::UnixDatagram;

use common::{Home, PATIENCE, Servent, finish, http, until};
use rustix::process::Signal;
use serde_json::json;

/// What a supervisor is told next.
fn told(supervisor: &UnixDatagram) -> String {
    let mut bytes = [0; 2048];
    let len = supervisor.recv(&mut bytes).expect("it is told in time");
    String::from_utf8_lossy(&bytes[..len]).into_owned()
}

/// The first of that kind that is told from now on.
fn told_of(supervisor: &UnixDatagram, what: &str) -> String {
    std::iter::repeat_with(|| told(supervisor)).find(|told| told.starts_with(what)).expect("endless")
}

fn supervised(home: &Home, args: &[&str]) -> (Servent, UnixDatagram) {
    let socket = home.join("notify");
    let supervisor = UnixDatagram::bind(&socket).expect("a socket");
    supervisor.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut command = home.command();
    command.args(["up", "--json", "--listen", "127.0.0.1:0", "--api", "127.0.0.1:0", "--yes"]).args(args);
    command.env("NOTIFY_SOCKET", &socket).env("WATCHDOG_USEC", "400000");
    let servent = home.ready(command).unwrap_or_else(|ended| panic!("{}", ended.stderr));
    (servent, supervisor)
}

#[test]
fn its_supervisor_hears_of_ready_life_reload_and_end() {
    let home = Home::new();
    let (servent, supervisor) = supervised(&home, &[]);
    let ready = told_of(&supervisor, "READY=1");
    assert!(ready.contains(&servent.listen()), "{ready}");
    told_of(&supervisor, "WATCHDOG=1");
    servent.signal(Signal::HUP);
    told_of(&supervisor, "RELOADING=1");
    told_of(&supervisor, "READY=1");
    servent.signal(Signal::TERM);
    told_of(&supervisor, "STOPPING=1");
    assert_eq!(servent.ended(), 0);
}

#[test]
fn hang_up_reads_the_settings_again_and_says_what_has_to_wait() {
    let home = Home::new();
    let folder = home.folder("things", &[("a.txt", b"a"), ("b.iso", b"b")]);
    let folder = folder.to_string_lossy();
    let (servent, supervisor) = supervised(&home, &["--share", &folder, "--ttl", "3"]);
    servent.hashed(2);
    let config = home.join("config.toml");
    let reload = |text: &str| {
        std::fs::write(&config, text).expect("written");
        servent.signal(Signal::HUP);
        told_of(&supervisor, "RELOADING=1");
        told_of(&supervisor, "READY=1")
    };
    let words =
        reload("limit_up = \"500K\"\nexclude = [\"*.iso\"]\nlog = \"filbert::net=debug\"\nrole = \"leaf\"\nttl = 5\n");
    // A flag still beats the file.
    assert!(words.contains("changed: exclude, limit_up, log; from the next start on: role"), "{words}");
    assert_eq!(servent.get("/api/v1/limits")["up_bps"], 500_000);
    servent.hashed(1);
    // Who writes one of these by command is told how it comes into force; of others, when.
    for (key, value, when) in [("ttl", "2", "SIGHUP"), ("role", "leaf", "next start")] {
        let said = home.run(&["config", "set", key, value]).expect(0).stderr;
        assert!(said.contains(when), "{said}");
    }
    servent.signal(Signal::HUP);
    let words = told_of(&supervisor, "READY=1");
    assert!(words.contains("the settings were read again"), "{words}");
    let words = reload("limit_up = \"fast\"\n");
    assert!(words.contains("stay as they were") && words.contains("limit_up"), "{words}");
    assert_eq!(servent.get("/api/v1/limits")["up_bps"], 500_000);
    reload("");
    assert_eq!(servent.get("/api/v1/limits")["up_bps"], json!(null));
    servent.hashed(2);
    assert_eq!(servent.interrupt(), 0);
}

#[test]
fn levels_that_were_typed_stay_when_the_settings_are_read_again() {
    let home = Home::new();
    let (servent, supervisor) = supervised(&home, &["-v"]);
    std::fs::write(home.join("config.toml"), "log = \"off\"\n").expect("written");
    servent.signal(Signal::HUP);
    let words = told_of(&supervisor, "RELOADING=1") + &told_of(&supervisor, "READY=1");
    assert!(words.contains("nothing that can be changed now has changed"), "{words}");
    assert_eq!(servent.interrupt(), 0);
}

#[test]
fn a_hang_up_is_heard_as_soon_as_it_is_ready() {
    for _ in 0..10 {
        let home = Home::new();
        let (servent, supervisor) = supervised(&home, &[]);
        servent.signal(Signal::HUP);
        told_of(&supervisor, "RELOADING=1");
        assert_eq!(servent.interrupt(), 0);
    }
}

#[test]
fn each_subsystem_can_be_heard_by_itself() {
    let source = Home::new();
    let folder = source.folder("music", &[("blue train.ogg", &common::noise(300_000, 7))]);
    let source = source.up(&["--share", &folder.display().to_string()]);
    source.hashed(1);
    let told = |levels: &str| {
        let home = Home::new();
        let log = home.join("told");
        let mut up = home.command();
        up.args(["up", "--json", "--listen", "127.0.0.1:0", "--api", "127.0.0.1:0", "--connect", &source.listen()]);
        up.env("FILBERT_LOG", levels).stderr(std::fs::File::create(&log).expect("a file"));
        let servent = home.ready(up).unwrap_or_else(|ended| panic!("{}", ended.stderr));
        servent.linked(1);
        home.run(&["get", "--best", "blue train"]).expect(0);
        assert_eq!(servent.interrupt(), 0);
        std::fs::read_to_string(log).expect("the log")
    };
    for (part, words) in
        [("net", "is a neighbour"), ("app", "download 1 is done"), ("web", "POST /api/v1/transfers/many: 200")]
    {
        let log = told(&format!("off,filbert::{part}=debug"));
        assert!(log.contains(words), "{part}: {log}");
        let mut lines = log.lines().filter(|line| line.starts_with('['));
        assert!(lines.all(|line| line.contains(&format!(" filbert::{part}"))), "{part} alone: {log}");
    }
}

#[test]
fn what_is_sent_is_sent_to_its_end_and_nobody_new_is_served() {
    let (home_a, home_b) = (Home::new(), Home::new());
    let folder = home_b.folder("music", &[("train.ogg", &[7; 150_000]), ("other.ogg", &[8; 150_000])]);
    let mut command = home_b.command();
    command.args(["up", "--json", "--listen", "127.0.0.1:0", "--api", "127.0.0.1:0", "--only-listed", "--yes"]);
    command.arg("--share").arg(&folder).env("FILBERT_LIMIT_UP", "60K");
    let b = home_b.ready(command).unwrap_or_else(|ended| panic!("{}", ended.stderr));
    b.hashed(2);
    let a = home_a.up(&["--only-listed", "--connect", &b.listen()]);
    a.linked(1);
    let found = home_a.run(&["search", "ogg", "--json", "--max", "2"]).expect(0).lines();
    let urn = |name: &str| found.iter().find(|hit| hit["name"] == name).expect(name)["urn"].as_str().map(str::to_owned);
    let link = |name: &str| format!("/uri-res/N2R?{}", urn(name).expect("a urn"));
    let what = format!("http://{}{}", b.listen(), link("train.ogg"));
    let (status, transfer) = a.call("POST", "/api/v1/transfers", &json!({ "what": what }).to_string());
    assert_eq!(status, 201, "{transfer}");
    let uploads = || b.get("/api/v1/transfers");
    until("it is sent", || uploads().as_array()?.iter().any(|up| up["state"] == "uploading").then_some(()));
    let (peer, other) = (b.listen(), link("other.ogg"));
    b.signal(Signal::TERM);
    let state = || a.get(&format!("/api/v1/transfers/{}", transfer["id"]))["state"].as_str().map(str::to_owned);
    // The control API is the first to go; from then on nobody new is served, while that one is.
    let api = b.api();
    until("the control API is gone", || std::net::TcpStream::connect(api).is_err().then_some(()));
    until("nobody new is served", || {
        let answer = http(peer.parse().ok()?, format!("GET {other} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
        (answer.status == 503).then_some(())
    });
    until("the first one is whole", || (state()? == "done").then_some(()));
    assert_eq!(b.ended(), 0);
}

#[test]
fn a_second_signal_does_not_wait() {
    let home = Home::new();
    let folder = home.folder("music", &[("train.ogg", &[7; 1_000_000])]);
    let mut command = home.command();
    command.args(["up", "--json", "--listen", "127.0.0.1:0", "--api", "127.0.0.1:0", "--only-listed", "--yes"]);
    command.arg("--share").arg(&folder).env("FILBERT_LIMIT_UP", "1K");
    let b = home.ready(command).unwrap_or_else(|ended| panic!("{}", ended.stderr));
    b.hashed(1);
    let mut reader = std::net::TcpStream::connect(b.listen()).expect("it listens");
    let urn = filbert::wire::Digests::of(&[7; 1_000_000]).sha1;
    let request = format!("GET /uri-res/N2R?urn:sha1:{urn} HTTP/1.1\r\nHost: x\r\n\r\n");
    std::io::Write::write_all(&mut reader, request.as_bytes()).expect("sent");
    until("it is sent", || {
        b.get("/api/v1/transfers").as_array()?.iter().any(|up| up["state"] == "uploading").then_some(())
    });
    let api = b.api();
    b.signal(Signal::TERM);
    until("the control API is gone", || std::net::TcpStream::connect(api).is_err().then_some(()));
    b.signal(Signal::TERM);
    assert_eq!(b.ended(), 0);
}

#[test]
fn cron_gets_an_exit_code_and_words() {
    let (home_a, home_b) = (Home::new(), Home::new());
    assert_eq!(home_a.run(&["status", "--check"]).code, 7, "no servent runs");
    let b = home_b.up(&["--only-listed"]);
    let a = home_a.up(&["--only-listed", "--connect", &b.listen()]);
    a.linked(1);
    let well = home_a.run(&["status", "--check", "-q"]).expect(0);
    assert_eq!((well.stdout.as_str(), well.stderr.as_str()), ("", ""));
    let well = home_a.run(&["status", "--check", "--json"]).expect(0);
    assert_eq!(well.lines()[0]["neighbours"], 1);
    b.kill();
    a.linked(0);
    let ill = home_a.run(&["status", "--check", "-q"]).expect(1);
    assert!(ill.stdout.is_empty() && ill.stderr.contains("not well: neighbours"), "{}", ill.stderr);
}

#[test]
fn a_second_home_takes_the_next_free_ports() {
    let (first, second) = (Home::new(), Home::new());
    let plain = |home: &Home| {
        let mut command = home.command();
        command.args(["up", "--json", "--only-listed"]);
        home.ready(command).unwrap_or_else(|ended| panic!("{}", ended.stderr))
    };
    let (a, b) = (plain(&first), plain(&second));
    assert_ne!(a.listen(), b.listen());
    assert_ne!(a.api(), b.api());
    // Each home's commands find its own.
    for (home, servent) in [(&first, &a), (&second, &b)] {
        let status = home.run(&["config", "get", "api", "--json"]).expect(0).lines();
        assert_eq!(status[0]["key"], "api");
        let found = home.run(&["web", "--print"]).expect(0).stdout;
        assert!(found.starts_with(&format!("http://{}/", servent.api())), "the page of another servent");
    }
}

#[test]
fn what_is_to_be_typed_is_for_this_home() {
    let home = Home::new();
    let path = home.path().display().to_string();
    let doctor = |state: &str| -> Vec<String> {
        let lines = home.run(&["doctor", "--json"]).lines();
        let told = lines.iter().filter(|it| it["state"] == state).filter_map(|it| it["fix"].as_str());
        told.map(str::to_owned).collect()
    };
    assert_eq!(doctor("problem")[0], format!("Start one: `filbert --home {path} up`"));
    let servent = home.up(&["--only-listed"]);
    assert!(doctor("note").contains(&format!("`filbert --home {path} share DIR`")), "{:?}", doctor("note"));
    let said = home.run(&["up"]).expect(1).stderr;
    assert!(said.contains(&format!("`filbert --home {path} down` ends it")), "{said}");
    let said = home.run(&["pause", "77"]).expect(3).stderr;
    assert!(said.contains(&format!("`filbert --home {path} transfers` lists them")), "{said}");
    assert_eq!(
        servent.call("POST", "/api/v1/transfers/77/pause", "").1["error"]["hint"],
        format!("`filbert --home {path} transfers` lists them")
    );
}

#[test]
fn the_doctor_tells_each_thing_once() {
    let home = Home::new();
    let gone = home.folder("gone", &[("a.txt", b"a")]).display().to_string();
    let servent = home.up(&["--only-listed", "--share", &gone]);
    servent.hashed(1);
    std::fs::remove_dir_all(&gone).expect("removed");
    let problems = common::until("it is missed", || {
        let findings = home.run(&["doctor", "--json"]).lines();
        let problems = findings.iter().filter(|it| it["state"] == "problem" && it["check"] != "neighbours");
        let problems: Vec<String> = problems.map(|it| it["what"].to_string()).collect();
        (!problems.is_empty()).then_some(problems)
    });
    assert_eq!(problems, [format!("\"{gone} is not there\"")]);
    let missed = servent.get("/api/v1/status")["warnings"].to_string();
    assert!(missed.contains(&gone), "status still warns of it: {missed}");
}

#[test]
fn the_file_of_settings_is_opened_in_the_editor_and_read_when_it_is_closed() {
    let home = Home::new();
    let edit = |script: &str, code: i32| {
        let editor = home.join("editor");
        std::fs::write(&editor, format!("#!/bin/sh\n{script}\n")).expect("written");
        std::fs::set_permissions(&editor, std::os::unix::fs::PermissionsExt::from_mode(0o700)).expect("ours");
        let mut command = home.command();
        command.args(["config", "edit"]).env_remove("VISUAL").env("EDITOR", &editor);
        finish(command.spawn().expect("the binary starts")).expect(code)
    };
    edit("echo 'ttl = 3' >> \"$1\"", 0);
    assert_eq!(home.run(&["config", "get", "ttl", "--origin"]).expect(0).stdout, "3 (file)\n");
    let text = std::fs::read_to_string(home.join("config.toml")).expect("written");
    assert!(text.contains("# log: how much"), "every setting is in a fresh file: {text}");
    let wrong = edit("echo 'neighbours = \"many\"' >> \"$1\"", 2);
    assert!(wrong.stderr.contains("neighbours") && wrong.stderr.contains("config.toml"), "{}", wrong.stderr);
    edit("exit 3", 1);
}

#[test]
fn saved_searches_are_typed_like_searches() {
    let (home_a, home_b) = (Home::new(), Home::new());
    let folder = home_b.folder("music", &[("blue train.ogg", b"abc"), ("blue train, live.ogg", b"abcd")]);
    let b = home_b.up(&["--only-listed", "--share", &folder.to_string_lossy()]);
    b.hashed(2);
    let a = home_a.up(&["--only-listed", "--connect", &b.listen()]);
    a.linked(1);
    let added = home_a.run(&["watch", "add", "blue", "train", "-live", "--get", "--max", "1M", "--json"]).expect(0);
    assert_eq!((&added.lines()[0]["query"], &added.lines()[0]["max"]), (&json!("blue train -live"), &json!(1_000_000)));
    until("found and fetched", || home_a.join("downloads/blue train.ogg").exists().then_some(()));
    let list = home_a.run(&["watch", "--json"]).expect(0).lines();
    assert_eq!((&list[0]["new"], &list[0]["hits"], &list[0]["fetched"]), (&json!(1), &json!(1), &json!(1)));
    let hits = home_a.run(&["watch", "hits", "1"]).expect(0);
    let json = home_a.run(&["watch", "hits", "1", "--json"]).expect(0).lines();
    let urn = json[0]["urn"].as_str().expect("its content's name");
    // All of it, to be copied.
    assert!(hits.stdout.contains("blue train.ogg") && hits.stdout.contains(urn), "{}", hits.stdout);
    assert!(hits.stdout.lines().all(|line| line.chars().count() <= 80), "{}", hits.stdout);
    let list = home_a.run(&["watch"]).expect(0);
    assert!(list.stdout.contains("blue train -live"), "{}", list.stdout);
    assert_eq!(home_a.run(&["watch", "--json"]).expect(0).lines()[0]["new"], 0);
    home_a.run(&["watch", "pause", "1"]).expect(0);
    assert_eq!(home_a.run(&["watch", "--json"]).expect(0).lines()[0]["paused"], true);
    home_a.run(&["watch", "add", "more", "--get"]).expect(2);
    home_a.run(&["watch", "remove", "7"]).expect(3);
    home_a.run(&["watch", "remove", "1"]).expect(0);
    assert_eq!(home_a.run(&["watch", "--json"]).expect(0).stdout, "");
}
