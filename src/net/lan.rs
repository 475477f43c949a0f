//! The local network: the multicast group that real clients listen to, and whether it works here.
//!
//! LimeWire's group is 234.21.81.1, port 6347. What the servent wants to say goes there by each interface from the socket of
//! our own port, so that answers come to that; what others say there is read from a socket of the group. Nothing leaves the
//! network (TTL 1), nothing is said or heard on loopback, nobody is scanned. Who asks from an address that is not on a network
//! of ours is not heard: no answer goes to a third party.
//!
//! Multicast is often blocked, and seldom says so. [`LanState`] keeps what is known: a send that failed, or that we do not
//! even hear ourselves.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use futures::SinkExt;
use futures::channel::mpsc;
use rustix::net::sockopt::{set_ip_add_membership, set_ip_multicast_if, set_ip_multicast_loop, set_ip_multicast_ttl};
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::driver::Message;
use super::rt::UdpPort;
use super::udp;
use crate::proto::Input;
use crate::wire::Frame;

/// The group of LimeWire and its heirs.
pub const GROUP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(234, 21, 81, 1), 6347);
/// What we say comes back to us at once; after this long it does not.
pub(super) const ECHO: Duration = Duration::from_secs(1);
/// Interfaces that are spoken on.
pub(super) const INTERFACES: usize = 16;

/// What is known of the local network.
#[derive(Debug, Default)]
pub struct LanState(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Our networks: address and mask.
    nets: Vec<(Ipv4Addr, Ipv4Addr)>,
    joined: BTreeSet<Ipv4Addr>,
    /// Why nothing could be said.
    trouble: Option<String>,
    said: Option<Instant>,
    heard_ourselves: bool,
}

impl LanState {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why nobody can be found on this network, in words; `None` while it works as far as is known.
    pub fn trouble(&self) -> Option<String> {
        let known = self.known();
        let deaf = known.said.is_some_and(|at| at.elapsed() >= ECHO) && !known.heard_ourselves;
        known.trouble.clone().or_else(|| deaf.then(|| format!("what is sent to {GROUP} does not arrive")))
    }
}

/// Our end of the group.
#[derive(Debug)]
pub struct Lan {
    ours: UdpPort,
    group: UdpPort,
    listen: SocketAddr,
    state: Arc<LanState>,
}

impl Lan {
    /// Joins the group. `ours` is the socket of our port at `listen`, which must not be loopback.
    pub fn open(ours: UdpPort, listen: SocketAddr, state: Arc<LanState>) -> io::Result<Self> {
        if listen.is_ipv6() {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "the group is an IPv4 one, and we listen on IPv6"));
        }
        let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
        // Every servent of this machine hears the group.
        rustix::net::sockopt::set_socket_reuseaddr(&socket, true)?;
        rustix::net::bind(&socket, &GROUP)?;
        set_ip_multicast_ttl(ours.socket(), 1)?;
        set_ip_multicast_loop(ours.socket(), true)?;
        let group = UdpPort::new(socket.into())?;
        let lan = Self { ours, group, listen, state };
        lan.look();
        Ok(lan)
    }

    /// Looks which networks there are and joins the group on new ones.
    fn look(&self) -> Vec<Ipv4Addr> {
        let mut nets = Vec::new();
        for interface in if_addrs::get_if_addrs().unwrap_or_default() {
            if let if_addrs::IfAddr::V4(v4) = &interface.addr
                && !v4.is_loopback()
                && (self.listen.ip().is_unspecified() || self.listen.ip() == v4.ip)
                && nets.len() < INTERFACES
            {
                nets.push((v4.ip, v4.netmask));
            }
        }
        let mut known = self.state.known();
        for (ip, _) in &nets {
            // A network that went away took its membership along.
            if known.joined.contains(ip) && known.nets.iter().any(|(old, _)| old == ip) {
                continue;
            }
            match set_ip_add_membership(self.group.socket(), GROUP.ip(), ip) {
                Ok(()) | Err(rustix::io::Errno::ADDRINUSE) => drop(known.joined.insert(*ip)),
                Err(error) => log::debug!(target: "filbert::net", "cannot join {GROUP} at {ip}: {error}"),
            }
        }
        known.nets.clone_from(&nets);
        nets.into_iter().map(|(ip, _)| ip).collect()
    }

    /// Says it on every network.
    pub(super) fn announce(&self, frame: &Frame) {
        let mut bytes = BytesMut::new();
        frame.encode(&mut bytes);
        let (mut said, mut trouble) = (false, None);
        for ip in self.look() {
            let sent = set_ip_multicast_if(self.ours.socket(), &ip).map_err(io::Error::from);
            match sent.and_then(|()| self.ours.try_send_to(&bytes, GROUP.into())) {
                Ok(_) => said = true,
                Err(error) => trouble = Some(format!("{ip} cannot send to {GROUP}: {error}")),
            }
        }
        let mut known = self.state.known();
        if said {
            known.said.get_or_insert_with(Instant::now);
            known.trouble = None;
        } else {
            known.trouble = trouble.or_else(|| Some("no network interface is up".to_owned()));
        }
    }

    /// Reads for the driver until that is gone.
    pub(super) fn listen(&self, mut to_driver: mpsc::Sender<Message>) -> impl Future<Output = ()> + Send + 'static {
        let (group, state, port) = (self.group.clone(), Arc::clone(&self.state), self.listen.port());
        async move {
            let mut buffer = vec![0; udp::LONGEST];
            loop {
                let Ok((length, from)) = group.recv_from(&mut buffer).await else { continue };
                let Some(at) = state.hears(from, port) else { continue };
                let Some(frame) = udp::message(&buffer[..length]) else { continue };
                let input = Input::Announced { from, at: at.into(), frame };
                if to_driver.send(Message::Input(input)).await.is_err() {
                    return;
                }
            }
        }
    }
}

impl LanState {
    /// Our own address on the network of one who speaks; `None` when it is ourselves, or no network of ours.
    fn hears(&self, from: SocketAddr, port: u16) -> Option<Ipv4Addr> {
        let IpAddr::V4(ip) = from.ip() else { return None };
        let mut known = self.known();
        if from.port() == port && known.nets.iter().any(|(ours, _)| *ours == ip) {
            known.heard_ourselves = true;
            return None;
        }
        let same =
            |(ours, mask): &&(Ipv4Addr, Ipv4Addr)| ours.to_bits() & mask.to_bits() == ip.to_bits() & mask.to_bits();
        known.nets.iter().find(same).map(|(ours, _)| *ours)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_those_on_a_network_of_ours_are_heard_and_our_own_voice_is_a_good_sign() {
        let state = LanState::default();
        let addr = |text: &str| text.parse::<SocketAddr>().expect("an address");
        state.known().nets = vec![(Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(255, 255, 255, 0))];
        state.known().said = Instant::now().checked_sub(ECHO);
        assert!(state.trouble().is_some_and(|words| words.contains("does not arrive")));
        let ours = Some(Ipv4Addr::new(10, 0, 0, 1));
        let rows = [
            ("10.0.0.2:6346", ours),
            ("10.0.0.1:7000", ours),
            ("10.0.1.2:6346", None),
            ("8.8.8.8:6346", None),
            ("[::1]:6346", None),
            ("10.0.0.1:6346", None),
        ];
        for (from, at) in rows {
            assert_eq!(state.hears(addr(from), 6346), at, "{from}");
        }
        assert_eq!(state.trouble(), None, "the last was ourselves");
        state.known().trouble = Some("no".to_owned());
        assert_eq!(state.trouble().as_deref(), Some("no"));
    }
}
