//! `up` and `down`: the servent in the foreground, in the background, and its end.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, select};
use futures::{FutureExt, StreamExt};
use serde_json::{Value, json};

use super::args::Up;
use super::config::{Config, absolute};
use super::exit::{Exit, Failure};
use super::notify::Notify;
use super::reload::{self, HangUps};
use super::settings::Settings;
use super::{files, interrupt, logging, servent, text};
use crate::app::view::EventView;
use crate::app::{ErrorCode, Node, Options, PortMapping};
use crate::disk::{next_step, room_in, why_unwritten};
use crate::net::rt;
use crate::proto::{Deflate, Encrypt, OutOfBand, RoleChoice};
use crate::web::{self, Limits, Reach, Server};

/// How many ports above the usual one are tried when another home has it.
const PORTS_TRIED: u16 = 100;
/// A log of a servent in the background that is longer than this is set aside at the next start.
const LOG_LIMIT: u64 = 1 << 20;
/// How long `down` waits for the servent to say its farewells.
const FAREWELL: Duration = Duration::from_secs(15);
/// How long uploads that run may go on once the servent is to stop.
const DRAIN: Duration = Duration::from_secs(5);

/// `up`.
pub async fn up(config: &Config, args: &Up) -> Result<(), Failure> {
    if args.detach {
        return detach(config, args).await;
    }
    if args.detached {
        // A session of its own: the terminal's Ctrl-C and hang-up do not reach it.
        #[cfg(unix)]
        let _ = rustix::process::setsid();
    }
    let settings = settings(config, args)?;
    logging::apply(config, &settings);
    let reach = settings.reach()?;
    reach.may_open(settings.address("api")?, &config.home)?;
    if reach == Reach::Machine && !settings.list("api_host").is_empty() {
        config
            .say
            .note("filbert: api_host changes nothing: without api_remote the control API answers this machine alone");
    }
    let options = options(config, args, &settings)?;
    let notify = Notify::from_env();
    if !args.yes
        && !config.say.json
        && !super::share::agreed_for_this_run(config, &options.share, &options.exclude).await?
    {
        return Err(Failure::silent(Exit::Refused));
    }
    let token = servent::token(&config.home)?;
    let node = Arc::new(Node::start(options).await?);
    let server = match open_api(&node, &settings, token).await {
        Ok(server) => server,
        Err(failure) => {
            node.shutdown().await;
            return Err(failure);
        }
    };
    let hang_ups = HangUps::listen();
    let running = async {
        servent::announce(&config.home, server.near())?;
        say_ready(config, &node, &server, &settings).await?;
        notify.ready(&format!("listening on {}, control at {}", node.listen_addr(), server.near()));
        let limit = if args.detached { None } else { config.timeout };
        let stop = async {
            let asked = pin!(server.asked_to_stop());
            let signal = pin!(interrupt::stop_signal());
            let hung_up = pin!(reload::tend(hang_ups, config, args, (&node, &server), &settings, &notify));
            let over = pin!(async {
                match limit {
                    Some(limit) => rt::sleep(limit).await,
                    None => futures::future::pending().await,
                }
            });
            match select(select(select(asked, signal), hung_up), over).await {
                Either::Left(_) => Ok(()),
                Either::Right(_) => Err(Failure::silent(Exit::TimedOut)),
            }
        };
        let told = async {
            futures::join!(tell(config, &node), notify.tend(&node));
        };
        match select(pin!(stop), pin!(told)).await {
            Either::Left((stopped, _)) => stopped,
            Either::Right(((), stop)) => stop.await,
        }
    };
    let ended = running.await;
    notify.stopping();
    config.say.note(&match node.uploads_running() {
        0 => "filbert: stopping".to_owned(),
        n => format!(
            "filbert: stopping; {} may go on for {} s (Ctrl-C again: not)",
            text::count(n as u64, "upload"),
            DRAIN.as_secs()
        ),
    });
    let farewell = async {
        server.stop().await;
        node.drain(DRAIN).await;
        node.shutdown().await;
    };
    // A second Ctrl-C or SIGTERM does not wait for the farewells.
    let _ = select(pin!(farewell), pin!(interrupt::stop_signal())).await;
    drop(node);
    servent::retract(&config.home);
    ended
}

/// The control API on the configured port, or, if nobody chose it and it is taken, on the next free one.
async fn open_api(node: &Arc<Node>, settings: &Settings, token: web::Token) -> Result<Server, Failure> {
    let mut addr = settings.address("api")?;
    let last = addr.port().saturating_add(PORTS_TRIED);
    let reach = settings.reach()?;
    loop {
        let (token, views) = (token.clone(), settings.views());
        match web::serve(Arc::clone(node), addr, reach.clone(), token, views, Limits::default()).await {
            Ok(server) => return Ok(server),
            Err(error) if error.code == ErrorCode::InUse && !settings.given("api") && addr.port() < last => {
                addr.set_port(addr.port() + 1);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// The settings of a run: flags over environment over file.
pub fn settings(config: &Config, args: &Up) -> Result<Settings, Failure> {
    let mut flags: BTreeMap<&'static str, Value> = BTreeMap::new();
    let mut flag = |name: &'static str, value: Option<Value>| {
        if let Some(value) = value {
            flags.insert(name, value);
        }
    };
    flag("listen", args.listen.map(|addr| json!(addr.to_string())));
    flag("api", args.api.map(|addr| json!(addr.to_string())));
    flag("api_remote", args.api_remote.then(|| json!(true)));
    flag("api_host", (!args.api_host.is_empty()).then(|| json!(args.api_host)));
    flag("connect", (!args.connect.is_empty()).then(|| json!(args.connect)));
    flag("exclude", (!args.exclude.is_empty()).then(|| json!(args.exclude)));
    flag("only_listed", args.only_listed.then(|| json!(true)));
    flag("neighbours", args.neighbours.map(|n| json!(n)));
    flag("ttl", args.ttl.map(|n| json!(n)));
    flag("role", args.role.as_ref().map(|role| json!(role)));
    flag("lan", args.no_lan.then(|| json!(false)));
    flag("bootstrap", args.no_bootstrap.then(|| json!([])));
    flag("download_dir", args.download_dir.as_ref().map(|dir| json!(dir.to_string_lossy())));
    for (name, value) in &flags {
        let key = super::settings::find(name).ok_or_else(|| super::settings::unknown(name))?;
        if !value.is_array() {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            key.parse(&text)
                .map_err(|why| Failure::new(Exit::Usage, format!("cannot use --{}: {why}", name.replace('_', "-"))))?;
        }
    }
    let settings = Settings::load(&config.home.config, |name| std::env::var(name).ok(), &flags)?;
    Ok(settings.with_kept(crate::app::offline::limits(&config.home)))
}

/// What the servent is started with.
pub fn options(config: &Config, args: &Up, settings: &Settings) -> Result<Options, Failure> {
    let download_dir = match (&args.download_dir, settings.text("download_dir")) {
        (Some(dir), _) => Some(absolute(dir)?),
        (None, "") => None,
        (None, dir) => Some(absolute(&PathBuf::from(dir))?),
    };
    let ttl = u8::try_from(settings.number("ttl")).unwrap_or(u8::MAX);
    Ok(Options {
        home: config.home.clone(),
        share: args.share.iter().map(|dir| absolute(dir)).collect::<Result<_, _>>()?,
        exclude: settings.list("exclude"),
        listen: settings.address("listen")?,
        listen_given: settings.given("listen"),
        connect: settings.list("connect"),
        bootstrap: settings.list("bootstrap"),
        only_listed: settings.switch("only_listed"),
        lan: settings.switch("lan"),
        neighbours: usize::try_from(settings.number("neighbours")).unwrap_or(usize::MAX),
        ttl,
        role: RoleChoice::parse(settings.text("role")).unwrap_or_default(),
        portmap: PortMapping::parse(settings.text("portmap")).unwrap_or_default(),
        browse: settings.switch("browse"),
        give_downloads: settings.switch("give_downloads"),
        deflate: Deflate::parse(settings.text("deflate")).unwrap_or_default(),
        out_of_band: OutOfBand::parse(settings.text("udp_hits")).unwrap_or_default(),
        encrypt: Encrypt::parse(settings.text("encrypt")).unwrap_or_default(),
        download_dir,
        limits: settings.limits()?,
        speeds: settings.speeds()?,
        watch_pace: crate::app::WatchPace::default(),
        private: false,
    })
}

async fn say_ready(config: &Config, node: &Node, server: &Server, settings: &Settings) -> Result<(), Failure> {
    let status = node.status().await;
    let api = format!("http://{}", server.near());
    if !server.addr().ip().is_loopback() {
        config.say.note(&format!("warning: {}.", web::OPEN));
    }
    let token_file = servent::token_path(&config.home);
    let folders = node.shares().await.len() as u64;
    if config.say.json {
        return config.say.value(&json!({
            "event": "ready",
            "listen": node.listen_addr().to_string(),
            "api": api,
            "api_listen": server.addr().to_string(),
            "token_file": token_file.to_string_lossy(),
            "files": status.files,
            "folders": folders,
            "pid": std::process::id(),
        }));
    }
    let usual: Option<SocketAddr> = settings.address("listen").ok();
    let moved = usual.is_some_and(|usual| usual.port() != 0 && usual.port() != node.listen_addr().port());
    let why = if moved { "  (the usual port is taken)" } else { "" };
    let connect = settings.list("connect");
    let neighbours = match (status.neighbours, connect.is_empty()) {
        (0, true) => format!("none yet: filbert{} connect HOST", config.home.flag),
        (0, false) => format!("none yet; calling {}", text::safe(&connect.join(", "))),
        (n, _) => n.to_string(),
    };
    let say = &config.say;
    say.line(&format!("{} is up.", say.bold(concat!("filbert ", env!("CARGO_PKG_VERSION")))))?;
    say.line(&format!("  listening   {}{why}", node.listen_addr()))?;
    say.line(&format!("  neighbours  {neighbours}"))?;
    say.line(&format!("  sharing     {}", sharing(config, status.files, folders)))?;
    say.line(&format!("  page        {}", super::web::address(config, &api, &servent::token(&config.home)?)))?;
    say.line(&format!("  control     {api}  (token in {})", token_file.display()))?;
    say_open(config, server.addr())?;
    say.line(&say.dim(&format!("Stop it with Ctrl-C or filbert{} down.", config.home.flag)))
}

/// Where other machines come in, if they may.
fn say_open(config: &Config, api: SocketAddr) -> Result<(), Failure> {
    match api.ip() {
        ip if ip.is_loopback() => Ok(()),
        ip if ip.is_unspecified() => {
            config.say.line(&format!("  elsewhere   http://ADDRESS-OF-THIS-MACHINE:{}  (by the password)", api.port()))
        }
        _ => config.say.line(&format!("  elsewhere   http://{api}  (by the password)")),
    }
}

/// What others can find here.
fn sharing(config: &Config, files: u64, folders: u64) -> String {
    match folders {
        0 => format!("nothing yet: filbert{} share DIR", config.home.flag),
        n => format!("{} in {}", text::count(files, "file"), text::count(n, "folder")),
    }
}

/// Tells a person at the terminal what happens; nobody else, so that nothing unbounded is written.
async fn tell(config: &Config, node: &Node) {
    use std::io::IsTerminal;
    if config.say.json || config.say.quiet || !std::io::stderr().is_terminal() {
        return futures::future::pending().await;
    }
    let mut events = node.events();
    while let Some(event) = events.next().await {
        match event {
            EventView::NeighbourUp { addr } => config.say.note(&format!("connected to {}", text::safe(&addr))),
            EventView::NeighbourDown { addr, reason } => {
                config.say.note(&format!("lost {}: {}", text::safe(&addr), text::safe(&reason)));
            }
            EventView::Warning { message } => config.say.note(&format!("warning: {}", text::safe(&message))),
            EventView::Transfer(transfer) if transfer.state == "done" => {
                config.say.note(&format!("{}: {} done", transfer.direction, text::safe(&transfer.name)));
            }
            _ => {}
        }
    }
}

/// Starts this program again in a session of its own, waits until it is ready, and passes on what it says.
async fn detach(config: &Config, args: &Up) -> Result<(), Failure> {
    let log = config.home.state.join("log");
    let trouble = |what: &str, error: std::io::Error| {
        Failure::new(Exit::Failed, format!("cannot go to the background: {what}: {error}"))
    };
    if !args.yes && !config.say.json {
        let share = args.share.iter().map(|dir| absolute(dir)).collect::<Result<Vec<_>, _>>()?;
        let exclude = settings(config, args)?.list("exclude");
        if !super::share::agreed_for_this_run(config, &share, &exclude).await? {
            return Err(Failure::silent(Exit::Refused));
        }
    }
    files::private_dir(&config.home.state).map_err(|error| trouble("the state folder", error))?;
    // Two of them are kept at most: what is written while it runs are warnings, and few.
    if std::fs::metadata(&log).is_ok_and(|log| log.len() > LOG_LIMIT) {
        std::fs::rename(&log, log.with_extension("old")).map_err(|error| trouble("the log", error))?;
    }
    let mut options = OpenOptions::new();
    options.create(true).append(true).read(true);
    files::restrict(&mut options, files::Secrecy::Owner);
    let mut written = options.open(&log).map_err(|error| trouble(&log.display().to_string(), error))?;
    let before = written.seek(SeekFrom::End(0)).map_err(|error| trouble("the log", error))?;
    let stderr = written.try_clone().map_err(|error| trouble("the log", error))?;
    let program = std::env::current_exe().map_err(|error| trouble("this program", error))?;
    let typed = std::env::args_os().skip(1).filter(|arg| arg != "--detach" && arg != "--json");
    let mut child = Command::new(program)
        .args(typed)
        .args(["--json", "--detached"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(stderr)
        .spawn()
        .map_err(|error| trouble("this program", error))?;
    let stdout = child.stdout.take();
    let ready = rt::spawn_blocking(move || {
        let mut line = String::new();
        if let Some(stdout) = stdout {
            let _ = BufReader::new(stdout).read_line(&mut line);
        }
        line
    });
    let line = interrupt::bounded(config, ready.map(Ok)).await.inspect_err(|_| {
        let _ = child.kill();
    })?;
    if let Ok(ready) = serde_json::from_str::<Value>(&line) {
        if config.say.json {
            return config.say.value(&ready);
        }
        let field = |name: &str| {
            ready.get(name).map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned)).unwrap_or_default()
        };
        config.say.line(&format!("filbert runs in the background (pid {}).", field("pid")))?;
        config.say.line(&format!("  listening   {}", field("listen")))?;
        let number = |name: &str| ready.get(name).and_then(Value::as_u64).unwrap_or(0);
        config.say.line(&format!("  sharing     {}", sharing(config, number("files"), number("folders"))))?;
        let token = servent::token(&config.home)?;
        config.say.line(&format!("  page        {}", super::web::address(config, &field("api"), &token)))?;
        config.say.line(&format!("  control     {}", field("api")))?;
        if let Ok(api) = field("api_listen").parse::<SocketAddr>() {
            say_open(config, api)?;
            if !api.ip().is_loopback() {
                config.say.note(&format!("warning: {}.", web::OPEN));
            }
        }
        config.say.line(&format!("  log         {}", log.display()))?;
        return config.say.line(&config.say.dim(&format!("Stop it with filbert{} down.", config.home.flag)));
    }
    // It ended before it was ready: its last words are in the log.
    let code = child.wait().ok().and_then(|status| status.code());
    let mut words = String::new();
    let _ = written.seek(SeekFrom::Start(before));
    let _ = written.take(16 * 1024).read_to_string(&mut words);
    let exit = Exit::ALL.into_iter().find(|exit| code == Some(exit.code().into())).unwrap_or(Exit::Failed);
    match words.lines().rev().find_map(|line| line.strip_prefix("filbert: ")) {
        Some(last) => Err(Failure::new(exit, last.trim_end_matches('.'))),
        // Its words had no place.
        None if log.parent().is_some_and(|dir| room_in(dir).is_ok_and(|bytes| bytes == 0)) => {
            let full = std::io::ErrorKind::StorageFull.into();
            Err(Failure::new(exit, format!("cannot write {}: {}", log.display(), why_unwritten(&full)))
                .hint(next_step(&full)))
        }
        None => Err(Failure::new(exit, "it ended without a word")),
    }
}

/// `down`.
pub async fn down(config: &Config) -> Result<(), Failure> {
    let client = servent::need(config).await?;
    client.post::<Value>("/api/v1/shutdown", Value::Null).await?;
    let gone = async {
        while servent::announced(&config.home) {
            rt::sleep(Duration::from_millis(20)).await;
        }
    };
    match rt::timeout(FAREWELL, gone).await {
        Ok(()) => {
            config.say.note("filbert: stopped");
            Ok(())
        }
        Err(rt::TimedOut) => Err(Failure::new(Exit::Failed, "the servent was told to stop and is still busy with it")
            .hint(format!("Look again with filbert{} status", config.home.flag))),
    }
}
