//! When which watch asks the network: a pure state machine that is told the time.
//!
//! Standing questions cost others the most, for nobody waits for the answer. So there is one in a minute in all, each
//! comes every ten minutes at most, and one that brings nothing new comes half as often each time, down to one in six
//! hours. New neighbours are a reason to ask sooner, never sooner than those ten minutes.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::Instant;

/// How often standing questions are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchPace {
    /// Between two queries of watches, whichever they are of.
    pub between: Duration,
    /// Between two of one watch, at least; so long after it brought something new.
    pub each: Duration,
    /// ... and at most, when it brings nothing.
    pub longest: Duration,
}

impl Default for WatchPace {
    fn default() -> Self {
        Self {
            between: Duration::from_secs(60),
            each: Duration::from_secs(600),
            longest: Duration::from_secs(6 * 3600),
        }
    }
}

/// Whose turn it is, and when.
#[derive(Debug)]
pub(super) struct Schedule {
    pace: WatchPace,
    /// No query before that.
    free: Instant,
    turns: BTreeMap<u64, Turn>,
}

#[derive(Debug)]
struct Turn {
    /// Queries that it takes to ask once.
    queries: u32,
    asked: Option<Instant>,
    pause: Duration,
    next: Instant,
    /// Something new came since it was asked.
    news: bool,
    paused: bool,
}

/// What an earlier run knew of a watch.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Before {
    /// How long ago it was asked.
    pub(super) asked: Option<Duration>,
    /// How long it waits between two questions.
    pub(super) pause: Duration,
    pub(super) paused: bool,
}

impl Schedule {
    pub(super) fn new(pace: WatchPace) -> Self {
        Self { pace, free: Instant::ZERO, turns: BTreeMap::new() }
    }

    /// A new watch, or one of an earlier run: a restart is no reason to ask again.
    pub(super) fn add(&mut self, id: u64, now: Instant, queries: usize, before: Before) {
        let pause = before.pause.clamp(self.pace.each, self.pace.longest.max(self.pace.each));
        let left = before.asked.map_or(Duration::ZERO, |ago| pause.saturating_sub(ago));
        let queries = u32::try_from(queries).unwrap_or(u32::MAX).max(1);
        let turn = Turn { queries, asked: None, pause, next: now + left, news: false, paused: before.paused };
        self.turns.insert(id, turn);
    }

    pub(super) fn remove(&mut self, id: u64) {
        self.turns.remove(&id);
    }

    pub(super) fn set_paused(&mut self, id: u64, paused: bool) {
        if let Some(turn) = self.turns.get_mut(&id) {
            turn.paused = paused;
        }
    }

    /// It brought something new: it is worth asking as often as may be.
    pub(super) fn on_news(&mut self, id: u64) {
        let each = self.pace.each;
        if let Some(turn) = self.turns.get_mut(&id) {
            turn.news = true;
            turn.pause = each;
            turn.next = turn.asked.map_or(turn.next, |asked| turn.next.min(asked + each));
        }
    }

    /// Somebody is there who may not have been asked.
    pub(super) fn on_neighbour(&mut self, now: Instant) {
        for turn in self.turns.values_mut() {
            // Of one that an earlier run asked, that run's pause holds.
            if let Some(asked) = turn.asked {
                turn.next = turn.next.min((asked + self.pace.each).max(now));
            }
        }
    }

    /// When the next one asks; `None` while none is to.
    pub(super) fn next(&self) -> Option<Instant> {
        let turns = self.turns.values().filter(|turn| !turn.paused);
        turns.map(|turn| turn.next.max(self.free)).min()
    }

    /// Who asks now: of those whose time has come the one that has waited longest. It counts as asked.
    pub(super) fn take(&mut self, now: Instant) -> Option<u64> {
        if self.free > now {
            return None;
        }
        let due = self.turns.iter_mut().filter(|(_, turn)| !turn.paused && turn.next <= now);
        let (&id, turn) = due.min_by_key(|(_, turn)| turn.next)?;
        if turn.asked.is_some() && !turn.news {
            turn.pause = (turn.pause * 2).min(self.pace.longest);
        }
        turn.news = false;
        turn.asked = Some(now);
        turn.next = now + turn.pause;
        self.free = now + self.pace.between * turn.queries;
        Some(id)
    }

    /// When that one asks if nothing comes between; `None` while it is paused.
    pub(super) fn next_of(&self, id: u64) -> Option<Instant> {
        self.turns.get(&id).filter(|turn| !turn.paused).map(|turn| turn.next.max(self.free))
    }

    /// How long it waits between two questions.
    pub(super) fn pause_of(&self, id: u64) -> Duration {
        self.turns.get(&id).map_or(self.pace.each, |turn| turn.pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: u64) -> Instant {
        Instant::from_secs(minutes * 60)
    }

    /// Lets time pass minute by minute; when which watch asked.
    fn asked(schedule: &mut Schedule, from: u64, to: u64) -> Vec<(u64, u64)> {
        (from..to).filter_map(|minute| Some((minute, schedule.take(at(minute))?))).collect()
    }

    #[test]
    fn one_that_brings_nothing_asks_ever_more_rarely() {
        let mut schedule = Schedule::new(WatchPace::default());
        schedule.add(1, at(0), 1, Before::default());
        let times: Vec<u64> = asked(&mut schedule, 0, 2000).into_iter().map(|(minute, _)| minute).collect();
        assert_eq!(times, [0, 10, 30, 70, 150, 310, 630, 990, 1350, 1710], "10 min, doubled, up to six hours");
    }

    #[test]
    fn news_and_neighbours_bring_it_forward_but_never_below_ten_minutes() {
        type Step = fn(&mut Schedule);
        let table: &[(&str, Step, u64)] = &[
            ("nothing", |_| (), 150),
            ("news at once", |s| s.on_news(1), 80),
            ("a neighbour five minutes later", |s| s.on_neighbour(at(75)), 80),
            ("a neighbour half an hour later", |s| s.on_neighbour(at(100)), 100),
            ("paused", |s| s.set_paused(1, true), u64::MAX),
            (
                "paused, a neighbour, and resumed",
                |s| {
                    s.set_paused(1, true);
                    s.on_neighbour(at(120));
                    s.set_paused(1, false);
                },
                120,
            ),
            ("removed", |s| s.remove(1), u64::MAX),
        ];
        for (what, step, expected) in table {
            let mut schedule = Schedule::new(WatchPace::default());
            schedule.add(1, at(0), 1, Before::default());
            assert_eq!(asked(&mut schedule, 0, 71).len(), 4, "asked at 0, 10, 30 and 70");
            step(&mut schedule);
            let next = schedule.next().map_or(u64::MAX, |next| next.as_micros() / 60_000_000);
            assert_eq!(next, *expected, "{what}");
            assert_eq!(schedule.next(), schedule.next_of(1), "{what}");
        }
    }

    #[test]
    fn after_news_it_is_asked_as_often_as_at_first() {
        let mut schedule = Schedule::new(WatchPace::default());
        schedule.add(1, at(0), 1, Before::default());
        asked(&mut schedule, 0, 71);
        schedule.on_news(1);
        assert_eq!(asked(&mut schedule, 71, 140), [(80, 1), (90, 1), (110, 1)]);
    }

    #[test]
    fn all_together_ask_once_a_minute_and_none_is_forgotten() {
        let mut schedule = Schedule::new(WatchPace::default());
        (1..=64).for_each(|id| schedule.add(id, at(0), 1, Before::default()));
        let mut log = Vec::new();
        // Neighbours come and go all the time.
        for minute in 0..640 {
            schedule.on_neighbour(at(minute));
            log.extend(schedule.take(at(minute)));
            assert_eq!(schedule.take(at(minute)), None, "one in a minute");
        }
        assert_eq!(log.len(), 640);
        for id in 1..=64 {
            assert_eq!(log.iter().filter(|asked| **asked == id).count(), 10, "watch {id}");
        }
    }

    #[test]
    fn alternatives_are_several_queries_and_count_as_that() {
        let mut schedule = Schedule::new(WatchPace::default());
        schedule.add(1, at(0), 8, Before::default());
        schedule.add(2, at(0), 1, Before::default());
        assert_eq!(asked(&mut schedule, 0, 10), [(0, 1), (8, 2)]);
    }

    #[test]
    fn a_restart_is_no_reason_to_ask() {
        let hour = Duration::from_secs(3600);
        let before = |ago: Option<Duration>, pause| Before { asked: ago, pause, paused: false };
        let table = [
            (before(None, Duration::ZERO), 0),
            (before(Some(Duration::ZERO), hour), 60),
            (before(Some(hour / 2), hour), 30),
            (before(Some(hour * 2), hour), 0),
            (before(Some(Duration::ZERO), Duration::ZERO), 10),
            (before(Some(Duration::ZERO), hour * 100), 360),
        ];
        for (before, expected) in table {
            let mut schedule = Schedule::new(WatchPace::default());
            schedule.add(1, at(0), 1, before);
            schedule.on_neighbour(at(0));
            assert_eq!(schedule.next(), Some(at(expected)), "{before:?}");
        }
    }
}
