//! `share`, `unshare`, `shares`: a preview first, then consent, then it is shared.
//!
//! Naming a folder is what shares it. At a terminal the preview is followed by a question. Without one nobody
//! can be asked: the folder is shared, unless something in it looks private; then `--yes` is needed.

use std::collections::BTreeMap;
use std::io::{BufRead, ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::args::Share;
use super::config::{Config, absolute};
use super::exit::{Exit, Failure};
use super::say::Column::{Number, Stretch, Text};
use super::settings::Settings;
use super::{servent, text};
use crate::app::view::ShareView;
use crate::app::{ShareRequest, offline};
use crate::net::rt;
use crate::web::uri;

/// Private-looking names that are shown.
const SHOWN: usize = 5;

/// Looks at a folder, to leave out what looks private; each names up to twenty such files.
const ROUNDS: usize = 50;

/// `share`.
pub async fn share(config: &Config, args: &Share) -> Result<(), Failure> {
    let dir = folder(&args.dir)?;
    offline::may_share(&config.home, &dir, args.i_mean_it)?;
    if dir.to_str().is_none() {
        // The state and the API are JSON, which has no word for it.
        return Err(Failure::new(Exit::Failed, format!("cannot remember {}: its name is no UTF-8", dir.display()))
            .hint("Rename it, or share it for one run with filbert up --share"));
    }
    let everywhere = everywhere(config)?;
    let preview = preview(config, &dir, [&*everywhere, &args.exclude].concat()).await?;
    if args.dry_run && config.say.json {
        return config.say.value(&preview);
    }
    config.say.note(&sentence(&preview));
    if args.dry_run {
        return Ok(());
    }
    let mut exclude = args.exclude.clone();
    let mut preview = preview;
    if !args.yes {
        match consent(config, &preview, MayLeaveOut::Yes).await? {
            Consent::All => {}
            Consent::ButPrivate => {
                // A look names some of them: what it did not name the next one does.
                for _ in 0..ROUNDS {
                    exclude.extend(preview.looks_private.iter().map(|path| pattern(path)));
                    preview = self::preview(config, &dir, [&*everywhere, &exclude].concat()).await?;
                    if preview.looks_private.is_empty() {
                        break;
                    }
                }
                if !preview.looks_private.is_empty() {
                    return Err(Failure::new(
                        Exit::Refused,
                        "not shared: too much of it looks private to leave it out by name",
                    )
                    .hint("Leave it out by patterns, --exclude '*.pem', or share a folder in it"));
                }
                config.say.note(&format!(
                    "Left out as private: {}. Shared: {}, {}.",
                    exclude.len() - args.exclude.len(),
                    text::count(preview.files, "file"),
                    text::size(preview.bytes)
                ));
            }
            Consent::No => return Err(Failure::new(Exit::Refused, "nothing is shared")),
        }
    }
    let request = ShareRequest { path: dir, i_mean_it: args.i_mean_it, exclude };
    let view = match servent::find(&config.home).await {
        Some(client) => {
            let body = serde_json::to_value(&request).map_err(std::io::Error::from)?;
            client.post::<ShareView>("/api/v1/shares", body).await?
        }
        None => {
            offline::share(&config.home, &request)?;
            config
                .say
                .note(&format!("filbert: it is shared as soon as a servent runs: filbert{} up", config.home.flag));
            preview
        }
    };
    if config.say.json { config.say.value(&view) } else { Ok(()) }
}

/// Shows what `up --share` would share, and asks at a terminal. Elsewhere naming the folder is enough, and
/// nothing may be waited for.
pub async fn agreed_for_this_run(config: &Config, dirs: &[PathBuf], exclude: &[String]) -> Result<bool, Failure> {
    if dirs.is_empty() || !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Ok(true);
    }
    for dir in dirs {
        let dir = folder(dir)?;
        offline::may_share(&config.home, &dir, false)?;
        let preview = preview(config, &dir, exclude.to_vec()).await?;
        config.say.note(&sentence(&preview));
        if consent(config, &preview, MayLeaveOut::No).await? != Consent::All {
            return Ok(false);
        }
    }
    Ok(true)
}

/// `unshare`.
pub async fn unshare(config: &Config, dir: &Path) -> Result<(), Failure> {
    // It may be gone from the disk by now; then its name as typed must do.
    let path = dir.canonicalize().or_else(|_| absolute(dir))?;
    match servent::find(&config.home).await {
        Some(client) => client.delete(&format!("/api/v1/shares?path={}", uri::escape(&path.to_string_lossy()))).await?,
        None => offline::unshare(&config.home, &path)?,
    }
    if config.say.json {
        return config.say.value(&json!({ "unshared": path }));
    }
    config.say.note(&format!("not shared any more: {}", path.display()));
    Ok(())
}

/// `shares`.
pub async fn shares(config: &Config) -> Result<(), Failure> {
    let shares: Vec<ShareView> = match servent::find(&config.home).await {
        Some(client) => client.get("/api/v1/shares").await?,
        None => {
            let (home, everywhere) = (config.home.clone(), everywhere(config)?);
            rt::spawn_blocking(move || offline::shares(&home, &everywhere)).await?
        }
    };
    if config.say.json {
        return shares.iter().try_for_each(|share| config.say.value(share));
    }
    if shares.is_empty() {
        config.say.note(&format!("nothing is shared. Offer a folder: filbert{} share DIR", config.home.flag));
        return Ok(());
    }
    let rows: Vec<Vec<String>> = shares.iter().map(row).collect();
    config
        .say
        .table(&[Stretch("folder"), Number("files"), Number("size"), Text("state"), Number("left out")], &rows)?;
    shares.iter().flat_map(notes).for_each(|note| config.say.note(&note));
    Ok(())
}

/// What is said of a folder below the table.
fn notes(share: &ShareView) -> Vec<String> {
    let mut notes = Vec::new();
    let path = text::safe(&share.path.display().to_string());
    let unreadable = unreadable(share);
    if !unreadable.is_empty() {
        notes.push(format!("{path}: cannot be read: {unreadable}"));
    }
    if !share.exclude.is_empty() {
        notes.push(format!("{path}: leaves out {}", text::safe(&share.exclude.join(", "))));
    }
    notes.extend(share.warnings.iter().map(|warning| text::safe(warning)));
    notes
}

/// The first of what cannot be read, with reasons, and how many more there are; empty when there is nothing.
fn unreadable(share: &ShareView) -> String {
    const REASON: &str = "unreadable";
    let all = share.skipped.get(REASON).copied().unwrap_or_default();
    let some = share.left_out.iter().filter(|left_out| left_out.reason == REASON);
    let some: Vec<String> = some
        .take(SHOWN)
        .map(|left_out| match &left_out.why {
            Some(why) => format!("{} ({why})", text::safe(&left_out.path)),
            None => text::safe(&left_out.path),
        })
        .collect();
    match all - all.min(some.len() as u64) {
        0 => some.join(", "),
        more => format!("{} and {more} more", some.join(", ")),
    }
}

/// What is left out of every folder.
fn everywhere(config: &Config) -> Result<Vec<String>, Failure> {
    let settings = Settings::load(&config.home.config, |name| std::env::var(name).ok(), &BTreeMap::new())?;
    Ok(settings.list("exclude"))
}

fn row(share: &ShareView) -> Vec<String> {
    let hashing = share.eta_s.map(|secs| format!(", {} to go", text::clock(secs))).unwrap_or_default();
    let state = match share.state.as_str() {
        "scanning" => format!("scanning, {} so far", text::count(share.files, "file")),
        "hashing" => format!("hashing {} of {}{hashing}", share.hashed, share.files),
        state if share.this_run_only => format!("{state}, this run"),
        state => state.to_owned(),
    };
    let left_out: u64 = share.skipped.values().sum();
    vec![
        text::safe(&share.path.display().to_string()),
        share.files.to_string(),
        text::size(share.bytes),
        state,
        left_out.to_string(),
    ]
}

/// The folder that was named, as the servent will know it.
fn folder(dir: &Path) -> Result<PathBuf, Failure> {
    let path = dir.canonicalize().map_err(|error| {
        let why = match error.kind() {
            ErrorKind::NotFound => "there is no such folder".to_owned(),
            _ => error.to_string(),
        };
        Failure::new(Exit::Failed, format!("cannot share {}: {why}", dir.display())).hint("Check the name")
    })?;
    if path.is_dir() {
        Ok(path)
    } else {
        Err(Failure::new(Exit::Usage, format!("cannot share {}: it is no folder", dir.display()))
            .hint("Share the folder that it is in"))
    }
}

/// What would be shared, counted on the disk.
async fn preview(config: &Config, dir: &Path, exclude: Vec<String>) -> Result<ShareView, Failure> {
    let (home, dir) = (config.home.clone(), dir.to_owned());
    Ok(rt::spawn_blocking(move || offline::preview(&home, &dir, &exclude)).await?)
}

fn sentence(preview: &ShareView) -> String {
    let mut out = format!(
        "{}: {}, {}. Everyone who connects can find and fetch them.",
        preview.path.display(),
        text::count(preview.files, "file"),
        text::size(preview.bytes)
    );
    let skipped: u64 = preview.skipped.values().sum();
    if skipped > 0 {
        let reasons: Vec<String> = preview.skipped.iter().map(|(reason, n)| format!("{reason} {n}")).collect();
        out += &format!("\nLeft out {skipped}: {}.", reasons.join(", "));
    }
    let unreadable = unreadable(preview);
    if !unreadable.is_empty() {
        out += &format!("\nCannot be read: {unreadable}.");
    }
    if !preview.looks_private.is_empty() {
        let some: Vec<String> = preview.looks_private.iter().take(SHOWN).map(|name| text::safe(name)).collect();
        let more = preview.looks_private.len().saturating_sub(SHOWN);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        out += &format!("\nLooks private: {}{more}.", some.join(", "));
    }
    out
}

/// What was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Consent {
    All,
    ButPrivate,
    No,
}

/// Whether what looks private can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MayLeaveOut {
    Yes,
    No,
}

/// Asks, where somebody can answer.
async fn consent(config: &Config, preview: &ShareView, may: MayLeaveOut) -> Result<Consent, Failure> {
    let private = !preview.looks_private.is_empty();
    let there = std::io::stdin().is_terminal() && std::io::stdout().is_terminal() && std::io::stderr().is_terminal();
    if config.say.json || !there {
        if !private {
            return Ok(Consent::All);
        }
        if config.say.quiet {
            config.failure(&Failure::new(Exit::Refused, sentence(preview)));
        }
        return Err(Failure::new(
            Exit::Refused,
            "not shared: some of it looks private, and nobody is here to be asked",
        )
        .hint("Leave it out with --exclude, or say --yes if all of it may be seen by everyone"));
    }
    let choose = private && may == MayLeaveOut::Yes;
    let question = match choose {
        true => "Share it? x: without what looks private, a: all of it, n: nothing [x/a/N] ",
        false => "Share it? [y/N] ",
    };
    let answer = rt::spawn_blocking(move || {
        let _ = write!(std::io::stderr(), "{question}");
        let mut answer = String::new();
        let _ = std::io::stdin().lock().read_line(&mut answer);
        answer
    })
    .await;
    Ok(understood(&answer, choose))
}

/// Anything but a clear yes is a no. Where there is a choice, a `y` does not say which.
fn understood(answer: &str, choose: bool) -> Consent {
    match (answer.trim().to_lowercase().as_str(), choose) {
        ("x" | "exclude", true) => Consent::ButPrivate,
        ("a" | "all", true) | ("y" | "yes", false) => Consent::All,
        _ => Consent::No,
    }
}

/// The pattern that leaves out that path alone.
fn pattern(path: &str) -> String {
    let special = |c: char| matches!(c, '*' | '?' | '[' | ']' | '{' | '}' | '\\');
    // With a slash it is a path from the shared folder, not a name anywhere.
    let mut pattern = String::from("/");
    for c in path.chars() {
        if special(c) {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_yes_shares_and_where_there_is_a_choice_it_is_made() {
        for (answer, choose, means) in [
            ("x\n", true, Consent::ButPrivate),
            (" A \n", true, Consent::All),
            ("y\n", true, Consent::No),
            ("n", true, Consent::No),
            ("", true, Consent::No),
            ("y\n", false, Consent::All),
            ("YES", false, Consent::All),
            ("x", false, Consent::No),
            ("a", false, Consent::No),
            ("\n", false, Consent::No),
        ] {
            assert_eq!(understood(answer, choose), means, "{answer:?} {choose}");
        }
    }

    #[test]
    fn a_path_left_out_is_that_path_alone() {
        assert_eq!(pattern("a/id_rsa"), "/a/id_rsa");
        assert_eq!(pattern("tax [1]*{x}?.pdf"), "/tax \\[1\\]\\*\\{x\\}\\?.pdf");
        // As the share reads it: that path, no other of that name.
        let dir = tempfile::tempdir().expect("a folder");
        for path in ["secret [1].txt", "a/secret [1].txt", "a/b/secret [1].txt", "secret 1.txt"] {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
            std::fs::write(path, "x").expect("a file");
        }
        let home = crate::disk::Home::at(&dir.path().join("home"));
        for (left_out, stay) in [("secret [1].txt", 3), ("a/secret [1].txt", 3), ("a", 2)] {
            let preview = offline::preview(&home, dir.path(), &[pattern(left_out)]).expect("a preview");
            assert_eq!(preview.files, stay, "without {left_out}");
        }
    }
    use crate::app::view::LeftOutView;

    #[test]
    fn the_preview_counts_names_reasons_and_warns() {
        let preview = ShareView {
            path: "/home/me/Pictures".into(),
            files: 3112,
            bytes: 22_548_578_304,
            hashed: 0,
            state: "preview".into(),
            this_run_only: false,
            exclude: Vec::new(),
            unhashed: 3112,
            unhashed_bytes: 22_548_578_304,
            skipped: BTreeMap::from([("hidden".to_owned(), 9), ("unreadable".to_owned(), 3)]),
            left_out: vec![LeftOutView {
                path: "locked/a".into(),
                reason: "unreadable".into(),
                why: Some("permission denied".into()),
            }],
            warnings: Vec::new(),
            looks_private: ["a", "b", "c", "d", "e", "f"].map(str::to_owned).to_vec(),
            eta_s: None,
        };
        assert_eq!(
            sentence(&preview),
            "/home/me/Pictures: 3112 files, 21.0 GiB. Everyone who connects can find and fetch them.\n\
             Left out 12: hidden 9, unreadable 3.\n\
             Cannot be read: locked/a (permission denied) and 2 more.\n\
             Looks private: a, b, c, d, e and 1 more."
        );
    }
}
