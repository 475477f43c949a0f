//! The query language, as people type it. Errors teach: they say what would be right.
//!
//! A typed word with punctuation in it (`blue-train`, `AC/DC`) is its words, all wanted; as an alternative or
//! as something unwanted it is a phrase. A dash that stands alone is a separator (`Coltrane - Blue Train`).

use super::criteria::Phrase;
use super::kind::Kind;
use super::{Criteria, CriteriaError};
use crate::wire::Urn;
use crate::wire::words;

/// The longest query that we ask, in bytes.
const MAX_QUERY: usize = 1024;

/// A piece of the typed text between spaces.
#[derive(Debug, Default)]
struct Piece {
    excluded: bool,
    /// Alternatives, each with whether it was quoted.
    choices: Vec<(String, bool)>,
}

pub(super) fn parse(text: &str) -> Result<Criteria, CriteriaError> {
    if text.len() > MAX_QUERY {
        return Err(error(format!(
            "the query has {} bytes; {MAX_QUERY} are the most that is sent: use fewer words",
            text.len()
        )));
    }
    let mut criteria = Criteria::default();
    let mut any = false;
    for piece in pieces(text)? {
        match piece.plain() {
            Some("--any") if !piece.excluded => any = true,
            _ => take(&mut criteria, piece)?,
        }
    }
    if any {
        let choice: Vec<Phrase> = criteria.wanted.drain(..).flatten().collect();
        criteria.wanted.extend((!choice.is_empty()).then_some(choice));
    }
    check(&criteria)?;
    Ok(criteria)
}

fn check(criteria: &Criteria) -> Result<(), CriteriaError> {
    let empty = Criteria { urns: criteria.urns.clone(), ..Criteria::default() };
    if !criteria.urns.is_empty() {
        return if *criteria == empty {
            Ok(())
        } else {
            Err(error("a urn names one content exactly, so nothing can be added to it: search for the urn alone"))
        };
    }
    if criteria.wanted.is_empty() {
        return Err(error(if *criteria == empty {
            "nothing to search for: type at least one word of the file's name, as in: search blue train"
        } else {
            "the network is asked with words, and filters (-word, ext:, type:, size:) only narrow down what they find: \
             add at least one word of the file's name, as in: search train ext:flac -live"
        }));
    }
    if criteria.max_size.is_some_and(|max| max < criteria.min_size) {
        return Err(error("no file can have that size: the sizes asked for exclude each other"));
    }
    Ok(())
}

impl Piece {
    /// The text, when it is neither quoted nor a choice.
    fn plain(&self) -> Option<&str> {
        match &*self.choices {
            [(text, false)] => Some(text),
            _ => None,
        }
    }

    /// `key` and the values of `key:a|b`.
    fn filter(&self) -> Option<(&'static str, Vec<&str>)> {
        let (first, quoted) = self.choices.first()?;
        let (key, value) = first.split_once(':')?;
        let key = ["ext", "type", "size", "urn"].into_iter().find(|known| key.eq_ignore_ascii_case(known))?;
        let values = std::iter::once(value).chain(self.choices[1..].iter().map(|(text, _)| &**text));
        let values: Vec<&str> = values.flat_map(|value| value.split(',')).filter(|value| !value.is_empty()).collect();
        (!quoted).then_some((key, values))
    }
}

/// Cuts at spaces and at `|`, but not within quotes. `a | b` is the same as `a|b`.
fn pieces(text: &str) -> Result<Vec<Piece>, CriteriaError> {
    let mut found: Vec<Piece> = Vec::new();
    let mut rest = text.trim_start();
    let mut join = false;
    while let Some(c) = rest.chars().next() {
        if c == '|' {
            join = !found.is_empty();
            rest = rest[1..].trim_start();
            continue;
        }
        let mut excluded = false;
        if !join && rest.starts_with('-') && !rest.starts_with("--") {
            excluded = true;
            rest = &rest[1..];
        }
        let (choice, quoted);
        if let Some(inner) = rest.strip_prefix(['"', '“', '”', '„']) {
            let Some(end) = inner.find(['"', '“', '”']) else {
                return Err(error("a quotation mark is not closed: \"a phrase\" stands between two of them"));
            };
            (choice, quoted) = (inner[..end].to_owned(), true);
            rest = inner[end..].trim_start_matches(['"', '“', '”']);
        } else {
            let end = rest.find(|c: char| c.is_whitespace() || c == '|').unwrap_or(rest.len());
            (choice, quoted) = (rest[..end].to_owned(), false);
            rest = &rest[end..];
        }
        match found.last_mut() {
            Some(last) if join => last.choices.push((choice, quoted)),
            _ => found.push(Piece { excluded, choices: vec![(choice, quoted)] }),
        }
        join = false;
        rest = rest.trim_start();
    }
    Ok(found)
}

fn take(criteria: &mut Criteria, piece: Piece) -> Result<(), CriteriaError> {
    if let Some((key, values)) = piece.filter() {
        return take_filter(criteria, key, &values, piece.excluded);
    }
    if let Some((text, _)) = piece.choices.iter().skip(1).find(|(text, quoted)| !quoted && names_filter(text)) {
        return Err(error(format!(
            "`{text}` cannot be an alternative: only words can. Filters have alternatives of their own, as in ext:flac|ogg"
        )));
    }
    match piece.plain() {
        Some(word) if !piece.excluded => {
            criteria.wanted.extend(Phrase::each(word).into_iter().map(|phrase| vec![phrase]));
        }
        _ => {
            let phrases = piece.choices.iter().filter_map(|(text, _)| Phrase::new(text));
            if piece.excluded {
                criteria.unwanted.extend(phrases);
            } else {
                let choice: Vec<Phrase> = phrases.collect();
                criteria.wanted.extend((!choice.is_empty()).then_some(choice));
            }
        }
    }
    Ok(())
}

fn names_filter(text: &str) -> bool {
    text.split_once(':').is_some_and(|(key, _)| ["ext", "type", "size", "urn"].contains(&&*key.to_ascii_lowercase()))
}

fn take_filter(criteria: &mut Criteria, key: &str, values: &[&str], excluded: bool) -> Result<(), CriteriaError> {
    if values.is_empty() {
        return Err(error(match key {
            "ext" => "`ext:` needs an extension: ext:flac".to_owned(),
            "type" => format!("`type:` needs a kind: {}", Kind::names()),
            "size" => SIZE_FORMS.to_owned(),
            _ => URN_FORMS.to_owned(),
        }));
    }
    match key {
        "ext" => {
            let list = if excluded { &mut criteria.not_extensions } else { &mut criteria.extensions };
            list.extend(values.iter().map(|value| words::fold(value.trim_start_matches(['*', '.']))));
        }
        "type" => {
            let list = if excluded { &mut criteria.not_kinds } else { &mut criteria.kinds };
            for value in values {
                let kind = value.parse();
                list.push(kind.map_err(|()| error(format!("`{value}` is no type; there are {}", Kind::names())))?);
            }
        }
        "size" => {
            if excluded || values.len() != 1 {
                return Err(error(format!("sizes have no alternatives: {SIZE_FORMS}")));
            }
            let (min, max) = size_range(values[0])?;
            criteria.min_size = criteria.min_size.max(min);
            criteria.max_size = match (criteria.max_size, max) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        }
        _ => {
            if excluded {
                return Err(error(format!("content cannot be excluded: {URN_FORMS}")));
            }
            for value in values {
                let text = format!("urn:{value}");
                let urn: Urn = text.parse().map_err(|why| error(format!("`{text}` is no urn ({why}): {URN_FORMS}")))?;
                criteria.urns.push(urn);
            }
        }
    }
    Ok(())
}

const SIZE_FORMS: &str = "say size:>10M, size:<2G or size:10M..2G (K M G T are powers of 1000, Ki Mi Gi Ti of 1024)";
const SIZES: &str = "say for example 500K, 10M or 1.5G (K M G T are powers of 1000, Ki Mi Gi Ti of 1024)";
const URN_FORMS: &str = "a content name is urn:sha1: and 32 letters, as hits and `get` show it";

/// The least and the most bytes of `>10M`, `<=2G`, `1M..2G`, `..2G`, `1M..` or an exact number of bytes.
fn size_range(text: &str) -> Result<(u64, Option<u64>), CriteriaError> {
    let bytes = |text| bytes_or(text, SIZE_FORMS);
    if let Some((low, high)) = text.split_once("..") {
        if low.is_empty() && high.is_empty() {
            return Err(error(format!("`size:{text}` names no size: {SIZE_FORMS}")));
        }
        let low = if low.is_empty() { 0 } else { bytes(low)? };
        return Ok((low, if high.is_empty() { None } else { Some(bytes(high)?) }));
    }
    if let Some(rest) = text.strip_prefix(">=") {
        return Ok((bytes(rest)?, None));
    }
    if let Some(rest) = text.strip_prefix("<=") {
        return Ok((0, Some(bytes(rest)?)));
    }
    if let Some(rest) = text.strip_prefix('>') {
        return Ok((bytes(rest)?.saturating_add(1), None));
    }
    if let Some(rest) = text.strip_prefix('<') {
        let most = bytes(rest)?.checked_sub(1);
        return Ok((0, Some(most.ok_or_else(|| error("no file has less than 0 bytes"))?)));
    }
    let exact = bytes(text.strip_prefix('=').unwrap_or(text))?;
    if text.ends_with(|c: char| c.is_ascii_digit()) {
        return Ok((exact, Some(exact)));
    }
    Err(error(format!("`size:{text}` would want exactly {exact} bytes, which hardly any file has: {SIZE_FORMS}")))
}

/// Bytes of `10M`, `1.5G`, `700MiB`, `4096`.
pub fn bytes(text: &str) -> Result<u64, CriteriaError> {
    bytes_or(text, SIZES)
}

/// The same; what is none is told with the `forms` that would be right.
fn bytes_or(text: &str, forms: &str) -> Result<u64, CriteriaError> {
    let wrong = || match text {
        "" => error(format!("a size is missing: {forms}")),
        text => error(format!("`{text}` is no size: {forms}")),
    };
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let unit = unit.to_ascii_lowercase();
    let unit = unit.strip_suffix('b').unwrap_or(&unit);
    let scale: u128 = match unit {
        "" => 1,
        "k" => 1_000,
        "m" => 1_000_000,
        "g" => 1_000_000_000,
        "t" => 1_000_000_000_000,
        "ki" => 1 << 10,
        "mi" => 1 << 20,
        "gi" => 1 << 30,
        "ti" => 1 << 40,
        _ => return Err(wrong()),
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if number.is_empty() || whole.len() > 20 || part.len() > 12 || (whole.is_empty() && part.is_empty()) {
        return Err(wrong());
    }
    let digits = |text: &str| if text.is_empty() { Ok(0) } else { text.parse::<u128>() };
    let whole = digits(whole).map_err(|_| wrong())? * scale;
    let part = digits(part).map_err(|_| wrong())? * scale / 10_u128.pow(part.len() as u32);
    u64::try_from(whole + part).map_err(|_| error(format!("`{text}` is more than any file has: {forms}")))
}

fn error(text: impl Into<String>) -> CriteriaError {
    CriteriaError(text.into())
}
