//! One standing question: what it asks, what it has seen, and what is new in a hit.

use std::collections::VecDeque;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use super::WatchRequest;
use crate::app::list::content_of;
use crate::app::session::{MAX_NAME, file_name, matches, view_of};
use crate::app::view::HitView;
use crate::app::{Error, ErrorCode};
use crate::base::{HashSeed, Lru};
use crate::library::{Criteria, bytes};
use crate::wire::hit::QueryHit;
use crate::wire::{Guid, Urn};

/// Queries that one question with alternatives sends.
const MAX_TEXTS: usize = 8;
/// Contents that a watch remembers to have seen; above it the one that nobody offered for longest is forgotten.
pub(super) const SEEN: usize = 10_000;
/// Hits that are kept to be shown; the oldest goes.
pub(super) const HITS: usize = 100;
/// New contents that one question brings; what comes above it may be new the next time.
const NEWS: u32 = 100;
/// Downloads that a watch begins in a day.
const GETS_A_DAY: u32 = 50;
/// Bytes of names that are kept.
const NAME: usize = 1024;
const _: () = assert!(NAME <= MAX_NAME);

/// A standing question.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) request: WatchRequest,
    /// What is fetched at most; `None` when nothing is.
    pub(super) get_below: Option<u64>,
    criteria: Criteria,
    pub(super) texts: Vec<String>,
    seen: Lru<u64, ()>,
    pub(super) hits: VecDeque<HitView>,
    /// Hits so far.
    pub(super) told: u32,
    /// Those that nobody has looked at.
    pub(super) new: u32,
    /// Downloads begun.
    pub(super) got: u32,
    /// Seconds since 1970 when it was asked last.
    pub(super) asked_s: Option<u64>,
    /// New contents since then.
    news: u32,
    /// The day since 1970 of the last download, and how many there were in it.
    got_on: (u64, u32),
}

/// As it is kept in the state.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct KeptWatch {
    pub(super) id: u64,
    request: WatchRequest,
    pub(super) paused: bool,
    pub(super) pause_s: u64,
    pub(super) asked_s: Option<u64>,
    told: u32,
    new: u32,
    got: u32,
    got_on: (u64, u32),
    /// 16 hex digits each, those offered last first.
    seen: String,
    hits: Vec<HitView>,
}

/// What is to be done about new content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    Tell,
    TellAndGet,
}

impl Watch {
    /// A new one, or what is wrong with the request.
    pub(super) fn new(request: WatchRequest, seed: HashSeed) -> Result<Self, Error> {
        let usage = |message: String| Error::new(ErrorCode::Usage, message);
        let criteria = Criteria::parse(&request.query).map_err(|error| {
            usage(error.to_string()).hint("Try: `filbert watch add blue train ext:flac --get --max 100M`")
        })?;
        let max = request.max.as_deref().map(bytes).transpose().map_err(|error| usage(error.to_string()))?;
        if request.get && max.is_none() {
            return Err(usage("what a watch fetches by itself needs a bound".to_owned())
                .hint("Say how big a file may be: --get --max 100M"));
        }
        let mut texts = if criteria.urns.is_empty() { criteria.wire_texts() } else { vec![String::new()] };
        texts.truncate(MAX_TEXTS);
        Ok(Self {
            get_below: max.filter(|_| request.get),
            request,
            criteria,
            texts,
            seen: Lru::new(SEEN, seed),
            hits: VecDeque::new(),
            told: 0,
            new: 0,
            got: 0,
            asked_s: None,
            news: 0,
            got_on: (0, 0),
        })
    }

    /// One of an earlier run.
    pub(super) fn again(kept: KeptWatch, seed: HashSeed) -> Result<Self, Error> {
        let mut watch = Self::new(kept.request, seed)?;
        let seen = HEXLOWER.decode(kept.seen.as_bytes()).unwrap_or_default();
        let (seen, _) = seen.as_chunks::<8>();
        // The one used last goes in last.
        seen.iter().take(SEEN).rev().for_each(|key| {
            watch.seen.put(u64::from_be_bytes(*key), ());
        });
        watch.hits = kept.hits.into_iter().take(HITS).collect();
        (watch.told, watch.new, watch.got, watch.got_on) = (kept.told, kept.new, kept.got, kept.got_on);
        watch.asked_s = kept.asked_s;
        Ok(watch)
    }

    pub(super) fn kept(&self, id: u64, paused: bool, pause_s: u64) -> KeptWatch {
        let seen: Vec<u8> = self.seen.iter().flat_map(|(key, ())| key.to_be_bytes()).collect();
        KeptWatch {
            id,
            request: self.request.clone(),
            paused,
            pause_s,
            asked_s: self.asked_s,
            told: self.told,
            new: self.new,
            got: self.got,
            got_on: self.got_on,
            seen: HEXLOWER.encode(&seen),
            hits: self.hits.iter().cloned().collect(),
        }
    }

    pub(super) fn urns(&self) -> &[Urn] {
        &self.criteria.urns
    }

    /// It was asked now.
    pub(super) fn asked(&mut self, unix_s: u64) {
        self.asked_s = Some(unix_s);
        self.news = 0;
    }

    /// What in a hit matches and was never seen, and what is to be done about it. `have` says what is here already:
    /// that is no news.
    pub(super) fn take(
        &mut self,
        hit: &QueryHit,
        hops: u8,
        own: Guid,
        unix_s: u64,
        have: impl Fn(&Urn) -> bool,
    ) -> Vec<(HitView, Then)> {
        let mut new = Vec::new();
        if hit.servent == own {
            return new;
        }
        for entry in &hit.entries {
            let name = entry.name.to_str();
            let name = file_name(&name);
            if name.len() > NAME || !matches(&self.criteria, entry, name) {
                continue;
            }
            let mut view = view_of(hit, entry, name.to_owned(), hops);
            let key = key_of(&view);
            if self.seen.get(&key).is_some() {
                continue;
            }
            if self.news >= NEWS {
                break;
            }
            self.seen.put(key, ());
            if entry.urns.iter().any(&have) {
                continue;
            }
            self.news += 1;
            self.told = self.told.saturating_add(1);
            self.new = self.new.saturating_add(1);
            view.hit = self.told;
            if self.hits.len() >= HITS {
                self.hits.pop_front();
            }
            self.hits.push_back(view.clone());
            let then = self.then(&view, unix_s / 86_400);
            new.push((view, then));
        }
        new
    }

    /// Only what has a name that bytes can be held against is fetched without being asked for.
    fn then(&mut self, view: &HitView, day: u64) -> Then {
        let small = self.get_below.is_some_and(|max| view.size <= max);
        if !small || view.urn.is_none() {
            return Then::Tell;
        }
        if self.got_on.0 != day {
            self.got_on = (day, 0);
        }
        if self.got_on.1 >= GETS_A_DAY {
            return Then::Tell;
        }
        self.got_on.1 += 1;
        Then::TellAndGet
    }
}

/// What content is remembered by: a hash of its name, or of name and size where it has none.
fn key_of(hit: &HitView) -> u64 {
    let hash = blake3::hash(content_of(hit).as_bytes());
    hash.as_bytes().first_chunk().map_or(0, |key| u64::from_be_bytes(*key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::session::tests::{SHA1, entry, hit};
    use crate::base::Rng;

    const OTHER: &str = "urn:sha1:VGMT4NSHA2AWVOR6EVYXQUGCNSONBWE5";
    const OWN: Guid = Guid([9; 16]);

    fn watch(query: &str, max: Option<&str>) -> Watch {
        let request = WatchRequest { query: query.into(), get: max.is_some(), max: max.map(str::to_owned) };
        Watch::new(request, HashSeed::new(&mut Rng::from_number(1))).expect("a watch")
    }

    fn names(news: &[(HitView, Then)]) -> Vec<(&str, Then)> {
        news.iter().map(|(hit, then)| (hit.name.as_str(), *then)).collect()
    }

    #[test]
    fn what_was_seen_is_never_news_again() {
        let mut watch = watch("train", Some("1M"));
        let none = |_: &Urn| false;
        let first = hit(1, vec![entry(1, "blue train", &[SHA1]), entry(2, "boat", &[OTHER]), entry(3, "train", &[])]);
        let news = watch.take(&first, 1, OWN, 0, none);
        assert_eq!(names(&news), [("blue train", Then::TellAndGet), ("train", Then::Tell)]);
        // The same content elsewhere, under another name; the same name and size without a hash.
        let again = hit(2, vec![entry(7, "Train (blue)", &[SHA1]), entry(8, "train", &[])]);
        assert_eq!(names(&watch.take(&again, 1, OWN, 0, none)), []);
        let kept = watch.kept(1, false, 600);
        let text = serde_json::to_string(&kept).expect("json");
        let kept = serde_json::from_str(&text).expect("what was written");
        let mut later = Watch::again(kept, HashSeed::new(&mut Rng::from_number(2))).expect("a watch");
        assert_eq!(names(&later.take(&first, 1, OWN, 0, none)), []);
        assert_eq!((later.told, later.new, later.hits.len()), (2, 2, 2));
    }

    #[test]
    fn what_is_ours_or_here_is_no_news() {
        let mut watch = watch("train", Some("1M"));
        let all = hit(1, vec![entry(1, "train a", &[SHA1]), entry(2, "train b", &[OTHER])]);
        let ours: Urn = SHA1.parse().expect("a urn");
        assert_eq!(names(&watch.take(&all, 1, all.servent, 0, |_| false)), []);
        assert_eq!(names(&watch.take(&all, 1, OWN, 0, |urn| *urn == ours)), [("train b", Then::TellAndGet)]);
    }

    #[test]
    fn a_liar_makes_us_tell_and_fetch_only_so_much() {
        let mut watch = watch("train", Some("1M"));
        let sized = |n: u32, urn: &str| entry(n, &format!("train {n}"), &[urn]);
        let urn = |n: u32| {
            format!("urn:sha1:{}", data_encoding::BASE32.encode(&blake3::hash(&n.to_be_bytes()).as_bytes()[..20]))
        };
        let many = |from: u32| hit(1, (from..from + 200).map(|n| sized(n, &urn(n))).collect());
        let news = watch.take(&many(0), 1, OWN, 0, |_| false);
        let gets = news.iter().filter(|(_, then)| *then == Then::TellAndGet).count();
        assert_eq!((news.len(), gets), (NEWS as usize, GETS_A_DAY as usize));
        assert_eq!(watch.take(&many(500), 1, OWN, 0, |_| false).len(), 0, "until it is asked again");
        watch.asked(60);
        assert_eq!(names(&watch.take(&many(500), 1, OWN, 60, |_| false))[0].1, Then::Tell, "no more today");
        watch.asked(86_400);
        assert_eq!(names(&watch.take(&many(900), 1, OWN, 86_400, |_| false))[0].1, Then::TellAndGet, "tomorrow");
        assert_eq!((watch.hits.len(), watch.told), (HITS, 300));
        for from in (1_000..20_000).step_by(100) {
            watch.asked(0);
            watch.take(&many(from), 1, OWN, 0, |_| false);
        }
        assert_eq!(watch.seen.len(), SEEN);
    }

    #[test]
    fn only_files_up_to_the_bound_are_fetched_and_there_must_be_one() {
        let all = hit(1, vec![entry(1, "train", &[SHA1])]);
        for (max, then) in [(None, Then::Tell), (Some("9"), Then::Tell), (Some("10"), Then::TellAndGet)] {
            assert_eq!(names(&watch("train", max).take(&all, 1, OWN, 0, |_| false)), [("train", then)], "{max:?}");
        }
        let wrong = |query: &str, get, max: Option<&str>| {
            let request = WatchRequest { query: query.into(), get, max: max.map(str::to_owned) };
            Watch::new(request, HashSeed::new(&mut Rng::from_number(1))).expect_err("wrong").message
        };
        assert!(wrong("train", true, None).contains("bound"));
        assert!(!wrong("train", true, Some("big")).is_empty());
        assert!(!wrong("-train", false, None).is_empty());
    }
}
