//! The table of words: what neighbours are told of our names, made anew when the shares have changed.
//!
//! It is made on a thread for work, a few files at a time between which others read the library, and not so often that it
//! costs more than a twentieth of the time.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use super::inner::Inner;
use super::shelf::Shelf;
use crate::net::rt;
use crate::proto::Command;
use crate::wire::qrt::{Draft, Qrt, each_hash, urn_hashes};

/// Files looked at before others may change the library.
const AT_ONCE: usize = 1000;
/// While folders are read for the first time their words are not told, so that nobody takes what is there for all; but
/// no longer than this.
const FIRST_SCAN: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// A pause after a table, this many times as long as it took.
const REST: u32 = 20;

impl Inner {
    /// Tells the servent which words we share, now and when they have changed.
    pub(super) async fn tell_words(self: Arc<Self>) {
        let began = Instant::now();
        while self.shelf.is_scanning() && began.elapsed() < FIRST_SCAN {
            rt::sleep(LOOK_AGAIN).await;
        }
        loop {
            self.words_changed.store(false, SeqCst);
            let (shelf, began) = (self.shelf.clone(), Instant::now());
            let table = rt::spawn_blocking(move || table_of(&shelf)).await;
            self.handle.command(Command::Table(Arc::new(table)));
            rt::sleep(REST * began.elapsed()).await;
            self.words_bell.until(|| self.words_changed.load(SeqCst).then_some(())).await;
        }
    }
}

fn table_of(shelf: &Shelf) -> Qrt {
    // A name has some words, of which most are in other names too, and each file two hashes for its content.
    let files = usize::try_from(shelf.library().files()).unwrap_or(usize::MAX);
    let mut draft = Draft::for_hashes(files.saturating_mul(4));
    let mut from = Some(0);
    while let Some(at) = from {
        from = shelf.library().names(at, AT_ONCE, |name, digests| {
            each_hash(name, |hash| draft.add(hash));
            digests
                .and_then(|digests| urn_hashes(&digests.urn()))
                .into_iter()
                .flatten()
                .for_each(|hash| draft.add(hash));
        });
    }
    draft.finish()
}
