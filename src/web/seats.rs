//! Who sits where: connections are bounded, and who can say the word is not kept out by those who cannot.

use std::collections::BTreeMap;
use std::net::IpAddr;

use futures::channel::oneshot;

use super::guard::By;
use crate::wire::addr::{Scope, scope, subnet};

/// Connections of one address of another machine (IPv6: a /64) that have not shown that they may come in.
const STRANGERS: usize = 16;

/// All connections, numbered in the order of arrival.
#[derive(Default)]
pub struct Seats {
    next: u64,
    /// Those that have not shown the token yet, or what the password stands for.
    waiting: BTreeMap<u64, Waiting>,
    /// Those that have.
    kept: BTreeMap<u64, Kept>,
}

struct Waiting {
    from: IpAddr,
    /// How it is told to leave.
    leave: oneshot::Sender<()>,
}

struct Kept {
    leave: oneshot::Sender<()>,
    by_login: bool,
}

impl Seats {
    /// A seat for who comes from there, and what is told when it has to be left; `None` where all `most` are kept.
    pub fn take(&mut self, from: IpAddr, most: usize) -> Option<(u64, oneshot::Receiver<()>)> {
        let from = subnet(from);
        let far = |ip: IpAddr| scope(ip) != Scope::Machine;
        let mut same = self.waiting.iter().filter(|(_, one)| far(from) && one.from == from).map(|(seat, _)| *seat);
        if let Some(first) = same.next().filter(|_| same.count() + 1 >= STRANGERS) {
            self.tell(first);
        } else if self.waiting.len() + self.kept.len() >= most {
            // Commands of this machine need a moment to show the token; a crowd outside shall not take it from them.
            let first = self.waiting.iter().find(|(_, one)| far(one.from)).or_else(|| self.waiting.iter().next());
            let first = *first?.0;
            self.tell(first);
        }
        let (leave, told) = oneshot::channel();
        let seat = self.next;
        self.next += 1;
        self.waiting.insert(seat, Waiting { from, leave });
        Some((seat, told))
    }

    fn tell(&mut self, seat: u64) {
        if let Some(one) = self.waiting.remove(&seat) {
            let _ = one.leave.send(());
        }
    }

    /// The connection has shown that it may come in: no newcomer takes its seat any more.
    pub fn keep(&mut self, seat: u64, by: By) {
        if let Some(one) = self.waiting.remove(&seat) {
            self.kept.insert(seat, Kept { leave: one.leave, by_login: false });
        }
        if let Some(kept) = self.kept.get_mut(&seat) {
            kept.by_login |= by == By::Login;
        }
    }

    /// Tells all to leave that came in by the password.
    pub fn dismiss_logins(&mut self) {
        for (_, one) in self.kept.extract_if(.., |_, one| one.by_login) {
            let _ = one.leave.send(());
        }
    }

    /// It is gone.
    pub fn leave(&mut self, seat: u64) {
        self.waiting.remove(&seat);
        self.kept.remove(&seat);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Room {
        seats: Seats,
        told: Vec<oneshot::Receiver<()>>,
    }

    impl Room {
        fn new() -> Self {
            Self { seats: Seats::default(), told: Vec::new() }
        }

        fn take(&mut self, from: &str, times: usize) -> bool {
            (0..times).all(|_| {
                let seat = self.seats.take(from.parse().expect("an address"), 64);
                seat.map(|(_, told)| self.told.push(told)).is_some()
            })
        }

        /// Those that were told to leave.
        fn left(&mut self) -> Vec<usize> {
            let told = self.told.iter_mut().enumerate();
            told.filter_map(|(seat, told)| matches!(told.try_recv(), Ok(Some(()))).then_some(seat)).collect()
        }
    }

    #[test]
    fn the_oldest_that_has_not_shown_the_token_leaves_and_none_that_has() {
        let mut room = Room::new();
        assert!(room.take("127.0.0.1", 64));
        room.seats.keep(0, By::Token);
        assert!(room.take("127.0.0.1", 1));
        assert_eq!(room.left(), [1]);
        (2..65).for_each(|seat| room.seats.keep(seat, By::Token));
        assert!(!room.take("127.0.0.1", 1), "all have shown it");
        room.seats.leave(7);
        assert!(room.take("127.0.0.1", 1));
    }

    #[test]
    fn a_crowd_outside_takes_no_seat_from_this_machine_nor_from_each_other() {
        let mut room = Room::new();
        assert!(room.take("127.0.0.1", 1) && room.take("192.0.2.1", 1));
        assert!(room.take("2001:db8::1", 16) && room.take("2001:db8::2", 4));
        assert_eq!(room.left(), [2, 3, 4, 5], "of one network sixteen, the latest");
        let crowd: Vec<String> = (2..60).map(|last| format!("192.0.2.{last}")).collect();
        assert!(crowd.iter().all(|from| room.take(from, 1)));
        let left = room.left();
        assert!(!left.contains(&0) && left.contains(&1), "{left:?}");
    }

    #[test]
    fn who_came_in_by_the_password_is_told_to_leave() {
        let mut room = Room::new();
        assert!(room.take("192.0.2.1", 4));
        room.seats.keep(0, By::Token);
        room.seats.keep(1, By::Login);
        room.seats.keep(2, By::Token);
        room.seats.keep(2, By::Login);
        room.seats.dismiss_logins();
        assert_eq!(room.left(), [1, 2]);
    }
}
