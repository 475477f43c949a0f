//! Disk work of small files: one piece after the other on a thread that goes on while there is more.
//!
//! A small file is opened, written and checked in less time than it takes to wake a thread for it. And where several are
//! finished one right after the other, they are brought to the disk together ([`crate::disk::Together`]), on a thread of
//! their own: the disk is waited for while the next ones are worked at, and once for what is written of some and the
//! names of those before.
//!
//! What takes long, on a disk that stalls, holds the others up for [`LONG`] only: then they have another thread, up to
//! [`MOST`] of them in each line.

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
use crate::disk::{DiskError, Finishing, Moved, Together};
use crate::net::rt;

/// A file up to this size is a small one.
pub(super) const SMALL: u64 = 256 * 1024;

/// Threads of a line at a time.
const MOST: usize = 4;
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
/// Files that have been moved, and who waits until that lasts.
type Carried = (Moved, Vec<Told>);
type Finished = Option<Result<Placed, DiskError>>;
type Told = oneshot::Sender<Finished>;

/// The lane. Clones are the same one.
#[derive(Clone)]
pub(super) struct Lane {
    work: Arc<Line<Work, ()>>,
    finishing: Arc<Line<(Finishing, Told), Carried>>,
    together: Arc<Together>,
}

impl Default for Lane {
    fn default() -> Self {
        let together = Arc::<Together>::default();
        let finisher = Arc::clone(&together);
        Self {
            work: Line::new(1, |work: Vec<Work>, _| {
                work.into_iter().for_each(|work| work());
                None
            }),
            finishing: Line::new(TOGETHER, move |files, carried| move_and_tell(&finisher, files, carried)),
            together,
        }
    }
}

impl Lane {
    /// Does it when its turn has come. It is done even when the returned future is dropped.
    pub(super) fn run<T: Send + 'static, W: FnOnce() -> T + Send + 'static>(
        &self,
        work: W,
    ) -> impl Future<Output = T> + Send + Unpin + use<T, W> {
        let (tell, told) = oneshot::channel::<Result<T, Box<dyn Any + Send>>>();
        self.work.push(Box::new(move || {
            // Who gave it up does not want to know.
            let _ = tell.send(catch_unwind(AssertUnwindSafe(work)));
        }));
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
            let together = Arc::clone(&self.together);
            return rt::spawn_blocking(move || together.finish(vec![finishing]).pop()?.map(|end| end.map(placed)))
                .await;
        }
        let (tell, told) = oneshot::channel();
        self.finishing.push((finishing, tell));
        told.await.ok().flatten()
    }
}

/// Moves files to their places, and tells of those before, which that made last.
fn move_and_tell(together: &Together, files: Vec<(Finishing, Told)>, carried: Option<Carried>) -> Option<Carried> {
    let (files, tell): (Vec<_>, Vec<_>) = files.into_iter().unzip();
    let (before, told) = carried.unwrap_or_default();
    // Of a panic they hear when the senders are dropped.
    let (moved, ends) = catch_unwind(AssertUnwindSafe(|| together.go_on(files, before))).ok()?;
    for (end, told) in ends.into_iter().zip(told) {
        let _ = told.send(end.map(|end| end.map(placed)));
    }
    (!moved.is_empty()).then_some((moved, tell))
}

fn placed(path: PathBuf) -> Placed {
    Placed { file: File::open(&path).ok(), stamp: stamp_of(&path), path }
}

/// What is done one after the other, or several at once, on a thread that goes on while there is more.
struct Line<T, C> {
    waiting: Mutex<Waiting<T>>,
    at_once: usize,
    work: Box<dyn Turn<T, C>>,
}

/// Must not panic. What it returns is left for its next turn, which comes also when nothing waits.
trait Turn<T, C>: Fn(Vec<T>, Option<C>) -> Option<C> + Send + Sync {}

impl<T, C, W: Fn(Vec<T>, Option<C>) -> Option<C> + Send + Sync> Turn<T, C> for W {}

/// No more of it than there are downloads: each waits for what it has here.
struct Waiting<T> {
    line: VecDeque<T>,
    /// Since when each thread does what it does.
    threads: BTreeMap<u64, Instant>,
    /// Threads that there have been.
    begun: u64,
    /// Somebody looks whether what waits is held up.
    watched: bool,
}

impl<T> Waiting<T> {
    /// Whether something waits, and all threads have been long at what they do.
    fn is_held_up(&self) -> bool {
        let all_long = self.threads.values().all(|since| since.elapsed() >= LONG);
        !self.line.is_empty() && self.threads.len() < MOST && all_long
    }
}

impl<T: Send + 'static, C: 'static> Line<T, C> {
    fn new(at_once: usize, work: impl Turn<T, C> + 'static) -> Arc<Self> {
        let waiting = Waiting { line: VecDeque::new(), threads: BTreeMap::new(), begun: 0, watched: false };
        Arc::new(Self { waiting: Mutex::new(waiting), at_once, work: Box::new(work) })
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<T>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(self: &Arc<Self>, next: T) {
        let mut waiting = self.lock();
        waiting.line.push_back(next);
        self.help(waiting);
    }

    /// Another thread for what is held up.
    fn help(self: &Arc<Self>, mut waiting: MutexGuard<'_, Waiting<T>>) {
        if !waiting.is_held_up() {
            return;
        }
        waiting.begun += 1;
        let number = waiting.begun;
        waiting.threads.insert(number, Instant::now());
        let watched = mem::replace(&mut waiting.watched, true);
        drop(waiting);
        let line = Arc::clone(self);
        drop(rt::spawn_blocking(move || line.go_on(number)));
        if !watched {
            let line = Arc::clone(self);
            rt::spawn(async move {
                while line.is_watched() {
                    rt::sleep(LONG).await;
                }
            })
            .detach();
        }
    }

    /// Helps, for as long as anything is done.
    fn is_watched(self: &Arc<Self>) -> bool {
        let mut waiting = self.lock();
        waiting.watched = !waiting.threads.is_empty();
        let watched = waiting.watched;
        self.help(waiting);
        watched
    }

    /// One thread: does what there is, until there is no more.
    fn go_on(&self, number: u64) {
        let mut left = None;
        loop {
            let mut waiting = self.lock();
            let many = waiting.line.len().min(self.at_once);
            if many == 0 && left.is_none() {
                waiting.threads.remove(&number);
                return;
            }
            waiting.threads.insert(number, Instant::now());
            let next = waiting.line.drain(..many).collect();
            drop(waiting);
            left = (self.work)(next, left);
        }
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
        assert_eq!(lane.work.lock().threads.len(), 1, "they wait, as the first has not been long at it");
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
