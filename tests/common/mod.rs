//! What the tests of the binary share: homes that go away, servents that are killed only by their owner, and
//! a plain HTTP client that can say things which no good client says.

#![allow(dead_code)]

#[cfg(target_os = "linux")]
pub mod disk;
#[cfg(target_os = "linux")]
pub mod faults;
#[cfg(target_os = "linux")]
pub mod mounts;
pub mod source;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;

/// The longest that anything in these tests may take.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A home directory of its own, gone when dropped.
pub struct Home {
    dir: tempfile::TempDir,
}

/// How a command ended.
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// stdout, a JSON value a line.
    pub fn lines(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line:?}: {e}"))).collect()
    }

    /// The same, after checking the exit code.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "\nstdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).expect("UTF-8 on stdout"),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Home {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a folder") }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The path of something in it, which need not exist.
    pub fn join(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A folder in it with these files.
    pub fn folder(&self, name: &str, files: &[(&str, &[u8])]) -> PathBuf {
        let dir = self.join(name);
        std::fs::create_dir_all(&dir).expect("a folder");
        for (file, bytes) in files {
            std::fs::write(dir.join(file), bytes).expect("a file");
        }
        dir
    }

    /// The binary, with this home and nothing of the environment that could disturb.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_filbert"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("FILBERT_") {
                command.env_remove(name);
            }
        }
        // No router outside is ever asked.
        command.env("FILBERT_PORTMAP", "off");
        // Nor does anybody outside hear of us.
        command.env("FILBERT_LAN", "false");
        command.env_remove("RUST_LOG").env("HOME", self.path()).arg("--home").arg(self.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a command to its end. It is killed when it takes longer than [`PATIENCE`].
    #[track_caller]
    pub fn run<S: AsRef<std::ffi::OsStr>>(&self, args: &[S]) -> Ended {
        let mut command = self.command();
        command.args(args);
        finish(command.spawn().expect("the binary starts"))
    }

    /// The same where lines may have eighty columns.
    #[track_caller]
    pub fn run_narrow(&self, args: &[&str]) -> Ended {
        finish(self.command().args(args).env("COLUMNS", "80").spawn().expect("the binary starts"))
    }

    /// `up` with any free ports on loopback, these arguments, and what these tests always want.
    #[track_caller]
    pub fn up(&self, args: &[&str]) -> Servent {
        self.try_up(args).unwrap_or_else(|ended| panic!("up ended with {}: {}", ended.code, ended.stderr))
    }

    /// The same; how it ended when it did not get ready.
    pub fn try_up(&self, args: &[&str]) -> Result<Servent, Ended> {
        let mut command = self.command();
        command.arg("up").arg("--json");
        for (flag, value) in [("--listen", "127.0.0.1:0"), ("--api", "127.0.0.1:0")] {
            if !args.contains(&flag) {
                command.args([flag, value]);
            }
        }
        command.args(args);
        self.ready(command)
    }

    /// Waits until an `up --json` is ready; how it ended when it did not get there.
    pub fn ready(&self, mut command: Command) -> Result<Servent, Ended> {
        let mut child = command.spawn().expect("the binary starts");
        let stdout = child.stdout.take().expect("piped");
        let (told, ready) = mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            let _ = BufReader::new(stdout).read_line(&mut line);
            let _ = told.send(line);
        });
        let line = ready.recv_timeout(PATIENCE).unwrap_or_default();
        match serde_json::from_str::<Value>(&line) {
            Ok(ready) => Ok(Servent { child, ready }),
            Err(_) => Err(finish(child)),
        }
    }
}

/// Waits for the end of a child; kills it when that takes too long.
#[track_caller]
pub fn finish(mut child: Child) -> Ended {
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("our child") {
            break status;
        }
        if began.elapsed() > PATIENCE {
            let _ = child.kill();
            let _ = child.wait();
            panic!("it took too long\nstdout: {:?}\nstderr: {:?}", stdout.recv(), stderr.recv());
        }
        pause();
    };
    let text = |bytes: mpsc::Receiver<Vec<u8>>| bytes.recv_timeout(Duration::from_secs(2)).unwrap_or_default();
    Ended {
        code: status.code().unwrap_or(-1),
        stdout: String::from_utf8(text(stdout)).expect("UTF-8 on stdout"),
        stderr: String::from_utf8_lossy(&text(stderr)).into_owned(),
    }
}

fn drain(from: Option<impl Read + Send + 'static>) -> mpsc::Receiver<Vec<u8>> {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut from) = from {
            let _ = from.read_to_end(&mut bytes);
        }
        let _ = send.send(bytes);
    });
    receive
}

/// A short rest between two looks.
pub fn pause() {
    std::thread::park_timeout(Duration::from_millis(10));
}

/// Looks until there is something to see; panics with `what` after [`PATIENCE`].
#[track_caller]
pub fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, what, look)
}

/// The same with a limit of its own.
#[track_caller]
pub fn within<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < limit, "not within {limit:?}: {what}");
        pause();
    }
}

/// A running `up`, killed when dropped.
pub struct Servent {
    child: Child,
    pub ready: Value,
}

impl Servent {
    /// Where peers reach it.
    pub fn listen(&self) -> String {
        self.ready["listen"].as_str().expect("listen").to_owned()
    }

    /// Where its control API is.
    pub fn api(&self) -> SocketAddr {
        let url = self.ready["api"].as_str().expect("api");
        url.strip_prefix("http://").expect("http").parse().expect("an address")
    }

    pub fn token(&self) -> String {
        std::fs::read_to_string(self.ready["token_file"].as_str().expect("token_file")).expect("the token")
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.child.kill().expect("ours");
        self.child.wait().expect("ours");
    }

    /// A signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("our child");
    }

    /// Ctrl-C; how it ended.
    pub fn interrupt(self) -> i32 {
        interrupt(&self.child);
        self.ended()
    }

    /// Waits for its end; how it ended.
    pub fn ended(mut self) -> i32 {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("ours") {
                return status.code().unwrap_or(-1);
            }
            assert!(began.elapsed() < PATIENCE, "it does not stop");
            pause();
        }
    }

    /// Stops the process where it is, as a computer that goes to sleep does, or lets it go on.
    pub fn suspend(&self, suspended: bool) {
        use rustix::process::Signal;
        let pid = rustix::process::Pid::from_child(&self.child);
        let signal = if suspended { Signal::STOP } else { Signal::CONT };
        rustix::process::kill_process(pid, signal).expect("our child");
    }

    /// The time of a processor that it has used, in hundredths of a second.
    #[cfg(target_os = "linux")]
    pub fn cpu(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("it runs");
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        fields[11].parse::<u64>().expect("ticks") + fields[12].parse::<u64>().expect("ticks")
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether the process is there.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// A call of the control API with the token; status and body.
    pub fn call(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let answer = http(
            self.api(),
            format!(
                "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\
                 Content-Length: {}\r\n\r\n{body}",
                self.api(),
                self.token(),
                body.len()
            ),
        );
        (answer.status, serde_json::from_slice(&answer.body).unwrap_or(Value::Null))
    }

    /// A GET that must be answered with 200.
    #[track_caller]
    pub fn get(&self, path: &str) -> Value {
        let (status, body) = self.call("GET", path, "");
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// Waits until it has so many neighbours.
    #[track_caller]
    pub fn linked(&self, neighbours: u64) {
        until("linked", || (self.get("/api/v1/status")["neighbours"] == neighbours).then_some(()));
    }

    /// Waits until so many files are searchable and hashed.
    #[track_caller]
    pub fn hashed(&self, files: u64) {
        until("hashed", || {
            let status = self.get("/api/v1/status");
            (status["files"] == files && status["hashed"] == files).then_some(())
        });
    }
}

impl Drop for Servent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ctrl-C for a child of ours.
pub fn interrupt(child: &Child) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("our child");
}

/// An answer, taken apart.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

/// Sends bytes as they are and reads until the other side closes (or is silent for two seconds).
pub fn http(addr: SocketAddr, request: impl AsRef<[u8]>) -> Answer {
    let mut stream = TcpStream::connect(addr).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(2))).expect("a timeout");
    // A server that has seen enough may close while we still write.
    let _ = stream.write_all(request.as_ref());
    let mut bytes = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(n) => bytes.extend_from_slice(&buffer[..n]),
        }
    }
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").map_or(bytes.len(), |at| at + 4);
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let status = head.split_whitespace().nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    let mut body = bytes[end..].to_vec();
    if head.to_lowercase().contains("transfer-encoding: chunked") {
        body = unchunk(&body);
    }
    Answer { status, head, body }
}

fn unchunk(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = bytes.windows(2).position(|w| w == b"\r\n") {
        let size = std::str::from_utf8(&bytes[..end]).ok().and_then(|hex| usize::from_str_radix(hex, 16).ok());
        let Some(size) = size.filter(|&size| size > 0 && bytes.len() >= end + 2 + size) else { break };
        body.extend_from_slice(&bytes[end + 2..end + 2 + size]);
        bytes = bytes.get(end + 2 + size + 2..).unwrap_or_default();
    }
    body
}

/// Bytes that look like nothing and are the same each time.
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}
