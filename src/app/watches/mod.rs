//! Saved searches: questions that stand until they are removed. They are asked again and again, politely
//! ([`schedule`]); what matches and was never seen is told, and fetched where that is wanted ([`watch`]).
//!
//! They are kept in the state, with what they have seen. A private servent has none.

mod schedule;
mod tend;
mod watch;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

pub use schedule::WatchPace;
use schedule::{Before, Schedule};
use watch::{KeptWatch, Then, Watch};

use super::events::{Bell, lock};
use super::kept::unwritten;
use super::searches::{Found, Searches, sources};
use super::view::{HitView, WatchView};
use super::{Error, ErrorCode};
use crate::base::{HashSeed, Instant};
use crate::disk::state::StateFile;
use crate::net::{Clock, rt};
use crate::proto::SearchId;
use crate::wire::hit::QueryHit;
use crate::wire::{Guid, Urn};

/// Watches of one servent.
const WATCHES: usize = 64;
/// Queries of all watches that still take hits; the oldest ends.
const LISTENING: usize = 16;

/// What to watch for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct WatchRequest {
    /// In the query language.
    pub query: String,
    /// Fetch what matches.
    #[serde(default)]
    pub get: bool,
    /// ... if it is not larger than that: `100M`.
    #[serde(default)]
    pub max: Option<String>,
}

/// A hit that was never seen before, and what it is for.
pub(super) struct News {
    pub(super) watch: u64,
    pub(super) query: String,
    pub(super) hit: HitView,
    pub(super) getting: bool,
}

/// All watches of a servent.
pub(super) struct Watches {
    own: Guid,
    clock: Clock,
    seed: HashSeed,
    searches: Arc<Searches>,
    /// `None` where nothing is kept.
    file: Option<StateFile>,
    table: Mutex<Table>,
    /// One state is written after the other.
    saving: futures::lock::Mutex<()>,
    pub(super) bell: Bell,
}

struct Table {
    watches: BTreeMap<u64, Watch>,
    schedule: Schedule,
    last_id: u64,
    /// Whose queries still take hits, oldest first.
    listening: VecDeque<(SearchId, u64)>,
    /// What is to be fetched.
    wanted: VecDeque<(u64, HitView)>,
    /// Something is not in the state yet.
    dirty: bool,
}

/// As it is kept in the state.
#[derive(Debug, Default, Serialize, Deserialize)]
struct KeptWatches {
    last_id: u64,
    watches: Vec<KeptWatch>,
}

impl Watches {
    /// Those of `file`.
    pub(super) fn open(
        own: Guid,
        clock: Clock,
        seed: HashSeed,
        pace: WatchPace,
        searches: Arc<Searches>,
        file: Option<StateFile>,
    ) -> Self {
        let kept: KeptWatches = file.as_ref().and_then(|file| file.load().or_log()).unwrap_or_default();
        let mut table = Table {
            watches: BTreeMap::new(),
            schedule: Schedule::new(pace),
            last_id: kept.last_id,
            listening: VecDeque::new(),
            wanted: VecDeque::new(),
            dirty: false,
        };
        let (now, today) = (clock.now(), unix_s());
        for kept in kept.watches.into_iter().take(WATCHES) {
            let (id, paused) = (kept.id, kept.paused);
            let before = Before {
                // A clock that was set back says nothing: then it was just now.
                asked: kept.asked_s.map(|asked| Duration::from_secs(today.saturating_sub(asked))),
                pause: Duration::from_secs(kept.pause_s),
                paused,
            };
            match Watch::again(kept, seed) {
                Ok(watch) => {
                    table.schedule.add(id, now, watch.texts.len(), before);
                    table.last_id = table.last_id.max(id);
                    table.watches.insert(id, watch);
                }
                Err(error) => log::warn!(target: "filbert::search", "watch {id} cannot be taken up: {error}"),
            }
        }
        let (table, saving) = (Mutex::new(table), futures::lock::Mutex::new(()));
        Self { own, clock, seed, searches, file, table, saving, bell: Bell::default() }
    }

    /// All of them, by number.
    pub(super) fn views(&self) -> Vec<WatchView> {
        let table = lock(&self.table);
        table.watches.keys().filter_map(|&id| table.view(id, self.clock.now())).collect()
    }

    /// A new one.
    pub(super) async fn add(&self, request: WatchRequest) -> Result<WatchView, Error> {
        let watch = Watch::new(request, self.seed)?;
        let now = self.clock.now();
        let view = {
            let mut table = lock(&self.table);
            let same = table.watches.iter().find(|(_, other)| other.request.query == watch.request.query);
            if let Some((id, _)) = same {
                return Err(Error::new(ErrorCode::Usage, format!("watch {id} asks that already"))
                    .hint(format!("To ask it otherwise: `filbert watch remove {id}`")));
            }
            if table.watches.len() >= WATCHES {
                return Err(Error::new(ErrorCode::Refused, format!("there are {WATCHES} watches already"))
                    .hint("Remove one: `filbert watch remove N`"));
            }
            table.last_id += 1;
            let id = table.last_id;
            table.schedule.add(id, now, watch.texts.len(), Before::default());
            table.watches.insert(id, watch);
            table.view(id, now).ok_or_else(|| no_such(id))?
        };
        self.bell.ring();
        self.save().await?;
        Ok(view)
    }

    /// Ends one.
    pub(super) async fn remove(&self, id: u64) -> Result<(), Error> {
        let ended = {
            let mut table = lock(&self.table);
            table.watches.remove(&id).ok_or_else(|| no_such(id))?;
            table.schedule.remove(id);
            table.wanted.retain(|(watch, _)| *watch != id);
            let ended: Vec<SearchId> = table.listening.iter().filter(|(_, of)| *of == id).map(|(s, _)| *s).collect();
            table.listening.retain(|(_, of)| *of != id);
            ended
        };
        ended.into_iter().for_each(|search| self.searches.end_ask(search));
        self.bell.ring();
        self.save().await
    }

    /// Lets one ask no more, or again.
    pub(super) async fn set_paused(&self, id: u64, paused: bool) -> Result<WatchView, Error> {
        let view = {
            let mut table = lock(&self.table);
            table.schedule.set_paused(id, paused);
            table.view(id, self.clock.now()).ok_or_else(|| no_such(id))?
        };
        self.bell.ring();
        self.save().await?;
        Ok(view)
    }

    /// The latest hits of one, oldest first.
    pub(super) fn hits(&self, id: u64) -> Result<Vec<HitView>, Error> {
        let table = lock(&self.table);
        let watch = table.watches.get(&id).ok_or_else(|| no_such(id))?;
        Ok(watch.hits.iter().cloned().collect())
    }

    /// Somebody has looked at its hits.
    pub(super) async fn looked_at(&self, id: u64) -> Result<WatchView, Error> {
        let view = {
            let mut table = lock(&self.table);
            table.watches.get_mut(&id).ok_or_else(|| no_such(id))?.new = 0;
            table.view(id, self.clock.now()).ok_or_else(|| no_such(id))?
        };
        self.save().await?;
        Ok(view)
    }

    /// A link came up.
    pub(super) fn on_neighbour(&self) {
        lock(&self.table).schedule.on_neighbour(self.clock.now());
        self.bell.ring();
    }

    /// A hit came for a query. What is new in it, and what it means for downloads that there are.
    pub(super) fn on_hit(
        &self,
        search: SearchId,
        hit: &QueryHit,
        hops: u8,
        have: impl Fn(&Urn) -> bool,
    ) -> (Vec<News>, Found) {
        let mut table = lock(&self.table);
        let table = &mut *table;
        let of = table.listening.iter().find(|(asked, _)| *asked == search);
        let Some((id, watch)) = of.and_then(|(_, id)| Some((*id, table.watches.get_mut(id)?))) else {
            return (Vec::new(), Vec::new());
        };
        let new = watch.take(hit, hops, self.own, unix_s(), have);
        let more = match watch.get_below {
            Some(_) if hit.servent != self.own => {
                let urns = hit.entries.iter().filter_map(|entry| entry.urns.first());
                urns.flat_map(|urn| sources(hit, urn)).collect()
            }
            _ => Vec::new(),
        };
        if !new.is_empty() {
            table.schedule.on_news(id);
            table.dirty = true;
        }
        let mut news = Vec::new();
        for (hit, then) in new {
            let getting = then == Then::TellAndGet;
            if getting {
                watch.got = watch.got.saturating_add(1);
                table.wanted.push_back((id, hit.clone()));
            }
            news.push(News { watch: id, query: watch.request.query.clone(), hit, getting });
        }
        if !news.is_empty() {
            self.bell.ring();
        }
        (news, more)
    }

    /// When the next one is due; `None` while none is.
    fn next(&self) -> Option<Duration> {
        lock(&self.table).schedule.next().map(|at| at.since(self.clock.now()))
    }

    /// The next file to fetch.
    fn next_wanted(&self) -> Option<(u64, HitView)> {
        lock(&self.table).wanted.pop_front()
    }

    /// Asks for the one whose turn it is.
    fn ask(&self) {
        let mut table = lock(&self.table);
        let Some(id) = table.schedule.take(self.clock.now()) else { return };
        let Some(watch) = table.watches.get_mut(&id) else { return };
        watch.asked(unix_s());
        let searches = self.searches.ask(&watch.texts, watch.urns());
        log::info!(target: "filbert::search", "watch {id} asks the network");
        table.dirty = true;
        table.listening.extend(searches.into_iter().map(|search| (search, id)));
        while table.listening.len() > LISTENING {
            if let Some((old, _)) = table.listening.pop_front() {
                self.searches.end_ask(old);
            }
        }
        drop(table);
        self.bell.ring();
    }

    fn is_dirty(&self) -> bool {
        lock(&self.table).dirty
    }

    /// Writes the state.
    pub(super) async fn save(&self) -> Result<(), Error> {
        let Some(file) = self.file.clone() else { return Ok(()) };
        let _turn = self.saving.lock().await;
        let kept = {
            let mut table = lock(&self.table);
            table.dirty = false;
            table.kept()
        };
        let written = rt::spawn_blocking(move || file.save(&kept).map_err(|error| unwritten(&file, &error))).await;
        if written.is_err() {
            lock(&self.table).dirty = true;
        }
        written
    }
}

impl Table {
    fn view(&self, id: u64, now: Instant) -> Option<WatchView> {
        let watch = self.watches.get(&id)?;
        let next = self.schedule.next_of(id);
        Some(WatchView {
            id,
            query: watch.request.query.clone(),
            get: watch.request.get,
            max: watch.get_below,
            paused: next.is_none(),
            asked_ago_s: watch.asked_s.map(|asked| unix_s().saturating_sub(asked)),
            next_s: next.map(|next| next.since(now).as_secs()),
            hits: watch.told.into(),
            new: watch.new.into(),
            fetched: watch.got.into(),
        })
    }

    fn kept(&self) -> KeptWatches {
        let watches = self.watches.iter().map(|(&id, watch)| {
            let paused = self.schedule.next_of(id).is_none();
            watch.kept(id, paused, self.schedule.pause_of(id).as_secs())
        });
        KeptWatches { last_id: self.last_id, watches: watches.collect() }
    }
}

fn no_such(id: u64) -> Error {
    Error::new(ErrorCode::NotFound, format!("there is no watch {id}")).hint("`filbert watch` lists them")
}

/// Seconds since 1970.
fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
