//! `config`: shows and changes the settings of this home.

use std::process::Command;

use serde_json::{Value, json};

use super::args::{Settings as Args, SettingsAct, Up};
use super::config::Config;
use super::exit::{Exit, Failure};
use super::settings::{self, KEYS};
use super::{files, limits, reload, servent};
use crate::web::{Names, Reach, Setting};

/// `config` and what follows it.
pub async fn configure(config: &Config, args: &Args) -> Result<(), Failure> {
    let file = &config.home.config;
    match &args.act {
        None => get(config, None, false).await,
        Some(SettingsAct::Get { origin, key }) => get(config, key.as_deref(), *origin).await,
        Some(SettingsAct::Set { key, value }) => {
            may_start(config, key, value)?;
            settings::set(file, key, value)?;
            if let Some(client) = servent::find(&config.home).await {
                match limits::change_of(key, value) {
                    Some(change) => {
                        limits::apply(&client, &change).await?;
                    }
                    None if cfg!(unix) && reload::AT_ONCE.contains(&key.as_str()) => {
                        config
                            .say
                            .note("filbert: written; the running servent takes it at SIGHUP, or at its next start");
                    }
                    None => config.say.note("filbert: written; the running servent takes it at its next start"),
                }
            }
            Ok(())
        }
        Some(SettingsAct::Path) if config.say.json => config.say.value(&json!({ "path": file })),
        Some(SettingsAct::Path) => config.say.line(&file.display().to_string()),
        Some(SettingsAct::Edit) => edit(config),
    }
}

/// Refuses what no start would take.
fn may_start(config: &Config, key: &str, value: &str) -> Result<(), Failure> {
    let now = || super::up::settings(config, &Up::default());
    let parsed = settings::find(key).and_then(|key| key.parse(value).ok()).unwrap_or_default();
    match (key, &parsed) {
        ("api", Value::String(addr)) => {
            if let Ok(addr) = addr.parse() {
                now()?.reach()?.may_open(addr, &config.home)?;
            }
        }
        ("api_remote", Value::Bool(true)) => {
            Reach::Beyond(Names::default()).may_open(now()?.address("api")?, &config.home)?;
        }
        ("api_host", Value::Array(names)) => {
            let names = names.iter().filter_map(Value::as_str).map(str::to_owned);
            Names::parse(&names.collect::<Vec<_>>())?;
        }
        _ => {}
    }
    Ok(())
}

/// What the servent runs with where a flag was given to it; else what its next start would take.
async fn get(config: &Config, key: Option<&str>, origin: bool) -> Result<(), Failure> {
    let wanted = key.map(|name| settings::find(name).ok_or_else(|| settings::unknown(name))).transpose()?;
    let mut views = super::up::settings(config, &Up::default())?.views();
    if let Some(client) = servent::find(&config.home).await {
        let running: Vec<Setting> = client.get("/api/v1/config").await?;
        for flag in running.into_iter().filter(|setting| setting.origin == "flag") {
            if let Some(view) = views.iter_mut().find(|view| view.key == flag.key) {
                *view = flag;
            }
        }
    }
    let mut shown: Vec<&Setting> =
        views.iter().filter(|view| wanted.is_none_or(|wanted| wanted.name == view.key)).collect();
    shown.sort_by_key(|view| KEYS.iter().position(|key| key.name == view.key));
    if wanted.is_none() && !config.say.json {
        // What it does has a line of its own: names are there to be copied, and values may be long.
        for view in shown {
            let value = Some(plain(&view.value)).filter(|value| !value.is_empty()).unwrap_or_else(|| "\"\"".into());
            let setting = config.say.bold(&format!("{} = {value}", view.key));
            config.say.line(&format!("{setting}  ({})", view.origin))?;
            config.say.prose(&format!("    {}", settings::find(&view.key).map_or("", |key| key.what)), 4)?;
        }
        return Ok(());
    }
    for view in shown {
        match (config.say.json, origin) {
            (true, _) => config.say.value(view)?,
            (false, true) => config.say.line(&format!("{} ({})", plain(&view.value), view.origin))?,
            (false, false) => config.say.line(&plain(&view.value))?,
        }
    }
    Ok(())
}

/// A value as it would be typed.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().map(plain).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

fn edit(config: &Config) -> Result<(), Failure> {
    let file = &config.home.config;
    if !file.exists() {
        let lines = KEYS.iter().map(|key| format!("# {}: {}\n", key.name, key.what));
        let text =
            format!("# Settings of filbert. A flag or FILBERT_... beats what is here.\n{}", lines.collect::<String>());
        files::write(file, text.as_bytes(), files::Secrecy::Plain)?;
    }
    let editor =
        ["VISUAL", "EDITOR"].iter().find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    let editor = editor.unwrap_or_else(|| "vi".into());
    // EDITOR may hold arguments ("code --wait").
    let mut words = editor.split_whitespace();
    let program = words.next().unwrap_or("vi");
    let ended = Command::new(program).args(words).arg(file).status();
    match ended {
        Ok(status) if status.success() => {
            super::up::settings(config, &Up::default())?;
            Ok(())
        }
        Ok(_) => Err(Failure::new(Exit::Failed, format!("{program} ended with an error"))),
        Err(error) => Err(Failure::new(Exit::Failed, format!("cannot start {program}: {error}"))
            .hint(format!("Set EDITOR, or edit {} yourself", file.display()))),
    }
}
