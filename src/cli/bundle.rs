//! The support bundle: what somebody who helps needs to know, as text, without secrets.
//!
//! Only what is named here goes in: no names of files, no words of searches, no hosts that the user chose. Over all of it
//! goes [`Scrub`], which knows the secrets and shortens what looks like an address or a key, so that a warning in the log
//! cannot carry one out either.

use std::fmt::Write as _;
use std::io::{Read, Seek, SeekFrom};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};

use super::args::Up;
use super::client::Client;
use super::config::Config;
use super::exit::{Exit, Failure};
use super::{files, servent, text, up};
use crate::app::view::{FindingView, PeerView, ShareView, StatusView, TransferView};
use crate::web::Setting;

/// Of the log's end so much is taken.
const LOG: u64 = 64 << 10;
/// Peers, shares and transfers that are told, each.
const ROWS: usize = 200;
/// Digits from which on a number in hex, or letters from which on a name of content, could be a secret.
const LONG: usize = 16;
/// Settings whose values are of no use to others, or are others' addresses.
const PRIVATE: [&str; 5] = ["api_host", "connect", "bootstrap", "download_dir", "exclude"];

/// Writes the bundle: mode 0600, and never over a file that is there.
pub async fn write(
    config: &Config,
    client: Option<&Client>,
    findings: &[FindingView],
    file: &Path,
) -> Result<(), Failure> {
    let shares: Vec<ShareView> = match client {
        Some(client) => client.get("/api/v1/shares").await?,
        None => Vec::new(),
    };
    let mut settings = up::settings(config, &Up::default())?.views();
    if let Some(client) = client {
        // A flag of `up` is in no file.
        settings.extend(client.get::<Vec<Setting>>("/api/v1/config").await?);
    }
    let mut scrub = Scrub::new(config, &settings);
    // What is wrong with a folder is told with its name.
    scrub.know(shares.iter().map(|share| (share.path.display().to_string(), "(a shared folder)")));
    let text = scrub.clean(&gather(config, client, findings).await?);
    if file == Path::new("-") {
        return config.say.line(text.trim_end());
    }
    if file.exists() {
        return Err(Failure::new(Exit::Refused, format!("cannot write {}: it is there already", file.display()))
            .hint("Name a new file"));
    }
    files::write(file, text.as_bytes(), files::Secrecy::Owner)?;
    config.say.note(&format!(
        "{} written to {}. It is text: read it before you give it to somebody.",
        text::size(text.len() as u64),
        file.display()
    ));
    Ok(())
}

async fn gather(config: &Config, client: Option<&Client>, findings: &[FindingView]) -> Result<String, Failure> {
    let mut out = String::new();
    part(
        &mut out,
        "program",
        &[json!({
            "filbert": env!("CARGO_PKG_VERSION"), "os": std::env::consts::OS, "arch": std::env::consts::ARCH,
            "kernel": std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim(),
            "threads": std::thread::available_parallelism().map_or(0, usize::from), "servent_runs": client.is_some(),
        })],
    );
    part(&mut out, "doctor", findings);
    let settings = up::settings(config, &Up::default())?.views();
    let settings: Vec<Value> = settings
        .iter()
        .map(|setting| {
            let value = match PRIVATE.contains(&setting.key.as_str()) {
                true => json!(
                    setting.value.as_array().map_or("(left out)".to_owned(), |list| format!("{} of them", list.len()))
                ),
                false => setting.value.clone(),
            };
            json!({ "key": setting.key, "value": value, "from": setting.origin })
        })
        .collect();
    part(&mut out, "settings", &settings);
    if let Some(client) = client {
        let mut status: StatusView = client.get("/api/v1/status").await?;
        (status.servent, status.key) = (String::new(), None);
        part(&mut out, "status", &[status]);
        let mut peers: Vec<PeerView> = client.get("/api/v1/peers").await?;
        peers.iter_mut().for_each(|peer| peer.key = None);
        part(&mut out, "peers", &peers);
        let shares: Vec<ShareView> = client.get("/api/v1/shares").await?;
        part(&mut out, "shares", &shares.iter().map(share).collect::<Vec<_>>());
        let transfers: Vec<TransferView> = client.get("/api/v1/transfers").await?;
        part(&mut out, "transfers", &transfers.iter().map(transfer).collect::<Vec<_>>());
    }
    let _ = writeln!(out, "\n== log\n{}", log(&config.home.state.join("log")).trim_end());
    Ok(out)
}

/// A heading and a JSON object a line.
fn part(out: &mut String, name: &str, rows: &[impl Serialize]) {
    // Writing into a string cannot fail.
    let _ = writeln!(out, "\n== {name}");
    for row in rows.iter().take(ROWS) {
        let _ = writeln!(out, "{}", serde_json::to_string(row).unwrap_or_default());
    }
    if rows.len() > ROWS {
        let _ = writeln!(out, "and {} more", rows.len() - ROWS);
    }
}

/// A share without its name and those of its files.
fn share(share: &ShareView) -> Value {
    json!({
        "files": share.files, "bytes": share.bytes, "hashed": share.hashed, "state": share.state,
        "skipped": share.skipped, "warnings": share.warnings.len(), "eta_s": share.eta_s,
    })
}

/// A transfer without the name of its file.
fn transfer(it: &TransferView) -> Value {
    json!({
        "id": it.id, "direction": it.direction, "state": it.state, "done": it.done, "size": it.size,
        "rate_bps": it.rate_bps, "sources": it.sources, "verified": it.verified, "error": it.error,
        "next_try_s": it.next_try_s, "elapsed_ms": it.elapsed_ms,
    })
}

/// The end of the log, whole lines.
fn log(path: &Path) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = std::fs::File::open(path)?;
        let size = file.metadata()?.len();
        file.seek(SeekFrom::Start(size.saturating_sub(LOG)))?;
        let mut bytes = Vec::new();
        file.take(LOG).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    match text.split_once('\n') {
        Some((_, rest)) if bytes.len() as u64 == LOG => rest.to_owned(),
        _ => text.into_owned(),
    }
}

/// The host of `HOST:PORT`, `udp:HOST:PORT` or `http://HOST/PATH`.
fn bare(host: &str) -> &str {
    let host = host.strip_prefix("udp:").or_else(|| host.strip_prefix("http://")).unwrap_or(host);
    host.split(['/', ':']).next().unwrap_or(host)
}

/// Knows what may not be seen.
struct Scrub {
    /// What is known, and what stands for it.
    known: Vec<(String, &'static str)>,
}

impl Scrub {
    fn new(config: &Config, settings: &[Setting]) -> Self {
        let mut known = Vec::new();
        let mut add = |secret: String, stands: &'static str| known.push((secret, stands));
        add(std::fs::read_to_string(servent::token_path(&config.home)).unwrap_or_default(), "(token)");
        let password = std::fs::read_to_string(crate::web::password::path(&config.home)).unwrap_or_default();
        add(password, "(password)");
        for setting in
            settings.iter().filter(|setting| ["api_host", "connect", "bootstrap"].contains(&setting.key.as_str()))
        {
            let hosts = setting.value.as_array().into_iter().flatten().filter_map(Value::as_str);
            hosts.for_each(|host| add(bare(host).to_owned(), "(host)"));
        }
        for (dir, stands) in [(&config.home.state, "(state)"), (&config.home.downloads, "(downloads)")] {
            add(dir.display().to_string(), stands);
        }
        if let Some(home) = config.home.config.parent() {
            add(home.display().to_string(), "(config)");
        }
        add(std::env::var("HOME").unwrap_or_default(), "~");
        for name in ["USER", "LOGNAME", "HOSTNAME"] {
            // root says nothing of anybody.
            add(std::env::var(name).ok().filter(|name| name != "root").unwrap_or_default(), "(name)");
        }
        add(std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default(), "(machine)");
        let mut scrub = Self { known: Vec::new() };
        scrub.know(known);
        scrub
    }

    fn know(&mut self, secrets: impl IntoIterator<Item = (String, &'static str)>) {
        let secrets = secrets.into_iter().map(|(secret, stands)| (secret.trim().to_owned(), stands));
        // What is very short would tear other words apart.
        self.known.extend(secrets.filter(|(secret, _)| secret.len() > 3));
        // Long ones first: short ones stand in them.
        self.known.sort_by_key(|(secret, _)| std::cmp::Reverse(secret.len()));
    }

    fn clean(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (secret, stands) in &self.known {
            text = text.replace(secret, stands);
        }
        let mut out = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some(first) = rest.chars().next() {
            let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '[' | ']' | '%');
            let end = rest.find(|c: char| !word(c)).unwrap_or(rest.len());
            if end == 0 {
                out.push(first);
                rest = &rest[first.len_utf8()..];
            } else {
                out += &shortened(&rest[..end]);
                rest = &rest[end..];
            }
        }
        out
    }
}

/// A word, without what of it could be an address of somebody, a GUID, a key or the name of a content.
fn shortened(word: &str) -> String {
    let core = word.trim_end_matches(['.', ':']);
    let (core, tail) = word.split_at(core.len());
    if let Ok(addr) = core.parse::<SocketAddr>() {
        return format!("{}:{}{tail}", short_ip(addr.ip()), addr.port());
    }
    if let Ok(ip) = core.trim_matches(['[', ']']).parse::<IpAddr>() {
        return format!("{}{tail}", short_ip(ip));
    }
    let piece = |piece: &str| {
        let hex = piece.len() >= LONG
            && piece.bytes().all(|b| b.is_ascii_hexdigit())
            && !piece.bytes().all(|b| b.is_ascii_digit());
        let base32 = piece.len() >= 2 * LONG && piece.bytes().all(|b| b.is_ascii_alphanumeric());
        if hex || base32 { format!("{}...", &piece[..4]) } else { piece.to_owned() }
    };
    word.split_inclusive([':', '.', '[', ']', '%'])
        .map(|part| {
            let bare = part.trim_end_matches([':', '.', '[', ']', '%']);
            // An address in front of something, as in `1.2.3.4:5: it ended`, was seen above.
            format!("{}{}", piece(bare), &part[bare.len()..])
        })
        .collect()
}

/// Enough to see whether it is ours, private or public, and no more.
fn short_ip(ip: IpAddr) -> String {
    match ip {
        ip if ip.is_loopback() || ip.is_unspecified() => match ip {
            IpAddr::V6(ip) => format!("[{ip}]"),
            IpAddr::V4(ip) => ip.to_string(),
        },
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            format!("{a}.{b}.x.x")
        }
        IpAddr::V6(ip) => format!("[{:x}:x]", ip.segments()[0]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_keys_are_shortened_wherever_they_stand() {
        let scrub = Scrub { known: vec![("secret-host".into(), "(host)")] };
        let table = [
            ("lost 203.0.113.7:6346: it ended.", "lost 203.0.x.x:6346: it ended."),
            ("{\"addr\":\"192.168.1.20:6346\"}", "{\"addr\":\"192.168.x.x:6346\"}"),
            ("at 203.0.113.7.", "at 203.0.x.x."),
            ("[2001:db8::7]:6346 and 2001:db8::8", "[2001:x]:6346 and [2001:x]"),
            ("127.0.0.1:7346 0.0.0.0:6346 [::]:6346", "127.0.0.1:7346 0.0.0.0:6346 [::]:6346"),
            ("guid 00112233445566778899aabbccddeeff", "guid 0011..."),
            ("urn:sha1:PLSTHIPQGSSZTS5FJUPAKUZWUGYQYPFB", "urn:sha1:PLST..."),
            ("at secret-host:6346", "at (host):6346"),
            (
                "filbert 0.1.0, 12345678901234567890 bytes, 10:20:30",
                "filbert 0.1.0, 12345678901234567890 bytes, 10:20:30",
            ),
            ("Grüße 東京", "Grüße 東京"),
        ];
        for (text, clean) in table {
            assert_eq!(scrub.clean(text), clean);
        }
    }
}
