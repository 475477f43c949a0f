//! The answer to a request for a file: a pure decision over what was found.
//!
//! "`Content-Length` on every file answer", "the whole rest of the file for an open-ended range (some clients
//! take a short 206 for the end of the file)". A request with several ranges, or with one that makes no sense,
//! gets the whole file, as RFC 9110 section 14.2 allows ("A server MAY ignore the Range header field"); no
//! client of the network asks for several. There is no path in here: a request names content or a number.

use std::ops::Range;

use unicode_normalization::UnicodeNormalization;

use super::queue::{Place, RETRY_FULL, Stays};
use crate::wire::head::Headers;
use crate::wire::http::{ContentRange, Request, Response, percent_encode};
use crate::wire::{AnyRoot, AnyRow, Digests, Guid, Sha1, blake3_tree, thex};

/// What a request turned out to mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The file's name.
    pub name: String,
    /// Its bytes.
    pub size: u64,
    /// Its content names, once hashed.
    pub digests: Option<Digests>,
    /// What there is of it, if that is not all.
    pub part: Option<Part>,
}

/// A file that we are fetching ourselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its hash.
    pub sha1: Sha1,
    /// The root of its tree, if we have one.
    pub root: Option<AnyRoot>,
    /// What may be given, in order.
    pub ranges: Vec<Range<u64>>,
}

/// Parts of a file under way that are told; of more the first ones.
const MAX_RANGES: usize = 256;
/// A client that asks for a part that is not there yet comes back after so many seconds.
const PART_LATER: u32 = 10;

/// ... and one that asks when there is nothing at all.
const NOTHING_YET: u32 = 3;

impl Part {
    /// What of `bytes` can be given: from their start on, as far as it is there.
    fn some_of(&self, bytes: &Range<u64>) -> Option<Range<u64>> {
        let here = self.ranges.iter().find(|range| range.contains(&bytes.start))?;
        Some(bytes.start..bytes.end.min(here.end))
    }

    /// "X-Available-Ranges: bytes 0-10, 20-30" (PFSP).
    fn tell(&self, headers: &mut Headers) {
        tell_ranges("X-Available-Ranges", &self.ranges, headers);
    }
}

/// `NAME: bytes 0-10,20-30`; nothing when there are none.
pub fn tell_ranges(name: &'static str, ranges: &[Range<u64>], headers: &mut Headers) {
    if ranges.is_empty() {
        return;
    }
    let ranges = ranges.iter().take(MAX_RANGES).map(|range| format!("{}-{}", range.start, range.end - 1));
    headers.push(name, format!("bytes {}", ranges.collect::<Vec<_>>().join(",")));
}

/// What stands in the way of giving it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// Nothing.
    Offer(&'a Offer),
    /// Nothing, but all slots are taken.
    Busy(&'a Offer, &'a Wait),
    /// We do not have it.
    Nothing,
}

/// What a client is told that has to wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Its place; `None` when there was none left.
    pub place: Option<Place>,
    /// Files that are sent at a time.
    pub limit: usize,
    /// Seconds until its turn, as far as that can be told.
    pub eta: Option<u64>,
}

/// What a client understands of queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// `Retry-After` at most.
    RetryAfter,
    /// Active queueing (LimeWire, Shareaza): it waits on its connection. "It is easy to tell": `X-Queue: 0.1`.
    Active,
    /// PARQ: "X-Queue: 1.0 ... indicates that the servent will understand the queueing protocol" (section 4).
    Parq,
}

impl Speaks {
    /// As the request says: `X-Queue`, `X-Queued`, or `queue` among its `X-Features`.
    pub fn of(request: &Request) -> Self {
        let headers = &request.headers;
        let feature = headers
            .get("X-Features")
            .and_then(|features| features.split(',').find_map(|feature| feature.trim().strip_prefix("queue/")));
        match headers.get("X-Queue").or(feature).map(str::trim) {
            _ if headers.get("X-Queued").is_some() => Self::Parq,
            Some(version) if version.starts_with("0.") => Self::Active,
            Some(version) if version.starts_with(|c: char| c.is_ascii_digit()) => Self::Parq,
            _ => Self::RetryAfter,
        }
    }

    /// What ends a place of such a client.
    pub fn stays(self) -> Stays {
        match self {
            Self::Active => Stays::Connected,
            Self::RetryAfter | Self::Parq => Stays::Anywhere,
        }
    }
}

/// The place that a request says it has: `X-Queued: position=2; ID=6a074979f3201edbf323b6425fef4a53`.
pub fn place_named(request: &Request) -> Option<Guid> {
    request.headers.get("X-Queued")?.split([';', ',']).find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("ID").then(|| value.trim().parse().ok())?
    })
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

/// What became of a request for a file's tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tree {
    /// The row that was asked for.
    Row(AnyRow),
    /// It is being computed, or too many ask: try again after so many seconds.
    Later(u32),
    /// We do not have the file, or no tree of it.
    Nothing,
}

/// The answer to a request for a tree: its head, and its body for `GET`.
///
/// "GET /uri-res/N2X?urn:..." (THEX), "GET /uri-res/N2B?urn:..." (our own): always the whole answer, which is small; a
/// `Range` is not looked at.
pub fn tree(request: &Request, found: Tree, agent: &str) -> (Response, Option<Vec<u8>>) {
    let get = wants_body(request);
    if let Some(plan) = refuse_method(request, agent) {
        return (plan.head, None);
    }
    let common = common(request, agent);
    let row = match found {
        Tree::Row(row) => row,
        Tree::Later(seconds) => {
            let headers = common.with("Retry-After", seconds.to_string());
            return (empty(503, "Busy: the tree is not ready", headers).head, None);
        }
        Tree::Nothing => return (empty(404, "Not Found", common).head, None),
    };
    let (kind, body) = match &row {
        AnyRow::Tiger(row) => (thex::MEDIA_TYPE, thex::encode(row)),
        AnyRow::Blake3(row) => (blake3_tree::MEDIA_TYPE, blake3_tree::encode(row)),
    };
    let headers = common.with("Content-Type", kind).with("Content-Length", body.len().to_string());
    (response(200, "OK", headers), get.then_some(body))
}

/// Decides the answer. `agent` is our `Server` header.
pub fn plan(request: &Request, found: Found<'_>, agent: &str) -> Plan {
    let get = wants_body(request);
    if let Some(plan) = refuse_method(request, agent) {
        return plan;
    }
    let common = common(request, agent);
    let offer = match found {
        Found::Offer(offer) => offer,
        Found::Busy(offer, wait) => {
            let (reason, headers) = queued(common, wait, Speaks::of(request));
            return empty(503, &reason, content_urns(headers, offer));
        }
        Found::Nothing => return empty(404, "Not Found", common),
    };
    let common = content_urns(common.with("Accept-Ranges", "bytes"), offer);
    if offer.part.as_ref().is_some_and(|part| part.ranges.is_empty()) {
        // "Not found" would be taken for the last word.
        let headers = common.with("Retry-After", NOTHING_YET.to_string());
        return empty(503, "Nothing of it is here yet", headers);
    }
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
    // A part of a file is never called the whole.
    let (range, bytes) = match &offer.part {
        None => (range, bytes),
        Some(part) => match part.some_of(&bytes) {
            Some(bytes) => (Some(bytes.clone()), bytes),
            None => {
                let headers = common.with("Retry-After", PART_LATER.to_string());
                return empty(416, "Requested range not available yet", headers);
            }
        },
    };
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

pub(super) fn refuse_method(request: &Request, agent: &str) -> Option<Plan> {
    if wants_body(request) || request.method.eq_ignore_ascii_case("HEAD") {
        return None;
    }
    // A body that we would not understand may follow it.
    let headers = headers(agent).with("Allow", "GET, HEAD").with("Connection", "close");
    Some(empty(405, "Method Not Allowed", headers))
}

/// What every answer to this request says.
pub(super) fn common(request: &Request, agent: &str) -> Headers {
    let mut common = headers(agent);
    match (request.keep_alive(), request.version >= (1, 1)) {
        (false, _) => common.push("Connection", "close"),
        (true, false) => common.push("Connection", "Keep-Alive"),
        (true, true) => {}
    }
    common
}

pub(super) fn headers(agent: &str) -> Headers {
    Headers::default().with("Server", agent)
}

/// "X-Gnutella-Content-URN" (HUGE, section 4), and where the trees are: "X-Thex-URI", a relative URI with an absolute path,
/// a semicolon, and the root of the tree without a prefix; and in the same form our own "X-Blake3-URI".
fn content_urns(headers: Headers, offer: &Offer) -> Headers {
    let mut headers = headers;
    if let Some(part) = &offer.part {
        part.tell(&mut headers);
    }
    let (sha1, roots) = match (&offer.digests, &offer.part) {
        (Some(digests), _) => {
            (digests.sha1, [Some(AnyRoot::Tiger(digests.tth)), Some(AnyRoot::Blake3(digests.blake3))])
        }
        (None, Some(part)) => (part.sha1, [part.root, None]),
        (None, None) => return headers,
    };
    let sha1 = format!("urn:sha1:{sha1}");
    headers.push("X-Gnutella-Content-URN", sha1.clone());
    for root in roots.into_iter().flatten() {
        match root {
            AnyRoot::Tiger(root) => headers.push("X-Thex-URI", format!("/uri-res/N2X?{sha1};{root}")),
            AnyRoot::Blake3(root) => headers.push("X-Blake3-URI", format!("/uri-res/N2B?{sha1};{root}")),
        }
    }
    headers
}

/// A place in the words that the client understands; `Retry-After` says the same to all.
fn queued(headers: Headers, wait: &Wait, speaks: Speaks) -> (String, Headers) {
    let Some(place) = &wait.place else {
        let headers = headers.with("Retry-After", RETRY_FULL.as_secs().to_string());
        return ("Busy: all upload slots are taken and the queue is full".to_owned(), headers);
    };
    let Place { position, length, .. } = place;
    let (retry, lifetime) = (place.retry.as_secs(), place.lifetime.as_secs());
    let headers = headers.with("Retry-After", retry.to_string());
    let headers = match speaks {
        Speaks::RetryAfter => headers,
        Speaks::Active => {
            let limit = wait.limit;
            let said = format!("position={position},length={length},limit={limit},pollMin={retry},pollMax={lifetime}");
            headers.with("X-Queue", said)
        }
        Speaks::Parq => {
            let eta = wait.eta.map(|eta| format!(" ETA={eta};")).unwrap_or_default();
            let said = format!("position={position}; length={length};{eta} lifetime={lifetime}; ID={}", place.id);
            headers.with("X-Queued", said)
        }
    };
    let reason = match place.own_cap {
        true => format!("Queued: place {position} of {length}; your address gets as many files as it may"),
        false => format!("Queued: place {position} of {length}"),
    };
    (reason, headers)
}

pub(super) fn response(code: u16, reason: &str, headers: Headers) -> Response {
    Response { code, reason: reason.to_owned(), version: (1, 1), headers }
}

pub(super) fn empty(code: u16, reason: &str, headers: Headers) -> Plan {
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
    use std::time::Duration;

    use super::*;
    use crate::wire::{Blake3Tree, TigerTree};

    fn offer() -> Offer {
        Offer { name: "blue train.flac".into(), size: 1000, digests: Some(Digests::of(b"abc")), part: None }
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
             X-Thex-URI: /uri-res/N2X?urn:sha1:VGMT4NSHA2AWVOR6EVYXQUGCNSONBWE5;ASD4UJSEH5M47PDYB46KBTSQTSGDKLBHYXOMUIA\r\n\
             X-Blake3-URI: /uri-res/N2B?urn:sha1:VGMT4NSHA2AWVOR6EVYXQUGCNSONBWE5;6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85\r\n\
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
    fn of_a_file_under_way_what_is_there_is_given_and_told() {
        let part = Part { sha1: Sha1([0; 20]), root: None, ranges: vec![100..200, 300..1000] };
        let part = Offer { digests: None, part: Some(part), ..offer() };
        for (range, code, body) in [
            (Some("bytes=100-149"), 206, Some(100..150)),
            (Some("bytes=150-"), 206, Some(150..200)),
            (Some("bytes=-10"), 206, Some(990..1000)),
            (Some("bytes=0-500"), 416, None),
            (Some("bytes=200-"), 416, None),
            (Some("bytes=1000-"), 416, None),
            (None, 416, None),
        ] {
            let headers: Vec<_> = range.map(|range| ("Range", range)).into_iter().collect();
            let plan = plan(&request("GET", (1, 1), &headers), Found::Offer(&part), "x");
            assert_eq!((plan.head.code, plan.body.clone()), (code, body.clone()), "{range:?}");
            assert_eq!(plan.head.headers.get("X-Available-Ranges"), Some("bytes 100-199,300-999"), "{range:?}");
            assert_eq!(plan.head.headers.get("X-Thex-URI"), None);
            let said = body.map(|body| format!("bytes {}-{}/1000", body.start, body.end - 1));
            let said = said.or((range == Some("bytes=1000-")).then(|| "bytes */1000".to_owned()));
            assert_eq!(plan.head.headers.get("Content-Range").map(str::to_owned), said, "{range:?}");
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
    fn a_tree_is_given_whole_or_with_a_reason() {
        let bytes: Vec<u8> = (0..3000_u32).map(|i| i as u8).collect();
        let mut hash = TigerTree::new();
        hash.update(&bytes);
        let row = hash.finish_row();
        let ask = |method, found| tree(&request(method, (1, 1), &[("Range", "bytes=0-0")]), found, "x");
        let (head, body) = ask("GET", Tree::Row(AnyRow::Tiger(row.clone().into())));
        let body = body.expect("a body");
        assert_eq!((head.code, head.content_length()), (200, Some(body.len() as u64)));
        assert_eq!(head.headers.get("Content-Type"), Some("application/dime"));
        assert_eq!(thex::decode(&body, 3000, &row.root()), Ok(row.clone()));
        assert_eq!(ask("HEAD", Tree::Row(AnyRow::Tiger(row.into()))), (head, None));
        let mut hash = Blake3Tree::new();
        hash.update(&bytes);
        let row = hash.finish_row();
        let (head, body) = ask("GET", Tree::Row(AnyRow::Blake3(row.clone().into())));
        assert_eq!(head.headers.get("Content-Type"), Some("application/x-filbert-blake3-row"));
        assert_eq!(blake3_tree::decode(&body.expect("a body"), 3000, &row.root()), Ok(row));
        let (head, body) = ask("GET", Tree::Later(5));
        assert_eq!((head.code, head.headers.get("Retry-After"), body), (503, Some("5"), None));
        assert_eq!((ask("GET", Tree::Nothing).0.code, ask("POST", Tree::Nothing).0.code), (404, 405));
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
        let busy = plan(&get, Found::Busy(&offer(), &Wait { place: None, limit: 16, eta: None }), "x");
        assert_eq!((busy.head.code, busy.head.headers.get("Retry-After")), (503, Some("60")));
        assert_eq!(busy.head.headers.get("X-Queued"), None);
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
    fn each_client_hears_its_place_in_the_words_it_knows() {
        let place = Place {
            id: "6a074979f3201edbf323b6425fef4a53".parse().expect("a GUID"),
            position: 3,
            length: 12,
            bytes_ahead: 0,
            retry: Duration::from_secs(15),
            lifetime: Duration::from_secs(35),
            own_cap: false,
        };
        let wait = Wait { place: Some(place), limit: 16, eta: Some(70) };
        let active = "position=3,length=12,limit=16,pollMin=15,pollMax=35";
        let parq = "position=3; length=12; ETA=70; lifetime=35; ID=6a074979f3201edbf323b6425fef4a53";
        for (asked, queue, queued) in [
            (&[][..], None, None),
            (&[("X-Queue", "0.1")], Some(active), None),
            (&[("X-Features", "fwalt/0.1, queue/0.1")], Some(active), None),
            (&[("X-Queue", "1.1")], None, Some(parq)),
            (&[("X-Features", "browse/1.0,queue/1.0")], None, Some(parq)),
            (&[("X-Queued", "ID=6a074979f3201edbf323b6425fef4a53")], None, Some(parq)),
            (&[("X-Queue", "nonsense")], None, None),
        ] {
            let head = plan(&request("GET", (1, 1), asked), Found::Busy(&offer(), &wait), "x").head;
            assert_eq!((head.code, &*head.reason), (503, "Queued: place 3 of 12"), "{asked:?}");
            assert_eq!(head.headers.get("Retry-After"), Some("15"), "{asked:?}");
            assert_eq!((head.headers.get("X-Queue"), head.headers.get("X-Queued")), (queue, queued), "{asked:?}");
            assert!(head.keep_alive(), "{asked:?}");
        }
    }

    #[test]
    fn the_name_of_a_place_is_found_as_clients_write_it() {
        let id: Guid = "6a074979f3201edbf323b6425fef4a53".parse().expect("a GUID");
        for (said, named) in [
            ("position=53; ID=6a074979f3201edbf323b6425fef4a53", Some(id)),
            ("id=6A074979F3201EDBF323B6425FEF4A53;position=2", Some(id)),
            ("position=1,ID = 6a074979f3201edbf323b6425fef4a53", Some(id)),
            ("position=1", None),
            ("ID=", None),
            ("ID=zz", None),
        ] {
            assert_eq!(place_named(&request("GET", (1, 1), &[("X-Queued", said)])), named, "{said}");
        }
    }
}
