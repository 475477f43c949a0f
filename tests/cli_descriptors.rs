//! A servent that may open few files: strangers' connections do not take those that its owner needs.
#![cfg(unix)]

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{Home, Servent, until};
use filbert::wire::Digests;
use serde_json::Value;

/// More than the buffers of the kernel hold.
const LARGE: usize = 24 << 20;

/// `up` with so many open files at most.
fn up(home: &Home, files: usize, args: &[&str]) -> Servent {
    let inner = home.command();
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -n {files} && exec \"$0\" \"$@\"")]).arg(inner.get_program());
    command.args(inner.get_args()).args(["up", "--json", "--listen", "127.0.0.1:0", "--api", "127.0.0.1:0"]).args(args);
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    home.ready(command).unwrap_or_else(|ended| panic!("up ended with {}: {}", ended.code, ended.stderr))
}

fn hashed(home: &Home, files: u64) {
    until("all files are hashed", || {
        let status = home.run(&["--json", "status"]).expect(0).lines().remove(0);
        (status["hashed"] == files).then_some(())
    });
}

fn listen(servent: &Servent) -> SocketAddr {
    servent.ready["listen"].as_str().expect("an address").parse().expect("an address")
}

fn target(bytes: &[u8]) -> String {
    format!("/uri-res/N2R?urn:sha1:{}", Digests::of(bytes).sha1)
}

fn ask(addr: SocketAddr, target: &str) -> TcpStream {
    let mut stream = TcpStream::connect(addr).expect("connected");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
    let _ = write!(stream, "GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
    stream
}

/// The first line of the answer; empty when the connection was closed.
fn status_line(stream: &mut TcpStream) -> String {
    let mut head = [0; 12];
    match stream.read_exact(&mut head) {
        Ok(()) => String::from_utf8_lossy(&head).into_owned(),
        Err(_) => String::new(),
    }
}

#[test]
fn sixty_connections_for_files_leave_room_for_the_owner() {
    let home = Home::new();
    let bytes = vec![7; LARGE];
    let (share, large) = (home.folder("share", &[("large.bin", &bytes)]), target(&bytes));
    let other = home.folder("other", &[("new.txt", b"new"), ("newer.txt", b"newer")]);
    let servent = up(&home, 64, &["--yes", "--no-lan", "--share", share.to_str().expect("text")]);
    hashed(&home, 1);
    let addr = listen(&servent);
    let mut held: Vec<TcpStream> = (0..60).map(|_| ask(addr, &large)).collect();
    let answers: Vec<String> = held.iter_mut().map(status_line).collect();
    let count = |what: &str| answers.iter().filter(|line| line.starts_with(what)).count();
    assert!(count("HTTP/1.1 200") > 4, "{answers:?}");
    assert!(count("HTTP/1.1 503") + count("HTTP/1.1 200") > 16, "who has no room is told so: {answers:?}");
    for _ in 0..3 {
        let status = home.run(&["--json", "status"]).expect(0).lines().remove(0);
        assert!(status["warnings"].to_string().contains("ulimit"), "{status}");
        home.run(&["transfers"]).expect(0);
    }
    home.run(&["share", "--yes", other.to_str().expect("text")]).expect(0);
    hashed(&home, 3);
    drop(held);
}

#[test]
fn a_connection_that_rests_gives_way_to_a_new_request() {
    let home = Home::new();
    let (share, small) = (home.folder("share", &[("small.txt", b"small")]), target(b"small"));
    let servent = up(&home, 64, &["--yes", "--no-lan", "--share", share.to_str().expect("text")]);
    hashed(&home, 1);
    let addr = listen(&servent);
    let mut kept: Vec<TcpStream> = Vec::new();
    for round in 0..40 {
        let mut stream = ask(addr, &small);
        assert_eq!(status_line(&mut stream), "HTTP/1.1 200", "round {round}");
        kept.push(stream);
    }
    let mut rest = Vec::new();
    kept[0].read_to_end(&mut rest).expect("the one that rested longest is closed");
    let mut last = kept.pop().expect("forty");
    write!(last, "GET {small} HTTP/1.1\r\nConnection: close\r\n\r\n").expect("sent");
    last.read_to_end(&mut rest).expect("the newest is still served");
    assert!(String::from_utf8_lossy(&rest).ends_with("small"), "{:?}", String::from_utf8_lossy(&rest));
    let transfers: Vec<Value> = home.run(&["--json", "transfers"]).expect(0).lines();
    assert!(!transfers.is_empty());
}

#[test]
fn of_many_small_files_not_all_are_open_at_a_time() {
    const FILES: usize = 600;
    let (home, giver) = (Home::new(), Home::new());
    let files: Vec<(String, Vec<u8>)> =
        (0..FILES).map(|n| (format!("{n}.txt"), format!("the small file {n}").into_bytes())).collect();
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    let share = giver.folder("share", &files);
    let other = up(&giver, 300, &["--yes", "--no-lan", "--only-listed", "--share", share.to_str().expect("text")]);
    hashed(&giver, FILES as u64);
    let _servent = up(&home, 300, &["--no-lan", "--only-listed"]);
    home.run(&["browse", &listen(&other).to_string()]).expect(0);
    let out = home.path().join("out");
    home.run(&["get", "--folder", ".", "-o", out.to_str().expect("text")]).expect(0);
    for (name, bytes) in files {
        let found = walkdir::WalkDir::new(&out).into_iter().flatten().find(|entry| entry.file_name() == name);
        let found = found.unwrap_or_else(|| panic!("{name} is not there"));
        assert_eq!(std::fs::read(found.path()).expect("read"), bytes, "{name}");
    }
}

/// Each has been asked for once, in vain.
#[test]
fn nor_are_those_that_wait_for_a_source() {
    const FILES: usize = 400;
    let home = Home::new();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let links: Vec<String> = (0..FILES)
        .map(|n| {
            let urn = target(format!("the small file {n}").as_bytes());
            format!("magnet:?xt={}&xl=20&dn={n}&xs=http://{nobody}{urn}", &urn["/uri-res/N2R?".len()..])
        })
        .collect();
    let _servent = up(&home, 300, &["--no-lan", "--only-listed"]);
    let mut get = vec!["--timeout", "8", "get"];
    get.extend(links.iter().map(String::as_str));
    home.run(&get).expect(124);
    let transfers: Vec<Value> = home.run(&["--json", "transfers"]).expect(0).lines();
    assert_eq!(transfers.len(), FILES);
    let failed = transfers.iter().find(|transfer| transfer["state"] == "failed");
    assert!(failed.is_none(), "{failed:?}");
}
