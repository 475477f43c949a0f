//! A message as it travels: the 23-byte header and a payload that is shared, not copied.
//!
//! ```text
//! offset  0        16     17    18     19
//!         GUID     kind   TTL   hops   payload length, little endian
//!         16       1      1     1      4 bytes
//! ```
//! Gnutella 0.6 draft, section 2.2.1 "Descriptor Header".

use bytes::{BufMut, Bytes, BytesMut};

use super::{Cause, DecodeError, Guid};

/// Length of a message header in bytes.
pub const HEADER_LEN: usize = 23;

/// What a message is. Kinds that we do not know keep their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// 0x00: who is there?
    Ping,
    /// 0x01: I am.
    Pong,
    /// 0x02: the sender leaves, and says why.
    Bye,
    /// 0x30: a query routing table, whole or in part.
    RouteTableUpdate,
    /// 0x31: a vendor message.
    Vendor,
    /// 0x32: a standard vendor message.
    VendorStandard,
    /// 0x40: please connect to this host and give it a file.
    Push,
    /// 0x80: who has this?
    Query,
    /// 0x81: I have these.
    QueryHit,
    /// Any other number.
    Other(u8),
}

impl From<u8> for Kind {
    fn from(byte: u8) -> Self {
        match byte {
            0x00 => Self::Ping,
            0x01 => Self::Pong,
            0x02 => Self::Bye,
            0x30 => Self::RouteTableUpdate,
            0x31 => Self::Vendor,
            0x32 => Self::VendorStandard,
            0x40 => Self::Push,
            0x80 => Self::Query,
            0x81 => Self::QueryHit,
            other => Self::Other(other),
        }
    }
}

impl From<Kind> for u8 {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Ping => 0x00,
            Kind::Pong => 0x01,
            Kind::Bye => 0x02,
            Kind::RouteTableUpdate => 0x30,
            Kind::Vendor => 0x31,
            Kind::VendorStandard => 0x32,
            Kind::Push => 0x40,
            Kind::Query => 0x80,
            Kind::QueryHit => 0x81,
            Kind::Other(byte) => byte,
        }
    }
}

/// What stands before every payload. The payload's length is not kept here: the payload knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Names the message; the same on every link that it travels.
    pub guid: Guid,
    /// What it is.
    pub kind: Kind,
    /// How many more links it may cross, this one included.
    pub ttl: u8,
    /// How many links it has crossed before this one.
    pub hops: u8,
}

/// A message: a header of its own and a payload shared by all the links that it is sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The header.
    pub header: Header,
    /// The payload, untouched since it came.
    pub payload: Bytes,
}

impl Frame {
    /// A message that we originate: hops 0.
    pub fn new(guid: Guid, kind: Kind, ttl: u8, payload: Bytes) -> Self {
        Self { header: Header { guid, kind, ttl, hops: 0 }, payload }
    }

    /// How many bytes it takes on a link.
    pub fn wire_len(&self) -> usize {
        HEADER_LEN + self.payload.len()
    }

    /// Appends the message to `out`.
    pub fn encode(&self, out: &mut BytesMut) {
        out.reserve(self.wire_len());
        out.put_slice(&self.header.guid.0);
        out.put_u8(self.header.kind.into());
        out.put_u8(self.header.ttl);
        out.put_u8(self.header.hops);
        // No payload of ours or of a peer's comes near 4 GiB: `stream` bounds what is read at 64 KiB.
        out.put_u32_le(self.payload.len() as u32);
        out.put_slice(&self.payload);
    }

    /// Reads one message that fills `bytes` exactly, as a datagram does.
    pub fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        let (header, length) = Header::decode(bytes)?;
        let had = bytes.len() - HEADER_LEN;
        if length != had {
            let cause = match length > had {
                true => Cause::Truncated { needed: length, had },
                false => Cause::Invalid("is less than what follows"),
            };
            return Err(DecodeError::new("message", "payload length", 19, cause));
        }
        Ok(Self { header, payload: bytes.slice(HEADER_LEN..) })
    }
}

impl Header {
    /// Reads a header and the payload length it announces. The length is a stranger's word: check it
    /// against a limit before anything is allocated for it.
    pub fn decode(bytes: &[u8]) -> Result<(Self, usize), DecodeError> {
        let Some(bytes) = bytes.first_chunk::<HEADER_LEN>() else {
            let cause = Cause::Truncated { needed: HEADER_LEN, had: bytes.len() };
            return Err(DecodeError::new("message", "header", 0, cause));
        };
        let mut guid = [0; 16];
        guid.copy_from_slice(&bytes[..16]);
        let length = u32::from_le_bytes([bytes[19], bytes[20], bytes[21], bytes[22]]);
        let header = Self { guid: Guid(guid), kind: bytes[16].into(), ttl: bytes[17], hops: bytes[18] };
        Ok((header, length as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_keeps_its_number() {
        for byte in 0..=u8::MAX {
            assert_eq!(u8::from(Kind::from(byte)), byte);
        }
    }

    #[test]
    fn a_frame_survives_a_round_trip() {
        let frame = Frame::new(Guid([7; 16]), Kind::Query, 4, Bytes::from_static(b"\0\0hi\0"));
        let mut out = BytesMut::new();
        frame.encode(&mut out);
        assert_eq!(out.len(), frame.wire_len());
        assert_eq!(Frame::decode(&out.freeze()), Ok(frame));
    }

    #[test]
    fn a_length_that_does_not_fit_names_its_field() {
        let error = Frame::decode(&Bytes::from_static(&[0; 22])).expect_err("22 bytes are no header");
        assert_eq!((error.field, error.offset), ("header", 0));
        let error = Frame::decode(&Bytes::from_static(&[0; 24])).expect_err("one byte too many");
        assert_eq!((error.field, error.offset), ("payload length", 19));
    }
}
