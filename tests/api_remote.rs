//! The control API beyond this machine: only by who means it and has set a password, and to nobody without it.
//!
//! The servents listen on all addresses of this machine and are asked at one that is not loopback, where there is one.

mod common;

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::process::Stdio;

use common::{Answer, Ended, Home, finish, http, until};
use filbert::web::routes::{Access, ROUTES};
use serde_json::{Value, json};

const PASSWORD: &str = "correct horse battery";
const WRONG: &str = "wrong donkey accumulator";

/// `filbert password`, by stdin.
fn set_password(home: &Home, password: &str) -> Ended {
    let mut child = home.command().arg("password").stdin(Stdio::piped()).spawn().expect("it starts");
    // What is too long is not read to its end.
    let _ = writeln!(child.stdin.take().expect("piped"), "{password}");
    finish(child)
}

/// An address of this machine that others would use. Nothing is sent to find it.
fn outside() -> IpAddr {
    let found = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.connect("198.51.100.77:9")?;
        socket.local_addr()
    });
    found.map_or([127, 0, 0, 1].into(), |addr| addr.ip())
}

/// A request with that `Host`, these further lines and that body.
fn ask(to: SocketAddr, line: &str, host: &str, lines: &str, body: &str) -> Answer {
    let length = body.len();
    http(
        to,
        format!(
            "{line} HTTP/1.1\r\nHost: {host}\r\n{lines}Connection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        ),
    )
}

fn log_in(to: SocketAddr, password: &str) -> Answer {
    ask(to, "POST /api/v1/login", &to.to_string(), "", &json!({ "password": password }).to_string())
}

fn code(answer: &Answer) -> String {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    body["error"]["code"].as_str().unwrap_or_default().to_owned()
}

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    let of = |line: &'a str| line.split_once(": ").filter(|(key, _)| key.eq_ignore_ascii_case(name));
    answer.head.lines().find_map(of).map(|(_, value)| value)
}

fn cookie(answer: &Answer) -> String {
    let pair = header(answer, "set-cookie").and_then(|cookie| cookie.split(';').next());
    format!("Cookie: {}\r\n", pair.unwrap_or_else(|| panic!("no cookie: {answer:?}")))
}

#[test]
fn it_is_refused_without_the_flag_and_without_a_password_and_says_what_is_missing() {
    let home = Home::new();
    let refused = |args: &[&str]| match home.try_up(args) {
        Ok(_) => panic!("{args:?}: it opened the API"),
        Err(ended) => {
            assert_eq!(ended.code, 6, "{args:?}: {}", ended.stderr);
            let typed = format!("filbert --home {} password", home.path().display());
            assert!(
                ended.stderr.contains("ssh -L 7346:127.0.0.1:7346") && ended.stderr.contains(&typed),
                "{}",
                ended.stderr
            );
            (ended.stderr.contains("--api-remote was not said"), ended.stderr.contains("no password is set"))
        }
    };
    for anywhere in ["0.0.0.0:0", "[::]:0", "192.0.2.1:7346"] {
        assert_eq!(refused(&["--api", anywhere]), (true, true), "{anywhere}");
    }
    assert_eq!(refused(&["--api", "0.0.0.0:0", "--api-remote"]), (false, true));
    assert_eq!(refused(&["--api-remote"]), (false, true), "nor on loopback, for a proxy");
    assert_eq!(home.run(&["config", "set", "api", "0.0.0.0:7346"]).code, 6);
    assert_eq!(home.run(&["config", "set", "api_remote", "true"]).code, 6);
    assert!(!home.join("config.toml").exists());
    set_password(&home, PASSWORD).expect(0);
    assert_eq!(refused(&["--api", "0.0.0.0:0"]), (true, false));
    home.run(&["config", "set", "api_remote", "true"]).expect(0);
    home.run(&["config", "set", "api", "0.0.0.0:7346"]).expect(0);
    assert_eq!(home.run(&["config", "set", "api_host", "http://nas.lan"]).code, 2);
    let told = home.run(&["doctor", "--json"]);
    assert!(told.stdout.contains("not encrypted"), "{}", told.stdout);
    home.run(&["password", "--remove"]).expect(0);
    assert_eq!(refused(&[]), (false, true), "and a password that is gone opens nothing");
    // What others could have read is no password.
    set_password(&home, PASSWORD).expect(0);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let file = home.join("state/password");
        assert_eq!(std::fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).expect("changed");
        assert_eq!(refused(&[]), (false, true));
    }
}

#[test]
fn a_password_has_its_lengths_and_is_kept_as_its_hash_alone() {
    let home = Home::new();
    for bad in ["", "1234567", &"x".repeat(1025), &"x".repeat(100_000)] {
        assert_eq!(set_password(&home, bad).code, 2, "{} bytes", bad.len());
    }
    assert!(!home.join("state/password").exists());
    let said = set_password(&home, PASSWORD).expect(0);
    assert!(said.stdout.is_empty() && said.stderr.contains("--api-remote"), "{}", said.stderr);
    let kept = std::fs::read_to_string(home.join("state/password")).expect("kept");
    assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{kept}");
    set_password(&home, PASSWORD).expect(0);
    assert_ne!(std::fs::read_to_string(home.join("state/password")).expect("kept"), kept, "another salt");
    assert_eq!(home.run(&["password", "--remove", "--json"]).expect(0).lines(), [json!({ "password": false })]);
    home.run(&["password", "--remove"]).expect(0);
}

/// One in the background, whose log is kept.
struct Detached<'a> {
    home: &'a Home,
    ready: Value,
}

impl<'a> Detached<'a> {
    fn up(home: &'a Home, args: &[&str]) -> Self {
        let common = ["-vvv", "up", "--detach", "--json", "--listen", "127.0.0.1:0", "--api-remote", "--api"];
        let ready = home.run(&[common.as_slice(), args].concat()).expect(0).lines().remove(0);
        Self { home, ready }
    }

    fn port(&self) -> u16 {
        self.ready["api_listen"].as_str().and_then(|at| at.parse::<SocketAddr>().ok()).expect("an address").port()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.home.join("state/log")).expect("a log")
    }
}

impl Drop for Detached<'_> {
    fn drop(&mut self) {
        self.home.run(&["down"]);
    }
}

#[test]
fn the_password_opens_from_elsewhere_until_it_is_another_one_and_is_told_nowhere() {
    let home = Home::new();
    set_password(&home, PASSWORD).expect(0);
    let servent = Detached::up(&home, &["0.0.0.0:0"]);
    let far = SocketAddr::new(outside(), servent.port());
    let own = far.to_string();
    let ours = format!("Origin: http://{own}\r\n");
    assert_eq!(servent.ready["api"], format!("http://127.0.0.1:{}", far.port()), "commands of this machine");
    home.run(&["status"]).expect(0);

    // The page is there, and data is not.
    assert_eq!(ask(far, "GET /", &own, "", "").status, 200);
    let closed = ask(far, "GET /api/v1/status", &own, "", "");
    assert_eq!((closed.status, code(&closed).as_str()), (401, "log_in"));
    let wrong = log_in(far, WRONG);
    assert_eq!((wrong.status, code(&wrong).as_str(), header(&wrong, "set-cookie")), (401, "wrong_password", None));
    let hashed = std::fs::read_to_string(home.join("state/password")).expect("kept");
    assert_eq!(log_in(far, &hashed).status, 401, "the hash is no password");

    let opened = log_in(far, PASSWORD);
    let whole = header(&opened, "set-cookie").unwrap_or_default().to_owned();
    assert!(opened.status == 200 && whole.contains("HttpOnly; SameSite=Strict"), "{opened:?}");
    let came_in = cookie(&opened);
    assert_eq!(ask(far, "GET /api/v1/status", &own, &came_in, "").status, 200);
    let neighbours = |lines: &str, host: &str| {
        ask(far, "PUT /api/v1/neighbours", host, &format!("{came_in}{lines}"), r#"{"neighbours":3}"#).status
    };
    assert_eq!(neighbours(&ours, &own), 200);
    assert_eq!(neighbours("", &own), 403, "no Origin");
    assert_eq!(neighbours("Origin: http://evil.example\r\n", &own), 403);
    assert_eq!(neighbours(&format!("Origin: http://localhost:{}\r\n", far.port()), &own), 403, "another name of ours");
    assert_eq!(neighbours(&format!("Origin: http://evil.example:{}\r\n", far.port()), "evil.example"), 421);
    let rebound = format!("evil.example:{}", far.port());
    assert_eq!(neighbours(&format!("Origin: http://{rebound}\r\n"), &rebound), 421, "DNS rebinding");
    assert_eq!(neighbours(&ours, &format!("{}:{}", far.ip(), far.port() ^ 1)), 421, "another port");
    let foreign = ask(
        far,
        "POST /api/v1/login",
        &own,
        "Origin: http://evil.example\r\n",
        &json!({ "password": PASSWORD }).to_string(),
    );
    assert_eq!(foreign.status, 403, "a page elsewhere cannot even try");

    // What is got by the password is not worth more than it: neither another cookie nor an open stream.
    let renewed = cookie(&ask(far, "POST /api/v1/session", &own, &format!("{came_in}{ours}"), ""));
    assert_eq!(renewed, came_in);
    let mut stream = TcpStream::connect(far).expect("a seat");
    stream.set_read_timeout(Some(common::PATIENCE)).expect("a timeout");
    write!(stream, "GET /api/v1/events?with=status HTTP/1.1\r\nHost: {own}\r\n{came_in}\r\n").expect("asked");
    assert_ne!(stream.read(&mut [0; 4096]).expect("told"), 0);

    let said = set_password(&home, "another horse altogether").expect(0);
    assert!(said.stderr.contains("who had come in by the old one is out"), "{}", said.stderr);
    assert_eq!(ask(far, "GET /api/v1/status", &own, &came_in, "").status, 401, "the old cookie");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).expect("the stream ends");
    let came_in = cookie(&log_in(far, "another horse altogether"));
    assert_eq!(ask(far, "GET /api/v1/status", &own, &came_in, "").status, 200);

    // Two were wrong so far, the hash among them.
    for _ in 0..3 {
        assert_eq!(log_in(far, PASSWORD).status, 401, "the old password");
    }
    let later = log_in(far, "another horse altogether");
    assert_eq!((later.status, code(&later).as_str()), (429, "too_many"), "also the right one has to wait");
    let wait: u64 = header(&later, "retry-after").and_then(|wait| wait.parse().ok()).expect("how long");
    assert!((1..=60).contains(&wait), "{wait}");
    assert_eq!(ask(far, "GET /api/v1/status", &own, &came_in, "").status, 200, "who came in stays in");
    home.run(&["status"]).expect(0);
    let doctor = home.run(&["doctor", "--json"]);
    assert!(doctor.stdout.contains("not encrypted"), "{}", doctor.stdout);

    home.run(&["password", "--remove"]).expect(0);
    assert_eq!(ask(far, "GET /api/v1/status", &own, &came_in, "").status, 401);
    let none = log_in(far, "another horse altogether");
    assert_eq!((none.status, code(&none).as_str()), (404, "no_login"));

    let bundle = home.join("bundle.txt");
    home.run(&["doctor", "--bundle", &bundle.display().to_string()]);
    let log = servent.log();
    for told in [format!("{} was refused: wrong password", far.ip()), format!("{} came in by the password", far.ip())] {
        assert!(log.contains(&told), "{told}: {log}");
    }
    let pid = &servent.ready["pid"];
    let process = ["cmdline", "environ"].map(|name| std::fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default());
    let mut places = vec![log.into_bytes(), std::fs::read(bundle).expect("a bundle")];
    places.extend(process);
    places.extend(files(home.path()));
    for secret in [PASSWORD, WRONG, "another horse"] {
        let told = places.iter().filter(|bytes| bytes.windows(secret.len()).any(|part| part == secret.as_bytes()));
        assert_eq!(told.count(), 0, "{secret} is told");
    }
}

/// The bytes of all files below.
fn files(dir: &Path) -> Vec<Vec<u8>> {
    let entries = std::fs::read_dir(dir).expect("a folder").flatten();
    entries
        .flat_map(|entry| match entry.path().is_dir() {
            true => files(&entry.path()),
            false => vec![std::fs::read(entry.path()).unwrap_or_default()],
        })
        .collect()
}

#[test]
fn a_proxy_on_this_machine_is_known_by_the_name_that_was_given() {
    let home = Home::new();
    set_password(&home, PASSWORD).expect(0);
    let servent = home.up(&["--api-remote", "--api-host", "nas.lan"]);
    let api = servent.api();
    let body = json!({ "password": PASSWORD }).to_string();
    let opened = ask(api, "POST /api/v1/login", "nas.lan", "Origin: https://nas.lan\r\n", &body);
    assert!(header(&opened, "set-cookie").is_some_and(|cookie| cookie.ends_with("; Secure")), "{opened:?}");
    let came_in = cookie(&opened);
    let get = |host: &str| ask(api, "GET /api/v1/status", host, &came_in, "").status;
    assert_eq!((get("nas.lan"), get("evil.example"), get("nas.lan:444"), get("192.0.2.1")), (200, 421, 421, 421));
    let post = |origin: &str| {
        ask(api, "PUT /api/v1/neighbours", "nas.lan", &format!("{came_in}Origin: {origin}\r\n"), r#"{"neighbours":3}"#)
            .status
    };
    assert_eq!((post("https://nas.lan"), post("https://evil.example"), post("https://nas.lan:444")), (200, 403, 403));
    let alone = Home::new();
    set_password(&alone, PASSWORD).expect(0);
    let alone = alone.up(&["--api-host", "nas.lan"]);
    let api = alone.api();
    assert_eq!(ask(api, "GET /healthz", "nas.lan", "", "").status, 421, "a name alone opens nothing");
    let closed = log_in(api, PASSWORD);
    assert_eq!((closed.status, code(&closed).as_str()), (404, "no_login"), "nor does a password alone");
}

#[test]
fn every_route_refuses_who_has_not_come_in() {
    let home = Home::new();
    set_password(&home, PASSWORD).expect(0);
    let servent = home.up(&["--api", "0.0.0.0:0", "--api-remote"]);
    let far = SocketAddr::new(outside(), servent.api().port());
    let own = far.to_string();
    let wrong = json!({ "password": WRONG }).to_string();
    for route in ROUTES.iter().filter(|route| route.access != Access::Open) {
        let line = format!("{} {}", route.method, route.path.replace("{id}", "1").replace("{addr}", "127.0.0.1:1"));
        for body in ["", "{}", "null", r#"{"password":""}"#, r#"{"password":null}"#, &wrong] {
            let answer = ask(far, &line, &own, "", body);
            assert_ne!(answer.status / 100, 2, "{line} {body}");
            assert_eq!(header(&answer, "set-cookie"), None, "{line} {body}");
        }
        let forged = format!("Cookie: filbert-{}={}\r\nOrigin: http://{own}\r\n", far.port(), "0".repeat(64));
        assert_ne!(ask(far, &line, &own, &forged, &wrong).status / 100, 2, "{line}: a forged cookie");
        let basic = format!("Authorization: Bearer {PASSWORD}\r\n");
        assert_ne!(ask(far, &line, &own, &basic, &wrong).status / 100, 2, "{line}: the password as a token");
    }
    let long = json!({ "password": "x".repeat(9000) }).to_string();
    assert_eq!(log_in(far, &"x".repeat(9000)).status, 413, "{} bytes", long.len());
    assert_eq!(servent.get("/api/v1/status")["neighbours"], 0, "it still runs");
}

#[test]
fn a_crowd_that_guesses_tries_five_passwords_and_keeps_nobody_out_who_has_the_token() {
    let home = Home::new();
    set_password(&home, PASSWORD).expect(0);
    let servent = home.up(&["--api", "0.0.0.0:0", "--api-remote"]);
    let far = SocketAddr::new(outside(), servent.api().port());
    let tried = std::thread::scope(|scope| {
        let crowd: Vec<_> = (0..20)
            .map(|_| scope.spawn(move || (0..10).map(|_| log_in(far, WRONG).status).collect::<Vec<_>>()))
            .collect();
        for _ in 0..3 {
            home.run(&["status"]).expect(0);
        }
        crowd.into_iter().flat_map(|one| one.join().expect("it ends")).collect::<Vec<u16>>()
    });
    let count = |status: u16| tried.iter().filter(|&&it| it == status).count();
    // A connection may be closed for a newcomer's sake, with a guess under way.
    assert!(count(401) <= 5 && count(200) == 0 && count(429) > 100, "{tried:?}");
    until("it waits for nobody", || (ask(far, "GET /healthz", &far.to_string(), "", "").status == 200).then_some(()));
}
