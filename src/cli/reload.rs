//! SIGHUP: `config.toml` and the password are read again, and what can be changed while the servent runs is changed.

use std::io::IsTerminal;

use futures::StreamExt;
use serde_json::Value;

use super::args::Up;
use super::config::Config;
use super::configure::plain;
use super::exit::Failure;
use super::notify::Notify;
use super::settings::{KEYS, Settings};
use super::{limits, logging, up};
use crate::app::Node;
use crate::web::Server;

/// What is changed while the servent runs, besides limits on speeds.
pub const AT_ONCE: &[&str] = &["exclude", "log", "neighbours", "template", "ttl"];

/// From when it is there SIGHUP waits to be heard instead of ending the process: before anybody is told that we are ready.
pub struct HangUps {
    #[cfg(unix)]
    signals: Option<async_signal::Signals>,
}

impl HangUps {
    /// From now on.
    pub fn listen() -> Self {
        Self {
            #[cfg(unix)]
            signals: async_signal::Signals::new([async_signal::Signal::Hup])
                .inspect_err(|error| log::warn!("cannot listen for SIGHUP: {error}"))
                .ok(),
        }
    }
}

/// Reads the settings again at each SIGHUP. Ready when the signal meant that the terminal is gone.
#[cfg(unix)]
pub async fn tend(
    hang_ups: HangUps,
    config: &Config,
    args: &Up,
    running: (&Node, &Server),
    settings: &Settings,
    notify: &Notify,
) {
    let (node, server) = running;
    let at_terminal = std::io::stdin().is_terminal();
    let Some(mut signals) = hang_ups.signals else { return futures::future::pending().await };
    let mut now = settings.clone();
    while let Some(signal) = signals.next().await {
        if signal.is_err() {
            continue;
        }
        if at_terminal && !std::io::stdin().is_terminal() {
            return;
        }
        notify.reloading();
        if server.read_password().await {
            config.say.note("filbert: the password is another one");
        }
        let status = match reload(config, args, node, &now).await {
            Ok((next, words)) => {
                now = next;
                words
            }
            Err(failure) => format!("the settings stay as they were: {}", failure.message),
        };
        config.say.note(&format!("filbert: {status}"));
        notify.ready(&status);
    }
    futures::future::pending().await
}

/// There is no such signal.
#[cfg(not(unix))]
pub async fn tend(_: HangUps, _: &Config, _: &Up, _: (&Node, &Server), _: &Settings, _: &Notify) {
    futures::future::pending().await
}

/// What holds now, and what has come of it, in words.
async fn reload(config: &Config, args: &Up, node: &Node, before: &Settings) -> Result<(Settings, String), Failure> {
    let after = up::settings(config, args)?;
    let (mut done, mut later) = (Vec::new(), Vec::new());
    let overruled = |name: &str| name == "log" && logging::is_chosen(config);
    for key in KEYS.iter().filter(|key| !overruled(key.name)) {
        let Some(value) = after.value(key.name).filter(|value| before.value(key.name) != Some(value)) else { continue };
        if change(config, node, key.name, value, &after).await? { &mut done } else { &mut later }.push(key.name);
    }
    let mut words = match done.len() {
        0 => "the settings were read again; nothing that can be changed now has changed".to_owned(),
        _ => format!("the settings were read again; changed: {}", done.join(", ")),
    };
    if !later.is_empty() {
        words += &format!("; from the next start on: {}", later.join(", "));
    }
    Ok((after, words))
}

/// Changes one, if that can be done now.
async fn change(config: &Config, node: &Node, name: &str, value: &Value, all: &Settings) -> Result<bool, Failure> {
    match name {
        "log" => logging::apply(config, all),
        "neighbours" => node.set_neighbours(usize::try_from(all.number(name)).unwrap_or(usize::MAX)).await?,
        "ttl" => node.set_ttl(u8::try_from(all.number(name)).unwrap_or(u8::MAX)),
        "exclude" => node.set_exclude(all.list(name)).await?,
        // `get` reads it each time.
        "template" => {}
        _ => match limits::change_of(name, &plain(value)) {
            Some(speeds) => {
                node.set_limits(&speeds)?;
            }
            None => return Ok(false),
        },
    }
    Ok(true)
}
