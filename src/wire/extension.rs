//! The space between the NULs of a query or a hit, where HUGE's text extensions and GGEP blocks live together.
//!
//! GGEP, appendix B "Peaceful Co-Existence": a byte 0xC3 begins a block, anything else runs up to the next
//! 0x1C; one 0x1C or NUL between two of them is skipped.
//!
//! Bounds: [`MAX_URNS`] content names are read from one space; more are passed over.

use super::ggep::{self, Ggep};
use super::{Blake3, Sha1, Tth, Urn};

/// HUGE: "extension strings, separated by ASCII character 28 -- FS".
pub(super) const SEPARATOR: u8 = 0x1c;
/// More content names than this in one query or hit are passed over.
pub const MAX_URNS: usize = 64;

/// What we understand of such a space. It never fails: what we do not understand is passed over, and the
/// caller keeps the bytes.
pub(super) fn read(mut space: &[u8]) -> (Vec<Urn>, Ggep) {
    let mut urns = Vec::new();
    let mut ggep = Ggep::default();
    while let Some(&first) = space.first() {
        if first == ggep::MAGIC {
            // Behind a broken block nothing tells where the next extension begins.
            let Ok((block, taken)) = Ggep::decode(space) else { break };
            ggep.extensions.extend(block.extensions);
            space = &space[taken..];
        } else {
            let end = space.iter().position(|&byte| byte == SEPARATOR || byte == 0).unwrap_or(space.len());
            let text = std::str::from_utf8(&space[..end]).unwrap_or_default();
            add(&mut urns, text.trim().parse().ok());
            space = &space[end..];
        }
        if let Some((&(SEPARATOR | 0), rest)) = space.split_first() {
            space = rest;
        }
    }
    for extension in &ggep.extensions {
        let named = matches!(extension.id.as_slice(), b"H" | b"TT" | b"u");
        if let Some(Ok(value)) = named.then(|| extension.value()) {
            add(&mut urns, named_by(&extension.id, &value));
        }
    }
    (urns, ggep)
}

fn add(urns: &mut Vec<Urn>, urn: Option<Urn>) {
    if let Some(urn) = urn
        && urns.len() < MAX_URNS
        && !urns.contains(&urn)
    {
        urns.push(urn);
    }
}

/// GGEP `H`: a type byte and a hash; 1 is SHA-1, 2 a bitprint. `TT`: a Tiger tree root. `u`: the text of a URN
/// without its `urn:` (HUGE section 8).
fn named_by(id: &[u8], value: &[u8]) -> Option<Urn> {
    match (id, value) {
        (b"H", [1, sha1 @ ..]) => Some(Urn::Sha1(Sha1(sha1.try_into().ok()?))),
        (b"H", [2, both @ ..]) if both.len() == 44 => {
            Some(Urn::Bitprint(Sha1(both[..20].try_into().ok()?), Tth(both[20..].try_into().ok()?)))
        }
        (b"TT", root) => Some(Urn::Tth(Tth(root.try_into().ok()?))),
        (b"u", text) => format!("urn:{}", std::str::from_utf8(text).ok()?).parse().ok(),
        _ => None,
    }
}

/// The space for `urns`, and whatever else is in `ggep`. SHA-1 is written as text, which every client reads;
/// a tree beside it goes into GGEP `H`, which also says that both are of one content.
pub(super) fn write(urns: &[Urn], mut ggep: Ggep) -> Vec<u8> {
    let sha1: Option<Sha1> = urns.iter().find_map(Urn::sha1);
    let tth: Option<Tth> = urns.iter().find_map(Urn::tth);
    let blake3: Option<Blake3> = urns.iter().find_map(Urn::blake3);
    let mut texts: Vec<Urn> = sha1.map(Urn::Sha1).into_iter().collect();
    match (sha1, tth) {
        (Some(sha1), Some(tth)) => {
            let mut value = vec![2];
            value.extend_from_slice(&sha1.0);
            value.extend_from_slice(&tth.0);
            ggep.push("H", &value);
        }
        (None, Some(tth)) => texts.push(Urn::Tth(tth)),
        (_, None) => {}
    }
    texts.extend(blake3.map(Urn::Blake3));
    let mut out = join(&texts);
    if !out.is_empty() && !ggep.is_empty() {
        out.push(SEPARATOR);
    }
    ggep.encode(&mut out);
    out
}

/// The names as HUGE texts, with separators between them.
pub(super) fn join(urns: &[Urn]) -> Vec<u8> {
    let texts: Vec<String> = urns.iter().map(Urn::to_string).collect();
    texts.join("\u{1c}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA1: &str = "urn:sha1:GKECXDEZDWGCRBZWKYBJD5GGT4KAUE5V";

    fn texts(space: &[u8]) -> Vec<String> {
        read(space).0.iter().map(Urn::to_string).collect()
    }

    #[test]
    fn texts_and_blocks_live_side_by_side() {
        let mut block = Vec::new();
        let mut ggep = Ggep::default();
        ggep.push("CT", b"x");
        ggep.encode(&mut block);
        let sha1 = SHA1.as_bytes();
        for parts in [
            [sha1, b"\x1c", &block].concat(),
            [b"\x1c\x1c", sha1, b"\x1c", &block[..]].concat(),
            [&block, sha1].concat(),
            [&block[..], b"\x1c", sha1, b"\0"].concat(),
            [b"{tag}\x1c", &SHA1.to_uppercase().into_bytes()[..], b"\x1c", &block, &block].concat(),
        ] {
            let (urns, ggep) = read(&parts);
            assert_eq!(urns.iter().map(Urn::to_string).collect::<Vec<_>>(), [SHA1]);
            assert_eq!(ggep.get("CT"), Some(Ok(b"x".to_vec())));
        }
    }

    #[test]
    fn a_broken_block_ends_the_reading_and_harms_nothing_before_it() {
        assert_eq!(texts(format!("{SHA1}\u{1c}").as_bytes()), [SHA1]);
        assert_eq!(texts(&[SHA1.as_bytes(), b"\x1c\xc3\x8fno"].concat()), [SHA1]);
        assert_eq!(texts(b"\xc3"), [""; 0]);
    }

    #[test]
    fn ggep_names_are_read_and_a_name_given_twice_counts_once() {
        let urn: Urn = SHA1.parse().expect("a urn");
        let sha1 = urn.sha1().expect("a sha1").0;
        let mut ggep = Ggep::default();
        ggep.push("H", &[&[1], &sha1[..]].concat());
        ggep.push("u", &SHA1.as_bytes()[4..]);
        ggep.push("TT", &[5; 24]);
        ggep.push("H", b"\x02short");
        let mut space = [SHA1.as_bytes(), b"\x1c"].concat();
        ggep.encode(&mut space);
        assert_eq!(read(&space).0, [urn, Urn::Tth(Tth([5; 24]))]);
    }

    #[test]
    fn a_flood_of_names_is_cut() {
        let many: Vec<Urn> = (0..100).map(|i| Urn::Sha1(Sha1([i; 20]))).collect();
        assert_eq!(read(&join(&many)).0, many[..MAX_URNS]);
    }
}
