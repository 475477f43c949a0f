//! Speeds that are kept to: how many bytes may go now, or when.

use super::Instant;

/// A chunk is what goes in so many parts of a second ...
const CHUNKS_PER_SECOND: u64 = 16;
/// ... but not less than this, so that slow speeds do not send crumbs ...
const LEAST_CHUNK: u64 = 512;
/// ... and not more than this: others wait meanwhile.
const MOST_CHUNK: u64 = 1 << 20;

const MICRO: u64 = 1_000_000;

/// Bytes a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Speed {
    /// As many as there are.
    #[default]
    Off,
    /// So many; with 0 nothing goes.
    Bytes(u64),
}

impl Speed {
    /// Whether nothing may go.
    pub const fn is_pause(self) -> bool {
        matches!(self, Self::Bytes(0))
    }

    /// The lower one of two.
    pub fn min(self, other: Self) -> Self {
        match (self, other) {
            (Self::Bytes(a), Self::Bytes(b)) => Self::Bytes(a.min(b)),
            (Self::Off, it) | (it, Self::Off) => it,
        }
    }
}

/// When more may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Later {
    /// Ask again then.
    At(Instant),
    /// Ask again when the speed was changed.
    WhenChanged,
}

/// Keeps to a speed: grants chunks of a sixteenth of a second each, and saves up two of them at most, so that what
/// was not used in time does not come as a burst later. It begins with nothing saved up.
#[derive(Clone, Debug)]
pub struct Throttle {
    speed: Speed,
    /// Millionths of a byte, so that no fraction is lost between close calls.
    level: u64,
    at: Instant,
}

impl Throttle {
    /// Keeps to `speed` from `now` on.
    pub fn new(speed: Speed, now: Instant) -> Self {
        Self { speed, level: 0, at: now }
    }

    /// The speed.
    pub fn speed(&self) -> Speed {
        self.speed
    }

    /// Another speed from `now` on.
    pub fn set(&mut self, speed: Speed, now: Instant) {
        self.refill(now);
        self.speed = speed;
        self.level = self.level.min(self.cap());
    }

    /// Of `want` bytes those that may go now: a chunk at most, and never only a part of what could go as one.
    /// Otherwise when to ask again.
    pub fn take(&mut self, want: u64, now: Instant) -> Result<u64, Later> {
        let Speed::Bytes(rate) = self.speed else { return Ok(want) };
        if want == 0 {
            return Ok(0);
        }
        if rate == 0 {
            self.at = self.at.max(now);
            return Err(Later::WhenChanged);
        }
        self.refill(now);
        let grant = want.min(chunk(rate));
        let price = grant.saturating_mul(MICRO);
        match price.checked_sub(self.level) {
            Some(missing @ 1..) => {
                let wait = std::time::Duration::from_micros(missing.div_ceil(rate));
                Err(Later::At(now + wait))
            }
            _ => {
                self.level -= price;
                Ok(grant)
            }
        }
    }

    /// So many of the bytes that were granted did not go.
    pub fn give_back(&mut self, bytes: u64) {
        self.level = self.level.saturating_add(bytes.saturating_mul(MICRO)).min(self.cap());
    }

    fn refill(&mut self, now: Instant) {
        let elapsed = now.as_micros().saturating_sub(self.at.as_micros());
        self.at = self.at.max(now);
        if let Speed::Bytes(rate) = self.speed {
            self.level = self.level.saturating_add(elapsed.saturating_mul(rate)).min(self.cap());
        }
    }

    fn cap(&self) -> u64 {
        match self.speed {
            Speed::Off => 0,
            Speed::Bytes(rate) => (2 * chunk(rate)).max(rate / (CHUNKS_PER_SECOND / 2)).saturating_mul(MICRO),
        }
    }
}

fn chunk(rate: u64) -> u64 {
    (rate / CHUNKS_PER_SECOND).clamp(LEAST_CHUNK, MOST_CHUNK)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Takes all that it gets from `now` to `end`, in askings of `want` bytes that come `late` after their time; what
    /// came, and in how many askings.
    fn run(throttle: &mut Throttle, now: Instant, end: Instant, want: u64, late: Duration) -> (u64, u32) {
        let (mut now, mut bytes, mut asked) = (now, 0, 0);
        while now < end {
            asked += 1;
            match throttle.take(want, now) {
                Ok(granted) => bytes += granted,
                Err(Later::At(at)) => {
                    assert!(at > now, "never at once again");
                    now = at + late;
                }
                Err(Later::WhenChanged) => now = end,
            }
        }
        (bytes, asked)
    }

    #[test]
    fn every_speed_is_kept_to_however_late_the_timers_are() {
        for rate in [100, 1_000, 65_536, 1_000_000, 123_456_789, 10_000_000_000] {
            for late in [0, 1_000, 40_000] {
                for want in [1 << 30, 3000, 100] {
                    let mut throttle = Throttle::new(Speed::Bytes(rate), Instant::ZERO);
                    let secs = if rate < 10_000 { 200 } else { 10 };
                    if want < 1 << 30 && rate / want > 10_000 {
                        continue;
                    }
                    let late = Duration::from_micros(late);
                    let (bytes, _) = run(&mut throttle, Instant::ZERO, Instant::from_secs(secs), want, late);
                    let share = bytes as f64 / (rate * secs) as f64;
                    assert!((0.97..=1.01).contains(&share), "{share:.4} of {rate} B/s, {late:?} late, {want} wanted");
                }
            }
        }
    }

    #[test]
    fn it_is_asked_seldom() {
        for rate in [1_000, 65_536, 10_000_000] {
            let mut throttle = Throttle::new(Speed::Bytes(rate), Instant::ZERO);
            let (_, asked) = run(&mut throttle, Instant::ZERO, Instant::from_secs(10), u64::MAX, Duration::ZERO);
            // Each chunk is one asking that waits and one that does not.
            assert!(asked <= 2 * 10 * CHUNKS_PER_SECOND as u32 + 2, "{asked} times in 10 s at {rate} B/s");
        }
    }

    #[test]
    fn what_was_not_used_does_not_come_as_a_burst() {
        let mut throttle = Throttle::new(Speed::Bytes(160_000), Instant::ZERO);
        let later = Instant::from_secs(3600);
        let (bytes, _) = run(&mut throttle, later, later + Duration::from_micros(1), 1 << 20, Duration::ZERO);
        assert_eq!(bytes, 20_000, "two chunks");
    }

    #[test]
    fn zero_pauses_and_off_removes() {
        let mut throttle = Throttle::new(Speed::Bytes(0), Instant::ZERO);
        assert_eq!(throttle.take(1, Instant::from_secs(99)), Err(Later::WhenChanged));
        assert_eq!(throttle.take(0, Instant::from_secs(99)), Ok(0));
        throttle.set(Speed::Bytes(1_000), Instant::from_secs(100));
        assert_eq!(throttle.take(500, Instant::from_secs(100)), Err(Later::At(Instant::from_millis(100_500))));
        throttle.set(Speed::Off, Instant::from_secs(100));
        assert_eq!(throttle.take(u64::MAX, Instant::from_secs(100)), Ok(u64::MAX));
        throttle.set(Speed::Bytes(1_000), Instant::from_secs(200));
        assert_eq!(throttle.take(500, Instant::from_secs(200)), Err(Later::At(Instant::from_millis(200_500))));
    }

    #[test]
    fn what_is_given_back_may_go_again_and_the_lower_speed_counts() {
        let mut throttle = Throttle::new(Speed::Bytes(16_000), Instant::ZERO);
        let now = Instant::from_secs(1);
        assert_eq!(throttle.take(1000, now), Ok(1000));
        assert_eq!(throttle.take(1000, now), Ok(1000));
        assert!(throttle.take(1000, now).is_err());
        throttle.give_back(400);
        assert_eq!(throttle.take(400, now), Ok(400));
        assert_eq!(Speed::Bytes(3).min(Speed::Off), Speed::Bytes(3));
        assert_eq!(Speed::Bytes(3).min(Speed::Bytes(0)), Speed::Bytes(0));
        assert_eq!(Speed::Off.min(Speed::Off), Speed::Off);
    }

    #[test]
    fn a_clock_that_goes_back_costs_nothing() {
        let mut throttle = Throttle::new(Speed::Bytes(1_600), Instant::from_secs(50));
        assert!(throttle.take(512, Instant::from_secs(10)).is_err());
        assert_eq!(throttle.take(512, Instant::from_secs(51)), Ok(512));
    }
}
