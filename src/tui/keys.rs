//! What each key does.

use super::ask::{Ask, MagnetOf};
use super::draw::Spot;
use super::model::{Input, Model, Purpose, TYPED, Tone, View};
use super::shown::next_kind;
use super::text;
use super::told::is_over;
use crate::app::view::{ShareView, TransferView};

/// A key that was pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A character.
    Char(char),
    /// Ctrl and a letter.
    Ctrl(char),
    /// Return.
    Enter,
    /// Escape.
    Esc,
    /// Tabulator.
    Tab,
    /// Shift and tabulator.
    BackTab,
    /// Backspace.
    Backspace,
    /// Arrow.
    Up,
    /// Arrow.
    Down,
    /// Arrow.
    Left,
    /// Arrow.
    Right,
    /// A page up.
    PageUp,
    /// A page down.
    PageDown,
    /// To the first row.
    Home,
    /// To the last row.
    End,
    /// The wheel of the mouse, up.
    WheelUp,
    /// The wheel of the mouse, down.
    WheelDown,
}

/// Rows of a page.
const PAGE: usize = 10;
/// ... and of a turn of the wheel.
const WHEEL: usize = 3;
/// Files of a folder that are fetched at once.
pub const FOLDER: usize = 1_000;

impl Model {
    /// A key was pressed: what is to be asked now.
    pub fn key(&mut self, key: Key) -> Vec<Ask> {
        if key == Key::Ctrl('c') {
            return vec![Ask::Quit];
        }
        let mut asks = match self.input.take() {
            Some(input) => self.type_into(input, key),
            None => self.command(key),
        };
        asks.extend(self.other_parts());
        asks
    }

    /// A second has passed: what is shown is asked for anew.
    pub fn beat(&mut self) -> Vec<Ask> {
        let mut asks = vec![Ask::Look(self.view)];
        asks.extend(self.shown_parts().map(Ask::Parts));
        self.asking_parts = asks.len() > 1;
        asks
    }

    /// The download whose parts are shown.
    fn shown_parts(&self) -> Option<u64> {
        let wanted = self.parts && self.view == View::Transfers;
        let transfer = wanted.then(|| self.transfers.get(self.here())).flatten()?;
        (transfer.direction == "down").then_some(transfer.id)
    }

    /// The parts to be asked for, if those that were told are of another download than the one at the cursor.
    pub(super) fn other_parts(&mut self) -> Option<Ask> {
        let id = self.shown_parts()?;
        let known = self.told_parts.as_ref().is_some_and(|(known, _)| *known == id);
        (!known && !std::mem::replace(&mut self.asking_parts, true)).then_some(Ask::Parts(id))
    }

    /// Text was pasted: it goes where text is typed, and elsewhere it begins a search (a link, mostly).
    pub fn pasted(&mut self, pasted: &str) {
        let input = self.input.get_or_insert(Input { purpose: Purpose::Search, text: String::new() });
        if !matches!(input.purpose, Purpose::Confirm(..)) {
            let room = TYPED.saturating_sub(input.text.chars().count());
            input.text.extend(pasted.lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(room));
        }
        if input.purpose == Purpose::Filter {
            let words = input.text.clone();
            self.set_filter(&words);
        }
    }

    fn type_into(&mut self, mut input: Input, key: Key) -> Vec<Ask> {
        if let Purpose::Confirm(_, ask) = input.purpose {
            if matches!(key, Key::Char('y' | 'Y')) {
                return vec![ask];
            }
            self.say(Tone::Fine, "nothing was changed");
            return Vec::new();
        }
        match key {
            Key::Enter => return self.typed(&input),
            Key::Esc if input.purpose == Purpose::Filter => {
                self.set_filter("");
                return Vec::new();
            }
            Key::Esc => return Vec::new(),
            Key::Backspace => drop(input.text.pop()),
            Key::Ctrl('u') => input.text.clear(),
            Key::Char(c) if input.text.chars().count() < TYPED => input.text.push(c),
            _ => {}
        }
        if input.purpose == Purpose::Filter {
            self.set_filter(&input.text);
        }
        self.input = Some(input);
        Vec::new()
    }

    fn set_filter(&mut self, words: &str) {
        words.clone_into(&mut self.filter[self.view.index()]);
        self.arrange(self.view);
    }

    /// A line is complete.
    fn typed(&mut self, input: &Input) -> Vec<Ask> {
        let line = input.text.trim().to_owned();
        if line.is_empty() || input.purpose == Purpose::Filter {
            return Vec::new();
        }
        self.notice = None;
        match input.purpose {
            Purpose::Connect => vec![Ask::Connect(line)],
            Purpose::Share => vec![Ask::Preview(line)],
            Purpose::Watch => vec![Ask::Watch(line)],
            Purpose::Limit(name, _) => vec![Ask::Limit(name, line)],
            _ if ["magnet:", "http://"].iter().any(|link| line.starts_with(link)) => vec![Ask::Get(vec![line])],
            _ => {
                let serial = self.begin(line.clone());
                self.saved = Some(line.clone());
                vec![Ask::EndSearch, Ask::Search(serial, line)]
            }
        }
    }

    fn begin(&mut self, title: String) -> u64 {
        self.view = View::Search;
        let serial = self.hits.begin(title);
        self.arrange(View::Search);
        self.cursor[View::Search.index()] = 0;
        serial
    }

    fn command(&mut self, key: Key) -> Vec<Ask> {
        match key {
            Key::Char('q') => return vec![Ask::Quit],
            Key::Char('/') => self.ask_for(Purpose::Search),
            Key::Char('?') => return self.look(View::Help),
            Key::Char(digit @ '1'..='9') => return self.look(View::ALL[digit as usize - '1' as usize]),
            Key::Tab | Key::Right => return self.look(self.view.step(1)),
            Key::BackTab | Key::Left => return self.look(self.view.step(View::ALL.len() - 1)),
            Key::Char('t') => return vec![Ask::Turtle(!self.turtle())],
            Key::Char('s') => {
                self.mouse = !self.mouse;
                self.say(
                    Tone::Fine,
                    match self.mouse {
                        true => "the mouse chooses rows and views; s lets the terminal select text with it",
                        false => "the terminal selects text with the mouse now; s takes it back",
                    },
                );
                return vec![Ask::Mouse(self.mouse)];
            }
            Key::Char('f')
                if matches!(self.view, View::Search | View::Transfers | View::Strangers | View::Settings) =>
            {
                let text = self.filter[self.view.index()].clone();
                self.input = Some(Input { purpose: Purpose::Filter, text });
            }
            Key::WheelUp => self.go(|at, _| at.saturating_sub(WHEEL)),
            Key::WheelDown => self.go(|at, _| at + WHEEL),
            Key::Up | Key::Char('k') => self.go(|at, _| at.saturating_sub(1)),
            Key::Down | Key::Char('j') => self.go(|at, _| at + 1),
            Key::PageUp => self.go(|at, _| at.saturating_sub(PAGE)),
            Key::PageDown => self.go(|at, _| at + PAGE),
            Key::Home | Key::Char('g') => self.go(|_, _| 0),
            Key::End | Key::Char('G') => self.go(|_, rows| rows),
            Key::Esc if self.notice.is_some() => self.notice = None,
            Key::Esc => self.show_all(),
            other => {
                return match self.view {
                    View::Search => self.on_hit(other),
                    View::Watches => self.on_watch(other),
                    View::Transfers => self.on_transfer(other),
                    View::Shares => self.on_share(other),
                    View::Peers => self.on_peer(other),
                    View::Settings => self.on_setting(other),
                    View::Strangers | View::Check if other == Key::Char('r') => self.look(self.view),
                    View::Strangers | View::Check | View::Help => Vec::new(),
                };
            }
        }
        Vec::new()
    }

    fn ask_for(&mut self, purpose: Purpose) {
        self.input = Some(Input { purpose, text: String::new() });
    }

    fn confirm(&mut self, question: String, ask: Ask) {
        self.ask_for(Purpose::Confirm(question, ask));
    }

    fn look(&mut self, view: View) -> Vec<Ask> {
        self.view = view;
        if view == View::Check {
            self.findings_word = "looking ...".to_owned();
            return vec![Ask::Look(view), Ask::Doctor];
        }
        match &self.status {
            Some(status) if view == View::Strangers => {
                self.strangers_word = "asking ourselves as a stranger would ...".to_owned();
                vec![Ask::Look(view), Ask::Strangers(status.listen.clone())]
            }
            _ => vec![Ask::Look(view)],
        }
    }

    /// A tab or a row was clicked.
    pub fn clicked(&mut self, on: Option<Spot>) -> Vec<Ask> {
        match on {
            // What is being typed is not to be lost by a slip of the hand.
            _ if self.input.is_some() => Vec::new(),
            Some(Spot::Tab(view)) => self.look(view),
            Some(Spot::Row(row)) => {
                self.cursor[self.view.index()] = row;
                self.other_parts().into_iter().collect()
            }
            None => Vec::new(),
        }
    }

    /// Sharing a folder would share this: whether to do it.
    pub(super) fn offer(&mut self, preview: &ShareView) {
        let path = preview.path.display().to_string();
        let private = match preview.looks_private.as_slice() {
            [] => String::new(),
            [first, rest @ ..] => {
                let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
                format!(" Looks private: {}{more}.", text::safe(first))
            }
        };
        let files = text::count(preview.files, "file");
        let size = text::size(preview.bytes);
        self.confirm(format!("Share {files}, {size}, of {}?{private}", text::safe(&path)), Ask::Share(path));
    }

    fn go(&mut self, to: impl FnOnce(usize, usize) -> usize) {
        let (at, rows) = (self.at(), self.rows());
        self.cursor[self.view.index()] = to(at, rows).min(rows.saturating_sub(1));
    }

    fn on_hit(&mut self, key: Key) -> Vec<Ask> {
        match key {
            Key::Char('o') => {
                self.order = self.order.next();
                self.arrange(View::Search);
                self.say(Tone::Fine, format!("sorted {}", self.order.words()));
                return Vec::new();
            }
            Key::Char('c') => {
                self.kind = next_kind(self.kind);
                self.arrange(View::Search);
                return Vec::new();
            }
            Key::Char('a') => {
                self.free = !self.free;
                self.arrange(View::Search);
                return Vec::new();
            }
            Key::Char('w') => {
                return match &self.saved {
                    Some(query) => vec![Ask::Watch(query.clone())],
                    None => {
                        self.say(Tone::Bad, "search first: then w saves the search");
                        Vec::new()
                    }
                };
            }
            _ => {}
        }
        let at = self.here();
        let kept = self.hits.kept;
        let Some(row) = self.hits.rows.get_mut(at) else { return Vec::new() };
        match key {
            Key::Enter => vec![Ask::Get(self.hits.take_chosen(at))],
            Key::Char(' ') => {
                row.chosen = !row.chosen;
                self.go(|at, _| at + 1);
                Vec::new()
            }
            Key::Char('F') => {
                let folder = row.first.folder.clone();
                self.offer_folder(&folder);
                Vec::new()
            }
            Key::Char('b') => {
                // Of a saved search the numbers are its own.
                if kept {
                    let addr = row.first.source.addr.clone();
                    return self.browse(addr.clone(), &text::safe(&addr));
                }
                // By its number: the servent also knows the way to a source that cannot be connected to.
                let (number, host) = (row.first.hit.to_string(), text::safe(&row.first.source.addr));
                self.browse(number, &host)
            }
            Key::Char('m') if kept => match &row.first.urn {
                Some(urn) => vec![Ask::Copy(format!("magnet:?xt={urn}&xl={}", row.first.size))],
                None => Vec::new(),
            },
            Key::Char('m') => vec![Ask::Magnet(MagnetOf::Hit(row.first.hit))],
            _ => Vec::new(),
        }
    }

    fn on_watch(&mut self, key: Key) -> Vec<Ask> {
        if key == Key::Char('n') {
            self.ask_for(Purpose::Watch);
            return Vec::new();
        }
        let Some(watch) = self.watches.get(self.at()) else { return Vec::new() };
        let (id, query) = (watch.id, text::safe(&watch.query));
        match key {
            Key::Char('p') => vec![Ask::WatchAct(id, if watch.paused { "resume" } else { "pause" })],
            Key::Char('x') => {
                self.confirm(format!("Save {query} no more?"), Ask::Unwatch(id));
                Vec::new()
            }
            Key::Enter => {
                let serial = self.begin(format!("found by {query}"));
                self.saved = None;
                self.hits.kept = true;
                vec![Ask::EndSearch, Ask::WatchHits(serial, id)]
            }
            _ => Vec::new(),
        }
    }

    /// Whether to get all that was found of a folder, and of those in it.
    fn offer_folder(&mut self, folder: &str) {
        if folder.is_empty() {
            return self.say(Tone::Bad, "it is in no folder that is known; b lists all of its host, with folders");
        }
        let (files, bytes) = self.hits.in_folder(folder);
        let folder = text::safe(folder);
        if files.len() > FOLDER {
            let words =
                format!("{} files are in {folder}; {FOLDER} are fetched at once: choose one in it", files.len());
            return self.say(Tone::Bad, words);
        }
        let count = text::count(files.len() as u64, "file");
        self.confirm(format!("Get {count}, {}, of {folder}?", text::size(bytes)), Ask::GetFolder(files));
    }

    fn browse(&mut self, what: String, host: &str) -> Vec<Ask> {
        let serial = self.begin(format!("all of {host}"));
        self.saved = None;
        vec![Ask::EndSearch, Ask::Browse(serial, what)]
    }

    fn on_transfer(&mut self, key: Key) -> Vec<Ask> {
        match key {
            Key::Char('c') => {
                self.which = self.which.next();
                self.arrange(View::Transfers);
                return Vec::new();
            }
            Key::Char('b') => {
                self.parts = !self.parts;
                return Vec::new();
            }
            Key::Char('P') => return self.all_downloads("pause"),
            Key::Char('R') => return self.all_downloads("resume"),
            _ => {}
        }
        let Some(transfer) = self.transfers.get(self.here()) else { return Vec::new() };
        let (id, name) = (transfer.id, text::safe(&transfer.name));
        if transfer.direction == "up" {
            if matches!(key, Key::Char('p' | 'r' | 'x')) {
                self.say(Tone::Bad, "an upload goes on for as long as the other side fetches it");
            }
            return Vec::new();
        }
        match key {
            Key::Char('p') if transfer.state == "paused" => vec![Ask::Transfer(id, "resume")],
            Key::Char('p') => vec![Ask::Transfer(id, "pause")],
            Key::Char('r') => vec![Ask::Transfer(id, "retry")],
            Key::Char('m') => vec![Ask::Magnet(MagnetOf::Transfer(id))],
            Key::Char('x') => {
                let ask = Ask::Transfer(id, "cancel");
                self.confirm(format!("Cancel {name} and remove what is there of it?"), ask);
                Vec::new()
            }
            Key::Enter => {
                let path = transfer.path.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
                self.say(Tone::Fine, text::safe(&path));
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn all_downloads(&mut self, act: &'static str) -> Vec<Ask> {
        let wanted = |it: &&TransferView| {
            it.direction == "down"
                && if act == "pause" { !is_over(&it.state) && it.state != "paused" } else { it.state == "paused" }
        };
        let ids: Vec<u64> = self.transfers.iter().filter(wanted).map(|it| it.id).collect();
        if ids.is_empty() {
            self.say(Tone::Bad, format!("there is no download to {act}"));
            return Vec::new();
        }
        vec![Ask::TransferAll(ids, act)]
    }

    fn on_share(&mut self, key: Key) -> Vec<Ask> {
        if key == Key::Char('n') {
            self.ask_for(Purpose::Share);
            return Vec::new();
        }
        let path = self.shares.get(self.at()).map(|share| share.path.display().to_string());
        if let (Key::Char('x'), Some(path)) = (key, path) {
            let question = format!("Stop sharing {}? (The files stay.)", text::safe(&path));
            self.confirm(question, Ask::Unshare(path));
        }
        Vec::new()
    }

    fn on_peer(&mut self, key: Key) -> Vec<Ask> {
        let addr = self.peers.get(self.at()).map(|peer| peer.addr.clone());
        match (key, addr) {
            (Key::Char('c'), _) => self.ask_for(Purpose::Connect),
            (Key::Char('b') | Key::Enter, Some(addr)) => return self.browse(addr.clone(), &addr),
            (Key::Char('x'), Some(addr)) => {
                self.confirm(format!("Close the link to {}?", text::safe(&addr)), Ask::Disconnect(addr));
            }
            _ => {}
        }
        Vec::new()
    }

    fn on_setting(&mut self, key: Key) -> Vec<Ask> {
        let limit = match key {
            Key::Char('d') => Some(("down", "all downloads")),
            Key::Char('u') => Some(("up", "all uploads")),
            Key::Char('e') => Some(("peer_up", "uploads to each peer")),
            Key::Char('D') => Some(("turtle_down", "downloads while the turtle is on")),
            Key::Char('U') => Some(("turtle_up", "uploads while the turtle is on")),
            _ => None,
        };
        if let Some((name, what)) = limit {
            self.ask_for(Purpose::Limit(name, what));
            return Vec::new();
        }
        if let (Key::Enter, Some(setting)) = (key, self.settings.get(self.here())) {
            let words = format!("change it with: filbert{} config set {} VALUE", self.home_flag, setting.key);
            self.say(Tone::Fine, words);
        }
        Vec::new()
    }
}
