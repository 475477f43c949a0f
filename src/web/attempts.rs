//! How often somebody may guess the password: so seldom that neither guessing nor our work for it is worth it.
//!
//! A guess counts from the moment it is let in, so that many at once are no way around; the right password does not count.
//! The wrong ones of the last minute are all that is remembered.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use crate::base::Instant;

/// Wrong passwords within [`WITHIN`] from one address (IPv6: a /64).
const EACH: usize = 5;
/// ... from all together.
const ALL: usize = 30;
/// How long one counts.
const WITHIN: Duration = Duration::from_secs(60);

/// The guesses of the last minute.
#[derive(Debug, Default)]
pub struct Attempts {
    /// Oldest first.
    wrong: VecDeque<(Instant, IpAddr)>,
    told: Option<Instant>,
}

impl Attempts {
    /// Lets a guess in, or says how long it is to wait.
    pub fn admit(&mut self, now: Instant, from: IpAddr) -> Result<(), Duration> {
        while self.wrong.front().is_some_and(|(at, _)| now.since(*at) >= WITHIN) {
            self.wrong.pop_front();
        }
        let left = |at: Instant| WITHIN.saturating_sub(now.since(at));
        let mut of_this = self.wrong.iter().filter(|(_, who)| *who == from).map(|(at, _)| *at);
        if let Some(first) = of_this.next().filter(|_| of_this.count() + 1 >= EACH) {
            return Err(left(first));
        }
        if let Some((first, _)) = self.wrong.front().filter(|_| self.wrong.len() >= ALL) {
            return Err(left(*first));
        }
        self.wrong.push_back((now, from));
        Ok(())
    }

    /// The latest guess from there was right: it does not count.
    pub fn was_right(&mut self, from: IpAddr) {
        if let Some(at) = self.wrong.iter().rposition(|(_, who)| *who == from) {
            self.wrong.remove(at);
        }
    }

    /// Whether it is to be told that some had to wait: once a minute, so that nobody fills the log.
    pub fn is_news(&mut self, now: Instant) -> bool {
        let news = self.told.is_none_or(|at| now.since(at) >= WITHIN);
        if news {
            self.told = Some(now);
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn the_sixth_wrong_one_within_a_minute_waits_until_the_first_is_forgotten() {
        let mut attempts = Attempts::default();
        for second in 0..5 {
            assert_eq!(attempts.admit(Instant::from_secs(second), host(1)), Ok(()));
        }
        assert_eq!(attempts.admit(Instant::from_secs(10), host(1)), Err(Duration::from_secs(50)));
        assert_eq!(attempts.admit(Instant::from_secs(10), host(2)), Ok(()), "another address has tries of its own");
        assert_eq!(attempts.admit(Instant::from_secs(59), host(1)), Err(Duration::from_secs(1)));
        assert_eq!(attempts.admit(Instant::from_secs(60), host(1)), Ok(()));
        assert_eq!(attempts.admit(Instant::from_secs(60), host(1)), Err(Duration::from_secs(1)));
    }

    #[test]
    fn from_all_together_there_are_thirty_and_no_more_are_remembered() {
        let mut attempts = Attempts::default();
        for last in 0..30 {
            assert_eq!(attempts.admit(Instant::ZERO, host(last)), Ok(()));
        }
        for last in 30..=255 {
            assert_eq!(attempts.admit(Instant::from_secs(1), host(last)), Err(Duration::from_secs(59)));
        }
        assert_eq!(attempts.wrong.len(), ALL);
        assert_eq!(attempts.admit(Instant::from_secs(60), host(99)), Ok(()));
        assert_eq!(attempts.wrong.len(), 1);
    }

    #[test]
    fn the_right_password_does_not_count() {
        let mut attempts = Attempts::default();
        for _ in 0..100 {
            assert_eq!(attempts.admit(Instant::ZERO, host(1)), Ok(()));
            attempts.was_right(host(1));
        }
        attempts.was_right(host(2));
        for _ in 0..5 {
            assert_eq!(attempts.admit(Instant::ZERO, host(1)), Ok(()), "many at once: each counts until it was right");
        }
        assert!(attempts.admit(Instant::ZERO, host(1)).is_err());
        attempts.was_right(host(1));
        assert_eq!(attempts.admit(Instant::ZERO, host(1)), Ok(()));
    }

    #[test]
    fn that_some_wait_is_news_once_a_minute() {
        let mut attempts = Attempts::default();
        let news = [0, 1, 59, 60, 61, 120].map(|second| attempts.is_news(Instant::from_secs(second)));
        assert_eq!(news, [true, false, false, true, false, true]);
    }
}
