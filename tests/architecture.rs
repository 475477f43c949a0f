//! The folder tree is the architecture: imports point down only, and the core is pure.
//!
//! This reads the sources as text. It sees `crate::floor`, `filbert::floor` and `super::super::floor` paths, in
//! `use` lines, in re-exports and in the middle of code, also inside `{...}` groups. `violations` is itself
//! tested with planted ones below, so that a rule that stopped working would be noticed.

use std::fs;
use std::path::{Path, PathBuf};

/// The top-level modules and their floors. Modules on one floor are strangers, but for `cli`, the face
/// that starts the others.
const FLOORS: &[(&str, u8)] = &[
    ("base", 0),
    ("wire", 1),
    ("proto", 2),
    ("library", 2),
    ("transfer", 2),
    ("net", 3),
    ("disk", 3),
    ("sim", 3),
    ("app", 4),
    ("web", 5),
    ("tui", 5),
    ("cli", 6),
    ("main", 7),
];

/// What the core may never name: sockets, files, clocks, threads, chance of the operating system.
const IMPURE: &[&str] = &[
    "std::fs",
    "std::io",
    "std::env",
    "std::thread",
    "std::process",
    "std::time::Instant",
    "std::time::SystemTime",
    "std::net::Tcp",
    "std::net::Udp",
    "std::collections::HashMap",
    "std::collections::HashSet",
    "RandomState",
    "SystemTime",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "getrandom",
    "async_std",
    "async_io",
    "futures::",
    "rustix",
    "println!",
];

const CORE: &[&str] = &["base", "wire", "proto", "library", "transfer", "sim"];

fn floor_of(module: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == module).map(|(_, floor)| *floor)
}

/// The code of a file without its comments, so that a doc link is no import.
fn without_comments(text: &str) -> String {
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// Top-level modules that `code` names through `crate::`, `filbert::` or a climb with `super::`.
fn named_modules(code: &str) -> Vec<String> {
    let squeezed: String = code.chars().filter(|c| !c.is_whitespace()).collect();
    let mut found = Vec::new();
    for root in ["crate::", "filbert::", "super::super::"] {
        for (at, _) in squeezed.match_indices(root) {
            let rest = &squeezed[at + root.len()..];
            match rest.strip_prefix('{') {
                Some(group) => found.extend(group_heads(group)),
                None => found.push(identifier(rest)),
            }
        }
    }
    found
}

/// The first identifiers of each member of a `{...}` group, nested groups skipped.
fn group_heads(group: &str) -> Vec<String> {
    let (mut depth, mut expect, mut heads) = (1, true, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => expect = true,
            _ if expect && depth == 1 => {
                heads.push(identifier(&group[at..]));
                expect = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    heads
}

fn identifier(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// What is wrong with a source file at `path` (relative to `src`).
fn violations(path: &Path, text: &str) -> Vec<String> {
    let first = path.iter().next().and_then(|part| part.to_str()).unwrap_or_default();
    let module = first.strip_suffix(".rs").unwrap_or(first);
    if module == "lib" {
        return Vec::new();
    }
    let Some(own) = floor_of(module) else {
        return vec![format!("{}: stands on no floor; add it to FLOORS and docs/ARCHITECTURE.md", path.display())];
    };
    let code = without_comments(text);
    let mut wrong = Vec::new();
    for named in named_modules(&code) {
        if named == module {
            continue;
        }
        if let Some(floor) = floor_of(&named)
            && floor >= own
        {
            wrong.push(format!(
                "{}: names `{named}` (floor {floor}) from `{module}` (floor {own}); imports point down only",
                path.display()
            ));
        }
    }
    if CORE.contains(&module) {
        for name in IMPURE.iter().filter(|name| code.contains(**name)) {
            wrong.push(format!("{}: the core names `{name}`; time, chance and bytes are told to it", path.display()));
        }
    }
    if path != Path::new("net/rt.rs") && (code.contains("async_std") || code.contains("async_io")) {
        wrong.push(format!("{}: only net/rt.rs names the runtime", path.display()));
    }
    wrong
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(dir).expect("src can be read");
    for entry in entries.map(|entry| entry.expect("src can be read").path()) {
        if entry.is_dir() {
            sources(&entry, found);
        } else if entry.extension().is_some_and(|e| e == "rs") {
            found.push(entry);
        }
    }
}

#[test]
fn imports_point_down_and_the_core_is_pure() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    assert!(files.len() > 40, "only {} source files were found", files.len());
    let wrong: Vec<String> = files
        .iter()
        .flat_map(|file| {
            let text = fs::read_to_string(file).expect("sources are UTF-8");
            violations(file.strip_prefix(&src).expect("under src"), &text)
        })
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn planted_violations_are_found() {
    let planted: &[(&str, &str)] = &[
        ("wire/ping.rs", "use crate::proto::Servent;"),
        ("wire/ping.rs", "pub use crate::{base::Rng, proto::Servent};"),
        ("wire/ping.rs", "fn f() { crate::app::Node::start(); }"),
        ("wire/ping.rs", "use crate::{\n    base::{Instant, Rng},\n    net::rt,\n};"),
        ("proto/router.rs", "use crate::library::Library;"),
        ("net/driver.rs", "use crate::disk::Home;"),
        ("disk/scan.rs", "use crate::sim::World;"),
        ("sim/world.rs", "use super::super::net::rt;"),
        ("app/node.rs", "use crate::web::serve;"),
        ("web/mod.rs", "use crate::cli::Args;"),
        ("tui/model.rs", "use crate::web::Token;"),
        ("tui/screen.rs", "use crate::cli::Config;"),
        ("app/node.rs", "use crate::tui::text;"),
        ("proto/seen.rs", "use std::time::Instant;"),
        ("library/shelf.rs", "let t = std::fs::metadata(path);"),
        ("sim/world.rs", "use std::collections::HashMap;"),
        ("app/node.rs", "async_std::task::spawn(f);"),
        ("attic/mod.rs", ""),
    ];
    for (path, text) in planted {
        assert!(!violations(Path::new(path), text).is_empty(), "nobody minded {text:?} in {path}");
    }
}

#[test]
fn what_is_allowed_is_not_minded() {
    let allowed: &[(&str, &str)] = &[
        ("wire/ping.rs", "use crate::base::Rng; use crate::wire::Guid;"),
        ("wire/ping.rs", "//! Unlike [`crate::proto`] this keeps no state.\nuse super::Guid;"),
        ("app/node.rs", "use crate::{disk::Home, net::rt, proto::Servent};"),
        ("cli/up.rs", "use crate::web::serve;"),
        ("net/rt.rs", "use async_std::task;"),
        ("proto/seen.rs", "use crate::base::Instant; use std::time::Duration;"),
    ];
    for (path, text) in allowed {
        assert_eq!(violations(Path::new(path), text), Vec::<String>::new());
    }
}

#[test]
fn hints_begin_like_sentences() {
    // A hint stands behind the message and its full stop.
    let (mut paths, mut small) = (Vec::new(), Vec::new());
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut paths);
    for path in paths {
        let text = fs::read_to_string(&path).expect("a source");
        for quoted in text.split(".hint(").skip(1) {
            let words = quoted.trim_start().trim_start_matches("format!(").trim_start();
            if let Some(words) = words.strip_prefix('"')
                && words.starts_with(|c: char| c.is_lowercase() || c.is_ascii_digit())
            {
                small.push(format!("{}: {}", path.display(), words.lines().next().unwrap_or_default()));
            }
        }
    }
    assert!(small.is_empty(), "{small:#?}");
}

#[test]
fn the_page_of_limits_names_what_there_is() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/LIMITS.md")).expect("the page");
    let (mut places, mut wrong) = (0, Vec::new());
    for place in page.split('`').skip(1).step_by(2) {
        let Some((file, name)) = place.split_once(".rs: ") else { continue };
        places += 1;
        let text = fs::read_to_string(root.join("src").join(format!("{file}.rs"))).unwrap_or_default();
        if ![format!("const {name}:"), format!("pub {name}:")].iter().any(|said| text.contains(said)) {
            wrong.push(place);
        }
    }
    assert!(places > 80 && wrong.is_empty(), "{places} places, of them not there: {wrong:#?}");
    for key in filbert::app::LIMITS {
        assert!(page.contains(&format!("`{}`", key.name)), "{} is not on the page", key.name);
    }
}
