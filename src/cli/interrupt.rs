//! Ctrl-C and `--timeout`.

use std::future::Future;
use std::pin::pin;

use async_signal::{Signal, Signals};
use futures::StreamExt;
use futures::future::{Either, select};

use super::config::Config;
use super::exit::{Exit, Failure};
use crate::net::rt;

/// Ready at the first Ctrl-C or SIGTERM from now on; says which.
pub async fn stop_signal() -> Signal {
    match Signals::new([Signal::Int, Signal::Term]) {
        Ok(mut signals) => {
            while let Some(signal) = signals.next().await {
                if let Ok(signal) = signal {
                    return signal;
                }
            }
            futures::future::pending().await
        }
        Err(error) => {
            log::warn!("cannot listen for signals: {error}");
            futures::future::pending().await
        }
    }
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
