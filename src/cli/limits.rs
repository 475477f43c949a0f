//! `limits` and `turtle`: how fast files may come and go. What is said holds at once in the running servent, and is
//! written into `config.toml` for the next one.

use super::args::{Speeds, Turtle};
use super::client::Client;
use super::config::Config;
use super::exit::{Exit, Failure};
use super::say::Column::{Stretch, Text};
use super::settings;
use super::{servent, up};
use crate::app::view::SpeedsView;
use crate::app::{SpeedsRequest, speed_text};
use crate::base::Speed;

/// `limits`.
pub async fn limits(config: &Config, args: &Speeds) -> Result<(), Failure> {
    let change = SpeedsRequest {
        down: args.down.clone(),
        up: args.up.clone(),
        peer_up: args.per_peer.clone(),
        ..SpeedsRequest::default()
    };
    show(config, &change_to(config, &change).await?)
}

/// `turtle`.
pub async fn turtle(config: &Config, args: &Turtle) -> Result<(), Failure> {
    let turtle = match args.switch.as_deref() {
        Some(word) => Some(word == "on"),
        // Speeds alone are no switch.
        None if args.down.is_some() || args.up.is_some() => None,
        None => Some(!change_to(config, &SpeedsRequest::default()).await?.turtle),
    };
    let change =
        SpeedsRequest { turtle, turtle_down: args.down.clone(), turtle_up: args.up.clone(), ..Default::default() };
    show(config, &change_to(config, &change).await?)
}

/// Writes what is to change into the settings and tells the running servent; what holds then.
async fn change_to(config: &Config, change: &SpeedsRequest) -> Result<SpeedsView, Failure> {
    let written = [
        ("limit_down", change.down.clone()),
        ("limit_up", change.up.clone()),
        ("limit_peer_up", change.peer_up.clone()),
        ("turtle", change.turtle.map(|on| on.to_string())),
        ("turtle_down", change.turtle_down.clone()),
        ("turtle_up", change.turtle_up.clone()),
    ];
    let written: Vec<_> = written.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    // All or nothing: a wrong word is found before the first is written.
    for (name, value) in &written {
        let key = settings::find(name).ok_or_else(|| settings::unknown(name))?;
        key.parse(value).map_err(|why| Failure::new(Exit::Usage, why))?;
    }
    for (name, value) in &written {
        settings::set(&config.home.config, name, value)?;
    }
    match servent::find(&config.home).await {
        Some(client) => apply(&client, change).await,
        None => Ok(up::settings(config, &super::args::Up::default())?.speeds()?.view()),
    }
}

/// Tells a running servent; what holds then.
pub async fn apply(client: &Client, change: &SpeedsRequest) -> Result<SpeedsView, Failure> {
    if serde_json::to_value(change).is_ok_and(|value| value == serde_json::json!({})) {
        return client.get("/api/v1/limits").await;
    }
    let body = serde_json::to_value(change).map_err(std::io::Error::from)?;
    client.put("/api/v1/limits", body).await
}

/// What a setting changes of it; `None` for settings of other things.
pub fn change_of(key: &str, value: &str) -> Option<SpeedsRequest> {
    let text = || Some(value.trim().to_owned());
    let none = SpeedsRequest::default();
    Some(match key {
        "limit_down" => SpeedsRequest { down: text(), ..none },
        "limit_up" => SpeedsRequest { up: text(), ..none },
        "limit_peer_up" => SpeedsRequest { peer_up: text(), ..none },
        "turtle" => SpeedsRequest { turtle: Some(matches!(value.trim(), "true" | "on" | "yes" | "1")), ..none },
        "turtle_down" => SpeedsRequest { turtle_down: text(), ..none },
        "turtle_up" => SpeedsRequest { turtle_up: text(), ..none },
        _ => return None,
    })
}

fn show(config: &Config, limits: &SpeedsView) -> Result<(), Failure> {
    if config.say.json {
        return config.say.value(limits);
    }
    let row = |what: &str, all, turtle| [what.to_owned(), typed(all), turtle].to_vec();
    let turtle = |speed| typed(speed);
    let rows = [
        row("down", limits.down_bps, turtle(limits.turtle_down_bps)),
        row("up", limits.up_bps, turtle(limits.turtle_up_bps)),
        row("up, each peer", limits.peer_up_bps, String::new()),
    ];
    let head = if limits.turtle { "turtle (on)" } else { "turtle (off)" };
    config.say.table(&[Stretch(""), Text("limit"), Text(head)], &rows)
}

/// `500K/s`, `off`, `0 (paused)`.
fn typed(speed: Option<u64>) -> String {
    match speed {
        None => "off".to_owned(),
        Some(0) => "0 (paused)".to_owned(),
        Some(bytes) => format!("{}/s", speed_text(Speed::Bytes(bytes))),
    }
}

/// `limits: down 500K/s, up 0 (paused), turtle on`; nothing where there is no limit.
pub fn in_words(limits: &SpeedsView) -> String {
    let mut words = Vec::new();
    let both = [("down", limits.down_now_bps), ("up", limits.up_now_bps), ("up to each peer", limits.peer_up_bps)];
    for (what, speed) in both.into_iter().filter(|(_, speed)| speed.is_some()) {
        words.push(format!("{what} {}", typed(speed)));
    }
    if limits.turtle {
        words.push("turtle on".to_owned());
    }
    if words.is_empty() { String::new() } else { format!("limits: {}", words.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_said_where_there_are_some() {
        assert_eq!(in_words(&SpeedsView::default()), "");
        let limits = SpeedsView {
            down_now_bps: Some(500_000),
            up_now_bps: Some(0),
            peer_up_bps: Some(65_536),
            turtle: true,
            ..SpeedsView::default()
        };
        assert_eq!(in_words(&limits), "limits: down 500K/s, up 0 (paused), up to each peer 64Ki/s, turtle on");
    }

    #[test]
    fn every_setting_of_speeds_is_told_to_the_servent() {
        for key in settings::KEYS.iter() {
            let ours = key.name.starts_with("limit_") || key.name.starts_with("turtle");
            assert_eq!(change_of(key.name, "0").is_some(), ours, "{}", key.name);
        }
        assert_eq!(change_of("turtle", "on").and_then(|change| change.turtle), Some(true));
    }
}
