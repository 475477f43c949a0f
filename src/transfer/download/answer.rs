//! What a source's answer means: which bytes it brings, or when it may be asked again.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use super::sources::Queued;
use super::{Contact, Download, Lost, Output, Partial, Phase, SizeFrom, SourceId};
use crate::base::Instant;
use crate::transfer::{BlockMap, MAX_PROXIES};
use crate::wire::addr;
use crate::wire::http::Response;

/// A connection that brought fewer bytes than this before it was lost counts as a failure, and so does a shorter
/// answer to a request for more: else a source that sends one byte at a time would be asked for ever.
const PROGRESS: u64 = 64 * 1024;

/// Parts of a partial file that a source may name; more are passed over.
const MAX_PARTS: usize = 1024;
/// A place in a queue has a name of so many characters at most.
const MAX_TICKET: usize = 64;

/// Who told of parts of the file, and then so often in a row that it has nothing of it, has lost it.
const LOST_AFTER: u32 = 6;

/// Who says what it has is asked for that at once, but not sooner than after this on the same connection.
const FREE: Duration = Duration::from_millis(100);

/// What an answer says.
enum Verdict {
    /// The body is the file from `first` on, until `end`; the file has `size` bytes.
    Body { first: u64, end: u64, size: u64 },
    /// All slots are taken, or it is in trouble: ask again later.
    Later(Option<Duration>, String),
    /// It does not have that part, and perhaps later.
    NotYet(String),
    /// It does not have it.
    Absent(String),
    /// It does not give it.
    Refusal(String),
    /// It has a file of another size than `expected`.
    OtherSize { said: u64, expected: u64 },
    /// It makes no sense.
    Nonsense(String),
}

impl Download {
    pub(super) fn on_head(&mut self, now: Instant, id: SourceId, head: Response, out: &mut Vec<Output>) {
        let size = self.size;
        let Some(known) = self.sources.get_mut(id) else { return };
        let Contact::Asked(asked) = known.contact.clone() else { return };
        if self.phase != Phase::Fetching {
            return;
        }
        known.touched = now;
        let is_promised = known.available.is_some();
        known.available = told_ranges(&head, "X-Available-Ranges");
        match &known.available {
            Some(parts) => {
                known.partial = true;
                known.had.clone_from(parts);
            }
            // Who gives bytes without a word of what there is has all.
            None if matches!(head.code, 200 | 206) => known.partial = false,
            None => {}
        }
        known.given = (now, told_ranges(&head, "X-Given-Ranges").unwrap_or_default());
        if let Some(proxies) = push_proxies(&head) {
            known.source.proxies = proxies;
        }
        known.queued = None;
        if !self.hear_of_tree(now, id, &head, out) {
            return;
        }
        match judge(&head, size) {
            Verdict::Body { first, end, size } => {
                if let Some(known) = self.sources.get_mut(id) {
                    known.size = Some(size);
                }
                if self.size.is_none() {
                    (self.size, self.size_from) = (Some(size), SizeFrom::Source);
                    self.map = BlockMap::new(size);
                }
                if self.partial != Partial::Open {
                    self.pending = Some((id, head));
                    return; // `advance` asks for the partial file; its opening brings us back here
                }
                self.take_body(now, id, first..end, &asked, out);
            }
            Verdict::Later(after, words) => {
                let pause = after.unwrap_or(self.config.retry_busy);
                let pause = pause.clamp(Duration::from_secs(1), self.config.retry_max * 6);
                // "Polling earlier than Retry-After is penalised": chance is added, never taken off.
                let due = now + pause + pause.mul_f64(self.rng.below(100) as f64 / 1000.0);
                let stays = head.keep_alive() && head.content_length() == Some(0);
                if let Some(known) = self.sources.get_mut(id) {
                    known.contact = Contact::Idle;
                    (known.due, known.busy) = (due, true);
                    known.queued = queued(&head);
                    known.say(words);
                }
                match stays {
                    // "503, connection stays open: poll again on the same connection" (gtk-gnutella).
                    true => out.push(Output::Receive { source: id, first: 0, keep: 0..0 }),
                    false => self.sources.drop_one(id, out),
                }
            }
            Verdict::NotYet(words) => {
                let stays = head.keep_alive() && head.content_length() == Some(0);
                self.on_not_yet(now, id, words, is_promised, stays, out);
            }
            // gtk-gnutella gives of a file that it fetches while none of the sources that it fetches from has all of it
            // (`pfsp_rare_server`, on by default), and in between says that there is no such file.
            Verdict::Absent(words) if self.gave_parts(id) => {
                let stays = head.keep_alive() && head.content_length() == Some(0);
                // What it says besides of what it has counts for nothing.
                if let Some(known) = self.sources.get_mut(id) {
                    known.available = None;
                }
                self.on_not_yet(now, id, words, false, stays, out);
            }
            Verdict::Absent(words) => self.dismiss(now, id, words, false, out),
            Verdict::Refusal(words) => self.dismiss(now, id, words, true, out),
            Verdict::OtherSize { said, expected } => self.on_other_size(now, id, said, expected, out),
            Verdict::Nonsense(words) => self.on_lost(now, id, &Lost::Garbage(words), out),
        }
    }

    /// A body comes that holds `body` of the file: keep what is missing of it, as far as nobody else is asked
    /// for that.
    fn take_body(&mut self, now: Instant, id: SourceId, body: Range<u64>, asked: &Range<u64>, out: &mut Vec<Output>) {
        let taken: Vec<Range<u64>> = self.sources.ranges().filter(|range| range != asked).collect();
        let wanted = self.map.gap_from(asked.start, &taken).unwrap_or(body.end..body.end);
        let keep = wanted.start.max(asked.start)..wanted.end.min(asked.end).min(body.end);
        if keep.is_empty() && self.map.size() > 0 {
            // What is wanted now is not what was asked for, or not what comes.
            return match body.contains(&asked.start) {
                true => self.ask_again(id, out),
                false => self.on_lost(now, id, &Lost::Garbage("other bytes than those asked for".into()), out),
            };
        }
        if keep.start < body.start {
            return self.on_lost(now, id, &Lost::Garbage("other bytes than those asked for".into()), out);
        }
        if let Some(known) = self.sources.get_mut(id) {
            known.contact = Contact::Receiving(keep.clone());
            known.hoped = wanted.end.min(asked.end) - keep.start;
            known.busy = false;
        }
        out.push(Output::Receive { source: id, first: body.start, keep });
    }

    /// The request was overtaken by what is on disk already: close, and ask for what is missing.
    fn ask_again(&mut self, id: SourceId, out: &mut Vec<Output>) {
        if let Some(known) = self.sources.get_mut(id) {
            known.contact = Contact::Idle;
        }
        self.sources.drop_one(id, out);
    }

    pub(super) fn on_body_end(&mut self, now: Instant, id: SourceId, out: &mut Vec<Output>) {
        let Some(known) = self.sources.get_mut(id) else { return };
        if !known.is_active() {
            return;
        }
        if known.progress < known.hoped.min(PROGRESS) {
            let meagre = Lost::Meagre(known.progress);
            return self.on_lost(now, id, &meagre, out);
        }
        known.rate = known.rate_at(now);
        known.contact = Contact::Idle;
        known.failures = 0;
        known.due = now;
        (known.polls, known.refused_with) = (0, None);
        self.requeries = 0;
        if !self.has_missing(now, id) {
            // All that it has of a partial file: more of it may have come when we ask again.
            let pause = self.pause(self.config.poll, self.config.retry_busy, 0);
            if let Some(known) = self.sources.get_mut(id).filter(|known| known.available.is_some()) {
                known.available = None;
                known.due = now + pause;
                known.say("has no more of the file yet");
            }
        }
    }

    pub(super) fn on_lost(&mut self, now: Instant, id: SourceId, how: &Lost, out: &mut Vec<Output>) {
        let Some(known) = self.sources.get_mut(id) else { return };
        if !known.is_active() {
            return;
        }
        known.rate = known.rate_at(now);
        known.contact = Contact::Idle;
        known.busy = false;
        known.say(how.to_string());
        let pause = if known.progress >= PROGRESS {
            known.failures = 0;
            self.requeries = 0;
            let (lost, max) = (self.config.retry_lost, self.config.retry_max);
            self.pause(lost, max, 0)
        } else {
            known.failures = known.failures.saturating_add(1);
            let (times, first, max) = (known.failures - 1, self.config.retry_first, self.config.retry_max);
            self.pause(first, max, times)
        };
        if let Some(known) = self.sources.get_mut(id) {
            known.due = now + pause;
        }
        self.sources.drop_one(id, out);
    }

    /// What was asked for has one size, and whoever says another does not have it. A size that a source has told
    /// is not better than another's: that is settled when nobody is being asked (`Download::better_size`).
    fn on_other_size(&mut self, now: Instant, id: SourceId, said: u64, expected: u64, out: &mut Vec<Output>) {
        let words = format!("has another file: {said} bytes, where {expected} were expected");
        if self.size_from == SizeFrom::Source && self.expected.urn().is_some() {
            self.dismiss(now, id, words, false, out);
            if let Some(known) = self.sources.get_mut(id) {
                (known.contact, known.size) = (Contact::Differs, Some(said));
            }
        } else {
            self.sources.ban(id, words);
            self.sources.drop_one(id, out);
        }
    }

    /// Whether it told of parts that it has, and did not take that back too often since.
    fn gave_parts(&self, id: SourceId) -> bool {
        self.sources.get(id).is_some_and(|known| known.partial && known.failures < LOST_AFTER)
    }

    /// A partial file, as "416 Requested range not available yet" says. With `X-Available-Ranges` we know what of
    /// it can be had now; else it is asked again later, if the file has a name by which it may have grown.
    ///
    /// To ask somebody what he has is no failure; that he refuses what he said he has is one, if `is_promised`.
    fn on_not_yet(
        &mut self,
        now: Instant,
        id: SourceId,
        words: String,
        is_promised: bool,
        stays: bool,
        out: &mut Vec<Output>,
    ) {
        let Some(known) = self.sources.get_mut(id) else { return };
        let told = known.available.is_some();
        if !told && self.expected.urn().is_none() {
            return self.dismiss(now, id, words, false, out);
        }
        known.contact = Contact::Idle;
        known.say(words);
        if is_promised || !told {
            known.failures = known.failures.saturating_add(1);
        }
        // The more often he has nothing new, the more rarely he is asked.
        known.polls = if known.available == known.refused_with { known.polls.saturating_add(1) } else { 0 };
        known.refused_with.clone_from(&known.available);
        let (failures, polls) = (known.failures.saturating_sub(1), known.polls);
        let has_more = told && self.has_missing(now, id);
        let pause = match (told, is_promised) {
            (true, true) => self.pause(self.config.retry_first, self.config.retry_max, failures),
            (true, false) if has_more => Duration::ZERO,
            (true, false) => self.pause(self.config.poll, self.config.poll * 8, polls),
            (false, _) => self.pause(self.config.retry_busy, self.config.retry_max, failures),
        };
        if let Some(known) = self.sources.get_mut(id) {
            // The connection is free when it has been told that nothing of this answer is wanted.
            known.due = now + if stays { pause.max(FREE) } else { pause };
            if !has_more {
                // What it has may be more by then.
                known.available = None;
            }
        }
        match stays {
            true => out.push(Output::Receive { source: id, first: 0, keep: 0..0 }),
            false => self.sources.drop_one(id, out),
        }
    }

    /// Not to be asked again unless the network names it anew; and then not at once, should it happen often.
    fn dismiss(&mut self, now: Instant, id: SourceId, words: String, refused: bool, out: &mut Vec<Output>) {
        let Some(known) = self.sources.get_mut(id) else { return };
        known.contact = Contact::Gone;
        known.failures = known.failures.saturating_add(1);
        known.refused = refused;
        known.say(words);
        let (times, first, max) = (known.failures - 1, self.config.retry_first, self.config.retry_max);
        let due = now + self.pause(first, max, times);
        if let Some(known) = self.sources.get_mut(id) {
            known.due = due;
        }
        self.sources.drop_one(id, out);
    }
}

/// Reads an answer to a request for a file of `size` bytes, if that is known.
fn judge(head: &Response, size: Option<u64>) -> Verdict {
    match head.code {
        206 => partial(head, size),
        200 => whole(head, size),
        // "Too Many Requests", and "Request Timeout" of who waited for one in vain: both may be sent again (RFC 9110, RFC 6585).
        408 | 429 | 503 => Verdict::Later(retry_after(head), format!("is busy ({})", said(head))),
        404 | 410 => Verdict::Absent(format!("does not have the file ({})", said(head))),
        416 => match (size, whole_size(head)) {
            // Of an empty file no range can be satisfied.
            (None | Some(0), Some(0)) => Verdict::Body { first: 0, end: 0, size: 0 },
            (Some(expected), Some(said)) if said != expected => Verdict::OtherSize { said, expected },
            _ => Verdict::NotYet(format!("does not have that part of the file ({})", said(head))),
        },
        300..=399 => Verdict::Refusal(format!("redirects elsewhere ({}), which no peer may do", said(head))),
        400..=499 => Verdict::Refusal(format!("refuses to give the file ({})", said(head))),
        500..=599 => Verdict::Later(retry_after(head), format!("is in trouble ({})", said(head))),
        code => Verdict::Nonsense(format!("the answer {code}")),
    }
}

fn partial(head: &Response, size: Option<u64>) -> Verdict {
    let range = match head.content_range() {
        Some(Ok(range)) => range,
        Some(Err(error)) => return Verdict::Nonsense(error.to_string()),
        None => return Verdict::Nonsense("206 without Content-Range".into()),
    };
    let size = match (size, range.total) {
        (Some(size), Some(total)) if size != total => return Verdict::OtherSize { said: total, expected: size },
        (Some(size), _) | (None, Some(size)) => size,
        (None, None) => return no_size(head),
    };
    if range.last >= size {
        return Verdict::OtherSize { said: range.last.saturating_add(1), expected: size };
    }
    let length = head.content_length().filter(|_| !head.is_chunked());
    if let Some(length) = length
        && length != range.length()
    {
        return Verdict::Nonsense(format!("Content-Range of {} bytes, Content-Length of {length}", range.length()));
    }
    Verdict::Body { first: range.first, end: range.last + 1, size }
}

/// A 200 to a request for a part: the whole comes, and what is there already is passed over.
fn whole(head: &Response, size: Option<u64>) -> Verdict {
    let length = head.content_length().filter(|_| !head.is_chunked());
    match (size, length) {
        (Some(size), Some(length)) if size != length => Verdict::OtherSize { said: length, expected: size },
        (Some(size), _) | (None, Some(size)) => Verdict::Body { first: 0, end: size, size },
        (None, None) => no_size(head),
    }
}

/// It would not say so the next time either.
fn no_size(head: &Response) -> Verdict {
    Verdict::Refusal(format!("does not say how long the file is ({})", said(head)))
}

/// "A server generating a 416 response to a byte-range request SHOULD generate a Content-Range header field
/// specifying the current length of the selected representation" (RFC 9110 section 15.5.17): `bytes */1234`.
fn whole_size(head: &Response) -> Option<u64> {
    head.headers.get("Content-Range")?.trim().strip_prefix("bytes */")?.trim().parse().ok()
}

fn said(head: &Response) -> String {
    let reason: String = head.reason.chars().filter(|c| !c.is_control()).take(80).collect();
    format!("{} {}", head.code, reason.trim()).trim_end().to_owned()
}

/// Seconds of `Retry-After`, or of `pollMin` in an old `X-Queue`.
fn retry_after(head: &Response) -> Option<Duration> {
    let seconds = head.headers.get("Retry-After").and_then(|value| value.trim().parse().ok());
    let seconds = seconds.or_else(|| queue_field(head, "pollMin"));
    seconds.map(Duration::from_secs)
}

/// What a source says of our place in its queue.
fn queued(head: &Response) -> Option<Queued> {
    let ticket = queue_text(head, "ID").filter(|id| {
        !id.is_empty() && id.len() <= MAX_TICKET && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    });
    let queued = Queued {
        position: queue_field(head, "position"),
        length: queue_field(head, "length"),
        ticket: ticket.map(str::to_owned),
    };
    (queued != Queued::default()).then_some(queued)
}

/// A number in `X-Queued: position=3; ...` or `X-Queue: position=2, ...`.
fn queue_field(head: &Response, name: &str) -> Option<u64> {
    queue_text(head, name).and_then(|value| value.parse().ok())
}

fn queue_text<'a>(head: &'a Response, name: &str) -> Option<&'a str> {
    let queued = head.headers.all("X-Queued").chain(head.headers.all("X-Queue"));
    queued.flat_map(|value| value.split([',', ';'])).find_map(|field| {
        let (key, value) = field.split_once('=')?;
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// `X-Available-Ranges: bytes 0-10, 20-30` (it has all when it says nothing) and `X-Given-Ranges`, in order. What makes
/// no sense is passed over.
fn told_ranges(head: &Response, name: &str) -> Option<Vec<Range<u64>>> {
    let mut told = head.headers.all(name).peekable();
    told.peek()?;
    let parts = told.flat_map(|value| value.trim_start_matches(|c: char| !c.is_ascii_digit()).split(','));
    let parts = parts.take(MAX_PARTS).filter_map(|part| {
        let (first, last) = part.trim().split_once('-')?;
        let (first, last) = (first.trim().parse::<u64>().ok()?, last.trim().parse::<u64>().ok()?);
        (first <= last).then(|| first..last.saturating_add(1))
    });
    let mut parts: Vec<Range<u64>> = parts.collect();
    parts.sort_by_key(|part| (part.start, part.end));
    Some(parts)
}

/// "A servent that receives this list MUST immediately replace its known list of proxy servers" (`push_proxy` section
/// 4.2, where the header later lost its plural).
fn push_proxies(head: &Response) -> Option<Vec<SocketAddr>> {
    let name = ["X-Push-Proxies", "X-Push-Proxy"].into_iter().find(|name| head.headers.get(name).is_some())?;
    Some(head.headers.items(name).filter_map(addr::parse).take(MAX_PROXIES).collect())
}
