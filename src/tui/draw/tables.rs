//! The tables: which columns each view has, and what stands in them.

use unicode_width::UnicodeWidthStr;

use super::super::model::{Model, View};
use super::super::shown::Order;
use super::super::text;
use super::super::told::is_over;
use crate::app::view::{PeerView, ShareView, TransferView};

/// From so many columns on there is room for what is good to know, and for everything.
const ROOMY: usize = 76;
const BROAD: usize = 100;
const WIDE: usize = 124;
/// The name never gets fewer columns than these.
const NARROWEST: usize = 8;
/// Said in place of a table whose rows are all hidden.
const ALL_HIDDEN: &str = "All of it is hidden. Esc shows it.";

/// A column.
pub struct Column {
    /// Its heading.
    pub head: &'static str,
    /// Its width; 0 takes what the others leave.
    width: usize,
    /// Whether it is set flush right.
    right: bool,
    /// On a narrower screen it is left out.
    from: usize,
}

impl Column {
    /// Only on a screen with so many columns.
    fn from(self, from: usize) -> Self {
        Self { from, ..self }
    }
}

/// A view's table.
pub struct Table<'a> {
    /// Lines above it.
    pub title: Vec<String>,
    /// What is said when it has no rows.
    pub empty: Vec<String>,
    /// Its columns.
    pub columns: Vec<Column>,
    /// What stands in a row.
    pub row: Box<dyn Fn(usize) -> Vec<String> + 'a>,
    /// Whether something is wrong with a row; the row says so too.
    pub bad: Box<dyn Fn(usize) -> bool + 'a>,
}

fn left(head: &'static str, width: usize) -> Column {
    Column { head, width, right: false, from: 0 }
}

fn right(head: &'static str, width: usize) -> Column {
    Column { head, width, right: true, from: 0 }
}

/// The table of the view that is looked at.
pub fn of(model: &Model, width: usize) -> Table<'_> {
    match model.view {
        View::Search => hits(model),
        View::Watches => watches(model),
        View::Strangers => strangers(model),
        View::Transfers => transfers(model, width),
        View::Shares => shares(model),
        View::Peers => peers(model),
        View::Check => check(model),
        View::Settings | View::Help => settings(model, width),
    }
}

/// Widths for a screen of `width` columns, 0 for columns that have no room; two go for the mark and two between
/// neighbours.
pub fn widths(columns: &[Column], width: usize) -> Vec<usize> {
    let fixed: usize = columns.iter().filter(|column| column.from <= width).map(|column| column.width + 2).sum();
    let rest = width.saturating_sub(fixed).max(NARROWEST);
    let of = |column: &Column| match column.width {
        _ if column.from > width => 0,
        0 => rest,
        width => width,
    };
    columns.iter().map(of).collect()
}

/// A line of the table.
pub fn join(mark: &str, columns: &[Column], widths: &[usize], cells: &[String]) -> String {
    let mut line = mark.to_owned();
    for ((column, &width), cell) in columns.iter().zip(widths).zip(cells).filter(|((_, width), _)| **width > 0) {
        let cut = text::cut(cell, width);
        let fill = " ".repeat(width.saturating_sub(cut.width()));
        line += &if column.right { format!("{fill}{cut}  ") } else { format!("{cut}{fill}  ") };
    }
    // The last column needs no gap behind it.
    line.truncate(line.trim_end().len());
    line
}

/// What filters hide, if they do: what is not seen is counted.
fn hidden(model: &Model) -> Option<String> {
    let filters = model.filters();
    (!filters.is_empty()).then(|| format!("{} hidden ({filters}); Esc shows all", model.hidden()))
}

fn watches(model: &Model) -> Table<'_> {
    let columns = vec![
        left("SEARCH", 0),
        right("FOUND", 6),
        right("NEW", 5),
        left("STATE", 22),
        left("FETCHES", 12).from(ROOMY),
        right("SO FAR", 6).from(BROAD),
    ];
    let row = move |at: usize| {
        let watch = &model.watches[at];
        let state = match watch.next_s {
            _ if watch.paused => "paused".to_owned(),
            Some(secs) if secs > 0 => format!("asks again in {}", text::clock(secs)),
            _ => "its turn comes next".to_owned(),
        };
        let fetches = match (watch.get, watch.max) {
            (false, _) => "no".to_owned(),
            (true, None) => "all".to_owned(),
            (true, Some(most)) => format!("<= {}", text::size(most)),
        };
        let fetched = watch.fetched.to_string();
        vec![text::safe(&watch.query), watch.hits.to_string(), watch.new.to_string(), state, fetches, fetched]
    };
    let title = vec![match model.watches.len() {
        1 => "1 saved search".to_owned(),
        n => format!("{n} saved searches"),
    }];
    let empty = vec!["No search is saved. Save one (n), and filbert goes on looking for what is rare.".to_owned()];
    Table { title, empty, columns, row: Box::new(row), bad: Box::new(|_| false) }
}

fn strangers(model: &Model) -> Table<'_> {
    let columns =
        vec![left("NAME", 0), right("SIZE", 10), left("FOLDER", 20).from(BROAD), left("SHA-1", 32).from(WIDE)];
    let row = move |at: usize| {
        let file = &model.strangers[at];
        let sha1 = file.sha1.clone().unwrap_or_else(|| "not hashed yet".into());
        vec![text::safe(&file.name), text::size(file.size), text::safe(&file.folder), sha1]
    };
    let word = if model.strangers_word.is_empty() { "read over the wire" } else { &model.strangers_word };
    let files = text::count(model.strangers.len() as u64, "file");
    let mut title = vec![format!("What strangers see: {files}, {word}")];
    title.extend(hidden(model));
    let empty = vec![match (model.hidden() > 0, model.strangers_word.is_empty()) {
        (true, _) => ALL_HIDDEN.to_owned(),
        (_, true) => "Nothing. Nobody can see or fetch a file of yours, because you share none.".to_owned(),
        _ => model.strangers_word.clone(),
    }];
    Table { title, empty, columns, row: Box::new(row), bad: Box::new(|_| false) }
}

fn check(model: &Model) -> Table<'_> {
    let columns = vec![left("STATE", 9), left("CHECK", 12), left("WHAT", 0)];
    let row = move |at: usize| {
        let finding = &model.findings[at];
        let mark = if finding.state == "problem" { "! " } else { "" };
        vec![format!("{mark}{}", finding.state), text::safe(&finding.check), text::safe(&finding.what)]
    };
    let count = |state: &str| model.findings.iter().filter(|finding| finding.state == state).count() as u64;
    let word = match model.findings_word.as_str() {
        "" => format!("{}, {}", text::count(count("problem"), "problem"), text::count(count("note"), "note")),
        word => word.to_owned(),
    };
    let bad = move |at: usize| model.findings[at].state == "problem";
    let title = vec![format!("Is all well? {word}")];
    Table { title, empty: Vec::new(), columns, row: Box::new(row), bad: Box::new(bad) }
}

fn hits(model: &Model) -> Table<'_> {
    let hits = &model.hits;
    let columns = vec![
        left("", 1),
        left("NAME", 0),
        right("SIZE", 10),
        right("SRC", 4),
        left("FROM", 21).from(ROOMY),
        right("HOPS", 4).from(ROOMY),
        left("PROGRAM", 8).from(WIDE),
        left("SHA-1", 32).from(WIDE),
    ];
    let mut title = Vec::new();
    if hits.serial > 0 {
        let chosen = hits.rows.iter().filter(|row| row.chosen).count();
        let state = match (&hits.done, hits.running) {
            (_, true) => "searching".to_owned(),
            (Some(done), _) => {
                let secs = done.elapsed_ms as f64 / 1000.0;
                match done.neighbours_asked {
                    // A list is asked of its host alone.
                    0 => format!("{secs:.1} s"),
                    asked => format!("{} asked, {secs:.1} s", text::count(asked, "peer")),
                }
            }
            (None, false) => "ended".to_owned(),
        };
        let mut line = format!(
            "{}: {} of {}, {state}",
            text::safe(&hits.title),
            text::count(hits.taken as u64, "hit"),
            text::count(hits.rows.len() as u64, "file")
        );
        if chosen > 0 {
            line += &format!(", {chosen} selected");
        }
        if hits.beyond > 0 {
            line += &format!(", {} more are not shown: search for more words", hits.beyond);
        }
        if model.order != Order::Came {
            line += &format!(", {}", model.order.words());
        }
        title.push(line);
    }
    title.extend(hidden(model));
    let empty = match (hits.serial, hits.running) {
        _ if model.hidden() > 0 => vec![ALL_HIDDEN.to_owned()],
        (0, _) => vec!["Press / and type what you look for.".to_owned()],
        (_, true) => vec!["Nothing yet ...".to_owned()],
        _ if model.status.as_ref().is_some_and(|status| status.neighbours == 0) => vec![
            "No peers yet, so nobody could be asked.".to_owned(),
            format!(
                "Same network: run filbert there. Elsewhere: press 5, then c, and name a host. Public hosts: filbert{} hosts import FILE",
                model.home_flag
            ),
        ],
        _ => vec!["Nothing found. Try fewer or other words: press /".to_owned()],
    };
    let row = move |at: usize| {
        let row = &hits.rows[at];
        let hit = &row.first;
        vec![
            if row.chosen { "*" } else { "" }.to_owned(),
            text::safe(&hit.name),
            text::size(hit.size),
            row.sources.to_string(),
            text::safe(&hit.source.addr),
            hit.hops.to_string(),
            text::safe(&hit.source.vendor),
            hit.sha1.clone().unwrap_or_else(|| "not hashed yet".into()),
        ]
    };
    Table { title, empty, columns, row: Box::new(row), bad: Box::new(|_| false) }
}

fn transfers(model: &Model, width: usize) -> Table<'_> {
    let columns = vec![
        left("", 4),
        left("NAME", 0),
        right("DONE", 5),
        right("SIZE", 10).from(ROOMY),
        right("RATE", 11),
        right("LEFT", 8).from(BROAD),
        left("STATE", if width < BROAD { 14 } else { 24 }).from(ROOMY),
        right("SRC", 4).from(WIDE),
        left("PEER", 21).from(WIDE),
    ];
    let active = model.transfers.iter().filter(|it| !is_over(&it.state)).count();
    let mut title = vec![format!("{}, {active} active", text::count(model.transfers.len() as u64, "transfer"))];
    title.extend(hidden(model));
    // What the column has no room for.
    title.extend(model.transfers.get(model.here()).map(|it| format!("{}: {}", text::safe(&it.name), state(it))));
    let row = move |at: usize| {
        let it = &model.transfers[at];
        vec![
            it.direction.clone(),
            text::safe(&it.name),
            it.size
                .filter(|&size| size > 0)
                .map(|size| format!("{}%", it.done.saturating_mul(100) / size))
                .unwrap_or_default(),
            text::size(it.size.unwrap_or(it.done)),
            if it.rate_bps > 0 { format!("{}/s", text::size(it.rate_bps)) } else { String::new() },
            it.eta_s.map(text::clock).unwrap_or_default(),
            state(it),
            it.sources.to_string(),
            text::safe(it.peer.as_deref().unwrap_or_default()),
        ]
    };
    let bad = move |at: usize| model.transfers[at].state == "failed";
    let empty = if model.hidden() > 0 {
        vec![ALL_HIDDEN.to_owned()]
    } else {
        vec!["No transfers. Search (/) and press Enter on what you want.".to_owned()]
    };
    Table { title, empty, columns, row: Box::new(row), bad: Box::new(bad) }
}

/// The state, and why.
fn state(it: &TransferView) -> String {
    let mark = if it.state == "failed" { "! " } else { "" };
    let next = it.next_try_s.map(|secs| format!(" {}", text::clock(secs))).unwrap_or_default();
    match it.reason.as_str() {
        "" => format!("{mark}{}{next}", it.state),
        reason => format!("{mark}{}{next}: {}", it.state, text::safe(reason)),
    }
}

fn shares(model: &Model) -> Table<'_> {
    let columns = vec![
        left("FOLDER", 0),
        right("FILES", 8),
        right("SIZE", 10),
        left("STATE", 18).from(ROOMY),
        right("LEFT OUT", 8).from(ROOMY),
    ];
    let row = move |at: usize| {
        let share: &ShareView = &model.shares[at];
        let state = match share.state.as_str() {
            "hashing" => format!("hashing {} of {}", share.hashed, share.files),
            "missing" => "! missing".to_owned(),
            other if !share.warnings.is_empty() => format!("! {other}"),
            other => other.to_owned(),
        };
        let left_out: u64 = share.skipped.values().sum();
        let path = text::safe(&share.path.display().to_string());
        vec![path, share.files.to_string(), text::size(share.bytes), state, left_out.to_string()]
    };
    let bad = move |at: usize| model.shares[at].state == "missing" || !model.shares[at].warnings.is_empty();
    let mut title = vec![format!("{} shared", text::count(model.shares.len() as u64, "folder"))];
    let warnings = model.shares.get(model.at()).map(|share| share.warnings.iter().take(2));
    title.extend(warnings.into_iter().flatten().map(|warning| format!("! {}", text::safe(warning))));
    let empty = vec!["Nothing is shared. Offer a folder: press n and name it.".to_owned()];
    Table { title, empty, columns, row: Box::new(row), bad: Box::new(bad) }
}

fn peers(model: &Model) -> Table<'_> {
    let columns = vec![
        left("ADDRESS", 21),
        left("PROGRAM", 0),
        left("ROLE", 5).from(ROOMY),
        left("DIR", 3).from(BROAD),
        right("IN", 10),
        right("OUT", 10).from(ROOMY),
        right("SINCE", 9).from(ROOMY),
        right("HOPS", 4).from(WIDE),
        right("DUPLICATES", 10).from(WIDE),
        right("DROPPED", 8).from(WIDE),
        left("KEY", 16).from(WIDE),
    ];
    let row = move |at: usize| {
        let peer: &PeerView = &model.peers[at];
        let role = if peer.role == "leaf" { "leaf" } else { "ultra" };
        let dropped: u64 = peer.drops.values().sum();
        vec![
            text::safe(&peer.addr),
            text::safe(&peer.vendor),
            role.to_owned(),
            peer.direction.clone(),
            text::size(peer.received.bytes),
            text::size(peer.sent.bytes),
            text::clock(peer.since_s),
            format!("{:.1}", peer.hops_avg),
            peer.duplicates.to_string(),
            dropped.to_string(),
            peer.key.clone().unwrap_or_default(),
        ]
    };
    let title = vec![format!("{} connected", text::count(model.peers.len() as u64, "peer"))];
    let empty = vec![
        "No peers yet. Same network: run filbert there.".to_owned(),
        format!("Elsewhere: press c and name a host. Public hosts: filbert{} hosts import FILE", model.home_flag),
    ];
    Table { title, empty, columns, row: Box::new(row), bad: Box::new(|_| false) }
}

fn settings(model: &Model, width: usize) -> Table<'_> {
    let columns = vec![left("SETTING", if width < ROOMY { 20 } else { 30 }), left("VALUE", 0), left("FROM", 7)];
    let speed = |bps: Option<u64>| match bps {
        None => "no limit".to_owned(),
        Some(0) => "paused".to_owned(),
        Some(bps) => format!("{}/s", text::size(bps)),
    };
    let speeds = &model.speeds;
    let turtle = if model.turtle() { "on" } else { "off" };
    let title = vec![
        format!(
            "Speeds now: down {}, up {}   Turtle: {turtle} (press t)",
            speed(speeds.down_now_bps),
            speed(speeds.up_now_bps)
        ),
        "Change them: d down, u up, e to each peer; D, U while the turtle is on".to_owned(),
    ];
    let title = title.into_iter().chain(hidden(model)).collect();
    let row = move |at: usize| {
        let setting = &model.settings[at];
        let value = match &setting.value {
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Array(list) => {
                list.iter().filter_map(|item| item.as_str()).collect::<Vec<_>>().join(", ")
            }
            other => other.to_string(),
        };
        vec![setting.key.clone(), text::safe(&value), setting.origin.clone()]
    };
    Table {
        title,
        empty: vec![if model.hidden() > 0 { ALL_HIDDEN } else { "Asking the servent ..." }.to_owned()],
        columns,
        row: Box::new(row),
        bad: Box::new(|_| false),
    }
}
