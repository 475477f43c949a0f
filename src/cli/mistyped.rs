//! What was typed makes no sense: said in a line, with what was perhaps meant.
//!
//! The parser looks for similar words among those of one command only, and names it in its own way; here global flags
//! count too, and so do words behind a command that leads on (`peers ste`).

use std::ffi::OsString;

use structopt::clap::{Error, ErrorKind};

use super::exit::{Exit, Failure};
use super::grammar::{Flag, Verb, grammar};

/// How alike two words must be for one to have been meant.
const ALIKE: f64 = 0.75;

/// The failure that the parser's `error` about `typed` (the program's name first) stands for.
pub fn mistyped(error: &Error, typed: &[OsString]) -> Failure {
    let filbert = grammar();
    let verb = filbert.typed(typed);
    let culprit = error.info.as_ref().and_then(|info| info.first()).map_or("", String::as_str);
    let see = format!("See {} --help", verb.words);
    let failure = |message: String| Failure::new(Exit::Usage, message);
    match error.kind {
        ErrorKind::UnknownArgument | ErrorKind::InvalidSubcommand | ErrorKind::UnrecognizedSubcommand => {
            let what = super::text::safe(culprit);
            if culprit.starts_with('-') {
                if verb.searches() && !culprit.starts_with("--") {
                    return failure(format!("{} has no flag {what}", verb.words))
                        .hint("A word that is to be left out stands behind one that is wanted: blue -live");
                }
                let flags = verb.flags.iter().chain(&filbert.flags).flat_map(Flag::spellings);
                let hint = near(culprit, flags).map_or(see, |flag| format!("Did you mean {flag}?"));
                return failure(format!("{} has no flag {what}", verb.words)).hint(hint);
            }
            if verb.verbs.is_empty() {
                return failure(format!("{} takes no {what:?}", verb.words)).hint(see);
            }
            let hint = match near(culprit, verb.verbs.iter().map(|verb| verb.name.clone())) {
                Some(name) => format!("Did you mean '{name}'?"),
                None => see,
            };
            failure(format!("{} has no command {what:?}", verb.words)).hint(hint)
        }
        _ => {
            // The parser's first paragraph says what is wrong; usage would follow.
            let message = error.message.strip_prefix("error: ").unwrap_or(&error.message);
            let words: Vec<&str> = message.lines().take_while(|line| !line.trim().is_empty()).map(str::trim).collect();
            let words = words.join(" ");
            let missing = words.strip_prefix("The following required arguments were not provided:");
            let words = match missing {
                Some(missing) => format!("{} wants {}", verb.words, missing.trim()),
                None => in_plain_words(&words),
            };
            failure(super::text::safe(&words)).hint(see)
        }
    }
}

/// What the standard library says of a value that cannot be read, as one would say it.
fn in_plain_words(message: &str) -> String {
    const PLAIN: [(&str, &str); 5] = [
        ("invalid digit found in string", "it is no whole number"),
        ("invalid float literal", "it is no number"),
        ("cannot parse integer from empty string", "it is empty"),
        ("number too large to fit in target type", "it is too large a number"),
        ("invalid socket address syntax", "it is no address with a port, like 0.0.0.0:6346 or [::]:6346"),
    ];
    let told = PLAIN.iter().find_map(|(theirs, ours)| Some(format!("{}{ours}", message.strip_suffix(theirs)?)));
    told.unwrap_or_else(|| message.to_owned())
}

/// The most similar of `words`, if any is similar.
fn near(typed: &str, words: impl Iterator<Item = String>) -> Option<String> {
    // The dashes say nothing.
    let bare = |word: &str| word.trim_start_matches('-').split('=').next().unwrap_or_default().to_owned();
    let typed = bare(typed);
    // One letter wrong, missing, too many or out of turn is a slip also in a short word.
    let alike = |word: &str| match strsim::osa_distance(word, &typed) {
        0 | 1 => 1.0,
        _ => strsim::jaro_winkler(word, &typed),
    };
    let scored = words.map(|word| (alike(&bare(&word)), word));
    // Of equals the first: its own flags come before the global ones.
    let best = scored.fold(None, |best: Option<(f64, String)>, next| match best {
        Some(best) if best.0 >= next.0 => Some(best),
        _ => Some(next),
    });
    best.filter(|(score, word)| *score > ALIKE && bare(word).len() > 1).map(|(_, word)| word)
}

impl Verb {
    /// Whether words of a query stand behind it, of which `-live` is one.
    fn searches(&self) -> bool {
        matches!(self.words.as_str(), "filbert search" | "filbert watch add")
    }

    /// The command that was typed, as far as it can be told: its words, flags and their values left out.
    fn typed(&self, typed: &[OsString]) -> &Verb {
        let values = self.with_values();
        let (mut at, mut skip) = (self, false);
        for token in typed.iter().skip(1).filter_map(|token| token.to_str()) {
            if token == "--" {
                break;
            }
            if std::mem::take(&mut skip) {
                continue;
            }
            skip = values.iter().any(|flag| flag == token);
            match at.verbs.iter().find(|verb| verb.name == token) {
                Some(next) => at = next,
                // A word that leads nowhere ends the command.
                None if !token.starts_with('-') => break,
                None => {}
            }
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use structopt::StructOpt;

    use super::*;
    use crate::cli::{args::Args, argv};

    #[test]
    fn a_slip_is_answered_with_what_was_meant() {
        let table = [
            ("serach x", "filbert has no command \"serach\"", "Did you mean 'search'?"),
            ("status --jsn", "filbert status has no flag --jsn", "Did you mean --json?"),
            ("--jsn status", "filbert status has no flag --jsn", "Did you mean --json?"),
            ("up --sahre x", "filbert up has no flag --sahre", "Did you mean --share?"),
            ("--home up peers ste 3", "filbert peers has no command \"ste\"", "Did you mean 'set'?"),
            ("config gte", "filbert config has no command \"gte\"", "Did you mean 'get'?"),
            ("search --tll=3 x", "filbert search has no flag --tll", "Did you mean --ttl?"),
            ("frobnicate", "filbert has no command \"frobnicate\"", "See filbert --help"),
            ("down now", "filbert down takes no \"now\"", "See filbert down --help"),
            ("up --zzz", "filbert up has no flag --zzz", "See filbert up --help"),
            ("sim tabel", "filbert sim has no command \"tabel\"", "Did you mean 'table'?"),
            ("help serach", "filbert has no command \"serach\"", "Did you mean 'search'?"),
            ("connect", "filbert connect wants <HOST>", "See filbert connect --help"),
            ("config set ttl", "filbert config set wants <VALUE>", "See filbert config set --help"),
            ("pause x", "Invalid value for '<ID>...': it is no whole number", "See filbert pause --help"),
            (
                "search -live blue",
                "filbert search has no flag -l",
                "A word that is to be left out stands behind one that is wanted: blue -live",
            ),
        ];
        for (typed, message, hint) in table {
            let typed: Vec<OsString> = format!("filbert {typed}").split(' ').map(OsString::from).collect();
            let error = Args::from_iter_safe(argv::arrange(typed.clone())).expect_err("it makes no sense");
            let failure = mistyped(&error, &typed);
            assert_eq!((failure.exit, &*failure.message, &*failure.hint), (Exit::Usage, message, hint));
        }
    }
}
