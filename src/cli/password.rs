//! `password`: sets the password by which other machines come in, or takes it away.
//!
//! It is typed twice at a terminal that does not show it, or is a line of stdin; never an argument or a variable, which others
//! could read. Its hash alone is kept.

use std::io::{self, BufRead, ErrorKind, IsTerminal, Read, Write};

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::crossterm::terminal;
use serde_json::{Value, json};

use super::config::Config;
use super::exit::{Exit, Failure};
use super::files::{self, Secrecy};
use super::servent;
use crate::net::rt;
use crate::web::password::{self, Hashed, LONGEST};

/// `password`.
pub async fn password(config: &Config, remove: bool) -> Result<(), Failure> {
    let path = password::path(&config.home);
    let words = if remove {
        match std::fs::remove_file(&path) {
            Ok(()) => "the password is gone: nobody comes in by one",
            Err(error) if error.kind() == ErrorKind::NotFound => "there was no password",
            Err(error) => return Err(Failure::new(Exit::Failed, format!("cannot remove {}: {error}", path.display()))),
        }
    } else {
        let typed = typed().await?;
        let hashed = rt::spawn_blocking(move || Hashed::of(&typed, servent::random()?).map_err(Failure::from)).await?;
        files::write_in_home(&path, hashed.as_str().as_bytes(), Secrecy::Owner)?;
        "the password is set"
    };
    let view = match servent::find(&config.home).await {
        Some(client) => Some(client.post::<Value>("/api/v1/password", Value::Null).await.map_err(|failure| {
            failure.hint("It is written, but the running servent does not know yet: start it anew, or send it SIGHUP")
        })?),
        None => None,
    };
    if config.say.json {
        return config.say.value(&json!({ "password": !remove }));
    }
    config.say.note(&format!("filbert: {words}"));
    let is = |name: &str| view.as_ref().is_some_and(|view| view[name] == true);
    if is("changed") {
        config.say.note("It holds now; who had come in by the old one is out.");
    } else if !remove && !is("opens") {
        let next = config
            .home
            .typed("It opens nothing yet: `filbert up --api 0.0.0.0:7346 --api-remote` lets other machines in.");
        config.say.note(&next);
    }
    Ok(())
}

/// What was typed, if it can be a password.
async fn typed() -> Result<String, Failure> {
    if !io::stdin().is_terminal() {
        let line = rt::spawn_blocking(line_of_stdin).await?;
        password::check(&line)?;
        return Ok(line);
    }
    let _unseen = Unseen::begin()?;
    let first = hidden("New password: ").await?;
    password::check(&first)?;
    match hidden("The same again: ").await? {
        second if second == first => Ok(first),
        _ => Err(Failure::new(Exit::Usage, "the two are not the same").hint("Nothing was changed: try again")),
    }
}

/// The first line, without its end.
fn line_of_stdin() -> Result<String, Failure> {
    let unread = |error: io::Error| Failure::new(Exit::Failed, format!("cannot read the password from stdin: {error}"));
    let mut bytes = Vec::new();
    // One byte more than is allowed, and the end of the line.
    io::stdin().lock().take(LONGEST as u64 + 3).read_until(b'\n', &mut bytes).map_err(unread)?;
    let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    String::from_utf8(line.to_vec()).map_err(|_| Failure::new(Exit::Usage, "the password is no UTF-8"))
}

/// While it is there the terminal shows nothing of what is typed.
struct Unseen;

impl Unseen {
    fn begin() -> Result<Self, Failure> {
        terminal::enable_raw_mode().map_err(|error| unheard(&error))?;
        Ok(Self)
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        let _ = terminal::disable_raw_mode();
    }
}

/// A line that is typed unseen.
async fn hidden(prompt: &str) -> Result<String, Failure> {
    let _ = write!(io::stderr(), "{prompt}");
    let line = rt::spawn_blocking(|| {
        let mut line = String::new();
        loop {
            match event::read()? {
                Event::Key(key) if key.kind != KeyEventKind::Release => match typed_key(&mut line, key) {
                    Key::More => {}
                    Key::Done => return Ok::<_, io::Error>(Some(line)),
                    Key::Stop => return Ok(None),
                },
                _ => {}
            }
        }
    });
    let line = line.await;
    let _ = write!(io::stderr(), "\r\n");
    line.map_err(|error| unheard(&error))?.ok_or_else(|| Failure::silent(Exit::Interrupted))
}

fn unheard(error: &io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("cannot read from this terminal: {error}"))
        .hint("Give the password as a line of stdin instead")
}

/// What a key means.
#[derive(Debug, PartialEq, Eq)]
enum Key {
    More,
    Done,
    Stop,
}

fn typed_key(line: &mut String, key: KeyEvent) -> Key {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        KeyCode::Enter => return Key::Done,
        KeyCode::Char('j' | 'm') if control => return Key::Done,
        KeyCode::Char('c' | 'd') if control => return Key::Stop,
        KeyCode::Char('u') if control => line.clear(),
        KeyCode::Backspace => drop(line.pop()),
        KeyCode::Char(letter) if !control && line.len() <= LONGEST => line.push(letter),
        _ => {}
    }
    Key::More
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_become_a_line() {
        let plain = |code| KeyEvent::new(code, KeyModifiers::NONE);
        let control = |letter| KeyEvent::new(KeyCode::Char(letter), KeyModifiers::CONTROL);
        let mut line = String::new();
        for key in [plain(KeyCode::Char('x')), control('u'), plain(KeyCode::Char('ä')), plain(KeyCode::Char('b'))] {
            assert_eq!(typed_key(&mut line, key), Key::More);
        }
        typed_key(&mut line, plain(KeyCode::Backspace));
        typed_key(&mut line, plain(KeyCode::Left));
        assert_eq!(line, "ä");
        assert_eq!(typed_key(&mut line, plain(KeyCode::Enter)), Key::Done);
        assert_eq!(typed_key(&mut line, control('c')), Key::Stop);
        for _ in 0..2 * LONGEST {
            typed_key(&mut line, plain(KeyCode::Char('x')));
        }
        assert_eq!(line.len(), LONGEST + 1, "too long, and no longer");
    }
}
