//! What each key does.

use super::ask::{Ask, MagnetOf};
use super::model::{Input, Model, Purpose, TYPED, Tone, View};
use super::text;

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
}

/// Rows of a page.
const PAGE: usize = 10;

impl Model {
    /// A key was pressed: what is to be asked now.
    pub fn key(&mut self, key: Key) -> Vec<Ask> {
        if key == Key::Ctrl('c') {
            return vec![Ask::Quit];
        }
        match self.input.take() {
            Some(input) => self.type_into(input, key),
            None => self.command(key),
        }
    }

    /// Text was pasted: it goes where text is typed, and elsewhere it begins a search (a link, mostly).
    pub fn pasted(&mut self, pasted: &str) {
        let input = self.input.get_or_insert(Input { purpose: Purpose::Search, text: String::new() });
        if !matches!(input.purpose, Purpose::Confirm(..)) {
            let room = TYPED.saturating_sub(input.text.chars().count());
            input.text.extend(pasted.lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(room));
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
            Key::Esc => return Vec::new(),
            Key::Backspace => drop(input.text.pop()),
            Key::Ctrl('u') => input.text.clear(),
            Key::Char(c) if input.text.chars().count() < TYPED => input.text.push(c),
            _ => {}
        }
        self.input = Some(input);
        Vec::new()
    }

    /// A line is complete.
    fn typed(&mut self, input: &Input) -> Vec<Ask> {
        let line = input.text.trim().to_owned();
        if line.is_empty() {
            return Vec::new();
        }
        self.notice = None;
        match input.purpose {
            Purpose::Connect => vec![Ask::Connect(line)],
            _ if ["magnet:", "http://"].iter().any(|link| line.starts_with(link)) => vec![Ask::Get(vec![line])],
            _ => {
                let serial = self.begin(line.clone());
                vec![Ask::EndSearch, Ask::Search(serial, line)]
            }
        }
    }

    fn begin(&mut self, title: String) -> u64 {
        self.view = View::Search;
        self.cursor[View::Search.index()] = 0;
        self.hits.begin(title)
    }

    fn command(&mut self, key: Key) -> Vec<Ask> {
        match key {
            Key::Char('q') => return vec![Ask::Quit],
            Key::Char('/') => self.ask_for(Purpose::Search),
            Key::Char('?') => return self.look(View::Help),
            Key::Char(digit @ '1'..='6') => return self.look(View::ALL[digit as usize - '1' as usize]),
            Key::Tab | Key::Right => return self.look(self.view.step(1)),
            Key::BackTab | Key::Left => return self.look(self.view.step(View::ALL.len() - 1)),
            Key::Char('t') => return vec![Ask::Turtle(!self.turtle())],
            Key::Up | Key::Char('k') => self.go(|at, _| at.saturating_sub(1)),
            Key::Down | Key::Char('j') => self.go(|at, _| at + 1),
            Key::PageUp => self.go(|at, _| at.saturating_sub(PAGE)),
            Key::PageDown => self.go(|at, _| at + PAGE),
            Key::Home | Key::Char('g') => self.go(|_, _| 0),
            Key::End | Key::Char('G') => self.go(|_, rows| rows),
            Key::Esc => self.notice = None,
            other => {
                return match self.view {
                    View::Search => self.on_hit(other),
                    View::Transfers => self.on_transfer(other),
                    View::Shares => self.on_share(other),
                    View::Peers => self.on_peer(other),
                    View::Settings => self.on_setting(other),
                    View::Help => Vec::new(),
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
        vec![Ask::Look(view)]
    }

    fn go(&mut self, to: impl FnOnce(usize, usize) -> usize) {
        let (at, rows) = (self.at(), self.rows());
        self.cursor[self.view.index()] = to(at, rows).min(rows.saturating_sub(1));
    }

    fn on_hit(&mut self, key: Key) -> Vec<Ask> {
        let at = self.at();
        let Some(row) = self.hits.rows.get_mut(at) else { return Vec::new() };
        match key {
            Key::Enter => vec![Ask::Get(self.hits.take_chosen(at))],
            Key::Char(' ') => {
                row.chosen = !row.chosen;
                self.go(|at, _| at + 1);
                Vec::new()
            }
            Key::Char('b') => {
                // By its number: the servent also knows the way to a source that cannot be connected to.
                let (number, host) = (row.first.hit.to_string(), text::safe(&row.first.source.addr));
                self.browse(number, &host)
            }
            Key::Char('m') => vec![Ask::Magnet(MagnetOf::Hit(row.first.hit))],
            _ => Vec::new(),
        }
    }

    fn browse(&mut self, what: String, host: &str) -> Vec<Ask> {
        let serial = self.begin(format!("all of {host}"));
        vec![Ask::EndSearch, Ask::Browse(serial, what)]
    }

    fn on_transfer(&mut self, key: Key) -> Vec<Ask> {
        let Some(transfer) = self.transfers.get(self.at()) else { return Vec::new() };
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

    fn on_share(&mut self, key: Key) -> Vec<Ask> {
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
        if let (Key::Enter, Some(setting)) = (key, self.settings.get(self.at())) {
            let words = format!("change it with: filbert{} config set {} VALUE", self.home_flag, setting.key);
            self.say(Tone::Fine, words);
        }
        Vec::new()
    }
}
