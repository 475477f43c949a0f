//! What somebody wants to have: a hit, a urn, a magnet or a link, made into content and sources.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

use super::turns::Priority;
use crate::app::view::HitView;
use crate::app::{Error, ErrorCode};
pub use crate::disk::OnExists;
use crate::disk::UnknownPolicy;
use crate::net::rt;
use crate::transfer::magnet::{Link, LinkError, Magnet, PushLink};
use crate::transfer::{Ask, Expected, MAX_PROXIES, Reach, Source, name};
use crate::wire::Urn;
use crate::wire::hit::MAX_ALT;
use crate::wire::text::strip;

/// What somebody wants to have.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// What the content must be.
    pub expected: Expected,
    /// Its size, if known.
    pub size: Option<u64>,
    /// The name to save it under, as a stranger gave it; it is sanitised later. Empty when none is known: then
    /// the first source that knows one names it.
    pub name: String,
    /// The folder that it is in where it is, as a stranger gave it; for [`Wanted::place`].
    pub folder: String,
    /// Who is known to have it.
    pub sources: Vec<Source>,
    /// Where the finished file goes, if not to the download directory.
    pub dir: Option<PathBuf>,
    /// What happens when the name is taken.
    pub on_exists: OnExists,
    /// Who goes first among those that wait for their turn.
    pub priority: Priority,
}

impl Wanted {
    pub(super) fn new(expected: Expected) -> Self {
        let (sources, on_exists) = (Vec::new(), OnExists::default());
        let priority = Priority::default();
        let (name, folder) = Default::default();
        Self { expected, size: None, name, folder, sources, dir: None, on_exists, priority }
    }

    /// Content by name alone: the network is asked for sources.
    pub fn urn(urn: &Urn) -> Self {
        Self::new(Expected::of_urn(urn))
    }

    /// A hit, and more hits that may name the same content: those that do are sources too.
    pub fn hit(hit: &HitView, same: &[HitView]) -> Result<Self, Error> {
        let expected = expected_of(hit)?;
        let mut wanted = Self::new(expected);
        wanted.size = Some(hit.size);
        (wanted.name, wanted.folder) = (hit.name.clone(), hit.folder.clone());
        wanted.sources.push(source_of(hit)?);
        for other in same.iter().filter(|other| other.size == hit.size) {
            // Somebody else's damaged hit is no reason not to take this one.
            if let (Ok(content), Ok(source)) = (expected_of(other), source_of(other))
                && expected.same_content(&content)
                && wanted.sources.iter().all(|known| !known.is_same(&source))
            {
                wanted.sources.push(source);
            }
        }
        wanted.add_alternates(hit);
        Ok(wanted)
    }

    /// `urn:...`, `magnet:?...` or `http://HOST[:PORT]/...`; looks up host names.
    pub async fn parse(what: &str) -> Result<Self, Error> {
        let what = what.trim();
        let begins = |prefix: &str| strip(what, prefix).is_some();
        if begins("magnet:") {
            let magnet = Magnet::parse(what)?;
            let mut wanted = Self::new(magnet.expected);
            wanted.size = magnet.size;
            wanted.name = magnet.name.unwrap_or_default();
            for link in &magnet.links {
                match resolve(link).await {
                    Ok(addr) => wanted.add(addr, link)?,
                    // The others, or the network, may do.
                    Err(error) => log::warn!("{error}"),
                }
            }
            for link in &magnet.pushes {
                wanted.add_push(link)?;
            }
            return Ok(wanted);
        }
        if begins("push://") {
            let mut wanted = Self::new(Expected::default());
            wanted.add_push(&PushLink::parse(what)?)?;
            return Ok(wanted);
        }
        if begins("http://") {
            let link = Link::parse(what)?;
            let mut wanted = Self::new(Expected::default());
            let addr = resolve(&link).await?;
            wanted.add(addr, &link)?;
            return Ok(wanted);
        }
        if begins("urn:") {
            let urn: Urn = what.parse().map_err(|error| usage(format!("{what:?} cannot be read: {error}")))?;
            return Ok(Self::urn(&urn));
        }
        Err(usage(format!("{what:?} is nothing that can be fetched")))
    }

    /// Puts it where a template says, below its folder or, without one, below `dir`. Each part of that is cleaned, so
    /// that nothing leads out of the folder.
    pub fn place(&mut self, template: &str, dir: &Path) -> Result<(), Error> {
        let peer = match self.sources.first() {
            None => "unknown".to_owned(),
            Some(source) if source.is_nowhere() => source.servent.unwrap_or_default().to_string(),
            Some(source) => source.addr.ip().to_string(),
        };
        let (folders, name) = name::placed(template, &peer, &self.folder, &self.name)
            .map_err(|error| Error::new(ErrorCode::Usage, error.to_string()).hint("Say for example {peer}/{name}"))?;
        let mut dir = self.dir.take().unwrap_or_else(|| dir.to_owned());
        dir.extend(folders);
        (self.dir, self.name) = (Some(dir), name);
        Ok(())
    }

    /// Those of whom the source of a hit says that they have it too: they are asked by content alone.
    fn add_alternates(&mut self, hit: &HitView) {
        let Some(urn) = self.expected.sha1.map(Urn::Sha1) else { return };
        for addr in hit.alternates.iter().take(MAX_ALT).filter_map(|addr| addr.parse().ok()) {
            let source = Source::new(addr, Ask::Urn(urn.clone()));
            if self.sources.iter().all(|known| !known.is_same(&source)) {
                self.sources.push(source);
            }
        }
    }

    fn add_push(&mut self, link: &PushLink) -> Result<(), Error> {
        let source = link.source();
        self.add_source(source, link.expected(), link.name())
    }

    fn add(&mut self, addr: SocketAddr, link: &Link) -> Result<(), Error> {
        self.add_source(Source::new(addr, link.ask()), link.expected(), link.name())
    }

    fn add_source(&mut self, source: Source, expected: Expected, name: Option<String>) -> Result<(), Error> {
        let other = || usage(format!("{} names other content than the rest", source.ask.target()));
        self.expected = self.expected.and(expected).ok_or_else(other)?;
        if self.name.is_empty() {
            self.name = name.unwrap_or_default();
        }
        self.sources.push(source);
        Ok(())
    }
}

fn usage(message: String) -> Error {
    Error::new(ErrorCode::Usage, message)
        .hint("Say a hit's number, urn:sha1:..., magnet:?..., http://HOST:PORT/... or push://GUID:IP:PORT/...")
}

impl From<LinkError> for Error {
    fn from(error: LinkError) -> Self {
        usage(error.to_string())
    }
}

impl From<UnknownPolicy> for Error {
    fn from(error: UnknownPolicy) -> Self {
        Error::new(ErrorCode::Usage, error.to_string())
    }
}

fn expected_of(hit: &HitView) -> Result<Expected, Error> {
    fn read<T: std::str::FromStr>(text: &Option<String>) -> Result<Option<T>, Error> {
        let parsed = text.as_deref().map(str::parse).transpose();
        parsed.map_err(|_| Error::new(ErrorCode::Failed, format!("the hit's hash {text:?} cannot be read")))
    }
    let expected = Expected { sha1: read(&hit.sha1)?, tth: read(&hit.tth)?, blake3: read(&hit.blake3)? };
    let named = read::<Urn>(&hit.urn)?.map_or_else(Expected::default, |urn| Expected::of_urn(&urn));
    expected.and(named).ok_or_else(|| Error::new(ErrorCode::Failed, "the hit's urn and hashes contradict each other"))
}

fn source_of(hit: &HitView) -> Result<Source, Error> {
    let bad = || Error::new(ErrorCode::Failed, format!("the hit's address {:?} cannot be read", hit.source.addr));
    let addr: SocketAddr = hit.source.addr.parse().map_err(|_| bad())?;
    let ask = match expected_of(hit)?.urn() {
        Some(urn) => Ask::Urn(urn),
        None => Ask::Index(hit.index, hit.name.clone()),
    };
    let reach = if hit.source.push { Reach::Push } else { Reach::Direct };
    Ok(Source {
        servent: hit.source.servent.parse().ok(),
        reach,
        index: hit.index,
        proxies: hit.source.proxies.iter().take(MAX_PROXIES).filter_map(|addr| addr.parse().ok()).collect(),
        name: Some(hit.name.clone()),
        ..Source::new(addr, ask)
    })
}

async fn resolve(link: &Link) -> Result<SocketAddr, Error> {
    let (host, port) = (link.host.clone(), link.port);
    let found = rt::spawn_blocking(move || (host.as_str(), port).to_socket_addrs().map(|mut all| all.next())).await;
    let unknown = |why: String| {
        Error::new(ErrorCode::NotFound, format!("cannot look up {}: {why}", link.host))
            .hint("Check the name, or give an address")
    };
    found.map_err(|error| unknown(error.to_string()))?.ok_or_else(|| unknown("it has no address".into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::view::SourceView;

    const SHA1: &str = "GKECXDEZDWGCRBZWKYBJD5GGT4KAUE5V";

    fn hit(addr: &str, sha1: Option<&str>) -> HitView {
        HitView {
            hit: 1,
            folder: String::new(),
            name: "a.txt".into(),
            size: 7,
            sha1: sha1.map(str::to_owned),
            tth: None,
            blake3: None,
            urn: sha1.map(|sha1| format!("urn:sha1:{sha1}")),
            source: SourceView {
                addr: addr.into(),
                servent: "00112233445566778899aabbccddeeff".into(),
                vendor: "FLBT".into(),
                push: false,
                busy: false,
                browse: false,
                proxies: Vec::new(),
            },
            alternates: Vec::new(),
            index: 9,
            hops: 1,
            query_ms: 0,
            via: None,
        }
    }

    #[test]
    fn others_that_a_hit_names_are_asked_for_the_content() {
        let alternates = vec!["10.0.0.1:1".to_owned(), "10.0.0.2:2".to_owned(), "nowhere".to_owned()];
        let named = HitView { alternates, ..hit("10.0.0.1:1", Some(SHA1)) };
        let wanted = Wanted::hit(&named, &[]).expect("a hit");
        let sources: Vec<_> =
            wanted.sources.iter().map(|source| (source.addr.to_string(), source.ask.clone())).collect();
        let urn = Ask::Urn(format!("urn:sha1:{SHA1}").parse().expect("a urn"));
        assert_eq!(sources, [("10.0.0.1:1".to_owned(), urn.clone()), ("10.0.0.2:2".to_owned(), urn)]);
    }

    #[test]
    fn hits_of_the_same_content_are_its_sources() {
        let others = [
            hit("10.0.0.2:1", Some(SHA1)),
            hit("10.0.0.1:1", Some(SHA1)),
            hit("10.0.0.3:1", Some(&"A".repeat(32))),
            hit("10.0.0.4:1", None),
            HitView { size: 8, ..hit("10.0.0.5:1", Some(SHA1)) },
            hit("nowhere", Some(SHA1)),
        ];
        let wanted = Wanted::hit(&hit("10.0.0.1:1", Some(SHA1)), &others).expect("a hit");
        let addrs: Vec<String> = wanted.sources.iter().map(|source| source.addr.to_string()).collect();
        assert_eq!(addrs, ["10.0.0.1:1", "10.0.0.2:1"]);
        assert_eq!(wanted.sources[0].ask.target(), format!("/uri-res/N2R?urn:sha1:{SHA1}"));
        let unhashed = Wanted::hit(&hit("10.0.0.1:1", None), &others).expect("a hit");
        assert_eq!(unhashed.sources.len(), 1, "nobody can be known to have the same");
        assert_eq!(unhashed.sources[0].ask, Ask::Index(9, "a.txt".into()));
    }

    #[test]
    fn what_is_typed_is_read() {
        let parse = |what: &str| rt::block_on(Wanted::parse(what));
        let urn = parse(&format!("urn:sha1:{SHA1}")).expect("a urn");
        assert_eq!((urn.sources.len(), urn.expected.sha1.is_some()), (0, true));
        let link = parse("http://127.0.0.1:6346/get/3/a%20b.txt").expect("a link");
        assert_eq!((link.name.as_str(), link.sources.len()), ("a b.txt", 1));
        let link = parse(&format!("http://127.0.0.1:6346/uri-res/N2R?urn:sha1:{SHA1}")).expect("a link");
        assert!(link.expected.sha1.is_some());
        let magnet = format!("magnet:?xt=urn:sha1:{SHA1}&xl=7&dn=x&xs=http://127.0.0.1:1/uri-res/N2R?urn:sha1:{SHA1}");
        let magnet = parse(&magnet).expect("a magnet");
        assert_eq!((magnet.size, magnet.name.as_str(), magnet.sources.len()), (Some(7), "x", 1));
        for what in ["", "7x", "urn:sha1:x", "magnet:?dn=x", "https://h/x", "ftp://h/x"] {
            assert_eq!(parse(what).map_err(|error| error.code), Err(ErrorCode::Usage), "{what}");
        }
    }
}
