//! What the servent says, taken into the model.

use super::ask::{Ask, Told};
use super::model::{Model, ROWS, Tone, View};
use super::text;
use crate::app::view::EventView;

impl Model {
    /// Something was told: what is to be asked because of it.
    pub fn told(&mut self, told: Told) -> Vec<Ask> {
        match told {
            Told::Status(status) => {
                self.gone = false;
                self.status = Some(*status);
            }
            Told::Transfers(mut transfers) => {
                // The latest first, and those that are not over before all others.
                transfers.sort_by_key(|it| (is_over(&it.state), std::cmp::Reverse(it.id)));
                transfers.truncate(ROWS);
                self.transfers = transfers;
                self.arrange(View::Transfers);
            }
            Told::Shares(shares) => self.shares = shares,
            Told::Peers(mut peers) => {
                peers.truncate(ROWS);
                self.peers = peers;
            }
            Told::Watches(mut watches) => {
                watches.truncate(ROWS);
                self.watches = watches;
            }
            Told::Strangers(Ok(mut files)) => {
                files.truncate(ROWS);
                (self.strangers, self.strangers_word) = (files, String::new());
                self.arrange(View::Strangers);
            }
            Told::Strangers(Err(why)) => {
                (self.strangers, self.strangers_word) = (Vec::new(), text::safe(&why));
                self.arrange(View::Strangers);
            }
            Told::Parts(id, parts) => {
                self.asking_parts = false;
                self.told_parts = parts.map(|parts| (id, *parts));
                // The cursor may have moved on. Of one that is gone nothing more is asked until the next beat.
                let moved = self.told_parts.is_some();
                return moved.then(|| self.other_parts()).flatten().into_iter().collect();
            }
            Told::Doctor(Ok(mut findings)) => {
                findings.truncate(ROWS);
                (self.findings, self.findings_word) = (findings, String::new());
            }
            Told::Doctor(Err(why)) => (self.findings, self.findings_word) = (Vec::new(), text::safe(&why)),
            Told::Preview(preview) => self.offer(&preview),
            Told::Settings(settings, speeds) => {
                (self.settings, self.speeds) = (settings, *speeds);
                self.arrange(View::Settings);
            }
            Told::Hits(serial, hits) if serial == self.hits.serial => {
                hits.into_iter().for_each(|hit| self.hits.take(hit));
                self.arrange(View::Search);
            }
            Told::Kept(serial, hits) if serial == self.hits.serial => {
                // The latest is what one looks for.
                hits.into_iter().rev().for_each(|hit| self.hits.take(hit));
                self.hits.running = false;
                self.arrange(View::Search);
            }
            Told::Done(serial, done) if serial == self.hits.serial => {
                self.hits.running = false;
                self.hits.done = Some(*done);
            }
            Told::Broken(serial, why) if serial == self.hits.serial => {
                self.hits.running = false;
                self.say(Tone::Bad, text::safe(&why));
            }
            // Of a search that nobody looks at any more.
            Told::Hits(..) | Told::Kept(..) | Told::Done(..) | Told::Broken(..) => {}
            Told::Event(event) => return self.happened(*event),
            Told::Magnet(link) => return vec![Ask::Copy(link)],
            Told::Said(words) => {
                if !words.is_empty() {
                    self.say(Tone::Fine, text::safe(&words));
                }
                return vec![Ask::Look(self.view)];
            }
            Told::Failed(words) => self.say(Tone::Bad, text::safe(&words)),
            Told::Gone => {
                self.gone = true;
                self.hits.running = false;
            }
        }
        Vec::new()
    }

    fn happened(&mut self, event: EventView) -> Vec<Ask> {
        let shown = match &event {
            EventView::Transfer(now) => {
                if now.state == "done" && now.direction == "down" {
                    self.say(Tone::Fine, format!("{} is there", text::safe(&now.name)));
                }
                match self.transfers.iter_mut().find(|known| known.id == now.id) {
                    Some(known) => {
                        let moved = known.state != now.state;
                        *known = now.clone();
                        if moved {
                            self.arrange(View::Transfers);
                        }
                        return Vec::new();
                    }
                    None => View::Transfers,
                }
            }
            EventView::NeighbourUp { .. } | EventView::NeighbourDown { .. } => View::Peers,
            EventView::Shares { .. } => View::Shares,
            EventView::WatchHit { query, hit, .. } => {
                let words = format!("{} found {}", text::safe(query), text::safe(&hit.name));
                self.say(Tone::Fine, words);
                View::Watches
            }
            EventView::Warning { message } => {
                self.say(Tone::Bad, text::safe(message));
                return Vec::new();
            }
            _ => return Vec::new(),
        };
        if self.view == shown { vec![Ask::Look(shown)] } else { Vec::new() }
    }
}

/// Whether nothing more becomes of a transfer.
pub fn is_over(state: &str) -> bool {
    matches!(state, "done" | "failed" | "cancelled")
}
