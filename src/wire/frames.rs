//! The messages of one read: a header each, and one piece of memory for all their payloads.
//!
//! Most of what a servent reads are copies of what it has seen. They are known by their headers and go no farther, so
//! that nothing is counted or copied for their payloads. Who sends a message on, or keeps it, takes a [`Frame`].

use bytes::{BufMut, Bytes, BytesMut};

use super::{Frame, Header};

/// Messages in the order in which they came.
#[derive(Clone, Debug, Default)]
pub struct Frames {
    /// Each with the place and the length of its payload.
    heads: Vec<(Header, u32, u32)>,
    memory: Bytes,
}

/// One of them, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct FrameRef<'a> {
    /// The header.
    pub header: Header,
    /// The payload.
    pub payload: &'a [u8],
    memory: &'a Bytes,
}

impl Frames {
    /// Messages whose payloads are in `memory`: a header each, and where its payload begins and how long it is.
    pub(super) fn new(heads: Vec<(Header, u32, u32)>, memory: Bytes) -> Self {
        Self { heads, memory }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.heads.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// One after the other.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = FrameRef<'_>> {
        self.heads.iter().map(|&(header, at, len)| {
            let payload = &self.memory[at as usize..][..len as usize];
            FrameRef { header, payload, memory: &self.memory }
        })
    }
}

impl FrameRef<'_> {
    /// The message on its own. Its payload shares the memory of the read: who keeps a small one for long copies it, so
    /// that it does not hold all of it.
    pub fn to_frame(&self) -> Frame {
        Frame { header: self.header, payload: self.memory.slice_ref(self.payload) }
    }

    /// How many bytes it took on the link.
    pub fn wire_len(&self) -> usize {
        super::HEADER_LEN + self.payload.len()
    }
}

impl From<Frame> for Frames {
    fn from(frame: Frame) -> Self {
        Self { heads: vec![(frame.header, 0, frame.payload.len() as u32)], memory: frame.payload }
    }
}

impl FromIterator<Frame> for Frames {
    fn from_iter<I: IntoIterator<Item = Frame>>(frames: I) -> Self {
        let mut memory = BytesMut::new();
        let place = |frame: Frame| {
            let at = memory.len();
            memory.put_slice(&frame.payload);
            (frame.header, at as u32, frame.payload.len() as u32)
        };
        let heads = frames.into_iter().map(place).collect();
        Self { heads, memory: memory.freeze() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Guid, Kind};

    #[test]
    fn what_goes_in_comes_out_in_order() {
        let payloads = [Bytes::new(), Bytes::from_static(b"one"), Bytes::new(), Bytes::from_static(b"another")];
        let frame = |(n, payload)| Frame::new(Guid([n; 16]), Kind::Query, n, payload);
        let frames: Vec<Frame> = (0..).zip(payloads).map(frame).collect();
        let batch: Frames = frames.iter().cloned().collect();
        assert_eq!((batch.len(), batch.is_empty()), (4, false));
        assert_eq!(batch.iter().map(|frame| frame.to_frame()).collect::<Vec<_>>(), frames);
        let lengths = |batch: &Frames| batch.iter().map(|frame| frame.wire_len()).sum::<usize>();
        assert_eq!(lengths(&batch), frames.iter().map(Frame::wire_len).sum::<usize>());
        for frame in frames {
            let alone = Frames::from(frame.clone());
            assert_eq!(alone.iter().map(|frame| frame.to_frame()).collect::<Vec<_>>(), [frame]);
        }
        assert!(Frames::default().is_empty());
    }
}
