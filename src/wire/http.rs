//! HTTP heads between peers: requests, answers, ranges.

use super::DecodeError;
use super::Urn;
use super::head::{Headers, RawHead};

/// An HTTP head between peers is at most this long (16 KiB).
pub const HEAD_LIMIT: usize = 16 * 1024;

/// A request head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `HEAD`, or what it says.
    pub method: String,
    /// The target as it came, spaces and all.
    pub target: String,
    /// (1, 1) or what it says; (1, 0) when it is missing.
    pub version: (u8, u8),
    /// The headers.
    pub headers: Headers,
}

/// An answer's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Status code.
    pub code: u16,
    /// In words.
    pub reason: String,
    /// (1, 1) or what it says.
    pub version: (u8, u8),
    /// The headers.
    pub headers: Headers,
}

/// What a request target asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `/uri-res/N2R?urn:...`: the content of that name.
    ByUrn(Urn),
    /// `/uri-res/N2X?urn:...`: its tree (THEX).
    Tree(Urn),
    /// `/get/INDEX/NAME` (the name percent-decoded).
    ByIndex(u32, String),
    /// `/`: the list of what is shared.
    Browse,
    /// Anything else.
    Unknown,
}

/// What a `Range:` header asks for. HTTP/1.1, RFC 9110 section 14.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteRange {
    /// `bytes=A-B`, both included.
    Between(u64, u64),
    /// `bytes=A-`
    From(u64),
    /// `bytes=-N`: the last N.
    Last(u64),
}

/// `Content-Range: bytes FIRST-LAST/TOTAL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentRange {
    /// First byte.
    pub first: u64,
    /// Last byte, included.
    pub last: u64,
    /// Size of the whole, if it is said.
    pub total: Option<u64>,
}

impl Request {
    /// Reads a request line: raw spaces in the target are accepted.
    pub fn parse(_: RawHead) -> Result<Self, DecodeError> {
        todo!()
    }
    /// The bytes.
    pub fn encode(&self) -> Vec<u8> {
        todo!()
    }
    /// What is asked for.
    pub fn target(&self) -> Target {
        todo!()
    }
    /// The range asked for: `None` without a header. Several ranges, or one that makes no sense: an error.
    pub fn range(&self) -> Option<Result<ByteRange, DecodeError>> {
        todo!()
    }
    /// Whether the connection stays open after the answer.
    pub fn keep_alive(&self) -> bool {
        todo!()
    }
}

impl Response {
    /// Reads a status line (tolerant: `HTTP 200 OK`, no reason).
    pub fn parse(_: RawHead) -> Result<Self, DecodeError> {
        todo!()
    }
    /// The bytes.
    pub fn encode(&self) -> Vec<u8> {
        todo!()
    }
    /// `Content-Range`, if there is one.
    pub fn content_range(&self) -> Option<Result<ContentRange, DecodeError>> {
        todo!()
    }
    /// `Content-Length`, if there is one that is a number.
    pub fn content_length(&self) -> Option<u64> {
        todo!()
    }
    /// Whether the connection stays open after the body.
    pub fn keep_alive(&self) -> bool {
        todo!()
    }
}

impl ByteRange {
    /// The bytes of a file of `size` that are meant, as first..end; `None` if there are none (416).
    pub fn resolve(self, _size: u64) -> Option<std::ops::Range<u64>> {
        todo!()
    }
}

/// Percent-encodes all but unreserved characters (RFC 3986 section 2.3): for a path segment.
pub fn percent_encode(_segment: &[u8]) -> String {
    todo!()
}
/// Decodes percent escapes; a stray `%` stays as it is.
pub fn percent_decode(_text: &str) -> Vec<u8> {
    todo!()
}
