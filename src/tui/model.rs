//! All that the full-screen face knows: what was told last, where the cursor stands, what is being typed.

use super::ask::{Ask, SettingView};
use super::hits::Hits;
use super::shown::{Order, Which};
use crate::app::view::{
    BlocksView, FindingView, HitView, PeerView, ShareView, SpeedsView, StatusView, TransferView, WatchView,
};
use crate::library::Kind;

/// Rows that a table keeps; what is beyond is told in words.
pub const ROWS: usize = 10_000;
/// Characters that can be typed into the line.
pub const TYPED: usize = 512;

/// Views.
pub const VIEWS: usize = 9;

/// Which table is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum View {
    /// Hits.
    Search,
    /// Saved searches.
    Watches,
    /// Downloads and uploads.
    Transfers,
    /// Our folders.
    Shares,
    /// Links.
    Peers,
    /// What strangers see of us.
    Strangers,
    /// Speeds and settings.
    Settings,
    /// Keys.
    Help,
    /// What is wrong, each with its fix.
    Check,
}

impl View {
    /// In the order of their numbers.
    pub const ALL: [Self; VIEWS] = [
        Self::Search,
        Self::Watches,
        Self::Transfers,
        Self::Shares,
        Self::Peers,
        Self::Strangers,
        Self::Settings,
        Self::Help,
        Self::Check,
    ];

    /// What stands on its tab.
    pub fn name(self) -> &'static str {
        match self {
            Self::Search => "Search",
            Self::Watches => "Saved",
            Self::Transfers => "Transfers",
            Self::Shares => "Shares",
            Self::Peers => "Peers",
            Self::Strangers => "Seen",
            Self::Settings => "Settings",
            Self::Help => "Help",
            Self::Check => "Check",
        }
    }

    /// Its number, from 0.
    pub fn index(self) -> usize {
        Self::ALL.iter().position(|view| *view == self).unwrap_or_default()
    }

    /// The next one, or the one before.
    pub fn step(self, by: usize) -> Self {
        Self::ALL[(self.index() + by) % Self::ALL.len()]
    }
}

/// What the line at the bottom is for while something is typed into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Words to look for, or a link to get.
    Search,
    /// A host to link to.
    Connect,
    /// A folder to share; what is in it is told before.
    Share,
    /// Words to save.
    Watch,
    /// What the rows must hold; it works while it is typed.
    Filter,
    /// A speed, by its name in the API, and what it is of.
    Limit(&'static str, &'static str),
    /// A `y` does this.
    Confirm(String, Ask),
}

/// The line that is being typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// What for.
    pub purpose: Purpose,
    /// So far.
    pub text: String,
}

/// How a word at the bottom is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// It is done.
    Fine,
    /// It failed.
    Bad,
}

/// See the module.
#[derive(Debug)]
pub struct Model {
    /// What is looked at.
    pub view: View,
    /// The row at which each view's cursor stands.
    pub cursor: [usize; VIEWS],
    /// Of the views that can be filtered, what rows must hold.
    pub filter: [String; VIEWS],
    /// Of views that are filtered or sorted, the places of what is shown.
    pub shown: [Option<Vec<usize>>; VIEWS],
    /// How hits are sorted.
    pub order: Order,
    /// Hits of which kind are shown.
    pub kind: Option<Kind>,
    /// Whether only hits with a free slot are shown.
    pub free: bool,
    /// Which transfers are shown.
    pub which: Which,
    /// What is being typed.
    pub input: Option<Input>,
    /// The latest word about something that was asked.
    pub notice: Option<(Tone, String)>,
    /// The words of the search that is shown, which can be saved.
    pub saved: Option<String>,
    /// What was found.
    pub hits: Hits,
    /// One line about everything, once it was told.
    pub status: Option<StatusView>,
    /// Downloads and uploads.
    pub transfers: Vec<TransferView>,
    /// Our folders.
    pub shares: Vec<ShareView>,
    /// Links.
    pub peers: Vec<PeerView>,
    /// Saved searches.
    pub watches: Vec<WatchView>,
    /// Our list as it is given to strangers.
    pub strangers: Vec<HitView>,
    /// Whether it is being asked for, or why it is not there.
    pub strangers_word: String,
    /// Whether the parts of the download at the cursor are shown, and those that were told last, with its number.
    pub parts: bool,
    /// See [`Model::parts`].
    pub told_parts: Option<(u64, BlocksView)>,
    /// Whether parts are being asked for: a cursor that runs down the rows does not ask at each of them.
    pub(super) asking_parts: bool,
    /// What `doctor` found.
    pub findings: Vec<FindingView>,
    /// Whether it is looking, or why it cannot.
    pub findings_word: String,
    /// Whether the mouse is ours; else the terminal selects text with it.
    pub mouse: bool,
    /// Settings.
    pub settings: Vec<SettingView>,
    /// Speeds.
    pub speeds: SpeedsView,
    /// Whether the servent does not answer.
    pub gone: bool,
    /// What to type to name this home: ` --home DIR`, or nothing.
    pub home_flag: String,
}

impl Model {
    /// Before anything was told.
    pub fn new(home_flag: String) -> Self {
        Self {
            view: View::Search,
            cursor: [0; VIEWS],
            filter: Default::default(),
            shown: Default::default(),
            order: Order::default(),
            kind: None,
            free: false,
            which: Which::default(),
            input: None,
            notice: None,
            saved: None,
            hits: Hits::default(),
            status: None,
            transfers: Vec::new(),
            shares: Vec::new(),
            peers: Vec::new(),
            watches: Vec::new(),
            strangers: Vec::new(),
            strangers_word: String::new(),
            parts: false,
            told_parts: None,
            asking_parts: false,
            findings: Vec::new(),
            findings_word: String::new(),
            mouse: true,
            settings: Vec::new(),
            speeds: SpeedsView::default(),
            gone: false,
            home_flag,
        }
    }

    /// Rows of the view that is looked at, without those that are hidden.
    pub fn rows(&self) -> usize {
        self.shown[self.view.index()].as_ref().map_or_else(|| self.all_rows(), Vec::len)
    }

    /// Rows of the view that is looked at, hidden ones too.
    pub(super) fn all_rows(&self) -> usize {
        match self.view {
            View::Search => self.hits.rows.len(),
            View::Watches => self.watches.len(),
            View::Transfers => self.transfers.len(),
            View::Shares => self.shares.len(),
            View::Peers => self.peers.len(),
            View::Strangers => self.strangers.len(),
            View::Settings => self.settings.len(),
            View::Help => super::draw::HELP.lines().count(),
            View::Check => self.findings.len(),
        }
    }

    /// The row at the cursor of the view that is looked at, which may have become shorter.
    pub fn at(&self) -> usize {
        self.cursor[self.view.index()].min(self.rows().saturating_sub(1))
    }

    /// The place in its table of what the cursor stands on.
    pub fn here(&self) -> usize {
        self.place(self.at())
    }

    /// Whether the turtle is on.
    pub fn turtle(&self) -> bool {
        self.status.as_ref().is_some_and(|status| status.limits.turtle)
    }

    pub(super) fn say(&mut self, tone: Tone, words: impl Into<String>) {
        self.notice = Some((tone, words.into()));
    }
}
