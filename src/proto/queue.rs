//! What waits for a slow link.
//!
//! The servent owns the queue, not the driver, so that who waits and who is dropped is decided by tested
//! rules. What answers somebody goes before what asks, because it has cost the network more already;
//! yet after [`RESPONSES_IN_A_ROW`] answers one waiting query goes, so that a link full of hits still
//! carries searches.

use std::collections::VecDeque;

use crate::wire::{Frame, Kind};

/// Answers that may go before a query that waits.
const RESPONSES_IN_A_ROW: u8 = 8;
/// What a message counts for at least: it takes that much memory however short it is.
const LEAST: usize = 128;

/// Who goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lane {
    /// Keep-alives, without which the link is gone, and tables, of which no piece may be missing.
    Control,
    /// Hits, pushes, pongs: they answer somebody.
    Response,
    /// Queries.
    Query,
}

impl Lane {
    pub(super) fn of(kind: Kind) -> Self {
        match kind {
            Kind::Ping | Kind::Bye | Kind::RouteTableUpdate => Self::Control,
            Kind::Query => Self::Query,
            _ => Self::Response,
        }
    }
}

/// Frames in the order in which they will leave.
#[derive(Debug, Default)]
pub(super) struct Queue {
    lanes: [VecDeque<Frame>; 3],
    /// Bytes that wait, short messages counting as [`LEAST`].
    weight: usize,
    responses: u8,
}

impl Queue {
    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.weight == 0
    }

    /// Bytes that wait.
    pub(super) fn bytes(&self) -> usize {
        self.lanes.iter().flatten().map(Frame::wire_len).sum()
    }

    /// Lets `frame` wait. At most `limit` bytes do, a message counting for [`LEAST`] or more: to make room the oldest query
    /// leaves first, then the oldest response; a frame that still finds no room does not get in. Returns how many left or
    /// were not let in.
    pub(super) fn push(&mut self, frame: Frame, limit: usize) -> u64 {
        let (lane, weight) = (Lane::of(frame.header.kind), weight(&frame));
        if weight > limit {
            return 1;
        }
        let mut lost = 0;
        while self.weight + weight > limit {
            // A newcomer never displaces its betters.
            let victim = [Lane::Query, Lane::Response, Lane::Control]
                .into_iter()
                .find(|&victim| victim >= lane && !self.lanes[victim as usize].is_empty());
            let Some(old) = victim.and_then(|victim| self.lanes[victim as usize].pop_front()) else {
                return lost + 1;
            };
            self.weight -= self::weight(&old);
            lost += 1;
        }
        self.weight += weight;
        self.lanes[lane as usize].push_back(frame);
        lost
    }

    /// The next frame, if it is one that `fits` by its length. The frame whose turn it is keeps its turn:
    /// a short one behind it does not overtake.
    pub(super) fn pop(&mut self, fits: impl FnOnce(usize) -> bool) -> Option<Frame> {
        let waits = |lane: Lane| !self.lanes[lane as usize].is_empty();
        let lane = if waits(Lane::Control) {
            Lane::Control
        } else if waits(Lane::Response) && (self.responses < RESPONSES_IN_A_ROW || !waits(Lane::Query)) {
            Lane::Response
        } else {
            Lane::Query
        };
        if !fits(self.lanes[lane as usize].front()?.wire_len()) {
            return None;
        }
        let queue = &mut self.lanes[lane as usize];
        let frame = queue.pop_front()?;
        if queue.is_empty() {
            // What a flood made it hold.
            *queue = VecDeque::new();
        }
        self.weight -= weight(&frame);
        match lane {
            Lane::Response => self.responses = self.responses.saturating_add(1),
            Lane::Query => self.responses = 0,
            Lane::Control => {}
        }
        Some(frame)
    }
}

fn weight(frame: &Frame) -> usize {
    frame.wire_len().max(LEAST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Guid, HEADER_LEN};
    use bytes::Bytes;

    fn frame(kind: Kind, n: u8, payload: usize) -> Frame {
        Frame::new(Guid([n; 16]), kind, 1, Bytes::from(vec![0; payload]))
    }

    fn drain(queue: &mut Queue) -> Vec<(Kind, u8)> {
        std::iter::from_fn(|| queue.pop(|_| true)).map(|f| (f.header.kind, f.header.guid.0[0])).collect()
    }

    #[test]
    fn keep_alives_go_first_then_responses_then_queries() {
        let mut queue = Queue::default();
        let kinds = [Kind::Query, Kind::QueryHit, Kind::Ping, Kind::Pong, Kind::Query, Kind::Push];
        for (n, kind) in (0..).zip(kinds) {
            assert_eq!(queue.push(frame(kind, n, 0), usize::MAX), 0);
        }
        assert_eq!(queue.bytes(), 6 * HEADER_LEN);
        let order = [
            (Kind::Ping, 2),
            (Kind::QueryHit, 1),
            (Kind::Pong, 3),
            (Kind::Push, 5),
            (Kind::Query, 0),
            (Kind::Query, 4),
        ];
        assert_eq!(drain(&mut queue), order);
        assert!(queue.is_empty());
    }

    #[test]
    fn a_link_full_of_hits_still_carries_a_query_now_and_then() {
        let mut queue = Queue::default();
        for n in 0..20 {
            queue.push(frame(Kind::QueryHit, n, 0), usize::MAX);
            queue.push(frame(Kind::Query, n, 0), usize::MAX);
        }
        let order = drain(&mut queue);
        let query_at: Vec<usize> = (0..order.len()).filter(|&i| order[i].0 == Kind::Query).take(2).collect();
        assert_eq!(query_at, [8, 17]);
    }

    #[test]
    fn when_full_the_oldest_query_leaves_first() {
        // However short they are.
        let len = LEAST;
        let mut queue = Queue::default();
        for (n, kind) in (0..).zip([Kind::Query, Kind::Query, Kind::QueryHit]) {
            assert_eq!(queue.push(frame(kind, n, 10), 3 * len), 0);
        }
        assert_eq!(queue.push(frame(Kind::Query, 3, 10), 3 * len), 1, "query 0 left");
        assert_eq!(queue.push(frame(Kind::QueryHit, 4, 10), 3 * len), 1, "query 1 left");
        assert_eq!(queue.push(frame(Kind::QueryHit, 5, 10), 3 * len), 1, "query 3 left");
        assert_eq!(queue.push(frame(Kind::Query, 6, 10), 3 * len), 1, "no query displaces a hit");
        assert_eq!(queue.push(frame(Kind::QueryHit, 7, 10), 3 * len), 1, "hit 2 left");
        assert_eq!(queue.push(frame(Kind::Ping, 8, 0), 3 * len), 1, "hit 4 left");
        assert_eq!(drain(&mut queue), [(Kind::Ping, 8), (Kind::QueryHit, 5), (Kind::QueryHit, 7)]);
    }

    #[test]
    fn a_frame_above_the_whole_limit_displaces_nobody() {
        let mut queue = Queue::default();
        queue.push(frame(Kind::Query, 0, 0), 200);
        assert_eq!(queue.push(frame(Kind::QueryHit, 1, 200), 200), 1);
        assert_eq!(drain(&mut queue), [(Kind::Query, 0)]);
    }

    #[test]
    fn a_flood_of_short_frames_takes_no_more_memory_than_the_limit_and_none_when_it_is_over() {
        let mut queue = Queue::default();
        let limit = 256 * 1024;
        let lost: u64 = (0..10_000).map(|_| queue.push(frame(Kind::Query, 0, 3), limit)).sum();
        assert_eq!(lost, 10_000 - (limit / LEAST) as u64);
        let held = |queue: &Queue| queue.lanes.iter().map(VecDeque::capacity).sum::<usize>() * size_of::<Frame>();
        assert!(held(&queue) <= limit, "{} bytes", held(&queue));
        drain(&mut queue);
        assert_eq!((held(&queue), queue.bytes(), queue.weight), (0, 0, 0));
    }

    #[test]
    fn a_short_frame_does_not_overtake_a_long_one() {
        let mut queue = Queue::default();
        queue.push(frame(Kind::Query, 0, 100), usize::MAX);
        queue.push(frame(Kind::Query, 1, 0), usize::MAX);
        assert_eq!(queue.pop(|len| len < 100), None);
        assert_eq!(queue.pop(|len| len <= 123).map(|f| f.header.guid.0[0]), Some(0));
    }
}
