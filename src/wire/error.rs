//! What was wrong with bytes that a peer sent: which message, which field, at which offset.

use std::fmt;

/// Why bytes could not be read as what they claim to be. The peer is at fault; no state was touched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// What was being read: "query", "pong", "GGEP".
    pub what: &'static str,
    /// The field at fault.
    pub field: &'static str,
    /// Where the field begins, in bytes from the start of what was being read.
    pub offset: usize,
    /// What is wrong with it.
    pub cause: Cause,
}

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The bytes end before the field does.
    Truncated {
        /// Bytes that the field needs.
        needed: usize,
        /// Bytes that are left.
        had: usize,
    },
    /// The field is longer than we accept.
    TooLong {
        /// Its length in bytes.
        length: usize,
        /// The most we accept.
        limit: usize,
    },
    /// The field holds more items than we accept.
    TooMany {
        /// Their number.
        count: usize,
        /// The most we accept.
        limit: usize,
    },
    /// The field has a value that it cannot have; the text says which rule it breaks.
    Invalid(&'static str),
}

impl DecodeError {
    /// An error in `field` of `what`, which begins at `offset`.
    pub const fn new(what: &'static str, field: &'static str, offset: usize, cause: Cause) -> Self {
        Self { what, field, offset, cause }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bad {}: {} at byte {} ", self.what, self.field, self.offset)?;
        match self.cause {
            Cause::Truncated { needed, had } => write!(f, "needs {needed} bytes, {had} are left"),
            Cause::TooLong { length, limit } => write!(f, "has {length} bytes, at most {limit} are accepted"),
            Cause::TooMany { count, limit } => write!(f, "has {count} items, at most {limit} are accepted"),
            Cause::Invalid(rule) => f.write_str(rule),
        }
    }
}

impl std::error::Error for DecodeError {}
