//! One search: what was asked, the hits that count, and when it is over.

use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::json;

use super::SearchRequest;
use super::browses::Pushed;
use super::list::List;
use super::view::{HitView, SearchDone, SearchView, SourceView};
use crate::library::Criteria;
use crate::net::rt;
use crate::proto::{is_dialable, is_strangers_port, may_name};
use crate::transfer::Expected;
use crate::wire::addr::is_public;
use crate::wire::hit::{Entry, QueryHit};
use crate::wire::{Guid, Urn};

/// Hits that one search lists; what comes after them is counted and left out.
const MAX_HITS: usize = 10_000;
/// Files of a host that are listed, some 2 KB each while they are kept, and bytes of their names. A longer list is cut
/// short.
const MAX_BROWSED: usize = 200_000;
const MAX_BROWSED_NAMES: usize = 24 << 20;
/// Bytes of a name in a hit: a path on any system fits. A hit with a longer one is counted and left out.
pub(super) const MAX_NAME: usize = 4096;
/// Without `--wait`: a search is over so long after its last hit ...
const QUIET: Duration = Duration::from_secs(2);
/// ... and so long after it went out in any case.
pub(super) const LONGEST: Duration = Duration::from_secs(5);
/// A list of a host is read for so long at most.
const LONGEST_LIST: Duration = Duration::from_secs(600);

/// A search that is remembered.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) request: SearchRequest,
    asked: Asked,
    began: Instant,
    last_hit: Option<Instant>,
    pub(super) hits: List,
    /// Of what was listed: who has it under which number; hashed, for there may be many.
    seen: HashSet<u64>,
    hasher: RandomState,
    left_out: BTreeMap<&'static str, u64>,
    guid: Option<Guid>,
    neighbours_asked: u64,
    pub(super) ended: Option<Instant>,
    /// Its hits are in the state: readers may be told that it is over.
    pub(super) kept: bool,
    pub(super) task: Option<rt::Task<()>>,
    /// Reads the list of a host.
    pub(super) reads: Option<rt::Task<()>>,
    /// Why a list is not whole, in words.
    cut_short: Option<String>,
    /// Bytes of the names in it.
    names: usize,
}

/// Who was asked, and for what.
#[derive(Debug)]
enum Asked {
    /// The network, for what matches, with these words.
    Network(Box<Criteria>, Vec<String>),
    /// A host, for all that it has.
    Host(SocketAddr, Option<Pushed>),
}

impl Session {
    /// A search that goes out now, with these words.
    pub(super) fn new(request: SearchRequest, criteria: Criteria, texts: Vec<String>) -> Self {
        Self::of(request, Asked::Network(Box::new(criteria), texts))
    }

    /// The list of a host, which begins now.
    pub(super) fn browse(host: SocketAddr, pushed: Option<Pushed>) -> Self {
        let request = SearchRequest { query: format!("browse {host}"), ttl: None, wait_ms: None, max: None };
        Self::of(request, Asked::Host(host, pushed))
    }

    fn of(request: SearchRequest, asked: Asked) -> Self {
        Self {
            request,
            asked,
            began: Instant::now(),
            last_hit: None,
            hits: List::default(),
            seen: HashSet::new(),
            hasher: RandomState::new(),
            left_out: BTreeMap::new(),
            guid: None,
            neighbours_asked: 0,
            ended: None,
            kept: false,
            task: None,
            reads: None,
            cut_short: None,
            names: 0,
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
        if let Asked::Host(..) = self.asked {
            return self.began + LONGEST_LIST;
        }
        match self.request.wait_ms {
            Some(millis) => self.began + Duration::from_millis(millis.min(24 * 3600 * 1000)),
            None => self.last_hit.map_or(self.began + LONGEST, |last| (last + QUIET).min(self.began + LONGEST)),
        }
    }

    /// Its time is over, whatever comes of it.
    pub(super) fn time_is_over(&mut self) {
        if let (Asked::Host(..), None) = (&self.asked, self.ended) {
            self.cut_short(format!("it took longer than {} minutes", LONGEST_LIST.as_secs() / 60));
        }
        self.end();
    }

    /// A list ends before its end.
    pub(super) fn cut_short(&mut self, why: String) {
        if self.ended.is_none() {
            self.cut_short.get_or_insert(why);
        }
        self.end();
    }

    /// Takes a hit, which came by that neighbour.
    pub(super) fn take(&mut self, hit: &QueryHit, hops: u8, via: Option<SocketAddr>, own: Guid) {
        for entry in &hit.entries {
            let left_out = self.take_entry(hit, entry, hops, via, own).err();
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
    fn take_entry(
        &mut self,
        hit: &QueryHit,
        entry: &Entry,
        hops: u8,
        via: Option<SocketAddr>,
        own: Guid,
    ) -> Result<(), &'static str> {
        if entry.name.0.len() > MAX_NAME {
            return Err("name_too_long");
        }
        let name = file_name(&entry.name.to_str()).to_owned();
        let mut view = match &self.asked {
            Asked::Network(criteria, _) => {
                if hit.servent == own {
                    return Err("own");
                }
                if self.hits.len() >= MAX_HITS {
                    return Err("too_many");
                }
                if !matches(criteria, entry, &name) {
                    return Err("no_match");
                }
                view_of(hit, entry, name, hops)
            }
            Asked::Host(host, pushed) => {
                if self.hits.len() >= MAX_BROWSED || self.names + name.len() > MAX_BROWSED_NAMES {
                    self.cut_short(format!("its list is longer than {MAX_BROWSED} files, or its names are very long"));
                    return Err("too_many");
                }
                // It answers there, or when it is asked so, whatever its hits say.
                let mut view = view_of(hit, entry, name, hops);
                let source = &mut view.source;
                (source.addr, source.push, source.proxies) = (host.to_string(), pushed.is_some(), Vec::new());
                if let Some(Pushed { servent, proxies }) = pushed {
                    (source.servent, source.proxies) = (servent.clone(), proxies.clone());
                }
                view
            }
        };
        if !self.seen.insert(self.hasher.hash_one((&view.source.servent, view.index, &view.urn))) {
            return Err("duplicate");
        }
        let now = Instant::now();
        view.via = via.map(|via| via.to_string());
        view.query_ms = now.duration_since(self.began).as_millis() as u64;
        self.names += view.name.len() + view.folder.len();
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
            files: self.hits.contents() as u64,
            neighbours_asked: self.neighbours_asked,
            elapsed_ms: self.elapsed_ms(),
            ended: self.ended.is_some(),
            guid: self.guid.map(|guid| guid.to_string()).unwrap_or_default(),
        }
    }

    /// The last line of its stream.
    pub(super) fn done(&self) -> SearchDone {
        let mut hops: BTreeMap<u8, u64> = BTreeMap::new();
        for hit in self.hits.iter() {
            *hops.entry(hit.hops).or_default() += 1;
        }
        SearchDone {
            event: "done".to_owned(),
            hits: self.hits.len() as u64,
            files: self.hits.contents() as u64,
            neighbours_asked: self.neighbours_asked,
            elapsed_ms: self.elapsed_ms(),
            explain: match &self.asked {
                Asked::Network(criteria, texts) => json!({
                    "asked_with": texts,
                    "urns": criteria.urns.iter().map(ToString::to_string).collect::<Vec<_>>(),
                    "ttl": self.request.ttl,
                    "hits_by_hops": hops,
                    "left_out": self.left_out,
                }),
                Asked::Host(host, _) => json!({
                    "browsed": host.to_string(),
                    "cut_short": self.cut_short,
                    "left_out": self.left_out,
                }),
            },
        }
    }
}

/// Whether a file is what was asked for.
pub(super) fn matches(criteria: &Criteria, entry: &Entry, name: &str) -> bool {
    if criteria.urns.is_empty() {
        return criteria.matches(name, entry.size());
    }
    criteria.urns.iter().any(|asked| entry.urns.iter().any(|urn| same_urn(asked, urn)))
}

/// The last part of a path: some servents send the whole.
pub(super) fn file_name(name: &str) -> &str {
    name.rsplit(['/', '\\']).find(|part| !part.is_empty()).unwrap_or(name)
}

/// Whether two names share a hash.
pub(super) fn same_urn(a: &Urn, b: &Urn) -> bool {
    Expected::of_urn(a).same_content(&Expected::of_urn(b))
}

pub(super) fn view_of(hit: &QueryHit, entry: &Entry, name: String, hops: u8) -> HitView {
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
        folder: entry.folder().map(|folder| folder.to_str().into_owned()).unwrap_or_default(),
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
            browse: hit.qhd.as_ref().is_some_and(|qhd| qhd.browse()),
            proxies: hit.proxies().iter().map(ToString::to_string).collect(),
        },
        alternates: alternates(hit.host(), entry).iter().map(ToString::to_string).collect(),
        index: entry.index,
        hops,
        query_ms: 0,
        via: None,
    }
}

/// Whom a hit names besides its source, as far as the source may name them (`proto::address`). Without a SHA-1 nobody
/// could be asked for the file.
fn alternates(source: SocketAddr, entry: &Entry) -> Vec<SocketAddr> {
    if entry.sha1().is_none() {
        return Vec::new();
    }
    let may = |addr: &SocketAddr| {
        let port = !is_public(addr.ip()) || is_strangers_port(addr.port());
        port && is_dialable(*addr) && may_name(source.ip(), addr.ip()) && *addr != source
    };
    entry.alternates().into_iter().filter(may).collect()
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
        session.take(&hit(1, vec![entry(1, "Blue Train.ogg", &[SHA1]), entry(2, "Red Train.ogg", &[])]), 2, None, own);
        session.take(&hit(1, vec![entry(1, "Blue Train.ogg", &[SHA1])]), 2, None, own);
        session.take(&hit(9, vec![entry(1, "Blue Train.ogg", &[SHA1])]), 1, None, own);
        session.take(&hit(2, vec![entry(7, "music\\the blue train.ogg", &[SHA1])]), 3, None, own);
        session.take(&hit(3, vec![entry(7, "blue train live.ogg", &[])]), 3, None, own);
        let listed: Vec<_> = session.hits.iter().map(|hit| (hit.hit, hit.name.as_str(), hit.hops)).collect();
        assert_eq!(listed, [(1, "Blue Train.ogg", 2), (2, "the blue train.ogg", 3)]);
        assert_eq!(session.hits.contents(), 1, "both are one content");
        assert_eq!(session.left_out, BTreeMap::from([("duplicate", 1), ("no_match", 2), ("own", 1)]));
        assert_eq!(session.done().explain["hits_by_hops"], json!({"2": 1, "3": 1}));
    }

    #[test]
    fn a_search_by_content_takes_that_content_under_any_name() {
        let mut session = session(SHA1, None);
        session.take(&hit(1, vec![entry(1, "whatever", &[SHA1]), entry(2, "whatever", &[])]), 1, None, Guid([9; 16]));
        assert_eq!(session.hits.len(), 1);
        assert_eq!(session.hits[0].urn.as_deref(), Some(SHA1));
    }

    #[test]
    fn what_strangers_send_to_a_search_is_bounded() {
        let mut session = session("a", None);
        let own = Guid([9; 16]);
        let long = format!("a {}", "x".repeat(MAX_NAME));
        session.take(&hit(1, vec![entry(0, &long, &[]), entry(0, &long[..MAX_NAME], &[])]), 1, None, own);
        assert_eq!((session.hits.len(), session.left_out.get("name_too_long")), (1, Some(&1)));
        for n in 1..=(MAX_HITS as u32 + 5) {
            session.take(&hit(1, vec![entry(n, "a", &[])]), 1, None, own);
        }
        assert_eq!((session.hits.len(), session.seen.len()), (MAX_HITS, MAX_HITS));
        assert_eq!(session.left_out.get("too_many"), Some(&6));
    }

    #[test]
    fn a_list_of_a_host_takes_all_that_it_has_as_being_there() {
        let host: SocketAddr = "10.0.0.7:6346".parse().expect("an address");
        let mut session = Session::browse(host, None);
        let own = Guid([1; 16]);
        session.take(&hit(1, vec![entry(1, "one", &[SHA1]), entry(2, "two", &[]), entry(2, "two", &[])]), 1, None, own);
        let listed: Vec<_> = session.hits.iter().map(|hit| (hit.hit, &*hit.name, &*hit.source.addr)).collect();
        assert_eq!(listed, [(1, "one", "10.0.0.7:6346"), (2, "two", "10.0.0.7:6346")]);
        let long = "x".repeat(MAX_NAME);
        for n in 3..(3 + MAX_BROWSED_NAMES / MAX_NAME) as u32 {
            session.take(&hit(1, vec![entry(n, &long, &[])]), 1, None, own);
        }
        assert!(session.names <= MAX_BROWSED_NAMES && session.ended.is_some());
        assert!(session.done().explain["cut_short"].as_str().is_some_and(|why| why.contains("longer")));
        let mut late = Session::browse(host, None);
        late.time_is_over();
        assert!(late.done().explain["cut_short"].as_str().is_some_and(|why| why.contains("10 minutes")));
    }

    #[test]
    fn a_hit_names_other_sources_as_far_as_it_may() {
        let alt = |bytes: &[u8]| {
            let mut ggep = crate::wire::ggep::Ggep::default();
            ggep.push("ALT", bytes);
            Entry { ggep, ..entry(1, "x", &[SHA1]) }
        };
        let one = |a: u8, port: u16| [&[a, 0, 0, 9][..], &port.to_le_bytes()].concat();
        let addrs = [one(10, 25), one(80, 25), one(80, 80), one(80, 6346), one(127, 6346), one(224, 6346), one(0, 1)];
        let entry_of_all = alt(&addrs.concat());
        let named = |source: &str, entry: &Entry| -> Vec<String> {
            alternates(source.parse().expect("an address"), entry).iter().map(ToString::to_string).collect()
        };
        assert_eq!(named("10.0.0.1:1", &entry_of_all), ["10.0.0.9:25", "80.0.0.9:80", "80.0.0.9:6346"]);
        assert_eq!(named("81.0.0.1:1", &entry_of_all), ["80.0.0.9:80", "80.0.0.9:6346"]);
        assert_eq!(named("80.0.0.9:80", &entry_of_all), ["80.0.0.9:6346"], "itself is no other");
        let many: Vec<u8> = (0..50).flat_map(|n| one(80, 2000 + n)).collect();
        assert_eq!(named("81.0.0.1:1", &alt(&many)).len(), 10);
        assert!(named("81.0.0.1:1", &Entry { urns: Vec::new(), ..alt(&many) }).is_empty(), "nobody could be asked");
    }

    #[test]
    fn the_wished_number_of_hits_ends_a_search() {
        let mut session = session("a", Some(2));
        session.take(&hit(1, (0..5).map(|n| entry(n, "a", &[])).collect()), 1, None, Guid([9; 16]));
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
