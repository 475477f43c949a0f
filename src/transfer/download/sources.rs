//! The sources of one download: what each was asked, how it behaved, and when it may be asked again.

use std::ops::Range;

use super::Output;
use crate::base::Instant;
use crate::transfer::Source;
use crate::wire::Tth;

/// A source that failed so often in a row is not worth waiting for when there are others.
const PATIENCE: u32 = 3;

/// A source that is so many times slower than the fastest is asked behind those that were not tried yet.
const SLOWER: f64 = 4.0;
/// Liars that are named when there are no others.
const MOST_BLAMES: usize = 4;

/// A download's number for a source; never used again in that download.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub u32);

/// What we have to do with a source now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Contact {
    /// Nothing; it may be asked when its time has come.
    Idle,
    /// It was asked for these bytes.
    Asked(Range<u64>),
    /// It sends these bytes.
    Receiving(Range<u64>),
    /// It does not have the file, or does not give it. The network may tell us that this has changed.
    Gone,
    /// It has a file of another size than the one that is believed in for now.
    Differs,
    /// It names another tree than the one that is believed in, or sent what is not in that.
    Apart,
    /// It lied. It is never asked again for this file.
    Banned,
}

#[derive(Debug)]
pub(super) struct Known {
    pub(super) id: SourceId,
    pub(super) source: Source,
    pub(super) contact: Contact,
    /// Not to be asked before.
    pub(super) due: Instant,
    /// Failures in a row.
    pub(super) failures: u32,
    /// ... of these so many before the size that it named was tried.
    pub(super) excused: u32,
    /// The size that it said the file has.
    pub(super) size: Option<u64>,
    /// Bytes that the answer under way could bring at best.
    pub(super) hoped: u64,
    /// Bytes that the request under way has brought.
    pub(super) progress: u64,
    /// Bytes in the partial file are from it.
    pub(super) contributed: bool,
    /// It answered, but gave nothing on purpose.
    pub(super) refused: bool,
    /// It named the time for the next try itself.
    pub(super) busy: bool,
    /// There may be an open connection to it.
    pub(super) open: bool,
    /// It was asked to connect to us.
    pub(super) pushing: bool,
    /// When the contact under way began.
    pub(super) since: Instant,
    /// When it brought something last, in that contact.
    pub(super) touched: Instant,
    /// Bytes a second that the last contact brought.
    pub(super) rate: Option<f64>,
    /// What it has of the file, if not all.
    pub(super) available: Option<Vec<Range<u64>>>,
    /// It has not all, as far as it told; and what it told of last, which it still has.
    pub(super) partial: bool,
    pub(super) had: Vec<Range<u64>>,
    /// What it gave to others who fetch the file with us, as it told then.
    pub(super) given: (Instant, Vec<Range<u64>>),
    /// What it had when it refused a part last, and how often in a row there was nothing new.
    pub(super) refused_with: Option<Vec<Range<u64>>>,
    pub(super) polls: u32,
    /// Our place in its queue, how long that is, and what it calls it.
    pub(super) queued: Option<Queued>,
    /// Where it has the tree of the file, and the root of that.
    pub(super) tree_at: Option<String>,
    pub(super) root: Option<Tth>,
    /// Where it has the tree in the BLAKE3 that was asked for.
    pub(super) blake3_at: Option<String>,
    /// How often it was asked for that.
    pub(super) tree_tries: u32,
    pub(super) blake3_tries: u32,
    /// Wrong bytes that it or somebody else sent.
    pub(super) suspicions: u32,
    /// Bytes that came from it.
    pub(super) bytes: u64,
    /// What it did last, in words that follow its name.
    words: String,
}

impl Known {
    pub(super) fn is_active(&self) -> bool {
        matches!(self.contact, Contact::Asked(_) | Contact::Receiving(_))
    }

    pub(super) fn can_be_asked(&self) -> bool {
        self.contact == Contact::Idle
    }

    /// What it has of these bytes, from their start on.
    pub(super) fn has_of(&self, bytes: &Range<u64>) -> Option<Range<u64>> {
        let Some(available) = &self.available else { return Some(bytes.clone()) };
        // In order of their starts; they may overlap, so the last that begins before is not the only candidate.
        let before = available.partition_point(|part| part.start <= bytes.start);
        let part = available[..before].iter().rev().find(|part| part.end > bytes.start)?;
        Some(bytes.start..bytes.end.min(part.end))
    }

    /// Whether it will soon give what it has: it is asked now, or will be before `then`.
    pub(super) fn gives_by(&self, then: Instant) -> bool {
        self.is_active() || self.can_be_asked() && self.due <= then && self.failures < PATIENCE
    }

    pub(super) fn words(&self) -> &str {
        if self.words.is_empty() { "is to be asked" } else { &self.words }
    }

    /// Where it stands: `queued 3 of 12 at 10.0.0.7:6346`, or what it did last.
    pub(super) fn situation(&self) -> String {
        let place = self.queued.as_ref().and_then(|queued| Some((queued.position?, queued.length)));
        match place.filter(|_| self.busy) {
            Some((position, Some(length))) => format!("queued {position} of {length} at {}", self.source),
            Some((position, None)) => format!("queued {position} at {}", self.source),
            None => format!("source {} {}", self.source, self.words()),
        }
    }

    /// What it is asked for, or sends.
    pub(super) fn range(&self) -> Option<&Range<u64>> {
        match &self.contact {
            Contact::Asked(range) | Contact::Receiving(range) => Some(range),
            _ => None,
        }
    }

    /// What is still to come of that.
    pub(super) fn left(&self) -> Range<u64> {
        let range = self.range().cloned().unwrap_or_default();
        range.start.saturating_add(self.progress).min(range.end)..range.end
    }

    /// Bytes a second, in this contact or else in the last one.
    pub(super) fn rate_at(&self, now: Instant) -> Option<f64> {
        let time = now.since(self.since).as_secs_f64();
        if self.is_active() && self.progress > 0 && time > 0.05 {
            return Some(self.progress as f64 / time);
        }
        self.rate
    }

    /// Who, and what it did.
    pub(super) fn blame(&self) -> String {
        format!("{} {}", self.source, self.words())
    }

    pub(super) fn say(&mut self, words: impl Into<String>) {
        self.words = words.into();
    }
}

/// A place in a source's queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Queued {
    pub(super) position: Option<u64>,
    pub(super) length: Option<u64>,
    pub(super) ticket: Option<String>,
}

#[derive(Debug)]
pub(super) struct Sources {
    known: Vec<Known>,
    max: usize,
    next: u32,
}

impl Sources {
    pub(super) fn new(max: usize) -> Self {
        Self { known: Vec::new(), max: max.max(1), next: 0 }
    }

    /// A new source may be asked at once. One that is known already is told of again because the network has
    /// just found it: then a pause that we chose ourselves ends, but not one that it named, and no ban.
    pub(super) fn add(&mut self, now: Instant, source: Source) {
        if let Some(known) = self.known.iter_mut().find(|known| known.source.is_same(&source)) {
            // An address is not given up for none.
            if !known.is_active() && (known.source.is_nowhere() || !source.is_nowhere()) {
                known.source = source;
            }
            match known.contact {
                Contact::Gone => known.contact = Contact::Idle,
                Contact::Idle if !known.busy => known.due = now,
                _ => {}
            }
            return;
        }
        if self.known.len() >= self.max {
            let idle = self.known.iter().enumerate().filter(|(_, known)| !known.is_active() && !known.contributed);
            // A ban is kept as long as anything else can go: forgotten, a liar would be a stranger again.
            let worst = idle.max_by_key(|(_, known)| (known.contact != Contact::Banned, known.failures));
            let Some((worst, _)) = worst else { return };
            self.known.remove(worst);
        }
        let id = SourceId(self.next);
        self.next += 1;
        self.known.push(Known {
            id,
            source,
            contact: Contact::Idle,
            due: now,
            failures: 0,
            excused: 0,
            size: None,
            hoped: 0,
            progress: 0,
            contributed: false,
            refused: false,
            busy: false,
            open: false,
            pushing: false,
            since: now,
            touched: now,
            rate: None,
            available: None,
            had: Vec::new(),
            given: (now, Vec::new()),
            partial: false,
            refused_with: None,
            polls: 0,
            queued: None,
            tree_at: None,
            blake3_at: None,
            root: None,
            tree_tries: 0,
            blake3_tries: 0,
            suspicions: 0,
            bytes: 0,
            words: String::new(),
        });
    }

    /// Those who did not have the file may be asked again, each from a moment on. Whether one may.
    pub(super) fn come_back(&mut self, now: Instant, from: impl Fn(&Known) -> Instant) -> bool {
        let gone = self.known.iter_mut().filter(|known| known.contact == Contact::Gone && !known.refused);
        let back = gone.filter(|known| known.source.ask.is_of_peers() && now >= from(known));
        let count = back.map(|known| (known.contact, known.due) = (Contact::Idle, now)).count();
        count > 0
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Known> {
        self.known.iter()
    }

    pub(super) fn usable(&self) -> impl Iterator<Item = &Source> {
        self.known.iter().filter(|known| known.contact != Contact::Banned).map(|known| &known.source)
    }

    pub(super) fn get(&self, id: SourceId) -> Option<&Known> {
        self.known.iter().find(|known| known.id == id)
    }

    pub(super) fn get_mut(&mut self, id: SourceId) -> Option<&mut Known> {
        self.known.iter_mut().find(|known| known.id == id)
    }

    pub(super) fn any(&self, test: impl Fn(&Contact) -> bool) -> bool {
        self.known.iter().any(|known| test(&known.contact))
    }

    pub(super) fn active(&self) -> usize {
        self.known.iter().filter(|known| known.is_active()).count()
    }

    /// The bytes that sources are asked for.
    pub(super) fn ranges(&self) -> impl Iterator<Item = Range<u64>> {
        self.known.iter().filter_map(|known| known.range().cloned())
    }

    /// When the first source may be asked.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.known.iter().filter(|known| known.can_be_asked()).map(|known| known.due).min()
    }

    /// Those that may be asked now: first one that brings something already, else the one that failed least.
    pub(super) fn ready(&self, now: Instant) -> Vec<SourceId> {
        let mut ready: Vec<&Known> =
            self.known.iter().filter(|known| known.can_be_asked() && known.due <= now).collect();
        // One that is slow besides others makes room for those that were not tried yet.
        let best = self.known.iter().filter_map(|known| known.rate).fold(0.0, f64::max);
        let slow = |known: &Known| known.rate.is_some_and(|rate| rate * SLOWER < best);
        ready.sort_by_key(|known| (known.failures, slow(known), !known.contributed, known.due, known.id));
        ready.into_iter().map(|known| known.id).collect()
    }

    /// Whether it is worth to wait for a source rather than to fetch all anew from another.
    pub(super) fn is_promising(&self, id: SourceId) -> bool {
        self.known.iter().any(|known| known.id == id && known.can_be_asked() && known.failures < PATIENCE)
    }

    /// A size other than `size` that is worth a try: more sources say it, or those who say `size` came to nothing.
    pub(super) fn rival_size(&self, size: u64) -> Option<u64> {
        let all = || self.known.iter().filter(|known| known.contact != Contact::Banned);
        let voices = |said| all().filter(|known| known.size == Some(said)).count();
        let rivals = all().filter(|known| known.contact == Contact::Differs && known.failures < PATIENCE);
        let rival = rivals.filter_map(|known| known.size).max_by_key(|said| voices(*said))?;
        // Who named a size and brought nothing of it is no hope: it may be any number. But each size that is tried is
        // tried once at least, or two sizes would be tried in turns without end.
        let in_hope = all().any(|known| {
            let may_yet = known.failures <= known.excused || known.contributed;
            known.size == Some(size) && self.is_promising(known.id) && may_yet
        });
        (!in_hope || voices(rival) > voices(size)).then_some(rival)
    }

    /// From now on the file is believed to have `size` bytes. Nobody is asked earlier than before.
    pub(super) fn side_with(&mut self, size: u64) {
        for known in &mut self.known {
            match (&known.contact, known.size) {
                (Contact::Differs, Some(said)) if said == size => {
                    known.contact = Contact::Idle;
                    known.excused = known.failures;
                }
                (Contact::Idle, Some(said)) if said != size => known.contact = Contact::Differs,
                _ => {}
            }
        }
    }

    /// Those who sent what is in the file.
    pub(super) fn contributors(&self) -> Vec<SourceId> {
        self.known.iter().filter(|known| known.contributed).map(|known| known.id).collect()
    }

    /// Those who may have sent wrong bytes: whoever sent some, even if it is not asked any more for another lie; and,
    /// if some are of an earlier run, everybody.
    pub(super) fn suspects(&self, inherited: bool) -> Vec<SourceId> {
        let may_have = |known: &&Known| known.contributed || (inherited && known.contact != Contact::Banned);
        self.known.iter().filter(may_have).map(|known| known.id).collect()
    }

    pub(super) fn forget_contributions(&mut self) {
        self.known.iter_mut().for_each(|known| known.contributed = false);
    }

    pub(super) fn ban(&mut self, id: SourceId, words: String) {
        if let Some(known) = self.get_mut(id) {
            known.contact = Contact::Banned;
            known.say(words);
        }
    }

    /// The roots that are named, in the order of their first namers, without those of liars.
    pub(super) fn roots(&self) -> Vec<Tth> {
        let mut roots: Vec<Tth> = Vec::new();
        for root in self.known.iter().filter(|known| known.contact != Contact::Banned).filter_map(|known| known.root) {
            if !roots.contains(&root) {
                roots.push(root);
            }
        }
        roots
    }

    /// How many name that root.
    pub(super) fn voices_for(&self, root: &Tth) -> usize {
        let named = |known: &&Known| known.contact != Contact::Banned && known.root.as_ref() == Some(root);
        self.known.iter().filter(named).count()
    }

    /// Keeps those apart that name another root, and takes those back that name this one. Returns whose connections
    /// are to be closed.
    pub(super) fn part_by_root(&mut self, now: Instant, root: &Tth) -> Vec<SourceId> {
        let mut parted = Vec::new();
        for known in &mut self.known {
            match (&known.contact, known.root) {
                (Contact::Apart, Some(named)) if named == *root => {
                    known.contact = Contact::Idle;
                    known.due = known.due.max(now);
                }
                (Contact::Idle | Contact::Asked(_) | Contact::Receiving(_), Some(named)) if named != *root => {
                    known.contact = Contact::Apart;
                    known.say(format!("names another tree ({named})"));
                    parted.push(known.id);
                }
                _ => {}
            }
        }
        parted
    }

    pub(super) fn forget_tree_tries(&mut self) {
        self.known.iter_mut().for_each(|known| (known.tree_tries, known.blake3_tries) = (0, 0));
    }

    /// Everybody who named that root lied.
    pub(super) fn ban_root(&mut self, root: &Tth, words: &str) {
        for known in self.known.iter_mut().filter(|known| known.root.as_ref() == Some(root)) {
            known.contact = Contact::Banned;
            known.say(words);
        }
    }

    /// Those kept apart may be asked again.
    pub(super) fn release_apart(&mut self, now: Instant) {
        for known in self.known.iter_mut().filter(|known| known.contact == Contact::Apart) {
            known.contact = Contact::Idle;
            known.due = known.due.max(now);
        }
    }

    /// Whether there are sources, and all of them lied.
    pub(super) fn are_all_banned(&self) -> bool {
        !self.known.is_empty() && self.known.iter().all(|known| known.contact == Contact::Banned)
    }

    /// Who lied, and how.
    pub(super) fn blames(&self) -> String {
        let banned = self.known.iter().filter(|known| known.contact == Contact::Banned);
        let blames: Vec<String> = banned.map(Known::blame).collect();
        match blames.len() {
            ..=MOST_BLAMES => blames.join("; "),
            all => format!("{}; and {} more", blames[..MOST_BLAMES].join("; "), all - MOST_BLAMES),
        }
    }

    /// The user wants another try: pauses and refusals are forgotten, lies are not.
    pub(super) fn forgive(&mut self, now: Instant) {
        for known in &mut self.known {
            if known.contact == Contact::Differs {
                known.failures = 0;
            }
            if let Contact::Gone | Contact::Idle = known.contact {
                known.contact = Contact::Idle;
                known.due = now;
                known.failures = 0;
                known.busy = false;
            }
        }
    }

    /// No size is believed in any more: everybody may be asked, those last who said `size`.
    pub(super) fn doubt(&mut self, size: u64) {
        for known in &mut self.known {
            if known.contact == Contact::Differs {
                known.contact = Contact::Idle;
            }
            if known.size == Some(size) {
                known.failures = known.failures.saturating_add(1);
            }
            known.size = None;
        }
    }

    /// The source that explains best why nothing happens: the one that is tried next, else the last in line.
    pub(super) fn spokesman(&self) -> Option<&Known> {
        let next = self.known.iter().filter(|known| known.can_be_asked()).min_by_key(|known| (known.due, known.id));
        next.or_else(|| self.known.iter().rfind(|known| known.contact == Contact::Banned)).or_else(|| self.known.last())
    }

    /// When a source may be asked, if it may.
    pub(super) fn due(&self, id: SourceId) -> Option<Instant> {
        self.known.iter().find(|known| known.id == id && known.can_be_asked()).map(|known| known.due)
    }

    /// The connection to a source is gone.
    pub(super) fn closed(&mut self, id: SourceId) {
        if let Some(known) = self.get_mut(id) {
            known.open = false;
        }
    }

    /// Closes the connection to a source, if there may be one.
    pub(super) fn drop_one(&mut self, id: SourceId, out: &mut Vec<Output>) {
        if let Some(known) = self.get_mut(id)
            && std::mem::take(&mut known.open)
        {
            out.push(Output::Drop { source: id });
        }
    }

    /// Closes all connections.
    pub(super) fn drop_all(&mut self, out: &mut Vec<Output>) {
        for known in &mut self.known {
            if known.is_active() {
                known.contact = Contact::Idle;
            }
            if std::mem::take(&mut known.open) {
                out.push(Output::Drop { source: known.id });
            }
        }
    }
}
