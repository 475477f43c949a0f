//! A list under way: its pieces as they are sent.

use bytes::BytesMut;
use flate2::{Compress, Compression, FlushCompress};

use super::page;
use crate::wire::hit::{Entry, QueryHit};
use crate::wire::{Digests, Frame, Guid, Kind, Urn};

/// A query hit of a list is ended before it grows above this.
const HIT_BYTES: usize = 32 * 1024;

/// Room that is made for deflated bytes at a time.
const ROOM: usize = 4 * 1024;

/// A file in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Our number for it.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// The folder that it is in, with `/` between its parts; empty at the top.
    pub folder: String,
    /// Its bytes.
    pub size: u64,
    /// Its content names, once hashed.
    pub digests: Option<Digests>,
}

/// What all files of a list come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A list under way. Say [`List::begin`], [`List::rows`] as often as there are rows, and [`List::end`]; what each
/// appends is to be sent.
#[derive(Debug)]
pub struct List {
    form: Form,
    chunked: bool,
    /// A zlib stream of its own, which ends with the list.
    deflater: Option<Compress>,
}

#[derive(Debug)]
enum Form {
    /// Hits; what they say besides their entries.
    Hits(Box<QueryHit>),
    Page {
        agent: String,
        nonce: Guid,
    },
}

impl List {
    pub(super) fn of_hits(hit: QueryHit, chunked: bool, deflated: bool) -> Self {
        Self { form: Form::Hits(Box::new(hit)), chunked, deflater: deflated.then(zlib) }
    }

    pub(super) fn page(agent: &str, nonce: Guid, chunked: bool, deflated: bool) -> Self {
        let form = Form::Page { agent: agent.to_owned(), nonce };
        Self { form, chunked, deflater: deflated.then(zlib) }
    }

    /// What comes before the first row.
    pub fn begin(&mut self, totals: Totals, out: &mut Vec<u8>) {
        if let Form::Page { agent, nonce } = &self.form {
            let text = page::begin(agent, *nonce, totals);
            self.push(text.as_bytes(), out);
        }
    }

    /// The next rows.
    pub fn rows(&mut self, rows: &[Row], out: &mut Vec<u8>) {
        let bytes = match &self.form {
            Form::Hits(hit) => messages(hit, rows),
            Form::Page { .. } => page::rows(rows).into_bytes(),
        };
        self.push(&bytes, out);
    }

    /// What comes behind the last row.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        if let Form::Page { .. } = &self.form {
            self.push(page::END.as_bytes(), out);
        }
        if let Some(mut deflater) = self.deflater.take() {
            let last = deflate(&mut deflater, &[], FlushCompress::Finish);
            self.chunk(&last, out);
        }
        if self.chunked {
            out.extend_from_slice(b"0\r\n\r\n");
        }
    }

    fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        match &mut self.deflater {
            Some(deflater) => {
                let deflated = deflate(deflater, bytes, FlushCompress::Sync);
                self.chunk(&deflated, out);
            }
            None => self.chunk(bytes, out),
        }
    }

    /// An empty chunk would be the last one.
    fn chunk(&self, bytes: &[u8], out: &mut Vec<u8>) {
        if self.chunked && !bytes.is_empty() {
            out.extend_from_slice(format!("{:x}\r\n", bytes.len()).as_bytes());
            out.extend_from_slice(bytes);
            out.extend_from_slice(b"\r\n");
        } else {
            out.extend_from_slice(bytes);
        }
    }
}

fn zlib() -> Compress {
    Compress::new(Compression::fast(), true)
}

/// All of `bytes`, and what `flush` asks for.
fn deflate(stream: &mut Compress, bytes: &[u8], flush: FlushCompress) -> Vec<u8> {
    let mut out = Vec::with_capacity(ROOM + bytes.len() / 2);
    let begun = stream.total_in();
    loop {
        let rest = &bytes[(stream.total_in() - begun) as usize..];
        let (room, made) = (out.capacity() - out.len(), stream.total_out());
        // With memory to write to, deflating cannot fail; with room left, it is through.
        if stream.compress_vec(rest, &mut out, flush).is_err() || ((stream.total_out() - made) as usize) < room {
            return out;
        }
        out.reserve(ROOM);
    }
}

/// The rows as hits.
fn messages(hit: &QueryHit, rows: &[Row]) -> Vec<u8> {
    let mut out = BytesMut::new();
    let mut entries: Vec<Entry> = Vec::new();
    let mut bytes = 0;
    let mut send = |entries: &mut Vec<Entry>| {
        if !entries.is_empty() {
            let hit = QueryHit { entries: std::mem::take(entries), ..hit.clone() };
            Frame::new(Guid::default(), Kind::QueryHit, 1, hit.encode()).encode(&mut out);
        }
    };
    for row in rows {
        let urns = row.digests.map(|digests| [digests.urn(), Urn::Blake3(digests.blake3)]);
        let urns = urns.as_ref().map_or(&[][..], |urns| urns.as_slice());
        let entry = Entry::in_folder(row.index, row.size, &row.name, urns, &row.folder);
        if bytes + entry.wire_len() > HIT_BYTES || entries.len() == QueryHit::MAX_ENTRIES {
            send(&mut entries);
            bytes = 0;
        }
        bytes += entry.wire_len();
        entries.push(entry);
    }
    send(&mut entries);
    out.to_vec()
}

#[cfg(test)]
mod tests {
    use super::super::Reader;
    use super::*;
    use crate::wire::hit::Qhd;

    fn rows(count: u32) -> Vec<Row> {
        let row = |index| Row {
            index,
            name: format!("<b>\"track\" & 'more' {index}</b>.ogg"),
            folder: if index % 3 == 0 { String::new() } else { format!("<i>jazz/\u{fc} {}", index % 7) },
            size: 5_000_000_000 + u64::from(index),
            digests: (index % 2 == 0).then(|| Digests::of(&index.to_le_bytes())),
        };
        (1..=count).map(row).collect()
    }

    fn all(mut list: List, rows: &[Row]) -> Vec<u8> {
        let mut out = Vec::new();
        list.begin(Totals { files: rows.len() as u64, bytes: 7 }, &mut out);
        rows.chunks(64).for_each(|rows| list.rows(rows, &mut out));
        list.end(&mut out);
        out
    }

    #[test]
    fn a_list_of_hits_reads_back_whole() {
        let addr = "10.0.0.1:6346".parse().expect("an address");
        let hit = QueryHit::new(addr, 0, Vec::new(), Qhd::new(*b"FLBT", false, false), Guid([3; 16]));
        let folder = |entry: &Entry| entry.folder().map(|folder| folder.to_str().into_owned()).unwrap_or_default();
        let sha1 = |row: &Row| row.digests.map(|digests| digests.sha1);
        let rows = rows(1000);
        for deflated in [false, true] {
            let bytes = all(List::of_hits(hit.clone(), false, deflated), &rows);
            let mut reader = Reader::new(deflated);
            let mut got = Vec::new();
            for piece in bytes.chunks(1000) {
                reader.push(piece, |hit| got.extend(hit.entries)).expect("our own list");
            }
            assert_eq!(reader.end(), Ok(()));
            let got: Vec<_> =
                got.iter().map(|it| (it.index, it.size(), it.name.to_str(), folder(it), it.sha1())).collect();
            let want: Vec<_> = rows
                .iter()
                .map(|row| (row.index, row.size, row.name.as_str().into(), row.folder.clone(), sha1(row)))
                .collect();
            assert_eq!(got, want);
        }
    }

    #[test]
    fn long_names_share_a_message_only_while_it_is_small() {
        let long: Vec<Row> = rows(200).into_iter().map(|row| Row { name: "n".repeat(2000), ..row }).collect();
        let addr = "10.0.0.1:6346".parse().expect("an address");
        let hit = QueryHit::new(addr, 0, Vec::new(), Qhd::new(*b"FLBT", false, false), Guid([3; 16]));
        let mut reader = Reader::new(false);
        let mut sizes = Vec::new();
        reader.push(&messages(&hit, &long), |hit| sizes.push(hit.encode().len())).expect("our own");
        assert!(sizes.len() > 10 && sizes.iter().all(|size| *size <= HIT_BYTES + QueryHit::OVERHEAD), "{sizes:?}");
    }

    #[test]
    fn a_page_names_every_file_and_no_name_is_markup() {
        let rows = rows(100);
        let text = String::from_utf8(all(List::page("filbert/1", Guid([7; 16]), false, false), &rows)).expect("UTF-8");
        assert!(text.starts_with("<!DOCTYPE html>") && text.trim_end().ends_with("</html>"));
        assert_eq!(text.matches("<tr>").count(), 101, "a row each, and the head");
        assert_eq!(text.matches("magnet:?xt=").count(), 50, "those that are hashed");
        assert!(
            !text.contains("<b>")
                && !text.contains("<i>")
                && text.contains("&lt;i&gt;jazz/")
                && !text.contains("<script"),
            "names are text"
        );
        assert!(text.contains("&lt;b&gt;&quot;track&quot; &amp; &#39;more&#39; 7&lt;/b&gt;.ogg"));
    }

    #[test]
    fn chunks_say_their_length_and_the_last_is_empty() {
        let bytes = all(List::page("filbert/1", Guid([7; 16]), true, true), &rows(100));
        let (mut at, mut chunks) = (0, 0);
        loop {
            let line = bytes[at..].windows(2).position(|two| two == b"\r\n").expect("a line");
            let size = std::str::from_utf8(&bytes[at..at + line]).expect("text");
            let size = usize::from_str_radix(size, 16).expect("a size");
            at += line + 2 + size + 2;
            chunks += 1;
            if size == 0 {
                break;
            }
        }
        assert_eq!((at, chunks), (bytes.len(), 1 + 2 + 1 + 1 + 1), "head, rows, foot, end of the stream, last");
    }
}
