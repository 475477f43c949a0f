//! The support bundle, and who may read what filbert leaves on the disk.
#![cfg(unix)]

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use common::{Home, finish, until};

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).permissions().mode() & 0o777
}

#[test]
fn the_bundle_tells_much_and_no_secret() {
    let (home, other) = (Home::new(), Home::new());
    let source = other.up(&[]);
    let dir = home.folder("very private folder", &[("diary of mine.txt", b"dear diary")]);
    std::fs::write(home.join("config.toml"), "encrypt = \"prefer\"\nconnect = [\"hidden-friend.example:1234\"]\n")
        .expect("written");
    let servent = home.up(&[
        "--share",
        &dir.display().to_string(),
        "--yes",
        "--connect",
        &source.listen(),
        "--connect",
        "flagged-friend.invalid",
    ]);
    servent.linked(1);
    servent.hashed(1);
    common::until("a warning names the host", || {
        servent.get("/api/v1/status")["warnings"].to_string().contains("flagged-friend").then_some(())
    });
    home.run(&["search", "words", "of", "mine", "--wait", "0.1"]).expect(3);
    let status = servent.get("/api/v1/status");
    let (guid, key) = (status["servent"].as_str().expect("a GUID"), status["key"].as_str().expect("a key"));
    // What a log could carry.
    let token = servent.token();
    let log = format!(
        "warning: token {token}\nlost 203.0.113.77:6346\nlost [2001:db8::77]:6346\nguid {guid}, key {key}\n\
         dialled hidden-friend.example\n{}\nurn:sha1:PLSTHIPQGSSZTS5FJUPAKUZWUGYQYPFB\n",
        home.path().display()
    );
    std::fs::write(home.join("state/log"), log).expect("written");

    // What is wrong with a folder would be told with its name.
    std::fs::remove_dir_all(&dir).expect("removed");
    common::until("it is missed", || (servent.get("/api/v1/shares")[0]["state"] == "missing").then_some(()));
    let file = home.join("bundle.txt");
    let said = home.run(&["doctor", "--bundle", &file.display().to_string()]).expect(0);
    assert!(said.stdout.is_empty() && said.stderr.contains("read it before"), "{}", said.stderr);
    let bundle = std::fs::read_to_string(&file).expect("written");
    let home_path = home.path().display().to_string();
    let secrets = [
        token.trim(),
        guid,
        key,
        "203.0.113.77",
        "2001:db8::77",
        "hidden-friend",
        "flagged-friend",
        "diary",
        "very private",
        "words",
        &home_path,
        "PLSTHIPQGSSZTS5FJUPAKUZWUGYQYPFB",
    ];
    for secret in secrets {
        assert!(!bundle.contains(secret), "{secret:?} is in the bundle:\n{bundle}");
        assert!(!bundle.to_lowercase().contains(&secret.to_lowercase()), "{secret:?} is in the bundle:\n{bundle}");
    }
    for told in [
        "== program",
        "== doctor",
        "== settings",
        "== status",
        "== peers",
        "== shares",
        "== log",
        "203.0.x.x:6346",
        "(a shared folder) is not there",
        "(token)",
    ] {
        assert!(bundle.contains(told), "{told:?} is not in the bundle:\n{bundle}");
    }
    assert_eq!(mode(&file), 0o600);
    // A name alone is a file in the folder where one is.
    let mut here = home.command();
    here.args(["doctor", "--bundle", "here.txt"]).current_dir(home.path());
    finish(here.spawn().expect("the binary starts")).expect(0);
    assert_eq!(mode(&home.join("here.txt")), 0o600);
    // A file that is there is left alone; a pipe gets it too; and so does one without a servent.
    home.run(&["doctor", "--bundle", &file.display().to_string()]).expect(6);
    assert!(home.run(&["doctor", "--bundle", "-"]).expect(0).stdout.contains("== status"));
    servent.kill();
    let alone = home.run(&["doctor", "--bundle", "-"]).expect(0).stdout;
    assert!(alone.contains("== log") && !alone.contains("== status") && !alone.contains(token.trim()), "{alone}");
}

#[test]
fn what_is_left_on_the_disk_is_for_its_owner_alone_also_in_the_background() {
    let home = Home::new();
    let ports = ["--listen", "127.0.0.1:0", "--api", "127.0.0.1:0"];
    home.run(&[&["up", "--detach"], &ports[..]].concat()).expect(0);
    let state = home.join("state");
    let token = std::fs::read_to_string(state.join("token")).expect("the token");
    assert_eq!(mode(&state), 0o700);
    for name in ["token", "api.json", "servent.json", "log"] {
        assert_eq!(mode(&state.join(name)) & 0o077, 0, "{name}");
    }
    // Neither the log nor the list of processes knows the token.
    assert!(!std::fs::read_to_string(state.join("log")).expect("the log").contains(token.trim()));
    for process in std::fs::read_dir("/proc").expect("Linux").flatten() {
        for list in ["cmdline", "environ"] {
            let bytes = std::fs::read(process.path().join(list)).unwrap_or_default();
            assert!(!String::from_utf8_lossy(&bytes).contains(token.trim()), "{}", process.path().display());
        }
    }
    home.run(&["down"]).expect(0);
}

/// What a servent may not tell: what opens its API, and the key that proves who it is.
fn secrets(home: &Home) -> Vec<String> {
    let token = std::fs::read_to_string(home.join("state/token")).expect("the token");
    let mut secrets = vec![token.trim().to_owned()];
    // There is one where links are encrypted.
    if let Ok(key) = std::fs::read_to_string(home.join("state/key.json")) {
        let key: serde_json::Value = serde_json::from_str(&key).expect("JSON");
        secrets.push(key["data"].as_str().expect("a key").to_owned());
    }
    assert!(secrets.iter().all(|secret| secret.len() >= 40), "long enough not to be there by chance");
    secrets
}

#[test]
fn the_token_is_in_no_log_at_any_level_and_on_no_command_line() {
    let (home, other) = (Home::new(), Home::new());
    let folder = other.folder("music", &[("blue train.ogg", &common::noise(300_000, 7))]);
    for home in [&home, &other] {
        std::fs::write(home.join("config.toml"), "encrypt = \"prefer\"\n").expect("written");
    }
    let source = other.up(&["--only-listed", "--share", &folder.display().to_string()]);
    source.hashed(1);
    let log = home.join("everything.log");
    let mut up = home.command();
    up.args(["-vvv", "up", "--json", "--only-listed", "--connect", &source.listen()]);
    up.args(["--listen", "127.0.0.1:0", "--api", "127.0.0.1:0"]);
    up.stderr(std::fs::File::create(&log).expect("a file"));
    let servent = home.ready(up).unwrap_or_else(|ended| panic!("{}", ended.stderr));
    servent.linked(1);
    assert_eq!(servent.get("/api/v1/peers")[0]["encrypted"], true);
    let secrets = secrets(&home);
    assert_eq!(secrets.len(), 2, "a token and a key");
    let clean = |what: &str, text: &str| {
        for secret in &secrets {
            assert!(!text.contains(secret.as_str()), "{what} tells a secret");
        }
    };
    let listed = || {
        for process in std::fs::read_dir("/proc").expect("Linux").flatten() {
            let bytes = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            clean("the list of processes", &String::from_utf8_lossy(&bytes));
        }
    };

    // Every way to use it that there is, and each tells all that it can.
    let calls: &[&[&str]] = &[
        &["status"],
        &["search", "blue", "train", "--wait", "1"],
        &["get", "1"],
        &["transfers"],
        &["peers"],
        &["hosts"],
        &["shares"],
        &["config"],
        &["limits", "--up", "1M"],
        &["watch", "add", "other", "words"],
        &["watch"],
        &["browse", "1"],
        &["magnet", "1"],
        &["status", "--check"],
        &["doctor", "--bundle", "-"],
    ];
    for args in calls {
        let child = home.command().arg("-vvv").args(*args).spawn().expect("the binary starts");
        listed();
        let ended = finish(child).expect(0);
        clean(&args.join(" "), &ended.stdout);
        clean(&args.join(" "), &ended.stderr);
    }
    // The page: a browser is given a file of ours, not the address.
    let tools = home.folder("tools", &[("xdg-open", b"#!/bin/sh\necho \"$@\" > \"$0.typed\"\n")]);
    let browser = tools.join("xdg-open");
    std::fs::set_permissions(&browser, PermissionsExt::from_mode(0o700)).expect("ours");
    let mut web = home.command();
    let path = format!("{}:{}", tools.display(), std::env::var("PATH").unwrap_or_default());
    web.args(["-vvv", "web"]).env("DISPLAY", ":0").env("PATH", path);
    let ended = finish(web.spawn().expect("the binary starts")).expect(0);
    clean("web", &(ended.stdout + &ended.stderr));
    let typed = std::fs::read_to_string(tools.join("xdg-open.typed")).expect("the browser was started");
    clean("the browser's command line", &typed);
    assert!(typed.ends_with("state/page.html\n"), "{typed}");
    let (status, _) = servent.call("POST", "/api/v1/session", "");
    assert_eq!(status, 200);
    // A wrong one, one letter off, is not logged either: it may be somebody's typing mistake.
    let wrong = secrets[0].chars().rev().collect::<String>();
    let request =
        format!("GET /api/v1/status HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {wrong}\r\n\r\n", servent.api());
    assert_eq!(common::http(servent.api(), request).status, 401);

    home.run(&["down"]).expect(0);
    let told = std::fs::read_to_string(&log).expect("the log");
    assert!(told.contains("TRACE") && told.contains("DEBUG"), "it was told to tell everything: {told}");
    clean("the log", &told);
    clean("the log", &told.replace(wrong.as_str(), &secrets[0]));
}

#[test]
fn everything_in_a_home_but_settings_and_finished_files_is_for_its_owner_alone() {
    let (home, other) = (Home::new(), Home::new());
    let folder = other.folder("music", &[("blue train.ogg", &common::noise(300_000, 7))]);
    let source = other.up(&["--only-listed", "--share", &folder.display().to_string()]);
    source.hashed(1);
    let mine = home.folder("mine", &[("a.txt", b"abc")]);
    let servent = home.up(&["--only-listed", "--connect", &source.listen()]);
    servent.linked(1);
    home.run(&["share", "--yes", &mine.display().to_string()]).expect(0);
    servent.hashed(1);
    home.run(&["search", "blue", "train", "--max", "1"]).expect(0);
    home.run(&["get", "1"]).expect(0);
    home.run(&["limits", "--down", "20K"]).expect(0);
    home.run(&["get", "1", "--name", "again", "--on-exists", "rename", "--timeout", "1"]);
    home.run(&["watch", "add", "other"]).expect(0);
    home.run(&["config", "set", "ttl", "3"]).expect(0);
    home.run(&["down"]).expect(0);
    until("it is gone", || (home.run(&["status"]).code == 7).then_some(()));
    let mut seen = Vec::new();
    for below in ["state", "cache"] {
        let mut folders = vec![home.join(below)];
        while let Some(dir) = folders.pop() {
            assert_eq!(mode(&dir), 0o700, "{}", dir.display());
            for entry in std::fs::read_dir(&dir).expect("ours").flatten() {
                let path = entry.path();
                if entry.file_type().expect("a type").is_dir() {
                    folders.push(path);
                } else {
                    assert_eq!(mode(&path), 0o600, "{}", path.display());
                    seen.push(entry.file_name().to_string_lossy().into_owned());
                }
            }
        }
    }
    for name in ["token", "servent.json"] {
        assert!(seen.iter().any(|have| have == name), "{name} is not among {seen:?}");
    }
    assert!(seen.len() >= 5, "{seen:?}");
    let settings = std::fs::read_to_string(home.join("config.toml")).expect("settings");
    assert!(secrets(&home).iter().all(|secret| !settings.contains(secret)), "what all may read holds no secret");
}
