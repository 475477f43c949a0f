//! Multicast DNS beside the group of the local network: sockets and interfaces for [`crate::proto::dnssd`].
//!
//! Port 5353 is shared (`SO_REUSEADDR`, `SO_REUSEPORT`): a responder of the system goes on as before, since multicast reaches all
//! who listen. Nothing is said or heard on loopback, nothing leaves the network. While nobody asks and nothing is wanted,
//! nothing here wakes up. Whether it works is known as with the group: by what we say coming back to us.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use futures::channel::mpsc;
use futures::future::{Either, pending};
use futures::{FutureExt, SinkExt};
use rustix::net::sockopt;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::driver::{Clock, Message};
use super::lan::{ECHO, INTERFACES};
use super::rt::{self, UdpPort};
use crate::base::Rng;
use crate::proto::dnssd::{Act, DnsSd, Net, PORT, Service};
use crate::proto::{Command, HostSource, Input, Role};
use crate::wire::dns;

const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);
/// "All Multicast DNS responses ... SHOULD be sent with IP TTL set to 255."
const HOPS: u32 = 255;

/// Our end of Multicast DNS; clones are one.
#[derive(Clone)]
pub struct Mdns(Arc<Shared>);

struct Shared {
    v4: Option<UdpPort>,
    v6: Option<UdpPort>,
    listen: IpAddr,
    clock: Clock,
    state: Mutex<State>,
}

struct State {
    machine: DnsSd,
    nets: Vec<Net>,
    /// Interfaces, by family, on which we are in the group.
    joined: BTreeSet<(u32, bool)>,
    /// Why nothing could be said.
    trouble: Option<String>,
    said: Option<Instant>,
    found: u64,
}

impl fmt::Debug for Mdns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mdns").field("v4", &self.0.v4).field("v6", &self.0.v6).finish_non_exhaustive()
    }
}

impl Mdns {
    /// Opens port 5353 for a servent that listens at `listen`, which must not be loopback.
    ///
    /// # Errors
    /// When it can be shared neither by IPv4 nor by IPv6; in words.
    pub fn open(listen: SocketAddr, service: Service, clock: Clock, rng: Rng) -> Result<Self, String> {
        let (v4, v6) = (open_v4(), open_v6());
        if let (Err(error), Err(six)) = (&v4, &v6) {
            log::debug!(target: "filbert::net", "UDP port {PORT} by IPv6: {six}");
            return Err(format!("UDP port {PORT} cannot be shared with the program that has it: {error}"));
        }
        let state = State {
            machine: DnsSd::new(service, clock.now(), rng),
            nets: Vec::new(),
            joined: BTreeSet::new(),
            trouble: None,
            said: None,
            found: 0,
        };
        let shared = Shared { v4: v4.ok(), v6: v6.ok(), listen: listen.ip(), clock, state: Mutex::new(state) };
        shared.look(&mut shared.state());
        Ok(Self(Arc::new(shared)))
    }

    /// Why nobody is found this way, in words; `None` while it works as far as is known.
    pub fn trouble(&self) -> Option<String> {
        let state = self.0.state();
        let deaf = state.said.is_some_and(|at| at.elapsed() >= ECHO) && !state.machine.heard_ourselves();
        state.trouble.clone().or_else(|| deaf.then(|| format!("what is sent to {GROUP_V4}:{PORT} does not arrive")))
    }

    /// How many hosts were found.
    pub fn found(&self) -> u64 {
        self.0.state().found
    }

    /// Asks who is there.
    pub(super) fn ask(&self, role: Role) {
        let shared = &*self.0;
        let mut state = shared.state();
        shared.look(&mut state);
        let State { machine, nets, .. } = &mut *state;
        machine.set_role(role);
        let mut acts = Vec::new();
        machine.ask(shared.clock.now(), nets, &mut acts);
        shared.act(&mut state, acts);
    }

    /// Takes back what was told of us.
    pub(super) fn farewell(&self) {
        let shared = &*self.0;
        let mut state = shared.state();
        let mut acts = Vec::new();
        state.machine.farewell(&state.nets, &mut acts);
        shared.act(&mut state, acts);
    }

    /// Reads for the driver until that is gone.
    pub(super) fn listen(&self, mut to_driver: mpsc::Sender<Message>) -> impl Future<Output = ()> + Send + 'static {
        let shared = Arc::clone(&self.0);
        async move {
            let (mut four, mut six) = (vec![0; dns::LONGEST], vec![0; dns::LONGEST]);
            let mut timer = rt::Timer::never();
            loop {
                let due = shared.state().machine.next_timeout();
                timer.set(due.and_then(|at| shared.clock.real(at)));
                let came = {
                    let v4 = receive(shared.v4.as_ref(), &mut four).fuse();
                    let v6 = receive(shared.v6.as_ref(), &mut six).fuse();
                    futures::pin_mut!(v4, v6);
                    futures::select_biased! {
                        () = (&mut timer).fuse() => None,
                        came = v4 => Some((false, came)),
                        came = v6 => Some((true, came)),
                    }
                };
                let found = match came {
                    None => shared.handle(None),
                    Some((is_v6, Ok((length, from)))) => {
                        let buffer = if is_v6 { &six } else { &four };
                        shared.handle(Some((from, &buffer[..length])))
                    }
                    Some((_, Err(_))) => continue,
                };
                if !found.is_empty() {
                    let hosts = found.into_iter().map(|addr| (addr, HostSource::DnsSd)).collect();
                    let input = Input::Command(Command::AddHosts(hosts));
                    if to_driver.send(Message::Input(input)).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

async fn receive(port: Option<&UdpPort>, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
    match port {
        Some(port) => Either::Left(port.recv_from(buffer)),
        None => Either::Right(pending()),
    }
    .await
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A datagram came, or it is time; who was found.
    fn handle(&self, came: Option<(SocketAddr, &[u8])>) -> Vec<SocketAddr> {
        let (now, mut acts) = (self.clock.now(), Vec::new());
        let mut state = self.state();
        let State { machine, nets, .. } = &mut *state;
        match came {
            None => machine.handle_timeout(now, nets, &mut acts),
            Some((from, bytes)) => machine.handle(now, from, bytes, nets, &mut acts),
        }
        self.act(&mut state, acts)
    }

    /// Looks which networks there are and joins the groups on new ones.
    fn look(&self, state: &mut State) {
        let mut nets = Vec::new();
        let mut joined = BTreeSet::new();
        for interface in if_addrs::get_if_addrs().unwrap_or_default() {
            let (Some(index), ip) = (interface.index, interface.ip()) else { continue };
            let prefix = match &interface.addr {
                if_addrs::IfAddr::V4(v4) => v4.prefixlen,
                if_addrs::IfAddr::V6(v6) => v6.prefixlen,
            };
            let wanted = self.listen.is_unspecified() || self.listen == ip;
            if interface.is_loopback() || !wanted || nets.len() >= 2 * INTERFACES {
                continue;
            }
            nets.push(Net { index, ip, prefix });
            let key = (index, ip.is_ipv6());
            if joined.contains(&key) {
                continue;
            }
            // A network that went away took its membership along.
            let was = state.joined.contains(&key) && state.nets.iter().any(|net| net.ip == ip);
            let done = match (ip, &self.v4, &self.v6) {
                _ if was => Ok(()),
                (IpAddr::V4(ip), Some(port), _) => sockopt::set_ip_add_membership(port.socket(), &GROUP_V4, &ip),
                (IpAddr::V6(_), _, Some(port)) => sockopt::set_ipv6_add_membership(port.socket(), &GROUP_V6, index),
                _ => continue,
            };
            match done {
                Ok(()) | Err(rustix::io::Errno::ADDRINUSE) => drop(joined.insert(key)),
                Err(error) => log::debug!(target: "filbert::net", "cannot join Multicast DNS at {ip}: {error}"),
            }
        }
        (state.nets, state.joined) = (nets, joined);
    }

    fn act(&self, state: &mut State, acts: Vec<Act>) -> Vec<SocketAddr> {
        let mut found = Vec::new();
        for act in acts {
            match act {
                Act::Found(addr) => found.push(addr),
                Act::Unicast { to, bytes } => {
                    let port = if to.is_ipv4() { &self.v4 } else { &self.v6 };
                    if let Some(Err(error)) = port.as_ref().map(|port| port.try_send_to(&bytes, to)) {
                        log::trace!(target: "filbert::net", "no answer to {to}: {error}");
                    }
                }
                Act::Multicast { index, bytes } => match self.multicast(&state.nets, index, &bytes) {
                    Ok(()) => {
                        state.said.get_or_insert_with(Instant::now);
                        state.trouble = None;
                    }
                    Err(error) if state.said.is_none() => {
                        state.trouble = Some(format!("nothing can be sent to {GROUP_V4}:{PORT}: {error}"));
                    }
                    Err(error) => log::debug!(target: "filbert::net", "Multicast DNS: {error}"),
                },
            }
        }
        state.found += found.len() as u64;
        found
    }

    /// To both groups on an interface; an error if neither took it.
    fn multicast(&self, nets: &[Net], index: u32, bytes: &[u8]) -> io::Result<()> {
        let mut result = Err(io::ErrorKind::NotConnected.into());
        let here = || nets.iter().filter(|net| net.index == index);
        let four = here().find_map(|net| if let IpAddr::V4(ip) = net.ip { Some(ip) } else { None });
        if let (Some(ip), Some(port)) = (four, &self.v4) {
            let sent = sockopt::set_ip_multicast_if(port.socket(), &ip).map_err(io::Error::from);
            result = sent.and_then(|()| port.try_send_to(bytes, (GROUP_V4, PORT).into()).map(drop));
        }
        if let (true, Some(port)) = (here().any(|net| net.ip.is_ipv6()), &self.v6) {
            let sent = sockopt::set_ipv6_multicast_if(port.socket(), index).map_err(io::Error::from);
            let sent = sent.and_then(|()| port.try_send_to(bytes, (GROUP_V6, PORT).into()).map(drop));
            if sent.is_ok() || result.is_ok() {
                return Ok(());
            }
        }
        result
    }
}

fn open_v4() -> io::Result<UdpPort> {
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    share(&socket)?;
    rustix::net::bind(&socket, &SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT)))?;
    sockopt::set_ip_multicast_ttl(&socket, HOPS)?;
    sockopt::set_ip_multicast_loop(&socket, true)?;
    UdpPort::new(socket.into())
}

fn open_v6() -> io::Result<UdpPort> {
    let socket = rustix::net::socket_with(AddressFamily::INET6, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    share(&socket)?;
    sockopt::set_ipv6_v6only(&socket, true)?;
    rustix::net::bind(&socket, &SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT)))?;
    sockopt::set_ipv6_multicast_hops(&socket, HOPS)?;
    sockopt::set_ipv6_multicast_loop(&socket, true)?;
    UdpPort::new(socket.into())
}

/// Others of this machine have the port too.
fn share(socket: &rustix::fd::OwnedFd) -> io::Result<()> {
    sockopt::set_socket_reuseaddr(socket, true)?;
    #[cfg(unix)]
    if let Err(error) = sockopt::set_socket_reuseport(socket, true) {
        log::debug!(target: "filbert::net", "SO_REUSEPORT: {error}");
    }
    Ok(())
}
