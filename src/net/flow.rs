//! Transfers that share a speed: who may move how many bytes now, in turns.
//!
//! All transfers of one direction stand in one line; the first of it is granted a chunk ([`Throttle`]) and, if it
//! wants more, goes to the end. So they get equal shares, and one timer runs at a time, however many they are.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Poll, Waker};

use super::driver::Clock;
use super::rt;
use crate::base::{Later, Speed, Throttle};
use crate::wire::addr::subnet;

/// A speed that transfers share; a clone is a handle to the same one.
#[derive(Clone, Debug)]
pub struct Flow(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    clock: Clock,
    limited: AtomicBool,
    moved: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    throttle: Throttle,
    next: u64,
    /// In turn.
    line: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    number: u64,
    /// It is first now, or the speed has changed.
    look: bool,
    waker: Option<Waker>,
}

impl Waiting {
    fn wake(&mut self) {
        self.look = true;
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Default for Flow {
    /// Without a limit.
    fn default() -> Self {
        Self::new(Clock::start(), Speed::Off)
    }
}

impl Flow {
    /// Nobody in the line.
    pub fn new(clock: Clock, speed: Speed) -> Self {
        let state = State { throttle: Throttle::new(speed, clock.now()), next: 0, line: VecDeque::new() };
        let (limited, moved) = (AtomicBool::new(speed != Speed::Off), AtomicU64::new(0));
        Self(Arc::new(Shared { clock, limited, moved, state: Mutex::new(state) }))
    }

    /// Whether there is a limit now.
    pub fn is_limited(&self) -> bool {
        self.0.limited.load(Ordering::Relaxed)
    }

    /// Another speed from now on, also for who waits.
    pub fn set(&self, speed: Speed) {
        let mut state = self.state();
        if state.throttle.speed() == speed {
            return;
        }
        state.throttle.set(speed, self.0.clock.now());
        self.0.limited.store(speed != Speed::Off, Ordering::Relaxed);
        state.line.iter_mut().for_each(Waiting::wake);
    }

    /// Waits until some of `want` bytes may be moved; how many: all of them when there is no limit.
    pub async fn take(&self, want: u64) -> u64 {
        if want == 0 || !self.is_limited() {
            return want;
        }
        let ticket = Ticket::draw(self);
        loop {
            let sleep = match ticket.try_take(want) {
                Ok(granted) => return granted,
                Err(Some(Later::At(at))) => Some(at.since(self.0.clock.now())),
                Err(Some(Later::WhenChanged) | None) => None,
            };
            match sleep {
                Some(time) => rt::timeout(time, ticket.told()).await.unwrap_or(()),
                None => ticket.told().await,
            }
        }
    }

    /// So many of the bytes that were granted were not moved.
    pub fn give_back(&self, bytes: u64) {
        if bytes > 0 && self.is_limited() {
            self.state().throttle.give_back(bytes);
        }
    }

    /// What one transfer was granted and has not moved yet: nothing so far.
    pub fn allowance(&self) -> Allowance {
        Allowance { flow: self.clone(), left: 0 }
    }

    /// Bytes that were moved by way of allowances, with and without a limit.
    pub fn moved(&self) -> u64 {
        self.0.moved.load(Ordering::Relaxed)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one transfer was granted and has not moved yet. The rest is given back when this is dropped.
#[derive(Debug)]
pub struct Allowance {
    flow: Flow,
    left: u64,
}

impl Allowance {
    /// How many of `want` bytes may be moved; waits until it is at least one.
    pub async fn at_most(&mut self, want: u64) -> u64 {
        if !self.flow.is_limited() {
            self.left = 0;
            return want;
        }
        if self.left == 0 {
            self.left = self.flow.take(want).await;
        }
        self.left.min(want)
    }

    /// So many were moved.
    pub fn spend(&mut self, bytes: u64) {
        self.flow.0.moved.fetch_add(bytes, Ordering::Relaxed);
        self.left = self.left.saturating_sub(bytes);
    }
}

impl Drop for Allowance {
    fn drop(&mut self) {
        self.flow.give_back(self.left);
    }
}

/// A place in the line; who drops it leaves the line.
struct Ticket<'a> {
    flow: &'a Flow,
    number: u64,
}

impl<'a> Ticket<'a> {
    fn draw(flow: &'a Flow) -> Self {
        let mut state = flow.state();
        let number = state.next;
        state.next += 1;
        state.line.push_back(Waiting { number, look: false, waker: None });
        Self { flow, number }
    }

    /// What is granted; else when to look again, if it is first in the line. Without a limit nobody waits for turns.
    fn try_take(&self, want: u64) -> Result<u64, Option<Later>> {
        let mut state = self.flow.state();
        let first = state.line.front().is_some_and(|first| first.number == self.number);
        if first || state.throttle.speed() == Speed::Off {
            return state.throttle.take(want, self.flow.0.clock.now()).map_err(Some);
        }
        Err(None)
    }

    /// Ready when it may be worth another look.
    async fn told(&self) {
        poll_fn(|cx| {
            let mut state = self.flow.state();
            match state.line.iter_mut().find(|waiting| waiting.number == self.number) {
                Some(waiting) if !waiting.look => {
                    waiting.waker = Some(cx.waker().clone());
                    Poll::Pending
                }
                Some(waiting) => {
                    waiting.look = false;
                    Poll::Ready(())
                }
                None => Poll::Ready(()),
            }
        })
        .await;
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let mut state = self.flow.state();
        let first = state.line.front().is_some_and(|first| first.number == self.number);
        state.line.retain(|waiting| waiting.number != self.number);
        if first && let Some(next) = state.line.front_mut() {
            next.wake();
        }
    }
}

/// What goes out: one speed for all, and one for each address (IPv6: each /64).
#[derive(Clone, Debug)]
pub struct Outflow(Arc<Outward>);

#[derive(Debug)]
struct Outward {
    clock: Clock,
    total: Flow,
    peers: Mutex<Peers>,
}

#[derive(Debug)]
struct Peers {
    speed: Speed,
    /// Of those that are connected.
    flows: BTreeMap<IpAddr, Weak<Shared>>,
}

impl Default for Outflow {
    /// Without limits.
    fn default() -> Self {
        Self::new(Clock::start(), Speed::Off, Speed::Off)
    }
}

impl Outflow {
    /// At most `total` for all together, and `peer` for each.
    pub fn new(clock: Clock, total: Speed, peer: Speed) -> Self {
        let peers = Mutex::new(Peers { speed: peer, flows: BTreeMap::new() });
        Self(Arc::new(Outward { clock, total: Flow::new(clock, total), peers }))
    }

    /// Other speeds from now on, also for those that are connected.
    pub fn set(&self, total: Speed, peer: Speed) {
        self.0.total.set(total);
        let mut peers = self.0.peers();
        peers.speed = peer;
        peers.flows.values().filter_map(Weak::upgrade).for_each(|flow| Flow(flow).set(peer));
    }

    /// What a connection to `who` takes its bytes from.
    pub fn tap(&self, who: IpAddr) -> Tap {
        let who = subnet(who);
        let mut peers = self.0.peers();
        let own = peers.flows.get(&who).and_then(Weak::upgrade).map(Flow);
        let own = own.unwrap_or_else(|| Flow::new(self.0.clock, peers.speed));
        peers.flows.insert(who, Arc::downgrade(&own.0));
        Tap(Some(Tapped { out: Arc::clone(&self.0), who, own }))
    }
}

impl Outward {
    fn peers(&self) -> MutexGuard<'_, Peers> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one connection takes its bytes from; without a limit unless it comes from an [`Outflow`].
#[derive(Debug, Default)]
pub struct Tap(Option<Tapped>);

#[derive(Debug)]
struct Tapped {
    out: Arc<Outward>,
    who: IpAddr,
    own: Flow,
}

impl Tap {
    /// Whether there is a limit now.
    pub fn is_limited(&self) -> bool {
        self.0.as_ref().is_some_and(|tap| tap.own.is_limited() || tap.out.total.is_limited())
    }

    /// Waits until some of `want` bytes may be moved; how many.
    pub async fn take(&self, want: u64) -> u64 {
        let Some(tap) = &self.0 else { return want };
        let own = tap.own.take(want).await;
        let both = tap.out.total.take(own).await;
        tap.own.give_back(own - both);
        both
    }

    /// So many of the bytes that were granted were not moved.
    pub fn give_back(&self, bytes: u64) {
        if let Some(tap) = &self.0 {
            tap.own.give_back(bytes);
            tap.out.total.give_back(bytes);
        }
    }
}

impl Drop for Tapped {
    fn drop(&mut self) {
        let mut peers = self.out.peers();
        // Ours is the last handle when nobody else of that address is connected.
        if Arc::strong_count(&self.own.0) == 1 {
            peers.flows.remove(&self.who);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use futures::future::join_all;
    use std::time::Duration;

    #[test]
    fn transfers_get_equal_shares_of_a_speed() {
        let flow = Flow::new(Clock::start(), Speed::Bytes(1_600_000));
        let taken: Vec<u64> = rt::block_on(join_all((0..4).map(|_| async {
            let mut taken = 0;
            // As many turns each as make half a second together.
            while taken < 200_000 {
                taken += flow.take(u64::MAX).await;
            }
            taken
        })));
        assert_eq!(taken, [200_000; 4], "chunk by chunk in turn, all end together");
        assert!(flow.state().line.is_empty());
    }

    #[test]
    fn a_change_wakes_who_waits_and_who_leaves_holds_nobody_up() {
        let flow = Flow::new(Clock::start(), Speed::Bytes(0));
        rt::block_on(async {
            let mut gone = Box::pin(flow.take(100));
            assert_eq!((&mut gone).now_or_never(), None, "paused");
            let (other, mine) = (flow.clone(), flow.clone());
            let waits = rt::spawn(async move { other.take(100).await });
            let changes = rt::spawn(async move {
                rt::sleep(Duration::from_millis(20)).await;
                mine.set(Speed::Off);
            });
            drop(gone);
            assert_eq!(rt::timeout(Duration::from_secs(20), waits).await, Ok(100));
            changes.await;
        });
        assert!(flow.state().line.is_empty());
    }

    #[test]
    fn an_address_has_a_speed_of_its_own_while_it_is_connected() {
        let out = Outflow::new(Clock::start(), Speed::Off, Speed::Bytes(0));
        let ip = |n: u8| IpAddr::from([10, 0, 0, n]);
        let (a, again, b) = (out.tap(ip(1)), out.tap(ip(1)), out.tap(ip(2)));
        assert_eq!(out.0.peers().flows.len(), 2);
        assert!(a.is_limited() && a.take(1).now_or_never().is_none());
        out.set(Speed::Off, Speed::Off);
        assert!(!a.is_limited());
        assert_eq!(a.take(9).now_or_never(), Some(9));
        out.set(Speed::Bytes(0), Speed::Off);
        assert!(b.is_limited() && b.take(1).now_or_never().is_none());
        drop((a, b));
        assert_eq!(out.0.peers().flows.len(), 1, "one is connected still");
        drop(again);
        assert!(out.0.peers().flows.is_empty());
        assert_eq!(Tap::default().take(u64::MAX).now_or_never(), Some(u64::MAX));
    }
}
