//! Hosts between runs: what the host cache knew of each, with the times of a calendar, since ours begin with each run.
//!
//! ```text
//! version 1: "IP:PORT"
//! version 2: {"addr": "IP:PORT", "teller": "pong", "heard": UNIX SECONDS, "tried": ..., "outcome": "busy", "failures": 2}
//! ```
//! All but `addr` may be missing. What `teller` or `outcome` we do not know counts as not told. Both shapes are read, in one list even.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::view::HostView;
use super::words;
use crate::base::Instant;
use crate::proto::{HostInfo, HostSource, Moment, Teller};

/// A host of an earlier run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Form")]
pub(super) struct KeptHost {
    pub(super) addr: SocketAddr,
    teller: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    heard: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tried: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<String>,
    failures: u32,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Form {
    Addr(SocketAddr),
    Full {
        addr: SocketAddr,
        #[serde(default)]
        teller: String,
        heard: Option<u64>,
        tried: Option<u64>,
        outcome: Option<String>,
        #[serde(default)]
        failures: u32,
    },
}

impl From<Form> for KeptHost {
    fn from(form: Form) -> Self {
        match form {
            Form::Addr(addr) => addr.into(),
            Form::Full { addr, teller, heard, tried, outcome, failures } => {
                Self { addr, teller, heard, tried, outcome, failures }
            }
        }
    }
}

impl From<SocketAddr> for KeptHost {
    fn from(addr: SocketAddr) -> Self {
        let teller = words::teller(Teller::Earlier).to_owned();
        Self { addr, teller, heard: None, tried: None, outcome: None, failures: 0 }
    }
}

/// Seconds since 1970; 0 where the clock shows less.
pub(super) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl KeptHost {
    /// One that the user named.
    pub(super) fn named_by_user(addr: SocketAddr, unix: u64) -> Self {
        Self { teller: words::teller(Teller::User).to_owned(), heard: Some(unix), ..addr.into() }
    }

    /// Whether the user named it.
    pub(super) fn is_users(&self) -> bool {
        words::teller_of(&self.teller) == Teller::User
    }

    /// What is kept of `info`; `now` is `unix`.
    pub(super) fn of(info: &HostInfo, now: Instant, unix: u64) -> Self {
        let when = |moment: Option<Moment>| moment.map(|moment| unix.saturating_sub(moment.age(now).as_secs()));
        Self {
            addr: info.addr,
            teller: words::teller(info.teller).to_owned(),
            heard: when(info.heard),
            tried: when(info.tried),
            outcome: info.outcome.map(|outcome| words::outcome(outcome).to_owned()),
            failures: info.failures,
        }
    }

    /// As the servent takes it up; `now` is `unix`. A time that is yet to come counts as now.
    pub(super) fn info(&self, now: Instant, unix: u64) -> HostInfo {
        let when = |at: Option<u64>| at.map(|at| Moment::ago(now, Duration::from_secs(unix.saturating_sub(at))));
        HostInfo {
            addr: self.addr,
            source: HostSource::Cache,
            teller: words::teller_of(&self.teller),
            heard: when(self.heard),
            tried: when(self.tried),
            outcome: self.outcome.as_deref().and_then(words::outcome_of),
            failures: self.failures,
            slots: None,
        }
    }

    /// As it is shown without a servent.
    pub(super) fn view(&self, unix: u64) -> HostView {
        words::host(&self.info(Instant::ZERO, unix), false, Instant::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::state::StateFile;

    #[test]
    fn hosts_of_both_versions_are_read_and_a_damaged_file_is_set_aside() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = StateFile::new(dir.path().join("hosts.json"), "hosts", 2).since(1);
        let write = |text: &str| std::fs::write(file.path(), text).expect("written");
        write(r#"{"filbert":"hosts","version":1,"data":["10.0.0.1:1","[::1]:2"]}"#);
        let old: Vec<KeptHost> = file.load().or_log().expect("the old shape");
        assert_eq!(old.iter().map(|host| host.addr.to_string()).collect::<Vec<_>>(), ["10.0.0.1:1", "[::1]:2"]);
        assert_eq!(old[0].info(Instant::ZERO, 5).teller, Teller::Earlier);
        write(
            r#"{"filbert":"hosts","version":2,"data":[{"addr":"10.0.0.1:1","teller":"owl","outcome":"busy","heard":900},"10.0.0.2:1"]}"#,
        );
        let new: Vec<KeptHost> = file.load().or_log().expect("the new shape");
        let view = new[0].view(1000);
        assert_eq!(
            (view.teller.as_deref(), view.age_s, view.outcome.as_deref()),
            (Some("earlier"), Some(100), Some("busy"))
        );
        for wrong in [
            r#"{"filbert":"hosts","version":3,"data":[]}"#,
            r#"{"filbert":"hosts","version":2,"data":[{"addr":7}]}"#,
            "{",
        ] {
            write(wrong);
            assert_eq!(file.load::<Vec<KeptHost>>().or_log(), None, "{wrong}");
            assert!(!file.path().exists(), "set aside: {wrong}");
        }
    }

    #[test]
    fn what_is_kept_comes_back_with_its_ages() {
        let now = Instant::from_secs(500);
        for teller in words::TELLERS.map(|(teller, _)| teller) {
            for outcome in words::OUTCOMES.map(|(outcome, _)| Some(outcome)).into_iter().chain([None]) {
                let info = HostInfo {
                    addr: "10.0.0.1:1".parse().expect("an address"),
                    source: HostSource::Cache,
                    teller,
                    heard: Some(Moment::ago(now, Duration::from_secs(90))),
                    tried: None,
                    outcome,
                    failures: 1,
                    slots: None,
                };
                let kept = KeptHost::of(&info, now, 10_000);
                let json = serde_json::to_string(&kept).expect("JSON");
                assert_eq!(serde_json::from_str::<KeptHost>(&json).expect("back"), kept);
                let back = kept.info(Instant::ZERO, 10_010);
                assert_eq!(back.heard.map(|heard| heard.age(Instant::ZERO)), Some(Duration::from_secs(100)));
                assert_eq!((back.teller, back.outcome), (teller, outcome));
            }
        }
    }
}
