//! Disk work of small files: one piece after the other on a thread that goes on while there is more.
//!
//! A small file is opened, written and checked in less time than it takes to wake a thread for it. And where several are
//! finished one right after the other, they are brought to the disk together ([`crate::disk::Together`]).
//!
//! What takes long, on a disk that stalls, holds the others up for [`LONG`] only: then they have another thread, up to
//! [`MOST`] of them.

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::Either;

use super::here::stamp_of;
use crate::disk::{DiskError, Finishing, Together};
use crate::net::rt;

/// A file up to this size is a small one.
pub(super) const SMALL: u64 = 256 * 1024;

/// Threads at a time.
const MOST: usize = 8;
/// What takes longer holds nobody up any more.
const LONG: Duration = Duration::from_millis(250);
/// Files that are finished together, at most.
const TOGETHER: usize = 64;

/// A file in its place: open to be given to others, and what it looks like there.
pub(super) struct Placed {
    pub(super) path: PathBuf,
    pub(super) file: Option<File>,
    pub(super) stamp: Option<(u64, i64)>,
}

type Work = Box<dyn FnOnce() + Send>;
type Finished = Option<Result<Placed, DiskError>>;

/// The lane. Clones are the same one.
#[derive(Clone, Default)]
pub(super) struct Lane(Arc<Shared>);

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    together: Together,
}

/// No more of it than there are downloads: each waits for what it has here.
#[derive(Default)]
struct Waiting {
    work: VecDeque<Work>,
    finishing: Vec<(Finishing, oneshot::Sender<Finished>)>,
    /// Since when each thread does what it does.
    threads: BTreeMap<u64, Instant>,
    /// Threads that there have been.
    begun: u64,
    /// Somebody looks whether what waits is held up.
    watched: bool,
}

impl Waiting {
    /// Whether something waits, and all threads have been long at what they do.
    fn is_held_up(&self) -> bool {
        let waits = !self.work.is_empty() || !self.finishing.is_empty();
        waits && self.threads.len() < MOST && self.threads.values().all(|since| since.elapsed() >= LONG)
    }
}

impl Lane {
    /// Does it when its turn has come. It is done even when the returned future is dropped.
    pub(super) fn run<T: Send + 'static, W: FnOnce() -> T + Send + 'static>(
        &self,
        work: W,
    ) -> impl Future<Output = T> + Send + Unpin + use<T, W> {
        let (tell, told) = oneshot::channel::<Result<T, Box<dyn Any + Send>>>();
        self.push(|waiting| {
            waiting.work.push_back(Box::new(move || {
                // Who gave it up does not want to know.
                let _ = tell.send(catch_unwind(AssertUnwindSafe(work)));
            }));
        });
        told.map(|done| done.unwrap_or_else(|lost| Err(Box::new(lost))).unwrap_or_else(|panic| resume_unwind(panic)))
    }

    /// The same, of a small file; of a larger one on the pool for blocking work.
    pub(super) fn run_if<T: Send + 'static, W: FnOnce() -> T + Send + 'static>(
        &self,
        small: bool,
        work: W,
    ) -> impl Future<Output = T> + Send + Unpin + use<T, W> {
        if small { Either::Left(self.run(work)) } else { Either::Right(rt::spawn_blocking(work)) }
    }

    /// Moves a file into its place, a small one with others. `None` when there is no partial file any more.
    pub(super) async fn finish(&self, finishing: Finishing, small: bool) -> Finished {
        if !small {
            let lane = self.clone();
            return rt::spawn_blocking(move || lane.finish_all(vec![finishing]).pop().flatten()).await;
        }
        let (tell, told) = oneshot::channel();
        self.push(|waiting| waiting.finishing.push((finishing, tell)));
        told.await.ok().flatten()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, put: impl FnOnce(&mut Waiting)) {
        let mut waiting = self.lock();
        put(&mut waiting);
        self.help(waiting);
    }

    /// Another thread for what is held up.
    fn help(&self, mut waiting: MutexGuard<'_, Waiting>) {
        if !waiting.is_held_up() {
            return;
        }
        waiting.begun += 1;
        let number = waiting.begun;
        waiting.threads.insert(number, Instant::now());
        let watched = mem::replace(&mut waiting.watched, true);
        drop(waiting);
        let lane = self.clone();
        drop(rt::spawn_blocking(move || lane.go_on(number)));
        if !watched {
            let lane = self.clone();
            rt::spawn(async move {
                while lane.is_watched() {
                    rt::sleep(LONG).await;
                }
            })
            .detach();
        }
    }

    /// Helps, for as long as anything is done.
    fn is_watched(&self) -> bool {
        let mut waiting = self.lock();
        waiting.watched = !waiting.threads.is_empty();
        let watched = waiting.watched;
        self.help(waiting);
        watched
    }

    /// One thread: does what there is, until there is no more. Files are finished when nothing else is to be done, or when
    /// they are many.
    fn go_on(&self, number: u64) {
        loop {
            let mut waiting = self.lock();
            let Waiting { work, finishing, threads, .. } = &mut *waiting;
            let next = if finishing.len() < TOGETHER { work.pop_front() } else { None };
            if next.is_none() && finishing.is_empty() {
                threads.remove(&number);
                return;
            }
            threads.insert(number, Instant::now());
            let many = if next.is_none() { finishing.len().min(TOGETHER) } else { 0 };
            let together = finishing.drain(..many).collect();
            drop(waiting);
            match next {
                Some(work) => work(),
                None => self.finish_together(together),
            }
        }
    }

    fn finish_together(&self, files: Vec<(Finishing, oneshot::Sender<Finished>)>) {
        let (files, tell): (Vec<_>, Vec<_>) = files.into_iter().unzip();
        // Of a panic they hear when the senders are dropped.
        let finished = catch_unwind(AssertUnwindSafe(|| self.finish_all(files)));
        for (finished, tell) in finished.unwrap_or_default().into_iter().zip(tell) {
            let _ = tell.send(finished);
        }
    }

    fn finish_all(&self, files: Vec<Finishing>) -> Vec<Finished> {
        let placed = |path: PathBuf| Placed { file: File::open(&path).ok(), stamp: stamp_of(&path), path };
        self.0.together.finish(files).into_iter().map(|end| end.map(|end| end.map(placed))).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn one_after_the_other_in_the_order_of_coming() {
        let (lane, order) = (Lane::default(), Arc::new(Mutex::new(Vec::new())));
        let (go, gate) = mpsc::channel::<()>();
        let first = lane.run(move || gate.recv().is_ok());
        let all: Vec<_> = (0..20)
            .map(|n| {
                let order = Arc::clone(&order);
                lane.run(move || order.lock().expect("no panic").push(n))
            })
            .collect();
        assert_eq!(lane.lock().threads.len(), 1, "they wait, as the first has not been long at it");
        go.send(()).expect("it waits");
        rt::block_on(async {
            assert!(first.await);
            futures::future::join_all(all).await;
        });
        assert_eq!(*order.lock().expect("no panic"), (0..20).collect::<Vec<_>>());
    }

    #[test]
    fn what_takes_long_holds_nobody_up_for_long() {
        let lane = Lane::default();
        let (go, gate) = mpsc::channel::<()>();
        let long = lane.run(move || gate.recv().is_ok());
        // Nothing comes after it that could tell how long it has waited.
        let next = lane.run(|| 7);
        rt::block_on(async {
            let done = rt::timeout(Duration::from_secs(20), next).await;
            go.send(()).expect("it waits");
            assert_eq!(done, Ok(7));
            assert!(long.await);
        });
    }

    #[test]
    fn a_panic_is_its_own() {
        let lane = Lane::default();
        let panics = lane.run(|| std::panic::panic_any("as wanted"));
        let next = lane.run(|| 7);
        let caught = catch_unwind(AssertUnwindSafe(|| rt::block_on(panics)));
        assert_eq!(caught.expect_err("it panicked").downcast_ref::<&str>(), Some(&"as wanted"));
        assert_eq!(rt::block_on(next), 7);
    }

    #[test]
    fn without_a_partial_file_nothing_is_finished() {
        let nothing = Finishing {
            slot: crate::disk::Slot::default(),
            dir: "/nowhere".into(),
            name: "a".into(),
            on_exists: crate::disk::OnExists::SkipSame,
        };
        assert!(rt::block_on(Lane::default().finish(nothing, true)).is_none());
    }
}
