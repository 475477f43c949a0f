//! Commands in a mount namespace of their own, with a file system that is small enough to be filled.

use super::{Ended, Home, finish};

/// The command of that home, run by `wrapper` with the words before it.
pub fn wrapped(home: &Home, wrapper: &[&str], args: &[&str]) -> std::process::Command {
    let plain = home.command();
    let mut command = std::process::Command::new(wrapper[0]);
    command.args(&wrapper[1..]).arg(plain.get_program()).args(plain.get_args()).args(args);
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.stdin(std::process::Stdio::null());
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    command
}

/// Whether a mount namespace of our own can be had here.
pub fn may_mount() -> bool {
    let mut probe = std::process::Command::new("unshare");
    let may = probe.args(["-rm", "mount", "-t", "tmpfs", "none", "/mnt"]).stderr(std::process::Stdio::null()).status();
    let may = may.is_ok_and(|status| status.success());
    if !may {
        println!("SKIPPED: no mount namespace can be had here (unshare -rm mount -t tmpfs)");
    }
    may
}

/// Runs `script` in a mount namespace with a small file system at `$D`, where downloads go; `"$@"` is the binary with its
/// home.
pub fn on_small_disk(home: &Home, script: &str) -> Ended {
    with_small_disk_at(home, "downloads", script)
}

/// The same, with the file system elsewhere in the home.
pub fn with_small_disk_at(home: &Home, place: &str, script: &str) -> Ended {
    let dir = home.join(place);
    std::fs::create_dir_all(&dir).expect("a folder");
    let script = format!("D={}; mount -t tmpfs -o size=12m none \"$D\" || exit 99; {script}", dir.display());
    finish(wrapped(home, &["unshare", "-rm", "sh", "-c", &script, "sh"], &[]).spawn().expect("started"))
}
