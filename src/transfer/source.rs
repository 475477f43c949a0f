//! Who has a file, how to ask for it, and by what it will be known.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::wire::http::percent_encode;
use crate::wire::{Blake3, Digests, Guid, Sha1, Tth, Urn};

/// How a source is asked for the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// By content: `/uri-res/N2R?urn:...`.
    Urn(Urn),
    /// By the source's own number and name: `/get/INDEX/NAME`.
    Index(u32, String),
    /// With the target of a link that somebody typed.
    Target(String),
}

impl Ask {
    /// Whether it is how peers are asked, and no link to a plain web server: of that one, others who fetch the file are never
    /// heard.
    pub fn is_of_peers(&self) -> bool {
        match self {
            Self::Urn(_) | Self::Index(..) => true,
            Self::Target(target) => target.starts_with("/uri-res/") || target.starts_with("/get/"),
        }
    }

    /// The request target.
    pub fn target(&self) -> String {
        match self {
            // Clients of the network look for `urn:sha1:`; few read a bitprint here.
            Self::Urn(urn) => match urn.sha1() {
                Some(sha1) => format!("/uri-res/N2R?urn:sha1:{sha1}"),
                None => format!("/uri-res/N2R?{urn}"),
            },
            Self::Index(index, name) => format!("/get/{index}/{}", percent_encode(name.as_bytes())),
            Self::Target(target) => target.clone(),
        }
    }
}

/// Whether a source can be connected to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// It can.
    #[default]
    Direct,
    /// It said that it cannot: it must be asked to connect to us.
    Push,
}

/// Push proxies of a source that are remembered.
pub const MAX_PROXIES: usize = 8;

/// The address of a source that is known by its servent GUID alone.
pub(super) const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// Who has the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Where; see [`Source::is_nowhere`].
    pub addr: SocketAddr,
    /// How to ask.
    pub ask: Ask,
    /// Its servent GUID, if a hit told it.
    pub servent: Option<Guid>,
    /// Whether it can be connected to.
    pub reach: Reach,
    /// Its number for the file, if a hit told it: a Push names the file by it.
    pub index: u32,
    /// Who passes a Push on to it, as its hit says; at most [`MAX_PROXIES`].
    pub proxies: Vec<SocketAddr>,
    /// What it calls the file, if it told; not sanitised.
    pub name: Option<String>,
}

impl Source {
    /// A source that can be connected to and of which nothing else is known.
    pub fn new(addr: SocketAddr, ask: Ask) -> Self {
        Self { addr, ask, servent: None, reach: Reach::Direct, index: 0, proxies: Vec::new(), name: None }
    }
}

/// The hashes that the file must have: those that were fixed before the download began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// SHA-1.
    pub sha1: Option<Sha1>,
    /// Tiger tree root.
    pub tth: Option<Tth>,
    /// BLAKE3.
    pub blake3: Option<Blake3>,
}

/// The strongest check that a finished file has passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    /// Only its size was known.
    #[default]
    None,
    /// SHA-1 over the whole.
    Sha1,
    /// The Tiger tree over the whole.
    Tth,
    /// BLAKE3 over the whole.
    Blake3,
}

impl Check {
    /// The word for it: `none sha1 tth blake3`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Sha1 => "sha1",
            Self::Tth => "tth",
            Self::Blake3 => "blake3",
        }
    }
}

impl Expected {
    /// Nothing but what a name says.
    pub fn of_urn(urn: &Urn) -> Self {
        Self { sha1: urn.sha1(), tth: urn.tth(), blake3: urn.blake3() }
    }

    /// With what a second name of the same content adds; `None` when the two contradict each other.
    pub fn and(mut self, other: Self) -> Option<Self> {
        fn join<T: PartialEq + Copy>(mine: &mut Option<T>, theirs: Option<T>) -> bool {
            match (*mine, theirs) {
                (Some(a), Some(b)) => a == b,
                (None, theirs) => {
                    *mine = theirs;
                    true
                }
                (Some(_), None) => true,
            }
        }
        let agree =
            join(&mut self.sha1, other.sha1) && join(&mut self.tth, other.tth) && join(&mut self.blake3, other.blake3);
        agree.then_some(self)
    }

    /// The name that the network is asked with: the SHA-1 if there is one, as everybody knows those.
    pub fn urn(&self) -> Option<Urn> {
        self.sha1.map(Urn::Sha1).or_else(|| self.tth.map(Urn::Tth)).or_else(|| self.blake3.map(Urn::Blake3))
    }

    /// Whether `other` is known to name the same content: they share a hash, and contradict each other in none.
    pub fn same_content(&self, other: &Self) -> bool {
        let shared = (self.sha1.is_some() && self.sha1 == other.sha1)
            || (self.tth.is_some() && self.tth == other.tth)
            || (self.blake3.is_some() && self.blake3 == other.blake3);
        shared && self.and(*other).is_some()
    }

    /// The strongest of the checks that these allow.
    pub fn strongest(&self) -> Check {
        match self {
            Self { blake3: Some(_), .. } => Check::Blake3,
            Self { tth: Some(_), .. } => Check::Tth,
            Self { sha1: Some(_), .. } => Check::Sha1,
            _ => Check::None,
        }
    }

    /// Those that a finished file is held against: its SHA-1 always, and the strongest of the others. With a
    /// BLAKE3 the slow Tiger tree would add nothing.
    pub fn checked(&self) -> Self {
        Self { tth: if self.blake3.is_some() { None } else { self.tth }, ..*self }
    }

    /// Whether content with the digests `found` is the one asked for: all of [`Expected::checked`] are there
    /// and equal.
    pub fn matches(&self, found: &Self) -> bool {
        fn holds<T: PartialEq>(wanted: Option<T>, found: Option<T>) -> bool {
            wanted.is_none() || wanted == found
        }
        let wanted = self.checked();
        holds(wanted.sha1, found.sha1) && holds(wanted.tth, found.tth) && holds(wanted.blake3, found.blake3)
    }
}

impl From<Digests> for Expected {
    fn from(digests: Digests) -> Self {
        Self { sha1: Some(digests.sha1), tth: Some(digests.tth), blake3: Some(digests.blake3) }
    }
}

impl Source {
    /// Whether the two are one source: behind a wall several servents may have one address.
    pub fn is_same(&self, other: &Self) -> bool {
        if self.is_nowhere() || other.is_nowhere() {
            return self.servent == other.servent && self.servent.is_some();
        }
        let walled = self.reach == Reach::Push || other.reach == Reach::Push;
        let differ = matches!((self.servent, other.servent), (Some(a), Some(b)) if a != b);
        self.addr == other.addr && !(walled && differ)
    }

    /// Whether it is known by its servent GUID alone: it has to connect to us, from wherever it is.
    pub fn is_nowhere(&self) -> bool {
        self.addr.ip().is_unspecified()
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.servent {
            Some(servent) if self.is_nowhere() => write!(f, "push://{servent}"),
            _ => write!(f, "{}", self.addr),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA1: &str = "urn:sha1:GKECXDEZDWGCRBZWKYBJD5GGT4KAUE5V";
    const BITPRINT: &str = "urn:bitprint:GKECXDEZDWGCRBZWKYBJD5GGT4KAUE5V.LWPNACQDBZRYXW3VHJVCJ64QBZNGHOHHHZWCLNQ";

    fn expected(urn: &str) -> Expected {
        Expected::of_urn(&urn.parse().expect(urn))
    }

    #[test]
    fn names_of_one_content_add_up_and_others_contradict() {
        let (sha1, bitprint) = (expected(SHA1), expected(BITPRINT));
        assert_eq!(sha1.and(bitprint), Some(bitprint));
        assert!(sha1.same_content(&bitprint));
        assert_eq!((sha1.strongest(), bitprint.strongest()), (Check::Sha1, Check::Tth));
        let other = Expected { sha1: Some(Sha1([1; 20])), ..bitprint };
        assert_eq!(bitprint.and(other), None);
        assert!(!bitprint.same_content(&other), "the trees agree, but the SHA-1s do not");
        assert!(!Expected::default().same_content(&Expected::default()), "two nameless files are not the same");
        assert_eq!(Expected::default().urn(), None);
    }

    #[test]
    fn one_without_an_address_is_known_by_its_servent() {
        let source = |addr: &str, guid: u8, reach| Source {
            servent: Some(Guid([guid; 16])),
            reach,
            ..Source::new(addr.parse().expect("an address"), Ask::Target("/x".into()))
        };
        let nowhere = source("0.0.0.0:0", 1, Reach::Push);
        for (other, same) in [
            (source("0.0.0.0:0", 1, Reach::Push), true),
            (source("0.0.0.0:0", 2, Reach::Push), false),
            (source("10.0.0.1:5", 1, Reach::Push), true),
            (source("10.0.0.1:5", 1, Reach::Direct), true),
            (source("10.0.0.1:5", 2, Reach::Direct), false),
            (Source { servent: None, ..source("10.0.0.1:5", 1, Reach::Direct) }, false),
        ] {
            assert_eq!((nowhere.is_same(&other), other.is_same(&nowhere)), (same, same), "{other:?}");
        }
        assert_eq!(nowhere.to_string(), format!("push://{}", "01".repeat(16)));
    }

    #[test]
    fn a_digest_that_was_not_computed_does_not_match() {
        let bitprint = expected(BITPRINT);
        assert!(bitprint.matches(&bitprint));
        assert!(!bitprint.matches(&expected(SHA1)), "the tree was to be checked too");
        let all = Expected { blake3: Some(Blake3([3; 32])), ..bitprint };
        assert!(all.matches(&Expected { tth: None, ..all }), "BLAKE3 makes the tree superfluous");
        assert!(!all.matches(&Expected { sha1: None, ..all }), "the SHA-1 is always checked");
    }
}
