//! Whose turn it is: so many downloads connect or receive at a time, the others wait in line.

use std::collections::{BTreeSet, VecDeque};

/// Holders and those in line, by id.
#[derive(Debug)]
pub(super) struct Turns {
    most: usize,
    held: BTreeSet<u64>,
    line: VecDeque<u64>,
}

impl Turns {
    pub(super) fn new(most: usize) -> Self {
        Self { most: most.max(1), held: BTreeSet::new(), line: VecDeque::new() }
    }

    /// One more in line; call [`Turns::next`] then.
    pub(super) fn want(&mut self, id: u64) {
        if !self.held.contains(&id) && !self.line.contains(&id) {
            self.line.push_back(id);
        }
    }

    /// Its turn is over, or it does not wait any more; call [`Turns::next`] then.
    pub(super) fn give_up(&mut self, id: u64) {
        self.held.remove(&id);
        self.line.retain(|waiting| *waiting != id);
    }

    /// Whose turn it is now, if there is room for one more.
    pub(super) fn next(&mut self) -> Option<u64> {
        if self.held.len() >= self.most {
            return None;
        }
        let id = self.line.pop_front()?;
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
        (1..=4).for_each(|id| turns.want(id));
        turns.want(1);
        assert_eq!([turns.next(), turns.next(), turns.next()], [Some(1), Some(2), None]);
        turns.give_up(3);
        turns.give_up(1);
        assert_eq!([turns.next(), turns.next()], [Some(4), None]);
        turns.give_up(4);
        assert_eq!(turns.next(), None);
    }
}
