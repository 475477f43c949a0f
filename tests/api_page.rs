//! The page is served as it should be, its cookie opens for it alone, and the API describes itself.

mod common;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use common::{Answer, Home, Servent, http, until};
use filbert::web::page::{FILES, POLICY};
use filbert::web::routes::{Access, Found, ROUTES, find};
use serde_json::{Value, json};

fn ask(servent: &Servent, line: &str, headers: &str) -> Answer {
    let api = servent.api();
    http(api, format!("{line} HTTP/1.1\r\nHost: {api}\r\n{headers}Connection: close\r\nContent-Length: 0\r\n\r\n"))
}

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    let of = |line: &'a str| line.split_once(": ").filter(|(key, _)| key.eq_ignore_ascii_case(name));
    answer.head.lines().find_map(of).map(|(_, value)| value)
}

#[test]
fn the_page_is_open_strict_and_known_by_its_tag() {
    let home = Home::new();
    let servent = home.up(&[]);
    for file in FILES {
        let answer = ask(&servent, &format!("GET {}", file.path), "");
        assert_eq!((answer.status, answer.body.as_slice()), (200, file.bytes), "{}", file.path);
        assert_eq!(header(&answer, "content-type"), Some(file.kind));
        assert_eq!(header(&answer, "content-security-policy"), Some(POLICY));
        assert_eq!(header(&answer, "x-content-type-options"), Some("nosniff"));
        assert_eq!(header(&answer, "set-cookie"), None);
        let tag = header(&answer, "etag").expect("a tag");
        let again = ask(&servent, &format!("GET {}", file.path), &format!("If-None-Match: \"x\", {tag}\r\n"));
        assert_eq!((again.status, again.body.len()), (304, 0), "{}", file.path);
        assert_eq!(ask(&servent, &format!("HEAD {}", file.path), "").body.len(), 0);
        assert_eq!(ask(&servent, &format!("POST {}", file.path), "").status, 405);
        assert_eq!(ask(&servent, &format!("GET {}", file.path), "Origin: http://evil.example\r\n").status, 403);
    }
    for part in ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"] {
        assert!(POLICY.contains(part), "{part}");
    }
    assert_eq!(ask(&servent, "GET /../../etc/passwd", "").status, 401, "what is not listed is not there");
}

/// The pair of a `Set-Cookie`.
fn cookie(answer: &Answer) -> String {
    header(answer, "set-cookie").and_then(|cookie| cookie.split(';').next()).expect("a cookie").to_owned()
}

#[test]
fn the_token_is_exchanged_for_a_cookie_that_opens_every_route_to_our_own_page_and_to_no_other() {
    let home = Home::new();
    let servent = home.up(&[]);
    let (api, token) = (servent.api(), servent.token());
    assert_eq!(ask(&servent, "POST /api/v1/session", "").status, 401);
    assert_eq!(
        ask(&servent, "POST /api/v1/session", &format!("Authorization: Bearer {}\r\n", "0".repeat(64))).status,
        401
    );
    let given = ask(&servent, "POST /api/v1/session", &format!("Authorization: Bearer {token}\r\n"));
    let whole = header(&given, "set-cookie").expect("a cookie");
    assert!(whole.starts_with(&format!("filbert-{}=", api.port())), "{whole}");
    assert!(whole.contains("HttpOnly") && whole.contains("SameSite=Strict") && !whole.contains(&token), "{whole}");
    let pair = cookie(&given);
    let ours = format!("Cookie: {pair}\r\nOrigin: http://{api}\r\nSec-Fetch-Site: same-origin\r\n");
    assert_eq!(ask(&servent, "GET /api/v1/status", &ours).status, 200);
    for route in ROUTES.iter().filter(|route| route.access == Access::Token) {
        let path = route.path.replace("{id}", "1").replace("{addr}", "127.0.0.1:1");
        let line = format!("{} {path}", route.method);
        // A page on another port of this machine is the same site: the browser sends the cookie along.
        let port = format!("Cookie: {pair}\r\nSec-Fetch-Site: same-site\r\n");
        assert_eq!(ask(&servent, &line, &port).status, 403, "{line}: another port");
        let foreign = format!("Cookie: {pair}\r\nOrigin: http://127.0.0.1:1\r\n");
        assert_eq!(ask(&servent, &line, &foreign).status, 403, "{line}: another port's Origin");
        assert_eq!(ask(&servent, &line, &format!("Cookie: {pair}0\r\n")).status, 401, "{line}: another cookie");
        if !route.method.is_safe() {
            assert_eq!(ask(&servent, &line, &format!("Cookie: {pair}\r\n")).status, 403, "{line}: no Origin");
        }
    }
    let taken = ask(&servent, "DELETE /api/v1/session", &ours);
    assert!(header(&taken, "set-cookie").is_some_and(|cookie| cookie.contains("Max-Age=0")), "{}", taken.head);
    let other = Home::new();
    let other = other.up(&[]);
    assert_eq!(ask(&other, "GET /api/v1/status", &format!("Cookie: {pair}\r\n")).status, 401, "another servent");
}

#[test]
fn the_document_describes_every_route() {
    let home = Home::new();
    let servent = home.up(&[]);
    let document = servent.get("/api/v1/openapi.json");
    assert_eq!(document["openapi"], "3.1.0");
    for route in ROUTES {
        let operation = &document["paths"][route.path][route.method.as_str().to_lowercase()];
        assert_eq!(operation["summary"], route.what);
    }
    let status = servent.get("/api/v1/status");
    let described = &document["components"]["schemas"]["StatusView"]["properties"];
    for key in status.as_object().expect("an object").keys() {
        assert!(described[key].is_object(), "{key} is not described");
    }
}

#[test]
fn numbers_for_prometheus_are_well_formed() {
    let home = Home::new();
    let folder = home.folder("music", &[("a.txt", b"abc")]);
    let servent = home.up(&["--share", &folder.to_string_lossy()]);
    servent.hashed(1);
    let token = servent.token();
    let answer = ask(&servent, "GET /metrics", &format!("Authorization: Bearer {token}\r\n"));
    assert!(header(&answer, "content-type").is_some_and(|kind| kind.starts_with("text/plain; version=0.0.4")));
    let text = String::from_utf8(answer.body).expect("text");
    assert!(!text.contains(&token));
    let mut kinds = std::collections::BTreeSet::new();
    for line in text.lines() {
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            assert!(kinds.insert(kind.split(' ').next().expect("a name").to_owned()), "{line}: twice");
        } else if !line.starts_with('#') {
            let (name, value) = line.rsplit_once(' ').expect("a value");
            let family = name.split('{').next().expect("a name");
            assert!(kinds.contains(family) && value.parse::<f64>().is_ok(), "{line}");
        }
    }
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.and_then(|value| value.parse::<f64>().ok())
    };
    assert_eq!((value("filbert_verify_fail_total"), value("filbert_watch_degraded")), (Some(0.0), Some(0.0)));
    if cfg!(target_os = "linux") {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs_f64();
        let start = value("process_start_time_seconds").expect("told");
        assert!((now - 600.0..=now + 2.0).contains(&start), "{start} is not just before {now}");
        assert!(value("process_cpu_seconds_total").is_some_and(|secs| secs < 600.0));
        assert!(value("process_resident_memory_bytes").is_some_and(|bytes| bytes > 1e6));
        let (open, most) = (value("process_open_fds").expect("told"), value("process_max_fds"));
        assert!(open >= 3.0 && most.is_none_or(|most| open < most), "{open} of {most:?}");
    }
    for wanted in ["filbert_share_files 1", "filbert_peers{role=\"ultrapeer\",direction=\"in\"} 0"] {
        assert!(text.lines().any(|line| line == wanted), "{wanted} in {text}");
    }
    let board: Value = serde_json::from_str(include_str!("../docs/grafana.json")).expect("the board is JSON");
    let panels = board["panels"].as_array().expect("panels");
    let asked = panels.iter().flat_map(|panel| panel["targets"].as_array().expect("targets"));
    let mut seen = 0;
    for expression in asked.filter_map(|target| target["expr"].as_str()) {
        for name in
            expression.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|name| name.starts_with("filbert_"))
        {
            assert!(kinds.contains(name), "the board asks for {name}, which is not told");
            seen += 1;
        }
    }
    assert!(seen > 8, "{seen}");
    // What docs/API.md calls worth an alarm can be seen.
    let drawn = board["panels"].to_string();
    for name in ["filbert_verify_fail_total", "filbert_watch_degraded", "process_open_fds", "process_max_fds"] {
        assert!(drawn.contains(name), "the board does not draw {name}");
    }
}

#[test]
fn events_bring_snapshots_at_once_and_when_they_change() {
    let home = Home::new();
    let servent = home.up(&[]);
    let (api, token) = (servent.api(), servent.token());
    let mut stream = TcpStream::connect(api).expect("it listens");
    stream.set_read_timeout(Some(common::PATIENCE)).expect("a timeout");
    write!(
        stream,
        "GET /api/v1/events?with=status,shares HTTP/1.0\r\nHost: {api}\r\nAuthorization: Bearer {token}\r\n\r\n"
    )
    .expect("sent");
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let mut next = |kind: &str| -> Value {
        let wanted = format!("event: {kind}");
        assert!(lines.any(|line| line == wanted), "{kind}");
        let data = lines.next().expect("data follows");
        serde_json::from_str(data.strip_prefix("data: ").expect("data")).expect("JSON")
    };
    assert_eq!(next("status")["files"], 0);
    assert_eq!(next("folders")["folders"], json!([]));
    let folder = home.folder("music", &[("a.txt", b"abc")]);
    assert_eq!(servent.call("POST", "/api/v1/shares", &json!({ "path": folder }).to_string()).0, 201);
    until("the folder is told", || {
        let folders = next("folders");
        (folders["folders"][0]["files"] == 1).then_some(())
    });
    assert_eq!(servent.call("GET", "/api/v1/events?with=nonsense", "").0, 400);
}

#[test]
fn a_preview_shares_nothing_and_folders_are_listed() {
    let home = Home::new();
    let folder = home.folder("music", &[("a.txt", b"abc"), ("b.iso", b"abc"), ("id_rsa", b"abc"), (".hidden", b"x")]);
    let servent = home.up(&[]);
    let body = json!({ "path": folder, "exclude": ["*.iso"] }).to_string();
    let (status, seen) = servent.call("POST", "/api/v1/shares/preview", &body);
    assert_eq!((status, seen["files"].as_u64()), (200, Some(2)), "{seen}");
    assert_eq!(seen["looks_private"], json!(["id_rsa"]));
    assert_eq!(servent.get("/api/v1/shares"), json!([]), "nothing is shared by looking");
    assert_eq!(servent.call("POST", "/api/v1/shares/preview", r#"{"path":"/"}"#).0, 403);
    let escaped = filbert::web::uri::escape(home.path().to_str().expect("UTF-8"));
    let listed = servent.get(&format!("/api/v1/folders?path={escaped}"));
    assert!(listed["folders"].as_array().is_some_and(|all| all.contains(&json!("music"))), "{listed}");
    assert_eq!(servent.call("GET", "/api/v1/folders?path=/no/such/folder", "").0, 404);
}

#[test]
fn a_browsed_list_leaves_the_numbers_of_the_search_alone_when_asked_to() {
    let (home_a, home_b) = (Home::new(), Home::new());
    let folder = home_b.folder("music", &[("blue train.txt", b"abc")]);
    let own = home_a.folder("own", &[("mine.txt", b"mine")]);
    let b = home_b.up(&["--only-listed", "--share", &folder.to_string_lossy()]);
    b.hashed(1);
    let a = home_a.up(&["--only-listed", "--connect", &b.listen(), "--share", &own.to_string_lossy()]);
    a.linked(1);
    a.hashed(1);
    let all = |path: String| {
        until("hits", || Some(a.get(&path)).filter(|hits| hits.as_array().is_some_and(|all| !all.is_empty())))
    };
    let (_, search) = a.call("POST", "/api/v1/searches", r#"{"query":"blue","max":1}"#);
    let hits = all(format!("/api/v1/searches/{}/hits", search["id"]));
    assert_eq!(hits[0]["via"], b.listen(), "{hits}");
    let body = json!({ "host": a.listen(), "keep_numbers": true }).to_string();
    let (status, browsed) = a.call("POST", "/api/v1/browse", &body);
    assert_eq!(status, 201, "{browsed}");
    let list = all(format!("/api/v1/searches/{}/hits", browsed["id"]));
    assert_eq!(list[0]["name"], "mine.txt", "what strangers see");
    let (status, transfer) = a.call("POST", "/api/v1/transfers", r#"{"what":"1"}"#);
    assert_eq!((status, transfer["name"].as_str()), (201, Some("blue train.txt")), "{transfer}");
    let of = json!({ "what": "1", "search": 99 }).to_string();
    assert_eq!(a.call("POST", "/api/v1/transfers", &of).0, 404);
    let several = json!([{ "what": "99" }, { "what": "1" }]).to_string();
    let (status, started) = a.call("POST", "/api/v1/transfers/many", &several);
    assert_eq!(
        (status, &started[0]["error"]["code"], started.as_array().map(Vec::len)),
        (200, &json!("not_found"), Some(2))
    );
    assert_eq!(started[1]["transfer"]["id"], transfer["id"], "one file is one download");
    let many = json!(vec![json!({ "what": "1" }); 101]).to_string();
    assert_eq!(a.call("POST", "/api/v1/transfers/many", &many).0, 400, "no more than 100 in a call");
    let id = transfer["id"].as_u64().expect("a number");
    for (ids, found) in [(format!("{id}"), 1), (format!("{}-{},{id}", id, id + 5), 1), (format!("{}-{id}", id + 1), 0)]
    {
        assert_eq!(a.get(&format!("/api/v1/transfers?ids={ids}")).as_array().map(Vec::len), Some(found), "{ids}");
    }
    assert_eq!(a.call("GET", "/api/v1/transfers?ids=1,x", "").0, 400);
    let path = format!("/api/v1/transfers/{}/blocks", transfer["id"]);
    until("its only part is stored", || {
        let blocks = a.get(&path);
        (blocks["runs"] == json!([{ "state": "stored", "blocks": 1, "source": null }])).then_some(())
    });
    for (servent, counted) in
        [(&a, r#"filbert_transfer_bytes_total{dir="down"} 3"#), (&b, r#"filbert_transfer_bytes_total{dir="up"} 3"#)]
    {
        until(counted, || {
            let answer = ask(servent, "GET /metrics", &format!("Authorization: Bearer {}\r\n", servent.token()));
            String::from_utf8(answer.body).expect("text").lines().any(|line| line == counted).then_some(())
        });
    }
}

#[test]
fn every_example_of_the_documentation_works() {
    if std::process::Command::new("curl").arg("--version").output().is_err() {
        eprintln!("there is no curl on this machine: the examples are not run");
        return;
    }
    let (home, home_b) = (Home::new(), Home::new());
    let songs = home_b.folder("songs", &[("blue train.flac", &common::noise(100_000, 3))]);
    let b = home_b.up(&["--only-listed", "--share", &songs.to_string_lossy()]);
    b.hashed(1);
    let music = home.folder("Music", &[("a.txt", b"abc")]);
    let mut child = home.command().arg("password").stdin(std::process::Stdio::piped()).spawn().expect("it starts");
    writeln!(child.stdin.take().expect("piped"), "correct horse").expect("written");
    common::finish(child).expect(0);
    let servent = home.up(&["--only-listed", "--api-remote", "--connect", &b.listen().to_string()]);
    servent.linked(1);
    let text = include_str!("../docs/API.md");
    let mut shown = std::collections::BTreeSet::new();
    let mut given = String::new();
    for block in text.split("```sh\n").skip(2).filter_map(|rest| rest.split("```").next()) {
        for example in block.lines() {
            let script = format!("{given}{example}");
            let mut command = std::process::Command::new("sh");
            command.args(["-euc", &script]);
            command.env("API", format!("http://{}", servent.api())).env("TOKEN", servent.token());
            command.env("PASSWORD", "correct horse");
            command.env("DIR", &music).env("HOST", b.listen()).stdin(std::process::Stdio::null());
            let output = command.output().expect("sh runs");
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{example}\n{said}{}", String::from_utf8_lossy(&output.stderr));
            if example.starts_with("curl") {
                assert!(!output.stdout.is_empty(), "{example} told nothing");
            } else {
                given = format!("{script}; ");
            }
            shown.extend(asked_by(example));
        }
    }
    for route in ROUTES {
        assert!(shown.contains(&(route.method.as_str(), route.path)), "no example of {} {}", route.method, route.path);
    }
}

/// The route that an example is of.
fn asked_by(example: &str) -> Option<(&'static str, &'static str)> {
    let after = |flag| example.split_once(flag).and_then(|(_, rest)| rest.split_whitespace().next());
    let (method, path) = match example.split_once("\"$API") {
        Some((_, rest)) => {
            let path = rest.split(['"', '?']).next().expect("a path").replace("$HOST", "127.0.0.1:1");
            (after("-X ").unwrap_or(if example.contains(" -d ") { "POST" } else { "GET" }), path)
        }
        None => {
            let head = if example.contains("-fsSI") { "HEAD" } else { "GET" };
            example.contains("\"$PLAY\"").then(|| (head, "/play/1/key/name".to_owned()))?
        }
    };
    match find(&method.parse().expect("a method"), &path) {
        Found::Route(route, _) => Some((route.method.as_str(), route.path)),
        _ => panic!("there is no {method} {path}: {example}"),
    }
}
