//! What a source answers, byte by byte: heads with whatever they say of ranges, places in a queue, trees, proxies and
//! others who have the file, and the bodies behind them, by length and in chunks.

use std::net::SocketAddr;
use std::time::Duration;

use filbert::base::{Instant, Rng};
use filbert::transfer::framing::{Framing, LINE, Step};
use filbert::transfer::{
    Ask, Download, DownloadConfig, Expected, Input, Lost, MAX_PROXIES, Output, Source, SourceId, State,
};
use filbert::wire::head::{Headers, RawHead};
use filbert::wire::http::{HEAD_LIMIT, Request, Response};
use filbert::wire::{Sha1, Urn, alt};

/// The sizes that a user may have asked for: of few blocks, of many, and with a last one of five bytes.
const SIZES: [Option<u64>; 4] = [None, Some(3_000_000), Some(40_000_003), Some((2 << 20) + 5)];
/// Between so many requests that bring nothing lies a pause.
const AT_ONCE: usize = 3;
const PAUSE: Duration = Duration::from_millis(100);
/// Outputs to one input.
const OUTPUTS: usize = 20;

/// How the file is asked for (by name or not, with a size or not), the length of a piece, and what comes.
pub fn answer(data: &[u8]) {
    let [how, piece, stream @ ..] = data else { return };
    bodies(usize::from(*piece).max(1), stream);
    let mut driver = Driver::new(how & 1 == 1, SIZES[usize::from(how / 2) % SIZES.len()]);
    let mut rest = stream;
    while let Some(response) = next_head(&mut rest) {
        others(&response.headers);
        let body = unframe(Framing::of(&request(), &response), rest, rest.len().max(1));
        rest = &rest[rest.len() - body.after.len()..];
        if !driver.answered(response, body.bytes.len() as u64, body.how) {
            break;
        }
    }
}

/// A stream of chunks, or of so many bytes, is the same however it comes, and nothing of it is kept but what comes next.
fn bodies(piece: usize, stream: &[u8]) {
    for framing in [Framing::ChunkSize, Framing::Length(100), Framing::UntilClosed, Framing::Over] {
        let whole = unframe(framing.clone(), stream, stream.len().max(1));
        let pieces = unframe(framing, stream, piece);
        assert_eq!((&pieces.bytes, &pieces.how), (&whole.bytes, &whole.how));
        if whole.how.is_ok() {
            assert_eq!(pieces.after, whole.after);
        }
        assert!(whole.bytes.len() + whole.after.len() <= stream.len());
    }
}

struct Body {
    bytes: Vec<u8>,
    after: Vec<u8>,
    how: Result<(), Lost>,
}

fn unframe(mut framing: Framing, stream: &[u8], piece: usize) -> Body {
    let (mut ahead, mut bytes, mut pieces) = (Vec::new(), Vec::new(), stream.chunks(piece));
    let how = loop {
        match framing.step(&mut ahead) {
            Ok(Step::Over) => break Ok(()),
            Ok(Step::Bytes(most)) if !ahead.is_empty() => {
                let take = usize::try_from(most).unwrap_or(usize::MAX).min(ahead.len());
                bytes.extend(ahead.drain(..take));
                framing.took(take as u64);
            }
            Ok(step) => match pieces.next() {
                Some(more) => {
                    assert!(
                        step != Step::NeedMore || ahead.len() < LINE,
                        "{} bytes wait for a line's end",
                        ahead.len()
                    );
                    ahead.extend_from_slice(more);
                }
                None if framing == Framing::UntilClosed => break Ok(()),
                None => break Err(Lost::Closed),
            },
            Err(lost) => break Err(lost),
        }
    };
    let after = ahead.into_iter().chain(pieces.flatten().copied()).collect();
    Body { bytes, after, how }
}

fn request() -> Request {
    let head = RawHead { first: "GET /uri-res/N2R?x HTTP/1.1".into(), headers: Headers::default() };
    Request::parse(head).expect("a request")
}

fn next_head(rest: &mut &[u8]) -> Option<Response> {
    let (head, taken) = RawHead::decode(rest, HEAD_LIMIT).ok()??;
    *rest = &rest[taken..];
    Response::parse(head).ok()
}

/// Who else has the file, or has it no more: few, and what we would say of them is read again.
fn others(headers: &Headers) {
    let (has, gone) = (alt::read(headers), alt::read_gone(headers));
    assert!(has.len() <= alt::MAX_READ && gone.len() <= alt::MAX_READ);
    let mut said = Headers::default();
    alt::write(&mut said, &has, &gone);
    assert_eq!((alt::read(&said), alt::read_gone(&said)), (has, gone));
}

/// A download with this source alone.
struct Driver {
    machine: Download,
    now: Instant,
    out: Vec<Output>,
    /// The bytes that it was asked for, and has not answered.
    asked: Option<(SourceId, std::ops::Range<u64>)>,
    /// What of its answer is wanted.
    keep: Option<std::ops::Range<u64>>,
    /// When it was asked last, since it brought something.
    in_vain: Vec<Instant>,
}

impl Driver {
    fn new(named: bool, size: Option<u64>) -> Self {
        let sha1 = Sha1([1; 20]);
        let expected = Expected { sha1: named.then_some(sha1), ..Expected::default() };
        let ask = if named { Ask::Urn(Urn::Sha1(sha1)) } else { Ask::Index(7, "a b.txt".into()) };
        let machine = Download::new(DownloadConfig::default(), expected, size, Rng::from_number(1));
        let (now, out, in_vain) = (Instant::ZERO, Vec::new(), Vec::new());
        let mut driver = Self { machine, now, out, asked: None, keep: None, in_vain };
        driver.handle(Input::AddSource(Source::new(SocketAddr::from(([10, 0, 0, 1], 6346)), ask)));
        driver
    }

    /// It answers so, when it is asked next. Whether it ever is.
    fn answered(&mut self, head: Response, bytes: u64, how: Result<(), Lost>) -> bool {
        for _ in 0..10 {
            if self.asked.is_some() {
                break;
            }
            let Some(at) = self.machine.next_timeout() else { return false };
            self.now = self.now.max(at);
            self.machine.handle_timeout(self.now, &mut self.out);
            self.observe();
        }
        let Some((source, _)) = self.asked else { return false };
        self.handle(Input::Head { source, head });
        if let Some(keep) = self.keep.take() {
            let end = keep.start + bytes.min(keep.end - keep.start);
            if end > keep.start {
                self.in_vain.clear();
                self.handle(Input::Wrote { source, range: keep.start..end, stored: Vec::new() });
            }
            let input = match how {
                Ok(()) if end == keep.end => Input::BodyEnd { source },
                how => Input::Lost { source, how: how.err().unwrap_or(Lost::Closed) },
            };
            self.asked = None;
            self.handle(input);
        }
        true
    }

    fn handle(&mut self, input: Input) {
        self.machine.handle(self.now, input, &mut self.out);
        self.observe();
    }

    fn observe(&mut self) {
        let out = std::mem::take(&mut self.out);
        assert!(out.len() < OUTPUTS, "{out:?}");
        for output in out {
            match output {
                Output::WantTurn => self.handle(Input::Turn),
                Output::Open { .. } => self.handle(Input::Opened { stored: Vec::new() }),
                Output::Fetch { source, from, first, end, ticket } => {
                    self.keep = None;
                    self.asked = Some((source, first..end.unwrap_or(u64::MAX)));
                    assert!(from.proxies.len() <= MAX_PROXIES);
                    let is_harmless = |c: u8| c.is_ascii_alphanumeric() || c == b'-';
                    assert!(ticket.is_none_or(|it| it.len() <= 64 && it.bytes().all(is_harmless)));
                    self.in_vain.push(self.now);
                    if let Some(before) = self.in_vain.len().checked_sub(AT_ONCE) {
                        assert!(self.now >= self.in_vain[before] + PAUSE, "it is asked again and again");
                    }
                }
                Output::Receive { source, keep, .. } => {
                    let (id, asked) = self.asked.clone().expect("it was asked");
                    assert_eq!(id, source);
                    assert!(
                        keep.is_empty() || asked.start <= keep.start && keep.end <= asked.end,
                        "{keep:?} of {asked:?}"
                    );
                    self.keep = Some(keep);
                }
                Output::FetchTree { target, source, .. } => {
                    // Our request must remain one, whatever it named.
                    let plain =
                        target.starts_with('/') && target.len() <= 256 && target.bytes().all(|c| c.is_ascii_graphic());
                    assert!(plain, "{target:?}");
                    self.handle(Input::NoTree { source, lie: None });
                }
                Output::Drop { .. } => (self.asked, self.keep) = (None, None),
                Output::EndTurn | Output::YieldTurn | Output::Shorten { .. } | Output::Requery | Output::Discard => {}
                // A file without a byte is whole at once.
                Output::Verify => assert_eq!(self.machine.size(), Some(0)),
                Output::HoldTree(_) | Output::Finish => unreachable!("no block was named"),
            }
        }
        let reason = self.machine.reason(self.now);
        assert!(!reason.is_empty() && !reason.chars().any(char::is_control), "{reason:?}");
        assert!(self.machine.state() != State::Done && self.machine.done() <= self.machine.map().size());
    }
}
