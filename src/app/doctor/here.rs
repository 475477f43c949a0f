//! What can be seen on this machine alone, with or without a servent.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{note, ok, problem};
use crate::app::view::FindingView;
use crate::base::size;
use crate::disk::{self, Home, quoted};

/// Less room than this in the download folder is a problem.
const LITTLE_ROOM: u64 = 256 << 20;
/// Fewer watches than these are used up by a share of usual size.
const FEW_WATCHES: u64 = 65_536;
/// A clock that shows less is wrong: 2025 began then.
const LONG_AGO: Duration = Duration::from_secs(1_735_689_600);
/// State that was written so much later than now was not written now and then.
const AHEAD: Duration = Duration::from_secs(3600);
/// How a clock is set.
const SET_CLOCK: &str = "Set it, for example with `timedatectl set-ntp true`";

/// What can be seen of a home without its servent: `needed` bytes are still to come into its download folder.
pub fn local(home: &Home, downloads: &Path, needed: u64) -> Vec<FindingView> {
    let written = disk::last_written(&home.state);
    let mut findings = vec![download_dir(downloads, needed), secrets(home)];
    findings.extend(disk::watch_limit().map(watches));
    findings.push(clock(SystemTime::now(), written));
    findings
}

/// An address to listen on.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// The address.
    pub at: SocketAddr,
    /// Whether somebody chose it: then no other does.
    pub given: bool,
}

/// Whether a servent that is started now would get its ports.
pub fn ports(listen: Wanted, api: Wanted) -> Vec<FindingView> {
    let free = |check: &str, Wanted { at, given }: Wanted, other: &str| match TcpListener::bind(at) {
        Ok(_) => ok(check, format!("a servent can listen on {at}")),
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            let what = format!("{at} is in use by another program or servent");
            let other = format!("`filbert config set {} {other}`", if check == "port" { "listen" } else { check });
            match given {
                true => problem(check, what, &format!("Stop the program that has it, or take another: {other}")),
                false => note(check, what, &format!("A servent takes the next one that is free; any: {other}")),
            }
        }
        Err(error) => problem(
            check,
            format!("no servent can listen on {at}: {error}"),
            "Say an address of this machine, and a port that you may use: `filbert config set listen 0.0.0.0:6346`",
        ),
    };
    vec![free("port", listen, "0.0.0.0:0"), free("api", api, "127.0.0.1:0")]
}

/// The state holds the token, who we are, and what was searched and fetched.
fn secrets(home: &Home) -> FindingView {
    let state = home.state.display();
    match disk::open_to_others(&home.state) {
        Ok(false) => ok("permissions", format!("nobody else on this machine can read {state}")),
        Ok(true) => problem(
            "permissions",
            format!("others on this machine can look into {state}: it holds the token of the control API"),
            &format!("`chmod -R go= {}`", quoted(&home.state)),
        ),
        Err(error) => problem(
            "permissions",
            format!("{state} cannot be used: {error}"),
            "Make it yours and writable, or name another home: `filbert --home DIR up`",
        ),
    }
}

fn watches(limit: u64) -> FindingView {
    let what = format!("the system lets {limit} folders be watched for changes");
    match limit {
        0..FEW_WATCHES => {
            note("watches", what, "For large shares allow more: `sysctl fs.inotify.max_user_watches=524288`")
        }
        _ => ok("watches", what),
    }
}

fn download_dir(dir: &Path, needed: u64) -> FindingView {
    let name = dir.display();
    match disk::room_in(dir) {
        Err(error) => problem(
            "downloads",
            format!("finished files cannot be written to {name}: {}", disk::why_unwritten(&error)),
            "Make it writable, or say another folder: `filbert config set download_dir DIR`",
        ),
        Ok(free) if free < needed.max(LITTLE_ROOM) => problem(
            "downloads",
            match needed {
                0 => format!("only {} are free in {name}", size(free)),
                _ => format!("{} are free in {name}, and {} are still to come", size(free), size(needed)),
            },
            "Make room, or say another folder: `filbert config set download_dir DIR`",
        ),
        Ok(free) => ok("downloads", format!("{name} can be written to; {} are free", size(free))),
    }
}

fn clock(now: SystemTime, written: Option<SystemTime>) -> FindingView {
    match now.duration_since(UNIX_EPOCH) {
        Ok(since) if since >= LONG_AGO => {}
        _ => {
            return problem(
                "clock",
                "this machine's clock shows a year before 2025: what is kept about files goes by their times"
                    .to_owned(),
                SET_CLOCK,
            );
        }
    }
    match written.and_then(|written| written.duration_since(now).ok()).filter(|ahead| *ahead > AHEAD) {
        Some(ahead) => problem(
            "clock",
            format!(
                "this machine's clock was set back: what filbert wrote last is {} hours in the future",
                ahead.as_secs() / 3600
            ),
            SET_CLOCK,
        ),
        None => ok("clock", "the clock makes sense".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_not_there_yet_can_be_written_to_if_its_parent_can() {
        let dir = tempfile::tempdir().expect("a folder");
        let new = dir.path().join("deep").join("downloads");
        let finding = download_dir(&new, 0);
        assert_ne!(finding.check, "", "{finding:?}");
        assert!(!new.exists(), "looking changes nothing");
        let finding = download_dir(&new, u64::MAX);
        assert_eq!(finding.state, "problem", "{finding:?}");
        let file = dir.path().join("file");
        std::fs::write(&file, b"").expect("written");
        let finding = download_dir(&file.join("downloads"), 0);
        assert_eq!(finding.state, "problem", "{finding:?}");
        assert!(finding.fix.is_some());
    }

    #[test]
    fn a_clock_of_last_century_is_told() {
        let now = UNIX_EPOCH + LONG_AGO;
        assert_eq!(clock(now, None).state, "ok");
        assert_eq!(clock(now, Some(now + AHEAD)).state, "ok");
        assert_eq!(clock(now, Some(now + AHEAD * 2)).state, "problem");
        assert_eq!(clock(UNIX_EPOCH + Duration::from_secs(1), None).state, "problem");
        assert_eq!(clock(UNIX_EPOCH - Duration::from_secs(1), None).state, "problem");
    }

    #[test]
    #[cfg(unix)]
    fn a_state_that_others_could_read_is_told_with_the_command_that_ends_it() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a folder");
        let home = Home::at(dir.path());
        assert_eq!(secrets(&home).state, "ok", "there is none yet");
        std::fs::create_dir_all(&home.state).expect("made");
        let mode = |mode| std::fs::set_permissions(&home.state, PermissionsExt::from_mode(mode)).expect("ours");
        mode(0o755);
        let finding = secrets(&home);
        assert_eq!(finding.state, "problem");
        let fix = finding.fix.unwrap_or_default();
        assert_eq!(fix, format!("`chmod -R go= {}`", home.state.display()));
        mode(0o700);
        assert_eq!(secrets(&home).state, "ok");
    }

    #[test]
    fn a_port_that_is_taken_is_told_with_a_way_around_it() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let at = taken.local_addr().expect("its address");
        let any = Wanted { at: "127.0.0.1:0".parse().expect("an address"), given: true };
        // Where nobody chose it, a servent takes another by itself.
        for (given, state) in [(true, "problem"), (false, "note")] {
            let findings = ports(Wanted { at, given }, any);
            let states: Vec<&str> = findings.iter().map(|finding| finding.state.as_str()).collect();
            assert_eq!(states, [state, "ok"], "{findings:?}");
            assert!(findings[0].what.contains(&at.to_string()) && findings[0].fix.is_some());
        }
    }
}
