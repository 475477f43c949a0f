//! A slot that is taken; it is given back when the answer is through or its connection gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::Inner;
use super::row::Waits;
use crate::library::SharedFile;
use crate::transfer::queue::{self, Asker, Ended, Turn};
use crate::transfer::upload::Wait;

pub(super) struct Slot {
    inner: Arc<Inner>,
    slot: queue::Slot,
    row: u64,
    sent: Arc<AtomicU64>,
    length: u64,
    to_end: bool,
    keep_alive: bool,
}

impl Slot {
    /// A slot, or what to tell a client that has to wait.
    pub(super) fn take(
        inner: &Arc<Inner>,
        file: &Arc<SharedFile>,
        asker: &Asker,
        to_end: bool,
        keep_alive: bool,
    ) -> Result<Self, Wait> {
        let taken = inner.changing(|table, now| {
            let clock = table.clock(now);
            let turn = table.queue.ask(clock, asker);
            let limit = inner.config.slots;
            if turn == Turn::Full {
                return Err(Wait::at(None, limit, 0));
            }
            let (id, row) = table.row(file, asker.from, now, || (inner.hooks.next_id)());
            let taken = match turn {
                Turn::Now(slot) => {
                    let sent = Arc::new(AtomicU64::new(0));
                    row.waits = Waits::No;
                    let done = row.done();
                    row.meter.sample(now, done);
                    row.running.push(Arc::clone(&sent));
                    Ok((id, slot, sent))
                }
                Turn::Wait(place) => {
                    table.wait(id, &place, now);
                    let rate = table.meter.rate(now);
                    Err(Wait::at(Some(place), limit, rate))
                }
                Turn::Full => Err(Wait::at(None, limit, 0)),
            };
            // Those behind a place that was given up or taken have moved up.
            table.expire(now);
            table.forget_old();
            taken
        });
        inner.tick();
        let (row, slot, sent) = taken?;
        Ok(Self { inner: Arc::clone(inner), slot, row, sent, length: asker.bytes, to_end, keep_alive })
    }

    /// Counts the bytes that are sent.
    pub(super) fn counter(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.sent)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let sent = self.sent.load(Ordering::Relaxed);
        let through = sent == self.length;
        log::debug!("upload {}: {sent} of {} bytes went out", self.row, self.length);
        let may_go_on = through && !self.to_end && self.keep_alive;
        self.inner.changing(|table, now: Instant| {
            let clock = table.clock(now);
            table.queue.give_back(clock, self.slot, if may_go_on { Ended::MayGoOn } else { Ended::Over });
            if let Some(row) = table.rows.get_mut(&self.row) {
                row.running.retain(|sent| !Arc::ptr_eq(sent, &self.sent));
                row.sent += sent;
                row.last = now;
                row.reached_end |= self.to_end && through;
                table.changed(self.row);
            }
        });
    }
}
