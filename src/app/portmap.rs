//! The port mapping of a running servent: when the router is asked, and what came of it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::events::lock;
use crate::base::Rng;
use crate::net::portmap::{self, Mapping, Outcome, Router};
use crate::net::{Handle, rt};
use crate::proto::Command;
use crate::wire::addr::{Scope, scope};

/// When we stop: so long at most for taking the mapping back. It expires by itself.
const FAREWELL: Duration = Duration::from_secs(1);

/// Whether the router is asked to let others in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PortMapping {
    /// Never.
    Off,
    /// When the default gateway is at a private address, and others than this machine's programs may connect.
    #[default]
    Auto,
}

impl PortMapping {
    /// The words for them.
    pub const WORDS: &'static [&'static str] = &["off", "auto"];

    /// By its word.
    pub fn parse(word: &str) -> Option<Self> {
        let at = Self::WORDS.iter().position(|known| *known == word)?;
        [Self::Off, Self::Auto].get(at).copied()
    }
}

/// How it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nobody is asked, for this reason.
    Off(&'static str),
    /// It is being asked for the first time.
    Trying,
    /// It lets others in.
    Mapped(Mapping),
    /// It does not: why.
    Failed(String),
}

/// The port mapping of a servent.
#[derive(Debug)]
pub(super) struct PortMap {
    router: Option<Router>,
    standing: Mutex<Standing>,
}

impl PortMap {
    pub(super) fn new(choice: PortMapping, listen: SocketAddr) -> Arc<Self> {
        let (router, standing) = match (choice, scope(listen.ip())) {
            (PortMapping::Off, _) => (None, Standing::Off("it is turned off")),
            (_, Scope::Machine) => (None, Standing::Off("it listens for this machine alone")),
            (_, Scope::World) if !listen.ip().is_unspecified() => {
                (None, Standing::Off("it listens at a public address"))
            }
            _ => match Router::of_this_host() {
                Some(router) => (Some(router), Standing::Trying),
                None => (None, Standing::Off("there is no router at a private address")),
            },
        };
        Arc::new(Self { router, standing: Mutex::new(standing) })
    }

    /// Keeps the mapping as long as it runs.
    pub(super) async fn tend(self: Arc<Self>, port: u16, handle: Handle, rng: Rng) {
        let Some(router) = self.router.clone() else { return };
        let tell = |outcome: Outcome| {
            let (standing, external) = match outcome {
                Outcome::Mapped(mapping) => {
                    let (external, by) = (mapping.external, mapping.dialect.name());
                    let what = if mapping.udp { "TCP and UDP" } else { "TCP" };
                    log::info!(target: "filbert::net", "the router forwards {external} to us, {what} ({by})");
                    (Standing::Mapped(mapping), Some(SocketAddr::from(external)))
                }
                Outcome::Failed(why) => {
                    log::info!(target: "filbert::net", "the router does not forward our port: {why}");
                    (Standing::Failed(why), None)
                }
            };
            *lock(&self.standing) = standing;
            handle.command(Command::Mapped(external));
        };
        portmap::keep(router, port, rng, tell).await;
    }

    pub(super) fn standing(&self) -> Standing {
        lock(&self.standing).clone()
    }

    /// We stop: nothing shall be forwarded to this port any more.
    pub(super) async fn end(&self) {
        if let (Some(router), Standing::Mapped(mapping)) = (&self.router, self.standing()) {
            let _ = rt::timeout(FAREWELL, portmap::remove(router, &mapping)).await;
        }
    }
}
