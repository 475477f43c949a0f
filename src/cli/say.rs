//! Where words go: stdout is data, stderr is talk.

use std::io::{self, IsTerminal, Write};

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, Width, presets};
use serde::Serialize;
use unicode_width::UnicodeWidthStr;

use super::exit::Failure;
use super::text;

/// Columns of a terminal that we cannot ask, and of one that says fewer than it can have.
const COLUMNS: u16 = 80;
const LEAST_COLUMNS: u16 = 40;
/// Columns that a cell may take when another is to stretch.
const WIDEST: u16 = 24;

/// A column of a table, by its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column<'a> {
    /// Words.
    Text(&'a str),
    /// Numbers, set flush right.
    Number(&'a str),
    /// What is there to be copied and is never cut, as a content's name: half of one is of no use.
    Whole(&'a str),
    /// The one that takes what the others leave.
    Stretch(&'a str),
}

impl<'a> Column<'a> {
    fn head(self) -> &'a str {
        match self {
            Self::Text(head) | Self::Number(head) | Self::Whole(head) | Self::Stretch(head) => head,
        }
    }
}

/// How to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Say {
    /// One JSON object a line on stdout.
    pub json: bool,
    /// No talk, only data and errors.
    pub quiet: bool,
    /// Where stderr and stdout are coloured.
    pub colour: Colour,
}

/// Where colours are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// Nowhere.
    Never,
    /// On terminals.
    Terminals,
    /// In files and pipes too.
    Always,
}

impl Colour {
    /// Whether something that is a terminal, or is none, is to be coloured.
    pub fn shows(self, terminal: bool) -> bool {
        self == Self::Always || self == Self::Terminals && terminal
    }
}

impl Say {
    /// A line of data.
    pub fn line(&self, text: &str) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        writeln!(out, "{text}")?;
        Ok(out.flush()?)
    }

    /// A sentence as data: a line, which a terminal gets broken at blanks; all but the first begin with `indent` blanks.
    pub fn prose(&self, text: &str, indent: usize) -> Result<(), Failure> {
        broken(text, io::stdout().is_terminal(), indent).iter().try_for_each(|line| self.line(line))
    }

    /// A JSON value as a line of data.
    pub fn value(&self, value: &impl Serialize) -> Result<(), Failure> {
        let mut bytes = serde_json::to_vec(value).map_err(io::Error::from)?;
        bytes.push(b'\n');
        let mut out = io::stdout().lock();
        out.write_all(&bytes)?;
        Ok(out.flush()?)
    }

    /// Talk: on stderr, unless `-q`. That nobody listens is no failure.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            let lines = text.lines().flat_map(|line| broken(line, io::stderr().is_terminal(), 0));
            lines.for_each(|line| drop(writeln!(io::stderr(), "{line}")));
        }
    }

    /// An error: on stderr, always.
    pub fn failure(&self, text: &str) {
        let red = self.colour.shows(io::stderr().is_terminal());
        let (on, off) = if red { ("\x1b[31m", "\x1b[0m") } else { ("", "") };
        for line in text.lines().flat_map(|line| broken(line, io::stderr().is_terminal(), 0)) {
            let _ = match line.strip_prefix("filbert:") {
                Some(words) => writeln!(io::stderr(), "{on}filbert:{off}{words}"),
                None => writeln!(io::stderr(), "{line}"),
            };
        }
    }

    /// Emphasis where stdout shows it.
    pub fn bold(&self, text: &str) -> String {
        self.paint("1", text)
    }

    /// The opposite of emphasis.
    pub fn dim(&self, text: &str) -> String {
        self.paint("2", text)
    }

    /// Text in an ANSI style, if stdout shows it.
    pub fn paint(&self, style: &str, text: &str) -> String {
        if self.colour.shows(io::stdout().is_terminal()) {
            format!("\x1b[{style}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// A table, a row a line; cells that are too long for the terminal are cut.
    pub fn table(&self, header: &[Column<'_>], rows: &[Vec<String>]) -> Result<(), Failure> {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_truncation_indicator("…").set_width(columns().unwrap_or(u16::MAX));
        let mut heads =
            comfy_table::Row::from(header.iter().map(|column| column.head().to_uppercase()).collect::<Vec<_>>());
        heads.max_height(1);
        table.set_header(heads);
        for row in rows {
            let mut row = comfy_table::Row::from(row.clone());
            row.max_height(1);
            table.add_row(row);
        }
        let widths = table.column_max_content_widths();
        for (i, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, 2));
            let widest = match header[i] {
                Column::Stretch(_) => continue,
                Column::Whole(_) => u16::MAX - 2,
                Column::Text(_) => WIDEST,
                Column::Number(_) => {
                    column.set_cell_alignment(CellAlignment::Right);
                    WIDEST
                }
            };
            column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(widths[i].min(widest) + 2)));
        }
        for line in table.lines() {
            self.line(line.trim_end())?;
        }
        Ok(())
    }
}

/// A line as a terminal shows it best: broken at blanks. Anything else gets it whole.
fn broken(line: &str, terminal: bool, indent: usize) -> Vec<String> {
    let size = || ratatui::crossterm::terminal::size().ok().map(|(width, _)| width);
    match wanted().or_else(size).filter(|&width| terminal && width >= 20) {
        Some(width) => text::wrap(line, width.into(), indent),
        None => vec![line.to_owned()],
    }
}

/// Columns that a line may take: as `COLUMNS` says, or as the terminal has that stdout is. `None` where a program reads
/// it: nothing is cut then.
pub fn columns() -> Option<u16> {
    let mut probe = Table::new();
    probe.set_content_arrangement(ContentArrangement::Dynamic);
    let terminal = io::stdout().is_terminal().then(|| probe.width().unwrap_or(COLUMNS));
    wanted().or(terminal).map(|width| if width < LEAST_COLUMNS { COLUMNS } else { width })
}

/// `text` in what `others` leave of a line: filled up, and cut where it is too long.
pub fn rest_of_line(text: &str, others: u16) -> String {
    let rest = |all: u16| usize::from(all.saturating_sub(others)).max(16);
    let width = columns().map_or_else(|| rest(COLUMNS).max(text.width()), rest);
    text::fit(text, width)
}

/// What the environment says.
fn wanted() -> Option<u16> {
    std::env::var("COLUMNS").ok()?.parse().ok()
}
