//! `doctor`: what is wrong, each with its fix.

use std::path::Path;

use super::args::Up;
use super::config::Config;
use super::exit::{Exit, Failure};
use super::{bundle, servent, text, up};
use crate::app::doctor;
use crate::app::view::FindingView;
use crate::net::rt;

/// `doctor`.
pub async fn doctor(config: &Config, bundle: Option<&Path>) -> Result<(), Failure> {
    let client = servent::find(&config.home).await;
    let findings = match &client {
        Some(client) => client.get("/api/v1/doctor").await?,
        None => without_servent(config).await?,
    };
    if let Some(file) = bundle {
        return bundle::write(config, client.as_ref(), &findings, file).await;
    }
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
    let mut findings = vec![doctor::no_servent(&config.home.state)];
    let wanted = |key: &str| settings.address(key).map(|at| doctor::Wanted { at, given: settings.given(key) });
    let (listen, api) = (wanted("listen")?, wanted("api")?);
    let (home, reach) = (config.home.clone(), settings.reach()?);
    let look = move || {
        let open = reach.finding(api.at, &home).into_iter().collect();
        [doctor::ports(listen, api), open, doctor::local(&home, &dir, 0)].concat()
    };
    findings.extend(rt::spawn_blocking(look).await);
    Ok(doctor::typed(findings, &config.home))
}

fn tell(config: &Config, finding: &FindingView) -> Result<(), Failure> {
    let (mark, style) = match finding.state.as_str() {
        "problem" => ("problem", "31"),
        "note" => ("note   ", "33"),
        _ => ("ok     ", "32"),
    };
    let mark = config.say.paint(style, mark);
    config.say.prose(&format!("{mark}  {}: {}", finding.check, text::safe(&finding.what)), 9)?;
    match &finding.fix {
        Some(fix) => config.say.prose(&format!("         -> {}", text::safe(fix)), 12),
        None => Ok(()),
    }
}
