//! The control API refuses strangers on every route, whatever they pretend to be.

mod common;

use std::io::{Read, Write};

use common::{Home, http};
use filbert::web::routes::{Access, ROUTES};

/// A path of that route.
fn example(path: &str) -> String {
    path.replace("{id}", "1").replace("{addr}", "127.0.0.1:1")
}

#[test]
fn every_route_refuses_who_has_no_token_and_who_comes_from_elsewhere() {
    let home = Home::new();
    let servent = home.up(&[]);
    let (api, token) = (servent.api(), servent.token());
    let ask = |method: &str, path: &str, lines: &str| {
        http(api, format!("{method} {path} HTTP/1.1\r\n{lines}Connection: close\r\nContent-Length: 0\r\n\r\n")).status
    };
    let wrong = "0".repeat(64);
    for route in ROUTES {
        let (method, path) = (route.method.as_str(), example(route.path));
        let open = route.access == Access::Open;
        let bearer = format!("Authorization: Bearer {token}\r\n");
        let host = format!("Host: {api}\r\n");

        // Whoever has the token is refused too, when a foreign page sends the request.
        let foreign = format!("{host}{bearer}Origin: http://evil.example\r\n");
        assert_eq!(ask(method, &path, &foreign), 403, "{method} {path}: foreign Origin");
        let null = format!("{host}{bearer}Origin: null\r\n");
        assert_eq!(ask(method, &path, &null), 403, "{method} {path}: Origin null");
        let rebound = format!("Host: evil.example:{}\r\n{bearer}", api.port());
        assert_eq!(ask(method, &path, &rebound), 421, "{method} {path}: foreign Host");
        assert_eq!(ask(method, &path, &format!("Host: \r\n{bearer}")), 400, "{method} {path}: empty Host");
        assert_eq!(ask(method, &path, &bearer), 400, "{method} {path}: no Host");

        if open {
            assert_eq!(ask(method, &path, &host), 200, "{method} {path}: open");
            continue;
        }
        if route.access == Access::Login {
            assert_eq!(ask(method, &path, &host), 404, "{method} {path}: for others than this machine");
            assert_eq!(ask(method, &path, &format!("{host}{bearer}")), 404, "{method} {path}: with the token");
            continue;
        }
        assert_eq!(ask(method, &path, &host), 401, "{method} {path}: no token");
        let guessed = format!("{host}Authorization: Bearer {wrong}\r\n");
        assert_eq!(ask(method, &path, &guessed), 401, "{method} {path}: wrong token");
        let part = format!("{host}Authorization: Bearer {}\r\n", &token[..63]);
        assert_eq!(ask(method, &path, &part), 401, "{method} {path}: part of the token");
        let in_url = format!("{path}?token={token}");
        assert_eq!(ask(method, &in_url, &host), 401, "{method} {path}: token in the URL");
    }
    assert_eq!(ask("GET", "/api/v1/nonsense", &format!("Host: {api}\r\n")), 401, "unknown paths tell nothing either");
    assert_eq!(servent.get("/api/v1/status")["neighbours"], 0, "it still runs: nobody could stop it");
}

#[test]
fn the_token_is_256_bits_for_its_owner_alone_and_survives_restarts() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    let servent = home.up(&[]);
    let path = servent.ready["token_file"].as_str().expect("a path").to_owned();
    let token = servent.token();
    assert!(token.len() == 64 && token.bytes().all(|b| b.is_ascii_hexdigit()), "the file holds the token alone");
    assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
    servent.kill();
    assert_eq!(home.up(&[]).token(), token);
    assert_ne!(Home::new().up(&[]).token(), token);
}

#[test]
fn bad_requests_are_refused_with_a_reason_and_harm_nobody() {
    let home = Home::new();
    let servent = home.up(&[]);
    let api = servent.api();
    let head = format!("Host: {api}\r\nAuthorization: Bearer {}\r\nConnection: close\r\n", servent.token());
    let long = "x".repeat(70_000);
    let table: &[(String, u16)] = &[
        (format!("POST /api/v1/searches HTTP/1.1\r\n{head}Content-Length: 3\r\n\r\n{{}}x"), 400),
        (format!("POST /api/v1/searches HTTP/1.1\r\n{head}Content-Length: 2\r\n\r\n{{}}"), 400),
        (format!("POST /api/v1/searches HTTP/1.1\r\n{head}Content-Length: 70000\r\n\r\n{long}"), 413),
        (format!("PATCH /api/v1/status HTTP/1.1\r\n{head}\r\n"), 405),
        (format!("GET /api/v1/nonsense HTTP/1.1\r\n{head}\r\n"), 404),
        (format!("GET /api/v1/transfers/x HTTP/1.1\r\n{head}\r\n"), 400),
        (format!("GET /api/v1/transfers/99 HTTP/1.1\r\n{head}\r\n"), 404),
        (format!("GET /api/v1/searches/99/hits HTTP/1.1\r\n{head}\r\n"), 404),
        (format!("GET /api/v1/status?a=%zz HTTP/1.1\r\n{head}\r\n"), 400),
        (format!("GET /api/v1/../v1/status HTTP/1.1\r\n{head}\r\n"), 404),
        (format!("GET http://evil.example/healthz HTTP/1.1\r\n{head}\r\n"), 421),
    ];
    for (request, status) in table {
        let answer = http(api, request);
        let line = request.lines().next().unwrap_or_default();
        assert_eq!(answer.status, *status, "{line}: {}", String::from_utf8_lossy(&answer.body));
        let body: serde_json::Value = serde_json::from_slice(&answer.body).expect("errors are JSON");
        let error = &body["error"];
        assert!(["code", "message", "hint"].iter().all(|key| error[*key].is_string()), "{line}: {body}");
    }
    // What is no HTTP at all.
    for garbage in
        [b"\0\0\0\0\r\n\r\n".as_slice(), b"GNUTELLA CONNECT/0.6\r\n\r\n", b"GET /healthz\r\n\r\n", &[0xff; 5000]]
    {
        assert_ne!(http(api, garbage).status / 100, 2);
    }
    assert_eq!(http(api, format!("GET /healthz HTTP/1.1\r\nHost: {api}\r\nConnection: close\r\n\r\n")).status, 200);
}

#[test]
fn who_shows_no_token_keeps_nobody_out_who_has_it() {
    let home = Home::new();
    let servent = home.up(&[]);
    let idle: Vec<_> = (0..200).map(|_| std::net::TcpStream::connect(servent.api()).expect("a seat")).collect();
    for _ in 0..3 {
        let ended = home.run(&["status"]);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
    }
    drop(idle);
}

#[test]
fn one_more_connection_than_there_are_seats_is_told_so_and_the_others_live() {
    let home = Home::new();
    let servent = home.up(&[]);
    let (api, token) = (servent.api(), servent.token());
    let request = format!("GET /api/v1/status HTTP/1.1\r\nHost: {api}\r\nAuthorization: Bearer {token}\r\n\r\n");
    let seated = || {
        let mut stream = std::net::TcpStream::connect(api).expect("a seat");
        stream.write_all(request.as_bytes()).expect("asked");
        let read = stream.read(&mut [0; 12]).expect("answered");
        assert_eq!(read, 12);
        stream
    };
    let idle: Vec<_> = (0..64).map(|_| seated()).collect();
    let refused = http(api, format!("GET /healthz HTTP/1.1\r\nHost: {api}\r\n\r\n"));
    assert_eq!((refused.status, refused.body.len()), (503, 0));
    let ended = home.run(&["status"]);
    assert_eq!(ended.code, 1, "it runs, but has no time for us: {}", ended.stderr);
    drop(idle);
    common::until("there are seats again", || {
        let request = format!("GET /healthz HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", servent.api());
        (http(servent.api(), request).status == 200).then_some(())
    });
}
