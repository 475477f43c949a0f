//! What happens, told to whoever listens: a ring of the latest events, read at each reader's own pace.
//!
//! Nobody waits for a reader. One that falls behind by more than the ring holds misses events and is told how
//! many; without readers nothing is kept.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use futures::StreamExt;

use super::view::EventView;

/// A stream that can be sent between threads.
pub type BoxStream<T> = futures::stream::BoxStream<'static, T>;

/// Events that a slow reader may be behind.
const RING: usize = 1024;
/// Sleepers that a bell remembers; above it all are woken to look again.
const SLEEPERS: usize = 256;

/// Locks; a panic elsewhere does not make what is behind the lock unusable.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Wakes those who wait for something to become true.
#[derive(Debug, Default)]
pub(super) struct Bell {
    rings: AtomicU64,
    sleepers: Mutex<Vec<Waker>>,
}

impl Bell {
    /// Something changed: all look again.
    pub(super) fn ring(&self) {
        self.rings.fetch_add(1, SeqCst);
        for waker in std::mem::take(&mut *lock(&self.sleepers)) {
            waker.wake();
        }
    }

    /// How often it rang. Take the number, look, and if there is nothing yet wait with [`Bell::after`].
    pub(super) fn rings(&self) -> u64 {
        self.rings.load(SeqCst)
    }

    /// Waits until it has rung more often than `rings`.
    pub(super) async fn after(&self, rings: u64) {
        self.until(|| (self.rings() != rings).then_some(())).await;
    }

    /// Waits until `look` finds something. It is asked at once, and at least once after each ring.
    pub(super) async fn until<T>(&self, mut look: impl FnMut() -> Option<T>) -> T {
        futures::future::poll_fn(|cx| {
            if let Some(found) = look() {
                return Poll::Ready(found);
            }
            self.register(cx.waker());
            // It may have become true, and the bell have rung, before we were on the list.
            look().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    fn register(&self, waker: &Waker) {
        let mut sleepers = lock(&self.sleepers);
        if sleepers.iter().any(|sleeper| sleeper.will_wake(waker)) {
            return;
        }
        if sleepers.len() >= SLEEPERS {
            sleepers.drain(..).for_each(Waker::wake);
        }
        sleepers.push(waker.clone());
    }
}

/// The ring and its readers.
#[derive(Debug, Default)]
pub(super) struct Broadcast {
    ring: Mutex<Ring>,
    bell: Bell,
}

#[derive(Debug, Default)]
struct Ring {
    /// The number of the oldest event that is kept.
    first: u64,
    events: VecDeque<EventView>,
    readers: usize,
    ended: bool,
}

impl Ring {
    fn next(&self) -> u64 {
        self.first + self.events.len() as u64
    }
}

impl Broadcast {
    /// Tells all readers; `event` is made only if there are any.
    pub(super) fn tell(&self, event: impl FnOnce() -> EventView) {
        {
            let mut ring = lock(&self.ring);
            if ring.readers == 0 {
                return;
            }
            if ring.events.len() >= RING {
                ring.events.pop_front();
                ring.first += 1;
            }
            ring.events.push_back(event());
        }
        self.bell.ring();
    }

    /// All streams end after what they have not read yet.
    pub(super) fn end(&self) {
        lock(&self.ring).ended = true;
        self.bell.ring();
    }

    /// What happens from now on.
    pub(super) fn listen(self: &Arc<Self>) -> BoxStream<EventView> {
        futures::stream::unfold(Reader::new(Arc::clone(self)), |mut reader| async move {
            let event = reader.next().await?;
            Some((event, reader))
        })
        .boxed()
    }
}

struct Reader {
    broadcast: Arc<Broadcast>,
    at: u64,
}

impl Reader {
    fn new(broadcast: Arc<Broadcast>) -> Self {
        let mut ring = lock(&broadcast.ring);
        ring.readers += 1;
        let at = ring.next();
        drop(ring);
        Self { broadcast, at }
    }

    async fn next(&mut self) -> Option<EventView> {
        let Self { broadcast, at } = self;
        broadcast
            .bell
            .until(|| {
                let ring = lock(&broadcast.ring);
                if *at < ring.first {
                    let missed = ring.first - *at;
                    *at = ring.first;
                    return Some(Some(EventView::Missed { missed }));
                }
                match ring.events.get((*at - ring.first) as usize) {
                    Some(event) => {
                        *at += 1;
                        Some(Some(event.clone()))
                    }
                    None => ring.ended.then_some(None),
                }
            })
            .await
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut ring = lock(&self.broadcast.ring);
        ring.readers -= 1;
        if ring.readers == 0 {
            ring.first = ring.next();
            ring.events = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::rt::block_on;

    fn up(n: u64) -> EventView {
        EventView::NeighbourUp { addr: n.to_string() }
    }

    fn read(event: EventView) -> String {
        match event {
            EventView::NeighbourUp { addr } => addr,
            EventView::Missed { missed } => format!("missed {missed}"),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn readers_get_what_happens_after_they_came_and_end_with_the_servent() {
        let broadcast = Arc::new(Broadcast::default());
        broadcast.tell(|| unreachable!("nobody listens"));
        let early = broadcast.listen();
        broadcast.tell(|| up(1));
        let late = broadcast.listen();
        broadcast.tell(|| up(2));
        broadcast.end();
        let all = |stream: BoxStream<EventView>| block_on(stream.map(read).collect::<Vec<_>>());
        assert_eq!(all(early), ["1", "2"]);
        assert_eq!(all(late), ["2"]);
    }

    #[test]
    fn a_slow_reader_is_told_how_much_it_missed() {
        let broadcast = Arc::new(Broadcast::default());
        let slow = broadcast.listen();
        for n in 0..RING as u64 + 3 {
            broadcast.tell(|| up(n));
        }
        broadcast.end();
        let read: Vec<_> = block_on(slow.map(read).collect());
        assert_eq!((read.len(), read[0].as_str(), read[1].as_str()), (RING + 1, "missed 3", "3"));
    }
}
