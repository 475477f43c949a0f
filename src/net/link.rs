//! One Gnutella link: handshake legs first, then messages, in both directions at once.
//!
//! A link decides nothing. It reads heads and frames within their bounds and passes them to the driver, writes
//! what the driver gives it, and says once how it ended. What waits for a slow peer waits in the servent's
//! queue: here lies at most [`ROOM`] bytes, so that a peer that does not read stops nobody but itself.

mod desk;
mod packing;
mod reading;
mod writing;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::channel::mpsc;
use futures::future::{BoxFuture, Either, Select, select};
use futures::{AsyncReadExt, AsyncWriteExt, FutureExt, SinkExt};

use self::desk::{Desk, ToLink};
pub(super) use self::packing::Packers;
use self::packing::Packing;
use self::reading::Intake;
use self::writing::Outgoing;
pub(super) use self::writing::WRITE_BATCH;
use super::driver::Message;
use super::rt::{self, TcpStream};
use super::secret::{self, Identity, Opener, Sealer, Transcript};
use super::zone;
use crate::proto::{CloseReason, ConnId, DialFailure, Direction, Input, Verdict};
use crate::wire::deflated::Inflater;
use crate::wire::handshake::{HEAD_LIMIT, Head};
use crate::wire::head::RawHead;
use crate::wire::stream::PAYLOAD_LIMIT;
use crate::wire::{DecodeError, HEADER_LEN};

/// The longest message.
const LONGEST: usize = HEADER_LEN + PAYLOAD_LIMIT;
/// Bytes of messages that a link takes before it has written the first of them.
pub const ROOM: usize = 2 * LONGEST;
/// A dial that takes longer has failed.
const DIAL_LIMIT: Duration = Duration::from_secs(10);
/// What is still to be written when a link is closed gets this long.
const CLOSE_GRACE: Duration = Duration::from_millis(800);

/// The driver's end of a link.
#[derive(Debug)]
pub(super) struct LinkEnd {
    desk: Arc<Desk>,
    /// What the servent believes that the link takes.
    told: usize,
    /// That is less than the longest message, and the driver knows.
    low: bool,
    /// Kept because dropping it ends the link.
    _task: rt::Task<()>,
}

/// The first leg of who dialled us.
#[derive(Debug)]
pub(super) struct FirstLeg {
    pub(super) head: Head,
    legs: Transcript,
    /// What came behind it.
    rest: Vec<u8>,
}

impl FirstLeg {
    /// `bytes` are those of `head`.
    pub(super) fn new(head: Head, bytes: &[u8], rest: Vec<u8>) -> Self {
        let mut legs = Transcript::default();
        legs.add(bytes);
        Self { head, legs, rest }
    }
}

/// How messages are coded.
#[derive(Clone, Copy, Debug, Default)]
struct Coding {
    /// Which directions are deflated: each as its sender said in its last leg.
    inflate: bool,
    deflate: bool,
    /// All three legs said so.
    encrypt: bool,
}

/// What one leg says of that.
#[derive(Clone, Copy, Debug)]
struct Says {
    deflates: bool,
    encrypts: bool,
}

impl Says {
    fn of(head: &Head) -> Self {
        Self { deflates: head.deflates(), encrypts: head.encrypts() }
    }
}

/// What came behind the handshake, and how what follows is coded.
type Opened = (Vec<u8>, Coding, Option<(Box<Sealer>, Box<Opener>)>);

/// The link's end of the talk with the driver.
struct Line {
    conn: ConnId,
    peer: SocketAddr,
    desk: Arc<Desk>,
    common: Arc<Common>,
    legs: Box<Transcript>,
}

/// What all links share.
#[derive(Debug)]
pub(super) struct Common {
    /// Where they tell what happens.
    pub(super) driver: mpsc::Sender<Message>,
    pub(super) packers: Packers,
    /// Where links may be encrypted.
    pub(super) identity: Option<Identity>,
}

impl Common {
    /// Tells the driver something that happens once, or only when it asked.
    async fn tell(&self, message: Message) {
        // A driver that is gone needs no news.
        let _ = self.driver.clone().send(message).await;
    }
}

impl LinkEnd {
    /// Dials `addr`.
    pub(super) fn dial(conn: ConnId, addr: SocketAddr, common: &Arc<Common>) -> Self {
        Self::start(conn, addr, Transcript::default(), common, |line| line.dial().boxed())
    }

    /// Takes up an accepted connection whose first leg was read.
    pub(super) fn accept(
        conn: ConnId,
        stream: TcpStream,
        peer: SocketAddr,
        first: FirstLeg,
        common: &Arc<Common>,
    ) -> Self {
        let FirstLeg { legs, rest, .. } = first;
        Self::start(conn, peer, legs, common, |line| line.talk(stream, rest).boxed())
    }

    fn start(
        conn: ConnId,
        peer: SocketAddr,
        legs: Transcript,
        common: &Arc<Common>,
        run: impl FnOnce(Line) -> BoxFuture<'static, Ended>,
    ) -> Self {
        let (desk, common) = (Arc::new(Desk::default()), Arc::clone(common));
        let line = Line { conn, peer, desk: Arc::clone(&desk), common: Arc::clone(&common), legs: Box::new(legs) };
        let (talk, closing) = (run(line), Arc::clone(&desk));
        let task = rt::spawn(async move {
            let ended = match select(talk, Box::pin(grace(&closing))).await {
                Either::Left((ended, _)) => ended,
                Either::Right((reason, _)) => Ended::Closed(reason),
            };
            let input = match ended {
                Ended::NotDialled(reason) => Input::DialFailed { conn, reason },
                Ended::Closed(reason) => Input::Disconnected { conn, reason },
            };
            Box::pin(common.tell(Message::Input(input))).await;
        });
        Self { desk, told: 0, low: false, _task: task }
    }

    /// Passes on a leg of the handshake.
    pub(super) fn leg(&self, verdict: Verdict, head: Head) {
        self.desk.leg(verdict, head);
    }

    /// Passes on messages. Whether room has become low by them: then ask for [`LinkEnd::news`] until there is some.
    pub(super) fn send(&mut self, frames: Bytes) -> bool {
        self.told = self.told.saturating_sub(frames.len());
        self.desk.send(frames);
        self.told < LONGEST && !std::mem::replace(&mut self.low, true)
    }

    /// The room that the servent is to be told of, once the longest message fits again. If it does not yet, the
    /// link says [`Message::Wrote`] after its next write.
    pub(super) fn news(&mut self) -> Option<usize> {
        let room = self.desk.room()?;
        (self.told, self.low) = (room, false);
        Some(room)
    }

    /// The link is up: it takes this much.
    pub(super) fn opened(&mut self) -> usize {
        self.told = ROOM;
        ROOM
    }

    /// Ends the link once what was sent before is written, and soon in any case.
    pub(super) fn close(&mut self, reason: CloseReason) {
        self.desk.close(reason);
    }
}

async fn grace(desk: &Desk) -> CloseReason {
    let reason = desk.closed().await;
    Box::pin(rt::sleep(CLOSE_GRACE)).await;
    reason
}

/// How it ended.
enum Ended {
    NotDialled(DialFailure),
    Closed(CloseReason),
}

// What each stage needs is held as long as the stage lasts: a link spends its life in the second. These two are no
// `async fn`s because those hold their arguments twice.
#[allow(clippy::manual_async_fn)]
impl Line {
    fn dial(self) -> impl Future<Output = Ended> + Send {
        async move {
            let dial = rt::timeout(DIAL_LIMIT, zone::connect(self.peer));
            let dialled = match select(Box::pin(dial), self.desk.next()).await {
                Either::Left((dialled, _)) => dialled,
                Either::Right((order, _)) => return Ended::Closed(closed(order)),
            };
            let stream = match dialled {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => return Ended::NotDialled(failure(&error)),
                Err(rt::TimedOut) => return Ended::NotDialled(DialFailure::TimedOut),
            };
            Box::pin(self.tell(Input::Dialled { conn: self.conn })).await;
            self.talk(stream, Vec::new()).boxed().await
        }
    }

    fn talk(mut self, stream: TcpStream, rest: Vec<u8>) -> impl Future<Output = Ended> + Send {
        async move {
            // Messages are small and answers are waited for.
            let _ = stream.set_nodelay(true);
            let opened = self.open(&stream, rest).boxed().await;
            let reason = match opened {
                Ok(opened) => self.messages(&stream, opened).await.factor_first().0,
                Err(reason) => reason,
            };
            linger(&stream).boxed().await;
            Ended::Closed(reason)
        }
    }
}

impl Line {
    async fn tell(&self, input: Input) {
        self.common.tell(Message::Input(input)).await;
    }

    /// All that comes before messages.
    async fn open(&mut self, stream: &TcpStream, rest: Vec<u8>) -> Result<Opened, CloseReason> {
        let (mut rest, coding) = self.handshake(stream, rest).await?;
        let secret = self.secure(stream, &mut rest, coding).await?;
        self.common.tell(Message::Opened(self.conn)).await;
        Ok((rest, coding, secret))
    }

    /// Three legs; returns what came behind the last head, and how the messages are coded.
    async fn handshake(&mut self, stream: &TcpStream, mut rest: Vec<u8>) -> Result<(Vec<u8>, Coding), CloseReason> {
        let coding = if self.conn.direction() == Direction::Out {
            self.write_leg(stream).await?;
            let head = self.read_leg(stream, &mut rest).await?;
            let theirs = Says::of(&head);
            self.tell(Input::Handshake { conn: self.conn, from: self.peer, head }).await;
            let ours = self.write_leg(stream).await?;
            let encrypt = theirs.encrypts && ours.encrypts;
            Coding { inflate: theirs.deflates, deflate: ours.deflates, encrypt }
        } else {
            let ours = self.write_leg(stream).await?;
            let head = self.read_leg(stream, &mut rest).await?;
            let theirs = Says::of(&head);
            let refused = match &head {
                Head::Status { code: 200, .. } => None,
                Head::Status { code, reason, .. } => Some(CloseReason::Refused(*code, reason.clone())),
                Head::Connect { .. } => Some(CloseReason::Garbage("a first leg in the third's place".into())),
            };
            self.tell(Input::Handshake { conn: self.conn, from: self.peer, head }).await;
            if let Some(reason) = refused {
                return Err(reason);
            }
            let encrypt = ours.encrypts && theirs.encrypts;
            Coding { inflate: theirs.deflates, deflate: ours.deflates, encrypt }
        };
        Ok((rest, coding))
    }

    /// Writes the next leg; returns what it says.
    async fn write_leg(&mut self, mut stream: &TcpStream) -> Result<Says, CloseReason> {
        match self.desk.next().await {
            ToLink::Leg(verdict, head) => {
                let bytes = head.encode();
                self.legs.add(&bytes);
                stream.write_all(&bytes).await.map_err(|_| CloseReason::Broken)?;
                match (verdict, *head) {
                    (Verdict::Offer | Verdict::Accept, head) => Ok(Says::of(&head)),
                    (Verdict::Refuse, Head::Status { code, reason, .. }) => Err(CloseReason::WeRefused(code, reason)),
                    (Verdict::Refuse, Head::Connect { .. }) => Err(CloseReason::WeRefused(0, String::new())),
                }
            }
            ToLink::Close(reason) => Err(reason),
            // A message before the handshake is through: that cannot be.
            ToLink::Frames(_) => Err(CloseReason::Shutdown),
        }
    }

    async fn read_leg(&mut self, stream: &TcpStream, rest: &mut Vec<u8>) -> Result<Head, CloseReason> {
        match select(Box::pin(read_head(stream, rest, &mut self.legs)), self.desk.next()).await {
            Either::Left((head, _)) => head,
            Either::Right((order, _)) => Err(closed(order)),
        }
    }

    /// Encrypts the link, if that was agreed.
    async fn secure(
        &mut self,
        stream: &TcpStream,
        rest: &mut Vec<u8>,
        coding: Coding,
    ) -> Result<Option<(Box<Sealer>, Box<Opener>)>, CloseReason> {
        let Some(identity) = self.common.identity.as_ref().filter(|_| coding.encrypt) else { return Ok(None) };
        let agree = secret::agree(stream, rest, self.conn.direction(), identity, *self.legs);
        let (sealer, opener, key) = match select(Box::pin(agree), self.desk.next()).await {
            Either::Left((agreed, _)) => agreed?,
            Either::Right((order, _)) => return Err(closed(order)),
        };
        self.tell(Input::Secured { conn: self.conn, key }).await;
        Ok(Some((Box::new(sealer), Box::new(opener))))
    }

    /// Carries messages both ways until one of them ends.
    fn messages<'a>(
        &'a self,
        stream: &'a TcpStream,
        (rest, coding, secret): Opened,
    ) -> Select<BoxFuture<'a, CloseReason>, BoxFuture<'a, CloseReason>> {
        let (sealer, opener) = secret.unzip();
        let inflater = coding.inflate.then(Inflater::default);
        let packing = coding.deflate.then(|| Box::new(Packing::new(self.common.packers.clone())));
        let intake = Intake::new(self.conn, opener, inflater, self.common.driver.clone());
        let reading = reading::read(stream, rest, intake);
        let writing = writing::write(stream, Outgoing { packing, sealer }, &self.desk, &self.common);
        select(reading.boxed(), writing.boxed())
    }
}

/// Why the driver spoke before the handshake was through.
fn closed(order: ToLink) -> CloseReason {
    match order {
        ToLink::Close(reason) => reason,
        ToLink::Leg(..) | ToLink::Frames(_) => CloseReason::Shutdown,
    }
}

/// Reads a head; what came behind it is left in `rest`.
async fn read_head(mut stream: &TcpStream, rest: &mut Vec<u8>, legs: &mut Transcript) -> Result<Head, CloseReason> {
    let mut buffer = [0; 1024];
    loop {
        if let Some((raw, taken)) = RawHead::decode(rest, HEAD_LIMIT).map_err(garbage)? {
            legs.add(&rest[..taken]);
            rest.drain(..taken);
            return Head::parse(raw).map_err(garbage);
        }
        match stream.read(&mut buffer).await {
            Ok(0) => return Err(CloseReason::Closed),
            Ok(n) => rest.extend_from_slice(&buffer[..n]),
            Err(_) => return Err(CloseReason::Broken),
        }
    }
}

fn garbage(error: DecodeError) -> CloseReason {
    CloseReason::Garbage(error.to_string())
}

/// Closes so that the last words arrive: unread bytes in our buffer would make the system answer with a reset,
/// which can take the words away from the other side before it has read them.
async fn linger(mut stream: &TcpStream) {
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut left = 4 * LONGEST;
    let mut buffer = [0; 1024];
    let drain = async {
        while let Ok(n) = stream.read(&mut buffer).await {
            left = left.saturating_sub(n);
            if n == 0 || left == 0 {
                break;
            }
        }
    };
    let _ = rt::timeout(CLOSE_GRACE, drain).await;
}

fn failure(error: &io::Error) -> DialFailure {
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => DialFailure::Refused,
        io::ErrorKind::TimedOut => DialFailure::TimedOut,
        _ => DialFailure::Unreachable,
    }
}
