//! One search: what was asked, the hits that count, and when it is over.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::json;

use super::SearchRequest;
use super::view::{HitView, SearchDone, SearchView, SourceView};
use crate::library::Criteria;
use crate::net::rt;
use crate::transfer::Expected;
use crate::wire::hit::{Entry, QueryHit};
use crate::wire::{Guid, Urn};

/// Hits that one search lists; what comes after them is counted and left out.
const MAX_HITS: usize = 10_000;
/// Bytes of a name in a hit: a path on any system fits. A hit with a longer one is counted and left out.
const MAX_NAME: usize = 4096;
/// Without `--wait`: a search is over so long after its last hit ...
const QUIET: Duration = Duration::from_secs(2);
/// ... and so long after it went out in any case.
pub(super) const LONGEST: Duration = Duration::from_secs(5);

/// A search that is remembered.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) request: SearchRequest,
    criteria: Criteria,
    texts: Vec<String>,
    began: Instant,
    last_hit: Option<Instant>,
    pub(super) hits: Vec<HitView>,
    seen: BTreeSet<(String, u32, Option<String>)>,
    files: BTreeSet<String>,
    left_out: BTreeMap<&'static str, u64>,
    guid: Option<Guid>,
    neighbours_asked: u64,
    pub(super) ended: Option<Instant>,
    /// Its hits are in the state: readers may be told that it is over.
    pub(super) kept: bool,
    pub(super) task: Option<rt::Task<()>>,
}

impl Session {
    /// A search that goes out now, with these words.
    pub(super) fn new(request: SearchRequest, criteria: Criteria, texts: Vec<String>) -> Self {
        Self {
            request,
            criteria,
            texts,
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
        }
    }

    /// One of its queries went out.
    pub(super) fn sent(&mut self, guid: Guid, neighbours: usize) {
        self.guid.get_or_insert(guid);
        self.neighbours_asked = self.neighbours_asked.max(neighbours as u64);
    }

    /// It takes no more hits.
    pub(super) fn end(&mut self) {
        self.ended.get_or_insert_with(Instant::now);
    }

    /// When it is over if nothing more comes.
    pub(super) fn deadline(&self) -> Instant {
        match self.request.wait_ms {
            Some(millis) => self.began + Duration::from_millis(millis.min(24 * 3600 * 1000)),
            None => self.last_hit.map_or(self.began + LONGEST, |last| (last + QUIET).min(self.began + LONGEST)),
        }
    }

    /// Takes a hit.
    pub(super) fn take(&mut self, hit: &QueryHit, hops: u8, own: Guid) {
        for entry in &hit.entries {
            let left_out = self.take_entry(hit, entry, hops, own).err();
            if let Some(reason) = left_out {
                *self.left_out.entry(reason).or_default() += 1;
            }
            if self.request.max.is_some_and(|max| self.hits.len() as u64 >= max) {
                self.end();
                return;
            }
        }
    }

    /// Lists one file of a hit, or says why not.
    fn take_entry(&mut self, hit: &QueryHit, entry: &Entry, hops: u8, own: Guid) -> Result<(), &'static str> {
        if hit.servent == own {
            return Err("own");
        }
        if self.hits.len() >= MAX_HITS {
            return Err("too_many");
        }
        if entry.name.0.len() > MAX_NAME {
            return Err("name_too_long");
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

    /// As others see it.
    pub(super) fn view(&self, id: u64) -> SearchView {
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

    /// The last line of its stream.
    pub(super) fn done(&self) -> SearchDone {
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

/// The last part of a path: some servents send the whole.
fn file_name(name: &str) -> &str {
    name.rsplit(['/', '\\']).find(|part| !part.is_empty()).unwrap_or(name)
}

/// Whether two names share a hash.
pub(super) fn same_urn(a: &Urn, b: &Urn) -> bool {
    Expected::of_urn(a).same_content(&Expected::of_urn(b))
}

/// What hits of the same content have in common; without a hash, name and size.
pub(super) fn content_of(hit: &HitView) -> String {
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
            proxies: hit.proxies().iter().map(ToString::to_string).collect(),
        },
        index: entry.index,
        hops,
        query_ms: 0,
    }
}

fn printable(vendor: &[u8; 4]) -> String {
    vendor.iter().map(|&byte| if byte.is_ascii_graphic() { char::from(byte) } else { '?' }).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use std::net::SocketAddrV4;

    use super::*;

    pub(in crate::app) const SHA1: &str = "urn:sha1:GKECXDEZDWGCRBZWKYBJD5GGT4KAUE5V";

    fn session(query: &str, max: Option<u64>) -> Session {
        let request = SearchRequest { query: query.to_owned(), ttl: None, wait_ms: None, max };
        Session::new(request, Criteria::parse(query).expect(query), Vec::new())
    }

    pub(in crate::app) fn hit(servent: u8, entries: Vec<Entry>) -> QueryHit {
        let addr = SocketAddrV4::new([10, 0, 0, servent].into(), 6346);
        QueryHit { addr, speed: 0, entries, qhd: None, servent: Guid([servent; 16]) }
    }

    pub(in crate::app) fn entry(index: u32, name: &str, urns: &[&str]) -> Entry {
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
    fn what_strangers_send_to_a_search_is_bounded() {
        let mut session = session("a", None);
        let own = Guid([9; 16]);
        let long = format!("a {}", "x".repeat(MAX_NAME));
        session.take(&hit(1, vec![entry(0, &long, &[]), entry(0, &long[..MAX_NAME], &[])]), 1, own);
        assert_eq!((session.hits.len(), session.left_out.get("name_too_long")), (1, Some(&1)));
        for n in 1..=(MAX_HITS as u32 + 5) {
            session.take(&hit(1, vec![entry(n, "a", &[])]), 1, own);
        }
        assert_eq!((session.hits.len(), session.seen.len()), (MAX_HITS, MAX_HITS));
        assert_eq!(session.left_out.get("too_many"), Some(&6));
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
}
