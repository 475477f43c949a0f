//! A zoo of sources that lie: each row says what its source does, how a download must end that knows no other, and how
//! much of it may be asked for and taken on the way there. Every row is run a second time with an honest source beside
//! the liar: then the file comes, right, whatever the liar does.

mod transfer_support;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use filbert::app::downloads::Wanted;
use filbert::app::view::TransferView;
use filbert::net::rt;
use filbert::wire::{TigerTree, thex};
use transfer_support::*;

/// The file that is lied about.
const SIZE: usize = MIB + 70_005;
/// A row that need not end by itself is watched for so long.
const WATCHED: Duration = Duration::from_secs(4);
/// What the kernel takes on both sides of a connection before a byte of it is read.
const IN_SOCKETS: usize = 12 * MIB;

/// What a source knows, and what it counts.
struct Stage {
    bytes: Vec<u8>,
    tree: Vec<u8>,
    root: String,
    /// Bytes of bodies and trees that somebody took.
    taken: AtomicUsize,
    /// Where the liar would like to have us connect.
    victim: SocketAddr,
}

impl Stage {
    fn new(victim: SocketAddr) -> Self {
        let bytes = content(SIZE, 77);
        let mut tree = TigerTree::new();
        tree.update(&bytes);
        let row = tree.finish_row();
        let (tree, root) = (thex::encode(&row), row.root().to_string());
        Self { bytes, tree, root, taken: AtomicUsize::new(0), victim }
    }

    fn head(&self, first: usize, end: usize, more: &str) -> String {
        let (last, length) = (end - 1, end - first);
        format!(
            "HTTP/1.1 206 OK\r\nContent-Range: bytes {first}-{last}/{SIZE}\r\nContent-Length: {length}\r\n{}{more}\r\n",
            self.thex()
        )
    }

    fn thex(&self) -> String {
        format!("X-Thex-URI: /uri-res/N2X?urn:sha1:X;{}\r\n", self.root)
    }

    fn give(&self, stream: &mut TcpStream, bytes: &[u8]) -> bool {
        let went = send(stream, "", bytes);
        self.taken.fetch_add(if went { bytes.len() } else { 0 }, Ordering::SeqCst);
        went
    }

    /// The same bytes again and again, for as long as somebody takes them; a gigabyte at most.
    fn give_on(&self, stream: &mut TcpStream, bytes: &[u8]) -> bool {
        let _taken = (0..(1 << 30) / bytes.len()).all(|_| self.give(stream, bytes));
        false
    }

    /// As an honest source answers a request for the tree.
    fn give_tree(&self, stream: &mut TcpStream) -> bool {
        let length = self.tree.len();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: application/dime\r\nContent-Length: {length}\r\n\r\n");
        send(stream, &head, &self.tree)
    }

    /// As an honest source answers a request for bytes, but for what `change` does to them.
    fn give_changed(&self, head: &str, stream: &mut TcpStream, change: impl Fn(usize, &mut [u8])) -> bool {
        let (first, end) = range(head);
        let mut body = self.bytes[first..end].to_vec();
        change(first, &mut body);
        send(stream, &self.head(first, end, ""), b"") && self.give(stream, &body)
    }
}

/// First byte and end of what is asked for, as far as it is in the file.
fn range(head: &str) -> (usize, usize) {
    let (first, last) = asked(head);
    (first, last.saturating_add(1).min(SIZE))
}

/// How a download ends that knows this source alone.
enum Ends {
    /// The file comes for all that.
    Right,
    /// The file comes, or it fails with these words: which one depends on what is there first.
    RightOr(&'static str),
    /// It fails, and the reason says this behind the address of the source.
    Fails(&'static str),
    /// It has not ended, and does not spin; what it waits for, or what its source did, says this.
    Waits(&'static str),
}

struct Row {
    name: &'static str,
    answer: fn(&Stage, &str, &mut TcpStream) -> bool,
    alone: Ends,
    /// Requests that it is sent at most while it is watched.
    requests: usize,
    /// Addresses that it named and that are connected to, at most.
    dials: usize,
}

const fn row(
    name: &'static str,
    answer: fn(&Stage, &str, &mut TcpStream) -> bool,
    alone: Ends,
    requests: usize,
) -> Row {
    Row { name, answer, alone, requests, dials: 0 }
}

/// Those with a tree give it when they are asked for it, unless the row is about the tree.
fn tree_or(stage: &Stage, head: &str, stream: &mut TcpStream) -> Option<bool> {
    head.contains("N2X").then(|| stage.give_tree(stream))
}

macro_rules! bytes {
    (|$stage:ident, $head:ident, $stream:ident| $body:expr) => {
        |$stage, $head, $stream| match tree_or($stage, $head, $stream) {
            Some(stays) => stays,
            None => $body,
        }
    };
}

const WRONG: Ends = Ends::Fails("sent");
/// Who lies about the tree is not asked for the file.
const NO_TREE: Ends = Ends::RightOr("gave a tree that is none of its root");

const ZOO: &[Row] = &[
    row(
        "wrong from the start",
        bytes!(|s, h, t| s.give_changed(h, t, |_, body| body.iter_mut().for_each(|it| *it ^= 1))),
        WRONG,
        12,
    ),
    row(
        "wrong in the middle",
        bytes!(|s, h, t| s.give_changed(h, t, |_, body| {
            let half = body.len() / 2;
            body[half..].iter_mut().for_each(|it| *it ^= 0x80);
        })),
        WRONG,
        12,
    ),
    row(
        "one bit",
        bytes!(|s, h, t| s.give_changed(h, t, |first, body| {
            let at = SIZE - 1;
            if (first..first + body.len()).contains(&at) {
                body[at - first] ^= 4;
            }
        })),
        WRONG,
        12,
    ),
    row(
        "wrong, and no tree",
        |s, h, t| {
            let (first, end) = range(h);
            let length = end - first;
            let head = format!(
                "HTTP/1.1 206 OK\r\nContent-Range: bytes {first}-{}/{SIZE}\r\nContent-Length: {length}\r\n\r\n",
                end - 1
            );
            send(t, &head, b"") && s.give(t, &vec![7; length])
        },
        WRONG,
        12,
    ),
    row(
        "zipped without being asked",
        |s, h, t| {
            let (first, end) = range(h);
            let head = s.head(first, end, "Content-Encoding: gzip\r\n").replace(&s.thex(), "");
            send(t, &head, b"") && s.give(t, &vec![0x1f; end - first])
        },
        Ends::Fails(""),
        12,
    ),
    row(
        "always short",
        bytes!(|s, h, t| {
            let (first, end) = range(h);
            let _taken =
                send(t, &s.head(first, end, ""), b"") && s.give(t, &s.bytes[first..first + (end - first).min(10)]);
            false
        }),
        Ends::Waits("closed the connection"),
        8,
    ),
    row(
        "a byte an answer",
        bytes!(|s, h, t| {
            let (first, _) = range(h);
            send(t, &s.head(first, first + 1, ""), b"") && s.give(t, &s.bytes[first..=first])
        }),
        Ends::Waits(""),
        200,
    ),
    row(
        "a byte a while",
        bytes!(|s, h, t| {
            let (first, end) = range(h);
            send(t, &s.head(first, end, ""), b"")
                && s.bytes[first..end].iter().take(200).all(|byte| {
                    pause(Duration::from_millis(100));
                    s.give(t, &[*byte])
                })
        }),
        Ends::Waits(""),
        2,
    ),
    row(
        "its head byte by byte",
        |s, h, t| {
            if h.contains("N2X") {
                return s.give_tree(t);
            }
            let (first, end) = range(h);
            let _taken = s.head(first, end, "").bytes().all(|byte| {
                pause(Duration::from_millis(150));
                s.give(t, &[byte])
            });
            false
        },
        Ends::Waits(""),
        2,
    ),
    row(
        "longer than it says",
        bytes!(|s, h, t| {
            let (first, end) = range(h);
            send(t, &s.head(first, end, ""), b"") && s.give(t, &s.bytes[first..end]) && s.give_on(t, &[b'x'; 1 << 16])
        }),
        Ends::Right,
        12,
    ),
    row(
        "endless, without a length",
        |s, h, t| {
            let (first, end) = range(h);
            send(t, "HTTP/1.1 200 OK\r\n\r\n", b"")
                && first == 0
                && s.give(t, &s.bytes[..end])
                && s.give_on(t, &[9; 1 << 16])
        },
        Ends::Right,
        12,
    ),
    row(
        "another range than asked for",
        bytes!(|s, h, t| {
            let (first, end) = range(h);
            let head = s.head(first, end, "").replace(&format!("bytes {first}-"), &format!("bytes {}-", first + 1000));
            send(t, &head, b"") && s.give(t, &s.bytes[first..end])
        }),
        Ends::Waits("sent what is no HTTP"),
        8,
    ),
    row(
        "ten times the size",
        |s, h, t| {
            let (first, end) = range(h);
            let head = s.head(first, end, "").replace(&format!("/{SIZE}"), &format!("/{SIZE}0"));
            send(t, &head, b"") && s.give(t, &s.bytes[first..end])
        },
        Ends::Waits(""),
        8,
    ),
    row(
        "a size that no disk has",
        |s, h, t| {
            let (first, end) = range(h);
            let head = s.head(first, end, "").replace(&format!("/{SIZE}"), "/18446744073709551615");
            send(t, &head, b"") && s.give(t, &s.bytes[first..end])
        },
        Ends::Waits(""),
        8,
    ),
    row(
        "redirects to a victim",
        |s, _, t| {
            send(t, &format!("HTTP/1.1 302 Found\r\nLocation: http://{}/\r\nContent-Length: 0\r\n\r\n", s.victim), b"")
        },
        Ends::Waits("redirects elsewhere"),
        4,
    ),
    row(
        "503 for ever, at once",
        |_, _, t| send(t, "HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n", b""),
        Ends::Waits(""),
        6,
    ),
    row(
        "a queue with polls of zero seconds",
        |_, _, t| {
            let queue = "X-Queue: position=1,length=1,limit=1,pollMin=0,pollMax=0";
            send(t, &format!("HTTP/1.1 503 Busy\r\n{queue}\r\nContent-Length: 0\r\n\r\n"), b"")
        },
        Ends::Waits(""),
        8,
    ),
    row(
        "a queue that is asked again in a thousand years",
        |_, _, t| send(t, "HTTP/1.1 503 Busy\r\nRetry-After: 31536000000\r\nContent-Length: 0\r\n\r\n", b""),
        Ends::Waits(""),
        2,
    ),
    row("closes at once", |_, _, _| false, Ends::Waits("closed the connection"), 8),
    row(
        "other parts each time, and none of them",
        |_, h, t| {
            let at = h.len() * 4096 % SIZE;
            let head =
                format!("HTTP/1.1 416 No\r\nX-Available-Ranges: bytes {at}-{}\r\nContent-Length: 0\r\n\r\n", SIZE - 1);
            send(t, &head, b"")
        },
        Ends::Waits(""),
        12,
    ),
    row(
        "all parts, and none of them",
        |_, _, t| {
            let head =
                format!("HTTP/1.1 416 No\r\nX-Available-Ranges: bytes 0-{}\r\nContent-Length: 0\r\n\r\n", SIZE - 1);
            send(t, &head, b"")
        },
        Ends::Waits(""),
        12,
    ),
    row(
        "answers of no bytes",
        |s, _, t| {
            let head = format!("HTTP/1.1 200 OK\r\n{}Content-Length: 0\r\n\r\n", s.thex());
            send(t, &head, b"")
        },
        Ends::Waits(""),
        8,
    ),
    row(
        "a chunk of all the bytes there are",
        |s, _, t| {
            let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\n";
            send(t, head, b"") && s.give_on(t, &[1; 1 << 16])
        },
        Ends::Waits(""),
        12,
    ),
    row(
        "a chunk whose length never ends",
        |s, _, t| {
            send(t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"") && s.give_on(t, &[b'0'; 1 << 16])
        },
        Ends::Waits(""),
        12,
    ),
    row(
        "a status that is only the beginning, for ever",
        |s, _, t| s.give_on(t, b"HTTP/1.1 100 Continue\r\n\r\n"),
        Ends::Waits(""),
        12,
    ),
    row(
        "the tree of something else",
        |s, h, t| match h.contains("N2X") {
            true => {
                let mut other = TigerTree::new();
                other.update(&content(SIZE, 78));
                let tree = thex::encode(&other.finish_row());
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", tree.len());
                send(t, &head, &tree)
            }
            false => s.give_changed(h, t, |_, _| {}),
        },
        NO_TREE,
        12,
    ),
    row(
        "a tree that never ends",
        |s, h, t| match h.contains("N2X") {
            true => send(t, "HTTP/1.1 200 OK\r\nContent-Type: application/dime\r\n\r\n", b"") && s.give_on(t, &s.tree),
            false => s.give_changed(h, t, |_, _| {}),
        },
        NO_TREE,
        12,
    ),
    row(
        "a tree by drops",
        |s, h, t| match h.contains("N2X") {
            true => {
                send(t, "HTTP/1.1 200 OK\r\nContent-Type: application/dime\r\n\r\n", b"")
                    && s.tree.iter().take(300).all(|byte| {
                        pause(Duration::from_millis(100));
                        send(t, "", &[*byte])
                    })
            }
            false => s.give_changed(h, t, |_, _| {}),
        },
        Ends::Right,
        12,
    ),
    row(
        "noise for a tree",
        |s, h, t| match h.contains("N2X") {
            true => send(t, "HTTP/1.1 200 OK\r\nContent-Length: 4096\r\n\r\n", &content(4096, 5)),
            false => s.give_changed(h, t, |_, _| {}),
        },
        NO_TREE,
        12,
    ),
    Row {
        // As many as may be known besides it: `max_sources`.
        dials: 63,
        ..row(
            "thousands of others who have it",
            bytes!(|s, h, t| {
                let port = s.victim.port();
                let addrs =
                    |n: u8| (1..=250_u8).map(|last| format!("127.{n}.9.{last}:{port}")).collect::<Vec<_>>().join(", ");
                let more: String = (1..=5).map(|n| format!("X-Alt: {}\r\n", addrs(n))).collect();
                let (first, _) = range(h);
                let end = first + 1;
                send(t, &s.head(first, end, &more), b"") && s.give(t, &s.bytes[first..end])
            }),
            Ends::Waits(""),
            200,
        )
    },
];

/// One download: how it stands in the end, or after the time that it is watched.
struct Run {
    view: TransferView,
    files: Vec<String>,
    requests: usize,
    taken: usize,
}

fn run(row: &'static Row, victim: SocketAddr, honest: Option<SocketAddr>) -> Run {
    let (place, stage) = (Place::new(), Arc::new(Stage::new(victim)));
    let liar = {
        let stage = Arc::clone(&stage);
        Script::new(move |head, stream| (row.answer)(&stage, head, stream))
    };
    let sources: Vec<_> = [Some(liar.addr), honest].into_iter().flatten().collect();
    let downloads = place.open();
    let id = rt::block_on(downloads.get(wanted("a.bin", &stage.bytes, &sources))).expect("begun").id;
    let over = |view: &TransferView| matches!(view.state.as_str(), "done" | "failed");
    let view = match honest {
        Some(_) => wait_for(&downloads, id, over),
        None => {
            let time = if matches!(row.alone, Ends::Waits(_)) { WATCHED } else { Duration::from_secs(60) };
            let end = std::time::Instant::now() + time;
            loop {
                let view = downloads.view(id).expect("a download");
                if over(&view) || std::time::Instant::now() > end {
                    break view;
                }
                pause(Duration::from_millis(20));
            }
        }
    };
    rt::block_on(downloads.shutdown());
    if view.state == "done" {
        assert!(read(view.path.as_ref().expect("a path")) == stage.bytes, "{}: a wrong file", row.name);
    }
    let requests = liar.requests.lock().expect("no panic").len();
    Run { view, files: place.files(), requests, taken: stage.taken.load(Ordering::SeqCst) }
}

/// Listens on one port of all addresses, and counts who comes to which.
fn victim() -> (SocketAddr, Arc<Mutex<BTreeSet<IpAddr>>>) {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a port");
    let addr = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), listener.local_addr().expect("an address").port());
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let told = Arc::clone(&seen);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let local = stream.local_addr().expect("an address").ip();
            told.lock().expect("no panic").insert(local);
        }
    });
    (addr, seen)
}

fn check_alone(row: &'static Row) -> Result<(), String> {
    let (addr, seen) = victim();
    let run = run(row, addr, None);
    let (view, name) = (&run.view, row.name);
    let said = format!("{name}: {} requests, {} bytes taken, {view:?}, {:?}", run.requests, run.taken, run.files);
    let ends = match &row.alone {
        Ends::Right => view.state == "done",
        Ends::RightOr(words) => view.state == "done" || view.state == "failed" && view.reason.contains(words),
        Ends::Fails(words) => view.state == "failed" && view.reason.contains(words) && view.error.is_some(),
        Ends::Waits(words) => {
            let says = view.reason.contains(words) || view.from.iter().any(|from| from.words.contains(words));
            !matches!(view.state.as_str(), "done" | "failed") && says
        }
    };
    let finished = run.files.iter().any(|file| file == "a.bin");
    let seen = seen.lock().expect("no panic");
    match () {
        () if !ends => Err(format!("it ends otherwise: {said}")),
        () if finished != (view.state == "done") => Err(format!("a file that was not finished: {said}")),
        () if run.requests > row.requests => Err(format!("asked too often: {said}")),
        () if run.taken > 3 * SIZE + IN_SOCKETS => Err(format!("too much was taken: {said}")),
        () if seen.len() > row.dials => Err(format!("{} victims: {said}", seen.len())),
        () => Ok(()),
    }
}

fn check_beside(row: &'static Row) -> Result<(), String> {
    let (addr, _) = victim();
    let bytes = content(SIZE, 77);
    let honest = Served::new(&[("a.bin", &bytes)]);
    let run = run(row, addr, Some(honest.addr));
    match run.view.state.as_str() {
        "done" => Ok(()),
        _ => Err(format!("{} with an honest one: {:?}", row.name, run.view)),
    }
}

/// Every row at once: most of the time they wait.
fn all(check: fn(&'static Row) -> Result<(), String>) {
    let runs: Vec<_> = ZOO.iter().map(|row| std::thread::spawn(move || check(row))).collect();
    let failed: Vec<_> = runs.into_iter().filter_map(|run| run.join().expect("no panic").err()).collect();
    assert!(failed.is_empty(), "{} rows:\n{}", failed.len(), failed.join("\n"));
}

#[test]
fn a_liar_alone_never_makes_a_wrong_file_a_busy_loop_or_a_full_memory() {
    all(check_alone);
}

#[test]
fn beside_an_honest_source_no_liar_is_in_the_way() {
    all(check_beside);
}

#[test]
fn names_made_to_hurt_stay_in_the_folder_and_show_what_they_are() {
    let bytes = content(1000, 3);
    let served = Served::new(&[("a", &bytes)]);
    let long = format!("{}.txt", "x".repeat(5000));
    let names = [
        "../../outside",
        "/etc/passwd",
        "..",
        ".",
        "",
        "a/../../b",
        "..\\..\\c",
        "C:\\windows\\d",
        "nul",
        "COM1.txt",
        "e\0f",
        "g\nh",
        "\u{202e}gpj.exe",
        "i\u{200b}j",
        "k\u{2066}l",
        "\u{1b}[31mred",
        ".hidden",
        "-rf",
        "m ",
        "n.",
        "o:stream",
        &long,
        "\u{feff}p",
        "q\u{e0001}r",
        "s.filbert-part",
    ];
    for name in names {
        let place = Place::new();
        let before: Vec<_> =
            std::fs::read_dir(place.dir.path()).expect("a folder").map(|it| it.expect("one").file_name()).collect();
        assert!(before.is_empty());
        let downloads = place.open();
        let got = rt::block_on(downloads.get(Wanted { name: name.into(), ..wanted("x", &bytes, &[served.addr]) }));
        let view = finish(&downloads, got.expect("begun").id);
        rt::block_on(downloads.shutdown());
        assert_eq!(view.state, "done", "{name:?}: {view:?}");
        let path = view.path.expect("a path");
        assert_eq!(path.parent(), Some(place.downloads().as_path()), "{name:?}");
        let is = path.file_name().expect("a name").to_str().expect("UTF-8").to_owned();
        let hurts = |it: char| {
            it.is_control()
                || "/\\:\0".contains(it)
                || matches!(it, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
        };
        assert!(
            !is.chars().any(hurts) && is.len() <= 255 && !is.starts_with(['.', '-', ' ']) && !is.ends_with([' ', '.']),
            "{name:?} became {is:?}"
        );
        let mut beside: Vec<_> =
            std::fs::read_dir(place.dir.path()).expect("a folder").map(|it| it.expect("one").file_name()).collect();
        beside.sort();
        assert!(beside.iter().all(|it| it == "downloads" || it == "state"), "{name:?}: {beside:?}");
        assert!(read(&path) == bytes);
    }
}
