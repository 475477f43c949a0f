//! What others ask of the downloads: see [`Downloads`].

use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::live::Live;
use super::record::Standing;
use super::{Downloads, Priority, Wanted};
use crate::app::events::BoxStream;
use crate::app::view::{BlocksView, TransferView};
use crate::app::{Error, ErrorCode};
use crate::transfer::{Expected, Input, Source};

impl Downloads {
    /// Starts a download, joins the one of the same content, or finds that the file is here already.
    pub async fn get(&self, wanted: Wanted) -> Result<TransferView, Error> {
        self.inner().get(wanted).await
    }

    /// A source for content was found: every unfinished download of that content takes it.
    pub fn add_source(&self, content: &Expected, source: Source) {
        for live in self.inner().of(content) {
            let wants = {
                let guard = live.lock();
                guard.machine().is_some_and(|machine| machine.expected().same_content(content))
            };
            if wants && !live.standing().is_over() {
                live.add_source(source.clone());
            }
        }
    }

    /// There are new neighbours: downloads without a source ask the network soon.
    pub fn network_changed(&self) {
        self.inner().all().iter().for_each(|live| live.tell(Input::NetworkChanged));
    }

    /// What a download is of, and who is known to have it.
    pub fn wanted(&self, id: u64) -> Result<Wanted, Error> {
        Ok(self.inner().find(id)?.wanted())
    }

    /// The same of the newest download of that content.
    pub fn wanted_by(&self, content: &Expected) -> Option<Wanted> {
        self.inner().of(content).last().map(|live| live.wanted())
    }

    /// Where finished files go.
    pub fn dir(&self) -> &Path {
        &self.inner().config.dir
    }

    /// Why what happens to downloads cannot be written down, in words, while that is so.
    pub fn unsaved(&self) -> Option<String> {
        let why = self.inner().unsaved.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        Some(format!("{why}; downloads may be forgotten at a crash"))
    }

    /// All downloads, in the order of their ids.
    pub fn views(&self) -> Vec<TransferView> {
        self.inner().all().iter().map(|live| live.view()).collect()
    }

    /// Those of these numbers that there are, each once.
    pub fn views_of(&self, ids: &[RangeInclusive<u64>]) -> Vec<TransferView> {
        self.inner().table().of(ids).iter().map(|live| live.view()).collect()
    }

    /// One download.
    pub fn view(&self, id: u64) -> Option<TransferView> {
        self.inner().find(id).ok().map(|live| live.view())
    }

    /// Its state now, then each change (at most ten a second); ends after `done`, `failed` or `cancelled`.
    pub fn watch(&self, id: u64) -> Option<BoxStream<TransferView>> {
        self.inner().find(id).ok().map(|live| live.watch())
    }

    /// Which parts of it are there, and what its sources do.
    pub fn blocks(&self, id: u64) -> Result<BlocksView, Error> {
        Ok(self.inner().find(id)?.blocks())
    }

    /// Stops it until [`Downloads::resume`].
    pub fn pause(&self, id: u64) -> Result<TransferView, Error> {
        let live = self.inner().find(id)?;
        refuse_if_over(&live, "pause")?;
        live.pause();
        Ok(live.view())
    }

    /// Lets it go on.
    pub fn resume(&self, id: u64) -> Result<TransferView, Error> {
        let live = self.inner().find(id)?;
        refuse_if_over(&live, "resume")?;
        self.inner().go_on(&live, Input::Resume);
        Ok(live.view())
    }

    /// Stops them all for as long as nothing may be fetched (`true`), or lets those go on that were stopped so.
    pub fn hold(&self, held: bool) {
        self.inner().holding.store(held, Ordering::SeqCst);
        self.inner().all().iter().for_each(|live| live.hold(held));
    }

    /// Who goes first among those that wait for their turn; who has one keeps it.
    pub fn prioritise(&self, id: u64, priority: Priority) -> Result<TransferView, Error> {
        let live = self.inner().find(id)?;
        refuse_if_over(&live, "prioritise")?;
        {
            let mut guard = live.lock();
            guard.record.priority = priority;
            guard.dirty = true;
        }
        self.inner().turns.lock().unwrap_or_else(PoisonError::into_inner).prioritise(id, priority);
        self.inner().note(&live);
        let view = live.view();
        (self.inner().hooks.changed)(view.clone());
        Ok(view)
    }

    /// Ends it and removes the partial file. Returns when that is gone.
    pub async fn cancel(&self, id: u64) -> Result<TransferView, Error> {
        let live = self.inner().find(id)?;
        match live.standing() {
            _ if live.is_elsewhere() => refuse_if_over(&live, "cancel")?,
            Standing::Done => refuse_if_over(&live, "cancel")?,
            Standing::Failed => self.inner().begin_again(&live),
            Standing::Unfinished | Standing::Paused | Standing::Cancelled => {}
        }
        live.tell(Input::Cancel);
        let task = self.inner().table().tasks.remove(&id);
        if let Some(task) = task {
            task.await;
        }
        self.inner().save().await;
        Ok(live.view())
    }

    /// Tries at once instead of waiting; a failed or cancelled one starts again.
    pub fn retry(&self, id: u64) -> Result<TransferView, Error> {
        let live = self.inner().find(id)?;
        match live.standing() {
            _ if live.is_elsewhere() => refuse_if_over(&live, "retry")?,
            Standing::Done => refuse_if_over(&live, "retry")?,
            Standing::Failed | Standing::Cancelled => self.inner().begin_again(&live),
            Standing::Unfinished | Standing::Paused => self.inner().go_on(&live, Input::Retry),
        }
        Ok(live.view())
    }

    /// Bytes a second that all of them receive now.
    pub fn rate(&self) -> u64 {
        self.inner().all().iter().map(|live| live.rate()).sum()
    }

    /// A fresh number for an upload. May block.
    pub fn next_id(&self) -> u64 {
        self.inner().upload_id()
    }
}

pub(super) fn refuse_if_over(live: &Live, what: &str) -> Result<(), Error> {
    if live.is_elsewhere() {
        let message = format!("cannot {what} download {}: a `get` without this servent fetches it", live.id);
        return Err(
            Error::new(ErrorCode::Usage, message).hint("Ctrl-C ends that `get`; then the servent goes on with it")
        );
    }
    let state = live.view().state;
    if live.standing().is_over() {
        let message = format!("cannot {what} download {}: it is {state}", live.id);
        return Err(Error::new(ErrorCode::Usage, message).hint("`filbert transfers` lists them"));
    }
    Ok(())
}
