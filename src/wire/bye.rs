//! Bye: the sender leaves, and says why (`doc/gnutella/bye`).
//!
//! ```text
//! code(2, little endian)  text, ended by a NUL
//! ```
//! Bounds: none of its own; the text is what the payload holds.

use bytes::{BufMut, Bytes, BytesMut};

use super::{Cause, DecodeError, Text};

/// A Bye's payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bye {
    /// As in HTTP: 2xx normal, 4xx the receiver's fault, 5xx the sender's.
    pub code: u16,
    /// In words, and what follows them ("HTTP-like headers", behind a line end).
    pub text: Text,
    /// Whether the text was ended by a NUL (some clients leave it out).
    pub ended: bool,
}

impl Bye {
    /// A Bye of ours.
    pub fn new(code: u16, text: &str) -> Self {
        Self { code, text: Text::from(text.replace('\0', "").as_str()), ended: true }
    }

    /// The text without the headers that may follow it.
    pub fn reason(&self) -> String {
        let text = self.text.to_str();
        text.split(['\r', '\n', '\0']).next().unwrap_or_default().trim().to_owned()
    }

    /// Reads a payload.
    pub fn decode(payload: &Bytes) -> Result<Self, DecodeError> {
        let Some((code, text)) = payload.split_first_chunk::<2>() else {
            let cause = Cause::Truncated { needed: 2, had: payload.len() };
            return Err(DecodeError::new("bye", "code", 0, cause));
        };
        let (text, ended) = match text.split_last() {
            Some((0, text)) => (text, true),
            _ => (text, false),
        };
        Ok(Self { code: u16::from_le_bytes(*code), text: Text(text.to_vec()), ended })
    }

    /// The payload.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(3 + self.text.0.len());
        out.put_u16_le(self.code);
        out.put_slice(&self.text.0);
        if self.ended {
            out.put_u8(0);
        }
        out.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_ends_with_a_nul_and_may_hold_headers() {
        let payload = Bytes::from_static(b"\x91\x01Sent 9 dups\r\nServer: x/1\r\n\r\n\0");
        let bye = Bye::decode(&payload).expect("a bye");
        assert_eq!((bye.code, bye.reason().as_str()), (401, "Sent 9 dups"));
        assert_eq!(bye.encode(), payload);
        assert_eq!(&Bye::new(200, "later").encode()[..], b"\xc8\0later\0");
    }

    #[test]
    fn a_missing_nul_and_a_missing_text_are_read_and_stay_missing() {
        for payload in [&b"\xc8\0"[..], b"\xc8\0\0", b"\xc8\0\0\0", b"\xc8\0bye"] {
            let payload = Bytes::from_static(payload);
            assert_eq!(Bye::decode(&payload).expect("a bye").encode(), payload);
        }
        let error = Bye::decode(&Bytes::from_static(b"\xc8")).expect_err("one byte is no code");
        assert_eq!(error.to_string(), "bad bye: code at byte 0 needs 2 bytes, 1 are left");
    }
}
