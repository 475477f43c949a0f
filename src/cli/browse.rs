//! `browse`: all that a host shares, as it tells it.

use std::sync::Mutex;

use futures::StreamExt;
use serde_json::json;

use super::config::Config;
use super::exit::{Exit, Failure};
use super::servent::{self, Whose};
use super::{say, search, text};
use crate::app::view::{HitView, SearchDone, SearchLine, SearchView};

/// `browse`.
pub async fn browse(config: &Config, host: &str) -> Result<(), Failure> {
    let begun = &Mutex::new(None);
    let done = servent::with(config, &[], |client, whose| async move {
        let list: SearchView = client.post("/api/v1/browse", json!({ "host": host })).await.map_err(harmless)?;
        if let (Whose::Running, Ok(mut begun)) = (whose, begun.lock()) {
            *begun = Some((client.clone(), list.id));
        }
        let mut lines = client.lines::<SearchLine>(&format!("/api/v1/searches/{}/hits?follow=1", list.id)).await?;
        let mut bytes = 0_u64;
        while let Some(line) = lines.next().await {
            match line? {
                SearchLine::Hit(hit) => {
                    bytes = bytes.saturating_add(hit.size);
                    if config.say.json {
                        config.say.value(&hit)?;
                    } else {
                        config.say.line(&row(&hit))?;
                    }
                }
                SearchLine::Done(done) => return end(config, host, &done, bytes),
            }
        }
        Err(Failure::new(Exit::Failed, "the servent went away in the middle of the list"))
    })
    .await;
    search::let_go(&done, begun).await;
    done
}

/// What the host said stands in it.
fn harmless(failure: Failure) -> Failure {
    Failure { message: text::safe(&failure.message), hint: text::safe(&failure.hint), ..failure }
}

fn row(hit: &HitView) -> String {
    // Number and size keep their columns; the name takes what is left.
    let shown = if hit.folder.is_empty() { hit.name.clone() } else { format!("{}/{}", hit.folder, hit.name) };
    format!(
        "{:>6}  {:>10}  {}",
        hit.hit,
        text::size(hit.size),
        say::rest_of_line(&text::safe(&shown), 6 + 2 + 10 + 2).trim_end()
    )
}

fn end(config: &Config, host: &str, done: &SearchDone, bytes: u64) -> Result<(), Failure> {
    if config.say.json {
        config.say.value(done)?;
    }
    if let Some(why) = done.explain.get("cut_short").and_then(|why| why.as_str()) {
        let exit = if done.hits > 0 { Exit::PartlyDone } else { Exit::Failed };
        let said = format!("{host} was not read to the end: {}", text::safe(why));
        return Err(Failure::new(exit, said).hint("What is listed can be fetched: `filbert get N`"));
    }
    if done.hits == 0 {
        return Err(Failure::new(Exit::NothingFound, format!("{host} shares nothing now")));
    }
    if !config.say.json {
        let seconds = done.elapsed_ms as f64 / 1000.0;
        let (files, size) = (text::count(done.hits, "file"), text::size(bytes));
        config.say.note(&format!("{files}, {size}, in {seconds:.1} s\nfetch one: filbert{} get 1", config.home.flag));
    }
    Ok(())
}
