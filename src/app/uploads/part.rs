//! Files under way as uploads: what our downloads have proven is given like a shared file, out of the same slots; and
//! whoever asks for a file, whole or in part, tells and is told who else has it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use super::slot::Slot;
use super::{Inner, plain};
use crate::app::downloads::Giving;
use crate::base;
use crate::library::{RootId, SharedFile, Stamp};
use crate::net::serve::{Answer, Body};
use crate::transfer::queue::Asker;
use crate::transfer::upload::{self, Found, Offer, Part, Speaks, tell_ranges};
use crate::wire::addr::{self, is_public};
use crate::wire::http::{Request, Target};
use crate::wire::{Sha1, Urn};

/// Downloads are numbered from here on among the files of the queue; no shared file has such a number.
const FIRST_NUMBER: u32 = 1 << 31;

impl Inner {
    /// The answer to a request for content that we are fetching; `None` when we are not.
    pub(super) fn part(self: &Arc<Self>, request: &Request, urn: &Urn, from: SocketAddr) -> Option<Answer> {
        let Giving { id, file, name, size, sha1, ranges, tree } = self.hooks.downloads.as_ref()?.giving(urn)?;
        let agent = &self.config.agent;
        let offer = Offer {
            name: name.clone(),
            size,
            digests: None,
            part: Some(Part { sha1, root: tree.map(|row| row.root()), ranges }),
        };
        let plan = upload::plan(request, Found::Offer(&offer), agent);
        let Some(body) = plan.body.clone() else { return Some(plain(plan)) };
        let index = FIRST_NUMBER | (id as u32 & (FIRST_NUMBER - 1));
        let stamp = Stamp { size, ..Stamp::default() };
        let shared = SharedFile { index, root: RootId(u32::MAX), path: PathBuf::new(), name, stamp, digests: None };
        let asker = Asker {
            from,
            file: index,
            size,
            bytes: body.end - body.start,
            id: upload::place_named(request),
            stays: Speaks::of(request).stays(),
        };
        match Slot::take(self, &Arc::new(shared), &asker, body.end == size, plan.head.keep_alive()) {
            Ok(slot) => {
                let sent = slot.counter();
                Some(Answer { head: plan.head, body: Body::File(file, body), sent, slot: Some(Box::new(slot)) })
            }
            Err(wait) => Some(plain(upload::plan(request, Found::Busy(&offer, &wait), agent))),
        }
    }

    /// Hears who else has the file that was asked for, and says whom we know and what we lately gave them. Nothing for
    /// what we do not have.
    pub(super) fn tell_others(&self, request: &Request, from: SocketAddr, answer: &mut Answer) {
        let (Some(downloads), Target::ByUrn(_) | Target::ByIndex(..)) = (&self.hooks.downloads, request.target())
        else {
            return;
        };
        let headers = &mut answer.head.headers;
        // What the answer says the content is: we have it, then.
        let said = headers.get("X-Gnutella-Content-URN").and_then(|urn| urn.parse::<Urn>().ok());
        let Some(sha1) = said.as_ref().and_then(Urn::sha1) else { return };
        let sha1: Sha1 = sha1;
        downloads.heard(&sha1, &request.headers, from.ip(), None);
        downloads.alternates().tell(&sha1, from, None, headers);
        // Who says where he listens gives on what he has.
        let node = request.headers.get("X-Node").and_then(addr::parse);
        let node = node.filter(|node| node.ip() == from.ip() || !is_public(from.ip()));
        let now = base::Instant::ZERO + self.began.elapsed();
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        tell_ranges("X-Given-Ranges", &given.others(now, &sha1, node), headers);
        if let (Some(node), Body::File(_, bytes)) = (node, &answer.body) {
            given.note(now, sha1, node, bytes.clone());
        }
    }
}
