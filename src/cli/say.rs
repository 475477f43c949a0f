//! Where words go: stdout is data, stderr is talk.

use std::io::{self, IsTerminal, Write};

use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width, presets};
use serde::Serialize;

use super::exit::Failure;

/// Columns of a terminal that we cannot ask.
const COLUMNS: u16 = 80;
/// Columns that a cell may take when another is to stretch.
const WIDEST: u16 = 24;

/// What becomes of cells that are too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Long {
    /// They are cut: a row is a line.
    Cut,
    /// They take several lines.
    Wrap,
}

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
            let _ = writeln!(io::stderr(), "{text}");
        }
    }

    /// An error: on stderr, always.
    pub fn failure(&self, failure: &Failure) {
        if let Some(text) = failure.text() {
            let red = self.colour && io::stderr().is_terminal();
            let (on, off) = if red { ("\x1b[31m", "\x1b[0m") } else { ("", "") };
            let words = text.strip_prefix("filbert:").unwrap_or(&text);
            let _ = writeln!(io::stderr(), "{on}filbert:{off}{words}");
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

    /// A table that fits the terminal. Column `stretch` takes what the others leave.
    pub fn table(&self, header: &[&str], (stretch, long): (usize, Long), rows: &[Vec<String>]) -> Result<(), Failure> {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_truncation_indicator("…").set_width(columns());
        table.set_header(header.iter().map(|h| h.to_uppercase()).collect::<Vec<_>>());
        for row in rows {
            let mut row = comfy_table::Row::from(row.clone());
            if long == Long::Cut {
                row.max_height(1);
            }
            table.add_row(row);
        }
        let widths = table.column_max_content_widths();
        for (i, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, 2));
            if i != stretch {
                column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(widths[i].min(WIDEST) + 2)));
            }
        }
        for line in table.lines() {
            self.line(line.trim_end())?;
        }
        Ok(())
    }
}

/// Columns of the terminal that stdout is, or 80.
pub fn columns() -> u16 {
    let mut probe = Table::new();
    probe.set_content_arrangement(ContentArrangement::Dynamic);
    probe.width().filter(|&width| width >= 40).unwrap_or(COLUMNS)
}
