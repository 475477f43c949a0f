//! Browse Host: all that a servent shares, for who asks `GET /` (`doc/gnutella/browse_host`).
//!
//! "Accept: application/x-gnutella-packets" gets query hits, as real clients send them: GUID zero, TTL 1, hops 0. Who
//! does not ask for those is a browser and gets a page. Both are made piece by piece, chunked for HTTP/1.1 and up to
//! the end of the connection for HTTP/1.0, so that the length of the list costs no memory; deflated (zlib) when
//! "Accept-Encoding" says so.

mod list;
mod page;
mod read;

pub use list::{List, Row, Totals};
pub use read::Reader;

use super::upload;
use crate::wire::Guid;
use crate::wire::head::Headers;
use crate::wire::hit::QueryHit;
use crate::wire::http::{Request, Response, Target};

/// What query hits are called in HTTP.
pub const MEDIA_TYPE: &str = "application/x-gnutella-packets";

/// Seconds after which who finds that too many browse comes back.
const LATER: u32 = 10;

/// What stands in the way of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The user does not want it.
    Off,
    /// Too many browse now.
    Busy,
}

/// The request for a list: query hits, deflated if they may be.
pub fn request(host: &str, agent: &str) -> Request {
    let headers = Headers::default()
        .with("Host", host)
        .with("User-Agent", agent)
        .with("Accept", MEDIA_TYPE)
        .with("Accept-Encoding", "deflate")
        .with("Connection", "close");
    Request { method: "GET".to_owned(), target: Target::Browse.to_string(), version: (1, 1), headers }
}

/// The answer when there is no list; with [`Refusal::Off`] also for methods that there are none for.
pub fn refuse(request: &Request, why: Refusal, agent: &str) -> Response {
    if let Some(plan) = upload::refuse_method(request, agent) {
        return plan.head;
    }
    let common = upload::common(request, agent);
    match why {
        Refusal::Off => upload::empty(403, "Browsing is turned off here", common).head,
        Refusal::Busy => {
            let headers = common.with("Retry-After", LATER.to_string());
            upload::empty(503, "Busy: too many browse at a time", headers).head
        }
    }
}

/// The head of the answer, and the list that follows it for `GET`. `hit` is what all hits of ours say besides their
/// entries; `nonce` is fresh chance, by which the page knows its own style.
pub fn answer(request: &Request, hit: QueryHit, nonce: Guid, agent: &str) -> (Response, Option<List>) {
    if let Some(plan) = upload::refuse_method(request, agent) {
        return (plan.head, None);
    }
    let as_hits = accepts(&request.headers, "Accept", MEDIA_TYPE);
    let deflated = accepts(&request.headers, "Accept-Encoding", "deflate");
    let chunked = request.version >= (1, 1);
    let mut headers = upload::common(request, agent);
    if !chunked && request.keep_alive() {
        // Only its end tells where the list ends.
        headers = upload::headers(agent).with("Connection", "close");
    }
    headers.push("Vary", "Accept, Accept-Encoding");
    if as_hits {
        headers.push("Content-Type", MEDIA_TYPE);
    } else {
        headers.push("Content-Type", "text/html; charset=utf-8");
        headers.push("Content-Security-Policy", page::policy(nonce));
        headers.push("X-Content-Type-Options", "nosniff");
        headers.push("Referrer-Policy", "no-referrer");
    }
    if deflated {
        headers.push("Content-Encoding", "deflate");
    }
    if chunked {
        headers.push("Transfer-Encoding", "chunked");
    }
    let list = upload::wants_body(request).then(|| match as_hits {
        true => List::of_hits(hit, chunked, deflated),
        false => List::page(agent, nonce, chunked, deflated),
    });
    (upload::response(200, "OK", headers), list)
}

/// Whether the comma-separated header `name` holds `wanted`, and not with "q=0" (RFC 9110 section 12.4.2).
fn accepts(headers: &Headers, name: &str, wanted: &str) -> bool {
    headers.items(name).any(|item| {
        let mut parts = item.split(';').map(str::trim);
        let is = parts.next().is_some_and(|what| what.eq_ignore_ascii_case(wanted));
        let never = parts.any(|part| {
            let weight = part.split_once('=').filter(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
            weight.is_some_and(|(_, value)| value.trim().parse() == Ok(0.0))
        });
        is && !never
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::head::RawHead;
    use crate::wire::hit::Qhd;

    fn ask(text: &str) -> Request {
        let bytes = text.replace('\n', "\r\n") + "\r\n\r\n";
        let (head, _) = RawHead::decode(bytes.as_bytes(), 1 << 14).expect("a head").expect("whole");
        Request::parse(head).expect("a request")
    }

    fn hit() -> QueryHit {
        let addr = "10.0.0.1:6346".parse().expect("an address");
        QueryHit::new(addr, 0, Vec::new(), Qhd::new(*b"FLBT", false, false), Guid([3; 16]))
    }

    #[test]
    fn the_request_says_what_form_the_list_has() {
        const HITS: &str = "Accept: text/html;q=0.3, Application/X-Gnutella-Packets; q=1";
        for (text, kind, encoding, chunked, stays) in [
            ("GET / HTTP/1.1", "text/html; charset=utf-8", None, true, true),
            ("GET / HTTP/1.0", "text/html; charset=utf-8", None, false, false),
            ("GET / HTTP/1.0\nConnection: Keep-Alive", "text/html; charset=utf-8", None, false, false),
            (&format!("GET / HTTP/1.1\n{HITS}"), MEDIA_TYPE, None, true, true),
            (
                &format!("GET / HTTP/1.1\n{HITS}\nAccept-Encoding: gzip, deflate"),
                MEDIA_TYPE,
                Some("deflate"),
                true,
                true,
            ),
            (&format!("GET / HTTP/1.1\n{HITS}\nAccept-Encoding: deflate;q=0"), MEDIA_TYPE, None, true, true),
        ] {
            let (head, list) = answer(&ask(text), hit(), Guid([1; 16]), "filbert");
            assert_eq!((head.code, list.is_some()), (200, true), "{text}");
            assert_eq!(head.headers.get("Content-Type"), Some(kind), "{text}");
            assert_eq!(head.headers.get("Content-Encoding"), encoding, "{text}");
            assert_eq!((head.is_chunked(), head.keep_alive()), (chunked, stays), "{text}");
            assert_eq!(head.content_length(), None);
        }
    }

    #[test]
    fn head_gets_the_head_and_other_methods_and_refusals_are_told() {
        let (head, list) = answer(&ask("HEAD / HTTP/1.1"), hit(), Guid([1; 16]), "filbert");
        assert_eq!((head.code, list.is_none()), (200, true));
        let (head, list) = answer(&ask("POST / HTTP/1.1"), hit(), Guid([1; 16]), "filbert");
        assert_eq!((head.code, list.is_none()), (405, true));
        for (why, code) in [(Refusal::Off, 403), (Refusal::Busy, 503)] {
            let head = refuse(&ask("GET / HTTP/1.1"), why, "filbert");
            assert_eq!((head.code, head.content_length()), (code, Some(0)));
        }
    }
}
