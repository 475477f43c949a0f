//! `watch`: saved searches.

use serde_json::{Value, json};

use super::args::{Watch, WatchAct};
use super::client::Client;
use super::config::Config;
use super::exit::{Exit, Failure};
use super::say::Column::{Number, Stretch, Text, Whole};
use super::{search, servent, text};
use crate::app::speed_text;
use crate::app::view::{HitView, WatchView};
use crate::base::Speed;
use crate::library::Criteria;

/// `watch`.
pub async fn watch(config: &Config, args: &Watch) -> Result<(), Failure> {
    let client = servent::need(config).await?;
    match &args.act {
        None => list(config, &client).await,
        Some(WatchAct::Add { words, get, max }) => add(config, &client, words, *get, max.as_deref()).await,
        Some(WatchAct::Hits { id }) => hits(config, &client, *id).await,
        Some(WatchAct::Remove { ids }) => {
            for id in ids {
                client.delete(&format!("/api/v1/watches/{id}")).await?;
                config.say.note(&format!("watch {id} asks no more"));
            }
            Ok(())
        }
        Some(WatchAct::Pause { ids }) => change(config, &client, ids, "pause").await,
        Some(WatchAct::Resume { ids }) => change(config, &client, ids, "resume").await,
    }
}

async fn add(config: &Config, client: &Client, words: &[String], get: bool, max: Option<&str>) -> Result<(), Failure> {
    let query = search::words(words).join(" ");
    Criteria::parse(&query).map_err(|error| Failure::new(Exit::Usage, error.0))?;
    let body = json!({ "query": query, "get": get, "max": max });
    let view: WatchView = client.post("/api/v1/watches", body).await?;
    if config.say.json {
        return config.say.value(&view);
    }
    let gets = match view.max {
        Some(max) => format!(" What it finds is fetched up to {} a file.", speed_text(Speed::Bytes(max))),
        None => String::new(),
    };
    config.say.line(&format!("watch {} asks for {}.{gets}", view.id, text::safe(&view.query)))?;
    config.say.note(&config.say.dim(&format!("What it found: filbert{} watch hits {}", config.home.flag, view.id)));
    Ok(())
}

async fn list(config: &Config, client: &Client) -> Result<(), Failure> {
    let watches: Vec<WatchView> = client.get("/api/v1/watches").await?;
    if config.say.json {
        return watches.iter().try_for_each(|watch| config.say.value(watch));
    }
    if watches.is_empty() {
        config.say.note(&format!("no saved searches. Begin with filbert{} watch add WORDS", config.home.flag));
        return Ok(());
    }
    let rows: Vec<Vec<String>> = watches.iter().map(row).collect();
    config.say.table(
        &[Number("n"), Stretch("words"), Text("asked"), Text("next"), Number("new"), Number("hits"), Number("fetched")],
        &rows,
    )
}

fn row(watch: &WatchView) -> Vec<String> {
    vec![
        watch.id.to_string(),
        text::safe(&watch.query),
        watch.asked_ago_s.map_or_else(|| "never".to_owned(), |ago| format!("{} ago", text::clock(ago))),
        match watch.next_s {
            None => "paused".to_owned(),
            Some(0) => "now".to_owned(),
            Some(next) => format!("in {}", text::clock(next)),
        },
        watch.new.to_string(),
        watch.hits.to_string(),
        match watch.max {
            Some(max) => format!("{}, up to {}", watch.fetched, speed_text(Speed::Bytes(max))),
            None => "no".to_owned(),
        },
    ]
}

async fn hits(config: &Config, client: &Client, id: u64) -> Result<(), Failure> {
    let hits: Vec<HitView> = client.get(&format!("/api/v1/watches/{id}/hits")).await?;
    if config.say.json {
        hits.iter().try_for_each(|hit| config.say.value(hit))?;
    } else if hits.is_empty() {
        config.say.note(&format!("watch {id} has found nothing yet"));
    } else {
        let rows: Vec<Vec<String>> = hits
            .iter()
            .map(|hit| {
                let urn = hit.urn.clone().unwrap_or_default();
                vec![text::safe(&hit.name), text::size(hit.size), text::safe(&urn)]
            })
            .collect();
        config.say.table(&[Stretch("name"), Number("size"), Whole("urn")], &rows)?;
        config.say.note(&format!("fetch one: filbert{} get URN", config.home.flag));
    }
    client.post::<Value>(&format!("/api/v1/watches/{id}/read"), Value::Null).await.map(|_| ())
}

async fn change(config: &Config, client: &Client, ids: &[u64], act: &str) -> Result<(), Failure> {
    for id in ids {
        let view: WatchView = client.post(&format!("/api/v1/watches/{id}/{act}"), Value::Null).await?;
        if config.say.json {
            config.say.value(&view)?;
        } else {
            config.say.note(&format!("watch {id} {}", if view.paused { "asks no more for now" } else { "asks again" }));
        }
    }
    Ok(())
}
