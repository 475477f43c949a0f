//! The three legs of the Gnutella 0.6 handshake.

use super::DecodeError;
use super::head::{Headers, RawHead};

/// A handshake head is at most this long (8 KiB).
pub const HEAD_LIMIT: usize = 8 * 1024;

/// One leg of a handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Head {
    /// `GNUTELLA CONNECT/0.6`: the first leg.
    Connect {
        /// 0.6 or later, as (major, minor).
        version: (u8, u8),
        /// What the dialler offers.
        headers: Headers,
    },
    /// `GNUTELLA/0.6 200 OK`: the second and the third.
    Status {
        /// 200, or why not.
        code: u16,
        /// In words.
        reason: String,
        /// What is offered or taken.
        headers: Headers,
    },
}

impl Head {
    /// The headers.
    pub fn headers(&self) -> &Headers {
        match self {
            Self::Connect { headers, .. } | Self::Status { headers, .. } => headers,
        }
    }
    /// Reads the first line (tolerant: a missing reason, `GNUTELLA/0.6 200`).
    pub fn parse(_: RawHead) -> Result<Self, DecodeError> {
        todo!()
    }
    /// The bytes.
    pub fn encode(&self) -> Vec<u8> {
        todo!()
    }
}
