//! A byte stream cut anywhere, to frames.
//!
//! Bounds: a payload's length is checked against the limit as soon as its header is whole, before a byte of
//! the payload is waited or allocated for.

use bytes::{Buf, BytesMut};

use super::{Cause, DecodeError, Frame, Frames, HEADER_LEN, Header};

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
    /// How many messages the latest batch had: the next one will be like it.
    latest: usize,
}

impl FrameReader {
    /// Payloads above `limit` bytes are refused.
    pub fn new(limit: usize) -> Self {
        Self { buffer: BytesMut::new(), limit, latest: 0 }
    }

    /// Takes bytes from the link. Then call [`next_batch`](Self::next_batch), or [`next_frame`](Self::next_frame) for one
    /// message at a time, until it yields nothing.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.buffer.is_empty() {
            // What was there belongs to the messages now.
            self.buffer = BytesMut::from(bytes);
        } else {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// How many bytes of an unfinished message are held.
    pub fn pending(&self) -> usize {
        self.buffer.len()
    }

    /// All whole messages. After an error the stream cannot be trusted: close the link. Messages before it come first, and
    /// from then on every call repeats it.
    pub fn next_batch(&mut self) -> Result<Frames, DecodeError> {
        let mut heads = Vec::with_capacity(self.latest);
        let mut at = 0;
        let more = loop {
            match self.message_at(at) {
                Ok(Message::Whole(header, length)) => {
                    heads.push((header, (at + HEADER_LEN) as u32, length as u32));
                    at += HEADER_LEN + length;
                }
                Ok(Message::Cut(missing)) => break missing,
                Err(error) if heads.is_empty() => return Err(error),
                Err(_) => break 0,
            }
        };
        self.latest = heads.len();
        if at == self.buffer.len() {
            // All of it belongs to the messages: an idle link keeps nothing.
            return Ok(Frames::new(heads, std::mem::take(&mut self.buffer).freeze()));
        }
        let memory = self.buffer.split_to(at).freeze();
        self.buffer.reserve(more);
        Ok(Frames::new(heads, memory))
    }

    /// The next whole message, else as [`next_batch`](Self::next_batch).
    pub fn next_frame(&mut self) -> Result<Option<Frame>, DecodeError> {
        match self.message_at(0)? {
            Message::Whole(header, length) => {
                self.buffer.advance(HEADER_LEN);
                Ok(Some(Frame { header, payload: self.buffer.split_to(length).freeze() }))
            }
            Message::Cut(missing) => {
                self.buffer.reserve(missing);
                Ok(None)
            }
        }
    }

    fn message_at(&self, at: usize) -> Result<Message, DecodeError> {
        let bytes = &self.buffer[at..];
        if bytes.len() < HEADER_LEN {
            return Ok(Message::Cut(0));
        }
        let (header, length) = Header::decode(bytes)?;
        if length > self.limit {
            let cause = Cause::TooLong { length, limit: self.limit };
            return Err(DecodeError::new("message", "payload length", 19, cause));
        }
        match (HEADER_LEN + length).checked_sub(bytes.len()) {
            None | Some(0) => Ok(Message::Whole(header, length)),
            Some(missing) => Ok(Message::Cut(missing)),
        }
    }
}

/// What is there of a message.
enum Message {
    /// All of it; the payload has that many bytes.
    Whole(Header, usize),
    /// Not all of it; so many bytes are missing, if that is known yet.
    Cut(usize),
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
            let mut got = Vec::new();
            for chunk in bytes.chunks(piece) {
                reader.push(chunk);
                let batch = reader.next_batch().expect("frames within the limit");
                got.extend(batch.iter().map(|frame| frame.to_frame()));
            }
            assert_eq!((got, reader.pending()), (frames(), 0), "batches of pieces of {piece}");
        }
    }

    #[test]
    fn a_batch_gives_what_came_before_an_error_and_then_the_error() {
        let mut bytes = BytesMut::new();
        frames().iter().for_each(|frame| frame.encode(&mut bytes));
        bytes.extend_from_slice(&[0xff; HEADER_LEN]);
        let mut reader = FrameReader::new(500);
        reader.push(&bytes);
        let batch = reader.next_batch().expect("three frames within the limit");
        assert_eq!(batch.iter().map(|frame| frame.to_frame()).collect::<Vec<_>>(), frames());
        let error = reader.next_batch().expect_err("four gigabytes");
        assert_eq!(error.field, "payload length");
        assert_eq!(reader.next_batch().err(), Some(error));
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
