//! Downloads get their machines, their tasks and their turns.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use futures::channel::mpsc;

use super::Inner;
use super::lane::SMALL;
use super::live::Live;
use super::record::Record;
use super::task::Runner;
use crate::net::rt;
use crate::transfer::{Download, DownloadConfig, Input, SizeFrom};

impl Inner {
    /// Gives a download its machine and its task.
    pub(super) fn begin(self: &Arc<Self>, live: &Arc<Live>) {
        let machine = self.machine(&live.lock().record);
        let bell = live.begin(machine);
        self.run(live, bell);
        self.hold_new(live);
    }

    /// The user wants it to go on; it does when something may be fetched.
    pub(super) fn go_on(&self, live: &Live, input: Input) {
        live.tell(input);
        self.hold_new(live);
    }

    pub(super) fn hold_new(&self, live: &Live) {
        if self.holding.load(Ordering::SeqCst) {
            live.hold(true);
        }
    }

    /// ... to one that is over.
    pub(super) fn begin_again(self: &Arc<Self>, live: &Arc<Live>) {
        let bell = live.begin_again(|record| self.machine(record));
        self.run(live, bell);
        self.hold_new(live);
    }

    fn machine(&self, record: &Record) -> Download {
        let rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner).fork();
        let from = if record.size_heard { SizeFrom::Source } else { SizeFrom::User };
        let config = DownloadConfig { opened_in_turn: SMALL, ..DownloadConfig::default() };
        Download::new(config, record.expected(), record.size, rng).with_size_from(from)
    }

    fn run(self: &Arc<Self>, live: &Arc<Live>, bell: mpsc::Receiver<()>) {
        let mut table = self.table();
        if !table.closed {
            let runner = Runner::new(Arc::clone(self), Arc::clone(live), bell);
            let old = table.tasks.insert(live.id, rt::spawn(runner.run()));
            drop(table);
            drop(old);
        }
    }

    pub(super) fn want_turn(&self, id: u64) {
        let priority = self.find(id).map(|live| live.lock().record.priority).unwrap_or_default();
        self.turns.lock().unwrap_or_else(PoisonError::into_inner).want(id, priority);
        self.give_turns();
    }

    pub(super) fn end_turn(&self, id: u64) {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner).end(id);
        self.give_turns();
    }

    pub(super) fn give_up_turn(&self, id: u64) {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner).give_up(id);
        self.give_turns();
    }

    fn give_turns(&self) {
        loop {
            let Some(id) = self.turns.lock().unwrap_or_else(PoisonError::into_inner).next() else { return };
            match self.find(id) {
                Ok(live) => live.tell(Input::Turn),
                Err(_) => self.turns.lock().unwrap_or_else(PoisonError::into_inner).give_up(id),
            }
        }
    }
}
