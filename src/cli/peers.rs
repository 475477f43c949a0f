//! `peers`, `connect`, `disconnect`, `hosts`.

use std::io::Read;
use std::path::Path;

use serde_json::{Value, json};

use super::args::{Hosts, HostsChange, Peers, PeersChange};
use super::config::Config;
use super::exit::{Exit, Failure};
use super::{say, servent, text};
use crate::app::offline;
use crate::app::view::{HostView, PeerView, TrafficView};
use crate::web::uri;

/// A screen of so many columns has room for all that is told of a peer.
const ROOMY: u16 = 110;
/// A longer file of hosts is refused.
const HOSTS_FILE: u64 = 1 << 20;
/// Hosts told to the servent in one call: names have 253 bytes at most, a body 64 KiB.
const HOSTS_AT_ONCE: usize = 200;

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
        config.say.note(&format!("no peers yet. Connect to somebody: filbert{} connect HOST", config.home_flag));
        return Ok(());
    }
    // On a narrow screen the program's name would be all that gives way.
    if say::columns() < ROOMY {
        let rows: Vec<Vec<String>> = peers.iter().map(short_row).collect();
        return config.say.table(&["address", "program", "role", "dir", "in", "out", "since"], 1, &rows);
    }
    let rows: Vec<Vec<String>> = peers.iter().map(row).collect();
    config.say.table(&["address", "program", "role", "dir", "hops", "in", "out", "dropped", "since"], 1, &rows)
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
        let hosts = read_hosts(file)?;
        let named = hosts.len();
        let added = match &client {
            Some(client) => {
                let mut added = 0;
                for some in hosts.chunks(HOSTS_AT_ONCE) {
                    let answer: Value = client.post("/api/v1/hosts", json!({ "hosts": some })).await?;
                    added += answer.get("added").and_then(Value::as_u64).unwrap_or(0);
                }
                added
            }
            None => offline::import_hosts(&config.home, &hosts)? as u64,
        };
        if config.say.json {
            return config.say.value(&json!({ "named": named, "added": added }));
        }
        config.say.note(&format!("{} in the file, {added} of them new", text::count(named as u64, "host")));
        return Ok(());
    }
    let hosts: Vec<HostView> = match &client {
        Some(client) => client.get("/api/v1/hosts").await?,
        None => offline::hosts(&config.home)?,
    };
    if config.say.json {
        return hosts.iter().try_for_each(|host| config.say.value(host));
    }
    if hosts.is_empty() {
        config.say.note(&format!("no hosts known yet. Add some: filbert{} hosts import FILE", config.home_flag));
        return Ok(());
    }
    let rows: Vec<Vec<String>> = hosts.iter().map(host_row).collect();
    config.say.table(&["address", "told by", "heard", "tried", "outcome", "fails", "slots"], 0, &rows)
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

/// One host a line; `#` begins a comment.
fn read_hosts(file: &Path) -> Result<Vec<String>, Failure> {
    let mut content = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().lock().take(HOSTS_FILE + 1).read_to_string(&mut content)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(HOSTS_FILE + 1).read_to_string(&mut content))
    };
    let failed = |why: &str| Failure::new(Exit::Failed, format!("cannot read {}: {why}", file.display()));
    read.map_err(|error| {
        failed(&error.to_string()).hint("Name a text file with HOST:PORT in each line, or - for stdin")
    })?;
    if content.len() as u64 > HOSTS_FILE {
        return Err(failed(&format!("it is longer than {}", text::size(HOSTS_FILE))).hint("Import it in parts"));
    }
    let lines = content.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    Ok(lines.filter(|line| !line.is_empty()).map(str::to_owned).collect())
}
