//! The support bundle, and who may read what filbert leaves on the disk.
#![cfg(unix)]

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use common::Home;

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
    let servent = home.up(&["--share", &dir.display().to_string(), "--yes", "--connect", &source.listen()]);
    servent.linked(1);
    servent.hashed(1);
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
