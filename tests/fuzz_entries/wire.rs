//! The decoders of what peers send.

use bytes::Bytes;
use filbert::transfer::browse::Reader;
use filbert::transfer::upload::{Found, Offer, Wait, place_named, plan, wants_body};
use filbert::wire::ggep::Ggep;
use filbert::wire::handshake::{self, Head};
use filbert::wire::head::RawHead;
use filbert::wire::hit::{Entry, QueryHit};
use filbert::wire::http::{ByteRange, ContentRange, Request, Response, Target, percent_decode};
use filbert::wire::push::Push;
use filbert::wire::stream::FrameReader;
use filbert::wire::{Frame, Guid, Message, Urn, print};

/// A kind and a payload: what decodes encodes to the same bytes, and all of it prints without a control.
pub fn message(data: &[u8]) {
    let Some((&kind, payload)) = data.split_first() else { return };
    let frame = Frame::new(Guid::default(), kind.into(), 1, Bytes::copy_from_slice(payload));
    if let Ok(message) = Message::decode(frame.header.kind, &frame.payload) {
        assert_eq!(message.encode(), frame.payload);
        match &message {
            Message::QueryHit(hit) => {
                assert_eq!(QueryHit::servent_of(payload), Some(hit.servent));
                let entries: usize = hit.entries.iter().map(Entry::wire_len).sum();
                assert!(entries + 27 <= payload.len(), "{entries} of {}", payload.len());
                hit.entries.iter().for_each(|entry| {
                    assert!(
                        entry.sha1().is_some()
                            || entry.urns.is_empty()
                            || entry.tth().is_some()
                            || entry.blake3().is_some()
                    )
                });
            }
            Message::Push(push) => assert_eq!(Push::servent_of(payload), Some(push.servent)),
            _ => {}
        }
    }
    assert!(print::frame(&frame).chars().all(|c| c == '\n' || !c.is_control()));
}

/// A block of extensions: what is read is written so that it reads the same, and no value is beyond its bound.
pub fn ggep(data: &[u8]) {
    let Ok((ggep, taken)) = Ggep::decode(data) else { return };
    assert!(taken <= data.len());
    let mut out = Vec::new();
    ggep.encode(&mut out);
    assert!(out.len() <= taken);
    assert_eq!(Ggep::decode(&out), Ok((ggep.clone(), out.len())));
    for extension in &ggep.extensions {
        if let Ok(value) = extension.value() {
            assert!(value.len() <= extension.raw.len().max(filbert::wire::ggep::MAX_INFLATED));
        }
    }
}

/// A head, and every first line that it may be: what is read comes back, and never more is taken than allowed.
pub fn head(data: &[u8]) {
    let Ok(Some((head, taken))) = RawHead::decode(data, handshake::HEAD_LIMIT) else { return };
    assert!(taken <= data.len() && taken <= handshake::HEAD_LIMIT);
    let again = head.encode();
    assert_eq!(RawHead::decode(&again, again.len()), Ok(Some((head.clone(), again.len()))));
    if let Ok(leg) = Head::parse(head.clone()) {
        assert_eq!(Head::parse(reread(&leg.encode())).as_ref(), Ok(&leg));
    }
    if let Ok(request) = Request::parse(head.clone()) {
        assert_eq!(Request::parse(reread(&request.encode())).as_ref(), Ok(&request));
        answers(&request);
    }
    if let Ok(response) = Response::parse(head) {
        assert_eq!(Response::parse(reread(&response.encode())).as_ref(), Ok(&response));
        let _ = (response.content_range(), response.content_length(), response.is_chunked(), response.keep_alive());
    }
}

fn reread(bytes: &[u8]) -> RawHead {
    let (head, taken) = RawHead::decode(bytes, bytes.len()).expect("a possible head").expect("a whole head");
    assert_eq!(taken, bytes.len());
    head
}

/// What we answer to a request: a head that can be read, and a body that it announces rightly.
fn answers(request: &Request) {
    let digests = filbert::wire::Digests::of(b"");
    let _ = place_named(request);
    let full = Wait { place: None, limit: 16, eta: Some(30) };
    for (size, digests) in [(0, None), (1, Some(digests)), (4_354_130, None), (u64::MAX, Some(digests))] {
        let offer = Offer { name: "blue \u{202e}train.flac".into(), size, digests, part: None };
        for found in [Found::Offer(&offer), Found::Busy(&offer, &full), Found::Nothing] {
            let plan = plan(request, found, "filbert/0");
            assert_eq!(Response::parse(reread(&plan.head.encode())).as_ref(), Ok(&plan.head));
            let length = plan.head.content_length().expect("a length");
            match (&plan.body, plan.head.content_range()) {
                (Some(body), Some(range)) => {
                    let range = range.expect("a range");
                    assert_eq!((range.first, range.last + 1, range.total), (body.start, body.end, Some(size)));
                    assert_eq!((plan.head.code, length), (206, range.length()));
                }
                (Some(body), None) => assert_eq!((plan.head.code, body.clone(), length), (200, 0..size, size)),
                (None, _) => assert!(!wants_body(request) || length == 0, "{plan:?}"),
            }
            assert!(plan.body.is_none() || matches!(found, Found::Offer(_)));
        }
    }
}

/// Text that names something: a content name, a target, a range. What is read is written so that it reads the
/// same.
pub fn urn(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(urn) = text.parse::<Urn>() {
        assert_eq!(urn.to_string().parse(), Ok(urn));
    }
    let target = Target::of(text);
    if target != Target::Unknown {
        assert_eq!(Target::of(&target.to_string()), target);
    }
    if let Ok(range) = ByteRange::parse(text) {
        assert_eq!(ByteRange::parse(&range.to_string()), Ok(range));
        assert!(range.resolve(u64::MAX).is_none_or(|bytes| bytes.start < bytes.end));
    }
    if let Ok(range) = ContentRange::parse(text) {
        assert_eq!(ContentRange::parse(&range.to_string()), Ok(range));
    }
    assert!(percent_decode(text).len() <= text.len());
}

/// The length of a piece, and a stream: cut into such pieces it gives the same frames, and the same error.
pub fn stream(data: &[u8]) {
    const LIMIT: usize = 4096;
    let Some((&piece, data)) = data.split_first() else { return };
    let read = |piece: usize| {
        let mut reader = FrameReader::new(LIMIT);
        let mut frames = Vec::new();
        for chunk in data.chunks(piece) {
            reader.push(chunk);
            loop {
                match reader.next_frame() {
                    Ok(Some(frame)) => frames.push(frame),
                    Ok(None) => break,
                    Err(error) => return (frames, Some(error)),
                }
            }
        }
        assert!(reader.pending() < LIMIT + filbert::wire::HEADER_LEN);
        (frames, None)
    };
    let whole = read(data.len().max(1));
    assert_eq!(read(usize::from(piece).max(1)), whole);
    // The list of a host that is browsed, plain and deflated.
    let list = |piece: usize, deflated| {
        let (mut reader, mut hits) = (Reader::new(deflated), Vec::new());
        let read = data.chunks(piece).try_for_each(|chunk| reader.push(chunk, |hit| hits.push(hit)));
        (hits, read.and_then(|()| reader.end()).is_ok())
    };
    assert_eq!(list(usize::from(piece).max(1), false), list(data.len().max(1), false));
    let (hits, _) = list(usize::from(piece).max(1), true);
    hits.iter().flat_map(|hit| &hit.entries).for_each(|entry| assert!(entry.alternates().len() <= 10));
    let (mut reader, mut frames, mut error) = (FrameReader::new(LIMIT), Vec::new(), None);
    'read: for chunk in data.chunks(usize::from(piece).max(1)) {
        reader.push(chunk);
        // Messages before an error come first.
        loop {
            match reader.next_batch() {
                Ok(batch) if batch.is_empty() => break,
                Ok(batch) => frames.extend(batch.iter().map(|frame| frame.to_frame())),
                Err(why) => {
                    error = Some(why);
                    break 'read;
                }
            }
        }
    }
    assert_eq!((frames, error), whole, "one by one, and all at once");
    for frame in whole.0 {
        assert!(frame.payload.len() <= LIMIT);
        let _ = print::frame(&frame);
    }
}
