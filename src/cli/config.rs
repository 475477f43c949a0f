//! The arguments, once parsed, as one plain value: where the home is, how to speak, what to do.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::args::{Args, Command};
use super::exit::{Exit, Failure};
use super::say::{Colour, Say};
use crate::disk::Home;

/// What a command needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where this home's things are.
    pub home: Home,
    /// How to speak.
    pub say: Say,
    /// After that long the command is given up.
    pub timeout: Option<Duration>,
    /// `-v`, how often.
    pub verbose: u8,
}

impl Config {
    /// Splits the arguments into what every command needs and the command itself.
    pub fn new(args: Args) -> Result<(Self, Option<Command>), Failure> {
        let global = args.global;
        let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let timeout = match global.timeout {
            Some(secs) if secs.is_finite() && secs >= 0.0 => {
                Some(Duration::try_from_secs_f64(secs).unwrap_or(Duration::MAX))
            }
            Some(secs) => {
                return Err(Failure::new(Exit::Usage, format!("--timeout {secs} is no time"))
                    .hint("Name seconds, for example --timeout 60"));
            }
            None => None,
        };
        let home = match global.home.filter(|home| !home.as_os_str().is_empty()) {
            Some(dir) => Home::at(&absolute(&dir)?),
            None => Home::of_user().map_err(|error| Failure::new(Exit::Failed, error.to_string()))?,
        };
        let say = Say { json: global.json, quiet: global.quiet, colour: colour(global.no_color, var) };
        Ok((Self { home, say, timeout, verbose: global.verbose }, args.command))
    }

    /// Says why something was not done, with the commands in it as they are typed for this home.
    pub fn failure(&self, failure: &Failure) {
        if let Some(text) = failure.text() {
            self.say.failure(&self.home.typed(&text));
        }
    }
}

/// Where colours are: who wants none beats who forces them, who beats what is known of the terminal.
fn colour(no_color: bool, var: impl Fn(&str) -> Option<OsString>) -> Colour {
    let is = |name: &str, value: &str| var(name).is_some_and(|it| it == value);
    if no_color || var("NO_COLOR").is_some() {
        Colour::Never
    } else if var("CLICOLOR_FORCE").is_some() && !is("CLICOLOR_FORCE", "0") {
        Colour::Always
    } else if is("CLICOLOR", "0") || is("TERM", "dumb") {
        Colour::Never
    } else {
        Colour::Terminals
    }
}

/// The path from the root: the servent runs in another folder than we.
pub fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path)
        .map_err(|error| Failure::new(Exit::Failed, format!("cannot find the way to {}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_where_they_are_wanted() {
        let table = [
            (false, "", Colour::Terminals),
            (false, "TERM=xterm CLICOLOR=1", Colour::Terminals),
            (false, "TERM=dumb", Colour::Never),
            (false, "CLICOLOR=0", Colour::Never),
            (false, "CLICOLOR_FORCE=1 TERM=dumb", Colour::Always),
            (false, "CLICOLOR_FORCE=0", Colour::Terminals),
            (false, "NO_COLOR=1 CLICOLOR_FORCE=1", Colour::Never),
            (true, "CLICOLOR_FORCE=1", Colour::Never),
        ];
        for (no_color, env, wanted) in table {
            let set = |name: &str| env.split(' ').filter_map(|var| var.split_once('=')).find(|var| var.0 == name);
            assert_eq!(colour(no_color, |name| Some(set(name)?.1.into())), wanted, "--no-color {no_color}, {env}");
        }
        assert!(Colour::Always.shows(false) && Colour::Terminals.shows(true));
        assert!(!Colour::Terminals.shows(false) && !Colour::Never.shows(true));
    }
}
