//! The command line without a servent: grammar, help, settings, shares, and the exit codes that need nobody.

mod common;

use std::process::Stdio;

use common::{Home, finish};

const COMMANDS: &[&str] = &[
    "up",
    "down",
    "share",
    "unshare",
    "shares",
    "search",
    "get",
    "transfers",
    "pause",
    "resume",
    "cancel",
    "retry",
    "peers",
    "connect",
    "disconnect",
    "hosts",
    "status",
    "doctor",
    "web",
    "password",
    "config",
    "demo",
    "completions",
    "man",
    "tui",
    "version",
    "sim",
];

#[test]
fn every_command_has_help_and_every_help_fits_eighty_columns() {
    let home = Home::new();
    let all = home.run(&["--help"]).expect(0);
    for command in COMMANDS {
        assert!(all.stdout.contains(&format!("    {command}")), "{command} is not in the help");
        let help = home.run(&[command, "--help"]).expect(0);
        assert!(help.stdout.contains("USAGE:"), "{command}");
        assert!(help.stderr.is_empty(), "help is data: {}", help.stderr);
        let wide: Vec<&str> = help.stdout.lines().filter(|line| line.chars().count() > 80).collect();
        assert!(wide.is_empty(), "{command}: {wide:#?}");
        assert!(help.stdout.contains("Example"), "no example in the help of {command}");
    }
}

#[test]
fn alone_without_a_terminal_it_prints_the_help_to_stderr_and_ends_with_two() {
    let home = Home::new();
    let help = home.run(&["--help"]).expect(0).stdout;
    let alone = home.run::<&str>(&[]).expect(2);
    assert_eq!((alone.stdout.as_str(), alone.stderr.trim()), ("", help.trim()));
}

#[test]
fn the_help_says_what_filbert_is_and_which_exit_codes_there_are() {
    let home = Home::new();
    let help = home.run(&["--help"]).expect(0).stdout;
    let second = help.lines().nth(1).unwrap_or_default();
    assert_eq!(second, "A Gnutella servent: share a folder, search your neighbours, fetch from them.");
    let (_, codes) = help.split_once("Exit codes:").expect("the codes are in the help");
    let told: Vec<u8> = codes.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let mut all: Vec<u8> = filbert::cli::Exit::ALL.iter().map(|exit| exit.code()).collect();
    assert_eq!(codes.trim_end().lines().filter(|line| line.chars().count() > 80).count(), 0, "{codes}");
    all.retain(|code| !told.contains(code));
    assert!(all.is_empty() && told.len() == 11, "not told: {all:?}; told: {told:?}");
}

#[test]
fn what_is_mistyped_ends_with_two_and_says_what_was_meant() {
    let home = Home::new();
    let table: &[(&[&str], &str)] = &[
        (&["satus"], "Did you mean 'status'"),
        (&["up", "--shar", "x"], "Did you mean --share"),
        (&["search"], "WORDS"),
        (&["search", "-live"], "-l"),
        (&["search", "--", "-live"], "at least one word"),
        (&["search", "urn:sha1:short"], "urn"),
        (&["search", "blue", "--ttl", "9"], "1 to 7"),
        (&["search", "blue", "--wait", "-1"], "--wait"),
        (&["search", "blue", "--min-size", "lots"], "cannot use --min-size: `lots` is no size: say for example 500K"),
        (&["search", "blue", "size:big"], "say size:>10M"),
        (&["get"], "WHAT"),
        (&["pause", "x"], "ID"),
        (&["peers", "set", "many"], "N"),
        (&["--timeout", "-1", "status"], "--timeout"),
        (&["up", "--role", "king"], "ultrapeer"),
        (&["up", "--ttl", "99"], "1 to 7"),
        (&["config", "set", "neighbours", "many"], "0 to 256"),
        (&["config", "get", "neighbors"], "neighbours"),
        (&["demo", "--nodes", "2"], "8"),
        (&["share", "/etc/hostname"], "folder"),
        (&["get", "--name", "x", "1", "2"], "one by one"),
    ];
    for (args, word) in table {
        let ended = home.run(args);
        assert_eq!(ended.code, 2, "{args:?}: {}", ended.stderr);
        assert!(ended.stderr.starts_with("filbert: "), "{args:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(word), "{args:?}: {}", ended.stderr);
        assert!(ended.stdout.is_empty(), "{args:?}: {}", ended.stdout);
    }
    // Without a terminal: the help, and 2.
    let alone = home.run::<&str>(&[]);
    assert_eq!(alone.code, 2);
    assert!(alone.stderr.contains("SUBCOMMANDS") && alone.stdout.is_empty());
}

#[test]
fn help_is_a_word_too() {
    let home = Home::new();
    for (asked, same) in [(&["help"][..], &["--help"][..]), (&["help", "peers", "set"], &["peers", "set", "--help"])] {
        let help = home.run(asked).expect(0).stdout;
        assert_eq!(help, home.run(same).expect(0).stdout);
        assert!(help.contains("USAGE"), "{help}");
    }
}

#[test]
fn what_needs_a_servent_says_so_and_ends_with_seven() {
    let home = Home::new();
    let table: &[&[&str]] = &[
        &["status"],
        &["down"],
        &["transfers"],
        &["pause", "1"],
        &["resume", "1"],
        &["cancel", "1"],
        &["retry", "1"],
        &["peers"],
        &["peers", "set", "3"],
        &["connect", "127.0.0.1"],
        &["disconnect", "127.0.0.1:1"],
    ];
    for args in table {
        let ended = home.run(args);
        assert_eq!(ended.code, 7, "{args:?}: {}", ended.stderr);
        assert!(ended.stderr.contains("filbert --home") && ended.stderr.contains(" up"), "{args:?}: {}", ended.stderr);
    }
}

#[test]
fn a_killed_servents_files_deceive_nobody() {
    let home = Home::new();
    let servent = home.up(&[]);
    let (api, other_home) = (servent.api(), Home::new());
    servent.kill();
    home.run(&["status"]).expect(7);
    // Another home's servent on the same port is not ours either.
    let _other = other_home.up(&["--api", &api.to_string()]);
    home.run(&["status"]).expect(7);
    other_home.run(&["status"]).expect(0);
}

#[test]
fn global_flags_stand_anywhere() {
    let home = Home::new();
    for args in [["--json", "version"], ["version", "--json"]] {
        let version = home.run(&args).expect(0).lines();
        assert_eq!(version[0]["version"], env!("CARGO_PKG_VERSION"));
    }
    let text = home.run(&["version", "--no-color", "-q"]).expect(0).stdout;
    assert_eq!(text, format!("filbert {}, a Gnutella 0.6 servent\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn settings_come_from_flag_environment_file_and_default_in_this_order() {
    let home = Home::new();
    let origin = |args: &[&str], env: Option<(&str, &str)>| {
        let mut command = home.command();
        command.args(["config", "get", "--origin"]).args(args).envs(env);
        finish(command.spawn().expect("started")).expect(0).stdout
    };
    assert_eq!(origin(&["ttl"], None), "4 (default)\n");
    home.run(&["config", "set", "ttl", "3"]).expect(0);
    assert_eq!(origin(&["ttl"], None), "3 (file)\n");
    assert_eq!(origin(&["ttl"], Some(("FILBERT_TTL", "2"))), "2 (env)\n");
    let servent = home.up(&["--ttl", "1"]);
    assert_eq!(origin(&["ttl"], None), "1 (flag)\n", "of the running servent");
    drop(servent);
    assert_eq!(home.run(&["config", "get", "ttl"]).expect(0).stdout, "3\n");
    let path = home.run(&["config", "path"]).expect(0).stdout;
    assert_eq!(path.trim_end(), home.join("config.toml").display().to_string());
    let shown = home.run(&["config"]).expect(0).stdout;
    for whole in ["ttl = 3  (file)", "connect = \"\"  (default)", "limits.stranger_dials_per_host = 2  (default)"] {
        assert!(shown.lines().any(|line| line == whole), "{whole}: {shown}");
    }
    let all = home.run(&["config", "--json"]).expect(0).lines();
    assert!(all.iter().any(|setting| setting["key"] == "ttl" && setting["value"] == 3 && setting["origin"] == "file"));
}

#[test]
fn the_control_api_is_for_this_machine_alone_unless_it_is_meant_otherwise() {
    let home = Home::new();
    for args in [&["up", "--api", "0.0.0.0:0"][..], &["config", "set", "api", "192.168.1.20:7346"]] {
        let refused = home.run(args).expect(6);
        for said in ["--api-remote", "no password is set", "ssh -L"] {
            assert!(refused.stderr.contains(said), "{}", refused.stderr);
        }
    }
    assert!(!home.join("config.toml").exists());
    home.run(&["config", "set", "api", "[::1]:7346"]).expect(0);
}

#[test]
fn a_folder_is_shared_and_unshared_without_a_servent() {
    let home = Home::new();
    let music = home.folder("music", &[("one.txt", b"1"), ("two.txt", b"22"), (".hidden", b"x")]);
    let music = music.canonicalize().expect("there");
    let dry = home.run(&["share".as_ref(), music.as_os_str(), "--dry-run".as_ref()]).expect(0);
    assert!(dry.stderr.contains("2 files, 3 B") && dry.stderr.contains("hidden 1"), "{}", dry.stderr);
    assert_eq!(home.run(&["shares", "--json"]).expect(0).stdout, "", "a dry run shares nothing");

    home.run(&["share".as_ref(), music.as_os_str()]).expect(0);
    let shares = home.run(&["shares", "--json"]).expect(0).lines();
    assert_eq!((shares.len(), shares[0]["path"].as_str()), (1, music.to_str()));
    assert_eq!((&shares[0]["files"], &shares[0]["bytes"]), (&2.into(), &3.into()));
    let servent = home.up(&[]);
    servent.hashed(2);
    drop(servent);
    home.run(&["unshare".as_ref(), music.as_os_str()]).expect(0);
    assert_eq!(home.run(&["shares", "--json"]).expect(0).stdout, "");
    home.run(&["unshare".as_ref(), music.as_os_str()]).expect(3);
}

#[test]
fn what_looks_private_or_is_too_much_is_refused() {
    let home = Home::new();
    let secrets = home.folder("stuff", &[("id_rsa", b"key"), ("song.txt", b"la")]);
    let refused = home.run(&["share".as_ref(), secrets.as_os_str()]).expect(6);
    assert!(refused.stderr.contains("id_rsa") && refused.stderr.contains("--yes"), "{}", refused.stderr);
    home.run(&["share".as_ref(), secrets.as_os_str(), "--yes".as_ref()]).expect(0);
    for root in ["/", "/etc"] {
        let refused = home.run(&["share", root, "--yes"]).expect(6);
        assert!(refused.stderr.contains("--i-mean-it"), "{}", refused.stderr);
    }
    let state = home.folder("state", &[]);
    home.run(&["share".as_ref(), state.as_os_str(), "--i-mean-it".as_ref()]).expect(6);
    home.run(&["share", "/nonexistent/folder"]).expect(1);
}

#[test]
fn hosts_tell_what_earlier_runs_knew_within_eighty_columns() {
    let home = Home::new();
    let hosts = home.folder("state", &[]).join("hosts.json");
    let data = r#"[{"addr":"[fd00:1111:2222:3333:4444:5555:6666:7777]:65535","teller":"dns-sd","heard":1000000000,
        "tried":1000000000,"outcome":"timed out","failures":7}, "10.0.0.1:6346"]"#;
    std::fs::write(&hosts, format!(r#"{{"filbert":"hosts","version":2,"data":{data}}}"#)).expect("written");
    let table = home.run_narrow(&["hosts"]).expect(0).stdout;
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
    for word in ["TOLD BY", "dns-sd", "timed out", "earlier", "10.0.0.1:6346"] {
        assert!(table.contains(word), "{word}: {table}");
    }
    let told = home.run(&["hosts", "--json"]).expect(0).lines();
    assert_eq!((&told[0]["outcome"], &told[0]["failures"]), (&"timed out".into(), &7.into()));
    assert!(told[0]["age_s"].as_u64() > Some(86_400) && told[0]["tried_s"] == told[0]["age_s"]);
    assert!(told[1]["age_s"].is_null() && told[1]["source"] == "cache" && told[1]["teller"] == "earlier");
    std::fs::write(&hosts, "{").expect("written");
    let damaged = home.run(&["hosts"]).expect(0);
    assert!(damaged.stderr.contains("is kept as"), "{}", damaged.stderr);
}

#[test]
fn in_a_pipe_nothing_is_cut() {
    let home = Home::new();
    let long = format!("{} and its end", "a folder with a name that no screen is wide enough for ".repeat(4));
    let dir = home.folder(&long, &[("a.txt", b"a")]);
    home.run(&["share".as_ref(), dir.as_os_str(), "--yes".as_ref()]).expect(0);
    let whole = home.run(&["shares"]).expect(0).stdout;
    assert!(whole.contains(&dir.display().to_string()), "{whole}");
    let cut = home.run_narrow(&["shares"]).expect(0).stdout;
    assert!(cut.contains('…') && cut.lines().all(|line| line.chars().count() <= 80), "{cut}");
}

#[test]
fn hosts_to_connect_to_may_stand_together_or_apart() {
    let home = Home::new();
    let servent = home.up(&["--only-listed", "--connect", "127.0.0.1:1,127.0.0.1:2", "--connect", "127.0.0.1:3"]);
    let listed = home.run(&["config", "get", "connect", "--json"]).expect(0).lines();
    assert_eq!(listed[0]["value"], serde_json::json!(["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"]));
    assert_eq!(servent.interrupt(), 0);
}

#[test]
fn a_name_for_an_api_that_is_closed_is_told_to_be_of_no_use() {
    let home = Home::new();
    let up = ["up", "--listen", "127.0.0.1:0", "--api", "127.0.0.1:0", "--api-host", "nas.lan", "--timeout", "0.2"];
    let ended = home.run(&up).expect(124);
    assert!(ended.stderr.contains("api_host changes nothing"), "{}", ended.stderr);
}

#[test]
fn hosts_are_imported_without_a_servent() {
    let home = Home::new();
    let file = home.join("hosts.txt");
    std::fs::write(&file, "# friends\n10.1.1.1:6346\n\n10.1.1.2  # the attic\n10.1.1.1:6346\n").expect("written");
    let import = |args: &[&str]| {
        let all: Vec<&std::ffi::OsStr> = ["hosts".as_ref(), "import".as_ref(), file.as_os_str()].into();
        home.run(&all.into_iter().chain(args.iter().map(|arg| arg.as_ref())).collect::<Vec<_>>())
    };
    let report = import(&["--json"]).expect(0).lines();
    let counts = |report: &serde_json::Value| ["named", "added", "known", "refused"].map(|key| report[key].as_u64());
    assert_eq!(counts(&report[0]), [3, 2, 1, 0].map(Some));
    let hosts = home.run(&["hosts", "--json"]).expect(0).lines();
    let addrs: Vec<&str> = hosts.iter().filter_map(|host| host["addr"].as_str()).collect();
    assert_eq!(addrs, ["10.1.1.1:6346", "10.1.1.2:6346"]);
    std::fs::write(&file, b"caf\xe9 \x1b[31m\n\n# x\n0.0.0.0:1\n10.1.1.2\n10.1.1.3\n10.1.1.4:0\n").expect("written");
    let some = import(&[]).expect(8);
    assert!(some.stderr.contains("5 hosts in the file: 1 added, 1 known already, 3 refused"), "{}", some.stderr);
    for line in
        ["line 1: caf\u{fffd} ?[31m: is no host", "line 4: 0.0.0.0:1: no host has", "line 7: 10.1.1.4:0: has no port"]
    {
        assert!(some.stderr.contains(line), "{line} is not in {}", some.stderr);
    }
    assert!(!some.stderr.contains('\u{1b}'), "{:?}", some.stderr);
    let same = import(&["--json"]).expect(8);
    assert_eq!(counts(&same.lines()[0]), [5, 0, 2, 3].map(Some));
    assert_eq!(same.lines()[0]["not_taken"][1]["line"], 4);
    std::fs::write(&file, "no host\n".repeat(25)).expect("written");
    let none = import(&[]).expect(1);
    assert!(none.stderr.contains("line 20: ") && !none.stderr.contains("line 21: "), "{}", none.stderr);
    assert!(none.stderr.contains("5 more lines not taken"), "{}", none.stderr);
    std::fs::write(&file, "# nobody\n").expect("written");
    import(&[]).expect(3);
    home.run(&["hosts", "import", "/nonexistent"]).expect(1);
    std::fs::write(&file, "10.1.1.3\n".repeat(120_000)).expect("written");
    let long = home.run(&["hosts".as_ref(), "import".as_ref(), file.as_os_str()]).expect(1);
    assert!(long.stderr.contains("longer than 1.0 MiB"), "{}", long.stderr);
}

#[test]
fn a_search_with_no_neighbours_says_what_to_do_next() {
    let home = Home::new();
    let lonely = home.run(&["search", "blue", "--wait", "0.3"]).expect(4);
    assert!(
        lonely.stderr.contains("--connect")
            && lonely.stderr.contains(&format!("`filbert --home {} up`", home.path().display())),
        "{}",
        lonely.stderr
    );
    let _servent = home.up(&[]);
    let lonely = home.run(&["search", "blue", "--wait", "0.3", "--json"]).expect(4);
    assert!(lonely.stderr.contains("connect HOST"), "{}", lonely.stderr);
    assert!(lonely.stdout.is_empty());
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let home = Home::new();
    let mut command = home.command();
    command.args(["config"]).stdout(Stdio::piped());
    let mut child = command.spawn().expect("started");
    drop(child.stdout.take());
    let ended = finish(child);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
}

#[cfg(unix)]
#[test]
fn arguments_that_are_no_text_are_a_mistake_of_whoever_typed_them() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let home = Home::new();
    let odd = OsStr::from_bytes(b"\xff");
    for words in [&["search"][..], &["get"], &["connect"], &["config", "set", "listen"], &["share", ".", "--exclude"]] {
        let mut args: Vec<&OsStr> = words.iter().map(OsStr::new).collect();
        args.push(odd);
        let said = home.run(&args).expect(2).stderr;
        assert!(said.contains("UTF-8"), "{words:?}: {said}");
    }
}
