//! Bye: what it says, and that it is said on connections that are through their handshake and are no links too. `bye` section 3
//! wants it as the last thing before the close, so that the other side knows why.
//!
//! It is said whether or not the other side said `Bye-Packet`: "There is no real need to declare any support" (`bye`,
//! appendix 1), and who does not know the message only drops it.

use bytes::Bytes;

use crate::wire::bye::Bye;
use crate::wire::{Frame, Guid, Kind};

use super::servent::Servent;
use super::{CloseReason, ConnId, Outbox, Output};

/// A Bye: its words, and who says so: "the HTTP-like headers version should be used, with at least a Server: header"
/// (`bye` section 2).
pub(super) fn bye(code: u16, words: &str) -> Bytes {
    let server = concat!("filbert/", env!("CARGO_PKG_VERSION"));
    Bye::new(code, &format!("{words}\r\nServer: {server}\r\n\r\n")).encode()
}

/// The code and words for that reason; `None` where the other side ended it, or there was no handshake.
fn last_words(reason: &CloseReason) -> Option<(u16, &str)> {
    match reason {
        CloseReason::WeRefused(code, words) => Some((*code, words)),
        CloseReason::Duplicate => Some((409, "A second connection between us")),
        CloseReason::Shutdown => Some((200, "Shutting down")),
        CloseReason::User => Some((200, "Closed by the user")),
        CloseReason::Role => Some((203, "Changing role")),
        CloseReason::HandshakeTimeout => Some((500, "The handshake took too long")),
        _ => None,
    }
}

impl Servent {
    /// Closes a connection whose handshake is through, but which shall be no link, with a Bye.
    pub(super) fn part(&mut self, conn: ConnId, reason: CloseReason, out: &mut Outbox) {
        if let Some((code, words)) = last_words(&reason) {
            let frame = Frame::new(Guid::random(&mut self.rng), Kind::Bye, 1, bye(code, words));
            self.counters.sent.count(frame.wire_len());
            out.push(Output::Send { to: vec![conn], frame });
        }
        out.push(Output::Close { conn, reason });
    }
}
