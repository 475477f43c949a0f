//! What of the downloads is written down, and read at the next start.
//!
//! What has changed is appended to the journal ([`crate::disk::Journal`]), for all who wait together; the others are not
//! touched.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::{io, mem};

use super::live::{Live, Whose};
use super::record::{Change, Record, Saved};
use super::table::Table;
use super::{ELSEWHERE, Inner};
use crate::app::{Error, ErrorCode};
use crate::disk::{Claim, Journalled, remove_empty, why_unwritten};
use crate::net::rt;
use crate::transfer::name;

/// Numbers that are used up before the state has to be written again.
const IDS_AHEAD: u64 = 64;
/// Uploads that begin meanwhile may take what was set apart; a download asks again so often.
const TRIES: u32 = 8;

impl Inner {
    /// Takes up what an earlier run left.
    pub(super) async fn load(self: &Arc<Self>) -> Result<(), Error> {
        let journal = Arc::clone(&self.journal);
        let loaded: io::Result<Saved> = rt::spawn_blocking(move || journal.load()).await;
        let mut saved = loaded.map_err(|error| {
            let words = format!("cannot read {} or its log: {error}", self.journal.path().display());
            Error::new(ErrorCode::Failed, words)
                .hint("Nothing was changed. Check who owns the files there, and ulimit -n")
        })?;
        self.table().next_id = saved.free_id();
        if !self.config.resume {
            return Ok(());
        }
        let inner = Arc::clone(self);
        let set_apart = rt::spawn_blocking(move || inner.set_ids_apart()).await;
        if self.note_saved(&set_apart).is_some() {
            self.ring_saver();
        }
        let incomplete = self.config.dir.join("incomplete");
        let known = saved.downloads.values().filter_map(|record| record.part.clone()).collect();
        rt::spawn_blocking(move || remove_empty(&incomplete, &known)).await;
        saved.tidy();
        for mut record in saved.downloads.into_values() {
            record.name = name::sanitise(&record.name);
            let over = record.standing.is_over();
            let live = self.insert(record);
            if !over && self.is_claimed(live.id).await {
                live.belongs(Whose::Elsewhere);
                self.wait_for_heritage(live);
            } else if !over {
                self.begin(&live);
            }
        }
        Ok(())
    }

    /// Takes numbers out of the state, which no other process then gives to its downloads. May block.
    fn set_ids_apart(&self) -> io::Result<()> {
        let ahead = {
            let table = self.table();
            // Who gives many needs not ask often.
            IDS_AHEAD.max(table.given_ids)
        };
        let begin = self.journal.update(|saved| {
            let begin = saved.free_id();
            (vec![Change::NextId(begin + ahead)], begin)
        })?;
        let mut table = self.table();
        if table.next_id >= table.saved_id {
            table.next_id = table.next_id.max(begin);
            table.saved_id = begin + ahead;
        } else if table.saved_id == begin {
            table.saved_id += ahead;
        } else {
            table.more = begin..begin + ahead;
        }
        Ok(())
    }

    /// One more in the table.
    pub(super) fn insert(&self, record: Record) -> Arc<Live> {
        let live = Live::new(record.clone(), self.start);
        self.table().insert(&live, &record);
        live
    }

    /// Whether another process fetches it.
    async fn is_claimed(&self, id: u64) -> bool {
        let state = self.config.state.clone();
        rt::spawn_blocking(move || Claim::is_held(&state, id)).await
    }

    /// A `get` that found no servent fetches it in its own process: what that leaves is ours when it has ended.
    fn wait_for_heritage(self: &Arc<Self>, live: Arc<Live>) {
        let (inner, id) = (Arc::clone(self), live.id);
        let waiting = rt::spawn(async move {
            while inner.is_claimed(id).await {
                rt::sleep(ELSEWHERE).await;
            }
            let journal = Arc::clone(&inner.journal);
            let loaded: io::Result<Saved> = rt::spawn_blocking(move || journal.load()).await;
            let unread = |error: &io::Error| log::warn!("cannot read {}: {error}", inner.journal.path().display());
            let Ok(mut saved) = loaded.inspect_err(unread) else { return };
            let Some(mut record) = saved.downloads.remove(&id) else { return };
            record.name = name::sanitise(&record.name);
            let over = record.standing.is_over();
            inner.table().insert(&live, &record);
            live.inherit(record);
            (inner.hooks.changed)(live.view());
            if !over {
                inner.begin(&live);
            }
        });
        self.table().tasks.insert(id, waiting);
    }

    /// A fresh number, maybe one that is not set apart: for where that cannot be written.
    pub(super) fn next_id(&self) -> u64 {
        self.give_id(&mut self.table())
    }

    /// A fresh number of an upload: more are set apart when there is none left, at once, so that no other gets it after a
    /// crash. May block, once for [`IDS_AHEAD`] uploads and then ever more rarely.
    pub(super) fn upload_id(&self) -> u64 {
        let is_out = |table: &Table| table.next_id >= table.saved_id && table.more.is_empty() && !table.closed;
        let can_write = || self.unsaved.lock().unwrap_or_else(PoisonError::into_inner).is_none();
        if self.config.resume && is_out(&self.table()) && can_write() {
            self.note_saved(&self.set_ids_apart());
        }
        self.next_id()
    }

    /// A fresh number that no other process gives to its downloads: more are set apart when there is none left.
    pub(super) async fn own_id(self: &Arc<Self>) -> u64 {
        for _ in 0..TRIES {
            {
                let mut table = self.table();
                if table.next_id < table.saved_id || !table.more.is_empty() {
                    return self.give_id(&mut table);
                }
            }
            if !self.save().await {
                break;
            }
        }
        // Where we cannot write, the others cannot take any.
        self.next_id()
    }

    fn give_id(&self, table: &mut Table) -> u64 {
        if table.next_id >= table.saved_id && !table.more.is_empty() {
            (table.next_id, table.saved_id) = (table.more.start, table.more.end);
            table.more = 0..0;
        }
        let id = table.next_id.max(1);
        table.next_id = id + 1;
        table.given_ids += 1;
        if self.is_low(table) {
            self.ring_saver();
        }
        id
    }

    /// Whether the numbers that the state has set apart for us are nearly used up.
    fn is_low(&self, table: &Table) -> bool {
        self.config.resume && !table.closed && table.more.is_empty() && table.next_id + IDS_AHEAD / 2 > table.saved_id
    }

    /// Something about a download may have to be written down.
    pub(super) fn note(&self, live: &Live) {
        if live.lock().dirty {
            self.table().changed.insert(live.id);
            self.ring_saver();
        }
    }

    pub(super) fn ring_saver(&self) {
        // It is rung already when it is full.
        let _ = self.save_bell.lock().unwrap_or_else(PoisonError::into_inner).try_send(());
    }

    /// Nothing runs any more: all that goes on in the next run is written down as it is now.
    pub(super) async fn save_all(self: &Arc<Self>) {
        let all = self.all();
        let ours = all.iter().filter(|live| !live.is_elsewhere());
        let left: Vec<u64> = ours.filter(|it| it.lock().dirty || !it.standing().is_over()).map(|it| it.id).collect();
        self.table().changed.extend(left);
        self.save().await;
        if !self.config.resume {
            return;
        }
        let journal = Arc::clone(&self.journal);
        if let Err(error) = rt::spawn_blocking(move || journal.rewrite()).await {
            log::warn!("cannot write {}: {error}; its log tells the rest", self.journal.path().display());
        }
    }

    /// Returns when a download is written down as it is now.
    pub(super) async fn save_it(self: &Arc<Self>, live: &Live) {
        self.note(live);
        self.save().await;
    }

    /// Writes down what has changed, unless somebody does just now; then after that. Returns when all that had changed
    /// before is on the disk, or cannot be: whether it is. One save does for all who wait for their turn.
    pub(super) async fn save(self: &Arc<Self>) -> bool {
        let (asked, written) = &self.saves;
        let wanted = asked.fetch_add(1, Ordering::SeqCst) + 1;
        let _turn = self.saving.lock().await;
        if written.load(Ordering::SeqCst) >= wanted {
            return true;
        }
        let known = asked.load(Ordering::SeqCst);
        let inner = Arc::clone(self);
        let saved = rt::spawn_blocking(move || inner.write_changes()).await.is_ok();
        if saved {
            written.store(known, Ordering::SeqCst);
        }
        saved
    }

    /// Remembers whether the state could be written, and says so when that changes. Returns why it could not be.
    fn note_saved(&self, saved: &io::Result<()>) -> Option<String> {
        let path = self.journal.path().display();
        let why = saved.as_ref().err().map(|error| format!("cannot write {path}: {}", why_unwritten(error)));
        let mut unsaved = self.unsaved.lock().unwrap_or_else(PoisonError::into_inner);
        match &why {
            Some(why) if unsaved.as_ref() != Some(why) => log::warn!("{why}; downloads may be forgotten at a crash"),
            None if unsaved.is_some() => log::info!("{path} is written again"),
            _ => {}
        }
        unsaved.clone_from(&why);
        why
    }

    /// What is written last is what was seen last: a save that was given up may still come to its end.
    fn write_changes(&self) -> io::Result<()> {
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let (changed, low) = {
            let mut table = self.table();
            (mem::take(&mut table.changed), self.is_low(&table))
        };
        let set_apart = if low { self.set_ids_apart() } else { Ok(()) };
        // What another process fetches it writes down itself.
        let ours = changed.iter().filter_map(|id| self.find(*id).ok()).filter(|live| !live.is_elsewhere());
        let lives: Vec<Arc<Live>> = ours.collect();
        let records: Vec<Record> = lives.iter().map(|live| live.record()).collect();
        let over: Vec<(u64, bool)> = records.iter().map(|record| (record.id, record.standing.is_over())).collect();
        let changes: Vec<Change> = records.into_iter().map(|record| Change::Put(Box::new(record))).collect();
        let appended = if changes.is_empty() { Ok(()) } else { self.journal.append(&changes) };
        let mut table = self.table();
        if appended.is_err() {
            table.changed.extend(changed);
        }
        over.into_iter().for_each(|(id, over)| table.is_over(id, over));
        let gone = table.take_too_old();
        drop(table);
        // A task that is dropped may want the table.
        drop(gone);
        let saved = appended.and(set_apart);
        let why_not = self.note_saved(&saved);
        lives.iter().for_each(|live| live.kept(why_not.as_deref()));
        saved
    }
}
