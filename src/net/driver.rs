//! The task that owns the servent and gives it sockets, a clock and chance.
//!
//! It is the real counterpart of `sim`'s world: everything that happens becomes an [`Input`], everything that
//! the servent wants is one arm of the `match` in [`Driver::act`]. It decides nothing about the network, and
//! it sleeps until somebody speaks or [`Servent::next_timeout`] comes.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use futures::channel::{mpsc, oneshot};
use futures::{FutureExt, SinkExt, StreamExt};

use super::lan::Lan;
use super::link::{Common, FirstLeg, LinkEnd, Packers, WRITE_BATCH};
use super::mdns::Mdns;
use super::rt::{self, TcpStream, UdpPort};
use super::secret::Identity;
use super::udp;
use crate::base::{HashSeed, Instant, Map, Rng};
use crate::proto::{Command, Config, ConnId, Event, Input, Outbox, Output, Servent};

/// Batches of messages that may wait for the driver, beside one of each link; a link whose batch waits reads no further.
///
/// A flood is read ten times faster than it is routed: however many may wait, they all do, at 64 KiB and their heads each.
/// These are enough that the driver need not wait for a link's next turn.
pub(super) const INBOX: usize = 8;
/// Event batches that may wait for the application; then the driver, and with it every link, waits for it.
const EVENT_BATCHES: usize = 64;
/// Messages of peers, and what else happens, that are handled before others get their turn: writers must keep
/// up with us, or what they have no room for is dropped.
const TURN: usize = 256;
/// How long Bye and what was sent before it may take to be written at the end.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What links and the listener tell the driver.
#[derive(Debug)]
pub(super) enum Message {
    /// Something for the servent.
    Input(Input),
    /// Somebody dialled us and sent the first leg.
    Accepted { stream: TcpStream, from: SocketAddr, first: FirstLeg },
    /// A handshake is through: messages may flow.
    Opened(ConnId),
    /// A link that was asked to tell wrote something: its room is looked at, as it is after every message.
    Wrote,
}

type Inspection = Box<dyn FnOnce(&Servent, Instant) + Send>;

enum Order {
    Command(Command),
    Inspect(Inspection),
    Stop,
}

/// A monotonic clock that counts from its own start.
#[derive(Clone, Copy, Debug)]
pub struct Clock(std::time::Instant);

impl Clock {
    /// Starts now.
    pub fn start() -> Self {
        Self(std::time::Instant::now())
    }

    /// The time since the start, as the core counts it.
    pub fn now(&self) -> Instant {
        Instant::from_micros(u64::try_from(self.0.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// The moment `at` for a timer; `None` for one so far away that it never comes.
    pub(super) fn real(&self, at: Instant) -> Option<std::time::Instant> {
        self.0.checked_add(Duration::from_micros(at.as_micros()))
    }
}

/// Speaks to the servent; cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle(mpsc::UnboundedSender<Order>);

impl std::fmt::Debug for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Command(command) => command.fmt(f),
            Self::Inspect(_) => f.write_str("Inspect"),
            Self::Stop => f.write_str("Stop"),
        }
    }
}

impl Handle {
    /// Gives a command. After the end of the driver it is lost.
    pub fn command(&self, command: Command) {
        let _ = self.0.unbounded_send(Order::Command(command));
    }

    /// Looks at the servent: `None` after the end of the driver.
    pub async fn inspect<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Servent, Instant) -> T + Send + 'static,
    ) -> Option<T> {
        let (seen, answer) = oneshot::channel();
        let look = Box::new(move |servent: &Servent, now| {
            let _ = seen.send(look(servent, now));
        });
        self.0.unbounded_send(Order::Inspect(look)).ok()?;
        answer.await.ok()
    }

    /// Says Bye on every link; the driver ends within about a second.
    pub fn stop(&self) {
        let _ = self.0.unbounded_send(Order::Stop);
    }
}

/// Where the listener brings peers that want a link.
#[derive(Clone, Debug)]
pub struct Gate(mpsc::Sender<Message>);

impl Gate {
    pub(super) async fn enter(&mut self, stream: TcpStream, from: SocketAddr, first: FirstLeg) {
        let _ = self.0.send(Message::Accepted { stream, from, first }).await;
    }

    /// Somebody opened a connection to us.
    pub(super) async fn reached(&mut self, from: IpAddr) {
        let _ = self.0.send(Message::Input(Input::Reached { from })).await;
    }
}

/// A servent that runs.
#[derive(Debug)]
pub struct Running {
    /// To speak to it.
    pub handle: Handle,
    /// For the listener.
    pub gate: Gate,
    /// What it tells, in order, in batches. Must be read: the servent waits for its reader.
    pub events: mpsc::Receiver<Vec<Event>>,
    /// It runs until [`Handle::stop`] or until this is dropped.
    pub task: rt::Task<()>,
}

/// Where datagrams come and go.
#[derive(Debug, Default)]
pub struct Ports {
    /// Our UDP port.
    pub udp: Option<UdpPort>,
    /// The group of the local network.
    pub lan: Option<Lan>,
    /// Multicast DNS.
    pub mdns: Option<Mdns>,
}

/// Starts a servent without UDP; `identity` is its own where links may be encrypted.
pub fn start(config: Config, identity: Option<Identity>, rng: Rng, clock: Clock) -> Running {
    start_with(config, identity, rng, clock, Ports::default())
}

/// Starts a servent.
pub fn start_with(config: Config, identity: Option<Identity>, mut rng: Rng, clock: Clock, ports: Ports) -> Running {
    let (to_driver, inbox) = mpsc::channel(INBOX);
    let (handle, orders) = mpsc::unbounded();
    let (events_out, events) = mpsc::channel(EVENT_BATCHES);
    let links = Map::with_hasher(HashSeed::new(&mut rng));
    let mut readers = Vec::new();
    readers.extend(ports.udp.clone().map(|socket| rt::spawn(udp::read(socket, to_driver.clone()))));
    readers.extend(ports.lan.as_ref().map(|lan| rt::spawn(lan.listen(to_driver.clone()))));
    readers.extend(ports.mdns.as_ref().map(|mdns| rt::spawn(mdns.listen(to_driver.clone()))));
    let driver = Driver {
        servent: Servent::new(config, rng, clock.now()),
        clock,
        links,
        accepted: 0,
        outbox: Outbox::new(),
        events: Vec::new(),
        common: Arc::new(Common { driver: to_driver.clone(), packers: Packers::default(), identity }),
        low: Vec::new(),
        parcel: Parcel::default(),
        ports,
        _readers: readers,
    };
    let task = rt::spawn(driver.run(inbox, orders, events_out));
    Running { handle: Handle(handle), gate: Gate(to_driver), events, task }
}

struct Driver {
    servent: Servent,
    clock: Clock,
    links: Map<ConnId, LinkEnd>,
    accepted: u64,
    outbox: Outbox,
    events: Vec<Event>,
    common: Arc<Common>,
    /// Links with little room.
    low: Vec<ConnId>,
    parcel: Parcel,
    ports: Ports,
    /// Kept because dropping them closes the ports.
    _readers: Vec<rt::Task<()>>,
}

/// Messages on their way to links, encoded. A flood is one message for many links, and many floods in a row go to the
/// same ones: it is encoded once, and they share its bytes.
#[derive(Default)]
struct Parcel {
    to: Vec<ConnId>,
    bytes: BytesMut,
}

enum Wake {
    Message(Option<Message>),
    Order(Option<Order>),
    Deadline,
}

impl Wake {
    /// How much work it is.
    fn weight(&self) -> usize {
        match self {
            Self::Message(Some(Message::Input(Input::Frames { batch, .. }))) => batch.len().max(1),
            _ => 1,
        }
    }
}

impl Driver {
    async fn run(
        mut self,
        mut inbox: mpsc::Receiver<Message>,
        mut orders: mpsc::UnboundedReceiver<Order>,
        mut events: mpsc::Sender<Vec<Event>>,
    ) {
        let mut timer = rt::Timer::never();
        let mut set_to = None;
        let mut end = None;
        let mut handled = 0;
        loop {
            let deadline = [self.servent.next_timeout(), end].into_iter().flatten().min();
            if deadline != set_to {
                timer.set(deadline.and_then(|at| self.clock.real(at)));
                set_to = deadline;
            }
            let mut wake = futures::select_biased! {
                order = orders.next() => Wake::Order(order),
                message = inbox.next() => Wake::Message(message),
                () = (&mut timer).fuse() => Wake::Deadline,
            };
            loop {
                handled += wake.weight();
                match wake {
                    Wake::Message(Some(message)) => self.on_message(message),
                    Wake::Order(Some(Order::Command(command))) => self.handle(Input::Command(command)),
                    Wake::Order(Some(Order::Inspect(look))) => look(&self.servent, self.clock.now()),
                    Wake::Order(Some(Order::Stop) | None) => {
                        if let (None, Some(mdns)) = (end, &self.ports.mdns) {
                            mdns.farewell();
                        }
                        end.get_or_insert(self.clock.now() + LAST_WORDS);
                        self.handle(Input::Command(Command::Shutdown));
                    }
                    // We hold a sender of our own: the inbox never ends.
                    Wake::Message(None) => {}
                    Wake::Deadline => set_to = None,
                }
                self.tell_room();
                wake = if end.is_some() || handled >= TURN {
                    break;
                } else if let Some(order @ Some(_)) = orders.next().now_or_never() {
                    Wake::Order(order)
                } else if let Some(message) = inbox.next().now_or_never() {
                    Wake::Message(message)
                } else {
                    break;
                };
            }
            if self.servent.next_timeout().is_some_and(|at| at <= self.clock.now()) {
                self.servent.handle_timeout(self.clock.now(), &mut self.outbox);
                self.act_on_all();
                self.tell_room();
            }
            if !self.events.is_empty() && events.send(std::mem::take(&mut self.events)).await.is_err() {
                end.get_or_insert(self.clock.now() + LAST_WORDS);
            }
            if end.is_some_and(|end| self.links.is_empty() || end <= self.clock.now()) {
                return;
            }
            if handled >= TURN {
                // Before that waiting is turn enough for others, and a yield would only wake another thread.
                handled = 0;
                rt::yield_now().await;
            }
        }
    }

    fn on_message(&mut self, message: Message) {
        match message {
            Message::Input(input) => {
                let ended = match &input {
                    Input::DialFailed { conn, .. } | Input::Disconnected { conn, .. } => Some(*conn),
                    _ => None,
                };
                if let Some(conn) = ended {
                    self.links.remove(&conn);
                }
                self.handle(input);
            }
            Message::Accepted { stream, from, first } => {
                self.accepted += 1;
                let conn = ConnId::accepted(self.accepted);
                let head = first.head.clone();
                let link = LinkEnd::accept(conn, stream, from, first, &self.common);
                self.links.insert(conn, link);
                self.handle(Input::Handshake { conn, from, head });
            }
            Message::Opened(conn) => {
                if let Some(room) = self.links.get_mut(&conn).map(LinkEnd::opened) {
                    self.handle(Input::Connected { conn, room });
                }
            }
            Message::Wrote => {}
        }
    }

    fn handle(&mut self, input: Input) {
        self.servent.handle(self.clock.now(), input, &mut self.outbox);
        self.act_on_all();
    }

    fn act_on_all(&mut self) {
        let mut outbox = std::mem::take(&mut self.outbox);
        for output in outbox.drain(..) {
            self.act(output);
        }
        self.post();
        self.outbox = outbox;
    }

    /// Hands the links what is there for them.
    fn post(&mut self) {
        if self.parcel.bytes.is_empty() {
            return;
        }
        let bytes = self.parcel.bytes.split().freeze();
        for conn in self.parcel.to.drain(..) {
            if let Some(link) = self.links.get_mut(&conn)
                && link.send(bytes.clone())
            {
                self.low.push(conn);
            }
        }
    }

    /// Tells the servent of links that have room again.
    fn tell_room(&mut self) {
        let mut at = 0;
        while let Some(&conn) = self.low.get(at) {
            match self.links.get_mut(&conn).map(LinkEnd::news) {
                Some(None) => at += 1,
                Some(Some(bytes)) => {
                    self.low.swap_remove(at);
                    // It may be low again after this: then it is at the end of the list.
                    self.handle(Input::Room { conn, bytes });
                }
                None => {
                    self.low.swap_remove(at);
                }
            }
        }
    }

    fn act(&mut self, output: Output) {
        match output {
            Output::Dial { conn, addr, purpose } => {
                log::debug!(target: "filbert::net", "dialling {addr} ({purpose:?})");
                self.links.insert(conn, LinkEnd::dial(conn, addr, &self.common));
            }
            Output::Handshake { conn, verdict, head } => {
                if let Some(link) = self.links.get(&conn) {
                    link.leg(verdict, head);
                }
            }
            Output::Send { to, frame } => {
                if to != self.parcel.to || self.parcel.bytes.len() >= WRITE_BATCH {
                    self.post();
                    self.parcel.to = to;
                }
                frame.encode(&mut self.parcel.bytes);
            }
            Output::SendTo { addr, frame } => {
                if let Some(socket) = &self.ports.udp {
                    udp::send(socket, addr, &frame);
                }
            }
            Output::Announce(frame) => {
                if let Some(lan) = &self.ports.lan {
                    lan.announce(&frame);
                }
                if let Some(mdns) = &self.ports.mdns {
                    mdns.ask(self.servent.role());
                }
            }
            Output::Close { conn, reason } => {
                log::debug!(target: "filbert::net", "closing {conn:?}: {reason:?}");
                self.post();
                if let Some(link) = self.links.get_mut(&conn) {
                    link.close(reason);
                }
            }
            Output::Event(event) => self.events.push(event),
        }
    }
}
