//! `web`: the page, in the browser.
//!
//! The token is in the address, and what stands on a command line can be read by everybody on the machine. So a
//! browser is given a file of ours to open, for the owner alone, which leads it to the address.

use std::io::IsTerminal;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use super::config::Config;
use super::exit::Failure;
use super::files::{self, Secrecy};
use super::servent;
use crate::net::rt;

/// What opens a file with the program that is meant for it; the first that is there does.
const OPENERS: &[&str] = if cfg!(target_os = "macos") { &["open"] } else { &["xdg-open", "gio open", "wslview"] };

/// `web`.
pub async fn web(config: &Config, only_print: bool) -> Result<(), Failure> {
    let client = servent::need(config).await?;
    let url = format!("http://{}/#t={}", client.addr(), client.token().as_str());
    if config.say.json {
        return config.say.value(&json!({ "url": url }));
    }
    if !only_print && has_display() {
        let path = config.home.state.join("page.html");
        files::write(&path, doorway(&url).as_bytes(), Secrecy::Owner)?;
        if rt::spawn_blocking(move || open(&path)).await {
            config.say.note("filbert: the page is in your browser");
            return Ok(());
        }
    }
    config.say.line(&url)
}

/// The address of the page with its token, for a person at a terminal; without it for whatever else reads along.
pub fn address(config: &Config, api: &str, token: &crate::web::Token) -> String {
    if std::io::stdout().is_terminal() {
        return format!("{api}/#t={}", token.as_str());
    }
    format!("{api}  (open it with filbert{} web)", config.home.flag)
}

fn has_display() -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    cfg!(not(all(unix, not(target_os = "macos")))) || set("DISPLAY") || set("WAYLAND_DISPLAY")
}

/// A page that leads on; it says nothing to who keeps it for later but the address that it leads to.
fn doorway(url: &str) -> String {
    format!(
        "<!doctype html><meta charset=\"utf-8\"><meta name=\"referrer\" content=\"no-referrer\"><title>filbert</title>\
         <meta http-equiv=\"refresh\" content=\"0; url={url}\"><p><a href=\"{url}\">filbert</a>\n"
    )
}

/// Whether a program took the file.
fn open(path: &Path) -> bool {
    OPENERS.iter().any(|opener| {
        let mut words = opener.split(' ');
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).arg(path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    })
}
