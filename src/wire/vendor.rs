//! Vendor messages: what servents of one make, or of several, say beyond the protocol (`doc/gnutella/vendor_msg`).
//!
//! ```text
//! offset  0       4         6        8
//!         vendor  selector  version  what that message needs
//!         4       2         2 bytes; numbers little endian
//!
//! 0000/0 v0  messages supported   count(2)  then for each  vendor(4) selector(2) version(2)
//! BEAR/7 v1  connect back         port(2)
//! LIME/21    push proxy, please   nothing; the message's GUID is the asker's servent GUID
//! LIME/22 v2 push proxy: yes      IPv4(4) port(2) of the proxy; the GUID is that of the request
//! ```
//! Bounds: [`MAX_SUPPORTED`] messages are read from a list.

use std::net::SocketAddrV4;

use bytes::{BufMut, Bytes, BytesMut};

use super::{Cause, DecodeError};

/// Messages read from a list of those that a peer takes.
pub const MAX_SUPPORTED: usize = 128;

/// A vendor message's payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vendor {
    /// Four letters, or four zero bytes for the standard ones.
    pub vendor: [u8; 4],
    /// Which message of that vendor's.
    pub selector: u16,
    /// Which version of it.
    pub version: u16,
    /// The rest.
    pub data: Bytes,
}

/// What a vendor message says, of those that we understand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// The sender takes these messages.
    Supported(Vec<Which>),
    /// Connect to the sender's port, please.
    ConnectBack(u16),
    /// Be my push proxy, please.
    ProxyPlease,
    /// I am your push proxy, there.
    ProxyYes(SocketAddrV4),
    /// How many hits have you for the query of this message's GUID?
    StatusPlease,
    /// So many; [`QUERY_OVER`] ends the query.
    Status(u16),
    /// Something else.
    Other,
}

/// "0xFFFF should be used to indicate that the query should be terminated" (`leaf_guided_queries`).
pub const QUERY_OVER: u16 = 0xffff;

/// Which message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Which {
    /// Four letters, or four zero bytes.
    pub vendor: [u8; 4],
    /// Its number there.
    pub selector: u16,
    /// Its version.
    pub version: u16,
}

impl Which {
    const SUPPORTED: Self = Self::new([0; 4], 0, 0);
    /// BEAR/7 v1.
    pub const CONNECT_BACK: Self = Self::new(*b"BEAR", 7, 1);
    /// LIME/21 v1. There is a v2 that says the same; real clients ask with 1 and answer with LIME/22 v2.
    pub const PROXY_PLEASE: Self = Self::new(*b"LIME", 21, 1);
    /// BEAR/11 v1.
    pub const STATUS_PLEASE: Self = Self::new(*b"BEAR", 11, 1);
    /// BEAR/12 v1.
    pub const STATUS: Self = Self::new(*b"BEAR", 12, 1);
    /// LIME/22 v2.
    pub const PROXY_YES: Self = Self::new(*b"LIME", 22, 2);

    const fn new(vendor: [u8; 4], selector: u16, version: u16) -> Self {
        Self { vendor, selector, version }
    }

    /// The same message in whatever version.
    pub fn is_like(self, other: Self) -> bool {
        (self.vendor, self.selector) == (other.vendor, other.selector)
    }

    fn with(self, data: Bytes) -> Vendor {
        Vendor { vendor: self.vendor, selector: self.selector, version: self.version, data }
    }
}

impl Vendor {
    /// "The message is known as null/0v0": we take these.
    pub fn supported(all: &[Which]) -> Self {
        let all = &all[..all.len().min(MAX_SUPPORTED)];
        let mut data = BytesMut::with_capacity(2 + 8 * all.len());
        data.put_u16_le(all.len() as u16);
        for which in all {
            data.put_slice(&which.vendor);
            data.put_u16_le(which.selector);
            data.put_u16_le(which.version);
        }
        Which::SUPPORTED.with(data.freeze())
    }

    /// Connect to our port, please.
    pub fn connect_back(port: u16) -> Self {
        Which::CONNECT_BACK.with(Bytes::copy_from_slice(&port.to_le_bytes()))
    }

    /// Be our push proxy, please.
    pub fn proxy_please() -> Self {
        Which::PROXY_PLEASE.with(Bytes::new())
    }

    /// We are yours, there.
    pub fn proxy_yes(at: SocketAddrV4) -> Self {
        let mut data = BytesMut::with_capacity(6);
        data.put_slice(&at.ip().octets());
        data.put_u16_le(at.port());
        Which::PROXY_YES.with(data.freeze())
    }

    /// How many hits have you? Its GUID is the query's.
    pub fn status_please() -> Self {
        Which::STATUS_PLEASE.with(Bytes::new())
    }

    /// So many. Its GUID is the query's.
    pub fn status(hits: u16) -> Self {
        Which::STATUS.with(Bytes::copy_from_slice(&hits.to_le_bytes()))
    }

    /// What it says.
    pub fn said(&self) -> Result<Said, DecodeError> {
        let which = Which::new(self.vendor, self.selector, self.version);
        let short = |needed| {
            let cause = Cause::Truncated { needed, had: self.data.len() };
            DecodeError::new("vendor message", "data", 8, cause)
        };
        let port = |bytes: &[u8]| bytes.first_chunk().copied().map(u16::from_le_bytes);
        if which == Which::SUPPORTED {
            let count = port(&self.data).ok_or(short(2))?;
            let listed = self.data[2..].as_chunks::<8>().0;
            let listed = listed.iter().take(usize::from(count).min(MAX_SUPPORTED));
            let read = |&[a, b, c, d, s0, s1, v0, v1]: &[u8; 8]| {
                Which::new([a, b, c, d], u16::from_le_bytes([s0, s1]), u16::from_le_bytes([v0, v1]))
            };
            return Ok(Said::Supported(listed.map(read).collect()));
        }
        if which == Which::CONNECT_BACK {
            return port(&self.data).map(Said::ConnectBack).ok_or(short(2));
        }
        if which == Which::STATUS_PLEASE {
            return Ok(Said::StatusPlease);
        }
        if which == Which::STATUS {
            return port(&self.data).map(Said::Status).ok_or(short(2));
        }
        if which.is_like(Which::PROXY_PLEASE) {
            return Ok(Said::ProxyPlease);
        }
        if which == Which::PROXY_YES {
            let Some(&[a, b, c, d, p0, p1]) = self.data.first_chunk() else { return Err(short(6)) };
            return Ok(Said::ProxyYes(SocketAddrV4::new([a, b, c, d].into(), u16::from_le_bytes([p0, p1]))));
        }
        Ok(Said::Other)
    }

    /// Reads a payload.
    pub fn decode(payload: &Bytes) -> Result<Self, DecodeError> {
        let Some([v0, v1, v2, v3, s0, s1, n0, n1]) = payload.first_chunk::<8>().copied() else {
            let cause = Cause::Truncated { needed: 8, had: payload.len() };
            return Err(DecodeError::new("vendor message", "vendor, selector and version", 0, cause));
        };
        Ok(Self {
            vendor: [v0, v1, v2, v3],
            selector: u16::from_le_bytes([s0, s1]),
            version: u16::from_le_bytes([n0, n1]),
            data: payload.slice(8..),
        })
    }

    /// The payload.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(8 + self.data.len());
        out.put_slice(&self.vendor);
        out.put_u16_le(self.selector);
        out.put_u16_le(self.version);
        out.put_slice(&self.data);
        out.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vendor_selector_and_version_stand_before_the_data() {
        let payload = Bytes::from_static(b"GTKG\x09\0\x01\0\0");
        let message = Vendor::decode(&payload).expect("a vendor message");
        assert_eq!((&message.vendor, message.selector, message.version), (b"GTKG", 9, 1));
        assert_eq!((&message.data[..], message.encode()), (&b"\0"[..], payload.clone()));
        assert!(Vendor::decode(&payload.slice(..8)).is_ok());
        assert_eq!(Vendor::decode(&payload.slice(..7)).expect_err("7 bytes").offset, 0);
    }

    #[test]
    fn what_a_firewalled_leaf_and_its_ultrapeer_say_is_understood() {
        // From recording 21.
        let at = SocketAddrV4::new([100, 64, 77, 1].into(), 6346);
        let rows: [(&[u8], Vendor, Said); 5] = [
            (b"BEAR\x0b\0\x01\0", Vendor::status_please(), Said::StatusPlease),
            (b"BEAR\x0c\0\x01\0\xff\xff", Vendor::status(QUERY_OVER), Said::Status(QUERY_OVER)),
            (b"BEAR\x07\0\x01\0\xca\x18", Vendor::connect_back(6346), Said::ConnectBack(6346)),
            (b"LIME\x15\0\x01\0", Vendor::proxy_please(), Said::ProxyPlease),
            (b"LIME\x16\0\x02\0\x64\x40\x4d\x01\xca\x18", Vendor::proxy_yes(at), Said::ProxyYes(at)),
        ];
        for (bytes, ours, said) in rows {
            assert_eq!(ours.encode(), bytes);
            assert_eq!(Vendor::decode(&Bytes::from_static(bytes)).and_then(|message| message.said()), Ok(said));
        }
        let newer = Vendor::decode(&Bytes::from_static(b"LIME\x15\0\x02\0")).expect("a message");
        assert_eq!(newer.said(), Ok(Said::ProxyPlease));
    }

    #[test]
    fn a_list_says_what_it_holds_whatever_it_counts() {
        let all = [Which::CONNECT_BACK, Which::PROXY_PLEASE, Which::PROXY_YES];
        let list = Vendor::supported(&all);
        assert_eq!(list.said(), Ok(Said::Supported(all.to_vec())));
        for (count, data, read) in [(9u16, 17, 2), (1, 24, 1), (0, 24, 0), (65_535, 8 * 500, MAX_SUPPORTED)] {
            let mut bytes = count.to_le_bytes().to_vec();
            bytes.resize(2 + data, 1);
            let Ok(Said::Supported(said)) = Which::SUPPORTED.with(bytes.into()).said() else { panic!("a list") };
            assert_eq!(said.len(), read, "{count} in {data} bytes");
        }
        for which in [Which::SUPPORTED, Which::CONNECT_BACK, Which::PROXY_YES] {
            assert!(which.with(Bytes::from_static(b"\x01")).said().is_err(), "{which:?} is short");
        }
    }
}
