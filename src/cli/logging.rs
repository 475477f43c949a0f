//! What is logged on stderr, and how much of it. The levels can be changed while the program runs.
//!
//! `-v`, `-vv` and `-q` beat `FILBERT_LOG`, which beats `RUST_LOG`, which beats the setting `log`. All but the flags
//! are levels by subsystem: `warn,filbert::net=debug`.

use std::sync::{OnceLock, PoisonError, RwLock};

use env_logger::{Builder, Logger, WriteStyle};
use log::{LevelFilter, Log, Metadata, Record};

use super::config::Config;
use super::say::Colour;
use super::settings::Settings;

/// What can be named in front of a level, besides any module of ours: documented in `docs/GUIDE.md`.
const LEVELS: &[&str] = &["off", "error", "warn", "info", "debug", "trace"];

struct Levels(RwLock<Logger>);

static LEVELS_NOW: OnceLock<Levels> = OnceLock::new();

impl Log for Levels {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        self.0.read().unwrap_or_else(PoisonError::into_inner).log(record);
    }

    fn flush(&self) {}
}

/// Begins to log: as flags or the environment say, and warnings where they say nothing.
pub fn start(config: &Config) {
    let levels = chosen(config).unwrap_or_else(|| "warn".to_owned());
    let logger = logger(config, &levels);
    let most = logger.filter();
    if LEVELS_NOW.set(Levels(RwLock::new(logger))).is_ok()
        && let Some(now) = LEVELS_NOW.get()
        && log::set_logger(now).is_ok()
    {
        log::set_max_level(most);
    }
}

/// As the settings say, where neither flags nor the environment do.
pub fn apply(config: &Config, settings: &Settings) {
    if !is_chosen(config) {
        set(config, settings.text("log"));
    }
}

/// Whether flags or the environment say it, so that the settings do not count.
pub fn is_chosen(config: &Config) -> bool {
    chosen(config).is_some()
}

fn set(config: &Config, levels: &str) {
    if let Some(now) = LEVELS_NOW.get() {
        let logger = logger(config, levels);
        // Between the two more may be let through than is logged, never less.
        log::set_max_level(LevelFilter::Trace);
        let most = logger.filter();
        *now.0.write().unwrap_or_else(PoisonError::into_inner) = logger;
        log::set_max_level(most);
    }
}

/// What was typed, or is in the environment.
fn chosen(config: &Config) -> Option<String> {
    let typed = match (config.say.quiet, config.verbose) {
        (true, _) => Some("error"),
        (false, 0) => None,
        (false, 1) => Some("filbert=info,warn"),
        (false, 2) => Some("filbert=debug,info"),
        _ => Some("trace"),
    };
    let env = |name: &str| std::env::var(name).ok().filter(|levels| !levels.is_empty());
    typed.map(str::to_owned).or_else(|| env("FILBERT_LOG")).or_else(|| env("RUST_LOG"))
}

fn logger(config: &Config, levels: &str) -> Logger {
    let mut builder = Builder::new();
    builder.parse_filters(levels);
    builder.write_style(match config.say.colour {
        Colour::Never => WriteStyle::Never,
        Colour::Terminals => WriteStyle::Auto,
        Colour::Always => WriteStyle::Always,
    });
    // The journal writes down the time itself.
    if std::env::var_os("JOURNAL_STREAM").is_some() {
        builder.format_timestamp(None);
    }
    builder.build()
}

/// Whether that says levels: `warn`, or `warn,filbert::net=debug`.
pub fn check(levels: &str) -> Result<(), String> {
    let is_level = |word: &str| LEVELS.contains(&word.to_ascii_lowercase().as_str());
    let wrong = levels.split(',').map(str::trim).find(|part| match part.split_once('=') {
        None => !is_level(part),
        Some((module, level)) => module.trim().is_empty() || !is_level(level.trim()),
    });
    match wrong {
        None => Ok(()),
        Some(part) => Err(format!("{part:?} is neither a level nor MODULE=LEVEL; levels are {}", LEVELS.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_levels_by_module() {
        for good in ["warn", "off", "INFO", "warn,filbert::net=debug", "filbert=info, warn"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in ["", "loud", "filbert::net", "filbert::net=loud", "=debug", "warn,,info"] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
