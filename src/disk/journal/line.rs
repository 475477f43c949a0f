//! The lines of a log: `LENGTH CHECKSUM JSON`, where LENGTH counts the bytes of the JSON in eight hexadecimal digits, and
//! CHECKSUM is the first sixteen hexadecimal digits of its BLAKE3. JSON has no line ends of its own, so behind a damaged line the next one
//! is found again.

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Eight digits, a space, sixteen digits, a space.
const HEAD: usize = 26;

/// What a log says.
#[derive(Debug)]
pub(super) struct Found<C> {
    /// In order.
    pub(super) changes: Vec<C>,
    /// What is wrong with it, unless it is only that its last line has no end.
    pub(super) damage: Option<String>,
}

/// One line, with its end.
pub(super) fn write<C: Serialize>(change: &C) -> io::Result<String> {
    let json = serde_json::to_string(change)?;
    Ok(format!("{} {json}\n", head(&json)))
}

/// Reads a whole log that begins with `header`.
pub(super) fn read<C: DeserializeOwned>(bytes: &[u8], header: &str) -> Found<C> {
    let mut found = Found { changes: Vec::new(), damage: None };
    // Behind the last line end is what was being appended, which nobody was told is kept.
    let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') else { return found };
    let mut lines = bytes[..end].split(|byte| *byte == b'\n');
    if lines.next() != Some(header.trim_end().as_bytes()) {
        found.damage = Some(format!("it does not begin with `{}`", header.trim_end()));
        return found;
    }
    let mut damaged = 0_usize;
    for line in lines {
        match read_line(line) {
            Some(change) => found.changes.push(change),
            None => damaged += 1,
        }
    }
    if damaged > 0 {
        let all = found.changes.len() + damaged;
        found.damage = Some(format!("{damaged} of its {all} lines are damaged"));
    }
    found
}

fn read_line<C: DeserializeOwned>(line: &[u8]) -> Option<C> {
    let (told, json) = std::str::from_utf8(line).ok()?.split_at_checked(HEAD)?;
    (told.trim_end() == head(json)).then(|| serde_json::from_str(json).ok())?
}

fn head(json: &str) -> String {
    let digest = blake3::hash(json.as_bytes()).to_hex();
    format!("{:08x} {}", json.len(), &digest[..16])
}
