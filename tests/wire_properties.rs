//! What holds for all values and for all bytes: values come back from the wire, bytes that decode come back
//! too, and nothing that a stranger sends makes a decoder or the printer panic.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};

use bytes::{Bytes, BytesMut};
use filbert::wire::bye::Bye;
use filbert::wire::ggep::{Extension, Ggep};
use filbert::wire::handshake::{HEAD_LIMIT, Head};
use filbert::wire::head::{Headers, RawHead};
use filbert::wire::hit::{Entry, Qhd, QueryHit};
use filbert::wire::http::{ByteRange, ContentRange, Request, Response, Target, percent_decode, percent_encode};
use filbert::wire::ping::Ping;
use filbert::wire::pong::Pong;
use filbert::wire::push::{Giv, Push};
use filbert::wire::qrp::RouteTableUpdate;
use filbert::wire::query::{Flags, Query};
use filbert::wire::stream::FrameReader;
use filbert::wire::vendor::Vendor;
use filbert::wire::{
    Blake3, Digester, Digests, Frame, Guid, Kind, Message, Sha1, TigerTree, TreeRow, Tth, Urn, dime, dns, print,
    row_len, thex,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// Kinds with a decoder of their own, and one without.
const KINDS: [Kind; 10] = [
    Kind::Ping,
    Kind::Pong,
    Kind::Bye,
    Kind::RouteTableUpdate,
    Kind::Vendor,
    Kind::VendorStandard,
    Kind::Push,
    Kind::Query,
    Kind::QueryHit,
    Kind::Other(0xcd),
];

fn bytes(max: usize) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..max).prop_map(Bytes::from)
}

/// Bytes of which many are those that formats give a meaning to.
fn telling_bytes(max: usize) -> impl Strategy<Value = Bytes> {
    let byte = prop_oneof![
        4 => any::<u8>(),
        1 => prop::sample::select(vec![0x00, 0x1c, 0xc3, 0x40, 0x41, 0x81, 0x80, 0xff, 0x01, 0x20, b'\r', b'\n', b':', b'%']),
    ];
    let piece = prop_oneof![
        6 => vec(byte, 1..8),
        1 => Just(b"\xc3\x81H\x6d\x02".to_vec()),
        1 => Just(b"urn:sha1:GKECXDEZDWGCRBZWKYBJD5GGT4KAUE5V".to_vec()),
        1 => Just(b"\xc3\x82LF\x45\x01\x02\x03\x04\x05".to_vec()),
    ];
    vec(piece, 0..max / 8 + 1).prop_map(|pieces| pieces.concat().into())
}

fn guid() -> impl Strategy<Value = Guid> {
    any::<[u8; 16]>().prop_map(Guid)
}

fn addr() -> impl Strategy<Value = SocketAddr> {
    let v4 = (any::<[u8; 4]>(), any::<u16>()).prop_map(|(ip, port)| SocketAddr::from((Ipv4Addr::from(ip), port)));
    let v6 = (any::<[u8; 16]>(), any::<u16>()).prop_map(|(ip, port)| SocketAddr::from((Ipv6Addr::from(ip), port)));
    prop_oneof![v4, v6]
}

fn addr_v4() -> impl Strategy<Value = SocketAddrV4> {
    (any::<[u8; 4]>(), any::<u16>()).prop_map(|(ip, port)| SocketAddrV4::new(ip.into(), port))
}

fn urn() -> impl Strategy<Value = Urn> {
    let sha1 = any::<[u8; 20]>().prop_map(Sha1);
    let tth = any::<[u8; 24]>().prop_map(Tth);
    prop_oneof![
        sha1.clone().prop_map(Urn::Sha1),
        (sha1, tth.clone()).prop_map(|(sha1, tth)| Urn::Bitprint(sha1, tth)),
        tth.prop_map(Urn::Tth),
        any::<[u8; 32]>().prop_map(|hash| Urn::Blake3(Blake3(hash))),
    ]
}

fn extension() -> impl Strategy<Value = Extension> {
    (vec(1..=255u8, 1..=15), vec(any::<u8>(), 0..100), any::<bool>(), any::<bool>())
        .prop_map(|(id, raw, cobs, deflated)| Extension { id, raw, cobs, deflated })
}

fn ggep() -> impl Strategy<Value = Ggep> {
    vec(extension(), 0..5).prop_map(|extensions| Ggep { extensions })
}

/// What may follow a block and cannot be taken for one.
fn rest() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..20).prop_filter("no block", |rest| rest.first() != Some(&0xc3))
}

fn name() -> impl Strategy<Value = String> {
    "[^\\x00]{0,40}"
}

fn file() -> impl Strategy<Value = (u32, u64, String, Vec<Urn>)> {
    let size = prop_oneof![any::<u32>().prop_map(u64::from), any::<u64>()];
    (any::<u32>(), size, name(), vec(urn(), 0..3))
}

/// Text that fits on a header line: no line end, no space at its ends.
fn line() -> impl Strategy<Value = String> {
    "[!-~\u{a1}-\u{17f}]([ -~]{0,20}[!-~])?"
}

fn headers() -> impl Strategy<Value = Headers> {
    vec(("[A-Za-z0-9-]{1,20}", prop_oneof![Just(String::new()), line()]), 0..10).prop_map(Headers)
}

fn decode_and_print(kind: Kind, payload: &Bytes) -> Result<(), TestCaseError> {
    if let Ok(message) = Message::decode(kind, payload) {
        prop_assert_eq!(&message.encode(), payload);
    }
    let text = print::frame(&Frame::new(Guid::default(), kind, 1, payload.clone()));
    prop_assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
    Ok(())
}

/// Names, and bytes that point back into a message.
fn dns_bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        3 => vec(any::<u8>(), 0..6),
        2 => Just(b"\x09_gnutella\x04_tcp\x05local\0".to_vec()),
        2 => (0..64_u8).prop_map(|to| vec![0xC0, to]),
        2 => prop::sample::select(vec![1_u8, 12, 16, 28, 33]).prop_map(|kind| vec![0, kind, 0x80, 1, 0, 0, 0, 120, 0, 4]),
    ];
    let counts = vec(0..5_u8, 4);
    (any::<u16>(), counts, vec(piece, 0..24)).prop_map(|(flags, counts, pieces)| {
        let counts = counts.into_iter().flat_map(|n| [0, n]);
        [0, 0].into_iter().chain(flags.to_be_bytes()).chain(counts).chain(pieces.concat()).collect()
    })
}

proptest! {
    #[test]
    fn any_payload_decodes_to_what_encodes_the_same_or_is_refused(payload in bytes(300)) {
        for kind in KINDS {
            decode_and_print(kind, &payload)?;
        }
    }

    #[test]
    fn a_payload_full_of_telling_bytes_does_too(payload in telling_bytes(300)) {
        for kind in KINDS {
            decode_and_print(kind, &payload)?;
        }
    }

    #[test]
    fn a_hit_with_strange_entries_does_too(count in 0..4u8, middle in telling_bytes(200)) {
        let payload = [&[count][..], &[7; 10], &middle, &[9; 16]].concat();
        decode_and_print(Kind::QueryHit, &payload.into())?;
    }

    #[test]
    fn any_bytes_are_a_stream_or_an_error(pieces in vec(telling_bytes(120), 0..6), limit in 0..200usize) {
        let mut reader = FrameReader::new(limit);
        for piece in pieces {
            reader.push(&piece);
            loop {
                match reader.next_frame() {
                    Ok(Some(frame)) => prop_assert!(frame.payload.len() <= limit),
                    Ok(None) => break,
                    Err(error) => {
                        prop_assert_eq!(reader.next_frame(), Err(error));
                        return Ok(());
                    }
                }
            }
        }
    }

    #[test]
    fn any_bytes_are_a_head_or_part_of_one_or_an_error(bytes in telling_bytes(400), limit in 0..400usize) {
        if let Ok(Some((head, taken))) = RawHead::decode(&bytes, limit) {
            prop_assert!(taken <= limit && taken <= bytes.len());
            let again = head.encode();
            prop_assert_eq!(RawHead::decode(&again, again.len()), Ok(Some((head.clone(), again.len()))));
            let _ = (Head::parse(head.clone()), Giv::parse(&head.first));
            if let Ok(request) = Request::parse(head.clone()) {
                let _ = (request.target(), request.range(), request.keep_alive());
            }
            if let Ok(response) = Response::parse(head) {
                let _ = (response.content_range(), response.content_length(), response.keep_alive());
            }
        }
    }

    #[test]
    fn any_text_is_a_first_line_or_an_error(first in "(GET |HEAD |HTTP/?|GNUTELLA CONNECT/|GNUTELLA/|GIV )?[^\\r\\n\\x00]{0,40}") {
        let head = RawHead { first: first.clone(), headers: Headers::default() };
        if let Ok(request) = Request::parse(head.clone()) {
            let (again, _) = RawHead::decode(&request.encode(), 1000).expect("possible").expect("whole");
            prop_assert_eq!(Request::parse(again), Ok(request));
        }
        let _ = (Head::parse(head.clone()), Response::parse(head), Giv::parse(&first));
    }

    #[test]
    fn any_text_is_a_name_a_target_or_a_range_or_none(text in "(urn:(sha1|bitprint|tree:tiger/?|ttroot|blake3):|bytes[ =]|/get/|/uri-res/N2[RX]\\?)?[ -~é]{0,90}") {
        if let Ok(urn) = text.parse::<Urn>() {
            prop_assert_eq!(urn.to_string().parse::<Urn>(), Ok(urn));
        }
        let target = Target::of(&text);
        if target != Target::Unknown {
            prop_assert_eq!(Target::of(&target.to_string()), target);
        }
        if let Ok(range) = ByteRange::parse(&text) {
            prop_assert_eq!(ByteRange::parse(&range.to_string()), Ok(range));
        }
        if let Ok(range) = ContentRange::parse(&text) {
            prop_assert_eq!(ContentRange::parse(&range.to_string()), Ok(range));
        }
    }

    #[test]
    fn a_range_resolves_within_the_file(first in any::<u64>(), last in any::<u64>(), size in any::<u64>()) {
        let (low, high) = (first.min(last), first.max(last));
        for range in [ByteRange::Between(low, high), ByteRange::From(first), ByteRange::Last(first)] {
            if let Some(bytes) = range.resolve(size) {
                prop_assert!(bytes.start < bytes.end && bytes.end <= size);
            }
        }
    }

    #[test]
    fn pings_come_back(ggep in ggep(), rest in rest()) {
        let ping = Ping { ggep, rest };
        prop_assert_eq!(Ping::decode(&ping.encode()), Ok(ping));
    }

    #[test]
    fn pongs_come_back(addr in addr_v4(), files: u32, kib: u32, ggep in ggep(), rest in rest()) {
        let pong = Pong { addr, files, kib, ggep, rest };
        prop_assert_eq!(Pong::decode(&pong.encode()), Ok(pong));
    }

    #[test]
    fn pongs_and_pushes_tell_the_address_they_were_given(addr in addr(), servent in guid(), index: u32) {
        let expected = SocketAddr::new(addr.ip().to_canonical(), addr.port());
        prop_assert_eq!(Pong::decode(&Pong::new(addr, 1, 2).encode()).map(|pong| pong.host()), Ok(expected));
        let push = Push::new(servent, index, addr);
        let payload = push.encode();
        prop_assert_eq!(Push::servent_of(&payload), Some(servent));
        prop_assert_eq!(Push::decode(&payload).map(|push| push.host()), Ok(expected));
    }

    #[test]
    fn pushes_come_back(servent in guid(), index: u32, addr in addr_v4(), ggep in ggep(), rest in rest()) {
        let push = Push { servent, index, addr, ggep, rest };
        prop_assert_eq!(Push::decode(&push.encode()), Ok(push));
    }

    #[test]
    fn givs_come_back(servent in guid(), index: u32, name in "[ -~]{0,30}[!-~]") {
        let giv = Giv { index, servent, name };
        let (head, _) = RawHead::decode(&giv.encode(), 1000).expect("possible").expect("whole");
        prop_assert_eq!(Giv::parse(&head.first), Ok(giv));
    }

    #[test]
    fn byes_come_back(code: u16, text in name()) {
        let bye = Bye::new(code, &text);
        prop_assert_eq!(Bye::decode(&bye.encode()), Ok(bye));
    }

    #[test]
    fn vendor_messages_come_back(vendor: [u8; 4], selector: u16, version: u16, data in bytes(50)) {
        let message = Vendor { vendor, selector, version, data };
        prop_assert_eq!(Vendor::decode(&message.encode()), Ok(message));
    }

    #[test]
    fn routing_tables_come_back(power in 0..=21u32, infinity: u8, count in 1..=255u8, pick: u8, data in bytes(50)) {
        let sequence = pick % count + 1;
        for update in [
            RouteTableUpdate::Reset { slots: 1 << power, infinity },
            RouteTableUpdate::Patch { sequence, count, compressor: pick, bits: 1 << (pick % 4), data: data.clone() },
            RouteTableUpdate::Other { variant: pick.max(2), data },
        ] {
            prop_assert_eq!(RouteTableUpdate::decode(&update.encode()), Ok(update));
        }
    }

    #[test]
    fn queries_come_back(text in name(), urns in vec(urn(), 0..5), flags: u16) {
        let mut query = Query::new(&text, &urns);
        query.flags = Flags(flags);
        prop_assert!(urns.iter().all(|urn| query.urns.contains(urn)));
        prop_assert_eq!(Query::decode(&query.encode()), Ok(query));
    }

    #[test]
    fn hits_come_back(
        files in vec(file(), 0..10),
        addr in addr(),
        speed: u32,
        servent in guid(),
        flags: (bool, bool),
        private in option::of(ggep()),
    ) {
        let entries: Vec<Entry> =
            files.iter().map(|(index, size, name, urns)| Entry::new(*index, *size, name, urns)).collect();
        let mut qhd = Qhd::new(*b"FLBT", flags.0, flags.1);
        // A stranger's `6` would be taken for our address.
        if let Some(ggep) = private.filter(|ggep| !ggep.has("6")) {
            qhd = qhd.with_ggep(ggep);
        }
        let hit = QueryHit::new(addr, speed, entries, qhd, servent);
        let payload = hit.encode();
        prop_assert_eq!(QueryHit::servent_of(&payload), Some(servent));
        let back = QueryHit::decode(&payload).expect("a hit");
        prop_assert_eq!(back.host(), SocketAddr::new(addr.ip().to_canonical(), addr.port()));
        for (entry, (index, size, name, urns)) in back.entries.iter().zip(&files) {
            prop_assert_eq!((entry.index, entry.size(), &*entry.name.to_str()), (*index, *size, name.as_str()));
            prop_assert_eq!(entry.sha1(), urns.iter().find_map(Urn::sha1));
            prop_assert_eq!(entry.tth(), urns.iter().find_map(Urn::tth));
            prop_assert_eq!(entry.blake3(), urns.iter().find_map(Urn::blake3));
        }
        let mut length = 0;
        hit.entries.iter().for_each(|entry| length += entry.wire_len());
        prop_assert!(payload.len() >= 27 + length);
        prop_assert_eq!(back, hit);
    }

    #[test]
    fn frames_come_back(
        guid in guid(), kind: u8, ttl: u8, hops: u8, payload in bytes(200),
    ) {
        let mut frame = Frame::new(guid, kind.into(), ttl, payload);
        frame.header.hops = hops;
        let mut out = BytesMut::new();
        frame.encode(&mut out);
        prop_assert_eq!(Frame::decode(&out.freeze()), Ok(frame));
    }

    #[test]
    fn ggep_values_come_back_whatever_they_hold(value in vec(prop_oneof![Just(0), any::<u8>()], 0..1500)) {
        let mut ggep = Ggep::default();
        ggep.push("A", &value);
        ggep.push_deflated("B", &value);
        let mut out = Vec::new();
        ggep.encode(&mut out);
        let (back, taken) = Ggep::decode(&out).expect("a block");
        prop_assert_eq!((&back, taken), (&ggep, out.len()));
        prop_assert_eq!(back.get("A"), Some(Ok(value.clone())));
        prop_assert_eq!(back.get("B"), Some(Ok(value)));
        prop_assert!(ggep.extensions.iter().all(|extension| !extension.raw.contains(&0)));
    }

    #[test]
    fn names_of_content_come_back(urn in urn()) {
        let text = urn.to_string();
        prop_assert_eq!(text.to_uppercase().parse::<Urn>(), Ok(urn.clone()));
        prop_assert_eq!(text.parse::<Urn>(), Ok(urn));
    }

    #[test]
    fn heads_come_back(first in line(), headers in headers()) {
        let head = RawHead { first, headers };
        let bytes = head.encode();
        prop_assert_eq!(RawHead::decode(&bytes, bytes.len()), Ok(Some((head, bytes.len()))));
    }

    #[test]
    fn handshakes_come_back(code in 100..1000u16, reason in line(), headers in headers(), minor in 6..=255u8) {
        for leg in [
            Head::Connect { version: (0, minor), headers: headers.clone() },
            Head::Status { code, reason, headers },
        ] {
            let (raw, _) = RawHead::decode(&leg.encode(), HEAD_LIMIT).expect("possible").expect("whole");
            prop_assert_eq!(Head::parse(raw), Ok(leg));
        }
    }

    #[test]
    fn requests_and_answers_come_back(
        target in "/[!-~]{0,30}( [!-~]{1,10})?", version: (u8, u8), code in 100..1000u16, reason in line(), headers in headers(),
    ) {
        let request = Request { method: "GET".into(), target, version, headers: headers.clone() };
        let (raw, _) = RawHead::decode(&request.encode(), 4096).expect("possible").expect("whole");
        prop_assert_eq!(Request::parse(raw), Ok(request));
        let response = Response { code, reason, version, headers };
        let (raw, _) = RawHead::decode(&response.encode(), 4096).expect("possible").expect("whole");
        prop_assert_eq!(Response::parse(raw), Ok(response));
    }

    #[test]
    fn percent_escapes_come_back(segment in vec(any::<u8>(), 0..60)) {
        prop_assert_eq!(percent_decode(&percent_encode(&segment)), segment);
    }

    #[test]
    fn the_tree_of_a_file_of_any_size_comes_back(size in prop_oneof![0..4_u64 << 20, 0..1_u64 << 40, any::<u64>()], seed: u8) {
        let nodes = (0..row_len(size)).map(|i| Tth([seed ^ (i % 251) as u8; 24])).collect();
        let row = TreeRow::new(size, nodes).expect("a row of that size");
        let bytes = thex::encode(&row);
        prop_assert!(bytes.len() <= thex::LIMIT);
        prop_assert_eq!(thex::decode(&bytes, size, &row.root()), Ok(row.clone()));
        // Slices lie side by side and cover the file.
        let ranges: Vec<_> = (0..row.nodes().len()).map(|index| row.range(index)).collect();
        prop_assert_eq!((ranges[0].start, ranges[ranges.len() - 1].end), (0, size));
        prop_assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start && pair[1].start < pair[1].end));
    }

    #[test]
    fn records_of_bytes_come_back(
        parts in vec((0..16_u8, bytes(40), bytes(9), bytes(300)), 1..dime::MAX_RECORDS),
    ) {
        let record = |(format, kind, id, data): &(u8, Bytes, Bytes, Bytes)| dime::Record {
            format: (*format).into(),
            kind: kind.to_vec().into(),
            id: id.to_vec().into(),
            data: data.to_vec().into(),
        };
        let records: Vec<_> = parts.iter().map(record).collect();
        let message = dime::encode(&records);
        prop_assert_eq!(dime::decode(&message), Ok(records));
    }

    #[test]
    fn no_bytes_make_the_readers_of_trees_panic(
        data in telling_bytes(300), size in any::<u64>(), spoilt in vec((0..900_usize, any::<u8>()), 1..4),
    ) {
        let root = Tth([3; 24]);
        prop_assert!(thex::decode(&data, size, &root).is_err());
        let _ = dime::decode(&data);
        let mut tree = TigerTree::new();
        tree.update(&data.repeat(3000));
        let row = tree.finish_row();
        let mut bytes = thex::encode(&row);
        for (at, byte) in spoilt {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        if let Ok(read) = thex::decode(&bytes, row.size(), &row.root()) {
            prop_assert_eq!(read.root(), row.root());
        }
    }

    #[test]
    fn digests_do_not_depend_on_how_the_bytes_came(
        content in vec(any::<u8>(), 0..9000), cuts in vec(0..9000usize, 0..5),
    ) {
        let mut digester = Digester::new();
        let mut tree = TigerTree::new();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(content.len())).collect();
        cuts.sort_unstable();
        let mut from = 0;
        for to in cuts.into_iter().chain([content.len()]) {
            digester.update(&content[from..to]);
            tree.update(&content[from..to]);
            from = to;
        }
        let names = digester.finish();
        prop_assert_eq!(names, Digests::of(&content));
        prop_assert_eq!(names.tth, tree.finish());
    }
}

#[test]
fn the_shortest_payload_of_every_kind_decodes_and_one_byte_less_does_not() {
    for (kind, shortest) in [
        (Kind::Ping, 0),
        (Kind::Pong, 14),
        (Kind::Bye, 2),
        (Kind::Vendor, 8),
        (Kind::VendorStandard, 8),
        (Kind::Push, 26),
        (Kind::Query, 2),
        (Kind::QueryHit, 27),
        (Kind::Other(0xee), 0),
    ] {
        let payload = Bytes::from(vec![0; shortest]);
        let message = Message::decode(kind, &payload).expect("the shortest payload decodes");
        assert_eq!(message.encode(), payload);
        for length in 0..shortest {
            let error = Message::decode(kind, &payload.slice(..length)).expect_err("shorter than the shortest");
            assert_eq!(error.offset, 0);
            let text = print::frame(&Frame::new(Guid::default(), kind, 1, payload.slice(..length)));
            assert!(text.contains("bytes, ") && text.contains("are left"), "{text}");
        }
    }
    // An update has two shapes: a reset of six bytes, a patch of five.
    for payload in [&b"\0\x01\0\0\0\x02"[..], b"\x01\x01\x01\0\x04", b"\x02"] {
        let payload = Bytes::from_static(payload);
        assert!(RouteTableUpdate::decode(&payload).is_ok());
        assert!(RouteTableUpdate::decode(&payload.slice(..payload.len() - 1)).is_err());
    }
}

#[test]
fn names_of_two_thousand_characters_pass_through_every_message() {
    for name in ["n".repeat(2000), "\u{1f330}".repeat(2000), "\u{202e}".repeat(2000)] {
        let urns = [Urn::Bitprint(Sha1([0; 20]), Tth([0; 24]))];
        let addr = "10.0.0.1:6346".parse().expect("an address");
        let entry = Entry::new(1, 2, &name, &urns);
        let hit = QueryHit::new(addr, 0, vec![entry], Qhd::new(*b"FLBT", false, false), Guid::default());
        let back = QueryHit::decode(&hit.encode()).expect("a hit");
        assert_eq!((&*back.entries[0].name.to_str(), back.entries[0].tth()), (name.as_str(), Some(Tth([0; 24]))));
        let query = Query::new(&name, &urns);
        assert_eq!(Query::decode(&query.encode()).expect("a query").text.to_str(), name);
        let bye = Bye::new(200, &name);
        assert_eq!(Bye::decode(&bye.encode()).expect("a bye").reason(), name);
        for (kind, payload) in
            [(Kind::QueryHit, hit.encode()), (Kind::Query, query.encode()), (Kind::Bye, bye.encode())]
        {
            let text = print::frame(&Frame::new(Guid::default(), kind, 1, payload));
            assert!(text.contains(&print::escape(&name)) && !text.contains('\u{202e}'));
        }
        let target = Target::ByIndex(1, name);
        assert_eq!(Target::of(&target.to_string()), target);
    }
}

#[test]
fn a_hit_holds_as_many_entries_as_its_count_can_say() {
    let addr = "10.0.0.1:6346".parse().expect("an address");
    let entries: Vec<Entry> = (0..300).map(|i| Entry::new(i, 0, "", &[])).collect();
    let hit = QueryHit::new(addr, 0, entries, Qhd::new(*b"FLBT", false, false), Guid::default());
    let back = QueryHit::decode(&hit.encode()).expect("a hit");
    assert_eq!((back.entries.len(), back.entries[254].index), (255, 254));
}

proptest! {
    #[test]
    fn dns_messages_that_decode_come_back_and_no_bytes_do_harm(given in prop_oneof![dns_bytes(), vec(any::<u8>(), 0..400)]) {
        if let Ok(message) = dns::Message::decode(&given) {
            let written = message.encode();
            if written.len() <= dns::LONGEST {
                prop_assert_eq!(dns::Message::decode(&written), Ok(message));
            }
        }
    }
}
