//! The arguments, once parsed, as one plain value: where the home is, how to speak, what to do.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::args::{Args, Command};
use super::exit::{Exit, Failure};
use super::say::Say;
use crate::disk::Home;

/// What a command needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where this home's things are.
    pub home: Home,
    /// What to type to name this home: ` --home DIR`, or nothing.
    pub home_flag: String,
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
        let (home, home_flag) = match global.home.filter(|home| !home.as_os_str().is_empty()) {
            Some(dir) => {
                let dir = absolute(&dir)?;
                (Home::at(&dir), format!(" --home {}", quoted(&dir.display().to_string())))
            }
            None => (Home::of_user().map_err(|error| Failure::new(Exit::Failed, error.to_string()))?, String::new()),
        };
        let colour = !global.no_color && var("NO_COLOR").is_none() && var("TERM").is_none_or(|term| term != "dumb");
        let say = Say { json: global.json, quiet: global.quiet, colour };
        Ok((Self { home, home_flag, say, timeout, verbose: global.verbose }, args.command))
    }
}

/// The path from the root: the servent runs in another folder than we.
pub fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path)
        .map_err(|error| Failure::new(Exit::Failed, format!("cannot find the way to {}: {error}", path.display())))
}

/// A word as it is typed to a shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+,:@%=".contains(c);
    if word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_is_named_as_a_shell_reads_it() {
        assert_eq!(quoted("/srv/filbert-2"), "/srv/filbert-2");
        assert_eq!(quoted("/home/anna/my things"), "'/home/anna/my things'");
        assert_eq!(quoted("/home/o'hara"), "'/home/o'\\''hara'");
        assert_eq!(quoted("/home/東京"), "/home/東京");
    }
}
