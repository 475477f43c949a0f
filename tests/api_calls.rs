//! The control API does what its route table says.

mod common;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use common::{Home, until};
use serde_json::{Value, json};

#[test]
fn the_list_names_every_route() {
    let home = Home::new();
    let servent = home.up(&[]);
    let list = servent.get("/api/v1");
    let routes = list["routes"].as_array().expect("a list");
    assert_eq!(routes.len(), filbert::web::routes::ROUTES.len());
    for wanted in ["status", "shares", "peers", "transfers", "searches", "hosts", "config", "events"] {
        let path = format!("/api/v1/{wanted}");
        assert!(routes.iter().any(|route| route["method"] == "GET" && route["path"] == path.as_str()), "{path}");
    }
    assert!(routes.iter().all(|route| route["what"].as_str().is_some_and(|what| !what.is_empty())));
}

#[test]
fn status_and_config_have_the_keys_of_the_contract() {
    let home = Home::new();
    let folder = home.folder("music", &[("a.txt", b"abc"), ("b.txt", b"defg")]);
    let servent = home.up(&["--share", &folder.to_string_lossy(), "--neighbours", "5"]);
    servent.hashed(2);
    let status = servent.get("/api/v1/status");
    for key in ["files", "hashed", "bytes", "neighbours", "leaves", "down_bps", "up_bps", "uptime_s"] {
        assert!(status[key].is_u64(), "{key} in {status}");
    }
    for key in ["role", "reachable"] {
        assert!(status[key].is_string(), "{key} in {status}");
    }
    assert_eq!((status["files"].as_u64(), status["bytes"].as_u64()), (Some(2), Some(7)));
    let config = servent.get("/api/v1/config");
    let neighbours = config.as_array().expect("a list").iter().find(|s| s["key"] == "neighbours").expect("listed");
    assert_eq!(*neighbours, json!({ "key": "neighbours", "value": 5, "origin": "flag" }));
}

#[test]
fn a_share_comes_and_goes() {
    let home = Home::new();
    let folder = home.folder("müsic & more", &[("a.txt", b"abc")]).canonicalize().expect("there");
    let servent = home.up(&[]);
    let (status, share) = servent.call("POST", "/api/v1/shares", &json!({ "path": folder }).to_string());
    assert_eq!((status, share["path"].as_str()), (201, folder.to_str()), "{share}");
    servent.hashed(1);
    let escaped = filbert::web::uri::escape(folder.to_str().expect("UTF-8"));
    assert_eq!(servent.call("DELETE", &format!("/api/v1/shares?path={escaped}"), "").0, 200);
    until("nothing is shared", || (servent.get("/api/v1/status")["files"] == 0).then_some(()));
    assert_eq!(servent.call("DELETE", &format!("/api/v1/shares?path={escaped}"), "").0, 404);
    let (status, refused) = servent.call("POST", "/api/v1/shares", r#"{"path":"/"}"#);
    assert_eq!((status, refused["error"]["code"].as_str()), (403, Some("refused")), "{refused}");
}

#[test]
fn a_folder_whose_name_is_no_text_is_shared_and_told_as_well_as_can_be() {
    use std::os::unix::ffi::OsStrExt;
    let home = Home::new();
    let folder = home.path().join(std::ffi::OsStr::from_bytes(b"m\xfcsik"));
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(folder.join("a.txt"), b"abc").expect("a file");
    let refused = home.run(&["share".as_ref(), folder.as_os_str()]).expect(1);
    assert!(refused.stderr.contains("up --share"), "{}", refused.stderr);
    let mut command = home.command();
    command.args(["up", "--json", "--listen", "127.0.0.1:0", "--api", "127.0.0.1:0", "--share"]).arg(&folder);
    let servent = home.ready(command).unwrap_or_else(|ended| panic!("{}", ended.stderr));
    servent.hashed(1);
    let shares = servent.get("/api/v1/shares");
    assert!(shares[0]["path"].as_str().is_some_and(|path| path.ends_with("m\u{fffd}sik")), "{shares}");
}

#[test]
fn peers_are_connected_counted_and_disconnected() {
    let (home_a, home_b) = (Home::new(), Home::new());
    let (a, b) = (home_a.up(&["--only-listed"]), home_b.up(&["--only-listed"]));
    let (status, peer) = a.call("POST", "/api/v1/peers", &json!({ "host": b.listen() }).to_string());
    assert_eq!(status, 201, "{peer}");
    let peers = a.get("/api/v1/peers");
    let peer = &peers[0];
    assert_eq!(peer["addr"], b.listen());
    assert_eq!(peer["direction"], "out");
    for key in ["vendor", "role"] {
        assert!(peer[key].is_string(), "{key} in {peer}");
    }
    for key in ["duplicates", "since_s"] {
        assert!(peer[key].is_u64(), "{key} in {peer}");
    }
    assert!(peer["hops_avg"].is_number() && peer["drops"].is_object(), "{peer}");
    for way in ["in", "out"] {
        assert!(peer[way]["msgs"].is_u64() && peer[way]["bytes"].is_u64(), "{peer}");
    }
    assert_eq!(a.call("DELETE", &format!("/api/v1/peers/{}", b.listen()), "").0, 200);
    a.linked(0);
    b.linked(0);
    assert_eq!(a.call("PUT", "/api/v1/neighbours", r#"{"neighbours":3}"#).0, 200);
    let report = json!({ "named": 2, "added": 1, "known": 0, "refused": 1, "not_taken": [{ "line": 2, "text": "a:b:c", "why": "is no host" }] });
    assert_eq!(a.call("POST", "/api/v1/hosts", r##"{"hosts":["127.0.0.1:1","a:b:c","# x"]}"##), (200, report));
    let hosts = a.get("/api/v1/hosts");
    assert!(hosts.as_array().expect("a list").iter().any(|host| host["addr"] == "127.0.0.1:1"), "{hosts}");
}

/// The lines of a stream, read as they come.
fn stream(servent: &common::Servent, path: &str) -> impl Iterator<Item = String> + use<> {
    let mut stream = TcpStream::connect(servent.api()).expect("it listens");
    stream.set_read_timeout(Some(common::PATIENCE)).expect("a timeout");
    let (api, token) = (servent.api(), servent.token());
    // HTTP/1.0 has no chunks: what comes is what was written.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {api}\r\nAuthorization: Bearer {token}\r\n\r\n").expect("sent");
    BufReader::new(stream).lines().map_while(Result::ok).skip_while(|line| !line.is_empty()).skip(1)
}

#[test]
fn hits_stream_a_line_each_and_events_as_they_happen() {
    let (home_a, home_b) = (Home::new(), Home::new());
    let folder = home_b.folder("music", &[("blue train.txt", b"abc"), ("blue sky.txt", b"abcd")]);
    let b = home_b.up(&["--only-listed", "--share", &folder.to_string_lossy()]);
    b.hashed(2);
    let a = home_a.up(&["--only-listed"]);
    let mut happenings = stream(&a, "/api/v1/events");
    assert_eq!(happenings.next().as_deref(), Some(": filbert"));
    assert_eq!(a.call("POST", "/api/v1/peers", &json!({ "host": b.listen() }).to_string()).0, 201);
    assert!(happenings.any(|line| line == "event: neighbour_up"));
    let data = happenings.next().expect("data follows");
    assert!(data.starts_with("data: {") && data.contains(&b.listen()), "{data}");

    let body = json!({ "query": "blue", "max": 2, "wait_ms": 20_000 }).to_string();
    let (status, search) = a.call("POST", "/api/v1/searches", &body);
    assert_eq!(status, 201, "{search}");
    let lines: Vec<Value> = stream(&a, &format!("/api/v1/searches/{}/hits?follow=1", search["id"]))
        .map(|line| serde_json::from_str(&line).expect("a JSON line"))
        .collect();
    assert_eq!(lines.len(), 3, "two hits and the end: {lines:?}");
    assert_eq!((lines[0]["hit"].as_u64(), lines[1]["hit"].as_u64()), (Some(1), Some(2)));
    assert_eq!(lines[2]["event"], "done");
    let hits = a.get(&format!("/api/v1/searches/{}/hits", search["id"]));
    assert_eq!(hits.as_array().map(Vec::len), Some(2), "{hits}");
    assert!(a.get("/api/v1/searches").as_array().is_some_and(|all| all.len() == 1));
}

#[test]
fn streams_end_when_the_servent_does() {
    let home = Home::new();
    let servent = home.up(&[]);
    let happenings = stream(&servent, "/api/v1/events");
    assert_eq!(servent.call("POST", "/api/v1/shutdown", "").0, 202);
    assert!(happenings.count() >= 1, "it came to an end");
}
