//! Trees for others: small answers that need no slot, but not without bound.

use std::sync::Arc;
use std::time::Instant;

use super::{Inner, TREE_LATER, plain_head};
use crate::base;
use crate::base::TokenBucket;
use crate::net::serve::{Answer, Body};
use crate::transfer::upload::{self, Tree};
use crate::wire::http::{Request, Target};
use crate::wire::{TreeKind, Urn};

/// Trees that are sent at a time: each is in memory meanwhile.
const AT_ONCE: usize = 16;
/// Trees in a second, and at once after a rest.
const PER_SECOND: u32 = 20;
const BURST: u32 = 200;

/// What is given out of trees.
pub(super) struct Trees {
    under_way: usize,
    bucket: TokenBucket,
}

impl Trees {
    pub(super) fn new() -> Self {
        Self { under_way: 0, bucket: TokenBucket::new(PER_SECOND, BURST, base::Instant::ZERO) }
    }

    fn take(&mut self, now: base::Instant) -> bool {
        let may = self.under_way < AT_ONCE && self.bucket.take(1, now);
        self.under_way += usize::from(may);
        may
    }
}

impl Inner {
    /// The answer to a request for a tree of that content.
    pub(super) fn tree(self: &Arc<Self>, request: &Request, kind: TreeKind, urn: Urn) -> Answer {
        let agent = &self.config.agent;
        let shared = (self.hooks.find)(&Target::ByUrn(urn.clone()));
        let of_part = || {
            self.hooks
                .downloads
                .as_ref()
                .and_then(|it| it.giving(&urn))
                .and_then(|giving| giving.tree)
                .filter(|row| row.kind() == kind)
        };
        let found = match shared {
            Some(shared) => Ok(shared),
            None => match of_part() {
                Some(row) => Err(row),
                None => return plain_head(upload::tree(request, Tree::Nothing, agent).0),
            },
        };
        let Some(held) = Held::take(self) else {
            return plain_head(upload::tree(request, Tree::Later(TREE_LATER), agent).0);
        };
        let tree = match found {
            Ok(shared) => (self.hooks.tree)(&shared, kind),
            Err(row) => Tree::Row(row),
        };
        let (head, body) = upload::tree(request, tree, agent);
        let body = body.map_or(Body::Empty, Body::Bytes);
        Answer { head, body, sent: Arc::default(), slot: Some(Box::new(held)) }
    }
}

/// One of those that are under way.
struct Held(Arc<Inner>);

impl Held {
    fn take(inner: &Arc<Inner>) -> Option<Self> {
        let mut table = inner.table();
        let now = table.clock(Instant::now());
        table.trees.take(now).then(|| Self(Arc::clone(inner)))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.table().trees.under_way -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_are_bounded_at_a_time_and_by_the_second() {
        let mut trees = Trees::new();
        let now = base::Instant::ZERO;
        assert_eq!((0..100).filter(|_| trees.take(now)).count(), AT_ONCE);
        let mut given = AT_ONCE as u32;
        while given < BURST {
            trees.under_way -= 1;
            assert!(trees.take(now), "{given}");
            given += 1;
        }
        trees.under_way = 0;
        assert!(!trees.take(now), "the burst is used up");
        assert!(trees.take(base::Instant::from_secs(1)));
    }
}
