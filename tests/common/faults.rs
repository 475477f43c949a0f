//! A disk that fails: `strace` lays hands on a servent that runs, and what that asks of the system for one file ends as we
//! say, until it lets go.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::Servent;

/// Faults that a servent has for as long as this lives.
pub struct Faults {
    strace: Child,
}

impl Faults {
    /// For each of these paths, `calls` (as in `pwrite64:error=EIO:when=3+`, see strace(1), `--inject`).
    pub fn of(servent: &Servent, paths: &[&Path], calls: &[&str]) -> Self {
        let mut command = Command::new("strace");
        command.args(["-f", "-o", "/dev/null", "-p", &servent.pid().to_string()]);
        for path in paths {
            command.arg("-P").arg(path);
        }
        for call in calls {
            command.arg(format!("--inject={call}"));
        }
        let mut strace = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("strace starts");
        let mut said = BufReader::new(strace.stderr.take().expect("piped")).lines().map_while(Result::ok);
        let attached = said.by_ref().find(|line| line.contains("attached"));
        assert!(attached.is_some(), "strace does not attach");
        std::thread::spawn(move || said.for_each(drop));
        Self { strace }
    }

    /// The disk works again.
    pub fn end(self) {}
}

impl Drop for Faults {
    fn drop(&mut self) {
        // It lets go in order, and the servent goes on.
        super::interrupt(&self.strace);
        let _ = self.strace.wait();
    }
}

/// Whether faults can be had here.
pub fn may_inject() -> bool {
    let mut servent = Command::new("sleep").arg("60").spawn().expect("sleep starts");
    let pid = servent.id().to_string();
    let mut probe = Command::new("strace");
    probe.args(["-o", "/dev/null", "-p", &pid, "--inject=fsync:error=EIO"]).stdin(Stdio::null()).stderr(Stdio::piped());
    let may = probe.spawn().is_ok_and(|mut strace| {
        let said = BufReader::new(strace.stderr.take().expect("piped")).lines().map_while(Result::ok).next();
        super::interrupt(&strace);
        let _ = strace.wait();
        said.is_some_and(|line| line.contains("attached"))
    });
    let _ = servent.kill();
    let _ = servent.wait();
    if !may {
        println!("SKIPPED: strace is not here, or may not attach to a process that we started");
    }
    may
}
