//! Painting: a model becomes a screen. Colour is never the only sign: marks and words say the same.

mod tables;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Position, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr;

use super::model::{Input, Model, Purpose, Tone, View};
use super::text;
use tables::Table;

/// A smaller screen shows only that it is too small.
const SMALLEST: (u16, u16) = (40, 8);

/// What the last view shows.
pub const HELP: &str = "\
Everywhere
  1-6, Tab        the views                /       search (or paste a magnet link)
  Up, Down        the rows (also j, k)     t       turtle: slow speeds on, off
  PgUp, PgDn      ten rows                 ?       this help
  Home, End       first, last row          q       leave; the servent goes on

Search
  Enter           get the row, or all that are selected
  Space           select the row           b       browse who has it
  m               copy its magnet link to the clipboard

Transfers
  p               pause, go on             r       try again now
  m               copy its magnet link
  x               cancel (asks first)      Enter   where the file is

Shares
  x               stop sharing (asks first)
  Share a folder:  filbert share DIR  (it shows first what would be seen)

Peers
  c               connect to a host        b       browse the peer
  x               close the link (asks first)

Marks: > the row of the cursor, * selected, ! something is wrong";

/// Whether colours may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paint {
    /// As `NO_COLOR`, `--no-color` and `TERM` say.
    pub colour: bool,
}

impl Paint {
    /// A colour, if there are any.
    fn tint(self, colour: Color) -> Style {
        if self.colour { Style::new().fg(colour) } else { Style::new() }
    }

    fn tone(self, tone: Tone) -> Style {
        match tone {
            Tone::Fine => self.tint(Color::Green),
            Tone::Bad => self.tint(Color::Red).add_modifier(Modifier::BOLD),
        }
    }
}

/// Paints all of it.
pub fn draw(frame: &mut Frame<'_>, model: &Model, paint: Paint) {
    let area = frame.area();
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        frame.render_widget(Line::raw("filbert: this terminal is too small"), area);
        return;
    }
    let parts = [
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(1),
        Constraint::Length(1),
    ];
    let [top, tabs, body, word, keys] = Layout::vertical(parts).areas(area);
    header(frame, top, model, paint);
    frame.render_widget(tab_line(model.view, area.width), tabs);
    match model.view {
        View::Help => help(frame, body, model),
        _ => table(frame, body, model, paint),
    }
    bottom(frame, word, model, paint);
    frame.render_widget(Line::styled(text::cut(keys_of(model.view), keys.width.into()), Modifier::DIM), keys);
}

fn header(frame: &mut Frame<'_>, area: Rect, model: &Model, paint: Paint) {
    let width = usize::from(area.width);
    let (words, style) = match &model.status {
        _ if model.gone => {
            let words = format!("! the servent does not answer; start it again: filbert{} up", model.home_flag);
            (words, paint.tone(Tone::Bad))
        }
        None => ("filbert: asking the servent ...".to_owned(), Style::new()),
        Some(status) => {
            let reach = match status.reachable.as_str() {
                "yes" => "  reachable",
                "no" => "  ! not reachable",
                _ => "",
            };
            let turtle = if model.turtle() { "  [turtle]" } else { "" };
            let leaves = match status.leaves {
                0 => String::new(),
                1 => " + 1 leaf".to_owned(),
                n => format!(" + {n} leaves"),
            };
            // What matters most stands where it is not cut.
            let words = format!(
                "filbert  {}{leaves}{reach}{turtle}  down {}/s  up {}/s  {}",
                text::count(status.neighbours, "peer"),
                text::size(status.down_bps),
                text::size(status.up_bps),
                text::count(status.files, "file"),
            );
            (words, Style::new())
        }
    };
    frame.render_widget(Line::styled(text::fit(&words, width), style.add_modifier(Modifier::BOLD)), area);
}

fn tab_line(view: View, width: u16) -> Line<'static> {
    // Without room for the names the numbers must do.
    let short = width < 72;
    let spans = View::ALL.into_iter().map(|tab| {
        let name = if short && tab != view { String::new() } else { format!(" {}", tab.name()) };
        let number = tab.index() + 1;
        // The brackets say without reversed colours which it is.
        if tab == view {
            Span::styled(format!("[{number}{name}]"), Modifier::REVERSED)
        } else {
            Span::raw(format!(" {number}{name} "))
        }
    });
    Line::from_iter(spans)
}

fn keys_of(view: View) -> &'static str {
    match view {
        View::Search => "/ search  Enter get  Space select  b browse  m magnet  t turtle  ? help  q quit",
        View::Transfers => "p pause  r retry  x cancel  Enter where  / search  t turtle  ? help  q quit",
        View::Shares => "x stop sharing  / search  t turtle  ? help  q quit",
        View::Peers => "c connect  b browse  x disconnect  / search  t turtle  ? help  q quit",
        View::Settings => "Enter how to change it  / search  t turtle  ? help  q quit",
        View::Help => "1-6 views  / search  q quit",
    }
}

/// The line for what is typed, or for the latest word.
fn bottom(frame: &mut Frame<'_>, area: Rect, model: &Model, paint: Paint) {
    let width = usize::from(area.width);
    let Some(Input { purpose, text }) = &model.input else {
        if let Some((tone, words)) = &model.notice {
            let mark = if *tone == Tone::Bad { "! " } else { "" };
            frame.render_widget(Line::styled(text::cut(&format!("{mark}{words}"), width), paint.tone(*tone)), area);
        }
        return;
    };
    let before = match purpose {
        Purpose::Search => "Search: ".to_owned(),
        Purpose::Connect => "Connect to HOST[:PORT]: ".to_owned(),
        Purpose::Confirm(question, _) => format!("{} [y/N] ", text::cut(question, width.saturating_sub(8))),
    };
    // The end of a long line is what is being typed.
    let room = width.saturating_sub(before.width() + 1);
    let mut shown = text.as_str();
    while shown.width() > room {
        let mut rest = shown.chars();
        rest.next();
        shown = rest.as_str();
    }
    let line = format!("{before}{shown}");
    let x = u16::try_from(line.width()).unwrap_or(u16::MAX).min(area.width.saturating_sub(1));
    frame.render_widget(Line::styled(line, Modifier::BOLD), area);
    frame.set_cursor_position(Position::new(area.x + x, area.y));
}

fn help(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let height = usize::from(area.height);
    let top = model.at() / height * height;
    for (line, y) in HELP.lines().skip(top).zip(0..area.height) {
        let row = Rect { y: area.y + y, height: 1, ..area };
        frame.render_widget(Line::raw(text::cut(line, area.width.into())), row);
    }
}

fn table(frame: &mut Frame<'_>, area: Rect, model: &Model, paint: Paint) {
    let width = usize::from(area.width);
    let Table { title, empty, columns, row, bad } = tables::of(model, width);
    let mut lines: Vec<(String, Style)> =
        title.into_iter().map(|title| (text::cut(&title, width), Style::new())).collect();
    let rows = model.rows();
    if rows == 0 {
        lines.push(Default::default());
        let words = empty.iter().flat_map(|words| text::wrap(words, width.saturating_sub(2), 0));
        lines.extend(words.map(|words| (format!("  {words}"), Style::new())));
    } else {
        let widths = tables::widths(&columns, width);
        let heads: Vec<String> = columns.iter().map(|column| column.head.to_owned()).collect();
        let underlined = Style::new().add_modifier(Modifier::UNDERLINED);
        lines.push((tables::join("  ", &columns, &widths, &heads), underlined));
        // A page at a time: the cursor's own.
        let height = usize::from(area.height).saturating_sub(lines.len()).max(1);
        let at = model.at();
        let top = at / height * height;
        for place in top..rows.min(top + height) {
            let mark = if place == at { "> " } else { "  " };
            let style = if bad(place) { paint.tint(Color::Red) } else { Style::new() };
            let style = if place == at { style.add_modifier(Modifier::REVERSED) } else { style };
            lines.push((tables::join(mark, &columns, &widths, &row(place)), style));
        }
    }
    for ((words, style), y) in lines.into_iter().zip(area.top()..area.bottom()) {
        frame.render_widget(Line::styled(words, style), Rect { y, height: 1, ..area });
    }
}
