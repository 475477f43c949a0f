//! Port mapping: the router is asked to let connections in for our port, and datagrams too if it lets them in at the same one.
//!
//! Three dialects are tried in turn, the modern one first: PCP (RFC 6887), NAT-PMP (RFC 6886), UPnP (WANIPConnection). What
//! is mapped is renewed in time, and removed when we stop. Nothing is sent but to the default gateway, and to the
//! SSDP multicast group on the LAN, where only the gateway's answer counts. Why none of this is a library:
//! `docs/adr/0005-port-mapping.md`.

mod gateway;
mod natpmp;
mod pcp;
mod upnp;

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use super::rt::{self, UdpSocket};
use crate::base::Rng;

pub use gateway::default_gateway;
pub use upnp::Igd;

/// How long a mapping is asked for; it is renewed at half of what is granted.
const LIFETIME: u32 = 3600;
/// A mapping is not renewed more often than this, nor more rarely: a router that was started anew knows none.
const RENEW_LEAST: Duration = Duration::from_secs(60);
const RENEW_MOST: Duration = Duration::from_secs(1800);
/// When no dialect did: the first wait before they are tried again, and the longest.
const AGAIN_FIRST: Duration = Duration::from_secs(60);
const AGAIN_LAST: Duration = Duration::from_secs(3600);
/// A datagram to the gateway is sent so often; the first wait for an answer, which doubles.
const TRIES: u32 = 4;
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// External ports that are tried when another has ours.
const OTHER_PORTS: u16 = 5;

/// Whom to ask.
#[derive(Clone, Debug)]
pub struct Router {
    /// Its address in our network.
    pub gateway: Ipv4Addr,
    /// Where it speaks PCP and NAT-PMP: 5351.
    pub port: u16,
    /// Where devices are looked for: 239.255.255.250:1900.
    pub ssdp: SocketAddrV4,
}

impl Router {
    /// The default gateway, if there is one and it is a private address: else nobody translates ours.
    pub fn of_this_host() -> Option<Self> {
        let gateway = default_gateway()?;
        let private = crate::wire::addr::scope(gateway.into()) == crate::wire::addr::Scope::Site;
        private.then(|| Self { gateway, port: 5351, ssdp: SocketAddrV4::new(Ipv4Addr::new(239, 255, 255, 250), 1900) })
    }
}

/// How the router was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// With the nonce that the mapping goes by.
    Pcp([u8; 12]),
    /// RFC 6886.
    NatPmp,
    /// At this control address.
    Upnp(Igd),
}

/// A mapping that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// How.
    pub dialect: Dialect,
    /// Our port.
    pub port: u16,
    /// Where others connect to.
    pub external: SocketAddrV4,
    /// For how long.
    pub lifetime: Duration,
    /// Datagrams come in there too.
    pub udp: bool,
}

impl Mapping {
    fn new(dialect: Dialect, port: u16, external: SocketAddrV4, lifetime: Duration) -> Self {
        Self { dialect, port, external, lifetime, udp: false }
    }
}

/// What is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Tcp,
    Udp,
}

impl Transport {
    const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        }
    }

    /// As the Internet protocol numbers it.
    const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is there.
    Mapped(Mapping),
    /// No dialect did: why, in words, for each.
    Failed(String),
}

/// Why one dialect did not do.
#[derive(Debug)]
pub(super) enum Refused {
    /// Nobody speaks it there.
    Silent,
    /// It said no, with this code.
    Code(u16),
    /// It said what makes no sense.
    Garbage(&'static str),
    /// The system said no.
    Io(io::Error),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent => f.write_str("no answer"),
            Self::Code(code) => write!(f, "refused with code {code}"),
            Self::Garbage(what) => write!(f, "an answer that makes no sense ({what})"),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        // Nobody listens there: the router said so.
        if error.kind() == io::ErrorKind::ConnectionRefused { Self::Silent } else { Self::Io(error) }
    }
}

/// A dialect by its name alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Pcp,
    NatPmp,
    Upnp,
}

impl Word {
    const fn name(self) -> &'static str {
        match self {
            Self::Pcp => "PCP",
            Self::NatPmp => "NAT-PMP",
            Self::Upnp => "UPnP",
        }
    }
}

impl Dialect {
    const fn word(&self) -> Word {
        match self {
            Self::Pcp(_) => Word::Pcp,
            Self::NatPmp => Word::NatPmp,
            Self::Upnp(_) => Word::Upnp,
        }
    }

    /// Its name.
    pub const fn name(&self) -> &'static str {
        self.word().name()
    }
}

/// Maps `port` and keeps it so for ever; tells what becomes of it each time it changes.
pub async fn keep(router: Router, port: u16, mut rng: Rng, tell: impl Fn(Outcome)) {
    let (mut last, mut wait) = (None, AGAIN_FIRST);
    loop {
        let known = match &last {
            Some(Outcome::Mapped(mapping)) => Some(mapping),
            _ => None,
        };
        let outcome = map(&router, port, known, &mut rng).await;
        let pause = match &outcome {
            Outcome::Mapped(mapping) => {
                wait = AGAIN_FIRST;
                (mapping.lifetime / 2).clamp(RENEW_LEAST, RENEW_MOST)
            }
            Outcome::Failed(_) => {
                let pause = wait;
                wait = (wait * 2).min(AGAIN_LAST);
                pause
            }
        };
        if last.as_ref() != Some(&outcome) {
            tell(outcome.clone());
        }
        last = Some(outcome);
        rt::sleep(pause).await;
    }
}

/// Asks once, in the dialect that did before or else in all of them.
pub async fn map(router: &Router, port: u16, known: Option<&Mapping>, rng: &mut Rng) -> Outcome {
    let wanted = known.map_or(port, |mapping| mapping.external.port());
    let mut nonce = [0; 12];
    match known.map(|mapping| &mapping.dialect) {
        // A mapping is renewed under the nonce that it was made with.
        Some(Dialect::Pcp(known)) => nonce = *known,
        _ => rng.fill(&mut nonce),
    }
    // The one that did before goes first: two mappings of one port would be one too many.
    let mut order = [Word::Pcp, Word::NatPmp, Word::Upnp];
    order.sort_by_key(|word| known.is_none_or(|mapping| mapping.dialect.word() != *word));
    let mut why = Vec::new();
    for word in order {
        let mapped = match word {
            Word::Pcp => pcp::map(router, (Transport::Tcp, port), wanted, LIFETIME, nonce).await,
            Word::NatPmp => natpmp::map(router, (Transport::Tcp, port), wanted, LIFETIME).await,
            Word::Upnp => upnp::map(router, port, wanted, LIFETIME).await,
        };
        match mapped {
            Ok(mapping) => {
                let udp = map_udp(router, &mapping).await;
                return Outcome::Mapped(Mapping { udp, ..mapping });
            }
            Err(refused) => why.push(format!("{}: {refused}", word.name())),
        }
    }
    Outcome::Failed(why.join("; "))
}

/// Whether datagrams come in where connections do: peers know of one port.
async fn map_udp(router: &Router, mapping: &Mapping) -> bool {
    let (of, wanted) = ((Transport::Udp, mapping.port), mapping.external.port());
    let mapped = match &mapping.dialect {
        Dialect::Pcp(nonce) => pcp::map(router, of, wanted, LIFETIME, *nonce).await.map(|udp| udp.external.port()),
        Dialect::NatPmp => natpmp::map(router, of, wanted, LIFETIME).await.map(|udp| udp.external.port()),
        Dialect::Upnp(igd) => upnp::map_udp(router, igd, mapping.port, wanted, LIFETIME).await.map(|()| wanted),
    };
    match mapped {
        Ok(port) if port == wanted => return true,
        Ok(_) => remove_one(router, mapping, Transport::Udp).await,
        Err(refused) => {
            log::debug!(target: "filbert::net", "the router lets no datagrams in at port {wanted}: {refused}")
        }
    }
    false
}

/// Takes a mapping back.
pub async fn remove(router: &Router, mapping: &Mapping) {
    remove_one(router, mapping, Transport::Tcp).await;
    if mapping.udp {
        remove_one(router, mapping, Transport::Udp).await;
    }
}

async fn remove_one(router: &Router, mapping: &Mapping, transport: Transport) {
    let of = (transport, mapping.port);
    let done = match &mapping.dialect {
        Dialect::Pcp(nonce) => pcp::map(router, of, 0, 0, *nonce).await.map(|_| ()),
        Dialect::NatPmp => natpmp::remove(router, of).await,
        Dialect::Upnp(igd) => upnp::remove(igd, transport, mapping.external.port()).await,
    };
    if let Err(refused) = done {
        let (protocol, port) = (transport.name(), mapping.port);
        log::debug!(target: "filbert::net", "the mapping of {protocol} port {port} stays until it expires: {refused}");
    }
}

/// A socket that hears nobody but the gateway, and our address towards it.
async fn towards(router: &Router) -> Result<(UdpSocket, Ipv4Addr), Refused> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    socket.connect((router.gateway, router.port)).await?;
    match socket.local_addr()?.ip() {
        IpAddr::V4(us) => Ok((socket, us)),
        IpAddr::V6(_) => Err(Refused::Garbage("no IPv4 address of ours")),
    }
}

/// Asks until an answer comes that `read` takes; `None` means that it is the answer to something else.
async fn ask<T>(
    socket: &UdpSocket,
    request: &[u8],
    read: impl Fn(&[u8]) -> Option<Result<T, Refused>>,
) -> Result<T, Refused> {
    let mut buffer = [0; 1100];
    for n in 0..TRIES {
        socket.send(request).await?;
        let answered = rt::timeout(FIRST_WAIT * 2_u32.pow(n), async {
            loop {
                let length = socket.recv(&mut buffer).await?;
                if let Some(answer) = read(&buffer[..length]) {
                    return answer;
                }
            }
        });
        if let Ok(answer) = answered.await {
            return answer;
        }
    }
    Err(Refused::Silent)
}

/// Numbers of many bytes stand with the greatest first in all three.
fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A router at loopback of which `answers` is all that it says.
    pub(super) fn fake(answers: impl Fn(&[u8]) -> Option<Vec<u8>> + Send + 'static) -> Router {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
        let port = socket.local_addr().expect("an address").port();
        socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
        std::thread::spawn(move || {
            let mut buffer = [0; 2000];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                if let Some(answer) = answers(&buffer[..length]) {
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        let ssdp = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9);
        Router { gateway: Ipv4Addr::LOCALHOST, port, ssdp }
    }

    #[test]
    fn a_router_that_says_nothing_is_asked_a_few_times_and_then_it_is_over() {
        let (count, counted) = std::sync::mpsc::channel();
        let router = fake(move |_| count.send(()).ok().and(None));
        let began = std::time::Instant::now();
        let outcome = rt::block_on(natpmp::map(&router, (Transport::Tcp, 6346), 6346, LIFETIME));
        assert!(matches!(outcome, Err(Refused::Silent)), "{outcome:?}");
        assert_eq!(counted.try_iter().count(), TRIES as usize);
        assert!(began.elapsed() < Duration::from_secs(6));
    }
}
