//! The fuzzers' corpus, through the functions that the fuzzers call (`fuzz/README.md`): whatever they once
//! found stays found, without a fuzzer.

mod fuzz_entries;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use filbert::wire::handshake::HEAD_LIMIT;
use filbert::wire::head::RawHead;
use filbert::wire::stream::{FrameReader, PAYLOAD_LIMIT};
use filbert::wire::{Frame, Message, ggep::Ggep};

/// So many changed inputs for each target, or a few more.
const RUNS: usize = 3000;

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The files of a folder by name.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_file());
    paths
        .map(|path| (path.file_name().expect("a name").to_string_lossy().into(), fs::read(path).expect("a file")))
        .collect()
}

#[test]
fn the_corpus_of_every_fuzzer_holds() {
    for (name, run) in fuzz_entries::TARGETS {
        let seeds = files(&root("fuzz/corpus").join(name));
        assert!(!seeds.is_empty(), "{name} has seeds");
        let cuts = (RUNS / seeds.len()).max(1);
        for seed in seeds.values() {
            run(seed);
            // What a fuzzer does first: cut it, and turn one bit.
            for at in (0..seed.len()).step_by(1 + seed.len() / cuts) {
                run(&seed[..at]);
                let mut turned = seed.clone();
                turned[at] ^= 1 << (at % 8);
                run(&turned);
            }
        }
    }
}

/// Seeds are made from `tests/vectors`: `FILBERT_BLESS=1 cargo test --test fuzz_corpus` writes them anew, those of new
/// recordings too. What the fuzzers added stays.
#[test]
fn the_seeds_are_what_the_vectors_give() {
    let bless = std::env::var_os("FILBERT_BLESS").is_some();
    for ((target, name), seed) in seeds() {
        let folder = root("fuzz/corpus").join(target);
        if bless {
            fs::create_dir_all(&folder).expect("a folder");
            fs::write(folder.join(name), seed).expect("a file");
        } else {
            let there = fs::read(folder.join(&name)).ok();
            let is_old = there.is_some_and(|there| there != seed);
            assert!(!is_old, "{target}/{name} is not what the vectors give (any more): see FILBERT_BLESS");
        }
    }
}

fn seeds() -> BTreeMap<(&'static str, String), Vec<u8>> {
    let mut seeds: BTreeMap<(&str, String), Vec<u8>> = BTreeMap::new();
    for (name, bytes) in files(&root("tests/vectors")) {
        let Some(name) = name.strip_suffix(".bin") else { continue };
        let short = name.split('-').next().unwrap_or(name).to_owned() + "-" + name.rsplit('.').next().unwrap_or("");
        let (heads, rest) = heads(&bytes, name.ends_with(".in"));
        for (i, head) in heads.iter().enumerate() {
            seeds.insert(("head", format!("{short}-{i}")), head.clone());
        }
        let frames = frames(&rest);
        if frames.is_empty() {
            continue;
        }
        // Few frames of the long recordings are enough.
        let stream: Vec<u8> = std::iter::once(23).chain(rest.iter().copied().take(2000)).collect();
        seeds.insert(("stream", short.clone()), stream);
        for (i, frame) in frames.iter().take(20).enumerate() {
            let kind = u8::from(frame.header.kind);
            let seed = std::iter::once(kind).chain(frame.payload.iter().copied()).collect();
            seeds.insert(("message", format!("{short}-{i:02}-{kind:02x}")), seed);
            for (j, ggep) in blocks(frame).into_iter().enumerate().take(2) {
                let mut block = Vec::new();
                ggep.encode(&mut block);
                seeds.insert(("ggep", format!("{short}-{i:02}-{j}")), block);
            }
        }
    }
    let sha1 = "GKECXDEZDWGCRBZWKYBJD5GGT4KAUE5V";
    let tth = "RNH65JSBJSNS4XE3KF4UU24X5TREJDZGVM34QAA";
    for (i, text) in [
        format!("urn:sha1:{sha1}"),
        format!("URN:SHA1:{}", sha1.to_lowercase()),
        "urn:sha1:32882b8c991d8c288736560291f4c69f140a13b5".into(),
        format!("urn:bitprint:{sha1}.{tth}"),
        format!("urn:tree:tiger/:{tth}"),
        format!("urn:ttroot:{tth}"),
        format!("urn:blake3:{}", "0f".repeat(32)),
        format!("/uri-res/N2R?urn:sha1:{sha1}"),
        format!("/uri-res/N2X?urn:sha1:{sha1};{tth}"),
        "/get/155/acorn%20glacier - nimbus 124.mkv".into(),
        "http://10.0.0.1:6346/".into(),
        "bytes=0-1048575".into(),
        "bytes=-1".into(),
        "bytes 0-524287/4354130".into(),
    ]
    .into_iter()
    .enumerate()
    {
        seeds.insert(("urn", format!("{i:02}")), text.into_bytes());
    }
    for (i, stream) in answers().into_iter().enumerate() {
        for how in 0..8 {
            seeds.insert(("answer", format!("{i:02}-{how}")), [&[how, 7], stream.as_bytes()].concat());
        }
    }
    // The same block or message once.
    let mut known = BTreeSet::new();
    seeds.retain(|(target, _), seed| known.insert((*target, seed.clone())));
    seeds
}

/// What sources say, one answer behind the other: as gtk-gnutella and others write it, and near it.
fn answers() -> Vec<String> {
    let root = "RNH65JSBJSNS4XE3KF4UU24X5TREJDZGVM34QAA";
    let part =
        "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-9/3000000\r\nContent-Length: 10\r\n\r\n0123456789";
    let mut all: Vec<String> = [
        "HTTP/1.1 503 Queued (slot 4)\r\nContent-Length: 0\r\nX-Queue: position=4, length=12, pollMin=30, pollMax=90\r\n\r\n",
        "HTTP/1.1 503 Queued\r\nContent-Length: 0\r\nRetry-After: 60\r\nX-Queued: position=3; ID=6a074979f3201edb; length=9; ETA=90; lifetime=300; retry=60\r\n\r\n",
        "HTTP/1.1 416 Requested Range Not Available\r\nContent-Length: 0\r\nX-Available-Ranges: bytes 0-9, 524288-1048575, 9-3, 7-\r\n\r\n",
        "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */3000000\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 404 Not Found\r\nX-Nalt: 10.0.0.9:6346\r\nX-Push-Proxies: 10.0.0.3:6346, 10.0.0.4\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\n01234\r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\nContent-Disposition: inline; filename=\"a.txt\"\r\n\r\nthe beginning",
        "HTTP/1.1 302 Found\r\nLocation: http://10.0.0.1/\r\n\r\n",
    ]
    .map(str::to_owned)
    .into();
    all.push(format!(
        "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-9/3000000\r\nContent-Length: 10\r\nX-Alt: 10.0.0.2:6346,10.0.0.3\r\n\
         X-Thex-URI: /uri-res/N2X?urn:sha1:X;{root}\r\nX-Blake3-URI: /uri-res/N2B?urn:sha1:X;{}\r\n\
         X-Available-Ranges: bytes 0-99\r\nX-Given-Ranges: bytes 0-9\r\n\r\n0123456789",
        "0f".repeat(32)
    ));
    // As a story: busy, then a part, then the rest not yet.
    all.push([all[1].as_str(), part, &all[2], &all[2], &all[2], part, &all[0], &all[3]].concat());
    all
}

/// The heads at the start of a recording, and what follows them, inflated where it must be.
fn heads(mut bytes: &[u8], is_stored_inflated: bool) -> (Vec<Vec<u8>>, Vec<u8>) {
    let mut heads = Vec::new();
    let mut is_deflated = false;
    let is_head = |bytes: &[u8]| [&b"GNUTELLA"[..], b"GET ", b"HTTP/"].iter().any(|start| bytes.starts_with(start));
    while is_head(bytes)
        && let Ok(Some((head, taken))) = RawHead::decode(bytes, HEAD_LIMIT)
    {
        heads.push(bytes[..taken].to_vec());
        is_deflated |= head.first.starts_with("GNUTELLA") && head.headers.has_token("Content-Encoding", "deflate");
        bytes = &bytes[taken..];
    }
    if is_deflated && !is_stored_inflated {
        let mut inflated = Vec::new();
        // The recordings end before their streams do; what came before the end is all there.
        let _ = flate2::read::ZlibDecoder::new(bytes).read_to_end(&mut inflated);
        return (heads, inflated);
    }
    (heads, bytes.to_vec())
}

fn frames(bytes: &[u8]) -> Vec<Frame> {
    let mut reader = FrameReader::new(PAYLOAD_LIMIT);
    reader.push(bytes);
    let mut frames = Vec::new();
    while let Ok(Some(frame)) = reader.next_frame() {
        frames.push(frame);
    }
    frames
}

fn blocks(frame: &Frame) -> Vec<Ggep> {
    let payload: &Bytes = &frame.payload;
    match Message::decode(frame.header.kind, payload) {
        Ok(Message::Ping(ping)) => vec![ping.ggep],
        Ok(Message::Pong(pong)) => vec![pong.ggep],
        Ok(Message::Push(push)) => vec![push.ggep],
        Ok(Message::Query(query)) => vec![query.ggep],
        Ok(Message::QueryHit(hit)) => {
            hit.qhd.into_iter().map(|qhd| qhd.ggep).chain(hit.entries.into_iter().map(|entry| entry.ggep)).collect()
        }
        _ => Vec::new(),
    }
    .into_iter()
    .filter(|ggep| !ggep.is_empty())
    .collect()
}
