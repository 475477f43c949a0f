//! Completions and the manual page, held against the programs that read them, where those are installed.

mod common;

use std::process::{Command, Stdio};

use common::Home;

/// What `program` prints; `None` where it is not installed.
fn said_by(program: &str, args: &[&str]) -> Option<String> {
    match Command::new(program).args(args).stdin(Stdio::null()).output() {
        Ok(output) => {
            assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
            assert!(output.stderr.is_empty(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
            Some(String::from_utf8(output.stdout).expect("UTF-8"))
        }
        Err(error) => {
            eprintln!("SKIPPED: {program} is not here ({error})");
            None
        }
    }
}

/// What was typed, the last word unfinished, and words that must be and must not be offered.
const TABLE: &[(&str, &[&str], &[&str])] = &[
    ("filbert s", &["search", "share", "shares", "status", "sim"], &["up", "set"]),
    ("filbert --j", &["--json"], &["--share"]),
    ("filbert up --sh", &["--share"], &["--json"]),
    ("filbert up --j", &["--json"], &["--share"]),
    ("filbert --home up s", &["search"], &["--share"]),
    ("filbert up --role ", &["auto", "leaf", "ultrapeer"], &["up"]),
    ("filbert get --on-exists ", &["skip", "rename", "overwrite"], &["up", "Cargo.toml"]),
    ("filbert peers s", &["set"], &["search"]),
    ("filbert config set neigh", &["neighbours"], &["search"]),
    ("filbert --json config ", &["get", "set", "path", "edit"], &["up"]),
    ("filbert completions ", &["bash", "zsh", "fish"], &["up"]),
    ("filbert share /et", &["/etc"], &["search"]),
];

/// Holds what a shell offers against the table; `offered` gets what was typed.
fn check(shell: &str, mut offered: impl FnMut(&str) -> Option<String>) {
    for (typed, wanted, unwanted) in TABLE {
        let Some(answer) = offered(typed) else { return };
        let words: Vec<&str> = answer.split_whitespace().map(|word| word.trim_end_matches('/')).collect();
        for word in *wanted {
            assert!(words.contains(word), "{shell}: {typed:?} lacks {word}: {answer}");
        }
        for word in *unwanted {
            assert!(!words.contains(word), "{shell}: {typed:?} has {word}: {answer}");
        }
    }
}

/// The completions of a shell in a file.
fn script(home: &Home, shell: &str) -> String {
    let script = home.run(&["completions", shell]).expect(0).stdout;
    let path = home.join(&format!("completions.{shell}"));
    std::fs::write(&path, script).expect("written");
    path.display().to_string()
}

#[test]
fn bash_completes_commands_flags_and_values() {
    let home = Home::new();
    let script = script(&home, "bash");
    check("bash", |typed| {
        let words: Vec<String> = typed.split(' ').map(|word| format!("'{word}'")).collect();
        let line = format!(
            "compopt() {{ :; }}; source '{script}'; COMP_WORDS=({}); COMP_CWORD={}; _filbert; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            words.join(" "),
            words.len() - 1
        );
        said_by("bash", &["--norc", "-c", &line])
    });
}

#[test]
fn fish_completes_commands_flags_and_values() {
    let home = Home::new();
    let script = script(&home, "fish");
    check("fish", |typed| {
        let answer = said_by("fish", &["--no-config", "-c", &format!("source '{script}'; complete -C '{typed}'")])?;
        // A word and, behind a tab, what it means.
        Some(answer.lines().map(|line| line.split('\t').next().unwrap_or_default()).collect::<Vec<_>>().join("\n"))
    });
}

#[test]
fn zsh_completes_commands_flags_and_values() {
    let home = Home::new();
    let script = script(&home, "zsh");
    // Outside a line editor the builtins that offer words are told to print them instead.
    let stage = "compdef() { :; }; _files() { print -l /etc; }; \
                 compadd() { while [[ $1 != -- ]]; do shift; done; shift; print -l -- $@; }; \
                 _describe() { [[ $1 == -o ]] && shift; local row; for row in ${(P)2}; do print -- ${row%%:*}; done; }; ";
    check("zsh", |typed| {
        let words: Vec<String> = typed.split(' ').map(|word| format!("'{word}'")).collect();
        let line = format!(
            "{stage} source '{script}'; try() {{ local -a words=({}); local CURRENT={}; _filbert }}; try",
            words.join(" "),
            words.len()
        );
        // `_describe` offers all; the editor would leave out what does not begin so.
        let begun = typed.rsplit(' ').next().unwrap_or_default();
        let answer = said_by("zsh", &["-f", "-c", &line])?;
        Some(answer.lines().filter(|line| line.starts_with(begun) || *line == "/etc").collect::<Vec<_>>().join("\n"))
    });
}

#[test]
fn the_manual_page_has_nothing_that_its_readers_mind() {
    let home = Home::new();
    let page = home.run(&["man"]).expect(0).stdout;
    let path = home.join("filbert.1");
    std::fs::write(&path, page).expect("written");
    let path = path.display().to_string();
    if let Ok(lint) = Command::new("mandoc").args(["-T", "lint", "-W", "warning", &path]).output() {
        let complaints = String::from_utf8_lossy(&lint.stdout).into_owned();
        // No date: the page is the same on each day that it is made.
        let real: Vec<&str> = complaints.lines().filter(|line| !line.contains("missing date")).collect();
        assert!(real.is_empty(), "{real:#?}");
    }
    if let Some(read) = said_by("mandoc", &["-T", "utf8", &path]) {
        for word in ["--download-dir DIR", "NO_COLOR", "130", "neighbours", "filbert peers set N"] {
            let plain = read.split('\u{8}').map(|part| part.to_owned()).collect::<Vec<_>>();
            // Bold is each letter twice with a backspace between: take the second of each.
            let mut text = plain[0].clone();
            for part in &plain[1..] {
                text.pop();
                text += part;
            }
            assert!(text.contains(word), "{word} is not in the page:\n{text}");
        }
    }
}
