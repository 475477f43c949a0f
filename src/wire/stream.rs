//! A byte stream cut anywhere, to frames.

use super::{DecodeError, Frame};

/// Collects bytes from a link and yields whole messages. It holds one message at most beyond what it was last given.
#[derive(Debug)]
pub struct FrameReader {}

impl FrameReader {
    /// Payloads above `limit` bytes are refused.
    pub fn new(_limit: usize) -> Self {
        todo!()
    }
    /// Takes bytes from the link.
    pub fn push(&mut self, _bytes: &[u8]) {
        todo!()
    }
    /// The next whole message. After an error the stream cannot be trusted: close the link.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, DecodeError> {
        todo!()
    }
}
