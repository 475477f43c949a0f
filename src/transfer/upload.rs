//! The answer to a request for a file: a pure decision over what was found.
//!
//! "`Content-Length` on every file answer", "the whole rest of the file for an open-ended range (some clients
//! take a short 206 for the end of the file)". A request with several ranges, or with one that makes no sense,
//! gets the whole file, as RFC 9110 section 14.2 allows ("A server MAY ignore the Range header field"); no
//! client of the network asks for several. There is no path in here: a request names content or a number.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;

use unicode_normalization::UnicodeNormalization;

use crate::wire::Digests;
use crate::wire::addr::is_public;
use crate::wire::head::Headers;
use crate::wire::http::{ContentRange, Request, Response, percent_encode};

/// What a request turned out to mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The file's name.
    pub name: String,
    /// Its bytes.
    pub size: u64,
    /// Its content names, once hashed.
    pub digests: Option<Digests>,
}

/// What stands in the way of giving it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// Nothing.
    Offer(&'a Offer),
    /// Nothing, but all slots are taken: try again after so many seconds.
    Busy(&'a Offer, u32),
    /// We do not have it.
    Nothing,
}

/// What to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The head.
    pub head: Response,
    /// The bytes of the file that follow it.
    pub body: Option<Range<u64>>,
}

/// Whether an answer to this request carries a body, and therefore needs a slot.
pub fn wants_body(request: &Request) -> bool {
    request.method.eq_ignore_ascii_case("GET")
}

/// Decides the answer. `agent` is our `Server` header.
pub fn plan(request: &Request, found: Found<'_>, agent: &str) -> Plan {
    let get = wants_body(request);
    if !get && !request.method.eq_ignore_ascii_case("HEAD") {
        // A body that we would not understand may follow it.
        let headers = headers(agent).with("Allow", "GET, HEAD").with("Connection", "close");
        return empty(405, "Method Not Allowed", headers);
    }
    let mut common = headers(agent);
    match (request.keep_alive(), request.version >= (1, 1)) {
        (false, _) => common.push("Connection", "close"),
        (true, false) => common.push("Connection", "Keep-Alive"),
        (true, true) => {}
    }
    let offer = match found {
        Found::Offer(offer) => offer,
        Found::Busy(offer, seconds) => {
            let headers = common.with("Retry-After", seconds.to_string());
            return empty(503, "Busy: all upload slots are taken", content_urn(headers, offer));
        }
        Found::Nothing => return empty(404, "Not Found", common),
    };
    let common = content_urn(common.with("Accept-Ranges", "bytes"), offer);
    let range = match request.range() {
        Some(Ok(range)) if offer.size > 0 => match range.resolve(offer.size) {
            Some(range) => Some(range),
            None => {
                let headers = common.with("Content-Range", format!("bytes */{}", offer.size));
                return empty(416, "Range Not Satisfiable", headers);
            }
        },
        _ => None,
    };
    let bytes = range.clone().unwrap_or(0..offer.size);
    let mut headers = common
        .with("Content-Type", content_type(&offer.name))
        .with("Content-Disposition", format!("inline; filename*=UTF-8''{}", percent_encode(offer.name.as_bytes())))
        .with("Content-Length", (bytes.end - bytes.start).to_string());
    let (code, reason) = match range {
        Some(range) => {
            let said = ContentRange { first: range.start, last: range.end - 1, total: Some(offer.size) };
            headers.push("Content-Range", said.to_string());
            (206, "Partial Content")
        }
        None => (200, "OK"),
    };
    let body = (get && !bytes.is_empty()).then_some(bytes);
    Plan { head: response(code, reason, headers), body }
}

/// Whether `asked`, a name in a request, means the file called `name`: a client may have folded its case,
/// normalised it, or replaced what it could not write.
///
/// After a restart our numbers mean other files, so the name has to say the same.
pub fn same_name(name: &str, asked: &str) -> bool {
    fn letters(name: &str) -> String {
        name.nfkc().flat_map(char::to_lowercase).filter(|c| c.is_alphanumeric()).collect()
    }
    name == asked || letters(name) == letters(asked) && !letters(name).is_empty()
}

/// The upload slots: so many in all, and so many for each public address.
#[derive(Debug)]
pub struct Slots {
    total: usize,
    per_address: usize,
    taken: usize,
    by_address: BTreeMap<IpAddr, usize>,
}

impl Slots {
    /// All of them free.
    pub fn new(total: usize, per_address: usize) -> Self {
        Self { total, per_address, taken: 0, by_address: BTreeMap::new() }
    }

    /// Takes one, if there is one for that address. Every one that was taken must be given back.
    pub fn take(&mut self, from: IpAddr) -> bool {
        let from = from.to_canonical();
        let own = self.by_address.get(&from).copied().unwrap_or(0);
        if self.taken >= self.total || (own >= self.per_address && is_public(from)) {
            return false;
        }
        self.taken += 1;
        self.by_address.insert(from, own + 1);
        true
    }

    /// Gives one back.
    pub fn give_back(&mut self, from: IpAddr) {
        let from = from.to_canonical();
        if let Some(own) = self.by_address.get_mut(&from) {
            *own -= 1;
            self.taken -= 1;
            if *own == 0 {
                self.by_address.remove(&from);
            }
        }
    }

    /// Whether all of them are taken.
    pub fn are_taken(&self) -> bool {
        self.taken >= self.total
    }
}

fn headers(agent: &str) -> Headers {
    Headers::default().with("Server", agent)
}

fn content_urn(headers: Headers, offer: &Offer) -> Headers {
    match &offer.digests {
        Some(digests) => headers.with("X-Gnutella-Content-URN", format!("urn:sha1:{}", digests.sha1)),
        None => headers,
    }
}

fn response(code: u16, reason: &str, headers: Headers) -> Response {
    Response { code, reason: reason.to_owned(), version: (1, 1), headers }
}

fn empty(code: u16, reason: &str, headers: Headers) -> Plan {
    Plan { head: response(code, reason, headers.with("Content-Length", "0")), body: None }
}

/// By the extension: enough for browsers to show what they can.
fn content_type(name: &str) -> &'static str {
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase()).unwrap_or_default();
    match extension.as_str() {
        // Never text/html: a stranger's page would run in the browser under our address.
        "txt" | "md" | "log" | "csv" | "nfo" => "text/plain; charset=utf-8",
        "jpg" | "jpeg" => "image/jpeg",
        "png" => "image/png",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "mp3" => "audio/mpeg",
        "ogg" | "oga" | "opus" => "audio/ogg",
        "flac" => "audio/flac",
        "wav" => "audio/wav",
        "m4a" => "audio/mp4",
        "mp4" | "m4v" => "video/mp4",
        "webm" => "video/webm",
        "mkv" => "video/x-matroska",
        "pdf" => "application/pdf",
        "zip" => "application/zip",
        "gz" | "tgz" => "application/gzip",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer() -> Offer {
        Offer { name: "blue train.flac".into(), size: 1000, digests: Some(Digests::of(b"abc")) }
    }

    fn request(method: &str, version: (u8, u8), headers: &[(&str, &str)]) -> Request {
        let headers = Headers(headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect());
        Request { method: method.into(), target: "/get/1/blue%20train.flac".into(), version, headers }
    }

    #[test]
    fn a_whole_answer_reads_as_http_has_it() {
        let plan = plan(&request("GET", (1, 1), &[("Range", "bytes=990-")]), Found::Offer(&offer()), "filbert/0.1");
        let text = String::from_utf8(plan.head.encode()).expect("text");
        assert_eq!(
            text,
            "HTTP/1.1 206 Partial Content\r\n\
             Server: filbert/0.1\r\n\
             Accept-Ranges: bytes\r\n\
             X-Gnutella-Content-URN: urn:sha1:VGMT4NSHA2AWVOR6EVYXQUGCNSONBWE5\r\n\
             Content-Type: audio/flac\r\n\
             Content-Disposition: inline; filename*=UTF-8''blue%20train.flac\r\n\
             Content-Length: 10\r\n\
             Content-Range: bytes 990-999/1000\r\n\r\n"
        );
        assert_eq!(plan.body, Some(990..1000));
    }

    #[test]
    fn every_range_has_its_answer() {
        for (range, code, body, said) in [
            (None, 200, Some(0..1000), None),
            (Some("bytes=0-"), 206, Some(0..1000), Some("bytes 0-999/1000")),
            (Some("bytes=0-0"), 206, Some(0..1), Some("bytes 0-0/1000")),
            (Some("bytes=10-5000"), 206, Some(10..1000), Some("bytes 10-999/1000")),
            (Some("bytes=-1"), 206, Some(999..1000), Some("bytes 999-999/1000")),
            (Some("bytes=-5000"), 206, Some(0..1000), Some("bytes 0-999/1000")),
            (Some("bytes=1000-"), 416, None, Some("bytes */1000")),
            (Some("bytes=-0"), 416, None, Some("bytes */1000")),
            (Some("bytes=18446744073709551615-"), 416, None, Some("bytes */1000")),
            (Some("bytes=0-1,5-6"), 200, Some(0..1000), None),
            (Some("bytes=9-5"), 200, Some(0..1000), None),
            (Some("lines=1-2"), 200, Some(0..1000), None),
        ] {
            let headers: Vec<_> = range.map(|range| ("Range", range)).into_iter().collect();
            let plan = plan(&request("GET", (1, 1), &headers), Found::Offer(&offer()), "x");
            assert_eq!((plan.head.code, plan.body.clone()), (code, body), "{range:?}");
            assert_eq!(plan.head.headers.get("Content-Range"), said, "{range:?}");
            let length = plan.body.map_or(0, |body| body.end - body.start);
            assert_eq!(plan.head.content_length(), Some(length), "{range:?}");
        }
    }

    #[test]
    fn head_says_what_get_would_and_sends_nothing() {
        let with = |method| plan(&request(method, (1, 1), &[("Range", "bytes=5-9")]), Found::Offer(&offer()), "x");
        assert_eq!(with("HEAD").head, with("GET").head);
        assert_eq!((with("HEAD").body, with("GET").body), (None, Some(5..10)));
        assert_eq!(with("POST").head.code, 405);
        assert!(!with("POST").head.keep_alive());
    }

    #[test]
    fn an_empty_file_is_whole_in_any_range() {
        let empty = Offer { size: 0, ..offer() };
        let plan = plan(&request("GET", (1, 1), &[("Range", "bytes=0-")]), Found::Offer(&empty), "x");
        assert_eq!((plan.head.code, plan.head.content_length(), plan.body), (200, Some(0), None));
    }

    #[test]
    fn what_cannot_be_given_says_why_and_keeps_the_connection() {
        let get = request("GET", (1, 1), &[]);
        let busy = plan(&get, Found::Busy(&offer(), 20), "x");
        assert_eq!((busy.head.code, busy.head.headers.get("Retry-After")), (503, Some("20")));
        let missing = plan(&get, Found::Nothing, "x");
        assert_eq!((missing.head.code, missing.head.content_length()), (404, Some(0)));
        assert!(busy.head.keep_alive() && missing.head.keep_alive());
    }

    #[test]
    fn the_connection_stays_open_as_the_client_has_it() {
        for (version, header, kept) in [
            ((1, 1), None, true),
            ((1, 1), Some("close"), false),
            ((1, 0), None, false),
            ((1, 0), Some("keep-alive"), true),
        ] {
            let headers: Vec<_> = header.map(|value| ("Connection", value)).into_iter().collect();
            let head = plan(&request("GET", version, &headers), Found::Offer(&offer()), "x").head;
            let said = head.headers.get("Connection").map(str::to_ascii_lowercase);
            let expected = if kept { (version == (1, 0)).then_some("keep-alive") } else { Some("close") };
            assert_eq!(said.as_deref(), expected, "{version:?} {header:?}");
        }
    }

    #[test]
    fn names_are_compared_by_their_letters() {
        for (name, asked, same) in [
            ("Blue Train.flac", "blue_train.FLAC", true),
            ("Caf\u{e9}.ogg", "Cafe\u{301}.ogg", true),
            ("a.txt", "b.txt", false),
            ("a.txt", "", false),
            ("!!!", "!!!", true),
            ("!!!", "???", false),
        ] {
            assert_eq!(same_name(name, asked), same, "{name:?} {asked:?}");
        }
    }

    #[test]
    fn a_public_address_gets_two_slots_and_the_house_all_that_are_left() {
        let mut slots = Slots::new(4, 2);
        let [public, mapped, home] =
            ["8.8.8.8", "::ffff:8.8.8.8", "192.168.0.7"].map(|ip| ip.parse::<IpAddr>().expect(ip));
        assert_eq!([public, mapped, public].map(|ip| slots.take(ip)), [true, true, false]);
        assert_eq!([home, home, home].map(|ip| slots.take(ip)), [true, true, false]);
        assert!(slots.are_taken());
        slots.give_back(public);
        assert!(!slots.are_taken());
        assert!(slots.take(public));
    }
}
