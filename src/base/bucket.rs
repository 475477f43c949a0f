//! Token buckets: a rate with a burst.

use super::Instant;

/// Grants `rate` tokens a second and saves up at most `burst` of them.
#[derive(Clone, Debug)]
pub struct TokenBucket {
    rate: u32,
    burst: u32,
    /// Millionths of a token, so that no fraction is lost between close calls.
    level: u64,
    at: Instant,
}

const MICRO: u64 = 1_000_000;

impl TokenBucket {
    /// A full bucket. A `rate` of zero never refills.
    pub fn new(rate: u32, burst: u32, now: Instant) -> Self {
        Self { rate, burst, level: u64::from(burst) * MICRO, at: now }
    }

    /// Takes `tokens` if they are there; takes none otherwise.
    pub fn take(&mut self, tokens: u32, now: Instant) -> bool {
        self.refill(now);
        let wanted = u64::from(tokens) * MICRO;
        if self.level < wanted {
            return false;
        }
        self.level -= wanted;
        true
    }

    fn refill(&mut self, now: Instant) {
        let elapsed = now.as_micros().saturating_sub(self.at.as_micros());
        self.at = self.at.max(now);
        let cap = u64::from(self.burst) * MICRO;
        self.level = self.level.saturating_add(elapsed.saturating_mul(u64::from(self.rate))).min(cap);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_the_rate() {
        let mut bucket = TokenBucket::new(2, 3, Instant::ZERO);
        assert!(bucket.take(3, Instant::ZERO));
        assert!(!bucket.take(1, Instant::from_millis(499)));
        assert!(bucket.take(1, Instant::from_millis(500)));
        assert!(bucket.take(3, Instant::from_secs(100)));
        assert!(!bucket.take(1, Instant::from_secs(100)));
        assert!(!bucket.take(4, Instant::from_secs(1000)), "more than a burst is never there");
    }
}
