//! A new download, or none: what is wanted may be here, or be fetched, already.

use std::path::PathBuf;
use std::sync::Arc;

use super::here::{self, stamp_of};
use super::live::{Live, Whose};
use super::record::{Change, MAX_SOURCES, MAX_UNFINISHED, Record, SourceRecord, Standing};
use super::{Inner, Wanted};
use crate::app::view::TransferView;
use crate::app::{Error, ErrorCode};
use crate::disk::{Claim, next_step, why_unwritten};
use crate::net::rt;
use crate::transfer::{Input, Source, name};

impl Inner {
    /// Starts a download, joins the one of the same content, or finds that the file is here already. Whoever is told of a
    /// download has one that survives a crash, also when somebody else began it a moment ago.
    pub(super) async fn get(self: &Arc<Self>, mut wanted: Wanted) -> Result<TransferView, Error> {
        let known = {
            let _turn = self.getting.lock().await;
            self.known(&mut wanted)?
        };
        if let Some(live) = known {
            return Ok(self.kept(&live).await);
        }
        if wanted.sources.is_empty() && wanted.expected.urn().is_none() {
            let message = "neither a source nor a hash of the file is known";
            return Err(Error::new(ErrorCode::Usage, message).hint("Say a hit's number, urn:sha1:... or a link"));
        }
        if self.table().unfinished() >= MAX_UNFINISHED {
            let message = format!("{MAX_UNFINISHED} downloads are not finished yet: more are not begun");
            return Err(Error::new(ErrorCode::Refused, message).hint("Cancel some: `filbert cancel N`"));
        }
        let dir = wanted.dir.take().unwrap_or_else(|| self.config.dir.clone());
        let dir = std::path::absolute(&dir).unwrap_or(dir);
        // To read what lies there may take long: nobody else waits for that.
        let here = self.is_here(&wanted, &dir).await;
        let turn = self.getting.lock().await;
        if let Some(live) = self.known(&mut wanted)? {
            drop(turn);
            return Ok(self.kept(&live).await);
        }
        let id = self.new_id().await?;
        let record = self.new_record(id, &wanted, dir, here);
        let over = record.standing.is_over();
        let claim = if over || self.config.resume { None } else { self.claim(id).await };
        let live = self.insert(record);
        if let Some(claim) = claim {
            live.belongs(Whose::Claimed(claim));
        }
        live.lock().dirty = true;
        self.note(&live);
        // Now the next one sees it; they are written down together.
        drop(turn);
        if !over {
            // From here on it survives a crash.
            self.save_it(&live).await;
            self.begin(&live);
        }
        Ok(live.view())
    }

    /// One that there is already, when it is written down.
    async fn kept(self: &Arc<Self>, live: &Live) -> TransferView {
        // Whoever began it may still wait for that.
        self.save_it(live).await;
        live.view()
    }

    /// A servent that starts beside us is not to take it up while we fetch it.
    async fn claim(&self, id: u64) -> Option<Claim> {
        let state = self.config.state.clone();
        let claimed = rt::spawn_blocking(move || Claim::take(&state, id)).await;
        let failed =
            |error: &_| log::warn!("cannot claim download {id}: {error}; a servent started now may fetch it too");
        claimed.inspect_err(failed).ok()
    }

    /// What is fetched already, or was.
    fn known(&self, wanted: &mut Wanted) -> Result<Option<Arc<Live>>, Error> {
        if self.table().closed {
            return Err(Error::new(ErrorCode::Failed, "the servent is going down"));
        }
        let Some(live) = self.same_download(wanted) else { return Ok(self.had_before(&wanted.expected)) };
        let nameless = wanted.expected.urn().is_none();
        for source in wanted.sources.drain(..) {
            if nameless {
                self.table().may_be_asked_for(live.id, &source);
            }
            live.add_source(source);
        }
        self.go_on(&live, Input::Resume);
        Ok(Some(live))
    }

    fn new_record(&self, id: u64, wanted: &Wanted, dir: PathBuf, here: Option<here::Here>) -> Record {
        let name = match (wanted.name.is_empty(), wanted.expected.urn()) {
            (true, Some(urn)) => urn.to_string(),
            _ => wanted.name.clone(),
        };
        let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let mut record = Record {
            id,
            name: name::sanitise(&name),
            named: !wanted.name.is_empty(),
            sha1: None,
            tth: None,
            blake3: None,
            size: wanted.size,
            size_heard: false,
            dir,
            on_exists: wanted.on_exists.word().map(str::to_owned),
            priority: wanted.priority,
            part: None,
            standing: Standing::Unfinished,
            done: 0,
            reason: String::new(),
            error: None,
            sources: wanted.sources.iter().take(MAX_SOURCES).map(SourceRecord::from).collect(),
            created_ms: u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX),
            elapsed_ms: 0,
            path: None,
            mtime_ns: None,
            verified: None,
        };
        record.set_expected(&wanted.expected);
        if let Some(here) = here {
            record.standing = Standing::Done;
            record.size = Some(here.size);
            record.done = here.size;
            record.reason = here.reason;
            record.verified = Some(here.verified.word().to_owned());
            record.name = here.path.file_name().map_or(record.name, |name| name.to_string_lossy().into_owned());
            record.mtime_ns = stamp_of(&here.path).map(|(_, mtime_ns)| mtime_ns);
            record.path = Some(here.path);
        }
        record
    }

    /// An unfinished download of the same content; without a hash, of the same file at the same source.
    fn same_download(&self, wanted: &Wanted) -> Option<Arc<Live>> {
        let nameless = wanted.expected.urn().is_none();
        let candidates = match nameless {
            true => self.table().asked_for(&wanted.sources),
            false => self.of(&wanted.expected),
        };
        let same_source =
            |source: &Source| wanted.sources.iter().any(|wanted| wanted.is_same(source) && wanted.ask == source.ask);
        candidates.into_iter().find(|live| {
            let elsewhere = live.is_elsewhere();
            let live = live.lock();
            match live.machine() {
                _ if elsewhere => !nameless,
                Some(machine) if machine.state().is_over() => false,
                Some(machine) => !nameless || machine.sources().any(same_source),
                // One that is just being written down has none yet.
                None if live.record.standing.is_over() => false,
                None => {
                    let mut sources = live.record.sources.iter().filter_map(SourceRecord::read);
                    !nameless || sources.any(|source| same_source(&source))
                }
            }
        })
    }

    /// For a new download. Private servents share the state with others: they take their numbers out of it.
    async fn new_id(self: &Arc<Self>) -> Result<u64, Error> {
        if self.config.resume {
            return Ok(self.own_id().await);
        }
        let journal = Arc::clone(&self.journal);
        let taken = rt::spawn_blocking(move || {
            journal.update(|saved| {
                let id = saved.free_id();
                (vec![Change::NextId(id + 1)], id)
            })
        });
        taken.await.map_err(|error| {
            let place = self.journal.path().display();
            let why = why_unwritten(&error);
            Error::new(ErrorCode::Failed, format!("cannot write {place}: {why}")).hint(next_step(&error))
        })
    }
}
