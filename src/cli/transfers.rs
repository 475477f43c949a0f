//! `transfers`, `pause`, `resume`, `cancel`, `retry`.

use serde_json::Value;

use super::args::Ids;
use super::config::Config;
use super::exit::{Exit, Failure};
use super::say::Column::{Number, Stretch, Text};
use super::{get, servent, text};
use crate::app::view::TransferView;

/// `transfers`.
pub async fn transfers(config: &Config) -> Result<(), Failure> {
    let client = servent::need(config).await?;
    let transfers: Vec<TransferView> = client.get("/api/v1/transfers").await?;
    if config.say.json {
        return transfers.iter().try_for_each(|transfer| config.say.value(transfer));
    }
    if transfers.is_empty() {
        config.say.note(&format!("no transfers. Begin with filbert{} search WORDS", config.home.flag));
        return Ok(());
    }
    let rows: Vec<Vec<String>> = transfers.iter().map(row).collect();
    config.say.table(
        &[Number("id"), Text(""), Stretch("name"), Text("state"), Number("done"), Number("rate"), Number("eta")],
        &rows,
    )?;
    for transfer in transfers.iter().filter(|transfer| transfer.state != "done" && !transfer.reason.is_empty()) {
        config.say.line(&config.say.dim(&format!("{:>3}  {}", transfer.id, get::situation(transfer))))?;
    }
    Ok(())
}

fn row(transfer: &TransferView) -> Vec<String> {
    let done = match transfer.size {
        Some(size) if transfer.done < size => format!("{}%", transfer.done.saturating_mul(100) / size.max(1)),
        Some(size) => text::size(size),
        None => text::size(transfer.done),
    };
    let rate = if transfer.rate_bps > 0 { format!("{}/s", text::size(transfer.rate_bps)) } else { String::new() };
    vec![
        transfer.id.to_string(),
        transfer.direction.clone(),
        text::safe(&transfer.name),
        match transfer.priority.as_deref() {
            Some(level @ ("high" | "low")) if transfer.eta_s.is_none() && transfer.state != "done" => {
                format!("{} ({level})", transfer.state)
            }
            _ => transfer.state.clone(),
        },
        done,
        rate,
        transfer.eta_s.map(text::clock).unwrap_or_default(),
    ]
}

/// `pause`, `resume`, `cancel` or `retry`, as `act` says.
pub async fn change(config: &Config, ids: &Ids, act: &str) -> Result<(), Failure> {
    change_all(config, &ids.ids, act, &Value::Null).await
}

/// `priority ID... LEVEL`.
pub async fn prioritise(config: &Config, words: &[String]) -> Result<(), Failure> {
    let usage = |what: String| Failure::new(Exit::Usage, what).hint("Say filbert priority ID... high|normal|low");
    let Some((level, ids)) = words.split_last() else { return Err(usage("no download is named".into())) };
    if !matches!(level.as_str(), "high" | "normal" | "low") {
        return Err(usage(format!("{level:?} is no priority")));
    }
    let ids = ids.iter().map(|id| id.parse().map_err(|_| usage(format!("{id:?} is no number of a download"))));
    let ids = ids.collect::<Result<Vec<u64>, _>>()?;
    change_all(config, &ids, "priority", &serde_json::json!({ "priority": level })).await
}

async fn change_all(config: &Config, ids: &[u64], act: &str, body: &Value) -> Result<(), Failure> {
    let client = servent::need(config).await?;
    let mut failures = Vec::new();
    for id in ids {
        match client.post::<TransferView>(&format!("/api/v1/transfers/{id}/{act}"), body.clone()).await {
            Ok(transfer) if config.say.json => config.say.value(&transfer)?,
            Ok(transfer) => {
                config.say.note(&format!("{id}  {}: {}", text::safe(&transfer.name), get::situation(&transfer)));
            }
            Err(failure) => {
                let act = if act == "priority" { "prioritise" } else { act };
                // Most say so themselves.
                let message = match failure.message.starts_with("cannot ") {
                    true => failure.message,
                    false => format!("cannot {act} {id}: {}", failure.message),
                };
                failures.push(Failure { message, ..failure })
            }
        }
    }
    let partly = failures.len() < ids.len();
    let Some(last) = failures.pop() else { return Ok(()) };
    failures.iter().for_each(|failure| config.failure(failure));
    Err(Failure { exit: if partly { Exit::PartlyDone } else { last.exit }, ..last })
}
