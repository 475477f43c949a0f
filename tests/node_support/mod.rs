//! Real servents on loopback, each with a home of its own in a temporary directory.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use filbert::app::view::{HitView, PeerView, SearchDone, SearchLine, TransferView};
use filbert::app::{Error, Limits, Node, Options, SearchRequest};
use filbert::disk::Home;
use filbert::net::rt;
use filbert::wire::{Frame, HEADER_LEN, Header, Kind};
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};

/// A servent and the directory that goes with it.
pub struct Peer {
    pub node: Node,
    pub dir: tempfile::TempDir,
}

/// How a test servent runs: any free port of loopback, only the neighbours that the test names.
pub fn options(dir: &Path) -> Options {
    Options {
        exclude: Vec::new(),
        home: Home::at(&dir.join("home")),
        share: Vec::new(),
        listen: "127.0.0.1:0".parse().expect("an address"),
        listen_given: true,
        connect: Vec::new(),
        bootstrap: Vec::new(),
        only_listed: true,
        lan: false,
        role: filbert::proto::RoleChoice::default(),
        portmap: filbert::app::PortMapping::Off,
        browse: true,
        give_downloads: true,
        deflate: filbert::proto::Deflate::default(),
        encrypt: filbert::proto::Encrypt::default(),
        out_of_band: filbert::proto::OutOfBand::default(),
        neighbours: 8,
        ttl: 4,
        download_dir: None,
        limits: Limits::default(),
        speeds: Default::default(),
        watch_pace: filbert::app::WatchPace::default(),
        private: false,
    }
}

/// Starts a servent that shares files of these names and contents and is linked to `neighbours`.
pub async fn start(files: &[(&str, &[u8])], neighbours: &[&Peer]) -> Peer {
    start_with(files, neighbours, |_| ()).await
}

/// The same with other options.
pub async fn start_with(files: &[(&str, &[u8])], neighbours: &[&Peer], change: impl FnOnce(&mut Options)) -> Peer {
    let dir = tempfile::tempdir().expect("a directory");
    let mut options = options(dir.path());
    let share = dir.path().join("share");
    std::fs::create_dir(&share).expect("a directory");
    for (name, content) in files {
        std::fs::write(share.join(name), content).expect("written");
    }
    if !files.is_empty() {
        options.share.push(share);
    }
    options.connect = neighbours.iter().map(|peer| peer.addr().to_string()).collect();
    change(&mut options);
    let node = Node::start(options).await.expect("it starts");
    let peer = Peer { node, dir };
    let count = files.len() as u64;
    eventually("its files can be found", async || peer.node.status().await.files == count).await;
    eventually("it is linked", async || peer.node.peers().await.len() >= neighbours.len()).await;
    peer
}

impl Peer {
    pub fn addr(&self) -> SocketAddr {
        self.node.listen_addr()
    }

    /// Searches for `wait_ms` and returns all hits and the end.
    pub async fn search(&self, query: &str, ttl: Option<u8>, wait_ms: u64) -> (Vec<HitView>, SearchDone) {
        let request = SearchRequest { query: query.to_owned(), ttl, wait_ms: Some(wait_ms), max: None };
        self.try_search(request).await.expect("a search")
    }

    pub async fn try_search(&self, request: SearchRequest) -> Result<(Vec<HitView>, SearchDone), Error> {
        let search = self.node.search(request).await?;
        let mut hits = Vec::new();
        let mut lines = self.node.hits(search.id).await?;
        while let Some(line) = lines.next().await {
            match line {
                SearchLine::Hit(hit) => hits.push(hit),
                SearchLine::Done(done) => return Ok((hits, done)),
            }
        }
        panic!("the stream of a search ends with `done`");
    }

    pub async fn counters(&self) -> BTreeMap<String, u64> {
        self.node.status().await.counters
    }

    pub async fn counter(&self, name: &str) -> u64 {
        self.counters().await.get(name).copied().unwrap_or(0)
    }

    /// What this servent knows of its link to `other`.
    pub async fn link_to(&self, other: &Peer) -> PeerView {
        let addr = other.addr().to_string();
        let found = self.node.peers().await.into_iter().find(|peer| peer.addr == addr);
        found.unwrap_or_else(|| panic!("no link to {addr}"))
    }
}

/// Shuts all down.
pub async fn shutdown(peers: Vec<Peer>) {
    for peer in &peers {
        peer.node.shutdown().await;
    }
}

/// Follows a download to its end.
pub async fn finished(node: &Node, id: u64) -> TransferView {
    let mut views = node.watch_transfer(id).await.expect("it is there");
    let mut last = None;
    while let Some(view) = views.next().await {
        last = Some(view);
    }
    last.expect("its state now, at least")
}

/// Waits until `is` holds; fails after half a minute.
pub async fn eventually(what: &str, is: impl AsyncFn() -> bool) {
    within(Duration::from_secs(30), what, is).await;
}

/// Waits until `is` holds; fails after `limit`.
pub async fn within(limit: Duration, what: &str, is: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !is().await {
        assert!(began.elapsed() < limit, "not so within {limit:?}: {what}");
        rt::sleep(Duration::from_millis(10)).await;
    }
}

/// Runs a test that must end within three minutes.
pub fn run(test: impl Future<Output = ()>) {
    let _ = env_logger::builder().is_test(true).try_init();
    rt::block_on(async { rt::timeout(Duration::from_secs(180), test).await.expect("the test ends in time") });
}

/// A peer made by hand: it speaks bytes.
pub struct Raw {
    stream: rt::TcpStream,
    unread: Vec<u8>,
}

/// The first leg that a real servent would send.
pub const OFFER: &str = "GNUTELLA CONNECT/0.6\r\nUser-Agent: by hand/1.0\r\nX-Ultrapeer: True\r\n\r\n";
/// The third.
pub const AGREE: &str = "GNUTELLA/0.6 200 OK\r\n\r\n";

impl Raw {
    /// Opens a connection and says nothing.
    pub async fn dial(addr: SocketAddr) -> Self {
        Self { stream: rt::TcpStream::connect(addr).await.expect("it listens"), unread: Vec::new() }
    }

    /// Opens a link.
    pub async fn link(addr: SocketAddr) -> Self {
        let mut raw = Self::dial(addr).await;
        raw.send(OFFER.as_bytes()).await;
        let answer = raw.read_head().await;
        assert!(answer.starts_with("GNUTELLA/0.6 200"), "{answer}");
        raw.send(AGREE.as_bytes()).await;
        raw
    }

    /// Sends bytes; a peer that closed in the meantime does not mind.
    pub async fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// Sends one after the other, and takes what is answered meanwhile: an answer that is not read when the other side
    /// closes is lost with what it has not read.
    pub async fn send_and_listen(&mut self, pieces: impl IntoIterator<Item = &[u8]>) {
        for piece in pieces {
            self.send(piece).await;
            let _nothing_yet = rt::timeout(Duration::ZERO, self.read_more()).await;
        }
    }

    /// Reads up to the empty line.
    pub async fn read_head(&mut self) -> String {
        loop {
            if let Some(end) = self.unread.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                let head = self.unread.drain(..end + 4).collect();
                return String::from_utf8(head).expect("a text");
            }
            assert!(self.read_more().await, "closed in the middle of a head");
        }
    }

    /// Reads messages until one is of that kind.
    pub async fn read_kind(&mut self, kind: Kind) -> Frame {
        loop {
            if let Ok((header, length)) = Header::decode(&self.unread)
                && self.unread.len() >= HEADER_LEN + length
            {
                let payload = self.unread[HEADER_LEN..HEADER_LEN + length].to_vec().into();
                self.unread.drain(..HEADER_LEN + length);
                if header.kind == kind {
                    return Frame { header, payload };
                }
                continue;
            }
            assert!(self.read_more().await, "closed before a {kind:?} came");
        }
    }

    /// What has come and was not read yet, or comes next.
    pub async fn read_bytes(&mut self) -> Vec<u8> {
        if self.unread.is_empty() {
            assert!(self.read_more().await, "closed");
        }
        std::mem::take(&mut self.unread)
    }

    /// Waits until the other side closes.
    pub async fn closed(&mut self) {
        while self.read_more().await {
            self.unread.clear();
        }
    }

    async fn read_more(&mut self) -> bool {
        let mut buffer = [0; 4096];
        let n = self.stream.read(&mut buffer).await.unwrap_or(0);
        self.unread.extend_from_slice(&buffer[..n]);
        n > 0
    }
}
