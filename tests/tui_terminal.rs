//! The full-screen face in a real terminal on a real servent: `tmux` gives the terminal, types and looks.
//! Where there is no tmux, these tests say so and prove nothing.
#![cfg(unix)]

mod common;

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use common::{Home, Servent, until};

const WIDE: &str = "東京の夜景 blue 🎷.txt";

/// A terminal of our own; its server and all in it is gone when dropped.
struct Terminal {
    server: String,
}

impl Terminal {
    /// With a command in it, which a line `ended CODE` and a plain `cat` follow; `None` without tmux.
    fn open(home: &Home, (width, height): (u16, u16), env: &str, command: &str) -> Option<Self> {
        if Command::new("tmux").arg("-V").stdout(Stdio::null()).status().is_err() {
            eprintln!("SKIPPED: there is no tmux here");
            return None;
        }
        // A socket that no other has had: its server may still be on its way out.
        static OPENED: AtomicU32 = AtomicU32::new(0);
        let name = format!("tmux{}", OPENED.fetch_add(1, Ordering::SeqCst));
        let terminal = Self { server: home.join(&name).display().to_string() };
        let line = format!(
            "unset NO_COLOR; {env} FILBERT_PORTMAP=off FILBERT_LAN=false HOME='{home}' '{}' --home '{home}' {command}; \
             echo ended $?; exec cat",
            env!("CARGO_BIN_EXE_filbert"),
            home = home.path().display(),
        );
        let (width, height) = (width.to_string(), height.to_string());
        terminal.tmux(&["new-session", "-d", "-x", &width, "-y", &height, &line]);
        Some(terminal)
    }

    fn tmux(&self, args: &[&str]) -> String {
        let mut tmux = Command::new("tmux");
        // A locale with wide characters, and nobody's settings.
        tmux.args(["-u", "-f", "/dev/null", "-S", &self.server]).args(args).env_remove("TMUX").env("TERM", "xterm");
        let output = tmux.stdin(Stdio::null()).output().expect("tmux runs");
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn keys(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    fn words(&self, words: &str) {
        self.tmux(&["send-keys", "-l", words]);
    }

    /// The screen, without (or with) the sequences that colour it.
    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    fn painted(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-e"])
    }

    #[track_caller]
    fn shows(&self, words: &str) -> String {
        let mut last = String::new();
        let seen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            until(words, || {
                last = self.screen();
                last.contains(words).then_some(())
            });
        }));
        assert!(seen.is_ok(), "{words:?} is not on the screen:\n{last}");
        last
    }

    /// The pid of the program in it, a child of the shell.
    fn pid(&self) -> String {
        let shell = self.tmux(&["display-message", "-p", "#{pane_pid}"]);
        let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", shell.trim())).expect("Linux");
        children.trim().to_owned()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = Command::new("tmux").args(["-S", &self.server, "kill-server"]).stderr(Stdio::null()).status();
    }
}

/// A servent that shares, and one that is linked to it.
fn pair() -> (Home, Home, Servent, Servent) {
    let (near, far) = (Home::new(), Home::new());
    let dir = far.folder("share", &[(WIDE, b"wide"), ("blue one.txt", b"1"), ("blue two.txt", b"22")]);
    let source = far.up(&["--share", &dir.display().to_string(), "--yes"]);
    source.hashed(3);
    let ours = near.up(&["--connect", &source.listen()]);
    ours.linked(1);
    (near, far, ours, source)
}

#[test]
fn search_get_and_look_on_a_small_and_a_large_screen() {
    let (near, _far, _ours, _source) = pair();
    let Some(terminal) = Terminal::open(&near, (80, 24), "", "tui") else { return };
    terminal.shows("1 peer");
    terminal.keys(&["/"]);
    terminal.words("blue");
    terminal.keys(&["Enter"]);
    let screen = terminal.shows("3 hits of 3 files");
    // The columns behind a wide name stand where they stand behind others.
    let column = |row: &str| row.find(" B ").map(|at| unicode_width::UnicodeWidthStr::width(&row[..at]));
    let rows: Vec<&str> = screen.lines().filter(|row| row.contains("blue ") && row.contains(" B ")).collect();
    assert_eq!(rows.len(), 3, "{screen}");
    assert!(rows.iter().all(|row| column(row) == column(rows[0])), "{screen}");
    assert!(screen.contains(WIDE), "{screen}");
    terminal.keys(&["m"]);
    terminal.shows("copied: magnet:?");
    terminal.keys(&["Space", "Space"]);
    terminal.shows("2 selected");
    terminal.keys(&["Enter"]);
    terminal.keys(&["3"]);
    terminal.shows("2 transfers, 0 active");
    assert_eq!(
        std::fs::read_dir(near.join("downloads"))
            .expect("the folder")
            .filter(|entry| { entry.as_ref().is_ok_and(|entry| entry.path().is_file()) })
            .count(),
        2
    );
    terminal.tmux(&["resize-window", "-x", "200", "-y", "50"]);
    terminal.shows("SRC  PEER");
    until("the keys in the last of fifty lines", || {
        (terminal.screen().lines().position(|line| line.starts_with("p pause")) == Some(49)).then_some(())
    });
    terminal.tmux(&["resize-window", "-x", "60", "-y", "12"]);
    terminal.shows("[3 Transfers] 4  5  6  7  8");
    until("nothing is wider than the screen", || {
        let screen = terminal.screen();
        screen.lines().all(|line| unicode_width::UnicodeWidthStr::width(line) <= 60).then_some(())
    });
    terminal.keys(&["5"]);
    terminal.shows("1 peer connected");
    terminal.keys(&["b"]);
    terminal.shows("all of 127.0.0.1");
    terminal.keys(&["t"]);
    terminal.shows("[turtle]");
    terminal.keys(&["?"]);
    terminal.shows("Everywhere");
    assert!(terminal.painted().contains("\x1b["), "a terminal with colours is painted");
    terminal.keys(&["q"]);
    terminal.shows("ended 0");
}

#[test]
fn without_colours_marks_and_words_say_it_all() {
    let (near, _far, _ours, _source) = pair();
    let Some(terminal) = Terminal::open(&near, (80, 24), "NO_COLOR=1", "tui") else { return };
    terminal.keys(&["4", "1", "/"]);
    terminal.words("nothing like this");
    terminal.keys(&["Enter"]);
    terminal.shows("Nothing found");
    terminal.keys(&["t"]);
    terminal.shows("the turtle is on");
    let painted = terminal.painted();
    for sequence in painted.split("\x1b[").skip(1) {
        let codes = sequence.split('m').next().unwrap_or_default();
        // Bold, faint, underlined, reversed and their ends; no foreground or background.
        assert!(
            codes
                .split(';')
                .all(|code| matches!(code, "" | "0" | "1" | "2" | "4" | "7" | "22" | "24" | "27" | "39" | "49")),
            "{codes:?}"
        );
    }
}

/// A press and a release of the left button at that column and row (from 1), as a terminal tells them (SGR).
fn click(terminal: &Terminal, x: u16, y: u16) {
    terminal.words(&format!("\x1b[<0;{x};{y}M\x1b[<0;{x};{y}m"));
}

#[test]
fn filters_the_mouse_saved_searches_shares_and_limits() {
    let (near, _far, _ours, _source) = pair();
    let Some(terminal) = Terminal::open(&near, (80, 24), "", "tui") else { return };
    terminal.shows("1 peer");
    terminal.keys(&["/"]);
    terminal.words("blue");
    terminal.keys(&["Enter"]);
    terminal.shows("3 hits of 3 files, 1 peer asked");
    terminal.keys(&["f"]);
    terminal.words("two");
    terminal.shows("2 hidden (filter two); Esc shows all");
    until("what does not fit is hidden", || (!terminal.screen().contains("blue one")).then_some(()));
    // The first escape ends the line and its filter.
    terminal.keys(&["Escape"]);
    // The picture is whole: all three are there, and of the filter nothing.
    let at = until("all three, without a filter", || {
        let screen = terminal.screen();
        let row = |name: &str| screen.lines().position(|line| line.contains(name));
        let whole = row("blue one").is_some() && screen.matches("blue").count() >= 3 && !screen.contains("hidden (");
        row("blue two").filter(|_| whole)
    });
    click(&terminal, 10, u16::try_from(at + 1).expect("small"));
    until("the row that was clicked", || terminal.screen().lines().nth(at)?.starts_with("> ").then_some(()));
    terminal.keys(&["w"]);
    // The second tab.
    click(&terminal, 14, 2);
    terminal.shows("1 saved search");
    terminal.keys(&["s"]);
    terminal.shows("the terminal selects text");
    let dir = near.folder("mine", &[("mine.txt", b"m")]);
    terminal.keys(&["4", "n"]);
    terminal.words(&dir.display().to_string());
    terminal.keys(&["Enter"]);
    terminal.shows("Share 1 file, 1 B, of");
    terminal.keys(&["y"]);
    terminal.shows("1 folder shared");
    terminal.keys(&["6"]);
    terminal.shows("What strangers see: 1 file, read over the wire");
    terminal.shows("mine.txt");
    terminal.keys(&["7", "d"]);
    terminal.words("500K");
    terminal.keys(&["Enter"]);
    terminal.shows("down 488.3 KiB/s");
    terminal.keys(&["q"]);
    terminal.shows("ended 0");
    assert!(!terminal.tmux(&["display-message", "-p", "#{mouse_any_flag}"]).contains('1'), "the mouse is given back");
}

#[test]
fn a_whole_folder_its_parts_and_what_is_wrong() {
    for (size, last) in [((80, 24), 21), ((200, 50), 47)] {
        let (near, far) = (Home::new(), Home::new());
        let dir = far.folder("share", &[("other.txt", b"3")]);
        far.folder("share/Blue", &[("one.txt", &[1; 300_000])]);
        far.folder("share/Blue/Live", &[("two.txt", &[2; 3000])]);
        let source = far.up(&["--share", &dir.display().to_string(), "--yes"]);
        source.hashed(3);
        let ours = near.up(&["--connect", &source.listen()]);
        ours.linked(1);
        let Some(terminal) = Terminal::open(&near, size, "NO_COLOR=1", "tui") else { return };
        terminal.shows("1 peer");
        terminal.keys(&["5"]);
        terminal.shows("1 peer connected");
        terminal.keys(&["b"]);
        terminal.shows("3 hits of 3 files");
        terminal.keys(&["f"]);
        terminal.words("one");
        terminal.keys(&["Enter"]);
        terminal.shows("2 hidden (filter one)");
        // What a filter hides belongs to the folder all the same.
        terminal.keys(&["F"]);
        terminal.shows("Get 2 files, 295.9 KiB, of Blue? [y/N]");
        terminal.keys(&["y"]);
        terminal.keys(&["3", "b"]);
        terminal.shows("2 transfers, 0 active");
        until("the folders as they are there", || {
            let there = |path| std::fs::metadata(near.join("downloads").join(path)).map_or(0, |file| file.len());
            ((there("Blue/one.txt"), there("Blue/Live/two.txt")) == (300_000, 3000)).then_some(())
        });
        let screen = terminal.shows("there, 0 coming in, 0 asked for, 0 missing");
        assert!(screen.lines().any(|line| !line.is_empty() && line.chars().all(|sign| sign == '█')), "{screen}");
        assert!(screen.contains("█ there  ▄ some of it  ▒ coming in  1-9 asked of that source  · missing"), "{screen}");
        terminal.keys(&["9"]);
        terminal.shows("Is all well?");
        terminal.shows("> ok         servent");
        // A screen may be seen half drawn.
        terminal.shows("── servent: ok ──");
        terminal.keys(&["Down"]);
        // All that runs here listens on loopback, which is worth a note and has a fix.
        terminal.shows("── port: note ──");
        let home = near.path().display();
        let screen = terminal.shows(&format!("-> `filbert --home {home} up --listen 0.0.0.0:6346` lets others in"));
        assert!(screen.lines().nth(last).is_some_and(|line| line.starts_with("-> ")), "{screen}");
        assert_eq!(screen.lines().last(), Some("r look again  / search  t turtle  ? help  q quit"));
        terminal.keys(&["q"]);
        terminal.shows("ended 0");
    }
}

#[test]
fn a_signal_leaves_the_terminal_as_it_was() {
    let (near, _far, _ours, _source) = pair();
    for (signal, name) in [(rustix::process::Signal::TERM, "TERM"), (rustix::process::Signal::HUP, "HUP")] {
        let Some(terminal) = Terminal::open(&near, (80, 24), "", "tui") else { return };
        terminal.shows("1 peer");
        let pid = terminal.pid().parse().ok().and_then(rustix::process::Pid::from_raw).expect("a process");
        rustix::process::kill_process(pid, signal).expect("ours");
        terminal.shows("ended 130");
        // A terminal in its usual state shows what is typed, and a line at a time goes to the program.
        terminal.words(name);
        terminal.keys(&["Enter"]);
        until("echoed by the terminal and by cat", || (terminal.screen().matches(name).count() == 2).then_some(()));
        terminal.tmux(&["kill-server"]);
    }
}

#[test]
fn without_a_servent_it_asks_before_it_starts_one() {
    let home = Home::new();
    std::fs::write(home.join("config.toml"), "listen = \"127.0.0.1:0\"\napi = \"127.0.0.1:0\"\n").expect("written");
    let Some(terminal) = Terminal::open(&home, (80, 24), "", "tui") else { return };
    terminal.shows("Enter starts one in the background");
    terminal.keys(&["q", "Enter"]);
    terminal.shows("ended 7");
    terminal.tmux(&["kill-server"]);
    let Some(terminal) = Terminal::open(&home, (80, 24), "", "tui") else { return };
    terminal.shows("Enter starts one in the background");
    terminal.keys(&["Enter"]);
    terminal.shows("no peers");
    home.run(&["down"]).expect(0);
    terminal.shows("the servent does not answer");
    terminal.keys(&["q"]);
    terminal.shows("ended 0");
    home.run(&["status"]).expect(7);
}

#[test]
fn who_shares_what_looks_private_is_asked_what_of_it() {
    // More than are named in one look.
    let keys: Vec<String> = (0..27).map(|n| format!("id_rsa [{n}]")).collect();
    let mut files: Vec<(&str, &[u8])> = keys.iter().map(|name| (name.as_str(), b"key".as_slice())).collect();
    files.extend([("song.ogg", b"la".as_slice()), ("other.ogg", b"lala".as_slice())]);
    for (answer, code, shared) in [("x", 0, Some((2, 27))), ("a", 0, Some((29, 0))), ("y", 6, None), ("", 6, None)] {
        let home = Home::new();
        let dir = home.folder("mine", &files);
        let Some(terminal) = Terminal::open(&home, (100, 24), "", &format!("share '{}'", dir.display())) else {
            return;
        };
        let screen = terminal.shows("[x/a/N]");
        assert!(screen.contains("29 files") && screen.contains("Looks private: id_rsa"), "{screen}");
        terminal.words(answer);
        terminal.keys(&["Enter"]);
        terminal.shows(&format!("ended {code}"));
        let shares = home.run(&["shares", "--json"]).expect(0).lines();
        let found = shares.first().map(|share| {
            let excluded = share["exclude"].as_array().map_or(0, Vec::len);
            (share["files"].as_u64().expect("a number"), excluded)
        });
        assert_eq!(found, shared, "{answer:?}: {shares:?}");
    }
    // Nobody is asked who does not look, or has answered before.
    let home = Home::new();
    let dir = home.folder("mine", &files);
    for (how, code) in [("--json", 6), ("| cat; false", 1), ("--yes", 0)] {
        let Some(terminal) = Terminal::open(&home, (100, 24), "", &format!("share '{}' {how}", dir.display())) else {
            return;
        };
        let screen = terminal.shows(&format!("ended {code}"));
        assert!(!screen.contains("[x/a/N]"), "{screen}");
        assert_eq!(home.run(&["shares", "--json"]).expect(0).lines().len(), usize::from(code == 0), "{how}");
    }
}

#[test]
fn without_a_terminal_it_says_what_to_use_instead() {
    let home = Home::new();
    let ended = home.run(&["tui"]).expect(2);
    assert!(ended.stderr.contains("no terminal") && ended.stderr.contains("--json"), "{}", ended.stderr);
    assert!(ended.stdout.is_empty());
}
