//! Tells who supervises us (systemd's `Type=notify`) how we are: lines in a datagram to the socket that `NOTIFY_SOCKET`
//! names. See sd_notify(3). Without that variable nothing is said.

use std::ffi::OsString;
use std::time::Duration;

use crate::app::Node;
use crate::net::rt;

/// Whom to tell, if anybody wants to know.
#[derive(Clone, Debug, Default)]
pub struct Notify {
    socket: Option<OsString>,
    watchdog: Option<Duration>,
}

impl Notify {
    /// As the environment says.
    pub fn from_env() -> Self {
        Self::new(|name| std::env::var_os(name), std::process::id())
    }

    fn new(env: impl Fn(&str) -> Option<OsString>, pid: u32) -> Self {
        let number = |name: &str| env(name)?.to_str()?.parse::<u64>().ok();
        // It may be meant for another process: one that started us.
        let ours = number("WATCHDOG_PID").is_none_or(|meant| meant == u64::from(pid));
        let watchdog = number("WATCHDOG_USEC").filter(|&micros| ours && micros > 0).map(Duration::from_micros);
        let named = |socket: &OsString| matches!(socket.as_encoded_bytes().first(), Some(b'/' | b'@'));
        Self { socket: env("NOTIFY_SOCKET").filter(named), watchdog }
    }

    /// Everything runs.
    pub fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={}", status.replace('\n', " ")));
    }

    /// The settings are read again; [`Notify::ready`] says when that is done.
    pub fn reloading(&self) {
        self.tell("RELOADING=1");
    }

    /// It ends.
    pub fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=Uploads come to their end");
    }

    /// Gives a sign of life twice as often as is asked for, for as long as the servent itself gives one.
    pub async fn tend(&self, node: &Node) {
        let (Some(every), Some(_)) = (self.watchdog, &self.socket) else { return futures::future::pending().await };
        loop {
            if node.is_alive().await {
                self.tell("WATCHDOG=1");
            }
            rt::sleep(every / 2).await;
        }
    }

    fn tell(&self, state: &str) {
        let Some(socket) = &self.socket else { return };
        if let Err(error) = send(socket, state.as_bytes()) {
            log::warn!("cannot tell {} how we are: {error}", socket.to_string_lossy());
        }
    }
}

#[cfg(unix)]
fn send(socket: &OsString, state: &[u8]) -> std::io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    let from = UnixDatagram::unbound()?;
    // Nobody waits for a supervisor that does not read.
    from.set_nonblocking(true)?;
    let to = match socket.as_bytes().split_first() {
        #[cfg(target_os = "linux")]
        Some((b'@', name)) => <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(socket)?,
    };
    from.send_to_addr(state, &to).map(|_| ())
}

#[cfg(not(unix))]
fn send(_: &OsString, _: &[u8]) -> std::io::Result<()> {
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    #[test]
    fn the_environment_says_whom_to_tell_and_how_often() {
        type Row = (&'static [(&'static str, &'static str)], Option<&'static str>, Option<u64>);
        let table: &[Row] = &[
            (&[], None, None),
            (&[("NOTIFY_SOCKET", "/run/x")], Some("/run/x"), None),
            (&[("NOTIFY_SOCKET", "@x"), ("WATCHDOG_USEC", "2000000")], Some("@x"), Some(2)),
            (&[("NOTIFY_SOCKET", "relative")], None, None),
            (&[("NOTIFY_SOCKET", "")], None, None),
            (&[("WATCHDOG_USEC", "2000000"), ("WATCHDOG_PID", "7")], None, Some(2)),
            (&[("WATCHDOG_USEC", "2000000"), ("WATCHDOG_PID", "8")], None, None),
            (&[("WATCHDOG_USEC", "0")], None, None),
            (&[("WATCHDOG_USEC", "soon")], None, None),
        ];
        for (env, socket, watchdog) in table {
            let get = |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into());
            let notify = Notify::new(get, 7);
            assert_eq!(notify.socket, socket.map(OsString::from), "{env:?}");
            assert_eq!(notify.watchdog, watchdog.map(Duration::from_secs), "{env:?}");
        }
    }

    #[test]
    fn lines_arrive_as_one_datagram_and_a_socket_that_is_gone_does_no_harm() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("notify");
        let supervisor = UnixDatagram::bind(&path).expect("a socket");
        let notify = Notify { socket: Some(path.into()), watchdog: None };
        notify.ready("1 neighbour\nREADY=0");
        let mut told = [0; 100];
        let len = supervisor.recv(&mut told).expect("told");
        assert_eq!(std::str::from_utf8(&told[..len]), Ok("READY=1\nSTATUS=1 neighbour READY=0"));
        drop((supervisor, dir));
        notify.stopping();
    }
}
