//! Messages for people: one line for the header, indented lines for the payload.
//!
//! Everything that a stranger wrote goes through [`escape`]: no control character and none that changes the
//! direction of text reaches a terminal.

use std::fmt::Write;

use super::ggep::Ggep;
use super::hit::{Entry, QueryHit};
use super::qrp::RouteTableUpdate;
use super::query::{Flags, Query};
use super::{Frame, Kind, Message, Urn};

/// At most this many bytes are shown of what we do not understand.
const HEX_LIMIT: usize = 256;

/// The message in words. Names from strangers are escaped: no control characters reach a terminal.
pub fn frame(frame: &Frame) -> String {
    let header = &frame.header;
    let kind = match header.kind {
        Kind::Other(number) => format!("Other(0x{number:02x})"),
        known => format!("{known:?}"),
    };
    let mut out =
        format!("{kind} {} ttl {} hops {} payload {}\n", header.guid, header.ttl, header.hops, frame.payload.len());
    match Message::decode(header.kind, &frame.payload) {
        Ok(decoded) => message(&mut out, &decoded),
        Err(error) => {
            line(&mut out, format_args!("{error}"));
            line(&mut out, format_args!("payload {}", hex(&frame.payload)));
        }
    }
    out
}

/// `text` with every character escaped that could move the cursor, change the direction of what follows, or
/// not be seen at all.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            c if is_treacherous(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

/// The same for bytes that may not be UTF-8: such bytes are shown as `\xNN`.
pub fn escape_bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(&escape(chunk.valid()));
        chunk.invalid().iter().for_each(|byte| put(&mut out, format_args!("\\x{byte:02x}")));
    }
    out
}

/// Controls, separators of lines and paragraphs, marks and overrides of direction, and characters without a
/// width: in a name they serve only to deceive.
pub fn is_treacherous(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

fn message(out: &mut String, message: &Message) {
    match message {
        Message::Ping(ping) => {
            extensions(out, "  ", &ping.ggep);
            rest(out, &ping.rest);
        }
        Message::Pong(pong) => {
            line(out, format_args!("host {} files {} KiB {}", pong.host(), pong.files, pong.kib));
            extensions(out, "  ", &pong.ggep);
            rest(out, &pong.rest);
        }
        Message::Bye(bye) => line(out, format_args!("code {} \"{}\"", bye.code, escape_bytes(&bye.text.0))),
        Message::RouteTableUpdate(update) => route_table_update(out, update),
        Message::Vendor(message) => {
            let name = if message.vendor == [0; 4] { "standard".to_owned() } else { escape_bytes(&message.vendor) };
            line(out, format_args!("{name} {} version {}", message.selector, message.version));
            line(out, format_args!("data {}", hex(&message.data)));
        }
        Message::Push(push) => {
            line(out, format_args!("servent {} file {} to {}", push.servent, push.index, push.host()));
            extensions(out, "  ", &push.ggep);
            rest(out, &push.rest);
        }
        Message::Query(asked) => query(out, asked),
        Message::QueryHit(hit) => query_hit(out, hit),
        Message::Other(payload) => rest(out, payload),
    }
}

fn route_table_update(out: &mut String, update: &RouteTableUpdate) {
    match update {
        RouteTableUpdate::Reset { slots, infinity } => {
            line(out, format_args!("reset {slots} slots infinity {infinity}"))
        }
        RouteTableUpdate::Patch { sequence, count, compressor, bits, data } => {
            let how = match compressor {
                0 => "plain".to_owned(),
                1 => "zlib".to_owned(),
                other => format!("compressor {other}"),
            };
            line(out, format_args!("patch {sequence} of {count} {how} {bits} bits {} bytes", data.len()));
        }
        RouteTableUpdate::Other { variant, data } => line(out, format_args!("variant {variant} {}", hex(data))),
    }
}

fn query(out: &mut String, query: &Query) {
    line(out, format_args!("\"{}\" flags {:04x}{}", escape_bytes(&query.text.0), query.flags.0, flags(query.flags)));
    names(out, "  ", &query.urns);
    extensions(out, "  ", &query.ggep);
    if query.urns.is_empty() && query.ggep.is_empty() && !query.extension.is_empty() {
        line(out, format_args!("extension \"{}\"", escape_bytes(&query.extension)));
    }
}

fn flags(flags: Flags) -> String {
    let known = [
        (Flags::FIREWALLED, "firewalled"),
        (Flags::XML, "xml"),
        (Flags::LEAF_GUIDED, "leaf-guided"),
        (Flags::GGEP_H, "ggep-h"),
        (Flags::OUT_OF_BAND, "out-of-band"),
        (Flags::FW2FW, "fw2fw"),
    ];
    let set: Vec<&str> = known.into_iter().filter(|&(bit, _)| flags.has(bit)).map(|(_, name)| name).collect();
    match set.is_empty() {
        true => String::new(),
        false => format!(" ({})", set.join(" ")),
    }
}

fn query_hit(out: &mut String, hit: &QueryHit) {
    let count = hit.entries.len();
    line(out, format_args!("host {} speed {} servent {} entries {count}", hit.host(), hit.speed, hit.servent));
    for entry in &hit.entries {
        let Entry { index, name, extension, .. } = entry;
        line(out, format_args!("{index} \"{}\" {} bytes", escape_bytes(&name.0), entry.size()));
        names(out, "    ", &entry.urns);
        extensions(out, "    ", &entry.ggep);
        if entry.urns.is_empty() && entry.ggep.is_empty() && !extension.is_empty() {
            line(out, format_args!("  extension \"{}\"", escape_bytes(extension)));
        }
    }
    if let Some(qhd) = &hit.qhd {
        let stated = |flag: Option<bool>| flag.map_or("unstated", |flag| if flag { "yes" } else { "no" });
        let (push, busy) = (stated(qhd.push()), stated(qhd.busy()));
        line(out, format_args!("vendor {} push {push} busy {busy}", escape_bytes(&qhd.vendor)));
        extensions(out, "    ", &qhd.ggep);
        if qhd.ggep.is_empty() && !qhd.private.is_empty() {
            line(out, format_args!("  private {}", hex(&qhd.private)));
        }
    }
}

fn names(out: &mut String, indent: &str, urns: &[Urn]) {
    urns.iter().for_each(|urn| put(out, format_args!("{indent}{urn}\n")));
}

fn extensions(out: &mut String, indent: &str, ggep: &Ggep) {
    for extension in &ggep.extensions {
        put(out, format_args!("{indent}GGEP {}", escape_bytes(&extension.id)));
        match extension.value() {
            Ok(value) if value.is_empty() => {}
            Ok(value) => put(out, format_args!(" {}", hex(&value))),
            Err(error) => put(out, format_args!(" {} ({error})", hex(&extension.raw))),
        }
        out.push('\n');
    }
}

fn rest(out: &mut String, bytes: &[u8]) {
    if !bytes.is_empty() {
        line(out, format_args!("rest {}", hex(bytes)));
    }
}

fn hex(bytes: &[u8]) -> String {
    let shown = data_encoding::HEXLOWER.encode(&bytes[..bytes.len().min(HEX_LIMIT)]);
    match bytes.len().checked_sub(HEX_LIMIT) {
        None | Some(0) => shown,
        Some(more) => format!("{shown} and {more} bytes more"),
    }
}

fn line(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    put(out, format_args!("  {arguments}\n"));
}

fn put(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a String does not fail.
    let _ = out.write_fmt(arguments);
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::wire::Guid;
    use crate::wire::hit::Qhd;

    fn print(kind: Kind, payload: impl Into<Bytes>) -> String {
        super::frame(&Frame::new(Guid([0xab; 16]), kind, 4, payload.into()))
    }

    #[test]
    fn a_query_is_told_in_words() {
        let text = print(Kind::Query, &b"\xb9\0acorn\0\xc3\x82PR\x40"[..]);
        let expected = "Query abababababababababababababababab ttl 4 hops 0 payload 13
  \"acorn\" flags b900 (xml leaf-guided ggep-h)
  GGEP PR
";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_hit_is_told_in_words() {
        let addr = "10.0.0.1:6346".parse().expect("an address");
        let urn: Urn = "urn:sha1:GKECXDEZDWGCRBZWKYBJD5GGT4KAUE5V".parse().expect("a urn");
        let entry = Entry::new(7, 12, "blue train.ogg", &[urn]);
        let hit = QueryHit::new(addr, 100, vec![entry], Qhd::new(*b"FLBT", false, true), Guid([1; 16]));
        let text = print(Kind::QueryHit, hit.encode());
        let (_, body) = text.split_once('\n').expect("two lines");
        let expected = "  host 10.0.0.1:6346 speed 100 servent 01010101010101010101010101010101 entries 1
  7 \"blue train.ogg\" 12 bytes
    urn:sha1:GKECXDEZDWGCRBZWKYBJD5GGT4KAUE5V
  vendor FLBT push no busy yes
";
        assert_eq!(body, expected);
    }

    #[test]
    fn what_does_not_decode_is_shown_with_its_error() {
        let text = print(Kind::Pong, &b"\x01\x02"[..]);
        assert!(text.ends_with("  bad pong: fixed part at byte 0 needs 14 bytes, 2 are left\n  payload 0102\n"));
    }

    #[test]
    fn nothing_from_a_stranger_reaches_a_terminal_raw() {
        let evil = "a\u{1b}[2J\r\n\u{202e}gpj.\u{200b}\u{9b}\u{e0041}\\";
        for kind in (0..=255).map(Kind::from) {
            for payload in [evil.as_bytes().to_vec(), [&[0; 2], evil.as_bytes(), b"\xff\0"].concat()] {
                let text = print(kind, payload);
                assert!(text.chars().all(|c| c == '\n' || !is_treacherous(c)), "{text}");
            }
        }
        assert_eq!(escape("a\u{202e}b\\"), "a\\u{202e}b\\\\");
        assert_eq!(escape_bytes(b"caf\xe9 \xc3\xa9"), "caf\\xe9 \u{e9}");
    }
}
