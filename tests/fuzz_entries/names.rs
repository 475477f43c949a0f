//! Text from strangers that becomes a file's name, a link, an address or a line on a terminal.

use filbert::transfer::MAX_PROXIES;
use filbert::transfer::magnet::{Link, MAX_LINKS, Magnet, PushLink};
use filbert::transfer::name::{MAX_NAME, numbered, sanitise};
use filbert::transfer::upload::same_name;
use filbert::wire::http::{percent_decode, percent_encode};
use filbert::wire::print::{escape, escape_bytes, is_treacherous};
use filbert::wire::push::Giv;
use filbert::wire::{Guid, addr};

/// Any bytes, as each of these.
pub fn names(data: &[u8]) {
    assert_eq!(percent_decode(&percent_encode(data)), data);
    let shown = escape_bytes(data);
    assert!(!shown.chars().any(is_treacherous), "{shown:?}");
    let text = String::from_utf8_lossy(data);
    assert!(!escape(&text).chars().any(is_treacherous));
    file_name(&text);
    links(&text);
    if let Some(addr) = addr::parse(&text) {
        assert_eq!((addr, addr::canonical(addr)), (addr::parse(&addr.to_string()).expect("an address"), addr));
    }
    if let Ok(guid) = text.parse::<Guid>() {
        assert_eq!(guid.to_string().parse(), Ok(guid));
    }
    // A line that is none is an error, one that is comes back as it went.
    if let Some(line) = text.lines().next()
        && let Ok(giv) = Giv::parse(line)
    {
        let again = String::from_utf8(giv.encode()).expect("text");
        assert_eq!(Giv::parse(again.trim_end_matches('\n')), Ok(giv));
    }
}

/// "One path component on every system that we know" (`transfer::name`).
pub(super) fn file_name(text: &str) {
    let safe = sanitise(text);
    assert_eq!(sanitise(&safe), safe, "cleaning twice changes nothing more");
    assert!(same_name(&safe, &safe));
    for name in [&safe, &numbered(&safe, 2), &numbered(&safe, u32::MAX)] {
        assert!(!name.is_empty() && name.len() <= MAX_NAME + " (4294967295)".len(), "{name:?}");
        assert!(!name.contains(['/', '\\', ':', '\0', '<', '>', '"', '|', '?', '*']), "{name:?}");
        assert!(!name.chars().any(is_treacherous), "{name:?}");
        assert!(!name.starts_with(['.', ' ']) && !name.ends_with(['.', ' ']), "{name:?}");
        let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_uppercase();
        assert!(!["CON", "PRN", "AUX", "NUL", "COM1", "LPT9"].contains(&stem.as_str()), "{name:?}");
    }
    assert!(safe.len() <= MAX_NAME);
}

fn push(link: &PushLink) {
    assert!(link.proxies.len() <= MAX_PROXIES && link.target.starts_with('/'), "{link:?}");
    assert_eq!(PushLink::parse(&link.to_string()).as_ref(), Ok(link));
    let source = link.source();
    assert!(source.is_nowhere() && !source.ask.target().contains(|c: char| c.is_control()), "{source:?}");
    let _ = link.name();
}

fn links(text: &str) {
    if let Ok(link) = Link::parse(text) {
        assert!(link.port != 0 && link.target.starts_with('/'), "{link:?}");
        let url = if link.host.contains(':') {
            format!("http://[{}]:{}{}", link.host, link.port, link.target)
        } else {
            format!("http://{}:{}{}", link.host, link.port, link.target)
        };
        assert_eq!(Link::parse(&url), Ok(link.clone()), "{url:?}");
        let request = link.ask().target();
        assert!(!request.contains(|c: char| c.is_control()), "{request:?}");
        let _ = (link.name(), link.expected());
    }
    if let Ok(link) = PushLink::parse(text) {
        push(&link);
    }
    if let Ok(magnet) = Magnet::parse(text) {
        let sources = magnet.links.len() + magnet.pushes.len();
        assert!(sources <= MAX_LINKS);
        assert!(magnet.expected.urn().is_some() || sources > 0);
        for link in &magnet.pushes {
            assert!(magnet.expected.and(link.expected()).is_some(), "{link:?} has other content");
            push(link);
        }
        for link in &magnet.links {
            assert!(magnet.expected.and(link.expected()).is_some(), "{link:?} has other content");
        }
    }
}
