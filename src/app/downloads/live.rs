//! One download as everybody sees it: its machine, its record, and what is to be done for it.
//!
//! Whoever has something to tell the machine does so here, at once; the download's task is woken to do what
//! the machine wants done.

mod reader;
mod view;

use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant as Clock;

use futures::StreamExt;
use futures::channel::mpsc;

use super::play::Readers;
use super::record::{MAX_REASON, MAX_SOURCES, Record, SourceRecord, Standing};
use super::wanted::Wanted;
use crate::app::events::BoxStream;
use crate::app::meter::Meter;
use crate::app::view::TransferView;
use crate::base::Instant;
use crate::disk::Claim;
use crate::net::rt;
use crate::transfer::{Download, Input, Output, SizeFrom, Source, State, name};
pub(super) use reader::Reader;
use view::{differs, error_code, verified};

/// Changes are told at most so often.
pub(super) const AT_MOST: std::time::Duration = std::time::Duration::from_millis(100);
/// Words like "next try 0:20" are told anew after this.
const AT_LEAST: std::time::Duration = std::time::Duration::from_secs(1);

/// One download.
pub(super) struct Live {
    pub(super) id: u64,
    start: Clock,
    inner: Mutex<Inner>,
}

pub(super) struct Inner {
    /// `None` for one that was over when we started.
    machine: Option<Download>,
    outbox: Vec<Output>,
    /// The task is at what it took out of the outbox.
    at_work: bool,
    /// How often it was begun: a runner of an earlier time takes nothing of a later one.
    run: u32,
    pub(super) record: Record,
    /// To read from the partial file, while that is open.
    reader: Option<Reader>,
    /// Who plays it.
    pub(super) readers: Readers,
    meter: Meter,
    received: u64,
    /// When it was taken up in this run; what it ran before is in the record.
    since: Clock,
    /// Wakes the task.
    bell: Option<mpsc::Sender<()>>,
    watchers: Vec<mpsc::Sender<()>>,
    /// Something changed that is not written down yet.
    pub(super) dirty: bool,
    /// Why what changed could not be written down, in words.
    unkept: Option<String>,
    whose: Whose,
    /// It rests because nothing may be fetched for now, not because the user paused it.
    held: bool,
}

/// Which process fetches it.
#[derive(Debug)]
pub(super) enum Whose {
    /// This one.
    Ours,
    /// This one, though another could take it up from the state.
    Claimed(#[allow(dead_code, reason = "held, not read")] Claim),
    /// Another one, as long as that lives.
    Elsewhere,
}

impl Live {
    /// A download without a machine: see [`Live::begin`].
    pub(super) fn new(record: Record, start: Clock) -> Arc<Self> {
        let inner = Inner {
            machine: None,
            outbox: Vec::new(),
            at_work: false,
            run: 0,
            reader: None,
            readers: Readers::default(),
            meter: Meter::default(),
            received: 0,
            since: Clock::now(),
            bell: None,
            watchers: Vec::new(),
            dirty: false,
            unkept: None,
            whose: Whose::Ours,
            held: false,
            record,
        };
        Arc::new(Self { id: inner.record.id, start, inner: Mutex::new(inner) })
    }

    /// Says which process fetches it.
    pub(super) fn belongs(&self, whose: Whose) {
        self.lock().whose = whose;
    }

    /// Whether another process fetches it.
    pub(super) fn is_elsewhere(&self) -> bool {
        matches!(self.lock().whose, Whose::Elsewhere)
    }

    /// The other process has ended, and left this.
    pub(super) fn inherit(&self, record: Record) {
        let mut inner = self.lock();
        (inner.record, inner.whose) = (record, Whose::Ours);
        inner.tell_watchers();
    }

    /// Gives it a machine, and the bell by which its task hears that there is something to do.
    pub(super) fn begin(&self, mut machine: Download) -> mpsc::Receiver<()> {
        let (bell, heard) = mpsc::channel(1);
        let now = self.now();
        let mut inner = self.lock();
        let mut outbox = Vec::new();
        for record in &inner.record.sources {
            match (record.read(), record.lied()) {
                (Some(source), Some(words)) => machine.remember_liar(now, source, words),
                (Some(source), None) => machine.handle(now, Input::AddSource(source), &mut outbox),
                (None, _) => {}
            }
        }
        if inner.readers.is_played() {
            machine.handle(now, Input::Prefer(inner.readers.places()), &mut outbox);
        }
        if inner.record.standing == Standing::Paused {
            machine.handle(now, Input::Pause, &mut outbox);
        } else {
            machine.handle_timeout(now, &mut outbox);
        }
        inner.run += 1;
        inner.outbox = outbox;
        inner.machine = Some(machine);
        inner.bell = Some(bell);
        inner.since = Clock::now();
        inner.after();
        heard
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The machine's clock.
    pub(super) fn now(&self) -> Instant {
        Instant::from_micros(u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// A download that is over begins again: its task has ended, and a new one is to hear the bell.
    pub(super) fn begin_again(&self, fresh: impl FnOnce(&Record) -> Download) -> mpsc::Receiver<()> {
        let (bell, heard) = mpsc::channel(1);
        let mut inner = self.lock();
        inner.dirty = true;
        if inner.machine.is_none() {
            inner.record.standing = Standing::Unfinished;
            let machine = fresh(&inner.record);
            drop(inner);
            return self.begin(machine);
        }
        inner.run += 1;
        inner.bell = Some(bell);
        inner.since = Clock::now();
        if inner.record.standing.is_over() {
            inner.record.standing = Standing::Unfinished;
        }
        drop(inner);
        self.tell(Input::Retry);
        heard
    }

    /// Tells the machine what happened.
    pub(super) fn tell(&self, input: Input) {
        let now = self.now();
        let mut inner = self.lock();
        let Inner { machine: Some(machine), outbox, meter, received, .. } = &mut *inner else { return };
        if let Input::Wrote { range, .. } = &input {
            *received += range.end - range.start;
            meter.sample(Clock::now(), *received);
        }
        machine.handle(now, input, outbox);
        inner.after();
    }

    /// The user wants it to rest.
    pub(super) fn pause(&self) {
        self.lock().held = false;
        self.tell(Input::Pause);
    }

    /// Nothing may be fetched for now (`true`), or again. What is being checked is checked; what the user paused
    /// stays so.
    pub(super) fn hold(&self, held: bool) {
        let mut inner = self.lock();
        let state = inner.machine.as_ref().map(Download::state);
        let rests = matches!(state, None | Some(State::Paused | State::Verifying)) || state.is_some_and(State::is_over);
        if if held { rests } else { !inner.held } {
            return;
        }
        inner.held = held;
        drop(inner);
        self.tell(if held { Input::Pause } else { Input::Resume });
    }

    /// Its time has come.
    pub(super) fn tell_time(&self) {
        let now = self.now();
        let mut inner = self.lock();
        let Inner { machine: Some(machine), outbox, .. } = &mut *inner else { return };
        machine.handle_timeout(now, outbox);
        inner.after();
    }

    /// The partial file is open, or is it no more.
    pub(super) fn reads(&self, reader: Option<Arc<File>>) {
        self.lock().reader = reader.map(|file| Reader::of_part(&file));
    }

    /// It has become this finished file.
    pub(super) fn reads_finished(&self, file: File) {
        self.lock().reader = Reader::of_finished(file);
    }

    /// To read from the partial file, or from the finished one.
    pub(super) fn reader(&self) -> Option<Reader> {
        self.lock().reader.clone()
    }

    /// Whether something is to be done now.
    pub(super) fn has_outputs(&self) -> bool {
        !self.lock().outbox.is_empty()
    }

    /// Whether nothing is to be done any more, ever.
    pub(super) fn is_through(&self) -> bool {
        let inner = self.lock();
        inner.outbox.is_empty() && inner.current_standing().is_over()
    }

    /// The number of this run.
    pub(super) fn run(&self) -> u32 {
        self.lock().run
    }

    /// What is to be done, in order; nothing at all for who runs it no more.
    pub(super) fn take_outputs(&self, run: u32) -> Option<Vec<Output>> {
        let mut inner = self.lock();
        if inner.run != run {
            return None;
        }
        inner.at_work = !inner.outbox.is_empty();
        Some(std::mem::take(&mut inner.outbox))
    }

    /// All of it is done.
    pub(super) fn done_outputs(&self) {
        let mut inner = self.lock();
        if std::mem::take(&mut inner.at_work) {
            inner.tell_watchers();
        }
    }

    /// How long until its time comes, if it has one.
    pub(super) fn patience(&self) -> Option<std::time::Duration> {
        let now = self.now();
        self.lock().machine.as_ref().and_then(Download::next_timeout).map(|at| at.since(now))
    }

    /// A source was found; it may know the name.
    pub(super) fn add_source(&self, source: Source) {
        if let Some(name) = &source.name {
            self.suggest_name(name);
        }
        {
            // One that is just being written down has no machine yet, and begins with what the record says.
            let mut inner = self.lock();
            let ours = !matches!(inner.whose, Whose::Elsewhere);
            if inner.machine.is_none() && ours && !inner.record.standing.is_over() {
                if inner.record.sources.len() < MAX_SOURCES {
                    inner.record.sources.push(SourceRecord::from(&source));
                    inner.dirty = true;
                }
                return;
            }
        }
        self.tell(Input::AddSource(source));
    }

    /// Takes a name, if it has none yet.
    pub(super) fn suggest_name(&self, stranger: &str) {
        let mut inner = self.lock();
        if !inner.record.named && !inner.record.standing.is_over() {
            inner.record.name = name::sanitise(stranger);
            inner.record.named = true;
            inner.dirty = true;
        }
    }

    /// What it does.
    pub(super) fn standing(&self) -> Standing {
        self.lock().current_standing()
    }

    /// As the outside sees it.
    pub(super) fn view(&self) -> TransferView {
        self.lock().view(self.now())
    }

    /// Bytes a second that it receives now.
    pub(super) fn rate(&self) -> u64 {
        self.lock().rate()
    }

    /// What it is of, and who is known to have it.
    pub(super) fn wanted(&self) -> Wanted {
        let inner = self.lock();
        let record = &inner.record;
        let mut wanted = Wanted::new(record.expected());
        (wanted.name, wanted.size) = (record.name.clone(), record.size);
        wanted.sources = match &inner.machine {
            Some(machine) => machine.sources().cloned().collect(),
            None => record.sources.iter().filter_map(SourceRecord::read).collect(),
        };
        wanted
    }

    /// Its record, brought up to date.
    pub(super) fn record(&self) -> Record {
        let mut inner = self.lock();
        inner.dirty = false;
        inner.update_record(self.now());
        inner.record.clone()
    }

    /// It was written down, or could not be, and why.
    pub(super) fn kept(&self, why_not: Option<&str>) {
        let mut inner = self.lock();
        if inner.unkept.as_deref() != why_not {
            inner.unkept = why_not.map(str::to_owned);
            inner.tell_watchers();
        }
    }

    /// Told of each change, though not of how many there were.
    pub(super) fn listen(&self) -> mpsc::Receiver<()> {
        let (watcher, heard) = mpsc::channel(1);
        self.lock().watchers.push(watcher);
        heard
    }

    /// Its state now, then each change, until it is over.
    pub(super) fn watch(self: &Arc<Self>) -> BoxStream<TransferView> {
        let heard = self.listen();
        let first = (Arc::clone(self), heard, None::<TransferView>, false);
        futures::stream::unfold(first, |(live, mut heard, last, over)| async move {
            if over {
                return None;
            }
            // The changes between two that are told are left out, but the end is told at once.
            let told = Clock::now();
            while last.is_some() && !live.standing().is_over() && told.elapsed() < AT_MOST {
                let _ = rt::timeout(AT_MOST.saturating_sub(told.elapsed()), heard.next()).await;
            }
            loop {
                let view = live.view();
                let over = matches!(view.state.as_str(), "done" | "failed" | "cancelled");
                if over || last.as_ref().is_none_or(|last| differs(last, &view)) {
                    return Some((view.clone(), (live, heard, Some(view), over)));
                }
                let _ = rt::timeout(AT_LEAST, heard.next()).await;
            }
        })
        .boxed()
    }
}

impl Inner {
    pub(super) fn machine(&self) -> Option<&Download> {
        self.machine.as_ref()
    }

    pub(super) fn reader(&self) -> Option<&Reader> {
        self.reader.as_ref()
    }

    /// Wakes whoever waits; notes what has to be written down.
    fn after(&mut self) {
        let standing = self.current_standing();
        let (good, liars) = self.machine.as_ref().map_or((0, 0), |it| (it.sources().count(), it.liars().count()));
        let known = self.record.sources.iter().filter(|source| source.is_liar()).count();
        if standing != self.record.standing || good + liars != self.record.sources.len() || liars != known {
            self.dirty = true;
        }
        if let Some(bell) = &mut self.bell {
            // It is rung already when it is full.
            let _ = bell.try_send(());
        }
        self.tell_watchers();
    }

    fn tell_watchers(&mut self) {
        self.watchers.retain_mut(|watcher| watcher.try_send(()).is_ok() || !watcher.is_closed());
    }

    pub(super) fn current_standing(&self) -> Standing {
        match self.machine.as_ref().map(Download::state) {
            None => self.record.standing,
            Some(State::Done) => Standing::Done,
            Some(State::Failed) => Standing::Failed,
            Some(State::Cancelled) => Standing::Cancelled,
            Some(State::Paused) if self.held => Standing::Unfinished,
            Some(State::Paused) => Standing::Paused,
            Some(_) => Standing::Unfinished,
        }
    }

    /// The record follows the machine.
    fn update_record(&mut self, now: Instant) {
        let (standing, done, elapsed) = (self.current_standing(), self.done(), self.elapsed_ms());
        let Some(machine) = &self.machine else { return };
        self.record.standing = standing;
        self.record.size = machine.size();
        self.record.size_heard = machine.size_from() == SizeFrom::Source;
        self.record.done = done;
        self.record.reason = machine.reason(now).chars().take(MAX_REASON).collect();
        self.record.error = machine.failure().map(error_code);
        self.record.verified = verified(machine);
        let liars = machine.liars().map(|(source, words)| SourceRecord::of_liar(source, words));
        self.record.sources = machine.sources().map(SourceRecord::from).chain(liars).collect();
        self.record.elapsed_ms = elapsed;
        self.since = Clock::now();
    }

    fn elapsed_ms(&self) -> u64 {
        if self.record.standing.is_over() {
            return self.record.elapsed_ms;
        }
        self.record.elapsed_ms + u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Before its partial file was looked at, what was known of it when it was last written down.
    fn done(&self) -> u64 {
        match &self.machine {
            Some(machine) if machine.state() == State::Done => machine.size().unwrap_or(0),
            Some(machine) if machine.done() == 0 && !machine.is_open() && !machine.state().is_over() => {
                self.record.done
            }
            Some(machine) => machine.done(),
            None => self.record.done,
        }
    }
}
