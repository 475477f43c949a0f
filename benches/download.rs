//! Megabytes a second over loopback: our server to our downloader (fetched, hashed by block, verified, in its
//! place and synced), and our server to `curl`, if that is here, as a measure of the server alone.
//!
//! `cargo bench --bench download [-- MEGABYTES]`; the table gives the median of five runs each, and each run.
//! Everything lies in one temporary folder, that of `TMPDIR`.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use filbert::app::downloads::{Downloads, DownloadsConfig, Hooks, Wanted};
use filbert::app::uploads::{UploadHooks, Uploads, UploadsConfig};
use filbert::base::Rng;
use filbert::library::{RootId, SharedFile};
use filbert::net::rt;
use filbert::net::serve::{ServeConfig, Shelf, serve_with};
use filbert::transfer::{Ask, Expected, Source};
use filbert::wire::{Digester, Digests};
use futures::StreamExt;

const RUNS: usize = 5;

fn main() {
    let megabytes = std::env::args().filter_map(|arg| arg.parse::<u64>().ok()).next().unwrap_or(512);
    let dir = tempfile::tempdir().expect("a folder");
    let (path, digests) = sample(dir.path(), megabytes);
    let addr = server(&path, digests);
    let size = megabytes * 1_000_000;
    println!("{megabytes} MB over loopback, median of {RUNS} runs");
    println!("{:<44} {:>8}   each run", "", "MB/s");
    let all = Expected::from(digests);
    let by = |name: &str, expected: Expected| {
        let mut run = 0;
        report(name, size, || {
            run += 1;
            ours(&dir.path().join(format!("{name} {run}")), addr, expected, size)
        });
    };
    by("filbert, no hash known", Expected::default());
    by("filbert, SHA-1 verified", Expected { sha1: all.sha1, ..Expected::default() });
    by("filbert, SHA-1 and BLAKE3 verified", Expected { tth: None, ..all });
    by("filbert, SHA-1 and Tiger tree verified", Expected { blake3: None, ..all });
    if curl(&["--version"]) {
        let url = format!("http://{addr}/get/0/sample.bin");
        let to = dir.path().join("curl.bin").display().to_string();
        report("curl to a file, nothing verified", size, || {
            let begun = Instant::now();
            assert!(curl(&["-s", "-f", "-o", &to, &url]), "curl failed");
            begun.elapsed()
        });
        report("curl to nowhere", size, || {
            let begun = Instant::now();
            assert!(curl(&["-s", "-f", "-o", "/dev/null", &url]), "curl failed");
            begun.elapsed()
        });
    }
}

fn report(name: &str, size: u64, mut run: impl FnMut() -> Duration) {
    let mut rates: Vec<f64> = (0..RUNS).map(|_| size as f64 / 1e6 / run().as_secs_f64()).collect();
    let each = rates.iter().map(|rate| format!("{rate:.0}")).collect::<Vec<_>>().join(" ");
    rates.sort_by(f64::total_cmp);
    println!("{name:<44} {:>8.0}   {each}", rates[RUNS / 2]);
}

/// One download into a fresh folder; the folder is removed afterwards, outside of the time.
fn ours(place: &Path, addr: std::net::SocketAddr, expected: Expected, size: u64) -> Duration {
    let config = DownloadsConfig {
        dir: place.join("downloads"),
        state: place.join("state"),
        active: 1,
        resume: true,
        give: true,
        agent: "filbert/bench".into(),
        speed: Default::default(),
    };
    let hooks = Hooks {
        us: Box::new(|_| None),
        features: Box::new(|_| Default::default()),
        requery: Box::new(|_| {}),
        owned: Box::new(|_| None),
        push: Box::new(|_| Box::pin(async { Err(filbert::transfer::Lost::NoWay) })),
        changed: Box::new(|_| {}),
    };
    let downloads = rt::block_on(Downloads::open(config, hooks, Rng::from_number(1))).expect("opened");
    let wanted = Wanted {
        expected,
        size: Some(size),
        folder: String::new(),
        name: "sample.bin".into(),
        sources: vec![Source::new(addr, Ask::Index(0, "sample.bin".into()))],
        dir: None,
        on_exists: Default::default(),
        priority: Default::default(),
    };
    let begun = Instant::now();
    let id = rt::block_on(downloads.get(wanted)).expect("begun").id;
    let last = rt::block_on(downloads.watch(id).expect("a download").collect::<Vec<_>>()).pop().expect("a view");
    let elapsed = begun.elapsed();
    assert_eq!(last.state, "done", "{last:?}");
    assert_eq!(last.verified.as_deref(), Some(expected.strongest().word()));
    rt::block_on(downloads.shutdown());
    drop(downloads);
    std::fs::remove_dir_all(place).expect("removed");
    elapsed
}

fn sample(dir: &Path, megabytes: u64) -> (PathBuf, Digests) {
    let path = dir.join("sample.bin");
    let (mut file, mut digester, mut rng) =
        (File::create(&path).expect("a file"), Digester::new(), Rng::from_number(1));
    let mut piece = vec![0; 1_000_000];
    rng.fill(&mut piece);
    for n in 0..megabytes {
        piece[..8].copy_from_slice(&n.to_le_bytes());
        file.write_all(&piece).expect("written");
        digester.update(&piece);
    }
    file.sync_all().expect("synced");
    (path, digester.finish())
}

fn server(path: &Path, digests: Digests) -> std::net::SocketAddr {
    let stamp = filbert::disk::stamp_of(&std::fs::metadata(path).expect("a file"));
    let name = "sample.bin".to_owned();
    let (root, file) = (RootId(0), PathBuf::from(&name));
    let shared = Arc::new(SharedFile { index: 0, root, path: file, name, stamp, digests: Some(digests) });
    let (dir, ids) = (path.parent().expect("a folder").to_owned(), AtomicU64::new(1));
    let hooks = UploadHooks {
        downloads: None,
        find: Box::new(move |_| Some(Arc::clone(&shared))),
        open: Box::new(move |_, path| filbert::disk::open_beneath(&dir, path)),
        tree: Box::new(|_, _| filbert::transfer::upload::Tree::Nothing),
        pass_on: Box::new(|_, _, _| unreachable!("no proxy is asked")),
        browse: None,
        uses_ipv6: Box::new(|_| false),
        describe: Box::new(|_, _| {}),
        next_id: Box::new(move || ids.fetch_add(1, Ordering::Relaxed)),
        changed: Box::new(|_| {}),
        busy: Box::new(|_| {}),
        speed: Default::default(),
    };
    let shelf: Arc<dyn Shelf> = Arc::new(Uploads::new(UploadsConfig::default(), hooks, Rng::from_number(2)));
    let listener = rt::block_on(rt::TcpListener::bind("127.0.0.1:0")).expect("a port");
    let addr = listener.local_addr().expect("an address");
    rt::spawn(async move {
        while let Ok((stream, from)) = listener.accept().await {
            rt::spawn(serve_with(ServeConfig::default(), stream, Vec::new(), from, Arc::clone(&shelf))).detach();
        }
    })
    .detach();
    addr
}

fn curl(args: &[&str]) -> bool {
    let run = Command::new("curl").args(args).stdout(Stdio::null()).stderr(Stdio::null()).status();
    run.is_ok_and(|status| status.success())
}
