//! Which rows of a table are shown, and in which order: filters hide, and what they hide is counted.

use std::cmp::Reverse;

use super::hits::Row;
use super::model::{Model, View};
use super::told::is_over;
use crate::app::view::TransferView;
use crate::library::Kind;

/// In which order hits stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// As they came: nothing moves under the cursor.
    #[default]
    Came,
    /// Most sources first.
    Sources,
    /// By name.
    Name,
    /// Largest first.
    Size,
    /// Fewest hops first.
    Near,
}

impl Order {
    const ALL: [Self; 5] = [Self::Came, Self::Sources, Self::Name, Self::Size, Self::Near];

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Came => "as they came",
            Self::Sources => "most sources first",
            Self::Name => "by name",
            Self::Size => "largest first",
            Self::Near => "nearest first",
        }
    }

    /// The next one, round and round.
    pub fn next(self) -> Self {
        next(&Self::ALL, self)
    }
}

/// Which transfers are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Which {
    /// All.
    #[default]
    All,
    /// What we fetch.
    Down,
    /// What others fetch.
    Up,
    /// What goes on.
    Now,
    /// What is over.
    Over,
}

impl Which {
    const ALL: [Self; 5] = [Self::All, Self::Down, Self::Up, Self::Now, Self::Over];

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Down => "downloads",
            Self::Up => "uploads",
            Self::Now => "under way",
            Self::Over => "finished",
        }
    }

    /// The next one, round and round.
    pub fn next(self) -> Self {
        next(&Self::ALL, self)
    }

    fn is(self, transfer: &TransferView) -> bool {
        match self {
            Self::All => true,
            Self::Down => transfer.direction == "down",
            Self::Up => transfer.direction == "up",
            Self::Now => !is_over(&transfer.state),
            Self::Over => is_over(&transfer.state),
        }
    }
}

/// The kinds that hits can be narrowed to, with their names; the first is any.
const KINDS: [(Option<Kind>, &str); 7] = [
    (None, "any kind"),
    (Some(Kind::Audio), "audio"),
    (Some(Kind::Video), "video"),
    (Some(Kind::Image), "images"),
    (Some(Kind::Document), "documents"),
    (Some(Kind::Archive), "archives"),
    (Some(Kind::Program), "programs"),
];

/// The name of a kind.
pub fn kind_words(kind: Option<Kind>) -> &'static str {
    KINDS.iter().find(|(it, _)| *it == kind).map_or("", |(_, words)| words)
}

/// The kind after that one, round and round.
pub fn next_kind(kind: Option<Kind>) -> Option<Kind> {
    next(&KINDS.map(|(kind, _)| kind), kind)
}

fn next<T: Copy + PartialEq>(all: &[T], now: T) -> T {
    let at = all.iter().position(|it| *it == now).unwrap_or_default();
    all[(at + 1) % all.len()]
}

impl Model {
    /// The place in its table of what stands in that row.
    pub fn place(&self, row: usize) -> usize {
        self.shown[self.view.index()].as_ref().map_or(row, |shown| shown.get(row).copied().unwrap_or(usize::MAX))
    }

    /// Rows that filters hide in the view that is looked at.
    pub fn hidden(&self) -> usize {
        self.all_rows() - self.rows()
    }

    /// Why rows are hidden, in words; empty when no filter is set.
    pub fn filters(&self) -> String {
        let mut words = Vec::new();
        let typed = &self.filter[self.view.index()];
        if !typed.is_empty() {
            words.push(format!("filter {}", super::text::safe(typed)));
        }
        match self.view {
            View::Search => {
                words.extend(self.kind.map(|kind| format!("only {}", kind_words(Some(kind)))));
                words.extend(self.free.then(|| "only free ones".to_owned()));
            }
            View::Transfers if self.which != Which::All => words.push(format!("only {}", self.which.words())),
            _ => {}
        }
        words.join(", ")
    }

    /// Nothing is hidden any more in the view that is looked at.
    pub(super) fn show_all(&mut self) {
        self.filter[self.view.index()].clear();
        match self.view {
            View::Search => (self.kind, self.free) = (None, false),
            View::Transfers => self.which = Which::All,
            _ => {}
        }
        self.arrange(self.view);
    }

    /// Finds anew what a view shows. The cursor stays on what it stood on, if that is still shown.
    pub(super) fn arrange(&mut self, view: View) {
        let index = view.index();
        let row = self.cursor[index];
        let stood = match &self.shown[index] {
            Some(shown) => shown.get(row).copied(),
            None => Some(row),
        };
        let words: Vec<String> = self.filter[index].to_lowercase().split_whitespace().map(str::to_owned).collect();
        let has = |name: &str| {
            let name = name.to_lowercase();
            words.iter().all(|word| name.contains(word.as_str()))
        };
        let shown: Option<Vec<usize>> = match view {
            View::Search => {
                let rows = &self.hits.rows;
                let all = words.is_empty() && self.kind.is_none() && !self.free;
                (!all || self.order != Order::Came).then(|| {
                    let wanted = |row: &Row| {
                        has(&format!("{}/{}", row.first.folder, row.first.name))
                            && (self.kind.is_none() || Kind::of(&row.first.name) == self.kind)
                            && (row.free || !self.free)
                    };
                    let mut shown: Vec<usize> = (0..rows.len()).filter(|&at| wanted(&rows[at])).collect();
                    match self.order {
                        Order::Came => {}
                        Order::Sources => shown.sort_by_key(|&at| Reverse(rows[at].sources)),
                        Order::Name => shown.sort_by_cached_key(|&at| rows[at].first.name.to_lowercase()),
                        Order::Size => shown.sort_by_key(|&at| Reverse(rows[at].first.size)),
                        Order::Near => shown.sort_by_key(|&at| rows[at].hops),
                    }
                    shown
                })
            }
            View::Transfers if !words.is_empty() || self.which != Which::All => Some(
                (0..self.transfers.len())
                    .filter(|&at| self.which.is(&self.transfers[at]) && has(&self.transfers[at].name))
                    .collect(),
            ),
            View::Strangers if !words.is_empty() => {
                Some((0..self.strangers.len()).filter(|&at| has(&self.strangers[at].name)).collect())
            }
            View::Settings if !words.is_empty() => {
                Some((0..self.settings.len()).filter(|&at| has(&self.settings[at].key)).collect())
            }
            _ => None,
        };
        let now = match (&shown, stood) {
            (Some(shown), Some(stood)) => shown.iter().position(|&at| at == stood),
            (None, stood) => stood,
            _ => None,
        };
        self.shown[index] = shown;
        self.cursor[index] = now.unwrap_or(row);
    }
}
