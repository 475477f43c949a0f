//! What is wrong, each with its fix: what `filbert doctor` tells.
//!
//! A *problem* keeps something from working; a *note* is worth knowing; the rest is *ok*. What can be seen without a
//! servent is looked at by itself ([`local`]).

mod here;

use std::path::Path;

pub use here::{Wanted, local, ports};

use super::node::Node;
use super::portmap::Standing;
use super::view::{FindingView, ShareView, StatusView};
use crate::disk::{Home, quoted};
use crate::net::rt;
use crate::proto::Reachable;
use crate::wire::addr::{Scope, scope};

impl Node {
    /// Everything that is worth a word, in the order in which it matters.
    pub async fn doctor(&self) -> Vec<FindingView> {
        let status = self.status().await;
        let mut findings = vec![ok("servent", format!("filbert {} runs", status.version)), self.port()];
        let alone = self.alone().await;
        findings.push(neighbours(&status, alone.as_deref()));
        findings.push(self.local_network());
        findings.push(self.reachability());
        findings.extend(self.datagrams().await);
        findings.push(self.port_mapping());
        let shared = self.shares().await;
        findings.extend(shares(&shared));
        let unfinished = self.transfers().await;
        let missing = unfinished.iter().filter(|it| it.direction == "down" && !is_over(&it.state));
        let needed: u64 = missing.filter_map(|it| Some(it.size?.saturating_sub(it.done))).sum();
        findings.extend(shared_downloads(&shared, self.download_dir()));
        let (home, dir) = (self.home().clone(), self.download_dir().to_owned());
        findings.extend(rt::spawn_blocking(move || local(&home, &dir, needed)).await);
        // Of some of the warnings a finding has told already, with its fix.
        let told = |warning: &&String| {
            let alone = alone.as_ref().is_some_and(|alone| warning.starts_with(alone));
            alone || shared.iter().any(|share| share.warnings.contains(warning))
        };
        let untold = status.warnings.iter().filter(|warning| !told(warning));
        findings.extend(untold.map(|warning| problem("warning", warning.clone(), "")));
        typed(findings, self.home())
    }

    fn port(&self) -> FindingView {
        let at = self.listen_addr();
        match scope(at.ip()) {
            Scope::Machine => note(
                "port",
                format!("it listens on {at}: only programs on this machine can connect to it"),
                "`filbert up --listen 0.0.0.0:6346` lets others in",
            ),
            _ => ok("port", format!("it listens on {at}")),
        }
    }

    fn local_network(&self) -> FindingView {
        let Some(ways) = self.lan_ways() else {
            return ok("lan", "no peers are looked for on this network".to_owned());
        };
        let next = "Peers elsewhere, or there: `filbert connect HOST`";
        match ways {
            [(_, Ok(())), (_, Ok(()))] => {
                ok("lan", "peers on this network are looked for by multicast and mDNS".to_owned())
            }
            [(a, Err(why)), (b, Err(that))] => {
                note("lan", format!("multicast seems to be blocked on this network: {a}: {why}; {b}: {that}"), next)
            }
            [(blocked, Err(why)), (works, Ok(()))] | [(works, Ok(())), (blocked, Err(why))] => note(
                "lan",
                format!("peers on this network are found by {works} alone; {blocked}: {why}"),
                "Who has the other way alone is not found, until somebody else tells of it",
            ),
        }
    }

    fn port_mapping(&self) -> FindingView {
        match self.mapping() {
            Standing::Off(why) => ok("portmap", format!("no router is asked to let others in: {why}")),
            Standing::Trying => ok("portmap", "the router is being asked to let others in".to_owned()),
            Standing::Mapped(mapping) => ok(
                "portmap",
                format!(
                    "the router lets others in at {}{} (by {})",
                    mapping.external,
                    if mapping.udp { "" } else { ", but no datagrams" },
                    mapping.dialect.name()
                ),
            ),
            Standing::Failed(why) => note(
                "portmap",
                format!("the router does not let others in by itself: {why}"),
                "Turn on PCP, NAT-PMP or UPnP in it, or forward the port by hand",
            ),
        }
    }

    fn reachability(&self) -> FindingView {
        let wall = self.wall();
        let port = self.listen_addr().port();
        match wall.reachable {
            Reachable::Yes if scope(self.listen_addr().ip()) == Scope::Machine => {
                ok("reachable", "others can connect to you, on this machine alone: somebody did".to_owned())
            }
            Reachable::Yes => ok("reachable", "others can connect to you: somebody did".to_owned()),
            Reachable::Unknown => note(
                "reachable",
                "nobody has connected to you yet, so it is not known whether others can".to_owned(),
                "Neighbours are asked to try; look again in a minute",
            ),
            Reachable::No => {
                let proxies = match wall.proxies.len() {
                    0 => "no neighbour passes their requests on to you yet".to_owned(),
                    n => format!("{n} of your neighbours pass their requests on to you"),
                };
                problem(
                    "reachable",
                    format!("others cannot connect to you: neighbours tried and did not get through; {proxies}"),
                    &format!(
                        "Let TCP port {port} in: allow it in this machine's firewall, and have the router forward it to {}. \
                         Until then your files are given by connections that you open",
                        wall.us.map_or("this machine".to_owned(), |us| us.ip().to_string())
                    ),
                )
            }
        }
    }
}

impl Node {
    /// Whether datagrams of strangers reach us, once that is known: neighbours are asked for a Ping.
    async fn datagrams(&self) -> Option<FindingView> {
        match self.reach_by_udp().await? {
            Reachable::Yes => Some(ok("udp", "others reach you by UDP too: a neighbour tried".to_owned())),
            Reachable::Unknown => None,
            Reachable::No => Some(note(
                "udp",
                "others do not reach you by UDP, or no neighbour tried: hits and pushes come by your neighbours alone"
                    .to_owned(),
                &format!("Let UDP port {} in as well as TCP; nothing else needs it", self.listen_addr().port()),
            )),
        }
    }
}

/// The same, with the commands in their fixes as they are typed for this home.
pub fn typed(mut findings: Vec<FindingView>, home: &Home) -> Vec<FindingView> {
    for fix in findings.iter_mut().filter_map(|finding| finding.fix.as_mut()) {
        *fix = home.typed(fix);
    }
    findings
}

/// There is no servent: everything else has to wait for that.
pub fn no_servent(state: &Path) -> FindingView {
    problem("servent", format!("no servent runs (state in {})", state.display()), "Start one: `filbert up`")
}

fn neighbours(status: &StatusView, alone: Option<&str>) -> FindingView {
    match status.neighbours + status.leaves {
        0 => problem(
            "neighbours",
            format!(
                "no peer is connected, so nothing can be found{}",
                alone.map_or(String::new(), |why| format!("; {why}"))
            ),
            "Same network: run filbert there. Elsewhere: `filbert connect HOST`. Public hosts: `filbert hosts import FILE`",
        ),
        1 => note(
            "neighbours",
            "one peer is connected: when it leaves, nothing can be found".to_owned(),
            "It is asked for more; `filbert connect HOST` names one yourself",
        ),
        n => ok("neighbours", format!("{n} peers are connected")),
    }
}

fn shares(shares: &[ShareView]) -> Vec<FindingView> {
    if shares.is_empty() {
        return vec![note("shares", "nothing is shared".to_owned(), "`filbert share DIR`")];
    }
    let mut findings = Vec::new();
    for share in shares {
        let path = share.path.display();
        if share.state == "missing" {
            let fix = format!("Bring it back, or: `filbert unshare {}`", quoted(&share.path));
            findings.push(problem("shares", format!("{path} is not there"), &fix));
            continue;
        }
        // They begin with the folder.
        findings.extend(share.warnings.iter().map(|warning| problem("shares", warning.clone(), "")));
    }
    if findings.is_empty() {
        let files: u64 = shares.iter().map(|share| share.files).sum();
        findings.push(ok(
            "shares",
            format!("{} in {} can be found", counted(files, "file"), counted(shares.len() as u64, "folder")),
        ));
    }
    findings
}

/// What comes down is seen by nobody, unless it is meant to be.
fn shared_downloads(shares: &[ShareView], downloads: &Path) -> Option<FindingView> {
    let over = shares.iter().find(|share| downloads.starts_with(&share.path))?;
    let what = format!("all that you download is shared: {} lies in {}", downloads.display(), over.path.display());
    Some(note("downloads", what, "If that is not meant: `filbert config set download_dir DIR`"))
}

fn counted(n: u64, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

fn is_over(state: &str) -> bool {
    matches!(state, "done" | "failed" | "cancelled")
}

fn ok(check: &str, what: String) -> FindingView {
    FindingView { check: check.to_owned(), state: "ok".to_owned(), what, fix: None }
}

fn note(check: &str, what: String, fix: &str) -> FindingView {
    FindingView { state: "note".to_owned(), fix: Some(fix.to_owned()), ..ok(check, what) }
}

fn problem(check: &str, what: String, fix: &str) -> FindingView {
    let fix = (!fix.is_empty()).then(|| fix.to_owned());
    FindingView { state: "problem".to_owned(), fix, ..ok(check, what) }
}
