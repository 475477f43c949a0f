//! The UDP socket beside the port: one datagram is one message.
//!
//! What is no message is dropped here, what the socket does not take at once is lost: datagrams promise nothing.

use std::io;
use std::net::{IpAddr, SocketAddr};

use bytes::{Bytes, BytesMut};
use futures::SinkExt;
use futures::channel::mpsc;

use super::driver::Message;
use super::rt::UdpPort;
use super::zone;
use crate::proto::Input;
use crate::wire::Frame;
use crate::wire::addr::canonical;

/// The longest datagram that is read; of a longer one the rest is lost, and with it the message.
pub(super) const LONGEST: usize = 16 * 1024;

/// Opens UDP at the address where TCP listens.
pub fn bind_udp(addr: SocketAddr) -> io::Result<UdpPort> {
    UdpPort::new(std::net::UdpSocket::bind(addr)?)
}

/// Reads for the driver until that is gone.
pub(super) async fn read(socket: UdpPort, mut to_driver: mpsc::Sender<Message>) {
    let mut buffer = vec![0; LONGEST];
    loop {
        // An error is that of an earlier datagram which nobody took: it says nothing about this socket.
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        let Some(frame) = message(&buffer[..length]) else {
            log::trace!(target: "filbert::net", "{from}: a datagram that is no message");
            continue;
        };
        if to_driver.send(Message::Input(Input::Datagram { from: canonical(from), frame })).await.is_err() {
            return;
        }
    }
}

/// The message that a datagram is.
pub(super) fn message(bytes: &[u8]) -> Option<Frame> {
    Frame::decode(&Bytes::copy_from_slice(bytes)).ok()
}

/// Sends one message.
pub(super) fn send(socket: &UdpPort, to: SocketAddr, frame: &Frame) {
    let six = socket.local_addr().is_ok_and(|addr| addr.is_ipv6());
    let to = match (six, to.ip()) {
        // A socket for both speaks of IPv4 in the clothes of IPv6.
        (true, IpAddr::V4(ip)) => SocketAddr::new(ip.to_ipv6_mapped().into(), to.port()),
        _ => to,
    };
    let mut bytes = BytesMut::new();
    frame.encode(&mut bytes);
    for to in zone::ways(to) {
        if let Err(error) = socket.try_send_to(&bytes, to) {
            log::trace!(target: "filbert::net", "no datagram to {to}: {error}");
        }
    }
}
