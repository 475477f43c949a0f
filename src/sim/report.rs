//! Results as text for people and as JSON lines for programs.
//!
//! A report is rows of one serialisable type. The text is made from the same serialised values as the JSON,
//! so that the two cannot disagree; the order of the columns is the order of the fields.

use std::fmt::{self, Write};

use serde::Serialize;
use serde_json::Value;

/// One JSON object a line, each line ended.
pub(super) fn json_lines<'a, T: Serialize + 'a>(rows: impl IntoIterator<Item = &'a T>) -> String {
    let mut lines = String::new();
    for row in rows {
        // Rows hold numbers, strings and options of them; those always serialise.
        lines.push_str(&serde_json::to_string(row).expect("rows are plain values"));
        lines.push('\n');
    }
    lines
}

/// Right-aligned columns under their names. Text and absent values (`-`) are right-aligned too.
pub(super) fn columns<T: Serialize>(f: &mut fmt::Formatter<'_>, rows: &[T]) -> fmt::Result {
    let rows: Vec<Vec<(String, String)>> = rows.iter().map(fields).collect();
    let Some(first) = rows.first() else {
        return writeln!(f, "(nothing)");
    };
    let widths: Vec<usize> = (0..first.len())
        .map(|i| rows.iter().map(|row| row[i].1.chars().count()).max().unwrap_or(0).max(first[i].0.len()))
        .collect();
    let mut line = |cells: Vec<&str>| {
        let mut text = String::new();
        for (cell, width) in cells.into_iter().zip(&widths) {
            write!(text, "  {cell:>width$}")?;
        }
        writeln!(f, "{}", text.trim_end().get(2..).unwrap_or(""))
    };
    // The first column keeps its width: only the two leading spaces go.
    line(first.iter().map(|(name, _)| name.as_str()).collect())?;
    rows.iter().try_for_each(|row| line(row.iter().map(|(_, value)| value.as_str()).collect()))
}

/// The fields of a row in the order of its type, as JSON names and printed values.
fn fields<T: Serialize>(row: &T) -> Vec<(String, String)> {
    // Serialising to text and reading it pairwise keeps the order; `serde_json::Value` would sort the names.
    let text = serde_json::to_string(row).expect("rows are plain values");
    let mut stream = Pairs(Vec::new());
    let mut reader = serde_json::Deserializer::from_str(&text);
    serde::Deserializer::deserialize_map(&mut reader, &mut stream).expect("rows are flat objects");
    stream.0
}

struct Pairs(Vec<(String, String)>);

impl<'de> serde::de::Visitor<'de> for &mut Pairs {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a flat object")
    }

    fn visit_map<M: serde::de::MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            let value = match value {
                Value::String(text) => text,
                Value::Null => "-".to_owned(),
                Value::Number(number) if number.is_f64() => format!("{:.3}", number.as_f64().unwrap_or(0.0)),
                other => other.to_string(),
            };
            self.0.push((name, value));
        }
        Ok(())
    }
}

/// `part` of `whole` in thousandths, as a fraction; zero of nothing.
pub(super) fn share(part: u64, whole: u64) -> f64 {
    let thousandths = (part * 1000 + whole / 2).checked_div(whole).unwrap_or(0);
    // Exact: a division of two small whole numbers rounds the same on every machine.
    thousandths as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Row {
        zebra: &'static str,
        ant: Option<u64>,
    }

    struct Rows(Vec<Row>);

    impl fmt::Display for Rows {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            columns(f, &self.0)
        }
    }

    #[test]
    fn columns_keep_the_order_of_the_fields_and_line_up() {
        let rows = Rows(vec![Row { zebra: "x", ant: Some(1234) }, Row { zebra: "stripes", ant: None }]);
        assert_eq!(rows.to_string(), "  zebra   ant\n      x  1234\nstripes     -\n");
        assert_eq!(json_lines(&rows.0), "{\"zebra\":\"x\",\"ant\":1234}\n{\"zebra\":\"stripes\",\"ant\":null}\n");
        assert_eq!(Rows(Vec::new()).to_string(), "(nothing)\n");
    }

    #[test]
    fn shares_are_rounded_to_thousandths() {
        assert_eq!((share(1, 3), share(2, 3), share(0, 0)), (0.333, 0.667, 0.0));
    }
}
