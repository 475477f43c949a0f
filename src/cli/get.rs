//! `get`: starts downloads in the servent and watches them to their end.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::time::Duration;

use futures::StreamExt;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Deserialize;
use serde_json::json;

use super::args::Get;
use super::client::{Client, ErrorText};
use super::config::{Config, absolute};
use super::exit::{Exit, Failure};
use super::servent::{self, Whose};
use super::{search, text};
use crate::app::view::TransferView;
use crate::app::{ErrorCode, GetRequest};
use crate::net::rt;

/// Where whole folders go.
pub(super) const FOLDERS: &str = "{dir}/{name}";
/// A private servent stays so long after the last player.
const STAYS: Duration = Duration::from_secs(30);
/// ... and looks so often whether there is one.
const LOOKS: Duration = Duration::from_secs(1);
/// Files of one command at most.
const MOST: usize = 10_000;
/// Of many so many are asked for with one call, which has no more than about so many bytes.
const AT_ONCE: usize = 100;
const CALL: usize = 32 * 1024;
/// Of so many it is asked whether they are done.
const AHEAD: usize = 32;

/// `get`.
pub async fn get(config: &Config, args: &Get) -> Result<(), Failure> {
    let dir = args.out.as_deref().map(absolute).transpose()?;
    let several = numbers(&args.what)?;
    // Where `-o` or `--name` says it, the setting does not.
    let template = match &args.template {
        None if args.name.is_none() => {
            let settings = super::up::settings(config, &super::args::Up::default())?;
            let template = settings.text("template");
            match args.folder {
                // The folders are what was asked for.
                Some(_) if !template.contains("{dir}") => Some(FOLDERS.to_owned()),
                _ => Some(template.to_owned()).filter(|template| !template.is_empty()),
            }
        }
        template => template.clone(),
    };
    if args.name.is_some() && several.len() > 1 {
        return Err(Failure::new(Exit::Usage, "one name does not do for several files").hint("Get them one by one"));
    }
    let watched = servent::with(config, &args.connect, |client, whose| async move {
        let mut wanted = several.clone();
        if let Some(folder) = &args.folder {
            wanted = in_folder(config, &client, folder).await?;
        }
        if let Some(words) = &args.best {
            let hit = search::best(&client, words, whose).await?;
            if config.say.json {
                config.say.value(&search::chosen(&hit))?;
            } else {
                config.say.note(&format!("taking {} from {}", text::safe(&hit.name), text::safe(&hit.source.addr)));
            }
            wanted.push(hit.hit.to_string());
        }
        // All are started before the first is watched: the servent fetches them side by side.
        let request = |what: &String| GetRequest {
            what: what.clone(),
            dir: dir.clone(),
            name: args.name.clone(),
            on_exists: args.on_exists.clone(),
            priority: args.priority.clone(),
            template: template.clone(),
            search: None,
        };
        let started = start(&client, wanted.iter().map(request)).await?;
        for transfer in started.iter().flatten().filter(|transfer| lies_elsewhere(transfer, dir.as_deref())) {
            let name = text::safe(&transfer.name);
            config.say.note(&format!("filbert: {name} was fetched before and stays where it is; copy it from there"));
        }
        if args.play {
            for transfer in started.iter().flatten() {
                address(config, &client, transfer.id).await?;
            }
        }
        // Who asked for an address has it, and what fetches the file goes on.
        let leave = args.play && whose == Whose::Running && !config.say.json;
        let (mut done, mut failures) = (0, Vec::new());
        let mut done_ones = DoneOnes::of(&started);
        for (what, transfer) in wanted.iter().zip(started) {
            let watched = match transfer {
                Ok(_) if leave => Ok(()),
                Ok(transfer) => {
                    match done_ones.look(&client, transfer.id).await.map_err(|failure| lost(config, failure))? {
                        Some(transfer) => finish(config, &transfer, args.play),
                        None => watch(config, &client, transfer.id, whose, args.play).await,
                    }
                }
                Err(failure) => Err(failure),
            };
            match watched {
                Ok(()) => done += 1,
                Err(failure) if failure.message.is_empty() => return Err(failure),
                Err(failure) => failures.push(Failure {
                    message: format!("cannot get {}: {}", text::safe(what), text::safe(&failure.message)),
                    hint: text::safe(&failure.hint),
                    ..failure
                }),
            }
        }
        if args.play && whose == Whose::Private {
            last_player(config, &client).await?;
        }
        verdict(config, done, failures)
    })
    .await;
    if let Err(failure) = &watched
        && matches!(failure.exit, Exit::Interrupted | Exit::TimedOut)
    {
        config.say.note(&match servent::find(&config.home).await {
            Some(_) => format!("filbert: the download goes on in the servent: filbert{} transfers", config.home.flag),
            None => format!("filbert: what is there is kept; filbert{} up goes on with it", config.home.flag),
        });
    }
    watched
}

/// What came of a call, or of one download in it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Started {
    Transfer(Box<TransferView>),
    Error(ErrorText),
}

/// Starts downloads, many with one call: the servent then writes them down together.
pub(super) async fn start(
    client: &Client,
    requests: impl IntoIterator<Item = GetRequest>,
) -> Result<Vec<Result<TransferView, Failure>>, Failure> {
    let mut started = Vec::new();
    let mut requests = requests.into_iter().peekable();
    while requests.peek().is_some() {
        let (mut call, mut length) = (Vec::new(), 0);
        let fits = |length: usize, request: &GetRequest| length == 0 || length + request.what.len() < CALL;
        while let Some(request) = requests.next_if(|request| call.len() < AT_ONCE && fits(length, request)) {
            let request = serde_json::to_value(request).map_err(std::io::Error::from)?;
            length += request.to_string().len();
            call.push(request);
        }
        let many = call.len();
        let came: Vec<Started> = match client.post("/api/v1/transfers/many", call.into()).await {
            Ok(came) => came,
            Err(failure) => {
                // The others may do.
                started.extend(std::iter::repeat_n(Err(failure), many));
                continue;
            }
        };
        started.extend(came.into_iter().map(|started| match started {
            Started::Transfer(transfer) => Ok(*transfer),
            Started::Error(error) => Err(error.into()),
        }));
    }
    Ok(started)
}

/// Those downloads that are done: of thousands most are when it is their turn to be watched.
struct DoneOnes {
    /// Those not asked about since.
    left: VecDeque<u64>,
    done: BTreeMap<u64, TransferView>,
}

impl DoneOnes {
    fn of(started: &[Result<TransferView, Failure>]) -> Self {
        Self { left: started.iter().flatten().map(|transfer| transfer.id).collect(), done: BTreeMap::new() }
    }

    /// How it ended, if it is done; asks of those that follow too.
    async fn look(&mut self, client: &Client, id: u64) -> Result<Option<TransferView>, Failure> {
        if let Some(transfer) = self.done.remove(&id) {
            return Ok(Some(transfer));
        }
        while self.left.front().is_some_and(|left| *left != id) {
            self.left.pop_front();
        }
        let ids: Vec<String> = self.left.iter().take(AHEAD).map(u64::to_string).collect();
        let now: Vec<TransferView> = client.get(&format!("/api/v1/transfers?ids={}", ids.join(","))).await?;
        self.done.extend(now.into_iter().filter(|it| it.state == "done").map(|it| (it.id, it)));
        Ok(self.done.remove(&id))
    }
}

/// Whether it was done before, and not in the folder that is asked for now.
fn lies_elsewhere(transfer: &TransferView, dir: Option<&Path>) -> bool {
    let elsewhere = |dir: &Path| transfer.path.as_ref().is_some_and(|path| !path.starts_with(dir));
    transfer.state == "done" && dir.is_some_and(elsewhere)
}

/// The numbers of what the latest list has in a folder.
async fn in_folder(config: &Config, client: &Client, folder: &str) -> Result<Vec<String>, Failure> {
    let path = format!("/api/v1/folder?path={}", crate::web::uri::escape(folder));
    let numbers: Vec<u32> = client.get(&path).await?;
    if numbers.len() > MOST {
        let message = format!("{} files are in {}; {MOST} are fetched at once", numbers.len(), text::safe(folder));
        return Err(Failure::new(Exit::Usage, message).hint("Name a folder in it, or numbers: `filbert get 1-10000`"));
    }
    config.say.note(&format!("filbert: {} in {}", text::count(numbers.len() as u64, "file"), text::safe(folder)));
    Ok(numbers.iter().map(u32::to_string).collect())
}

/// `3-17` is the numbers from 3 to 17.
fn numbers(what: &[String]) -> Result<Vec<String>, Failure> {
    let mut all = Vec::new();
    for what in what {
        let ends = what.split_once('-').and_then(|(a, b)| Some((a.parse::<u32>().ok()?, b.parse::<u32>().ok()?)));
        match ends {
            None => all.push(what.clone()),
            Some((first, last)) if first == 0 || last < first => {
                return Err(Failure::new(Exit::Usage, format!("{what} names no hits")).hint("Say for example 3-17"));
            }
            Some((first, last)) => all.extend((first..=last).take(MOST + 1).map(|number| number.to_string())),
        }
        if all.len() > MOST {
            return Err(Failure::new(Exit::Usage, format!("more than {MOST} files at once")).hint("Get them in parts"));
        }
    }
    Ok(all)
}

/// All done, none done (as the first of them failed), or some.
fn verdict(config: &Config, done: usize, failures: Vec<Failure>) -> Result<(), Failure> {
    let all = done + failures.len();
    let Some((last, others)) = failures.split_last() else { return Ok(()) };
    for failure in others {
        config.failure(failure);
    }
    let exit = if done > 0 { Exit::PartlyDone } else { failures[0].exit };
    if all > 1 {
        config.failure(last);
        return Err(Failure::new(exit, format!("{done} of {all} are done")));
    }
    Err(Failure { exit, ..last.clone() })
}

/// Shows one download until it ends; on stdout only the finished path.
async fn watch(config: &Config, client: &Client, id: u64, whose: Whose, played: bool) -> Result<(), Failure> {
    let mut changes = client.lines::<TransferView>(&format!("/api/v1/transfers/{id}?follow=1")).await?;
    let mut progress = Progress::new(config);
    while let Some(change) = changes.next().await {
        let transfer = change.map_err(|failure| lost(config, failure))?;
        match transfer.state.as_str() {
            "done" => {
                progress.clear();
                return finish(config, &transfer, played);
            }
            "failed" => {
                progress.clear();
                let exit = transfer.error.map_or(Exit::Failed, Exit::from);
                let hint = match transfer.error {
                    Some(ErrorCode::VerificationFailed) => {
                        "At most what was proven is kept; search for another source".to_owned()
                    }
                    Some(ErrorCode::NotFound) => String::new(),
                    _ if whose == Whose::Private => "Then say the same again: what is there is kept".to_owned(),
                    _ => format!("Try again: filbert{} retry {id}", config.home.flag),
                };
                return Err(Failure::new(exit, transfer.reason).hint(hint));
            }
            "cancelled" => {
                progress.clear();
                return Err(Failure::new(Exit::Failed, "it was cancelled"));
            }
            _ => progress.show(&transfer)?,
        }
    }
    Err(lost(config, Failure::new(Exit::Failed, "the servent went away")))
}

fn lost(config: &Config, failure: Failure) -> Failure {
    Failure { hint: format!("The download is kept; filbert{} up goes on with it", config.home.flag), ..failure }
}

/// Where a player finds it, on stdout, at once.
async fn address(config: &Config, client: &Client, id: u64) -> Result<(), Failure> {
    let played: serde_json::Value = client.post(&format!("/api/v1/transfers/{id}/play"), json!({})).await?;
    let url = played["url"].as_str().unwrap_or_default();
    if config.say.json {
        config.say.value(&json!({ "event": "play", "id": id, "url": url }))
    } else {
        config.say.line(url)
    }
}

/// A private servent stays until nobody has played anything for a while.
async fn last_player(config: &Config, client: &Client) -> Result<(), Failure> {
    let mut silent = Duration::ZERO;
    config
        .say
        .note(&format!("filbert: it can be played until nobody has for {} s; Ctrl-C ends it now", STAYS.as_secs()));
    while silent < STAYS {
        rt::sleep(LOOKS).await;
        let transfers: Vec<TransferView> = client.get("/api/v1/transfers").await?;
        silent = if transfers.iter().any(|transfer| transfer.players > 0) { Duration::ZERO } else { silent + LOOKS };
    }
    Ok(())
}

fn finish(config: &Config, transfer: &TransferView, played: bool) -> Result<(), Failure> {
    let path = transfer.path.clone().unwrap_or_default();
    let verified = transfer.verified.clone().unwrap_or_else(|| "none".into());
    if config.say.json {
        return config.say.value(&json!({
            "event": "done",
            "id": transfer.id,
            "path": path,
            "bytes": transfer.size.unwrap_or(transfer.done),
            "elapsed_ms": transfer.elapsed_ms,
            "sources": transfer.sources,
            "verified": verified,
        }));
    }
    if verified == "none" {
        config.say.note("filbert: no hash was known; only the size could be checked");
    }
    if played {
        // Of these the address is on stdout, and nothing else.
        config.say.note(&format!("filbert: {}", path.display()));
        return Ok(());
    }
    config.say.line(&path.display().to_string())
}

/// How a download is shown: a bar on a terminal, lines where stderr is a file or a dumb terminal, JSON on stdout.
enum Progress<'a> {
    Json(&'a Config),
    Bar(ProgressBar),
    Lines(&'a Config, String),
}

impl<'a> Progress<'a> {
    fn new(config: &'a Config) -> Self {
        if config.say.json {
            return Self::Json(config);
        }
        let bar = bar();
        // Where stderr is no terminal, or a dumb one, nothing would be seen of it.
        if bar.is_hidden() || config.say.quiet { Self::Lines(config, String::new()) } else { Self::Bar(bar) }
    }

    fn show(&mut self, transfer: &TransferView) -> Result<(), Failure> {
        match self {
            Self::Json(config) => {
                let mut line = serde_json::to_value(transfer).map_err(std::io::Error::from)?;
                line["event"] = "progress".into();
                return config.say.value(&line);
            }
            Self::Bar(bar) => {
                bar.set_length(transfer.size.unwrap_or(0));
                bar.set_position(transfer.done);
                bar.set_prefix(text::fit(&text::safe(&transfer.name), 20));
                bar.set_message(situation(transfer));
            }
            Self::Lines(config, last) => {
                let line = state_and_reason(transfer);
                if *last != line {
                    config.say.note(&format!("filbert: {} {line}", text::safe(&transfer.name)));
                    *last = line;
                }
            }
        }
        Ok(())
    }

    fn clear(&mut self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

/// A progress bar on stderr, one line however long what it says.
pub fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr_with_hz(10));
    // An invalid template would be a mistake of ours; then there is indicatif's own.
    let style = ProgressStyle::with_template("{prefix} [{bar:16}] {percent:>3}% {wide_msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Rate, sources and time to go while bytes come; else the state and why.
pub fn situation(transfer: &TransferView) -> String {
    if transfer.state == "downloading" && transfer.rate_bps > 0 {
        let eta = transfer.eta_s.map(|secs| format!(", {} to go", text::clock(secs))).unwrap_or_default();
        return format!("{}/s, {}{eta}", text::size(transfer.rate_bps), text::count(transfer.sources, "source"));
    }
    // Most reasons of a download say themselves when it goes on.
    let says = [", next try ", " again in "].iter().any(|when| transfer.reason.contains(when));
    let next = transfer.next_try_s.filter(|_| !says);
    let next = next.map(|secs| format!(", next try {}", text::clock(secs))).unwrap_or_default();
    format!("{}{next}", state_and_reason(transfer))
}

/// The state and why; once where the reason begins with the same word.
fn state_and_reason(transfer: &TransferView) -> String {
    match transfer.reason.as_str() {
        "" => transfer.state.clone(),
        reason if reason.split([' ', ':']).next() == Some(&transfer.state) => text::safe(reason),
        reason => format!("{}: {}", transfer.state, text::safe(reason)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::say::{Colour, Say};
    use crate::disk::Home;

    fn config() -> Config {
        Config {
            home: Home::at(std::path::Path::new("/nowhere")),
            say: Say { json: false, quiet: true, colour: Colour::Never },
            timeout: None,
            verbose: 0,
        }
    }

    #[test]
    fn numbers_stand_for_all_between_them() {
        let numbers = |what: &[&str]| {
            numbers(&what.iter().map(|what| (*what).to_owned()).collect::<Vec<_>>()).map_err(|failure| failure.exit)
        };
        let read = |what: &[&str]| numbers(what).expect("numbers").join(" ");
        assert_eq!(read(&["3-6", "9", "urn:sha1:A-B", "2-2"]), "3 4 5 6 9 urn:sha1:A-B 2");
        for wrong in ["5-3", "0-2", "1-4000000000"] {
            assert_eq!(numbers(&[wrong]), Err(Exit::Usage), "{wrong}");
        }
    }

    #[test]
    fn a_transfer_says_what_it_does_and_when_it_goes_on_once() {
        let view = |state: &str, reason: &str, rate: u64, next: Option<u64>| -> TransferView {
            serde_json::from_value(json!({
                "id": 1, "direction": "down", "name": "x", "urn": null, "state": state, "done": 1, "size": 9,
                "rate_bps": rate, "sources": 2, "reason": reason, "eta_s": 61, "next_try_s": next, "path": "/d",
                "verified": null, "error": null, "elapsed_ms": 5, "peer": null,
            }))
            .expect("a view")
        };
        let place = "queued 3 of 12 at 10.0.0.7:6346, next try 0:40";
        for (state, reason, rate, next, said) in [
            ("queued", "waiting for its turn", 0, None, "queued: waiting for its turn"),
            ("connecting", "asking 10.0.0.7:6346", 0, None, "connecting: asking 10.0.0.7:6346"),
            ("downloading", "from 10.0.0.7:6346", 2048, None, "2.0 KiB/s, 2 sources, 1:01 to go"),
            ("downloading", "from 10.0.0.7:6346", 0, None, "downloading: from 10.0.0.7:6346"),
            ("verifying", "checking its size", 0, None, "verifying: checking its size"),
            ("waiting", place, 0, Some(40), &format!("waiting: {place}")),
            (
                "waiting",
                "none known; asking the network again in 0:05",
                0,
                Some(5),
                "waiting: none known; asking the network again in 0:05",
            ),
            (
                "queued",
                "10.0.0.7:1 waits for a slot: place 2 of 3",
                0,
                Some(9),
                "queued: 10.0.0.7:1 waits for a slot: place 2 of 3, next try 0:09",
            ),
            ("paused", "paused by you", 0, None, "paused by you"),
            ("waiting", "waiting for source: none known", 0, Some(5), "waiting for source: none known, next try 0:05"),
            ("waiting", "", 0, Some(40), "waiting, next try 0:40"),
            ("done", "checked by sha1", 0, None, "done: checked by sha1"),
            ("cancelled", "cancelled by \u{1b}you", 0, None, "cancelled by ?you"),
        ] {
            assert_eq!(situation(&view(state, reason, rate, next)), said);
        }
    }

    #[test]
    fn some_done_is_partly_done() {
        let missing = || Failure::new(Exit::NothingFound, "not there");
        let wrong = || Failure::new(Exit::VerificationFailed, "wrong bytes");
        let exit = |done, failures| verdict(&config(), done, failures).map_err(|failure| failure.exit);
        assert_eq!(exit(2, vec![]), Ok(()));
        assert_eq!(exit(0, vec![wrong()]), Err(Exit::VerificationFailed));
        assert_eq!(exit(0, vec![missing(), wrong()]), Err(Exit::NothingFound));
        assert_eq!(exit(1, vec![wrong()]), Err(Exit::PartlyDone));
    }
}
