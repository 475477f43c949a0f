//! Painting: a model becomes a screen. Colour is never the only sign: marks and words say the same.

mod pane;
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
/// From so many columns on there is room for the names of all tabs, and for gaps between them.
const TABS_TIGHT: u16 = 80;
const TABS_WIDE: u16 = 88;

/// What the last view shows.
pub const HELP: &str = "\
Everywhere
  1-9, Tab        the views                /       search, or get a magnet link
  Up, Down        the rows (also j, k)     t       turtle: slow speeds on, off
  PgUp, PgDn      ten rows                 ?       this help
  Home, End       first, last row          q       leave; the servent goes on
  f               filter what is listed    Esc     show all again
  Mouse           rows, views, wheel       s       let the terminal select text

Search
  Enter           get the row, or all that are selected
  Space           select the row           b       browse who has it
  m               copy its magnet link     w       save the search
  o               sort: next order         c       next kind of file
  a               only who has a free slot
  F               get all of its folder (asks first); b tells the folders

Saved searches (they are asked again from time to time)
  n               save a search            Enter   what it found
  p               pause, go on             x       save it no more (asks first)

Transfers
  p, P            pause (P: all), go on    r       try again now
  R               all that pause go on     c       downloads, uploads, ...
  m               copy its magnet link     Enter   where the file is
  b               the parts that are there, and who brings the others
  x               cancel (asks first)

Shares
  n               share a folder; says first what would be seen, and asks
  x               stop sharing (asks first)

Seen: what strangers see of your shares
  r               look again

Check: what is wrong, and what to do
  r               look again

Settings
  d, u, e         limit downloads, uploads, uploads to each peer
  D, U            the same while the turtle is on (500K, 1.5M, 0 pauses, off)

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
        _ => {
            let lines = pane::of(model, body);
            let parts = [Constraint::Min(1), Constraint::Length(pane_height(&lines))];
            let [above, below] = Layout::vertical(parts).areas(body);
            table(frame, above, model, paint);
            for (line, y) in lines.into_iter().zip(below.top()..below.bottom()) {
                frame.render_widget(Line::raw(line), Rect { y, height: 1, ..below });
            }
        }
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
    let spans = tabs(view, width).map(|(tab, words)| match tab == view {
        true => Span::styled(words, Modifier::REVERSED),
        false => Span::raw(words),
    });
    Line::from_iter(spans)
}

fn tabs(view: View, width: u16) -> impl Iterator<Item = (View, String)> {
    let short = width < TABS_TIGHT;
    let gap = if (TABS_TIGHT..TABS_WIDE).contains(&width) { "" } else { " " };
    View::ALL.into_iter().map(move |tab| {
        let name = if short && tab != view { String::new() } else { format!(" {}", tab.name()) };
        let number = tab.index() + 1;
        // The brackets say without reversed colours which it is.
        (tab, if tab == view { format!("[{number}{name}]") } else { format!(" {number}{name}{gap}") })
    })
}

/// What a click can be meant for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spot {
    /// Its view.
    Tab(View),
    /// A row of the table that is shown.
    Row(usize),
}

/// What stands at that column and row of a screen of that size.
pub fn spot(model: &Model, (width, height): (u16, u16), (x, y): (u16, u16)) -> Option<Spot> {
    if width < SMALLEST.0 || height < SMALLEST.1 {
        return None;
    }
    if y == 1 {
        let mut end = 0;
        return tabs(model.view, width).find_map(|(view, words)| {
            end += words.len();
            (usize::from(x) < end).then_some(Spot::Tab(view))
        });
    }
    let area = Rect { x: 0, y: 2, width, height: height - 4 };
    let area = Rect { height: area.height - pane_height(&pane::of(model, area)), ..area };
    if model.view == View::Help || !(area.top()..area.bottom()).contains(&y) {
        return None;
    }
    let titles = tables::of(model, width.into()).title.len();
    let row = usize::from(y - area.y).checked_sub(titles + 1)?;
    let place = top(model, area.height.into(), titles).1 + row;
    (place < model.rows()).then_some(Spot::Row(place))
}

/// Rows that there is room for below the titles and the heads, and the first of them: a page at a time, the cursor's
/// own.
fn top(model: &Model, height: usize, titles: usize) -> (usize, usize) {
    let height = height.saturating_sub(titles + 1).max(1);
    (height, model.at() / height * height)
}

fn keys_of(view: View) -> &'static str {
    match view {
        View::Search => "/ search  Enter get  Space select  f filter  b browse  F folder  ? help  q quit",
        View::Watches => "n save  Enter what it found  p pause  x remove  / search  ? help  q quit",
        View::Transfers => "p pause  r retry  x cancel  b parts  f filter  c which  ? help  q quit",
        View::Shares => "n share a folder  x stop sharing  / search  t turtle  ? help  q quit",
        View::Peers => "c connect  b browse  x disconnect  / search  t turtle  ? help  q quit",
        View::Strangers => "r look again  f filter  / search  t turtle  ? help  q quit",
        View::Settings => "d down  u up  e each peer  t turtle  f filter  Enter how  ? help  q quit",
        View::Help => "1-9 views  / search  q quit",
        View::Check => "r look again  / search  t turtle  ? help  q quit",
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
        Purpose::Share => "Share the folder: ".to_owned(),
        Purpose::Watch => "Save the search: ".to_owned(),
        Purpose::Filter => "Filter: ".to_owned(),
        Purpose::Limit(_, what) => format!("Limit of {what} (500K, 1.5M, 0 pauses, off): "),
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

fn pane_height(lines: &[String]) -> u16 {
    u16::try_from(lines.len()).unwrap_or_default()
}

fn table(frame: &mut Frame<'_>, area: Rect, model: &Model, paint: Paint) {
    let width = usize::from(area.width);
    let Table { title, empty, columns, row, bad } = tables::of(model, width);
    let mut lines: Vec<(String, Style)> =
        title.into_iter().map(|title| (text::cut(&title, width), Style::new())).collect();
    let titles = lines.len();
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
        let at = model.at();
        let (height, top) = top(model, area.height.into(), titles);
        for shown in top..rows.min(top + height) {
            let place = model.place(shown);
            let mark = if shown == at { "> " } else { "  " };
            let style = if bad(place) { paint.tint(Color::Red) } else { Style::new() };
            let style = if shown == at { style.add_modifier(Modifier::REVERSED) } else { style };
            lines.push((tables::join(mark, &columns, &widths, &row(place)), style));
        }
    }
    for ((words, style), y) in lines.into_iter().zip(area.top()..area.bottom()) {
        frame.render_widget(Line::styled(words, style), Rect { y, height: 1, ..area });
    }
}
