//! The command line: arguments in, words and exit codes out.
//!
//! It holds nothing of its own: every command talks to a servent through the control API, the running one of
//! its home or a private one in this process, so that there is one facade for people, scripts and pages.
//! stdout is data, stderr is talk. Names from strangers pass [`crate::tui::text::safe`] before a terminal sees them.
//!
//! What they promise is in `--help` and docs/GUIDE.md.

mod args;
mod argv;
mod browse;
mod bundle;
mod client;
mod completions;
mod config;
mod configure;
mod demo;
mod doctor;
#[cfg(test)]
mod documented;
mod exit;
mod files;
mod get;
mod grammar;
mod interrupt;
mod limits;
mod logging;
mod magnet;
mod man;
mod mistyped;
mod notify;
mod password;
mod peers;
mod reload;
mod say;
mod search;
mod servent;
mod settings;
mod share;
mod sim;
mod status;
mod transfers;
mod tui;
mod up;
mod watch;
mod web;

use std::ffi::OsString;
use std::io::{IsTerminal, Write};

use structopt::StructOpt;
use structopt::clap::ErrorKind;

use args::{Args, Command};
use config::Config;
pub use exit::{Exit, Failure};

use crate::net::rt;
use crate::tui::text;

/// Runs the command line that was typed, program name first.
pub fn run(typed: Vec<OsString>) -> Exit {
    let args = match Args::from_iter_safe(argv::arrange(typed.clone())) {
        Ok(args) => args,
        Err(error) => return not_understood(&error, &typed),
    };
    let (config, command) = match Config::new(args) {
        Ok(parsed) => parsed,
        Err(failure) => {
            let _ = writeln!(std::io::stderr(), "{}", failure.text().unwrap_or_default());
            return failure.exit;
        }
    };
    // Words in the middle of a picture would spoil it.
    if !matches!(command, Some(Command::Tui)) || !std::io::stderr().is_terminal() {
        logging::start(&config);
    }
    interrupt::listen();
    match rt::block_on(act(&config, command)) {
        Ok(()) => Exit::Done,
        Err(failure) => {
            config.failure(&failure);
            failure.exit
        }
    }
}

async fn act(config: &Config, command: Option<Command>) -> Result<(), Failure> {
    let Some(command) = command else { return first_words(config) };
    // These end on their own terms at Ctrl-C; everything else is simply dropped.
    match command {
        Command::Up(args) => return up::up(config, &args).await,
        Command::Search(args) => return search::search(config, &args).await,
        Command::Browse { host } => return browse::browse(config, &host).await,
        Command::Get(args) => return get::get(config, &args).await,
        Command::Tui => return tui::tui(config).await,
        Command::Demo(args) => return demo::demo(config, &args).await,
        _ => {}
    }
    interrupt::bounded(config, async {
        match command {
            Command::Down => up::down(config).await,
            Command::Share(args) => share::share(config, &args).await,
            Command::Unshare { dir } => share::unshare(config, &dir).await,
            Command::Shares => share::shares(config).await,
            Command::Watch(args) => watch::watch(config, &args).await,
            Command::Transfers => transfers::transfers(config).await,
            Command::Pause(ids) => transfers::change(config, &ids, "pause").await,
            Command::Resume(ids) => transfers::change(config, &ids, "resume").await,
            Command::Cancel(ids) => transfers::change(config, &ids, "cancel").await,
            Command::Retry(ids) => transfers::change(config, &ids, "retry").await,
            Command::Priority { words } => transfers::prioritise(config, &words).await,
            Command::Magnet(args) => magnet::magnet(config, &args).await,
            Command::Limits(args) => limits::limits(config, &args).await,
            Command::Turtle(args) => limits::turtle(config, &args).await,
            Command::Peers(args) => peers::peers(config, &args).await,
            Command::Connect { host } => peers::connect(config, &host).await,
            Command::Disconnect { addr } => peers::disconnect(config, &addr).await,
            Command::Hosts(args) => peers::hosts(config, &args).await,
            Command::Doctor { bundle } => doctor::doctor(config, bundle.as_deref()).await,
            Command::Web { print } => web::web(config, print).await,
            Command::Status { check } => status::status(config, check).await,
            Command::Password { remove } => password::password(config, remove).await,
            Command::Config(args) => configure::configure(config, &args).await,
            Command::Sim(args) => sim::sim(config, args).await,
            Command::Completions { shell } => completions::completions(config, &shell),
            Command::Man => man::man(config),
            Command::Version => status::version(config),
            Command::Up(_)
            | Command::Search(_)
            | Command::Browse { .. }
            | Command::Get(_)
            | Command::Demo(_)
            | Command::Tui => Ok(()),
        }
    })
    .await
}

/// `filbert` alone: a person gets four lines, a script gets the help and code 2.
fn first_words(config: &Config) -> Result<(), Failure> {
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        // As `--help` has it: by itself the parser would put the commands in another order.
        if let Err(help) = Args::clap().get_matches_from_safe(["filbert", "--help"]) {
            let _ = writeln!(std::io::stderr(), "{}", help.message);
        }
        return Err(Failure::silent(Exit::Usage));
    }
    let say = &config.say;
    say.line("filbert shares a folder and finds files among peers: no server, no account.")?;
    say.line(&format!(
        "Offer a folder:    {}     it shows first what others would see",
        say.bold("filbert share DIR")
    ))?;
    say.line(&format!(
        "Run your peer:     {}   peers on this network find each other",
        say.bold("filbert up --detach")
    ))?;
    say.line(&format!("Find and fetch:    {}           the same in words: filbert search", say.bold("filbert tui")))
}

/// Help and version are asked for; everything else is a mistake, shown with what was meant.
fn not_understood(error: &structopt::clap::Error, typed: &[OsString]) -> Exit {
    match error.kind {
        ErrorKind::HelpDisplayed | ErrorKind::VersionDisplayed => {
            let _ = writeln!(std::io::stdout(), "{}", error.message);
            Exit::Done
        }
        _ => {
            let failure = mistyped::mistyped(error, typed);
            let _ = writeln!(std::io::stderr(), "{}", failure.text().unwrap_or_default());
            failure.exit
        }
    }
}
