//! `status` and `version`.

use std::net::SocketAddr;

use serde_json::json;

use super::config::Config;
use super::exit::{Exit, Failure};
use super::{limits, servent, text};
use crate::app::view::{FindingView, StatusView};

/// `status`.
pub async fn status(config: &Config, check: bool) -> Result<(), Failure> {
    let client = servent::need(config).await?;
    let status: StatusView = client.get("/api/v1/status").await?;
    if config.say.json {
        config.say.value(&status)?;
    } else if !(check && config.say.quiet) {
        config.say.prose(&sentence(&status), 0)?;
        for warning in &status.warnings {
            config.say.note(&format!("warning: {}", text::safe(warning)));
        }
    }
    if check { healthy(&client.get::<Vec<FindingView>>("/api/v1/doctor").await?) } else { Ok(()) }
}

/// What `doctor` calls a problem makes it fail, with the first of them in words.
fn healthy(findings: &[FindingView]) -> Result<(), Failure> {
    let problems: Vec<&FindingView> = findings.iter().filter(|finding| finding.state == "problem").collect();
    let Some(first) = problems.first() else { return Ok(()) };
    let more = match problems.len() - 1 {
        0 => String::new(),
        n => format!(" (and {} more)", text::count(n as u64, "problem")),
    };
    let failure = Failure::new(Exit::Failed, format!("not well: {}: {}{more}", first.check, text::safe(&first.what)));
    Err(failure.hint("Ask `filbert doctor` what to do"))
}

fn sentence(status: &StatusView) -> String {
    let hashing = match status.files - status.hashed.min(status.files) {
        0 => String::new(),
        left => format!(", {left} still being hashed"),
    };
    let leaves = match status.leaves {
        0 if status.role == "leaf" => " (we are a leaf)".to_owned(),
        0 => String::new(),
        1 => ", 1 leaf".to_owned(),
        n => format!(", {n} leaves"),
    };
    let sharing = match status.files {
        0 => "nothing".to_owned(),
        n => format!("{} ({}{hashing})", text::count(n, "file"), text::size(status.bytes)),
    };
    let here = status.listen.parse().is_ok_and(|at: SocketAddr| at.ip().is_loopback());
    let reach = match status.reachable.as_str() {
        "yes" if here => "; others can connect to you, on this machine alone",
        "yes" => "; others can connect to you",
        "no" => "; others cannot connect to you (filbert doctor tells more)",
        _ => "",
    };
    let limited = match limits::in_words(&status.limits) {
        words if words.is_empty() => words,
        words => format!(" ({words})"),
    };
    format!(
        "{}{leaves}; sharing {sharing}; down {}/s, up {}/s{limited}; on {} for {}{reach}",
        text::count(status.neighbours, "neighbour"),
        text::size(status.down_bps),
        text::size(status.up_bps),
        status.listen,
        text::clock(status.uptime_s),
    )
}

/// `version`.
pub fn version(config: &Config) -> Result<(), Failure> {
    let version = env!("CARGO_PKG_VERSION");
    if config.say.json {
        return config.say.value(&json!({ "name": "filbert", "version": version, "protocol": "Gnutella/0.6" }));
    }
    config.say.line(&format!("filbert {version}, a Gnutella 0.6 servent"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_alone_make_it_fail() {
        let finding = |check: &str, state: &str| FindingView {
            check: check.into(),
            state: state.into(),
            what: "the folder is gone".into(),
            fix: None,
        };
        let well = [finding("port", "ok"), finding("lan", "note")];
        assert!(healthy(&well).is_ok());
        let ill = [finding("port", "ok"), finding("shares", "problem"), finding("disk", "problem")];
        let failure = healthy(&ill).expect_err("two problems");
        assert_eq!(failure.exit, Exit::Failed);
        assert_eq!(failure.message, "not well: shares: the folder is gone (and 1 problem more)");
    }

    #[test]
    fn the_sentence_says_what_is_still_being_done() {
        let mut status = StatusView {
            version: String::new(),
            listen: "10.0.0.7:6346".into(),
            servent: String::new(),
            key: None,
            files: 12,
            hashed: 10,
            bytes: 2048,
            neighbours: 1,
            leaves: 0,
            role: "ultrapeer".into(),
            reachable: "yes".into(),
            down_bps: 0,
            up_bps: 1024,
            limits: Default::default(),
            uptime_s: 61,
            counters: Default::default(),
            warnings: Vec::new(),
        };
        assert_eq!(
            sentence(&status),
            "1 neighbour; sharing 12 files (2.0 KiB, 2 still being hashed); down 0 B/s, up 1.0 KiB/s; \
             on 10.0.0.7:6346 for 1:01; others can connect to you"
        );
        status.listen = "127.0.0.1:6346".into();
        assert!(
            sentence(&status).ends_with("on 127.0.0.1:6346 for 1:01; others can connect to you, on this machine alone")
        );
    }
}
