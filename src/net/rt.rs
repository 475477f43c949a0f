//! The runtime: the only file that names async-std.
//!
//! Tasks, timers, sockets and the pool for blocking work. What is above it uses the traits of `futures`, so
//! that another runtime can take this one's place by changing this file. Nothing here knows of Gnutella.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;

pub use async_std::net::{TcpListener, TcpStream, UdpSocket};

/// A running task. Dropping it cancels the task at its next await; [`Task::detach`] lets it run on.
#[derive(Debug)]
#[must_use = "a task that is dropped is cancelled: await it, keep it or detach it"]
pub struct Task<T>(Option<async_std::task::JoinHandle<T>>);

impl<T> Task<T> {
    /// Lets it run to its end on its own.
    pub fn detach(mut self) {
        drop(self.0.take());
    }

    /// Cancels it and waits until nothing of it runs any more; what it returned if it was through already.
    pub async fn cancel(mut self) -> Option<T> {
        match self.0.take() {
            Some(handle) => handle.cancel().await,
            None => None,
        }
    }
}

impl<T> Future for Task<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        match &mut self.0 {
            Some(handle) => handle.poll_unpin(cx),
            None => Poll::Pending,
        }
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        if let Some(handle) = self.0.take() {
            // The first poll marks the task as cancelled; the executor drops its future after that. If the task
            // panicked, so does the poll: that was reported when it happened.
            let _ = std::panic::catch_unwind(AssertUnwindSafe(|| Box::pin(handle.cancel()).now_or_never()));
        }
    }
}

/// Runs `future` beside the caller.
pub fn spawn<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> Task<T> {
    pool::start();
    // In a box: the runtime's own wrappers would hold it several times over.
    Task(Some(async_std::task::spawn(pool::watched(Box::pin(future)))))
}

/// Runs `work` on the pool of threads that may block: files and hashing. It runs to its end even when the
/// returned future is dropped.
pub fn spawn_blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> impl Future<Output = T> + Send + Unpin {
    pool::start();
    async_std::task::spawn_blocking(work)
}

/// Runs `future` on this thread until it is done.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    pool::start();
    async_std::task::block_on(future)
}

/// Lets other tasks go first.
pub async fn yield_now() {
    async_std::task::yield_now().await;
}

/// Waits for `duration`.
pub async fn sleep(duration: Duration) {
    async_io::Timer::after(duration).await;
}

/// It took longer than it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOut;

impl std::fmt::Display for TimedOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("timed out")
    }
}

impl std::error::Error for TimedOut {}

impl From<TimedOut> for std::io::Error {
    fn from(_: TimedOut) -> Self {
        std::io::ErrorKind::TimedOut.into()
    }
}

/// Gives `future` at most `limit`; it is dropped when that is over.
pub async fn timeout<T>(limit: Duration, future: impl Future<Output = T>) -> Result<T, TimedOut> {
    let timer = async_io::Timer::after(limit);
    futures::pin_mut!(future);
    match futures::future::select(future, timer).await {
        futures::future::Either::Left((value, _)) => Ok(value),
        futures::future::Either::Right(_) => Err(TimedOut),
    }
}

/// A UDP socket that sends at once or not at all; its clones are one socket.
#[derive(Clone, Debug)]
pub struct UdpPort(Arc<async_io::Async<std::net::UdpSocket>>);

impl UdpPort {
    /// Takes a socket that is bound.
    pub fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
        Ok(Self(Arc::new(async_io::Async::new(socket)?)))
    }

    /// Waits for a datagram; what does not fit into `buffer` is lost.
    pub async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.0.recv_from(buffer).await
    }

    /// Sends one at once or not at all.
    pub fn try_send_to(&self, bytes: &[u8], to: SocketAddr) -> io::Result<usize> {
        self.0.get_ref().send_to(bytes, to)
    }

    /// Where it is bound.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.get_ref().local_addr()
    }

    /// For its options.
    pub fn socket(&self) -> &std::net::UdpSocket {
        self.0.get_ref()
    }
}

/// A deadline that can be moved: a future that is ready when it has passed, and pending for ever while there
/// is none. It can be awaited again after it was moved.
#[derive(Debug)]
pub struct Timer(async_io::Timer);

impl Timer {
    /// No deadline yet.
    pub fn never() -> Self {
        Self(async_io::Timer::never())
    }

    /// Moves the deadline; `None` takes it away.
    pub fn set(&mut self, at: Option<std::time::Instant>) {
        match at {
            Some(at) => self.0.set_at(at),
            None => self.0 = async_io::Timer::never(),
        }
    }
}

impl Future for Timer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx).map(|_| ())
    }
}

/// The threads that run tasks: one while little happens, as many as there are processors while much does.
///
/// Each of them wakes for what one alone could do: with two, an idle servent wakes half as often again. More of them
/// under load are what makes it fast.
mod pool {
    use std::future::{Future, poll_fn};
    use std::sync::{Mutex, Once};
    use std::thread::available_parallelism;
    use std::time::{Duration, Instant};

    use futures::FutureExt;

    use async_global_executor::{GlobalExecutorConfig, init_with_config, spawn_more_threads, stop_thread};

    /// So long the load is looked at before it counts.
    const WINDOW: Duration = Duration::from_millis(250);
    /// How much of that time tasks take steps where all processors are put to work, and where one thread is enough. Many
    /// short steps, a few thousand messages a second, are no work for two: they would only wake each other.
    const BUSY: f64 = 0.5;
    const QUIET: f64 = 0.05;
    /// Steps that take longer hold the others up: when there are so many, those get threads of their own.
    const LONG_STEP: Duration = Duration::from_millis(5);
    const LONG_STEPS: u32 = 3;

    struct Load {
        since: Option<Instant>,
        busy: Duration,
        long_steps: u32,
        /// Threads beside the first.
        more: usize,
    }

    static LOAD: Mutex<Load> = Mutex::new(Load { since: None, busy: Duration::ZERO, long_steps: 0, more: 0 });

    /// Starts the pool, once. The first who calls it decides how many threads there are: async-std would start them all.
    pub(super) fn start() {
        static STARTED: Once = Once::new();
        STARTED.call_once(|| {
            let config = GlobalExecutorConfig::default().with_env_var("ASYNC_STD_THREAD_COUNT");
            let config = config.with_thread_name_fn(|| "worker".to_owned());
            init_with_config(config.with_min_threads(1).with_max_threads(processors()));
        });
    }

    /// The task, and beside it an eye on how much there is to do.
    pub(super) fn watched<T>(mut task: impl Future<Output = T> + Unpin) -> impl Future<Output = T> {
        poll_fn(move |cx| {
            let began = Instant::now();
            let polled = task.poll_unpin(cx);
            // Who counts at this very moment counts for all.
            if let Ok(mut load) = LOAD.try_lock() {
                load.step(began, began.elapsed());
            }
            polled
        })
    }

    fn processors() -> usize {
        available_parallelism().map_or(1, usize::from)
    }

    impl Load {
        fn step(&mut self, began: Instant, took: Duration) {
            self.busy += took;
            self.long_steps += u32::from(took >= LONG_STEP);
            let elapsed = began.saturating_duration_since(*self.since.get_or_insert(began));
            if elapsed < WINDOW {
                return;
            }
            let busy = self.busy.as_secs_f64() / elapsed.as_secs_f64();
            if busy > BUSY || self.long_steps >= LONG_STEPS {
                let missing = processors().saturating_sub(1 + self.more);
                self.more += missing;
                if missing > 0 {
                    async_global_executor::spawn(spawn_more_threads(missing)).detach();
                }
            } else if busy < QUIET {
                (0..std::mem::take(&mut self.more)).for_each(|_| stop_thread().detach());
            }
            *self = Self { since: Some(began), busy: Duration::ZERO, long_steps: 0, more: self.more };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    struct SetOnDrop(Arc<AtomicBool>);

    impl Drop for SetOnDrop {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_cancelled_task_is_gone_when_cancel_returns() {
        let gone = Arc::new(AtomicBool::new(false));
        let guard = SetOnDrop(Arc::clone(&gone));
        block_on(async {
            let task = spawn(async move {
                let _guard = guard;
                futures::future::pending::<()>().await;
            });
            assert_eq!(task.cancel().await, None);
        });
        assert!(gone.load(Ordering::SeqCst));
    }

    #[test]
    fn a_dropped_task_is_cancelled_and_a_detached_one_runs_on() {
        block_on(async {
            let (dropped, detached) = (futures::channel::oneshot::channel(), futures::channel::oneshot::channel());
            drop(spawn(async move {
                futures::future::pending::<()>().await;
                let _ = dropped.0.send(());
            }));
            spawn(async move {
                let _ = detached.0.send(7);
            })
            .detach();
            assert_eq!(detached.1.await, Ok(7));
            assert!(dropped.1.await.is_err(), "its sender was dropped with it");
        });
    }

    #[test]
    fn time_limits_hold_only_what_is_slow() {
        block_on(async {
            assert_eq!(timeout(Duration::from_secs(60), async { 1 }).await, Ok(1));
            assert_eq!(timeout(Duration::ZERO, futures::future::pending::<()>()).await, Err(TimedOut));
            let mut timer = Timer::never();
            timer.set(Some(std::time::Instant::now()));
            (&mut timer).await;
            timer.set(None);
            assert_eq!(timeout(Duration::from_millis(1), &mut timer).await, Err(TimedOut));
        });
    }
}
