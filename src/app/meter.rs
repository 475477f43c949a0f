//! How fast something goes now.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The rate is the mean over this long.
const WINDOW: Duration = Duration::from_secs(3);
/// Samples closer together than this are one.
const GRAIN: Duration = Duration::from_millis(100);

/// Bytes a second over the last few seconds, from a count that only grows.
#[derive(Debug, Default)]
pub struct Meter {
    samples: VecDeque<(Instant, u64)>,
}

impl Meter {
    /// The count is `total` now.
    pub fn sample(&mut self, now: Instant, total: u64) {
        match self.samples.len() {
            // The newest sample moves on until it is a grain younger than the one before it.
            len if len > 1 && now.duration_since(self.samples[len - 2].0) < GRAIN => {
                self.samples[len - 1] = (now, total);
            }
            _ => self.samples.push_back((now, total)),
        }
        while self.samples.len() > 2 && now.duration_since(self.samples[1].0) >= WINDOW {
            self.samples.pop_front();
        }
    }

    /// Bytes a second, told at `now`; 0 when nothing was counted lately.
    pub fn rate(&self, now: Instant) -> u64 {
        let (Some((first, from)), Some((last, to))) = (self.samples.front(), self.samples.back()) else { return 0 };
        if now.duration_since(*last) > WINDOW {
            return 0;
        }
        let span = now.duration_since(*first).max(GRAIN);
        (to.saturating_sub(*from) as f64 / span.as_secs_f64()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_tells_the_rate_of_the_last_seconds_and_forgets_the_rest() {
        let (mut meter, start) = (Meter::default(), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        assert_eq!(meter.rate(at(0)), 0);
        (0..=100).for_each(|step| meter.sample(at(step * 20), step * 20_000));
        assert_eq!(meter.rate(at(2000)), 1_000_000);
        assert!(meter.samples.len() < 30, "{} samples", meter.samples.len());
        (0..=100).for_each(|step| meter.sample(at(2000 + step * 100), 2_000_000 + step * 10_000));
        assert!((95_000..=105_000).contains(&meter.rate(at(12_000))), "{}", meter.rate(at(12_000)));
        assert_eq!(meter.rate(at(16_000)), 0, "a stalled one has no rate");
    }
}
