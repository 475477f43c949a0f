//! A real client's bytes, taken apart, printed, and put together again (`tests/vectors/README.md`).

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;

use bytes::{Bytes, BytesMut};
use filbert::wire::handshake::{self, Head};
use filbert::wire::head::RawHead;
use filbert::wire::hit::QueryHit;
use filbert::wire::http::{self, ByteRange, ContentRange, Request, Response, Target};
use filbert::wire::query::Flags;
use filbert::wire::stream::{FrameReader, PAYLOAD_LIMIT};
use filbert::wire::vendor::{Said, Vendor};
use filbert::wire::{Frame, Guid, Kind, Message, Sha1, TreeKind, Urn, print, thex};

const GTKG: &str = "gtk-gnutella/1.2.3-14-ga331a-dirty (2024-03-03; Topless; Linux x86_64)";

/// The bytes of a recording; the long ones are stored compressed.
fn vector(name: &str) -> Bytes {
    let path = format!("{}/tests/vectors/{name}.bin", env!("CARGO_MANIFEST_DIR"));
    if let Ok(bytes) = fs::read(&path) {
        return bytes.into();
    }
    let path = path + ".gz";
    let mut bytes = Vec::new();
    let file = fs::File::open(&path).expect(&path);
    flate2::read::GzDecoder::new(file).read_to_end(&mut bytes).expect(&path);
    bytes.into()
}

/// One direction of a Gnutella link: the heads that its sender sent, and then its messages, inflated if it
/// said that it compresses them.
fn link(name: &str) -> (Vec<Head>, Bytes) {
    let mut bytes = vector(name);
    let mut heads = Vec::new();
    while bytes.starts_with(b"GNUTELLA") {
        let (raw, taken) =
            RawHead::decode(&bytes, handshake::HEAD_LIMIT).expect("a possible head").expect("a whole head");
        let head = Head::parse(raw).expect("a handshake");
        assert_eq!(head.encode(), bytes[..taken], "{name}: the head comes back byte for byte");
        heads.push(head);
        bytes = bytes.slice(taken..);
    }
    // What the foreign peer received was stored inflated.
    let stored = name.ends_with(".in");
    if !stored && heads.iter().any(|head| head.headers().has_token("Content-Encoding", "deflate")) {
        bytes = inflated(&bytes);
    }
    (heads, bytes)
}

/// A zlib stream that was cut off when the recording ended: all that it holds.
fn inflated(bytes: &[u8]) -> Bytes {
    let mut out = Vec::new();
    let mut buffer = [0; 4096];
    let mut decoder = flate2::read::ZlibDecoder::new(bytes);
    while let Ok(n @ 1..) = decoder.read(&mut buffer) {
        out.extend_from_slice(&buffer[..n]);
    }
    out.into()
}

/// All messages of a link; they must fill it exactly, decode, print, and come back byte for byte.
fn frames(bytes: &[u8]) -> Vec<Frame> {
    let mut reader = FrameReader::new(PAYLOAD_LIMIT);
    reader.push(bytes);
    let mut frames = Vec::new();
    let mut again = BytesMut::new();
    while let Some(frame) = reader.next_frame().expect("messages within the limit") {
        let message = Message::decode(frame.header.kind, &frame.payload).expect("a message that decodes");
        assert_eq!(message.encode(), frame.payload, "{message:?}");
        let text = print::frame(&frame);
        assert!(text.lines().next().is_some_and(|line| line.contains(&frame.header.guid.to_string())));
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text}");
        Frame { payload: message.encode(), ..frame.clone() }.encode(&mut again);
        frames.push(frame);
    }
    assert_eq!(again, bytes);
    frames
}

fn kinds(frames: &[Frame]) -> BTreeMap<Kind, usize> {
    let mut kinds = BTreeMap::new();
    frames.iter().for_each(|frame| *kinds.entry(frame.header.kind).or_default() += 1);
    kinds
}

fn only(frames: &[Frame], kind: Kind) -> Vec<&Frame> {
    frames.iter().filter(|frame| frame.header.kind == kind).collect()
}

fn hits(frames: &[Frame]) -> Vec<QueryHit> {
    let hits = only(frames, Kind::QueryHit).into_iter();
    hits.map(|frame| QueryHit::decode(&frame.payload).expect("a hit")).collect()
}

fn sha1(text: &str) -> Option<Sha1> {
    Some(text.parse().expect(text))
}

const LINKS: [&str; 10] = [
    "04-gtkg2-ultra-to-gtkg1-ultra-plain.c2s",
    "04-gtkg2-ultra-to-gtkg1-ultra-plain.s2c",
    "05-gtkg3-leaf-to-gtkg1-ultra-deflate.c2s",
    "05-gtkg3-leaf-to-gtkg1-ultra-deflate.s2c",
    "08-foreign-ultra-sends-push-to-gtkg.in",
    "08-foreign-ultra-sends-push-to-gtkg.out",
    "13-foreign-leaf-answers-and-gets-push.in",
    "13-foreign-leaf-answers-and-gets-push.out",
    "16-filbert-to-gtkg-mixed-session.c2s",
    "16-filbert-to-gtkg-mixed-session.s2c",
];

/// HSEP, which we do not speak.
const HSEP: Kind = Kind::Other(0xcd);

#[test]
fn every_link_comes_back_byte_for_byte_and_holds_these_messages() {
    use Kind::{Bye, Ping, Pong, Push, Query, QueryHit, RouteTableUpdate, Vendor};
    let expected: [(usize, &[(Kind, usize)]); 10] = [
        (2, &[(Ping, 3), (Pong, 4), (RouteTableUpdate, 2), (Vendor, 4), (Query, 1), (HSEP, 1)]),
        (1, &[(Ping, 2), (Pong, 6), (RouteTableUpdate, 4), (Vendor, 4), (Query, 1), (QueryHit, 1), (HSEP, 1)]),
        (2, &[(Ping, 1), (RouteTableUpdate, 2), (Vendor, 4), (Query, 1), (HSEP, 1)]),
        (1, &[(Pong, 3), (Vendor, 4), (QueryHit, 1), (HSEP, 1)]),
        (1, &[(Pong, 1), (RouteTableUpdate, 4), (Vendor, 2), (QueryHit, 1)]),
        (2, &[(Ping, 1), (RouteTableUpdate, 2), (Vendor, 1), (Push, 1), (Query, 1)]),
        (1, &[(Pong, 1), (Vendor, 2), (Push, 1), (Query, 1)]),
        (2, &[(Ping, 1), (RouteTableUpdate, 2), (Vendor, 1), (QueryHit, 1)]),
        (2, &[(Ping, 3), (Pong, 8), (Bye, 1), (Query, 12), (QueryHit, 3)]),
        (1, &[(Ping, 8), (Pong, 3), (Query, 10), (QueryHit, 9)]),
    ];
    for (name, (heads, messages)) in LINKS.into_iter().zip(expected) {
        let (got, bytes) = link(name);
        assert_eq!(got.len(), heads, "{name}");
        assert_eq!(kinds(&frames(&bytes)), messages.iter().copied().collect(), "{name}");
    }
}

#[test]
fn a_link_cut_into_pieces_of_any_length_gives_the_same_messages() {
    for name in LINKS {
        let (_, bytes) = link(name);
        let expected = frames(&bytes);
        for piece in 1..=bytes.len().min(700) {
            let mut reader = FrameReader::new(PAYLOAD_LIMIT);
            let mut got = Vec::new();
            for chunk in bytes.chunks(piece) {
                reader.push(chunk);
                while let Some(frame) = reader.next_frame().expect("messages within the limit") {
                    got.push(frame);
                }
            }
            assert_eq!((got.len(), reader.pending()), (expected.len(), 0), "{name} in pieces of {piece}");
            assert_eq!(got, expected, "{name} in pieces of {piece}");
        }
    }
}

#[test]
fn a_link_cut_at_every_byte_gives_the_messages_before_the_cut_and_no_more() {
    for name in LINKS {
        let (_, bytes) = link(name);
        let expected = frames(&bytes);
        for cut in 0..bytes.len() {
            let mut reader = FrameReader::new(PAYLOAD_LIMIT);
            reader.push(&bytes[..cut]);
            let mut taken = 0;
            let mut whole = expected.iter();
            while let Some(frame) = reader.next_frame().expect("messages within the limit") {
                taken += frame.wire_len();
                assert_eq!(Some(&frame), whole.next());
            }
            assert_eq!(taken + reader.pending(), cut);
            assert!(whole.next().is_some_and(|frame| taken + frame.wire_len() > cut));
        }
    }
}

#[test]
fn every_truncation_of_every_payload_is_an_error_or_comes_back_as_it_was() {
    let mut errors = 0;
    for name in LINKS {
        for frame in frames(&link(name).1) {
            for cut in 0..frame.payload.len() {
                let frame = Frame { payload: frame.payload.slice(..cut), ..frame.clone() };
                match Message::decode(frame.header.kind, &frame.payload) {
                    Ok(message) => assert_eq!(message.encode(), frame.payload),
                    Err(error) => {
                        assert!(error.offset <= cut, "{error} in {cut} bytes");
                        errors += 1;
                    }
                }
                assert!(print::frame(&frame).starts_with(&format!("{:?}", frame.header.kind)[..3]));
            }
        }
    }
    assert!(errors > 1000, "{errors}");
}

#[test]
fn the_handshake_of_two_ultrapeers_says_who_they_are() {
    let (dialler, _) = link(LINKS[0]);
    let (listener, _) = link(LINKS[1]);
    let Head::Connect { version, headers } = &dialler[0] else { panic!("the first leg is a connect") };
    assert_eq!(*version, (0, 6));
    assert_eq!(headers.get("user-agent"), Some(GTKG));
    assert_eq!(headers.get("Node"), Some("100.64.2.1:6347"));
    assert_eq!(headers.get("GUID"), Some("783531023928aeab2c9896236dbcd128"));
    assert!(headers.has_token("X-Features", "HSEP/0.2") && !headers.has_token("X-Features", "tls/1.0"));
    assert_eq!(headers.0.len(), 19);
    let Head::Status { code, reason, headers } = &listener[0] else { panic!("the second leg is a status") };
    assert_eq!((*code, reason.as_str()), (200, "OK"));
    assert_eq!(headers.get("X-Ultrapeer-Needed"), Some("True"));
    let Head::Status { code: 200, headers, .. } = &dialler[1] else { panic!("the third leg is a 200") };
    assert!(headers.0.is_empty());
}

#[test]
fn what_filbert_said_to_the_client_and_the_client_to_filbert_fits_together() {
    let (ours, theirs) = (link(LINKS[8]), link(LINKS[9]));
    assert_eq!(ours.0[0].headers().get("User-Agent"), Some("filbert/0.1.0"));
    assert!(theirs.0[0].headers().get("Content-Encoding").is_none(), "what was not offered is not done");
    let (ours, theirs) = (frames(&ours.1), frames(&theirs.1));
    for (asked, answered) in [(&ours, &theirs), (&theirs, &ours)] {
        let queries: Vec<Guid> = only(asked, Kind::Query).iter().map(|frame| frame.header.guid).collect();
        let hits = only(answered, Kind::QueryHit);
        assert!(hits.len() >= 3 && hits.iter().all(|hit| queries.contains(&hit.header.guid)));
        let pings: Vec<Guid> = only(asked, Kind::Ping).iter().map(|frame| frame.header.guid).collect();
        let pongs = only(answered, Kind::Pong);
        assert!(!pongs.is_empty() && pongs.iter().all(|pong| pings.contains(&pong.header.guid)));
    }
    // Of what the client passes on, one hit is of a third servent, a filbert: it has all names of its content.
    let relayed = hits(&theirs).into_iter().find(|hit| hit.qhd.as_ref().is_some_and(|qhd| &qhd.vendor == b"FLBT"));
    let entry = &relayed.expect("a hit of another filbert").entries[0];
    assert_eq!(entry.name.to_str(), "chestnut march.flac");
    assert!(entry.sha1().is_some() && entry.tth().is_some());
    assert!(entry.urns.iter().any(|urn| urn.blake3().is_some()));
}

/// Two links of one session of ten minutes: filbert dialled in the first, gtk-gnutella in the second.
const SESSION: [&str; 4] = [
    "17-filbert-dials-gtkg-ten-minutes.c2s",
    "17-filbert-dials-gtkg-ten-minutes.s2c",
    "18-gtkg-dials-filbert-ten-minutes.c2s",
    "18-gtkg-dials-filbert-ten-minutes.s2c",
];

#[test]
fn ten_minutes_of_mixed_traffic_come_back_byte_for_byte() {
    use Kind::{Bye, Ping, Pong, Query, QueryHit};
    let expected: [&[(Kind, usize)]; 4] = [
        &[(Ping, 3), (Pong, 55), (Bye, 1), (Query, 111), (QueryHit, 134)],
        &[(Ping, 55), (Pong, 3), (Query, 134), (QueryHit, 333)],
        &[(Ping, 56), (Pong, 3), (Bye, 1), (Query, 136), (QueryHit, 330)],
        &[(Ping, 3), (Pong, 56), (Query, 110), (QueryHit, 136)],
    ];
    let sides = SESSION.map(|name| {
        let (heads, bytes) = link(name);
        assert_eq!(heads.len(), if name.ends_with("c2s") { 2 } else { 1 }, "{name}: CONNECT, 200, 200");
        frames(&bytes)
    });
    for ((name, frames), expected) in SESSION.iter().zip(&sides).zip(expected) {
        assert_eq!(kinds(frames), expected.iter().copied().collect(), "{name}");
    }
    // Who dialled said Bye, with nothing behind it.
    for dialler in [&sides[0], &sides[2]] {
        let last = dialler.last().expect("messages");
        assert_eq!(last.header.kind, Bye);
        let Ok(Message::Bye(bye)) = Message::decode(Bye, &last.payload) else { panic!("a Bye") };
        assert_eq!(bye.code, 200, "{bye:?}");
    }
    // On each link every hit and every pong has the GUID of what it answers.
    for pair in sides.chunks(2) {
        for (asked, answered) in [(&pair[0], &pair[1]), (&pair[1], &pair[0])] {
            for (question, answer) in [(Query, QueryHit), (Ping, Pong)] {
                let asked: Vec<Guid> = only(asked, question).iter().map(|frame| frame.header.guid).collect();
                assert!(only(answered, answer).iter().all(|frame| asked.contains(&frame.header.guid)));
            }
        }
    }
    // A query of ours that crossed the client has one TTL less, and lost the `urn:` that asks for any content name.
    let ours = only(&sides[0], Query);
    let passed_on = only(&sides[2], Query);
    let crossed = ours.iter().filter(|ours| {
        let same = |there: &&&Frame| there.header.guid == ours.header.guid;
        passed_on.iter().find(same).is_some_and(|there| {
            assert_eq!((there.header.ttl, there.header.hops), (ours.header.ttl - 1, ours.header.hops + 1));
            ours.payload.strip_suffix(b"urn:\0") == Some(&there.payload[..])
        })
    });
    assert_eq!(crossed.count(), ours.len());
}

/// What gtk-gnutella says to its own kind: a leaf, an ultrapeer and a firewalled leaf on their ultrapeer's links.
const AMONG_THEMSELVES: [&str; 8] = [
    "19-gtkg-leaf-to-gtkg-ultra.c2s",
    "19-gtkg-leaf-to-gtkg-ultra.s2c",
    "20-gtkg-ultra-to-gtkg-ultra-deflate.c2s",
    "20-gtkg-ultra-to-gtkg-ultra-deflate.s2c",
    "21-firewalled-gtkg-leaf-to-gtkg-ultra.c2s",
    "21-firewalled-gtkg-leaf-to-gtkg-ultra.s2c",
    "22-foreign-pushes-a-firewalled-gtkg.out",
    "22-foreign-pushes-a-firewalled-gtkg.in",
];

#[test]
fn what_gtk_gnutella_says_to_its_own_kind_comes_back_byte_for_byte() {
    for name in AMONG_THEMSELVES {
        let (heads, bytes) = link(name);
        assert!(!heads.is_empty() && !frames(&bytes).is_empty(), "{name}");
    }
}

#[test]
fn a_leafs_table_is_sent_whole_and_then_as_flips_of_one_bit() {
    use filbert::wire::qrp::RouteTableUpdate::{self, Patch, Reset};
    let frames = frames(&link(AMONG_THEMSELVES[0]).1);
    let updates: Vec<RouteTableUpdate> = only(&frames, Kind::RouteTableUpdate)
        .into_iter()
        .map(|frame| RouteTableUpdate::decode(&frame.payload).expect("an update"))
        .collect();
    let [Reset { slots: 16_384, infinity: 2 }, whole, change] = &updates[..] else { panic!("{updates:?}") };
    let Patch { sequence: 1, count: 1, compressor: 1, bits: 4, data } = whole else { panic!("{whole:?}") };
    let table = inflated(data);
    // Four bits, two's complement: -1 takes a slot from infinity 2 to 1, which is "present".
    let present = table.iter().flat_map(|byte| [byte >> 4, byte & 15]).filter(|step| *step == 15).count();
    assert_eq!((table.len(), present), (16_384 / 2, 6), "almond one two bin, and the two names together");
    let Patch { sequence: 1, count: 1, compressor: 1, bits: 1, data } = change else { panic!("{change:?}") };
    let flips = inflated(data);
    let flipped: u32 = flips.iter().map(|byte| byte.count_ones()).sum();
    assert_eq!((flips.len(), flipped), (16_384 / 8, 9), "the words of one more file");
}

#[test]
fn a_firewalled_leaf_asks_for_a_push_proxy_and_gives_when_pushed() {
    use filbert::wire::push::{Giv, Push};
    let (leaf, ultrapeer) = (link(AMONG_THEMSELVES[4]), link(AMONG_THEMSELVES[5]));
    assert_eq!(leaf.0[0].headers().get("X-Ultrapeer"), Some("False"));
    let (leaf, ultrapeer) = (frames(&leaf.1), frames(&ultrapeer.1));
    let has = |frames: &[Frame], start: &[u8]| only(frames, Kind::Vendor).iter().any(|f| f.payload.starts_with(start));
    assert!(has(&leaf, b"BEAR\x07\0\x01\0"), "connect back, to find out whether it is firewalled");
    assert!(
        has(&leaf, b"LIME\x15\0\x01\0") && has(&ultrapeer, b"LIME\x16\0\x02\0"),
        "a push proxy, asked for and granted"
    );

    // The query came, the hit said that a push is needed, the push came down, and the leaf called back.
    let hit = hits(&leaf).remove(0);
    assert_eq!(hit.qhd.as_ref().and_then(|qhd| qhd.push()), Some(true));
    assert!(hit.qhd.as_ref().is_some_and(|qhd| qhd.ggep.has("PUSH")), "with its push proxies");
    let push = Push::decode(&only(&ultrapeer, Kind::Push)[0].payload).expect("a push");
    let sent = frames(&link(AMONG_THEMSELVES[6]).1);
    assert_eq!(only(&sent, Kind::Push)[0].payload, only(&ultrapeer, Kind::Push)[0].payload, "passed on as it was");
    assert_eq!((push.servent, push.index), (hit.servent, hit.entries[0].index));

    let bytes = vector("22-giv.in");
    let (raw, taken) = RawHead::decode(&bytes, http::HEAD_LIMIT).expect("a possible head").expect("a whole head");
    let giv = Giv::parse(&raw.first).expect("a GIV");
    assert_eq!(giv, Giv { index: push.index, servent: push.servent, name: "file".into() });
    assert_eq!(giv.encode(), bytes[..taken]);
    let (response, head) = answer("22-giv.in", &bytes[taken..]);
    assert_eq!((response.code, bytes.len() - taken - head), (206, 1000));
    assert_eq!(response.headers.get("X-Push-Proxies"), Some("100.64.77.1:6346"));
    assert_eq!(requests("22-giv.out").len(), 1);
}

/// Recorded datagrams: from, to, the message.
fn datagrams(name: &str) -> Vec<(String, String, Frame)> {
    let path = format!("{}/tests/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(&path).expect(&path);
    let lines = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let [_, from, to, hex] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("four columns: {line}") };
        let digits = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).expect("ASCII"));
        let bytes: Vec<u8> = digits.map(|pair| u8::from_str_radix(pair, 16).expect("hex")).collect();
        let [frame] = &frames(&bytes)[..] else { panic!("one message: {line}") };
        (from.to_owned(), to.to_owned(), frame.clone())
    });
    lines.collect()
}

#[test]
fn hits_by_udp_are_promised_claimed_with_a_token_and_sent_with_it() {
    let mut asked: BTreeMap<_, (u32, Vec<u8>)> = BTreeMap::new();
    let (mut promised, mut sent) = (BTreeMap::new(), BTreeMap::new());
    let mut pings = Vec::new();
    for (from, to, frame) in datagrams("24-hits-by-udp.hex") {
        let guid = frame.header.guid;
        match frame.header.kind {
            Kind::Vendor => {
                let vendor = Vendor::decode(&frame.payload).expect("a vendor message");
                assert_eq!(vendor.encode(), frame.payload);
                match vendor.said().expect("one that we know") {
                    Said::HitsHere { entries, secure: true } => {
                        assert_eq!(guid.address().to_string(), to, "the GUID of a query names the asker");
                        promised.insert(guid, (from, entries));
                    }
                    Said::HitsPlease { entries, token: Some(token) } => {
                        assert_eq!(promised.get(&guid), Some(&(to, entries)), "all are wanted");
                        assert!([1, 9].contains(&frame.header.ttl), "9: it inflates");
                        asked.insert(guid, (entries.into(), token));
                    }
                    other => panic!("{other:?}"),
                }
            }
            Kind::QueryHit => {
                let hit = QueryHit::decode(&frame.payload).expect("a hit");
                assert!(frame.wire_len() <= 1200 && frame.header.ttl == 1);
                let (_, token) = asked.get(&guid).expect("a claim");
                assert_eq!(hit.qhd.as_ref().and_then(|qhd| qhd.token()).as_ref(), Some(token));
                *sent.entry(guid).or_insert(0) += hit.entries.len() as u32;
            }
            Kind::Ping => pings.push((to, guid)),
            Kind::Pong => assert!(pings.contains(&(from, guid)), "a pong for a ping"),
            other => panic!("{other:?}"),
        }
    }
    let wanted: BTreeMap<_, _> = asked.iter().map(|(guid, (entries, _))| (*guid, *entries)).collect();
    assert_eq!(sent, wanted);
    assert_eq!(wanted.len(), 3);
}

#[test]
fn every_datagram_is_one_message_and_comes_back_byte_for_byte() {
    let mut kinds = BTreeMap::new();
    for (_, _, frame) in datagrams("23-udp-of-a-gtkg-ultra.hex") {
        *kinds.entry(frame.header.kind).or_insert(0) += 1;
    }
    assert_eq!(kinds, BTreeMap::from([(Kind::Ping, 18), (Kind::Pong, 7), (Kind::Vendor, 5)]));
}

#[test]
fn the_handshake_of_a_leaf_offers_and_takes_compression() {
    let (leaf, _) = link(LINKS[2]);
    let (ultrapeer, _) = link(LINKS[3]);
    assert_eq!(leaf[0].headers().get("X-Ultrapeer"), Some("False"));
    assert!(leaf[0].headers().has_token("Accept-Encoding", "deflate"));
    assert!(ultrapeer[0].headers().has_token("Content-Encoding", "deflate"));
    assert!(leaf[1].headers().has_token("Content-Encoding", "deflate"));
}

#[test]
fn a_handshake_is_incomplete_until_its_last_byte() {
    for name in LINKS {
        let bytes = vector(name);
        let limit = handshake::HEAD_LIMIT;
        let (head, end) = RawHead::decode(&bytes, limit).expect("a possible head").expect("a whole head");
        for cut in 0..end {
            assert_eq!(RawHead::decode(&bytes[..cut], limit), Ok(None), "{name} at {cut}");
        }
        assert_eq!(RawHead::decode(&bytes[..end], limit), Ok(Some((head, end))));
        assert!(RawHead::decode(&bytes, end - 1).is_err());
    }
}

#[test]
fn an_ultrapeers_query_is_answered_with_a_cobs_encoded_bitprint() {
    let asked = frames(&link(LINKS[0]).1);
    let answered = frames(&link(LINKS[1]).1);
    let asked = only(&asked, Kind::Query)[0].clone();
    let Ok(Message::Query(query)) = Message::decode(Kind::Query, &asked.payload) else { panic!("a query") };
    assert_eq!(query.text.to_str(), "filbert hazelnut");
    assert_eq!(query.flags, Flags(0xb900));
    assert!(query.flags.has(Flags::GGEP_H) && query.flags.has(Flags::LEAF_GUIDED));
    assert_eq!(query.ggep.get("PR"), Some(Ok(vec![])));
    assert_eq!((asked.header.ttl, asked.header.hops), (4, 0));

    let frame = only(&answered, Kind::QueryHit)[0];
    assert_eq!(frame.header.guid, asked.header.guid, "a hit has its query's GUID");
    let hit = &hits(&answered)[0];
    assert_eq!(hit.host().to_string(), "100.64.1.1:6346");
    assert_eq!(hit.servent.to_string(), "3c123102d5b43daa8b3799e18b39dd3f");
    assert_eq!(QueryHit::servent_of(&frame.payload), Some(hit.servent));
    let [entry] = &hit.entries[..] else { panic!("one entry") };
    assert_eq!((entry.index, entry.size()), (201, 314_572_800));
    assert_eq!(entry.name.to_str(), "filbert hazelnut big test image.iso");
    let raw = &entry.ggep.extensions[0];
    assert!(raw.id == b"H" && !raw.cobs, "this bitprint happens to hold no zero");
    let qhd = hit.qhd.as_ref().expect("a trailer");
    assert_eq!((&qhd.vendor, qhd.push(), qhd.busy()), (b"GTKG", Some(false), Some(false)));
    assert!(qhd.ggep.has("GTKGV") && qhd.ggep.has("TLS") && qhd.ggep.has("BH"));
}

#[test]
fn a_leafs_hit_hides_its_zeros_with_cobs() {
    let hit = hits(&frames(&link(LINKS[3]).1)).remove(0);
    let [entry] = &hit.entries[..] else { panic!("one entry") };
    assert_eq!(entry.name.to_str(), "acorn glacier - nimbus 124.mkv");
    assert_eq!((entry.index, entry.size()), (155, 1227));
    let h = &entry.ggep.extensions[0];
    assert!(h.id == b"H" && h.cobs && !h.deflated);
    assert_eq!(entry.sha1(), sha1("GKECXDEZDWGCRBZWKYBJD5GGT4KAUE5V"));
    assert_eq!(entry.tth().map(|tth| tth.to_string()).as_deref(), Some("RNH65JSBJSNS4XE3KF4UU24X5TREJDZGVM34QAA"));
    assert!(entry.ggep.has("CT"));
}

#[test]
fn pongs_and_pings_carry_their_extensions() {
    let frames = frames(&link(LINKS[0]).1);
    let ping = only(&frames, Kind::Ping)[0];
    let Ok(Message::Ping(ping)) = Message::decode(Kind::Ping, &ping.payload) else { panic!("a ping") };
    assert_eq!(ping.ggep.get("SCP"), Some(Ok(vec![3])));
    let pong = only(&frames, Kind::Pong)[0];
    let Ok(Message::Pong(pong)) = Message::decode(Kind::Pong, &pong.payload) else { panic!("a pong") };
    assert_eq!((pong.host().to_string().as_str(), pong.files, pong.kib), ("100.64.2.1:6347", 20, 128 << 10));
    for (id, value) in [("VC", &b"GTKG\x83"[..]), ("UP", b"\x02\xff\x31"), ("DU", b"\x05"), ("TLS", b"")] {
        assert_eq!(pong.ggep.get(id), Some(Ok(value.to_vec())), "{id}");
    }
}

#[test]
fn a_push_may_end_with_its_fixed_part_or_carry_extensions() {
    let sent = frames(&link(LINKS[5]).1);
    let Ok(Message::Push(push)) = Message::decode(Kind::Push, &only(&sent, Kind::Push)[0].payload) else { panic!() };
    assert_eq!((push.index, push.host().to_string().as_str()), (155, "100.64.6.151:6451"));
    assert!(push.ggep.is_empty());
    let answerer = hits(&frames(&link(LINKS[4]).1)).remove(0).servent;
    assert_eq!(push.servent, answerer, "a push goes to the servent that its hit named");

    let received = frames(&link(LINKS[6]).1);
    let payload = &only(&received, Kind::Push)[0].payload;
    let Ok(Message::Push(push)) = Message::decode(Kind::Push, payload) else { panic!("a push") };
    assert_eq!((payload.len(), push.index), (32, 0));
    assert!(push.ggep.has("TLS"));
    let ours = hits(&frames(&link(LINKS[7]).1)).remove(0);
    assert_eq!(Some(ours.servent), filbert::wire::push::Push::servent_of(payload));
    assert_eq!(ours.entries[0].sha1(), sha1("YBJ6Z6PNIHPQGENZ34J4Y3B3MB4NFU6C"));
    assert_eq!(ours.qhd.expect("a trailer").push(), Some(true));
}

#[test]
fn a_routing_table_comes_in_pieces_in_order() {
    use filbert::wire::qrp::RouteTableUpdate::{self, Patch, Reset};
    let frames = frames(&link(LINKS[1]).1);
    let updates: Vec<RouteTableUpdate> = only(&frames, Kind::RouteTableUpdate)
        .into_iter()
        .map(|frame| RouteTableUpdate::decode(&frame.payload).expect("an update"))
        .collect();
    assert_eq!(updates[0], Reset { slots: 131_072, infinity: 2 });
    let mut table = Vec::new();
    for (i, update) in updates[1..].iter().enumerate() {
        let Patch { sequence, count: 3, compressor: 1, bits: 4, data } = update else { panic!("a patch of three") };
        assert_eq!(usize::from(*sequence), i + 1);
        table.extend_from_slice(data);
    }
    assert_eq!(inflated(&table).len(), 131_072 / 2);
}

/// A request and an answer, and what follows the answer's head.
fn exchange(name: &str) -> (Request, Response, Bytes) {
    let bytes = vector(&format!("{name}.req"));
    let (raw, taken) = RawHead::decode(&bytes, http::HEAD_LIMIT).expect("a possible head").expect("a whole head");
    assert_eq!(taken, bytes.len());
    let request = Request::parse(raw).expect("a request");
    assert_eq!(request.encode(), bytes, "{name}: the request comes back byte for byte");
    let bytes = vector(&format!("{name}.resp"));
    let (response, taken) = answer(name, &bytes);
    (request, response, bytes.slice(taken..))
}

/// The answer's head at the start of `bytes`; all but folded headers must come back byte for byte.
fn answer(name: &str, bytes: &[u8]) -> (Response, usize) {
    let (raw, taken) = RawHead::decode(bytes, http::HEAD_LIMIT).expect("a possible head").expect("a whole head");
    let response = Response::parse(raw).expect("an answer");
    let unfolded = String::from_utf8_lossy(&bytes[..taken]).replace("\r\n\t", " ");
    assert_eq!(String::from_utf8_lossy(&response.encode()), unfolded, "{name}: the head comes back byte for byte");
    (response, taken)
}

/// Takes chunks off (RFC 9112 section 7.1).
fn unchunked(mut body: &[u8]) -> Bytes {
    let mut out = Vec::new();
    loop {
        let end = body.windows(2).position(|pair| pair == b"\r\n").expect("a chunk's size line");
        let size = std::str::from_utf8(&body[..end]).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        let size = size.expect("a size in hex");
        out.extend_from_slice(&body[end + 2..end + 2 + size]);
        body = &body[end + 2 + size + 2..];
        if size == 0 {
            assert!(body.is_empty());
            return out.into();
        }
    }
}

#[test]
fn browsing_a_host_gives_its_files_as_query_hits() {
    let (request, chunked, body) = exchange("09b-browse-qhits");
    assert_eq!((request.target(), request.keep_alive()), (Target::Browse, false));
    assert!(chunked.is_chunked() && chunked.content_length().is_none());
    let by_chunks = unchunked(&body);
    let (request, closed, by_close) = exchange("09d-browse-qhits-http10");
    assert_eq!((request.version, request.keep_alive(), closed.keep_alive()), ((1, 0), false, false));
    assert!(!closed.is_chunked() && closed.content_length().is_none());
    let (_, deflated, body) = exchange("09c-browse-qhits-deflate");
    assert!(deflated.headers.has_token("Content-Encoding", "deflate"));

    let frames = frames(&by_close);
    assert_eq!(by_chunks, by_close);
    // One entry names two other sources (GGEP `ALT`), in another order each time.
    let files = |frames: &[Frame]| -> Vec<_> {
        let entries = hits(frames).into_iter().flat_map(|hit| hit.entries);
        entries.map(|entry| (entry.index, entry.size(), entry.name, entry.urns)).collect()
    };
    assert_eq!(files(&frames), files(&self::frames(&inflated(&unchunked(&body)))));
    // What our own `browse` makes of it, plain and deflated, and of the page.
    for (bytes, deflated) in [(&by_close, false), (&unchunked(&body), true)] {
        let (mut reader, mut read) = (filbert::transfer::browse::Reader::new(deflated), Vec::new());
        bytes.chunks(1000).for_each(|piece| reader.push(piece, |hit| read.extend(hit.entries)).expect("a list"));
        assert_eq!((read.len(), reader.end()), (201, Ok(())));
        let told: Vec<_> = read.iter().filter(|entry| !entry.alternates().is_empty()).collect();
        assert_eq!((told.len(), told[0].alternates().len()), (2, 2));
    }
    let (_, _, page) = exchange("09a-browse-html");
    assert!(filbert::transfer::browse::Reader::new(false).push(&unchunked(&page), |_| ()).is_err());
    assert!(frames.iter().all(|f| f.header.guid == Guid::default() && (f.header.ttl, f.header.hops) == (1, 0)));
    let entries: Vec<_> = hits(&frames).into_iter().flat_map(|hit| hit.entries).collect();
    assert_eq!((frames.len(), entries.len()), (21, 201));
    assert!(entries.iter().all(|entry| entry.sha1().is_some() && entry.tth().is_some()));
    assert_eq!(entries[0].name.to_str(), "acorn glacier - nimbus 124.mkv");
    assert_eq!(entries[0].sha1(), sha1("GKECXDEZDWGCRBZWKYBJD5GGT4KAUE5V"));
    assert_eq!(entries[0].tth().map(|tth| tth.to_string()).as_deref(), Some("RNH65JSBJSNS4XE3KF4UU24X5TREJDZGVM34QAA"));
}

#[test]
fn the_page_and_the_tree_have_ordinary_heads() {
    let (_, page, body) = exchange("09a-browse-html");
    assert_eq!(page.headers.get("content-type"), Some("text/html; charset=utf-8"));
    assert!(unchunked(&body).starts_with(b"<!DOCTYPE html"));
    let (request, tree, body) = exchange("10-thex");
    let urn = "urn:sha1:XAREHWA2YIBHLERHUJPHESH3YLLSCL2C".parse().expect("a urn");
    assert_eq!(request.target(), Target::Tree(TreeKind::Tiger, urn));
    assert_eq!(tree.headers.get("Content-Type"), Some("application/dime"));
    assert_eq!(tree.content_length(), Some(body.len() as u64));
}

#[test]
fn a_tree_served_by_gtk_gnutella_is_read_and_written_byte_for_byte() {
    let (request, _, body) = exchange("10-thex");
    assert!(request.target.ends_with(";2LDDDXTUNCRQ5KVRZ6TYAFRULGG3VCPLURTXP2A"));
    let Ok(Urn::Tth(root)) = "urn:tree:tiger:2LDDDXTUNCRQ5KVRZ6TYAFRULGG3VCPLURTXP2A".parse() else {
        panic!("a root");
    };
    let row = thex::decode(&body, 598_929, &root).expect("a tree");
    assert_eq!((row.size(), row.depth(), row.slice(), row.nodes().len()), (598_929, 2, 256 << 10, 3));
    assert_eq!(row.nodes()[2].to_string(), "QYA7DE2KSW4G22KZ45MW23CRPXORU3BNQQOMRFA");
    assert_eq!(thex::encode(&row), body);
}

#[test]
fn a_range_beyond_the_end_is_answered_with_the_last_byte() {
    let (request, answer, body) = exchange("11-range-unsat");
    assert_eq!(request.range(), Some(Ok(ByteRange::From(99_999_999))));
    assert_eq!(answer.code, 206);
    let range = ContentRange { first: 598_928, last: 598_928, total: Some(598_929) };
    assert_eq!(answer.content_range(), Some(Ok(range)));
    assert_eq!((range.length(), answer.content_length(), body.len()), (1, Some(1), 1));
    let urn = answer.headers.get("X-Gnutella-Content-URN").and_then(|urn| urn.parse().ok());
    assert_eq!(urn.map(Target::ByUrn), Some(request.target()));
    assert_eq!(ByteRange::From(99_999_999).resolve(598_929), None, "ours would say 416");
}

#[test]
fn headers_of_queues_and_sources_are_read() {
    let (request, answer, _) = exchange("12-queue");
    assert_eq!(request.headers.get("X-Node"), Some("100.64.6.67:6399"));
    assert_eq!(request.range(), Some(Ok(ByteRange::Between(0, 9))));
    assert_eq!(answer.headers.get("X-Alt"), Some("100.64.6.99:7000"));
    for (name, reason, header, value, stays) in [
        ("15a-busy-noqueue", "Queued (slot 1, ETA: 0s)", "Retry-After", "30", false),
        (
            "15b-busy-xqueue-0.1",
            "Queued (slot 2, ETA: 1m 18s)",
            "X-Queue",
            "position=2, length=6, limit=1, pollMin=45, pollMax=105",
            true,
        ),
        (
            "15c-busy-xqueue-1.0",
            "Queued (slot 3, ETA: 2m 56s)",
            "X-Queued",
            "ID=27c3695dea2f3ae908840acfb1af6735; position=3; lifetime=120; length=7; ETA=176",
            true,
        ),
    ] {
        let (_, answer, body) = exchange(name);
        assert_eq!((answer.code, answer.reason.as_str()), (503, reason));
        assert_eq!(answer.headers.get(header), Some(value));
        assert_eq!((answer.keep_alive(), body.len()), (stays, 0));
        assert_eq!(answer.headers.items("X-Alt").count(), 2);
    }
}

#[test]
fn a_folded_header_is_one_value() {
    let (_, answer, body) = exchange("14a-partial-get-ok");
    assert_eq!(
        answer.headers.get("X-Available-Ranges"),
        Some(
            "bytes 0-524287, 2621440-4194303, 4718592-4849663, \
             5767168-6815743, 7864320-8912895, 9437184-10485759, 13549783-14074070"
        )
    );
    assert_eq!((answer.code, answer.content_length(), body.len()), (206, Some(1024), 1024));
    let (request, answer, body) = exchange("14b-partial-get-missing");
    assert_eq!(request.range(), Some(Ok(ByteRange::From(10_555_553))));
    assert_eq!((answer.code, answer.reason.as_str()), (416, "Requested range not available yet"));
    let ranges =
        "bytes 0-524287, 1048576-2097151, 2621440-4194303, 4718592-8912895, 9437184-10485759, 12582912-14074070";
    assert_eq!(answer.headers.get("X-Available-Ranges"), Some(ranges));
    assert!(answer.keep_alive() && body.is_empty());
}

#[test]
fn a_download_goes_on_over_one_connection() {
    let requests = requests("07a-http-gtkg2-downloads-from-gtkg1.c2s");
    let expected = [(0, 1_048_575), (3_829_842, 4_354_129), (2_097_152, 3_145_727), (3_670_016, 3_829_841)];
    let ranges: Vec<_> = requests.iter().map(|request| request.range().expect("a range").expect("one range")).collect();
    assert_eq!(ranges[..4], expected.map(|(first, last)| ByteRange::Between(first, last)));
    assert!(requests.iter().all(|request| request.keep_alive() && request.target() == requests[0].target()));
    assert_eq!(requests[1].headers.get("X-Queued"), Some("position=0; ID=13d80579179aa2bb8936178bf99a7ddc"));

    // Each body was cut to 64 bytes, and a line says how many are missing.
    let name = "07a-http-gtkg2-downloads-from-gtkg1.s2c";
    let mut bytes = vector(name);
    let mut ranges = Vec::new();
    while !bytes.is_empty() {
        let (response, taken) = answer(name, &bytes);
        let range = response.content_range().expect("a range").expect("one that makes sense");
        assert_eq!((response.code, response.content_length()), (206, Some(range.length())));
        ranges.push((range.first, range.last));
        let note = format!("\n[{} body bytes cut]\n", range.length() - 64);
        assert_eq!(bytes[taken + 64..taken + 64 + note.len()], *note.as_bytes());
        bytes = bytes.slice(taken + 64 + note.len()..);
    }
    assert_eq!(ranges.len(), requests.len());
    // The first answer of a connection is shorter than what was asked for; the others are whole.
    assert_eq!(ranges[..4], [(0, 524_287), expected[1], expected[2], expected[3]]);
}

#[test]
fn a_partial_file_that_is_not_offered_is_not_found() {
    let requests = requests("07b-http-gtkg3-downloads-partial-from-gtkg2.c2s");
    assert_eq!(requests[0].headers.get("X-Node"), Some("100.64.3.1:6348"));
    let name = "07b-http-gtkg3-downloads-partial-from-gtkg2.s2c";
    let bytes = vector(name);
    let (answer, taken) = answer(name, &bytes);
    assert_eq!((answer.code, answer.content_length(), taken), (404, Some(0), bytes.len()));
}

/// The requests of one connection; nothing else is in that direction.
fn requests(name: &str) -> Vec<Request> {
    let mut bytes = vector(name);
    let mut requests = Vec::new();
    while !bytes.is_empty() {
        let (raw, taken) = RawHead::decode(&bytes, http::HEAD_LIMIT).expect("a possible head").expect("a whole head");
        let request = Request::parse(raw).expect("a request");
        assert_eq!(request.encode(), bytes[..taken], "{name}: the request comes back byte for byte");
        requests.push(request);
        bytes = bytes.slice(taken..);
    }
    requests
}
