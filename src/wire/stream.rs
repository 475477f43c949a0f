//! A byte stream cut anywhere, to frames.
//!
//! Bounds: a payload's length is checked against the limit as soon as its header is whole, before a byte of
//! the payload is waited or allocated for.

use bytes::{Buf, BytesMut};

use super::{Cause, DecodeError, Frame, HEADER_LEN, Header};

/// The payload limit on a link (64 KiB), unless its owner sets another.
pub const PAYLOAD_LIMIT: usize = 64 * 1024;

/// Collects bytes from a link and yields whole messages. It holds one message at most beyond what it was last given.
///
/// Payloads are slices of what was read, not copies; frames from one read share their memory. Who keeps a
/// small payload for long copies it, so that it does not hold the whole read.
#[derive(Debug)]
pub struct FrameReader {
    buffer: BytesMut,
    limit: usize,
}

impl FrameReader {
    /// Payloads above `limit` bytes are refused.
    pub fn new(limit: usize) -> Self {
        Self { buffer: BytesMut::new(), limit }
    }

    /// Takes bytes from the link. Then call [`next_frame`](Self::next_frame) until it yields nothing.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// How many bytes of an unfinished message are held.
    pub fn pending(&self) -> usize {
        self.buffer.len()
    }

    /// The next whole message. After an error the stream cannot be trusted: close the link. Until then every
    /// call repeats the error.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, DecodeError> {
        if self.buffer.len() < HEADER_LEN {
            return Ok(None);
        }
        let (header, length) = Header::decode(&self.buffer)?;
        if length > self.limit {
            let cause = Cause::TooLong { length, limit: self.limit };
            return Err(DecodeError::new("message", "payload length", 19, cause));
        }
        if self.buffer.len() < HEADER_LEN + length {
            self.buffer.reserve(HEADER_LEN + length - self.buffer.len());
            return Ok(None);
        }
        self.buffer.advance(HEADER_LEN);
        Ok(Some(Frame { header, payload: self.buffer.split_to(length).freeze() }))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::wire::{Guid, Kind};

    fn frames() -> Vec<Frame> {
        let payloads = [Bytes::new(), Bytes::from_static(b"\0\0hi\0"), Bytes::from(vec![7; 500])];
        let frames = payloads.into_iter().enumerate();
        frames.map(|(i, payload)| Frame::new(Guid([i as u8; 16]), Kind::Query, 4, payload)).collect()
    }

    #[test]
    fn a_stream_cut_into_pieces_of_any_length_gives_the_same_frames() {
        let mut bytes = BytesMut::new();
        frames().iter().for_each(|frame| frame.encode(&mut bytes));
        for piece in 1..=bytes.len() {
            let mut reader = FrameReader::new(500);
            let mut got = Vec::new();
            for chunk in bytes.chunks(piece) {
                reader.push(chunk);
                while let Some(frame) = reader.next_frame().expect("frames within the limit") {
                    got.push(frame);
                }
            }
            assert_eq!((got, reader.pending()), (frames(), 0), "pieces of {piece}");
        }
    }

    #[test]
    fn a_length_above_the_limit_is_an_error_before_any_payload_comes() {
        let mut header = [0; HEADER_LEN];
        header[19..].copy_from_slice(&(1u32 << 30).to_le_bytes());
        let mut reader = FrameReader::new(PAYLOAD_LIMIT);
        reader.push(&header[..22]);
        assert_eq!(reader.next_frame(), Ok(None));
        reader.push(&header[22..]);
        let error = reader.next_frame().expect_err("a gigabyte");
        let words = "bad message: payload length at byte 19 has 1073741824 bytes, at most 65536 are accepted";
        assert_eq!(error.to_string(), words);
        assert_eq!(reader.next_frame(), Err(error));
    }

    #[test]
    fn a_payload_of_exactly_the_limit_passes() {
        let mut bytes = BytesMut::new();
        let frame = Frame::new(Guid([1; 16]), Kind::Other(0xee), 1, Bytes::from(vec![9; 64]));
        frame.encode(&mut bytes);
        let mut reader = FrameReader::new(64);
        reader.push(&bytes);
        assert_eq!(reader.next_frame(), Ok(Some(frame)));
        let mut reader = FrameReader::new(63);
        reader.push(&bytes);
        assert!(reader.next_frame().is_err());
    }

    #[test]
    fn small_frames_of_one_read_share_its_memory() {
        let mut bytes = BytesMut::new();
        frames().iter().for_each(|frame| frame.encode(&mut bytes));
        let mut reader = FrameReader::new(500);
        reader.push(&bytes);
        let mut payloads = Vec::new();
        while let Some(frame) = reader.next_frame().expect("frames within the limit") {
            payloads.push(frame.payload);
        }
        let gap = payloads[2].as_ptr() as usize - payloads[1].as_ptr() as usize;
        assert_eq!(gap, payloads[1].len() + HEADER_LEN);
    }
}
