//! All that can be typed, as data: read from the parser itself, so that the manual page, the completions and
//! the suggestions name what there is and nothing else. What is hidden from the help is not here.

use structopt::StructOpt;
use structopt::clap::{App, ArgSettings};

use super::args::Args;
use super::settings::KEYS;

/// A command: the program itself, `up`, `peers set` ...
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verb {
    /// As it is typed, the program's name first: `filbert peers set`.
    pub words: String,
    /// Its last word.
    pub name: String,
    /// What it does, in a line.
    pub about: String,
    /// What stands behind its help: examples, mostly.
    pub more: String,
    /// Its own flags, in the order of the help.
    pub flags: Vec<Flag>,
    /// What stands behind it.
    pub values: Vec<Value>,
    /// What it leads to.
    pub verbs: Vec<Verb>,
}

/// A flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// `q` of `-q`.
    pub short: Option<char>,
    /// `quiet` of `--quiet`.
    pub long: Option<String>,
    /// What it does, in a line.
    pub help: String,
    /// What stands behind it.
    pub value: Option<Value>,
    /// What holds without it.
    pub default: Option<String>,
}

/// What stands behind a flag or a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// `DIR`, `HOST:PORT`.
    pub name: String,
    /// What it is, in a line; for those of commands.
    pub help: String,
    /// Whether one must be there.
    pub required: bool,
    /// Whether there may be several.
    pub several: bool,
    /// Which it can be.
    pub choice: Choice,
}

/// Which values there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Nobody knows.
    Any,
    /// One of these words.
    Words(Vec<String>),
    /// A file.
    File,
    /// A folder.
    Folder,
}

/// The program, with everything that can be typed behind it.
pub fn grammar() -> Verb {
    verb(&Args::clap(), "")
}

impl Verb {
    /// It and all that it leads to, in the order of the help.
    pub fn all(&self) -> Vec<&Verb> {
        std::iter::once(self).chain(self.verbs.iter().flat_map(Verb::all)).collect()
    }

    /// Flags behind which a value stands, of it and of all that it leads to.
    pub fn with_values(&self) -> Vec<String> {
        let flags = self.all().into_iter().flat_map(|verb| &verb.flags);
        let mut spelled: Vec<String> = flags.filter(|flag| flag.value.is_some()).flat_map(Flag::spellings).collect();
        spelled.sort();
        spelled.dedup();
        spelled
    }

    /// How it is typed: `filbert peers set [FLAGS] N`.
    pub fn usage(&self) -> String {
        let mut usage = self.words.clone();
        if !self.flags.is_empty() {
            usage += " [FLAGS]";
        }
        if !self.verbs.is_empty() {
            usage += if self.name == "sim" { " COMMAND" } else { " [COMMAND]" };
        }
        for value in &self.values {
            let dots = if value.several { "..." } else { "" };
            usage +=
                &if value.required { format!(" {}{dots}", value.name) } else { format!(" [{}{dots}]", value.name) };
        }
        usage
    }
}

impl Flag {
    /// As it is typed: `-q`, `--quiet`.
    pub fn spellings(&self) -> Vec<String> {
        let short = self.short.map(|letter| format!("-{letter}"));
        short.into_iter().chain(self.long.iter().map(|long| format!("--{long}"))).collect()
    }
}

fn verb(app: &App<'_, '_>, before: &str) -> Verb {
    let name = app.p.meta.name.clone();
    let words = format!("{before} {name}").trim_start().to_owned();
    let mut flags: Vec<(usize, Flag)> = Vec::new();
    for flag in app.p.flags.iter().filter(|flag| !flag.b.settings.is_set(ArgSettings::Hidden)) {
        let own = Flag {
            short: flag.s.short,
            long: flag.s.long.map(str::to_owned),
            help: line(flag.b.help),
            value: None,
            default: None,
        };
        flags.push((flag.s.unified_ord, own));
    }
    for opt in app.p.opts.iter().filter(|opt| !opt.b.settings.is_set(ArgSettings::Hidden)) {
        let named = opt.v.val_names.as_ref().and_then(|names| names.values().next().copied());
        let own = Flag {
            short: opt.s.short,
            long: opt.s.long.map(str::to_owned),
            help: line(opt.b.help),
            value: Some(Value {
                name: named.unwrap_or(opt.b.name).to_owned(),
                help: String::new(),
                required: true,
                several: false,
                choice: choice(named.unwrap_or_default(), opt.v.possible_vals.as_deref()),
            }),
            default: opt.v.default_val.map(|value| value.to_string_lossy().into_owned()),
        };
        flags.push((opt.s.unified_ord, own));
    }
    flags.sort_by_key(|(order, _)| *order);
    let values = app.p.positionals.values().map(|value| {
        let named = value.v.val_names.as_ref().and_then(|names| names.values().next().copied());
        Value {
            name: named.unwrap_or(value.b.name).to_owned(),
            help: line(value.b.help),
            required: value.b.settings.is_set(ArgSettings::Required) || value.b.r_unless.is_some(),
            several: value.b.settings.is_set(ArgSettings::Multiple),
            choice: choice(named.unwrap_or_default(), value.v.possible_vals.as_deref()),
        }
    });
    Verb {
        about: line(app.p.meta.about),
        more: app.p.meta.more_help.unwrap_or_default().to_owned(),
        flags: flags.into_iter().map(|(_, flag)| flag).collect(),
        values: values.collect(),
        verbs: app.p.subcommands.iter().map(|app| verb(app, &words)).collect(),
        words,
        name,
    }
}

fn choice(name: &str, possible: Option<&[&str]>) -> Choice {
    match (possible, name) {
        (Some(words), _) => Choice::Words(words.iter().map(|&word| word.to_owned()).collect()),
        (None, "DIR") => Choice::Folder,
        (None, "FILE" | "A" | "B") => Choice::File,
        (None, "KEY") => Choice::Words(KEYS.iter().map(|key| key.name.to_owned()).collect()),
        (None, _) => Choice::Any,
    }
}

/// A text of the parser as one line.
fn line(text: Option<&str>) -> String {
    text.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wider is broken where nobody looked.
    #[test]
    fn what_stands_behind_a_help_fits_as_it_was_written() {
        for verb in grammar().all() {
            for line in verb.more.lines() {
                assert!(line.chars().count() <= 80, "{}: {line}", verb.words);
            }
        }
    }

    #[test]
    fn the_grammar_is_that_of_the_parser() {
        let filbert = grammar();
        assert_eq!(filbert.words, "filbert");
        let home = filbert.flags.iter().find(|flag| flag.long.as_deref() == Some("home")).expect("--home");
        assert_eq!(
            home.value.as_ref().map(|value| (value.name.as_str(), &value.choice)),
            Some(("DIR", &Choice::Folder))
        );
        let all = filbert.all();
        let find = |words: &str| *all.iter().find(|verb| verb.words == words).unwrap_or_else(|| panic!("no {words}"));
        assert_eq!(find("filbert peers set").usage(), "filbert peers set N");
        assert_eq!(find("filbert search").usage(), "filbert search [FLAGS] WORDS...");
        assert_eq!(find("filbert get").usage(), "filbert get [FLAGS] WHAT...");
        assert_eq!(find("filbert config get").usage(), "filbert config get [FLAGS] [KEY]");
        let up = find("filbert up");
        let role = up.flags.iter().find(|flag| flag.long.as_deref() == Some("role")).expect("--role");
        let roles = ["auto", "ultrapeer", "leaf"].map(str::to_owned).to_vec();
        assert_eq!(role.value.as_ref().map(|value| &value.choice), Some(&Choice::Words(roles)));
        assert!(up.flags.iter().all(|flag| flag.long.as_deref() != Some("detached")), "what is hidden stays so");
        for verb in &all {
            assert!(!verb.about.is_empty(), "{} says nothing of itself", verb.words);
            for flag in &verb.flags {
                assert!(!flag.help.is_empty(), "{} {:?} says nothing of itself", verb.words, flag.long);
            }
        }
    }
}
