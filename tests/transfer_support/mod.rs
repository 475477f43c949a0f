//! A downloader in a folder of its own, our own server over files in memory of a test, and sources that lie.

#![allow(dead_code)]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use filbert::app::Error;
use filbert::app::downloads::{Downloads, DownloadsConfig, Hooks, Wanted};
use filbert::app::uploads::{UploadHooks, Uploads, UploadsConfig};
use filbert::app::view::{FromView, TransferView};
use filbert::base::Rng;
use filbert::library::{RootId, SharedFile};
use filbert::net::rt::{self, Task};
use filbert::net::serve::{ServeConfig, Shelf, serve_with};
use filbert::transfer::upload::Tree;
use filbert::transfer::{Ask, Expected, Source};
use filbert::wire::features::Features;
use filbert::wire::http::Target;
use filbert::wire::{AnyRow, Digester, Digests, TreeKind, Urn};
use futures::StreamExt;

pub const MIB: usize = 1 << 20;

/// Bytes that look like nothing else.
pub fn content(length: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; length];
    Rng::from_number(seed).fill(&mut bytes);
    bytes
}

pub fn urn(bytes: &[u8]) -> Urn {
    Urn::Sha1(Digests::of(bytes).sha1)
}

/// A download directory with its state; `open` it again to see what a crash leaves.
pub struct Place {
    pub dir: tempfile::TempDir,
    pub requeries: Arc<Mutex<Vec<Urn>>>,
}

impl Place {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a folder"), requeries: Arc::default() }
    }

    pub fn downloads(&self) -> PathBuf {
        self.dir.path().join("downloads")
    }

    pub fn open(&self) -> Downloads {
        self.open_as(true).expect("opened")
    }

    /// Where the state may be out of order.
    pub fn try_open(&self) -> Result<Downloads, Error> {
        self.open_as(true)
    }

    /// As a command does that finds no servent.
    pub fn open_private(&self) -> Downloads {
        self.open_as(false).expect("opened")
    }

    fn open_as(&self, resume: bool) -> Result<Downloads, Error> {
        let config = DownloadsConfig {
            dir: self.downloads(),
            state: self.dir.path().join("state"),
            active: 4,
            resume,
            give: true,
            agent: "filbert/test".into(),
            speed: Default::default(),
        };
        let requeries = Arc::clone(&self.requeries);
        let hooks = Hooks {
            us: Box::new(|_| None),
            features: Box::new(|_| Features { browse: true, queue: true, ipv6: false }),
            requery: Box::new(move |urn| requeries.lock().expect("no panic").push(urn.clone())),
            owned: Box::new(|_| None),
            push: Box::new(|_| Box::pin(async { Err(filbert::transfer::Lost::NoWay) })),
            changed: Box::new(|_| {}),
        };
        rt::block_on(Downloads::open(config, hooks, Rng::from_number(1)))
    }

    /// What the network was asked for, as soon as it was asked so often.
    pub fn asked(&self, times: usize) -> Vec<Urn> {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let asked = self.requeries.lock().expect("no panic").clone();
            if asked.len() >= times || Instant::now() > end {
                return asked;
            }
            pause(Duration::from_millis(5));
        }
    }

    /// Every file in the download directory, folders included, by its path in it.
    pub fn files(&self) -> Vec<String> {
        fn walk(base: &Path, dir: &Path, found: &mut Vec<String>) {
            for entry in fs::read_dir(dir).into_iter().flatten() {
                let path = entry.expect("entry").path();
                found.push(path.strip_prefix(base).expect("below").display().to_string());
                if path.is_dir() {
                    walk(base, &path, found);
                }
            }
        }
        let mut found = Vec::new();
        walk(&self.downloads(), &self.downloads(), &mut found);
        found.sort();
        found
    }
}

/// Lets time pass.
pub fn pause(time: Duration) {
    rt::block_on(rt::sleep(time));
}

/// What to fetch, from there, by its SHA-1.
pub fn wanted(name: &str, bytes: &[u8], sources: &[SocketAddr]) -> Wanted {
    let urn = urn(bytes);
    Wanted {
        name: name.into(),
        size: Some(bytes.len() as u64),
        expected: Expected::of_urn(&urn),
        sources: sources.iter().map(|addr| Source::new(*addr, Ask::Urn(urn.clone()))).collect(),
        ..Wanted::urn(&urn)
    }
}

/// Waits until a download is in one of these states.
pub fn wait(downloads: &Downloads, id: u64, states: &[&str]) -> TransferView {
    wait_for(downloads, id, |view| states.contains(&view.state.as_str()))
}

pub fn wait_for(downloads: &Downloads, id: u64, test: impl Fn(&TransferView) -> bool) -> TransferView {
    let end = Instant::now() + Duration::from_secs(180);
    loop {
        let view = downloads.view(id).expect("a download");
        if test(&view) {
            return view;
        }
        assert!(Instant::now() < end, "it did not come to that: {view:?}");
        pause(Duration::from_millis(5));
    }
}

/// The end of a download.
pub fn finish(downloads: &Downloads, id: u64) -> TransferView {
    let watch = downloads.watch(id).expect("a download");
    let end = async { rt::timeout(Duration::from_secs(180), watch.collect::<Vec<_>>()).await };
    rt::block_on(end).expect("it ends").pop().expect("at least one view")
}

/// Our own server.
pub struct Served {
    pub addr: SocketAddr,
    pub uploads: Uploads,
    pub dir: tempfile::TempDir,
    task: Option<Task<()>>,
}

impl Served {
    pub fn new(files: &[(&str, &[u8])]) -> Self {
        Self::with(UploadsConfig::default(), ServeConfig::default(), files)
    }

    pub fn with(config: UploadsConfig, serve: ServeConfig, files: &[(&str, &[u8])]) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let hashed = files.iter().map(|(name, bytes)| {
            fs::write(dir.path().join(name), bytes).expect("written");
            (*name, Some(Digests::of(bytes)))
        });
        let hashed: Vec<_> = hashed.collect();
        Self::over(config, serve, dir, &hashed)
    }

    /// Files that lie there already.
    pub fn over(
        config: UploadsConfig,
        serve: ServeConfig,
        dir: tempfile::TempDir,
        files: &[(&str, Option<Digests>)],
    ) -> Self {
        let mut shared = BTreeMap::new();
        for (index, (name, digests)) in files.iter().enumerate() {
            let stamp = filbert::disk::stamp_of(&fs::metadata(dir.path().join(name)).expect("a file"));
            let (index, root, name) = (index as u32, RootId(0), (*name).to_owned());
            let file = SharedFile { index, root, path: PathBuf::from(&name), name, stamp, digests: *digests };
            shared.insert(index, Arc::new(file));
        }
        let trees = dir.path().to_owned();
        let (root, ids) = (dir.path().to_owned(), AtomicU64::new(1));
        let hooks = UploadHooks {
            downloads: None,
            find: Box::new(move |target| match target {
                Target::ByIndex(index, _) => shared.get(index).cloned(),
                Target::ByUrn(urn) => {
                    let is = |it: Digests| {
                        urn.sha1().is_none_or(|sha1| it.sha1 == sha1) && urn.tth().is_none_or(|tth| it.tth == tth)
                    };
                    let has = |file: &&Arc<SharedFile>| file.digests.is_some_and(is);
                    shared.values().find(has).cloned()
                }
                _ => None,
            }),
            open: Box::new(move |_, path| filbert::disk::open_beneath(&root, path)),
            tree: Box::new(move |file, kind| {
                let mut digester = Digester::new();
                digester.update(&read(&trees.join(&file.path)));
                let (_, tiger, blake3) = digester.finish_with_rows();
                Tree::Row(match kind {
                    TreeKind::Tiger => AnyRow::Tiger(tiger.into()),
                    TreeKind::Blake3 => AnyRow::Blake3(blake3.into()),
                })
            }),
            pass_on: Box::new(|_, _, _| unreachable!("no proxy is asked")),
            browse: None,
            uses_ipv6: Box::new(|_| false),
            describe: Box::new(|_, _| {}),
            next_id: Box::new(move || ids.fetch_add(1, Ordering::Relaxed)),
            changed: Box::new(|_| {}),
            busy: Box::new(|_| {}),
            speed: Default::default(),
        };
        let uploads = Uploads::new(config, hooks, Rng::from_number(2));
        let shelf: Arc<dyn Shelf> = Arc::new(uploads.clone());
        let listener = rt::block_on(rt::TcpListener::bind("127.0.0.1:0")).expect("a port");
        let addr = listener.local_addr().expect("an address");
        let task = rt::spawn(async move {
            let mut serving = Vec::new();
            while let Ok((stream, from)) = listener.accept().await {
                serving.push(rt::spawn(serve_with(serve, stream, Vec::new(), from, Arc::clone(&shelf))));
            }
        });
        Self { addr, uploads, dir, task: Some(task) }
    }

    /// Stops it, and all its connections.
    pub fn stop(&mut self) {
        if let Some(task) = self.task.take() {
            rt::block_on(task.cancel());
        }
    }
}

/// A source on a thread of its own that answers each request as a test wants it. Returns `false` to close the
/// connection.
pub struct Script {
    pub addr: SocketAddr,
    pub requests: Arc<Mutex<Vec<String>>>,
    pub connections: Arc<AtomicUsize>,
    stopped: Arc<AtomicBool>,
}

impl Script {
    pub fn new(answer: impl Fn(&str, &mut TcpStream) -> bool + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = listener.local_addr().expect("an address");
        let (requests, connections) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let stopped = Arc::new(AtomicBool::new(false));
        let answer = Arc::new(answer);
        let (heads, count, stop) = (Arc::clone(&requests), Arc::clone(&connections), Arc::clone(&stopped));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { return };
                count.fetch_add(1, Ordering::SeqCst);
                let (heads, answer) = (Arc::clone(&heads), Arc::clone(&answer));
                std::thread::spawn(move || serve_script(stream, &heads, &*answer));
            }
        });
        Self { addr, requests, connections, stopped }
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.addr);
    }
}

fn serve_script(stream: TcpStream, heads: &Mutex<Vec<String>>, answer: &dyn Fn(&str, &mut TcpStream) -> bool) {
    let mut reader = BufReader::new(stream.try_clone().expect("a handle"));
    let mut stream = stream;
    loop {
        let mut head = String::new();
        loop {
            let mut line = String::new();
            match reader.read_line(&mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            if line == "\r\n" {
                break;
            }
            head.push_str(&line);
        }
        heads.lock().expect("no panic").push(head.clone());
        if !answer(&head, &mut stream) {
            return;
        }
    }
}

/// First and last byte that a request asks for; the last one is included.
pub fn asked(head: &str) -> (usize, usize) {
    let value = head.lines().find_map(|line| line.strip_prefix("Range: bytes=")).expect("a range");
    let (first, last) = value.split_once('-').expect("a hyphen");
    (first.parse().expect("a number"), last.parse().unwrap_or(usize::MAX))
}

/// A 206 with these bytes of `all`.
pub fn send_206(stream: &mut TcpStream, all: &[u8], first: usize, end: usize) -> bool {
    let head = format!(
        "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {first}-{}/{}\r\nContent-Length: {}\r\n\r\n",
        end - 1,
        all.len(),
        end - first
    );
    send(stream, &head, &all[first..end])
}

pub fn send(stream: &mut TcpStream, head: &str, body: &[u8]) -> bool {
    stream.write_all(head.as_bytes()).is_ok() && stream.write_all(body).is_ok()
}

/// Nobody listens there.
pub fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address")
}

pub fn read(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut File::open(path).expect("a file"), &mut bytes).expect("read");
    bytes
}

/// How a source sends a part of the file.
pub type Body = Box<dyn Fn(&mut TcpStream, usize, usize) -> bool + Send + Sync>;

/// Four sources of a file, each made of how it sends: one that sends wrong bytes, at 6.5 MB/s at most, one that stalls, one that closes
/// in the middle, and an honest one that sends `piece` bytes fifty times a second.
pub fn four(all: &Arc<Vec<u8>>, piece: usize, make: impl Fn(Body) -> Script) -> [Script; 4] {
    let corrupt = {
        let all = Arc::clone(all);
        make(Box::new(move |stream, first, end| {
            let mut sent = all[first..end].to_vec();
            sent.iter_mut().step_by(700_001).for_each(|byte| *byte ^= 0x10);
            // Not faster than the tree comes, on any machine: what was sent before that cannot be held against it.
            sent.chunks(64 << 10).all(|piece| {
                pause(Duration::from_millis(10));
                send(stream, "", piece)
            })
        }))
    };
    let stalled = {
        let all = Arc::clone(all);
        make(Box::new(move |stream, first, end| {
            send(stream, "", &all[first..end.min(first + 200_000)]);
            pause(Duration::from_secs(40));
            false
        }))
    };
    let closing = {
        let (all, count) = (Arc::clone(all), AtomicUsize::new(0));
        make(Box::new(move |stream, first, end| {
            let so_far = 300_000 + 411_111 * count.fetch_add(1, Ordering::SeqCst);
            send(stream, "", &all[first..end.min(first + so_far)]) && first + so_far >= end
        }))
    };
    let slow = {
        let all = Arc::clone(all);
        make(Box::new(move |stream, first, end| {
            all[first..end].chunks(piece).all(|piece| {
                pause(Duration::from_millis(20));
                send(stream, "", piece)
            })
        }))
    };
    [corrupt, stalled, closing, slow]
}

/// What a finished download says of these four: who was dropped and why; at most so many bytes came in vain.
pub fn check_four(view: &TransferView, [corrupt, stalled, closing, slow]: &[Script; 4], all: &[u8], most_in_vain: u64) {
    assert!(read(&view.path.clone().expect("a path")) == all);
    assert_eq!(of(view, corrupt).state, "banned", "{view:?}");
    for (source, words) in [(stalled, "sent nothing for"), (closing, "closed the connection")] {
        assert!(of(view, source).words.contains(words), "{view:?}");
    }
    assert!(of(view, slow).bytes > 0, "{view:?}");
    let vain = view.received - all.len() as u64;
    assert!(vain <= most_in_vain, "{vain} bytes in vain: {view:?}");
}

/// What a download says of a source.
pub fn of<'a>(view: &'a TransferView, source: &Script) -> &'a FromView {
    view.from.iter().find(|from| from.addr == source.addr.to_string()).expect("a source of it")
}
