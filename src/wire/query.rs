//! Query: who has this?
//!
//! ```text
//! offset  0      2
//!         flags  text, ended by a NUL; then HUGE texts and GGEP blocks, and perhaps one more NUL
//!         2 bytes, big endian
//! ```
//! Gnutella 0.6 draft, section 2.2.4; `doc/gnutella/{min_speed,huge,GGEP}`. Bounds: those of
//! [`ggep`](super::ggep::Ggep), and 64 content names; a text is as long as the payload lets it be.

use std::net::SocketAddr;

use bytes::{BufMut, Bytes, BytesMut};

use super::ggep::{self, Ggep};
use super::{Cause, DecodeError, Guid, Text, Urn, addr, extension};

/// A Query's payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The old "minimum speed" field, as flags.
    pub flags: Flags,
    /// The search words.
    pub text: Text,
    /// URNs asked for by content (HUGE).
    pub urns: Vec<Urn>,
    /// Extensions.
    pub ggep: Ggep,
    /// Everything after the text's NUL, as it came; `encode` writes this, the fields above were read from it.
    pub extension: Bytes,
    /// Whether the text was ended by a NUL (some clients leave it out).
    pub ended: bool,
}

/// The sixteen bits of the old "minimum speed" field, big endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(pub u16);

impl Flags {
    /// The field holds flags, not a speed.
    pub const MARK: u16 = 0x8000;
    /// The asker cannot be connected to.
    pub const FIREWALLED: u16 = 0x4000;
    /// XML about the files is wanted.
    pub const XML: u16 = 0x2000;
    /// The asker is a leaf that guides its own query.
    pub const LEAF_GUIDED: u16 = 0x1000;
    /// GGEP `H` is understood in hits.
    pub const GGEP_H: u16 = 0x0800;
    /// Hits may come by UDP, outside the reverse path.
    pub const OUT_OF_BAND: u16 = 0x0400;
    /// The asker can do transfers between two firewalled hosts.
    pub const FW2FW: u16 = 0x0200;
    /// The low byte: how many hits are wanted at most, 0 for any number.
    pub const MAX_HITS: u16 = 0x00ff;

    /// Is this bit set, in a field that holds flags at all?
    pub fn has(self, bit: u16) -> bool {
        self.0 & Self::MARK != 0 && self.0 & bit != 0
    }
}

/// The text of a query that has none: "what matches nothing but a URN" is written so by LimeWire's heirs.
const NO_TEXT: &str = "\\";
/// HUGE section 4: "to explicitly request that URNs be attached to search results".
const WANT_URNS: &[u8] = b"urn:\0";
/// GGEP "secure out-of-band": in a query it is empty, elsewhere it holds a token.
pub(super) const SECURE: &str = "SO";
/// GGEP "IPv6 is understood": its asker has use for IPv6 addresses; with a value of 1, for no others (`IPv6-Ready`, section
/// 5.5).
const IPV6: &str = "I6";

impl Query {
    /// A query of ours: flags MARK and GGEP_H; a query by URN has the text `\`.
    pub fn new(text: &str, urns: &[Urn]) -> Self {
        let text = text.replace('\0', " ");
        let text = if text.is_empty() && !urns.is_empty() { NO_TEXT } else { &text };
        let mut space = match urns.is_empty() {
            true => WANT_URNS.to_vec(),
            false => extension::join(urns),
        };
        if !urns.is_empty() {
            space.push(0);
        }
        let (urns, ggep) = extension::read(&space);
        let flags = Flags(Flags::MARK | Flags::GGEP_H);
        Self { flags, text: text.into(), urns, ggep, extension: space.into(), ended: true }
    }

    /// A query of ours and its GUID, but hits may come by UDP to `us`: flag [`Flags::OUT_OF_BAND`], and GGEP `SO`, by which we
    /// say that we give out tokens ("indicates support for OOB v3 by including the SO key", `out-of-band-v3`). The address is
    /// in the GUID; an IPv6 address in GGEP `6`, and then the GUID has 127.0.0.0 (`IPv6-Ready`, section 2.3).
    #[must_use]
    pub fn out_of_band(mut self, guid: Guid, us: SocketAddr) -> (Guid, Self) {
        let mut block = Ggep::default();
        block.push(SECURE, &[]);
        let guid = guid.with_address(addr::pack(us, &mut block));
        self.flags = Flags(self.flags.0 | Flags::MARK | Flags::OUT_OF_BAND);
        (guid, self.with(block))
    }

    /// Where its hits may go by UDP, if it says that they may: what [`Self::out_of_band`] wrote.
    pub fn asker(&self, guid: Guid) -> SocketAddr {
        addr::unpack(guid.address(), &self.ggep)
    }

    /// A query of ours; IPv6 addresses are of use to us, or nothing else is.
    #[must_use]
    pub fn taking_ipv6(self, alone: bool) -> Self {
        let mut block = Ggep::default();
        block.push(IPV6, if alone { &[1] } else { &[] });
        self.with(block)
    }

    /// Whether addresses of that family are of use to its asker. Who says nothing takes IPv4 alone.
    pub fn takes(&self, addr: SocketAddr) -> bool {
        let only_six = || self.ggep.get(IPV6).is_some_and(|value| value.is_ok_and(|value| value.first() == Some(&1)));
        match addr.ip().to_canonical().is_ipv6() {
            true => self.ggep.has(IPV6),
            false => !only_six(),
        }
    }

    /// A query of ours with these extensions beside those that it has: texts, then one block.
    fn with(mut self, block: Ggep) -> Self {
        let texts = self.extension.split(|&byte| byte == ggep::MAGIC).next().unwrap_or_default();
        let ends = |&byte: &u8| byte == 0 || byte == extension::SEPARATOR;
        let mut space = texts[..texts.iter().rposition(|byte| !ends(byte)).map_or(0, |last| last + 1)].to_vec();
        if !space.is_empty() {
            space.push(extension::SEPARATOR);
        }
        self.ggep.extensions.extend(block.extensions);
        self.ggep.encode(&mut space);
        space.push(0);
        (self.urns, self.ggep) = extension::read(&space);
        (self.extension, self.ended) = (space.into(), true);
        self
    }

    /// Whether its asker gives out tokens for hits by UDP.
    pub fn is_secure(&self) -> bool {
        self.ggep.has(SECURE)
    }

    /// Whether it asks by content alone: its text is empty or `\`.
    pub fn is_by_urn_alone(&self) -> bool {
        !self.urns.is_empty() && matches!(self.text.0.as_slice(), b"" | b"\\")
    }

    /// Reads a payload.
    pub fn decode(payload: &Bytes) -> Result<Self, DecodeError> {
        let Some((flags, rest)) = payload.split_first_chunk::<2>() else {
            let cause = Cause::Truncated { needed: 2, had: payload.len() };
            return Err(DecodeError::new("query", "flags", 0, cause));
        };
        let end = rest.iter().position(|&byte| byte == 0);
        let text = Text(rest[..end.unwrap_or(rest.len())].to_vec());
        let space = end.map_or_else(Bytes::new, |end| payload.slice(2 + end + 1..));
        let (urns, ggep) = extension::read(&space);
        let flags = Flags(u16::from_be_bytes(*flags));
        Ok(Self { flags, text, urns, ggep, extension: space, ended: end.is_some() })
    }

    /// The payload.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(3 + self.text.0.len() + self.extension.len());
        out.put_u16(self.flags.0);
        out.put_slice(&self.text.0);
        if self.ended {
            out.put_u8(0);
            out.put_slice(&self.extension);
        }
        out.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_query_is_taken_apart_and_put_together() {
        // gtk-gnutella's: flags b900, the words, GGEP `PR` without a NUL behind it.
        let payload = Bytes::from_static(b"\xb9\x00acorn glacier\0\xc3\x82PR\x40");
        let query = Query::decode(&payload).expect("a query");
        assert_eq!(query.text.to_str(), "acorn glacier");
        assert!(query.flags.has(Flags::GGEP_H) && query.flags.has(Flags::XML) && !query.flags.has(Flags::FIREWALLED));
        assert!(query.ggep.has("PR") && query.urns.is_empty());
        assert_eq!(query.encode(), payload);
    }

    #[test]
    fn our_queries_read_back_as_they_were_built() {
        let urn: Urn = "urn:sha1:GKECXDEZDWGCRBZWKYBJD5GGT4KAUE5V".parse().expect("a urn");
        let words = Query::new("blue train", &[]);
        assert_eq!(&words.encode()[..], b"\x88\0blue train\0urn:\0");
        let content = Query::new("", std::slice::from_ref(&urn));
        assert!(content.is_by_urn_alone() && !words.is_by_urn_alone());
        let expected = [b"\x88\0\\\0", urn.to_string().as_bytes(), b"\0"].concat();
        assert_eq!(&content.encode()[..], expected);
        for query in [words, content, Query::new("both", &[urn])] {
            assert_eq!(Query::decode(&query.encode()), Ok(query));
        }
    }

    #[test]
    fn a_query_that_allows_hits_by_udp_says_so_behind_what_it_said_before() {
        let urn: Urn = "urn:sha1:GKECXDEZDWGCRBZWKYBJD5GGT4KAUE5V".parse().expect("a urn");
        let four: SocketAddr = "1.2.3.4:6346".parse().expect("an address");
        let (guid, words) = Query::new("blue train", &[]).out_of_band(Guid([9; 16]), four);
        assert_eq!(guid.0, *b"\x01\x02\x03\x04\x09\x09\x09\x09\x09\x09\x09\x09\x09\xca\x18\x09");
        assert_eq!(&words.encode()[..], b"\x8c\0blue train\0urn:\x1c\xc3\x82SO\x40\0");
        assert_eq!(words.asker(guid), four);
        let (_, content) = Query::new("", std::slice::from_ref(&urn)).out_of_band(guid, four);
        assert_eq!(content.urns, [urn]);
        for query in [words, content, Query::new("", &[]).out_of_band(guid, four).1] {
            assert!(query.is_secure() && query.flags.has(Flags::OUT_OF_BAND) && query.flags.has(Flags::MARK));
            assert_eq!(Query::decode(&query.encode()), Ok(query));
        }
    }

    #[test]
    fn an_asker_with_ipv6_alone_names_its_address_in_the_query_and_none_in_its_guid() {
        let six: SocketAddr = "[2001:db8:1:2:3:4:5:6]:6346".parse().expect("an address");
        let (guid, query) = Query::new("blue", &[]).taking_ipv6(true).out_of_band(Guid([9; 16]), six);
        assert_eq!((&guid.0[..4], &guid.0[13..15]), (&[127, 0, 0, 0][..], &[0xca, 0x18][..]));
        // One block: `I6`, `SO`, and sixteen bytes of `6`, with COBS since there are zeros among them.
        let block = b"\x8c\0blue\0urn:\x1c\xc3\x02I6\x41\x01\x02SO\x40\xc16";
        assert_eq!(query.encode()[..block.len()], block[..]);
        for query in [Query::decode(&query.encode()).expect("ours"), query] {
            assert_eq!(query.asker(guid), six);
            assert_eq!(query.asker(Guid([9; 16])).to_string(), "9.9.9.9:2313", "an IPv4 address wins");
            assert!(query.is_secure());
        }
    }

    #[test]
    fn who_has_use_for_ipv6_addresses_says_so() {
        let [four, six, mapped]: [SocketAddr; 3] =
            ["1.2.3.4:5", "[2001:db8::1]:5", "[::ffff:1.2.3.4]:5"].map(|text| text.parse().expect("an address"));
        let asks = |space: &'static [u8]| {
            let payload = [b"\x88\0blue\0", space].concat();
            let query = Query::decode(&payload.into()).expect("a query");
            [four, six, mapped].map(|addr| query.takes(addr))
        };
        assert_eq!(asks(b""), [true, false, true], "as ever");
        assert_eq!(asks(b"\xc3\x82I6\x40"), [true, true, true], "both");
        assert_eq!(asks(b"\xc3\x82I6\x41\x01"), [false, true, false], "no IPv4");
        let ours = |alone| Query::new("blue", &[]).taking_ipv6(alone).encode();
        assert_eq!(ours(false), &b"\x88\0blue\0urn:\x1c\xc3\x82I6\x40\0"[..]);
        assert_eq!(ours(true), &b"\x88\0blue\0urn:\x1c\xc3\x82I6\x41\x01\0"[..]);
    }

    #[test]
    fn a_speed_is_not_taken_for_flags() {
        assert!(!Flags(Flags::GGEP_H).has(Flags::GGEP_H));
        assert!(Flags(0x8800).has(Flags::GGEP_H));
    }

    #[test]
    fn the_shortest_queries_are_read_and_stay_as_they_are() {
        for payload in
            [&b"\0\0"[..], b"\0\0\0", b"\0\0\0\0", b"\x80\0no nul", b"\x80\0x\0\x1c\x1c\0\0", b"\x80\0\0\xc3"]
        {
            let payload = Bytes::from_static(payload);
            assert_eq!(Query::decode(&payload).expect("a query").encode(), payload);
        }
        let error = Query::decode(&Bytes::from_static(b"\0")).expect_err("one byte");
        assert_eq!(error.to_string(), "bad query: flags at byte 0 needs 2 bytes, 1 are left");
    }
}
