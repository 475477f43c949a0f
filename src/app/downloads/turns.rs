//! Whose turn it is: so many downloads connect or receive at a time, the others wait in line.

use std::collections::{BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

/// Who goes first among those that wait for their turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// After all others.
    Low,
    /// In the order of coming.
    #[default]
    Normal,
    /// Before all others.
    High,
}

impl Priority {
    /// The words for it.
    pub const WORDS: &[&str] = &["high", "normal", "low"];

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Normal => "normal",
            Self::Low => "low",
        }
    }

    /// What a word means.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::High, Self::Normal, Self::Low].into_iter().find(|it| it.word() == word)
    }
}

/// Downloads whose bytes are all there, and which are being checked and put in their place: while there are so many, nobody
/// else begins, as each keeps a file open.
const ENDING: usize = 64;

/// Holders and those in line, by id.
#[derive(Debug)]
pub(super) struct Turns {
    most: usize,
    held: BTreeSet<u64>,
    ending: BTreeSet<u64>,
    line: VecDeque<(u64, Priority)>,
}

impl Turns {
    pub(super) fn new(most: usize) -> Self {
        Self { most: most.max(1), held: BTreeSet::new(), ending: BTreeSet::new(), line: VecDeque::new() }
    }

    /// One more in line; call [`Turns::next`] then.
    pub(super) fn want(&mut self, id: u64, priority: Priority) {
        self.ending.remove(&id);
        if !self.held.contains(&id) && self.line.iter().all(|(waiting, _)| *waiting != id) {
            self.line.push_back((id, priority));
        }
    }

    /// If it waits, it does so with that priority from now on.
    pub(super) fn prioritise(&mut self, id: u64, priority: Priority) {
        self.line.iter_mut().filter(|(waiting, _)| *waiting == id).for_each(|(_, own)| *own = priority);
    }

    /// It has what it wanted its turn for, but is not over; call [`Turns::next`] then.
    pub(super) fn end(&mut self, id: u64) {
        if self.held.remove(&id) {
            self.ending.insert(id);
        }
    }

    /// Its turn is over, or it does not wait any more; call [`Turns::next`] then.
    pub(super) fn give_up(&mut self, id: u64) {
        self.held.remove(&id);
        self.ending.remove(&id);
        self.line.retain(|(waiting, _)| *waiting != id);
    }

    /// Whose turn it is now, if there is room for one more.
    pub(super) fn next(&mut self) -> Option<u64> {
        if self.held.len() >= self.most || self.held.len() + self.ending.len() >= self.most + ENDING {
            return None;
        }
        let highest = self.line.iter().map(|(_, priority)| *priority).max()?;
        let at = self.line.iter().position(|(_, priority)| *priority == highest)?;
        let (id, _) = self.line.remove(at)?;
        self.held.insert(id);
        Some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_come_first_served_and_no_more_than_there_is_room_for() {
        let mut turns = Turns::new(2);
        (1..=4).for_each(|id| turns.want(id, Priority::Normal));
        turns.want(1, Priority::Normal);
        assert_eq!([turns.next(), turns.next(), turns.next()], [Some(1), Some(2), None]);
        turns.give_up(3);
        turns.give_up(1);
        assert_eq!([turns.next(), turns.next()], [Some(4), None]);
        turns.give_up(4);
        assert_eq!(turns.next(), None);
    }

    #[test]
    fn those_that_end_make_room_until_they_are_too_many() {
        let mut turns = Turns::new(2);
        let last = ENDING as u64 + 2;
        (1..=last + 1).for_each(|id| turns.want(id, Priority::Normal));
        assert_eq!([turns.next(), turns.next(), turns.next()], [Some(1), Some(2), None]);
        for id in 1..=ENDING as u64 {
            turns.end(id);
            assert_eq!(turns.next(), Some(id + 2));
        }
        turns.end(last);
        assert_eq!(turns.next(), None, "too many are open");
        // One of them is wrong, and waits in line like all others.
        turns.want(1, Priority::Normal);
        assert_eq!([turns.next(), turns.next()], [Some(last + 1), None]);
        turns.give_up(last - 1);
        assert_eq!([turns.next(), turns.next()], [Some(1), None]);
    }

    #[test]
    fn priorities_go_before_the_order_of_coming_and_may_change_while_one_waits() {
        let mut turns = Turns::new(1);
        for (id, priority) in [(1, Priority::Low), (2, Priority::Normal), (3, Priority::Normal), (4, Priority::High)] {
            turns.want(id, priority);
        }
        assert_eq!(turns.next(), Some(4));
        turns.prioritise(3, Priority::High);
        turns.prioritise(4, Priority::Low);
        let mut order = Vec::new();
        for held in [4, 3, 2, 1] {
            turns.give_up(held);
            order.extend(turns.next());
        }
        assert_eq!(order, [3, 2, 1]);
        for word in Priority::WORDS {
            assert_eq!(Priority::parse(word).map(Priority::word), Some(*word));
        }
        assert_eq!(Priority::parse("urgent"), None);
    }
}
