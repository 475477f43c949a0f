//! The terminal itself: taken over, read, and put back as it was.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use ratatui::crossterm::event::{
    self, DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture, Event, KeyCode,
    KeyEventKind, KeyModifiers, MouseButton, MouseEventKind,
};
use ratatui::crossterm::execute;
use ratatui::layout::Rect;
use ratatui::{DefaultTerminal, Frame};

use super::keys::Key;

/// Whether the terminal is ours now.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The terminal while it is ours. It is given back when this is dropped, and when the program panics.
#[derive(Debug)]
pub struct Screen {
    terminal: DefaultTerminal,
}

/// What came from the keyboard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Typed {
    /// A key.
    Key(Key),
    /// A click at that column and row.
    Clicked(u16, u16),
    /// Text at once.
    Pasted(String),
    /// The size has changed.
    Resized,
    /// The terminal is gone.
    Gone,
}

impl Screen {
    /// Takes the terminal over. A panic gives it back before it is told.
    pub fn take() -> io::Result<Self> {
        let terminal = ratatui::try_init()?;
        TAKEN.store(true, Ordering::SeqCst);
        let tell = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            give_back();
            tell(panic);
        }));
        let screen = Self { terminal };
        execute!(io::stdout(), EnableBracketedPaste, EnableMouseCapture)?;
        Ok(screen)
    }

    /// Paints; `all` also what has not changed, for a terminal that was written to by others.
    pub fn paint(&mut self, all: bool, paint: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        if all {
            // Its own `clear` asks the terminal where the cursor is, and the answer would go to who reads the keyboard.
            let size = self.terminal.size()?;
            self.terminal.resize(Rect::new(0, 0, size.width, size.height))?;
        }
        self.terminal.draw(paint).map(|_| ())
    }

    /// Columns and rows.
    pub fn size(&self) -> io::Result<(u16, u16)> {
        self.terminal.size().map(|size| (size.width, size.height))
    }

    /// Whether the mouse is ours, or the terminal's to select text with.
    pub fn mouse(&mut self, ours: bool) -> io::Result<()> {
        match ours {
            true => execute!(io::stdout(), EnableMouseCapture),
            false => execute!(io::stdout(), DisableMouseCapture),
        }
    }

    /// Puts text into the terminal's clipboard (OSC 52; not every terminal takes it).
    pub fn copy(&mut self, text: &str) -> io::Result<()> {
        let mut out = io::stdout();
        write!(out, "\x1b]52;c;{}\x07", data_encoding::BASE64.encode(text.as_bytes()))?;
        out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// Gives the terminal back, if it is taken. Harmless at any time.
pub fn give_back() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        let _ = execute!(io::stdout(), DisableMouseCapture, DisableBracketedPaste);
        ratatui::restore();
    }
}

/// Waits for the next thing from the keyboard. For a thread of its own.
pub fn next() -> Typed {
    loop {
        let typed = match event::read() {
            Ok(Event::Key(key)) if key.kind != KeyEventKind::Release => {
                understand(key.code, key.modifiers).map(Typed::Key)
            }
            Ok(Event::Paste(text)) => Some(Typed::Pasted(text)),
            Ok(Event::Resize(..)) => Some(Typed::Resized),
            Ok(Event::Mouse(mouse)) => match mouse.kind {
                MouseEventKind::ScrollUp => Some(Typed::Key(Key::WheelUp)),
                MouseEventKind::ScrollDown => Some(Typed::Key(Key::WheelDown)),
                MouseEventKind::Down(MouseButton::Left) => Some(Typed::Clicked(mouse.column, mouse.row)),
                _ => None,
            },
            Ok(_) => None,
            Err(_) => Some(Typed::Gone),
        };
        if let Some(typed) = typed {
            return typed;
        }
    }
}

fn understand(code: KeyCode, modifiers: KeyModifiers) -> Option<Key> {
    Some(match code {
        // A return that was typed before the terminal was ours arrives so.
        KeyCode::Char('j') if modifiers.contains(KeyModifiers::CONTROL) => Key::Enter,
        KeyCode::Char(c) if modifiers.contains(KeyModifiers::CONTROL) => Key::Ctrl(c.to_ascii_lowercase()),
        KeyCode::Char(c) => Key::Char(c),
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Esc,
        KeyCode::Tab => Key::Tab,
        KeyCode::BackTab => Key::BackTab,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::Left => Key::Left,
        KeyCode::Right => Key::Right,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        _ => return None,
    })
}
