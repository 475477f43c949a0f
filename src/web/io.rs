//! hyper over our runtime: a stream adapter and a timer.
//!
//! It is safe code throughout: bytes are read into a buffer of ours and copied once, which a control API on
//! loopback does not notice.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures::{AsyncRead, AsyncWrite};
use hyper::rt::{Read, ReadBufCursor, Sleep, Timer, Write};

use crate::net::rt;

/// Bytes read at once.
const READ: usize = 8 * 1024;

/// A stream of the futures traits as hyper wants it.
pub struct HyperStream<S> {
    inner: S,
    buffer: Vec<u8>,
}

impl<S> HyperStream<S> {
    /// Wraps a stream.
    pub fn new(inner: S) -> Self {
        Self { inner, buffer: vec![0; READ] }
    }
}

impl<S: AsyncRead + Unpin> Read for HyperStream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, mut out: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let want = out.remaining().min(READ);
        let n = ready!(Pin::new(&mut this.inner).poll_read(cx, &mut this.buffer[..want]))?;
        out.put_slice(&this.buffer[..n]);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> Write for HyperStream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_close(cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(cx, slices)
    }
}

/// Time for hyper: head timeouts need it.
#[derive(Clone, Copy, Debug)]
pub struct HyperTimer;

struct HyperSleep(rt::Timer);

impl Future for HyperSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl Sleep for HyperSleep {}

impl Timer for HyperTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(Instant::now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        let mut timer = rt::Timer::never();
        timer.set(Some(deadline));
        Box::pin(HyperSleep(timer))
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn Sleep>>, deadline: Instant) {
        match sleep.as_mut().downcast_mut_pin::<HyperSleep>() {
            Some(sleep) => sleep.get_mut().0.set(Some(deadline)),
            None => *sleep = self.sleep_until(deadline),
        }
    }
}
