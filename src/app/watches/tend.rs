//! What makes watches ask, tell and fetch while the servent runs.

use std::sync::Arc;
use std::time::Duration;

use futures::future::select;

use super::News;
use crate::app::downloads::{Priority, Wanted};
use crate::app::inner::Inner;
use crate::app::view::{EventView, HitView};
use crate::net::rt;
use crate::proto::SearchId;
use crate::wire::Urn;
use crate::wire::hit::QueryHit;

/// The state is written at most so often, but for what the user changes.
const SAVE_EVERY: Duration = Duration::from_secs(5);

impl Inner {
    /// Asks for watches whose turn it is while there is somebody to ask, and fetches what they found.
    pub(in crate::app) async fn tend_watches(self: Arc<Self>) {
        loop {
            let (rings, linked) = (self.watches.bell.rings(), self.linked.rings());
            while let Some((watch, hit)) = self.watches.next_wanted() {
                self.get_for_watch(watch, &hit).await;
            }
            match self.watches.next() {
                None => self.watches.bell.after(rings).await,
                Some(wait) if !wait.is_zero() => {
                    let _ = rt::timeout(wait, self.watches.bell.after(rings)).await;
                }
                Some(_) if self.is_linked().await => self.watches.ask(),
                Some(_) => {
                    let (some_link, change) = (self.linked.after(linked), self.watches.bell.after(rings));
                    select(std::pin::pin!(some_link), std::pin::pin!(change)).await;
                }
            }
        }
    }

    /// Keeps what watches have seen, some time after they did.
    pub(in crate::app) async fn keep_watches(self: Arc<Self>) {
        loop {
            self.watches.bell.until(|| self.watches.is_dirty().then_some(())).await;
            rt::sleep(SAVE_EVERY).await;
            if let Err(error) = self.watches.save().await {
                self.warn(error.to_string());
            }
        }
    }

    /// A hit came that may be for a watch.
    pub(in crate::app) fn on_watch_hit(&self, search: SearchId, hit: &QueryHit, hops: u8) {
        let have = |urn: &Urn| self.shelf.path_of(urn).is_some();
        let (news, found) = self.watches.on_hit(search, hit, hops, have);
        for News { watch, query, hit, getting } in news {
            self.events.tell(|| EventView::WatchHit { watch, query, hit: Box::new(hit), getting });
        }
        for (content, source) in found {
            self.downloads.add_source(&content, source);
        }
    }

    /// Fetches what was found, unless it was ever fetched: then somebody has decided about it already.
    async fn get_for_watch(&self, watch: u64, hit: &HitView) {
        let wanted = match Wanted::hit(hit, &[]) {
            Ok(wanted) => wanted,
            Err(error) => return log::info!(target: "filbert::search", "watch {watch} fetches nothing: {error}"),
        };
        if self.downloads.wanted_by(&wanted.expected).is_some() {
            return;
        }
        let wanted = Wanted { priority: Priority::Low, ..wanted };
        if let Err(error) = self.downloads.get(wanted).await {
            self.warn(format!("watch {watch} cannot fetch {}: {error}", hit.name));
        }
    }
}
