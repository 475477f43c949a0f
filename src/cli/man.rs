//! `filbert man`: the manual page, in roff. It is written from the [`grammar`] and the table of settings, so that it
//! names every command, flag and setting that there is.

use std::fmt::Write;

use super::config::Config;
use super::exit::{Exit, Failure};
use super::grammar::{Choice, Flag, Verb, grammar};
use super::settings::KEYS;

/// `man`.
pub fn man(config: &Config) -> Result<(), Failure> {
    config.say.line(page().trim_end())
}

/// The whole page.
fn page() -> String {
    let filbert = grammar();
    let mut out = String::new();
    // Writing into a string cannot fail.
    let _ = write(&mut out, &filbert);
    out
}

fn write(out: &mut String, filbert: &Verb) -> std::fmt::Result {
    writeln!(out, ".TH FILBERT 1 \"\" \"filbert {}\" \"User Commands\"", env!("CARGO_PKG_VERSION"))?;
    writeln!(out, ".SH NAME\nfilbert \\- share a folder, search your neighbours, fetch files straight from them")?;
    writeln!(out, ".SH SYNOPSIS\n.B filbert\n[\\fIFLAGS\\fR] \\fICOMMAND\\fR [\\fIARGUMENTS\\fR]")?;
    writeln!(
        out,
        ".SH DESCRIPTION\n{}\n.PP\n{}",
        text(&filbert.about),
        text(
            "There is no server and no account. Nothing is shared until a folder is named. Data goes to stdout, \
             talk and progress to stderr; with --json every line of stdout is one JSON object."
        )
    )?;
    writeln!(out, ".SH FLAGS\nThey go with every command, before or behind it.")?;
    filbert.flags.iter().try_for_each(|flag| tell_flag(out, flag))?;
    tagged(
        out,
        "\\fB\\-h\\fR, \\fB\\-\\-help\\fR",
        "Show the help of the program, or of the command that it stands behind",
    )?;
    tagged(out, "\\fB\\-V\\fR, \\fB\\-\\-version\\fR", "Say which version this is")?;
    writeln!(out, ".SH COMMANDS")?;
    for verb in filbert.all().into_iter().skip(1) {
        tell_verb(out, verb)?;
    }
    settings(out)?;
    environment(out)?;
    files(out)?;
    writeln!(out, ".SH EXIT STATUS")?;
    for exit in Exit::ALL {
        tagged(out, &exit.code().to_string(), exit.what())?;
    }
    writeln!(out, ".SH SEE ALSO\n{}", text("filbert doctor says what is wrong on this machine, and the fix."))
}

fn tell_verb(out: &mut String, verb: &Verb) -> std::fmt::Result {
    writeln!(out, ".SS {}\n{}.", quoted(&verb.usage()), text(verb.about.trim_end_matches('.')))?;
    verb.flags.iter().try_for_each(|flag| tell_flag(out, flag))?;
    for value in verb.values.iter().filter(|value| !value.help.is_empty()) {
        tagged(out, &format!("\\fI{}\\fR", text(&value.name)), &with_words(&value.help, &value.choice))?;
    }
    for paragraph in paragraphs(verb) {
        match is_shown_as_it_is(paragraph) {
            true => writeln!(out, ".PP\n.nf\n{}\n.fi", text(paragraph))?,
            false => writeln!(out, ".PP\n{}", text(paragraph))?,
        }
    }
    Ok(())
}

/// What stands behind the help of a command.
fn paragraphs(verb: &Verb) -> impl Iterator<Item = &str> {
    verb.more.split("\n\n").filter(|paragraph| !paragraph.is_empty())
}

/// Whether its lines are examples; sentences are filled.
fn is_shown_as_it_is(paragraph: &str) -> bool {
    paragraph.contains("\n    ")
}

fn tell_flag(out: &mut String, flag: &Flag) -> std::fmt::Result {
    let mut tag: Vec<String> = flag.spellings().iter().map(|spelled| format!("\\fB{}\\fR", text(spelled))).collect();
    if let (Some(value), Some(last)) = (&flag.value, tag.last_mut()) {
        *last += &format!(" \\fI{}\\fR", text(&value.name));
    }
    let mut help = match &flag.value {
        Some(value) => with_words(&flag.help, &value.choice),
        None => flag.help.clone(),
    };
    if let Some(default) = &flag.default {
        help += &format!(" (without it: {default})");
    }
    tagged(out, &tag.join(", "), &help)
}

fn settings(out: &mut String) -> std::fmt::Result {
    let begin = "A flag beats the environment, which beats config.toml, which beats limits set in the page, in \
                 `filbert tui` or by the API, which beat the default. \
                 `filbert config set KEY VALUE` writes one and keeps the comments.";
    writeln!(out, ".SH SETTINGS\n{}", text(begin))?;
    for key in KEYS.iter() {
        let default = match key.default_text() {
            "" => "nothing".to_owned(),
            some => some.to_owned(),
        };
        tagged(out, &format!("\\fB{}\\fR", text(key.name)), &format!("{} (default: {default})", key.what))?;
    }
    Ok(())
}

fn environment(out: &mut String) -> std::fmt::Result {
    writeln!(out, ".SH ENVIRONMENT")?;
    let rows = [
        ("FILBERT_HOME", "The same as --home"),
        ("FILBERT_...", "Any setting, in capitals and with _ for a dot: FILBERT_NEIGHBOURS, FILBERT_DOWNLOAD_DIR"),
        ("NO_COLOR", "Set to anything: no colours"),
        ("CLICOLOR_FORCE", "Set to anything but 0: colours in files and pipes too"),
        ("TERM", "dumb: no colours"),
        ("COLUMNS", "How wide tables may be; otherwise as the terminal, and in a pipe as they are"),
        ("VISUAL, EDITOR", "What `filbert config edit` opens; vi without them"),
        ("RUST_LOG", "What is told on stderr, where neither -v nor FILBERT_LOG says it: warn,filbert::net=debug"),
    ];
    rows.into_iter().try_for_each(|(name, what)| tagged(out, &format!("\\fB{}\\fR", text(name)), what))
}

fn files(out: &mut String) -> std::fmt::Result {
    writeln!(out, ".SH FILES")?;
    let rows = [
        ("~/.config/filbert/config.toml", "Settings. It is yours: only `config set` and `config edit` change it"),
        ("~/.local/state/filbert/", "What the servent remembers, and the token of the control API (mode 0600)"),
        ("~/.cache/filbert/", "Hashes of the shared files; they can be made again"),
        ("DIR/{config.toml,state,cache,downloads}", "The same, with --home DIR"),
    ];
    rows.into_iter().try_for_each(|(name, what)| tagged(out, &format!("\\fI{}\\fR", text(name)), what))
}

/// A paragraph with a tag; the tag is roff already.
fn tagged(out: &mut String, tag: &str, what: &str) -> std::fmt::Result {
    writeln!(out, ".TP\n{tag}\n{}.", text(what.trim_end_matches('.')))
}

fn with_words(help: &str, choice: &Choice) -> String {
    match choice {
        // The table of settings tells the keys.
        Choice::Words(words) if words.len() < 10 && !words.iter().all(|word| help.contains(word.as_str())) => {
            format!("{help}: {}", words.join(", "))
        }
        _ => help.to_owned(),
    }
}

/// Text as roff: nothing in it is a command or an escape. Lines stay lines.
fn text(plain: &str) -> String {
    let lines = plain.lines().map(|line| {
        let escaped = line.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq").replace('`', "\\(ga");
        let escaped = escaped.replace('~', "\\(ti").replace('^', "\\(ha");
        if escaped.starts_with('.') { format!("\\&{escaped}") } else { escaped }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The argument of a macro.
fn quoted(plain: &str) -> String {
    format!("\"{}\"", text(plain).replace('"', "\\(dq"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_every_command_flag_setting_and_code() {
        let page = page();
        let filbert = grammar();
        for verb in filbert.all() {
            // A command's own part: from its heading to the next.
            let part = match verb.words.as_str() {
                "filbert" => page.as_str(),
                _ => {
                    let (_, part) = page.split_once(&format!(".SS {}\n", quoted(&verb.usage()))).expect(&verb.words);
                    part.split(".SS ").next().unwrap_or_default()
                }
            };
            for spelled in verb.flags.iter().flat_map(Flag::spellings) {
                assert!(part.contains(&format!("\\fB{}\\fR", text(&spelled))), "{} {spelled}", verb.words);
            }
        }
        for key in KEYS.iter() {
            assert!(page.contains(&format!("\\fB{}\\fR\n", text(key.name))), "{}", key.name);
        }
        for exit in Exit::ALL {
            assert!(page.contains(&format!(".TP\n{}\n", exit.code())), "{exit:?}");
        }
    }

    #[test]
    fn examples_fit_a_terminal_of_eighty_columns() {
        let filbert = grammar();
        let shown = filbert.all().into_iter().skip(1).flat_map(paragraphs).filter(|it| is_shown_as_it_is(it));
        let lines: Vec<&str> = shown.flat_map(str::lines).collect();
        assert!(lines.len() > 50, "{}", lines.len());
        // Seven columns are the margin.
        let long: Vec<_> = lines.into_iter().filter(|line| line.chars().count() > 80 - 7).collect();
        assert!(long.is_empty(), "{long:#?}");
    }

    #[test]
    fn nothing_that_is_said_is_a_command_of_roff() {
        assert_eq!(text(".TH x\n'br \\fB a-b"), "\\&.TH x\n\\(aqbr \\efB a\\-b");
        assert_eq!(quoted("say \"x\""), "\"say \\(dqx\\(dq\"");
        let known = [".TH", ".SH", ".SS", ".TP", ".PP", ".B", ".nf", ".fi"];
        for line in page().lines().filter(|line| line.starts_with(['.', '\''])) {
            let first = line.split(' ').next().unwrap_or_default();
            assert!(known.contains(&first), "{line}");
        }
    }
}
