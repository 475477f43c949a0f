//! Where words go: stdout is data, stderr is talk.

use std::io::{self, IsTerminal, Write};

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, Width, presets};
use serde::Serialize;

use super::exit::Failure;
use super::text;

/// Columns of a terminal that we cannot ask.
const COLUMNS: u16 = 80;
/// Columns that a cell may take when another is to stretch.
const WIDEST: u16 = 24;

/// Columns of numbers, which are set flush right.
const NUMBERS: [&str; 11] = ["id", "files", "size", "left out", "done", "rate", "eta", "in", "out", "since", "age"];

/// How to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Say {
    /// One JSON object a line on stdout.
    pub json: bool,
    /// No talk, only data and errors.
    pub quiet: bool,
    /// Colour on stderr and stdout where they are terminals.
    pub colour: bool,
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
    pub fn failure(&self, failure: &Failure) {
        if let Some(text) = failure.text() {
            let red = self.colour && io::stderr().is_terminal();
            let (on, off) = if red { ("\x1b[31m", "\x1b[0m") } else { ("", "") };
            for line in text.lines().flat_map(|line| broken(line, io::stderr().is_terminal(), 0)) {
                let _ = match line.strip_prefix("filbert:") {
                    Some(words) => writeln!(io::stderr(), "{on}filbert:{off}{words}"),
                    None => writeln!(io::stderr(), "{line}"),
                };
            }
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

    /// Text in an ANSI style, if stdout is a terminal that wants it.
    pub fn paint(&self, style: &str, text: &str) -> String {
        if self.colour && io::stdout().is_terminal() { format!("\x1b[{style}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// A table that fits the terminal, a row a line: cells that are too long are cut. Column `stretch` takes what the others leave.
    pub fn table(&self, header: &[&str], stretch: usize, rows: &[Vec<String>]) -> Result<(), Failure> {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_truncation_indicator("…").set_width(columns());
        let mut heads = comfy_table::Row::from(header.iter().map(|h| h.to_uppercase()).collect::<Vec<_>>());
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
            if NUMBERS.contains(&header[i]) {
                column.set_cell_alignment(CellAlignment::Right);
            }
            if i != stretch {
                // A content's name is there to be copied: half of one is of no use.
                let widest = if header[i] == "urn" { u16::MAX - 2 } else { WIDEST };
                column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(widths[i].min(widest) + 2)));
            }
        }
        for line in table.lines() {
            self.line(line.trim_end())?;
        }
        Ok(())
    }
}

/// A line as a terminal shows it best: broken at blanks. Anything else gets it whole.
fn broken(line: &str, terminal: bool, indent: usize) -> Vec<String> {
    match (terminal, ratatui::crossterm::terminal::size()) {
        (true, Ok((width, _))) if width >= 20 => text::wrap(line, width.into(), indent),
        _ => vec![line.to_owned()],
    }
}

/// Columns of the terminal that stdout is, or 80.
pub fn columns() -> u16 {
    let mut probe = Table::new();
    probe.set_content_arrangement(ContentArrangement::Dynamic);
    probe.width().filter(|&width| width >= 40).unwrap_or(COLUMNS)
}
