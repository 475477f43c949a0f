//! `peers`, `connect`, `disconnect`, `hosts`.

use std::io::Read;
use std::path::Path;

use serde_json::{Value, json};

use super::args::{Hosts, HostsChange, Peers, PeersChange};
use super::client::Client;
use super::config::Config;
use super::exit::{Exit, Failure};
use super::say::Column::{Number, Stretch, Text};
use super::{say, servent, text};
use crate::app::view::{HostView, ImportView, PeerView, TrafficView};
use crate::app::{import, offline};
use crate::web::uri;

/// A screen of so many columns has room for all that is told of a peer.
const ROOMY: u16 = 110;
/// A longer file of hosts is refused.
const HOSTS_FILE: u64 = 1 << 20;
/// Lines told to the servent in one call, and bytes of each: names have 253 at most, a body 64 KiB.
const HOSTS_AT_ONCE: usize = 100;
const LINE: usize = 300;

/// `peers` and `peers set N`.
pub async fn peers(config: &Config, args: &Peers) -> Result<(), Failure> {
    let client = servent::need(config).await?;
    if let Some(PeersChange::Set { neighbours }) = args.change {
        client.put::<Value>("/api/v1/neighbours", json!({ "neighbours": neighbours })).await?;
        config.say.note(&format!("filbert: looking for {} from now on", text::count(neighbours as u64, "neighbour")));
        return Ok(());
    }
    let peers: Vec<PeerView> = client.get("/api/v1/peers").await?;
    if config.say.json {
        return peers.iter().try_for_each(|peer| config.say.value(peer));
    }
    if peers.is_empty() {
        config.say.note(&format!("no peers yet. Connect to somebody: filbert{} connect HOST", config.home.flag));
        return Ok(());
    }
    // On a narrow screen the program's name would be all that gives way.
    if say::columns().is_some_and(|width| width < ROOMY) {
        let rows: Vec<Vec<String>> = peers.iter().map(short_row).collect();
        return config.say.table(
            &[
                Text("address"),
                Stretch("program"),
                Text("role"),
                Text("dir"),
                Number("in"),
                Number("out"),
                Number("since"),
            ],
            &rows,
        );
    }
    let rows: Vec<Vec<String>> = peers.iter().map(row).collect();
    config.say.table(
        &[
            Text("address"),
            Stretch("program"),
            Text("role"),
            Text("dir"),
            Text("hops"),
            Number("in"),
            Number("out"),
            Text("dropped"),
            Number("since"),
        ],
        &rows,
    )
}

/// The most important of [`row`].
fn short_row(peer: &PeerView) -> Vec<String> {
    let mut all = row(peer);
    (all[5], all[6]) = (text::size(peer.received.bytes), text::size(peer.sent.bytes));
    all.remove(7);
    all.remove(4);
    all
}

fn row(peer: &PeerView) -> Vec<String> {
    let mut drops: Vec<_> = peer.drops.iter().collect();
    drops.sort_by_key(|(_, n)| std::cmp::Reverse(**n));
    let dropped = match drops.first() {
        Some((reason, n)) if drops.len() == 1 => format!("{n} {reason}"),
        Some((reason, n)) => format!("{n} {reason}, ..."),
        None => "0".to_owned(),
    };
    let role = if peer.role == "leaf" { "leaf" } else { "ultra" };
    vec![
        text::safe(&peer.addr),
        text::safe(&peer.vendor),
        role.to_owned(),
        peer.direction.clone(),
        format!("{:.1}", peer.hops_avg),
        traffic(&peer.received),
        traffic(&peer.sent),
        dropped,
        text::clock(peer.since_s),
    ]
}

/// Messages and bytes.
fn traffic(traffic: &TrafficView) -> String {
    format!("{} ({})", traffic.msgs, text::size(traffic.bytes))
}

/// `connect`.
pub async fn connect(config: &Config, host: &str) -> Result<(), Failure> {
    let client = servent::need(config).await?;
    let peer: PeerView = client.post("/api/v1/peers", json!({ "host": host })).await?;
    if config.say.json {
        return config.say.value(&peer);
    }
    config.say.note(&format!("connected to {} ({})", text::safe(&peer.addr), text::safe(&peer.vendor)));
    Ok(())
}

/// `disconnect`.
pub async fn disconnect(config: &Config, addr: &str) -> Result<(), Failure> {
    let client = servent::need(config).await?;
    client.delete(&format!("/api/v1/peers/{}", uri::escape(addr))).await?;
    config.say.note(&format!("disconnected {addr}"));
    Ok(())
}

/// `hosts` and `hosts import FILE`: with or without a servent.
pub async fn hosts(config: &Config, args: &Hosts) -> Result<(), Failure> {
    let client = servent::find(&config.home).await;
    if let Some(HostsChange::Import { file }) = &args.change {
        return import(config, client.as_ref(), file).await;
    }
    let hosts: Vec<HostView> = match &client {
        Some(client) => client.get("/api/v1/hosts").await?,
        None => offline::hosts(&config.home)?,
    };
    if config.say.json {
        return hosts.iter().try_for_each(|host| config.say.value(host));
    }
    if hosts.is_empty() {
        config.say.note(&format!("no hosts known yet. Add some: filbert{} hosts import FILE", config.home.flag));
        return Ok(());
    }
    let rows: Vec<Vec<String>> = hosts.iter().map(host_row).collect();
    config.say.table(
        &[
            Stretch("address"),
            Text("told by"),
            Text("heard"),
            Text("tried"),
            Text("outcome"),
            Text("fails"),
            Text("slots"),
        ],
        &rows,
    )
}

fn host_row(host: &HostView) -> Vec<String> {
    let ago = |seconds: Option<u64>| seconds.map_or_else(|| "-".to_owned(), text::ago);
    let slots = match (host.leaf_slots, host.ultrapeer_slots) {
        (None, None) => String::new(),
        (leaves, ultrapeers) => format!("{}+{}", ultrapeers.unwrap_or(0), leaves.unwrap_or(0)),
    };
    let outcome = if host.connected { "linked" } else { host.outcome.as_deref().unwrap_or("") };
    vec![
        text::safe(&host.addr),
        text::safe(host.teller.as_deref().unwrap_or(&host.source)),
        ago(host.age_s),
        ago(host.tried_s),
        text::safe(outcome),
        host.failures.to_string(),
        slots,
    ]
}

/// `hosts import FILE`: all lines that name a host are taken, the others are told.
async fn import(config: &Config, client: Option<&Client>, file: &Path) -> Result<(), Failure> {
    let content = read_hosts(file)?;
    let report = match client {
        Some(client) => tell_hosts(client, &content).await?,
        None => offline::import_hosts(&config.home, &content.lines().collect::<Vec<_>>())?,
    };
    let ImportView { named, added, known, refused, .. } = report;
    if config.say.json {
        config.say.value(&report)?;
    } else {
        let known = if known > 0 { format!(", {known} known already") } else { String::new() };
        let refused = if refused > 0 { format!(", {refused} refused") } else { String::new() };
        config.say.note(&format!("{} in the file: {added} added{known}{refused}", text::count(named, "host")));
    }
    let exit = match refused {
        0 if named == 0 => Exit::NothingFound,
        0 => return Ok(()),
        all if all == named => Exit::Failed,
        _ => Exit::PartlyDone,
    };
    if config.say.json {
        return Err(Failure::silent(exit));
    }
    Err(Failure::new(exit, not_taken(&report)).hint(if named == 0 {
        "Name a file with HOST:PORT in each line"
    } else {
        ""
    }))
}

/// The lines that were not taken, each with what is wrong.
fn not_taken(report: &ImportView) -> String {
    if report.named == 0 {
        return "there is no host in the file".to_owned();
    }
    let lines = report
        .not_taken
        .iter()
        .map(|it| format!("line {}: {}: {}", it.line, text::safe(&it.text), text::safe(&it.why)));
    let more = report.refused - report.not_taken.len() as u64;
    let more = (more > 0).then(|| format!("{} not taken", text::count(more, "more line")));
    lines.chain(more).collect::<Vec<_>>().join("\n")
}

/// Tells the servent all that the file says, in parts, and puts together what it answers.
async fn tell_hosts(client: &Client, content: &str) -> Result<ImportView, Failure> {
    let lines = content.lines().map(import::bare).enumerate().filter(|(_, line)| !line.is_empty());
    let lines: Vec<(usize, String)> = lines.map(|(at, line)| (at + 1, text::safe(cut(line)))).collect();
    let mut all = ImportView::default();
    for some in lines.chunks(HOSTS_AT_ONCE) {
        let hosts: Vec<&str> = some.iter().map(|(_, line)| line.as_str()).collect();
        let answer: ImportView = client.post("/api/v1/hosts", json!({ "hosts": hosts })).await?;
        all.named += answer.named;
        all.added += answer.added;
        all.known += answer.known;
        all.refused += answer.refused;
        let room = import::TOLD - all.not_taken.len();
        for mut line in answer.not_taken.into_iter().take(room) {
            line.line = line.line.checked_sub(1).and_then(|at| some.get(at)).map_or(0, |(number, _)| *number);
            all.not_taken.push(line);
        }
    }
    Ok(all)
}

/// As much of a line as a host may take.
fn cut(line: &str) -> &str {
    &line[..line.floor_char_boundary(LINE)]
}

/// What is there, of any encoding.
fn read_hosts(file: &Path) -> Result<String, Failure> {
    let mut content = Vec::new();
    let read = if file == Path::new("-") {
        std::io::stdin().lock().take(HOSTS_FILE + 1).read_to_end(&mut content)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(HOSTS_FILE + 1).read_to_end(&mut content))
    };
    let failed = |why: &str| Failure::new(Exit::Failed, format!("cannot read {}: {why}", file.display()));
    read.map_err(|error| {
        failed(&error.to_string()).hint("Name a text file with HOST:PORT in each line, or - for stdin")
    })?;
    if content.len() as u64 > HOSTS_FILE {
        return Err(failed(&format!("it is longer than {}", text::size(HOSTS_FILE))).hint("Import it in parts"));
    }
    Ok(String::from_utf8_lossy(&content).into_owned())
}
