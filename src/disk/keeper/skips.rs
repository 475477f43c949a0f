//! What is left out: how much of it for each reason, and some of it by name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::disk::policy::SkipReason;
use crate::disk::share::LeftOut;

/// So many are told by name, for each reason.
pub(super) const TOLD: usize = 100;

#[derive(Default)]
pub(super) struct Skips {
    counts: BTreeMap<SkipReason, u64>,
    some: BTreeMap<SkipReason, BTreeMap<PathBuf, Option<String>>>,
    changed: bool,
}

impl Skips {
    pub(super) fn add(&mut self, path: PathBuf, reason: SkipReason, why: Option<String>) {
        *self.counts.entry(reason).or_default() += 1;
        let some = self.some.entry(reason).or_default();
        if some.len() < TOLD {
            some.insert(path, why);
        }
        self.changed = true;
    }

    pub(super) fn remove(&mut self, path: &Path, reason: SkipReason) {
        if let Some(count) = self.counts.get_mut(&reason) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&reason);
            }
        }
        if let Some(some) = self.some.get_mut(&reason) {
            some.remove(path);
        }
        self.changed = true;
    }

    /// A folder has another path, and what is left out in it too.
    pub(super) fn renamed(&mut self, from: &Path, to: &Path) {
        for some in self.some.values_mut() {
            let moved: Vec<PathBuf> = some.keys().filter(|path| path.starts_with(from)).cloned().collect();
            for path in moved {
                if let (Some(why), Ok(rest)) = (some.remove(&path), path.strip_prefix(from)) {
                    some.insert(to.join(rest), why);
                }
            }
        }
        self.changed = true;
    }

    pub(super) fn clear(&mut self) {
        *self = Self { changed: true, ..Self::default() };
    }

    /// What is to be told, when it has changed since the last call. What cannot be read comes first.
    pub(super) fn told(&mut self) -> Option<(BTreeMap<SkipReason, u64>, Vec<LeftOut>)> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        let mut reasons: Vec<_> = self.some.iter().collect();
        reasons.sort_by_key(|(reason, _)| **reason != SkipReason::Unreadable);
        let of = |(reason, some): (&SkipReason, &BTreeMap<PathBuf, Option<String>>)| {
            let left_out = |(path, why): (&PathBuf, &Option<String>)| LeftOut {
                path: path.clone(),
                reason: *reason,
                why: why.clone(),
            };
            some.iter().map(left_out).collect::<Vec<_>>()
        };
        Some((self.counts.clone(), reasons.into_iter().flat_map(of).collect()))
    }
}
