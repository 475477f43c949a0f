//! The reading half of a link: bytes as they come, to batches of messages for the driver.
//!
//! A link that waits holds no buffer: one is made when there may be something to read, and let go when there is not.

use std::future::{Future, pending, poll_fn};
use std::io;
use std::pin::Pin;

use futures::channel::mpsc;
use futures::{AsyncRead, SinkExt};

use super::garbage;
use crate::net::driver::Message;
use crate::net::rt::TcpStream;
use crate::net::secret::Opener;
use crate::proto::{CloseReason, ConnId, Input};
use crate::wire::deflated::Inflater;
use crate::wire::stream::{FrameReader, PAYLOAD_LIMIT};

/// Bytes asked of a socket at once while little comes, and while much does.
const READ_LITTLE: usize = 4 * 1024;
const READ_MUCH: usize = 64 * 1024;
/// What a deflated link sends is inflated in pieces of this.
const INFLATED: usize = 16 * 1024;
/// When less than this came at once the inflater rests: no timer is needed to know that a link is idle.
const REST_BELOW: usize = 4 * 1024;

/// From bytes to batches of messages, and those to the driver.
pub(super) struct Intake {
    opener: Option<Box<Opener>>,
    inflater: Option<Box<Inflater>>,
    frames: FrameReader,
    conn: ConnId,
    driver: mpsc::Sender<Message>,
}

impl Intake {
    pub(super) fn new(
        conn: ConnId,
        opener: Option<Box<Opener>>,
        inflater: Option<Inflater>,
        driver: mpsc::Sender<Message>,
    ) -> Self {
        Self { opener, inflater: inflater.map(Box::new), frames: FrameReader::new(PAYLOAD_LIMIT), conn, driver }
    }

    async fn take(&mut self, bytes: &[u8]) -> Result<(), CloseReason> {
        match &mut self.opener {
            None => self.inflate(bytes).await,
            Some(opener) => {
                let opened = opener.open(bytes)?;
                self.inflate(&opened).await
            }
        }
    }

    /// What came makes no sense, or there is nobody to tell.
    async fn end(&mut self, reason: CloseReason) -> CloseReason {
        let CloseReason::Garbage(what) = reason else { return reason };
        let garbled = Input::Garbled { conn: self.conn, what };
        if self.driver.send(Message::Input(garbled)).await.is_err() {
            return CloseReason::Shutdown;
        }
        pending().await
    }

    async fn inflate(&mut self, mut bytes: &[u8]) -> Result<(), CloseReason> {
        let Some(mut inflater) = self.inflater.take() else { return self.messages(bytes).await };
        // Piece by piece: few bytes may inflate to many.
        let (mut piece, mut made) = (vec![0; INFLATED], 0);
        loop {
            match inflater.fill(&mut bytes, &mut piece).map_err(garbage)? {
                0 => break,
                filled => {
                    made += filled;
                    self.messages(&piece[..filled]).await?;
                }
            }
        }
        if made < REST_BELOW {
            inflater.rest();
        }
        self.inflater = Some(inflater);
        Ok(())
    }

    async fn messages(&mut self, bytes: &[u8]) -> Result<(), CloseReason> {
        self.frames.push(bytes);
        loop {
            let batch = self.frames.next_batch().map_err(garbage)?;
            if batch.is_empty() {
                return Ok(());
            }
            let input = Input::Frames { conn: self.conn, batch };
            self.driver.send(Message::Input(input)).await.map_err(|_| CloseReason::Shutdown)?;
        }
    }
}

/// Reads until the link ends; `bytes` came behind the last head. When what comes makes no sense the servent is told, which
/// closes the link with a Bye.
#[allow(clippy::manual_async_fn)] // those hold their arguments twice
pub(super) fn read<'a>(
    stream: &'a TcpStream,
    mut bytes: Vec<u8>,
    mut intake: Intake,
) -> impl Future<Output = CloseReason> + Send + 'a {
    async move {
        let mut size = READ_LITTLE;
        loop {
            // What that needs is not held while nothing comes.
            if let Err(reason) = Box::pin(intake.take(&bytes)).await {
                return Box::pin(intake.end(reason)).await;
            }
            if bytes.len() == size {
                size = (4 * size).min(READ_MUCH);
            } else if bytes.len() < READ_LITTLE {
                size = READ_LITTLE;
            }
            if let Err(reason) = next(stream, size, &mut bytes).await {
                return reason;
            }
        }
    }
}

/// Waits for bytes, `size` at most, and puts them in the place of those in `bytes`.
async fn next(mut stream: &TcpStream, size: usize, bytes: &mut Vec<u8>) -> Result<(), CloseReason> {
    let came: io::Result<usize> = poll_fn(|cx| {
        bytes.resize(size, 0);
        let polled = Pin::new(&mut stream).poll_read(cx, bytes);
        if polled.is_pending() {
            *bytes = Vec::new();
        }
        polled
    })
    .await;
    match came {
        Ok(0) => Err(CloseReason::Closed),
        Ok(n) => {
            bytes.truncate(n);
            Ok(())
        }
        Err(_) => Err(CloseReason::Broken),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpListener};

    use bytes::BytesMut;
    use futures::FutureExt;

    use super::*;
    use crate::net::driver::INBOX;
    use crate::wire::{Frame, Guid, Kind};

    #[test]
    fn a_flood_is_read_no_faster_than_the_servent_looks_at_it() {
        let mut queries = BytesMut::new();
        let query = Frame::new(Guid([1; 16]), Kind::Query, 4, b"\0\0amber delta\0".as_slice().into());
        (0..1000).for_each(|_| query.encode(&mut queries));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let mut peer = std::net::TcpStream::connect(listener.local_addr().expect("bound")).expect("a connection");
        let mut ours = listener.accept().expect("a connection").0;
        peer.set_nonblocking(true).expect("a socket");

        // Nobody reads this inbox.
        let (driver, _inbox) = mpsc::channel(INBOX);
        let stream = TcpStream::from(ours.try_clone().expect("a socket"));
        let mut reading = Box::pin(read(&stream, Vec::new(), Intake::new(ConnId::accepted(1), None, None, driver)));
        let (mut written, mut refused) = (0, 0);
        while written < 32 << 20 && refused < 10 {
            // Cut anywhere, as long as it goes on where it was cut.
            match peer.write(&queries[written % queries.len()..]) {
                Ok(some) => (written, refused) = (written + some, 0),
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                    refused += 1;
                }
            }
            assert!((&mut reading).now_or_never().is_none(), "it goes on");
        }
        drop(reading);

        let drained = std::thread::spawn(move || {
            ours.set_nonblocking(false).expect("a socket");
            let (mut rest, mut left) = (vec![0; 64 * 1024], 0);
            while let Ok(some @ 1..) = ours.read(&mut rest) {
                left += some;
            }
            left
        });
        peer.shutdown(Shutdown::Write).expect("a connection");
        let taken = written - drained.join().expect("it ends");
        assert!((READ_MUCH..1 << 20).contains(&taken), "{taken} of {written} bytes");
    }
}
