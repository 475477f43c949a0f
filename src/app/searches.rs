//! Searches: what was asked, the hits that came, and when it is over.
//!
//! A hit counts when it matches what was asked (peers match loosely, some send anything), is not our own, and
//! was not listed before. Hits are numbered from 1 in the order in which they came; the numbers of the latest
//! search are kept in the state, so that `get 3` means the same after a restart. Names are kept as they came:
//! who shows them or saves under them makes them harmless.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::events::{Bell, lock};
use super::node::BoxStream;
use super::view::{HitView, SearchDone, SearchLine, SearchView, SourceView};
use super::{Error, ErrorCode, SearchRequest};
use crate::disk::state::StateFile;
use crate::library::Criteria;
use crate::net::{Handle, rt};
use crate::proto::{Command, SearchId, Strategy};
use crate::transfer::{Ask, Expected, Reach, Source};
use crate::wire::hit::{Entry, QueryHit};
use crate::wire::query::Query;
use crate::wire::{Guid, Urn};

/// Hits that one search lists; what comes after them is counted and left out.
const MAX_HITS: usize = 10_000;
/// Searches that are remembered; the oldest ended one is forgotten first.
const MAX_SEARCHES: usize = 64;
/// Queries for content on behalf of downloads that still take hits.
const MAX_REQUERIES: usize = 128;
/// Queries that one search with alternatives sends.
const MAX_TEXTS: usize = 8;
/// Without `--wait`: a search is over so long after its last hit ...
const QUIET: Duration = Duration::from_secs(2);
/// ... and so long after it went out in any case.
pub(super) const LONGEST: Duration = Duration::from_secs(5);

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
    Kept(Vec<HitView>),
}

impl Default for Latest {
    fn default() -> Self {
        Self::Kept(Vec::new())
    }
}

/// What is kept of the latest search.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    query: String,
    hits: Vec<HitView>,
}

#[derive(Debug)]
struct Session {
    request: SearchRequest,
    criteria: Criteria,
    texts: Vec<String>,
    began: Instant,
    last_hit: Option<Instant>,
    hits: Vec<HitView>,
    seen: BTreeSet<(String, u32, Option<String>)>,
    files: BTreeSet<String>,
    left_out: BTreeMap<&'static str, u64>,
    guid: Option<Guid>,
    neighbours_asked: u64,
    ended: Option<Instant>,
    /// Its hits are in the state: readers may be told that it is over.
    kept: bool,
    task: Option<rt::Task<()>>,
}

/// What the files of a hit mean for downloads.
pub(super) type Found = Vec<(Expected, Source)>;

impl Searches {
    /// The searches of the servent `own`; the hits of the latest one are in `file`.
    pub(super) fn open(own: Guid, handle: Handle, file: StateFile) -> Arc<Self> {
        let kept: Option<Kept> = file.load().or_log();
        let latest = Latest::Kept(kept.map(|kept| kept.hits).unwrap_or_default());
        let table = Mutex::new(Table { latest, ..Table::default() });
        Arc::new(Self { own, handle, file, table, bell: Bell::default() })
    }

    /// Sends a search out. There should be a neighbour.
    pub(super) fn begin(self: &Arc<Self>, request: SearchRequest, criteria: Criteria) -> SearchView {
        let urns = criteria.urns.clone();
        let mut texts = if urns.is_empty() { criteria.wire_texts() } else { vec![String::new()] };
        texts.truncate(MAX_TEXTS);
        let now = Instant::now();
        let mut table = lock(&self.table);
        let id = table.sessions.last_key_value().map_or(1, |(last, _)| last + 1);
        let session = Session {
            criteria,
            texts: texts.clone(),
            began: now,
            last_hit: None,
            hits: Vec::new(),
            seen: BTreeSet::new(),
            files: BTreeSet::new(),
            left_out: BTreeMap::new(),
            guid: None,
            neighbours_asked: 0,
            ended: None,
            kept: false,
            task: None,
            request: request.clone(),
        };
        table.make_room();
        table.sessions.insert(id, session);
        table.latest = Latest::Session(id);
        for text in &texts {
            table.asked += 1;
            let search = SearchId(table.asked);
            table.routes.insert(search, For::Session(id));
            let query = Query::new(text, &urns);
            self.handle.command(Command::Search { id: search, query, ttl: request.ttl, strategy: Strategy::Flood });
        }
        let task = rt::spawn(Arc::clone(self).mind(id));
        let Some(session) = table.sessions.get_mut(&id) else { unreachable!("it was inserted above") };
        session.task = Some(task);
        session.view(id)
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

    /// A query went out.
    pub(super) fn on_sent(&self, search: SearchId, guid: Guid, neighbours: usize) {
        let mut table = lock(&self.table);
        if let Some(session) = table.session_of(search) {
            session.guid.get_or_insert(guid);
            session.neighbours_asked = session.neighbours_asked.max(neighbours as u64);
            drop(table);
            self.bell.ring();
        }
    }

    /// A hit came. Returns what is in it for downloads.
    pub(super) fn on_hit(&self, search: SearchId, hit: &QueryHit, hops: u8) -> Found {
        let mut table = lock(&self.table);
        let found = match table.routes.get(&search) {
            Some(For::Content(urn)) if hit.servent != self.own => sources(hit, urn),
            _ => Vec::new(),
        };
        if let Some(session) = table.session_of(search).filter(|session| session.ended.is_none()) {
            session.take(hit, hops, self.own);
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
        session.ended.get_or_insert_with(Instant::now);
        drop(table);
        self.bell.ring();
        Ok(())
    }

    /// The hit of that number in the latest search, and the others that name the same content.
    pub(super) fn hit(&self, number: u32) -> Option<(HitView, Vec<HitView>)> {
        let table = lock(&self.table);
        let hits = match &table.latest {
            Latest::Session(id) => &table.sessions.get(id)?.hits,
            Latest::Kept(hits) => hits,
        };
        let wanted = hits.get(number.checked_sub(1)? as usize)?;
        let same = |hit: &&HitView| hit.hit != wanted.hit && content_of(hit) == content_of(wanted);
        let same = if wanted.urn.is_some() { hits.iter().filter(same).cloned().collect() } else { Vec::new() };
        Some((wanted.clone(), same))
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
            session.ended.get_or_insert_with(Instant::now);
            let kept = Kept { query: session.request.query.clone(), hits: session.hits.clone() };
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
        while self.sessions.len() >= MAX_SEARCHES {
            let oldest_ended = self.sessions.iter().find(|(_, session)| session.kept).map(|(&id, _)| id);
            let Some(id) = oldest_ended.or_else(|| self.sessions.keys().next().copied()) else { return };
            self.forget_routes(id);
            self.sessions.remove(&id);
        }
    }
}

impl Session {
    fn deadline(&self) -> Instant {
        match self.request.wait_ms {
            Some(millis) => self.began + Duration::from_millis(millis.min(24 * 3600 * 1000)),
            None => self.last_hit.map_or(self.began + LONGEST, |last| (last + QUIET).min(self.began + LONGEST)),
        }
    }

    fn take(&mut self, hit: &QueryHit, hops: u8, own: Guid) {
        for entry in &hit.entries {
            let left_out = self.take_entry(hit, entry, hops, own).err();
            if let Some(reason) = left_out {
                *self.left_out.entry(reason).or_default() += 1;
            }
            if self.request.max.is_some_and(|max| self.hits.len() as u64 >= max) {
                self.ended = Some(Instant::now());
                return;
            }
        }
    }

    /// Lists one file of a hit, or says why not.
    fn take_entry(&mut self, hit: &QueryHit, entry: &Entry, hops: u8, own: Guid) -> Result<(), &'static str> {
        if hit.servent == own {
            return Err("own");
        }
        let name = file_name(&entry.name.to_str()).to_owned();
        let asked_by_name = self.criteria.urns.is_empty();
        let matches = if asked_by_name {
            self.criteria.matches(&name, entry.size())
        } else {
            self.criteria.urns.iter().any(|asked| entry.urns.iter().any(|urn| same_urn(asked, urn)))
        };
        if !matches {
            return Err("no_match");
        }
        let mut view = view_of(hit, entry, name, hops);
        if !self.seen.insert((view.source.servent.clone(), view.index, view.urn.clone())) {
            return Err("duplicate");
        }
        if self.hits.len() >= MAX_HITS {
            return Err("too_many");
        }
        let now = Instant::now();
        view.hit = self.hits.len() as u32 + 1;
        view.query_ms = now.duration_since(self.began).as_millis() as u64;
        self.files.insert(content_of(&view));
        self.last_hit = Some(now);
        self.hits.push(view);
        Ok(())
    }

    fn elapsed_ms(&self) -> u64 {
        self.ended.unwrap_or_else(Instant::now).duration_since(self.began).as_millis() as u64
    }

    fn view(&self, id: u64) -> SearchView {
        SearchView {
            id,
            query: self.request.query.clone(),
            hits: self.hits.len() as u64,
            files: self.files.len() as u64,
            neighbours_asked: self.neighbours_asked,
            elapsed_ms: self.elapsed_ms(),
            ended: self.ended.is_some(),
            guid: self.guid.map(|guid| guid.to_string()).unwrap_or_default(),
        }
    }

    fn done(&self) -> SearchDone {
        let mut hops: BTreeMap<u8, u64> = BTreeMap::new();
        for hit in &self.hits {
            *hops.entry(hit.hops).or_default() += 1;
        }
        SearchDone {
            event: "done".to_owned(),
            hits: self.hits.len() as u64,
            files: self.files.len() as u64,
            neighbours_asked: self.neighbours_asked,
            elapsed_ms: self.elapsed_ms(),
            explain: json!({
                "asked_with": self.texts,
                "urns": self.criteria.urns.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "ttl": self.request.ttl,
                "hits_by_hops": hops,
                "left_out": self.left_out,
            }),
        }
    }
}

fn no_such(id: u64) -> Error {
    Error::new(ErrorCode::NotFound, format!("there is no search {id}")).hint("GET /api/v1/searches lists them")
}

/// The last part of a path: some servents send the whole.
fn file_name(name: &str) -> &str {
    name.rsplit(['/', '\\']).find(|part| !part.is_empty()).unwrap_or(name)
}

/// Whether two names share a hash.
fn same_urn(a: &Urn, b: &Urn) -> bool {
    Expected::of_urn(a).same_content(&Expected::of_urn(b))
}

/// What hits of the same content have in common; without a hash, name and size.
fn content_of(hit: &HitView) -> String {
    match (&hit.sha1, &hit.urn) {
        (Some(sha1), _) => sha1.clone(),
        (None, Some(urn)) => urn.clone(),
        (None, None) => format!("{}/{}", hit.name.to_lowercase(), hit.size),
    }
}

fn view_of(hit: &QueryHit, entry: &Entry, name: String, hops: u8) -> HitView {
    let sha1 = entry.urns.iter().find_map(Urn::sha1).map(|hash| hash.to_string());
    let tth = entry.urns.iter().find_map(Urn::tth).map(|hash| hash.to_string());
    let blake3 = entry.urns.iter().find_map(Urn::blake3).map(|hash| hash.to_string());
    let urn = match &sha1 {
        Some(sha1) => Some(format!("urn:sha1:{sha1}")),
        None => entry.urns.first().map(ToString::to_string),
    };
    HitView {
        hit: 0,
        name,
        size: entry.size(),
        sha1,
        tth,
        blake3,
        urn,
        source: SourceView {
            addr: hit.host().to_string(),
            servent: hit.servent.to_string(),
            vendor: hit.qhd.as_ref().map(|qhd| printable(&qhd.vendor)).unwrap_or_default(),
            push: hit.qhd.as_ref().and_then(|qhd| qhd.push()).unwrap_or(false),
            busy: hit.qhd.as_ref().and_then(|qhd| qhd.busy()).unwrap_or(false),
        },
        index: entry.index,
        hops,
        query_ms: 0,
    }
}

fn printable(vendor: &[u8; 4]) -> String {
    vendor.iter().map(|&byte| if byte.is_ascii_graphic() { char::from(byte) } else { '?' }).collect()
}

/// The files of `hit` that are the content `urn`.
fn sources(hit: &QueryHit, urn: &Urn) -> Found {
    let push = hit.qhd.as_ref().and_then(|qhd| qhd.push()).unwrap_or(false);
    let asked = Expected::of_urn(urn);
    let of_content = |entry: &&Entry| entry.urns.iter().any(|has| same_urn(urn, has));
    hit.entries
        .iter()
        .filter(of_content)
        .map(|_| {
            let reach = if push { Reach::Push } else { Reach::Direct };
            let source = Source { servent: Some(hit.servent), reach, ..Source::new(hit.host(), Ask::Urn(urn.clone())) };
            (asked, source)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddrV4;

    const SHA1: &str = "urn:sha1:GKECXDEZDWGCRBZWKYBJD5GGT4KAUE5V";

    fn session(query: &str, max: Option<u64>) -> Session {
        let request = SearchRequest { query: query.to_owned(), ttl: None, wait_ms: None, max };
        Session {
            criteria: Criteria::parse(query).expect(query),
            texts: Vec::new(),
            began: Instant::now(),
            last_hit: None,
            hits: Vec::new(),
            seen: BTreeSet::new(),
            files: BTreeSet::new(),
            left_out: BTreeMap::new(),
            guid: None,
            neighbours_asked: 0,
            ended: None,
            kept: false,
            task: None,
            request,
        }
    }

    fn hit(servent: u8, entries: Vec<Entry>) -> QueryHit {
        let addr = SocketAddrV4::new([10, 0, 0, servent].into(), 6346);
        QueryHit { addr, speed: 0, entries, qhd: None, servent: Guid([servent; 16]) }
    }

    fn entry(index: u32, name: &str, urns: &[&str]) -> Entry {
        let urns: Vec<Urn> = urns.iter().map(|urn| urn.parse().expect(urn)).collect();
        Entry::new(index, 10, name, &urns)
    }

    #[test]
    fn hits_are_checked_numbered_and_listed_once() {
        let mut session = session("blue train -live", None);
        let own = Guid([9; 16]);
        session.take(&hit(1, vec![entry(1, "Blue Train.ogg", &[SHA1]), entry(2, "Red Train.ogg", &[])]), 2, own);
        session.take(&hit(1, vec![entry(1, "Blue Train.ogg", &[SHA1])]), 2, own);
        session.take(&hit(9, vec![entry(1, "Blue Train.ogg", &[SHA1])]), 1, own);
        session.take(&hit(2, vec![entry(7, "music\\the blue train.ogg", &[SHA1])]), 3, own);
        session.take(&hit(3, vec![entry(7, "blue train live.ogg", &[])]), 3, own);
        let listed: Vec<_> = session.hits.iter().map(|hit| (hit.hit, hit.name.as_str(), hit.hops)).collect();
        assert_eq!(listed, [(1, "Blue Train.ogg", 2), (2, "the blue train.ogg", 3)]);
        assert_eq!(session.files.len(), 1, "both are one content");
        assert_eq!(session.left_out, BTreeMap::from([("duplicate", 1), ("no_match", 2), ("own", 1)]));
        assert_eq!(session.done().explain["hits_by_hops"], json!({"2": 1, "3": 1}));
    }

    #[test]
    fn a_search_by_content_takes_that_content_under_any_name() {
        let mut session = session(SHA1, None);
        session.take(&hit(1, vec![entry(1, "whatever", &[SHA1]), entry(2, "whatever", &[])]), 1, Guid([9; 16]));
        assert_eq!(session.hits.len(), 1);
        assert_eq!(session.hits[0].urn.as_deref(), Some(SHA1));
    }

    #[test]
    fn the_wished_number_of_hits_ends_a_search() {
        let mut session = session("a", Some(2));
        session.take(&hit(1, (0..5).map(|n| entry(n, "a", &[])).collect()), 1, Guid([9; 16]));
        assert_eq!(session.hits.len(), 2);
        assert!(session.ended.is_some());
    }

    #[test]
    fn without_a_wait_it_ends_two_seconds_after_the_last_hit_and_five_at_most() {
        let mut session = session("a", None);
        let began = session.began;
        for (last_hit, ends) in [(None, 5), (Some(0), 2), (Some(1), 3), (Some(4), 5)] {
            session.last_hit = last_hit.map(|secs| began + Duration::from_secs(secs));
            assert_eq!(session.deadline(), began + Duration::from_secs(ends), "{last_hit:?}");
        }
        session.request.wait_ms = Some(1500);
        assert_eq!(session.deadline(), began + Duration::from_millis(1500));
    }

    #[test]
    fn hit_numbers_mean_the_latest_search_and_survive_a_restart() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = StateFile::new(dir.path().join("search.json"), "search", 1);
        rt::block_on(async {
            let mut rng = crate::base::Rng::from_number(1);
            let running =
                crate::net::start(crate::proto::Config::new(Guid([9; 16])), rng.fork(), crate::net::Clock::start());
            let open = || Searches::open(Guid([9; 16]), running.handle.clone(), file.clone());
            let searches = open();
            assert_eq!(searches.hit(1), None);
            for name in ["first", "second"] {
                let request = SearchRequest { query: name.to_owned(), ttl: None, wait_ms: Some(60_000), max: Some(2) };
                let criteria = Criteria::parse(name).expect("words");
                let view = searches.begin(request, criteria);
                let asked = SearchId(lock(&searches.table).asked);
                searches.on_hit(asked, &hit(1, vec![entry(1, name, &[SHA1]), entry(2, name, &[SHA1])]), 1);
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
