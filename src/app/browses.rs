//! Browsing others: the list of all that a host shares, asked of the host itself (`doc/gnutella/browse_host`).
//!
//! What comes is a stranger's: `transfer::browse::Reader` and `net::fetch` bound it, and the session that lists it does.

use std::net::SocketAddr;

use super::{Error, ErrorCode};
use crate::net::fetch::{FetchConfig, Link};
use crate::net::rt;
use crate::transfer::browse::{self, MEDIA_TYPE, Reader};
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
    link: Link,
    reader: Reader,
}

/// Asks `host`, which is at the first of these addresses that answers, for its list. Returns when it begins.
pub(super) async fn open(host: &str, addrs: &[SocketAddr]) -> Result<Opened, Error> {
    let mut lost = None;
    for &addr in addrs {
        match Link::connect(addr, FetchConfig::default()).await {
            Ok(link) => return ask(host, addr, link).await,
            Err(error) => lost = Some(error),
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
    Ok(Opened { addr, link, reader: Reader::new(deflated) })
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
