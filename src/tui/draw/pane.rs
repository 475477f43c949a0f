//! What stands below a table, of the row of the cursor: the parts of a download, the whole of a finding.

use ratatui::layout::Rect;
use unicode_width::UnicodeWidthStr;

use super::super::model::{Model, View};
use super::super::text;
use crate::app::view::{BlocksView, SourceStateView};

/// The table keeps half of the room at least, and so many lines: what stands above it, its heads, the row of the cursor.
const SHARE: u16 = 2;
const TABLE: u16 = 5;
/// Lines of the picture of a download at most.
const PICTURE: usize = 6;
/// What the signs of the picture mean. None of it is told by a colour.
const SIGNS: &str = "█ there  ▄ some of it  ▒ coming in  1-9 asked of that source  · missing";

/// Its lines, as many as have room; none where nothing is to be shown.
pub fn of(model: &Model, area: Rect) -> Vec<String> {
    let width = usize::from(area.width);
    let most = usize::from((area.height / SHARE).min(area.height.saturating_sub(TABLE)));
    let mut lines = match model.view {
        View::Transfers if model.parts => parts(model, width, most),
        View::Check => finding(model, width),
        _ => return Vec::new(),
    };
    lines.truncate(most);
    lines.iter().map(|line| text::cut(line, width)).collect()
}

/// A line with words in it that parts what is below from what is above.
fn rule(words: &str, width: usize) -> String {
    let words = text::cut(words, width.saturating_sub(4));
    format!("── {words} {}", "─".repeat(width.saturating_sub(words.width() + 4)))
}

fn finding(model: &Model, width: usize) -> Vec<String> {
    let Some(finding) = model.findings.get(model.at()) else { return Vec::new() };
    let mut lines = vec![rule(&format!("{}: {}", text::safe(&finding.check), finding.state), width)];
    lines.extend(text::wrap(&text::safe(&finding.what), width, 0));
    lines.extend(finding.fix.iter().flat_map(|fix| text::wrap(&format!("-> {}", text::safe(fix)), width, 3)));
    lines
}

fn parts(model: &Model, width: usize, most: usize) -> Vec<String> {
    let Some(transfer) = model.transfers.get(model.here()) else { return Vec::new() };
    if transfer.direction != "down" {
        return vec![rule("an upload: the other side knows which parts it has", width)];
    }
    let told = model.told_parts.as_ref().filter(|(id, _)| *id == transfer.id);
    let Some((_, view)) = told else { return vec![rule("asking for its parts ...", width)] };
    let count = |state: &str| view.runs.iter().filter(|run| run.state == state).map(|run| run.blocks).sum::<u64>();
    let mut lines = vec![rule(
        &format!(
            "{} of {} there, {} coming in, {} asked for, {} missing; each {}",
            count("stored"),
            text::count(view.blocks, "part"),
            count("filling"),
            count("asked"),
            count("missing"),
            text::size(view.block_size)
        ),
        width,
    )];
    lines.extend(picture(view, width, PICTURE.min(most.saturating_sub(3)).max(1)));
    lines.push(SIGNS.to_owned());
    let room = most.saturating_sub(lines.len());
    let shown = if view.sources.len() > room { room.saturating_sub(1) } else { room };
    lines.extend(view.sources.iter().zip(1..).take(shown).map(|(source, n)| line(source, n)));
    if view.sources.len() > shown {
        lines.push(format!("   and {} more", view.sources.len() - shown));
    }
    lines
}

fn line(source: &SourceStateView, number: u64) -> String {
    let words = if source.banned { "! banned: it lied" } else { &source.words };
    let rate = if source.rate_bps > 0 { format!("{}/s", text::size(source.rate_bps)) } else { String::new() };
    format!("{number:>2} {:<21}  {rate:>11}  {}", text::safe(&source.addr), text::safe(words))
}

/// What is in a cell of the picture.
#[derive(Clone, Copy, Default)]
struct Cell {
    blocks: u64,
    stored: u64,
    filling: bool,
    source: Option<u32>,
}

impl Cell {
    fn sign(self) -> char {
        match self.source.and_then(|source| char::from_digit(source.saturating_add(1), 10)) {
            _ if self.stored == self.blocks => '█',
            Some(digit) => digit,
            // The tenth and later ones.
            None if self.filling || self.source.is_some() => '▒',
            None if self.stored > 0 => '▄',
            None => '·',
        }
    }
}

/// The download from its first block to its last in at most `rows` lines: a sign for each block, or for several.
fn picture(view: &BlocksView, width: usize, rows: usize) -> Vec<String> {
    let blocks = u128::from(view.blocks);
    let count = blocks.min((width * rows) as u128);
    let mut cells = vec![Cell::default(); count as usize];
    let mut at = 0;
    for run in &view.runs {
        let end = (at + u128::from(run.blocks)).min(blocks);
        while at < end {
            let cell = at * count / blocks;
            // The first block of the next cell.
            let here = ((cell + 1) * blocks).div_ceil(count).min(end);
            let Some(cell) = cells.get_mut(cell as usize) else { break };
            let n = (here - at) as u64;
            cell.blocks += n;
            match run.state.as_str() {
                "stored" => cell.stored += n,
                "filling" => cell.filling = true,
                _ => {}
            }
            cell.source = run.source.or(cell.source);
            at = here;
        }
    }
    cells.chunks(width.max(1)).map(|row| row.iter().map(|cell| cell.sign()).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::view::RunView;

    fn view(runs: &[(&str, u64, Option<u32>)]) -> BlocksView {
        let runs: Vec<RunView> = runs
            .iter()
            .map(|(state, blocks, source)| RunView { state: (*state).to_owned(), blocks: *blocks, source: *source })
            .collect();
        let blocks = runs.iter().map(|run| run.blocks).sum();
        BlocksView { size: Some(blocks), block_size: 1, blocks, runs, sources: Vec::new() }
    }

    #[test]
    fn each_block_has_a_sign_and_where_there_is_no_room_several_have_one() {
        let some = [("stored", 3, None), ("filling", 1, Some(0)), ("asked", 2, Some(1)), ("missing", 4, None)];
        for (width, rows, expected) in [
            (80, 6, vec!["███122····"]),
            (4, 6, vec!["███1", "22··", "··"]),
            (5, 1, vec!["█12··"]),
            (3, 1, vec!["12·"]),
            (1, 1, vec!["2"]),
        ] {
            assert_eq!(picture(&view(&some), width, rows), expected, "{width} x {rows}");
        }
        let late = [("stored", 1, None), ("missing", 1, None), ("filling", 1, None), ("asked", 1, Some(9))];
        assert_eq!(picture(&view(&late), 80, 1), ["█·▒▒"], "the tenth source has no digit");
        assert_eq!(picture(&view(&late), 2, 1), ["▄▒"]);
        assert_eq!(picture(&view(&[]), 80, 1), Vec::<String>::new(), "of a size that nobody told");
    }

    #[test]
    fn as_many_blocks_as_there_are_anywhere_become_one_picture() {
        let huge = [("stored", u64::MAX / 2, None), ("missing", u64::MAX / 2, None)];
        let picture = picture(&view(&huge), 10, 2);
        assert_eq!(picture, ["██████████", "··········"]);
    }

    #[test]
    fn what_is_told_of_more_blocks_than_there_are_is_not_drawn() {
        let mut lying = view(&[("stored", 5, None), ("missing", 5, None)]);
        lying.blocks = 6;
        assert_eq!(picture(&lying, 80, 1), ["█████·"]);
    }
}
