//! How a command finds its servent: the running one of its home, or a private one for this command alone.
//!
//! `up` leaves `api.json` (address and pid) and `token` in the state directory; where the disk is too full for the first,
//! the address is in the lock, which has its place already. Whether that servent still
//! runs is asked, not guessed: its port must answer to our token. A file that a killed servent left behind is
//! therefore harmless.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::client::Client;
use super::config::Config;
use super::exit::{Exit, Failure};
use super::files::{self, Secrecy};
use super::interrupt;
use crate::app::{Node, Options};
use crate::disk::{Home, Lock};
use crate::net::rt;
use crate::web::{self, Limits, Reach, Token};

/// How long a servent may take to say that it is there.
const ANSWERS_WITHIN: Duration = Duration::from_secs(3);

/// What `up` leaves for those who look for it.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    url: String,
    pid: u32,
}

/// Where the record is.
fn record_path(home: &Home) -> PathBuf {
    home.state.join("api.json")
}

/// Where the token is.
pub fn token_path(home: &Home) -> PathBuf {
    home.state.join("token")
}

/// The token of this home; a new one when there is none that can be used.
pub fn token(home: &Home) -> Result<Token, Failure> {
    let path = token_path(home);
    if let Some(token) = read_token(&path) {
        return Ok(token);
    }
    let token = fresh_token()?;
    files::write_in_home(&path, token.as_str().as_bytes(), Secrecy::Owner)?;
    Ok(token)
}

/// 256 bits from the operating system.
fn fresh_token() -> Result<Token, Failure> {
    random().map(Token::from_random)
}

/// Bytes that nobody can know, from the operating system.
pub fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    let filled = getrandom::fill(&mut bytes);
    filled
        .map(|()| bytes)
        .map_err(|error| Failure::new(Exit::Failed, format!("the operating system gives no randomness: {error}")))
}

/// A stored token counts only if nobody else could have read it.
fn read_token(path: &Path) -> Option<Token> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if std::fs::metadata(path).ok()?.permissions().mode() & 0o077 != 0 {
            return None;
        }
    }
    Token::parse(&std::fs::read_to_string(path).ok()?)
}

/// Says where the control API of this home is: for who holds its lock.
pub fn announce(home: &Home, addr: SocketAddr) -> Result<(), Failure> {
    let record = Record { url: format!("http://{addr}"), pid: std::process::id() };
    let bytes = serde_json::to_vec(&record).map_err(std::io::Error::from)?;
    let path = record_path(home);
    files::write_in_home(&path, &bytes, Secrecy::Owner).or_else(|failure| {
        // What a killed servent left would be read first.
        let _ = std::fs::remove_file(&path);
        Lock::tell(&home.state, &record.url).map_err(|_| failure)
    })
}

/// Takes that back, if it is still ours.
pub fn retract(home: &Home) {
    let path = record_path(home);
    if read_record(&path).is_some_and(|record| record.pid == std::process::id()) {
        let _ = std::fs::remove_file(path);
    }
    Lock::untell(&home.state);
}

/// Whether a servent of this home still says where it is.
pub fn announced(home: &Home) -> bool {
    record_path(home).exists() || Lock::told(&home.state).is_some()
}

fn read_record(path: &Path) -> Option<Record> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// The running servent of this home.
pub async fn find(home: &Home) -> Option<Client> {
    let told = || Lock::told(&home.state).map(|(pid, url)| Record { url, pid });
    let record = read_record(&record_path(home)).or_else(told)?;
    let addr = record.url.strip_prefix("http://")?.parse().ok()?;
    let client = Client::new(addr, read_token(&token_path(home))?);
    match rt::timeout(ANSWERS_WITHIN, client.is_there()).await {
        Ok(true) => Some(client),
        // One that has no seat left may close before it has said so.
        Ok(false) => Lock::is_held(&home.state).then_some(client),
        // It holds the port and is slow: it is there.
        Err(rt::TimedOut) => Some(client),
    }
}

/// The running servent of this home; without one the command ends with code 7.
pub async fn need(config: &Config) -> Result<Client, Failure> {
    find(&config.home).await.ok_or_else(|| {
        Failure::new(Exit::NoServent, format!("no servent runs (state in {})", config.home.state.display()))
            .hint(format!("Start one: filbert{} up", config.home.flag))
    })
}

/// Which servent a command talks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The running one of the home.
    Running,
    /// One in this process, for this command.
    Private,
}

/// Runs `work` with the running servent, or with a private one that begins at the hosts in `connect`. Ctrl-C
/// and `--timeout` end the work; a private servent is closed properly in any case.
pub async fn with<F: Future<Output = Result<(), Failure>>>(
    config: &Config,
    connect: &[String],
    work: impl FnOnce(Client, Whose) -> F,
) -> Result<(), Failure> {
    if let Some(client) = find(&config.home).await {
        for host in connect {
            let body = serde_json::json!({ "host": host });
            if let Err(failure) = client.post::<serde_json::Value>("/api/v1/peers", body).await {
                config.say.note(&format!("filbert: {}", failure.message));
            }
        }
        return interrupt::bounded(config, work(client, Whose::Running)).await;
    }
    let settings = super::up::settings(config, &super::args::Up { connect: connect.to_vec(), ..Default::default() })?;
    config.say.note("filbert: no servent runs; using a private one for this command (it shares nothing)");
    let options = Options {
        private: true,
        listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        listen_given: true,
        ..super::up::options(config, &super::args::Up::default(), &settings)?
    };
    let node = Arc::new(Node::start(options).await?);
    let token = fresh_token()?;
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let (views, limits) = (settings.views(), Limits::default());
    let server = web::serve(Arc::clone(&node), loopback, Reach::Machine, token.clone(), views, limits).await?;
    let client = Client::new(server.addr(), token);
    let done = interrupt::bounded(config, work(client, Whose::Private)).await;
    server.stop().await;
    node.shutdown().await;
    done
}
