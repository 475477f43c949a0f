//! `filbert completions`: what a shell needs to complete commands, flags and values, written from the [`grammar`].
//!
//! The parser's own generator does not know that global flags may stand behind a command, and mixes commands up
//! that have words in common (`config set`, `peers set`); hence these. All three find the command first, as the
//! longest chain of words that lead on, and then offer what belongs to it.

use std::fmt::Write;

use super::config::Config;
use super::exit::Failure;
use super::grammar::{Choice, Verb, grammar};

/// `completions`.
pub fn completions(config: &Config, shell: &str) -> Result<(), Failure> {
    let filbert = grammar();
    let mut out = String::new();
    // Writing into a string cannot fail.
    let _ = match shell {
        "fish" => fish(&mut out, &filbert),
        "zsh" => zsh(&mut out, &filbert),
        _ => bash(&mut out, &filbert),
    };
    config.say.line(out.trim_end())
}

/// Every command but the program itself, as it is typed.
fn chains(filbert: &Verb) -> Vec<&str> {
    filbert.all().into_iter().skip(1).map(|verb| verb.words.as_str()).collect()
}

/// What is typed behind `verb`: its own flags and the global ones, each with its help.
fn flags_of(filbert: &Verb, verb: &Verb) -> Vec<(String, String)> {
    let global = if verb == filbert { &[][..] } else { &filbert.flags };
    let all = verb.flags.iter().chain(global);
    let mut flags: Vec<_> =
        all.flat_map(|flag| flag.spellings().into_iter().map(|spelled| (spelled, flag.help.clone()))).collect();
    flags.push(("--help".into(), "Show the help".into()));
    flags
}

/// The first of the values of a command says what is offered there.
fn place(verb: &Verb) -> Choice {
    verb.values.first().map_or(Choice::Any, |value| value.choice.clone())
}

/// Text between single quotes.
fn single(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The loop of bash and zsh that finds the command; `words` is their name for what was typed.
fn find_verb(out: &mut String, filbert: &Verb, words: &str, first: u8, end: &str) -> std::fmt::Result {
    let chains: Vec<String> = chains(filbert).into_iter().map(|words| format!("\"{words}\"")).collect();
    writeln!(out, "    for ((i = {first}; i < {end}; i++)); do")?;
    writeln!(out, "        word=${{{words}[i]}}")?;
    writeln!(out, "        case \"$word\" in {}) ((i++)); continue ;; esac", filbert.with_values().join("|"))?;
    writeln!(out, "        case \"$verb $word\" in {}) verb=\"$verb $word\" ;; esac", chains.join("|"))?;
    writeln!(out, "    done")
}

/// The lines of a `case` over `"$verb $prev"`: what stands behind each flag that takes a value.
fn behind_flags(out: &mut String, filbert: &Verb, offer: impl Fn(&Choice) -> String) -> std::fmt::Result {
    writeln!(out, "    case \"$verb $prev\" in")?;
    for verb in filbert.all() {
        for flag in &verb.flags {
            let Some(value) = &flag.value else { continue };
            for spelled in flag.spellings() {
                // Global ones stand behind any command.
                let pattern =
                    if verb == filbert { format!("*\" {spelled}\"") } else { format!("\"{} {spelled}\"", verb.words) };
                writeln!(out, "        {pattern}) {}; return ;;", offer(&value.choice))?;
            }
        }
    }
    writeln!(out, "    esac")
}

fn bash(out: &mut String, filbert: &Verb) -> std::fmt::Result {
    let offer = |choice: &Choice| match choice {
        Choice::Any => ":".to_owned(),
        Choice::Words(words) => format!("COMPREPLY=($(compgen -W {} -- \"$cur\"))", single(&words.join(" "))),
        Choice::File => "_filbert_paths -f".to_owned(),
        Choice::Folder => "_filbert_paths -d".to_owned(),
    };
    writeln!(out, "# Completions of filbert for bash; made by `filbert completions bash`.")?;
    writeln!(
        out,
        "_filbert_paths() {{\n    compopt -o filenames\n    mapfile -t COMPREPLY < <(compgen \"$1\" -- \"$cur\")\n}}"
    )?;
    writeln!(out, "_filbert() {{\n    local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}}")?;
    writeln!(out, "    local verb=filbert word i flags")?;
    writeln!(out, "    COMPREPLY=()")?;
    find_verb(out, filbert, "COMP_WORDS", 1, "COMP_CWORD")?;
    behind_flags(out, filbert, offer)?;
    writeln!(out, "    case \"$verb\" in")?;
    for verb in filbert.all() {
        let flags: Vec<String> = flags_of(filbert, verb).into_iter().map(|(spelled, _)| spelled).collect();
        writeln!(out, "        \"{}\") flags={}", verb.words, single(&flags.join(" ")))?;
        let names: Vec<&str> = verb.verbs.iter().map(|verb| verb.name.as_str()).collect();
        let then = match names.is_empty() {
            true => offer(&place(verb)),
            false => offer(&Choice::Words(names.into_iter().map(str::to_owned).collect())),
        };
        writeln!(out, "            [[ $cur == -* ]] || {{ {then}; return; }} ;;")?;
    }
    writeln!(out, "    esac\n    COMPREPLY=($(compgen -W \"$flags\" -- \"$cur\"))\n}}")?;
    writeln!(out, "complete -F _filbert filbert")
}

fn zsh(out: &mut String, filbert: &Verb) -> std::fmt::Result {
    let offer = |choice: &Choice| match choice {
        Choice::Any => ":".to_owned(),
        Choice::Words(words) => format!("compadd -- {}", words.join(" ")),
        Choice::File => "_files".to_owned(),
        Choice::Folder => "_files -/".to_owned(),
    };
    // `_describe` parts a name from what it means at the first colon.
    let described = |rows: Vec<(String, String)>| {
        let rows = rows.into_iter().map(|(name, what)| single(&format!("{}:{what}", name.replace(':', "\\:"))));
        rows.collect::<Vec<_>>().join(" ")
    };
    writeln!(out, "#compdef filbert\n# Completions of filbert for zsh; made by `filbert completions zsh`.")?;
    writeln!(out, "_filbert() {{\n    local cur=${{words[CURRENT]}} prev=${{words[CURRENT-1]}} verb=filbert word i")?;
    writeln!(out, "    local -a flags verbs")?;
    find_verb(out, filbert, "words", 2, "CURRENT")?;
    behind_flags(out, filbert, offer)?;
    writeln!(out, "    case \"$verb\" in")?;
    for verb in filbert.all() {
        writeln!(out, "        \"{}\") flags=({})", verb.words, described(flags_of(filbert, verb)))?;
        let verbs = verb.verbs.iter().map(|verb| (verb.name.clone(), verb.about.clone())).collect::<Vec<_>>();
        let then = match verbs.is_empty() {
            true => offer(&place(verb)),
            false => format!("verbs=({}); _describe command verbs", described(verbs)),
        };
        writeln!(out, "            [[ $cur == -* ]] || {{ {then}; return }} ;;")?;
    }
    writeln!(out, "    esac\n    _describe -o flag flags\n}}")?;
    writeln!(out, "if [ \"$funcstack[1]\" = _filbert ]; then _filbert \"$@\"; else compdef _filbert filbert; fi")
}

fn fish(out: &mut String, filbert: &Verb) -> std::fmt::Result {
    // Between single quotes fish knows these two escapes.
    let quoted = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
    let offer = |choice: &Choice| match choice {
        Choice::Any => String::new(),
        Choice::Words(words) => format!(" -a {}", quoted(&words.join(" "))),
        Choice::File => " -F".to_owned(),
        Choice::Folder => " -a '(__fish_complete_directories)'".to_owned(),
    };
    let chains: Vec<String> = chains(filbert).into_iter().map(quoted).collect();
    writeln!(out, "# Completions of filbert for fish; made by `filbert completions fish`.")?;
    writeln!(out, "function __filbert_is\n    set -l verb filbert\n    set -l skip no")?;
    writeln!(out, "    set -l typed (commandline -opc)\n    for word in $typed[2..-1]")?;
    writeln!(out, "        if test $skip = yes\n            set skip no\n            continue\n        end")?;
    writeln!(
        out,
        "        if contains -- $word {}\n            set skip yes\n        end",
        filbert.with_values().join(" ")
    )?;
    writeln!(
        out,
        "        if contains -- \"$verb $word\" {}\n            set verb \"$verb $word\"\n        end",
        chains.join(" ")
    )?;
    writeln!(out, "    end\n    test \"$verb\" = \"$argv\"\nend")?;
    writeln!(out, "complete -c filbert -f")?;
    for verb in filbert.all() {
        // Global flags stand behind any command.
        let here = if verb == filbert { String::new() } else { format!(" -n '__filbert_is {}'", verb.words) };
        for flag in &verb.flags {
            let short = flag.short.map(|letter| format!(" -s {letter}")).unwrap_or_default();
            let long = flag.long.as_ref().map(|long| format!(" -l {long}")).unwrap_or_default();
            // By -r alone files are offered too.
            let needs = |choice: &Choice| if *choice == Choice::File { "-r" } else { "-x" };
            let value = flag.value.as_ref().map(|value| format!(" {}{}", needs(&value.choice), offer(&value.choice)));
            let value = value.unwrap_or_default();
            writeln!(out, "complete -c filbert{here}{short}{long}{value} -d {}", quoted(&flag.help))?;
        }
        for next in &verb.verbs {
            let (name, about) = (&next.name, quoted(&next.about));
            writeln!(out, "complete -c filbert -n '__filbert_is {}' -a {name} -d {about}", verb.words)?;
        }
        let then = offer(&place(verb));
        if verb.verbs.is_empty() && !then.is_empty() {
            writeln!(out, "complete -c filbert{here}{then}")?;
        }
    }
    writeln!(out, "complete -c filbert -l help -d 'Show the help'")
}
