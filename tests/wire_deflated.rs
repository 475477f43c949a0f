//! Deflated links as real zlib makes them (`tests/vectors/README.md`, 26): any window, cut anywhere.

use filbert::wire::Kind;
use filbert::wire::deflated::Inflater;
use filbert::wire::stream::{FrameReader, PAYLOAD_LIMIT};

/// All of `stream`, fed in these pieces; between two of them the inflater rests where it can.
fn inflated<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let (mut inflater, mut all, mut out) = (Inflater::default(), Vec::new(), vec![0; 5000]);
    for mut piece in pieces {
        loop {
            match inflater.fill(&mut piece, &mut out).expect("one zlib stream") {
                0 => break,
                n => all.extend_from_slice(&out[..n]),
            }
        }
        inflater.rest();
    }
    all
}

#[test]
fn zlib_streams_of_every_window_inflate_wherever_they_are_cut() {
    let heads = [0x18, 0x18, 0x28, 0x38, 0x48, 0x58, 0x68, 0x78]; // Who asks zlib for a window of 256 bytes gets 512.
    let mut plain = Vec::new();
    for (window, head) in (8..=15).zip(heads) {
        let name = format!("{}/tests/vectors/26-zlib-window-{window}.bin", env!("CARGO_MANIFEST_DIR"));
        let stream = std::fs::read(&name).expect(&name);
        assert_eq!(stream[0], head);
        let whole = inflated(std::iter::once(&stream[..]));
        for len in [1, 2, 3, 5, 64, 1000] {
            assert!(inflated(stream.chunks(len)) == whole, "window {window}, pieces of {len}");
        }
        for cut in (0..stream.len()).step_by(97) {
            let (first, second) = stream.split_at(cut);
            assert!(inflated([first, second].into_iter()) == whole, "window {window}, cut at {cut}");
        }
        plain.push(whole);
    }
    assert!(plain.iter().all(|one| *one == plain[0]), "the same in all");
    assert_eq!(plain[0].len(), 48_000);
    let mut frames = FrameReader::new(PAYLOAD_LIMIT);
    frames.push(&plain[0]);
    for n in 0..800u16 {
        let frame = frames.next_frame().expect("whole messages").expect("800 of them");
        assert_eq!((frame.header.kind, frame.header.guid.0[..2].to_vec()), (Kind::Query, n.to_le_bytes().to_vec()));
    }
}
