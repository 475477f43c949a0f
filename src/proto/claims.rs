//! Hits that we asked for by UDP: for which search, from whom, how many, and with which token.
//!
//! Nothing here is sent or decoded. A hit by UDP is taken if it comes from the address that we asked, for the query that we
//! asked it about, has the token that we gave to it, and no more files than we asked for.
//!
//! Bounds: [`CLAIMS`] at a time, each for [`FRESH`] after its last hit. Of what a search still wants, one address (IPv6: a /64)
//! gets half at most: a liar who promises much and sends nothing leaves the other half to others.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use crate::base::Instant;
use crate::wire::Guid;

use super::address::subnet;

/// Claims at a time; a promise beyond them is not taken up.
const CLAIMS: usize = 512;
/// So long after the claim, or the last hit for it, hits for it are taken: real clients send one every five seconds or so.
const FRESH: Duration = Duration::from_secs(60);
/// What was claimed and has not come counts as coming for so long.
const PATIENCE: Duration = Duration::from_secs(10);
/// "If the payload is 255, that means that the servent wants 255 or more" (`out-of-band`): we say how many.
const MOST_AT_ONCE: u32 = 254;

/// What a hit must carry. No byte of it is zero, so that nobody has to escape it.
pub(super) type Token = [u8; 8];

/// What we asked for.
#[derive(Debug)]
pub(super) struct Claims {
    /// Our queries that allow hits by UDP, oldest first.
    asked: VecDeque<Asked>,
    bound: usize,
    claims: Vec<Claim>,
}

#[derive(Debug)]
struct Asked {
    query: Guid,
    /// Files that it wants in all.
    most: u32,
}

#[derive(Debug)]
struct Claim {
    query: Guid,
    from: SocketAddr,
    token: Option<Token>,
    granted: u32,
    left: u32,
    claimed_at: Instant,
    last: Instant,
}

impl Claims {
    /// For so many searches at a time.
    pub(super) fn new(bound: usize) -> Self {
        Self { asked: VecDeque::new(), bound: bound.max(1), claims: Vec::new() }
    }

    /// A query of ours went out that allows hits by UDP, so many files in all.
    pub(super) fn begin(&mut self, query: Guid, most: u32) {
        while self.asked.len() >= self.bound {
            self.asked.pop_front();
        }
        self.asked.push_back(Asked { query, most });
    }

    /// A query is over.
    pub(super) fn end(&mut self, query: &Guid) {
        self.asked.retain(|asked| asked.query != *query);
        self.claims.retain(|claim| claim.query != *query);
    }

    /// Somebody has so many files for a query for which we have `found` so far: how many to ask him for, if any. Then the
    /// token that he gets, if he takes one, is remembered.
    pub(super) fn claim(
        &mut self,
        now: Instant,
        query: Guid,
        from: SocketAddr,
        files: u8,
        found: u32,
        token: Option<Token>,
    ) -> Option<u8> {
        self.claims.retain(|claim| now.since(claim.last) < FRESH);
        let most = self.asked.iter().find(|asked| asked.query == query)?.most;
        let same = |claim: &&Claim| claim.query == query;
        let coming = |claim: &&Claim| now.since(claim.claimed_at) < PATIENCE;
        let coming: u32 = self.claims.iter().filter(same).filter(coming).map(|claim| claim.left).sum();
        let near = |claim: &&Claim| subnet(claim.from.ip()) == subnet(from.ip());
        let had: u32 = self.claims.iter().filter(same).filter(near).map(|claim| claim.granted).sum();
        let wanted = most.saturating_sub(found.saturating_add(coming)).min((most / 2).saturating_sub(had));
        let granted = wanted.min(files.into()).min(MOST_AT_ONCE);
        let again = self.claims.iter().filter(same).any(|claim| claim.from == from && claim.left > 0);
        if granted == 0 || again || self.claims.len() >= CLAIMS {
            return None;
        }
        self.claims.retain(|claim| claim.query != query || claim.from != from);
        self.claims.push(Claim { query, from, token, granted, left: granted, claimed_at: now, last: now });
        u8::try_from(granted).ok()
    }

    /// A hit with so many files came: whether we asked for it.
    pub(super) fn takes(
        &mut self,
        now: Instant,
        query: &Guid,
        from: SocketAddr,
        token: Option<&[u8]>,
        files: u32,
    ) -> bool {
        let ours = |claim: &&mut Claim| claim.query == *query && claim.from == from;
        let Some(claim) = self.claims.iter_mut().find(ours) else { return false };
        let proper = claim.token.is_none_or(|ours| token == Some(&ours));
        if !proper || now.since(claim.last) >= FRESH || files == 0 || files > claim.left {
            return false;
        }
        claim.left -= files;
        claim.last = now;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: Token = [7; 8];
    const QUERY: Guid = Guid([1; 16]);

    fn at(secs: u64) -> Instant {
        Instant::from_secs(secs)
    }

    fn host(n: u8) -> SocketAddr {
        SocketAddr::from(([8, 8, n, 8], 6346))
    }

    fn claims(most: u32) -> Claims {
        let mut claims = Claims::new(2);
        claims.begin(QUERY, most);
        claims
    }

    #[test]
    fn no_more_is_asked_for_than_is_wanted_and_of_nobody_more_than_half() {
        let mut claims = claims(100);
        let mut claim = |secs, n, files, found| claims.claim(at(secs), QUERY, host(n), files, found, Some(TOKEN));
        assert_eq!(claim(0, 1, 10, 0), Some(10), "what there is");
        assert_eq!(claim(0, 1, 10, 0), None, "that is under way");
        assert_eq!(claim(0, 2, 255, 0), Some(50), "half of all");
        assert_eq!(claim(0, 3, 255, 0), Some(40), "the rest");
        assert_eq!(claim(0, 4, 255, 0), None, "enough is coming");
        assert_eq!(claim(10, 4, 255, 30), Some(50), "it did not come");
        assert_eq!(claim(21, 5, 255, 95), Some(5));
        assert_eq!(claim(32, 6, 255, 100), None, "there is enough");
        assert_eq!(claim(32, 2, 255, 0), None, "it had its half");
        let of_another = claims.claim(at(0), Guid([2; 16]), host(9), 1, 0, None);
        assert_eq!(of_another, None, "a query that does not allow it");
    }

    #[test]
    fn a_hit_is_taken_from_whom_we_asked_with_what_we_gave_him() {
        let mut claims = claims(100);
        assert_eq!(claims.claim(at(0), QUERY, host(1), 20, 0, Some(TOKEN)), Some(20));
        assert_eq!(claims.claim(at(0), QUERY, host(2), 20, 0, None), Some(20));
        let wrong = [8; 8];
        type Row<'a> = (&'a str, u64, Guid, u8, Option<&'a [u8]>, u32, bool);
        let rows: [Row<'_>; 11] = [
            ("the wrong token", 1, QUERY, 1, Some(&wrong), 1, false),
            ("no token", 1, QUERY, 1, None, 1, false),
            ("another query", 1, Guid([2; 16]), 1, Some(&TOKEN), 1, false),
            ("another address", 1, QUERY, 3, Some(&TOKEN), 1, false),
            ("more than we want", 1, QUERY, 1, Some(&TOKEN), 21, false),
            ("nothing", 1, QUERY, 1, Some(&TOKEN), 0, false),
            ("some", 1, QUERY, 1, Some(&TOKEN), 15, true),
            ("too many then", 2, QUERY, 1, Some(&TOKEN), 6, false),
            ("the rest, later", 60, QUERY, 1, Some(&TOKEN), 5, true),
            ("who takes no token needs none", 59, QUERY, 2, None, 10, true),
            ("too late", 120, QUERY, 2, None, 10, false),
        ];
        for (why, secs, query, from, token, files, taken) in rows {
            assert_eq!(claims.takes(at(secs), &query, host(from), token, files), taken, "{why}");
        }
    }

    #[test]
    fn what_is_over_or_too_much_is_forgotten() {
        let mut claims = claims(1000);
        let taken = (0..=255).cycle().take(1000).enumerate().filter(|&(n, low)| {
            let from = SocketAddr::from(([8, 9, (n / 256) as u8, low], 6346));
            claims.claim(at(0), QUERY, from, 1, 0, None).is_some()
        });
        assert_eq!(taken.count(), CLAIMS);
        claims.end(&QUERY);
        assert_eq!((claims.asked.len(), claims.claims.len()), (0, 0));
        for n in 0..5 {
            claims.begin(Guid([n; 16]), 1);
        }
        assert_eq!(claims.asked.len(), 2);
    }
}
