//! RouteTableUpdate: a query routing table, reset or patched (`doc/gnutella/QRP`).
//!
//! ```text
//! reset   0x00  slots(4, little endian)  infinity(1)
//! patch   0x01  sequence(1)  count(1)  compressor(1)  bits(1)  data
//! ```
//! Bounds: a table has at most [`MAX_SLOTS`] slots, so that whoever makes one for a peer knows what it may
//! cost; a patch is in order, 1 to its count, with 1, 2, 4 or 8 bits a slot.

use bytes::{BufMut, Bytes, BytesMut};

use super::{Cause, DecodeError};

/// A table with more slots than this is refused. The largest in use have 2^17 (the capture's) to 2^20.
pub const MAX_SLOTS: u32 = 1 << 21;

/// A RouteTableUpdate's payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteTableUpdate {
    /// Forget the table; the new one has this many slots.
    Reset {
        /// Number of slots, a power of two.
        slots: u32,
        /// The value that means "not here".
        infinity: u8,
    },
    /// A piece of the differences.
    Patch {
        /// 1-based.
        sequence: u8,
        /// How many pieces there are.
        count: u8,
        /// 0 none, 1 zlib.
        compressor: u8,
        /// Bits per slot: 1, 2, 4 or 8.
        bits: u8,
        /// This piece, as it came.
        data: Bytes,
    },
    /// A variant that we do not know.
    Other {
        /// Its number.
        variant: u8,
        /// What follows.
        data: Bytes,
    },
}

impl RouteTableUpdate {
    /// Reads a payload.
    pub fn decode(payload: &Bytes) -> Result<Self, DecodeError> {
        let bad = |field, offset, cause| DecodeError::new("route table update", field, offset, cause);
        let short = |needed| Cause::Truncated { needed, had: payload.len() };
        match payload.first() {
            None => Err(bad("variant", 0, short(1))),
            Some(0) => {
                let Some([_, s0, s1, s2, s3, infinity]) = payload.first_chunk::<6>().copied() else {
                    return Err(bad("reset", 0, short(6)));
                };
                let slots = u32::from_le_bytes([s0, s1, s2, s3]);
                if !slots.is_power_of_two() {
                    return Err(bad("slots", 1, Cause::Invalid("are no power of two")));
                }
                if slots > MAX_SLOTS {
                    let cause = Cause::TooMany { count: slots as usize, limit: MAX_SLOTS as usize };
                    return Err(bad("slots", 1, cause));
                }
                if payload.len() > 6 {
                    return Err(bad("reset", 6, Cause::Invalid("is not the end of the payload")));
                }
                Ok(Self::Reset { slots, infinity })
            }
            Some(1) => {
                let Some([_, sequence, count, compressor, bits]) = payload.first_chunk::<5>().copied() else {
                    return Err(bad("patch", 0, short(5)));
                };
                if sequence == 0 || sequence > count {
                    return Err(bad("sequence", 1, Cause::Invalid("is not between 1 and the count")));
                }
                if !matches!(bits, 1 | 2 | 4 | 8) {
                    return Err(bad("bits", 4, Cause::Invalid("are not 1, 2, 4 or 8")));
                }
                Ok(Self::Patch { sequence, count, compressor, bits, data: payload.slice(5..) })
            }
            Some(&variant) => Ok(Self::Other { variant, data: payload.slice(1..) }),
        }
    }

    /// The payload.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        match self {
            Self::Reset { slots, infinity } => {
                out.put_u8(0);
                out.put_u32_le(*slots);
                out.put_u8(*infinity);
            }
            Self::Patch { sequence, count, compressor, bits, data } => {
                out.put_slice(&[1, *sequence, *count, *compressor, *bits]);
                out.put_slice(data);
            }
            Self::Other { variant, data } => {
                out.put_u8(*variant);
                out.put_slice(data);
            }
        }
        out.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reset_patch_and_unknown_variants_survive_a_round_trip() {
        for (payload, expected) in [
            (&b"\0\0\0\x02\0\x02"[..], RouteTableUpdate::Reset { slots: 1 << 17, infinity: 2 }),
            (
                b"\x01\x02\x03\x01\x04zlib",
                RouteTableUpdate::Patch {
                    sequence: 2,
                    count: 3,
                    compressor: 1,
                    bits: 4,
                    data: Bytes::from_static(b"zlib"),
                },
            ),
            (b"\x07", RouteTableUpdate::Other { variant: 7, data: Bytes::new() }),
        ] {
            let payload = Bytes::from_static(payload);
            assert_eq!(RouteTableUpdate::decode(&payload), Ok(expected.clone()));
            assert_eq!(expected.encode(), payload);
        }
    }

    #[test]
    fn what_cannot_be_a_table_names_its_field() {
        for (payload, field, offset) in [
            (&b""[..], "variant", 0),
            (b"\0", "reset", 0),
            (b"\0\0\0\x02\0", "reset", 0),
            (b"\0\0\0\0\0\x02", "slots", 1),
            (b"\0\x03\0\0\0\x02", "slots", 1),
            (b"\0\0\0\0\x80\x02", "slots", 1),
            (b"\0\0\0\x02\0\x02\0", "reset", 6),
            (b"\x01\x01\x01\x01", "patch", 0),
            (b"\x01\0\x01\x01\x04", "sequence", 1),
            (b"\x01\x02\x01\x01\x04", "sequence", 1),
            (b"\x01\x01\x01\x01\x03", "bits", 4),
        ] {
            let error = RouteTableUpdate::decode(&Bytes::from_static(payload)).expect_err("no table");
            assert_eq!((error.field, error.offset), (field, offset));
        }
    }
}
