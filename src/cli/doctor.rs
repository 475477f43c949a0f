//! `doctor`: what is wrong, each with its fix.

use super::args::Up;
use super::config::Config;
use super::exit::{Exit, Failure};
use super::{servent, text, up};
use crate::app::doctor;
use crate::app::view::FindingView;
use crate::net::rt;

/// `doctor`.
pub async fn doctor(config: &Config) -> Result<(), Failure> {
    let findings = match servent::find(&config.home).await {
        Some(client) => client.get("/api/v1/doctor").await?,
        None => without_servent(config).await?,
    };
    for finding in &findings {
        match config.say.json {
            true => config.say.value(finding)?,
            false => tell(config, finding)?,
        }
    }
    match findings.iter().filter(|finding| finding.state == "problem").count() {
        0 => Ok(()),
        _ => Err(Failure::silent(Exit::Failed)),
    }
}

async fn without_servent(config: &Config) -> Result<Vec<FindingView>, Failure> {
    let settings = up::settings(config, &Up::default())?;
    let dir = up::options(config, &Up::default(), &settings)?.download_dir.unwrap_or(config.home.downloads.clone());
    let mut findings = vec![doctor::no_servent(&config.home.state, &config.home_flag)];
    findings.extend(rt::spawn_blocking(move || doctor::local(&dir, 0)).await);
    Ok(findings)
}

fn tell(config: &Config, finding: &FindingView) -> Result<(), Failure> {
    let (mark, style) = match finding.state.as_str() {
        "problem" => ("problem", "31"),
        "note" => ("note   ", "33"),
        _ => ("ok     ", "32"),
    };
    let mark = config.say.paint(style, mark);
    config.say.line(&format!("{mark}  {}: {}", finding.check, text::safe(&finding.what)))?;
    match &finding.fix {
        Some(fix) => config.say.line(&format!("         -> {}", text::safe(fix))),
        None => Ok(()),
    }
}
