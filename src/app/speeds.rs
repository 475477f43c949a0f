//! How fast files come and go: the limits that the user sets, and the turtle, which is a second pair of them for
//! when the line is needed for something else.

use std::fmt;
use std::sync::Mutex;

use super::events::lock;
use super::view::SpeedsView;
use super::{Error, ErrorCode};
use crate::base::Speed;
use crate::library::bytes;
use crate::net::{Clock, Flow, Outflow};

/// The limits, as the servent is started with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpeedLimits {
    /// Of all downloads together.
    pub down: Speed,
    /// Of all uploads together.
    pub up: Speed,
    /// Of the uploads to one address (IPv6: one /64).
    pub peer_up: Speed,
    /// Whether the next two hold as well.
    pub turtle: bool,
    /// Of all downloads, when the turtle is on.
    pub turtle_down: Speed,
    /// Of all uploads, when the turtle is on.
    pub turtle_up: Speed,
}

impl Default for SpeedLimits {
    fn default() -> Self {
        Self {
            down: Speed::Off,
            up: Speed::Off,
            peer_up: Speed::Off,
            turtle: false,
            turtle_down: Speed::Bytes(64_000),
            turtle_up: Speed::Bytes(16_000),
        }
    }
}

/// What to change of them: speeds as they are typed (`500K`, `1.5Mi`, `0` to pause, `off`).
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SpeedsRequest {
    /// Of all downloads together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub down: Option<String>,
    /// Of all uploads together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up: Option<String>,
    /// Of the uploads to one address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_up: Option<String>,
    /// Whether the turtle is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turtle: Option<bool>,
    /// Its speed of downloads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turtle_down: Option<String>,
    /// Its speed of uploads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turtle_up: Option<String>,
}

impl SpeedsRequest {
    /// The same, as speeds are shown; bounded, whatever was typed.
    pub(super) fn normal(&self) -> Result<Self, UnknownSpeed> {
        let speed = |text: &Option<String>| text.as_deref().map(|text| parse_speed(text).map(speed_text)).transpose();
        Ok(Self {
            down: speed(&self.down)?,
            up: speed(&self.up)?,
            peer_up: speed(&self.peer_up)?,
            turtle: self.turtle,
            turtle_down: speed(&self.turtle_down)?,
            turtle_up: speed(&self.turtle_up)?,
        })
    }

    /// Adds what is newer.
    pub(super) fn take(&mut self, newer: Self) {
        let Self { down, up, peer_up, turtle, turtle_down, turtle_up } = newer;
        let take = |old: &mut Option<String>, new: Option<String>| *old = new.or(old.take());
        take(&mut self.down, down);
        take(&mut self.up, up);
        take(&mut self.peer_up, peer_up);
        take(&mut self.turtle_down, turtle_down);
        take(&mut self.turtle_up, turtle_up);
        self.turtle = turtle.or(self.turtle);
    }

    /// What is in it, by the names of the settings.
    pub fn settings(self) -> Vec<(&'static str, String)> {
        let all = [
            ("limit_down", self.down),
            ("limit_up", self.up),
            ("limit_peer_up", self.peer_up),
            ("turtle", self.turtle.map(|on| on.to_string())),
            ("turtle_down", self.turtle_down),
            ("turtle_up", self.turtle_up),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

/// What is no speed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownSpeed(String);

impl fmt::Display for UnknownSpeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no speed: say bytes a second (500K, 1.5M, 64Ki), 0 to pause or off for no limit", self.0)
    }
}

impl From<UnknownSpeed> for Error {
    fn from(unknown: UnknownSpeed) -> Self {
        Error::new(ErrorCode::Usage, unknown.to_string())
    }
}

/// Reads `500K`, `1.5M/s`, `64Ki`, `0` or `off`.
pub fn parse_speed(text: &str) -> Result<Speed, UnknownSpeed> {
    let typed = text.trim();
    if typed.eq_ignore_ascii_case("off") {
        return Ok(Speed::Off);
    }
    let bytes = bytes(typed.strip_suffix("/s").unwrap_or(typed));
    bytes.map(Speed::Bytes).map_err(|_| UnknownSpeed(typed.to_owned()))
}

/// As it would be typed: `off`, `0`, `500K`, `64Ki`, `1234`.
pub fn speed_text(speed: Speed) -> String {
    let Speed::Bytes(bytes) = speed else { return "off".to_owned() };
    let units =
        [(1_000_000_000, "G"), (1 << 30, "Gi"), (1_000_000, "M"), (1 << 20, "Mi"), (1_000, "K"), (1 << 10, "Ki")];
    let whole = units.iter().find(|(unit, _)| bytes > 0 && bytes % unit == 0);
    whole.map_or_else(|| bytes.to_string(), |(unit, name)| format!("{}{name}", bytes / unit))
}

impl SpeedLimits {
    /// What holds for downloads now.
    pub fn down_now(&self) -> Speed {
        if self.turtle { self.down.min(self.turtle_down) } else { self.down }
    }

    /// What holds for uploads now.
    pub fn up_now(&self) -> Speed {
        if self.turtle { self.up.min(self.turtle_up) } else { self.up }
    }

    fn changed(mut self, change: &SpeedsRequest) -> Result<Self, UnknownSpeed> {
        for (speed, text) in [
            (&mut self.down, &change.down),
            (&mut self.up, &change.up),
            (&mut self.peer_up, &change.peer_up),
            (&mut self.turtle_down, &change.turtle_down),
            (&mut self.turtle_up, &change.turtle_up),
        ] {
            if let Some(text) = text {
                *speed = parse_speed(text)?;
            }
        }
        self.turtle = change.turtle.unwrap_or(self.turtle);
        Ok(self)
    }

    /// As the API shows it.
    pub fn view(&self) -> SpeedsView {
        let number = |speed| match speed {
            Speed::Off => None,
            Speed::Bytes(bytes) => Some(bytes),
        };
        SpeedsView {
            down_bps: number(self.down),
            up_bps: number(self.up),
            peer_up_bps: number(self.peer_up),
            turtle: self.turtle,
            turtle_down_bps: number(self.turtle_down),
            turtle_up_bps: number(self.turtle_up),
            down_now_bps: number(self.down_now()),
            up_now_bps: number(self.up_now()),
        }
    }
}

/// The limits of a running servent, and what keeps to them.
pub(super) struct Speeds {
    limits: Mutex<SpeedLimits>,
    down: Flow,
    up: Outflow,
}

impl Speeds {
    pub(super) fn new(limits: SpeedLimits, clock: Clock) -> Self {
        let down = Flow::new(clock, limits.down_now());
        let up = Outflow::new(clock, limits.up_now(), limits.peer_up);
        Self { limits: Mutex::new(limits), down, up }
    }

    pub(super) fn limits(&self) -> SpeedLimits {
        *lock(&self.limits)
    }

    /// Changes them, for who comes and for who is there.
    pub(super) fn change(&self, change: &SpeedsRequest) -> Result<SpeedLimits, UnknownSpeed> {
        let mut limits = lock(&self.limits);
        *limits = limits.changed(change)?;
        self.down.set(limits.down_now());
        self.up.set(limits.up_now(), limits.peer_up);
        Ok(*limits)
    }

    pub(super) fn down(&self) -> &Flow {
        &self.down
    }

    pub(super) fn up(&self) -> &Outflow {
        &self.up
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_are_read_as_they_are_typed_and_shown_so() {
        for (text, speed, shown) in [
            ("off", Speed::Off, "off"),
            (" OFF ", Speed::Off, "off"),
            ("0", Speed::Bytes(0), "0"),
            ("500K", Speed::Bytes(500_000), "500K"),
            ("1.5M/s", Speed::Bytes(1_500_000), "1500K"),
            ("64Ki", Speed::Bytes(65_536), "64Ki"),
            ("2MiB", Speed::Bytes(2 << 20), "2Mi"),
            ("1234", Speed::Bytes(1234), "1234"),
        ] {
            assert_eq!(parse_speed(text), Ok(speed), "{text}");
            assert_eq!(speed_text(speed), shown, "{text}");
            assert_eq!(parse_speed(shown), Ok(speed), "{text}");
        }
        for text in ["", "fast", "-1", "1Q", "1 2"] {
            assert!(parse_speed(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_turtle_is_never_faster_and_a_wrong_word_changes_nothing() {
        let speeds = Speeds::new(SpeedLimits::default(), Clock::start());
        let change = |change: SpeedsRequest| speeds.change(&change).map(|now| (now.down_now(), now.up_now()));
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            change(SpeedsRequest { down: some("50K"), ..Default::default() }),
            Ok((Speed::Bytes(50_000), Speed::Off))
        );
        let turtle = SpeedsRequest { turtle: Some(true), ..Default::default() };
        assert_eq!(change(turtle), Ok((Speed::Bytes(50_000), Speed::Bytes(16_000))));
        let before = speeds.limits();
        assert!(change(SpeedsRequest { turtle: Some(false), up: some("x"), ..Default::default() }).is_err());
        assert_eq!(speeds.limits(), before);
        assert!(speeds.down().is_limited() && speeds.up().tap([10, 0, 0, 1].into()).is_limited());
    }
}
