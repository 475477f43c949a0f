//! The tolerant, bounded header block that the handshake and peer HTTP share: a first line and headers.

use super::DecodeError;

/// Headers in the order they came: names keep their case, values are trimmed and unfolded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(pub Vec<(String, String)>);

impl Headers {
    /// The first value under `name`, in any case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }
    /// Adds a header. Line ends in `value` become spaces.
    pub fn push(&mut self, name: &str, value: impl Into<String>) {
        self.0.push((name.to_owned(), value.into().replace(['\r', '\n'], " ")));
    }
    /// With one more header: for building.
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.push(name, value);
        self
    }
    /// Whether a comma-separated header `name` (repeated headers count as one) holds `token`, in any case.
    pub fn has_token(&self, _name: &str, _token: &str) -> bool {
        todo!()
    }
}

/// A first line and its headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawHead {
    /// Without its line end.
    pub first: String,
    /// The headers.
    pub headers: Headers,
}

impl RawHead {
    /// Looks for a complete head (bare LF or CRLF; an empty line ends it) at the start of `bytes`. `Ok(None)`: more bytes are needed. `Ok(Some((head, n)))`: it took `n` bytes. An error when `limit` bytes hold no end, or a header is impossible.
    pub fn decode(_bytes: &[u8], _limit: usize) -> Result<Option<(Self, usize)>, DecodeError> {
        todo!()
    }
    /// The head with CRLF and the empty line.
    pub fn encode(&self) -> Vec<u8> {
        todo!()
    }
}
