//! What can be done to a home without a running servent: its shares and hosts are read and changed in the
//! state that the next one takes up. A preview only reads the disk.
//!
//! Never used while a servent of that home runs: it would not notice.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::import::{self, Import};
use super::kept::{Kept, KeptShare, unwritten};
use super::kept_hosts::{KeptHost, unix_now};
use super::view::{HostView, ImportView, LeftOutView, ShareView};
use super::{Error, ErrorCode, ShareRequest, SpeedsRequest};
use crate::disk::{self, Home};
use crate::proto;

/// May this folder be shared? What `share` refuses is refused here too.
pub fn may_share(home: &Home, dir: &Path, i_mean_it: bool) -> Result<(), Error> {
    let user_home = std::env::var_os("HOME").map(PathBuf::from);
    disk::may_share(dir, home, user_home.as_deref(), i_mean_it)
        .map_err(|refusal| Error::new(ErrorCode::Refused, format!("cannot share it: {refusal}")))
}

/// The limits that were set in a running servent and kept, by the names of the settings.
pub fn limits(home: &Home) -> Vec<(&'static str, String)> {
    Kept::at(&home.state).speeds.load::<SpeedsRequest>().or_log().unwrap_or_default().settings()
}

/// What sharing this folder would share. Walks through all of it.
/// What matches `exclude` is left out.
pub fn preview(home: &Home, dir: &Path, exclude: &[String]) -> Result<ShareView, Error> {
    let preview = disk::preview(dir, &home.own(), &patterns(exclude)?)
        .map_err(|error| Error::new(ErrorCode::Failed, format!("cannot look through {}: {error}", dir.display())))?;
    Ok(ShareView {
        path: dir.to_owned(),
        files: preview.files,
        bytes: preview.bytes,
        hashed: 0,
        state: "preview".into(),
        this_run_only: false,
        exclude: Vec::new(),
        unhashed: preview.files,
        unhashed_bytes: preview.bytes,
        skipped: preview.skipped.iter().map(|(reason, n)| (reason.to_string(), *n)).collect(),
        left_out: preview
            .unreadable
            .iter()
            .map(|(path, why)| LeftOutView {
                path: path.to_string_lossy().into_owned(),
                reason: disk::SkipReason::Unreadable.to_string(),
                why: Some(why.clone()),
            })
            .collect(),
        looks_private: preview.looks_private.iter().map(|path| path.display().to_string()).collect(),
        eta_s: None,
        warnings: Vec::new(),
    })
}

/// The patterns that somebody typed.
pub(super) fn patterns(texts: &[String]) -> Result<Vec<disk::Pattern>, Error> {
    let wrong = |text: &str, what: String| {
        Error::new(ErrorCode::Usage, format!("cannot leave out {text:?}: {what}")).hint("Say for example '*.iso'")
    };
    texts.iter().map(|text| disk::Pattern::parse(text).map_err(|what| wrong(text, what))).collect()
}

/// The folders that the next servent will share, with what they hold now.
/// `exclude` holds for all of them.
pub fn shares(home: &Home, exclude: &[String]) -> Result<Vec<ShareView>, Error> {
    let dirs = Kept::at(&home.state).shares();
    let missing = |path: PathBuf| ShareView {
        path,
        files: 0,
        bytes: 0,
        hashed: 0,
        state: "missing".into(),
        this_run_only: false,
        exclude: Vec::new(),
        unhashed: 0,
        unhashed_bytes: 0,
        skipped: BTreeMap::new(),
        left_out: Vec::new(),
        looks_private: Vec::new(),
        eta_s: None,
        warnings: Vec::new(),
    };
    let view = |share: KeptShare| match preview(home, &share.path, &[exclude, &share.exclude].concat()) {
        Ok(found) => ShareView { state: "not running".into(), exclude: share.exclude, ..found },
        Err(_) => ShareView { exclude: share.exclude, ..missing(share.path) },
    };
    Ok(dirs.into_iter().map(view).collect())
}

/// Shares a folder (canonical) from the next start on.
pub fn share(home: &Home, request: &ShareRequest) -> Result<(), Error> {
    may_share(home, &request.path, request.i_mean_it)?;
    let file = Kept::at(&home.state).shares;
    patterns(&request.exclude)?;
    file.update(|shares: &mut Vec<KeptShare>| match shares.iter_mut().find(|share| share.path == request.path) {
        Some(share) => share.exclude.clone_from(&request.exclude),
        None => shares.push(KeptShare { path: request.path.clone(), exclude: request.exclude.clone() }),
    })
    .map_err(|error| unwritten(&file, &error))
}

/// Shares it no more.
pub fn unshare(home: &Home, dir: &Path) -> Result<(), Error> {
    let file = Kept::at(&home.state).shares;
    let was_shared = file
        .update(|shares: &mut Vec<KeptShare>| {
            let before = shares.len();
            shares.retain(|share| share.path != dir);
            shares.len() < before
        })
        .map_err(|error| unwritten(&file, &error))?;
    if was_shared {
        return Ok(());
    }
    Err(Error::new(ErrorCode::NotFound, format!("{} is not shared", dir.display()))
        .hint("`filbert shares` lists what is"))
}

/// Hosts that the next servent will try.
pub fn hosts(home: &Home) -> Result<Vec<HostView>, Error> {
    let (hosts, unix) = (Kept::at(&home.state).hosts(), unix_now());
    Ok(hosts.iter().map(|host| host.view(unix)).collect())
}

/// Adds the hosts that a list names before those that are known: a host a line, see [`super::import`]. Names need a running
/// servent.
pub fn import_hosts(home: &Home, lines: &[&str]) -> Result<ImportView, Error> {
    let file = Kept::at(&home.state).hosts;
    let (unix, most) = (unix_now(), proto::Limits::default().hosts);
    file.update(|known: &mut Vec<KeptHost>| {
        let users = known.iter().filter(|host| host.is_users()).count();
        let mut import = Import::new(known.iter().map(|host| host.addr).collect(), users, most);
        for (at, line) in lines.iter().map(|line| import::bare(line)).enumerate().filter(|(_, line)| !line.is_empty()) {
            let addr =
                import::host(line).and_then(|host| host.addr().ok_or("is a name: a running servent looks it up"));
            import.line(at + 1, line, addr.map(|addr| vec![addr]).map_err(str::to_owned));
        }
        known.splice(0..0, import.fresh.into_iter().map(|addr| KeptHost::named_by_user(addr, unix)));
        // The servent would not take more; those known longest go.
        known.truncate(most);
        import.report
    })
    .map_err(|error| unwritten(&file, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_shared_once_and_unshared_once() {
        let dir = tempfile::tempdir().expect("a folder");
        let home = Home::at(&dir.path().join("home"));
        let folder = dir.path().join("music").canonicalize().or_else(|_| {
            std::fs::create_dir(dir.path().join("music"))?;
            std::fs::write(dir.path().join("music/a.txt"), b"abc")?;
            dir.path().join("music").canonicalize()
        });
        let request = ShareRequest { path: folder.expect("made"), ..ShareRequest::default() };
        share(&home, &request).expect("shared");
        share(&home, &request).expect("again changes nothing");
        let found = shares(&home, &[]).expect("read");
        assert_eq!(found.iter().map(|share| (share.files, share.bytes)).collect::<Vec<_>>(), [(1, 3)]);
        unshare(&home, &request.path).expect("unshared");
        assert_eq!(unshare(&home, &request.path).expect_err("not shared").code, ErrorCode::NotFound);
        assert_eq!(
            share(&home, &ShareRequest { path: "/".into(), ..ShareRequest::default() }).expect_err("/").code,
            ErrorCode::Refused
        );
    }

    #[test]
    fn imported_hosts_come_first_and_count_once() {
        let dir = tempfile::tempdir().expect("a folder");
        let home = Home::at(dir.path());
        let import = |lines: &[&str]| import_hosts(&home, lines).expect("written");
        let counts = |it: &ImportView| (it.named, it.added, it.known, it.refused);
        assert_eq!(counts(&import(&["10.0.0.1:1", "10.0.0.2", "10.0.0.1:1"])), (3, 2, 1, 0));
        assert_eq!(counts(&import(&["[::1]:3", "10.0.0.2:6346"])), (2, 1, 1, 0));
        let addrs: Vec<String> = hosts(&home).expect("read").into_iter().map(|host| host.addr).collect();
        assert_eq!(addrs, ["[::1]:3", "10.0.0.1:1", "10.0.0.2:6346"]);
        let name = import(&["# hosts", "attic.local", "10.0.0.3:1"]);
        assert_eq!((counts(&name), name.not_taken[0].line), ((2, 1, 0, 1), 2));
        assert!(name.not_taken[0].why.contains("running servent"), "{}", name.not_taken[0].why);
    }

    #[test]
    fn hosts_that_have_no_room_are_refused_and_push_no_other_out() {
        let dir = tempfile::tempdir().expect("a folder");
        let home = Home::at(dir.path());
        let lines: Vec<String> = (0..2500).map(|n| format!("10.0.{}.{}:1", n / 250, n % 250)).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let first = import_hosts(&home, &lines[..1500]).expect("written");
        let second = import_hosts(&home, &lines[1500..]).expect("written");
        assert_eq!((first.added, second.added, second.refused), (1500, 500, 500));
        assert_eq!(second.not_taken.len(), import::TOLD);
        assert_eq!(hosts(&home).expect("read").len(), 2000);
    }
}
