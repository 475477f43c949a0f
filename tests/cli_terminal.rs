//! What a person is asked at a terminal. `script` (of util-linux) gives the command one.
#![cfg(unix)]

mod common;

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use common::Home;

#[test]
fn alone_at_a_terminal_it_says_in_four_lines_what_to_do() {
    let home = Home::new();
    let binary = Path::new(env!("CARGO_BIN_EXE_filbert"));
    let mut terminal = Command::new("script");
    terminal.args(["-qec", &format!("'{}' --no-color", binary.display()), "/dev/null"]).env("HOME", home.path());
    // A terminal that stays open while the command runs.
    terminal.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = terminal.spawn().expect("script starts");
    let keyboard = child.stdin.take();
    let ended = common::finish(child);
    drop(keyboard);
    let lines: Vec<&str> = ended.stdout.lines().map(str::trim_end).collect();
    assert_eq!((ended.code, lines.len()), (0, 4), "{}", ended.stdout);
    assert!(lines.iter().all(|line| line.chars().count() <= 80), "{lines:#?}");
    for command in ["filbert share DIR", "filbert up --detach", "filbert tui", "filbert search"] {
        assert!(ended.stdout.contains(command), "{command}");
    }
    assert_eq!(std::fs::read_dir(home.path()).expect("the home").count(), 0, "looking leaves nothing behind");
}

#[test]
fn up_in_the_background_prints_the_address_of_the_page_at_a_terminal_and_nowhere_else() {
    let home = Home::new();
    let up = "up --detach --listen 127.0.0.1:0 --api 127.0.0.1:0 --no-lan";
    let command = format!("'{}' --home '{}' {up}", env!("CARGO_BIN_EXE_filbert"), home.path().display());
    let mut terminal = Command::new("script");
    terminal.args(["-qec", &command, "/dev/null"]).env("HOME", home.path()).env("FILBERT_PORTMAP", "off");
    let ended = common::finish(terminal.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("script starts"));
    let page = home.run(&["web", "--print"]).expect(0).stdout;
    let token = std::fs::read_to_string(home.join("state/token")).expect("a token");
    assert!(page.contains(token.trim()), "{page}");
    assert!(ended.stdout.contains(&format!("page        {}", page.trim())), "{}", ended.stdout);
    let log = std::fs::read_to_string(home.join("state/log")).expect("a log");
    home.run(&["down"]).expect(0);
    // What is not a terminal may be kept or read by others.
    let mut piped = home.command();
    let ended = common::finish(piped.args(up.split(' ')).spawn().expect("the binary starts")).expect(0);
    home.run(&["down"]).expect(0);
    let pointed = format!("(open it with filbert --home {} web)", home.path().display());
    assert!(ended.stdout.contains(&pointed), "{}", ended.stdout);
    for (what, text) in [("the log", &log), ("stdout", &ended.stdout), ("stderr", &ended.stderr)] {
        assert!(!text.contains(token.trim()), "{what} tells the token");
    }
}

#[test]
fn a_password_is_typed_twice_and_seen_never() {
    let home = Home::new();
    let command = format!("'{}' --home '{}' password", env!("CARGO_BIN_EXE_filbert"), home.path().display());
    let typed = |first: &str, second: &str| {
        let mut terminal = Command::new("script");
        terminal.args(["-qec", &command, "/dev/null"]).env("HOME", home.path());
        let mut child = terminal.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("script starts");
        let (mut keys, mut screen) = (child.stdin.take().expect("keys"), child.stdout.take().expect("a screen"));
        let mut seen = Vec::new();
        for (prompt, word) in [("New password: ", first), ("The same again: ", second)] {
            while !String::from_utf8_lossy(&seen).contains(prompt) {
                let mut byte = [0];
                if screen.read(&mut byte).expect("read") == 0 {
                    break;
                }
                seen.push(byte[0]);
            }
            let _ = keys.write_all(format!("{word}\r").as_bytes());
        }
        screen.read_to_end(&mut seen).expect("read");
        let seen = String::from_utf8_lossy(&seen).into_owned();
        for word in [first, second] {
            assert!(!seen.contains(word), "{seen}");
        }
        (child.wait().expect("ended").code(), seen, home.join("state/password").exists())
    };
    let (code, seen, kept) = typed("correct horse", "correct house");
    assert!(code == Some(2) && seen.contains("not the same") && !kept, "{seen}");
    let (code, seen, kept) = typed("wei\u{df}er h\u{f6}rnchen", "wei\u{df}er h\u{f6}rnchen");
    assert!(code == Some(0) && seen.contains("the password is set") && kept, "{seen}");
    let (code, _, _) = typed("corr\u{3}", "never read");
    assert_eq!(code, Some(130), "Ctrl-C");
}

#[test]
fn a_dumb_terminal_gets_lines_instead_of_a_bar() {
    let (home, other) = (Home::new(), Home::new());
    let dir = other.folder("music", &[("blue train.ogg", &common::noise(300_000, 7))]);
    let source = other.up(&["--share", &dir.display().to_string()]);
    source.hashed(1);
    let near = home.up(&["--connect", &source.listen()]);
    near.linked(1);
    let binary = env!("CARGO_BIN_EXE_filbert");
    let command = format!("'{binary}' --home '{}' get --best 'blue train'", home.path().display());
    let mut terminal = Command::new("script");
    terminal.args(["-qec", &command, "/dev/null"]).env("HOME", home.path()).env("TERM", "dumb");
    let ended = common::finish(terminal.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("script starts"));
    assert_eq!(ended.code, 0, "{}", ended.stdout);
    assert!(ended.stdout.contains("filbert: blue train.ogg ") && !ended.stdout.contains('\x1b'), "{:?}", ended.stdout);
}

/// Runs `share DIR` at a terminal where somebody types `answer`. Its code, and all that was on the screen.
fn share_and_answer(home: &Home, dir: &Path, answer: &str) -> (i32, String) {
    let quoted = |path: &Path| format!("'{}'", path.display());
    let binary = Path::new(env!("CARGO_BIN_EXE_filbert"));
    let command = format!("{} --home {} share {}", quoted(binary), quoted(home.path()), quoted(dir));
    let mut terminal = Command::new("script");
    terminal.args(["-qec", &command, "/dev/null"]).env("HOME", home.path());
    let mut child =
        terminal.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("script starts");
    let mut keyboard = child.stdin.take().expect("a keyboard");
    keyboard.write_all(answer.as_bytes()).expect("typed");
    let ended = common::finish(child);
    drop(keyboard);
    (ended.code, ended.stdout)
}

#[test]
fn at_a_terminal_a_folder_is_shared_only_after_a_yes() {
    let home = Home::new();
    let dir = home.folder("music", &[("blue train.flac", b"12345")]);
    for (answer, shared) in [("\n", false), ("n\n", false), ("what\n", false), ("y\n", true)] {
        let (code, screen) = share_and_answer(&home, &dir, answer);
        assert!(screen.contains("Share it? [y/N]") && screen.contains("1 file"), "{screen}");
        assert_eq!(code == 0, shared, "{answer:?}: {screen}");
        let shares = home.run(&["shares", "--json"]).lines();
        assert_eq!(!shares.is_empty(), shared, "{answer:?}: {shares:?}");
    }
}
