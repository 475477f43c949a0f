//! Brings what was typed into the order that the parser wants.
//!
//! Two rules of the contract are not the parser's: global flags may stand before or after the command, and in
//! a query a single-dash token after the first word excludes that word (`search blue train -live`), while
//! long flags may stand anywhere. Both are settled here, on the words alone; what is wrong is left in place for
//! the parser to complain about.

use std::ffi::{OsStr, OsString};
use std::sync::LazyLock;

use super::grammar::grammar;

/// Global long flags, and whether a value follows.
const GLOBAL: &[(&str, Value)] = &[
    ("--home", Value::Follows),
    ("--json", Value::None),
    ("--quiet", Value::None),
    ("--verbose", Value::None),
    ("--no-color", Value::None),
    ("--timeout", Value::Follows),
];

/// Flags behind which a value stands, which may look like a global flag.
static VALUES: LazyLock<Vec<String>> = LazyLock::new(|| grammar().with_values());

#[derive(Clone, Copy, PartialEq, Eq)]
enum Value {
    None,
    Follows,
}

/// The arguments, program name first, as the parser wants them: program, global flags, command, its flags,
/// and for `search` the words behind a `--`.
pub fn arrange(argv: Vec<OsString>) -> Vec<OsString> {
    let mut argv = argv.into_iter();
    let program = argv.next().unwrap_or_else(|| "filbert".into());
    let rest: Vec<OsString> = argv.collect();

    let mut front = vec![program];
    let mut at = 0;
    // Up to the command only global flags can stand.
    while let Some(token) = rest.get(at) {
        if !is_flag(token) {
            break;
        }
        let follows = global(token) == Some(Value::Follows);
        front.push(token.clone());
        at += 1;
        if follows && let Some(value) = rest.get(at) {
            front.push(value.clone());
            at += 1;
        }
    }
    let Some(command) = rest.get(at).cloned() else { return front };
    let tail = &rest[at + 1..];
    if command == "help" {
        // `help get` is what `get --help` is.
        front.extend(tail.iter().cloned());
        front.push("--help".into());
        return front;
    }
    let behind = match command.to_str() {
        Some("search") => search(tail, &mut front),
        // The words of a saved search are those of a search.
        Some("watch")
            if let Some(add) = tail.iter().position(|token| !is_flag(token)).filter(|&at| tail[at] == "add") =>
        {
            let mut behind = other(&tail[..=add], &mut front);
            behind.extend(search(&tail[add + 1..], &mut front));
            behind
        }
        _ => other(tail, &mut front),
    };
    front.push(command);
    front.extend(behind);
    front
}

/// Any command but `search`: global flags move to the front, up to `--`.
fn other(tail: &[OsString], front: &mut Vec<OsString>) -> Vec<OsString> {
    let mut behind = Vec::new();
    let mut tokens = tail.iter();
    while let Some(token) = tokens.next() {
        if token == "--" {
            behind.push(token.clone());
            behind.extend(tokens.by_ref().cloned());
        } else if let Some(value) = global(token).or_else(|| short_global(token)) {
            front.push(token.clone());
            if value == Value::Follows {
                front.extend(tokens.next().cloned());
            }
        } else {
            behind.push(token.clone());
            if takes_value(token) {
                behind.extend(tokens.next().cloned());
            }
        }
    }
    behind
}

/// `search`: its long flags, then `--`, then the words.
fn search(tail: &[OsString], front: &mut Vec<OsString>) -> Vec<OsString> {
    let (mut flags, mut words) = (Vec::new(), Vec::new());
    let mut tokens = tail.iter();
    while let Some(token) = tokens.next() {
        if token == "--" {
            words.extend(tokens.by_ref().cloned());
        } else if let Some(value) = global(token) {
            front.push(token.clone());
            if value == Value::Follows {
                front.extend(tokens.next().cloned());
            }
        } else if starts_with(token, "--") {
            flags.push(token.clone());
            if takes_value(token) {
                flags.extend(tokens.next().cloned());
            }
        } else if is_flag(token) && words.is_empty() {
            if short_global(token).is_some() { front.push(token.clone()) } else { flags.push(token.clone()) }
        } else {
            words.push(token.clone());
        }
    }
    if !words.is_empty() {
        flags.push("--".into());
        flags.extend(words);
    }
    flags
}

/// Is it a global long flag, and does its value follow as the next token?
fn global(token: &OsStr) -> Option<Value> {
    let text = token.to_str()?;
    GLOBAL.iter().find_map(|&(flag, value)| {
        let rest = text.strip_prefix(flag)?;
        match (rest, value) {
            ("", value) => Some(value),
            (rest, Value::Follows) if rest.starts_with('=') => Some(Value::None),
            _ => None,
        }
    })
}

/// `-q`, `-v`, `-vv`, `-qv`.
fn short_global(token: &OsStr) -> Option<Value> {
    let letters = token.to_str()?.strip_prefix('-')?;
    (!letters.is_empty() && letters.chars().all(|c| c == 'q' || c == 'v')).then_some(Value::None)
}

fn takes_value(token: &OsStr) -> bool {
    VALUES.iter().any(|flag| token == flag.as_str())
}

fn is_flag(token: &OsStr) -> bool {
    starts_with(token, "-") && token != "-"
}

fn starts_with(token: &OsStr, prefix: &str) -> bool {
    token.as_encoded_bytes().starts_with(prefix.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Typed, and arranged; both without the program's name.
    const TABLE: &[(&str, &str)] = &[
        ("", ""),
        ("status", "status"),
        ("--json status", "--json status"),
        ("status --json", "--json status"),
        ("status -v --home /x", "-v --home /x status"),
        ("--home /x status --home=/y", "--home /x --home=/y status"),
        ("peers set 3 --json", "--json peers set 3"),
        ("config get --origin --json ttl", "--json config get --origin ttl"),
        ("up --share --json", "up --share --json"),
        ("share x --exclude --json --json", "--json share x --exclude --json"),
        ("get -o -q 3 -q", "-q get -o -q 3"),
        ("get -- --json", "get -- --json"),
        ("--help", "--help"),
        ("up --help", "up --help"),
        ("help", "--help"),
        ("help peers set", "peers set --help"),
        ("--json help get", "--json get --help"),
        ("search blue train", "search -- blue train"),
        ("search blue train -live", "search -- blue train -live"),
        ("search blue -v", "search -- blue -v"),
        ("search -v blue", "-v search -- blue"),
        ("search -x blue", "search -x -- blue"),
        ("search blue --ttl 2 train --json", "--json search --ttl 2 -- blue train"),
        ("search --ttl=2 blue", "search --ttl=2 -- blue"),
        ("search blue -live --any --max 3 -club", "search --any --max 3 -- blue -live -club"),
        ("search blue -- --any", "search -- blue --any"),
        ("search -- -live", "search -- -live"),
        ("search blue --timeout 3 -", "--timeout 3 search -- blue -"),
        ("search --bogus blue", "search --bogus -- blue"),
        ("search", "search"),
        ("search --help", "search --help"),
        ("watch add blue train -live --get --max 1M --json", "--json watch add --get --max 1M -- blue train -live"),
        ("watch --json add blue -v", "--json watch add -- blue -v"),
        ("watch hits 1 --json", "--json watch hits 1"),
        ("watch", "watch"),
        ("-q", "-q"),
    ];

    #[test]
    fn what_is_typed_is_arranged() {
        for (typed, arranged) in TABLE {
            let words = |text: &str| -> Vec<OsString> {
                std::iter::once("filbert").chain(text.split_whitespace()).map(OsString::from).collect()
            };
            assert_eq!(arrange(words(typed)), words(arranged), "{typed:?}");
        }
    }

    #[test]
    fn arranging_twice_changes_nothing() {
        for (typed, _) in TABLE {
            let words: Vec<OsString> =
                std::iter::once("filbert").chain(typed.split_whitespace()).map(OsString::from).collect();
            let once = arrange(words);
            assert_eq!(arrange(once.clone()), once, "{typed:?}");
        }
    }
}
