//! Ctrl-C and `--timeout`.

use std::future::Future;
use std::pin::pin;
use std::sync::OnceLock;

use async_signal::{Signal, Signals};
use futures::StreamExt;
use futures::future::{Either, select};
use futures::lock::Mutex;

use super::config::Config;
use super::exit::{Exit, Failure};
use crate::net::rt;

/// Signals since [`listen`], one after the other.
static SIGNALS: OnceLock<Mutex<Signals>> = OnceLock::new();

/// Never read: that a file may not grow (`ulimit -f`) is an error of whoever writes to it, not the end of the process.
#[cfg(unix)]
static GROWTH: OnceLock<Signals> = OnceLock::new();

/// From now on Ctrl-C and SIGTERM wait to be heard instead of ending the process. Called once, first of all.
pub fn listen() {
    #[cfg(unix)]
    match Signals::new([Signal::Xfsz]) {
        Ok(held) => drop(GROWTH.set(held)),
        Err(error) => log::debug!("a file that may not grow will end us: {error}"),
    }
    #[cfg(unix)]
    let heard = [Signal::Int, Signal::Term];
    #[cfg(not(unix))]
    let heard = [Signal::Int];
    match Signals::new(heard) {
        Ok(signals) => {
            let _ = SIGNALS.set(Mutex::new(signals));
        }
        Err(error) => log::warn!("cannot listen for signals: {error}"),
    }
}

/// Ready at the next Ctrl-C or SIGTERM; one that came since [`listen`] and was not heard counts.
pub async fn stop_signal() {
    if let Some(signals) = SIGNALS.get() {
        let mut signals = signals.lock().await;
        while let Some(signal) = signals.next().await {
            if signal.is_ok() {
                return;
            }
        }
    }
    futures::future::pending().await
}

/// Gives `work` until Ctrl-C (code 130) and for as long as `--timeout` allows (code 124). It is dropped then.
pub async fn bounded<T>(config: &Config, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let limit = async {
        match config.timeout {
            Some(limit) => rt::sleep(limit).await,
            None => futures::future::pending().await,
        }
    };
    let ended = pin!(async {
        match select(pin!(stop_signal()), pin!(limit)).await {
            Either::Left(_) => Failure::silent(Exit::Interrupted),
            Either::Right(_) => {
                let secs = config.timeout.unwrap_or_default().as_secs_f64();
                Failure::new(Exit::TimedOut, format!("not done after {secs} s")).hint("Give it more with --timeout")
            }
        }
    });
    match select(pin!(work), ended).await {
        Either::Left((done, _)) => done,
        Either::Right((failure, _)) => Err(failure),
    }
}
