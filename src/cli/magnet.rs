//! `magnet`: links to hits, downloads and shared files, for others to get them by.

use super::args::Magnet;
use super::config::{Config, absolute};
use super::exit::{Exit, Failure};
use super::servent;
use crate::app::view::MagnetView;
use crate::web::uri::escape;

/// `magnet`.
pub async fn magnet(config: &Config, args: &Magnet) -> Result<(), Failure> {
    let client = servent::need(config).await?;
    let (mut done, mut failures) = (0, Vec::new());
    for what in &args.what {
        let query = if args.transfer {
            let id: u64 = what.parse().map_err(|_| {
                Failure::new(Exit::Usage, format!("{what:?} is no number of a transfer")).hint("See filbert transfers")
            })?;
            format!("transfer={id}")
        } else if what.parse::<u32>().is_ok() || what.to_ascii_lowercase().starts_with("urn:") {
            format!("what={}", escape(what))
        } else {
            format!("what={}", escape(&absolute(std::path::Path::new(what))?.to_string_lossy()))
        };
        match client.get::<MagnetView>(&format!("/api/v1/magnet?{query}")).await {
            Ok(view) if config.say.json => config.say.value(&view)?,
            Ok(view) => config.say.line(&view.magnet)?,
            Err(failure) => {
                failures.push(failure);
                continue;
            }
        }
        done += 1;
    }
    let Some(last) = failures.pop() else { return Ok(()) };
    failures.iter().for_each(|failure| config.failure(failure));
    Err(Failure { exit: if done > 0 { Exit::PartlyDone } else { last.exit }, ..last })
}
