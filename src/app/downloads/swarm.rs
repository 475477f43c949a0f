//! Downloads as sources: what of a file under way others may have, who else has it, and where we are.

use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use super::{Downloads, Inner};
use crate::app::alternates::Alternates;
use crate::transfer::{Ask, Expected, Source, State};
use crate::wire::head::Headers;
use crate::wire::{AnyRow, Sha1, Urn};

/// Sources that others named are taken while a download has fewer than this.
const ROOM_FOR_HEARD: usize = 48;

/// A finished file is given for so long to those who fetch it with us, unless somebody changes or removes it.
const AFTERWARDS: Duration = Duration::from_secs(900);
/// ... so many of them.
const FINISHED: usize = 16;

/// A file under way, for others.
#[derive(Clone, Debug)]
pub struct Giving {
    /// The download's number.
    pub id: u64,
    /// To read from.
    pub file: Arc<File>,
    /// The name that it will have.
    pub name: String,
    /// Bytes of the whole.
    pub size: u64,
    /// Its hash.
    pub sha1: Sha1,
    /// What may be given of it.
    pub ranges: Vec<Range<u64>>,
    /// Its tree, if we have that.
    pub tree: Option<AnyRow>,
}

impl Downloads {
    /// The download of that content, if others may have something of it, or might soon.
    pub fn giving(&self, urn: &Urn) -> Option<Giving> {
        if !self.inner().config.give {
            return None;
        }
        let wanted = Expected::of_urn(urn);
        self.inner().of(&wanted).into_iter().find_map(|live| {
            let reader = live.reader()?;
            let guard = live.lock();
            let machine = guard.machine()?;
            let expected = *machine.expected();
            if !expected.same_content(&wanted) || machine.state() == State::Paused {
                return None;
            }
            let ranges = match machine.state() {
                State::Done if reader.age()? <= AFTERWARDS => std::iter::once(0..machine.size()?).collect(),
                state if state.is_over() => return None,
                _ => machine.offered(),
            };
            Some(Giving {
                id: live.id,
                file: reader.file()?,
                name: guard.record.name.clone(),
                size: machine.size()?,
                sha1: expected.sha1?,
                ranges,
                tree: machine.tree().cloned(),
            })
        })
    }

    /// Blocks and whole files, so far, that were not what they should be.
    pub fn verify_fails(&self) -> u64 {
        self.inner().verify_fails.load(SeqCst)
    }

    /// Who has which content.
    pub fn alternates(&self) -> &Arc<Alternates> {
        &self.inner().alternates
    }

    /// The head of somebody at `from` may name others that have `content`: they are remembered, and sources of a download
    /// of it. `local` is our end of the connection.
    pub fn heard(&self, content: &Sha1, headers: &Headers, from: IpAddr, local: Option<IpAddr>) {
        self.inner().heard(content, headers, from, local);
    }
}

impl Inner {
    /// One more finished file is given; of the others the oldest are given no more.
    pub(super) fn gives(&self, id: u64) {
        self.table().given.push_back(id);
        loop {
            let (oldest, given) = {
                let table = self.table();
                (table.given.front().and_then(|id| table.find(*id)), table.given.len())
            };
            let age = oldest.as_ref().and_then(|live| live.reader()).and_then(|reader| reader.age());
            if given <= FINISHED && age.is_none_or(|age| age <= AFTERWARDS) {
                return;
            }
            self.table().given.pop_front();
            // It may have begun again since: then what is read is its partial file.
            if let Some(live) = oldest.filter(|_| age.is_some()) {
                live.reads(None);
            }
        }
    }

    pub(super) fn heard(&self, content: &Sha1, headers: &Headers, from: IpAddr, local: Option<IpAddr>) {
        let us = (self.hooks.us)(local);
        let has = self.alternates.hear(content, headers, from);
        if has.is_empty() {
            return;
        }
        let expected = Expected { sha1: Some(*content), ..Expected::default() };
        for live in self.of(&expected) {
            let fresh: Vec<SocketAddr> = {
                let guard = live.lock();
                let Some(machine) = guard.machine() else { continue };
                if machine.state().is_over() || !machine.expected().same_content(&expected) {
                    continue;
                }
                let known: Vec<(SocketAddr, &str)> = machine.report().map(|it| (it.source.addr, it.state)).collect();
                let room = ROOM_FOR_HEARD.saturating_sub(known.len());
                // Of one that had nothing it is news only when it says so itself.
                let is_news = |addr: &SocketAddr| match known.iter().find(|(source, _)| source == addr) {
                    Some((_, state)) => *state == "gone" && addr.ip() == from,
                    None => true,
                };
                has.iter().filter(|addr| Some(**addr) != us && is_news(addr)).take(room).copied().collect()
            };
            for addr in fresh {
                // Not found anew by the network, but told of: it is no reason to ask one again that failed.
                live.add_source(Source::new(addr, Ask::Urn(Urn::Sha1(*content))));
            }
        }
    }
}
