//! A drawing of the mesh in characters: dotted lines, and names on top of them. It needs no colour; where the
//! locale knows braille the lines are finer.

use unicode_width::UnicodeWidthChar;

use super::mesh::Mesh;

/// How lines are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    /// Eight dots a character.
    Braille,
    /// One.
    Ascii,
}

impl Ink {
    /// What the locale can show (`LC_ALL`, `LC_CTYPE`, `LANG`, in this order).
    pub fn of_locale(env: impl Fn(&str) -> Option<String>) -> Self {
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(env).find(|value| !value.is_empty());
        let locale = locale.unwrap_or_default().to_lowercase();
        if locale.contains("utf-8") || locale.contains("utf8") { Self::Braille } else { Self::Ascii }
    }

    /// Dots in a character, across and down.
    fn dots(self) -> (i32, i32) {
        match self {
            Self::Braille => (2, 4),
            Self::Ascii => (1, 1),
        }
    }
}

/// Rows that a drawing takes.
pub const ROWS: usize = 13;
const COLUMNS: usize = 72;

/// Draws the servents around an ellipse, as they stand in the ring, and the links between them.
pub fn draw(mesh: &Mesh, labels: &[String], ink: Ink) -> Vec<String> {
    let mut canvas = Canvas::new(ink);
    let mut at = vec![(0.0, 0.0); mesh.nodes];
    for (turn, &node) in mesh.ring.iter().enumerate() {
        at[node] = place(turn, mesh.nodes);
    }
    for &(a, b) in &mesh.links {
        canvas.line(at[a], at[b]);
    }
    for (label, &(x, y)) in labels.iter().zip(&at) {
        canvas.label(x, y, label);
    }
    canvas.rows()
}

/// Column and row of a servent: around an ellipse, from the top, clockwise.
fn place(node: usize, nodes: usize) -> (f64, f64) {
    let angle = std::f64::consts::TAU * node as f64 / nodes as f64;
    let (middle, centre) = (COLUMNS as f64 / 2.0, (ROWS - 1) as f64 / 2.0);
    (middle + (middle - 8.0) * angle.sin(), centre - (centre - 0.1) * angle.cos())
}

struct Canvas {
    ink: Ink,
    dots: Vec<[u8; COLUMNS]>,
    text: Vec<[Option<char>; COLUMNS]>,
}

impl Canvas {
    fn new(ink: Ink) -> Self {
        Self { ink, dots: vec![[0; COLUMNS]; ROWS], text: vec![[None; COLUMNS]; ROWS] }
    }

    /// A dotted line from the middle of one character to the middle of another.
    fn line(&mut self, from: (f64, f64), to: (f64, f64)) {
        let (across, down) = self.ink.dots();
        let dot = |(x, y): (f64, f64)| ((x + 0.5) * f64::from(across), (y + 0.5) * f64::from(down));
        let ((x0, y0), (x1, y1)) = (dot(from), dot(to));
        let steps = (x1 - x0).abs().max((y1 - y0).abs()).ceil().max(1.0);
        for step in 0..=steps as u32 {
            // Every other of the fine dots: lines that cross stay apart.
            if self.ink == Ink::Braille && step % 2 == 1 {
                continue;
            }
            let t = f64::from(step) / steps;
            self.dot((x0 + (x1 - x0) * t) as i32, (y0 + (y1 - y0) * t) as i32);
        }
    }

    fn dot(&mut self, x: i32, y: i32) {
        const BRAILLE: [[u8; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];
        let (across, down) = self.ink.dots();
        let (Ok(column), Ok(row)) = (usize::try_from(x / across), usize::try_from(y / down)) else { return };
        let bit = match self.ink {
            Ink::Braille => BRAILLE[(y % 4) as usize][(x % 2) as usize],
            Ink::Ascii => 1,
        };
        if let Some(cell) = self.dots.get_mut(row).and_then(|row| row.get_mut(column)) {
            *cell |= bit;
        }
    }

    /// Text around a point, with a blank at each side so that no line touches it.
    fn label(&mut self, x: f64, y: f64, label: &str) {
        let padded = format!(" {label} ");
        let width: usize = padded.chars().map(|c| c.width().unwrap_or(0)).sum();
        let left = (x.round() as usize).saturating_sub(width / 2).min(COLUMNS.saturating_sub(width));
        let row = (y.round() as usize).min(ROWS - 1);
        for (i, c) in padded.chars().enumerate() {
            if let Some(cell) = self.text[row].get_mut(left + i) {
                *cell = Some(c);
            }
        }
    }

    fn rows(&self) -> Vec<String> {
        let row = |(dots, text): (&[u8; COLUMNS], &[Option<char>; COLUMNS])| {
            let cells = dots.iter().zip(text).map(|(&dots, &text)| match (text, dots, self.ink) {
                (Some(c), _, _) => c,
                (None, 0, _) => ' ',
                (None, _, Ink::Ascii) => '.',
                (None, dots, Ink::Braille) => char::from_u32(0x2800 + u32::from(dots)).unwrap_or(' '),
            });
            cells.collect::<String>().trim_end().to_owned()
        };
        self.dots.iter().zip(&self.text).map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;

    #[test]
    fn every_name_is_whole_and_the_drawing_fits_a_terminal() {
        for ink in [Ink::Braille, Ink::Ascii] {
            for nodes in 3..=12 {
                let mesh = Mesh::random(nodes, &mut Rng::from_number(1));
                let labels: Vec<String> = (0..nodes).map(|n| format!("o N{n}x")).collect();
                let rows = draw(&mesh, &labels, ink);
                assert_eq!(rows.len(), ROWS);
                assert!(rows.iter().all(|row| row.chars().count() <= COLUMNS));
                let all = rows.join("\n");
                assert!(labels.iter().all(|label| all.contains(label.as_str())), "{all}");
                assert_eq!(all.is_ascii(), ink == Ink::Ascii);
            }
        }
    }

    #[test]
    fn the_locale_chooses_the_ink() {
        let of = |name: &'static str, value: &'static str| {
            Ink::of_locale(move |asked| (asked == name).then(|| value.to_owned()))
        };
        assert_eq!(of("LANG", "de_DE.UTF-8"), Ink::Braille);
        assert_eq!(of("LC_ALL", "C.utf8"), Ink::Braille);
        assert_eq!(of("LANG", "C"), Ink::Ascii);
        assert_eq!(Ink::of_locale(|_| None), Ink::Ascii);
    }
}
