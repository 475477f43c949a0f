//! What can be typed: every command and flag, in one file. Nothing is decided here.
//!
//! Global flags may stand anywhere, and queries have a grammar of their own; [`super::argv`] brings both into
//! the order that the parser wants.

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::path::PathBuf;

use structopt::StructOpt;
use structopt::clap::AppSettings;

/// Share a folder, search your neighbours, download straight from them.
#[derive(Clone, Debug, StructOpt)]
#[structopt(
    name = "filbert",
    set_term_width = 80,
    about = "A Gnutella servent: share a folder, search your neighbours, fetch from them.",
    settings = &[AppSettings::VersionlessSubcommands, AppSettings::UnifiedHelpMessage, AppSettings::DeriveDisplayOrder, AppSettings::DisableHelpSubcommand],
    after_help = "Begin with:\n    filbert demo                   see it happen in a minute\n    filbert share ~/Music          offer a folder\n    filbert up                     run your peer\n    filbert search blue train      find something\n    filbert get 1                  fetch the first hit\n\n\
Exit codes:\n    0 done             4 no peer connected       8 partly done\n    1 failed           5 verification failed   124 timed out\n    2 wrong usage      6 refused               130 interrupted, state kept\n    3 nothing found    7 no servent running"
)]
pub struct Args {
    /// What goes with every command.
    #[structopt(flatten)]
    pub global: Global,
    /// The command; none prints what to do first.
    #[structopt(subcommand)]
    pub command: Option<Command>,
}

// Flags of every command. (A doc comment would take the place of the program's description in the help.)
#[derive(Clone, Debug, StructOpt)]
pub struct Global {
    /// Keep config, state, cache and downloads below DIR
    #[structopt(long, env = "FILBERT_HOME", hide_env_values = true, parse(from_os_str), value_name = "DIR")]
    pub home: Option<PathBuf>,
    /// One JSON object a line on stdout
    #[structopt(long)]
    pub json: bool,
    /// Only data and errors
    #[structopt(short, long)]
    pub quiet: bool,
    /// Tell more on stderr; twice: much more
    #[structopt(short, long, parse(from_occurrences))]
    pub verbose: u8,
    /// No colours (as does NO_COLOR)
    #[structopt(long)]
    pub no_color: bool,
    /// Give up after so many seconds (exit 124)
    #[structopt(long, value_name = "SECS", allow_hyphen_values = true)]
    pub timeout: Option<f64>,
}

// The commands. (No doc comment: see `Global`.)
#[derive(Clone, Debug, StructOpt)]
pub enum Command {
    /// Run your peer until Ctrl-C or `filbert down`
    #[structopt(after_help = UP_EXAMPLES)]
    Up(Up),
    /// Stop the running servent
    #[structopt(after_help = DOWN_EXAMPLES)]
    Down,
    /// Offer a folder to others
    #[structopt(after_help = SHARE_EXAMPLES)]
    Share(Share),
    /// Stop offering a folder
    #[structopt(after_help = "Example:\n    filbert unshare ~/Music")]
    Unshare {
        /// The folder
        #[structopt(parse(from_os_str), value_name = "DIR")]
        dir: PathBuf,
    },
    /// What you offer
    #[structopt(after_help = SHARES_EXAMPLES)]
    Shares,
    /// Ask the network; hits are shown as they arrive
    #[structopt(after_help = SEARCH_EXAMPLES)]
    Search(Search),
    /// Saved searches: asked again and again, told once
    #[structopt(after_help = WATCH_EXAMPLES)]
    Watch(Watch),
    /// All that a host shares; its numbers are for `filbert get`
    #[structopt(
        after_help = "Examples:\n    filbert browse 192.168.1.20\n    filbert browse attic.local:6346 --json\n    filbert browse 3                       who has hit 3"
    )]
    Browse {
        /// HOST, HOST:PORT, or the number of a hit; the port is 6346 if you name none
        #[structopt(parse(try_from_os_str = utf8), value_name = "HOST")]
        host: String,
    },
    /// Download: a hit's number, a urn, a magnet link or an http:// address
    #[structopt(after_help = GET_EXAMPLES)]
    Get(Get),
    /// A magnet link to a hit, a urn or a file that you share
    #[structopt(
        after_help = "Examples:\n    filbert magnet 3                       a hit of the latest search\n    filbert magnet ~/Music/train.flac      a file that you share\n    filbert magnet --transfer 7            a download"
    )]
    Magnet(Magnet),
    /// Downloads and uploads: state, reason, next try
    #[structopt(after_help = TRANSFERS_EXAMPLES)]
    Transfers,
    /// Pause downloads
    #[structopt(after_help = "Example:\n    filbert pause 3 4")]
    Pause(Ids),
    /// Go on with paused downloads
    #[structopt(after_help = "Example:\n    filbert resume 3")]
    Resume(Ids),
    /// Cancel downloads and remove their partial files
    #[structopt(after_help = "Example:\n    filbert cancel 3")]
    Cancel(Ids),
    /// Try waiting or failed downloads now
    #[structopt(after_help = "Example:\n    filbert retry 3")]
    Retry(Ids),
    /// Which downloads go first: high, normal or low
    #[structopt(after_help = "Examples:\n    filbert priority 3 high\n    filbert priority 3 4 5 low")]
    Priority {
        /// Numbers that `filbert transfers` shows, then high, normal or low
        #[structopt(parse(try_from_os_str = utf8), required = true, min_values = 2, value_name = "ID... LEVEL")]
        words: Vec<String>,
    },
    /// How fast files may come and go; flags change it, now and for later
    #[structopt(after_help = LIMITS_EXAMPLES)]
    Limits(Speeds),
    /// The slow speeds for when the line is needed: turtle on, turtle off
    #[structopt(
        after_help = "Examples:\n    filbert turtle on\n    filbert turtle on --down 200K --up 20K\n    filbert turtle off"
    )]
    Turtle(Turtle),
    /// Who you are connected to; `peers set N` changes how many
    #[structopt(after_help = "Examples:\n    filbert peers\n    filbert peers set 12")]
    Peers(Peers),
    /// Connect to a host, now and whenever the link is lost
    #[structopt(after_help = "Examples:\n    filbert connect 192.168.1.20\n    filbert connect attic.local:6346")]
    Connect {
        /// HOST or HOST:PORT; the port is 6346 if you name none
        #[structopt(parse(try_from_os_str = utf8), value_name = "HOST")]
        host: String,
    },
    /// Close the link to a peer
    #[structopt(after_help = "Example:\n    filbert disconnect 192.168.1.20:6346")]
    Disconnect {
        /// Its address, as `filbert peers` shows it
        #[structopt(parse(try_from_os_str = utf8), value_name = "ADDR")]
        addr: String,
    },
    /// Hosts that could be peers; `hosts import FILE` adds some
    #[structopt(
        after_help = "Examples:\n    filbert hosts\n    filbert hosts import hosts.txt\n    ... | filbert hosts import -"
    )]
    Hosts(Hosts),
    /// All of it on one screen, live: search, transfers, shares, peers, settings
    #[structopt(after_help = TUI_EXAMPLES)]
    Tui,
    /// One line about everything
    #[structopt(
        after_help = "Examples:\n    filbert status\n    filbert status --check -q || mail -s 'filbert is not well' me"
    )]
    Status {
        /// Exit code 1, with words, if something is wrong
        #[structopt(long)]
        check: bool,
    },
    /// What is wrong, each with its fix; exit code 1 if something is
    #[structopt(after_help = DOCTOR_EXAMPLES)]
    Doctor {
        /// Write all that helps to help you into FILE, without secrets; - is stdout
        #[structopt(long, parse(from_os_str), value_name = "FILE")]
        bundle: Option<PathBuf>,
    },
    /// The page of your servent, in the browser
    #[structopt(after_help = "Examples:\n    filbert web\n    filbert web --print")]
    Web {
        /// Only print its address (which holds the token)
        #[structopt(long)]
        print: bool,
    },
    /// The password by which other machines come in: read twice, or a line of stdin
    #[structopt(after_help = PASSWORD_EXAMPLES)]
    Password {
        /// Take it away: nobody comes in by one
        #[structopt(long)]
        remove: bool,
    },
    /// Settings: get, set, path, edit
    #[structopt(after_help = CONFIG_EXAMPLES)]
    Config(Settings),
    /// Watch a small network search and download, on this machine, in a few seconds
    #[structopt(after_help = "Examples:\n    filbert demo\n    filbert demo --seed 7 --fast")]
    Demo(Demo),
    /// Study the network in a simulator that runs the same servents
    #[structopt(after_help = SIM_EXAMPLES)]
    Sim(Sim),
    /// What the shell needs to complete commands and flags
    #[structopt(after_help = COMPLETIONS_EXAMPLES)]
    Completions {
        /// Which shell
        #[structopt(parse(try_from_os_str = utf8), value_name = "SHELL", possible_values = &["bash", "zsh", "fish"])]
        shell: String,
    },
    /// The manual page, in roff
    #[structopt(
        after_help = "Examples:\n    filbert man | man -l -\n    filbert man > ~/.local/share/man/man1/filbert.1"
    )]
    Man,
    /// What this program is
    #[structopt(after_help = "Example:\n    filbert version --json")]
    Version,
}

/// `up`.
#[derive(Clone, Debug, Default, StructOpt)]
#[structopt(settings = &[AppSettings::UnifiedHelpMessage, AppSettings::DeriveDisplayOrder])]
pub struct Up {
    /// Offer this folder for this run (repeat)
    #[structopt(long, parse(from_os_str), value_name = "DIR", number_of_values = 1)]
    pub share: Vec<PathBuf>,
    /// Leave out what matches, in all folders: '*.iso', 'drafts/**' (repeat)
    #[structopt(parse(try_from_os_str = utf8), long, value_name = "PATTERN", number_of_values = 1)]
    pub exclude: Vec<String>,
    /// Do not ask about --share
    #[structopt(long)]
    pub yes: bool,
    /// Where peers reach you; port 0 is any free one
    #[structopt(long, value_name = "ADDR:PORT")]
    pub listen: Option<SocketAddr>,
    /// Connect to this host (repeat)
    #[structopt(parse(try_from_os_str = utf8), long, value_name = "HOST:PORT", number_of_values = 1, use_delimiter = true)]
    pub connect: Vec<String>,
    /// Make neighbours only of hosts named by --connect and `connect`
    #[structopt(long)]
    pub only_listed: bool,
    /// How many neighbours to look for
    #[structopt(long, value_name = "N")]
    pub neighbours: Option<usize>,
    /// How many links your searches travel
    #[structopt(long, value_name = "N")]
    pub ttl: Option<u8>,
    /// auto, ultrapeer or leaf
    #[structopt(parse(try_from_os_str = utf8), long, value_name = "ROLE", possible_values = &["auto", "ultrapeer", "leaf"])]
    pub role: Option<String>,
    /// Where the control API listens; port 0 is any free one
    #[structopt(long, value_name = "ADDR:PORT")]
    pub api: Option<SocketAddr>,
    /// Let other machines use the control API and the page, by a password
    #[structopt(long)]
    pub api_remote: bool,
    /// ... under this name as well, or behind a proxy with that one (repeat)
    #[structopt(parse(try_from_os_str = utf8), long, value_name = "HOST[:PORT]", number_of_values = 1)]
    pub api_host: Vec<String>,
    /// Do not look for peers on this network
    #[structopt(long)]
    pub no_lan: bool,
    /// Ask none of the host caches that the setting `bootstrap` names
    #[structopt(long)]
    pub no_bootstrap: bool,
    /// Where finished files go, used as is
    #[structopt(long, parse(from_os_str), value_name = "DIR")]
    pub download_dir: Option<PathBuf>,
    /// Go to the background once everything runs
    #[structopt(long)]
    pub detach: bool,
    /// What --detach starts.
    #[structopt(long, hidden = true)]
    pub detached: bool,
}

/// `share`.
#[derive(Clone, Debug, StructOpt)]
#[structopt(settings = &[AppSettings::UnifiedHelpMessage, AppSettings::DeriveDisplayOrder])]
pub struct Share {
    /// The folder
    #[structopt(parse(from_os_str), value_name = "DIR")]
    pub dir: PathBuf,
    /// Do not ask, even about files that look private
    #[structopt(long)]
    pub yes: bool,
    /// Leave out what matches: '*.iso', 'drafts/**' (repeat)
    #[structopt(parse(try_from_os_str = utf8), long, value_name = "PATTERN", number_of_values = 1)]
    pub exclude: Vec<String>,
    /// Show what would be shared and stop
    #[structopt(long)]
    pub dry_run: bool,
    /// Share even a root, a home directory or a folder of keys
    #[structopt(long)]
    pub i_mean_it: bool,
}

/// `search`.
#[derive(Clone, Debug, StructOpt)]
#[structopt(settings = &[AppSettings::UnifiedHelpMessage, AppSettings::DeriveDisplayOrder])]
pub struct Search {
    /// What to look for; `-word` excludes
    #[structopt(parse(try_from_os_str = utf8), required = true, value_name = "WORDS")]
    pub words: Vec<String>,
    /// Any of the words is enough
    #[structopt(long)]
    pub any: bool,
    /// At least this big (10M, 1.5G)
    #[structopt(parse(try_from_os_str = utf8), long, value_name = "SIZE")]
    pub min_size: Option<String>,
    /// At most this big
    #[structopt(parse(try_from_os_str = utf8), long, value_name = "SIZE")]
    pub max_size: Option<String>,
    /// How many links the search travels
    #[structopt(long, value_name = "N")]
    pub ttl: Option<u8>,
    /// Search exactly that long
    #[structopt(long, value_name = "SECS", allow_hyphen_values = true)]
    pub wait: Option<f64>,
    /// Stop at so many hits
    #[structopt(long, value_name = "N")]
    pub max: Option<u64>,
    /// Begin with this host (repeat)
    #[structopt(parse(try_from_os_str = utf8), long, value_name = "HOST:PORT", number_of_values = 1, use_delimiter = true)]
    pub connect: Vec<String>,
}

/// `watch`.
#[derive(Clone, Debug, StructOpt)]
#[structopt(settings = &[AppSettings::VersionlessSubcommands, AppSettings::DisableHelpSubcommand])]
pub struct Watch {
    /// What to do with them; nothing: show them
    #[structopt(subcommand)]
    pub act: Option<WatchAct>,
}

/// `watch ...`.
#[derive(Clone, Debug, StructOpt)]
pub enum WatchAct {
    /// Ask for these words from now on
    #[structopt(settings = &[AppSettings::UnifiedHelpMessage, AppSettings::DeriveDisplayOrder])]
    Add {
        /// What to look for; `-word` excludes
        #[structopt(parse(try_from_os_str = utf8), required = true, value_name = "WORDS")]
        words: Vec<String>,
        /// Fetch what is found; needs --max
        #[structopt(long)]
        get: bool,
        /// ... if it is not larger than this (100M, 1.5G)
        #[structopt(parse(try_from_os_str = utf8), long, value_name = "SIZE")]
        max: Option<String>,
    },
    /// What one found; it is not new any more
    Hits {
        /// Its number
        #[structopt(value_name = "N")]
        id: u64,
    },
    /// Ask no more
    Remove {
        /// Their numbers
        #[structopt(required = true, value_name = "N")]
        ids: Vec<u64>,
    },
    /// Ask no more for now
    Pause {
        /// Their numbers
        #[structopt(required = true, value_name = "N")]
        ids: Vec<u64>,
    },
    /// Ask again
    Resume {
        /// Their numbers
        #[structopt(required = true, value_name = "N")]
        ids: Vec<u64>,
    },
}

/// `get`.
#[derive(Clone, Debug, StructOpt)]
#[structopt(settings = &[AppSettings::UnifiedHelpMessage, AppSettings::DeriveDisplayOrder])]
pub struct Get {
    /// A hit's number or several (3-17), urn:..., magnet:?... or http://...
    #[structopt(parse(try_from_os_str = utf8), required_unless_one = &["best", "folder"], value_name = "WHAT")]
    pub what: Vec<String>,
    /// Put it into this folder
    #[structopt(short = "o", long = "out", parse(from_os_str), value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Under this name
    #[structopt(parse(try_from_os_str = utf8), long, value_name = "NAME")]
    pub name: Option<String>,
    /// skip, rename or overwrite; otherwise skip the same content and rename other
    #[structopt(parse(try_from_os_str = utf8), long, value_name = "RULE", possible_values = &["skip", "rename", "overwrite"])]
    pub on_exists: Option<String>,
    /// high, normal or low: who goes first of those that wait
    #[structopt(parse(try_from_os_str = utf8), long, value_name = "LEVEL", possible_values = &["high", "normal", "low"])]
    pub priority: Option<String>,
    /// Below the folder, for example '{peer}/{name}'; there are {dir} and {ext} too
    #[structopt(parse(try_from_os_str = utf8), long, value_name = "TEMPLATE")]
    pub template: Option<String>,
    /// All that the latest `browse` listed in this folder and below, into folders of the same names
    #[structopt(parse(try_from_os_str = utf8), long, value_name = "DIR", conflicts_with_all = &["what", "best", "name"])]
    pub folder: Option<String>,
    /// Print an address where a player can open it while it comes, front first
    #[structopt(long)]
    pub play: bool,
    /// Search for these words and take the best hit
    #[structopt(parse(try_from_os_str = utf8), long, value_name = "WORDS", conflicts_with = "what")]
    pub best: Option<String>,
    /// Begin with this host (repeat)
    #[structopt(parse(try_from_os_str = utf8), long, value_name = "HOST:PORT", number_of_values = 1, use_delimiter = true)]
    pub connect: Vec<String>,
}

/// `magnet`.
#[derive(Clone, Debug, StructOpt)]
#[structopt(settings = &[AppSettings::UnifiedHelpMessage, AppSettings::DeriveDisplayOrder])]
pub struct Magnet {
    /// Hits' numbers, urns, or paths of files that you share
    #[structopt(parse(try_from_os_str = utf8), required = true, value_name = "WHAT")]
    pub what: Vec<String>,
    /// The numbers are those of `filbert transfers`
    #[structopt(long)]
    pub transfer: bool,
}

/// `pause`, `resume`, `cancel`, `retry`.
#[derive(Clone, Debug, StructOpt)]
pub struct Ids {
    /// Numbers that `filbert transfers` shows
    #[structopt(required = true, value_name = "ID")]
    pub ids: Vec<u64>,
}

/// `limits`.
#[derive(Clone, Debug, StructOpt)]
#[structopt(settings = &[AppSettings::UnifiedHelpMessage, AppSettings::DeriveDisplayOrder])]
pub struct Speeds {
    /// All downloads together: 500K, 1.5M, 64Ki; 0 pauses, off removes
    #[structopt(parse(try_from_os_str = utf8), long, value_name = "SPEED")]
    pub down: Option<String>,
    /// All uploads together
    #[structopt(parse(try_from_os_str = utf8), long, value_name = "SPEED")]
    pub up: Option<String>,
    /// The uploads to one address
    #[structopt(parse(try_from_os_str = utf8), long, value_name = "SPEED")]
    pub per_peer: Option<String>,
}

/// `turtle`.
#[derive(Clone, Debug, StructOpt)]
#[structopt(settings = &[AppSettings::UnifiedHelpMessage, AppSettings::DeriveDisplayOrder])]
pub struct Turtle {
    /// on or off; nothing: the other one
    #[structopt(parse(try_from_os_str = utf8), possible_values = &["on", "off"], value_name = "on|off")]
    pub switch: Option<String>,
    /// All downloads together while it is on
    #[structopt(parse(try_from_os_str = utf8), long, value_name = "SPEED")]
    pub down: Option<String>,
    /// All uploads together while it is on
    #[structopt(parse(try_from_os_str = utf8), long, value_name = "SPEED")]
    pub up: Option<String>,
}

/// `peers`.
#[derive(Clone, Debug, StructOpt)]
pub struct Peers {
    /// What to do with them; nothing: show them
    #[structopt(subcommand)]
    pub change: Option<PeersChange>,
}

/// `peers ...`.
#[derive(Clone, Debug, StructOpt)]
pub enum PeersChange {
    /// Look for so many neighbours from now on
    Set {
        /// How many
        #[structopt(value_name = "N")]
        neighbours: usize,
    },
}

/// `hosts`.
#[derive(Clone, Debug, StructOpt)]
pub struct Hosts {
    /// What to do with them; nothing: show them
    #[structopt(subcommand)]
    pub change: Option<HostsChange>,
}

/// `hosts ...`.
#[derive(Clone, Debug, StructOpt)]
pub enum HostsChange {
    /// Add hosts from a file, one HOST:PORT a line
    #[structopt(after_help = IMPORT_EXAMPLES)]
    Import {
        /// The file; - is stdin
        #[structopt(parse(from_os_str), value_name = "FILE")]
        file: PathBuf,
    },
}

/// `config`.
#[derive(Clone, Debug, StructOpt)]
pub struct Settings {
    /// What to do; nothing: show all
    #[structopt(subcommand)]
    pub act: Option<SettingsAct>,
}

/// `config ...`.
#[derive(Clone, Debug, StructOpt)]
pub enum SettingsAct {
    /// Show one setting or all
    Get {
        /// Say which place won: flag, env, file or default
        #[structopt(long)]
        origin: bool,
        /// Its name
        #[structopt(parse(try_from_os_str = utf8), value_name = "KEY")]
        key: Option<String>,
    },
    /// Write a setting into config.toml; comments there are kept
    Set {
        /// Its name
        #[structopt(parse(try_from_os_str = utf8), value_name = "KEY")]
        key: String,
        /// Its value; lists with commas
        #[structopt(parse(try_from_os_str = utf8), value_name = "VALUE", allow_hyphen_values = true)]
        value: String,
    },
    /// Where config.toml is
    Path,
    /// Open config.toml in $EDITOR
    Edit,
}

/// `demo`.
#[derive(Clone, Debug, StructOpt)]
#[structopt(settings = &[AppSettings::UnifiedHelpMessage, AppSettings::DeriveDisplayOrder])]
pub struct Demo {
    /// How many servents
    #[structopt(long, value_name = "N", default_value = "9")]
    pub nodes: usize,
    /// The same number, the same mesh
    #[structopt(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Without the pauses for reading
    #[structopt(long)]
    pub fast: bool,
    /// Let the source send a wrong byte: the demo must notice and end with 5.
    #[structopt(long, hidden = true)]
    pub corrupt: bool,
}

/// `sim`.
#[derive(Clone, Debug, StructOpt)]
#[structopt(settings = &[AppSettings::SubcommandRequired, AppSettings::VersionlessSubcommands, AppSettings::UnifiedHelpMessage, AppSettings::DeriveDisplayOrder, AppSettings::DisableHelpSubcommand])]
pub struct Sim {
    /// Which study.
    #[structopt(subcommand)]
    pub study: Study,
}

/// `sim ...`.
#[derive(Clone, Debug, StructOpt)]
pub enum Study {
    /// What a flood reaches and costs, by degree and TTL
    Table {
        /// Servents
        #[structopt(long, value_name = "N", default_value = "1000")]
        nodes: usize,
        /// The same number, the same bytes
        #[structopt(long, value_name = "N", default_value = "1")]
        seed: u64,
        /// Only this number of neighbours (repeat)
        #[structopt(long, value_name = "N", number_of_values = 1)]
        degree: Vec<usize>,
    },
    /// Servents find each other, ask, lose a part of themselves and ask again
    Run {
        /// A scenario in JSON; without one, the default
        #[structopt(parse(from_os_str), value_name = "FILE")]
        scenario: Option<PathBuf>,
        /// Servents
        #[structopt(long, value_name = "N")]
        nodes: Option<usize>,
        /// The same number, the same bytes
        #[structopt(long, value_name = "N")]
        seed: Option<u64>,
    },
    /// Two scenarios side by side
    Compare {
        /// What is
        #[structopt(parse(from_os_str), value_name = "A")]
        a: PathBuf,
        /// What might be
        #[structopt(parse(from_os_str), value_name = "B")]
        b: PathBuf,
    },
    /// One flood, copy by copy
    Trace {
        /// Servents
        #[structopt(long, value_name = "N", default_value = "12")]
        nodes: usize,
        /// The same number, the same bytes
        #[structopt(long, value_name = "N", default_value = "1")]
        seed: u64,
        /// Neighbours of each
        #[structopt(long, value_name = "N", default_value = "3")]
        degree: usize,
        /// Links that the question travels
        #[structopt(long, value_name = "N", default_value = "4")]
        ttl: u8,
    },
}

const IMPORT_EXAMPLES: &str = "Examples:
    filbert hosts import hosts.txt
    filbert hosts import ~/.gtk-gnutella/ultras
    ... | filbert hosts import -

Lists of other programs are read too: hosts and ultras of gtk-gnutella,
gnutella.net of WireShare, lines of a GWebCache. Empty lines and what follows
a # are passed over. A line that names no host is told, and keeps no other
from being added.

Exit code: 0 if each line was added or known already, 8 if only some were, 1
if none was, 3 if the file names nothing.";

const DOWN_EXAMPLES: &str = "Examples:
    filbert down
    filbert --home /srv/filbert down

What is being sent gets 5 s to end; downloads go on at the next start.";

const SHARES_EXAMPLES: &str = "Examples:
    filbert shares
    filbert shares --json";

const TRANSFERS_EXAMPLES: &str = "Examples:
    filbert transfers
    filbert transfers --json               a line each, for scripts

The number in front is for pause, resume, cancel, retry and priority.";

const LIMITS_EXAMPLES: &str = "Examples:
    filbert limits                         what holds now
    filbert limits --up 500K --per-peer 100K
    filbert limits --down 0                pause all downloads
    filbert limits --down off              no limit again

Bytes a second: K M G are powers of 1000, Ki Mi Gi of 1024.";

const PASSWORD_EXAMPLES: &str = "Examples:
    filbert password
    filbert up --api 0.0.0.0:7346 --api-remote
    filbert password < words.txt
    filbert password --remove

Only its Argon2id hash is kept. A new one holds at once: whoever came in by
the old one is out. 8 characters at least. It opens all that you can do, and
crosses the network unencrypted unless a proxy with TLS stands before.";

const COMPLETIONS_EXAMPLES: &str = "Examples:
    source <(filbert completions bash)     in ~/.bashrc
    source <(filbert completions zsh)      in ~/.zshrc, behind compinit
    filbert completions fish > ~/.config/fish/completions/filbert.fish";

const DOCTOR_EXAMPLES: &str = "Examples:
    filbert doctor
    filbert doctor --json
    filbert doctor --bundle filbert-support.txt

The bundle is text: read it before you give it to somebody. It has no token
and no key, names no shared file and no search, and shortens the addresses of
others.";

const TUI_EXAMPLES: &str = "Example:
    filbert up --detach && filbert tui

Keys: / search, Enter get, Space select, b browse, m copy the magnet link,
p pause, t turtle, ? help, q quit, Tab or 1-9 the views. The servent goes on
when you leave.";

const SIM_EXAMPLES: &str = "Examples:
    filbert sim table                      a thousand servents
    filbert sim table --nodes 200 --seed 7 --json
    filbert sim trace --nodes 12 --ttl 3
    filbert sim run scenario.json
    filbert sim compare now.json then.json";

const UP_EXAMPLES: &str = "Examples:
    filbert up --share ~/Music
    filbert up --connect 192.168.1.20:6346
    filbert up --listen 127.0.0.1:0 --api 127.0.0.1:0 --json
    filbert up --detach && filbert status
    FILBERT_LOG=warn,filbert::net=debug filbert up   one subsystem's log

SIGHUP reads config.toml again; SIGTERM lets uploads that run go on for 5 s.";

const SHARE_EXAMPLES: &str = "Examples:
    filbert share ~/Music
    filbert share --dry-run ~/Documents    only look
    filbert share ~/Work --exclude '*.iso' --exclude 'drafts/**'
    filbert share --yes /srv/public        in a script

Without a terminal nothing is asked: the folder is shared, unless files in it
look private; then --yes is needed.";

const SEARCH_EXAMPLES: &str = "Examples:
    filbert search blue train              both words
    filbert search blue train -live        but not that one
    filbert search '\"blue train\" ext:flac'  a phrase, and a kind of file
    filbert search jazz --any blues        one of them
    filbert search type:video --min-size 700M
    filbert search urn:sha1:PLSTHIPQGSSZTS5FJUPAKUZWUGYQYPFB
    filbert search train --ttl 1           only direct neighbours

Numbers in the first column are for `filbert get`. `--` ends the flags.";

const WATCH_EXAMPLES: &str = "Examples:
    filbert watch add blue train ext:flac
    filbert watch add blue train -live --get --max 100M
    filbert watch                          all: when asked, what is new
    filbert watch hits 1
    filbert watch remove 1

One question a minute in all; each every ten minutes at most, and ever more
rarely while nothing new comes.";

const GET_EXAMPLES: &str = "Examples:
    filbert get 3                          hit 3 of the latest search
    filbert get 1 2 5-17 -o ~/Music        several, as of a `browse`
    filbert get --folder music/jazz        a folder that `browse` listed
    filbert get 1-40 --template '{peer}/{dir}/{name}'
    filbert get urn:sha1:PLSTHIPQGSSZTS5FJUPAKUZWUGYQYPFB
    filbert get --best \"blue train\"
    mpv \"$(filbert get 3)\"                 stdout is the path alone
    mpv \"$(filbert get 3 --play)\"          while it comes, block by block

--folder . is all that was listed. With --play stdout is the address alone,
and a running servent goes on by itself; each block is checked before a player
gets it. Where no source has the file's tree, single blocks cannot be checked:
then a player waits until all of the file is here and checked.

Ctrl-C leaves the download running in the servent.";

const CONFIG_EXAMPLES: &str = "Examples:
    filbert config                         all settings
    filbert config get --origin neighbours
    filbert config set neighbours 12
    filbert config edit

A flag beats the environment (FILBERT_NEIGHBOURS), which beats config.toml,
which beats limits set in the page or by the API, which beat the default.";

/// Words, and what else is no path, are text.
fn utf8(text: &OsStr) -> Result<String, OsString> {
    text.to_str().map(str::to_owned).ok_or_else(|| format!("{text:?} is no UTF-8").into())
}
