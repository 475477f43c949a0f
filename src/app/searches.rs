//! Searches: what was asked, the hits that came, and when it is over.
//!
//! A hit counts when it matches what was asked (peers match loosely, some send anything), is not our own, and
//! was not listed before. Hits are numbered from 1 in the order in which they came; the numbers of the latest
//! search are kept in the state, so that `get 3` means the same after a restart. Names are kept as they came:
//! who shows them or saves under them makes them harmless.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use futures::StreamExt;
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

use super::browses::Opened;
use super::events::BoxStream;
use super::events::{Bell, lock};
use super::list::List;
use super::session::{Session, same_urn};
use super::view::{HitView, SearchLine, SearchView};
use super::{Error, ErrorCode, SearchRequest};
use crate::disk::state::StateFile;
use crate::library::Criteria;
use crate::net::{Handle, rt};
use crate::proto::{Command, SearchId};
use crate::transfer::{Ask, Expected, Reach, Source};
use crate::wire::hit::{Entry, QueryHit};
use crate::wire::query::Query;
use crate::wire::{Guid, Urn};

/// Searches that are remembered; the oldest ended one is forgotten first.
const MAX_SEARCHES: usize = 64;
/// Hits in all that are remembered; above it the oldest ended searches are forgotten when a new one begins.
const MAX_HITS_IN_ALL: usize = 50_000;
/// Queries for content on behalf of downloads that still take hits.
const MAX_REQUERIES: usize = 128;
/// Queries that one search with alternatives sends.
const MAX_TEXTS: usize = 8;

/// All searches of a servent.
#[derive(Debug)]
pub(super) struct Searches {
    own: Guid,
    handle: Handle,
    file: StateFile,
    table: Mutex<Table>,
    bell: Bell,
}

#[derive(Debug, Default)]
struct Table {
    /// The number of the last query that we gave to the servent.
    asked: u64,
    /// Whom the hits of a query are for.
    routes: BTreeMap<SearchId, For>,
    sessions: BTreeMap<u64, Session>,
    /// The hits that numbers mean.
    latest: Latest,
}

#[derive(Clone, Debug)]
enum For {
    Session(u64),
    Content(Urn),
}

#[derive(Debug)]
enum Latest {
    Session(u64),
    Kept(List),
}

impl Default for Latest {
    fn default() -> Self {
        Self::Kept(List::default())
    }
}

/// What is kept of the latest search.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    query: String,
    hits: Vec<HitView>,
}

/// What the files of a hit mean for downloads.
pub(super) type Found = Vec<(Expected, Source)>;

impl Searches {
    /// The searches of the servent `own`; the hits of the latest one are in `file`.
    pub(super) fn open(own: Guid, handle: Handle, file: StateFile) -> Arc<Self> {
        let kept: Option<Kept> = file.load().or_log();
        let latest = Latest::Kept(kept.into_iter().flat_map(|kept| kept.hits).collect());
        let table = Mutex::new(Table { latest, ..Table::default() });
        Arc::new(Self { own, handle, file, table, bell: Bell::default() })
    }

    /// Sends a search out. There should be a neighbour.
    pub(super) fn begin(self: &Arc<Self>, request: SearchRequest, criteria: Criteria) -> SearchView {
        let urns = criteria.urns.clone();
        let mut texts = if urns.is_empty() { criteria.wire_texts() } else { vec![String::new()] };
        texts.truncate(MAX_TEXTS);
        let mut table = lock(&self.table);
        let id = table.sessions.last_key_value().map_or(1, |(last, _)| last + 1);
        let mut session = Session::new(request.clone(), criteria, texts.clone());
        // It looks into the table first, so it waits until we are through.
        session.task = Some(rt::spawn(Arc::clone(self).mind(id)));
        let view = session.view(id);
        table.make_room();
        table.sessions.insert(id, session);
        table.latest = Latest::Session(id);
        for text in &texts {
            table.asked += 1;
            let search = SearchId(table.asked);
            table.routes.insert(search, For::Session(id));
            let query = Query::new(text, &urns);
            self.handle.command(Command::Search { id: search, query, ttl: request.ttl, strategy: None });
        }
        view
    }

    /// Lists what a host has; the numbers are those of this list from now on, unless they are to be kept.
    pub(super) fn browse(self: &Arc<Self>, opened: Opened, keep_numbers: bool) -> SearchView {
        let mut table = lock(&self.table);
        let id = table.sessions.last_key_value().map_or(1, |(last, _)| last + 1);
        let mut session = Session::browse(opened.addr, opened.pushed.clone());
        // Both look into the table first, so they wait until we are through.
        session.task = Some(rt::spawn(Arc::clone(self).mind(id)));
        session.reads = Some(rt::spawn(Arc::clone(self).read(id, opened)));
        let view = session.view(id);
        table.make_room();
        table.sessions.insert(id, session);
        if !keep_numbers {
            table.latest = Latest::Session(id);
        }
        view
    }

    async fn read(self: Arc<Self>, id: u64, opened: Opened) {
        let read = opened.read(|hit| {
            let mut table = lock(&self.table);
            let Some(session) = table.sessions.get_mut(&id).filter(|session| session.ended.is_none()) else {
                return false;
            };
            session.take(hit, 1, None, self.own);
            let goes_on = session.ended.is_none();
            drop(table);
            self.bell.ring();
            goes_on
        });
        let read = read.await;
        if let Some(session) = lock(&self.table).sessions.get_mut(&id) {
            match read {
                Ok(()) => session.end(),
                Err(why) => session.cut_short(format!("it {why}")),
            }
        }
        self.bell.ring();
    }

    /// Asks who has content, for a download.
    pub(super) fn requery(&self, urn: &Urn) {
        let mut table = lock(&self.table);
        let for_content = |(search, of): (&SearchId, &For)| matches!(of, For::Content(_)).then_some(*search);
        let old: Vec<SearchId> = table.routes.iter().filter_map(for_content).collect();
        let too_many = (old.len() + 1).saturating_sub(MAX_REQUERIES);
        for search in &old[..too_many] {
            table.routes.remove(search);
            self.handle.command(Command::EndSearch(*search));
        }
        table.asked += 1;
        let search = SearchId(table.asked);
        table.routes.insert(search, For::Content(urn.clone()));
        self.handle.command(Command::flood(search, "", std::slice::from_ref(urn)));
    }

    /// Asks with these words, or for content of that name, for somebody who takes the hits himself.
    pub(super) fn ask(&self, texts: &[String], urns: &[Urn]) -> Vec<SearchId> {
        let mut table = lock(&self.table);
        let mut asked = Vec::new();
        for text in texts {
            table.asked += 1;
            let search = SearchId(table.asked);
            let query = Query::new(text, urns);
            self.handle.command(Command::Search { id: search, query, ttl: None, strategy: None });
            asked.push(search);
        }
        asked
    }

    /// No more hits for a query of [`Searches::ask`].
    pub(super) fn end_ask(&self, search: SearchId) {
        self.handle.command(Command::EndSearch(search));
    }

    /// A query went out.
    pub(super) fn on_sent(&self, search: SearchId, guid: Guid, neighbours: usize) {
        let mut table = lock(&self.table);
        if let Some(session) = table.session_of(search) {
            session.sent(guid, neighbours);
            drop(table);
            self.bell.ring();
        }
    }

    /// A hit came. Returns what is in it for downloads.
    pub(super) fn on_hit(&self, search: SearchId, hit: &QueryHit, hops: u8, via: Option<SocketAddr>) -> Found {
        let mut table = lock(&self.table);
        let found = match table.routes.get(&search) {
            Some(For::Content(urn)) if hit.servent != self.own => sources(hit, urn),
            _ => Vec::new(),
        };
        if let Some(session) = table.session_of(search).filter(|session| session.ended.is_none()) {
            session.take(hit, hops, via, self.own);
            drop(table);
            self.bell.ring();
        }
        found
    }

    /// All that are remembered, oldest first.
    pub(super) fn views(&self) -> Vec<SearchView> {
        lock(&self.table).sessions.iter().map(|(&id, session)| session.view(id)).collect()
    }

    /// The hits so far, then those to come, then the end.
    pub(super) fn hits(self: &Arc<Self>, id: u64) -> Result<BoxStream<SearchLine>, Error> {
        if !lock(&self.table).sessions.contains_key(&id) {
            return Err(no_such(id));
        }
        let lines = futures::stream::unfold((Arc::clone(self), Some(0)), move |(searches, at)| async move {
            let at = at?;
            let line = searches.bell.until(|| searches.line(id, at)).await?;
            let next = matches!(line, SearchLine::Hit(_)).then_some(at + 1);
            Some((line, (searches, next)))
        });
        Ok(lines.boxed())
    }

    /// The line of that number: `None` while it is not there yet, `Some(None)` when there will be none.
    fn line(&self, id: u64, at: usize) -> Option<Option<SearchLine>> {
        let table = lock(&self.table);
        let Some(session) = table.sessions.get(&id) else { return Some(None) };
        match session.hits.get(at) {
            Some(hit) => Some(Some(SearchLine::Hit(hit.clone()))),
            None => session.kept.then(|| Some(SearchLine::Done(session.done()))),
        }
    }

    /// Ends a search before its time.
    pub(super) fn end(&self, id: u64) -> Result<(), Error> {
        let mut table = lock(&self.table);
        let session = table.sessions.get_mut(&id).ok_or_else(|| no_such(id))?;
        session.end();
        drop(table);
        self.bell.ring();
        Ok(())
    }

    /// The hit of that number in the latest search, and the others that name the same content.
    pub(super) fn hit(&self, number: u32) -> Option<(HitView, Vec<HitView>)> {
        let table = lock(&self.table);
        match &table.latest {
            Latest::Session(id) => table.sessions.get(id)?.hits.with_same(number),
            Latest::Kept(hits) => hits.with_same(number),
        }
    }

    /// The same in a search of this run.
    pub(super) fn hit_of(&self, search: u64, number: u32) -> Option<(HitView, Vec<HitView>)> {
        lock(&self.table).sessions.get(&search)?.hits.with_same(number)
    }

    /// The numbers of the latest search's hits in a folder of their hosts, or below it: all that are in one, of the top.
    pub(super) fn in_folder(&self, folder: &str) -> Vec<u32> {
        let parts = |path: &str| -> Vec<String> {
            let parts = path.split(['/', '\\']).filter(|part| !matches!(*part, "" | "."));
            parts.map(|part| part.nfc().collect()).collect()
        };
        let wanted = parts(folder);
        let table = lock(&self.table);
        let hits = match &table.latest {
            Latest::Session(id) => table.sessions.get(id).map_or(&[][..], |session| &session.hits),
            Latest::Kept(hits) => hits,
        };
        let inside = hits.iter().filter(|hit| parts(&hit.folder).starts_with(&wanted));
        inside.map(|hit| hit.hit).collect()
    }

    /// A hit from one of these addresses, the latest that is known.
    pub(super) fn hit_from(&self, addrs: &[SocketAddr]) -> Option<HitView> {
        let addrs: Vec<String> = addrs.iter().map(ToString::to_string).collect();
        let from = |hit: &&HitView| addrs.contains(&hit.source.addr);
        let table = lock(&self.table);
        let kept = match &table.latest {
            Latest::Kept(hits) => &hits[..],
            Latest::Session(_) => &[],
        };
        let sessions = table.sessions.values().rev();
        sessions.flat_map(|session| session.hits.iter().rev()).chain(kept).find(from).cloned()
    }

    /// Forgets all searches and stops minding them.
    pub(super) fn shutdown(&self) {
        let sessions = std::mem::take(&mut lock(&self.table).sessions);
        self.bell.ring();
        drop(sessions);
    }

    /// Waits for the end of a search and keeps its hits.
    async fn mind(self: Arc<Self>, id: u64) {
        while let Some(at) = self.deadline(id) {
            let left = at.saturating_duration_since(Instant::now());
            let moved = self.bell.until(|| (self.deadline(id) != Some(at)).then_some(()));
            if left.is_zero() || rt::timeout(left, moved).await.is_err() {
                break;
            }
        }
        let (kept, searches) = {
            let mut table = lock(&self.table);
            let searches = table.forget_routes(id);
            let Some(session) = table.sessions.get_mut(&id) else { return };
            session.time_is_over();
            let kept = Kept { query: session.request.query.clone(), hits: session.hits.to_vec() };
            (matches!(table.latest, Latest::Session(latest) if latest == id).then_some(kept), searches)
        };
        for search in searches {
            self.handle.command(Command::EndSearch(search));
        }
        if let Some(kept) = kept {
            let file = self.file.clone();
            let written = rt::spawn_blocking(move || file.save(&kept)).await;
            if let Err(error) = written {
                log::warn!(target: "filbert::search", "cannot keep the hits in {}: {error}", self.file.path().display());
            }
        }
        if let Some(session) = lock(&self.table).sessions.get_mut(&id) {
            session.kept = true;
        }
        self.bell.ring();
    }

    /// When a search is over; `None` once it is.
    fn deadline(&self, id: u64) -> Option<Instant> {
        let table = lock(&self.table);
        let session = table.sessions.get(&id)?;
        session.ended.is_none().then(|| session.deadline())
    }
}

impl Table {
    fn session_of(&mut self, search: SearchId) -> Option<&mut Session> {
        match self.routes.get(&search)? {
            For::Session(id) => self.sessions.get_mut(id),
            For::Content(_) => None,
        }
    }

    fn forget_routes(&mut self, id: u64) -> Vec<SearchId> {
        let of = |(search, of): (&SearchId, &For)| matches!(of, For::Session(to) if *to == id).then_some(*search);
        let searches: Vec<_> = self.routes.iter().filter_map(of).collect();
        for search in &searches {
            self.routes.remove(search);
        }
        searches
    }

    fn make_room(&mut self) {
        loop {
            let hits: usize = self.sessions.values().map(|session| session.hits.len()).sum();
            let crowded = self.sessions.len() >= MAX_SEARCHES;
            if !crowded && hits <= MAX_HITS_IN_ALL {
                return;
            }
            let oldest_ended = self.sessions.iter().find(|(_, session)| session.kept).map(|(&id, _)| id);
            let oldest = || self.sessions.keys().next().copied().filter(|_| crowded);
            let Some(id) = oldest_ended.or_else(oldest) else { return };
            self.forget_routes(id);
            self.sessions.remove(&id);
        }
    }
}

fn no_such(id: u64) -> Error {
    Error::new(ErrorCode::NotFound, format!("there is no search {id}")).hint("GET /api/v1/searches lists them")
}

/// The files of `hit` that are the content `urn`.
pub(super) fn sources(hit: &QueryHit, urn: &Urn) -> Found {
    let push = hit.qhd.as_ref().and_then(|qhd| qhd.push()).unwrap_or(false);
    let asked = Expected::of_urn(urn);
    let of_content = |entry: &&Entry| entry.urns.iter().any(|has| same_urn(urn, has));
    hit.entries
        .iter()
        .filter(of_content)
        .map(|entry| {
            let reach = if push { Reach::Push } else { Reach::Direct };
            let (index, proxies) = (entry.index, hit.proxies());
            let source = Source::new(hit.host(), Ask::Urn(urn.clone()));
            let source = Source { servent: Some(hit.servent), reach, index, proxies, ..source };
            (asked, source)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::session::tests::{SHA1, entry, hit};

    #[test]
    fn hit_numbers_mean_the_latest_search_and_survive_a_restart() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = StateFile::new(dir.path().join("search.json"), "search", 1);
        rt::block_on(async {
            let mut rng = crate::base::Rng::from_number(1);
            let running = crate::net::start(
                crate::proto::Config::new(Guid([9; 16])),
                None,
                rng.fork(),
                crate::net::Clock::start(),
            );
            let open = || Searches::open(Guid([9; 16]), running.handle.clone(), file.clone());
            let searches = open();
            assert_eq!(searches.hit(1), None);
            for name in ["first", "second"] {
                let request = SearchRequest { query: name.to_owned(), ttl: None, wait_ms: Some(60_000), max: Some(2) };
                let criteria = Criteria::parse(name).expect("words");
                let view = searches.begin(request, criteria);
                let asked = SearchId(lock(&searches.table).asked);
                searches.on_hit(asked, &hit(1, vec![entry(1, name, &[SHA1]), entry(2, name, &[SHA1])]), 1, None);
                let lines: Vec<_> = searches.hits(view.id).expect("it is there").collect().await;
                assert!(
                    matches!(&lines[..], [SearchLine::Hit(_), SearchLine::Hit(_), SearchLine::Done(_)]),
                    "{lines:?}"
                );
            }
            for searches in [searches, open()] {
                let (hit, same) = searches.hit(2).expect("two hits");
                assert_eq!((hit.name.as_str(), hit.index, same.len()), ("second", 2, 1));
                assert_eq!((searches.hit(0), searches.hit(3)), (None, None));
            }
        });
    }

    #[test]
    fn a_download_learns_the_sources_of_its_content_alone() {
        let other = "urn:sha1:VGMT4NSHA2AWVOR6EVYXQUGCNSONBWE5";
        let urn: Urn = SHA1.parse().expect("a urn");
        let found = sources(&hit(1, vec![entry(1, "x", &[other]), entry(2, "y", &[SHA1])]), &urn);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].1.addr, "10.0.0.1:6346".parse().expect("an address"));
        assert_eq!(found[0].1.ask, Ask::Urn(urn));
    }
}
