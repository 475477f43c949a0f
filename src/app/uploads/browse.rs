//! The list of all that we share, for who asks for it: made while it is sent, so that it costs the same for ten files
//! and for a million. It takes no upload slot, but few are sent at a time.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::{Inner, plain_head};
use crate::base::Rng;
use crate::library::Listed;
use crate::net::serve::{Answer, Body, Pieces};
use crate::transfer::browse::{self, List, Refusal, Row, Totals};
use crate::wire::Guid;
use crate::wire::addr::{is_public, subnet};
use crate::wire::hit::QueryHit;
use crate::wire::http::Request;

/// Lists that are sent at a time: each may hold a compressor of 270 KB.
const AT_ONCE: usize = 16;
/// ... to one public address (IPv6: one /64).
const PER_ADDRESS: usize = 2;
/// Files that are looked at in one go, while nobody may change the library: one piece of what is sent.
const ROWS: usize = 64;

/// Hands out so many files from a place on, as [`crate::library::Library::list`] does.
pub type ListFiles = dyn Fn(u32, usize, &mut dyn FnMut(Listed<'_>)) -> Option<u32> + Send + Sync;

/// What a list needs of the rest of the servent.
pub struct BrowseHooks {
    /// The files.
    pub list: Box<ListFiles>,
    /// How many they are.
    pub totals: Box<dyn Fn() -> Totals + Send + Sync>,
    /// What all hits of ours say besides their entries.
    pub hit: Box<dyn Fn() -> QueryHit + Send + Sync>,
}

/// Who gets a list now.
pub(super) struct Browsers {
    by: BTreeMap<IpAddr, usize>,
    rng: Rng,
}

impl Browsers {
    pub(super) fn new(rng: Rng) -> Self {
        Self { by: BTreeMap::new(), rng }
    }

    /// Fresh chance for one more list to `who`, if there may be one.
    fn enter(&mut self, who: IpAddr) -> Option<Guid> {
        let own = self.by.get(&who).copied().unwrap_or(0);
        if self.by.values().sum::<usize>() >= AT_ONCE || (is_public(who) && own >= PER_ADDRESS) {
            return None;
        }
        self.by.insert(who, own + 1);
        Some(Guid::random(&mut self.rng))
    }

    fn leave(&mut self, who: IpAddr) {
        if let Some(own) = self.by.get_mut(&who) {
            *own -= 1;
            if *own == 0 {
                self.by.remove(&who);
            }
        }
    }
}

impl Inner {
    /// The answer to a request for the list.
    pub(super) fn browse(self: &Arc<Self>, request: &Request, from: SocketAddr) -> Answer {
        let agent = &self.config.agent;
        let Some(hooks) = &self.hooks.browse else {
            return plain_head(browse::refuse(request, Refusal::Off, agent));
        };
        let Some((held, nonce)) = Held::take(self, subnet(from.ip())) else {
            return plain_head(browse::refuse(request, Refusal::Busy, agent));
        };
        let (head, list) = browse::answer(request, (hooks.hit)(), nonce, agent);
        let Some(list) = list else { return plain_head(head) };
        let sending = Sending { inner: Arc::clone(self), list, at: At::Start };
        Answer { head, body: Body::Pieces(Box::new(sending)), sent: Arc::default(), slot: Some(Box::new(held)) }
    }
}

/// One of those that are under way.
struct Held {
    inner: Arc<Inner>,
    who: IpAddr,
}

impl Held {
    fn take(inner: &Arc<Inner>, who: IpAddr) -> Option<(Self, Guid)> {
        let nonce = inner.table().browsers.enter(who)?;
        Some((Self { inner: Arc::clone(inner), who }, nonce))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.inner.table().browsers.leave(self.who);
    }
}

/// A list that is being sent.
struct Sending {
    inner: Arc<Inner>,
    list: List,
    at: At,
}

enum At {
    Start,
    /// The place of the next file.
    Rows(u32),
    Foot,
    End,
}

impl Pieces for Sending {
    fn next(&mut self, out: &mut Vec<u8>) {
        let Some(hooks) = &self.inner.hooks.browse else { return };
        // A piece may turn out empty (hits have no head); only the last one may be sent so.
        while out.is_empty() {
            match self.at {
                At::Start => {
                    self.list.begin((hooks.totals)(), out);
                    self.at = At::Rows(0);
                }
                At::Rows(from) => {
                    let mut rows = Vec::with_capacity(ROWS);
                    let next = (hooks.list)(from, ROWS, &mut |file| {
                        let (name, digests) = (file.name.to_owned(), file.digests.copied());
                        rows.push(Row { index: file.index, name, folder: file.folder(), size: file.size, digests });
                    });
                    self.at = next.map_or(At::Foot, At::Rows);
                    self.list.rows(&rows, out);
                }
                At::Foot => {
                    self.list.end(out);
                    self.at = At::End;
                }
                At::End => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_bounded_in_all_and_for_each_public_address() {
        let mut browsers = Browsers::new(Rng::from_number(1));
        let ip = |n: u8| IpAddr::from([n, 1, 1, 1]);
        assert_eq!((0..5).filter(|_| browsers.enter(ip(80)).is_some()).count(), PER_ADDRESS);
        // 10.1.1.1 is not public.
        let given = (0..50).filter(|_| browsers.enter(ip(10)).is_some()).count();
        assert_eq!(given, AT_ONCE - PER_ADDRESS);
        assert!(browsers.enter(ip(81)).is_none(), "all are taken");
        browsers.leave(ip(80));
        assert!(browsers.enter(ip(81)).is_some());
        browsers.leave(ip(80));
        browsers.leave(ip(81));
        (0..given).for_each(|_| browsers.leave(ip(10)));
        assert!(browsers.by.is_empty());
    }
}
