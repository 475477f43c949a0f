//! Link-local IPv6 addresses and the links that they are on.
//!
//! `fe80::1` alone leads nowhere: it may be on any link of ours (RFC 4007). What names hosts on the wire has no room for that, so
//! the core knows them without; here, where something goes out, a link-local address is tried on each network interface that has
//! one of its own, all at once, and the first that answers counts. With one such interface, as most machines have, nothing is
//! tried in vain. Other addresses go their way.
//!
//! Bounds: [`INTERFACES`] interfaces.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

use futures::future::select_ok;

use super::lan::INTERFACES;
use super::rt::TcpStream;

/// Opens a connection.
pub(super) async fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    match link_local(to) {
        None => TcpStream::connect(to).await,
        Some(host) => {
            let tries = on_each(host, interfaces()).into_iter().map(|way| Box::pin(TcpStream::connect(way)));
            Ok(select_ok(tries).await?.0)
        }
    }
}

/// Where a datagram goes that shall get there.
pub(super) fn ways(to: SocketAddr) -> Vec<SocketAddr> {
    link_local(to).map_or_else(|| vec![to], |host| on_each(host, interfaces()))
}

/// A link-local address that does not say on which link it is.
fn link_local(addr: SocketAddr) -> Option<SocketAddrV6> {
    match addr {
        SocketAddr::V6(six) if six.scope_id() == 0 && six.ip().is_unicast_link_local() => Some(six),
        _ => None,
    }
}

/// That address on these interfaces; as it is if there is none, so that whoever tries it hears why it cannot be.
fn on_each(host: SocketAddrV6, interfaces: Vec<u32>) -> Vec<SocketAddr> {
    if interfaces.is_empty() {
        return vec![host.into()];
    }
    let on = |index| SocketAddr::from(SocketAddrV6::new(*host.ip(), host.port(), 0, index));
    interfaces.into_iter().take(INTERFACES).map(on).collect()
}

/// The numbers of our interfaces that have link-local addresses.
fn interfaces() -> Vec<u32> {
    let all = if_addrs::get_if_addrs().unwrap_or_default();
    let has_one = |ip: IpAddr| matches!(ip, IpAddr::V6(ip) if Ipv6Addr::is_unicast_link_local(&ip));
    let mut found: Vec<u32> = all.iter().filter(|one| has_one(one.ip())).filter_map(|one| one.index).collect();
    found.sort_unstable();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::rt::{self, TcpListener};

    #[test]
    fn a_link_local_address_is_tried_on_each_link_and_others_as_they_are() {
        let rows: [(&str, &[u32], &[&str]); 6] = [
            ("[fe80::1]:6346", &[2], &["[fe80::1%2]:6346"]),
            ("[fe80::1]:6346", &[2, 7], &["[fe80::1%2]:6346", "[fe80::1%7]:6346"]),
            ("[fe80::1]:6346", &[], &["[fe80::1]:6346"]),
            ("[fe80::1%9]:6346", &[2], &["[fe80::1%9]:6346"]),
            ("[fd00::1]:6346", &[2], &["[fd00::1]:6346"]),
            ("169.254.1.1:6346", &[2], &["169.254.1.1:6346"]),
        ];
        for (to, interfaces, want) in rows {
            let to: SocketAddr = to.parse().expect("an address");
            let ways = link_local(to).map_or_else(|| vec![to], |host| on_each(host, interfaces.to_vec()));
            assert_eq!(ways.iter().map(ToString::to_string).collect::<Vec<_>>(), want, "{to} on {interfaces:?}");
        }
        let host = "[fe80::1]:6346".parse().expect("an address");
        assert_eq!(on_each(host, (1..100).collect()).len(), INTERFACES);
    }

    #[test]
    fn others_are_connected_to_as_ever() {
        rt::block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let at = listener.local_addr().expect("an address");
            assert_eq!(connect(at).await.expect("it listens").peer_addr().expect("it is there"), at);
            assert_eq!(ways(at), [at]);
        });
    }
}
