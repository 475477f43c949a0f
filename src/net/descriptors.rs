//! How many connections the system's limit on open files leaves room for.
//!
//! Every connection is an open file to the system, and so is every file that is read. If strangers' connections
//! took all there are, nothing else could be opened: no call to the control API, no folder, no download. So a part
//! is kept for those ([`Descriptors::reserve`]), and what strangers may hold is bounded by the rest.

/// At most this many are kept for everything but strangers' connections, ...
const RESERVE: usize = 256;
/// ... and no more than one of so many.
const RESERVE_SHARE: usize = 2;
/// Files that are sent at a time, as far as this is concerned.
const SENT: usize = 24;
/// Links and handshakes, as far as this is concerned; no more than a quarter of what is left.
const LINKS: usize = 128;

/// How many files this process may have open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptors(pub usize);

impl Descriptors {
    /// Raises the limit of this process as far as it may, and tells what it is then.
    pub fn raise() -> Self {
        #[cfg(unix)]
        {
            use rustix::process::{Resource, getrlimit, setrlimit};
            let mut limit = getrlimit(Resource::Nofile);
            if limit.current != limit.maximum {
                limit.current = limit.maximum;
                // Some systems name a maximum that they do not give.
                let _ = setrlimit(Resource::Nofile, limit);
            }
            let allowed = getrlimit(Resource::Nofile).current;
            Self(allowed.and_then(|allowed| usize::try_from(allowed).ok()).unwrap_or(usize::MAX))
        }
        #[cfg(not(unix))]
        Self(usize::MAX)
    }

    /// Kept for the control API, the shares, downloads and the program itself.
    pub fn reserve(self) -> usize {
        (self.0 / RESERVE_SHARE).min(RESERVE)
    }

    /// Links to peers, and handshakes on the way to them.
    pub fn links(self) -> usize {
        ((self.0 - self.reserve()) / 4).min(LINKS)
    }

    /// Connections that are no links.
    pub fn connections(self) -> usize {
        let left = self.0 - self.reserve();
        left - self.links() - SENT.min(left / 4)
    }

    /// Whether the limit is so low that it is felt.
    pub fn are_few(self) -> bool {
        self.links() < LINKS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_strangers_may_hold_leaves_the_reserve_alone() {
        for (limit, reserve, links, connections) in
            [(0, 0, 0, 0), (64, 32, 8, 16), (256, 128, 32, 72), (1024, 256, 128, 616), (20_000, 256, 128, 19_592)]
        {
            let few = Descriptors(limit);
            assert_eq!((few.reserve(), few.links(), few.connections()), (reserve, links, connections), "{limit}");
        }
        assert!(Descriptors(512).are_few() && !Descriptors(1024).are_few());
        assert!(Descriptors(usize::MAX).connections() > 1 << 20);
    }

    #[test]
    fn the_limit_is_raised_and_told() {
        assert!(Descriptors::raise().0 >= 64);
        assert_eq!(Descriptors::raise(), Descriptors::raise());
    }
}
