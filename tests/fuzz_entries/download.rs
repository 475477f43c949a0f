//! Operations on one download: sources that are honest, lie, dawdle and talk nonsense, a disk that forgets, a user
//! who changes his mind. The driver knows what is on the disk; the machine only what it is told. However it went,
//! an honest source brings it to its end.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use filbert::base::{Instant, Rng};
use filbert::transfer::{
    Ask, BlockMap, Download, DownloadConfig, Expected, Input, Lost, Output, SizeFrom, Source, SourceId, State,
};
use filbert::wire::head::Headers;
use filbert::wire::http::Response;
use filbert::wire::{Blake3, Sha1, Tth, Urn};

use super::choices::Choices;

const CELL: u64 = 64 << 10;
const RIGHT: Expected = Expected { sha1: Some(Sha1([1; 20])), tth: None, blake3: None };
const WRONG: Expected = Expected { sha1: Some(Sha1([2; 20])), tth: None, blake3: None };
/// What the disk takes.
const ROOM: u64 = 1 << 30;
/// The port of the source that helps in the end.
const HONEST: u16 = 1001;
const FEW: usize = 3;
/// Steps in which an honest source brings any download to its end.
const STEPS: usize = 3000;

/// Bytes as a story with a good end.
pub fn download(data: &[u8]) {
    let mut choices = Choices::new(data);
    let mut driver = Driver::new(&mut choices);
    while !choices.is_over() {
        driver.act(&mut choices);
    }
    // Where few sources are kept, those that have brought something leave no place for the honest one.
    if driver.config.max_sources > FEW {
        driver.end_well();
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Cell {
    Missing,
    Right,
    Wrong,
}

/// What a source was asked, and what it sends.
#[derive(Debug)]
struct Contact {
    port: u16,
    asked: Range<u64>,
    /// The bytes to be kept that have not come yet.
    receiving: Option<Range<u64>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Turn {
    None,
    Wanted,
    Held,
    Ending,
}

struct Driver {
    machine: Download,
    twin: Download,
    config: DownloadConfig,
    now: Instant,
    /// What the content is in truth.
    size: u64,
    /// What is on the disk, if there is a partial file, which may be of another size.
    disk: Option<(u64, Vec<Cell>)>,
    is_open: bool,
    opening: Option<u64>,
    turn: Turn,
    contacts: BTreeMap<SourceId, Contact>,
    known: BTreeSet<SourceId>,
    verifying: bool,
    finishing: bool,
    matched: bool,
    requeried: bool,
    /// Who is asked for the tree.
    tree: Option<SourceId>,
    /// The last request to each source since there was progress or a word that changes something.
    asked: BTreeMap<SourceId, (Instant, Range<u64>)>,
    out: Vec<Output>,
}

impl Driver {
    fn new(choices: &mut Choices<'_>) -> Self {
        let bits = choices.byte();
        let size = choices.of(&[0, 1, CELL, 16 * CELL, 16 * CELL + 1, 40 * CELL, 64 * CELL]);
        let config = DownloadConfig {
            active_sources: 1 + usize::from(bits & 3),
            request: choices.of(&[16 << 20, 1 << 20, CELL]),
            max_sources: if bits & 4 != 0 { FEW } else { 64 },
            ..DownloadConfig::default()
        };
        let told = (bits & 8 != 0).then_some(size);
        let seed = u64::from(choices.byte());
        let new = || {
            let machine = Download::new(config.clone(), RIGHT, told, Rng::from_number(seed));
            if bits & 16 != 0 { machine.with_size_from(SizeFrom::Source) } else { machine }
        };
        let mut driver = Self {
            machine: new(),
            twin: new(),
            config: config.clone(),
            now: Instant::from_secs(100),
            size,
            disk: None,
            is_open: false,
            opening: None,
            turn: Turn::None,
            contacts: BTreeMap::new(),
            known: BTreeSet::new(),
            verifying: false,
            finishing: false,
            matched: false,
            requeried: false,
            tree: None,
            asked: BTreeMap::new(),
            out: Vec::new(),
        };
        driver.wake();
        driver
    }

    fn act(&mut self, choices: &mut Choices<'_>) {
        match choices.byte() % 24 {
            0 | 1 => self.add(1 + u16::from(choices.byte() % 6)),
            2..=4 => {
                self.answer();
            }
            5..=7 => self.head(choices),
            8..=12 => self.body(choices),
            13 => {
                if let Some(source) = self.contact(choices) {
                    self.contacts.remove(&source);
                    let how = [Lost::Refused, Lost::NoAnswer, Lost::Closed, Lost::Garbage("noise".into())];
                    let how = how[choices.below(4)].clone();
                    self.handle(Input::Lost { source, how });
                }
            }
            14 | 15 => self.sleep(choices),
            16 => {
                self.asked.clear();
                self.handle(
                    [Input::Pause, Input::Resume, Input::Retry, Input::NetworkChanged][choices.below(4)].clone(),
                );
            }
            17 if choices.byte() > 240 => self.handle(Input::Cancel),
            17 => {
                // Of a tree only its root is made up here: what it proves is told by tests with true ones.
                if let Some(source) = self.tree.take() {
                    let lie = choices.flag().then(|| "noise".to_owned());
                    self.handle(Input::NoTree { source, lie });
                }
            }
            18 => self.mishap(choices),
            19 => self.stray(choices),
            20 => {
                // Readers anywhere, beyond the end too; none at last.
                let places = (0..choices.below(4)).map(|_| choices.below(1 << 16) as u64 * (CELL / 16));
                let places = places.collect();
                self.handle(Input::Prefer(places));
            }
            _ => {
                // All goes well for a while.
                for _ in 0..choices.byte() % 8 {
                    self.step(choices.flag());
                }
            }
        }
    }

    /// Whoever listens at an even port sends wrong bytes.
    fn add(&mut self, port: u16) {
        self.asked.clear();
        let addr = SocketAddr::from(([127, 0, 0, 1], port));
        self.handle(Input::AddSource(Source::new(addr, Ask::Urn(Urn::Sha1(Sha1([1; 20]))))));
    }

    /// Answers what the machine waits for, other than sources. Whether it waited for something.
    fn answer(&mut self) -> bool {
        if let Some(size) = self.opening.take() {
            if size > ROOM {
                self.handle(Input::DiskFailed("no disk is that large".into()));
                return true;
            }
            let cells = size.div_ceil(CELL) as usize;
            match &self.disk {
                Some((old, _)) if *old == size => {}
                _ => self.disk = Some((size, vec![Cell::Missing; cells])),
            }
            self.is_open = true;
            let stored = self.stored(0..size);
            self.handle(Input::Opened { stored });
        } else if self.verifying {
            self.verifying = false;
            self.matched = self.is_right();
            let found = if self.matched { RIGHT } else { WRONG };
            self.handle(Input::Verified(found));
        } else if self.finishing {
            self.finishing = false;
            self.handle(Input::Finished);
            assert_eq!(self.machine.state(), State::Done);
            assert!(self.is_right(), "a wrong file was put into place");
        } else if self.turn == Turn::Wanted {
            self.turn = Turn::Held;
            self.handle(Input::Turn);
        } else {
            return false;
        }
        true
    }

    /// The head of an answer, of any sort.
    fn head(&mut self, choices: &mut Choices<'_>) {
        let Some(source) = self.contact(choices) else { return };
        let Some(Contact { asked, receiving: None, port }) = self.contacts.get(&source) else { return };
        let liar = port % 2 == 0;
        let size = if liar && choices.flag() { self.size + 1 } else { self.size };
        let (first, end) = (asked.start, asked.end.min(size));
        let head = match choices.byte() % 16 {
            0..=6 => partial(first, end, size),
            7 => partial(first, (first + 1 + u64::from(choices.word())).min(end), size),
            8 => response(200, vec![("Content-Length", size.to_string())]),
            9 => response(503, vec![("Retry-After", choices.of(&["0", "30", "99999999999999999999", "x"]).to_owned())]),
            10 => response(503, vec![("X-Queued", choices.text(60))]),
            11 => response(choices.of(&[404, 410, 416, 302, 401, 500]), vec![]),
            12 => response(206, vec![("Content-Range", choices.text(60))]),
            13 => partial(first.saturating_sub(choices.byte().into()), end, choices.of(&[size, 0, u64::MAX])),
            14 => response(choices.word(), vec![("Content-Length", choices.text(20))]),
            _ => {
                let chunked = partial(first, end, size);
                Response { headers: chunked.headers.with("Transfer-Encoding", "chunked"), ..chunked }
            }
        };
        // Trees are named, the same by most.
        let root = Tth([[0, 1][usize::from(liar && choices.flag())]; 24]);
        let thex = format!("/uri-res/N2X?urn:sha1:X;{root}");
        let head = match choices.byte() % 4 {
            0 => Response { headers: head.headers.with("X-Thex-URI", thex), ..head },
            _ => head,
        };
        self.handle(Input::Head { source, head });
    }

    /// Some of a body that was announced, or its end.
    fn body(&mut self, choices: &mut Choices<'_>) {
        let Some(source) = self.contact(choices) else { return };
        let Some(Contact { receiving: Some(left), .. }) = self.contacts.get(&source) else { return };
        let bytes = choices.of(&[1, CELL / 2, CELL, 16 * CELL, 64 * CELL]).min(left.end - left.start);
        if bytes > 0 {
            self.write(source, bytes);
        }
        if choices.byte() > 128 {
            self.body_end(source);
        }
    }

    fn body_end(&mut self, source: SourceId) {
        if self.contacts.get(&source).is_some_and(|contact| contact.receiving.is_some()) {
            self.contacts.remove(&source);
            self.handle(Input::BodyEnd { source });
        }
    }

    /// Bytes come and are put on the disk.
    fn write(&mut self, source: SourceId, bytes: u64) {
        let Some(contact) = self.contacts.get_mut(&source) else { return };
        let Some(left) = &mut contact.receiving else { return };
        let range = left.start..left.start + bytes;
        left.start = range.end;
        let right = contact.port % 2 == 1;
        let (size, cells) = self.disk.as_mut().expect("a partial file is open");
        for index in range.start / CELL..range.end.div_ceil(CELL) {
            let cell = index * CELL..((index + 1) * CELL).min(*size);
            // A cell counts when its last byte has come; a wrong byte spoils it for good.
            let spoilt = !right || cells[index as usize] == Cell::Wrong && range.start > cell.start;
            if spoilt {
                cells[index as usize] = Cell::Wrong;
            } else if range.end >= cell.end {
                cells[index as usize] = Cell::Right;
            }
        }
        let stored = self.stored(range.clone());
        self.asked.clear();
        self.handle(Input::Wrote { source, range, stored });
    }

    /// Blocks that are whole and touched by `range`, as the disk tells them.
    fn stored(&self, range: Range<u64>) -> Vec<(usize, Blake3)> {
        let Some((size, cells)) = &self.disk else { return Vec::new() };
        let map = BlockMap::new(*size);
        let whole = |block: &Range<u64>| {
            let cells = &cells[(block.start / CELL) as usize..block.end.div_ceil(CELL) as usize];
            cells.iter().all(|cell| *cell != Cell::Missing)
        };
        (0..map.len())
            .filter(|index| {
                let block = map.range(*index);
                block.start < range.end && range.start < block.end && block.end <= range.end.max(block.end)
            })
            .filter(|index| range.contains(&(map.range(*index).end - 1)) && whole(&map.range(*index)))
            .map(|index| (index, Blake3([7; 32])))
            .collect()
    }

    fn is_right(&self) -> bool {
        self.disk
            .as_ref()
            .is_some_and(|(size, cells)| *size == self.size && cells.iter().all(|cell| *cell == Cell::Right))
    }

    /// The disk, or somebody at it, does something.
    fn mishap(&mut self, choices: &mut Choices<'_>) {
        self.asked.clear();
        match choices.byte() % 8 {
            0 => {
                self.forget_disk();
                self.handle(Input::DiskFailed("no space is left".into()));
            }
            1 if self.is_open => {
                self.forget_disk();
                self.handle(Input::Gone("somebody removed it".into()));
            }
            2 | 3 if self.verifying => {
                self.verifying = false;
                let index = choices.below(5);
                if let Some((_, cells)) = &mut self.disk {
                    cells.iter_mut().skip(index * 16).take(16).for_each(|cell| *cell = Cell::Missing);
                }
                self.handle(Input::Changed { blocks: vec![index], words: "one bit".into() });
            }
            4 if self.finishing => {
                self.finishing = false;
                self.handle(Input::Altered);
            }
            5 if !self.finishing => {
                let at = usize::from(choices.byte());
                if let Some(cell) = self.disk.as_mut().and_then(|(_, cells)| cells.get_mut(at)) {
                    *cell = Cell::Wrong;
                }
            }
            _ => self.handle(Input::Noted("a word".into())),
        }
    }

    fn forget_disk(&mut self) {
        self.disk = None;
        (self.is_open, self.opening, self.verifying, self.finishing) = (false, None, false, false);
    }

    /// What a driver should not say: out of turn, or of a source that is none.
    fn stray(&mut self, choices: &mut Choices<'_>) {
        let source = SourceId(u32::from(choices.byte() % 12));
        if self.contacts.contains_key(&source) {
            return;
        }
        let first = u64::from(choices.byte()) * CELL / 4;
        let range = first..first + u64::from(choices.word());
        let input = match choices.byte() % 8 {
            0 => Input::Head { source, head: partial(range.start, range.end.max(range.start + 1), self.size) },
            1 => Input::Wrote { source, range, stored: vec![] },
            2 => Input::BodyEnd { source },
            3 => Input::Lost { source, how: Lost::Closed },
            4 if !self.verifying => Input::Verified(RIGHT),
            5 if !self.finishing => Input::Finished,
            6 if self.opening.is_none() => Input::Opened { stored: vec![(choices.below(80), Blake3([9; 32]))] },
            _ if !self.verifying => Input::Changed { blocks: vec![choices.below(300)], words: "x".into() },
            _ => return,
        };
        self.handle(input);
    }

    fn sleep(&mut self, choices: &mut Choices<'_>) {
        let millis = choices.of(&[1_u64, 100, 1000, 60_000]) * u64::from(choices.byte() % 8);
        let until = self.now + Duration::from_millis(millis);
        while let Some(at) = self.machine.next_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.wake();
            assert!(self.machine.next_timeout().is_none_or(|next| next > self.now), "it spins");
        }
        self.now = until;
    }

    fn wake(&mut self) {
        let mut twins = Vec::new();
        self.machine.handle_timeout(self.now, &mut self.out);
        self.twin.handle_timeout(self.now, &mut twins);
        assert_eq!(twins, self.out);
        self.observe();
    }

    fn handle(&mut self, input: Input) {
        let mut twins = Vec::new();
        self.machine.handle(self.now, input.clone(), &mut self.out);
        self.twin.handle(self.now, input, &mut twins);
        assert_eq!(twins, self.out);
        self.observe();
    }

    /// Does what the machine says, and holds it against what it may say.
    fn observe(&mut self) {
        let out = std::mem::take(&mut self.out);
        assert!(out.len() < 100, "{} outputs at once", out.len());
        for output in out {
            match output {
                Output::WantTurn => {
                    assert!(matches!(self.turn, Turn::None | Turn::Ending));
                    self.turn = Turn::Wanted;
                }
                Output::EndTurn => {
                    assert_eq!(self.turn, Turn::Held);
                    self.turn = Turn::Ending;
                }
                Output::YieldTurn => {
                    assert_ne!(self.turn, Turn::None);
                    self.turn = Turn::None;
                }
                Output::Open { size } => {
                    assert!(self.opening.is_none());
                    (self.is_open, self.opening) = (false, Some(size));
                }
                Output::Fetch { source, from, first, end, ticket: _ } => self.on_fetch(source, &from, first, end),
                Output::Receive { source, first, keep } => {
                    let contact = self.contacts.get_mut(&source).expect("a source that was asked");
                    assert!(contact.receiving.is_none() && self.is_open);
                    let asked = &contact.asked;
                    if !keep.is_empty() {
                        let within = asked.start <= keep.start && keep.end <= asked.end;
                        assert!(first <= keep.start && within, "{keep:?} of {asked:?} from {first}");
                        assert!(self.machine.size().is_some_and(|size| keep.end <= size), "{keep:?}");
                    }
                    contact.receiving = Some(keep);
                }
                Output::Shorten { source, end } => {
                    let contact = self.contacts.get_mut(&source).expect("a source that sends");
                    let left = contact.receiving.as_mut().expect("a source that sends");
                    assert!(end < left.end, "{left:?} is not made shorter by {end}");
                    *left = left.start..end.max(left.start);
                }
                Output::Drop { source } => {
                    assert!(self.known.contains(&source));
                    self.contacts.remove(&source);
                }
                Output::FetchTree { source, size, .. } => {
                    assert!(self.known.contains(&source) && self.machine.size() == Some(size));
                    self.tree = Some(source);
                }
                Output::HoldTree(_) => unreachable!("nobody gave one"),
                Output::Requery => self.requeried = true,
                Output::Verify => {
                    assert!(!self.verifying && self.contacts.is_empty() && self.machine.map().is_complete());
                    self.verifying = true;
                }
                Output::Finish => {
                    assert!(self.matched, "it was not verified");
                    self.matched = false;
                    self.finishing = true;
                }
                Output::Discard => {
                    // Another content is believed in, or all is fetched again: what was asked before may be asked anew.
                    self.asked.clear();
                    self.forget_disk();
                }
            }
        }
        assert!(self.machine.done() <= self.machine.map().size());
        assert!(self.contacts.len() <= self.config.active_sources);
        assert!(self.machine.sources().count() <= self.config.max_sources);
        assert!(!self.machine.reason(self.now).is_empty());
        if self.machine.state().is_over() {
            assert!(self.contacts.is_empty() && self.turn == Turn::None);
            assert_eq!(self.machine.next_timeout(), None);
            (self.verifying, self.finishing, self.opening) = (false, false, None);
        }
        if self.machine.state() == State::Paused {
            assert!(self.contacts.is_empty() && self.turn == Turn::None);
            self.verifying = false;
        }
    }

    fn on_fetch(&mut self, source: SourceId, from: &Source, first: u64, end: Option<u64>) {
        assert_eq!(self.turn, Turn::Held, "it is not its turn");
        self.known.insert(source);
        let asked = first..end.unwrap_or(u64::MAX);
        match self.machine.size() {
            Some(size) => {
                let right = self.is_open && asked.start < asked.end && end.is_some_and(|end| end <= size);
                assert!(right, "{asked:?} of {size}, open: {}, {:?}", self.is_open, self.contacts);
            }
            None => assert!(self.contacts.is_empty() && asked == (0..u64::MAX)),
        }
        for other in self.contacts.values() {
            let range = other.receiving.as_ref().unwrap_or(&other.asked);
            assert!(range.end <= asked.start || asked.end <= range.start, "{asked:?} is asked of two");
        }
        // "Between two requests to one source lies either progress or a growing pause."
        if let Some((at, before)) = self.asked.insert(source, (self.now, asked.clone())) {
            assert!(self.now > at || before != asked, "{source:?} is asked for {asked:?} again at once");
        }
        let contact = Contact { port: from.addr.port(), asked, receiving: None };
        assert!(self.contacts.insert(source, contact).is_none(), "{source:?} is asked twice");
    }

    fn contact(&self, choices: &mut Choices<'_>) -> Option<SourceId> {
        let all: Vec<_> = self.contacts.keys().copied().collect();
        (!all.is_empty()).then(|| choices.of(&all))
    }

    /// The next thing that a good driver does; sources other than the honest one are gone unless `kind`.
    fn step(&mut self, kind: bool) {
        if self.answer() {
            return;
        }
        let Some((&source, contact)) = self.contacts.iter().next() else {
            if let Some(at) = self.machine.next_timeout() {
                self.now = self.now.max(at);
                self.wake();
            }
            return;
        };
        if contact.port != HONEST && !kind {
            self.contacts.remove(&source);
            return self.handle(Input::Lost { source, how: Lost::Closed });
        }
        match &contact.receiving {
            None => {
                let head = if self.size == 0 {
                    response(200, vec![("Content-Length", "0".into())])
                } else if contact.asked.start >= self.size {
                    response(416, vec![("Content-Range", format!("bytes */{}", self.size))])
                } else {
                    partial(contact.asked.start, contact.asked.end.min(self.size), self.size)
                };
                self.handle(Input::Head { source, head });
            }
            Some(left) if left.is_empty() => self.body_end(source),
            Some(left) => {
                let bytes = left.end - left.start;
                self.write(source, bytes);
                self.body_end(source);
            }
        }
    }

    fn end_well(&mut self) {
        self.asked.clear();
        if let State::Paused | State::Cancelled | State::Failed = self.machine.state() {
            self.handle(Input::Retry);
            self.handle(Input::Resume);
        }
        self.add(HONEST);
        for _ in 0..STEPS {
            if std::mem::take(&mut self.requeried) {
                self.add(HONEST);
            }
            match self.machine.state() {
                State::Done => return,
                State::Failed => {
                    self.asked.clear();
                    self.handle(Input::Retry);
                    self.add(HONEST);
                }
                _ => self.step(false),
            }
        }
        panic!("it does not end: {:?}, {}", self.machine.state(), self.machine.reason(self.now));
    }
}

fn response(code: u16, headers: Vec<(&str, String)>) -> Response {
    let headers = Headers(headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
    Response { code, reason: "Said So".into(), version: (1, 1), headers }
}

fn partial(first: u64, end: u64, total: u64) -> Response {
    let range = format!("bytes {first}-{}/{total}", end.wrapping_sub(1));
    response(206, vec![("Content-Range", range)])
}
