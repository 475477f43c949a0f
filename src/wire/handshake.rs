//! The three legs of the Gnutella 0.6 handshake (`doc/gnutella/handshaking_0.6`).
//!
//! ```text
//! dialler   GNUTELLA CONNECT/0.6   headers: what it offers
//! listener  GNUTELLA/0.6 200 OK    headers: what it takes, and offers; or a refusal
//! dialler   GNUTELLA/0.6 200 OK    headers: what it takes; or a refusal
//! ```
//! Bounds: [`HEAD_LIMIT`] and those of [`head`](super::head::RawHead).

use super::head::{Headers, RawHead};
use super::text::strip;
use super::{Cause, DecodeError};

/// A handshake head is at most this long (8 KiB).
pub const HEAD_LIMIT: usize = 8 * 1024;

/// The header by which filberts agree to encrypt a link, ours alone, and the way that it names (`net::secret`).
pub const NOISE_HEADER: &str = "X-Filbert-Noise";
/// See [`NOISE_HEADER`].
pub const NOISE_WAY: &str = "XX/25519/ChaChaPoly/BLAKE2s";

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

const WHAT: &str = "handshake";
const CONNECT: &str = "GNUTELLA CONNECT/";
const STATUS: &str = "GNUTELLA/";

impl Head {
    /// The headers.
    pub fn headers(&self) -> &Headers {
        match self {
            Self::Connect { headers, .. } | Self::Status { headers, .. } => headers,
        }
    }

    /// Whether its sender says that all its messages will be one deflated stream ([`deflated`](super::deflated)).
    pub fn deflates(&self) -> bool {
        self.headers().has_token("Content-Encoding", "deflate")
    }

    /// Whether its sender wants the link encrypted, in the way that we know.
    pub fn encrypts(&self) -> bool {
        self.headers().has_token(NOISE_HEADER, NOISE_WAY)
    }

    /// Reads the first line (tolerant: a missing reason, `GNUTELLA/0.6 200`). A version before 0.6 is an error:
    /// its handshake has no headers and no third leg.
    pub fn parse(head: RawHead) -> Result<Self, DecodeError> {
        let RawHead { first, headers } = head;
        if let Some(version) = strip(&first, CONNECT) {
            let version = version_at(version.trim(), CONNECT.len())?;
            return Ok(Self::Connect { version, headers });
        }
        let Some(rest) = strip(&first, STATUS) else {
            return Err(bad("first line", 0, "is neither GNUTELLA CONNECT nor GNUTELLA/"));
        };
        let (version, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        version_at(version, STATUS.len())?;
        let (code, reason) = status(WHAT, STATUS.len() + version.len() + 1, rest)?;
        Ok(Self::Status { code, reason, headers })
    }

    /// The bytes.
    pub fn encode(&self) -> Vec<u8> {
        let first = match self {
            Self::Connect { version: (major, minor), .. } => format!("{CONNECT}{major}.{minor}"),
            Self::Status { code, reason, .. } => format!("{STATUS}0.6 {code} {reason}"),
        };
        RawHead { first: first.trim_end().to_owned(), headers: self.headers().clone() }.encode()
    }
}

fn version_at(text: &str, offset: usize) -> Result<(u8, u8), DecodeError> {
    let parts = text.split_once('.').and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    match parts {
        None => Err(bad("version", offset, "is not two numbers with a full stop between them")),
        Some(version) if version < (0, 6) => Err(bad("version", offset, "is before 0.6")),
        Some(version) => Ok(version),
    }
}

/// A status line behind its version: three digits, and perhaps a reason.
pub(super) fn status(what: &'static str, offset: usize, rest: &str) -> Result<(u16, String), DecodeError> {
    let rest = rest.trim_start();
    let (code, reason) = rest.split_once(' ').unwrap_or((rest, ""));
    match code.parse() {
        Ok(number @ 100..=999) if code.len() == 3 => Ok((number, reason.trim().to_owned())),
        _ => Err(DecodeError::new(what, "status code", offset, Cause::Invalid("is not a number of three digits"))),
    }
}

const fn bad(field: &'static str, offset: usize, rule: &'static str) -> DecodeError {
    DecodeError::new(WHAT, field, offset, Cause::Invalid(rule))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(first: &str) -> Result<Head, DecodeError> {
        Head::parse(RawHead { first: first.to_owned(), headers: Headers::default() })
    }

    #[test]
    fn the_three_legs_survive_a_round_trip() {
        let headers = Headers::default().with("X-Ultrapeer", "True");
        for (head, first) in [
            (Head::Connect { version: (0, 6), headers: headers.clone() }, "GNUTELLA CONNECT/0.6"),
            (Head::Status { code: 200, reason: "OK".into(), headers: headers.clone() }, "GNUTELLA/0.6 200 OK"),
            (Head::Status { code: 503, reason: String::new(), headers }, "GNUTELLA/0.6 503"),
        ] {
            let bytes = head.encode();
            assert_eq!(bytes, format!("{first}\r\nX-Ultrapeer: True\r\n\r\n").into_bytes());
            let (raw, _) = RawHead::decode(&bytes, HEAD_LIMIT).expect("a possible head").expect("a whole head");
            assert_eq!(Head::parse(raw), Ok(head));
        }
    }

    #[test]
    fn first_lines_are_read_leniently() {
        for (line, code, reason) in [
            ("GNUTELLA/0.6 200", 200, ""),
            ("GNUTELLA/0.6 200 ", 200, ""),
            ("gnutella/0.6  503 Too many hosts", 503, "Too many hosts"),
            ("GNUTELLA/0.7 403 No", 403, "No"),
        ] {
            let Ok(Head::Status { code: c, reason: r, .. }) = parse(line) else { panic!("{line} is a status") };
            assert_eq!((c, r.as_str()), (code, reason));
        }
        for line in ["GNUTELLA CONNECT/0.6", "GNUTELLA CONNECT/1.0 "] {
            assert!(matches!(parse(line), Ok(Head::Connect { .. })), "{line}");
        }
    }

    #[test]
    fn what_is_no_leg_names_its_field() {
        for (line, field, offset) in [
            ("GET / HTTP/1.1", "first line", 0),
            ("GNUTELLA CONNECT/0.4", "version", 17),
            ("GNUTELLA CONNECT/", "version", 17),
            ("GNUTELLA/0.6", "status code", 13),
            ("GNUTELLA/0.6 OK", "status code", 13),
            ("GNUTELLA/0.6 +20 OK", "status code", 13),
            ("GNUTELLA/x 200 OK", "version", 9),
        ] {
            let error = parse(line).expect_err(line);
            assert_eq!((error.field, error.offset), (field, offset), "{line}");
        }
    }
}
