//! Browsing others: the list of all that a host shares, asked of the host itself (`doc/gnutella/browse_host`).
//!
//! A host that cannot be connected to is asked to connect to us, if a hit of its told how (its servent GUID, its push proxies):
//! the list is then asked for on that connection.
//!
//! What comes is a stranger's: `transfer::browse::Reader` and `net::fetch` bound it, and the session that lists it does.

use std::net::SocketAddr;
use std::sync::Arc;

use super::pushes::Pushes;
use super::view::HitView;
use super::{Error, ErrorCode};
use crate::net::fetch::{FetchConfig, Link};
use crate::net::rt;
use crate::transfer::browse::{self, MEDIA_TYPE, Reader};
use crate::transfer::{Ask, Lost, MAX_PROXIES, Reach, Source};
use crate::wire::addr::is_public;
use crate::wire::hit::QueryHit;
use crate::wire::http::Response;

/// Bytes of a body that are read at a time.
const PIECE: usize = 16 * 1024;
/// Characters kept of the reason that a host gives.
const WORDS_KEPT: usize = 120;

/// A list that begins.
pub(super) struct Opened {
    /// Whose it is.
    pub(super) addr: SocketAddr,
    /// How it was had connect to us, if it was.
    pub(super) pushed: Option<Pushed>,
    link: Link,
    reader: Reader,
}

/// How files of a host that has to connect to us are fetched.
#[derive(Clone, Debug)]
pub(super) struct Pushed {
    /// Its servent GUID, hex.
    pub(super) servent: String,
    /// Who passes a Push on to it.
    pub(super) proxies: Vec<String>,
}

/// A Push names a file; this number "is used to request any file" by a widely used client, and names none.
const NO_FILE: u32 = 0;

/// Asks `host`, which is at the first of these addresses that answers, for its list. Where a hit of its is known, it is
/// asked to connect to us if it said that it cannot be connected to, or turns out so. Returns when the list begins.
pub(super) async fn open(
    host: &str,
    addrs: &[SocketAddr],
    known: Option<&HitView>,
    pushes: &Arc<Pushes>,
) -> Result<Opened, Error> {
    let source = known.and_then(source_of);
    let mut lost = None;
    if source.as_ref().is_none_or(|source| source.reach == Reach::Direct) {
        for &addr in addrs {
            match Link::connect(addr, FetchConfig::default()).await {
                Ok(link) => return ask(host, addr, link).await,
                Err(error) => lost = Some(error),
            }
        }
    }
    // Within a site a refusal means what it says.
    let nobody_there = |source: &Source| lost == Some(Lost::Refused) && !is_public(source.addr.ip());
    if let (Some(source), Some(known)) = (source.filter(|source| !nobody_there(source)), known) {
        let (addr, source_view) = (source.addr, &known.source);
        match Arc::clone(pushes).ask(source).await {
            Ok(link) => {
                let (servent, proxies) = (source_view.servent.clone(), source_view.proxies.clone());
                let opened = ask(host, addr, link).await?;
                return Ok(Opened { pushed: Some(Pushed { servent, proxies }), ..opened });
            }
            // Of one that may be connected to at other times, why it could not says more.
            Err(error) => lost = lost.or(Some(error)),
        }
    }
    let why = lost.map(|error| error.to_string()).unwrap_or_default();
    Err(failed(host, &format!("it {why}"))
        .hint("Check the address and its port; is filbert, or another servent, up there?"))
}

async fn ask(host: &str, addr: SocketAddr, mut link: Link) -> Result<Opened, Error> {
    let agent = concat!("filbert/", env!("CARGO_PKG_VERSION"));
    let request = browse::request(&addr.to_string(), agent);
    let head = link.ask(&request).await.map_err(|lost| failed(host, &format!("it {lost}")))?;
    if head.code != 200 {
        return Err(refused(host, &head));
    }
    let kind = head.headers.get("Content-Type").and_then(|kind| kind.split(';').next()).unwrap_or_default();
    if !kind.trim().eq_ignore_ascii_case(MEDIA_TYPE) {
        return Err(failed(host, "it has its list only as a page for browsers, or none")
            .hint(format!("Open http://{addr}/ in a browser")));
    }
    let coding = head.headers.get("Content-Encoding").map(str::trim).unwrap_or("identity");
    let deflated = coding.eq_ignore_ascii_case("deflate");
    if !deflated && !coding.eq_ignore_ascii_case("identity") {
        return Err(failed(host, &format!("it packs its list in a way that was not asked for ({})", words(coding))));
    }
    Ok(Opened { addr, pushed: None, link, reader: Reader::new(deflated) })
}

impl Opened {
    /// Reads the list to its end, or as long as `each` wants more of it. An error is in words that follow "it".
    pub(super) async fn read(mut self, mut each: impl FnMut(&QueryHit) -> bool) -> Result<(), String> {
        let mut piece = vec![0; PIECE];
        loop {
            let read = self.link.read(&mut piece).await.map_err(|lost| lost.to_string())?;
            if read == 0 {
                return self.reader.end();
            }
            let mut wanted = true;
            self.reader.push(&piece[..read], |hit| wanted = wanted && each(&hit))?;
            if !wanted {
                return Ok(());
            }
            // A fast host is always ready: others have their turn all the same.
            rt::yield_now().await;
        }
    }
}

/// How to have the source of a hit connect to us.
fn source_of(hit: &HitView) -> Option<Source> {
    let addr = hit.source.addr.parse().ok()?;
    let servent = hit.source.servent.parse().ok()?;
    let reach = if hit.source.push { Reach::Push } else { Reach::Direct };
    let proxies = hit.source.proxies.iter().take(MAX_PROXIES).filter_map(|addr| addr.parse().ok()).collect();
    let source = Source::new(addr, Ask::Target("/".to_owned()));
    Some(Source { servent: Some(servent), reach, index: NO_FILE, proxies, ..source })
}

fn failed(host: &str, why: &str) -> Error {
    Error::new(ErrorCode::Failed, format!("cannot browse {host}: {why}"))
}

fn refused(host: &str, head: &Response) -> Error {
    let said = format!("cannot browse {host}: it answered {} {}", head.code, words(&head.reason));
    let hint = match head.code {
        503 => "Try again in a minute",
        _ => "It does not show its list; search for what you want instead",
    };
    Error::new(ErrorCode::Refused, said.trim_end()).hint(hint)
}

/// What a host says, harmless.
fn words(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(WORDS_KEPT).collect()
}
