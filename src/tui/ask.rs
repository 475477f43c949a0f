//! What the full-screen face asks of the servent, and what it is told.

use serde::Deserialize;

use crate::app::view::{
    BlocksView, EventView, FindingView, HitView, PeerView, SearchDone, ShareView, SpeedsView, StatusView, TransferView,
    WatchView,
};

use super::View;

/// Something to do outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Tell the status and what this view shows.
    Look(View),
    /// Search; its hits are told with this number of ours.
    Search(u64, String),
    /// List what a host shares (its address, or the number of a hit of it), as hits with this number of ours.
    Browse(u64, String),
    /// Nobody reads the hits of the search that runs: end it.
    EndSearch,
    /// Download: a hit's number, a urn, a magnet link or an address.
    Get(Vec<String>),
    /// Download these into the folders that they have there.
    GetFolder(Vec<String>),
    /// Tell which parts of a download are there.
    Parts(u64),
    /// Tell what is wrong, each with its fix.
    Doctor,
    /// `pause`, `resume`, `cancel` or `retry` a transfer.
    Transfer(u64, &'static str),
    /// Link to a host.
    Connect(String),
    /// Close the link to a peer.
    Disconnect(String),
    /// Tell what sharing a folder would share.
    Preview(String),
    /// Share a folder.
    Share(String),
    /// Save a search.
    Watch(String),
    /// `pause` or `resume` a saved search.
    WatchAct(u64, &'static str),
    /// Save it no more.
    Unwatch(u64),
    /// List what it found, as hits with this number of ours.
    WatchHits(u64, u64),
    /// List what strangers see of us, at the address where we listen.
    Strangers(String),
    /// `pause` or `resume` these transfers.
    TransferAll(Vec<u64>, &'static str),
    /// Set a speed: its name in the API, and what was typed.
    Limit(&'static str, String),
    /// Whether the mouse is ours.
    Mouse(bool),
    /// Stop sharing a folder.
    Unshare(String),
    /// The slow speeds, on or off.
    Turtle(bool),
    /// Tell the magnet link: of a hit by its number, or of a transfer.
    Magnet(MagnetOf),
    /// Put a text into the clipboard of the terminal.
    Copy(String),
    /// Leave.
    Quit,
}

/// Whose magnet link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MagnetOf {
    /// Of the hit with this number.
    Hit(u32),
    /// Of this transfer.
    Transfer(u64),
}

/// What the servent said, or what became of an ask.
#[derive(Debug)]
pub enum Told {
    /// One line about everything.
    Status(Box<StatusView>),
    /// All transfers.
    Transfers(Vec<TransferView>),
    /// All shared folders.
    Shares(Vec<ShareView>),
    /// All links.
    Peers(Vec<PeerView>),
    /// All saved searches.
    Watches(Vec<WatchView>),
    /// What strangers see, or why that cannot be told.
    Strangers(Result<Vec<HitView>, String>),
    /// Which parts of that download are there; nothing when it is gone.
    Parts(u64, Option<Box<BlocksView>>),
    /// What is wrong, or why that cannot be told.
    Doctor(Result<Vec<FindingView>, String>),
    /// What sharing a folder would share.
    Preview(Box<ShareView>),
    /// All settings, and the speeds.
    Settings(Vec<SettingView>, Box<SpeedsView>),
    /// Hits of the search with that number of ours.
    Hits(u64, Vec<HitView>),
    /// All hits of a saved search, with that number of ours.
    Kept(u64, Vec<HitView>),
    /// That search is over.
    Done(u64, Box<SearchDone>),
    /// That search could not be made, or broke off.
    Broken(u64, String),
    /// Something happened.
    Event(Box<EventView>),
    /// The magnet link that was asked for.
    Magnet(String),
    /// An ask was done: in words, perhaps none.
    Said(String),
    /// An ask failed: in words, with the next step.
    Failed(String),
    /// No servent answers.
    Gone,
}

/// A setting, as the API tells it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct SettingView {
    /// Its name in `config.toml`.
    pub key: String,
    /// Its value.
    pub value: serde_json::Value,
    /// Which place won: `flag`, `env`, `file` or `default`.
    pub origin: String,
}
