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
//! LIME/22 v1 the same             port(2): at the address of the link, which may be an IPv6 one
//! GTKG/7 v1  ping me by UDP       port(2) GUID(16) of that ping
//! GTKG/7 v2  the same             port(2); the GUID of that ping is the message's
//! LIME/12 v2 hits are here        entries(1) flags(1): 1 if the sender takes unsolicited datagrams; the GUID is the query's
//! LIME/12 v3 the same, and the sender gives a token back
//! LIME/11 v2 send hits            entries(1), 255 is all of them; the GUID is the query's
//! LIME/11 v3 the same, with a GGEP block behind it that has a token in `SO`
//! ```
//! `out-of-band`, `out-of-band-v3`: these two go by UDP. Real clients write GGEP right behind the number of entries; there
//! may be one byte between them.
//!
//! Bounds: [`MAX_SUPPORTED`] messages are read from a list.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use bytes::{BufMut, Bytes, BytesMut};

use super::ggep::{self, Ggep};
use super::query::SECURE;
use super::{Cause, DecodeError, Guid};

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
    /// I am your push proxy, there; without an address, at that of the link.
    ProxyYes(Option<Ipv4Addr>, u16),
    /// How many hits have you for the query of this message's GUID?
    StatusPlease,
    /// So many; [`QUERY_OVER`] ends the query.
    Status(u16),
    /// Send a Ping by UDP to the sender's port, with that GUID; without one, with that of this message.
    PingBack(u16, Option<Guid>),
    /// The sender has hits for the query of this message's GUID.
    HitsHere {
        /// Entries in all; 255 is that many or more.
        entries: u8,
        /// It takes a token, and gives it back.
        secure: bool,
    },
    /// Send hits for the query of this message's GUID.
    HitsPlease {
        /// Entries at most; 255 is all.
        entries: u8,
        /// What the hits must carry.
        token: Option<Vec<u8>>,
    },
    /// Something else.
    Other,
}

/// Bytes of a token that are given back; real clients take 16.
pub const MAX_TOKEN: usize = 32;

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

    /// GTKG/7 v1. There is a v2.
    pub const PING_BACK: Self = Self::new(*b"GTKG", 7, 1);
    const HITS_HERE: Self = Self::new(*b"LIME", 12, 2);
    const HITS_PLEASE: Self = Self::new(*b"LIME", 11, 2);

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

    /// We are yours, there. There is no room for an IPv6 address: then the first version says that it is that of the link.
    pub fn proxy_yes(at: SocketAddr) -> Self {
        let mut data = BytesMut::with_capacity(6);
        let version = match at.ip().to_canonical() {
            IpAddr::V4(ip) => {
                data.put_slice(&ip.octets());
                2
            }
            IpAddr::V6(_) => 1,
        };
        data.put_u16_le(at.port());
        Which { version, ..Which::PROXY_YES }.with(data.freeze())
    }

    /// How many hits have you? Its GUID is the query's.
    pub fn status_please() -> Self {
        Which::STATUS_PLEASE.with(Bytes::new())
    }

    /// So many. Its GUID is the query's.
    pub fn status(hits: u16) -> Self {
        Which::STATUS.with(Bytes::copy_from_slice(&hits.to_le_bytes()))
    }

    /// Ping us by UDP, please, at that port and with that GUID.
    pub fn ping_back(port: u16, guid: Guid) -> Self {
        Which::PING_BACK.with([&port.to_le_bytes()[..], &guid.0].concat().into())
    }

    /// We have so many entries for you, and take unsolicited datagrams. Its GUID is the query's.
    pub fn hits_here(entries: u8, secure: bool) -> Self {
        let version = if secure { 3 } else { 2 };
        Which { version, ..Which::HITS_HERE }.with(Bytes::copy_from_slice(&[entries, 1]))
    }

    /// Send us so many entries, in hits that carry that token. Its GUID is the query's.
    pub fn hits_please(entries: u8, token: Option<&[u8]>) -> Self {
        let Some(token) = token else { return Which::HITS_PLEASE.with(Bytes::copy_from_slice(&[entries])) };
        let mut data = vec![entries];
        let mut ggep = Ggep::default();
        ggep.push(SECURE, token);
        ggep.encode(&mut data);
        Which { version: 3, ..Which::HITS_PLEASE }.with(data.into())
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
            return Ok(Said::ProxyYes(Some([a, b, c, d].into()), u16::from_le_bytes([p0, p1])));
        }
        if which == (Which { version: 1, ..Which::PROXY_YES }) {
            return port(&self.data).map(|port| Said::ProxyYes(None, port)).ok_or(short(2));
        }
        if which.is_like(Which::PING_BACK) && matches!(self.version, 1 | 2) {
            let named = self.data.get(2..18).and_then(|guid| guid.try_into().ok()).map(Guid);
            let named = if self.version == 1 { Some(named.ok_or(short(18))?) } else { None };
            return port(&self.data).map(|port| Said::PingBack(port, named)).ok_or(short(2));
        }
        if which.is_like(Which::HITS_HERE) && matches!(self.version, 1..=3) {
            let &entries = self.data.first().ok_or(short(1))?;
            return Ok(Said::HitsHere { entries, secure: self.version == 3 });
        }
        if which.is_like(Which::HITS_PLEASE) && matches!(self.version, 2 | 3) {
            let (&entries, rest) = self.data.split_first().ok_or(short(1))?;
            let token = if self.version == 3 { token_in(rest) } else { None };
            return Ok(Said::HitsPlease { entries, token });
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

/// The token in the GGEP block behind a number of entries: there, or a byte later as the specification has it.
fn token_in(data: &[u8]) -> Option<Vec<u8>> {
    let block = data.iter().take(2).position(|&byte| byte == ggep::MAGIC)?;
    let token = Ggep::decode(&data[block..]).ok()?.0.get(SECURE)?.ok()?;
    (1..=MAX_TOKEN).contains(&token.len()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hits_by_udp_are_offered_and_asked_for_with_a_token() {
        let rows: [(&[u8], Vendor, Said); 4] = [
            (b"LIME\x0c\0\x02\0\x07\x01", Vendor::hits_here(7, false), Said::HitsHere { entries: 7, secure: false }),
            (b"LIME\x0c\0\x03\0\xff\x01", Vendor::hits_here(255, true), Said::HitsHere { entries: 255, secure: true }),
            (b"LIME\x0b\0\x02\0\x07", Vendor::hits_please(7, None), Said::HitsPlease { entries: 7, token: None }),
            (
                b"LIME\x0b\0\x03\0\x07\xc3\x82SO\x44abcd",
                Vendor::hits_please(7, Some(b"abcd")),
                Said::HitsPlease { entries: 7, token: Some(b"abcd".to_vec()) },
            ),
        ];
        for (bytes, ours, said) in rows {
            assert_eq!(ours.encode(), bytes);
            assert_eq!(Vendor::decode(&Bytes::from_static(bytes)).and_then(|message| message.said()), Ok(said));
        }
        let said = |bytes: &'static [u8]| Vendor::decode(&Bytes::from_static(bytes)).and_then(|message| message.said());
        let shifted = said(b"LIME\x0b\0\x03\0\x07\x00\xc3\x82SO\x44abcd");
        assert_eq!(shifted, Ok(Said::HitsPlease { entries: 7, token: Some(b"abcd".to_vec()) }), "two bytes, then GGEP");
        assert_eq!(said(b"LIME\x0c\0\x01\0\x07"), Ok(Said::HitsHere { entries: 7, secure: false }), "the old one");
        for no_token in
            [&b"LIME\x0b\0\x03\0\x07"[..], b"LIME\x0b\0\x03\0\x07\xc3\x82SO\x40", b"LIME\x0b\0\x03\0\x07\xc3"]
        {
            assert_eq!(said(no_token), Ok(Said::HitsPlease { entries: 7, token: None }));
        }
        for short in
            [&b"LIME\x0b\0\x03\0"[..], b"LIME\x0c\0\x02\0", b"GTKG\x07\0\x01\0\xca\x18", b"GTKG\x07\0\x02\0\xca"]
        {
            assert!(said(short).is_err(), "{short:?}");
        }
        assert_eq!(said(b"LIME\x0c\0\x09\0\x07"), Ok(Said::Other));
    }

    #[test]
    fn a_ping_by_udp_is_asked_for_in_both_versions() {
        let guid = Guid([7; 16]);
        let ours = Vendor::ping_back(6346, guid);
        assert_eq!(ours.encode(), [b"GTKG\x07\0\x01\0\xca\x18", &[7; 16][..]].concat());
        assert_eq!(ours.said(), Ok(Said::PingBack(6346, Some(guid))));
        let newer = Vendor::decode(&Bytes::from_static(b"GTKG\x07\0\x02\0\xca\x18")).expect("a message");
        assert_eq!(newer.said(), Ok(Said::PingBack(6346, None)));
    }

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
        let ip = Ipv4Addr::new(100, 64, 77, 1);
        let rows: [(&[u8], Vendor, Said); 5] = [
            (b"BEAR\x0b\0\x01\0", Vendor::status_please(), Said::StatusPlease),
            (b"BEAR\x0c\0\x01\0\xff\xff", Vendor::status(QUERY_OVER), Said::Status(QUERY_OVER)),
            (b"BEAR\x07\0\x01\0\xca\x18", Vendor::connect_back(6346), Said::ConnectBack(6346)),
            (b"LIME\x15\0\x01\0", Vendor::proxy_please(), Said::ProxyPlease),
            (
                b"LIME\x16\0\x02\0\x64\x40\x4d\x01\xca\x18",
                Vendor::proxy_yes((ip, 6346).into()),
                Said::ProxyYes(Some(ip), 6346),
            ),
        ];
        for (bytes, ours, said) in rows {
            assert_eq!(ours.encode(), bytes);
            assert_eq!(Vendor::decode(&Bytes::from_static(bytes)).and_then(|message| message.said()), Ok(said));
        }
        let newer = Vendor::decode(&Bytes::from_static(b"LIME\x15\0\x02\0")).expect("a message");
        assert_eq!(newer.said(), Ok(Said::ProxyPlease));
        let by_ipv6 = Vendor::proxy_yes("[2001:db8::1]:6346".parse().expect("an address"));
        assert_eq!(by_ipv6.encode(), &b"LIME\x16\0\x01\0\xca\x18"[..]);
        assert_eq!(by_ipv6.said(), Ok(Said::ProxyYes(None, 6346)));
        assert!(Vendor { data: Bytes::from_static(b"\xca"), ..by_ipv6 }.said().is_err());
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
