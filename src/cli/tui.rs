//! `filbert tui`: joins the full-screen face to the running servent. Keys, answers, events and the clock come through
//! one channel; what the face asks is done through the control API, each ask in a task of its own.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_signal::{Signal, Signals};
use futures::channel::mpsc::{Receiver, Sender, channel};
use futures::{FutureExt, SinkExt, StreamExt};
use serde_json::{Value, json};

use super::client::Client;
use super::config::Config;
use super::exit::{Exit, Failure};
use super::{interrupt, servent};
use crate::app::GetRequest;
use crate::app::view::{BlocksView, HitView, MagnetView, SearchLine, SearchView, ShareView, SpeedsView};
use crate::net::rt;
use crate::tui::ask::{MagnetOf, SettingView};
use crate::tui::draw::{self, Paint};
use crate::tui::screen::{self, Screen, Typed};
use crate::tui::{Ask, Model, ROWS, Told, View};
use crate::web::uri;

/// What waits to be heard; who has more to say waits.
const QUEUE: usize = 256;
/// Asks that may be under way at once.
const ASKS: usize = 32;
/// Hits that are told at once.
const TOGETHER: usize = 256;
/// How often the status and the view are asked for.
const BEAT: Duration = Duration::from_secs(1);

/// Something that happened.
enum Heard {
    Typed(Typed),
    Told(Told),
    /// A servent runs (again).
    Found(Client),
    Beat,
    Signal,
}

/// `tui`.
pub async fn tui(config: &Config) -> Result<(), Failure> {
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb" || term.is_empty());
    if dumb || !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        return Err(Failure::new(
            Exit::Usage,
            "cannot draw a screen: this is no terminal, or TERM says that it is dumb",
        )
        .hint(format!("In scripts use filbert{} status, search, transfers ... with --json", config.home.flag)));
    }
    let client = match servent::find(&config.home).await {
        Some(client) => client,
        None => interrupt::bounded(config, start_one(config)).await?,
    };
    let (tell, heard) = channel(QUEUE);
    let screen = Screen::take()
        .map_err(|error| Failure::new(Exit::Failed, format!("cannot take over the terminal: {error}")))?;
    let mut keyboard = tell.clone();
    std::thread::spawn(move || {
        loop {
            let typed = screen::next();
            let over = typed == Typed::Gone;
            if rt::block_on(keyboard.send(Heard::Typed(typed))).is_err() || over {
                return;
            }
        }
    });
    let _clock = rt::spawn(beat(tell.clone()));
    let _signals = rt::spawn(signals(tell.clone()));
    let desk =
        Desk { config, client, tell, seats: Arc::default(), looking: Arc::default(), search: None, events: None };
    desk.run(screen, heard).await
}

/// Asks whether to start a servent, and does; without a yes the command ends with code 7.
async fn start_one(config: &Config) -> Result<Client, Failure> {
    let none = servent::need(config).await.err().unwrap_or_else(|| Failure::silent(Exit::NoServent));
    config.say.note(&none.message);
    config.say.note("Enter starts one in the background (it shares nothing that you did not name); q leaves.");
    let answer = rt::spawn_blocking(|| {
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).map(|read| (read, answer))
    });
    let yes = answer.await.is_ok_and(|(read, answer)| read > 0 && matches!(answer.trim(), "" | "y" | "yes"));
    if !yes {
        return Err(none);
    }
    let trouble = |error: std::io::Error| Failure::new(Exit::Failed, format!("cannot start a servent: {error}"));
    let mut up = Command::new(std::env::current_exe().map_err(trouble)?);
    if !config.home.flag.is_empty() {
        up.arg("--home").arg(config.home.config.parent().unwrap_or(Path::new(".")));
    }
    up.args(["up", "--detach", "--quiet"]).stdin(Stdio::null()).stdout(Stdio::null());
    let status = rt::spawn_blocking(move || up.status()).await.map_err(trouble)?;
    match servent::find(&config.home).await {
        Some(client) => Ok(client),
        None => Err(Failure::new(Exit::Failed, format!("the servent that was started ended with {status}"))
            .hint(format!("See why: filbert{} up", config.home.flag))),
    }
}

async fn beat(mut tell: Sender<Heard>) {
    while tell.send(Heard::Beat).await.is_ok() {
        rt::sleep(BEAT).await;
    }
}

/// Signals that would end the program and leave the terminal as it is now.
async fn signals(mut tell: Sender<Heard>) {
    #[cfg(unix)]
    let others = Signals::new([Signal::Hup, Signal::Quit]);
    #[cfg(not(unix))]
    let others = Signals::new([Signal::Int]);
    match others {
        Ok(mut others) => {
            futures::future::select(Box::pin(interrupt::stop_signal()), others.next()).await;
        }
        Err(_) => interrupt::stop_signal().await,
    }
    let _ = tell.send(Heard::Signal).await;
}

/// Where asks are done.
struct Desk<'a> {
    config: &'a Config,
    client: Client,
    tell: Sender<Heard>,
    /// One is held by each ask under way.
    seats: Arc<()>,
    /// Whether a look is under way; the clock asks for no second one.
    looking: Arc<AtomicBool>,
    search: Option<Running>,
    events: Option<rt::Task<()>>,
}

/// The search whose hits are read.
struct Running {
    id: Arc<Mutex<Option<u64>>>,
    _reader: rt::Task<()>,
}

impl Desk<'_> {
    async fn run(mut self, mut screen: Screen, mut heard: Receiver<Heard>) -> Result<(), Failure> {
        let mut model = Model::new(self.config.home.flag.clone());
        let paint = Paint { colour: self.config.say.colour.shows(true) };
        let lost = |error: std::io::Error| Failure::new(Exit::Failed, format!("the terminal is gone: {error}"));
        self.listen();
        let mut anew = false;
        loop {
            screen.paint(std::mem::take(&mut anew), |frame| draw::draw(frame, &model, paint)).map_err(lost)?;
            // All that waits is taken in before the next picture.
            let mut next = heard.next().await;
            while let Some(happened) = next {
                let asks = match happened {
                    Heard::Signal => return Err(Failure::silent(Exit::Interrupted)),
                    Heard::Typed(Typed::Gone) => return Ok(()),
                    Heard::Typed(Typed::Key(key)) => model.key(key),
                    Heard::Typed(Typed::Clicked(x, y)) => {
                        let on = draw::spot(&model, screen.size().map_err(lost)?, (x, y));
                        model.clicked(on)
                    }
                    Heard::Typed(Typed::Pasted(text)) => {
                        model.pasted(&text);
                        Vec::new()
                    }
                    Heard::Typed(Typed::Resized) => {
                        anew = true;
                        Vec::new()
                    }
                    Heard::Told(told) => model.told(told),
                    Heard::Found(client) => {
                        self.client = client;
                        self.listen();
                        vec![Ask::Look(model.view)]
                    }
                    Heard::Beat if self.looking.load(Ordering::SeqCst) => Vec::new(),
                    Heard::Beat if model.gone => {
                        self.find_again();
                        Vec::new()
                    }
                    Heard::Beat => model.beat(),
                };
                for ask in asks {
                    match ask {
                        Ask::Quit => {
                            self.end_search().await;
                            return Ok(());
                        }
                        Ask::EndSearch => self.end_search().await,
                        Ask::Mouse(ours) => screen.mouse(ours).map_err(lost)?,
                        Ask::Copy(text) => {
                            screen.copy(&text).map_err(lost)?;
                            model.told(Told::Said(format!("copied: {text}")));
                        }
                        other => self.perform(other),
                    }
                }
                next = heard.next().now_or_never().flatten();
            }
        }
    }

    /// Reads what happens, for as long as this servent runs.
    fn listen(&mut self) {
        let (client, mut tell) = (self.client.clone(), self.tell.clone());
        self.events = Some(rt::spawn(async move {
            let Ok(mut events) = client.events().await else { return };
            while let Some(Ok(event)) = events.next().await {
                if tell.send(Heard::Told(Told::Event(Box::new(event)))).await.is_err() {
                    return;
                }
            }
        }));
    }

    fn find_again(&self) {
        let (home, mut tell) = (self.config.home.clone(), self.tell.clone());
        let looking = Arc::clone(&self.looking);
        looking.store(true, Ordering::SeqCst);
        rt::spawn(async move {
            if let Some(client) = servent::find(&home).await {
                let _ = tell.send(Heard::Found(client)).await;
            }
            looking.store(false, Ordering::SeqCst);
        })
        .detach();
    }

    /// Nobody reads its hits any more: the servent need not gather them.
    async fn end_search(&mut self) {
        if let Some(running) = self.search.take() {
            let id = running.id.lock().ok().and_then(|mut id| id.take());
            drop(running);
            if let Some(id) = id {
                let _ = rt::timeout(BEAT, self.client.delete(&format!("/api/v1/searches/{id}"))).await;
            }
        }
    }

    fn perform(&mut self, ask: Ask) {
        let (client, mut tell) = (self.client.clone(), self.tell.clone());
        match ask {
            Ask::Search(serial, query) => self.read_hits(serial, "/api/v1/searches", json!({ "query": query })),
            Ask::WatchHits(serial, id) => self.read_kept(serial, id),
            Ask::Browse(serial, host) => self.read_hits(serial, "/api/v1/browse", json!({ "host": host })),
            Ask::Look(view) => {
                let looking = Arc::clone(&self.looking);
                looking.store(true, Ordering::SeqCst);
                rt::spawn(async move {
                    for told in look(&client, view).await {
                        let _ = tell.send(Heard::Told(told)).await;
                    }
                    looking.store(false, Ordering::SeqCst);
                })
                .detach();
            }
            other => {
                let seat = Arc::clone(&self.seats);
                let full = Arc::strong_count(&self.seats) > ASKS;
                rt::spawn(async move {
                    let told = match full {
                        true => Told::Failed("too much is under way: try again in a moment".into()),
                        false => ask_servent(&client, other).await,
                    };
                    let _ = tell.send(Heard::Told(told)).await;
                    drop(seat);
                })
                .detach();
            }
        }
    }

    /// What a saved search found; then it is new no more.
    fn read_kept(&self, serial: u64, id: u64) {
        let (client, mut tell) = (self.client.clone(), self.tell.clone());
        rt::spawn(async move {
            let told = match client.get::<Vec<HitView>>(&format!("/api/v1/watches/{id}/hits")).await {
                Ok(hits) => {
                    let _ = client.post::<Value>(&format!("/api/v1/watches/{id}/read"), Value::Null).await;
                    Told::Kept(serial, hits)
                }
                Err(failure) => Told::Broken(serial, words(&failure)),
            };
            let _ = tell.send(Heard::Told(told)).await;
        })
        .detach();
    }

    fn read_hits(&mut self, serial: u64, path: &'static str, body: Value) {
        let (client, mut tell) = (self.client.clone(), self.tell.clone());
        let id = Arc::new(Mutex::new(None));
        let begun = Arc::clone(&id);
        let reader = rt::spawn(async move {
            if let Err(failure) = hits(&client, serial, path, body, &begun, &mut tell).await {
                let _ = tell.send(Heard::Told(Told::Broken(serial, words(&failure)))).await;
            }
            if let Ok(mut begun) = begun.lock() {
                *begun = None;
            }
        });
        self.search = Some(Running { id, _reader: reader });
    }
}

/// Starts a search or a list, and tells its hits to the end.
async fn hits(
    client: &Client,
    serial: u64,
    path: &str,
    body: Value,
    begun: &Mutex<Option<u64>>,
    tell: &mut Sender<Heard>,
) -> Result<(), Failure> {
    let search: SearchView = client.post(path, body).await?;
    if let Ok(mut begun) = begun.lock() {
        *begun = Some(search.id);
    }
    let mut lines = client.lines::<SearchLine>(&format!("/api/v1/searches/{}/hits?follow=1", search.id)).await?;
    let mut some = Vec::new();
    while let Some(line) = lines.next().await {
        let mut line = Some(line);
        let mut done = None;
        while let Some(now) = line.take() {
            match now? {
                SearchLine::Hit(hit) => some.push(hit),
                SearchLine::Done(end) => done = Some(end),
            }
            if some.len() < TOGETHER && done.is_none() {
                line = lines.next().now_or_never().flatten();
            }
        }
        let told = Told::Hits(serial, std::mem::take(&mut some));
        if tell.send(Heard::Told(told)).await.is_err() {
            return Ok(());
        }
        if let Some(done) = done {
            let _ = tell.send(Heard::Told(Told::Done(serial, Box::new(done)))).await;
            return Ok(());
        }
    }
    Err(Failure::new(Exit::Failed, "the servent went away in the middle of the search"))
}

/// The status, and what `view` shows.
async fn look(client: &Client, view: View) -> Vec<Told> {
    let status = match client.get("/api/v1/status").await {
        Ok(status) => Told::Status(Box::new(status)),
        Err(_) => return vec![Told::Gone],
    };
    let shown = match view {
        View::Search | View::Strangers | View::Help | View::Check => return vec![status],
        View::Transfers => client.get("/api/v1/transfers").await.map(Told::Transfers),
        View::Shares => client.get("/api/v1/shares").await.map(Told::Shares),
        View::Peers => client.get("/api/v1/peers").await.map(Told::Peers),
        View::Watches => client.get("/api/v1/watches").await.map(Told::Watches),
        View::Settings => settings(client).await,
    };
    vec![status, shown.unwrap_or_else(|failure| Told::Failed(words(&failure)))]
}

async fn settings(client: &Client) -> Result<Told, Failure> {
    let settings: Vec<SettingView> = client.get("/api/v1/config").await?;
    let speeds: SpeedsView = client.get("/api/v1/limits").await?;
    Ok(Told::Settings(settings, Box::new(speeds)))
}

/// Everything that is done with one call, and what became of it.
async fn ask_servent(client: &Client, ask: Ask) -> Told {
    let done = match ask {
        Ask::Magnet(of) => {
            let of = match of {
                MagnetOf::Hit(number) => format!("what={number}"),
                MagnetOf::Transfer(id) => format!("transfer={id}"),
            };
            match client.get::<MagnetView>(&format!("/api/v1/magnet?{of}")).await {
                Ok(made) => return Told::Magnet(made.magnet),
                Err(failure) => Err(failure),
            }
        }
        Ask::Get(what) => get(client, what, None).await,
        Ask::GetFolder(what) => get(client, what, Some(super::get::FOLDERS)).await,
        Ask::Parts(id) => {
            let parts = client.get::<BlocksView>(&format!("/api/v1/transfers/{id}/blocks")).await;
            return Told::Parts(id, parts.ok().map(Box::new));
        }
        Ask::Doctor => return Told::Doctor(client.get("/api/v1/doctor").await.map_err(|it| words(&it))),
        Ask::Strangers(listen) => return Told::Strangers(strangers(client, &listen).await.map_err(|it| words(&it))),
        Ask::Preview(path) => match home_path(&path) {
            Ok(path) => match client.post::<ShareView>("/api/v1/shares/preview", json!({ "path": path })).await {
                Ok(preview) => return Told::Preview(Box::new(preview)),
                Err(failure) => Err(failure),
            },
            Err(failure) => Err(failure),
        },
        Ask::Share(path) => {
            client.post::<Value>("/api/v1/shares", json!({ "path": path })).await.map(|_| format!("shared: {path}"))
        }
        Ask::Watch(query) => client
            .post::<Value>("/api/v1/watches", json!({ "query": query }))
            .await
            .map(|_| format!("saved: {query} (press 2 to see it)")),
        Ask::WatchAct(id, act) => {
            client.post::<Value>(&format!("/api/v1/watches/{id}/{act}"), Value::Null).await.map(|_| String::new())
        }
        Ask::Unwatch(id) => client.delete(&format!("/api/v1/watches/{id}")).await.map(|()| "saved no more".to_owned()),
        Ask::TransferAll(ids, act) => all(client, ids, act).await,
        Ask::Limit(name, speed) => client
            .put::<Value>("/api/v1/limits", json!({ name: speed }))
            .await
            .map(|_| "the limit holds now".to_owned()),
        Ask::Transfer(id, act) => {
            client.post::<Value>(&format!("/api/v1/transfers/{id}/{act}"), Value::Null).await.map(|_| String::new())
        }
        Ask::Connect(host) => {
            client.post::<Value>("/api/v1/peers", json!({ "host": host })).await.map(|_| format!("connected to {host}"))
        }
        Ask::Disconnect(addr) => client
            .delete(&format!("/api/v1/peers/{}", uri::escape(&addr)))
            .await
            .map(|()| format!("disconnected {addr}")),
        Ask::Unshare(path) => client
            .delete(&format!("/api/v1/shares?path={}", uri::escape(&path)))
            .await
            .map(|()| format!("not shared any more: {path}")),
        Ask::Turtle(on) => client.put::<Value>("/api/v1/limits", json!({ "turtle": on })).await.map(|_| {
            let words = if on { "the turtle is on: slow speeds" } else { "the turtle is off" };
            words.to_owned()
        }),
        // These are done elsewhere.
        Ask::Look(_)
        | Ask::Search(..)
        | Ask::Browse(..)
        | Ask::WatchHits(..)
        | Ask::EndSearch
        | Ask::Copy(_)
        | Ask::Mouse(_)
        | Ask::Quit => Ok(String::new()),
    };
    match done {
        Ok(words) => Told::Said(words),
        Err(failure) => Told::Failed(words(&failure)),
    }
}

/// Our list as who connects and asks gets it; hit numbers go on to mean the search before.
async fn strangers(client: &Client, listen: &str) -> Result<Vec<HitView>, Failure> {
    let host = listen.replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "127.0.0.1:");
    let began: SearchView = client.post("/api/v1/browse", json!({ "host": host, "keep_numbers": true })).await?;
    let mut lines = client.lines::<SearchLine>(&format!("/api/v1/searches/{}/hits?follow=1", began.id)).await?;
    let mut files = Vec::new();
    while let Some(line) = lines.next().await {
        match line? {
            SearchLine::Hit(hit) if files.len() < ROWS => files.push(hit),
            SearchLine::Hit(_) => {}
            SearchLine::Done(_) => break,
        }
    }
    Ok(files)
}

/// A path as it is typed: from the root, or from the home directory with `~/`. The servent runs in another folder.
fn home_path(typed: &str) -> Result<PathBuf, Failure> {
    match (typed.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(below), Some(home)) => Ok(Path::new(&home).join(below)),
        _ => super::config::absolute(Path::new(typed)),
    }
}

async fn all(client: &Client, ids: Vec<u64>, act: &str) -> Result<String, Failure> {
    let mut done = 0u64;
    for id in ids {
        match client.post::<Value>(&format!("/api/v1/transfers/{id}/{act}"), Value::Null).await {
            Ok(_) => done += 1,
            Err(failure) if failure.exit == Exit::Failed && done == 0 => return Err(failure),
            // It has come to its end meanwhile.
            Err(_) => {}
        }
    }
    let words = if act == "pause" { "pause" } else { "go on" };
    Ok(format!("{} {words}", super::text::count(done, "download")))
}

async fn get(client: &Client, what: Vec<String>, template: Option<&str>) -> Result<String, Failure> {
    let all = what.len();
    let request = |what| GetRequest { what, template: template.map(str::to_owned), ..GetRequest::default() };
    let (begun, failed): (Vec<_>, Vec<_>) =
        super::get::start(client, what.into_iter().map(request)).await?.into_iter().partition(Result::is_ok);
    let begun = begun.len();
    match failed.into_iter().find_map(Result::err) {
        Some(failure) if begun == 0 => Err(failure),
        Some(failure) => {
            Err(Failure { message: format!("{begun} of {all} are under way: {}", failure.message), ..failure })
        }
        None if begun == 1 => Ok("it is under way: press 3 to watch".into()),
        None => Ok(format!("{begun} are under way: press 3 to watch")),
    }
}

/// A failure in a line.
fn words(failure: &Failure) -> String {
    failure.text().map_or_else(String::new, |text| text.trim_start_matches("filbert: ").to_owned())
}
