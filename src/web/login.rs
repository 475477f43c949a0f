//! The way in by the password, for other machines.
//!
//! A browser gets a cookie for it, as it gets one for the token. One password is tried at a time, on a thread that may be
//! busy, and [`Attempts`] says how often; who has the token never comes by here.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::attempts::Attempts;
use super::guard::Token;
use super::password::{self, Hashed};
use crate::base::Instant;
use crate::disk::Home;
use crate::net::rt;
use crate::wire::addr::subnet;

/// Bytes of the body that brings a password: its longest, with each byte escaped.
pub const BODY: usize = 8 * 1024;
const _: () = assert!(BODY > 6 * password::LONGEST);

/// What the password opens.
pub struct Login {
    home: Home,
    token: Token,
    now: Mutex<Option<Opened>>,
    attempts: Mutex<Attempts>,
    /// Whose turn it is to try one.
    turn: Arc<futures::lock::Mutex<()>>,
    began: std::time::Instant,
}

/// The password as it is now.
#[derive(Clone)]
struct Opened {
    hashed: Hashed,
    key: Token,
}

/// Why a password did not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// There is none any more.
    NoPassword,
    /// It is another one.
    Wrong,
    /// Too many were wrong lately: later.
    Later(Duration),
}

impl Login {
    /// For the password of that home.
    pub fn new(home: &Home, token: &Token) -> Self {
        let login = Self {
            home: home.clone(),
            token: token.clone(),
            now: Mutex::default(),
            attempts: Mutex::default(),
            turn: Arc::default(),
            began: std::time::Instant::now(),
        };
        login.read();
        login
    }

    /// Reads the password again; whether it is another one, or gone.
    pub fn read(&self) -> bool {
        let read = Hashed::load(&self.home);
        let read = read.map(|hashed| Opened { key: self.token.of_login(&hashed), hashed });
        let mut now = lock(&self.now);
        let changed = now.as_ref().map(|it| &it.hashed) != read.as_ref().map(|it| &it.hashed);
        *now = read;
        changed
    }

    /// What the password stands for now; `None` without one.
    pub fn key(&self) -> Option<Token> {
        lock(&self.now).as_ref().map(|now| now.key.clone())
    }

    /// Tries one: what it stands for, if it is the right one.
    pub async fn open(&self, from: IpAddr, password: String) -> Result<Token, Denied> {
        let hashed = lock(&self.now).as_ref().map(|now| now.hashed.clone()).ok_or(Denied::NoPassword)?;
        let network = subnet(from);
        self.admit(from, network)?;
        let turn = Arc::clone(&self.turn).lock_owned().await;
        // The turn goes along: it ends with the work, also when who asked went away.
        let tried = rt::spawn_blocking(move || {
            let right = hashed.is(&password);
            if !right {
                // Here, where it is told also when who asked went away.
                log::warn!("{from} was refused: wrong password");
            }
            drop(turn);
            right.then_some(hashed)
        });
        let right = tried.await;
        let now = lock(&self.now).clone();
        match now.filter(|now| right.as_ref() == Some(&now.hashed)) {
            Some(now) => {
                lock(&self.attempts).was_right(network);
                log::info!("{from} came in by the password");
                Ok(now.key)
            }
            None => Err(Denied::Wrong),
        }
    }

    fn admit(&self, from: IpAddr, network: IpAddr) -> Result<(), Denied> {
        let now = Instant::from_micros(u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX));
        let mut attempts = lock(&self.attempts);
        attempts.admit(now, network).map_err(|wait| {
            let level = if attempts.is_news(now) { log::Level::Warn } else { log::Level::Debug };
            log::log!(level, "{from} was refused: too many wrong passwords within a minute");
            Denied::Later(wait)
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
